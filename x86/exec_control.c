// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_control.c - control and debug registers, and the checked writes behind them
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "System Resources",
 * "Initializing Long Mode", "Debug and Performance Resources".
 */
#include "x86/operand.h"
#include "x86/semantics.h"

enum x86_result x86_write_cr0(struct x86 *x, u64 value)
{
	u64 old = x->cr0, efer = x->efer, changed;

	if (value >> 32)
		return raise_gp(x);
	value = (value & 0xe005003f) | X86_CR0_ET;
	if ((value & X86_CR0_PG) && !(value & X86_CR0_PE))
		return raise_gp(x);
	if ((value & X86_CR0_NW) && !(value & X86_CR0_CD))
		return raise_gp(x);
	changed = old ^ value;
	if (changed & X86_CR0_PG) {
		if (value & X86_CR0_PG) {
			if (efer & X86_EFER_LME) {
				if (!(x->cr4 & X86_CR4_PAE) || (x->seg[X86_CS].attr & X86_SEG_L))
					return raise_gp(x);
				efer |= X86_EFER_LMA;
			}
		} else {
			if (x->code_bits == 64 || (x->cr4 & X86_CR4_PCIDE))
				return raise_gp(x);
			efer &= ~X86_EFER_LMA;
		}
	}
	x->cr0 = value;
	x->efer = efer;
	if (changed & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE))
		x->bus->flush(x, X86_FLUSH_ALL, 0);
	if (changed & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE | X86_CR0_AM))
		x86_mode_changed(x);
	return X86_OK;
}

enum x86_result x86_write_cr3(struct x86 *x, u64 value)
{
	if (x->cr4 & X86_CR4_PCIDE)
		value &= ~(1ull << 63);
	if (mode_long(x) && x->phys_bits && value >> x->phys_bits)
		return raise_gp(x);
	x->cr3 = value;
	x->bus->flush(x, X86_FLUSH_LOCAL, 0);	/* bit 63 is a hint that may be ignored */
	return X86_OK;
}

enum x86_result x86_write_cr4(struct x86 *x, u64 value)
{
	const u64 paging = X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP | X86_CR4_SMAP |
			   X86_CR4_PCIDE | X86_CR4_PKE | X86_CR4_PKS | X86_CR4_LA57;
	u64 changed = x->cr4 ^ value;

	if (value & ~x->cr4_valid)
		return raise_gp(x);
	if (mode_long(x) && (!(value & X86_CR4_PAE) || (changed & X86_CR4_LA57)))
		return raise_gp(x);
	if ((changed & value & X86_CR4_PCIDE) && (!mode_long(x) || (x->cr3 & 0xfff)))
		return raise_gp(x);
	x->cr4 = value;
	if (changed & paging) {
		x->bus->flush(x, X86_FLUSH_ALL, 0);
		x86_mode_changed(x);
	}
	return X86_OK;
}

enum x86_result x86_write_efer(struct x86 *x, u64 value)
{
	u64 changed;

	value = (value & ~X86_EFER_LMA) | (x->efer & X86_EFER_LMA);	/* LMA is read-only */
	changed = x->efer ^ value;
	if (value & ~(x->efer_valid | X86_EFER_LMA))
		return raise_gp(x);
	if ((changed & X86_EFER_LME) && (x->cr0 & X86_CR0_PG))
		return raise_gp(x);
	x->efer = value;
	if (changed & (X86_EFER_NXE | X86_EFER_LME)) {
		x->bus->flush(x, X86_FLUSH_ALL, 0);
		x86_mode_changed(x);
	}
	return X86_OK;
}

enum x86_result x86_write_xcr0(struct x86 *x, u64 value)
{
	u64 valid = 3;

	if (x86_feature_is_set(x->features, X86_FEATURE_AVX))
		valid |= 4;
	if (x86_feature_is_set(x->features, X86_FEATURE_AVX512F))
		valid |= 0xe0;
	if (x86_feature_is_set(x->features, X86_FEATURE_PKU))
		valid |= 0x200;
	if ((value & ~valid) || !(value & 1) || (value & 6) == 4)
		return raise_gp(x);
	if ((value & 0xe0) && (value & 0xe6) != 0xe6)
		return raise_gp(x);
	x->xcr0 = value;
	return X86_OK;
}

