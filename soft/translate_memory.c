// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_memory.c - memory operands, and code out of line
 *
 * An access looks its page up in the software TLB of the mode that the block is for:
 *
 *	lea  r10d, [base + disp]	lea  r9, [base + disp + bytes - 1]
 *	shr  r10d, 8			and  r9, -4096
 *	and  r10d, 0ff0h		cmp  r9, [rbp + r10 + table]
 *					jne  cold
 *	mov  r10, [rbp + r10 + table + 8]
 *	...  [base + r10 + disp]
 *
 * The last byte's page is compared with the first byte's entry, so that an access across
 * two pages misses.  An access that must be aligned keeps its low address bits in the
 * comparison instead.  A hit proves that the address is canonical.
 *
 * Cold: C fills the entry and the check is done again; if that is not possible, for whatever
 * reason, the interpreter executes the instruction, of which nothing has happened yet.
 *
 * Flags: between blocks those that are live are in translator->flags.  Inside, flags_native
 * and flags_saved say where they are; checks come after flags_lose().
 */
#include "soft/translate.h"

/* --- flags ---------------------------------------------------------------------------------- */

/* MOV, LAHF and SETO leave flags alone. */
void flags_save(struct translation *b)
{
	struct emitter *e = &b->e;

	if (!b->flags_native || b->flags_saved)
		return;
	emit_mov(e, T0, H_RAX);
	put8(e, 0x9f);
	emit_rr(e, 0, E_0F, 0x90, 0, H_RAX);
	emit_store32(e, H_RAX, context_at(b->c, &b->t->flags));
	emit_mov(e, H_RAX, T0);
	b->flags_saved = true;
}

void flags_lose(struct translation *b)
{
	if (b->live[b->at])
		flags_save(b);
	b->flags_native = false;
}

void flags_need(struct translation *b, unsigned temporary)
{
	struct emitter *e = &b->e;

	if (b->flags_native)
		return;
	emit_mov(e, temporary, H_RAX);
	emit_load32(e, H_RAX, context_at(b->c, &b->t->flags));
	put8(e, 0x04);			/* add al, 7fh */
	put8(e, 0x7f);
	put8(e, 0x9e);			/* sahf */
	emit_mov(e, H_RAX, temporary);
	b->flags_native = true;
}

/* --- addresses ------------------------------------------------------------------------------- */

struct address address_of(const struct translation *b, const struct x86_insn *i)
{
	struct address a = {
		.base = i->base, .index = i->index, .scale = i->scale, .seg = i->seg,
		.narrow = i->ad_bytes == 4, .wraps = b->narrow, .fixed = (u64)(s64)i->disp,
	};

	if (i->base == X86_REG_RIP) {
		a.base = X86_REG_NONE;
		a.fixed += b->rips[b->at] + i->len;
	}
	if (a.narrow && a.base == X86_REG_NONE && a.index == X86_REG_NONE) {
		a.fixed = (u32)a.fixed;
		a.narrow = false;
	}
	return a;
}

static bool has_segment(const struct address *a)
{
	return a->seg == X86_FS || a->seg == X86_GS;
}

static bool is_constant(const struct address *a)
{
	return a->base == X86_REG_NONE && a->index == X86_REG_NONE && !has_segment(a);
}

/* [a host register + displacement] */
bool address_is_simple(const struct address *a)
{
	return a->base != X86_REG_NONE && a->index == X86_REG_NONE && !has_segment(a) && !a->narrow &&
	       host_of[a->base] != DISPLACED && (s64)a->fixed < 0x7fffff00;
}

/* No check looks at these. */
bool address_is_native(const struct translation *b, const struct x86_insn *i)
{
	return i->ad_bytes >= 4 && (!b->narrow || i->seg != X86_CS);
}

struct address address_of_stack(const struct translation *b, unsigned base, s64 offset)
{
	return (struct address){ .base = (u8)base, .index = X86_REG_NONE, .seg = X86_SS, .narrow = b->narrow,
				 .wraps = b->narrow, .fixed = (u64)offset };
}

