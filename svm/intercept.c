// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * intercept.c - what makes the processor leave a guest
 *
 * The intercept words are a function of the vCPU's and VM's settings and of a few flags of
 * struct svm_vcpu; one function computes them all anew whenever any input changes.
 *
 * The MSR and port permission maps are the same for every guest: all ports exit; of the
 * MSRs, those pass that the VMCB keeps for the guest and whose every value is harmless.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Intercept Operation",
 * "MSR Intercepts", "IOIO Intercepts".
 */
#include <linux/errno.h>

#include "svm/nested.h"
#include "x86/feature.h"

#define MSRPM_ORDER	SVM_MSRPM_ORDER
#define IOPM_ORDER	2	/* 12 KiB: a bit a port, and three more */

static void on(struct vmcb *vmcb, unsigned bit)
{
	vmcb->control.intercept[bit / 32] |= 1u << bit % 32;
}

static const u8 always[] = {
	VMCB_INTERCEPT_CR_WRITE(4),
	VMCB_INTERCEPT_EXCEPTION(X86_DB), VMCB_INTERCEPT_EXCEPTION(X86_UD),
	VMCB_INTERCEPT_EXCEPTION(X86_AC), VMCB_INTERCEPT_EXCEPTION(X86_MC),
	VMCB_INTERCEPT_INTR, VMCB_INTERCEPT_NMI, VMCB_INTERCEPT_SMI, VMCB_INTERCEPT_INIT,
	VMCB_INTERCEPT_RDPMC, VMCB_INTERCEPT_CPUID, VMCB_INTERCEPT_RSM, VMCB_INTERCEPT_INVD,
	VMCB_INTERCEPT_INVLPGA, VMCB_INTERCEPT_IOIO_PROT, VMCB_INTERCEPT_MSR_PROT,
	VMCB_INTERCEPT_TASK_SWITCH, VMCB_INTERCEPT_SHUTDOWN, VMCB_INTERCEPT_VMRUN,
	VMCB_INTERCEPT_VMMCALL, VMCB_INTERCEPT_VMLOAD, VMCB_INTERCEPT_VMSAVE, VMCB_INTERCEPT_STGI,
	VMCB_INTERCEPT_CLGI, VMCB_INTERCEPT_SKINIT, VMCB_INTERCEPT_WBINVD, VMCB_INTERCEPT_MONITOR,
	VMCB_INTERCEPT_MWAIT, VMCB_INTERCEPT_XSETBV, VMCB_INTERCEPT_RDPRU,
};

/* Without nested paging: all that fills, empties or replaces a TLB. */
static const u8 shadowed[] = {
	VMCB_INTERCEPT_EXCEPTION(X86_PF), VMCB_INTERCEPT_CR_READ(3), VMCB_INTERCEPT_CR_WRITE(3),
	VMCB_INTERCEPT_CR0_SEL_WRITE, VMCB_INTERCEPT_INVLPG, VMCB_INTERCEPT_INVPCID,
};

static void off(u32 *intercept, unsigned bit)
{
	intercept[bit / 32] &= ~(1u << bit % 32);
}

/* L2 leaves for what we want and for what L1 wants, which is added last. */
static void intercepts_merge(struct vcpu *v, u32 *intercept)
{
	const u32 *l1 = svm_of(v)->nested->control.intercept;

	off(intercept, VMCB_INTERCEPT_VMMCALL);		/* L2's hypercalls are not for us: #UD */
	if (svm_tpr_is_l2s(v))
		off(intercept, VMCB_INTERCEPT_CR_WRITE(8));
	for (unsigned n = 0; n < VMCB_INTERCEPT_WORDS; n++)
		intercept[n] |= l1[n];
}

