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

struct mmu {
	struct host_mutex lock;
	u64 *root;		/* a page */
	u64 pages;		/* table pages in use */
	u64 invalidations;	/* sequence of owner's changes, see host_space_ops */
	u32 invalidating;	/* how many ranges are being changed now */
};

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
 * Guest-virtual access through the guest's own page tables (emulator, KVM_TRANSLATE).
 * X86_OK and *gpa, or X86_FAULT and a #PF in v->x.fault.
 */
int  mmu_guest_translate(struct vcpu *v, u64 linear, unsigned access, gpa_t *gpa);

#endif
