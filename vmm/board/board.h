/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * board.h - the devices every machine has, put on its buses
 */
#ifndef VMM_BOARD_BOARD_H
#define VMM_BOARD_BOARD_H

#include "base/types.h"

struct machine;
struct terminal;

struct board_options {
	bool	serial;			/* there is a COM1 ... */
	struct terminal *terminal;	/* ... and this is at its other end; NULL: nobody */
	u16	exit_port;		/* a write here ends the machine; 0: no such port */
};

/* The machine owns the board.  0 or, having said why, -errno. */
int board_create(struct machine *m, const struct board_options *o);

/* The user presses the power button. */
void board_press_power(struct machine *m);

#endif
