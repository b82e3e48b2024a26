// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * time.c - clocks of a process
 *
 * The frequency of the time-stamp counter is asked of CPUID where a processor or the
 * hypervisor under us tells, otherwise measured once against the monotonic clock.
 */
#include "host/posix/thread.h"

#include <cpuid.h>
#include <pthread.h>
#include <time.h>
#include <x86intrin.h>

#define MEASURE_NS 20000000ull

static u64 clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

u64 host_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

u64 host_wall_clock(void)
{
	return clock_ns(CLOCK_REALTIME);
}

struct sample { u64 tsc, ns; };

/* The pair of readings with the least time between its two TSC reads. */
static struct sample sample(void)
{
	struct sample best = { 0, 0 };
	u64 best_gap = ~0ull;

	for (int n = 0; n < 10; n++) {
		u64 before = __rdtsc(), ns = clock_ns(CLOCK_MONOTONIC_RAW), after = __rdtsc();

		if (after - before < best_gap) {
			best_gap = after - before;
			best = (struct sample){ before + best_gap / 2, ns };
		}
	}
	return best;
}

static u64 measured_khz(void)
{
	struct sample from = sample(), to;
	struct timespec pause = { 0, (long)MEASURE_NS };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	to = sample();
	if (to.ns <= from.ns)
		return 0;
	return (u64)((unsigned __int128)(to.tsc - from.tsc) * 1000000 / (to.ns - from.ns));
}

static u64 khz;

static void find_khz(void)
{
	u32 a, b, c, d, top;

	/* Reference: "Advanced Power Management Information": TscInvariant. */
	if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d & 1u << 8))
		return;
	/* "Time Stamp Counter and Core Crystal Clock": crystal * b / a. */
	top = __get_cpuid_max(0, NULL);
	if (top >= 0x15) {
		__cpuid_count(0x15, 0, a, b, c, d);
		if (a && b && c)
			khz = (u64)c * b / a / 1000;
	}
	__cpuid(1, a, b, c, d);
	if (!khz && c & 1u << 31) {	/* a hypervisor's timing leaf, as VMware defined it */
		__cpuid(0x40000000, a, b, c, d);
		if (a >= 0x40000010 && a < 0x40000100) {
			__cpuid(0x40000010, a, b, c, d);
			khz = a;
		}
	}
	if (!khz)
		khz = measured_khz();
}

u64 host_tsc_khz(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find_khz);
	return khz;
}
