// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * iobus.c - which in-kernel device answers at a port or guest-physical address
 *
 * A bus is an array of ranges sorted by address.  Ranges may overlap: a notifier inside a
 * device's registers, several notifiers at one address that tell each other apart by the
 * value written.  An access asks every device whose range it lies in, the last to begin
 * first, until one accepts.
 *
 * Adding publishes a new array.  Removing empties the device's places in the present one
 * and waits for readers, so it needs no memory and cannot fail.
 *
 * Invariants:
 *   1. The array is ascending by address; longest is the longest range in it.
 *   2. A place is emptied once and never filled again.
 *
 * Locking: vm->lock for changes; readers are inside vm->srcu.
 */
#include "core/iobus.h"

#include <linux/errno.h>

#include "base/checked.h"
#include "core/vm.h"

#define RANGES_MAX 8192u

struct range {
	gpa_t address;
	u64 bytes;		/* 0: accesses of any length at address */
	struct iodev *device;	/* [any] NULL: removed */
};

struct iobus {
	u32 count;
	u64 longest;
	struct range range[];
};

/* --- access ------------------------------------------------------------------ */

/* The range after the last that begins at or before address. */
static u32 range_after(const struct iobus *bus, gpa_t address)
{
	u32 low = 0, high = bus->count;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (bus->range[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool range_has(const struct range *r, gpa_t address, unsigned bytes)
{
	if (!r->bytes)
		return r->address == address;
	return range_is_within(address - r->address, bytes, r->bytes);
}

/*
 * The next device to ask, beginning with *n = range_after(); NULL when there is no more.
 */
static struct iodev *next_device(const struct iobus *bus, u32 *n, gpa_t address, unsigned bytes)
{
	while (*n) {
		const struct range *r = &bus->range[--*n];
		struct iodev *d = atomic_load_acquire(&r->device);

		if (r->address != address && address - r->address >= bus->longest)
			return NULL;
		if (d && range_has(r, address, bytes))
			return d;
	}
	return NULL;
}

int iobus_read(struct vcpu *v, enum iobus_kind kind, gpa_t address, unsigned bytes, void *data)
{
	const struct iobus *bus = atomic_load_acquire(&v->vm->bus[kind]);
	struct iodev *d;
	u32 n;

	if (kind == IOBUS_MMIO && v->lapic && lapic_claims(v, address))
		return lapic_mmio_read(v, address, bytes, data);
	if (!bus)
		return -EOPNOTSUPP;
	n = range_after(bus, address);
	while ((d = next_device(bus, &n, address, bytes)))
		if (d->ops->read && !d->ops->read(v, d, address, bytes, data))
			return 0;
	return -EOPNOTSUPP;
}

int iobus_write(struct vcpu *v, enum iobus_kind kind, gpa_t address, unsigned bytes, const void *data)
{
	const struct iobus *bus = atomic_load_acquire(&v->vm->bus[kind]);
	struct iodev *d;
	u32 n;

	if (kind == IOBUS_MMIO && v->lapic && lapic_claims(v, address))
		return lapic_mmio_write(v, address, bytes, data);
	if (!bus)
		return -EOPNOTSUPP;
	n = range_after(bus, address);
	while ((d = next_device(bus, &n, address, bytes)))
		if (d->ops->write && !d->ops->write(v, d, address, bytes, data))
			return 0;
	return -EOPNOTSUPP;
}

/* --- change ------------------------------------------------------------------ */

int iobus_add(struct vm *vm, enum iobus_kind kind, gpa_t address, u64 bytes, struct iodev *d)
{
	struct iobus *old = vm->bus[kind], *new;
	u32 count = old ? old->count : 0, at;
	u64 end;

	if (!checked_add(address, bytes, &end))
		return -EINVAL;
	if (count >= RANGES_MAX)
		return -ENOSPC;
	new = host_alloc(sizeof(*new) + (count + 1) * sizeof(new->range[0]), 0);
	if (!new)
		return -ENOMEM;

	at = old ? range_after(old, address) : 0;
	for (u32 n = 0; n <= count; n++) {
		struct range r = { address, bytes, d };

		if (n != at)
			r = old->range[n < at ? n : n - 1];
		if (!r.device)
			continue;
		new->longest = MAX_OF(new->longest, r.bytes);
		new->range[new->count++] = r;
	}
	atomic_store_release(&vm->bus[kind], new);
	host_srcu_wait(&vm->srcu);
	host_free(old);
	return 0;
}

void iobus_remove(struct vm *vm, enum iobus_kind kind, struct iodev *d)
{
	struct iobus *bus = vm->bus[kind];

	for (u32 n = 0; bus && n < bus->count; n++)
		if (bus->range[n].device == d)
			atomic_store_release(&bus->range[n].device, NULL);
	host_srcu_wait(&vm->srcu);
}

void iobus_fini(struct vm *vm)
{
	for (unsigned kind = 0; kind < IOBUS_KINDS; kind++) {
		host_free(vm->bus[kind]);
		vm->bus[kind] = NULL;
	}
}
