// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_events.c - exceptions, interrupts, NMIs, shadows and single steps of tiny guests
 */
#include "tests/guest/tiny.h"

/* --- exceptions -------------------------------------------------------------------------- */

#define NO_ERROR 0xdeadull	/* the exception pushes none */

/* One faulting (or trapping) instruction each, and what the handler must find. */
#define FAULT(name, before, at) \
	CODE64(name, before "\n" #name "_at: " at "\n" #name "_after: ud2\n")
#define FAULT_LABELS(name) LABEL(name##_at) LABEL(name##_after)

#define EACH_FAULT(X) \
	X(divide, X86_DE, NO_ERROR, false, 0, "xor %ecx, %ecx", "div %ecx") \
	X(divide_overflow, X86_DE, NO_ERROR, false, 0, "mov $1, %ecx\n mov $5, %edx", "div %ecx") \
	X(breakpoint, X86_BP, NO_ERROR, true, 0, "nop", "int3") \
	X(int1, X86_DB, NO_ERROR, true, 0, "nop", ".byte 0xf1") \
	X(invalid, X86_UD, NO_ERROR, false, 0, "nop", "ud2") \
	X(invalid_lock, X86_UD, NO_ERROR, false, 0, "nop", ".byte 0xf0, 0x90") \
	X(invalid_in_64, X86_UD, NO_ERROR, false, 0, "nop", ".byte 0x06") \
	X(no_fpu, X86_NM, NO_ERROR, false, 0, "mov %cr0, %rax\n or $8, %rax\n mov %rax, %cr0", "fnop") \
	X(selector, X86_GP, 0x1f8, false, 0, "mov $0x1f8, %eax", "mov %eax, %ds") \
	X(selector_ldt, X86_GP, 0x0c, false, 0, "mov $0x0c, %eax", "mov %eax, %es") \
	X(selector_code, X86_GP, 0x28, false, 0, "mov $0x28, %eax\n", "mov %eax, %ss") \
	X(selector_null_ss, X86_GP, 0, false, 0, "pushq $0\n pushq $0\n pushq $2\n pushq $0x33", "lretq") \
	X(absent_segment, X86_NP, 0x60, false, 0, "mov $0x60, %eax", "mov %eax, %ds") \
	X(absent_stack, X86_SS_FAULT, 0x60, false, 0, "mov $0x60, %eax", "mov %eax, %ss") \
	X(noncanonical, X86_GP, 0, false, 0, "mov $0x800000000000, %rax", "mov (%rax), %ecx") \
	X(noncanonical_stack, X86_SS_FAULT, 0, false, 0, "mov $0x800000000000, %rbp", "mov (%rbp), %ecx") \
	X(not_present_read, X86_PF, 0, false, 0x60010, "mov $0x60010, %eax", "mov (%rax), %ecx") \
	X(not_present_write, X86_PF, 2, false, 0x60013, "mov $0x60010, %eax", "mov %ecx, 3(%rax)") \
	X(not_present_rmw, X86_PF, 2, false, 0x60013, "mov $0x60010, %eax", "incl 3(%rax)") \
	X(write_protected, X86_PF, 3, false, 0x61000, "mov $0x61000, %eax", "movb $1, (%rax)") \
	X(reserved_bit, X86_PF, 9, false, 0x62004, "mov $0x62000, %eax", "mov 4(%rax), %ecx") \
	X(no_execute, X86_PF, 0x11, false, 0x63000, "mov $0x63000, %eax", "no_execute_x: call *%rax") \
	X(second_page, X86_PF, 0, false, 0x60000, "mov $0x5fffe, %eax", "mov (%rax), %ecx") \
	X(second_page_write, X86_PF, 2, false, 0x60000, "mov $0x5fffe, %eax", "mov %ecx, (%rax)") \
	X(not_mapped_at_all, X86_PF, 0, false, 0x7000000000, "mov $0x7000000000, %rax", "mov (%rax), %ecx") \
	X(software_128, 128, NO_ERROR, true, 0, "nop", "int $128") \
	X(port_of_vector_3, X86_BP, NO_ERROR, true, 0, "nop", "int $3") \
	X(idt_limit, X86_GP, 255 << 3 | 2, false, 0, "nop", "int $255") \
	X(absent_gate, X86_NP, 254 << 3 | 2, false, 0, "nop", "int $254") \
	X(mov_cr_reserved, X86_GP, 0, false, 0, "mov $0x80000000, %eax\n", "mov %rax, %cr0") \
	X(mov_cr4_reserved, X86_GP, 0, false, 0, "mov $1, %rax\n shl $40, %rax", "mov %rax, %cr4") \
	X(mov_dr_6_high, X86_GP, 0, false, 0, "mov $1, %rax\n shl $40, %rax", "mov %rax, %dr6") \
	X(vmrun, X86_UD, NO_ERROR, false, 0, "nop", ".byte 0x0f, 0x01, 0xd8") \
	X(rdpmc, X86_GP, 0, false, 0, "mov $77, %ecx", "rdpmc") \
	X(xsetbv, X86_UD, NO_ERROR, false, 0, "xor %ecx, %ecx", "xsetbv") \
	X(align_check_off, X86_UD, NO_ERROR, false, 0, "pushf\n orl $0x40000, (%rsp)\n popf\n mov 1(%rsp), %eax", "ud2") \
	X(too_long, X86_GP, 0, false, 0, "nop", ".fill 15, 1, 0x66\n nop") \
	X(debug_register, X86_DB, NO_ERROR, true, 0, \
	  "mov $0x50008, %eax\n mov %rax, %dr0\n mov $0x000d0401, %eax\n mov %rax, %dr7", "mov %ecx, 0x50008") \
	X(debug_execute, X86_DB, NO_ERROR, false, 0, \
	  "lea fault_debug_execute_at(%rip), %rax\n mov %rax, %dr1\n mov $0x404, %eax\n mov %rax, %dr7", "nop") \
	X(debug_detect, X86_DB, NO_ERROR, false, 0, "mov $0x2400, %eax\n mov %rax, %dr7", "mov %dr0, %rcx") \
	X(trap_flag, X86_DB, NO_ERROR, true, 0, "pushf\n orl $0x100, (%rsp)\n popf", "nop")

#define DECLARE(name, vector, error, trap, cr2, before, at) FAULT(fault_##name, before, at) FAULT_LABELS(fault_##name)
EACH_FAULT(DECLARE)

static const struct fault {
	const char *name;
	unsigned vector;
	u64 error;
	bool trap;
	u64 cr2;
	const u8 *code, *end, *at, *after;
} faults[] = {
#define ROW(name, vector, error, trap, cr2, before, at) \
	{ #name, vector, error, trap, cr2, fault_##name, fault_##name##_end, fault_##name##_at, fault_##name##_after },
	EACH_FAULT(ROW)
};

static void fault_prepare(struct tiny *t)
{
	tiny_put(t, tiny_pte(0x60000), 8, 0);
	tiny_put(t, tiny_pte(0x61000), 8, 0x61000 | 5);
	tiny_put(t, tiny_pte(0x62000), 8, 0x62000 | 1ull << 51 | 7);
	tiny_put(t, tiny_pte(0x63000), 8, 0x63000 | 1ull << 63 | 7);
	tiny_put(t, TINY_GDT + 0x60, 8, 0x00cf13000000ffff);
	tiny_put(t, TINY_IDT + 16 * 254 + 5, 1, 0x6e);
}

static void fault_check(struct tiny *t, const struct fault *f)
{
	u64 sp, rip = AT(f->code, f->trap ? f->after : f->at);
	struct kvm_regs r;

	if (!EXPECT_VECTOR(t, 0, f->vector))
		return;
	r = tiny_regs(t, 0);
	sp = r.rsp;
	if (f->error != NO_ERROR) {
		EXPECT_EQ(tiny_get(t, sp, 8), f->error);
		sp += 8;
	}
	if (f->vector == X86_PF && (f->error & 0x10))
		rip = f->cr2;			/* the page that must not be executed */
	EXPECT_EQ(tiny_get(t, sp, 8), rip);
	EXPECT_EQ(tiny_get(t, sp + 8, 8), SEL_CODE64);
	EXPECT_EQ(tiny_get(t, sp + 32, 8), SEL_DATA);
	EXPECT_EQ(tiny_get(t, sp + 16, 8) & 2, 2);
	EXPECT_EQ(sp & 15, 8);			/* the frame begins aligned */
	if (f->vector == X86_PF)
		EXPECT_EQ(tiny_sregs(t, 0).cr2, f->cr2);
}

static const struct fault *fault_now;

static void exception_finds_its_handler(struct tiny *t)
{
	struct kvm_sregs s;

	fault_prepare(t);
	s = tiny_sregs(t, 0);
	s.idt.limit = 16 * 255 - 1;
	tiny_set_sregs(t, 0, &s);
	fault_check(t, fault_now);
}

static void exceptions_find_their_handlers(void)
{
	for (fault_now = faults; fault_now < faults + ARRAY_LEN(faults); fault_now++) {
		char name[64];

		snprintf(name, sizeof(name), "exception_%s", fault_now->name);
		tiny_test(name, (struct tiny_test){ TINY_64, fault_now->code, fault_now->end, exception_finds_its_handler });
	}
}

CODE64(user_faults,
	/* to user mode: SS, RSP, RFLAGS, CS, RIP */
	"pushq $0x23\n" "pushq $0x58000\n" "pushq $0x202\n" "pushq $0x33\n"
	"lea 1f(%rip), %rax\n" "push %rax\n" "iretq\n"
	"1: mov 0x70000, %eax\n" "user_faults_2: mov %eax, 0x71000\n" "user_faults_3: hlt\n" "user_faults_4: cli\n"
	"user_faults_5: in $0x20, %al\n" "user_faults_6: mov %cr0, %rax\n" "user_faults_7: int $33\n" "user_faults_8: nop\n"
	"user_faults_9: mov 0x72000, %eax\n" "user_faults_10: " DONE "1: jmp 1b\n")
LABEL(user_faults_2) LABEL(user_faults_3) LABEL(user_faults_4) LABEL(user_faults_5)
LABEL(user_faults_6) LABEL(user_faults_7) LABEL(user_faults_8) LABEL(user_faults_10)

static void user_mode_faults(struct tiny *t)
{
	static const struct { unsigned vector; u32 error; u64 cr2; const u8 *resume; bool has_error; } expected[] = {
		{ X86_PF, 5, 0x70000, user_faults_2, true }, { X86_PF, 7, 0x71000, user_faults_3, true },
		{ X86_GP, 0, 0, user_faults_4, true }, { X86_GP, 0, 0, user_faults_5, true },
		{ X86_GP, 0, 0, user_faults_6, true }, { X86_GP, 0, 0, user_faults_7, true },
		{ X86_GP, 33 << 3 | 2, 0, user_faults_8, true }, { X86_PF, 4, 0x72000, user_faults_10, true },
	};

	tiny_put(t, tiny_pte(0x70000), 8, 0x70000 | 3);		/* supervisor's */
	tiny_put(t, tiny_pte(0x71000), 8, 0x71000 | 3);
	tiny_put(t, tiny_pte(0x72000), 8, 0);
	tiny_put(t, TINY_IDT + 16 * 33 + 5, 1, 0x8e);		/* DPL 0 */
	for (unsigned n = 0; n < ARRAY_LEN(expected); n++) {
		struct kvm_regs r;
		struct kvm_sregs s;

		if (!EXPECT_VECTOR(t, 0, expected[n].vector))
			return;
		r = tiny_regs(t, 0);
		s = tiny_sregs(t, 0);
		EXPECT_EQ(s.cs.selector, SEL_CODE64);
		EXPECT_EQ(s.ss.selector, 0);			/* a null one, in 64-bit mode */
		EXPECT_EQ(r.rsp, TINY_STACK - 0x800 - 48);
		EXPECT_EQ(tiny_get(t, r.rsp, 8), expected[n].error);
		EXPECT_EQ(tiny_get(t, r.rsp + 16, 8), SEL_USER64);
		EXPECT_EQ(tiny_get(t, r.rsp + 32, 8), 0x58000);
		EXPECT_EQ(tiny_get(t, r.rsp + 40, 8), SEL_USER_DATA);
		if (expected[n].vector == X86_PF)
			EXPECT_EQ(s.cr2, expected[n].cr2);
		/* Back to user mode by hand: an IRETQ at 0x17000. */
		tiny_put(t, r.rsp + 8, 8, AT(user_faults, expected[n].resume));
		if (n == ARRAY_LEN(expected) - 1)
			tiny_put(t, r.rsp + 24, 8, 0x3202);	/* IOPL 3, for the OUT */
		tiny_put(t, 0x17000, 2, 0xcf48);
		r.rip = 0x17000;
		r.rsp += 8;
		tiny_set_regs(t, 0, &r);
	}
	EXPECT_DONE(t, 0);
}

CODE64(double_fault, "mov 0x60000, %eax\n" "ud2\n")

static void a_fault_during_delivery_is_a_double_fault(struct tiny *t)
{
	struct kvm_regs r;

	tiny_put(t, tiny_pte(0x60000), 8, 0);
	tiny_put(t, TINY_IDT + 16 * X86_PF, 8, 0);	/* no gate for #PF: #NP while delivering */
	EXPECT_VECTOR(t, 0, X86_DF);
	r = tiny_regs(t, 0);
	EXPECT_EQ(tiny_get(t, r.rsp, 8), 0);
	EXPECT_EQ(tiny_get(t, r.rsp + 8, 8), TINY_CODE);
}

CODE64(stack_fault, "mov $0x61000, %esp\n" "ud2\n")

static void a_stack_that_is_not_there(struct tiny *t)
{
	/* #UD cannot be pushed: #PF instead, which cannot be pushed either: #DF on its own stack. */
	tiny_put(t, tiny_pte(0x60000), 8, 0);
	tiny_put(t, TINY_IDT + 16 * X86_DF + 4, 1, 1);	/* IST 1 */
	tiny_put(t, TINY_TSS + 36, 8, 0x68000);
	EXPECT_VECTOR(t, 0, X86_DF);
	EXPECT_EQ(tiny_regs(t, 0).rsp, 0x68000 - 48);
	EXPECT_EQ(tiny_sregs(t, 0).cr2, 0x60ff8);
}

CODE64(device_stack, "mov $0x400800, %esp\n" "ud2\n")

static void delivery_into_a_device_is_an_internal_error(struct tiny *t)
{
	EXPECT_EXIT(t, 0, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(t->cpu[0].run->internal.suberror, KVM_INTERNAL_ERROR_DELIVERY_EV);
}

CODE32(protected_faults,
	"mov $0x1000, %eax\n" "mov %eax, %ebx\n" "bound_at: bound %eax, 0x50000\n" "bound_after: nop\n"
	"movb $0x7f, %al\n" "add $1, %al\n" "into_at: into\n" "into_after: aam $0\n" "aam_after: .byte 0xd6\n")
LABEL(bound_at) LABEL(bound_after) LABEL(into_after) LABEL(aam_after)

static void faults_of_32_bit_mode(struct tiny *t)
{
	struct kvm_regs r;

	tiny_put(t, TINY_DATA, 8, 0x5ull << 32);	/* bounds 0 and 5 */
	EXPECT_VECTOR(t, 0, X86_BR);
	r = tiny_regs(t, 0);
	EXPECT_EQ(tiny_get(t, r.rsp, 4), AT(protected_faults, bound_at));
	EXPECT_EQ(tiny_get(t, r.rsp + 4, 4), SEL_CODE32);
	r.rip = AT(protected_faults, bound_after);
	tiny_set_regs(t, 0, &r);
	EXPECT_VECTOR(t, 0, X86_OF);
	r = tiny_regs(t, 0);
	EXPECT_EQ(tiny_get(t, r.rsp, 4), AT(protected_faults, into_after));
	r.rip = AT(protected_faults, into_after);
	tiny_set_regs(t, 0, &r);
	EXPECT_VECTOR(t, 0, X86_DE);
	EXPECT_EQ(tiny_get(t, tiny_regs(t, 0).rsp, 4), AT(protected_faults, into_after));
}

CODE16(real_faults, "xor %cx, %cx\n" "div %cx\n")

static void faults_of_real_mode(struct tiny *t)
{
	struct kvm_regs r;

	EXPECT_VECTOR(t, 0, X86_DE);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rsp, 0x8000 - 6);
	EXPECT_EQ(tiny_get(t, r.rsp, 2), 2);
	EXPECT_EQ(tiny_get(t, r.rsp + 2, 2), 0x1000);
}

/* --- interrupts --------------------------------------------------------------------------------- */

/* Interrupts may come at the labels marked open, and nowhere else. */
CODE64(window_loop,
	"window_1: cli\n" "window_2: nop\n"
	"window_3: sti\n" "window_4: nop\n"		/* shadow */
	"window_5: nop\n"				/* open */
	"window_6: cli\n"				/* open */
	"window_7: sti\n" "window_8: cli\n"		/* in the shadow: nothing gets through */
	"window_9: pushf\n" "window_10: orl $0x200, (%rsp)\n" "window_11: popf\n"
	"window_12: nop\n"				/* open: POPF has no shadow */
	"window_13: pushf\n"				/* open */
	"window_14: andl $~0x200, (%rsp)\n"		/* open */
	"window_15: popf\n"				/* open */
	"window_16: nop\n"
	"window_17: sti\n" "window_18: mov %ss, %eax\n"	/* shadow */
	"window_19: mov %eax, %ss\n"			/* open */
	"window_20: nop\n"				/* shadow of MOV SS */
	"window_21: nop\n"				/* open */
	"window_22: jmp window_1\n")			/* open */
#define WINDOWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) \
	X(18) X(19) X(20) X(21) X(22)
#define WINDOW_LABEL(n) LABEL(window_##n)
WINDOWS(WINDOW_LABEL)

static const u8 *const window_at[] = {
#define WINDOW_ROW(n) window_##n,
	WINDOWS(WINDOW_ROW)
};
static const bool window_open[] = {
	false, false, false, false, true, true, false, false, false, false, false,
	true, true, true, true, false, false, false, true, false, true, true,
};
#define WINDOWS_COUNT ARRAY_LEN(window_at)

static unsigned window_number(u64 rip)
{
	for (unsigned n = 0; n < WINDOWS_COUNT; n++)
		if (AT(window_loop, window_at[n]) == rip)
			return n;
	return ~0u;
}

/* Run until the guest is before instruction n of the loop, in the n-th instruction's own state. */
static void window_go_to(struct tiny *t, unsigned n)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

	MUST(cpu_ioctl(t, 0, KVM_SET_GUEST_DEBUG, &debug));
	/* A step over MOV SS ends behind the instruction after it. */
	for (unsigned steps = 0; steps < 2 * WINDOWS_COUNT; steps++) {
		if (!EXPECT_EXIT(t, 0, KVM_EXIT_DEBUG))
			return;
		if (tiny_regs(t, 0).rip == AT(window_loop, window_at[n]))
			break;
	}
	debug.control = 0;
	MUST(cpu_ioctl(t, 0, KVM_SET_GUEST_DEBUG, &debug));
}

static void interrupts_come_through_windows_only(struct tiny *t)
{
	struct kvm_run *run = t->cpu[0].run;

	for (unsigned from = 1; from < WINDOWS_COUNT; from++) {
		unsigned expected = from, at;
		struct kvm_regs r;

		if (from == 19)
			continue;	/* no step ends there: MOV SS holds the trap back */
		window_go_to(t, from);
		while (!window_open[expected])
			expected = (expected + 1) % WINDOWS_COUNT;
		run->request_interrupt_window = 1;
		if (!run->ready_for_interrupt_injection) {
			EXPECT(from != expected);
			if (!EXPECT_EXIT(t, 0, KVM_EXIT_IRQ_WINDOW_OPEN))
				return;
			EXPECT(run->ready_for_interrupt_injection && run->if_flag);
		} else {
			EXPECT_EQ(from, expected);
		}
		run->request_interrupt_window = 0;
		at = window_number(tiny_regs(t, 0).rip);
		if (at != expected)
			fprintf(stderr, "  wanted from instruction %u on\n", from + 1);
		EXPECT_EQ(at + 1, expected + 1);
		EXPECT_EQ(cpu_ioctl(t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x40 + from }), 0);
		if (!EXPECT_VECTOR(t, 0, 0x40 + from))
			return;
		r = tiny_regs(t, 0);
		EXPECT_EQ(window_number(tiny_get(t, r.rsp, 8)), at);
		EXPECT(tiny_get(t, r.rsp + 16, 8) & X86_FLAG_IF);
		EXPECT(!(r.rflags & X86_FLAG_IF));
		/* Begin again. */
		r.rip = TINY_CODE;
		r.rsp = TINY_STACK;
		r.rflags = 2;
		tiny_set_regs(t, 0, &r);
	}
}

