// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_exec_transfer.c - interrupts, far transfers, tasks and system calls, in every mode
 */
#include "tests/x86/exec_machine.h"

static struct x86_event event_of(unsigned vector, unsigned type)
{
	return (struct x86_event){
		.valid = true, .vector = (u8)vector, .type = (u8)type, .return_rip = 0x1234};
}

/* -- delivery ------------------------------------------------------------------------- */
static void real_mode_interrupt_and_iret(void)
{
	struct x86_event e = event_of(8, X86_EVENT_INTR);

	machine_real();
	put16(8 * 4, 0x5678);
	put16(8 * 4 + 2, 0x0700);
	cpu.rflags |= X86_FLAG_IF | X86_FLAG_CF;
	cpu.seg[X86_CS].selector = 0x0123;
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_OK);
	EXPECT_EQ(cpu.rip, 0x5678);
	EXPECT_EQ(cpu.seg[X86_CS].base, 0x7000);
	EXPECT_EQ(cpu.gpr[X86_RSP], 0xfa);
	EXPECT_EQ(get16(0x200fa), 0x1234);
	EXPECT_EQ(get16(0x200fc), 0x0123);
	EXPECT_EQ(get16(0x200fe), 0x203);
	EXPECT(!(cpu.rflags & X86_FLAG_IF));
	EXPECT(!cpu.delivering.valid);
	EXPECT_EQ(RUN(0xcf), X86_OK);
	EXPECT_EQ(cpu.rip, 0x1234);
	EXPECT_EQ(cpu.seg[X86_CS].base, 0x1230);
	EXPECT_EQ(cpu.rflags, 0x203);
	EXPECT_EQ(cpu.gpr[X86_RSP], 0x100);
	EXPECT(cpu.attention & X86_ATTN_FLAGS);

	cpu.idtr.limit = 0x21;		/* vector 8 is beyond */
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_FAULT);
	EXPECT_EQ(cpu.fault.vector, X86_GP);
	EXPECT(cpu.delivering.valid);
	EXPECT_EQ(cpu.delivering.vector, 8);
}

static void protected_interrupt_from_user(void)
{
	struct x86_event e = event_of(X86_GP, X86_EVENT_EXCEPTION);

	machine_32(3);
	e.has_error = true;
	e.error = 0x55;
	idt_set(X86_GP, gate(CODE0, HANDLER_AT, 0x8e, 0), 0);
	cpu.rflags |= X86_FLAG_IF | X86_FLAG_NT;
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_OK);
	EXPECT_EQ(cpu.cpl, 0);
	EXPECT_EQ(cpu.seg[X86_CS].selector, CODE0);
	EXPECT_EQ(cpu.seg[X86_SS].selector, DATA0);
	EXPECT_EQ(cpu.rip, HANDLER_AT);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 24);
	EXPECT_EQ(get32(STACK0 - 24), 0x55);
	EXPECT_EQ(get32(STACK0 - 20), 0x1234);
	EXPECT_EQ(get32(STACK0 - 16), CODE3);
	/* a fault: RF in the image */
	EXPECT_EQ(get32(STACK0 - 12), X86_FLAG_IF | X86_FLAG_NT | X86_FLAG_RF | 2);
	EXPECT_EQ(get32(STACK0 - 8), STACK3);
	EXPECT_EQ(get32(STACK0 - 4), DATA3);
	EXPECT(!(cpu.rflags & (X86_FLAG_IF | X86_FLAG_NT)));
	EXPECT(get64(GDT + CODE0) >> 40 & 1);			/* accessed */
	EXPECT(mode_changes > 1);

	cpu.gpr[X86_RSP] += 4;
	EXPECT_EQ(RUN(0xcf), X86_OK);				/* and back */
	EXPECT_EQ(cpu.cpl, 3);
	EXPECT_EQ(cpu.rip, 0x1234);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK3);
	EXPECT_EQ(cpu.seg[X86_SS].selector, DATA3);
	EXPECT(cpu.rflags & X86_FLAG_RF);
}

