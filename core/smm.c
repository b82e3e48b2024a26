// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * smm.c - system management mode
 *
 * An SMI saves the processor's state at SMBASE + FE00h, in the format of a processor with or
 * without long mode, and starts the handler at SMBASE + 8000h in something like real mode
 * with 4 GiB segments. RSM loads what is there then, SMBASE included, which is how firmware
 * moves the area of each processor.
 *
 * While SMM lasts NMIs are masked (unless the handler runs IRET), INIT waits, and guest-physical
 * addresses are those of address space 1.
 *
 * Locking: v->lock, inside vm->srcu.
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "System-Management Mode", "SMM State
 * Save Area"; the 32-bit layout is that of AMD's K6.
 * An SMI in a guest's guest (L2) leaves L2: its registers are in the area as anyone's, with where
 * its VMCB is; what VMRUN saved of L1 goes to L1's host save area, as on Linux.  RSM is back in L2.
 *
 * Not modelled: I/O restart; what else of the VMCB the manual has in the area.
 */
#include "core/smm.h"

#include "core/vm.h"
#include "x86/feature.h"

#define AREA_AT		0xfe00u		/* of the saved state, from SMBASE */
#define AREA_BYTES	512u
#define HANDLER		0x8000u
#define REVISION_32	0x00020000u	/* SMBASE can be relocated */
#define REVISION_64	0x00020064u
#define EFER_AT		0x7ed0u
#define SHADOW_AT_64	0x7ecbu		/* a byte each: the interrupt shadow, as on Linux since 6.2 */
#define SHADOW_AT_32	0x7f1au
#define NESTED_AT	0x7ed8u		/* 1: it was in L2, */
#define VMCB12_AT	0x7ee0u		/* which this is the VMCB of */

struct area { u8 bytes[AREA_BYTES]; };

/* Offsets are the manual's, from SMBASE + 8000h. */
static void put(struct area *a, unsigned offset, unsigned bytes, u64 value)
{
	__builtin_memcpy(a->bytes + offset - 0x7e00, &value, bytes);
}

static u64 get(const struct area *a, unsigned offset, unsigned bytes)
{
	u64 value = 0;

	__builtin_memcpy(&value, a->bytes + offset - 0x7e00, bytes);
	return value;
}

void smm_request(struct vcpu *v)
{
	vcpu_request(v, REQ_SMI);
	vcpu_kick(v);
}

void smm_accept(struct vcpu *v)
{
	v->smm.pending = true;
	vcpu_request(v, REQ_EVENT);
}

bool smm_is_due(struct vcpu *v)
{
	return v->smm.pending && !v->smm.on && !v->nested.gif_clear;
}

void smm_switch(struct vcpu *v, bool on)
{
	if (v->smm.on == on)
		return;
	v->smm.on = on;
	if (!on)
		v->smm.inside_nmi = false;
	vcpu_request(v, REQ_MMU_ROOT);
	vcpu_request(v, REQ_EVENT);
}

/* --- segments ------------------------------------------------------------------------ */

/* In the 64-bit area attributes are as in the upper half of a descriptor, less a byte. */
static u16 attr_pack(u16 attr)
{
	return (u16)((attr & 0xff) | (attr & 0xf00) << 4);
}

static u16 attr_unpack(u16 packed)
{
	return (u16)((packed & 0xff) | (packed >> 4 & 0xf00));
}

static void segment_put_64(struct area *a, unsigned offset, const struct x86_seg *s)
{
	put(a, offset, 2, s->selector);
	put(a, offset + 2, 2, attr_pack(s->attr));
	put(a, offset + 4, 4, s->limit);
	put(a, offset + 8, 8, s->base);
}

static void segment_get_64(const struct area *a, unsigned offset, struct x86_seg *s)
{
	*s = (struct x86_seg){
		.selector = (u16)get(a, offset, 2), .attr = attr_unpack((u16)get(a, offset + 2, 2)),
		.limit = (u32)get(a, offset + 4, 4), .base = get(a, offset + 8, 8),
	};
}

/* The 32-bit area has selectors apart from the rest. */
static void segment_put_32(struct area *a, unsigned selector, unsigned offset, const struct x86_seg *s)
{
	put(a, selector, 4, s->selector);
	put(a, offset, 4, (u32)attr_pack(s->attr) << 8);
	put(a, offset + 4, 4, s->limit);
	put(a, offset + 8, 4, s->base);
}

