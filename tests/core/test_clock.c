// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_clock.c - TSCs that agree, kvmclock pages as a guest reads them, wall clock
 */
#include <linux/kvm_para.h>

#include "tests/core/chips.h"

#define PAGE	0x1000u
#define WALL	1700000000000000000ull	/* of the simulated host, at its time 0 */

struct page {
	u32 version, pad;
	u64 tsc_timestamp, system_time;
	u32 mul;
	s8  shift;
	u8  flags, pad2[2];
};

static u64 tsc(unsigned n) { return clock_tsc_read(&chips.vcpu[n]); }

static gpa_t page_of(unsigned n) { return PAGE + n * sizeof(struct page); }

static void page_enable(unsigned n)
{
	EXPECT_EQ(clock_msr_set(&chips.vcpu[n], MSR_KVM_SYSTEM_TIME_NEW, page_of(n) | 1, false), 0);
}

/* What run.c does before entry. */
static void serve(unsigned n)
{
	chips.watched = page_of(n);
	if (vcpu_request_take(&chips.vcpu[n], REQ_CLOCK_UPDATE))
		clock_update(&chips.vcpu[n]);
}

/* pvclock, as the guest computes it. */
static u64 guest_clock(unsigned n)
{
	struct page p;
	u64 ticks;

	serve(n);
	memcpy(&p, chips.ram + page_of(n), sizeof(p));
	EXPECT(!(p.version & 1) && p.version);
	ticks = tsc(n) - p.tsc_timestamp;
	ticks = p.shift < 0 ? ticks >> -p.shift : ticks << p.shift;
	return p.system_time + (u64)((unsigned __int128)ticks * p.mul >> 32);
}

static u64 host_clock(void)
{
	struct kvm_clock_data d;

	EXPECT_EQ(clock_get(&chips.vm, &d), 0);
	return d.clock;
}

static bool is_near(u64 a, u64 b, u64 by) { return a - b + by <= 2 * by; }

static void scaling(void)
{
	EXPECT_EQ(clock_scale(10, 7, 3), 23);
	EXPECT_EQ(clock_scale_up(10, 7, 3), 24);
	EXPECT_EQ(clock_scale_up(10, 6, 3), 20);
	EXPECT_EQ(clock_scale(~0ull, ~0ull, ~0ull), ~0ull);
	EXPECT_EQ(clock_scale(~0ull, 2, 1), ~0ull);	/* does not fit */
	EXPECT_EQ(clock_scale_up(~0ull, ~0ull, 1), ~0ull);
	EXPECT_EQ(clock_scale(1ull << 63, 1ull << 40, 1ull << 50), 1ull << 53);
}

static void tscs_begin_together(void)
{
	chips_create(4, true);
	EXPECT_EQ(tsc(0), 0);
	sim_clock_advance(SECOND);
	EXPECT_EQ(tsc(0), 2 * SECOND);
	chips.vcpu[4] = (struct vcpu){ .vm = &chips.vm, .id = 4, .index = 4 };
	clock_vcpu_init(&chips.vcpu[4]);	/* hot-plugged */
	for (unsigned n = 1; n < 5; n++)
		EXPECT_EQ(tsc(n), tsc(0));
	chips_destroy();
}

static void guests_write_their_own(void)
{
	struct vcpu *v = &chips.vcpu[0];

	chips_create(2, true);
	sim_clock_advance(SECOND);
	clock_tsc_write(v, 5, false);
	EXPECT_EQ(tsc(0), 5);
	EXPECT_EQ(v->tsc_adjust, 5 - 2 * SECOND);
	EXPECT_EQ(chips.tsc_offset_set, v->tsc_offset);
	EXPECT_EQ(tsc(1), 2 * SECOND);
	clock_tsc_offset_set(v, v->tsc_offset - v->tsc_adjust);
	EXPECT_EQ(tsc(0), tsc(1));
	chips_destroy();
}

