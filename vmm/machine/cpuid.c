// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cpuid.c - what CPUID tells the guest
 *
 * Everything KVM says it supports, with the host's topology replaced by ours: one socket,
 * as many cores as vCPUs, one thread each, and the APIC id is the vCPU's number.  VT-x and
 * AMD-V are taken out unless the guest is meant to be a hypervisor.
 *
 * Reference: Intel SDM, "CPUID - CPU Identification"; AMD APM volume 3, "Obtaining
 * Processor Information Via the CPUID Instruction".
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/machine.h"
#include "vmm/machine/report.h"

#define ENTRIES_MAX	256

enum {
	LEAF1_ECX_TSC_DEADLINE = 1 << 24, LEAF1_ECX_HYPERVISOR = (int)(1u << 31),
	LEAF1_ECX_VMX = 1 << 5, LEAF1_EDX_HTT = 1 << 28, EXTENDED_ECX_SVM = 1 << 2,
	TOPOLOGY_SMT = 1, TOPOLOGY_CORE = 2,
};

/* Bits that number `n` things. */
static u32 id_bits(u32 n)
{
	u32 bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

/* Leaves 0xb and 0x1f: subleaf 0 is threads, 1 is cores, 2 ends the list. */
static void topology(struct kvm_cpuid_entry2 *e, u32 cpus, u32 apic_id)
{
	static const u32 kind[] = { TOPOLOGY_SMT, TOPOLOGY_CORE };

	e->eax = e->index == 1 ? id_bits(cpus) : 0;
	e->ebx = e->index == 0 ? 1 : e->index == 1 ? cpus : 0;
	e->ecx = e->index | (e->index < ARRAY_LEN(kind) ? kind[e->index] << 8 : 0);
	e->edx = apic_id;
}

static void entry_adapt(struct kvm_cpuid_entry2 *e, u32 cpus, u32 apic_id, bool tsc_deadline)
{
	switch (e->function) {
	case 1:
		/* APIC id, logical processors in the package, 64-byte cache lines. */
		e->ebx = apic_id << 24 | MIN_OF(1u << id_bits(cpus), 255u) << 16 | 8 << 8 |
			 (e->ebx & 0xff);
		e->ecx |= (u32)LEAF1_ECX_HYPERVISOR;
		if (tsc_deadline)
			e->ecx |= LEAF1_ECX_TSC_DEADLINE;
		e->edx = cpus > 1 ? e->edx | LEAF1_EDX_HTT : e->edx & ~(u32)LEAF1_EDX_HTT;
		break;
	case 4:		/* caches: cores in the package, and who shares this one */
		if (e->eax & 31) {
			u32 cores = (1u << id_bits(cpus)) - 1;

			e->eax = (e->eax & 0x3fff) | cores << 26 |
				 ((e->eax >> 5 & 7) >= 3 ? cores << 14 : 0);
		}
		break;
	case 0xb: case 0x1f:
		topology(e, cpus, apic_id);
		break;
	case 0x80000001:
		/* AMD: CmpLegacy says that leaf 1's count is of cores, not threads. */
		e->ecx = cpus > 1 && e->ecx & 1 << 22 ? e->ecx | 2 : e->ecx & ~2u;
		break;
	case 0x80000008:
		e->ecx = (e->ecx & ~0xf0ffu) | id_bits(cpus) << 12 | (cpus - 1);
		break;
	case 0x8000001d:
		if (e->eax & 31)
			e->eax = (e->eax & 0x3fff) | ((e->eax >> 5 & 7) >= 3 ? cpus - 1 : 0) << 14;
		break;
	case 0x8000001e:
		e->eax = apic_id;
		e->ebx = apic_id;	/* core id; one thread a core */
		e->ecx = 0;		/* node 0 of 1 */
		break;
	}
}

/* Is there a leaf 0xb with both of its levels?  Kernels report only those of the host. */
static void topology_complete(struct kvm_cpuid2 *c, u32 leaf)
{
	u32 have = 0, first = c->nent;

	for (u32 i = 0; i < c->nent; i++)
		if (c->entries[i].function == leaf) {
			first = MIN_OF(first, i);
			have |= c->entries[i].index < 3 ? 1u << c->entries[i].index : 0;
		}
	if (!have)		/* the processor has no such leaf */
		return;
	for (u32 index = 0; index < 3; index++)
		if (!(have & 1u << index) && c->nent < ENTRIES_MAX)
			c->entries[c->nent++] =
				(struct kvm_cpuid_entry2){.function = leaf,
							  .index = index,
							  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX};
}

static void virtualization_hide(struct kvm_cpuid_entry2 *e)
{
	if (e->function == 1)
		e->ecx &= ~(u32)LEAF1_ECX_VMX;
	if (e->function == 0x80000001)
		e->ecx &= ~(u32)EXTENDED_ECX_SVM;
	if (e->function == 0x8000000a)
		e->eax = e->ebx = e->ecx = e->edx = 0;
}

int vcpu_set_cpuid(struct vcpu *v)
{
	struct machine *m = v->m;
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + ENTRIES_MAX * sizeof(c->entries[0]));
	bool deadline =
		m->door->ioctl(m->system, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	int error;

	if (!c)
		return -ENOMEM;
	c->nent = ENTRIES_MAX;
	error = m->door->ioctl(m->system, KVM_GET_SUPPORTED_CPUID, (unsigned long)c);
	if (error >= 0) {
		c->nent = MIN_OF(c->nent, (u32)ENTRIES_MAX);
		topology_complete(c, 0xb);
		topology_complete(c, 0x1f);
		for (u32 i = 0; !m->options.nested && i < c->nent; i++)
			virtualization_hide(&c->entries[i]);
		for (u32 i = 0; i < c->nent; i++)
			entry_adapt(&c->entries[i], m->cpus, v->index, deadline);
		error = m->door->ioctl(v->handle, KVM_SET_CPUID2, (unsigned long)c);
	}
	free(c);
	return error < 0 ? report_error(error, "cannot set the guest's CPUID: %s", strerror(-error))
			 : 0;
}
