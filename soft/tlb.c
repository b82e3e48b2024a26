// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tlb.c - the guest's memory: two-dimensional translation, cached
 *
 * A linear address becomes guest-physical by the guest's tables and then a host pointer by
 * the nested tables.  Three caches: for each privilege a TLB of linear pages (which the
 * executor looks into first), whose entries exist per kind of access, so that presence is
 * permission; and one of guest-physical pages, which serves walks of guest tables.
 *
 * A guest's table entries are read with write permission in the nested tables, as AMD-V
 * does, since a walk may set accessed bits.  Without nested paging the tables that CR3
 * points to are the hypervisor's and hold bus addresses: there is no second dimension.
 *
 * Invariants:
 *   1. A write entry exists only if the page is dirty and writable in both dimensions.
 *   2. A TLB entry is no more permissive than its privilege, whatever SMAP, SMEP, WP say:
 *      a change of these flushes.
 *   3. Nothing here outlives a change of ASID or of nCR3.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Nested Paging", "TLB Control".
 * Not modelled: memory types.
 */
#include "base/atomic.h"
#include "soft/cpu.h"

#define TAG_EMPTY	1u
#define PAGE_OFFSET(a)	((a) & (PAGE_BYTES - 1))
#define PAGE_OF(a)	((a) & ~(PAGE_BYTES - 1))

/* --- the second dimension ------------------------------------------------------------- */

/* A physical address is a pointer. */
static enum x86_result identity_entry(void *arg, gpa_t gpa, bool write, void **host)
{
	(void)arg;
	(void)write;
	*host = (void *)gpa;
	return X86_OK;
}

static const struct x86_walk_port identity = { .entry = identity_entry };

static enum x86_result nested_fault(struct soft_cpu *c, gpa_t gpa, u32 error, u64 stage)
{
	enum x86_result r = soft_exit(c, VMEXIT_NPF, error | stage, gpa);

	c->exit_bytes = !(error & X86_PF_I);
	return r;
}

/* Host address of a guest-physical one.  stage: VMCB_NPF_FINAL or _TABLE. */
static enum x86_result nested(struct soft_cpu *c, gpa_t gpa, unsigned access, u64 stage, u64 *host)
{
	unsigned index = (gpa >> PAGE_BITS) % SOFT_NESTED_ENTRIES;
	struct soft_nested_entry *e = &c->nested[index];
	struct x86_translation t;
	struct x86_fault fault;

	if (LIKELY(e->tag == PAGE_OF(gpa)) &&
	    LIKELY(!(access & X86_WRITE) || (e->host & SOFT_NESTED_WRITE)) &&
	    LIKELY(!(access & X86_FETCH) || (e->host & SOFT_NESTED_EXECUTE))) {
		*host = PAGE_OF(e->host) | PAGE_OFFSET(gpa);
		return X86_OK;
	}
	if (gpa >> 48)		/* beyond what four levels translate */
		return nested_fault(c, gpa, X86_PF_U | (access & X86_WRITE ? X86_PF_W : 0) |
				    (access & X86_FETCH ? X86_PF_I : 0), stage);
	if (x86_walk(&c->nested_paging, &identity, gpa, access | X86_USER, &t, &fault) != X86_OK)
		return nested_fault(c, gpa, fault.error, stage);
	e->tag = PAGE_OF(gpa);
	c->nested_present[index / 64] |= BIT_U64(index % 64);
	e->host = PAGE_OF(t.pa) | (t.writable && t.dirty ? SOFT_NESTED_WRITE : 0) |
		  (t.executable ? SOFT_NESTED_EXECUTE : 0);
	*host = t.pa;
	return X86_OK;
}

static enum x86_result guest_entry(void *arg, gpa_t gpa, bool write, void **host)
{
	u64 address = 0;
	enum x86_result r = nested(arg, gpa, X86_READ | X86_WRITE, VMCB_NPF_TABLE, &address);

	(void)write;
	*host = (void *)address;
	return r;
}

/* --- TLBs ------------------------------------------------------------------------------- */

