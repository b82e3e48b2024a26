/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nested.h - guests that use AMD-V: VMRUN of a guest hypervisor (L1) and its guest (L2)
 *
 * A vCPU has one VMCB (VMCB02 and VMCB01 in one, as KVM would say).  While L2 runs its save
 * area is L2's and its controls are a merger of ours and of L1's VMCB (VMCB12), which was
 * copied once.  What VMRUN saves of L1, the "host" of L2, is in struct svm_host.
 *
 * Locking: the vCPU's (v->lock).
 */
#ifndef SVM_NESTED_H
#define SVM_NESTED_H

#include "svm/internal.h"

/* What VMRUN saves and #VMEXIT restores. */
struct svm_host {
	struct x86_seg es, cs, ss, ds;
	struct x86_table gdtr, idtr;
	u64 efer, cr0, cr3, cr4, rflags, rip, rsp, rax, pat;
};

struct svm_nested {
	gpa_t vmcb12;
	struct vmcb_control control;	/* VMCB12's, as VMRUN found it */
	struct svm_host host;
	u8 *msrpm;			/* ours or L1's */
	u8 *msrpm12;			/* L1's first page, copied once by VMRUN: what of ours passes is there */
	gpa_t msrpm12_of;		/* the VMCB12 that msrpm12 is of; 0: none */
	u64 *top;			/* as struct svm_vm's */
	struct vmcb *scratch;		/* a VMCB12 on its way in or out */
	u64 soft_rip;			/* what injected INT n, INT3, INTO return to */
	u32 tables_asid;		/* whose translations are in the vCPU's tables for L2 */
	bool injecting;			/* the event in flight is L1's EVENTINJ */
	struct { u64 code, info1, info2; } pending;	/* v->nested.exit_pending */
};

/* Does L1 intercept this?  An exit code is also the number of its intercept bit. */
static inline bool svm_l1_wants(struct vcpu *v, u64 exit_code)
{
	if (LIKELY(!v->nested.running))
		return false;
	return svm_of(v)->nested->control.intercept[exit_code / 32] >> exit_code % 32 & 1;
}

/* Is the TPR that the processor has L2's virtual one, rather than the LAPIC's? */
static inline bool svm_tpr_is_l2s(struct vcpu *v)
{
	return UNLIKELY(v->nested.running) && (svm_of(v)->nested->control.int_ctl & VMCB_INT_CTL_MASKING);
}

/* nested.c */
int  svm_nested_create(struct vcpu *v);		/* once or again: -ENOMEM */
void svm_nested_destroy(struct svm_nested *n);
/* VMRUN of the VMCB12 in n->scratch, which is at n->vmcb12; L1's RIP is past it. */
void svm_nested_enter(struct vcpu *v);
/* The same; false: it is invalid, and nothing has happened. */
bool svm_nested_try_enter(struct vcpu *v);
/* n->msrpm12 for n->control: -EFAULT */
int  svm_nested_msrpm_copy(struct vcpu *v);
/* Consistency, of what VMRUN finds or the client gives. */
bool svm_nested_controls_are_valid(struct vcpu *v, const struct vmcb_control *c, u64 host_cr0);
bool svm_nested_save_is_valid(struct vcpu *v, const struct vmcb_save *s);
/* L2 begins to run, with v->x its registers; n->control and n->host are set. */
void svm_nested_begin(struct vcpu *v);
/* #VMEXIT.  raw: the VMCB has the details of this very exit. */
void svm_nested_vmexit(struct vcpu *v, u64 code, u64 info1, u64 info2, bool raw);
/* Its part up to L1's registers.  -EFAULT: L1 has taken its VMCB's memory away. */
int  svm_nested_switch_to_l1(struct vcpu *v, u64 code, u64 info1, u64 info2, bool raw);
void svm_nested_host_load(struct vcpu *v, const struct svm_host *h);
void svm_nested_leave(struct vcpu *v);
/* n->control learns what the processor has done with L1's virtual interrupt. */
void svm_nested_v_irq_sync(struct vcpu *v);
/* EVENTINJ, into the vCPU's queue. */
void svm_nested_eventinj_queue(struct vcpu *v, u64 event);

/* nested_exit.c */
bool svm_nested_exit(struct vcpu *v, const struct exit *e);
bool svm_nested_event(struct vcpu *v, enum nested_event what);
bool svm_nested_wakes(struct vcpu *v);
bool svm_nested_exception(struct vcpu *v, unsigned vector, u32 error, u64 address);
void svm_nested_fault(struct vcpu *v, gpa_t gpa, u32 error);

/* nested_insn.c */
int  svm_nested_execute(struct vcpu *v, const struct exit *e);
/* What VMRUN uses of the VMCB at gpa in L1's memory: -EFAULT. */
int  svm_nested_vmcb_read(struct vcpu *v, gpa_t gpa, struct vmcb *vmcb);

/* nested_state.c */
void svm_nested_get(struct vcpu *v, struct kvm_nested_state *state);
int  svm_nested_set(struct vcpu *v, const struct kvm_nested_state *state);
/* L1's state in the form of a VMCB's save area, and back. */
void svm_nested_host_get(const struct svm_host *h, struct vmcb_save *s);
void svm_nested_host_set(struct svm_host *h, const struct vmcb_save *s);

/* nested_smm.c */
bool svm_nested_smi(struct vcpu *v, gpa_t *vmcb12);
bool svm_nested_rsm(struct vcpu *v, gpa_t vmcb12);

#endif
