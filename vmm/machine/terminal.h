/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * terminal.h - the user's end of a serial port or console
 *
 * Input comes in as it is typed, except for what follows Ctrl-a; output goes to a buffer
 * that the loop empties.  Exactly one device is attached.  Either side may be slow: the device
 * takes as much input as it has room for and asks for more, and is told when output has room again.
 *
 * Locking: one mutex; the device's callbacks are called on the loop's thread without it.
 */
#ifndef VMM_MACHINE_TERMINAL_H
#define VMM_MACHINE_TERMINAL_H

#include "base/types.h"

struct loop;
struct terminal;

/* What a terminal does for its user beside passing bytes on.  Called on the loop's thread. */
struct terminal_keys {
	void	*owner;
	void	(*leave)(void *owner);	/* Ctrl-a x */
	void	(*power)(void *owner);	/* Ctrl-a p: the power button */
};

/* The device at the other end. */
struct terminal_port {
	void	*owner;
	size_t (*input)(void *owner, const u8 *bytes, size_t n); /* returns how many it took */
	void (*drained)(void *owner); /* a terminal_write() that was cut short can go on */
};

/* Input and output are fds; -1: none.  A tty is raw until terminal_close() or the program's end. */
int terminal_open(struct terminal **out, struct loop *l, int input, int output,
		  const struct terminal_keys *keys);
/*
 * Writes what is buffered, for 1 s at most, and restores the tty.  The device may go on using
 * it, to no effect, until terminal_free().  Before the loop goes away; NULL is fine.
 */
void terminal_close(struct terminal *t);
void terminal_free(struct terminal *t);
void terminal_attach(struct terminal *t, const struct terminal_port *port);

/* Any thread.  Returns how many bytes were taken; fewer than n: wait for drained(). */
size_t terminal_write(struct terminal *t, const void *bytes, size_t n);
/* Any thread.  The port, which took less input than it was offered, has room again. */
void terminal_input_wanted(struct terminal *t);

/* Put the user's tty back as it was, async-signal-safe; and raw again (after SIGCONT). */
void terminal_restore(void);
void terminal_raw(void);

#endif
