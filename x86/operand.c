// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * operand.c - addresses, segmentation, and memory operands beyond the TLB
 *
 * An effective address becomes a linear one by its segment, which in 64-bit mode means
 * little; what the TLB does not hold goes to the bus, after the checks that a TLB hit
 * proves needless: canonical form and alignment.
 *
 * A caller that wants alignment checks (CR0.AM) points x->tlb at x86_tlb_empty while they
 * are on, so that every access comes here.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Segmentation", "Data-Limit
 * Checks and Access Checks", "#AC - Alignment-Check Exception".
 */
#include "x86/operand.h"
#include "x86/semantics.h"

#define EMPTY	{ [0 ... X86_TLB_ENTRIES - 1] = { .tag = 1 } }
struct x86_tlb x86_tlb_empty = { EMPTY, EMPTY };

enum x86_result x86_raise(struct x86 *x, unsigned vector)
{
	x->fault = (struct x86_fault){ .vector = (u8)vector };
	return X86_FAULT;
}

enum x86_result x86_raise_error(struct x86 *x, unsigned vector, u32 error)
{
	x->fault = (struct x86_fault){ .vector = (u8)vector, .has_error = true, .error = error };
	return X86_FAULT;
}

u64 x86_effective_address(const struct x86 *x, const struct x86_insn *i)
{
	u64 a = i->form == X86_A_MOFFS || i->form == X86_MOFFS_A ? i->imm : address64(x, i);

	return a & size_mask(i->ad_bytes);
}

static enum x86_result segment_fault(struct x86 *x, unsigned seg)
{
	return x86_raise_error(x, seg == X86_SS ? X86_SS_FAULT : X86_GP, 0);
}

/* Type check of a protected-mode segment. */
static bool segment_permits(const struct x86_seg *s, unsigned access)
{
	unsigned type = s->attr & X86_SEG_TYPE;

	if (!(s->attr & X86_SEG_P))
		return false;
	if ((access & X86_WRITE) && (type & 0xa) != 2)		/* code, or read-only data */
		return false;
	if ((access & X86_READ) && (type & 0xa) == 8)		/* execute-only */
		return false;
	return true;
}

static bool segment_contains(const struct x86_seg *s, u64 offset, unsigned bytes)
{
	u64 last = offset + bytes - 1;

	if ((s->attr & 0xc) == 4) {		/* expand-down data */
		u64 top = s->attr & X86_SEG_DB ? 0xffffffffull : 0xffff;

		return offset > s->limit && last <= top;
	}
	return last <= s->limit || s->limit == 0xffffffff;	/* as flat ones do: manuals allow either */
}

enum x86_result x86_segment_linear(struct x86 *x, const struct x86_seg *s, unsigned seg, u64 offset,
				   unsigned bytes, unsigned access, u64 *linear)
{
	u64 a;

	if (x->code_bits == 64) {
		a = seg == X86_FS || seg == X86_GS ? s->base + offset : offset;
		*linear = a;
		if (UNLIKELY(!is_canonical(x, a) || !is_canonical(x, a + bytes - 1)))
			return segment_fault(x, seg);
		return X86_OK;
	}
	if (x->flat && seg <= X86_DS && (seg != X86_CS || !(access & X86_WRITE))) {
		*linear = (u32)offset;
		return X86_OK;
	}
	if (mode_protected(x) && !segment_permits(s, access))
		return segment_fault(x, seg);
	if (UNLIKELY(!segment_contains(s, offset, bytes)))
		return segment_fault(x, seg);
	*linear = (u32)(s->base + offset);
	return X86_OK;
}

enum x86_result x86_linear(struct x86 *x, unsigned seg, u64 offset, unsigned bytes, unsigned access,
			   u64 *linear)
{
	return x86_segment_linear(x, &x->seg[seg], seg, offset, bytes, access, linear);
}

enum x86_result x86_operand_linear(struct x86 *x, const struct x86_insn *i, unsigned bytes,
				   unsigned access)
{
	return x86_segment_linear(x, &x->seg[i->seg], i->seg, x86_effective_address(x, i), bytes,
				  access, &x->scratch);
}

/* What a TLB hit proves. */
static enum x86_result access_check(struct x86 *x, unsigned seg, u64 linear, unsigned bytes)
{
	if (x->code_bits == 64 &&
	    (!is_canonical(x, linear) || !is_canonical(x, linear + bytes - 1)))
		return segment_fault(x, seg);
	if (UNLIKELY(x86_is_alignment_checked(x) && (linear & (bytes - 1))))
		return x86_raise_error(x, X86_AC, 0);
	return X86_OK;
}

