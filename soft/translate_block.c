// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_block.c - from a path through the guest's code to a block
 *
 *	entry:	cmp  [view in force of this page], this view;  jne resolve
 *	body:	add  [instructions], count
 *		...
 *
 * The whole path is counted at the beginning; who leaves it earlier takes back the rest.
 * Before the first instruction on another page there is a check of that page's view, before
 * the first vector instruction a check of what vector instructions need:
 *
 *		cmp  [vector_level], needed;  jb cold
 */
#include "soft/translate.h"

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
	cold->info = info_make(b->rip, 0) | (u64)b->apart << 63;
	cold->number = (u32)(block - b->t->block);
	block->body = (u32)(e->at - b->t->code.write);
	emit_alu_mem_imm(e, E_W, E_ADD, context_at(b->c, &b->c->counters.instructions), (s32)b->count);
}

static void vector_check(struct translation *b, const struct x86_insn *i)
{
	u8 level = (u8)vector_level_of(i), *retry;
	struct emitter *e = &b->e;
	struct cold *cold;

	if (level <= b->vector_level)
		return;
	b->vector_level = level;
	flags_lose(b);
	retry = e->at;
	emit_alu_mem_imm(e, 0, E_CMP, context_at(b->c, &b->t->vector_level), level);
	cold = cold_add(b, COLD_VECTOR, emit_jcc(e, E_CC_B));
	cold->retry = retry;
	cold->info = info_here(b) | (u64)level << 59;
}

static void emit_instruction(struct translation *b)
{
	const struct x86_insn *i = &b->insn[b->at];

	if (b->enters[b->at])
		view_check(b);
	if (!b->native[b->at]) {
		translate_call(b, i);
	} else if (i->flags & X86_F_VECTOR) {
		vector_check(b, i);
		vector_translate(b, i);
	} else if (i->flags & X86_F_BRANCH) {
		translate_branch(b, i);
	} else {
		insn_translate(b, i);
	}
}

static void emit_block(struct translation *b)
{
	const struct x86_insn *last = &b->insn[b->count - 1];

	b->flags_native = false;
	b->flags_saved = true;
	b->vector_level = 0;
	for (b->at = 0; b->at < b->count; b->at++) {
		emit_instruction(b);
		groups_step(b);
	}
	if (!(last->flags & X86_F_BRANCH)) {	/* translate_execute() does not come back from a branch */
		flags_lose(b);
		jump_to(b, b->rips[b->count]);
	}
}

struct code_block *translate_block(struct soft_cpu *c, unsigned mode, u64 rip, u32 view, bool apart)
{
	struct soft_translator *t = c->translator;
	struct translation *b = &t->translation;
	struct code_block *block;
	u8 *start;

	b->c = c;
	b->t = t;
	b->rip = rip;
	b->view = view;
	b->mode = mode;
	b->narrow = mode >= CODE_NARROW;
	b->apart = apart;
	b->colds = 0;
	if (!trace_gather(b))
		return NULL;
	trace_find_live_flags(b);
	groups_find(b);
	block = code_block_add(t, rip, view, apart);
	start = b->e.at = t->code.write + t->used;
	emit_head(b, block);
	emit_block(b);
	emit_colds(b);
	groups_finish(b);
	while ((u64)(b->e.at - t->code.write) % 16)
		put8(&b->e, 0xcc);
	t->used += (u64)(b->e.at - start);
	c->counters.blocks++;
	c->counters.block_instructions += b->count;
	return block;
}
