// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vcpu.c - making, resetting and kicking virtual processors
 *
 * A vCPU's registers have one home at a time: groups in regs_valid are current in v->x,
 * groups in regs_dirty are newer there than in the back end.  Everything that reads or
 * changes registers goes through vcpu_regs_need() and vcpu_regs_dirty().
 *
 * Invariants:
 *   1. regs_dirty is a subset of regs_valid.
 *   2. REGS_GPR is always valid.
 *
 * Locking: vcpu_create() takes vm->lock; the rest is for the holder of v->lock, but for
 * vcpu_kick().
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Initial Processor State";
 * Intel SDM vol. 3, "Processor State After Reset", for what INIT leaves.
 */
#include <linux/errno.h>

#include "core/vm.h"

static struct host_lock_class vcpu_lock_class = { .name = "vcpu" };

void vcpu_regs_need(struct vcpu *v, u64 groups)
{
	u64 missing = groups & ~v->regs_valid;

	if (missing) {
		v->vm->be->regs_get(v, missing);
		v->regs_valid |= missing;
	}
}

void vcpu_regs_dirty(struct vcpu *v, u64 groups)
{
	vcpu_regs_need(v, groups);
	v->regs_dirty |= groups;
}

void vcpu_kick(struct vcpu *v)
{
	u32 in_guest = VCPU_IN_GUEST;

	/* Pairs with run.c's: mode stored, then requests read. */
	atomic_fence();
	host_wake(&v->wait);
	if (atomic_cmpxchg(&v->mode, &in_guest, VCPU_EXITING))
		host_cpu_kick(atomic_load_acquire(&v->cpu));
}

u64 vcpu_cr8_get(struct vcpu *v)
{
	return v->lapic ? lapic_cr8_get(v) : v->cr8;
}

int vcpu_cr8_set(struct vcpu *v, u64 cr8)
{
	if (cr8 > 15)
		return 1;
	if (v->lapic)
		lapic_cr8_set(v, cr8);
	else
		v->cr8 = cr8;
	return 0;
}

bool vcpu_is_64bit_code(struct vcpu *v)
{
	vcpu_regs_need(v, REGS_SEG | REGS_CR);
	return (v->x.efer & X86_EFER_LMA) && (v->x.seg[X86_CS].attr & X86_SEG_L);
}

void vcpu_skip(struct vcpu *v, u64 next_rip)
{
	if (!next_rip) {
		unsigned length = emulate_length(v);

		if (!length)
			return;		/* it faults when fetched again, and says so */
		next_rip = v->x.rip + length;
		if (!vcpu_is_64bit_code(v))
			next_rip = (u32)next_rip;
	}
	v->x.rip = next_rip;
	v->x.rflags &= ~X86_FLAG_RF;
	vcpu_regs_dirty(v, REGS_GPR);
	v->vm->be->shadow_set(v, 0);
	if ((v->x.rflags & X86_FLAG_TF) && !(v->guest_debug & KVM_GUESTDBG_SINGLESTEP)) {
		vcpu_regs_dirty(v, REGS_DR);
		v->x.dr6 |= X86_DR6_BS;
		event_exception(v, X86_DB, false, 0);
	}
}

/* --- reset --------------------------------------------------------------------- */

static struct x86_seg real_mode_segment(u16 selector, u64 base, u16 attr)
{
	return (struct x86_seg){ .selector = selector, .base = base, .limit = 0xffff, .attr = attr };
}

