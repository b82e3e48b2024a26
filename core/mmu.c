// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mmu.c - the nested page table and the guest's own
 *
 * The nested page table is a cache: it can always be rebuilt from the slots and from the
 * owner's memory, so whatever changes either of those only takes entries away.  A fault
 * puts one entry back.
 *
 * The owner's pages are referenced only while an entry for them is being made.  What keeps
 * an entry right afterwards is the owner's space telling us before it changes
 * (invalidate_begin): a fault that began before such a change notices the sequence number
 * under the lock, drops what it found and is tried again.
 *
 * Table pages are freed after every processor has left the guest and flushed, since a
 * processor may be in the middle of a walk.
 *
 * Invariants:
 *   1. Only entry_write() stores to a table.  A present entry never becomes another
 *      present one with a different address: it is cleared and flushed between.
 *   2. A logging slot has no large entries, and a writable one only where its dirty bit
 *      is set.
 *   3. A page of a read-only slot is never writable.
 *
 * Locking: vm->srcu or vm->lock, then mmu->lock.  Flushing waits without mmu->lock.
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Nested Paging".
 * Not modelled: accessed bits (entries are made with A and D set, so that processors never
 * write to the table); 1 GiB pages.
 */
#include "core/mmu.h"

#include <linux/errno.h>

#include "base/bits.h"
#include "core/vm.h"

#define ENTRY_P		BIT_U64(0)
#define ENTRY_W		BIT_U64(1)
#define ENTRY_U		BIT_U64(2)	/* nested walks are user accesses */
#define ENTRY_A		BIT_U64(5)
#define ENTRY_D		BIT_U64(6)
#define ENTRY_LARGE	BIT_U64(7)
#define ENTRY_ADDRESS	0x000ffffffffff000ull

#define ENTRIES		512u		/* in a table page */
#define LARGE_LEVEL	2u
#define LARGE_PAGES	512u		/* 4 KiB pages in a 2 MiB one */
#define GFN_END		(1ull << SLOT_SPACE_SHIFT)	/* of an address space */

/* --- entries and tables ------------------------------------------------------- */

/* Frames that one entry at a level covers. */
static u64 level_pages(unsigned level)
{
	return 1ull << (9 * (level - 1));
}

static unsigned level_index(gfn_t gfn, unsigned level)
{
	return gfn >> (9 * (level - 1)) & (ENTRIES - 1);
}

static bool entry_is_leaf(u64 entry, unsigned level)
{
	return level == 1 || (entry & ENTRY_LARGE);
}

static u64 *entry_table(u64 entry)
{
	return host_from_bus(entry & ENTRY_ADDRESS);
}

/* The one place where the nested page table changes.  mmu->lock held. */
static void entry_write(struct vm *vm, u64 *entry, u64 new)
{
	u64 old = *entry;

	if (VM_BUG(vm, (old & ENTRY_P) && (new & ENTRY_P) && ((old ^ new) & ENTRY_ADDRESS)))
		return;
	atomic_store_release(entry, new);
}

/*
 * A page for a table.  mmu->lock is held: to wait for memory here could be to wait for the
 * owner's memory to be taken away, which waits for the lock.  NULL: spare_get(), and again.
 */
static u64 *table_alloc(struct mmu *mmu)
{
	u64 *table = mmu->spare;

	if (!table)
		return host_alloc_pages(0, HOST_ATOMIC);
	mmu->spare = NULL;
	return table;
}

/* MMU_RETRY: there is a spare page now.  mmu->lock is not held. */
static enum mmu_fault spare_get(struct mmu *mmu)
{
	u64 *page = host_alloc_pages(0, 0);

	if (!page)
		return MMU_BAD;
	host_mutex_lock(&mmu->lock);
	if (!mmu->spare) {
		mmu->spare = page;
		page = NULL;
	}
	host_mutex_unlock(&mmu->lock);
	host_free_pages(page, 0);
	return MMU_RETRY;
}

