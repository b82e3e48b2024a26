// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fpu.c - a vCPU's extended state as clients see it
 *
 * The state rests in an XSAVE area of the processor's standard format while no thread is in
 * KVM_RUN; so KVM_GET_XSAVE is a copy, and KVM_GET_FPU a rearrangement of its first 512 bytes.
 * During KVM_RUN it stays in the registers if the host can keep it there from exit to entry;
 * who needs it then settles it.
 * A component whose XSTATE_BV bit is clear is in its initial state whatever its bytes are:
 * what goes out is made explicit.
 *
 * Locking: v->lock.
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "XSAVE/XRSTOR Save Area".
 */
#include "core/fpu.h"

#include <linux/errno.h>

#include "core/vcpu.h"
#include "insn/insn.h"

/* The legacy region and header. */
struct fpu_legacy {
	u16 fcw, fsw;
	u8  ftw, reserved_5;
	u16 fop;
	u64 fip, fdp;
	u32 mxcsr, mxcsr_mask;
	u8  st[8][16];
	u8  xmm[16][16];
	u8  reserved_1a0[96];
	u64 xstate_bv, xcomp_bv, reserved_210[6];
};
BUILD_ASSERT(sizeof(struct fpu_legacy) == 576);

#define FCW_INITIAL	0x37f
#define MXCSR_INITIAL	0x1f80
#define MXCSR_VALID	0xffffu

static struct fpu_legacy *legacy(struct fpu_state *f)
{
	return (struct fpu_legacy *)f->area;
}

void fpu_settle(struct vcpu *v)
{
	if (LIKELY(!v->fpu_is_live))
		return;
	host_pin();
	host_interrupts_off();
	host_fpu_begin();
	insn_fpu_enter(NULL, 0, &v->x.pkru);
	insn_fpu_leave(v->fpu->area, 0, &v->x.pkru);
	v->fpu_is_live = false;
	host_fpu_end();
	host_interrupts_on();
	host_unpin();
}

void fpu_reset(struct fpu_state *f, bool init)
{
	struct fpu_legacy *l = legacy(f);

	if (!init)
		__builtin_memset(f, 0, sizeof(*f));
	/* INIT leaves x87 and SSE state; the bits that follow are KVM's choice too. */
	l->fcw = init && (l->xstate_bv & XCR0_X87) ? l->fcw : FCW_INITIAL;
	if (!(l->xstate_bv & XCR0_SSE))
		l->mxcsr = MXCSR_INITIAL;
	l->mxcsr_mask = MXCSR_VALID;
	l->xstate_bv |= XCR0_X87 | XCR0_SSE;
}

/* Where the processor keeps component n of the standard format. */
static void component(unsigned n, u32 *offset, u32 *bytes)
{
	u32 r[4];

	insn_cpuid(0xd, n, r);
	*bytes = r[0];
	*offset = r[1];
}

u32 fpu_bytes(u64 xcr0)
{
	u32 end = sizeof(struct fpu_legacy);

	for (unsigned n = 2; n < 63; n++) {
		u32 offset, bytes;

		if (!(xcr0 & BIT_U64(n)))
			continue;
		component(n, &offset, &bytes);
		end = MAX_OF(end, offset + bytes);
	}
	return end;
}

u32 fpu_compact_bytes(u64 xcr0)
{
	u32 end = sizeof(struct fpu_legacy);

	for (unsigned n = 2; n < 63; n++) {
		u32 r[4];

		if (!(xcr0 & BIT_U64(n)))
			continue;
		insn_cpuid(0xd, n, r);
		if (r[2] & 2)		/* begins on a 64-byte boundary */
			end = (end + 63) & ~63u;
		end += r[0];
	}
	return end;
}

bool fpu_xcr0_is_valid(u64 xcr0, u64 allowed)
{
	if (!(xcr0 & XCR0_X87) || (xcr0 & ~(allowed | XCR0_X87)))
		return false;
	if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
		return false;
	if (xcr0 & XCR0_AVX512)
		return (xcr0 & XCR0_AVX) && (xcr0 & XCR0_AVX512) == XCR0_AVX512;
	return true;
}

/*
 * The state with every component explicit: initial where XSTATE_BV says so.  A processor may save
 * components that its guest cannot have, such as PKRU; those are left out.
 */
