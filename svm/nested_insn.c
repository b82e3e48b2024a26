// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nested_insn.c - the instructions of AMD-V, executed by a guest
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 3, "VMRUN", "VMLOAD", "VMSAVE",
 * "STGI", "CLGI", "INVLPGA".
 * Not modelled: SKINIT, which raises #UD (CPUID does not offer it).
 */
#include <linux/errno.h>

#include "svm/nested.h"
#include "x86/feature.h"

/* What VMLOAD and VMSAVE move: FS and GS; LDTR; TR; the system-call MSRs. */
#define SPAN(first, last) { offsetof(struct vmcb, save.first), offsetof(struct vmcb, save.last) + \
			    sizeof(((struct vmcb *)0)->save.last) - offsetof(struct vmcb, save.first) }
static const struct { u16 offset, bytes; } spans[] = {
	SPAN(fs, gs), SPAN(ldtr, ldtr), SPAN(tr, tr), SPAN(star, sysenter_eip),
};

/* By what the processor has, not by the mode that the guest is in. */
static u64 canonical(struct vcpu *v, u64 address)
{
	unsigned shift = cpuid_has(v, X86_FEATURE_LA57) ? 64 - 57 : 64 - 48;

	return (u64)((s64)(address << shift) >> shift);
}

static void vmload_registers(struct vcpu *v, const struct vmcb_save *s)
{
	struct x86 *x = &v->x;

	vcpu_regs_dirty(v, REGS_SEG | REGS_SYSCALL);
	x->seg[X86_FS] = s->fs;
	x->seg[X86_GS] = s->gs;
	x->seg[X86_LDTR] = s->ldtr;
	x->seg[X86_TR] = s->tr;
	x->seg[X86_FS].base = canonical(v, s->fs.base);
	x->seg[X86_GS].base = canonical(v, s->gs.base);
	x->seg[X86_LDTR].base = canonical(v, s->ldtr.base);
	x->seg[X86_TR].base = canonical(v, s->tr.base);
	x->star = s->star;
	x->lstar = canonical(v, s->lstar);
	x->cstar = canonical(v, s->cstar);
	x->sfmask = (u32)s->sfmask;
	x->kernel_gs_base = canonical(v, s->kernel_gs_base);
	x->sysenter_cs = s->sysenter_cs;
	x->sysenter_esp = canonical(v, s->sysenter_esp);
	x->sysenter_eip = canonical(v, s->sysenter_eip);
}

static int vmload(struct vcpu *v, gpa_t gpa, struct vmcb *vmcb)
{
	struct host_page page;
	const u8 *from = nested_page_get(v, gpa, false, &page);

	if (!from)
		return -EFAULT;
	for (unsigned n = 0; n < ARRAY_LEN(spans); n++)
		__builtin_memcpy((u8 *)vmcb + spans[n].offset, from + spans[n].offset, spans[n].bytes);
	nested_page_put(v, gpa, false, &page);
	vmload_registers(v, &vmcb->save);
	return 0;
}

static int vmsave(struct vcpu *v, gpa_t gpa, struct vmcb *vmcb)
{
	struct vmcb_save *s = &vmcb->save;
	const struct x86 *x = &v->x;
	struct host_page page;
	u8 *to = nested_page_get(v, gpa, true, &page);

	if (!to)
		return -EFAULT;
	vcpu_regs_need(v, REGS_SEG | REGS_SYSCALL);
	s->fs = x->seg[X86_FS];
	s->gs = x->seg[X86_GS];
	s->ldtr = x->seg[X86_LDTR];
	s->tr = x->seg[X86_TR];
	s->star = x->star;
	s->lstar = x->lstar;
	s->cstar = x->cstar;
	s->sfmask = x->sfmask;
	s->kernel_gs_base = x->kernel_gs_base;
	s->sysenter_cs = x->sysenter_cs;
	s->sysenter_esp = x->sysenter_esp;
	s->sysenter_eip = x->sysenter_eip;
	for (unsigned n = 0; n < ARRAY_LEN(spans); n++)
		__builtin_memcpy(to + spans[n].offset, (const u8 *)vmcb + spans[n].offset, spans[n].bytes);
	nested_page_put(v, gpa, true, &page);
	return 0;
}

int svm_nested_vmcb_read(struct vcpu *v, gpa_t gpa, struct vmcb *vmcb)
{
	struct host_page page;
	const struct vmcb *from = nested_page_get(v, gpa, false, &page);

	if (!from)
		return -EFAULT;
	__builtin_memcpy(vmcb, from, offsetof(struct vmcb, save.dbgctl));	/* nothing behind it is used */
	nested_page_put(v, gpa, false, &page);
	return 0;
}

/* RIP past the instruction; a trap after it would be L2's, so there is none. */
static void vmrun_skip(struct vcpu *v, u64 next_rip)
{
	u64 trap = v->x.rflags & X86_FLAG_TF;

	v->x.rflags &= ~trap;
	vcpu_skip(v, next_rip);
	v->x.rflags |= trap;
}

static void gif_set(struct vcpu *v, bool gif)
{
	v->nested.gif_clear = !gif;
	if (!gif)
		svm_irq_window(v, false);
	vcpu_request(v, REQ_EVENT);
}

static void invlpga(struct vcpu *v)
{
	const struct svm_nested *n = svm_of(v)->nested;
	u32 asid = (u32)v->x.gpr[X86_RCX];

	svm_tlb_flush(v);
	if (n && asid && asid == n->tables_asid)
		shadow_reset(v);
}

/* The instructions that name a VMCB by RAX. */
static int execute_vmcb(struct vcpu *v, u64 code, const struct exit *e)
{
	gpa_t gpa = v->x.gpr[X86_RAX];
	struct svm_nested *n;
	int r;

	if (gpa % PAGE_BYTES || gpa >> v->x.phys_bits) {
		event_exception(v, X86_GP, true, 0);
		return 0;
	}
	r = svm_nested_create(v);
	if (r)
		return r;
	n = svm_of(v)->nested;
	if (code == VMEXIT_VMLOAD)
		r = vmload(v, gpa, n->scratch);
	else if (code == VMEXIT_VMSAVE)
		r = vmsave(v, gpa, n->scratch);
	else
		r = svm_nested_vmcb_read(v, gpa, n->scratch);
	if (r) {		/* there is no such memory */
		event_exception(v, X86_GP, true, 0);
		return 0;
	}
	if (code != VMEXIT_VMRUN) {
		vcpu_skip(v, e->next_rip);
		return 0;
	}
	vmrun_skip(v, e->next_rip);
	n->vmcb12 = gpa;
	svm_nested_enter(v);
	return 0;
}

int svm_nested_execute(struct vcpu *v, const struct exit *e)
{
	u64 code = svm_of(v)->vmcb->control.exitcode;

	vcpu_regs_need(v, REGS_SEG | REGS_CR);
	if (!(v->x.efer & X86_EFER_SVME) || !(v->x.cr0 & X86_CR0_PE)) {
		event_exception(v, X86_UD, false, 0);
		return 0;
	}
	if (v->x.cpl) {
		event_exception(v, X86_GP, true, 0);
		return 0;
	}
	switch (code) {
	case VMEXIT_STGI:
	case VMEXIT_CLGI:
		vcpu_skip(v, e->next_rip);
		gif_set(v, code == VMEXIT_STGI);
		return 0;
	case VMEXIT_INVLPGA:
		vcpu_skip(v, e->next_rip);
		invlpga(v);
		return 0;
	default:
		return execute_vmcb(v, code, e);
	}
}
