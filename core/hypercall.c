// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hypercall.c - calls of a guest that knows what it runs on
 *
 * The number is in RAX, arguments in RBX, RCX, RDX, RSI; the answer goes to RAX.  As KVM
 * does, VMCALL is rewritten to the processor's VMMCALL in guest memory, where the guest may
 * write; where not, it is served and stays what it is.
 *
 * Locking: v->lock, inside vm->srcu.
 * Reference: Linux Documentation/virt/kvm/x86/hypercalls.rst.
 * Not modelled: CLOCK_PAIRING, MAP_GPA_RANGE; CPUID does not promise them.
 */
#include "core/hypercall.h"

#include <linux/errno.h>
#include <linux/kvm_para.h>

#include "base/bits.h"
#include "core/lapic.h"
#include "core/pv.h"
#include "core/vm.h"

/* A lock's holder wakes the vCPU that waits for it in HLT, by APIC id. */
static u64 kick(struct vcpu *v, u64 id)
{
	struct vcpu *target = vm_vcpu_by_id(v->vm, (u32)id);

	if (target) {
		atomic_store_release(&target->pv_unhalted, 1u);
		vcpu_request(target, REQ_EVENT);
		vcpu_kick(target);
	}
	return 0;
}

/* One interrupt for every bit of a bitmap of APIC ids that begins at first: how many arrived. */
static u64 send_ipi(struct vcpu *v, const u64 bitmap[2], unsigned bits, u64 first, u64 icr)
{
	struct lapic_message m = {
		.vector = icr & APIC_VECTOR, .mode = (icr & APIC_MODE) >> 8, .assert = true,
	};
	u64 sent = 0;

	if ((icr & ~(u64)(APIC_VECTOR | APIC_MODE | APIC_LOGICAL | APIC_ASSERT)) ||
	    (m.mode != LAPIC_FIXED && m.mode != LAPIC_NMI))
		return (u64)-KVM_EINVAL;
	for (u64 n = bit_find_set(bitmap, bits, 0); n < bits; n = bit_find_set(bitmap, bits, n + 1)) {
		struct vcpu *target = first + n <= ~0u ? vm_vcpu_by_id(v->vm, (u32)(first + n)) : NULL;

		if (target && target->lapic)
			sent += (u64)(lapic_accept(target->lapic, &m) > 0);
	}
	return sent;
}

static u64 serve(struct vcpu *v, u64 number, const u64 args[4], bool is_64bit)
{
	/* 32-bit callers have 32 bits an argument. */
	u64 halves[2] = { args[0] | args[1] << 32, 0 };

	switch (number) {
	case KVM_HC_VAPIC_POLL_IRQ:
		return 0;	/* the exit itself was the point */
	case KVM_HC_KICK_CPU:	/* RBX: flags, none defined */
		if (!pv_has(v, KVM_FEATURE_PV_UNHALT))
			break;
		return kick(v, args[1]);
	case KVM_HC_SCHED_YIELD:
		if (!pv_has(v, KVM_FEATURE_PV_SCHED_YIELD))
			break;
		host_yield();
		return 0;
	case KVM_HC_SEND_IPI:
		if (!v->lapic || !pv_has(v, KVM_FEATURE_PV_SEND_IPI))
			break;
		return send_ipi(v, is_64bit ? args : halves, is_64bit ? 128 : 64, args[2], args[3]);
	}
	return (u64)-KVM_ENOSYS;
}

void hypercall_execute(struct vcpu *v)
{
	bool is_64bit = vcpu_is_64bit_code(v);
	u64 mask = is_64bit ? ~0ull : 0xffffffffull;
	const u64 args[4] = {
		v->x.gpr[3] & mask, v->x.gpr[1] & mask, v->x.gpr[2] & mask, v->x.gpr[6] & mask,
	};
	u64 answer;

	VCPU_COUNT(v, hypercalls);
	answer = v->x.cpl ? (u64)-KVM_EPERM : serve(v, v->x.gpr[0] & mask, args, is_64bit);
	vcpu_regs_dirty(v, REGS_GPR);
	v->x.gpr[0] = answer & mask;
}

#define CALL_BYTES 3

/* Where the bytes of the instruction at RIP are; false: one of them cannot be accessed so. */
static bool instruction_find(struct vcpu *v, unsigned access, gpa_t at[CALL_BYTES])
{
	struct x86_fault fault = v->x.fault;
	u64 linear, cr2;
	bool found = true;

	vcpu_regs_need(v, REGS_ALL);
	cr2 = v->x.cr2;
	linear = v->x.seg[X86_CS].base + v->x.rip;
	for (unsigned n = 0; found && n < CALL_BYTES; n++)
		found = mmu_guest_translate(v, linear + n, access | (v->x.cpl == 3 ? X86_USER : 0), &at[n]) == X86_OK;
	v->x.fault = fault;
	v->x.cr2 = cr2;
	return found;
}

bool hypercall_is_foreign(struct vcpu *v)
{
	static const u8 vmcall[CALL_BYTES] = { 0x0f, 0x01, 0xc1 };
	gpa_t at[CALL_BYTES];
	u8 bytes[CALL_BYTES];

	if (vm_quirk_is_off(v->vm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN) || !instruction_find(v, X86_FETCH, at))
		return false;
	for (unsigned n = 0; n < CALL_BYTES; n++)
		if (vcpu_guest_read(v, at[n], &bytes[n], 1))
			return false;
	return !__builtin_memcmp(bytes, vmcall, sizeof(bytes));
}

bool hypercall_patch(struct vcpu *v)
{
	static const u8 vmmcall[CALL_BYTES] = { 0x0f, 0x01, 0xd9 };
	gpa_t at[CALL_BYTES];

	if (!instruction_find(v, X86_WRITE | X86_PROBE, at))
		return false;
	for (unsigned n = 0; n < CALL_BYTES; n++)
		if (vcpu_guest_write(v, at[n], &vmmcall[n], 1))
			return false;
	return true;
}
