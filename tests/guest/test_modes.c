// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_modes.c - tiny guests that change modes, privileges, tasks, tables and their own code
 */
#include "tests/guest/tiny.h"

/* --- mode changes by the guest itself ------------------------------------------------------ */

/* From real mode by protected mode to 64-bit mode and back, with a mark in each. */
CODE16(through_all_modes,
	"cli\n" "mov $0x2000, %ax\n" "mov %ax, %ds\n"
	"data32 lgdt 0x1ff0\n"			/* at 0x21ff0 */
	"out %al, $0x10\n"
	"mov %cr0, %eax\n" "or $1, %eax\n" "mov %eax, %cr0\n"
	"data32 ljmp $0x08, $(1f - through_all_modes + 0x10000)\n"
	".code32\n"
	"1: mov $0x10, %eax\n" "mov %eax, %ds\n" "mov %eax, %es\n" "mov %eax, %ss\n" "mov $0x80000, %esp\n"
	"out %al, $0x20\n"
	"mov %cr4, %eax\n" "or $0x20, %eax\n" "mov %eax, %cr4\n"
	"mov $0x30000, %eax\n" "mov %eax, %cr3\n"
	"mov $0xc0000080, %ecx\n" "rdmsr\n" "or $0x100, %eax\n" "wrmsr\n"
	"mov %cr0, %eax\n" "or $0x80000000, %eax\n" "mov %eax, %cr0\n"
	"out %al, $0x21\n"			/* compatibility mode */
	"ljmp $0x28, $(1f - through_all_modes + 0x10000)\n"
	".code64\n"
	"1: mov $0x1122334455667788, %r15\n" "out %al, $0x40\n"
	"push $0x08\n" "lea 1f(%rip), %rax\n" "push %rax\n" "lretq\n"
	".code32\n"
	"1: out %al, $0x22\n"
	"mov %cr0, %eax\n" "and $0x7fffffff, %eax\n" "mov %eax, %cr0\n"
	"mov $0xc0000080, %ecx\n" "rdmsr\n" "and $~0x100, %eax\n" "wrmsr\n"
	"mov %cr4, %eax\n" "and $~0x20, %eax\n" "mov %eax, %cr4\n"
	"out %al, $0x23\n"
	"mov $0x58, %eax\n" "mov %eax, %ds\n" "mov %eax, %es\n" "mov %eax, %ss\n"
	"ljmp $0x50, $(1f - through_all_modes)\n"
	".code16\n"
	"1: mov %cr0, %eax\n" "and $~1, %eax\n" "mov %eax, %cr0\n"
	"ljmp $0x1000, $(1f - through_all_modes)\n"
	"1: xor %ax, %ax\n" "mov %ax, %ds\n" "mov %ax, %ss\n"
	DONE)

static void all_modes_and_back(struct tiny *t)
{
	static const struct { u16 port; bool pe, pg, lma; u16 cs; } stops[] = {
		{ 0x10, false, false, false, 0x1000 }, { 0x20, true, false, false, 0x08 },
		{ 0x21, true, true, true, 0x08 }, { 0x40, true, true, true, 0x28 },
		{ 0x22, true, true, true, 0x08 }, { 0x23, true, false, false, 0x08 },
	};
	u64 base = TINY_CODE;

	tiny_put(t, 0x21ff0, 2, 0xff);
	tiny_put(t, 0x21ff2, 4, TINY_GDT);
	/* The 16-bit segment has the code's base. */
	tiny_put(t, TINY_GDT + SEL_CODE16, 8, 0x00009b000000ffff | base << 16);
	for (unsigned n = 0; n < ARRAY_LEN(stops); n++) {
		struct kvm_sregs s;

		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO))
			return;
		s = tiny_sregs(t, 0);
		EXPECT(tiny_is_out(t->cpu[0].run, stops[n].port));
		EXPECT_EQ(s.cs.selector, stops[n].cs);
		EXPECT_EQ(!!(s.cr0 & X86_CR0_PE), stops[n].pe);
		EXPECT_EQ(!!(s.cr0 & X86_CR0_PG), stops[n].pg);
		EXPECT_EQ(!!(s.efer & X86_EFER_LMA), stops[n].lma);
		EXPECT_EQ(s.cs.l, stops[n].cs == 0x28);
	}
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).r15, 0x1122334455667788);
	EXPECT_EQ(tiny_sregs(t, 0).cs.base, TINY_CODE);
	EXPECT(!(tiny_sregs(t, 0).cr0 & X86_CR0_PE));
}