void emit_stack_add(struct translation *b, s32 bytes)
{
	struct host_mem m = mem_at(host_of[X86_RSP], bytes);

	if (b->narrow)
		emit_lea32(&b->e, host_of[X86_RSP], m);
	else
		emit_lea(&b->e, host_of[X86_RSP], m);
}

void load_word(struct translation *b, unsigned to, struct host_mem m)
{
	if (b->narrow)
		emit_load32(&b->e, to, m);
	else
		emit_load(&b->e, to, m);
}

void store_word(struct translation *b, unsigned from, struct host_mem m)
{
	if (b->narrow)
		emit_store32(&b->e, from, m);
	else
		emit_store(&b->e, from, m);
}

static struct host_mem segment_base(const struct translation *b, unsigned seg)
{
	return context_at(b->c, &b->c->x.seg[seg].base);
}

/* The linear address, with no other scratch register than to. */
void emit_address(struct translation *b, const struct address *a, unsigned to)
{
	struct emitter *e = &b->e;
	unsigned base = a->base == X86_REG_NONE ? DISPLACED : host_of[a->base];
	unsigned index = a->index == X86_REG_NONE ? DISPLACED : host_of[a->index];
	struct host_mem m = { .base = H_NONE, .index = H_NONE };
	bool base_is_displaced = a->base != X86_REG_NONE && base == DISPLACED;

	if (a->index != X86_REG_NONE && index == DISPLACED) {
		emit_load(e, to, gpr_at(a->index));
		if (base_is_displaced) {
			if (a->scale)
				emit_shift_imm(e, E_W, 4, to, a->scale);
			emit_rm(e, E_W, E_ONE, 0x03, to, gpr_at(a->base));
			m.base = (u8)to;
		} else {
			m.index = (u8)to;
			m.scale = a->scale;
			if (a->base != X86_REG_NONE)
				m.base = (u8)base;
		}
	} else {
		if (base_is_displaced) {
			emit_load(e, to, gpr_at(a->base));
			m.base = (u8)to;
		} else if (a->base != X86_REG_NONE) {
			m.base = (u8)base;
		}
		if (a->index != X86_REG_NONE) {
			m.index = (u8)index;
			m.scale = a->scale;
		}
	}
	if (m.base == H_NONE && m.index == H_NONE) {
		emit_imm(e, to, a->fixed);
	} else {
		m.disp = (s32)a->fixed;
		if (a->narrow)
			emit_lea32(e, to, m);
		else if (m.base != to || m.index != H_NONE || m.disp)
			emit_lea(e, to, m);
	}
	if (has_segment(a))
		emit_rm(e, a->wraps ? 0 : E_W, E_ONE, 0x03, to, segment_base(b, a->seg));
}

/* --- checks ------------------------------------------------------------------------------------- */

static s32 table_of(const struct translation *b, bool write)
{
	const struct x86_tlb *tlb = &b->c->tlb[b->mode % CODE_NARROW].data;

	return context_at(b->c, write ? tlb->write : tlb->read).disp;
}

static void fill_cold(struct translation *b, const struct address *a, u8 *from, u8 *retry, unsigned bytes,
		      bool write, bool align)
{
	struct cold *cold = cold_add(b, COLD_FILL, from);
	unsigned log = bytes > 64 ? 7 : 0;

	while (log < 7 && 1u << log < bytes)
		log++;
	cold->retry = retry;
	cold->address = *a;
	cold->info = info_here(b) | (u64)log << 55 | (u64)write << 58 | (u64)align << 61;
}

static struct host_mem open_constant(struct translation *b, const struct address *a, unsigned bytes, bool write)
{
	struct emitter *e = &b->e;
	u64 page = a->fixed & ~(PAGE_BYTES - 1);
	s32 entry = table_of(b, write) + (s32)((a->fixed >> PAGE_BITS) % X86_TLB_ENTRIES * sizeof(struct x86_tlb_entry));
	u8 *retry = e->at;

