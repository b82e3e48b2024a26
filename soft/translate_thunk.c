// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_thunk.c - the way into translated code, and out
 *
 * Thunks are generated once, at the start of the code memory.  enter() is a C function;
 * inside, the stack pointer stays 16-byte aligned between instructions of the guest.  A
 * block calls a thunk, which puts the guest's registers where C finds them and either
 * returns with them restored, or drops the return address and returns from enter().
 */
#include "soft/translate.h"

/*
 * RSP must be the host's and RBP is the context; R9 and R10 are scratch.  So the guest's RSP
 * and RBP take the places of two others.  Displaced are those that compilers use least.
 */
const u8 translate_host_of[16] = {
	[X86_RAX] = H_RAX, [X86_RCX] = H_RCX, [X86_RDX] = H_RDX, [X86_RBX] = H_RBX,
	[X86_RSP] = H_R15, [X86_RBP] = H_R11, [X86_RSI] = H_RSI, [X86_RDI] = H_RDI,
	[8] = H_R8, [9] = DISPLACED, [10] = DISPLACED, [11] = DISPLACED,
	[12] = H_R12, [13] = H_R13, [14] = H_R14, [15] = DISPLACED,
};

static const u8 callee_saved[] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };

static void push(struct emitter *e, unsigned r)
{
	if (r & 8)
		put8(e, 0x41);
	put8(e, 0x50 | (r & 7));
}

static void pop(struct emitter *e, unsigned r)
{
	if (r & 8)
		put8(e, 0x41);
	put8(e, 0x58 | (r & 7));
}

static void registers_out(struct emitter *e)
{
	for (unsigned r = 0; r < 16; r++)
		if (host_of[r] != DISPLACED)
			emit_store(e, host_of[r], gpr_at(r));
}

static void registers_in(struct emitter *e)
{
	for (unsigned r = 0; r < 16; r++)
		if (host_of[r] != DISPLACED)
			emit_load(e, host_of[r], gpr_at(r));
}

static void jump_mem(struct emitter *e, struct host_mem m)
{
	emit_rm(e, 0, E_ONE, 0xff, 4, m);
}

static u32 begin(const struct soft_translator *t, struct emitter *e)
{
	while ((u64)(e->at - t->code.write) % 16)
		put8(e, 0xcc);
	return (u32)(e->at - t->code.write);
}

static void emit_enter(struct soft_cpu *c, struct emitter *e)
{
	for (unsigned n = 0; n < ARRAY_LEN(callee_saved); n++)
		push(e, callee_saved[n]);
	emit_alu_imm(e, E_W, E_SUB, H_RSP, 8);
	emit_mov(e, H_RBP, H_RDI);
	emit_store(e, H_RSI, context_at(c, &c->translator->jump_to));
	registers_in(e);
	jump_mem(e, context_at(c, &c->translator->jump_to));
}

static void emit_exit(struct emitter *e)
{
	emit_alu_imm(e, E_W, E_ADD, H_RSP, 8);
	for (unsigned n = ARRAY_LEN(callee_saved); n-- > 0;)
		pop(e, callee_saved[n]);
	put8(e, 0xc3);
}

/* Call a C function of (cpu, T0, return address); go on if it says so, with T0 and T1 as kept[] says. */
static void emit_call_c(struct soft_cpu *c, struct emitter *e, const void *function, bool returns)
{
	struct soft_translator *t = c->translator;
	u8 *leave;

	registers_out(e);
	emit_store(e, T0, context_at(c, &t->kept[0]));
	emit_store(e, T1, context_at(c, &t->kept[1]));
	emit_lea(e, H_RDI, mem_at(H_RBP, -128));
	emit_mov(e, H_RSI, T0);
	emit_load(e, H_RDX, mem_at(H_RSP, 0));
	emit_alu_imm(e, E_W, E_SUB, H_RSP, 8);
	emit_imm(e, H_RAX, (u64)function);
	emit_rr(e, 0, E_ONE, 0xff, 2, H_RAX);
	if (!returns) {
		emit_alu_imm(e, E_W, E_ADD, H_RSP, 16);
		emit_target(emit_jmp(e), t->code.write + t->at_exit);
		return;
	}
	emit_alu_imm(e, E_W, E_ADD, H_RSP, 8);
	emit_rr(e, 0, E_ONE, 0x85, H_RAX, H_RAX);
	leave = emit_jcc(e, E_CC_NE);
	registers_in(e);
	emit_load(e, T0, context_at(c, &t->kept[0]));
	emit_load(e, T1, context_at(c, &t->kept[1]));
	put8(e, 0xc3);
	emit_target(leave, e->at);
	emit_alu_imm(e, E_W, E_ADD, H_RSP, 8);
	emit_alu_imm(e, 0, E_CMP, H_RAX, TRANSLATE_CHAIN);
	emit_target(emit_jcc(e, E_CC_NE), t->code.write + t->at_exit);
	registers_in(e);
	jump_mem(e, context_at(c, &t->jump_to));
}

