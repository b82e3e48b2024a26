// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * board.c - the devices every machine has, put on its buses
 *
 * The devices know neither ports nor clocks nor threads; here they are given all three.
 *
 * Locking: each device has its own lock; this file's state is fixed after board_create().
 */
#include "vmm/board/board.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/board/layout.h"
#include "vmm/dev/legacy.h"
#include "vmm/dev/pm.h"
#include "vmm/dev/rtc.h"
#include "vmm/dev/serial.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/report.h"
#include "vmm/machine/terminal.h"

struct board {
	struct board_device device;
	struct machine *m;
	struct terminal *terminal;
	bool	has_serial;
	struct serial serial;
	struct rtc rtc;
	struct loop_timer rtc_timer;
	struct pm pm;
	struct legacy legacy;
};

static u64 wall_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

/* --- the serial port --------------------------------------------------------- */

static void serial_line(void *owner, bool level)
{
	struct board *b = owner;

	machine_set_line(b->m, LAYOUT_SERIAL_IRQ, level);
}

static size_t serial_send(void *owner, const u8 *bytes, size_t n)
{
	struct board *b = owner;

	return b->terminal ? terminal_write(b->terminal, bytes, n) : n;
}

static void serial_wants_input(void *owner)
{
	struct board *b = owner;

	if (b->terminal)
		terminal_input_wanted(b->terminal);
}

static size_t port_input(void *owner, const u8 *bytes, size_t n)
{
	return serial_input(&((struct board *)owner)->serial, bytes, n);
}

static void port_drained(void *owner)
{
	serial_drained(&((struct board *)owner)->serial);
}

static u64 serial_bus_read(void *owner, u64 offset, unsigned size)
{
	return size == 1 ? serial_read(owner, (unsigned)offset) : ~0ull;
}

static void serial_bus_write(void *owner, u64 offset, unsigned size, u64 value)
{
	/* A wider access to 8-bit ports is one access to each. */
	for (unsigned i = 0; i < size; i++)
		serial_write(owner, (unsigned)offset + i, (u8)(value >> 8 * i));
}

static const struct bus_ops serial_ops = { serial_bus_read, serial_bus_write };

/* --- the clock ------------------------------------------------------------------ */

static void rtc_line(void *owner, bool level)
{
	struct board *b = owner;

	machine_set_line(b->m, LAYOUT_RTC_IRQ, level);
}

/* Let the timer call when the next event is due; wall clock and loop_now() run alike. */
static void rtc_schedule(struct board *b)
{
	u64 now = wall_clock(), next = rtc_poll(&b->rtc, now);

	if (next != RTC_NEVER)
		loop_timer_start(b->m->loop, &b->rtc_timer,
				 loop_now() + (next > now ? next - now : 0));
}

static void rtc_due(struct loop_timer *t)
{
	rtc_schedule(CONTAINER_OF(t, struct board, rtc_timer));
}

static u64 rtc_bus_read(void *owner, u64 offset, unsigned size)
{
	struct board *b = owner;
	u64 value = size == 1 ? rtc_read(&b->rtc, (unsigned)offset, wall_clock()) : ~0ull;

	rtc_schedule(b);
	return value;
}

static void rtc_bus_write(void *owner, u64 offset, unsigned size, u64 value)
{
	struct board *b = owner;

	for (unsigned i = 0; i < size && offset + i < 2; i++)
		rtc_write(&b->rtc, (unsigned)offset + i, (u8)(value >> 8 * i), wall_clock());
	if (offset + size > 1)
		rtc_schedule(b);
}

static const struct bus_ops rtc_ops = { rtc_bus_read, rtc_bus_write };

/* --- power management and reset ---------------------------------------------------- */

static void pm_sci(void *owner, bool level)
{
	machine_set_line(owner, PM_SCI, level);
}

static void pm_power_off(void *owner)
{
	machine_request(owner, END_POWER_OFF, 0);
}

static u64 pm_bus_read(void *owner, u64 offset, unsigned size)
{
	return pm_read(owner, (unsigned)offset, size, loop_now());
}

static void pm_bus_write(void *owner, u64 offset, unsigned size, u64 value)
{
	pm_write(owner, (unsigned)offset, size, (u32)value);
}

static const struct bus_ops pm_ops = { pm_bus_read, pm_bus_write };

static void legacy_reset(void *owner)
{
	machine_request(owner, END_RESET, 0);
}

static void legacy_exit(void *owner, u32 value)
{
	machine_request(owner, END_EXIT_PORT, (int)(value & 0x7fffffff));
}

/* --- the board ----------------------------------------------------------------------- */

static void board_reset(struct board_device *d)
{
	struct board *b = CONTAINER_OF(d, struct board, device);

	if (b->has_serial)
		serial_reset(&b->serial);
	rtc_reset(&b->rtc, wall_clock());
	loop_timer_stop(b->m->loop, &b->rtc_timer);
	pm_reset(&b->pm);
}

static void board_destroy(struct board_device *d)
{
	struct board *b = CONTAINER_OF(d, struct board, device);

	if (b->terminal)
		terminal_attach(b->terminal, &(struct terminal_port){ 0 });
	loop_timer_stop(b->m->loop, &b->rtc_timer);
	free(b);
}

static int serial_place(struct board *b, const struct board_options *o)
{
	struct serial_wires wires = { b, serial_line, serial_send, serial_wants_input };

	if (!o->serial)
		return 0;
	b->has_serial = true;
	b->terminal = o->terminal;
	serial_init(&b->serial, &wires);
	if (o->terminal)
		terminal_attach(o->terminal, &(struct terminal_port){b, port_input, port_drained});
	return bus_add(&b->m->pio, LAYOUT_SERIAL, 8, &serial_ops, &b->serial);
}

int board_create(struct machine *m, const struct board_options *o)
{
	struct board *b = calloc(1, sizeof(*b));
	struct pm_wires pm_wires = { m, pm_sci, pm_power_off };
	struct legacy_wires legacy_wires = { m, legacy_reset, legacy_exit };
	int error;

	if (!b)
		return -ENOMEM;
	b->m = m;
	b->device = (struct board_device){ .reset = board_reset, .destroy = board_destroy };
	b->rtc_timer.fn = rtc_due;
	rtc_init(&b->rtc, b, rtc_line, memory_low_end(&m->memory),
		 m->memory.regions > 1 ? m->memory.region[1].bytes : 0, wall_clock());
	pm_init(&b->pm, &pm_wires);
	machine_add_board_device(m, &b->device);
	error = bus_add(&m->pio, LAYOUT_RTC, 2, &rtc_ops, b);
	if (!error)
		error = bus_add(&m->pio, PM_PORT, PM_PORTS, &pm_ops, &b->pm);
	if (!error)
		error = serial_place(b, o);
	if (!error)
		error = legacy_create(&b->legacy, &m->pio, &legacy_wires, o->exit_port);
	if (error)	/* the board's own ports do not overlap */
		report_error(error, "port %#x of --exit-code-port is another device's; try 0xf4",
			     o->exit_port);
	return error;
}

void board_press_power(struct machine *m)
{
	for (struct board_device *d = m->board; d; d = d->next)
		if (d->destroy == board_destroy)
			pm_press_power(&CONTAINER_OF(d, struct board, device)->pm);
}
