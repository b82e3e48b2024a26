// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_pci.c - buses, configuration space, BARs, INTx, MSI-X
 */
#include <errno.h>

#include "tests/test.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/pci.h"

/* --- a bus with one device, and wires that remember ------------------------------- */

static struct bus pio, mmio;
static struct pci_bus bus;
static struct pci_device dev, other;

static u64 last_address, msis, moved_to;
static u32 last_data;
static bool line_level[24];
static unsigned resets, destroys, changes;
static u64 bar_offset, bar_value;
static unsigned bar_number;
static int reset_control;

static void on_msi(void *owner, u64 address, u32 data)
{
	(void)owner;
	msis++;
	last_address = address;
	last_data = data;
}
static void on_line(void *owner, unsigned gsi, bool level) { (void)owner; line_level[gsi] = level; }
static void on_reset_control(void *owner, u8 value) { (void)owner; reset_control = value; }

static u64 dev_read(struct pci_device *d, unsigned bar, u64 offset, unsigned size)
{
	(void)d, (void)size;
	bar_number = bar;
	return 0x1100 + offset;
}

static void dev_write(struct pci_device *d, unsigned bar, u64 offset, unsigned size, u64 value)
{
	(void)d, (void)size;
	bar_number = bar, bar_offset = offset, bar_value = value;
}

static void dev_moved(struct pci_device *d, unsigned bar, u64 address)
{
	(void)d, (void)bar;
	moved_to = address;
}
static void dev_changed(struct pci_device *d) { (void)d; changes++; }
static void dev_reset(struct pci_device *d) { (void)d; resets++; }
static void dev_destroy(struct pci_device *d) { (void)d; destroys++; }

static bool dev_config_read(struct pci_device *d, unsigned offset, unsigned size, u32 *value)
{
	(void)d, (void)size;
	*value = 0xabcd;
	return offset == 0xf0;
}

static const struct pci_ops ops = {
	.bar_read = dev_read,
	.bar_write = dev_write,
	.bar_moved = dev_moved,
	.msix_changed = dev_changed,
	.config_read = dev_config_read,
	.reset = dev_reset,
	.destroy = dev_destroy,
};

static const struct pci_identity identity = {
	.vendor = 0x1af4, .device = 0x1042, .subsystem_vendor = 0x1af4, .subsystem = 2,
	.class_code = 0x018000, .revision = 1,
};

enum { MSIX_BAR = 0, TABLE = 0x2000, PBA = 0x3000, VECTORS = 3 };

static void set_up(void)
{
	struct pci_wires wires = { NULL, on_msi, on_line, on_reset_control };

	bus_init(&pio);
	bus_init(&mmio);
	msis = resets = destroys = changes = 0;
	memset(line_level, 0, sizeof(line_level));
	EXPECT_EQ(pci_bus_init(&bus, &pio, &mmio, &wires), 0);
	pci_device_init(&dev, &ops, "device", &identity);
	pci_add_bar(&dev, 0, 0x4000, PCI_BAR_64);
	pci_add_bar(&dev, 2, 0x40, PCI_BAR_IO);
	EXPECT_EQ(pci_add_msix(&dev, MSIX_BAR, TABLE, PBA, VECTORS), 0);
	EXPECT_EQ(pci_register(&bus, &dev, 3), 0);
}

static void tear_down(void)
{
	pci_bus_fini(&bus);
	bus_fini(&pio);
	bus_fini(&mmio);
}

static u32 config_read(unsigned offset, unsigned size)
{
	return pci_config_read(&bus, 3, offset, size);
}
static void config_write(unsigned offset, unsigned size, u32 value)
{
	pci_config_write(&bus, 3, offset, size, value);
}

static u64 bar0(void) { return (config_read(0x10, 4) & ~15u) | (u64)config_read(0x14, 4) << 32; }

static void mmio_write32(u64 address, u32 value) { EXPECT(bus_write(&mmio, address, 4, value)); }

static u64 mmio_read(u64 address, unsigned size)
{
	u64 value;

	bus_read(&mmio, address, size, &value);
	return value;
}

/* --- the address-range bus ------------------------------------------------------------ */

static u64 plain_read(void *owner, u64 offset, unsigned size)
{
	(void)size;
	return (u64)owner + offset;
}
static void plain_write(void *owner, u64 offset, unsigned size, u64 value)
{
	(void)size;
	*(u64 *)owner = value + offset;
}
static const struct bus_ops plain = { plain_read, plain_write };

