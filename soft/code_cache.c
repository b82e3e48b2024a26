// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * code_cache.c - which translations there are, and when they are valid
 *
 * A view is a linear page on a host page, in one mode.  Blocks belong to views.  For each
 * mode there is a table of the views in force, indexed and flushed like a TLB; a block that
 * is entered from another page looks there first.  A view comes into force when code is
 * fetched from its page and the page's bytes are still those that were translated: a page
 * keeps a copy of each line of 64 bytes of which something has been translated.
 *
 * Invariants:
 *   1. A page with translated lines has no entry in any write TLB of this processor.
 *   2. A view in force has been verified since the last flush that concerned it.
 *   3. What is cached of the TLB elsewhere (the stack's page) is forgotten with any flush.
 *   4. A dead view (its page's generation has moved on) is never in force again.
 *
 * Whoever writes to the page through this processor finds no write entry, and its
 * translations are dropped.  Whoever writes by other ways (another processor, a device) is
 * noticed when the view comes into force the next time: after a TLB flush of the page, after
 * VMRUN, and, where there are several processors, after IRET.
 *
 * A page that is written to often waits longer each time before it is translated again.
 */
#include "soft/translate.h"

#define LINE_BYTES	64u

static u64 mix(u64 v)
{
	return v * 0x9e3779b97f4a7c15ull;
}

/* --- everything ------------------------------------------------------------------------------------ */

/* A slot of view_in_force[][], as a number. */
static unsigned slot_number(unsigned mode, unsigned slot)
{
	return mode * CODE_SLOTS + slot;
}

static u32 *slot_at(struct soft_translator *t, unsigned number)
{
	return &t->view_in_force[number / CODE_SLOTS][number % CODE_SLOTS];
}

static void view_put_in_force(struct soft_translator *t, u32 view, bool global)
{
	const struct code_view *v = &t->view[view - 1];
	unsigned number = slot_number(v->mode, (v->linear >> PAGE_BITS) % CODE_SLOTS);
	u64 bit = BIT_U64(number % 64);

	*slot_at(t, number) = view;
	if (global)
		t->slot_global[number / 64] |= bit;
	else
		t->slot_global[number / 64] &= ~bit;
	if (t->slot_listed[global][number / 64] & bit)
		return;
	t->slot_listed[global][number / 64] |= bit;
	t->slot_list[global][t->slots_listed[global]++] = (u16)number;
}

/* A slot is in the list of what it held at first, and perhaps in both: only what it holds now counts. */
static void list_forget(struct soft_translator *t, unsigned list)
{
	for (u32 n = 0; n < t->slots_listed[list]; n++) {
		unsigned number = t->slot_list[list][n];
		u64 bit = BIT_U64(number % 64);

		t->slot_listed[list][number / 64] &= ~bit;
		if (list || !(t->slot_global[number / 64] & bit))
			*slot_at(t, number) = 0;
	}
	t->slots_listed[list] = 0;
}

static void views_forget(struct soft_translator *t, bool keep_global)
{
	list_forget(t, 0);
	if (!keep_global)
		list_forget(t, 1);
}

static void views_forget_page(struct soft_translator *t, u32 page)
{
	for (unsigned list = 0; list < 2; list++)
		for (u32 n = 0; n < t->slots_listed[list]; n++) {
			u32 *view = slot_at(t, t->slot_list[list][n]);

			if (*view && t->view[*view - 1].page == page)
				*view = 0;
		}
}

/* Zero, and give back what is whole pages. */
static void memory_clear(struct soft_translator *t, void *memory, u64 bytes)
{
	u64 at = (u64)memory, first = (at + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1), last = (at + bytes) & ~(PAGE_BYTES - 1);

	if (!t->code.forget || first >= last) {
		__builtin_memset(memory, 0, bytes);
		return;
	}
	__builtin_memset(memory, 0, first - at);
	t->code.forget((void *)first, last - first);
	__builtin_memset((void *)last, 0, at + bytes - last);
}

/* A page that is not canonical: RSP is never on it. */
static void stacks_forget(struct soft_translator *t)
{
	for (unsigned n = 0; n < SOFT_PRIVILEGES; n++)
		t->stack[n].page = 1ull << 63;
}

/*
 * The bytes will be written through one mapping and run through another, which asks for a
 * serializing instruction before they are run again.
 */
void code_reset(struct soft_cpu *c)
{
	struct soft_translator *t = c->translator;
	u32 eax = 0, ebx, ecx = 0, edx;

	memory_clear(t, t->code.write + t->thunks_end, MAX_OF(t->used, t->thunks_end) - t->thunks_end);
	t->used = t->thunks_end;
	t->pages = t->views = t->blocks = t->insns = 0;
	views_forget(t, false);
	stacks_forget(t);
	memory_clear(t, t->jump, sizeof(t->jump));
	for (unsigned mode = 0; mode < CODE_MODES; mode++)
		t->jump[mode][0].rip = t->jump[mode][CODE_JUMPS].rip = 1;	/* belongs elsewhere, as 0 does in the others */
	memory_clear(t, t->page, sizeof(*t) - offsetof(struct soft_translator, page));
	c->counters.code_resets++;
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx) : : "memory");
}

