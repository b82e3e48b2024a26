// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_lapic.c - the local APIC: registers, modes, destinations, priorities, state
 */
#include "tests/core/chips.h"

#define X2 0xfee00c00ull

static void start(unsigned vcpus)
{
	chips_create(vcpus, true);
	for (unsigned n = 0; n < vcpus; n++)
		apic_enable(n);
	memset(chips.kicks, 0, sizeof(chips.kicks));
}

static void x2(unsigned n) { EXPECT_EQ(lapic_base_set(&chips.vcpu[n], X2, false), 0); }

static int wrmsr(unsigned n, unsigned offset, u64 value)
{
	return lapic_msr_write(&chips.vcpu[n], 0x800 + (offset >> 4), value, false);
}

static u64 rdmsr(unsigned n, unsigned offset)
{
	u64 value = 0xdeadbeef;

	EXPECT_EQ(lapic_msr_read(&chips.vcpu[n], 0x800 + (offset >> 4), &value, false), 0);
	return value;
}

static void icr(unsigned n, u32 dest, u32 low)
{
	apic_out(n, APIC_ICR2, dest << 24);
	apic_out(n, APIC_ICR, low);
}

/* Which vCPUs take this vector, as a mask; takes and ends it. */
static u64 takers(int vector)
{
	u64 mask = 0;

	for (unsigned n = 0; n < chips.vcpus; n++) {
		if (apic_take(n) != vector)
			continue;
		mask |= BIT_U64(n);
		if (lapic_is_x2(chips.vcpu[n].lapic))
			wrmsr(n, APIC_EOI, 0);
		else
			apic_end(n);
	}
	return mask;
}

static void power_up_values(void)
{
	chips_create(2, true);
	EXPECT_EQ(chips.vcpu[0].apic_base, 0xfee00900);
	EXPECT_EQ(chips.vcpu[1].apic_base, 0xfee00800);
	EXPECT_EQ(apic_in(1, APIC_ID), 0x01000000);
	EXPECT_EQ(apic_in(1, APIC_VERSION), 0x50014);
	EXPECT_EQ(apic_in(1, APIC_SPIV), 0xff);
	EXPECT_EQ(apic_in(1, APIC_DFR), 0xffffffff);
	EXPECT_EQ(apic_in(1, APIC_LVT0), 0x10000);
	EXPECT_EQ(apic_in(0, APIC_LVT0), 0x700);	/* the first processor hears the PICs */
	EXPECT_EQ(apic_in(1, APIC_LVT_TIMER), 0x10000);
	EXPECT_EQ(apic_in(1, APIC_SELF_IPI), 0);
	chips_destroy();
}

static void accesses_of_odd_sizes(void)
{
	u8 bytes[16];
	struct vcpu *v = &chips.vcpu[0];

	start(1);
	EXPECT(lapic_claims(v, 0xfee00ffc) && !lapic_claims(v, 0xfee01000));
	lapic_mmio_read(v, 0xfee00000 + APIC_VERSION + 2, 1, bytes);
	EXPECT_EQ(bytes[0], 5);
	memset(bytes, 0x55, sizeof(bytes));
	EXPECT_EQ(lapic_mmio_read(v, 0xfee00000 + APIC_VERSION + 2, 4, bytes), 0);
	EXPECT_EQ(bytes[0], 0);
	EXPECT_EQ(lapic_mmio_read(v, 0xfee00000 + APIC_VERSION, 8, bytes), 0);
	EXPECT_EQ(lapic_mmio_read(v, 0xfee00fff, 1, bytes), 0);
	EXPECT_EQ(lapic_mmio_write(v, 0xfee00000 + APIC_TPR, 8, "\x55\0\0\0\0\0\0"), 0);
	EXPECT_EQ(lapic_mmio_write(v, 0xfee00000 + APIC_TPR + 1, 4, "\x55\0\0"), 0);
	EXPECT_EQ(apic_in(0, APIC_TPR), 0);
	chips_destroy();
}

