// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_walk.c - the page walk against a reference, a million times
 *
 * The reference is written the other way round: one function a mode, straight from the
 * tables of the manual, permissions as one truth formula, on a copy of memory.  Memory
 * is a few pages full of random entries that point to each other.
 */
#include "tests/test.h"
#include "x86/walk.h"

#define PAGES		24u
#define MEMORY_BYTES	(PAGES * 4096u)
#define WALKS		1000000u

static u64 seed = 0x123456789abcdefull;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

static bool chance(unsigned percent)
{
	return rnd() % 100 < percent;
}

union memory {
	u8 b[MEMORY_BYTES];
	u32 d[MEMORY_BYTES / 4];
	u64 q[MEMORY_BYTES / 8];
};

static union memory mem, ref_mem;

/* ---- reference ---- */

struct outcome {
	enum x86_result r;
	u32 error;
	u64 pa;
	bool w, u, x, d, g;
	unsigned bits, key;
};

struct ref {
	const struct x86_paging *p;
	u64 la;
	bool user, wr, fetch, implicit;
	/* entries on the way, for accessed bits */
	u64 *q[5];
	u32 *d[2];
	unsigned n;
};

/* Second dimension of the reference; NULL for none.  False: left the memory or faulted. */
static bool (*ref_second)(u64 *pa);

static void *ref_at(u64 pa)
{
	if (ref_second && !ref_second(&pa))
		return NULL;
	return pa < MEMORY_BYTES ? ref_mem.b + pa : NULL;
}

static struct outcome ref_fault(const struct ref *r, bool present, bool reserved, bool key)
{
	bool id = r->fetch && (r->p->smep || (r->p->nxe && r->p->levels >= 3));

	return (struct outcome){ .r = X86_FAULT, .error = present * 1u + r->wr * 2u + r->user * 4u + reserved * 8u + id * 16u + key * 32u };
}

static struct outcome ref_leaf(struct ref *r, u64 pa, unsigned bits, bool w, bool u, bool x, bool dirty, bool g, unsigned key)
{
	const struct x86_paging *p = r->p;
	bool ok, keyed = false;
	unsigned rights = (u ? p->pkru : p->pkrs) >> (key * 2) & 3;

	if (r->fetch)
		ok = x && (r->user ? u : !(u && p->smep));
	else if (r->user)
		ok = u && (w || !r->wr);
	else
		ok = (w || !r->wr || !p->wp) && !(u && p->smap && (r->implicit || !p->ac));
	if (p->levels >= 4 && !r->fetch && (u ? p->pke : p->pks && !r->user))
		keyed = (rights & 1) || ((rights & 2) && r->wr && (r->user || p->wp));
	if (!ok || keyed)
		return ref_fault(r, true, false, keyed);
	return (struct outcome){ .r = X86_OK, .pa = pa, .w = w, .u = u, .x = x, .d = dirty || r->wr, .g = g && p->pge, .bits = bits, .key = key };
}

static struct outcome ref_legacy(struct ref *r)
{
	const struct x86_paging *p = r->p;
	u32 *pde = ref_at(p->root + (r->la >> 22 & 0x3ff) * 4), *pte;
	struct outcome o;

	if (!pde)
		return (struct outcome){ .r = X86_EXIT };
	if (~*pde & 1)
		return ref_fault(r, false, false, false);
	if (p->pse && *pde & 0x80) {
		u64 high = *pde >> 13 & 0xff;

		if (*pde >> 21 & 1 || (p->phys_bits < 40 && high >> (p->phys_bits - 32)))
			return ref_fault(r, true, true, false);
		o = ref_leaf(r, (high << 32) + (*pde & 0xffc00000) + (r->la & 0x3fffff), 22, *pde & 2, *pde & 4, true, *pde & 0x40, *pde & 0x100, 0);
		if (o.r == X86_OK)
			*pde |= r->wr ? 0x60 : 0x20;
		return o;
	}
	pte = ref_at((*pde & ~0xfffu) + (r->la >> 12 & 0x3ff) * 4);
	if (!pte)
		return (struct outcome){ .r = X86_EXIT };
	if (~*pte & 1)
		return ref_fault(r, false, false, false);
	o = ref_leaf(r, (*pte & ~0xfffu) + (r->la & 0xfff), 12, *pte & *pde & 2, *pte & *pde & 4, true, *pte & 0x40, *pte & 0x100, 0);
	if (o.r == X86_OK) {
		*pde |= 0x20;
		*pte |= r->wr ? 0x60 : 0x20;
	}
	return o;
}

