/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * emit.h - host instructions, as bytes
 *
 * An emitter is a place in writable memory that moves on.  Whoever emits sees to it that
 * there is room.  `how` collects what stands before the opcode.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 3, "Instruction Encoding".
 */
#ifndef SOFT_EMIT_H
#define SOFT_EMIT_H

#include "base/types.h"

enum host_reg {
	H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI,
	H_R8, H_R9, H_R10, H_R11, H_R12, H_R13, H_R14, H_R15, H_NONE
};

struct emitter {
	u8 *at;
	u32 touched;		/* bit per host register: was an operand, which it may have changed */
};

/* [base + (index << scale) + disp] */
struct host_mem {
	u8  base, index, scale;
	s32 disp;
};

#define E_W	0x01u		/* REX.W */
#define E_66	0x02u
#define E_F2	0x04u
#define E_F3	0x08u
#define E_LOCK	0x10u
#define E_REX	0x20u		/* a REX prefix in any case: SPL BPL SIL DIL */

enum { E_ONE, E_0F, E_0F38, E_0F3A };	/* opcode maps */

/* The eight of the ADD group, as the /n of opcodes 80 to 83 */
enum { E_ADD, E_OR, E_ADC, E_SBB, E_AND, E_SUB, E_XOR, E_CMP };
enum { E_CC_O, E_CC_B = 2, E_CC_AE, E_CC_E, E_CC_NE, E_CC_BE, E_CC_A };

static inline void put8(struct emitter *e, unsigned v) { *e->at++ = (u8)v; }
static inline void put16(struct emitter *e, unsigned v)
{
	u16 w = (u16)v;

	__builtin_memcpy(e->at, &w, 2);
	e->at += 2;
}
static inline void put32(struct emitter *e, u32 v)
{
	__builtin_memcpy(e->at, &v, 4);
	e->at += 4;
}
static inline void put64(struct emitter *e, u64 v)
{
	__builtin_memcpy(e->at, &v, 8);
	e->at += 8;
}

static inline bool fits_s8(s64 v) { return v == (s8)v; }
static inline bool fits_s32(s64 v) { return v == (s32)v; }
static inline struct host_mem mem_at(unsigned base, s32 disp)
{
	return (struct host_mem){ .base = (u8)base, .index = H_NONE, .disp = disp };
}

static inline bool mem_uses(struct host_mem m, unsigned reg) { return m.base == reg || m.index == reg; }

/* opcode with ModRM: reg is a register or /n; the other operand a register or memory */
void emit_rr(struct emitter *e, unsigned how, unsigned map, unsigned opcode, unsigned reg, unsigned rm);
void emit_rm(struct emitter *e, unsigned how, unsigned map, unsigned opcode, unsigned reg, struct host_mem m);
/* ModRM, SIB and displacement alone */
void emit_modrm_mem(struct emitter *e, unsigned reg, struct host_mem m);
/* VEX-encoded; pp: 0 none, 1 66, 2 F3, 3 F2; bits: W << 7 | L << 2 */
void emit_vex_rr(struct emitter *e, unsigned map, unsigned pp, unsigned bits, unsigned opcode, unsigned reg,
		 unsigned vvvv, unsigned rm);
void emit_vex_rm(struct emitter *e, unsigned map, unsigned pp, unsigned bits, unsigned opcode, unsigned reg,
		 unsigned vvvv, struct host_mem m);

/* --- what the translator itself needs, 64-bit unless it says so ------------------------- */
static inline void emit_mov(struct emitter *e, unsigned to, unsigned from) { emit_rr(e, E_W, E_ONE, 0x8b, to, from); }
static inline void emit_mov32(struct emitter *e, unsigned to, unsigned from) { emit_rr(e, 0, E_ONE, 0x8b, to, from); }
static inline void emit_load(struct emitter *e, unsigned to, struct host_mem m) { emit_rm(e, E_W, E_ONE, 0x8b, to, m); }
static inline void emit_load32(struct emitter *e, unsigned to, struct host_mem m) { emit_rm(e, 0, E_ONE, 0x8b, to, m); }
static inline void emit_store(struct emitter *e, unsigned from, struct host_mem m) { emit_rm(e, E_W, E_ONE, 0x89, from, m); }
static inline void emit_store32(struct emitter *e, unsigned from, struct host_mem m) { emit_rm(e, 0, E_ONE, 0x89, from, m); }
static inline void emit_lea(struct emitter *e, unsigned to, struct host_mem m) { emit_rm(e, E_W, E_ONE, 0x8d, to, m); }
static inline void emit_lea32(struct emitter *e, unsigned to, struct host_mem m) { emit_rm(e, 0, E_ONE, 0x8d, to, m); }
void emit_alu_imm(struct emitter *e, unsigned how, unsigned n, unsigned reg, s32 imm);	/* n: E_ADD.. */
void emit_alu_mem_imm(struct emitter *e, unsigned how, unsigned n, struct host_mem m, s32 imm);
void emit_alu_mem_imm8(struct emitter *e, unsigned n, struct host_mem m, unsigned imm);	/* of a byte */
void emit_imm(struct emitter *e, unsigned to, u64 value);	/* leaves flags alone */
static inline void emit_shift_imm(struct emitter *e, unsigned how, unsigned n, unsigned reg, unsigned count)
{
	emit_rr(e, how, E_ONE, 0xc1, n, reg);
	put8(e, count);
}

/* Branches with a 32-bit displacement; they return where it is, for emit_target(). */
static inline u8 *emit_jcc(struct emitter *e, unsigned cc)
{
	put8(e, 0x0f);
	put8(e, 0x80 | cc);
	put32(e, 0);
	return e->at - 4;
}
static inline u8 *emit_jmp(struct emitter *e)
{
	put8(e, 0xe9);
	put32(e, 0);
	return e->at - 4;
}
static inline u8 *emit_call(struct emitter *e)
{
	put8(e, 0xe8);
	put32(e, 0);
	return e->at - 4;
}
static inline void emit_target(u8 *at, const u8 *target)
{
	s32 distance = (s32)(target - (at + 4));

	__builtin_memcpy(at, &distance, 4);
}

#endif
