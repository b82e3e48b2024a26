// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_segment.c - instructions on segment registers, descriptor tables and descriptors
 *
 * MOV Sreg, LDS..LSS, LAR LSL VERR VERW ARPL, SGDT..LTR, RDFSBASE..WRGSBASE, SWAPGS.
 */
#include "x86/operand.h"
#include "x86/semantics.h"

static HANDLER(mov_e_s)
{
	u64 v = x->seg[i->reg].selector;

	if (i->flags & X86_F_MEM)
		return operand_set(x, i, X86_MEM, 2, v);
	reg_set(x, i->rm, v, i->op_bytes);
	return X86_OK;
}

static HANDLER(mov_s_e)
{
	u64 v = x->gpr[i->rm & 15];
	enum x86_result r = i->flags & X86_F_MEM ? operand_get(x, i, X86_MEM, 2, &v) : X86_OK;

	if (!r)
		r = x86_segment_load(x, i->reg, (u16)v);
	if (!r && i->reg == X86_SS) {
		x->shadow = 2;
		x->attention |= X86_ATTN_SHADOW;
	}
	return r;
}

/* LES LDS LSS LFS LGS: offset to G, selector after it */
static HANDLER(exec_lds)
{
	unsigned seg = i->op == X86_OP_LES ? X86_ES : i->op == X86_OP_LDS ? X86_DS :
		       i->op == X86_OP_LSS ? X86_SS : i->op == X86_OP_LFS ? X86_FS : X86_GS;
	u64 offset = 0;
	u16 selector;
	enum x86_result r = x86_operand_read(x, i, 0, &offset, i->op_bytes);

	if (!r)
		r = x86_operand_read(x, i, i->op_bytes, &selector, 2);
	if (!r)
		r = x86_segment_load(x, seg, selector);
	if (!r)
		reg_set(x, i->reg, offset, i->op_bytes);
	return r;
}

/* -- LAR LSL VERR VERW ARPL ----------------------------------------------------------- */
static enum x86_result selector_operand(struct x86 *x, const struct x86_insn *i, u16 *selector)
{
	u64 v = x->gpr[i->rm & 15];
	enum x86_result r = i->flags & X86_F_MEM ? operand_get(x, i, X86_MEM, 2, &v) : X86_OK;

	*selector = (u16)v;
	return r;
}

/* System descriptor types that LAR and LSL tell about. */
static bool type_is_readable(const struct x86 *x, unsigned op, unsigned type)
{
	unsigned legacy = op == X86_OP_LAR ? 0x1a3e : 0x0a0e;	/* 1 2 3 (4 5) 9 11 (12) */
	unsigned wide = op == X86_OP_LAR ? 0x1a04 : 0x0a04;	/* 2 9 11 (12) */

	return (mode_long(x) ? wide : legacy) >> type & 1;
}

static HANDLER(exec_probe)		/* LAR LSL VERR VERW */
{
	struct x86_descriptor d;
	struct x86_seg s;
	bool ok, code;
	u16 selector;
	enum x86_result r;

	if (!mode_protected(x))
		return x86_raise(x, X86_UD);
	r = selector_operand(x, i, &selector);
	if (!r)
		r = x86_descriptor_find(x, selector, &d, &ok);
	if (r)
		return r;
	code = descriptor_is_code(&d);
	if (ok && descriptor_is_system(&d))
		ok = (i->op == X86_OP_LAR || i->op == X86_OP_LSL) &&
		     type_is_readable(x, i->op, descriptor_type(&d));
	if (ok && !(code && !descriptor_is_system(&d) && descriptor_is_conforming(&d)))
		ok = x->cpl <= descriptor_dpl(&d) && (selector & 3u) <= descriptor_dpl(&d);
	if (ok && i->op == X86_OP_VERR)
		ok = !code || (descriptor_type(&d) & 2);
	if (ok && i->op == X86_OP_VERW)
		ok = !code && (descriptor_type(&d) & 2);
	if (ok && i->op == X86_OP_LAR) {
		reg_set(x, i->reg, d.low >> 32 & 0xffff00, i->op_bytes);
	} else if (ok && i->op == X86_OP_LSL) {
		x86_descriptor_segment(&d, selector, &s);
		reg_set(x, i->reg, s.limit, i->op_bytes);
	}
	x->rflags = (x->rflags & ~X86_FLAG_ZF) | (ok ? X86_FLAG_ZF : 0);
	return X86_OK;
}

