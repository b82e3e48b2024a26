// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * transport.c - virtio over PCI: registers, notifications, interrupts
 *
 * One memory BAR holds all structures, a page each.  Registers are written by vCPU threads
 * under d->lock; what concerns queues in use is carried over to the device's thread and
 * waited for, so a driver that has seen its reset complete can reuse its memory.
 *
 * Invariants:
 *   1. A queue's configuration does not change while it is enabled.
 *   2. A queue is active only between DRIVER_OK and reset, and only the device's thread
 *      touches an active queue.
 *
 * Locking: d->lock; never held while waiting for the device's thread.
 * Reference: Virtual I/O Device (VIRTIO) Version 1.2, "Virtio Over PCI Bus".
 * Not modelled: the legacy interface, queue reset, notification data.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/atomic.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/report.h"
#include "vmm/virtio/virtio.h"

#define BAR		0u
#define BAR_BYTES	0x8000u
#define AT_COMMON	0x0000u
#define AT_ISR		0x1000u
#define AT_DEVICE	0x2000u
#define AT_NOTIFY	0x3000u
#define AT_MSIX		0x4000u
#define AT_PBA		0x5000u
#define NOTIFY_BYTES	4u		/* a queue's share of the notification page */

enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };

static struct virtio_device *of_pci(struct pci_device *p)
{
	return CONTAINER_OF(p, struct virtio_device, pci);
}

/* --- the device's thread ---------------------------------------------------------- */

struct errand {
	struct loop_task task;
	struct virtio_device *device;
	void (*fn)(struct virtio_device *d);
	pthread_mutex_t lock;
	pthread_cond_t done_changed;
	bool done;
};

static void errand_run(struct loop_task *t)
{
	struct errand *e = CONTAINER_OF(t, struct errand, task);

	e->fn(e->device);
	pthread_mutex_lock(&e->lock);
	e->done = true;
	pthread_cond_signal(&e->done_changed);
	pthread_mutex_unlock(&e->lock);
}

/* Have the device's thread do something, and wait for it. */
static void on_device_thread(struct virtio_device *d, void (*fn)(struct virtio_device *d))
{
	struct errand e = { .task.fn = errand_run, .device = d, .fn = fn,
			    .lock = PTHREAD_MUTEX_INITIALIZER, .done_changed = PTHREAD_COND_INITIALIZER };

	loop_post(d->loop, &e.task);
	pthread_mutex_lock(&e.lock);
	while (!e.done)
		pthread_cond_wait(&e.done_changed, &e.lock);
	pthread_mutex_unlock(&e.lock);
	pthread_cond_destroy(&e.done_changed);
	pthread_mutex_destroy(&e.lock);
}

bool virtio_is_active(const struct virtio_device *d)
{
	return (atomic_load_acquire(&d->status) & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET)) ==
	       VIRTIO_STATUS_DRIVER_OK;
}

static void kicked(struct loop_watch *w, u32 events)
{
	struct virtio_device *d = CONTAINER_OF(w, __typeof__(((struct virtio_device *)0)->kick[0]), watch)->device;
	unsigned n = (unsigned)((__typeof__(&d->kick[0]))w - d->kick);
	u64 count;

	(void)events;
	if (read(w->fd, &count, sizeof(count)) == sizeof(count) && virtio_is_active(d) && d->queue[n].enabled)
		d->ops->kick(d, n);
}

void virtio_self_kick(struct virtio_device *d, unsigned n)
{
	u64 one = 1;

	if (write(d->kick[n].watch.fd, &one, sizeof(one)) != sizeof(one))
		report_note("%s: a notification was lost", d->name);
}

