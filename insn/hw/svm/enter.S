/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * enter.S - into a guest and back
 *
 * void insn_hw_vmrun(hpa_t vmcb, hpa_t host, u64 gpr[16]);
 *
 * Called with interrupts and GIF off.  VMRUN holds interrupts back by the host's RFLAGS.IF,
 * so that is set while GIF still keeps them out of the host, one instruction ahead: some processors
 * let the guest inherit the shadow of an STI right before VMRUN.  VMRUN restores RAX and RSP;
 * FS, GS (that is: per-CPU data) and the system-call MSRs are the guest's from the first VMLOAD
 * to the second, between which nothing but this file runs.
 *
 * After the guest: its return predictions are overwritten before any RET, and its register
 * values cleared, so that the host does not speculate with either.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "VMRUN Instruction", "Global
 * Interrupt Flag", "VMSAVE and VMLOAD Instructions".
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/bitsperlong.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>

/* In encoding order, which is the order of gpr[]. */
#define GPR(n) ((n) * 8)

/* What the stack has while the guest runs. */
#define AT_VMCB	0
#define AT_HOST	8
#define AT_GPR	16

.section .noinstr.text, "ax"

SYM_FUNC_START(insn_hw_vmrun)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdx
	push	%rsi
	push	%rdi

	mov	%rdx, %rax
	mov	GPR(1)(%rax), %rcx
	mov	GPR(2)(%rax), %rdx
	mov	GPR(3)(%rax), %rbx
	mov	GPR(5)(%rax), %rbp
	mov	GPR(6)(%rax), %rsi
	mov	GPR(7)(%rax), %rdi
	mov	GPR(8)(%rax), %r8
	mov	GPR(9)(%rax), %r9
	mov	GPR(10)(%rax), %r10
	mov	GPR(11)(%rax), %r11
	mov	GPR(12)(%rax), %r12
	mov	GPR(13)(%rax), %r13
	mov	GPR(14)(%rax), %r14
	mov	GPR(15)(%rax), %r15

	mov	AT_VMCB(%rsp), %rax
	sti
1:	vmload	%rax
3:	vmrun	%rax
4:	cli
5:	vmsave	%rax
6:	mov	AT_HOST(%rsp), %rax
7:	vmload	%rax
8:
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RETPOLINE

	mov	AT_GPR(%rsp), %rax
	mov	%rcx, GPR(1)(%rax)
	mov	%rdx, GPR(2)(%rax)
	mov	%rbx, GPR(3)(%rax)
	mov	%rbp, GPR(5)(%rax)
	mov	%rsi, GPR(6)(%rax)
	mov	%rdi, GPR(7)(%rax)
	mov	%r8, GPR(8)(%rax)
	mov	%r9, GPR(9)(%rax)
	mov	%r10, GPR(10)(%rax)
	mov	%r11, GPR(11)(%rax)
	mov	%r12, GPR(12)(%rax)
	mov	%r13, GPR(13)(%rax)
	mov	%r14, GPR(14)(%rax)
	mov	%r15, GPR(15)(%rax)

	UNTRAIN_RET		/* may write RAX, RCX, RDX */

	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	add	$24, %rsp
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

	/* A reboot switches AMD-V off under us: then these are #UD, and do nothing. */
	_ASM_EXTABLE(1b, 3b)
	_ASM_EXTABLE(3b, 4b)
	_ASM_EXTABLE(5b, 6b)
	_ASM_EXTABLE(7b, 8b)
SYM_FUNC_END(insn_hw_vmrun)
