/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chips.h - vCPUs that are nothing but their interrupt controllers, over the simulated host
 *
 * The interrupt and clock files of core/ ask little of the rest of it.  That little is
 * here, so that tests see every kick, NMI and acknowledgement, and link nothing else.
 * The TSC runs at 2 GHz with the simulated clock.
 */
#ifndef TESTS_CORE_CHIPS_H
#define TESTS_CORE_CHIPS_H

#include "core/lapic.h"
#include "core/vm.h"
#include "host/sim/internal.h"
#include "host/sim/sim.h"
#include <errno.h>

#include "tests/test.h"
#include "x86/feature.h"

#define CHIPS_VCPUS	64u
#define CHIPS_RANGES	16u
#define CHIPS_RAM	0x3000u

#define MS 1000000ull
#define SECOND 1000000000ull
#define YEAR (365 * 86400 * SECOND)

static struct {
	struct vm vm;
	struct vcpu vcpu[CHIPS_VCPUS];
	unsigned vcpus;
	unsigned kicks[CHIPS_VCPUS], nmis[CHIPS_VCPUS];
	unsigned acks[64];		/* eventfd_ack() by GSI */
	bool lower_on_ack;		/* a resampling device that is content once asked */
	bool no_deadline, no_x2apic;	/* CPUID */
	u64 tsc_skew;
	u64 tsc_offset_set;		/* what the back end was told last */
	struct { enum iobus_kind kind; gpa_t address; u64 bytes; struct iodev *d; } range[CHIPS_RANGES];
	u8 ram[CHIPS_RAM];		/* guest-physical 0 */
	u32 seen_odd;			/* the version field was odd while the page changed */
	gpa_t watched;			/* a version field */
	u64 allocations;
} chips;

/* --- what the rest of core/ would be; vcpu.h, slot.h, iobus.h and insn.h declare it --- */

u64 insn_rdtsc(void);
u64 insn_rdtsc(void) { return host_now() * 2 + chips.tsc_skew; }
void vcpu_kick(struct vcpu *v) { chips.kicks[v->index]++; }
void event_nmi(struct vcpu *v) { chips.nmis[v->index]++; }

void eventfd_ack(struct vm *vm, unsigned gsi)
{
	chips.acks[gsi]++;
	if (chips.lower_on_ack)
		irq_line(vm, 2, gsi, false);
}

bool cpuid_has(struct vcpu *v, unsigned feature)
{
	(void)v;
	return feature == X86_FEATURE_TSC_DEADLINE ? !chips.no_deadline : !chips.no_x2apic;
}

const struct kvm_cpuid_entry2 *cpuid_find(struct vcpu *v, u32 leaf, u32 subleaf)
{
	static const struct kvm_cpuid_entry2 sizes = { .function = 0x80000008, .eax = 0x3028 };

	(void)v;
	(void)subleaf;
	return leaf == sizes.function ? &sizes : NULL;
}

void vm_request_all(struct vm *vm, enum vcpu_request r, bool wait)
{
	(void)wait;
	for (u32 n = 0; n < vm->vcpu_count; n++)
		vcpu_request(vm->vcpus[n], r);
}

int iobus_add(struct vm *vm, enum iobus_kind kind, gpa_t address, u64 bytes, struct iodev *d)
{
	(void)vm;
	for (unsigned n = 0; n < CHIPS_RANGES; n++) {
		if (chips.range[n].d)
			continue;
		chips.range[n].kind = kind;
		chips.range[n].address = address;
		chips.range[n].bytes = bytes;
		chips.range[n].d = d;
		return 0;
	}
	return -12;
}

void iobus_remove(struct vm *vm, enum iobus_kind kind, struct iodev *d)
{
	(void)vm;
	for (unsigned n = 0; n < CHIPS_RANGES; n++)
		if (chips.range[n].d == d && chips.range[n].kind == kind)
			chips.range[n].d = NULL;
}

int guest_read(struct vm *vm, gpa_t gpa, void *data, u64 bytes)
{
	(void)vm;
	if (gpa > CHIPS_RAM || bytes > CHIPS_RAM - gpa)
		return -14;
	memcpy(data, chips.ram + gpa, bytes);
	return 0;
}

int guest_write(struct vm *vm, gpa_t gpa, const void *data, u64 bytes)
{
	(void)vm;
	if (gpa > CHIPS_RAM || bytes > CHIPS_RAM - gpa)
		return -14;
	if (gpa != chips.watched && chips.ram[chips.watched] & 1)
		chips.seen_odd++;
	memcpy(chips.ram + gpa, data, bytes);
	return 0;
}

/* --- the stage ------------------------------------------------------------------------ */

