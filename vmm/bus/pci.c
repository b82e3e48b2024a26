// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pci.c - a PCI bus: configuration space, BARs, INTx
 *
 * Configuration space is bytes with a mask of the bits the guest can write.  That makes
 * BAR sizing fall out by itself: the address bits below a BAR's size cannot be written.  After
 * every write, BARs are placed anew on the buses from what the bytes now say.
 *
 * Invariants:
 *   1. A BAR with mapped != PCI_UNMAPPED is on its bus at that address, and nowhere else.
 *   2. A GSI's level is the OR of the pins wired to it, of devices that may assert.
 *
 * Locking: see pci.h.
 * Reference: PCI Local Bus Specification 3.0, "Configuration Space Organization",
 * "Base Addresses"; PCI-to-PCI bridges and more than one function are not modelled.
 */
#include "vmm/bus/pci.h"

#include <errno.h>
#include <string.h>

#include "base/checked.h"

/* Offsets and bits of the type 0 header. */
enum {
	CFG_VENDOR = 0x00, CFG_DEVICE = 0x02, CFG_COMMAND = 0x04, CFG_STATUS = 0x06,
	CFG_REVISION = 0x08, CFG_CLASS = 0x09, CFG_BAR = 0x10, CFG_SUBSYSTEM_VENDOR = 0x2c,
	CFG_SUBSYSTEM = 0x2e, CFG_CAPABILITIES = 0x34, CFG_LINE = 0x3c, CFG_PIN = 0x3d,
	CFG_HEADER_END = 0x40,

	COMMAND_IO = 1, COMMAND_MEMORY = 2, COMMAND_MASTER = 4, COMMAND_PARITY = 0x40,
	COMMAND_SERR = 0x100, COMMAND_INTX_OFF = 0x400,
	STATUS_INTX = 8, STATUS_CAPABILITIES = 0x10,
};

static void put(u8 *bytes, unsigned offset, unsigned size, u64 value)
{
	for (unsigned i = 0; i < size; i++)
		bytes[offset + i] = (u8)(value >> 8 * i);
}

static u64 get(const u8 *bytes, unsigned offset, unsigned size)
{
	u64 value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (u64)bytes[offset + i] << 8 * i;
	return value;
}

/* --- describing a device ------------------------------------------------------ */

void pci_device_init(struct pci_device *d, const struct pci_ops *ops, const char *name,
		     const struct pci_identity *id)
{
	memset(d, 0, sizeof(*d));
	d->ops = ops;
	d->name = name;
	d->capabilities_end = CFG_HEADER_END;
	put(d->config, CFG_VENDOR, 2, id->vendor);
	put(d->config, CFG_DEVICE, 2, id->device);
	put(d->config, CFG_REVISION, 1, id->revision);
	put(d->config, CFG_CLASS, 3, id->class_code);
	put(d->config, CFG_SUBSYSTEM_VENDOR, 2, id->subsystem_vendor);
	put(d->config, CFG_SUBSYSTEM, 2, id->subsystem);
	put(d->writable, CFG_COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER |
	    COMMAND_PARITY | COMMAND_SERR | COMMAND_INTX_OFF);
	put(d->writable, CFG_LINE, 1, 0xff);
	put(d->writable, 0x0c, 1, 0xff);	/* cache line size */
	for (unsigned i = 0; i < PCI_BARS; i++)
		d->bar[i] = (struct pci_bar){.mapped = PCI_UNMAPPED, .device = d, .number = (u8)i};
}

void pci_add_bar(struct pci_device *d, unsigned bar, u64 bytes, u32 flags)
{
	unsigned at = CFG_BAR + 4 * bar;
	u32 kind = flags & PCI_BAR_IO
			   ? 1u
			   : (flags & PCI_BAR_64 ? 4u : 0) | (flags & PCI_BAR_PREFETCH ? 8u : 0);

	d->bar[bar].bytes = bytes;
	d->bar[bar].flags = flags;
	put(d->config, at, 4, kind);
	put(d->writable, at, flags & PCI_BAR_64 ? 8 : 4, ~(bytes - 1));
	if (flags & PCI_BAR_IO)	/* ports have 16 address bits */
		put(d->writable, at + 2, 2, 0);
}

