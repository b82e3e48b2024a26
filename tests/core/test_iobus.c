// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_iobus.c - accesses find the devices they are for
 */
#include "tests/core/machine.h"

struct probe {
	struct iodev device;
	gpa_t address;
	unsigned bytes, reads, writes;
	bool declines;
};

static int probe_read(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, void *data)
{
	struct probe *p = CONTAINER_OF(d, struct probe, device);

	(void)v;
	p->reads++;
	p->address = address;
	p->bytes = bytes;
	memset(data, 0xab, bytes);
	return p->declines ? -EOPNOTSUPP : 0;
}

static int probe_write(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, const void *data)
{
	struct probe *p = CONTAINER_OF(d, struct probe, device);

	(void)v;
	(void)data;
	p->writes++;
	p->address = address;
	p->bytes = bytes;
	return p->declines ? -EOPNOTSUPP : 0;
}

static const struct iodev_ops probe_ops = { probe_read, probe_write };
static const struct iodev_ops write_only_ops = { .write = probe_write };

static struct probe new_probe(void)
{
	return (struct probe){ .device.ops = &probe_ops };
}

static int port_read(u16 port, unsigned bytes)
{
	u64 data = 0;

	return iobus_read(machine.v, IOBUS_PIO, port, bytes, &data);
}

static void ranges(void)
{
	struct probe a = new_probe(), b = new_probe();

	machine_create();
	EXPECT_EQ(port_read(0x40, 1), -EOPNOTSUPP);
	EXPECT_EQ(iobus_add(machine.vm, IOBUS_PIO, 0x60, 1, &b.device), 0);
	EXPECT_EQ(iobus_add(machine.vm, IOBUS_PIO, 0x40, 4, &a.device), 0);
	EXPECT_EQ(port_read(0x40, 1), 0);
	EXPECT_EQ(port_read(0x43, 1), 0);
	EXPECT_EQ(port_read(0x42, 2), 0);
	EXPECT_EQ(a.reads, 3);
	EXPECT_EQ(a.bytes, 2);
	EXPECT_EQ(port_read(0x43, 2), -EOPNOTSUPP);	/* beyond its end */
	EXPECT_EQ(port_read(0x3f, 1), -EOPNOTSUPP);
	EXPECT_EQ(port_read(0x44, 1), -EOPNOTSUPP);
	EXPECT_EQ(port_read(0x60, 1), 0);
	EXPECT_EQ(b.reads, 1);
	EXPECT_EQ(iobus_read(machine.v, IOBUS_MMIO, 0x40, 1, &(u8){ 0 }), -EOPNOTSUPP);
	iobus_remove(machine.vm, IOBUS_PIO, &a.device);
	EXPECT_EQ(port_read(0x40, 1), -EOPNOTSUPP);
	EXPECT_EQ(port_read(0x60, 1), 0);
	EXPECT_EQ(iobus_add(machine.vm, IOBUS_PIO, ~0ull, 2, &a.device), -EINVAL);
	machine_destroy();
}

/* Several at one place: each is asked until one accepts. */
static void overlaps(void)
{
	struct probe outer = new_probe(), inner = new_probe(), any = new_probe();
	u64 data = 0;

	machine_create();
	EXPECT_EQ(iobus_add(machine.vm, IOBUS_MMIO, 0x1000, 0x1000, &outer.device), 0);
	EXPECT_EQ(iobus_add(machine.vm, IOBUS_MMIO, 0x1100, 4, &inner.device), 0);
	EXPECT_EQ(iobus_add(machine.vm, IOBUS_MMIO, 0x1100, 0, &any.device), 0);
	any.declines = inner.declines = true;
	EXPECT_EQ(iobus_write(machine.v, IOBUS_MMIO, 0x1100, 4, &data), 0);
	EXPECT_EQ(any.writes, 1);
	EXPECT_EQ(inner.writes, 1);
	EXPECT_EQ(outer.writes, 1);
	any.declines = false;
	EXPECT_EQ(iobus_write(machine.v, IOBUS_MMIO, 0x1100, 8, &data), 0);
	EXPECT_EQ(any.writes, 2);
	EXPECT_EQ(iobus_write(machine.v, IOBUS_MMIO, 0x1101, 1, &data), 0);
	EXPECT_EQ(any.writes, 2);		/* the address must be its own */
	EXPECT_EQ(outer.writes, 2);
	inner.device.ops = &write_only_ops;
	EXPECT_EQ(iobus_read(machine.v, IOBUS_MMIO, 0x1102, 2, &data), 0);
	EXPECT_EQ(outer.reads, 1);
	/* longer ones that begin earlier are found behind many short ones */
	outer.reads = 0;
	EXPECT_EQ(iobus_read(machine.v, IOBUS_MMIO, 0x1ff8, 8, &data), 0);
	EXPECT_EQ(outer.reads, 1);
	machine_destroy();
}

static void many(void)
{
	static struct probe p[1000];

	machine_create();
	for (unsigned n = 0; n < ARRAY_LEN(p); n++) {
		unsigned at = n * 7 % ARRAY_LEN(p);

		p[at] = new_probe();
		EXPECT_EQ(iobus_add(machine.vm, IOBUS_PIO, at * 4, 2, &p[at].device), 0);
	}
	for (unsigned n = 0; n < ARRAY_LEN(p); n += 3)
		iobus_remove(machine.vm, IOBUS_PIO, &p[n].device);
	for (unsigned n = 0; n < ARRAY_LEN(p); n++) {
		EXPECT_EQ(port_read((u16)(n * 4), 1), n % 3 ? 0 : -EOPNOTSUPP);
		EXPECT_EQ(p[n].reads, n % 3 != 0);
	}
	machine_destroy();
}

static void no_memory(void)
{
	struct probe a = new_probe();

	machine_create();
	sim_fail_alloc(1);
	EXPECT_EQ(iobus_add(machine.vm, IOBUS_PIO, 0x40, 4, &a.device), -ENOMEM);
	sim_fail_alloc(0);
	EXPECT_EQ(port_read(0x40, 1), -EOPNOTSUPP);
	EXPECT_EQ(iobus_add(machine.vm, IOBUS_PIO, 0x40, 4, &a.device), 0);
	sim_fail_alloc(1);
	iobus_remove(machine.vm, IOBUS_PIO, &a.device);	/* needs none */
	sim_fail_alloc(0);
	EXPECT_EQ(port_read(0x40, 1), -EOPNOTSUPP);
	machine_destroy();
}

int main(void)
{
	TEST(ranges);
	TEST(overlaps);
	TEST(many);
	TEST(no_memory);
	return test_status();
}
