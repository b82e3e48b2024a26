// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pci_msix.c - MSI-X: a table of messages, one for each vector of a device
 *
 * A vector is masked by its own mask bit, by the function's, or by MSI-X being off.  Firing
 * a vector that is masked sets its pending bit, and unmasking sends it.  With MSI-X off, nothing is
 * sent and nothing becomes pending: the device uses its INTx pin.
 *
 * Invariant: a pending bit is set only for a vector that cannot be sent now.
 * Locking: bus->lock for all state; messages are sent after it is released.
 * Reference: PCI Local Bus Specification 3.0, "MSI-X Capability and Table Structure".
 */
#include "vmm/bus/pci.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/checked.h"

#define CAPABILITY_MSIX	0x11
#define CONTROL_ENABLE	0x8000
#define CONTROL_MASK	0x4000
#define ENTRY_MASKED	1u

int pci_add_msix(struct pci_device *d, unsigned bar, u32 table, u32 pba, unsigned vectors)
{
	struct pci_msix *x = &d->msix;
	u64 pba_bytes = (vectors + 63) / 64 * 8;
	u32 body[3];
	int at;

	if (!vectors || vectors > PCI_MSIX_MAX || bar >= PCI_BARS || table & 7 || pba & 7 ||
	    !range_is_within(table, 16ull * vectors, d->bar[bar].bytes) ||
	    !range_is_within(pba, pba_bytes, d->bar[bar].bytes) ||
	    range_overlaps(table, 16ull * vectors, pba, pba_bytes))
		return -EINVAL;
	body[0] = vectors - 1;
	body[1] = table | bar;
	body[2] = pba | bar;
	/* The body of a capability starts after two bytes: message control is 16 bits. */
	at = pci_add_capability(d, CAPABILITY_MSIX, (u8[10]){
		(u8)body[0], (u8)(body[0] >> 8),
		(u8)body[1], (u8)(body[1] >> 8), (u8)(body[1] >> 16), (u8)(body[1] >> 24),
		(u8)body[2], (u8)(body[2] >> 8), (u8)(body[2] >> 16), (u8)(body[2] >> 24) }, 12);
	if (at < 0)
		return at;
	pci_set_writable(d, (unsigned)at + 2, (u8[2]){0, (CONTROL_ENABLE | CONTROL_MASK) >> 8}, 2);
	x->vectors = (u16)vectors;
	x->bar = (u8)bar;
	x->capability = (u8)at;
	x->table = table;
	x->pba = pba;
	pci_msix_reset(d);
	return 0;
}

void pci_msix_reset(struct pci_device *d)
{
	memset(d->msix.entry, 0, sizeof(d->msix.entry));
	memset(d->msix.pending, 0, sizeof(d->msix.pending));
	for (unsigned v = 0; v < d->msix.vectors; v++)
		d->msix.entry[v].control = ENTRY_MASKED;
}

/* --- bus->lock held ---------------------------------------------------------- */

static unsigned control(const struct pci_device *d)
{
	return d->config[d->msix.capability + 3] << 8;
}

static bool is_masked(const struct pci_device *d, unsigned v)
{
	return control(d) & CONTROL_MASK || d->msix.entry[v].control & ENTRY_MASKED;
}

/* Take one vector that is pending but can be sent; false if there is none. */
static bool pending_take(struct pci_device *d, struct pci_msix_entry *message)
{
	struct pci_msix *x = &d->msix;

	if (!(control(d) & CONTROL_ENABLE))
		return false;
	for (u64 v = bit_find_set(x->pending, PCI_MSIX_MAX, 0); v < x->vectors;
	     v = bit_find_set(x->pending, PCI_MSIX_MAX, v + 1))
		if (!is_masked(d, (unsigned)v)) {
			bit_clear(x->pending, v);
			*message = x->entry[v];
			return true;
		}
	return false;
}

/* --- without it ---------------------------------------------------------------- */

