// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * regs.c - a vCPU's registers as clients read and write them
 *
 * Each ioctl brings the groups it needs into v->x, or changes them there and says so; the
 * back end is given what changed at the next entry.  What is written is checked as KVM
 * checks it; what passes and yet makes no sense to the processor fails the next entry.
 *
 * Locking: v->lock.
 * Reference: Linux Documentation/virt/kvm/api.rst.
 * Not modelled: PDPTRs of PAE guests, which are read from memory as nested paging does.
 */
#include <linux/errno.h>

#include "core/vm.h"

/* RSP of KVM's structures and of x86 encoding order differ; everything else has names. */
#define GPR_NAMES(X) \
	X(rax, 0) X(rcx, 1) X(rdx, 2) X(rbx, 3) X(rsp, 4) X(rbp, 5) X(rsi, 6) X(rdi, 7) \
	X(r8, 8) X(r9, 9) X(r10, 10) X(r11, 11) X(r12, 12) X(r13, 13) X(r14, 14) X(r15, 15)

int vcpu_get_regs(struct vcpu *v, struct kvm_regs *regs)
{
	vcpu_regs_need(v, REGS_GPR);
#define GET(name, n) regs->name = v->x.gpr[n];
	GPR_NAMES(GET)
#undef GET
	regs->rip = v->x.rip;
	regs->rflags = v->x.rflags;
	if (v->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		regs->rflags &= ~X86_FLAG_TF;
	return 0;
}

int vcpu_set_regs(struct vcpu *v, const struct kvm_regs *regs)
{
	vcpu_regs_dirty(v, REGS_GPR);
#define SET(name, n) v->x.gpr[n] = regs->name;
	GPR_NAMES(SET)
#undef SET
	v->x.rip = regs->rip;
	v->x.rflags = regs->rflags | X86_FLAG_1;
	/* An exception of the old state must not hit the new one. */
	v->events.exception.pending = false;
	vcpu_request(v, REQ_EVENT);
	return 0;
}

static void segment_get(const struct x86_seg *s, struct kvm_segment *out)
{
	*out = (struct kvm_segment){
		.base = s->base, .limit = s->limit, .selector = s->selector,
		.type = s->attr & X86_SEG_TYPE, .present = !!(s->attr & X86_SEG_P),
		.dpl = (u8)X86_SEG_DPL(s->attr), .db = !!(s->attr & X86_SEG_DB),
		.s = !!(s->attr & X86_SEG_S), .l = !!(s->attr & X86_SEG_L),
		.g = !!(s->attr & X86_SEG_G), .avl = !!(s->attr & X86_SEG_AVL),
		.unusable = !(s->attr & X86_SEG_P),
	};
}

static void segment_set(struct x86_seg *s, const struct kvm_segment *in)
{
	s->base = in->base;
	s->limit = in->limit;
	s->selector = in->selector;
	s->attr = (u16)((in->type & 0xf) | (in->s ? X86_SEG_S : 0) | (in->dpl & 3u) << 5 |
			(in->present && !in->unusable ? X86_SEG_P : 0) | (in->avl ? X86_SEG_AVL : 0) |
			(in->l ? X86_SEG_L : 0) | (in->db ? X86_SEG_DB : 0) | (in->g ? X86_SEG_G : 0));
}

/* kvm_sregs and kvm_sregs2 share their first part; the order of segments is theirs. */
#define SEGMENT_NAMES(X) \
	X(cs, X86_CS) X(ds, X86_DS) X(es, X86_ES) X(fs, X86_FS) X(gs, X86_GS) X(ss, X86_SS) \
	X(tr, X86_TR) X(ldt, X86_LDTR)
#define SREGS_COMMON_BYTES offsetof(struct kvm_sregs, interrupt_bitmap)
BUILD_ASSERT(SREGS_COMMON_BYTES == offsetof(struct kvm_sregs2, flags));

static void sregs_get(struct vcpu *v, struct kvm_sregs *s)
{
	vcpu_regs_need(v, REGS_SEG | REGS_CR);
#define GET(name, n) segment_get(&v->x.seg[n], &s->name);
	SEGMENT_NAMES(GET)
#undef GET
	s->ss.dpl = v->x.cpl;		/* AMD keeps the privilege level apart */
	s->gdt.base = v->x.gdtr.base;
	s->gdt.limit = v->x.gdtr.limit;
	s->idt.base = v->x.idtr.base;
	s->idt.limit = v->x.idtr.limit;
	s->cr0 = v->x.cr0;
	s->cr2 = v->x.cr2;
	s->cr3 = v->x.cr3;
	s->cr4 = v->x.cr4;
	s->cr8 = vcpu_cr8_get(v);
	s->efer = v->x.efer;
	s->apic_base = v->apic_base;
}

/* What x86_state_is_valid() does not look at, or KVM looks at before anything else. */
static bool sregs_are_valid(struct vcpu *v, const struct kvm_sregs *s)
{
	if ((s->efer & X86_EFER_LME) && (s->cr0 & X86_CR0_PG)) {
		if (!(s->cr4 & X86_CR4_PAE) || !(s->efer & X86_EFER_LMA))
			return false;
		if (s->cr3 >> v->x.phys_bits)
			return false;
	} else if ((s->efer & X86_EFER_LMA) || s->cs.l) {
		return false;
	}
	if ((s->cr4 & ~v->x.cr4_valid) || s->cr0 >> 32)
		return false;
	if ((s->cr0 & X86_CR0_PG) && !(s->cr0 & X86_CR0_PE))
		return false;
	if ((s->cr0 & X86_CR0_NW) && !(s->cr0 & X86_CR0_CD))
		return false;
	return s->cr8 <= 15;
}

static int sregs_set(struct vcpu *v, const struct kvm_sregs *s)
{
	u64 efer = s->efer;

	if (!sregs_are_valid(v, s) || (efer & ~(v->x.efer_valid | X86_EFER_LMA)))
		return -EINVAL;
	if (s->apic_base != v->apic_base && lapic_base_set(v, s->apic_base, true))
		return -EINVAL;
	vcpu_regs_dirty(v, REGS_SEG | REGS_CR);
#define SET(name, n) segment_set(&v->x.seg[n], &s->name);
	SEGMENT_NAMES(SET)
#undef SET
	v->x.cpl = s->ss.unusable ? 0 : s->ss.dpl & 3;
	v->x.gdtr = (struct x86_table){ .base = s->gdt.base, .limit = s->gdt.limit };
	v->x.idtr = (struct x86_table){ .base = s->idt.base, .limit = s->idt.limit };
	v->x.cr0 = s->cr0 | X86_CR0_ET;
	v->x.cr2 = s->cr2;
	v->x.cr3 = s->cr3;
	v->x.cr4 = s->cr4;
	v->x.efer = efer;
	vcpu_cr8_set(v, s->cr8);
	nested_efer_changed(v);
	cpuid_update_runtime(v);
	vcpu_request(v, REQ_TLB_FLUSH);
	vcpu_request(v, REQ_EVENT);
	/* Older clients reset a halted boot processor by its registers alone. */
	if (v->id == atomic_load_relaxed(&v->vm->bsp_id) && v->x.rip == 0xfff0 && s->cs.selector == 0xf000 &&
	    !(s->cr0 & X86_CR0_PE))
		atomic_store_release(&v->mp_state, KVM_MP_STATE_RUNNABLE);
	return 0;
}

int vcpu_get_sregs(struct vcpu *v, struct kvm_sregs *sregs)
{
	*sregs = (struct kvm_sregs){ 0 };
	sregs_get(v, sregs);
	if (v->events.interrupt.injected && !v->events.interrupt.soft)
		sregs->interrupt_bitmap[v->events.interrupt.vector / 64] |=
			BIT_U64(v->events.interrupt.vector % 64);
	return 0;
}

int vcpu_set_sregs(struct vcpu *v, const struct kvm_sregs *sregs)
{
	int r = sregs_set(v, sregs);

	if (r)
		return r;
	for (unsigned word = ARRAY_LEN(sregs->interrupt_bitmap); word-- > 0;) {
		if (!sregs->interrupt_bitmap[word])
			continue;
		v->events.interrupt.injected = true;
		v->events.interrupt.soft = false;
		v->events.interrupt.vector =
			(u8)(word * 64 + (unsigned)__builtin_ctzll(sregs->interrupt_bitmap[word]));
	}
	return 0;
}

int vcpu_get_sregs2(struct vcpu *v, struct kvm_sregs2 *sregs)
{
	struct kvm_sregs s = { 0 };

	sregs_get(v, &s);
	*sregs = (struct kvm_sregs2){ 0 };
	__builtin_memcpy(sregs, &s, SREGS_COMMON_BYTES);
	return 0;
}

int vcpu_set_sregs2(struct vcpu *v, const struct kvm_sregs2 *sregs)
{
	struct kvm_sregs s = { 0 };

	bool pae = (sregs->cr0 & X86_CR0_PG) && (sregs->cr4 & X86_CR4_PAE) && !(sregs->efer & X86_EFER_LMA);

	if (sregs->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID || (sregs->flags && !pae))
		return -EINVAL;
	__builtin_memcpy(&s, sregs, SREGS_COMMON_BYTES);
	return sregs_set(v, &s);
}

int vcpu_get_debugregs(struct vcpu *v, struct kvm_debugregs *d)
{
	vcpu_regs_need(v, REGS_DR);
	*d = (struct kvm_debugregs){ .dr6 = v->x.dr6, .dr7 = v->x.dr7 };
	__builtin_memcpy(d->db, v->x.dr, sizeof(d->db));
	return 0;
}

int vcpu_set_debugregs(struct vcpu *v, const struct kvm_debugregs *d)
{
	if (d->flags || d->dr6 >> 32 || d->dr7 >> 32)
		return -EINVAL;
	vcpu_regs_dirty(v, REGS_DR);
	__builtin_memcpy(v->x.dr, d->db, sizeof(v->x.dr));
	v->x.dr6 = (d->dr6 | 0xfffe0ff0ull) & ~BIT_U64(12);
	v->x.dr7 = (d->dr7 & 0xffff2bffull) | BIT_U64(10);
	return 0;
}

int vcpu_get_events(struct vcpu *v, struct kvm_vcpu_events *e)
{
	const struct vcpu_events *q = &v->events;
	const struct backend *be = v->vm->be;

	*e = (struct kvm_vcpu_events){ 0 };
	/* Without payloads the client knows one state only, and calls it injected. */
	if (atomic_load_relaxed(&v->vm->exception_payload)) {
		e->exception.injected = q->exception.injected;
		e->exception.pending = q->exception.pending;
		e->exception_has_payload = q->exception.has_payload;
		e->exception_payload = q->exception.payload;
		e->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	} else {
		e->exception.injected = q->exception.injected || q->exception.pending;
		e->exception.pending = e->exception.injected;
	}
	/* RIP is still at INT3 or INTO: it will be met again. */
	if (q->exception.vector == X86_BP || q->exception.vector == X86_OF)
		e->exception.injected = e->exception.pending = 0;
	e->exception.nr = q->exception.vector;
	e->exception.has_error_code = q->exception.has_error;
	e->exception.error_code = q->exception.error;

	e->interrupt.injected = q->interrupt.injected && !q->interrupt.soft;
	e->interrupt.nr = q->interrupt.vector;
	e->interrupt.shadow = be->shadow_get(v);

	e->nmi.injected = q->nmi.injected;
	e->nmi.pending = atomic_load_acquire(&q->nmi.pending) != 0;
	e->nmi.masked = be->nmi_masked_get(v);

	if (atomic_load_relaxed(&v->vm->triple_fault_event)) {
		e->triple_fault.pending = atomic_load_acquire(&v->requests) >> REQ_TRIPLE_FAULT & 1;
		e->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
	smm_events_get(v, e);
	e->sipi_vector = 0;		/* as KVM: never valid on the way out */
	e->flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	return 0;
}

static bool events_are_valid(struct vcpu *v, const struct kvm_vcpu_events *e)
{
	u32 known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
		    KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_PAYLOAD |
		    (atomic_load_relaxed(&v->vm->triple_fault_event) ? KVM_VCPUEVENT_VALID_TRIPLE_FAULT : 0);

	if (e->flags & ~known)
		return false;
	if (e->flags & KVM_VCPUEVENT_VALID_PAYLOAD) {
		if (!atomic_load_relaxed(&v->vm->exception_payload) || (e->exception.pending && e->exception.injected))
			return false;
	}
	if ((e->exception.injected || (e->flags & KVM_VCPUEVENT_VALID_PAYLOAD && e->exception.pending)) &&
	    (e->exception.nr > 31 || e->exception.nr == X86_NMI))
		return false;
	return true;
}

int vcpu_set_events(struct vcpu *v, const struct kvm_vcpu_events *e)
{
	struct vcpu_events *q = &v->events;
	const struct backend *be = v->vm->be;
	bool payload = e->flags & KVM_VCPUEVENT_VALID_PAYLOAD;

	if (!events_are_valid(v, e))
		return -EINVAL;
	q->exception.injected = e->exception.injected;
	q->exception.pending = payload && e->exception.pending;
	q->exception.vector = e->exception.nr;
	q->exception.has_error = e->exception.has_error_code;
	q->exception.error = e->exception.error_code;
	q->exception.has_payload = payload && e->exception_has_payload;
	q->exception.payload = payload ? e->exception_payload : 0;

	q->interrupt.injected = e->interrupt.injected;
	q->interrupt.vector = e->interrupt.nr;
	q->interrupt.soft = e->interrupt.soft;
	if (e->flags & KVM_VCPUEVENT_VALID_SHADOW)
		be->shadow_set(v, e->interrupt.shadow);

	q->nmi.injected = e->nmi.injected;
	if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		atomic_store_release(&q->nmi.pending, e->nmi.pending ? 1u : 0u);
	be->nmi_masked_set(v, e->nmi.masked);

	if ((e->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && v->lapic)
		atomic_store_release(&v->pending_sipi, 0x100u | (e->sipi_vector & 0xff));
	if (e->flags & KVM_VCPUEVENT_VALID_SMM)
		smm_events_set(v, e);
	if (e->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		vcpu_request_take(v, REQ_TRIPLE_FAULT);
		if (e->triple_fault.pending)
			vcpu_request(v, REQ_TRIPLE_FAULT);
	}
	vcpu_request(v, REQ_EVENT);
	return 0;
}

int vcpu_get_mp_state(struct vcpu *v, struct kvm_mp_state *s)
{
	vcpu_apic_events_accept(v);
	s->mp_state = atomic_load_acquire(&v->mp_state);
	return 0;
}

int vcpu_set_mp_state(struct vcpu *v, const struct kvm_mp_state *s)
{
	u32 state = s->mp_state;

	if (state > KVM_MP_STATE_SIPI_RECEIVED)
		return -EINVAL;
	/* Without an in-kernel LAPIC there is nobody to send INIT and SIPI. */
	if (!v->lapic && state != KVM_MP_STATE_RUNNABLE)
		return -EINVAL;
	if (state == KVM_MP_STATE_SIPI_RECEIVED) {
		state = KVM_MP_STATE_INIT_RECEIVED;
		atomic_fetch_or(&v->pending_sipi, 0x100u);
	}
	atomic_store_release(&v->mp_state, state);
	vcpu_request(v, REQ_EVENT);
	return 0;
}

int vcpu_set_guest_debug(struct vcpu *v, const struct kvm_guest_debug *d)
{
	if (d->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (v->events.exception.pending)
			return -EBUSY;
		event_exception(v, d->control & KVM_GUESTDBG_INJECT_DB ? X86_DB : X86_BP, false, 0);
	}
	vcpu_regs_dirty(v, REGS_DR);	/* whose breakpoints are in force may change */
	v->guest_debug = d->control & KVM_GUESTDBG_ENABLE ? d->control : 0;
	if (v->guest_debug & KVM_GUESTDBG_USE_HW_BP) {
		__builtin_memcpy(v->eff_dr, d->arch.debugreg, sizeof(v->eff_dr));
		v->guest_debug_dr[7] = (d->arch.debugreg[7] & 0xffff2bffull) | BIT_U64(10);
	}
	v->vm->be->intercepts_update(v);
	return 0;
}

int vcpu_translate(struct vcpu *v, struct kvm_translation *t)
{
	struct x86_fault fault = v->x.fault;
	u64 linear = t->linear_address, cr2;
	gpa_t gpa = 0;
	int cookie = host_srcu_enter(&v->vm->srcu), r;

	vcpu_regs_need(v, REGS_ALL);
	cr2 = v->x.cr2;
	r = mmu_guest_translate(v, linear, X86_READ | X86_IMPLICIT | X86_PROBE, &gpa);
	v->x.cr2 = cr2;
	v->x.fault = fault;
	host_srcu_leave(&v->vm->srcu, cookie);
	t->usermode = 0;
	t->valid = r == X86_OK;
	t->physical_address = r == X86_OK ? gpa : ~0ull;
	t->writeable = 1;
	return 0;
}

int vcpu_interrupt(struct vcpu *v, u32 vector)
{
	if (vector > 255)
		return -EINVAL;
	if (v->vm->irq.pic)
		return -ENXIO;
	if (!v->lapic && !v->nested.running) {	/* in L2, L1 may want it */
		v->events.interrupt.injected = true;
		v->events.interrupt.soft = false;
		v->events.interrupt.vector = (u8)vector;
	} else {
		if (v->external_vector >= 0)
			return -EEXIST;
		v->external_vector = (s32)vector;
	}
	vcpu_request(v, REQ_EVENT);
	return 0;
}

int vcpu_set_tsc_khz(struct vcpu *v, u32 khz)
{
	if (!khz)
		khz = (u32)host_tsc_khz();
	/* Without TSC scaling only the host's own rate, give or take what NTP finds, can be had. */
	if (khz != v->tsc_khz) {
		u64 host = host_tsc_khz(), slack = host / 4000;	/* 250 ppm, KVM's tolerance */

		if (khz > host + slack || khz + slack < host)
			return -EINVAL;
	}
	v->tsc_khz = khz;
	vcpu_request(v, REQ_CLOCK_UPDATE);
	return 0;
}
