/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hyperv.h - what guests made for Hyper-V find here
 *
 * hyperv.c has the MSRs that are the machine's and the CPUID leaves, hyperv_synic.c the
 * synthetic interrupt controller and its timers, hyperv_call.c the hypercalls.
 *
 * Locking: hv.lock guards struct hyperv_vm, but for the event connections: vm->lock to
 * change, vm->srcu to read. A struct hyperv_vcpu is its vCPU's (v->lock), but for what is
 * marked [any].
 */
#ifndef CORE_HYPERV_H
#define CORE_HYPERV_H

#include <linux/kvm.h>
#include "base/types.h"
#include "host/host.h"

struct vm;
struct vcpu;
struct hyperv_connection;

#define HYPERV_SINTS	16u
#define HYPERV_TIMERS	4u
#define HYPERV_CRASH_PARAMETERS 5u

struct hyperv_vm {
	struct host_mutex lock;
	u64 guest_os_id, hypercall, tsc_page;
	u64 crash[HYPERV_CRASH_PARAMETERS], crash_control;
	u64 reenlightenment, tsc_emulation, tsc_emulation_status, debug_options, debug[5];
	u32 tsc_sequence;
	bool tsc_page_is_new;	/* the MSR was written: the page is made even with TSC emulation */
	u64 time_scale;		/* [any] of the page, by which the counter goes, too; 0: there is none */
	s64 time_offset;	/* [any] */
	struct hyperv_connection *connections;	/* [srcu] */
};

struct hyperv_timer {
	struct host_timer timer;
	struct vcpu *v;
	u32 index;
	u64 config, count;
	u64 due;		/* in units of 100 ns of the reference time; 0: not counting */
	bool undelivered;	/* the message slot was taken */
};

struct hyperv_vcpu {
	bool enforce;		/* KVM_CAP_HYPERV_ENFORCE_CPUID */
	bool synic_active, keep_pages;
	u32 vp_index;		/* [any] */
	u64 control, version, event_page, message_page, assist_page, runtime_offset;
	u64 sint[HYPERV_SINTS];	/* [any] */
	u32 expired;		/* [any] timers, by bit */
	struct hyperv_timer timer[HYPERV_TIMERS];
	struct kvm_hyperv_exit exit;	/* with REQ_HV_EXIT */
};

void hyperv_vm_init(struct vm *vm);
void hyperv_vm_fini(struct vm *vm);		/* [sleep] */
int  hyperv_create(struct vcpu *v);		/* [sleep] -ENOMEM */
void hyperv_destroy(struct vcpu *v);		/* [sleep] */

/* --- hyperv.c --- */

/* KVM_GET_SUPPORTED_HV_CPUID.  -E2BIG with the count. */
int  hyperv_cpuid_supported(bool lapic, struct kvm_cpuid_entry2 *entries, u32 *count);
/* Does the guest's CPUID say that this is Hyper-V? */
bool hyperv_is_on(struct vcpu *v);
/* The guest's feature words; all ones unless CPUID is enforced. */
enum hyperv_word { HYPERV_ACCESS_LOW, HYPERV_ACCESS_HIGH, HYPERV_MISC, HYPERV_RECOMMEND, HYPERV_SPIN };
bool hyperv_has(struct vcpu *v, enum hyperv_word word, u32 bits);
bool hyperv_is_msr(u32 msr);
/* 0; 1: #GP.  [sleep] in srcu */
int  hyperv_msr_get(struct vcpu *v, u32 msr, u64 *data, bool host);
int  hyperv_msr_set(struct vcpu *v, u32 msr, u64 data, bool host);
/* The reference time in units of 100 ns.  [any] */
u64  hyperv_time(struct vm *vm);
void hyperv_tsc_page_update(struct vcpu *v);	/* [sleep] in srcu */

/* --- hyperv_synic.c --- */

/* KVM_CAP_HYPERV_SYNIC(2).  -EINVAL */
int  hyperv_synic_enable(struct vcpu *v, bool keep_pages);
int  hyperv_synic_get(struct vcpu *v, u32 msr, u64 *data, bool host);
int  hyperv_synic_set(struct vcpu *v, u32 msr, u64 data, bool host);
void hyperv_timers_serve(struct vcpu *v);	/* REQ_HV_STIMER.  [sleep] in srcu */
void hyperv_synic_reset(struct vcpu *v);	/* [sleep] */

/* --- hyperv_call.c --- */

enum hyperv_called { HYPERV_CALL_OVER, HYPERV_CALL_FAULTED, HYPERV_CALL_EXIT };
/* Are the guest's hypercalls Hyper-V's? */
bool hyperv_is_called(struct vcpu *v);
/* EXIT: v->run says what, and hyperv_call_complete() takes the answer.  [sleep] in srcu */
enum hyperv_called hyperv_call(struct vcpu *v);
void hyperv_call_complete(struct vcpu *v);
/* KVM_HYPERV_EVENTFD.  vm->lock held.  [sleep] */
int  hyperv_eventfd(struct vm *vm, const struct kvm_hyperv_eventfd *args);

#endif
