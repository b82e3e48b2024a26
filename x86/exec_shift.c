// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_shift.c - shifts and rotates
 *
 * By CL natively: the count in ECX, masked by the silicon as the guest's would be.  A count
 * of zero changes nothing, flags included, because they were loaded before.
 */
#include "x86/semantics.h"

typedef u64 (*shift_fn)(u64 dst, unsigned count, u64 *rflags, unsigned bytes);

#define SHIFT_CASE(type, text, reg) { \
	type d_ = (type)dst; \
	__asm__(FLAGS_IN text FLAGS_OUT : "+&a"(f), "+" reg(d_) : "c"((u8)count) : "cc"); \
	dst = d_; \
	break; }
#define SHIFT(name) \
INLINE u64 shift_##name(u64 dst, unsigned count, u64 *rflags, unsigned bytes) \
{ \
	u32 f = flags_pack(*rflags); \
	switch (bytes) { \
	case 1: SHIFT_CASE(u8, #name "b %%cl, %1", "q") \
	case 2: SHIFT_CASE(u16, #name "w %%cl, %1", "r") \
	case 4: SHIFT_CASE(u32, #name "l %%cl, %1", "r") \
	default: SHIFT_CASE(u64, #name "q %%cl, %1", "r") \
	} \
	*rflags = flags_merge(*rflags, f); \
	return dst; \
}
SHIFT(rol)
SHIFT(ror)
SHIFT(rcl)
SHIFT(rcr)
SHIFT(shl)
SHIFT(shr)
SHIFT(sar)

INLINE enum x86_result shift(struct x86 *x, const struct x86_insn *i, shift_fn fn, bool by_cl,
			     enum x86_where w, unsigned bytes)
{
	unsigned count = by_cl ? (u8)x->gpr[X86_RCX] : (u8)i->imm;
	u64 v, f = x->rflags;
	struct x86_place p;
	enum x86_result r = operand_begin(x, i, w, bytes, &v, &p);

	if (w != X86_REG && UNLIKELY(r))
		return r;
	v = fn(v, count, &f, bytes);
	r = operand_end(x, i, w, bytes, v, &p);
	if (w != X86_REG && UNLIKELY(r))
		return r;
	x->rflags = f;
	return X86_OK;
}

#define SHIFT_HANDLERS(op) \
	HANDLERS(op##_i, shift(x, i, shift_##op, false, WHERE, BYTES)) \
	HANDLERS(op##_cl, shift(x, i, shift_##op, true, WHERE, BYTES))
SHIFT_HANDLERS(rol)
SHIFT_HANDLERS(ror)
SHIFT_HANDLERS(rcl)
SHIFT_HANDLERS(rcr)
SHIFT_HANDLERS(shl)
SHIFT_HANDLERS(shr)
SHIFT_HANDLERS(sar)

/* -- SHLD, SHRD ----------------------------------------------------------------------- */
#define DOUBLE_CASE(type, text) { \
	type d_ = (type)dst; \
	__asm__(FLAGS_IN text FLAGS_OUT \
		: "+&a"(f), "+r"(d_) : "r"((type)src), "c"((u8)count) : "cc"); \
	dst = d_; \
	break; }
#define DOUBLE_SHIFT(name) \
INLINE u64 double_##name(u64 dst, u64 src, unsigned count, u64 *rflags, unsigned bytes) \
{ \
	u32 f = flags_pack(*rflags); \
	switch (bytes) { \
	case 2: DOUBLE_CASE(u16, #name "w %%cl, %2, %1") \
	case 4: DOUBLE_CASE(u32, #name "l %%cl, %2, %1") \
	default: DOUBLE_CASE(u64, #name "q %%cl, %2, %1") \
	} \
	*rflags = flags_merge(*rflags, f); \
	return dst; \
}
DOUBLE_SHIFT(shld)
DOUBLE_SHIFT(shrd)

INLINE enum x86_result shift_double(struct x86 *x, const struct x86_insn *i, bool left,
				    enum x86_where w, unsigned bytes)
{
	unsigned count = i->form == X86_E_G_CL ? (u8)x->gpr[X86_RCX] : (u8)i->imm;
	u64 v, src = reg_get(x, i->reg, bytes), f = x->rflags;
	struct x86_place p;
	enum x86_result r = operand_begin(x, i, w, bytes, &v, &p);

	if (r)
		return r;
	v = left ? double_shld(v, src, count, &f, bytes) : double_shrd(v, src, count, &f, bytes);
	r = operand_end(x, i, w, bytes, v, &p);
	if (!r)
		x->rflags = f;
	return r;
}
HANDLERS(shld, shift_double(x, i, true, WHERE, BYTES))
HANDLERS(shrd, shift_double(x, i, false, WHERE, BYTES))

/* -- BMI2: no flags; the count is V, or an immediate ---------------------------------- */
INLINE enum x86_result shift_flagless(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				      unsigned bytes)
{
	unsigned bits = bytes * 8, count;
	u64 v;
	enum x86_result r = operand_get(x, i, w, bytes, &v);

	if (r)
		return r;
	count = (unsigned)(i->op == X86_OP_RORX ? i->imm : x->gpr[i->vvvv & 15]) & (bits - 1);
	switch (i->op) {
	case X86_OP_SHLX: v <<= count; break;
	case X86_OP_SHRX: v >>= count; break;
	case X86_OP_SARX: v = (u64)(sign_extend(v, bytes) >> count); break;
	default: v = count ? v >> count | v << (bits - count) : v; break;
	}
	reg_set(x, i->reg, v, bytes);
	return X86_OK;
}
HANDLERS(flagless, shift_flagless(x, i, WHERE, BYTES))

x86_exec_fn x86_bind_shift(const struct x86_insn *i)
{
	enum x86_where w = operand_where(i);
	unsigned n = size_index(i->op_bytes);
	bool cl = i->form == X86_E_CL;

	switch (i->op) {
	case X86_OP_ROL: return cl ? rol_cl[w][n] : rol_i[w][n];
	case X86_OP_ROR: return cl ? ror_cl[w][n] : ror_i[w][n];
	case X86_OP_RCL: return cl ? rcl_cl[w][n] : rcl_i[w][n];
	case X86_OP_RCR: return cl ? rcr_cl[w][n] : rcr_i[w][n];
	case X86_OP_SHL: return cl ? shl_cl[w][n] : shl_i[w][n];
	case X86_OP_SHR: return cl ? shr_cl[w][n] : shr_i[w][n];
	case X86_OP_SAR: return cl ? sar_cl[w][n] : sar_i[w][n];
	case X86_OP_SHLD: return shld[w][n];
	case X86_OP_SHRD: return shrd[w][n];
	default: return flagless[w][n];		/* RORX, SARX, SHLX, SHRX */
	}
}
