/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iobus.h - in-kernel devices and event notifiers by port or guest-physical address
 *
 * A bus is a sorted array, published under vm->srcu; registration makes a new one.
 */
#ifndef CORE_IOBUS_H
#define CORE_IOBUS_H

#include "base/types.h"

struct vm;
struct vcpu;
struct iodev;

enum iobus_kind { IOBUS_MMIO, IOBUS_PIO, IOBUS_KINDS };

struct iodev_ops {
	/* [sleep] inside srcu.  0, or -EOPNOTSUPP: not mine after all, ask the next one.  May be NULL */
	int (*read)(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, void *data);
	int (*write)(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, const void *data);
};
struct iodev { const struct iodev_ops *ops; };

/* vm->lock held.  bytes 0: any length at that address.  -ENOSPC, -ENOMEM, -EINVAL. */
int  iobus_add(struct vm *vm, enum iobus_kind kind, gpa_t address, u64 bytes, struct iodev *d);
/* All its ranges; waits for readers, so that d may be freed.  vm->lock held; not inside vm->srcu. */
void iobus_remove(struct vm *vm, enum iobus_kind kind, struct iodev *d);
void iobus_fini(struct vm *vm);

/* Inside vm->srcu.  0, or -EOPNOTSUPP if no device answers (LAPIC's page is asked first). */
int  iobus_read(struct vcpu *v, enum iobus_kind kind, gpa_t address, unsigned bytes, void *data);
int  iobus_write(struct vcpu *v, enum iobus_kind kind, gpa_t address, unsigned bytes, const void *data);

/* Event notifiers (eventfd.c).  -EINVAL, -EEXIST, -ENOENT, -EBADF ...  vm->lock held.  [sleep] */
struct kvm_irqfd;
struct kvm_ioeventfd;
int  eventfd_irqfd(struct vm *vm, const struct kvm_irqfd *args);
int  eventfd_ioeventfd(struct vm *vm, const struct kvm_ioeventfd *args);
/* Before irq_fini() and iobus_fini(). */
void eventfd_fini(struct vm *vm);
/* The GSI was acknowledged at the IOAPIC or PIC: resample.  No irq lock is held.  [any] */
void eventfd_ack(struct vm *vm, unsigned gsi);

#endif
