// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pic.c - the pair of 8259A interrupt controllers
 *
 * The second chip's output is pin 2 of the first; the first chip's output is INTR.  A
 * pin's request (IRR) is latched by an edge, or follows the line where ELCR says level.
 * Each chip offers its highest request if nothing as high is in service; priority_add
 * rotates which pin is highest.
 *
 * Each pin's line is the OR of its sources' lines.
 *
 * Invariants (lock not held):
 *   1. irr of the first chip's pin 2 is whether the second offers anything; output is
 *      whether the first does.
 *   2. ELCR has no bit outside elcr_mask (but KVM_SET_IRQCHIP may set anything).
 *
 * Locking: lock, a spin.  It is dropped while others are told that a pin was ended,
 * because they may move the line again; state is consistent there.
 * Reference: Intel 8259A data sheet; PIIX data sheet, "Edge/Level Control Registers".
 * Not modelled: single mode, 8085 mode, level mode by ICW1 (ELCR is its successor).
 */
#include <linux/errno.h>

#include "core/lapic.h"
#include "core/pic.h"
#include "core/vm.h"

#define CASCADE		2u	/* the pin of the first chip that the second drives */
#define SPURIOUS	7u
#define NO_PRIORITY	8u

/* Command port: ICW1, OCW3, else OCW2 with an operation in bits 5-7. */
#define ICW1		0x10
#define ICW1_ICW4	0x01
#define OCW3		0x08
#define OCW3_POLL	0x04
#define OCW3_READ	0x02
#define OCW3_READ_ISR	0x01
#define OCW3_MASK	0x40
#define OCW3_MASK_ON	0x20
#define ICW4_AUTO_EOI	0x02
#define ICW4_NESTED	0x10

enum pic_init { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };	/* what the data port expects */

enum pic_port { PORT_FIRST, PORT_SECOND, PORT_ELCR, PORTS };

struct pic {
	struct vm *vm;
	struct host_spin lock;
	struct kvm_pic_state chip[2];
	u8 lines[PIC_PINS];		/* bit n: source n holds it up */
	u32 output;			/* [any] */
	struct iodev port[PORTS];
};

static struct host_lock_class pic_class = { .name = "pic" };

static const struct { u16 address; u8 bytes; } ports[PORTS] = {
	{ 0x20, 2 }, { 0xa0, 2 }, { 0x4d0, 2 },
};

/* --- priorities: the lock is held from here on ------------------------------------- */

/* How far from the highest priority the first of these pins is; NO_PRIORITY if none. */
static unsigned priority(const struct kvm_pic_state *s, u8 pins)
{
	for (unsigned n = 0; n < 8; n++)
		if (pins >> ((n + s->priority_add) & 7) & 1)
			return n;
	return NO_PRIORITY;
}

/* The pin that the chip offers, -1 if none. */
static int offered(const struct pic *p, unsigned chip)
{
	const struct kvm_pic_state *s = &p->chip[chip];
	unsigned requested = priority(s, s->irr & (u8)~s->imr);
	u8 in_service = s->isr;

	if (s->special_mask)
		in_service &= (u8)~s->imr;
	/* Special fully nested: the second chip sorts out its own. */
	if (s->special_fully_nested_mode && chip == 0)
		in_service &= (u8)~(1u << CASCADE);
	if (requested >= priority(s, in_service))
		return -1;
	return (int)((requested + s->priority_add) & 7);
}

/* A line moved.  1: a new request, 0: it was requested already, -1: masked. */
static int pin_set(struct kvm_pic_state *s, unsigned pin, bool level)
{
	u8 bit = (u8)(1u << pin);
	int taken = 1;

	if (level && (s->elcr & bit || !(s->last_irr & bit))) {
		taken = !(s->irr & bit);
		s->irr |= bit;
	} else if (!level && s->elcr & bit) {
		s->irr &= (u8)~bit;
	}
	s->last_irr = level ? s->last_irr | bit : s->last_irr & (u8)~bit;
	return s->imr & bit ? -1 : taken;
}

static void wake_receiver(struct vm *vm)
{
	u32 vcpus = MIN_OF(atomic_load_acquire(&vm->vcpu_count), VM_MAX_VCPUS);

	for (u32 i = 0; i < vcpus; i++) {
		struct vcpu *v = atomic_load_acquire(&vm->vcpus[i]);

		if (v && lapic_accepts_pic(v)) {
			vcpu_request(v, REQ_EVENT);
			vcpu_kick(v);
			return;
		}
	}
}

static void update(struct pic *p)
{
	u32 output;

	/* Followed, not latched: what the second chip takes back is no spurious interrupt. */
	p->chip[0].irr &= (u8)~(1u << CASCADE);
	if (offered(p, 1) >= 0)
		p->chip[0].irr |= 1u << CASCADE;
	output = offered(p, 0) >= 0;
	if (atomic_exchange(&p->output, output) != output && output)
		wake_receiver(p->vm);
}

