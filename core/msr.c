// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * msr.c - model-specific registers
 *
 * Most are a field of the vCPU with a mask of valid bits: those are rows of a table.  Some
 * do something, and are functions.  Those that an operating system pokes at boot and that
 * mean nothing here read as a constant and ignore or refuse what is written, as KVM's do.
 * An MSR that is in no row raises #GP in the guest.
 *
 * Locking: v->lock.
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Model-Specific Registers";
 * Intel SDM vol. 4; Linux Documentation/virt/kvm/x86/msr.rst.
 * Not modelled: performance counters (read as zero), LBR, memory types (kept, no effect).
 */
#include <linux/errno.h>
#include <linux/kvm_para.h>

#include "core/hyperv_regs.h"
#include "core/pv.h"
#include "core/vm.h"
#include "insn/insn.h"
#include "x86/feature.h"

#define GP	1	/* the guest gets #GP(0), a client's list stops here */
#define UNKNOWN	2	/* the same, and the reason is that there is no such MSR */

enum {
	MSR_PLATFORM_ID = 0x17, MSR_EBL_CR_POWERON = 0x2a, MSR_SMI_COUNT = 0x34, MSR_FEATURE_CONTROL = 0x3a,
	MSR_UCODE_WRITE = 0x79, MSR_UCODE_REV = 0x8b, MSR_SMBASE = 0x9e, MSR_PLATFORM_INFO = 0xce,
	MSR_MTRRCAP = 0xfe, MSR_ARCH_CAPABILITIES = 0x10a, MSR_BBL_CR_CTL3 = 0x11e,
	MSR_MISC_FEATURES = 0x140, MSR_MCG_CAP = 0x179, MSR_MCG_STATUS, MSR_MCG_CTL, MSR_PERF_STATUS = 0x198, MSR_PERF_CTL,
	MSR_MISC_ENABLE = 0x1a0, MSR_POWER_CTL = 0x1fc, MSR_LBR_FROM = 0x1db, MSR_LBR_TO, MSR_INT_FROM, MSR_INT_TO,
	MSR_MTRR_VARIABLE = 0x200, MSR_MTRR_FIX64K = 0x250, MSR_MTRR_FIX16K = 0x258,
	MSR_MTRR_FIX4K = 0x268, MSR_MTRR_DEF_TYPE = 0x2ff,
	MSR_PERF_CAPABILITIES = 0x345, MSR_MC0_CTL = 0x400,
	MSR_RAPL_UNIT = 0x606, MSR_PP0_STATUS = 0x639, MSR_PP1_STATUS = 0x641, MSR_PKG_STATUS = 0x611,
	MSR_DRAM_STATUS = 0x619, MSR_XSS = 0xda0,
	MSR_EVNTSEL0 = 0xc0010000, MSR_PERFCTR0 = 0xc0010004,
	MSR_SYSCFG = 0xc0010010, MSR_HWCR = 0xc0010015, MSR_IORR0 = 0xc0010016, MSR_TOP_MEM = 0xc001001a,
	MSR_TOP_MEM2 = 0xc001001d, MSR_NB_CFG = 0xc001001f, MSR_PATCH_LOADER = 0xc0010020,
	MSR_INT_PENDING = 0xc0010055, MSR_PSTATE_LIMIT = 0xc0010061, MSR_SMM_BASE = 0xc0010111,
	MSR_SMM_ADDR = 0xc0010112, MSR_SMM_MASK = 0xc0010113, MSR_OSVW_LENGTH = 0xc0010140,
	MSR_OSVW_STATUS, MSR_PERF_CTL_EXT = 0xc0010200, MSR_DC_CFG = 0xc0011022, MSR_BU_CFG2 = 0xc001102a,
	MSR_DE_CFG = 0xc0011029, MSR_FAM10H_MMIO_BASE = 0xc0010058,
	MSR_VIRT_SPEC_CTRL = 0xc001011f,
};

/* --- plain registers -------------------------------------------------------------- */

