// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * eventfd.c - event notifiers: from the guest to a client's thread and back
 *
 * An ioeventfd is a device whose only behaviour is to signal an event when it is written
 * to.  An irqfd is the inverse: signalling its event pulses a GSI.
 *
 * A level-triggered irqfd ("resample") raises its GSI and leaves it so.  When the guest
 * acknowledges the interrupt the GSI goes down and the irqfd's second event is signalled;
 * the client looks at its device and, if that still wants attention, signals again.
 *
 * Injection runs in whatever context signals the event, and asks for the GSI's route then:
 * a change of routing needs no change here.
 *
 * Invariants:
 *   1. An irqfd in the list is watched; one that is not is not, and nobody runs its
 *      callback any more.
 *   2. source 2 of a GSI is up only while a resampling irqfd for it exists.
 *
 * Locking: vm->lock guards both lists and changes to them; resample_lock (a spin) the part
 * that eventfd_ack() reads.  Neither is held where a callback is waited for that could
 * want it, and no irq lock is taken under resample_lock.
 * Reference: Linux, Documentation/virt/kvm/api.rst, "KVM_IRQFD", "KVM_IOEVENTFD".
 * Not modelled: removal of an irqfd when its eventfd is closed; the client deassigns it,
 * or ends the VM.
 */
#include "core/iobus.h"

#include <linux/errno.h>
#include <linux/kvm.h>

#include "base/list.h"
#include "core/vm.h"

/*
 * irqfds of a VM: as many as it can have routes.  Each holds an eventfd whose descriptors may all be
 * closed, so the limit of descriptors of a process does not limit them.
 */
#define IRQFDS_MAX	4096u

#define SOURCE_CLIENT	0u	/* of irq_line() */
#define SOURCE_RESAMPLE	2u

struct ioeventfd {
	struct iodev device;
	struct list link;
	struct host_event *event;
	enum iobus_kind kind;
	gpa_t address;
	u32 bytes;		/* 0: a write of any length */
	bool any_value;
	u64 value;
};

struct irqfd {
	struct vm *vm;
	struct list link;
	struct host_watch watch;
	struct host_event *event, *resample;	/* resample: NULL if edge-triggered */
	u32 gsi;
};

struct eventfd_vm {
	struct list ioeventfds, irqfds;
	u32 irqfds_count;
	struct host_spin resample_lock;		/* guards irqfds against eventfd_ack() */
};

static struct host_lock_class resample_lock_class = { .name = "resample" };

/* The VM's part, made when first needed. */
static struct eventfd_vm *eventfds_of(struct vm *vm)
{
	struct eventfd_vm *e = vm->eventfds;

	if (e)
		return e;
	e = host_alloc(sizeof(*e), 0);
	if (!e)
		return NULL;
	list_init(&e->ioeventfds);
	list_init(&e->irqfds);
	host_spin_init(&e->resample_lock, &resample_lock_class);
	atomic_store_release(&vm->eventfds, e);
	return e;
}

/* --- ioeventfd ------------------------------------------------------------------ */

static int ioeventfd_write(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, const void *data)
{
	struct ioeventfd *p = CONTAINER_OF(d, struct ioeventfd, device);
	u64 value = 0;

	(void)v;
	if (address != p->address || (p->bytes && p->bytes != bytes))
		return -EOPNOTSUPP;
	if (!p->any_value) {
		__builtin_memcpy(&value, data, bytes);	/* p->bytes is bytes, at most 8 */
		if (value != p->value)
			return -EOPNOTSUPP;
	}
	host_event_signal(p->event);
	return 0;
}

static const struct iodev_ops ioeventfd_ops = { .write = ioeventfd_write };

static bool ioeventfd_collides(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (a->kind != b->kind || a->address != b->address)
		return false;
	if (!a->bytes || !b->bytes)
		return true;
	return a->bytes == b->bytes && (a->any_value || b->any_value || a->value == b->value);
}

static int ioeventfd_check(const struct kvm_ioeventfd *args)
{
	const u32 known = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN;

	switch (args->len) {
	case 0: case 1: case 2: case 4: case 8:
		break;
	default:
		return -EINVAL;
	}
	if (args->addr + args->len < args->addr || (args->flags & ~known))
		return -EINVAL;
	return !args->len && (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) ? -EINVAL : 0;
}

