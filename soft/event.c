// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * event.c - exceptions and interrupts, and who takes them
 *
 * What happens between two instructions is soft_boundary(), in the manual's order of
 * priority: debug traps of the instruction just done, then NMI, physical and virtual
 * interrupts, then instruction breakpoints of the one to come.  The loop calls it only
 * when x->attention or a pin says that there may be something to do.
 *
 * Every exception comes through soft_exception(): an intercept has precedence over
 * delivery, also when the exception arises during delivery of another event, and before
 * two exceptions combine into a double fault.
 *
 * Interrupt shadow: x->shadow is set by STI, MOV SS, POP SS; shadow_armed says that the
 * instruction that it covers has begun, so that the next boundary ends it.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Exceptions and Interrupts",
 * "Simultaneous Interrupts", "Event Injection", "Interrupt and Local APIC Support".
 * Not modelled: SMI, INIT, machine checks, unintercepted physical interrupts (there is no
 * physical APIC to give a vector).
 */
#include "base/atomic.h"
#include "soft/cpu.h"

#define DR7_ENABLES	0xffull

/* --- delivery ---------------------------------------------------------------------------- */

static void forget_shadow(struct soft_cpu *c)
{
	c->x.shadow = 0;
	c->shadow_armed = false;
	c->x.attention &= ~X86_ATTN_SHADOW;
}

/* Merge x->fault with what was being delivered.  X86_NO_VECTOR: shutdown. */
static unsigned combined_vector(const struct x86 *x)
{
	if (!x->delivering.valid || x->delivering.type != X86_EVENT_EXCEPTION)
		return x->fault.vector;
	return x86_combine(x->delivering.vector, x->fault.vector);
}

static enum x86_result intercepted_exception(struct soft_cpu *c)
{
	const struct x86_fault *f = &c->x.fault;
	enum x86_result r;

	r = soft_exit(c, VMEXIT_EXCP0 + f->vector, f->has_error ? f->error : 0,
		      f->vector == X86_PF ? f->address : 0);
	c->exit_bytes = f->vector == X86_PF && !(f->error & X86_PF_I);
	if (f->icebp)		/* INT1 is a trap here as everywhere, unless intercepted itself */
		c->x.rip = c->x.next_rip;
	else if (f->trap)	/* INT3 and INTO: the state saved is before the instruction */
		c->exit_next_rip = c->x.next_rip;
	return r;
}

enum x86_result soft_exception(struct soft_cpu *c)
{
	struct x86 *x = &c->x;
	bool trap = x->fault.trap && !x->fault.icebp;	/* INT3, INTO */
	struct x86_event event;
	enum x86_result r;

	do {
		unsigned vector = x->fault.vector, combined;

		if (vector == X86_DB)
			x->dr6 = (x->dr6 & ~X86_DR6_BREAKPOINTS) | x->fault.address;
		if (vector < 32 && soft_intercepts(c, VMCB_INTERCEPT_EXCEPTION(vector)))
			return intercepted_exception(c);
		combined = combined_vector(x);
		if (combined == X86_NO_VECTOR)
			return soft_exit(c, VMEXIT_SHUTDOWN, 0, 0);
		if (combined != vector) {
			x->fault = (struct x86_fault){ .vector = (u8)combined, .has_error = true };
			if (soft_intercepts(c, VMCB_INTERCEPT_EXCEPTION(combined)))
				return intercepted_exception(c);
		} else if (vector == X86_PF) {
			x->cr2 = x->fault.address;
		}
		x86_fault_event(x, &event);
		r = x86_deliver(x, &event);
	} while (r == X86_FAULT);
	forget_shadow(c);
	c->stepping = false;
	if (!trap)	/* else what MOV SS put off comes before the handler's first instruction */
		c->debug = 0;
	return r;
}

/* Between instructions: an interrupt, or EVENTINJ. */
enum x86_result soft_inject(struct soft_cpu *c, const struct x86_event *event)
{
	struct x86 *x = &c->x;
	enum x86_result r;

	if (event->type == X86_EVENT_NMI)
		x->nmi_blocked = true;
	r = x86_deliver(x, event);
	if (r == X86_FAULT)
		r = soft_exception(c);
	if (r == X86_OK)
		forget_shadow(c);
	return r;
}

static enum x86_result deliver_interrupt(struct soft_cpu *c, unsigned type, unsigned vector)
{
	struct x86_event event = {
		.valid = true, .vector = (u8)vector, .type = (u8)type, .return_rip = c->x.rip,
	};

	return soft_inject(c, &event);
}

/* --- breakpoints and single steps ---------------------------------------------------------- */

void soft_debug_access(struct soft_cpu *c, u64 linear, unsigned bytes, unsigned access)
{
	if (!c->current || (access & X86_IMPLICIT))
		return;
	c->debug |= x86_breakpoint_data(&c->x, linear, bytes, access & X86_WRITE);
}

void soft_debug_io(struct soft_cpu *c, u16 port, unsigned bytes)
{
	if (UNLIKELY(c->x.attention & X86_ATTN_STEP))
		c->debug |= x86_breakpoint_io(&c->x, port, bytes);
}

static enum x86_result debug_exception(struct soft_cpu *c, u64 bits)
{
	c->x.fault = (struct x86_fault){ .vector = X86_DB, .address = bits };
	c->x.next_rip = c->x.rip;
	return soft_exception(c);
}

/* DR7 may have changed: data breakpoints need every access to pass by. */
static void update_watching(struct soft_cpu *c)
{
	bool watching = false;

	for (unsigned n = 0; n < 4; n++)
		if ((c->x.dr7 >> (2 * n) & 3) && (c->x.dr7 >> (16 + 4 * n) & 1))
			watching = true;	/* R/W field 01 or 11: data */
	if (watching != c->watching) {
		c->watching = watching;
		soft_mode_changed(&c->x);
	}
}

