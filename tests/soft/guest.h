/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.h - tiny guests for tests of the software processor
 *
 * A guest is 4 MiB of memory at guest-physical 0, a VMCB built by hand, and code that is
 * assembled into the test by CODE16, CODE32 or CODE64 and loaded at GUEST_CODE.
 */
#ifndef TESTS_SOFT_GUEST_H
#define TESTS_SOFT_GUEST_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sys/types.h>
#include "soft/soft.h"
#include "tests/test.h"
#include "x86/exec.h"
#include "x86/vmcb.h"

#define GUEST_BYTES	(4ul << 20)
#define GUEST_CODE	0x10000ul
#define GUEST_STACK	0x80000ul
#define GUEST_IDT	0x20000ul
#define GUEST_GDT	0x21000ul
#define GUEST_TSS	0x22000ul
#define GUEST_TABLES	0x30000ul	/* page tables, 4 pages */
#define GUEST_HANDLER	0x18000ul	/* handler of vector n is HLT at + n */

struct guest {
	struct soft_cpu *cpu;
	struct vmcb *vmcb;
	u8 *memory;
	u64 *npt;		/* last level: 1024 entries of 4 KiB */
	u8 *iopm, *msrpm;
	u64 gpr[16];
};

/* A function-like blob: name[] to name_end[]. */
#define CODE(bits, name, text) \
	__asm__(".pushsection .rodata\n.balign 16\n.code" #bits "\n" #name ":\n" text "\n" #name "_end: .byte 0\n.code64\n.popsection\n"); \
	extern const u8 name[], name##_end[];
#define CODE16(name, text) CODE(16, name, text)
#define CODE32(name, text) CODE(32, name, text)
#define CODE64(name, text) CODE(64, name, text)

static inline void *guest_pages(u64 bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static inline struct soft_code guest_code_memory(u64 bytes)
{
	int fd = memfd_create("code", 0);
	struct soft_code code = { .bytes = bytes };

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
		abort();
	code.write = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	code.run = mmap(NULL, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	return code;
}

static inline void guest_intercept(struct guest *g, unsigned bit, bool on)
{
	if (on)
		g->vmcb->control.intercept[bit / 32] |= 1u << bit % 32;
	else
		g->vmcb->control.intercept[bit / 32] &= ~(1u << bit % 32);
}

static inline struct x86_seg guest_seg(u16 selector, u16 attr, u32 limit, u64 base)
{
	return (struct x86_seg){ .selector = selector, .attr = attr, .limit = limit, .base = base };
}

/* Processor and memory are made once; each guest begins with both clean. */
static inline void guest_init(struct guest *g)
{
	static struct guest made;
	u64 *tables;

	if (!made.cpu) {
		struct soft_code code = guest_code_memory(1 << 20);

		made.cpu = guest_pages(soft_cpu_bytes());
		soft_cpu_init(made.cpu, 0, &code);
		made.vmcb = guest_pages(4096);
		made.memory = guest_pages(GUEST_BYTES);
		made.iopm = guest_pages(3 * 4096);
		made.msrpm = guest_pages(2 * 4096);
		made.npt = guest_pages(5 * 4096);
	}
	*g = made;
	memset(g->vmcb, 0, 4096);
	memset(g->memory, 0, GUEST_BYTES);
	memset(g->iopm, 0, 3 * 4096);
	memset(g->msrpm, 0, 2 * 4096);
	tables = g->npt + 1024;		/* PDPT, PD, PML4 after the two page tables */
	tables[1024] = (u64)tables | 7;
	tables[0] = (u64)(tables + 512) | 7;
	tables[512] = (u64)g->npt | 7;
	tables[513] = (u64)(g->npt + 512) | 7;
	for (unsigned n = 0; n < 1024; n++)
		g->npt[n] = (u64)(g->memory + n * 4096) | 7;

	struct vmcb_control *c = &g->vmcb->control;

	c->n_cr3 = (u64)(tables + 1024);
	c->nested_ctl = VMCB_NP_ENABLE;
	c->asid = 1;
	c->tlb_control = VMCB_TLB_FLUSH_ALL;
	c->int_ctl = VMCB_INT_CTL_MASKING;
	c->iopm_base_pa = (u64)g->iopm;
	c->msrpm_base_pa = (u64)g->msrpm;
	guest_intercept(g, VMCB_INTERCEPT_VMRUN, true);
	guest_intercept(g, VMCB_INTERCEPT_HLT, true);
	guest_intercept(g, VMCB_INTERCEPT_INTR, true);
	guest_intercept(g, VMCB_INTERCEPT_NMI, true);
	guest_intercept(g, VMCB_INTERCEPT_SHUTDOWN, true);

	struct vmcb_save *s = &g->vmcb->save;

	s->efer = X86_EFER_SVME;
	s->cr0 = X86_CR0_ET;
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->rflags = X86_FLAG_1;
	s->g_pat = 0x0007040600070406;
	s->rip = GUEST_CODE;
	s->rsp = GUEST_STACK;
	s->idtr.base = GUEST_IDT;
	s->gdtr.base = GUEST_GDT;
	s->gdtr.limit = 0xff;
	s->tr = guest_seg(0x40, X86_SEG_P | 0xb, 0xfff, GUEST_TSS);
	s->ldtr = guest_seg(0, X86_SEG_P | 0x2, 0, 0);
	memset(g->memory + GUEST_HANDLER, 0xf4, 256);
}

static inline void guest_load(struct guest *g, const u8 *code, const u8 *end)
{
	memcpy(g->memory + GUEST_CODE, code, (size_t)(end - code));
}

/* Real mode, CS base 0x10000 (RIP counts from there), other segments base 0. */
static inline void guest_real(struct guest *g, const u8 *code, const u8 *end)
{
	struct vmcb_save *s;

	guest_init(g);
	s = &g->vmcb->save;
	s->cs = guest_seg(0x1000, 0x9b, 0xffff, 0x10000);
	s->ds = s->es = s->ss = s->fs = s->gs = guest_seg(0, 0x93, 0xffff, 0);
	s->rip = 0;
	s->rsp = 0x8000;
	s->idtr.base = 0;
	s->idtr.limit = 0x3ff;
	for (unsigned n = 0; n < 256; n++) {	/* handlers at 0x1800:n */
		u16 vector[2] = { (u16)n, GUEST_HANDLER >> 4 };

		memcpy(g->memory + 4 * n, vector, 4);
	}
	guest_load(g, code, end);
}

/* GDT: 08 code, 10 data, 18 user code, 20 user data, 28 code64, 30 user code64; TSS at 40. */
static inline void guest_gdt(struct guest *g)
{
	static const u64 gdt[] = {
		0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff,
		0x00af9b000000ffff, 0x00affb000000ffff,
	};
	u64 tss = 0x00008b0000000fffull | (GUEST_TSS & 0xffffff) << 16;

	memcpy(g->memory + GUEST_GDT, gdt, sizeof(gdt));
	memcpy(g->memory + GUEST_GDT + 0x40, &tss, 8);
}

static inline void guest_protected(struct guest *g, const u8 *code, const u8 *end)
{
	struct vmcb_save *s;
	u32 stack0 = GUEST_STACK - 0x1000, selector0 = 0x10;

	guest_init(g);
	s = &g->vmcb->save;
	guest_gdt(g);
	s->cr0 |= X86_CR0_PE;
	s->cs = guest_seg(0x08, 0xc9b, ~0u, 0);
	s->ds = s->es = s->ss = s->fs = s->gs = guest_seg(0x10, 0xc93, ~0u, 0);
	s->idtr.limit = 0x7ff;
	for (unsigned n = 0; n < 256; n++) {	/* interrupt gates, DPL 3 */
		u64 handler = GUEST_HANDLER + n;
		u64 gate = (handler & 0xffff) | 0x08ull << 16 | 0xee00ull << 32 | (handler >> 16) << 48;

		memcpy(g->memory + GUEST_IDT + 8 * n, &gate, 8);
	}
	memcpy(g->memory + GUEST_TSS + 4, &stack0, 4);
	memcpy(g->memory + GUEST_TSS + 8, &selector0, 4);
	guest_load(g, code, end);
}

/* 64-bit mode, identity-mapped by 4 KiB pages, all user-accessible. */
static inline void guest_long(struct guest *g, const u8 *code, const u8 *end)
{
	struct vmcb_save *s;
	u64 *table, stack0 = GUEST_STACK - 0x1000;

	guest_protected(g, code, end);
	s = &g->vmcb->save;
	s->cs = guest_seg(0x28, 0xa9b, ~0u, 0);
	s->cr0 |= X86_CR0_PG | X86_CR0_WP;
	s->cr4 = X86_CR4_PAE | X86_CR4_PGE;
	s->efer |= X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
	s->cr3 = GUEST_TABLES;
	table = (u64 *)(g->memory + GUEST_TABLES);
	table[0] = (GUEST_TABLES + 0x1000) | 7;
	table[512] = (GUEST_TABLES + 0x2000) | 7;
	table[1024] = (GUEST_TABLES + 0x3000) | 7;
	for (u64 n = 0; n < 512; n++)
		table[1536 + n] = n << 12 | 7;
	s->idtr.limit = 0xfff;
	for (unsigned n = 0; n < 256; n++) {
		u64 handler = GUEST_HANDLER + n;
		u64 gate[2] = { (handler & 0xffff) | 0x28ull << 16 | 0xee00ull << 32 | (handler >> 16) << 48, 0 };

		memcpy(g->memory + GUEST_IDT + 16 * n, gate, 16);
	}
	memcpy(g->memory + GUEST_TSS + 4, &stack0, 8);
}

/* The page-table entry of a linear address of guest_long(). */
static inline u64 *guest_pte(struct guest *g, u64 linear)
{
	return (u64 *)(g->memory + GUEST_TABLES + 0x3000) + (linear >> 12 & 511);
}

static inline u64 guest_run(struct guest *g)
{
	soft_vmload(g->cpu, (hpa_t)g->vmcb);
	soft_vmrun(g->cpu, (hpa_t)g->vmcb, g->gpr);
	soft_vmsave(g->cpu, (hpa_t)g->vmcb);
	g->vmcb->control.tlb_control = VMCB_TLB_NOTHING;
	return g->vmcb->control.exitcode;
}

/* Go on behind the instruction that left. */
static inline void guest_skip(struct guest *g)
{
	g->vmcb->save.rip = g->vmcb->control.next_rip;
}

/* HLT in the handler of this vector? */
static inline bool guest_is_in_handler(const struct guest *g, unsigned vector)
{
	return g->vmcb->control.exitcode == VMEXIT_HLT &&
	       g->vmcb->save.cs.base + g->vmcb->save.rip == GUEST_HANDLER + vector;
}

static inline u64 guest_event(unsigned type, unsigned vector)
{
	return VMCB_EVENT_V | (u64)type << VMCB_EVENT_TYPE_SHIFT | vector;
}

#endif
