// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * irq.c - interrupt wiring: chips of a VM, and routes from GSIs to them
 *
 * A GSI is the number of a line that the client or a device of ours moves.  Routes say
 * where it leads: to pins of the PICs and the IOAPIC, or to one MSI.  A table of routes
 * is immutable; a change publishes a new one and waits for readers.
 *
 * Locking: vm->lock for changes; readers are inside vm->srcu.
 * Reference: Linux, Documentation/virt/kvm/api.rst, "KVM_SET_GSI_ROUTING".
 */
#include <linux/errno.h>

#include "base/bits.h"
#include "core/hyperv_regs.h"
#include "core/ioapic.h"
#include "core/irq.h"
#include "core/lapic.h"
#include "core/pic.h"
#include "core/pit.h"
#include "core/vm.h"

#define MAX_ROUTES	4096u	/* KVM_CAP_IRQ_ROUTING; also the limit for GSIs */
#define CHIP_PINS	KVM_IOAPIC_NUM_PINS
#define DEFAULT_ROUTES	(PIC_PINS + CHIP_PINS)
#define NO_GSI		(-1)

struct irq_route {
	bool is_msi, is_sint;		/* SINT: data of the VP with index address_lo */
	u8 chip, pin;			/* KVM_IRQCHIP_*, pin of that chip */
	u32 address_lo, address_hi, data;
};

struct irq_routing {
	u32 gsis;
	s16 gsi_of[KVM_NR_IRQCHIPS][CHIP_PINS];	/* which GSI leads to a pin; NO_GSI */
	u32 *first;			/* [gsis + 1] where a GSI's routes begin */
	struct irq_route *route;	/* by GSI */
};

/* --- MSIs ------------------------------------------------------------------------------ */

/* The high address holds bits 8-31 of the destination, if the client speaks 32-bit ids. */
static bool msi_is_valid(const struct vm *vm, u32 address_hi)
{
	return !atomic_load_relaxed(&vm->x2apic_32bit) || !(address_hi & 0xff);
}

static void msi_message(const struct vm *vm, u32 lo, u32 hi, u32 data, struct lapic_message *m)
{
	*m = (struct lapic_message){
		.dest = lo >> 12 & 0xff,
		.logical = lo & 4, .redirect = lo & 8,
		.vector = data & APIC_VECTOR, .mode = (data & APIC_MODE) >> 8,
		.level = data & APIC_LEVEL, .assert = true,
	};
	if (atomic_load_relaxed(&vm->x2apic_32bit))
		m->dest |= hi & 0xffffff00u;
}

int irq_msi(struct vm *vm, const struct kvm_msi *msi)
{
	struct lapic_message m;

	if (!irq_chip_in_kernel(vm) || !msi_is_valid(vm, msi->address_hi))
		return -EINVAL;
	msi_message(vm, msi->address_lo, msi->address_hi, msi->data, &m);
	return lapic_deliver(vm, NULL, &m);
}

/* --- Hyper-V's SINTs ----------------------------------------------------------------------- */

struct vcpu *irq_vp_find(struct vm *vm, u32 vp_index)
{
	u32 count = atomic_load_acquire(&vm->vcpu_count);

	if (vp_index < count && atomic_load_relaxed(&vm->vcpus[vp_index]->hv->vp_index) == vp_index)
		return vm->vcpus[vp_index];
	for (u32 n = 0; n < count; n++)
		if (atomic_load_relaxed(&vm->vcpus[n]->hv->vp_index) == vp_index)
			return vm->vcpus[n];
	return NULL;
}

int irq_sint_raise(struct vm *vm, u32 vp_index, u32 sint)
{
	struct vcpu *v = irq_vp_find(vm, vp_index);
	struct lapic_message m = { .mode = LAPIC_FIXED };
	u64 value;

	if (!v || !v->lapic || !v->hv->synic_active || sint >= HYPERV_SINTS)
		return -EINVAL;
	value = atomic_load_relaxed(&v->hv->sint[sint]);
	if (value & HV_SINT_MASKED)
		return -ENOENT;
	m.vector = (u8)(value & HV_SINT_VECTOR);
	return lapic_accept(v->lapic, &m);
}

/* --- lines ------------------------------------------------------------------------------ */

