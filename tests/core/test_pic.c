// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_pic.c - the 8259 pair: initialisation, priorities, EOI, and a random machine
 */
#include "core/pic.h"
#include "tests/core/chips.h"

/* What Linux does: vectors 0x30 and 0x38, everything unmasked. */
static void pics_init(u8 icw4)
{
	outb(0x20, 0x11); outb(0x21, 0x30); outb(0x21, 0x04); outb(0x21, icw4);
	outb(0xa0, 0x11); outb(0xa1, 0x38); outb(0xa1, 0x02); outb(0xa1, icw4);
	outb(0x21, 0x00); outb(0xa1, 0x00);
}

static void start(u8 icw4)
{
	chips_create(2, true);
	pics_init(icw4);
}

static void pulse(unsigned gsi)
{
	irq_line(&chips.vm, 0, gsi, true);
	irq_line(&chips.vm, 0, gsi, false);
}

static void lower_pins_win(void)
{
	start(1);
	EXPECT_EQ(apic_take(0), -1);
	pulse(4);
	pulse(1);
	pulse(12);
	EXPECT(chips.kicks[0] > 0);
	EXPECT_EQ(chips.kicks[1], 0);		/* only the first processor is wired to the PICs */
	EXPECT_EQ(apic_take(1), -1);
	EXPECT_EQ(apic_take(0), 0x31);
	EXPECT_EQ(apic_take(0), -1);		/* 1 is in service, the rest is below */
	outb(0x20, 0x20);
	EXPECT_EQ(apic_take(0), 0x3c);
	EXPECT_EQ(apic_take(0), -1);
	outb(0xa0, 0x20); outb(0x20, 0x20);
	EXPECT_EQ(apic_take(0), 0x34);
	outb(0x20, 0x20);
	EXPECT_EQ(apic_take(0), -1);
	EXPECT_EQ(chips.acks[1], 1);
	EXPECT_EQ(chips.acks[12], 1);
	chips_destroy();
}

static void masks_and_registers(void)
{
	start(1);
	outb(0x21, 0xfb);
	EXPECT_EQ(inb(0x21), 0xfb);
	EXPECT_EQ(irq_line(&chips.vm, 0, 3, true), -1);	/* masked here and in the IOAPIC */
	EXPECT_EQ(apic_take(0), -1);
	outb(0x20, 0x0a);
	EXPECT_EQ(inb(0x20), 0x08);		/* IRR */
	outb(0x21, 0x00);
	EXPECT_EQ(apic_take(0), 0x33);
	EXPECT_EQ(inb(0x20), 0x00);
	outb(0x20, 0x0b);
	EXPECT_EQ(inb(0x20), 0x08);		/* ISR */
	outb(0x20, 0x63);			/* specific EOI */
	EXPECT_EQ(inb(0x20), 0x00);
	EXPECT_EQ(irq_line(&chips.vm, 0, 3, true), 1);
	EXPECT_EQ(apic_take(0), -1);		/* still up: no edge */
	chips_destroy();
}

static void an_edge_comes_once_and_coalesces(void)
{
	start(1);
	EXPECT_EQ(irq_line(&chips.vm, 0, 5, true), 1);
	irq_line(&chips.vm, 0, 5, false);
	EXPECT_EQ(irq_line(&chips.vm, 0, 5, true), 0);	/* the first was not taken yet */
	EXPECT_EQ(apic_take(0), 0x35);
	outb(0x20, 0x20);
	EXPECT_EQ(apic_take(0), -1);
	chips_destroy();
}

