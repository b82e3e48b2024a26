// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_far.c - far JMP, CALL and RET, IRET, INT n, INT3, INTO, INT1, BOUND
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Control-Transfer Privilege
 * Checks"; vol. 3, "CALL (Far)", "RET (Far)", "IRET".
 */
#include "x86/operand.h"
#include "x86/semantics.h"

enum { TSS_16 = 1, GATE_CALL_16 = 4, GATE_TASK = 5, TSS_32 = 9, GATE_CALL = 12 };

static bool segment_is_64(const struct x86 *x, const struct x86_seg *cs)
{
	return mode_long(x) && (cs->attr & X86_SEG_L);
}

/* Is rip within cs, which is about to be loaded? */
static enum x86_result target_check(struct x86 *x, const struct x86_seg *cs, u64 rip)
{
	if (segment_is_64(x, cs) ? !is_canonical(x, rip) : rip > cs->limit)
		return raise_gp(x);
	return X86_OK;
}

static enum x86_result selector_fault(struct x86 *x, unsigned vector, u16 selector)
{
	return x86_raise_error(x, vector, selector & 0xfffcu);
}

/* A code descriptor that is about to run at level: present, and not both L and D. */
static enum x86_result code_finish(struct x86 *x, struct x86_descriptor *d, u16 selector,
				   unsigned level, struct x86_seg *cs)
{
	enum x86_result r;

	if (!descriptor_is_present(d))
		return selector_fault(x, X86_NP, selector);
	if (mode_long(x) && (d->low >> 53 & 3) == 3)
		return selector_fault(x, X86_GP, selector);
	r = x86_descriptor_accessed(x, d);
	x86_descriptor_segment(d, (u16)((selector & ~3u) | level), cs);
	return r;
}

static void code_enter(struct x86 *x, const struct x86_seg *cs, unsigned cpl, u64 rip)
{
	x86_code_changed(x, cs, cpl);
	x->next_rip = rip;
}

/* -- real and virtual-8086 mode ------------------------------------------------------- */
static enum x86_result far_real(struct x86 *x, const struct x86_insn *i, bool call, u16 selector,
				u64 rip)
{
	struct x86_stack s;
	struct x86_seg cs;
	enum x86_result r;

	x86_segment_real(x, X86_CS, selector, &cs);
	if (rip > cs.limit)
		return raise_gp(x);
	if (call) {
		x86_stack_open(x, &s);
		r = x86_stack_push(x, &s, x->seg[X86_CS].selector, i->op_bytes);
		if (!r)
			r = x86_stack_push(x, &s, x->next_rip, i->op_bytes);
		if (r)
			return r;
		x86_stack_close(x, &s);
	}
	code_enter(x, &cs, x->cpl, rip);
	return X86_OK;
}

/* -- through a call gate -------------------------------------------------------------- */
/* To an inner level: a new stack, the old one's pointer and parameters on it. */
static enum x86_result gate_inner(struct x86 *x, const struct x86_descriptor *gate, unsigned level,
				  const struct x86_seg *cs, u64 rip, unsigned bytes)
{
	unsigned parameters = bytes == 8 ? 0 : (unsigned)(gate->low >> 32 & 31);
	struct x86_stack s = { .bits = 64 }, old;
	enum x86_result r;
	u64 v[32];

	x86_stack_open(x, &old);
	if (bytes == 8)
		r = x86_stack_of_tss64(x, level, 0, &s.sp);
	else
		r = x86_stack_of_level(x, level, 0, &s);
	for (unsigned n = 0; !r && n < parameters; n++)
		r = x86_stack_pop(x, &old, &v[n], bytes);
	if (!r)
		r = x86_stack_push(x, &s, x->seg[X86_SS].selector, bytes);
	if (!r)
		r = x86_stack_push(x, &s, x->gpr[X86_RSP], bytes);
	for (unsigned n = parameters; !r && n-- > 0;)
		r = x86_stack_push(x, &s, v[n], bytes);
	if (!r)
		r = x86_stack_push(x, &s, x->seg[X86_CS].selector, bytes);
	if (!r)
		r = x86_stack_push(x, &s, x->next_rip, bytes);
	if (r)
		return r;
	if (bytes == 8)
		s.ss = (struct x86_seg){ .selector = (u16)level, .attr = (u16)(level << 5) };
	x->seg[X86_SS] = s.ss;
	code_enter(x, cs, level, rip);
	x86_stack_close(x, &s);
	return X86_OK;
}

