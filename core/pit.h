/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pit.h - the interval timer as a device: ports, port 0x61, IRQ 0
 */
#ifndef CORE_PIT_H
#define CORE_PIT_H

#include <linux/kvm.h>
#include "base/types.h"

struct vm;
struct pit;

#define PIT_HZ	1193182u

struct pit *pit_create(struct vm *vm);			/* [sleep] NULL: no memory */
void pit_destroy(struct pit *p);			/* [sleep] */
int  pit_attach(struct pit *p, bool speaker);		/* vm->lock held: onto the port bus */
void pit_detach(struct pit *p);
void pit_acked(struct pit *p);				/* the guest ended IRQ 0.  [any] */
void pit_unmasked(struct pit *p);			/* ... or unmasked it: forget missed ticks.  [any] */
void pit_reinject(struct pit *p, bool on);		/* KVM_REINJECT_CONTROL */

void pit_get(struct pit *p, struct kvm_pit_state2 *state);
void pit_set(struct pit *p, const struct kvm_pit_state2 *state);

#endif
