/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * queue.h - a split virtqueue, from the device's side
 *
 * The rings are in guest memory, which the guest may change at any moment: every field is
 * read once, checked, and then used.  A driver that breaks the rules makes the queue broken;
 * it then yields nothing until reset, and the device asks for that reset.
 *
 * Invariants while a queue is active:
 *   1. desc, avail and used point at RAM of the full ring sizes.
 *   2. every iovec of a chain lies in RAM, and their lengths add up to less than 4 GiB.
 *   3. a chain has at most VIRTQ_CHAIN_MAX buffers; readable ones come first.
 *
 * Reference: Virtual I/O Device (VIRTIO) Version 1.2, "Split Virtqueues".
 */
#ifndef VMM_VIRTIO_QUEUE_H
#define VMM_VIRTIO_QUEUE_H

#include <sys/uio.h>

#include "base/types.h"

struct memory;

#define VIRTQ_SIZE_MAX	256u
#define VIRTQ_CHAIN_MAX	256u

struct virtq {
	/* What the driver configured; frozen while enabled. */
	u16	size;
	bool	enabled;
	gpa_t	desc_at, avail_at, used_at;

	/* While active. */
	const struct memory *memory;
	void	*desc, *avail, *used;
	u16	avail_next;	/* the next entry of avail to take */
	u16	used_next;	/* the next entry of used to fill */
	u16	notified;	/* used_next at the last notification */
	bool	event_idx;	/* VIRTIO_F_EVENT_IDX was negotiated */
	bool	notified_valid;
	bool	broken;
};

struct virtq_chain {
	u16	head;		/* names it to virtq_push() */
	u32	readable, writable;	/* how many buffers of each */
	u64	readable_bytes, writable_bytes;
	struct iovec iov[VIRTQ_CHAIN_MAX];	/* the readable ones first */
};

/* Find the rings.  0; -EINVAL if they are not in RAM, misaligned, or of a bad size. */
int  virtq_activate(struct virtq *q, const struct memory *m, bool event_idx);
void virtq_reset(struct virtq *q);

/* The next chain the driver offers.  1, 0 if there is none, -EINVAL: the queue is broken now. */
int  virtq_pop(struct virtq *q, struct virtq_chain *c);
/* Put the chain that was popped last back, to be popped again. */
void virtq_unpop(struct virtq *q);

/* Give it back: so many bytes were written into its writable buffers. */
void virtq_push(struct virtq *q, u16 head, u32 written);

/* After pushes: does the driver want an interrupt? */
bool virtq_wants_interrupt(struct virtq *q);

/*
 * Notifications from the driver off while a queue is worked on, and on again.  virtq_enable
 * returns true if something came in meanwhile: work on.
 */
void virtq_disable_kicks(struct virtq *q);
bool virtq_enable_kicks(struct virtq *q);

/* Copy between buffers and flat memory, from a byte offset; how many bytes were moved. */
u64  iov_read(const struct iovec *iov, u32 count, u64 offset, void *to, u64 bytes);
u64  iov_write(const struct iovec *iov, u32 count, u64 offset, const void *from, u64 bytes);

#endif
