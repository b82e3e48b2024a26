// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * time.c - a clock that is told to move, and what happens as it does
 *
 * Waiting moves the clock, too: host_wait_until() runs work and lets timers fire until its
 * condition holds, and reports a deadlock if nothing could ever make it so.
 *
 * Locking: none.
 */
#include "host/sim/internal.h"
#include "base/list.h"

#include <errno.h>
#include <stdlib.h>

struct timer { struct list link; u64 deadline; };
struct work { struct list link; };
struct watch { struct list link; int fd; };
struct host_event { struct list link; int fd; u64 signals, references; };

static struct list timers = LIST_INIT(timers);	/* by deadline */
static struct list works = LIST_INIT(works);
static struct list watches = LIST_INIT(watches);
static struct list events = LIST_INIT(events);

static struct timer *timer(struct host_timer *t)
{
	return (struct timer *)t->storage;
}

static struct work *work(struct host_work *w)
{
	return (struct work *)w->storage;
}

static struct watch *watch(struct host_watch *w)
{
	return (struct watch *)w->storage;
}

void sim_time_reset(void)
{
	while (!list_is_empty(&timers))
		list_remove(timers.next);
	while (!list_is_empty(&works))
		list_remove(works.next);
	while (!list_is_empty(&watches))
		list_remove(watches.next);
}

/* --- clocks and timers --- */

u64 host_now(void)
{
	return sim.now;
}

u64 host_wall_clock(void)
{
	return sim.now + 1700000000000000000ull;
}

u64 host_tsc_khz(void)
{
	return 2000000;
}

void host_timer_init(struct host_timer *t, void (*fn)(struct host_timer *))
{
	t->fn = fn;
	list_init(&timer(t)->link);
}

void host_timer_start(struct host_timer *t, u64 deadline)
{
	struct list *at = &timers;

	list_remove(&timer(t)->link);
	timer(t)->deadline = deadline;
	while (at->prev != &timers &&
	       LIST_ENTRY(at->prev, struct timer, link)->deadline > deadline)
		at = at->prev;
	list_insert(at->prev, &timer(t)->link);
}

void host_timer_stop(struct host_timer *t)
{
	MAY_SLEEP();
	list_remove(&timer(t)->link);
}

u64 sim_timer_next(void)
{
	struct timer *t = LIST_FIRST(&timers, struct timer, link);

	return t ? t->deadline : ~0ull;
}

void sim_clock_advance(u64 ns)
{
	u64 until = sim.now + ns;

	while (sim_timer_next() <= until) {
		struct host_timer *t = CONTAINER_OF((u64 *)timers.next, struct host_timer, storage[0]);

		if (timer(t)->deadline > sim.now)
			sim.now = timer(t)->deadline;
		list_remove(&timer(t)->link);
		sim.in_timer = true;
		t->fn(t);
		sim.in_timer = false;
	}
	sim.now = until;
}

/* --- waiting and work --- */

void host_wait_init(struct host_wait *w)
{
	w->storage[0] = 0;
}

int host_wait_until(struct host_wait *w, bool (*ready)(void *), void *arg, u64 deadline)
{
	MAY_SLEEP();
	(void)w;
	for (;;) {
		u64 next = sim_timer_next();

		if (ready(arg))
			return 0;
		if (host_must_return())
			return -EINTR;
		if (!list_is_empty(&works)) {
			sim_work_run();
			continue;
		}
		if (deadline <= sim.now)
			return -ETIME;
		if (next > deadline)
			next = deadline;
		if (next == ~0ull) {
			host_bug(__FILE__, __LINE__, "deadlock: waiting for nothing");
			return -EINTR;
		}
		sim_clock_advance(next > sim.now ? next - sim.now : 0);
	}
}

void host_wake(struct host_wait *w)
{
	w->storage[0]++;
}

void host_yield(void)
{
	MAY_SLEEP();
}

void host_work_init(struct host_work *w, void (*fn)(struct host_work *))
{
	w->fn = fn;
	list_init(&work(w)->link);
}

void host_work_queue(struct host_work *w)
{
	if (list_is_empty(&work(w)->link))
		list_append(&works, &work(w)->link);
}

void host_work_cancel(struct host_work *w)
{
	MAY_SLEEP();
	list_remove(&work(w)->link);
}

void sim_work_run(void)
{
	while (!list_is_empty(&works)) {
		struct host_work *w = CONTAINER_OF((u64 *)works.next, struct host_work, storage[0]);

		list_remove(&work(w)->link);
		w->fn(w);
	}
}

/* --- events --- */

static struct host_event *event_find(int fd)
{
	struct host_event *e;

	LIST_FOR_EACH(e, &events, link)
		if (e->fd == fd)
			return e;
	return NULL;
}

int host_event_get(int fd, struct host_event **ev)
{
	struct host_event *e = event_find(fd);

	MAY_SLEEP();
	if (fd < 0)
		return -EBADF;
	if (!e) {
		e = host_alloc(sizeof(*e), 0);
		if (!e)
			return -ENOMEM;
		e->fd = fd;
		list_append(&events, &e->link);
	}
	e->references++;
	*ev = e;
	return 0;
}

void host_event_put(struct host_event *ev)
{
	MAY_SLEEP();
	if (!ev || --ev->references)
		return;
	list_remove(&ev->link);
	host_free(ev);
}

void host_event_signal(struct host_event *ev)
{
	ev->signals++;
}

u64 sim_event_signals(int fd)
{
	struct host_event *e = event_find(fd);

	return e ? e->signals : 0;
}

int host_event_watch(struct host_event *ev, struct host_watch *w, void (*fn)(struct host_watch *))
{
	MAY_SLEEP();
	w->fn = fn;
	watch(w)->fd = ev->fd;
	list_init(&watch(w)->link);
	list_append(&watches, &watch(w)->link);
	return 0;
}

void host_event_unwatch(struct host_watch *w)
{
	MAY_SLEEP();
	if (watch(w)->link.next)
		list_remove(&watch(w)->link);
}

void sim_event_raise(int fd)
{
	struct watch *w, *after;

	LIST_FOR_EACH_SAFE(w, after, &watches, link)
		if (w->fd == fd) {
			struct host_watch *h = CONTAINER_OF((u64 *)w, struct host_watch, storage[0]);

			h->fn(h);
		}
}
