/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slot.h - memory slots: which guest-physical addresses are which of the owner's memory
 *
 * A struct slots is immutable once published in vm->slots; a change makes a new one and
 * waits for readers (vm->srcu).  So is a struct slot, but for the bits of its dirty log.
 */
#ifndef CORE_SLOT_H
#define CORE_SLOT_H

#include <linux/kvm.h>
#include "base/types.h"

struct vm;
struct vcpu;

#define SLOT_COUNT	509u	/* KVM_CAP_NR_MEMSLOTS: some clients know that KVM had 512 but for 3 */
#define SLOT_SPACES	2u	/* address spaces: 1 is SMM's */
#define SLOT_GPA_BITS	48u	/* what four levels of nested page table reach */

struct slot {
	u64 gfn, pages;
	hva_t hva;
	u32 id;			/* the client's number, address space in bits 16.. */
	u32 flags;		/* KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY */
	u64 *dirty;		/* [any] one bit a page, with KVM_MEM_LOG_DIRTY_PAGES */
};

struct slots {
	u64 generation;
	struct slot_space {
		u32 count;
		struct slot *by_gfn[SLOT_COUNT];	/* ascending, no overlap */
	} space[SLOT_SPACES];
};

/* KVM_SET_USER_MEMORY_REGION: -EINVAL, -EEXIST (overlap), -ENOMEM.  vm->lock held.  [sleep] */
int  slot_set(struct vm *vm, const struct kvm_userspace_memory_region *region);
u64  slot_pages(struct vm *vm);			/* of all slots.  vm->lock held */
void slots_free(struct vm *vm);			/* [sleep] at the end */

/* Inside vm->srcu.  NULL if no slot has it. */
struct slot *slot_find_in(struct vm *vm, unsigned space, gfn_t gfn);
static inline struct slot *slot_find(struct vm *vm, gfn_t gfn) { return slot_find_in(vm, 0, gfn); }
/* In the address space that v is in (core/smm.h). */
struct slot *vcpu_slot_find(struct vcpu *v, gfn_t gfn);
static inline hva_t slot_hva(const struct slot *s, gpa_t gpa) { return s->hva + (gpa - (s->gfn << PAGE_BITS)); }

/*
 * Its first frame with its address space above: what mmu.h's functions on frames go by, as
 * each address space has a nested page table.
 */
#define SLOT_SPACE_SHIFT (SLOT_GPA_BITS - PAGE_BITS)
static inline gfn_t slot_frame(const struct slot *s) { return s->gfn | (u64)(s->id >> 16) << SLOT_SPACE_SHIFT; }

/* The slot with the client's number; NULL.  vm->lock held or inside vm->srcu. */
struct slot *slot_by_id(struct vm *vm, u32 id);

/* --- the dirty log (dirty.c) --- */

/* Mark one page, as v sees it.  Inside srcu.  [any] */
void slot_mark_dirty(struct vcpu *v, gfn_t gfn);
void slot_mark_dirty_in(struct vm *vm, unsigned space, gfn_t gfn);
/* The same for a page of a slot that logs; v NULL: not by a vCPU.  [any] */
void slot_set_dirty(struct vm *vm, struct vcpu *v, struct slot *s, u64 offset);
/* Clear the bits of mask in a word of the log, and write access to their pages.  mmu.lock held */
u64  slot_take_dirty(struct vm *vm, struct slot *s, u64 word, u64 mask, bool *flush);
static inline u64 slot_dirty_bytes(const struct slot *s) { return (s->pages + 63) / 64 * 8; }

/*
 * KVM_GET_DIRTY_LOG: copies out itself.  -ENOENT without such a slot or a log in it, -EINVAL,
 * -EFAULT, -ENOMEM.  What is returned was written before; what is written from now on is in
 * the next answer.  vm->lock held.  [sleep]
 */
int  slot_get_dirty(struct vm *vm, const struct kvm_dirty_log *log);
/* KVM_CLEAR_DIRTY_LOG.  vm->lock held.  [sleep] */
int  slot_clear_dirty(struct vm *vm, const struct kvm_clear_dirty_log *log);
/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: flags is the capability's argument.  0 or -EINVAL. */
int  slot_dirty_manual(struct vm *vm, u64 flags);

/*
 * Guest memory by physical address; crosses slots; marks dirty.  Enters vm->srcu itself.
 * -EFAULT, perhaps after a part.  [sleep]
 */
int  guest_read(struct vm *vm, gpa_t gpa, void *data, u64 bytes);
int  guest_write(struct vm *vm, gpa_t gpa, const void *data, u64 bytes);
/* The same in the address space that v is in. */
int  vcpu_guest_read(struct vcpu *v, gpa_t gpa, void *data, u64 bytes);
int  vcpu_guest_write(struct vcpu *v, gpa_t gpa, const void *data, u64 bytes);

#endif
