/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test.h - the little that every test program shares
 *
 * A test is a function; TEST(fn) runs it and prints its name.  EXPECT reports where and
 * what and makes the program fail, without stopping it.  Each TEST counts as one test.
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_failures;	/* EXPECTs that failed, over the whole program */

#define EXPECT(cond) \
	((cond) ? (void)0 : (test_failures++, (void)fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #cond)))

#define EXPECT_EQ(a, b) do { \
	unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b); \
	if (a_ != b_) { \
		test_failures++; \
		fprintf(stderr, "%s:%d: %s is %#llx, expected %#llx\n", __FILE__, __LINE__, #a, a_, b_); \
	} \
} while (0)

#define TEST(fn) do { \
	int before_ = test_failures; \
	fn(); \
	printf("%s %s\n", test_failures == before_ ? "ok  " : "FAIL", #fn); \
	fflush(stdout); \
} while (0)

/* At the point where something a test needs is missing: say so, loudly. */
#define TEST_SKIP(name, why) (printf("skip %s: %s\n", name, why), fflush(stdout))

/* main() returns this. */
static inline int test_status(void) { return test_failures ? 1 : 0; }

#endif
