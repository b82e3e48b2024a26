// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_mmu.c - the nested page table says what the slots and the owner's memory say
 *
 * The simulated host only has small pages; here its answers pass through a function that
 * can call them large, so this file has an mmu.c of its own.
 */
#include "host/host.h"

static int page_get(u64 address, bool write, struct host_page *page);
#define host_page_get page_get
#include "core/mmu.c"
#undef host_page_get

#include "tests/core/machine.h"

static u8 level_given;			/* of pages */
static void (*on_page_get)(void);	/* something that happens in between */

static int page_get(u64 address, bool write, struct host_page *page)
{
	int r = host_page_get(address, write, page);

	if (!r)
		page->level = level_given;
	if (on_page_get) {
		void (*fn)(void) = on_page_get;

		on_page_get = NULL;
		fn();
	}
	return r;
}

static u64 bus_of(u64 offset)
{
	return (u64)(uintptr_t)machine.memory + offset;
}

static void faults(void)
{
	unsigned level;

	machine_create();
	EXPECT_EQ(mmu_fault(machine.v, 0, X86_READ), MMU_DEVICE);
	EXPECT_EQ(machine_slot(0, 0, 0x10000, 0x10000, 0x5000), 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x12345, X86_READ), MMU_FIXED);
	EXPECT_EQ(machine_leaf(0x12345, &level), bus_of(0x7000) | 0x65);
	EXPECT_EQ(level, 1);
	EXPECT_EQ(mmu_fault(machine.v, 0x12345, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(machine_leaf(0x12345, &level), bus_of(0x7000) | 0x67);
	EXPECT_EQ(mmu_fault(machine.v, 0x12345, X86_FETCH), MMU_FIXED);
	EXPECT_EQ(machine_leaf(0x12345, &level), bus_of(0x7000) | 0x67);	/* keeps W */
	EXPECT_EQ(machine_leaf(0x13000, &level), 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x20000, X86_READ), MMU_DEVICE);
	EXPECT_EQ(mmu_fault(machine.v, 1ull << 48, X86_READ), MMU_DEVICE);
	EXPECT_EQ(mmu_fault(machine.v, ~0ull, X86_READ), MMU_DEVICE);
	machine_destroy();
}

static void readonly(void)
{
	unsigned level;

	machine_create();
	EXPECT_EQ(machine_slot(0, KVM_MEM_READONLY, 0, 0x10000, 0), 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x1000, X86_WRITE), MMU_READONLY);
	EXPECT_EQ(mmu_fault(machine.v, 0x1000, X86_READ), MMU_FIXED);
	EXPECT_EQ(machine_leaf(0x1000, &level) & 3, 1);
	machine_destroy();
}

/* The client promised memory that it does not have, or may not write. */
static void no_such_memory(void)
{
	unsigned level;

	machine_create();
	EXPECT_EQ(machine_slot(0, 0, 0, 0x10000, MACHINE_BYTES - 0x8000), 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x7000, X86_READ), MMU_FIXED);
	EXPECT_EQ(mmu_fault(machine.v, 0x8000, X86_READ), MMU_BAD);
	sim_memory_forget(machine.memory);
	sim_memory(machine.memory, MACHINE_BYTES, false);
	EXPECT_EQ(mmu_fault(machine.v, 0x6000, X86_READ), MMU_FIXED);
	EXPECT_EQ(mmu_fault(machine.v, 0x6000, X86_WRITE), MMU_BAD);
	EXPECT_EQ(machine_leaf(0x6000, &level) & 3, 1);
	machine_destroy();
}

static void out_of_tables(void)
{
	machine_create();
	EXPECT_EQ(machine_slot(0, 0, 0, 0x10000, 0), 0);
	for (u64 n = 1; n <= 3; n++) {
		sim_fail_alloc(1);
		EXPECT_EQ(mmu_fault(machine.v, 0, X86_READ), MMU_RETRY);	/* waits for memory */
		EXPECT(machine.vm->mmu.spare != NULL);
	}
	sim_fail_alloc(0);
	EXPECT_EQ(mmu_fault(machine.v, 0, X86_READ), MMU_FIXED);
	machine_destroy();
}