static void protected_interrupt_same_level(void)
{
	struct x86_event e = event_of(0x40, X86_EVENT_INTR);

	machine_32(0);
	idt_set(0x40, gate(CODE0, HANDLER_AT, 0x8f, 0), 0);	/* trap gate: IF stays */
	cpu.rflags |= X86_FLAG_IF;
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 0x1000 - 12);
	EXPECT(cpu.rflags & X86_FLAG_IF);
	EXPECT_EQ(RUN(0xcf), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 0x1000);
	EXPECT_EQ(cpu.rip, 0x1234);

	idt_set(0x41, gate(CODE0, 0x123, 0x86, 0), 0);		/* a 16-bit gate */
	e.vector = 0x41;
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 0x1000 - 6);
	EXPECT_EQ(get16(STACK0 - 0x1000 - 6), 0x1234);
}

static void software_interrupt_needs_permission(void)
{
	machine_32(3);
	idt_set(0x80, gate(CODE0, HANDLER_AT, 0x8e, 0), 0);	/* DPL 0 */
	EXPECT_FAULT(RUN(0xcd, 0x80), X86_GP, 0x80 * 8 + 2);
	EXPECT_EQ(cpu.cpl, 3);
	idt_set(0x80, gate(CODE0, HANDLER_AT, 0xee, 0), 0);
	EXPECT_EQ(RUN(0xcd, 0x80), X86_OK);
	EXPECT_EQ(cpu.rip, HANDLER_AT);
	EXPECT_EQ(get32(STACK0 - 20), CODE + 2);		/* returns behind it */

	machine_32(3);
	idt_set(0x80, gate(CODE0, HANDLER_AT, 0x6e, 0), 0);
	EXPECT_FAULT(RUN(0xcd, 0x80), X86_NP, 0x80 * 8 + 2);
	idt_set(0x80, gate(CODE0, HANDLER_AT, 0xed, 0), 0);
	EXPECT_FAULT(RUN(0xcd, 0x80), X86_GP, 0x80 * 8 + 2);	/* not a gate for interrupts */
	idt_set(0x80, gate(0, HANDLER_AT, 0xee, 0), 0);
	EXPECT_FAULT(RUN(0xcd, 0x80), X86_GP, 0);		/* null CS */
	idt_set(0x80, gate(DATA0, HANDLER_AT, 0xee, 0), 0);
	EXPECT_FAULT(RUN(0xcd, 0x80), X86_GP, DATA0);
	idt_set(0x80, gate(CODE0, HANDLER_AT, 0xee, 0), 0);
	put32(TSS + 8, 0);
	EXPECT_FAULT(RUN(0xcd, 0x80), X86_TS, 0);		/* null SS in the TSS */
	put32(TSS + 8, READ_ONLY);
	EXPECT_FAULT(RUN(0xcd, 0x80), X86_TS, READ_ONLY);
	put32(TSS + 8, ABSENT);
	EXPECT_FAULT(RUN(0xcd, 0x80), X86_SS_FAULT, ABSENT);
	put32(TSS + 8, DATA0);
	bad_page = STACK0 - 8;
	EXPECT_FAULT(RUN(0xcd, 0x80), X86_PF, X86_PF_W);	/* supervisor's, though CPL is 3 */
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK3);
	EXPECT_EQ(cpu.cpl, 3);
	EXPECT(cpu.delivering.valid);
}

static void traps_report_themselves(void)
{
	struct x86_event e;

	machine_32(3);
	EXPECT_FAULT(RUN(0xcc), X86_BP, 0);
	EXPECT(cpu.fault.trap);
	x86_fault_event(&cpu, &e);
	EXPECT_EQ(e.return_rip, CODE + 1);
	idt_set(X86_BP, gate(CODE0, HANDLER_AT, 0x8e, 0), 0);
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_FAULT);		/* INT3 needs DPL 3 */
	EXPECT_EQ(cpu.fault.error, X86_BP * 8 + 2);
	idt_set(X86_BP, gate(CODE0, HANDLER_AT, 0xee, 0), 0);
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_OK);
	EXPECT_EQ(get32(STACK0 - 12) & X86_FLAG_RF, 0);		/* a trap */
	EXPECT_EQ(get32(STACK0 - 20), CODE + 1);

	machine_32(3);
	EXPECT_FAULT(RUN(0xf1), X86_DB, 0);
	x86_fault_event(&cpu, &e);
	EXPECT(e.icebp);
	idt_set(X86_DB, gate(CODE0, HANDLER_AT, 0x8e, 0), 0);
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_OK);		/* INT1 does not */
	machine_32(3);
	EXPECT_EQ(RUN(0xce), X86_OK);				/* INTO without OF */
	cpu.rflags |= X86_FLAG_OF;
	EXPECT_FAULT(RUN(0xce), X86_OF, 0);
}

