// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_dirty_ring.c - what is written is in a ring once, until the client had it reset
 */
#include "tests/core/machine.h"

#define RING_BYTES 4096u
#define ENTRIES (RING_BYTES / sizeof(struct kvm_dirty_gfn))

static void ring_create(void)
{
	machine_create_vm();
	EXPECT_EQ(dirty_ring_reset(machine.vm), -EINVAL);
	EXPECT_EQ(dirty_ring_enable(machine.vm, RING_BYTES), 0);
	EXPECT_EQ(vcpu_create(machine.vm, 0, machine.run, &machine.v), 0);
	EXPECT_EQ(machine_slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0, MACHINE_BYTES, 0), 0);
}

static struct kvm_dirty_gfn *entry(u32 n)
{
	return &machine.v->dirty_ring.entries[n % ENTRIES];
}

static void sizes_are_checked(void)
{
	machine_create();
	EXPECT_EQ(dirty_ring_enable(machine.vm, 0), -EINVAL);
	EXPECT_EQ(dirty_ring_enable(machine.vm, 2048), -EINVAL);
	EXPECT_EQ(dirty_ring_enable(machine.vm, 3 * 4096), -EINVAL);
	EXPECT_EQ(dirty_ring_enable(machine.vm, 2ull << 20), -E2BIG);
	EXPECT_EQ(dirty_ring_enable(machine.vm, 1ull << 32), -E2BIG);
	EXPECT_EQ(dirty_ring_enable(machine.vm, RING_BYTES), -EINVAL);	/* there is a vCPU */
	machine_destroy();
}

static void a_page_is_pushed_once(void)
{
	struct kvm_dirty_log log = { 0 };
	unsigned level;

	ring_create();
	EXPECT_EQ(dirty_ring_enable(machine.vm, RING_BYTES), -EINVAL);	/* once is enough */
	EXPECT_EQ(slot_get_dirty(machine.vm, &log), -ENXIO);
	EXPECT_EQ(mmu_fault(machine.v, 0x5000, X86_READ), MMU_FIXED);
	EXPECT_EQ(entry(0)->flags, 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x5000, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(guest_write(machine.vm, 0x5000, "x", 1), 0);
	EXPECT_EQ(guest_write(machine.vm, 0x7000, "x", 1), 0);
	EXPECT_EQ(entry(0)->flags, KVM_DIRTY_GFN_F_DIRTY);
	EXPECT_EQ(entry(0)->offset, 5);
	EXPECT_EQ(entry(1)->offset, 7);
	EXPECT_EQ(entry(2)->flags, 0);
	EXPECT_EQ(dirty_ring_reset(machine.vm), 0);		/* nothing was collected */
	entry(0)->flags |= KVM_DIRTY_GFN_F_RESET;
	EXPECT(machine_leaf(0x5000, &level) & 2);
	EXPECT_EQ(dirty_ring_reset(machine.vm), 1);
	EXPECT(machine_flushed());
	EXPECT(!(machine_leaf(0x5000, &level) & 2));		/* write protected again */
	EXPECT_EQ(entry(0)->flags, 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x5000, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(entry(2)->offset, 5);
	EXPECT_EQ(guest_write(machine.vm, 0x7000, "x", 1), 0);	/* is in the ring still */
	EXPECT_EQ(entry(3)->flags, 0);
	machine_destroy();
}

static void a_full_ring_stops_the_guest(void)
{
	struct kvm_run *run = (void *)machine.run;

	ring_create();
	run = (void *)machine.run;
	for (u64 n = 0; n < ENTRIES - 64; n++) {
		EXPECT(!dirty_ring_is_full(machine.v));
		EXPECT_EQ(guest_write(machine.vm, n << 12, "x", 1), 0);
	}
	EXPECT(dirty_ring_is_full(machine.v));
	EXPECT_EQ(vcpu_run(machine.v), 0);
	EXPECT_EQ(run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
	for (u64 n = ENTRIES - 64; n < ENTRIES + 10; n++)	/* more than there is room for */
		EXPECT_EQ(guest_write(machine.vm, n << 12, "x", 1), 0);
	EXPECT_EQ(machine.v->dirty_ring.pushed - machine.v->dirty_ring.reset, ENTRIES);
	for (u32 n = 0; n < ENTRIES; n++)
		entry(n)->flags |= KVM_DIRTY_GFN_F_RESET;
	EXPECT_EQ(dirty_ring_reset(machine.vm), ENTRIES);
	EXPECT(!dirty_ring_is_full(machine.v));
	EXPECT_EQ(guest_write(machine.vm, 0, "x", 1), 0);	/* around the end */
	EXPECT_EQ(entry(ENTRIES)->flags, KVM_DIRTY_GFN_F_DIRTY);
	machine_destroy();
}

/* The client writes what it likes; only what was pushed is ever reset. */
static void scribbling_does_no_harm(void)
{
	ring_create();
	memset(machine.v->dirty_ring.entries, 0xff, RING_BYTES);
	EXPECT_EQ(dirty_ring_reset(machine.vm), 0);
	for (u64 n = 0; n < 3; n++)
		EXPECT_EQ(guest_write(machine.vm, n << 12, "x", 1), 0);
	*entry(0) = (struct kvm_dirty_gfn){ .flags = 2, .slot = 0x1ffff, .offset = 1 };
	*entry(1) = (struct kvm_dirty_gfn){ .flags = ~0u, .slot = 0, .offset = ~0ull };
	*entry(2) = (struct kvm_dirty_gfn){ .flags = 2, .slot = 0, .offset = MACHINE_BYTES >> 12 };
	EXPECT_EQ(dirty_ring_reset(machine.vm), 3);
	EXPECT_EQ(dirty_ring_reset(machine.vm), 0);
	machine_destroy();
}

static void a_ring_can_move(void)
{
	static u8 memory[RING_BYTES] __attribute__((aligned(4096)));

	ring_create();
	EXPECT_EQ(guest_write(machine.vm, 0x3000, "x", 1), 0);
	dirty_ring_move(machine.v, memory);
	EXPECT_EQ(((struct kvm_dirty_gfn *)memory)[0].offset, 3);
	EXPECT_EQ(guest_write(machine.vm, 0x4000, "x", 1), 0);
	EXPECT_EQ(((struct kvm_dirty_gfn *)memory)[1].offset, 4);
	machine_destroy();
}

int main(void)
{
	TEST(sizes_are_checked);
	TEST(a_page_is_pushed_once);
	TEST(a_full_ring_stops_the_guest);
	TEST(scribbling_does_no_harm);
	TEST(a_ring_can_move);
	return test_status();
}
