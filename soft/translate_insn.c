// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_insn.c - what an integer instruction becomes
 *
 * Mostly itself, with other registers: a plan says which opcode, what its operands are and
 * how they are accessed.  A displaced register passes through a scratch register.  What has
 * no plan goes to the executor.
 */
#include "soft/translate.h"

#define R PLAN_READ
#define W PLAN_WRITE
#define RW (PLAN_READ | PLAN_WRITE)

/* --- flags -------------------------------------------------------------------------------------- */

static const u8 condition_reads[8] = {
	FLAG_OF, FLAG_CF, FLAG_ZF, FLAG_CF | FLAG_ZF, FLAG_SF, FLAG_PF, FLAG_SF | FLAG_OF, FLAG_SF | FLAG_OF | FLAG_ZF,
};

static struct flag_use shift_flags(const struct x86_insn *i)
{
	bool rotate = i->op == X86_OP_ROL || i->op == X86_OP_ROR || i->op == X86_OP_RCL || i->op == X86_OP_RCR;
	u8 reads = i->op == X86_OP_RCL || i->op == X86_OP_RCR ? FLAG_CF : 0;
	u8 changes = rotate ? FLAG_CF | FLAG_OF : FLAGS;

	if (i->form == X86_E_CL || i->form == X86_E_G_CL)
		return (struct flag_use){ reads, 0, changes };
	if (!(i->imm & (i->op_bytes == 8 ? 63 : 31)))
		return (struct flag_use){ reads, 0, changes };
	return (struct flag_use){ reads, changes, changes };
}

/* Flags that the manuals call undefined count as set. */
struct flag_use insn_flags(const struct x86_insn *i, bool native)
{
	if (!native)
		return (struct flag_use){ FLAGS, 0, 0 };
	switch (i->op) {
	case X86_OP_ADC: case X86_OP_SBB:
		return (struct flag_use){ FLAG_CF, FLAGS, FLAGS };
	case X86_OP_ADD: case X86_OP_SUB: case X86_OP_CMP: case X86_OP_AND: case X86_OP_OR: case X86_OP_XOR:
	case X86_OP_TEST: case X86_OP_NEG: case X86_OP_XADD: case X86_OP_CMPXCHG: case X86_OP_MUL:
	case X86_OP_IMUL: case X86_OP_DIV: case X86_OP_IDIV: case X86_OP_BSF: case X86_OP_BSR:
	case X86_OP_TZCNT: case X86_OP_LZCNT: case X86_OP_POPCNT: case X86_OP_ANDN: case X86_OP_BEXTR:
	case X86_OP_BZHI: case X86_OP_BLSR: case X86_OP_BLSI: case X86_OP_BLSMSK:
		return (struct flag_use){ 0, FLAGS, FLAGS };
	case X86_OP_INC: case X86_OP_DEC:
		return (struct flag_use){ 0, FLAGS & ~FLAG_CF, FLAGS & ~FLAG_CF };
	case X86_OP_ROL: case X86_OP_ROR: case X86_OP_RCL: case X86_OP_RCR: case X86_OP_SHL: case X86_OP_SHR:
	case X86_OP_SAR: case X86_OP_SHLD: case X86_OP_SHRD:
		return shift_flags(i);
	case X86_OP_BT: case X86_OP_BTS: case X86_OP_BTR: case X86_OP_BTC:
		return (struct flag_use){ 0, FLAG_CF, FLAGS };
	case X86_OP_CMPXCHG8B: case X86_OP_CMPXCHG16B:
		return (struct flag_use){ 0, FLAG_ZF, FLAG_ZF };
	case X86_OP_ADCX:
		return (struct flag_use){ FLAG_CF, FLAG_CF, FLAG_CF };
	case X86_OP_ADOX:
		return (struct flag_use){ FLAG_OF, FLAG_OF, FLAG_OF };
	case X86_OP_JCC: case X86_OP_SETCC: case X86_OP_CMOVCC:
		return (struct flag_use){ condition_reads[i->opcode >> 1 & 7], 0, 0 };
	case X86_OP_LOOPE: case X86_OP_LOOPNE:
		return (struct flag_use){ FLAG_ZF, 0, 0 };
	case X86_OP_CLC: case X86_OP_STC:
		return (struct flag_use){ 0, FLAG_CF, FLAG_CF };
	case X86_OP_CMC:
		return (struct flag_use){ FLAG_CF, FLAG_CF, FLAG_CF };
	case X86_OP_PUSHF:
		return (struct flag_use){ FLAGS, 0, 0 };
	case X86_OP_LAHF:
		return (struct flag_use){ FLAGS & ~FLAG_OF, 0, 0 };
	case X86_OP_SAHF:
		return (struct flag_use){ 0, FLAGS & ~FLAG_OF, FLAGS & ~FLAG_OF };
	default:
		if (i->flags & X86_F_EFLAGS)
			return (struct flag_use){ i->flags & X86_F_X87 ? FLAGS : 0,
						  i->flags & X86_F_X87 ? 0 : FLAGS, FLAGS };
		if (i->op >= X86_OP_FCMOVB && i->op <= X86_OP_FCMOVU)
			return (struct flag_use){ FLAGS, 0, 0 };
		return (struct flag_use){ 0, 0, 0 };
	}
}