static void a_level_comes_until_it_is_down(void)
{
	start(1);
	outb(0x4d0, 0xff);
	outb(0x4d1, 0xff);
	EXPECT_EQ(inb(0x4d0), 0xf8);
	EXPECT_EQ(inb(0x4d1), 0xde);
	irq_line(&chips.vm, 0, 10, true);
	irq_line(&chips.vm, 2, 10, true);	/* two sources share it */
	for (int n = 0; n < 3; n++) {
		EXPECT_EQ(apic_take(0), 0x3a);
		outb(0xa0, 0x20); outb(0x20, 0x20);
		irq_line(&chips.vm, 0, 10, false);
	}
	irq_line(&chips.vm, 2, 10, false);
	EXPECT_EQ(apic_take(0), -1);
	irq_line(&chips.vm, 0, 11, true);
	EXPECT(irq_pending(&chips.vcpu[0]));
	irq_line(&chips.vm, 0, 11, false);	/* gone between request and acknowledgement */
	EXPECT(irq_acknowledge(&chips.vcpu[0]) == -1 || !irq_pending(&chips.vcpu[0]));
	chips_destroy();
}

static void nobody_there_is_spurious(void)
{
	start(1);
	EXPECT_EQ(pic_acknowledge(chips.vm.irq.pic), 0x37);
	outb(0x20, 0x0b);
	EXPECT_EQ(inb(0x20), 0);		/* and not in service */
	chips_destroy();
}

static void automatic_eoi_and_rotation(void)
{
	start(3);
	pulse(6);
	EXPECT_EQ(apic_take(0), 0x36);
	outb(0x20, 0x0b);
	EXPECT_EQ(inb(0x20), 0);
	EXPECT_EQ(chips.acks[6], 1);
	outb(0x20, 0x80);			/* rotate in automatic EOI */
	pulse(3);
	EXPECT_EQ(apic_take(0), 0x33);
	pulse(3); pulse(5);			/* 3 is lowest now */
	EXPECT_EQ(apic_take(0), 0x35);
	EXPECT_EQ(apic_take(0), 0x33);
	chips_destroy();

	start(1);
	outb(0x20, 0xc4);			/* 4 is lowest, 5 highest */
	pulse(0); pulse(4); pulse(5);
	EXPECT_EQ(apic_take(0), 0x35);
	outb(0x20, 0xa0);			/* non-specific EOI, rotate */
	EXPECT_EQ(apic_take(0), 0x30);
	outb(0x20, 0x20);
	EXPECT_EQ(apic_take(0), 0x34);
	outb(0x20, 0xe4);			/* specific, rotate */
	chips_destroy();
}

static void special_mask_lets_lower_ones_through(void)
{
	start(1);
	pulse(1);
	EXPECT_EQ(apic_take(0), 0x31);
	pulse(6);
	EXPECT_EQ(apic_take(0), -1);
	outb(0x20, 0x68);
	EXPECT_EQ(apic_take(0), -1);
	outb(0x21, 0x02);			/* with the one in service masked */
	EXPECT_EQ(apic_take(0), 0x36);
	chips_destroy();
}

static void special_fully_nested(void)
{
	start(0x11);
	pulse(9);
	EXPECT_EQ(apic_take(0), 0x39);
	pulse(8);
	EXPECT_EQ(apic_take(0), 0x38);		/* higher on the second chip, though the first serves it */
	chips_destroy();
	start(1);
	pulse(9);
	EXPECT_EQ(apic_take(0), 0x39);
	pulse(8);
	EXPECT_EQ(apic_take(0), -1);
	chips_destroy();
}

static void polling_acknowledges(void)
{
	start(1);
	pulse(7);
	outb(0x20, 0x0c);
	EXPECT_EQ(inb(0x20), 0x87);
	outb(0x20, 0x0b);
	EXPECT_EQ(inb(0x20), 0x80);
	outb(0x20, 0x20);
	outb(0x20, 0x0c);
	EXPECT_EQ(inb(0x20) & 0x80, 0);
	chips_destroy();
}

static void initialisation_forgets_edges_and_tells(void)
{
	start(1);
	pulse(5);
	outb(0x20, 0x11);
	EXPECT_EQ(chips.acks[5], 1);		/* who waits for this EOI is told */
	outb(0x21, 0x50); outb(0x21, 0x04); outb(0x21, 0x01);
	EXPECT_EQ(apic_take(0), -1);
	pulse(5);
	EXPECT_EQ(apic_take(0), 0x55);
	outb(0x20, 0x10);			/* no ICW4 */
	outb(0x21, 0x60); outb(0x21, 0x04);
	outb(0x21, 0xaa);
	EXPECT_EQ(inb(0x21), 0xaa);
	chips_destroy();
}