/* A table page for *entry, if it has none.  NULL: no memory. */
static u64 *table_get(struct vm *vm, u64 *entry)
{
	u64 *table;

	if (*entry & ENTRY_P)
		return entry_table(*entry);
	table = table_alloc(&vm->mmu);
	if (!table)
		return NULL;
	vm->mmu.pages++;
	atomic_store_relaxed(&atomic_load_acquire(&vm->stat)[VM_STAT_mmu_pages], vm->mmu.pages);
	entry_write(vm, entry, host_bus_address(table) | ENTRY_P | ENTRY_W | ENTRY_U | ENTRY_A);
	return table;
}

static void table_free(struct vm *vm, u64 *table)
{
	host_free_pages(table, 0);
	vm->mmu.pages--;
	atomic_store_relaxed(&atomic_load_acquire(&vm->stat)[VM_STAT_mmu_pages], vm->mmu.pages);
}

/* A frame's address space is in the bits above it, and each has a table. */
static u64 *root_of(const struct mmu *mmu, gfn_t gfn)
{
	return gfn & GFN_END ? mmu->smm_root : mmu->root;
}

static gfn_t range_end(gfn_t gfn, u64 pages)
{
	return MIN_OF(gfn + pages, (gfn | (GFN_END - 1)) + 1);
}

/*
 * The lowest entry on the way to gfn that exists: the leaf, or a hole above it.  *level
 * says at which level.
 */
static u64 *entry_find(struct mmu *mmu, gfn_t gfn, unsigned *level)
{
	u64 *table = root_of(mmu, gfn);

	for (*level = MMU_LEVELS; ; (*level)--) {
		u64 *entry = &table[level_index(gfn, *level)];

		if (!(*entry & ENTRY_P) || entry_is_leaf(*entry, *level))
			return entry;
		table = entry_table(*entry);
	}
}

/* The entry that holds the table of level 1 for gfn, which exists. */
static u64 *entry_parent(struct mmu *mmu, gfn_t gfn)
{
	u64 *table = root_of(mmu, gfn);

	for (unsigned level = MMU_LEVELS; level > 2; level--)
		table = entry_table(table[level_index(gfn, level)]);
	return &table[level_index(gfn, 2)];
}

/* --- taking away ---------------------------------------------------------------- */

void mmu_flush(struct vm *vm)
{
	vm_stat_add(vm, VM_STAT_remote_tlb_flush, 1);
	vm_request_all(vm, REQ_TLB_FLUSH, true);
}

/*
 * Detached table pages wait for the flush in a list through their first word, which is
 * then an entry that is not present, like the zero that it might as well be.
 */
static void tables_detach(struct vm *vm, u64 *parent, u64 **detached)
{
	u64 *table = entry_table(*parent);

	entry_write(vm, parent, 0);
	entry_write(vm, table, (u64)(uintptr_t)*detached);
	*detached = table;
}

static void tables_free(struct vm *vm, u64 *detached)
{
	while (detached) {
		u64 *next = (u64 *)(uintptr_t)*detached;

		table_free(vm, detached);
		detached = next;
	}
}

/* Clear all leaves that touch [gfn, end).  Were there any? */
static bool zap_locked(struct vm *vm, gfn_t gfn, gfn_t end, u64 **detached)
{
	bool zapped = false;

	while (gfn < end) {
		unsigned level;
		u64 *entry = entry_find(&vm->mmu, gfn, &level);
		gfn_t next = (gfn | (level_pages(level) - 1)) + 1;

		if (level == 1 && is_aligned(gfn, LARGE_PAGES) && end - gfn >= LARGE_PAGES) {
			tables_detach(vm, entry_parent(&vm->mmu, gfn), detached);
			next = gfn + LARGE_PAGES;
			zapped = true;
		} else if (*entry & ENTRY_P) {
			entry_write(vm, entry, 0);
			zapped = true;
		}
		gfn = next;
	}
	return zapped;
}

