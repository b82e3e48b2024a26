// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_stack.c - PUSH POP PUSHA POPA PUSHF POPF ENTER LEAVE, and stacks in general
 *
 * 64-bit code has fast forms; the rest works on a struct x86_stack, a copy of SS and the
 * stack pointer that is put back when everything has succeeded.
 */
#include "x86/operand.h"
#include "x86/semantics.h"

static u64 stack_mask(unsigned bits)
{
	return bits == 64 ? ~0ull : bits == 32 ? 0xffffffffull : 0xffff;
}

void x86_stack_open(const struct x86 *x, struct x86_stack *s)
{
	*s = (struct x86_stack){
		.ss = x->seg[X86_SS], .sp = x->gpr[X86_RSP] & stack_mask(x->stack_bits),
		.bits = x->stack_bits, .access = user_access(x),
	};
}

void x86_stack_close(struct x86 *x, const struct x86_stack *s)
{
	reg_set(x, X86_RSP, s->sp, s->bits / 8);
}

static enum x86_result stack_linear(struct x86 *x, const struct x86_stack *s, unsigned bytes,
				    unsigned access, u64 *a)
{
	enum x86_result r;
	u8 code_bits = x->code_bits;

	if (s->bits == 64) {
		*a = s->sp;
		if (is_canonical(x, s->sp) && is_canonical(x, s->sp + bytes - 1))
			return X86_OK;
		return x86_raise_error(x, X86_SS_FAULT, s->error);
	}
	x->code_bits = 32;		/* a transfer may be leaving 64-bit code */
	r = x86_segment_linear(x, &s->ss, X86_LDTR, s->sp, bytes, access, a);
	x->code_bits = code_bits;
	return r ? x86_raise_error(x, X86_SS_FAULT, s->error) : X86_OK;
}

enum x86_result x86_stack_push(struct x86 *x, struct x86_stack *s, u64 v, unsigned bytes)
{
	struct x86_stack next = *s;
	enum x86_result r;
	u64 a;

	next.sp = (s->sp - bytes) & stack_mask(s->bits);
	r = stack_linear(x, &next, bytes, X86_WRITE, &a);
	if (r)
		return r;
	if (s->access == user_access(x)) {
		switch (bytes) {
		case 2: r = linear_store(x, X86_SS, a, v, 2); break;
		case 4: r = linear_store(x, X86_SS, a, v, 4); break;
		default: r = linear_store(x, X86_SS, a, v, 8); break;
		}
	} else {
		r = x->bus->write(x, a, &v, bytes, X86_WRITE | s->access);
	}
	if (!r)
		s->sp = next.sp;
	return r;
}

enum x86_result x86_stack_pop(struct x86 *x, struct x86_stack *s, u64 *v, unsigned bytes)
{
	enum x86_result r;
	u64 a;

	*v = 0;
	r = stack_linear(x, s, bytes, X86_READ, &a);
	if (r)
		return r;
	switch (bytes) {
	case 2: r = linear_load(x, X86_SS, a, v, 2); break;
	case 4: r = linear_load(x, X86_SS, a, v, 4); break;
	default: r = linear_load(x, X86_SS, a, v, 8); break;
	}
	if (!r)
		s->sp = (s->sp + bytes) & stack_mask(s->bits);
	return r;
}

/* -- PUSH ----------------------------------------------------------------------------- */
static enum x86_result push_any(struct x86 *x, u64 v, unsigned bytes)
{
	struct x86_stack s;
	enum x86_result r;

	x86_stack_open(x, &s);
	r = x86_stack_push(x, &s, v, bytes);
	if (!r)
		x86_stack_close(x, &s);
	return r;
}

INLINE enum x86_result push(struct x86 *x, u64 v, unsigned bytes)
{
	enum x86_result r;
	u64 a;

	if (LIKELY(x->code_bits == 64))
		a = x->gpr[X86_RSP] - bytes;
	else if (LIKELY(x->flat && x->stack_bits == 32))
		a = (u32)(x->gpr[X86_RSP] - bytes);
	else
		return push_any(x, v, bytes);
	r = linear_store(x, X86_SS, a, v, bytes);
	if (LIKELY(!r))
		x->gpr[X86_RSP] = a;
	return r;
}

INLINE enum x86_result push_operand(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				    unsigned bytes)
{
	u64 v;
	enum x86_result r = operand_get(x, i, w, bytes, &v);

	if (w != X86_REG && UNLIKELY(r))
		return r;
	return push(x, v, bytes);
}
HANDLERS(push_e, push_operand(x, i, WHERE, BYTES == 1 ? 8 : BYTES))
HANDLERS_BY_SIZE(push_i, push(x, i->imm, BYTES == 1 ? 8 : BYTES))
HANDLERS_BY_SIZE(push_s, push(x, x->seg[i->reg].selector, BYTES == 1 ? 8 : BYTES))

