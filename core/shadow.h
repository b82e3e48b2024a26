/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shadow.h - shadow page tables: guest-linear to bus addresses, for processors without
 * nested paging (or told not to use it)
 *
 * Each vCPU has its own, which are nothing but a large TLB: filled by page faults, emptied
 * by what empties a TLB.
 *
 * Locking: v->lock.  Nobody else looks at a vCPU's shadow tables: who takes guest memory
 * away asks the vCPU to drop them (REQ_TLB_FLUSH) and waits until it is out of the guest.
 */
#ifndef CORE_SHADOW_H
#define CORE_SHADOW_H

#include "core/mmu.h"
#include "x86/exec.h"

#define SHADOW_TABLES	1024u	/* pages that a vCPU may have in use; then all are dropped */

struct shadow {
	u64 *root;		/* level 4: what a processor in long mode is given */
	u64 *legacy;		/* the root of a PAE table, below 4 GiB: for all other modes */
	u64 *spare;		/* tables not in use, linked by their first word */
	u32 tables;		/* in use, the roots not counted */
	bool pae;		/* the processor has been given legacy */
};

int  shadow_create(struct vcpu *v);		/* [sleep] -ENOMEM */
void shadow_destroy(struct vcpu *v);		/* [sleep] */

/*
 * A page fault of the processor's, error as it reported it.  MMU_FIXED, MMU_RETRY: go on;
 * MMU_GUEST: it was the guest's, and is queued; MMU_DEVICE, MMU_READONLY: emulate the
 * access to *gpa; MMU_WRITE_ANYWAY: emulate; MMU_BAD.  [sleep], inside vm->srcu
 */
enum mmu_fault shadow_fault(struct vcpu *v, u64 linear, u32 error, gpa_t *gpa);

/* The guest flushes its TLB.  [sleep] */
void shadow_flush(struct vcpu *v, enum x86_flush kind, u64 linear);
/*
 * With nested paging, for a guest's guest (L2): the same kind of tables translate L2-physical
 * addresses, by L1's nested page table instead of the guest's.  shadow_nested_fault() is told
 * how L2 accessed gpa and finds what that is to L1; MMU_GUEST: v->x.fault is for L1.  [sleep]
 */
int  shadow_nested_create(struct vcpu *v);	/* once or again.  -ENOMEM */
enum mmu_fault shadow_nested_fault(struct vcpu *v, gpa_t gpa, unsigned access, gpa_t *l1);

/* Drop everything and give the back end a root for the mode the vCPU is in. [sleep] -ENOMEM */
int  shadow_reset(struct vcpu *v);

#endif
