// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_group.c - accesses that share a check
 *
 * Code that pushes registers, reads members of a struct, or comes back to its stack frame
 * makes accesses that lie close together.  One check serves them: the first byte's entry is
 * compared with the last byte's page, for writing if any of them writes.  The entry's addend
 * is kept in the context, and in T1 until that is needed otherwise.
 *
 * Which accesses lie close together is known as far as registers change by constants: a
 * register's value is an origin (something unknown, by number) and an offset.  MOV copies
 * values; what is added to them moves the offset; an index register makes an origin of its
 * own together with its base.
 *
 * Nothing on the path of a block changes what an address leads to, except instructions of the
 * executor: they end all groups.  A write that is only perhaps executed, since the path may be
 * left before, does not make the check one for writing.
 *
 * The stack has a check of its own, in which the TLB is not looked into as long as RSP stays on
 * its page.  It is for writing even if RSP's accesses are reads, and done for single ones too.
 *
 * Cold: where the range crosses a page, or may not be accessed as a whole, the rest of the path
 * is executed by a block that is translated without groups.
 */
#include "soft/translate.h"

#define RANGE_BYTES	1024
#define OFFSET_MAX	(1 << 20)

/* --- values of registers --------------------------------------------------------------------------- */

static void forget(struct translation *b, unsigned r)
{
	b->value[r] = (struct value){ ++b->origins, 0 };
}

static void values_begin(struct translation *b)
{
	b->origins = 0;
	for (unsigned r = 0; r < 16; r++)
		forget(b, r);
}

static struct value moved(struct value v, s64 by)
{
	s64 offset = v.offset + by;

	if (!v.origin || offset < -OFFSET_MAX || offset > OFFSET_MAX)
		return (struct value){ 0, 0 };
	v.offset = (s32)offset;
	return v;
}

static void set(struct translation *b, unsigned r, struct value v)
{
	b->value[r] = v;
	if (!v.origin)
		forget(b, r);
}

#define BIT_OF(r) (1u << ((r) & 15))
#define ALL 0xffffu

static u32 written_implicitly(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_MUL: case X86_OP_IMUL: case X86_OP_DIV: case X86_OP_IDIV: case X86_OP_CWD: case X86_OP_CBW:
	case X86_OP_CMPXCHG: case X86_OP_CMPXCHG8B: case X86_OP_CMPXCHG16B: case X86_OP_LAHF:
		return BIT_OF(X86_RAX) | BIT_OF(X86_RDX);
	default:
		return 0;
	}
}

static u32 written_by_special(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_PUSH: case X86_OP_PUSHF:
		return BIT_OF(X86_RSP);
	case X86_OP_POP:
		return BIT_OF(X86_RSP) | BIT_OF(i->rm);
	case X86_OP_LEAVE:
		return BIT_OF(X86_RSP) | BIT_OF(X86_RBP);
	case X86_OP_LEA:
		return BIT_OF(i->reg);
	case X86_OP_BSWAP: case X86_OP_MOV:
		return BIT_OF(i->rm);
	case X86_OP_CLD: case X86_OP_STD: case X86_OP_CLI: case X86_OP_STI: case X86_OP_MFENCE: case X86_OP_SFENCE:
		return 0;
	case X86_OP_RDTSC: case X86_OP_RDTSCP:
		return BIT_OF(X86_RAX) | BIT_OF(X86_RDX) | BIT_OF(X86_RCX);
	default:
		return ALL;
	}
}

/* A mask of the guest's registers that instruction n may write. */
static u32 written_by(const struct translation *b, unsigned n)
{
	const struct x86_insn *i = &b->insn[n];
	struct plan p;

	if (!b->native[n])
		return ALL;
	if (i->flags & X86_F_VECTOR) {
		if (!(i->flags & X86_F_GPR_WRITE))
			return 0;
		return i->flags & X86_F_IMPLICIT_GPR ? ALL : BIT_OF(i->rm) | BIT_OF(i->reg);
	}
	if (i->flags & X86_F_BRANCH)
		return i->op == X86_OP_CALL || i->op == X86_OP_RET ? BIT_OF(X86_RSP) : 0;
	p = insn_plan(b, i);
	switch (p.kind) {
	case PLAN_MODRM:
		return ((p.ext == 0xff && (p.g & PLAN_WRITE)) ? BIT_OF(i->reg) : 0) |
		       ((p.e & PLAN_WRITE) && !(i->flags & X86_F_MEM) ? BIT_OF(i->rm) : 0) | written_implicitly(i);
	case PLAN_VEX:
		return (p.ext == 0xff ? BIT_OF(i->reg) : 0) |
		       (i->form == X86_V_E || i->op == X86_OP_MULX ? BIT_OF(i->vvvv) : 0);
	case PLAN_PLAIN:
		return written_implicitly(i);
	case PLAN_SPECIAL:
		return written_by_special(i);
	default:
		return p.kind == PLAN_NOTHING ? 0 : ALL;
	}
}

