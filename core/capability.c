// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * capability.c - KVM_CHECK_EXTENSION and KVM_ENABLE_CAP
 *
 * What Linux 6.1 answers on x86 for what is here, and 0 for what is not: a client that
 * asks first never meets a missing feature.
 *
 * Locking: vm_enable_capability() under vm->lock; answers need none.
 * Reference: Linux Documentation/virt/kvm/api.rst.
 */
#include <linux/errno.h>

#include "core/vm.h"

/* MWAIT needs a processor that says it is safe, and CSTATE has nothing to intercept. */
#define EXITS_CAN_BE_DISABLED (KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE | KVM_X86_DISABLE_EXITS_CSTATE)

static const struct { u32 capability; int answer; } constants[] = {
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_CLOCKSOURCE, 1 },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_NOP_IO_DELAY, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_IRQ_ROUTING, 4096 },		/* how many routes */
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_MCE, VCPU_MCE_BANKS },
	{ KVM_CAP_IRQFD, 1 },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_IOEVENTFD, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_ADJUST_CLOCK, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_INTR_SHADOW, KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ KVM_CAP_ENABLE_CAP, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_MAX_VCPUS, VM_MAX_VCPUS },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_IRQFD_RESAMPLE, 1 },
	{ KVM_CAP_DEVICE_CTRL, 1 },
	{ KVM_CAP_EXT_EMUL_CPUID, 1 },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_DISABLE_QUIRKS, 1 },
	{ KVM_CAP_SPLIT_IRQCHIP, 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ KVM_CAP_MAX_VCPU_ID, VM_MAX_VCPU_ID },
	{ KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK },
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_EXCEPTION_PAYLOAD, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG2, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
	  KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_BLOCKIRQ },
	{ KVM_CAP_X86_USER_SPACE_MSR, 1 }, { KVM_CAP_X86_MSR_FILTER, 1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	{ KVM_CAP_SREGS2, 1 },
	{ KVM_CAP_COALESCED_MMIO, VCPU_RING_PAGE }, { KVM_CAP_COALESCED_PIO, 1 },
	{ KVM_CAP_HYPERV, 1 }, { KVM_CAP_HYPERV_VAPIC, 1 }, { KVM_CAP_HYPERV_SPIN, 1 },
	{ KVM_CAP_HYPERV_TIME, 1 }, { KVM_CAP_HYPERV_SYNIC, 1 }, { KVM_CAP_HYPERV_SYNIC2, 1 },
	{ KVM_CAP_HYPERV_VP_INDEX, 1 }, { KVM_CAP_HYPERV_EVENTFD, 1 }, { KVM_CAP_HYPERV_TLBFLUSH, 1 },
	{ KVM_CAP_HYPERV_SEND_IPI, 1 }, { KVM_CAP_HYPERV_CPUID, 1 }, { KVM_CAP_SYS_HYPERV_CPUID, 1 },
	{ KVM_CAP_HYPERV_ENFORCE_CPUID, 1 },
	{ KVM_CAP_DIRTY_LOG_RING, DIRTY_RING_BYTES_MAX }, { KVM_CAP_DIRTY_LOG_RING_ACQ_REL, DIRTY_RING_BYTES_MAX },
	{ KVM_CAP_ASYNC_PF, 1 }, { KVM_CAP_ASYNC_PF_INT, 1 },
	{ KVM_CAP_BINARY_STATS_FD, 1 }, { KVM_CAP_X86_SMM, 1 }, { KVM_CAP_MULTI_ADDRESS_SPACE, SLOT_SPACES }, { KVM_CAP_STEAL_TIME, 1 },
	{ KVM_CAP_X86_DISABLE_EXITS, EXITS_CAN_BE_DISABLED },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1 }, { KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1 }, { KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1 },
	{ KVM_CAP_PMU_EVENT_FILTER, 1 }, { KVM_CAP_HALT_POLL, 1 }, { KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 1 },
	{ KVM_CAP_SYS_ATTRIBUTES, 1 }, { KVM_CAP_PCI_SEGMENT, 1 }, { KVM_CAP_VAPIC, 1 },
};

static int quirks_known(void)
{
	return KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED |
	       KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP |
	       KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN |
	       KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS;
}

int vm_capability(struct vm *vm, u32 capability)
{
	u32 processors;

	(void)vm;
	switch (capability) {
	case KVM_CAP_NR_VCPUS:		/* recommended: one a processor */
		processors = host_cpus();
		return (int)MIN_OF(processors, VM_MAX_VCPUS);
	case KVM_CAP_NR_MEMSLOTS:
		return SLOT_COUNT;
	case KVM_CAP_XCRS:
		return cpuid_xcr0_supported() != 0;
	case KVM_CAP_XSAVE2: {
		u32 bytes = fpu_bytes(cpuid_xcr0_supported());

		return (int)MAX_OF(bytes, sizeof(struct kvm_xsave));
	}
	case KVM_CAP_DISABLE_QUIRKS2:
		return quirks_known();
	case KVM_CAP_NESTED_STATE:
		return core_has_nesting() ? (int)NESTED_STATE_BYTES : 0;
	}
	for (unsigned n = 0; n < ARRAY_LEN(constants); n++)
		if (constants[n].capability == capability)
			return constants[n].answer;
	return 0;
}