static void registers_reset(struct vcpu *v, bool init)
{
	const struct kvm_cpuid_entry2 *signature = cpuid_find(v, 1, 0);
	struct x86 *x = &v->x;
	u64 cr0 = x->cr0;
	u16 data = X86_SEG_P | X86_SEG_S | 3;

	v->regs_valid = REGS_ALL;
	__builtin_memset(x->gpr, 0, sizeof(x->gpr));
	x->gpr[2] = signature ? signature->eax : 0x600;	/* RDX: family, model, stepping */
	x->rip = 0xfff0;
	x->rflags = X86_FLAG_1;
	for (unsigned s = 0; s < X86_SEGMENTS; s++)
		x->seg[s] = real_mode_segment(0, 0, data);
	x->seg[X86_CS] = real_mode_segment(0xf000, 0xffff0000, X86_SEG_P | X86_SEG_S | 0xb);
	x->seg[X86_LDTR] = real_mode_segment(0, 0, X86_SEG_P | 2);
	x->seg[X86_TR] = real_mode_segment(0, 0, X86_SEG_P | 0xb);
	x->gdtr = x->idtr = (struct x86_table){ .limit = 0xffff };
	x->cpl = 0;
	x->cr0 = X86_CR0_ET | X86_CR0_CD | X86_CR0_NW;
	if (init)		/* INIT leaves the cache bits */
		x->cr0 = X86_CR0_ET | (cr0 & (X86_CR0_CD | X86_CR0_NW));
	x->cr2 = x->cr3 = x->cr4 = x->efer = 0;
	__builtin_memset(x->dr, 0, sizeof(x->dr));
	x->dr6 = 0xffff0ff0;
	x->dr7 = 0x400;
	x->shadow = 0;
	x->nmi_blocked = false;
	if (!init) {
		x->star = x->lstar = x->cstar = x->sfmask = x->kernel_gs_base = x->tsc_aux = 0;
		x->sysenter_cs = x->sysenter_esp = x->sysenter_eip = 0;
		x->pat = 0x0007040600070406ull;
		x->xcr0 = XCR0_X87;
		x->pkru = x->pkrs = 0;
	}
	v->regs_dirty = REGS_ALL;
}

void vcpu_reset(struct vcpu *v, bool init)
{
	const struct backend *be = v->vm->be;
	u32 nmi_pending = init ? atomic_load_acquire(&v->events.nmi.pending) : 0;

	nested_leave(v);
	v->events = (struct vcpu_events){ .nmi.pending = nmi_pending };
	v->emulate = (struct emulate){ 0 };
	v->completion = COMPLETE_NOTHING;
	v->external_vector = -1;
	registers_reset(v, init);
	fpu_settle(v);
	fpu_reset(v->fpu, init);
	if (!init) {
		v->misc_enable = BIT_U64(11) | BIT_U64(12);	/* no BTS, no PEBS */
		v->smbase = 0x30000;
		v->debugctl = v->power_ctl = v->spec_ctrl = v->mcg_status = 0;
		v->hwcr = BIT_U64(24);		/* TscFreqSel: the TSC counts at P0's rate */
		v->mtrr.default_type = 0;
		v->poll_control = 1;
		v->nested.vm_cr = v->nested.hsave_pa = 0;
		v->platform_info = BIT_U64(31);	/* CPUID faulting can be had */
		v->misc_features = 0;
		v->cr8 = 0;
	}
	smm_switch(v, false);
	v->smm.pending = false;
	v->eoi_msr = v->async_pf_msr = v->async_pf_vector = 0;
	v->eoi_offered = false;
	be->shadow_set(v, 0);
	be->nmi_masked_set(v, false);
	if (v->lapic)
		lapic_reset(v, init);
	cpuid_update_runtime(v);
	be->intercepts_update(v);
	vcpu_request(v, REQ_TLB_FLUSH);
	vcpu_request(v, REQ_EVENT);
}

/* --- creation ------------------------------------------------------------------ */

static int vcpu_parts_create(struct vcpu *v)
{
	int r;

	v->fpu = host_alloc_pages(0, 0);
	if (!v->fpu)
		return -ENOMEM;
	r = dirty_ring_create(v);
	if (r)
		goto free_fpu;
	r = hyperv_create(v);
	if (r)
		goto destroy_ring;
	r = v->vm->be->vcpu_init(v);	/* before the LAPIC, which tells it of its TPR */
	if (r)
		goto destroy_hyperv;
	r = v->vm->mmu.shadow ? shadow_create(v) : 0;
	if (r)
		goto fini_backend;
	if (irq_chip_in_kernel(v->vm)) {
		r = lapic_create(v);
		if (r)
			goto destroy_shadow;
	}
	return 0;

destroy_shadow:
	shadow_destroy(v);
fini_backend:
	v->vm->be->vcpu_fini(v);
destroy_hyperv:
	hyperv_destroy(v);
destroy_ring:
	dirty_ring_destroy(v);
free_fpu:
	host_free_pages(v->fpu, 0);
	return r;
}