static int ioeventfd_assign(struct vm *vm, const struct kvm_ioeventfd *args)
{
	struct eventfd_vm *e = eventfds_of(vm);
	struct ioeventfd *p, *other;
	int r = ioeventfd_check(args);

	if (r)
		return r;
	p = e ? host_alloc(sizeof(*p), 0) : NULL;
	if (!p)
		return -ENOMEM;
	*p = (struct ioeventfd){
		.device.ops = &ioeventfd_ops, .address = args->addr, .bytes = args->len,
		.kind = args->flags & KVM_IOEVENTFD_FLAG_PIO ? IOBUS_PIO : IOBUS_MMIO,
		.any_value = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
		.value = args->len < 8 ? args->datamatch & (BIT_U64(8 * args->len) - 1) : args->datamatch,
	};
	r = host_event_get(args->fd, &p->event);
	if (r)
		goto free;
	LIST_FOR_EACH(other, &e->ioeventfds, link) {
		if (ioeventfd_collides(other, p)) {
			r = -EEXIST;
			goto put;
		}
	}
	r = iobus_add(vm, p->kind, p->address, p->bytes, &p->device);
	if (r)
		goto put;
	list_append(&e->ioeventfds, &p->link);
	return 0;
put:
	host_event_put(p->event);
free:
	host_free(p);
	return r;
}

/* Nobody is inside it afterwards. */
static void ioeventfd_free(struct vm *vm, struct ioeventfd *p)
{
	list_remove(&p->link);
	iobus_remove(vm, p->kind, &p->device);
	host_event_put(p->event);
	host_free(p);
}

static int ioeventfd_deassign(struct vm *vm, const struct kvm_ioeventfd *args)
{
	enum iobus_kind kind = args->flags & KVM_IOEVENTFD_FLAG_PIO ? IOBUS_PIO : IOBUS_MMIO;
	bool any_value = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
	u64 mask = args->len < 8 ? BIT_U64(8 * (args->len & 7)) - 1 : ~0ull;
	struct ioeventfd *p, *after;
	struct host_event *event;
	int r = host_event_get(args->fd, &event);

	if (r)
		return r;
	r = -ENOENT;
	if (vm->eventfds) {
		LIST_FOR_EACH_SAFE(p, after, &vm->eventfds->ioeventfds, link) {
			if (p->kind != kind || p->event != event ||
			    p->address != args->addr || p->bytes != args->len || p->any_value != any_value ||
			    (!any_value && p->value != (args->datamatch & mask)))
				continue;
			ioeventfd_free(vm, p);
			r = 0;
			break;
		}
	}
	host_event_put(event);
	return r;
}

int eventfd_ioeventfd(struct vm *vm, const struct kvm_ioeventfd *args)
{
	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return ioeventfd_deassign(vm, args);
	return ioeventfd_assign(vm, args);
}

/* --- irqfd ---------------------------------------------------------------------- */

/* [any] The event was signalled. */
static void irqfd_fired(struct host_watch *w)
{
	struct irqfd *p = CONTAINER_OF(w, struct irqfd, watch);
	int cookie = host_srcu_enter(&p->vm->srcu);

	if (p->resample) {
		irq_line(p->vm, SOURCE_RESAMPLE, p->gsi, true);
	} else {
		irq_line(p->vm, SOURCE_CLIENT, p->gsi, true);
		irq_line(p->vm, SOURCE_CLIENT, p->gsi, false);
	}
	host_srcu_leave(&p->vm->srcu, cookie);
}

/* Signal the second events of a GSI's irqfds, or only look whether there are any. */
static bool resample_signal(struct eventfd_vm *e, unsigned gsi, bool signal)
{
	u64 flags = host_spin_lock(&e->resample_lock);
	bool any = false;
	struct irqfd *p;

	LIST_FOR_EACH(p, &e->irqfds, link) {
		if (!p->resample || p->gsi != gsi)
			continue;
		any = true;
		if (signal)
			host_event_signal(p->resample);
	}
	host_spin_unlock(&e->resample_lock, flags);
	return any;
}

