/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fpu.h - a vCPU's extended state, in the standard XSAVE format
 */
#ifndef CORE_FPU_H
#define CORE_FPU_H

#include "base/types.h"

struct vcpu;

/* 64-byte aligned area of fpu_bytes(); components of the guest's allowed XCR0. */
struct fpu_state { u8 area[4096] __attribute__((aligned(64))); };

#endif
