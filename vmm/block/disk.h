/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk.h - a disk image file, read and written asynchronously
 *
 * Requests are handed in and come back on one thread, that of the loop given to
 * disk_open().  Two engines do the work: io_uring, or a few threads where it is not allowed.
 *
 * A disk is locked against other machines for as long as it is open.
 */
#ifndef VMM_BLOCK_DISK_H
#define VMM_BLOCK_DISK_H

#include <sys/uio.h>

#include "base/types.h"
#include "vmm/virtio/virtio_devices.h"

struct disk;
struct loop;

#define DISK_SECTOR_BYTES 512u

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES };

/* The caller's; untouched between disk_submit() and done(). */
struct disk_request {
	enum disk_op op;
	u64	offset, bytes;		/* multiples of a sector, inside the disk */
	struct iovec *iov;		/* READ, WRITE: together exactly bytes.  Consumed */
	u32	iov_count;
	bool	unmap;			/* WRITE_ZEROES: may free the space */
	/* The loop's thread.  0, or -errno with some of a write possibly made. */
	void	(*done)(struct disk_request *r, int result);

	/* the engine's */
	struct disk *disk;
	struct disk_request *next;
	int	result;
};

/*
 * Open, check and lock the file.  0, or -errno having said why: -EBUSY if another machine
 * has it, -EINVAL if it is no raw image.
 */
int  disk_open(struct disk **out, const struct disk_options *o, struct loop *l);
void disk_close(struct disk *d);	/* nothing in flight; NULL is fine */

u64  disk_bytes(const struct disk *d);
bool disk_is_readonly(const struct disk *d);
bool disk_can_discard(const struct disk *d);

/* Start a request.  The loop's thread.  done() may be called before it returns. */
void disk_submit(struct disk *d, struct disk_request *r);
/* Requests handed in are collected; this starts them together. */
void disk_kick(struct disk *d);
/* Wait until nothing is in flight; done() is called for each. */
void disk_drain(struct disk *d);

#endif
