// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hypercall.c - calls of a guest that knows what it runs on
 *
 * The number is in RAX, arguments in RBX, RCX, RDX, RSI; the answer goes to RAX.  KVM
 * rewrites VMCALL to VMMCALL (and back) in guest memory to suit the processor; here the
 * foreign instruction is recognised and served, and stays what it is.
 *
 * Locking: v->lock, inside vm->srcu.
 * Reference: Linux Documentation/virt/kvm/x86/hypercalls.rst.
 * Not modelled: KICK_CPU, SEND_IPI, SCHED_YIELD, CLOCK_PAIRING; CPUID does not promise them.
 */
#include "core/hypercall.h"

#include <linux/errno.h>
#include <linux/kvm_para.h>

#include "core/vm.h"

void hypercall_execute(struct vcpu *v)
{
	bool is_64bit = vcpu_is_64bit_code(v);
	u64 number, answer;

	vcpu_regs_dirty(v, REGS_GPR);
	number = is_64bit ? v->x.gpr[0] : (u32)v->x.gpr[0];
	VCPU_COUNT(v, hypercalls);
	if (v->x.cpl)
		answer = (u64)-KVM_EPERM;
	else if (number == KVM_HC_VAPIC_POLL_IRQ)
		answer = 0;	/* the exit itself was the point */
	else
		answer = (u64)-KVM_ENOSYS;
	v->x.gpr[0] = is_64bit ? answer : (u32)answer;
}

bool hypercall_is_foreign(struct vcpu *v)
{
	static const u8 vmcall[3] = { 0x0f, 0x01, 0xc1 };
	struct x86_fault fault = v->x.fault;
	u8 bytes[3];
	u64 linear;

	vcpu_regs_need(v, REGS_ALL);
	linear = v->x.seg[X86_CS].base + v->x.rip;
	for (unsigned n = 0; n < sizeof(bytes); n++) {
		gpa_t gpa;

		if (mmu_guest_translate(v, linear + n, X86_FETCH | (v->x.cpl == 3 ? X86_USER : 0), &gpa) !=
			    X86_OK ||
		    guest_read(v->vm, gpa, &bytes[n], 1)) {
			v->x.fault = fault;
			return false;
		}
	}
	return !__builtin_memcmp(bytes, vmcall, sizeof(bytes));
}
