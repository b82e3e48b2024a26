// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bus.c - who answers at an address: I/O ports or guest physical memory
 *
 * The table is small and sorted, so a lookup is a binary search.  What it finds is copied
 * out before the device is called: a device may then change the table (a BAR that moves
 * because of a port write), and stays valid itself because devices live as long as the machine.
 *
 * Invariant: ranges are sorted by start, not empty, do not overlap or wrap.
 * Locking: b->lock around the table, never around a device.
 */
#include "vmm/bus/bus.h"

#include <errno.h>
#include <string.h>

void bus_init(struct bus *b)
{
	memset(b, 0, sizeof(*b));
	pthread_rwlock_init(&b->lock, NULL);
}

void bus_fini(struct bus *b)
{
	pthread_rwlock_destroy(&b->lock);
}

/* The number of ranges that start at or below `address`. */
static u32 ranges_upto(const struct bus *b, u64 address)
{
	u32 low = 0, high = b->ranges;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (b->range[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int bus_add(struct bus *b, u64 start, u64 bytes, const struct bus_ops *ops, void *owner)
{
	u64 last = start + bytes - 1;
	int error = 0;
	u32 at;

	if (!bytes || last < start)
		return -EINVAL;
	pthread_rwlock_wrlock(&b->lock);
	at = ranges_upto(b, last);
	if (at && b->range[at - 1].start + b->range[at - 1].bytes - 1 >= start) {
		error = -EEXIST;
	} else if (b->ranges == BUS_RANGES_MAX) {
		error = -ENOSPC;
	} else {
		memmove(&b->range[at + 1], &b->range[at], (b->ranges - at) * sizeof(b->range[0]));
		b->range[at] = (struct bus_range){ start, bytes, ops, owner };
		b->ranges++;
	}
	pthread_rwlock_unlock(&b->lock);
	return error;
}

void bus_remove(struct bus *b, u64 start, const void *owner)
{
	u32 at;

	pthread_rwlock_wrlock(&b->lock);
	at = ranges_upto(b, start);
	if (at && b->range[at - 1].start == start && b->range[at - 1].owner == owner) {
		memmove(&b->range[at - 1], &b->range[at], (b->ranges - at) * sizeof(b->range[0]));
		b->ranges--;
	}
	pthread_rwlock_unlock(&b->lock);
}

static bool bus_find(struct bus *b, u64 address, unsigned size, struct bus_range *found)
{
	bool hit = false;
	u32 at;

	pthread_rwlock_rdlock(&b->lock);
	at = ranges_upto(b, address);
	if (at) {
		const struct bus_range *r = &b->range[at - 1];
		u64 offset = address - r->start;

		hit = offset < r->bytes && size <= r->bytes - offset;
		if (hit)
			*found = *r;
	}
	pthread_rwlock_unlock(&b->lock);
	return hit;
}

bool bus_read(struct bus *b, u64 address, unsigned size, u64 *value)
{
	u64 ones = size < 8 ? (1ull << 8 * size) - 1 : ~0ull;
	struct bus_range r;

	if (!bus_find(b, address, size, &r)) {
		*value = ones;
		return false;
	}
	*value = r.ops->read(r.owner, address - r.start, size) & ones;
	return true;
}

bool bus_write(struct bus *b, u64 address, unsigned size, u64 value)
{
	struct bus_range r;

	if (!bus_find(b, address, size, &r))
		return false;
	r.ops->write(r.owner, address - r.start, size, value);
	return true;
}
