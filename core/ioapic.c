// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ioapic.c - the I/O APIC
 *
 * 24 pins, each with a redirection entry that says which message to send.  An edge sends
 * one message.  A level sends one and sets Remote IRR; the EOI of the vector clears it,
 * and if the line is still up the message is sent again.
 *
 * A guest that ends a level interrupt without silencing its device gets it again at once
 * and may never come to do anything else; after EOIS_IN_A_ROW the next one is delayed.
 *
 * Invariants (lock not held):
 *   1. irr bit: the pin's line is up (level), or was since its last message was sent.
 *   2. vectors has every vector of a redirection entry (and perhaps more, for a moment).
 *
 * Locking: lock, a spin.  LAPICs are handed messages under it; it is dropped while others
 * are told that a pin was ended, because they may move the line again.  An EOI never comes
 * from in here, so nothing recurses.
 * Reference: Intel 82093AA data sheet.
 * Not modelled: the arbitration bus; coalescing of the clock's interrupt.
 */
#include <linux/errno.h>

#include "base/bits.h"
#include "core/ioapic.h"
#include "core/lapic.h"
#include "core/vm.h"

#define PINS		KVM_IOAPIC_NUM_PINS

#define REG_SELECT	0x00u
#define REG_WINDOW	0x10u

#define INDEX_ID	0u
#define INDEX_VERSION	1u
#define INDEX_ARB	2u
#define INDEX_ENTRY	0x10u
#define VERSION		(0x11u | (PINS - 1) << 16)

/* A redirection entry. */
#define ENTRY_VECTOR(e)	((u8)(e))
#define ENTRY_MODE(e)	((u8)((e) >> 8 & 7))
#define ENTRY_LOGICAL	BIT_U64(11)
#define ENTRY_STATUS	BIT_U64(12)
#define ENTRY_REMOTE_IRR BIT_U64(14)
#define ENTRY_LEVEL	BIT_U64(15)
#define ENTRY_MASKED	BIT_U64(16)
#define ENTRY_DEST(e)	((u8)((e) >> 56))
#define ENTRY_READ_ONLY	(ENTRY_STATUS | ENTRY_REMOTE_IRR)

#define EOIS_IN_A_ROW	10000u
#define EOI_DELAY_NS	10000000u

struct ioapic {
	struct vm *vm;
	struct iodev dev;
	struct host_spin lock;
	u64 base_address;		/* only kept for the client: the device does not move */
	u32 select, id;
	u32 irr;
	u32 sent;			/* edges whose message was sent and that KVM would not save again */
	u64 entry[PINS];
	u8  lines[PINS];		/* bit n: source n holds it up */
	u32 eois[PINS];			/* in a row, with the line still up */
	u64 vectors[4];			/* [any] */
	struct host_timer retry;
};

static struct host_lock_class ioapic_class = { .name = "ioapic" };

/* --- messages: the lock is held --------------------------------------------------------- */

static int send(struct ioapic *io, unsigned pin)
{
	u64 e = io->entry[pin];
	struct lapic_message m = {
		.dest = ENTRY_DEST(e), .vector = ENTRY_VECTOR(e), .mode = ENTRY_MODE(e),
		.logical = e & ENTRY_LOGICAL, .level = e & ENTRY_LEVEL, .assert = true,
	};
	int taken;

	if (e & ENTRY_MASKED || (e & ENTRY_LEVEL && e & ENTRY_REMOTE_IRR))
		return -1;
	if (!m.level)
		io->sent |= 1u << pin;
	taken = lapic_deliver(io->vm, NULL, &m);
	if (taken && m.level)
		io->entry[pin] |= ENTRY_REMOTE_IRR;
	return taken;
}

static int line_set(struct ioapic *io, unsigned pin, bool up)
{
	u32 bit = 1u << pin;
	bool was = io->irr & bit;

	if (!up) {
		io->irr &= ~bit;
		return 1;
	}
	io->irr |= bit;
	if (!(io->entry[pin] & ENTRY_LEVEL)) {
		io->sent &= ~bit;
		if (was)
			return 0;
	}
	return send(io, pin);
}

static void vectors_update(struct ioapic *io)
{
	u64 vectors[4] = { 0 };

	for (unsigned pin = 0; pin < PINS; pin++)
		bit_set(vectors, ENTRY_VECTOR(io->entry[pin]));
	for (unsigned n = 0; n < 4; n++)
		atomic_store_release(&io->vectors[n], vectors[n]);
}

