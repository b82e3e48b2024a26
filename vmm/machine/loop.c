// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * loop.c - an event loop: file descriptors, timers and posted work
 *
 * epoll waits for the watched descriptors and two of its own: an eventfd that wakes the
 * loop for posted work or stopping, and a timerfd set to the earliest deadline.  Events
 * are fetched in batches; a watch that is removed is also struck from the batch at hand.
 *
 * Locking: l->lock guards timers, tasks and stop; callbacks run without it.  Watches
 * belong to the loop's thread.
 */
#include "vmm/machine/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH	16

struct loop {
	int	epoll, wake, timer;
	pthread_mutex_t lock;
	struct loop_timer *timers;	/* by deadline */
	struct loop_task *tasks, **tasks_end;
	bool	stop;
	struct epoll_event batch[BATCH];
	int	batch_next, batch_count;
	pthread_t thread;		/* of loop_thread_start() */
	bool	threaded;
};

u64 loop_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

static void loop_wake(struct loop *l)
{
	u64 one = 1;

	while (write(l->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* --- watches ---------------------------------------------------------------- */

int loop_watch_add(struct loop *l, struct loop_watch *w, int fd, u32 events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	w->fd = fd;
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e))
		return -errno;
	w->loop = l;
	return 0;
}

int loop_watch_modify(struct loop_watch *w, u32 events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	return epoll_ctl(w->loop->epoll, EPOLL_CTL_MOD, w->fd, &e) ? -errno : 0;
}

void loop_watch_remove(struct loop_watch *w)
{
	struct loop *l = w->loop;

	if (!l)
		return;
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = l->batch_next; i < l->batch_count; i++)
		if (l->batch[i].data.ptr == w)
			l->batch[i].data.ptr = NULL;
	w->loop = NULL;
}

/* --- timers: l->lock held in the static ones -------------------------------- */

static void timer_unlink(struct loop *l, struct loop_timer *t)
{
	for (struct loop_timer **p = &l->timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	t->armed = false;
}

static void timerfd_arm(struct loop *l)
{
	struct itimerspec when = { 0 };

	if (l->timers) {	/* a time of zero would disarm it */
		u64 deadline = MAX_OF(l->timers->deadline, 1ull);

		when.it_value.tv_sec = (time_t)MIN_OF(deadline / 1000000000u, 1ull << 40);
		when.it_value.tv_nsec = (long)(deadline % 1000000000u);
	}
	timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void loop_timer_start(struct loop *l, struct loop_timer *t, u64 deadline)
{
	struct loop_timer **p;

	pthread_mutex_lock(&l->lock);
	if (t->armed)
		timer_unlink(l, t);
	t->deadline = deadline;
	for (p = &l->timers; *p && (*p)->deadline <= deadline; p = &(*p)->next)
		;
	t->next = *p;
	*p = t;
	t->armed = true;
	timerfd_arm(l);
	pthread_mutex_unlock(&l->lock);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	pthread_mutex_lock(&l->lock);
	if (t->armed) {
		timer_unlink(l, t);
		timerfd_arm(l);
	}
	pthread_mutex_unlock(&l->lock);
}

static void timers_run(struct loop *l)
{
	u64 expirations, now = loop_now();

	while (read(l->timer, &expirations, sizeof(expirations)) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&l->lock);
	while (l->timers && l->timers->deadline <= now) {
		struct loop_timer *t = l->timers;

		timer_unlink(l, t);
		pthread_mutex_unlock(&l->lock);
		t->fn(t);
		pthread_mutex_lock(&l->lock);
	}
	timerfd_arm(l);
	pthread_mutex_unlock(&l->lock);
}

/* --- tasks -------------------------------------------------------------------- */

void loop_post(struct loop *l, struct loop_task *t)
{
	bool wake = false;

	pthread_mutex_lock(&l->lock);
	if (!t->queued) {
		t->queued = true;
		t->next = NULL;
		*l->tasks_end = t;
		l->tasks_end = &t->next;
		wake = true;
	}
	pthread_mutex_unlock(&l->lock);
	if (wake)
		loop_wake(l);
}

static void tasks_run(struct loop *l)
{
	u64 count;

	while (read(l->wake, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&l->lock);
	while (l->tasks) {
		struct loop_task *t = l->tasks;

		l->tasks = t->next;
		if (!l->tasks)
			l->tasks_end = &l->tasks;
		t->queued = false;
		pthread_mutex_unlock(&l->lock);
		t->fn(t);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
}

/* --- the loop -------------------------------------------------------------------- */

/* Our own two descriptors are told apart from watches by their data pointer. */
static int watch_own(struct loop *l, int *fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = fd };

	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, *fd, &e);
}

int loop_create(struct loop **out)
{
	struct loop *l = calloc(1, sizeof(*l));
	int error;

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	l->tasks_end = &l->tasks;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->epoll < 0 || l->wake < 0 || l->timer < 0 ||
	    watch_own(l, &l->wake) || watch_own(l, &l->timer)) {
		error = -errno;
		loop_destroy(l);
		return error;
	}
	*out = l;
	return 0;
}

void loop_destroy(struct loop *l)
{
	if (!l)
		return;
	if (l->epoll >= 0)
		close(l->epoll);
	if (l->wake >= 0)
		close(l->wake);
	if (l->timer >= 0)
		close(l->timer);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void batch_run(struct loop *l)
{
	while (l->batch_next < l->batch_count) {
		struct epoll_event *e = &l->batch[l->batch_next++];

		if (e->data.ptr == &l->wake) {
			tasks_run(l);
		} else if (e->data.ptr == &l->timer) {
			timers_run(l);
		} else if (e->data.ptr) {
			struct loop_watch *w = e->data.ptr;

			w->fn(w, e->events);
		}
	}
}

static bool loop_take_stop(struct loop *l)
{
	bool stop;

	pthread_mutex_lock(&l->lock);
	stop = l->stop;
	l->stop = false;
	pthread_mutex_unlock(&l->lock);
	return stop;
}

int loop_run(struct loop *l)
{
	while (!loop_take_stop(l)) {
		int n = epoll_wait(l->epoll, l->batch, BATCH, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		l->batch_next = 0;
		l->batch_count = n < 0 ? 0 : n;
		batch_run(l);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_mutex_unlock(&l->lock);
	loop_wake(l);
}

static void *loop_thread(void *arg)
{
	loop_run(arg);
	return NULL;
}

int loop_thread_start(struct loop *l, const char *name)
{
	int error = pthread_create(&l->thread, NULL, loop_thread, l);

	if (error)
		return -error;
	l->threaded = true;
	pthread_setname_np(l->thread, name);
	return 0;
}

void loop_thread_stop(struct loop *l)
{
	if (!l->threaded)
		return;
	loop_stop(l);
	pthread_join(l->thread, NULL);
	l->threaded = false;
}
