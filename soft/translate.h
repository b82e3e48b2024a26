/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * translate.h - inside the translator
 *
 * Files: translate.c the loop around translated code and the C functions that it calls;
 * code_cache.c pages, views and blocks, and when they are valid; translate_block.c from
 * a path to a block, translate_trace.c the path; translate_branch.c, translate_insn.c,
 * translate_memory.c, translate_group.c, translate_vector.c what each instruction becomes;
 * translate_thunk.c the way in and out; emit.c host instructions.
 *
 * While translated code runs, RBP points 128 bytes into the struct soft_cpu; RSP and FS are
 * the host's; R9 and R10 are scratch; the guest's registers are in host registers as
 * host_of[] says, four of them in x.gpr[].  docs/software-processor.md has the whole story.
 */
#ifndef SOFT_TRANSLATE_H
#define SOFT_TRANSLATE_H

#include "soft/cpu.h"
#include "soft/emit.h"

#define CODE_JUMPS	16384u		/* jump cache, each mode; index: low bits of RIP */
#define CODE_JUMPS_MORE	4096u		/* ... for those that find their place taken; index: another hash */
#define CODE_JUMP_SHIFT	14u
#define CODE_SLOTS	4096u		/* views in force, each mode; index: low bits of the page number */
#define CODE_PAGES	4096u
#define CODE_VIEWS	16384u
#define CODE_BLOCKS	131072u
#define CODE_INSNS	65536u
#define CODE_WARM	65536u		/* counters of arrivals, by hash of RIP */
#define CODE_BLOCK_MAX	64u		/* instructions of a block */
#define CODE_BLOCK_PAGES 4u		/* that it may lie on */
#define CODE_GROUPS	16u		/* shared checks of a block */
#define CODE_LEAST	(256u << 10)	/* less than that for us: no translator */

extern u32 translate_warm_at;		/* arrivals before a block is translated; tests lower it */

/*
 * What a translation was made for: the privilege that its data accesses have, and whether it
 * is 32-bit code (then with flat CS, DS, ES and SS; x86.flat).
 */
#define CODE_NARROW	SOFT_PRIVILEGES
#define CODE_MODES	(2 * SOFT_PRIVILEGES)

/* The guest's code as one address space sees it: a linear page on a host page. */
struct code_view {
	u64 linear;
	u32 page;
	u32 generation;			/* of the page; another: the view is dead */
	u8  mode;
};

struct code_page {
	u64 host;
	u64 lines;			/* which of its 64 lines have been translated */
	u64 idle_until;			/* instructions: it was written to, wait */
	u32 generation;
	u32 drops;
};

struct code_block {
	u64 rip;
	u32 view;			/* index + 1 */
	u32 apart;			/* without shared checks, for where they cross a page */
	u32 entry, body;		/* offsets: with and without a check of the view */
};

struct code_jump { u64 rip, code; };

/* An instruction that translated code hands to the executor. */
struct code_insn {
	struct x86_insn insn;
	u64 rip;
	u32 after;			/* instructions of the block behind it, counted already */
	u32 beyond;			/* its bytes on the next page, compared each time */
};

/* Why translated code was left. */
enum translate_exit {
	TRANSLATE_STAY,
	TRANSLATE_CHAIN,		/* enter the code at jump_to; does not leave */
	TRANSLATE_GO_ON,		/* look up RIP */
	TRANSLATE_LINK,			/* ... and make the jump at info direct */
	TRANSLATE_RESOLVE,		/* ... a block whose view is not in force was entered */
	TRANSLATE_APART,		/* ... in a block without shared checks */
	TRANSLATE_INTERPRET,		/* the instruction at RIP is for the interpreter */
	TRANSLATE_RESULT,		/* of the executor, in result */
};

struct soft_translator;

/* --- the translation of one block ------------------------------------------------------------------ */
#define T0	H_R9
#define T1	H_R10
#define DISPLACED 0xffu
extern const u8 translate_host_of[16];
#define host_of translate_host_of

#define FLAG_CF	0x01u
#define FLAG_OF	0x02u
#define FLAG_PF	0x04u
#define FLAG_AF	0x10u
#define FLAG_ZF	0x40u
#define FLAG_SF	0x80u
#define FLAGS	0xd7u

struct address {		/* a guest's memory operand */
	u8 base, index, scale;	/* guest registers or X86_REG_NONE */
	u8 seg;			/* X86_FS, X86_GS, or another, that has no base */
	bool narrow;		/* 32-bit address size */
	bool wraps;		/* 32-bit code: so is the linear address */
	u64 fixed;		/* displacement; the address if there are no registers */
};