/* valid: bits that may be set.  groups: where the back end keeps it; 0: it does not. */
#define FIELD(f) offsetof(struct vcpu, f)
static const struct row {
	u32 index;
	u32 field;
	u64 valid;
	u64 groups;
	bool canonical;
} rows[] = {
	{ X86_MSR_SYSENTER_CS, FIELD(x.sysenter_cs), ~0ull, REGS_SYSCALL, false },
	{ X86_MSR_SYSENTER_ESP, FIELD(x.sysenter_esp), ~0ull, REGS_SYSCALL, true },
	{ X86_MSR_SYSENTER_EIP, FIELD(x.sysenter_eip), ~0ull, REGS_SYSCALL, true },
	{ X86_MSR_STAR, FIELD(x.star), ~0ull, REGS_SYSCALL, false },
	{ X86_MSR_LSTAR, FIELD(x.lstar), ~0ull, REGS_SYSCALL, true },
	{ X86_MSR_CSTAR, FIELD(x.cstar), ~0ull, REGS_SYSCALL, true },
	{ X86_MSR_SFMASK, FIELD(x.sfmask), 0xffffffff, REGS_SYSCALL, false },
	{ X86_MSR_KERNEL_GS_BASE, FIELD(x.kernel_gs_base), ~0ull, REGS_SYSCALL, true },
	{ X86_MSR_FS_BASE, FIELD(x.seg[X86_FS].base), ~0ull, REGS_SEG, true },
	{ X86_MSR_GS_BASE, FIELD(x.seg[X86_GS].base), ~0ull, REGS_SEG, true },
	{ MSR_MCG_STATUS, FIELD(mcg_status), ~0ull, 0, false },
	{ MSR_KVM_POLL_CONTROL, FIELD(poll_control), 1, 0, false },
	{ MSR_NB_CFG, FIELD(nb_cfg_ecs), ~0ull, 0, false },
	{ MSR_BU_CFG2, FIELD(bu_cfg2), ~0ull, 0, false },
};

static const struct row *row_find(u32 index)
{
	for (unsigned n = 0; n < ARRAY_LEN(rows); n++)
		if (rows[n].index == index)
			return &rows[n];
	return NULL;
}

static u64 *row_field(struct vcpu *v, const struct row *row)
{
	return (u64 *)((char *)v + row->field);
}

static bool is_canonical(struct vcpu *v, u64 address)
{
	unsigned bits = v->x.cr4 & X86_CR4_LA57 ? 57 : 48;

	return (u64)((s64)(address << (64 - bits)) >> (64 - bits)) == address;
}

static int row_set(struct vcpu *v, const struct row *row, u64 data)
{
	if (data & ~row->valid)
		return GP;
	if (row->canonical) {
		vcpu_regs_need(v, REGS_CR);
		if (!is_canonical(v, data))
			return GP;
	}
	if (row->groups)
		vcpu_regs_dirty(v, row->groups);
	*row_field(v, row) = data;
	return 0;
}

static int row_get(struct vcpu *v, const struct row *row, u64 *data)
{
	if (row->groups)
		vcpu_regs_need(v, row->groups);
	*data = *row_field(v, row);
	return 0;
}

/* --- MSRs that do something --------------------------------------------------------- */

static int efer_set(struct vcpu *v, u64 data, bool host)
{
	u64 changed;

	vcpu_regs_need(v, REGS_CR);
	if (data & ~(v->x.efer_valid | X86_EFER_LMA))
		return GP;
	changed = v->x.efer ^ data;
	if (!host) {
		if ((data & X86_EFER_SVME) && (v->nested.vm_cr & BIT_U64(4)))	/* SVMDIS */
			return GP;
		if ((v->x.cr0 & X86_CR0_PG) && (changed & X86_EFER_LME))
			return GP;
		data = (data & ~X86_EFER_LMA) | (v->x.efer & X86_EFER_LMA);
	}
	vcpu_regs_dirty(v, REGS_CR);
	v->x.efer = data;
	if (changed & (X86_EFER_NXE | X86_EFER_LMA))
		vcpu_request(v, REQ_TLB_FLUSH);
	if (changed & X86_EFER_SVME)
		nested_efer_changed(v);
	return 0;
}

static bool memory_type_is_valid(u64 type)
{
	return type < 8 && (0x73u >> type & 1);		/* UC WC WT WP WB; not 2 and 3; UC- in PAT only */
}

