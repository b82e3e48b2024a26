// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nested.c - VMRUN and #VMEXIT of a guest's hypervisor
 *
 * The steps and their order are the manual's.  VMCB12 is copied once, the copy is checked,
 * and the copy is used; L1 may change what is in its memory at any time.  What leaves L2
 * to us stays intercepted whatever L1 says.  Translations are flushed whenever L1 and L2
 * take turns, since they share an ASID; the tables for L2's physical addresses (core/shadow.h)
 * live on while ASID and nCR3 stay.
 *
 * An event that L1 injects goes through the vCPU's queue like those of ours, so that an
 * exit during its delivery that is ours to handle makes it be injected again.
 *
 * Invariants:
 *   1. v->nested.paging only with v->nested.running.
 *   2. The VMCB's controls are a function of ours and of n->control; n->control changes
 *      only by VMRUN and svm_nested_v_irq_sync().
 *
 * Locking: v->lock, inside vm->srcu.
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "VMRUN Instruction",
 * "#VMEXIT", "Canonicalization and Consistency Checks", "TLB Control".
 * Not modelled: virtual GIF, VMSAVE and VMLOAD; AVIC; LBR virtualization; TSC scaling.
 */
#include "svm/nested.h"

#include <linux/errno.h>

#include "x86/feature.h"

#define PAE_ROOT_RESERVED	0x1e6ull	/* bits 1, 2, 5 to 8 */

/* --- making -------------------------------------------------------------------------------- */

void svm_nested_destroy(struct svm_nested *n)
{
	if (!n)
		return;
	host_free_pages(n->msrpm, SVM_MSRPM_ORDER);
	host_free_pages(n->msrpm12, 0);
	host_free_pages(n->top, 0);
	host_free_pages(n->scratch, 0);
	host_free(n);
}

int svm_nested_create(struct vcpu *v)
{
	const struct svm_vm *vm = v->vm->backend;
	struct svm_vcpu *s = svm_of(v);
	struct svm_nested *n;

	if (s->nested)
		return 0;
	n = host_alloc(sizeof(*n), 0);
	if (!n)
		return -ENOMEM;
	n->msrpm = host_alloc_pages(SVM_MSRPM_ORDER, 0);
	n->msrpm12 = host_alloc_pages(0, 0);
	n->top = vm->top ? host_alloc_pages(0, 0) : NULL;
	n->scratch = host_alloc_pages(0, 0);
	if (!n->msrpm || !n->msrpm12 || (vm->top && !n->top) || !n->scratch || shadow_nested_create(v)) {
		svm_nested_destroy(n);
		return -ENOMEM;
	}
	__builtin_memset(n->msrpm, 0xff, PAGE_BYTES << SVM_MSRPM_ORDER);
	s->nested = n;
	return 0;
}

/* --- checks ----------------------------------------------------------------------------------- */

static bool event_is_valid(u64 event)
{
	unsigned vector = event & VMCB_EVENT_VECTOR, type = VMCB_EVENT_TYPE(event);

	if (!(event & VMCB_EVENT_V))
		return true;
	if (type == X86_EVENT_EXCEPTION)
		return vector < 32 && vector != X86_NMI;
	return type == X86_EVENT_INTR || type == X86_EVENT_NMI || type == X86_EVENT_SOFT;
}

static bool range_is_physical(const struct vcpu *v, gpa_t base, u64 bytes)
{
	return base + bytes <= BIT_U64(v->x.phys_bits) && base + bytes >= base;
}

bool svm_nested_controls_are_valid(struct vcpu *v, const struct vmcb_control *c, u64 host_cr0)
{
	if (!(c->intercept[VMCB_INTERCEPT_VMRUN / 32] >> VMCB_INTERCEPT_VMRUN % 32 & 1) || !c->asid)
		return false;
	if ((c->nested_ctl & VMCB_NP_ENABLE) && !(host_cr0 & X86_CR0_PG))
		return false;
	if (!range_is_physical(v, c->iopm_base_pa & ~(PAGE_BYTES - 1), 3 * PAGE_BYTES) ||
	    !range_is_physical(v, c->msrpm_base_pa & ~(PAGE_BYTES - 1), 2 * PAGE_BYTES))
		return false;
	if (c->tlb_control != VMCB_TLB_NOTHING && c->tlb_control != VMCB_TLB_FLUSH_ALL &&
	    c->tlb_control != VMCB_TLB_FLUSH_ASID && c->tlb_control != VMCB_TLB_FLUSH_ASID_LOCAL)
		return false;
	return event_is_valid(c->eventinj);
}