int pci_add_capability(struct pci_device *d, u8 id, const void *body, unsigned bytes)
{
	unsigned at = (d->capabilities_end + 3u) & ~3u;

	if (bytes < 2 || !range_is_within(at, bytes, PCI_CONFIG_BYTES))
		return -ENOSPC;
	d->config[at] = id;
	memcpy(&d->config[at + 2], body, bytes - 2);
	d->config[d->last_capability ? d->last_capability + 1u : CFG_CAPABILITIES] = (u8)at;
	d->config[CFG_STATUS] |= STATUS_CAPABILITIES;
	d->last_capability = (u8)at;
	d->capabilities_end = (u16)(at + bytes);
	return (int)at;
}

void pci_set_writable(struct pci_device *d, unsigned offset, const void *mask, unsigned bytes)
{
	if (range_is_within(offset, bytes, PCI_CONFIG_BYTES))
		memcpy(&d->writable[offset], mask, bytes);
}

/* --- BARs ------------------------------------------------------------------------ */

static u64 bar_access_read(void *owner, u64 offset, unsigned size)
{
	struct pci_bar *b = owner;
	struct pci_device *d = b->device;

	if (pci_msix_owns(d, b->number, offset))
		return pci_msix_read(d, offset, size);
	return d->ops->bar_read(d, b->number, offset, size);
}

static void bar_access_write(void *owner, u64 offset, unsigned size, u64 value)
{
	struct pci_bar *b = owner;
	struct pci_device *d = b->device;

	if (pci_msix_owns(d, b->number, offset))
		pci_msix_write(d, offset, size, value);
	else
		d->ops->bar_write(d, b->number, offset, size, value);
}

static const struct bus_ops bar_ops = { bar_access_read, bar_access_write };

/* Where configuration space says this BAR is, or PCI_UNMAPPED. */
static u64 bar_wanted(const struct pci_device *d, const struct pci_bar *b)
{
	unsigned at = CFG_BAR + 4u * b->number;
	u64 address = get(d->config, at, b->flags & PCI_BAR_64 ? 8 : 4) &
		      ~(u64)(b->flags & PCI_BAR_IO ? 3 : 15);
	u64 command = get(d->config, CFG_COMMAND, 2);

	if (!b->bytes || !address ||
	    !(command & (b->flags & PCI_BAR_IO ? COMMAND_IO : COMMAND_MEMORY)))
		return PCI_UNMAPPED;
	return address;
}

static struct bus *bar_bus(const struct pci_device *d, const struct pci_bar *b)
{
	return b->flags & PCI_BAR_IO ? d->bus->pio : d->bus->mmio;
}

static void bar_unmap(struct pci_device *d, struct pci_bar *b)
{
	if (b->mapped != PCI_UNMAPPED)
		bus_remove(bar_bus(d, b), b->mapped, b);
	b->mapped = PCI_UNMAPPED;
}

/* Returns a bit for every BAR that moved.  bus->lock is held. */
static u32 bars_place(struct pci_device *d)
{
	u32 moved = 0;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *b = &d->bar[i];
		u64 wanted = bar_wanted(d, b);

		if (wanted == b->mapped)
			continue;
		bar_unmap(d, b);
		/* Placed over something else, it is not reachable: the guest's mistake. */
		if (wanted != PCI_UNMAPPED &&
		    !bus_add(bar_bus(d, b), wanted, b->bytes, &bar_ops, b))
			b->mapped = wanted;
		moved |= 1u << i;
	}
	return moved;
}

static void bars_announce(struct pci_device *d, u32 moved)
{
	for (unsigned i = 0; i < PCI_BARS && d->ops->bar_moved; i++)
		if (moved & 1u << i)
			d->ops->bar_moved(d, i, d->bar[i].mapped);
}

/* Give every BAR an address, as firmware would; decoding is left off. */
static int bars_assign(struct pci_bus *bus, struct pci_device *d)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *b = &d->bar[i];
		unsigned at = CFG_BAR + 4 * i;
		u64 start;

		if (!b->bytes)
			continue;
		if (b->flags & PCI_BAR_IO) {
			start = (bus->io_window + b->bytes - 1) & ~(b->bytes - 1);
			if (start + b->bytes > bus->io_window_end)
				return -ENOSPC;
			bus->io_window = (u32)(start + b->bytes);
		} else {
			start = (bus->window + b->bytes - 1) & ~(b->bytes - 1);
			if (start + b->bytes > bus->window_end)
				return -ENOSPC;
			bus->window = start + b->bytes;
		}
		put(d->config, at, 4, start | (get(d->config, at, 1) & 15));
	}
	return 0;
}