enum cold_kind {
	COLD_FILL, COLD_RESTART, COLD_LINK, COLD_SIDE, COLD_RETURN, COLD_RESOLVE, COLD_VIEW, COLD_VECTOR, COLD_GROUP, COLD_STACK, COLD_JUMP
};

struct cold {			/* code out of line */
	enum cold_kind kind;
	u8 *from;		/* displacement of the branch that leads here */
	u8 *retry;
	struct address address;
	u64 info;
	u32 number;
	unsigned at;		/* the instruction */
	unsigned after;		/* counted instructions that are not executed if this way is taken */
	bool save;		/* flags, first */
};

/* What a register holds, as far as one block knows: an unknown value and a distance from it. */
struct value { u32 origin; s32 offset; };

/* An access of one instruction; origin 0: none that could share a check. */
struct access { struct value v; u8 bytes; bool write; };

/* Accesses that share a check: see translate_group.c. */
struct group {
	u32 origin;
	bool write;
	s32 low, high;			/* offsets from the origin */
	bool reloaded;			/* the addend was needed again */
	u8 *store, *store_end;		/* where it is kept in the context */
};

struct part {			/* a page that the block lies on */
	u64 page;
	const u8 *code;		/* host address */
	u32 view;
};

struct translation {
	struct emitter e;	/* first */
	struct soft_cpu *c;
	struct soft_translator *t;
	struct part part[CODE_BLOCK_PAGES];
	unsigned parts;
	u64 rip;
	u32 view;
	unsigned mode;
	bool narrow;		/* 32-bit code */
	bool apart;		/* a short block without shared checks */
	bool crosses;		/* the last instruction is the executor's, since it crosses a page */
	unsigned count, at;	/* instructions, and which is being translated */
	bool flags_native, flags_saved;
	u8 vector_level;
	unsigned colds;
	u64 rips[CODE_BLOCK_MAX + 1];
	u8 live[CODE_BLOCK_MAX + 1];	/* flags that are live before instruction n */
	u8 live_aside[CODE_BLOCK_MAX];	/* ... where branch n leaves the block */
	u8 enters[CODE_BLOCK_MAX];	/* instruction n is the first that needs this part; 0: none */
	bool across[CODE_BLOCK_MAX];	/* ... with its last bytes on another page */
	struct x86_insn insn[CODE_BLOCK_MAX];
	bool native[CODE_BLOCK_MAX];
	struct access access[CODE_BLOCK_MAX][2];
	struct value value[16];		/* of the guest's registers, before the instruction at hand */
	u32 origins;
	struct { u32 base, index; u8 scale; } pair[16];
	unsigned pairs;
	struct group group[CODE_GROUPS];
	unsigned groups, first_group;	/* those before are over */
	const struct group *held;	/* T1 has its addend, unless the emitter has touched T1 */
	struct cold cold[CODE_BLOCK_MAX * 8 + 8];
};

/* What an instruction does with flags. */
struct flag_use { u8 reads, sets, changes; };	/* sets: surely; changes: perhaps */

static inline struct host_mem context_at(const struct soft_cpu *c, const void *field)
{
	return mem_at(H_RBP, (s32)((const u8 *)field - (const u8 *)c - 128));
}
static inline struct host_mem gpr_at(unsigned r)
{
	return mem_at(H_RBP, (s32)(r * 8) - 128);
}
static inline unsigned word_bytes(const struct translation *b) { return b->narrow ? 4 : 8; }	/* of the stack */
static inline unsigned instructions_after(const struct translation *b) { return b->count - b->at; }
/* A branch in the middle of a block: the block goes on where it is expected to lead. */
static inline bool is_inner(const struct translation *b, unsigned n) { return n + 1 < b->count; }
static inline u64 rip_behind(const struct translation *b, unsigned n) { return b->rips[n] + b->insn[n].len; }

/* --- the translator ---------------------------------------------------------------------------- */
struct soft_translator {
	/* -- translated code looks here -- */
	u32 flags;			/* arithmetic flags between blocks: LAHF's AH, SETO's AL */
	u8  flat[X86_SEGMENTS];		/* FS, GS: 32-bit code may access all 4 GiB through it */
	u32 vector_level;		/* 0 not usable; 1 x87 and SSE; 2 AVX; 3 AVX-512 */
	u64 jump_to;			/* in transit */
	u64 value;
	u64 left_at;			/* return address of the exit */
	u64 kept[2];			/* T0 and T1, while C runs */
	u64 addend[CODE_GROUPS];	/* of the block's shared checks */
	struct { u64 page, addend; } stack[SOFT_PRIVILEGES];	/* the page that RSP was last seen on, writable */
	u32 view_in_force[CODE_MODES][CODE_SLOTS];
	struct code_jump jump[CODE_MODES][CODE_JUMPS + CODE_JUMPS_MORE];