static struct x86_tlb_entry *entries_of(struct soft_tlb *tlb, enum soft_tlb_kind kind)
{
	return kind == SOFT_TLB_READ ? tlb->data.read : kind == SOFT_TLB_WRITE ? tlb->data.write : tlb->fetch;
}

static struct soft_tlb *tlb_of(struct soft_cpu *c, unsigned access)
{
	if (access & X86_IMPLICIT)
		return &c->tlb[SOFT_SUPERVISOR];
	if (access & X86_USER)
		return &c->tlb[SOFT_USER];
	if ((c->x.cr4 & X86_CR4_SMAP) && (c->x.rflags & X86_FLAG_AC) && !(access & X86_FETCH))
		return &c->tlb[SOFT_SUPERVISOR_AC];
	return &c->tlb[SOFT_SUPERVISOR];
}

static unsigned index_of(u64 linear, unsigned level)
{
	u64 page = linear >> PAGE_BITS;

	return (level ? page ^ page >> 10 ^ page >> 20 : page) % X86_TLB_ENTRIES;
}

static struct x86_tlb_entry *level_of(struct soft_tlb *tlb, unsigned level, enum soft_tlb_kind kind)
{
	return level ? tlb->second[kind] : entries_of(tlb, kind);
}

static void fill(struct soft_tlb *tlb, unsigned level, enum soft_tlb_kind kind, u64 linear, u64 host, bool global)
{
	unsigned index = index_of(linear, level);
	struct x86_tlb_entry *e = &level_of(tlb, level, kind)[index];

	e->tag = PAGE_OF(linear);
	e->addend = host - linear;
	tlb->present[level][kind][index / 64] |= BIT_U64(index % 64);
	if (global)
		tlb->global[level][kind][index / 64] |= BIT_U64(index % 64);
	else
		tlb->global[level][kind][index / 64] &= ~BIT_U64(index % 64);
}

static void note_large(struct soft_tlb *tlb, u64 linear, unsigned page_bits)
{
	unsigned half = (unsigned)(linear >> 63);
	u64 first = linear & ~(BIT_U64(page_bits) - 1), last = linear | (BIT_U64(page_bits) - 1);

	tlb->large[half].first = MIN_OF(tlb->large[half].first, first);
	tlb->large[half].last = MAX_OF(tlb->large[half].last, last);
	tlb->large[half].bits = MAX_OF(tlb->large[half].bits, page_bits);
}

/* Drop entries of one kind: those in the region of 1 << bits bytes around linear (64: all). */
static void flush_kind(struct soft_tlb *tlb, unsigned level, enum soft_tlb_kind kind, bool keep_global, u64 linear,
		       unsigned bits)
{
	struct x86_tlb_entry *entries = level_of(tlb, level, kind);

	for (unsigned word = 0; word < X86_TLB_ENTRIES / 64; word++) {
		u64 set = tlb->present[level][kind][word];

		if (keep_global)
			set &= ~tlb->global[level][kind][word];
		for (; set; set &= set - 1) {
			unsigned n = word * 64 + (unsigned)__builtin_ctzll(set);

			if (bits < 64 && (entries[n].tag ^ linear) >> bits)
				continue;
			entries[n].tag = TAG_EMPTY;
			tlb->present[level][kind][word] &= ~BIT_U64(n % 64);
		}
	}
}

static void flush_kinds(struct soft_tlb *tlb, bool keep_global, u64 linear, unsigned bits)
{
	for (unsigned level = 0; level < 2; level++)
		for (unsigned kind = 0; kind < SOFT_TLB_KINDS; kind++)
			flush_kind(tlb, level, kind, keep_global, linear, bits);
}

static void flush_all(struct soft_tlb *tlb)
{
	flush_kinds(tlb, false, 0, 64);
	for (unsigned half = 0; half < 2; half++) {
		tlb->large[half].first = ~0ull;
		tlb->large[half].last = 0;
		tlb->large[half].bits = PAGE_BITS;
	}
}

static void flush_local(struct soft_tlb *tlb)
{
	flush_kinds(tlb, true, 0, 64);
}

