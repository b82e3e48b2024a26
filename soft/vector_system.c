// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vector_system.c - FXSAVE, FXRSTOR, XSAVE and kin on guest memory
 *
 * The registers are captured in the standard format, then the parts that the instruction
 * writes go to the guest's area; loading is the way back.  The guest's header is read,
 * checked and interpreted here, so that nothing the guest wrote can fault on the host.
 *
 * Reference: Intel SDM vol. 1, "Managing State Using the XSAVE Feature Set", "Operation of
 * XSAVE", "Operation of XRSTOR", "Operation of XSAVEC".
 * Not modelled: outside 64-bit code XSAVE and XRSTOR move the upper halves of YMM8 to YMM15,
 * too; XSAVEOPT's modified optimization (it may write what has not changed).
 */
#include "base/bits.h"
#include "soft/vector_unit.h"
#include "x86/operand.h"

#define FXSAVE_BYTES	512u
#define HEADER_AT	512u
#define HEADER_BYTES	64u
#define COMPACT		BIT_U64(63)
#define MASKED_MXCSR	(XSTATE_SSE | XSTATE_AVX)

/* Where each component is in an area, by format. */
struct layout { u32 at[XSTATE_COMPONENTS]; u32 bytes; };

static void layout_of(struct layout *l, u64 components, bool compact)
{
	const struct vector_host *h = vector_host();

	l->bytes = HEADER_AT + HEADER_BYTES;
	for (unsigned n = 2; n < XSTATE_COMPONENTS; n++) {
		l->at[n] = h->offset[n];
		if (!(components >> n & 1))
			continue;
		if (compact) {
			l->at[n] = h->aligned[n] ? (u32)align_up(l->bytes, 64) : l->bytes;
			l->bytes = l->at[n] + h->bytes[n];
		} else {
			l->bytes = MAX_OF(l->bytes, l->at[n] + h->bytes[n]);
		}
	}
}

static enum x86_result area_address(struct x86 *x, const struct x86_insn *i, unsigned bytes, unsigned align,
				    unsigned access, u64 *linear)
{
	enum x86_result r = x86_operand_linear(x, i, bytes, access);

	if (r != X86_OK)
		return r;
	*linear = x->scratch;
	if (*linear & (align - 1))
		return x86_raise_error(x, X86_GP, 0);
	if (access & X86_WRITE)
		return x->bus->probe(x, *linear, bytes, vector_access(x, X86_WRITE));
	return X86_OK;
}

static enum x86_result guest_read(struct x86 *x, u64 linear, u32 at, void *to, u32 bytes)
{
	return x->bus->read(x, linear + at, to, bytes, vector_access(x, X86_READ));
}

static enum x86_result guest_write(struct x86 *x, u64 linear, u32 at, const void *from, u32 bytes)
{
	return x->bus->write(x, linear + at, from, bytes, vector_access(x, X86_WRITE));
}

/* XMM8 to XMM15 exist in 64-bit code only. */
static u32 xmm_bytes(const struct x86 *x)
{
	return x->code_bits == 64 ? 16 * 16 : 8 * 16;
}

static void capture(struct soft_vector *v)
{
	__builtin_memset(&v->image, 0, offsetof(struct vector_area, rest));
	vector_capture(v, &v->image);
	vector_masks_out(v, &v->image);
}

/* It is in use unless it is zero. */
static void pkru_out(const struct x86 *x, struct vector_area *a)
{
	u32 at = vector_host()->offset[9];

	if (!at)
		return;
	__builtin_memset((u8 *)a + at, 0, vector_host()->bytes[9]);
	__builtin_memcpy((u8 *)a + at, &x->pkru, sizeof(x->pkru));
	if (x->pkru)
		a->xstate_bv |= XSTATE_PKRU;
}

static void pkru_in(struct x86 *x, struct vector_area *a)
{
	u32 pkru = 0;

	if (a->xstate_bv & XSTATE_PKRU)
		__builtin_memcpy(&pkru, (u8 *)a + vector_host()->offset[9], sizeof(pkru));
	a->xstate_bv &= ~XSTATE_PKRU;
	x86_write_pkru(x, pkru);
}

