// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * decode.c - bytes to struct x86_insn
 *
 * Four steps: prefixes (legacy, REX, VEX, EVEX, XOP), opcode and ModRM, the row of
 * opcodes.def whose conditions hold, then operands and immediates as the row says.  A row
 * is found by the opcode's first row (row_at[]) and a masked compare with the key, which
 * gathers all that a row may depend on; each opcode's rows end with one that always
 * matches and means #UD.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 3, "Instruction Encoding"; Intel
 * SDM vol. 2, "Instruction Format" and "Intel AVX-512 Encoding".
 * Where AMD and Intel differ Intel's rule holds: near branches in 64-bit code ignore the
 * operand-size prefix; a far pointer in memory may have a 64-bit offset.
 * Not modelled: VEX and EVEX are #UD in real and virtual-8086 mode, which is the
 * executor's to know; MPX and CET instructions (their NOP forms are NOPs), AMX, SGX, Knights
 * Landing's own.
 */
#include "x86/insn.h"
#include "x86/cpu.h"
#include "x86/feature.h"
#include "x86/decode_shape.h"

/* -- the table ----------------------------------------------------------------------- */

/* The key: what a row may depend on. */
#define KEY_PP		0	/* 2 bits: none, 66, F3, F2 */
#define KEY_REG		2	/* 3 bits: ModRM.reg */
#define KEY_MOD3	5	/* 1 bit: ModRM.mod is 3 */
#define KEY_RM		6	/* 3 bits: ModRM.rm */
#define KEY_W		9
#define KEY_L		10	/* 2 bits */
#define KEY_64		12	/* 64-bit code */
#define KEY_B		13
#define KEY_LN		14	/* vector length is not 128 */
#define KEY_Y8		15	/* W in 64-bit code */

/* Conditions: mask in the high half, value in the low one; they join by |. */
#define COND(at, bits, value)	((u32)(((1u << (bits)) - 1) << (at)) << 16 | (u32)(value) << (at))
#define ANY	0u
#define NP	COND(KEY_PP, 2, 0)
#define P66	COND(KEY_PP, 2, 1)
#define PF3	COND(KEY_PP, 2, 2)
#define PF2	COND(KEY_PP, 2, 3)
#define NOREP	COND(KEY_PP + 1, 1, 0)
#define REP	COND(KEY_PP + 1, 1, 1)
#define MEM	COND(KEY_MOD3, 1, 0)
#define REG	COND(KEY_MOD3, 1, 1)
#define R(n)	COND(KEY_REG, 3, n)
#define RM(n)	(REG | COND(KEY_RM, 3, n))
#define W0	COND(KEY_W, 1, 0)
#define W1	COND(KEY_W, 1, 1)
#define L0	COND(KEY_L, 2, 0)
#define L1	COND(KEY_L, 2, 1)
#define L2	COND(KEY_L, 2, 2)
#define L12	COND(KEY_LN, 1, 1)
#define Y4	COND(KEY_Y8, 1, 0)
#define Y8	COND(KEY_Y8, 1, 1)
#define C64	COND(KEY_64, 1, 1)
#define C32	COND(KEY_64, 1, 0)
#define B0	COND(KEY_B, 1, 0)

/* row.flags are X86_F_* and, in the byte that becomes the feature, what only we need. */
#define F(name)	((u32)X86_F_##name)
#define LOCK	F(LOCKABLE)
#define SYS	F(SYSTEM)
#define BR	F(BRANCH)
#define IMEM	F(IMPLICIT_MEM)
#define ALIGN	F(ALIGN)
#define FLAGS	F(EFLAGS)
#define VSIB	F(VSIB)
#define IGPR	F(IMPLICIT_GPR)
#define GR	F(GPR_READ)
#define GW	F(GPR_WRITE)
#define MMX	F(X87)
#define ST	0x01000000u	/* E is written */
#define F_OURS	0xff000000u

/* row.evex */
#define N1	0x0001u
#define N2	0x0002u
#define N4	0x0004u
#define N8	0x0008u
#define N_MASK	0x000fu
#define B2	0x0020u
#define B4	0x0040u
#define B8	0x0080u
#define B_SHIFT	4
#define B_MASK	0x00f0u
#define ER	0x0100u
#define WM	0x0200u
#define WMZ	0x0600u
#define WMR	0x0800u
#define DIST	0x1000u
#define LIG	0x2000u

/* Register kinds of a VEC row. */
enum kind { K__, K_X, K_M, K_K, K_R, K_MASK = 7 };
#define KINDS(g, v, e)	((u16)(K_##g | K_##v << 3 | K_##e << 6))
#define HAS(k, g, v, e)	(K_##g == K_##k || K_##v == K_##k || K_##e == K_##k)

#define S__	S_0
#define VL_SIZE(g, v, e) (HAS(X, g, v, e) ? S_VL : HAS(M, g, v, e) ? S_8 : S_0)
#define I__	I_NONE
#define I_I8	I_UB
#define I_IS4	I_UB
#define I_I8I8	I_UW
#define I_I32	I_UD

