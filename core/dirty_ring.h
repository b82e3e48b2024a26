/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dirty_ring.h - the dirty log as a ring a vCPU
 *
 * Locking: vm->dirty.lock, a spin, guards what is pushed; vm->lock what is reset.
 */
#ifndef CORE_DIRTY_RING_H
#define CORE_DIRTY_RING_H

#include <linux/kvm.h>
#include "base/types.h"
#include "host/host.h"

struct vm;
struct vcpu;
struct slot;

struct dirty_ring_vm {
	struct host_spin lock;
	u32 bytes;		/* of each ring, once KVM_CAP_DIRTY_LOG_RING is enabled; else 0 */
};

struct dirty_ring {
	struct kvm_dirty_gfn *entries;	/* shared with the client; NULL without rings */
	u32 count;
	u32 pushed, reset;		/* [any] entries so far; both go on for ever */
	bool is_doors;			/* entries' memory is */
};

#define DIRTY_RING_BYTES_MAX	(65536u * (u32)sizeof(struct kvm_dirty_gfn))

void dirty_ring_vm_init(struct vm *vm);
/* KVM_CAP_DIRTY_LOG_RING: -EINVAL, -E2BIG.  vm->lock held. */
int  dirty_ring_enable(struct vm *vm, u64 bytes);
int  dirty_ring_create(struct vcpu *v);		/* [sleep] -ENOMEM */
void dirty_ring_destroy(struct vcpu *v);
/* A page of s was written; v NULL: not by a vCPU.  [any] */
void dirty_ring_push(struct vm *vm, struct vcpu *v, const struct slot *s, u64 offset);
/* Must the client collect before the guest goes on?  v->lock held */
bool dirty_ring_is_full(const struct vcpu *v);
/* KVM_RESET_DIRTY_RINGS: how many entries the client had collected; -EINVAL.  vm->lock held.  [sleep] */
int  dirty_ring_reset(struct vm *vm);
/* From now on in this zeroed memory of the door's, which outlives v.  vm->lock held */
void dirty_ring_move(struct vcpu *v, void *memory);

#endif
