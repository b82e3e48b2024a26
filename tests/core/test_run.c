// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_run.c - the run loop: each exit's effect, completion, signals, kicks, sleeping
 */
#include "tests/core/scripted.h"

#include <linux/kvm_para.h>

static struct kvm_regs regs_now(void)
{
	struct kvm_regs r;

	EXPECT_EQ(vcpu_get_regs(script.v, &r), 0);
	return r;
}

static void rip_set(u64 rip, u64 rax, u64 rflags)
{
	struct kvm_regs r = regs_now();

	r.rip = rip;
	r.rax = rax;
	r.rflags = rflags;
	EXPECT_EQ(vcpu_set_regs(script.v, &r), 0);
}

static struct exit *io_exit(bool in, u16 port, u8 bytes)
{
	struct exit *e = script_exit(EXIT_IO);

	e->io.in = in;
	e->io.port = port;
	e->io.bytes = bytes;
	e->next_rip = 0x1002;
	return e;
}

static void hlt_without_chips_is_the_clients(void)
{
	script_create(false);
	rip_set(0x1000, 0, 2);
	script_exit(EXIT_HLT)->next_rip = 0x1001;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_HLT);
	EXPECT_EQ(regs_now().rip, 0x1001);
	EXPECT_EQ(script.roots, 1);
	EXPECT_EQ(script.flushes, 1);
	script_destroy();
}

static void port_out_goes_to_the_client(void)
{
	script_create(false);
	rip_set(0x1000, 0x11223344, 2);
	io_exit(false, 0x3f8, 2);
	script_exit(EXIT_HLT)->next_rip = 0x1003;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_IO);
	EXPECT_EQ(script.run->io.direction, KVM_EXIT_IO_OUT);
	EXPECT_EQ(script.run->io.port, 0x3f8);
	EXPECT_EQ(script.run->io.size, 2);
	EXPECT_EQ(script.run->io.count, 1);
	EXPECT_EQ(*(u16 *)((u8 *)script.run + script.run->io.data_offset), 0x3344);
	EXPECT_EQ(regs_now().rip, 0x1000);	/* done only when the client comes back */
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_HLT);
	EXPECT_EQ(script.at, 2);
	script_destroy();
}

static void port_in_merges_into_rax(void)
{
	static const struct { u8 bytes; u64 expected; } cases[] = {
		{ 1, 0x8877665544332299ull }, { 2, 0x887766554433aa99ull }, { 4, 0xccbbaa99ull },
	};

	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		script_create(false);
		rip_set(0x1000, 0x8877665544332211ull, 2);
		io_exit(true, 0x60, cases[n].bytes);
		script_exit(EXIT_HLT)->next_rip = 0x1003;
		EXPECT_EQ(vcpu_run(script.v), 0);
		memcpy((u8 *)script.run + script.run->io.data_offset, "\x99\xaa\xbb\xcc", 4);
		EXPECT_EQ(vcpu_run(script.v), 0);
		EXPECT_EQ(regs_now().rax, cases[n].expected);
		script_destroy();
	}
}

static void a_reset_during_an_exit_is_not_undone(void)
{
	script_create(false);
	rip_set(0x1000, 0, 2);
	io_exit(true, 0x64, 1);
	script_exit(EXIT_HLT)->next_rip = 0xfff1;
	EXPECT_EQ(vcpu_run(script.v), 0);
	rip_set(0xfff0, 0x77, 2);
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_HLT);
	EXPECT_EQ(regs_now().rax, 0x77);
	EXPECT_EQ(regs_now().rip, 0xfff1);
	script_destroy();
}

static void immediate_exit_completes_first(void)
{
	script_create(false);
	rip_set(0x1000, 0, 2);
	io_exit(false, 0x80, 1);
	EXPECT_EQ(vcpu_run(script.v), 0);
	script.run->immediate_exit = 1;
	EXPECT_EQ(vcpu_run(script.v), -EINTR);
	EXPECT_EQ(regs_now().rip, 0x1002);	/* the OUT is over */
	EXPECT_EQ(script.at, 1);		/* the guest did not run */
	script_destroy();
}

