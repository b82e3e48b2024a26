/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq.h - interrupt wiring: from a GSI, an MSI or another vCPU to a vCPU's next vector
 *
 * GSI -> routing -> PIC pin, IOAPIC pin or MSI -> LAPIC -> vCPU.
 */
#ifndef CORE_IRQ_H
#define CORE_IRQ_H

#include <linux/kvm.h>
#include "base/types.h"
#include "host/host.h"

struct vm;
struct vcpu;
struct pic;
struct ioapic;
struct pit;
struct irq_routing;

struct irq_vm {
	struct pic *pic;		/* NULL until KVM_CREATE_IRQCHIP */
	struct ioapic *ioapic;
	struct pit *pit;
	struct irq_routing *routing;	/* [srcu] */
	u32 split_pins;			/* split irqchip: GSIs below are pins of the client's IOAPIC */
};

/* Ioctls.  vm->lock held where they change configuration.  [sleep] */
int  irq_create_chips(struct vm *vm);			/* -EEXIST, -EINVAL with vCPUs */
int  irq_create_pit(struct vm *vm, const struct kvm_pit_config *config);
int  irq_get_chip(struct vm *vm, struct kvm_irqchip *chip);
int  irq_set_chip(struct vm *vm, const struct kvm_irqchip *chip);
int  irq_get_pit(struct vm *vm, struct kvm_pit_state2 *state);
int  irq_set_pit(struct vm *vm, const struct kvm_pit_state2 *state);
int  irq_reinject_control(struct vm *vm, const struct kvm_reinject_control *c);
int  irq_set_routing(struct vm *vm, const struct kvm_irq_routing_entry *entries, u32 count, u32 flags);
void irq_fini(struct vm *vm);

/*
 * A line's level changed (KVM_IRQ_LINE, irqfds, devices).  source tells lines that share a
 * GSI apart: 0 the client, 1 the PIT, 2 resampling irqfds.  >0 delivered, 0 coalesced, <0 nobody.  [any]
 */
int  irq_line(struct vm *vm, unsigned source, unsigned gsi, bool level);
/* Hyper-V: the vCPU with this VP index, or NULL; its SINT fired, as irq_line(); the guest took a message.  [any] */
struct vcpu *irq_vp_find(struct vm *vm, u32 vp_index);
int  irq_sint_raise(struct vm *vm, u32 vp_index, u32 sint);
void irq_sint_acked(struct vm *vm, u32 vp_index, u32 sint);
int  irq_msi(struct vm *vm, const struct kvm_msi *msi);	/* KVM_SIGNAL_MSI.  [any] */
bool irq_chip_in_kernel(const struct vm *vm);		/* full or split */

/* A chip's pin (KVM_IRQCHIP_*) was ended by the guest, or unmasked: tell who waits.  [any], no lock */
void irq_acked(struct vm *vm, unsigned chip, unsigned pin);
void irq_unmasked(struct vm *vm, unsigned chip, unsigned pin);
/* Is this vector one of the client's IOAPIC, so that its EOI must be reported?  [any] */
bool irq_split_wants_eoi(struct vm *vm, unsigned vector);

/* What a vCPU has pending (LAPIC, then PIC through LINT0).  v's own thread.  */
bool irq_pending(struct vcpu *v);			/* [any] deliverable by priority; needs an in-kernel LAPIC */
int  irq_acknowledge(struct vcpu *v);			/* the vector, moved to in-service; -1 if none */

/* LAPIC (lapic.c) */
int  lapic_create(struct vcpu *v);			/* [sleep] */
void lapic_destroy(struct vcpu *v);
void lapic_reset(struct vcpu *v, bool init);
int  lapic_get(struct vcpu *v, struct kvm_lapic_state *s);
int  lapic_set(struct vcpu *v, const struct kvm_lapic_state *s);
int  lapic_base_set(struct vcpu *v, u64 value, bool host);	/* IA32_APIC_BASE: 0 or 1 (#GP) */
int  lapic_msr_read(struct vcpu *v, u32 msr, u64 *data, bool host);	/* x2APIC MSRs: 0 or 1 */
int  lapic_msr_write(struct vcpu *v, u32 msr, u64 data, bool host);
u64  lapic_deadline_get(struct vcpu *v);
void lapic_deadline_set(struct vcpu *v, u64 tsc);
u64  lapic_cr8_get(struct vcpu *v);
void lapic_cr8_set(struct vcpu *v, u64 cr8);
bool lapic_claims(struct vcpu *v, gpa_t gpa);		/* is it this vCPU's APIC page? */
int  lapic_mmio_read(struct vcpu *v, gpa_t gpa, unsigned bytes, void *data);
int  lapic_mmio_write(struct vcpu *v, gpa_t gpa, unsigned bytes, const void *data);
/* INIT and SIPI that arrived: lapic.c sets v->pending_init/sipi and kicks; run.c acts. */
void lapic_cpuid_changed(struct vcpu *v);		/* TSC deadline, x2APIC offered or not */
/* Highest pending IRR vector or -1, ignoring priority: for cr8_sync.  [any] */
int  lapic_highest_irr(struct vcpu *v);

#endif
