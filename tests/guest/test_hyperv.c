// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_hyperv.c - what guests made for Hyper-V find: MSRs, time, hypercalls, messages, timers
 */
#include "tests/guest/tiny.h"

#define OS_ID		0x40000000u
#define HYPERCALL	0x40000001u
#define TIME		0x40000020u
#define TSC_PAGE	0x40000021u
#define SCONTROL	0x40000080u
#define SIMP		0x40000083u
#define EOM		0x40000084u
#define SINT(n)		(0x40000090u + (n))
#define TIMER_CONFIG	0x400000b0u
#define TIMER_COUNT	0x400000b1u
#define MESSAGES	(TINY_DATA + 0x1000)
#define PAGE_TSC	(TINY_DATA + 0x2000)
#define VECTOR		0x51

CODE64(read_id, "mov $0x40000000, %ecx; rdmsr\n" DONE)
/* RCX, RDX and R8 as they are; then again: the answer is in RAX. */
CODE64(call, "vmmcall\n" DONE)
/* IDT vectors go to the test's default handlers. */
CODE64(waits, "sti\n 1: hlt; jmp 1b\n")
/* Sets timer 0: RAX low, RDX high of the count; the configuration is set already. */
CODE64(sets_count, "mov $0x400000b1, %ecx; wrmsr; sti\n 1: hlt; jmp 1b\n")
CODE64(enables_messages, "mov $0x40000083, %ecx; mov $0x51001, %eax; xor %edx, %edx; wrmsr\n" DONE)
CODE64(crashes, "mov $0x40000100, %ecx; mov $0x1234, %eax; xor %edx, %edx; wrmsr\n"
		"mov $0x40000105, %ecx; mov $0x80000000, %edx; xor %eax, %eax; wrmsr\n" DONE)
CODE64(page_call, "mov $0x50000, %eax; mov $8, %ecx; xor %edx, %edx; call *%rax\n" DONE)

/* A vCPU that believes to be on Hyper-V; features, if not all, are those words of leaf 40000003h. */
static void hyperv_create(struct tiny *t, unsigned flags, unsigned cpus, const u8 *code, const u8 *end)
{
	tiny_create(t, flags, cpus);
	for (unsigned n = 0; n < cpus; n++) {
		struct tiny_cpuid c, hv = { .head.nent = TINY_CPUID_MAX };
		u32 last;

		memset(&c, 0, sizeof(c));
		c.head.nent = TINY_CPUID_MAX;
		MUST(cpu_ioctl(t, n, KVM_GET_CPUID2, &c));
		hv.head.nent = 1;		/* too few: an error, and no hint */
		EXPECT(cpu_ioctl(t, n, KVM_GET_SUPPORTED_HV_CPUID, &hv) < 0);
		EXPECT_EQ(hv.head.nent, 1);
		hv.head.nent = TINY_CPUID_MAX;
		MUST(cpu_ioctl(t, n, KVM_GET_SUPPORTED_HV_CPUID, &hv));
		for (u32 i = 0; i < c.head.nent; i++)		/* KVM's leaves make room */
			if ((c.entry[i].function & 0xffffff00) == 0x40000000)
				c.entry[i].function += 0x100;
		last = c.head.nent;
		memcpy(&c.entry[last], hv.entry, hv.head.nent * sizeof(hv.entry[0]));
		c.head.nent += hv.head.nent;
		MUST(cpu_ioctl(t, n, KVM_SET_CPUID2, &c));
		if (flags & TINY_IRQCHIP)
			MUST(cpu_ioctl(t, n, KVM_ENABLE_CAP, &(struct kvm_enable_cap){ .cap = KVM_CAP_HYPERV_SYNIC2 }));
	}
	tiny_load(t, TINY_64, code, end);
	for (unsigned n = 0; n < cpus; n++)
		tiny_start(t, n, TINY_64);
}

static void lapic_on(struct tiny *t, unsigned n)
{
	struct kvm_lapic_state s;

	MUST(cpu_ioctl(t, n, KVM_GET_LAPIC, &s));
	memcpy(s.regs + 0xf0, &(u32){ 0x1ff }, 4);
	MUST(cpu_ioctl(t, n, KVM_SET_LAPIC, &s));
}

