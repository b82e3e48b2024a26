// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_pit.c - the interval timer as a device: ports, IRQ 0, reinjection, state
 */
#include "tests/core/chips.h"
#include "core/pit.h"

#define HZ_COUNT 11932u		/* 100 Hz, nearly */

/* IRQ 0 through the PICs, as a guest without APICs has it, or through the IOAPIC. */
static void start(bool through_ioapic)
{
	struct kvm_pit_config speaker = { .flags = KVM_PIT_SPEAKER_DUMMY };

	chips_create(1, true);
	EXPECT_EQ(irq_create_pit(&chips.vm, &speaker), 0);
	apic_enable(0);
	if (through_ioapic) {
		apic_out(0, APIC_LVT0, 0x10000);
		ioapic_entry(0, 0x30);
		return;
	}
	outb(0x20, 0x11); outb(0x21, 0x30); outb(0x21, 4); outb(0x21, 1); outb(0x21, 0xfe);
	apic_out(0, APIC_LVT0, 0x700);
}

static void program(u8 control, u16 count)
{
	outb(0x43, control);
	outb(0x40, (u8)count);
	outb(0x40, (u8)(count >> 8));
}

static u16 read_count(u16 port, u8 latch)
{
	u16 low;

	outb(0x43, latch);
	low = inb(port);
	return (u16)(low | inb(port) << 8);
}

/* Take and end IRQ 0 as often as it comes. */
static unsigned ticks(void)
{
	unsigned count = 0;

	while (apic_take(0) == 0x30) {
		if (lapic_highest_irr(&chips.vcpu[0]) < 0 && !(apic_in(0, APIC_ISR + 0x10)))
			outb(0x20, 0x20);
		else
			apic_end(0);
		if (++count > 5000)
			break;
	}
	return count;
}

static void a_hundred_hertz(bool through_ioapic)
{
	unsigned count = 0;

	start(through_ioapic);
	EXPECT_EQ(ticks(), 0);
	sim_clock_advance(SECOND);
	EXPECT_EQ(ticks(), 0);			/* nothing programmed yet */
	program(0x34, HZ_COUNT);
	for (int n = 0; n < 20000; n++) {
		sim_clock_advance(MS / 2);
		count += ticks();
	}
	EXPECT_EQ(count, 10 * 1193182 / HZ_COUNT);
	chips_destroy();
}

static void a_hundred_hertz_by_pic(void) { a_hundred_hertz(false); }
static void a_hundred_hertz_by_ioapic(void) { a_hundred_hertz(true); }

static void the_long_run_does_not_drift(void)
{
	u64 count = 0;

	start(false);
	program(0x36, 0);			/* 18.2 Hz, square wave */
	for (int n = 0; n < 86400; n++) {
		sim_clock_advance(SECOND / 20);
		count += ticks();
	}
	EXPECT_EQ(count, 86400ull / 20 * 1193182 / 65536);
	chips_destroy();
}

static void counts_are_readable(void)
{
	start(false);
	program(0x34, 10000);
	sim_clock_advance(MS);			/* 1193 ticks */
	EXPECT_EQ(read_count(0x40, 0x00), 10000 - 1193);
	outb(0x43, 0xe2);			/* read back the status of counter 0 */
	EXPECT_EQ(inb(0x40), 0xb4);
	EXPECT_EQ(inb(0x43), 0);
	outb(0x43, 0xb0);			/* counter 2, one shot */
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	sim_clock_advance(MS);
	EXPECT_EQ(read_count(0x42, 0x80), 0xffff);	/* its gate is down */
	outb(0x61, 0x01);
	sim_clock_advance(10 * MS);
	EXPECT_EQ(read_count(0x42, 0x80), 0xffff - 11932);
	outb(0x61, 0x00);
	sim_clock_advance(10 * MS);
	EXPECT_EQ(read_count(0x42, 0x80), 0xffff - 11932);
	chips_destroy();
}

/* How Linux measures the TSC: a one-shot on counter 2, and bit 5 of port 0x61. */
static void port_61(void)
{
	start(false);
	EXPECT_EQ(inb(0x61) & 0x03, 0);
	outb(0x61, 0xfd);
	EXPECT_EQ(inb(0x61) & 0x03, 1);
	outb(0x61, 0x03);
	EXPECT_EQ(inb(0x61) & 0x03, 3);
	outb(0x61, 0x01);
	outb(0x43, 0xb0);
	outb(0x42, 0xa9);			/* 59659: 50 ms */
	outb(0x42, 0xe8);
	EXPECT_EQ(inb(0x61) & 0x20, 0);
	sim_clock_advance(49 * MS);
	EXPECT_EQ(inb(0x61) & 0x20, 0);
	sim_clock_advance(2 * MS);
	EXPECT_EQ(inb(0x61) & 0x20, 0x20);
	for (int n = 0, was = inb(0x61) & 0x10; n < 10; n++) {
		sim_clock_advance(16384);
		EXPECT((inb(0x61) & 0x10) != was);	/* the refresh bit toggles */
		was ^= 0x10;
	}
	chips_destroy();
}