static void segment_get_32(const struct area *a, unsigned selector, unsigned offset, struct x86_seg *s)
{
	*s = (struct x86_seg){
		.selector = (u16)get(a, selector, 4), .attr = attr_unpack((u16)(get(a, offset, 4) >> 8)),
		.limit = (u32)get(a, offset + 4, 4), .base = get(a, offset + 8, 4),
	};
}

static unsigned segment_at_32(unsigned n)
{
	return n < 3 ? 0x7f84 + n * 12 : 0x7f2c + (n - 3) * 12;
}

/* --- the two layouts ---------------------------------------------------------------------- */

/* An SMI between STI and HLT must not let the interrupt in that HLT is to wait for. */
static void shadow_load(struct vcpu *v, const struct area *a, unsigned offset)
{
	v->vm->be->shadow_set(v, (u8)get(a, offset, 1) & (KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS));
}

static void save_64(struct vcpu *v, struct area *a)
{
	const struct x86 *x = &v->x;

	for (unsigned n = 0; n < 16; n++)
		put(a, 0x7ff8 - n * 8, 8, x->gpr[n]);
	put(a, 0x7f78, 8, x->rip);
	put(a, 0x7f70, 4, x->rflags);
	put(a, 0x7f68, 8, x->dr6);
	put(a, 0x7f60, 8, x->dr7);
	put(a, 0x7f58, 8, x->cr0);
	put(a, 0x7f50, 8, x->cr3);
	put(a, 0x7f48, 8, x->cr4);
	put(a, 0x7f00, 4, v->smbase);
	put(a, 0x7efc, 4, REVISION_64);
	put(a, EFER_AT, 8, x->efer);
	put(a, SHADOW_AT_64, 1, v->vm->be->shadow_get(v));
	segment_put_64(a, 0x7e90, &x->seg[X86_TR]);
	put(a, 0x7e84, 4, x->idtr.limit);
	put(a, 0x7e88, 8, x->idtr.base);
	segment_put_64(a, 0x7e70, &x->seg[X86_LDTR]);
	put(a, 0x7e64, 4, x->gdtr.limit);
	put(a, 0x7e68, 8, x->gdtr.base);
	for (unsigned n = X86_ES; n <= X86_GS; n++)
		segment_put_64(a, 0x7e00 + n * 16, &x->seg[n]);
}

static void load_64(struct vcpu *v, const struct area *a)
{
	struct x86 *x = &v->x;

	for (unsigned n = 0; n < 16; n++)
		x->gpr[n] = get(a, 0x7ff8 - n * 8, 8);
	x->rip = get(a, 0x7f78, 8);
	x->rflags = get(a, 0x7f70, 4);
	x->dr6 = get(a, 0x7f68, 8);
	x->dr7 = get(a, 0x7f60, 8);
	x->cr0 = get(a, 0x7f58, 8);
	x->cr3 = get(a, 0x7f50, 8);
	x->cr4 = get(a, 0x7f48, 8);
	v->smbase = get(a, 0x7f00, 4);
	x->efer = get(a, EFER_AT, 8) & ~X86_EFER_LMA;
	shadow_load(v, a, SHADOW_AT_64);
	segment_get_64(a, 0x7e90, &x->seg[X86_TR]);
	x->idtr = (struct x86_table){ .limit = (u16)get(a, 0x7e84, 4), .base = get(a, 0x7e88, 8) };
	segment_get_64(a, 0x7e70, &x->seg[X86_LDTR]);
	x->gdtr = (struct x86_table){ .limit = (u16)get(a, 0x7e64, 4), .base = get(a, 0x7e68, 8) };
	for (unsigned n = X86_ES; n <= X86_GS; n++)
		segment_get_64(a, 0x7e00 + n * 16, &x->seg[n]);
}