static void activate(struct virtio_device *d)
{
	for (unsigned n = 0; n < d->queues; n++) {
		struct virtq *q = &d->queue[n];

		if (q->enabled && virtq_activate(q, &d->machine->memory, d->features & VIRTIO_F_EVENT_IDX)) {
			virtio_broken(d, "its rings are not in memory");
			return;
		}
	}
	atomic_fetch_or(&d->status, VIRTIO_STATUS_DRIVER_OK);
	if (d->ops->activate)
		d->ops->activate(d);
	/* The driver may have filled queues before it was ready. */
	for (unsigned n = 0; n < d->queues; n++)
		if (d->queue[n].enabled && virtio_is_active(d))
			d->ops->kick(d, n);
}

static void deactivate(struct virtio_device *d)
{
	atomic_store_release(&d->status, 0u);
	d->ops->reset(d);
	for (unsigned n = 0; n < d->queues; n++)
		virtq_reset(&d->queue[n]);
}

static void reset(struct virtio_device *d)
{
	on_device_thread(d, deactivate);
	pthread_mutex_lock(&d->lock);
	d->features = 0;
	d->device_select = d->driver_select = d->queue_select = 0;
	d->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned n = 0; n < VIRTIO_QUEUES_MAX; n++)
		d->queue_vector[n] = VIRTIO_NO_VECTOR;
	pthread_mutex_unlock(&d->lock);
	atomic_store_release(&d->isr, 0u);
	pci_intx_set(&d->pci, false);
}

/* --- interrupts ------------------------------------------------------------------- */

static void interrupt(struct virtio_device *d, u16 vector, u32 isr)
{
	if (pci_msix_enabled(&d->pci)) {
		if (vector != VIRTIO_NO_VECTOR)
			pci_msix_fire(&d->pci, vector);
		return;
	}
	atomic_fetch_or(&d->isr, isr);
	pci_intx_set(&d->pci, true);
}

void virtio_notify(struct virtio_device *d, unsigned n)
{
	if (virtq_wants_interrupt(&d->queue[n]))
		interrupt(d, atomic_load_relaxed(&d->queue_vector[n]), 1);
}

void virtio_config_changed(struct virtio_device *d)
{
	pthread_mutex_lock(&d->lock);
	d->config_generation++;
	pthread_mutex_unlock(&d->lock);
	if (virtio_is_active(d))
		interrupt(d, atomic_load_relaxed(&d->config_vector), 2);
}

void virtio_broken(struct virtio_device *d, const char *why)
{
	report_note("%s: the guest's driver broke the rules (%s); it needs to reset the device", d->name, why);
	if (atomic_fetch_or(&d->status, VIRTIO_STATUS_NEEDS_RESET) & VIRTIO_STATUS_DRIVER_OK)
		interrupt(d, atomic_load_relaxed(&d->config_vector), 2);
}

/* --- registers --------------------------------------------------------------------- */

static u64 offered(const struct virtio_device *d)
{
	return d->offered | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT | VIRTIO_F_EVENT_IDX;
}

static void status_write(struct virtio_device *d, u8 value)
{
	u32 before = atomic_load_acquire(&d->status);
	bool ok;

	if (value == 0) {
		reset(d);
		return;
	}
	value &= (u8)~VIRTIO_STATUS_NEEDS_RESET;	/* the device's to set */
	if ((value & VIRTIO_STATUS_FEATURES_OK) && !(before & VIRTIO_STATUS_FEATURES_OK)) {
		pthread_mutex_lock(&d->lock);
		ok = !(d->features & ~offered(d)) && (d->features & VIRTIO_F_VERSION_1);
		pthread_mutex_unlock(&d->lock);
		if (!ok)
			value &= (u8)~VIRTIO_STATUS_FEATURES_OK;
	}
	if ((value & VIRTIO_STATUS_DRIVER_OK) && !(before & VIRTIO_STATUS_DRIVER_OK)) {
		if (!(value & before & VIRTIO_STATUS_FEATURES_OK))
			return;
		atomic_fetch_or(&d->status, value & ~VIRTIO_STATUS_DRIVER_OK);
		on_device_thread(d, activate);
		return;
	}
	/* Bits are only ever added, until a reset. */
	atomic_fetch_or(&d->status, value & ~VIRTIO_STATUS_DRIVER_OK);
}

