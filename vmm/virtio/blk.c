// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blk.c - virtio block device
 *
 * Requests run concurrently and complete in any order; a flush completes when every write
 * that completed before it was asked for is on stable storage, which is what fdatasync
 * promises.  A driver that did not negotiate FLUSH gets write-through.
 *
 * A host disk that is full does not lose a write: the request waits, and is tried again
 * every second until there is room.
 *
 * Locking: the device's thread only.
 * Reference: Virtual I/O Device (VIRTIO) Version 1.2, "Block Device".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/block/disk.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/report.h"
#include "vmm/virtio/virtio.h"
#include "vmm/virtio/virtio_devices.h"

#define F_SEG_MAX	BIT_U64(2)
#define F_RO		BIT_U64(5)
#define F_BLK_SIZE	BIT_U64(6)
#define F_FLUSH		BIT_U64(9)
#define F_DISCARD	BIT_U64(13)
#define F_WRITE_ZEROES	BIT_U64(14)

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

#define ID_BYTES	20u
#define RANGE_SECTORS_MAX 0x400000u	/* 2 GiB a discard */
#define RETRY_NS	1000000000ull

/* struct virtio_blk_config, little-endian */
struct config {
	u64 capacity;
	u32 size_max, seg_max;
	u16 cylinders;
	u8 heads, sectors;
	u32 blk_size;
	u8 physical_block_exp, alignment_offset;
	u16 min_io_size;
	u32 opt_io_size;
	u8 writeback, unused0;
	u16 num_queues;
	u32 max_discard_sectors, max_discard_seg, discard_sector_alignment;
	u32 max_write_zeroes_sectors, max_write_zeroes_seg;
	u8 write_zeroes_may_unmap, unused1[3];
} __attribute__((packed));
BUILD_ASSERT(sizeof(struct config) == 60);

struct header { u32 type, reserved; u64 sector; };
struct range { u64 sector; u32 sectors, flags; };

struct blk;

/* One request of the guest's, as many as the queue is long. */
struct slot {
	struct disk_request disk;
	struct blk *blk;
	struct virtq_chain chain;
	struct iovec iov[VIRTQ_CHAIN_MAX];
	u32 data_bytes;		/* what a successful read writes */
	bool write_through;	/* flush before completing */
	struct slot *next;	/* free, or waiting for room on the host's disk */
};

struct blk {
	struct virtio_device v;
	struct disk *disk;
	char serial[ID_BYTES];
	struct slot *free, *waiting;
	bool notify_later;	/* inside kick(): one interrupt for all */
	bool resetting;
	bool full;		/* the user has been told */
	struct loop_timer retry;
	struct slot slot[VIRTQ_SIZE_MAX];
};

static void finish(struct slot *s, u8 status, u32 data_bytes)
{
	struct blk *b = s->blk;
	struct virtq_chain *c = &s->chain;

	if (!b->resetting) {
		/* The status byte is the last of the writable ones. */
		iov_write(c->iov + c->readable, c->writable, c->writable_bytes - 1, &status, 1);
		virtq_push(&b->v.queue[0], c->head, data_bytes + 1);
		if (!b->notify_later)
			virtio_notify(&b->v, 0);
	}
	s->next = b->free;
	b->free = s;
}

static void resubmit(struct slot *s)
{
	disk_submit(s->blk->disk, &s->disk);
	disk_kick(s->blk->disk);
}

static void done(struct disk_request *r, int result)
{
	struct slot *s = CONTAINER_OF(r, struct slot, disk);
	struct blk *b = s->blk;

	if ((result == -ENOSPC || result == -EDQUOT) && !b->resetting) {
		if (!b->full)
			report_note("the disk image can't grow: %s; the guest's writes wait until there is room",
				    strerror(-result));
		b->full = true;
		s->next = b->waiting;
		b->waiting = s;
		loop_timer_start(b->v.loop, &b->retry, loop_now() + RETRY_NS);
		return;
	}
	if (result == 0 && s->write_through && r->op != DISK_FLUSH) {
		r->op = DISK_FLUSH;
		resubmit(s);
		return;
	}
	if (result)
		report_note("disk I/O failed: %s", strerror(-result));
	finish(s, result ? S_IOERR : S_OK, result ? 0 : s->data_bytes);
}