	/* -- the rest is C's -- */
	struct soft_code code;
	u64 used, thunks_end;
	enum x86_result result;
	bool filling;			/* a TLB entry is wanted by translated code */
	bool stop;			/* code or translations changed: leave after this instruction */
	bool exact;			/* every flag at every exit; tests */
	u32 (*enter)(void *context, const u8 *code);
	u32 at_fill, at_stack[SOFT_PRIVILEGES], at_jump[CODE_MODES], at_link, at_resolve, at_restart, at_vector, at_view, at_insn, at_insn_end;
	u32 at_exit;
	u32 pages, views, blocks, insns;
	/*
	 * Slots of view_in_force[][] that hold a view, in lists: [1] of global pages.  A slot stays
	 * listed until its list is emptied, whatever it holds by then.
	 */
	u64 slot_global[CODE_MODES * CODE_SLOTS / 64];	/* what it holds is of a global page */
	u64 slot_listed[2][CODE_MODES * CODE_SLOTS / 64];
	u32 slots_listed[2];
	u16 slot_list[2][CODE_MODES * CODE_SLOTS];
	bool profile;			/* count these: */
	u64 executed[X86_OPS], interpreted[X86_OPS];
	struct translation translation;
	u8  warm[CODE_WARM];

	/* -- what is known about translations: 0 after a reset -- */
	struct code_page page[CODE_PAGES];
	u16 page_at[2 * CODE_PAGES];	/* hash tables: index + 1 */
	struct code_view view[CODE_VIEWS];
	u16 view_at[2 * CODE_VIEWS];
	struct code_block block[CODE_BLOCKS];
	u32 block_at[2 * CODE_BLOCKS];
	struct code_insn insn[CODE_INSNS];
	u8  copy[CODE_PAGES][PAGE_BYTES];
};

/* --- code_cache.c --------------------------------------------------------------------------- */
void code_reset(struct soft_cpu *c);
/* The view in force at RIP, entered and verified; 0 if code can not be fetched there. */
u32  code_view_at(struct soft_cpu *c, unsigned mode, u64 rip);
/* Put a view in force again that is still right.  False: look for another one. */
bool code_view_revive(struct soft_cpu *c, u32 view);
struct code_block *code_block_find(struct soft_translator *t, u64 rip, u32 view, bool apart);
struct code_block *code_block_add(struct soft_translator *t, u64 rip, u32 view, bool apart);
/* Is there room for the views of another page, whatever is to be found there? */
static inline bool code_has_room(const struct soft_translator *t)
{
	return t->pages + 8 < CODE_PAGES && t->views + 8 < CODE_VIEWS - 1;
}
/* bytes at rip, on the view's page, are about to be translated. */
void code_cover(struct soft_cpu *c, u32 view, u64 rip, unsigned bytes);
/* The jump cache's entry for RIP, NULL if it has none; and one to fill for it. */
struct code_jump *code_jump_find(struct soft_translator *t, unsigned mode, u64 rip);
struct code_jump *code_jump_take(struct soft_translator *t, unsigned mode, u64 rip);
static inline bool code_view_is_dead(const struct soft_translator *t, u32 view)
{
	const struct code_view *v = &t->view[view - 1];

	return v->generation != t->page[v->page].generation;
}

/* --- translate_block.c: NULL if there is nothing to translate at RIP ---------------------------- */
struct code_block *translate_block(struct soft_cpu *c, unsigned mode, u64 rip, u32 view, bool apart);

/* --- translate_thunk.c ------------------------------------------------------------------------- */
void translate_thunks(struct soft_cpu *c);

/* --- translate.c: called by translated code; enum translate_exit --------------------------------- */
u32 translate_fill(struct soft_cpu *c, u64 linear, const u8 *back);
u32 translate_execute(struct soft_cpu *c, u32 n);
u32 translate_jump(struct soft_cpu *c, u64 target, const u8 *back);
u32 translate_resolve(struct soft_cpu *c, u64 unused, const u8 *back);
u32 translate_view(struct soft_cpu *c, u64 linear, const u8 *back);
u32 translate_vector_need(struct soft_cpu *c, u64 unused, const u8 *back);
u32 translate_restart(struct soft_cpu *c, u64 unused, const u8 *back);

/* What stands behind a call of a thunk: RIP's low 48 bits, and more. */
#define INFO_RIP(info)		((u64)((s64)((info) << 16) >> 16))
#define INFO_AFTER(info)	((u32)((info) >> 48 & 0x7f))	/* counted instructions not executed */
#define INFO_BYTES(info)	(1u << ((info) >> 55 & 7))
#define INFO_WRITE(info)	((info) >> 58 & 1)
#define INFO_ALIGN(info)		((info) >> 61 & 1)
#define INFO_LEVEL(info)	((u32)((info) >> 59 & 3))
#define INFO_SHADOW(info)	((info) >> 62 & 1)		/* behind STI */
#define INFO_APART(info)	((info) >> 63)			/* a shared check */
static inline u64 info_make(u64 rip, unsigned after)
{
	return (rip << 16 >> 16) | (u64)after << 48;
}


