// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate.c - the loop around translated code, and what it calls
 *
 * The instruction loop comes here after each branch.  Code that is warm is translated and
 * entered; it comes back with a reason and with the guest's registers where the executor
 * has them.  What is left to the interpreter is one instruction at a time, or code that is
 * cold, until the next branch.
 *
 * Only 64-bit code and 32-bit code with flat segments, and only while nothing wants to see every instruction: no interrupt
 * shadow, single step or breakpoint.
 */
#include "base/atomic.h"
#include "soft/translate.h"
#include "x86/operand.h"

#define ROOM_BYTES	(64u << 10)	/* of code memory, more than a block can take */
#define SHARE_LEAST	(2ull << 20)

static u32 translation_is_off, profile_is_on;	/* atomic */
u32 translate_warm_at = 12;
static u32 processors;			/* atomic: with a translator */
static u64 bound_bytes = 64ull << 20;	/* atomic */

void soft_translate(bool on)
{
	atomic_store_relaxed(&translation_is_off, !on);
}

void soft_translations_bound(u64 bytes)
{
	atomic_store_relaxed(&bound_bytes, bytes);
}

void soft_profile(bool on)
{
	atomic_store_relaxed(&profile_is_on, on);
}

void soft_ops(const struct soft_cpu *c, soft_op_fn *fn, void *arg)
{
	const struct soft_translator *t = c->translator;

	for (unsigned op = 0; t && op < X86_OPS; op++)
		if (t->executed[op] | t->interpreted[op])
			fn(arg, x86_op_name(op), t->executed[op], t->interpreted[op]);
}

u64 soft_translator_bytes(void)
{
	return sizeof(struct soft_translator);
}

void soft_translator_init(struct soft_cpu *c, struct soft_translator *t, const struct soft_code *code)
{
	if (code->bytes < CODE_LEAST || atomic_load_relaxed(&translation_is_off))
		return;
	t->code = *code;
	t->profile = atomic_load_relaxed(&profile_is_on);
	c->translator = t;
	translate_thunks(c);
	code_reset(c);
	atomic_fetch_add(&processors, 1u);
}

void soft_blocks(const struct soft_cpu *c, soft_block_fn *fn, void *arg)
{
	const struct soft_translator *t = c->translator;

	for (u32 n = 0; t && n < t->blocks; n++) {
		u64 end = n + 1 < t->blocks ? t->block[n + 1].entry : t->used;

		fn(arg, (u64)t->code.run + t->block[n].entry, end - t->block[n].entry, t->block[n].rip);
	}
}

/* --- from translated code ------------------------------------------------------------------------------ */

/* The instruction that info is about, and the rest of its block, are not executed after all. */
static void back_to(struct soft_cpu *c, u64 info)
{
	c->x.rip = INFO_RIP(info);
	c->counters.instructions -= INFO_AFTER(info);
	if (INFO_SHADOW(info)) {
		c->x.shadow = 1;
		c->x.attention |= X86_ATTN_SHADOW | X86_ATTN_FLAGS;
	}
}

static u64 info_at(const u8 *at)
{
	u64 info;

	__builtin_memcpy(&info, at, 8);
	return info;
}

#define JMP_BYTES 5		/* between a call that may return and its info */

u32 translate_fill(struct soft_cpu *c, u64 linear, const u8 *back)
{
	u64 info = info_at(back + JMP_BYTES);
	struct soft_translator *t = c->translator;
	struct x86 *x = &c->x;
	bool write = INFO_WRITE(info);
	unsigned bytes = INFO_BYTES(info);
	const struct x86_tlb_entry *e =
		&(write ? x->tlb->write : x->tlb->read)[(linear >> PAGE_BITS) % X86_TLB_ENTRIES];
	enum x86_result r = X86_FAULT;

	if ((linear & (PAGE_BYTES - 1)) + bytes <= PAGE_BYTES && (u64)((s64)(linear << 16) >> 16) == linear) {
		t->filling = true;
		r = soft_mem_probe(x, linear, 1, (write ? X86_WRITE : X86_READ) | (x->cpl == 3 ? X86_USER : 0));
		t->filling = false;
	}
	if (INFO_ALIGN(info) && (linear & (bytes - 1)))
		r = X86_FAULT;
	if (r == X86_OK && e->tag == (linear & ~(PAGE_BYTES - 1)))
		return TRANSLATE_STAY;
	back_to(c, info);
	return INFO_APART(info) ? TRANSLATE_APART : TRANSLATE_INTERPRET;
}