static void one_shot(void)
{
	start(false);
	program(0x30, HZ_COUNT);
	sim_clock_advance(9999000);
	EXPECT_EQ(ticks(), 0);
	sim_clock_advance(2000);
	EXPECT_EQ(ticks(), 1);
	sim_clock_advance(SECOND);
	EXPECT_EQ(ticks(), 0);
	program(0x38, HZ_COUNT);		/* mode 4 */
	sim_clock_advance(11 * MS);
	EXPECT_EQ(ticks(), 1);
	program(0x34, HZ_COUNT);
	outb(0x43, 0x34);			/* a control word stops it until there is a count */
	sim_clock_advance(SECOND);
	EXPECT_EQ(ticks(), 0);
	program(0x32, HZ_COUNT);		/* mode 1 waits for a gate that never moves */
	sim_clock_advance(SECOND);
	EXPECT_EQ(ticks(), 0);
	chips_destroy();
}

static void missed_ticks_come_later(void)
{
	start(false);
	program(0x34, HZ_COUNT);
	sim_clock_advance(SECOND / 2);		/* the guest does not run */
	EXPECT_EQ(ticks(), 49);			/* all of them, as it ends each */
	EXPECT_EQ(ticks(), 0);
	sim.now += 5 * SECOND;			/* nor does our timer */
	sim_clock_advance(0);
	EXPECT_EQ(ticks(), 500);
	sim_clock_advance(50 * MS);		/* five, and more while it works them off */
	for (int n = 0; n < 4; n++) {
		EXPECT_EQ(apic_take(0), 0x30);
		outb(0x20, 0x20);
		sim_clock_advance(10 * MS);
	}
	EXPECT_EQ(ticks(), 5);
	sim.now += 300 * YEAR;
	sim_clock_advance(0);
	EXPECT_EQ(ticks(), 1000);		/* there is a limit */
	EXPECT_EQ(ticks(), 0);
	sim_clock_advance(MS * 10);
	EXPECT_EQ(ticks(), 1);
	chips_destroy();
}

static void without_reinjection_they_are_lost(void)
{
	struct kvm_reinject_control off = { .pit_reinject = 0 }, on = { .pit_reinject = 1 };

	start(true);
	EXPECT_EQ(irq_reinject_control(&chips.vm, &off), 0);
	program(0x34, HZ_COUNT);
	sim_clock_advance(SECOND / 2);
	EXPECT_EQ(ticks(), 1);
	irq_reinject_control(&chips.vm, &on);
	sim_clock_advance(SECOND / 2);
	EXPECT_EQ(ticks(), 50);
	chips_destroy();
}

static void unmasking_forgets_missed_ticks(void)
{
	start(false);
	program(0x34, HZ_COUNT);
	outb(0x21, 0xff);
	sim_clock_advance(SECOND);
	outb(0x21, 0xfe);
	EXPECT_EQ(ticks(), 1);			/* the one that is latched */
	sim_clock_advance(10 * MS);
	EXPECT_EQ(ticks(), 1);
	chips_destroy();

	start(true);
	program(0x34, HZ_COUNT);
	ioapic_entry(0, 0x10030);
	sim_clock_advance(SECOND);
	ioapic_entry(0, 0x30);
	sim_clock_advance(5 * MS);
	EXPECT_EQ(ticks(), 1);
	chips_destroy();
}

static void short_periods_are_no_storm(void)
{
	struct kvm_reinject_control off = { .pit_reinject = 0 };
	unsigned kicks;

	start(true);
	irq_reinject_control(&chips.vm, &off);
	program(0x34, 2);
	kicks = chips.kicks[0];
	sim_clock_advance(SECOND);
	EXPECT(chips.kicks[0] - kicks <= 5000);
	EXPECT(chips.kicks[0] - kicks >= 4900);
	chips_destroy();
}

static void lint0_as_watchdog(void)
{
	start(true);
	apic_out(0, APIC_LVT0, 0x400);
	program(0x34, HZ_COUNT);
	for (int n = 0; n < 100; n++) {
		sim_clock_advance(10 * MS + 1000);
		ticks();
	}
	EXPECT_EQ(chips.nmis[0], 100);
	chips_destroy();
}

