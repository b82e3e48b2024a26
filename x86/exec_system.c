// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_system.c - ports, MSRs, time, identification, caches, TLB, HLT, and what the bus does
 *
 * Order of checks: #UD, privilege, the hypervisor's intercept, operands.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Instruction Intercepts".
 */
#include "x86/operand.h"
#include "x86/semantics.h"

/* -- ports ---------------------------------------------------------------------------- */
enum x86_result x86_io_allowed(struct x86 *x, u16 port, unsigned bytes)
{
	const struct x86_seg *tr = &x->seg[X86_TR];
	enum x86_result r;
	u16 base, map;
	u32 at;

	if (mode_real(x) || (x->cpl <= iopl(x) && !mode_vm86(x)))
		return X86_OK;
	if (!(tr->attr & X86_SEG_P) || !(tr->attr & 8) || tr->limit < 103)
		return raise_gp(x);
	r = x86_system_read(x, tr->base + 102, &base, 2);
	if (r)
		return r;
	at = base + port / 8u;
	if (at + 1 > tr->limit)
		return raise_gp(x);
	r = x86_system_read(x, tr->base + at, &map, 2);
	if (!r && ((u32)map >> (port & 7) & ((1u << bytes) - 1)))
		return raise_gp(x);
	return r;
}

static HANDLER(exec_in_out)
{
	bool in = i->form == X86_A_I || i->form == X86_A_DX;
	u16 port = i->form == X86_A_I || i->form == X86_I_A ? (u8)i->imm : (u16)x->gpr[X86_RDX];
	unsigned bytes = i->op_bytes > 4 ? 4 : i->op_bytes;
	enum x86_result r = x86_io_allowed(x, port, bytes);
	u32 v = 0;

	if (!r)
		r = intercept(x, i, X86_HOOK_IO,
			      port | (in ? X86_IO_IN : 0) | (u64)bytes << X86_IO_SIZE_SHIFT |
				      (u64)i->ad_bytes << X86_IO_AD_SHIFT);
	if (r)
		return r;
	if (!in)
		return x->bus->out(x, port, bytes, (u32)reg_get(x, X86_RAX, bytes));
	r = x->bus->in(x, port, bytes, &v);
	if (!r)
		reg_set(x, X86_RAX, v, bytes);
	return r;
}

/* -- identification, time, MSRs ------------------------------------------------------- */
static void set_eax_edx(struct x86 *x, u64 v)
{
	x->gpr[X86_RAX] = (u32)v;
	x->gpr[X86_RDX] = v >> 32;
}

static HANDLER(exec_cpuid)
{
	u32 a = (u32)x->gpr[X86_RAX], b = (u32)x->gpr[X86_RBX], c = (u32)x->gpr[X86_RCX],
	    d = (u32)x->gpr[X86_RDX];
	enum x86_result r = intercept(x, i, X86_HOOK_CPUID, 0);

	if (r)
		return r;
	x->bus->cpuid(x, &a, &b, &c, &d);
	x->gpr[X86_RAX] = a;
	x->gpr[X86_RBX] = b;
	x->gpr[X86_RCX] = c;
	x->gpr[X86_RDX] = d;
	return X86_OK;
}

/* RDTSC, RDTSCP */
static HANDLER(exec_rdtsc)
{
	bool p = i->op == X86_OP_RDTSCP;
	enum x86_result r;

	if ((x->cr4 & X86_CR4_TSD) && x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, p ? X86_HOOK_RDTSCP : X86_HOOK_RDTSC, 0);
	if (r)
		return r;
	set_eax_edx(x, x->bus->rdtsc(x));
	if (p)
		x->gpr[X86_RCX] = (u32)x->tsc_aux;
	return X86_OK;
}

static HANDLER(exec_rdpid)
{
	x->gpr[i->rm & 15] = x->tsc_aux;
	return X86_OK;
}

/* There are no counters: they read as zero. */
static HANDLER(exec_rdpmc)
{
	enum x86_result r;

	if (!(x->cr4 & X86_CR4_PCE) && x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_RDPMC, 0);
	if (!r && (u32)x->gpr[X86_RCX] > 5)
		r = raise_gp(x);
	if (!r)
		set_eax_edx(x, 0);
	return r;
}

static HANDLER(exec_rdmsr)
{
	u32 msr = (u32)x->gpr[X86_RCX];
	enum x86_result r;
	u64 v = 0;

	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_MSR_READ, msr);
	if (!r)
		r = x->bus->rdmsr(x, msr, &v);
	if (!r)
		set_eax_edx(x, v);
	return r;
}

static HANDLER(exec_wrmsr)
{
	u32 msr = (u32)x->gpr[X86_RCX];
	enum x86_result r;

	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_MSR_WRITE, msr);
	return r ? r : x->bus->wrmsr(x, msr, x->gpr[X86_RDX] << 32 | (u32)x->gpr[X86_RAX]);
}