static void long_mode_interrupts(void)
{
	struct x86_event e = event_of(X86_PF, X86_EVENT_EXCEPTION);

	machine_64(3);
	e.has_error = true;
	e.error = 6;
	idt_set(X86_PF, gate(CODE0_64, 0x12345678, 0x8e, 0), 0xffff8000);
	cpu.gpr[X86_RSP] = STACK3 + 3;
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_OK);
	EXPECT_EQ(cpu.cpl, 0);
	EXPECT_EQ(cpu.rip, 0xffff800012345678);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 48);
	EXPECT_EQ(cpu.seg[X86_SS].selector, 0);
	EXPECT_EQ(get64(STACK0 - 48), 6);
	EXPECT_EQ(get64(STACK0 - 16), STACK3 + 3);
	EXPECT_EQ(get64(STACK0 - 8), DATA3);
	cpu.gpr[X86_RSP] += 8;
	EXPECT_EQ(RUN(0x48, 0xcf), X86_OK);
	EXPECT_EQ(cpu.cpl, 3);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK3 + 3);
	EXPECT_EQ(cpu.seg[X86_SS].selector, DATA3);
	EXPECT_EQ(cpu.stack_bits, 64);

	e = event_of(X86_NMI, X86_EVENT_NMI); /* IST 1, from the same level, aligned */
	machine_64(0);
	idt_set(X86_NMI, gate(CODE0_64, HANDLER_AT, 0x8e, 1), 0);
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK_IST - 40);
	EXPECT_EQ(cpu.seg[X86_SS].selector, DATA0);		/* no change of level: SS stays */
	cpu.nmi_blocked = true;
	EXPECT_EQ(RUN(0x48, 0xcf), X86_OK);
	EXPECT(!cpu.nmi_blocked);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 0x1000);

	machine_64(0); /* 32-bit code in the gate; bad stacks */
	idt_set(3, gate(CODE0, HANDLER_AT, 0x8e, 0), 0);
	e = event_of(3, X86_EVENT_INTR);
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_FAULT);
	EXPECT_EQ(cpu.fault.error, CODE0 | 1);
	idt_set(3, gate(CODE0_64, HANDLER_AT, 0x8e, 1), 0);
	put64(TSS + 36, 0x8000000000000000);
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_FAULT);
	EXPECT_EQ(cpu.fault.vector, X86_SS_FAULT);
	idt_set(3, gate(CODE0_64, HANDLER_AT, 0x8e, 0), 0x8000);
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_FAULT);		/* target not canonical */
	EXPECT_EQ(cpu.fault.vector, X86_GP);
}

static void iretq_checks(void)
{
	machine_64(0);
	u64 sp = cpu.gpr[X86_RSP];

	put64(sp, 0x0000800000000000);				/* RIP not canonical */
	put64(sp + 8, CODE3_64), put64(sp + 16, 2), put64(sp + 24, STACK3), put64(sp + 32, DATA3);
	EXPECT_FAULT(RUN(0x48, 0xcf), X86_GP, 0);
	put64(sp, 0x5000);
	put64(sp + 32, 0);					/* null SS for privilege 3 */
	EXPECT_FAULT(RUN(0x48, 0xcf), X86_GP, 0);
	put64(sp + 32, DATA0);
	EXPECT_FAULT(RUN(0x48, 0xcf), X86_GP, DATA0);
	put64(sp + 8, CODE0_64), put64(sp + 32, 0); /* null SS for privilege 0 is fine */
	EXPECT_EQ(RUN(0x48, 0xcf), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK3);
	EXPECT_EQ(cpu.cpl, 0);
	machine_64(0);						/* to compatibility mode */
	cpu.seg[X86_DS] = cpu.seg[X86_ES] = segment_of(DATA3);
	put64(sp, 0x5000), put64(sp + 8, CODE3), put64(sp + 16, 0x202), put64(sp + 24, 0x123456789),
		put64(sp + 32, DATA3);
	EXPECT_EQ(RUN(0x48, 0xcf), X86_OK);
	EXPECT_EQ(cpu.code_bits, 32);
	EXPECT_EQ(cpu.stack_bits, 32);
	EXPECT_EQ(cpu.gpr[X86_RSP], 0x23456789);
	EXPECT(cpu.flat);
	machine_64(0);
	cpu.rflags |= X86_FLAG_NT;
	EXPECT_FAULT(RUN(0x48, 0xcf), X86_GP, 0);		/* no tasks in long mode */
}