/* --- plans ---------------------------------------------------------------------------------------- */

static u8 size_how(unsigned bytes)
{
	return bytes == 8 ? E_W : bytes == 2 ? E_66 : 0;
}

static void plan_alu(const struct x86_insn *i, struct plan *p)
{
	static const u8 group[X86_OPS] = {
		[X86_OP_ADD] = E_ADD, [X86_OP_OR] = E_OR, [X86_OP_ADC] = E_ADC, [X86_OP_SBB] = E_SBB,
		[X86_OP_AND] = E_AND, [X86_OP_SUB] = E_SUB, [X86_OP_XOR] = E_XOR, [X86_OP_CMP] = E_CMP,
	};
	unsigned n = group[i->op], wide = i->op_bytes > 1;
	u8 target = i->op == X86_OP_CMP ? R : RW;

	if (i->form == X86_E_I) {
		bool small = i->op_bytes == 1 || fits_s8((s64)i->imm);

		p->opcode = i->op_bytes == 1 ? 0x80 : small ? 0x83 : 0x81;
		p->imm_bytes = small ? 1 : i->op_bytes == 2 ? 2 : 4;
		p->ext = (u8)n;
		p->e = target;
	} else if (i->form == X86_E_G) {
		p->opcode = (u8)(n << 3 | wide);
		p->e = target;
		p->g = R;
	} else {
		p->opcode = (u8)(n << 3 | 2 | wide);
		p->e = R;
		p->g = target;
	}
}

static void plan_mov(const struct x86_insn *i, struct plan *p)
{
	unsigned wide = i->op_bytes > 1;

	switch (i->form) {
	case X86_E_G:
		p->opcode = (u8)(0x88 | wide);
		p->e = W;
		p->g = R;
		break;
	case X86_G_E:
		p->opcode = (u8)(0x8a | wide);
		p->e = R;
		p->g = W;
		break;
	case X86_E_I:
		if (!(i->flags & X86_F_MEM) && i->op_bytes == 8 && !fits_s32((s64)i->imm)) {
			p->kind = PLAN_SPECIAL;
			break;
		}
		p->opcode = (u8)(0xc6 | wide);
		p->ext = 0;
		p->imm_bytes = (u8)MIN_OF(i->op_bytes, 4);
		p->e = W;
		break;
	default:
		p->kind = PLAN_NONE;
	}
}

static void plan_shift(const struct x86_insn *i, struct plan *p)
{
	unsigned wide = i->op_bytes > 1;

	p->ext = i->modrm >> 3 & 7;
	if (p->ext == 6)
		p->ext = 4;
	p->e = RW;
	p->opcode = (u8)((i->form == X86_E_CL ? 0xd2 : 0xc0) | wide);
	p->imm_bytes = i->form == X86_E_CL ? 0 : 1;
}

static void plan_vex(const struct x86_insn *i, struct plan *p)
{
	p->kind = PLAN_VEX;
	p->opcode = i->opcode;
	p->map = i->encoding & 15;
	p->e = R;
	p->g = W;
	p->imm_bytes = i->op == X86_OP_RORX;
	if (i->form == X86_V_E)
		p->ext = i->modrm >> 3 & 7;
}

struct plan insn_plan(const struct translation *b, const struct x86_insn *i)
{
	unsigned wide = i->op_bytes > 1;
	struct plan p = {
		.kind = PLAN_MODRM, .how = size_how(i->op_bytes), .ext = 0xff,
		.e_byte = i->op_bytes == 1, .g_byte = i->op_bytes == 1,
	};