static bool ref_reserved(const struct x86_paging *p, u64 e, unsigned level, bool large)
{
	u64 address = e & 0x000ffffffffff000;

	if (p->phys_bits < 52 && address >> p->phys_bits)
		return true;
	if (e >> 63 && !p->nxe)
		return true;
	if (p->levels == 3 && (e >> 52 & 0x7ff))
		return true;
	if (p->levels == 3 && level == 3)
		return e >> 63 || (e & 0x1e6);
	if (e & 0x80) {
		if (level >= 4 || (level == 3 && !large))
			return true;
		if (level == 3 && e & 0x3fffe000)
			return true;
		if (level == 2 && e & 0x1fe000)
			return true;
	}
	return false;
}

/* PAE, 4 and 5 levels, recursively. */
static struct outcome ref_wide(struct ref *r, u64 table, unsigned level, bool w, bool u, bool x)
{
	const struct x86_paging *p = r->p;
	bool root3 = p->levels == 3 && level == 3, large;
	unsigned bits = 12 + 9 * (level - 1);
	u64 *e = ref_at(table + ((r->la >> bits) & (root3 ? 3 : 511)) * 8);
	struct outcome o;

	if (!e)
		return (struct outcome){ .r = X86_EXIT };
	if (!(*e & 1))
		return ref_fault(r, false, false, false);
	large = (*e & 0x80) && (level == 2 || (level == 3 && p->levels > 3 && p->gb_pages));
	if (ref_reserved(p, *e, level, large))
		return ref_fault(r, true, true, false);
	if (!root3) {
		w = w && (*e & 2);
		u = u && (*e & 4);
		x = x && !(*e >> 63);
	}
	if (level == 1 || large) {
		u64 base = *e & 0x000ffffffffff000 & -(1ull << bits);

		o = ref_leaf(r, base + (r->la & ((1ull << bits) - 1)), bits, w, u, x, *e & 0x40, *e & 0x100, p->levels > 3 ? *e >> 59 & 15 : 0);
		if (o.r == X86_OK)
			*e |= r->wr ? 0x60 : 0x20;
		return o;
	}
	o = ref_wide(r, *e & 0x000ffffffffff000, level - 1, w, u, x);
	if (o.r == X86_OK && !root3)
		*e |= 0x20;
	return o;
}

static struct outcome ref_walk(const struct x86_paging *p, u64 la, unsigned access)
{
	struct ref r = {
		.p = p, .la = la, .wr = access & X86_WRITE, .fetch = access & X86_FETCH,
		.implicit = access & X86_IMPLICIT, .user = (access & X86_USER) && !(access & X86_IMPLICIT),
	};

	if (p->levels == 0)
		return (struct outcome){ .r = X86_OK, .pa = la, .w = true, .u = true, .x = true, .d = true, .bits = 12 };
	return p->levels == 2 ? ref_legacy(&r) : ref_wide(&r, p->root, p->levels, true, true, true);
}

/* ---- the walk under test ---- */

static enum x86_result plain_entry(void *arg, gpa_t gpa, bool write, void **host)
{
	(void)arg;
	(void)write;
	if (gpa >= MEMORY_BYTES)
		return X86_EXIT;
	*host = mem.b + gpa;
	return X86_OK;
}

