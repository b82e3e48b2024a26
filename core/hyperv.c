// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hyperv.c - Hyper-V's CPUID leaves and those of its MSRs that are the machine's
 *
 * All of it exists once a guest's CPUID has the interface's signature; the client may use
 * the MSRs before that, to restore what it saved. With KVM_CAP_HYPERV_ENFORCE_CPUID a guest
 * gets what its leaves promise and nothing else.
 *
 * The reference time is kvmclock in units of 100 ns, so the page by which guests compute it
 * from their TSC is made from the same pair of times as kvmclock's.
 *
 * Locking: hv.lock for the machine's part.
 * Reference: Microsoft, Hypervisor Top Level Functional Specification; Linux
 * Documentation/virt/kvm/api.rst, KVM_GET_SUPPORTED_HV_CPUID.
 * Not modelled: the debugger: its MSRs only keep what is written; VP runtime is time since power-up; TSC
 * emulation, as the TSC's rate never changes: its MSRs only keep what is written.
 */
#include "core/hyperv.h"

#include <linux/errno.h>

#include "core/hyperv_regs.h"
#include "core/lapic.h"
#include "core/pv.h"
#include "core/vm.h"
#include "insn/insn.h"

#define APIC_HZ		1000000000ull	/* lapic_timer.c counts nanoseconds */

static struct host_lock_class hyperv_class = { .name = "hyperv" };

/* --- CPUID ------------------------------------------------------------------------------- */

/* Without SMT no vCPU ever shares a core with another. */
static bool is_smt_possible(void)
{
	u32 r[4];

	insn_cpuid(1, 0, r);
	if (!(r[3] >> 28 & 1))		/* HTT */
		return false;
	insn_cpuid(0, 0, r);
	if (r[0] >= 0xb) {
		insn_cpuid(0xb, 0, r);
		if (r[1] & 0xffff)	/* threads of a core */
			return (r[1] & 0xffff) > 1;
	}
	insn_cpuid(0x80000000, 0, r);
	if (r[0] < 0x8000001e)
		return true;
	insn_cpuid(0x8000001e, 0, r);
	return r[1] >> 8 & 0xff;	/* threads of a core, less one */
}

int hyperv_cpuid_supported(bool lapic, struct kvm_cpuid_entry2 *entries, u32 *count)
{
	u32 name[3] = { 0 };
	const struct kvm_cpuid_entry2 all[] = {
		{ .function = HV_LEAF_VENDOR, .eax = HV_LEAF_DEBUG + 2 },
		{ .function = HV_LEAF_INTERFACE, .eax = HV_INTERFACE },
		{ .function = HV_LEAF_VERSION, .eax = 0x3839, .ebx = 0x000a0000 },	/* 2016's */
		{ .function = HV_LEAF_FEATURES,
		  .eax = HV_ACCESS_RUNTIME | HV_ACCESS_TIME | HV_ACCESS_SYNIC | HV_ACCESS_TIMERS | HV_ACCESS_APIC |
			 HV_ACCESS_HYPERCALL | HV_ACCESS_VP_INDEX | HV_ACCESS_RESET | HV_ACCESS_REFERENCE_TSC |
			 HV_ACCESS_FREQUENCY | HV_ACCESS_REENLIGHTEN,
		  .ebx = HV_POST_MESSAGES | HV_SIGNAL_EVENTS,
		  .edx = HV_XMM_INPUT | HV_FREQUENCY_MSRS | HV_CRASH_MSRS | (lapic ? HV_DIRECT_TIMERS : 0) },
		{ .function = HV_LEAF_RECOMMEND, .ebx = 0xfff,	/* spins before it tells us */
		  .eax = HV_USE_REMOTE_FLUSH | HV_USE_APIC_MSRS | HV_USE_RELAXED_TIMING | HV_USE_EX_MASKS |
			 HV_NO_AUTO_EOI | (lapic ? HV_USE_CLUSTER_IPI : 0) },
		{ .function = HV_LEAF_LIMITS, .eax = VM_MAX_VCPUS, .ebx = 64 },
		{ .function = HV_LEAF_DEBUG }, { .function = HV_LEAF_DEBUG + 1, .eax = 0x31235356 },	/* "VS#1" */
		{ .function = HV_LEAF_DEBUG + 2 },
		{ .function = HV_LEAF_NESTED, .eax = 1u << 19 },	/* MSR bitmap */
	};
	u32 room = *count;

	*count = ARRAY_LEN(all);
	if (room < ARRAY_LEN(all))
		return -E2BIG;
	__builtin_memcpy(entries, all, sizeof(all));
	for (u32 n = 0; n < ARRAY_LEN(all); n++)
		if (entries[n].function == HV_LEAF_RECOMMEND && !is_smt_possible())
			entries[n].eax |= HV_NO_CORE_SHARING;
	__builtin_memcpy(name, "Linux KVM Hv", sizeof(name));	/* clients and guests know it */
	for (u32 n = 0; n < ARRAY_LEN(all); n++) {
		if (entries[n].function != HV_LEAF_VENDOR && entries[n].function != HV_LEAF_DEBUG)
			continue;
		entries[n].ebx = name[0];
		entries[n].ecx = name[1];
		entries[n].edx = name[2];
	}
	return 0;
}