static int route_deliver(struct vm *vm, const struct irq_route *r, unsigned source, bool level)
{
	struct lapic_message m;

	if (r->is_msi) {
		if (!level)
			return -1;
		msi_message(vm, r->address_lo, r->address_hi, r->data, &m);
		return lapic_deliver(vm, NULL, &m);
	}
	if (r->is_sint)
		return level ? irq_sint_raise(vm, r->address_lo, r->data) : -1;
	if (r->chip == KVM_IRQCHIP_IOAPIC)
		return ioapic_line(vm->irq.ioapic, source, r->pin, level);
	return pic_line(vm->irq.pic, source, r->pin + (r->chip == KVM_IRQCHIP_PIC_SLAVE ? 8u : 0u), level);
}

int irq_line(struct vm *vm, unsigned source, unsigned gsi, bool level)
{
	int cookie = host_srcu_enter(&vm->srcu), taken = -1;
	const struct irq_routing *t = atomic_load_acquire(&vm->irq.routing);

	if (t && gsi < t->gsis) {
		for (u32 n = t->first[gsi]; n < t->first[gsi + 1]; n++) {
			int r = route_deliver(vm, &t->route[n], source, level);

			if (r >= 0)
				taken = MAX_OF(taken, 0) + r;
		}
	}
	host_srcu_leave(&vm->srcu, cookie);
	return taken;
}

static int pin_gsi(struct vm *vm, unsigned chip, unsigned pin)
{
	int cookie = host_srcu_enter(&vm->srcu), gsi = NO_GSI;
	const struct irq_routing *t = atomic_load_acquire(&vm->irq.routing);

	if (t)
		gsi = t->gsi_of[chip][pin];
	host_srcu_leave(&vm->srcu, cookie);
	return gsi;
}

void irq_acked(struct vm *vm, unsigned chip, unsigned pin)
{
	int gsi = pin_gsi(vm, chip, pin);
	struct pit *pit = atomic_load_acquire(&vm->irq.pit);

	if (gsi == NO_GSI)
		return;
	eventfd_ack(vm, (unsigned)gsi);
	if (gsi == 0 && pit)
		pit_acked(pit);
}

void irq_sint_acked(struct vm *vm, u32 vp_index, u32 sint)
{
	int cookie = host_srcu_enter(&vm->srcu);
	const struct irq_routing *t = atomic_load_acquire(&vm->irq.routing);

	for (u32 gsi = 0; t && gsi < t->gsis; gsi++)
		for (u32 n = t->first[gsi]; n < t->first[gsi + 1]; n++)
			if (t->route[n].is_sint && t->route[n].address_lo == vp_index && t->route[n].data == sint)
				eventfd_ack(vm, gsi);
	host_srcu_leave(&vm->srcu, cookie);
}

void irq_unmasked(struct vm *vm, unsigned chip, unsigned pin)
{
	struct pit *pit = atomic_load_acquire(&vm->irq.pit);

	if (pit && pin_gsi(vm, chip, pin) == 0)
		pit_unmasked(pit);
}

/* --- routing ------------------------------------------------------------------------------ */

/* Two routes of one GSI must lead to different chips. */
static bool routes_clash(const struct irq_route *a, const struct irq_route *b)
{
	return a->is_msi || b->is_msi || a->is_sint || b->is_sint || a->chip == b->chip;
}

static int route_parse(const struct vm *vm, const struct kvm_irq_routing_entry *e, struct irq_route *r)
{
	*r = (struct irq_route){ 0 };
	if (e->gsi >= MAX_ROUTES || e->flags)
		return -EINVAL;
	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		if (!vm->irq.pic || e->u.irqchip.irqchip >= KVM_NR_IRQCHIPS)
			return -EINVAL;
		if (e->u.irqchip.pin >= (e->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC ? CHIP_PINS : PIC_PINS / 2))
			return -EINVAL;
		r->chip = (u8)e->u.irqchip.irqchip;
		r->pin = (u8)e->u.irqchip.pin;
		return 0;
	case KVM_IRQ_ROUTING_MSI:
		if (!msi_is_valid(vm, e->u.msi.address_hi))
			return -EINVAL;
		r->is_msi = true;
		r->address_lo = e->u.msi.address_lo;
		r->address_hi = e->u.msi.address_hi;
		r->data = e->u.msi.data;
		return 0;
	case KVM_IRQ_ROUTING_HV_SINT:
		r->is_sint = true;
		r->address_lo = e->u.hv_sint.vcpu;
		r->data = e->u.hv_sint.sint;
		return 0;
	default:
		return -EINVAL;
	}
}

static struct irq_routing *routing_alloc(u32 gsis, u32 count)
{
	u64 routes = sizeof(struct irq_routing), first = routes + count * sizeof(struct irq_route);
	struct irq_routing *t = host_alloc(first + (gsis + 1) * sizeof(u32), 0);