/* --- FXSAVE, FXRSTOR -------------------------------------------------------------------------- */

static enum x86_result fxsave(struct soft_vector *v, struct x86 *x, const struct x86_insn *i)
{
	u64 linear;
	enum x86_result r = area_address(x, i, FXSAVE_BYTES, 16, X86_WRITE, &linear);

	if (r != X86_OK)
		return r;
	capture(v);
	return guest_write(x, linear, 0, &v->image, (u32)offsetof(struct vector_area, xmm) + xmm_bytes(x));
}

static enum x86_result fxrstor(struct soft_vector *v, struct x86 *x, const struct x86_insn *i)
{
	u8 legacy[FXSAVE_BYTES] __attribute__((aligned(8)));
	struct vector_area *a = &v->image;
	u64 linear;
	u32 mxcsr;
	enum x86_result r = area_address(x, i, FXSAVE_BYTES, 16, X86_READ, &linear);

	if (r == X86_OK)
		r = guest_read(x, linear, 0, legacy, sizeof(legacy));
	if (r != X86_OK)
		return r;
	__builtin_memcpy(&mxcsr, legacy + offsetof(struct vector_area, mxcsr), sizeof(mxcsr));
	if (mxcsr & ~vector_host()->mxcsr_valid)
		return x86_raise_error(x, X86_GP, 0);
	capture(v);			/* for what is not in the image */
	__builtin_memcpy(a, legacy, offsetof(struct vector_area, xmm) + xmm_bytes(x));
	a->xstate_bv = XSTATE_X87 | XSTATE_SSE;
	a->xcomp_bv = 0;
	vector_masks_in(v, a, XSTATE_X87 | XSTATE_SSE);
	vector_apply(v, a, XSTATE_X87 | XSTATE_SSE);
	return X86_OK;
}

/* --- XSAVE ----------------------------------------------------------------------------------------- */

static u64 requested(const struct x86 *x)
{
	return ((u64)(u32)x->gpr[X86_RDX] << 32 | (u32)x->gpr[X86_RAX]) & x->xcr0 &
	       vector_host()->known;
}

/* The parts of v->image that which selects. */
static enum x86_result write_parts(struct soft_vector *v, struct x86 *x, u64 linear, const struct layout *l,
				   u64 which, bool mxcsr)
{
	const struct vector_area *a = &v->image;
	enum x86_result r = X86_OK;

#define PART(at, field, bytes) do { \
		if (r == X86_OK) \
			r = guest_write(x, linear, (u32)(at), field, (u32)(bytes)); \
	} while (0)
	if (which & XSTATE_X87) {
		PART(0, a, offsetof(struct vector_area, mxcsr));
		PART(offsetof(struct vector_area, st), a->st, sizeof(a->st));
	}
	if (mxcsr)
		PART(offsetof(struct vector_area, mxcsr), &a->mxcsr, 8);
	if (which & XSTATE_SSE)
		PART(offsetof(struct vector_area, xmm), a->xmm, xmm_bytes(x));
	for (unsigned n = 2; n < XSTATE_COMPONENTS; n++)
		if (which >> n & 1)
			PART(l->at[n], (const u8 *)a + vector_host()->offset[n], vector_host()->bytes[n]);
#undef PART
	return r;
}

static enum x86_result xsave(struct soft_vector *v, struct x86 *x, const struct x86_insn *i)
{
	bool compact = i->op == X86_OP_XSAVEC || i->op == X86_OP_XSAVES;
	u64 rfbm = requested(x), linear, used, which, header[2];
	struct layout l;
	enum x86_result r;

	layout_of(&l, rfbm, compact);
	r = area_address(x, i, l.bytes, 64, X86_WRITE, &linear);
	if (r == X86_OK)
		r = guest_read(x, linear, HEADER_AT, header, sizeof(header));
	if (r != X86_OK)
		return r;
	capture(v);
	pkru_out(x, &v->image);
	used = v->image.xstate_bv & rfbm;
	which = i->op == X86_OP_XSAVE ? rfbm : used;
	r = write_parts(v, x, linear, &l, which,
			compact ? which & XSTATE_SSE : rfbm & MASKED_MXCSR);
	if (r != X86_OK)
		return r;
	header[0] = compact ? used : (header[0] & ~rfbm) | used;
	header[1] = rfbm | COMPACT;
	return guest_write(x, linear, HEADER_AT, header, compact ? 16 : 8);
}