CODE64(sti_hlt, "sti\n" "hlt\n" "sti_hlt_after: nop\n" DONE)
LABEL(sti_hlt_after)

static void sti_hlt_wakes_behind_the_hlt(struct tiny *t)
{
	struct kvm_run *run = t->cpu[0].run;

	run->request_interrupt_window = 1;
	EXPECT_EXIT(t, 0, KVM_EXIT_HLT);	/* the shadow covers HLT */
	EXPECT_EQ(tiny_regs(t, 0).rip, AT(sti_hlt, sti_hlt_after));
	EXPECT(run->ready_for_interrupt_injection);
	EXPECT_EQ(cpu_ioctl(t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x33 }), 0);
	run->request_interrupt_window = 0;
	EXPECT_VECTOR(t, 0, 0x33);
	EXPECT_EQ(tiny_get(t, tiny_regs(t, 0).rsp, 8), AT(sti_hlt, sti_hlt_after));
}

CODE64(count_interrupts,
	"sti\n" "xor %ebx, %ebx\n"
	"1: inc %rax\n" "cmp $100, %ebx\n" "jb 1b\n" DONE
	"count_handler: inc %ebx\n" "iretq\n")
LABEL(count_handler)

static void a_hundred_interrupts_are_a_hundred(struct tiny *t)
{
	struct kvm_run *run = t->cpu[0].run;
	unsigned given = 0;

	tiny_gate(t, TINY_64, 0x50, AT(count_interrupts, count_handler));
	run->request_interrupt_window = 1;
	while (given < 100) {
		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IRQ_WINDOW_OPEN))
			return;
		EXPECT_EQ(cpu_ioctl(t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x50 }), 0);
		given++;
	}
	run->request_interrupt_window = 0;
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rbx, 100);
}