/* Limits stay when protected mode is left: "unreal" mode. */
CODE16(unreal,
	"mov $0x2000, %ax\n" "mov %ax, %ds\n" "data32 lgdt 0x1ff0\n"
	"mov %cr0, %eax\n" "or $1, %al\n" "mov %eax, %cr0\n"
	"mov $0x10, %bx\n" "mov %bx, %fs\n"
	"and $0xfe, %al\n" "mov %eax, %cr0\n"
	"mov $0x300000, %esi\n" "movl $0x12345678, %fs:(%esi)\n"
	"mov $0x1234, %ax\n" "mov %ax, %fs\n"	/* the base changes, the limit does not */
	"mov $0x2f0000, %esi\n" "movb $0x55, %fs:(%esi)\n"
	"mov $0x10000, %esi\n" "unreal_gp: movb $1, %ds:(%esi)\n"
	"ud2\n")
LABEL(unreal_gp)

static void big_real_mode(struct tiny *t)
{
	tiny_put(t, 0x21ff0, 2, 0xff);
	tiny_put(t, 0x21ff2, 4, TINY_GDT);
	EXPECT_VECTOR(t, 0, X86_GP);
	EXPECT_EQ(tiny_get(t, tiny_regs(t, 0).rsp, 2), (u64)(unreal_gp - unreal));
	EXPECT_EQ(tiny_get(t, 0x300000, 4), 0x12345678);
	EXPECT_EQ(tiny_get(t, 0x302340, 1), 0x55);
}

/* --- far transfers ------------------------------------------------------------------------------ */

CODE32(far_calls,
	"lcall $0x60, $0\n"			/* call gate, same privilege */
	"mov %eax, %esi\n"
	"lcall $0x08, $(far_calls_sub - far_calls + 0x10000)\n"
	"lcall *0x50000\n"
	/* down to user mode by RETF, and up again through a gate with two parameters */
	"pushl $0x23\n" "pushl $0x58000\n" "pushl $0x1b\n" "pushl $(1f - far_calls + 0x10000)\n" "lret\n"
	"1: mov %cs, %ecx\n"
	"pushl $0x1111\n" "pushl $0x2222\n"
	"lcall $0x6b, $0\n"
	"2: jmp 2b\n"
	"far_calls_sub: inc %eax\n" "lret\n"
	"far_calls_gate: mov %esp, %ebp\n" "mov %cs, %edx\n" DONE)
LABEL(far_calls_sub) LABEL(far_calls_gate)

static u64 gate(u16 selector, u64 offset, u8 type, u8 count)
{
	return (offset & 0xffff) | (u64)selector << 16 | (u64)count << 32 | (u64)type << 40 | (offset >> 16) << 48;
}