static enum x86_result far_gate(struct x86 *x, bool call, u16 selector,
				const struct x86_descriptor *gate)
{
	unsigned bytes = mode_long(x) ? 8 : descriptor_type(gate) == GATE_CALL ? 4 : 2, level, dpl;
	u64 rip = gate_offset(gate);
	u16 target = gate_selector(gate);
	struct x86_descriptor d;
	struct x86_stack s;
	struct x86_seg cs;
	enum x86_result r;

	if (mode_long(x)) {
		if (gate->high >> 40 & 31)
			return selector_fault(x, X86_GP, selector);
		rip |= gate->high << 32;
	} else if (bytes == 2) {
		rip = (u16)rip;
	}
	if (!descriptor_is_present(gate))
		return selector_fault(x, X86_NP, selector);
	if (!(target & 0xfffc))
		return raise_gp(x);
	r = x86_descriptor_read(x, target, X86_GP, 0, &d);
	if (r)
		return r;
	dpl = descriptor_dpl(&d);
	if (!descriptor_is_code(&d) || dpl > x->cpl ||
	    (!call && !descriptor_is_conforming(&d) && dpl != x->cpl) ||
	    (mode_long(x) && (d.low >> 53 & 3) != 1))
		return selector_fault(x, X86_GP, target);
	level = call && !descriptor_is_conforming(&d) ? dpl : x->cpl;
	r = code_finish(x, &d, target, level, &cs);
	if (!r)
		r = target_check(x, &cs, rip);
	if (r)
		return r;
	if (level < x->cpl)
		return gate_inner(x, gate, level, &cs, rip, bytes);
	if (call) {
		x86_stack_open(x, &s);
		r = x86_stack_push(x, &s, x->seg[X86_CS].selector, bytes);
		if (!r)
			r = x86_stack_push(x, &s, x->next_rip, bytes);
		if (r)
			return r;
	}
	code_enter(x, &cs, level, rip);
	if (call)
		x86_stack_close(x, &s);
	return X86_OK;
}

/* -- JMP and CALL --------------------------------------------------------------------- */
static enum x86_result far_code(struct x86 *x, const struct x86_insn *i, bool call, u16 selector,
				u64 rip, struct x86_descriptor *d)
{
	struct x86_stack s;
	struct x86_seg cs;
	enum x86_result r;
	bool ok = descriptor_is_conforming(d) ? descriptor_dpl(d) <= x->cpl
		: (selector & 3u) <= x->cpl && descriptor_dpl(d) == x->cpl;

	if (!ok)
		return selector_fault(x, X86_GP, selector);
	r = code_finish(x, d, selector, x->cpl, &cs);
	if (!r)
		r = target_check(x, &cs, rip);
	if (r)
		return r;
	if (call) {
		x86_stack_open(x, &s);
		r = x86_stack_push(x, &s, x->seg[X86_CS].selector, i->op_bytes);
		if (!r)
			r = x86_stack_push(x, &s, x->next_rip, i->op_bytes);
		if (r)
			return r;
	}
	code_enter(x, &cs, x->cpl, rip);
	if (call)
		x86_stack_close(x, &s);
	return X86_OK;
}

static enum x86_result far_transfer(struct x86 *x, const struct x86_insn *i, u16 selector, u64 rip)
{
	bool call = i->op == X86_OP_CALLF;
	struct x86_descriptor d;
	unsigned type, dpl;
	enum x86_result r;