static void resample_lower(struct vm *vm, unsigned gsi)
{
	int cookie = host_srcu_enter(&vm->srcu);

	irq_line(vm, SOURCE_RESAMPLE, gsi, false);
	host_srcu_leave(&vm->srcu, cookie);
}

void eventfd_ack(struct vm *vm, unsigned gsi)
{
	struct eventfd_vm *e = atomic_load_acquire(&vm->eventfds);

	if (!e || !resample_signal(e, gsi, false))
		return;
	resample_lower(vm, gsi);	/* first, so that the client's answer is not overrun */
	resample_signal(e, gsi, true);
}

static void irqfd_link(struct eventfd_vm *e, struct irqfd *p)
{
	u64 flags = host_spin_lock(&e->resample_lock);

	list_append(&e->irqfds, &p->link);
	e->irqfds_count++;
	host_spin_unlock(&e->resample_lock, flags);
}

static void irqfd_unlink(struct eventfd_vm *e, struct irqfd *p)
{
	u64 flags = host_spin_lock(&e->resample_lock);

	list_remove(&p->link);
	e->irqfds_count--;
	host_spin_unlock(&e->resample_lock, flags);
}

/* It injects nothing more and is gone; the GSI does not stay up for nobody. */
static void irqfd_free(struct vm *vm, struct irqfd *p)
{
	host_event_unwatch(&p->watch);
	irqfd_unlink(vm->eventfds, p);
	if (p->resample) {
		if (!resample_signal(vm->eventfds, p->gsi, false))
			resample_lower(vm, p->gsi);
		host_event_put(p->resample);
	}
	host_event_put(p->event);
	host_free(p);
}

static int irqfd_assign(struct vm *vm, const struct kvm_irqfd *args)
{
	bool resample = args->flags & KVM_IRQFD_FLAG_RESAMPLE;
	struct eventfd_vm *e;
	struct irqfd *p, *other;
	int r;

	if (!irq_chip_in_kernel(vm))
		return -EINVAL;
	if (resample && atomic_load_acquire(&vm->split_irqchip))
		return -EINVAL;
	e = eventfds_of(vm);
	if (e && e->irqfds_count >= IRQFDS_MAX)
		return -ENOSPC;
	p = e ? host_alloc(sizeof(*p), 0) : NULL;
	if (!p)
		return -ENOMEM;
	p->vm = vm;
	p->gsi = args->gsi;
	r = host_event_get((int)args->fd, &p->event);
	if (r)
		goto free;
	if (resample) {
		r = host_event_get((int)args->resamplefd, &p->resample);
		if (r)
			goto put_event;
	}
	LIST_FOR_EACH(other, &e->irqfds, link) {
		if (other->event == p->event) {
			r = -EBUSY;
			goto put_resample;
		}
	}
	irqfd_link(e, p);
	r = host_event_watch(p->event, &p->watch, irqfd_fired);
	if (!r)
		return 0;
	irqfd_unlink(e, p);
put_resample:
	host_event_put(p->resample);
put_event:
	host_event_put(p->event);
free:
	host_free(p);
	return r;
}

/* As in Linux, no irqfd with this event and GSI is no error. */
static int irqfd_deassign(struct vm *vm, const struct kvm_irqfd *args)
{
	struct irqfd *p, *after;
	struct host_event *event;
	int r = host_event_get((int)args->fd, &event);

	if (r)
		return r;
	if (vm->eventfds)
		LIST_FOR_EACH_SAFE(p, after, &vm->eventfds->irqfds, link)
			if (p->gsi == args->gsi && p->event == event)
				irqfd_free(vm, p);
	host_event_put(event);
	return 0;
}

int eventfd_irqfd(struct vm *vm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(u32)(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfd_deassign(vm, args);
	return irqfd_assign(vm, args);
}

void eventfd_fini(struct vm *vm)
{
	struct eventfd_vm *e = vm->eventfds;
	struct ioeventfd *io, *io_after;
	struct irqfd *irq, *irq_after;

	if (!e)
		return;
	LIST_FOR_EACH_SAFE(irq, irq_after, &e->irqfds, link)
		irqfd_free(vm, irq);
	LIST_FOR_EACH_SAFE(io, io_after, &e->ioeventfds, link)
		ioeventfd_free(vm, io);
	vm->eventfds = NULL;
	host_free(e);
}