static void the_msrs_are_there_for_those_who_ask(void)
{
	struct tiny t;

	tiny_one(&t, TINY_64, BLOB(read_id));
	EXPECT_VECTOR(&t, 0, 13);
	tiny_destroy(&t);

	hyperv_create(&t, 0, 1, BLOB(read_id));
	EXPECT_EQ(tiny_set_msr(&t, 0, OS_ID, 0x812300001ull), 1);
	EXPECT_DONE(&t, 0);
	EXPECT_EQ(tiny_regs(&t, 0).rax & 0xffffffff, 0x12300001);
	EXPECT_EQ(tiny_set_msr(&t, 0, 0x4000002f, 0), 0);	/* no such MSR */
	EXPECT_EQ(tiny_set_msr(&t, 0, 0x40000002, 1 << 20), 0);	/* VP index */
	tiny_destroy(&t);
	/* Enforced, without the leaf's bit. */
	hyperv_create(&t, 0, 1, BLOB(read_id));
	struct tiny_cpuid c = { .head.nent = TINY_CPUID_MAX };

	MUST(cpu_ioctl(&t, 0, KVM_ENABLE_CAP,
		       &(struct kvm_enable_cap){ .cap = KVM_CAP_HYPERV_ENFORCE_CPUID, .args = { 1 } }));
	MUST(cpu_ioctl(&t, 0, KVM_GET_CPUID2, &c));
	tiny_leaf(&c, 0x40000003, 0)->eax = 0;
	MUST(cpu_ioctl(&t, 0, KVM_SET_CPUID2, &c));
	EXPECT_VECTOR(&t, 0, 13);
	tiny_destroy(&t);
}

static u64 scaled(u64 tsc, u64 scale)
{
	u64 high;

	__asm__("mulq %2" : "=d"(high), "+a"(tsc) : "rm"(scale) : "cc");
	return high;
}

static void the_page_and_the_counter_agree(void)
{
	struct tiny t;

	hyperv_create(&t, 0, 1, BLOB(read_id));
	EXPECT_EQ(tiny_set_msr(&t, 0, TSC_PAGE, PAGE_TSC | 1), 1);
	EXPECT_DONE(&t, 0);
	EXPECT(tiny_get(&t, PAGE_TSC, 4) != 0);
	for (unsigned n = 0; n < 10; n++) {
		u64 before = tiny_msr(&t, 0, TIME), tsc = tiny_msr(&t, 0, 0x10), after = tiny_msr(&t, 0, TIME);
		u64 page = scaled(tsc, tiny_get(&t, PAGE_TSC + 8, 8)) + tiny_get(&t, PAGE_TSC + 16, 8);

		EXPECT(page + 1 >= before && page <= after + 1);
	}
	tiny_destroy(&t);
}

static u64 call_result(struct tiny *t, u64 number, u64 in, u64 out)
{
	struct kvm_regs r = tiny_regs(t, 0);

	r.rip = TINY_CODE;
	r.rcx = number;
	r.rdx = in;
	r.r8 = out;
	tiny_set_regs(t, 0, &r);
	EXPECT_DONE(t, 0);
	return tiny_regs(t, 0).rax;
}

#define FAST (1ull << 16)