static void priorities(void)
{
	struct vcpu *v = &chips.vcpu[0];

	start(1);
	icr(0, 0, 0x4031);
	icr(0, 0, 0x4055);
	EXPECT_EQ(chips.kicks[0], 2);
	EXPECT_EQ(lapic_highest_irr(v), 0x55);
	apic_out(0, APIC_TPR, 0x50);
	EXPECT_EQ(apic_take(0), -1);
	EXPECT_EQ(apic_in(0, APIC_PPR), 0x50);
	EXPECT_EQ(lapic_cr8_get(v), 5);
	lapic_cr8_set(v, 4);
	EXPECT_EQ(apic_in(0, APIC_TPR), 0x40);
	EXPECT_EQ(apic_take(0), 0x55);
	EXPECT_EQ(apic_in(0, APIC_PPR), 0x50);
	EXPECT_EQ(apic_in(0, APIC_ISR + 0x20), 1u << 0x15);
	lapic_cr8_set(v, 0);
	EXPECT_EQ(apic_take(0), -1);
	icr(0, 0, 0x405f);			/* the same class waits, too */
	EXPECT_EQ(apic_take(0), -1);
	icr(0, 0, 0x4060);
	EXPECT_EQ(apic_take(0), 0x60);
	apic_end(0);
	apic_end(0);
	EXPECT_EQ(apic_take(0), 0x5f);
	apic_end(0);
	EXPECT_EQ(apic_take(0), 0x31);
	apic_end(0);
	apic_end(0);				/* one too many */
	apic_out(0, APIC_TPR, 0x35);
	EXPECT_EQ(apic_in(0, APIC_PPR), 0x35);
	chips_destroy();
}

static void shorthands_and_physical(void)
{
	start(4);
	icr(1, 2, 0x4040); EXPECT_EQ(takers(0x40), 4);
	icr(1, 0xff, 0x4041); EXPECT_EQ(takers(0x41), 15);
	icr(1, 0, 0x44042); EXPECT_EQ(takers(0x42), 2);
	icr(1, 0, 0x84043); EXPECT_EQ(takers(0x43), 15);
	icr(1, 0, 0xc4044); EXPECT_EQ(takers(0x44), 13);
	icr(1, 9, 0x4045); EXPECT_EQ(takers(0x45), 0);
	apic_out(2, APIC_ID, 0x77000000);	/* ids can be changed in this mode */
	icr(1, 0x77, 0x4046); EXPECT_EQ(takers(0x46), 4);
	icr(1, 2, 0x4046); EXPECT_EQ(takers(0x46), 0);
	EXPECT_EQ(apic_in(1, APIC_ICR), 0x4046);
	apic_out(1, APIC_ICR, 0x5047);		/* delivery status is not writable */
	EXPECT_EQ(apic_in(1, APIC_ICR), 0x4047);
	chips_destroy();
}

static void logical(void)
{
	start(4);
	for (unsigned n = 0; n < 4; n++)
		apic_out(n, APIC_LDR, 1u << (24 + n));
	icr(0, 0x0a, 0x4840); EXPECT_EQ(takers(0x40), 0x0a);
	icr(0, 0xff, 0x4840); EXPECT_EQ(takers(0x40), 0x0f);
	for (unsigned n = 0; n < 4; n++) {
		apic_out(n, APIC_DFR, 0x0fffffff);
		apic_out(n, APIC_LDR, (n / 2 << 4 | 1u << (n & 1)) << 24);
	}
	icr(0, 0x13, 0x4841); EXPECT_EQ(takers(0x41), 0x0c);
	icr(0, 0x02, 0x4841); EXPECT_EQ(takers(0x41), 0x02);
	icr(0, 0xff, 0x4841); EXPECT_EQ(takers(0x41), 0x0f);
	chips_destroy();
}

static void lowest_priority_goes_to_one(void)
{
	u64 seen = 0;

	start(4);
	for (unsigned n = 0; n < 4; n++)
		apic_out(n, APIC_LDR, 1u << (24 + n));
	apic_out(3, APIC_SPIV, 0xff);		/* not a candidate */
	for (u32 vector = 0x40; vector < 0x60; vector++) {
		u64 mask;

		icr(0, 0x0f, 0x4900 | vector);
		mask = takers((int)vector);
		EXPECT(mask && !(mask & (mask - 1)));
		seen |= mask;
	}
	EXPECT_EQ(seen, 7);
	icr(0, 0xff, 0x4170);			/* physical broadcast: everybody instead */
	EXPECT_EQ(takers(0x70), 7);
	chips_destroy();
}

