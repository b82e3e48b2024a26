/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * legacy.h - ports of a PC that exist to reset it, or to say where its firmware is
 */
#ifndef VMM_DEV_LEGACY_H
#define VMM_DEV_LEGACY_H

#include "base/types.h"
#include "vmm/bus/bus.h"

struct legacy_wires {
	void	*owner;
	void	(*reset)(void *owner);
	void	(*exit)(void *owner, u32 value);	/* a write to the exit port */
};

struct legacy {
	struct legacy_wires wires;
	u8	command;	/* i8042: the last command byte; atomic */
};

/*
 * The i8042 (0x60, 0x64), fast A20 (0x92), POST codes (0x80) and, if exit_port is not 0,
 * a port whose first write ends the machine.  0 or -errno.
 */
int legacy_create(struct legacy *l, struct bus *pio, const struct legacy_wires *wires,
		  u16 exit_port);

#endif