/* Log2 of the bytes around linear that it took. */
static unsigned flush_page(struct soft_tlb *tlb, u64 linear)
{
	unsigned half = (unsigned)(linear >> 63);

	if (linear >= tlb->large[half].first && linear <= tlb->large[half].last) {
		flush_kinds(tlb, false, linear, tlb->large[half].bits);
		return tlb->large[half].bits;
	}
	for (unsigned level = 0; level < 2; level++)
		for (unsigned kind = 0; kind < SOFT_TLB_KINDS; kind++) {
			struct x86_tlb_entry *e = &level_of(tlb, level, kind)[index_of(linear, level)];

			if (e->tag == PAGE_OF(linear))
				e->tag = TAG_EMPTY;
		}
	return PAGE_BITS;
}

/* Rights of protection keys changed.  Most systems never use another key than one that permits all. */
static void flush_keys(struct soft_cpu *c, u64 changed)
{
	c->paging_stale = true;
	if (!(c->keys & changed))
		return;
	for (unsigned i = 0; i < SOFT_PRIVILEGES; i++)
		for (unsigned level = 0; level < 2; level++) {
			flush_kind(&c->tlb[i], level, SOFT_TLB_READ, false, 0, 64);
			flush_kind(&c->tlb[i], level, SOFT_TLB_WRITE, false, 0, 64);
		}
	c->keys = 0;
	soft_code_flush(c, X86_FLUSH_KEYS, 0, 0);
}

void soft_tlb_flush(struct x86 *x, enum x86_flush kind, u64 address)
{
	struct soft_cpu *c = soft_of(x);
	unsigned bits = PAGE_BITS;

	if (kind == X86_FLUSH_KEYS) {
		flush_keys(c, address);
		return;
	}
	c->window_bytes = 0;
	c->paging_stale = true;
	if (kind == X86_FLUSH_ALL)
		c->keys = 0;
	if (kind == X86_FLUSH_PAGE)
		c->counters.tlb_flushes_page++;
	else if (kind == X86_FLUSH_LOCAL)
		c->counters.tlb_flushes_local++;
	else
		c->counters.tlb_flushes_all++;
	for (unsigned i = 0; i < SOFT_PRIVILEGES; i++) {
		if (kind == X86_FLUSH_PAGE) {
			unsigned took = flush_page(&c->tlb[i], address);

			bits = MAX_OF(bits, took);
		} else if (kind == X86_FLUSH_LOCAL) {
			flush_local(&c->tlb[i]);
		} else {
			flush_all(&c->tlb[i]);
		}
	}
	soft_code_flush(c, kind, address, bits);
}

void soft_tlb_flush_nested(struct soft_cpu *c)
{
	soft_tlb_flush(&c->x, X86_FLUSH_ALL, 0);
	for (unsigned word = 0; word < SOFT_NESTED_ENTRIES / 64; word++) {
		for (u64 set = c->nested_present[word]; set; set &= set - 1)
			c->nested[word * 64 + (unsigned)__builtin_ctzll(set)].tag = TAG_EMPTY;
		c->nested_present[word] = 0;
	}
}

/* Runs at each change of CPL or of AC: choose, and derive the rest when it is needed. */
void soft_mode_changed(struct x86 *x)
{
	struct soft_cpu *c = soft_of(x);
	struct soft_tlb *tlb = tlb_of(c, x->cpl == 3 ? X86_USER : 0);

	c->window_bytes = 0;
	c->paging_stale = true;
	x->tlb = c->watching || x86_is_alignment_checked(x) ? &x86_tlb_empty : &tlb->data;
}

/* --- translation -------------------------------------------------------------------------- */

/* A page whose place in the first level another one took. */
static bool from_second(u64 linear, unsigned access, struct soft_tlb *tlb, u64 *host)
{
	enum soft_tlb_kind kind = access & X86_FETCH ? SOFT_TLB_FETCH :
				  access & X86_WRITE ? SOFT_TLB_WRITE : SOFT_TLB_READ;
	unsigned index = index_of(linear, 1);
	const struct x86_tlb_entry *e = &tlb->second[kind][index];

	if (e->tag != PAGE_OF(linear))
		return false;
	*host = linear + e->addend;
	fill(tlb, 0, kind, linear, *host, tlb->global[1][kind][index / 64] >> (index % 64) & 1);
	return true;
}