/* -- MOV CRn -------------------------------------------------------------------------- */
static bool control_register_exists(unsigned n)
{
	return n == 0 || n == 2 || n == 3 || n == 4 || n == 8;
}

static HANDLER(mov_r_c)
{
	unsigned n = i->reg;
	enum x86_result r;
	u64 v;

	if (!control_register_exists(n))
		return x86_raise(x, X86_UD);
	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_CR_READ, n);
	if (r)
		return r;
	switch (n) {
	case 0: v = x->cr0; break;
	case 2: v = x->cr2; break;
	case 3: v = x->cr3; break;
	case 4: v = x->cr4; break;
	default: v = x->bus->read_cr8(x); break;
	}
	reg_set(x, i->rm, v, x->code_bits == 64 ? 8 : 4);
	return X86_OK;
}

static HANDLER(mov_c_r)
{
	unsigned n = i->reg;
	u64 v = reg_get(x, i->rm, x->code_bits == 64 ? 8 : 4);
	enum x86_result r;

	if (!control_register_exists(n))
		return x86_raise(x, X86_UD);
	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_CR_WRITE, n);
	if (r)
		return r;
	switch (n) {
	case 0: return x86_write_cr0(x, v);
	case 2: x->cr2 = v; return X86_OK;
	case 3: return x86_write_cr3(x, v);
	case 4: return x86_write_cr4(x, v);
	default:
		if (v > 15)
			return raise_gp(x);
		x->bus->write_cr8(x, v);
		x->attention |= X86_ATTN_FLAGS;
		return X86_OK;
	}
}

/* -- MOV DRn -------------------------------------------------------------------------- */
#define DR6_ONES	0xffff0ff0ull
#define DR7_ONES	0x400ull

/* The register's number, DR4 and DR5 resolved; -1 if an exception is to be raised instead. */
static enum x86_result debug_register(struct x86 *x, const struct x86_insn *i, enum x86_hook what,
				      unsigned *n)
{
	*n = i->reg;
	if (*n > 7 || ((x->cr4 & X86_CR4_DE) && (*n == 4 || *n == 5)))
		return x86_raise(x, X86_UD);
	if (*n == 4 || *n == 5)
		*n += 2;
	if (x->cpl != 0)
		return raise_gp(x);
	if (x->dr7 & X86_DR7_GD) {
		x86_raise(x, X86_DB);
		x->fault.address = X86_DR6_BD;
		return X86_FAULT;
	}
	return intercept(x, i, what, i->reg);
}

static HANDLER(mov_r_d)
{
	unsigned n;
	enum x86_result r = debug_register(x, i, X86_HOOK_DR_READ, &n);

	if (r)
		return r;
	reg_set(x, i->rm, n < 4 ? x->dr[n] : n == 6 ? x->dr6 : x->dr7, x->code_bits == 64 ? 8 : 4);
	return X86_OK;
}

static HANDLER(mov_d_r)
{
	u64 v = reg_get(x, i->rm, x->code_bits == 64 ? 8 : 4);
	unsigned n;
	enum x86_result r = debug_register(x, i, X86_HOOK_DR_WRITE, &n);

	if (r)
		return r;
	if (n >= 6 && v >> 32)
		return raise_gp(x);
	if (n < 4)
		x->dr[n] = v;
	else if (n == 6)
		x->dr6 = (v & 0xe00f) | DR6_ONES;
	else
		x->dr7 = (v & 0xffff23ff) | DR7_ONES;
	if (x->dr7 & 0xff)
		x->attention |= X86_ATTN_STEP;
	if (n == 7)
		x86_mode_changed(x);		/* the caller may want another TLB */
	return X86_OK;
}

