// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cpu.c - privileged instructions that every processor has, executed
 *
 * The FPU.  In guest mode the registers and XCR0 are the guest's.  XSAVE and XRSTOR run under
 * the host's XCR0, with all components that we keep: so what the guest's area does not hold
 * is initial in the guest, and nothing of the host's is left for it to find.  PKRU is the
 * one component that the kernel needs while it runs, and does not switch with the others: each
 * side gets its own at every entry and exit.
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

/* The kernel's, the same on all processors.  Asked once, when no guest has been entered yet. */
static u64 host_xcr0(void)
{
	static u64 known;

	if (!known && boot_cpu_has(X86_FEATURE_OSXSAVE))
		known = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	return known;
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

/* Silicon counts, but not these. */
bool insn_counters(u64 counts[INSN_COUNTERS])
{
	return false;
}

/* --- the FPU ------------------------------------------------------------------------------ */

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

static void pkru_write(u32 from, u32 to)
{
	if (from != to)
		wrpkru(to);
}

void insn_fpu_enter(const void *area, u64 xcr0, u32 *pkru)
{
	if (!boot_cpu_has(X86_FEATURE_OSXSAVE)) {
		if (area)
			asm volatile("fxrstor64 %0" : : "m"(*(const u8 (*)[512])area));
		return;
	}
	if (cpu_feature_enabled(X86_FEATURE_OSPKE)) {
		this_cpu_write(own_pkru, rdpkru());
		if (!area)
			pkru_write(this_cpu_read(own_pkru), *pkru);
	}
	if (area)
		components_load(area, host_xcr0() & COMPONENTS);
	if (xcr0 && xcr0 != host_xcr0())
		xsetbv(XCR_XFEATURE_ENABLED_MASK, xcr0);
}

/* A component that the guest's XCR0 lacks now keeps what it had: no instruction changes it. */
void insn_fpu_leave(void *area, u64 xcr0, u32 *pkru)
{
	if (!boot_cpu_has(X86_FEATURE_OSXSAVE)) {
		if (area)
			asm volatile("fxsave64 %0" : "=m"(*(u8 (*)[512])area));
		return;
	}
	if (xcr0 && xcr0 != host_xcr0())
		xsetbv(XCR_XFEATURE_ENABLED_MASK, host_xcr0());
	if (area)
		components_save(area, host_xcr0() & COMPONENTS);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE)) {
		*pkru = rdpkru();
		pkru_write(*pkru, this_cpu_read(own_pkru));
	}
}

/* --- debug registers ---------------------------------------------------------------------- */

/* The host's own breakpoints, if it has any, are off until the guest is out (insn_vmrun()). */
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