/* -- POP ------------------------------------------------------------------------------ */
INLINE enum x86_result pop(struct x86 *x, u64 *v, unsigned bytes)
{
	struct x86_stack s;
	enum x86_result r;
	u64 a = x->gpr[X86_RSP];

	if (UNLIKELY(x->code_bits != 64)) {
		x86_stack_open(x, &s);
		r = x86_stack_pop(x, &s, &x->scratch, bytes);
		*v = x->scratch;
		if (!r)
			x86_stack_close(x, &s);
		return r;
	}
	r = linear_load(x, X86_SS, a, v, bytes);
	if (LIKELY(!r))
		x->gpr[X86_RSP] = a + bytes;
	return r;
}

INLINE enum x86_result pop_register(struct x86 *x, const struct x86_insn *i, unsigned bytes)
{
	u64 v;
	enum x86_result r = pop(x, &v, bytes);

	if (LIKELY(!r))
		reg_set(x, i->rm, v, bytes);
	return r;
}
HANDLERS_BY_SIZE(pop_reg, pop_register(x, i, BYTES == 1 ? 8 : BYTES))

/* A memory operand is addressed after the pop. */
INLINE enum x86_result pop_operand(struct x86 *x, const struct x86_insn *i, unsigned bytes)
{
	u64 rsp = x->gpr[X86_RSP], v;
	enum x86_result r = pop(x, &v, bytes);

	if (r)
		return r;
	r = operand_set(x, i, X86_MEM, bytes, v);
	if (r)
		x->gpr[X86_RSP] = rsp;
	return r;
}
HANDLERS_BY_SIZE(pop_mem, pop_operand(x, i, BYTES == 1 ? 8 : BYTES))

static HANDLER(pop_segment)
{
	struct x86_stack s;
	enum x86_result r;
	u64 v;

	x86_stack_open(x, &s);
	r = x86_stack_pop(x, &s, &v, i->op_bytes);
	if (!r)
		r = x86_segment_load(x, i->reg, (u16)v);
	if (r)
		return r;
	x86_stack_close(x, &s);
	if (i->reg == X86_SS) {
		x->shadow = 2;
		x->attention |= X86_ATTN_SHADOW;
	}
	return X86_OK;
}

/* -- PUSHA, POPA ---------------------------------------------------------------------- */
static HANDLER(exec_pusha)
{
	struct x86_stack s;

	x86_stack_open(x, &s);
	for (unsigned n = X86_RAX; n <= X86_RDI; n++) {
		enum x86_result r = x86_stack_push(x, &s, x->gpr[n], i->op_bytes);

		if (r)
			return r;
	}
	x86_stack_close(x, &s);
	return X86_OK;
}

static HANDLER(exec_popa)
{
	struct x86_stack s;
	u64 v[8];

	x86_stack_open(x, &s);
	for (unsigned n = 8; n-- > 0;) {
		enum x86_result r = x86_stack_pop(x, &s, &v[n], i->op_bytes);

		if (r)
			return r;
	}
	for (unsigned n = 0; n < 8; n++)
		if (n != X86_RSP)
			reg_set(x, n, v[n], i->op_bytes);
	x86_stack_close(x, &s);
	return X86_OK;
}

/* -- PUSHF, POPF ---------------------------------------------------------------------- */
static HANDLER(exec_pushf)
{
	u64 f = x->rflags & ~(X86_FLAG_RF | X86_FLAG_VM);
	enum x86_result r;

	if (mode_vm86(x) && iopl(x) < 3) {
		if (!(x->cr4 & X86_CR4_VME) || i->op_bytes != 2)
			return raise_gp(x);
		f = (f & ~X86_FLAG_IF) | X86_FLAG_IOPL | (f & X86_FLAG_VIF ? X86_FLAG_IF : 0);
	}
	r = intercept(x, i, X86_HOOK_PUSHF, 0);
	return r ? r : push_any(x, f, i->op_bytes);
}