bool svm_nested_save_is_valid(struct vcpu *v, const struct vmcb_save *s)
{
	bool long_mode = (s->efer & X86_EFER_LME) && (s->cr0 & X86_CR0_PG);

	if (!(s->efer & X86_EFER_SVME) || (s->efer & ~(v->x.efer_valid | X86_EFER_LMA)))
		return false;
	if (s->cr0 >> 32 || ((s->cr0 & X86_CR0_NW) && !(s->cr0 & X86_CR0_CD)))
		return false;
	if ((s->cr4 & ~v->x.cr4_valid) || s->cr3 >> v->x.phys_bits || s->dr6 >> 32 || s->dr7 >> 32)
		return false;
	if (!long_mode)
		return true;
	return (s->cr4 & X86_CR4_PAE) && (s->cr0 & X86_CR0_PE) &&
	       (s->cs.attr & (X86_SEG_L | X86_SEG_DB)) != (X86_SEG_L | X86_SEG_DB);
}

/*
 * PAE's root has four entries, which VMRUN loads and checks; under nested paging they are walked
 * like all others.
 */
static bool pae_root_is_valid(struct vcpu *v, const struct vmcb *vmcb12)
{
	const struct vmcb_save *s = &vmcb12->save;
	u64 reserved = ~(BIT_U64(v->x.phys_bits) - 1) | PAE_ROOT_RESERVED, entry[4];

	if (!(s->cr0 & X86_CR0_PG) || !(s->cr4 & X86_CR4_PAE) || (s->efer & X86_EFER_LME) ||
	    (vmcb12->control.nested_ctl & VMCB_NP_ENABLE))
		return true;
	if (vcpu_guest_read(v, s->cr3 & 0xffffffe0, entry, sizeof(entry)))
		return false;
	for (unsigned n = 0; n < ARRAY_LEN(entry); n++)
		if ((entry[n] & 1) && (entry[n] & reserved))
			return false;
	return true;
}

/* --- VMRUN ------------------------------------------------------------------------------------- */

static void host_save(struct vcpu *v, struct svm_host *h)
{
	const struct x86 *x = &v->x;

	*h = (struct svm_host){
		.es = x->seg[X86_ES], .cs = x->seg[X86_CS], .ss = x->seg[X86_SS], .ds = x->seg[X86_DS],
		.gdtr = x->gdtr, .idtr = x->idtr, .efer = x->efer, .cr0 = x->cr0, .cr3 = x->cr3,
		.cr4 = x->cr4, .rflags = x->rflags, .rip = x->rip, .rsp = x->gpr[X86_RSP],
		.rax = x->gpr[X86_RAX], .pat = x->pat,
	};
}

static void l2_load(struct vcpu *v, const struct vmcb_save *s, bool paging)
{
	struct x86 *x = &v->x;

	x->seg[X86_ES] = s->es;
	x->seg[X86_CS] = s->cs;
	x->seg[X86_SS] = s->ss;
	x->seg[X86_DS] = s->ds;
	x->gdtr = (struct x86_table){ .limit = (u16)s->gdtr.limit, .base = s->gdtr.base };
	x->idtr = (struct x86_table){ .limit = (u16)s->idtr.limit, .base = s->idtr.base };
	x->cpl = s->cpl & 3;
	x->efer = s->efer & ~X86_EFER_LMA;
	if ((s->efer & X86_EFER_LME) && (s->cr0 & X86_CR0_PG))
		x->efer |= X86_EFER_LMA;
	x->cr0 = s->cr0 | X86_CR0_ET;
	x->cr2 = s->cr2;
	x->cr3 = s->cr3;
	x->cr4 = s->cr4;
	x->dr6 = s->dr6;
	x->dr7 = s->dr7;
	x->rflags = (s->rflags & 0x3f7fd5) | X86_FLAG_1;
	x->rip = s->rip;
	x->gpr[X86_RSP] = s->rsp;
	x->gpr[X86_RAX] = s->rax;
	if (paging)
		x->pat = s->g_pat;
}