static void hypercalls(void)
{
	struct kvm_hyperv_eventfd conn = { .conn_id = 7 };
	struct tiny t;
	u64 count;

	hyperv_create(&t, TINY_IRQCHIP, 1, BLOB(call));
	EXPECT_EQ(tiny_set_msr(&t, 0, OS_ID, 1), 1);
	EXPECT_EQ(call_result(&t, 0x7fff, 0, 0), 2);			/* no such call */
	EXPECT_EQ(call_result(&t, 8 | 1ull << 63, 0, 0), 3);		/* reserved bits */
	EXPECT_EQ(call_result(&t, 8 | 1ull << 32, 0, 0), 3);		/* repetitions of what has none */
	EXPECT_EQ(call_result(&t, 8, 0, 0), 0);
	EXPECT_EQ(call_result(&t, 2, ~0ull, 0), 3);			/* memory that is not there */
	EXPECT_EQ(call_result(&t, 0x13 | 63ull << 17, TINY_DATA, 0), 3);	/* more banks than are named */
	EXPECT_EQ(call_result(&t, 2, TINY_DATA, 0), 0);
	EXPECT_EQ(call_result(&t, 3 | 5ull << 32, TINY_DATA, 0), 5ull << 32);	/* all of them done */
	EXPECT_EQ(call_result(&t, 0xb | FAST, 15, 1), 3);		/* a vector of exceptions' */
	EXPECT_EQ(call_result(&t, 0xb | FAST, VECTOR, 0), 0);
	/* An event. */
	EXPECT_EQ(call_result(&t, 0x5d, 0x1234567, 0), 4);		/* not aligned */
	EXPECT_EQ(call_result(&t, 0x5d | FAST, 1ull << 48, 0), 3);
	conn.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	EXPECT_EQ(vm_ioctl(&t, KVM_HYPERV_EVENTFD, &conn), 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_HYPERV_EVENTFD, &conn), -EEXIST);
	EXPECT_EQ(call_result(&t, 0x5d | FAST, 7, 0), 0);
	EXPECT_EQ(read(conn.fd, &count, 8), 8);
	conn.flags = KVM_HYPERV_EVENTFD_DEASSIGN;
	EXPECT_EQ(vm_ioctl(&t, KVM_HYPERV_EVENTFD, &conn), 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_HYPERV_EVENTFD, &conn), -ENOENT);
	conn.conn_id = 1 << 24;
	EXPECT_EQ(vm_ioctl(&t, KVM_HYPERV_EVENTFD, &conn), -EINVAL);
	close(conn.fd);
	/* The client's. */
	struct kvm_regs r = tiny_regs(&t, 0);

	r.rip = TINY_CODE;
	r.rcx = 0x5c;
	r.rdx = 0xabc;
	tiny_set_regs(&t, 0, &r);
	EXPECT_EXIT(&t, 0, KVM_EXIT_HYPERV);
	EXPECT_EQ(t.cpu[0].run->hyperv.type, KVM_EXIT_HYPERV_HCALL);
	EXPECT_EQ(t.cpu[0].run->hyperv.u.hcall.input, 0x5c);
	EXPECT_EQ(t.cpu[0].run->hyperv.u.hcall.params[0], 0xabc);
	t.cpu[0].run->hyperv.u.hcall.result = 0x77;
	EXPECT_DONE(&t, 0);
	EXPECT_EQ(tiny_regs(&t, 0).rax, 0x77);
	tiny_destroy(&t);
}

static void the_hypercall_page_calls(void)
{
	struct tiny t;

	hyperv_create(&t, 0, 1, BLOB(page_call));
	EXPECT_EQ(tiny_set_msr(&t, 0, HYPERCALL, TINY_DATA | 1), 1);
	EXPECT_EQ(tiny_msr(&t, 0, HYPERCALL), 0);		/* who is it? */
	EXPECT_EQ(tiny_set_msr(&t, 0, OS_ID, 1), 1);
	EXPECT_EQ(tiny_set_msr(&t, 0, HYPERCALL, TINY_DATA | 1), 1);
	EXPECT_DONE(&t, 0);
	EXPECT_EQ(tiny_regs(&t, 0).rax, 0);
	EXPECT_EQ(tiny_set_msr(&t, 0, HYPERCALL, 0x80000000 | 1), 0);	/* no memory there */
	tiny_destroy(&t);
}

static void a_timer_interrupts_directly(void)
{
	struct kvm_regs r;
	struct tiny t;

	hyperv_create(&t, TINY_IRQCHIP, 1, BLOB(sets_count));
	lapic_on(&t, 0);
	/* auto-enable, direct, its vector */
	EXPECT_EQ(tiny_set_msr(&t, 0, TIMER_CONFIG, 1 << 3 | 1 << 12 | VECTOR << 4), 1);
	r = tiny_regs(&t, 0);
	r.rax = tiny_msr(&t, 0, TIME) + 20000;		/* in 2 ms */
	r.rdx = r.rax >> 32;
	tiny_set_regs(&t, 0, &r);
	EXPECT_VECTOR(&t, 0, VECTOR);
	EXPECT(tiny_msr(&t, 0, TIME) >= r.rax);
	EXPECT_EQ(tiny_msr(&t, 0, TIMER_CONFIG) & 1, 0);	/* one shot */
	tiny_destroy(&t);
}