/* End a pin's service; tells others, with the lock dropped. */
static void end(struct pic *p, unsigned chip, unsigned pin, u64 *flags)
{
	p->chip[chip].isr &= (u8)~(1u << pin);
	host_spin_unlock(&p->lock, *flags);
	irq_acked(p->vm, chip ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER, pin);
	*flags = host_spin_lock(&p->lock);
}

/* INTA for one chip. */
static void take(struct pic *p, unsigned chip, unsigned pin, u64 *flags)
{
	struct kvm_pic_state *s = &p->chip[chip];

	s->isr |= (u8)(1u << pin);
	if (!(s->elcr >> pin & 1))
		s->irr &= (u8)~(1u << pin);
	if (s->auto_eoi) {
		if (s->rotate_on_auto_eoi)
			s->priority_add = (pin + 1) & 7;
		end(p, chip, pin, flags);
	}
}

/* --- towards the processor and the lines ---------------------------------------------- */

int pic_line(struct pic *p, unsigned source, unsigned pin, bool level)
{
	u64 flags = host_spin_lock(&p->lock);
	u8 bit = (u8)(1u << source);
	int taken;

	p->lines[pin] = level ? p->lines[pin] | bit : p->lines[pin] & (u8)~bit;
	taken = pin_set(&p->chip[pin >> 3], pin & 7, p->lines[pin]);
	update(p);
	host_spin_unlock(&p->lock, flags);
	return taken;
}

bool pic_output(const struct pic *p)
{
	return atomic_load_acquire(&p->output);
}

unsigned pic_acknowledge(struct pic *p)
{
	u64 flags = host_spin_lock(&p->lock);
	int pin = offered(p, 0);
	unsigned vector;

	if (pin < 0) {
		vector = p->chip[0].irq_base + SPURIOUS;
	} else if (pin != (int)CASCADE) {
		vector = p->chip[0].irq_base + (unsigned)pin;
		take(p, 0, (unsigned)pin, &flags);
	} else {
		take(p, 0, CASCADE, &flags);
		pin = offered(p, 1);
		vector = p->chip[1].irq_base + (pin < 0 ? SPURIOUS : (unsigned)pin);
		if (pin >= 0)
			take(p, 1, (unsigned)pin, &flags);
	}
	update(p);
	host_spin_unlock(&p->lock, flags);
	return vector & 0xff;
}

/* --- ports ------------------------------------------------------------------------------ */

/* ICW1 forgets everything but the lines and the vector base. */
static void restart(struct pic *p, unsigned chip, u8 icw1, u64 *flags)
{
	struct kvm_pic_state *s = &p->chip[chip];
	u8 lost = s->irr & (u8)~s->elcr;

	s->init4 = icw1 & ICW1_ICW4;
	s->last_irr = 0;
	s->irr &= s->elcr;
	s->isr = 0;
	s->imr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	s->poll = 0;
	s->rotate_on_auto_eoi = 0;
	if (!s->init4) {
		s->special_fully_nested_mode = 0;
		s->auto_eoi = 0;
	}
	s->init_state = INIT_ICW2;
	/* Who waits for the end of a request that is now forgotten would wait for ever. */
	for (unsigned pin = 0; pin < 8; pin++)
		if (lost >> pin & 1)
			end(p, chip, pin, flags);
}

static void operate(struct pic *p, unsigned chip, u8 ocw2, u64 *flags)
{
	struct kvm_pic_state *s = &p->chip[chip];
	unsigned pin = ocw2 & 7;
	bool rotate = ocw2 & 0x80, specific = ocw2 & 0x40, eoi = ocw2 & 0x20;

	if (!eoi) {
		if (specific && rotate)
			s->priority_add = (pin + 1) & 7;
		else if (!specific)
			s->rotate_on_auto_eoi = rotate;
		return;
	}
	if (!specific) {
		unsigned n = priority(s, s->isr);

		if (n == NO_PRIORITY)
			return;
		pin = (n + s->priority_add) & 7;
	}
	if (rotate)
		s->priority_add = (pin + 1) & 7;
	end(p, chip, pin, flags);
}

static void command(struct pic *p, unsigned chip, u8 value, u64 *flags)
{
	struct kvm_pic_state *s = &p->chip[chip];

	if (value & ICW1) {
		restart(p, chip, value, flags);
	} else if (value & OCW3) {
		if (value & OCW3_POLL)
			s->poll = 1;
		if (value & OCW3_READ)
			s->read_reg_select = value & OCW3_READ_ISR;
		if (value & OCW3_MASK)
			s->special_mask = !!(value & OCW3_MASK_ON);
	} else {
		operate(p, chip, value, flags);
	}
}