static void far_calls_and_gates(struct tiny *t)
{
	struct kvm_regs r;

	tiny_put(t, TINY_GDT + 0x60, 8, gate(SEL_CODE32, AT(far_calls, far_calls_sub), 0x8c, 0));
	tiny_put(t, TINY_GDT + 0x68, 8, gate(SEL_CODE32, AT(far_calls, far_calls_gate), 0xec, 2));
	tiny_put(t, TINY_DATA, 4, AT(far_calls, far_calls_sub));
	tiny_put(t, TINY_DATA + 4, 2, SEL_CODE32);
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rax, 3);
	EXPECT_EQ(r.rsi, 1);
	EXPECT_EQ(r.rcx, SEL_USER32);
	EXPECT_EQ(r.rdx, SEL_CODE32);
	EXPECT_EQ(r.rbp, TINY_STACK - 0x800 - 24);	/* EIP CS 2222 1111 ESP SS */
	EXPECT_EQ(tiny_get(t, r.rbp + 4, 4), SEL_USER32);
	EXPECT_EQ(tiny_get(t, r.rbp + 8, 4), 0x2222);
	EXPECT_EQ(tiny_get(t, r.rbp + 12, 4), 0x1111);
	EXPECT_EQ(tiny_get(t, r.rbp + 16, 4), 0x58000 - 8);
	EXPECT_EQ(tiny_get(t, r.rbp + 20, 4), SEL_USER_DATA);
}

CODE64(stepped_syscall,
	"mov $0xc0000081, %ecx\n" "xor %eax, %eax\n" "mov $0x00200028, %edx\n" "wrmsr\n"	/* STAR */
	"mov $0xc0000082, %ecx\n" "lea 2f(%rip), %rax\n" "xor %edx, %edx\n" "wrmsr\n"
	"mov $0xc0000084, %ecx\n" "mov $0x100, %eax\n" "xor %edx, %edx\n" "wrmsr\n"		/* SFMASK: TF */
	"lea 1f(%rip), %rcx\n" "mov $0x2, %r11d\n" "sysretq\n"
	"1: pushf\n" "orl $0x100, (%rsp)\n" "popf\n" "syscall\n"
	"stepped_syscall_back: nop\n"
	"2: mov $1, %ebx\n" "sysretq\n")
LABEL(stepped_syscall_back)

/* SYSCALL clears TF and is not stepped; SYSRET sets it, and is. */
static void syscall_is_not_stepped(struct tiny *t)
{
	struct kvm_regs r;

	tiny_put(t, TINY_GDT + 0x28, 8, 0x00af9b000000ffff);
	tiny_put(t, TINY_GDT + 0x30, 8, 0x00affb000000ffff);
	EXPECT_VECTOR(t, 0, X86_DB);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rbx, 1);
	EXPECT_EQ(tiny_get(t, r.rsp, 8), AT(stepped_syscall, stepped_syscall_back));
}

CODE64(syscalls,
	"mov $0xc0000081, %ecx\n" "xor %eax, %eax\n" "mov $0x00200028, %edx\n" "wrmsr\n"	/* STAR */
	"mov $0xc0000082, %ecx\n" "lea 2f(%rip), %rax\n" "xor %edx, %edx\n" "wrmsr\n"
	"mov $0xc0000084, %ecx\n" "mov $0x40200, %eax\n" "xor %edx, %edx\n" "wrmsr\n"
	"mov $0xc0000102, %ecx\n" "mov $0x50000, %eax\n" "xor %edx, %edx\n" "wrmsr\n"
	"mov $0x58000, %esp\n"
	"lea 1f(%rip), %rcx\n" "mov $0x40202, %r11d\n" "sysretq\n"
	"1: mov %cs, %ebx\n" "mov %ss, %ebp\n"
	"mov $7, %eax\n" "syscall\n"
	"syscalls_back: mov %cs, %r14d\n" "mov %rax, %r15\n" "pushf\n" "pop %r13\n"
	"xor %eax, %eax\n" "syscall\n" "ud2\n"
	"2: swapgs\n" "mov %rsp, %gs:8\n" "mov $0x80000, %esp\n"
	"mov %cs, %r8d\n" "mov %ss, %r9d\n" "pushf\n" "pop %r10\n"
	"test %eax, %eax\n" "jz 3f\n"
	"mov %r11, %r12\n" "mov %rcx, %rsi\n" "add $1, %eax\n" "mov %gs:8, %rsp\n" "swapgs\n" "sysretq\n"
	"3: " DONE)
LABEL(syscalls_back)

