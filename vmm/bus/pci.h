/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci.h - a PCI bus and what a device on it looks like
 *
 * One conventional bus, number 0, with 32 slots of one function, reached by ports 0xcf8 and
 * 0xcfc.  A device embeds struct pci_device, describes itself (BARs, capabilities,
 * MSI-X) and is registered; from then on the bus answers configuration accesses, sizes and
 * moves BARs, keeps the MSI-X table, and calls the device for what is its own.
 *
 * A device interrupts with pci_msix_fire() when pci_msix_enabled(), else pci_intx_set().
 *
 * Locking: bus->lock guards configuration space, BAR placement, MSI-X state and INTx pins of
 * all devices; no callback is called with it held, so a device may hold its own lock
 * when it interrupts.  bus->config_lock is taken around a whole configuration write, callbacks
 * included, so that bar_moved calls come in order; a device never takes it.  bar_read and bar_write
 * come from vCPU threads, several at once: the device locks for itself.
 * Order: config_lock, the device's own, bus->lock.
 */
#ifndef VMM_BUS_PCI_H
#define VMM_BUS_PCI_H

#include <pthread.h>

#include "base/types.h"
#include "vmm/bus/bus.h"

#define PCI_SLOTS	32
#define PCI_BARS	6
#define PCI_CONFIG_BYTES 256
#define PCI_MSIX_MAX	256		/* vectors of one device */
#define PCI_INTX_FIRST	16u		/* INTA of slot s is GSI 16 + s % 8 */
#define PCI_INTX_COUNT	8u
#define PCI_UNMAPPED	(~0ull)
#define PCI_WINDOW_START 0xc0000000ull	/* memory BARs: from the end of low RAM ... */
#define PCI_WINDOW_END	0xfec00000ull	/* ... to the IOAPIC */

enum { PCI_BAR_IO = 1, PCI_BAR_64 = 2, PCI_BAR_PREFETCH = 4 };

struct pci_device;

struct pci_ops {
	/* The guest touched BAR `bar` outside the MSI-X table.  size is 1, 2, 4 or 8. */
	u64  (*bar_read)(struct pci_device *d, unsigned bar, u64 offset, unsigned size);
	void (*bar_write)(struct pci_device *d, unsigned bar, u64 offset, unsigned size, u64 value);
	/* The guest placed a BAR, or switched it off: PCI_UNMAPPED.  May be NULL. */
	void (*bar_moved)(struct pci_device *d, unsigned bar, u64 address);
	/* A vector was masked, unmasked or MSI-X switched on or off.  May be NULL. */
	void (*msix_changed)(struct pci_device *d);
	/*
	 * Configuration bytes that behave like registers (virtio's PCI_CFG window): asked before
	 * the plain bytes; true if it dealt with the access.  May be NULL.
	 */
	bool (*config_read)(struct pci_device *d, unsigned offset, unsigned size, u32 *value);
	bool (*config_write)(struct pci_device *d, unsigned offset, unsigned size, u32 value);
	/* Machine reset, vCPUs stopped: back to the state after creation, own threads idle. */
	void (*reset)(struct pci_device *d);
	/* The machine goes away, vCPUs are gone: stop threads, free. May be NULL. */
	void (*destroy)(struct pci_device *d);
};

struct pci_bar {
	u64	bytes;		/* a power of two; 0: not there */
	u32	flags;		/* PCI_BAR_* */
	u64	mapped;		/* where it is on the bus now, or PCI_UNMAPPED */
	struct pci_device *device;	/* whose it is, for the bus's callbacks */
	u8	number;
};

struct pci_msix_entry { u32 address_low, address_high, data, control; };

struct pci_msix {
	u16	vectors;	/* 0: the device has no MSI-X */
	u8	bar;
	u8	capability;	/* offset of it in config space */
	u32	table;		/* offsets in the BAR */
	u32	pba;
	struct pci_msix_entry entry[PCI_MSIX_MAX];
	u64	pending[PCI_MSIX_MAX / 64];
};

