// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * queue.c - a split virtqueue, from the device's side
 *
 * Locking: the caller's; one thread works on a queue.
 * Reference: Virtual I/O Device (VIRTIO) Version 1.2, "Split Virtqueues".
 * Not modelled: packed virtqueues.
 */
#include "vmm/virtio/queue.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "vmm/machine/memory.h"

#define DESC_NEXT	1u
#define DESC_WRITE	2u
#define DESC_INDIRECT	4u
#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY	1u

struct desc {
	u64 address;
	u32 bytes;
	u16 flags;
	u16 next;
};

/* flags, idx, ring[size], event */
static u16 *ring_word(void *ring, unsigned n)
{
	return (u16 *)ring + n;
}

static u16 *avail_event(struct virtq *q)	/* in used, after its ring */
{
	return (u16 *)((u8 *)q->used + 4 + 8 * q->size);
}

static u16 *used_event(struct virtq *q)		/* in avail, after its ring */
{
	return ring_word(q->avail, 2u + q->size);
}

int virtq_activate(struct virtq *q, const struct memory *m, bool event_idx)
{
	if (q->size == 0 || q->size > VIRTQ_SIZE_MAX || (q->size & (q->size - 1)))
		return -EINVAL;
	if ((q->desc_at & 15) || (q->avail_at & 1) || (q->used_at & 3))
		return -EINVAL;
	q->desc = memory_at(m, q->desc_at, 16ull * q->size);
	q->avail = memory_at(m, q->avail_at, 6 + 2ull * q->size);
	q->used = memory_at(m, q->used_at, 6 + 8ull * q->size);
	if (!q->desc || !q->avail || !q->used)
		return -EINVAL;
	q->memory = m;
	q->avail_next = q->used_next = q->notified = 0;
	q->notified_valid = q->broken = false;
	q->event_idx = event_idx;
	return 0;
}

void virtq_reset(struct virtq *q)
{
	u16 size = VIRTQ_SIZE_MAX;

	*q = (struct virtq){ .size = size };
}

/* One buffer of a chain; -EINVAL breaks the queue. */
static int chain_add(struct virtq *q, struct virtq_chain *c, const struct desc *d)
{
	u32 count = c->readable + c->writable;
	bool writable = d->flags & DESC_WRITE;
	void *at = memory_at(q->memory, d->address, d->bytes);

	if (!at || d->bytes == 0 || count >= VIRTQ_CHAIN_MAX || (!writable && c->writable))
		return -EINVAL;
	c->iov[count] = (struct iovec){ .iov_base = at, .iov_len = d->bytes };
	if (writable) {
		c->writable++;
		c->writable_bytes += d->bytes;
	} else {
		c->readable++;
		c->readable_bytes += d->bytes;
	}
	return c->readable_bytes + c->writable_bytes > 0xffffffffull ? -EINVAL : 0;
}

/* Walk a table from entry n: the ring's own, or an indirect one (which has no further). */
static int chain_walk(struct virtq *q, struct virtq_chain *c, const void *table, u32 size, u32 n,
		      bool indirect)
{
	for (u32 links = 0; links < size; links++) {
		struct desc d;

		if (n >= size)
			return -EINVAL;
		memcpy(&d, (const u8 *)table + 16ull * n, sizeof(d));
		if (d.flags & DESC_INDIRECT) {
			const void *inner = memory_at(q->memory, d.address, d.bytes);

			if (indirect || (d.flags & DESC_NEXT) || !inner || d.bytes == 0 || d.bytes % 16 ||
			    d.bytes / 16 > 0xffff)
				return -EINVAL;
			return chain_walk(q, c, inner, d.bytes / 16, 0, true);
		}
		if (chain_add(q, c, &d))
			return -EINVAL;
		if (!(d.flags & DESC_NEXT))
			return 0;
		n = d.next;
	}
	return -EINVAL;		/* more links than entries: a loop */
}

int virtq_pop(struct virtq *q, struct virtq_chain *c)
{
	u16 index;

	if (q->broken)
		return -EINVAL;
	index = atomic_load_acquire(ring_word(q->avail, 1));
	if (index == q->avail_next)
		return 0;
	if ((u16)(index - q->avail_next) > q->size)
		goto broken;
	c->head = atomic_load_relaxed(ring_word(q->avail, 2u + q->avail_next % q->size));
	c->readable = c->writable = 0;
	c->readable_bytes = c->writable_bytes = 0;
	if (chain_walk(q, c, q->desc, q->size, c->head, false))
		goto broken;
	q->avail_next++;
	return 1;
broken:
	q->broken = true;
	return -EINVAL;
}

void virtq_unpop(struct virtq *q)
{
	q->avail_next--;
}

void virtq_push(struct virtq *q, u16 head, u32 written)
{
	u32 *entry = (u32 *)((u8 *)q->used + 4 + 8u * (q->used_next % q->size));

	atomic_store_relaxed(&entry[0], (u32)head);
	atomic_store_relaxed(&entry[1], written);
	q->used_next++;
	atomic_store_release(ring_word(q->used, 1), q->used_next);
}

bool virtq_wants_interrupt(struct virtq *q)
{
	u16 before = q->notified, event;
	bool valid = q->notified_valid;

	if (q->used_next == before && valid)
		return false;
	atomic_fence();		/* the driver must see our index before we read what it wants */
	if (!q->event_idx) {
		q->notified = q->used_next;
		return !(atomic_load_relaxed(ring_word(q->avail, 0)) & AVAIL_NO_INTERRUPT);
	}
	q->notified = q->used_next;
	q->notified_valid = true;
	event = atomic_load_relaxed(used_event(q));
	return !valid || (u16)(q->used_next - event - 1) < (u16)(q->used_next - before);
}

void virtq_disable_kicks(struct virtq *q)
{
	if (!q->event_idx)
		atomic_store_relaxed(ring_word(q->used, 0), (u16)USED_NO_NOTIFY);
}

bool virtq_enable_kicks(struct virtq *q)
{
	if (q->event_idx)
		atomic_store_relaxed(avail_event(q), q->avail_next);
	else
		atomic_store_relaxed(ring_word(q->used, 0), (u16)0);
	atomic_fence();
	return !q->broken && atomic_load_acquire(ring_word(q->avail, 1)) != q->avail_next;
}

/* Move bytes between flat memory and a run of buffers. */
static u64 iov_move(const struct iovec *iov, u32 count, u64 offset, u8 *flat, u64 bytes, bool to_iov)
{
	u64 done = 0;

	for (u32 n = 0; n < count && done < bytes; n++) {
		u64 part;

		if (offset >= iov[n].iov_len) {
			offset -= iov[n].iov_len;
			continue;
		}
		part = MIN_OF(iov[n].iov_len - offset, bytes - done);
		if (to_iov)
			memcpy((u8 *)iov[n].iov_base + offset, flat + done, part);
		else
			memcpy(flat + done, (u8 *)iov[n].iov_base + offset, part);
		done += part;
		offset = 0;
	}
	return done;
}

u64 iov_read(const struct iovec *iov, u32 count, u64 offset, void *to, u64 bytes)
{
	return iov_move(iov, count, offset, to, bytes, false);
}

u64 iov_write(const struct iovec *iov, u32 count, u64 offset, const void *from, u64 bytes)
{
	return iov_move(iov, count, offset, (u8 *)from, bytes, true);
}
