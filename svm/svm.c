// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svm.c - the AMD-V back end: entering a guest and coming back
 *
 * A vCPU is a VMCB.  VMRUN swaps it with the host's state, but for FS, GS, TR, LDTR and the
 * system-call MSRs, which VMLOAD and VMSAVE carry on both sides of it.  Translations are
 * tagged with an ASID, of which each processor gives out its own; when they run out it
 * flushes all and a new generation begins.  A vCPU whose translations must go, or that
 * comes to another processor, simply gets a fresh ASID where the processor cannot flush
 * one alone.
 *
 * Locking: v->lock; run() and vcpu_load() on a pinned processor.
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Secure Virtual Machine".
 * Not modelled: AVIC, virtual GIF, LBR virtualization, TSC scaling.
 */
#include "svm/svm.h"

#include <linux/errno.h>

#include "insn/insn.h"
#include "svm/nested.h"

struct svm_features svm_features;

#define CPUID_SVM		BIT_U64(2)	/* 8000_0001h ECX */
#define CPUID_NP		BIT_U64(0)	/* 8000_000Ah EDX */
#define CPUID_NRIPS		BIT_U64(3)
#define CPUID_FLUSH_BY_ASID	BIT_U64(6)
#define CPUID_DECODE_ASSISTS	BIT_U64(7)
#define CPUID_PAUSE_FILTER	BIT_U64(10)
#define PAUSE_FILTER_COUNT	3000

static int svm_check(void)
{
	u32 r[4];

	insn_cpuid(0x80000000, 0, r);
	if (r[0] < 0x8000000a)
		return -EOPNOTSUPP;
	insn_cpuid(0x80000001, 0, r);
	if (!(r[2] & CPUID_SVM))
		return -EOPNOTSUPP;
	insn_cpuid(0x8000000a, 0, r);
	if (r[1] < 2)
		return -EOPNOTSUPP;
	if (!(r[3] & CPUID_NP))
		core_use_nested(false);
	svm_features = (struct svm_features){
		.next_rip = !!(r[3] & CPUID_NRIPS),
		.decode_assists = !!(r[3] & CPUID_DECODE_ASSISTS),
		.flush_by_asid = !!(r[3] & CPUID_FLUSH_BY_ASID),
		.pause_filter = !!(r[3] & CPUID_PAUSE_FILTER),
		.asids = r[1],
	};
	return svm_cpus_create();
}

/* --- VMs and vCPUs ------------------------------------------------------------------------ */

static int svm_vm_init(struct vm *vm)
{
	struct svm_vm *s = host_alloc(sizeof(*s), 0);
	int r;

	if (!s)
		return -ENOMEM;
	r = svm_permission_maps_create(s);
	if (r)
		goto free;
	if (insn_host_levels() > MMU_LEVELS) {
		s->top = host_alloc_pages(0, 0);
		r = -ENOMEM;
		if (!s->top)
			goto free_maps;
	}
	vm->backend = s;
	return 0;

free_maps:
	svm_permission_maps_free(s);
free:
	host_free(s);
	return r;
}

static void svm_vm_fini(struct vm *vm)
{
	struct svm_vm *s = vm->backend;

	host_free_pages(s->top, 0);
	svm_permission_maps_free(s);
	host_free(s);
	vm->backend = NULL;
}

static void vmcb_init(struct vcpu *v)
{
	const struct svm_vm *vm = v->vm->backend;
	struct vmcb_control *c = &svm_of(v)->vmcb->control;

	c->iopm_base_pa = host_bus_address(vm->iopm);
	c->int_ctl = VMCB_INT_CTL_MASKING;
	c->nested_ctl = svm_is_shadowed(v) ? 0 : VMCB_NP_ENABLE;
	svm_controls_update(v);
}

void svm_controls_update(struct vcpu *v)
{
	const struct svm_vm *vm = v->vm->backend;
	struct svm_vcpu *s = svm_of(v);
	struct vmcb_control *c = &s->vmcb->control;

	c->tsc_offset = s->tsc_offset + v->nested.tsc_offset;
	c->msrpm_base_pa = host_bus_address(v->nested.running ? s->nested->msrpm : vm->msrpm);
	c->pause_filter_count = svm_features.pause_filter ? PAUSE_FILTER_COUNT : 0;
	c->pause_filter_threshold = 0;
	if (svm_features.pause_filter && svm_l1_wants(v, VMEXIT_PAUSE)) {
		c->pause_filter_count = s->nested->control.pause_filter_count;
		c->pause_filter_threshold = s->nested->control.pause_filter_threshold;
	}
}