/* translate_memory.c */
struct address address_of(const struct translation *b, const struct x86_insn *i);
/* The stack's word at RSP + offset */
struct address address_of_stack(const struct translation *b, unsigned base, s64 offset);
/* A word of the stack, between a register and memory */
void load_word(struct translation *b, unsigned to, struct host_mem m);
void store_word(struct translation *b, unsigned from, struct host_mem m);
void emit_stack_add(struct translation *b, s32 bytes);
/* Is the operand where translated code may look for it? */
bool address_is_native(const struct translation *b, const struct x86_insn *i);
/* Host memory for so many bytes at a: the guest's, checked.  May use both scratch registers. */
struct host_mem memory_open(struct translation *b, const struct address *a, unsigned bytes, bool write, bool align);
/* Into the table at entry; the branch that is taken if it is not there; then T1 gets the addend. */
u8 *emit_tlb_look_up(struct emitter *e, struct host_mem entry, s32 keep);
/* The check alone; its cold code fills the entry. */
u8 *memory_check(struct translation *b, const struct address *a, unsigned bytes, bool write, bool align);
bool address_is_simple(const struct address *a);
struct host_mem memory_collapse(struct translation *b, struct host_mem m);	/* frees T1 */
void emit_address(struct translation *b, const struct address *a, unsigned to);	/* changes flags */
struct cold *cold_add(struct translation *b, enum cold_kind kind, u8 *from);
void emit_colds(struct translation *b);
u64  info_here(const struct translation *b);
void emit_thunk(struct translation *b, u32 at);
void flags_save(struct translation *b);
void flags_lose(struct translation *b);		/* before flags are clobbered */
void flags_need(struct translation *b, unsigned temporary);	/* native, now */

/* translate_insn.c: false: it is for the executor */
bool insn_is_native(const struct translation *b, const struct x86_insn *i);
void insn_translate(struct translation *b, const struct x86_insn *i);
struct flag_use insn_flags(const struct x86_insn *i, bool native);

struct plan {
	u8 kind;			/* enum plan_kind */
	u8 how, map, opcode;
	u8 ext;				/* /n, or 0xff: G is a register */
	u8 imm_bytes;
	u8 e, g;			/* PLAN_READ, PLAN_WRITE */
	bool e_byte, g_byte;		/* byte registers */
	bool align;
};
enum plan_kind { PLAN_NONE, PLAN_MODRM, PLAN_VEX, PLAN_PLAIN, PLAN_SPECIAL, PLAN_NOTHING };
#define PLAN_READ	1u
#define PLAN_WRITE	2u
struct plan insn_plan(const struct translation *b, const struct x86_insn *i);

/* translate_trace.c: the path that the block takes; 0: nothing to translate */
unsigned trace_gather(struct translation *b);
void trace_find_live_flags(struct translation *b);
u64  code_address(const struct translation *b, u64 rip);	/* where a branch leads */

/* translate_branch.c */
void translate_branch(struct translation *b, const struct x86_insn *i);
void jump_to(struct translation *b, u64 target);
void view_check(struct translation *b);		/* before an instruction on another page */
void branch_emit_cold(struct translation *b, const struct cold *cold);

/* translate_group.c */
void groups_find(struct translation *b);	/* the accesses of all instructions */
void groups_step(struct translation *b);	/* the instruction at hand is done */
/* The operand, if it shares a check. */
bool group_open(struct translation *b, const struct address *a, unsigned bytes, bool write, struct host_mem *m);
void group_emit_cold(struct translation *b, struct cold *cold);
void groups_finish(struct translation *b);

/* translate_block.c */
void translate_call(struct translation *b, const struct x86_insn *i);	/* by the executor */

/* translate_system.c */
bool system_is_native(const struct translation *b, const struct x86_insn *i);
bool system_needs_next(const struct x86_insn *i);	/* only with a native successor, no branch */
void system_translate(struct translation *b, const struct x86_insn *i);
void restart_if(struct translation *b, unsigned cc);	/* leave the instruction at hand to the interpreter */

/* translate_vector.c */
bool vector_is_native(const struct translation *b, const struct x86_insn *i);
void vector_translate(struct translation *b, const struct x86_insn *i);
u32  vector_level_of(const struct x86_insn *i);
u32  vector_level_now(struct soft_cpu *c);
bool vector_make_ready(struct soft_cpu *c);

#endif