static void fill_both(struct soft_tlb *tlb, enum soft_tlb_kind kind, u64 linear, u64 host, bool global)
{
	fill(tlb, 0, kind, linear, host, global);
	fill(tlb, 1, kind, linear, host, global);
}

static enum x86_result translate_slow(struct soft_cpu *c, u64 linear, unsigned access,
				      struct soft_tlb *tlb, u64 *host)
{
	const struct x86_walk_port port = { .entry = c->np ? guest_entry : identity_entry, .arg = c };
	struct x86_translation t;
	enum x86_result r;

	if (from_second(linear, access, tlb, host)) {
		c->counters.tlb_refills++;
		return X86_OK;
	}
	if (access & X86_FETCH)
		c->counters.tlb_misses_fetch++;
	else if (access & X86_WRITE)
		c->counters.tlb_misses_write++;
	else
		c->counters.tlb_misses_read++;
	if (c->paging_stale) {
		x86_paging_of(&c->x, &c->paging);
		if (!c->np)
			c->paging.phys_bits = 52;
		c->paging_stale = false;
	}
	r = x86_walk(&c->paging, &port, linear, access, &t, &c->x.fault);
	if (r != X86_OK)
		return r;
	*host = t.pa;
	if (c->np)
		r = nested(c, t.pa, access & (X86_READ | X86_WRITE | X86_FETCH), VMCB_NPF_FINAL, host);
	if (r != X86_OK)
		return r;

	if (t.page_bits > PAGE_BITS)
		note_large(tlb, linear, t.page_bits);
	if (access & X86_FETCH) {
		fill_both(tlb, SOFT_TLB_FETCH, linear, *host, t.global);
	} else {
		c->keys |= 3ull << (2 * t.pkey + (t.user ? 0 : 32));
		fill_both(tlb, SOFT_TLB_READ, linear, *host, t.global);
		if ((access & X86_WRITE) && (!c->translator || soft_code_write(c, *host)))
			fill_both(tlb, SOFT_TLB_WRITE, linear, *host, t.global);
	}
	return X86_OK;
}

/* The host address of one byte; what follows on its page follows. */
static enum x86_result translate(struct soft_cpu *c, u64 linear, unsigned access, u64 *host)
{
	struct soft_tlb *tlb = tlb_of(c, access);
	enum soft_tlb_kind kind = access & X86_FETCH ? SOFT_TLB_FETCH :
				  access & X86_WRITE ? SOFT_TLB_WRITE : SOFT_TLB_READ;
	const struct x86_tlb_entry *e =
		&entries_of(tlb, kind)[(linear >> PAGE_BITS) % X86_TLB_ENTRIES];

	if (LIKELY(e->tag == PAGE_OF(linear))) {
		*host = linear + e->addend;
		return X86_OK;
	}
	return translate_slow(c, linear, access & ~X86_PROBE, tlb, host);
}

enum x86_result soft_mem_fetch(struct soft_cpu *c, u64 linear, const u8 **host)
{
	u64 address = 0;
	enum x86_result r = translate(c, linear, X86_FETCH | (c->x.cpl == 3 ? X86_USER : 0), &address);

	*host = (const u8 *)address;
	return r;
}

/* --- accesses ------------------------------------------------------------------------------- */

/* An access in the guest is one access here, so that sizes up to 8 are never torn. */
static void copy_in(void *data, const void *guest, unsigned bytes)
{
	u64 v;

	switch (bytes) {
	case 1:
		v = x86_memory_get(guest, 1);
		break;
	case 2:
		v = x86_memory_get(guest, 2);
		break;
	case 4:
		v = x86_memory_get(guest, 4);
		break;
	case 8:
		v = x86_memory_get(guest, 8);
		break;
	default:
		for (; bytes > 8; bytes -= 8, guest = (const u8 *)guest + 8, data = (u8 *)data + 8) {
			v = x86_memory_get(guest, 8);
			__builtin_memcpy(data, &v, 8);
		}
		for (unsigned i = 0; i < bytes; i++)
			((u8 *)data)[i] = (u8)x86_memory_get((const u8 *)guest + i, 1);
		return;
	}
	__builtin_memcpy(data, &v, bytes);
}

