/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scripted.h - a VM whose processor leaves the guest as a test's script says
 *
 * The back end keeps a second copy of the registers, so that a group that is used without
 * being asked for, or changed without being marked, is found out: what is not valid in v->x
 * is scrambled after every exit.
 */
#ifndef TESTS_CORE_SCRIPTED_H
#define TESTS_CORE_SCRIPTED_H

#include <errno.h>
#include <stdlib.h>

#include "core/vm.h"
#include "host/sim/sim.h"
#include "insn/insn.h"
#include "tests/test.h"

#define SCRIPT_EXITS 16

static struct {
	struct vm *vm;
	struct vcpu *v;
	struct kvm_run *run;
	u8 *memory;

	/* the guest */
	struct exit exits[SCRIPT_EXITS];
	unsigned count, at;
	void (*before)(unsigned n);	/* called inside the n-th entry: act as another thread */

	/* the processor */
	struct x86 hidden;		/* what the back end has */
	bool irq_allowed, nmi_allowed, nmi_masked, irq_window, nmi_window;
	u8 shadow;
	bool has_event, has_inflight;
	struct backend_event event, inflight;	/* injected last; interrupted by the next exit */
	unsigned injections, flushes, roots;
	u64 xcr0_loaded;
	u64 fpu;		/* the registers; a guest changes them in on_run() */
	unsigned fpu_loads, fpu_saves;
	u32 cpuid[64][6];		/* leaf, subleaf, EAX EBX ECX EDX */
	unsigned cpuids;
} script;

/* --- instructions ------------------------------------------------------------------- */

void insn_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	out[0] = out[1] = out[2] = out[3] = 0;
	for (unsigned n = 0; n < script.cpuids; n++)
		if (script.cpuid[n][0] == leaf && script.cpuid[n][1] == subleaf)
			memcpy(out, &script.cpuid[n][2], 16);
}

int insn_rdmsr(u32 msr, u64 *value) { (void)msr; *value = 0; return 0; }
int insn_wrmsr(u32 msr, u64 value) { (void)msr; (void)value; return 0; }
u64 insn_rdtsc(void) { return host_now(); }
unsigned insn_host_levels(void) { return 4; }
void insn_vmrun(hpa_t vmcb, hpa_t host, u64 gpr[16]) { (void)vmcb; (void)host; (void)gpr; }
void insn_vmload(hpa_t vmcb) { (void)vmcb; }
void insn_vmsave(hpa_t vmcb) { (void)vmcb; }
void insn_clgi(void) { }
void insn_stgi(void) { }
void insn_invlpga(u64 linear, u32 asid) { (void)linear; (void)asid; }
void insn_debug_load(const u64 dr[4]) { (void)dr; }
void insn_debug_save(u64 dr[4]) { (void)dr; }
bool insn_counters(u64 counts[INSN_COUNTERS]) { (void)counts; return false; }

/* The registers are one number, at the beginning of XMM0 when they are in an area. */
void insn_fpu_enter(const void *area, u64 xcr0, u32 *pkru)
{
	(void)pkru;
	if (xcr0)
		script.xcr0_loaded = xcr0;
	if (area) {
		memcpy(&script.fpu, (const u8 *)area + 160, sizeof(script.fpu));
		script.fpu_loads++;
	}
}

void insn_fpu_leave(void *area, u64 xcr0, u32 *pkru)
{
	(void)xcr0;
	(void)pkru;
	if (area) {
		memcpy((u8 *)area + 160, &script.fpu, sizeof(script.fpu));
		script.fpu_saves++;
	}
}

/* --- the back end ---------------------------------------------------------------------- */

static int scripted_ok(void) { return 0; }
static void scripted_nothing(void) { }
static int scripted_vm_init(struct vm *vm) { (void)vm; return 0; }
static void scripted_vm_fini(struct vm *vm) { (void)vm; }
static int scripted_vcpu_init(struct vcpu *v) { v->backend = &script; return 0; }
static void scripted_vcpu(struct vcpu *v) { (void)v; }