struct pci_device {
	const struct pci_ops *ops;
	const char *name;	/* "virtio-net", for people */
	struct pci_bus *bus;
	u8	slot;
	u8	intx;		/* our INTA pin is asserted */
	u8	last_capability; /* where the next one is linked from */
	u16	capabilities_end; /* first free byte for one */
	u8	config[PCI_CONFIG_BYTES];
	u8	initial[PCI_CONFIG_BYTES];	/* as registered, for a reset */
	u8	writable[PCI_CONFIG_BYTES];	/* bits the guest can write */
	struct pci_bar bar[PCI_BARS];
	struct pci_msix msix;
};

/* How the bus reaches the interrupt controllers.  Any thread. */
struct pci_wires {
	void	*owner;
	void	(*msi)(void *owner, u64 address, u32 data);
	void	(*line)(void *owner, unsigned gsi, bool level);
	void	(*reset_control)(void *owner, u8 value);	/* a byte written to port 0xcf9 */
};

struct pci_bus {
	pthread_mutex_t config_lock, lock;	/* see the top */
	struct bus *pio, *mmio;
	struct pci_wires wires;
	u32	address;	/* port 0xcf8 */
	u64	window, window_end;	/* what is left to place memory BARs in */
	u32	io_window, io_window_end;	/* and port BARs */
	struct pci_device *device[PCI_SLOTS];
	struct pci_device bridge;	/* slot 0 */
};

/* --- describing a device, before pci_register() ----------------------------- */

struct pci_identity {
	u16	vendor, device, subsystem_vendor, subsystem;
	u32	class_code;	/* 24 bits: base, sub, interface */
	u8	revision;
};

void pci_device_init(struct pci_device *d, const struct pci_ops *ops, const char *name,
		     const struct pci_identity *id);

/* A 64-bit BAR takes `bar` and the one after. */
void pci_add_bar(struct pci_device *d, unsigned bar, u64 bytes, u32 flags);

/*
 * Append a capability of `bytes` bytes, header included; body is what follows the two header
 * bytes.  The offset of it in configuration space, or -ENOSPC.
 */
int pci_add_capability(struct pci_device *d, u8 id, const void *body, unsigned bytes);

/* MSI-X with its table and pending bits at these offsets of `bar`; 0, -EINVAL, -ENOSPC. */
int pci_add_msix(struct pci_device *d, unsigned bar, u32 table, u32 pba, unsigned vectors);

/* Make bits of configuration space writable for the guest. */
void pci_set_writable(struct pci_device *d, unsigned offset, const void *mask, unsigned bytes);

/* Put it into a slot (-1: the first free one), and place its BARs.  0, -EBUSY, -ENOSPC. */
int pci_register(struct pci_bus *bus, struct pci_device *d, int slot);

/* --- interrupts: any thread ------------------------------------------------- */

bool pci_msix_enabled(struct pci_device *d);
/* Send vector `v`, or mark it pending while it is masked; unknown vectors do nothing. */
void pci_msix_fire(struct pci_device *d, unsigned v);
/* Level of the INTA pin; lines are shared, the guest may have it disabled. */
void pci_intx_set(struct pci_device *d, bool level);

/* May the device read and write guest memory (bus mastering)? */
bool pci_is_master(struct pci_device *d);

/* --- the bus ------------------------------------------------------------------ */

int pci_bus_init(struct pci_bus *bus, struct bus *pio, struct bus *mmio,
		 const struct pci_wires *wires);
void pci_bus_reset(struct pci_bus *bus);	/* all devices, all vCPUs stopped */
void pci_bus_fini(struct pci_bus *bus);	/* destroys the devices */

/* A configuration access as ports 0xcf8 and 0xcfc make it; all ones if nobody is there. */
u32  pci_config_read(struct pci_bus *bus, unsigned slot, unsigned offset, unsigned size);
void pci_config_write(struct pci_bus *bus, unsigned slot, unsigned offset, unsigned size,
		      u32 value);

/* Between pci.c and pci_msix.c; they take bus->lock themselves. */
bool pci_msix_owns(const struct pci_device *d, unsigned bar, u64 offset);
u64  pci_msix_read(struct pci_device *d, u64 offset, unsigned size);
void pci_msix_write(struct pci_device *d, u64 offset, unsigned size, u64 value);
/* Message control was written: send what became pending while all was masked. */
void pci_msix_flush(struct pci_device *d);
void pci_msix_reset(struct pci_device *d);

#endif
