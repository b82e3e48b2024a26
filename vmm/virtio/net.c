// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * net.c - virtio network device
 *
 * The guest leaves checksums to us, which are cheaper to make here than there, and need not
 * check ours.  Frames for which the guest has no buffer wait in a backlog; when that is
 * full they are dropped, as a real card does.
 *
 * Locking: the device's thread only.
 * Reference: Virtual I/O Device (VIRTIO) Version 1.2, "Network Device".
 * Not modelled: the control queue, segmentation offload, several queue pairs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/machine.h"
#include "vmm/machine/report.h"
#include "vmm/net/checksum.h"
#include "vmm/net/user.h"
#include "vmm/virtio/virtio.h"
#include "vmm/virtio/virtio_devices.h"

#define F_CSUM		BIT_U64(0)
#define F_GUEST_CSUM	BIT_U64(1)
#define F_MTU		BIT_U64(3)
#define F_MAC		BIT_U64(5)
#define F_STATUS	BIT_U64(16)

#define HDR_NEEDS_CSUM	1u
#define HDR_DATA_VALID	2u

enum { RX, TX };

#define FRAME_MAX	(14u + 4u + USER_NET_MTU)
#define BACKLOG_MAX	1024u		/* frames */

/* struct virtio_net_hdr of a device with VERSION_1 */
struct header {
	u8 flags, gso_type;
	u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
BUILD_ASSERT(sizeof(struct header) == 12);

struct config {
	u8 mac[6];
	u16 status, max_pairs, mtu;
};

struct frame {
	struct frame *next;
	u32 bytes;
	u8 data[];
};

struct net {
	struct virtio_device v;
	struct user_net *user;
	struct virtq_chain chain;
	struct frame *backlog, **backlog_end;
	u32 backlog_frames;
	u64 dropped;
};

/* Put a frame into a buffer of the guest's; false if it offers none. */
static bool deliver(struct net *n, const u8 *frame, u32 bytes)
{
	struct virtq *q = &n->v.queue[RX];
	struct header h = { .num_buffers = 1 };
	struct virtq_chain *c = &n->chain;
	int r = virtq_pop(q, c);

	if (r < 0)
		virtio_broken(&n->v, "a malformed receive buffer");
	if (r <= 0)
		return false;
	if (c->readable || c->writable_bytes < sizeof(h) + (u64)bytes) {
		virtq_push(q, c->head, 0);
		n->dropped++;
		return true;
	}
	if (n->v.features & F_GUEST_CSUM)
		h.flags = HDR_DATA_VALID;
	iov_write(c->iov, c->writable, 0, &h, sizeof(h));
	iov_write(c->iov, c->writable, sizeof(h), frame, bytes);
	virtq_push(q, c->head, (u32)sizeof(h) + bytes);
	return true;
}

static struct frame *backlog_take(struct net *n)
{
	struct frame *f = n->backlog;

	if (f) {
		n->backlog = f->next;
		n->backlog_frames--;
		if (!n->backlog)
			n->backlog_end = &n->backlog;
	}
	return f;
}

static void backlog_add(struct net *n, const u8 *frame, u32 bytes)
{
	struct frame *f = n->backlog_frames < BACKLOG_MAX ? malloc(sizeof(*f) + bytes) : NULL;

	if (!f) {
		n->dropped++;
		return;
	}
	f->next = NULL;
	f->bytes = bytes;
	memcpy(f->data, frame, bytes);
	*n->backlog_end = f;
	n->backlog_end = &f->next;
	n->backlog_frames++;
}

/* The guest has offered buffers: hand over what waits, and ask to be told if some still do. */
static void backlog_deliver(struct net *n)
{
	struct virtq *q = &n->v.queue[RX];

	virtq_disable_kicks(q);
	do {
		while (n->backlog && deliver(n, n->backlog->data, n->backlog->bytes))
			free(backlog_take(n));
	} while (n->backlog && virtq_enable_kicks(q));
	virtio_notify(&n->v, RX);
}

/* A frame for the guest. */
static bool receive(void *owner, const u8 *frame, u32 bytes)
{
	struct net *n = owner;

	if (!virtio_is_active(&n->v) || !n->v.queue[RX].enabled)
		return false;
	if (!n->backlog && deliver(n, frame, bytes)) {
		virtio_notify(&n->v, RX);
		return true;
	}
	backlog_add(n, frame, bytes);
	backlog_deliver(n);
	return true;
}

/* One frame from the guest: copied, checked, then used. */
static void transmit(struct net *n, const struct virtq_chain *c)
{
	u8 frame[FRAME_MAX];
	struct header h;
	u64 bytes;

	if (c->readable_bytes <= sizeof(h) || c->readable_bytes > sizeof(h) + sizeof(frame)) {
		n->dropped++;
		return;
	}
	iov_read(c->iov, c->readable, 0, &h, sizeof(h));
	bytes = iov_read(c->iov, c->readable, sizeof(h), frame, sizeof(frame));
	if ((h.flags & HDR_NEEDS_CSUM) && !checksum_complete(frame, (u32)bytes, h.csum_start, h.csum_offset)) {
		n->dropped++;
		return;
	}
	user_net_send(n->user, frame, (u32)bytes);
}

static void kick(struct virtio_device *v, unsigned queue)
{
	struct net *n = CONTAINER_OF(v, struct net, v);
	struct virtq *q = &v->queue[queue];
	int r = 0;

	if (queue == RX) {
		backlog_deliver(n);
		return;
	}
	do {
		virtq_disable_kicks(q);
		while ((r = virtq_pop(q, &n->chain)) > 0) {
			u16 head = n->chain.head;

			transmit(n, &n->chain);	/* may receive, which uses n->chain */
			virtq_push(q, head, 0);
		}
	} while (r >= 0 && virtq_enable_kicks(q));
	if (r < 0)
		virtio_broken(v, "a malformed transmit buffer");
	else
		virtio_notify(v, TX);
	user_net_poll(n->user);
}

static void reset(struct virtio_device *v)
{
	struct net *n = CONTAINER_OF(v, struct net, v);

	while (n->backlog)
		free(backlog_take(n));
}

static void destroy(struct virtio_device *v)
{
	struct net *n = CONTAINER_OF(v, struct net, v);

	user_net_close(n->user);
	loop_destroy(v->loop);
	free(n);
}

static const struct virtio_ops ops = { .kick = kick, .reset = reset, .destroy = destroy };

int virtio_net_create(struct machine *m, const struct net_options *o)
{
	struct net *n = calloc(1, sizeof(*n));
	struct config c = { .status = 1, .max_pairs = 1, .mtu = USER_NET_MTU };
	int r;

	if (!n)
		return report_error(-ENOMEM, "network: out of memory");
	memcpy(c.mac, o->mac, sizeof(c.mac));
	n->backlog_end = &n->backlog;
	n->v.ops = &ops;
	n->v.name = "virtio-net";
	n->v.id = 1;
	n->v.class_code = 0x020000;
	n->v.queues = 2;
	n->v.offered = F_CSUM | F_GUEST_CSUM | F_MTU | F_MAC | F_STATUS;
	memcpy(n->v.config, &c, sizeof(c));
	n->v.config_bytes = sizeof(c);
	r = loop_create(&n->v.loop);
	if (!r)
		r = user_net_open(&n->user, o, n->v.loop, receive, n);
	if (r) {
		loop_destroy(n->v.loop);
		free(n);
		return r;
	}
	return virtio_register(&n->v, m);
}
