// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rng.c - virtio entropy device, from the host's getrandom()
 *
 * Locking: the device's thread only.
 * Reference: Virtual I/O Device (VIRTIO) Version 1.2, "Entropy Device".
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "vmm/machine/machine.h"
#include "vmm/machine/report.h"
#include "vmm/virtio/virtio.h"
#include "vmm/virtio/virtio_devices.h"

#define REQUEST_MAX 4096u	/* as much as one request is given; drivers ask for less */

struct rng {
	struct virtio_device v;
	struct virtq_chain chain;
};

static void kick(struct virtio_device *v, unsigned n)
{
	struct rng *g = CONTAINER_OF(v, struct rng, v);
	struct virtq *q = &v->queue[n];
	int r;

	do {
		virtq_disable_kicks(q);
		while ((r = virtq_pop(q, &g->chain)) > 0) {
			u8 bytes[REQUEST_MAX];
			ssize_t got = getrandom(bytes, MIN_OF(sizeof(bytes), g->chain.writable_bytes), 0);

			if (got < 0)
				got = 0;
			iov_write(g->chain.iov + g->chain.readable, g->chain.writable, 0, bytes, (u64)got);
			virtq_push(q, g->chain.head, (u32)got);
		}
	} while (r >= 0 && virtq_enable_kicks(q));
	if (r < 0)
		virtio_broken(v, "a malformed request");
	else
		virtio_notify(v, n);
}

static void reset(struct virtio_device *v)
{
	(void)v;
}

static void destroy(struct virtio_device *v)
{
	loop_destroy(v->loop);
	free(CONTAINER_OF(v, struct rng, v));
}

static const struct virtio_ops ops = { .kick = kick, .reset = reset, .destroy = destroy };

int virtio_rng_create(struct machine *m)
{
	struct rng *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return report_error(-ENOMEM, "entropy device: out of memory");
	g->v.ops = &ops;
	g->v.name = "virtio-rng";
	g->v.id = 4;
	g->v.class_code = 0x00ff00;
	g->v.queues = 1;
	r = loop_create(&g->v.loop);
	return r ? report_error(r, "entropy device: no event loop") : virtio_register(&g->v, m);
}