u32 translate_restart(struct soft_cpu *c, u64 unused, const u8 *back)
{
	(void)unused;
	back_to(c, info_at(back));
	return TRANSLATE_INTERPRET;
}

u32 translate_vector_need(struct soft_cpu *c, u64 unused, const u8 *back)
{
	u64 info = info_at(back + JMP_BYTES);

	(void)unused;
	if (vector_make_ready(c) && c->translator->vector_level >= INFO_LEVEL(info))
		return TRANSLATE_STAY;
	back_to(c, info);
	return TRANSLATE_INTERPRET;
}

static unsigned mode_of(const struct soft_cpu *c);
static struct code_block *block_at(struct soft_cpu *c, unsigned mode, u64 rip, bool apart);

static bool is_interrupted(struct soft_cpu *c)
{
	return c->x.attention | atomic_load_relaxed(&c->pins);
}

static void flags_in(struct soft_cpu *c)
{
	c->translator->flags = flags_pack(c->x.rflags);
}

static void flags_out(struct soft_cpu *c)
{
	c->x.rflags = flags_merge(c->x.rflags, c->translator->flags);
}

/*
 * Another processor may have changed code that this one has translated: it then makes this
 * one serialize.  CPUID does too, and ends in a VMRUN.
 */
static void serialize(struct soft_cpu *c)
{
	if (atomic_load_relaxed(&processors) > 1)
		soft_code_forget(c);
}

/*
 * Exits that end where they began: a hypervisor answers them out of the processor's own
 * registers.  Writes of MSRs that hypervisors have added may write memory, even code.
 */
static bool exit_is_private(const struct soft_cpu *c)
{
	switch (c->exit_code) {
	case VMEXIT_CR0_READ ... VMEXIT_DR0_WRITE + 15:
	case VMEXIT_RDTSC: case VMEXIT_RDPMC: case VMEXIT_PAUSE: case VMEXIT_INVLPG: case VMEXIT_XSETBV:
		return true;
	case VMEXIT_CPUID:
		return atomic_load_relaxed(&processors) == 1;
	case VMEXIT_MSR:
		return (u32)c->x.gpr[X86_RCX] < 0x1000;
	default:
		return false;
	}
}

/*
 * Whoever writes code lets the guest know: by an interrupt, through a device, or, before
 * KVM_RUN, from the program that we are part of.
 */
void soft_code_enter(struct soft_cpu *c, const struct vmcb *v)
{
	if (c->translator && (c->distrust || !exit_is_private(c) || !(v->save.cr0 & X86_CR0_PG) ||
			      (v->control.eventinj & VMCB_EVENT_V) || (v->control.int_ctl & VMCB_INT_CTL_V_IRQ)))
		soft_code_forget(c);
	c->distrust = false;
}

/* The rest of an instruction that crosses a page is on a page that is not the block's. */
static bool bytes_beyond_match(struct soft_cpu *c, const struct code_insn *i)
{
	unsigned here = i->insn.len - i->beyond;
	const u8 *next;

	if (soft_mem_fetch(c, i->rip + here, &next) != X86_OK)
		return false;
	for (unsigned n = 0; n < i->beyond; n++)
		if (x86_memory_get(next + n, 1) != i->insn.bytes[here + n])
			return false;
	return true;
}