static int pat_set(struct vcpu *v, u64 data)
{
	for (unsigned n = 0; n < 8; n++) {
		u64 type = data >> (n * 8) & 0xff;

		if (type != 7 && !memory_type_is_valid(type))
			return GP;
	}
	vcpu_regs_dirty(v, REGS_SYSCALL);
	v->x.pat = data;
	return 0;
}

static int tsc_aux_set(struct vcpu *v, u64 data, bool host)
{
	if (!host && !cpuid_has(v, X86_FEATURE_RDTSCP) && !cpuid_has(v, X86_FEATURE_RDPID))
		return GP;
	if (data >> 32)
		return GP;
	vcpu_regs_dirty(v, REGS_SYSCALL);
	v->x.tsc_aux = data;
	return 0;
}

static int misc_enable_set(struct vcpu *v, u64 data, bool host)
{
	u64 fixed = BIT_U64(7) | BIT_U64(11) | BIT_U64(12);	/* performance monitoring: as it is */

	if (!host && ((data ^ v->misc_enable) & fixed))
		return GP;
	if (data == v->misc_enable)
		return 0;
	v->misc_enable = data;
	cpuid_update_runtime(v);
	return 0;
}

static int apic_base_set(struct vcpu *v, u64 data, bool host)
{
	int r = lapic_base_set(v, data, host) ? GP : 0;

	if (!r)
		cpuid_update_runtime(v);
	return r;
}

static int tsc_adjust_set(struct vcpu *v, u64 data, bool host)
{
	if (!host)
		clock_tsc_offset_set(v, v->tsc_offset + (data - v->tsc_adjust));
	v->tsc_adjust = data;
	return 0;
}

static int hwcr_set(struct vcpu *v, u64 data)
{
	data &= ~0x40ull;	/* cache flush filter, TLB write cache, monitor/mwait in user mode */
	data &= ~0x100ull;
	data &= ~0x8ull;
	if (data == BIT_U64(18) || !(data & ~(BIT_U64(18) | BIT_U64(24)))) {
		v->hwcr = data;	/* McStatusWrEn, TscFreqSel */
		return 0;
	}
	return GP;
}

static int debugctl_set(struct vcpu *v, u64 data)
{
	if (data & ~3ull)	/* LBR and BTF are accepted and do nothing */
		return GP;
	v->debugctl = data;
	return 0;
}

/* --- memory types ---------------------------------------------------------------------- */

/* Where an MTRR is kept; NULL if it is none. */
static u64 *mtrr_find(struct vcpu *v, u32 index)
{
	if (index >= MSR_MTRR_VARIABLE && index < MSR_MTRR_VARIABLE + 2 * VCPU_MTRRS)
		return &v->mtrr.variable[index - MSR_MTRR_VARIABLE];
	if (index == MSR_MTRR_FIX64K)
		return &v->mtrr.fixed[0];
	if (index == MSR_MTRR_FIX16K || index == MSR_MTRR_FIX16K + 1)
		return &v->mtrr.fixed[1 + index - MSR_MTRR_FIX16K];
	if (index >= MSR_MTRR_FIX4K && index < MSR_MTRR_FIX4K + 8)
		return &v->mtrr.fixed[3 + index - MSR_MTRR_FIX4K];
	if (index == MSR_MTRR_DEF_TYPE)
		return &v->mtrr.default_type;
	return NULL;
}

static int mtrr_set(struct vcpu *v, u32 index, u64 *reg, u64 data)
{
	u64 address_bits = (BIT_U64(v->x.phys_bits) - 1) & ~0xfffull;

	if (index == MSR_MTRR_DEF_TYPE) {
		if ((data & ~0xcffull) || !memory_type_is_valid(data & 0xff))
			return GP;
	} else if (index >= MSR_MTRR_FIX64K) {
		for (unsigned n = 0; n < 8; n++)
			if (!memory_type_is_valid(data >> (n * 8) & 0xff))
				return GP;
	} else if (index & 1) {			/* mask */
		if (data & ~(address_bits | 0x800))
			return GP;
	} else if ((data & ~(address_bits | 0xff)) || !memory_type_is_valid(data & 0xff)) {
		return GP;
	}
	*reg = data;
	return 0;
}

/* --- machine checks -------------------------------------------------------------------- */

