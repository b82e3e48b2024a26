// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_block.c - from the guest's bytes to a block
 *
 * A block begins where code was found to be warm and ends at a branch, at an instruction
 * that crosses a page or is invalid, or after CODE_BLOCK_MAX instructions.  It lies on one
 * page.
 *
 *	entry:	cmp  [view in force of this page], this view;  jne resolve
 *	body:	cmp  [vector_level], needed;  jb cold		(if it has vector code)
 *		add  [instructions], count
 *		...
 *
 * Blocks of the same view jump to each other's bodies, others to entries.  A jump that is
 * not linked yet, and one that leaves the loop because an interrupt pin is up, goes out of
 * line to C.
 *
 * Flags that are live at a block's end are saved.  To find that they are not, the code that
 * follows is looked at where it lies on the same page: a page's translations live and die
 * together, so what was seen there holds as long as the block does.
 */
#include "soft/translate.h"
#include "x86/feature.h"
#include "x86/semantics.h"

#define LOOK_AHEAD 12u

/* --- what the guest says ------------------------------------------------------------------------ */

static bool decode_at(const struct translation *b, u64 rip, struct x86_insn *i)
{
	unsigned offset = rip & (PAGE_BYTES - 1);

	if ((rip ^ b->rip) & ~(PAGE_BYTES - 1))
		return false;
	if (x86_decode(i, b->code + offset, (unsigned)MIN_OF(15ul, PAGE_BYTES - offset), b->narrow ? 32 : 64) != X86_DECODED)
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

/* Where a branch leads. */
static u64 code_address(const struct translation *b, u64 rip)
{
	return b->narrow ? (u32)rip : rip;
}

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

static u8 flags_read_behind(const struct translation *b, const struct x86_insn *last, u64 next)
{
	if (b->t->exact)
		return FLAGS;
	if (!(last->flags & X86_F_BRANCH))
		return flags_read_at(b, next);
	if (last->form == X86_J && last->op == X86_OP_JCC)
		return flags_read_at(b, next) | flags_read_at(b, code_address(b, next + last->imm));
	if (last->form == X86_J && (last->op == X86_OP_JMP || last->op == X86_OP_CALL))
		return flags_read_at(b, code_address(b, next + last->imm));
	return FLAGS;
}

/* Can it fault, or leave? */
static bool may_leave(const struct x86_insn *i)
{
	return (i->flags & (X86_F_MEM | X86_F_BRANCH | X86_F_IMPLICIT_MEM)) || i->op == X86_OP_PUSH ||
	       i->op == X86_OP_POP || i->op == X86_OP_LEAVE || i->op == X86_OP_DIV || i->op == X86_OP_IDIV ||
	       i->op == X86_OP_STI || i->op == X86_OP_PUSHF || i->op == X86_OP_STAC || i->op == X86_OP_RDTSC || i->op == X86_OP_RDTSCP;
}

static bool is_canonical_48(u64 a)
{
	return (u64)((s64)(a << 16) >> 16) == a;
}

/* The instruction at rip, which goes on on the next page. */
static bool decode_across(struct translation *b, u64 rip, struct x86_insn *i)
{
	unsigned offset = rip & (PAGE_BYTES - 1), here = (unsigned)(PAGE_BYTES - offset);
	const u8 *next;
	u8 bytes[16] = { 0 };

	if (((rip ^ b->rip) & ~(PAGE_BYTES - 1)) || here >= 15 ||
	    x86_decode(i, b->code + offset, here, b->narrow ? 32 : 64) != X86_TRUNCATED ||
	    code_address(b, rip + here) != rip + here || !is_canonical_48(rip + here) ||
	    soft_mem_fetch(b->c, rip + here, &next) != X86_OK)
		return false;
	for (unsigned n = 0; n < 15; n++)
		bytes[n] = (u8)x86_memory_get(n < here ? b->code + offset + n : next + n - here, 1);
	if (x86_decode(i, bytes, 15, b->narrow ? 32 : 64) != X86_DECODED)
		return false;
	i->exec = x86_bind(&b->c->x, i);
	return true;
}

static bool gather(struct translation *b)
{
	u64 rip = b->rip;

	b->crosses = false;
	b->count = 0;
	while (b->count < CODE_BLOCK_MAX) {
		struct x86_insn *i = &b->insn[b->count];

		if (!decode_at(b, rip, i)) {
			b->crosses = decode_across(b, rip, i);
			if (!b->crosses)
				break;
		}
		b->rips[b->count] = rip;
		b->native[b->count] = !b->crosses && is_native(b, i);
		if ((i->flags & X86_F_VECTOR) && b->native[b->count])
			b->vector_level = (u8)MAX_OF(b->vector_level, vector_level_of(i));
		b->count++;
		rip += i->len;
		if (b->crosses || ends_block(i))
			break;
	}
	b->rips[b->count] = rip;
	for (unsigned n = 0; n < b->count; n++)
		if (system_needs_next(&b->insn[n]) &&
		    (n + 1 == b->count || !b->native[n + 1] || (b->insn[n + 1].flags & X86_F_BRANCH)))
			b->native[n] = false;
	return b->count;
}

static void find_live_flags(struct translation *b)
{
	b->live[b->count] = flags_read_behind(b, &b->insn[b->count - 1], b->rips[b->count]);
	for (unsigned n = b->count; n-- > 0;) {
		struct flag_use use = insn_flags(&b->insn[n], b->native[n]);

		b->live[n] = (u8)((b->live[n + 1] & ~use.sets) | use.reads);
		if (b->t->exact && may_leave(&b->insn[n]))
			b->live[n] = FLAGS;
	}
}

/* --- branches ---------------------------------------------------------------------------------------- */

/* Jump to target: through C, until it is known. */
static void link_to(struct translation *b, u8 *from, u64 target)
{
	struct cold *cold = cold_add(b, COLD_LINK, from);

	cold->info = info_make(target, 0);
	cold->number = (u32)(from - b->t->code.write);
}

/* Before a jump back: has an interrupt come? */
static void poll(struct translation *b, u64 target)
{
	struct cold *cold;

	emit_alu_mem_imm(&b->e, 0, E_CMP, context_at(b->c, &b->c->pins), 0);
	cold = cold_add(b, COLD_LINK, emit_jcc(&b->e, E_CC_NE));
	cold->info = info_make(target, 0);
	cold->number = 0;
}

static void jump_to(struct translation *b, u64 target)
{
	target = code_address(b, target);
	if (target <= b->rips[b->count - 1])
		poll(b, target);
	link_to(b, emit_jmp(&b->e), target);
}

void restart_if(struct translation *b, unsigned cc)
{
	cold_add(b, COLD_RESTART, emit_jcc(&b->e, cc))->info = info_here(b);
}

/* Where T0 leads, from the jump cache; C looks for what is not there. */
static struct host_mem look_up(struct translation *b)
{
	struct code_jump *table = b->t->jump[b->mode];
	struct host_mem m = { .base = H_RBP, .index = T1, .scale = 1, .disp = context_at(b->c, table).disp };
	struct emitter *e = &b->e;
	u8 *retry = e->at;
	struct cold *cold;

	emit_lea32(e, T1, (struct host_mem){ .base = H_NONE, .index = T0, .scale = 3 });
	emit_alu_imm(e, 0, E_AND, T1, (CODE_JUMPS - 1) << 3);
	emit_rm(e, E_W, E_ONE, 0x3b, T0, m);
	cold = cold_add(b, COLD_JUMP, emit_jcc(e, E_CC_NE));
	cold->retry = retry;
	cold->info = info_here(b);
	emit_alu_mem_imm(e, 0, E_CMP, context_at(b->c, &b->c->pins), 0);
	restart_if(b, E_CC_NE);
	m.disp += 8;
	return m;
}

static void jump_mem(struct emitter *e, struct host_mem m)
{
	emit_rm(e, 0, E_ONE, 0xff, 4, m);
}

/* The operand of an indirect CALL or JMP, to T0. */
static void branch_operand(struct translation *b, const struct x86_insn *i)
{
	struct emitter *e = &b->e;

	if (i->flags & X86_F_MEM) {
		struct address a = address_of(b, i);

		load_word(b, T0, memory_open(b, &a, word_bytes(b), false, false));
	} else {
		flags_lose(b);
		if (host_of[i->rm] == DISPLACED)
			emit_load(e, T0, gpr_at(i->rm));
		else
			emit_mov(e, T0, host_of[i->rm]);
		if (b->narrow)
			emit_mov32(e, T0, T0);
	}
}

static void push_return(struct translation *b, u64 back)
{
	const struct address below = address_of_stack(b, X86_RSP, -(s64)word_bytes(b));
	struct emitter *e = &b->e;
	struct host_mem m;

	flags_lose(b);
	m = memory_open(b, &below, word_bytes(b), true, false);
	if (b->narrow || fits_s32((s64)back)) {
		emit_rm(e, b->narrow ? 0 : E_W, E_ONE, 0xc7, 0, m);
		put32(e, (u32)back);
	} else {
		emit_imm(e, T0, back);
		emit_store(e, T0, m);
	}
	emit_stack_add(b, -(s32)word_bytes(b));
}

static void translate_ret(struct translation *b, const struct x86_insn *i)
{
	const struct address top = address_of_stack(b, X86_RSP, 0);
	struct host_mem to;

	flags_lose(b);
	load_word(b, T0, memory_open(b, &top, word_bytes(b), false, false));
	to = look_up(b);
	emit_stack_add(b, (s32)word_bytes(b) + (i->form == X86_I ? (s32)(u16)i->imm : 0));
	jump_mem(&b->e, to);
}

static void translate_branch(struct translation *b, const struct x86_insn *i)
{
	u64 next = code_address(b, b->rips[b->count]), target = code_address(b, next + i->imm);
	struct emitter *e = &b->e;

	switch (i->op) {
	case X86_OP_JCC:
		flags_need(b, T0);
		if (b->live[b->count])
			flags_save(b);
		if (target <= b->rips[b->at]) {
			link_to(b, emit_jcc(e, (i->opcode & 15u) ^ 1), next);
			jump_to(b, target);
		} else {
			link_to(b, emit_jcc(e, i->opcode & 15u), target);
			jump_to(b, next);
		}
		break;
	case X86_OP_JMP:
		if (i->form == X86_J) {
			flags_lose(b);
			jump_to(b, target);
		} else {
			branch_operand(b, i);
			jump_mem(e, look_up(b));
		}
		break;
	case X86_OP_CALL:
		if (i->form == X86_J) {
			push_return(b, next);
			jump_to(b, target);
		} else {
			branch_operand(b, i);
			emit_load(e, T0, look_up(b));
			emit_store(e, T0, context_at(b->c, &b->t->jump_to));
			push_return(b, next);
			jump_mem(e, context_at(b->c, &b->t->jump_to));
		}
		break;
	default:
		translate_ret(b, i);
		break;
	}
}

/* --- emission -------------------------------------------------------------------------------------------- */

/* Hand an instruction to the executor; it comes back here unless something happened. */
void translate_call(struct translation *b, const struct x86_insn *i)
{
	struct code_insn *n = &b->t->insn[b->t->insns];

	n->insn = *i;
	n->rip = b->rips[b->at];
	n->after = instructions_after(b) - 1;
	n->beyond = b->crosses && b->at == b->count - 1 ? (u32)((n->rip + i->len) & (PAGE_BYTES - 1)) : 0;
	flags_save(b);
	b->flags_native = false;
	emit_imm(&b->e, T0, b->t->insns++);
	emit_target(emit_call(&b->e), b->t->code.write + b->t->at_insn);
}

static void emit_head(struct translation *b, struct code_block *block)
{
	unsigned slot = (b->rip >> PAGE_BITS) % CODE_SLOTS;
	struct emitter *e = &b->e;
	struct cold *cold;

	block->entry = (u32)(e->at - b->t->code.write);
	emit_rm(e, 0, E_ONE, 0x81, E_CMP, context_at(b->c, &b->t->view_in_force[b->mode][slot]));
	put32(e, b->view);
	cold = cold_add(b, COLD_RESOLVE, emit_jcc(e, E_CC_NE));
	cold->info = info_make(b->rip, 0);
	cold->number = (u32)(block - b->t->block);
	block->body = (u32)(e->at - b->t->code.write);
	if (b->vector_level) {
		u8 *retry = e->at;

		emit_alu_mem_imm(e, 0, E_CMP, context_at(b->c, &b->t->vector_level), b->vector_level);
		cold = cold_add(b, COLD_VECTOR, emit_jcc(e, E_CC_B));
		cold->retry = retry;
		cold->info = info_make(b->rip, 0) | (u64)b->vector_level << 59;
	}
	emit_alu_mem_imm(e, E_W, E_ADD, context_at(b->c, &b->c->counters.instructions), (s32)b->count);
}

void emit_instruction(struct translation *b)
{
	const struct x86_insn *i = &b->insn[b->at];

	if (!b->native[b->at])
		translate_call(b, i);
	else if (i->flags & X86_F_VECTOR)
		vector_translate(b, i);
	else if (i->flags & X86_F_BRANCH)
		translate_branch(b, i);
	else
		insn_translate(b, i);
}

static void emit_block(struct translation *b)
{
	const struct x86_insn *last = &b->insn[b->count - 1];

	b->flags_saved = true;
	for (b->at = 0; b->at < b->count; b->at++) {
		group_begin(b);
		emit_instruction(b);
		group_end(b);
	}
	if (!(last->flags & X86_F_BRANCH)) {	/* translate_execute() does not come back from a branch */
		b->at = b->count;
		flags_lose(b);
		jump_to(b, b->rips[b->count]);
	}
}

struct code_block *translate_block(struct soft_cpu *c, unsigned mode, u64 rip, u32 view)
{
	struct soft_translator *t = c->translator;
	const struct code_view *v = &t->view[view - 1];
	struct translation *b = &t->translation;
	struct code_block *block;
	u8 *start;

	b->c = c;
	b->t = t;
	b->code = (const u8 *)t->page[v->page].host;
	b->rip = rip;
	b->view = view;
	b->mode = mode;
	b->narrow = mode >= CODE_NARROW;
	b->flags_native = false;
	b->vector_level = 0;
	b->colds = b->groups = 0;
	b->open = NULL;
	b->apart = false;
	if (!is_canonical_48(rip) || !gather(b))
		return NULL;
	code_cover(c, view, rip, (unsigned)MIN_OF(b->rips[b->count] - rip, PAGE_BYTES - (rip & (PAGE_BYTES - 1))));
	find_live_flags(b);
	block = code_block_add(t, rip, view);
	start = b->e.at = t->code.write + t->used;
	emit_head(b, block);
	emit_block(b);
	emit_colds(b);
	while ((u64)(b->e.at - t->code.write) % 16)
		put8(&b->e, 0xcc);
	t->used += (u64)(b->e.at - start);
	c->counters.blocks++;
	c->counters.block_instructions += b->count;
	return block;
}