/* --- INTx: bus->lock held ------------------------------------------------------- */

static bool intx_is_asserted(const struct pci_device *d)
{
	return d->intx && !(get(d->config, CFG_COMMAND, 2) & COMMAND_INTX_OFF);
}

static void line_update(struct pci_bus *bus, unsigned slot)
{
	unsigned line = slot % PCI_INTX_COUNT;
	bool level = false;

	for (unsigned s = line; s < PCI_SLOTS; s += PCI_INTX_COUNT)
		if (bus->device[s])
			level |= intx_is_asserted(bus->device[s]);
	bus->wires.line(bus->wires.owner, PCI_INTX_FIRST + line, level);
}

void pci_intx_set(struct pci_device *d, bool level)
{
	struct pci_bus *bus = d->bus;

	pthread_mutex_lock(&bus->lock);
	if (d->intx != level) {
		d->intx = level;
		d->config[CFG_STATUS] =
			(u8)((d->config[CFG_STATUS] & ~STATUS_INTX) | (level ? STATUS_INTX : 0));
		line_update(bus, d->slot);
	}
	pthread_mutex_unlock(&bus->lock);
}

bool pci_is_master(struct pci_device *d)
{
	bool master;

	pthread_mutex_lock(&d->bus->lock);
	master = d->config[CFG_COMMAND] & COMMAND_MASTER;
	pthread_mutex_unlock(&d->bus->lock);
	return master;
}

/* --- configuration accesses ------------------------------------------------------ */

static bool access_is_plain(unsigned offset, unsigned size)
{
	return (size == 1 || size == 2 || size == 4) && !(offset % size) &&
	       range_is_within(offset, size, PCI_CONFIG_BYTES);
}

u32 pci_config_read(struct pci_bus *bus, unsigned slot, unsigned offset, unsigned size)
{
	struct pci_device *d = slot < PCI_SLOTS ? bus->device[slot] : NULL;
	u32 value;

	if (!d || !access_is_plain(offset, size))
		return ~0u;
	if (d->ops->config_read && d->ops->config_read(d, offset, size, &value))
		return value;
	pthread_mutex_lock(&bus->lock);
	value = (u32)get(d->config, offset, size);
	pthread_mutex_unlock(&bus->lock);
	return value;
}

void pci_config_write(struct pci_bus *bus, unsigned slot, unsigned offset, unsigned size, u32 value)
{
	struct pci_device *d = slot < PCI_SLOTS ? bus->device[slot] : NULL;
	u32 moved;

	if (!d || !access_is_plain(offset, size))
		return;
	pthread_mutex_lock(&bus->config_lock);
	if (!d->ops->config_write || !d->ops->config_write(d, offset, size, value)) {
		pthread_mutex_lock(&bus->lock);
		for (unsigned i = 0; i < size; i++) {
			u8 mask = d->writable[offset + i], byte = (u8)(value >> 8 * i);

			d->config[offset + i] =
				(u8)((d->config[offset + i] & ~mask) | (byte & mask));
		}
		moved = bars_place(d);
		if (offset < CFG_STATUS)
			line_update(bus, d->slot);
		pthread_mutex_unlock(&bus->lock);
		bars_announce(d, moved);
		if (d->msix.vectors && offset / 4 == d->msix.capability / 4u)
			pci_msix_flush(d);
	}
	pthread_mutex_unlock(&bus->config_lock);
}

/* Ports 0xcf8..0xcff.  Byte 1 is, for byte accesses, the chipset's reset control. */
static u64 ports_read(void *owner, u64 offset, unsigned size)
{
	struct pci_bus *bus = owner;
	u32 address;

	pthread_mutex_lock(&bus->lock);
	address = bus->address;
	pthread_mutex_unlock(&bus->lock);
	if (offset < 4)
		return offset || size != 4 ? (offset == 1 && size == 1 ? 0 : ~0ull) : address;
	if (!(address & 1u << 31) || address >> 16 & 0xff || address >> 8 & 7)
		return ~0ull;
	return pci_config_read(bus, address >> 11 & 31, (address & 0xfc) + (unsigned)offset - 4,
			       size);
}

