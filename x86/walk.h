/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * walk.h - translate a linear address by the guest's page tables
 *
 * A walk is a function of the paging registers and of memory.  Table entries are reached
 * through a port, which for a nested walk translates each entry's guest-physical address
 * by the second dimension; so the same walk serves both dimensions.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Page Translation and
 * Protection", "Nested Paging"; Intel SDM vol. 3, "Paging".
 */
#ifndef X86_WALK_H
#define X86_WALK_H

#include "base/types.h"
#include "x86/exec.h"

struct x86_paging {
	u64  root;		/* CR3 or nCR3 */
	u8   levels;		/* 0: paging off, 2: 32-bit, 3: PAE, 4, 5 */
	u8   phys_bits;
	bool nxe, wp, smep, smap, pse, pge;
	bool gb_pages;		/* 1 GiB pages exist */
	bool amd;		/* bit 8 of the fourth level and above is reserved, not ignored */
	bool pke, pks;
	u32  pkru, pkrs;
	bool ac;		/* RFLAGS.AC: SMAP allows explicit supervisor accesses */
};

struct x86_walk_port {
	/*
	 * The host address of the table entry at gpa (4 or 8 aligned bytes), to be read,
	 * and with write also updated (accessed, dirty bits).  X86_OK, or X86_EXIT or
	 * X86_FAULT, which end the walk with just that.  An entry may be changed at any
	 * moment by anyone.
	 */
	enum x86_result (*entry)(void *arg, gpa_t gpa, bool write, void **host);
	/*
	 * Where that address is only of a copy: make the entry there (bytes: 4 or 8) new if it
	 * is still old, else X86_REPEAT.  NULL: entries are updated at their address.
	 */
	enum x86_result (*update)(void *arg, gpa_t gpa, unsigned bytes, u64 old, u64 new);
	void *arg;
};

struct x86_translation {
	gpa_t pa;		/* of the address asked for */
	u8    page_bits;	/* 12, 21, 22, 30 */
	bool  writable, user, executable;	/* all levels combined */
	bool  dirty;		/* the D bit is set, by this walk or before */
	bool  global;
	u8    pkey;
};

/*
 * Translate linear for access (X86_READ | X86_WRITE | X86_FETCH | X86_USER | X86_IMPLICIT),
 * set accessed and dirty bits.  X86_OK with *t; X86_FAULT with *fault a #PF; or what the
 * port said.  With levels 0: the identity.
 */
enum x86_result x86_walk(const struct x86_paging *p, const struct x86_walk_port *port,
			 u64 linear, unsigned access, struct x86_translation *t,
			 struct x86_fault *fault);

/* The paging mode that x's registers select (root is CR3 masked). */
void x86_paging_of(const struct x86 *x, struct x86_paging *p);

#endif
