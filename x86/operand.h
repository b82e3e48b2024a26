/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * operand.h - how the executor's handlers reach registers, memory and flags
 *
 * A handler is an instance of an always-inlined template in which the operand's size and
 * place are constants, so that nothing is decided when it runs.  Places:
 *   REG    a register
 *   MEM64  memory in 64-bit code with 64-bit addressing and no FS or GS: the linear
 *          address is the effective address, and a TLB hit proves it canonical
 *   MEM    memory in general: segmentation out of line
 *
 * Arithmetic runs natively: FLAGS_IN loads the guest's six arithmetic flags without
 * touching the host's others, FLAGS_OUT collects what the silicon made of them, undefined
 * ones included.  Both use EAX: AH as LAHF has it, AL the overflow flag.
 */
#ifndef X86_OPERAND_H
#define X86_OPERAND_H

#include "x86/exec.h"

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((__noinline__, cold))

enum x86_where { X86_REG, X86_MEM64, X86_MEM, X86_WHERES };

/* -- flags ---------------------------------------------------------------------------- */
#define FLAGS_IN  "addb $0x7f, %%al\n\tsahf\n\t"
#define FLAGS_OUT "\n\tlahf\n\tseto %%al"

INLINE u32 flags_pack(u64 rflags)
{
	return (u32)((rflags & 0xff) << 8 | (rflags >> 11 & 1));
}

INLINE u64 flags_merge(u64 rflags, u32 ax)
{
	return (rflags & ~X86_FLAGS_ARITH) | (ax >> 8 & 0xff) | (u64)(ax & 1) << 11;
}

/* Is condition cc (the low four bits of a Jcc opcode) true?  cc is a constant in hot code. */
INLINE bool flags_condition(u64 f, unsigned cc)
{
	bool t;

	switch (cc >> 1) {
	case 0: t = f & X86_FLAG_OF; break;
	case 1: t = f & X86_FLAG_CF; break;
	case 2: t = f & X86_FLAG_ZF; break;
	case 3: t = f & (X86_FLAG_CF | X86_FLAG_ZF); break;
	case 4: t = f & X86_FLAG_SF; break;
	case 5: t = f & X86_FLAG_PF; break;
	case 6: t = (f >> 7 ^ f >> 11) & 1; break;
	default: t = ((f >> 7 ^ f >> 11) & 1) || (f & X86_FLAG_ZF); break;
	}
	return t != (cc & 1);
}

/* -- registers ------------------------------------------------------------------------ */
INLINE u64 size_mask(unsigned bytes)
{
	return bytes == 8 ? ~0ull : (1ull << (bytes * 8)) - 1;
}

INLINE s64 sign_extend(u64 v, unsigned bytes)
{
	return (s64)(v << (64 - 8 * bytes)) >> (64 - 8 * bytes);
}

INLINE u64 reg_get(const struct x86 *x, unsigned r, unsigned bytes)
{
	switch (bytes) {
	case 1: return ((const u8 *)x->gpr)[r * 8 - (r >> 4) * 127];	/* 16: AH, byte 1 */
	case 2: return (u16)x->gpr[r];
	case 4: return (u32)x->gpr[r];
	default: return x->gpr[r];
	}
}

INLINE void reg_set(struct x86 *x, unsigned r, u64 v, unsigned bytes)
{
	unsigned shift;

	switch (bytes) {
	case 1:
		shift = r >> 4 << 3;
		r &= 15;
		x->gpr[r] = (x->gpr[r] & ~(0xffull << shift)) | (u64)(u8)v << shift;
		break;
	case 2: x->gpr[r] = (x->gpr[r] & ~0xffffull) | (u16)v; break;
	case 4: x->gpr[r] = (u32)v; break;
	default: x->gpr[r] = v; break;
	}
}

