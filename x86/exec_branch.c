// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_branch.c - near JMP, Jcc, CALL, RET, LOOP, JRCXZ
 *
 * A branch replaces x->next_rip.  64-bit code, where the only check is for canonical form,
 * has handlers of its own.
 */
#include "x86/operand.h"
#include "x86/semantics.h"

NOINLINE enum x86_result x86_branch_check(struct x86 *x, u64 target)
{
	if (x->code_bits == 64 ? !is_canonical(x, target) : target > x->seg[X86_CS].limit)
		return raise_gp(x);
	return X86_OK;
}

INLINE enum x86_result jump_64(struct x86 *x, u64 target)
{
	if (UNLIKELY((u64)((s64)target >> 47) + 1 > 1)) {	/* LA57 allows more */
		enum x86_result r = x86_branch_check(x, target);

		if (r)
			return r;
	}
	x->next_rip = target;
	return X86_OK;
}

static enum x86_result jump_any(struct x86 *x, const struct x86_insn *i, u64 target)
{
	enum x86_result r;

	target &= size_mask(i->op_bytes);
	r = x86_branch_check(x, target);
	if (!r)
		x->next_rip = target;
	return r;
}

/* -- Jcc ------------------------------------------------------------------------------ */
#define EACH_CC(M) \
	M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define JCC(cc) \
	static HANDLER(jcc_##cc) \
	{ \
		return flags_condition(x->rflags, cc) ? jump_64(x, x->next_rip + i->imm) : X86_OK; \
	}
EACH_CC(JCC)
#define JCC_ROW(cc) jcc_##cc,
static const x86_exec_fn jcc_64[16] = { EACH_CC(JCC_ROW) };

static HANDLER(jcc_any)
{
	return flags_condition(x->rflags, i->opcode & 15) ? jump_any(x, i, x->next_rip + i->imm)
							  : X86_OK;
}

/* -- JMP ------------------------------------------------------------------------------ */
static HANDLER(jmp_64) { return jump_64(x, x->next_rip + i->imm); }
static HANDLER(jmp_any) { return jump_any(x, i, x->next_rip + i->imm); }

INLINE enum x86_result jmp_operand(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				   unsigned bytes)
{
	u64 v;
	enum x86_result r = operand_get(x, i, w, bytes, &v);

	if (UNLIKELY(r))
		return r;
	return bytes == 8 ? jump_64(x, v) : jump_any(x, i, v);
}
HANDLERS(jmp_e, jmp_operand(x, i, WHERE, BYTES))

/* -- CALL ----------------------------------------------------------------------------- */
INLINE enum x86_result call_64(struct x86 *x, u64 target)
{
	u64 back = x->next_rip, a = x->gpr[X86_RSP] - 8;
	enum x86_result r = jump_64(x, target);

	if (UNLIKELY(r))
		return r;
	r = linear_store(x, X86_SS, a, back, 8);
	if (LIKELY(!r))
		x->gpr[X86_RSP] = a;
	return r;
}

static enum x86_result call_any(struct x86 *x, const struct x86_insn *i, u64 target)
{
	u64 back = x->next_rip;
	struct x86_stack s;
	enum x86_result r = jump_any(x, i, target);

	if (r)
		return r;
	x86_stack_open(x, &s);
	r = x86_stack_push(x, &s, back, i->op_bytes);
	if (!r)
		x86_stack_close(x, &s);
	return r;
}

static HANDLER(call_j_64) { return call_64(x, x->next_rip + i->imm); }
static HANDLER(call_j_any) { return call_any(x, i, x->next_rip + i->imm); }

INLINE enum x86_result call_operand(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				    unsigned bytes)
{
	u64 v;
	enum x86_result r = operand_get(x, i, w, bytes, &v);

	if (UNLIKELY(r))
		return r;
	return bytes == 8 ? call_64(x, v) : call_any(x, i, v);
}
HANDLERS(call_e, call_operand(x, i, WHERE, BYTES))

/* -- RET ------------------------------------------------------------------------------ */
static HANDLER(ret_64)
{
	u64 a = x->gpr[X86_RSP], v;
	enum x86_result r = linear_load(x, X86_SS, a, &v, 8);

	if (UNLIKELY(r))
		return r;
	r = jump_64(x, v);
	if (LIKELY(!r))
		x->gpr[X86_RSP] = a + 8 + (i->form == X86_I ? (u16)i->imm : 0);
	return r;
}

static HANDLER(ret_any)
{
	struct x86_stack s;
	enum x86_result r;
	u64 v;

	x86_stack_open(x, &s);
	r = x86_stack_pop(x, &s, &v, i->op_bytes);
	if (!r)
		r = jump_any(x, i, v);
	if (r)
		return r;
	if (i->form == X86_I)
		s.sp += (u16)i->imm;
	x86_stack_close(x, &s);
	return X86_OK;
}

/* -- LOOP, JRCXZ ---------------------------------------------------------------------- */
static HANDLER(exec_loop)
{
	u64 count = (x->gpr[X86_RCX] - 1) & size_mask(i->ad_bytes);
	bool zf = x->rflags & X86_FLAG_ZF;
	bool taken = count && (i->op == X86_OP_LOOP || zf == (i->op == X86_OP_LOOPE));
	enum x86_result r = taken ? jump_any(x, i, x->next_rip + i->imm) : X86_OK;

	if (!r)
		reg_set(x, X86_RCX, count, i->ad_bytes);
	return r;
}

static HANDLER(exec_jrcxz)
{
	return x->gpr[X86_RCX] & size_mask(i->ad_bytes) ? X86_OK
							: jump_any(x, i, x->next_rip + i->imm);
}

x86_exec_fn x86_bind_branch(const struct x86_insn *i)
{
	bool wide = i->code_bits == 64 && i->op_bytes == 8;
	enum x86_where w = operand_where(i);
	unsigned n = size_index(i->op_bytes);

	switch (i->op) {
	case X86_OP_JCC: return wide ? jcc_64[i->opcode & 15] : jcc_any;
	case X86_OP_JMP: return i->form == X86_J ? (wide ? jmp_64 : jmp_any) : jmp_e[w][n];
	case X86_OP_CALL: return i->form == X86_J ? (wide ? call_j_64 : call_j_any) : call_e[w][n];
	case X86_OP_RET: return wide ? ret_64 : ret_any;
	case X86_OP_JRCXZ: return exec_jrcxz;
	default: return exec_loop;		/* LOOP, LOOPE, LOOPNE */
	}
}
