// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rtc.c - an MC146818 real-time clock with its CMOS memory
 *
 * Nothing ticks here.  The guest's time is the host's plus an offset, and the registers are
 * functions of the time they are read at.  Events (a second has ended, the alarm matches, a
 * period is over) are found by comparing the time of the last look with now: `polled`.
 *
 * Invariants:
 *   1. c holds the events up to `polled`; its bit 7 is set if one of them is enabled in b.
 *   2. The interrupt line is up exactly if bit 7 of c is set.
 *
 * Locking: r->lock; line() is called with it held.
 * Reference: Motorola MC146818A data sheet, "Registers", "Update Cycle", "Interrupts".
 * Not modelled: daylight saving, the square wave, stopping the divider.
 */
#include "vmm/dev/rtc.h"

#include <string.h>
#include <time.h>

#define SECOND		1000000000ull
#define UPDATE_NS	244000ull /* "update in progress" is up this long before a second ends */

enum {
	SEC = 0, SEC_ALARM, MIN, MIN_ALARM, HOUR, HOUR_ALARM, WEEKDAY, DAY, MONTH, YEAR,
	REG_A, REG_B, REG_C, REG_D, CENTURY = 0x32,

	A_UIP = 0x80, A_DEFAULT = 0x26,
	B_SET = 0x80, B_PERIODIC = 0x40, B_ALARM = 0x20, B_UPDATE = 0x10, B_BINARY = 4, B_24H = 2,
	C_IRQ = 0x80, C_EVENTS = 0x70,
	D_VALID = 0x80,
	HOUR_PM = 0x80, ALARM_ANY = 0xc0,
};

/* --- numbers as the guest wants them ---------------------------------------------- */

static u8 encode(const struct rtc *r, unsigned n)
{
	return (u8)(r->b & B_BINARY ? n : n / 10 % 10 << 4 | n % 10);
}

static unsigned decode(const struct rtc *r, u8 byte)
{
	return r->b & B_BINARY ? byte : (byte >> 4) * 10u + (byte & 15u);
}

static u8 encode_hour(const struct rtc *r, unsigned hour)
{
	if (r->b & B_24H)
		return encode(r, hour);
	return (u8)(encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0));
}

static unsigned decode_hour(const struct rtc *r, u8 byte)
{
	if (r->b & B_24H)
		return decode(r, byte);
	return decode(r, byte & (u8)~HOUR_PM) % 12 + (byte & HOUR_PM ? 12 : 0);
}

/* --- r->lock held ------------------------------------------------------------------- */

static void date_of(u64 ns, struct tm *tm)
{
	time_t seconds = (time_t)(ns / SECOND);

	gmtime_r(&seconds, tm);
}

/* Fill set[] with the date at guest time `ns`. */
static void date_capture(struct rtc *r, u64 ns)
{
	struct tm tm;

	date_of(ns, &tm);
	r->set[SEC] = encode(r, (unsigned)tm.tm_sec);
	r->set[MIN] = encode(r, (unsigned)tm.tm_min);
	r->set[HOUR] = encode_hour(r, (unsigned)tm.tm_hour);
	r->set[WEEKDAY] = encode(r, (unsigned)tm.tm_wday + 1);
	r->set[DAY] = encode(r, (unsigned)tm.tm_mday);
	r->set[MONTH] = encode(r, (unsigned)tm.tm_mon + 1);
	r->set[YEAR] = encode(r, (unsigned)tm.tm_year % 100);
	r->set_century = encode(r, (unsigned)(tm.tm_year / 100) + 19);
}

/* Let guest time go on from what set[] says. */
static void date_apply(struct rtc *r, u64 now)
{
	struct tm tm = {
		.tm_sec = (int)decode(r, r->set[SEC]),
		.tm_min = (int)decode(r, r->set[MIN]),
		.tm_hour = (int)decode_hour(r, r->set[HOUR]),
		.tm_mday = (int)decode(r, r->set[DAY]),
		.tm_mon = (int)decode(r, r->set[MONTH]) - 1,
		.tm_year = (int)(decode(r, r->set_century) * 100 + decode(r, r->set[YEAR])) - 1900,
	};
	time_t seconds = timegm(&tm);

	if (seconds < 0)	/* before 1970: not a date we can hold */
		seconds = 0;
	r->offset = (u64)seconds * SECOND - now;
	r->polled = (u64)seconds * SECOND;
}