static void nmi_init_sipi(void)
{
	start(3);
	icr(0, 1, 0x4400);
	EXPECT_EQ(chips.nmis[1], 1);
	icr(0, 0, 0xc4400);
	EXPECT(chips.nmis[0] == 0 && chips.nmis[1] == 2 && chips.nmis[2] == 1);
	icr(0, 1, 0x4600 | 0x9a);		/* SIPI */
	EXPECT_EQ(chips.vcpu[1].pending_sipi, 0x19a);
	icr(0, 1, 0xc500);			/* INIT, level assert */
	EXPECT_EQ(chips.vcpu[1].pending_init, 1);
	EXPECT_EQ(chips.vcpu[1].pending_sipi, 0);
	chips.vcpu[1].pending_init = 0;
	icr(0, 1, 0x8500);			/* INIT level de-assert is nothing */
	EXPECT_EQ(chips.vcpu[1].pending_init, 0);
	icr(0, 1, 0x4500);
	EXPECT_EQ(chips.vcpu[1].pending_init, 1);
	icr(0, 1, 0x4200);
	EXPECT(chips.vcpu[1].requests & BIT_U64(REQ_SMI));
	icr(0, 1, 0x8000 | 0x33);		/* level de-assert of a vector */
	EXPECT_EQ(apic_take(1), -1);
	chips_destroy();
}

static void switched_off(void)
{
	struct kvm_msi msi = { .address_lo = 0xfee01000, .data = 0x45 };
	u32 value = 0;

	start(2);
	apic_out(1, APIC_LVT1, 0x400);
	apic_out(1, APIC_SPIV, 0x0ff);
	EXPECT_EQ(apic_in(1, APIC_LVT1), 0x10400);	/* masked by disabling */
	apic_out(1, APIC_LVT1, 0x400);
	EXPECT_EQ(apic_in(1, APIC_LVT1), 0x10400);
	EXPECT_EQ(irq_msi(&chips.vm, &msi), 0);
	EXPECT_EQ(apic_take(1), -1);
	icr(0, 1, 0x4400);				/* NMI gets through */
	EXPECT_EQ(chips.nmis[1], 1);
	EXPECT_EQ(lapic_base_set(&chips.vcpu[1], 0xfee00000, false), 0);
	EXPECT_EQ(irq_msi(&chips.vm, &msi), -1);	/* nobody has this id */
	EXPECT_EQ(lapic_mmio_read(&chips.vcpu[1], 0xfee00020, 4, &value), 0);
	EXPECT_EQ(value, 0xffffffff);
	chips.vm.quirks_disabled = KVM_X86_QUIRK_LAPIC_MMIO_HOLE;
	EXPECT_EQ(lapic_mmio_read(&chips.vcpu[1], 0xfee00020, 4, &value), -EOPNOTSUPP);
	EXPECT_EQ(lapic_mmio_write(&chips.vcpu[1], 0xfee00020, 4, &value), -EOPNOTSUPP);
	chips_destroy();
}

static void modes_change_only_as_allowed(void)
{
	struct vcpu *v = &chips.vcpu[1];
	static const u64 off = 0xfee00000, on = 0xfee00800, both = 0xfee00c00, bad = 0xfee00400;
	u64 value;

	start(2);
	EXPECT_EQ(lapic_base_set(v, bad, true), 1);
	EXPECT_EQ(lapic_base_set(v, on | 1, false), 1);
	EXPECT_EQ(lapic_base_set(v, on | BIT_U64(40), false), 1);
	EXPECT_EQ(lapic_msr_read(v, 0x802, &value, false), 1);		/* the MSRs are closed */
	EXPECT_EQ(lapic_base_set(v, both, false), 0);
	EXPECT_EQ(rdmsr(1, APIC_ID), 1);
	EXPECT_EQ(rdmsr(1, APIC_LDR), 2);
	EXPECT_EQ(lapic_base_set(v, on, false), 1);			/* back only through off */
	EXPECT_EQ(lapic_base_set(v, off, false), 0);
	EXPECT_EQ(lapic_base_set(v, both, false), 1);
	EXPECT_EQ(lapic_base_set(v, on, false), 0);
	EXPECT_EQ(apic_in(1, APIC_ID), 0x01000000);
	EXPECT_EQ(lapic_base_set(v, off, false), 0);
	EXPECT_EQ(lapic_base_set(v, both, true), 0);			/* the client may */
	EXPECT_EQ(lapic_base_set(v, on, true), 0);
	chips.no_x2apic = true;
	EXPECT_EQ(lapic_base_set(v, both, true), 1);
	EXPECT_EQ(lapic_base_set(v, 0x12345800, false), 0);		/* the page moves */
	EXPECT(lapic_claims(v, 0x12345020) && !lapic_claims(v, 0xfee00020));
	chips_destroy();
}

