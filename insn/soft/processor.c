// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * processor.c - privileged instructions, by software processors
 *
 * processors[] is indexed by host_cpu(); an entry is written once, by the thread that is
 * that processor, and read by whoever kicks it.  A kick of a processor that does not exist
 * yet is kept in kicked_early[] until it does.
 *
 * Failure to make a processor cannot be reported by an instruction: it is a host_bug(), and
 * the machine dies of VMEXIT_INVALID.
 */
#include <errno.h>

#include "base/atomic.h"
#include "host/host.h"
#include "insn/insn.h"
#include "insn/soft/code.h"
#include "insn/soft/processor.h"
#include "x86/vmcb.h"

#define PROCESSORS	4096u
#define CODE_BYTES	(32ul << 20)	/* touched as it is used */

static struct soft_cpu *processors[PROCESSORS];
static u32 kicked_early[PROCESSORS];	/* atomic */

static struct soft_cpu *processor_make(unsigned cpu)
{
	struct soft_code code;
	struct soft_cpu *c;

	if (cpu >= PROCESSORS)
		return NULL;
	c = code_alloc_data(soft_cpu_bytes());
	if (!c || code_alloc(&code, CODE_BYTES) != 0)
		return NULL;
	soft_cpu_init(c, cpu, &code);
	atomic_store_seq(&processors[cpu], c);
	if (atomic_exchange(&kicked_early[cpu], 0u))
		soft_interrupt(c);
	return c;
}

static struct soft_cpu *this_processor(void)
{
	unsigned cpu = host_cpu();
	struct soft_cpu *c = cpu < PROCESSORS ? atomic_load_acquire(&processors[cpu]) : NULL;

	if (UNLIKELY(!c))
		c = processor_make(cpu);
	if (UNLIKELY(!c))
		host_bug(__FILE__, __LINE__, "no memory for a software processor");
	return c;
}

int insn_soft_init(void)
{
	u32 out[4];

	soft_cpuid(0, 0, out);
	return 0;
}

void insn_soft_kick(unsigned cpu)
{
	struct soft_cpu *c;

	if (cpu >= PROCESSORS)
		return;
	c = atomic_load_acquire(&processors[cpu]);
	if (!c) {
		atomic_store_seq(&kicked_early[cpu], 1u);
		atomic_fence();
		c = atomic_load_acquire(&processors[cpu]);
	}
	if (c)
		soft_interrupt(c);
}

void insn_soft_ack(unsigned cpu)
{
	struct soft_cpu *c = cpu < PROCESSORS ? atomic_load_acquire(&processors[cpu]) : NULL;

	if (c)
		soft_interrupt_ack(c);
}

void insn_soft_distrust(void)
{
	unsigned cpu = host_cpu();
	struct soft_cpu *c = cpu < PROCESSORS ? atomic_load_acquire(&processors[cpu]) : NULL;

	if (c)
		soft_distrust(c);
}

void insn_soft_counters(struct soft_counters *out)
{
	*out = (struct soft_counters){ 0 };
	for (unsigned n = 0; n < PROCESSORS; n++) {
		const struct soft_cpu *c = atomic_load_acquire(&processors[n]);
		struct soft_counters one;

		if (!c)
			continue;
		soft_counters(c, &one);
#define COUNTER(name) out->name += one.name;
#include "soft/counter.def"
#undef COUNTER
	}
}

void insn_soft_ops(soft_op_fn *fn, void *arg)
{
	for (unsigned n = 0; n < PROCESSORS; n++) {
		const struct soft_cpu *c = atomic_load_acquire(&processors[n]);

		if (c)
			soft_ops(c, fn, arg);
	}
}

void insn_soft_blocks(soft_block_fn *fn, void *arg)
{
	for (unsigned n = 0; n < PROCESSORS; n++) {
		const struct soft_cpu *c = atomic_load_acquire(&processors[n]);

		if (c)
			soft_blocks(c, fn, arg);
	}
}

void insn_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	soft_cpuid(leaf, subleaf, out);
}

int insn_rdmsr(u32 msr, u64 *value)
{
	struct soft_cpu *c = this_processor();

	return c && soft_rdmsr(c, msr, value) == 0 ? 0 : -EIO;
}

int insn_wrmsr(u32 msr, u64 value)
{
	struct soft_cpu *c = this_processor();

	return c && soft_wrmsr(c, msr, value) == 0 ? 0 : -EIO;
}

u64 insn_rdtsc(void)
{
	return __builtin_ia32_rdtsc();
}

unsigned insn_host_levels(void)
{
	return 4;
}

void insn_vmrun(hpa_t vmcb, hpa_t host, u64 gpr[16])
{
	struct soft_cpu *c = this_processor();

	if (!c) {
		((struct vmcb *)vmcb)->control.exitcode = VMEXIT_INVALID;
		return;
	}
	soft_vmload(c, vmcb);
	soft_vmrun(c, vmcb, gpr);
	soft_vmsave(c, vmcb);
	soft_vmload(c, host);
}

void insn_vmload(hpa_t vmcb)
{
	struct soft_cpu *c = this_processor();

	if (c)
		soft_vmload(c, vmcb);
}

void insn_vmsave(hpa_t vmcb)
{
	struct soft_cpu *c = this_processor();

	if (c)
		soft_vmsave(c, vmcb);
}

void insn_clgi(void)
{
	struct soft_cpu *c = this_processor();

	if (c)
		soft_set_gif(c, false);
}

void insn_stgi(void)
{
	struct soft_cpu *c = this_processor();

	if (c)
		soft_set_gif(c, true);
}

void insn_invlpga(u64 linear, u32 asid)
{
	struct soft_cpu *c = this_processor();

	if (c)
		soft_invlpga(c, linear, asid);
}

/* There is always an area, as host/posix keeps no registers; PKRU is in it. */
void insn_fpu_enter(const void *area, u64 xcr0, u32 *pkru)
{
	struct soft_cpu *c = this_processor();

	(void)pkru;
	if (c)
		soft_fpu_load(c, area, xcr0);
}

void insn_fpu_leave(void *area, u64 xcr0, u32 *pkru)
{
	struct soft_cpu *c = this_processor();

	if (c)
		*pkru = soft_fpu_save(c, area, xcr0);
}

bool insn_counters(u64 counts[INSN_COUNTERS])
{
	struct soft_counters now;

	if (!counts)
		return true;
	soft_counters(this_processor(), &now);
#define COUNTER(name) counts[INSN_COUNTER_##name] = now.name;
#include "insn/counter.def"
#undef COUNTER
	return true;
}

void insn_debug_load(const u64 dr[4])
{
	struct soft_cpu *c = this_processor();

	if (c)
		soft_debug_load(c, dr);
}

void insn_debug_save(u64 dr[4])
{
	struct soft_cpu *c = this_processor();

	if (c)
		soft_debug_save(c, dr);
}