static HANDLER(exec_arpl)
{
	enum x86_where w = i->flags & X86_F_MEM ? X86_MEM : X86_REG;
	unsigned rpl = x->gpr[i->reg & 15] & 3;
	struct x86_place p;
	enum x86_result r;
	bool raise;
	u64 v;

	if (!mode_protected(x))
		return x86_raise(x, X86_UD);
	r = operand_begin(x, i, w, 2, &v, &p);
	if (r)
		return r;
	raise = (v & 3) < rpl;
	if (raise)
		r = operand_end(x, i, w, 2, (v & ~3ull) | rpl, &p);
	if (!r)
		x->rflags = (x->rflags & ~X86_FLAG_ZF) | (raise ? X86_FLAG_ZF : 0);
	return r;
}

/* -- descriptor-table registers ------------------------------------------------------- */
static bool umip_forbids(const struct x86 *x)
{
	return (x->cr4 & X86_CR4_UMIP) && x->cpl != 0;
}

/* SGDT, SIDT: 2 + 4 or 8 bytes */
static HANDLER(exec_sgdt)
{
	bool gdt = i->op == X86_OP_SGDT;
	const struct x86_table *t = gdt ? &x->gdtr : &x->idtr;
	u8 image[10];
	enum x86_result r;

	if (umip_forbids(x))
		return raise_gp(x);
	r = intercept(x, i, gdt ? X86_HOOK_GDTR_READ : X86_HOOK_IDTR_READ, 0);
	if (r)
		return r;
	__builtin_memcpy(image, &t->limit, 2);
	__builtin_memcpy(image + 2, &t->base, 8);
	return x86_operand_write(x, i, image, x->code_bits == 64 ? 10 : 6);
}

static HANDLER(exec_lgdt)
{
	bool gdt = i->op == X86_OP_LGDT;
	struct x86_table t = { 0 };
	enum x86_result r;

	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, gdt ? X86_HOOK_GDTR_WRITE : X86_HOOK_IDTR_WRITE, 0);
	if (!r)
		r = x86_operand_read(x, i, 0, &t.limit, 2);
	if (!r)
		r = x86_operand_read(x, i, 2, &t.base, x->code_bits == 64 ? 8 : 4);
	if (r)
		return r;
	if (x->code_bits == 64 && !is_canonical(x, t.base))
		return raise_gp(x);
	if (x->code_bits != 64 && i->op_bytes == 2)
		t.base &= 0xffffff;
	if (gdt)
		x->gdtr = t;
	else
		x->idtr = t;
	return X86_OK;
}

/* SLDT, STR */
static HANDLER(exec_sldt)
{
	bool ldt = i->op == X86_OP_SLDT;
	u64 v = x->seg[ldt ? X86_LDTR : X86_TR].selector;
	enum x86_result r;

	if (!mode_protected(x))
		return x86_raise(x, X86_UD);
	if (umip_forbids(x))
		return raise_gp(x);
	r = intercept(x, i, ldt ? X86_HOOK_LDTR_READ : X86_HOOK_TR_READ, 0);
	if (r)
		return r;
	if (i->flags & X86_F_MEM)
		return operand_set(x, i, X86_MEM, 2, v);
	reg_set(x, i->rm, v, i->op_bytes);
	return X86_OK;
}