static void vcpu_parts_destroy(struct vcpu *v)
{
	if (v->lapic)
		lapic_destroy(v);
	shadow_destroy(v);
	v->vm->be->vcpu_fini(v);
	hyperv_destroy(v);
	dirty_ring_destroy(v);
	host_free_pages(v->fpu, 0);
}

static void vcpu_state_create(struct vcpu *v)
{
	v->apic_base = 0xfee00000ull | BIT_U64(11) | (v->id == atomic_load_relaxed(&v->vm->bsp_id) ? BIT_U64(8) : 0);
	v->external_vector = -1;
	v->mcg_cap = VCPU_MCE_BANKS;
	v->microcode_revision = 0x01000065;	/* KVM's for AMD guests */
	for (unsigned bank = 0; bank < VCPU_MCE_BANKS; bank++)
		v->mce_bank[bank * 4] = ~0ull;
	v->x.tlb = &x86_tlb_empty;
	v->x.phys_bits = 40;
	v->guest_xcr0_allowed = XCR0_X87;
	atomic_store_release(&v->cpu, ~0u);
	/* Before KVM_SET_CPUID2 a vCPU has no features at all, but may be run as it is. */
	vcpu_set_cpuid(v, NULL, 0);
	clock_vcpu_init(v);
	vcpu_reset(v, false);
	atomic_store_release(&v->mp_state, !v->lapic || v->id == atomic_load_relaxed(&v->vm->bsp_id) ?
			     KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED);
	vcpu_request(v, REQ_MMU_ROOT);
	vcpu_request(v, REQ_EVENT);
}

/* vm->lock held: nobody else adds a vCPU. */
static int vcpu_publish(struct vcpu *v)
{
	struct vm *vm = v->vm;
	u32 count = atomic_load_acquire(&vm->vcpu_count);

	if (count >= VM_MAX_VCPUS)
		return -EINVAL;
	if (vm_vcpu_by_id(vm, v->id))
		return -EEXIST;
	v->index = count;
	v->hv->vp_index = count;
	if (!vm->coalesced.ring)	/* all see the first one's */
		vm->coalesced.ring = (void *)((u8 *)v->run + VCPU_RING_PAGE * PAGE_BYTES);
	atomic_store_release(&vm->vcpus[count], v);
	atomic_store_release(&vm->vcpu_count, count + 1);
	return 0;
}

int vcpu_create(struct vm *vm, u32 id, void *run, struct vcpu **out)
{
	struct vcpu *v;
	int r;

	if (id >= VM_MAX_VCPU_ID || (atomic_load_relaxed(&vm->max_vcpu_ids) && id >= atomic_load_relaxed(&vm->max_vcpu_ids)))
		return -EINVAL;
	v = host_alloc(sizeof(*v), 0);
	if (!v)
		return -ENOMEM;
	v->vm = vm;
	v->id = id;
	v->run = run;
	v->stat = v->stat_own;
	v->pio_page = (u8 *)run + KVM_PIO_PAGE_OFFSET * PAGE_BYTES;
	host_mutex_init(&v->lock, &vcpu_lock_class);
	host_wait_init(&v->wait);

	host_mutex_lock(&vm->lock);
	r = vcpu_parts_create(v);
	if (r)
		goto free_vcpu;
	vcpu_state_create(v);
	r = vcpu_publish(v);
	if (r)
		goto destroy_parts;
	host_mutex_unlock(&vm->lock);
	*out = v;
	return 0;

destroy_parts:
	vcpu_parts_destroy(v);
free_vcpu:
	host_mutex_unlock(&vm->lock);
	host_free(v->cpuid);
	host_free(v);
	return r;
}

void vcpu_destroy(struct vcpu *v)
{
	vcpu_parts_destroy(v);
	host_free(v->cpuid);
	host_free(v);
}