static u64 *mce_find(struct vcpu *v, u32 index)
{
	u32 banks = v->mcg_cap & 0xff;

	if (index >= MSR_MC0_CTL && index < MSR_MC0_CTL + 4 * MIN_OF(banks, VCPU_MCE_BANKS))
		return &v->mce_bank[index - MSR_MC0_CTL];
	return NULL;
}

static int mce_set(struct vcpu *v, u32 index, u64 *reg, u64 data, bool host)
{
	switch (index & 3) {
	case 0:		/* CTL: all or nothing, but for quirks of old kernels */
		if (data && (data | BIT_U64(10)) != ~0ull && (data | 1) != ~0ull)
			return GP;
		break;
	case 1:		/* STATUS: only cleared, unless HWCR says otherwise */
		if (!host && data && !(v->hwcr & BIT_U64(18)))
			return GP;
		break;
	}
	*reg = data;
	return 0;
}

/* --- the rest: constants ----------------------------------------------------------------- */

static bool is_performance_counter(u32 index)
{
	return (index >= MSR_EVNTSEL0 && index < MSR_EVNTSEL0 + 4) ||
	       (index >= MSR_PERFCTR0 && index < MSR_PERFCTR0 + 4);
}

/* Reads as zero, and a write of anything is let go. */
static bool is_ignored(u32 index)
{
	switch (index) {
	case MSR_UCODE_WRITE: case MSR_PATCH_LOADER: case MSR_FAM10H_MMIO_BASE:
	case MSR_LBR_FROM: case MSR_LBR_TO: case MSR_INT_FROM: case MSR_INT_TO:
		return true;
	}
	return false;
}

/* Reads as zero; only zero may be written. */
static bool is_zero(u32 index)
{
	switch (index) {
	case MSR_SYSCFG: case MSR_IORR0: case MSR_IORR0 + 1: case MSR_IORR0 + 2: case MSR_IORR0 + 3:
	case MSR_TOP_MEM: case MSR_TOP_MEM2: case MSR_SMM_ADDR: case MSR_SMM_MASK: case MSR_INT_PENDING:
	case MSR_DC_CFG: case MSR_EBL_CR_POWERON: case MSR_RAPL_UNIT: case MSR_PP0_STATUS:
	case MSR_PP1_STATUS: case MSR_PKG_STATUS: case MSR_DRAM_STATUS: case MSR_PERF_CTL:
	case MSR_PLATFORM_ID: case MSR_PSTATE_LIMIT:
		return true;
	}
	return is_performance_counter(index);
}

static int constant_get(struct vcpu *v, u32 index, u64 *data)
{
	switch (index) {
	case MSR_MTRRCAP:
		*data = 0x500 | VCPU_MTRRS;	/* WC, fixed ranges */
		return 0;
	case MSR_MCG_CAP:
		*data = v->mcg_cap;
		return 0;
	case MSR_BBL_CR_CTL3:
		*data = 0xbe702111;
		return 0;
	case MSR_PERF_STATUS:
		*data = 1000ull | 4ull << 40;	/* TSC increment by tick; CPU multiplier */
		return 0;
	case MSR_DE_CFG:
		*data = BIT_U64(1);		/* LFENCE serializes */
		return 0;
	}
	if (is_ignored(index) || is_zero(index)) {
		*data = 0;
		return 0;
	}
	return UNKNOWN;
}

static int constant_set(u32 index, u64 data, bool host)
{
	switch (index) {
	case MSR_DE_CFG:
		return data & ~BIT_U64(1) ? GP : 0;
	case MSR_MTRRCAP: case MSR_PERF_STATUS: case MSR_BBL_CR_CTL3: case MSR_MCG_CAP:
		return host && index != MSR_MCG_CAP ? 0 : GP;
	}
	if (is_ignored(index))
		return 0;
	if (is_performance_counter(index))
		return 0;
	if (is_zero(index))
		return data ? GP : 0;
	return UNKNOWN;
}

static bool is_kvm_clock(u32 index)
{
	return index == MSR_KVM_WALL_CLOCK || index == MSR_KVM_SYSTEM_TIME ||
	       index == MSR_KVM_WALL_CLOCK_NEW || index == MSR_KVM_SYSTEM_TIME_NEW ||
	       index == MSR_KVM_STEAL_TIME;
}