static u64 period_ns(const struct rtc *r)
{
	unsigned rate = r->a & 15;

	if (!rate)
		return 0;
	if (rate < 3)
		rate += 7;	/* with a 32 kHz crystal, 1 and 2 are 256 and 128 Hz */
	return SECOND * (1u << (rate - 1)) / 32768;
}

static bool alarm_field_matches(const struct rtc *r, unsigned field, unsigned value)
{
	u8 wanted = r->alarm[field];

	if ((wanted & ALARM_ANY) == ALARM_ANY)
		return true;
	return (field == 2 ? decode_hour(r, wanted) : decode(r, wanted)) == value;
}

/* The first second boundary after `ns` at which the alarm matches; RTC_NEVER. */
static u64 alarm_next(const struct rtc *r, u64 ns)
{
	u64 t = ns / SECOND + 1, limit = t + 2 * 86400;

	while (t < limit) {	/* at most a day's hours, an hour's minutes, a minute's seconds */
		if (!alarm_field_matches(r, 2, (unsigned)(t / 3600 % 24)))
			t = (t / 3600 + 1) * 3600;
		else if (!alarm_field_matches(r, 1, (unsigned)(t / 60 % 60)))
			t = (t / 60 + 1) * 60;
		else if (!alarm_field_matches(r, 0, (unsigned)(t % 60)))
			t++;
		else
			return t * SECOND;
	}
	return RTC_NEVER;
}

static void line_update(struct rtc *r)
{
	r->c = (u8)(r->c & C_EVENTS);
	if (r->c & r->b & C_EVENTS)
		r->c |= C_IRQ;
	r->line(r->owner, r->c & C_IRQ);
}

/* Note the events between the last look and guest time `t`. */
static void events_note(struct rtc *r, u64 t)
{
	u64 period = period_ns(r);

	if (t <= r->polled || r->b & B_SET) {	/* the host's clock was set back, or ours stands */
		r->polled = t;
		return;
	}
	if (t / SECOND != r->polled / SECOND)
		r->c |= B_UPDATE;
	if (alarm_next(r, r->polled) <= t)
		r->c |= B_ALARM;
	if (period && t / period != r->polled / period)
		r->c |= B_PERIODIC;
	r->polled = t;
	line_update(r);
}

/* When the next enabled event is that is not already noted, in guest time. */
static u64 event_next(const struct rtc *r)
{
	u8 waiting = r->b & ~r->c & C_EVENTS;
	u64 next = RTC_NEVER, period = period_ns(r);

	if (r->b & B_SET)
		return RTC_NEVER;
	if (waiting & B_UPDATE)
		next = MIN_OF(next, (r->polled / SECOND + 1) * SECOND);
	if (waiting & B_ALARM)
		next = MIN_OF(next, alarm_next(r, r->polled));
	if (waiting & B_PERIODIC && period)
		next = MIN_OF(next, (r->polled / period + 1) * period);
	return next;
}

static u8 reg_read(struct rtc *r, u64 t)
{
	u8 value;

	switch (r->index) {
	case SEC: case MIN: case HOUR: case WEEKDAY: case DAY: case MONTH: case YEAR: case CENTURY:
		if (!(r->b & B_SET))
			date_capture(r, t);
		return r->index == CENTURY ? r->set_century : r->set[r->index];
	case SEC_ALARM: case MIN_ALARM: case HOUR_ALARM:
		return r->alarm[r->index / 2];
	case REG_A:
		return (u8)(r->a |
			    (!(r->b & B_SET) && t % SECOND >= SECOND - UPDATE_NS ? A_UIP : 0));
	case REG_B:
		return r->b;
	case REG_C:
		value = r->c;
		r->c = 0;
		return value;
	case REG_D:
		return D_VALID;
	default:
		return r->ram[r->index];
	}
}

