// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_dirty.c - the dirty log loses no page and invents none
 */
#include "tests/core/machine.h"

#define PAGES 200u

static u64 bitmap[(PAGES + 63) / 64 + 1];

static int get(u32 id)
{
	struct kvm_dirty_log log = { .slot = id, .dirty_bitmap = bitmap };

	memset(bitmap, 0x5a, sizeof(bitmap));
	return slot_get_dirty(machine.vm, &log);
}

static int clear(u64 first, u32 pages)
{
	struct kvm_clear_dirty_log log = { .slot = 0, .first_page = first, .num_pages = pages, .dirty_bitmap = bitmap };

	return slot_clear_dirty(machine.vm, &log);
}

static void begin(u32 flags)
{
	machine_create();
	sim_memory(bitmap, sizeof(bitmap), true);
	slot_dirty_manual(machine.vm, flags);
	EXPECT_EQ(machine_slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0x100000, PAGES * PAGE_BYTES, 0), 0);
}

static void write_page(u64 page)
{
	EXPECT_EQ(mmu_fault(machine.v, 0x100000 + page * PAGE_BYTES, X86_WRITE), MMU_FIXED);
}

static bool is_writable(u64 page)
{
	unsigned level;

	return machine_leaf(0x100000 + page * PAGE_BYTES, &level) & 2;
}

static void faults_are_logged(void)
{
	begin(0);
	EXPECT_EQ(get(0), 0);
	for (unsigned w = 0; w < 4; w++)
		EXPECT_EQ(bitmap[w], 0);
	EXPECT_EQ(bitmap[4], 0x5a5a5a5a5a5a5a5a);	/* no more than there is */

	write_page(3);
	write_page(199);
	EXPECT_EQ(mmu_fault(machine.v, 0x100000 + 64 * PAGE_BYTES, X86_READ), MMU_FIXED);
	EXPECT(!is_writable(64));			/* reading is not writing, even if it could */
	machine_flushed();
	EXPECT_EQ(get(0), 0);
	EXPECT(machine_flushed());
	EXPECT_EQ(bitmap[0], 8);
	EXPECT_EQ(bitmap[1], 0);
	EXPECT_EQ(bitmap[3], BIT_U64(199 - 192));
	EXPECT(!is_writable(3));
	EXPECT(!is_writable(199));
	EXPECT_EQ(get(0), 0);
	EXPECT_EQ(bitmap[0], 0);
	EXPECT(!machine_flushed());			/* nothing to forget */
	write_page(3);
	EXPECT(is_writable(3));
	EXPECT_EQ(get(0), 0);
	EXPECT_EQ(bitmap[0], 8);
	machine_destroy();
}

static void refusals(void)
{
	begin(0);
	EXPECT_EQ(get(1), -ENOENT);
	EXPECT_EQ(get(0xffff), -EINVAL);
	EXPECT_EQ(get(5 << 16), -EINVAL);
	EXPECT_EQ(machine_slot(1, 0, 0, 0x1000, 0), 0);
	EXPECT_EQ(get(1), -ENOENT);
	EXPECT_EQ(clear(1, 64), -EINVAL);
	EXPECT_EQ(clear(256, 64), -EINVAL);
	EXPECT_EQ(clear(0, 65), -EINVAL);
	EXPECT_EQ(clear(64, PAGES), -EINVAL);
	EXPECT_EQ(clear(192, 0), 0);
	EXPECT_EQ(slot_dirty_manual(machine.vm, 2), -EINVAL);
	EXPECT_EQ(slot_dirty_manual(machine.vm, 4), -EINVAL);
	machine_destroy();
}

/* A client whose buffer is bad has lost nothing. */
static void bad_buffer(void)
{
	begin(0);
	write_page(5);
	sim_memory_forget(bitmap);
	EXPECT_EQ(get(0), -EFAULT);
	sim_memory(bitmap, sizeof(bitmap), true);
	EXPECT_EQ(get(0), 0);
	EXPECT_EQ(bitmap[0], 32);
	write_page(5);
	sim_fail_alloc(1);
	EXPECT_EQ(get(0), -ENOMEM);
	EXPECT(is_writable(5));
	EXPECT_EQ(get(0), 0);
	EXPECT_EQ(bitmap[0], 32);
	machine_destroy();
}

static void manual(void)
{
	begin(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	write_page(1);
	write_page(70);
	EXPECT_EQ(get(0), 0);
	EXPECT_EQ(bitmap[0], 2);
	EXPECT(is_writable(1));
	EXPECT_EQ(get(0), 0);
	EXPECT_EQ(bitmap[0], 2);			/* not cleared by asking */
	EXPECT_EQ(bitmap[1], 64);
	machine_flushed();
	bitmap[0] = 64;
	EXPECT_EQ(clear(64, 64), 0);			/* page 70 */
	EXPECT(machine_flushed());
	EXPECT(!is_writable(70));
	EXPECT(is_writable(1));
	EXPECT_EQ(get(0), 0);
	EXPECT_EQ(bitmap[0], 2);
	EXPECT_EQ(bitmap[1], 0);
	memset(bitmap, 0xff, sizeof(bitmap));
	EXPECT_EQ(clear(0, PAGES), 0);
	EXPECT_EQ(get(0), 0);
	EXPECT_EQ(bitmap[0], 0);
	machine_destroy();
}

static void initially_set(void)
{
	begin(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	EXPECT_EQ(get(0), 0);
	EXPECT_EQ(bitmap[0], ~0ull);
	EXPECT_EQ(bitmap[3], BIT_U64(PAGES - 192) - 1);
	machine_destroy();
}

/* 100,000 random writes and questions against a simple model. */
static void model(void)
{
	bool dirty[PAGES] = { false };
	u64 seed = 1;

	begin(0);
	for (unsigned n = 0; n < 100000; n++) {
		u64 page;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		page = (seed >> 33) % PAGES;
		switch (seed >> 60) {
		case 0:
			EXPECT_EQ(get(0), 0);
			for (u64 p = 0; p < PAGES; p++)
				if (bit_test(bitmap, p) != dirty[p]) {
					EXPECT_EQ(bit_test(bitmap, p), dirty[p]);
					goto out;
				}
			memset(dirty, 0, sizeof(dirty));
			break;
		case 1: case 2: case 3:
			EXPECT_EQ(guest_write(machine.vm, 0x100000 + page * PAGE_BYTES, &seed, 8), 0);
			dirty[page] = true;
			break;
		case 4: case 5: case 6:
			EXPECT_EQ(mmu_fault(machine.v, 0x100000 + page * PAGE_BYTES, X86_READ), MMU_FIXED);
			break;
		default:		/* the guest: only where the table lets it */
			if (!is_writable(page))
				write_page(page);
			dirty[page] = true;
			break;
		}
	}
out:
	machine_destroy();
}

int main(void)
{
	TEST(faults_are_logged);
	TEST(refusals);
	TEST(bad_buffer);
	TEST(manual);
	TEST(initially_set);
	TEST(model);
	return test_status();
}
