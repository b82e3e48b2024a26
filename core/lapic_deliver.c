// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lapic_deliver.c - interrupt messages: who they are for, and handing them over
 *
 * A message comes from an ICR, an IOAPIC pin, an MSI or a local interrupt.  Its destination
 * names LAPICs by id (physical) or by group (logical); every LAPIC that is switched on is
 * asked whether it is meant.  A vCPU takes a vector by setting a bit in its IRR and being
 * kicked; INIT and SIPI are left in the vCPU for its own thread.
 *
 * Locking: none.  Everything here may run in any context, against a vCPU in any state.
 * Reference: AMD64 manual volume 2, "Advanced Programmable Interrupt Controller"; Intel's,
 * volume 3, "Determining IPI Destination".
 * Not modelled: arbitration by priority; of several candidates for a lowest-priority
 * message the vector's number picks one, as in Linux.  Remote read, which no guest uses.
 */
#include "base/bits.h"
#include "core/lapic.h"
#include "core/vm.h"

#define XAPIC_EVERYBODY		0xffu
#define X2APIC_EVERYBODY	0xffffffffu
#define DFR_FLAT		0xfu
#define DFR_CLUSTER		0x0u

static void wake(struct vcpu *v)
{
	vcpu_request(v, REQ_EVENT);
	vcpu_kick(v);
}

int lapic_accept(struct lapic *l, const struct lapic_message *m)
{
	struct vcpu *v = l->v;

	switch ((enum lapic_mode)m->mode) {
	case LAPIC_LOWEST:
		atomic_fetch_add(&l->arbitration, 1u);
		__attribute__((__fallthrough__));
	case LAPIC_FIXED:
		if (m->level && !m->assert)
			return 0;
		if (!lapic_is_on(l) || !lapic_is_software_enabled(l))
			return 0;
		/* TMR first: who finds the vector in IRR must know how to end it. */
		if (m->level)
			lapic_vector_set(l, APIC_TMR, m->vector);
		else
			lapic_vector_clear(l, APIC_TMR, m->vector);
		lapic_vector_set(l, APIC_IRR, m->vector);
		wake(v);
		return 1;
	case LAPIC_NMI:
		event_nmi(v);
		vcpu_kick(v);
		return 1;
	case LAPIC_SMI:
		vcpu_request(v, REQ_SMI);
		vcpu_kick(v);
		return 1;
	case LAPIC_INIT:
		if (m->level && !m->assert)
			return 0;	/* "INIT level de-assert" only meant something to the 82489DX */
		atomic_exchange(&v->pending_sipi, 0u);	/* INIT drops a SIPI that came before */
		atomic_exchange(&v->pending_init, 1u);
		wake(v);
		return 1;
	case LAPIC_SIPI:
		atomic_exchange(&v->pending_sipi, 0x100u | m->vector);
		wake(v);
		return 1;
	case LAPIC_EXTINT:	/* the PICs' line through LINT0 is looked at, not latched */
	case LAPIC_REMOTE_READ:
		break;
	}
	return 0;
}

int lapic_local(struct lapic *l, unsigned lvt)
{
	u32 entry = lapic_reg(l, lvt);
	struct lapic_message m = {
		.vector = entry & APIC_VECTOR, .mode = (entry & APIC_MODE) >> 8,
		.level = entry & APIC_LEVEL, .assert = true,
	};

	if (!lapic_is_on(l) || entry & APIC_LVT_MASKED)
		return 0;
	return lapic_accept(l, &m);
}

/* --- destinations ------------------------------------------------------------ */

static u32 physical_id(const struct lapic *l)
{
	u32 id = lapic_reg(l, APIC_ID);

	return lapic_is_x2(l) ? id : id >> 24;
}

static bool is_everybody(const struct lapic *l, const struct lapic *source, u32 dest)
{
	if (!lapic_is_x2(l))
		return dest == XAPIC_EVERYBODY;
	/* Devices speak 8 bits: 0xff reaches x2APICs too, unless the client asked for 0xff to be 255. */
	return dest == X2APIC_EVERYBODY ||
	       (!source && dest == XAPIC_EVERYBODY && !atomic_load_relaxed(&l->v->vm->x2apic_no_quirk));
}

static bool physical_matches(const struct lapic *l, u32 dest)
{
	/* An id beyond 255 can only mean a processor that an xAPIC id cannot name. */
	if (dest > 0xff)
		return dest == (lapic_is_x2(l) ? lapic_reg(l, APIC_ID) : l->v->id);
	return dest == physical_id(l);
}

