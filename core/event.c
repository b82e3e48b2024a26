// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * event.c - exceptions, NMIs and interrupts on their way into a guest
 *
 * An event is pending until an entry is about to deliver it, then injected until an exit
 * shows that it was delivered.  An exit in the middle of delivery (a nested page fault on
 * the stack, say) leaves it injected, and the next entry injects it again, first of all.
 * At most one event goes in by one entry; for the others a window is asked for, which is
 * an exit as soon as the guest could take them.
 *
 * Invariants:
 *   1. Of exception, interrupt and NMI at most one is injected after event_inject().
 *   2. An exception is never pending and injected at once.
 *
 * Locking: v->lock, but for nmi.pending and what other threads put into the LAPIC.
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Event Injection", "Simultaneous
 * Interrupts"; Linux Documentation/virt/kvm/api.rst, KVM_GET_VCPU_EVENTS.
 */
#include "core/event.h"

#include "core/lapic.h"
#include "core/vm.h"

/* An exception of L2's that L1 wants to see is no event. */
static bool is_exit(struct vcpu *v, unsigned vector, u32 error, u64 address)
{
	if (LIKELY(!v->nested.running) || !v->vm->be->nested_exception(v, vector, error, address))
		return false;
	vcpu_request(v, REQ_EVENT);
	return true;
}

void event_exception(struct vcpu *v, unsigned vector, bool has_error, u32 error)
{
	__typeof__(v->events.exception) *e = &v->events.exception;
	unsigned result = vector;

	if (is_exit(v, vector, error, 0))
		return;
	vcpu_request(v, REQ_EVENT);
	if (e->pending || e->injected)
		result = x86_combine(e->vector, vector);
	if (result == X86_NO_VECTOR) {
		e->pending = e->injected = false;
		vcpu_request(v, REQ_TRIPLE_FAULT);
		return;
	}
	if (result != vector) {		/* a double fault */
		has_error = true;
		error = 0;
	}
	e->pending = true;
	e->injected = false;
	e->vector = (u8)result;
	e->has_error = has_error;
	e->error = has_error ? error : 0;
	e->has_payload = false;
	e->payload = 0;
}

void event_page_fault(struct vcpu *v, u64 address, u32 error)
{
	if (is_exit(v, X86_PF, error, address))
		return;
	vcpu_regs_dirty(v, REGS_CR);
	v->x.cr2 = address;
	event_exception(v, X86_PF, true, error);
}

void event_nmi(struct vcpu *v)
{
	atomic_fetch_add(&v->events.nmi.pending, 1);
	vcpu_request(v, REQ_NMI);
	vcpu_kick(v);
}

bool event_is_in_flight(const struct vcpu *v)
{
	return v->events.exception.injected || v->events.interrupt.injected || v->events.nmi.injected;
}

/* Does a vector of the client's PIC reach the processor? Past a LAPIC it comes through LINT0. */
static bool client_pic_is_accepted(struct vcpu *v)
{
	return !v->lapic || lapic_accepts_pic(v);
}

static bool client_pic_offers(struct vcpu *v)
{
	return v->external_vector >= 0 && client_pic_is_accepted(v);
}

/* Is there an interrupt to take, from whatever interrupt controllers there are? */
static bool irq_wanted(struct vcpu *v)
{
	return client_pic_offers(v) || (v->lapic && irq_pending(v));
}

static int irq_take(struct vcpu *v)
{
	int vector = v->external_vector;

	if (!client_pic_offers(v))
		return irq_acknowledge(v);
	v->external_vector = -1;
	return vector;
}

/* #DB and #BP that a debugger wants go to the client, so only guests' own come here. */
static bool is_fault(unsigned vector)
{
	return vector != X86_DB && vector != X86_BP && vector != X86_OF && vector != X86_DF &&
	       vector != X86_MC;
}

/* What the exception brings along besides its vector goes into registers as it is delivered. */
static void payload_deliver(struct vcpu *v)
{
	__typeof__(v->events.exception) *e = &v->events.exception;

	if (!e->has_payload)
		return;
	if (e->vector == X86_PF) {
		vcpu_regs_dirty(v, REGS_CR);
		v->x.cr2 = e->payload;
	} else if (e->vector == X86_DB) {
		vcpu_regs_dirty(v, REGS_DR);
		v->x.dr6 = (v->x.dr6 & ~0xfull) | e->payload;
	}
	e->has_payload = false;
	e->payload = 0;
}

static void exception_inject(struct vcpu *v)
{
	const __typeof__(v->events.exception) *e = &v->events.exception;
	struct backend_event event = { .type = X86_EVENT_EXCEPTION, .vector = e->vector };

	vcpu_regs_need(v, REGS_CR);
	if (e->has_error && (v->x.cr0 & X86_CR0_PE)) {	/* real mode pushes none */
		event.has_error = true;
		event.error = e->error;
	}
	VCPU_COUNT(v, exception_injections);
	v->vm->be->inject(v, &event);
}

static void nmi_inject(struct vcpu *v)
{
	struct backend_event event = { .type = X86_EVENT_NMI, .vector = X86_NMI };

	VCPU_COUNT(v, nmi_injections);
	v->vm->be->inject(v, &event);
}

static void interrupt_inject(struct vcpu *v)
{
	struct backend_event event = {
		.type = v->events.interrupt.soft ? X86_EVENT_SOFT : X86_EVENT_INTR,
		.vector = v->events.interrupt.vector,
		.next_rip = v->events.interrupt.next_rip,
	};

	VCPU_COUNT(v, irq_injections);
	v->vm->be->inject(v, &event);
}