	if (!mode_protected(x))
		return far_real(x, i, call, selector, rip);
	if (!(selector & 0xfffc))
		return raise_gp(x);
	r = x86_descriptor_read(x, selector, X86_GP, 0, &d);
	if (r)
		return r;
	if (descriptor_is_code(&d))
		return far_code(x, i, call, selector, rip, &d);
	type = descriptor_type(&d);
	dpl = descriptor_dpl(&d);
	if (!descriptor_is_system(&d) || dpl < x->cpl || dpl < (selector & 3u))
		return selector_fault(x, X86_GP, selector);
	if (type == GATE_CALL || (type == GATE_CALL_16 && !mode_long(x)))
		return far_gate(x, call, selector, &d);
	if (mode_long(x) || (type != GATE_TASK && type != TSS_16 && type != TSS_32))
		return selector_fault(x, X86_GP, selector);
	if (!descriptor_is_present(&d))
		return selector_fault(x, X86_NP, selector);
	if (type == GATE_TASK)
		selector = gate_selector(&d);
	return x86_task_switch(x, i, call ? X86_TASK_CALL : X86_TASK_JMP, selector, NULL,
			       x->next_rip);
}

static HANDLER(exec_far)
{
	u64 offset = i->imm & size_mask(i->op_bytes);
	u16 selector = i->imm2;
	enum x86_result r = X86_OK;

	if (i->form != X86_FAR) {
		offset = 0;
		r = x86_operand_read(x, i, 0, &offset, i->op_bytes);
		if (!r)
			r = x86_operand_read(x, i, i->op_bytes, &selector, 2);
	}
	return r ? r : far_transfer(x, i, selector, offset);
}

/* -- returns -------------------------------------------------------------------------- */
/* The code segment that RET or IRET returns to, at the level that its selector says. */
static enum x86_result return_segment(struct x86 *x, u16 selector, u64 rip, struct x86_seg *cs)
{
	unsigned rpl = selector & 3;
	struct x86_descriptor d;
	enum x86_result r;

	if (!(selector & 0xfffc))
		return raise_gp(x);
	r = x86_descriptor_read(x, selector, X86_GP, 0, &d);
	if (r)
		return r;
	if (rpl < x->cpl || !descriptor_is_code(&d) ||
	    (descriptor_is_conforming(&d) ? descriptor_dpl(&d) > rpl : descriptor_dpl(&d) != rpl))
		return selector_fault(x, X86_GP, selector);
	r = code_finish(x, &d, selector, rpl, cs);
	return r ? r : target_check(x, cs, rip);
}

/* SS to return to: null is fine for 64-bit code of levels 0 to 2. */
static enum x86_result return_stack(struct x86 *x, u16 selector, const struct x86_seg *cs,
				    unsigned level, struct x86_seg *ss)
{
	if (!(selector & 0xfffc)) {
		if (!segment_is_64(x, cs) || level == 3 || (selector & 3u) != level)
			return raise_gp(x);
		*ss = (struct x86_seg){ .selector = selector, .attr = (u16)(level << 5) };
		return X86_OK;
	}
	return x86_segment_check(x, X86_SS, selector, level, X86_GP, 0, ss);
}

/* CS, SS and SP in force; SP as wide as the new stack is. */
static void return_enter(struct x86 *x, const struct x86_seg *cs, const struct x86_seg *ss, u64 rsp,
			 u64 rip)
{
	unsigned level = cs->selector & 3;
	bool outer = level > x->cpl;

	x->seg[X86_SS] = *ss;
	code_enter(x, cs, level, rip);
	reg_set(x, X86_RSP, rsp, x->stack_bits / 8);
	if (outer)
		x86_segments_demote(x);
}

static HANDLER(exec_retf)
{
	u64 rip, selector, rsp, ss_selector, extra = i->form == X86_I ? (u16)i->imm : 0;
	struct x86_seg cs, ss;
	struct x86_stack s;
	enum x86_result r;

	x86_stack_open(x, &s);
	r = x86_stack_pop(x, &s, &rip, i->op_bytes);
	if (!r)
		r = x86_stack_pop(x, &s, &selector, i->op_bytes);
	if (r)
		return r;
	s.sp += extra;
	if (!mode_protected(x)) {
		x86_segment_real(x, X86_CS, (u16)selector, &cs);
		if (rip > cs.limit)
			return raise_gp(x);
		code_enter(x, &cs, x->cpl, rip);
		x86_stack_close(x, &s);
		return X86_OK;
	}
	r = return_segment(x, (u16)selector, rip, &cs);
	if (r)
		return r;
	if ((selector & 3) == x->cpl) {
		x86_stack_close(x, &s);
		code_enter(x, &cs, x->cpl, rip);
		return X86_OK;
	}
	if (s.bits != 64)
		s.sp &= s.bits == 32 ? 0xffffffff : 0xffff;
	r = x86_stack_pop(x, &s, &rsp, i->op_bytes);
	if (!r)
		r = x86_stack_pop(x, &s, &ss_selector, i->op_bytes);
	if (!r)
		r = return_stack(x, (u16)ss_selector, &cs, (unsigned)selector & 3, &ss);
	if (r)
		return r;
	return_enter(x, &cs, &ss, rsp + extra, rip);
	return X86_OK;
}