static void x2apic_registers(void)
{
	u64 value;

	start(2);
	x2(1);
	EXPECT_EQ(wrmsr(1, APIC_ID, 5), 1);
	EXPECT_EQ(wrmsr(1, APIC_LDR, 5), 1);
	EXPECT_EQ(wrmsr(1, APIC_VERSION, 5), 1);
	EXPECT_EQ(wrmsr(1, APIC_DFR, 5), 1);
	EXPECT_EQ(wrmsr(1, APIC_ICR2, 5), 1);
	EXPECT_EQ(wrmsr(1, APIC_TPR, BIT_U64(32)), 1);
	EXPECT_EQ(wrmsr(1, APIC_ESR, 1), 1);
	EXPECT_EQ(wrmsr(1, APIC_ESR, 0), 0);
	EXPECT_EQ(wrmsr(1, APIC_SELF_IPI, 0x100), 1);
	EXPECT_EQ(wrmsr(1, APIC_TPR, 0x20), 0);
	EXPECT_EQ(rdmsr(1, APIC_TPR), 0x20);
	for (unsigned offset = 0; offset < 0x400; offset += 0x10) {
		bool there = lapic_msr_read(&chips.vcpu[1], 0x800 + (offset >> 4), &value, false) == 0;

		EXPECT_EQ(there, offset == APIC_ID || offset == APIC_VERSION || offset == APIC_TPR ||
				 offset == APIC_PPR || offset == APIC_LDR || offset == APIC_SPIV ||
				 (offset >= APIC_ISR && offset <= APIC_ESR) || offset == APIC_ICR ||
				 (offset >= APIC_LVT_TIMER && offset <= APIC_TMCCT) || offset == APIC_TDCR);
	}
	EXPECT_EQ(lapic_msr_read(&chips.vcpu[1], 0x840, &value, false), 1);
	EXPECT_EQ(wrmsr(1, APIC_SELF_IPI, 0x71), 0);
	EXPECT_EQ(takers(0x71), 2);
	EXPECT_EQ(wrmsr(1, APIC_ICR, 0x5aull << 32 | 0x5050), 0);
	EXPECT_EQ(rdmsr(1, APIC_ICR), 0x5aull << 32 | 0x4050);
	chips_destroy();
}

static void x2apic_destinations(void)
{
	struct kvm_msi all = { .address_lo = 0xfeeff000, .data = 0x66 };

	start(40);
	for (unsigned n = 0; n < 40; n++)
		x2(n);
	wrmsr(0, APIC_ICR, 33ull << 32 | 0x4050);
	EXPECT_EQ(takers(0x50), BIT_U64(33));
	wrmsr(0, APIC_ICR, 0xffffffffull << 32 | 0x4050);
	EXPECT_EQ(takers(0x50), BIT_U64(40) - 1);
	wrmsr(0, APIC_ICR, 0x2000full << 32 | 0x4850);	/* cluster 2, members 0-3 */
	EXPECT_EQ(takers(0x50), 0xfull << 32);
	wrmsr(0, APIC_ICR, 0xffull << 32 | 0x4050);	/* an IPI to 255 is to 255 */
	EXPECT_EQ(takers(0x50), 0);
	EXPECT_EQ(irq_msi(&chips.vm, &all), 40);	/* a device's 0xff is everybody */
	EXPECT_EQ(takers(0x66), BIT_U64(40) - 1);
	chips.vm.x2apic_no_quirk = true;
	EXPECT_EQ(irq_msi(&chips.vm, &all), -1);
	EXPECT_EQ(takers(0x66), 0);
	chips.vm.x2apic_32bit = true;
	all.address_hi = 0xffffff00;
	EXPECT_EQ(irq_msi(&chips.vm, &all), 40);
	EXPECT_EQ(takers(0x66), BIT_U64(40) - 1);
	all.address_hi = 1;
	EXPECT_EQ(irq_msi(&chips.vm, &all), -EINVAL);
	chips_destroy();
}