/* The format of L1's nested page table is that of L1's own. */
static void tables_make(struct vcpu *v, const struct svm_nested *n, struct x86_paging *p)
{
	const struct svm_host *h = &n->host;
	u64 mask = 0x000ffffffffff000ull;

	__builtin_memset(p, 0, sizeof(*p));	/* also what is between its members: it is compared */
	p->phys_bits = v->x.phys_bits;
	p->nxe = h->efer & X86_EFER_NXE;
	p->smep = h->cr4 & X86_CR4_SMEP;	/* only for the error code: all accesses are user's */
	p->pse = h->cr4 & X86_CR4_PSE;
	p->gb_pages = cpuid_has(v, X86_FEATURE_PDPE1GB);
	p->amd = true;
	if (!(h->cr4 & X86_CR4_PAE)) {
		p->levels = 2;
		mask = 0xfffff000;
	} else if (!(h->efer & X86_EFER_LMA)) {
		p->levels = 3;
		mask = 0xffffffe0;
	} else {
		p->levels = h->cr4 & X86_CR4_LA57 ? 5 : 4;
	}
	p->root = n->control.n_cr3 & mask;
}

/* What is known of L2's physical addresses stays valid as long as a TLB's content would. */
static void l2_paging_begin(struct vcpu *v)
{
	struct svm_nested *n = svm_of(v)->nested;
	struct x86_paging tables;

	tables_make(v, n, &tables);
	v->nested.paging = true;
	if (n->control.tlb_control != VMCB_TLB_NOTHING || n->control.asid != n->tables_asid ||
	    __builtin_memcmp(&tables, &v->nested.tables, sizeof(tables)) != 0)
		shadow_reset(v);
	__builtin_memcpy(&v->nested.tables, &tables, sizeof(tables));
	n->tables_asid = n->control.asid;
}

/* Everything in the VMCB that follows from who runs. */
static void turn(struct vcpu *v)
{
	svm_int_ctl_update(v);
	svm_controls_update(v);
	svm_intercepts_update(v);
	mmu_root_load(v);
	svm_tlb_flush(v);
	vcpu_request(v, REQ_EVENT);
}

void svm_nested_begin(struct vcpu *v)
{
	const struct svm_vm *vm = v->vm->backend;
	struct svm_vcpu *s = svm_of(v);
	struct svm_nested *n = s->nested;
	struct vmcb_control *c = &s->vmcb->control;

	svm_irq_window(v, false);
	svm_msrpm_merge(n->msrpm, vm->msrpm, n->msrpm12);
	v->nested.running = true;
	v->nested.gif_clear = v->nested.exit_pending = false;
	v->nested.tsc_offset = n->control.tsc_offset;
	n->injecting = false;
	if (n->control.nested_ctl & VMCB_NP_ENABLE)
		l2_paging_begin(v);
	if (svm_tpr_is_l2s(v))
		c->int_ctl = (c->int_ctl & ~VMCB_INT_CTL_V_TPR) | (n->control.int_ctl & VMCB_INT_CTL_V_TPR);
	turn(v);
}

void svm_nested_eventinj_queue(struct vcpu *v, u64 event)
{
	struct svm_nested *n = svm_of(v)->nested;
	struct vcpu_events *q = &v->events;

	q->exception.injected = q->exception.pending = q->interrupt.injected = q->nmi.injected = false;
	if (!(event & VMCB_EVENT_V))
		return;
	n->injecting = true;
	n->soft_rip = cpuid_has(v, X86_FEATURE_NRIPS) ? n->control.next_rip : v->x.rip;
	switch (VMCB_EVENT_TYPE(event)) {
	case X86_EVENT_EXCEPTION:
		q->exception.injected = true;
		q->exception.vector = (u8)(event & VMCB_EVENT_VECTOR);
		q->exception.has_error = event & VMCB_EVENT_EV;
		q->exception.error = (u32)(event >> VMCB_EVENT_ERROR_SHIFT);
		break;
	case X86_EVENT_NMI:
		q->nmi.injected = true;
		break;
	default:
		q->interrupt.injected = true;
		q->interrupt.soft = VMCB_EVENT_TYPE(event) == X86_EVENT_SOFT;
		q->interrupt.vector = (u8)(event & VMCB_EVENT_VECTOR);
		q->interrupt.next_rip = n->soft_rip;
	}
}

