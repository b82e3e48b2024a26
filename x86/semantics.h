/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * semantics.h - what the executor's files share
 *
 * Binders choose a handler for a decoded instruction.  The rest are the building blocks
 * of system instructions: descriptors, stacks, control transfers.
 */
#ifndef X86_SEMANTICS_H
#define X86_SEMANTICS_H

#include "x86/exec.h"
#include "x86/feature.h"
#include "x86/operand.h"

/* -- binders, one a file -------------------------------------------------------------- */
x86_exec_fn x86_bind_alu(const struct x86_insn *i);
x86_exec_fn x86_bind_lock(const struct x86_insn *i);	/* LOCK, XCHG with memory, CMPXCHG8B/16B */
x86_exec_fn x86_bind_move(const struct x86_insn *i);
x86_exec_fn x86_bind_shift(const struct x86_insn *i);
x86_exec_fn x86_bind_multiply(const struct x86_insn *i);
x86_exec_fn x86_bind_bit(const struct x86_insn *i);
x86_exec_fn x86_bind_string(const struct x86_insn *i);
x86_exec_fn x86_bind_stack(const struct x86_insn *i);
x86_exec_fn x86_bind_branch(const struct x86_insn *i);
x86_exec_fn x86_bind_far(const struct x86_insn *i);
x86_exec_fn x86_bind_flag(const struct x86_insn *i);
x86_exec_fn x86_bind_segment(const struct x86_insn *i);
x86_exec_fn x86_bind_control(const struct x86_insn *i);
x86_exec_fn x86_bind_syscall(const struct x86_insn *i);
x86_exec_fn x86_bind_system(const struct x86_insn *i);

HANDLER(x86_exec_ud);			/* #UD */
HANDLER(x86_exec_nop);
HANDLER(x86_exec_vector);

/* -- modes and privilege -------------------------------------------------------------- */
INLINE bool mode_real(const struct x86 *x) { return !(x->cr0 & X86_CR0_PE); }
INLINE bool mode_vm86(const struct x86 *x) { return (x->rflags & X86_FLAG_VM) && !mode_real(x); }
INLINE bool mode_protected(const struct x86 *x)
{
	return !mode_real(x) && !(x->rflags & X86_FLAG_VM);
}
INLINE bool mode_long(const struct x86 *x) { return x->efer & X86_EFER_LMA; }
INLINE unsigned iopl(const struct x86 *x) { return (unsigned)(x->rflags >> 12 & 3); }
INLINE unsigned user_access(const struct x86 *x) { return x->cpl == 3 ? X86_USER : 0; }
INLINE enum x86_result raise_gp(struct x86 *x) { return x86_raise_error(x, X86_GP, 0); }

INLINE bool is_canonical(const struct x86 *x, u64 a)
{
	unsigned shift = x->cr4 & X86_CR4_LA57 ? 7 : 16;

	return (u64)((s64)(a << shift) >> shift) == a;
}

/* Ask the hypervisor, if it wants to be asked. */
INLINE enum x86_result intercept(struct x86 *x, const struct x86_insn *i, enum x86_hook what,
				 u64 info)
{
	return UNLIKELY(x->hooked & BIT_U64(what)) ? x->bus->hook(x, i, what, info) : X86_OK;
}

/* Replace the bits of mask in RFLAGS; TF, IF, AC and such take effect. */
void x86_flags_write(struct x86 *x, u64 value, u64 mask);

/* SS or another data segment changed: derive stack_bits and flat. */
void x86_segments_changed(struct x86 *x);

/* A new CS is in force, perhaps with a new CPL: derive what depends on it. */
void x86_code_changed(struct x86 *x, const struct x86_seg *cs, unsigned cpl);

/* -- memory as the system sees it: supervisor, whatever the CPL ----------------------- */
enum x86_result x86_system_read(struct x86 *x, u64 linear, void *data, unsigned bytes);
enum x86_result x86_system_write(struct x86 *x, u64 linear, const void *data, unsigned bytes);

/* Memory operands of any size (descriptor-table registers, bounds, far pointers). */
enum x86_result x86_operand_read(struct x86 *x, const struct x86_insn *i, unsigned skip, void *data,
				 unsigned bytes);
enum x86_result x86_operand_write(struct x86 *x, const struct x86_insn *i, const void *data,
				  unsigned bytes);

/* x86_linear() with a segment that need not be loaded yet; error is for #SS. */
enum x86_result x86_segment_linear(struct x86 *x, const struct x86_seg *s, unsigned seg, u64 offset,
				   unsigned bytes, unsigned access, u64 *linear);

