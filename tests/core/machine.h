/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * machine.h - a VM over the simulated host and a back end that does nothing
 *
 * Registers live in v->x only.  Guest memory is a block of ours, which the test may also
 * look at directly.
 */
#ifndef TESTS_CORE_MACHINE_H
#define TESTS_CORE_MACHINE_H

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "core/vm.h"
#include "host/sim/sim.h"
#include "tests/test.h"

#define MACHINE_BYTES	(16ul << 20)

static struct {
	struct vm *vm;
	struct vcpu *v;
	u8 *memory;			/* what the client has: page-aligned, on a 2 MiB boundary */
	u8 *run;			/* kvm_run and the PIO page */
	u8 shadow;			/* as the core last set it */
	u64 flushes;			/* REQ_TLB_FLUSH seen by machine_flushed() */
} machine;

/* The processor, for what the core asks of CPUID: one with everything. */
void insn_cpuid(u32 leaf, u32 subleaf, u32 out[4]);
void insn_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	out[0] = leaf == 0 ? 0x10 : leaf == 0x80000000 ? 0x80000008 : leaf == 0x80000008 ? 0x3030 : 7;
	out[1] = out[2] = out[3] = leaf == 0xd ? 0x340 : ~0u;
	if (leaf == 0xd && subleaf)
		out[0] = 0x100, out[1] = 0x240, out[2] = out[3] = 0;
}

u64 insn_rdtsc(void);
u64 insn_rdtsc(void)
{
	return host_now() * 2;
}

bool insn_counters(u64 counts[]);
bool insn_counters(u64 counts[])
{
	(void)counts;
	return false;
}

void insn_fpu_enter(const void *area, u64 xcr0, u32 *pkru);
void insn_fpu_enter(const void *area, u64 xcr0, u32 *pkru)
{
	(void)area;
	(void)xcr0;
	(void)pkru;
}

void insn_fpu_leave(void *area, u64 xcr0, u32 *pkru);
void insn_fpu_leave(void *area, u64 xcr0, u32 *pkru)
{
	(void)area;
	(void)xcr0;
	(void)pkru;
}

static inline int fake_ok(void) { return 0; }
static inline void fake_nothing(void) { }
static inline int fake_vm_init(struct vm *vm) { (void)vm; return 0; }
static inline void fake_vm_fini(struct vm *vm) { (void)vm; }
static inline int fake_vcpu_init(struct vcpu *v) { v->backend = v; return 0; }
static inline void fake_vcpu(struct vcpu *v) { (void)v; }
static inline void fake_regs(struct vcpu *v, u64 groups) { (void)v; (void)groups; }
static inline bool fake_yes(struct vcpu *v) { (void)v; return true; }
static inline bool fake_no(struct vcpu *v) { (void)v; return false; }
static inline void fake_bool(struct vcpu *v, bool on) { (void)v; (void)on; }
static inline u8 fake_shadow_get(struct vcpu *v) { (void)v; return machine.shadow; }
static inline void fake_shadow_set(struct vcpu *v, u8 shadow) { (void)v; machine.shadow = shadow; }
static inline void fake_inject(struct vcpu *v, const struct backend_event *e) { (void)v; (void)e; }
static inline bool fake_inflight(struct vcpu *v, struct backend_event *e) { (void)v; (void)e; return false; }
static inline void fake_root(struct vcpu *v, hpa_t root, unsigned levels) { (void)v; (void)root; (void)levels; }
static inline void fake_offset(struct vcpu *v, u64 offset) { (void)v; (void)offset; }
static inline void fake_run(struct vcpu *v, struct exit *e) { (void)v; e->kind = EXIT_NOTHING; }

static const struct backend fake_backend = {
	.name = "fake", .check = fake_ok, .cpu_enable = fake_ok, .cpu_disable = fake_nothing,
	.vm_init = fake_vm_init, .vm_fini = fake_vm_fini, .vcpu_init = fake_vcpu_init, .vcpu_fini = fake_vcpu,
	.regs_get = fake_regs, .regs_set = fake_regs, .vcpu_load = fake_vcpu, .vcpu_put = fake_vcpu,
	.run = fake_run, .inject = fake_inject, .inflight = fake_inflight,
	.irq_allowed = fake_yes, .nmi_allowed = fake_yes, .irq_window = fake_bool, .nmi_window = fake_bool,
	.shadow_get = fake_shadow_get, .shadow_set = fake_shadow_set,
	.nmi_masked_get = fake_no, .nmi_masked_set = fake_bool, .cr8_sync = fake_vcpu,
	.intercepts_update = fake_vcpu, .mmu_root_set = fake_root, .tlb_flush = fake_vcpu,
	.tsc_offset_set = fake_offset,
};

/* A VM without vCPUs, and memory that the client has but the guest not yet. */
static inline void machine_create_vm(void)
{
	sim_reset();
	core_set_backend(&fake_backend);
	machine.memory = aligned_alloc(2ul << 20, MACHINE_BYTES);
	machine.run = aligned_alloc(PAGE_BYTES, 4 * PAGE_BYTES);
	memset(machine.memory, 0, MACHINE_BYTES);
	memset(machine.run, 0, 4 * PAGE_BYTES);
	sim_memory(machine.memory, MACHINE_BYTES, true);
	machine.shadow = 0;
	EXPECT_EQ(vm_create(0, &machine.vm), 0);
}

/* With one vCPU. */
static inline void machine_create_with(bool chips)
{
	machine_create_vm();
	if (chips)
		EXPECT_EQ(irq_create_chips(machine.vm), 0);
	EXPECT_EQ(vcpu_create(machine.vm, 0, machine.run, &machine.v), 0);
	vcpu_request_take(machine.v, REQ_TLB_FLUSH);
}

static inline void machine_create(void)
{
	machine_create_with(false);
}

static inline void machine_destroy(void)
{
	vm_destroy(machine.vm);
	free(machine.memory);
	free(machine.run);
}

/* Was the vCPU asked to flush since the last call? */
static inline bool machine_flushed(void)
{
	return vcpu_request_take(machine.v, REQ_TLB_FLUSH);
}

/* KVM_SET_USER_MEMORY_REGION; host is an offset into machine.memory. */
static inline int machine_slot(u32 id, u32 flags, gpa_t gpa, u64 bytes, u64 host)
{
	struct kvm_userspace_memory_region r = {
		.slot = id, .flags = flags, .guest_phys_addr = gpa, .memory_size = bytes,
		.userspace_addr = (u64)(uintptr_t)machine.memory + host,
	};

	return slot_set(machine.vm, &r);
}

/* The leaf of the nested page table for gpa, or 0.  *level: 1 or 2. */
static inline u64 machine_leaf(gpa_t gpa, unsigned *level)
{
	u64 *table = machine.vm->mmu.root, entry;

	for (*level = 4; ; (*level)--) {
		entry = table[gpa >> (12 + 9 * (*level - 1)) & 511];
		if (!(entry & 1) || *level == 1 || (entry & 0x80))
			return entry;
		table = host_from_bus(entry & 0xffffffffff000ull);
	}
}

#endif