static void a_signal_ends_it(void)
{
	script_create(false);
	sim_interrupt(true);
	EXPECT_EQ(vcpu_run(script.v), -EINTR);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_INTR);
	EXPECT_EQ(script.at, 0);
	sim_interrupt(false);
	script_exit(EXIT_HLT);
	script.exits[0].next_rip = 1;
	EXPECT_EQ(vcpu_run(script.v), 0);
	script_destroy();
}

static void cpuid_is_answered(void)
{
	struct kvm_regs r;

	script_create(false);
	rip_set(0x1000, 0x40000000, 2);
	script_exit(EXIT_CPUID)->next_rip = 0x1002;
	script_exit(EXIT_HLT)->next_rip = 0x1003;
	EXPECT_EQ(vcpu_run(script.v), 0);
	r = regs_now();
	EXPECT_EQ(r.rax, 0x40000001);
	EXPECT_EQ(r.rbx, 0x4b4d564b);
	EXPECT_EQ(r.rcx, 0x564b4d56);
	EXPECT_EQ(r.rdx, 0x4d);
	script_destroy();
}

static void an_unknown_msr_faults_or_asks_the_client(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR,
				      .args[0] = KVM_MSR_EXIT_REASON_UNKNOWN };
	struct kvm_regs r;

	script_create(false);
	rip_set(0x1000, 0, 2);
	r = regs_now();
	r.rcx = 0x12345678;
	vcpu_set_regs(script.v, &r);
	script_exit(EXIT_MSR_READ)->next_rip = 0x1002;
	script_exit(EXIT_HLT)->next_rip = 0x1001;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.injections, 1);
	EXPECT_EQ(script.event.vector, X86_GP);
	EXPECT_EQ(script.event.has_error, 0);	/* real mode */

	EXPECT_EQ(vm_enable_capability(script.vm, &cap), 0);
	script_exit(EXIT_MSR_READ)->next_rip = 0x1002;
	script_exit(EXIT_HLT)->next_rip = 0x1003;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_X86_RDMSR);
	EXPECT_EQ(script.run->msr.index, 0x12345678);
	EXPECT_EQ(script.run->msr.reason, KVM_MSR_EXIT_REASON_UNKNOWN);
	script.run->msr.data = 0x1122334455667788ull;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(regs_now().rax, 0x55667788);
	EXPECT_EQ(regs_now().rdx, 0x11223344);
	script_destroy();
}

static void xsetbv_is_checked(void)
{
	static const struct { u64 value; bool good; } cases[] = {
		{ 1, true }, { 3, true }, { 7, true }, { 0xe7, true }, { 0x207, true }, { 0, false }, { 2, false },
		{ 5, false }, { 0x27, false }, { 0xe3, false }, { 0xf, false }, { 1ull << 63 | 1, false },
	};

	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		struct kvm_regs r;

		script_create(false);
		rip_set(0x1000, (u32)cases[n].value, 2);
		r = regs_now();
		r.rdx = cases[n].value >> 32;
		vcpu_set_regs(script.v, &r);
		script_exit(EXIT_XSETBV)->next_rip = 0x1003;
		script_exit(EXIT_HLT)->next_rip = 0x1004;
		EXPECT_EQ(vcpu_run(script.v), 0);
		EXPECT_EQ(script.injections, !cases[n].good);
		EXPECT_EQ(script.xcr0_loaded, cases[n].good ? cases[n].value : 1);
		script_destroy();
	}
}

static void fpu_counts(unsigned n)
{
	(void)n;
	script.fpu++;
}

static void exits_handled_here(unsigned count)
{
	rip_set(0x1000, 0, 2);
	for (unsigned n = 0; n < count; n++)
		script_exit(EXIT_CPUID)->next_rip = 0x1002 + 2 * n;
	script_exit(EXIT_SHUTDOWN);
	script.fpu_loads = script.fpu_saves = 0;
	EXPECT_EQ(vcpu_run(script.v), 0);
}

