// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dirty_ring.c - the dirty log as a ring a vCPU
 *
 * With rings a slot's bitmap says which pages are in some ring; a page whose bit becomes set is
 * pushed. The client takes entries in order, marks them, and a reset clears the bits of what
 * it marked and takes write access away, as reading the bitmap would.
 *
 * The memory is the client's to scribble in: how far a ring is filled is ours alone, and an
 * entry that is reset is read once and checked.
 *
 * Invariants:
 *   1. pushed - reset <= count.
 *
 * Locking: see dirty_ring.h; mmu.lock is taken inside vm->lock, dirty.lock innermost.
 * Reference: Linux Documentation/virt/kvm/api.rst, "KVM_CAP_DIRTY_LOG_RING".
 */
#include "core/dirty_ring.h"

#include <linux/errno.h>

#include "base/bits.h"
#include "core/vm.h"

#define RESERVED	64u	/* entries left when the client is told that it is full */

static struct host_lock_class ring_class = { .name = "dirty ring" };

void dirty_ring_vm_init(struct vm *vm)
{
	host_spin_init(&vm->dirty.lock, &ring_class);
}

int dirty_ring_enable(struct vm *vm, u64 bytes)
{
	if (!is_power_of_two(bytes) || bytes < PAGE_BYTES)
		return -EINVAL;
	if (bytes > DIRTY_RING_BYTES_MAX)
		return -E2BIG;
	if (vm->dirty.bytes || atomic_load_acquire(&vm->vcpu_count))
		return -EINVAL;
	vm->dirty.bytes = (u32)bytes;
	return 0;
}

static unsigned order_of(u32 bytes)
{
	return bit_lowest(bytes / PAGE_BYTES);
}

int dirty_ring_create(struct vcpu *v)
{
	u32 bytes = v->vm->dirty.bytes;

	if (!bytes)
		return 0;
	v->dirty_ring.entries = host_alloc_pages(order_of(bytes), 0);
	if (!v->dirty_ring.entries)
		return -ENOMEM;
	v->dirty_ring.count = bytes / (u32)sizeof(struct kvm_dirty_gfn);
	return 0;
}

void dirty_ring_destroy(struct vcpu *v)
{
	if (v->dirty_ring.entries && !v->dirty_ring.is_doors)
		host_free_pages(v->dirty_ring.entries, order_of(v->vm->dirty.bytes));
}

static u32 used(const struct dirty_ring *r)
{
	return atomic_load_acquire(&r->pushed) - atomic_load_acquire(&r->reset);
}

static bool push(struct dirty_ring *r, u32 slot, u64 offset)
{
	struct kvm_dirty_gfn *e;

	if (used(r) >= r->count)
		return false;
	e = &r->entries[r->pushed % r->count];
	e->slot = slot;
	e->offset = offset;
	atomic_store_release(&e->flags, (u32)KVM_DIRTY_GFN_F_DIRTY);
	atomic_store_release(&r->pushed, r->pushed + 1);
	return true;
}

void dirty_ring_push(struct vm *vm, struct vcpu *v, const struct slot *s, u64 offset)
{
	u64 flags = host_spin_lock(&vm->dirty.lock);
	u32 count = atomic_load_acquire(&vm->vcpu_count);
	bool done = v && push(&v->dirty_ring, s->id, offset);

	/* vCPUs stop before theirs is full, so there is room for what is nobody's. */
	for (u32 n = 0; !done && n < count; n++)
		done = push(&vm->vcpus[n]->dirty_ring, s->id, offset);
	host_spin_unlock(&vm->dirty.lock, flags);
}

bool dirty_ring_is_full(const struct vcpu *v)
{
	return v->dirty_ring.count && used(&v->dirty_ring) >= v->dirty_ring.count - RESERVED;
}

/* The client is done with this page for now: its next write is pushed again. */
static bool page_reset(struct vm *vm, u32 slot, u64 offset)
{
	struct slot *s = slot_by_id(vm, slot);
	bool flush = false;

	if (s && s->dirty && offset < s->pages)
		slot_take_dirty(vm, s, offset / 64, BIT_U64(offset % 64), &flush);
	return flush;
}

int dirty_ring_reset(struct vm *vm)
{
	bool flush = false;
	int count = 0;

	if (!vm->dirty.bytes)
		return -EINVAL;
	host_mutex_lock(&vm->mmu.lock);
	for (u32 n = 0; n < atomic_load_acquire(&vm->vcpu_count); n++) {
		struct dirty_ring *r = &vm->vcpus[n]->dirty_ring;

		while (used(r)) {
			struct kvm_dirty_gfn *e = &r->entries[r->reset % r->count];
			u32 slot;
			u64 offset;

			if (!(atomic_load_acquire(&e->flags) & KVM_DIRTY_GFN_F_RESET))
				break;
			slot = atomic_load_relaxed(&e->slot);
			offset = atomic_load_relaxed(&e->offset);
			atomic_store_release(&e->flags, 0u);
			atomic_store_release(&r->reset, r->reset + 1);
			flush |= page_reset(vm, slot, offset);
			count++;
		}
	}
	host_mutex_unlock(&vm->mmu.lock);
	if (flush)
		mmu_flush(vm);
	return count;
}

void dirty_ring_move(struct vcpu *v, void *memory)
{
	struct dirty_ring *r = &v->dirty_ring;
	struct kvm_dirty_gfn *old = r->entries;
	u64 flags = host_spin_lock(&v->vm->dirty.lock);

	__builtin_memcpy(memory, old, v->vm->dirty.bytes);
	r->entries = memory;
	host_spin_unlock(&v->vm->dirty.lock, flags);
	if (!r->is_doors)
		host_free_pages(old, order_of(v->vm->dirty.bytes));
	r->is_doors = true;
}
