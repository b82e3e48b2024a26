// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_shadow.c - a guest over shadow tables sees what its own tables say
 *
 * The processor is played: it has a TLB, walks the shadow tables that the back end was
 * given, and reports page faults as the hypervisor gets them.  The reference is the same
 * walk over a copy of the guest's tables: it must come to the same address or fault, and
 * leave the same accessed and dirty bits.
 *
 * The simulated host calls a page writable only if that was asked; here its answers pass
 * through a function that always does, so this file has an mmu.c of its own.
 */
#include "host/host.h"

static int page_get(u64 address, bool write, struct host_page *page);
#define host_page_get page_get
#include "core/mmu.c"
#undef host_page_get

#include "tests/core/machine.h"

#define TABLES		0x100000ul	/* the guest's tables */
#define TABLE_COUNT	24u
#define TABLE_BYTES	(TABLE_COUNT * PAGE_BYTES)
#define PLACES		48u		/* linear addresses that a random guest uses */

static struct {
	struct backend be;
	hpa_t root;			/* as the back end was last given it */
	unsigned levels;
	unsigned flushes;
	struct { u64 page; unsigned kind; hpa_t pa; } tlb[256];
	unsigned tlb_used;
	u64 copy[TABLE_BYTES / 8];	/* the reference's tables */
	u64 seed;
	bool emulated;			/* the last access was left to the emulator */
} p;

static u64 random_below(u64 n)
{
	p.seed ^= p.seed << 13;
	p.seed ^= p.seed >> 7;
	p.seed ^= p.seed << 17;
	return p.seed % n;
}

static int page_get(u64 address, bool write, struct host_page *page)
{
	int r = host_page_get(address, write, page);

	page->writable = !r;
	return r;
}

/* --- the processor -------------------------------------------------------------- */

static void root_given(struct vcpu *v, hpa_t root, unsigned levels)
{
	(void)v;
	p.root = root;
	p.levels = levels;
}

static void tlb_flushed(struct vcpu *v)
{
	(void)v;
	p.tlb_used = 0;
	p.flushes++;
}

static void begin(void)
{
	core_use_nested(false);
	machine_create();
	core_use_nested(true);
	memset(&p, 0, sizeof(p));
	p.seed = 88172645463325252ull;
	p.be = fake_backend;
	p.be.mmu_root_set = root_given;
	p.be.tlb_flush = tlb_flushed;
	machine.vm->be = &p.be;
	machine.v->x.phys_bits = 40;
	memset(machine.v->x.features, 0xff, sizeof(machine.v->x.features));
	vcpu_request(machine.v, REQ_TLB_FLUSH);
	EXPECT_EQ(machine_slot(0, 0, 0, MACHINE_BYTES, 0), 0);
}

static enum x86_result shadow_entry(void *arg, gpa_t at, bool write, void **host)
{
	(void)arg;
	EXPECT(!write);		/* a processor need not set bits in shadow tables */
	*host = host_from_bus(at);
	return X86_OK;
}

/* What run.c does before an entry. */
static void enter(void)
{
	if (vcpu_request_take(machine.v, REQ_TLB_FLUSH)) {
		tlb_flushed(machine.v);
		EXPECT_EQ(shadow_reset(machine.v), 0);
	}
}