static void lint0_decides_who_hears(void)
{
	start(1);
	pulse(3);
	EXPECT(irq_pending(&chips.vcpu[0]));
	apic_enable(0);
	apic_out(0, APIC_LVT0, 0x10000);
	EXPECT(!irq_pending(&chips.vcpu[0]));
	apic_enable(1);
	apic_out(1, APIC_LVT0, 0x700);
	EXPECT_EQ(apic_take(1), 0x33);
	outb(0x20, 0x20);
	apic_out(1, APIC_LVT0, 0x10000);
	pulse(3);
	EXPECT(!irq_pending(&chips.vcpu[0]) && !irq_pending(&chips.vcpu[1]));
	EXPECT_EQ(lapic_base_set(&chips.vcpu[0], 0xfee00100, false), 0);	/* LAPIC off: the pin is INTR */
	EXPECT_EQ(apic_take(0), 0x33);
	chips_destroy();
}

static void state_survives(void)
{
	struct kvm_irqchip first = { .chip_id = 0 }, second = { .chip_id = 1 }, again = { .chip_id = 0 };

	start(1);
	outb(0x4d1, 0x0c);
	outb(0x20, 0xc2);
	pulse(3); pulse(9);
	irq_line(&chips.vm, 0, 10, true);
	EXPECT_EQ(apic_take(0), 0x33);
	outb(0xa0, 0x11);			/* in the middle of initialisation */
	EXPECT_EQ(irq_get_chip(&chips.vm, &first), 0);
	EXPECT_EQ(irq_get_chip(&chips.vm, &second), 0);
	EXPECT_EQ(first.chip.pic.isr, 0x08);
	EXPECT_EQ(first.chip.pic.irq_base, 0x30);
	EXPECT_EQ(first.chip.pic.priority_add, 3);
	EXPECT_EQ(second.chip.pic.elcr, 0x0c);
	EXPECT_EQ(second.chip.pic.init_state, 1);
	chips_destroy();

	chips_create(1, true);
	EXPECT_EQ(irq_set_chip(&chips.vm, &first), 0);
	EXPECT_EQ(irq_set_chip(&chips.vm, &second), 0);
	EXPECT_EQ(irq_get_chip(&chips.vm, &again), 0);
	EXPECT(!memcmp(&again, &first, sizeof(first)));
	outb(0xa1, 0x38); outb(0xa1, 2); outb(0xa1, 1);
	outb(0x20, 0x20);
	EXPECT_EQ(apic_take(0), 0x3a);		/* the level is still requested */
	first.chip_id = 3;
	EXPECT_EQ(irq_set_chip(&chips.vm, &first), -EINVAL);
	EXPECT_EQ(irq_get_chip(&chips.vm, &first), -EINVAL);
	chips_destroy();
}

/* --- a random machine against a model in other words -------------------------------------- */

/* Priorities as a list of pins, highest first; requests and services as sets. */
struct model {
	int order[2][8];
	bool requested[16], served[16], masked[16], line[16], level[16];
};

static int model_offer(const struct model *m, int chip)
{
	for (int n = 0; n < 8; n++) {
		int pin = m->order[chip][n];
		bool cascade = chip == 0 && pin == 2;
		bool wanted = cascade ? model_offer(m, 1) >= 0 : m->requested[chip * 8 + pin];

		if (m->served[chip * 8 + pin])
			return -1;
		if (wanted && !m->masked[chip * 8 + pin])
			return pin;
	}
	return -1;
}

