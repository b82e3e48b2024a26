// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * run.c - the instruction loop
 *
 * The decode cache is a memo of a pure function, from instruction bytes and code size to a
 * bound struct x86_insn.  Each time, the bytes in memory are compared with the bytes that
 * were decoded.  So code may be modified by anyone, at any time, without invalidation:
 * there is nothing to invalidate.  Where to look is therefore only a guess: behind an
 * instruction, the next slot (slots are filled in the order in which code is first met);
 * after a branch, or when that guess is wrong, the slot that a hash of RIP leads to.
 *
 * The window is the part of the current code page in which 15 bytes from any instruction
 * start are on the page and within CS's limit.  It is emptied by whatever could move it:
 * TLB flushes and mode changes.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Instruction Fetch" under
 * "Segment Protection" and "Canonical Address Form".
 */
#include "base/atomic.h"
#include "soft/cpu.h"

#define CODE_BYTES	15u		/* the longest instruction */

/* Which of an instruction's 16 bytes count, by its length. */
struct mask { u64 low, high; };
static const struct mask masks[16] = {
#define MASK(n) { (n) >= 8 ? ~0ull : BIT_U64(8 * ((n) & 7)) - 1, (n) <= 8 ? 0 : BIT_U64(8 * ((n) & 7)) - 1 }
	{ ~0ull, ~0ull },	/* an empty slot: matches no code, see slot_clear() */
	MASK(1), MASK(2), MASK(3), MASK(4), MASK(5), MASK(6), MASK(7), MASK(8), MASK(9), MASK(10),
	MASK(11), MASK(12), MASK(13), MASK(14), MASK(15),
#undef MASK
};

static inline u16 *place_of(struct soft_cpu *c, u64 rip)
{
	return &c->place[rip * 0x9e3779b97f4a7c15ull >> (64 - SOFT_PLACE_BITS)];
}

static inline struct x86_insn *slot_of(struct soft_cpu *c, u64 rip)
{
	return &c->decoded[*place_of(c, rip)];
}

/* A slot for new code at rip, behind the one that was filled before. */
static struct x86_insn *slot_take(struct soft_cpu *c, u64 rip)
{
	c->decoded_next = (c->decoded_next + 1) % SOFT_DECODED;
	*place_of(c, rip) = (u16)c->decoded_next;
	return &c->decoded[c->decoded_next];
}

static void slot_clear(struct x86_insn *slot)
{
	slot->len = 0;
	slot->code_bits = 0;
}

static inline bool slot_matches(const struct x86_insn *slot, u64 low, u64 high, unsigned code_bits)
{
	const struct mask *m = &masks[slot->len];
	const u64 *bytes = (const u64 *)slot->bytes;

	return !(((low ^ bytes[0]) & m->low) | ((high ^ bytes[1]) & m->high) | (slot->code_bits ^ code_bits));
}

/* As far as bytes are available, is it the slot's instruction? */
static bool slot_matches_prefix(const struct x86_insn *slot, const u8 *bytes, unsigned available,
				unsigned code_bits)
{
	return slot->code_bits == code_bits &&
	       !__builtin_memcmp(slot->bytes, bytes, MIN_OF((unsigned)slot->len, available));
}

/* Decode into slot.  X86_OK; X86_FAULT; X86_REPEAT: more bytes are needed. */
static enum x86_result fill(struct soft_cpu *c, struct x86_insn *slot, const u8 bytes[16], unsigned available)
{
	struct x86 *x = &c->x;
	enum x86_decoded decoded;

	c->counters.decodes++;
	decoded = x86_decode(slot, bytes, available, x->code_bits);
	if (LIKELY(decoded == X86_DECODED)) {
		slot->exec = x86_bind(x, slot);
		return X86_OK;
	}
	slot_clear(slot);
	if (decoded == X86_TRUNCATED)
		return X86_REPEAT;
	x->next_rip = x->rip;
	return decoded == X86_TOO_LONG ? x86_raise_error(x, X86_GP, 0) : x86_raise(x, X86_UD);
}

/* Put the window on the page of linear, whose host address is known. */
static void window_set(struct soft_cpu *c, u64 linear, const u8 *host)
{
	const struct x86 *x = &c->x;
	u64 offset = linear & (PAGE_BYTES - 1);
	u64 bytes = PAGE_BYTES - CODE_BYTES;	/* an instruction loads 16 bytes: one is spare */

	c->window_start = x->rip - offset;
	c->window_host = host - offset;
	if (x->code_bits != 64) {
		s64 within = (s64)((u64)x->seg[X86_CS].limit + 1 - CODE_BYTES - c->window_start);

		bytes = within < 0 ? 0 : MIN_OF(bytes, (u64)within + 1);
	}
	c->window_bytes = bytes;
}

/* The bytes at RIP where they cross a page or CS's limit, or on a page not seen yet. */
static enum x86_result fetch_slow(struct soft_cpu *c, struct x86_insn **insn)
{
	struct x86 *x = &c->x;
	bool long_mode = x->code_bits == 64;
	u64 linear = long_mode ? x->rip : (u32)(x->rip + x->seg[X86_CS].base);
	u64 limit = long_mode ? CODE_BYTES : (u64)x->seg[X86_CS].limit + 1 - x->rip;
	struct x86_insn *slot = slot_of(c, x->rip);
	union { u8 bytes[16]; u64 word[2]; } code = { .word = { 0, 0 } };
	unsigned available, room = (unsigned)(PAGE_BYTES - (linear & (PAGE_BYTES - 1)));
	const u8 *host;
	enum x86_result r;

