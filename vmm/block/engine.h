/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.h - how a disk's requests are carried out: io_uring or threads
 */
#ifndef VMM_BLOCK_ENGINE_H
#define VMM_BLOCK_ENGINE_H

#include "vmm/block/disk.h"

struct loop;

struct engine {
	const char *name;
	/* completed: called on the loop's thread for each request, with its result. */
	int  (*open)(void **state, int fd, struct loop *l, void (*completed)(struct disk_request *r, int result));
	void (*close)(void *state);
	void (*submit)(void *state, struct disk_request *r);
	void (*kick)(void *state);
	/* Block until at least one request in flight has completed, and report it. */
	void (*wait)(void *state);
};

extern const struct engine engine_uring, engine_threads;

/* One attempt, synchronously: bytes moved, 0 for a FLUSH or such, or -errno. */
long engine_perform(int fd, const struct disk_request *r);

#endif
