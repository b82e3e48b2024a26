// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_slot.c - memory slots keep KVM_SET_USER_MEMORY_REGION's contract
 */
#include "tests/core/machine.h"

static void finding(void)
{
	machine_create();
	EXPECT(!slot_find(machine.vm, 0));
	EXPECT_EQ(machine_slot(1, 0, 0x100000, 0x3000, 0x10000), 0);
	EXPECT_EQ(machine_slot(0, 0, 0, 0x2000, 0), 0);
	EXPECT_EQ(machine_slot(7, 0, 0x103000, 0x1000, 0x20000), 0);
	EXPECT_EQ(slot_find(machine.vm, 0)->id, 0);
	EXPECT_EQ(slot_find(machine.vm, 1)->id, 0);
	EXPECT(!slot_find(machine.vm, 2));
	EXPECT(!slot_find(machine.vm, 0xff));
	EXPECT_EQ(slot_find(machine.vm, 0x100)->id, 1);
	EXPECT_EQ(slot_find(machine.vm, 0x102)->id, 1);
	EXPECT_EQ(slot_find(machine.vm, 0x103)->id, 7);
	EXPECT(!slot_find(machine.vm, 0x104));
	EXPECT(!slot_find(machine.vm, ~0ull));
	EXPECT_EQ(slot_hva(slot_find(machine.vm, 0x101), 0x101234), (u64)(uintptr_t)machine.memory + 0x11234);
	machine_destroy();
}

static void refusals(void)
{
	struct kvm_userspace_memory_region r = { .memory_size = 0x1000 };

	machine_create();
	r.userspace_addr = (u64)(uintptr_t)machine.memory;
	r.flags = 4;
	EXPECT_EQ(slot_set(machine.vm, &r), -EINVAL);
	r.flags = 0;
	EXPECT_EQ(machine_slot(0, 0, 0x800, 0x1000, 0), -EINVAL);
	EXPECT_EQ(machine_slot(0, 0, 0, 0x1800, 0), -EINVAL);
	EXPECT_EQ(machine_slot(0, 0, 0, 0x1000, 0x10), -EINVAL);
	EXPECT_EQ(machine_slot(0, 0, ~0xfffull, 0x2000, 0), -EINVAL);
	EXPECT_EQ(machine_slot(0, 0, 1ull << 48, 0x1000, 0), -EINVAL);
	EXPECT_EQ(machine_slot(0, 0, (1ull << 48) - 0x1000, 0x1000, 0), 0);
	EXPECT_EQ(machine_slot(SLOT_COUNT, 0, 0, 0x1000, 0), -EINVAL);
	EXPECT_EQ(machine_slot(SLOT_SPACES << 16, 0, 0, 0x1000, 0), -EINVAL);
	EXPECT_EQ(machine_slot(5, 0, 0, 0, 0), -EINVAL);	/* delete what is not there */
	r.slot = 1;
	r.memory_size = 1ull << 43;
	EXPECT_EQ(slot_set(machine.vm, &r), -EINVAL);		/* too many pages */
	r.memory_size = 0x1000;
	r.userspace_addr = 0xfffffffffffff000;
	EXPECT_EQ(slot_set(machine.vm, &r), -EINVAL);
	r.userspace_addr = 1ull << 47;
	EXPECT_EQ(slot_set(machine.vm, &r), -EINVAL);
	machine_destroy();
}

static void overlap(void)
{
	machine_create();
	EXPECT_EQ(machine_slot(0, 0, 0x10000, 0x10000, 0), 0);
	EXPECT_EQ(machine_slot(1, 0, 0x1f000, 0x1000, 0), -EEXIST);
	EXPECT_EQ(machine_slot(1, 0, 0xf000, 0x2000, 0), -EEXIST);
	EXPECT_EQ(machine_slot(1, 0, 0x8000, 0x20000, 0), -EEXIST);
	EXPECT_EQ(machine_slot(1, 0, 0x20000, 0x1000, 0x10000), 0);
	EXPECT_EQ(machine_slot(1, 0, 0x1f000, 0x1000, 0x10000), -EEXIST);	/* a move onto 0 */
	EXPECT_EQ(machine_slot(1 | 1 << 16, 0, 0x1f000, 0x1000, 0x10000), 0);	/* another space */
	EXPECT_EQ(slot_find(machine.vm, 0x1f)->id, 0);
	EXPECT_EQ(slot_by_id(machine.vm, 1 | 1 << 16)->gfn, 0x1f);
	machine_destroy();
}

static void changes(void)
{
	machine_create();
	EXPECT_EQ(machine_slot(0, 0, 0, 0x10000, 0), 0);
	EXPECT_EQ(machine_slot(0, 0, 0, 0x10000, 0), 0);		/* nothing changes */
	EXPECT_EQ(machine_slot(0, 0, 0, 0x10000, 0x1000), -EINVAL);	/* other memory */
	EXPECT_EQ(machine_slot(0, 0, 0, 0x8000, 0), -EINVAL);		/* another size */
	EXPECT_EQ(machine_slot(0, KVM_MEM_READONLY, 0, 0x10000, 0), -EINVAL);
	EXPECT_EQ(machine_slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 0x10000, 0), 0);
	EXPECT(slot_find(machine.vm, 0)->dirty != NULL);
	EXPECT_EQ(machine_slot(0, 0, 0, 0x10000, 0), 0);
	EXPECT(slot_find(machine.vm, 0)->dirty == NULL);
	/* move, also onto a part of itself */
	EXPECT_EQ(machine_slot(0, 0, 0x8000, 0x10000, 0), 0);
	EXPECT(!slot_find(machine.vm, 7));
	EXPECT_EQ(slot_hva(slot_find(machine.vm, 8), 0x8000), (u64)(uintptr_t)machine.memory);
	EXPECT_EQ(machine_slot(0, 0, 0, 0, 0), 0);
	EXPECT(!slot_find(machine.vm, 8));
	EXPECT_EQ(machine_slot(0, 0, 0, 0, 0), -EINVAL);
	machine_destroy();
}