	switch (i->op) {
	case X86_OP_ADD: case X86_OP_OR: case X86_OP_ADC: case X86_OP_SBB: case X86_OP_AND: case X86_OP_SUB:
	case X86_OP_XOR: case X86_OP_CMP:
		plan_alu(i, &p);
		break;
	case X86_OP_TEST:
		p.e = R;
		if (i->form == X86_E_I) {
			p.opcode = (u8)(0xf6 | wide);
			p.ext = 0;
			p.imm_bytes = (u8)MIN_OF(i->op_bytes, 4);
		} else {
			p.opcode = (u8)(0x84 | wide);
			p.g = R;
		}
		break;
	case X86_OP_INC: case X86_OP_DEC:
		p.opcode = (u8)(0xfe | wide);
		p.ext = i->op == X86_OP_DEC;
		p.e = RW;
		break;
	case X86_OP_NOT: case X86_OP_NEG:
		p.opcode = (u8)(0xf6 | wide);
		p.ext = i->op == X86_OP_NOT ? 2 : 3;
		p.e = RW;
		break;
	case X86_OP_MUL: case X86_OP_DIV: case X86_OP_IDIV:
		p.opcode = (u8)(0xf6 | wide);
		p.ext = i->modrm >> 3 & 7;
		p.e = R;
		if (i->op != X86_OP_MUL && i->op_bytes < 4)
			p.kind = PLAN_NONE;
		break;
	case X86_OP_IMUL:
		p.e = R;
		if (i->form == X86_E) {
			p.opcode = (u8)(0xf6 | wide);
			p.ext = 5;
		} else if (i->form == X86_G_E) {
			p.map = E_0F;
			p.opcode = 0xaf;
			p.g = RW;
		} else {
			p.imm_bytes = fits_s8((s64)i->imm) ? 1 : (u8)MIN_OF(i->op_bytes, 4);
			p.opcode = p.imm_bytes == 1 ? 0x6b : 0x69;
			p.g = W;
		}
		break;
	case X86_OP_MOV:
		plan_mov(i, &p);
		break;
	case X86_OP_MOVNTI:
		p.map = E_0F;
		p.opcode = 0xc3;
		p.e = W;
		p.g = R;
		break;
	case X86_OP_MOVZX: case X86_OP_MOVSX:
		p.map = E_0F;
		p.opcode = i->opcode;
		p.e = R;
		p.g = W;
		p.e_byte = i->src_bytes == 1;
		p.g_byte = false;
		break;
	case X86_OP_MOVSXD:
		if (i->op_bytes < 4)
			p.kind = PLAN_NONE;
		p.opcode = 0x63;
		p.e = R;
		p.g = W;
		break;
	case X86_OP_CMOVCC:
		p.map = E_0F;
		p.opcode = i->opcode;
		p.e = R;
		p.g = RW;
		break;
	case X86_OP_SETCC:
		p.map = E_0F;
		p.how = 0;
		p.opcode = i->opcode;
		p.ext = 0;
		p.e = W;
		p.e_byte = true;
		break;
	case X86_OP_ROL: case X86_OP_ROR: case X86_OP_RCL: case X86_OP_RCR: case X86_OP_SHL: case X86_OP_SHR:
	case X86_OP_SAR:
		plan_shift(i, &p);
		break;
	case X86_OP_SHLD: case X86_OP_SHRD:
		p.map = E_0F;
		p.opcode = i->opcode;
		p.e = RW;
		p.g = R;
		p.imm_bytes = i->form == X86_E_G_I;
		break;
	case X86_OP_BT: case X86_OP_BTS: case X86_OP_BTR: case X86_OP_BTC:
		p.map = E_0F;
		p.opcode = i->opcode;
		p.e = i->op == X86_OP_BT ? R : RW;
		if (i->form == X86_E_I) {
			p.ext = i->modrm >> 3 & 7;
			p.imm_bytes = 1;
		} else {
			p.g = R;
			if (i->flags & X86_F_MEM)
				p.kind = PLAN_NONE;
		}
		break;
	case X86_OP_BSF: case X86_OP_BSR:
		p.map = E_0F;
		p.opcode = i->opcode;
		p.e = R;
		p.g = RW;
		break;
	case X86_OP_TZCNT: case X86_OP_LZCNT: case X86_OP_POPCNT:
		p.map = E_0F;
		p.how |= E_F3;
		p.opcode = i->opcode;
		p.e = R;
		p.g = RW;
		break;
	case X86_OP_ADCX: case X86_OP_ADOX:
		p.map = E_0F38;
		p.how = (u8)((i->op_bytes == 8 ? E_W : 0) | (i->op == X86_OP_ADCX ? E_66 : E_F3));
		p.opcode = 0xf6;
		p.e = R;
		p.g = RW;
		break;
	case X86_OP_CRC32:
		p.map = E_0F38;
		p.how = (u8)(E_F2 | (i->src_bytes == 2 ? E_66 : 0) | (i->rex & X86_REX_W ? E_W : 0));
		p.opcode = i->opcode;
		p.e = R;
		p.g = RW;
		p.e_byte = i->src_bytes == 1;
		p.g_byte = false;
		break;
	case X86_OP_MOVBE:
		p.map = E_0F38;
		p.opcode = i->opcode;
		p.e = i->form == X86_G_E ? R : W;
		p.g = i->form == X86_G_E ? W : R;
		break;
	case X86_OP_XCHG:
		p.opcode = (u8)(0x86 | wide);
		p.e = p.g = RW;
		break;
	case X86_OP_XADD:
		p.map = E_0F;
		p.opcode = (u8)(0xc0 | wide);
		p.e = p.g = RW;
		break;
	case X86_OP_CMPXCHG:
		p.map = E_0F;
		p.opcode = (u8)(0xb0 | wide);
		p.e = RW;
		p.g = R;
		break;
	case X86_OP_CMPXCHG8B: case X86_OP_CMPXCHG16B:
		p.map = E_0F;
		p.how = i->op == X86_OP_CMPXCHG16B ? E_W : 0;
		p.opcode = 0xc7;
		p.ext = 1;
		p.e = RW;
		p.e_byte = p.g_byte = false;
		p.align = i->op == X86_OP_CMPXCHG16B;
		break;
	case X86_OP_ANDN: case X86_OP_PDEP: case X86_OP_PEXT: case X86_OP_BEXTR: case X86_OP_BZHI:
	case X86_OP_BLSR: case X86_OP_BLSI: case X86_OP_BLSMSK: case X86_OP_RORX: case X86_OP_SARX:
	case X86_OP_SHLX: case X86_OP_SHRX: case X86_OP_MULX:
		plan_vex(i, &p);
		if (b->narrow)		/* W means nothing there */
			p.kind = PLAN_NONE;
		break;
	case X86_OP_BSWAP:
		p.kind = i->op_bytes >= 4 ? PLAN_SPECIAL : PLAN_NONE;
		break;
	case X86_OP_CBW: case X86_OP_CWD:
		p.kind = PLAN_PLAIN;
		p.opcode = i->op == X86_OP_CBW ? 0x98 : 0x99;
		break;
	case X86_OP_CLC: case X86_OP_STC: case X86_OP_CMC: case X86_OP_LAHF: case X86_OP_SAHF:
		p.kind = PLAN_PLAIN;
		p.how = 0;
		p.opcode = i->opcode;
		break;
	case X86_OP_PUSH: case X86_OP_POP:
		p.kind = i->op_bytes == word_bytes(b) && (i->form == X86_E || (i->form == X86_I && i->op == X86_OP_PUSH)) &&
			 !(i->op == X86_OP_POP && (i->flags & X86_F_MEM)) ? PLAN_SPECIAL : PLAN_NONE;
		break;
	case X86_OP_LEA:
		p.kind = i->ad_bytes >= 4 ? PLAN_SPECIAL : PLAN_NONE;
		break;
	case X86_OP_LEAVE:
		p.kind = i->op_bytes == word_bytes(b) ? PLAN_SPECIAL : PLAN_NONE;
		break;
	case X86_OP_CLD: case X86_OP_STD: case X86_OP_CLI: case X86_OP_STI: case X86_OP_SWAPGS: case X86_OP_PUSHF:
	case X86_OP_RDTSC: case X86_OP_RDTSCP: case X86_OP_MFENCE: case X86_OP_SFENCE:
	case X86_OP_STAC: case X86_OP_CLAC: case X86_OP_MOVS: case X86_OP_STOS:
		p.kind = system_is_native(b, i) ? PLAN_SPECIAL : PLAN_NONE;
		break;
	case X86_OP_NOP: case X86_OP_LFENCE: case X86_OP_PREFETCH: case X86_OP_PREFETCHW: case X86_OP_PREFETCHNTA:
	case X86_OP_PREFETCHT0: case X86_OP_PREFETCHT1: case X86_OP_PREFETCHT2: case X86_OP_CLDEMOTE:
		p.kind = PLAN_NOTHING;
		break;
	default:
		p.kind = PLAN_NONE;
	}
	if (i->prefixes & X86_P_LOCK) {
		if (!(i->flags & X86_F_MEM) || (p.kind != PLAN_MODRM && p.kind != PLAN_NONE))
			p.kind = PLAN_NONE;
		p.how |= E_LOCK;
	}
	return p;
}