/* --- pages ----------------------------------------------------------------------------------------- */

static u16 *page_slot(struct soft_translator *t, u64 host)
{
	u64 n = mix(host >> PAGE_BITS) >> 40;

	for (;; n++) {
		u16 *at = &t->page_at[n % ARRAY_LEN(t->page_at)];

		if (!*at || t->page[*at - 1].host == host)
			return at;
	}
}

static u32 page_of(struct soft_translator *t, u64 host)
{
	u16 *at = page_slot(t, host);

	if (!*at) {
		t->page[t->pages] = (struct code_page){ .host = host };
		*at = (u16)++t->pages;
	}
	return *at - 1u;
}

static void page_drop(struct soft_cpu *c, u32 n)
{
	struct soft_translator *t = c->translator;
	struct code_page *p = &t->page[n];

	p->lines = 0;
	p->generation++;
	p->drops++;
	p->idle_until = c->counters.instructions + (1000ull << MIN_OF(p->drops, 14u));
	views_forget_page(t, n);
	t->stop = true;
	c->counters.code_drops++;
}

/* A write entry is wanted for a host page.  False: not now, it would stop the running block. */
bool soft_code_write(struct soft_cpu *c, u64 host)
{
	struct soft_translator *t = c->translator;
	u16 *at = page_slot(t, host & ~(PAGE_BYTES - 1));

	if (!*at || !t->page[*at - 1].lines)
		return true;
	if (t->filling)
		return false;
	page_drop(c, *at - 1u);
	return true;
}

static void write_entries_remove(struct soft_cpu *c, u64 host)
{
	stacks_forget(c->translator);
	for (unsigned mode = 0; mode < SOFT_PRIVILEGES; mode++) {
		struct x86_tlb_entry *e = c->tlb[mode].data.write, *second = c->tlb[mode].second[SOFT_TLB_WRITE];

		for (unsigned i = 0; i < X86_TLB_ENTRIES; i++) {
			if (e[i].tag + e[i].addend == host)
				e[i].tag = 1;
			if (second[i].tag + second[i].addend == host)
				second[i].tag = 1;
		}
	}
}

void code_cover(struct soft_cpu *c, u32 view, u64 rip, unsigned bytes)
{
	struct soft_translator *t = c->translator;
	u32 n = t->view[view - 1].page;
	struct code_page *p = &t->page[n];
	unsigned first = (unsigned)(rip & (PAGE_BYTES - 1)) / LINE_BYTES;
	unsigned last = ((unsigned)(rip & (PAGE_BYTES - 1)) + bytes - 1) / LINE_BYTES;

	if (!p->lines)
		write_entries_remove(c, p->host);
	for (unsigned line = first; line <= last; line++) {
		if (p->lines >> line & 1)
			continue;
		p->lines |= BIT_U64(line);
		__builtin_memcpy(&t->copy[n][line * LINE_BYTES], (const u8 *)p->host + line * LINE_BYTES, LINE_BYTES);
	}
}

static bool page_is_unchanged(const struct soft_translator *t, u32 n)
{
	const struct code_page *p = &t->page[n];
	const u64 *now = (const u64 *)p->host, *then = (const u64 *)t->copy[n];
	u64 difference = 0;

	for (u64 lines = p->lines; lines; lines &= lines - 1) {
		unsigned at = (unsigned)__builtin_ctzll(lines) * (LINE_BYTES / 8);

		for (unsigned i = at; i < at + LINE_BYTES / 8; i++)
			difference |= x86_memory_get(&now[i], 8) ^ then[i];
	}
	return !difference;
}

/* --- views ------------------------------------------------------------------------------------------ */

static u32 view_of(struct soft_translator *t, u64 linear, u32 page, unsigned mode)
{
	u32 generation = t->page[page].generation;
	u64 n = mix(linear + mode + ((u64)page << 44) + generation) >> 40;

	for (;; n++) {
		u16 *at = &t->view_at[n % ARRAY_LEN(t->view_at)];
		const struct code_view *v;

		if (!*at) {
			t->view[t->views] = (struct code_view){ linear, page, generation, (u8)mode };
			*at = (u16)++t->views;
			return *at;
		}
		v = &t->view[*at - 1];
		if (v->linear == linear && v->page == page && v->generation == generation && v->mode == mode)
			return *at;
	}
}

/* Is the fetch entry of linear, which is there, global? */
static bool fetch_is_global(const struct soft_cpu *c, unsigned mode, u64 linear)
{
	const struct soft_tlb *tlb = &c->tlb[mode % CODE_NARROW == SOFT_USER ? SOFT_USER : SOFT_SUPERVISOR];
	unsigned index = (linear >> PAGE_BITS) % X86_TLB_ENTRIES;

	return tlb->global[0][SOFT_TLB_FETCH][index / 64] >> (index % 64) & 1;
}

