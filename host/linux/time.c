// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * time.c - clocks and timers of the kernel
 *
 * Timers are high-resolution ones; callbacks run in the timer interrupt.
 */
#include <linux/build_bug.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/timekeeping.h>

#include <asm/cpufeature.h>
#include <asm/tsc.h>

#include "host/host.h"
#include "host/linux/compat.h"

static_assert(sizeof(struct hrtimer) <= sizeof(((struct host_timer *)0)->storage));

u64 host_now(void)
{
	return ktime_get_ns();
}

u64 host_wall_clock(void)
{
	return ktime_get_real_ns();
}

/* Where the kernel does not trust the counter nobody should. */
u64 host_tsc_khz(void)
{
	return tsc_khz;
}

static struct hrtimer *timer(struct host_timer *t)
{
	return (struct hrtimer *)t->storage;
}

/* fn may have started it again, which the kernel then knows already. */
static enum hrtimer_restart timer_run(struct hrtimer *h)
{
	struct host_timer *t = container_of((u64 *)h, struct host_timer, storage[0]);

	t->fn(t);
	return HRTIMER_NORESTART;
}

void host_timer_init(struct host_timer *t, void (*fn)(struct host_timer *))
{
	t->fn = fn;
	compat_hrtimer_setup(timer(t), timer_run);
}

void host_timer_start(struct host_timer *t, u64 deadline)
{
	hrtimer_start(timer(t), ns_to_ktime(min_t(u64, deadline, KTIME_MAX)), HRTIMER_MODE_ABS_HARD);
}

void host_timer_stop(struct host_timer *t)
{
	hrtimer_cancel(timer(t));
}