/* AH, CH, DH, BH exclude a REX prefix. */
static bool high_bytes_fit(const struct x86_insn *i, const struct plan *p)
{
	bool e_high = p->e && !(i->flags & X86_F_MEM) && p->e_byte && i->rm >= X86_AH;
	bool g_high = p->g && p->g_byte && i->reg >= X86_AH;

	if (!e_high && !g_high)
		return true;
	if (i->flags & X86_F_MEM || (p->how & E_W))
		return false;
	if (!e_high && p->e && (host_of[i->rm] >= 8 || (p->e_byte && host_of[i->rm] > 3)))
		return false;
	if (!g_high && p->g && (host_of[i->reg] >= 8 || (p->g_byte && host_of[i->reg] > 3)))
		return false;
	return true;
}

bool insn_is_native(const struct translation *b, const struct x86_insn *i)
{
	struct plan p = insn_plan(b, i);

	if (p.kind == PLAN_NONE)
		return false;
	if (i->flags & X86_F_MEM && p.kind != PLAN_NOTHING && i->op != X86_OP_LEA &&
	    (!address_is_native(b, i) || i->mem_bytes == 0 || i->mem_bytes > 64))
		return false;
	return p.kind != PLAN_MODRM || high_bytes_fit(i, &p);
}

/* --- operands -------------------------------------------------------------------------------------- */