/* -- addresses ------------------------------------------------------------------------ */
/* The effective address where ad_bytes is 8. */
INLINE u64 address64(const struct x86 *x, const struct x86_insn *i)
{
	u64 a = (u64)(s64)i->disp;

	if (LIKELY(i->base < 16))
		a += x->gpr[i->base];
	else if (i->base == X86_REG_RIP)
		a += x->rip + i->len;
	if (i->index != X86_REG_NONE)
		a += x->gpr[i->index & 15] << i->scale;
	return a;
}

/* Does an operand take the MEM64 place? */
INLINE enum x86_where operand_where(const struct x86_insn *i)
{
	if (!(i->flags & X86_F_MEM))
		return X86_REG;
	return i->code_bits == 64 && i->ad_bytes == 8 && i->seg < X86_FS ? X86_MEM64 : X86_MEM;
}

/* -- the slow halves, in operand.c ---------------------------------------------------- */
/*
 * Results come back in x->scratch: a local whose address is taken would cost every fast
 * path a stack frame and its protector.
 */
/* Canonical and alignment checks, then the bus. */
enum x86_result x86_load_slow(struct x86 *x, unsigned seg, u64 linear, unsigned bytes);
enum x86_result x86_store_slow(struct x86 *x, unsigned seg, u64 linear, u64 v, unsigned bytes);
enum x86_result x86_modify_slow(struct x86 *x, unsigned seg, u64 linear, unsigned bytes);
/* Effective address and segmentation of i's memory operand. */
enum x86_result x86_operand_linear(struct x86 *x, const struct x86_insn *i, unsigned bytes,
				   unsigned access);

INLINE enum x86_result linear_load(struct x86 *x, unsigned seg, u64 a, u64 *v, unsigned bytes)
{
	const struct x86_tlb_entry *e = &x->tlb->read[(a >> PAGE_BITS) % X86_TLB_ENTRIES];
	enum x86_result r;

	if (LIKELY(((a + bytes - 1) & ~(PAGE_BYTES - 1)) == e->tag)) {
		*v = x86_memory_get((const void *)(a + e->addend), bytes);
		return X86_OK;
	}
	r = x86_load_slow(x, seg, a, bytes);
	*v = x->scratch;
	return r;
}

INLINE enum x86_result linear_store(struct x86 *x, unsigned seg, u64 a, u64 v, unsigned bytes)
{
	const struct x86_tlb_entry *e = &x->tlb->write[(a >> PAGE_BITS) % X86_TLB_ENTRIES];

	if (LIKELY(((a + bytes - 1) & ~(PAGE_BYTES - 1)) == e->tag)) {
		x86_memory_put((void *)(a + e->addend), v, bytes);
		return X86_OK;
	}
	return x86_store_slow(x, seg, a, v, bytes);
}

/* -- the E operand -------------------------------------------------------------------- */
INLINE enum x86_result operand_address(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				       unsigned bytes, unsigned access, u64 *a)
{
	enum x86_result r;

	if (w == X86_MEM64) {
		*a = address64(x, i);
		return X86_OK;
	}
	r = x86_operand_linear(x, i, bytes, access);
	*a = x->scratch;
	return r;
}

INLINE enum x86_result operand_get(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				   unsigned bytes, u64 *v)
{
	enum x86_result r;
	u64 a;

	if (w == X86_REG) {
		*v = reg_get(x, i->rm, bytes);
		return X86_OK;
	}
	r = operand_address(x, i, w, bytes, X86_READ, &a);
	if (UNLIKELY(r))
		return r;
	return linear_load(x, i->seg, a, v, bytes);
}

INLINE enum x86_result operand_set(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				   unsigned bytes, u64 v)
{
	enum x86_result r;
	u64 a;

	if (w == X86_REG) {
		reg_set(x, i->rm, v, bytes);
		return X86_OK;
	}
	r = operand_address(x, i, w, bytes, X86_WRITE, &a);
	if (UNLIKELY(r))
		return r;
	return linear_store(x, i->seg, a, v, bytes);
}

