/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec.h - what an instruction does
 *
 * One semantics, three users: the software processor's interpreter, the hypervisor's
 * instruction emulator, and tests.  struct x86 is a processor's registers; everything
 * outside it (memory, ports, MSRs, TLB, a hypervisor that intercepts) is behind a
 * struct x86_bus.
 *
 * An instruction either happens or does not: on anything but X86_OK (and X86_REPEAT,
 * X86_HALT) no register has changed.  A handler therefore makes all its accesses that can
 * fail before it changes a register; where it stores twice, the second store is checked
 * (bus->probe) before the first is made.
 *
 * Memory operands go first to a small software TLB of the caller's, of which a miss asks
 * the bus.  A caller without one points tlb at x86_tlb_empty, and so does any caller while
 * alignment checks (CR0.AM, RFLAGS.AC, CPL 3) or data breakpoints are on, which only a miss
 * looks at.
 */
#ifndef X86_EXEC_H
#define X86_EXEC_H

#include "base/types.h"
#include "x86/cpu.h"
#include "x86/insn.h"

/* How memory is accessed. */
#define X86_READ	0x01u
#define X86_WRITE	0x02u		/* READ | WRITE: read-modify-write */
#define X86_FETCH	0x04u
#define X86_USER	0x08u		/* at privilege 3 */
#define X86_IMPLICIT	0x10u		/* descriptor tables, TSS, IDT, stack switch: supervisor, SMAP's AC ignored */
#define X86_PROBE	0x20u		/* translate and check only */

/* An exception, or an interrupt being delivered. */
struct x86_fault {
	u8  vector;
	bool has_error;
	u32 error;
	u64 address;		/* #PF: what CR2 gets.  #DB: bits to set in DR6 */
	bool trap;		/* INT3, INTO, INT1: the return address is the next instruction's */
	bool icebp;		/* INT1 */
};

/* As EVENTINJ's TYPE field. */
enum x86_event_type { X86_EVENT_INTR = 0, X86_EVENT_NMI = 2, X86_EVENT_EXCEPTION = 3, X86_EVENT_SOFT = 4 };

struct x86_event {
	bool valid;
	u8   vector;
	u8   type;		/* enum x86_event_type */
	bool has_error;
	bool icebp;		/* INT1: an exception whose delivery does no DPL check */
	u32  error;
	u64  return_rip;	/* what is pushed: X86_EVENT_SOFT, traps: the next instruction */
};

/*
 * Points at which a hypervisor may intercept an instruction: after its #UD and privilege
 * checks, before its memory operands are touched.  Bit numbers of x->hooked.
 */
