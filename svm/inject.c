// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * inject.c - events into the guest, and windows for those that must wait
 *
 * EVENTINJ takes one event an entry.  An interrupt that cannot be taken yet gets a dummy
 * virtual interrupt whose intercept tells when it could.  NMIs are masked by us from the
 * injection to the guest's IRET, which is intercepted; they may be injected again only
 * when that IRET is done, which a single step finds out if one is waiting.
 *
 * Software interrupts and INT3 that an exit interrupted are not injected again: RIP still
 * points at the instruction, which runs again.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Event Injection",
 * "EXITINTINFO", "Virtual Interrupts".
 */
#include "svm/nested.h"

void svm_inject(struct vcpu *v, const struct backend_event *event)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb_control *c = &s->vmcb->control;

	if (!event) {
		c->eventinj = 0;
		s->step_for_nmi = s->exit_at_once = false;
		if (s->irq_window)
			svm_irq_window(v, false);
		return;
	}
	c->eventinj = event->vector | (u64)event->type << VMCB_EVENT_TYPE_SHIFT | VMCB_EVENT_V;
	if (event->has_error)
		c->eventinj |= VMCB_EVENT_EV | (u64)event->error << VMCB_EVENT_ERROR_SHIFT;
	if (event->type == X86_EVENT_SOFT && svm_features.next_rip)
		c->next_rip = event->next_rip;
	if (event->type == X86_EVENT_EXCEPTION && UNLIKELY(v->nested.running))
		c->next_rip = s->nested->soft_rip;	/* of INT3 and INTO */
	if (event->type == X86_EVENT_NMI && !s->nmi_masked && !svm_l1_wants(v, VMEXIT_NMI)) {
		s->nmi_masked = true;
		svm_intercepts_update(v);
	}
}

bool svm_inflight(struct vcpu *v, struct backend_event *event)
{
	struct svm_vcpu *s = svm_of(v);
	u64 info = s->exitintinfo;

	s->exitintinfo = 0;
	if (!(info & VMCB_EVENT_V)) {
		if (UNLIKELY(v->nested.running))
			s->nested->injecting = false;
		return false;
	}
	*event = (struct backend_event){
		.type = (u8)VMCB_EVENT_TYPE(info), .vector = (u8)(info & VMCB_EVENT_VECTOR),
		.has_error = !!(info & VMCB_EVENT_EV), .error = (u32)(info >> VMCB_EVENT_ERROR_SHIFT),
	};
	/* Injected by L1: there need not be such an instruction at RIP. */
	if (UNLIKELY(v->nested.running) && s->nested->injecting) {
		event->next_rip = s->nested->soft_rip;
		return true;
	}
	if (event->type == X86_EVENT_SOFT)
		return false;
	return event->type != X86_EVENT_EXCEPTION || (event->vector != X86_BP && event->vector != X86_OF);
}

/* While L2 runs L1's interrupts are masked by L1's IF, if L1 wants that, and are exits. */
static bool l1_irq_allowed(struct vcpu *v)
{
	const struct svm_nested *n = svm_of(v)->nested;
	u64 rflags = n->control.int_ctl & VMCB_INT_CTL_MASKING ? n->host.rflags : v->x.rflags;

	if (!(rflags & X86_FLAG_IF))
		return false;
	return svm_l1_wants(v, VMEXIT_INTR) || !(svm_of(v)->vmcb->control.int_state & VMCB_INT_STATE_SHADOW);
}

bool svm_irq_allowed(struct vcpu *v)
{
	if (UNLIKELY(v->nested.gif_clear))
		return false;
	if (UNLIKELY(v->nested.running))
		return l1_irq_allowed(v);
	return (v->x.rflags & X86_FLAG_IF) && !(svm_of(v)->vmcb->control.int_state & VMCB_INT_STATE_SHADOW);
}

bool svm_nmi_allowed(struct vcpu *v)
{
	if (UNLIKELY(v->nested.gif_clear))
		return false;
	if (svm_l1_wants(v, VMEXIT_NMI))
		return true;
	return !svm_of(v)->nmi_masked && !(svm_of(v)->vmcb->control.int_state & VMCB_INT_STATE_SHADOW);
}

#define INT_CTL_IRQ (VMCB_INT_CTL_V_IRQ | VMCB_INT_CTL_PRIO | VMCB_INT_CTL_IGN_TPR | \
		     0xffull << VMCB_INT_CTL_VECTOR_SHIFT)

