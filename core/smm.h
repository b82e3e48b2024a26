/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * smm.h - system management mode
 *
 * In it a vCPU sees the slots of address space 1, among which the client puts SMRAM.
 *
 * Locking: v->lock, but for smm_request().
 */
#ifndef CORE_SMM_H
#define CORE_SMM_H

#include <linux/kvm.h>
#include "base/types.h"

struct vcpu;

struct vcpu_smm {
	bool on;		/* between SMI and RSM */
	bool inside_nmi;	/* NMIs were masked before, and RSM leaves them so */
	bool pending;		/* an SMI was taken note of; see also REQ_SMI */
	u64  count;		/* SMIs handled: MSR_SMI_COUNT */
};

/* Somebody sent an SMI.  [any] */
void smm_request(struct vcpu *v);
/* REQ_SMI */
void smm_accept(struct vcpu *v);
/* Is there an SMI that may be handled now, between two instructions? */
bool smm_is_due(struct vcpu *v);
/* Save the state, go to the handler.  Inside vm->srcu.  [sleep] */
void smm_enter(struct vcpu *v);
/* RSM: what was saved, as the handler changed it.  Nonsense is a triple fault.  [sleep] in srcu */
void smm_leave(struct vcpu *v);
/* The mode changed, by whatever: the other slots count from now on. */
void smm_switch(struct vcpu *v, bool on);

/* The smi fields of KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS. */
void smm_events_get(struct vcpu *v, struct kvm_vcpu_events *e);
void smm_events_set(struct vcpu *v, const struct kvm_vcpu_events *e);

#endif
