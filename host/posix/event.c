// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * event.c - eventfds: signalling them, and watching them on one thread
 *
 * An event is a duplicate of the program's descriptor, so that the program may close its
 * own.  It is the same host_event for every descriptor of the same eventfd: the kernel says
 * which by a number in fdinfo.  A watch has a descriptor of its own, too, because epoll knows a descriptor once.
 * What epoll reports is a table index with a generation, never a pointer: a watch may
 * have gone while its report was on the way.  The thread takes the counter's value, as the
 * kernel's irqfd does, and runs the callback with no lock held.
 *
 * Locking: lock guards the events, the table, the running watch and every struct watch.
 * Not modelled: the end of an eventfd's last outside descriptor, which the kernel's
 * irqfd notices; ours keeps it alive until it is unwatched.
 */
#include "host/posix/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 16

struct host_event {
	int fd, id;		/* id: the kernel's; -1 where it does not say */
	unsigned references;
	struct host_event *next;
};

struct watch {
	int fd;
	u32 index;
	bool watched;
};
BUILD_ASSERT(sizeof(struct watch) <= sizeof(((struct host_watch *)0)->storage));

struct entry { struct host_watch *watch; u32 generation; };

static struct posix_lock lock;
static struct posix_signal done;
static struct host_event *events;
static struct entry *table;
static u32 table_entries;
static struct host_watch *running;
static int epoll = -1;
static __thread bool is_watcher __attribute__((tls_model("initial-exec")));

static struct watch *watch(struct host_watch *w)
{
	return (struct watch *)w->storage;
}

/* --- events --- */

static bool is_eventfd(int fd)
{
	static const char expected[] = "anon_inode:[eventfd]";
	char path[32], target[sizeof(expected)];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	if (n < 0)		/* no /proc: let it pass */
		return fcntl(fd, F_GETFD) >= 0;
	return n == sizeof(expected) - 1 && !memcmp(target, expected, (size_t)n);
}

/* "eventfd-id: N", since Linux 5.2. */
static int eventfd_id(int fd)
{
	char path[40], info[512];
	const char *id;
	ssize_t n = -1;
	int file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -1;
	n = read(file, info, sizeof(info) - 1);
	close(file);
	info[n < 0 ? 0 : n] = 0;
	id = strstr(info, "eventfd-id:");
	return id ? atoi(id + strlen("eventfd-id:")) : -1;
}

/* The event with e's id: e itself if there is none yet. */
static struct host_event *event_unique(struct host_event *e)
{
	struct host_event *other = NULL;

	posix_lock(&lock);
	if (e->id >= 0)
		for (other = events; other && other->id != e->id; other = other->next)
			;
	if (other) {
		other->references++;
	} else {
		e->next = events;
		events = e;
	}
	posix_unlock(&lock);
	if (!other)
		return e;
	close(e->fd);
	free(e);
	return other;
}

int host_event_get(int fd, struct host_event **ev)
{
	struct host_event *e;
	int copy;

	MAY_SLEEP();
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return errno == EINVAL ? -EBADF : -errno;
	e = is_eventfd(copy) ? malloc(sizeof(*e)) : NULL;
	if (!e) {
		int error = is_eventfd(copy) ? -ENOMEM : -EINVAL;

		close(copy);
		return error;
	}
	*e = (struct host_event){ .fd = copy, .id = eventfd_id(copy), .references = 1 };
	*ev = event_unique(e);
	return 0;
}

void host_event_put(struct host_event *ev)
{
	struct host_event **at;

	MAY_SLEEP();
	if (!ev)
		return;
	posix_lock(&lock);
	if (--ev->references) {
		posix_unlock(&lock);
		return;
	}
	for (at = &events; *at != ev; at = &(*at)->next)
		;
	*at = ev->next;
	posix_unlock(&lock);
	close(ev->fd);
	free(ev);
}

