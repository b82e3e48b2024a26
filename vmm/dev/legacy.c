// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * legacy.c - ports of a PC that exist to reset it, or to say where its firmware is
 *
 * There is no keyboard.  Its controller is here because its output port pulses the
 * processor's reset line, which is how a PC is rebooted if nothing newer works.
 *
 * Locking: none; the one byte of state is atomic.
 * Reference: IBM PC AT Technical Reference, "Keyboard Controller".
 */
#include "vmm/dev/legacy.h"

#include <string.h>

#include "base/atomic.h"

enum {
	I8042_WRITE_OUTPUT = 0xd1, I8042_PULSE = 0xf0,	/* low bits 0: pulse that line */
	OUTPUT_NOT_RESET = 1,
	PORT92_A20 = 2, PORT92_RESET = 1,
};

static void reset(struct legacy *l)
{
	l->wires.reset(l->wires.owner);
}

static u64 zero_read(void *owner, u64 offset, unsigned size)
{
	(void)owner, (void)offset, (void)size;
	return 0;
}

static u64 ones_read(void *owner, u64 offset, unsigned size)
{
	(void)owner, (void)offset, (void)size;
	return ~0ull;
}

/* i8042: always ready for a command, never with data. */
static void command_write(void *owner, u64 offset, unsigned size, u64 value)
{
	struct legacy *l = owner;

	(void)offset, (void)size;
	atomic_store_relaxed(&l->command, (u8)value);
	if ((value & I8042_PULSE) == I8042_PULSE && !(value & 1))
		reset(l);
}

static void data_write(void *owner, u64 offset, unsigned size, u64 value)
{
	struct legacy *l = owner;

	(void)offset, (void)size;
	if (atomic_exchange(&l->command, 0) == I8042_WRITE_OUTPUT && !(value & OUTPUT_NOT_RESET))
		reset(l);
}

static u64 port92_read(void *owner, u64 offset, unsigned size)
{
	(void)owner, (void)offset, (void)size;
	return PORT92_A20;
}

static void port92_write(void *owner, u64 offset, unsigned size, u64 value)
{
	(void)offset, (void)size;
	if (value & PORT92_RESET)
		reset(owner);
}

static void post_write(void *owner, u64 offset, unsigned size, u64 value)
{
	(void)owner, (void)offset, (void)size, (void)value;
}

static void exit_write(void *owner, u64 offset, unsigned size, u64 value)
{
	struct legacy *l = owner;

	(void)offset, (void)size;
	l->wires.exit(l->wires.owner, (u32)value);
}

static const struct bus_ops data_ops = { zero_read, data_write };
static const struct bus_ops command_ops = { zero_read, command_write };
static const struct bus_ops port92_ops = { port92_read, port92_write };
static const struct bus_ops post_ops = { ones_read, post_write };
static const struct bus_ops exit_ops = { ones_read, exit_write };

int legacy_create(struct legacy *l, struct bus *pio, const struct legacy_wires *wires,
		  u16 exit_port)
{
	int error;

	memset(l, 0, sizeof(*l));
	l->wires = *wires;
	error = bus_add(pio, 0x60, 1, &data_ops, l);
	if (!error)
		error = bus_add(pio, 0x64, 1, &command_ops, l);
	if (!error)
		error = bus_add(pio, 0x92, 1, &port92_ops, l);
	if (!error)
		error = bus_add(pio, 0x80, 1, &post_ops, l);
	if (!error && exit_port)
		error = bus_add(pio, exit_port, 4, &exit_ops, l);
	return error;
}
