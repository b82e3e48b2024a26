// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cpu.c - privileged instructions that every processor has, executed
 *
 * The FPU.  In guest mode the registers and XCR0 are the guest's.  XSAVE and XRSTOR run under
 * the host's XCR0, with all components that we keep: so what the guest's area does not hold
 * is initial in the guest, and nothing of the host's is left for it to find.  PKRU is the
 * one component that the kernel needs while it runs: each side gets its own.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 4, "XSAVE", "XRSTOR", "XSETBV".
 */
#include <linux/percpu.h>

#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/special_insns.h>

#include "insn/insn.h"

#define COMPONENTS	0x2e7ull	/* x87 SSE AVX, AVX-512, PKRU: core/fpu.h's XCR0_KNOWN */

#define LEAF_XSAVE	0xdu

static u64 host_xcr0(void)
{
	return boot_cpu_has(X86_FEATURE_OSXSAVE) ? xgetbv(XCR_XFEATURE_ENABLED_MASK) : 0;
}

/* What the kernel does not keep for its processes a guest cannot have either. */
void insn_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	cpuid_count(leaf, subleaf, &out[0], &out[1], &out[2], &out[3]);
	if (leaf == LEAF_XSAVE && subleaf == 0) {
		out[0] &= (u32)host_xcr0();
		out[3] &= (u32)(host_xcr0() >> 32);
	}
}

int insn_rdmsr(u32 msr, u64 *value)
{
	unsigned long long v = 0;
	int r = rdmsrl_safe(msr, &v);

	*value = v;
	return r ? -EIO : 0;
}

int insn_wrmsr(u32 msr, u64 value)
{
	return wrmsrl_safe(msr, value) ? -EIO : 0;
}

u64 insn_rdtsc(void)
{
	return rdtsc_ordered();
}

unsigned insn_host_levels(void)
{
	return __read_cr4() & X86_CR4_LA57 ? 5 : 4;
}

/* --- the FPU ------------------------------------------------------------------------------ */

static DEFINE_PER_CPU(u64, own_xcr0);
static DEFINE_PER_CPU(u32, own_pkru);

static void components_load(const void *area, u64 mask)
{
	asm volatile("xrstor64 %0" : : "m"(*(const u8 (*)[4096])area), "a"((u32)mask), "d"((u32)(mask >> 32))
		     : "memory");
}

static void components_save(void *area, u64 mask)
{
	asm volatile("xsave64 %0" : "+m"(*(u8 (*)[4096])area) : "a"((u32)mask), "d"((u32)(mask >> 32))
		     : "memory");
}

void insn_fpu_load(const void *area, u64 xcr0)
{
	u64 own;

	if (!boot_cpu_has(X86_FEATURE_OSXSAVE)) {
		asm volatile("fxrstor64 %0" : : "m"(*(const u8 (*)[512])area));
		return;
	}
	own = host_xcr0();
	this_cpu_write(own_xcr0, own);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		this_cpu_write(own_pkru, rdpkru());
	components_load(area, own & COMPONENTS);
	if (xcr0 != own)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, xcr0);
}

/* A component that the guest's XCR0 lacks now keeps what it had: no instruction changes it. */
void insn_fpu_save(void *area, u64 xcr0)
{
	u64 own;

	if (!boot_cpu_has(X86_FEATURE_OSXSAVE)) {
		asm volatile("fxsave64 %0" : "=m"(*(u8 (*)[512])area));
		return;
	}
	own = this_cpu_read(own_xcr0);
	if (xcr0 != own)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, own);
	components_save(area, own & COMPONENTS);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		wrpkru(this_cpu_read(own_pkru));
}

/* --- debug registers ---------------------------------------------------------------------- */

/* The host's own breakpoints, if it has any, are off until the guest is out (insn_vmrun()). */
bool insn_counters(u64 counts[INSN_COUNTERS])
{
	return false;
}

void insn_debug_load(const u64 dr[4])
{
	set_debugreg(0ul, 7);
	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
}

void insn_debug_save(u64 dr[4])
{
	unsigned long value;

	get_debugreg(value, 0);
	dr[0] = value;
	get_debugreg(value, 1);
	dr[1] = value;
	get_debugreg(value, 2);
	dr[2] = value;
	get_debugreg(value, 3);
	dr[3] = value;
}