/* -- TLB and caches ------------------------------------------------------------------- */
static HANDLER(exec_invlpg)
{
	u64 a = x86_effective_address(x, i);
	enum x86_result r;

	if (x->cpl != 0)
		return raise_gp(x);
	if (x->code_bits != 64)
		a = (u32)(a + x->seg[i->seg].base);
	else if (i->seg >= X86_FS)
		a += x->seg[i->seg].base;
	r = intercept(x, i, X86_HOOK_INVLPG, a);
	if (!r && is_canonical(x, a))
		x->bus->flush(x, X86_FLUSH_PAGE, a);
	return r;
}

static HANDLER(exec_invpcid)
{
	u64 type = reg_get(x, i->reg, x->code_bits == 64 ? 8 : 4), d[2];
	bool pcide = x->cr4 & X86_CR4_PCIDE;
	enum x86_result r;

	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_INVPCID, type);
	if (!r)
		r = x86_operand_read(x, i, 0, d, 16);
	if (r)
		return r;
	if (type > 3 || d[0] >> 12 || (type < 2 && !pcide && d[0]) ||
	    (type == 0 && !is_canonical(x, d[1])))
		return raise_gp(x);
	if (type == 0 && (!pcide || d[0] == (x->cr3 & 0xfff)))
		x->bus->flush(x, X86_FLUSH_PAGE, d[1]);
	else if (type == 1 && (!pcide || d[0] == (x->cr3 & 0xfff)))
		x->bus->flush(x, X86_FLUSH_LOCAL, 0);
	else
		x->bus->flush(x, X86_FLUSH_ALL, 0);
	return X86_OK;
}

/* INVD, WBINVD: memory is coherent. */
static HANDLER(exec_wbinvd)
{
	if (x->cpl != 0)
		return raise_gp(x);
	return intercept(x, i, i->op == X86_OP_INVD ? X86_HOOK_INVD : X86_HOOK_WBINVD, 0);
}

/* CLFLUSH and kin fault as a load of a byte would. */
static HANDLER(exec_clflush)
{
	u64 a;
	enum x86_result r = x86_linear(x, i->seg, x86_effective_address(x, i), 1, X86_READ, &a);

	return r ? r : x->bus->probe(x, a, 1, X86_READ | user_access(x));
}

/* A store may still be in the host's store buffer: the host's fence serves. */
static HANDLER(exec_fence)
{
	__asm__ volatile("mfence" : : : "memory");
	return X86_OK;
}

/* -- waiting -------------------------------------------------------------------------- */
static HANDLER(exec_hlt)
{
	enum x86_result r;

	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_HLT, 0);
	return r ? r : X86_HALT;
}

static HANDLER(exec_pause) { return intercept(x, i, X86_HOOK_PAUSE, 0); }

static HANDLER(exec_monitor)
{
	u64 ea = x->gpr[X86_RAX] & size_mask(i->ad_bytes), a;
	enum x86_result r;

	if (x->cpl != 0)
		return x86_raise(x, X86_UD);
	if ((u32)x->gpr[X86_RCX])
		return raise_gp(x);
	r = intercept(x, i, X86_HOOK_MONITOR, 0);
	if (!r)
		r = x86_linear(x, i->seg, ea, 1, X86_READ, &a);
	return r ? r : x->bus->probe(x, a, 1, X86_READ);
}

/* The monitored line may have been written at any time, so not waiting is right. */
static HANDLER(exec_mwait)
{
	if (x->cpl != 0)
		return x86_raise(x, X86_UD);
	if ((u32)x->gpr[X86_RCX] & ~1u)
		return raise_gp(x);
	return intercept(x, i, X86_HOOK_MWAIT, 0);
}

static HANDLER(exec_rsm)
{
	enum x86_result r = intercept(x, i, X86_HOOK_RSM, 0);

	return r ? r : x86_raise(x, X86_UD);
}

/* -- AMD-V: checks and intercepts here, the rest is the bus's ------------------------- */
static enum x86_result system_bus(struct x86 *x, const struct x86_insn *i)
{
	return x->bus->system ? x->bus->system(x, i) : X86_UNIMPLEMENTED;
}

static HANDLER(exec_vmmcall)
{
	enum x86_result r = intercept(x, i, X86_HOOK_VMMCALL, 0);

	return r ? r : x86_raise(x, X86_UD);
}

static enum x86_hook svm_hook(unsigned op)
{
	switch (op) {
	case X86_OP_VMRUN: return X86_HOOK_VMRUN;
	case X86_OP_VMLOAD: return X86_HOOK_VMLOAD;
	case X86_OP_VMSAVE: return X86_HOOK_VMSAVE;
	case X86_OP_STGI: return X86_HOOK_STGI;
	case X86_OP_CLGI: return X86_HOOK_CLGI;
	case X86_OP_SKINIT: return X86_HOOK_SKINIT;
	case X86_OP_INVLPGB: return X86_HOOK_INVLPGB;
	case X86_OP_TLBSYNC: return X86_HOOK_TLBSYNC;
	default: return X86_HOOK_INVLPGA;
	}
}