void mmu_zap(struct vm *vm, gfn_t gfn, u64 pages)
{
	struct mmu *mmu = &vm->mmu;
	u64 *detached = NULL;
	bool zapped;

	if (mmu->shadow) {
		mmu_flush(vm);
		return;
	}
	host_mutex_lock(&mmu->lock);
	zapped = zap_locked(vm, gfn, range_end(gfn, pages), &detached);
	vm_stat_add(vm, VM_STAT_mmu_zaps, zapped);
	zapped |= mmu->nested;
	host_mutex_unlock(&mmu->lock);
	if (!zapped)
		return;
	mmu_flush(vm);

	host_mutex_lock(&mmu->lock);	/* the count of pages */
	tables_free(vm, detached);
	host_mutex_unlock(&mmu->lock);
}

/* Take write access from a leaf.  A large one goes, and comes back as small ones. */
static bool entry_protect(struct vm *vm, u64 *entry, unsigned level)
{
	if (!(*entry & ENTRY_P) || (level == 1 && !(*entry & ENTRY_W)))
		return false;
	entry_write(vm, entry, level == 1 ? *entry & ~ENTRY_W : 0);
	return true;
}

bool mmu_protect_mask(struct vm *vm, gfn_t gfn, u64 mask)
{
	bool changed = false;

	if (vm->mmu.shadow)
		return true;
	changed = vm->mmu.nested;
	while (mask) {
		unsigned level, n = bit_lowest(mask);
		u64 *entry = entry_find(&vm->mmu, gfn + n, &level);

		changed |= entry_protect(vm, entry, level);
		mask &= mask - 1;
	}
	return changed;
}

void mmu_write_protect(struct vm *vm, gfn_t gfn, u64 pages)
{
	gfn_t end = range_end(gfn, pages);
	bool changed = false;

	if (vm->mmu.shadow) {
		mmu_flush(vm);
		return;
	}
	host_mutex_lock(&vm->mmu.lock);
	changed = vm->mmu.nested;
	while (gfn < end) {
		unsigned level;
		u64 *entry = entry_find(&vm->mmu, gfn, &level);

		changed |= entry_protect(vm, entry, level);
		gfn = (gfn | (level_pages(level) - 1)) + 1;
	}
	host_mutex_unlock(&vm->mmu.lock);
	if (changed)
		mmu_flush(vm);
}

/* --- the owner's memory changes ---------------------------------------------------- */

/* Zap what [start, end) of the owner's addresses backs. */
static void zap_owner_range(struct vm *vm, u64 start, u64 end)
{
	int cookie = host_srcu_enter(&vm->srcu);
	const struct slots *slots = atomic_load_acquire(&vm->slots);

	for (unsigned n = 0; slots && n < SLOT_SPACES; n++) {
		const struct slot_space *space = &slots->space[n];

		for (u32 i = 0; i < space->count; i++) {
			const struct slot *s = space->by_gfn[i];
			u64 first = MAX_OF(start, s->hva);
			u64 last = MIN_OF(end, s->hva + (s->pages << PAGE_BITS));

			if (first >= last)
				continue;
			first = (first - s->hva) >> PAGE_BITS;
			last = (last - s->hva + PAGE_BYTES - 1) >> PAGE_BITS;
			mmu_zap(vm, slot_frame(s) + first, last - first);
		}
	}
	host_srcu_leave(&vm->srcu, cookie);
}

static void invalidate_begin(void *arg, u64 start, u64 end)
{
	struct vm *vm = arg;

	host_mutex_lock(&vm->mmu.lock);
	vm->mmu.invalidating++;
	host_mutex_unlock(&vm->mmu.lock);
	zap_owner_range(vm, start, end);
}

static void invalidate_end(void *arg, u64 start, u64 end)
{
	struct vm *vm = arg;

	(void)start;
	(void)end;
	host_mutex_lock(&vm->mmu.lock);
	atomic_store_release(&vm->mmu.invalidations, vm->mmu.invalidations + 1);
	vm->mmu.invalidating--;
	host_mutex_unlock(&vm->mmu.lock);
}

/* Entries have their accessed bit always set, so there is nothing to tell. */
static bool test_and_clear_young(void *arg, u64 start, u64 end)
{
	(void)arg;
	(void)start;
	(void)end;
	return false;
}

