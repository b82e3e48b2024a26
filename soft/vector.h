/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vector.h - x87, MMX, SSE, AVX and AVX-512 on the host's own silicon
 *
 * The guest's encoding is executed as it is, except that a memory operand becomes a
 * pointer to a bounce buffer (or straight into guest memory) and guest GPRs are moved to
 * host registers.  The result is cached as a small stub of generated code, keyed by the
 * bytes that matter.
 */
#ifndef SOFT_VECTOR_H
#define SOFT_VECTOR_H

#include "x86/exec.h"
#include "soft/soft.h"

struct soft_vector;	/* stub cache and the state of the guest's vector registers */

u64  soft_vector_bytes(void);
void soft_vector_init(struct soft_vector *v, const struct soft_code *code);

/* bus->vector: one X86_F_VECTOR instruction, whose CR0/CR4/XCR0 checks have passed. */
enum x86_result soft_vector_execute(struct soft_vector *v, struct x86 *x, const struct x86_insn *i);

/* bus->system for FXSAVE FXRSTOR XSAVE* XRSTOR* (and XGETBV where not in x86/). */
enum x86_result soft_vector_system(struct soft_vector *v, struct x86 *x, const struct x86_insn *i);

void soft_vector_load(struct soft_vector *v, const void *area, u64 xcr0);
void soft_vector_save(struct soft_vector *v, void *area, u64 xcr0);

/* The components of XCR0 that host and stubs support, so that a guest may enable them. */
u64  soft_vector_xcr0(void);

/*
 * PKRU is no register of the silicon's here but x->pkru: its XSAVE component is placed behind the
 * others.  Where in an area of the standard format; 0 if there is no XSAVE.
 */
u32  soft_pkru_offset(void);

#endif
