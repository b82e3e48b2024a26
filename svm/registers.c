// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * registers.c - registers between a vCPU and its VMCB
 *
 * RAX, RSP, RIP and RFLAGS cross at every entry and exit (svm.c), the other GPRs are never
 * in the VMCB; so REGS_GPR has nothing to do here.  DR0-3 and TSC_AUX are not in it either:
 * they are the processor's, which is given the guest's when they matter.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "VMCB Layout, State Save Area".
 */
#include "insn/insn.h"
#include "svm/internal.h"

#define DR7_ENABLES	0xffull

/* Caching is the host's affair: with CD set a guest would crawl, so it is only shown. */
#define CR0_HIDDEN	(X86_CR0_CD | X86_CR0_NW)

/* The VMCB keeps tables as segments. */
static struct x86_seg table_segment(struct x86_table t)
{
	return (struct x86_seg){ .limit = t.limit, .base = t.base };
}

static struct x86_table segment_table(struct x86_seg s)
{
	return (struct x86_table){ .limit = (u16)s.limit, .base = s.base };
}

static void segments_get(struct x86 *x, const struct vmcb_save *save)
{
	x->seg[X86_ES] = save->es;
	x->seg[X86_CS] = save->cs;
	x->seg[X86_SS] = save->ss;
	x->seg[X86_DS] = save->ds;
	x->seg[X86_FS] = save->fs;
	x->seg[X86_GS] = save->gs;
	x->seg[X86_LDTR] = save->ldtr;
	x->seg[X86_TR] = save->tr;
	x->gdtr = segment_table(save->gdtr);
	x->idtr = segment_table(save->idtr);
	x->cpl = save->cpl & 3;
}

static void segments_set(const struct x86 *x, struct vmcb_save *save)
{
	save->es = x->seg[X86_ES];
	save->cs = x->seg[X86_CS];
	save->ss = x->seg[X86_SS];
	save->ds = x->seg[X86_DS];
	save->fs = x->seg[X86_FS];
	save->gs = x->seg[X86_GS];
	save->ldtr = x->seg[X86_LDTR];
	save->tr = x->seg[X86_TR];
	save->gdtr = table_segment(x->gdtr);
	save->idtr = table_segment(x->idtr);
	save->cpl = x->cpl;
}

static void control_get(struct vcpu *v, const struct vmcb_save *save)
{
	v->x.cr0 = save->cr0 | svm_of(v)->cr0_hidden;
	v->x.cr2 = save->cr2;
	v->x.cr3 = save->cr3;
	v->x.cr4 = save->cr4;
	v->x.efer = save->efer & ~X86_EFER_SVME;
}

static void control_set(struct vcpu *v, struct vmcb_save *save)
{
	struct svm_vcpu *s = svm_of(v);
	u64 hidden = v->vm->quirks_disabled & KVM_X86_QUIRK_CD_NW_CLEARED ? 0 : v->x.cr0 & CR0_HIDDEN;

	save->cr0 = v->x.cr0 & ~hidden;
	save->cr2 = v->x.cr2;
	save->cr3 = v->x.cr3;
	save->cr4 = v->x.cr4;
	save->efer = v->x.efer | X86_EFER_SVME;
	if (hidden != s->cr0_hidden) {
		s->cr0_hidden = hidden;
		svm_intercepts_update(v);
	}
}

/* The client's breakpoints take the place of the guest's. */
static bool is_debugged(const struct vcpu *v)
{
	return v->guest_debug & KVM_GUESTDBG_USE_HW_BP;
}

void svm_breakpoints_load(struct vcpu *v)
{
	if (UNLIKELY(svm_of(v)->vmcb->save.dr7 & DR7_ENABLES))
		insn_debug_load(is_debugged(v) ? v->eff_dr : v->x.dr);
}

void svm_regs_get(struct vcpu *v, u64 groups)
{
	const struct vmcb_save *save = &svm_of(v)->vmcb->save;
	struct x86 *x = &v->x;

	if (groups & REGS_SEG)
		segments_get(x, save);
	if (groups & REGS_CR)
		control_get(v, save);
	if (groups & REGS_DR) {
		x->dr6 = save->dr6;
		x->dr7 = is_debugged(v) ? svm_of(v)->guest_dr7 : save->dr7;
	}
	if (groups & REGS_SYSCALL) {
		x->star = save->star;
		x->lstar = save->lstar;
		x->cstar = save->cstar;
		x->sfmask = save->sfmask;
		x->kernel_gs_base = save->kernel_gs_base;
		x->sysenter_cs = save->sysenter_cs;
		x->sysenter_esp = save->sysenter_esp;
		x->sysenter_eip = save->sysenter_eip;
		x->pat = save->g_pat;
	}
}

void svm_regs_set(struct vcpu *v, u64 groups)
{
	struct vmcb_save *save = &svm_of(v)->vmcb->save;
	const struct x86 *x = &v->x;

	if (groups & REGS_SEG)
		segments_set(x, save);
	if (groups & REGS_CR)
		control_set(v, save);
	if (groups & REGS_DR) {
		save->dr6 = x->dr6;
		save->dr7 = is_debugged(v) ? v->guest_debug_dr[7] : x->dr7;
		svm_of(v)->guest_dr7 = x->dr7;
	}
	if (groups & REGS_SYSCALL) {
		save->star = x->star;
		save->lstar = x->lstar;
		save->cstar = x->cstar;
		save->sfmask = x->sfmask;
		save->kernel_gs_base = x->kernel_gs_base;
		save->sysenter_cs = x->sysenter_cs;
		save->sysenter_esp = x->sysenter_esp;
		save->sysenter_eip = x->sysenter_eip;
		save->g_pat = x->pat;
	}
}