static const struct host_space_ops space_ops = {
	.invalidate_begin = invalidate_begin,
	.invalidate_end = invalidate_end,
	.test_and_clear_young = test_and_clear_young,
};

/* --- faults --------------------------------------------------------------------- */

/* May gfn be mapped together with the 511 frames around it? */
static bool can_be_large(const struct slot *s, gfn_t gfn, const struct host_page *page)
{
	gfn_t first = align_down(gfn, LARGE_PAGES);
	u64 frame = page->pa >> PAGE_BITS;

	return page->level >= 1 && !s->dirty && first >= s->gfn && first + LARGE_PAGES <= s->gfn + s->pages &&
	       is_aligned((s->hva >> PAGE_BITS) + (gfn - s->gfn) - (gfn - first), LARGE_PAGES) &&
	       is_aligned(frame - (gfn - first), LARGE_PAGES);
}

/*
 * Write the leaf for gfn.  MMU_RETRY with *flush: something in the way was taken out, which
 * processors must forget before the new entry may appear.
 */
static enum mmu_fault leaf_set(struct vm *vm, gfn_t gfn, unsigned level, u64 leaf, bool *flush)
{
	u64 *table = root_of(&vm->mmu, gfn), *entry;

	for (unsigned at = MMU_LEVELS; at > level; at--) {
		entry = &table[level_index(gfn, at)];
		if ((*entry & ENTRY_P) && entry_is_leaf(*entry, at)) {
			entry_write(vm, entry, 0);
			*flush = true;
			return MMU_RETRY;
		}
		table = table_get(vm, entry);
		if (!table)
			return MMU_BAD;
	}
	entry = &table[level_index(gfn, level)];
	if ((*entry & ENTRY_P) && (!entry_is_leaf(*entry, level) || ((*entry ^ leaf) & ENTRY_ADDRESS))) {
		entry_write(vm, entry, 0);
		*flush = true;
		return MMU_RETRY;
	}
	entry_write(vm, entry, leaf | (*entry & ENTRY_W));
	return MMU_FIXED;
}

enum mmu_fault mmu_page_begin(struct vcpu *v, gpa_t gpa, bool write, struct mmu_page *p)
{
	struct vm *vm = v->vm;
	struct mmu *mmu = &vm->mmu;
	struct slot *s = gpa >> SLOT_GPA_BITS ? NULL : vcpu_slot_find(v, gpa >> PAGE_BITS);
	u64 sequence;

	if (!s)
		return MMU_DEVICE;
	if (write && (s->flags & KVM_MEM_READONLY))
		return MMU_READONLY;

	sequence = atomic_load_acquire(&mmu->invalidations);
	*p = (struct mmu_page){ .slot = s, .write = write };
	if (host_page_get(slot_hva(s, gpa), write, &p->page))
		return MMU_BAD;
	host_mutex_lock(&mmu->lock);
	if (mmu->invalidating || sequence != mmu->invalidations) {
		mmu_page_end(vm, p, false);
		return MMU_RETRY;
	}
	p->writable = p->page.writable && !(s->flags & KVM_MEM_READONLY) && (write || !s->dirty);
	if (write && s->dirty)
		slot_set_dirty(vm, v, s, (gpa >> PAGE_BITS) - s->gfn);
	vm_stat_add(vm, VM_STAT_mmu_faults, 1);
	return MMU_FIXED;
}

void mmu_page_end(struct vm *vm, struct mmu_page *p, bool mapped)
{
	host_mutex_unlock(&vm->mmu.lock);
	host_page_put(&p->page, mapped && p->write);
}

/* Map gfn to its page.  mmu->lock held; nothing has changed since the page was looked up. */
static enum mmu_fault map(struct vm *vm, gfn_t gfn, const struct mmu_page *p, bool *flush)
{
	u64 flags = ENTRY_P | ENTRY_U | ENTRY_A | ENTRY_D | (p->writable ? ENTRY_W : 0);
	const struct host_page *page = &p->page;
	unsigned level;

