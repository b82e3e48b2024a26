/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioapic.h - the I/O APIC
 */
#ifndef CORE_IOAPIC_H
#define CORE_IOAPIC_H

#include <linux/kvm.h>
#include "base/types.h"

struct vm;
struct ioapic;

#define IOAPIC_ADDRESS	0xfec00000ull
#define IOAPIC_BYTES	0x100u

struct ioapic *ioapic_create(struct vm *vm);		/* [sleep] NULL: no memory */
void ioapic_destroy(struct ioapic *io);			/* [sleep] */
int  ioapic_attach(struct ioapic *io);			/* vm->lock held: onto the memory bus */
void ioapic_detach(struct ioapic *io);

/* A source moved pin's line: >0 delivered, 0 coalesced, -1 masked or nobody's.  [any] */
int  ioapic_line(struct ioapic *io, unsigned source, unsigned pin, bool level);
/* A LAPIC ended this vector; directed: without telling us, the guest will write EOI itself. [any] */
void ioapic_eoi(struct ioapic *io, unsigned vector, bool level, bool directed);

bool ioapic_has_vector(const struct ioapic *io, unsigned vector);	/* of some pin.  [any] */

void ioapic_get(struct ioapic *io, struct kvm_ioapic_state *state);
void ioapic_set(struct ioapic *io, const struct kvm_ioapic_state *state);

#endif