/* Read-modify-write: begin reads, end writes where begin read. */
struct x86_place {
	void *host;		/* a TLB hit; else NULL */
	u64   linear;
};

INLINE enum x86_result operand_begin(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				     unsigned bytes, u64 *v, struct x86_place *p)
{
	const struct x86_tlb_entry *e;
	enum x86_result r;
	u64 a;

	p->host = NULL;
	if (w == X86_REG) {
		*v = reg_get(x, i->rm, bytes);
		return X86_OK;
	}
	r = operand_address(x, i, w, bytes, X86_READ | X86_WRITE, &a);
	if (UNLIKELY(r))
		return r;
	e = &x->tlb->write[(a >> PAGE_BITS) % X86_TLB_ENTRIES];
	p->linear = a;
	if (LIKELY(((a + bytes - 1) & ~(PAGE_BYTES - 1)) == e->tag)) {
		p->host = (void *)(a + e->addend);
		*v = x86_memory_get(p->host, bytes);
		return X86_OK;
	}
	r = x86_modify_slow(x, i->seg, a, bytes);
	*v = x->scratch;
	return r;
}

INLINE enum x86_result operand_end(struct x86 *x, const struct x86_insn *i, enum x86_where w,
				   unsigned bytes, u64 v, const struct x86_place *p)
{
	if (w == X86_REG) {
		reg_set(x, i->rm, v, bytes);
		return X86_OK;
	}
	if (LIKELY(p->host)) {
		x86_memory_put(p->host, v, bytes);
		return X86_OK;
	}
	return x86_store_slow(x, i->seg, p->linear, v, bytes);
}

/* -- instances ------------------------------------------------------------------------ */
#define HANDLER(name) \
	enum x86_result name(struct x86 *x __attribute__((unused)), \
			     const struct x86_insn *i __attribute__((unused)))

/* Four sizes of a template: name_<tag>_1, 2, 4, 8, which return call(x, i, bytes). */
#define HANDLERS_BY_SIZE(name, ...) \
	static HANDLER(name##_1) { enum { BYTES = 1 }; return __VA_ARGS__; } \
	static HANDLER(name##_2) { enum { BYTES = 2 }; return __VA_ARGS__; } \
	static HANDLER(name##_4) { enum { BYTES = 4 }; return __VA_ARGS__; } \
	static HANDLER(name##_8) { enum { BYTES = 8 }; return __VA_ARGS__; }

/* ... in each of three places: WHERE is a constant too. */
#define HANDLERS(name, ...) \
	HANDLERS_AT(name##_reg, X86_REG, __VA_ARGS__) \
	HANDLERS_AT(name##_mem64, X86_MEM64, __VA_ARGS__) \
	HANDLERS_AT(name##_mem, X86_MEM, __VA_ARGS__) \
	static const x86_exec_fn name[X86_WHERES][4] = { \
		SIZES_OF(name##_reg), SIZES_OF(name##_mem64), SIZES_OF(name##_mem) };
#define HANDLER_BODY(bytes, where, ...) \
	{ \
		enum { BYTES = bytes }; \
		const enum x86_where WHERE = where; \
		return __VA_ARGS__; \
	}
#define HANDLERS_AT(name, where, ...) \
	static HANDLER(name##_1) HANDLER_BODY(1, where, __VA_ARGS__) \
	static HANDLER(name##_2) HANDLER_BODY(2, where, __VA_ARGS__) \
	static HANDLER(name##_4) HANDLER_BODY(4, where, __VA_ARGS__) \
	static HANDLER(name##_8) HANDLER_BODY(8, where, __VA_ARGS__)
#define SIZES_OF(name) { name##_1, name##_2, name##_4, name##_8 }

/* Index of a size in such a table. */
INLINE unsigned size_index(unsigned bytes)
{
	return bytes == 8 ? 3 : bytes >> 1;
}

#endif