	x->next_rip = x->rip;
	if (long_mode ? (u64)((s64)(linear << 16) >> 16) != linear && !(x->cr4 & X86_CR4_LA57) :
			x->rip > x->seg[X86_CS].limit)
		return x86_raise_error(x, X86_GP, 0);
	r = soft_mem_fetch(c, linear, &host);
	if (r != X86_OK)
		return r;
	window_set(c, linear, host);

	available = (unsigned)MIN_OF(MIN_OF(limit, CODE_BYTES), room);
	for (unsigned n = 0; n < available; n++)
		code.bytes[n] = (u8)x86_memory_get(host + n, 1);
	*insn = slot;
	if (!slot_matches_prefix(slot, code.bytes, available, x->code_bits)) {
		*insn = slot = slot_take(c, x->rip);
		r = fill(c, slot, code.bytes, available);
		if (r != X86_REPEAT)
			return r;
	} else if (slot->len <= available) {
		return X86_OK;
	}

	if (available == limit || available == CODE_BYTES)
		return x86_raise_error(x, X86_GP, 0);
	linear = long_mode ? linear + room : (u32)(linear + room);
	if (long_mode && (u64)((s64)(linear << 16) >> 16) != linear && !(x->cr4 & X86_CR4_LA57))
		return x86_raise_error(x, X86_GP, 0);
	r = soft_mem_fetch(c, linear, &host);
	if (r != X86_OK)
		return r;
	limit = MIN_OF(limit, CODE_BYTES);
	for (unsigned n = available; n < limit; n++)
		code.bytes[n] = (u8)x86_memory_get(host + (n - available), 1);
	if (slot_matches(slot, code.word[0], code.word[1], x->code_bits) && slot->len <= limit)
		return X86_OK;
	r = fill(c, slot, code.bytes, (unsigned)limit);
	return r == X86_REPEAT ? x86_raise_error(x, X86_GP, 0) : r;
}

/* The guess was wrong: ask the hash, or decode.  NULL: x->fault. */
static __attribute__((noinline)) struct x86_insn *fetch_miss(struct soft_cpu *c, u64 low, u64 high)
{
	struct x86_insn *slot = slot_of(c, c->x.rip);
	u8 bytes[16];
	enum x86_result r;

	if (LIKELY(slot_matches(slot, low, high, c->x.code_bits)))
		return slot;
	slot = slot_take(c, c->x.rip);
	__builtin_memcpy(bytes, &low, 8);
	__builtin_memcpy(bytes + 8, &high, 8);
	r = fill(c, slot, bytes, CODE_BYTES);
	if (LIKELY(r == X86_OK))
		return slot;
	if (r == X86_REPEAT)
		x86_raise_error(&c->x, X86_GP, 0);
	return NULL;
}

/* HLT that is not intercepted: wait here for what ends it. */
static enum x86_result halt(struct soft_cpu *c)
{
	for (;;) {
		enum x86_result r = soft_boundary(c);

		if (r != X86_OK)
			return r == X86_EXIT ? r : X86_OK;
		__builtin_ia32_pause();
	}
}

static __attribute__((noinline)) enum x86_result unusual(struct soft_cpu *c, enum x86_result r)
{
	switch (r) {
	case X86_REPEAT:
		return X86_OK;
	case X86_HALT:
		return halt(c);
	case X86_UNIMPLEMENTED:
		x86_raise(&c->x, X86_UD);
		return soft_exception(c);
	case X86_FAULT:
		return soft_exception(c);
	default:
		return X86_EXIT;
	}
}

/*
 * RIP is kept in a local as well, so that one iteration does not wait for the stores of the
 * one before; only branches, and what is unusual, move x->rip otherwise.
 */
void soft_run(struct soft_cpu *c)
{
	struct x86 *x = &c->x;
	struct x86_insn *insn = c->decoded, *guess = c->decoded;
	u64 rip = x->rip, next, offset, low, high;
	enum x86_result r;

	for (;;) {
		if (UNLIKELY(x->attention | atomic_load_relaxed(&c->pins))) {
			r = soft_boundary(c);
			rip = x->rip;
			if (r == X86_EXIT)
				break;
			if (r == X86_REPEAT)
				continue;
		}
		offset = rip - c->window_start;
		if (LIKELY(offset < c->window_bytes)) {
			const u8 *code = c->window_host + offset;

			low = x86_memory_get(code, 8);
			high = x86_memory_get(code + 7, 8) >> 8;	/* 15 bytes, not 16 */
			insn = guess;
			if (UNLIKELY(!slot_matches(insn, low, high, x->code_bits)))
				insn = fetch_miss(c, low, high);
			r = X86_FAULT;
		} else {
			c->current = NULL;
			r = fetch_slow(c, &insn);
			if (r != X86_OK)
				insn = NULL;
		}
		c->current = insn;
		if (LIKELY(insn)) {
			c->counters.instructions++;
			next = rip + insn->len;
			if (UNLIKELY(insn->code_bits != 64))
				next = (u32)next;
			x->next_rip = next;
			r = insn->exec(x, insn);
			guess = insn + 1;
			if (LIKELY(r == X86_OK)) {
				rip = next;
				if (insn->flags & X86_F_BRANCH) {
					rip = x->next_rip;
					if (rip != next)
						guess = slot_of(c, rip);
				}
				x->rip = rip;
				if ((insn->flags & X86_F_BRANCH) && c->translator) {
					r = soft_translated(c);
					if (rip != x->rip)
						guess = slot_of(c, rip = x->rip);
					if (UNLIKELY(r != X86_OK))
						goto left;
				}
				continue;
			}
			if (r == X86_HALT)
				x->rip = x->next_rip;
		}
left:
		r = unusual(c, r);
		rip = x->rip;
		if (r == X86_EXIT)
			break;
	}
	c->counters.exits++;
}
