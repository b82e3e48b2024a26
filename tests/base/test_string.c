// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_string.c - memcpy and relatives against byte loops, every length and overlap
 *
 * The functions are called through volatile pointers: otherwise the compiler would inline
 * short ones and nothing would be tested.  Vector registers must survive them.
 */
#include "base/types.h"
#include "tests/test.h"

static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static void *(*volatile move)(void *, const void *, size_t) = memmove;
static void *(*volatile set)(void *, int, size_t) = memset;
static int (*volatile compare)(const void *, const void *, size_t) = memcmp;

static u8 a[1200], b[1200], c[1200];

static void scramble(u8 *p, u32 seed)
{
	for (size_t n = 0; n < sizeof(a); n++)
		p[n] = (u8)((seed = seed * 1664525 + 1013904223) >> 24);
}

static bool same(const u8 *p, const u8 *q)
{
	for (size_t n = 0; n < sizeof(a); n++)
		if (p[n] != q[n])
			return false;
	return true;
}

static void copies_every_length(void)
{
	for (size_t n = 0; n < 600; n++) {
		scramble(a, 1);
		scramble(b, 2);
		scramble(c, 2);
		EXPECT(copy(b + 3, a + n % 9, n) == b + 3);
		for (size_t k = 0; k < n; k++)
			c[3 + k] = a[n % 9 + k];
		EXPECT(same(b, c));
	}
}

static void moves_with_every_overlap(void)
{
	for (size_t n = 0; n < 320; n += n < 40 ? 1 : 31)
		for (size_t from = 0; from < 700; from += from < 350 && from > 250 ? 1 : 37) {
			scramble(b, 3);
			scramble(c, 3);
			scramble(a, 3);
			move(b + 300, b + from, n);
			for (size_t k = 0; k < n; k++)
				c[300 + k] = a[from + k];
			EXPECT(same(b, c));
		}
}

static void sets_every_length(void)
{
	for (size_t n = 0; n < 600; n++) {
		scramble(b, 4);
		scramble(c, 4);
		EXPECT(set(b + 5, 0x1a5, n) == b + 5);
		for (size_t k = 0; k < n; k++)
			c[5 + k] = 0xa5;
		EXPECT(same(b, c));
	}
}

static void compares_as_unsigned_bytes(void)
{
	for (size_t n = 0; n < 100; n++) {
		scramble(b, 5);
		scramble(c, 5);
		EXPECT_EQ(compare(b, c, n), 0);
		for (size_t k = 0; k < n; k++) {
			b[k] = 0x80, c[k] = 0x7f;
			EXPECT(compare(b, c, n) > 0 && compare(c, b, n) < 0);
			b[k] = c[k];
		}
	}
}

#ifndef SOFT_FPU_EAGER
static void leaves_vector_registers_alone(void)
{
	u64 before[2] = { 0x1122334455667788, 0x99aabbccddeeff00 }, after[2];

	__asm__ volatile("movdqu %2, %%xmm0\n\t"
			 "movdqu %2, %%xmm1\n\t"
			 "mov %3, %%rdi\n\t mov %4, %%rsi\n\t mov $200, %%edx\n\t call *%5\n\t"
			 "pxor %%xmm0, %%xmm1\n\t"
			 "movdqu %%xmm0, %0\n\t"
			 "movdqu %%xmm1, %1"
			 : "=m"(after), "=m"(*(u64(*)[2])a)
			 : "m"(before), "r"((u8 *)b), "r"((u8 *)c), "b"(memcpy)
			 : "rdi", "rsi", "rdx", "rax", "rcx", "r8", "r9", "r10", "r11", "xmm0", "xmm1",
			   "memory", "cc");
	EXPECT_EQ(after[0], before[0]);
	EXPECT_EQ(after[1], before[1]);
	EXPECT_EQ(((u64 *)a)[0] | ((u64 *)a)[1], 0);
}
#endif

int main(void)
{
	TEST(copies_every_length);
	TEST(moves_with_every_overlap);
	TEST(sets_every_length);
	TEST(compares_as_unsigned_bytes);
#ifndef SOFT_FPU_EAGER
	TEST(leaves_vector_registers_alone);
#else
	TEST_SKIP("leaves_vector_registers_alone", "sanitizers bring their own memcpy");
#endif
	return test_status();
}
