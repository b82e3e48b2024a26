// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * walk.c - translation of linear addresses by page tables in memory
 *
 * A walk descends from the root, level by level, and collects what each entry permits.
 * Only when the access is known to be permitted are accessed and dirty bits set, each by
 * a compare-and-exchange against the value that the decision was made on; if an entry has
 * changed meanwhile the walk begins again, so no bit is ever set in an entry that would
 * not have been used.  (Each new beginning means that somebody else made progress.)
 *
 * The four formats differ in width of the entry, bits of index, and reserved bits:
 * 32-bit entries of 10 bits a level, or 64-bit entries of 9 bits a level, of which PAE's
 * root has four.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Page Translation and
 * Protection"; Intel SDM vol. 3, "Paging", "Protection Keys", "Page-Fault Exceptions".
 * Not modelled: PAE's cached PDPTE registers (they are read at each walk, as AMD does
 * under nested paging), PCID.
 */
#include "x86/walk.h"
#include "base/atomic.h"
#include "x86/feature.h"

#define PTE_P		BIT_U64(0)
#define PTE_W		BIT_U64(1)
#define PTE_U		BIT_U64(2)
#define PTE_A		BIT_U64(5)
#define PTE_D		BIT_U64(6)
#define PTE_PS		BIT_U64(7)
#define PTE_G		BIT_U64(8)
#define PTE_NX		BIT_U64(63)
#define PTE_ADDRESS	0x000ffffffffff000ull
#define PTE_PKEY_SHIFT	59

#define LEVELS_MAX	5

/* Bits first to last, both included. */
#define BITS(first, last)	((~0ull >> (63 - (last))) & (~0ull << (first)))

struct walk {
	const struct x86_paging *p;
	const struct x86_walk_port *port;
	u64	linear;
	unsigned access;
	struct x86_fault *fault;
	unsigned entry_bytes;		/* 4 or 8 */
	unsigned index_bits;		/* 10 or 9 */
};

/* An entry that the walk went through. */
struct step { gpa_t gpa; u64 value; };

static bool is_user(const struct walk *w)
{
	return (w->access & (X86_USER | X86_IMPLICIT)) == X86_USER;
}

static enum x86_result page_fault(const struct walk *w, u32 error)
{
	const struct x86_paging *p = w->p;

	if (w->access & X86_WRITE)
		error |= X86_PF_W;
	if (is_user(w))
		error |= X86_PF_U;
	if ((w->access & X86_FETCH) && ((p->nxe && p->levels > 2) || p->smep))
		error |= X86_PF_I;
	*w->fault = (struct x86_fault){
		.vector = X86_PF, .has_error = true, .error = error, .address = w->linear,
	};
	return X86_FAULT;
}

static enum x86_result entry_read(const struct walk *w, gpa_t gpa, u64 *value)
{
	void *host;
	enum x86_result r = w->port->entry(w->port->arg, gpa, false, &host);

	if (r != X86_OK)
		return r;
	/* Acquire: what the table that it names holds was written before the name. */
	*value = w->entry_bytes == 4 ? atomic_load_acquire((u32 *)host) : atomic_load_acquire((u64 *)host);
	return X86_OK;
}

/* X86_REPEAT if the entry is no longer what it was. */
static enum x86_result entry_update(const struct walk *w, gpa_t gpa, u64 value, u64 bits)
{
	void *host;
	enum x86_result r;
	bool done;

	if (w->port->update)
		return w->port->update(w->port->arg, gpa, w->entry_bytes, value, value | bits);
	r = w->port->entry(w->port->arg, gpa, true, &host);
	if (r != X86_OK)
		return r;
	if (w->entry_bytes == 4) {
		u32 old = (u32)value;

		done = atomic_cmpxchg((u32 *)host, &old, (u32)(value | bits));
	} else {
		u64 old = value;

		done = atomic_cmpxchg((u64 *)host, &old, value | bits);
	}
	return done ? X86_OK : X86_REPEAT;
}