static inline void chips_backend_tsc(struct vcpu *v, u64 offset)
{
	(void)v;
	chips.tsc_offset_set = offset;
}
static const struct backend chips_backend = { .name = "chips", .tsc_offset_set = chips_backend_tsc };

/* A VM with this many vCPUs (ids 0...), and with PICs and IOAPIC or without. */
static inline void chips_create(unsigned vcpus, bool in_kernel)
{
	memset(&chips, 0, sizeof(chips));
	sim_reset();
	chips.allocations = sim_allocations();
	chips.vm.be = &chips_backend;
	host_srcu_init(&chips.vm.srcu);
	clock_vm_init(&chips.vm);
	if (in_kernel)
		EXPECT_EQ(irq_create_chips(&chips.vm), 0);
	else
		chips.vm.split_irqchip = true;
	for (unsigned n = 0; n < vcpus; n++) {
		struct vcpu *v = &chips.vcpu[n];

		*v = (struct vcpu){ .vm = &chips.vm, .id = n, .index = n, .backend = &chips };
		EXPECT_EQ(lapic_create(v), 0);
		clock_vcpu_init(v);
		chips.vm.vcpus[n] = v;
		chips.vm.vcpu_count = n + 1;
	}
	chips.vcpus = vcpus;
}

static inline void chips_destroy(void)
{
	irq_fini(&chips.vm);
	for (unsigned n = 0; n < chips.vcpus; n++)
		lapic_destroy(&chips.vcpu[n]);
	host_srcu_fini(&chips.vm.srcu);
	EXPECT_EQ(sim_allocations(), chips.allocations);
	for (unsigned n = 0; n < CHIPS_RANGES; n++)
		EXPECT(!chips.range[n].d);
}

/* An access by vCPU 0 to a device's port or memory; what nobody answers reads as ~0. */
static inline u32 chips_access(enum iobus_kind kind, gpa_t address, unsigned bytes, u32 value, bool write)
{
	for (unsigned n = 0; n < CHIPS_RANGES; n++) {
		struct iodev *d = chips.range[n].d;

		if (!d || kind != chips.range[n].kind || address - chips.range[n].address >= chips.range[n].bytes)
			continue;
		if (write) {
			d->ops->write(&chips.vcpu[0], d, address, bytes, &value);
			return 0;
		}
		d->ops->read(&chips.vcpu[0], d, address, bytes, &value);
		return value;
	}
	return ~0u;
}

static inline void outb(u16 port, u8 value) { chips_access(IOBUS_PIO, port, 1, value, true); }
static inline u8 inb(u16 port) { return (u8)chips_access(IOBUS_PIO, port, 1, 0, false); }

static inline u32 ioapic_in(u8 index)
{
	chips_access(IOBUS_MMIO, 0xfec00000, 4, index, true);
	return chips_access(IOBUS_MMIO, 0xfec00010, 4, 0, false);
}

static inline void ioapic_out(u8 index, u32 value)
{
	chips_access(IOBUS_MMIO, 0xfec00000, 4, index, true);
	chips_access(IOBUS_MMIO, 0xfec00010, 4, value, true);
}

static inline void ioapic_entry(unsigned pin, u64 entry)
{
	ioapic_out((u8)(0x11 + 2 * pin), (u32)(entry >> 32));
	ioapic_out((u8)(0x10 + 2 * pin), (u32)entry);
}

/* LAPIC registers of vCPU n through its page. */
static inline u32 apic_in(unsigned n, unsigned offset)
{
	u32 value = 0xdeadbeef;

	EXPECT_EQ(lapic_mmio_read(&chips.vcpu[n], 0xfee00000 + offset, 4, &value), 0);
	return value;
}

static inline void apic_out(unsigned n, unsigned offset, u32 value)
{
	EXPECT_EQ(lapic_mmio_write(&chips.vcpu[n], 0xfee00000 + offset, 4, &value), 0);
}

/* Switch LAPICs on, as an operating system does. */
static inline void apic_enable(unsigned n)
{
	apic_out(n, APIC_SPIV, 0x1ff);
}

/* What vCPU n would be interrupted with, taken; -1: nothing. */
static inline int apic_take(unsigned n)
{
	struct vcpu *v = &chips.vcpu[n];

	return irq_pending(v) ? irq_acknowledge(v) : -1;
}

static inline void apic_end(unsigned n)
{
	apic_out(n, APIC_EOI, 0);
}

/* Take everything that is pending, ending each; how often this vector came. */
static inline unsigned apic_drain(unsigned n, int vector)
{
	unsigned count = 0;
	int got;

	while ((got = apic_take(n)) >= 0) {
		count += got == vector;
		apic_end(n);
	}
	return count;
}

#endif
