// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * threads.c - disk requests by a few threads and plain system calls
 *
 * For hosts where io_uring is not allowed, as in many containers.
 *
 * Locking: state->lock guards both lists; taken by the loop's thread and by the workers.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/block/engine.h"
#include "vmm/machine/loop.h"

#define WORKERS 4u

struct list {
	struct disk_request *first, **last;
};

struct threads {
	int fd;
	void (*completed)(struct disk_request *r, int result);
	struct loop_watch watch;
	pthread_mutex_t lock;
	pthread_cond_t work, finished;
	struct list todo, done;
	bool quit;
	unsigned workers;
	pthread_t worker[WORKERS];
};

static void list_append(struct list *l, struct disk_request *r)
{
	r->next = NULL;
	*l->last = r;
	l->last = &r->next;
}

static struct disk_request *list_take(struct list *l)
{
	struct disk_request *r = l->first;

	if (r) {
		l->first = r->next;
		if (!l->first)
			l->last = &l->first;
	}
	return r;
}

static void *work(void *arg)
{
	struct threads *t = arg;
	u64 one = 1;

	pthread_mutex_lock(&t->lock);
	while (!t->quit) {
		struct disk_request *r = list_take(&t->todo);

		if (!r) {
			pthread_cond_wait(&t->work, &t->lock);
			continue;
		}
		pthread_mutex_unlock(&t->lock);
		r->result = (int)engine_perform(t->fd, r);
		pthread_mutex_lock(&t->lock);
		list_append(&t->done, r);
		pthread_cond_signal(&t->finished);
		/* Only ever fails when the counter is full, and then the loop is awake anyway. */
		if (write(t->watch.fd, &one, sizeof(one)) < 0)
			continue;
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void reap(struct threads *t)
{
	struct disk_request *r;

	for (;;) {
		pthread_mutex_lock(&t->lock);
		r = list_take(&t->done);
		pthread_mutex_unlock(&t->lock);
		if (!r)
			return;
		t->completed(r, r->result);
	}
}

static void woken(struct loop_watch *w, u32 events)
{
	u64 count;

	(void)events;
	if (read(w->fd, &count, sizeof(count)) == sizeof(count))
		reap(CONTAINER_OF(w, struct threads, watch));
}

static void threads_close(void *state)
{
	struct threads *t = state;
	int wake = t->watch.fd;

	pthread_mutex_lock(&t->lock);
	t->quit = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (unsigned n = 0; n < t->workers; n++)
		pthread_join(t->worker[n], NULL);
	loop_watch_remove(&t->watch);
	close(wake);
	free(t);
}

static int threads_open(void **state, int fd, struct loop *l, void (*completed)(struct disk_request *, int))
{
	struct threads *t = calloc(1, sizeof(*t));
	sigset_t all, before;
	int r, wake;

	if (!t)
		return -ENOMEM;
	t->fd = fd;
	t->completed = completed;
	t->todo.last = &t->todo.first;
	t->done.last = &t->done.first;
	t->watch.fn = woken;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	pthread_cond_init(&t->finished, NULL);
	wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = wake < 0 ? -errno : loop_watch_add(l, &t->watch, wake, EPOLLIN);
	if (r) {
		if (wake >= 0)
			close(wake);
		free(t);
		return r;
	}
	/* Signals are for the threads that expect them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; t->workers < WORKERS; t->workers++)
		if (pthread_create(&t->worker[t->workers], NULL, work, t))
			break;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (t->workers == 0) {
		threads_close(t);
		return -EAGAIN;
	}
	*state = t;
	return 0;
}

static void threads_submit(void *state, struct disk_request *r)
{
	struct threads *t = state;

	pthread_mutex_lock(&t->lock);
	list_append(&t->todo, r);
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->lock);
}

static void threads_kick(void *state)
{
	(void)state;		/* they began at once */
}

static void threads_wait(void *state)
{
	struct threads *t = state;

	pthread_mutex_lock(&t->lock);
	while (!t->done.first)
		pthread_cond_wait(&t->finished, &t->lock);
	pthread_mutex_unlock(&t->lock);
	reap(t);
}

const struct engine engine_threads = {
	.name = "threads",
	.open = threads_open,
	.close = threads_close,
	.submit = threads_submit,
	.kick = threads_kick,
	.wait = threads_wait,
};