/* 32-bit code: may all of FS and GS be accessed? */
static void segments_note(struct soft_cpu *c)
{
	for (unsigned n = X86_FS; n <= X86_GS && c->x.flat; n++) {
		const struct x86_seg *s = &c->x.seg[n];

		c->translator->flat[n] = s->limit == 0xffffffff && (s->attr & X86_SEG_P) && (s->attr & X86_SEG_S) &&
					 (s->attr & 0xe) == 2;
	}
}

/* Behind an instruction of the executor: into the code at RIP, if nothing is in the way and it is known. */
static u32 onward(struct soft_cpu *c)
{
	struct soft_translator *t = c->translator;
	struct x86 *x = &c->x;
	const struct code_jump *jump;
	unsigned mode;

	if ((x->attention & (X86_ATTN_SHADOW | X86_ATTN_STEP)) || atomic_load_relaxed(&c->pins) ||
	    (x->rflags & X86_FLAG_RF) || soft_virtual_interrupt_is_due(c))
		return TRANSLATE_GO_ON;
	mode = mode_of(c);
	if (mode == CODE_MODES)
		return TRANSLATE_GO_ON;
	segments_note(c);
	jump = code_jump_find(t, mode, x->rip);
	if (!jump)
		return TRANSLATE_GO_ON;
	x->attention = 0;
	c->resume = false;
	c->current = NULL;
	t->vector_level = vector_level_now(c);
	t->jump_to = jump->code;
	return TRANSLATE_CHAIN;
}

u32 translate_execute(struct soft_cpu *c, u32 n)
{
	struct soft_translator *t = c->translator;
	const struct code_insn *i = &t->insn[n];
	struct x86 *x = &c->x;
	const struct x86_tlb *tlb = x->tlb;
	u64 next = i->rip + i->insn.len;
	u32 level = t->vector_level;

	x->rip = i->rip;
	if (UNLIKELY(i->beyond) && !bytes_beyond_match(c, i)) {
		c->counters.instructions -= i->after + 1;
		return TRANSLATE_INTERPRET;
	}
	flags_out(c);
	t->stop = false;
	c->current = &i->insn;
	c->counters.executor_calls++;
	if (UNLIKELY(t->profile))
		t->executed[i->insn.op]++;
	t->result = x86_execute(x, &i->insn);
	flags_in(c);
	if (i->insn.op == X86_OP_IRET)
		serialize(c);
	segments_note(c);
	if (i->insn.flags & (X86_F_VECTOR | X86_F_SYSTEM))
		t->vector_level = vector_level_now(c);
	if (LIKELY(t->result == X86_OK)) {
		if (LIKELY(x->rip == next && !t->stop && !is_interrupted(c) && x->tlb == tlb && t->vector_level >= level &&
			   (x->code_bits == 64 || x->flat) && !(i->insn.flags & X86_F_BRANCH)))
			return TRANSLATE_STAY;
		c->counters.instructions -= i->after;
		return onward(c);
	}
	c->counters.instructions -= i->after;
	return TRANSLATE_RESULT;
}

/* A block was entered whose view is not in force.  If only that was missing, go on. */
u32 translate_resolve(struct soft_cpu *c, u64 unused, const u8 *back)
{
	struct soft_translator *t = c->translator;
	const struct code_block *block;
	u32 n;

	(void)unused;
	c->x.rip = INFO_RIP(info_at(back));
	t->left_at = (u64)back;
	if (is_interrupted(c))
		return TRANSLATE_GO_ON;
	__builtin_memcpy(&n, back + 8, 4);
	block = &t->block[n];
	if (!code_view_revive(c, block->view))
		return TRANSLATE_RESOLVE;
	t->jump_to = (u64)t->code.run + block->body;
	return TRANSLATE_CHAIN;
}