static const struct x86_walk_port plain = { .entry = plain_entry };

static struct x86_paging nested_paging;

static enum x86_result nested_entry(void *arg, gpa_t gpa, bool write, void **host)
{
	struct x86_translation t;
	struct x86_fault fault;

	(void)write;
	if (x86_walk(&nested_paging, &plain, gpa, X86_READ | X86_WRITE | X86_USER, &t, &fault) != X86_OK)
		return X86_EXIT;
	return plain_entry(arg, t.pa, write, host);
}

static const struct x86_walk_port nested = { .entry = nested_entry };

static bool ref_nested(u64 *pa)
{
	bool (*second)(u64 *) = ref_second;
	struct outcome o;

	ref_second = NULL;
	o = ref_walk(&nested_paging, *pa, X86_READ | X86_WRITE | X86_USER);
	ref_second = second;
	*pa = o.pa;
	return o.r == X86_OK;
}

/* ---- random cases ---- */

static u64 random_entry(bool wide)
{
	u64 e = (rnd() % PAGES) << 12 | (rnd() & 0xf60);	/* A, D, G, available, not PS */

	if (chance(97))
		e |= 1;
	if (chance(85))
		e |= 2;
	if (chance(75))
		e |= 4;
	if (chance(20))
		e |= 0x80;
	if (chance(3))
		e ^= 1ull << rnd() % 64;
	if (wide && chance(10))
		e |= 1ull << 63;
	if (wide && chance(20))
		e |= (rnd() & 15) << 59;
	if (e & 0x80 && chance(60))
		e &= ~0x3fffe000ull;
	if (!(e & 0x80) && chance(20))		/* a PAE root that is acceptable */
		e &= ~(0x1e6ull | ~0ull << 52);
	return e;
}

static void random_memory(void)
{
	bool wide = chance(70);

	for (unsigned n = 0; n < MEMORY_BYTES / 8; n++)
		mem.q[n] = wide ? random_entry(true) : (random_entry(false) & 0xffffffff) | random_entry(false) << 32;
	ref_mem = mem;
}

static void random_paging(struct x86_paging *p)
{
	static const u8 levels[] = { 0, 2, 2, 3, 3, 4, 4, 4, 5, 5 };
	static const u8 phys[] = { 32, 36, 39, 40, 48, 52 };

	*p = (struct x86_paging){
		.levels = levels[rnd() % ARRAY_LEN(levels)], .phys_bits = phys[rnd() % ARRAY_LEN(phys)],
		.root = (rnd() % PAGES) << 12, .nxe = chance(80), .wp = chance(70), .smep = chance(50),
		.smap = chance(50), .pse = chance(80), .pge = chance(70), .gb_pages = chance(70),
		.pke = chance(30), .pkru = (u32)rnd() & (u32)rnd(), .ac = chance(50),
		.pks = chance(30), .pkrs = (u32)rnd() & (u32)rnd(),
	};
	if (p->levels == 3)
		p->root |= rnd() & 0xfe0;
}

static unsigned random_access(void)
{
	static const unsigned kinds[] = { X86_READ, X86_WRITE, X86_READ | X86_WRITE, X86_FETCH };
	unsigned access = kinds[rnd() % ARRAY_LEN(kinds)];

	if (chance(50))
		access |= X86_USER;
	else if (chance(20) && !(access & X86_FETCH))
		access |= X86_IMPLICIT;
	return access;
}

static bool same(const struct outcome *o, enum x86_result r, const struct x86_translation *t, const struct x86_fault *f, u64 la)
{
	if (o->r != r)
		return false;
	if (r == X86_FAULT)
		return f->vector == X86_PF && f->has_error && f->error == o->error && f->address == la;
	if (r != X86_OK)
		return true;
	return t->pa == o->pa && t->writable == o->w && t->user == o->u && t->executable == o->x &&
	       t->dirty == o->d && t->global == o->g && t->page_bits == o->bits && t->pkey == o->key;
}