static unsigned register_of(unsigned r, bool byte, unsigned scratch, unsigned *how)
{
	unsigned h;

	if (byte && r >= X86_AH)
		return r - X86_AH + 4;
	h = host_of[r & 15] == DISPLACED ? scratch : host_of[r & 15];
	if (byte && h >= 4 && h < 8)
		*how |= E_REX;
	return h;
}

static bool is_displaced(unsigned r, bool byte)
{
	return !(byte && r >= X86_AH) && host_of[r & 15] == DISPLACED;
}

static void displaced_in(struct translation *b, unsigned r, bool byte, unsigned scratch)
{
	if (is_displaced(r, byte))
		emit_load(&b->e, scratch, gpr_at(r));
}

static void displaced_out(struct translation *b, unsigned r, bool byte, unsigned scratch)
{
	if (is_displaced(r, byte))
		emit_store(&b->e, scratch, gpr_at(r));
}

static void put_imm(struct emitter *e, u64 imm, unsigned bytes)
{
	if (bytes == 1)
		put8(e, (u8)imm);
	else if (bytes == 2)
		put16(e, (u16)imm);
	else if (bytes == 4)
		put32(e, (u32)imm);
}

/* Flags that the instruction needs from before it: those it reads, and those it leaves alone. */
static bool needs_flags(const struct translation *b, struct flag_use use)
{
	return use.reads || (use.changes && (b->live[b->at + 1] & ~use.sets));
}

static void flags_changed(struct translation *b, struct flag_use use)
{
	if (use.changes) {
		b->flags_native = true;
		b->flags_saved = false;
	}
}

/*
 * Division faults where the quotient does not fit: let the interpreter have every case that
 * might.  DIV: the high half is less than the divisor.  IDIV: the dividend is its low half,
 * sign-extended, and the divisor neither 0 nor -1.
 */
