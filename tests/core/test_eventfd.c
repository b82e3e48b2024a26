// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_eventfd.c - what is written signals, and what is signalled interrupts
 */
#include "tests/core/machine.h"

/* --- ioeventfds --- */

static int io(int fd, gpa_t address, u32 bytes, u32 flags, u64 match)
{
	struct kvm_ioeventfd args = {
		.fd = fd, .addr = address, .len = bytes, .flags = flags, .datamatch = match,
	};

	return eventfd_ioeventfd(machine.vm, &args);
}

static int write_at(enum iobus_kind kind, gpa_t address, unsigned bytes, u64 value)
{
	return iobus_write(machine.v, kind, address, bytes, &value);
}

static void writes_signal(void)
{
	u64 before;

	machine_create();
	before = sim_event_signals(3);
	EXPECT_EQ(io(3, 0x1000, 4, 0, 0), 0);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x1000, 4, 99), 0);
	EXPECT_EQ(sim_event_signals(3), before + 1);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x1000, 2, 99), -EOPNOTSUPP);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x1004, 4, 99), -EOPNOTSUPP);
	EXPECT_EQ(write_at(IOBUS_PIO, 0x1000, 4, 99), -EOPNOTSUPP);
	EXPECT_EQ(iobus_read(machine.v, IOBUS_MMIO, 0x1000, 4, &(u32){ 0 }), -EOPNOTSUPP);
	EXPECT_EQ(sim_event_signals(3), before + 1);
	EXPECT_EQ(io(4, 0xc000, 2, KVM_IOEVENTFD_FLAG_PIO, 0), 0);
	EXPECT_EQ(write_at(IOBUS_PIO, 0xc000, 2, 0), 0);
	EXPECT_EQ(sim_event_signals(4), 1);
	EXPECT_EQ(io(5, 0x2000, 0, 0, 0), 0);		/* any length */
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x2000, 1, 0), 0);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x2000, 8, 0), 0);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x2001, 1, 0), -EOPNOTSUPP);
	EXPECT_EQ(sim_event_signals(5), 2);
	machine_destroy();
}

static void matching(void)
{
	const u32 match = KVM_IOEVENTFD_FLAG_DATAMATCH;

	machine_create();
	for (int queue = 0; queue < 4; queue++)
		EXPECT_EQ(io(10 + queue, 0x1000, 2, match, (u64)queue), 0);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x1000, 2, 2), 0);
	EXPECT_EQ(sim_event_signals(12), 1);
	EXPECT_EQ(sim_event_signals(11), 0);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x1000, 2, 4), -EOPNOTSUPP);
	/* only as many bytes as are written count */
	EXPECT_EQ(io(20, 0x3000, 1, match, 0xabcdef12), 0);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x3000, 1, 0x12), 0);
	EXPECT_EQ(sim_event_signals(20), 1);
	EXPECT_EQ(io(21, 0x3000, 8, match, 0xabcdef12), 0);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x3000, 8, 0x12), -EOPNOTSUPP);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x3000, 8, 0xabcdef12), 0);
	EXPECT_EQ(io(12, 0x1000, 2, match | KVM_IOEVENTFD_FLAG_DEASSIGN, 2), 0);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x1000, 2, 2), -EOPNOTSUPP);
	EXPECT_EQ(write_at(IOBUS_MMIO, 0x1000, 2, 3), 0);
	machine_destroy();
}

static void io_refusals(void)
{
	const u32 match = KVM_IOEVENTFD_FLAG_DATAMATCH, deassign = KVM_IOEVENTFD_FLAG_DEASSIGN;
	u64 held;

	machine_create();
	EXPECT_EQ(io(1, 0, 3, 0, 0), -EINVAL);
	EXPECT_EQ(io(1, 0, 16, 0, 0), -EINVAL);
	EXPECT_EQ(io(1, ~0ull, 4, 0, 0), -EINVAL);
	EXPECT_EQ(io(1, 0, 4, 0x100, 0), -EINVAL);
	EXPECT_EQ(io(1, 0, 0, match, 0), -EINVAL);
	EXPECT_EQ(io(-1, 0, 4, 0, 0), -EBADF);
	EXPECT_EQ(io(1, 0, 4, deassign, 0), -ENOENT);
	EXPECT_EQ(io(1, 0x100, 4, match, 7), 0);
	EXPECT_EQ(io(2, 0x100, 4, match, 7), -EEXIST);
	EXPECT_EQ(io(2, 0x100, 4, 0, 0), -EEXIST);
	EXPECT_EQ(io(2, 0x100, 0, 0, 0), -EEXIST);
	EXPECT_EQ(io(2, 0x100, 4, match, 8), 0);
	EXPECT_EQ(io(2, 0x100, 2, 0, 0), 0);
	EXPECT_EQ(io(2, 0x100, 4, match | KVM_IOEVENTFD_FLAG_PIO, 7), 0);
	EXPECT_EQ(io(2, 0x100, 4, match | deassign, 7), -ENOENT);	/* another's */
	EXPECT_EQ(io(1, 0x100, 4, deassign, 7), -ENOENT);
	EXPECT_EQ(io(1, 0x100, 4, match | deassign, 7), 0);
	held = sim_allocations();
	for (u64 n = 1; n <= 2; n++) {
		sim_fail_alloc(n);
		EXPECT_EQ(io(1, 0x100, 4, match, 7), -ENOMEM);
		sim_fail_alloc(0);
		EXPECT_EQ(sim_allocations(), held);
	}
	EXPECT_EQ(io(1, 0x100, 4, match, 7), 0);
	machine_destroy();
}

