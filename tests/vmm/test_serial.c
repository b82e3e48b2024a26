// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_serial.c - the 16550: data, FIFO, interrupts, flow control, loopback
 */
#include "tests/test.h"
#include "vmm/dev/serial.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH, FCR = 2 };

static struct serial s;
static bool level;
static char sent[64];
static size_t sent_count, room;
static unsigned wanted;

static void on_line(void *owner, bool l) { (void)owner; level = l; }
static void on_wanted(void *owner) { (void)owner; wanted++; }

static size_t on_send(void *owner, const u8 *bytes, size_t n)
{
	(void)owner;
	n = MIN_OF(n, room);
	memcpy(sent + sent_count, bytes, n);
	sent_count += n;
	room -= n;
	return n;
}

static void set_up(void)
{
	struct serial_wires wires = { NULL, on_line, on_send, on_wanted };

	level = false;
	sent_count = wanted = 0;
	room = sizeof(sent);
	serial_init(&s, &wires);
}

static u8 in(unsigned reg) { return serial_read(&s, reg); }
static void out(unsigned reg, u8 value) { serial_write(&s, reg, value); }
static size_t type(const char *text) { return serial_input(&s, (const u8 *)text, strlen(text)); }

static void registers_read_back(void)
{
	set_up();
	out(SCRATCH, 0xa5);
	EXPECT_EQ(in(SCRATCH), 0xa5);
	out(LCR, 0x83);
	out(DATA, 1), out(IER, 2);
	EXPECT(in(DATA) == 1 && in(IER) == 2);
	out(LCR, 3);
	EXPECT(in(IER) == 0 && in(LCR) == 3);
	out(IER, 0xff);
	EXPECT_EQ(in(IER), 0x0f);
	out(MCR, 0xff);
	EXPECT_EQ(in(MCR), 0x1f);
	EXPECT_EQ(in(IIR) & 0xc0, 0);
	out(FCR, 1);
	EXPECT_EQ(in(IIR) & 0xc0, 0xc0);
	EXPECT_EQ(sent_count, 0);
}

static void output_is_sent_at_once(void)
{
	set_up();
	EXPECT_EQ(in(LSR), 0x60);
	out(DATA, 'h'), out(DATA, 'i');
	EXPECT(sent_count == 2 && !memcmp(sent, "hi", 2));
	EXPECT_EQ(in(LSR), 0x60);
}

static void transmitter_interrupts_once_when_enabled_and_after_each_byte(void)
{
	set_up();
	out(MCR, 8);
	EXPECT(!level);
	out(IER, 2);
	EXPECT(level);
	EXPECT_EQ(in(IIR), 2);		/* reading takes it away */
	EXPECT(!level);
	EXPECT_EQ(in(IIR), 1);
	out(IER, 2);			/* it was on already */
	EXPECT(!level);
	out(IER, 0), out(IER, 2);
	EXPECT(level);
	in(IIR);
	out(DATA, 'x');
	EXPECT(level);
	EXPECT_EQ(in(IIR), 2);
}

static void a_full_terminal_makes_the_guest_wait(void)
{
	set_up();
	out(MCR, 8), out(FCR, 1), out(IER, 2), in(IIR);
	room = 1;
	for (const char *p = "abcdef"; *p; p++)
		out(DATA, (u8)*p);
	EXPECT_EQ(sent_count, 1);
	EXPECT_EQ(in(LSR), 0);
	EXPECT(!level);
	room = 2;
	serial_drained(&s);
	EXPECT_EQ(sent_count, 3);
	EXPECT_EQ(in(LSR), 0);
	room = 10;
	serial_drained(&s);
	EXPECT(sent_count == 6 && !memcmp(sent, "abcdef", 6));
	EXPECT_EQ(in(LSR), 0x60);
	EXPECT(level);
}

