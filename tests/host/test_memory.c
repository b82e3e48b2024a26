// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_memory.c - our memory, and the program's behind addresses that may be wrong
 */
#include "host/posix/posix.h"
#include "tests/test.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static u64 at(const void *p)
{
	return (u64)(uintptr_t)p;
}

/* Two pages: the first of the given protection, the second not there. */
static u8 *edge(int protection)
{
	u8 *p = mmap(NULL, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(p + PAGE_BYTES, PAGE_BYTES);
	mprotect(p, PAGE_BYTES, protection);
	return p;
}

static void allocations(void)
{
	u8 *p = host_alloc(1000, 0);
	bool zero = true;

	for (int n = 0; n < 1000; n++)
		zero &= p[n] == 0;
	EXPECT(zero);
	host_free(p);
	host_free(NULL);
	EXPECT(host_alloc(~0ull / 2, 0) == NULL);
	EXPECT(host_alloc_pages(60, 0) == NULL);
	for (unsigned order = 0; order < 4; order++) {
		u64 *page = host_alloc_pages(order, 0);

		EXPECT_EQ(at(page) % (PAGE_BYTES << order), 0);
		EXPECT_EQ(page[(PAGE_BYTES << order) / 8 - 1], 0);
		EXPECT(host_from_bus(host_bus_address(page)) == page);
		page[0] = ~0ull;
		host_free_pages(page, order);
	}
}

static void copies(void)
{
	u8 *p = edge(PROT_READ | PROT_WRITE), buffer[64] = "abcdefgh";

	EXPECT_EQ(host_copy_out(at(p) + PAGE_BYTES - 8, buffer, 8), 0);
	EXPECT(!memcmp(p + PAGE_BYTES - 8, "abcdefgh", 8));
	memset(buffer, 0, sizeof(buffer));
	EXPECT_EQ(host_copy_in(buffer, at(p) + PAGE_BYTES - 8, 8), 0);
	EXPECT(!memcmp(buffer, "abcdefgh", 8));
	EXPECT_EQ(host_copy_in(buffer, at(p), 0), 0);
	EXPECT(host_copy_in(buffer, at(p) + PAGE_BYTES - 8, 9) == -EFAULT);
	EXPECT(host_copy_out(at(p) + PAGE_BYTES - 8, buffer, 9) == -EFAULT);
	EXPECT(host_copy_in(buffer, 0, 1) == -EFAULT);
	EXPECT(host_copy_in(buffer, 0xffffffff81000000, 8) == -EFAULT);
	EXPECT(host_copy_in(buffer, 0x8000000000000000, 8) == -EFAULT);
	EXPECT(host_copy_in(buffer, ~0ull - 3, 8) == -EFAULT);
	EXPECT(host_copy_out(0x1000, buffer, ~0ull) == -EFAULT);
	munmap(p, PAGE_BYTES);

	p = edge(PROT_READ);
	EXPECT_EQ(host_copy_in(buffer, at(p), 8), 0);
	EXPECT(host_copy_out(at(p), buffer, 8) == -EFAULT);
	munmap(p, PAGE_BYTES);
	p = edge(PROT_NONE);
	EXPECT(host_copy_in(buffer, at(p), 8) == -EFAULT);
	munmap(p, PAGE_BYTES);
}

static void exchanges(void)
{
	u8 *p = edge(PROT_READ | PROT_WRITE);
	u64 old = 0;

	for (unsigned size = 1; size <= 8; size *= 2) {
		memset(p, 0x11, 16);
		old = 0x2222222222222222;
		EXPECT(host_cmpxchg(at(p) + 8, &old, 0x3333333333333333, size) == -EAGAIN);
		EXPECT_EQ(old, 0x1111111111111111ull >> (64 - 8 * size));
		EXPECT_EQ(host_cmpxchg(at(p) + 8, &old, 0x3333333333333333, size), 0);
		EXPECT_EQ(p[8 + size - 1], 0x33);
		EXPECT_EQ(p[8 + size], size == 8 ? p[16] : 0x11);
	}
	EXPECT(host_cmpxchg(at(p) + 1, &old, 0, 4) == -EINVAL);
	EXPECT(host_cmpxchg(at(p), &old, 0, 3) == -EINVAL);
	EXPECT(host_cmpxchg(at(p) + PAGE_BYTES, &old, 0, 8) == -EFAULT);
	mprotect(p, PAGE_BYTES, PROT_READ);
	EXPECT(host_cmpxchg(at(p), &old, 0, 8) == -EFAULT);
	munmap(p, PAGE_BYTES);
}

static void pages(void)
{
	struct host_page page = { 0 };
	u8 *p = edge(PROT_READ | PROT_WRITE), *map;
	int fd = memfd_create("test", 0);

	EXPECT_EQ(host_page_get(at(p) + 123, true, &page), 0);
	EXPECT_EQ(page.pa, at(p));
	EXPECT(page.writable);
	host_page_put(&page, true);
	EXPECT_EQ(p[0] | p[123], 0);	/* the probe changed nothing */
	EXPECT(host_page_get(at(p) + PAGE_BYTES, false, &page) == -EFAULT);
	EXPECT(host_page_get(0, false, &page) == -EFAULT);
	EXPECT(host_page_get(0x123456789abcd000, true, &page) == -EFAULT);
	EXPECT(host_page_get(0xffffffffffffffff, true, &page) == -EFAULT);
	mprotect(p, PAGE_BYTES, PROT_READ);
	EXPECT(host_page_get(at(p), true, &page) == -EFAULT);
	EXPECT_EQ(host_page_get(at(p), false, &page), 0);
	EXPECT(!page.writable);
	munmap(p, PAGE_BYTES);

	/* A page of a file beyond its end: mapped, but not there. */
	EXPECT_EQ(ftruncate(fd, PAGE_BYTES), 0);
	map = mmap(NULL, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map[0] = 42;
	EXPECT_EQ(host_page_get(at(map), true, &page), 0);
	EXPECT_EQ(map[0], 42);
	EXPECT(host_page_get(at(map) + PAGE_BYTES, true, &page) == -EFAULT);
	EXPECT(host_page_get(at(map) + PAGE_BYTES, false, &page) == -EFAULT);
	munmap(map, 2 * PAGE_BYTES);
	close(fd);
}

int main(void)
{
	host_posix_check(true);
	TEST(allocations);
	TEST(copies);
	TEST(exchanges);
	TEST(pages);
	return test_status();
}