	if (!t)
		return NULL;
	t->gsis = gsis;
	t->route = (struct irq_route *)((u8 *)t + routes);
	t->first = (u32 *)((u8 *)t + first);
	__builtin_memset(t->gsi_of, 0xff, sizeof(t->gsi_of));
	return t;
}

/* Room for each GSI's routes, side by side: counting sort. */
static void routing_count(struct irq_routing *t, const struct kvm_irq_routing_entry *entries, u32 count)
{
	for (u32 n = 0; n < count; n++)
		t->first[entries[n].gsi + 1]++;
	for (u32 gsi = 0; gsi < t->gsis; gsi++)
		t->first[gsi + 1] += t->first[gsi];
}

/* entries' GSIs have been checked.  used counts what each GSI has so far. */
static int routing_fill(struct vm *vm, struct irq_routing *t,
			const struct kvm_irq_routing_entry *entries, u32 count, u32 *used)
{
	for (u32 n = 0; n < count; n++) {
		u32 gsi = entries[n].gsi;
		struct irq_route *first = &t->route[t->first[gsi]], *r = first + used[gsi];
		int err = route_parse(vm, &entries[n], r);

		if (err)
			return err;
		for (struct irq_route *other = first; other < r; other++)
			if (routes_clash(other, r))
				return -EINVAL;
		used[gsi]++;
		if (!r->is_msi && !r->is_sint)
			t->gsi_of[r->chip][r->pin] = (s16)gsi;
	}
	return 0;
}

static int routing_build(struct vm *vm, const struct kvm_irq_routing_entry *entries, u32 count,
			 struct irq_routing **out)
{
	struct irq_routing *t;
	u32 *used, gsis = 0;
	int err;

	for (u32 n = 0; n < count; n++) {
		if (entries[n].gsi >= MAX_ROUTES)
			return -EINVAL;
		gsis = MAX_OF(gsis, entries[n].gsi + 1);
	}
	t = routing_alloc(gsis, count);
	used = host_alloc((gsis + 1) * sizeof(*used), 0);
	err = t && used ? 0 : -ENOMEM;
	if (!err) {
		routing_count(t, entries, count);
		err = routing_fill(vm, t, entries, count, used);
	}
	host_free(used);
	if (err)
		host_free(t);
	else
		*out = t;
	return err;
}

static void routing_publish(struct vm *vm, struct irq_routing *t)
{
	struct irq_routing *old = vm->irq.routing;

	atomic_store_release(&vm->irq.routing, t);
	if (old) {
		host_srcu_wait(&vm->srcu);
		host_free(old);
	}
}

int irq_set_routing(struct vm *vm, const struct kvm_irq_routing_entry *entries, u32 count, u32 flags)
{
	struct irq_routing *t;
	int err;

	if (!irq_chip_in_kernel(vm) || flags || count > MAX_ROUTES)
		return -EINVAL;
	err = routing_build(vm, entries, count, &t);
	if (err)
		return err;
	routing_publish(vm, t);
	return 0;
}