/* -- CLTS LMSW SMSW ------------------------------------------------------------------- */
static HANDLER(exec_clts)
{
	enum x86_result r;

	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_CLTS, 0);
	if (!r)
		x->cr0 &= ~X86_CR0_TS;
	return r;
}

static HANDLER(exec_lmsw)
{
	u64 v = x->gpr[i->rm & 15];
	enum x86_result r;

	if (x->cpl != 0)
		return raise_gp(x);
	r = i->flags & X86_F_MEM ? operand_get(x, i, X86_MEM, 2, &v) : X86_OK;
	if (!r)
		r = intercept(x, i, X86_HOOK_LMSW, v & 0xffff);
	if (r)
		return r;
	return x86_write_cr0(x, (x->cr0 & ~0xeull) | (v & 0xf));
}

static HANDLER(exec_smsw)
{
	enum x86_result r;

	if ((x->cr4 & X86_CR4_UMIP) && x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_SMSW, 0);
	if (r)
		return r;
	if (i->flags & X86_F_MEM)
		return operand_set(x, i, X86_MEM, 2, x->cr0);
	reg_set(x, i->rm, x->cr0, i->op_bytes);
	return X86_OK;
}

/* -- XCR0 and PKRU -------------------------------------------------------------------- */
static HANDLER(exec_xgetbv)
{
	u32 n = (u32)x->gpr[X86_RCX];

	if (!(x->cr4 & X86_CR4_OSXSAVE))
		return x86_raise(x, X86_UD);
	if (n > 1 || (n == 1 && !x86_feature_is_set(x->features, X86_FEATURE_XGETBV1)))
		return raise_gp(x);
	x->gpr[X86_RAX] = (u32)x->xcr0;		/* XCR1: all that is enabled may be in use */
	x->gpr[X86_RDX] = x->xcr0 >> 32;
	return X86_OK;
}

static HANDLER(exec_xsetbv)
{
	enum x86_result r;

	if (!(x->cr4 & X86_CR4_OSXSAVE))
		return x86_raise(x, X86_UD);
	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_XSETBV, (u32)x->gpr[X86_RCX]);
	if (!r && (u32)x->gpr[X86_RCX])
		r = raise_gp(x);
	if (!r)
		r = x86_write_xcr0(x, x->gpr[X86_RDX] << 32 | (u32)x->gpr[X86_RAX]);
	return r;
}

void x86_write_pkru(struct x86 *x, u32 value)
{
	u32 changed = x->pkru ^ value;

	x->pkru = value;
	if (changed)
		x->bus->flush(x, X86_FLUSH_KEYS, changed);
}

void x86_write_pkrs(struct x86 *x, u32 value)
{
	u64 changed = x->pkrs ^ value;

	x->pkrs = value;
	if (changed)
		x->bus->flush(x, X86_FLUSH_KEYS, changed << 32);
}

static HANDLER(exec_pkru)		/* RDPKRU WRPKRU */
{
	bool write = i->op == X86_OP_WRPKRU;

	if (!(x->cr4 & X86_CR4_PKE))
		return x86_raise(x, X86_UD);
	if ((u32)x->gpr[X86_RCX] || (write && (u32)x->gpr[X86_RDX]))
		return raise_gp(x);
	if (write) {
		x86_write_pkru(x, (u32)x->gpr[X86_RAX]);
	} else {
		x->gpr[X86_RAX] = x->pkru;
		x->gpr[X86_RDX] = 0;
	}
	return X86_OK;
}

x86_exec_fn x86_bind_control(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_MOV:
		switch (i->form) {
		case X86_R_C: return mov_r_c;
		case X86_C_R: return mov_c_r;
		case X86_R_D: return mov_r_d;
		default: return mov_d_r;
		}
	case X86_OP_CLTS: return exec_clts;
	case X86_OP_LMSW: return exec_lmsw;
	case X86_OP_SMSW: return exec_smsw;
	case X86_OP_XGETBV: return exec_xgetbv;
	case X86_OP_XSETBV: return exec_xsetbv;
	default: return exec_pkru;
	}
}
