// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * descriptor.c - descriptor tables, segment registers, and the modes derived from them
 *
 * One function checks a data or stack segment, whoever loads it.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Legacy Segment Descriptors",
 * "Long-Mode Segment Descriptors", "Segment-Protection Overview".
 */
#include "x86/operand.h"
#include "x86/semantics.h"

/* -- modes ---------------------------------------------------------------------------- */
static bool segment_is_flat(const struct x86_seg *s, unsigned type_mask, unsigned type)
{
	return s->base == 0 && s->limit == 0xffffffff && (s->attr & X86_SEG_P) &&
	       (s->attr & X86_SEG_S) && (s->attr & type_mask) == type;
}

void x86_segments_changed(struct x86 *x)
{
	x->stack_bits = x->code_bits == 64				      ? 64
			: (x->seg[X86_SS].attr & X86_SEG_DB) && !mode_vm86(x) ? 32
									      : 16;
	x->flat = x->code_bits == 32 && mode_protected(x) &&
		  segment_is_flat(&x->seg[X86_CS], 0xa, 0xa) && /* readable code */
		  segment_is_flat(&x->seg[X86_SS], 0xe, 0x2) && /* writable data, expand-up */
		  segment_is_flat(&x->seg[X86_DS], 0xe, 0x2) &&
		  segment_is_flat(&x->seg[X86_ES], 0xe, 0x2);
}

static u8 code_bits_of(const struct x86 *x, const struct x86_seg *cs)
{
	if (mode_long(x) && (cs->attr & X86_SEG_L))
		return 64;
	return (cs->attr & X86_SEG_DB) && !mode_vm86(x) ? 32 : 16;
}

void x86_mode_changed(struct x86 *x)
{
	x->code_bits = code_bits_of(x, &x->seg[X86_CS]);
	x86_segments_changed(x);
	x->attention |= X86_ATTN_MODE;
	x->bus->mode_changed(x);
}

void x86_code_changed(struct x86 *x, const struct x86_seg *cs, unsigned cpl)
{
	bool changed = cpl != x->cpl || code_bits_of(x, cs) != x->code_bits ||
		       cs->base != x->seg[X86_CS].base || cs->limit != x->seg[X86_CS].limit;

	x->seg[X86_CS] = *cs;
	x->cpl = (u8)cpl;
	if (changed)
		x86_mode_changed(x);
	else
		x86_segments_changed(x);
}

bool x86_state_is_valid(const struct x86 *x)
{
	bool lme = x->efer & X86_EFER_LME, pg = x->cr0 & X86_CR0_PG, pe = x->cr0 & X86_CR0_PE;

	if (!(x->cr0 & X86_CR0_CD) && (x->cr0 & X86_CR0_NW))
		return false;
	if ((x->cr0 >> 32) || (pg && !pe))
		return false;
	if ((x->cr4 & ~x->cr4_valid) || (x->efer & ~(x->efer_valid | X86_EFER_LMA)))
		return false;
	if (lme && pg && (!(x->cr4 & X86_CR4_PAE) || !pe))
		return false;
	if (lme && pg && (x->cr4 & X86_CR4_PAE) && (x->seg[X86_CS].attr & X86_SEG_L) &&
	    (x->seg[X86_CS].attr & X86_SEG_DB))
		return false;
	return !((x->dr6 >> 32) || (x->dr7 >> 32));
}

/* -- reading descriptors -------------------------------------------------------------- */
/* Where bytes of selector's descriptor begin; false if beyond the table. */
static bool descriptor_address(const struct x86 *x, u16 selector, unsigned bytes, u64 *address)
{
	const struct x86_seg *ldt = &x->seg[X86_LDTR];
	u32 at = selector & 0xfff8u, limit;

	if (selector & 4) {
		if (!(ldt->attr & X86_SEG_P))
			return false;
		*address = ldt->base + at;
		limit = ldt->limit;
	} else {
		*address = x->gdtr.base + at;
		limit = x->gdtr.limit;
	}
	if (!mode_long(x))
		*address = (u32)*address;
	return at + bytes - 1 <= limit;
}

