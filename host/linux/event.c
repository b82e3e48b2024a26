// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * event.c - eventfds
 *
 * An event is the eventfd's open file: the same however often it is asked for.  A watch
 * hangs in its wait queue and takes the count when it is woken, under the queue's lock and
 * with interrupts off; so removing it from the queue waits for a callback that runs.
 *
 * Not modelled: the end of an eventfd's last outside descriptor; ours keeps it alive
 * until it is unwatched.
 */
#include <linux/build_bug.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/wait.h>

#include "host/host.h"
#include "host/linux/compat.h"

struct watch {
	struct file *file;
	struct eventfd_ctx *ctx;
	wait_queue_head_t *head;
	wait_queue_entry_t entry;
	poll_table poll;
};
static_assert(sizeof(struct watch) <= sizeof(((struct host_watch *)0)->storage));

static struct file *file_of(struct host_event *ev)
{
	return (struct file *)ev;
}

static struct watch *watch(struct host_watch *w)
{
	return (struct watch *)w->storage;
}

int host_event_get(int fd, struct host_event **ev)
{
	struct file *file = eventfd_fget(fd);

	if (IS_ERR(file))
		return PTR_ERR(file);
	*ev = (struct host_event *)file;
	return 0;
}

void host_event_put(struct host_event *ev)
{
	if (ev)
		fput(file_of(ev));
}

void host_event_signal(struct host_event *ev)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fileget(file_of(ev));

	compat_eventfd_signal(ctx);
	eventfd_ctx_put(ctx);
}

static int woken(wait_queue_entry_t *entry, unsigned mode, int sync, void *key)
{
	struct watch *own = container_of(entry, struct watch, entry);
	struct host_watch *w = container_of((u64 *)own, struct host_watch, storage[0]);
	u64 count;

	if (!(key_to_poll(key) & EPOLLIN))
		return 0;
	eventfd_ctx_do_read(own->ctx, &count);
	w->fn(w);
	return 1;
}

static void queue_found(struct file *file, wait_queue_head_t *head, poll_table *poll)
{
	struct watch *own = container_of(poll, struct watch, poll);

	own->head = head;
	add_wait_queue_priority(head, &own->entry);
}

int host_event_watch(struct host_event *ev, struct host_watch *w, void (*fn)(struct host_watch *))
{
	struct watch *own = watch(w);
	__poll_t ready;

	memset(own, 0, sizeof(*own));
	own->ctx = eventfd_ctx_fileget(file_of(ev));
	if (IS_ERR(own->ctx))
		return PTR_ERR(own->ctx);
	own->file = get_file(file_of(ev));
	w->fn = fn;
	init_waitqueue_func_entry(&own->entry, woken);
	init_poll_funcptr(&own->poll, queue_found);
	ready = vfs_poll(own->file, &own->poll);
	if (ready & EPOLLIN)	/* signalled before we watched */
		fn(w);
	return 0;
}

void host_event_unwatch(struct host_watch *w)
{
	struct watch *own = watch(w);
	u64 count;

	if (!own->file)
		return;
	eventfd_ctx_remove_wait_queue(own->ctx, &own->entry, &count);
	eventfd_ctx_put(own->ctx);
	fput(own->file);
	own->file = NULL;
}