static void group_copy(struct x86 *to, const struct x86 *from, u64 groups)
{
	if (groups & REGS_SEG) {
		memcpy(to->seg, from->seg, sizeof(to->seg));
		to->gdtr = from->gdtr;
		to->idtr = from->idtr;
		to->cpl = from->cpl;
	}
	if (groups & REGS_CR) {
		to->cr0 = from->cr0;
		to->cr2 = from->cr2;
		to->cr3 = from->cr3;
		to->cr4 = from->cr4;
		to->efer = from->efer;
	}
	if (groups & REGS_DR) {
		to->dr6 = from->dr6;
		to->dr7 = from->dr7;
	}
	if (groups & REGS_SYSCALL) {
		to->star = from->star;
		to->lstar = from->lstar;
		to->cstar = from->cstar;
		to->sfmask = from->sfmask;
		to->kernel_gs_base = from->kernel_gs_base;
		to->sysenter_cs = from->sysenter_cs;
		to->sysenter_esp = from->sysenter_esp;
		to->sysenter_eip = from->sysenter_eip;
		to->pat = from->pat;
	}
}

static void scripted_regs_get(struct vcpu *v, u64 groups) { group_copy(&v->x, &script.hidden, groups); }
static void scripted_regs_set(struct vcpu *v, u64 groups) { group_copy(&script.hidden, &v->x, groups); }

static void scripted_run(struct vcpu *v, struct exit *e)
{
	struct x86 junk;

	EXPECT_EQ(v->regs_dirty, 0);
	EXPECT_EQ(atomic_load_acquire(&v->mode), VCPU_IN_GUEST);
	EXPECT(script.at < script.count);
	if (script.before)
		script.before(script.at);
	*e = (struct exit){ .kind = EXIT_NOTHING };
	if (script.at < script.count)
		*e = script.exits[script.at++];
	else
		sim_interrupt(true);
	memset(&junk, 0x5a, sizeof(junk));
	group_copy(&v->x, &junk, REGS_ALL & ~REGS_GPR);
}

static void scripted_inject(struct vcpu *v, const struct backend_event *event)
{
	(void)v;
	script.has_event = event != NULL;
	if (!event) {
		script.irq_window = script.nmi_window = false;
		return;
	}
	script.event = *event;
	script.injections++;
}

static bool scripted_inflight(struct vcpu *v, struct backend_event *event)
{
	bool has = script.has_inflight;

	(void)v;
	*event = script.inflight;
	script.has_inflight = script.has_event = false;
	return has;
}

static bool scripted_irq_allowed(struct vcpu *v) { return script.irq_allowed && (v->x.rflags & X86_FLAG_IF); }
static bool scripted_nmi_allowed(struct vcpu *v) { (void)v; return script.nmi_allowed && !script.nmi_masked; }
static void scripted_irq_window(struct vcpu *v, bool on) { (void)v; script.irq_window = on; }
static void scripted_nmi_window(struct vcpu *v, bool on) { (void)v; script.nmi_window = on; }
static u8 scripted_shadow_get(struct vcpu *v) { (void)v; return script.shadow; }
static void scripted_shadow_set(struct vcpu *v, u8 shadow) { (void)v; script.shadow = shadow; }
static bool scripted_masked_get(struct vcpu *v) { (void)v; return script.nmi_masked; }
static void scripted_masked_set(struct vcpu *v, bool on) { (void)v; script.nmi_masked = on; }
static void scripted_root(struct vcpu *v, hpa_t root, unsigned levels)
{
	EXPECT_EQ(root, host_bus_address(v->vm->mmu.root));
	EXPECT_EQ(levels, 4);
	script.roots++;
}
static void scripted_flush(struct vcpu *v) { (void)v; script.flushes++; }
static void scripted_offset(struct vcpu *v, u64 offset) { (void)v; (void)offset; }

static const struct backend scripted_backend = {
	.name = "scripted", .check = scripted_ok, .cpu_enable = scripted_ok,
	.cpu_disable = scripted_nothing, .vm_init = scripted_vm_init, .vm_fini = scripted_vm_fini,
	.vcpu_init = scripted_vcpu_init, .vcpu_fini = scripted_vcpu,
	.regs_get = scripted_regs_get, .regs_set = scripted_regs_set,
	.vcpu_load = scripted_vcpu, .vcpu_put = scripted_vcpu, .run = scripted_run,
	.inject = scripted_inject, .inflight = scripted_inflight,
	.irq_allowed = scripted_irq_allowed, .nmi_allowed = scripted_nmi_allowed,
	.irq_window = scripted_irq_window, .nmi_window = scripted_nmi_window,
	.shadow_get = scripted_shadow_get, .shadow_set = scripted_shadow_set,
	.nmi_masked_get = scripted_masked_get, .nmi_masked_set = scripted_masked_set,
	.cr8_sync = scripted_vcpu, .intercepts_update = scripted_vcpu,
	.mmu_root_set = scripted_root, .tlb_flush = scripted_flush, .tsc_offset_set = scripted_offset,
};

