// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * slot.c - memory slots
 *
 * The client describes the guest's memory as numbered slots, each a range of its own
 * address space at a guest-physical address.  Readers find slots by binary search in an
 * array that never changes; a change publishes another array.
 *
 * Taking memory away goes in this order: publish an array without the slot; wait until
 * nobody can be using the old one (a fault handler that had found the slot has by then
 * made its mapping); remove the mappings and flush every processor; only then return to
 * the client or give the frames to somebody else.
 *
 * Invariants:
 *   1. by_gfn[] of a space is ascending and without overlap, and count is its length.
 *   2. A slot has a dirty bitmap exactly while its flags say that it logs.
 *   3. Ids are unique within vm->slots.
 *
 * Locking: vm->lock is held by whoever changes slots; readers are inside vm->srcu.
 * Reference: Linux, Documentation/virt/kvm/api.rst, "KVM_SET_USER_MEMORY_REGION".
 */
#include "core/slot.h"

#include <linux/errno.h>

#include "base/bits.h"
#include "base/checked.h"
#include "core/vm.h"

#define PAGES_MAX	((1ull << 31) - 1)		/* KVM_MEM_MAX_NR_PAGES */
#define USER_END	(BIT_U64(47) - PAGE_BYTES)	/* of the owner's addresses */
#define FLAGS_VALID	(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)

/* --- finding --------------------------------------------------------------- */