bool hyperv_is_on(struct vcpu *v)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(v, HV_LEAF_INTERFACE, 0);

	return e && e->eax == HV_INTERFACE;
}

bool hyperv_has(struct vcpu *v, enum hyperv_word word, u32 bits)
{
	const struct kvm_cpuid_entry2 *e;

	if (!v->hv->enforce)
		return true;
	e = cpuid_find(v, word < HYPERV_RECOMMEND ? HV_LEAF_FEATURES : HV_LEAF_RECOMMEND, 0);
	if (!e)
		return false;
	switch (word) {
	case HYPERV_ACCESS_LOW: case HYPERV_RECOMMEND:
		return e->eax & bits;
	case HYPERV_ACCESS_HIGH:
		return e->ebx & bits;
	case HYPERV_MISC:
		return e->edx & bits;
	default:	/* "never" is all ones */
		return e->ebx && e->ebx != ~0u;
	}
}

/* --- time --------------------------------------------------------------------------------- */

/* (ticks * scale) >> 64, of a time that may be before the TSC began. */
static s64 ticks_scale(s64 ticks, u64 scale)
{
	u64 low = (u64)(ticks < 0 ? -ticks : ticks), high;

	__asm__("mulq %2" : "=d"(high), "+a"(low) : "rm"(scale) : "cc");
	return ticks < 0 ? -(s64)high : (s64)high;
}

/* By the page if there is one, so that both say the same whatever was done to kvmclock since. */
u64 hyperv_time(struct vm *vm)
{
	u64 scale = atomic_load_acquire(&vm->hv.time_scale);

	if (!scale || !atomic_load_acquire(&vm->vcpu_count))
		return clock_now(vm) / 100;
	return (u64)(ticks_scale((s64)clock_tsc_read(vm->vcpus[0]), scale) + atomic_load_relaxed(&vm->hv.time_offset));
}

struct tsc_page { u32 sequence, reserved; u64 scale; s64 offset; };