static void bus_finds_the_range_that_holds_all_bytes(void)
{
	static struct bus b;
	u64 v, target = 0;

	bus_init(&b);
	EXPECT_EQ(bus_add(&b, 0x100, 0x10, &plain, (void *)0x1000), 0);
	EXPECT_EQ(bus_add(&b, 0x80, 0x80, &plain, (void *)0x2000), 0);
	EXPECT_EQ(bus_add(&b, 0x110, 1, &plain, (void *)0x3000), 0);
	EXPECT_EQ(bus_add(&b, 0x10f, 4, &plain, NULL), -EEXIST);
	EXPECT_EQ(bus_add(&b, 0x7f, 2, &plain, NULL), -EEXIST);
	EXPECT_EQ(bus_add(&b, 0x0, 0x1000, &plain, NULL), -EEXIST);
	EXPECT_EQ(bus_add(&b, 0x500, 0, &plain, NULL), -EINVAL);
	EXPECT_EQ(bus_add(&b, ~0ull, 2, &plain, NULL), -EINVAL);
	EXPECT(bus_read(&b, 0x104, 4, &v));
	EXPECT_EQ(v, 0x1004);
	EXPECT(bus_read(&b, 0xff, 1, &v));
	EXPECT_EQ(v, 0x7f);		/* cut to its size */
	EXPECT(!bus_read(&b, 0x10e, 4, &v));
	EXPECT_EQ(v, 0xffffffff);
	EXPECT(!bus_read(&b, 0x7f, 1, &v));
	EXPECT_EQ(v, 0xff);
	EXPECT_EQ(bus_add(&b, ~0ull - 7, 8, &plain, &target), 0);	/* the very end */
	EXPECT(bus_write(&b, ~0ull - 7, 8, 5));
	EXPECT_EQ(target, 5);
	EXPECT(!bus_write(&b, ~0ull - 3, 8, 5));
	bus_remove(&b, 0x100, (void *)0x9999);		/* not the owner */
	EXPECT(bus_read(&b, 0x104, 4, &v));
	bus_remove(&b, 0x100, (void *)0x1000);
	EXPECT(!bus_read(&b, 0x104, 4, &v));
	bus_fini(&b);
}

static void bus_fills_up(void)
{
	static struct bus b;

	bus_init(&b);
	for (u64 i = 0; i < BUS_RANGES_MAX; i++)
		EXPECT_EQ(bus_add(&b, 0x1000 - i * 8, 8, &plain, NULL), 0);
	EXPECT_EQ(bus_add(&b, 0x2000, 8, &plain, NULL), -ENOSPC);
	for (u32 i = 1; i < b.ranges; i++)
		EXPECT(b.range[i - 1].start < b.range[i].start);
	bus_fini(&b);
}

/* --- configuration ----------------------------------------------------------------------- */

static void identity_is_read_through_the_ports(void)
{
	u64 v;

	set_up();
	bus_write(&pio, 0xcf8, 4, 0x80000000 | 3 << 11);
	bus_read(&pio, 0xcfc, 4, &v);
	EXPECT_EQ(v, 0x10421af4);
	bus_read(&pio, 0xcfe, 2, &v);
	EXPECT_EQ(v, 0x1042);
	bus_write(&pio, 0xcf8, 4, 0x80000000 | 3 << 11 | 8);
	bus_read(&pio, 0xcfc, 4, &v);
	EXPECT_EQ(v, 0x01800001);
	bus_read(&pio, 0xcf8, 4, &v);
	EXPECT_EQ(v, 0x80001808);
	for (u32 nobody = 0; nobody < 4; nobody++) {	/* other slot, function, bus; disabled */
		static const u32 address[] = { 0x80000000 | 4 << 11, 0x80000000 | 3 << 11 | 1 << 8,
					       0x80000000 | 1 << 16 | 3 << 11, 3 << 11 };

		bus_write(&pio, 0xcf8, 4, address[nobody]);
		bus_read(&pio, 0xcfc, 4, &v);
		EXPECT_EQ(v, 0xffffffff);
	}
	EXPECT_EQ(pci_config_read(&bus, 0, 8, 4) >> 8, 0x060000);
	EXPECT_EQ(config_read(0xf0, 4), 0xabcd);
	EXPECT_EQ(config_read(0xfe, 4), 0xffffffff);	/* unaligned */
	tear_down();
}