static void syscall_and_sysret(struct tiny *t)
{
	struct kvm_regs r;

	/* SYSRET's selectors: 0x20 + 16 is user code, + 8 user data. */
	tiny_put(t, TINY_GDT + 0x28, 8, 0x00af9b000000ffff);
	tiny_put(t, TINY_GDT + 0x30, 8, 0x00affb000000ffff);
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rbx, SEL_USER64);
	EXPECT_EQ(r.rbp, 0x2b);
	EXPECT_EQ(r.r8, SEL_CODE64);
	EXPECT_EQ(r.r9, 0x30);
	EXPECT_EQ(r.r14, SEL_USER64);
	EXPECT_EQ(r.r15, 8);
	EXPECT_EQ(r.rsi, AT(syscalls, syscalls_back));
	EXPECT_EQ(r.r12 & 0x40202, 0x40202);		/* RFLAGS as they were */
	EXPECT_EQ(r.r13 & 0x40202, 0x40202);
	EXPECT_EQ(r.r10 & 0x40200, 0);			/* masked */
	EXPECT_EQ(tiny_get(t, TINY_DATA + 8, 8), 0x58000);
}

CODE32(sysenters,
	"mov $0x174, %ecx\n" "mov $0x08, %eax\n" "xor %edx, %edx\n" "wrmsr\n"
	"mov $0x175, %ecx\n" "mov $0x7c000, %eax\n" "wrmsr\n"
	"mov $0x176, %ecx\n" "mov $(2f - sysenters + 0x10000), %eax\n" "wrmsr\n"
	"mov $(1f - sysenters + 0x10000), %edx\n" "mov $0x58000, %ecx\n" "sysexit\n"
	"1: mov %cs, %ebx\n" "mov %esp, %esi\n" "sysenter\n" "ud2\n"
	"2: mov %cs, %ecx\n" "mov %ss, %edx\n" "mov %esp, %edi\n" DONE)

static void sysenter_and_sysexit(struct tiny *t)
{
	struct kvm_regs r;

	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rbx, SEL_USER32);
	EXPECT_EQ(r.rsi, 0x58000);
	EXPECT_EQ(r.rcx, 0x08);
	EXPECT_EQ(r.rdx, 0x10);
	EXPECT_EQ(r.rdi, 0x7c000);
}

/* --- tasks ---------------------------------------------------------------------------------------- */

#define TASK2 0x52000ul		/* a second TSS */
CODE32(tasks,
	"mov $1, %eax\n" "lcall $0x60, $0\n"		/* to the second task */
	"tasks_back: mov $3, %ecx\n"
	"int $0x80\n"					/* to it again, by a task gate */
	"mov $4, %edi\n"
	"ljmp $0x60, $0\n"				/* for good */
	"ud2\n"
	"tasks_second: mov $2, %ebx\n" "pushf\n" "pop %esi\n" "iret\n"
	"mov $5, %ebx\n" "iret\n"
	"mov $6, %ebx\n" DONE)
LABEL(tasks_back) LABEL(tasks_second)

