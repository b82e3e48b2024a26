/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slot.h - memory slots: which guest-physical addresses are which of the owner's memory
 *
 * A struct slots is immutable once published in vm->slots; a change makes a new one and
 * waits for readers (vm->srcu).
 */
#ifndef CORE_SLOT_H
#define CORE_SLOT_H

#include <linux/kvm.h>
#include "base/types.h"

struct vm;
struct vcpu;

#define SLOT_COUNT	512u	/* KVM_CAP_NR_MEMSLOTS */
#define SLOT_SPACES	2u	/* address spaces: 1 is SMM's */

struct slot {
	u64 gfn, pages;
	hva_t hva;
	u32 id;			/* the client's number, address space in bits 16.. */
	u32 flags;		/* KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY */
	u64 *dirty;		/* [any] one bit a page, with KVM_MEM_LOG_DIRTY_PAGES */
};

struct slots {
	u32 count;
	u64 generation;
	struct slot *by_gfn[SLOT_COUNT];	/* ascending, no overlap */
};

/* KVM_SET_USER_MEMORY_REGION: -EINVAL, -EEXIST (overlap), -ENOMEM.  [sleep] */
int  slot_set(struct vm *vm, const struct kvm_userspace_memory_region *region);
void slots_free(struct vm *vm);			/* [sleep] at the end */

/* Inside vm->srcu.  NULL if no slot has it. */
struct slot *slot_find(struct vm *vm, gfn_t gfn);
static inline hva_t slot_hva(const struct slot *s, gpa_t gpa) { return s->hva + (gpa - (s->gfn << PAGE_BITS)); }

/* Dirty log: mark one page; KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG. */
void slot_mark_dirty(struct vm *vm, gfn_t gfn);	/* inside srcu.  [any] */
int  slot_get_dirty(struct vm *vm, const struct kvm_dirty_log *log);	/* copies out itself */
int  slot_clear_dirty(struct vm *vm, const struct kvm_clear_dirty_log *log);

/* Guest memory by physical address; crosses slots; marks dirty.  -EFAULT.  [sleep] */
int  guest_read(struct vm *vm, gpa_t gpa, void *data, u64 bytes);
int  guest_write(struct vm *vm, gpa_t gpa, const void *data, u64 bytes);

#endif