enum x86_result x86_descriptor_find(struct x86 *x, u16 selector, struct x86_descriptor *d,
				    bool *found)
{
	enum x86_result r;

	*d = (struct x86_descriptor){ 0 };
	*found = (selector & ~3u) && descriptor_address(x, selector, 8, &d->address);
	if (!*found)
		return X86_OK;
	r = x86_system_read(x, d->address, &d->low, 8);
	if (r || !mode_long(x) || !descriptor_is_system(d))
		return r;
	*found = descriptor_address(x, selector, 16, &d->address);
	if (!*found)
		return X86_OK;
	return x86_system_read(x, d->address + 8, &d->high, 8);
}

enum x86_result x86_descriptor_read(struct x86 *x, u16 selector, unsigned vector, unsigned ext,
				    struct x86_descriptor *d)
{
	bool found;
	enum x86_result r = x86_descriptor_find(x, selector, d, &found);

	if (!r && !found)
		return x86_raise_error(x, vector, (selector & 0xfffcu) | ext);
	return r;
}

void x86_descriptor_segment(const struct x86_descriptor *d, u16 selector, struct x86_seg *s)
{
	u64 v = d->low;

	s->selector = selector;
	s->attr = (u16)((v >> 40 & 0xff) | (v >> 44 & 0xf00));
	s->limit = (u32)((v & 0xffff) | (v >> 32 & 0xf0000));
	if (s->attr & X86_SEG_G)
		s->limit = s->limit << 12 | 0xfff;
	s->base = (v >> 16 & 0xffffff) | (v >> 32 & 0xff000000) | d->high << 32;
}

enum x86_result x86_descriptor_accessed(struct x86 *x, struct x86_descriptor *d)
{
	u8 type;

	if (d->low >> 40 & 1)
		return X86_OK;
	d->low |= 1ull << 40;
	type = (u8)(d->low >> 40);
	return x86_system_write(x, d->address + 5, &type, 1);
}

/* -- loading data segments ------------------------------------------------------------ */
void x86_segment_real(struct x86 *x, unsigned seg, u16 selector, struct x86_seg *s)
{
	*s = x->seg[seg];
	s->selector = selector;
	s->base = (u64)selector << 4;
	if (mode_vm86(x)) {
		s->limit = 0xffff;
		s->attr = 0xf3;
	} else if (!(s->attr & X86_SEG_P)) {		/* was null in protected mode */
		s->limit = 0xffff;
		s->attr = 0x93;
	}
}

static enum x86_result stack_check(struct x86 *x, u16 selector, unsigned cpl, unsigned vector,
				   unsigned ext, const struct x86_descriptor *d)
{
	bool writable_data = !descriptor_is_system(d) && (descriptor_type(d) & 0xa) == 2;

	if ((selector & 3) != cpl || !writable_data || descriptor_dpl(d) != cpl)
		return x86_raise_error(x, vector, (selector & 0xfffcu) | ext);
	if (!descriptor_is_present(d))
		return x86_raise_error(x, X86_SS_FAULT, (selector & 0xfffcu) | ext);
	return X86_OK;
}

static enum x86_result data_check(struct x86 *x, u16 selector, unsigned cpl, unsigned vector,
				  unsigned ext, const struct x86_descriptor *d)
{
	bool code = descriptor_is_code(d), conforming = code && descriptor_is_conforming(d);
	unsigned rpl = selector & 3;

	if (descriptor_is_system(d) || (code && !(descriptor_type(d) & 2)) ||
	    (!conforming && (rpl > descriptor_dpl(d) || cpl > descriptor_dpl(d))))
		return x86_raise_error(x, vector, (selector & 0xfffcu) | ext);
	if (!descriptor_is_present(d))
		return x86_raise_error(x, X86_NP, (selector & 0xfffcu) | ext);
	return X86_OK;
}

