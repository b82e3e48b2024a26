// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_multiply.c - MUL IMUL MULX, DIV IDIV, and decimal arithmetic
 *
 * Products and quotients come from the silicon, flags too; what would make the silicon
 * raise #DE is found out before.  The decimal instructions do not exist in 64-bit mode,
 * so they are spelled out.
 */
#include "x86/alu.h"
#include "x86/operand.h"
#include "x86/semantics.h"

/* -- one operand: RDX:RAX = RAX * E (AX = AL * E) ------------------------------------- */
#define WIDE_CASE(name, s, a, type, reg) \
	__asm__(FLAGS_IN "mov %3, %%" a "\n\t" name s " %4\n\tmov %%rax, %1" FLAGS_OUT \
		: "+&a"(f), "=&r"(*lo), "=&d"(*hi) : reg((type)*lo_in), reg((type)src) : "cc"); \
	break;
#define BYTE_CASE(name) \
	__asm__(FLAGS_IN "mov %2, %%rax\n\t" name "b %3\n\tmov %%rax, %1" FLAGS_OUT \
		: "+&a"(f), "=&r"(*lo) : "r"(*lo_in), "q"((u8)src) : "cc"); \
	break;
#define MULTIPLY(name) \
INLINE void wide_##name(const u64 *lo_in, u64 src, u64 *lo, u64 *hi, u64 *rflags, unsigned bytes) \
{ \
	u32 f = flags_pack(*rflags); \
	switch (bytes) { \
	case 1: BYTE_CASE(#name) \
	case 2: WIDE_CASE(#name, "w", "ax", u16, "r") \
	case 4: WIDE_CASE(#name, "l", "eax", u32, "r") \
	default: WIDE_CASE(#name, "q", "rax", u64, "r") \
	} \
	*rflags = flags_merge(*rflags, f); \
}
MULTIPLY(mul)
MULTIPLY(imul)

INLINE enum x86_result multiply(struct x86 *x, const struct x86_insn *i, bool is_signed,
				enum x86_where w, unsigned bytes)
{
	u64 acc = x->gpr[X86_RAX], src, lo = 0, hi = 0;
	enum x86_result r = operand_get(x, i, w, bytes, &src);

	if (r)
		return r;
	if (is_signed)
		wide_imul(&acc, src, &lo, &hi, &x->rflags, bytes);
	else
		wide_mul(&acc, src, &lo, &hi, &x->rflags, bytes);
	if (bytes == 1) {
		reg_set(x, X86_RAX, lo, 2);
	} else {
		reg_set(x, X86_RAX, lo, bytes);
		reg_set(x, X86_RDX, hi, bytes);
	}
	return X86_OK;
}
HANDLERS(mul, multiply(x, i, false, WHERE, BYTES))
HANDLERS(imul_1, multiply(x, i, true, WHERE, BYTES))

/* -- two and three operands ----------------------------------------------------------- */
#define IMUL_CASE(type, s) { \
	type d_ = (type)a; \
	__asm__(FLAGS_IN "imul" s " %2, %1" FLAGS_OUT : "+&a"(f), "+r"(d_) : "r"((type)b) : "cc"); \
	a = d_; \
	break; }

INLINE enum x86_result imul(struct x86 *x, const struct x86_insn *i, bool immediate,
			    enum x86_where w, unsigned bytes)
{
	u32 f = flags_pack(x->rflags);
	u64 a, b;
	enum x86_result r = operand_get(x, i, w, bytes, &a);

	if (w != X86_REG && UNLIKELY(r))
		return r;
	b = immediate ? i->imm : reg_get(x, i->reg, bytes);
	switch (bytes) {
	case 2: IMUL_CASE(u16, "w")
	case 4: IMUL_CASE(u32, "l")
	default: IMUL_CASE(u64, "q")
	}
	reg_set(x, i->reg, a, bytes);
	x->rflags = flags_merge(x->rflags, f);
	return X86_OK;
}
HANDLERS(imul_2, imul(x, i, false, WHERE, BYTES))
HANDLERS(imul_3, imul(x, i, true, WHERE, BYTES))

/* MULX: RDX * E to G (high) and V (low), no flags; high wins where they are one */
INLINE enum x86_result mulx(struct x86 *x, const struct x86_insn *i, enum x86_where w,
			    unsigned bytes)
{
	u64 v;
	enum x86_result r = operand_get(x, i, w, bytes, &v);

	if (r)
		return r;
	if (bytes == 8) {
		unsigned __int128 product = (unsigned __int128)x->gpr[X86_RDX] * v;

		x->gpr[i->vvvv & 15] = (u64)product;
		x->gpr[i->reg] = (u64)(product >> 64);
	} else {
		v *= (u32)x->gpr[X86_RDX];
		x->gpr[i->vvvv & 15] = (u32)v;
		x->gpr[i->reg] = v >> 32;
	}
	return X86_OK;
}
HANDLERS(mulx_any, mulx(x, i, WHERE, BYTES))

/* -- division ------------------------------------------------------------------------- */
#define DIVIDE_CASE(name, s, a, d, type) \
	__asm__(FLAGS_IN "mov %3, %%" a "\n\tmov %4, %%" d "\n\t" \
		name s " %5\n\tmov %%rax, %1" FLAGS_OUT \
		: "+&a"(f), "=&r"(q), "=&d"(rem) \
		: "r"((type)lo), "r"((type)hi), "r"((type)v) : "cc"); \
	break;
#define DIVIDE_BYTE(name) \
	__asm__(FLAGS_IN "mov %2, %%ax\n\t" name "b %3\n\tmov %%rax, %1" FLAGS_OUT \
		: "+&a"(f), "=&r"(q) : "r"((u16)(hi << 8 | lo)), "q"((u8)v) : "cc"); \
	break;

/* Would the quotient of hi:lo by v fit?  All are zero-extended. */
INLINE bool quotient_fits(u64 hi, u64 v)
{
	return hi < v;
}

INLINE bool quotient_fits_signed(u64 lo, u64 hi, u64 v, unsigned bytes)
{
	s64 n = sign_extend(lo, bytes), d = sign_extend(v, bytes);
	u64 top = 1ull << (bytes * 8 - 1), q, rem;

	if (!d)
		return false;
	if (LIKELY((n < 0 ? size_mask(bytes) : 0) == hi))	/* a sign-extended dividend */
		return !(lo == top && d == -1);
	top -= (sign_extend(hi, bytes) < 0) == (d < 0);		/* largest magnitude allowed */
	if (sign_extend(hi, bytes) < 0) {			/* magnitudes */
		lo = (0 - lo) & size_mask(bytes);
		hi = (~hi + !lo) & size_mask(bytes);
	}
	if (d < 0)
		d = (s64)(0 - (u64)d);
	if (hi >= (u64)d)
		return false;
	if (bytes == 8)
		__asm__("divq %4" : "=a"(q), "=d"(rem) : "a"(lo), "d"(hi), "r"((u64)d) : "cc");
	else
		q = (hi << (bytes * 8) | lo) / (u64)d;
	return q <= top;
}

INLINE enum x86_result divide(struct x86 *x, const struct x86_insn *i, bool is_signed,
			      enum x86_where w, unsigned bytes)
{
	u64 lo = reg_get(x, X86_RAX, bytes), hi = reg_get(x, bytes == 1 ? X86_AH : X86_RDX, bytes);
	u64 v, q, rem = 0;
	u32 f = flags_pack(x->rflags);
	enum x86_result r = operand_get(x, i, w, bytes, &v);

	if (r)
		return r;
	if (UNLIKELY(!(is_signed ? quotient_fits_signed(lo, hi, v, bytes) : quotient_fits(hi, v))))
		return x86_raise(x, X86_DE);
	if (is_signed) {
		switch (bytes) {
		case 1: DIVIDE_BYTE("idiv")
		case 2: DIVIDE_CASE("idiv", "w", "ax", "dx", u16)
		case 4: DIVIDE_CASE("idiv", "l", "eax", "edx", u32)
		default: DIVIDE_CASE("idiv", "q", "rax", "rdx", u64)
		}
	} else {
		switch (bytes) {
		case 1: DIVIDE_BYTE("div")
		case 2: DIVIDE_CASE("div", "w", "ax", "dx", u16)
		case 4: DIVIDE_CASE("div", "l", "eax", "edx", u32)
		default: DIVIDE_CASE("div", "q", "rax", "rdx", u64)
		}
	}
	if (bytes == 1) {
		reg_set(x, X86_RAX, q, 2);
	} else {
		reg_set(x, X86_RAX, q, bytes);
		reg_set(x, X86_RDX, rem, bytes);
	}
	x->rflags = flags_merge(x->rflags, f);
	return X86_OK;
}
HANDLERS(div, divide(x, i, false, WHERE, BYTES))
HANDLERS(idiv, divide(x, i, true, WHERE, BYTES))

/* -- decimal -------------------------------------------------------------------------- */
/* SF, ZF, PF of AL; CF and AF as told, OF clear. */
static void decimal_flags(struct x86 *x, u8 al, bool cf, bool af)
{
	u64 f = 0;

	if (cf)
		f |= X86_FLAG_CF;
	if (af)
		f |= X86_FLAG_AF;
	if (!al)
		f |= X86_FLAG_ZF;
	if (al & 0x80)
		f |= X86_FLAG_SF;
	if (!__builtin_parity(al))
		f |= X86_FLAG_PF;
	x->rflags = (x->rflags & ~X86_FLAGS_ARITH) | f;
}

/* DAA, DAS */
static HANDLER(exec_daa)
{
	u8 old = (u8)x->gpr[X86_RAX], al = old;
	bool cf = x->rflags & X86_FLAG_CF, af = x->rflags & X86_FLAG_AF, add = i->op == X86_OP_DAA;
	bool high = old > 0x99 || cf, low = (old & 15) > 9 || af, carry = high;

	if (low) {
		if (!add && old < 6)
			carry = true;
		al = (u8)(add ? al + 6 : al - 6);
	}
	if (high)
		al = (u8)(add ? al + 0x60 : al - 0x60);
	reg_set(x, X86_RAX, al, 1);
	decimal_flags(x, al, carry, low);
	return X86_OK;
}

/* AAA, AAS */
static HANDLER(exec_aaa)
{
	u16 ax = (u16)x->gpr[X86_RAX];
	bool adjust = (ax & 15) > 9 || (x->rflags & X86_FLAG_AF);

	if (adjust)
		ax = (u16)(i->op == X86_OP_AAA ? ax + 0x106 : ax - 0x106);
	ax &= 0xff0f;
	reg_set(x, X86_RAX, ax, 2);
	decimal_flags(x, (u8)ax, adjust, adjust);
	return X86_OK;
}

static HANDLER(exec_aam)
{
	u8 al = (u8)x->gpr[X86_RAX], base = (u8)i->imm;

	if (!base)
		return x86_raise(x, X86_DE);
	reg_set(x, X86_RAX, (u64)(al / base) << 8 | al % base, 2);
	decimal_flags(x, al % base, false, false);
	return X86_OK;
}

static HANDLER(exec_aad)
{
	u64 tens = reg_get(x, X86_AH, 1) * (u8)i->imm;	/* flags are those of the sum */

	reg_set(x, X86_RAX, alu_add(x->gpr[X86_RAX], tens, &x->rflags, 1), 2);
	return X86_OK;
}

x86_exec_fn x86_bind_multiply(const struct x86_insn *i)
{
	enum x86_where w = operand_where(i);
	unsigned n = size_index(i->op_bytes);

	switch (i->op) {
	case X86_OP_MUL: return mul[w][n];
	case X86_OP_IMUL:
		return i->form == X86_G_E     ? imul_2[w][n]
		       : i->form == X86_G_E_I ? imul_3[w][n]
					      : imul_1[w][n];
	case X86_OP_MULX: return mulx_any[w][n];
	case X86_OP_DIV: return div[w][n];
	case X86_OP_IDIV: return idiv[w][n];
	case X86_OP_DAA: case X86_OP_DAS: return exec_daa;
	case X86_OP_AAA: case X86_OP_AAS: return exec_aaa;
	case X86_OP_AAM: return exec_aam;
	case X86_OP_AAD: return exec_aad;
	default: return x86_exec_ud;
	}
}