/* Where the host keeps the registers, they are loaded and saved once a KVM_RUN; else at every entry. */
static void the_fpu_stays_while_exits_are_handled_here(void)
{
	u8 *xmm0;

	for (unsigned stays = 0; stays < 2; stays++) {
		script_create(false);
		sim_fpu_stays(stays);
		script.before = fpu_counts;
		xmm0 = script.v->fpu->area + 160;
		*xmm0 = 5;
		exits_handled_here(3);
		EXPECT_EQ(*xmm0, 9);
		EXPECT_EQ(script.fpu_loads, stays ? 1 : 4);
		EXPECT_EQ(script.fpu_saves, stays ? 1 : 4);
		script.fpu = 77;			/* another thread's, in the meantime */
		*xmm0 = 1;				/* the client's */
		exits_handled_here(0);
		EXPECT_EQ(*xmm0, 2);
		fpu_settle(script.v);			/* it is */
		EXPECT_EQ(script.fpu_saves, 1);
		script_destroy();
	}
	sim_fpu_stays(false);
}

static void hypercalls_are_unknown_or_not_for_users(void)
{
	script_create(false);
	rip_set(0x1000, 77, 2);
	script_exit(EXIT_HYPERCALL)->next_rip = 0x1003;
	script_exit(EXIT_HLT)->next_rip = 0x1004;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(regs_now().rax, (u32)-KVM_ENOSYS);
	rip_set(0x1000, KVM_HC_VAPIC_POLL_IRQ, 2);
	script_exit(EXIT_HYPERCALL)->next_rip = 0x1003;
	script_exit(EXIT_HLT)->next_rip = 0x1004;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(regs_now().rax, 0);
	script_destroy();
}

static void call(u64 number, u64 a, u64 b, u64 c, u64 d)
{
	struct kvm_regs r = { .rax = number, .rbx = a, .rcx = b, .rdx = c, .rsi = d,
			      .rip = 0x1000, .rflags = 2 };

	EXPECT_EQ(vcpu_set_regs(script.v, &r), 0);
	script_exit(EXIT_HYPERCALL)->next_rip = 0x1003;
	script_exit(EXIT_SHUTDOWN);
	EXPECT_EQ(vcpu_run(script.v), 0);
}

static void hypercalls_reach_other_vcpus(void)
{
	struct kvm_run *run = aligned_alloc(PAGE_BYTES, VCPU_RUN_PAGES * PAGE_BYTES);
	struct vcpu *ap;

	memset(run, 0, VCPU_RUN_PAGES * PAGE_BYTES);
	script_create(true);
	EXPECT_EQ(vcpu_create(script.vm, 1, run, &ap), 0);
	call(KVM_HC_KICK_CPU, 0, 1, 0, 0);
	EXPECT_EQ(regs_now().rax, 0);
	EXPECT_EQ(ap->pv_unhalted, 1);
	call(KVM_HC_KICK_CPU, 0, 99, 0, 0);		/* nobody */
	EXPECT_EQ(regs_now().rax, 0);
	call(KVM_HC_SEND_IPI, 3, 0, 1, 4 << 8);		/* NMI to 1 and 2: only 1 exists */
	EXPECT_EQ(regs_now().rax, 1);
	EXPECT_EQ(ap->events.nmi.pending, 1);
	call(KVM_HC_SEND_IPI, 0, 0x80000000, ~0u - 70, 0x30);
	EXPECT_EQ(regs_now().rax, 0);
	call(KVM_HC_SEND_IPI, 1, 0, 1, 5 << 8);		/* INIT is not for this */
	EXPECT_EQ(regs_now().rax, (u32)-KVM_EINVAL);
	script_destroy();
	free(run);
}

static void triple_faults_shut_down(void)
{
	script_create(false);
	script_exit(EXIT_SHUTDOWN);
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_SHUTDOWN);
	/* and so does a chain of exceptions of our own */
	event_exception(script.v, X86_PF, true, 0);
	event_exception(script.v, X86_PF, true, 0);
	event_exception(script.v, X86_PF, true, 0);
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_SHUTDOWN);
	EXPECT_EQ(script.at, 1);
	script_destroy();
}