/* Large pages where all three agree on alignment and nothing is logged. */
static void large_pages(void)
{
	const u64 large = 2ul << 20;
	unsigned level;

	machine_create();
	level_given = 1;
	EXPECT_EQ(machine_slot(0, 0, 0, 2 * large, large), 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x3000, X86_READ), MMU_FIXED);
	EXPECT_EQ(machine_leaf(0x3000, &level), bus_of(large) | 0xe5);
	EXPECT_EQ(level, 2);
	EXPECT_EQ(mmu_fault(machine.v, 0x4000, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(machine_leaf(0x3000, &level), bus_of(large) | 0xe7);
	machine_flushed();

	/* Logging splits them: they go, and come back small. */
	EXPECT_EQ(machine_slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 2 * large, large), 0);
	EXPECT_EQ(machine_leaf(0x3000, &level), 0);
	EXPECT(machine_flushed());
	EXPECT_EQ(mmu_fault(machine.v, 0x3000, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(machine_leaf(0x3000, &level), bus_of(large + 0x3000) | 0x67);
	EXPECT_EQ(level, 1);
	EXPECT_EQ(machine_slot(0, 0, 0, 2 * large, large), 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x3000, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(machine_leaf(0x3000, &level), bus_of(large) | 0xe7);

	/* A page that is small now, in the place of a large one: out, flush, again. */
	level_given = 0;
	machine_flushed();
	EXPECT_EQ(mmu_fault(machine.v, 0x5000, X86_WRITE), MMU_RETRY);
	EXPECT(machine_flushed());
	EXPECT_EQ(mmu_fault(machine.v, 0x5000, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(machine_leaf(0x5000, &level), bus_of(large + 0x5000) | 0x67);
	/* and small ones stay small */
	level_given = 1;
	EXPECT_EQ(mmu_fault(machine.v, 0x6000, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(machine_leaf(0x6000, &level), bus_of(large + 0x6000) | 0x67);

	/* Not aligned alike, or not all in the slot. */
	EXPECT_EQ(machine_slot(1, 0, 3 * large, large, 0x1000), 0);
	EXPECT_EQ(mmu_fault(machine.v, 3 * large, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(machine_leaf(3 * large, &level), bus_of(0x1000) | 0x67);
	EXPECT_EQ(machine_slot(2, 0, 5 * large, large - 0x1000, 0), 0);
	EXPECT_EQ(mmu_fault(machine.v, 5 * large, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(machine_leaf(5 * large, &level), bus_of(0) | 0x67);
	level_given = 0;
	machine_destroy();
}

static void owner_changes(void)
{
	unsigned level;

	machine_create();
	EXPECT_EQ(machine_slot(0, 0, 0x100000, 0x10000, 0x4000), 0);
	for (u64 gpa = 0x100000; gpa < 0x110000; gpa += PAGE_BYTES)
		EXPECT_EQ(mmu_fault(machine.v, gpa, X86_WRITE), MMU_FIXED);
	machine_flushed();
	sim_invalidate(bus_of(0x6000), bus_of(0x7001));
	EXPECT(machine_flushed());
	EXPECT(machine_leaf(0x101000, &level));
	EXPECT_EQ(machine_leaf(0x102000, &level), 0);
	EXPECT_EQ(machine_leaf(0x103000, &level), 0);		/* a part of it is enough */
	EXPECT(machine_leaf(0x104000, &level));
	sim_invalidate(bus_of(0x14000), bus_of(0x15000));
	EXPECT(!machine_flushed());
	sim_invalidate(0, ~0ull);
	EXPECT_EQ(machine_leaf(0x101000, &level), 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x102000, X86_WRITE), MMU_FIXED);
	machine_destroy();
}

static void change_everything(void)
{
	sim_invalidate(bus_of(0), bus_of(0x1000));
}

static void begin_change(void)
{
	invalidate_begin(machine.vm, bus_of(0), bus_of(0x1000));
}

/* What a fault found before the owner's change it does not map after. */
static void fault_meets_change(void)
{
	unsigned level;

	machine_create();
	EXPECT_EQ(machine_slot(0, 0, 0, 0x10000, 0), 0);
	on_page_get = change_everything;
	EXPECT_EQ(mmu_fault(machine.v, 0, X86_WRITE), MMU_RETRY);
	EXPECT_EQ(machine_leaf(0, &level), 0);
	EXPECT_EQ(mmu_fault(machine.v, 0, X86_WRITE), MMU_FIXED);

	on_page_get = begin_change;
	EXPECT_EQ(mmu_fault(machine.v, 0, X86_WRITE), MMU_RETRY);
	EXPECT_EQ(mmu_fault(machine.v, 0, X86_WRITE), MMU_RETRY);
	invalidate_end(machine.vm, bus_of(0), bus_of(0x1000));
	EXPECT_EQ(mmu_fault(machine.v, 0, X86_WRITE), MMU_FIXED);
	machine_destroy();
}

static void zaps(void)
{
	const u64 span = 8ul << 20;
	unsigned level;
	u64 held;

	machine_create();
	EXPECT_EQ(machine_slot(0, 0, 0x7f00000000, span, 0), 0);
	EXPECT_EQ(mmu_fault(machine.v, 0x7f00000000, X86_WRITE), MMU_FIXED);
	held = machine.vm->mmu.pages;
	EXPECT_EQ(held, 5);		/* with the root of the other address space */
	for (u64 at = 0; at < span; at += PAGE_BYTES)
		EXPECT_EQ(mmu_fault(machine.v, 0x7f00000000 + at, X86_WRITE), MMU_FIXED);
	EXPECT_EQ(machine.vm->mmu.pages, held + 3);
	/* from the middle of the first table to the middle of the last */
	mmu_zap(machine.vm, 0x7f00100, 0x600);
	EXPECT_EQ(machine.vm->mmu.pages, held + 1);
	for (u64 at = 0; at < span; at += PAGE_BYTES) {
		bool zapped = at >= 0x100000 && at < 0x700000;

		if (!machine_leaf(0x7f00000000 + at, &level) != zapped)
			EXPECT_EQ(at, 0);
	}
	mmu_write_protect(machine.vm, 0x7f00000, 1);
	EXPECT_EQ(machine_leaf(0x7f00000000, &level) & 3, 1);
	EXPECT_EQ(machine_leaf(0x7f00001000, &level) & 3, 3);
	mmu_zap(machine.vm, 0, ~0ull >> 12);
	EXPECT_EQ(machine.vm->mmu.pages, 4);
	machine_flushed();
	mmu_zap(machine.vm, 0, 1ull << 36);
	EXPECT(!machine_flushed());
	machine_destroy();
}

/* --- the guest's own tables --- */

static u64 *guest_table(gpa_t gpa)
{
	return (u64 *)(machine.memory + gpa);
}

/* Linear 0x400000 is at gpa 0x8000, by four levels from 0x1000 on. */
static void guest_begin(u32 flags)
{
	machine_create();
	guest_table(0x1000)[0] = 0x2007;
	guest_table(0x2000)[0] = 0x3007;
	guest_table(0x3000)[2] = 0x4007;
	guest_table(0x4000)[0] = 0x8007;
	guest_table(0x4000)[1] = 0x9001;		/* supervisor, read-only */
	guest_table(0x4000)[2] = 0xfffff0000007;	/* no memory there */
	guest_table(0x3000)[3] = 0xffffff000007;	/* a table that is not in memory */
	EXPECT_EQ(machine_slot(0, flags, 0, 0x10000, 0), 0);
	machine.v->x.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
	machine.v->x.cr4 = X86_CR4_PAE;
	machine.v->x.efer = X86_EFER_LME | X86_EFER_LMA;
	machine.v->x.cr3 = 0x1000;
	machine.v->x.phys_bits = 48;
}

static void guest_walks(void)
{
	gpa_t gpa = 0;

	guest_begin(KVM_MEM_LOG_DIRTY_PAGES);
	EXPECT_EQ(mmu_guest_translate(machine.v, 0x400123, X86_READ, &gpa), X86_OK);
	EXPECT_EQ(gpa, 0x8123);
	EXPECT_EQ(guest_table(0x4000)[0], 0x8027);
	EXPECT_EQ(slot_find(machine.vm, 0)->dirty[0], 0x1e);	/* accessed bits are writes */
	EXPECT_EQ(mmu_guest_translate(machine.v, 0x400123, X86_WRITE | X86_USER, &gpa), X86_OK);
	EXPECT_EQ(guest_table(0x4000)[0], 0x8067);
	EXPECT_EQ(mmu_guest_translate(machine.v, 0x401000, X86_WRITE, &gpa), X86_FAULT);
	EXPECT_EQ(machine.v->x.fault.vector, X86_PF);
	EXPECT_EQ(machine.v->x.fault.error, X86_PF_P | X86_PF_W);
	EXPECT_EQ(machine.v->x.fault.address, 0x401000);
	EXPECT_EQ(mmu_guest_translate(machine.v, 0x402010, X86_READ, &gpa), X86_OK);
	EXPECT_EQ(gpa, 0xfffff0000010);
	EXPECT_EQ(mmu_guest_translate(machine.v, 0x600000, X86_READ, &gpa), X86_FAULT);
	EXPECT_EQ(machine.v->x.fault.error, 0);			/* what is not there is not present */
	machine.v->x.cr0 = 0;
	EXPECT_EQ(mmu_guest_translate(machine.v, 0x401000, X86_WRITE, &gpa), X86_OK);
	EXPECT_EQ(gpa, 0x401000);
	machine_destroy();
}

/* Tables in ROM, or in memory that the client cannot write, are walked but not written. */
static void guest_tables_readonly(void)
{
	gpa_t gpa = 0;

	guest_begin(KVM_MEM_READONLY);
	EXPECT_EQ(mmu_guest_translate(machine.v, 0x400123, X86_WRITE, &gpa), X86_OK);
	EXPECT_EQ(gpa, 0x8123);
	EXPECT_EQ(guest_table(0x4000)[0], 0x8007);
	machine_destroy();

	guest_begin(0);
	sim_memory_forget(machine.memory);
	sim_memory(machine.memory, MACHINE_BYTES, false);
	EXPECT_EQ(mmu_guest_translate(machine.v, 0x400123, X86_WRITE, &gpa), X86_OK);
	EXPECT_EQ(guest_table(0x4000)[0], 0x8007);
	sim_memory_forget(machine.memory);
	EXPECT_EQ(mmu_guest_translate(machine.v, 0x400123, X86_WRITE, &gpa), X86_FAULT);
	machine_destroy();
}

int main(void)
{
	TEST(faults);
	TEST(readonly);
	TEST(no_such_memory);
	TEST(out_of_tables);
	TEST(large_pages);
	TEST(owner_changes);
	TEST(fault_meets_change);
	TEST(zaps);
	TEST(guest_walks);
	TEST(guest_tables_readonly);
	return test_status();
}
