// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_move.c - data movement without arithmetic: MOV, MOVZX, LEA, CMOVcc, SETcc, BSWAP...
 */
#include "x86/semantics.h"

/* -- MOV ------------------------------------------------------------------------------ */
HANDLERS(mov_e_g, operand_set(x, i, WHERE, BYTES, reg_get(x, i->reg, BYTES)))
HANDLERS(mov_e_i, operand_set(x, i, WHERE, BYTES, i->imm))

INLINE enum x86_result mov_to_g(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				unsigned bytes)
{
	u64 v;
	enum x86_result r = operand_get(x, i, w, bytes, &v);

	if (w != X86_REG && UNLIKELY(r))
		return r;
	reg_set(x, i->reg, v, bytes);
	return X86_OK;
}
HANDLERS(mov_g_e, mov_to_g(x, i, WHERE, BYTES))

static HANDLER(mov_a_moffs)
{
	u64 v;
	enum x86_result r = x86_operand_linear(x, i, i->op_bytes, X86_READ);

	if (r)
		return r;
	switch (i->op_bytes) {
	case 1: r = linear_load(x, i->seg, x->scratch, &v, 1); break;
	case 2: r = linear_load(x, i->seg, x->scratch, &v, 2); break;
	case 4: r = linear_load(x, i->seg, x->scratch, &v, 4); break;
	default: r = linear_load(x, i->seg, x->scratch, &v, 8); break;
	}
	if (!r)
		reg_set(x, X86_RAX, v, i->op_bytes);
	return r;
}

static HANDLER(mov_moffs_a)
{
	u64 v = x->gpr[X86_RAX];
	enum x86_result r = x86_operand_linear(x, i, i->op_bytes, X86_WRITE);

	if (r)
		return r;
	switch (i->op_bytes) {
	case 1: return linear_store(x, i->seg, x->scratch, v, 1);
	case 2: return linear_store(x, i->seg, x->scratch, v, 2);
	case 4: return linear_store(x, i->seg, x->scratch, v, 4);
	default: return linear_store(x, i->seg, x->scratch, v, 8);
	}
}

/* -- MOVZX, MOVSX, MOVSXD: source size from, destination size to ---------------------- */
INLINE enum x86_result extend(struct x86 *x, const struct x86_insn *i, enum x86_where w,
			      unsigned from, unsigned to, bool is_signed)
{
	u64 v;
	enum x86_result r = operand_get(x, i, w, from, &v);

	if (w != X86_REG && UNLIKELY(r))
		return r;
	reg_set(x, i->reg, is_signed ? (u64)sign_extend(v, from) : v, to);
	return X86_OK;
}
HANDLERS(movzx_1, extend(x, i, WHERE, 1, BYTES, false))
HANDLERS(movzx_2, extend(x, i, WHERE, 2, BYTES, false))
HANDLERS(movsx_1, extend(x, i, WHERE, 1, BYTES, true))
HANDLERS(movsx_2, extend(x, i, WHERE, 2, BYTES, true))
HANDLERS(movsx_4, extend(x, i, WHERE, 4, BYTES, true))

/* -- LEA ------------------------------------------------------------------------------ */
static HANDLER(lea_64) { x->gpr[i->reg] = address64(x, i); return X86_OK; }
static HANDLER(lea_32) { x->gpr[i->reg] = (u32)address64(x, i); return X86_OK; }
static HANDLER(lea_any)
{
	reg_set(x, i->reg, x86_effective_address(x, i), i->op_bytes);
	return X86_OK;
}

/* -- CMOVcc: the source is read in any case; a 32-bit destination is cleared above ---- */
INLINE enum x86_result cmov(struct x86 *x, const struct x86_insn *i, unsigned cc, enum x86_where w,
			    unsigned bytes)
{
	u64 v;
	enum x86_result r = operand_get(x, i, w, bytes, &v);

	if (w != X86_REG && UNLIKELY(r))
		return r;
	if (!flags_condition(x->rflags, cc))
		v = reg_get(x, i->reg, bytes);
	reg_set(x, i->reg, v, bytes);
	return X86_OK;
}