static void local_interrupts(void)
{
	start(2);
	apic_out(0, APIC_LVT_COUNTER, 0x400);
	EXPECT_EQ(lapic_local(chips.vcpu[0].lapic, APIC_LVT_COUNTER), 1);
	EXPECT_EQ(chips.nmis[0], 1);
	apic_out(0, APIC_LVT_COUNTER, 0x10400);
	EXPECT_EQ(lapic_local(chips.vcpu[0].lapic, APIC_LVT_COUNTER), 0);
	apic_out(0, APIC_LVT_ERROR, 0xffffffff);
	EXPECT_EQ(apic_in(0, APIC_LVT_ERROR), 0x110ff);
	apic_out(0, APIC_LVT0, 0xffffffff);
	EXPECT_EQ(apic_in(0, APIC_LVT0), 0x1f7ff);
	apic_out(0, APIC_LVT0, 0x400);
	lapic_pit_tick(&chips.vm);
	EXPECT(chips.nmis[0] == 2 && chips.nmis[1] == 0);
	chips.no_deadline = true;
	apic_out(0, APIC_LVT_TIMER, 0xffffffff);
	EXPECT_EQ(apic_in(0, APIC_LVT_TIMER), 0x310ff);
	chips_destroy();
}

static void reset_and_init(void)
{
	struct vcpu *v = &chips.vcpu[1];

	start(2);
	x2(1);
	wrmsr(1, APIC_SELF_IPI, 0x71);
	wrmsr(1, APIC_TPR, 0x20);
	lapic_reset(v, true);			/* INIT: the mode and the id stay */
	EXPECT_EQ(v->apic_base, X2);
	EXPECT_EQ(rdmsr(1, APIC_ID), 1);
	EXPECT_EQ(rdmsr(1, APIC_LDR), 2);
	EXPECT_EQ(rdmsr(1, APIC_TPR), 0);
	EXPECT_EQ(rdmsr(1, APIC_SPIV), 0xff);
	EXPECT_EQ(lapic_highest_irr(v), -1);
	lapic_reset(v, false);
	EXPECT_EQ(v->apic_base, 0xfee00800);
	EXPECT_EQ(apic_in(1, APIC_ID), 0x01000000);
	apic_out(1, APIC_ID, 0x55000000);
	lapic_reset(v, false);
	EXPECT_EQ(apic_in(1, APIC_ID), 0x01000000);
	chips_destroy();
}

static void state_survives(void)
{
	struct kvm_lapic_state s, again;
	u32 value;

	start(2);
	apic_out(1, APIC_LDR, 0x02000000);
	icr(0, 1, 0x4040);
	icr(0, 1, 0xc091);			/* level */
	icr(0, 1, 0x4060);
	EXPECT_EQ(apic_take(1), 0x91);
	apic_out(1, APIC_TPR, 0x30);
	EXPECT_EQ(lapic_get(&chips.vcpu[1], &s), 0);
	memcpy(&value, s.regs + APIC_PPR, 4);
	EXPECT_EQ(value, 0x90);
	chips_destroy();

	start(2);
	EXPECT_EQ(lapic_set(&chips.vcpu[1], &s), 0);
	EXPECT_EQ(lapic_get(&chips.vcpu[1], &again), 0);
	EXPECT(!memcmp(&s, &again, sizeof(s)));
	EXPECT_EQ(apic_take(1), -1);
	apic_end(1);
	EXPECT_EQ(apic_take(1), 0x60);
	apic_end(1);
	EXPECT_EQ(apic_take(1), 0x40);
	chips_destroy();
}