static void failed_entries_are_reported(void)
{
	script_create(false);
	script_exit(EXIT_FAIL_ENTRY)->hardware_reason = ~0ull;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_FAIL_ENTRY);
	EXPECT_EQ(script.run->fail_entry.hardware_entry_failure_reason, ~0ull);
	script_destroy();
}

static void memory_is_mapped_on_demand(void)
{
	struct exit *e;

	script_create(false);
	script_slot();
	e = script_exit(EXIT_MEMORY);
	e->memory.gpa = 0x5000;
	e->memory.access = X86_WRITE;
	script_exit(EXIT_HLT)->next_rip = 1;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_HLT);
	EXPECT(script.vm->mmu.pages > 1);
	script_destroy();
}

static void mmio_in_the_middle_of_an_event_is_an_error(void)
{
	struct exit *e;

	script_create(false);
	e = script_exit(EXIT_MEMORY);
	e->memory.gpa = 0xd0000000;
	e->memory.access = X86_WRITE;
	script.has_inflight = true;
	script.inflight = (struct backend_event){ .type = X86_EVENT_INTR, .vector = 0x30 };
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(script.run->internal.suberror, KVM_INTERNAL_ERROR_DELIVERY_EV);
	script_destroy();
}

static void mmio_is_emulated_by_the_client(void)
{
	/* 67 88 03: mov [ebx], al, in real mode with a 4 GiB DS */
	static const u8 store[] = { 0x67, 0x88, 0x03 };
	struct kvm_sregs s;
	struct kvm_regs r;
	struct exit *e;

	script_create(false);
	script_slot();
	memcpy(script.memory + 0x1000, store, sizeof(store));
	vcpu_get_sregs(script.v, &s);
	s.cs.base = s.cs.selector = 0;
	s.ds.limit = 0xffffffff;
	s.ds.g = 1;
	EXPECT_EQ(vcpu_set_sregs(script.v, &s), 0);
	rip_set(0x1000, 0xa5, 2);
	r = regs_now();
	r.rbx = 0xd0000004;
	vcpu_set_regs(script.v, &r);
	e = script_exit(EXIT_MEMORY);
	e->memory.gpa = 0xd0000004;
	e->memory.access = X86_WRITE;
	script_exit(EXIT_HLT)->next_rip = 0x1004;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_MMIO);
	EXPECT_EQ(script.run->mmio.phys_addr, 0xd0000004);
	EXPECT_EQ(script.run->mmio.len, 1);
	EXPECT_EQ(script.run->mmio.is_write, 1);
	EXPECT_EQ(script.run->mmio.data[0], 0xa5);
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_HLT);
	EXPECT_EQ(regs_now().rip, 0x1004);
	script_destroy();
}

/* Another thread asks between the last look and the guest: the kick ends the entry. */
static void ask_inside(unsigned n)
{
	if (n == 0) {
		vcpu_request(script.v, REQ_TLB_FLUSH);
		vcpu_kick(script.v);
		EXPECT_EQ(atomic_load_acquire(&script.v->mode), VCPU_EXITING);
		vcpu_kick(script.v);		/* once is enough */
	}
}

static void a_request_kicks_and_is_served(void)
{
	u64 kicks;

	script_create(false);
	kicks = sim_kicks(0);
	script.before = ask_inside;
	script_exit(EXIT_NOTHING);
	script_exit(EXIT_HLT)->next_rip = 1;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(sim_kicks(0) - kicks, 1);
	EXPECT_EQ(script.flushes, 2);		/* the first is the root's */
	vcpu_kick(script.v);			/* outside: nobody to kick */
	EXPECT_EQ(sim_kicks(0) - kicks, 1);
	script_destroy();
}

static void a_dead_machine_stays_dead(void)
{
	script_create(false);
	sim_expect_bugs(true);
	EXPECT(VM_BUG(script.vm, 1 + 1 == 2));
	EXPECT_EQ(sim_bugs(), 1);
	EXPECT_EQ(vcpu_run(script.v), -EIO);
	EXPECT_EQ(script.at, 0);
	sim_expect_bugs(false);
	script_destroy();
}