NOINLINE enum x86_result x86_load_slow(struct x86 *x, unsigned seg, u64 linear, unsigned bytes)
{
	enum x86_result r = access_check(x, seg, linear, bytes);

	x->scratch = 0;
	return r ? r : x->bus->read(x, linear, &x->scratch, bytes, X86_READ | user_access(x));
}

NOINLINE enum x86_result x86_store_slow(struct x86 *x, unsigned seg, u64 linear, u64 v,
					unsigned bytes)
{
	enum x86_result r = access_check(x, seg, linear, bytes);

	return r ? r : x->bus->write(x, linear, &v, bytes, X86_WRITE | user_access(x));
}

NOINLINE enum x86_result x86_modify_slow(struct x86 *x, unsigned seg, u64 linear, unsigned bytes)
{
	enum x86_result r = access_check(x, seg, linear, bytes);

	x->scratch = 0;
	return r ? r
		 : x->bus->read(x, linear, &x->scratch, bytes,
				X86_READ | X86_WRITE | user_access(x));
}

enum x86_result x86_operand_read(struct x86 *x, const struct x86_insn *i, unsigned skip, void *data,
				 unsigned bytes)
{
	u64 ea = (x86_effective_address(x, i) + skip) & size_mask(i->ad_bytes), a;
	enum x86_result r = x86_linear(x, i->seg, ea, bytes, X86_READ, &a);

	return r ? r : x->bus->read(x, a, data, bytes, X86_READ | user_access(x));
}

enum x86_result x86_operand_write(struct x86 *x, const struct x86_insn *i, const void *data,
				  unsigned bytes)
{
	enum x86_result r = x86_operand_linear(x, i, bytes, X86_WRITE);

	return r ? r : x->bus->write(x, x->scratch, data, bytes, X86_WRITE | user_access(x));
}

/* The TLB is the supervisor's unless the CPL is 3. */
enum x86_result x86_system_read(struct x86 *x, u64 linear, void *data, unsigned bytes)
{
	if (x->cpl != 3 && (bytes == 8 || bytes == 4)) {
		const struct x86_tlb_entry *e =
			&x->tlb->read[(linear >> PAGE_BITS) % X86_TLB_ENTRIES];

		if (LIKELY(((linear + bytes - 1) & ~(PAGE_BYTES - 1)) == e->tag)) {
			u64 v = bytes == 8 ? x86_memory_get((const void *)(linear + e->addend), 8)
					   : x86_memory_get((const void *)(linear + e->addend), 4);

			__builtin_memcpy(data, &v, bytes);
			return X86_OK;
		}
	}
	return x->bus->read(x, linear, data, bytes, X86_READ | X86_IMPLICIT);
}

enum x86_result x86_system_write(struct x86 *x, u64 linear, const void *data, unsigned bytes)
{
	return x->bus->write(x, linear, data, bytes, X86_WRITE | X86_IMPLICIT);
}

/* -- breakpoints ---------------------------------------------------------------------- */
enum { BREAK_EXECUTE, BREAK_WRITE, BREAK_IO, BREAK_ACCESS };

static u64 breakpoint_hits(const struct x86 *x, u64 address, unsigned bytes, unsigned kinds)
{
	static const u8 lengths[4] = { 1, 2, 8, 4 };
	u64 hits = 0;

	for (unsigned n = 0; n < 4; n++) {
		unsigned kind = (unsigned)(x->dr7 >> (16 + 4 * n)) & 3;
		u64 length = lengths[x->dr7 >> (18 + 4 * n) & 3];
		u64 from = x->dr[n] & ~(length - 1);

		if ((x->dr7 >> (2 * n) & 3) && (kinds >> kind & 1) && address < from + length &&
		    from < address + bytes)
			hits |= BIT_U64(n);
	}
	return hits;
}

u64 x86_breakpoint_execute(const struct x86 *x)
{
	u64 at = x->code_bits == 64 ? x->rip : (u32)(x->seg[X86_CS].base + x->rip);

	if (LIKELY(!(x->dr7 & 0xff)) || (x->rflags & X86_FLAG_RF))
		return 0;
	return breakpoint_hits(x, at, 1, 1u << BREAK_EXECUTE);
}

u64 x86_breakpoint_data(const struct x86 *x, u64 linear, unsigned bytes, bool write)
{
	return breakpoint_hits(x, linear, bytes,
			       1u << BREAK_ACCESS | (write ? 1u << BREAK_WRITE : 0));
}

u64 x86_breakpoint_io(const struct x86 *x, u16 port, unsigned bytes)
{
	return x->cr4 & X86_CR4_DE ? breakpoint_hits(x, port, bytes, 1u << BREAK_IO) : 0;
}