/* One attempt at an access: a bus address, or false and the error code. */
static bool attempt(u64 linear, unsigned access, hpa_t *pa, u32 *error)
{
	static const struct x86_walk_port port = { .entry = shadow_entry };
	const struct x86 *x = &machine.v->x;
	bool paging = x->cr0 & X86_CR0_PG;
	struct x86_paging how = {
		.root = p.root, .levels = (u8)p.levels, .phys_bits = 52, .nxe = true, .wp = true,
		.smep = paging && (x->cr4 & X86_CR4_SMEP), .smap = paging && (x->cr4 & X86_CR4_SMAP),
		.gb_pages = true, .ac = x->rflags & X86_FLAG_AC,
	};
	struct x86_translation t;
	struct x86_fault fault;
	u64 page = linear & ~(PAGE_BYTES - 1);
	unsigned kind = access | (how.ac ? 0x100 : 0);

	EXPECT_EQ(p.levels, paging && (x->efer & X86_EFER_LMA) ? 4 : 3);
	for (unsigned n = 0; n < p.tlb_used; n++) {
		if (p.tlb[n].page == page && p.tlb[n].kind == kind) {
			*pa = p.tlb[n].pa | (linear - page);
			return true;
		}
	}
	if (x86_walk(&how, &port, linear, access, &t, &fault) != X86_OK) {
		EXPECT(!(fault.error & X86_PF_RSVD));
		*error = fault.error;
		for (unsigned n = 0; n < p.tlb_used; n++)	/* a fault drops the page */
			if (p.tlb[n].page == page)
				p.tlb[n].page = 1;
		return false;
	}
	*pa = t.pa;
	if (p.tlb_used == ARRAY_LEN(p.tlb))
		p.tlb_used = 0;
	p.tlb[p.tlb_used].page = page;
	p.tlb[p.tlb_used].kind = kind;
	p.tlb[p.tlb_used++].pa = t.pa & ~(PAGE_BYTES - 1);
	return true;
}

/* The guest accesses linear: X86_OK and a guest-physical address, X86_FAULT and the fault. */
static enum x86_result access_memory(u64 linear, unsigned access, gpa_t *gpa)
{
	hpa_t pa;
	u32 error;

	machine.v->x.cpl = access & X86_USER ? 3 : machine.v->x.cpl == 3 && (access & X86_IMPLICIT) ? 3 : 0;
	p.emulated = false;
	for (unsigned tries = 0; tries < 8; tries++) {
		enter();
		if (attempt(linear, access, &pa, &error)) {
			*gpa = pa - (hpa_t)(uintptr_t)machine.memory;
			return X86_OK;
		}
		switch (shadow_fault(machine.v, linear, error, gpa)) {
		case MMU_FIXED:
		case MMU_RETRY:
			break;
		case MMU_GUEST:
			EXPECT(machine.v->events.exception.pending);
			EXPECT_EQ(machine.v->events.exception.vector, X86_PF);
			EXPECT_EQ(machine.v->events.exception.error, machine.v->x.fault.error);
			EXPECT_EQ(machine.v->x.cr2, linear);
			machine.v->events.exception.pending = false;
			return X86_FAULT;
		case MMU_DEVICE: case MMU_READONLY: case MMU_WRITE_ANYWAY:
			p.emulated = true;
			return X86_OK;
		case MMU_BAD:
			return X86_UNIMPLEMENTED;
		}
	}
	EXPECT(!"an access that never ends");
	return X86_EXIT;
}

/* --- the reference -------------------------------------------------------------- */

static u64 nothing;

static enum x86_result copy_entry(void *arg, gpa_t gpa, bool write, void **host)
{
	(void)arg;
	(void)write;
	nothing = 0;
	*host = &nothing;
	if (gpa >= TABLES && gpa < TABLES + TABLE_BYTES)
		*host = (u8 *)p.copy + (gpa - TABLES);
	return X86_OK;
}

static void copy_tables(void)
{
	memcpy(p.copy, machine.memory + TABLES, TABLE_BYTES);
}

static void check_access(u64 linear, unsigned access)
{
	static const struct x86_walk_port port = { .entry = copy_entry };
	struct x86_paging how;
	struct x86_translation t;
	struct x86_fault fault = { 0 };
	enum x86_result expected, r;
	gpa_t gpa = ~0ull;

	x86_paging_of(&machine.v->x, &how);
	copy_tables();
	expected = x86_walk(&how, &port, linear, access, &t, &fault);
	r = access_memory(linear, access, &gpa);
	if (p.emulated && (access & X86_IMPLICIT))	/* which looks at SMAP for itself */
		return;
	EXPECT_EQ(r, expected);
	if (r == X86_OK && expected == X86_OK)
		EXPECT_EQ(gpa, t.pa);
	else if (r == expected)
		EXPECT_EQ(machine.v->x.fault.error, fault.error);
	/* Which accesses of a supervisor are implicit is learnt from a second fault; the first set bits. */
	if (!(access & X86_IMPLICIT) || machine.v->x.cpl == 3)
		EXPECT(!memcmp(p.copy, machine.memory + TABLES, TABLE_BYTES));
}

/* --- guests --------------------------------------------------------------------- */