enum x86_result x86_segment_check(struct x86 *x, unsigned seg, u16 selector, unsigned cpl,
				  unsigned vector, unsigned ext, struct x86_seg *s)
{
	struct x86_descriptor d;
	enum x86_result r;

	if (!(selector & 0xfffc)) {
		*s = (struct x86_seg){ .selector = selector };
		if (seg != X86_SS)
			return X86_OK;
		s->attr = (u16)(cpl << 5);
		if (x->code_bits != 64 || cpl == 3 || (selector & 3) != cpl)
			return x86_raise_error(x, vector, ext);
		return X86_OK;
	}
	r = x86_descriptor_read(x, selector, vector, ext, &d);
	if (!r)
		r = seg == X86_SS ? stack_check(x, selector, cpl, vector, ext, &d)
				  : data_check(x, selector, cpl, vector, ext, &d);
	if (!r)
		r = x86_descriptor_accessed(x, &d);
	if (!r)
		x86_descriptor_segment(&d, selector, s);
	return r;
}

enum x86_result x86_segment_load(struct x86 *x, unsigned seg, u16 selector)
{
	struct x86_seg s;
	enum x86_result r = X86_OK;

	if (mode_protected(x))
		r = x86_segment_check(x, seg, selector, x->cpl, X86_GP, 0, &s);
	else
		x86_segment_real(x, seg, selector, &s);
	if (r)
		return r;
	x->seg[seg] = s;
	x86_segments_changed(x);
	return X86_OK;
}

void x86_segments_demote(struct x86 *x)
{
	static const u8 segments[] = { X86_ES, X86_DS, X86_FS, X86_GS };

	for (unsigned n = 0; n < ARRAY_LEN(segments); n++) {
		struct x86_seg *s = &x->seg[segments[n]];
		bool conforming = (s->attr & 0xc) == 0xc;

		if ((s->attr & X86_SEG_P) && !conforming && X86_SEG_DPL(s->attr) < x->cpl)
			*s = (struct x86_seg){ .base = s->base, .limit = s->limit };	/* AMD's keep them */
	}
	x86_segments_changed(x);
}

/* -- stacks of inner levels ----------------------------------------------------------- */
enum x86_result x86_stack_of_tss64(struct x86 *x, unsigned n, unsigned ext, u64 *sp)
{
	const struct x86_seg *tr = &x->seg[X86_TR];
	u32 at = n < 3 ? 4 + 8 * n : 36 + 8 * (n - 3);
	enum x86_result r;

	if (at + 7 > tr->limit)
		return x86_raise_error(x, X86_TS, (tr->selector & 0xfffcu) | ext);
	r = x86_system_read(x, tr->base + at, sp, 8);
	if (!r && !is_canonical(x, *sp))
		return x86_raise_error(x, X86_SS_FAULT, ext);
	return r;
}

enum x86_result x86_stack_of_level(struct x86 *x, unsigned level, unsigned ext, struct x86_stack *s)
{
	const struct x86_seg *tr = &x->seg[X86_TR];
	bool wide = (tr->attr & 8) != 0;		/* 32-bit TSS */
	u32 at = wide ? 4 + 8 * level : 2 + 4 * level;
	struct x86_descriptor d;
	enum x86_result r;
	u16 selector;
	u32 sp = 0;

	if (at + (wide ? 5 : 3) > tr->limit)
		return x86_raise_error(x, X86_TS, (tr->selector & 0xfffcu) | ext);
	r = x86_system_read(x, tr->base + at, &sp, wide ? 4 : 2);
	if (!r)
		r = x86_system_read(x, tr->base + at + (wide ? 4 : 2), &selector, 2);
	if (r)
		return r;
	if (!(selector & 0xfffc))
		return x86_raise_error(x, X86_TS, ext);
	r = x86_descriptor_read(x, selector, X86_TS, ext, &d);
	if (!r)
		r = stack_check(x, selector, level, X86_TS, ext, &d);
	if (!r)
		r = x86_descriptor_accessed(x, &d);
	if (r)
		return r;
	*s = (struct x86_stack){ .error = (selector & 0xfffcu) | ext };
	x86_descriptor_segment(&d, selector, &s->ss);
	s->bits = s->ss.attr & X86_SEG_DB ? 32 : 16;
	s->sp = s->bits == 32 ? sp : (u16)sp;
	s->access = level == 3 ? X86_USER : 0;
	return X86_OK;
}
