// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_irq.c - routes, MSIs, chips of a VM, the split irqchip
 */
#include "tests/core/chips.h"

static struct kvm_irq_routing_entry chip_route(u32 gsi, u32 chip, u32 pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

static struct kvm_irq_routing_entry msi_route(u32 gsi, u32 lo, u32 hi, u32 data)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { .address_lo = lo, .address_hi = hi, .data = data },
	};
}

static void start(unsigned vcpus, bool in_kernel)
{
	chips_create(vcpus, in_kernel);
	for (unsigned n = 0; n < vcpus; n++) {
		apic_enable(n);
		apic_out(n, APIC_LVT0, 0x10000);
	}
}

static int set(const struct kvm_irq_routing_entry *e, u32 count)
{
	return irq_set_routing(&chips.vm, e, count, 0);
}

static void the_default_is_pin_by_pin(void)
{
	start(1, true);
	for (unsigned gsi = 0; gsi < 24; gsi++) {
		ioapic_entry(gsi, 0x30 + gsi);
		EXPECT_EQ(irq_line(&chips.vm, 0, gsi, true), gsi < 16 && gsi != 2 ? 2 : gsi == 2 ? 2 : 1);
		irq_line(&chips.vm, 0, gsi, false);
		EXPECT_EQ(apic_take(0), (int)(0x30 + gsi));
		apic_end(0);
		EXPECT_EQ(chips.acks[gsi], 1);
	}
	EXPECT_EQ(irq_line(&chips.vm, 0, 24, true), -1);
	EXPECT_EQ(irq_line(&chips.vm, 0, ~0u, true), -1);
	chips_destroy();
}

static void routes_are_checked(void)
{
	struct kvm_irq_routing_entry e[4097] = { chip_route(0, KVM_IRQCHIP_IOAPIC, 2) };

	start(1, true);
	EXPECT_EQ(set(e, 1), 0);
	EXPECT_EQ(irq_set_routing(&chips.vm, e, 1, 1), -EINVAL);
	e[0] = chip_route(0, KVM_IRQCHIP_IOAPIC, 24); EXPECT_EQ(set(e, 1), -EINVAL);
	e[0] = chip_route(0, KVM_IRQCHIP_PIC_MASTER, 8); EXPECT_EQ(set(e, 1), -EINVAL);
	e[0] = chip_route(0, KVM_IRQCHIP_PIC_SLAVE, 8); EXPECT_EQ(set(e, 1), -EINVAL);
	e[0] = chip_route(0, 3, 0); EXPECT_EQ(set(e, 1), -EINVAL);
	e[0] = chip_route(0, ~0u, 0); EXPECT_EQ(set(e, 1), -EINVAL);
	e[0] = chip_route(4096, KVM_IRQCHIP_IOAPIC, 0); EXPECT_EQ(set(e, 1), -EINVAL);
	e[0] = chip_route(~0u, KVM_IRQCHIP_IOAPIC, 0); EXPECT_EQ(set(e, 1), -EINVAL);
	e[0] = chip_route(4095, KVM_IRQCHIP_IOAPIC, 0); EXPECT_EQ(set(e, 1), 0);
	e[0].flags = 1; EXPECT_EQ(set(e, 1), -EINVAL);
	for (u32 type = 0; type < 8; type++) {
		e[0] = msi_route(0, 0, 0, 0);
		e[0].type = type;
		EXPECT_EQ(set(e, 1), type == KVM_IRQ_ROUTING_MSI || type == KVM_IRQ_ROUTING_IRQCHIP ||
					type == KVM_IRQ_ROUTING_HV_SINT ? 0 : -EINVAL);
	}
	/* One GSI leads to a chip only once, and to an MSI alone. */
	e[0] = chip_route(5, KVM_IRQCHIP_IOAPIC, 1); e[1] = chip_route(5, KVM_IRQCHIP_IOAPIC, 2);
	EXPECT_EQ(set(e, 2), -EINVAL);
	e[1] = msi_route(5, 0, 0, 0); EXPECT_EQ(set(e, 2), -EINVAL);
	e[0] = e[1]; EXPECT_EQ(set(e, 2), -EINVAL);
	e[0].gsi = 6; EXPECT_EQ(set(e, 2), 0);
	chips.vm.x2apic_32bit = true;
	e[0] = msi_route(5, 0, 1, 0); EXPECT_EQ(set(e, 1), -EINVAL);
	e[0] = msi_route(5, 0, 0x100, 0); EXPECT_EQ(set(e, 1), 0);
	for (u32 n = 0; n < 4097; n++)
		e[n] = msi_route(n & 4095, 0, 0, 0);
	EXPECT_EQ(set(e, 4096), 0);
	EXPECT_EQ(set(e, 4097), -EINVAL);
	EXPECT_EQ(set(e, 0), 0);
	EXPECT_EQ(irq_line(&chips.vm, 0, 0, true), -1);
	for (u64 n = 1; n <= 2; n++) {			/* what is there stays when memory runs out */
		e[0] = msi_route(0, 0xfee00000, 0, 0x44); EXPECT_EQ(set(e, 1), 0);
		sim_fail_alloc(n);
		EXPECT_EQ(set(e, 1), -ENOMEM);
		EXPECT_EQ(irq_line(&chips.vm, 0, 0, true), 1);
	}
	chips_destroy();
}