static void task_switches(struct tiny *t)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	tiny_put(t, TINY_GDT + 0x60, 8, 0x0000890000000067 | TASK2 << 16);
	tiny_put(t, TINY_IDT + 8 * 0x80, 8, gate(0x60, 0, 0x85, 0));
	tiny_put(t, TINY_TSS + 0x1c, 4, TINY_PD32);		/* CR3 is never saved */
	tiny_put(t, TASK2 + 0x1c, 4, TINY_PD32);
	tiny_put(t, TASK2 + 0x20, 4, AT(tasks, tasks_second));
	tiny_put(t, TASK2 + 0x24, 4, 2);			/* EFLAGS */
	tiny_put(t, TASK2 + 0x38, 4, 0x5a000);			/* ESP */
	tiny_put(t, TASK2 + 0x48, 4, SEL_DATA);			/* ES CS SS DS FS GS */
	tiny_put(t, TASK2 + 0x4c, 4, SEL_CODE32);
	tiny_put(t, TASK2 + 0x50, 4, SEL_DATA);
	tiny_put(t, TASK2 + 0x54, 4, SEL_DATA);
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	s = tiny_sregs(t, 0);
	EXPECT_EQ(s.tr.selector, 0x60);
	EXPECT_EQ(s.tr.base, TASK2);
	EXPECT_EQ(s.tr.type, 0xb);
	EXPECT_EQ(r.rbx, 6);
	EXPECT_EQ(r.rsi & X86_FLAG_NT, X86_FLAG_NT);		/* it was called */
	EXPECT_EQ(tiny_get(t, TASK2, 2), SEL_TSS);		/* the back link */
	/* The first task rests in its TSS: registers, and its descriptor is free again. */
	EXPECT_EQ(tiny_get(t, TINY_TSS + 0x28, 4), 1);		/* EAX */
	EXPECT_EQ(tiny_get(t, TINY_TSS + 0x2c, 4), 3);		/* ECX */
	EXPECT_EQ(tiny_get(t, TINY_TSS + 0x44, 4), 4);		/* EDI */
	EXPECT_EQ(tiny_get(t, TINY_GDT + SEL_TSS + 5, 1), 0x89);
	EXPECT_EQ(tiny_get(t, TINY_GDT + 0x60 + 5, 1), 0x8b);
	EXPECT(s.cr0 & X86_CR0_TS);
}

CODE32(fault_task, "mov 0x60000, %eax\n" "ud2\n" "fault_task_code: pop %edx\n" DONE)
LABEL(fault_task_code)

static void a_page_fault_through_a_task_gate(struct tiny *t)
{
	tiny_put(t, tiny_pte32(0x60000), 4, 0);
	tiny_put(t, TINY_GDT + 0x60, 8, 0x0000890000000067 | TASK2 << 16);
	tiny_put(t, TINY_IDT + 8 * X86_PF, 8, gate(0x60, 0, 0x85, 0));
	tiny_put(t, TASK2 + 0x1c, 4, TINY_PD32);
	tiny_put(t, TASK2 + 0x20, 4, AT(fault_task, fault_task_code));
	tiny_put(t, TASK2 + 0x24, 4, 2);
	tiny_put(t, TASK2 + 0x38, 4, 0x5a000);
	for (unsigned n = 0; n < 4; n++)
		tiny_put(t, TASK2 + 0x48 + 4 * n, 4, n == 1 ? SEL_CODE32 : SEL_DATA);
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rdx, 0);		/* the error code, on the new task's stack */
	EXPECT_EQ(tiny_regs(t, 0).rsp, 0x5a000);
	EXPECT_EQ(tiny_sregs(t, 0).cr2, 0x60000);
	EXPECT_EQ(tiny_get(t, TINY_TSS + 0x20, 4), TINY_CODE);
}

/* INTO and INT3 are done with when their tasks return. */
CODE32(trap_task, "mov $0x7f, %al\n" "add $1, %al\n" "into\n" "mov $7, %ecx\n" "int3\n" "mov $8, %edi\n" DONE
		  "trap_task_code: 1: inc %ebx\n" "iret\n" "jmp 1b\n")
LABEL(trap_task_code)

static void traps_through_a_task_gate(struct tiny *t)
{
	tiny_put(t, TINY_GDT + 0x60, 8, 0x0000890000000067 | TASK2 << 16);
	tiny_put(t, TINY_IDT + 8 * X86_OF, 8, gate(0x60, 0, 0x85, 0));
	tiny_put(t, TINY_IDT + 8 * X86_BP, 8, gate(0x60, 0, 0x85, 0));
	tiny_put(t, TINY_TSS + 0x1c, 4, TINY_PD32);
	tiny_put(t, TASK2 + 0x1c, 4, TINY_PD32);
	tiny_put(t, TASK2 + 0x20, 4, AT(trap_task, trap_task_code));
	tiny_put(t, TASK2 + 0x24, 4, 2);
	tiny_put(t, TASK2 + 0x38, 4, 0x5a000);
	for (unsigned n = 0; n < 4; n++)
		tiny_put(t, TASK2 + 0x48 + 4 * n, 4, n == 1 ? SEL_CODE32 : SEL_DATA);
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rcx, 7);
	EXPECT_EQ(tiny_regs(t, 0).rdi, 8);
	EXPECT_EQ(tiny_get(t, TASK2 + 0x34, 4), 2);	/* EBX: it ran twice */
	EXPECT_EQ(tiny_sregs(t, 0).tr.selector, SEL_TSS);
}

