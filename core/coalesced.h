/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * coalesced.h - device writes that wait in a ring until the client looks
 */
#ifndef CORE_COALESCED_H
#define CORE_COALESCED_H

#include <linux/kvm.h>
#include "base/types.h"
#include "host/host.h"

struct vm;
struct coalesced_zone;

struct coalesced_vm {
	struct host_spin lock;		/* writers of the ring */
	struct kvm_coalesced_mmio_ring *ring;	/* a page of the first vCPU's; NULL before it */
	struct coalesced_zone *zones;
};

void coalesced_init(struct vm *vm);
void coalesced_fini(struct vm *vm);		/* [sleep] before iobus_fini() */
/* vm->lock held.  -EINVAL, -ENOMEM, -ENOSPC.  [sleep] */
int  coalesced_register(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone);
/* All registered zones that contain this one; nobody's ring loses anything.  vm->lock held.  [sleep] */
int  coalesced_unregister(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone);

#endif
