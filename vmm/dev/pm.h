/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pm.h - ACPI power management: the fixed hardware registers
 */
#ifndef VMM_DEV_PM_H
#define VMM_DEV_PM_H

#include <pthread.h>

#include "base/types.h"

#define PM_PORT		0x600	/* status, enable: 4 bytes; control at +4; timer at +8 */
#define PM_PORTS	12
#define PM_SCI		9	/* GSI of its interrupt, level-triggered */
#define PM_SLEEP_S5	5	/* SLP_TYP for "off": what \_S5 says */
#define PM_TIMER_HZ	3579545u

struct pm_wires {
	void	*owner;
	void	(*sci)(void *owner, bool level);	/* with pm->lock held */
	void	(*power_off)(void *owner);
};

struct pm {
	pthread_mutex_t lock;	/* guards the registers */
	struct pm_wires wires;
	u16	status, enable, control;
};

void pm_init(struct pm *p, const struct pm_wires *wires);
void pm_reset(struct pm *p);

/* Offsets from PM_PORT; now_ns is monotonic time. */
u32  pm_read(struct pm *p, unsigned offset, unsigned size, u64 now_ns);
void pm_write(struct pm *p, unsigned offset, unsigned size, u32 value);

/* The user pressed the power button: the guest may shut down. */
void pm_press_power(struct pm *p);

#endif