/* The delay is over: send what is still wanted. */
static void retry(struct host_timer *timer)
{
	struct ioapic *io = CONTAINER_OF(timer, struct ioapic, retry);
	u64 flags = host_spin_lock(&io->lock);

	for (unsigned pin = 0; pin < PINS; pin++)
		if (io->entry[pin] & ENTRY_LEVEL && io->irr >> pin & 1)
			send(io, pin);
	host_spin_unlock(&io->lock, flags);
}

static void pin_ended(struct ioapic *io, unsigned pin)
{
	io->entry[pin] &= ~ENTRY_REMOTE_IRR;
	if (io->entry[pin] & ENTRY_MASKED || !(io->irr >> pin & 1)) {
		io->eois[pin] = 0;
	} else if (++io->eois[pin] >= EOIS_IN_A_ROW) {
		io->eois[pin] = 0;
		host_timer_start(&io->retry, host_now() + EOI_DELAY_NS);
	} else {
		send(io, pin);
	}
}

/* --- lines and EOI ------------------------------------------------------------------------ */

int ioapic_line(struct ioapic *io, unsigned source, unsigned pin, bool level)
{
	u64 flags = host_spin_lock(&io->lock);
	u8 bit = (u8)(1u << source);
	int taken;

	io->lines[pin] = level ? io->lines[pin] | bit : io->lines[pin] & (u8)~bit;
	taken = line_set(io, pin, io->lines[pin]);
	host_spin_unlock(&io->lock, flags);
	return taken;
}

bool ioapic_has_vector(const struct ioapic *io, unsigned vector)
{
	return bit_test_atomic(io->vectors, vector);
}

void ioapic_eoi(struct ioapic *io, unsigned vector, bool level, bool directed)
{
	u64 flags;

	if (!bit_test_atomic(io->vectors, vector))
		return;
	flags = host_spin_lock(&io->lock);
	for (unsigned pin = 0; pin < PINS; pin++) {
		if (ENTRY_VECTOR(io->entry[pin]) != vector)
			continue;
		/* First those who wait, so that a line they lower is down below. */
		host_spin_unlock(&io->lock, flags);
		irq_acked(io->vm, KVM_IRQCHIP_IOAPIC, pin);
		flags = host_spin_lock(&io->lock);
		if (level && !directed && io->entry[pin] & ENTRY_LEVEL &&
		    ENTRY_VECTOR(io->entry[pin]) == vector)
			pin_ended(io, pin);
	}
	host_spin_unlock(&io->lock, flags);
}

/* --- registers ------------------------------------------------------------------------------ */

static u32 window_read(struct ioapic *io)
{
	u32 pin = (io->select - INDEX_ENTRY) >> 1;

	switch (io->select) {
	case INDEX_VERSION:
		return VERSION;
	case INDEX_ID: case INDEX_ARB:
		return (io->id & 0xf) << 24;
	}
	if (io->select < INDEX_ENTRY || pin >= PINS)
		return 0;
	return (u32)(io->select & 1 ? io->entry[pin] >> 32 : io->entry[pin]);
}

/* Lock held.  Returns the pin if that unmasked it, else -1. */
static int entry_write(struct ioapic *io, unsigned pin, u32 value)
{
	u64 old = io->entry[pin], new = old & ENTRY_READ_ONLY;

	if (io->select & 1)
		new |= (u64)value << 32 | (u32)old;
	else
		new |= (old & 0xffffffff00000000ull) | (value & ~(u32)ENTRY_READ_ONLY);
	/* Guests clear Remote IRR by making the pin edge triggered for a moment. */
	if (!(new & ENTRY_LEVEL))
		new &= ~ENTRY_REMOTE_IRR;
	io->entry[pin] = new;
	vectors_update(io);
	return old & ENTRY_MASKED && !(new & ENTRY_MASKED) ? (int)pin : -1;
}