	if (((a->fixed + bytes - 1) & ~(PAGE_BYTES - 1)) != page)
		page = 2;		/* across two pages: never a tag, never a hit */
	if (fits_s32((s64)page) && fits_s32((s64)a->fixed)) {
		emit_alu_mem_imm(e, E_W, E_CMP, mem_at(H_RBP, entry), (s32)page);
		fill_cold(b, a, emit_jcc(e, E_CC_NE), retry, bytes, write, false);
		emit_load(e, T0, mem_at(H_RBP, entry + 8));
		return mem_at(T0, (s32)a->fixed);
	}
	emit_imm(e, T0, page);
	emit_rm(e, E_W, E_ONE, 0x3b, T0, mem_at(H_RBP, entry));
	fill_cold(b, a, emit_jcc(e, E_CC_NE), retry, bytes, write, false);
	emit_rm(e, E_W, E_ONE, 0x03, T0, mem_at(H_RBP, entry + 8));
	return mem_at(T0, (s32)(a->fixed & (PAGE_BYTES - 1)));
}

/* T1: the first byte's address; T0: the last one's, of which the bits in keep are compared. */
u8 *emit_tlb_look_up(struct emitter *e, struct host_mem entry, s32 keep)
{
	u8 *from;

	emit_shift_imm(e, 0, 5, T1, 8);
	emit_alu_imm(e, 0, E_AND, T1, (X86_TLB_ENTRIES - 1) << 4);
	emit_alu_imm(e, E_W, E_AND, T0, keep);
	emit_rm(e, E_W, E_ONE, 0x3b, T0, entry);
	from = emit_jcc(e, E_CC_NE);
	entry.disp += 8;
	emit_load(e, T1, entry);
	return from;
}

/* Ends with the branch out of line, whose displacement it returns; then T1 gets the addend. */
u8 *memory_check(struct translation *b, const struct address *a, unsigned bytes, bool write, bool align)
{
	struct host_mem entry = { .base = H_RBP, .index = T1, .disp = table_of(b, write) };
	struct emitter *e = &b->e;

	if (address_is_simple(a)) {
		struct host_mem m = mem_at(host_of[a->base], (s32)a->fixed);

		if (m.disp)
			emit_lea32(e, T1, m);
		else
			emit_mov32(e, T1, m.base);
		if (!align)
			m.disp += (s32)bytes - 1;
		if (m.disp)
			emit_lea(e, T0, m);
		else
			emit_mov(e, T0, m.base);
	} else {
		emit_address(b, a, T0);
		emit_mov32(e, T1, T0);
		if (!align && bytes > 1)
			emit_lea(e, T0, mem_at(T0, (s32)bytes - 1));
	}
	return emit_tlb_look_up(e, entry, align ? (s32)(-4096 | (s32)(bytes - 1)) : -4096);
}

/*
 * The operand, with the addend in T1: what the host's addressing does not take is added to
 * that.  Where addresses are truncated, or the index is displaced, once more in full.
 */
static struct host_mem add_addend(struct translation *b, const struct address *a)
{
	struct host_mem m = { .base = H_NONE, .index = T1, .disp = (s32)a->fixed };
	struct emitter *e = &b->e;

	if (a->narrow || a->wraps || !fits_s32((s64)a->fixed) ||
	    (a->index != X86_REG_NONE && host_of[a->index] == DISPLACED)) {
		emit_address(b, a, T0);
		return (struct host_mem){ .base = T0, .index = T1 };
	}
	if (has_segment(a))
		emit_rm(e, E_W, E_ONE, 0x03, T1, segment_base(b, a->seg));
	if (a->base != X86_REG_NONE && host_of[a->base] == DISPLACED)
		emit_rm(e, E_W, E_ONE, 0x03, T1, gpr_at(a->base));
	else if (a->base != X86_REG_NONE && a->index == X86_REG_NONE)
		m.base = host_of[a->base];
	else if (a->base != X86_REG_NONE)
		emit_rr(e, E_W, E_ONE, 0x03, T1, host_of[a->base]);
	if (m.base == H_NONE) {
		m.base = T1;
		m.index = a->index == X86_REG_NONE ? H_NONE : host_of[a->index];
		m.scale = a->scale;
	}
	return m;
}

