/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * internal.h - what the files of host/sim share
 */
#ifndef HOST_SIM_INTERNAL_H
#define HOST_SIM_INTERNAL_H

#include "host/sim/sim.h"

#define SIM_CPUS 64u

struct sim {
	u64 now;
	u64 pages_held;
	unsigned cpu, pinned, spins;
	bool irq_off, in_timer, fpu, fpu_stays;
};

extern struct sim sim;

void sim_may_sleep(const char *function);
void sim_may_atomic(const char *function);
void sim_time_reset(void);

#define MAY_SLEEP()	sim_may_sleep(__func__)
#define MAY_ATOMIC()	sim_may_atomic(__func__)

#endif