CODE64(interrupt_nesting,
	"sti\n" "1: nop\n" "jmp 1b\n"
	"nesting_handler: out %al, $0x55\n" "sti\n" "nop\n" "nop\n" "iretq\n"
	"nesting_second: out %al, $0x56\n" "iretq\n")
LABEL(nesting_handler) LABEL(nesting_second)

static void an_interrupt_handler_is_interrupted_after_its_sti(struct tiny *t)
{
	struct kvm_run *run = t->cpu[0].run;

	tiny_gate(t, TINY_64, 0x50, AT(interrupt_nesting, nesting_handler));
	tiny_gate(t, TINY_64, 0x51, AT(interrupt_nesting, nesting_second));
	run->request_interrupt_window = 1;
	EXPECT_EXIT(t, 0, KVM_EXIT_IRQ_WINDOW_OPEN);
	cpu_ioctl(t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x50 });
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	EXPECT_EQ(run->io.port, 0x55);
	EXPECT(!run->ready_for_interrupt_injection);
	EXPECT_EXIT(t, 0, KVM_EXIT_IRQ_WINDOW_OPEN);
	cpu_ioctl(t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x51 });
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	EXPECT_EQ(run->io.port, 0x56);
	/* The frame says that it came one instruction after the shadow. */
	EXPECT_EQ(tiny_get(t, tiny_regs(t, 0).rsp, 8), AT(interrupt_nesting, nesting_handler) + 4);
}

