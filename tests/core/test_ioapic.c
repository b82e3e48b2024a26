// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_ioapic.c - the I/O APIC: registers, edges, levels and their EOIs
 */
#include "core/ioapic.h"
#include "tests/core/chips.h"

#define LEVEL	0x8000u
#define MASKED	0x10000u
#define REMOTE	0x4000u

static void start(void)
{
	chips_create(2, true);
	apic_enable(0);
	apic_enable(1);
	apic_out(0, APIC_LVT0, 0x10000);	/* no PICs */
}

static int line(unsigned pin, bool up) { return irq_line(&chips.vm, 0, pin, up); }
static u32 entry_low(unsigned pin) { return ioapic_in((u8)(0x10 + 2 * pin)); }

static void registers(void)
{
	u64 wide = 0;

	start();
	EXPECT_EQ(ioapic_in(1), 0x170011);
	ioapic_out(1, 0);
	EXPECT_EQ(ioapic_in(1), 0x170011);
	ioapic_out(0, 0x7f000000);
	EXPECT_EQ(ioapic_in(0), 0x0f000000);
	EXPECT_EQ(ioapic_in(2), 0x0f000000);
	EXPECT_EQ(entry_low(23), MASKED);
	ioapic_out(0x3e, 0xffffffff);
	EXPECT_EQ(ioapic_in(0x3e), 0xffffafff);		/* two bits are read only */
	ioapic_out(0x3f, 0xaabbccdd);
	EXPECT_EQ(ioapic_in(0x3f), 0xaabbccdd);
	ioapic_out(0x40, 5);				/* beyond the last pin */
	EXPECT_EQ(ioapic_in(0x40), 0);
	ioapic_out(0xff, 5);
	EXPECT_EQ(ioapic_in(0xff), 0);
	EXPECT_EQ(ioapic_in(3), 0);
	chips_access(IOBUS_MMIO, 0xfec00000, 1, 0x10, true);
	EXPECT_EQ(chips_access(IOBUS_MMIO, 0xfec00000, 1, 0, false), 0x10);
	EXPECT_EQ(chips_access(IOBUS_MMIO, 0xfec00020, 4, 0, false), 0);
	for (unsigned n = 0; n < CHIPS_RANGES; n++)	/* eight bytes are answered, too */
		if (chips.range[n].address == 0xfec00000)
			chips.range[n].d->ops->read(&chips.vcpu[0], chips.range[n].d, 0xfec00010, 8, &wide);
	EXPECT_EQ(wide, MASKED);
	chips_destroy();
}

static void edges(void)
{
	start();
	ioapic_entry(4, 1ull << 56 | 0x41);
	EXPECT_EQ(line(4, true), 1 + 1);		/* the PIC has it, too */
	EXPECT_EQ(apic_take(0), -1);
	EXPECT_EQ(apic_take(1), 0x41);
	EXPECT_EQ(chips.acks[4], 0);
	apic_end(1);
	EXPECT_EQ(chips.acks[4], 1);
	EXPECT_EQ(apic_take(1), -1);
	line(4, true);					/* no edge */
	EXPECT_EQ(apic_take(1), -1);
	line(4, false);
	line(4, true);
	EXPECT_EQ(apic_take(1), 0x41);
	apic_end(1);
	ioapic_entry(20, 1ull << 56 | MASKED | 0x42);
	EXPECT_EQ(line(20, true), -1);
	EXPECT_EQ(line(20, true), 0);			/* coalesced */
	EXPECT_EQ(line(20, false), 1);
	EXPECT_EQ(line(24, true), -1);			/* no such pin */
	chips_destroy();
}

static void a_level_asserts_until_eoi(void)
{
	start();
	ioapic_entry(20, LEVEL | 0x51);
	EXPECT_EQ(line(20, true), 1);
	EXPECT_EQ(entry_low(20), LEVEL | REMOTE | 0x51);
	EXPECT_EQ(line(20, true), -1);			/* remote IRR holds it */
	EXPECT_EQ(apic_take(0), 0x51);
	EXPECT_EQ(apic_take(0), -1);
	apic_end(0);					/* the line is up: again */
	EXPECT_EQ(apic_take(0), 0x51);
	EXPECT_EQ(entry_low(20), LEVEL | REMOTE | 0x51);
	line(20, false);
	apic_end(0);
	EXPECT_EQ(apic_take(0), -1);
	EXPECT_EQ(entry_low(20), LEVEL | 0x51);
	EXPECT_EQ(chips.acks[20], 2);
	chips.lower_on_ack = true;			/* a resampling device */
	irq_line(&chips.vm, 2, 20, true);
	EXPECT_EQ(apic_drain(0, 0x51), 1);
	chips_destroy();
}

