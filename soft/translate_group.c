// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_group.c - accesses that share a check
 *
 * Code that pushes six registers, or reads four members of a struct, makes accesses off one
 * register that lie close together.  One check serves them all: the first byte's entry is
 * compared with the last byte's page, for writing if any of them writes.  Until the last of
 * them, T1 keeps the addend and so the instructions between must leave it, and the base must
 * change by constants only.
 *
 * Cold: where the range crosses a page, the same instructions once more with a check each,
 * which join the others behind the last.
 */
#include "soft/translate.h"

#define RANGE_BYTES 1024

/* What an instruction means for the group that it may be in. */
struct member {
	bool accesses, write;
	s32 at;			/* from the base's value before the instruction */
	s32 bytes;
	s32 moves;		/* by how much it changes the base */
	bool ends;		/* nothing behind it can be in the group */
};

static bool is_displaced(unsigned r)
{
	return host_of[r & 15] == DISPLACED;
}

static void stack_member(struct member *m, s32 at, bool write, s32 moves)
{
	*m = (struct member){ .accesses = true, .write = write, .at = at, .bytes = 8, .moves = moves };
}

/* Does it write the base otherwise than through G and E? */
static bool writes_implicitly(const struct x86_insn *i, unsigned base)
{
	switch (i->op) {
	case X86_OP_MUL: case X86_OP_IMUL: case X86_OP_CWD: case X86_OP_CBW: case X86_OP_CMPXCHG:
	case X86_OP_CMPXCHG8B: case X86_OP_CMPXCHG16B: case X86_OP_LAHF:
		return base == X86_RAX || base == X86_RDX;
	default:
		return false;
	}
}

static bool memory_member(const struct translation *b, const struct x86_insn *i, unsigned base, bool write,
			  struct member *m)
{
	struct address a = address_of(b, i);

	if (!address_is_simple(&a) || a.base != base || a.fixed + RANGE_BYTES > 2 * RANGE_BYTES)
		return false;
	m->accesses = true;
	m->write = write;
	m->at = (s32)a.fixed;
	m->bytes = i->mem_bytes;
	return true;
}

static bool vector_member(const struct translation *b, const struct x86_insn *i, unsigned base, struct member *m)
{
	struct flag_use use = insn_flags(i, true);

	if (use.reads || use.changes || (i->flags & (X86_F_IMPLICIT_GPR | X86_F_GPR_WRITE)))
		return false;
	if (i->flags & X86_F_GPR_READ && (is_displaced(i->reg) || is_displaced(i->rm)))
		return false;
	if (!(i->flags & X86_F_MEM))
		return true;
	return !(i->flags & X86_F_ALIGN) && memory_member(b, i, base, i->flags & X86_F_MEM_WRITE, m);
}

static bool modrm_member(const struct translation *b, const struct x86_insn *i, const struct plan *p, unsigned base,
			 struct member *m)
{
	bool g = p->ext == 0xff, e_is_base = !(i->flags & X86_F_MEM) && (i->rm & 15) == base;

	if (i->op == X86_OP_DIV || i->op == X86_OP_IDIV || p->align)
		return false;
	if (i->flags & X86_F_MEM) {
		if (!memory_member(b, i, base, p->e & PLAN_WRITE, m))
			return false;
	} else if (g && p->g && is_displaced(i->reg)) {
		return false;		/* it would be in T1 */
	}
	if (e_is_base && (i->op == X86_OP_ADD || i->op == X86_OP_SUB) && i->form == X86_E_I && i->op_bytes == 8 &&
	    (s64)i->imm > -RANGE_BYTES && (s64)i->imm < RANGE_BYTES) {
		m->moves = i->op == X86_OP_ADD ? (s32)i->imm : -(s32)i->imm;
		return true;
	}
	if ((g && (p->g & PLAN_WRITE) && (i->reg & 15) == base) || (e_is_base && (p->e & PLAN_WRITE)) ||
	    writes_implicitly(i, base))
		m->ends = true;
	return true;
}

static bool special_member(const struct x86_insn *i, unsigned base, struct member *m)
{
	switch (i->op) {
	case X86_OP_PUSH:
		if (i->flags & X86_F_MEM || base != X86_RSP)
			return false;
		stack_member(m, -8, true, -8);
		return true;
	case X86_OP_POP:
		if (base != X86_RSP)
			return false;
		stack_member(m, 0, false, 8);
		m->ends = i->rm == X86_RSP;
		return true;
	case X86_OP_LEAVE:
		if (base != X86_RBP)
			return false;
		stack_member(m, 0, false, 0);
		m->ends = true;
		return true;
	case X86_OP_LEA:
		if (i->op_bytes == 2 || (i->index != X86_REG_NONE && is_displaced(i->index)))
			return false;
		if (i->reg != base)
			return true;
		if (i->base == base && i->index == X86_REG_NONE && i->op_bytes == 8 && i->ad_bytes == 8 &&
		    i->disp > -RANGE_BYTES && i->disp < RANGE_BYTES)
			m->moves = i->disp;
		else
			m->ends = true;
		return true;
	case X86_OP_BSWAP:
	case X86_OP_MOV:
		m->ends = i->rm == base;
		return true;
	default:
		return false;
	}
}

