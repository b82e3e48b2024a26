// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_lapic_timer.c - the LAPIC's timer against a clock that jumps
 */
#include "tests/core/chips.h"

#define PERIODIC	0x20000u
#define DEADLINE	0x40000u
#define VECTOR		0x40

static void start(void)
{
	chips_create(1, true);
	apic_enable(0);
	apic_out(0, APIC_LVT0, 0x10000);
	apic_out(0, APIC_TDCR, 0xb);		/* divide by 1: 1 GHz */
}

static u64 tsc(void) { return clock_tsc_read(&chips.vcpu[0]); }

/* Let the clock run with the timers late: none of them is served on the way. */
static void jump(u64 ns)
{
	sim.now += ns;
	sim_clock_advance(0);
}

static void one_shot(void)
{
	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR);
	apic_out(0, APIC_TMICT, 1000000);
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 1000000);
	sim_clock_advance(400000);
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 600000);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	sim_clock_advance(600000);
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 0);
	EXPECT_EQ(apic_in(0, APIC_TMICT), 1000000);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	sim_clock_advance(10 * SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	apic_out(0, APIC_TMICT, 1000);
	apic_out(0, APIC_TMICT, 0);		/* stopped */
	sim_clock_advance(SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	chips_destroy();
}

static void dividers(void)
{
	static const u8 tdcr[] = { 0xb, 0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa };

	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR);
	for (unsigned n = 0; n < 8; n++) {
		apic_out(0, APIC_TDCR, tdcr[n]);
		apic_out(0, APIC_TMICT, 1000);
		sim_clock_advance((1000u << n) - 1);
		EXPECT_EQ(apic_drain(0, VECTOR), 0);
		sim_clock_advance(1);
		EXPECT_EQ(apic_drain(0, VECTOR), 1);
	}
	apic_out(0, APIC_TDCR, 0xb);
	apic_out(0, APIC_TMICT, 1000000);
	sim_clock_advance(250000);
	apic_out(0, APIC_TDCR, 0x0);		/* by 2 in the middle: the count stays, its speed changes */
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 750000);
	sim_clock_advance(1500000 - 1);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	sim_clock_advance(1);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	chips_destroy();
}

static void periodic(void)
{
	unsigned ticks = 0;

	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR | PERIODIC);
	apic_out(0, APIC_TMICT, 1000000);
	for (int n = 0; n < 1000; n++) {
		sim_clock_advance(MS / 2);
		ticks += apic_drain(0, VECTOR);
	}
	EXPECT_EQ(ticks, 500);
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 1000000);
	sim_clock_advance(MS / 4);
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 750000);
	apic_out(0, APIC_LVT_TIMER, VECTOR | PERIODIC | 0x10000);
	sim_clock_advance(10 * MS);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	apic_out(0, APIC_LVT_TIMER, VECTOR | PERIODIC);
	sim_clock_advance(MS);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	apic_out(0, APIC_LVT_TIMER, VECTOR);	/* one-shot from here: it ends with this period */
	sim_clock_advance(10 * MS);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	EXPECT_EQ(sim_timer_next(), ~0ull);
	chips_destroy();
}

static void a_period_of_nothing_is_no_storm(void)
{
	unsigned kicks;

	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR | PERIODIC);
	apic_out(0, APIC_TMICT, 1);
	kicks = chips.kicks[0];
	sim_clock_advance(SECOND);
	EXPECT_EQ(chips.kicks[0] - kicks, 5000);	/* every 200 us */
	EXPECT(apic_in(0, APIC_TMCCT) <= 1);
	chips_destroy();
}

static void years_late(void)
{
	unsigned kicks;

	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR | PERIODIC);
	apic_out(0, APIC_TMICT, 1000000);
	kicks = chips.kicks[0];
	jump(30 * YEAR + MS / 4);
	EXPECT_EQ(chips.kicks[0] - kicks, 1);		/* one, and no loop over a trillion */
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 750000);	/* in phase still */
	sim.now += 3 * MS;				/* late, and not yet served */
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 750000);
	sim_clock_advance(0);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	chips_destroy();
}

