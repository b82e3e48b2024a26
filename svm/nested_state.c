// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nested_state.c - KVM_GET_NESTED_STATE and KVM_SET_NESTED_STATE
 *
 * While L2 runs the vCPU's registers are L2's, and this state is a VMCB: its controls are
 * VMCB12's as VMRUN found them, its save area is what VMRUN saved of L1.
 *
 * Reference: Linux Documentation/virt/kvm/api.rst, "KVM_GET_NESTED_STATE".
 */
#include <linux/errno.h>

#include "svm/nested.h"

BUILD_ASSERT(sizeof(struct vmcb) == KVM_STATE_NESTED_SVM_VMCB_SIZE);

void svm_nested_host_get(const struct svm_host *h, struct vmcb_save *s)
{
	s->es = h->es;
	s->cs = h->cs;
	s->ss = h->ss;
	s->ds = h->ds;
	s->gdtr = (struct x86_seg){ .limit = h->gdtr.limit, .base = h->gdtr.base };
	s->idtr = (struct x86_seg){ .limit = h->idtr.limit, .base = h->idtr.base };
	s->efer = h->efer;
	s->cr0 = h->cr0;
	s->cr3 = h->cr3;
	s->cr4 = h->cr4;
	s->rflags = h->rflags;
	s->rip = h->rip;
	s->rsp = h->rsp;
	s->rax = h->rax;
	s->g_pat = h->pat;
	s->dr6 = 0xffff0ff0;
	s->dr7 = BIT_U64(10);
}

void svm_nested_get(struct vcpu *v, struct kvm_nested_state *state)
{
	const struct svm_nested *n = svm_of(v)->nested;
	struct vmcb *vmcb = (struct vmcb *)state->data.svm;

	if (!v->nested.running)
		return;
	svm_nested_v_irq_sync(v);
	state->flags |= KVM_STATE_NESTED_GUEST_MODE;
	state->size += sizeof(*vmcb);
	state->hdr.svm.vmcb_pa = n->vmcb12;
	vmcb->control = n->control;
	vmcb->control.eventinj = 0;	/* is in the vCPU's queue, or done */
	vmcb->control.tlb_control = 0;
	svm_nested_host_get(&n->host, &vmcb->save);
}

/* L2's registers, which are there already, and what L1's were. */
static bool state_is_valid(struct vcpu *v, const struct vmcb *vmcb, gpa_t vmcb12)
{
	const struct vmcb_save *host = &vmcb->save;

	if (vmcb12 % PAGE_BYTES || vmcb12 >> v->x.phys_bits)
		return false;
	if ((v->x.cr0 & X86_CR0_NW) && !(v->x.cr0 & X86_CR0_CD))
		return false;
	if (!(host->cr0 & X86_CR0_PG) || !(host->cr0 & X86_CR0_PE) || (host->rflags & X86_FLAG_VM))
		return false;
	return svm_nested_controls_are_valid(v, &vmcb->control, host->cr0) && svm_nested_save_is_valid(v, host);
}

void svm_nested_host_set(struct svm_host *h, const struct vmcb_save *s)
{
	*h = (struct svm_host){
		.es = s->es, .cs = s->cs, .ss = s->ss, .ds = s->ds,
		.gdtr = { .limit = (u16)s->gdtr.limit, .base = s->gdtr.base },
		.idtr = { .limit = (u16)s->idtr.limit, .base = s->idtr.base },
		.efer = s->efer, .cr0 = s->cr0, .cr3 = s->cr3, .cr4 = s->cr4,
		.rflags = s->rflags | X86_FLAG_1, .rip = s->rip, .rsp = s->rsp, .rax = s->rax, .pat = s->g_pat,
	};
	if ((h->efer & X86_EFER_LME) && (h->cr0 & X86_CR0_PG))
		h->efer |= X86_EFER_LMA;
}

int svm_nested_set(struct vcpu *v, const struct kvm_nested_state *state)
{
	const struct vmcb *vmcb = (const struct vmcb *)state->data.svm;
	struct svm_nested *n;
	int r = svm_nested_create(v);

	if (r)
		return r;
	if (!state_is_valid(v, vmcb, state->hdr.svm.vmcb_pa))
		return -EINVAL;
	nested_leave(v);
	n = svm_of(v)->nested;
	n->vmcb12 = state->hdr.svm.vmcb_pa;
	n->control = vmcb->control;
	svm_nested_host_set(&n->host, &vmcb->save);
	if (svm_nested_msrpm_copy(v))
		return -EINVAL;
	svm_nested_begin(v);
	v->nested.gif_clear = !(state->flags & KVM_STATE_NESTED_GIF_SET);
	if (state->flags & KVM_STATE_NESTED_RUN_PENDING)
		svm_nested_eventinj_queue(v, n->control.eventinj);
	cpuid_update_runtime(v);
	return 0;
}