void svm_intercepts_update(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb *vmcb = s->vmcb;
	u32 disabled = atomic_load_relaxed(&v->vm->disabled_exits);

	__builtin_memset(vmcb->control.intercept, 0, sizeof(vmcb->control.intercept));
	for (unsigned n = 0; n < sizeof(always); n++)
		on(vmcb, always[n]);
	/* DR0-3 are not in the VMCB: the guest's live in v->x. */
	vmcb->control.intercept[1] = ~0u;
	if (s->cr0_hidden) {
		on(vmcb, VMCB_INTERCEPT_CR_READ(0));
		on(vmcb, VMCB_INTERCEPT_CR_WRITE(0));
	}
	if (s->cr4_hidden)
		on(vmcb, VMCB_INTERCEPT_CR_READ(4));
	if (svm_is_shadowed(v)) {
		for (unsigned n = 0; n < sizeof(shadowed); n++)
			on(vmcb, shadowed[n]);
	}
	if (s->cr8_write || !v->lapic)
		on(vmcb, VMCB_INTERCEPT_CR_WRITE(8));
	if (v->guest_debug & KVM_GUESTDBG_SINGLESTEP)	/* or it would show our TF to the guest */
		on(vmcb, VMCB_INTERCEPT_PUSHF);
	if (v->guest_debug & KVM_GUESTDBG_USE_SW_BP)
		on(vmcb, VMCB_INTERCEPT_EXCEPTION(X86_BP));
	if (!(disabled & KVM_X86_DISABLE_EXITS_HLT))
		on(vmcb, VMCB_INTERCEPT_HLT);
	/* Without the filter each PAUSE would be an exit, and most spinning is short. */
	if (svm_features.pause_filter && !(disabled & KVM_X86_DISABLE_EXITS_PAUSE))
		on(vmcb, VMCB_INTERCEPT_PAUSE);
	if (!cpuid_has(v, X86_FEATURE_RDTSCP))	/* RDPID has no intercept */
		on(vmcb, VMCB_INTERCEPT_RDTSCP);
	if (!cpuid_has(v, X86_FEATURE_INVPCID))
		on(vmcb, VMCB_INTERCEPT_INVPCID);
	if (s->irq_window)
		on(vmcb, VMCB_INTERCEPT_VINTR);
	if (s->nmi_masked && !s->iret_running)
		on(vmcb, VMCB_INTERCEPT_IRET);
	if (v->nested.running)
		intercepts_merge(v, vmcb->control.intercept);
}

/* --- the permission maps --------------------------------------------------------------- */

static void msr_pass(u8 *map, u32 msr, bool read, bool write)
{
	u32 base = msr < 0x2000 ? 0 : msr < 0xc0002000 ? 0x800 : 0x1000;
	u32 bit = (msr & 0x1fff) * 2;

	map += base + bit / 8;
	*map = (u8)(*map & ~((read ? 1u : 0) << bit % 8) & ~((write ? 2u : 0) << bit % 8));
}

static const u32 passed[] = {
	X86_MSR_FS_BASE, X86_MSR_GS_BASE, X86_MSR_KERNEL_GS_BASE, X86_MSR_STAR, X86_MSR_LSTAR,
	X86_MSR_CSTAR, X86_MSR_SFMASK, X86_MSR_SYSENTER_CS, X86_MSR_SYSENTER_ESP,
	X86_MSR_SYSENTER_EIP,
};

/* (All of them in the first page of the map.) */

/* What the client's filter denies comes to core, which says no. */
void svm_msr_filter_update(struct vm *vm)
{
	const struct svm_vm *s = vm->backend;

	__builtin_memset(s->msrpm, 0xff, PAGE_BYTES << MSRPM_ORDER);
	for (unsigned n = 0; n < ARRAY_LEN(passed); n++)
		msr_pass(s->msrpm, passed[n], msr_filter_allows(vm, passed[n], false),
			 msr_filter_allows(vm, passed[n], true));
}

void svm_msrpm_merge(u8 *map, const u8 *vm, const u8 *l1)
{
	for (unsigned n = 0; n < PAGE_BYTES / sizeof(u64); n++)
		((u64 *)map)[n] = ((const u64 *)vm)[n] | ((const u64 *)l1)[n];
}

int svm_permission_maps_create(struct svm_vm *s)
{
	s->msrpm = host_alloc_pages(MSRPM_ORDER, 0);
	s->iopm = host_alloc_pages(IOPM_ORDER, 0);
	if (!s->msrpm || !s->iopm) {
		svm_permission_maps_free(s);
		return -ENOMEM;
	}
	__builtin_memset(s->msrpm, 0xff, PAGE_BYTES << MSRPM_ORDER);
	__builtin_memset(s->iopm, 0xff, PAGE_BYTES << IOPM_ORDER);
	for (unsigned n = 0; n < ARRAY_LEN(passed); n++)
		msr_pass(s->msrpm, passed[n], true, true);
	return 0;
}

void svm_permission_maps_free(struct svm_vm *s)
{
	host_free_pages(s->msrpm, MSRPM_ORDER);
	host_free_pages(s->iopm, IOPM_ORDER);
}