/* -- virtual-8086 mode ---------------------------------------------------------------- */
static void vm86_round_trip(void)
{
	struct x86_event e = event_of(0x20, X86_EVENT_INTR);

	machine_vm86();
	cpu.seg[X86_GS].selector = 0x111;
	cpu.seg[X86_FS].selector = 0x222;
	cpu.seg[X86_DS].selector = 0x333;
	cpu.seg[X86_ES].selector = 0x444;
	idt_set(0x20, gate(CODE0, HANDLER_AT, 0x8e, 0), 0);
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_OK);
	EXPECT_EQ(cpu.cpl, 0);
	EXPECT_EQ(cpu.code_bits, 32);
	EXPECT(!(cpu.rflags & X86_FLAG_VM));
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 36);
	EXPECT_EQ(get32(STACK0 - 4), 0x111);
	EXPECT_EQ(get32(STACK0 - 16), 0x444);
	EXPECT_EQ(get32(STACK0 - 20), 0x3000);
	EXPECT_EQ(cpu.seg[X86_DS].selector, 0);
	EXPECT(get32(STACK0 - 28) & X86_FLAG_VM);
	EXPECT_EQ(RUN(0xcf), X86_OK);
	EXPECT(cpu.rflags & X86_FLAG_VM);
	EXPECT_EQ(cpu.cpl, 3);
	EXPECT_EQ(cpu.code_bits, 16);
	EXPECT_EQ(cpu.seg[X86_ES].selector, 0x444);
	EXPECT_EQ(cpu.seg[X86_ES].base, 0x4440);
	EXPECT_EQ(cpu.seg[X86_SS].base, 0x30000);
	EXPECT_EQ(cpu.gpr[X86_RSP], 0x100);
	EXPECT_EQ(cpu.rip, 0x1234);
}

static void vm86_iopl_and_vme(void)
{
	machine_vm86();
	EXPECT_FAULT(RUN(0xcd, 0x21), X86_GP, 0);
	EXPECT_FAULT(RUN(0xfa), X86_GP, 0);
	EXPECT_FAULT(RUN(0x9c), X86_GP, 0);
	EXPECT_FAULT(RUN(0x9d), X86_GP, 0);
	EXPECT_FAULT(RUN(0xcf), X86_GP, 0);
	EXPECT_FAULT(RUN(0x0f, 0x00, 0xd8), X86_UD, 0);		/* LTR */
	cpu.cr4 |= X86_CR4_VME;
	EXPECT_EQ(RUN(0xfb), X86_OK);
	EXPECT(cpu.rflags & X86_FLAG_VIF);
	EXPECT(!(cpu.rflags & X86_FLAG_IF));
	EXPECT_EQ(RUN(0x9c), X86_OK);				/* pushes VIF as IF, IOPL 3 */
	EXPECT_EQ(get16(0x300fe), 0x3202);
	EXPECT_EQ(RUN(0xfa), X86_OK);
	EXPECT(!(cpu.rflags & X86_FLAG_VIF));
	EXPECT_EQ(RUN(0x9d), X86_OK);
	EXPECT(cpu.rflags & X86_FLAG_VIF);
	EXPECT_EQ(cpu.rflags & X86_FLAG_IOPL, 0);
	cpu.rflags |= X86_FLAG_VIP;
	EXPECT_FAULT(RUN(0xfb), X86_GP, 0);

	machine_vm86();						/* INT n redirected by the bitmap */
	cpu.cr4 |= X86_CR4_VME;
	put16(TSS + 102, 0x88);
	put16(0x21 * 4, 0x4321);
	put16(0x21 * 4 + 2, 0x0500);
	cpu.rflags |= X86_FLAG_VIF;
	EXPECT_EQ(RUN(0xcd, 0x21), X86_OK);
	EXPECT_EQ(cpu.rip, 0x4321);
	EXPECT_EQ(cpu.seg[X86_CS].base, 0x5000);
	EXPECT(cpu.rflags & X86_FLAG_VM);
	EXPECT(!(cpu.rflags & X86_FLAG_VIF));
	EXPECT_EQ(get16(0x300fe) & 0x3200, 0x3200);
}