/* VMEXIT_INVALID, as the instruction's own end. */
static void vmrun_refuse(struct vcpu *v)
{
	const gpa_t gpa = svm_of(v)->nested->vmcb12;
	struct host_page page;
	struct vmcb *vmcb12 = nested_page_get(v, gpa, true, &page);

	if (vmcb12) {
		vmcb12->control.exitcode = VMEXIT_INVALID;
		vmcb12->control.exitinfo1 = vmcb12->control.exitinfo2 = 0;
		nested_page_put(v, gpa, true, &page);
	} else {
		vcpu_request(v, REQ_TRIPLE_FAULT);
	}
	v->nested.gif_clear = true;
	svm_irq_window(v, false);
	vcpu_request(v, REQ_EVENT);
}

int svm_nested_msrpm_copy(struct vcpu *v)
{
	struct svm_nested *n = svm_of(v)->nested;
	const u32 *intercept = n->control.intercept;
	gpa_t gpa = n->control.msrpm_base_pa & ~(PAGE_BYTES - 1);
	struct host_page page;
	const void *map;

	n->msrpm12_of = 0;
	if (!(intercept[VMCB_INTERCEPT_MSR_PROT / 32] >> VMCB_INTERCEPT_MSR_PROT % 32 & 1)) {
		__builtin_memset(n->msrpm12, 0, PAGE_BYTES);
		return 0;
	}
	map = nested_page_get(v, gpa, false, &page);
	if (!map)
		return -EFAULT;
	__builtin_memcpy(n->msrpm12, map, PAGE_BYTES);
	nested_page_put(v, gpa, false, &page);
	n->msrpm12_of = n->vmcb12;
	return 0;
}

/*
 * An L1 that uses Hyper-V's enlightened MSR bitmap says when it has changed it: in the clean
 * bit that VMCBs keep for software, and by a flag in the part that is the hypervisor's own.
 */
#define CLEAN_SOFTWARE		BIT_U64(31)
#define ENLIGHTENMENTS_AT	0x3e0u
#define ENLIGHTENED_MSR_BITMAP	2u

static bool msrpm_is_unchanged(struct vcpu *v)
{
	const struct svm_nested *n = svm_of(v)->nested;
	const u8 *enlightenments = (const u8 *)&n->control + ENLIGHTENMENTS_AT;

	return (*enlightenments & ENLIGHTENED_MSR_BITMAP) && (n->control.clean & CLEAN_SOFTWARE) &&
	       n->msrpm12_of == n->vmcb12 && v->hv && v->vm->hv.guest_os_id;
}

bool svm_nested_try_enter(struct vcpu *v)
{
	struct svm_nested *n = svm_of(v)->nested;
	const struct vmcb *vmcb12 = n->scratch;

	vcpu_regs_dirty(v, REGS_ALL);
	n->control = vmcb12->control;
	if (!svm_nested_controls_are_valid(v, &n->control, v->x.cr0) ||
	    !svm_nested_save_is_valid(v, &vmcb12->save) || !pae_root_is_valid(v, vmcb12) ||
	    (!msrpm_is_unchanged(v) && svm_nested_msrpm_copy(v)))
		return false;
	host_save(v, &n->host);
	l2_load(v, &vmcb12->save, n->control.nested_ctl & VMCB_NP_ENABLE);
	svm_shadow_set(v, n->control.int_state & VMCB_INT_STATE_SHADOW ? 1 : 0);
	svm_nested_begin(v);
	svm_nested_eventinj_queue(v, n->control.eventinj);
	cpuid_update_runtime(v);
	return true;
}