/* --- XRSTOR ---------------------------------------------------------------------------------------- */

/* Is the header one that the processor accepts? */
static bool header_is_valid(const u64 h[8], u64 xcr0)
{
	u64 reserved = 0, compact = h[1] & COMPACT;

	for (unsigned n = compact ? 2 : 1; n < 8; n++)
		reserved |= h[n];
	if (!compact)		/* the bytes after XCOMP_BV are checked up to byte 23 only */
		return !(h[0] & ~xcr0) && !h[1] && !h[2];
	return !reserved && !(h[1] & ~COMPACT & ~xcr0) && !(h[0] & ~h[1]);
}

static enum x86_result read_parts(struct soft_vector *v, struct x86 *x, u64 linear, const struct layout *l,
				  u64 which)
{
	struct vector_area *a = &v->image;
	enum x86_result r = guest_read(x, linear, 0, a, (u32)offsetof(struct vector_area, reserved_1a0));

	for (unsigned n = 2; n < XSTATE_COMPONENTS && r == X86_OK; n++)
		if (which >> n & 1)
			r = guest_read(x, linear, l->at[n], (u8 *)a + vector_host()->offset[n],
				       vector_host()->bytes[n]);
	return r;
}

static enum x86_result xrstor(struct soft_vector *v, struct x86 *x, const struct x86_insn *i)
{
	struct vector_area *a = &v->image;
	u64 rfbm = requested(x), linear, header[8];
	u32 live = vector_mxcsr(v) & ~((u32)v->mxcsr_unmasked << MXCSR_MASK_SHIFT);
	struct layout l;
	bool compact;
	enum x86_result r = area_address(x, i, HEADER_AT + HEADER_BYTES, 64, X86_READ, &linear);

	if (r == X86_OK)
		r = guest_read(x, linear, HEADER_AT, header, sizeof(header));
	if (r != X86_OK)
		return r;
	compact = header[1] & COMPACT;
	if (!header_is_valid(header, x->xcr0) || (i->op == X86_OP_XRSTORS && !compact))
		return x86_raise_error(x, X86_GP, 0);
	layout_of(&l, compact ? header[1] : rfbm, compact);
	r = area_address(x, i, l.bytes, 64, X86_READ, &linear);
	if (r == X86_OK)
		r = read_parts(v, x, linear, &l, header[0] & rfbm);
	if (r != X86_OK)
		return r;

	if (compact && !(rfbm & XSTATE_SSE))
		a->mxcsr = live;
	else if (compact && !(header[0] & XSTATE_SSE))
		a->mxcsr = MXCSR_INITIAL;
	if ((rfbm & MASKED_MXCSR) && (a->mxcsr & ~vector_host()->mxcsr_valid))
		return x86_raise_error(x, X86_GP, 0);
	a->xstate_bv = header[0] & rfbm;
	a->xcomp_bv = 0;
	__builtin_memset(a->reserved_210, 0, sizeof(a->reserved_210));
	if (rfbm & XSTATE_PKRU)
		pkru_in(x, a);
	rfbm &= ~XSTATE_PKRU;
	vector_masks_in(v, a, rfbm);
	vector_apply(v, a, rfbm);
	return X86_OK;
}

enum x86_result soft_vector_system(struct soft_vector *v, struct x86 *x, const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_FXSAVE:
	case X86_OP_FXRSTOR:
		vector_need(v);
		return i->op == X86_OP_FXSAVE ? fxsave(v, x, i) : fxrstor(v, x, i);
	case X86_OP_XSAVE:
	case X86_OP_XSAVEC:
	case X86_OP_XSAVEOPT:
	case X86_OP_XSAVES:
		vector_need(v);
		return xsave(v, x, i);
	case X86_OP_XRSTOR:
	case X86_OP_XRSTORS:
		vector_need(v);
		return xrstor(v, x, i);
	default:
		return X86_UNIMPLEMENTED;
	}
}
