/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clock.h - the guest's time: TSC offsets, kvmclock, steal time
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <linux/kvm.h>
#include "base/types.h"
#include "host/host.h"

struct vm;
struct vcpu;

struct clock_vm {
	struct host_spin lock;
	s64 offset_ns;		/* kvmclock = host_now() + this */
	u64 tsc_khz;		/* default for new vCPUs */
	/* matching of TSC writes, so that vCPUs written alike agree exactly */
	u64 last_tsc_write, last_tsc_ns, last_tsc_offset, last_tsc_khz;
};

void clock_vm_init(struct vm *vm);
void clock_vcpu_init(struct vcpu *v);
int  clock_get(struct vm *vm, struct kvm_clock_data *d);
int  clock_set(struct vm *vm, const struct kvm_clock_data *d);
u64  clock_tsc_read(struct vcpu *v);			/* the guest's TSC now.  [any] */
void clock_tsc_write(struct vcpu *v, u64 value, bool host);
/* TSC value -> host_now() deadline. [any] */
u64  clock_tsc_to_ns(struct vcpu *v, u64 tsc);
/* MSR_KVM_WALL_CLOCK(_NEW), MSR_KVM_SYSTEM_TIME(_NEW), steal time: 0 or 1.  [sleep] in srcu */
int  clock_msr_set(struct vcpu *v, u32 msr, u64 data, bool host);
int  clock_msr_get(struct vcpu *v, u32 msr, u64 *data, bool host);
void clock_update(struct vcpu *v);			/* REQ_CLOCK_UPDATE.  [sleep] in srcu */
void clock_steal_update(struct vcpu *v);

#endif
