// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svm.c - VMRUN, #VMEXIT, VMLOAD and VMSAVE
 *
 * The steps and their order are the manual's.  Host state is not saved or loaded: host mode
 * is the C code that calls soft_vmrun(), and its registers are the compiler's.  FS, GS, TR,
 * LDTR and the system-call registers are the processor's, not the VMCB's, between VMLOAD and
 * VMSAVE.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "VMRUN Instruction", "#VMEXIT",
 * "VMSAVE and VMLOAD Instructions", "TLB Control"; vol. 3, "VMRUN".
 * Not modelled: SEV, AVIC, LBR virtualization, VMCB clean bits
 * (every VMRUN loads everything).
 */
#include "base/atomic.h"
#include "soft/cpu.h"

/* Step 2: what the hypervisor wants. */
static void load_controls(struct soft_cpu *c, const struct vmcb_control *v)
{
	if (__builtin_memcmp(c->intercept, v->intercept, sizeof(c->intercept)) != 0) {
		__builtin_memcpy(c->intercept, v->intercept, sizeof(c->intercept));
		c->x.hooked = soft_hooks_of(c);
	}
	c->iopm = v->iopm_base_pa & ~(PAGE_BYTES - 1);
	c->msrpm = v->msrpm_base_pa & ~(PAGE_BYTES - 1);
	c->tsc_offset = v->tsc_offset;
	c->int_ctl = v->int_ctl;
	c->pause_count = c->pause_left = v->pause_filter_count;
	c->pause_threshold = v->pause_filter_threshold;
	c->pause_last = c->counters.instructions;
}

/* Step 3: the guest's registers. */
static void load_guest(struct soft_cpu *c, const struct vmcb *v, const u64 gpr[16])
{
	const struct vmcb_save *s = &v->save;
	struct x86 *x = &c->x;

	__builtin_memcpy(x->gpr, gpr, sizeof(x->gpr));
	x->gpr[X86_RAX] = s->rax;
	x->gpr[X86_RSP] = s->rsp;
	x->rip = s->rip;
	x->rflags = (s->rflags & 0x3f7fd5) | X86_FLAG_1;
	x->seg[X86_ES] = s->es;
	x->seg[X86_CS] = s->cs;
	x->seg[X86_SS] = s->ss;
	x->seg[X86_DS] = s->ds;
	x->gdtr = (struct x86_table){ .limit = (u16)s->gdtr.limit, .base = s->gdtr.base };
	x->idtr = (struct x86_table){ .limit = (u16)s->idtr.limit, .base = s->idtr.base };
	x->cr0 = s->cr0;
	x->cr2 = s->cr2;
	x->cr3 = s->cr3;
	x->cr4 = s->cr4;
	x->efer = s->efer & ~X86_EFER_LMA;
	if ((x->efer & X86_EFER_LME) && (x->cr0 & X86_CR0_PG))
		x->efer |= X86_EFER_LMA;
	x->dr6 = s->dr6;
	x->dr7 = s->dr7;
	x->pat = s->g_pat;
	x->cpl = s->cpl & 3;
	if (!(x->cr0 & X86_CR0_PE))
		x->cpl = 0;
	else if (x->rflags & X86_FLAG_VM)
		x->cpl = 3;

	x->shadow = v->control.int_state & VMCB_INT_STATE_SHADOW ? 1 : 0;
	x->attention = X86_ATTN_FLAGS | (x->shadow ? X86_ATTN_SHADOW : 0);
	if ((x->rflags & X86_FLAG_TF) || (x->dr7 & 0xff))
		x->attention |= X86_ATTN_STEP;
	x->nmi_blocked = false;
	x->delivering.valid = false;
	x->string_budget = SOFT_STRING_BUDGET;
	c->shadow_armed = c->stepping = c->resume = c->watching = false;
	c->debug = 0;
	c->current = NULL;
}

static bool event_is_valid(const struct soft_cpu *c, u64 event)
{
	unsigned vector = event & VMCB_EVENT_VECTOR, type = VMCB_EVENT_TYPE(event);

	if (!(event & VMCB_EVENT_V))
		return true;
	if (type == X86_EVENT_EXCEPTION)	/* BR and OF do not arise in 64-bit mode */
		return vector < 32 && vector != X86_NMI &&
		       !(c->x.code_bits == 64 && (vector == X86_BR || vector == X86_OF));
	return type == X86_EVENT_INTR || type == X86_EVENT_NMI || type == X86_EVENT_SOFT;
}

