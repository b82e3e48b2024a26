/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtc.h - an MC146818 real-time clock with its CMOS memory
 *
 * Times are nanoseconds since 1970 (UTC) by the host's wall clock.
 */
#ifndef VMM_DEV_RTC_H
#define VMM_DEV_RTC_H

#include <pthread.h>

#include "base/types.h"

#define RTC_NEVER	(~0ull)

struct rtc {
	pthread_mutex_t lock;	/* guards everything below */
	void	*owner;
	void	(*line)(void *owner, bool level);	/* its interrupt, with the lock held */
	u64	offset;		/* guest time = host time + offset, modulo 2^64 */
	u64	polled;		/* guest time up to which the flags are right */
	u8	index;		/* port 0x70 */
	u8	a, b, c;
	u8	set[10];	/* the time and date while they are being set */
	u8	set_century;
	u8	alarm[3];	/* seconds, minutes, hours */
	u8	ram[128];	/* the rest */
};

/* ram_low and ram_high are bytes of RAM below and above 4 GiB, for the CMOS. */
void rtc_init(struct rtc *r, void *owner, void (*line)(void *owner, bool level), u64 ram_low,
	      u64 ram_high, u64 now);
void rtc_reset(struct rtc *r, u64 now);

/* Ports 0x70 (offset 0) and 0x71. */
u8   rtc_read(struct rtc *r, unsigned offset, u64 now);
void rtc_write(struct rtc *r, unsigned offset, u8 value, u64 now);

/* Raise what has become due; when to call again (host time), or RTC_NEVER. */
u64 rtc_poll(struct rtc *r, u64 now);

#endif