static void a_byte_at_0xcf9_is_the_reset_control(void)
{
	u64 v;

	set_up();
	reset_control = -1;
	bus_write(&pio, 0xcf8, 4, 0x80000600);
	EXPECT_EQ(reset_control, -1);
	bus_write(&pio, 0xcf9, 1, 6);
	EXPECT_EQ(reset_control, 6);
	bus_read(&pio, 0xcf8, 4, &v);
	EXPECT_EQ(v, 0x80000600);	/* the address is as it was */
	tear_down();
}

static void read_only_bits_stay(void)
{
	set_up();
	config_write(0, 4, 0);
	EXPECT_EQ(config_read(0, 4), 0x10421af4);
	config_write(4, 4, 0xffffffff);
	EXPECT_EQ(config_read(4, 2), 0x547);
	EXPECT_EQ(config_read(6, 2), 0x10);
	config_write(0x3c, 1, 0x5a);
	EXPECT_EQ(config_read(0x3c, 2), 0x15a);
	tear_down();
}

static void bars_tell_their_size(void)
{
	set_up();
	config_write(0x10, 4, ~0u);
	config_write(0x14, 4, ~0u);
	config_write(0x18, 4, ~0u);
	config_write(0x1c, 4, ~0u);
	EXPECT_EQ(config_read(0x10, 4), 0xffffc004);
	EXPECT_EQ(config_read(0x14, 4), 0xffffffff);
	EXPECT_EQ(config_read(0x18, 4), 0x0000ffc1);
	EXPECT_EQ(config_read(0x1c, 4), 0);
	tear_down();
}

static void bars_appear_move_and_vanish(void)
{
	u64 at;

	set_up();
	at = bar0();
	EXPECT(at >= PCI_WINDOW_START && at + 0x4000 <= PCI_WINDOW_END && !(at % 0x4000));
	EXPECT_EQ(mmio_read(at + 8, 2), 0xffff);	/* decoding is off */
	config_write(4, 2, 2);
	EXPECT_EQ(moved_to, at);
	EXPECT_EQ(mmio_read(at + 8, 2), 0x1108);
	mmio_write32(at + 0x10, 0x77);
	EXPECT(bar_offset == 0x10 && bar_value == 0x77 && bar_number == 0);
	config_write(0x10, 4, 0xd0000000);
	EXPECT_EQ(moved_to, 0xd0000000);
	EXPECT_EQ(mmio_read(at + 8, 2), 0xffff);
	EXPECT_EQ(mmio_read(0xd0000008, 2), 0x1108);
	config_write(0x14, 4, 0x12);			/* above 4 GiB */
	EXPECT_EQ(mmio_read(0x12d0000008, 2), 0x1108);
	config_write(4, 2, 0);
	EXPECT_EQ(moved_to, PCI_UNMAPPED);
	EXPECT_EQ(mmio_read(0x12d0000008, 2), 0xffff);
	tear_down();
}

static void io_bars_are_on_the_port_bus(void)
{
	u32 port;
	u64 v;

	set_up();
	port = config_read(0x18, 4) & ~3u;
	EXPECT(port >= 0xc000 && !(port % 0x40));
	config_write(4, 2, 1);
	EXPECT(bus_read(&pio, port + 4, 2, &v));
	EXPECT_EQ(v, 0x1104);
	EXPECT_EQ(bar_number, 2);
	tear_down();
}

static void bars_on_top_of_each_other_do_not_answer(void)
{
	set_up();
	pci_device_init(&other, &ops, "other", &identity);
	pci_add_bar(&other, 0, 0x1000, 0);
	EXPECT_EQ(pci_register(&bus, &other, -1), 0);
	EXPECT_EQ(other.slot, 1);
	config_write(4, 2, 2);
	pci_config_write(&bus, 1, 4, 2, 2);
	pci_config_write(&bus, 1, 0x10, 4, (u32)bar0() + 0x1000);	/* into dev's */
	EXPECT_EQ(other.bar[0].mapped, PCI_UNMAPPED);
	EXPECT_EQ(mmio_read(bar0() + 0x1004, 2), 0x2104);
	tear_down();
	EXPECT_EQ(destroys, 2);
}