/* Most entries have their bits: they cost no call. */
static inline enum x86_result entry_set(const struct walk *w, const struct step *s, u64 bits)
{
	return (s->value & bits) == bits ? X86_OK : entry_update(w, s->gpa, s->value, bits);
}

static bool is_leaf(const struct x86_paging *p, unsigned level, u64 entry)
{
	switch (level) {
	case 1:
		return true;
	case 2:
		return (entry & PTE_PS) && (p->levels > 2 || p->pse);
	case 3:
		return (entry & PTE_PS) && p->levels > 3 && p->gb_pages;
	default:
		return false;
	}
}

/* Bits that must be zero in every present entry ... */
static u64 reserved_bits(const struct x86_paging *p)
{
	u64 bits = 0;

	if (p->levels == 2)
		return 0;
	if (p->phys_bits < 52)
		bits |= BITS(p->phys_bits, 51);
	if (!p->nxe)
		bits |= PTE_NX;
	if (p->levels == 3)
		bits |= BITS(52, 62);
	return bits;
}

/* ... and in one at this level besides. */
static u64 reserved_at(const struct x86_paging *p, unsigned level, bool leaf)
{
	u64 bits = 0;

	if (level == 1)
		return 0;
	if (p->levels == 2) {
		/* PSE-36: address bits 32 to 39 are in bits 13 to 20. */
		return !leaf ? 0 : BIT_U64(21) | (p->phys_bits < 40 ? BITS(p->phys_bits - 32 + 13, 20) : 0);
	}
	if (p->levels == 3 && level == 3)
		return PTE_NX | BITS(1, 2) | BITS(5, 8);
	if (level > 3 || (level == 3 && !leaf))
		bits |= PTE_PS;
	if (level > 3 && p->amd)
		bits |= PTE_G;
	if (leaf)
		bits |= BITS(13, 12 + 9 * (level - 1) - 1);
	return bits;
}