static void the_client_gets_its_window(void)
{
	script_create(false);
	script.run->request_interrupt_window = 1;
	script.irq_allowed = false;
	rip_set(0x1000, 0, X86_FLAG_1 | X86_FLAG_IF);
	script_exit(EXIT_NOTHING);
	script_exit(EXIT_IRQ_WINDOW);
	script.before = NULL;
	/* not allowed at the first exit, allowed at the second */
	sim_interrupt(false);
	EXPECT_EQ(script.run->ready_for_interrupt_injection, 0);
	script.exits[0].kind = EXIT_HLT;
	script.exits[0].next_rip = 0x1001;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_HLT);
	EXPECT(script.irq_window);
	EXPECT_EQ(script.run->if_flag, 1);
	EXPECT_EQ(script.run->ready_for_interrupt_injection, 0);
	script.irq_allowed = true;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(script.run->ready_for_interrupt_injection, 1);
	EXPECT_EQ(vcpu_interrupt(script.v, 0x31), 0);
	script.run->request_interrupt_window = 0;
	script_exit(EXIT_HLT)->next_rip = 0x1001;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.event.vector, 0x31);
	EXPECT_EQ(script.event.type, X86_EVENT_INTR);
	script_destroy();
}

static void registers_can_be_shared(void)
{
	script_create(false);
	script.run->kvm_valid_regs = KVM_SYNC_X86_VALID_FIELDS + 1;
	EXPECT_EQ(vcpu_run(script.v), -EINVAL);
	script.run->kvm_valid_regs = KVM_SYNC_X86_VALID_FIELDS;
	script.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	script.run->s.regs.regs = (struct kvm_regs){ .rip = 0x2000, .rax = 5, .rflags = 2 };
	script_exit(EXIT_HLT)->next_rip = 0x2001;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->s.regs.regs.rip, 0x2001);
	EXPECT_EQ(script.run->s.regs.regs.rax, 5);
	EXPECT_EQ(script.run->s.regs.sregs.cs.selector, 0xf000);
	EXPECT_EQ(script.run->kvm_dirty_regs, 0);
	script_destroy();
}