static void input_without_fifo_is_one_byte(void)
{
	set_up();
	out(MCR, 8), out(IER, 1);
	EXPECT_EQ(type("ab"), 1);
	EXPECT(level);
	EXPECT_EQ(in(IIR), 4);
	EXPECT_EQ(in(LSR), 0x61);
	EXPECT_EQ(wanted, 0);
	EXPECT_EQ(in(DATA), 'a');
	EXPECT_EQ(wanted, 1);		/* there is room again, and more was waiting */
	EXPECT(!level);
	EXPECT_EQ(in(LSR), 0x60);
	EXPECT_EQ(in(DATA), 0);
}

static void input_with_fifo_has_a_trigger_level(void)
{
	set_up();
	out(MCR, 8), out(FCR, 0x81), out(IER, 1);	/* 8 bytes */
	EXPECT_EQ(type("0123456"), 7);
	EXPECT(level);
	EXPECT_EQ(in(IIR), 0xcc);			/* timed out below it */
	EXPECT_EQ(type("789abcdefghij"), 9);
	EXPECT_EQ(in(IIR), 0xc4);
	for (const char *p = "0123456789abcdef"; *p; p++)
		EXPECT_EQ(in(DATA), *p);
	EXPECT_EQ(wanted, 1);
	EXPECT(!level);
	EXPECT_EQ(in(LSR) & 2, 0);			/* refused is not overrun */
	type("zzz");
	out(FCR, 0x83);
	EXPECT_EQ(in(LSR), 0x60);
}

static void interrupts_have_an_order(void)
{
	set_up();
	out(MCR, 8 | 0x10);		/* loopback: we can overrun ourselves */
	out(IER, 15);
	out(DATA, 1), out(DATA, 2);
	EXPECT(!level);			/* loopback cuts the line, not the cause */
	EXPECT_EQ(in(IIR), 6);
	EXPECT_EQ(in(LSR), 0x63);
	EXPECT_EQ(in(IIR), 4);
	EXPECT_EQ(in(DATA), 1);
	EXPECT_EQ(in(IIR), 2);
	EXPECT_EQ(in(IIR), 0);		/* modem: DCD followed OUT2, CTS and DSR went */
	EXPECT_EQ(in(MSR), 0x80 | 3);
	EXPECT_EQ(in(IIR), 1);
}

static void loopback_returns_the_modem_lines(void)
{
	set_up();
	EXPECT_EQ(in(MSR) & 0xf0, 0xb0);
	out(MCR, 0x1a);			/* what drivers look for: RTS and OUT2 come back */
	EXPECT_EQ(in(MSR) & 0xf0, 0x90);
	out(MCR, 0x15);
	EXPECT_EQ(in(MSR) & 0xf0, 0x60);
	out(DATA, 'q');
	EXPECT_EQ(in(DATA), 'q');
	EXPECT_EQ(sent_count, 0);
	EXPECT_EQ(type("x"), 0);	/* the line is cut */
	out(MCR, 0);
}

static void out2_gates_the_interrupt(void)
{
	set_up();
	out(IER, 1);
	type("a");
	EXPECT(!level);
	out(MCR, 8);
	EXPECT(level);
	out(MCR, 0);
	EXPECT(!level);
}

static void reset_drops_everything(void)
{
	set_up();
	out(MCR, 8), out(IER, 1), out(FCR, 1);
	type("0123456789abcdefX");
	EXPECT(level);
	serial_reset(&s);
	EXPECT(!level);
	EXPECT_EQ(wanted, 1);
	EXPECT_EQ(in(LSR), 0x60);
	EXPECT_EQ(in(IER), 0);
}

int main(void)
{
	TEST(registers_read_back);
	TEST(output_is_sent_at_once);
	TEST(transmitter_interrupts_once_when_enabled_and_after_each_byte);
	TEST(a_full_terminal_makes_the_guest_wait);
	TEST(input_without_fifo_is_one_byte);
	TEST(input_with_fifo_has_a_trigger_level);
	TEST(interrupts_have_an_order);
	TEST(loopback_returns_the_modem_lines);
	TEST(out2_gates_the_interrupt);
	TEST(reset_drops_everything);
	return test_status();
}