static void guard_division(struct translation *b, const struct x86_insn *i, unsigned divisor, struct host_mem m)
{
	unsigned how = i->op_bytes == 8 ? E_W : 0;
	struct emitter *e = &b->e;

	if (i->op == X86_OP_DIV) {
		if (divisor == H_NONE)
			emit_rm(e, how, E_ONE, 0x3b, H_RDX, m);
		else
			emit_rr(e, how, E_ONE, 0x3b, H_RDX, divisor);
		restart_if(b, E_CC_AE);
		return;
	}
	emit_rr(e, how, E_ONE, 0x8b, T1, H_RAX);
	emit_shift_imm(e, how, 7, T1, i->op_bytes * 8u - 1);
	emit_rr(e, how, E_ONE, 0x3b, T1, H_RDX);
	restart_if(b, E_CC_NE);
	if (divisor == H_NONE)
		emit_rm(e, how, E_ONE, 0x8b, T1, m);
	else
		emit_rr(e, how, E_ONE, 0x8b, T1, divisor);
	emit_alu_imm(e, how, E_ADD, T1, 1);
	emit_alu_imm(e, how, E_CMP, T1, 1);
	restart_if(b, E_CC_BE);
}

static bool is_division(const struct x86_insn *i)
{
	return i->op == X86_OP_DIV || i->op == X86_OP_IDIV;
}

/*
 * May the instruction work on a displaced E where it is?  Not if it writes 32 bits, which
 * clear 32 more, or means something else with memory (XCHG locks, BT looks elsewhere).
 */
static bool displaced_as_memory(const struct x86_insn *i, const struct plan *p)
{
	if (!p->e || !is_displaced(i->rm, p->e_byte) || is_division(i))
		return false;
	if ((p->e & W) && !p->e_byte && i->op_bytes == 4)
		return false;
	switch (i->op) {
	case X86_OP_XCHG: case X86_OP_XADD: case X86_OP_CMPXCHG:
	case X86_OP_BT: case X86_OP_BTS: case X86_OP_BTR: case X86_OP_BTC:
		return false;
	default:
		return true;
	}
}

static void modrm_registers(struct translation *b, const struct x86_insn *i, const struct plan *p,
			    struct flag_use use)
{
	bool in_memory = displaced_as_memory(i, p);
	unsigned how = p->how, g = 0, e;

	if (is_division(i))
		flags_lose(b);
	if (needs_flags(b, use))
		flags_need(b, T0);
	e = register_of(i->rm, p->e_byte, T0, &how);
	if (!in_memory && (p->e != W || i->op_bytes < 4 || p->e_byte))
		displaced_in(b, i->rm, p->e_byte, T0);
	if (p->ext == 0xff) {
		g = register_of(i->reg, p->g_byte, T1, &how);
		if (p->g != W || i->op_bytes < 4)
			displaced_in(b, i->reg, p->g_byte, T1);
	} else {
		g = p->ext;
	}
	if (is_division(i))
		guard_division(b, i, e, mem_at(0, 0));
	if (in_memory)
		emit_rm(&b->e, how, p->map, p->opcode, g, gpr_at(i->rm));
	else
		emit_rr(&b->e, how, p->map, p->opcode, g, e);
	put_imm(&b->e, i->imm, p->imm_bytes);
	if (p->ext == 0xff && (p->g & W))
		displaced_out(b, i->reg, p->g_byte, T1);
	if ((p->e & W) && !in_memory)		/* last: XADD of a register with itself */
		displaced_out(b, i->rm, p->e_byte, T0);
}

static void modrm_memory(struct translation *b, const struct x86_insn *i, const struct plan *p, struct flag_use use)
{
	struct address a = address_of(b, i);
	unsigned how = p->how, g = p->ext, scratch;
	struct host_mem m;

	if (is_division(i))
		flags_lose(b);
	m = memory_open(b, &a, i->mem_bytes, p->e & W, p->align);
	if (needs_flags(b, use) || (p->ext == 0xff && is_displaced(i->reg, p->g_byte)) || is_division(i))
		if (mem_uses(m, T0) && mem_uses(m, T1))
			m = memory_collapse(b, m);
	if (i->op == X86_OP_IDIV)
		m = memory_collapse(b, m);
	scratch = mem_uses(m, T1) ? T0 : T1;
	if (needs_flags(b, use))
		flags_need(b, scratch);
	if (p->ext == 0xff) {
		g = register_of(i->reg, p->g_byte, scratch, &how);
		if (p->g != W || i->op_bytes < 4)
			displaced_in(b, i->reg, p->g_byte, scratch);
	}
	if (is_division(i))
		guard_division(b, i, H_NONE, m);
	emit_rm(&b->e, how, p->map, p->opcode, g, m);
	put_imm(&b->e, i->imm, p->imm_bytes);
	if (p->ext == 0xff && (p->g & W))
		displaced_out(b, i->reg, p->g_byte, scratch);
}