static void an_ap_waits_for_init_and_sipi(void)
{
	struct kvm_run *run = aligned_alloc(PAGE_BYTES, VCPU_RUN_PAGES * PAGE_BYTES);
	struct kvm_mp_state mp;
	struct kvm_sregs s;
	struct vcpu *ap;

	memset(run, 0, VCPU_RUN_PAGES * PAGE_BYTES);
	script_create(true);
	EXPECT_EQ(vcpu_create(script.vm, 1, run, &ap), 0);
	vcpu_get_mp_state(ap, &mp);
	EXPECT_EQ(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	run->immediate_exit = 1;
	EXPECT_EQ(vcpu_run(ap), -EINTR);
	run->immediate_exit = 0;
	ap->pending_init = 1;
	EXPECT_EQ(vcpu_run(ap), -EAGAIN);
	vcpu_get_mp_state(ap, &mp);
	EXPECT_EQ(mp.mp_state, KVM_MP_STATE_INIT_RECEIVED);
	ap->pending_sipi = 0x100 | 0x9a;
	script_exit(EXIT_SHUTDOWN);
	EXPECT_EQ(vcpu_run(ap), 0);
	EXPECT_EQ(run->exit_reason, KVM_EXIT_SHUTDOWN);
	group_copy(&ap->x, &script.hidden, REGS_SEG);
	vcpu_get_sregs(ap, &s);
	EXPECT_EQ(s.cs.selector, 0x9a00);
	EXPECT_EQ(s.cs.base, 0x9a000);
	EXPECT_EQ(ap->x.rip, 0);
	vcpu_get_mp_state(ap, &mp);
	EXPECT_EQ(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	script_destroy();
	free(run);
}

static void nmi_inside(unsigned n)
{
	if (n == 0)
		event_nmi(script.v);
}

static void a_halted_vcpu_wakes_by_an_nmi(void)
{
	script_create(true);
	script.before = nmi_inside;
	script_exit(EXIT_HLT)->next_rip = 0xfff1;
	script_exit(EXIT_SHUTDOWN);
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_SHUTDOWN);
	EXPECT_EQ(script.event.type, X86_EVENT_NMI);
	EXPECT_EQ(script.v->stat[VCPU_STAT_halt_wakeup], 1);
	script_destroy();
}

/* The client's filter: the first range that has a number decides, then the default does. */
static void filtered_msrs_come_to_the_client(void)
{
	u8 *bits = (u8 *)script.memory;
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_FILTER } };

	script_create(false);
	bits = script.memory;
	bits[0] = 2;			/* 0xc0000081 is forbidden, 0xc0000082 allowed */
	f.ranges[0] = (struct kvm_msr_filter_range){ .flags = KVM_MSR_FILTER_READ, .nmsrs = 2,
						     .base = X86_MSR_STAR, .bitmap = bits };
	EXPECT_EQ(msr_filter_set(script.vm, &f), 0);
	EXPECT(!msr_filter_allows(script.vm, X86_MSR_STAR, false));
	EXPECT(msr_filter_allows(script.vm, X86_MSR_STAR, true));
	EXPECT(msr_filter_allows(script.vm, X86_MSR_LSTAR, false));
	EXPECT(msr_filter_allows(script.vm, X86_MSR_LSTAR + 1, false));
	EXPECT_EQ(vm_enable_capability(script.vm, &cap), 0);
	script_exit(EXIT_MSR_READ)->next_rip = 0x1002;
	script.v->x.gpr[1] = X86_MSR_STAR;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_X86_RDMSR);
	EXPECT_EQ(script.run->msr.reason, KVM_MSR_EXIT_REASON_FILTER);
	EXPECT_EQ(script.run->msr.index, X86_MSR_STAR);

	f.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	EXPECT_EQ(msr_filter_set(script.vm, &f), 0);
	EXPECT(!msr_filter_allows(script.vm, X86_MSR_LSTAR + 1, false));
	EXPECT(msr_filter_allows(script.vm, 0x830, true));	/* x2APIC never is */
	f.ranges[0].nmsrs = 0x600 * 8 + 1;
	EXPECT_EQ(msr_filter_set(script.vm, &f), -EINVAL);
	f.ranges[0].nmsrs = 0;
	EXPECT_EQ(msr_filter_set(script.vm, &f), -EINVAL);	/* nothing at all allowed */
	f.flags = 2;
	EXPECT_EQ(msr_filter_set(script.vm, &f), -EINVAL);
	EXPECT(!msr_filter_allows(script.vm, X86_MSR_STAR, false));	/* the old one is in force */
	script_destroy();
}

int main(void)
{
	TEST(hlt_without_chips_is_the_clients);
	TEST(port_out_goes_to_the_client);
	TEST(port_in_merges_into_rax);
	TEST(a_reset_during_an_exit_is_not_undone);
	TEST(immediate_exit_completes_first);
	TEST(a_signal_ends_it);
	TEST(cpuid_is_answered);
	TEST(an_unknown_msr_faults_or_asks_the_client);
	TEST(xsetbv_is_checked);
	TEST(the_fpu_stays_while_exits_are_handled_here);
	TEST(hypercalls_are_unknown_or_not_for_users);
	TEST(hypercalls_reach_other_vcpus);
	TEST(triple_faults_shut_down);
	TEST(failed_entries_are_reported);
	TEST(memory_is_mapped_on_demand);
	TEST(mmio_in_the_middle_of_an_event_is_an_error);
	TEST(mmio_is_emulated_by_the_client);
	TEST(a_request_kicks_and_is_served);
	TEST(a_dead_machine_stays_dead);
	TEST(the_client_gets_its_window);
	TEST(registers_can_be_shared);
	TEST(an_ap_waits_for_init_and_sipi);
	TEST(a_halted_vcpu_wakes_by_an_nmi);
	TEST(filtered_msrs_come_to_the_client);
	return test_status();
}