/* Traps that the last instruction left.  After MOV SS (wait) they wait for one more. */
/* SYSCALL and SYSRET look at TF after they have changed it, INT n has cleared it. */
static bool was_stepped(const struct soft_cpu *c, const struct x86_insn *last)
{
	if (last && (last->op == X86_OP_SYSCALL || last->op == X86_OP_SYSRET))
		return c->x.rflags & X86_FLAG_TF;
	return c->stepping && !(last && last->op == X86_OP_INT);
}

static enum x86_result take_traps(struct soft_cpu *c, const struct x86_insn *last, bool wait)
{
	u64 bits;

	if (was_stepped(c, last))
		c->debug |= X86_DR6_BS;
	c->stepping = false;
	bits = c->debug;
	if (!bits || wait)
		return X86_OK;
	return debug_exception(c, bits) == X86_EXIT ? X86_EXIT : X86_REPEAT;
}

/* The instruction to come: breakpoints on it, and remember whether it is stepped. */
static enum x86_result prepare_debug(struct soft_cpu *c)
{
	struct x86 *x = &c->x;
	u64 bits = x->dr7 & DR7_ENABLES ? x86_breakpoint_execute(x) : 0;
	bool stepping = x->rflags & X86_FLAG_TF;

	if (bits && x->shadow != 2)
		return debug_exception(c, bits) == X86_EXIT ? X86_EXIT : X86_REPEAT;
	c->resume = x->rflags & X86_FLAG_RF;
	x->rflags &= ~X86_FLAG_RF;
	c->stepping = stepping;
	x->string_budget = stepping || (x->dr7 & DR7_ENABLES) ? 1 : SOFT_STRING_BUDGET;
	/* RF is this instruction's alone: the next one comes here again to forget it. */
	if (!stepping && !(x->dr7 & DR7_ENABLES) && !c->debug && !c->resume)
		x->attention &= ~X86_ATTN_STEP;
	return X86_OK;
}

/* --- interrupts ------------------------------------------------------------------------------ */

bool soft_virtual_interrupt_is_due(const struct soft_cpu *c)
{
	u64 priority = (c->int_ctl & VMCB_INT_CTL_PRIO) >> VMCB_INT_CTL_PRIO_SHIFT;

	return (c->int_ctl & VMCB_INT_CTL_V_IRQ) && (c->x.rflags & X86_FLAG_IF) && !c->x.shadow &&
	       ((c->int_ctl & VMCB_INT_CTL_IGN_TPR) || priority > (c->int_ctl & 15));
}

static enum x86_result take_virtual_interrupt(struct soft_cpu *c)
{
	if (soft_intercepts(c, VMCB_INTERCEPT_VINTR))
		return soft_exit(c, VMEXIT_VINTR, 0, 0);
	c->int_ctl &= ~VMCB_INT_CTL_V_IRQ;
	return deliver_interrupt(c, X86_EVENT_INTR, (u8)(c->int_ctl >> VMCB_INT_CTL_VECTOR_SHIFT));
}

/* With V_INTR_MASKING the host's IF counts, which is set whenever a guest runs. */
static bool physical_interrupt_is_due(const struct soft_cpu *c)
{
	return soft_intercepts(c, VMCB_INTERCEPT_INTR) &&
	       ((c->int_ctl & VMCB_INT_CTL_MASKING) || (c->x.rflags & X86_FLAG_IF));
}

static enum x86_result take_pins(struct soft_cpu *c, u32 pins)
{
	if (pins & SOFT_PIN_NMI) {
		if (soft_intercepts(c, VMCB_INTERCEPT_NMI)) {
			atomic_fetch_and(&c->pins, ~SOFT_PIN_NMI);
			return soft_exit(c, VMEXIT_NMI, 0, 0);
		}
		if (!c->x.nmi_blocked) {
			atomic_fetch_and(&c->pins, ~SOFT_PIN_NMI);
			return deliver_interrupt(c, X86_EVENT_NMI, X86_NMI) == X86_EXIT ? X86_EXIT : X86_REPEAT;
		}
	}
	if ((pins & SOFT_PIN_INTR) && physical_interrupt_is_due(c))
		return soft_exit(c, VMEXIT_INTR, 0, 0);
	return X86_OK;
}

enum x86_result soft_boundary(struct soft_cpu *c)
{
	struct x86 *x = &c->x;
	const struct x86_insn *last = c->current;
	bool shadow_begins = false;
	u32 pins = atomic_load_relaxed(&c->pins);
	enum x86_result r;

	c->current = NULL;
	x->attention &= ~(X86_ATTN_FLAGS | X86_ATTN_MODE);
	if (x->attention & X86_ATTN_SHADOW) {
		shadow_begins = !c->shadow_armed;
		if (shadow_begins)
			c->shadow_armed = true;
		else
			forget_shadow(c);
	}
	if (UNLIKELY(x->attention & X86_ATTN_STEP)) {
		update_watching(c);
		r = take_traps(c, last, shadow_begins && x->shadow == 2);
		if (r != X86_OK)
			return r;
	}
	if (pins && !x->shadow) {
		r = take_pins(c, pins);
		if (r != X86_OK)
			return r;
	}
	if (UNLIKELY(soft_virtual_interrupt_is_due(c))) {
		r = take_virtual_interrupt(c);
		return r == X86_EXIT ? r : X86_REPEAT;
	}
	if (UNLIKELY(x->attention & X86_ATTN_STEP))
		return prepare_debug(c);
	if (UNLIKELY(x->rflags & X86_FLAG_RF))
		x->rflags &= ~X86_FLAG_RF;
	c->resume = false;
	return X86_OK;
}