	/* Where small pages are mapped already they stay. */
	entry_find(&vm->mmu, gfn, &level);
	if (level >= LARGE_LEVEL && can_be_large(p->slot, gfn % GFN_END, page)) {
		u64 base = page->pa - ((gfn % LARGE_PAGES) << PAGE_BITS);

		return leaf_set(vm, gfn, LARGE_LEVEL, (base & ENTRY_ADDRESS) | flags | ENTRY_LARGE, flush);
	}
	return leaf_set(vm, gfn, 1, (page->pa & ENTRY_ADDRESS) | flags, flush);
}

enum mmu_fault mmu_fault(struct vcpu *v, gpa_t gpa, unsigned access)
{
	struct vm *vm = v->vm;
	bool flush = false;
	enum mmu_fault result;
	struct mmu_page p;

	result = mmu_page_begin(v, gpa, access & X86_WRITE, &p);
	if (result != MMU_FIXED)
		return result;
	result = map(vm, (gpa >> PAGE_BITS) - p.slot->gfn + slot_frame(p.slot), &p, &flush);
	mmu_page_end(vm, &p, result == MMU_FIXED);
	if (flush)
		mmu_flush(vm);
	return result == MMU_BAD ? spare_get(&vm->mmu) : result;
}

void mmu_root_load(struct vcpu *v)
{
	const struct mmu *mmu = &v->vm->mmu;
	hpa_t root = host_bus_address(v->nested.paging ? v->shadow.root : v->smm.on ? mmu->smm_root : mmu->root);

	v->vm->be->mmu_root_set(v, root, MMU_LEVELS);
}

/* --- beginning and end ------------------------------------------------------------- */

static struct host_lock_class mmu_lock_class = { .name = "mmu" };

int mmu_init(struct vm *vm)
{
	struct mmu *mmu = &vm->mmu;
	int r;

	*mmu = (struct mmu){ 0 };
	host_mutex_init(&mmu->lock, &mmu_lock_class);
	mmu->shadow = !core_is_nested();
	if (!mmu->shadow) {
		mmu->root = host_alloc_pages(0, 0);
		mmu->smm_root = host_alloc_pages(0, 0);
		mmu->pages = 2;
	}
	r = mmu->shadow || (mmu->root && mmu->smm_root) ? host_space_attach(&space_ops, vm, &vm->space) : -ENOMEM;
	if (r) {
		host_free_pages(mmu->smm_root, 0);
		host_free_pages(mmu->root, 0);
		mmu->root = mmu->smm_root = NULL;
	}
	return r;
}

/* No processor is left.  Levels are few, so each has its loop. */
static void root_free(struct vm *vm, u64 *root)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		u64 *third = root[i] & ENTRY_P ? entry_table(root[i]) : NULL;

		for (unsigned j = 0; third && j < ENTRIES; j++) {
			u64 *second = third[j] & ENTRY_P ? entry_table(third[j]) : NULL;

			for (unsigned k = 0; second && k < ENTRIES; k++)
				if ((second[k] & ENTRY_P) && !entry_is_leaf(second[k], 2))
					table_free(vm, entry_table(second[k]));
			if (second)
				table_free(vm, second);
		}
		if (third)
			table_free(vm, third);
	}
	table_free(vm, root);
}

void mmu_detach(struct vm *vm)
{
	host_space_detach(vm->space);
}

void mmu_fini(struct vm *vm)
{
	struct mmu *mmu = &vm->mmu;

	host_free_pages(mmu->spare, 0);
	if (!mmu->root)
		return;
	root_free(vm, mmu->root);
	root_free(vm, mmu->smm_root);
	mmu->root = mmu->smm_root = NULL;
}

/* --- the guest's own page tables ------------------------------------------------------ */

/*
 * A walk reads its entries one by one out of the owner's memory, into a copy, and updates
 * them there.  Where there is no memory an entry reads as zero, which is not present; in
 * read-only memory accessed and dirty bits are not kept.
 */
struct guest_walk {
	struct vcpu *v;
	struct vcpu *l2;	/* the tables are L2's, and have L2-physical addresses; or NULL */
	unsigned entry_bytes;
	u64 entry;
};

