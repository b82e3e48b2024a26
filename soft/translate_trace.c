// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_trace.c - the path through the guest's code that becomes a block
 *
 * A path begins where code was found to be warm and goes on past branches where they are
 * expected to lead: past a forward Jcc that is not taken, along direct jumps and calls, and
 * from RET to behind the call that is on the path.  It ends at other branches, at an
 * instruction that crosses a page or is invalid, where it would come back to itself, and when
 * it is long enough.  It may come to other pages; the block then looks at their views where
 * it enters them.
 *
 * Flags that are live where the path is left are saved there.  To find that they are not, the
 * code that follows is looked at, where it lies on the path's pages: what was seen there holds
 * as long as that page's translations do.
 */
#include "soft/translate.h"
#include "x86/feature.h"
#include "x86/semantics.h"

#define LOOK_AHEAD	12u	/* instructions behind a branch */
#define EXITS		5u	/* forward branches of one path */
#define DEPTH		4u	/* calls */
#define APART_MAX	16u

/* --- pages -------------------------------------------------------------------------------- */

static const struct part *part_of(const struct translation *b, u64 rip)
{
	for (unsigned n = 0; n < b->parts; n++)
		if (!((rip ^ b->part[n].page) & ~(PAGE_BYTES - 1)))
			return &b->part[n];
	return NULL;
}

static bool is_canonical_48(u64 a)
{
	return (u64)((s64)(a << 16) >> 16) == a;
}

/* The path comes to rip's page: false if it can not. */
static bool part_add(struct translation *b, u64 rip)
{
	struct part *p = &b->part[b->parts];
	const u8 *code;

	if (part_of(b, rip))
		return true;
	if (b->parts == CODE_BLOCK_PAGES || !is_canonical_48(rip) || (b->parts && !code_has_room(b->t)))
		return false;
	p->view = code_view_at(b->c, b->mode, rip);
	if (!p->view || soft_mem_fetch(b->c, rip & ~(PAGE_BYTES - 1), &code) != X86_OK || code_view_is_dead(b->t, p->view))
		return false;
	p->page = rip & ~(PAGE_BYTES - 1);
	p->code = (const u8 *)b->t->page[b->t->view[p->view - 1].page].host;
	b->parts++;
	return true;
}

/* --- what the guest says ------------------------------------------------------------------------ */

static bool decode_at(const struct translation *b, u64 rip, struct x86_insn *i)
{
	const struct part *p = part_of(b, rip);
	unsigned offset = rip & (PAGE_BYTES - 1);

	if (!p || x86_decode(i, p->code + offset, (unsigned)MIN_OF(15ul, PAGE_BYTES - offset), b->narrow ? 32 : 64) !=
			  X86_DECODED)
		return false;
	i->exec = x86_bind(&b->c->x, i);
	return true;
}

static bool is_native_branch(const struct translation *b, const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_JCC:
		return i->op_bytes == word_bytes(b);
	case X86_OP_JMP:
	case X86_OP_CALL:
		return i->op_bytes == word_bytes(b) && (!(i->flags & X86_F_MEM) || address_is_native(b, i));
	case X86_OP_RET:
		return i->op_bytes == word_bytes(b);
	default:
		return false;
	}
}

static bool is_native(const struct translation *b, const struct x86_insn *i)
{
	if (i->exec == x86_exec_ud || !x86_feature_is_set(b->c->x.features, x86_insn_feature(i)))
		return false;
	if (i->flags & X86_F_VECTOR)
		return vector_is_native(b, i);
	return is_native_branch(b, i) || insn_is_native(b, i);
}

/* Nothing behind it is likely to run in this mode, or at once. */
static bool ends_block(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_STAC: case X86_OP_CLAC: case X86_OP_HLT: case X86_OP_WRMSR:
	case X86_OP_INVLPG: case X86_OP_INVPCID:
		return true;
	case X86_OP_MOV:
		return i->form == X86_C_R || i->form == X86_D_R;
	default:
		return (i->flags & X86_F_BRANCH) || i->exec == x86_exec_ud;
	}
}

u64 code_address(const struct translation *b, u64 rip)
{
	return b->narrow ? (u32)rip : rip;
}

