// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * msr.c - model-specific registers of the software processor
 *
 * Two views: the guest's, for what the MSR permission map lets through, and host mode's,
 * for what a hypervisor needs.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "MSR Cross-Reference".
 */
#include "soft/cpu.h"

static bool is_canonical(const struct x86 *x, u64 address)
{
	unsigned shift = x->cr4 & X86_CR4_LA57 ? 7 : 16;

	return (u64)((s64)(address << shift) >> shift) == address;
}

/* The register behind an MSR that is no more than that; NULL for others. */
static u64 *plain(struct x86 *x, u32 msr)
{
	switch (msr) {
	case X86_MSR_SYSENTER_CS:
		return &x->sysenter_cs;
	case X86_MSR_SYSENTER_ESP:
		return &x->sysenter_esp;
	case X86_MSR_SYSENTER_EIP:
		return &x->sysenter_eip;
	case X86_MSR_PAT:
		return &x->pat;
	case X86_MSR_STAR:
		return &x->star;
	case X86_MSR_LSTAR:
		return &x->lstar;
	case X86_MSR_CSTAR:
		return &x->cstar;
	case X86_MSR_SFMASK:
		return &x->sfmask;
	case X86_MSR_FS_BASE:
		return &x->seg[X86_FS].base;
	case X86_MSR_GS_BASE:
		return &x->seg[X86_GS].base;
	case X86_MSR_KERNEL_GS_BASE:
		return &x->kernel_gs_base;
	case X86_MSR_TSC_AUX:
		return &x->tsc_aux;
	default:
		return NULL;
	}
}

/* What a plain register refuses. */
static bool is_acceptable(const struct x86 *x, u32 msr, u64 value)
{
	switch (msr) {
	case X86_MSR_SYSENTER_ESP:
	case X86_MSR_SYSENTER_EIP:
	case X86_MSR_LSTAR:
	case X86_MSR_CSTAR:
	case X86_MSR_FS_BASE:
	case X86_MSR_GS_BASE:
	case X86_MSR_KERNEL_GS_BASE:
		return is_canonical(x, value);
	case X86_MSR_TSC_AUX:
		return !(value >> 32);
	case X86_MSR_PAT:	/* types 0, 1, 4 to 7 */
		for (unsigned n = 0; n < 8; n++) {
			u64 type = value >> (8 * n) & 0xff;

			if (type > 7 || type == 2 || type == 3)
				return false;
		}
		return true;
	default:
		return true;
	}
}

enum x86_result soft_guest_rdmsr(struct x86 *x, u32 msr, u64 *value)
{
	const u64 *reg = plain(x, msr);

	if (reg)
		*value = *reg;
	else if (msr == X86_MSR_EFER)
		*value = x->efer;
	else if (msr == X86_MSR_TSC)
		*value = soft_tsc() + soft_of(x)->tsc_offset;
	else if (msr == X86_MSR_PKRS)
		*value = x->pkrs;
	else
		return x86_raise_error(x, X86_GP, 0);
	return X86_OK;
}

enum x86_result soft_guest_wrmsr(struct x86 *x, u32 msr, u64 value)
{
	u64 *reg = plain(x, msr);

	if (msr == X86_MSR_EFER)
		return x86_write_efer(x, value);
	if (msr == X86_MSR_PKRS && !(value >> 32)) {
		x86_write_pkrs(x, (u32)value);
		return X86_OK;
	}
	if (!reg || !is_acceptable(x, msr, value))
		return x86_raise_error(x, X86_GP, 0);
	*reg = msr == X86_MSR_SFMASK ? (u32)value : value;
	return X86_OK;
}

int soft_rdmsr(struct soft_cpu *c, u32 msr, u64 *value)
{
	const u64 *reg = plain(&c->x, msr);

	if (reg)
		*value = *reg;
	else if (msr == X86_MSR_EFER)
		*value = c->host_efer;
	else if (msr == X86_MSR_TSC)
		*value = soft_tsc();
	else if (msr == X86_MSR_PKRS)
		*value = c->x.pkrs;
	else if (msr == X86_MSR_VM_CR)
		*value = c->vm_cr;
	else if (msr == X86_MSR_VM_HSAVE_PA)
		*value = c->hsave;
	else
		return -1;
	return 0;
}

int soft_wrmsr(struct soft_cpu *c, u32 msr, u64 value)
{
	u64 *reg = plain(&c->x, msr);

	if (reg) {
		if (!is_acceptable(&c->x, msr, value))
			return -1;
		*reg = value;
	} else if (msr == X86_MSR_EFER) {
		c->host_efer = value;
	} else if (msr == X86_MSR_PKRS) {
		if (value >> 32)
			return -1;
		x86_write_pkrs(&c->x, (u32)value);
	} else if (msr == X86_MSR_VM_CR) {
		c->vm_cr = value;
	} else if (msr == X86_MSR_VM_HSAVE_PA) {
		if (value & (PAGE_BYTES - 1))
			return -1;
		c->hsave = value;
	} else {
		return -1;
	}
	return 0;
}