static void page_verify(struct soft_cpu *c, u32 page)
{
	struct soft_translator *t = c->translator;

	c->counters.view_checks++;
	if (t->page[page].lines && !page_is_unchanged(t, page))
		page_drop(c, page);
}

u32 code_view_at(struct soft_cpu *c, unsigned mode, u64 rip)
{
	struct soft_translator *t = c->translator;
	u64 linear = rip & ~(PAGE_BYTES - 1);
	u32 view = t->view_in_force[mode][(rip >> PAGE_BITS) % CODE_SLOTS], page;
	const u8 *host;

	if (view && t->view[view - 1].linear == linear)
		return view;
	if (soft_mem_fetch(c, linear, &host) != X86_OK)
		return 0;
	if (t->pages == CODE_PAGES || t->views == CODE_VIEWS - 1)
		code_reset(c);
	page = page_of(t, (u64)host);
	page_verify(c, page);
	view = view_of(t, linear, page, mode);
	view_put_in_force(t, view, fetch_is_global(c, mode, linear));
	return view;
}

bool code_view_revive(struct soft_cpu *c, u32 view)
{
	struct soft_translator *t = c->translator;
	const struct code_view *v = &t->view[view - 1];
	const u8 *host;

	if (code_view_is_dead(t, view) || soft_mem_fetch(c, v->linear, &host) != X86_OK || (u64)host != t->page[v->page].host)
		return false;
	page_verify(c, v->page);
	if (code_view_is_dead(t, view))
		return false;
	view_put_in_force(t, view, fetch_is_global(c, v->mode, v->linear));
	return true;
}

/* Nothing has been verified any more. */
void soft_code_forget(struct soft_cpu *c)
{
	if (c->translator)
		views_forget(c->translator, false);
}

/* X86_FLUSH_PAGE: of the 1 << bits bytes around address. */
void soft_code_flush(struct soft_cpu *c, enum x86_flush kind, u64 address, unsigned bits)
{
	struct soft_translator *t = c->translator;
	unsigned first;

	if (!t)
		return;
	t->stop = true;
	stacks_forget(t);
	if (kind == X86_FLUSH_KEYS)	/* which concern no fetches */
		return;
	if (kind != X86_FLUSH_PAGE || bits - PAGE_BITS > 9) {
		views_forget(t, kind == X86_FLUSH_LOCAL);
		return;
	}
	first = (unsigned)(address >> bits << (bits - PAGE_BITS)) % CODE_SLOTS;
	for (unsigned mode = 0; mode < CODE_MODES; mode++)
		for (unsigned slot = first; slot < first + (1u << (bits - PAGE_BITS)); slot++)
			t->view_in_force[mode][slot] = 0;
}

/* --- blocks ----------------------------------------------------------------------------------------- */

static u32 *block_slot(struct soft_translator *t, u64 rip, u32 view, bool apart)
{
	u64 n = mix(rip ^ (u64)view << 40 ^ (u64)apart << 39) >> 40;

	for (;; n++) {
		u32 *at = &t->block_at[n % ARRAY_LEN(t->block_at)];
		const struct code_block *block = *at ? &t->block[*at - 1] : NULL;

		if (!block || (block->rip == rip && block->view == view && block->apart == apart))
			return at;
	}
}

struct code_block *code_block_find(struct soft_translator *t, u64 rip, u32 view, bool apart)
{
	u32 n = *block_slot(t, rip, view, apart);

	return n ? &t->block[n - 1] : NULL;
}

struct code_block *code_block_add(struct soft_translator *t, u64 rip, u32 view, bool apart)
{
	struct code_block *block = &t->block[t->blocks];

	*block_slot(t, rip, view, apart) = ++t->blocks;
	block->rip = rip;
	block->view = view;
	block->apart = apart;
	return block;
}

/* --- the jump cache ------------------------------------------------------------------------------------- */

static struct code_jump *second_place(struct soft_translator *t, unsigned mode, u64 rip)
{
	return &t->jump[mode][CODE_JUMPS + (rip ^ rip >> CODE_JUMP_SHIFT) % CODE_JUMPS_MORE];
}

struct code_jump *code_jump_find(struct soft_translator *t, unsigned mode, u64 rip)
{
	struct code_jump *first = &t->jump[mode][rip % CODE_JUMPS], *second = second_place(t, mode, rip);

	return first->rip == rip ? first : second->rip == rip ? second : NULL;
}

struct code_jump *code_jump_take(struct soft_translator *t, unsigned mode, u64 rip)
{
	struct code_jump *first = &t->jump[mode][rip % CODE_JUMPS], *second = second_place(t, mode, rip);

	if (second->rip == rip || (first->rip != rip && first->code && !second->code))
		return second;
	return first;
}
