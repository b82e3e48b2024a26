// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * emulate_vector.c - moves between device memory and vector registers
 *
 * Drivers copy to and from device memory with whole vector registers.  The registers are
 * in the vCPU's XSAVE area (standard format); a component whose bit in XSTATE_BV is clear
 * is in its initial state, all zero, whatever its bytes say.
 *
 * MMX registers are the x87 unit's, of which the area has the first at the top of the stack.
 *
 * Reference: Intel SDM vol. 1, "XSAVE Area", "The MMX State and MMX Register Set".
 * Not modelled: EVEX encodings, anything that computes.
 */
#include "core/emulate_vector.h"

#include "core/vm.h"

#define FCW_AT		0u
#define FSW_AT		2u
#define FTW_AT		4u		/* a bit for each register in use */
#define X87_HEAD_BYTES	24u		/* ends where MXCSR begins */
#define ST_AT		32u
#define XSTATE_BV_AT	512u
#define XMM_AT		160u
#define YMM_HIGH_AT	576u
#define VECTOR_BYTES	32u

#define FCW_INITIAL	0x37fu
#define FSW_ES		0x80u		/* an exception pends */
#define FSW_TOP_SHIFT	11
#define FSW_TOP		(7u << FSW_TOP_SHIFT)

static u64 *xstate_bv(struct fpu_state *f)
{
	return (u64 *)(f->area + XSTATE_BV_AT);
}

/* Make the registers of a component real: 16 of 16 bytes each at. */
static u8 *component(struct fpu_state *f, u64 bit, unsigned at)
{
	if (!(*xstate_bv(f) & bit)) {
		__builtin_memset(f->area + at, 0, 16 * 16);
		*xstate_bv(f) |= bit;
	}
	return f->area + at;
}

static void vector_get(struct fpu_state *f, unsigned n, u8 value[VECTOR_BYTES])
{
	__builtin_memset(value, 0, VECTOR_BYTES);
	if (*xstate_bv(f) & XCR0_SSE)
		__builtin_memcpy(value, f->area + XMM_AT + 16 * n, 16);
	if (*xstate_bv(f) & XCR0_AVX)
		__builtin_memcpy(value + 16, f->area + YMM_HIGH_AT + 16 * n, 16);
}

/* Legacy instructions leave the upper half alone. */
static void vector_set(struct fpu_state *f, unsigned n, const u8 value[VECTOR_BYTES], bool legacy)
{
	__builtin_memcpy(component(f, XCR0_SSE, XMM_AT) + 16 * n, value, 16);
	if (!legacy)
		__builtin_memcpy(component(f, XCR0_AVX, YMM_HIGH_AT) + 16 * n, value + 16, 16);
}

/* --- MMX ------------------------------------------------------------------------------ */

static u16 fsw_get(const struct fpu_state *f)
{
	u16 fsw;

	__builtin_memcpy(&fsw, f->area + FSW_AT, sizeof(fsw));
	return fsw;
}

static void mmx_get(struct fpu_state *f, unsigned n, u8 value[VECTOR_BYTES])
{
	if (*xstate_bv(f) & XCR0_X87)
		__builtin_memcpy(value, f->area + ST_AT + 16 * ((n - (fsw_get(f) >> FSW_TOP_SHIFT)) & 7), 8);
}

/* What any MMX instruction does: register 0 is the top of the stack, and all are in use. */
static void mmx_begin(struct fpu_state *f)
{
	u8 st[8 * 16];
	unsigned top;
	u16 fsw;

	if (!(*xstate_bv(f) & XCR0_X87)) {
		__builtin_memset(f->area, 0, X87_HEAD_BYTES);
		__builtin_memset(f->area + ST_AT, 0, sizeof(st));
		__builtin_memcpy(f->area + FCW_AT, &(u16){ FCW_INITIAL }, 2);
		*xstate_bv(f) |= XCR0_X87;
	}
	fsw = fsw_get(f);
	top = fsw >> FSW_TOP_SHIFT & 7;
	__builtin_memcpy(st, f->area + ST_AT, sizeof(st));
	for (unsigned n = 0; n < 8; n++)
		__builtin_memcpy(f->area + ST_AT + 16 * n, st + 16 * ((n - top) & 7), 16);
	fsw &= (u16)~FSW_TOP;
	__builtin_memcpy(f->area + FSW_AT, &fsw, sizeof(fsw));
	f->area[FTW_AT] = 0xff;
}