/* A client restores TSCs one after another, which takes it a while. */
static void written_alike_they_agree(void)
{
	u64 value = 1000 * SECOND;

	chips_create(4, true);
	for (unsigned n = 0; n < 4; n++) {
		clock_tsc_write(&chips.vcpu[n], value, true);
		sim_clock_advance(100 * MS);
	}
	EXPECT_EQ(tsc(0), value + 800 * MS);
	for (unsigned n = 1; n < 4; n++)
		EXPECT_EQ(tsc(n), tsc(0));
	clock_tsc_write(&chips.vcpu[0], tsc(0) + 3 * 2 * SECOND, true);	/* too far: it means it */
	EXPECT_EQ(tsc(0), tsc(1) + 6 * SECOND);
	clock_tsc_write(&chips.vcpu[1], tsc(0) - 1 * SECOND, true);
	EXPECT_EQ(tsc(0), tsc(1));
	clock_tsc_write(&chips.vcpu[2], 1, true);
	EXPECT_EQ(tsc(2), 1);
	chips_destroy();
}

/* A young guest, restored into a VM that is hardly younger or older: its TSC is what was saved. */
static void the_first_one_is_meant_exactly(void)
{
	chips_create(2, true);
	sim_clock_advance(500 * MS);
	EXPECT_EQ(tsc(0), SECOND);
	clock_tsc_write(&chips.vcpu[0], SECOND + 3 * MS, true);	/* near */
	EXPECT_EQ(tsc(0), SECOND + 3 * MS);
	sim_clock_advance(MS);
	clock_tsc_write(&chips.vcpu[1], SECOND + 3 * MS, true);
	EXPECT_EQ(tsc(0), SECOND + 5 * MS);
	EXPECT_EQ(tsc(1), tsc(0));
	clock_tsc_write(&chips.vcpu[1], 0, true);		/* and a 0 is all vCPUs' again */
	EXPECT_EQ(tsc(1), tsc(0));
	chips_destroy();
}

static void of_another_speed_they_do_not(void)
{
	chips_create(2, true);
	sim_clock_advance(SECOND);
	clock_tsc_write(&chips.vcpu[0], 1000 * SECOND, true);
	sim_clock_advance(MS);
	chips.vcpu[1].tsc_khz = 1000000;
	clock_tsc_write(&chips.vcpu[1], 1000 * SECOND, true);
	EXPECT_EQ(tsc(1), 1000 * SECOND);
	chips_destroy();
}

static void deadlines_are_never_early(void)
{
	struct vcpu *v = &chips.vcpu[0];

	chips_create(1, true);
	sim_clock_advance(SECOND);
	srandom(2);
	for (int n = 0; n < 100000; n++) {
		u64 target = tsc(0) + ((u64)random() << (random() % 32)), ns;

		v->tsc_khz = 1000 + (u64)random() % 5000000;
		ns = clock_tsc_to_ns(v, target) - host_now();
		if (ns != ~0ull - host_now())
			EXPECT((unsigned __int128)ns * v->tsc_khz >= (unsigned __int128)(target - tsc(0)) * 1000000);
		EXPECT(!ns || (unsigned __int128)(ns - 1) * v->tsc_khz < (unsigned __int128)(target - tsc(0)) * 1000000);
	}
	EXPECT_EQ(clock_tsc_to_ns(v, tsc(0)), host_now());
	EXPECT_EQ(clock_tsc_to_ns(v, tsc(0) - 1), host_now());
	EXPECT_EQ(clock_tsc_to_ns(v, 0), host_now());
	v->tsc_khz = 1;
	EXPECT_EQ(clock_tsc_to_ns(v, ~0ull), ~0ull);
	chips_destroy();
}

