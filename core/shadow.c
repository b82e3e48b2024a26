// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shadow.c - shadow page tables
 *
 * Without nested paging the processor walks tables of ours, which translate the guest's
 * linear addresses to the bus.  They are a TLB, in the form of page tables: a page fault
 * walks the guest's tables, sets accessed and dirty bits there, and either is the guest's
 * own fault or becomes one entry here.  The guest's INVLPG and writes of control registers,
 * which are intercepted, take entries away.
 *
 * So nothing here describes the guest's tables, only translations that a processor could
 * have cached; whoever changes the guest's tables, by whatever way (another vCPU, a device,
 * the client), the guest sees what it would see on a processor: the old translation until
 * it flushes, never a mixture.  No table of the guest is write-protected or remembered.
 *
 * The tree always has four levels.  A guest in long mode is given its root.  All others,
 * paging or not, are given a PAE root, whose four entries are the first four tables of
 * level 2: guests of 32 bits, and identity maps for guests that do not page.  Pages are
 * 4 KiB, whatever the guest's are.
 *
 * An entry permits what the guest's entries together permit, but writing only if the dirty
 * bit is set there and the dirty log here, since both learn of writes by faults.  The
 * processor's CR0.WP and EFER.NXE are always set; a write that only a clear CR0.WP lets
 * pass is emulated.
 *
 * Invariants:
 *   1. Only entry_write() stores to a table.
 *   2. Each entry on the way to a leaf has the leaf's GLOBAL or LOCAL mark.
 *   3. With pae, legacy[] is the four tables of level 2, which exist.
 *   4. The root fits the mode: a change of CR0.PG or EFER.LMA requests REQ_TLB_FLUSH.
 *
 * Locking: v->lock; mmu->lock while a leaf is written, so that the owner's memory does not
 * change in between.
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Translation-Lookaside Buffer",
 * "Shadow Paging", "Paged Real Mode".
 * Not modelled: large pages; PCID, protection keys and five levels, which CPUID does not
 * offer then.
 */
#include "core/shadow.h"

#include <linux/errno.h>

#include "core/vm.h"

#define ENTRY_P		BIT_U64(0)
#define ENTRY_W		BIT_U64(1)
#define ENTRY_U		BIT_U64(2)
#define ENTRY_A		BIT_U64(5)
#define ENTRY_D		BIT_U64(6)
#define ENTRY_NX	BIT_U64(63)
#define ENTRY_ADDRESS	0x000ffffffffff000ull

/* Bits that processors ignore. */
#define ENTRY_PARTS	BIT_U64(9)	/* a table: some of the pages are parts of one that is larger than the table covers */
#define ENTRY_GLOBAL	BIT_U64(10)	/* a global page, or a table with some */
#define ENTRY_LOCAL	BIT_U64(11)	/* any other page, or a table with some */
#define TABLE_FLAGS	(ENTRY_P | ENTRY_W | ENTRY_U | ENTRY_A)

#define ENTRIES		512u
#define LEVELS		4u
#define LEGACY_ENTRIES	4u

/* --- entries and tables ----------------------------------------------------------- */

/* Linear address bits below those that choose an entry at a level. */
static unsigned level_shift(unsigned level)
{
	return PAGE_BITS + 9 * (level - 1);
}

static u64 *entry_at(u64 *table, u64 linear, unsigned level)
{
	return &table[linear >> level_shift(level) & (ENTRIES - 1)];
}

static u64 *entry_table(u64 entry)
{
	return host_from_bus(entry & ENTRY_ADDRESS);
}

/* The one place where a shadow table changes. */
static void entry_write(struct vcpu *v, u64 *entry, u64 new)
{
	u64 old = *entry;

	/* The guest has put another page here and not flushed: nobody may have both. */
	if ((old & ENTRY_P) && (new & ENTRY_P) && ((old ^ new) & ENTRY_ADDRESS))
		v->vm->be->tlb_flush(v);
	atomic_store_release(entry, new);
}

