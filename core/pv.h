/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pv.h - what CPUID promises to guests that know KVM, and the end of interrupts without exit
 */
#ifndef CORE_PV_H
#define CORE_PV_H

#include "base/types.h"

struct vcpu;

/* Has the guest this KVM_FEATURE_*?  Always, until KVM_CAP_ENFORCE_PV_FEATURE_CPUID.  [any] */
bool pv_has(struct vcpu *v, unsigned feature);
/* The same of the feature that an MSR of KVM's belongs to; true for all others. */
bool pv_msr_is_allowed(struct vcpu *v, u32 msr);

/*
 * MSR_KVM_ASYNC_PF_EN, _INT and _ACK: kept for guests that switch it on; no page fault of the
 * host's is ever reported that way.  0 or 1.
 */
bool pv_is_async_pf(u32 msr);
int  pv_async_pf_set(struct vcpu *v, u32 msr, u64 data);
u64  pv_async_pf_get(struct vcpu *v, u32 msr);

/* MSR_KVM_PV_EOI_EN: 0 or 1. */
int  pv_eoi_msr_set(struct vcpu *v, u64 data);
/*
 * Before an entry: may the guest end the interrupt in service by clearing a bit in its
 * memory?  After the exit: has it?  Inside vm->srcu.  [sleep]
 */
void pv_eoi_offer(struct vcpu *v);
void pv_eoi_collect(struct vcpu *v);

#endif