/* -- IRET ----------------------------------------------------------------------------- */
/* Bits that IRET may change at the current privilege, before it changes. */
static u64 iret_mask(const struct x86 *x, unsigned bytes)
{
	u64 mask = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT | X86_FLAG_RF |
		   X86_FLAG_AC | X86_FLAG_ID;

	if (x->cpl <= iopl(x))
		mask |= X86_FLAG_IF;
	if (x->cpl == 0)
		mask |= X86_FLAG_IOPL | X86_FLAG_VIF | X86_FLAG_VIP;
	return bytes == 2 ? mask & 0xffff : mask;
}

static enum x86_result iret_real(struct x86 *x, const struct x86_insn *i)
{
	bool virtual = mode_vm86(x) && iopl(x) < 3;
	u64 rip, selector, flags, mask = iret_mask(x, i->op_bytes) & ~(X86_FLAG_VIF | X86_FLAG_VIP);
	struct x86_stack s;
	struct x86_seg cs;
	enum x86_result r;

	x86_stack_open(x, &s);
	r = x86_stack_pop(x, &s, &rip, i->op_bytes);
	if (!r)
		r = x86_stack_pop(x, &s, &selector, i->op_bytes);
	if (!r)
		r = x86_stack_pop(x, &s, &flags, i->op_bytes);
	if (r)
		return r;
	if (mode_vm86(x))
		mask &= ~X86_FLAG_IOPL;
	if (virtual) {
		if ((flags & X86_FLAG_TF) || ((flags & X86_FLAG_IF) && (x->rflags & X86_FLAG_VIP)))
			return raise_gp(x);
		flags |= flags & X86_FLAG_IF ? X86_FLAG_VIF : 0;
		mask = (mask & ~X86_FLAG_IF) | X86_FLAG_VIF;
	}
	x86_segment_real(x, X86_CS, (u16)selector, &cs);
	if (rip > cs.limit)
		return raise_gp(x);
	x86_stack_close(x, &s);
	code_enter(x, &cs, x->cpl, rip);
	x86_flags_write(x, flags, mask);
	return X86_OK;
}

/* Back to virtual-8086 mode: the rest of the frame is ESP SS ES DS FS GS. */
static enum x86_result iret_vm86(struct x86 *x, struct x86_stack *s, u64 rip, u64 selector,
				 u64 flags)
{
	static const u8 order[] = { X86_SS, X86_ES, X86_DS, X86_FS, X86_GS };
	struct x86_seg cs;
	u64 rsp, v[5];
	enum x86_result r = x86_stack_pop(x, s, &rsp, 4);

	for (unsigned n = 0; !r && n < 5; n++)
		r = x86_stack_pop(x, s, &v[n], 4);
	if (r)
		return r;
	if (rip > 0xffff)
		return raise_gp(x);
	x86_flags_write(x, flags, iret_mask(x, 4) | X86_FLAG_VM);
	for (unsigned n = 0; n < 5; n++)
		x86_segment_real(x, order[n], (u16)v[n], &x->seg[order[n]]);
	x86_segment_real(x, X86_CS, (u16)selector, &cs);
	x->gpr[X86_RSP] = rsp;
	code_enter(x, &cs, 3, rip);
	return X86_OK;
}

static enum x86_result iret_protected(struct x86 *x, const struct x86_insn *i)
{
	u64 rip, selector, flags, rsp, ss_selector, mask = iret_mask(x, i->op_bytes);
	unsigned bytes = i->op_bytes;
	struct x86_seg cs, ss = x->seg[X86_SS];
	struct x86_stack s;
	enum x86_result r;
	bool outer;