static void translate_modrm(struct translation *b, const struct x86_insn *i, const struct plan *p)
{
	struct flag_use use = insn_flags(i, true);

	if (i->flags & X86_F_MEM)
		modrm_memory(b, i, p, use);
	else
		modrm_registers(b, i, p, use);
	flags_changed(b, use);
}

/* BMI: destination G (or V), sources E and V; MULX writes both G and V */
static void translate_vex(struct translation *b, const struct x86_insn *i, const struct plan *p)
{
	struct flag_use use = insn_flags(i, true);
	unsigned last = i->bytes[i->modrm_at - 2], pp = last & 3, bits = last & 0x80, ignored = 0;
	bool uses_v = i->op != X86_OP_RORX, v_is_target = i->form == X86_V_E || i->op == X86_OP_MULX;
	bool memory = i->flags & X86_F_MEM;
	struct host_mem m = mem_at(0, 0);
	unsigned vs = T1, gs = T0, e = 0, v = 15, g = p->ext;

	if (memory) {
		struct address a = address_of(b, i);

		m = memory_open(b, &a, i->mem_bytes, false, false);
		if (mem_uses(m, T0))
			m = memory_collapse(b, m);
		vs = mem_uses(m, T1) ? T0 : T1;
		gs = i->op == X86_OP_MULX ? (vs == T0 ? T1 : T0) : vs;
	} else {
		e = register_of(i->rm, false, T0, &ignored);
		displaced_in(b, i->rm, false, T0);
	}
	if (uses_v) {
		v = register_of(i->vvvv, false, vs, &ignored);
		if (!v_is_target)
			displaced_in(b, i->vvvv, false, vs);
	}
	if (p->ext == 0xff)
		g = register_of(i->reg, false, gs, &ignored);
	if (memory)
		emit_vex_rm(&b->e, p->map, pp, bits, p->opcode, g, uses_v ? v : 0, m);
	else
		emit_vex_rr(&b->e, p->map, pp, bits, p->opcode, g, uses_v ? v : 0, e);
	put_imm(&b->e, i->imm, p->imm_bytes);
	if (v_is_target)
		displaced_out(b, i->vvvv, false, vs);
	if (p->ext == 0xff)
		displaced_out(b, i->reg, false, gs);
	flags_changed(b, use);
}

/* --- instructions of their own kind ---------------------------------------------------------------- */

static void translate_push(struct translation *b, const struct x86_insn *i)
{
	unsigned bytes = word_bytes(b);
	struct address below = address_of_stack(b, X86_RSP, -(s64)bytes);
	struct emitter *e = &b->e;
	struct host_mem m;

	if (i->flags & X86_F_MEM) {
		struct address a = address_of(b, i);

		load_word(b, T0, memory_open(b, &a, bytes, false, false));
		emit_store(e, T0, context_at(b->c, &b->t->value));
	}
	m = memory_open(b, &below, bytes, true, false);
	if (i->form == X86_I) {
		emit_rm(e, b->narrow ? 0 : E_W, E_ONE, 0xc7, 0, m);
		put32(e, (u32)i->imm);
	} else if (i->flags & X86_F_MEM) {
		m = memory_collapse(b, m);
		emit_load(e, T1, context_at(b->c, &b->t->value));
		store_word(b, T1, m);
	} else if (is_displaced(i->rm, false)) {
		displaced_in(b, i->rm, false, T0);
		store_word(b, T0, m);
	} else {
		store_word(b, host_of[i->rm], m);
	}
	emit_stack_add(b, -(s32)bytes);
}

static void translate_pop(struct translation *b, const struct x86_insn *i)
{
	unsigned bytes = word_bytes(b);
	struct address top = address_of_stack(b, X86_RSP, 0);
	struct host_mem m = memory_open(b, &top, bytes, false, false);

	if (is_displaced(i->rm, false)) {
		load_word(b, T0, m);
		displaced_out(b, i->rm, false, T0);
	} else {
		load_word(b, host_of[i->rm], m);
	}
	if (i->rm != X86_RSP)
		emit_stack_add(b, (s32)bytes);
}

