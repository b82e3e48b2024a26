// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_timers.c - timers fire once, in order, never early, and not after stop
 */
#include "base/atomic.h"
#include "host/posix/posix.h"
#include "tests/test.h"

#include <pthread.h>
#include <unistd.h>

#define TIMERS 500

struct alarm {
	struct host_timer timer;
	u64 deadline, fired_at;
	u32 runs, again, slow;
	u64 plain;
};

static u32 fired;
static u64 last_deadline;
static u32 out_of_order;

static void on_alarm(struct host_timer *t)
{
	struct alarm *a = CONTAINER_OF(t, struct alarm, timer);

	a->fired_at = host_now();
	if (a->deadline < last_deadline)
		out_of_order++;
	last_deadline = a->deadline;
	atomic_fetch_add(&a->runs, 1);
	atomic_fetch_add(&fired, 1);
}

static void in_order_and_not_early(void)
{
	struct alarm *a = calloc(TIMERS, sizeof(*a));
	u64 base = host_now() + 300000000;	/* all are set before the first is due */
	u32 seed = 7;

	for (int n = 0; n < TIMERS; n++) {
		seed = seed * 1664525 + 1013904223;
		a[n].deadline = base + (seed >> 8) % 20000000;
		host_timer_init(&a[n].timer, on_alarm);
		host_timer_start(&a[n].timer, base + n);	/* replaced by the next line */
		host_timer_start(&a[n].timer, a[n].deadline);
	}
	for (int n = 0; n < TIMERS; n += 5)
		host_timer_stop(&a[n].timer);
	while (atomic_load_acquire(&fired) < TIMERS - TIMERS / 5)
		usleep(1000);
	usleep(20000);
	EXPECT_EQ(atomic_load_acquire(&fired), TIMERS - TIMERS / 5);
	EXPECT_EQ(out_of_order, 0);
	for (int n = 0; n < TIMERS; n++) {
		host_timer_stop(&a[n].timer);
		EXPECT_EQ(a[n].runs, n % 5 ? 1 : 0);
		EXPECT(n % 5 == 0 || a[n].fired_at >= a[n].deadline);
	}
	free(a);
}

static void again(struct host_timer *t)
{
	struct alarm *a = CONTAINER_OF(t, struct alarm, timer);

	a->plain++;		/* TSan: seen after stop without a race */
	atomic_fetch_add(&a->runs, 1);
	if (atomic_load_relaxed(&a->slow))
		usleep(1000);
	if (atomic_load_relaxed(&a->again))
		host_timer_start(t, host_now() + 1000);
}

static void wait_for_runs(struct alarm *a, u32 runs)
{
	while (atomic_load_acquire(&a->runs) < runs)
		usleep(100);
}

static void periodic_until_stopped(void)
{
	struct alarm *a = calloc(1, sizeof(*a));
	u64 runs;

	host_timer_init(&a->timer, again);
	host_timer_stop(&a->timer);		/* never started */
	a->again = 1;
	host_timer_start(&a->timer, 0);	/* long past: at once */
	wait_for_runs(a, 4);
	host_timer_stop(&a->timer);
	runs = a->plain;
	usleep(3000);
	EXPECT_EQ(a->plain, runs);
	a->slow = 1;
	host_timer_start(&a->timer, 0);
	usleep(300);
	host_timer_stop(&a->timer);	/* most likely while it runs */
	memset(a, 0xee, sizeof(*a));
	free(a);
}

static struct alarm shared[8];

static void *start_and_stop(void *arg)
{
	u32 seed = (u32)(uintptr_t)arg;

	for (int n = 0; n < 3000; n++) {
		struct alarm *a = &shared[(seed = seed * 1664525 + 1013904223) >> 16 & 7];

		if (seed >> 30)
			host_timer_start(&a->timer, host_now() + (seed >> 8 & 0xffff));
		else
			host_timer_stop(&a->timer);
	}
	return NULL;
}

static void many_threads(void)
{
	pthread_t thread[4];

	for (int n = 0; n < 8; n++)
		host_timer_init(&shared[n].timer, again);
	for (long n = 0; n < 4; n++)
		pthread_create(&thread[n], NULL, start_and_stop, (void *)(n + 1));
	for (int n = 0; n < 4; n++)
		pthread_join(thread[n], NULL);
	for (int n = 0; n < 8; n++) {
		u32 runs = atomic_load_acquire(&shared[n].runs);

		host_timer_start(&shared[n].timer, host_now());		/* works still */
		wait_for_runs(&shared[n], runs + 1);
		host_timer_stop(&shared[n].timer);
		EXPECT_EQ(shared[n].plain, shared[n].runs);
	}
}

static void clocks(void)
{
	u64 a = host_now(), b;

	usleep(2000);
	b = host_now();
	EXPECT(b >= a + 2000000);
	EXPECT(host_wall_clock() > 1600000000000000000);
	if (host_tsc_khz()) {
		bool agree = false;

		for (int n = 0; n < 20 && !agree; n++) {	/* being preempted between two readings spoils one */
			u64 from = __builtin_ia32_rdtsc(), ns = host_now(), ticks, expected;

			usleep(50000);
			ticks = __builtin_ia32_rdtsc() - from;
			expected = (host_now() - ns) * host_tsc_khz() / 1000000;
			agree = ticks > expected - expected / 100 && ticks < expected + expected / 100;
		}
		EXPECT(agree);
	}
}

int main(void)
{
	host_posix_check(true);
	TEST(in_order_and_not_early);
	TEST(periodic_until_stopped);
	TEST(many_threads);
	TEST(clocks);
	return test_status();
}