/* -- far transfers -------------------------------------------------------------------- */
static void far_calls_real(void)
{
	machine_real();
	EXPECT_EQ(RUN(0x9a, 0x34, 0x12, 0x00, 0x50), X86_OK);
	EXPECT_EQ(cpu.rip, 0x1234);
	EXPECT_EQ(cpu.seg[X86_CS].base, 0x50000);
	EXPECT_EQ(get16(0x200fc), CODE + 5);
	EXPECT_EQ(RUN(0xca, 0x04, 0x00), X86_OK);		/* RETF 4 */
	EXPECT_EQ(cpu.gpr[X86_RSP], 0x104);
	EXPECT_EQ(cpu.seg[X86_CS].base, 0);
}

static void far_jumps_protected(void)
{
	machine_32(0);
	EXPECT_FAULT(RUN(0xea, 0, 0x60, 0, 0, 0, 0), X86_GP, 0);
	EXPECT_FAULT(RUN(0xea, 0, 0x60, 0, 0, 0x00, 0x70), X86_GP, 0x7000);
	EXPECT_FAULT(RUN(0xea, 0, 0x60, 0, 0, DATA0, 0), X86_GP, DATA0);
	EXPECT_FAULT(RUN(0xea, 0, 0x60, 0, 0, CODE3, 0), X86_GP, CODE3 & ~3);
	EXPECT_EQ(RUN(0xea, 0, 0x60, 0, 0, CODE0_16, 0), X86_OK);
	EXPECT_EQ(cpu.code_bits, 16);
	EXPECT_EQ(cpu.rip, 0x6000);
	EXPECT(!cpu.flat);
	machine_32(3);						/* conforming code keeps the CPL */
	EXPECT_EQ(RUN(0xea, 0, 0x60, 0, 0, CONFORMING, 0), X86_OK);
	EXPECT_EQ(cpu.cpl, 3);
	EXPECT_EQ(cpu.seg[X86_CS].selector, CONFORMING | 3);
	machine_64(0); /* 64-bit code to 32-bit code and back */
	put32(DATA, 0x6000);
	put16(DATA + 4, CODE0);
	cpu.gpr[X86_RAX] = DATA;
	EXPECT_EQ(RUN(0xff, 0x28), X86_OK);
	EXPECT_EQ(cpu.code_bits, 32);
	EXPECT_EQ(RUN(0xea, 0, 0x70, 0, 0, CODE0_64, 0), X86_OK);
	EXPECT_EQ(cpu.code_bits, 64);
	EXPECT_EQ(cpu.rip, 0x7000);
}