static void translate_leave(struct translation *b)
{
	struct address frame = address_of_stack(b, X86_RBP, 0);
	struct host_mem m = memory_open(b, &frame, word_bytes(b), false, false);

	load_word(b, T0, m);
	if (b->narrow)
		emit_lea32(&b->e, host_of[X86_RSP], mem_at(host_of[X86_RBP], 4));
	else
		emit_lea(&b->e, host_of[X86_RSP], mem_at(host_of[X86_RBP], 8));
	emit_mov(&b->e, host_of[X86_RBP], T0);
}

/* No flags, no memory. */
static void translate_lea(struct translation *b, const struct x86_insn *i)
{
	struct address a = address_of(b, i);
	struct host_mem m = { .base = H_NONE, .index = H_NONE, .scale = a.scale, .disp = (s32)a.fixed };
	unsigned how = size_how(i->op_bytes), ignored = 0, to = register_of(i->reg, false, T0, &ignored);
	struct emitter *e = &b->e;

	if (a.base != X86_REG_NONE) {
		displaced_in(b, a.base, false, T0);
		m.base = (u8)register_of(a.base, false, T0, &ignored);
	}
	if (a.index != X86_REG_NONE) {
		displaced_in(b, a.index, false, T1);
		m.index = (u8)register_of(a.index, false, T1, &ignored);
	}
	if (i->op_bytes == 2) {
		if (m.base == H_NONE && m.index == H_NONE)
			emit_imm(e, T1, a.fixed);
		else
			emit_lea(e, T1, m);
		displaced_in(b, i->reg, false, T0);
		emit_rr(e, E_66, E_ONE, 0x8b, to, T1);
	} else if (m.base == H_NONE && m.index == H_NONE) {
		emit_imm(e, to, i->op_bytes == 4 ? (u32)a.fixed : a.fixed);
	} else {
		emit_rm(e, a.narrow ? 0 : how, E_ONE, 0x8d, to, m);
	}
	displaced_out(b, i->reg, false, T0);
}

static void translate_bswap(struct translation *b, const struct x86_insn *i)
{
	unsigned ignored = 0, r = register_of(i->rm, false, T0, &ignored);
	struct emitter *e = &b->e;

	displaced_in(b, i->rm, false, T0);
	if (i->op_bytes == 8 || r >= 8)
		put8(e, 0x40 | (i->op_bytes == 8 ? 8 : 0) | (r & 8) >> 3);
	put8(e, 0x0f);
	put8(e, 0xc8 | (r & 7));
	displaced_out(b, i->rm, false, T0);
}

static void translate_special(struct translation *b, const struct x86_insn *i)
{
	struct emitter *e = &b->e;

	switch (i->op) {
	case X86_OP_PUSH:
		translate_push(b, i);
		break;
	case X86_OP_POP:
		translate_pop(b, i);
		break;
	case X86_OP_LEAVE:
		translate_leave(b);
		break;
	case X86_OP_LEA:
		translate_lea(b, i);
		break;
	case X86_OP_BSWAP:
		translate_bswap(b, i);
		break;
	case X86_OP_MOV:		/* an immediate of 64 bits */
		emit_imm(e, is_displaced(i->rm, false) ? T0 : host_of[i->rm], i->imm);
		displaced_out(b, i->rm, false, T0);
		break;
	default:
		system_translate(b, i);
		break;
	}
}

/* One byte, registers implied. */
static void translate_plain(struct translation *b, const struct x86_insn *i, const struct plan *p)
{
	struct flag_use use = insn_flags(i, true);
	struct emitter *e = &b->e;

	if (needs_flags(b, use))
		flags_need(b, T0);
	if (p->how & E_66)
		put8(e, 0x66);
	if (p->how & E_W)
		put8(e, 0x48);
	put8(e, p->opcode);
	flags_changed(b, use);
}

void insn_translate(struct translation *b, const struct x86_insn *i)
{
	struct plan p = insn_plan(b, i);

	switch (p.kind) {
	case PLAN_MODRM:
		translate_modrm(b, i, &p);
		break;
	case PLAN_VEX:
		translate_vex(b, i, &p);
		break;
	case PLAN_PLAIN:
		translate_plain(b, i, &p);
		break;
	case PLAN_SPECIAL:
		translate_special(b, i);
		break;
	default:
		break;
	}
}