struct row {
	u32 when;
	u32 flags;
	u16 op;
	u16 evex;
	u16 kinds;
	u8  feature;
	u8  how, form, size, esize, imm;
};

#define INVALID_OP X86_OPS
#define IS_MODRM(how, ...) ((how) == H_MODRM || (how) == H_MODRM_REG ? F(MODRM) : 0)
#define MODRM_FLAG(...)	IS_MODRM(__VA_ARGS__, 0)

static const struct row rows[] = {
#define OPCODE(map, opcode)	{ 0, 0, INVALID_OP, 0, 0, 0, H_NONE, X86_NONE, S_0, S_0, I_NONE },
#define SAME(map, opcode, as)
#define ROW(op, when, shape, feature, flags) \
	{ when, (flags) | MODRM_FLAG(shape), X86_OP_##op, 0, 0, X86_FEATURE_##feature, shape },
#define VEC(op, when, g, v, e, mem, imm, feature, flags, evex) \
	{ when, (flags) | F(MODRM) | F(VECTOR) | (HAS(M, g, v, e) ? F(X87) : 0), X86_OP_##op, \
	  evex, KINDS(g, v, e), X86_FEATURE_##feature, \
	  H_MODRM, X86_VECTOR, VL_SIZE(g, v, e), S_##mem, I_##imm },
#define X87(op, when, mem, flags) \
	{ when, (flags) | F(MODRM) | F(VECTOR) | F(X87), X86_OP_##op, 0, 0, \
	  X86_FEATURE_FPU, H_MODRM, X86_VECTOR, S_0, S_##mem, I_NONE },
#define VECN(op, when, feature, flags) \
	{ when, (flags) | F(VECTOR), X86_OP_##op, 0, 0, X86_FEATURE_##feature, \
	  H_NONE, X86_VECTOR, S_0, S_0, I_NONE },
#include "x86/opcodes.def"
#undef OPCODE
#undef ROW
#undef VEC
#undef X87
#undef VECN
	{ 0, 0, INVALID_OP, 0, 0, 0, H_NONE, X86_NONE, S_0, S_0, I_NONE },
};

/* AT_map_opcode: the number of that opcode's first row. */
#define PASTE_(a, b)	a##b
#define PASTE(a, b)	PASTE_(a, b)
enum {
#define OPCODE(map, opcode)	AT_##map##_##opcode##_END, AT_##map##_##opcode, \
				AT_##map##_##opcode##_BACK = AT_##map##_##opcode - 1,
#define ROW(...)		PASTE(ROW_AT_LINE_, __LINE__),
#define VEC(...)		PASTE(ROW_AT_LINE_, __LINE__),
#define X87(...)		PASTE(ROW_AT_LINE_, __LINE__),
#define VECN(...)		PASTE(ROW_AT_LINE_, __LINE__),
#include "x86/opcodes.def"
#undef OPCODE
#undef SAME
#undef ROW
#undef VEC
#undef X87
#undef VECN
};

enum map {
	MAP_ONE, MAP_0F, MAP_0F38, MAP_0F3A, MAP_3DNOW, MAP_V1, MAP_V2, MAP_V3,
	MAP_E1, MAP_E2, MAP_E3, MAP_E5, MAP_E6, MAP_X8, MAP_X9, MAP_XA, MAPS
};

static const u16 row_at[MAPS][256] = {
#define OPCODE(map, opcode)	[MAP_##map][0x##opcode] = AT_##map##_##opcode,
#define SAME(map, opcode, as)	[MAP_##map][0x##opcode] = AT_##map##_##as,
#define ROW(...)
#define VEC(...)
#define X87(...)
#define VECN(...)
#include "x86/opcodes.def"
#undef OPCODE
#undef SAME
#undef ROW
#undef VEC
#undef X87
#undef VECN
};

/* By operand size 16, 32, 64, first for 16- and 32-bit code, then for 64-bit code. */
static const u8 size_of[SIZES][6] = {
#define ALL(n)	{ n, n, n, n, n, n }
	[S_0] = ALL(0), [S_1] = ALL(1), [S_2] = ALL(2), [S_4] = ALL(4), [S_8] = ALL(8), [S_10] = ALL(10),
	[S_16] = ALL(16), [S_32] = ALL(32), [S_64] = ALL(64), [S_BIG] = ALL(255),
	[S_V]	  = { 2, 4, 4, 2, 4, 8 },
	[S_Z]	  = { 2, 4, 4, 2, 4, 4 },
	[S_Y]	  = { 4, 4, 4, 4, 4, 8 },
	[S_S]	  = { 2, 4, 4, 2, 8, 8 },
	[S_F]	  = { 2, 4, 4, 8, 8, 8 },
	[S_M]	  = { 4, 4, 4, 8, 8, 8 },
	[S_FAR]	  = { 4, 6, 6, 4, 6, 10 },
	[S_2V]	  = { 4, 8, 8, 4, 8, 16 },
	[S_2Y]	  = { 8, 8, 8, 8, 8, 16 },
	[S_TABLE] = { 6, 6, 6, 10, 10, 10 },
	[S_ENV]	  = { 14, 28, 28, 14, 28, 28 },
	[S_SAVE]  = { 94, 108, 108, 94, 108, 108 },
	[S_SEL]	  = { 2, 4, 4, 2, 4, 8 },
	/* by vector length 128, 256, 512 */
	[S_VL]	  = { 16, 32, 64 },
	[S_VL2]	  = { 8, 16, 32 },
	[S_VL4]	  = { 4, 8, 16 },
	[S_VL8]	  = { 2, 4, 8 },
	[S_DUP]	  = { 8, 32, 64 },
};

/* -- reading bytes ------------------------------------------------------------------- */

#define MAX_BYTES 15

struct decoding {
	struct x86_insn *i;
	const u8 *bytes;
	unsigned at;		/* of the next byte */
	unsigned available;	/* at most MAX_BYTES */
	unsigned pp;		/* mandatory prefix, as VEX.pp */
	unsigned map;
	unsigned length;	/* vector length: VEX.L, EVEX.L'L */
	bool long_mode;
	bool evex_b, evex_z;
	u8 evex_aaa;
	unsigned vvvv;		/* as encoded, inverted; i->vvvv ignores bit 3 outside 64-bit code */
	u8 high_r, high_v;	/* EVEX.R' and V' as 16 or 0 */
	u8 high_x;		/* EVEX.X as a register's bit 4 */
};

static inline bool has_bytes(const struct decoding *d, unsigned n)
{
	return d->at + n <= d->available;
}

static inline u64 read_u16(const u8 *p)
{
	u16 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static inline u64 read_u32(const u8 *p)
{
	u32 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static inline u64 read_u64(const u8 *p)
{
	u64 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

/* -- prefixes ------------------------------------------------------------------------ */

enum prefix_class { P_NONE, P_SEG, P_66, P_67, P_F0, P_F2, P_F3, P_40 };

static const u8 prefix_class[256] = {
	[0x26] = P_SEG, [0x2e] = P_SEG, [0x36] = P_SEG, [0x3e] = P_SEG, [0x64] = P_SEG, [0x65] = P_SEG,
	[0x66] = P_66, [0x67] = P_67, [0xf0] = P_F0, [0xf2] = P_F2, [0xf3] = P_F3,
	[0x40] = P_40, [0x41] = P_40, [0x42] = P_40, [0x43] = P_40, [0x44] = P_40, [0x45] = P_40,
	[0x46] = P_40, [0x47] = P_40, [0x48] = P_40, [0x49] = P_40, [0x4a] = P_40, [0x4b] = P_40,
	[0x4c] = P_40, [0x4d] = P_40, [0x4e] = P_40, [0x4f] = P_40,
};

static void segment_prefix(struct decoding *d, u8 byte)
{
	struct x86_insn *i = d->i;

	if (byte >= 0x64)
		i->seg = byte == 0x64 ? X86_FS : X86_GS;
	else if (d->long_mode)
		return;
	else
		i->seg = (byte >> 3) & 3;
	i->prefixes |= X86_P_SEG;
}

/* Up to the first byte that is no prefix.  A REX that is not the last prefix has no effect. */
static bool prefixes(struct decoding *d)
{
	struct x86_insn *i = d->i;

	for (; d->at < d->available; d->at++) {
		u8 byte = d->bytes[d->at];
		unsigned class = prefix_class[byte];

		if (LIKELY(class == P_NONE))
			return true;
		if (class == P_40) {
			if (!d->long_mode)
				return true;
			i->rex = byte & 15;
			i->prefixes |= X86_P_REX;
			continue;
		}
		i->rex = 0;
		i->prefixes &= (u8)~X86_P_REX;
		switch (class) {
		case P_SEG:
			segment_prefix(d, byte);
			break;
		case P_66:
			i->prefixes |= X86_P_OPSIZE;
			break;
		case P_67:
			i->prefixes |= X86_P_ADSIZE;
			break;
		case P_F0:
			i->prefixes |= X86_P_LOCK;
			break;
		case P_F2:
			i->prefixes = (u8)((i->prefixes & ~X86_P_REP) | X86_P_REPNE);
			break;
		case P_F3:
			i->prefixes = (u8)((i->prefixes & ~X86_P_REPNE) | X86_P_REP);
			break;
		}
	}
	return false;
}

/* VEX, EVEX and XOP allow none of these before them. */
static bool prefixes_allow_vex(const struct x86_insn *i)
{
	return !(i->prefixes & (X86_P_LOCK | X86_P_REP | X86_P_REPNE | X86_P_OPSIZE | X86_P_REX));
}

/* The last byte of VEX3 and XOP, VEX2's but for its first bit: W vvvv L pp. */
static void vex_payload(struct decoding *d, u8 p)
{
	d->vvvv = ~p >> 3 & 15;
	d->i->vvvv = (u8)(d->long_mode ? d->vvvv : d->vvvv & 7);
	d->length = p >> 2 & 1;
	d->pp = p & 3;
}

static enum x86_decoded vex2(struct decoding *d)
{
	struct x86_insn *i = d->i;
	u8 p;

	if (!has_bytes(d, 3))
		return X86_TRUNCATED;
	p = d->bytes[d->at + 1];
	i->rex = p & 0x80 ? 0 : X86_REX_R;
	vex_payload(d, p);
	i->opcode = d->bytes[d->at + 2];
	i->encoding = X86_ENC_VEX2 << 4 | X86_MAP_0F;
	d->map = MAP_V1;
	d->at += 3;
	return prefixes_allow_vex(i) ? X86_DECODED : X86_INVALID;
}

/* Three bytes: C4 or 8F, R X B mmmmm, W vvvv L pp. */
static enum x86_decoded vex3(struct decoding *d, bool xop)
{
	struct x86_insn *i = d->i;
	unsigned map;
	u8 p0, p1;

	if (!has_bytes(d, 4))
		return X86_TRUNCATED;
	p0 = d->bytes[d->at + 1];
	p1 = d->bytes[d->at + 2];
	map = p0 & 31;
	i->rex = (u8)(~p0 >> 5 & (d->long_mode ? 7 : 0)) | (p1 & 0x80 ? X86_REX_W : 0);
	i->opcode = d->bytes[d->at + 3];
	vex_payload(d, p1);
	d->at += 4;
	if (!prefixes_allow_vex(i))
		return X86_INVALID;
	if (xop) {
		if (map > 10 || d->pp)
			return X86_INVALID;
		i->encoding = (u8)(X86_ENC_XOP << 4 | (map & 7));
		d->map = MAP_X8 + map - 8;
	} else {
		if (map < 1 || map > 3)
			return X86_INVALID;
		i->encoding = (u8)(X86_ENC_VEX3 << 4 | map);
		d->map = MAP_V1 + map - 1;
	}
	return X86_DECODED;
}

/* 62, R X B R' 0 mmm, W vvvv 1 pp, z L'L b V' aaa. */
static enum x86_decoded evex(struct decoding *d)
{
	static const u8 maps[8] = { 0, MAP_E1, MAP_E2, MAP_E3, 0, MAP_E5, MAP_E6, 0 };
	struct x86_insn *i = d->i;
	u8 p0, p1, p2;

	if (!has_bytes(d, 5))
		return X86_TRUNCATED;
	p0 = d->bytes[d->at + 1];
	p1 = d->bytes[d->at + 2];
	p2 = d->bytes[d->at + 3];
	i->opcode = d->bytes[d->at + 4];
	i->encoding = (u8)(X86_ENC_EVEX << 4 | (p0 & 7));
	i->rex = (u8)(~p0 >> 5 & 7) | (p1 & 0x80 ? X86_REX_W : 0);
	d->vvvv = ~p1 >> 3 & 15;
	i->vvvv = (u8)(d->long_mode ? d->vvvv : d->vvvv & 7);
	d->pp = p1 & 3;
	d->high_r = p0 & 0x10 ? 0 : 16;
	d->high_v = p2 & 0x08 ? 0 : 16;
	d->high_x = p0 & 0x40 ? 0 : 16;
	d->length = p2 >> 5 & 3;
	d->evex_b = p2 & 0x10;
	d->evex_z = p2 & 0x80;
	d->evex_aaa = p2 & 7;
	d->map = maps[p0 & 7];
	d->at += 5;
	if (!prefixes_allow_vex(i) || (p0 & 0x08) || !(p1 & 0x04) || !d->map)
		return X86_INVALID;
	if (!d->long_mode) {
		if (d->high_v)
			return X86_INVALID;
		i->rex &= X86_REX_W;
		d->high_r = 0;
	}
	return X86_DECODED;
}

/* The opcode, with its escape bytes or VEX, EVEX, XOP prefix. */
static enum x86_decoded opcode(struct decoding *d)
{
	struct x86_insn *i = d->i;
	const u8 *p = d->bytes + d->at;
	bool next_is_register = has_bytes(d, 2) && (d->long_mode || p[1] >= 0xc0);

	switch (p[0]) {
	case 0x0f:
		break;
	case 0x62:
	case 0xc4:
	case 0xc5:
		if (!has_bytes(d, 2))
			return X86_TRUNCATED;
		if (next_is_register)
			return p[0] == 0x62 ? evex(d) : p[0] == 0xc4 ? vex3(d, false) : vex2(d);
		goto one;
	case 0x8f:
		if (!has_bytes(d, 2))
			return X86_TRUNCATED;
		if ((p[1] & 31) >= 8)
			return vex3(d, true);
		goto one;
	default:
one:
		i->opcode = p[0];
		d->at++;
		return X86_DECODED;
	}

	if (!has_bytes(d, 2))
		return X86_TRUNCATED;
	i->opcode = p[1];
	d->at += 2;
	d->map = MAP_0F;
	i->encoding = X86_MAP_0F;
	if (p[1] == 0x0f) {
		d->map = MAP_3DNOW;
		i->encoding = X86_ENC_3DNOW << 4 | X86_MAP_0F;
	} else if (p[1] == 0x38 || p[1] == 0x3a) {
		if (!has_bytes(d, 1))
			return X86_TRUNCATED;
		i->opcode = p[2];
		d->at++;
		d->map = p[1] == 0x38 ? MAP_0F38 : MAP_0F3A;
		i->encoding = p[1] == 0x38 ? X86_MAP_0F38 : X86_MAP_0F3A;
	}
	return X86_DECODED;
}

/* -- memory operands ----------------------------------------------------------------- */

static inline bool displacement(struct decoding *d, unsigned n)
{
	const u8 *p = d->bytes + d->at;

	if (!has_bytes(d, n))
		return false;
	d->i->disp = n == 1 ? (s8)p[0] : n == 2 ? (s16)read_u16(p) : (s32)read_u32(p);
	d->at += n;
	return true;
}

static bool memory_16(struct decoding *d)
{
	static const u8 base[8] = { X86_RBX, X86_RBX, X86_RBP, X86_RBP, X86_RSI, X86_RDI, X86_RBP, X86_RBX };
	static const u8 index[8] = { X86_RSI, X86_RDI, X86_RSI, X86_RDI, X86_REG_NONE, X86_REG_NONE,
				     X86_REG_NONE, X86_REG_NONE };
	struct x86_insn *i = d->i;
	unsigned mod = i->modrm >> 6, rm = i->modrm & 7;

	i->index = index[rm];
	if (mod == 0 && rm == 6)
		return displacement(d, 2);
	i->base = base[rm];
	return !mod || displacement(d, mod);
}

static bool memory_32(struct decoding *d)
{
	struct x86_insn *i = d->i;
	unsigned mod = i->modrm >> 6, rm = i->modrm & 7;

	if (rm == 4) {
		u8 sib;

		if (!has_bytes(d, 1))
			return false;
		sib = d->bytes[d->at++];
		i->scale = sib >> 6;
		i->index = (u8)((sib >> 3 & 7) | (i->rex & X86_REX_X) << 2);
		rm = sib & 7;
		if (mod == 0 && rm == 5)
			return displacement(d, 4);
	} else if (mod == 0 && rm == 5) {
		if (d->long_mode)
			i->base = X86_REG_RIP;
		return displacement(d, 4);
	}
	i->base = (u8)(rm | (i->rex & X86_REX_B) << 3);
	return !mod || displacement(d, mod == 1 ? 1 : 4);
}

/*
 * The memory operand.  An index of 4 means none, except with VSIB: that is for operands()
 * to know.  The default segment follows the base.
 */
static bool memory(struct decoding *d)
{
	struct x86_insn *i = d->i;

	if (!(i->ad_bytes == 2 ? memory_16(d) : memory_32(d)))
		return false;
	if (!(i->prefixes & X86_P_SEG) && (i->base == X86_RSP || i->base == X86_RBP))
		i->seg = X86_SS;
	return true;
}

/* -- immediates ---------------------------------------------------------------------- */

static bool immediate(struct decoding *d, enum imm kind)
{
	struct x86_insn *i = d->i;
	const u8 *p = d->bytes + d->at;
	unsigned n;

	switch (kind) {
	case I_NONE:
		return true;
	case I_ONE:
		i->imm = 1;
		return true;
	case I_SREG:
		i->reg = i->opcode >> 3 & 7;
		return true;
	case I_IB:
	case I_JB:
		if (!has_bytes(d, 1))
			return false;
		i->imm = (u64)(s64)(s8)p[0];
		d->at += 1;
		return true;
	case I_UB:
		if (!has_bytes(d, 1))
			return false;
		i->imm = p[0];
		d->at += 1;
		return true;
	case I_IZ:
	case I_JZ:
		n = i->op_bytes == 2 ? 2 : 4;
		if (!has_bytes(d, n))
			return false;
		i->imm = n == 2 ? (u64)(s64)(s16)read_u16(p) : (u64)(s64)(s32)read_u32(p);
		d->at += n;
		return true;
	case I_UW:
	case I_UW_UB:
		n = kind == I_UW ? 2 : 3;
		if (!has_bytes(d, n))
			return false;
		i->imm = read_u16(p);
		i->imm2 = kind == I_UW ? 0 : p[2];
		d->at += n;
		return true;
	case I_FAR:
		n = i->op_bytes == 2 ? 4 : 6;
		if (!has_bytes(d, n))
			return false;
		i->imm = n == 4 ? read_u16(p) : read_u32(p);
		i->imm2 = (u16)read_u16(p + n - 2);
		d->at += n;
		return true;
	case I_UD:
	case I_IV:
	case I_MOFFS:
		n = kind == I_UD ? 4 : kind == I_IV ? i->op_bytes : i->ad_bytes;
		if (!has_bytes(d, n))
			return false;
		i->imm = n == 1 ? p[0] : n == 2 ? read_u16(p) : n == 4 ? read_u32(p) : read_u64(p);
		d->at += n;
		return true;
	}
	return false;
}

/* -- operands ------------------------------------------------------------------------ */

/* AH CH DH BH are what 4..7 mean as byte registers without REX. */
static inline u8 byte_register(const struct x86_insn *i, u8 n)
{
	return !(i->prefixes & X86_P_REX) && n - 4u < 4 ? (u8)(n - 4 + X86_AH) : n;
}

static void integer_registers(struct x86_insn *i, const struct row *row)
{
	switch (row->how) {
	case H_ACC:
		i->rm = X86_RAX;
		return;
	case H_OPCODE:
		i->rm = (u8)((i->opcode & 7) | (i->rex & X86_REX_B) << 3);
		break;
	case H_MODRM:
	case H_MODRM_REG:
		i->reg = (u8)((i->modrm >> 3 & 7) | (i->rex & X86_REX_R) << 1);
		i->rm = (u8)((i->modrm & 7) | (i->rex & X86_REX_B) << 3);
		break;
	default:
		return;
	}
	if (row->esize == S_1)
		i->rm = byte_register(i, i->rm);
	if (row->size == S_1)
		i->reg = byte_register(i, i->reg);
}

/* Segment, control and debug registers that do not exist. */
static bool special_register_is_valid(struct decoding *d)
{
	struct x86_insn *i = d->i;

	switch (i->form) {
	case X86_E_S:
		i->reg &= 7;
		return i->reg <= X86_GS;
	case X86_S_E:
		i->reg &= 7;
		return i->reg <= X86_GS && i->reg != X86_CS;
	case X86_R_C:
	case X86_C_R:
		if ((i->prefixes & X86_P_LOCK) && i->reg == 0) {
			i->reg = 8;
			i->flags |= (u32)X86_FEATURE_CR8 << X86_F_FEATURE_SHIFT;
		}
		return i->reg == 0 || (i->reg >= 2 && i->reg <= 4) || i->reg == 8;
	case X86_R_D:
	case X86_D_R:
		return i->reg < 8;
	default:
		return true;
	}
}

/*
 * Registers of a vector instruction, and whether they may be named: what is not used must
 * be encoded as ones, there are eight masks, ...
 */
static bool vector_registers(struct decoding *d, const struct row *row)
{
	struct x86_insn *i = d->i;
	unsigned g = row->kinds & K_MASK, v = row->kinds >> 3 & K_MASK, e = row->kinds >> 6 & K_MASK;
	bool is_evex = i->encoding >> 4 == X86_ENC_EVEX;

	i->reg = (u8)((i->modrm >> 3 & 7) | (i->rex & X86_REX_R) << 1);
	i->rm = (u8)((i->modrm & 7) | (i->rex & X86_REX_B) << 3);
	if (g == K_X)
		i->reg |= d->high_r;
	else if (g == K_M)
		i->reg &= 7;
	else if (g == K_K && (i->reg > 7 || d->high_r))
		return false;
	else if (g == K_R && d->high_r)
		return false;
	if (e == K_X)
		i->rm |= d->high_x;
	else if (e == K_M || e == K_K || e == K__)
		i->rm &= 7;

	if (v == K__ && d->vvvv)
		return false;
	if (v == K_R)		/* XOP only; which of the two does not matter */
		i->flags |= X86_F_GPR_READ | X86_F_GPR_WRITE;
	if (v == K_K && i->vvvv > 7)
		return false;
	if (is_evex && !(i->flags & X86_F_VSIB)) {
		if (v == K_X)
			i->vvvv |= d->high_v;
		else if (d->high_v)
			return false;
	}
	if ((g == K_R && !(row->flags & ST)) || (e == K_R && (row->flags & ST) && !(i->flags & X86_F_MEM)))
		i->flags |= X86_F_GPR_WRITE;
	if ((e == K_R && !(row->flags & ST) && !(i->flags & X86_F_MEM)) || (g == K_R && (row->flags & ST)))
		i->flags |= X86_F_GPR_READ;
	return true;
}

/* Gathers and scatters: a ModRM with SIB; gathers' registers are all different. */
static bool vsib_is_valid(struct decoding *d, const struct row *row)
{
	struct x86_insn *i = d->i;

	if ((i->modrm & 7) != 4 || i->ad_bytes == 2)
		return false;
	i->index |= d->high_v;
	if (!(row->evex & DIST))
		return true;
	if (i->encoding >> 4 != X86_ENC_EVEX)
		return i->reg != i->index && i->reg != i->vvvv && i->index != i->vvvv;
	return i->reg != i->index;
}

/* Complex FP16 products: the destination is no source. */
static bool is_distinct(const struct x86_insn *i)
{
	return i->reg != i->vvvv && ((i->flags & X86_F_MEM) || i->reg != i->rm);
}

/* EVEX: broadcast, rounding, masks; and disp8*N. */
static bool evex_is_valid(struct decoding *d, const struct row *row)
{
	struct x86_insn *i = d->i;
	unsigned scale = i->mem_bytes;

	if (d->evex_b) {
		if (!(row->evex & (i->flags & X86_F_MEM ? B_MASK : ER)))
			return false;
		if (i->flags & X86_F_MEM) {
			i->flags |= X86_F_BROADCAST;
			scale = (row->evex & B_MASK) >> B_SHIFT;
			i->mem_bytes = (u8)scale;
		}
	}
	if (row->evex & N_MASK)
		scale = row->evex & N_MASK;
	if (d->evex_aaa && !(row->evex & WM))
		return false;
	if (!d->evex_aaa && (row->evex & WMR))
		return false;
	if (d->evex_z && ((row->evex & WMZ) != WMZ || !d->evex_aaa))
		return false;
	if (d->evex_z && (row->flags & ST) && (i->flags & X86_F_MEM))
		return false;
	if (d->evex_aaa)
		i->flags |= X86_F_KMASK;
	if (i->modrm >> 6 == 1)
		i->disp *= (s32)scale;
	if (d->length < 2 && !(row->evex & LIG))
		i->flags |= X86_F_VL;
	return true;
}

static bool vector_operands(struct decoding *d, const struct row *row)
{
	struct x86_insn *i = d->i;

	if (row->how == H_NONE)
		return !d->vvvv;
	if (i->mem_bytes)
		i->flags |= row->flags & ST ? X86_F_MEM_WRITE : X86_F_MEM_READ;
	else
		i->flags &= (u32)~X86_F_ALIGN;
	if (!vector_registers(d, row))
		return false;
	if ((i->flags & X86_F_VSIB) ? !vsib_is_valid(d, row) : (row->evex & DIST) && !is_distinct(i))
		return false;
	if (i->encoding >> 4 == X86_ENC_EVEX)
		return evex_is_valid(d, row);
	return true;
}

/* -- all of it ----------------------------------------------------------------------- */

static inline unsigned key_of(const struct decoding *d)
{
	const struct x86_insn *i = d->i;
	unsigned w = i->rex >> 3 & 1, b = i->rex & X86_REX_B, is_register = i->modrm >= 0xc0;

	return d->pp << KEY_PP | (i->modrm >> 3 & 7u) << KEY_REG | is_register << KEY_MOD3 |
	       (i->modrm & 7u) << KEY_RM | w << KEY_W | d->length << KEY_L | (unsigned)d->long_mode << KEY_64 |
	       b << KEY_B | (unsigned)(d->length != 0) << KEY_LN | (w & d->long_mode) << KEY_Y8;
}

/* Operand size 16, 32, 64 as 0, 1, 2, and the mode: an index of size_of[]. */
static inline unsigned operand_size(const struct decoding *d)
{
	const struct x86_insn *i = d->i;
	bool opsize = i->prefixes & X86_P_OPSIZE;

	if (!d->long_mode)
		return (i->code_bits == 32) != opsize;
	return i->rex & X86_REX_W ? 5 : opsize ? 3 : 4;
}

static void sizes(struct decoding *d, const struct row *row)
{
	struct x86_insn *i = d->i;
	unsigned attr = operand_size(d);

	if (row->evex & LIG)
		d->length = 0;
	if (UNLIKELY(row->size == S_AD))
		i->op_bytes = i->ad_bytes;
	else
		i->op_bytes = size_of[row->size][row->size >= S_VL ? d->length : attr];
	if (UNLIKELY(row->esize == S_AD))
		i->src_bytes = i->ad_bytes;
	else
		i->src_bytes = size_of[row->esize][row->esize >= S_VL ? d->length : attr];
	if (i->flags & (X86_F_MEM | X86_F_IMPLICIT_MEM) || row->how == H_NONE)
		i->mem_bytes = row->esize == S_SEL ? 2 : i->src_bytes;
	if (row->size == S_S || row->size == S_F)
		i->flags |= i->op_bytes == 8 ? X86_F_OP64 : 0;
}

static bool lock_is_valid(const struct x86_insn *i)
{
	return (i->flags & (X86_F_LOCKABLE | X86_F_MEM)) == (X86_F_LOCKABLE | X86_F_MEM) ||
	       x86_insn_feature(i) == X86_FEATURE_CR8;
}

static inline void address_size(struct decoding *d)
{
	struct x86_insn *i = d->i;
	bool adsize = i->prefixes & X86_P_ADSIZE;

	if (d->long_mode)
		i->ad_bytes = adsize ? 4 : 8;
	else
		i->ad_bytes = (i->code_bits == 32) != adsize ? 4 : 2;
}

static enum x86_decoded decode(struct decoding *d)
{
	struct x86_insn *i = d->i;
	const struct row *row;
	enum x86_decoded r;

	if (!prefixes(d))
		return X86_TRUNCATED;
	r = opcode(d);
	if (r != X86_DECODED)
		return r;
	address_size(d);
	if (i->encoding >> 4 == X86_ENC_LEGACY)
		d->pp = i->prefixes & X86_P_REP	   ? 2 :
			i->prefixes & X86_P_REPNE  ? 3 :
			i->prefixes & X86_P_OPSIZE ? 1 : 0;

	row = &rows[row_at[d->map][i->opcode]];
	i->flags = row->flags & F(MODRM);
	if (d->map == MAP_3DNOW)
		i->flags = F(MODRM);
	if (i->flags) {
		if (!has_bytes(d, 1))
			return X86_TRUNCATED;
		i->modrm_at = (u8)d->at;
		i->modrm = d->bytes[d->at++];
		if (i->modrm < 0xc0 && row->how != H_MODRM_REG) {
			i->flags |= X86_F_MEM;
			if (!memory(d))
				return X86_TRUNCATED;
		}
	}
	if (d->map == MAP_3DNOW) {
		if (!has_bytes(d, 1))
			return X86_TRUNCATED;
		i->opcode = d->bytes[d->at++];
		row = &rows[row_at[MAP_3DNOW][i->opcode]];
	}
	if (d->evex_b && !(i->flags & X86_F_MEM))
		d->length = 2;
	if (d->length == 3)
		return X86_INVALID;
	{
		unsigned key = key_of(d);

		while (((key ^ row->when) & row->when >> 16) != 0)
			row++;
	}
	if (row->op == INVALID_OP)
		return X86_INVALID;

	i->op = row->op;
	i->form = row->form;
	i->flags |= (row->flags & ~F_OURS) | (u32)row->feature << X86_F_FEATURE_SHIFT;
	sizes(d, row);
	if (!immediate(d, row->imm))
		return X86_TRUNCATED;
	if (!(i->flags & X86_F_VSIB) && i->index == 4 && i->ad_bytes != 2)
		i->index = X86_REG_NONE;
	if (row->flags & F(VECTOR)) {
		if (!vector_operands(d, row))
			return X86_INVALID;
	} else {
		integer_registers(i, row);
		if (row->form >= X86_E_S && row->form <= X86_D_R && !special_register_is_valid(d))
			return X86_INVALID;
		if (d->vvvv && row->form != X86_V_E && row->form != X86_G_V_E && row->form != X86_G_E_V)
			return X86_INVALID;
	}
	if (UNLIKELY(i->prefixes & X86_P_LOCK) && !lock_is_valid(i))
		return X86_INVALID;
	return X86_DECODED;
}

/* Bytes after the instruction are not part of it. */
static inline void keep_bytes(struct x86_insn *i, const u8 *bytes, unsigned available)
{
	u64 low, high;

	if (UNLIKELY(available < sizeof(i->bytes))) {
		__builtin_memcpy(i->bytes, bytes, i->len);
		return;
	}
	low = read_u64(bytes);
	high = read_u64(bytes + 8);
	if (i->len < 8) {
		low &= (1ull << i->len * 8) - 1;
		high = 0;
	} else {
		high &= (1ull << (i->len - 8) * 8) - 1;
	}
	__builtin_memcpy(i->bytes, &low, 8);
	__builtin_memcpy(i->bytes + 8, &high, 8);
}

/* Word by word: without vector registers the compiler would use REP STOS, at twice the price. */
static inline void insn_clear(struct x86_insn *i)
{
	u64 *word = (u64 *)i;

	BUILD_ASSERT(sizeof(*i) == 8 * sizeof(u64));
	word[0] = 0;
	word[1] = 0;
	word[2] = 0;
	word[3] = 0;
	word[4] = 0;
	word[5] = 0;
	word[6] = 0;
	word[7] = 0;
}

enum x86_decoded x86_decode(struct x86_insn *i, const u8 *bytes, unsigned available, unsigned code_bits)
{
	struct decoding d = {
		.i = i, .bytes = bytes, .available = MIN_OF(available, MAX_BYTES), .long_mode = code_bits == 64,
	};
	enum x86_decoded r;

	insn_clear(i);
	i->seg = X86_DS;
	i->base = X86_REG_NONE;
	i->index = X86_REG_NONE;
	i->code_bits = (u8)code_bits;
	r = decode(&d);
	if (r == X86_TRUNCATED && available >= MAX_BYTES)
		r = X86_TOO_LONG;
	i->len = (u8)d.at;
	keep_bytes(i, bytes, available);
	return r;
}