/* What an earlier exit interrupted goes first.  True if that uses this entry up. */
static bool inject_again(struct vcpu *v)
{
	if (v->events.exception.injected)
		exception_inject(v);
	else if (v->events.exception.pending)
		return false;
	else if (v->events.nmi.injected)
		nmi_inject(v);
	else if (v->events.interrupt.injected)
		interrupt_inject(v);
	return event_is_in_flight(v);
}

static void inject_pending_exception(struct vcpu *v)
{
	__typeof__(v->events.exception) *e = &v->events.exception;

	payload_deliver(v);
	if (is_fault(e->vector)) {
		v->x.rflags |= X86_FLAG_RF;
		vcpu_regs_dirty(v, REGS_GPR);
	}
	if (e->vector == X86_DB) {
		vcpu_regs_dirty(v, REGS_DR);
		v->x.dr7 &= ~X86_DR7_GD;	/* so that the handler gets at the registers */
	}
	e->pending = false;
	e->injected = true;
	v->events.nmi.injected = v->events.interrupt.injected = false;
	exception_inject(v);
}

/* One that the client has set, or a double fault, may still be L1's. */
static bool pending_is_exit(struct vcpu *v)
{
	__typeof__(v->events.exception) *e = &v->events.exception;

	if (!is_exit(v, e->vector, e->error, e->vector == X86_PF ? e->payload : 0))
		return false;
	if (e->vector != X86_PF)
		payload_deliver(v);
	e->pending = e->has_payload = false;
	return true;
}

/* Has L1 taken it, by an exit of L2?  Then that has requested REQ_EVENT: all anew. */
static bool is_for_l1(struct vcpu *v, enum nested_event what)
{
	return UNLIKELY(v->nested.running) && v->vm->be->nested_event(v, what);
}

void event_inject(struct vcpu *v)
{
	const struct backend *be = v->vm->be;
	bool free_slot;

	if (is_for_l1(v, NESTED_PENDING))
		return;
	be->inject(v, NULL);
	free_slot = !inject_again(v);
	if (v->events.exception.pending) {
		if (pending_is_exit(v))
			return;
		inject_pending_exception(v);
		free_slot = false;
	}
	if (v->smm.pending && !v->smm.on) {
		if (free_slot && is_for_l1(v, NESTED_SMI))
			return;
		if (free_slot && smm_is_due(v)) {
			smm_enter(v);
			return;		/* and choose again, for the handler */
		}
		be->nmi_window(v, true);	/* opens after the event, NMIs being allowed; or at IRET */
	}
	if (atomic_load_acquire(&v->events.nmi.pending)) {
		if (free_slot && be->nmi_allowed(v)) {
			if (is_for_l1(v, NESTED_NMI))
				return;
			atomic_fetch_add(&v->events.nmi.pending, -1);
			v->events.nmi.injected = true;
			nmi_inject(v);
			free_slot = false;
		}
		if (atomic_load_acquire(&v->events.nmi.pending))
			be->nmi_window(v, true);
	}
	if (v->guest_debug & KVM_GUESTDBG_BLOCKIRQ)
		return;
	if (irq_wanted(v)) {
		if (free_slot && be->irq_allowed(v)) {
			int vector;

			if (is_for_l1(v, NESTED_INTR))
				return;
			vector = irq_take(v);
			if (vector >= 0) {
				v->events.interrupt.injected = true;
				v->events.interrupt.soft = false;
				v->events.interrupt.vector = (u8)vector;
				interrupt_inject(v);
			}
		}
		if (irq_wanted(v))
			be->irq_window(v, true);
	}
	if (event_client_wants_window(v))
		be->irq_window(v, true);
	be->cr8_sync(v);
}

void event_collect(struct vcpu *v)
{
	struct vcpu_events *e = &v->events;
	struct backend_event event;

	e->exception.injected = e->interrupt.injected = e->nmi.injected = false;
	if (!v->vm->be->inflight(v, &event))
		return;
	vcpu_request(v, REQ_EVENT);
	switch (event.type) {
	case X86_EVENT_NMI:
		e->nmi.injected = true;
		break;
	case X86_EVENT_EXCEPTION:
		e->exception.injected = true;
		e->exception.pending = false;
		e->exception.vector = event.vector;
		e->exception.has_error = event.has_error;
		e->exception.error = event.error;
		break;
	default:
		e->interrupt.injected = true;
		e->interrupt.soft = event.type == X86_EVENT_SOFT;
		e->interrupt.vector = event.vector;
		e->interrupt.next_rip = event.next_rip;
	}
}

bool event_client_wants_window(struct vcpu *v)
{
	return !v->vm->irq.pic && atomic_load_relaxed(&v->run->request_interrupt_window) &&
	       v->external_vector < 0 && client_pic_is_accepted(v);
}

bool event_ready_for_interrupt(struct vcpu *v)
{
	return v->external_vector < 0 && client_pic_is_accepted(v) && !event_is_in_flight(v) &&
	       !v->events.exception.pending && v->vm->be->irq_allowed(v);
}

bool event_wakes(struct vcpu *v)
{
	if (v->events.exception.pending || event_is_in_flight(v))
		return true;
	if (atomic_load_acquire(&v->pv_unhalted))
		return true;
	if (atomic_load_acquire(&v->requests) & (BIT_U64(REQ_SMI) | BIT_U64(REQ_HV_STIMER)) || smm_is_due(v))
		return true;
	if (atomic_load_acquire(&v->events.nmi.pending) && v->vm->be->nmi_allowed(v))
		return true;
	if (UNLIKELY(v->nested.running) && v->vm->be->nested_wakes(v))
		return true;
	return irq_wanted(v) && v->vm->be->irq_allowed(v);
}
