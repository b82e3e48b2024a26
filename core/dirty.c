// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dirty.c - the dirty log: which pages were written since the client last asked
 *
 * A page of a logging slot is mapped writable only while its bit is set: the fault that
 * makes it writable sets the bit, and whoever clears the bit takes write access away, both
 * in one step under mmu->lock.  Writers that go around the nested page table (guest_write,
 * the emulator, page walks) write first and mark after.  So a bit is never lost: what a
 * cleared bit stood for was written before the client reads the page.
 *
 * Locking: vm->lock, then mmu->lock.  Marking takes none.
 * Reference: Linux, Documentation/virt/kvm/api.rst, "KVM_GET_DIRTY_LOG", "KVM_CLEAR_DIRTY_LOG",
 * "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2".
 */
#include "core/slot.h"

#include <linux/errno.h>

#include "base/bits.h"
#include "core/vm.h"

void slot_set_dirty(struct vm *vm, struct vcpu *v, struct slot *s, u64 offset)
{
	/* Looking first keeps the line shared when the bit is set already, which it mostly is. */
	if (!bit_test_atomic(s->dirty, offset) && !bit_set_atomic(s->dirty, offset) && vm->dirty.bytes)
		dirty_ring_push(vm, v, s, offset);
}

void slot_mark_dirty(struct vcpu *v, gfn_t gfn)
{
	struct slot *s = vcpu_slot_find(v, gfn);

	if (s && s->dirty)
		slot_set_dirty(v->vm, v, s, gfn - s->gfn);
}

void slot_mark_dirty_in(struct vm *vm, unsigned space, gfn_t gfn)
{
	struct slot *s = slot_find_in(vm, space, gfn);

	if (s && s->dirty)
		slot_set_dirty(vm, NULL, s, gfn - s->gfn);
}

/* The slot with this number, if it logs. */
static int logging_slot(struct vm *vm, u32 id, struct slot **s)
{
	if (vm->dirty.bytes)	/* the bitmaps have another meaning then */
		return -ENXIO;
	if (id >> 16 >= SLOT_SPACES || (u16)id >= SLOT_COUNT)
		return -EINVAL;
	*s = slot_by_id(vm, id);
	return *s && (*s)->dirty ? 0 : -ENOENT;
}

u64 slot_take_dirty(struct vm *vm, struct slot *s, u64 word, u64 mask, bool *flush)
{
	u64 taken = atomic_fetch_and(&s->dirty[word], ~mask) & mask;

	if (taken && mmu_protect_mask(vm, slot_frame(s) + word * 64, taken))
		*flush = true;
	return taken;
}

int slot_get_dirty(struct vm *vm, const struct kvm_dirty_log *log)
{
	bool manual = vm->mmu.manual_protect, flush = false;
	struct slot *s;
	u64 words, *copy;
	int r = logging_slot(vm, log->slot, &s);

	if (r)
		return r;
	words = slot_dirty_bytes(s) / 8;
	copy = host_alloc(words * 8, 0);
	if (!copy)
		return -ENOMEM;

	host_mutex_lock(&vm->mmu.lock);
	for (u64 w = 0; w < words; w++) {
		if (!atomic_load_relaxed(&s->dirty[w]))
			continue;
		copy[w] = manual ? atomic_load_acquire(&s->dirty[w]) : slot_take_dirty(vm, s, w, ~0ull, &flush);
	}
	host_mutex_unlock(&vm->mmu.lock);
	if (flush)
		mmu_flush(vm);

	r = host_copy_out((u64)(uintptr_t)log->dirty_bitmap, copy, words * 8);
	if (r && !manual)	/* nothing is lost */
		for (u64 w = 0; w < words; w++)
			if (copy[w])
				atomic_fetch_or(&s->dirty[w], copy[w]);
	host_free(copy);
	return r;
}

int slot_clear_dirty(struct vm *vm, const struct kvm_clear_dirty_log *log)
{
	u64 first = log->first_page, pages = log->num_pages, words, *mask;
	bool flush = false;
	struct slot *s;
	int r;

	if (first % 64)
		return -EINVAL;
	r = logging_slot(vm, log->slot, &s);
	if (r)
		return r;
	if (first > s->pages || pages > s->pages - first || (pages < s->pages - first && pages % 64))
		return -EINVAL;
	words = (pages + 63) / 64;
	if (!words)
		return 0;
	mask = host_alloc(words * 8, 0);
	if (!mask)
		return -ENOMEM;
	r = host_copy_in(mask, (u64)(uintptr_t)log->dirty_bitmap, words * 8);
	if (!r) {
		host_mutex_lock(&vm->mmu.lock);
		for (u64 w = 0; w < words; w++)
			if (mask[w])
				slot_take_dirty(vm, s, first / 64 + w, mask[w], &flush);
		host_mutex_unlock(&vm->mmu.lock);
		if (flush)
			mmu_flush(vm);
	}
	host_free(mask);
	return r;
}

int slot_dirty_manual(struct vm *vm, u64 flags)
{
	if (flags & ~(u64)(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET))
		return -EINVAL;
	if ((flags & KVM_DIRTY_LOG_INITIALLY_SET) && !(flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE))
		return -EINVAL;
	vm->mmu.manual_protect = (u32)flags;
	return 0;
}