#define EACH_CC(M) \
	M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define CMOV(cc) \
	static HANDLER(cmov_##cc##_reg_4) { return cmov(x, i, cc, X86_REG, 4); } \
	static HANDLER(cmov_##cc##_reg_8) { return cmov(x, i, cc, X86_REG, 8); }
EACH_CC(CMOV)
#define CMOV_ROW(cc) { cmov_##cc##_reg_4, cmov_##cc##_reg_8 },
static const x86_exec_fn cmov_reg[16][2] = { EACH_CC(CMOV_ROW) };
HANDLERS(cmov_any, cmov(x, i, i->opcode & 15, WHERE, BYTES))

/* -- SETcc ---------------------------------------------------------------------------- */
#define SETCC(cc) \
	static HANDLER(set_##cc) \
	{ \
		reg_set(x, i->rm, flags_condition(x->rflags, cc), 1); \
		return X86_OK; \
	}
EACH_CC(SETCC)
#define SETCC_ROW(cc) set_##cc,
static const x86_exec_fn setcc_reg[16] = { EACH_CC(SETCC_ROW) };
static HANDLER(setcc_mem64)
{
	return operand_set(x, i, X86_MEM64, 1, flags_condition(x->rflags, i->opcode & 15));
}
static HANDLER(setcc_mem)
{
	return operand_set(x, i, X86_MEM, 1, flags_condition(x->rflags, i->opcode & 15));
}

/* -- XCHG with a register; memory is exec_lock.c's ------------------------------------ */
INLINE enum x86_result xchg(struct x86 *x, const struct x86_insn *i, unsigned bytes)
{
	u64 a = reg_get(x, i->reg, bytes), b = reg_get(x, i->rm, bytes);

	reg_set(x, i->reg, b, bytes);
	reg_set(x, i->rm, a, bytes);
	return X86_OK;
}
HANDLERS_BY_SIZE(xchg_reg, xchg(x, i, BYTES))

/* -- byte order ----------------------------------------------------------------------- */
static u64 swap_bytes(u64 v, unsigned bytes)
{
	switch (bytes) {
	case 2: return __builtin_bswap16((u16)v);
	case 4: return __builtin_bswap32((u32)v);
	default: return __builtin_bswap64(v);
	}
}

/* With a 16-bit operand undefined: silicon clears the register. */
static HANDLER(exec_bswap)
{
	u64 v = i->op_bytes == 2 ? 0 : swap_bytes(x->gpr[i->rm], i->op_bytes);

	reg_set(x, i->rm, v, i->op_bytes);
	return X86_OK;
}

INLINE enum x86_result movbe(struct x86 *x, const struct x86_insn *i, enum x86_where w,
			     unsigned bytes)
{
	u64 v;
	enum x86_result r;

	if (i->form == X86_E_G)
		return operand_set(x, i, w, bytes, swap_bytes(reg_get(x, i->reg, bytes), bytes));
	r = operand_get(x, i, w, bytes, &v);
	if (!r)
		reg_set(x, i->reg, swap_bytes(v, bytes), bytes);
	return r;
}
HANDLERS(movbe_any, movbe(x, i, WHERE, BYTES))

/* -- accumulator ---------------------------------------------------------------------- */
/* CBW, CWDE, CDQE */
static HANDLER(exec_cbw)
{
	unsigned half = i->op_bytes / 2u;

	reg_set(x, X86_RAX, (u64)sign_extend(x->gpr[X86_RAX], half), i->op_bytes);
	return X86_OK;
}

/* CWD, CDQ, CQO */
static HANDLER(exec_cwd)
{
	reg_set(x, X86_RDX, (u64)(sign_extend(x->gpr[X86_RAX], i->op_bytes) >> 63), i->op_bytes);
	return X86_OK;
}

static HANDLER(exec_xlat)
{
	u64 ea = (x->gpr[X86_RBX] + (u8)x->gpr[X86_RAX]) & size_mask(i->ad_bytes), a, v;
	enum x86_result r = x86_linear(x, i->seg, ea, 1, X86_READ, &a);

	if (!r)
		r = linear_load(x, i->seg, a, &v, 1);
	if (!r)
		reg_set(x, X86_RAX, v, 1);
	return r;
}

/* 64 bytes, copied whole: to ES:G from the operand. */
static HANDLER(exec_movdir64b)
{
	u64 data[8], to, ea = reg_get(x, i->reg, i->ad_bytes);
	enum x86_result r = x86_operand_read(x, i, 0, data, sizeof data);

	if (!r)
		r = x86_linear(x, X86_ES, ea, sizeof data, X86_WRITE, &to);
	if (!r && (to & 63))
		r = raise_gp(x);
	return r ? r : x->bus->write(x, to, data, sizeof data, X86_WRITE | user_access(x));
}

x86_exec_fn x86_bind_move(const struct x86_insn *i)
{
	static const x86_exec_fn xchg_table[4] = SIZES_OF(xchg_reg);
	enum x86_where w = operand_where(i);
	unsigned n = size_index(i->op_bytes), cc = i->opcode & 15;

	switch (i->op) {
	case X86_OP_MOV:
		switch (i->form) {
		case X86_E_G: return mov_e_g[w][n];
		case X86_G_E: return mov_g_e[w][n];
		case X86_E_I: return mov_e_i[w][n];
		case X86_A_MOFFS: return mov_a_moffs;
		case X86_MOFFS_A: return mov_moffs_a;
		case X86_E_S: case X86_S_E: return x86_bind_segment(i);
		default: return x86_bind_control(i);
		}
	case X86_OP_MOVNTI: case X86_OP_MOVDIRI: return mov_e_g[w][n];
	case X86_OP_MOVZX: return i->src_bytes == 1 ? movzx_1[w][n] : movzx_2[w][n];
	case X86_OP_MOVSX: return i->src_bytes == 1 ? movsx_1[w][n] : movsx_2[w][n];
	case X86_OP_MOVSXD:
		if (i->op_bytes < 8)		/* without REX.W it is a MOV */
			return mov_g_e[w][n];
		return movsx_4[w][n];
	case X86_OP_LEA:
		if (i->ad_bytes == 8 && i->op_bytes == 8)
			return lea_64;
		return i->ad_bytes >= 4 && i->op_bytes == 4 ? lea_32 : lea_any;
	case X86_OP_CMOVCC:
		return w == X86_REG && i->op_bytes >= 4 ? cmov_reg[cc][i->op_bytes == 8]
							: cmov_any[w][n];
	case X86_OP_SETCC:
		return w == X86_REG ? setcc_reg[cc] : w == X86_MEM64 ? setcc_mem64 : setcc_mem;
	case X86_OP_XCHG: return xchg_table[n];
	case X86_OP_BSWAP: return exec_bswap;
	case X86_OP_MOVBE: return movbe_any[w][n];
	case X86_OP_CBW: return exec_cbw;
	case X86_OP_CWD: return exec_cwd;
	case X86_OP_XLAT: return exec_xlat;
	case X86_OP_MOVDIR64B: return exec_movdir64b;
	default: return x86_exec_ud;
	}
}
