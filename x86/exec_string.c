// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_string.c - MOVS STOS LODS CMPS SCAS INS OUTS, with REP
 *
 * A repeated instruction is a loop of elements, each of which happens whole or not at all:
 * registers are updated after each, so a fault or an exit leaves what is done done, and
 * RIP on the instruction.  After x->string_budget elements it returns X86_REPEAT, so that
 * interrupts get in.
 *
 * With the direction flag clear and both operands in TLB pages, a run up to the end of a
 * page is the host's own REP MOVS or REP STOS with the guest's element size, which also
 * has the right meaning where operands overlap.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 3, "Repeat Prefixes".
 */
#include "x86/operand.h"
#include "x86/semantics.h"
#include "x86/alu.h"

enum string_op { MOVS, STOS, LODS, CMPS, SCAS, INS, OUTS };

INLINE void index_advance(struct x86 *x, unsigned r, u64 by, unsigned ad_bytes)
{
	if (LIKELY(ad_bytes == 8))
		x->gpr[r] += by;
	else
		reg_set(x, r, x->gpr[r] + by, ad_bytes == 4 ? 4 : 2);
}

INLINE enum x86_result string_linear(struct x86 *x, unsigned seg, unsigned r,
				     const struct x86_insn *i, unsigned bytes, unsigned access,
				     u64 *a)
{
	if (LIKELY(i->ad_bytes == 8 && seg < X86_FS)) {
		*a = x->gpr[r];
		return X86_OK;
	}
	return x86_linear(x, seg, x->gpr[r] & size_mask(i->ad_bytes), bytes, access, a);
}

static enum x86_result string_in(struct x86 *x, u64 to, unsigned bytes)
{
	u32 v = 0;
	enum x86_result r = x->bus->probe(x, to, bytes, X86_WRITE | user_access(x));

	if (!r)
		r = x->bus->in(x, (u16)x->gpr[X86_RDX], bytes, &v);
	if (r)
		return r;
	return x->bus->write(x, to, &v, bytes, X86_WRITE | user_access(x));
}

/* One element. */
INLINE enum x86_result element(struct x86 *x, const struct x86_insn *i, enum string_op op,
			       unsigned bytes)
{
	u64 step = x->rflags & X86_FLAG_DF ? 0ull - bytes : bytes, from, to, v = 0, o = 0;
	bool reads = op == MOVS || op == LODS || op == CMPS || op == OUTS;
	bool uses_di = op != LODS && op != OUTS, writes = op == MOVS || op == STOS || op == INS;
	enum x86_result r;

	if (reads) {
		r = string_linear(x, i->seg, X86_RSI, i, bytes, X86_READ, &from);
		if (r)
			return r;
		r = linear_load(x, i->seg, from, &v, bytes);
		if (r)
			return r;
	}
	if (uses_di) {
		r = string_linear(x, X86_ES, X86_RDI, i, bytes, writes ? X86_WRITE : X86_READ, &to);
		if (r)
			return r;
	}
	if (op == STOS || op == SCAS)
		v = x->gpr[X86_RAX];
	switch (op) {
	case MOVS: case STOS:
		r = linear_store(x, X86_ES, to, v, bytes);
		break;
	case CMPS: case SCAS:
		r = linear_load(x, X86_ES, to, &o, bytes);
		if (!r)
			alu_cmp(v, o, &x->rflags, bytes);
		break;
	case INS:
		r = string_in(x, to, bytes);
		break;
	case OUTS:
		r = x->bus->out(x, (u16)x->gpr[X86_RDX], bytes, (u32)v);
		break;
	default:
		reg_set(x, X86_RAX, v, bytes);
		r = X86_OK;
		break;
	}
	if (UNLIKELY(r))
		return r;
	if (reads)
		index_advance(x, X86_RSI, step, i->ad_bytes);
	if (uses_di)
		index_advance(x, X86_RDI, step, i->ad_bytes);
	return X86_OK;
}

/* How many of n elements from a on lie in its page, if that is in the TLB; *host is a's. */
INLINE u64 page_run(const struct x86_tlb_entry *kind, u64 a, u64 n, unsigned bytes, void **host)
{
	const struct x86_tlb_entry *e = &kind[(a >> PAGE_BITS) % X86_TLB_ENTRIES];

	*host = (void *)(a + e->addend);
	return (a & ~(PAGE_BYTES - 1)) == e->tag
		       ? MIN_OF(n, (PAGE_BYTES - (a & (PAGE_BYTES - 1))) / bytes)
		       : 0;
}

/* The host's REP; one function each, as they race with other processors as guests like. */
#define RUN_CASES(insn, ...) \
	switch (bytes) { \
	case 1: __asm__ volatile("rep " insn "b" __VA_ARGS__); break; \
	case 2: __asm__ volatile("rep " insn "w" __VA_ARGS__); break; \
	case 4: __asm__ volatile("rep " insn "l" __VA_ARGS__); break; \
	default: __asm__ volatile("rep " insn "q" __VA_ARGS__); break; \
	}
INLINE void run_move(void *to, const void *from, u64 n,
		     unsigned bytes){RUN_CASES("movs",
					       : "+D"(to), "+S"(from), "+c"(n)
					       :
					       : "memory")}