static bool is_x2apic(u32 index)
{
	return index >= X86_MSR_X2APIC && index < X86_MSR_X2APIC + 0x100;
}

/* --- reading and writing --------------------------------------------------------------- */

int msr_get(struct vcpu *v, u32 index, u64 *data, bool host)
{
	const struct row *row = row_find(index);
	u64 *reg;

	if (!pv_msr_is_allowed(v, index))
		return GP;
	if (pv_is_async_pf(index)) {
		*data = pv_async_pf_get(v, index);
		return 0;
	}
	if (hyperv_is_msr(index))
		return hyperv_msr_get(v, index, data, host) ? UNKNOWN : 0;
	if (row)
		return row_get(v, row, data);
	if (is_kvm_clock(index))
		return clock_msr_get(v, index, data, host) ? UNKNOWN : 0;
	if (is_x2apic(index))
		return v->lapic && !lapic_msr_read(v, index, data, host) ? 0 : GP;
	reg = mtrr_find(v, index);
	if (!reg)
		reg = mce_find(v, index);
	if (reg) {
		*data = *reg;
		return 0;
	}
	switch (index) {
	case X86_MSR_EFER:
		vcpu_regs_need(v, REGS_CR);
		*data = v->x.efer;
		return 0;
	case X86_MSR_TSC:
		*data = clock_tsc_read(v) + (host ? 0 : v->nested.tsc_offset);
		return 0;
	case X86_MSR_TSC_ADJUST:
		*data = v->tsc_adjust;
		return 0;
	case X86_MSR_TSC_DEADLINE:
		*data = v->lapic ? lapic_deadline_get(v) : 0;
		return 0;
	case X86_MSR_APIC_BASE:
		*data = v->apic_base;
		return 0;
	case X86_MSR_VM_CR:
		*data = v->nested.vm_cr;
		return 0;
	case X86_MSR_VM_HSAVE_PA:
		*data = v->nested.hsave_pa;
		return 0;
	case X86_MSR_PAT:
		vcpu_regs_need(v, REGS_SYSCALL);
		*data = v->x.pat;
		return 0;
	case X86_MSR_TSC_AUX:
		if (!host && !cpuid_has(v, X86_FEATURE_RDTSCP) && !cpuid_has(v, X86_FEATURE_RDPID))
			return GP;
		*data = v->x.tsc_aux;
		return 0;
	case X86_MSR_PKRS:
		if (!host && !cpuid_has(v, X86_FEATURE_PKS))
			return GP;
		*data = v->x.pkrs;
		return 0;
	case X86_MSR_DEBUGCTL:
		*data = v->debugctl;
		return 0;
	case MSR_KVM_PV_EOI_EN:
		*data = v->eoi_msr;
		return 0;
	case MSR_PLATFORM_INFO:
		if (!host && atomic_load_relaxed(&v->vm->platform_info_hidden))
			return GP;
		*data = v->platform_info;
		return 0;
	case MSR_MISC_FEATURES:
		*data = v->misc_features;
		return 0;
	case MSR_MISC_ENABLE:
		*data = v->misc_enable;
		return 0;
	case MSR_POWER_CTL:	/* Intel's, which guests of any vendor write */
		*data = v->power_ctl;
		return 0;
	case MSR_UCODE_REV:
		*data = v->microcode_revision;
		return 0;
	case MSR_PERF_CAPABILITIES:	/* exists for clients only, since CPUID has no PDCM */
		*data = 0;
		return host ? 0 : GP;
	case MSR_MCG_CTL:
		if (!(v->mcg_cap & BIT_U64(8)) && !host)
			return GP;
		*data = v->mcg_ctl;
		return 0;
	case MSR_HWCR:
		*data = v->hwcr;
		return 0;
	case MSR_OSVW_LENGTH:
		*data = v->osvw_length;
		return 0;
	case MSR_OSVW_STATUS:
		*data = v->osvw_status;
		return 0;
	case MSR_SMBASE:
		if (!host && !v->smm.on)
			return GP;
		*data = v->smbase;
		return 0;
	case MSR_SMI_COUNT:
		*data = v->smm.count;
		return 0;
	}
	return constant_get(v, index, data);
}

