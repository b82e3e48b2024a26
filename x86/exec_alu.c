// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_alu.c - ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT, XADD CMPXCHG
 *
 * Without LOCK, or with a register: exec_lock.c has the rest.  Each operation, form,
 * place and size is a function of its own.
 */
#include "x86/alu.h"
#include "x86/semantics.h"

typedef u64 (*alu_fn)(u64 dst, u64 src, u64 *rflags, unsigned bytes);

enum alu_source { SOURCE_G, SOURCE_I };

/* E = E op source */
INLINE enum x86_result alu_to_e(struct x86 *x, const struct x86_insn *i, alu_fn fn,
				enum alu_source s, enum x86_where w, unsigned bytes)
{
	u64 src = s == SOURCE_G ? reg_get(x, i->reg, bytes) : i->imm, dst, f = x->rflags;
	struct x86_place p;
	enum x86_result r = operand_begin(x, i, w, bytes, &dst, &p);

	if (w != X86_REG && UNLIKELY(r))
		return r;
	dst = fn(dst, src, &f, bytes);
	r = operand_end(x, i, w, bytes, dst, &p);
	if (w != X86_REG && UNLIKELY(r))
		return r;
	x->rflags = f;
	return X86_OK;
}

/* G = G op E */
INLINE enum x86_result alu_to_g(struct x86 *x, const struct x86_insn *i, alu_fn fn,
				enum x86_where w, unsigned bytes)
{
	u64 src;
	enum x86_result r = operand_get(x, i, w, bytes, &src);

	if (w != X86_REG && UNLIKELY(r))
		return r;
	reg_set(x, i->reg, fn(reg_get(x, i->reg, bytes), src, &x->rflags, bytes), bytes);
	return X86_OK;
}

/* flags of E op source (to_e) or G op E */
INLINE enum x86_result alu_compare(struct x86 *x, const struct x86_insn *i, alu_fn fn, bool to_g,
				   enum alu_source s, enum x86_where w, unsigned bytes)
{
	u64 e, o = s == SOURCE_G ? reg_get(x, i->reg, bytes) : i->imm;
	enum x86_result r = operand_get(x, i, w, bytes, &e);

	if (w != X86_REG && UNLIKELY(r))
		return r;
	fn(to_g ? o : e, to_g ? e : o, &x->rflags, bytes);
	return X86_OK;
}

#define ALU_HANDLERS(op) \
	HANDLERS(op##_e_g, alu_to_e(x, i, alu_##op, SOURCE_G, WHERE, BYTES)) \
	HANDLERS(op##_e_i, alu_to_e(x, i, alu_##op, SOURCE_I, WHERE, BYTES)) \
	HANDLERS(op##_g_e, alu_to_g(x, i, alu_##op, WHERE, BYTES))
ALU_HANDLERS(add)
ALU_HANDLERS(or)
ALU_HANDLERS(adc)
ALU_HANDLERS(sbb)
ALU_HANDLERS(and)
ALU_HANDLERS(sub)
ALU_HANDLERS(xor)
HANDLERS(cmp_e_g, alu_compare(x, i, alu_cmp, false, SOURCE_G, WHERE, BYTES))
HANDLERS(cmp_e_i, alu_compare(x, i, alu_cmp, false, SOURCE_I, WHERE, BYTES))
HANDLERS(cmp_g_e, alu_compare(x, i, alu_cmp, true, SOURCE_G, WHERE, BYTES))
HANDLERS(test_e_g, alu_compare(x, i, alu_test, false, SOURCE_G, WHERE, BYTES))
HANDLERS(test_e_i, alu_compare(x, i, alu_test, false, SOURCE_I, WHERE, BYTES))
HANDLERS(inc_e, alu_to_e(x, i, alu_inc, SOURCE_I, WHERE, BYTES))
HANDLERS(dec_e, alu_to_e(x, i, alu_dec, SOURCE_I, WHERE, BYTES))
HANDLERS(neg_e, alu_to_e(x, i, alu_neg, SOURCE_I, WHERE, BYTES))
HANDLERS(not_e, alu_to_e(x, i, alu_not, SOURCE_I, WHERE, BYTES))

/* XOR r, r with itself is zero: so common that it needs no operands. */
static HANDLER(xor_zero)
{
	x->gpr[i->reg] = 0;
	x->rflags = (x->rflags & ~X86_FLAGS_ARITH) | X86_FLAG_ZF | X86_FLAG_PF;
	return X86_OK;
}

/* E += G, G = E before */
INLINE enum x86_result exec_xadd(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				 unsigned bytes)
{
	u64 dst, src = reg_get(x, i->reg, bytes), f = x->rflags, sum;
	struct x86_place p;
	enum x86_result r = operand_begin(x, i, w, bytes, &dst, &p);

	if (r)
		return r;
	sum = alu_add(dst, src, &f, bytes);
	if (w == X86_REG)
		reg_set(x, i->reg, dst, bytes);
	r = operand_end(x, i, w, bytes, sum, &p);
	if (r)
		return r;
	if (w != X86_REG)
		reg_set(x, i->reg, dst, bytes);
	x->rflags = f;
	return X86_OK;
}
HANDLERS(xadd, exec_xadd(x, i, WHERE, BYTES))

/* if E == A: E = G, else A = E; the destination is written in either case */
INLINE enum x86_result exec_cmpxchg(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				    unsigned bytes)
{
	u64 dst, acc = reg_get(x, X86_RAX, bytes), f = x->rflags;
	struct x86_place p;
	enum x86_result r = operand_begin(x, i, w, bytes, &dst, &p);
	bool equal;

	if (r)
		return r;
	alu_cmp(acc, dst, &f, bytes);
	equal = f & X86_FLAG_ZF;
	if (w != X86_REG || equal) {
		r = operand_end(x, i, w, bytes, equal ? reg_get(x, i->reg, bytes) : dst, &p);
		if (r)
			return r;
	}
	if (!equal)
		reg_set(x, X86_RAX, dst, bytes);
	x->rflags = f;
	return X86_OK;
}
HANDLERS(cmpxchg, exec_cmpxchg(x, i, WHERE, BYTES))

x86_exec_fn x86_bind_alu(const struct x86_insn *i)
{
	enum x86_where w = operand_where(i);
	unsigned n = size_index(i->op_bytes);

#define PICK(OP, op) \
	case X86_OP_##OP: \
		return i->form == X86_E_G   ? op##_e_g[w][n] \
		       : i->form == X86_G_E ? op##_g_e[w][n] \
					    : op##_e_i[w][n];
	switch (i->op) {
	PICK(ADD, add)
	PICK(OR, or)
	PICK(ADC, adc)
	PICK(SBB, sbb)
	PICK(AND, and)
	PICK(SUB, sub)
	PICK(CMP, cmp)
	case X86_OP_XOR:
		if (w == X86_REG && i->rm == i->reg && i->op_bytes >= 4 && i->form != X86_E_I)
			return xor_zero;
		return i->form == X86_E_G   ? xor_e_g[w][n]
		       : i->form == X86_G_E ? xor_g_e[w][n]
					    : xor_e_i[w][n];
	case X86_OP_TEST:
		return i->form == X86_E_I ? test_e_i[w][n] : test_e_g[w][n];
	case X86_OP_INC: return inc_e[w][n];
	case X86_OP_DEC: return dec_e[w][n];
	case X86_OP_NEG: return neg_e[w][n];
	case X86_OP_NOT: return not_e[w][n];
	case X86_OP_XADD: return xadd[w][n];
	case X86_OP_CMPXCHG: return cmpxchg[w][n];
	default: return x86_exec_ud;
	}
#undef PICK
}
