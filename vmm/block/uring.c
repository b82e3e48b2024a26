// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * uring.c - disk requests through io_uring
 *
 * Submissions collect in the ring until the kick; completions raise an eventfd that the
 * loop watches.
 *
 * Locking: one thread, the loop's.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/block/engine.h"
#include "vmm/machine/loop.h"

#define RING_ENTRIES 256u

struct uring {
	struct io_uring ring;
	struct loop_watch watch;
	int fd;
	void (*completed)(struct disk_request *r, int result);
};

/* WRITE_ZEROES where the file system can't: done on the spot with plain writes. */
static int zeroes_written(int fd, const struct disk_request *r)
{
	static const u8 zeroes[65536];

	for (u64 done = 0; done < r->bytes;) {
		ssize_t n = pwrite(fd, zeroes, MIN_OF(sizeof(zeroes), r->bytes - done), (off_t)(r->offset + done));

		if (n < 0)
			return -errno;
		done += (u64)n;
	}
	return 0;
}

static void reap(struct uring *u)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		struct disk_request *r = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&u->ring, cqe);
		if (result == -EOPNOTSUPP && r->op == DISK_DISCARD)
			result = 0;	/* a discard is a hint */
		if (result == -EOPNOTSUPP && r->op == DISK_WRITE_ZEROES)
			result = zeroes_written(u->fd, r);
		u->completed(r, result);
	}
}

static void woken(struct loop_watch *w, u32 events)
{
	u64 count;

	(void)events;
	if (read(w->fd, &count, sizeof(count)) == sizeof(count))
		reap(CONTAINER_OF(w, struct uring, watch));
}

static int uring_open(void **state, int fd, struct loop *l, void (*completed)(struct disk_request *, int))
{
	struct uring *u = calloc(1, sizeof(*u));
	int r, wake;

	if (!u)
		return -ENOMEM;
	u->fd = fd;
	u->completed = completed;
	r = io_uring_queue_init(RING_ENTRIES, &u->ring, 0);
	if (r)
		goto free_state;
	wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = wake < 0 ? -errno : io_uring_register_eventfd(&u->ring, wake);
	if (r)
		goto exit_ring;
	u->watch.fn = woken;
	r = loop_watch_add(l, &u->watch, wake, EPOLLIN);
	if (r)
		goto exit_ring;
	*state = u;
	return 0;
exit_ring:
	if (wake >= 0)
		close(wake);
	io_uring_queue_exit(&u->ring);
free_state:
	free(u);
	return r;
}

static void uring_close(void *state)
{
	struct uring *u = state;
	int wake = u->watch.fd;

	loop_watch_remove(&u->watch);
	io_uring_queue_exit(&u->ring);
	close(wake);
	free(u);
}

static void uring_submit(void *state, struct disk_request *r)
{
	struct uring *u = state;
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&u->ring)))
		io_uring_submit(&u->ring);
	switch (r->op) {
	case DISK_READ:
		io_uring_prep_readv(sqe, u->fd, r->iov, r->iov_count, r->offset);
		break;
	case DISK_WRITE:
		io_uring_prep_writev(sqe, u->fd, r->iov, r->iov_count, r->offset);
		break;
	case DISK_FLUSH:
		io_uring_prep_fsync(sqe, u->fd, IORING_FSYNC_DATASYNC);
		break;
	case DISK_DISCARD:
		io_uring_prep_fallocate(sqe, u->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)r->offset, (off_t)r->bytes);
		break;
	case DISK_WRITE_ZEROES:
		io_uring_prep_fallocate(sqe, u->fd,
					(r->unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE,
					(off_t)r->offset, (off_t)r->bytes);
		break;
	}
	io_uring_sqe_set_data(sqe, r);
}

static void uring_kick(void *state)
{
	struct uring *u = state;

	while (io_uring_submit(&u->ring) == -EINTR)
		;
}

static void uring_wait(void *state)
{
	struct uring *u = state;
	struct io_uring_cqe *cqe;

	io_uring_submit(&u->ring);
	if (io_uring_wait_cqe(&u->ring, &cqe) == 0)
		reap(u);
}

const struct engine engine_uring = {
	.name = "io_uring",
	.open = uring_open,
	.close = uring_close,
	.submit = uring_submit,
	.kick = uring_kick,
	.wait = uring_wait,
};
