// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_syscall.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT
 *
 * Flat segments without descriptors.  AMD and Intel differ in which modes know which pair,
 * and in who finds a non-canonical SYSRET target: Intel at privilege 0, before it returns.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Fast System Call and Return".
 */
#include "x86/operand.h"
#include "x86/semantics.h"

static struct x86_seg flat_segment(unsigned selector, unsigned dpl, unsigned attr)
{
	return (struct x86_seg){
		.selector = (u16)selector, .limit = 0xffffffff,
		.attr = (u16)(attr | X86_SEG_S | X86_SEG_P | X86_SEG_G | dpl << 5),
	};
}

/* CS and SS of privilege level; bits is the code size. */
static void enter(struct x86 *x, unsigned cs, unsigned ss, unsigned level, unsigned bits, u64 rip)
{
	struct x86_seg code = flat_segment(cs, level, 0xb | (bits == 64 ? X86_SEG_L : X86_SEG_DB));

	x->seg[X86_SS] = flat_segment(ss, level, 0x3 | X86_SEG_DB);
	x86_code_changed(x, &code, level);
	x->next_rip = rip;
}

static HANDLER(exec_syscall)
{
	unsigned selector = (unsigned)(x->star >> 32) & 0xfffc;

	if (!(x->efer & X86_EFER_SCE) || (!x->vendor_amd && x->code_bits != 64))
		return x86_raise(x, X86_UD);
	if (!mode_long(x)) {
		x->gpr[X86_RCX] = (u32)x->next_rip;
		x86_flags_write(x, 0, X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
		enter(x, selector, selector + 8, 0, 32, (u32)x->star);
		return X86_OK;
	}
	x->gpr[X86_RCX] = x->next_rip;
	x->gpr[11] = x->rflags & ~X86_FLAG_RF;
	x86_flags_write(x, 0, x->sfmask | X86_FLAG_RF);
	enter(x, selector, selector + 8, 0, 64, x->code_bits == 64 ? x->lstar : x->cstar);
	return X86_OK;
}

static HANDLER(exec_sysret)
{
	unsigned selector = (unsigned)(x->star >> 48);
	u64 flags = x->gpr[11];

	if (!(x->efer & X86_EFER_SCE) || (!x->vendor_amd && x->code_bits != 64))
		return x86_raise(x, X86_UD);
	if (x->cpl != 0 || !mode_protected(x))
		return raise_gp(x);
	if (i->op_bytes == 8) {
		if (!x->vendor_amd && !is_canonical(x, x->gpr[X86_RCX]))
			return raise_gp(x);
		enter(x, (selector + 16) | 3, (selector + 8) | 3, 3, 64, x->gpr[X86_RCX]);
	} else {
		enter(x, selector | 3, (selector + 8) | 3, 3, 32, (u32)x->gpr[X86_RCX]);
	}
	if (mode_long(x))
		x86_flags_write(x, flags, 0x3c7fd7);
	else
		x86_flags_write(x, X86_FLAG_IF, X86_FLAG_IF);
	return X86_OK;
}

static HANDLER(exec_sysenter)
{
	unsigned selector = (unsigned)x->sysenter_cs & 0xfffc, bits = mode_long(x) ? 64 : 32;

	if (x->vendor_amd && mode_long(x))
		return x86_raise(x, X86_UD);
	if (mode_real(x) || !selector)
		return raise_gp(x);
	x86_flags_write(x, 0, X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
	x->gpr[X86_RSP] = bits == 64 ? x->sysenter_esp : (u32)x->sysenter_esp;
	enter(x, selector, selector + 8, 0, bits,
	      bits == 64 ? x->sysenter_eip : (u32)x->sysenter_eip);
	return X86_OK;
}

static HANDLER(exec_sysexit)
{
	unsigned selector = (unsigned)x->sysenter_cs & 0xfffc;
	bool wide = i->op_bytes == 8;
	u64 rip = x->gpr[X86_RDX], rsp = x->gpr[X86_RCX];

	if (x->vendor_amd && mode_long(x))
		return x86_raise(x, X86_UD);
	if (x->cpl != 0 || !mode_protected(x) || !selector)
		return raise_gp(x);
	if (wide && (!is_canonical(x, rip) || !is_canonical(x, rsp)))
		return raise_gp(x);
	selector += wide ? 32 : 16;
	x->gpr[X86_RSP] = wide ? rsp : (u32)rsp;
	enter(x, selector | 3, (selector + 8) | 3, 3, wide ? 64 : 32, wide ? rip : (u32)rip);
	return X86_OK;
}

x86_exec_fn x86_bind_syscall(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_SYSCALL: return exec_syscall;
	case X86_OP_SYSRET: return exec_sysret;
	case X86_OP_SYSENTER: return exec_sysenter;
	default: return exec_sysexit;
	}
}
