// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * wait.c - waiting for a condition, and work that may sleep
 *
 * Work runs on a queue of our own, so that nobody else's work waits for ours, and so that
 * unloading can wait for the end of all.
 */
#include <linux/build_bug.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "host/host.h"
#include "host/linux/linux.h"

static_assert(sizeof(wait_queue_head_t) <= sizeof(struct host_wait));
static_assert(sizeof(struct work_struct) <= sizeof(((struct host_work *)0)->storage));

static struct workqueue_struct *queue;

static wait_queue_head_t *head(struct host_wait *w)
{
	return (wait_queue_head_t *)w->storage;
}

void host_wait_init(struct host_wait *w)
{
	init_waitqueue_head(head(w));
}

/* Sleep once.  False: the time is up. */
static bool sleep_until(u64 deadline)
{
	ktime_t expires = ns_to_ktime(min_t(u64, deadline, KTIME_MAX));

	if (deadline >= KTIME_MAX) {
		schedule();
		return true;
	}
	return schedule_hrtimeout(&expires, HRTIMER_MODE_ABS) != 0;
}

int host_wait_until(struct host_wait *w, bool (*ready)(void *), void *arg, u64 deadline)
{
	DEFINE_WAIT(wait);
	bool in_time = true;
	int r;

	for (;;) {
		prepare_to_wait(head(w), &wait, TASK_INTERRUPTIBLE);
		r = 0;
		if (ready(arg))
			break;
		r = -EINTR;
		if (signal_pending(current))
			break;
		r = -ETIME;
		if (!in_time)
			break;
		in_time = sleep_until(deadline);
	}
	finish_wait(head(w), &wait);
	return r;
}

void host_wake(struct host_wait *w)
{
	if (wq_has_sleeper(head(w)))
		wake_up_all(head(w));
}

bool host_must_return(void)
{
	return signal_pending(current);
}

void host_yield(void)
{
	yield();
}

/* --- work ------------------------------------------------------------------------------ */

static struct work_struct *work(struct host_work *w)
{
	return (struct work_struct *)w->storage;
}

static void work_run(struct work_struct *s)
{
	struct host_work *w = container_of((u64 *)s, struct host_work, storage[0]);

	w->fn(w);
}

void host_work_init(struct host_work *w, void (*fn)(struct host_work *))
{
	w->fn = fn;
	INIT_WORK(work(w), work_run);
}

void host_work_queue(struct host_work *w)
{
	queue_work(queue, work(w));
}

void host_work_cancel(struct host_work *w)
{
	cancel_work_sync(work(w));
}

int host_linux_init(void)
{
	queue = alloc_workqueue("anykvm", WQ_UNBOUND, 0);
	return queue ? 0 : -ENOMEM;
}

void host_linux_fini(void)
{
	destroy_workqueue(queue);
	if (host_linux_pages_out())
		pr_err("kvm: BUG: %ld pages were not given back\n", host_linux_pages_out());
}