INLINE void run_store(void *to, u64 v, u64 n, unsigned bytes){RUN_CASES("stos",
									: "+D"(to), "+c"(n)
									: "a"(v)
									: "memory")}

/* A run of MOVS or STOS elements; 0 if there is none to be had. */
INLINE u64 string_run(struct x86 *x, const struct x86_insn *i, enum string_op op, u64 n,
		      unsigned bytes)
{
	u64 from, to;
	void *dst, *src = NULL;

	if ((x->rflags & X86_FLAG_DF) || n < 2)
		return 0;
	if (string_linear(x, X86_ES, X86_RDI, i, bytes, X86_WRITE, &to))
		return 0;
	n = page_run(x->tlb->write, to, n, bytes, &dst);
	if (op == MOVS) {
		if (string_linear(x, i->seg, X86_RSI, i, bytes, X86_READ, &from))
			return 0;
		n = page_run(x->tlb->read, from, n, bytes, &src);
	}
	if (n < 2)
		return 0;
	if (i->ad_bytes != 8 || i->seg >= X86_FS) {	/* all of it within segment and index */
		u64 mask = size_mask(i->ad_bytes), length = n * bytes;
		u64 di = x->gpr[X86_RDI] & mask, si = x->gpr[X86_RSI] & mask;

		if (mask - di < length ||
		    x86_linear(x, X86_ES, di, (unsigned)length, X86_WRITE, &to))
			return 0;
		if (op == MOVS && (mask - si < length ||
				   x86_linear(x, i->seg, si, (unsigned)length, X86_READ, &from)))
			return 0;
	}
	if (op == MOVS) {
		run_move(dst, src, n, bytes);
		index_advance(x, X86_RSI, n * bytes, i->ad_bytes);
	} else {
		run_store(dst, x->gpr[X86_RAX], n, bytes);
	}
	index_advance(x, X86_RDI, n * bytes, i->ad_bytes);
	return n;
}

INLINE enum x86_result repeat(struct x86 *x, const struct x86_insn *i, enum string_op op,
			      unsigned bytes)
{
	u64 count, budget = x->string_budget ? x->string_budget : 1, done;
	enum x86_result r;

	for (;;) {
		count = x->gpr[X86_RCX] & size_mask(i->ad_bytes);
		if (!count)
			return X86_OK;
		if (!budget)
			return X86_REPEAT;
		done = op == MOVS || op == STOS ? string_run(x, i, op, MIN_OF(count, budget), bytes)
						: 0;
		if (!done) {
			r = element(x, i, op, bytes);
			if (UNLIKELY(r))
				return r;
			done = 1;
		}
		index_advance(x, X86_RCX, 0 - done, i->ad_bytes);
		budget -= done;
		if ((op == CMPS || op == SCAS) &&
		    !(x->rflags & X86_FLAG_ZF) == !!(i->prefixes & X86_P_REP))
			return X86_OK;
	}
}

#define STRING(name, op) \
	HANDLERS_BY_SIZE(name, element(x, i, op, BYTES)) \
	HANDLERS_BY_SIZE(name##_rep, repeat(x, i, op, BYTES)) \
	static const x86_exec_fn name[2][4] = { SIZES_OF(name), SIZES_OF(name##_rep) };
STRING(movs, MOVS)
STRING(stos, STOS)
STRING(lods, LODS)
STRING(cmps, CMPS)
STRING(scas, SCAS)

/* -- INS, OUTS: permission first, then the hypervisor, then memory -------------------- */
static HANDLER(exec_port_string)
{
	unsigned bytes = i->op_bytes > 4 ? 4 : i->op_bytes;
	bool in = i->op == X86_OP_INS, rep = i->prefixes & (X86_P_REP | X86_P_REPNE);
	u16 port = (u16)x->gpr[X86_RDX];
	u64 info = port | X86_IO_STRING | (in ? X86_IO_IN : 0) | (rep ? X86_IO_REP : 0) |
		   (u64)bytes << X86_IO_SIZE_SHIFT | (u64)i->ad_bytes << X86_IO_AD_SHIFT |
		   (u64)(in ? X86_ES : i->seg) << X86_IO_SEG_SHIFT;
	enum x86_result r;

	if (rep && !(x->gpr[X86_RCX] & size_mask(i->ad_bytes)))
		return X86_OK;
	r = x86_io_allowed(x, port, bytes);
	if (!r)
		r = intercept(x, i, X86_HOOK_IO, info);
	if (r)
		return r;
	if (!rep)
		return in ? element(x, i, INS, bytes) : element(x, i, OUTS, bytes);
	return in ? repeat(x, i, INS, bytes) : repeat(x, i, OUTS, bytes);
}

x86_exec_fn x86_bind_string(const struct x86_insn *i)
{
	unsigned n = size_index(i->op_bytes), rep = !!(i->prefixes & (X86_P_REP | X86_P_REPNE));

	switch (i->op) {
	case X86_OP_MOVS: return movs[rep][n];
	case X86_OP_STOS: return stos[rep][n];
	case X86_OP_LODS: return lods[rep][n];
	case X86_OP_CMPS: return cmps[rep][n];
	case X86_OP_SCAS: return scas[rep][n];
	default: return exec_port_string;
	}
}