static unsigned seen[8];	/* results of each kind: the test tests something */

static unsigned compare(bool two_dimensions)
{
	struct x86_paging p;
	struct x86_translation t;
	struct x86_fault f = { 0 };
	struct outcome o;
	unsigned access = random_access();
	enum x86_result r;
	u64 la;

	random_paging(&p);
	la = rnd();
	if (p.levels <= 3)
		la = (u32)la;
	ref_second = two_dimensions ? ref_nested : NULL;
	o = ref_walk(&p, la, access);
	r = x86_walk(&p, two_dimensions ? &nested : &plain, la, access, &t, &f);
	seen[r]++;
	if (same(&o, r, &t, &f, la))
		return 0;
	fprintf(stderr, "levels %u la %llx access %x: result %d error %x pa %llx; expected %d error %x pa %llx\n", p.levels,
		(unsigned long long)la, access, r, f.error, (unsigned long long)t.pa, o.r, o.error, (unsigned long long)o.pa);
	return 1;
}

static void test_random_walks(void)
{
	unsigned differences = 0;

	for (unsigned n = 0; n < WALKS && differences < 10; n++) {
		if (n % 1000 == 0)
			random_memory();
		differences += compare(false);
		if (n % 100 == 99 && memcmp(&mem, &ref_mem, sizeof(mem)) != 0) {
			fprintf(stderr, "accessed or dirty bits differ before walk %u\n", n);
			differences++;
		}
	}
	if (getenv("VERBOSE"))
		printf("ok %u fault %u exit %u\n", seen[X86_OK], seen[X86_FAULT], seen[X86_EXIT]);
	EXPECT_EQ(differences, 0);
	EXPECT(seen[X86_OK] > WALKS / 10);
	EXPECT(seen[X86_FAULT] > WALKS / 10);
	EXPECT(seen[X86_EXIT] > WALKS / 1000);
}

/* The first six pages are the second dimension's, mostly permissive. */
static void nested_memory(void)
{
	random_memory();
	for (unsigned q = 0; q < 6 * 512; q++) {
		u64 frame = q % 512 ? 6 + rnd() % (PAGES - 6) : 1 + rnd() % 5;

		mem.q[q] = (random_entry(true) & (chance(95) ? 0xff7 : ~0xff000ull)) | frame << 12 | (chance(90) ? 0x67 : 0x60);
		if (chance(90))
			mem.q[q] &= ~0x80ull;
	}
	for (unsigned d = 6 * 1024; d < MEMORY_BYTES / 4; d++)
		mem.d[d] |= d % 2 == 0 || mem.d[d] & 0xf000 ? 0x60 : 0;
	ref_mem = mem;
}

/*
 * Here the reference's accessed bits come after the walk, ours during it; with tables that
 * share pages the two orders differ, so only results are compared and bits are preset.
 */
static void test_two_dimensions(void)
{
	unsigned differences = 0;

	memset(seen, 0, sizeof(seen));
	for (unsigned n = 0; n < WALKS / 4 && differences < 10; n++) {
		if (n % 1000 == 0) {
			random_memory();
			nested_memory();
		}
		do
			random_paging(&nested_paging);
		while (nested_paging.levels < 4);
		nested_paging.root %= 5 << 12;
		differences += compare(true);
	}
	if (getenv("VERBOSE"))
		printf("ok %u fault %u exit %u\n", seen[X86_OK], seen[X86_FAULT], seen[X86_EXIT]);
	EXPECT_EQ(differences, 0);
	EXPECT(seen[X86_OK] > 1000);
	EXPECT(seen[X86_FAULT] > 1000);
	EXPECT(seen[X86_EXIT] > 1000);
}

/* A table that changes between reading and setting bits: the walk sees the new entry. */
static unsigned races;