enum x86_hook {
	X86_HOOK_CR_READ,	/* info: register */
	X86_HOOK_CR_WRITE,	/* info: register; CLTS and LMSW are writes of CR0 */
	X86_HOOK_DR_READ, X86_HOOK_DR_WRITE,	/* info: register */
	X86_HOOK_SMSW,		/* a CR0 read */
	X86_HOOK_CLTS, X86_HOOK_LMSW,		/* CR0 writes; LMSW's info: the operand */
	X86_HOOK_IDTR_READ, X86_HOOK_GDTR_READ, X86_HOOK_LDTR_READ, X86_HOOK_TR_READ,
	X86_HOOK_IDTR_WRITE, X86_HOOK_GDTR_WRITE, X86_HOOK_LDTR_WRITE, X86_HOOK_TR_WRITE,
	X86_HOOK_RDTSC, X86_HOOK_RDTSCP, X86_HOOK_RDPMC, X86_HOOK_RDPRU,
	X86_HOOK_PUSHF, X86_HOOK_POPF, X86_HOOK_CPUID, X86_HOOK_RSM, X86_HOOK_IRET,
	X86_HOOK_INTN,		/* info: vector (not INT3, INTO, INT1) */
	X86_HOOK_ICEBP,
	X86_HOOK_INVD, X86_HOOK_WBINVD, X86_HOOK_PAUSE, X86_HOOK_HLT,
	X86_HOOK_INVLPG,	/* info: linear address */
	X86_HOOK_INVPCID, X86_HOOK_INVLPGA, X86_HOOK_INVLPGB, X86_HOOK_TLBSYNC,
	X86_HOOK_IO,		/* info: enum x86_io bits; before the I/O permission bitmap? after it */
	X86_HOOK_MSR_READ, X86_HOOK_MSR_WRITE,	/* info: MSR */
	X86_HOOK_TASK_SWITCH,	/* info: X86_TASK_* << 32 | new TSS selector */
	X86_HOOK_VMRUN, X86_HOOK_VMMCALL, X86_HOOK_VMLOAD, X86_HOOK_VMSAVE, X86_HOOK_STGI,
	X86_HOOK_CLGI, X86_HOOK_SKINIT, X86_HOOK_MONITOR, X86_HOOK_MWAIT, X86_HOOK_XSETBV,
	X86_HOOKS
};
#define X86_IO_PORT(info)	((u16)(info))
#define X86_IO_IN	BIT_U64(16)
#define X86_IO_STRING	BIT_U64(17)
#define X86_IO_REP	BIT_U64(18)
#define X86_IO_SIZE(info) (((info) >> 20) & 7)		/* 1, 2, 4 bytes */
#define X86_IO_SIZE_SHIFT 20
#define X86_IO_AD_BYTES(info) (((info) >> 24) & 15)	/* 2, 4, 8 */
#define X86_IO_AD_SHIFT	24
#define X86_IO_SEG(info) (((info) >> 28) & 7)
#define X86_IO_SEG_SHIFT 28

#define X86_TASK_JMP	0u
#define X86_TASK_CALL	1u
#define X86_TASK_IRET	2u
#define X86_TASK_GATE	3u

enum x86_flush {
	X86_FLUSH_PAGE,		/* address: one page, global or not, current PCID */
	X86_FLUSH_LOCAL,	/* all but global pages: a write of CR3 */
	X86_FLUSH_ALL,		/* all: CR0.PG, CR4.PGE/PSE/PAE/SMEP/..., EFER.NXE changed */
	X86_FLUSH_KEYS,		/* address: what changed in PKRU, and in PKRS << 32; data pages with such a key */
};

/* x->attention: why the caller should look before the next instruction */
#define X86_ATTN_SHADOW	0x01u	/* STI, MOV SS or POP SS began an interrupt shadow: x->shadow is set */
#define X86_ATTN_FLAGS	0x02u	/* IF or TF may have become 1, CR8 or GIF changed */
#define X86_ATTN_MODE	0x04u	/* code size, CPL, paging mode or SMAP's AC changed: x86_mode_changed() ran */
#define X86_ATTN_STEP	0x08u	/* RFLAGS.TF is set or DR7 has breakpoints enabled */

#define X86_TLB_ENTRIES	1024u	/* per kind; a power of two */
struct x86_tlb_entry {
	u64 tag;		/* linear page address; 1 (never equal to one) if empty */
	u64 addend;		/* add the linear address to get a host pointer */
};
struct x86_tlb {
	struct x86_tlb_entry read[X86_TLB_ENTRIES];	/* index: (linear >> 12) % entries */
	struct x86_tlb_entry write[X86_TLB_ENTRIES];	/* present only if dirty and writable */
};
extern struct x86_tlb x86_tlb_empty;