static void capabilities_are_a_list(void)
{
	u8 body[14] = { 16, 1 };
	unsigned at, seen = 0;

	set_up();
	EXPECT(pci_add_capability(&dev, 9, body, 16) > 0);
	EXPECT(pci_add_capability(&dev, 9, body, 15) > 0);	/* the next is aligned */
	EXPECT(pci_add_capability(&dev, 5, body, 8) > 0);
	for (at = config_read(0x34, 1); at; at = config_read(at + 1, 1), seen++)
		EXPECT(!(at % 4) && at >= 0x40);
	EXPECT_EQ(seen, 4);
	EXPECT_EQ(pci_add_capability(&dev, 9, body, 250), -ENOSPC);
	EXPECT_EQ(pci_add_capability(&dev, 9, body, 1), -ENOSPC);
	tear_down();
}

static void slots_run_out(void)
{
	static struct pci_device many[PCI_SLOTS];
	int added = 0;

	set_up();
	for (int i = 0; i < PCI_SLOTS; i++) {
		pci_device_init(&many[i], &ops, "one of many", &identity);
		if (!pci_register(&bus, &many[i], -1))
			added++;
	}
	EXPECT_EQ(added, PCI_SLOTS - 2);
	EXPECT_EQ(pci_register(&bus, &many[31], 3), -EBUSY);
	tear_down();
}

/* --- interrupts --------------------------------------------------------------------------- */

static void intx_lines_are_shared(void)
{
	set_up();
	pci_device_init(&other, &ops, "other", &identity);
	pci_register(&bus, &other, 11);		/* 3 and 11 share line 3 */
	EXPECT_EQ(config_read(0x3c, 2), 0x100 | (PCI_INTX_FIRST + 3));
	pci_intx_set(&dev, true);
	pci_intx_set(&other, true);
	EXPECT(line_level[19]);
	EXPECT(config_read(6, 2) & 8);
	pci_intx_set(&dev, false);
	EXPECT(line_level[19]);
	pci_intx_set(&other, false);
	EXPECT(!line_level[19]);
	pci_intx_set(&dev, true);
	config_write(4, 2, 0x400);		/* interrupt disable */
	EXPECT(!line_level[19]);
	EXPECT(config_read(6, 2) & 8);
	config_write(4, 2, 0);
	EXPECT(line_level[19]);
	pci_bus_reset(&bus);
	EXPECT_EQ(resets, 2);
	tear_down();
}

static void vector_set(unsigned v, u64 address, u32 data, u32 control)
{
	u64 at = bar0() + TABLE + 16 * v;

	mmio_write32(at, (u32)address);
	mmio_write32(at + 4, (u32)(address >> 32));
	mmio_write32(at + 8, data);
	mmio_write32(at + 12, control);
}

static void msix_enable(u16 control) { config_write(dev.msix.capability + 2u, 2, control); }

static void msix_sends_what_the_table_says(void)
{
	set_up();
	config_write(4, 2, 6);
	EXPECT_EQ(config_read(dev.msix.capability, 4), 0x11 | 2 << 16);
	EXPECT_EQ(config_read(dev.msix.capability + 4u, 4), TABLE);
	EXPECT_EQ(config_read(dev.msix.capability + 8u, 4), PBA);
	EXPECT_EQ(mmio_read(bar0() + TABLE + 12, 4), 1);	/* masked at first */
	vector_set(1, 0xfee01000, 0x41, 0);
	pci_msix_fire(&dev, 1);
	EXPECT_EQ(msis, 0);					/* not enabled */
	EXPECT(!pci_msix_enabled(&dev));
	msix_enable(0x8000);
	EXPECT(pci_msix_enabled(&dev));
	EXPECT_EQ(msis, 0);					/* nothing was pending */
	pci_msix_fire(&dev, 1);
	EXPECT(msis == 1 && last_address == 0xfee01000 && last_data == 0x41);
	pci_msix_fire(&dev, 3);					/* there is none */
	pci_msix_fire(&dev, 0x10000);
	EXPECT_EQ(msis, 1);
	bus_write(&mmio, bar0() + TABLE, 8, 0x1fee02003); /* 8 bytes at once; low bits are zero */
	EXPECT_EQ(mmio_read(bar0() + TABLE, 8), 0x1fee02000);
	EXPECT(changes > 0);
	tear_down();
}