/* Step 4: consistency. */
static bool state_is_valid(const struct soft_cpu *c, const struct vmcb *v)
{
	const struct x86 *x = &c->x;
	bool long_mode = (x->efer & X86_EFER_LME) && (x->cr0 & X86_CR0_PG);

	if (!(v->save.efer & X86_EFER_SVME) || (x->efer & ~(x->efer_valid | X86_EFER_SVME | X86_EFER_LMA)))
		return false;
	if ((x->cr0 >> 32) || ((x->cr0 & X86_CR0_NW) && !(x->cr0 & X86_CR0_CD)))
		return false;
	if (x->cr4 & ~x->cr4_valid)
		return false;
	if (long_mode && (x->cr3 & ~(BIT_U64(52) - 1)))
		return false;
	if ((x->dr6 >> 32) || (x->dr7 >> 32))
		return false;
	if (long_mode && (!(x->cr4 & X86_CR4_PAE) || !(x->cr0 & X86_CR0_PE)))
		return false;
	if (long_mode && (x->seg[X86_CS].attr & X86_SEG_L) && (x->seg[X86_CS].attr & X86_SEG_DB))
		return false;
	if (!soft_intercepts(c, VMCB_INTERCEPT_VMRUN) || v->control.asid == 0 || v->control.asid >= SOFT_ASIDS)
		return false;
	/* Neither nested nor any paging would be the whole memory of the process. */
	if (!c->np && !(x->cr0 & X86_CR0_PG))
		return false;
	return event_is_valid(c, v->control.eventinj);
}

struct paging_key { u64 cr0, cr3, cr4, efer; };

static struct paging_key paging_key_of(const struct x86 *x)
{
	const u64 cr0 = X86_CR0_PG | X86_CR0_WP;

	return (struct paging_key){ x->cr0 & cr0, x->cr3, x->cr4, x->efer };
}

/*
 * Step 5: translations.  Those of another ASID or nCR3 go.  A hypervisor that changed the
 * guest's paging registers is due to ask for a flush; we do not rely on it.
 */
static void load_tlb(struct soft_cpu *c, const struct vmcb_control *v, const struct paging_key *before)
{
	struct paging_key now = paging_key_of(&c->x);

	bool np = v->nested_ctl & VMCB_NP_ENABLE;

	if (v->tlb_control != VMCB_TLB_NOTHING || v->asid != c->asid || np != c->np ||
	    (np && v->n_cr3 != c->n_cr3))
		soft_tlb_flush_nested(c);
	else if (__builtin_memcmp(&now, before, sizeof(now)) != 0)
		soft_tlb_flush(&c->x, X86_FLUSH_ALL, 0);
	c->asid = v->asid;
	c->np = np;
	c->n_cr3 = v->n_cr3;
	c->nested_paging = (struct x86_paging){
		.root = v->n_cr3 & 0x000ffffffffff000ull, .levels = 4, .phys_bits = 52,
		.nxe = true, .wp = true, .gb_pages = true,
	};
}

/* Step 7: EVENTINJ.  False if that already ended in an exit. */
static bool inject(struct soft_cpu *c, const struct vmcb_control *v)
{
	u64 e = v->eventinj;
	struct x86_event event = {
		.valid = true, .vector = (u8)(e & VMCB_EVENT_VECTOR), .type = (u8)VMCB_EVENT_TYPE(e),
		.has_error = e & VMCB_EVENT_EV, .error = (u32)(e >> VMCB_EVENT_ERROR_SHIFT),
		.return_rip = c->x.rip,
	};
	bool soft = event.type == X86_EVENT_SOFT ||
		    (event.type == X86_EVENT_EXCEPTION && (event.vector == X86_BP || event.vector == X86_OF));

	if (!(e & VMCB_EVENT_V))
		return true;
	if (soft && v->next_rip)
		event.return_rip = v->next_rip;
	event.has_error &= event.type == X86_EVENT_EXCEPTION;
	return soft_inject(c, &event) != X86_EXIT;
}

static void save_guest(struct soft_cpu *c, struct vmcb *v, u64 gpr[16])
{
	struct vmcb_save *s = &v->save;
	struct x86 *x = &c->x;

	__builtin_memcpy(gpr, x->gpr, sizeof(x->gpr));
	s->rax = x->gpr[X86_RAX];
	s->rsp = x->gpr[X86_RSP];
	s->rip = x->rip;
	s->rflags = x->rflags | (c->current && c->resume ? X86_FLAG_RF : 0);
	s->es = x->seg[X86_ES];
	s->cs = x->seg[X86_CS];
	s->ss = x->seg[X86_SS];
	s->ds = x->seg[X86_DS];
	s->gdtr.limit = x->gdtr.limit;
	s->gdtr.base = x->gdtr.base;
	s->idtr.limit = x->idtr.limit;
	s->idtr.base = x->idtr.base;
	s->cr0 = x->cr0;
	s->cr2 = x->cr2;
	s->cr3 = x->cr3;
	s->cr4 = x->cr4;
	s->efer = x->efer | X86_EFER_SVME;
	s->dr6 = x->dr6;
	s->dr7 = x->dr7;
	s->g_pat = x->pat;
	s->cpl = x->cpl;
}