static enum x86_result racing_entry(void *arg, gpa_t gpa, bool write, void **host)
{
	(void)arg;
	*host = mem.b + gpa;
	if (write && races++ == 0)
		mem.q[512] = 0x5000 | 7;	/* the page moves */
	return X86_OK;
}

/* The same where the walk gets copies. */
static u64 copied;

static enum x86_result copying_entry(void *arg, gpa_t gpa, bool write, void **host)
{
	(void)arg;
	EXPECT(!write);
	copied = mem.q[gpa / 8];
	*host = &copied;
	return X86_OK;
}

static enum x86_result racing_update(void *arg, gpa_t gpa, unsigned bytes, u64 old, u64 new)
{
	(void)arg;
	EXPECT_EQ(bytes, 8);
	if (races++ == 0)
		mem.q[512] = 0x5000 | 7;
	if (mem.q[gpa / 8] != old)
		return X86_REPEAT;
	mem.q[gpa / 8] = new;
	return X86_OK;
}

static void test_race(void)
{
	static const struct x86_walk_port racing = { .entry = racing_entry };
	static const struct x86_walk_port copying = { .entry = copying_entry, .update = racing_update };
	struct x86_paging p = { .levels = 3, .phys_bits = 40, .nxe = true, .wp = true };
	struct x86_translation t;
	struct x86_fault f;

	memset(&mem, 0, sizeof(mem));
	mem.q[0] = 0x2000 | 1;
	mem.q[1024] = 0x1000 | 0x27;
	mem.q[512] = 0x3000 | 7;
	EXPECT_EQ(x86_walk(&p, &racing, 0x123, X86_WRITE, &t, &f), X86_OK);
	EXPECT_EQ(t.pa, 0x5123);
	EXPECT_EQ(mem.q[512], 0x5000 | 0x67);
	EXPECT_EQ(mem.q[0], 0x2001);

	mem.q[512] = 0x3000 | 7;
	races = 1;
	EXPECT_EQ(x86_walk(&p, &racing, 0x123, X86_WRITE | X86_PROBE, &t, &f), X86_OK);
	EXPECT_EQ(mem.q[512], 0x3007);

	races = 0;
	EXPECT_EQ(x86_walk(&p, &copying, 0x123, X86_WRITE, &t, &f), X86_OK);
	EXPECT_EQ(t.pa, 0x5123);
	EXPECT_EQ(mem.q[512], 0x5000 | 0x67);
}

static void test_paging_of(void)
{
	struct x86 x = { .cr0 = X86_CR0_PE, .cr3 = 0x123456789fff, .phys_bits = 48 };
	struct x86_paging p;

	x86_paging_of(&x, &p);
	EXPECT_EQ(p.levels, 0);
	x.cr0 |= X86_CR0_PG | X86_CR0_WP;
	x86_paging_of(&x, &p);
	EXPECT_EQ(p.levels, 2);
	EXPECT_EQ(p.root, 0x56789000);
	EXPECT(p.wp && !p.pse);
	x.cr4 = X86_CR4_PAE | X86_CR4_SMEP;
	x86_paging_of(&x, &p);
	EXPECT_EQ(p.levels, 3);
	EXPECT_EQ(p.root, 0x56789fe0);
	EXPECT(p.smep && !p.smap);
	x.efer = X86_EFER_LMA | X86_EFER_LME | X86_EFER_NXE;
	x86_paging_of(&x, &p);
	EXPECT_EQ(p.levels, 4);
	EXPECT_EQ(p.root, 0x123456789000);
	EXPECT(p.nxe);
	x.cr4 |= X86_CR4_LA57;
	x86_paging_of(&x, &p);
	EXPECT_EQ(p.levels, 5);
}

int main(void)
{
	TEST(test_random_walks);
	TEST(test_two_dimensions);
	TEST(test_race);
	TEST(test_paging_of);
	return test_status();
}