/* --- irqfds --- */

static int irq(int fd, u32 gsi, u32 flags, int resample)
{
	struct kvm_irqfd args = { .fd = (u32)fd, .gsi = gsi, .flags = flags, .resamplefd = (u32)resample };

	return eventfd_irqfd(machine.vm, &args);
}

/* The PIC sees every GSI below 16: requests, and levels of lines. */
static struct kvm_pic_state pic_state(unsigned chip)
{
	struct kvm_irqchip state = { .chip_id = chip };

	EXPECT_EQ(irq_get_chip(machine.vm, &state), 0);
	return state.chip.pic;
}

static bool pic_requested(unsigned gsi)
{
	return pic_state(gsi / 8).irr >> gsi % 8 & 1;
}

static bool pic_line(unsigned gsi)
{
	return pic_state(gsi / 8).last_irr >> gsi % 8 & 1;
}

static void signals_interrupt(void)
{
	machine_create_with(true);
	EXPECT_EQ(irq(30, 4, 0, 0), 0);
	EXPECT(!pic_requested(4));
	sim_event_raise(30);
	EXPECT(pic_requested(4));
	EXPECT(!pic_line(4));			/* a pulse */
	EXPECT_EQ(irq(30, 5, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);	/* another GSI: stays */
	EXPECT_EQ(irq(31, 5, 0, 0), 0);
	EXPECT_EQ(irq(31, 5, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	sim_event_raise(31);
	EXPECT(!pic_requested(5));
	EXPECT_EQ(irq(30, 4, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	machine_destroy();
}

static void resampling(void)
{
	u64 a, b;

	machine_create_with(true);
	a = sim_event_signals(41);
	b = sim_event_signals(43);
	EXPECT_EQ(irq(40, 10, KVM_IRQFD_FLAG_RESAMPLE, 41), 0);
	EXPECT_EQ(irq(42, 10, KVM_IRQFD_FLAG_RESAMPLE, 43), 0);
	sim_event_raise(40);
	EXPECT(pic_line(10));
	eventfd_ack(machine.vm, 11);
	EXPECT(pic_line(10));
	eventfd_ack(machine.vm, 10);
	EXPECT(!pic_line(10));
	EXPECT_EQ(sim_event_signals(41), a + 1);	/* all who share the line look again */
	EXPECT_EQ(sim_event_signals(43), b + 1);

	/* Who raised it may go while others are there; the last one takes it down. */
	sim_event_raise(40);
	EXPECT_EQ(irq(40, 10, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	EXPECT(pic_line(10));
	EXPECT_EQ(irq(42, 10, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	EXPECT(!pic_line(10));
	eventfd_ack(machine.vm, 10);		/* nobody asks any more */
	machine_destroy();
}

static void irq_refusals(void)
{
	u64 held;

	machine_create();
	EXPECT_EQ(irq(50, 4, 0, 0), -EINVAL);		/* no chips */
	EXPECT_EQ(irq(50, 4, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	machine_destroy();

	machine_create_with(true);
	EXPECT_EQ(irq(50, 4, 8, 0), -EINVAL);
	EXPECT_EQ(irq(-1, 4, 0, 0), -EBADF);
	EXPECT_EQ(irq(50, 4, KVM_IRQFD_FLAG_RESAMPLE, -1), -EBADF);
	EXPECT_EQ(irq(50, 4, 0, 0), 0);
	EXPECT_EQ(irq(50, 5, 0, 0), -EBUSY);
	held = sim_allocations();
	sim_fail_alloc(1);
	EXPECT_EQ(irq(51, 4, 0, 0), -ENOMEM);
	sim_fail_alloc(0);
	EXPECT_EQ(sim_allocations(), held);
	machine_destroy();
}

/* A VM that ends with notifiers still there leaves nothing behind. */
static void end(void)
{
	u64 held = sim_allocations();

	machine_create_with(true);
	EXPECT_EQ(irq(60, 4, 0, 0), 0);
	EXPECT_EQ(irq(61, 10, KVM_IRQFD_FLAG_RESAMPLE, 62), 0);
	EXPECT_EQ(io(63, 0x1000, 4, 0, 0), 0);
	sim_event_raise(61);
	machine_destroy();
	EXPECT_EQ(sim_allocations(), held);
	sim_event_raise(60);
	sim_event_raise(61);
}

int main(void)
{
	TEST(writes_signal);
	TEST(matching);
	TEST(io_refusals);
	TEST(signals_interrupt);
	TEST(resampling);
	TEST(irq_refusals);
	TEST(end);
	return test_status();
}
