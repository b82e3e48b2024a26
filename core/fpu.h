/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fpu.h - a vCPU's extended state, in the standard XSAVE format
 */
#ifndef CORE_FPU_H
#define CORE_FPU_H

#include "base/types.h"

struct vcpu;

/* 64-byte aligned; components of the guest's allowed XCR0. */
struct fpu_state { u8 area[4096] __attribute__((aligned(64))); };

#define XCR0_X87	BIT_U64(0)
#define XCR0_SSE	BIT_U64(1)
#define XCR0_AVX	BIT_U64(2)
#define XCR0_AVX512	(7ull << 5)	/* opmask, upper halves, upper registers */
#define XCR0_PKRU	BIT_U64(9)
/* Components that this hypervisor can keep: their standard format fits struct fpu_state. */
#define XCR0_KNOWN	(XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU)

/* Before v->fpu is read or written: what is live in the registers goes there.  [sleep] */
void fpu_settle(struct vcpu *v);
/* The state after power-up (or INIT, which leaves all but x87 control alone). [any] */
void fpu_reset(struct fpu_state *f, bool init);
/* Bytes of a standard-format area with these components.  [any] */
u32  fpu_bytes(u64 xcr0);
/* The same in the compacted format, as CPUID leaf 0xd, subleaf 1 says.  [any] */
u32  fpu_compact_bytes(u64 xcr0);
/* May XSETBV load it?  allowed: the guest's CPUID leaf 0xd. */
bool fpu_xcr0_is_valid(u64 xcr0, u64 allowed);

#endif
