/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * insn.h - privileged instructions as functions
 *
 * insn/hw executes them; insn/soft hands them to the calling thread's software processor.
 * Which one is decided at link time.  All are for a pinned caller unless marked [any].
 */
#ifndef INSN_INSN_H
#define INSN_INSN_H

#include "base/types.h"

/* [any] CPUID as the processor that will run guests has it. */
void insn_cpuid(u32 leaf, u32 subleaf, u32 out[4]);

/* 0, or -EIO where the instruction would have raised #GP. */
int  insn_rdmsr(u32 msr, u64 *value);
int  insn_wrmsr(u32 msr, u64 value);

/* [any] */
u64  insn_rdtsc(void);

/* [any] Levels of the host's page tables, and so of those that a nested walk uses: 4 or 5. */
unsigned insn_host_levels(void);

/*
 * Enter the guest of the VMCB at this bus address, until #VMEXIT.  gpr[] are the guest's
 * registers in encoding order; RAX and RSP are the VMCB's, gpr[0] and gpr[4] are ignored.
 * What VMRUN leaves alone is the guest's by VMLOAD before it, is put back into the VMCB by
 * VMSAVE after it, and is then what a VMSAVE has left at host: one function, because it
 * includes what a kernel finds its own data by.
 * Interrupts are off; GIF is cleared and set again inside, so what arrived in the
 * meantime is pending when this returns.  The guest's FPU state must be loaded.
 */
void insn_vmrun(hpa_t vmcb, hpa_t host, u64 gpr[16]);
void insn_vmload(hpa_t vmcb);
void insn_vmsave(hpa_t vmcb);
void insn_clgi(void);
void insn_stgi(void);
void insn_invlpga(u64 linear, u32 asid);

/*
 * Make the FPU and vector registers those of area (standard XSAVE format, 64-byte
 * aligned, components of xcr0 and PKRU), and XCR0 what the guest has; and the inverse.
 * Without an area the registers hold the guest's already, or stay as they are; but PKRU,
 * which this processor needs for itself, is then *pkru.  xcr0 is 0 if no guest will be entered.
 * Between host_fpu_begin() and host_fpu_end().
 */
void insn_fpu_enter(const void *area, u64 xcr0, u32 *pkru);
void insn_fpu_leave(void *area, u64 xcr0, u32 *pkru);

/* What a processor has counted since it was made, by insn/counter.def. */
enum insn_counter {
#define COUNTER(name) INSN_COUNTER_##name,
#include "insn/counter.def"
#undef COUNTER
	INSN_COUNTERS
};
/* False: it counts nothing, and counts[] is untouched.  counts NULL, [any]: does it? */
bool insn_counters(u64 counts[INSN_COUNTERS]);

/* DR0 to DR3, which VMRUN leaves alone: whatever is there is the guest's. */
void insn_debug_load(const u64 dr[4]);
void insn_debug_save(u64 dr[4]);

#endif