/* Where the entry is; *slot NULL: nowhere. */
static enum x86_result walk_find(const struct guest_walk *w, gpa_t *gpa, unsigned access, struct slot **slot)
{
	if (w->l2) {
		struct x86_translation t;

		if (nested_translate(w->l2, *gpa, access, &t) != X86_OK) {
			w->l2->x.fault.error |= NESTED_FAULT_TABLE;
			return X86_FAULT;
		}
		*gpa = t.pa;
	}
	*slot = *gpa >> SLOT_GPA_BITS ? NULL : vcpu_slot_find(w->v, *gpa >> PAGE_BITS);
	return X86_OK;
}

static enum x86_result walk_entry(void *arg, gpa_t gpa, bool write, void **host)
{
	struct guest_walk *w = arg;
	struct slot *s;
	enum x86_result r = walk_find(w, &gpa, X86_READ, &s);

	(void)write;
	*host = &w->entry;
	if (r == X86_OK && (!s || host_copy_in(&w->entry, slot_hva(s, gpa), w->entry_bytes)))
		w->entry = 0;
	return r;
}

static enum x86_result walk_update(void *arg, gpa_t gpa, unsigned bytes, u64 old, u64 new)
{
	struct slot *s;
	enum x86_result r = walk_find(arg, &gpa, X86_WRITE, &s);
	int error;

	if (r != X86_OK || !s || (s->flags & KVM_MEM_READONLY))
		return r;
	error = host_cmpxchg(slot_hva(s, gpa), &old, new, bytes);
	if (!error)
		slot_mark_dirty(((const struct guest_walk *)arg)->v, gpa >> PAGE_BITS);
	return error == -EAGAIN ? X86_REPEAT : X86_OK;
}

static enum x86_result walk(struct guest_walk *w, const struct x86_paging *p, u64 linear, unsigned access,
			    struct x86_translation *t, struct x86_fault *fault)
{
	const struct x86_walk_port port = { .entry = walk_entry, .update = walk_update, .arg = w };

	w->entry_bytes = p->levels == 2 ? 4 : 8;
	return x86_walk(p, &port, linear, access, t, fault);
}

enum x86_result nested_translate(struct vcpu *v, gpa_t gpa, unsigned access, struct x86_translation *t)
{
	const struct x86_paging *p = &v->nested.tables;
	struct guest_walk w = { .v = v };
	struct x86_fault fault = { .error = X86_PF_U | (access & X86_WRITE ? X86_PF_W : 0) };
	enum x86_result r = X86_FAULT;

	access &= X86_READ | X86_WRITE | X86_FETCH;
	if (!(gpa >> (p->levels < 4 ? 32 : 48)))	/* what the tables reach */
		r = walk(&w, p, gpa, access | X86_USER, t, &fault);
	if (r != X86_OK)
		v->x.fault = (struct x86_fault){ .vector = NESTED_FAULT_VECTOR, .has_error = true,
						 .error = fault.error, .address = gpa };
	return r;
}

enum x86_result mmu_guest_walk(struct vcpu *v, u64 linear, unsigned access, struct x86_translation *t)
{
	struct guest_walk w = { .v = v, .l2 = v->nested.paging ? v : NULL };
	struct x86_translation second;
	struct x86_paging p;
	enum x86_result r;

	vcpu_regs_need(v, REGS_GPR | REGS_SEG | REGS_CR);
	x86_paging_of(&v->x, &p);
	r = walk(&w, &p, linear, access, t, &v->x.fault);
	if (r != X86_OK || !v->nested.paging)
		return r;
	r = nested_translate(v, t->pa, access, &second);
	if (r == X86_OK)
		t->pa = second.pa;
	return r;
}

int mmu_guest_translate(struct vcpu *v, u64 linear, unsigned access, gpa_t *gpa)
{
	struct x86_translation t;
	enum x86_result r = mmu_guest_walk(v, linear, access, &t);

	if (r == X86_OK)
		*gpa = t.pa;
	return (int)r;
}
