// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exit.c - why the processor left the guest, in neutral form
 *
 * Most exit codes are one row of a table.  The others carry information in EXITINFO1 and
 * EXITINFO2, or are dealt with here because they only concern this back end.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "SVM Intercept Exit Codes".
 */
#include "svm/nested.h"
#include "x86/feature.h"

/* TASK_SWITCH EXITINFO2 */
#define TASK_IRET	BIT_U64(36)
#define TASK_JMP	BIT_U64(38)
#define TASK_ERROR	BIT_U64(44)

static const u8 plain[] = {
	[VMEXIT_INTR] = EXIT_NOTHING, [VMEXIT_NMI] = EXIT_NOTHING, [VMEXIT_SMI] = EXIT_NOTHING,
	[VMEXIT_INIT] = EXIT_INIT, [VMEXIT_CR0_SEL_WRITE] = EXIT_EMULATE,
	[VMEXIT_IDTR_READ ... VMEXIT_TR_WRITE] = EXIT_EMULATE,
	[VMEXIT_RDTSC] = EXIT_EMULATE, [VMEXIT_RDPMC] = EXIT_RDPMC, [VMEXIT_PUSHF] = EXIT_EMULATE,
	[VMEXIT_POPF] = EXIT_EMULATE, [VMEXIT_CPUID] = EXIT_CPUID, [VMEXIT_RSM] = EXIT_RSM,
	[VMEXIT_SWINT] = EXIT_EMULATE, [VMEXIT_INVD] = EXIT_INVD, [VMEXIT_PAUSE] = EXIT_PAUSE,
	[VMEXIT_HLT] = EXIT_HLT, [VMEXIT_INVLPG] = EXIT_INVLPG, [VMEXIT_INVLPGA] = EXIT_NESTED,
	[VMEXIT_FERR_FREEZE] = EXIT_NOTHING, [VMEXIT_SHUTDOWN] = EXIT_SHUTDOWN,
	[VMEXIT_VMRUN] = EXIT_NESTED, [VMEXIT_VMMCALL] = EXIT_HYPERCALL, [VMEXIT_VMLOAD] = EXIT_NESTED,
	[VMEXIT_VMSAVE] = EXIT_NESTED, [VMEXIT_STGI] = EXIT_NESTED, [VMEXIT_CLGI] = EXIT_NESTED,
	[VMEXIT_SKINIT] = EXIT_UD, [VMEXIT_RDTSCP] = EXIT_UD, [VMEXIT_ICEBP] = EXIT_EMULATE,
	[VMEXIT_WBINVD] = EXIT_INVD, [VMEXIT_MONITOR] = EXIT_MONITOR, [VMEXIT_MWAIT] = EXIT_MWAIT,
	[VMEXIT_MWAIT_CONDITIONAL] = EXIT_MWAIT, [VMEXIT_XSETBV] = EXIT_XSETBV, [VMEXIT_RDPRU] = EXIT_UD,
	[VMEXIT_INVLPGB] = EXIT_UD, [VMEXIT_INVLPGB_ILLEGAL] = EXIT_UD,
	[VMEXIT_MCOMMIT] = EXIT_UD, [VMEXIT_TLBSYNC] = EXIT_UD,
};

static void describe_io(const struct vmcb_control *c, struct exit *e)
{
	u64 info = c->exitinfo1;

	e->kind = EXIT_IO;
	e->io.port = (u16)(info >> VMCB_IOIO_PORT_SHIFT);
	e->io.bytes = info >> VMCB_IOIO_SIZE_SHIFT & 7;
	e->io.ad_bytes = (u8)((info >> VMCB_IOIO_ADDR_SHIFT & 7) * 2);
	e->io.seg = info >> VMCB_IOIO_SEG_SHIFT & 7;
	e->io.in = !!(info & VMCB_IOIO_IN);
	e->io.string = !!(info & VMCB_IOIO_STR);
	e->io.rep = !!(info & VMCB_IOIO_REP);
	e->next_rip = c->exitinfo2;
}

static void describe_bytes(const struct vmcb_control *c, struct exit *e)
{
	if (svm_features.decode_assists) {
		e->byte_count = MIN_OF(c->fetched, sizeof(e->bytes));
		__builtin_memcpy(e->bytes, c->instruction, e->byte_count);
	}
}

static void describe_memory(const struct vmcb_control *c, struct exit *e)
{
	u64 error = c->exitinfo1;

	e->kind = EXIT_MEMORY;
	e->memory.gpa = c->exitinfo2;
	e->memory.access = error & X86_PF_I ? X86_FETCH : error & X86_PF_W ? X86_WRITE : X86_READ;
	e->memory.present = !!(error & X86_PF_P);
	e->memory.table_walk = !!(error & VMCB_NPF_TABLE);
	describe_bytes(c, e);
}

