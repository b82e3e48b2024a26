// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * intercept.c - instructions that a VMCB intercepts
 *
 * The executor calls bus->hook where x->hooked has the bit, after an instruction's own
 * checks.  Here the hook is looked up in the VMCB's intercepts and permission maps, and
 * becomes an exit with its information.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Instruction Intercepts",
 * "IOIO Intercepts", "MSR Intercepts", "Pause Intercept Filtering", "Decode Assists".
 */
#include "soft/cpu.h"

#define CR_DECODED	BIT_U64(63)	/* EXITINFO1 of a MOV CR: bits 0..3 are the GPR */

enum x86_result soft_exit(struct soft_cpu *c, u64 code, u64 info1, u64 info2)
{
	c->exit_code = code;
	c->exit_info1 = info1;
	c->exit_info2 = info2;
	c->exit_next_rip = 0;
	c->exit_bytes = false;
	return X86_EXIT;
}

/* An instruction's intercept, taken before it: next RIP is known. */
static enum x86_result leave(struct soft_cpu *c, u64 code, u64 info1, u64 info2)
{
	soft_exit(c, code, info1, info2);
	c->exit_next_rip = c->x.next_rip;
	return X86_EXIT;
}

/* Hooks with an intercept bit and an exit code of their own. */
static const struct { u16 intercept, exit; } simple[X86_HOOKS] = {
#define SIMPLE(name) [X86_HOOK_##name] = { VMCB_INTERCEPT_##name, VMEXIT_##name }
	SIMPLE(IDTR_READ), SIMPLE(GDTR_READ), SIMPLE(LDTR_READ), SIMPLE(TR_READ),
	SIMPLE(IDTR_WRITE), SIMPLE(GDTR_WRITE), SIMPLE(LDTR_WRITE), SIMPLE(TR_WRITE),
	SIMPLE(RDTSC), SIMPLE(RDTSCP), SIMPLE(RDPMC), SIMPLE(RDPRU), SIMPLE(PUSHF), SIMPLE(POPF),
	SIMPLE(CPUID), SIMPLE(RSM), SIMPLE(IRET), SIMPLE(ICEBP), SIMPLE(INVD), SIMPLE(WBINVD),
	SIMPLE(PAUSE), SIMPLE(HLT), SIMPLE(INVLPG), SIMPLE(INVPCID), SIMPLE(INVLPGA), SIMPLE(INVLPGB),
	SIMPLE(TLBSYNC), SIMPLE(TASK_SWITCH), SIMPLE(VMRUN), SIMPLE(VMMCALL), SIMPLE(VMLOAD),
	SIMPLE(VMSAVE), SIMPLE(STGI), SIMPLE(CLGI), SIMPLE(SKINIT), SIMPLE(MONITOR), SIMPLE(MWAIT),
	SIMPLE(XSETBV),
#undef SIMPLE
	[X86_HOOK_INTN] = { VMCB_INTERCEPT_INTN, VMEXIT_SWINT },
	[X86_HOOK_IO] = { VMCB_INTERCEPT_IOIO_PROT, VMEXIT_IOIO },
	[X86_HOOK_MSR_READ] = { VMCB_INTERCEPT_MSR_PROT, VMEXIT_MSR },
	[X86_HOOK_MSR_WRITE] = { VMCB_INTERCEPT_MSR_PROT, VMEXIT_MSR },
};

u64 soft_hooks_of(const struct soft_cpu *c)
{
	bool cr0_read = soft_intercepts(c, VMCB_INTERCEPT_CR_READ(0));
	bool cr0_write = soft_intercepts(c, VMCB_INTERCEPT_CR_WRITE(0));
	bool cr0_selective = soft_intercepts(c, VMCB_INTERCEPT_CR0_SEL_WRITE);
	u64 hooks = 0;

	for (unsigned what = 0; what < X86_HOOKS; what++)
		if (simple[what].intercept && soft_intercepts(c, simple[what].intercept))
			hooks |= BIT_U64(what);
	if (c->intercept[0] & 0xffff)
		hooks |= BIT_U64(X86_HOOK_CR_READ);
	if ((c->intercept[0] >> 16) || cr0_selective)
		hooks |= BIT_U64(X86_HOOK_CR_WRITE);
	if (c->intercept[1] & 0xffff)
		hooks |= BIT_U64(X86_HOOK_DR_READ);
	if (c->intercept[1] >> 16)
		hooks |= BIT_U64(X86_HOOK_DR_WRITE);
	if (cr0_read)
		hooks |= BIT_U64(X86_HOOK_SMSW);
	if (cr0_write)
		hooks |= BIT_U64(X86_HOOK_CLTS);
	if (cr0_write || cr0_selective)
		hooks |= BIT_U64(X86_HOOK_LMSW);
	return hooks;
}

/* Does a write of CR0 change more than TS and MP? */
static bool cr0_write_is_selected(const struct soft_cpu *c, u64 value)
{
	return (value ^ c->x.cr0) & ~(X86_CR0_TS | X86_CR0_MP);
}

static enum x86_result hook_cr_write(struct soft_cpu *c, const struct x86_insn *i, u64 n)
{
	if (soft_intercepts(c, VMCB_INTERCEPT_CR_WRITE((unsigned)n)))
		return leave(c, VMEXIT_CR0_WRITE + n, CR_DECODED | (i->rm & 15), 0);
	if (n == 0 && soft_intercepts(c, VMCB_INTERCEPT_CR0_SEL_WRITE)) {
		u64 value = c->x.gpr[i->rm & 15];

		if (c->x.code_bits != 64)
			value = (u32)value;
		if (cr0_write_is_selected(c, value))
			return leave(c, VMEXIT_CR0_SEL_WRITE, CR_DECODED | (i->rm & 15), 0);
	}
	return X86_OK;
}