static int svm_vcpu_init(struct vcpu *v)
{
	struct svm_vcpu *s = host_alloc(sizeof(*s), 0);

	if (!s)
		return -ENOMEM;
	s->vmcb = host_alloc_pages(0, 0);
	if (!s->vmcb) {
		host_free(s);
		return -ENOMEM;
	}
	s->vmcb_pa = host_bus_address(s->vmcb);
	v->backend = s;
	vmcb_init(v);
	svm_intercepts_update(v);
	return 0;
}

static void svm_vcpu_fini(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);

	svm_nested_destroy(s->nested);
	host_free_pages(s->vmcb, 0);
	host_free(s);
	v->backend = NULL;
}

/* --- translations ------------------------------------------------------------------------- */

#define TOP_ENTRY	0x27ull		/* present, writable, user, accessed */

/* A VM has one root, so all its vCPUs write the same entry.  L2's is its vCPU's own. */
static hpa_t nested_root(struct vcpu *v, hpa_t root)
{
	const struct svm_vm *vm = v->vm->backend;
	u64 *top = v->nested.paging ? svm_of(v)->nested->top : vm->top;

	if (!vm->top)
		return root;
	atomic_store_release(&top[0], root | TOP_ENTRY);
	return host_bus_address(top);
}

static void svm_mmu_root_set(struct vcpu *v, hpa_t root, unsigned levels)
{
	struct svm_vcpu *s = svm_of(v);

	s->root_levels = levels;
	if (svm_is_shadowed(v))
		s->vmcb->save.cr3 = root;
	else
		s->vmcb->control.n_cr3 = nested_root(v, root);
}

void svm_tlb_flush(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);

	if (svm_features.flush_by_asid)
		s->vmcb->control.tlb_control = VMCB_TLB_FLUSH_ASID;
	else
		s->asid_generation = 0;
}

static void asid_choose(struct svm_vcpu *s, struct svm_cpu *cpu)
{
	if (s->cpu == cpu && s->asid_generation == cpu->asid_generation)
		return;
	if (cpu->next_asid >= svm_features.asids) {
		cpu->asid_generation++;
		cpu->next_asid = 1;
		s->vmcb->control.tlb_control = VMCB_TLB_FLUSH_ALL;
	}
	s->cpu = cpu;
	s->asid_generation = cpu->asid_generation;
	s->vmcb->control.asid = cpu->next_asid++;
}

static void svm_tsc_offset_set(struct vcpu *v, u64 offset)
{
	svm_of(v)->tsc_offset = offset;
	svm_of(v)->vmcb->control.tsc_offset = offset + v->nested.tsc_offset;
}

/* --- entering ------------------------------------------------------------------------------ */

/* What VMLOAD replaces belongs in part to the thread that runs now: its FS and GS bases. */
static void svm_vcpu_load(struct vcpu *v)
{
	(void)v;
	insn_vmsave(svm_this_cpu()->host_pa);
}

/* Programs of the host read TSC_AUX: they must find their own. */
static void svm_vcpu_put(struct vcpu *v)
{
	struct svm_cpu *cpu = svm_this_cpu();

	(void)v;
	if (cpu->tsc_aux != cpu->host_tsc_aux && !insn_wrmsr(X86_MSR_TSC_AUX, cpu->host_tsc_aux))
		cpu->tsc_aux = cpu->host_tsc_aux;
}

