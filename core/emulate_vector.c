// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * emulate_vector.c - moves between device memory and vector registers
 *
 * Drivers copy to and from device memory with whole vector registers.  The registers are
 * in the vCPU's XSAVE area (standard format); a component whose bit in XSTATE_BV is clear
 * is in its initial state, all zero, whatever its bytes say.
 *
 * Reference: Intel SDM vol. 1, "XSAVE Area".
 * Not modelled: EVEX encodings, MMX registers, anything that computes.
 */
#include "core/emulate_vector.h"

#include "core/vm.h"

#define XSTATE_BV_AT	512u
#define XMM_AT		160u
#define YMM_HIGH_AT	576u
#define VECTOR_BYTES	32u

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
	u8 value[VECTOR_BYTES] = { 0 };
	enum x86_result r;
	u64 linear;

	if (!(i->flags & X86_F_MEM) || (i->flags & X86_F_X87) || encoding > X86_ENC_VEX3 ||
	    !bytes || bytes > VECTOR_BYTES || i->reg >= 16)
		return X86_UNIMPLEMENTED;
	r = x86_linear(x, i->seg, x86_effective_address(x, i), bytes, access, &linear);
	if (r)
		return r;
	if ((i->flags & X86_F_ALIGN) && linear % bytes)
		return x86_raise_error(x, X86_GP, 0);
	if (x->cpl == 3)
		access |= X86_USER;
	if (access & X86_WRITE) {
		vector_get(v->fpu, i->reg, value);
		return x->bus->write(x, linear, value, bytes, access);
	}
	r = x->bus->read(x, linear, value, bytes, access);
	if (!r)
		vector_set(v->fpu, i->reg, value, encoding == X86_ENC_LEGACY);
	return r;
}