/* --- faults in the middle of strings ------------------------------------------------------------------ */

CODE64(string_fault,
	"cld\n" "mov $0x60ff0, %esi\n" "mov $0x70ff8, %edi\n" "mov $0x18, %ecx\n"
	"string_fault_at: rep movsb\n" DONE
	"string_fault_pf: mov %rcx, %r8\n" "mov %rsi, %r9\n" "mov %rdi, %r10\n" "mov %cr2, %r11\n" "inc %r12\n"
	"orl $3, 0x33388\n"				/* the entry of 0x71000 */
	"add $8, %rsp\n" "iretq\n")
LABEL(string_fault_at) LABEL(string_fault_pf)

static void a_fault_in_rep_movs_shows_how_far_it_came(struct tiny *t)
{
	struct kvm_regs r;

	EXPECT_EQ(tiny_pte(0x71000), 0x33388);
	for (unsigned n = 0; n < 0x18; n++)
		tiny_put(t, 0x60ff0 + n, 1, 0x40 + n);
	tiny_put(t, tiny_pte(0x71000), 8, 0x71000 | 4);
	tiny_gate(t, TINY_64, X86_PF, AT(string_fault, string_fault_pf));
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.r12, 1);
	EXPECT_EQ(r.r8, 0x10);
	EXPECT_EQ(r.r9, 0x60ff8);
	EXPECT_EQ(r.r10, 0x71000);
	EXPECT_EQ(r.r11, 0x71000);
	EXPECT_EQ(r.rcx, 0);
	EXPECT(!memcmp(t->memory + 0x70ff8, t->memory + 0x60ff0, 0x18));
	EXPECT_EQ(tiny_get(t, TINY_STACK - 40, 8), AT(string_fault, string_fault_at));
}

CODE64(string_wide,
	"cld\n" "mov $0x100003, %esi\n" "mov $0x200001, %edi\n" "mov $0x80000 / 8, %ecx\n" "rep movsq\n"
	"mov $0x200001, %esi\n" "mov $0x100003, %edi\n" "mov $0x80000, %ecx\n" "repe cmpsb\n" "setz %bl\n"
	"std\n" "mov $0x280000, %edi\n" "mov $0x1000, %ecx\n" "mov $0xee, %al\n" "rep stosb\n"
	"cld\n" "mov $0x200001, %edi\n" "mov $0x80000, %ecx\n" "repne scasb\n" "mov %rdi, %rdx\n"
	DONE)

static void long_strings(struct tiny *t)
{
	struct kvm_regs r;

	for (unsigned n = 0; n < 0x80000; n++)
		t->memory[0x100003 + n] = (u8)((n * 2654435761u) >> 24 & 0x7f);
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rbx & 1, 1);
	EXPECT_EQ(r.rdx, 0x27f001 + 1);
}

/* --- code that changes ---------------------------------------------------------------------------------- */

CODE64(self_modifying,
	"xor %ebx, %ebx\n" "mov $200, %ecx\n"
	"1: mov %cl, self_modifying_add + 2(%rip)\n"	/* the ADD's immediate, some bytes ahead */
	"self_modifying_add: add $0, %ebx\n"
	"loop 1b\n"
	"movw $0xb890, 2f(%rip)\n"			/* NOP; MOV EAX, imm32 over ten NOPs */
	"movl $0x1234, 2f + 2(%rip)\n"
	"2: .fill 10, 1, 0x90\n"
	DONE)