static void ports_write(void *owner, u64 offset, unsigned size, u64 value)
{
	struct pci_bus *bus = owner;
	u32 address;

	pthread_mutex_lock(&bus->lock);
	if (!offset && size == 4)
		bus->address = (u32)value & ~3u;
	address = bus->address;
	pthread_mutex_unlock(&bus->lock);
	if (offset == 1 && size == 1 && bus->wires.reset_control)
		bus->wires.reset_control(bus->wires.owner, (u8)value);
	if (offset < 4 || !(address & 1u << 31) || address >> 16 & 0xff || address >> 8 & 7)
		return;
	pci_config_write(bus, address >> 11 & 31, (address & 0xfc) + (unsigned)offset - 4, size,
			 (u32)value);
}

static const struct bus_ops port_ops = { ports_read, ports_write };

/* --- the bus ---------------------------------------------------------------------- */

static const struct pci_ops bridge_ops;		/* has no BARs, so nothing is called */

/* A host bridge that no operating system has quirks for. */
static const struct pci_identity bridge_identity = {
	.vendor = 0x8086, .device = 0x0d57, .class_code = 0x060000,
};

int pci_bus_init(struct pci_bus *bus, struct bus *pio, struct bus *mmio,
		 const struct pci_wires *wires)
{
	memset(bus, 0, sizeof(*bus));
	pthread_mutex_init(&bus->config_lock, NULL);
	pthread_mutex_init(&bus->lock, NULL);
	bus->pio = pio;
	bus->mmio = mmio;
	bus->wires = *wires;
	bus->window = PCI_WINDOW_START;
	bus->window_end = PCI_WINDOW_END;
	bus->io_window = 0xc000;
	bus->io_window_end = 0x10000;
	pci_device_init(&bus->bridge, &bridge_ops, "host bridge", &bridge_identity);
	pci_register(bus, &bus->bridge, 0);
	return bus_add(pio, 0xcf8, 8, &port_ops, bus);
}

int pci_register(struct pci_bus *bus, struct pci_device *d, int slot)
{
	int error;

	if (slot < 0)
		for (slot = 0; slot < PCI_SLOTS && bus->device[slot]; slot++)
			;
	if (slot >= PCI_SLOTS)
		return -ENOSPC;
	if (bus->device[slot])
		return -EBUSY;
	d->bus = bus;
	d->slot = (u8)slot;
	error = bars_assign(bus, d);
	if (error)
		return error;
	if (d != &bus->bridge) {
		d->config[CFG_PIN] = 1;	/* INTA */
		d->config[CFG_LINE] = (u8)(PCI_INTX_FIRST + (unsigned)slot % PCI_INTX_COUNT);
	}
	memcpy(d->initial, d->config, sizeof(d->initial));
	bus->device[slot] = d;
	return 0;
}

static void device_reset(struct pci_bus *bus, struct pci_device *d)
{
	u32 moved;

	if (d->ops->reset)
		d->ops->reset(d);
	pthread_mutex_lock(&bus->lock);
	d->intx = 0;
	memcpy(d->config, d->initial, sizeof(d->config));
	pci_msix_reset(d);
	moved = bars_place(d);
	line_update(bus, d->slot);
	pthread_mutex_unlock(&bus->lock);
	bars_announce(d, moved);
}

void pci_bus_reset(struct pci_bus *bus)
{
	for (unsigned s = 0; s < PCI_SLOTS; s++)
		if (bus->device[s])
			device_reset(bus, bus->device[s]);
	bus->address = 0;
}

void pci_bus_fini(struct pci_bus *bus)
{
	for (unsigned s = PCI_SLOTS; s-- > 0;) {
		struct pci_device *d = bus->device[s];

		if (!d)
			continue;
		for (unsigned i = 0; i < PCI_BARS; i++)
			bar_unmap(d, &d->bar[i]);
		bus->device[s] = NULL;
		if (d->ops->destroy)
			d->ops->destroy(d);
	}
	bus_remove(bus->pio, 0xcf8, bus);
	pthread_mutex_destroy(&bus->lock);
	pthread_mutex_destroy(&bus->config_lock);
}