static u64 exitintinfo_of(const struct x86_event *e)
{
	if (!e->valid)
		return 0;
	return e->vector | (u64)e->type << VMCB_EVENT_TYPE_SHIFT | VMCB_EVENT_V |
	       (e->has_error ? VMCB_EVENT_EV | (u64)e->error << VMCB_EVENT_ERROR_SHIFT : 0);
}

static void save_exit(struct soft_cpu *c, struct vmcb_control *v)
{
	const struct x86_event *delivering = &c->x.delivering;

	v->int_ctl = c->int_ctl;
	v->int_state = c->x.shadow ? VMCB_INT_STATE_SHADOW : 0;
	v->exitcode = c->exit_code;
	v->exitinfo1 = c->exit_info1;
	v->exitinfo2 = c->exit_info2;
	v->exitintinfo = exitintinfo_of(delivering);
	v->next_rip = c->exit_next_rip;
	if (delivering->valid && delivering->type == X86_EVENT_SOFT)
		v->next_rip = delivering->return_rip;
	v->fetched = 0;
	if (c->exit_bytes && c->current && !delivering->valid) {
		v->fetched = c->current->len;
		__builtin_memcpy(v->instruction, c->current->bytes, sizeof(v->instruction));
	}
	v->eventinj &= ~VMCB_EVENT_V;
}

void soft_vmrun(struct soft_cpu *c, hpa_t vmcb, u64 gpr[16])
{
	struct vmcb *v = (struct vmcb *)vmcb;
	struct paging_key before = paging_key_of(&c->x);

	c->vmcb = v;
	soft_code_enter(c, v);
	load_controls(c, &v->control);
	load_guest(c, v, gpr);
	load_tlb(c, &v->control, &before);
	x86_mode_changed(&c->x);
	if (!state_is_valid(c, v)) {
		soft_exit(c, VMEXIT_INVALID, 0, 0);
		v->control.exitcode = VMEXIT_INVALID;
		v->control.exitinfo1 = v->control.exitinfo2 = v->control.exitintinfo = 0;
		return;
	}
	c->gif = true;
	if (inject(c, &v->control))
		soft_run(c);

	c->gif = false;
	save_guest(c, v, gpr);
	save_exit(c, &v->control);
	c->vmcb = NULL;
}

void soft_vmload(struct soft_cpu *c, hpa_t vmcb)
{
	const struct vmcb_save *s = &((const struct vmcb *)vmcb)->save;
	struct x86 *x = &c->x;

	x->seg[X86_FS] = s->fs;
	x->seg[X86_GS] = s->gs;
	x->seg[X86_TR] = s->tr;
	x->seg[X86_LDTR] = s->ldtr;
	x->kernel_gs_base = s->kernel_gs_base;
	x->star = s->star;
	x->lstar = s->lstar;
	x->cstar = s->cstar;
	x->sfmask = s->sfmask;
	x->sysenter_cs = s->sysenter_cs;
	x->sysenter_esp = s->sysenter_esp;
	x->sysenter_eip = s->sysenter_eip;
}

void soft_vmsave(struct soft_cpu *c, hpa_t vmcb)
{
	struct vmcb_save *s = &((struct vmcb *)vmcb)->save;
	const struct x86 *x = &c->x;

	s->fs = x->seg[X86_FS];
	s->gs = x->seg[X86_GS];
	s->tr = x->seg[X86_TR];
	s->ldtr = x->seg[X86_LDTR];
	s->kernel_gs_base = x->kernel_gs_base;
	s->star = x->star;
	s->lstar = x->lstar;
	s->cstar = x->cstar;
	s->sfmask = x->sfmask;
	s->sysenter_cs = x->sysenter_cs;
	s->sysenter_esp = x->sysenter_esp;
	s->sysenter_eip = x->sysenter_eip;
}

void soft_invlpga(struct soft_cpu *c, u64 linear, u32 asid)
{
	if (asid == c->asid)
		soft_tlb_flush(&c->x, X86_FLUSH_PAGE, linear);
}

void soft_set_gif(struct soft_cpu *c, bool gif)
{
	c->gif = gif;
}