static void call_gates(void)
{
	machine_32(3);
	put32(STACK3, 0xaaaa), put32(STACK3 + 4, 0xbbbb);	/* two parameters */
	EXPECT_EQ(RUN(0x9a, 1, 2, 3, 4, CALL_GATE, 0), X86_OK);
	EXPECT_EQ(cpu.cpl, 0);
	EXPECT_EQ(cpu.rip, HANDLER_AT);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 24);
	EXPECT_EQ(get32(STACK0 - 4), DATA3);
	EXPECT_EQ(get32(STACK0 - 8), STACK3);
	EXPECT_EQ(get32(STACK0 - 12), 0xbbbb);
	EXPECT_EQ(get32(STACK0 - 16), 0xaaaa);
	EXPECT_EQ(get32(STACK0 - 20), CODE3);
	EXPECT_EQ(get32(STACK0 - 24), CODE + 7);
	cpu.seg[X86_DS] = segment_of(DATA0);
	cpu.seg[X86_DS].base = 0x1234;
	EXPECT_EQ(RUN(0xca, 8, 0), X86_OK);			/* RETF 8, to the outer level */
	EXPECT_EQ(cpu.cpl, 3);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK3 + 8);
	EXPECT_EQ(cpu.seg[X86_DS].attr & X86_SEG_P, 0);		/* too privileged: null now */
	EXPECT_EQ(cpu.seg[X86_DS].selector, 0);
	EXPECT_EQ(cpu.seg[X86_DS].base, 0x1234);		/* as in GS, where 64-bit kernels need it */
	EXPECT_EQ(cpu.seg[X86_ES].selector, DATA3);
	EXPECT_EQ(cpu.rip, CODE + 7);

	machine_32(3);
	put64(GDT + 0x48, gate(CODE0, HANDLER_AT, 0x8c, 0));	/* DPL 0 */
	EXPECT_FAULT(RUN(0x9a, 1, 2, 3, 4, CALL_GATE, 0), X86_GP, CALL_GATE & ~3);
	put64(GDT + 0x48, gate(CODE0, HANDLER_AT, 0x6c, 0));
	EXPECT_FAULT(RUN(0x9a, 1, 2, 3, 4, CALL_GATE, 0), X86_NP, CALL_GATE & ~3);
	put64(GDT + 0x48, gate(CODE0, HANDLER_AT, 0xec, 0));
	EXPECT_FAULT(RUN(0xea, 1, 2, 3, 4, CALL_GATE, 0), X86_GP, CODE0); /* JMP cannot go inward */

	machine_64(3);
	put32(DATA, 0);
	put16(DATA + 4, CALL_GATE_64);
	cpu.gpr[X86_RAX] = DATA;
	EXPECT_EQ(RUN(0xff, 0x18), X86_OK);
	EXPECT_EQ(cpu.cpl, 0);
	EXPECT_EQ(cpu.seg[X86_SS].selector, 0);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 32);
	EXPECT_EQ(get64(STACK0 - 16), STACK3);
	EXPECT_EQ(RUN(0x48, 0xcb), X86_OK);			/* RETFQ */
	EXPECT_EQ(cpu.cpl, 3);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK3);
}

/* -- tasks ---------------------------------------------------------------------------- */
static void task_b_make(u32 eflags)
{
	put32(TSS2 + 28, 0x777000);				/* CR3 */
	put32(TSS2 + 32, 0x6000);
	put32(TSS2 + 36, eflags);
	for (unsigned n = 0; n < 8; n++)
		put32(TSS2 + 40 + 4 * n, 0x1000 + n);
	put32(TSS2 + 40 + 4 * 4, STACK3);
	put16(TSS2 + 72, DATA0), put16(TSS2 + 76, CODE0), put16(TSS2 + 80, DATA0),
		put16(TSS2 + 84, DATA0);
	put16(TSS2 + 96, LDT_SEL);
}

static void task_call_and_return(void)
{
	machine_32(0);
	task_b_make(2);
	cpu.gpr[X86_RBX] = 0xcafe;
	cpu.cr0 |= X86_CR0_PG;
	EXPECT_EQ(RUN(0x9a, 0, 0, 0, 0, TSS_B, 0), X86_OK);
	EXPECT_EQ(cpu.rip, 0x6000);
	EXPECT_EQ(cpu.gpr[X86_RBX], 0x1003);
	EXPECT_EQ(cpu.cr3, 0x777000);
	EXPECT_EQ(cpu.seg[X86_TR].selector, TSS_B);
	EXPECT_EQ(cpu.seg[X86_LDTR].selector, LDT_SEL);
	EXPECT_EQ(cpu.seg[X86_LDTR].base, LDT);
	EXPECT(cpu.rflags & X86_FLAG_NT);
	EXPECT(cpu.cr0 & X86_CR0_TS);
	EXPECT_EQ(get16(TSS2), TSS_A);
	EXPECT_EQ(get32(TSS + 32), CODE + 7);
	EXPECT_EQ(get32(TSS + 52), 0xcafe);
	EXPECT_EQ(get64(GDT + TSS_A) >> 40 & 0xf, 0xb);		/* both busy */
	EXPECT_EQ(get64(GDT + TSS_B) >> 40 & 0xf, 0xb);
	EXPECT_FAULT(RUN(0x9a, 0, 0, 0, 0, TSS_A, 0), X86_GP, TSS_A);	/* busy */
	EXPECT_EQ(RUN(0xcf), X86_OK);				/* IRET with NT */
	EXPECT_EQ(cpu.rip, CODE + 7);
	EXPECT_EQ(cpu.gpr[X86_RBX], 0xcafe);
	EXPECT_EQ(cpu.seg[X86_TR].selector, TSS_A);
	EXPECT_EQ(get64(GDT + TSS_B) >> 40 & 0xf, 9);
	EXPECT_EQ(get32(TSS2 + 36) & X86_FLAG_NT, 0);
	EXPECT_EQ(RUN(0xea, 0, 0, 0, 0, TSS_B, 0), X86_OK);	/* JMP */
	EXPECT_EQ(get64(GDT + TSS_A) >> 40 & 0xf, 9);
	EXPECT(!(cpu.rflags & X86_FLAG_NT));
}

