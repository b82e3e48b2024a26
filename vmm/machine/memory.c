// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memory.c - the guest's RAM
 *
 * A sealed memfd, mapped once between guard pages and left out of core dumps.  Guest
 * physical addresses are cut at the hole; the mapping and the memfd are not, so region 1's
 * host memory follows region 0's.
 *
 * Locking: none.  The layout never changes after memory_create().
 */
#include "vmm/machine/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARD_BYTES	(2ull << 20)	/* also keeps RAM aligned for huge pages */
#define ALIGN_BYTES	(2ull << 20)

/* RAM in the host's address space, with nothing mapped on either side; NULL: no room. */
static u8 *map_between_guards(int fd, u64 bytes)
{
	u64 reserve = bytes + 2 * GUARD_BYTES + ALIGN_BYTES;
	u8 *area =
		mmap(NULL, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	u8 *ram;

	if (area == MAP_FAILED)
		return NULL;
	ram = (u8 *)(((u64)area + GUARD_BYTES + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1));
	/* Give back all but the two guards. */
	munmap(area, (u64)(ram - GUARD_BYTES - area));
	munmap(ram + bytes + GUARD_BYTES, (u64)(area + reserve - (ram + bytes + GUARD_BYTES)));
	if (mmap(ram, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
		 0) == MAP_FAILED) {
		munmap(ram - GUARD_BYTES, bytes + 2 * GUARD_BYTES);
		return NULL;
	}
	madvise(ram, bytes, MADV_DONTDUMP);
	madvise(ram, bytes, MADV_HUGEPAGE);
	return ram;
}

static void regions_cut(struct memory *mem)
{
	u64 low = MIN_OF(mem->bytes, MEMORY_HOLE);

	mem->region[0] = (struct memory_region){ 0, low, mem->host, 0 };
	mem->regions = 1;
	if (mem->bytes > low)
		mem->region[mem->regions++] = (struct memory_region){
			MEMORY_HIGH, mem->bytes - low, mem->host + low, low };
}

int memory_create(struct memory *mem, u64 bytes)
{
	int error;

	memset(mem, 0, sizeof(*mem));
	mem->fd = -1;
	if (bytes < MEMORY_MIN_BYTES || bytes > MEMORY_MAX_BYTES || bytes % ALIGN_BYTES)
		return -EINVAL;
	mem->fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (mem->fd < 0)
		return -errno;
	if (ftruncate(mem->fd, (off_t)bytes) ||
	    fcntl(mem->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		error = -errno;
		goto close_fd;
	}
	mem->host = map_between_guards(mem->fd, bytes);
	if (!mem->host) {
		error = -ENOMEM;
		goto close_fd;
	}
	mem->bytes = bytes;
	regions_cut(mem);
	return 0;

close_fd:
	close(mem->fd);
	mem->fd = -1;
	return error;
}

void memory_destroy(struct memory *mem)
{
	if (mem->host)
		munmap(mem->host - GUARD_BYTES, mem->bytes + 2 * GUARD_BYTES);
	if (mem->fd >= 0)
		close(mem->fd);
	memset(mem, 0, sizeof(*mem));
	mem->fd = -1;
}

int memory_clear(struct memory *mem)
{
	if (fallocate(mem->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)mem->bytes))
		return -errno;
	return 0;
}

void *memory_at(const struct memory *mem, gpa_t gpa, u64 bytes)
{
	for (u32 i = 0; i < mem->regions; i++) {
		const struct memory_region *r = &mem->region[i];

		if (gpa >= r->start && gpa - r->start < r->bytes)
			return bytes <= r->bytes - (gpa - r->start) ? r->host + (gpa - r->start)
								    : NULL;
	}
	return NULL;
}

int memory_read(const struct memory *mem, gpa_t gpa, void *to, u64 bytes)
{
	const void *from = memory_at(mem, gpa, bytes);

	if (!from)
		return -EFAULT;
	memcpy(to, from, bytes);
	return 0;
}

int memory_write(const struct memory *mem, gpa_t gpa, const void *from, u64 bytes)
{
	void *to = memory_at(mem, gpa, bytes);

	if (!to)
		return -EFAULT;
	memcpy(to, from, bytes);
	return 0;
}

int memory_fill(const struct memory *mem, gpa_t gpa, u8 value, u64 bytes)
{
	void *to = memory_at(mem, gpa, bytes);

	if (!to)
		return -EFAULT;
	memset(to, value, bytes);
	return 0;
}

gpa_t memory_low_end(const struct memory *mem)
{
	return mem->region[0].bytes;
}

gpa_t memory_end(const struct memory *mem)
{
	const struct memory_region *last = &mem->region[mem->regions - 1];

	return last->start + last->bytes;
}
