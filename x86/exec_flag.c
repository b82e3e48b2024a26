// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_flag.c - single flags: CLC STC CMC CLD STD CLI STI LAHF SAHF SALC CLAC STAC
 */
#include "x86/operand.h"
#include "x86/semantics.h"

void x86_flags_write(struct x86 *x, u64 value, u64 mask)
{
	u64 old = x->rflags, changed;

	x->rflags = (old & ~mask) | (value & mask) | X86_FLAG_1;
	changed = old ^ x->rflags;
	if (changed & (X86_FLAG_IF | X86_FLAG_TF))
		x->attention |= X86_ATTN_FLAGS;
	if (x->rflags & (X86_FLAG_TF | X86_FLAG_RF))
		x->attention |= X86_ATTN_STEP;
	if ((changed & X86_FLAG_AC) && ((x->cr4 & X86_CR4_SMAP) || (x->cr0 & X86_CR0_AM))) {
		x->attention |= X86_ATTN_MODE;
		x->bus->mode_changed(x);
	}
}

static HANDLER(exec_clc) { x->rflags &= ~X86_FLAG_CF; return X86_OK; }
static HANDLER(exec_stc) { x->rflags |= X86_FLAG_CF; return X86_OK; }
static HANDLER(exec_cmc) { x->rflags ^= X86_FLAG_CF; return X86_OK; }
static HANDLER(exec_cld) { x->rflags &= ~X86_FLAG_DF; return X86_OK; }
static HANDLER(exec_std) { x->rflags |= X86_FLAG_DF; return X86_OK; }

static HANDLER(exec_lahf)
{
	reg_set(x, X86_AH, (x->rflags & 0xd5) | 2, 1);
	return X86_OK;
}

static HANDLER(exec_sahf)
{
	x->rflags = (x->rflags & ~0xd5ull) | (reg_get(x, X86_AH, 1) & 0xd5);
	return X86_OK;
}

static HANDLER(exec_salc)
{
	reg_set(x, X86_RAX, x->rflags & X86_FLAG_CF ? 0xff : 0, 1);
	return X86_OK;
}

/* May CLI and STI act on VIF instead? */
static bool has_virtual_if(const struct x86 *x)
{
	if (mode_vm86(x))
		return x->cr4 & X86_CR4_VME;
	return (x->cr4 & X86_CR4_PVI) && x->cpl == 3 && mode_protected(x);
}

static HANDLER(exec_cli)
{
	if (x->cpl <= iopl(x))
		x->rflags &= ~X86_FLAG_IF;
	else if (has_virtual_if(x))
		x->rflags &= ~X86_FLAG_VIF;
	else
		return raise_gp(x);
	return X86_OK;
}

static HANDLER(exec_sti)
{
	if (x->cpl <= iopl(x)) {
		if (!(x->rflags & X86_FLAG_IF)) {
			x->shadow = 1;
			x->attention |= X86_ATTN_SHADOW | X86_ATTN_FLAGS;
		}
		x->rflags |= X86_FLAG_IF;
		return X86_OK;
	}
	if (!has_virtual_if(x) || (x->rflags & X86_FLAG_VIP))
		return raise_gp(x);
	x->rflags |= X86_FLAG_VIF;
	return X86_OK;
}

/* CLAC, STAC */
static HANDLER(exec_ac)
{
	if (x->cpl != 0 || mode_vm86(x))
		return x86_raise(x, X86_UD);
	x86_flags_write(x, i->op == X86_OP_STAC ? X86_FLAG_AC : 0, X86_FLAG_AC);
	return X86_OK;
}

x86_exec_fn x86_bind_flag(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_CLC: return exec_clc;
	case X86_OP_STC: return exec_stc;
	case X86_OP_CMC: return exec_cmc;
	case X86_OP_CLD: return exec_cld;
	case X86_OP_STD: return exec_std;
	case X86_OP_LAHF: return exec_lahf;
	case X86_OP_SAHF: return exec_sahf;
	case X86_OP_SALC: return exec_salc;
	case X86_OP_CLI: return exec_cli;
	case X86_OP_STI: return exec_sti;
	default: return exec_ac;
	}
}
