/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio.h - a virtio device, and its place on the PCI bus
 *
 * A device fills in struct virtio_device, calls virtio_register(), and from then on has a
 * thread of its own (device->loop) on which all its callbacks are called: kicks, activation,
 * reset.  So a device needs no lock for its queues.
 *
 * Reference: Virtual I/O Device (VIRTIO) Version 1.2, "Virtio Over PCI Bus".
 */
#ifndef VMM_VIRTIO_VIRTIO_H
#define VMM_VIRTIO_VIRTIO_H

#include <pthread.h>

#include "base/types.h"
#include "vmm/bus/pci.h"
#include "vmm/machine/loop.h"
#include "vmm/virtio/queue.h"

struct machine;
struct virtio_device;

#define VIRTIO_QUEUES_MAX	8u
#define VIRTIO_CONFIG_BYTES	64u
#define VIRTIO_NO_VECTOR	0xffffu

#define VIRTIO_F_INDIRECT	BIT_U64(28)
#define VIRTIO_F_EVENT_IDX	BIT_U64(29)
#define VIRTIO_F_VERSION_1	BIT_U64(32)

#define VIRTIO_STATUS_DRIVER_OK	4u
#define VIRTIO_STATUS_FEATURES_OK 8u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u

struct virtio_ops {
	/* The driver made buffers available on queue n.  The device's thread. */
	void (*kick)(struct virtio_device *d, unsigned n);
	/* The driver is ready: d->features are final.  The device's thread.  May be NULL. */
	void (*activate)(struct virtio_device *d);
	/* Forget everything in flight; no buffer is touched after this.  The device's thread. */
	void (*reset)(struct virtio_device *d);
	/* The driver wrote configuration space (d->config has it).  May be NULL: read-only. */
	void (*config_written)(struct virtio_device *d);
	/* Free it, its loop too.  Its thread is gone. */
	void (*destroy)(struct virtio_device *d);
};

struct virtio_device {
	/* Filled in by the device. */
	const struct virtio_ops *ops;
	const char *name;
	u16	id;			/* virtio device id: 1 network, 2 block, ... */
	u32	class_code;		/* PCI's */
	unsigned queues;
	u64	offered;		/* features beyond those of every device here */
	u8	config[VIRTIO_CONFIG_BYTES];	/* device configuration */
	u32	config_bytes;
	struct loop *loop;		/* what its thread will run */

	/* The transport's. */
	struct pci_device pci;
	struct machine *machine;
	struct virtq queue[VIRTIO_QUEUES_MAX];
	u64	features;		/* negotiated */

	pthread_mutex_t lock;		/* the fields below, and queue configuration */
	u32	status;			/* [any] atomic */
	u32	device_select, driver_select, queue_select;
	u16	config_vector, queue_vector[VIRTIO_QUEUES_MAX];
	u8	config_generation;
	u32	isr;			/* [any] atomic */
	u64	doorbell_base;		/* where the eventfds are registered, or PCI_UNMAPPED */
	struct {
		struct loop_watch watch;
		struct virtio_device *device;
	} kick[VIRTIO_QUEUES_MAX];
};

/* Start the thread and put the device on m's PCI bus.  0 or -errno having said why. */
int  virtio_register(struct virtio_device *d, struct machine *m);

/* From the device's thread, after virtq_push(): interrupt if the driver wants it. */
void virtio_notify(struct virtio_device *d, unsigned n);
/* Configuration space changed. */
void virtio_config_changed(struct virtio_device *d);
/* The driver broke the rules on some queue: ask it for a reset. */
void virtio_broken(struct virtio_device *d, const char *why);
bool virtio_is_active(const struct virtio_device *d);
/* Call the kick callback of queue n soon, as if the driver had. */
void virtio_self_kick(struct virtio_device *d, unsigned n);

#endif