static void explicit_state(struct vcpu *v, struct fpu_state *out)
{
	struct fpu_legacy *from = legacy(v->fpu), *to = legacy(out);
	u64 present = from->xstate_bv & (v->guest_xcr0_allowed | XCR0_X87 | XCR0_SSE);

	__builtin_memset(out, 0, sizeof(*out));
	to->fcw = FCW_INITIAL;
	to->mxcsr = present & (XCR0_SSE | XCR0_AVX) ? from->mxcsr : MXCSR_INITIAL;
	to->mxcsr_mask = MXCSR_VALID;
	to->xstate_bv = present;
	if (present & XCR0_X87) {
		__builtin_memcpy(to, from, offsetof(struct fpu_legacy, mxcsr));
		__builtin_memcpy(to->st, from->st, sizeof(to->st));
	}
	if (present & XCR0_SSE)
		__builtin_memcpy(to->xmm, from->xmm, sizeof(to->xmm));
	for (unsigned n = 2; n < 63; n++) {
		u32 offset, bytes;

		if (!(present & XCR0_KNOWN & BIT_U64(n)))
			continue;
		component(n, &offset, &bytes);
		if (offset <= sizeof(out->area) && bytes <= sizeof(out->area) - offset)
			__builtin_memcpy(out->area + offset, v->fpu->area + offset, bytes);
	}
}

int vcpu_get_xsave(struct vcpu *v, void *buffer, u32 size)
{
	struct fpu_state *state = host_alloc_pages(0, 0);

	if (!state)
		return -ENOMEM;
	explicit_state(v, state);
	__builtin_memset(buffer, 0, size);
	__builtin_memcpy(buffer, state, MIN_OF(size, sizeof(*state)));
	host_free_pages(state, 0);
	return 0;
}

int vcpu_set_xsave(struct vcpu *v, const void *buffer, u32 size)
{
	struct fpu_legacy l;

	if (size < sizeof(struct fpu_state))
		return -EINVAL;
	__builtin_memcpy(&l, buffer, sizeof(l));
	if ((l.xstate_bv & ~(v->guest_xcr0_allowed | XCR0_X87 | XCR0_SSE)) || l.xcomp_bv)
		return -EINVAL;
	if (l.mxcsr & ~MXCSR_VALID)
		return -EINVAL;
	for (unsigned n = 0; n < ARRAY_LEN(l.reserved_210); n++)
		if (l.reserved_210[n])
			return -EINVAL;
	__builtin_memcpy(v->fpu->area, buffer, sizeof(v->fpu->area));
	__builtin_memcpy(v->fpu->area, &l, sizeof(l));	/* what was checked */
	return 0;
}

int vcpu_get_fpu(struct vcpu *v, struct kvm_fpu *fpu)
{
	struct fpu_state *state = host_alloc_pages(0, 0);
	struct fpu_legacy *l;

	if (!state)
		return -ENOMEM;
	explicit_state(v, state);
	l = legacy(state);
	*fpu = (struct kvm_fpu){
		.fcw = l->fcw, .fsw = l->fsw, .ftwx = l->ftw, .last_opcode = l->fop,
		.last_ip = l->fip, .last_dp = l->fdp,
	};
	__builtin_memcpy(fpu->fpr, l->st, sizeof(fpu->fpr));
	__builtin_memcpy(fpu->xmm, l->xmm, sizeof(fpu->xmm));
	host_free_pages(state, 0);
	return 0;
}

int vcpu_set_fpu(struct vcpu *v, const struct kvm_fpu *fpu)
{
	struct fpu_legacy *l = legacy(v->fpu);

	l->fcw = fpu->fcw;
	l->fsw = fpu->fsw;
	l->ftw = fpu->ftwx;
	l->fop = fpu->last_opcode;
	l->fip = fpu->last_ip;
	l->fdp = fpu->last_dp;
	/* As KVM: MXCSR is not in it, in either direction. */
	__builtin_memcpy(l->st, fpu->fpr, sizeof(l->st));
	__builtin_memcpy(l->xmm, fpu->xmm, sizeof(l->xmm));
	l->xstate_bv |= XCR0_X87 | XCR0_SSE;
	return 0;
}

int vcpu_get_xcrs(struct vcpu *v, struct kvm_xcrs *xcrs)
{
	if (!cpuid_xcr0_supported())
		return -EINVAL;
	*xcrs = (struct kvm_xcrs){ .nr_xcrs = 1, .xcrs[0] = { .value = v->x.xcr0 } };
	return 0;
}

int vcpu_set_xcrs(struct vcpu *v, const struct kvm_xcrs *xcrs)
{
	if (!cpuid_xcr0_supported() || xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (u32 n = 0; n < xcrs->nr_xcrs; n++) {
		if (xcrs->xcrs[n].xcr)
			continue;
		if (!fpu_xcr0_is_valid(xcrs->xcrs[n].value, v->guest_xcr0_allowed))
			return -EINVAL;
		v->x.xcr0 = xcrs->xcrs[n].value;
		cpuid_update_runtime(v);
		break;
	}
	return 0;
}
