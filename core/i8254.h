/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * i8254.h - the 8254 programmable interval timer
 */
#ifndef CORE_I8254_H
#define CORE_I8254_H

#include "base/types.h"

/* Which bytes of a count a port access moves: the RW field of a control word. */
enum pit_access { PIT_LSB = 1, PIT_MSB = 2, PIT_WORD = 3 };

struct pit_counter {
	u64	loaded_at;	/* when the count was loaded or triggered, in PIT ticks */
	u64	held;		/* gate low: ticks that had been counted when it fell */
	u32	reload;		/* what was loaded, 1..65536 */
	u8	mode;		/* 0..5 */
	u8	access;		/* enum pit_access */
	bool	bcd;		/* only remembered */
	bool	gate;
	bool	null_count;	/* a control word was written, but no count yet */
	bool	waiting;	/* modes 1 and 5: for the gate to rise */
	bool	msb_next;	/* PIT_WORD: the low byte has been read */
	bool	write_msb_next;	/* PIT_WORD: the low byte has been written ... */
	u8	write_low;	/* ... and is this */

	bool	count_latched;
	u16	count_latch;
	bool	status_latched;
	u8	status_latch;
};

void pit_reset(struct pit_counter counter[3], u64 now);
u16  pit_count(const struct pit_counter *c, u64 now);
bool pit_out(const struct pit_counter *c, u64 now);

void pit_read_back(struct pit_counter counter[3], u8 command, u64 now);
/* Port 0x43.  The counter it set up, -1 if it only latched. */
int  pit_control(struct pit_counter counter[3], u8 command, u64 now);
u8   pit_read(struct pit_counter *c, u64 now);
/* True: the count is complete and was loaded. */
bool pit_write(struct pit_counter *c, u8 value, u64 now);
void pit_set_gate(struct pit_counter *c, bool gate, u64 now);

/* The first tick after now at which OUT rises; ~0 if it will not by itself. */
u64  pit_next_rise(const struct pit_counter *c, u64 now);

#endif