/* --- the machine --------------------------------------------------------------------------- */

static inline void script_cpuid(u32 leaf, u32 subleaf, u32 a, u32 b, u32 c, u32 d)
{
	u32 row[6] = { leaf, subleaf, a, b, c, d };

	memcpy(script.cpuid[script.cpuids++], row, sizeof(row));
}

/* A processor with AVX-512, AMD's. */
static inline void script_processor(void)
{
	script_cpuid(0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65);
	script_cpuid(1, 0, 0x800f12, 0x05100800, ~0u, ~0u);
	script_cpuid(7, 0, 1, ~0u, ~0u, ~0u);
	script_cpuid(7, 1, ~0u, ~0u, ~0u, ~0u);
	script_cpuid(0xd, 0, 0x2e7, 0xa88, 0xa88, 0);
	script_cpuid(0xd, 1, 0xf, 0, 0x1800, 0);
	script_cpuid(0xd, 2, 256, 576, 0, 0);
	script_cpuid(0xd, 5, 64, 1088, 0, 0);
	script_cpuid(0xd, 6, 512, 1152, 0, 0);
	script_cpuid(0xd, 7, 1024, 1664, 0, 0);
	script_cpuid(0xd, 9, 8, 2688, 0, 0);
	script_cpuid(0x80000000, 0, 0x8000001f, 0x68747541, 0x444d4163, 0x69746e65);
	script_cpuid(0x80000001, 0, 0x800f12, 0, ~0u, ~0u);
	script_cpuid(0x80000007, 0, 0, 0, 0, ~0u);
	script_cpuid(0x80000008, 0, 0x3030, ~0u, 0x1234, 0x5678);
	script_cpuid(0x8000000a, 0, 1, 0x8000, 0, ~0u);
}

#define SCRIPT_MEMORY (1ul << 20)

/* A VM; with chips its interrupt controllers are in the kernel.  vCPU 0 has all features. */
static inline void script_create(bool chips)
{
	static struct kvm_cpuid_entry2 entries[64];
	u32 count = ARRAY_LEN(entries);

	memset(&script, 0, sizeof(script));
	script.irq_allowed = script.nmi_allowed = true;
	sim_reset();
	script_processor();
	core_set_backend(&scripted_backend);
	script.memory = aligned_alloc(2ul << 20, 2ul << 20);
	memset(script.memory, 0, SCRIPT_MEMORY);
	sim_memory(script.memory, SCRIPT_MEMORY, true);
	script.run = aligned_alloc(PAGE_BYTES, VCPU_RUN_PAGES * PAGE_BYTES);
	memset(script.run, 0, VCPU_RUN_PAGES * PAGE_BYTES);
	EXPECT_EQ(vm_create(0, &script.vm), 0);
	if (chips)
		EXPECT_EQ(irq_create_chips(script.vm), 0);
	EXPECT_EQ(vcpu_create(script.vm, 0, script.run, &script.v), 0);
	EXPECT_EQ(cpuid_supported(entries, &count), 0);
	EXPECT_EQ(vcpu_set_cpuid(script.v, entries, count), 0);
}

static inline void script_destroy(void)
{
	vm_destroy(script.vm);
	free(script.run);
	free(script.memory);
}

static inline struct exit *script_exit(enum exit_kind kind)
{
	struct exit *e = &script.exits[script.count++];

	*e = (struct exit){ .kind = kind };
	return e;
}

/* Guest memory of SCRIPT_MEMORY bytes at 0. */
static inline void script_slot(void)
{
	struct kvm_userspace_memory_region r = {
		.memory_size = SCRIPT_MEMORY, .userspace_addr = (u64)(uintptr_t)script.memory,
	};

	EXPECT_EQ(slot_set(script.vm, &r), 0);
}

#endif