static gpa_t leaf_address(const struct walk *w, u64 entry, unsigned page_bits)
{
	u64 within = w->linear & (BIT_U64(page_bits) - 1);
	u64 frame = entry & PTE_ADDRESS & ~(BIT_U64(page_bits) - 1);

	if (page_bits == 22)
		frame = (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;
	return frame | within;
}

/* The page exists; may it be accessed so?  Returns error bits besides P, or ~0 if it may. */
#define PERMITTED	(~0u)
static u32 permission(const struct walk *w, const struct x86_translation *t)
{
	const struct x86_paging *p = w->p;
	bool user = is_user(w), write = w->access & X86_WRITE, fetch = w->access & X86_FETCH;
	bool denied = user && !t->user;
	u32 key_error = 0;

	if (fetch) {
		denied |= !t->executable;
		denied |= !user && t->user && p->smep;
	} else {
		denied |= write && !t->writable && (user || p->wp);
		denied |= !user && t->user && p->smap && ((w->access & X86_IMPLICIT) || !p->ac);
		if ((t->user ? p->pke : p->pks && !user) && p->levels > 3) {
			u32 rights = (t->user ? p->pkru : p->pkrs) >> (2 * t->pkey);

			if ((rights & 1) || (write && (rights & 2) && (user || p->wp)))
				key_error = X86_PF_PK;
		}
	}
	return denied || key_error ? key_error : PERMITTED;
}

static enum x86_result walk_once(struct walk *w, struct x86_translation *t)
{
	const struct x86_paging *p = w->p;
	struct step step[LEVELS_MAX + 1];	/* by level, leaf = lowest used */
	u64 all = ~0ull, any = 0, entry;	/* bits that all entries have, that any has */
	u64 reserved = reserved_bits(p), index_mask = BIT_U64(w->index_bits) - 1;
	unsigned level = p->levels, shift = PAGE_BITS + w->index_bits * (level - 1);
	gpa_t gpa, table = p->root;
	u32 error;
	enum x86_result r;

	for (; ; level--, shift -= w->index_bits) {
		bool leaf, is_pae_root = p->levels == 3 && level == 3;

		gpa = table + (w->linear >> shift & (is_pae_root ? 3 : index_mask)) * w->entry_bytes;
		r = entry_read(w, gpa, &entry);
		if (r != X86_OK)
			return r;
		step[level] = (struct step){ gpa, entry };

		if (!(entry & PTE_P))
			return page_fault(w, 0);
		leaf = is_leaf(p, level, entry);
		if (entry & (reserved | reserved_at(p, level, leaf)))
			return page_fault(w, X86_PF_P | X86_PF_RSVD);
		if (!is_pae_root) {		/* which permits all, and has no accessed bit */
			all &= entry;
			any |= entry;
		}
		if (leaf)
			break;
		table = entry & (p->levels == 2 ? 0xfffff000 : PTE_ADDRESS);
	}

	*t = (struct x86_translation){
		.pa = leaf_address(w, entry, shift), .page_bits = (u8)shift,
		.writable = !!(all & PTE_W), .user = !!(all & PTE_U), .executable = !(any & PTE_NX),
		.dirty = !!(entry & PTE_D), .global = (entry & PTE_G) && p->pge,
		.pkey = p->levels > 3 ? entry >> PTE_PKEY_SHIFT & 15 : 0,
	};
	error = permission(w, t);
	if (error != PERMITTED)
		return page_fault(w, X86_PF_P | error);

	if (w->access & X86_PROBE)
		return X86_OK;
	for (unsigned l = p->levels; l > level && !(all & PTE_A); l--) {
		if (p->levels == 3 && l == 3)
			continue;
		r = entry_set(w, &step[l], PTE_A);
		if (r != X86_OK)
			return r;
	}
	if (w->access & X86_WRITE)
		t->dirty = true;
	return entry_set(w, &step[level], PTE_A | (w->access & X86_WRITE ? PTE_D : 0));
}

enum x86_result x86_walk(const struct x86_paging *p, const struct x86_walk_port *port,
			 u64 linear, unsigned access, struct x86_translation *t,
			 struct x86_fault *fault)
{
	struct walk w = {
		.p = p, .port = port, .linear = linear, .access = access, .fault = fault,
		.entry_bytes = p->levels == 2 ? 4 : 8, .index_bits = p->levels == 2 ? 10 : 9,
	};
	enum x86_result r;

	if (p->levels == 0) {
		*t = (struct x86_translation){
			.pa = linear, .page_bits = PAGE_BITS,
			.writable = true, .user = true, .executable = true, .dirty = true,
		};
		return X86_OK;
	}
	do
		r = walk_once(&w, t);
	while (r == X86_REPEAT);
	return r;
}

void x86_paging_of(const struct x86 *x, struct x86_paging *p)
{
	u64 root_mask;

	*p = (struct x86_paging){ .phys_bits = x->phys_bits };
	if (!(x->cr0 & X86_CR0_PG))
		return;
	if (!(x->cr4 & X86_CR4_PAE)) {
		p->levels = 2;
		root_mask = 0xfffff000;
	} else if (!(x->efer & X86_EFER_LMA)) {
		p->levels = 3;
		root_mask = 0xffffffe0;
	} else {
		p->levels = x->cr4 & X86_CR4_LA57 ? 5 : 4;
		root_mask = PTE_ADDRESS;
	}
	p->root = x->cr3 & root_mask;
	p->nxe = x->efer & X86_EFER_NXE;
	p->wp = x->cr0 & X86_CR0_WP;
	p->smep = x->cr4 & X86_CR4_SMEP;
	p->smap = x->cr4 & X86_CR4_SMAP;
	p->pse = x->cr4 & X86_CR4_PSE;
	p->pge = x->cr4 & X86_CR4_PGE;
	p->pke = x->cr4 & X86_CR4_PKE;
	p->pkru = x->pkru;
	p->pks = x->cr4 & X86_CR4_PKS;
	p->pkrs = x->pkrs;
	p->ac = x->rflags & X86_FLAG_AC;
	p->gb_pages = x86_feature_is_set(x->features, X86_FEATURE_PDPE1GB);
	p->amd = x->vendor_amd;
}
