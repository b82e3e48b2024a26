// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * coalesced.c - device writes that wait in a ring until the client looks
 *
 * A zone is a range of device memory or ports whose writes need not be acted on at once: each
 * is put into a ring that all vCPUs of the VM share and that the client empties when it
 * gets control for another reason.  A full ring, or one whose indices make no sense, takes
 * nothing, and the write goes to the client as any other.
 *
 * Locking: vm->lock for the list of zones; coalesced.lock for adding to the ring.  The client
 * changes its page at any time: each index is loaded once and checked.
 * Reference: Linux Documentation/virt/kvm/api.rst, "KVM_(UN)REGISTER_COALESCED_MMIO".
 */
#include "core/coalesced.h"

#include <linux/errno.h>

#include "base/checked.h"
#include "core/vm.h"

struct coalesced_zone {
	struct iodev device;
	struct coalesced_zone *next;
	u64 address, bytes;
	bool is_port;
};

#define RING_ENTRIES ((u32)((PAGE_BYTES - sizeof(struct kvm_coalesced_mmio_ring)) / \
			    sizeof(struct kvm_coalesced_mmio)))

static struct host_lock_class ring_class = { .name = "coalesced" };

void coalesced_init(struct vm *vm)
{
	host_spin_init(&vm->coalesced.lock, &ring_class);
}

static bool zone_has(const struct coalesced_zone *z, u64 address, u64 bytes)
{
	return address >= z->address && range_is_within(address - z->address, bytes, z->bytes);
}

static int zone_write(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, const void *data)
{
	const struct coalesced_zone *z = CONTAINER_OF(d, struct coalesced_zone, device);
	struct coalesced_vm *c = &v->vm->coalesced;
	struct kvm_coalesced_mmio entry = { .phys_addr = address, .len = bytes, .pio = z->is_port };
	struct kvm_coalesced_mmio_ring *ring = c->ring;
	u64 flags;
	u32 last;
	int r = -EOPNOTSUPP;

	if (!ring || !bytes || bytes > sizeof(entry.data) || !zone_has(z, address, bytes))
		return -EOPNOTSUPP;
	__builtin_memcpy(entry.data, data, bytes);
	flags = host_spin_lock(&c->lock);
	last = atomic_load_relaxed(&ring->last);
	if (last < RING_ENTRIES && (last + 1) % RING_ENTRIES != atomic_load_acquire(&ring->first)) {
		__builtin_memcpy(&ring->coalesced_mmio[last], &entry, sizeof(entry));
		atomic_store_release(&ring->last, (last + 1) % RING_ENTRIES);
		r = 0;
	}
	host_spin_unlock(&c->lock, flags);
	return r;
}

static const struct iodev_ops zone_ops = { .write = zone_write };

static enum iobus_kind zone_bus(const struct coalesced_zone *z)
{
	return z->is_port ? IOBUS_PIO : IOBUS_MMIO;
}

int coalesced_register(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced_zone *z;
	int r;

	if (zone->pio > 1)
		return -EINVAL;
	z = host_alloc(sizeof(*z), 0);
	if (!z)
		return -ENOMEM;
	*z = (struct coalesced_zone){
		.device.ops = &zone_ops, .address = zone->addr, .bytes = zone->size, .is_port = zone->pio,
	};
	r = iobus_add(vm, zone_bus(z), z->address, z->bytes, &z->device);
	if (r) {
		host_free(z);
		return r;
	}
	z->next = vm->coalesced.zones;
	vm->coalesced.zones = z;
	return 0;
}

int coalesced_unregister(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced_zone **at = &vm->coalesced.zones, *z;

	if (zone->pio > 1)
		return -EINVAL;
	while ((z = *at)) {
		if (z->is_port != zone->pio || !zone_has(z, zone->addr, zone->size)) {
			at = &z->next;
			continue;
		}
		*at = z->next;
		iobus_remove(vm, zone_bus(z), &z->device);
		host_free(z);
	}
	return 0;
}

void coalesced_fini(struct vm *vm)
{
	struct coalesced_zone *z, *next;

	for (z = vm->coalesced.zones; z; z = next) {
		next = z->next;
		host_free(z);
	}
	vm->coalesced.zones = NULL;
}
