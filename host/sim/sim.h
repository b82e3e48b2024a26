/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim.h - a host that does what a test tells it
 *
 * One thread; a clock that moves only when told to, or when something waits; allocations
 * that fail on request; memory that exists only where the test says.  A call in a wrong
 * context (host.h's marks) or host_bug() aborts, unless sim_expect_bugs() was called.
 */
#ifndef HOST_SIM_SIM_H
#define HOST_SIM_SIM_H

#include "host/host.h"

/* Back to the beginning: clock 0 + 1 s, no memory, no faults, processor 0.  Allocations stay. */
void sim_reset(void);

/* Move the clock; timers that become due run, in order, each at its deadline. */
void sim_clock_advance(u64 ns);

/* When the next armed timer is due; ~0 if none is. */
u64  sim_timer_next(void);

/* Run queued work until there is none. */
void sim_work_run(void);

/* The n-th allocation from now fails (1: the next one), and only that; 0: none. */
void sim_fail_alloc(u64 n);
/* Allocations that have not been freed. */
u64  sim_allocations(void);

/* Memory of the process: outside such ranges copies and host_page_get() are -EFAULT. */
void sim_memory(void *start, u64 bytes, bool writable);
void sim_memory_forget(void *start);

/* Tell those who attached that a range goes away; what the kernel's MMU notifier does. */
void sim_invalidate(u64 start, u64 end);

/* Act as this processor from now on; kicks are counted for each. */
void sim_cpu(unsigned cpu);
u64  sim_kicks(unsigned cpu);

/* What host_must_return() says. */
void sim_interrupt(bool on);
void sim_fpu_stays(bool on);		/* what host_fpu_begin() says */

/* Any number is an event; raising it runs its watchers; signals are counted. */
void sim_event_raise(int fd);
u64  sim_event_signals(int fd);

/* host_bug() and context mistakes are counted instead of fatal. */
void sim_expect_bugs(bool on);
u64  sim_bugs(void);

#endif