/* An indirect jump that is not in the jump cache. */
u32 translate_jump(struct soft_cpu *c, u64 target, const u8 *back)
{
	struct soft_translator *t = c->translator;
	u64 resets = c->counters.code_resets, info = info_at(back + JMP_BYTES);
	unsigned mode = mode_of(c);
	struct code_block *block = NULL;
	struct code_jump *jump;

	if (mode < CODE_MODES && (u64)((s64)(target << 16) >> 16) == target)
		block = block_at(c, mode, target, false);
	if (!block || c->counters.code_resets != resets) {	/* the code that we came from may be gone */
		back_to(c, info);
		return TRANSLATE_INTERPRET;
	}
	c->counters.chain_misses++;
	jump = code_jump_take(t, mode, target);
	*jump = (struct code_jump){ target, (u64)t->code.run + block->entry };
	t->kept[1] = (u64)(jump - t->jump[mode]) << 3;
	return TRANSLATE_STAY;
}

/* The view of the page that an instruction's last bytes are on is not in force. */
u32 translate_view(struct soft_cpu *c, u64 linear, const u8 *back)
{
	u64 info = info_at(back + JMP_BYTES), resets = c->counters.code_resets;
	u32 expected = 0;

	__builtin_memcpy(&expected, back + JMP_BYTES + 8, 4);
	if (code_view_at(c, mode_of(c), linear) == expected && c->counters.code_resets == resets)
		return TRANSLATE_STAY;
	back_to(c, info);
	return TRANSLATE_INTERPRET;
}

/* --- the loop ---------------------------------------------------------------------------------------------- */

/* The mode, as code size and the data TLB in use say; CODE_MODES if it is none of ours. */
static unsigned mode_of(const struct soft_cpu *c)
{
	bool narrow = c->x.flat && c->x.stack_bits == 32;

	if ((c->x.code_bits != 64 && !narrow) || (c->x.cpl != 0 && c->x.cpl != 3))
		return CODE_MODES;
	for (unsigned mode = 0; mode < SOFT_PRIVILEGES; mode++)
		if (c->x.tlb == &c->tlb[mode].data)
			return narrow ? CODE_NARROW + mode : mode;
	return CODE_MODES;
}

static u64 occupied(const struct soft_translator *t)
{
	return t->used + t->blocks * sizeof(t->block[0]) + t->insns * sizeof(t->insn[0]) +
	       t->pages * (sizeof(t->page[0]) + sizeof(t->copy[0]));
}

static u64 share(void)
{
	u64 bytes = atomic_load_relaxed(&bound_bytes) / MAX_OF(atomic_load_relaxed(&processors), 1u);

	return MAX_OF(bytes, SHARE_LEAST);
}

static bool is_full(const struct soft_translator *t)
{
	return t->used + ROOM_BYTES > t->code.bytes || t->blocks == CODE_BLOCKS || t->insns + CODE_BLOCK_MAX > CODE_INSNS ||
	       occupied(t) > share();
}

static bool is_warm(struct soft_cpu *c, u64 rip, u32 view)
{
	struct soft_translator *t = c->translator;
	u8 *warm = &t->warm[(rip * 0x9e3779b97f4a7c15ull) >> 48];

	BUILD_ASSERT(CODE_WARM == 1u << 16);
	if (*warm < translate_warm_at) {
		(*warm)++;
		return false;
	}
	return !translate_warm_at || t->page[t->view[view - 1].page].idle_until <= c->counters.instructions;
}

/* The block at RIP, made if need be; NULL: interpret. */
static struct code_block *block_at(struct soft_cpu *c, unsigned mode, u64 rip, bool apart)
{
	struct soft_translator *t = c->translator;
	u32 view = code_view_at(c, mode, rip);
	struct code_block *block;

	if (!view)
		return NULL;
	block = code_block_find(t, rip, view, apart);
	if (block)
		return block;
	if (!apart && !is_warm(c, rip, view))
		return NULL;
	if (is_full(t)) {
		code_reset(c);
		view = code_view_at(c, mode, rip);
		if (!view)
			return NULL;
	}
	return translate_block(c, mode, rip, view, apart);
}