/* The instruction at rip, which goes on on the next page. */
static bool decode_across(struct translation *b, u64 rip, struct x86_insn *i)
{
	const struct part *p = part_of(b, rip);
	unsigned offset = rip & (PAGE_BYTES - 1), here = (unsigned)(PAGE_BYTES - offset);
	const u8 *next;
	u8 bytes[16] = { 0 };

	if (!p || here >= 15 || x86_decode(i, p->code + offset, here, b->narrow ? 32 : 64) != X86_TRUNCATED ||
	    code_address(b, rip + here) != rip + here || !is_canonical_48(rip + here) ||
	    soft_mem_fetch(b->c, rip + here, &next) != X86_OK)
		return false;
	for (unsigned n = 0; n < 15; n++)
		bytes[n] = (u8)x86_memory_get(n < here ? p->code + offset + n : next + n - here, 1);
	if (x86_decode(i, bytes, 15, b->narrow ? 32 : 64) != X86_DECODED)
		return false;
	i->exec = x86_bind(&b->c->x, i);
	return true;
}

/* --- the path ------------------------------------------------------------------------------------- */

struct path {
	u64 rip;			/* of the next instruction */
	unsigned entered;		/* bit per part */
	unsigned exits, depth;
	u64 calls[DEPTH];		/* where they return to */
};

static bool is_on_path(const struct translation *b, u64 rip)
{
	for (unsigned n = 0; n < b->count; n++)
		if (b->rips[n] == rip)
			return true;
	return false;
}

/* Past the branch that was gathered last.  False: it ends the path. */
static bool path_follow(struct translation *b, struct path *p)
{
	const struct x86_insn *i = &b->insn[b->count - 1];
	u64 next = code_address(b, rip_behind(b, b->count - 1)), target = code_address(b, next + i->imm);

	if (b->apart || !b->native[b->count - 1])
		return false;
	switch (i->op) {
	case X86_OP_JCC:
		if (target <= next || ++p->exits > EXITS)
			return false;
		p->rip = next;
		break;
	case X86_OP_JMP:
		if (i->form != X86_J)
			return false;
		p->rip = target;
		break;
	case X86_OP_CALL:
		if (i->form != X86_J || p->depth == DEPTH)
			return false;
		p->calls[p->depth++] = next;
		p->rip = target;
		break;
	case X86_OP_RET:
		if (!p->depth)
			return false;
		p->rip = p->calls[--p->depth];
		break;
	default:
		return false;
	}
	return !is_on_path(b, p->rip) && part_add(b, p->rip);
}

/* The number of rip's part if the path has not been on it yet; else 0, as for the first part. */
static u8 part_entered(const struct translation *b, struct path *p, u64 rip)
{
	unsigned part = (unsigned)(part_of(b, rip) - b->part);
	bool first = !(p->entered >> part & 1);

	p->entered |= 1u << part;
	return first ? (u8)part : 0;
}

/*
 * The instruction at the path's end, with what has to be seen to before it: a look at the
 * view of a page that is new, be it only its last bytes' page.
 */
static bool gather_one(struct translation *b, struct path *p)
{
	unsigned n = b->count;
	struct x86_insn *i = &b->insn[n];

	if (!part_add(b, p->rip))
		return false;
	b->across[n] = false;
	if (!decode_at(b, p->rip, i)) {
		if (!decode_across(b, p->rip, i))
			return false;
		b->across[n] = true;
	}
	b->rips[n] = p->rip;
	b->enters[n] = part_entered(b, p, p->rip);
	b->native[n] = is_native(b, i);
	if (b->across[n]) {
		u64 last = rip_behind(b, n) - 1;

		b->crosses = b->apart || b->enters[n] || !b->native[n] || !part_add(b, last);
		if (b->crosses)
			b->native[n] = false;
		else
			b->enters[n] = part_entered(b, p, last);
	}
	b->count++;
	p->rip = code_address(b, rip_behind(b, n));
	return true;
}

static void cover(const struct translation *b)
{
	for (unsigned n = 0; n < b->count; n++) {
		u64 rip = b->rips[n], end = rip_behind(b, n);
		unsigned here = (unsigned)MIN_OF(end - rip, PAGE_BYTES - (rip & (PAGE_BYTES - 1)));

		code_cover(b->c, part_of(b, rip)->view, rip, here);
		if (b->across[n] && b->native[n])
			code_cover(b->c, part_of(b, rip + here)->view, rip + here, b->insn[n].len - here);
	}
}