static HANDLER(exec_svm)
{
	enum x86_result r;

	if (!(x->efer & X86_EFER_SVME) || !mode_protected(x))
		return x86_raise(x, X86_UD);
	if (x->cpl != 0)
		return raise_gp(x);
	r = intercept(x, i, svm_hook(i->op), 0);
	return r ? r : system_bus(x, i);
}

/* -- FXSAVE, XSAVE and kin ------------------------------------------------------------ */
static HANDLER(exec_fxsave)
{
	if (x->cr0 & (X86_CR0_EM | X86_CR0_TS))
		return x86_raise(x, X86_NM);
	return system_bus(x, i);
}

static HANDLER(exec_xsave)
{
	if (!(x->cr4 & X86_CR4_OSXSAVE))
		return x86_raise(x, X86_UD);
	if (x->cr0 & X86_CR0_TS)
		return x86_raise(x, X86_NM);
	if ((i->op == X86_OP_XSAVES || i->op == X86_OP_XRSTORS) && x->cpl != 0)
		return raise_gp(x);
	return system_bus(x, i);
}

/* -- vector and x87: availability here, the rest is the bus's ------------------------- */
static enum x86_result vector_available(struct x86 *x, const struct x86_insn *i)
{
	unsigned encoding = i->encoding >> 4;
	/* On mask registers: AVX-512 in VEX. */
	bool mask = i->op >= X86_OP_KADDB && i->op <= X86_OP_KXORW;
	u64 need;

	if (encoding == X86_ENC_LEGACY || encoding == X86_ENC_3DNOW) {
		if (i->op == X86_OP_FWAIT)
			return (x->cr0 & (X86_CR0_MP | X86_CR0_TS)) == (X86_CR0_MP | X86_CR0_TS)
				? x86_raise(x, X86_NM) : X86_OK;
		if ((i->flags & X86_F_X87) && (i->encoding & 15) == X86_MAP_1)
			return x->cr0 & (X86_CR0_EM | X86_CR0_TS) ? x86_raise(x, X86_NM) : X86_OK;
		if (x->cr0 & X86_CR0_EM)
			return x86_raise(x, X86_UD);
		if (!(i->flags & X86_F_X87) && !(x->cr4 & X86_CR4_OSFXSR))
			return x86_raise(x, X86_UD);
		return x->cr0 & X86_CR0_TS ? x86_raise(x, X86_NM) : X86_OK;
	}
	need = encoding == X86_ENC_EVEX || mask ? 0xe6 : 6;
	if (!mode_protected(x) || !(x->cr4 & X86_CR4_OSXSAVE) || (x->xcr0 & need) != need)
		return x86_raise(x, X86_UD);
	return x->cr0 & X86_CR0_TS ? x86_raise(x, X86_NM) : X86_OK;
}

HANDLER(x86_exec_vector)
{
	enum x86_result r = vector_available(x, i);

	if (r)
		return r;
	return x->bus->vector ? x->bus->vector(x, i) : X86_UNIMPLEMENTED;
}

x86_exec_fn x86_bind_system(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_IN: case X86_OP_OUT: return exec_in_out;
	case X86_OP_CPUID: return exec_cpuid;
	case X86_OP_RDTSC: case X86_OP_RDTSCP: return exec_rdtsc;
	case X86_OP_RDPID: return exec_rdpid;
	case X86_OP_RDPMC: return exec_rdpmc;
	case X86_OP_RDMSR: return exec_rdmsr;
	case X86_OP_WRMSR: return exec_wrmsr;
	case X86_OP_INVLPG: return exec_invlpg;
	case X86_OP_INVPCID: return exec_invpcid;
	case X86_OP_INVD: case X86_OP_WBINVD: return exec_wbinvd;
	case X86_OP_CLFLUSH: case X86_OP_CLFLUSHOPT: case X86_OP_CLWB: return exec_clflush;
	case X86_OP_MFENCE: case X86_OP_SERIALIZE: return exec_fence;
	case X86_OP_HLT: return exec_hlt;
	case X86_OP_PAUSE: return exec_pause;
	case X86_OP_MONITOR: return exec_monitor;
	case X86_OP_MWAIT: return exec_mwait;
	case X86_OP_RSM: return exec_rsm;
	case X86_OP_VMMCALL: return exec_vmmcall;
	case X86_OP_VMRUN:
	case X86_OP_VMLOAD:
	case X86_OP_VMSAVE:
	case X86_OP_STGI:
	case X86_OP_CLGI:
	case X86_OP_SKINIT:
	case X86_OP_INVLPGA:
	case X86_OP_INVLPGB:
	case X86_OP_TLBSYNC:
		return exec_svm;
	case X86_OP_FXSAVE: case X86_OP_FXRSTOR: return exec_fxsave;
	case X86_OP_XSAVE: case X86_OP_XSAVEC: case X86_OP_XSAVEOPT: case X86_OP_XSAVES:
	case X86_OP_XRSTOR: case X86_OP_XRSTORS: return exec_xsave;
	default: return x86_exec_ud;
	}
}
