// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_event.c - interrupts and exceptions: injection, delivery, windows, shadows
 */
#include <pthread.h>

#include "tests/soft/guest.h"

#define CONTROL (g.vmcb->control)
#define SAVE	(g.vmcb->save)

static struct guest g;

static u64 stack64(unsigned slot)
{
	u64 v;

	memcpy(&v, g.memory + SAVE.rsp + 8 * slot, 8);
	return v;
}

CODE64(code_hlt, "hlt")
CODE32(code_hlt32, "hlt")
CODE16(code_hlt16, "hlt")

static void test_inject(void)
{
	guest_long(&g, code_hlt, code_hlt_end);
	CONTROL.eventinj = guest_event(X86_EVENT_INTR, 0x41);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, 0x41));
	EXPECT_EQ(stack64(0), GUEST_CODE);
	EXPECT_EQ(stack64(1), 0x28);
	EXPECT_EQ(stack64(2), X86_FLAG_1);
	EXPECT(!(CONTROL.eventinj & VMCB_EVENT_V));

	guest_long(&g, code_hlt, code_hlt_end);
	CONTROL.eventinj = guest_event(X86_EVENT_EXCEPTION, X86_GP) | VMCB_EVENT_EV | 0x1234ull << 32;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_GP));
	EXPECT_EQ(stack64(0), 0x1234);
	EXPECT_EQ(stack64(1), GUEST_CODE);

	guest_long(&g, code_hlt, code_hlt_end);		/* software interrupt: returns behind */
	CONTROL.eventinj = guest_event(X86_EVENT_SOFT, 0x80);
	CONTROL.next_rip = GUEST_CODE + 2;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, 0x80));
	EXPECT_EQ(stack64(0), GUEST_CODE + 2);

	guest_protected(&g, code_hlt32, code_hlt32_end);
	CONTROL.eventinj = guest_event(X86_EVENT_NMI, 2);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, 2));

	guest_real(&g, code_hlt16, code_hlt16_end);
	CONTROL.eventinj = guest_event(X86_EVENT_INTR, 8);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, 8));
	EXPECT_EQ(SAVE.rsp, 0x8000 - 6);
}

static void test_exit_during_delivery(void)
{
	guest_long(&g, code_hlt, code_hlt_end);		/* the stack page is not there */
	g.npt[(GUEST_STACK - 8) >> 12] = 0;
	CONTROL.eventinj = guest_event(X86_EVENT_EXCEPTION, X86_NP) | VMCB_EVENT_EV | 0x18ull << 32;
	EXPECT_EQ(guest_run(&g), VMEXIT_NPF);
	EXPECT_EQ(CONTROL.exitinfo2 >> 12, (GUEST_STACK - 8) >> 12);
	EXPECT_EQ(CONTROL.exitinfo1, VMCB_NPF_FINAL | X86_PF_U | X86_PF_W);
	EXPECT_EQ(CONTROL.exitintinfo, guest_event(X86_EVENT_EXCEPTION, X86_NP) | VMCB_EVENT_EV | 0x18ull << 32);
	EXPECT_EQ(SAVE.rip, GUEST_CODE);
	EXPECT_EQ(SAVE.rsp, GUEST_STACK);
	EXPECT_EQ(CONTROL.fetched, 0);
	g.npt[(GUEST_STACK - 8) >> 12] = (u64)(g.memory + ((GUEST_STACK - 8) & ~4095ull)) | 7;
	CONTROL.eventinj = CONTROL.exitintinfo;		/* again */
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_NP));
	EXPECT_EQ(CONTROL.exitintinfo, 0);

	guest_long(&g, code_hlt, code_hlt_end);		/* an exception, intercepted, during delivery */
	*guest_pte(&g, GUEST_IDT) = 0;
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_PF), true);
	CONTROL.eventinj = guest_event(X86_EVENT_INTR, 0x33);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_PF);
	EXPECT_EQ(CONTROL.exitinfo2, GUEST_IDT + 16 * 0x33);
	EXPECT_EQ(CONTROL.exitintinfo, guest_event(X86_EVENT_INTR, 0x33));
}