void svm_nested_enter(struct vcpu *v)
{
	if (!svm_nested_try_enter(v))
		vmrun_refuse(v);
}

/* --- #VMEXIT ------------------------------------------------------------------------------------ */

/* What of VMCB12 #VMEXIT writes. */
#define FIELD(part, f)	{ offsetof(struct vmcb, part.f), sizeof(((struct vmcb *)0)->part.f) }
#define FIELDS(part, first, last) { offsetof(struct vmcb, part.first), offsetof(struct vmcb, part.last) + \
				    sizeof(((struct vmcb *)0)->part.last) - offsetof(struct vmcb, part.first) }
static const struct { u16 offset, bytes; } written[] = {
	FIELDS(control, int_ctl, exitintinfo), FIELD(control, eventinj),
	FIELDS(control, next_rip, instruction),
	FIELDS(save, es, ds), FIELD(save, gdtr), FIELD(save, idtr), FIELD(save, cpl), FIELD(save, efer),
	FIELDS(save, cr4, rip), FIELD(save, rsp), FIELD(save, rax), FIELD(save, cr2),
	FIELD(save, g_pat),	/* the last: only with nested paging */
};

static void l2_save(struct vcpu *v, struct vmcb_save *s)
{
	const struct x86 *x = &v->x;

	s->es = x->seg[X86_ES];
	s->cs = x->seg[X86_CS];
	s->ss = x->seg[X86_SS];
	s->ds = x->seg[X86_DS];
	s->gdtr = (struct x86_seg){ .limit = x->gdtr.limit, .base = x->gdtr.base };
	s->idtr = (struct x86_seg){ .limit = x->idtr.limit, .base = x->idtr.base };
	s->cpl = x->cpl;
	s->efer = x->efer;
	s->cr0 = x->cr0;
	s->cr2 = x->cr2;
	s->cr3 = x->cr3;
	s->cr4 = x->cr4;
	s->dr6 = x->dr6;
	s->dr7 = x->dr7;
	s->rflags = x->rflags;
	s->rip = x->rip;
	s->rsp = x->gpr[X86_RSP];
	s->rax = x->gpr[X86_RAX];
	if (v->nested.paging)
		s->g_pat = x->pat;
}

/* The queue's event in flight in the form of EXITINTINFO. */
static u64 exitintinfo_of(const struct vcpu_events *q)
{
	if (q->exception.injected)
		return q->exception.vector | (u64)X86_EVENT_EXCEPTION << VMCB_EVENT_TYPE_SHIFT | VMCB_EVENT_V |
		       (q->exception.has_error ? VMCB_EVENT_EV | (u64)q->exception.error << VMCB_EVENT_ERROR_SHIFT : 0);
	if (q->nmi.injected)
		return X86_NMI | (u64)X86_EVENT_NMI << VMCB_EVENT_TYPE_SHIFT | VMCB_EVENT_V;
	if (q->interrupt.injected)
		return q->interrupt.vector | VMCB_EVENT_V |
		       (u64)(q->interrupt.soft ? X86_EVENT_SOFT : X86_EVENT_INTR) << VMCB_EVENT_TYPE_SHIFT;
	return 0;
}

static void controls_save(struct vcpu *v, struct vmcb_control *out, bool raw)
{
	struct svm_vcpu *s = svm_of(v);
	const struct svm_nested *n = s->nested;
	const struct vmcb_control *c = &s->vmcb->control;

	out->int_ctl = n->control.int_ctl;
	out->int_state = c->int_state;
	out->eventinj = n->control.eventinj & ~VMCB_EVENT_V;
	out->exitintinfo = raw ? c->exitintinfo : exitintinfo_of(&v->events);
	out->next_rip = raw && cpuid_has(v, X86_FEATURE_NRIPS) ? c->next_rip : 0;
	if (!raw && v->events.interrupt.injected && v->events.interrupt.soft)
		out->next_rip = n->soft_rip;
	out->fetched = raw && svm_features.decode_assists ? c->fetched : 0;
	__builtin_memcpy(out->instruction, c->instruction, sizeof(out->instruction));
}

