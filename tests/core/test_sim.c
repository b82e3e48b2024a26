// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_sim.c - the simulated host keeps the promises that tests rely on
 */
#include "host/sim/sim.h"
#include "tests/test.h"

#include <errno.h>

struct alarm { struct host_timer timer; u64 at, runs, period; };

static void on_alarm(struct host_timer *t)
{
	struct alarm *a = CONTAINER_OF(t, struct alarm, timer);

	a->at = host_now();
	a->runs++;
	if (a->period)
		host_timer_start(t, a->at + a->period);
}

static bool has_run(void *arg)
{
	return ((struct alarm *)arg)->runs > 0;
}

static void clock_and_timers(void)
{
	struct alarm a = { 0 }, b = { .period = 100 };
	struct host_wait w;
	u64 from;

	sim_reset();
	from = host_now();
	host_timer_init(&a.timer, on_alarm);
	host_timer_init(&b.timer, on_alarm);
	host_timer_start(&a.timer, from + 1000);
	host_timer_start(&b.timer, from + 100);
	EXPECT_EQ(sim_timer_next(), from + 100);
	sim_clock_advance(99);
	EXPECT_EQ(a.runs + b.runs, 0);
	sim_clock_advance(401);
	EXPECT_EQ(b.runs, 5);
	EXPECT_EQ(b.at, from + 500);
	host_timer_stop(&b.timer);
	host_wait_init(&w);
	EXPECT(host_wait_until(&w, has_run, &a, from + 600) == -ETIME);
	EXPECT_EQ(host_now(), from + 600);
	EXPECT_EQ(host_wait_until(&w, has_run, &a, ~0ull), 0);
	EXPECT_EQ(host_now(), from + 1000);
	a.runs = 0;
	sim_expect_bugs(true);
	EXPECT(host_wait_until(&w, has_run, &a, ~0ull) == -EINTR);
	EXPECT_EQ(sim_bugs(), 1);
	sim_interrupt(true);
	EXPECT(host_wait_until(&w, has_run, &a, ~0ull) == -EINTR);
	EXPECT_EQ(sim_bugs(), 1);
}

static void allocations_fail_on_request(void)
{
	u64 before = sim_allocations();
	void *a, *b;

	sim_reset();
	sim_fail_alloc(2);
	a = host_alloc(10, 0);
	EXPECT(a != NULL);
	EXPECT(host_alloc_pages(0, 0) == NULL);
	b = host_alloc_pages(0, 0);
	EXPECT(b != NULL);
	EXPECT_EQ(sim_allocations(), before + 2);
	host_free(a);
	host_free_pages(b, 0);
	EXPECT_EQ(sim_allocations(), before);
}

static u8 memory[3 * PAGE_BYTES] __attribute__((aligned(4096)));
static u64 invalidated;

static void note(void *arg, u64 start, u64 end)
{
	*(u64 *)arg += end - start;
}

static void memory_of_the_process(void)
{
	static const struct host_space_ops ops = { note, note, NULL };
	u64 at = (u64)(uintptr_t)memory, value = 7, old = 7;
	struct host_page page;
	void *space;

	sim_reset();
	EXPECT(host_copy_in(&value, at, 8) == -EFAULT);
	sim_memory(memory, 2 * PAGE_BYTES, true);
	EXPECT_EQ(host_copy_out(at + 2 * PAGE_BYTES - 8, &value, 8), 0);
	EXPECT(host_copy_out(at + 2 * PAGE_BYTES - 7, &value, 8) == -EFAULT);
	EXPECT_EQ(host_cmpxchg(at + 2 * PAGE_BYTES - 8, &old, 9, 8), 0);
	EXPECT(host_cmpxchg(at + 2 * PAGE_BYTES - 8, &old, 9, 8) == -EAGAIN);
	EXPECT_EQ(old, 9);
	EXPECT_EQ(host_page_get(at + PAGE_BYTES + 5, true, &page), 0);
	EXPECT_EQ(page.pa, at + PAGE_BYTES);
	host_page_put(&page, true);
	EXPECT(host_page_get(at + 2 * PAGE_BYTES, false, &page) == -EFAULT);
	EXPECT_EQ(host_space_attach(&ops, &invalidated, &space), 0);
	sim_invalidate(at, at + PAGE_BYTES);
	EXPECT_EQ(invalidated, 2 * PAGE_BYTES);
	host_space_detach(space);
	sim_memory_forget(memory);
	EXPECT(host_copy_in(&value, at, 8) == -EFAULT);
}

static void wrong_contexts_are_found(void)
{
	struct host_spin spin;
	struct host_mutex mutex;
	u64 flags;

	sim_reset();
	sim_expect_bugs(true);
	host_spin_init(&spin, NULL);
	host_mutex_init(&mutex, NULL);
	flags = host_spin_lock(&spin);
	host_mutex_lock(&mutex);
	EXPECT_EQ(sim_bugs(), 1);
	host_spin_unlock(&spin, flags);
	host_mutex_unlock(&mutex);
	EXPECT_EQ(sim_bugs(), 1);
	host_pin();
	host_yield();
	EXPECT_EQ(sim_bugs(), 2);
	host_unpin();
	host_unpin();
	EXPECT_EQ(sim_bugs(), 3);
	sim_reset();
}

static u64 heard;

static void on_event(struct host_watch *w)
{
	(void)w;
	heard++;
}

static void events_and_kicks(void)
{
	struct host_event *ev;
	struct host_watch watch = { 0 };

	sim_reset();
	EXPECT_EQ(host_event_get(5, &ev), 0);
	EXPECT_EQ(host_event_watch(ev, &watch, on_event), 0);
	sim_event_raise(5);
	sim_event_raise(6);
	EXPECT_EQ(heard, 1);
	host_event_signal(ev);
	EXPECT_EQ(sim_event_signals(5), 1);
	host_event_unwatch(&watch);
	sim_event_raise(5);
	EXPECT_EQ(heard, 1);
	host_event_put(ev);
	host_cpu_kick(3);
	EXPECT_EQ(sim_kicks(3), 1);
}

int main(void)
{
	TEST(clock_and_timers);
	TEST(allocations_fail_on_request);
	TEST(memory_of_the_process);
	TEST(wrong_contexts_are_found);
	TEST(events_and_kicks);
	return test_status();
}