/* After mmx_begin().  As a floating-point number it is none. */
static void mmx_set(struct fpu_state *f, unsigned n, const u8 value[VECTOR_BYTES])
{
	__builtin_memcpy(f->area + ST_AT + 16 * n, value, 8);
	__builtin_memset(f->area + ST_AT + 16 * n + 8, 0xff, 2);
}

static bool mmx_faults(struct fpu_state *f)
{
	return (*xstate_bv(f) & XCR0_X87) && (fsw_get(f) & FSW_ES);
}

/* --- moves ---------------------------------------------------------------------------- */

/* Bytes that a move with memory moves; 0: not a plain move. */
static unsigned move_bytes(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_MOVUPS: case X86_OP_MOVUPD: case X86_OP_MOVAPS: case X86_OP_MOVAPD:
	case X86_OP_MOVDQU: case X86_OP_MOVDQA: case X86_OP_LDDQU:
	case X86_OP_MOVNTDQ: case X86_OP_MOVNTDQA: case X86_OP_MOVNTPS: case X86_OP_MOVNTPD:
		return 16;
	case X86_OP_VMOVUPS: case X86_OP_VMOVUPD: case X86_OP_VMOVAPS: case X86_OP_VMOVAPD:
	case X86_OP_VMOVDQU: case X86_OP_VMOVDQA: case X86_OP_VLDDQU:
	case X86_OP_VMOVNTDQ: case X86_OP_VMOVNTDQA: case X86_OP_VMOVNTPS: case X86_OP_VMOVNTPD:
		return i->op_bytes;
	case X86_OP_MOVD: case X86_OP_VMOVD: case X86_OP_MOVQ: case X86_OP_VMOVQ:
	case X86_OP_MOVNTQ:
		return i->mem_bytes;
	case X86_OP_MOVSS: case X86_OP_VMOVSS:
		return 4;
	case X86_OP_MOVSD: case X86_OP_VMOVSD:
		return 8;
	default:
		return 0;
	}
}

enum x86_result emulate_vector(struct x86 *x, const struct x86_insn *i)
{
	struct vcpu *v = CONTAINER_OF(x, struct vcpu, x);
	unsigned bytes = move_bytes(i), encoding = i->encoding >> 4;
	unsigned access = i->flags & X86_F_MEM_WRITE ? X86_WRITE : X86_READ;
	bool mmx = i->flags & X86_F_X87;	/* of the x87 unit's own instructions none is a move here */
	u8 value[VECTOR_BYTES] = { 0 };
	enum x86_result r;
	u64 linear;

	if (!(i->flags & X86_F_MEM) || encoding > X86_ENC_VEX3 ||
	    !bytes || bytes > VECTOR_BYTES || i->reg >= 16)
		return X86_UNIMPLEMENTED;
	fpu_settle(v);
	if (mmx && mmx_faults(v->fpu))
		return x86_raise(x, X86_MF);
	r = x86_linear(x, i->seg, x86_effective_address(x, i), bytes, access, &linear);
	if (r)
		return r;
	if ((i->flags & X86_F_ALIGN) && linear % bytes)
		return x86_raise_error(x, X86_GP, 0);
	if (x->cpl == 3)
		access |= X86_USER;
	if (access & X86_WRITE) {
		if (mmx)
			mmx_get(v->fpu, i->reg & 7, value);
		else
			vector_get(v->fpu, i->reg, value);
		r = x->bus->write(x, linear, value, bytes, access);
	} else {
		r = x->bus->read(x, linear, value, bytes, access);
	}
	if (r)
		return r;
	if (mmx)
		mmx_begin(v->fpu);
	if (!(access & X86_WRITE)) {
		if (mmx)
			mmx_set(v->fpu, i->reg & 7, value);
		else
			vector_set(v->fpu, i->reg, value, encoding == X86_ENC_LEGACY);
	}
	return X86_OK;
}