/* Index of the first slot that begins after gfn. */
static u32 slot_after(const struct slot_space *space, gfn_t gfn)
{
	u32 low = 0, high = space->count;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (space->by_gfn[middle]->gfn <= gfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct slot *slot_find_in(struct vm *vm, unsigned in, gfn_t gfn)
{
	const struct slots *slots = atomic_load_acquire(&vm->slots);
	const struct slot_space *space;
	struct slot *s;
	u32 n;

	if (!slots)
		return NULL;
	space = &slots->space[in];
	n = slot_after(space, gfn);
	if (!n)
		return NULL;
	s = space->by_gfn[n - 1];
	return gfn - s->gfn < s->pages ? s : NULL;
}

/* Most look-ups of a vCPU end where its last one did. */
struct slot *vcpu_slot_find(struct vcpu *v, gfn_t gfn)
{
	const struct slots *slots = atomic_load_acquire(&v->vm->slots);
	const struct slot_space *space;
	struct slot *s;
	u32 n;

	if (!slots)
		return NULL;
	space = &slots->space[v->smm.on];
	s = space->by_gfn[v->last_slot];	/* NULL beyond count */
	if (LIKELY(s && gfn - s->gfn < s->pages))
		return s;
	n = slot_after(space, gfn);
	if (!n)
		return NULL;
	v->last_slot = n - 1;
	s = space->by_gfn[n - 1];
	return gfn - s->gfn < s->pages ? s : NULL;
}

struct slot *slot_by_id(struct vm *vm, u32 id)
{
	const struct slots *slots = atomic_load_acquire(&vm->slots);
	const struct slot_space *space;

	if (!slots || id >> 16 >= SLOT_SPACES)
		return NULL;
	space = &slots->space[id >> 16];
	for (u32 n = 0; n < space->count; n++)
		if (space->by_gfn[n]->id == id)
			return space->by_gfn[n];
	return NULL;
}

/* --- changing -------------------------------------------------------------- */

/* A copy of what is published, to be changed; NULL without memory. */
static struct slots *slots_copy(struct vm *vm)
{
	struct slots *new = host_alloc(sizeof(*new), 0);

	if (new && vm->slots)
		*new = *vm->slots;
	return new;
}

static void slots_remove(struct slots *slots, const struct slot *s)
{
	struct slot_space *space = &slots->space[s->id >> 16];
	u32 n = slot_after(space, s->gfn) - 1;

	space->count--;
	for (; n < space->count; n++)
		space->by_gfn[n] = space->by_gfn[n + 1];
	space->by_gfn[space->count] = NULL;
}

static void slots_insert(struct slots *slots, struct slot *s)
{
	struct slot_space *space = &slots->space[s->id >> 16];
	u32 at = slot_after(space, s->gfn);

	for (u32 n = space->count++; n > at; n--)
		space->by_gfn[n] = space->by_gfn[n - 1];
	space->by_gfn[at] = s;
}

/* Publish new; nobody uses the old array, or a slot that is only in it, afterwards. */
static void slots_publish(struct vm *vm, struct slots *new)
{
	struct slots *old = vm->slots;

	new->generation = old ? old->generation + 1 : 1;
	atomic_store_release(&vm->slots, new);
	host_srcu_wait(&vm->srcu);
	host_free(old);
}

static bool slots_overlap(struct vm *vm, const struct slot *s)
{
	const struct slot_space *space;

	if (!vm->slots)
		return false;
	space = &vm->slots->space[s->id >> 16];
	for (u32 n = 0; n < space->count; n++) {
		const struct slot *other = space->by_gfn[n];

		if (other->id != s->id && range_overlaps(s->gfn, s->pages, other->gfn, other->pages))
			return true;
	}
	return false;
}

static void slot_free(struct slot *s)
{
	if (!s)
		return;
	host_free(s->dirty);
	host_free(s);
}

static int region_check(const struct kvm_userspace_memory_region *r)
{
	u64 end;

	if (r->flags & ~(u32)FLAGS_VALID)
		return -EINVAL;
	if (r->memory_size % PAGE_BYTES || r->guest_phys_addr % PAGE_BYTES || r->userspace_addr % PAGE_BYTES)
		return -EINVAL;
	if (!range_is_within(r->userspace_addr, r->memory_size, USER_END))
		return -EINVAL;
	if (r->slot >> 16 >= SLOT_SPACES || (u16)r->slot >= SLOT_COUNT)
		return -EINVAL;
	if (!checked_add(r->guest_phys_addr, r->memory_size, &end))
		return -EINVAL;
	return r->memory_size >> PAGE_BITS > PAGES_MAX ? -EINVAL : 0;
}

static struct slot *slot_new(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
	struct slot *s = host_alloc(sizeof(*s), 0);

	if (!s)
		return NULL;
	*s = (struct slot){
		.gfn = r->guest_phys_addr >> PAGE_BITS, .pages = r->memory_size >> PAGE_BITS,
		.hva = r->userspace_addr, .id = r->slot, .flags = r->flags,
	};
	if (!(s->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return s;
	s->dirty = host_alloc(slot_dirty_bytes(s), 0);
	if (!s->dirty) {
		host_free(s);
		return NULL;
	}
	if ((vm->mmu.manual_protect & KVM_DIRTY_LOG_INITIALLY_SET) && !vm->dirty.bytes)
		for (u64 gfn = 0; gfn < s->pages; gfn++)
			bit_set(s->dirty, gfn);
	return s;
}

static int slot_delete(struct vm *vm, struct slot *s)
{
	struct slots *new = slots_copy(vm);

	if (!new)
		return -ENOMEM;
	slots_remove(new, s);
	slots_publish(vm, new);
	mmu_zap(vm, slot_frame(s), s->pages);
	slot_free(s);
	return 0;
}

static int slot_create(struct vm *vm, struct slot *s)
{
	struct slots *new = slots_copy(vm);

	if (!new)
		return -ENOMEM;
	if (new->space[s->id >> 16].count == SLOT_COUNT) {
		host_free(new);
		return -EINVAL;
	}
	slots_insert(new, s);
	slots_publish(vm, new);
	return 0;
}

/* old's frames go away before s's appear, so that none is ever mapped for both. */
static int slot_move(struct vm *vm, struct slot *old, struct slot *s)
{
	struct slots *without = slots_copy(vm), *with = slots_copy(vm);

	if (!without || !with) {
		host_free(without);
		host_free(with);
		return -ENOMEM;
	}
	slots_remove(without, old);
	slots_remove(with, old);
	slots_insert(with, s);
	slots_publish(vm, without);
	mmu_zap(vm, slot_frame(old), old->pages);
	slots_publish(vm, with);
	slot_free(old);
	return 0;
}

/* Only dirty logging can change. */
static int slot_change_flags(struct vm *vm, struct slot *old, struct slot *s)
{
	struct slots *new = slots_copy(vm);

	if (!new)
		return -ENOMEM;
	slots_remove(new, old);
	slots_insert(new, s);
	slots_publish(vm, new);
	if (!s->dirty)		/* large pages may come back */
		mmu_zap(vm, slot_frame(s), s->pages);
	else if (!(vm->mmu.manual_protect & KVM_DIRTY_LOG_INITIALLY_SET))
		mmu_write_protect(vm, slot_frame(s), s->pages);
	slot_free(old);
	return 0;
}

int slot_set(struct vm *vm, const struct kvm_userspace_memory_region *region)
{
	struct slot *old, *s;
	bool move = false;
	int r = region_check(region);

	if (r)
		return r;
	old = slot_by_id(vm, region->slot);
	if (!region->memory_size)
		return old ? slot_delete(vm, old) : -EINVAL;

	if (old) {
		if (region->userspace_addr != old->hva || region->memory_size >> PAGE_BITS != old->pages ||
		    ((region->flags ^ old->flags) & KVM_MEM_READONLY))
			return -EINVAL;
		move = region->guest_phys_addr >> PAGE_BITS != old->gfn;
		if (!move && region->flags == old->flags)
			return 0;
	}
	s = slot_new(vm, region);
	if (!s)
		return -ENOMEM;
	if ((!old || move) && slots_overlap(vm, s))
		r = -EEXIST;
	else if (!range_is_within(s->gfn, s->pages, 1ull << (SLOT_GPA_BITS - PAGE_BITS)))
		r = -EINVAL;
	else if (!old)
		r = slot_create(vm, s);
	else if (move)
		r = slot_move(vm, old, s);
	else
		r = slot_change_flags(vm, old, s);
	if (r)
		slot_free(s);
	return r;
}

u64 slot_pages(struct vm *vm)
{
	u64 pages = 0;

	for (u32 space = 0; vm->slots && space < SLOT_SPACES; space++)
		for (u32 n = 0; n < vm->slots->space[space].count; n++)
			pages += vm->slots->space[space].by_gfn[n]->pages;
	return pages;
}

void slots_free(struct vm *vm)
{
	struct slots *slots = vm->slots;

	if (!slots)
		return;
	for (unsigned space = 0; space < SLOT_SPACES; space++)
		for (u32 n = 0; n < slots->space[space].count; n++)
			slot_free(slots->space[space].by_gfn[n]);
	host_free(slots);
	vm->slots = NULL;
}

/* --- guest memory by physical address --------------------------------------- */

enum direction { FROM_GUEST, TO_GUEST };

/* Page by page, as neighbouring frames may be in different slots. */
static int guest_copy(struct vm *vm, unsigned space, gpa_t gpa, void *data, u64 bytes, enum direction direction)
{
	u64 end;

	if (!checked_add(gpa, bytes, &end))
		return -EFAULT;
	while (gpa < end) {
		u64 part = MIN_OF(end - gpa, PAGE_BYTES - gpa % PAGE_BYTES);
		struct slot *s = slot_find_in(vm, space, gpa >> PAGE_BITS);
		int r;

		if (!s || (direction == TO_GUEST && (s->flags & KVM_MEM_READONLY)))
			return -EFAULT;
		if (direction == TO_GUEST)
			r = host_copy_out(slot_hva(s, gpa), data, part);
		else
			r = host_copy_in(data, slot_hva(s, gpa), part);
		if (r)
			return r;
		if (direction == TO_GUEST)
			slot_mark_dirty_in(vm, space, gpa >> PAGE_BITS);
		gpa += part;
		data = (u8 *)data + part;
	}
	return 0;
}

static int guest_access(struct vm *vm, unsigned space, gpa_t gpa, void *data, u64 bytes, enum direction direction)
{
	int cookie = host_srcu_enter(&vm->srcu);
	int r = guest_copy(vm, space, gpa, data, bytes, direction);

	host_srcu_leave(&vm->srcu, cookie);
	return r;
}

int guest_read(struct vm *vm, gpa_t gpa, void *data, u64 bytes)
{
	return guest_access(vm, 0, gpa, data, bytes, FROM_GUEST);
}

int guest_write(struct vm *vm, gpa_t gpa, const void *data, u64 bytes)
{
	return guest_access(vm, 0, gpa, (void *)data, bytes, TO_GUEST);
}

int vcpu_guest_read(struct vcpu *v, gpa_t gpa, void *data, u64 bytes)
{
	return guest_access(v->vm, v->smm.on, gpa, data, bytes, FROM_GUEST);
}

int vcpu_guest_write(struct vcpu *v, gpa_t gpa, const void *data, u64 bytes)
{
	return guest_access(v->vm, v->smm.on, gpa, (void *)data, bytes, TO_GUEST);
}