static int model_take(struct model *m)
{
	int pin = model_offer(m, 0);

	if (pin == 2) {
		m->served[2] = true;
		pin = 8 + model_offer(m, 1);
	}
	if (pin < 0)
		return -1;
	m->served[pin] = true;
	if (!m->level[pin])
		m->requested[pin] = false;
	return pin;
}

static void model_eoi(struct model *m, int chip)
{
	for (int n = 0; n < 8; n++) {
		if (!m->served[chip * 8 + m->order[chip][n]])
			continue;
		m->served[chip * 8 + m->order[chip][n]] = false;
		return;
	}
}

static void model_line(struct model *m, int pin, bool up)
{
	if (m->level[pin])
		m->requested[pin] = up;
	else if (up && !m->line[pin])
		m->requested[pin] = true;
	m->line[pin] = up;
}

static void model_lowest(struct model *m, int chip, int pin)
{
	for (int n = 0; n < 8; n++)
		m->order[chip][n] = (pin + 1 + n) & 7;
}

static void random_machine(void)
{
	struct model m = { 0 };
	unsigned wrong = 0, taken = 0;

	start(1);
	srandom(1);
	outb(0x4d0, 0xa8);
	outb(0x4d1, 0x0c);
	for (int pin = 0; pin < 16; pin++)
		m.level[pin] = (0x0ca8 >> pin) & 1;
	model_lowest(&m, 0, 7);
	model_lowest(&m, 1, 7);
	for (int step = 0; step < 300000 && !wrong; step++) {
		int pin = (int)(random() & 15), chip = (int)(random() & 1);
		bool up = random() & 1;
		u8 mask = 0;

		switch (random() % 13) {
		case 0: case 1: case 2: case 3:
			if (pin == 2)
				break;
			irq_line(&chips.vm, 0, (unsigned)pin, up);
			model_line(&m, pin, up);
			break;
		case 4: case 5:
			outb(chip ? 0xa0 : 0x20, 0x20);
			model_eoi(&m, chip);
			break;
		case 6:
			outb(chip ? 0xa0 : 0x20, (u8)(0x60 | (pin & 7)));
			m.served[chip * 8 + (pin & 7)] = false;
			break;
		case 7:
			outb(chip ? 0xa0 : 0x20, (u8)(0xc0 | (pin & 7)));
			model_lowest(&m, chip, pin & 7);
			break;
		case 12:
			for (int n = 0; n < 8; n++) {
				int served = m.order[chip][n];

				if (!m.served[chip * 8 + served])
					continue;
				m.served[chip * 8 + served] = false;
				model_lowest(&m, chip, served);
				break;
			}
			outb(chip ? 0xa0 : 0x20, 0xa0);	/* end and rotate */
			break;
		case 8:
			mask = (u8)(random() & random() & ~(chip ? 0 : 4));
			outb(chip ? 0xa1 : 0x21, mask);
			for (int n = 0; n < 8; n++)
				m.masked[chip * 8 + n] = mask >> n & 1;
			break;
		default:
			wrong += irq_pending(&chips.vcpu[0]) != (model_offer(&m, 0) >= 0);
			if (!wrong && irq_pending(&chips.vcpu[0])) {
				wrong += irq_acknowledge(&chips.vcpu[0]) != 0x30 + model_take(&m);
				taken++;
			}
		}
		if (wrong)
			fprintf(stderr, "differs at step %d\n", step);
	}
	EXPECT_EQ(wrong, 0);
	EXPECT(taken > 10000);
	chips_destroy();
}

int main(void)
{
	TEST(lower_pins_win);
	TEST(masks_and_registers);
	TEST(an_edge_comes_once_and_coalesces);
	TEST(a_level_comes_until_it_is_down);
	TEST(nobody_there_is_spurious);
	TEST(automatic_eoi_and_rotation);
	TEST(special_mask_lets_lower_ones_through);
	TEST(special_fully_nested);
	TEST(polling_acknowledges);
	TEST(initialisation_forgets_edges_and_tells);
	TEST(lint0_decides_who_hears);
	TEST(state_survives);
	TEST(random_machine);
	return test_status();
}
