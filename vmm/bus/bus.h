/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bus.h - who answers at an address: I/O ports or guest physical memory
 *
 * A bus is an ordered table of ranges that do not overlap.  An access belongs to the range
 * that holds all of its bytes; to no one else if it straddles an end.
 */
#ifndef VMM_BUS_BUS_H
#define VMM_BUS_BUS_H

#include <pthread.h>

#include "base/types.h"

#define BUS_RANGES_MAX	128

/*
 * `offset` is from the start of the range; `size` is 1, 2, 4 or 8.  Called on vCPU threads,
 * several at once, with no lock held: the device has its own.
 */
struct bus_ops {
	u64  (*read)(void *owner, u64 offset, unsigned size);
	void (*write)(void *owner, u64 offset, unsigned size, u64 value);
};

struct bus_range {
	u64	start;
	u64	bytes;
	const struct bus_ops *ops;
	void	*owner;
};

struct bus {
	pthread_rwlock_t lock;		/* guards the table; not held in callbacks */
	u32	ranges;
	struct bus_range range[BUS_RANGES_MAX];	/* by start */
};

void bus_init(struct bus *b);
void bus_fini(struct bus *b);

/* 0; -EEXIST if it overlaps another range, -EINVAL if empty or wrapping, -ENOSPC if full. */
int bus_add(struct bus *b, u64 start, u64 bytes, const struct bus_ops *ops, void *owner);
void bus_remove(struct bus *b, u64 start, const void *owner);

/* False if nobody is there: a read then gives all ones in `size` bytes. */
bool bus_read(struct bus *b, u64 address, unsigned size, u64 *value);
bool bus_write(struct bus *b, u64 address, unsigned size, u64 value);

#endif