static void sources_share_a_pin(void)
{
	start();
	ioapic_entry(21, LEVEL | 0x52);
	irq_line(&chips.vm, 0, 21, true);
	irq_line(&chips.vm, 2, 21, true);
	irq_line(&chips.vm, 0, 21, false);
	EXPECT_EQ(apic_take(0), 0x52);
	apic_end(0);
	EXPECT_EQ(apic_take(0), 0x52);
	irq_line(&chips.vm, 2, 21, false);
	apic_end(0);
	EXPECT_EQ(apic_take(0), -1);
	chips_destroy();
}

static void masked_levels_wait(void)
{
	start();
	ioapic_entry(20, LEVEL | MASKED | 0x51);
	EXPECT_EQ(line(20, true), -1);
	ioapic_entry(20, LEVEL | 0x51);
	EXPECT_EQ(apic_take(0), 0x51);
	ioapic_out(0x38, LEVEL | MASKED | 0x51);	/* masked while in service */
	EXPECT_EQ(entry_low(20), LEVEL | MASKED | REMOTE | 0x51);
	apic_end(0);
	EXPECT_EQ(apic_take(0), -1);
	EXPECT_EQ(entry_low(20), LEVEL | MASKED | 0x51);
	ioapic_out(0x38, LEVEL | 0x51);
	EXPECT_EQ(apic_take(0), 0x51);
	ioapic_out(0x38, MASKED | 0x51);		/* the way to clear remote IRR by hand */
	EXPECT_EQ(entry_low(20), MASKED | 0x51);
	ioapic_out(0x38, LEVEL | 0x51);
	EXPECT_EQ(entry_low(20), LEVEL | REMOTE | 0x51);	/* and so it was sent again */
	chips_destroy();
}

static void unmasking_asks_the_device_first(void)
{
	start();
	ioapic_entry(20, LEVEL | MASKED | 0x51);
	irq_line(&chips.vm, 2, 20, true);
	chips.lower_on_ack = true;
	ioapic_out(0x38, LEVEL | 0x51);
	EXPECT_EQ(apic_take(0), -1);
	chips_destroy();
}

static void directed_eoi_and_wrong_mode(void)
{
	start();
	ioapic_entry(20, LEVEL | 0x51);
	line(20, true);
	EXPECT_EQ(apic_take(0), 0x51);
	line(20, false);
	ioapic_eoi(chips.vm.irq.ioapic, 0x51, true, true);	/* the guest said it will tell us itself */
	EXPECT_EQ(entry_low(20), LEVEL | REMOTE | 0x51);
	ioapic_eoi(chips.vm.irq.ioapic, 0x51, false, false);	/* an edge of the same vector */
	EXPECT_EQ(entry_low(20), LEVEL | REMOTE | 0x51);
	ioapic_eoi(chips.vm.irq.ioapic, 0x52, true, false);
	EXPECT_EQ(entry_low(20), LEVEL | REMOTE | 0x51);
	chips_destroy();
}

/* A guest that never silences its device gets it again and again, but not for ever at once. */
static void a_storm_is_slowed_down(void)
{
	unsigned count = 0;

	start();
	ioapic_entry(20, LEVEL | 0x51);
	line(20, true);
	for (int n = 0; n < 9000; n++) {		/* no storm yet, and then silence */
		EXPECT_EQ(apic_take(0), 0x51);
		apic_end(0);
	}
	EXPECT_EQ(apic_take(0), 0x51);
	line(20, false);
	apic_end(0);
	line(20, true);
	for (int n = 0; n < 50000; n++) {
		if (apic_take(0) != 0x51)
			break;
		apic_end(0);
		count++;
	}
	EXPECT_EQ(count, 10000);
	EXPECT_EQ(apic_take(0), -1);
	sim_clock_advance(10 * MS);
	EXPECT_EQ(apic_take(0), 0x51);
	apic_end(0);
	EXPECT_EQ(apic_take(0), 0x51);
	apic_end(0);
	chips_destroy();
}

