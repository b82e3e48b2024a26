/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * emulate_vector.h - moves between device memory and vector registers
 */
#ifndef CORE_EMULATE_VECTOR_H
#define CORE_EMULATE_VECTOR_H

#include "x86/exec.h"

/* As x86_bus's vector.  Registers are those of the vCPU's v->fpu. */
enum x86_result emulate_vector(struct x86 *x, const struct x86_insn *i);

#endif