/* hv.lock held.  Guests read the MSR while it is being changed, and where the TSC is no clock. */
static void tsc_page_make(struct vcpu *v)
{
	struct hyperv_vm *hv = &v->vm->hv;
	struct tsc_page page = { 0 };
	gpa_t at = hv->tsc_page & HV_PAGE;
	u64 tsc, ns;

	if (guest_write(v->vm, at, &page.sequence, sizeof(page.sequence)) || !clock_pair(v, &tsc, &ns))
		return;
	atomic_fence();
	page.scale = clock_scale(1ull << 63, 2 * 10000, v->tsc_khz);	/* 2^64 * 100 ns / tick */
	page.offset = (s64)(ns / 100) - ticks_scale((s64)tsc, page.scale);
	guest_write(v->vm, at + 4, (u8 *)&page + 4, sizeof(page) - 4);
	atomic_store_relaxed(&hv->time_offset, page.offset);
	atomic_store_release(&hv->time_scale, page.scale);
	atomic_fence();
	hv->tsc_sequence = hv->tsc_sequence >= ~1u ? 1 : hv->tsc_sequence + 1;
	guest_write(v->vm, at, &hv->tsc_sequence, sizeof(hv->tsc_sequence));
}

void hyperv_tsc_page_update(struct vcpu *v)
{
	struct hyperv_vm *hv = &v->vm->hv;

	host_mutex_lock(&hv->lock);
	/* With TSC emulation the guest is promised that the page stays as it is. */
	if ((hv->tsc_page & HV_ENABLE) && (hv->tsc_page_is_new || !(hv->tsc_emulation & 1)))
		tsc_page_make(v);
	hv->tsc_page_is_new = false;
	host_mutex_unlock(&hv->lock);
}

/* --- the machine's MSRs --------------------------------------------------------------------- */

/* VMMCALL and RET, at the beginning of the page. */
static int hypercall_set(struct vcpu *v, u64 data)
{
	static const u8 code[4] = { 0x0f, 0x01, 0xd9, 0xc3 };
	struct hyperv_vm *hv = &v->vm->hv;

	if (!hv->guest_os_id)		/* first it must say who it is */
		return 0;
	if ((data & HV_ENABLE) && vcpu_guest_write(v, data & HV_PAGE, code, sizeof(code)))
		return 1;
	hv->hypercall = data;
	return 0;
}

static int machine_set(struct vcpu *v, u32 msr, u64 data, bool host)
{
	struct hyperv_vm *hv = &v->vm->hv;

	switch (msr) {
	case HV_GUEST_OS_ID:
		hv->guest_os_id = data;
		if (!data)
			hv->hypercall &= ~HV_ENABLE;
		return 0;
	case HV_HYPERCALL:
		return hypercall_set(v, data);
	case HV_TIME_REF_COUNT:
		return !host;
	case HV_REFERENCE_TSC:
		hv->tsc_page = data;
		hv->tsc_page_is_new = true;
		if (!(data & HV_ENABLE))
			atomic_store_release(&hv->time_scale, 0ull);
		vcpu_request(v, REQ_CLOCK_UPDATE);
		return 0;
	case HV_RESET:
		if (data == 1 && !host)
			vcpu_request(v, REQ_HV_RESET);
		return 0;
	case HV_CRASH_P0 ... HV_CRASH_P4:
		hv->crash[msr - HV_CRASH_P0] = data;
		return 0;
	case HV_CRASH_CTL:
		if (host)
			hv->crash_control = data & HV_CRASH_NOTIFY;
		else if (data & HV_CRASH_NOTIFY)
			vcpu_request(v, REQ_HV_CRASH);
		return 0;
	case HV_REENLIGHTENMENT:
		hv->reenlightenment = data;
		return 0;
	case HV_TSC_EMULATION:
		hv->tsc_emulation = data;
		return 0;
	case HV_TSC_EMULATION_STATUS:
		if (data && !host)
			return 1;
		hv->tsc_emulation_status = data;
		return 0;
	case HV_DEBUG_CONTROL ... HV_DEBUG_PENDING:
		hv->debug[msr - HV_DEBUG_CONTROL] = data;
		return 0;
	case HV_DEBUG_OPTIONS:
		hv->debug_options = data;
		return 0;
	default:
		return 1;
	}
}