static int vmcb12_write(struct vcpu *v)
{
	const struct svm_nested *n = svm_of(v)->nested;
	unsigned count = ARRAY_LEN(written) - !v->nested.paging;
	struct host_page page;
	u8 *vmcb12 = nested_page_get(v, n->vmcb12, true, &page);

	if (!vmcb12)
		return -EFAULT;
	for (unsigned i = 0; i < count; i++)
		__builtin_memcpy(vmcb12 + written[i].offset, (const u8 *)n->scratch + written[i].offset, written[i].bytes);
	nested_page_put(v, n->vmcb12, true, &page);
	return 0;
}

void svm_nested_host_load(struct vcpu *v, const struct svm_host *h)
{
	struct x86 *x = &v->x;

	x->seg[X86_ES] = h->es;
	x->seg[X86_CS] = h->cs;
	x->seg[X86_SS] = h->ss;
	x->seg[X86_DS] = h->ds;
	x->gdtr = h->gdtr;
	x->idtr = h->idtr;
	x->cpl = 0;
	x->efer = h->efer;
	x->cr0 = h->cr0 | X86_CR0_PE;
	x->cr3 = h->cr3;
	x->cr4 = h->cr4;
	x->dr7 = BIT_U64(10);
	x->rflags = (h->rflags & ~X86_FLAG_VM) | X86_FLAG_1;
	x->rip = h->rip;
	x->gpr[X86_RSP] = h->rsp;
	x->gpr[X86_RAX] = h->rax;
	if (v->nested.paging)
		x->pat = h->pat;
}

void svm_nested_v_irq_sync(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	u64 theirs = 0;

	if (!v->nested.running)
		return;
	if (!s->irq_window)
		theirs |= VMCB_INT_CTL_V_IRQ;
	if (svm_tpr_is_l2s(v))
		theirs |= VMCB_INT_CTL_V_TPR;
	s->nested->control.int_ctl &= ~theirs;
	s->nested->control.int_ctl |= s->vmcb->control.int_ctl & theirs;
}

/* L1 runs again. */
static void end(struct vcpu *v)
{
	v->nested.running = v->nested.paging = v->nested.exit_pending = false;
	v->nested.tsc_offset = 0;
	svm_of(v)->exit_at_once = svm_of(v)->step_for_nmi = false;
	turn(v);
}

int svm_nested_switch_to_l1(struct vcpu *v, u64 code, u64 info1, u64 info2, bool raw)
{
	struct svm_nested *n = svm_of(v)->nested;
	struct vmcb *vmcb12 = n->scratch;
	struct vcpu_events *q = &v->events;
	int r;

	vcpu_regs_dirty(v, REGS_ALL);
	svm_nested_v_irq_sync(v);
	svm_irq_window(v, false);
	controls_save(v, &vmcb12->control, raw);
	vmcb12->control.exitcode = code;
	vmcb12->control.exitinfo1 = info1;
	vmcb12->control.exitinfo2 = info2;
	l2_save(v, &vmcb12->save);
	r = vmcb12_write(v);

	svm_nested_host_load(v, &n->host);
	end(v);
	q->exception.injected = q->exception.pending = q->interrupt.injected = q->nmi.injected = false;
	svm_shadow_set(v, 0);
	return r;
}

void svm_nested_vmexit(struct vcpu *v, u64 code, u64 info1, u64 info2, bool raw)
{
	int r = svm_nested_switch_to_l1(v, code, info1, info2, raw);

	v->nested.gif_clear = true;
	cpuid_update_runtime(v);
	if (v->x.rflags & X86_FLAG_TF) {	/* L1's VMRUN was stepped, and is over now */
		v->x.dr6 |= X86_DR6_BS;
		event_exception(v, X86_DB, false, 0);
	}
	if (r)		/* L1 has taken its VMCB's memory away */
		vcpu_request(v, REQ_TRIPLE_FAULT);
}

void svm_nested_leave(struct vcpu *v)
{
	v->nested.gif_clear = false;
	if (!v->nested.running) {
		vcpu_request(v, REQ_EVENT);
		return;
	}
	svm_irq_window(v, false);
	end(v);
}