static void task_gate_in_idt(void)
{
	struct x86_event e = event_of(X86_DF, X86_EVENT_EXCEPTION);

	machine_32(3);
	task_b_make(2);
	e.has_error = true;
	e.error = 0;
	cpu.hooked = BIT_U64(X86_HOOK_TASK_SWITCH);
	idt_set(X86_DF, gate(TSS_B, 0, 0x85, 0), 0);
	EXPECT_EQ(x86_deliver(&cpu, &e), X86_OK);
	EXPECT_EQ(hook_info, (u64)X86_TASK_GATE << 32 | TSS_B);
	EXPECT_EQ(cpu.cpl, 0);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK3 - 4);		/* the error code */
	EXPECT_EQ(get32(TSS + 32), 0x1234);
	EXPECT_EQ(cpu.rip, 0x6000);
}

static void task_faults(void)
{
	machine_32(0);
	task_b_make(2);
	put64(GDT + TSS_B, descriptor(TSS2, 0x66, 0x089));
	EXPECT_FAULT(RUN(0xea, 0, 0, 0, 0, TSS_B, 0), X86_TS, TSS_B);	/* limit */
	EXPECT_EQ(cpu.seg[X86_TR].selector, TSS_A);
	put64(GDT + TSS_B, descriptor(TSS2, 0x67, 0x009));
	EXPECT_FAULT(RUN(0xea, 0, 0, 0, 0, TSS_B, 0), X86_NP, TSS_B);
	put64(GDT + TSS_B, descriptor(TSS2, 0x67, 0x089));
	put16(TSS2 + 80, CODE0); /* a bad SS: found in the new task */
	EXPECT_EQ(RUN(0xea, 0, 0, 0, 0, TSS_B, 0), X86_FAULT);
	EXPECT_EQ(cpu.fault.vector, X86_TS);
	EXPECT_EQ(cpu.fault.error, CODE0);
	EXPECT_EQ(cpu.seg[X86_TR].selector, TSS_B);
	EXPECT_EQ(cpu.rip, 0x6000);
}