static int machine_get(struct vcpu *v, u32 msr, u64 *data)
{
	const struct hyperv_vm *hv = &v->vm->hv;

	switch (msr) {
	case HV_GUEST_OS_ID:		*data = hv->guest_os_id; return 0;
	case HV_HYPERCALL:		*data = hv->hypercall; return 0;
	case HV_TIME_REF_COUNT:		*data = hyperv_time(v->vm); return 0;
	case HV_REFERENCE_TSC:		*data = hv->tsc_page; return 0;
	case HV_RESET:			*data = 0; return 0;
	case HV_CRASH_P0 ... HV_CRASH_P4: *data = hv->crash[msr - HV_CRASH_P0]; return 0;
	case HV_CRASH_CTL:		*data = hv->crash_control; return 0;
	case HV_REENLIGHTENMENT:	*data = hv->reenlightenment; return 0;
	case HV_TSC_EMULATION:		*data = hv->tsc_emulation; return 0;
	case HV_TSC_EMULATION_STATUS:	*data = hv->tsc_emulation_status; return 0;
	case HV_DEBUG_CONTROL ... HV_DEBUG_PENDING: *data = hv->debug[msr - HV_DEBUG_CONTROL]; return 0;
	case HV_DEBUG_OPTIONS:		*data = hv->debug_options; return 0;
	default:			return 1;
	}
}

/* --- a vCPU's MSRs ------------------------------------------------------------------------------ */

/* The page by which the guest ends interrupts without an exit: PV EOI under another name. */
static int assist_page_set(struct vcpu *v, u64 data)
{
	static const u32 none;

	if ((data & HV_ENABLE) && vcpu_guest_write(v, data & HV_PAGE, &none, sizeof(none)))
		return 1;
	v->hv->assist_page = data;
	return pv_eoi_msr_set(v, data & HV_ENABLE ? (data & HV_PAGE) | 1 : 0);
}

static int vcpu_set(struct vcpu *v, u32 msr, u64 data, bool host)
{
	switch (msr) {
	case HV_VP_INDEX:
		if (!host || data >= VM_MAX_VCPUS)
			return 1;
		atomic_store_relaxed(&v->hv->vp_index, (u32)data);
		return 0;
	case HV_ASSIST_PAGE:
		return assist_page_set(v, data);
	case HV_EOI:
		return !v->lapic || lapic_register_set(v->lapic, APIC_EOI, (u32)data);
	case HV_TPR:
		return !v->lapic || lapic_register_set(v->lapic, APIC_TPR, (u32)data);
	case HV_ICR:
		if (!v->lapic)
			return 1;
		lapic_reg_set(v->lapic, APIC_ICR2, (u32)(data >> 32));
		return lapic_register_set(v->lapic, APIC_ICR, (u32)data);
	case HV_VP_RUNTIME:
		if (!host)
			return 1;
		v->hv->runtime_offset = data - host_now() / 100;
		return 0;
	case HV_TSC_FREQUENCY: case HV_APIC_FREQUENCY:
		return !host;
	default:
		return hyperv_synic_set(v, msr, data, host);
	}
}

static int vcpu_get(struct vcpu *v, u32 msr, u64 *data, bool host)
{
	switch (msr) {
	case HV_VP_INDEX:	*data = v->hv->vp_index; return 0;
	case HV_ASSIST_PAGE:	*data = v->hv->assist_page; return 0;
	case HV_EOI:		*data = 0; return !v->lapic;
	case HV_TPR:		*data = v->lapic ? lapic_reg(v->lapic, APIC_TPR) : 0; return !v->lapic;
	case HV_ICR:
		if (!v->lapic)
			return 1;
		*data = lapic_reg(v->lapic, APIC_ICR) | (u64)lapic_reg(v->lapic, APIC_ICR2) << 32;
		return 0;
	case HV_VP_RUNTIME:	*data = host_now() / 100 + v->hv->runtime_offset; return 0;
	case HV_TSC_FREQUENCY:	*data = v->tsc_khz * 1000; return 0;
	case HV_APIC_FREQUENCY:	*data = APIC_HZ; return 0;
	default:		return hyperv_synic_get(v, msr, data, host);
	}
}