static void x2apic_state_in_both_formats(void)
{
	struct kvm_lapic_state s;
	u32 value;

	start(2);
	x2(1);
	wrmsr(1, APIC_ICR, 0x12345678ull << 32 | 0x4050);
	lapic_get(&chips.vcpu[1], &s);
	memcpy(&value, s.regs + APIC_ID, 4);
	EXPECT_EQ(value, 0x01000000);
	memcpy(&value, s.regs + APIC_ICR2, 4);
	EXPECT_EQ(value, 0x12345678);
	memset(s.regs + APIC_LDR, 0x77, 4);	/* cannot be chosen */
	EXPECT_EQ(lapic_set(&chips.vcpu[1], &s), 0);
	EXPECT_EQ(rdmsr(1, APIC_ID), 1);
	EXPECT_EQ(rdmsr(1, APIC_LDR), 2);
	EXPECT_EQ(rdmsr(1, APIC_ICR), 0x12345678ull << 32 | 0x4050);
	chips.vm.x2apic_32bit = true;
	lapic_get(&chips.vcpu[1], &s);
	memcpy(&value, s.regs + APIC_ID, 4);
	EXPECT_EQ(value, 1);
	EXPECT_EQ(lapic_set(&chips.vcpu[1], &s), 0);
	value = 2;
	memcpy(s.regs + APIC_ID, &value, 4);
	EXPECT_EQ(lapic_set(&chips.vcpu[1], &s), -EINVAL);
	chips.vm.x2apic_32bit = false;		/* an id that 8 bits cannot hold */
	chips.vcpu[1].id = 300;
	lapic_reset(&chips.vcpu[1], false);
	x2(1);
	lapic_get(&chips.vcpu[1], &s);
	EXPECT_EQ(lapic_set(&chips.vcpu[1], &s), 0);
	EXPECT_EQ(rdmsr(1, APIC_ID), 300);
	EXPECT_EQ(rdmsr(1, APIC_LDR), 18 << 16 | 1 << 12);
	chips_destroy();
}

/* Whatever a client sets, nothing breaks and the rest of the interface stays sane. */
static void random_state_does_no_harm(void)
{
	struct kvm_lapic_state s;

	srandom(3);
	start(2);
	for (int n = 0; n < 3000; n++) {
		for (unsigned i = 0; i < sizeof(s.regs); i++)
			s.regs[i] = (char)random();
		lapic_set(&chips.vcpu[1], &s);
		sim_clock_advance((u64)random() % (10 * MS));
		for (int i = 0; i < 20; i++) {
			int vector = apic_take(1);

			EXPECT(vector >= -1 && vector < 256);
			lapic_mmio_write(&chips.vcpu[1], 0xfee00000 + APIC_EOI, 4, &(u32){ 0 });
		}
		lapic_get(&chips.vcpu[1], &s);
	}
	chips_destroy();
}

static void creation_may_fail(void)
{
	struct vcpu v = { .vm = &chips.vm };

	chips_create(0, true);
	sim_fail_alloc(1);
	EXPECT_EQ(lapic_create(&v), -ENOMEM);
	EXPECT(!v.lapic);
	lapic_destroy(&v);
	EXPECT_EQ(lapic_get(&v, NULL), -EINVAL);
	EXPECT_EQ(lapic_set(&v, NULL), -EINVAL);
	EXPECT_EQ(lapic_deadline_get(&v), 0);
	lapic_deadline_set(&v, 5);
	EXPECT(!irq_pending(&v));
	EXPECT_EQ(irq_acknowledge(&v), -1);
	lapic_cr8_set(&v, 7);
	EXPECT_EQ(lapic_cr8_get(&v), 7);
	chips_destroy();
}

int main(void)
{
	TEST(power_up_values);
	TEST(accesses_of_odd_sizes);
	TEST(priorities);
	TEST(shorthands_and_physical);
	TEST(logical);
	TEST(lowest_priority_goes_to_one);
	TEST(nmi_init_sipi);
	TEST(switched_off);
	TEST(modes_change_only_as_allowed);
	TEST(x2apic_registers);
	TEST(x2apic_destinations);
	TEST(local_interrupts);
	TEST(reset_and_init);
	TEST(state_survives);
	TEST(x2apic_state_in_both_formats);
	TEST(random_state_does_no_harm);
	TEST(creation_may_fail);
	return test_status();
}
