/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * soft.h - the software processor, seen from its pins
 *
 * A struct soft_cpu is one AMD-V processor.  Its host mode is the C code that calls these
 * functions; guest mode is soft_vmrun().  A physical address is a pointer in this process.
 * One thread at a time uses a processor; only soft_interrupt() and soft_nmi() may come
 * from elsewhere.  Nothing here calls a host or libc.
 *
 * CPU features are the host's that this processor can also execute, plus AMD-V's.
 */
#ifndef SOFT_SOFT_H
#define SOFT_SOFT_H

#include "base/types.h"

struct soft_cpu;

/*
 * Memory in which code is generated: two mappings of one object, never both writable and
 * executable.  At least 64 KiB.  forget, if there is one, gives back whole pages of it, or of
 * the processor's memory: they read as zero from then on.
 */
struct soft_code {
	u8	 *write;
	const u8 *run;
	u64	  bytes;
	void	(*forget)(void *memory, u64 bytes);
};

/* Processors made from now on translate guest code (the default), or interpret all of it. */
void soft_translate(bool on);

/*
 * What translations may occupy, of all processors together: code, and what is known about it.
 * Each has an equal share, though at least 2 MiB, and begins anew when that is full.  64 MiB
 * unless set; no processor takes more than its code memory holds.  [any]
 */
void soft_translations_bound(u64 bytes);

u64  soft_cpu_bytes(void);	/* how much zeroed, 64-byte aligned memory a processor needs */
void soft_cpu_init(struct soft_cpu *cpu, unsigned id, const struct soft_code *code);

/* CPUID of this kind of processor (no processor needed). */
void soft_cpuid(u32 leaf, u32 subleaf, u32 out[4]);

/* 0, or -1 for #GP.  EFER, VM_CR, VM_HSAVE_PA, TSC and the few others a hypervisor needs. */
int  soft_rdmsr(struct soft_cpu *cpu, u32 msr, u64 *value);
int  soft_wrmsr(struct soft_cpu *cpu, u32 msr, u64 value);

/* VMRUN to #VMEXIT; gpr[] in encoding order, RAX and RSP are in the VMCB. */
void soft_vmrun(struct soft_cpu *cpu, hpa_t vmcb, u64 gpr[16]);
void soft_vmload(struct soft_cpu *cpu, hpa_t vmcb);
void soft_vmsave(struct soft_cpu *cpu, hpa_t vmcb);
void soft_invlpga(struct soft_cpu *cpu, u64 linear, u32 asid);
void soft_set_gif(struct soft_cpu *cpu, bool gif);

/*
 * The guest's vector state: an XSAVE area (standard format, 64-byte aligned) that stays
 * valid until soft_fpu_save(), of the components of xcr0 and always of PKRU.  It is loaded into the silicon at the first instruction
 * that needs it, and stays there until soft_fpu_save(), so between the two the thread may
 * only run code that leaves vector registers alone.  soft_fpu_save() returns PKRU.
 */
void soft_fpu_load(struct soft_cpu *cpu, const void *area, u64 xcr0);
u32  soft_fpu_save(struct soft_cpu *cpu, void *area, u64 xcr0);

/*
 * The processor's user has let others run: what the guest knows may include that they wrote
 * code.  Translations are compared with memory again.
 */
void soft_distrust(struct soft_cpu *cpu);

/* DR0 to DR3: the processor's, not the VMCB's. */
void soft_debug_load(struct soft_cpu *cpu, const u64 dr[4]);
void soft_debug_save(const struct soft_cpu *cpu, u64 dr[4]);

/* The INTR pin: raise it from any thread or signal handler; lower it from the own thread. */
void soft_interrupt(struct soft_cpu *cpu);
void soft_interrupt_ack(struct soft_cpu *cpu);
void soft_nmi(struct soft_cpu *cpu);

/* Counters since init, for statistics; only u64s. */
struct soft_counters {
#define COUNTER(name) u64 name;
#include "soft/counter.def"
#undef COUNTER
};
void soft_counters(const struct soft_cpu *cpu, struct soft_counters *out);

/*
 * For processors made from now on: count by mnemonic which instructions of translated code the
 * executor and the interpreter execute.  And the counts that are not 0.
 */
void soft_profile(bool on);
typedef void soft_op_fn(void *arg, const char *op, u64 executed, u64 interpreted);
void soft_ops(const struct soft_cpu *cpu, soft_op_fn *fn, void *arg);

/* Translated code, one call for each block: where it is, of how many bytes, and the guest's address of it. */
typedef void soft_block_fn(void *arg, u64 host, u64 bytes, u64 rip);
void soft_blocks(const struct soft_cpu *cpu, soft_block_fn *fn, void *arg);

#endif
