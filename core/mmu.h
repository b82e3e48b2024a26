/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mmu.h - guest-physical to bus addresses
 *
 * With nested paging: one table a VM, shared by its vCPUs (4 levels, AMD64 format), built
 * on demand by faults and taken away by slot changes, dirty logging and the owner's memory
 * changing.  One function writes entries.  Without it each vCPU has shadow tables of its own
 * (core/shadow.h); what takes entries away here then makes every vCPU drop all of them.
 *
 * Locking: mmu->lock (a mutex) for every change; the processors read it at any time.
 */
#ifndef CORE_MMU_H
#define CORE_MMU_H

#include "base/types.h"
#include "host/host.h"
#include "x86/walk.h"

struct vm;
struct vcpu;

#define MMU_LEVELS 4u		/* of the nested page table, for backend->mmu_root_set() */

struct mmu {
	struct host_mutex lock;
	bool shadow;		/* no nested paging: fixed when the VM is made */
	bool nested;		/* vCPUs have tables of their own for L2: never false again */
	u64 *root;		/* a page, the same from mmu_init() to mmu_fini(); NULL with shadow */
	u64 *smm_root;		/* likewise, of address space 1 */
	u64 pages;		/* table pages in use */
	u64 *spare;		/* one for a fault that found no memory without sleeping; or NULL */
	u64 invalidations;	/* sequence of owner's changes, see host_space_ops */
	u32 invalidating;	/* how many ranges are being changed now */
	u32 manual_protect;	/* KVM_DIRTY_LOG_*: the client clears the dirty log by itself */
};

/* Attaches to the owner's space (vm->space), too. */
int  mmu_init(struct vm *vm);			/* [sleep] -ENOMEM */
void mmu_detach(struct vm *vm);			/* [sleep] no invalidation after it, which kicks vCPUs */
void mmu_fini(struct vm *vm);			/* [sleep] after mmu_detach() */

enum mmu_fault { MMU_FIXED, MMU_DEVICE /* no slot: emulate */, MMU_READONLY /* write to read-only slot: emulate */,
		 MMU_BAD /* -EFAULT to the client */, MMU_RETRY,
		 MMU_GUEST /* shadow_fault: a #PF is queued */, MMU_WRITE_ANYWAY /* so: CR0.WP is clear; emulate */ };
/* A second-stage fault.  access: X86_READ/WRITE/FETCH.  [sleep], inside vm->srcu */
enum mmu_fault mmu_fault(struct vcpu *v, gpa_t gpa, unsigned access);

/*
 * The page behind gpa, to be mapped.  MMU_FIXED: page is it, mmu->lock is held and nothing
 * has changed since; then mmu_page_end().  writable: may be mapped so.  A write marks the
 * dirty log.  Else what a fault there amounts to.  [sleep], inside vm->srcu
 */
struct mmu_page { struct slot *slot; struct host_page page; bool write, writable; };
enum mmu_fault mmu_page_begin(struct vcpu *v, gpa_t gpa, bool write, struct mmu_page *p);
void mmu_page_end(struct vm *vm, struct mmu_page *p, bool mapped);

/* The frames of what follows have their address space above their number: slot_frame(). */
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
/* Give the back end the root for what v runs: the VM's table, or v's own for L2. */
void mmu_root_load(struct vcpu *v);

/*
 * Guest-virtual access through the guest's own page tables (emulator, KVM_TRANSLATE).
 * X86_OK and *gpa, X86_FAULT and a #PF in v->x.fault.  [sleep], inside vm->srcu
 */
int  mmu_guest_translate(struct vcpu *v, u64 linear, unsigned access, gpa_t *gpa);
/* The same with all that the walk found. */
enum x86_result mmu_guest_walk(struct vcpu *v, u64 linear, unsigned access, struct x86_translation *t);

#endif