static HANDLER(exec_popf)
{
	u64 mask = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT | X86_FLAG_AC |
		   X86_FLAG_ID;
	bool virtual = false;
	struct x86_stack s;
	enum x86_result r;
	u64 f;

	if (mode_vm86(x) && iopl(x) < 3) {
		if (!(x->cr4 & X86_CR4_VME) || i->op_bytes != 2)
			return raise_gp(x);
		virtual = true;
	} else if (x->cpl <= iopl(x)) {
		mask |= X86_FLAG_IF;
	}
	if (x->cpl == 0)
		mask |= X86_FLAG_IOPL;
	r = intercept(x, i, X86_HOOK_POPF, 0);
	x86_stack_open(x, &s);
	if (!r)
		r = x86_stack_pop(x, &s, &f, i->op_bytes);
	if (r)
		return r;
	if (virtual) {
		if ((f & X86_FLAG_TF) || ((f & X86_FLAG_IF) && (x->rflags & X86_FLAG_VIP)))
			return raise_gp(x);
		f |= f & X86_FLAG_IF ? X86_FLAG_VIF : 0;
	}
	x86_stack_close(x, &s);
	if (i->op_bytes == 2)
		mask &= 0xffff;
	else
		mask |= X86_FLAG_RF, f &= ~X86_FLAG_RF;
	x86_flags_write(x, f, virtual ? mask | X86_FLAG_VIF : mask);
	return X86_OK;
}

/* -- ENTER, LEAVE --------------------------------------------------------------------- */
static HANDLER(exec_enter)
{
	unsigned level = i->imm2 & 31, bytes = i->op_bytes;
	struct x86_stack s, frames;
	enum x86_result r;
	u64 frame, v, a;

	x86_stack_open(x, &s);
	frames = s;
	frames.sp = x->gpr[X86_RBP] & stack_mask(s.bits);
	r = x86_stack_push(x, &s, x->gpr[X86_RBP], bytes);
	if (r)
		return r;
	frame = s.sp;
	for (unsigned n = 1; n < level; n++) {
		/* A pop adds one back. */
		frames.sp = (frames.sp - 2 * bytes) & stack_mask(s.bits);
		if (n == 1)
			frames.sp = (frames.sp + bytes) & stack_mask(s.bits);
		r = x86_stack_pop(x, &frames, &v, bytes);
		if (!r)
			r = x86_stack_push(x, &s, v, bytes);
		if (r)
			return r;
	}
	if (level) {
		r = x86_stack_push(x, &s, frame, bytes);
		if (r)
			return r;
	}
	s.sp = (s.sp - (u16)i->imm) & stack_mask(s.bits);
	r = stack_linear(x, &s, bytes, X86_WRITE, &a);	/* the frame must be there */
	if (!r)
		r = x->bus->probe(x, a, bytes, X86_WRITE | s.access);
	if (r)
		return r;
	reg_set(x, X86_RBP, frame, bytes);
	x86_stack_close(x, &s);
	return X86_OK;
}

static HANDLER(leave_64)
{
	u64 a = x->gpr[X86_RBP], v;
	enum x86_result r = linear_load(x, X86_SS, a, &v, 8);

	if (r)
		return r;
	x->gpr[X86_RSP] = a + 8;
	x->gpr[X86_RBP] = v;
	return X86_OK;
}

static HANDLER(leave_any)
{
	struct x86_stack s;
	enum x86_result r;
	u64 v;

	x86_stack_open(x, &s);
	s.sp = x->gpr[X86_RBP] & stack_mask(s.bits);
	r = x86_stack_pop(x, &s, &v, i->op_bytes);
	if (r)
		return r;
	x86_stack_close(x, &s);
	reg_set(x, X86_RBP, v, i->op_bytes);
	return X86_OK;
}

x86_exec_fn x86_bind_stack(const struct x86_insn *i)
{
	static const x86_exec_fn push_imm[4] = SIZES_OF(push_i), push_seg[4] = SIZES_OF(push_s),
				 pop_r[4] = SIZES_OF(pop_reg), pop_m[4] = SIZES_OF(pop_mem);
	enum x86_where w = operand_where(i);
	unsigned n = size_index(i->op_bytes);

	switch (i->op) {
	case X86_OP_PUSH:
		return i->form == X86_I	  ? push_imm[n]
		       : i->form == X86_S ? push_seg[n]
					  : push_e[w][n];
	case X86_OP_POP:
		return i->form == X86_S ? pop_segment : w == X86_REG ? pop_r[n] : pop_m[n];
	case X86_OP_PUSHA: return exec_pusha;
	case X86_OP_POPA: return exec_popa;
	case X86_OP_PUSHF: return exec_pushf;
	case X86_OP_POPF: return exec_popf;
	case X86_OP_ENTER: return exec_enter;
	case X86_OP_LEAVE: return i->code_bits == 64 && i->op_bytes == 8 ? leave_64 : leave_any;
	default: return x86_exec_ud;
	}
}
