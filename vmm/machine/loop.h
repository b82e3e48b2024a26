/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.h - an event loop: file descriptors, timers and posted work
 *
 * One thread runs the loop and every callback is called on it.  The machine has one for
 * the terminal, the timers of slow devices and stopping; a device with traffic of its own
 * makes another and gives it a thread with loop_thread_start().
 *
 * Structures are the caller's and must stay until removed, stopped or run.
 */
#ifndef VMM_MACHINE_LOOP_H
#define VMM_MACHINE_LOOP_H

#include <pthread.h>

#include "base/types.h"

struct loop;

/* --- file descriptors: on the loop's thread, or before it runs -------------- */

struct loop_watch {
	void	(*fn)(struct loop_watch *w, u32 events);	/* EPOLLIN, EPOLLOUT, ... */
	int	fd;
	struct loop *loop;	/* NULL: not watched */
};

/* 0 or -errno (-EPERM: a regular file, which epoll does not take). */
int loop_watch_add(struct loop *l, struct loop_watch *w, int fd, u32 events);
int loop_watch_modify(struct loop_watch *w, u32 events);
void loop_watch_remove(struct loop_watch *w);	/* no callback follows; does not close */

/* --- timers: from any thread ------------------------------------------------ */

struct loop_timer {
	void	(*fn)(struct loop_timer *t);
	u64	deadline;	/* in loop_now() nanoseconds */
	struct loop_timer *next;
	bool	armed;
};

void loop_timer_start(struct loop *l, struct loop_timer *t, u64 deadline);	/* replaces */
/* From the loop's thread no callback follows; from another one may just be running. */
void loop_timer_stop(struct loop *l, struct loop_timer *t);

/* --- work for the loop's thread: from any thread ---------------------------- */

struct loop_task {
	void	(*fn)(struct loop_task *t);
	struct loop_task *next;
	bool	queued;		/* posting a queued task again changes nothing */
};

void loop_post(struct loop *l, struct loop_task *t);

/* --- the loop ---------------------------------------------------------------- */

int loop_create(struct loop **out);		/* 0 or -errno */
void loop_destroy(struct loop *l);		/* NULL is fine; not while it runs */
int loop_run(struct loop *l);			/* until loop_stop(): 0, or -errno */
void loop_stop(struct loop *l);			/* any thread, any time */

int loop_thread_start(struct loop *l, const char *name);	/* run it on a thread of its own */
void loop_thread_stop(struct loop *l);		/* loop_stop() and wait for that thread */

u64 loop_now(void);				/* monotonic nanoseconds */

#endif