static void masked_vectors_become_pending(void)
{
	set_up();
	config_write(4, 2, 6);
	msix_enable(0x8000);
	vector_set(0, 0xfee00000, 0x30, 1);
	vector_set(2, 0xfee00000, 0x32, 0);
	pci_msix_fire(&dev, 0);
	pci_msix_fire(&dev, 0);
	EXPECT_EQ(msis, 0);
	EXPECT_EQ(mmio_read(bar0() + PBA, 8), 1);
	mmio_write32(bar0() + PBA, 0);				/* read-only */
	EXPECT_EQ(mmio_read(bar0() + PBA, 4), 1);
	mmio_write32(bar0() + TABLE + 12, 0);			/* unmask: sent once */
	EXPECT(msis == 1 && last_data == 0x30);
	EXPECT_EQ(mmio_read(bar0() + PBA, 8), 0);
	msix_enable(0xc000);					/* mask the function */
	pci_msix_fire(&dev, 2);
	pci_msix_fire(&dev, 0);
	EXPECT_EQ(msis, 1);
	EXPECT_EQ(mmio_read(bar0() + PBA, 8), 5);
	msix_enable(0x8000);
	EXPECT_EQ(msis, 3);
	EXPECT_EQ(mmio_read(bar0() + PBA, 8), 0);
	tear_down();
}

static void odd_accesses_to_the_table_do_nothing(void)
{
	set_up();
	config_write(4, 2, 2);
	vector_set(0, 0xfee00000, 0x30, 0);
	bus_write(&mmio, bar0() + TABLE, 1, 0xff);
	bus_write(&mmio, bar0() + TABLE + 2, 4, 0xffffffff);
	bus_write(&mmio, bar0() + TABLE + 4, 8, ~0ull);
	EXPECT_EQ(mmio_read(bar0() + TABLE, 4), 0xfee00000);
	EXPECT_EQ(mmio_read(bar0() + TABLE + 1, 1), 0);
	EXPECT_EQ(mmio_read(bar0() + TABLE + 16 * VECTORS, 4),
		  0x1100 + TABLE + 16 * VECTORS); /* the device's */
	tear_down();
}

static void impossible_msix_is_refused(void)
{
	set_up();
	EXPECT_EQ(pci_add_msix(&other, 9, 0, 0x1000, 4), -EINVAL);
	pci_device_init(&other, &ops, "other", &identity);
	pci_add_bar(&other, 1, 0x1000, 0);
	EXPECT_EQ(pci_add_msix(&other, 1, 0, 0xff8, 0), -EINVAL);
	EXPECT_EQ(pci_add_msix(&other, 1, 0, 0xff8, 257), -EINVAL);
	EXPECT_EQ(pci_add_msix(&other, 1, 0, 0x8, 4), -EINVAL);
	EXPECT_EQ(pci_add_msix(&other, 1, 0xff0, 0, 2), -EINVAL);
	EXPECT_EQ(pci_add_msix(&other, 1, 0, 0x1000, 4), -EINVAL);
	EXPECT_EQ(pci_add_msix(&other, 1, 0, 0xff8, 4), 0);
	tear_down();
}

static void reset_restores_what_was_registered(void)
{
	u64 at;

	set_up();
	at = bar0();
	config_write(4, 2, 6);
	config_write(0x10, 4, 0xd0000000);
	msix_enable(0x8000);
	vector_set(0, 0xfee00000, 0x30, 0);
	pci_intx_set(&dev, true);
	pci_bus_reset(&bus);
	EXPECT_EQ(resets, 1);
	EXPECT_EQ(config_read(4, 2), 0);
	EXPECT_EQ(bar0(), at);
	EXPECT_EQ(moved_to, PCI_UNMAPPED);
	EXPECT_EQ(mmio_read(0xd0000000, 4), 0xffffffff);
	EXPECT(!pci_msix_enabled(&dev));
	EXPECT_EQ(dev.msix.entry[0].control, 1);
	EXPECT_EQ(dev.msix.entry[0].data, 0);
	EXPECT(!line_level[19]);
	EXPECT(!pci_is_master(&dev));
	tear_down();
}

int main(void)
{
	TEST(bus_finds_the_range_that_holds_all_bytes);
	TEST(bus_fills_up);
	TEST(identity_is_read_through_the_ports);
	TEST(a_byte_at_0xcf9_is_the_reset_control);
	TEST(read_only_bits_stay);
	TEST(bars_tell_their_size);
	TEST(bars_appear_move_and_vanish);
	TEST(io_bars_are_on_the_port_bus);
	TEST(bars_on_top_of_each_other_do_not_answer);
	TEST(capabilities_are_a_list);
	TEST(slots_run_out);
	TEST(intx_lines_are_shared);
	TEST(msix_sends_what_the_table_says);
	TEST(masked_vectors_become_pending);
	TEST(odd_accesses_to_the_table_do_nothing);
	TEST(impossible_msix_is_refused);
	TEST(reset_restores_what_was_registered);
	return test_status();
}