/* L1's virtual interrupt for L2 gives way to our window, and comes back after it. */
void svm_int_ctl_update(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb_control *c = &s->vmcb->control;

	c->int_ctl &= ~INT_CTL_IRQ;
	if (s->irq_window)
		c->int_ctl |= VMCB_INT_CTL_V_IRQ | VMCB_INT_CTL_PRIO | VMCB_INT_CTL_IGN_TPR;
	else if (v->nested.running)
		c->int_ctl |= s->nested->control.int_ctl & INT_CTL_IRQ;
}

/* Is what ends the obstacle to an interrupt an exit anyway, or made one? */
static bool irq_window_is_an_exit(struct vcpu *v)
{
	const struct svm_nested *n = svm_of(v)->nested;

	if (v->nested.gif_clear)	/* STGI, VMRUN */
		return true;
	if (!v->nested.running)
		return false;
	if (!svm_irq_allowed(v))	/* L1's IF is clear: an exit to L1 */
		return (n->control.int_ctl & VMCB_INT_CTL_MASKING) && !(n->host.rflags & X86_FLAG_IF);
	svm_of(v)->exit_at_once = true;	/* only another event is in the way, which goes first */
	return true;
}

static bool nmi_window_is_an_exit(struct vcpu *v)
{
	if (v->nested.gif_clear)
		return true;
	if (!svm_l1_wants(v, VMEXIT_NMI))
		return false;
	svm_of(v)->exit_at_once = true;
	return true;
}

void svm_irq_window(struct vcpu *v, bool wanted)
{
	struct svm_vcpu *s = svm_of(v);

	if (wanted == s->irq_window || (wanted && irq_window_is_an_exit(v)))
		return;
	if (wanted)
		svm_nested_v_irq_sync(v);
	s->irq_window = wanted;
	svm_int_ctl_update(v);
	svm_intercepts_update(v);
}

/* --- NMIs --------------------------------------------------------------------------------- */

void svm_nmi_window(struct vcpu *v, bool wanted)
{
	struct svm_vcpu *s = svm_of(v);

	if (wanted && nmi_window_is_an_exit(v))
		return;
	/*
	 * An event is in the way, and then its handler is there: TF would be in what it saves.  Not
	 * for a masked NMI; but an SMI is not masked.
	 */
	if (wanted && (s->vmcb->control.eventinj & VMCB_EVENT_V) && (!s->nmi_masked || v->smm.pending)) {
		s->exit_at_once = true;
		return;
	}
	/* Masked, and the IRET has not been met: its intercept is the window. */
	if (wanted && s->nmi_masked && !s->iret_running)
		return;
	s->step_for_nmi = wanted;
}

bool svm_nmi_masked_get(struct vcpu *v)
{
	return svm_of(v)->nmi_masked;
}

void svm_nmi_masked_set(struct vcpu *v, bool masked)
{
	struct svm_vcpu *s = svm_of(v);

	s->nmi_masked = masked;
	s->iret_running = false;
	svm_intercepts_update(v);
}

void svm_step_begin(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	bool wanted = s->step_for_nmi || (v->guest_debug & KVM_GUESTDBG_SINGLESTEP);

	/* A TF of the guest's own does as well, and stays the guest's. */
	s->stepping = wanted && !(v->x.rflags & X86_FLAG_TF);
	if (s->stepping)
		s->vmcb->save.rflags |= X86_FLAG_TF;
}

void svm_step_end(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);

	if (s->stepping)
		v->x.rflags &= ~X86_FLAG_TF;
	if (s->iret_running && v->x.rip != s->iret_rip) {
		s->iret_running = s->nmi_masked = false;
		vcpu_request(v, REQ_EVENT);
		svm_intercepts_update(v);
	}
}

/* --- shadow, TPR ---------------------------------------------------------------------------- */

/* The VMCB does not say which instruction began it. */
u8 svm_shadow_get(struct vcpu *v)
{
	if (svm_of(v)->vmcb->control.int_state & VMCB_INT_STATE_SHADOW)
		return KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS;
	return 0;
}

void svm_shadow_set(struct vcpu *v, u8 shadow)
{
	struct vmcb_control *c = &svm_of(v)->vmcb->control;

	c->int_state = shadow ? c->int_state | VMCB_INT_STATE_SHADOW : c->int_state & ~VMCB_INT_STATE_SHADOW;
}

/* CR8 writes matter only while an interrupt waits for a lower TPR. */
void svm_cr8_sync(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	bool wanted = false;

	if (v->lapic && !svm_tpr_is_l2s(v)) {
		int vector = lapic_highest_irr(v);

		wanted = vector >= 0 && (u64)vector >> 4 <= vcpu_cr8_get(v);
	}
	if (wanted == s->cr8_write)
		return;
	s->cr8_write = wanted;
	svm_intercepts_update(v);
}