static void state_in(struct vcpu *v, struct svm_cpu *cpu)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb_control *c = &s->vmcb->control;
	struct vmcb_save *save = &s->vmcb->save;

	asid_choose(s, cpu);
	save->rax = v->x.gpr[0];
	save->rsp = v->x.gpr[4];
	save->rip = v->x.rip;
	save->rflags = v->x.rflags;
	if (!svm_tpr_is_l2s(v))
		c->int_ctl = (c->int_ctl & ~VMCB_INT_CTL_V_TPR) | vcpu_cr8_get(v);
	if (cpu->tsc_aux != v->x.tsc_aux && !insn_wrmsr(X86_MSR_TSC_AUX, v->x.tsc_aux))
		cpu->tsc_aux = v->x.tsc_aux;
	if (UNLIKELY(cpu->pkrs != v->x.pkrs) && !insn_wrmsr(X86_MSR_PKRS, v->x.pkrs))
		cpu->pkrs = v->x.pkrs;
	svm_breakpoints_load(v);
	svm_step_begin(v);
}

static void state_out(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb_control *c = &s->vmcb->control;
	const struct vmcb_save *save = &s->vmcb->save;

	v->x.gpr[0] = save->rax;
	v->x.gpr[4] = save->rsp;
	v->x.rip = save->rip;
	v->x.rflags = save->rflags | X86_FLAG_1;
	s->exitintinfo = c->exitintinfo;
	c->eventinj = 0;
	c->tlb_control = VMCB_TLB_NOTHING;
	if (!svm_tpr_is_l2s(v) && (c->int_ctl & 0xf) != vcpu_cr8_get(v))
		vcpu_cr8_set(v, c->int_ctl & 0xf);
	svm_step_end(v);
}

/* As if an exit had come before the first instruction: once more, with another root. */
static void entry_refuse(struct vcpu *v, struct exit *e)
{
	struct svm_vcpu *s = svm_of(v);

	s->exitintinfo = s->vmcb->control.eventinj;
	s->vmcb->control.eventinj = 0;
	vcpu_request(v, REQ_TLB_FLUSH);
	*e = (struct exit){ .kind = EXIT_NOTHING };
}

/* The event is injected, then this interrupt ends the entry. */
static void exit_at_once(struct vcpu *v)
{
	host_cpu_kick(host_cpu());
	vcpu_request(v, REQ_EVENT);
}

static void svm_run(struct vcpu *v, struct exit *e)
{
	struct svm_vcpu *s = svm_of(v);
	struct svm_cpu *cpu = svm_this_cpu();

	if (svm_is_shadowed(v) && !svm_root_fits(v)) {
		entry_refuse(v, e);
		return;
	}
	state_in(v, cpu);
	if (UNLIKELY(s->exit_at_once))
		exit_at_once(v);
	insn_vmrun(s->vmcb_pa, cpu->host_pa, v->x.gpr);
	state_out(v);
	svm_exit_describe(v, e);
}

const struct backend svm_backend = {
	.name = "svm",
	.check = svm_check,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.vm_init = svm_vm_init,
	.vm_fini = svm_vm_fini,
	.vcpu_init = svm_vcpu_init,
	.vcpu_fini = svm_vcpu_fini,
	.regs_get = svm_regs_get,
	.regs_set = svm_regs_set,
	.vcpu_load = svm_vcpu_load,
	.vcpu_put = svm_vcpu_put,
	.run = svm_run,
	.inject = svm_inject,
	.inflight = svm_inflight,
	.irq_allowed = svm_irq_allowed,
	.nmi_allowed = svm_nmi_allowed,
	.irq_window = svm_irq_window,
	.nmi_window = svm_nmi_window,
	.shadow_get = svm_shadow_get,
	.shadow_set = svm_shadow_set,
	.nmi_masked_get = svm_nmi_masked_get,
	.nmi_masked_set = svm_nmi_masked_set,
	.cr8_sync = svm_cr8_sync,
	.intercepts_update = svm_intercepts_update,
	.mmu_root_set = svm_mmu_root_set,
	.tlb_flush = svm_tlb_flush,
	.tsc_offset_set = svm_tsc_offset_set,
	.msr_filter_update = svm_msr_filter_update,
	.nested_exit = svm_nested_exit,
	.nested_execute = svm_nested_execute,
	.nested_event = svm_nested_event,
	.nested_wakes = svm_nested_wakes,
	.nested_exception = svm_nested_exception,
	.nested_fault = svm_nested_fault,
	.nested_leave = svm_nested_leave,
	.nested_get = svm_nested_get,
	.nested_set = svm_nested_set,
	.nested_smi = svm_nested_smi,
	.nested_rsm = svm_nested_rsm,
};