static void save_32(struct vcpu *v, struct area *a)
{
	const struct x86 *x = &v->x;

	put(a, 0x7ffc, 4, x->cr0);
	put(a, 0x7ff8, 4, x->cr3);
	put(a, 0x7ff4, 4, x->rflags);
	put(a, 0x7ff0, 4, x->rip);
	for (unsigned n = 0; n < 8; n++)
		put(a, 0x7fd0 + n * 4, 4, x->gpr[n]);
	put(a, 0x7fcc, 4, x->dr6);
	put(a, 0x7fc8, 4, x->dr7);
	segment_put_32(a, 0x7fc4, 0x7f5c, &x->seg[X86_TR]);
	segment_put_32(a, 0x7fc0, 0x7f78, &x->seg[X86_LDTR]);
	put(a, 0x7f74, 4, x->gdtr.base);
	put(a, 0x7f70, 4, x->gdtr.limit);
	put(a, 0x7f58, 4, x->idtr.base);
	put(a, 0x7f54, 4, x->idtr.limit);
	for (unsigned n = X86_ES; n <= X86_GS; n++)
		segment_put_32(a, 0x7fa8 + n * 4, segment_at_32(n), &x->seg[n]);
	put(a, 0x7f14, 4, x->cr4);
	put(a, SHADOW_AT_32, 1, v->vm->be->shadow_get(v));
	put(a, 0x7efc, 4, REVISION_32);
	put(a, 0x7ef8, 4, v->smbase);
}

static void load_32(struct vcpu *v, const struct area *a)
{
	struct x86 *x = &v->x;

	x->cr0 = get(a, 0x7ffc, 4);
	x->cr3 = get(a, 0x7ff8, 4);
	x->rflags = get(a, 0x7ff4, 4);
	x->rip = get(a, 0x7ff0, 4);
	for (unsigned n = 0; n < 8; n++)
		x->gpr[n] = get(a, 0x7fd0 + n * 4, 4);
	x->dr6 = get(a, 0x7fcc, 4);
	x->dr7 = get(a, 0x7fc8, 4);
	segment_get_32(a, 0x7fc4, 0x7f5c, &x->seg[X86_TR]);
	segment_get_32(a, 0x7fc0, 0x7f78, &x->seg[X86_LDTR]);
	x->gdtr = (struct x86_table){ .base = get(a, 0x7f74, 4), .limit = (u16)get(a, 0x7f70, 4) };
	x->idtr = (struct x86_table){ .base = get(a, 0x7f58, 4), .limit = (u16)get(a, 0x7f54, 4) };
	for (unsigned n = X86_ES; n <= X86_GS; n++)
		segment_get_32(a, 0x7fa8 + n * 4, segment_at_32(n), &x->seg[n]);
	x->cr4 = get(a, 0x7f14, 4);
	x->efer = 0;
	shadow_load(v, a, SHADOW_AT_32);
	v->smbase = get(a, 0x7ef8, 4);
}

/* --- SMI and RSM ------------------------------------------------------------------------------- */

static void handler_state(struct vcpu *v)
{
	struct x86 *x = &v->x;
	struct x86_seg flat = { .limit = ~0u, .attr = X86_SEG_P | X86_SEG_S | X86_SEG_G | 3 };

	x->rflags = X86_FLAG_1;
	x->rip = HANDLER;
	x->cr0 &= ~(u64)(X86_CR0_PE | X86_CR0_EM | X86_CR0_TS | X86_CR0_PG);
	x->cr4 = x->efer = 0;
	x->idtr = (struct x86_table){ 0 };
	x->dr7 = 0x400;
	x->cpl = 0;
	for (unsigned n = X86_ES; n <= X86_GS; n++)
		x->seg[n] = flat;
	x->seg[X86_CS].selector = (u16)(v->smbase >> 4);
	x->seg[X86_CS].base = v->smbase;
}

/* Out of L2, for RSM to find back. */
static void l2_suspend(struct vcpu *v, struct area *a)
{
	gpa_t vmcb12;

	if (!v->vm->be->nested_smi(v, &vmcb12))
		vcpu_request(v, REQ_TRIPLE_FAULT);
	put(a, NESTED_AT, 8, 1);
	put(a, VMCB12_AT, 8, vmcb12);
}

