// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_event.c - the order and fate of exceptions, NMIs and interrupts
 */
#include "core/event.h"
#include "tests/core/scripted.h"

static void protected_mode(void)
{
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = 0x1000, .rflags = X86_FLAG_1 | X86_FLAG_IF };

	vcpu_get_sregs(script.v, &s);
	s.cr0 |= X86_CR0_PE;
	EXPECT_EQ(vcpu_set_sregs(script.v, &s), 0);
	EXPECT_EQ(vcpu_set_regs(script.v, &r), 0);
}

static void run_to_shutdown(void)
{
	script_exit(EXIT_SHUTDOWN);
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_SHUTDOWN);
}

static void exceptions_combine(void)
{
	static const struct { u8 first, second, result; } cases[] = {
		{ X86_GP, X86_GP, X86_DF }, { X86_PF, X86_GP, X86_DF }, { X86_PF, X86_PF, X86_DF },
		{ X86_GP, X86_PF, X86_PF }, { X86_DB, X86_GP, X86_GP }, { X86_UD, X86_PF, X86_PF },
		{ X86_DE, X86_NP, X86_DF }, { X86_NM, X86_TS, X86_TS },
	};

	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		script_create(false);
		protected_mode();
		event_exception(script.v, cases[n].first, true, 1);
		event_exception(script.v, cases[n].second, true, 2);
		EXPECT_EQ(script.v->events.exception.vector, cases[n].result);
		EXPECT_EQ(script.v->events.exception.error, cases[n].result == X86_DF ? 0 : 2);
		script_destroy();
	}
}

static void an_exception_during_delivery_combines(void)
{
	struct kvm_vcpu_events e;

	script_create(false);
	protected_mode();
	/* #GP was being delivered when the exit came, and then something raises #GP */
	script.has_inflight = true;
	script.inflight = (struct backend_event){ .type = X86_EVENT_EXCEPTION, .vector = X86_GP,
						  .has_error = true, .error = 8 };
	script_exit(EXIT_HLT)->next_rip = 0x1001;
	EXPECT_EQ(vcpu_run(script.v), 0);
	vcpu_get_events(script.v, &e);
	EXPECT_EQ(e.exception.injected, 1);
	EXPECT_EQ(e.exception.nr, X86_GP);
	EXPECT_EQ(e.exception.error_code, 8);
	event_exception(script.v, X86_GP, true, 0);
	run_to_shutdown();
	EXPECT_EQ(script.event.vector, X86_DF);
	EXPECT(script.event.has_error);
	script_destroy();
}

static void what_an_exit_interrupted_goes_in_again(void)
{
	static const struct backend_event cases[] = {
		{ .type = X86_EVENT_INTR, .vector = 0x41 },
		{ .type = X86_EVENT_NMI, .vector = X86_NMI },
		{ .type = X86_EVENT_EXCEPTION, .vector = X86_PF, .has_error = true, .error = 6 },
		{ .type = X86_EVENT_EXCEPTION, .vector = X86_UD },
		{ .type = X86_EVENT_SOFT, .vector = 0x80, .next_rip = 0x1234 },
	};

	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		script_create(false);
		protected_mode();
		script.has_inflight = true;
		script.inflight = cases[n];
		script_exit(EXIT_NOTHING);
		/* IF is of no importance to an interrupt that was acknowledged already */
		script.irq_allowed = false;
		run_to_shutdown();
		EXPECT_EQ(script.injections, 1);
		EXPECT_EQ(script.event.type, cases[n].type);
		EXPECT_EQ(script.event.vector, cases[n].vector);
		EXPECT_EQ(script.event.has_error, cases[n].has_error);
		EXPECT_EQ(script.event.error, cases[n].error);
		EXPECT_EQ(script.event.next_rip, cases[n].next_rip);
		script_destroy();
	}
}

static void a_delivered_event_is_forgotten(void)
{
	struct kvm_vcpu_events e;

	script_create(false);
	protected_mode();
	event_page_fault(script.v, 0x123456789abcull, 2);
	script_exit(EXIT_HLT)->next_rip = 0x1001;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.injections, 1);
	EXPECT_EQ(script.event.error, 2);
	EXPECT_EQ(script.hidden.cr2, 0x123456789abcull);
	vcpu_get_events(script.v, &e);
	EXPECT_EQ(e.exception.injected, 0);
	run_to_shutdown();
	EXPECT_EQ(script.injections, 1);
	script_destroy();
}

static void faults_set_rf_and_traps_do_not(void)
{
	static const struct { u8 vector; bool rf; } cases[] = { { X86_GP, true }, { X86_DB, false } };

	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		script_create(false);
		protected_mode();
		event_exception(script.v, cases[n].vector, false, 0);
		run_to_shutdown();
		EXPECT_EQ(!!(script.v->x.rflags & X86_FLAG_RF), cases[n].rf);
		script_destroy();
	}
}

static void an_nmi_waits_for_its_window(void)
{
	script_create(false);
	protected_mode();
	script.nmi_allowed = false;
	event_nmi(script.v);
	script_exit(EXIT_HLT)->next_rip = 0x1001;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.injections, 0);
	EXPECT(script.nmi_window);
	script.nmi_allowed = true;
	script_exit(EXIT_NMI_WINDOW);
	run_to_shutdown();
	EXPECT_EQ(script.injections, 1);
	EXPECT_EQ(script.event.type, X86_EVENT_NMI);
	EXPECT(!script.nmi_window);
	script_destroy();
}

