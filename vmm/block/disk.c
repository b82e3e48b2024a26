// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * disk.c - a raw disk image: opening, locking, and requests that come back short
 *
 * The file is raw because the user says so; its contents are never looked at to guess a
 * format.  An engine may move fewer bytes than asked; the rest is submitted again.
 *
 * Locking: one thread, the loop's.
 */
#include "vmm/block/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/block/engine.h"
#include "vmm/machine/report.h"

struct disk {
	int	fd;
	u64	bytes;
	bool	readonly, discard;
	const struct engine *engine;
	void	*state;
	u64	in_flight;
};

u64 disk_bytes(const struct disk *d)
{
	return d->bytes;
}

bool disk_is_readonly(const struct disk *d)
{
	return d->readonly;
}

bool disk_can_discard(const struct disk *d)
{
	return d->discard;
}

/* Drop from a request what has been moved. */
static void advance(struct disk_request *r, u64 bytes)
{
	r->offset += bytes;
	r->bytes -= bytes;
	while (r->iov_count && bytes >= r->iov->iov_len) {
		bytes -= r->iov->iov_len;
		r->iov++;
		r->iov_count--;
	}
	if (r->iov_count) {
		r->iov->iov_base = (u8 *)r->iov->iov_base + bytes;
		r->iov->iov_len -= bytes;
	}
}

static void completed(struct disk_request *r, int result)
{
	struct disk *d = r->disk;

	if (result == -EINTR || result == -EAGAIN) {
		d->engine->submit(d->state, r);
		d->engine->kick(d->state);
		return;
	}
	if (result >= 0 && (r->op == DISK_READ || r->op == DISK_WRITE)) {
		advance(r, (u64)result);
		if (r->bytes && result == 0) {
			result = -EIO;		/* the file has become shorter than the disk */
		} else if (r->bytes) {
			d->engine->submit(d->state, r);
			d->engine->kick(d->state);
			return;
		}
	}
	d->in_flight--;
	r->done(r, result < 0 ? result : 0);
}

void disk_submit(struct disk *d, struct disk_request *r)
{
	r->disk = d;
	d->in_flight++;
	d->engine->submit(d->state, r);
}

void disk_kick(struct disk *d)
{
	d->engine->kick(d->state);
}

void disk_drain(struct disk *d)
{
	d->engine->kick(d->state);
	while (d->in_flight)
		d->engine->wait(d->state);
}

static int size_of(int fd, u64 *bytes)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISBLK(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, bytes) ? -errno : 0;
	if (!S_ISREG(st.st_mode))
		return -ENOTBLK;
	*bytes = (u64)st.st_size;
	return 0;
}

static int open_and_check(struct disk *d, const struct disk_options *o)
{
	struct flock lock = { .l_type = o->readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	int r;

	d->fd = open(o->path, (o->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (d->fd < 0) {
		r = -errno;
		return report_error(r, "disk %s: %s%s", o->path, strerror(-r),
				    r == -ENOENT ? "; make one with: truncate -s 1G FILE" :
				    r == -EACCES || r == -EROFS ? "; add ,readonly to only read it" : "");
	}
	r = size_of(d->fd, &d->bytes);
	if (r)
		return report_error(r, "disk %s: %s", o->path,
				    r == -ENOTBLK ? "neither a file nor a block device" : strerror(-r));
	if (d->bytes == 0)
		return report_error(-EINVAL, "disk %s: it is empty; give it a size with: truncate -s 1G FILE", o->path);
	if (d->bytes % DISK_SECTOR_BYTES)
		return report_error(-EINVAL, "disk %s: %llu bytes is no multiple of %u: cut short, or no raw image",
				    o->path, (unsigned long long)d->bytes, DISK_SECTOR_BYTES);
	if (fcntl(d->fd, F_OFD_SETLK, &lock))
		return report_error(-EBUSY, "disk %s: another machine is using it%s", o->path,
				    o->readonly ? "" : "; stop that one, or use ,readonly in both");
	return 0;
}

/* "QFI\xfb" and the like: a raw image may begin so, but far more often it's a mistake. */
static int refuse_other_formats(const struct disk *d, const struct disk_options *o)
{
	static const struct { const char *magic; unsigned bytes; const char *name; } known[] = {
		{ "QFI\xfb", 4, "qcow2" }, { "KDMV", 4, "VMDK" }, { "vhdxfile", 8, "VHDX" },
		{ "<<< ", 4, "VDI" }, { "conectix", 8, "VHD" },
	};
	char head[8] = { 0 };

	if (pread(d->fd, head, sizeof(head), 0) < 0)
		return report_error(-errno, "disk %s: can't read it: %s", o->path, strerror(errno));
	for (unsigned n = 0; n < ARRAY_LEN(known); n++)
		if (!memcmp(head, known[n].magic, known[n].bytes))
			return report_error(-EINVAL, "disk %s: this is a %s image, not a raw one; convert it with: qemu-img convert -O raw %s new.img",
					    o->path, known[n].name, o->path);
	return 0;
}

static int engine_choose(struct disk *d, const struct disk_options *o, struct loop *l)
{
	int r = -ENOSYS;

	if (o->io != DISK_IO_THREADS) {
		d->engine = &engine_uring;
		r = d->engine->open(&d->state, d->fd, l, completed);
		if (r && o->io == DISK_IO_URING)
			return report_error(r, "disk %s: this host allows no io_uring (%s); use io=threads",
					    o->path, strerror(-r));
	}
	if (r) {
		d->engine = &engine_threads;
		r = d->engine->open(&d->state, d->fd, l, completed);
		if (r)
			return report_error(r, "disk %s: can't start its threads: %s", o->path, strerror(-r));
	}
	return 0;
}

int disk_open(struct disk **out, const struct disk_options *o, struct loop *l)
{
	struct disk *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->fd = -1;
	d->readonly = o->readonly;
	d->discard = o->discard && !o->readonly;
	r = open_and_check(d, o);
	if (!r)
		r = refuse_other_formats(d, o);
	if (!r)
		r = engine_choose(d, o, l);
	if (r) {
		disk_close(d);
		return r;
	}
	*out = d;
	return 0;
}

void disk_close(struct disk *d)
{
	if (!d)
		return;
	if (d->state)
		d->engine->close(d->state);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

long engine_perform(int fd, const struct disk_request *r)
{
	long done;

	switch (r->op) {
	case DISK_READ:
		done = preadv(fd, r->iov, (int)r->iov_count, (off_t)r->offset);
		break;
	case DISK_WRITE:
		done = pwritev(fd, r->iov, (int)r->iov_count, (off_t)r->offset);
		break;
	case DISK_FLUSH:
		done = fdatasync(fd);
		break;
	case DISK_DISCARD:
		done = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)r->offset, (off_t)r->bytes);
		if (done && errno == EOPNOTSUPP)
			done = 0;	/* a discard is a hint */
		break;
	case DISK_WRITE_ZEROES:
		done = fallocate(fd, (r->unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE,
				 (off_t)r->offset, (off_t)r->bytes);
		break;
	default:
		return -EINVAL;
	}
	return done < 0 ? -errno : done;
}