void smm_enter(struct vcpu *v)
{
	const struct backend *be = v->vm->be;
	struct area a = { { 0 } };

	v->smm.pending = false;
	v->smm.count++;
	vcpu_regs_dirty(v, REGS_ALL);
	if (cpuid_has(v, X86_FEATURE_LM))
		save_64(v, &a);
	else
		save_32(v, &a);
	if (UNLIKELY(v->nested.running))
		l2_suspend(v, &a);
	smm_switch(v, true);
	/* An area without memory cannot be left again; that is the firmware's doing. */
	vcpu_guest_write(v, v->smbase + AREA_AT, &a, sizeof(a));
	v->smm.inside_nmi = be->nmi_masked_get(v);
	if (!v->smm.inside_nmi)
		be->nmi_masked_set(v, true);
	be->shadow_set(v, 0);
	handler_state(v);
	cpuid_update_runtime(v);
	be->intercepts_update(v);
}

/* What was loaded, made whole; false: no processor could be so. */
static bool state_settle(struct vcpu *v)
{
	struct x86 *x = &v->x;

	x->rflags |= X86_FLAG_1;
	x->cpl = x->rflags & X86_FLAG_VM ? 3 : (u8)X86_SEG_DPL(x->seg[X86_SS].attr);
	if (!(x->cr0 & X86_CR0_PE))
		x->cpl = 0;
	if ((x->efer & X86_EFER_LME) && (x->cr0 & X86_CR0_PG))
		x->efer |= X86_EFER_LMA;
	if ((x->efer & ~(x->efer_valid | X86_EFER_LMA)) || (x->cr4 & ~x->cr4_valid) || x->cr0 >> 32 ||
	    x->dr6 >> 32 || x->dr7 >> 32)
		return false;
	if ((x->cr0 & X86_CR0_PG) && !(x->cr0 & X86_CR0_PE))
		return false;
	if ((x->cr0 & X86_CR0_NW) && !(x->cr0 & X86_CR0_CD))
		return false;
	if ((x->efer & X86_EFER_LMA) && (!(x->cr4 & X86_CR4_PAE) || x->cr3 >> x->phys_bits))
		return false;
	x->cr0 |= X86_CR0_ET;
	return true;
}

/* False: the area, which is memory, has something else. */
static bool l2_resume(struct vcpu *v, const struct area *a)
{
	return cpuid_has(v, X86_FEATURE_LM) && cpuid_has(v, X86_FEATURE_SVM) &&
	       (get(a, EFER_AT, 8) & X86_EFER_SVME) && v->vm->be->nested_rsm(v, get(a, VMCB12_AT, 8));
}

void smm_leave(struct vcpu *v)
{
	const struct backend *be = v->vm->be;
	struct area a;
	bool valid;

	if (vcpu_guest_read(v, v->smbase + AREA_AT, &a, sizeof(a))) {
		vcpu_request(v, REQ_TRIPLE_FAULT);
		return;
	}
	if (!v->smm.inside_nmi)
		be->nmi_masked_set(v, false);
	nested_leave(v);	/* of whatever the handler ran */
	smm_switch(v, false);
	vcpu_regs_dirty(v, REGS_ALL);
	valid = get(&a, NESTED_AT, 8) != 1 || l2_resume(v, &a);
	if (cpuid_has(v, X86_FEATURE_LM))
		load_64(v, &a);
	else
		load_32(v, &a);
	if (!state_settle(v) || !valid) {
		nested_leave(v);
		vcpu_request(v, REQ_TRIPLE_FAULT);
	}
	cpuid_update_runtime(v);
	be->intercepts_update(v);
}

/* --- events --------------------------------------------------------------------------------------- */

void smm_events_get(struct vcpu *v, struct kvm_vcpu_events *e)
{
	e->smi.smm = v->smm.on;
	e->smi.pending = v->smm.pending || (atomic_load_acquire(&v->requests) >> REQ_SMI & 1);
	e->smi.smm_inside_nmi = v->smm.inside_nmi;
	e->smi.latched_init = v->lapic && atomic_load_acquire(&v->pending_init);
}

void smm_events_set(struct vcpu *v, const struct kvm_vcpu_events *e)
{
	if (e->smi.smm && !v->smm.on)
		nested_leave(v);
	smm_switch(v, e->smi.smm);
	vcpu_request_take(v, REQ_SMI);
	v->smm.pending = e->smi.pending;
	v->smm.inside_nmi = e->smi.smm && e->smi.smm_inside_nmi;
	if (v->lapic)
		atomic_store_release(&v->pending_init, e->smi.latched_init ? 1u : 0u);
	vcpu_request(v, REQ_EVENT);
}