static void describe_task(const struct vmcb_control *c, struct exit *e)
{
	e->kind = EXIT_TASK_SWITCH;
	e->task.selector = (u16)c->exitinfo1;
	e->task.reason = c->exitinfo2 & TASK_IRET ? X86_TASK_IRET :
			 c->exitinfo2 & TASK_JMP ? X86_TASK_JMP :
			 c->exitintinfo & VMCB_EVENT_V ? X86_TASK_GATE : X86_TASK_CALL;
	e->task.has_error = !!(c->exitinfo2 & TASK_ERROR);
	e->task.error = (u32)c->exitinfo2;
}

static void describe_exception(struct vcpu *v, unsigned vector, struct exit *e)
{
	struct svm_vcpu *s = svm_of(v);

	if (vector == X86_DB && s->stepping && !(v->guest_debug & KVM_GUESTDBG_SINGLESTEP)) {
		/* The step that looks for an NMI window: the guest must not see it. */
		s->step_for_nmi = false;
		s->vmcb->save.dr6 &= ~X86_DR6_BS;
		e->kind = EXIT_NMI_WINDOW;
		return;
	}
	e->kind = EXIT_EXCEPTION;
	e->exception.vector = (u8)vector;
	e->exception.has_error = vector == X86_AC || vector == X86_PF;
	e->exception.error = (u32)s->vmcb->control.exitinfo1;
	e->exception.address = s->vmcb->control.exitinfo2;
	if (vector == X86_PF)
		describe_bytes(&s->vmcb->control, e);
}

/* The guest leaves its NMI handler: let the IRET run, and see when it is done. */
static void iret_met(struct vcpu *v, struct exit *e)
{
	struct svm_vcpu *s = svm_of(v);

	s->iret_running = true;
	s->iret_rip = v->x.rip;
	svm_intercepts_update(v);
	vcpu_request(v, REQ_EVENT);
	e->kind = EXIT_IRET;
}

void svm_exit_describe(struct vcpu *v, struct exit *e)
{
	const struct vmcb_control *c = &svm_of(v)->vmcb->control;
	u64 code = c->exitcode;

	*e = (struct exit){ .kind = EXIT_FAIL_ENTRY };
	if (svm_features.next_rip)
		e->next_rip = c->next_rip;
	switch (code) {
	case VMEXIT_NPF:
		describe_memory(c, e);
		return;
	case VMEXIT_IOIO:
		describe_io(c, e);
		return;
	case VMEXIT_MSR:
		e->kind = c->exitinfo1 ? EXIT_MSR_WRITE : EXIT_MSR_READ;
		return;
	case VMEXIT_VINTR:
		e->kind = EXIT_NOTHING;		/* L1's, unless: */
		if (svm_of(v)->irq_window) {
			svm_irq_window(v, false);
			e->kind = EXIT_IRQ_WINDOW;
		}
		return;
	case VMEXIT_IRET:
		e->kind = EXIT_NOTHING;
		if (svm_l1_wants(v, VMEXIT_IRET))
			return;
		iret_met(v, e);
		return;
	case VMEXIT_INVPCID:
		e->kind = cpuid_has(v, X86_FEATURE_INVPCID) ? EXIT_EMULATE : EXIT_UD;
		return;
	case VMEXIT_TASK_SWITCH:
		describe_task(c, e);
		return;
	case VMEXIT_CR0_READ ... VMEXIT_CR0_READ + 15:
		e->kind = EXIT_CR_READ;
		e->cr.number = (u8)(code - VMEXIT_CR0_READ);
		return;
	case VMEXIT_CR0_WRITE ... VMEXIT_CR0_WRITE + 15:
		e->kind = EXIT_CR_WRITE;
		e->cr.number = (u8)(code - VMEXIT_CR0_WRITE);
		return;
	case VMEXIT_DR0_READ ... VMEXIT_DR0_WRITE + 15:
		e->kind = EXIT_DR;
		return;
	case VMEXIT_EXCP0 ... VMEXIT_EXCP0 + 31:
		describe_exception(v, (unsigned)(code - VMEXIT_EXCP0), e);
		return;
	}
	if (code < ARRAY_LEN(plain)) {
		e->kind = plain[code];
		return;
	}
	e->hardware_reason = code;	/* VMEXIT_INVALID, or one we never asked for */
}
