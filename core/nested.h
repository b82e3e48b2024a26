/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nested.h - guests that are hypervisors: what core knows of them
 *
 * The guest's hypervisor is L1, what it runs L2.  While L2 runs v->x is L2's; the back end
 * keeps L1's state and decides which exits and events are L1's.  Core knows whether L2
 * runs, what translates its physical addresses, and whether L1 holds all events back.
 *
 * Locking: v->lock.
 */
#ifndef CORE_NESTED_H
#define CORE_NESTED_H

#include <linux/kvm.h>

#include "host/host.h"
#include "x86/walk.h"

struct vcpu;

struct vcpu_nested {
	bool running;		/* v->x is L2's */
	bool paging;		/* ... and its physical addresses are translated by tables: */
	struct x86_paging tables;
	bool exit_pending;	/* the back end has an exit to L1 in store, which comes first */
	bool gif_clear;		/* L1 has cleared the global interrupt flag */
	u64  tsc_offset;	/* of L2 to L1, while it runs */
	u64  vm_cr, hsave_pa;	/* MSRs */
};

/* For backend->nested_event(): what L1 may want to see as an exit. */
enum nested_event { NESTED_PENDING /* exit_pending */, NESTED_INIT, NESTED_SMI, NESTED_NMI, NESTED_INTR, NESTED_SHUTDOWN };

/*
 * A fault of a walk of L1's tables, in v->x.fault: this vector, the address is L2-physical,
 * the error code may have NESTED_FAULT_TABLE: it was that of an entry of L2's tables.
 */
#define NESTED_FAULT_VECTOR	64u
#define NESTED_FAULT_TABLE	0x80000000u

/* May guests be hypervisors?  So by default; needs nested paging.  [any] */
void core_allow_nesting(bool on);
bool core_has_nesting(void);

/* L2-physical to L1-physical.  X86_OK, or X86_FAULT with such a v->x.fault.  [sleep] in srcu */
enum x86_result nested_translate(struct vcpu *v, gpa_t gpa, unsigned access, struct x86_translation *t);
/*
 * The page of L1's memory at gpa, to be copied from or to: NULL if there is none; then
 * nested_page_put().  [sleep] in srcu
 */
void *nested_page_get(struct vcpu *v, gpa_t gpa, bool write, struct host_page *page);
void nested_page_put(struct vcpu *v, gpa_t gpa, bool write, struct host_page *page);
/* No longer in L2, whatever it did there: reset, or virtualization is switched off. */
void nested_leave(struct vcpu *v);
/* v's EFER changed: does it still have virtualization? */
void nested_efer_changed(struct vcpu *v);
/* 0; 1 is #GP. */
int  nested_vm_cr_set(struct vcpu *v, u64 data);
int  nested_hsave_pa_set(struct vcpu *v, u64 data, bool host);

/* KVM_GET_NESTED_STATE: copies out itself; -E2BIG with the size needed.  [sleep] */
int  nested_state_get(struct vcpu *v, u64 address);
int  nested_state_set(struct vcpu *v, u64 address);	/* [sleep] -EINVAL, -EFAULT, -ENOMEM */
#define NESTED_STATE_BYTES ((u32)(sizeof(struct kvm_nested_state) + KVM_STATE_NESTED_SVM_VMCB_SIZE))

#endif