static void modes_of_delivery(void)
{
	start();
	apic_out(0, APIC_LDR, 0x01000000);
	apic_out(1, APIC_LDR, 0x02000000);
	ioapic_entry(16, 3ull << 56 | 0x800 | 0x61);		/* logical, both */
	line(16, true);
	EXPECT_EQ(apic_take(0), 0x61);
	EXPECT_EQ(apic_take(1), 0x61);
	ioapic_entry(17, 3ull << 56 | 0x800 | 0x100 | 0x70);	/* lowest priority: one */
	line(17, true);
	EXPECT_EQ((apic_take(0) == 0x70) + (apic_take(1) == 0x70), 1);
	ioapic_entry(18, 1ull << 56 | 0x400);
	line(18, true);
	EXPECT_EQ(chips.nmis[1], 1);
	ioapic_entry(19, 9ull << 56 | 0x71);			/* nobody */
	EXPECT_EQ(line(19, true), -1);
	apic_out(1, APIC_SPIV, 0xff);
	ioapic_entry(20, 1ull << 56 | LEVEL | 0x72);		/* somebody who takes nothing now */
	EXPECT_EQ(line(20, true), 0);
	EXPECT_EQ(entry_low(20), LEVEL | 0x72);
	chips_destroy();
}

static void state_survives(void)
{
	struct kvm_irqchip s = { .chip_id = KVM_IRQCHIP_IOAPIC }, again = s;

	start();
	ioapic_out(0, 0x03000000);
	ioapic_entry(20, LEVEL | 0x51);
	ioapic_entry(21, LEVEL | MASKED | 0x52);
	ioapic_entry(22, 0x53);
	line(20, true);
	line(21, true);
	line(22, true);
	EXPECT_EQ(irq_get_chip(&chips.vm, &s), 0);
	EXPECT_EQ(s.chip.ioapic.irr, 3u << 20);		/* the edge has been sent */
	EXPECT_EQ(s.chip.ioapic.base_address, 0xfec00000);
	EXPECT_EQ(s.chip.ioapic.id, 3);
	EXPECT_EQ(s.chip.ioapic.redirtbl[20].fields.remote_irr, 1);
	chips_destroy();

	start();
	EXPECT_EQ(irq_set_chip(&chips.vm, &s), 0);
	EXPECT_EQ(irq_get_chip(&chips.vm, &again), 0);
	EXPECT(!memcmp(&s, &again, sizeof(s)));
	EXPECT_EQ(apic_take(0), -1);			/* it was on its way before: LAPIC state has it */
	ioapic_eoi(chips.vm.irq.ioapic, 0x51, true, false);
	EXPECT_EQ(apic_take(0), 0x51);
	ioapic_out(0x3a, LEVEL | 0x52);
	EXPECT_EQ(apic_take(0), -1);			/* same class */
	apic_end(0);
	chips_destroy();
}

/* Random lines, masks and EOIs: no level interrupt is lost, none comes without its line. */
static void random_levels(void)
{
	bool up[24] = { 0 }, masked[24];
	unsigned wrong = 0, taken = 0;

	start();
	srandom(9);
	for (unsigned pin = 16; pin < 24; pin++) {
		masked[pin] = true;
		ioapic_entry(pin, LEVEL | MASKED | (0x30 + 0x10 * (pin - 16)));
	}
	for (int step = 0; step < 300000 && !wrong; step++) {
		unsigned pin = 16 + ((unsigned)random() & 7);
		int vector;

		switch (random() % 5) {
		case 0: case 1:
			up[pin] = random() & 1;
			line(pin, up[pin]);
			break;
		case 2:
			masked[pin] = random() & 1;
			ioapic_out((u8)(0x10 + 2 * pin), LEVEL | (masked[pin] ? MASKED : 0) | (0x30 + 0x10 * (pin - 16)));
			break;
		default:
			/* Serve all there is: devices of served pins are silenced, so it ends. */
			while ((vector = apic_take(0)) >= 0) {
				unsigned served = (unsigned)(vector - 0x30) / 0x10 + 16;

				taken++;
				up[served] = false;
				line(served, false);
				apic_end(0);
			}
			for (unsigned n = 16; n < 24; n++) {
				wrong += up[n] && !masked[n];
				wrong += !!(entry_low(n) & REMOTE);
			}
		}
	}
	EXPECT_EQ(wrong, 0);
	EXPECT(taken > 10000);
	chips_destroy();
}

int main(void)
{
	TEST(registers);
	TEST(edges);
	TEST(a_level_asserts_until_eoi);
	TEST(sources_share_a_pin);
	TEST(masked_levels_wait);
	TEST(unmasking_asks_the_device_first);
	TEST(directed_eoi_and_wrong_mode);
	TEST(a_storm_is_slowed_down);
	TEST(modes_of_delivery);
	TEST(state_survives);
	TEST(random_levels);
	return test_status();
}