/* -- descriptors ---------------------------------------------------------------------- */
/* A descriptor with where it came from. */
struct x86_descriptor {
	u64 low, high;		/* high: the second half of a 16-byte one */
	u64 address;
};
INLINE unsigned descriptor_type(const struct x86_descriptor *d)
{
	return (unsigned)(d->low >> 40 & 15);
}
INLINE bool descriptor_is_system(const struct x86_descriptor *d) { return !(d->low >> 44 & 1); }
INLINE unsigned descriptor_dpl(const struct x86_descriptor *d)
{
	return (unsigned)(d->low >> 45 & 3);
}
INLINE bool descriptor_is_present(const struct x86_descriptor *d) { return d->low >> 47 & 1; }
INLINE bool descriptor_is_code(const struct x86_descriptor *d) { return (d->low >> 43 & 3) == 3; }
INLINE bool descriptor_is_conforming(const struct x86_descriptor *d) { return d->low >> 42 & 1; }
INLINE u16 gate_selector(const struct x86_descriptor *d) { return (u16)(d->low >> 16); }
INLINE u32 gate_offset(const struct x86_descriptor *d)
{
	return (u32)(d->low & 0xffff) | (u32)(d->low >> 32 & 0xffff0000);
}

/*
 * Fetch what selector (not null) selects; a selector beyond its table raises vector with
 * the selector | ext.  In long mode, system descriptors are read whole.
 */
enum x86_result x86_descriptor_read(struct x86 *x, u16 selector, unsigned vector, unsigned ext,
				    struct x86_descriptor *d);
/* The same for instructions that report in ZF: *found instead of #GP. */
enum x86_result x86_descriptor_find(struct x86 *x, u16 selector, struct x86_descriptor *d,
				    bool *found);
void x86_descriptor_segment(const struct x86_descriptor *d, u16 selector, struct x86_seg *s);
/* Set the accessed bit in memory (and in d) unless it is set. */
enum x86_result x86_descriptor_accessed(struct x86 *x, struct x86_descriptor *d);

/*
 * What loading selector into ES, SS, DS, FS or GS at privilege cpl would give.  vector:
 * #GP, or #TS from a task switch or a stack switch.
 */
enum x86_result x86_segment_check(struct x86 *x, unsigned seg, u16 selector, unsigned cpl,
				  unsigned vector, unsigned ext, struct x86_seg *s);
/* Load it; nothing has changed on a fault. */
enum x86_result x86_segment_load(struct x86 *x, unsigned seg, u16 selector);
/* As real and virtual-8086 mode do. */
void x86_segment_real(struct x86 *x, unsigned seg, u16 selector, struct x86_seg *s);
/* After a change of CPL to outer: segments that are now too privileged become null. */
void x86_segments_demote(struct x86 *x);

/* -- stacks --------------------------------------------------------------------------- */
/* A stack being worked on: nothing of x changes until x86_stack_close(). */
struct x86_stack {
	struct x86_seg ss;
	u64 sp;
	unsigned bits;		/* 16, 32, 64 */
	unsigned access;	/* X86_USER or 0 */
	u32 error;		/* of the #SS of a push beyond its limit */
};
void x86_stack_open(const struct x86 *x, struct x86_stack *s);
enum x86_result x86_stack_push(struct x86 *x, struct x86_stack *s, u64 v, unsigned bytes);
enum x86_result x86_stack_pop(struct x86 *x, struct x86_stack *s, u64 *v, unsigned bytes);
/* RSP = s->sp, as wide as the stack is. */
void x86_stack_close(struct x86 *x, const struct x86_stack *s);
/* SS:SP (and SS descriptor) for entering privilege level, from the TSS; ext as in error codes. */
enum x86_result x86_stack_of_level(struct x86 *x, unsigned level, unsigned ext,
				   struct x86_stack *s);
/* Entry n (0..2: RSPn, 3..9: IST1..7) of a 64-bit TSS. */
enum x86_result x86_stack_of_tss64(struct x86 *x, unsigned n, unsigned ext, u64 *sp);

/* -- control transfers ---------------------------------------------------------------- */
/* Is target within the current code segment?  #GP(0) otherwise. */
enum x86_result x86_branch_check(struct x86 *x, u64 target);
/* IRET with NT, CALL and JMP to a TSS or task gate, task gate in the IDT. */
enum x86_result x86_task_switch(struct x86 *x, const struct x86_insn *i, unsigned reason,
				u16 selector, const struct x86_event *event, u64 return_rip);
/* May the current code access so many ports?  X86_OK or #GP(0). */
enum x86_result x86_io_allowed(struct x86 *x, u16 port, unsigned bytes);
/* INT n and kin through the IDT: delivers and makes the handler's first instruction next. */
enum x86_result x86_interrupt_software(struct x86 *x, const struct x86_insn *i, unsigned vector);

#endif