/* Returns the pins that became unmasked. */
static u8 data(struct pic *p, unsigned chip, u8 value)
{
	struct kvm_pic_state *s = &p->chip[chip];
	u8 unmasked = 0;

	switch (s->init_state) {
	case INIT_ICW2:
		s->irq_base = value & 0xf8;
		s->init_state = INIT_ICW3;
		break;
	case INIT_ICW3:		/* how the chips are wired: as they are */
		s->init_state = s->init4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW4:
		s->special_fully_nested_mode = !!(value & ICW4_NESTED);
		s->auto_eoi = !!(value & ICW4_AUTO_EOI);
		s->init_state = INIT_DONE;
		break;
	default:
		unmasked = s->imr & (u8)~value;
		s->imr = value;
	}
	return unmasked;
}

/* A poll is an INTA without a vector. */
static u8 poll(struct pic *p, unsigned chip, u64 *flags)
{
	int pin = offered(p, chip);

	p->chip[chip].poll = 0;
	if (pin < 0)
		return SPURIOUS;
	take(p, chip, (unsigned)pin, flags);
	return (u8)(0x80 | pin);
}

static int port_read(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, void *out)
{
	struct pic *p = v->vm->irq.pic;
	unsigned which = (unsigned)(d - p->port), chip = which & 1;
	u64 flags;
	u8 value;

	__builtin_memset(out, 0, bytes);
	if (bytes != 1)
		return 0;
	flags = host_spin_lock(&p->lock);
	if (which == PORT_ELCR) {
		value = p->chip[address & 1].elcr;
	} else if (p->chip[chip].poll) {
		value = poll(p, chip, &flags);
		update(p);
	} else if (address & 1) {
		value = p->chip[chip].imr;
	} else {
		value = p->chip[chip].read_reg_select ? p->chip[chip].isr : p->chip[chip].irr;
	}
	host_spin_unlock(&p->lock, flags);
	*(u8 *)out = value;
	return 0;
}

static int port_write(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, const void *in)
{
	struct pic *p = v->vm->irq.pic;
	unsigned which = (unsigned)(d - p->port), chip = which & 1;
	u8 value = *(const u8 *)in, unmasked = 0;
	u64 flags;

	if (bytes != 1)
		return 0;
	flags = host_spin_lock(&p->lock);
	if (which == PORT_ELCR)
		p->chip[address & 1].elcr = value & p->chip[address & 1].elcr_mask;
	else if (address & 1)
		unmasked = data(p, chip, value);
	else
		command(p, chip, value, &flags);
	update(p);
	host_spin_unlock(&p->lock, flags);
	for (unsigned pin = 0; pin < 8; pin++)
		if (unmasked >> pin & 1)
			irq_unmasked(p->vm, chip ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER, pin);
	return 0;
}

static const struct iodev_ops port_ops = { .read = port_read, .write = port_write };

/* --- state -------------------------------------------------------------------------------- */

void pic_get(struct pic *p, unsigned chip, struct kvm_pic_state *state)
{
	u64 flags = host_spin_lock(&p->lock);

	*state = p->chip[chip];
	host_spin_unlock(&p->lock, flags);
}

void pic_set(struct pic *p, unsigned chip, const struct kvm_pic_state *state)
{
	u64 flags = host_spin_lock(&p->lock);

	p->chip[chip] = *state;
	p->chip[chip].priority_add &= 7;
	update(p);
	host_spin_unlock(&p->lock, flags);
}

/* --- life ---------------------------------------------------------------------------------- */

struct pic *pic_create(struct vm *vm)
{
	struct pic *p = host_alloc(sizeof(*p), 0);

	if (!p)
		return NULL;
	p->vm = vm;
	host_spin_init(&p->lock, &pic_class);
	p->chip[0].elcr_mask = 0xf8;	/* timer, keyboard and cascade are always edges ... */
	p->chip[1].elcr_mask = 0xde;	/* ... and so are the clock and the coprocessor */
	for (unsigned n = 0; n < PORTS; n++)
		p->port[n].ops = &port_ops;
	return p;
}

void pic_destroy(struct pic *p)
{
	host_free(p);
}

int pic_attach(struct pic *p)
{
	for (unsigned n = 0; n < PORTS; n++) {
		int err = iobus_add(p->vm, IOBUS_PIO, ports[n].address, ports[n].bytes, &p->port[n]);

		if (err) {
			while (n--)
				iobus_remove(p->vm, IOBUS_PIO, &p->port[n]);
			return err;
		}
	}
	return 0;
}

void pic_detach(struct pic *p)
{
	for (unsigned n = 0; n < PORTS; n++)
		iobus_remove(p->vm, IOBUS_PIO, &p->port[n]);
}