static u64 *table(unsigned n)
{
	return (u64 *)(machine.memory + TABLES + n * PAGE_BYTES);
}

static gpa_t table_gpa(unsigned n)
{
	return TABLES + n * PAGE_BYTES;
}

/* 64-bit code, tables 0 to 3 lead to linear 0 and on. */
static void long_mode(u64 cr4)
{
	struct x86 *x = &machine.v->x;

	x->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
	x->cr4 = X86_CR4_PAE | cr4;
	x->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	x->cr3 = table_gpa(0);
	table(0)[0] = table_gpa(1) | 7;
	table(1)[0] = table_gpa(2) | 7;
	table(2)[0] = table_gpa(3) | 7;
	shadow_flush(machine.v, X86_FLUSH_ALL, 0);
}

enum format { OFF, LEGACY, PAE, LONG, FORMATS };

static void mode_choose(enum format format)
{
	struct x86 *x = &machine.v->x;

	x->cr0 = X86_CR0_PE | (format != OFF ? X86_CR0_PG : 0) | (random_below(4) ? X86_CR0_WP : 0);
	x->cr4 = format >= PAE ? X86_CR4_PAE : 0;
	x->cr4 |= (random_below(3) ? X86_CR4_PSE : 0) | (random_below(3) ? X86_CR4_PGE : 0);
	x->cr4 |= (random_below(2) ? X86_CR4_SMEP : 0) | (random_below(2) ? X86_CR4_SMAP : 0);
	x->efer = (format == LONG ? X86_EFER_LME | X86_EFER_LMA : 0) | (random_below(3) ? X86_EFER_NXE : 0);
	x->cr3 = table_gpa(0);
	shadow_flush(machine.v, X86_FLUSH_ALL, 0);
}

/* PAE's root serves as no other table: an accessed bit set in it would be a reserved one. */
static unsigned random_table(enum format format)
{
	return format == PAE ? 1 + (unsigned)random_below(TABLE_COUNT - 1) : (unsigned)random_below(TABLE_COUNT);
}

/* Mostly what makes sense; sometimes anything. */
static u64 random_entry(enum format format)
{
	u64 entry = random_below(8) ? 7 : random_below(8);

	if (!random_below(3))
		entry = (entry & ~6ull) | random_below(4) << 1;
	entry |= random_below(3) ? table_gpa(random_table(format)) : random_below(0x2000) << 12;
	entry |= random_below(64) << 3 & ~0x80ull & 0x1f8;
	if (!random_below(6))
		entry = (entry & ~0x3fe000ull) | 0x80;		/* a large page */
	if (format >= PAE && !random_below(8))
		entry |= BIT_U64(63);
	if (format >= PAE && !random_below(40))
		entry |= BIT_U64(40 + random_below(23));
	return entry;
}

static void entry_change(enum format format)
{
	u64 *at = &table((unsigned)random_below(TABLE_COUNT))[random_below(4)];

	/* In PAE's root most flags are reserved. */
	if (format == PAE && at < table(1) && random_below(10)) {
		*at = table_gpa(random_table(format)) | 1;
		return;
	}
	if (format == LEGACY)
		((u32 *)at)[random_below(2)] = (u32)random_entry(format);
	else
		*at = random_entry(format);
}

static u64 random_place(enum format format)
{
	u64 linear = random_below(4) << 12 | random_below(4) << 21 | random_below(PAGE_BYTES);

	if (format == LEGACY)
		linear = random_below(4) << 12 | random_below(4) << 22 | random_below(2) << 21 | random_below(PAGE_BYTES);
	if (format >= PAE)
		linear |= random_below(4) << 30;
	if (format == LONG)
		linear |= random_below(2) << 39;
	return linear;
}

static void places_flush(const u64 place[PLACES])
{
	for (unsigned n = 0; n < PLACES; n++)
		shadow_flush(machine.v, X86_FLUSH_PAGE, place[n]);
}