CODE64(delivery_fault,
	"sti\n" "mov $0x61000, %esp\n" "1: nop\n" "jmp 1b\n"
	"delivery_pf: pop %rcx\n" "orl $3, (%rdi)\n" "mov %cr3, %rax\n" "mov %rax, %cr3\n" "iretq\n")
LABEL(delivery_pf)

/* The stack is not mapped when the interrupt is delivered: #PF, then the interrupt is gone (as on
 * silicon: the client's interrupt has been acknowledged) unless the controller asks again. */
static void a_page_fault_while_an_interrupt_is_delivered(struct tiny *t)
{
	struct kvm_run *run = t->cpu[0].run;
	struct kvm_regs r;

	tiny_put(t, tiny_pte(0x60000), 8, 0x60000);		/* not present, but complete otherwise */
	tiny_put(t, TINY_IDT + 16 * X86_PF + 4, 1, 1);
	tiny_put(t, TINY_TSS + 36, 8, 0x68000);
	run->request_interrupt_window = 1;
	EXPECT_EXIT(t, 0, KVM_EXIT_IRQ_WINDOW_OPEN);
	run->request_interrupt_window = 0;
	cpu_ioctl(t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x50 });
	EXPECT_VECTOR(t, 0, X86_PF);
	r = tiny_regs(t, 0);
	EXPECT_EQ(tiny_get(t, r.rsp, 8), 2);
	EXPECT_EQ(tiny_sregs(t, 0).cr2, 0x60ff8);
}

