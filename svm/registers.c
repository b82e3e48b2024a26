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
#define CR0_CACHING	(X86_CR0_CD | X86_CR0_NW)

/* Shadow tables are PAE's or long mode's, and keep their guards when the guest does not. */
#define CR0_SHADOW	(X86_CR0_PG | X86_CR0_WP)
#define CR4_SHADOW_OFF	(X86_CR4_LA57 | X86_CR4_PCIDE | X86_CR4_PKE | X86_CR4_PKS)
#define CR4_PAGING_ONLY	(X86_CR4_SMEP | X86_CR4_SMAP)

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
	x->seg[X86_TR].attr |= 2;	/* busy, which some processors do not keep in their TR */
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
	const struct svm_vcpu *s = svm_of(v);
	bool shadow = svm_is_shadowed(v);

	v->x.cr0 = (save->cr0 & ~s->cr0_hidden) | (s->guest_cr0 & s->cr0_hidden);
	v->x.cr2 = save->cr2;
	v->x.cr3 = shadow ? s->guest_cr3 : save->cr3;
	v->x.cr4 = shadow ? s->guest_cr4 : save->cr4;
	v->x.efer = shadow ? s->guest_efer : (save->efer & ~X86_EFER_SVME) | (s->guest_efer & X86_EFER_SVME);
}

static bool mode_is_long(const struct x86 *x)
{
	return (x->cr0 & X86_CR0_PG) && (x->efer & X86_EFER_LMA);
}

/* What the processor is given instead of the guest's; CR3 is svm_mmu_root_set()'s. */
static void control_set_shadow(const struct x86 *x, struct vmcb_save *save)
{
	save->cr0 |= CR0_SHADOW;
	save->cr4 = (x->cr4 & ~CR4_SHADOW_OFF) | X86_CR4_PAE;
	if (!(x->cr0 & X86_CR0_PG))
		save->cr4 &= ~CR4_PAGING_ONLY;
	save->efer |= X86_EFER_NXE;
	if (!mode_is_long(x))
		save->efer &= ~(X86_EFER_LME | X86_EFER_LMA);
}

static void control_set(struct vcpu *v, struct vmcb_save *save)
{
	struct svm_vcpu *s = svm_of(v);
	const struct x86 *x = &v->x;
	u64 caching = vm_quirk_is_off(v->vm, KVM_X86_QUIRK_CD_NW_CLEARED) ? 0 : CR0_CACHING;
	u64 cr0_hidden, cr4_hidden;

	save->cr0 = x->cr0 & ~caching;
	save->cr2 = x->cr2;
	save->efer = x->efer | X86_EFER_SVME;
	if (svm_is_shadowed(v)) {
		control_set_shadow(x, save);
	} else {
		save->cr3 = x->cr3;
		save->cr4 = x->cr4;
	}
	s->guest_cr0 = x->cr0;
	s->guest_cr3 = x->cr3;
	s->guest_cr4 = x->cr4;
	s->guest_efer = x->efer;
	cr0_hidden = save->cr0 ^ x->cr0;
	cr4_hidden = save->cr4 ^ x->cr4;
	if (cr0_hidden != s->cr0_hidden || cr4_hidden != s->cr4_hidden) {
		s->cr0_hidden = cr0_hidden;
		s->cr4_hidden = cr4_hidden;
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

/*
 * Tables for one mode walked in another would be the guest's to design, so this is looked
 * at before every entry.
 */
bool svm_root_fits(struct vcpu *v)
{
	const struct svm_vcpu *s = svm_of(v);

	return s->root_levels == (s->vmcb->save.efer & X86_EFER_LME ? 4 : 3);
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