static void state_survives(void)
{
	struct kvm_pit_state2 s, again;
	u64 at;

	start(true);
	program(0x34, 40000);
	outb(0x61, 0x03);
	outb(0x43, 0xb0);
	outb(0x42, 0x34);			/* half of a count */
	sim_clock_advance(10 * MS);
	outb(0x43, 0x00);
	inb(0x40);				/* half of a latch */
	outb(0x43, 0xc8);			/* count and status of counter 2 */
	EXPECT_EQ(irq_get_pit(&chips.vm, &s), 0);
	EXPECT_EQ(s.channels[0].count, 40000);
	EXPECT_EQ(s.channels[0].mode, 2);
	EXPECT_EQ(s.channels[0].rw_mode, 3);
	EXPECT_EQ(s.channels[0].count_latched, 2);
	EXPECT_EQ(s.channels[2].write_state, 4);
	EXPECT_EQ(s.channels[2].gate, 1);
	EXPECT_EQ(s.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	at = sim.now;
	chips_destroy();

	start(true);
	sim.now = at;
	EXPECT_EQ(irq_set_pit(&chips.vm, &s), 0);
	EXPECT_EQ(irq_get_pit(&chips.vm, &again), 0);
	EXPECT(!memcmp(&s, &again, sizeof(s)));
	EXPECT_EQ(inb(0x40), (40000 - 11931) >> 8);
	EXPECT_EQ(inb(0x61) & 3, 3);
	outb(0x42, 0x12);
	irq_get_pit(&chips.vm, &again);
	EXPECT_EQ(again.channels[2].count, 0x1234);
	sim_clock_advance(23523000 - 500000);		/* the period's phase is kept */
	EXPECT_EQ(ticks(), 0);
	sim_clock_advance(1000000);
	EXPECT_EQ(ticks(), 1);
	chips_destroy();
}

static void strange_states_do_no_harm(void)
{
	struct kvm_pit_state2 s;

	srandom(4);
	start(true);
	for (int n = 0; n < 20000; n++) {
		for (unsigned i = 0; i < sizeof(s); i++)
			((u8 *)&s)[i] = (u8)random();
		if (random() & 1)
			s.channels[0].count &= 0xffff;
		EXPECT_EQ(irq_set_pit(&chips.vm, &s), 0);
		for (u16 port = 0x40; port < 0x44; port++)
			inb(port);
		outb((u16)(0x40 + (random() & 3)), (u8)random());
		sim_clock_advance((u64)random() % MS);
		inb(0x61);
		ticks();
		irq_get_pit(&chips.vm, &s);
	}
	chips_destroy();
}

static void a_state_of_another_host(void)
{
	struct kvm_pit_state2 s;

	start(true);
	program(0x30, 20000);
	irq_get_pit(&chips.vm, &s);
	s.channels[0].count_load_time = INT64_MAX;	/* the future */
	irq_set_pit(&chips.vm, &s);
	sim_clock_advance(20 * MS);
	EXPECT_EQ(ticks(), 1);
	s.channels[0].count_load_time = -5;
	irq_set_pit(&chips.vm, &s);
	sim_clock_advance(20 * MS);
	EXPECT_EQ(ticks(), 1);
	s.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	irq_set_pit(&chips.vm, &s);
	sim_clock_advance(SECOND);
	EXPECT_EQ(ticks(), 0);
	chips_destroy();
}

static void creation(void)
{
	struct kvm_pit_config plain = { 0 };
	struct kvm_pit_state2 s;

	chips_create(0, false);
	EXPECT_EQ(irq_create_pit(&chips.vm, &plain), -ENOENT);
	EXPECT_EQ(irq_get_pit(&chips.vm, &s), -ENXIO);
	EXPECT_EQ(irq_set_pit(&chips.vm, &s), -ENXIO);
	EXPECT_EQ(irq_reinject_control(&chips.vm, NULL), -ENXIO);
	chips_destroy();
	chips_create(1, true);
	sim_fail_alloc(1);
	EXPECT_EQ(irq_create_pit(&chips.vm, &plain), -ENOMEM);
	EXPECT_EQ(irq_create_pit(&chips.vm, &plain), 0);
	EXPECT_EQ(irq_create_pit(&chips.vm, &plain), -EEXIST);
	EXPECT_EQ(inb(0x61), 0xff);		/* not asked for */
	EXPECT_EQ(irq_get_pit(&chips.vm, &s), 0);
	EXPECT_EQ(s.channels[0].count, 65536);	/* clients divide by it */
	EXPECT(s.channels[0].mode > 5);
	EXPECT_EQ(irq_set_pit(&chips.vm, &s), 0);
	sim_clock_advance(SECOND);
	EXPECT_EQ(sim_timer_next(), ~0ull);	/* a timer nobody programmed does not run */
	chips_destroy();
}

int main(void)
{
	TEST(a_hundred_hertz_by_pic);
	TEST(a_hundred_hertz_by_ioapic);
	TEST(the_long_run_does_not_drift);
	TEST(counts_are_readable);
	TEST(port_61);
	TEST(one_shot);
	TEST(missed_ticks_come_later);
	TEST(without_reinjection_they_are_lost);
	TEST(unmasking_forgets_missed_ticks);
	TEST(short_periods_are_no_storm);
	TEST(lint0_as_watchdog);
	TEST(state_survives);
	TEST(strange_states_do_no_harm);
	TEST(a_state_of_another_host);
	TEST(creation);
	return test_status();
}