/* NULL: no memory, or enough of it is used. */
static u64 *table_take(struct shadow *s)
{
	u64 *table = s->spare;

	if (s->tables >= SHADOW_TABLES)
		return NULL;
	if (table) {
		s->spare = (u64 *)(uintptr_t)table[0];
		__builtin_memset(table, 0, PAGE_BYTES);
	} else {
		table = host_alloc_pages(0, HOST_ATOMIC);	/* mmu->lock: see mmu.c */
	}
	s->tables += table != NULL;
	return table;
}

static void table_give(struct shadow *s, u64 *table)
{
	table[0] = (u64)(uintptr_t)s->spare;
	s->spare = table;
	s->tables--;
}

static u64 *table_get(struct vcpu *v, u64 *entry, u64 flags)
{
	if (!(*entry & ENTRY_P)) {
		u64 *table = table_take(&v->shadow);

		if (!table)
			return NULL;
		entry_write(v, entry, host_bus_address(table) | TABLE_FLAGS | flags);
	} else if (flags & ~*entry) {
		entry_write(v, entry, *entry | flags);
	}
	return entry_table(*entry);
}

/* --- dropping ------------------------------------------------------------------------ */

/* An entry and all below.  (As deep as there are levels.) */
static void entry_drop(struct vcpu *v, u64 *entry, unsigned level)
{
	u64 *table = level > 1 && (*entry & ENTRY_P) ? entry_table(*entry) : NULL;

	entry_write(v, entry, 0);
	if (!table)
		return;
	for (unsigned n = 0; level > 2 && n < ENTRIES; n++)
		if (table[n] & ENTRY_P)
			entry_drop(v, &table[n], level - 1);
	table_give(&v->shadow, table);
}

/* The pages below that are not global. */
static void entry_drop_local(struct vcpu *v, u64 *entry, unsigned level)
{
	u64 *table;

	if (!(*entry & ENTRY_LOCAL))
		return;
	if (!(*entry & ENTRY_GLOBAL)) {
		entry_drop(v, entry, level);
		return;
	}
	table = entry_table(*entry);
	for (unsigned n = 0; n < ENTRIES; n++)
		entry_drop_local(v, &table[n], level - 1);
	entry_write(v, entry, *entry & ~ENTRY_LOCAL);
}

/* One page; if it may be part of a larger one, all its parts. */
static void page_drop(struct vcpu *v, u64 linear)
{
	u64 *table = v->shadow.root;

	for (unsigned level = LEVELS; ; level--) {
		u64 *entry = entry_at(table, linear, level);

		if (!(*entry & ENTRY_P))
			return;
		if (level == 1 || (*entry & ENTRY_PARTS)) {
			entry_drop(v, entry, level);
			return;
		}
		table = entry_table(*entry);
	}
}

static void all_drop(struct vcpu *v)
{
	for (unsigned n = 0; n < ENTRIES; n++)
		if (v->shadow.root[n] & ENTRY_P)
			entry_drop(v, &v->shadow.root[n], LEVELS);
}

/* --- roots ----------------------------------------------------------------------------- */

/* PAE's four entries are read when CR3 is loaded, so they never change under it. */
static int legacy_fill(struct vcpu *v)
{
	u64 *third = table_get(v, &v->shadow.root[0], 0);

	for (unsigned n = 0; third && n < LEGACY_ENTRIES; n++) {
		if (!table_get(v, &third[n], 0))
			return -ENOMEM;
		v->shadow.legacy[n] = (third[n] & ENTRY_ADDRESS) | ENTRY_P;
	}
	return third ? 0 : -ENOMEM;
}