static void window_write(struct ioapic *io, u32 value)
{
	u64 flags = host_spin_lock(&io->lock);
	u32 pin = (io->select - INDEX_ENTRY) >> 1;
	int unmasked = -1;

	if (io->select == INDEX_ID) {
		io->id = value >> 24 & 0xf;
	} else if (io->select >= INDEX_ENTRY && pin < PINS) {
		unmasked = entry_write(io, pin, value);
		if (unmasked >= 0) {
			/*
			 * While masked nobody ended the pin, so nobody asked its devices
			 * whether they still want something.
			 */
			bool ask = io->entry[pin] & ENTRY_LEVEL && io->irr >> pin & 1 &&
				   !(io->entry[pin] & ENTRY_REMOTE_IRR);

			host_spin_unlock(&io->lock, flags);
			irq_unmasked(io->vm, KVM_IRQCHIP_IOAPIC, pin);
			if (ask)
				irq_acked(io->vm, KVM_IRQCHIP_IOAPIC, pin);
			flags = host_spin_lock(&io->lock);
		}
		if (io->entry[pin] & ENTRY_LEVEL && io->irr >> pin & 1)
			send(io, pin);
	}
	host_spin_unlock(&io->lock, flags);
}

static int mmio_read(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, void *out)
{
	struct ioapic *io = CONTAINER_OF(d, struct ioapic, dev);
	u64 flags, value = 0;

	(void)v;
	flags = host_spin_lock(&io->lock);
	switch (address & 0xff) {
	case REG_SELECT:
		value = io->select;
		break;
	case REG_WINDOW:
		value = window_read(io);
		break;
	}
	host_spin_unlock(&io->lock, flags);
	__builtin_memset(out, 0, bytes);
	__builtin_memcpy(out, &value, MIN_OF(bytes, 8u));
	return 0;
}

static int mmio_write(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, const void *in)
{
	struct ioapic *io = CONTAINER_OF(d, struct ioapic, dev);
	u64 flags;
	u32 value = 0;

	(void)v;
	__builtin_memcpy(&value, in, MIN_OF(bytes, 4u));
	switch (address & 0xff) {
	case REG_SELECT:
		flags = host_spin_lock(&io->lock);
		io->select = value & 0xff;
		host_spin_unlock(&io->lock, flags);
		break;
	case REG_WINDOW:
		window_write(io, value);
		break;
	}
	return 0;
}

static const struct iodev_ops mmio_ops = { .read = mmio_read, .write = mmio_write };

/* --- state ------------------------------------------------------------------------------------ */

void ioapic_get(struct ioapic *io, struct kvm_ioapic_state *state)
{
	u64 flags;

	__builtin_memset(state, 0, sizeof(*state));
	flags = host_spin_lock(&io->lock);
	state->base_address = io->base_address;
	state->ioregsel = io->select;
	state->id = io->id;
	state->irr = io->irr & ~io->sent;
	for (unsigned pin = 0; pin < PINS; pin++)
		state->redirtbl[pin].bits = io->entry[pin];
	host_spin_unlock(&io->lock, flags);
}

void ioapic_set(struct ioapic *io, const struct kvm_ioapic_state *state)
{
	u64 flags = host_spin_lock(&io->lock);

	io->base_address = state->base_address;
	io->select = state->ioregsel & 0xff;
	io->id = state->id & 0xf;
	io->irr = 0;
	io->sent = 0;
	for (unsigned pin = 0; pin < PINS; pin++) {
		io->entry[pin] = state->redirtbl[pin].bits;
		io->eois[pin] = 0;
	}
	vectors_update(io);
	for (unsigned pin = 0; pin < PINS; pin++)
		if (state->irr >> pin & 1)
			line_set(io, pin, true);
	host_spin_unlock(&io->lock, flags);
}

/* --- life --------------------------------------------------------------------------------------- */

struct ioapic *ioapic_create(struct vm *vm)
{
	struct ioapic *io = host_alloc(sizeof(*io), 0);

	if (!io)
		return NULL;
	io->vm = vm;
	io->dev.ops = &mmio_ops;
	io->base_address = IOAPIC_ADDRESS;
	host_spin_init(&io->lock, &ioapic_class);
	host_timer_init(&io->retry, retry);
	for (unsigned pin = 0; pin < PINS; pin++)
		io->entry[pin] = ENTRY_MASKED;
	vectors_update(io);
	return io;
}

void ioapic_destroy(struct ioapic *io)
{
	if (!io)
		return;
	host_timer_stop(&io->retry);
	host_free(io);
}

int ioapic_attach(struct ioapic *io)
{
	return iobus_add(io->vm, IOBUS_MMIO, IOAPIC_ADDRESS, IOAPIC_BYTES, &io->dev);
}

void ioapic_detach(struct ioapic *io)
{
	iobus_remove(io->vm, IOBUS_MMIO, &io->dev);
}
