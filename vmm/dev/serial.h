/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * serial.h - a 16550 serial port
 */
#ifndef VMM_DEV_SERIAL_H
#define VMM_DEV_SERIAL_H

#include <pthread.h>

#include "base/types.h"

#define SERIAL_FIFO_BYTES 16

/* What the port is wired to; called with the port's lock held. */
struct serial_wires {
	void	*owner;
	void	(*line)(void *owner, bool level);	/* its interrupt, on a change */
	size_t (*send)(void *owner, const u8 *bytes, size_t n); /* returns how many were taken */
	void (*input_wanted)(void *owner); /* after serial_input() took too little: there is room */
};

struct serial {
	pthread_mutex_t lock;	/* guards everything below; taken before what the wires lead to */
	struct serial_wires wires;
	u8	ier, fcr, lcr, mcr, scratch, divisor_low, divisor_high;
	u8	errors;		/* LSR bits that stay until read */
	u8	msr_delta;	/* MSR bits 0..3: changes since it was read */
	bool	thre;		/* "transmitter empty" interrupt is pending */
	bool	line;		/* level of the interrupt */
	bool	starved;	/* input was refused for lack of room */
	u8	rx[SERIAL_FIFO_BYTES], rx_count;
	u8	tx[SERIAL_FIFO_BYTES], tx_count;	/* not yet taken by wires.send */
};

void serial_init(struct serial *s, const struct serial_wires *wires);
void serial_reset(struct serial *s);

/* Registers 0..7, as ports 0x3f8..0x3ff. */
u8   serial_read(struct serial *s, unsigned reg);
void serial_write(struct serial *s, unsigned reg, u8 value);

/* Bytes arrive on the line: as many as fit are taken, and their number is returned. */
size_t serial_input(struct serial *s, const u8 *bytes, size_t n);
/* wires.send, which took too little, would take more. */
void serial_drained(struct serial *s);

#endif