static void the_page_tells_the_time(void)
{
	struct page p;

	chips_create(3, true);
	sim_clock_advance(123456789);
	for (unsigned n = 0; n < 3; n++) {
		page_enable(n);
		sim_clock_advance(1000001);
	}
	for (int step = 0; step < 1000; step++) {
		sim_clock_advance(step * 1234567ull);
		EXPECT_EQ(guest_clock(1), guest_clock(0));	/* to the nanosecond */
		EXPECT_EQ(guest_clock(2), guest_clock(0));
		EXPECT(is_near(guest_clock(0), host_clock(), 1000));
	}
	EXPECT(chips.seen_odd > 0);		/* the body changes under an odd version */
	memcpy(&p, chips.ram + page_of(1), sizeof(p));
	EXPECT_EQ(p.flags, 1);
	EXPECT_EQ(p.version & 1, 0);

	/* A page that came from elsewhere goes on from its number, which its reader may have seen. */
	p.version = 1000;
	memcpy(chips.ram + page_of(1), &p, sizeof(p));
	clock_update(&chips.vcpu[1]);
	memcpy(&p, chips.ram + page_of(1), sizeof(p));
	EXPECT_EQ(p.version, 1004);
	chips_destroy();
}

static void the_page_follows_the_tsc(void)
{
	u64 before;

	chips_create(1, true);
	page_enable(0);
	sim_clock_advance(50 * SECOND);
	before = guest_clock(0);
	clock_tsc_write(&chips.vcpu[0], 0, false);
	EXPECT(is_near(guest_clock(0), before, 10));
	clock_tsc_write(&chips.vcpu[0], ~0ull - 1000, false);
	EXPECT(is_near(guest_clock(0), before, 10));
	sim_clock_advance(SECOND);		/* the TSC wraps meanwhile */
	EXPECT(is_near(guest_clock(0), before + SECOND, 10));
	chips_destroy();
}

static void every_speed_is_expressible(void)
{
	static const u64 khz[] = { 1, 1000, 250000, 999999, 1000000, 1000001, 1999999, 2000000, 2000001,
				   3700000, 4294967, 4294968, 100000000 };

	chips_create(1, true);
	for (unsigned n = 0; n < ARRAY_LEN(khz); n++) {
		struct page p;
		u64 ticks = khz[n] * 1000 * 60, ns;	/* a minute */

		chips.vcpu[0].tsc_khz = khz[n];
		page_enable(0);
		serve(0);
		memcpy(&p, chips.ram + page_of(0), sizeof(p));
		EXPECT(p.mul >= 0x80000000u);		/* no bits wasted */
		ticks = p.shift < 0 ? ticks >> -p.shift : ticks << p.shift;
		ns = (u64)((unsigned __int128)ticks * p.mul >> 32);
		EXPECT(is_near(ns, 60 * SECOND, 60));	/* 1 ppb */
	}
	chips_destroy();
}

static void years_do_not_wear_it_out(void)
{
	chips_create(1, true);
	page_enable(0);
	for (int n = 0; n < 100; n++) {
		sim_clock_advance(YEAR);
		EXPECT_EQ(host_clock(), host_now() - SECOND);
		EXPECT(is_near(guest_clock(0), host_clock(), YEAR / 1000000000 * (u64)(n + 1)));
	}
	chips_destroy();
}

static void the_client_sets_it(void)
{
	struct kvm_clock_data d;

	chips_create(2, true);
	page_enable(0);
	page_enable(1);
	sim_clock_advance(SECOND);
	EXPECT_EQ(clock_get(&chips.vm, &d), 0);
	EXPECT_EQ(d.flags, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC);
	EXPECT_EQ(d.realtime, WALL + host_now());
	EXPECT_EQ(d.host_tsc, insn_rdtsc());
	EXPECT_EQ(d.clock, SECOND);
	d.flags = 0;
	d.clock = 1000 * SECOND;
	EXPECT_EQ(clock_set(&chips.vm, &d), 0);
	EXPECT_EQ(host_clock(), 1000 * SECOND);
	EXPECT(is_near(guest_clock(0), 1000 * SECOND, 10));
	EXPECT(is_near(guest_clock(1), 1000 * SECOND, 10));
	d.flags = KVM_CLOCK_REALTIME;		/* it was saved five seconds ago */
	d.realtime = WALL + host_now() - 5 * SECOND;
	EXPECT_EQ(clock_set(&chips.vm, &d), 0);
	EXPECT_EQ(host_clock(), 1005 * SECOND);
	d.realtime = WALL + host_now() + 5 * SECOND;	/* a clock that is ahead does not turn it back */
	EXPECT_EQ(clock_set(&chips.vm, &d), 0);
	EXPECT_EQ(host_clock(), 1000 * SECOND);
	d.flags = 1;
	EXPECT_EQ(clock_set(&chips.vm, &d), -EINVAL);
	d.flags = 0x80000000u;
	EXPECT_EQ(clock_set(&chips.vm, &d), -EINVAL);
	chips_destroy();
}