/* The selective intercept does not look at what LMSW writes. */
static enum x86_result hook_lmsw(struct soft_cpu *c)
{
	return leave(c, soft_intercepts(c, VMCB_INTERCEPT_CR_WRITE(0)) ? VMEXIT_CR0_WRITE : VMEXIT_CR0_SEL_WRITE, 0, 0);
}

static enum x86_result hook_io(struct soft_cpu *c, u64 info)
{
	unsigned port = X86_IO_PORT(info), bytes = X86_IO_SIZE(info) & 7;
	const u8 *map = (const u8 *)c->iopm;
	u64 info1;

	if (!((map[port / 8] | (u32)map[port / 8 + 1] << 8) >> (port % 8) & ((1u << bytes) - 1)))
		return X86_OK;
	info1 = (u64)port << VMCB_IOIO_PORT_SHIFT | (u64)bytes << VMCB_IOIO_SIZE_SHIFT |
		(X86_IO_AD_BYTES(info) / 2) << VMCB_IOIO_ADDR_SHIFT |
		X86_IO_SEG(info) << VMCB_IOIO_SEG_SHIFT;
	if (info & X86_IO_IN)
		info1 |= VMCB_IOIO_IN;
	if (info & X86_IO_STRING)
		info1 |= VMCB_IOIO_STR;
	if (info & X86_IO_REP)
		info1 |= VMCB_IOIO_REP;
	return leave(c, VMEXIT_IOIO, info1, c->x.next_rip);
}

static enum x86_result hook_msr(struct soft_cpu *c, u32 msr, bool write)
{
	const u8 *map = (const u8 *)c->msrpm;
	u32 index = msr & 0x1fff, bit;

	if (msr <= 0x1fff)
		bit = 0;
	else if (msr >= 0xc0000000 && msr <= 0xc0001fff)
		bit = 0x800 * 8;
	else if (msr >= 0xc0010000 && msr <= 0xc0011fff)
		bit = 0x1000 * 8;
	else		/* not in the map: intercepted */
		return leave(c, VMEXIT_MSR, write, 0);
	bit += index * 2 + write;
	return map[bit / 8] >> (bit % 8) & 1 ? leave(c, VMEXIT_MSR, write, 0) : X86_OK;
}

/*
 * A loop of PAUSEs closer than the threshold uses the count up; then it leaves.  The threshold's
 * unit is cycles: this processor's is an instruction, since time passes for other reasons, too.
 */
static enum x86_result hook_pause(struct soft_cpu *c)
{
	if (c->pause_count) {
		u64 now = c->counters.instructions;

		if (c->pause_threshold && now - c->pause_last > c->pause_threshold)
			c->pause_left = c->pause_count;
		c->pause_last = now;
		if (c->pause_left) {
			c->pause_left--;
			return X86_OK;
		}
	}
	return leave(c, VMEXIT_PAUSE, 0, 0);
}

static enum x86_result hook_task_switch(struct soft_cpu *c, u64 info)
{
	u64 kind = info >> 32, info2 = 0;

	if (kind == X86_TASK_IRET)
		info2 |= BIT_U64(36);
	if (kind == X86_TASK_JMP)
		info2 |= BIT_U64(38);
	if (kind == X86_TASK_GATE && c->x.delivering.has_error)
		info2 |= BIT_U64(44) | c->x.delivering.error;
	if (c->x.rflags & X86_FLAG_RF)
		info2 |= BIT_U64(48);
	return leave(c, VMEXIT_TASK_SWITCH, (u16)info, info2);
}

enum x86_result soft_hook(struct x86 *x, const struct x86_insn *i, enum x86_hook what, u64 info)
{
	struct soft_cpu *c = soft_of(x);

	switch (what) {
	case X86_HOOK_CR_READ:
		return soft_intercepts(c, VMCB_INTERCEPT_CR_READ((unsigned)info)) ?
		       leave(c, VMEXIT_CR0_READ + info, CR_DECODED | (i->rm & 15), 0) : X86_OK;
	case X86_HOOK_CR_WRITE:
		return hook_cr_write(c, i, info);
	case X86_HOOK_SMSW:
		return leave(c, VMEXIT_CR0_READ, 0, 0);
	case X86_HOOK_CLTS:
		return leave(c, VMEXIT_CR0_WRITE, 0, 0);
	case X86_HOOK_LMSW:
		return hook_lmsw(c);
	case X86_HOOK_DR_READ:
		return soft_intercepts(c, VMCB_INTERCEPT_DR_READ((unsigned)info)) ?
		       leave(c, VMEXIT_DR0_READ + info, i->rm & 15, 0) : X86_OK;
	case X86_HOOK_DR_WRITE:
		return soft_intercepts(c, VMCB_INTERCEPT_DR_WRITE((unsigned)info)) ?
		       leave(c, VMEXIT_DR0_WRITE + info, i->rm & 15, 0) : X86_OK;
	case X86_HOOK_IO:
		return hook_io(c, info);
	case X86_HOOK_MSR_READ:
		return hook_msr(c, (u32)info, false);
	case X86_HOOK_MSR_WRITE:
		return hook_msr(c, (u32)info, true);
	case X86_HOOK_PAUSE:
		return hook_pause(c);
	case X86_HOOK_TASK_SWITCH:
		return hook_task_switch(c, info);
	case X86_HOOK_INVLPG:
	case X86_HOOK_INTN:
		return leave(c, simple[what].exit, info, 0);
	default:
		return leave(c, simple[what].exit, 0, 0);
	}
}