static void guest_random(enum format format)
{
	static const unsigned kinds[] = {
		X86_READ, X86_WRITE, X86_FETCH, X86_READ | X86_USER, X86_WRITE | X86_USER, X86_FETCH | X86_USER,
		X86_READ | X86_IMPLICIT, X86_WRITE | X86_IMPLICIT,
	};
	struct x86 *x = &machine.v->x;
	u64 place[PLACES];

	memset(machine.memory + TABLES, 0, TABLE_BYTES);
	for (unsigned n = 0; n < PLACES; n++)
		place[n] = random_place(format);
	for (unsigned n = 0; n < 300; n++)
		entry_change(format);
	mode_choose(format);
	for (unsigned n = 0; n < 1500; n++) {
		switch (random_below(24)) {
		case 0: case 1:		/* by whomever */
			for (u64 many = random_below(8) + 1; many; many--)
				entry_change(format);
			if (random_below(2))
				places_flush(place);
			else
				shadow_flush(machine.v, x->cr4 & X86_CR4_PGE ? X86_FLUSH_ALL : X86_FLUSH_LOCAL, 0);
			break;
		case 2:
			mode_choose(format);
			break;
		case 3:
			shadow_flush(machine.v, X86_FLUSH_LOCAL, 0);
			break;
		case 4:
			sim_invalidate((u64)(uintptr_t)machine.memory, (u64)(uintptr_t)machine.memory + 0x10000);
			break;
		case 5:
			x->rflags ^= X86_FLAG_AC;	/* no flush: SMAP is the processor's to check */
			break;
		default:
			x->cpl = random_below(2) ? 3 : 0;
			check_access(place[random_below(PLACES)], kinds[random_below(ARRAY_LEN(kinds))]);
		}
	}
}

static void random_guests(void)
{
	u64 before = sim_allocations();

	begin();
	for (unsigned round = 0; round < 60; round++) {
		int failures = test_failures;

		guest_random((enum format)(round % FORMATS));
		if (test_failures != failures) {
			fprintf(stderr, "in round %u\n", round);
			break;
		}
	}
	EXPECT(machine.v->stat[VCPU_STAT_pf_fixed] > 1000 && machine.v->stat[VCPU_STAT_pf_guest] > 1000);
	machine_destroy();
	EXPECT_EQ(sim_allocations(), before);
}

/* --- one thing at a time ----------------------------------------------------------- */

static gpa_t read_at(u64 linear)
{
	gpa_t gpa = ~0ull;

	return access_memory(linear, X86_READ, &gpa) == X86_OK ? gpa : ~0ull;
}

static void identity_without_paging(void)
{
	gpa_t gpa;

	begin();
	machine.v->x.cr0 = 0;
	machine.v->x.cr4 = X86_CR4_SMEP | X86_CR4_SMAP;		/* mean nothing yet */
	EXPECT_EQ(read_at(0x12345), 0x12345);
	EXPECT_EQ(access_memory(0x12345, X86_WRITE, &gpa), X86_OK);
	EXPECT_EQ(access_memory(0xfee00020, X86_WRITE, &gpa), X86_OK);
	EXPECT_EQ(gpa, 0xfee00020);
	EXPECT(p.root >> 12 && p.levels == 3);
	/* The four entries under a PAE root are always there: a processor reads them only once. */
	for (unsigned n = 0; n < 4; n++)
		EXPECT(((u64 *)host_from_bus(p.root))[n] & 1);
	machine_destroy();
}

/* Nobody told the guest's processor of the change but the guest, by INVLPG. */
static void tables_written_by_others(void)
{
	begin();
	long_mode(0);
	table(3)[5] = 0x8007;
	EXPECT_EQ(read_at(0x5010), 0x8010);
	EXPECT_EQ(table(3)[5], 0x8027);
	table(3)[5] = 0x9007;
	EXPECT_EQ(read_at(0x5010), 0x8010);		/* as in a TLB */
	shadow_flush(machine.v, X86_FLUSH_PAGE, 0x5fff);
	EXPECT_EQ(read_at(0x5010), 0x9010);
	table(3)[5] = 0;
	shadow_flush(machine.v, X86_FLUSH_LOCAL, 0);
	EXPECT_EQ(read_at(0x5010), ~0ull);
	/* What was absent needs no flush. */
	table(3)[5] = 0xa007;
	EXPECT_EQ(read_at(0x5010), 0xa010);
	/* Another page for writing while the old one is known for reading. */
	table(3)[6] = 0x8005;
	EXPECT_EQ(read_at(0x6000), 0x8000);
	table(3)[6] = 0xb007;
	check_access(0x6000, X86_WRITE | X86_USER);
	EXPECT_EQ(read_at(0x6000), 0xb000);
	machine_destroy();
}

