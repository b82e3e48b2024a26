// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_bits.c - bitmaps against a byte array, checked arithmetic at its edges
 */
#include "base/bits.h"
#include "base/checked.h"
#include "tests/test.h"

#define BITS 201

static void bitmap_against_bytes(void)
{
	u64 map[BITMAP_WORDS(BITS)] = { 0 };
	u8 model[BITS] = { 0 };
	u32 seed = 1;

	for (int round = 0; round < 3000; round++) {
		u64 n = (seed = seed * 1664525 + 1013904223) / 7 % BITS;
		u64 set = BITS, clear = BITS;
		s64 last = -1;
		bool on = seed >> 30 & 1;

		if (seed >> 31) {
			if (on)
				bit_set(map, n);
			else
				bit_clear(map, n);
		} else {
			EXPECT_EQ(on ? bit_set_atomic(map, n) : bit_clear_atomic(map, n), model[n]);
		}
		model[n] = on;
		EXPECT_EQ(bit_test(map, n), on);
		EXPECT_EQ(bit_test_atomic(map, n), on);
		for (u64 k = BITS; k-- > 0;) {
			if (k >= n && model[k])
				set = k;
			if (k >= n && !model[k])
				clear = k;
			if (model[k] && last < 0)
				last = (s64)k;
		}
		EXPECT_EQ(bit_find_set(map, BITS, n), set);
		EXPECT_EQ(bit_find_clear(map, BITS, n), clear);
		EXPECT(bit_find_last(map, BITS) == last);
	}
	EXPECT_EQ(bit_find_set(map, BITS, BITS), BITS);
	EXPECT_EQ(bit_find_set(map, BITS, BITS + 1000), BITS);
}

static void bits_of_a_word(void)
{
	for (unsigned a = 0; a < 64; a++)
		for (unsigned b = a; b < 64; b++) {
			u64 v = BIT_U64(a) | BIT_U64(b);

			EXPECT_EQ(bit_lowest(v), a);
			EXPECT_EQ(bit_highest(v), b);
			EXPECT_EQ(bit_count(v), a == b ? 1 : 2);
			EXPECT_EQ(is_power_of_two(v), a == b);
		}
	EXPECT_EQ(bit_count(~0ull), 64);
	EXPECT(!is_power_of_two(0));
}

static void alignment(void)
{
	EXPECT_EQ(align_up(0, 4096), 0);
	EXPECT_EQ(align_up(1, 4096), 4096);
	EXPECT_EQ(align_up(4096, 4096), 4096);
	EXPECT_EQ(align_down(8191, 4096), 4096);
	EXPECT_EQ(align_up(~0ull, 4096), 0);
	EXPECT(is_aligned(8192, 4096) && !is_aligned(8191, 4096));
}

static void arithmetic_at_the_edge(void)
{
	u64 out;

	EXPECT(checked_add(~0ull - 1, 1, &out) && out == ~0ull);
	EXPECT(!checked_add(~0ull, 1, &out));
	EXPECT(checked_sub(5, 5, &out) && out == 0);
	EXPECT(!checked_sub(5, 6, &out));
	EXPECT(checked_mul(1ull << 32, 0xffffffff, &out) && out == 0xffffffff00000000);
	EXPECT(!checked_mul(1ull << 32, 1ull << 32, &out));
	EXPECT(range_is_within(0, 10, 10) && range_is_within(10, 0, 10));
	EXPECT(!range_is_within(1, 10, 10) && !range_is_within(11, 0, 10));
	EXPECT(!range_is_within(5, ~0ull, 10) && !range_is_within(~0ull, 2, 10));
	EXPECT(range_overlaps(0, 10, 9, 1) && range_overlaps(9, 1, 0, 10));
	EXPECT(!range_overlaps(0, 10, 10, 5) && !range_overlaps(10, 5, 0, 10));
	EXPECT(!range_overlaps(5, 0, 0, 10) && range_overlaps(~0ull, 1, ~0ull - 5, 6));
}

int main(void)
{
	TEST(bitmap_against_bytes);
	TEST(bits_of_a_word);
	TEST(alignment);
	TEST(arithmetic_at_the_edge);
	return test_status();
}