/* Each GSI to the pin of its number, of the IOAPIC and, below 16, of the PICs. */
static int routing_default(struct vm *vm, struct irq_routing **t)
{
	u64 bytes = DEFAULT_ROUTES * sizeof(struct kvm_irq_routing_entry);
	struct kvm_irq_routing_entry *entries = host_alloc(bytes, 0);
	u32 n = 0;
	int err;

	if (!entries)
		return -ENOMEM;
	for (u32 gsi = 0; gsi < CHIP_PINS; gsi++) {
		entries[n].gsi = gsi;
		entries[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		entries[n].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		entries[n++].u.irqchip.pin = gsi;
		if (gsi >= PIC_PINS)
			continue;
		entries[n].gsi = gsi;
		entries[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		entries[n].u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
		entries[n++].u.irqchip.pin = gsi & 7;
	}
	err = routing_build(vm, entries, n, t);
	host_free(entries);
	return err;
}

bool irq_split_wants_eoi(struct vm *vm, unsigned vector)
{
	int cookie = host_srcu_enter(&vm->srcu);
	const struct irq_routing *t = atomic_load_acquire(&vm->irq.routing);
	u32 routes = t ? t->first[MIN_OF(vm->irq.split_pins, t->gsis)] : 0;
	bool wanted = false;

	for (u32 n = 0; n < routes && !wanted; n++)
		wanted = t->route[n].is_msi && t->route[n].data & APIC_LEVEL &&
			 (t->route[n].data & APIC_VECTOR) == vector;
	host_srcu_leave(&vm->srcu, cookie);
	return wanted;
}

/* --- chips ------------------------------------------------------------------------------------- */

bool irq_chip_in_kernel(const struct vm *vm)
{
	return atomic_load_acquire(&vm->split_irqchip) || atomic_load_acquire(&vm->irq.pic);
}

int irq_create_chips(struct vm *vm)
{
	struct irq_routing *routing;
	struct ioapic *ioapic;
	struct pic *pic;
	int err;

	if (irq_chip_in_kernel(vm))
		return -EEXIST;
	if (vm->vcpu_count)
		return -EINVAL;
	pic = pic_create(vm);
	ioapic = ioapic_create(vm);
	err = pic && ioapic ? pic_attach(pic) : -ENOMEM;
	if (err)
		goto free_chips;
	err = ioapic_attach(ioapic);
	if (err)
		goto detach_pic;
	/* Routes to chips are valid only with chips. */
	atomic_store_release(&vm->irq.ioapic, ioapic);
	atomic_store_release(&vm->irq.pic, pic);
	err = routing_default(vm, &routing);
	if (err)
		goto detach_ioapic;
	routing_publish(vm, routing);
	return 0;

detach_ioapic:
	ioapic_detach(ioapic);
detach_pic:
	pic_detach(pic);
free_chips:
	vm->irq.ioapic = NULL;
	vm->irq.pic = NULL;
	ioapic_destroy(ioapic);
	pic_destroy(pic);
	return err;
}

int irq_create_pit(struct vm *vm, const struct kvm_pit_config *config)
{
	struct pit *pit;
	int err;

	if (vm->irq.pit)
		return -EEXIST;
	if (!vm->irq.pic)
		return -ENOENT;
	pit = pit_create(vm);
	if (!pit)
		return -ENOMEM;
	err = pit_attach(pit, config->flags & KVM_PIT_SPEAKER_DUMMY);
	if (err) {
		pit_destroy(pit);
		return err;
	}
	atomic_store_release(&vm->irq.pit, pit);
	return 0;
}

void irq_fini(struct vm *vm)
{
	struct irq_vm *irq = &vm->irq;

	if (irq->pit) {
		pit_detach(irq->pit);
		pit_destroy(irq->pit);
	}
	if (irq->pic) {
		ioapic_detach(irq->ioapic);
		pic_detach(irq->pic);
	}
	ioapic_destroy(irq->ioapic);
	pic_destroy(irq->pic);
	host_free(irq->routing);
	*irq = (struct irq_vm){ 0 };
}

/* --- state --------------------------------------------------------------------------------------- */

int irq_get_chip(struct vm *vm, struct kvm_irqchip *chip)
{
	u32 id = chip->chip_id;

	if (!vm->irq.pic)
		return -ENXIO;
	if (id >= KVM_NR_IRQCHIPS)
		return -EINVAL;
	if (id == KVM_IRQCHIP_IOAPIC) {
		__builtin_memset(&chip->chip.ioapic, 0, sizeof(chip->chip.ioapic));
		ioapic_get(vm->irq.ioapic, &chip->chip.ioapic);
	} else {
		__builtin_memset(&chip->chip.pic, 0, sizeof(chip->chip.pic));
		pic_get(vm->irq.pic, id, &chip->chip.pic);
	}
	return 0;
}

int irq_set_chip(struct vm *vm, const struct kvm_irqchip *chip)
{
	if (!vm->irq.pic)
		return -ENXIO;
	if (chip->chip_id >= KVM_NR_IRQCHIPS)
		return -EINVAL;
	if (chip->chip_id == KVM_IRQCHIP_IOAPIC)
		ioapic_set(vm->irq.ioapic, &chip->chip.ioapic);
	else
		pic_set(vm->irq.pic, chip->chip_id, &chip->chip.pic);
	return 0;
}

int irq_get_pit(struct vm *vm, struct kvm_pit_state2 *state)
{
	if (!vm->irq.pit)
		return -ENXIO;
	pit_get(vm->irq.pit, state);
	return 0;
}

int irq_set_pit(struct vm *vm, const struct kvm_pit_state2 *state)
{
	if (!vm->irq.pit)
		return -ENXIO;
	pit_set(vm->irq.pit, state);
	return 0;
}

int irq_reinject_control(struct vm *vm, const struct kvm_reinject_control *c)
{
	if (!vm->irq.pit)
		return -ENXIO;
	pit_reinject(vm->irq.pit, c->pit_reinject);
	return 0;
}
