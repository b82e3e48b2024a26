// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * i8254.c - counters of the 8254 programmable interval timer
 *
 * Nothing ticks here.  A counter remembers what the guest loaded and when; its
 * value and its OUT pin are functions of the tick they are asked for.  That
 * leaves no host time in a snapshot, and lets a test visit any tick it likes.
 *
 * A read answers with the first of these that applies:
 *   1. the status byte, if a read-back command latched it;
 *   2. the count, if a command latched it, low byte before high;
 *   3. the count as it stands.
 * A latch that has not been read out ignores further latch commands.
 *
 * Locking: the caller holds the PIT's lock.
 * Reference: Intel 8254 data sheet, "Mode Definitions".
 * Not modelled: BCD counting, which no known guest uses.  A count written to a running
 * counter takes effect at once, not at the end of its period.
 */
#include "core/i8254.h"

/* Control word: counter, access, mode, BCD. */
#define CW_COUNTER(w)	((w) >> 6)
#define CW_ACCESS(w)	((w) >> 4 & 3)
#define CW_MODE(w)	((w) >> 1 & 7)
#define CW_BCD		0x01
#define CW_READ_BACK	3
#define CW_LATCH	0

/* Read-back command.  The two "don't latch" bits are active low. */
#define RB_NO_COUNT	0x20
#define RB_NO_STATUS	0x10
#define RB_COUNTER(n)	(0x02 << (n))

void pit_reset(struct pit_counter counter[3], u64 now)
{
	for (int n = 0; n < 3; n++)
		counter[n] = (struct pit_counter){
			.loaded_at = now, .reload = 65536, .mode = 3, .access = PIT_WORD, .gate = n != 2,
			.null_count = true,
		};
}

static bool is_triggered_by_gate(const struct pit_counter *c)
{
	return c->mode == 1 || c->mode == 5;
}

/* Ticks counted since the count was loaded. */
static u64 elapsed(const struct pit_counter *c, u64 now)
{
	if (!c->gate && !is_triggered_by_gate(c))
		return c->held;
	return now - c->loaded_at;
}

u16 pit_count(const struct pit_counter *c, u64 now)
{
	u64 ticks = elapsed(c, now);

	switch (c->mode) {
	case 2:			/* rate generator: reloads at one */
		return (u16)(c->reload - ticks % c->reload);
	case 3:			/* square wave: counts by two */
		return (u16)(c->reload - 2 * ticks % c->reload);
	default:		/* one-shot: counts on through zero */
		return (u16)(c->reload - ticks);
	}
}

bool pit_out(const struct pit_counter *c, u64 now)
{
	u64 ticks = elapsed(c, now);

	if (c->null_count || c->waiting)
		return c->mode != 0;
	switch (c->mode) {
	case 2:			/* low for the last tick of each period */
		return !c->gate || ticks % c->reload != c->reload - 1;
	case 3:			/* high for the first half */
		return !c->gate || ticks % c->reload < (c->reload + 1) / 2;
	case 4: case 5:		/* low for one tick, on reaching zero */
		return ticks != c->reload;
	default:		/* high once the count has run out */
		return ticks >= c->reload;
	}
}

u64 pit_next_rise(const struct pit_counter *c, u64 now)
{
	u64 ticks = elapsed(c, now), rise;

	if (c->null_count || c->waiting || (!c->gate && !is_triggered_by_gate(c)))
		return ~0ull;
	switch (c->mode) {
	case 2: case 3:
		rise = ticks - ticks % c->reload + c->reload;
		break;
	case 4: case 5:
		rise = c->reload + 1ull;
		break;
	default:
		rise = c->reload;
	}
	return rise > ticks ? c->loaded_at + rise : ~0ull;
}

static u8 status(const struct pit_counter *c, u64 now)
{
	return (u8)(pit_out(c, now) << 7 | c->null_count << 6 |
		    c->access << 4 | c->mode << 1 | c->bcd);
}

static void latch_count(struct pit_counter *c, u64 now)
{
	if (c->count_latched)
		return;
	c->count_latch = pit_count(c, now);
	c->count_latched = true;
}

void pit_read_back(struct pit_counter counter[3], u8 command, u64 now)
{
	for (int n = 0; n < 3; n++) {
		struct pit_counter *c = &counter[n];

		if (!(command & RB_COUNTER(n)))
			continue;
		if (!(command & RB_NO_COUNT))
			latch_count(c, now);
		if (!(command & RB_NO_STATUS) && !c->status_latched) {
			c->status_latch = status(c, now);
			c->status_latched = true;
		}
	}
}

int pit_control(struct pit_counter counter[3], u8 command, u64 now)
{
	u8 n = CW_COUNTER(command), mode = CW_MODE(command);
	struct pit_counter *c = &counter[n];

	if (n == CW_READ_BACK) {
		pit_read_back(counter, command, now);
		return -1;
	}
	if (CW_ACCESS(command) == CW_LATCH) {
		latch_count(c, now);
		return -1;
	}
	c->access = CW_ACCESS(command);
	c->mode = mode > 5 ? mode & 3 : mode;	/* the high bit of 6 and 7 is not looked at */
	c->bcd = command & CW_BCD;
	c->null_count = true;
	c->waiting = false;
	c->msb_next = c->write_msb_next = false;
	c->count_latched = c->status_latched = false;
	c->loaded_at = now;
	c->held = 0;
	return n;
}

u8 pit_read(struct pit_counter *c, u64 now)
{
	u16 count = c->count_latched ? c->count_latch : pit_count(c, now);
	bool high = c->access == PIT_MSB || c->msb_next;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status_latch;
	}
	c->msb_next = c->access == PIT_WORD && !high;
	if (!c->msb_next)	/* that was the last byte */
		c->count_latched = false;
	return (u8)(high ? count >> 8 : count);
}

static void load(struct pit_counter *c, u16 count, u64 now)
{
	c->reload = count ? count : 65536;
	c->loaded_at = now;
	c->held = 0;
	c->null_count = false;
	c->waiting = is_triggered_by_gate(c);
}

bool pit_write(struct pit_counter *c, u8 value, u64 now)
{
	switch (c->access) {
	case PIT_LSB:
		load(c, value, now);
		return true;
	case PIT_MSB:
		load(c, (u16)(value << 8), now);
		return true;
	}
	c->write_msb_next = !c->write_msb_next;
	if (c->write_msb_next) {
		c->write_low = value;
		return false;
	}
	load(c, (u16)(value << 8 | c->write_low), now);
	return true;
}

void pit_set_gate(struct pit_counter *c, bool gate, u64 now)
{
	bool rises = gate && !c->gate;

	if (!gate && c->gate)
		c->held = now - c->loaded_at;
	c->gate = gate;
	if (!rises)
		return;
	if (c->mode == 0 || c->mode == 4) {	/* goes on where it stopped */
		c->loaded_at = now - c->held;
	} else {				/* begins anew */
		c->loaded_at = now;
		c->waiting = false;
	}
}