static void a_timer_sends_a_message(void)
{
	struct tiny t;

	hyperv_create(&t, TINY_IRQCHIP, 1, BLOB(waits));
	lapic_on(&t, 0);
	EXPECT_EQ(tiny_set_msr(&t, 0, SIMP, MESSAGES | 1), 1);
	EXPECT_EQ(tiny_set_msr(&t, 0, SINT(2), VECTOR | 1 << 17), 1);
	EXPECT_EQ(tiny_set_msr(&t, 0, TIMER_COUNT, 1), 1);	/* long ago */
	EXPECT_EQ(tiny_set_msr(&t, 0, TIMER_CONFIG, 1 | 2 << 16), 1);
	EXPECT_VECTOR(&t, 0, VECTOR);
	EXPECT_EQ(tiny_get(&t, MESSAGES + 2 * 256, 4), 0x80000010);
	EXPECT_EQ(tiny_get(&t, MESSAGES + 2 * 256 + 4, 1), 24);
	EXPECT_EQ(tiny_get(&t, MESSAGES + 2 * 256 + 24, 8), 1);
	/* It ended by being delivered: AutoEOI.  The slot is still taken when the next one comes. */
	EXPECT_EQ(tiny_set_msr(&t, 0, TIMER_COUNT, 2), 1);
	EXPECT_EQ(tiny_set_msr(&t, 0, TIMER_CONFIG, 1 | 2 << 16), 1);
	t.cpu[0].run->immediate_exit = 0;
	tiny_start(&t, 0, TINY_64);
	struct tiny_thread h;

	tiny_thread_start(&h, &t, 0);
	tiny_wait_for(&t, MESSAGES + 2 * 256 + 4, 24 | 1 << 8);	/* somebody waits */
	tiny_thread_stop(&h);
	tiny_put(&t, MESSAGES + 2 * 256, 8, 0);
	EXPECT_EQ(tiny_set_msr(&t, 0, EOM, 0), 1);
	EXPECT_VECTOR(&t, 0, VECTOR);
	EXPECT_EQ(tiny_get(&t, MESSAGES + 2 * 256 + 24, 8), 2);
	tiny_destroy(&t);
}

static void gsis_lead_to_sints(void)
{
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry e; } routing = {
		.head.nr = 1, .e = { .gsi = 30, .type = KVM_IRQ_ROUTING_HV_SINT, .u.hv_sint = { .vcpu = 0, .sint = 3 } } };
	struct tiny t;

	hyperv_create(&t, TINY_IRQCHIP, 1, BLOB(waits));
	lapic_on(&t, 0);
	routing.e.u.hv_sint.sint = 16;
	EXPECT_EQ(vm_ioctl(&t, KVM_SET_GSI_ROUTING, &routing), 0);	/* as KVM; it leads nowhere */
	EXPECT(vm_ioctl(&t, KVM_IRQ_LINE, &(struct kvm_irq_level){ .irq = 30, .level = 1 }) <= 0);
	EXPECT(vm_ioctl(&t, KVM_IRQ_LINE, &(struct kvm_irq_level){ .irq = 30, .level = 0 }) <= 0);
	routing.e.u.hv_sint.sint = 3;
	EXPECT_EQ(vm_ioctl(&t, KVM_SET_GSI_ROUTING, &routing), 0);
	EXPECT_EQ(tiny_set_msr(&t, 0, SINT(3), VECTOR), 1);
	EXPECT_EQ(vm_ioctl(&t, KVM_IRQ_LINE, &(struct kvm_irq_level){ .irq = 30, .level = 1 }), 0);
	EXPECT_VECTOR(&t, 0, VECTOR);
	tiny_destroy(&t);
}

static void the_client_hears_of_pages_and_crashes(void)
{
	struct tiny t;

	hyperv_create(&t, TINY_IRQCHIP, 1, BLOB(enables_messages));
	EXPECT_EXIT(&t, 0, KVM_EXIT_HYPERV);
	EXPECT_EQ(t.cpu[0].run->hyperv.type, KVM_EXIT_HYPERV_SYNIC);
	EXPECT_EQ(t.cpu[0].run->hyperv.u.synic.msr, SIMP);
	EXPECT_EQ(t.cpu[0].run->hyperv.u.synic.msg_page, 0x51001);
	EXPECT_DONE(&t, 0);
	tiny_destroy(&t);
	hyperv_create(&t, 0, 1, BLOB(crashes));
	EXPECT_EXIT(&t, 0, KVM_EXIT_SYSTEM_EVENT);
	EXPECT_EQ(t.cpu[0].run->system_event.type, KVM_SYSTEM_EVENT_CRASH);
	EXPECT_EQ(tiny_msr(&t, 0, 0x40000100), 0x1234);
	tiny_destroy(&t);
}

int main(void)
{
	tiny_watchdog();
	tiny_signals_init();
	TEST(the_msrs_are_there_for_those_who_ask);
	TEST(the_page_and_the_counter_agree);
	TEST(hypercalls);
	TEST(the_hypercall_page_calls);
	TEST(a_timer_interrupts_directly);
	TEST(a_timer_sends_a_message);
	TEST(gsis_lead_to_sints);
	TEST(the_client_hears_of_pages_and_crashes);
	return test_status();
}