CODE64(code_int, "int $0x80; hlt")

static void test_exit_during_software_interrupt(void)
{
	guest_long(&g, code_int, code_int_end);
	g.npt[(GUEST_STACK - 8) >> 12] = 0;
	EXPECT_EQ(guest_run(&g), VMEXIT_NPF);
	EXPECT_EQ(CONTROL.exitintinfo, guest_event(X86_EVENT_SOFT, 0x80));
	EXPECT_EQ(SAVE.rip, GUEST_CODE);
	EXPECT_EQ(CONTROL.next_rip, GUEST_CODE + 2);
}

CODE64(code_ud, "ud2")

static void test_double_fault(void)
{
	guest_long(&g, code_ud, code_ud_end);		/* #UD's gate is bad: #GP; then #GP's is: #DF */
	memset(g.memory + GUEST_IDT + 16 * X86_UD, 0, 16);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_NP) || guest_is_in_handler(&g, X86_GP));

	guest_long(&g, code_ud, code_ud_end);
	memset(g.memory + GUEST_IDT, 0, 16 * X86_DF);
	memset(g.memory + GUEST_IDT + 16 * X86_NP, 0, 16 * 6);
	CONTROL.eventinj = guest_event(X86_EVENT_EXCEPTION, X86_GP) | VMCB_EVENT_EV;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_DF));
	EXPECT_EQ(stack64(0), 0);

	guest_long(&g, code_ud, code_ud_end);
	SAVE.idtr.limit = 0;
	EXPECT_EQ(guest_run(&g), VMEXIT_SHUTDOWN);
}

CODE64(code_window, "nop; nop; sti; inc %eax; inc %eax; hlt")

static void virtual_interrupt(unsigned vector, unsigned priority)
{
	CONTROL.int_ctl |= VMCB_INT_CTL_V_IRQ | (u64)priority << VMCB_INT_CTL_PRIO_SHIFT |
			   (u64)vector << VMCB_INT_CTL_VECTOR_SHIFT;
}

static void test_virtual_interrupt(void)
{
	guest_long(&g, code_window, code_window_end);	/* held by IF, then by STI's shadow */
	virtual_interrupt(0x61, 6);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, 0x61));
	EXPECT_EQ(SAVE.rax, 1);
	EXPECT_EQ(stack64(0), GUEST_CODE + 5);
	EXPECT(!(CONTROL.int_ctl & VMCB_INT_CTL_V_IRQ));

	guest_long(&g, code_window, code_window_end);	/* held by V_TPR */
	virtual_interrupt(0x61, 6);
	CONTROL.int_ctl |= 6;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 2);
	EXPECT(CONTROL.int_ctl & VMCB_INT_CTL_V_IRQ);

	guest_long(&g, code_window, code_window_end);	/* ... which may be ignored */
	virtual_interrupt(0x61, 6);
	CONTROL.int_ctl |= 15 | VMCB_INT_CTL_IGN_TPR;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, 0x61));

	guest_long(&g, code_window, code_window_end);	/* the interrupt window */
	virtual_interrupt(0, 15);
	guest_intercept(&g, VMCB_INTERCEPT_VINTR, true);
	EXPECT_EQ(guest_run(&g), VMEXIT_VINTR);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 5);
	EXPECT_EQ(CONTROL.int_state, 0);
	EXPECT(CONTROL.int_ctl & VMCB_INT_CTL_V_IRQ);
}

CODE64(code_cr8, "mov $3, %eax; mov %rax, %cr8; mov %cr8, %rbx; hlt")

static void test_tpr(void)
{
	guest_long(&g, code_cr8, code_cr8_end);
	SAVE.rflags |= X86_FLAG_IF;
	CONTROL.int_ctl |= 15;
	virtual_interrupt(0x55, 5);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, 0x55));
	EXPECT_EQ(CONTROL.int_ctl & 15, 3);
	EXPECT_EQ(stack64(0), GUEST_CODE + 9);
}

CODE64(code_shadow, "sti; hlt")
CODE64(code_mov_ss, "mov %ss, %eax; mov %eax, %ss; hlt")