LABEL(self_modifying_add)

static void code_that_changes_itself(struct tiny *t)
{
	u64 sum = 0;

	for (int n = 200; n > 0; n--)
		sum += (u64)(s64)(s8)n;
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rbx, (u32)sum);
	EXPECT_EQ(tiny_regs(t, 0).rax, 0x1234);
}

CODE64(client_code, "1: mov $1, %eax\n" "out %al, $0x44\n" "jmp 1b\n")

static void code_that_the_client_changes(struct tiny *t)
{
	for (u32 n = 1; n < 50; n++) {
		tiny_put(t, TINY_CODE + 1, 4, n);
		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO))
			return;
		EXPECT_EQ(tiny_regs(t, 0).rax, n);
	}
}

CODE64(page_crossing, ".fill 4091, 1, 0x90\n" "mov $0x1122334455667788, %rax\n" DONE)

static void instructions_across_pages(struct tiny *t)
{
	/* The second page is another one physically. */
	memcpy(t->memory + 0x60000, t->memory + TINY_CODE + 0x1000, 0x1000);
	memset(t->memory + TINY_CODE + 0x1000, 0xcc, 0x1000);
	tiny_put(t, tiny_pte(TINY_CODE + 0x1000), 8, 0x60007);
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rax, 0x1122334455667788);
}

CODE64(fetch_fault, ".fill 4091, 1, 0x90\n" "fetch_fault_at: mov $0x1122334455667788, %rax\n" DONE)
LABEL(fetch_fault_at)

static void a_fetch_that_faults_in_its_second_page(struct tiny *t)
{
	struct kvm_regs r;

	tiny_put(t, tiny_pte(TINY_CODE + 0x1000), 8, 0);
	EXPECT_VECTOR(t, 0, X86_PF);
	r = tiny_regs(t, 0);
	EXPECT_EQ(tiny_get(t, r.rsp, 8), 0x10);		/* a fetch: EFER.NXE is set */
	EXPECT_EQ(tiny_get(t, r.rsp + 8, 8), AT(fetch_fault, fetch_fault_at));
	EXPECT_EQ(tiny_sregs(t, 0).cr2, TINY_CODE + 0x1000);
}

/* --- translations ------------------------------------------------------------------------------------------ */

CODE64(remaps,
	"mov $0x60000, %esi\n" "mov (%rsi), %eax\n"
	"movq $0x71007, 0x33300\n" "invlpg (%rsi)\n" "mov (%rsi), %ebx\n"
	"movq $0x72007, 0x33300\n" "mov %cr3, %rdx\n" "mov %rdx, %cr3\n" "mov (%rsi), %ecx\n"
	"movq $0x73107, 0x33300\n" "mov %cr3, %rdx\n" "mov %rdx, %cr3\n" "mov (%rsi), %r8d\n"	/* global */
	"movq $0x71007, 0x33300\n" "mov %cr4, %rdx\n" "xor $0x80, %rdx\n" "mov %rdx, %cr4\n" "mov (%rsi), %r9d\n"
	"movl $5, (%rsi)\n" "mov 0x33300, %r10\n"	/* accessed and dirty */
	DONE)

static void translations_change_when_told(struct tiny *t)
{
	struct kvm_regs r;

	EXPECT_EQ(tiny_pte(0x60000), 0x33300);
	tiny_put(t, 0x60000, 4, 0x100);
	for (unsigned n = 1; n < 4; n++)
		tiny_put(t, 0x70000 + n * 0x1000, 4, 0x100 + n);
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rax, 0x100);
	EXPECT_EQ(r.rbx, 0x101);
	EXPECT_EQ(r.rcx, 0x102);
	EXPECT_EQ(r.r8, 0x103);
	EXPECT_EQ(r.r9, 0x101);
	EXPECT_EQ(r.r10, 0x71067);
	EXPECT_EQ(tiny_get(t, 0x71000, 4), 5);
}