/* -- system calls --------------------------------------------------------------------- */
static void syscall_and_sysret(void)
{
	machine_64(3);
	cpu.star = (u64)0x33 << 48 | (u64)0x10 << 32;
	cpu.lstar = 0xffffffff81000000;
	cpu.sfmask = X86_FLAG_IF | X86_FLAG_DF;
	cpu.rflags |= X86_FLAG_IF | X86_FLAG_CF;
	EXPECT_EQ(RUN(0x0f, 0x05), X86_OK);
	EXPECT_EQ(cpu.rip, 0xffffffff81000000);
	EXPECT_EQ(cpu.gpr[X86_RCX], CODE + 2);
	EXPECT_EQ(cpu.gpr[11], 0x203);
	EXPECT_EQ(cpu.rflags, 3);
	EXPECT_EQ(cpu.cpl, 0);
	EXPECT_EQ(cpu.seg[X86_CS].selector, 0x10);
	EXPECT_EQ(cpu.seg[X86_SS].selector, 0x18);
	EXPECT_EQ(cpu.code_bits, 64);
	EXPECT_EQ(RUN(0x48, 0x0f, 0x07), X86_OK);
	EXPECT_EQ(cpu.rip, CODE + 2);
	EXPECT_EQ(cpu.rflags, 0x203);
	EXPECT_EQ(cpu.cpl, 3);
	EXPECT_EQ(cpu.seg[X86_CS].selector, 0x43);
	EXPECT_EQ(cpu.seg[X86_SS].selector, 0x3b);
	EXPECT_FAULT(RUN(0x48, 0x0f, 0x07), X86_GP, 0);		/* not at privilege 3 */
	cpu.efer &= ~X86_EFER_SCE;
	EXPECT_FAULT(RUN(0x0f, 0x05), X86_UD, 0);

	machine_64(0);
	cpu.gpr[X86_RCX] = 0x8000000000000000;
	EXPECT_EQ(RUN(0x48, 0x0f, 0x07), X86_OK);		/* AMD: the fault is the target's */
	EXPECT_EQ(cpu.cpl, 3);
	machine_64(0);
	cpu.vendor_amd = false;
	cpu.gpr[X86_RCX] = 0x8000000000000000;
	EXPECT_FAULT(RUN(0x48, 0x0f, 0x07), X86_GP, 0);		/* Intel: ours */
}

static void sysenter_and_sysexit(void)
{
	machine_32(3);
	EXPECT_FAULT(RUN(0x0f, 0x34), X86_GP, 0);		/* no SYSENTER_CS */
	cpu.sysenter_cs = 0x08;
	cpu.sysenter_eip = 0x6000;
	cpu.sysenter_esp = STACK0;
	EXPECT_EQ(RUN(0x0f, 0x34), X86_OK);
	EXPECT_EQ(cpu.cpl, 0);
	EXPECT_EQ(cpu.rip, 0x6000);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0);
	cpu.gpr[X86_RDX] = 0x5000;
	cpu.gpr[X86_RCX] = STACK3;
	EXPECT_EQ(RUN(0x0f, 0x35), X86_OK);
	EXPECT_EQ(cpu.cpl, 3);
	EXPECT_EQ(cpu.seg[X86_CS].selector, 0x1b);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK3);
	machine_64(3);
	cpu.sysenter_cs = 0x08;
	EXPECT_FAULT(RUN(0x0f, 0x34), X86_UD, 0);		/* AMD in long mode */
	cpu.vendor_amd = false;
	EXPECT_EQ(RUN(0x0f, 0x34), X86_OK);
	EXPECT_EQ(cpu.code_bits, 64);
}

static void combinations_of_exceptions(void)
{
	EXPECT_EQ(x86_combine(X86_GP, X86_GP), X86_DF);
	EXPECT_EQ(x86_combine(X86_PF, X86_GP), X86_DF);
	EXPECT_EQ(x86_combine(X86_PF, X86_PF), X86_DF);
	EXPECT_EQ(x86_combine(X86_GP, X86_PF), X86_PF);
	EXPECT_EQ(x86_combine(X86_UD, X86_GP), X86_GP);
	EXPECT_EQ(x86_combine(X86_GP, X86_UD), X86_UD);
	EXPECT_EQ(x86_combine(X86_DF, X86_GP), X86_NO_VECTOR);
	EXPECT_EQ(x86_combine(X86_DF, X86_PF), X86_NO_VECTOR);
}

int main(void)
{
	TEST(real_mode_interrupt_and_iret);
	TEST(protected_interrupt_from_user);
	TEST(protected_interrupt_same_level);
	TEST(software_interrupt_needs_permission);
	TEST(traps_report_themselves);
	TEST(long_mode_interrupts);
	TEST(iretq_checks);
	TEST(vm86_round_trip);
	TEST(vm86_iopl_and_vme);
	TEST(far_calls_real);
	TEST(far_jumps_protected);
	TEST(call_gates);
	TEST(task_call_and_return);
	TEST(task_gate_in_idt);
	TEST(task_faults);
	TEST(syscall_and_sysret);
	TEST(sysenter_and_sysexit);
	TEST(combinations_of_exceptions);
	return test_status();
}