static void copy_out(void *guest, const void *data, unsigned bytes)
{
	u64 v = 0;

	__builtin_memcpy(&v, data, MIN_OF(bytes, 8u));
	switch (bytes) {
	case 1:
		x86_memory_put(guest, v, 1);
		return;
	case 2:
		x86_memory_put(guest, v, 2);
		return;
	case 4:
		x86_memory_put(guest, v, 4);
		return;
	case 8:
		x86_memory_put(guest, v, 8);
		return;
	default:
		for (; bytes > 8; bytes -= 8, guest = (u8 *)guest + 8, data = (const u8 *)data + 8) {
			__builtin_memcpy(&v, data, 8);
			x86_memory_put(guest, v, 8);
		}
		for (unsigned i = 0; i < bytes; i++)
			x86_memory_put((u8 *)guest + i, ((const u8 *)data)[i], 1);
	}
}

/* Where an access falls: on one page, or on two.  No access is longer than a page. */
struct span {
	u64 host[2];
	unsigned bytes[2];
};

static enum x86_result span_of(struct soft_cpu *c, u64 linear, unsigned bytes, unsigned access,
			       struct span *s)
{
	u64 room = PAGE_BYTES - PAGE_OFFSET(linear), second;
	enum x86_result r;

	if (UNLIKELY(c->watching) && !(access & X86_PROBE))
		soft_debug_access(c, linear, bytes, access);
	s->bytes[0] = bytes;
	s->bytes[1] = 0;
	r = translate(c, linear, access, &s->host[0]);
	if (LIKELY(bytes <= room) || r != X86_OK)
		return r;
	s->bytes[0] = (unsigned)room;
	s->bytes[1] = bytes - (unsigned)room;
	second = linear + room;
	if (!(c->x.efer & X86_EFER_LMA))
		second = (u32)second;
	return translate(c, second, access, &s->host[1]);
}

enum x86_result soft_mem_read(struct x86 *x, u64 linear, void *data, unsigned bytes, unsigned access)
{
	struct span s;
	enum x86_result r = span_of(soft_of(x), linear, bytes, access | X86_READ, &s);

	if (r != X86_OK)
		return r;
	copy_in(data, (const void *)s.host[0], s.bytes[0]);
	if (s.bytes[1])
		copy_in((u8 *)data + s.bytes[0], (const void *)s.host[1], s.bytes[1]);
	return X86_OK;
}

enum x86_result soft_mem_write(struct x86 *x, u64 linear, const void *data, unsigned bytes, unsigned access)
{
	struct span s;
	enum x86_result r = span_of(soft_of(x), linear, bytes, access | X86_WRITE, &s);

	if (r != X86_OK)
		return r;
	copy_out((void *)s.host[0], data, s.bytes[0]);
	if (s.bytes[1])
		copy_out((void *)s.host[1], (const u8 *)data + s.bytes[0], s.bytes[1]);
	return X86_OK;
}

enum x86_result soft_mem_probe(struct x86 *x, u64 linear, unsigned bytes, unsigned access)
{
	struct span s;

	return span_of(soft_of(x), linear, bytes, access | X86_PROBE, &s);
}

enum x86_result soft_mem_map(struct x86 *x, u64 linear, unsigned bytes, unsigned access, void **host)
{
	struct span s;
	enum x86_result r = span_of(soft_of(x), linear, bytes, access, &s);

	*host = r == X86_OK && !s.bytes[1] ? (void *)s.host[0] : NULL;
	return r;
}

/* A locked access across two pages excludes its like, not plain accesses. */
static u32 split_lock;

void soft_mem_lock(struct x86 *x)
{
	(void)x;
	while (atomic_exchange(&split_lock, 1u))
		__builtin_ia32_pause();
}

void soft_mem_unlock(struct x86 *x)
{
	(void)x;
	atomic_store_release(&split_lock, 0u);
}