/* LLDT, LTR */
static HANDLER(exec_lldt)
{
	bool ldt = i->op == X86_OP_LLDT;
	struct x86_descriptor d;
	struct x86_seg s;
	enum x86_result r;
	unsigned type;
	u16 selector;
	u8 busy;

	if (!mode_protected(x))
		return x86_raise(x, X86_UD);
	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, ldt ? X86_HOOK_LDTR_WRITE : X86_HOOK_TR_WRITE, 0);
	if (!r)
		r = selector_operand(x, i, &selector);
	if (r)
		return r;
	if (!(selector & 0xfffc)) {
		if (!ldt)
			return raise_gp(x);
		x->seg[X86_LDTR] = (struct x86_seg){ .selector = selector };
		return X86_OK;
	}
	if (selector & 4)
		return x86_raise_error(x, X86_GP, selector & 0xfffcu);
	r = x86_descriptor_read(x, selector, X86_GP, 0, &d);
	if (r)
		return r;
	type = descriptor_type(&d);
	if (!descriptor_is_system(&d) ||
	    (ldt ? type != 2 : type != 9 && (mode_long(x) || type != 1)))
		return x86_raise_error(x, X86_GP, selector & 0xfffcu);
	if (!descriptor_is_present(&d))
		return x86_raise_error(x, X86_NP, selector & 0xfffcu);
	if (mode_long(x) && !is_canonical(x, d.high << 32 | (d.low >> 32 & 0xff000000)))
		return x86_raise_error(x, X86_GP, selector & 0xfffcu);
	if (!ldt) {
		d.low |= 2ull << 40;
		busy = (u8)(d.low >> 40);
		r = x86_system_write(x, d.address + 5, &busy, 1);
		if (r)
			return r;
	}
	x86_descriptor_segment(&d, selector, &s);
	x->seg[ldt ? X86_LDTR : X86_TR] = s;
	return X86_OK;
}

/* -- FS and GS bases ------------------------------------------------------------------ */
static HANDLER(exec_base)		/* RDFSBASE RDGSBASE WRFSBASE WRGSBASE */
{
	bool fs = i->op == X86_OP_RDFSBASE || i->op == X86_OP_WRFSBASE;
	struct x86_seg *s = &x->seg[fs ? X86_FS : X86_GS];
	u64 v;

	if (!(x->cr4 & X86_CR4_FSGSBASE) || x->code_bits != 64)
		return x86_raise(x, X86_UD);
	if (i->op == X86_OP_RDFSBASE || i->op == X86_OP_RDGSBASE) {
		reg_set(x, i->rm, s->base, i->op_bytes);
		return X86_OK;
	}
	v = reg_get(x, i->rm, i->op_bytes);
	if (!is_canonical(x, v))
		return raise_gp(x);
	s->base = v;
	return X86_OK;
}

static HANDLER(exec_swapgs)
{
	u64 base = x->seg[X86_GS].base;

	if (x->code_bits != 64)
		return x86_raise(x, X86_UD);
	if (x->cpl != 0)
		return raise_gp(x);
	x->seg[X86_GS].base = x->kernel_gs_base;
	x->kernel_gs_base = base;
	return X86_OK;
}

x86_exec_fn x86_bind_segment(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_MOV: return i->form == X86_S_E ? mov_s_e : mov_e_s;
	case X86_OP_LES:
	case X86_OP_LDS:
	case X86_OP_LSS:
	case X86_OP_LFS:
	case X86_OP_LGS:
		return exec_lds;
	case X86_OP_LAR: case X86_OP_LSL: case X86_OP_VERR: case X86_OP_VERW: return exec_probe;
	case X86_OP_ARPL: return exec_arpl;
	case X86_OP_SGDT: case X86_OP_SIDT: return exec_sgdt;
	case X86_OP_LGDT: case X86_OP_LIDT: return exec_lgdt;
	case X86_OP_SLDT: case X86_OP_STR: return exec_sldt;
	case X86_OP_LLDT: case X86_OP_LTR: return exec_lldt;
	case X86_OP_SWAPGS: return exec_swapgs;
	default: return exec_base;
	}
}