/* A nested page fault in the middle of delivery: the event is delivered once, all the same. */
static void delivery_into_memory_not_touched_before(struct tiny *t)
{
	struct kvm_run *run = t->cpu[0].run;

	tiny_gate(t, TINY_64, 0x50, TINY_HANDLER + 4 * 0x50);
	run->request_interrupt_window = 1;
	EXPECT_EXIT(t, 0, KVM_EXIT_IRQ_WINDOW_OPEN);
	run->request_interrupt_window = 0;
	/* Put the slot anew: every nested page is gone, and comes back during the delivery. */
	MUST(tiny_slot(t, 0, 0, NULL, 0, 0));
	MUST(tiny_slot(t, 0, 0, t->memory, TINY_BYTES, 0));
	cpu_ioctl(t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x50 });
	EXPECT_VECTOR(t, 0, 0x50);
	EXPECT_EQ(tiny_regs(t, 0).rsp, 0x61000 - 40);
}

/* --- NMI ----------------------------------------------------------------------------------------- */

CODE64(nmi_guest,
	"nmi_idle: out %al, $0x60\n" "jmp nmi_idle\n"
	"nmi_handler: out %al, $0x61\n" "nmi_inside: out %al, $0x62\n" "iretq\n")
LABEL(nmi_handler) LABEL(nmi_inside)