static int root_set(struct vcpu *v)
{
	struct shadow *s = &v->shadow;

	vcpu_regs_need(v, REGS_CR);
	s->pae = !(v->x.cr0 & X86_CR0_PG) || !(v->x.efer & X86_EFER_LMA);
	if (s->pae && legacy_fill(v))
		return -ENOMEM;
	v->vm->be->mmu_root_set(v, host_bus_address(s->pae ? s->legacy : s->root), s->pae ? 3 : 4);
	return 0;
}

int shadow_reset(struct vcpu *v)
{
	all_drop(v);
	v->vm->be->tlb_flush(v);
	return v->vm->mmu.shadow ? root_set(v) : 0;
}

void shadow_flush(struct vcpu *v, enum x86_flush kind, u64 linear)
{
	switch (kind) {
	case X86_FLUSH_PAGE:
		page_drop(v, linear);
		if (!(v->x.cr4 & X86_CR4_PAE))		/* half of a page of 4 MiB, maybe */
			page_drop(v, linear ^ BIT_U64(21));
		v->vm->be->tlb_flush(v);
		return;
	case X86_FLUSH_LOCAL:
		for (unsigned n = 0; n < ENTRIES; n++)
			entry_drop_local(v, &v->shadow.root[n], LEVELS);
		v->vm->be->tlb_flush(v);
		if (!v->shadow.pae || !root_set(v))
			return;
		break;
	case X86_FLUSH_ALL:
	case X86_FLUSH_KEYS:		/* which are not offered without nested paging */
		break;
	}
	vcpu_request(v, REQ_TLB_FLUSH);		/* and the mode may have changed */
}

/* --- faults ------------------------------------------------------------------------------ */

/* The entry for linear if it exists, else NULL. */
static const u64 *leaf_find(const struct shadow *s, u64 linear)
{
	u64 *table = s->root;

	for (unsigned level = LEVELS; level > 1; level--) {
		u64 entry = *entry_at(table, linear, level);

		if (!(entry & ENTRY_P))
			return NULL;
		table = entry_table(entry);
	}
	return entry_at(table, linear, 1);
}

/* NULL: no table for it. */
static u64 *leaf_get(struct vcpu *v, u64 linear, const struct x86_translation *t)
{
	u64 *table = v->shadow.root, mark = t->global ? ENTRY_GLOBAL : ENTRY_LOCAL;

	for (unsigned level = LEVELS; level > 1; level--) {
		u64 flags = mark | (level_shift(level) <= t->page_bits ? ENTRY_PARTS : 0);

		table = table_get(v, entry_at(table, linear, level), flags);
		if (!table)
			return NULL;
	}
	return entry_at(table, linear, 1);
}

/*
 * The error code does not tell which supervisor accesses were implicit (to a descriptor
 * table, say): all are that come from user code; and one is, for which SMAP was suspended
 * by RFLAGS.AC, if it failed at a user page that an explicit access could have had.
 */
static unsigned access_of(struct vcpu *v, u64 linear, u32 error)
{
	unsigned access = error & X86_PF_I ? X86_FETCH : error & X86_PF_W ? X86_WRITE : X86_READ;
	const u64 *leaf;

	if (error & X86_PF_U)
		return access | X86_USER;
	if (v->x.cpl == 3)
		return access | X86_IMPLICIT;
	if (!(error & X86_PF_P) || !(v->x.cr4 & X86_CR4_SMAP) || !(v->x.rflags & X86_FLAG_AC))
		return access;
	leaf = leaf_find(&v->shadow, linear);
	if (leaf && (*leaf & ENTRY_U) && (*leaf & ENTRY_P) && (!(error & X86_PF_W) || (*leaf & ENTRY_W)))
		access |= X86_IMPLICIT;
	return access;
}

/* mmu->lock held: the page may be mapped. */
static void leaf_set(struct vcpu *v, u64 *leaf, const struct x86_translation *t, const struct mmu_page *p)
{
	u64 entry = (p->page.pa & ENTRY_ADDRESS) | ENTRY_P | ENTRY_A | ENTRY_D;

	if (p->writable && t->writable && t->dirty)
		entry |= ENTRY_W;
	if (t->user)
		entry |= ENTRY_U;
	if (!t->executable)
		entry |= ENTRY_NX;
	entry_write(v, leaf, entry | (t->global ? ENTRY_GLOBAL : ENTRY_LOCAL));
}

