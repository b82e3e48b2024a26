// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * wait.c - waiting for a condition, and work that may sleep
 *
 * A wait queue is a sequence number that every wake-up increments.  Who waits reads it,
 * asks whether the condition holds, and sleeps only if the number is still the same.  An
 * interrupting signal handler increments it too (host_posix_interrupt), which closes the
 * gap between asking host_must_return() and falling asleep.
 *
 * Work runs on one thread, in the order of queueing; work that is queued while queued
 * runs once, work that is queued while it runs runs again.
 *
 * Locking: work_lock guards the list, running_work and every struct work; no callback runs
 * with it held.
 */
#include "host/posix/thread.h"
#include "base/list.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>

struct wait { u32 sequence, sleepers; };
BUILD_ASSERT(sizeof(struct wait) <= sizeof(struct host_wait));

void host_wait_init(struct host_wait *w)
{
	*(struct wait *)w->storage = (struct wait){ 0 };
}

int host_wait_until(struct host_wait *w, bool (*ready)(void *), void *arg, u64 deadline)
{
	struct wait *q = (struct wait *)w->storage;
	int result;

	MAY_SLEEP();
	atomic_fetch_add(&q->sleepers, 1);
	atomic_store_relaxed(&posix_self.waiting_on, &q->sequence);
	for (;;) {
		u32 sequence = __atomic_load_n(&q->sequence, __ATOMIC_SEQ_CST);

		result = 0;
		if (ready(arg))
			break;
		result = -EINTR;
		if (host_must_return())
			break;
		result = -ETIME;
		if (deadline != HOST_NEVER && host_now() >= deadline)
			break;
		posix_futex_wait(&q->sequence, sequence, deadline);
	}
	posix_lock(&posix_self.waiting);
	atomic_store_relaxed(&posix_self.waiting_on, NULL);
	posix_unlock(&posix_self.waiting);
	atomic_fetch_add(&q->sleepers, -1);
	return result;
}

void host_wake(struct host_wait *w)
{
	struct wait *q = (struct wait *)w->storage;

	atomic_fetch_add(&q->sequence, 1);
	if (__atomic_load_n(&q->sleepers, __ATOMIC_SEQ_CST))
		posix_futex_wake(&q->sequence, INT_MAX);
}

void host_yield(void)
{
	MAY_SLEEP();
	sched_yield();
}

/* --- work --- */

struct work {
	struct list link;
	u32 cancellers;		/* threads waiting in host_work_cancel(): queueing is refused */
};
BUILD_ASSERT(sizeof(struct work) <= sizeof(((struct host_work *)0)->storage));

static struct posix_lock work_lock;
static struct posix_signal work_queued, work_done;
static struct list work_list = LIST_INIT(work_list);
static struct host_work *running_work;
static __thread bool is_worker __attribute__((tls_model("initial-exec")));

static struct work *work(struct host_work *w)
{
	return (struct work *)w->storage;
}

static void *worker(void *unused)
{
	(void)unused;
	is_worker = true;
	posix_lock(&work_lock);
	for (;;) {
		struct host_work *w;

		while (list_is_empty(&work_list))
			posix_signal_wait(&work_queued, &work_lock, HOST_NEVER);
		w = CONTAINER_OF((u64 *)work_list.next, struct host_work, storage[0]);
		list_remove(&work(w)->link);
		running_work = w;
		posix_unlock(&work_lock);
		w->fn(w);		/* w may be gone afterwards */
		posix_lock(&work_lock);
		running_work = NULL;
		posix_signal_all(&work_done);
	}
	return NULL;
}

static void start_worker(void)
{
	posix_daemon("anykvm-work", worker);
}

void host_work_init(struct host_work *w, void (*fn)(struct host_work *))
{
	w->fn = fn;
	*work(w) = (struct work){ 0 };
	list_init(&work(w)->link);
}

void host_work_queue(struct host_work *w)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start_worker);
	posix_lock(&work_lock);
	if (list_is_empty(&work(w)->link) && !work(w)->cancellers) {
		list_append(&work_list, &work(w)->link);
		posix_signal_all(&work_queued);
	}
	posix_unlock(&work_lock);
}

void host_work_cancel(struct host_work *w)
{
	MAY_SLEEP();
	posix_lock(&work_lock);
	list_remove(&work(w)->link);
	work(w)->cancellers++;
	while (running_work == w && !is_worker)
		posix_signal_wait(&work_done, &work_lock, HOST_NEVER);
	work(w)->cancellers--;
	posix_unlock(&work_lock);
}
