/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * internal.h - what the files of the AMD-V back end share
 *
 * Locking: a struct svm_vcpu is its vCPU's (v->lock); a struct svm_cpu belongs to whoever
 * is pinned to its processor.
 */
#ifndef SVM_INTERNAL_H
#define SVM_INTERNAL_H

#include "core/vm.h"
#include "x86/vmcb.h"

/* What CPUID 8000_000Ah promises. */
struct svm_features {
	bool next_rip, decode_assists, flush_by_asid, pause_filter;
	u32 asids;
};
extern struct svm_features svm_features;

/* A processor that runs guests. */
struct svm_cpu {
	bool enabled;
	struct vmcb *host;	/* VMSAVE area of the host's own state */
	hpa_t host_pa;
	void *host_save;	/* VM_HSAVE_PA */
	u64 asid_generation;	/* every time ASIDs run out; 0 is never current */
	u32 next_asid;
	u32 pkrs;		/* what the MSR holds; a host has CR4.PKS clear */
	u64 tsc_aux, host_tsc_aux; /* what the MSR holds; what it does outside guests */
};
struct svm_cpu *svm_this_cpu(void);
int  svm_cpu_enable(void);
void svm_cpu_disable(void);
int  svm_cpus_create(void);	/* [sleep] once */

struct svm_vm {
	u8 *msrpm, *iopm;
	u64 *top;		/* above a nested page table of 4 levels, where the host has 5 */
};
int  svm_permission_maps_create(struct svm_vm *s);
/* The first page of a map in which passes what passes in the VM's and in L1's. */
void svm_msrpm_merge(u8 *map, const u8 *vm, const u8 *l1);
#define SVM_MSRPM_ORDER	1u	/* 8 KiB: two bits an MSR */
void svm_permission_maps_free(struct svm_vm *s);
void svm_msr_filter_update(struct vm *vm);

struct svm_nested;		/* svm/nested.h */

struct svm_vcpu {
	struct vmcb *vmcb;
	hpa_t vmcb_pa;
	struct svm_cpu *cpu;	/* whose ASID it has */
	u64 asid_generation;
	/*
	 * What of the control registers is not the guest's in the VMCB: in CR0 these bits
	 * (CD and NW that the guest set are clear; with shadow paging PG and WP that it
	 * cleared are set); with shadow paging all of CR3, CR4 and EFER.
	 */
	u64 cr0_hidden, cr4_hidden;
	u64 guest_cr0, guest_cr3, guest_cr4, guest_efer;
	unsigned root_levels;	/* shadow paging: of the root in the VMCB's CR3 */
	u64 guest_dr7;		/* while a debugger's is in the VMCB */
	u64 exitintinfo;	/* of the last exit, until it is asked for */
	u64 tsc_offset;		/* the VM's; the VMCB's has L2's to L1 in it */
	struct svm_nested *nested; /* NULL until it first runs a guest of its own */
	bool exit_at_once;	/* the next entry is only to inject an event: L1 has one waiting */

	/* What decides about intercepts, besides v and v->vm */
	bool irq_window;	/* V_IRQ pends, VINTR is intercepted */
	bool cr8_write;		/* a lower TPR would make an interrupt deliverable */
	bool nmi_masked;	/* until the guest's IRET */
	bool iret_running;	/* the IRET was intercepted, and is not done while RIP is iret_rip */
	u64 iret_rip;
	bool stepping;		/* TF is ours: for an NMI window or a debugger */
	bool step_for_nmi;
};

static inline struct svm_vcpu *svm_of(struct vcpu *v)
{
	return v->backend;
}

static inline bool svm_is_shadowed(const struct vcpu *v)
{
	return v->vm->mmu.shadow;
}

/* Recompute the intercept words from everything above (intercept.c). */
void svm_intercepts_update(struct vcpu *v);

/* registers.c */
void svm_regs_get(struct vcpu *v, u64 groups);
void svm_regs_set(struct vcpu *v, u64 groups);
/* Shadow paging: is the root made for the mode in which the guest would be entered? */
bool svm_root_fits(struct vcpu *v);
/* Before an entry: DR0-3, if any breakpoint is enabled. */
void svm_breakpoints_load(struct vcpu *v);

/* svm.c */
void svm_tlb_flush(struct vcpu *v);
/* TSC offset, pause filter and permission maps for what runs now: L1 or L2. */
void svm_controls_update(struct vcpu *v);

/* inject.c */
/* V_IRQ and what belongs to it, for what runs now. */
void svm_int_ctl_update(struct vcpu *v);
void svm_inject(struct vcpu *v, const struct backend_event *event);
bool svm_inflight(struct vcpu *v, struct backend_event *event);
bool svm_irq_allowed(struct vcpu *v);
bool svm_nmi_allowed(struct vcpu *v);
void svm_irq_window(struct vcpu *v, bool wanted);
void svm_nmi_window(struct vcpu *v, bool wanted);
u8   svm_shadow_get(struct vcpu *v);
void svm_shadow_set(struct vcpu *v, u8 shadow);
bool svm_nmi_masked_get(struct vcpu *v);
void svm_nmi_masked_set(struct vcpu *v, bool masked);
void svm_cr8_sync(struct vcpu *v);
/* Before an entry and after an exit: the trap flag, when it is ours; the end of an IRET. */
void svm_step_begin(struct vcpu *v);
void svm_step_end(struct vcpu *v);

/* exit.c: the VMCB's exit in neutral form, or dealt with. */
void svm_exit_describe(struct vcpu *v, struct exit *e);

#endif