static void routes_lead_where_they_say(void)
{
	struct kvm_irq_routing_entry e[] = {
		msi_route(100, 0xfee01000, 0, 0x4077),
		chip_route(0, KVM_IRQCHIP_IOAPIC, 2),
		chip_route(9, KVM_IRQCHIP_PIC_SLAVE, 1),
		chip_route(9, KVM_IRQCHIP_IOAPIC, 9),
		chip_route(9, KVM_IRQCHIP_PIC_MASTER, 3),
	};

	start(2, true);
	EXPECT_EQ(set(e, 5), 0);
	EXPECT_EQ(irq_line(&chips.vm, 0, 100, true), 1);
	EXPECT_EQ(irq_line(&chips.vm, 0, 100, false), -1);
	EXPECT_EQ(apic_take(1), 0x77);
	ioapic_entry(2, 0x42);
	EXPECT_EQ(irq_line(&chips.vm, 0, 0, true), 1);
	EXPECT_EQ(apic_take(0), 0x42);
	apic_end(0);
	EXPECT_EQ(chips.acks[0], 1);			/* known by its GSI, not by its pin */
	ioapic_entry(9, 0x43);
	EXPECT_EQ(irq_line(&chips.vm, 0, 9, true), 3);
	EXPECT_EQ(irq_line(&chips.vm, 0, 2, true), -1);
	chips_destroy();
}

static void msis(void)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x35 };

	start(4, true);
	EXPECT_EQ(irq_msi(&chips.vm, &msi), 1);
	EXPECT_EQ(apic_take(0), 0x35);
	msi.flags = KVM_MSI_VALID_DEVID;	/* of no meaning here, and KVM lets it pass */
	EXPECT(irq_msi(&chips.vm, &msi) >= 0);
	msi = (struct kvm_msi){ .address_lo = 0xfeeff000, .data = 0x46 };
	EXPECT_EQ(irq_msi(&chips.vm, &msi), 4);
	for (unsigned n = 0; n < 4; n++) {
		apic_out(n, APIC_LDR, 1u << (24 + n));
		EXPECT_EQ(apic_take(n), 0x46);
	}
	msi = (struct kvm_msi){ .address_lo = 0xfee0c00c, .data = 0x59 };	/* logical, one of 2 and 3 */
	EXPECT_EQ(irq_msi(&chips.vm, &msi), 1);
	EXPECT_EQ((apic_take(2) == 0x59) + (apic_take(3) == 0x59), 1);
	msi = (struct kvm_msi){ .address_lo = 0xfee07000, .data = 0x59 };
	EXPECT_EQ(irq_msi(&chips.vm, &msi), -1);
	msi = (struct kvm_msi){ .address_lo = 0xfee01000, .data = 0x400 };	/* NMI */
	EXPECT_EQ(irq_msi(&chips.vm, &msi), 1);
	EXPECT_EQ(chips.nmis[1], 1);
	chips_destroy();
}