static void deadline(void)
{
	struct vcpu *v = &chips.vcpu[0];

	start();
	lapic_deadline_set(v, tsc() + 1000);
	EXPECT_EQ(lapic_deadline_get(v), 0);		/* not in this mode */
	apic_out(0, APIC_LVT_TIMER, VECTOR | DEADLINE);
	lapic_deadline_set(v, tsc() + 2001);
	EXPECT(lapic_deadline_get(v) != 0);
	sim_clock_advance(1000);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);		/* never before the TSC gets there */
	sim_clock_advance(1);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	EXPECT_EQ(lapic_deadline_get(v), 0);
	lapic_deadline_set(v, tsc() - 5);		/* past: at once */
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	lapic_deadline_set(v, 1);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	lapic_deadline_set(v, tsc() + 10000);
	lapic_deadline_set(v, 0);			/* disarmed */
	sim_clock_advance(SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	lapic_deadline_set(v, tsc() + 10000);
	lapic_deadline_set(v, tsc() + 2 * SECOND);	/* later: the earlier callback finds nothing */
	sim_clock_advance(SECOND / 2);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	sim_clock_advance(SECOND / 2);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	apic_out(0, APIC_TMICT, 1000);			/* no effect here */
	EXPECT_EQ(apic_in(0, APIC_TMICT), 0);
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 0);
	chips_destroy();
}

static void deadlines_years_away(void)
{
	struct vcpu *v = &chips.vcpu[0];

	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR | DEADLINE);
	lapic_deadline_set(v, ~0ull);
	EXPECT_EQ(lapic_deadline_get(v), ~0ull);
	sim_clock_advance(50 * YEAR);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	lapic_deadline_set(v, tsc() + 2 * 20 * YEAR);
	sim_clock_advance(20 * YEAR - 1);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	jump(30 * YEAR);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	chips_destroy();
}

static void a_deadline_follows_the_tsc(void)
{
	struct vcpu *v = &chips.vcpu[0];

	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR | DEADLINE);
	lapic_deadline_set(v, tsc() + 2 * SECOND);
	clock_tsc_write(v, tsc() + SECOND, false);	/* half of the way */
	sim_clock_advance(SECOND / 2 - 1);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	sim_clock_advance(1);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	lapic_deadline_set(v, tsc() + 2 * SECOND);
	clock_tsc_write(v, tsc() + 2 * SECOND, false);	/* all of it */
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	lapic_deadline_set(v, tsc() + 2 * SECOND);
	clock_tsc_write(v, 0, false);
	sim_clock_advance(SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	chips_destroy();
}

static void changing_modes(void)
{
	struct vcpu *v = &chips.vcpu[0];

	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR);
	apic_out(0, APIC_TMICT, 1000000);
	apic_out(0, APIC_LVT_TIMER, VECTOR | DEADLINE);
	EXPECT_EQ(apic_in(0, APIC_TMICT), 0);
	sim_clock_advance(SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	lapic_deadline_set(v, tsc() + 1000);
	apic_out(0, APIC_LVT_TIMER, VECTOR | PERIODIC);
	EXPECT_EQ(lapic_deadline_get(v), 0);
	sim_clock_advance(SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	apic_out(0, APIC_LVT_TIMER, VECTOR | PERIODIC | DEADLINE);	/* reserved: counts never */
	apic_out(0, APIC_TMICT, 1000);
	sim_clock_advance(SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	apic_out(0, APIC_LVT_TIMER, VECTOR);
	apic_out(0, APIC_TMICT, 1000);		/* one-shot to periodic while it counts */
	apic_out(0, APIC_LVT_TIMER, VECTOR | PERIODIC);
	sim_clock_advance(1000);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	sim_clock_advance(200000);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	chips_destroy();
}

static void reset_stops_it(void)
{
	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR | PERIODIC);
	apic_out(0, APIC_TMICT, 1000000);
	lapic_reset(&chips.vcpu[0], true);
	apic_enable(0);
	apic_out(0, APIC_LVT_TIMER, VECTOR);
	sim_clock_advance(SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	chips_destroy();
}

/* Save in the middle of a count; the rest of it runs after the restore. */
static void state_survives(u32 mode)
{
	struct kvm_lapic_state s;

	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR | mode);
	apic_out(0, APIC_TMICT, 1000000);
	sim_clock_advance(300000);
	lapic_get(&chips.vcpu[0], &s);
	chips_destroy();

	start();
	sim_clock_advance(77 * SECOND);
	apic_out(0, APIC_LVT_TIMER, VECTOR | DEADLINE);	/* whatever it did before */
	lapic_deadline_set(&chips.vcpu[0], tsc() + 1000);
	EXPECT_EQ(lapic_set(&chips.vcpu[0], &s), 0);
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 700000);
	EXPECT_EQ(apic_in(0, APIC_TMICT), 1000000);
	sim_clock_advance(700000 - 1);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	sim_clock_advance(1);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	sim_clock_advance(MS - 1);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	sim_clock_advance(1);
	EXPECT_EQ(apic_drain(0, VECTOR), mode == PERIODIC);
	chips_destroy();
}