static void retry_waiting(struct loop_timer *t)
{
	struct blk *b = CONTAINER_OF(t, struct blk, retry);
	struct slot *s = b->waiting;

	b->waiting = NULL;
	b->full = s != NULL && b->full;
	while (s) {
		struct slot *next = s->next;

		resubmit(s);
		s = next;
	}
}

/* Is [sector, sector + bytes) inside the disk?  Then r is where. */
static bool place(struct blk *b, struct disk_request *r, u64 sector, u64 bytes)
{
	u64 size = disk_bytes(b->disk);

	if (bytes % DISK_SECTOR_BYTES || sector > size / DISK_SECTOR_BYTES ||
	    bytes > size - sector * DISK_SECTOR_BYTES)
		return false;
	r->offset = sector * DISK_SECTOR_BYTES;
	r->bytes = bytes;
	return true;
}

/* The data buffers of a read or write: the chain without header and status. */
static void data_of(struct slot *s, bool write)
{
	const struct virtq_chain *c = &s->chain;
	u64 skip = write ? sizeof(struct header) : 0;
	u64 left = write ? c->readable_bytes - skip : c->writable_bytes - 1;
	const struct iovec *from = write ? c->iov : c->iov + c->readable;

	s->disk.iov = s->iov;
	s->disk.iov_count = 0;
	for (; left; from++) {
		u64 bytes;

		if (skip >= from->iov_len) {
			skip -= from->iov_len;
			continue;
		}
		bytes = MIN_OF(from->iov_len - skip, left);
		s->iov[s->disk.iov_count++] = (struct iovec){ (u8 *)from->iov_base + skip, bytes };
		left -= bytes;
		skip = 0;
	}
}

/* DISCARD and WRITE_ZEROES carry a list of ranges; we offer one a request. */
static u8 start_range(struct slot *s, bool zeroes)
{
	struct blk *b = s->blk;
	struct range range;

	if (s->chain.readable_bytes != sizeof(struct header) + sizeof(range))
		return S_UNSUPP;
	iov_read(s->chain.iov, s->chain.readable, sizeof(struct header), &range, sizeof(range));
	if (range.flags & ~(zeroes ? 1u : 0u))
		return S_UNSUPP;
	if (disk_is_readonly(b->disk) || range.sectors > RANGE_SECTORS_MAX ||
	    !place(b, &s->disk, range.sector, (u64)range.sectors * DISK_SECTOR_BYTES))
		return S_IOERR;
	s->disk.op = zeroes ? DISK_WRITE_ZEROES : DISK_DISCARD;
	s->disk.unmap = range.flags & 1;
	s->write_through = !(b->v.features & F_FLUSH);
	disk_submit(b->disk, &s->disk);
	return S_OK;
}

static u8 start_transfer(struct slot *s, u64 sector, bool write)
{
	struct blk *b = s->blk;
	u64 bytes = write ? s->chain.readable_bytes - sizeof(struct header) : s->chain.writable_bytes - 1;

	if ((write && disk_is_readonly(b->disk)) || !place(b, &s->disk, sector, bytes))
		return S_IOERR;
	s->disk.op = write ? DISK_WRITE : DISK_READ;
	s->data_bytes = write ? 0 : (u32)bytes;
	s->write_through = write && !(b->v.features & F_FLUSH);
	data_of(s, write);
	if (bytes == 0)
		done(&s->disk, 0);
	else
		disk_submit(b->disk, &s->disk);
	return S_OK;
}

/* S_OK: it is on its way, or finished. */
static u8 start(struct slot *s)
{
	struct virtq_chain *c = &s->chain;
	struct header h;

	s->data_bytes = 0;
	s->write_through = false;
	iov_read(c->iov, c->readable, 0, &h, sizeof(h));
	switch (h.type) {
	case T_IN:
		return start_transfer(s, h.sector, false);
	case T_OUT:
		return start_transfer(s, h.sector, true);
	case T_FLUSH:
		s->disk.op = DISK_FLUSH;
		disk_submit(s->blk->disk, &s->disk);
		return S_OK;
	case T_GET_ID:
		if (c->writable_bytes != ID_BYTES + 1)
			return S_UNSUPP;
		iov_write(c->iov + c->readable, c->writable, 0, s->blk->serial, ID_BYTES);
		finish(s, S_OK, ID_BYTES);
		return S_OK;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		return start_range(s, h.type == T_WRITE_ZEROES);
	}
	return S_UNSUPP;
}

