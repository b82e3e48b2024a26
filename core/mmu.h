/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mmu.h - the nested page table: guest-physical to bus addresses
 *
 * One table a VM, shared by its vCPUs (4 levels, AMD64 format), built on demand by faults
 * and taken away by slot changes, dirty logging and the owner's memory changing.  One
 * function writes entries.
 *
 * Locking: mmu->lock (a mutex) for every change; the processors read it at any time.
 */
#ifndef CORE_MMU_H
#define CORE_MMU_H

#include "base/types.h"
#include "host/host.h"

struct vm;
struct vcpu;

#define MMU_LEVELS 4u		/* of the nested page table, for backend->mmu_root_set() */

struct mmu {
	struct host_mutex lock;
	u64 *root;		/* a page, the same from mmu_init() to mmu_fini() */
	u64 pages;		/* table pages in use */
	u64 invalidations;	/* sequence of owner's changes, see host_space_ops */
	u32 invalidating;	/* how many ranges are being changed now */
	u32 manual_protect;	/* KVM_DIRTY_LOG_*: the client clears the dirty log by itself */
};

/* Attaches to the owner's space (vm->space), too. */
int  mmu_init(struct vm *vm);			/* [sleep] -ENOMEM */
void mmu_fini(struct vm *vm);

enum mmu_fault { MMU_FIXED, MMU_DEVICE /* no slot: emulate */, MMU_READONLY /* write to read-only slot: emulate */,
		 MMU_BAD /* -EFAULT to the client */, MMU_RETRY };
/* A second-stage fault.  access: X86_READ/WRITE/FETCH.  [sleep], inside vm->srcu */
enum mmu_fault mmu_fault(struct vcpu *v, gpa_t gpa, unsigned access);

/* Remove mappings of a range of frames, then make every processor forget them.  [sleep] */
void mmu_zap(struct vm *vm, gfn_t gfn, u64 pages);
/* Write-protect them (dirty logging begins, or bits were cleared). [sleep] */
void mmu_write_protect(struct vm *vm, gfn_t gfn, u64 pages);
/*
 * The same for the frames gfn + n of which mask has bit n, for one step of a larger change:
 * mmu->lock is held, and the caller flushes (mmu_flush) if any of its calls returned true.
 */
bool mmu_protect_mask(struct vm *vm, gfn_t gfn, u64 mask);
/* All processors forget what they know of the nested page table. [sleep] */
void mmu_flush(struct vm *vm);

/*
 * Guest-virtual access through the guest's own page tables (emulator, KVM_TRANSLATE).
 * X86_OK and *gpa, X86_FAULT and a #PF in v->x.fault.  [sleep], inside vm->srcu
 */
int  mmu_guest_translate(struct vcpu *v, u64 linear, unsigned access, gpa_t *gpa);

#endif