CODE64(smep_smap,
	"mov %cr4, %rax\n" "or $0x300000, %rax\n" "mov %rax, %cr4\n"
	"mov 0x58000, %eax\n"			/* user page: SMAP */
	"smap_2: .byte 0x0f, 0x01, 0xcb\n"	/* STAC */
	"mov 0x58000, %ebx\n"
	".byte 0x0f, 0x01, 0xca\n"		/* CLAC */
	"mov $0x58000, %eax\n" "call *%rax\n"	/* SMEP */
	"smep_2: " DONE)
LABEL(smap_2) LABEL(smep_2)

static void user_pages_are_out_of_bounds_for_the_kernel(struct tiny *t)
{
	struct tiny_cpuid c;
	struct kvm_regs r;

	tiny_cpuid_supported(t, &c);
	if (!tiny_leaf(&c, 7, 0) || (tiny_leaf(&c, 7, 0)->ebx & (1 << 7 | 1 << 20)) != (1 << 7 | 1 << 20)) {
		TEST_SKIP("SMEP and SMAP", "not offered");
		return;
	}
	for (u64 page = 0; page < TINY_BYTES; page += PAGE_BYTES)	/* the kernel's, all but one */
		if (page != 0x58000)
			tiny_put(t, tiny_pte(page), 8, page | 3);
	tiny_put(t, 0x58000, 8, 0x77);
	EXPECT_VECTOR(t, 0, X86_PF);
	r = tiny_regs(t, 0);
	EXPECT_EQ(tiny_get(t, r.rsp, 8), 1);
	r.rip = AT(smep_smap, smap_2);
	r.rsp = TINY_STACK;
	tiny_set_regs(t, 0, &r);
	EXPECT_VECTOR(t, 0, X86_PF);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rbx, 0x77);
	EXPECT_EQ(tiny_get(t, r.rsp, 8), 0x11);
	EXPECT_EQ(tiny_get(t, r.rsp + 8, 8), 0x58000);
	r.rip = AT(smep_smap, smep_2);
	tiny_set_regs(t, 0, &r);
	EXPECT_DONE(t, 0);
}

static void all(void)
{
	TINY_TEST(TINY_REAL, through_all_modes, all_modes_and_back);
	TINY_TEST(TINY_REAL, unreal, big_real_mode);
	TINY_TEST(TINY_32, far_calls, far_calls_and_gates);
	TINY_TEST(TINY_32_PAGED, far_calls, far_calls_and_gates);
	TINY_TEST(TINY_64, stepped_syscall, syscall_is_not_stepped);
	TINY_TEST(TINY_64, syscalls, syscall_and_sysret);
	TINY_TEST(TINY_32, sysenters, sysenter_and_sysexit);
	TINY_TEST(TINY_32_PAGED, tasks, task_switches);
	TINY_TEST(TINY_32_PAGED, fault_task, a_page_fault_through_a_task_gate);
	TINY_TEST(TINY_32_PAGED, trap_task, traps_through_a_task_gate);
	TINY_TEST(TINY_64, string_fault, a_fault_in_rep_movs_shows_how_far_it_came);
	TINY_TEST(TINY_64, string_wide, long_strings);
	TINY_TEST(TINY_64, self_modifying, code_that_changes_itself);
	TINY_TEST(TINY_64, client_code, code_that_the_client_changes);
	TINY_TEST(TINY_64, page_crossing, instructions_across_pages);
	TINY_TEST(TINY_64, fetch_fault, a_fetch_that_faults_in_its_second_page);
	TINY_TEST(TINY_64, remaps, translations_change_when_told);
	TINY_TEST(TINY_64, smep_smap, user_pages_are_out_of_bounds_for_the_kernel);
}

int main(void)
{
	tiny_watchdog();
	all();
	return test_status();
}
