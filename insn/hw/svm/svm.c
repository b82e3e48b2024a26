// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svm.c - AMD-V's instructions, executed
 *
 * Speculation: what a guest taught the indirect branch predictor must not steer another
 * guest on the same processor, so a barrier is between two different ones.  Whether the
 * processor needs one the kernel has decided.
 *
 * Debug registers: VMRUN leaves DR7 cleared and DR0-3 as they were in the guest.  A process
 * of the host that is being debugged gets its own back.
 */
#include <linux/hw_breakpoint.h>
#include <linux/percpu.h>

#include <asm/debugreg.h>
#include <asm/nospec-branch.h>

#include "insn/insn.h"

asmlinkage void insn_hw_vmrun(hpa_t vmcb, hpa_t host, u64 *gpr);

static DEFINE_PER_CPU(hpa_t, last_vmcb);	/* that ran here: an address, never followed */

void insn_vmrun(hpa_t vmcb, hpa_t host, u64 gpr[16])
{
	if (this_cpu_read(last_vmcb) != vmcb) {
		this_cpu_write(last_vmcb, vmcb);
		indirect_branch_prediction_barrier();
	}
	insn_clgi();
	insn_hw_vmrun(vmcb, host, gpr);
	insn_stgi();
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
}

void insn_vmload(hpa_t vmcb)
{
	asm volatile("vmload %%rax" : : "a"(vmcb) : "memory");
}

void insn_vmsave(hpa_t vmcb)
{
	asm volatile("vmsave %%rax" : : "a"(vmcb) : "memory");
}

void insn_clgi(void)
{
	asm volatile("clgi" : : : "memory");
}

void insn_stgi(void)
{
	asm volatile("stgi" : : : "memory");
}

void insn_invlpga(u64 linear, u32 asid)
{
	asm volatile("invlpga %%rax, %%ecx" : : "a"(linear), "c"(asid) : "memory");
}