static bool next_out(struct tiny *t, u16 port)
{
	int r = tiny_run(t, 0);

	if (r == KVM_EXIT_IO && tiny_is_out(t->cpu[0].run, port))
		return true;
	fprintf(stderr, "  expected OUT to %#x\n", port);
	tiny_describe(t, 0, r);
	test_failures++;
	return false;
}

static void nmis_block_until_iret(struct tiny *t)
{
	struct kvm_vcpu_events e;

	tiny_gate(t, TINY_64, X86_NMI, AT(nmi_guest, nmi_handler));
	next_out(t, 0x60);
	MUST(cpu_ioctl(t, 0, KVM_NMI, NULL));
	next_out(t, 0x61);		/* although IF is 0 */
	MUST(cpu_ioctl(t, 0, KVM_GET_VCPU_EVENTS, &e));
	EXPECT(e.nmi.masked);
	MUST(cpu_ioctl(t, 0, KVM_NMI, NULL));
	MUST(cpu_ioctl(t, 0, KVM_NMI, NULL));	/* the third is lost */
	next_out(t, 0x62);		/* not yet: it is blocked */
	MUST(cpu_ioctl(t, 0, KVM_GET_VCPU_EVENTS, &e));
	EXPECT(e.nmi.masked && e.nmi.pending);
	next_out(t, 0x61);		/* IRET, then the second at once */
	EXPECT_EQ(tiny_regs(t, 0).rsp, TINY_STACK - 40);
	next_out(t, 0x62);
	next_out(t, 0x60);
	next_out(t, 0x60);
	MUST(cpu_ioctl(t, 0, KVM_GET_VCPU_EVENTS, &e));
	EXPECT(!e.nmi.masked && !e.nmi.pending && !e.nmi.injected);
}

CODE64(nmi_iret_fault,
	"1: out %al, $0x60\n" "jmp 1b\n"
	"nmi_fault_handler: out %al, $0x61\n" "movq $0x1f8, 8(%rsp)\n" "iretq\n"	/* a bad CS: #GP */
	"nmi_fault_gp: out %al, $0x63\n" "add $8, %rsp\n" "movq $0x28, 32+8+8(%rsp)\n" "hlt\n")
LABEL(nmi_fault_handler) LABEL(nmi_fault_gp)

/* An IRET that faults ends the blocking all the same (AMD: the IRET intercept is before it). */
static void a_faulting_iret_and_nmis(struct tiny *t)
{
	tiny_gate(t, TINY_64, X86_NMI, AT(nmi_iret_fault, nmi_fault_handler));
	tiny_gate(t, TINY_64, X86_GP, AT(nmi_iret_fault, nmi_fault_gp));
	next_out(t, 0x60);
	MUST(cpu_ioctl(t, 0, KVM_NMI, NULL));
	next_out(t, 0x61);
	next_out(t, 0x63);
	EXPECT_EXIT(t, 0, KVM_EXIT_HLT);
}

CODE64(nmi_shadow,
	"mov %ss, %eax\n" "1: out %al, $0x60\n" "mov %eax, %ss\n" "nmi_shadow_2: nop\n" "nmi_shadow_3: nop\n" "jmp 1b\n")
LABEL(nmi_shadow_2) LABEL(nmi_shadow_3)