static void a_guest_that_was_stopped_is_told(void)
{
	struct vcpu *v = &chips.vcpu[0];

	chips_create(1, true);
	EXPECT_EQ(clock_guest_paused(v), -EINVAL);
	page_enable(0);
	EXPECT_EQ(clock_guest_paused(v), 0);
	EXPECT_EQ(chips.ram[page_of(0) + 29], 3);
	vcpu_request(v, REQ_CLOCK_UPDATE);
	serve(0);
	EXPECT_EQ(chips.ram[page_of(0) + 29], 3);	/* until the guest clears it */
	chips.ram[page_of(0) + 29] = 1;
	vcpu_request(v, REQ_CLOCK_UPDATE);
	serve(0);
	EXPECT_EQ(chips.ram[page_of(0) + 29], 1);
	chips_destroy();
}

static void an_unsteady_tsc(void)
{
	struct page p;
	u64 before;

	chips_create(2, true);
	chips.vm.clock.stable = false;
	page_enable(0);
	sim_clock_advance(SECOND);
	before = guest_clock(0);
	EXPECT(is_near(before, host_clock(), 10));
	memcpy(&p, chips.ram + page_of(0), sizeof(p));
	EXPECT_EQ(p.flags, 0);
	chips.tsc_skew += 5 * SECOND;
	vcpu_request(&chips.vcpu[0], REQ_CLOCK_UPDATE);
	EXPECT(is_near(guest_clock(0), before, 10));
	clock_tsc_write(&chips.vcpu[0], 1000 * SECOND, true);
	sim_clock_advance(SECOND / 10);
	clock_tsc_write(&chips.vcpu[1], 1000 * SECOND, true);	/* matched by time that passed */
	EXPECT_EQ(tsc(0), tsc(1));
	chips_destroy();
}

/* A TSC read on another processor, a little behind the master's. */
static void a_tsc_that_lags_does_not_wrap(void)
{
	chips_create(1, true);
	clock_set(&chips.vm, &(struct kvm_clock_data){ .clock = 77 });
	chips.tsc_skew = -5ull;
	EXPECT_EQ(host_clock(), 77);
	EXPECT_EQ(clock_now(&chips.vm), 77);
	chips_destroy();
}

static void the_wall_clock(void)
{
	struct { u32 version, seconds, nanoseconds; } w;
	u64 value;

	chips_create(1, true);
	sim_clock_advance(3 * SECOND + 5);
	EXPECT_EQ(clock_msr_set(&chips.vcpu[0], MSR_KVM_WALL_CLOCK_NEW, 0x2000, false), 0);
	EXPECT_EQ(clock_msr_get(&chips.vcpu[0], MSR_KVM_WALL_CLOCK, &value, false), 0);
	EXPECT_EQ(value, 0x2000);
	memcpy(&w, chips.ram + 0x2000, sizeof(w));
	EXPECT(w.version && !(w.version & 1));
	EXPECT_EQ(w.seconds * SECOND + w.nanoseconds, WALL + SECOND);	/* when kvmclock was 0 */
	chips.ram[0x2000] = 0x11;		/* whatever is there becomes even */
	clock_msr_set(&chips.vcpu[0], MSR_KVM_WALL_CLOCK, 0x2000, false);
	EXPECT_EQ(chips.ram[0x2000] & 1, 0);
	EXPECT_EQ(clock_msr_set(&chips.vcpu[0], MSR_KVM_WALL_CLOCK, 0xffffff000, false), 0);
	EXPECT_EQ(clock_msr_set(&chips.vcpu[0], MSR_KVM_WALL_CLOCK, CHIPS_RAM - 4, false), 0);
	chips_destroy();
}