/* May it be in a group off base? */
static bool member_of(const struct translation *b, unsigned n, unsigned base, struct member *m)
{
	const struct x86_insn *i = &b->insn[n];
	struct plan p;

	*m = (struct member){ 0 };
	if (!b->native[n])
		return false;
	if (i->flags & X86_F_VECTOR)
		return vector_member(b, i, base, m);
	if (i->flags & X86_F_BRANCH) {
		if (base != X86_RSP || !(i->op == X86_OP_RET || (i->op == X86_OP_CALL && i->form == X86_J)))
			return false;
		stack_member(m, i->op == X86_OP_RET ? 0 : -8, i->op == X86_OP_CALL, 0);
		m->ends = true;
		return true;
	}
	p = insn_plan(b, i);
	switch (p.kind) {
	case PLAN_MODRM:
		return modrm_member(b, i, &p, base, m);
	case PLAN_PLAIN:
		m->ends = writes_implicitly(i, base);
		return true;
	case PLAN_SPECIAL:
		return special_member(i, base, m);
	default:
		return p.kind == PLAN_NOTHING;
	}
}

/* The register that the instruction's access is off; X86_REG_NONE if it has none. */
static unsigned base_of(const struct translation *b, const struct x86_insn *i)
{
	struct address a;

	if (i->flags & X86_F_MEM) {
		a = address_of(b, i);
		return address_is_simple(&a) ? a.base : X86_REG_NONE;
	}
	switch (i->op) {
	case X86_OP_PUSH: case X86_OP_POP:
		return X86_RSP;
	default:
		return X86_REG_NONE;
	}
}

/* From the instruction at hand on; false: less than two accesses. */
static bool find(struct translation *b, struct group *g)
{
	unsigned accesses = 0;
	s32 moved = 0;
	struct member m;

	*g = (struct group){ .first = b->at, .last = b->at, .base = (u8)base_of(b, &b->insn[b->at]) };
	if (g->base == X86_REG_NONE)
		return false;
	for (unsigned n = b->at; n < b->count; n++) {
		if (!member_of(b, n, g->base, &m) || (n == b->at && !m.accesses))
			break;
		b->moved[n] = moved;
		if (m.accesses) {
			s32 low = MIN_OF(g->low, moved + m.at), high = MAX_OF(g->high, moved + m.at + m.bytes);

			if (!accesses) {
				low = moved + m.at;
				high = low + m.bytes;
			}
			if (high - low > RANGE_BYTES)
				break;
			g->low = low;
			g->high = high;
			g->write |= m.write;
			g->last = n;
			accesses++;
		}
		moved += m.moves;
		if (m.ends)
			break;
	}
	return accesses > 1;
}

static struct address range_of(const struct group *g)
{
	return (struct address){ .base = g->base, .index = X86_REG_NONE, .fixed = (u64)(s64)g->low };
}

void group_begin(struct translation *b)
{
	struct group *g = &b->group[b->groups];
	struct address a;
	struct cold *cold;
	u8 *retry, *from;

	if (b->open || b->apart || b->narrow || !b->native[b->at] || !find(b, g))
		return;
	b->groups++;
	a = range_of(g);
	flags_lose(b);
	g->native_before = b->flags_native;
	g->saved_before = b->flags_saved;
	retry = b->e.at;
	from = memory_check(b, &a, (unsigned)(g->high - g->low), g->write, false);
	cold = cold_add(b, COLD_GROUP, from);
	cold->retry = retry;
	cold->address = a;
	cold->info = info_here(b) | (u64)g->write << 58;
	cold->group = g;
	b->open = g;
}

void group_end(struct translation *b)
{
	struct group *g = b->groups ? &b->group[b->groups - 1] : NULL;

	if (!g || b->apart || b->at != g->last)
		return;
	g->native_after = b->flags_native;
	g->saved_after = b->flags_saved;
	g->resume = b->e.at;
	b->open = NULL;
}

void group_emit_cold(struct translation *b, struct cold *cold)
{
	const struct group *g = cold->group;
	struct emitter *e = &b->e;
	u8 *apart;

	emit_lea(e, T0, mem_at(host_of[g->base], g->low));
	emit_lea(e, T1, mem_at(host_of[g->base], g->high - 1));
	emit_rr(e, E_W, E_ONE, 0x33, T1, T0);
	emit_shift_imm(e, E_W, 5, T1, PAGE_BITS);
	apart = emit_jcc(e, E_CC_NE);
	emit_thunk(b, b->t->at_fill_read);
	emit_target(emit_jmp(e), cold->retry);
	put64(e, cold->info);

	emit_target(apart, e->at);
	b->apart = true;
	b->open = NULL;
	b->flags_native = g->native_before;
	b->flags_saved = g->saved_before;
	for (b->at = g->first; b->at <= g->last; b->at++)
		emit_instruction(b);
	if (b->insn[g->last].flags & X86_F_BRANCH)
		return;
	if (b->live[b->at] && g->saved_after)
		flags_save(b);
	if (b->live[b->at] && g->native_after)
		flags_need(b, T0);
	emit_target(emit_jmp(e), g->resume);
}