static bool logical_matches(const struct lapic *l, u32 dest)
{
	u32 ldr = lapic_reg(l, APIC_LDR);

	if (lapic_is_x2(l))
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	ldr >>= 24;
	switch (lapic_reg(l, APIC_DFR) >> 28) {
	case DFR_FLAT:
		return ldr & dest;
	case DFR_CLUSTER:
		return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
	default:
		return false;
	}
}

static bool is_meant(const struct lapic *l, const struct lapic *source, const struct lapic_message *m)
{
	switch ((enum lapic_shorthand)m->shorthand) {
	case LAPIC_TO_SELF:	return l == source;
	case LAPIC_TO_ALL:	return true;
	case LAPIC_TO_OTHERS:	return l != source;
	case LAPIC_TO_DEST:	break;
	}
	if (is_everybody(l, source, m->dest))
		return true;
	return m->logical ? logical_matches(l, m->dest) : physical_matches(l, m->dest);
}

static struct lapic *lapic_of(struct vm *vm, u32 index)
{
	struct vcpu *v = atomic_load_acquire(&vm->vcpus[index]);
	struct lapic *l = v ? v->lapic : NULL;

	return l && lapic_is_on(l) ? l : NULL;
}

/* To one of those it is for; only software-enabled ones are candidates. */
static int deliver_lowest(struct vm *vm, struct lapic *source, const struct lapic_message *m)
{
	u64 candidate[BITMAP_WORDS(VM_MAX_VCPUS)] = { 0 };
	u32 vcpus = MIN_OF(atomic_load_acquire(&vm->vcpu_count), VM_MAX_VCPUS), found = 0, nth;
	u64 index = 0;

	for (u32 i = 0; i < vcpus; i++) {
		struct lapic *l = lapic_of(vm, i);

		if (l && lapic_is_software_enabled(l) && is_meant(l, source, m)) {
			bit_set(candidate, i);
			found++;
		}
	}
	if (!found)
		return -1;
	nth = m->vector % found;
	index = bit_find_set(candidate, VM_MAX_VCPUS, 0);
	while (nth--)
		index = bit_find_set(candidate, VM_MAX_VCPUS, index + 1);
	return lapic_accept(vm->vcpus[index]->lapic, m);
}

int lapic_deliver(struct vm *vm, struct lapic *source, const struct lapic_message *m)
{
	struct lapic_message all = *m;
	bool to_one = m->mode == LAPIC_LOWEST || m->redirect;
	u32 vcpus = MIN_OF(atomic_load_acquire(&vm->vcpu_count), VM_MAX_VCPUS);
	int taken = -1;

	if (m->shorthand == LAPIC_TO_SELF)
		return source && lapic_is_on(source) ? lapic_accept(source, m) : -1;
	if (to_one && m->shorthand == LAPIC_TO_DEST && !m->logical && m->dest == XAPIC_EVERYBODY) {
		all.mode = LAPIC_FIXED;	/* lowest priority of everybody is not allowed */
		all.redirect = to_one = false;
		m = &all;
	}
	if (to_one)
		return deliver_lowest(vm, source, m);
	for (u32 i = 0; i < vcpus; i++) {
		struct lapic *l = lapic_of(vm, i);

		if (l && is_meant(l, source, m))
			taken = MAX_OF(taken, 0) + lapic_accept(l, m);
	}
	return taken;
}

/* --- LINT0 --------------------------------------------------------------------- */

bool lapic_accepts_pic(struct vcpu *v)
{
	const struct lapic *l = v->lapic;
	u32 lint0;

	if (!l)
		return false;
	if (!lapic_is_on(l))
		return true;	/* switched off, the pin is the processor's INTR */
	lint0 = lapic_reg(l, APIC_LVT0);
	return !(lint0 & APIC_LVT_MASKED) && (lint0 & APIC_MODE) == LAPIC_EXTINT << 8;
}

void lapic_pit_tick(struct vm *vm)
{
	u32 vcpus = MIN_OF(atomic_load_acquire(&vm->vcpu_count), VM_MAX_VCPUS);

	for (u32 i = 0; i < vcpus; i++) {
		struct lapic *l = lapic_of(vm, i);

		if (l && (lapic_reg(l, APIC_LVT0) & APIC_MODE) == LAPIC_NMI << 8)
			lapic_local(l, APIC_LVT0);
	}
}
