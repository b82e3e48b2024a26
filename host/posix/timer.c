// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * timer.c - timers of the monotonic clock, all on one thread
 *
 * Armed timers form a pairing heap whose links are in the timers, so that arming one can
 * not fail.  The thread sleeps until the first deadline; arming an earlier one wakes it.
 * Callbacks run one after the other on that thread, with no lock held.
 *
 * Invariants:
 *   1. A timer is in the heap exactly while it is armed.
 *   2. sleeping_until is not later than the root's deadline whenever the lock is free and
 *      the thread sleeps.
 *
 * Locking: lock guards the heap, running and every struct node.
 * Reference: Fredman, Sedgewick, Sleator, Tarjan, "The Pairing Heap", two-pass variant.
 */
#include "host/posix/thread.h"

#include <pthread.h>
#include <sys/prctl.h>

struct node {
	u64 deadline;
	struct node *child;	/* first child */
	struct node *next;	/* next sibling */
	struct node *prev;	/* previous sibling, or the parent of a first child */
	bool armed;
	u32 stoppers;		/* threads waiting in host_timer_stop(): arming is refused */
};
BUILD_ASSERT(sizeof(struct node) <= sizeof(((struct host_timer *)0)->storage));

static struct posix_lock lock;
static struct posix_signal earlier;	/* the root has changed to an earlier deadline */
static struct posix_signal done;	/* a callback has returned */
static struct node *root;
static struct host_timer *running;
static u64 sleeping_until;		/* 0 while the thread is awake */

static struct node *node(struct host_timer *t)
{
	return (struct node *)t->storage;
}

static struct node *meld(struct node *a, struct node *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->deadline < a->deadline) {
		struct node *swap = a;

		a = b;
		b = swap;
	}
	b->prev = a;
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	a->child = b;
	a->next = a->prev = NULL;
	return a;
}

/* Meld siblings in pairs from the left, then the pairs from the right. */
static struct node *meld_siblings(struct node *first)
{
	struct node *pairs = NULL, *all = NULL;

	while (first) {
		struct node *a = first, *b = a->next;

		first = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct node *a = pairs;

		pairs = a->next;
		a->next = NULL;
		all = meld(all, a);
	}
	return all;
}

static void heap_insert(struct node *n)
{
	n->child = n->next = n->prev = NULL;
	n->armed = true;
	root = meld(root, n);
}

static void heap_remove(struct node *n)
{
	if (!n->armed)
		return;
	n->armed = false;
	if (n == root) {
		root = meld_siblings(n->child);
		return;
	}
	if (n->prev->child == n)
		n->prev->child = n->next;
	else
		n->prev->next = n->next;
	if (n->next)
		n->next->prev = n->prev;
	root = meld(root, meld_siblings(n->child));
}

static void run_first(void)
{
	struct host_timer *t = CONTAINER_OF((u64 *)root, struct host_timer, storage[0]);

	heap_remove(root);
	running = t;
	posix_unlock(&lock);
	posix_self.in_timer = true;
	t->fn(t);		/* t may be gone afterwards */
	posix_self.in_timer = false;
	posix_lock(&lock);
	running = NULL;
	posix_signal_all(&done);
}

static void *timer_thread(void *unused)
{
	(void)unused;
	prctl(PR_SET_TIMERSLACK, 1ul);
	posix_lock(&lock);
	for (;;) {
		if (root && root->deadline <= host_now()) {
			run_first();
			continue;
		}
		sleeping_until = root ? root->deadline : HOST_NEVER;
		posix_signal_wait(&earlier, &lock, sleeping_until);
		sleeping_until = 0;
	}
	return NULL;
}

static void start_thread(void)
{
	posix_daemon("anykvm-timer", timer_thread);
}

void host_timer_init(struct host_timer *t, void (*fn)(struct host_timer *))
{
	t->fn = fn;
	*node(t) = (struct node){ 0 };
}

void host_timer_start(struct host_timer *t, u64 deadline)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start_thread);
	posix_lock(&lock);
	heap_remove(node(t));
	if (!node(t)->stoppers) {
		node(t)->deadline = deadline;
		heap_insert(node(t));
	}
	if (node(t)->armed && deadline < sleeping_until) {
		sleeping_until = deadline;
		posix_signal_all(&earlier);
	}
	posix_unlock(&lock);
}

void host_timer_stop(struct host_timer *t)
{
	MAY_SLEEP();
	posix_lock(&lock);
	heap_remove(node(t));
	node(t)->stoppers++;	/* or one that always arms itself again might never be caught */
	while (running == t && !posix_self.in_timer)
		posix_signal_wait(&done, &lock, HOST_NEVER);
	node(t)->stoppers--;
	posix_unlock(&lock);
}