struct x86_bus {
	/*
	 * Memory at a linear address: segmentation is done, paging is not.  May cross a
	 * page.  access: X86_READ... with X86_USER as the CPL says (or not: X86_IMPLICIT).
	 * X86_OK, X86_FAULT (#PF or, in 64-bit mode, nothing else: canonicality has been
	 * checked) or X86_EXIT.
	 */
	enum x86_result (*read)(struct x86 *x, u64 linear, void *data, unsigned bytes, unsigned access);
	enum x86_result (*write)(struct x86 *x, u64 linear, const void *data, unsigned bytes, unsigned access);
	/* Would a write (or read) of so many bytes succeed?  For the second store of two. */
	enum x86_result (*probe)(struct x86 *x, u64 linear, unsigned bytes, unsigned access);
	/*
	 * For locked instructions: *host is a pointer at which a host atomic does it, or
	 * NULL (device memory, or a page crossing): then lock/unlock make read and write
	 * one unit among the users of this bus.
	 */
	enum x86_result (*map)(struct x86 *x, u64 linear, unsigned bytes, unsigned access, void **host);
	void (*lock)(struct x86 *x);
	void (*unlock)(struct x86 *x);

	enum x86_result (*in)(struct x86 *x, u16 port, unsigned bytes, u32 *value);
	enum x86_result (*out)(struct x86 *x, u16 port, unsigned bytes, u32 value);

	/* Called where x->hooked has the bit.  X86_OK: not intercepted after all. */
	enum x86_result (*hook)(struct x86 *x, const struct x86_insn *i, enum x86_hook what, u64 info);

	void (*cpuid)(struct x86 *x, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
	/* X86_FAULT with #GP in x->fault for an MSR that is not there.  Asked for every MSR. */
	enum x86_result (*rdmsr)(struct x86 *x, u32 msr, u64 *value);
	enum x86_result (*wrmsr)(struct x86 *x, u32 msr, u64 value);
	u64  (*rdtsc)(struct x86 *x);		/* TSC offset applied */
	u64  (*read_cr8)(struct x86 *x);
	void (*write_cr8)(struct x86 *x, u64 value);
	void (*flush)(struct x86 *x, enum x86_flush kind, u64 address);
	/* Paging registers, CPL or AC changed: choose the TLB, forget cached modes. */
	void (*mode_changed)(struct x86 *x);
	/* An X86_F_VECTOR instruction; NULL: X86_UNIMPLEMENTED.  CR0/CR4/XCR0 checks are done. */
	enum x86_result (*vector)(struct x86 *x, const struct x86_insn *i);
	/* FXSAVE, XSAVE, XRSTOR and such, VMRUN, VMLOAD, STGI, ...; NULL: X86_UNIMPLEMENTED */
	enum x86_result (*system)(struct x86 *x, const struct x86_insn *i);
};

struct x86 {
	/* -- touched by nearly every instruction -- */
	u64	gpr[16];
	u64	rip;
	u64	next_rip;		/* while executing: a branch overwrites it */
	u64	rflags;			/* always with X86_FLAG_1 */
	struct x86_tlb *tlb;		/* for data accesses at the current CPL */
	const struct x86_bus *bus;
	u32	attention;		/* X86_ATTN_*; of the executing thread */
	u8	cpl;
	u8	code_bits;		/* 16, 32, 64: of CS */
	u8	stack_bits;		/* 16, 32, 64: of SS */
	u8	shadow;			/* 1 after STI, 2 after MOV/POP SS, until the next instruction is done */
	bool	flat;			/* 32-bit code whose ES CS SS DS are all flat and usable */
	u64	hooked;			/* bit enum x86_hook: ask bus->hook */

	/* -- the rest of the architectural state -- */
	struct x86_seg seg[X86_SEGMENTS];
	struct x86_table gdtr, idtr;
	u64	cr0, cr2, cr3, cr4, efer, xcr0;
	u64	dr[4], dr6, dr7;
	u64	star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
	u64	sysenter_cs, sysenter_esp, sysenter_eip;
	u64	pat;
	u32	pkru, pkrs;

	/* -- what this processor is -- */
	u64	features[4];		/* bit enum x86_feature */
	u64	cr4_valid, efer_valid;	/* bits that may be set */
	u8	phys_bits;
	bool	vendor_amd;		/* SYSENTER, SYSCALL, far branches: whose rules */

