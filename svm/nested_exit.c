// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nested_exit.c - what of L2's exits and events are L1's
 *
 * An exit that L1's VMCB asked for goes to L1, unless it is of our own doing: what arrives
 * at the processor, a debugger's traps, windows.  Interrupts and NMIs for L1 become exits
 * where L1 intercepts them, when nothing is in flight.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Intercept Operation",
 * "IOIO Intercepts", "MSR Intercepts", "Exception Intercepts".
 */
#include "svm/nested.h"
#include "x86/feature.h"

static bool l1_wants_port(struct vcpu *v)
{
	const struct svm_nested *n = svm_of(v)->nested;
	u64 info = svm_of(v)->vmcb->control.exitinfo1;
	unsigned port = (unsigned)(info >> VMCB_IOIO_PORT_SHIFT) & 0xffff, bytes = info >> VMCB_IOIO_SIZE_SHIFT & 7;
	u16 bits = 0;

	if (guest_read(v->vm, (n->control.iopm_base_pa & ~(PAGE_BYTES - 1)) + port / 8, &bits, sizeof(bits)))
		return true;
	return bits >> port % 8 & ((1u << bytes) - 1);
}

static bool l1_wants_msr(struct vcpu *v)
{
	const struct svm_nested *n = svm_of(v)->nested;
	u32 msr = (u32)v->x.gpr[X86_RCX], byte = (msr & 0x1fff) / 4;
	unsigned bit = msr % 4 * 2 + (svm_of(v)->vmcb->control.exitinfo1 & 1);
	u8 bits = 0xff;

	if (msr >= 0xc0010000 && msr < 0xc0012000) {
		guest_read(v->vm, (n->control.msrpm_base_pa & ~(PAGE_BYTES - 1)) + PAGE_BYTES + byte, &bits, 1);
		return bits >> bit & 1;
	}
	if (msr >= 0xc0000000 && msr < 0xc0002000)
		byte += 0x800;
	else if (msr >= 0x2000)
		return true;
	return n->msrpm12[byte] >> bit & 1;
}

static bool l1_wants_exit(struct vcpu *v, const struct exit *e, u64 code)
{
	if (code == VMEXIT_INVALID)
		return true;
	if (e->kind == EXIT_IRQ_WINDOW || e->kind == EXIT_NMI_WINDOW || code >= 32 * VMCB_INTERCEPT_WORDS ||
	    !svm_l1_wants(v, code))
		return false;
	switch (code) {
	case VMEXIT_INTR: case VMEXIT_NMI: case VMEXIT_SMI: case VMEXIT_INIT:
	case VMEXIT_EXCP0 + X86_MC:
		return false;
	case VMEXIT_RDTSCP:	/* instructions that the guest's processor does not have are #UD */
		return cpuid_has(v, X86_FEATURE_RDTSCP);
	case VMEXIT_INVPCID:
		return cpuid_has(v, X86_FEATURE_INVPCID);
	case VMEXIT_SKINIT: case VMEXIT_RDPRU: case VMEXIT_INVLPGB: case VMEXIT_INVLPGB_ILLEGAL:
	case VMEXIT_MCOMMIT: case VMEXIT_TLBSYNC:
		return false;
	case VMEXIT_EXCP0 + X86_DB:
		return !(v->guest_debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP));
	case VMEXIT_EXCP0 + X86_BP:
		return !(v->guest_debug & KVM_GUESTDBG_USE_SW_BP);
	case VMEXIT_IOIO:
		return l1_wants_port(v);
	case VMEXIT_MSR:
		return l1_wants_msr(v);
	default:
		return true;
	}
}

bool svm_nested_exit(struct vcpu *v, const struct exit *e)
{
	const struct vmcb_control *c = &svm_of(v)->vmcb->control;

	if (!l1_wants_exit(v, e, c->exitcode))
		return false;
	svm_nested_vmexit(v, c->exitcode, c->exitinfo1, c->exitinfo2, true);
	return true;
}

/* --- what is no exit of the processor's ---------------------------------------------------- */

static bool pending_take(struct vcpu *v)
{
	const struct vmcb_control *c = &svm_of(v)->vmcb->control;
	const struct svm_nested *n = svm_of(v)->nested;
	bool raw = c->exitcode == VMEXIT_NPF && n->pending.code == VMEXIT_NPF && c->exitinfo2 == n->pending.info2;

	if (!v->nested.exit_pending)
		return false;
	svm_nested_vmexit(v, n->pending.code, n->pending.info1, n->pending.info2, raw);
	return true;
}

bool svm_nested_event(struct vcpu *v, enum nested_event what)
{
	static const u8 codes[] = {
		[NESTED_INIT] = VMEXIT_INIT, [NESTED_SMI] = VMEXIT_SMI, [NESTED_NMI] = VMEXIT_NMI,
		[NESTED_INTR] = VMEXIT_INTR, [NESTED_SHUTDOWN] = VMEXIT_SHUTDOWN,
	};

	if (what == NESTED_PENDING)
		return pending_take(v);
	if (!svm_l1_wants(v, codes[what]))
		return false;
	svm_nested_vmexit(v, codes[what], 0, 0, false);
	return true;
}

/* As the processor recognizes a virtual interrupt. */
bool svm_nested_wakes(struct vcpu *v)
{
	const struct svm_vcpu *s = svm_of(v);
	u64 int_ctl, tpr = s->vmcb->control.int_ctl & VMCB_INT_CTL_V_TPR;

	svm_nested_v_irq_sync(v);
	int_ctl = s->nested->control.int_ctl;
	if (!(int_ctl & VMCB_INT_CTL_V_IRQ) || !(v->x.rflags & X86_FLAG_IF) || v->nested.gif_clear)
		return false;
	return (int_ctl & VMCB_INT_CTL_IGN_TPR) || (int_ctl & VMCB_INT_CTL_PRIO) >> VMCB_INT_CTL_PRIO_SHIFT > tpr;
}

/* The first of several is what happened. */
static void pend(struct vcpu *v, u64 code, u64 info1, u64 info2)
{
	struct svm_nested *n = svm_of(v)->nested;

	if (v->nested.exit_pending)
		return;
	n->pending.code = code;
	n->pending.info1 = info1;
	n->pending.info2 = info2;
	v->nested.exit_pending = true;
	vcpu_request(v, REQ_EVENT);
}

bool svm_nested_exception(struct vcpu *v, unsigned vector, u32 error, u64 address)
{
	if (!svm_l1_wants(v, VMEXIT_EXCP0 + vector))
		return false;
	pend(v, VMEXIT_EXCP0 + vector, error, address);
	return true;
}

void svm_nested_fault(struct vcpu *v, gpa_t gpa, u32 error)
{
	u64 stage = error & NESTED_FAULT_TABLE ? VMCB_NPF_TABLE : VMCB_NPF_FINAL;

	pend(v, VMEXIT_NPF, (error & ~NESTED_FAULT_TABLE) | stage, gpa);
}
