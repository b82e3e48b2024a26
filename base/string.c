// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * string.c - memcpy and relatives that leave vector registers alone
 *
 * While a guest's vector state is live in the host's registers the thread may run no
 * vector code, and libc's memcpy is vector code.  The library's own objects find these
 * instead (hidden: the embedding program keeps its libc's).  Short blocks go by words,
 * long ones by REP MOVSB, which every processor with AVX does a cache line at a time.
 *
 * Not for sanitizers, which want to see every call, and so have the vector unit save
 * the guest's state around each instruction: SOFT_FPU_EAGER.
 */
#include "base/types.h"

#if !defined(SOFT_FPU_EAGER) && !defined(__KERNEL__)

/* Without this the compiler sees that a copy loop is memcpy, and calls it. */
#ifdef __clang__
#define BY_HAND __attribute__((no_builtin, used))
#else
#define BY_HAND __attribute__((optimize("no-tree-loop-distribute-patterns"), used))
#endif

#define REP_FROM 256	/* bytes from which on REP wins over a loop */

typedef u64 __attribute__((may_alias, aligned(1))) word;

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int   memcmp(const void *a, const void *b, size_t n);

static inline void rep_movsb(void *to, const void *from, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

BY_HAND void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	u8 *d = to;
	const u8 *s = from;

	if (n >= REP_FROM) {
		rep_movsb(d, s, n);
		return to;
	}
	for (; n >= 8; d += 8, s += 8, n -= 8)
		*(word *)d = *(const word *)s;
	while (n--)
		*d++ = *s++;
	return to;
}

BY_HAND void *memmove(void *to, const void *from, size_t n)
{
	u8 *d = to;
	const u8 *s = from;

	if ((size_t)(d - s) >= n) {	/* to is outside [from, from + n): forwards is safe */
		if (n >= REP_FROM && (size_t)(s - d) >= n) {
			rep_movsb(d, s, n);
			return to;
		}
		for (; n >= 8; d += 8, s += 8, n -= 8)
			*(word *)d = *(const word *)s;
		while (n--)
			*d++ = *s++;
		return to;
	}
	for (; n >= 8; n -= 8)
		*(word *)(d + n - 8) = *(const word *)(s + n - 8);
	while (n--)
		d[n] = s[n];
	return to;
}

BY_HAND void *memset(void *to, int value, size_t n)
{
	u8 *d = to;
	u64 pattern = (u8)value * 0x0101010101010101ull;

	if (n >= REP_FROM) {
		void *at = to;

		__asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(value) : "memory");
		return to;
	}
	for (; n >= 8; d += 8, n -= 8)
		*(word *)d = pattern;
	while (n--)
		*d++ = (u8)value;
	return to;
}

BY_HAND int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	while (n >= 8 && *(const word *)p == *(const word *)q)
		p += 8, q += 8, n -= 8;
	for (; n; p++, q++, n--)
		if (*p != *q)
			return *p - *q;
	return 0;
}

#endif

/* A translation unit is not empty, even where there is nothing to define. */
extern const u8 base_string_is_here;
const u8 base_string_is_here = 1;