unsigned trace_gather(struct translation *b)
{
	struct path p = { .rip = b->rip };
	unsigned most = b->apart ? APART_MAX : CODE_BLOCK_MAX;

	b->parts = 0;
	b->crosses = false;
	b->count = 0;
	if (!part_add(b, b->rip) || b->part[0].view != b->view)
		return 0;
	while (b->count < most && gather_one(b, &p)) {
		if (b->crosses || (ends_block(&b->insn[b->count - 1]) && !path_follow(b, &p)))
			break;
	}
	b->rips[b->count] = p.rip;
	for (unsigned n = 0; n < b->count; n++)
		if (system_needs_next(&b->insn[n]) &&
		    (n + 1 == b->count || !b->native[n + 1] || (b->insn[n + 1].flags & X86_F_BRANCH)))
			b->native[n] = false;
	cover(b);
	return b->count;
}

/* --- flags ------------------------------------------------------------------------------------------ */

/* Flags that the code at rip may read before it sets them. */
static u8 flags_read_at(const struct translation *b, u64 rip)
{
	u8 unknown = FLAGS, reads = 0;

	for (unsigned n = 0; n < LOOK_AHEAD && unknown; n++) {
		struct flag_use use;
		struct x86_insn i;

		if (!decode_at(b, rip, &i))
			break;
		use = insn_flags(&i, is_native(b, &i));
		reads |= use.reads & unknown;
		unknown &= (u8)~use.sets;
		rip += i.len;
		if (i.flags & X86_F_BRANCH) {
			if ((i.op == X86_OP_JMP || i.op == X86_OP_CALL) && i.form == X86_J)
				rip = code_address(b, rip + i.imm);
			else
				break;
		}
	}
	return reads | unknown;
}

/* ... where a branch leads if it leaves the path; 0 if it never does. */
static u8 flags_read_aside(const struct translation *b, unsigned n)
{
	const struct x86_insn *i = &b->insn[n];

	if (!(i->flags & X86_F_BRANCH))
		return 0;
	if (b->t->exact)
		return FLAGS;
	if (i->op == X86_OP_JCC)
		return flags_read_at(b, code_address(b, rip_behind(b, n) + i->imm));
	return i->form == X86_J && is_inner(b, n) ? 0 : FLAGS;
}

static u8 flags_read_behind(const struct translation *b, const struct x86_insn *last, u64 next)
{
	if (b->t->exact)
		return FLAGS;
	if (!(last->flags & X86_F_BRANCH))
		return flags_read_at(b, next);
	if (last->form == X86_J && last->op == X86_OP_JCC)
		return flags_read_at(b, code_address(b, rip_behind(b, b->count - 1))) | b->live_aside[b->count - 1];
	if (last->form == X86_J && (last->op == X86_OP_JMP || last->op == X86_OP_CALL))
		return flags_read_at(b, code_address(b, rip_behind(b, b->count - 1) + last->imm));
	return FLAGS;
}

/* Can it fault, or leave? */
static bool may_leave(const struct x86_insn *i)
{
	return (i->flags & (X86_F_MEM | X86_F_BRANCH | X86_F_IMPLICIT_MEM | X86_F_VECTOR)) || i->op == X86_OP_PUSH ||
	       i->op == X86_OP_POP || i->op == X86_OP_LEAVE || i->op == X86_OP_DIV || i->op == X86_OP_IDIV ||
	       i->op == X86_OP_STI || i->op == X86_OP_PUSHF || i->op == X86_OP_STAC || i->op == X86_OP_RDTSC || i->op == X86_OP_RDTSCP;
}

void trace_find_live_flags(struct translation *b)
{
	for (unsigned n = 0; n < b->count; n++)
		b->live_aside[n] = flags_read_aside(b, n);
	b->live[b->count] = flags_read_behind(b, &b->insn[b->count - 1], b->rips[b->count]);
	for (unsigned n = b->count; n-- > 0;) {
		struct flag_use use = insn_flags(&b->insn[n], b->native[n]);

		b->live[n] = (u8)((b->live[n + 1] & ~use.sets) | use.reads);
		if (is_inner(b, n))
			b->live[n] |= b->live_aside[n];
		if (b->t->exact && may_leave(&b->insn[n]))
			b->live[n] = FLAGS;
	}
}