int msr_set(struct vcpu *v, u32 index, u64 data, bool host)
{
	const struct row *row = row_find(index);
	u64 *reg;

	if (!pv_msr_is_allowed(v, index))
		return GP;
	if (pv_is_async_pf(index))
		return pv_async_pf_set(v, index, data) ? GP : 0;
	if (hyperv_is_msr(index))
		return hyperv_msr_set(v, index, data, host) ? GP : 0;
	if (row)
		return row_set(v, row, data);
	if (is_kvm_clock(index))
		return clock_msr_set(v, index, data, host) ? GP : 0;
	if (is_x2apic(index))
		return v->lapic && !lapic_msr_write(v, index, data, host) ? 0 : GP;
	reg = mtrr_find(v, index);
	if (reg)
		return mtrr_set(v, index, reg, data);
	reg = mce_find(v, index);
	if (reg)
		return mce_set(v, index, reg, data, host);
	switch (index) {
	case X86_MSR_EFER:
		return efer_set(v, data, host);
	case X86_MSR_TSC:
		clock_tsc_write(v, data, host);
		return 0;
	case X86_MSR_TSC_ADJUST:
		return tsc_adjust_set(v, data, host);
	case X86_MSR_TSC_DEADLINE:
		if (v->lapic)
			lapic_deadline_set(v, data);
		return 0;
	case X86_MSR_APIC_BASE:
		return apic_base_set(v, data, host);
	case X86_MSR_VM_CR:
		return nested_vm_cr_set(v, data);
	case X86_MSR_VM_HSAVE_PA:
		return nested_hsave_pa_set(v, data, host);
	case X86_MSR_PAT:
		return pat_set(v, data);
	case X86_MSR_TSC_AUX:
		return tsc_aux_set(v, data, host);
	case X86_MSR_PKRS:
		if (data >> 32 || ((data || !host) && !cpuid_has(v, X86_FEATURE_PKS)))
			return GP;
		v->x.pkrs = (u32)data;
		return 0;
	case X86_MSR_DEBUGCTL:
		return debugctl_set(v, data);
	case MSR_KVM_PV_EOI_EN:
		return pv_eoi_msr_set(v, data) ? GP : 0;
	case MSR_PLATFORM_INFO:		/* CPUID faulting stays while it is in use */
		if (!host || (!(data & BIT_U64(31)) && v->misc_features))
			return GP;
		v->platform_info = data;
		return 0;
	case MSR_MISC_FEATURES:
		if (data & ~1ull || (data && !(v->platform_info & BIT_U64(31))))
			return GP;
		v->misc_features = data;
		return 0;
	case MSR_MISC_ENABLE:
		return misc_enable_set(v, data, host);
	case MSR_POWER_CTL:
		v->power_ctl = data;
		return 0;
	case MSR_PERF_CAPABILITIES:
		return host && !data ? 0 : GP;
	case MSR_UCODE_REV:
		if (host)
			v->microcode_revision = data;
		return 0;		/* a guest's write precedes reading the revision */
	case MSR_MCG_CTL:
		if (!(v->mcg_cap & BIT_U64(8)) && (data || !host))
			return GP;
		if (data && data != ~0ull)
			return GP;
		v->mcg_ctl = data;
		return 0;
	case MSR_HWCR:
		return hwcr_set(v, data);
	case MSR_OSVW_LENGTH:
	case MSR_OSVW_STATUS:
		if (!host)
			return index == MSR_OSVW_STATUS ? 0 : GP;
		*(index == MSR_OSVW_LENGTH ? &v->osvw_length : &v->osvw_status) = data;
		return 0;
	case MSR_SMBASE:
		if (!host)
			return GP;
		v->smbase = data;
		return 0;
	case MSR_SMI_COUNT:
		if (!host)
			return GP;
		v->smm.count = data;
		return 0;
	}
	return constant_set(index, data, host);
}

/* --- lists for clients ------------------------------------------------------------------ */