struct host_mem memory_open(struct translation *b, const struct address *a, unsigned bytes, bool write, bool align)
{
	struct emitter *e = &b->e;
	struct host_mem m;
	u8 *retry, *from;

	if (!align && group_open(b, a, bytes, write, &m))
		return m;
	flags_lose(b);
	if (b->narrow && has_segment(a)) {
		emit_alu_mem_imm8(e, E_CMP, context_at(b->c, &b->t->flat[a->seg]), 0);
		restart_if(b, E_CC_E);
	}
	if (is_constant(a) && (!align || !(a->fixed & (bytes - 1))))
		return open_constant(b, a, bytes, write);
	retry = e->at;
	from = memory_check(b, a, bytes, write, align);
	fill_cold(b, a, from, retry, bytes, write, align);
	return add_addend(b, a);
}

struct host_mem memory_collapse(struct translation *b, struct host_mem m)
{
	if (!mem_uses(m, T1))
		return m;
	emit_lea(&b->e, T0, m);
	return mem_at(T0, 0);
}

/* The instruction at hand, for whoever has to execute it in our place. */
u64 info_here(const struct translation *b)
{
	bool shadow = b->at && b->native[b->at - 1] && system_needs_next(&b->insn[b->at - 1]);

	return info_make(b->rips[b->at], instructions_after(b)) | (u64)shadow << 62;
}

void restart_if(struct translation *b, unsigned cc)
{
	cold_add(b, COLD_RESTART, emit_jcc(&b->e, cc))->info = info_here(b);
}

/* --- out of line ----------------------------------------------------------------------------------- */

struct cold *cold_add(struct translation *b, enum cold_kind kind, u8 *from)
{
	struct cold *cold = &b->cold[b->colds++];

	*cold = (struct cold){ .kind = kind, .from = from, .at = b->at };
	return cold;
}

void emit_thunk(struct translation *b, u32 at)
{
	emit_target(emit_call(&b->e), b->t->code.write + at);
}

void emit_colds(struct translation *b)
{
	struct emitter *e = &b->e;

	for (unsigned n = 0; n < b->colds; n++) {
		struct cold *cold = &b->cold[n];

		b->at = cold->at;
		emit_target(cold->from, e->at);
		switch (cold->kind) {
		case COLD_FILL:
			emit_address(b, &cold->address, T0);
			emit_thunk(b, b->t->at_fill);
			emit_target(emit_jmp(e), cold->retry);
			put64(e, cold->info);
			break;
		case COLD_JUMP:
			emit_thunk(b, b->t->at_jump[b->mode]);
			emit_target(emit_jmp(e), cold->retry);
			put64(e, cold->info);
			break;
		case COLD_VIEW:
			emit_imm(e, T0, rip_behind(b, b->at) - 1);
			emit_thunk(b, b->t->at_view);
			emit_target(emit_jmp(e), cold->retry);
			put64(e, cold->info);
			put32(e, cold->number);
			break;
		case COLD_VECTOR:
			emit_thunk(b, b->t->at_vector);
			emit_target(emit_jmp(e), cold->retry);
			put64(e, cold->info);
			break;
		case COLD_GROUP:
		case COLD_STACK:
			group_emit_cold(b, cold);
			break;
		case COLD_RESTART:
			emit_thunk(b, b->t->at_restart);
			put64(e, cold->info);
			break;
		case COLD_SIDE:
		case COLD_RETURN:
			branch_emit_cold(b, cold);
			break;
		case COLD_LINK:
			if (cold->after)
				emit_alu_mem_imm(e, E_W, E_SUB, context_at(b->c, &b->c->counters.instructions),
						 (s32)cold->after);
			emit_thunk(b, b->t->at_link);
			put64(e, cold->info);
			put32(e, cold->number);
			put32(e, b->view);
			break;
		case COLD_RESOLVE:
			emit_thunk(b, b->t->at_resolve);
			put64(e, cold->info);
			put32(e, cold->number);
			break;
		}
	}
}
