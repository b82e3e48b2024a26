/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpu.h - inside the software processor
 *
 * Files: cpu.c power-on and CPUID; tlb.c memory; run.c the instruction loop;
 * intercept.c instructions that leave; event.c exceptions and interrupts; svm.c VMRUN
 * and #VMEXIT; msr.c registers by number; vector*.c the vector unit.
 */
#ifndef SOFT_CPU_H
#define SOFT_CPU_H

#include "base/types.h"
#include "soft/soft.h"
#include "soft/vector.h"
#include "x86/exec.h"
#include "x86/vmcb.h"
#include "x86/walk.h"

#define SOFT_PIN_INTR	0x01u
#define SOFT_PIN_NMI	0x02u

#define SOFT_DECODED		32768u	/* slots of the decode cache, at most 65536 */
#define SOFT_PLACE_BITS		16	/* log2 of entries of the hash that leads to slots */
#define SOFT_NESTED_ENTRIES	2048u
#define SOFT_STRING_BUDGET	4096u
#define SOFT_VECTOR_CODE	(512u << 10)	/* bytes of the code memory that are the vector unit's */
#define SOFT_ASIDS		32768u

/* Whose accesses a TLB serves. */
enum soft_privilege {
	SOFT_SUPERVISOR,	/* CPL 0 to 2; with SMAP: and RFLAGS.AC clear, or implicit */
	SOFT_USER,
	SOFT_SUPERVISOR_AC,	/* with SMAP: and RFLAGS.AC set */
	SOFT_PRIVILEGES
};

enum soft_tlb_kind { SOFT_TLB_READ, SOFT_TLB_WRITE, SOFT_TLB_FETCH, SOFT_TLB_KINDS };

/*
 * Entries are 4 KiB each whatever the size of the page.  INVLPG must drop a large page
 * whole: large[] is the range of addresses, in each half of the address space, in which
 * some large page has been seen since the last full flush, and the largest one's size.
 */
struct soft_tlb {
	struct x86_tlb data;
	struct x86_tlb_entry fetch[X86_TLB_ENTRIES];
	/* What was found in the page tables, indexed by a hash: pages that conflict above do not here. */
	struct x86_tlb_entry second[SOFT_TLB_KINDS][X86_TLB_ENTRIES];
	/* Bitmaps of entries: [0] of those above, [1] of second. */
	u64 present[2][SOFT_TLB_KINDS][X86_TLB_ENTRIES / 64];
	u64 global[2][SOFT_TLB_KINDS][X86_TLB_ENTRIES / 64];
	struct { u64 first, last; unsigned bits; } large[2];
};

/* Guest-physical page to host page: the second dimension alone. */
struct soft_nested_entry {
	u64 tag;		/* page address; 1 if empty */
	u64 host;		/* page address | SOFT_NESTED_* */
};
#define SOFT_NESTED_WRITE	0x1u
#define SOFT_NESTED_EXECUTE	0x2u

struct soft_cpu {
	struct x86 x;		/* first: the guest's registers */

	/* -- the instruction loop -- */
	u64	window_start;	/* RIP of the first byte of the code page we are in ... */
	u64	window_bytes;	/* ... of which an instruction may begin in the first so many */
	const u8 *window_host;
	const struct x86_insn *current;	/* being executed; NULL between instructions */
	struct x86_insn *decoded;	/* the decode cache: SOFT_DECODED slots, and one never filled */
	u16	*place;		/* by hash of RIP: the slot */
	u32	decoded_next;	/* the slot filled last */
	u32	pins;		/* SOFT_PIN_*; atomic, set from anywhere */

	/* -- events -- */
	bool	shadow_armed;	/* the next instruction is the one in the shadow */
	bool	stepping;	/* RFLAGS.TF was set when this instruction began */
	bool	resume;		/* RFLAGS.RF was */
	bool	watching;	/* data breakpoints are on: every access comes to tlb.c */
	u64	debug;		/* DR6 bits of traps due at the next boundary */

	/* -- the guest we are in -- */
	struct vmcb *vmcb;
	u32	intercept[VMCB_INTERCEPT_WORDS];
	u64	int_ctl;
	u64	tsc_offset;
	u64	iopm, msrpm;
	u16	pause_count, pause_threshold, pause_left;
	u64	pause_last;
	u32	asid;
	bool	np;		/* nested paging; else the guest's tables hold bus addresses */
	u64	n_cr3;
	struct x86_paging nested_paging;