static void b_write(struct rtc *r, u8 value, u64 now)
{
	if (value & B_SET && !(r->b & B_SET))
		date_capture(r, now + r->offset);
	if (!(value & B_SET) && r->b & B_SET)
		date_apply(r, now);
	r->b = value & B_SET ? value & (u8)~B_UPDATE : value;
}

static void reg_write(struct rtc *r, u8 value, u64 now)
{
	switch (r->index) {
	case SEC: case MIN: case HOUR: case WEEKDAY: case DAY: case MONTH: case YEAR: case CENTURY:
		if (!(r->b & B_SET))
			date_capture(r, now + r->offset);
		*(r->index == CENTURY ? &r->set_century : &r->set[r->index]) = value;
		if (!(r->b & B_SET))
			date_apply(r, now);
		break;
	case SEC_ALARM: case MIN_ALARM: case HOUR_ALARM:
		r->alarm[r->index / 2] = value;
		break;
	case REG_A:
		r->a = value & (u8)~A_UIP;
		break;
	case REG_B:
		b_write(r, value, now);
		break;
	case REG_C: case REG_D:
		break;		/* read-only */
	default:
		r->ram[r->index] = value;
	}
}

/* --- any thread ----------------------------------------------------------------------- */

u8 rtc_read(struct rtc *r, unsigned offset, u64 now)
{
	u8 value = 0xff;	/* port 0x70 cannot be read */

	if (offset != 1)
		return value;
	pthread_mutex_lock(&r->lock);
	events_note(r, now + r->offset);
	value = reg_read(r, now + r->offset);
	line_update(r);
	pthread_mutex_unlock(&r->lock);
	return value;
}

void rtc_write(struct rtc *r, unsigned offset, u8 value, u64 now)
{
	pthread_mutex_lock(&r->lock);
	events_note(r, now + r->offset);
	if (offset == 0)
		r->index = value & 0x7f;	/* bit 7 would mask NMIs */
	else
		reg_write(r, value, now);
	line_update(r);
	pthread_mutex_unlock(&r->lock);
}

u64 rtc_poll(struct rtc *r, u64 now)
{
	u64 next;

	pthread_mutex_lock(&r->lock);
	events_note(r, now + r->offset);
	next = event_next(r);
	if (next != RTC_NEVER)
		next -= r->offset;
	pthread_mutex_unlock(&r->lock);
	return next;
}

/* How much memory there is, where a BIOS leaves it. */
static void memory_describe(struct rtc *r, u64 ram_low, u64 ram_high)
{
	u64 above_1m = ram_low > (1u << 20) ? (ram_low - (1u << 20)) / 1024 : 0;
	u64 above_16m = ram_low > (16u << 20) ? (ram_low - (16u << 20)) >> 16 : 0;
	u64 above_4g = ram_high >> 16;

	above_1m = MIN_OF(above_1m, 0xffffull);
	above_16m = MIN_OF(above_16m, 0xffffull);
	r->ram[0x15] = (u8)640, r->ram[0x16] = 640 >> 8;
	r->ram[0x17] = r->ram[0x30] = (u8)above_1m;
	r->ram[0x18] = r->ram[0x31] = (u8)(above_1m >> 8);
	r->ram[0x34] = (u8)above_16m, r->ram[0x35] = (u8)(above_16m >> 8);
	r->ram[0x5b] = (u8)above_4g, r->ram[0x5c] = (u8)(above_4g >> 8),
	r->ram[0x5d] = (u8)(above_4g >> 16);
}

void rtc_init(struct rtc *r, void *owner, void (*line)(void *owner, bool level), u64 ram_low,
	      u64 ram_high, u64 now)
{
	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	r->owner = owner;
	r->line = line;
	memory_describe(r, ram_low, ram_high);
	r->a = A_DEFAULT;
	r->b = B_24H;
	r->polled = now;
}

/* A clock has a battery: a reset only takes its interrupts away. */
void rtc_reset(struct rtc *r, u64 now)
{
	pthread_mutex_lock(&r->lock);
	events_note(r, now + r->offset);
	r->b &= (u8)~(B_PERIODIC | B_ALARM | B_UPDATE);
	r->c = 0;
	line_update(r);
	pthread_mutex_unlock(&r->lock);
}