static void test_shadow(void)
{
	guest_long(&g, code_shadow, code_shadow_end);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(CONTROL.int_state, VMCB_INT_STATE_SHADOW);
	virtual_interrupt(0x61, 6);		/* going on with the shadow set: HLT comes first */
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 1);
	CONTROL.int_state = 0;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, 0x61));

	guest_long(&g, code_mov_ss, code_mov_ss_end);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(CONTROL.int_state, VMCB_INT_STATE_SHADOW);

	guest_long(&g, code_shadow, code_shadow_end);	/* STI with IF set begins no shadow */
	SAVE.rflags |= X86_FLAG_IF;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(CONTROL.int_state, 0);
}

CODE64(code_iret, "mov $0x1234, %ebx; iretq")

static void test_nmi(void)
{
	guest_long(&g, code_hlt, code_hlt_end);
	soft_nmi(g.cpu);
	EXPECT_EQ(guest_run(&g), VMEXIT_NMI);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);

	guest_long(&g, code_hlt, code_hlt_end);		/* injected, IRET intercepted: the window opens */
	memcpy(g.memory + GUEST_HANDLER + 2, code_iret, (size_t)(code_iret_end - code_iret));
	guest_intercept(&g, VMCB_INTERCEPT_IRET, true);
	CONTROL.eventinj = guest_event(X86_EVENT_NMI, 2);
	EXPECT_EQ(guest_run(&g), VMEXIT_IRET);
	EXPECT_EQ(g.gpr[X86_RBX], 0x1234);
	guest_intercept(&g, VMCB_INTERCEPT_IRET, false);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rip, GUEST_CODE);

	guest_long(&g, code_hlt, code_hlt_end);		/* not intercepted: blocked until IRET */
	memcpy(g.memory + GUEST_HANDLER + 2, code_iret, (size_t)(code_iret_end - code_iret));
	guest_intercept(&g, VMCB_INTERCEPT_NMI, false);
	CONTROL.eventinj = guest_event(X86_EVENT_NMI, 2);
	soft_nmi(g.cpu);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rip, GUEST_CODE);
}

CODE64(code_forever, "1: inc %rax; jmp 1b")
CODE64(code_string, "1: mov $0x1000000, %ecx; lea 0x100000, %edi; rep stosb; jmp 1b")

static void *interrupter(void *arg)
{
	usleep(20000);
	soft_interrupt(arg);
	return NULL;
}

static void test_interrupt_pin(void)
{
	pthread_t thread;

	guest_long(&g, code_forever, code_forever_end);
	pthread_create(&thread, NULL, interrupter, g.cpu);
	EXPECT_EQ(guest_run(&g), VMEXIT_INTR);
	pthread_join(thread, NULL);
	EXPECT_EQ(guest_run(&g), VMEXIT_INTR);		/* until it is lowered */
	soft_interrupt_ack(g.cpu);
	EXPECT(SAVE.rax > 1000);

	guest_long(&g, code_hlt, code_hlt_end);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	guest_long(&g, code_hlt, code_hlt_end);		/* out of HLT */
	guest_intercept(&g, VMCB_INTERCEPT_HLT, false);
	pthread_create(&thread, NULL, interrupter, g.cpu);
	EXPECT_EQ(guest_run(&g), VMEXIT_INTR);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 1);
	pthread_join(thread, NULL);
	soft_interrupt_ack(g.cpu);
}

static void test_interrupt_during_string(void)
{
	guest_long(&g, code_string, code_string_end);
	memset(guest_pte(&g, 0x100000), 0, 8);
	soft_interrupt(g.cpu);				/* before the first instruction */
	EXPECT_EQ(guest_run(&g), VMEXIT_INTR);
	EXPECT_EQ(SAVE.rip, GUEST_CODE);
	soft_interrupt_ack(g.cpu);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);		/* #PF at the first byte */
	EXPECT(guest_is_in_handler(&g, X86_PF));
	EXPECT_EQ(SAVE.cr2, 0x100000);
	EXPECT_EQ(g.gpr[X86_RCX], 0x1000000);

	guest_long(&g, code_string, code_string_end);	/* #PF after one page */
	memset(guest_pte(&g, 0x101000), 0, 8);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.cr2, 0x101000);
	EXPECT_EQ(g.gpr[X86_RCX], 0x1000000 - 0x1000);
	EXPECT_EQ(g.gpr[X86_RDI], 0x101000);
}