static void an_nmi_waits_for_the_shadow_of_mov_ss(struct tiny *t)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	struct kvm_vcpu_events e;
	struct kvm_regs r;

	/* Put the guest behind MOV SS, in its shadow. */
	next_out(t, 0x60);
	MUST(cpu_ioctl(t, 0, KVM_SET_GUEST_DEBUG, &debug));
	EXPECT_EXIT(t, 0, KVM_EXIT_DEBUG);
	debug.control = 0;
	MUST(cpu_ioctl(t, 0, KVM_SET_GUEST_DEBUG, &debug));
	r = tiny_regs(t, 0);
	r.rip = AT(nmi_shadow, nmi_shadow_2);
	tiny_set_regs(t, 0, &r);
	MUST(cpu_ioctl(t, 0, KVM_GET_VCPU_EVENTS, &e));
	EXPECT_EQ(e.interrupt.shadow, 0);
	e.interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS;
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	MUST(cpu_ioctl(t, 0, KVM_SET_VCPU_EVENTS, &e));
	MUST(cpu_ioctl(t, 0, KVM_GET_VCPU_EVENTS, &e));
	EXPECT(e.interrupt.shadow);
	MUST(cpu_ioctl(t, 0, KVM_NMI, NULL));
	EXPECT_VECTOR(t, 0, X86_NMI);
	EXPECT_EQ(tiny_get(t, tiny_regs(t, 0).rsp, 8), AT(nmi_shadow, nmi_shadow_3));
}

/* --- single steps ----------------------------------------------------------------------------------- */

CODE64(steps,
	"steps_0: mov $3, %ecx\n"
	"steps_1: mov $0x50000, %edi\n"
	"steps_2: rep stosb\n"			/* a step an iteration */
	"steps_3: pushf\n"
	"steps_4: pop %rbp\n"
	"steps_5: cpuid\n"
	"steps_6: mov 0x400000, %eax\n"		/* device */
	"steps_7: out %al, $0x77\n"
	"steps_8: mov %ss, %edx\n"
	"steps_9: mov %edx, %ss\n"		/* no step ends here */
	"steps_10: call 1f\n"
	"steps_11: push $0\n" "steps_12: popf\n"
	"steps_13: rdmsr\n"			/* faults: the next is the handler */
	"1: ret\n")
LABEL(steps_1) LABEL(steps_2) LABEL(steps_3) LABEL(steps_4) LABEL(steps_5) LABEL(steps_6) LABEL(steps_7) LABEL(steps_8)
LABEL(steps_9) LABEL(steps_11) LABEL(steps_12) LABEL(steps_13)

static void single_steps_see_every_instruction(struct tiny *t)
{
	static const u8 *const expected[] = {
		steps_1, steps_2, steps_2, steps_2, steps_3, steps_4, steps_5, steps_6, steps_7, steps_8, steps_9,
		steps_end - 1, steps_11, steps_12, steps_13,
	};
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	struct kvm_run *run = t->cpu[0].run;

	EXPECT_EQ(cpu_ioctl(t, 0, KVM_SET_GUEST_DEBUG, &debug), 0);
	for (unsigned n = 0; n < ARRAY_LEN(expected); n++) {
		int r = tiny_run(t, 0);
		u64 rip = AT(steps, expected[n]);

		if (r == KVM_EXIT_MMIO || r == KVM_EXIT_IO) {
			memset(run->mmio.data, 0, r == KVM_EXIT_MMIO ? 4 : 0);
			r = tiny_run(t, 0);
		}
		if (expected[n] == steps_13)	/* the number of an MSR that is not there */
			tiny_set_regs(t, 0, &(struct kvm_regs){ .rip = rip, .rcx = 0xbad, .rsp = TINY_STACK,
								.rflags = 2, .rbp = tiny_regs(t, 0).rbp });
		EXPECT_EQ(r, KVM_EXIT_DEBUG);
		EXPECT_EQ(tiny_regs(t, 0).rip, rip);
		EXPECT_EQ(run->debug.arch.pc, rip);
		EXPECT_EQ(run->debug.arch.exception, X86_DB);
		EXPECT(run->debug.arch.dr6 & 1 << 14);
		EXPECT(!(tiny_regs(t, 0).rflags & X86_FLAG_TF));
		if (r != KVM_EXIT_DEBUG)
			break;
	}
	EXPECT(!(tiny_regs(t, 0).rbp & X86_FLAG_TF));	/* the guest does not see it */
	/* As with KVM, a handler is not stepped: delivery clears TF. */
	EXPECT_VECTOR(t, 0, X86_GP);
}

CODE64(break_points, "nop\n" "int3\n" "break_points_after: int3\n" DONE)
LABEL(break_points_after)

static void breakpoints_of_the_client(struct tiny *t)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };
	struct kvm_regs r;

	MUST(cpu_ioctl(t, 0, KVM_SET_GUEST_DEBUG, &debug));
	EXPECT_EXIT(t, 0, KVM_EXIT_DEBUG);
	EXPECT_EQ(t->cpu[0].run->debug.arch.exception, X86_BP);
	EXPECT_EQ(t->cpu[0].run->debug.arch.pc, TINY_CODE + 1);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rip, TINY_CODE + 1);
	r.rip++;
	tiny_set_regs(t, 0, &r);
	debug.control = 0;
	MUST(cpu_ioctl(t, 0, KVM_SET_GUEST_DEBUG, &debug));
	EXPECT_VECTOR(t, 0, X86_BP);		/* now it is the guest's */
	EXPECT_EQ(tiny_get(t, tiny_regs(t, 0).rsp, 8), TINY_CODE + 3);
}