/* A register gets another one's value, or moves by a constant.  False: neither. */
static bool value_flows(struct translation *b, const struct x86_insn *i)
{
	bool memory = i->flags & X86_F_MEM;

	if (i->op_bytes != 8)
		return false;
	switch (i->op) {
	case X86_OP_MOV:
		if (memory || (i->form != X86_E_G && i->form != X86_G_E))
			return false;
		if (i->form == X86_E_G)
			b->value[i->rm] = b->value[i->reg];
		else
			b->value[i->reg] = b->value[i->rm];
		return true;
	case X86_OP_LEA:
		if (i->ad_bytes != 8 || i->index != X86_REG_NONE || i->base >= 16)
			return false;
		set(b, i->reg, moved(b->value[i->base], i->disp));
		return true;
	case X86_OP_ADD: case X86_OP_SUB:
		if (memory || i->form != X86_E_I)
			return false;
		set(b, i->rm, moved(b->value[i->rm], i->op == X86_OP_ADD ? (s64)i->imm : -(s64)i->imm));
		return true;
	case X86_OP_INC: case X86_OP_DEC:
		if (memory)
			return false;
		set(b, i->rm, moved(b->value[i->rm], i->op == X86_OP_INC ? 1 : -1));
		return true;
	default:
		return false;
	}
}

static void stack_moves(struct translation *b, const struct x86_insn *i)
{
	struct value rsp = b->value[X86_RSP];

	switch (i->op) {
	case X86_OP_PUSH: case X86_OP_PUSHF: case X86_OP_CALL:
		set(b, X86_RSP, moved(rsp, -8));
		break;
	case X86_OP_POP:
		set(b, X86_RSP, moved(rsp, 8));
		forget(b, i->rm);
		break;
	case X86_OP_RET:
		set(b, X86_RSP, moved(rsp, 8 + (i->form == X86_I ? (s64)(u16)i->imm : 0)));
		break;
	default:
		set(b, X86_RSP, moved(b->value[X86_RBP], 8));
		forget(b, X86_RBP);
		break;
	}
}

/* From before instruction n to behind it. */
static void values_step(struct translation *b, unsigned n)
{
	const struct x86_insn *i = &b->insn[n];
	u32 written = written_by(b, n);

	if (b->native[n] && !(i->flags & X86_F_VECTOR)) {
		switch (i->op) {
		case X86_OP_PUSH: case X86_OP_PUSHF: case X86_OP_CALL: case X86_OP_POP: case X86_OP_RET: case X86_OP_LEAVE:
			stack_moves(b, i);
			return;
		default:
			if (value_flows(b, i))
				return;
		}
	}
	for (; written; written &= written - 1)
		forget(b, (unsigned)__builtin_ctz(written));
}

/* Nothing known before instruction n is known behind it. */
static bool is_barrier(const struct translation *b, unsigned n)
{
	return written_by(b, n) == ALL;
}

/* --- accesses ---------------------------------------------------------------------------------------- */

/* The origin of base plus index. */
static u32 pair_origin(struct translation *b, u32 base, u32 index, u8 scale)
{
	unsigned n = 0;

	while (n < b->pairs && (b->pair[n].base != base || b->pair[n].index != index || b->pair[n].scale != scale))
		n++;
	if (n == ARRAY_LEN(b->pair))
		return 0;
	if (n == b->pairs) {
		b->pair[n].base = base;
		b->pair[n].index = index;
		b->pair[n].scale = scale;
		b->pairs++;
	}
	return 0x10000 + n;
}

static struct value value_of(struct translation *b, const struct address *a)
{
	struct value none = { 0, 0 }, v;

	if (b->narrow || b->apart || a->narrow || a->base == X86_REG_NONE || a->seg == X86_FS || a->seg == X86_GS)
		return none;
	v = moved(b->value[a->base], (s64)a->fixed);
	if (!v.origin || a->index == X86_REG_NONE)
		return v;
	v.origin = pair_origin(b, v.origin, b->value[a->index].origin, a->scale);
	return moved(v, (s64)b->value[a->index].offset << a->scale);
}