/* Deleting or moving takes mappings away and flushes; so does beginning to log. */
static void zaps(void)
{
	unsigned level;

	machine_create();
	EXPECT_EQ(machine_slot(0, 0, 0, 0x10000, 0), 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x3000, X86_WRITE), MMU_FIXED);
	EXPECT(machine_leaf(0x3000, &level) & 2);
	machine_flushed();
	EXPECT_EQ(machine_slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 0x10000, 0), 0);
	EXPECT_EQ(machine_leaf(0x3000, &level) & 3, 1);
	EXPECT(machine_flushed());
	EXPECT_EQ(machine_slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0x100000, 0x10000, 0), 0);
	EXPECT_EQ(machine_leaf(0x3000, &level) & 1, 0);
	EXPECT(machine_flushed());
	EXPECT_EQ(mmu_fault(machine.v, 0x3000, X86_READ), MMU_DEVICE);
	EXPECT_EQ(mmu_fault(machine.v, 0x103000, X86_READ), MMU_FIXED);
	EXPECT_EQ(machine_slot(0, 0, 0, 0, 0), 0);
	EXPECT_EQ(machine_leaf(0x103000, &level) & 1, 0);
	EXPECT(machine_flushed());
	machine_destroy();
}

static void all_of_them(void)
{
	machine_create();
	/* in an order that is neither ascending nor descending */
	for (u32 n = 0; n < SLOT_COUNT; n++) {
		u32 id = (n * 37) % SLOT_COUNT;

		EXPECT_EQ(machine_slot(id, 0, (u64)id << 13, 0x1000, (u64)id << 12), 0);
	}
	for (u32 id = 0; id < SLOT_COUNT; id++) {
		EXPECT_EQ(slot_find(machine.vm, (u64)id << 1)->id, id);
		EXPECT(!slot_find(machine.vm, ((u64)id << 1) + 1));
	}
	for (u32 id = 0; id < SLOT_COUNT; id += 2)
		EXPECT_EQ(machine_slot(id, 0, 0, 0, 0), 0);
	for (u32 id = 0; id < SLOT_COUNT; id++)
		EXPECT_EQ(!slot_find(machine.vm, (u64)id << 1), !(id & 1));
	machine_destroy();
}

/* Whatever allocation fails, nothing changes and nothing leaks. */
static void no_memory(void)
{
	u64 held;

	machine_create();
	EXPECT_EQ(machine_slot(0, 0, 0, 0x10000, 0), 0);
	held = sim_allocations();
	for (u64 n = 1; n <= 2; n++) {
		sim_fail_alloc(n);
		EXPECT_EQ(machine_slot(0, 0, 0x8000, 0x10000, 0), -ENOMEM);
		sim_fail_alloc(n);
		EXPECT_EQ(machine_slot(1, KVM_MEM_LOG_DIRTY_PAGES, 0x80000, 0x10000, 0), -ENOMEM);
		sim_fail_alloc(n);
		EXPECT_EQ(machine_slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 0x10000, 0), -ENOMEM);
	}
	sim_fail_alloc(1);
	EXPECT_EQ(machine_slot(0, 0, 0, 0, 0), -ENOMEM);
	sim_fail_alloc(0);
	EXPECT_EQ(sim_allocations(), held);
	EXPECT_EQ(slot_find(machine.vm, 0)->id, 0);
	EXPECT(!slot_find(machine.vm, 0x80));
	EXPECT_EQ(machine_slot(0, 0, 0, 0, 0), 0);
	machine_destroy();
}

static void memory_access(void)
{
	u8 out[0x2000], in[0x2000];

	machine_create();
	for (unsigned n = 0; n < sizeof(out); n++)
		out[n] = (u8)(n * 7 + n / 256);
	/* two neighbours whose memory is not */
	EXPECT_EQ(machine_slot(0, 0, 0, 0x1000, 0x8000), 0);
	EXPECT_EQ(machine_slot(1, KVM_MEM_LOG_DIRTY_PAGES, 0x1000, 0x1000, 0), 0);
	EXPECT_EQ(guest_write(machine.vm, 0x800, out, 0x1000), 0);
	EXPECT(!memcmp(machine.memory + 0x8800, out, 0x800));
	EXPECT(!memcmp(machine.memory, out + 0x800, 0x800));
	EXPECT_EQ(slot_find(machine.vm, 1)->dirty[0], 1);
	EXPECT_EQ(guest_read(machine.vm, 0x800, in, 0x1000), 0);
	EXPECT(!memcmp(in, out, 0x1000));
	EXPECT_EQ(guest_read(machine.vm, 0x800, in, 0x2000), -EFAULT);
	EXPECT_EQ(guest_read(machine.vm, ~0ull - 3, in, 8), -EFAULT);
	EXPECT_EQ(guest_write(machine.vm, 0x10000, in, 0), 0);
	EXPECT_EQ(machine_slot(2, KVM_MEM_READONLY, 0x2000, 0x1000, 0x2000), 0);
	EXPECT_EQ(guest_write(machine.vm, 0x2000, out, 8), -EFAULT);
	EXPECT_EQ(guest_read(machine.vm, 0x2000, in, 8), 0);
	machine_destroy();
}

int main(void)
{
	TEST(finding);
	TEST(refusals);
	TEST(overlap);
	TEST(changes);
	TEST(zaps);
	TEST(all_of_them);
	TEST(no_memory);
	TEST(memory_access);
	return test_status();
}