static void large_pages_go_whole(void)
{
	begin();
	long_mode(0);
	table(2)[1] = 0x200087;		/* 2 MiB at 2 MiB */
	table(1)[1] = 0x87;		/* 1 GiB at 1 GiB */
	EXPECT_EQ(read_at(0x212345), 0x212345);
	EXPECT_EQ(read_at(0x3ff000), 0x3ff000);
	EXPECT_EQ(read_at(0x40001000), 0x1000);
	EXPECT_EQ(read_at(0x40a01000), 0xa01000);
	table(2)[1] = 0x400087;
	shadow_flush(machine.v, X86_FLUSH_PAGE, 0x200000);
	EXPECT_EQ(read_at(0x212345), 0x412345);
	EXPECT_EQ(read_at(0x3ff000), 0x5ff000);
	table(1)[1] = 0;
	shadow_flush(machine.v, X86_FLUSH_PAGE, 0x50000000);
	EXPECT_EQ(read_at(0x40001000), ~0ull);
	EXPECT_EQ(read_at(0x40a01000), ~0ull);
	machine_destroy();
}

static void large_pages_of_4_mib(void)
{
	u32 *directory;

	begin();
	directory = (u32 *)table(0);
	machine.v->x.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
	machine.v->x.cr4 = X86_CR4_PSE;
	machine.v->x.cr3 = table_gpa(0);
	directory[1] = 0x400087;
	EXPECT_EQ(read_at(0x401000), 0x401000);
	EXPECT_EQ(read_at(0x7ff000), 0x7ff000);
	directory[1] = 0x800087;
	shadow_flush(machine.v, X86_FLUSH_PAGE, 0x401000);
	EXPECT_EQ(read_at(0x7ff000), 0xbff000);
	EXPECT_EQ(read_at(0x401000), 0x801000);
	machine_destroy();
}

static void global_pages_stay(void)
{
	u64 faults;

	begin();
	long_mode(X86_CR4_PGE);
	table(3)[1] = 0x8107;		/* global */
	table(3)[2] = 0x9007;
	EXPECT_EQ(read_at(0x1000), 0x8000);
	EXPECT_EQ(read_at(0x2000), 0x9000);
	table(3)[2] = 0xa007;
	faults = machine.v->stat[VCPU_STAT_pf_fixed];
	shadow_flush(machine.v, X86_FLUSH_LOCAL, 0);
	EXPECT_EQ(read_at(0x1000), 0x8000);
	EXPECT_EQ(machine.v->stat[VCPU_STAT_pf_fixed], faults);
	EXPECT_EQ(read_at(0x2000), 0xa000);
	EXPECT_EQ(machine.v->stat[VCPU_STAT_pf_fixed], faults + 1);
	table(3)[1] = 0xb107;
	shadow_flush(machine.v, X86_FLUSH_PAGE, 0x1000);
	EXPECT_EQ(read_at(0x1000), 0xb000);
	machine_destroy();
}

/* CR0.WP clear: a supervisor's write to a read-only page is the emulator's. */
static void writes_anyway(void)
{
	gpa_t gpa = 0;
	u32 error;
	hpa_t pa;

	begin();
	long_mode(X86_CR4_SMEP);
	machine.v->x.cr0 &= ~X86_CR0_WP;
	table(3)[1] = 0x8005;
	enter();
	EXPECT(!attempt(0x1000, X86_WRITE, &pa, &error));
	EXPECT_EQ(shadow_fault(machine.v, 0x1000, error, &gpa), MMU_WRITE_ANYWAY);
	EXPECT_EQ(table(3)[1], 0x8065);
	EXPECT_EQ(access_memory(0x1000, X86_WRITE | X86_USER, &gpa), X86_FAULT);
	EXPECT_EQ(machine.v->x.fault.error, X86_PF_P | X86_PF_W | X86_PF_U);
	EXPECT_EQ(access_memory(0x1000, X86_FETCH, &gpa), X86_FAULT);	/* SMEP as ever */
	machine_destroy();
}