static void one_shot_state_survives(void) { state_survives(0); }
static void periodic_state_survives(void) { state_survives(PERIODIC); }

/*
 * QEMU carries the initial count and not the current one.  A count that has run out cannot be told
 * from one that was left behind: it is due at once, as in KVM.  A guest bears one interrupt too many.
 */
static void a_one_shot_without_its_count_is_due(void)
{
	struct kvm_lapic_state s;

	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR);
	apic_out(0, APIC_TMICT, 1000000);
	sim_clock_advance(1000);
	lapic_get(&chips.vcpu[0], &s);
	chips_destroy();

	start();
	memset(s.regs + APIC_TMCCT, 0, 4);
	EXPECT_EQ(lapic_set(&chips.vcpu[0], &s), 0);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 0);
	sim_clock_advance(SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	memset(s.regs + APIC_TMICT, 0, 4);	/* none was ever started */
	EXPECT_EQ(lapic_set(&chips.vcpu[0], &s), 0);
	sim_clock_advance(SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	chips_destroy();
}

static void an_expiry_whose_callback_is_late_is_in_the_state(void)
{
	struct kvm_lapic_state s;

	start();
	apic_out(0, APIC_LVT_TIMER, VECTOR);
	apic_out(0, APIC_TMICT, 1000);
	sim.now += 1000;
	lapic_get(&chips.vcpu[0], &s);
	chips_destroy();

	start();
	EXPECT_EQ(lapic_set(&chips.vcpu[0], &s), 0);
	EXPECT_EQ(apic_in(0, APIC_TMCCT), 0);
	EXPECT_EQ(apic_drain(0, VECTOR), 1);
	sim_clock_advance(SECOND);
	EXPECT_EQ(apic_drain(0, VECTOR), 0);
	chips_destroy();
}

/*
 * Random arming, disarming, saving, restoring and time, against a model that only knows
 * when the next interrupt is due.
 */
static void random_deadlines(void)
{
	struct vcpu *v = &chips.vcpu[0];
	u64 due = ~0ull;	/* in host_now() */
	unsigned fired = 0;

	start();
	srandom(5);
	apic_out(0, APIC_LVT_TIMER, VECTOR | DEADLINE);
	for (int step = 0; step < 200000; step++) {
		u64 ns = (u64)random() % (random() & 1 ? 1000 : 50 * MS), was;
		struct kvm_lapic_state s;

		switch (random() % 6) {
		case 0: case 1:
			due = host_now() + ns;
			lapic_deadline_set(v, tsc() + 2 * ns - (ns ? (u64)random() & 1 : 0));
			break;
		case 2:
			lapic_deadline_set(v, 0);
			due = ~0ull;
			break;
		case 3:
			was = lapic_deadline_get(v);
			lapic_get(v, &s);
			lapic_reset(v, false);
			lapic_set(v, &s);
			lapic_deadline_set(v, was);
			break;
		case 4:
			if (random() % 50 == 0)
				jump(ns * 1000000);
			break;
		default:
			sim_clock_advance(ns);
		}
		if (apic_drain(0, VECTOR) != (due <= host_now())) {
			fprintf(stderr, "step %d: due %llu, now %llu\n", step, (unsigned long long)due,
				(unsigned long long)host_now());
			EXPECT(0);
			break;
		}
		if (due <= host_now()) {
			due = ~0ull;
			fired++;
		}
	}
	EXPECT(fired > 5000);
	chips_destroy();
}

int main(void)
{
	TEST(one_shot);
	TEST(dividers);
	TEST(periodic);
	TEST(a_period_of_nothing_is_no_storm);
	TEST(years_late);
	TEST(deadline);
	TEST(deadlines_years_away);
	TEST(a_deadline_follows_the_tsc);
	TEST(changing_modes);
	TEST(reset_stops_it);
	TEST(one_shot_state_survives);
	TEST(periodic_state_survives);
	TEST(a_one_shot_without_its_count_is_due);
	TEST(an_expiry_whose_callback_is_late_is_in_the_state);
	TEST(random_deadlines);
	return test_status();
}
