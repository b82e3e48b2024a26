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
	/* kvmclock was master_ns when the host's TSC was master_tsc and host_now() was master_now */
	u64 master_ns, master_tsc, master_now;
	bool stable;		/* the host's TSC is constant: kvmclock follows it alone */
	u64 tsc_khz;		/* default for new vCPUs */
	/* matching of TSC writes, so that vCPUs written alike agree exactly */
	u64 last_tsc_write, last_tsc_ns, last_tsc_offset, last_tsc_khz;
	bool tsc_is_clients;	/* it has written one, besides the 0 that vCPUs begin with */
	u64 wall_clock_msr;
};

/* a * mul / div, rounded down or up; U64_MAX if it does not fit.  div is not 0.  [any] */
static inline u64 clock_scale(u64 a, u64 mul, u64 div)
{
	u64 low, high;

	__asm__("mulq %3" : "=a"(low), "=d"(high) : "0"(a), "rm"(mul) : "cc");
	if (high >= div)
		return ~0ull;
	__asm__("divq %2" : "+a"(low), "+d"(high) : "rm"(div) : "cc");
	return low;
}

static inline u64 clock_scale_up(u64 a, u64 mul, u64 div)
{
	u64 low, high;

	__asm__("mulq %3" : "=a"(low), "=d"(high) : "0"(a), "rm"(mul) : "cc");
	if (high >= div)
		return ~0ull;
	__asm__("divq %2" : "+a"(low), "+d"(high) : "rm"(div) : "cc");
	return low + (high && low != ~0ull);
}

void clock_vm_init(struct vm *vm);
void clock_vcpu_init(struct vcpu *v);
int  clock_get(struct vm *vm, struct kvm_clock_data *d);
int  clock_set(struct vm *vm, const struct kvm_clock_data *d);
u64  clock_tsc_read(struct vcpu *v);			/* the guest's TSC now.  [any] */
void clock_tsc_write(struct vcpu *v, u64 value, bool host);
void clock_tsc_offset_set(struct vcpu *v, u64 offset);	/* guest TSC = host TSC + offset */
/* TSC value -> host_now() deadline, never early; U64_MAX if never. [any] */
u64  clock_tsc_to_ns(struct vcpu *v, u64 tsc);
/* kvmclock was *ns when v's TSC was *tsc; false: the TSC is no clock here.  [any] */
bool clock_pair(struct vcpu *v, u64 *tsc, u64 *ns);
u64  clock_now(struct vm *vm);				/* kvmclock, in ns.  [any] */
/* KVM_KVMCLOCK_CTRL: tell the guest that it was stopped.  -EINVAL without a clock page. */
int  clock_guest_paused(struct vcpu *v);
/* MSR_KVM_WALL_CLOCK(_NEW), MSR_KVM_SYSTEM_TIME(_NEW), steal time: 0 or 1.  [sleep] in srcu */
int  clock_msr_set(struct vcpu *v, u32 msr, u64 data, bool host);
int  clock_msr_get(struct vcpu *v, u32 msr, u64 *data, bool host);
void clock_update(struct vcpu *v);			/* REQ_CLOCK_UPDATE.  [sleep] in srcu */
/*
 * How long the calling thread has waited for a processor since it began, in ns: what the
 * door knows of it.  Without such a door no time is ever stolen.
 */
void clock_set_run_delay(u64 (*run_delay)(void));	/* [sleep] once */
void clock_steal_begin(struct vcpu *v);
void clock_steal_update(struct vcpu *v);		/* REQ_STEAL_UPDATE.  [sleep] in srcu */

#endif
