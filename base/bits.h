/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bits.h - bits of a word, bitmaps, powers of two
 *
 * A bitmap is an array of u64; bit n is bit n % 64 of word n / 64.  The *_atomic forms
 * may race with each other and are sequentially consistent; both kinds of access to one
 * bitmap at the same time are a mistake.
 */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include "base/atomic.h"
#include "base/types.h"

#define BITMAP_WORDS(bits) (((bits) + 63) / 64)

/* Number of the lowest and highest set bit; v is not 0. */
static inline unsigned bit_lowest(u64 v)
{
	return (unsigned)__builtin_ctzll(v);
}

static inline unsigned bit_highest(u64 v)
{
	return 63u - (unsigned)__builtin_clzll(v);
}

static inline unsigned bit_count(u64 v)
{
	v -= v >> 1 & 0x5555555555555555ull;
	v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (unsigned)(v * 0x0101010101010101ull >> 56);
}

static inline bool bit_test(const u64 *map, u64 n)
{
	return map[n / 64] >> (n % 64) & 1;
}

static inline void bit_set(u64 *map, u64 n)
{
	map[n / 64] |= BIT_U64(n % 64);
}

static inline void bit_clear(u64 *map, u64 n)
{
	map[n / 64] &= ~BIT_U64(n % 64);
}

static inline bool bit_test_atomic(const u64 *map, u64 n)
{
	return atomic_load_acquire(&map[n / 64]) >> (n % 64) & 1;
}

/* Both return what the bit was before. */
static inline bool bit_set_atomic(u64 *map, u64 n)
{
	return atomic_fetch_or(&map[n / 64], BIT_U64(n % 64)) >> (n % 64) & 1;
}

static inline bool bit_clear_atomic(u64 *map, u64 n)
{
	return atomic_fetch_and(&map[n / 64], ~BIT_U64(n % 64)) >> (n % 64) & 1;
}

/* First bit at or after from that is set; bits (the size of the map) if none is. */
static inline u64 bit_find_set(const u64 *map, u64 bits, u64 from)
{
	while (from < bits) {
		u64 word = map[from / 64] >> (from % 64);

		if (word) {
			from += bit_lowest(word);
			return from < bits ? from : bits;
		}
		from = (from | 63) + 1;
	}
	return bits;
}

/* ... that is clear. */
static inline u64 bit_find_clear(const u64 *map, u64 bits, u64 from)
{
	while (from < bits) {
		u64 word = ~map[from / 64] >> (from % 64);

		if (word) {
			from += bit_lowest(word);
			return from < bits ? from : bits;
		}
		from = (from | 63) + 1;
	}
	return bits;
}

/* Last set bit of the map; -1 if none is. */
static inline s64 bit_find_last(const u64 *map, u64 bits)
{
	for (u64 w = BITMAP_WORDS(bits); w-- > 0;) {
		u64 word = map[w];

		if (w == bits / 64)
			word &= BIT_U64(bits % 64) - 1;
		if (word)
			return (s64)(w * 64 + bit_highest(word));
	}
	return -1;
}

/* align is a power of two; align_up wraps to 0 beyond the last multiple. */
static inline u64 align_down(u64 v, u64 align)
{
	return v & ~(align - 1);
}

static inline u64 align_up(u64 v, u64 align)
{
	return (v + align - 1) & ~(align - 1);
}

static inline bool is_aligned(u64 v, u64 align)
{
	return (v & (align - 1)) == 0;
}

static inline bool is_power_of_two(u64 v)
{
	return v && !(v & (v - 1));
}

#endif
