// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pv.c - what CPUID promises to guests that know KVM, and the end of interrupts without exit
 *
 * Guests may use what is here whether or not CPUID says so, as Linux's KVM always let them;
 * a client that minds asks for enforcement.
 *
 * PV EOI.  A word of guest memory has a bit that we set when ending the interrupt in service
 * needs nothing but its bit in ISR cleared: it is edge triggered, no IOAPIC waits for it
 * and nothing is behind it in IRR.  The guest clears the bit instead of writing EOI; if it
 * finds it clear it writes EOI as ever.  After each exit we look who was faster.
 *
 * Invariants:
 *   1. The bit is set in memory only between pv_eoi_offer() and pv_eoi_collect().
 *
 * Locking: v->lock, inside vm->srcu.
 * Reference: Linux Documentation/virt/kvm/x86/msr.rst, "MSR_KVM_PV_EOI_EN"; cpuid.rst.
 */
#include "core/pv.h"

#include <linux/kvm_para.h>

#include "core/ioapic.h"
#include "core/lapic.h"
#include "core/vm.h"

/* --- features -------------------------------------------------------------------- */

/* Others may have the first block of leaves, so KVM's is looked for by its name. */
static u32 features(struct vcpu *v)
{
	static const char signature[13] = KVM_SIGNATURE;

	for (u32 base = KVM_CPUID_SIGNATURE; base < KVM_CPUID_SIGNATURE + 0x10000; base += 0x100) {
		const struct kvm_cpuid_entry2 *e = cpuid_find(v, base, 0);
		u32 name[3];

		if (!e)
			continue;
		name[0] = e->ebx;
		name[1] = e->ecx;
		name[2] = e->edx;
		if (__builtin_memcmp(name, signature, sizeof(name)))
			continue;
		e = cpuid_find(v, base | KVM_CPUID_FEATURES, 0);
		return e ? e->eax : 0;
	}
	return 0;
}

bool pv_has(struct vcpu *v, unsigned feature)
{
	return !v->pv_enforced || (features(v) >> feature & 1);
}

bool pv_msr_is_allowed(struct vcpu *v, u32 msr)
{
	switch (msr) {
	case MSR_KVM_WALL_CLOCK: case MSR_KVM_SYSTEM_TIME:
		return pv_has(v, KVM_FEATURE_CLOCKSOURCE);
	case MSR_KVM_WALL_CLOCK_NEW: case MSR_KVM_SYSTEM_TIME_NEW:
		return pv_has(v, KVM_FEATURE_CLOCKSOURCE2);
	case MSR_KVM_STEAL_TIME:
		return pv_has(v, KVM_FEATURE_STEAL_TIME);
	case MSR_KVM_ASYNC_PF_EN:
		return pv_has(v, KVM_FEATURE_ASYNC_PF);
	case MSR_KVM_ASYNC_PF_INT: case MSR_KVM_ASYNC_PF_ACK:
		return pv_has(v, KVM_FEATURE_ASYNC_PF_INT);
	case MSR_KVM_PV_EOI_EN:
		return pv_has(v, KVM_FEATURE_PV_EOI);
	case MSR_KVM_POLL_CONTROL:
		return pv_has(v, KVM_FEATURE_POLL_CONTROL);
	default:
		return true;
	}
}

/* --- async page faults ------------------------------------------------------------------ */

#define ASYNC_PF_RESERVED	0x30ull		/* of _EN: between its flags and the address */

bool pv_is_async_pf(u32 msr)
{
	return msr == MSR_KVM_ASYNC_PF_EN || msr == MSR_KVM_ASYNC_PF_INT || msr == MSR_KVM_ASYNC_PF_ACK;
}

int pv_async_pf_set(struct vcpu *v, u32 msr, u64 data)
{
	switch (msr) {
	case MSR_KVM_ASYNC_PF_EN:
		if ((data & ASYNC_PF_RESERVED) || (!v->lapic && data))
			return 1;
		v->async_pf_msr = data;
		return 0;
	case MSR_KVM_ASYNC_PF_INT:
		if (data >> 8)
			return 1;
		v->async_pf_vector = data;
		return 0;
	default:
		return 0;
	}
}

u64 pv_async_pf_get(struct vcpu *v, u32 msr)
{
	return msr == MSR_KVM_ASYNC_PF_EN ? v->async_pf_msr : msr == MSR_KVM_ASYNC_PF_INT ? v->async_pf_vector : 0;
}

/* --- the end of an interrupt -------------------------------------------------------- */

static bool eoi_word(struct vcpu *v, gpa_t *gpa)
{
	*gpa = v->eoi_msr & ~3ull;
	return v->eoi_msr & KVM_MSR_ENABLED;
}

int pv_eoi_msr_set(struct vcpu *v, u64 data)
{
	if (data & 2)
		return 1;
	v->eoi_msr = data;
	v->eoi_offered = false;
	return 0;
}

void pv_eoi_offer(struct vcpu *v)
{
	struct ioapic *io = v->vm->irq.ioapic;
	u32 word = KVM_PV_EOI_ENABLED;
	gpa_t gpa;
	int vector;

	if (!v->lapic || !eoi_word(v, &gpa))
		return;
	vector = lapic_in_service_alone(v->lapic);
	if (vector < 0 || (io && ioapic_has_vector(io, (unsigned)vector)))
		return;
	v->eoi_offered = !guest_write(v->vm, gpa, &word, sizeof(word));
}

void pv_eoi_collect(struct vcpu *v)
{
	u32 word = 0;
	gpa_t gpa;

	if (!v->eoi_offered)
		return;
	v->eoi_offered = false;
	if (!eoi_word(v, &gpa) || guest_read(v->vm, gpa, &word, sizeof(word)))
		return;
	if (!(word & KVM_PV_EOI_ENABLED)) {
		lapic_eoi(v->lapic);
		return;
	}
	word &= ~(u32)KVM_PV_EOI_ENABLED;
	guest_write(v->vm, gpa, &word, sizeof(word));
}