CODE64(debug_accesses, "nop\n" "mov %dr0, %rax\n" DONE)

/* DR7.GD of the client: it hears of accesses to the debug registers, and the guest does not. */
static void debug_register_accesses_for_the_client(struct tiny *t)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP };
	struct kvm_debugregs d;

	debug.arch.debugreg[7] = 0x2400;
	MUST(cpu_ioctl(t, 0, KVM_SET_GUEST_DEBUG, &debug));
	EXPECT_EXIT(t, 0, KVM_EXIT_DEBUG);
	EXPECT_EQ(t->cpu[0].run->debug.arch.exception, X86_DB);
	EXPECT_EQ(t->cpu[0].run->debug.arch.pc, TINY_CODE + 1);
	EXPECT_EQ(t->cpu[0].run->debug.arch.dr6, 0xffff2ff0);
	MUST(cpu_ioctl(t, 0, KVM_GET_DEBUGREGS, &d));
	EXPECT_EQ(d.dr6, 0xffff0ff0);
	debug.control = 0;
	MUST(cpu_ioctl(t, 0, KVM_SET_GUEST_DEBUG, &debug));
	EXPECT_DONE(t, 0);
}

CODE64(guest_steps,
	"lea 1f(%rip), %rax\n" "pushf\n" "orl $0x100, (%rsp)\n" "popf\n"
	"nop\n" "mov 0x400000, %ebx\n" "out %al, $0x77\n" "xor %eax, %eax\n" "cpuid\n"
	"pushf\n" "andl $~0x100, (%rsp)\n" "popf\n" "nop\n" DONE
	"1: "
	"guest_steps_db: inc %r15\n" "iretq\n")
LABEL(guest_steps_db)

/* The guest's own TF: a trap behind each instruction, emulated ones included, POPF's the last. */
static void the_guest_steps_itself(struct tiny *t)
{
	tiny_gate(t, TINY_64, X86_DB, AT(guest_steps, guest_steps_db));
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE, 4, 5);
	next_out(t, 0x77);
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).r15, 8);
	EXPECT_EQ(tiny_regs(t, 0).rbx != 5, 1);	/* CPUID overwrote it */
}

/* Alignment is checked in user mode only, when CR0.AM and RFLAGS.AC are set. */
CODE64(unaligned, "mov %cr0, %rax\n" "or $0x40000, %eax\n" "mov %rax, %cr0\n" "pushfq\n" "orl $0x40000, (%rsp)\n" "popfq\n"
	"mov %eax, 0x60001\n" "push $0x23\n" "push $0x70000\n" "pushfq\n" "push $0x33\n" "lea 1f(%rip), %rax\n" "push %rax\n" "iretq\n"
	"1: mov %ecx, 0x60004\n" "mov %ecx, %ebx\n" "inc %ecx\n" "cmp $5000, %ecx\n" "jb 1b\n"
	"mov %ecx, 0x60005\n")

static void alignment_is_checked(struct tiny *t)
{
	EXPECT_VECTOR(t, 0, X86_AC);
	EXPECT_EQ(tiny_get(t, 0x60004, 4), 4999);
	EXPECT_EQ(tiny_regs(t, 0).rbx, 4999);
}

static void all(void)
{
	exceptions_find_their_handlers();
	TINY_TEST(TINY_64, unaligned, alignment_is_checked);
	TINY_TEST(TINY_64, user_faults, user_mode_faults);
	TINY_TEST(TINY_64, double_fault, a_fault_during_delivery_is_a_double_fault);
	TINY_TEST(TINY_64, stack_fault, a_stack_that_is_not_there);
	TINY_TEST(TINY_64, device_stack, delivery_into_a_device_is_an_internal_error);
	TINY_TEST(TINY_32, protected_faults, faults_of_32_bit_mode);
	TINY_TEST(TINY_REAL, real_faults, faults_of_real_mode);
	TINY_TEST(TINY_64, window_loop, interrupts_come_through_windows_only);
	TINY_TEST(TINY_64, sti_hlt, sti_hlt_wakes_behind_the_hlt);
	TINY_TEST(TINY_64, count_interrupts, a_hundred_interrupts_are_a_hundred);
	TINY_TEST(TINY_64, interrupt_nesting, an_interrupt_handler_is_interrupted_after_its_sti);
	TINY_TEST(TINY_64, delivery_fault, a_page_fault_while_an_interrupt_is_delivered);
	TINY_TEST(TINY_64, delivery_fault, delivery_into_memory_not_touched_before);
	TINY_TEST(TINY_64, nmi_guest, nmis_block_until_iret);
	TINY_TEST(TINY_64, nmi_iret_fault, a_faulting_iret_and_nmis);
	TINY_TEST(TINY_64, nmi_shadow, an_nmi_waits_for_the_shadow_of_mov_ss);
	TINY_TEST(TINY_64, steps, single_steps_see_every_instruction);
	TINY_TEST(TINY_64, break_points, breakpoints_of_the_client);
	TINY_TEST(TINY_64, debug_accesses, debug_register_accesses_for_the_client);
	TINY_TEST(TINY_64, guest_steps, the_guest_steps_itself);
}

int main(void)
{
	tiny_watchdog();
	all();
	return test_status();
}
