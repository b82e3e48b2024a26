/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypercall.h - calls of a guest that knows what it runs on
 */
#ifndef CORE_HYPERCALL_H
#define CORE_HYPERCALL_H

#include "base/types.h"

struct vcpu;

/* Serve the call in the guest's registers; RAX is the answer.  Does not skip it.  [sleep] in srcu */
void hypercall_execute(struct vcpu *v);
/* Are the bytes at RIP the other vendor's call instruction, and does the client want that served?  [sleep] in srcu */
bool hypercall_is_foreign(struct vcpu *v);
/* Make the foreign instruction at RIP the processor's own; false: the guest may not write there.  [sleep] in srcu */
bool hypercall_patch(struct vcpu *v);

#endif