static void dirty_log(void)
{
	u64 *log;
	gpa_t gpa;

	begin();
	EXPECT_EQ(machine_slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0, MACHINE_BYTES, 0), 0);
	log = slot_find(machine.vm, 0)->dirty;
	long_mode(0);
	table(3)[1] = 0x8067;		/* the guest has written it before, we do not know */
	EXPECT_EQ(read_at(0x1000), 0x8000);
	EXPECT(!(log[0] & BIT_U64(8)));
	EXPECT_EQ(access_memory(0x1000, X86_WRITE, &gpa), X86_OK);
	EXPECT(log[0] & BIT_U64(8));
	EXPECT(log[TABLES / PAGE_BYTES / 64] & 1);	/* accessed bits */
	/* Cleared: the next write is noticed again. */
	log[0] = 0;
	EXPECT(mmu_protect_mask(machine.vm, 0, BIT_U64(8)));
	mmu_flush(machine.vm);
	EXPECT_EQ(access_memory(0x1000, X86_WRITE, &gpa), X86_OK);
	EXPECT_EQ(log[0], BIT_U64(8));
	machine_destroy();
}

static void memory_goes_away(void)
{
	gpa_t gpa;

	begin();
	long_mode(0);
	table(3)[1] = 0x8007;
	table(3)[2] = 0xff0000007;
	EXPECT_EQ(read_at(0x1000), 0x8000);
	EXPECT_EQ(machine_slot(0, 0, 0, 0, 0), 0);
	EXPECT_EQ(read_at(0x1000), ~0ull);		/* nor are the tables there */
	EXPECT_EQ(machine_slot(0, 0, 0, MACHINE_BYTES, 0), 0);
	EXPECT_EQ(read_at(0x1000), 0x8000);
	EXPECT_EQ(read_at(0x2000), 0xff0000000);	/* a device's */
	EXPECT_EQ(machine_slot(1, KVM_MEM_READONLY, 0xff0000000, 0x1000, 0x4000), 0);
	EXPECT_EQ(read_at(0x2000), 0x4000);
	enter();
	EXPECT_EQ(shadow_fault(machine.v, 0x2000, X86_PF_P | X86_PF_W, &gpa), MMU_READONLY);
	EXPECT_EQ(gpa, 0xff0000000);
	sim_memory_forget(machine.memory);
	sim_invalidate(0, ~0ull);
	EXPECT_EQ(access_memory(0x1000, X86_READ, &gpa), X86_FAULT);
	machine_destroy();
}

static void tables_are_limited(void)
{
	begin();
	long_mode(0);
	for (unsigned n = 0; n < 512; n++) {
		table(1)[n] = table_gpa(2) | 7;
		table(2)[n] = table_gpa(3) | 7;
	}
	table(3)[0] = 0x8007;
	for (u64 n = 0; n < 2 * SHADOW_TABLES; n++)
		EXPECT_EQ(read_at(n << 21), 0x8000);
	EXPECT(machine.v->shadow.tables <= SHADOW_TABLES);
	EXPECT(machine.v->stat[VCPU_STAT_mmu_recycled] >= 2);
	machine_destroy();
}

static void out_of_memory(void)
{
	u64 before = sim_allocations();
	gpa_t gpa;

	for (u64 n = 1; n < 12; n++) {
		begin();
		long_mode(0);
		table(3)[1] = 0x8007;
		enter();
		sim_fail_alloc(n);
		if (access_memory(0x1000, X86_READ, &gpa) != X86_OK)
			EXPECT_EQ(read_at(0x1000), 0x8000);	/* the next attempt has memory */
		sim_fail_alloc(0);
		machine_destroy();
	}
	EXPECT_EQ(sim_allocations(), before);
}

int main(void)
{
	TEST(identity_without_paging);
	TEST(tables_written_by_others);
	TEST(large_pages_go_whole);
	TEST(large_pages_of_4_mib);
	TEST(global_pages_stay);
	TEST(writes_anyway);
	TEST(dirty_log);
	TEST(memory_goes_away);
	TEST(tables_are_limited);
	TEST(out_of_memory);
	TEST(random_guests);
	return test_status();
}