static bool memory_access(struct translation *b, unsigned n, struct access *out)
{
	const struct x86_insn *i = &b->insn[n];
	struct address a;

	if (!(i->flags & X86_F_MEM) || i->mem_bytes == 0 || i->mem_bytes > 64)
		return false;
	if (i->flags & X86_F_VECTOR) {
		if (i->flags & X86_F_ALIGN)
			return false;
		out->write = i->flags & X86_F_MEM_WRITE;
	} else if (!(i->flags & X86_F_BRANCH)) {
		struct plan p = insn_plan(b, i);

		if (p.kind == PLAN_NOTHING || p.align || i->op == X86_OP_LEA)
			return false;
		out->write = p.kind == PLAN_MODRM && (p.e & PLAN_WRITE);
	}
	b->at = n;
	a = address_of(b, i);
	out->v = value_of(b, &a);
	out->bytes = i->mem_bytes;
	return true;
}

static bool stack_access(struct translation *b, const struct x86_insn *i, struct access *out)
{
	struct value rsp = b->value[X86_RSP];

	out->bytes = 8;
	switch (i->op) {
	case X86_OP_PUSH: case X86_OP_PUSHF: case X86_OP_CALL:
		out->write = true;
		out->v = moved(rsp, -8);
		return true;
	case X86_OP_POP: case X86_OP_RET:
		out->v = rsp;
		return true;
	case X86_OP_LEAVE:
		out->v = b->value[X86_RBP];
		return true;
	default:
		return false;
	}
}

void groups_find(struct translation *b)
{
	b->pairs = b->groups = b->first_group = 0;
	b->held = NULL;
	values_begin(b);
	for (unsigned n = 0; n < b->count && !b->narrow && !b->apart; n++) {
		struct access *a = b->access[n];

		a[0] = a[1] = (struct access){ 0 };
		if (b->native[n]) {
			memory_access(b, n, &a[0]);
			if (!(b->insn[n].flags & X86_F_VECTOR))
				stack_access(b, &b->insn[n], &a[1]);
		}
		values_step(b, n);
	}
	values_begin(b);
}

void groups_step(struct translation *b)
{
	if (b->narrow || b->apart)
		return;
	if (is_barrier(b, b->at))
		b->first_group = b->groups;
	values_step(b, b->at);
}

/* --- groups -------------------------------------------------------------------------------------------- */

/* May the path be left before the instruction behind n? */
static bool may_leave_behind(const struct translation *b, unsigned n)
{
	return (b->insn[n].flags & X86_F_BRANCH) || b->enters[n + 1];
}

static bool extend(struct group *g, s32 at, unsigned bytes)
{
	s32 low = MIN_OF(g->low, at), high = MAX_OF(g->high, at + (s32)bytes);

	if (high - low > RANGE_BYTES)
		return false;
	g->low = low;
	g->high = high;
	return true;
}

/* A group from the access at v on; false: nothing would share its check. */
static bool find(const struct translation *b, struct value v, unsigned bytes, bool write, struct group *g)
{
	unsigned accesses = 0;
	bool perhaps = false;

	*g = (struct group){ .origin = v.origin, .write = write, .low = v.offset, .high = v.offset + (s32)bytes };
	for (unsigned n = b->at; n < b->count && b->native[n]; n++) {
		for (unsigned k = 0; k < 2; k++) {
			const struct access *a = &b->access[n][k];

			if (a->v.origin != g->origin || (a->write && !g->write && perhaps) ||
			    !extend(g, a->v.offset, a->bytes))
				continue;
			g->write |= a->write;
			accesses++;
		}
		if (is_barrier(b, n))
			break;
		perhaps |= is_inner(b, n) && may_leave_behind(b, n);
	}
	return accesses > 1;
}

static struct group *group_of(struct translation *b, struct value v, unsigned bytes, bool write)
{
	struct group *found = NULL;

	for (unsigned n = b->first_group; n < b->groups; n++) {
		struct group *g = &b->group[n];

		if (g->origin != v.origin || (write && !g->write) || v.offset < g->low || v.offset + (s32)bytes > g->high)
			continue;
		if (!found || g == b->held)
			found = g;
	}
	return found;
}

static struct host_mem addend_at(const struct translation *b, const struct group *g)
{
	return context_at(b->c, &b->t->addend[g - b->group]);
}

static void hold(struct translation *b, const struct group *g)
{
	b->held = g;
	b->e.touched &= ~(1u << T1);
}

/* The operand, with the addend in T1; leaves flags alone. */
static struct host_mem operand(struct translation *b, const struct address *a)
{
	struct host_mem m = { .base = host_of[a->base], .index = T1, .disp = (s32)a->fixed };
	struct emitter *e = &b->e;