static void creation(void)
{
	struct kvm_irqchip chip = { .chip_id = 0 };

	chips_create(0, false);
	EXPECT(irq_chip_in_kernel(&chips.vm));
	EXPECT_EQ(irq_create_chips(&chips.vm), -EEXIST);
	EXPECT_EQ(irq_get_chip(&chips.vm, &chip), -ENXIO);
	EXPECT_EQ(irq_set_chip(&chips.vm, &chip), -ENXIO);
	chips.vm.split_irqchip = false;
	EXPECT(!irq_chip_in_kernel(&chips.vm));
	EXPECT_EQ(irq_set_routing(&chips.vm, NULL, 0, 0), -EINVAL);
	EXPECT_EQ(irq_msi(&chips.vm, &(struct kvm_msi){ 0 }), -EINVAL);
	chips.vm.vcpu_count = 1;
	EXPECT_EQ(irq_create_chips(&chips.vm), -EINVAL);
	chips.vm.vcpu_count = 0;
	for (u64 n = 1; n <= 5; n++) {
		u64 before = sim_allocations();

		sim_fail_alloc(n);
		EXPECT_EQ(irq_create_chips(&chips.vm), -ENOMEM);
		EXPECT_EQ(sim_allocations(), before);
		EXPECT(!irq_chip_in_kernel(&chips.vm));
		EXPECT_EQ(inb(0x21), 0xff);
	}
	sim_fail_alloc(0);
	EXPECT_EQ(irq_create_chips(&chips.vm), 0);
	EXPECT_EQ(irq_create_chips(&chips.vm), -EEXIST);
	chips_destroy();
}

static void split(void)
{
	struct kvm_irq_routing_entry e[] = {
		msi_route(3, 0xfee00000, 0, 0x8051),	/* pin 3 of the client's IOAPIC: level */
		msi_route(4, 0xfee00000, 0, 0x0061),	/* an edge */
		msi_route(30, 0xfee00000, 0, 0x8071),	/* not a pin */
		chip_route(0, KVM_IRQCHIP_IOAPIC, 0),
	};

	start(1, false);
	EXPECT_EQ(apic_in(0, APIC_VERSION), 0x1050014);	/* directed EOI is offered */
	chips.vm.irq.split_pins = 24;
	EXPECT_EQ(irq_line(&chips.vm, 0, 3, true), -1);	/* no routes yet */
	EXPECT_EQ(set(e, 4), -EINVAL);
	EXPECT_EQ(set(e, 3), 0);
	for (unsigned n = 0; n < 3; n++)
		EXPECT_EQ(irq_line(&chips.vm, 0, e[n].gsi, true), 1);
	EXPECT_EQ(apic_take(0), 0x71);
	apic_end(0);
	EXPECT(!(chips.vcpu[0].requests & BIT_U64(REQ_IOAPIC_EOI)));
	EXPECT_EQ(apic_take(0), 0x61);
	apic_end(0);
	EXPECT(!(chips.vcpu[0].requests & BIT_U64(REQ_IOAPIC_EOI)));
	EXPECT_EQ(apic_take(0), 0x51);
	apic_end(0);
	EXPECT(chips.vcpu[0].requests & BIT_U64(REQ_IOAPIC_EOI));
	EXPECT_EQ(chips.vcpu[0].ioapic_eoi_vector, 0x51);
	vcpu_request_take(&chips.vcpu[0], REQ_IOAPIC_EOI);
	irq_msi(&chips.vm, &(struct kvm_msi){ .address_lo = 0xfee00000, .data = 0x8061 });
	EXPECT_EQ(apic_take(0), 0x61);		/* a level, but of no pin */
	apic_end(0);
	EXPECT(!(chips.vcpu[0].requests & BIT_U64(REQ_IOAPIC_EOI)));
	chips_destroy();
}

int main(void)
{
	TEST(the_default_is_pin_by_pin);
	TEST(routes_are_checked);
	TEST(routes_lead_where_they_say);
	TEST(msis);
	TEST(creation);
	TEST(split);
	return test_status();
}
