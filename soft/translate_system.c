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
 *
 * STAC and CLAC change the TLB that data accesses use, and with it the mode: the next
 * instruction begins another block, of the other mode.
 *
 * REP MOVS and REP STOS within a page are the host's; the executor has the rest.
 */
#include "soft/translate.h"
#include "x86/feature.h"

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
	case X86_OP_STAC: case X86_OP_CLAC:
		return is_kernel(b) && x86_feature_is_set(b->c->x.features, X86_FEATURE_SMAP);
	case X86_OP_PUSHF:
		return i->op_bytes == 8 && !b->narrow;
	case X86_OP_MOVS: case X86_OP_STOS:
		return (i->prefixes & (X86_P_REP | X86_P_REPNE)) && i->ad_bytes == 8 && i->seg != X86_FS && i->seg != X86_GS;
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

static void use_tlb(struct translation *b, enum soft_privilege privilege)
{
	struct emitter *e = &b->e;
	struct soft_cpu *c = b->c;

	emit_lea(e, T0, context_at(c, &c->tlb[privilege].data));
	emit_store(e, T0, context_at(c, &c->x.tlb));
	emit_rm(e, E_W, E_ONE, 0xc7, 0, context_at(c, &c->window_bytes));
	put32(e, 0);
	emit_rm(e, 0, E_ONE, 0xc6, 0, context_at(c, &c->paging_stale));
	put8(e, true);
}

/* Without SMAP the flag is only a flag; a processor is in the mode with AC only with SMAP. */
static void translate_ac(struct translation *b, bool set)
{
	bool is_set = b->mode % CODE_NARROW == SOFT_SUPERVISOR_AC;
	struct emitter *e = &b->e;

	if (set && is_set)
		return;
	if (set) {
		flags_lose(b);
		emit_rm(e, 0, E_ONE, 0xf7, 0, context_at(b->c, &b->c->x.cr4));
		put32(e, X86_CR4_SMAP);
		restart_if(b, E_CC_E);
	}
	change_rflags(b, X86_FLAG_AC, set);
	if (set != is_set)
		use_tlb(b, set ? SOFT_SUPERVISOR_AC : SOFT_SUPERVISOR);
}

/*
 * The entry's addend to T1 for RCX elements from the register on, if they are on one page of
 * which there is an entry.  Else a branch, whose displacement is returned.
 */
static u8 *run_check(struct translation *b, unsigned reg, unsigned log_bytes, bool write)
{
	const struct x86_tlb *tlb = &b->c->tlb[b->mode % CODE_NARROW].data;
	struct host_mem entry = context_at(b->c, write ? tlb->write : tlb->read);
	struct emitter *e = &b->e;

	entry.index = T1;
	emit_lea(e, T0, (struct host_mem){ .base = (u8)reg, .index = H_RCX, .scale = (u8)log_bytes, .disp = -1 });
	emit_mov32(e, T1, reg);
	return emit_tlb_look_up(e, entry, -4096);
}

static void translate_rep(struct translation *b, const struct x86_insn *i)
{
	unsigned log_bytes = (unsigned)__builtin_ctz(i->op_bytes), slow = 0;
	bool move = i->op == X86_OP_MOVS;
	struct emitter *e = &b->e;
	u8 *from[5], *done[2];

	flags_lose(b);
	emit_rr(e, E_W, E_ONE, 0x85, H_RCX, H_RCX);
	done[0] = emit_jcc(e, E_CC_E);
	emit_alu_imm(e, E_W, E_CMP, H_RCX, (s32)(PAGE_BYTES >> log_bytes));
	from[slow++] = emit_jcc(e, E_CC_A);
	emit_rm(e, 0, E_ONE, 0xf7, 0, context_at(b->c, &b->c->x.rflags));
	put32(e, X86_FLAG_DF);
	from[slow++] = emit_jcc(e, E_CC_NE);
	from[slow++] = run_check(b, H_RDI, log_bytes, true);
	if (move) {
		emit_store(e, T1, context_at(b->c, &b->t->value));
		from[slow++] = run_check(b, H_RSI, log_bytes, false);
		emit_load(e, T0, context_at(b->c, &b->t->value));
		emit_rr(e, E_W, E_ONE, 0x03, H_RSI, T1);
	} else {
		emit_mov(e, T0, T1);
	}
	emit_rr(e, E_W, E_ONE, 0x03, H_RDI, T0);
	put8(e, 0xf3);
	if (i->op_bytes == 2)
		put8(e, 0x66);
	if (i->op_bytes == 8)
		put8(e, 0x48);
	put8(e, (move ? 0xa4 : 0xaa) | (i->op_bytes > 1));
	emit_rr(e, E_W, E_ONE, 0x2b, H_RDI, T0);
	if (move)
		emit_rr(e, E_W, E_ONE, 0x2b, H_RSI, T1);
	done[1] = emit_jmp(e);
	while (slow > 0)
		emit_target(from[--slow], e->at);
	translate_call(b, i);
	emit_target(done[0], e->at);
	emit_target(done[1], e->at);
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
	case X86_OP_STAC:
	case X86_OP_CLAC:
		translate_ac(b, i->op == X86_OP_STAC);
		break;
	case X86_OP_MOVS:
	case X86_OP_STOS:
		translate_rep(b, i);
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
