// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_disk.c - raw disk images through both engines, and images that are refused
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/test.h"
#include "vmm/block/disk.h"
#include "vmm/machine/loop.h"

static char path[] = "/tmp/anykvm-test-disk-XXXXXX";
static struct loop *loop;
static int results[16], finished;

static void done(struct disk_request *r, int result)
{
	(void)r;
	results[finished++] = result;
}

static void run(struct disk *d, enum disk_op op, u64 offset, void *data, u64 bytes, int expected)
{
	struct iovec iov[2] = { { data, bytes / 2 }, { (u8 *)data + bytes / 2, bytes - bytes / 2 } };
	struct disk_request r = { .op = op, .offset = offset, .bytes = bytes, .iov = iov,
				  .iov_count = data ? 2 : 0, .unmap = true, .done = done };

	finished = 0;
	disk_submit(d, &r);
	disk_drain(d);
	EXPECT_EQ(finished, 1);
	EXPECT_EQ(results[0], expected);
}

static void requests_with(enum disk_io io)
{
	struct disk_options o = { .path = path, .discard = true, .io = io };
	u8 data[4096], back[4096];
	struct disk *d;
	int r = disk_open(&d, &o, loop);

	if (r && io == DISK_IO_URING) {
		TEST_SKIP("io_uring", strerror(-r));
		return;
	}
	EXPECT_EQ(r, 0);
	if (r)
		return;
	EXPECT_EQ(disk_bytes(d), 1 << 20);
	for (unsigned n = 0; n < sizeof(data); n++)
		data[n] = (u8)(n * 7 + io);
	run(d, DISK_WRITE, 8192, data, sizeof(data), 0);
	run(d, DISK_FLUSH, 0, NULL, 0, 0);
	run(d, DISK_READ, 8192, back, sizeof(back), 0);
	EXPECT(!memcmp(data, back, sizeof(data)));
	run(d, DISK_DISCARD, 8192, NULL, 4096, 0);
	run(d, DISK_READ, 8192, back, sizeof(back), 0);
	EXPECT(back[0] == 0 && !memcmp(back, back + 1, sizeof(back) - 1));
	run(d, DISK_WRITE, 0, data, sizeof(data), 0);
	run(d, DISK_WRITE_ZEROES, 0, NULL, 4096, 0);
	run(d, DISK_READ, 0, back, sizeof(back), 0);
	EXPECT(back[0] == 0 && !memcmp(back, back + 1, sizeof(back) - 1));
	if (truncate(path, 4096))		/* the file is cut under us: an error, not a hang */
		abort();
	run(d, DISK_READ, 8192, back, sizeof(back), -EIO);
	if (truncate(path, 1 << 20))
		abort();
	disk_close(d);
}

static void requests_with_uring(void) { requests_with(DISK_IO_URING); }
static void requests_with_threads(void) { requests_with(DISK_IO_THREADS); }

static void a_disk_is_locked(void)
{
	struct disk_options o = { .path = path }, read = { .path = path, .readonly = true };
	struct disk *d, *other;

	EXPECT_EQ(disk_open(&d, &o, loop), 0);
	EXPECT_EQ(disk_open(&other, &o, loop), -EBUSY);
	EXPECT_EQ(disk_open(&other, &read, loop), -EBUSY);
	disk_close(d);
	EXPECT_EQ(disk_open(&d, &read, loop), 0);
	EXPECT_EQ(disk_open(&other, &read, loop), 0);
	disk_close(other);
	disk_close(d);
}

static void refused(const void *head, size_t head_bytes, off_t bytes, int expected)
{
	struct disk_options o = { .path = path };
	int fd = open(path, O_RDWR | O_TRUNC);
	struct disk *d;

	if (fd < 0 || ftruncate(fd, bytes) || pwrite(fd, head, head_bytes, 0) != (ssize_t)head_bytes)
		abort();
	close(fd);
	EXPECT_EQ(disk_open(&d, &o, loop), expected);
}

static void images_that_are_not_raw_disks(void)
{
	struct disk_options missing = { .path = "/nonexistent/disk" }, folder = { .path = "/tmp" };
	struct disk *d;

	refused("", 0, 0, -EINVAL);
	refused("", 0, 1000, -EINVAL);
	refused("QFI\xfb", 4, 65536, -EINVAL);
	refused("KDMV", 4, 65536, -EINVAL);
	EXPECT_EQ(disk_open(&d, &missing, loop), -ENOENT);
	EXPECT(disk_open(&d, &folder, loop) < 0);
}

int main(void)
{
	int fd = mkstemp(path);

	if (fd < 0 || ftruncate(fd, 1 << 20) || loop_create(&loop))
		return 1;
	TEST(requests_with_uring);
	TEST(requests_with_threads);
	TEST(a_disk_is_locked);
	TEST(images_that_are_not_raw_disks);
	loop_destroy(loop);
	close(fd);
	unlink(path);
	return test_status();
}
