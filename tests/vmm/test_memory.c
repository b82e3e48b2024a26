// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_memory.c - guest RAM: the hole, bounds, clearing
 */
#include <errno.h>

#include "tests/test.h"
#include "vmm/machine/memory.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static void small_memory_is_one_region(void)
{
	struct memory m;

	EXPECT_EQ(memory_create(&m, 256 * MIB), 0);
	EXPECT_EQ(m.regions, 1);
	EXPECT_EQ(memory_low_end(&m), 256 * MIB);
	EXPECT_EQ(memory_end(&m), 256 * MIB);
	EXPECT(memory_at(&m, 0, 256 * MIB) != NULL);
	EXPECT(memory_at(&m, 1, 256 * MIB) == NULL);
	EXPECT(memory_at(&m, 256 * MIB - 1, 1) != NULL);
	EXPECT(memory_at(&m, 256 * MIB, 0) == NULL);
	EXPECT(memory_at(&m, ~0ull, 2) == NULL);
	EXPECT(memory_at(&m, 4096, ~0ull) == NULL);
	memory_destroy(&m);
}

static void large_memory_goes_on_above_the_hole(void)
{
	struct memory m;

	EXPECT_EQ(memory_create(&m, 5 * GIB), 0);
	EXPECT_EQ(m.regions, 2);
	EXPECT_EQ(memory_low_end(&m), 3 * GIB);
	EXPECT_EQ(memory_end(&m), 6 * GIB);
	EXPECT(memory_at(&m, 3 * GIB - 4, 4) != NULL);
	EXPECT(memory_at(&m, 3 * GIB - 4, 5) == NULL);	/* though the host memory goes on */
	EXPECT(memory_at(&m, 3 * GIB, 1) == NULL);
	EXPECT(memory_at(&m, 4 * GIB, 2 * GIB) != NULL);
	EXPECT(memory_at(&m, 6 * GIB, 1) == NULL);
	EXPECT_EQ((u8 *)memory_at(&m, 4 * GIB, 1) - (u8 *)memory_at(&m, 0, 1), 3 * GIB);
	memory_destroy(&m);
}

static void exactly_the_hole_is_one_region(void)
{
	struct memory m;

	EXPECT_EQ(memory_create(&m, 3 * GIB), 0);
	EXPECT_EQ(m.regions, 1);
	EXPECT_EQ(memory_end(&m), 3 * GIB);
	memory_destroy(&m);
}

static void copies_are_all_or_nothing(void)
{
	struct memory m;
	u8 in[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, out[8] = { 0 };

	memory_create(&m, 16 * MIB);
	EXPECT_EQ(memory_write(&m, 16 * MIB - 4, in, 8), -EFAULT);
	EXPECT_EQ(memory_read(&m, 16 * MIB - 4, out, 4), 0);
	EXPECT_EQ(out[0] | out[1] | out[2] | out[3], 0);
	EXPECT_EQ(memory_write(&m, 0x1234, in, 8), 0);
	EXPECT_EQ(memory_read(&m, 0x1234, out, 8), 0);
	EXPECT(!memcmp(in, out, 8));
	EXPECT_EQ(memory_fill(&m, 0x1234, 0xaa, 4), 0);
	EXPECT_EQ(memory_read(&m, 0x1234, out, 8), 0);
	EXPECT(out[0] == 0xaa && out[3] == 0xaa && out[4] == 5);
	EXPECT_EQ(memory_fill(&m, 16 * MIB, 0, 1), -EFAULT);
	EXPECT_EQ(memory_read(&m, 0xfee00000, out, 4), -EFAULT);
	memory_destroy(&m);
}

static void clearing_zeroes_everything(void)
{
	struct memory m;
	u8 byte = 7;

	memory_create(&m, 16 * MIB);
	memory_write(&m, 5, &byte, 1);
	memory_write(&m, 16 * MIB - 1, &byte, 1);
	EXPECT_EQ(memory_clear(&m), 0);
	memory_read(&m, 5, &byte, 1);
	EXPECT_EQ(byte, 0);
	memory_read(&m, 16 * MIB - 1, &byte, 1);
	EXPECT_EQ(byte, 0);
	memory_destroy(&m);
}

static void impossible_sizes_are_refused(void)
{
	struct memory m;

	EXPECT_EQ(memory_create(&m, 0), -EINVAL);
	EXPECT_EQ(memory_create(&m, 8 * MIB), -EINVAL);
	EXPECT_EQ(memory_create(&m, 33 * MIB), -EINVAL);
	EXPECT_EQ(memory_create(&m, ~0ull), -EINVAL);
	memory_destroy(&m);	/* harmless after a failure */
}

int main(void)
{
	TEST(small_memory_is_one_region);
	TEST(large_memory_goes_on_above_the_hole);
	TEST(exactly_the_hole_is_one_region);
	TEST(copies_are_all_or_nothing);
	TEST(clearing_zeroes_everything);
	TEST(impossible_sizes_are_refused);
	return test_status();
}