/* A jump that went through C: make it direct.  Within a view blocks need no check. */
static void link(struct soft_cpu *c, const struct code_block *to)
{
	struct soft_translator *t = c->translator;
	const u8 *at = (const u8 *)t->left_at;
	u32 from = 0, view = 0;
	u8 *jump;

	__builtin_memcpy(&from, at + 8, 4);
	__builtin_memcpy(&view, at + 12, 4);
	if (!from)
		return;
	c->counters.chain_links++;
	jump = t->code.write + from;
	emit_target(jump, t->code.write + (to->view == view ? to->body : to->entry));
}

/* A block of a dead view was entered: let it lead to its successor. */
static void redirect(struct soft_cpu *c, const struct code_block *to)
{
	struct soft_translator *t = c->translator;
	struct code_block *dead;
	struct emitter e;
	u32 n = 0;

	__builtin_memcpy(&n, (const u8 *)t->left_at + 8, 4);
	dead = &t->block[n];
	if (dead->rip != to->rip || dead == to || !code_view_is_dead(t, dead->view))
		return;
	e.at = t->code.write + dead->entry;
	emit_target(emit_jmp(&e), t->code.write + to->entry);
}

static void note_interpreted(struct soft_cpu *c)
{
	unsigned room = (unsigned)MIN_OF(15ul, PAGE_BYTES - c->x.rip % PAGE_BYTES);
	struct x86_insn i;
	const u8 *code;

	if (soft_mem_fetch(c, c->x.rip, &code) == X86_OK && x86_decode(&i, code, room, c->x.code_bits) == X86_DECODED)
		c->translator->interpreted[i.op]++;
}

enum x86_result soft_translated(struct soft_cpu *c)
{
	struct soft_translator *t = c->translator;
	struct x86 *x = &c->x;
	enum translate_exit why = TRANSLATE_GO_ON;
	bool apart = false;

	if (UNLIKELY(c->current && c->current->op == X86_OP_IRET))
		serialize(c);
	for (;;) {
		struct code_block *block = NULL;
		struct code_jump *jump;
		u32 resets = (u32)c->counters.code_resets;
		unsigned mode;
		u64 code;

		if (UNLIKELY(is_interrupted(c))) {
			enum x86_result r;

			if (x->attention & (X86_ATTN_SHADOW | X86_ATTN_STEP))
				return X86_OK;
			r = soft_boundary(c);
			if (r == X86_EXIT)
				return r;
			if (is_interrupted(c))
				return X86_OK;
		}
		mode = mode_of(c);
		if (UNLIKELY(mode == CODE_MODES))
			return X86_OK;
		segments_note(c);
		jump = code_jump_find(t, mode, x->rip);
		code = jump ? jump->code : 0;
		if (!jump || why == TRANSLATE_LINK || why == TRANSLATE_RESOLVE || apart) {
			block = block_at(c, mode, x->rip, apart);
			if (!block)
				return X86_OK;
			code = (u64)t->code.run + block->entry;
			if (!apart)
				*code_jump_take(t, mode, x->rip) = (struct code_jump){ x->rip, code };
			if (why == TRANSLATE_LINK && (u32)c->counters.code_resets == resets)
				link(c, block);
			else if (why == TRANSLATE_RESOLVE && (u32)c->counters.code_resets == resets)
				redirect(c, block);
		}

		c->current = NULL;
		t->vector_level = vector_level_now(c);
		flags_in(c);
		why = t->enter((u8 *)c + 128, (const u8 *)code);
		flags_out(c);
		c->counters.translated_exits++;
		apart = why == TRANSLATE_APART;
		switch (why) {
		case TRANSLATE_LINK:
		case TRANSLATE_RESOLVE:
			x->rip = INFO_RIP(info_at((const u8 *)t->left_at));
			apart = INFO_APART(info_at((const u8 *)t->left_at));
			break;
		case TRANSLATE_APART:
		case TRANSLATE_GO_ON:
			break;
		case TRANSLATE_INTERPRET:
			c->counters.restarts++;
			if (UNLIKELY(t->profile))
				note_interpreted(c);
			return X86_OK;
		default:
			return t->result;
		}
	}
}