	if (m.base == DISPLACED) {
		emit_load(e, T0, gpr_at(a->base));
		m.base = T0;
	}
	if (a->index == X86_REG_NONE)
		return m;
	emit_lea(e, T1, (struct host_mem){ .base = m.base, .index = T1 });
	m.base = T1;
	m.index = host_of[a->index];
	m.scale = a->scale;
	if (m.index == DISPLACED) {
		emit_load(e, T0, gpr_at(a->index));
		m.index = T0;
	}
	return m;
}

static bool is_stack(const struct address *a)
{
	return a->base == X86_RSP && a->index == X86_REG_NONE;
}

/* Is the range on the page that the stack was on the last time?  Then T1 gets the addend. */
static u8 *stack_check(struct translation *b, const struct address *range, s32 bytes)
{
	unsigned privilege = b->mode % CODE_NARROW;
	struct emitter *e = &b->e;
	u8 *from;

	emit_lea(e, T0, mem_at(host_of[X86_RSP], (s32)range->fixed));
	emit_rm(e, E_W, E_ONE, 0x2b, T0, context_at(b->c, &b->t->stack[privilege].page));
	emit_alu_imm(e, E_W, E_CMP, T0, (s32)PAGE_BYTES - bytes);
	from = emit_jcc(e, E_CC_A);
	emit_load(e, T1, context_at(b->c, &b->t->stack[privilege].addend));
	return from;
}

static void check(struct translation *b, const struct address *a, struct value v, struct group *g)
{
	struct address range = *a;
	struct cold *cold;
	u8 *retry, *from;

	range.fixed += (u64)(s64)(g->low - v.offset);
	flags_lose(b);
	retry = b->e.at;
	if (is_stack(a))
		from = stack_check(b, &range, g->high - g->low);
	else
		from = memory_check(b, &range, (unsigned)(g->high - g->low), g->write, false);
	cold = cold_add(b, is_stack(a) ? COLD_STACK : COLD_GROUP, from);
	cold->retry = retry;
	cold->address = range;
	cold->number = (u32)(g->high - g->low);
	cold->info = info_here(b) | (u64)g->write << 58 | 1ull << 63;
	g->store = b->e.at;
	emit_store(&b->e, T1, addend_at(b, g));
	g->store_end = b->e.at;
	hold(b, g);
}

bool group_open(struct translation *b, const struct address *a, unsigned bytes, bool write, struct host_mem *m)
{
	struct value v = value_of(b, a);
	struct group *g;

	if (!v.origin)
		return false;
	g = group_of(b, v, bytes, write);
	if (g) {
		if (g != b->held || (b->e.touched & 1u << T1)) {
			emit_load(&b->e, T1, addend_at(b, g));
			g->reloaded = true;
			hold(b, g);
		}
	} else {
		g = &b->group[b->groups];
		if (b->groups == CODE_GROUPS || (!find(b, v, bytes, write || is_stack(a), g) && !is_stack(a)))
			return false;
		b->groups++;
		check(b, a, v, g);
	}
	*m = operand(b, a);
	return true;
}

/* The range crosses a page: go on with a block that has a check for each access. */
void group_emit_cold(struct translation *b, struct cold *cold)
{
	struct emitter *e = &b->e;
	u8 *apart;

	emit_address(b, &cold->address, T0);
	emit_lea(e, T1, mem_at(T0, (s32)cold->number - 1));
	emit_rr(e, E_W, E_ONE, 0x33, T1, T0);
	emit_shift_imm(e, E_W, 5, T1, PAGE_BITS);
	apart = emit_jcc(e, E_CC_NE);
	emit_thunk(b, cold->kind == COLD_STACK ? b->t->at_stack[b->mode % CODE_NARROW] : b->t->at_fill);
	emit_target(emit_jmp(e), cold->retry);
	put64(e, cold->info);

	emit_target(apart, e->at);
	emit_alu_mem_imm(e, E_W, E_SUB, context_at(b->c, &b->c->counters.instructions), (s32)INFO_AFTER(cold->info));
	apart = emit_jmp(e);
	cold = cold_add(b, COLD_LINK, apart);
	cold->info = info_make(b->rips[cold->at], 0) | 1ull << 63;
	cold->number = (u32)(apart - b->t->code.write);
}

/* An addend that nobody reads need not be kept: NOPs of 7 bytes. */
void groups_finish(struct translation *b)
{
	static const u8 nop[7] = { 0x0f, 0x1f, 0x80 };

	for (unsigned n = 0; n < b->groups; n++) {
		struct group *g = &b->group[n];

		if (!g->reloaded && g->store_end - g->store == sizeof(nop))
			__builtin_memcpy(g->store, nop, sizeof(nop));
	}
}
