/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * checked.h - arithmetic on lengths and offsets that others chose
 *
 * Every function answers whether the result is right, so that a caller cannot use it
 * without having asked: if (!checked_add(a, b, &sum)) return -EINVAL;
 */
#ifndef BASE_CHECKED_H
#define BASE_CHECKED_H

#include "base/types.h"

/* True if *out is the result; false if it did not fit (*out is then the wrapped value). */
__attribute__((warn_unused_result))
static inline bool checked_add(u64 a, u64 b, u64 *out)
{
	return !__builtin_add_overflow(a, b, out);
}

__attribute__((warn_unused_result))
static inline bool checked_sub(u64 a, u64 b, u64 *out)
{
	return !__builtin_sub_overflow(a, b, out);
}

__attribute__((warn_unused_result))
static inline bool checked_mul(u64 a, u64 b, u64 *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

/* Does [start, start + length) lie within [0, limit)?  An empty range may start at limit. */
static inline bool range_is_within(u64 start, u64 length, u64 limit)
{
	return start <= limit && length <= limit - start;
}

/* Have two ranges that do not wrap a byte in common? */
static inline bool range_overlaps(u64 a, u64 a_length, u64 b, u64 b_length)
{
	if (!a_length || !b_length)
		return false;
	return a < b ? b - a < a_length : a - b < b_length;
}

#endif
