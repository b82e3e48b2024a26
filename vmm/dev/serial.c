// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * serial.c - a 16550 serial port
 *
 * Bytes take no time on the line.  The transmitter is busy only while the other end refuses
 * to take more, so a slow terminal slows the guest instead of losing output; the receiver
 * takes no more than its FIFO holds.  Because no time passes, input below the FIFO's trigger level
 * counts as timed out at once.
 *
 * Invariants:
 *   1. The interrupt line is up exactly if OUT2 lets it through and an enabled cause is present.
 *   2. tx_count is not 0 only while the other end owes us a serial_drained().
 *
 * Locking: s->lock; the wires are called with it held.
 * Reference: National Semiconductor PC16550D data sheet, "Registers".
 * Not modelled: baud rate, parity and break, which a terminal does not have.
 */
#include "vmm/dev/serial.h"

#include <string.h>

enum {
	REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH,

	IER_RX = 1, IER_THRE = 2, IER_LINE = 4, IER_MODEM = 8, IER_MASK = 15,
	IIR_NONE = 1, IIR_MODEM = 0, IIR_THRE = 2, IIR_RX = 4, IIR_LINE = 6, IIR_TIMEOUT = 12,
	IIR_FIFO = 0xc0,
	FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4,
	LCR_DLAB = 0x80,
	MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10, MCR_MASK = 0x1f,
	LSR_DATA = 1, LSR_OVERRUN = 2, LSR_THRE = 0x20, LSR_IDLE = 0x40,
	MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80,
};

void serial_init(struct serial *s, const struct serial_wires *wires)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->wires = *wires;
	serial_reset(s);
}

/* --- s->lock held --------------------------------------------------------------- */

static unsigned fifo_bytes(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? SERIAL_FIFO_BYTES : 1;
}

static unsigned rx_trigger(const struct serial *s)
{
	static const u8 level[4] = { 1, 4, 8, 14 };

	return s->fcr & FCR_ENABLE ? level[s->fcr >> 6] : 1;
}