static u64 *leaf_get_or_recycle(struct vcpu *v, u64 linear, const struct x86_translation *t)
{
	u64 *leaf = leaf_get(v, linear, t);

	if (leaf)
		return leaf;
	VCPU_COUNT(v, mmu_recycled);
	return shadow_reset(v) ? NULL : leaf_get(v, linear, t);
}

/* Let address, which the guest translates to t, lead to the client's page. */
static enum mmu_fault leaf_fill(struct vcpu *v, u64 address, const struct x86_translation *t, unsigned access)
{
	u64 *leaf = leaf_get_or_recycle(v, address, t);
	enum mmu_fault result;
	struct mmu_page p;

	if (!leaf)
		return MMU_BAD;
	result = mmu_page_begin(v, t->pa, access & X86_WRITE, &p);
	if (result != MMU_FIXED)
		return result;
	leaf_set(v, leaf, t, &p);
	mmu_page_end(v->vm, &p, true);
	return MMU_FIXED;
}

enum mmu_fault shadow_fault(struct vcpu *v, u64 linear, u32 error, gpa_t *gpa)
{
	struct x86_translation t;
	enum mmu_fault result;
	unsigned access;

	vcpu_regs_need(v, REGS_GPR | REGS_SEG | REGS_CR);
	access = access_of(v, linear, error);
	if (mmu_guest_walk(v, linear, access, &t) != X86_OK) {
		VCPU_COUNT(v, pf_guest);
		event_page_fault(v, v->x.fault.address, v->x.fault.error);
		return MMU_GUEST;
	}
	*gpa = t.pa;
	if ((access & X86_WRITE) && !t.writable)
		return MMU_WRITE_ANYWAY;
	result = leaf_fill(v, linear, &t, access);
	if (result == MMU_FIXED)
		VCPU_COUNT(v, pf_fixed);
	return result;
}

/* --- L2 -------------------------------------------------------------------------------------- */

int shadow_nested_create(struct vcpu *v)
{
	struct mmu *mmu = &v->vm->mmu;

	if (v->shadow.root)
		return 0;
	v->shadow.root = host_alloc_pages(0, 0);
	if (!v->shadow.root)
		return -ENOMEM;
	host_mutex_lock(&mmu->lock);
	mmu->nested = true;		/* before there is any entry */
	host_mutex_unlock(&mmu->lock);
	return 0;
}

enum mmu_fault shadow_nested_fault(struct vcpu *v, gpa_t gpa, unsigned access, gpa_t *l1)
{
	struct x86_translation t;

	if (nested_translate(v, gpa, access, &t) != X86_OK)
		return MMU_GUEST;
	*l1 = t.pa;
	return leaf_fill(v, gpa, &t, access);
}

/* --- beginning and end ----------------------------------------------------------------------- */

int shadow_create(struct vcpu *v)
{
	struct shadow *s = &v->shadow;

	s->root = host_alloc_pages(0, 0);
	s->legacy = host_alloc_pages(0, HOST_LOW);
	if (s->root && s->legacy)
		return 0;
	shadow_destroy(v);
	return -ENOMEM;
}

void shadow_destroy(struct vcpu *v)
{
	struct shadow *s = &v->shadow;

	if (!s->root && !s->legacy)
		return;
	if (s->root)
		all_drop(v);
	while (s->spare) {
		u64 *table = s->spare;

		s->spare = (u64 *)(uintptr_t)table[0];
		host_free_pages(table, 0);
	}
	host_free_pages(s->root, 0);
	host_free_pages(s->legacy, 0);
	*s = (struct shadow){ 0 };
}
