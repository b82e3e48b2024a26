// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_events.c - eventfds: signalled, watched, unwatched while they fire
 */
#include "base/atomic.h"
#include "host/posix/posix.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct listener { struct host_watch watch; u32 heard; u64 plain; };

static void on_event(struct host_watch *w)
{
	struct listener *l = CONTAINER_OF(w, struct listener, watch);

	l->plain++;
	atomic_fetch_add(&l->heard, 1);
}

static void await(u32 *counter, u32 value)
{
	for (int n = 0; n < 20000 && atomic_load_acquire(counter) < value; n++)
		usleep(100);
	EXPECT(atomic_load_acquire(counter) >= value);
}

static void signalling(void)
{
	int fd = eventfd(0, EFD_NONBLOCK), ends[2];
	struct host_event *ev = NULL;
	u64 count = 0, full = ~0ull - 1;

	EXPECT(host_event_get(-1, &ev) == -EBADF);
	EXPECT(host_event_get(999, &ev) == -EBADF);
	EXPECT_EQ(pipe(ends), 0);
	EXPECT(host_event_get(ends[0], &ev) == -EINVAL);
	close(ends[0]);
	close(ends[1]);
	EXPECT_EQ(host_event_get(fd, &ev), 0);
	host_event_signal(ev);
	host_event_signal(ev);
	EXPECT_EQ(read(fd, &count, 8), 8);
	EXPECT_EQ(count, 2);
	fcntl(fd, F_SETFL, 0);			/* blocking and full: signalling does not hang */
	EXPECT_EQ(write(fd, &full, 8), 8);
	host_event_signal(ev);
	close(fd);				/* ours lives on */
	host_event_signal(ev);
	host_event_put(ev);
}

static void watching(void)
{
	struct listener a = { 0 }, b = { 0 };
	int fd = eventfd(0, 0);
	struct pollfd ready = { fd, POLLIN, 0 };
	struct host_event *ev = NULL;
	u64 one = 1;

	EXPECT_EQ(host_event_get(fd, &ev), 0);
	EXPECT_EQ(write(fd, &one, 8), 8);	/* signalled before it is watched */
	EXPECT_EQ(host_event_watch(ev, &a.watch, on_event), 0);
	await(&a.heard, 1);
	for (u32 n = 0; n < 200; n++) {
		u32 before = atomic_load_acquire(&a.heard);

		EXPECT_EQ(write(fd, &one, 8), 8);
		await(&a.heard, before + 1);
	}
	EXPECT_EQ(poll(&ready, 1, 0), 0);	/* the count was taken */
	host_event_unwatch(&a.watch);
	host_event_unwatch(&a.watch);		/* twice is harmless */
	a.plain = 0;
	EXPECT_EQ(write(fd, &one, 8), 8);
	usleep(5000);
	EXPECT_EQ(a.plain, 0);
	EXPECT_EQ(poll(&ready, 1, 0), 1);	/* nobody took this one */
	EXPECT_EQ(host_event_watch(ev, &b.watch, on_event), 0);
	await(&b.heard, 1);
	host_event_unwatch(&b.watch);
	host_event_put(ev);
	close(fd);
}

static u32 stop;

static void *raise_always(void *arg)
{
	u64 one = 1;

	while (!atomic_load_relaxed(&stop))
		if (write(*(int *)arg, &one, 8) < 0 && errno != EAGAIN)
			break;
	return NULL;
}

/* Unwatching frees the watch at once; ASan and TSan tell if it is touched again. */
static void unwatching_while_it_fires(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct host_event *ev = NULL;
	pthread_t thread;
	u64 heard = 0;

	EXPECT_EQ(host_event_get(fd, &ev), 0);
	pthread_create(&thread, NULL, raise_always, &fd);
	for (int n = 0; n < 500; n++) {
		struct listener *l[20];

		for (int k = 0; k < 20; k++) {
			l[k] = calloc(1, sizeof(**l));
			EXPECT_EQ(host_event_watch(ev, &l[k]->watch, on_event), 0);
		}
		if (n % 2)
			usleep(100);
		for (int k = 0; k < 20; k++) {
			host_event_unwatch(&l[k]->watch);
			heard += l[k]->plain;
			memset(l[k], 0xee, sizeof(**l));
			free(l[k]);
		}
	}
	EXPECT(heard > 0);
	atomic_store_relaxed(&stop, 1);
	pthread_join(thread, NULL);
	host_event_put(ev);
	close(fd);
}

int main(void)
{
	host_posix_check(true);
	TEST(signalling);
	TEST(watching);
	TEST(unwatching_while_it_fires);
	return test_status();
}