/* The interrupt of highest priority, as IIR reads. */
static u8 cause(const struct serial *s)
{
	if (s->ier & IER_LINE && s->errors)
		return IIR_LINE;
	if (s->ier & IER_RX && s->rx_count)
		return s->rx_count >= rx_trigger(s) ? IIR_RX : IIR_TIMEOUT;
	if (s->ier & IER_THRE && s->thre)
		return IIR_THRE;
	if (s->ier & IER_MODEM && s->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

static void line_update(struct serial *s)
{
	/* On a PC, OUT2 connects the interrupt to the controller; loopback disconnects it. */
	bool level = cause(s) != IIR_NONE && (s->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

	if (level != s->line) {
		s->line = level;
		s->wires.line(s->wires.owner, level);
	}
}

/* The modem's answers: someone is always there, or our own signals in loopback. */
static u8 modem_lines(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u8)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
		    (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void mcr_write(struct serial *s, u8 value)
{
	u8 before = modem_lines(s), changed;

	s->mcr = value & MCR_MASK;
	changed = (before ^ modem_lines(s)) >> 4;
	if (!(before & MSR_RI && !(modem_lines(s) & MSR_RI)))
		changed &= (u8)~4;	/* only the end of a ring is reported */
	s->msr_delta |= changed;
}

static void receive(struct serial *s, u8 byte)
{
	if (s->rx_count < fifo_bytes(s))
		s->rx[s->rx_count++] = byte;
	else
		s->errors |= LSR_OVERRUN;
}

static void transmit_pending(struct serial *s)
{
	size_t taken = s->wires.send(s->wires.owner, s->tx, s->tx_count);

	memmove(s->tx, s->tx + taken, s->tx_count - taken);
	s->tx_count = (u8)(s->tx_count - taken);
	if (!s->tx_count)
		s->thre = true;
}

static void transmit(struct serial *s, u8 byte)
{
	s->thre = false;
	if (s->mcr & MCR_LOOP) {
		receive(s, byte);
		s->thre = true;
	} else {
		bool waiting = s->tx_count;

		if (s->tx_count < SERIAL_FIFO_BYTES)
			s->tx[s->tx_count++] = byte; /* else it is lost: the guest did not look */
		if (!waiting)
			transmit_pending(s);
	}
}

static u8 take_input(struct serial *s)
{
	u8 byte = s->rx[0];

	if (!s->rx_count)
		return 0;
	memmove(s->rx, s->rx + 1, --s->rx_count);
	if (!s->rx_count && s->starved) {
		s->starved = false;
		s->wires.input_wanted(s->wires.owner);
	}
	return byte;
}

static void fcr_write(struct serial *s, u8 value)
{
	if ((value ^ s->fcr) & FCR_ENABLE)
		value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
	s->fcr = value & (FCR_ENABLE | 0xc0);
	if (value & FCR_CLEAR_RX) {
		s->rx_count = 0;
		if (s->starved)
			s->wires.input_wanted(s->wires.owner);
		s->starved = false;
	}
	if (value & FCR_CLEAR_TX) {
		s->tx_count = 0;
		s->thre = true;
	}
}

static void ier_write(struct serial *s, u8 value)
{
	/* Enabling the transmitter's interrupt while it is empty raises it. */
	if (value & ~s->ier & IER_THRE && !s->tx_count)
		s->thre = true;
	s->ier = value & IER_MASK;
}

static u8 iir_read(struct serial *s)
{
	u8 iir = cause(s);

	if (iir == IIR_THRE)
		s->thre = false;
	return (u8)(iir | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0));
}

static u8 lsr_read(struct serial *s)
{
	u8 lsr = (u8)(s->errors | (s->rx_count ? LSR_DATA : 0) |
		      (s->tx_count ? 0 : LSR_THRE | LSR_IDLE));

	s->errors = 0;
	return lsr;
}

static u8 msr_read(struct serial *s)
{
	u8 msr = modem_lines(s) | s->msr_delta;

	s->msr_delta = 0;
	return msr;
}

static u8 reg_read(struct serial *s, unsigned reg)
{
	switch (reg) {
	case REG_DATA:	  return s->lcr & LCR_DLAB ? s->divisor_low : take_input(s);
	case REG_IER:	  return s->lcr & LCR_DLAB ? s->divisor_high : s->ier;
	case REG_IIR_FCR: return iir_read(s);
	case REG_LCR:	  return s->lcr;
	case REG_MCR:	  return s->mcr;
	case REG_LSR:	  return lsr_read(s);
	case REG_MSR:	  return msr_read(s);
	default:	  return s->scratch;
	}
}

static void reg_write(struct serial *s, unsigned reg, u8 value)
{
	switch (reg) {
	case REG_DATA:
		if (s->lcr & LCR_DLAB)
			s->divisor_low = value;
		else
			transmit(s, value);
		break;
	case REG_IER:
		if (s->lcr & LCR_DLAB)
			s->divisor_high = value;
		else
			ier_write(s, value);
		break;
	case REG_IIR_FCR: fcr_write(s, value); break;
	case REG_LCR:	  s->lcr = value; break;
	case REG_MCR:	  mcr_write(s, value); break;
	case REG_SCRATCH: s->scratch = value; break;
	default:	  break;	/* LSR and MSR are read-only */
	}
}

/* --- any thread ------------------------------------------------------------------- */

u8 serial_read(struct serial *s, unsigned reg)
{
	u8 value;

	pthread_mutex_lock(&s->lock);
	value = reg_read(s, reg & 7);
	line_update(s);
	pthread_mutex_unlock(&s->lock);
	return value;
}

void serial_write(struct serial *s, unsigned reg, u8 value)
{
	pthread_mutex_lock(&s->lock);
	reg_write(s, reg & 7, value);
	line_update(s);
	pthread_mutex_unlock(&s->lock);
}

size_t serial_input(struct serial *s, const u8 *bytes, size_t n)
{
	size_t taken = 0;

	pthread_mutex_lock(&s->lock);
	if (!(s->mcr & MCR_LOOP))
		while (taken < n && s->rx_count < fifo_bytes(s))
			receive(s, bytes[taken++]);
	s->starved = taken < n;
	line_update(s);
	pthread_mutex_unlock(&s->lock);
	return taken;
}

void serial_drained(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->tx_count)
		transmit_pending(s);
	line_update(s);
	pthread_mutex_unlock(&s->lock);
}

void serial_reset(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	s->ier = s->fcr = s->lcr = s->mcr = s->scratch = 0;
	s->divisor_low = 12;	/* 9600 baud, as firmware leaves it */
	s->divisor_high = 0;
	s->errors = s->msr_delta = 0;
	s->rx_count = s->tx_count = 0;
	s->thre = false;
	if (s->starved)
		s->wires.input_wanted(s->wires.owner);
	s->starved = false;
	line_update(s);
	pthread_mutex_unlock(&s->lock);
}
