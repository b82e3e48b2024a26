// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_system.c - system instructions that stay in translated code
 *
 * Those that need no more than a few loads and stores of the processor's state.  What could
 * make something happen (an intercept, a virtual interrupt that was waiting for IF) is looked
 * at when they run, and left to the interpreter.
 *
 * STI begins an interrupt shadow.  No pin is looked at before the next instruction has
 * completed if that is part of the block and no branch; only then STI is native.  If the next
 * one goes to the interpreter, the shadow goes with it.
 */
#include "soft/translate.h"

/* In a mode where the instruction needs no check. */
static bool is_kernel(const struct translation *b)
{
	return b->c->x.cpl == 0;
}

bool system_is_native(const struct translation *b, const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_CLI: case X86_OP_STI: case X86_OP_SWAPGS:
		return is_kernel(b);
	case X86_OP_PUSHF:
		return i->op_bytes == 8 && !b->narrow;
	default:
		return true;
	}
}

bool system_needs_next(const struct x86_insn *i)
{
	return i->op == X86_OP_STI;
}

static void unless_hooked(struct translation *b, enum x86_hook what)
{
	const u8 *byte = (const u8 *)&b->c->x.hooked + what / 8;

	emit_rm(&b->e, 0, E_ONE, 0xf6, 0, context_at(b->c, byte));
	put8(&b->e, 1u << what % 8);
	restart_if(b, E_CC_NE);
}

static void change_rflags(struct translation *b, u64 flag, bool set)
{
	flags_lose(b);
	emit_alu_mem_imm(&b->e, 0, set ? E_OR : E_AND, context_at(b->c, &b->c->x.rflags), set ? (s32)flag : ~(s32)flag);
}

static void translate_sti(struct translation *b)
{
	struct emitter *e = &b->e;

	flags_lose(b);
	emit_rm(e, 0, E_ONE, 0xf7, 0, context_at(b->c, &b->c->int_ctl));
	put32(e, VMCB_INT_CTL_V_IRQ);
	restart_if(b, E_CC_NE);
	change_rflags(b, X86_FLAG_IF, true);
}

/* Arithmetic flags from where they are between blocks: AH of LAHF, AL of SETO. */
static void translate_pushf(struct translation *b)
{
	const struct address below = address_of_stack(b, X86_RSP, -8);
	const u8 *flags = (const u8 *)&b->t->flags;
	struct emitter *e = &b->e;
	struct host_mem m;

	flags_lose(b);
	unless_hooked(b, X86_HOOK_PUSHF);
	emit_rm(e, 0, E_0F, 0xb6, T0, context_at(b->c, flags));
	emit_shift_imm(e, 0, 4, T0, 11);
	emit_rm(e, 0, E_0F, 0xb6, T1, context_at(b->c, flags + 1));
	emit_rr(e, 0, E_ONE, 0x0b, T0, T1);
	emit_load32(e, T1, context_at(b->c, &b->c->x.rflags));
	emit_alu_imm(e, 0, E_AND, T1, ~(s32)(X86_FLAGS_ARITH | X86_FLAG_RF | X86_FLAG_VM));
	emit_rr(e, 0, E_ONE, 0x0b, T0, T1);
	emit_store(e, T0, context_at(b->c, &b->t->value));
	m = memory_open(b, &below, 8, true, false);
	emit_load(e, T0, context_at(b->c, &b->t->value));
	emit_store(e, T0, m);
	emit_stack_add(b, -8);
}

static void put_bytes(struct emitter *e, const u8 *bytes, unsigned n)
{
	while (n--)
		put8(e, *bytes++);
}

static void translate_rdtsc(struct translation *b, const struct x86_insn *i)
{
	struct emitter *e = &b->e;
	struct x86 *x = &b->c->x;
	bool p = i->op == X86_OP_RDTSCP;

	flags_lose(b);
	unless_hooked(b, p ? X86_HOOK_RDTSCP : X86_HOOK_RDTSC);
	if (!is_kernel(b)) {
		emit_rm(e, 0, E_ONE, 0xf7, 0, context_at(b->c, &x->cr4));
		put32(e, X86_CR4_TSD);
		restart_if(b, E_CC_NE);
	}
	if (p) {
		put_bytes(e, (const u8 *)"\x0f\xae\xe8", 3);	/* lfence */
		emit_load32(e, H_RCX, context_at(b->c, &x->tsc_aux));
	}
	put_bytes(e, (const u8 *)"\x0f\x31", 2);
	emit_shift_imm(e, E_W, 4, H_RDX, 32);
	emit_rr(e, E_W, E_ONE, 0x0b, H_RAX, H_RDX);
	emit_rm(e, E_W, E_ONE, 0x03, H_RAX, context_at(b->c, &b->c->tsc_offset));
	emit_mov(e, H_RDX, H_RAX);
	emit_shift_imm(e, E_W, 5, H_RDX, 32);
	emit_mov32(e, H_RAX, H_RAX);
}

static void translate_swapgs(struct translation *b)
{
	struct emitter *e = &b->e;
	struct x86 *x = &b->c->x;

	emit_load(e, T0, context_at(b->c, &x->seg[X86_GS].base));
	emit_load(e, T1, context_at(b->c, &x->kernel_gs_base));
	emit_store(e, T1, context_at(b->c, &x->seg[X86_GS].base));
	emit_store(e, T0, context_at(b->c, &x->kernel_gs_base));
}

void system_translate(struct translation *b, const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_CLD:
	case X86_OP_STD:
		change_rflags(b, X86_FLAG_DF, i->op == X86_OP_STD);
		break;
	case X86_OP_CLI:
		change_rflags(b, X86_FLAG_IF, false);
		break;
	case X86_OP_STI:
		translate_sti(b);
		break;
	case X86_OP_PUSHF:
		translate_pushf(b);
		break;
	case X86_OP_RDTSC:
	case X86_OP_RDTSCP:
		translate_rdtsc(b, i);
		break;
	case X86_OP_SWAPGS:
		translate_swapgs(b);
		break;
	case X86_OP_MFENCE:
		put_bytes(&b->e, (const u8 *)"\x0f\xae\xf0", 3);
		break;
	default:			/* SFENCE */
		put_bytes(&b->e, (const u8 *)"\x0f\xae\xf8", 3);
		break;
	}
}
