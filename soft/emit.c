// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * emit.c - host instructions, as bytes
 */
#include "soft/emit.h"

/* ModRM, SIB, displacement.  RSP and R12 as base need a SIB, RBP and R13 a displacement. */
void emit_modrm_mem(struct emitter *e, unsigned reg, struct host_mem m)
{
	unsigned r = (reg & 7) << 3, mod;
	bool sib = m.index != H_NONE || (m.base & 7) == 4;

	if (m.base == H_NONE) {
		put8(e, r | 4);
		put8(e, (unsigned)m.scale << 6 | (m.index == H_NONE ? 4 : m.index & 7u) << 3 | 5);
		put32(e, (u32)m.disp);
		return;
	}
	mod = m.disp == 0 && (m.base & 7) != 5 ? 0 : fits_s8(m.disp) ? 1 : 2;
	put8(e, mod << 6 | r | (sib ? 4 : m.base & 7u));
	if (sib)
		put8(e, (unsigned)m.scale << 6 | (m.index == H_NONE ? 4 : m.index & 7u) << 3 | (m.base & 7u));
	if (mod == 1)
		put8(e, (u8)m.disp);
	else if (mod == 2)
		put32(e, (u32)m.disp);
}

static void prefixes(struct emitter *e, unsigned how, unsigned rex)
{
	if (how & E_LOCK)
		put8(e, 0xf0);
	if (how & E_66)
		put8(e, 0x66);
	if (how & E_F2)
		put8(e, 0xf2);
	if (how & E_F3)
		put8(e, 0xf3);
	if (how & E_W)
		rex |= 8;
	if (rex || (how & E_REX))
		put8(e, 0x40 | rex);
}

static void opcode_bytes(struct emitter *e, unsigned map, unsigned opcode)
{
	if (map)
		put8(e, 0x0f);
	if (map > E_0F)
		put8(e, map == E_0F38 ? 0x38 : 0x3a);
	put8(e, opcode);
}

void emit_rr(struct emitter *e, unsigned how, unsigned map, unsigned opcode, unsigned reg, unsigned rm)
{
	e->touched |= 1u << reg | 1u << rm;
	prefixes(e, how, (reg & 8) >> 1 | (rm & 8) >> 3);
	opcode_bytes(e, map, opcode);
	put8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static unsigned rex_of(unsigned reg, struct host_mem m)
{
	return (reg & 8) >> 1 | (m.index != H_NONE ? (m.index & 8u) >> 2 : 0) | (m.base != H_NONE ? (m.base & 8u) >> 3 : 0);
}

void emit_rm(struct emitter *e, unsigned how, unsigned map, unsigned opcode, unsigned reg, struct host_mem m)
{
	e->touched |= 1u << reg;
	prefixes(e, how, rex_of(reg, m));
	opcode_bytes(e, map, opcode);
	emit_modrm_mem(e, reg, m);
}

static void vex(struct emitter *e, unsigned rex, unsigned map, unsigned pp, unsigned bits, unsigned vvvv)
{
	put8(e, 0xc4);
	put8(e, ((~rex & 7) << 5) | map);
	put8(e, (bits & 0x84) | (~vvvv & 15u) << 3 | pp);
}

void emit_vex_rr(struct emitter *e, unsigned map, unsigned pp, unsigned bits, unsigned opcode, unsigned reg,
		 unsigned vvvv, unsigned rm)
{
	e->touched |= 1u << reg | 1u << vvvv | 1u << rm;
	vex(e, (reg & 8) >> 1 | (rm & 8) >> 3, map, pp, bits, vvvv);
	put8(e, opcode);
	put8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void emit_vex_rm(struct emitter *e, unsigned map, unsigned pp, unsigned bits, unsigned opcode, unsigned reg,
		 unsigned vvvv, struct host_mem m)
{
	e->touched |= 1u << reg | 1u << vvvv;
	vex(e, rex_of(reg, m), map, pp, bits, vvvv);
	put8(e, opcode);
	emit_modrm_mem(e, reg, m);
}

void emit_alu_imm(struct emitter *e, unsigned how, unsigned n, unsigned reg, s32 imm)
{
	emit_rr(e, how, E_ONE, fits_s8(imm) ? 0x83 : 0x81, n, reg);
	if (fits_s8(imm))
		put8(e, (u8)imm);
	else
		put32(e, (u32)imm);
}

void emit_alu_mem_imm(struct emitter *e, unsigned how, unsigned n, struct host_mem m, s32 imm)
{
	emit_rm(e, how, E_ONE, fits_s8(imm) ? 0x83 : 0x81, n, m);
	if (fits_s8(imm))
		put8(e, (u8)imm);
	else
		put32(e, (u32)imm);
}

void emit_imm(struct emitter *e, unsigned to, u64 value)
{
	e->touched |= 1u << to;
	if (value == (u32)value) {
		if (to & 8)
			put8(e, 0x41);
		put8(e, 0xb8 | (to & 7));
		put32(e, (u32)value);
	} else if (fits_s32((s64)value)) {
		emit_rr(e, E_W, E_ONE, 0xc7, 0, to);
		put32(e, (u32)value);
	} else {
		put8(e, 0x48 | (to & 8) >> 3);
		put8(e, 0xb8 | (to & 7));
		put64(e, value);
	}
}

void emit_alu_mem_imm8(struct emitter *e, unsigned n, struct host_mem m, unsigned imm)
{
	emit_rm(e, 0, E_ONE, 0x80, n, m);
	put8(e, imm);
}