static u16 vector_checked(const struct virtio_device *d, u16 vector)
{
	return vector < d->pci.msix.vectors ? vector : VIRTIO_NO_VECTOR;
}

static void address_half(u64 *address, bool high, u32 value)
{
	*address = high ? (*address & 0xffffffffull) | (u64)value << 32 : (*address & ~0xffffffffull) | value;
}

/* Common configuration: offsets as in the specification's struct virtio_pci_common_cfg. */
static u64 common_read(struct virtio_device *d, u64 offset)
{
	struct virtq *q = d->queue_select < d->queues ? &d->queue[d->queue_select] : NULL;

	switch (offset) {
	case 0: return d->device_select;
	case 4: return d->device_select < 2 ? (u32)(offered(d) >> (32 * d->device_select)) : 0;
	case 8: return d->driver_select;
	case 12: return d->driver_select < 2 ? (u32)(d->features >> (32 * d->driver_select)) : 0;
	case 16: return d->config_vector;
	case 18: return d->queues;
	case 20: return atomic_load_acquire(&d->status);
	case 21: return d->config_generation;
	case 22: return d->queue_select;
	}
	if (!q)
		return 0;
	switch (offset) {
	case 24: return q->size;
	case 26: return d->queue_vector[d->queue_select];
	case 28: return q->enabled;
	case 30: return d->queue_select;	/* queue_notify_off */
	case 32: return (u32)q->desc_at;
	case 36: return q->desc_at >> 32;
	case 40: return (u32)q->avail_at;
	case 44: return q->avail_at >> 32;
	case 48: return (u32)q->used_at;
	case 52: return q->used_at >> 32;
	}
	return 0;
}

static void queue_write(struct virtio_device *d, u64 offset, u32 value)
{
	struct virtq *q = &d->queue[d->queue_select];

	if (offset == 26) {
		atomic_store_relaxed(&d->queue_vector[d->queue_select], vector_checked(d, (u16)value));
		return;
	}
	if (q->enabled)		/* frozen until reset */
		return;
	switch (offset) {
	case 24:
		if (value && value <= VIRTQ_SIZE_MAX && !(value & (value - 1)))
			q->size = (u16)value;
		break;
	case 28: q->enabled = value == 1; break;
	case 32: case 36: address_half(&q->desc_at, offset == 36, value); break;
	case 40: case 44: address_half(&q->avail_at, offset == 44, value); break;
	case 48: case 52: address_half(&q->used_at, offset == 52, value); break;
	}
}

static void common_write(struct virtio_device *d, u64 offset, u32 value)
{
	u32 status = atomic_load_acquire(&d->status);

	if (offset == 20) {
		status_write(d, (u8)value);
		return;
	}
	pthread_mutex_lock(&d->lock);
	switch (offset) {
	case 0: d->device_select = value; break;
	case 8: d->driver_select = value; break;
	case 12:
		if (d->driver_select < 2 && !(status & VIRTIO_STATUS_FEATURES_OK)) {
			unsigned shift = 32 * d->driver_select;

			d->features = (d->features & ~(0xffffffffull << shift)) | (u64)value << shift;
		}
		break;
	case 16: atomic_store_relaxed(&d->config_vector, vector_checked(d, (u16)value)); break;
	case 22: d->queue_select = value & 0xffff; break;
	default:
		if (d->queue_select < d->queues && !(status & VIRTIO_STATUS_DRIVER_OK))
			queue_write(d, offset, value);
		else if (d->queue_select < d->queues && offset == 26)
			queue_write(d, offset, value);
	}
	pthread_mutex_unlock(&d->lock);
}