/* Leave with a reason; what it is about stands behind the call. */
static void emit_leave(struct soft_cpu *c, struct emitter *e, enum translate_exit reason)
{
	struct soft_translator *t = c->translator;

	registers_out(e);
	pop(e, H_RAX);
	emit_store(e, H_RAX, context_at(c, &t->left_at));
	emit_imm(e, H_RAX, reason);
	emit_target(emit_jmp(e), t->code.write + t->at_exit);
}

/* RSP is on another page, T0's: find it in the TLB, or let C do so. */
static void emit_stack_page(struct soft_cpu *c, struct emitter *e, unsigned privilege)
{
	struct soft_translator *t = c->translator;
	struct host_mem entry = { .base = H_RBP, .index = T1, .disp = context_at(c, c->tlb[privilege].data.write).disp };
	u8 *ask;

	emit_mov32(e, T1, T0);
	ask = emit_tlb_look_up(e, entry, -4096);
	emit_store(e, T0, context_at(c, &t->stack[privilege].page));
	emit_store(e, T1, context_at(c, &t->stack[privilege].addend));
	put8(e, 0xc3);
	emit_target(ask, e->at);
	emit_call_c(c, e, translate_fill, true);
}

/*
 * The jump cache's first place for T0 has another target: look at the second, ask C.  Comes
 * back with the entry's place in T1, in units of 8 bytes times 2.
 */
static void emit_jump_more(struct soft_cpu *c, struct emitter *e, unsigned mode)
{
	struct host_mem m = { .base = H_RBP, .index = T1, .scale = 1,
			      .disp = context_at(c, &c->translator->jump[mode][CODE_JUMPS]).disp };
	u8 *ask;

	emit_mov(e, T1, T0);
	emit_shift_imm(e, E_W, 5, T1, CODE_JUMP_SHIFT);
	emit_rr(e, 0, E_ONE, 0x33, T1, T0);
	emit_alu_imm(e, 0, E_AND, T1, CODE_JUMPS_MORE - 1);
	emit_shift_imm(e, 0, 4, T1, 3);
	emit_rm(e, E_W, E_ONE, 0x3b, T0, m);
	ask = emit_jcc(e, E_CC_NE);
	emit_alu_imm(e, E_W, E_ADD, T1, CODE_JUMPS << 3);
	put8(e, 0xc3);
	emit_target(ask, e->at);
	emit_call_c(c, e, translate_jump, true);
}

void translate_thunks(struct soft_cpu *c)
{
	struct soft_translator *t = c->translator;
	struct emitter e = { .at = t->code.write };

	t->enter = (u32 (*)(void *, const u8 *))(u64)t->code.run;
	emit_enter(c, &e);
	t->at_exit = begin(t, &e);
	emit_exit(&e);
	t->at_fill = begin(t, &e);
	emit_call_c(c, &e, translate_fill, true);
	for (unsigned n = 0; n < SOFT_PRIVILEGES; n++) {
		t->at_stack[n] = begin(t, &e);
		emit_stack_page(c, &e, n);
	}
	for (unsigned mode = 0; mode < CODE_MODES; mode++) {
		t->at_jump[mode] = begin(t, &e);
		emit_jump_more(c, &e, mode);
	}
	t->at_insn = begin(t, &e);
	emit_call_c(c, &e, translate_execute, true);
	t->at_restart = begin(t, &e);
	emit_call_c(c, &e, translate_restart, false);
	t->at_vector = begin(t, &e);
	emit_call_c(c, &e, translate_vector_need, true);
	t->at_link = begin(t, &e);
	emit_leave(c, &e, TRANSLATE_LINK);
	t->at_resolve = begin(t, &e);
	emit_call_c(c, &e, translate_resolve, true);
	t->at_view = begin(t, &e);
	emit_call_c(c, &e, translate_view, true);
	t->thunks_end = begin(t, &e);
}