	/* -- what is going on -- */
	struct x86_fault fault;		/* with X86_FAULT */
	struct x86_event delivering;	/* valid inside x86_deliver() and until it succeeds */
	u64	scratch;		/* of the handlers; nothing between instructions */
	u64	debug_hits;		/* DR6 bits of traps that the instruction caused (a task's T bit) */
	bool	nmi_blocked;		/* IRET clears it, when it completes */
	u32	string_budget;		/* REP iterations before X86_REPEAT; set by the caller, e.g. 4096 */
};

/* The handler for a decoded instruction; never NULL.  [any] */
x86_exec_fn x86_bind(const struct x86 *x, const struct x86_insn *i);

/* Run one bound instruction.  [any] */
static inline enum x86_result x86_execute(struct x86 *x, const struct x86_insn *i)
{
	enum x86_result r;

	x->next_rip = x->rip + i->len;
	if (i->code_bits != 64)
		x->next_rip = (u32)x->next_rip;
	r = i->exec(x, i);
	if (LIKELY(r == X86_OK || r == X86_HALT))
		x->rip = x->next_rip;
	return r;
}

/*
 * Deliver an exception or interrupt through the IDT or IVT, in any mode, task gates
 * included.  Sets CR2 or DR6 for nothing: the caller has.  X86_OK: the handler's first
 * instruction is next.  X86_FAULT: delivery itself faulted, the new fault is in x->fault
 * (the caller decides on #DF or shutdown, see x86_combine()).  X86_EXIT: as ever; then and
 * on X86_FAULT x->delivering still says what was being delivered.
 */
enum x86_result x86_deliver(struct x86 *x, const struct x86_event *event);

/*
 * first was being delivered when second came: what to deliver instead.  X86_NO_VECTOR
 * for shutdown.  Reference: "#DF - Double-Fault Exception", table of combinations.
 */
unsigned x86_combine(unsigned first, unsigned second);

/* Do data accesses have to be aligned?  Then x->tlb must be x86_tlb_empty. */
static inline bool x86_is_alignment_checked(const struct x86 *x)
{
	return (x->rflags & X86_FLAG_AC) && (x->cr0 & X86_CR0_AM) && x->cpl == 3;
}

/* Derive code_bits, stack_bits, flat, then bus->mode_changed.  After any bulk change of state. */
void x86_mode_changed(struct x86 *x);

/*
 * Checked writes, as MOV CRn and WRMSR do them: X86_OK, or X86_FAULT with #GP(0).  They
 * flush the TLB and derive modes as needed.
 */
enum x86_result x86_write_cr0(struct x86 *x, u64 value);
enum x86_result x86_write_cr3(struct x86 *x, u64 value);
enum x86_result x86_write_cr4(struct x86 *x, u64 value);
enum x86_result x86_write_efer(struct x86 *x, u64 value);
enum x86_result x86_write_xcr0(struct x86 *x, u64 value);
void x86_write_pkru(struct x86 *x, u32 value);
void x86_write_pkrs(struct x86 *x, u32 value);

/* CR0/CR4/EFER/CS combinations that VMRUN and KVM_SET_SREGS refuse. */
bool x86_state_is_valid(const struct x86 *x);

/* The linear address of i's memory operand before segmentation: the effective address. */
u64 x86_effective_address(const struct x86 *x, const struct x86_insn *i);

/*
 * Segmentation: effective address to linear, with limit, type and canonical checks for so
 * many bytes.  X86_FAULT is #GP(0) or #SS(0).
 */
enum x86_result x86_linear(struct x86 *x, unsigned seg, u64 offset, unsigned bytes,
			   unsigned access, u64 *linear);

/* #vector, with or without an error code; return what they return. */
enum x86_result x86_raise(struct x86 *x, unsigned vector);
enum x86_result x86_raise_error(struct x86 *x, unsigned vector, u32 error);

/* The event that delivers x->fault, raised by x86_execute()'s last instruction. */
void x86_fault_event(const struct x86 *x, struct x86_event *event);

/*
 * DR6 bits (B0..B3) of enabled execution breakpoints at the current RIP; 0 without or
 * with RFLAGS.RF.  The caller raises #DB with them, as a fault, before the instruction.
 */
u64 x86_breakpoint_execute(const struct x86 *x);

/*
 * DR6 bits of enabled data or I/O breakpoints that an access hits.  Instructions do not
 * look: the bus does, which sees every access while x->tlb is x86_tlb_empty.
 */
u64 x86_breakpoint_data(const struct x86 *x, u64 linear, unsigned bytes, bool write);
u64 x86_breakpoint_io(const struct x86 *x, u16 port, unsigned bytes);

/*
 * Guest memory through a host pointer: one access of exactly this size, which may race
 * with other processors as guest code likes.  bytes is a constant 1, 2, 4 or 8.  Written
 * in assembly so that the compiler neither splits it nor a sanitizer reports it.
 */
static inline __attribute__((always_inline)) u64 x86_memory_get(const void *p, unsigned bytes)
{
	u64 v;
	u32 w;

	switch (bytes) {
	case 1: __asm__ volatile("movzbl %1, %0" : "=r"(w) : "m"(*(const u8 *)p)); return w;
	case 2: __asm__ volatile("movzwl %1, %0" : "=r"(w) : "m"(*(const u16 *)p)); return w;
	case 4: __asm__ volatile("movl %1, %0" : "=r"(w) : "m"(*(const u32 *)p)); return w;
	default: __asm__ volatile("movq %1, %0" : "=r"(v) : "m"(*(const u64 *)p)); return v;
	}
}

static inline __attribute__((always_inline)) void x86_memory_put(void *p, u64 v, unsigned bytes)
{
	switch (bytes) {
	case 1: __asm__ volatile("movb %1, %0" : "=m"(*(u8 *)p) : "q"((u8)v)); return;
	case 2: __asm__ volatile("movw %1, %0" : "=m"(*(u16 *)p) : "r"((u16)v)); return;
	case 4: __asm__ volatile("movl %1, %0" : "=m"(*(u32 *)p) : "r"((u32)v)); return;
	default: __asm__ volatile("movq %1, %0" : "=m"(*(u64 *)p) : "r"(v)); return;
	}
}

/* Memory operands, TLB first.  bytes is 1, 2, 4 or 8; linear as from x86_linear(). */
static inline enum x86_result x86_load(struct x86 *x, u64 linear, void *data, unsigned bytes)
{
	const struct x86_tlb_entry *e = &x->tlb->read[(linear >> PAGE_BITS) % X86_TLB_ENTRIES];

	if (LIKELY(((linear + bytes - 1) & ~(PAGE_BYTES - 1)) == e->tag)) {
		u64 v = x86_memory_get((const void *)(linear + e->addend), bytes);

		__builtin_memcpy(data, &v, bytes);
		return X86_OK;
	}
	return x->bus->read(x, linear, data, bytes, X86_READ | (x->cpl == 3 ? X86_USER : 0));
}

static inline enum x86_result x86_store(struct x86 *x, u64 linear, const void *data, unsigned bytes)
{
	const struct x86_tlb_entry *e = &x->tlb->write[(linear >> PAGE_BITS) % X86_TLB_ENTRIES];

	if (LIKELY(((linear + bytes - 1) & ~(PAGE_BYTES - 1)) == e->tag)) {
		u64 v = 0;

		__builtin_memcpy(&v, data, bytes);
		x86_memory_put((void *)(linear + e->addend), v, bytes);
		return X86_OK;
	}
	return x->bus->write(x, linear, data, bytes, X86_WRITE | (x->cpl == 3 ? X86_USER : 0));
}

#endif