/* What a client saves and restores; KVM_GET_MSR_INDEX_LIST. */
static const u32 saved[] = {
	HV_GUEST_OS_ID, HV_HYPERCALL, HV_VP_INDEX, HV_RESET, HV_VP_RUNTIME, HV_TIME_REF_COUNT, HV_REFERENCE_TSC,
	HV_TSC_FREQUENCY, HV_APIC_FREQUENCY, HV_ASSIST_PAGE, HV_SCONTROL, HV_STIMER0_CONFIG, HV_CRASH_P0,
	HV_CRASH_P0 + 1, HV_CRASH_P0 + 2, HV_CRASH_P0 + 3, HV_CRASH_P4, HV_CRASH_CTL, HV_REENLIGHTENMENT,
	HV_TSC_EMULATION, HV_TSC_EMULATION_STATUS, HV_DEBUG_OPTIONS,
	X86_MSR_SYSENTER_CS, X86_MSR_SYSENTER_ESP, X86_MSR_SYSENTER_EIP, X86_MSR_STAR, X86_MSR_CSTAR,
	X86_MSR_KERNEL_GS_BASE, X86_MSR_SFMASK, X86_MSR_LSTAR, X86_MSR_TSC, X86_MSR_PAT,
	X86_MSR_VM_HSAVE_PA, X86_MSR_TSC_AUX, X86_MSR_PKRS,
	MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW,
	MSR_KVM_ASYNC_PF_EN, MSR_KVM_ASYNC_PF_INT, MSR_KVM_ASYNC_PF_ACK, MSR_KVM_STEAL_TIME, MSR_KVM_POLL_CONTROL, MSR_KVM_PV_EOI_EN, MSR_PLATFORM_INFO, MSR_MISC_FEATURES,
	X86_MSR_TSC_ADJUST, X86_MSR_TSC_DEADLINE, MSR_MISC_ENABLE, MSR_MCG_STATUS, MSR_MCG_CTL,
	MSR_SMBASE, MSR_SMI_COUNT, MSR_HWCR, MSR_UCODE_REV, MSR_OSVW_LENGTH, MSR_OSVW_STATUS, X86_MSR_DEBUGCTL,
	MSR_POWER_CTL, MSR_MTRR_DEF_TYPE, MSR_MTRR_FIX64K, MSR_MTRR_FIX16K, MSR_MTRR_FIX16K + 1, MSR_MTRR_FIX4K,
	MSR_MTRR_FIX4K + 1, MSR_MTRR_FIX4K + 2, MSR_MTRR_FIX4K + 3, MSR_MTRR_FIX4K + 4,
	MSR_MTRR_FIX4K + 5, MSR_MTRR_FIX4K + 6, MSR_MTRR_FIX4K + 7,
	MSR_MTRR_VARIABLE, MSR_MTRR_VARIABLE + 1, MSR_MTRR_VARIABLE + 2, MSR_MTRR_VARIABLE + 3,
	MSR_MTRR_VARIABLE + 4, MSR_MTRR_VARIABLE + 5, MSR_MTRR_VARIABLE + 6, MSR_MTRR_VARIABLE + 7,
	MSR_MTRR_VARIABLE + 8, MSR_MTRR_VARIABLE + 9, MSR_MTRR_VARIABLE + 10, MSR_MTRR_VARIABLE + 11,
	MSR_MTRR_VARIABLE + 12, MSR_MTRR_VARIABLE + 13, MSR_MTRR_VARIABLE + 14, MSR_MTRR_VARIABLE + 15,
};

/* What depends on the host rather than on a vCPU. */
static const u32 features[] = { MSR_UCODE_REV, MSR_DE_CFG, MSR_PERF_CAPABILITIES };

static int list_copy(u32 *out, u32 *count, const u32 *list, u32 length)
{
	u32 room = *count;

	*count = length;
	if (room < length)
		return -E2BIG;
	__builtin_memcpy(out, list, length * sizeof(*list));
	return 0;
}

int msr_index_list(u32 *indices, u32 *count)
{
	return list_copy(indices, count, saved, ARRAY_LEN(saved));
}

int msr_feature_list(u32 *indices, u32 *count)
{
	return list_copy(indices, count, features, ARRAY_LEN(features));
}

int msr_feature_get(u32 index, u64 *data)
{
	switch (index) {
	case MSR_UCODE_REV:
		*data = 0x01000065;
		return 0;
	case MSR_DE_CFG:
		*data = BIT_U64(1);
		return 0;
	case MSR_PERF_CAPABILITIES:	/* there are no performance counters */
		*data = 0;
		return 0;
	}
	return GP;
}