	/* -- the exit being made -- */
	u64	exit_code, exit_info1, exit_info2, exit_next_rip;
	bool	exit_bytes;	/* hand out the instruction's bytes */
	bool	distrust;	/* somebody may have written code since that exit */

	/* -- memory -- */
	struct x86_paging paging;
	bool	paging_stale;	/* derive paging before the next walk */
	struct soft_tlb tlb[SOFT_PRIVILEGES];
	u64	keys;		/* of pages of which a TLB has data entries: both bits, as in PKRU; as in PKRS << 32 */
	struct soft_nested_entry nested[SOFT_NESTED_ENTRIES];
	u64	nested_present[SOFT_NESTED_ENTRIES / 64];	/* bitmap of those */

	/* -- host mode -- */
	unsigned id;
	u64	host_efer, vm_cr, hsave;
	bool	gif;
	struct soft_vector *vector;
	struct soft_translator *translator;	/* NULL: interpret */
	struct soft_counters counters;
};

static inline struct soft_cpu *soft_of(struct x86 *x)
{
	return CONTAINER_OF(x, struct soft_cpu, x);
}

static inline bool soft_intercepts(const struct soft_cpu *c, unsigned bit)
{
	return c->intercept[bit / 32] >> (bit % 32) & 1;
}

extern const struct x86_bus soft_bus;

/* tlb.c */
enum x86_result soft_mem_read(struct x86 *x, u64 linear, void *data, unsigned bytes, unsigned access);
enum x86_result soft_mem_write(struct x86 *x, u64 linear, const void *data, unsigned bytes, unsigned access);
enum x86_result soft_mem_probe(struct x86 *x, u64 linear, unsigned bytes, unsigned access);
enum x86_result soft_mem_map(struct x86 *x, u64 linear, unsigned bytes, unsigned access, void **host);
void soft_mem_lock(struct x86 *x);
void soft_mem_unlock(struct x86 *x);
/* The host address of the byte of code at linear. */
enum x86_result soft_mem_fetch(struct soft_cpu *c, u64 linear, const u8 **host);
void soft_tlb_flush(struct x86 *x, enum x86_flush kind, u64 address);
void soft_tlb_flush_nested(struct soft_cpu *c);	/* both dimensions */
void soft_mode_changed(struct x86 *x);

/* run.c: until #VMEXIT, which is then in exit_*. */
void soft_run(struct soft_cpu *c);

/* translate.c: translated code from RIP on, while there is some. */
enum x86_result soft_translated(struct soft_cpu *c);
u64  soft_translator_bytes(void);
void soft_translator_init(struct soft_cpu *c, struct soft_translator *t, const struct soft_code *code);

/* code_cache.c: what concerns translations of the guest's code */
bool soft_code_write(struct soft_cpu *c, u64 host);
void soft_code_flush(struct soft_cpu *c, enum x86_flush kind, u64 address, unsigned bits);
void soft_code_forget(struct soft_cpu *c);
void soft_code_enter(struct soft_cpu *c, const struct vmcb *v);	/* translate.c: at VMRUN */

/* intercept.c */
enum x86_result soft_exit(struct soft_cpu *c, u64 code, u64 info1, u64 info2);
enum x86_result soft_hook(struct x86 *x, const struct x86_insn *i, enum x86_hook what, u64 info);
u64  soft_hooks_of(const struct soft_cpu *c);

/*
 * event.c.  X86_OK: go on; X86_REPEAT: something was delivered, look again; X86_EXIT.
 * soft_exception() deals with x->fault.
 */
enum x86_result soft_boundary(struct soft_cpu *c);
enum x86_result soft_exception(struct soft_cpu *c);
enum x86_result soft_inject(struct soft_cpu *c, const struct x86_event *event);
bool soft_virtual_interrupt_is_due(const struct soft_cpu *c);
void soft_debug_access(struct soft_cpu *c, u64 linear, unsigned bytes, unsigned access);
void soft_debug_io(struct soft_cpu *c, u16 port, unsigned bytes);

/* msr.c */
enum x86_result soft_guest_rdmsr(struct x86 *x, u32 msr, u64 *value);
enum x86_result soft_guest_wrmsr(struct x86 *x, u32 msr, u64 value);

/* cpu.c */
void soft_guest_cpuid(struct x86 *x, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
u64  soft_tsc(void);

#endif