static void pages_that_are_not_there(void)
{
	struct vcpu *v = &chips.vcpu[0];
	u64 value;

	chips_create(1, true);
	EXPECT_EQ(clock_msr_set(v, MSR_KVM_SYSTEM_TIME, 0xfffffff001, false), 0);
	serve(0);
	EXPECT_EQ(clock_guest_paused(v), -EFAULT);
	EXPECT_EQ(clock_msr_set(v, MSR_KVM_SYSTEM_TIME, (CHIPS_RAM - 16) | 1, false), 0);
	serve(0);
	EXPECT_EQ(clock_msr_get(v, MSR_KVM_SYSTEM_TIME_NEW, &value, false), 0);
	EXPECT_EQ(value, (CHIPS_RAM - 16) | 1);
	EXPECT_EQ(clock_msr_set(v, MSR_KVM_SYSTEM_TIME, PAGE, false), 0);	/* not enabled */
	memset(chips.ram, 0x55, sizeof(chips.ram));
	serve(0);
	for (unsigned n = 0; n < sizeof(chips.ram); n++)
		EXPECT_EQ(chips.ram[n], 0x55);
	EXPECT_EQ(clock_msr_set(v, 0x4b564d7f, 0, false), 1);
	EXPECT_EQ(clock_msr_get(v, 0x4b564d7f, &value, false), 1);
	chips_destroy();
}

static void steal_time(void)
{
	struct vcpu *v = &chips.vcpu[0];
	struct kvm_steal_time s;
	u64 value;

	chips_create(1, true);
	EXPECT_EQ(clock_msr_set(v, MSR_KVM_STEAL_TIME, 0x1003, false), 1);	/* reserved bits */
	EXPECT_EQ(clock_msr_set(v, MSR_KVM_STEAL_TIME, 0x1000 | 1, false), 0);
	EXPECT_EQ(clock_msr_get(v, MSR_KVM_STEAL_TIME, &value, false), 0);
	EXPECT_EQ(value, 0x1001);
	chips.ram[0x1000 + offsetof(struct kvm_steal_time, preempted)] = 1;
	EXPECT(vcpu_request_take(v, REQ_STEAL_UPDATE));
	clock_steal_update(v);
	memcpy(&s, chips.ram + 0x1000, sizeof(s));
	EXPECT(s.version && !(s.version & 1));
	EXPECT_EQ(s.preempted, 0);
	EXPECT_EQ(s.steal, 0);
	clock_msr_set(v, MSR_KVM_STEAL_TIME, 0xffffff001, false);
	clock_steal_update(v);
	clock_msr_set(v, MSR_KVM_STEAL_TIME, 0, false);
	clock_steal_update(v);
	chips_destroy();
}

int main(void)
{
	TEST(scaling);
	TEST(tscs_begin_together);
	TEST(guests_write_their_own);
	TEST(written_alike_they_agree);
	TEST(the_first_one_is_meant_exactly);
	TEST(of_another_speed_they_do_not);
	TEST(deadlines_are_never_early);
	TEST(the_page_tells_the_time);
	TEST(the_page_follows_the_tsc);
	TEST(every_speed_is_expressible);
	TEST(years_do_not_wear_it_out);
	TEST(the_client_sets_it);
	TEST(a_guest_that_was_stopped_is_told);
	TEST(an_unsteady_tsc);
	TEST(a_tsc_that_lags_does_not_wrap);
	TEST(the_wall_clock);
	TEST(pages_that_are_not_there);
	TEST(steal_time);
	return test_status();
}