void host_event_signal(struct host_event *ev)
{
	struct pollfd room = { ev->fd, POLLOUT, 0 };
	u64 one = 1;

	/* A full counter is signalled already; writing to it might block. */
	if (poll(&room, 1, 0) == 1 && write(ev->fd, &one, sizeof(one)) < 0)
		return;
}

/* --- watches --- */

static void take_count(int fd)
{
	struct pollfd ready = { fd, POLLIN, 0 };
	u64 count;
	struct iovec iov = { &count, sizeof(count) };

	if (preadv2(fd, &iov, 1, -1, RWF_NOWAIT) >= 0 || errno == EAGAIN)
		return;
	/* An older kernel: nobody else should be reading it, so this does not block. */
	if (poll(&ready, 1, 0) == 1 && read(fd, &count, sizeof(count)) < 0)
		return;
}

/* The watch that epoll's report is about becomes the running one.  NULL: it has gone. */
static struct host_watch *begin_running(u64 report)
{
	u32 index = (u32)report, generation = (u32)(report >> 32);
	struct host_watch *w = NULL;

	posix_lock(&lock);
	if (index < table_entries && table[index].generation == generation)
		w = table[index].watch;
	running = w;
	if (w)
		take_count(watch(w)->fd);
	posix_unlock(&lock);
	return w;
}

static void end_running(void)
{
	posix_lock(&lock);
	running = NULL;
	posix_signal_all(&done);
	posix_unlock(&lock);
}

static void *watcher(void *unused)
{
	struct epoll_event reports[EVENTS_AT_ONCE];

	(void)unused;
	is_watcher = true;
	for (;;) {
		int n = epoll_wait(epoll, reports, EVENTS_AT_ONCE, -1);

		for (int i = 0; i < n; i++) {
			struct host_watch *w = begin_running(reports[i].data.u64);

			if (!w)
				continue;
			w->fn(w);
			end_running();
		}
	}
	return NULL;
}

static void start_watcher(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll >= 0)
		posix_daemon("anykvm-events", watcher);
}

/* A free table index, growing the table when there is none; -ENOMEM.  lock is held. */
static int free_index(void)
{
	struct entry *larger;
	u32 first = table_entries, entries = first ? 2 * first : 16;

	for (u32 n = 0; n < table_entries; n++)
		if (!table[n].watch)
			return (int)n;
	larger = realloc(table, entries * sizeof(*table));
	if (!larger)
		return -ENOMEM;
	memset(larger + table_entries, 0, (entries - table_entries) * sizeof(*table));
	table = larger;
	table_entries = entries;
	return (int)first;
}

int host_event_watch(struct host_event *ev, struct host_watch *w, void (*fn)(struct host_watch *))
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct epoll_event what = { .events = EPOLLIN };
	int fd, index, result = 0;

	MAY_SLEEP();
	pthread_once(&once, start_watcher);
	if (epoll < 0)
		return -EMFILE;
	fd = fcntl(ev->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	w->fn = fn;
	posix_lock(&lock);
	index = free_index();
	if (index >= 0) {
		struct entry *e = &table[index];

		*watch(w) = (struct watch){ fd, (u32)index, true };
		e->watch = w;
		e->generation++;
		what.data.u64 = (u64)e->generation << 32 | (u32)index;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &what) < 0) {
			result = -errno;
			e->watch = NULL;
		}
	} else {
		result = index;
	}
	if (result)
		watch(w)->watched = false;
	posix_unlock(&lock);
	if (result)
		close(fd);
	return result;
}

void host_event_unwatch(struct host_watch *w)
{
	struct watch *own = watch(w);

	MAY_SLEEP();
	posix_lock(&lock);
	if (!own->watched) {
		posix_unlock(&lock);
		return;
	}
	own->watched = false;
	table[own->index].watch = NULL;
	table[own->index].generation++;
	epoll_ctl(epoll, EPOLL_CTL_DEL, own->fd, NULL);
	while (running == w && !is_watcher)
		posix_signal_wait(&done, &lock, HOST_NEVER);
	posix_unlock(&lock);
	close(own->fd);
}