static void send(struct pci_device *d, const struct pci_msix_entry *message)
{
	d->bus->wires.msi(d->bus->wires.owner,
			  (u64)message->address_high << 32 | message->address_low, message->data);
}

bool pci_msix_enabled(struct pci_device *d)
{
	bool enabled;

	pthread_mutex_lock(&d->bus->lock);
	enabled = d->msix.vectors && control(d) & CONTROL_ENABLE;
	pthread_mutex_unlock(&d->bus->lock);
	return enabled;
}

void pci_msix_fire(struct pci_device *d, unsigned v)
{
	struct pci_msix_entry message;
	bool now = false;

	pthread_mutex_lock(&d->bus->lock);
	if (v < d->msix.vectors && control(d) & CONTROL_ENABLE) {
		now = !is_masked(d, v);
		if (!now)
			bit_set(d->msix.pending, v);
		message = d->msix.entry[v];
	}
	pthread_mutex_unlock(&d->bus->lock);
	if (now)
		send(d, &message);
}

void pci_msix_flush(struct pci_device *d)
{
	struct pci_msix_entry message;
	bool found;

	do {
		pthread_mutex_lock(&d->bus->lock);
		found = pending_take(d, &message);
		pthread_mutex_unlock(&d->bus->lock);
		if (found)
			send(d, &message);
	} while (found);
	if (d->ops->msix_changed)
		d->ops->msix_changed(d);
}

/* --- the table and the pending bits in their BAR -------------------------------- */

static bool in_table(const struct pci_msix *x, u64 offset)
{
	return offset >= x->table && offset - x->table < 16ull * x->vectors;
}

static bool in_pba(const struct pci_msix *x, u64 offset)
{
	return offset >= x->pba && offset - x->pba < (x->vectors + 63u) / 64 * 8;
}

bool pci_msix_owns(const struct pci_device *d, unsigned bar, u64 offset)
{
	const struct pci_msix *x = &d->msix;

	return x->vectors && bar == x->bar && (in_table(x, offset) || in_pba(x, offset));
}

static u32 dword_read(const struct pci_msix *x, u64 offset)
{
	u64 at = offset - x->table;

	if (in_pba(x, offset))
		return (u32)(x->pending[(offset - x->pba) / 8] >> (offset & 4 ? 32 : 0));
	if (!in_table(x, offset))
		return 0;
	switch (at % 16 / 4) {
	case 0:	 return x->entry[at / 16].address_low;
	case 1:	 return x->entry[at / 16].address_high;
	case 2:	 return x->entry[at / 16].data;
	default: return x->entry[at / 16].control;
	}
}

static void dword_write(struct pci_msix *x, u64 offset, u32 value)
{
	u64 at = offset - x->table;

	if (!in_table(x, offset))	/* pending bits are read-only */
		return;
	switch (at % 16 / 4) {
	case 0:	 x->entry[at / 16].address_low = value & ~3u; break;
	case 1:	 x->entry[at / 16].address_high = value; break;
	case 2:	 x->entry[at / 16].data = value; break;
	default: x->entry[at / 16].control = value & ENTRY_MASKED; break;
	}
}

/* Only aligned 4- and 8-byte accesses are defined; others read zero and write nothing. */
u64 pci_msix_read(struct pci_device *d, u64 offset, unsigned size)
{
	u64 value = 0;

	if (size < 4 || offset % size)
		return 0;
	pthread_mutex_lock(&d->bus->lock);
	value = dword_read(&d->msix, offset);
	if (size == 8)
		value |= (u64)dword_read(&d->msix, offset + 4) << 32;
	pthread_mutex_unlock(&d->bus->lock);
	return value;
}

void pci_msix_write(struct pci_device *d, u64 offset, unsigned size, u64 value)
{
	if (size < 4 || offset % size)
		return;
	pthread_mutex_lock(&d->bus->lock);
	dword_write(&d->msix, offset, (u32)value);
	if (size == 8)
		dword_write(&d->msix, offset + 4, (u32)(value >> 32));
	pthread_mutex_unlock(&d->bus->lock);
	pci_msix_flush(d);
}