static u64 bar_read(struct pci_device *p, unsigned bar, u64 offset, unsigned size)
{
	struct virtio_device *d = of_pci(p);
	u64 value = 0;

	(void)bar;
	if (offset < AT_ISR) {
		pthread_mutex_lock(&d->lock);
		value = common_read(d, offset - AT_COMMON);
		pthread_mutex_unlock(&d->lock);
	} else if (offset == AT_ISR) {
		value = atomic_exchange(&d->isr, 0u);
		pci_intx_set(p, false);
	} else if (offset >= AT_DEVICE && offset + size <= AT_DEVICE + d->config_bytes) {
		pthread_mutex_lock(&d->lock);
		memcpy(&value, d->config + (offset - AT_DEVICE), size);
		pthread_mutex_unlock(&d->lock);
	}
	return value;
}

static void bar_write(struct pci_device *p, unsigned bar, u64 offset, unsigned size, u64 value)
{
	struct virtio_device *d = of_pci(p);

	(void)bar;
	if (offset < AT_ISR) {
		common_write(d, offset - AT_COMMON, (u32)value);
		if (size == 8)
			common_write(d, offset - AT_COMMON + 4, (u32)(value >> 32));
	} else if (offset >= AT_NOTIFY && offset < AT_NOTIFY + NOTIFY_BYTES * d->queues) {
		/* Seen only where the eventfd is not asked first. */
		virtio_self_kick(d, (unsigned)(offset - AT_NOTIFY) / NOTIFY_BYTES);
	} else if (d->ops->config_written && offset >= AT_DEVICE && offset + size <= AT_DEVICE + d->config_bytes) {
		pthread_mutex_lock(&d->lock);
		memcpy(d->config + (offset - AT_DEVICE), &value, size);
		pthread_mutex_unlock(&d->lock);
		on_device_thread(d, d->ops->config_written);
	}
}

static void doorbells_set(struct virtio_device *d, u64 base)
{
	for (unsigned n = 0; n < d->queues; n++) {
		u64 at = AT_NOTIFY + NOTIFY_BYTES * n;
		int fd = d->kick[n].watch.fd;

		if (d->doorbell_base != PCI_UNMAPPED)
			machine_doorbell_remove(d->machine, false, d->doorbell_base + at, 0, NULL, fd);
		if (base != PCI_UNMAPPED)
			machine_doorbell_add(d->machine, false, base + at, 0, NULL, fd);
	}
	d->doorbell_base = base;
}

static void bar_moved(struct pci_device *p, unsigned bar, u64 address)
{
	if (bar == BAR)
		doorbells_set(of_pci(p), address);
}

/* --- the window in configuration space ("PCI configuration access capability") ------ */

static u8 *window_of(struct pci_device *p)
{
	unsigned at = 0x34;

	while (p->config[at]) {
		at = p->config[at];
		if (p->config[at] == 9 && p->config[at + 3] == CAP_PCI)
			return p->config + at;
		at += 1;
	}
	return NULL;
}

static bool window_access(struct pci_device *p, unsigned offset, unsigned size, u64 *at)
{
	const u8 *cap = window_of(p);
	u32 from, bytes;

	if (!cap || offset != (unsigned)(cap - p->config) + 16)
		return false;
	memcpy(&from, cap + 8, sizeof(from));
	memcpy(&bytes, cap + 12, sizeof(bytes));
	if (cap[4] != BAR || bytes != size || (from & (size - 1)) || from >= AT_MSIX)
		return false;
	*at = from;
	return true;
}

static bool config_read(struct pci_device *p, unsigned offset, unsigned size, u32 *value)
{
	u64 at;

	if (!window_access(p, offset, size, &at))
		return false;
	*value = (u32)bar_read(p, BAR, at, size);
	return true;
}

static bool config_write(struct pci_device *p, unsigned offset, unsigned size, u32 value)
{
	u64 at;

	if (!window_access(p, offset, size, &at))
		return false;
	bar_write(p, BAR, at, size, value);
	return true;
}

static void pci_reset(struct pci_device *p)
{
	reset(of_pci(p));
}