	x86_stack_open(x, &s);
	r = x86_stack_pop(x, &s, &rip, bytes);
	if (!r)
		r = x86_stack_pop(x, &s, &selector, bytes);
	if (!r)
		r = x86_stack_pop(x, &s, &flags, bytes);
	if (r)
		return r;
	if ((flags & X86_FLAG_VM) && bytes == 4 && x->cpl == 0 && !mode_long(x))
		return iret_vm86(x, &s, rip, selector, flags);
	r = return_segment(x, (u16)selector, rip, &cs);
	if (r)
		return r;
	outer = (selector & 3) > x->cpl;
	if (outer || x->code_bits == 64) {
		r = x86_stack_pop(x, &s, &rsp, bytes);
		if (!r)
			r = x86_stack_pop(x, &s, &ss_selector, bytes);
		if (!r)
			r = return_stack(x, (u16)ss_selector, &cs, (unsigned)selector & 3, &ss);
		if (r)
			return r;
		return_enter(x, &cs, &ss, rsp, rip);
	} else {
		x86_stack_close(x, &s);
		code_enter(x, &cs, x->cpl, rip);
	}
	x86_flags_write(x, flags, mask);
	return X86_OK;
}

static enum x86_result iret_task(struct x86 *x, const struct x86_insn *i)
{
	u16 link;
	enum x86_result r;

	if (mode_long(x))
		return raise_gp(x);
	r = x86_system_read(x, x->seg[X86_TR].base, &link, 2);
	return r ? r : x86_task_switch(x, i, X86_TASK_IRET, link, NULL, x->next_rip);
}

static HANDLER(exec_iret)
{
	enum x86_result r;

	if (mode_vm86(x) && iopl(x) < 3 && !((x->cr4 & X86_CR4_VME) && i->op_bytes == 2))
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_IRET, 0);
	if (r)
		return r;
	if (!mode_protected(x))
		r = iret_real(x, i);
	else if (x->rflags & X86_FLAG_NT)
		r = iret_task(x, i);
	else
		r = iret_protected(x, i);
	if (!r && x->nmi_blocked) {
		x->nmi_blocked = false;
		x->attention |= X86_ATTN_FLAGS;
	}
	return r;
}

/* -- INT and BOUND -------------------------------------------------------------------- */
static HANDLER(exec_int) { return x86_interrupt_software(x, i, (u8)i->imm); }

/* INT3, INTO: exceptions, which the caller may intercept and delivers as traps. */
static HANDLER(exec_int3)
{
	x86_raise(x, i->op == X86_OP_INT3 ? X86_BP : X86_OF);
	x->fault.trap = true;
	return X86_FAULT;
}

static HANDLER(exec_into) { return x->rflags & X86_FLAG_OF ? exec_int3(x, i) : X86_OK; }

static HANDLER(exec_int1)
{
	enum x86_result r = intercept(x, i, X86_HOOK_ICEBP, 0);

	if (r)
		return r;
	x86_raise(x, X86_DB);
	x->fault.trap = x->fault.icebp = true;
	return X86_FAULT;
}

static HANDLER(exec_bound)
{
	s64 index = sign_extend(x->gpr[i->reg & 15], i->op_bytes), lower, upper;
	u64 lo = 0, hi = 0;
	enum x86_result r = x86_operand_read(x, i, 0, &lo, i->op_bytes);

	if (!r)
		r = x86_operand_read(x, i, i->op_bytes, &hi, i->op_bytes);
	if (r)
		return r;
	lower = sign_extend(lo, i->op_bytes);
	upper = sign_extend(hi, i->op_bytes);
	return index < lower || index > upper ? x86_raise(x, X86_BR) : X86_OK;
}

x86_exec_fn x86_bind_far(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_CALLF: case X86_OP_JMPF: return exec_far;
	case X86_OP_RETF: return exec_retf;
	case X86_OP_IRET: return exec_iret;
	case X86_OP_INT: return exec_int;
	case X86_OP_INT3: return exec_int3;
	case X86_OP_INTO: return exec_into;
	case X86_OP_INT1: return exec_int1;
	default: return exec_bound;
	}
}