CODE64(code_step, "inc %eax; inc %eax; inc %eax; hlt")

static void test_single_step(void)
{
	guest_long(&g, code_step, code_step_end);
	SAVE.rflags |= X86_FLAG_TF;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_DB));
	EXPECT_EQ(SAVE.rax, 1);
	EXPECT_EQ(stack64(0), GUEST_CODE + 2);
	EXPECT(SAVE.dr6 & BIT_U64(14));
	EXPECT(!(SAVE.rflags & X86_FLAG_TF));

	guest_long(&g, code_step, code_step_end);
	SAVE.rflags |= X86_FLAG_TF;
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_DB), true);
	for (unsigned n = 1; n <= 3; n++) {
		EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_DB);
		EXPECT_EQ(SAVE.rip, GUEST_CODE + 2 * n);
		EXPECT_EQ(SAVE.rax, n);
	}
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
}

CODE64(code_watch, "inc %eax; mov %eax, 0x5000; mov 0x5004, %ebx; inc %eax; hlt")

static void test_breakpoints(void)
{
	u64 dr[4] = { GUEST_CODE + 2, 0x5000, 0x5004, 0 };

	guest_long(&g, code_watch, code_watch_end);
	soft_debug_load(g.cpu, dr);
	SAVE.dr7 = 0x400 | 1;				/* execution, DR0 */
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_DB), true);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_DB);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 2);
	EXPECT_EQ(SAVE.dr6 & 15, 1);
	SAVE.rflags |= X86_FLAG_RF;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 2);

	guest_long(&g, code_watch, code_watch_end);
	SAVE.dr7 = 0x400 | 4 | 0xd << 20 | 0x10 | 0xfull << 24;	/* write of DR1's dword, any of DR2's */
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_DB), true);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_DB);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 9);
	EXPECT_EQ(SAVE.dr6 & 15, 2);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_DB);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 16);
	EXPECT_EQ(SAVE.dr6 & 15, 4);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
}

/* MOV SS that reads what is watched: the trap comes after INT3's delivery, and is lost by a fault. */
CODE64(code_watched_ss, "mov 0x5004, %ss; int3; hlt")
CODE64(code_watched_ss_fault, "mov 0x5004, %ss; ud2; hlt")

static void test_breakpoint_before_int3(void)
{
	u64 dr[4] = { 0, 0, 0x5004, 0 };

	guest_long(&g, code_watched_ss, code_watched_ss_end);
	soft_debug_load(g.cpu, dr);
	g.memory[0x5004] = (u8)SAVE.ss.selector;
	SAVE.dr7 = 0x400 | 0x10 | 0xfull << 24;
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_DB), true);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_DB);
	EXPECT_EQ(SAVE.rip, GUEST_HANDLER + X86_BP);
	EXPECT_EQ(SAVE.dr6 & 15, 4);
	EXPECT_EQ(stack64(0), GUEST_CODE + (u64)(code_watched_ss_end - code_watched_ss) - 1);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);

	guest_long(&g, code_watched_ss_fault, code_watched_ss_fault_end);
	g.memory[0x5004] = (u8)SAVE.ss.selector;
	SAVE.dr7 = 0x400 | 0x10 | 0xfull << 24;
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_DB), true);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_UD));
}

int main(void)
{
	TEST(test_inject);
	TEST(test_exit_during_delivery);
	TEST(test_exit_during_software_interrupt);
	TEST(test_double_fault);
	TEST(test_virtual_interrupt);
	TEST(test_tpr);
	TEST(test_shadow);
	TEST(test_nmi);
	TEST(test_interrupt_pin);
	TEST(test_interrupt_during_string);
	TEST(test_single_step);
	TEST(test_breakpoints);
	TEST(test_breakpoint_before_int3);
	return test_status();
}