static void only_so_many_nmis_are_kept(void)
{
	script_create(false);
	protected_mode();
	for (unsigned n = 0; n < 5; n++)
		event_nmi(script.v);
	for (unsigned n = 0; n < 3; n++)
		script_exit(EXIT_NMI_WINDOW);
	run_to_shutdown();
	EXPECT_EQ(script.injections, 2);
	script_destroy();
}

static void an_exception_goes_before_an_interrupt(void)
{
	script_create(true);
	protected_mode();
	/* a client's vector in a split sense: directly queued as by the PIC */
	script.v->external_vector = 0x55;
	event_exception(script.v, X86_UD, false, 0);
	script_exit(EXIT_IRQ_WINDOW);
	EXPECT_EQ(script.at, 0);
	run_to_shutdown();
	EXPECT_EQ(script.injections, 2);
	EXPECT_EQ(script.event.vector, 0x55);
	EXPECT_EQ(script.v->external_vector, -1);
	script_destroy();
}

static void an_interrupt_waits_for_if(void)
{
	struct kvm_regs r = { .rip = 0x1000, .rflags = X86_FLAG_1 };

	script_create(true);
	EXPECT_EQ(vcpu_set_regs(script.v, &r), 0);
	script.v->external_vector = 0x55;
	script_exit(EXIT_NOTHING);
	run_to_shutdown();
	EXPECT_EQ(script.injections, 0);
	EXPECT(script.irq_window);
	EXPECT_EQ(script.v->external_vector, 0x55);
	script_destroy();
}

/* Called off: asked for something while the event is chosen already. */
static unsigned entries;
static void count_entries(unsigned n) { (void)n; entries++; }

static void a_cancelled_entry_loses_nothing(void)
{
	script_create(false);
	protected_mode();
	entries = 0;
	script.before = count_entries;
	event_exception(script.v, X86_GP, true, 16);
	sim_interrupt(true);
	EXPECT_EQ(vcpu_run(script.v), -EINTR);
	EXPECT_EQ(entries, 0);
	EXPECT_EQ(script.v->events.exception.injected, 1);
	sim_interrupt(false);
	run_to_shutdown();
	EXPECT_EQ(script.event.vector, X86_GP);
	EXPECT_EQ(script.event.error, 16);
	EXPECT_EQ(entries, 1);
	script_destroy();
}

static void events_survive_get_and_set(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args[0] = 1 };
	struct kvm_vcpu_events in = { 0 }, out;

	script_create(false);
	EXPECT_EQ(vm_enable_capability(script.vm, &cap), 0);
	in.flags = KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_NMI_PENDING |
		   KVM_VCPUEVENT_VALID_SHADOW;
	in.exception.pending = 1;
	in.exception.nr = X86_PF;
	in.exception.has_error_code = 1;
	in.exception.error_code = 4;
	in.exception_has_payload = 1;
	in.exception_payload = 0xfeed000;
	in.nmi.pending = 1;
	in.nmi.masked = 1;
	in.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	EXPECT_EQ(vcpu_set_events(script.v, &in), 0);
	EXPECT_EQ(vcpu_get_events(script.v, &out), 0);
	EXPECT_EQ(out.exception.pending, 1);
	EXPECT_EQ(out.exception.injected, 0);
	EXPECT_EQ(out.exception.nr, X86_PF);
	EXPECT_EQ(out.exception.error_code, 4);
	EXPECT_EQ(out.exception_has_payload, 1);
	EXPECT_EQ(out.exception_payload, 0xfeed000);
	EXPECT_EQ(out.nmi.pending, 1);
	EXPECT_EQ(out.nmi.masked, 1);
	EXPECT_EQ(out.interrupt.shadow, KVM_X86_SHADOW_INT_STI);
	/* the payload reaches CR2 with the exception */
	protected_mode();
	EXPECT_EQ(vcpu_set_events(script.v, &in), 0);
	run_to_shutdown();
	EXPECT_EQ(script.hidden.cr2, 0xfeed000);
	script_destroy();
}

static void bad_events_are_refused(void)
{
	struct kvm_vcpu_events e = { 0 };

	script_create(false);
	e.flags = 0x80;
	EXPECT_EQ(vcpu_set_events(script.v, &e), -EINVAL);
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD;		/* the capability is off */
	EXPECT_EQ(vcpu_set_events(script.v, &e), -EINVAL);
	e.flags = 0;
	e.exception.injected = 1;
	e.exception.nr = 32;
	EXPECT_EQ(vcpu_set_events(script.v, &e), -EINVAL);
	e.exception.nr = X86_NMI;
	EXPECT_EQ(vcpu_set_events(script.v, &e), -EINVAL);
	e.exception.nr = X86_GP;
	EXPECT_EQ(vcpu_set_events(script.v, &e), 0);
	script_destroy();
}

int main(void)
{
	TEST(exceptions_combine);
	TEST(an_exception_during_delivery_combines);
	TEST(what_an_exit_interrupted_goes_in_again);
	TEST(a_delivered_event_is_forgotten);
	TEST(faults_set_rf_and_traps_do_not);
	TEST(an_nmi_waits_for_its_window);
	TEST(only_so_many_nmis_are_kept);
	TEST(an_exception_goes_before_an_interrupt);
	TEST(an_interrupt_waits_for_if);
	TEST(a_cancelled_entry_loses_nothing);
	TEST(events_survive_get_and_set);
	TEST(bad_events_are_refused);
	return test_status();
}