/* --- access ---------------------------------------------------------------------------------------- */

static bool is_machines(u32 msr)
{
	switch (msr) {
	case HV_GUEST_OS_ID: case HV_HYPERCALL: case HV_TIME_REF_COUNT: case HV_REFERENCE_TSC: case HV_RESET:
	case HV_CRASH_P0 ... HV_TSC_EMULATION_STATUS: case HV_DEBUG_OPTIONS:
	case HV_DEBUG_CONTROL ... HV_DEBUG_PENDING:
		return true;
	default:
		return false;
	}
}

static bool is_allowed(struct vcpu *v, u32 msr)
{
	u32 access;

	switch (msr) {
	case HV_GUEST_OS_ID: case HV_HYPERCALL:		access = HV_ACCESS_HYPERCALL; break;
	case HV_VP_INDEX:				access = HV_ACCESS_VP_INDEX; break;
	case HV_RESET:					access = HV_ACCESS_RESET; break;
	case HV_VP_RUNTIME:				access = HV_ACCESS_RUNTIME; break;
	case HV_TIME_REF_COUNT:				access = HV_ACCESS_TIME; break;
	case HV_REFERENCE_TSC:				access = HV_ACCESS_REFERENCE_TSC; break;
	case HV_TSC_FREQUENCY: case HV_APIC_FREQUENCY:	access = HV_ACCESS_FREQUENCY; break;
	case HV_EOI ... HV_ASSIST_PAGE:			access = HV_ACCESS_APIC; break;
	case HV_SCONTROL ... HV_SINT15:			access = HV_ACCESS_SYNIC; break;
	case HV_STIMER0_CONFIG ... HV_STIMER3_COUNT:	access = HV_ACCESS_TIMERS; break;
	case HV_REENLIGHTENMENT ... HV_TSC_EMULATION_STATUS: access = HV_ACCESS_REENLIGHTEN; break;
	case HV_CRASH_P0 ... HV_CRASH_CTL:
		return hyperv_has(v, HYPERV_MISC, HV_CRASH_MSRS);
	case HV_DEBUG_OPTIONS: case HV_DEBUG_CONTROL ... HV_DEBUG_PENDING:
		return hyperv_has(v, HYPERV_MISC, HV_DEBUG_MSRS);
	default:
		return false;
	}
	return hyperv_has(v, HYPERV_ACCESS_LOW, access);
}

bool hyperv_is_msr(u32 msr)
{
	return msr >= HV_GUEST_OS_ID && msr <= HV_TSC_EMULATION_STATUS;
}

int hyperv_msr_set(struct vcpu *v, u32 msr, u64 data, bool host)
{
	int r;

	if (!host && (!hyperv_is_on(v) || !is_allowed(v, msr)))
		return 1;
	if (!is_machines(msr))
		return vcpu_set(v, msr, data, host);
	host_mutex_lock(&v->vm->hv.lock);
	r = machine_set(v, msr, data, host);
	host_mutex_unlock(&v->vm->hv.lock);
	return r;
}

int hyperv_msr_get(struct vcpu *v, u32 msr, u64 *data, bool host)
{
	int r;

	if (!host && (!hyperv_is_on(v) || !is_allowed(v, msr)))
		return 1;
	if (!is_machines(msr))
		return vcpu_get(v, msr, data, host);
	host_mutex_lock(&v->vm->hv.lock);
	r = machine_get(v, msr, data);
	host_mutex_unlock(&v->vm->hv.lock);
	return r;
}

/* --- life --------------------------------------------------------------------------------------------- */

void hyperv_vm_init(struct vm *vm)
{
	host_mutex_init(&vm->hv.lock, &hyperv_class);
}