static void kick(struct virtio_device *v, unsigned n)
{
	struct blk *b = CONTAINER_OF(v, struct blk, v);
	struct virtq *q = &v->queue[n];
	int r = 0;

	b->notify_later = true;
	do {
		struct slot *s;

		virtq_disable_kicks(q);
		while ((s = b->free) && (r = virtq_pop(q, &s->chain)) > 0) {
			u8 status;

			b->free = s->next;
			if (s->chain.readable_bytes < sizeof(struct header) || s->chain.writable_bytes < 1) {
				r = -EINVAL;
				break;
			}
			status = start(s);
			if (status != S_OK)
				finish(s, status, 0);
		}
		disk_kick(b->disk);
	} while (r >= 0 && virtq_enable_kicks(q) && b->free);
	b->notify_later = false;
	if (r < 0)
		virtio_broken(v, "a malformed request");
	else
		virtio_notify(v, n);
}

static void reset(struct virtio_device *v)
{
	struct blk *b = CONTAINER_OF(v, struct blk, v);

	b->resetting = true;
	loop_timer_stop(v->loop, &b->retry);
	while (b->waiting) {
		struct slot *s = b->waiting;

		b->waiting = s->next;
		finish(s, S_IOERR, 0);
	}
	disk_drain(b->disk);
	b->resetting = false;
	b->free = NULL;
	for (unsigned n = 0; n < VIRTQ_SIZE_MAX; n++) {
		b->slot[n].next = b->free;
		b->free = &b->slot[n];
	}
}

static void destroy(struct virtio_device *v)
{
	struct blk *b = CONTAINER_OF(v, struct blk, v);

	disk_close(b->disk);
	loop_destroy(v->loop);
	free(b);
}

static const struct virtio_ops ops = { .kick = kick, .reset = reset, .destroy = destroy };

int virtio_blk_create(struct machine *m, const struct disk_options *o)
{
	struct blk *b = calloc(1, sizeof(*b));
	struct config c = { .seg_max = VIRTQ_CHAIN_MAX - 2, .blk_size = DISK_SECTOR_BYTES, .num_queues = 1 };
	int r;

	if (!b)
		return report_error(-ENOMEM, "disk %s: out of memory", o->path);
	for (unsigned n = 0; n < VIRTQ_SIZE_MAX; n++) {
		b->slot[n].blk = b;
		b->slot[n].disk.done = done;
		b->slot[n].next = b->free;
		b->free = &b->slot[n];
	}
	memcpy(b->serial, o->serial, strnlen(o->serial, ID_BYTES));
	b->retry.fn = retry_waiting;
	b->v.ops = &ops;
	b->v.name = "virtio-blk";
	b->v.id = 2;
	b->v.class_code = 0x010000;
	b->v.queues = 1;
	r = loop_create(&b->v.loop);
	if (!r)
		r = disk_open(&b->disk, o, b->v.loop);
	if (r) {
		loop_destroy(b->v.loop);
		free(b);
		return r;
	}
	b->v.offered = F_SEG_MAX | F_BLK_SIZE | F_FLUSH;
	if (disk_is_readonly(b->disk))
		b->v.offered |= F_RO;
	if (disk_can_discard(b->disk)) {
		b->v.offered |= F_DISCARD | F_WRITE_ZEROES;
		c.max_discard_sectors = c.max_write_zeroes_sectors = RANGE_SECTORS_MAX;
		c.max_discard_seg = c.max_write_zeroes_seg = 1;
		c.discard_sector_alignment = 8;
		c.write_zeroes_may_unmap = 1;
	}
	c.capacity = disk_bytes(b->disk) / DISK_SECTOR_BYTES;
	memcpy(b->v.config, &c, sizeof(c));
	b->v.config_bytes = sizeof(c);
	return virtio_register(&b->v, m);
}