static int x2apic_api_enable(struct vm *vm, u64 flags)
{
	if (flags & ~(u64)(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK))
		return -EINVAL;
	if (flags & KVM_X2APIC_API_USE_32BIT_IDS)
		atomic_store_relaxed(&vm->x2apic_32bit, true);
	if (flags & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		atomic_store_relaxed(&vm->x2apic_no_quirk, true);
	return 0;
}

static int split_irqchip_enable(struct vm *vm, u64 pins)
{
	if (pins > (u64)vm_capability(vm, KVM_CAP_IRQ_ROUTING))
		return -EINVAL;
	if (vm->irq.pic || vm->split_irqchip || atomic_load_acquire(&vm->vcpu_count))
		return -EEXIST;
	vm->irq.split_pins = (u32)pins;
	atomic_store_release(&vm->split_irqchip, true);
	return 0;
}

static int exits_disable(struct vm *vm, u64 exits)
{
	if (exits & ~(u64)KVM_X86_DISABLE_VALID_EXITS)
		return -EINVAL;
	atomic_fetch_or(&vm->disabled_exits, (u32)exits & EXITS_CAN_BE_DISABLED);
	return 0;
}

int vm_enable_capability(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_DISABLE_QUIRKS2:
		if (cap->args[0] & ~(u64)quirks_known())
			return -EINVAL;
		atomic_store_relaxed(&vm->quirks_disabled, cap->args[0]);
		return 0;
	case KVM_CAP_DISABLE_QUIRKS:
		atomic_store_relaxed(&vm->quirks_disabled, cap->args[0]);
		return 0;
	case KVM_CAP_SPLIT_IRQCHIP:
		return split_irqchip_enable(vm, cap->args[0]);
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return slot_dirty_manual(vm, cap->args[0]);
	case KVM_CAP_X2APIC_API:
		return x2apic_api_enable(vm, cap->args[0]);
	case KVM_CAP_EXCEPTION_PAYLOAD:
		atomic_store_relaxed(&vm->exception_payload, !!cap->args[0]);
		return 0;
	case KVM_CAP_X86_USER_SPACE_MSR:
		if (cap->args[0] & ~(u64)(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
					  KVM_MSR_EXIT_REASON_FILTER))
			return -EINVAL;
		atomic_store_relaxed(&vm->user_msr_exit_reasons, (u32)cap->args[0]);
		atomic_store_relaxed(&vm->user_msr_exits_enabled, cap->args[0] != 0);
		return 0;
	case KVM_CAP_X86_DISABLE_EXITS:
		return exits_disable(vm, cap->args[0]);
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		return dirty_ring_enable(vm, cap->args[0]);
	case KVM_CAP_MSR_PLATFORM_INFO:
		atomic_store_relaxed(&vm->platform_info_hidden, !cap->args[0]);
		return 0;
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE:
		if (cap->args[0] & ~1ull)
			return -EINVAL;
		atomic_store_relaxed(&vm->exit_on_emulation_failure, !!cap->args[0]);
		return 0;
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
		atomic_store_relaxed(&vm->triple_fault_event, !!cap->args[0]);
		return 0;
	case KVM_CAP_HALT_POLL:			/* a sleeping vCPU never polls */
		return 0;
	case KVM_CAP_VM_DISABLE_NX_HUGE_PAGES:	/* there is no such mitigation to switch off */
		return cap->args[0] || atomic_load_acquire(&vm->vcpu_count) ? -EINVAL : 0;
	case KVM_CAP_MAX_VCPU_ID:
		if (!cap->args[0] || cap->args[0] > VM_MAX_VCPU_ID ||
		    (vm->max_vcpu_ids && vm->max_vcpu_ids != cap->args[0]))
			return -EINVAL;
		atomic_store_relaxed(&vm->max_vcpu_ids, (u32)cap->args[0]);
		return 0;
	default:
		return -EINVAL;
	}
}

int vcpu_enable_capability(struct vcpu *v, const struct kvm_enable_cap *cap)
{
	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_HYPERV_SYNIC:
		return hyperv_synic_enable(v, false);
	case KVM_CAP_HYPERV_SYNIC2:
		return cap->args[0] ? -EINVAL : hyperv_synic_enable(v, true);
	case KVM_CAP_HYPERV_ENFORCE_CPUID:
		v->hv->enforce = cap->args[0];
		return 0;
	case KVM_CAP_ENFORCE_PV_FEATURE_CPUID:
		v->pv_enforced = cap->args[0];
		return 0;
	default:
		return -EINVAL;
	}
}
