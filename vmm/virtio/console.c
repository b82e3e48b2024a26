// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * console.c - virtio console: one port, on the user's terminal
 *
 * Bytes from the terminal wait in a small buffer until the guest offers room; bytes from
 * the guest wait in its own queue until the terminal has room.
 *
 * Locking: the device's thread, but for the input buffer, which c->lock guards: the terminal
 * fills it from the machine's loop.
 * Reference: Virtual I/O Device (VIRTIO) Version 1.2, "Console Device".
 * Not modelled: several ports, the size of the terminal.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/machine.h"
#include "vmm/machine/report.h"
#include "vmm/machine/terminal.h"
#include "vmm/virtio/virtio.h"
#include "vmm/virtio/virtio_devices.h"

enum { RX, TX };

#define INPUT_BYTES 256u
#define OUTPUT_BYTES 4096u

struct console {
	struct virtio_device v;
	struct terminal *terminal;
	struct virtq_chain chain;
	u64 sent;		/* bytes of the chain at the head of TX that the terminal has */
	pthread_mutex_t lock;
	u8 input[INPUT_BYTES];
	u32 input_bytes;
};

static size_t typed(void *owner, const u8 *bytes, size_t n)
{
	struct console *c = owner;

	pthread_mutex_lock(&c->lock);
	n = MIN_OF(n, INPUT_BYTES - c->input_bytes);
	memcpy(c->input + c->input_bytes, bytes, n);
	c->input_bytes += (u32)n;
	pthread_mutex_unlock(&c->lock);
	if (n)
		virtio_self_kick(&c->v, RX);
	return n;
}

static void drained(void *owner)
{
	virtio_self_kick(&((struct console *)owner)->v, TX);
}

static int receive(struct console *c)
{
	struct virtq *q = &c->v.queue[RX];
	bool moved = false;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	while (c->input_bytes && (r = virtq_pop(q, &c->chain)) > 0) {
		u64 n = iov_write(c->chain.iov + c->chain.readable, c->chain.writable, 0, c->input, c->input_bytes);

		memmove(c->input, c->input + n, c->input_bytes - n);
		c->input_bytes -= (u32)n;
		virtq_push(q, c->chain.head, (u32)n);
		moved = true;
	}
	pthread_mutex_unlock(&c->lock);
	if (moved) {
		virtio_notify(&c->v, RX);
		terminal_input_wanted(c->terminal);
	}
	return r;
}

/* 1: the terminal is full, and drained() will come. */
static int transmit(struct console *c)
{
	struct virtq *q = &c->v.queue[TX];
	int r;

	while ((r = virtq_pop(q, &c->chain)) > 0) {
		while (c->sent < c->chain.readable_bytes) {
			u8 bytes[OUTPUT_BYTES];
			u64 n = iov_read(c->chain.iov, c->chain.readable, c->sent, bytes, sizeof(bytes));
			u64 took = terminal_write(c->terminal, bytes, n);

			c->sent += took;
			if (took < n) {
				virtq_unpop(q);
				return 1;
			}
		}
		c->sent = 0;
		virtq_push(q, c->chain.head, 0);
	}
	return r;
}

static void kick(struct virtio_device *v, unsigned n)
{
	struct console *c = CONTAINER_OF(v, struct console, v);
	int r;

	if (n == RX) {
		r = receive(c);
	} else {
		do
			r = transmit(c);
		while (r == 0 && virtq_enable_kicks(&v->queue[TX]));
		virtio_notify(v, TX);
	}
	if (r < 0)
		virtio_broken(v, "a malformed buffer");
}

static void reset(struct virtio_device *v)
{
	CONTAINER_OF(v, struct console, v)->sent = 0;
}

static void destroy(struct virtio_device *v)
{
	struct console *c = CONTAINER_OF(v, struct console, v);

	pthread_mutex_destroy(&c->lock);
	loop_destroy(v->loop);
	free(c);
}

static const struct virtio_ops ops = { .kick = kick, .reset = reset, .destroy = destroy };

int virtio_console_create(struct machine *m, struct terminal *t)
{
	struct console *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return report_error(-ENOMEM, "console: out of memory");
	c->terminal = t;
	pthread_mutex_init(&c->lock, NULL);
	c->v.ops = &ops;
	c->v.name = "virtio-console";
	c->v.id = 3;
	c->v.class_code = 0x078000;
	c->v.queues = 2;
	r = loop_create(&c->v.loop);
	if (!r)
		r = virtio_register(&c->v, m);
	if (!r)
		terminal_attach(t, &(struct terminal_port){ .owner = c, .input = typed, .drained = drained });
	return r;
}
