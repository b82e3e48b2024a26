// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_branch.c - branches, and the other ways out of a block
 *
 * Blocks of the same view jump to each other's bodies, others to entries.  A jump that is not
 * linked yet, and one that leaves the loop because an interrupt pin is up, goes out of line to
 * C.  Pins are looked at where a branch leads backwards, and at indirect ones; a RET that
 * returns to its call on the path of the block counts as neither.
 *
 * Indirect branches and returns look into a cache indexed by the low bits of RIP; out of line
 * into a second place of it, and then C looks for what is not there.
 */
#include "soft/translate.h"

/* Jump to target: through C, until it is known. */
static void link_to(struct translation *b, u8 *from, u64 target)
{
	struct cold *cold = cold_add(b, COLD_LINK, from);

	cold->info = info_make(target, 0);
	cold->number = (u32)(from - b->t->code.write);
}

/* Before a jump back: has an interrupt come? */
static void poll(struct translation *b, u64 target, unsigned after)
{
	struct cold *cold;

	emit_alu_mem_imm(&b->e, 0, E_CMP, context_at(b->c, &b->c->pins), 0);
	cold = cold_add(b, COLD_LINK, emit_jcc(&b->e, E_CC_NE));
	cold->info = info_make(target, 0);
	cold->after = after;
}

/* At the end of a block, or out of line. */
void jump_to(struct translation *b, u64 target)
{
	target = code_address(b, target);
	if (target <= b->rips[MIN_OF(b->at, b->count - 1)])
		poll(b, target, 0);
	link_to(b, emit_jmp(&b->e), target);
}

/* Leave the path for target, not having executed so many instructions that were counted. */
static struct cold *leave_for(struct translation *b, u8 *from, u64 target, unsigned after)
{
	struct cold *cold = cold_add(b, COLD_SIDE, from);

	cold->info = info_make(target, 0);
	cold->after = after;
	return cold;
}

void view_check(struct translation *b)
{
	const struct part *p = &b->part[b->enters[b->at]];
	struct emitter *e = &b->e;

	u8 *retry;

	flags_lose(b);
	retry = e->at;
	emit_rm(e, 0, E_ONE, 0x81, E_CMP,
		context_at(b->c, &b->t->view_in_force[b->mode][(p->page >> PAGE_BITS) % CODE_SLOTS]));
	put32(e, p->view);
	if (b->across[b->at]) {		/* no block begins on that page */
		struct cold *cold = cold_add(b, COLD_VIEW, emit_jcc(e, E_CC_NE));

		cold->retry = retry;
		cold->info = info_here(b);
		cold->number = p->view;
	} else {
		leave_for(b, emit_jcc(e, E_CC_NE), b->rips[b->at], instructions_after(b));
	}
}

/* Where T0 leads, from the jump cache; C looks for what is not there. */
static struct host_mem look_up(struct translation *b)
{
	struct code_jump *table = b->t->jump[b->mode];
	struct host_mem m = { .base = H_RBP, .index = T1, .scale = 1, .disp = context_at(b->c, table).disp };
	struct emitter *e = &b->e;
	struct cold *cold;

	emit_lea32(e, T1, (struct host_mem){ .base = H_NONE, .index = T0, .scale = 3 });
	emit_alu_imm(e, 0, E_AND, T1, (CODE_JUMPS - 1) << 3);
	emit_rm(e, E_W, E_ONE, 0x3b, T0, m);
	cold = cold_add(b, COLD_JUMP, emit_jcc(e, E_CC_NE));
	cold->retry = e->at;
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