static void pci_destroy(struct pci_device *p)
{
	struct virtio_device *d = of_pci(p);

	reset(d);
	loop_thread_stop(d->loop);
	for (unsigned n = 0; n < d->queues; n++) {
		loop_watch_remove(&d->kick[n].watch);
		close(d->kick[n].watch.fd);
	}
	pthread_mutex_destroy(&d->lock);
	d->ops->destroy(d);
}

static const struct pci_ops pci_ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.bar_moved = bar_moved,
	.config_read = config_read,
	.config_write = config_write,
	.reset = pci_reset,
	.destroy = pci_destroy,
};

/* --- making one --------------------------------------------------------------------- */

/* struct virtio_pci_cap after its two header bytes. */
static int capability_add(struct virtio_device *d, u8 type, u32 offset, u32 bytes, u32 extra, u8 length)
{
	u8 body[18] = { 0 };

	body[0] = length;	/* cap_len */
	body[1] = type;
	body[2] = BAR;
	memcpy(body + 6, &offset, 4);
	memcpy(body + 10, &bytes, 4);
	memcpy(body + 14, &extra, 4);
	return pci_add_capability(&d->pci, 9, body, length - 2u);
}

static int describe(struct virtio_device *d)
{
	static const u8 all_ones[12] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct pci_identity id = { .vendor = 0x1af4, .device = (u16)(0x1040 + d->id),
					 .subsystem_vendor = 0x1af4, .subsystem = d->id,
					 .class_code = d->class_code, .revision = 1 };
	int window;

	pci_device_init(&d->pci, &pci_ops, d->name, &id);
	pci_add_bar(&d->pci, BAR, BAR_BYTES, PCI_BAR_64);
	if (capability_add(d, CAP_COMMON, AT_COMMON, 56, 0, 16) < 0 ||
	    capability_add(d, CAP_ISR, AT_ISR, 1, 0, 16) < 0 ||
	    (d->config_bytes && capability_add(d, CAP_DEVICE, AT_DEVICE, d->config_bytes, 0, 16) < 0) ||
	    capability_add(d, CAP_NOTIFY, AT_NOTIFY, NOTIFY_BYTES * d->queues, NOTIFY_BYTES, 20) < 0)
		return -ENOSPC;
	window = capability_add(d, CAP_PCI, 0, 0, 0, 20);
	if (window < 0)
		return window;
	pci_set_writable(&d->pci, (unsigned)window + 4, all_ones, 1);	/* bar */
	pci_set_writable(&d->pci, (unsigned)window + 8, all_ones, 12);	/* offset, length, data */
	return pci_add_msix(&d->pci, BAR, AT_MSIX, AT_PBA, d->queues + 1);
}

int virtio_register(struct virtio_device *d, struct machine *m)
{
	int r;

	d->machine = m;
	d->doorbell_base = PCI_UNMAPPED;
	d->config_vector = VIRTIO_NO_VECTOR;
	pthread_mutex_init(&d->lock, NULL);
	for (unsigned n = 0; n < VIRTIO_QUEUES_MAX; n++) {
		d->queue_vector[n] = VIRTIO_NO_VECTOR;
		virtq_reset(&d->queue[n]);
	}
	for (unsigned n = 0; n < d->queues; n++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0)
			return report_error(-errno, "%s: no eventfd: %s", d->name, strerror(errno));
		d->kick[n].device = d;
		d->kick[n].watch.fn = kicked;
		r = loop_watch_add(d->loop, &d->kick[n].watch, fd, EPOLLIN);
		if (r)
			return report_error(r, "%s: %s", d->name, strerror(-r));
	}
	r = describe(d);
	if (!r)
		r = loop_thread_start(d->loop, d->name);
	if (!r)
		r = pci_register(&m->pci, &d->pci, -1);
	return r ? report_error(r, "%s: no place on the PCI bus: %s", d->name, strerror(-r)) : 0;
}