	flags_lose(b);
	if (i->flags & X86_F_MEM) {
		struct address a = address_of(b, i);

		load_word(b, T0, memory_open(b, &a, word_bytes(b), false, false));
	} else {
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
	struct host_mem m = memory_open(b, &below, word_bytes(b), true, false);

	if (b->narrow || fits_s32((s64)back)) {
		emit_rm(e, b->narrow ? 0 : E_W, E_ONE, 0xc7, 0, m);
		put32(e, (u32)back);
	} else {
		emit_imm(e, T0, back);
		emit_store(e, T0, m);
	}
	emit_stack_add(b, -(s32)word_bytes(b));
}

static s32 bytes_popped(const struct translation *b, const struct x86_insn *i)
{
	return (s32)word_bytes(b) + (i->form == X86_I ? (s32)(u16)i->imm : 0);
}

/* On the path: it is expected to return to the next instruction. */
static void translate_inner_ret(struct translation *b, const struct x86_insn *i)
{
	u64 back = b->rips[b->at + 1];
	struct emitter *e = &b->e;
	struct cold *cold;

	if (b->narrow || fits_s32((s64)back)) {
		emit_alu_imm(e, b->narrow ? 0 : E_W, E_CMP, T0, (s32)back);
	} else {
		emit_imm(e, T1, back);
		emit_rr(e, E_W, E_ONE, 0x3b, T0, T1);
	}
	cold = cold_add(b, COLD_RETURN, emit_jcc(e, E_CC_NE));
	cold->after = instructions_after(b) - 1;
	emit_stack_add(b, bytes_popped(b, i));
}

static void translate_ret(struct translation *b, const struct x86_insn *i)
{
	const struct address top = address_of_stack(b, X86_RSP, 0);
	struct host_mem to;

	flags_lose(b);
	load_word(b, T0, memory_open(b, &top, word_bytes(b), false, false));
	if (is_inner(b, b->at)) {
		translate_inner_ret(b, i);
		return;
	}
	to = look_up(b);
	emit_stack_add(b, bytes_popped(b, i));
	jump_mem(&b->e, to);
}

static void translate_jcc(struct translation *b, const struct x86_insn *i, u64 next, u64 target)
{
	struct emitter *e = &b->e;

	flags_need(b, T0);
	if (is_inner(b, b->at)) {
		struct cold *cold = leave_for(b, emit_jcc(e, i->opcode & 15u), target, instructions_after(b) - 1);

		cold->save = b->live_aside[b->at] && !b->flags_saved;
		return;
	}
	if (b->live[b->count])
		flags_save(b);
	if (target <= b->rips[b->at]) {
		link_to(b, emit_jcc(e, (i->opcode & 15u) ^ 1), next);
		jump_to(b, target);
	} else {
		link_to(b, emit_jcc(e, i->opcode & 15u), target);
		jump_to(b, next);
	}
}

/* To target, which is the next instruction of the block or ends it. */
static void go_to(struct translation *b, u64 target)
{
	if (!is_inner(b, b->at)) {
		flags_lose(b);
		jump_to(b, target);
	} else if (target <= b->rips[b->at]) {
		flags_lose(b);
		poll(b, target, instructions_after(b) - 1);
	}
}

void translate_branch(struct translation *b, const struct x86_insn *i)
{
	u64 next = code_address(b, rip_behind(b, b->at)), target = code_address(b, next + i->imm);
	struct emitter *e = &b->e;

	switch (i->op) {
	case X86_OP_JCC:
		translate_jcc(b, i, next, target);
		break;
	case X86_OP_JMP:
		if (i->form == X86_J) {
			go_to(b, target);
		} else {
			branch_operand(b, i);
			jump_mem(e, look_up(b));
		}
		break;
	case X86_OP_CALL:
		if (i->form == X86_J) {
			push_return(b, next);
			go_to(b, target);
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

/* Out of line: the path is left. */
void branch_emit_cold(struct translation *b, const struct cold *cold)
{
	struct emitter *e = &b->e;

	if (cold->kind == COLD_RETURN) {
		struct host_mem to = look_up(b);

		emit_alu_mem_imm(e, E_W, E_SUB, context_at(b->c, &b->c->counters.instructions), (s32)cold->after);
		emit_stack_add(b, bytes_popped(b, &b->insn[b->at]));
		jump_mem(e, to);
		return;
	}
	if (cold->save) {
		b->flags_native = true;
		b->flags_saved = false;
		flags_save(b);
	}
	if (cold->after)
		emit_alu_mem_imm(e, E_W, E_SUB, context_at(b->c, &b->c->counters.instructions), (s32)cold->after);
	link_to(b, emit_jmp(e), INFO_RIP(cold->info));
}
