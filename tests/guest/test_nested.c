// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_nested.c - VMRUN and #VMEXIT of a guest's hypervisor: instructions, events, memory, state
 */
#include <pthread.h>

#include "tests/guest/nested.h"

/* --- VMRUN and #VMEXIT ------------------------------------------------------------------------------------ */

static void l2_runs_and_returns(void)
{
	struct kvm_regs r;
	struct tiny t;

	begin(&t, 0);
	l2_set(&t, L2(l2_plain));
	L2_EXITS(&t, VMEXIT_VMMCALL);
	r = tiny_regs(&t, 0);
	EXPECT_EQ(vmcb12(&t)->save.rax, 0x105);
	EXPECT_EQ(vmcb12(&t)->save.rip, L2(l2_loop) - 3);
	EXPECT_EQ(vmcb12(&t)->control.next_rip, L2(l2_loop));
	EXPECT_EQ(vmcb12(&t)->save.rsp, L2_STACK);
	EXPECT_EQ(r.rbx, 0x2222);		/* not in the VMCB: L2's */
	EXPECT_EQ(r.rax, VMCB12);		/* L1's are as before */
	EXPECT_EQ(r.rsp, TINY_STACK);
	EXPECT_EQ(vmcb12(&t)->save.efer & X86_EFER_SVME, X86_EFER_SVME);
	/* and again, from where it was */
	vmcb12(&t)->save.rip = vmcb12(&t)->control.next_rip;
	vmcb12(&t)->save.rip = L2(l2_plain);
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT_EQ(vmcb12(&t)->save.rax, 0x10a);
	tiny_destroy(&t);
}

/* An intercept bit is also the exit code. */
#define INSN(name, bit, next) { #name, bit, i_##name, i_##next }
static const struct { const char *name; u16 bit; const u8 *at, *next; } insns[] = {
	INSN(cpuid, VMCB_INTERCEPT_CPUID, hlt), INSN(hlt, VMCB_INTERCEPT_HLT, rdtsc), INSN(rdtsc, VMCB_INTERCEPT_RDTSC, rdtscp),
	INSN(rdtscp, VMCB_INTERCEPT_RDTSCP, rdpmc), INSN(rdpmc, VMCB_INTERCEPT_RDPMC, pushf),
	INSN(pushf, VMCB_INTERCEPT_PUSHF, popf), INSN(popf, VMCB_INTERCEPT_POPF, invd), INSN(invd, VMCB_INTERCEPT_INVD, wbinvd),
	INSN(wbinvd, VMCB_INTERCEPT_WBINVD, pause), INSN(pause, VMCB_INTERCEPT_PAUSE, invlpg),
	INSN(invlpg, VMCB_INTERCEPT_INVLPG, swint), INSN(swint, VMCB_INTERCEPT_INTN, icebp),
	INSN(icebp, VMCB_INTERCEPT_ICEBP, rsm), INSN(rsm, VMCB_INTERCEPT_RSM, vmload), INSN(vmload, VMCB_INTERCEPT_VMLOAD, vmsave),
	INSN(vmsave, VMCB_INTERCEPT_VMSAVE, vmrun), INSN(vmrun, VMCB_INTERCEPT_VMRUN, stgi), INSN(stgi, VMCB_INTERCEPT_STGI, clgi),
	INSN(clgi, VMCB_INTERCEPT_CLGI, skinit),
	INSN(invlpga, VMCB_INTERCEPT_INVLPGA, vmmcall), INSN(vmmcall, VMCB_INTERCEPT_VMMCALL, xsetbv),
	INSN(cr0_read, VMCB_INTERCEPT_CR_READ(0), cr3_write), INSN(cr3_write, VMCB_INTERCEPT_CR_WRITE(3), cr8_write),
	INSN(cr8_write, VMCB_INTERCEPT_CR_WRITE(8), clts), INSN(clts, VMCB_INTERCEPT_CR_WRITE(0), lmsw),
	INSN(lmsw, VMCB_INTERCEPT_CR0_SEL_WRITE, smsw), INSN(smsw, VMCB_INTERCEPT_CR_READ(0), cr0_write),
	INSN(dr7_read, VMCB_INTERCEPT_DR_READ(7), dr0_write), INSN(dr0_write, VMCB_INTERCEPT_DR_WRITE(0), sidt),
	INSN(sidt, VMCB_INTERCEPT_IDTR_READ, lidt), INSN(lidt, VMCB_INTERCEPT_IDTR_WRITE, sgdt),
	INSN(sgdt, VMCB_INTERCEPT_GDTR_READ, lgdt), INSN(lgdt, VMCB_INTERCEPT_GDTR_WRITE, sldt),
	INSN(sldt, VMCB_INTERCEPT_LDTR_READ, lldt), INSN(lldt, VMCB_INTERCEPT_LDTR_WRITE, str),
	INSN(str, VMCB_INTERCEPT_TR_READ, ltr), INSN(ltr, VMCB_INTERCEPT_TR_WRITE, iret), INSN(iret, VMCB_INTERCEPT_IRET, in),
	INSN(ud, VMCB_INTERCEPT_EXCEPTION(X86_UD), ud), INSN(div, VMCB_INTERCEPT_EXCEPTION(X86_DE), div),
	INSN(int3, VMCB_INTERCEPT_EXCEPTION(X86_BP), int3),
};

/* Every instruction that L1 intercepts is an exit to L1, before it. */
static void instructions_are_intercepted(void)
{
	struct tiny t;

	begin(&t, 0);
	for (unsigned n = 0; n < ARRAY_LEN(insns); n++) {
		const struct vmcb_control *c = &vmcb12(&t)->control;
		bool exception = insns[n].bit >= 64 && insns[n].bit < 96;

		l2_set(&t, L2(insns[n].at));
		intercept(&t, insns[n].bit);
		if (!L2_EXITS(&t, insns[n].bit))
			fprintf(stderr, "  (%s)\n", insns[n].name);
		EXPECT_EQ(vmcb12(&t)->save.rip, L2(insns[n].at));
		if (!exception && c->next_rip != L2(insns[n].next)) {
			fprintf(stderr, "  %s: next RIP %#llx\n", insns[n].name, (unsigned long long)c->next_rip);
			test_failures++;
		}
	}
	tiny_destroy(&t);
}

static void what_is_not_intercepted_is_ours(void)
{
	struct tiny t;

	begin(&t, 0);
	l2_set(&t, L2(l2_cpuid));
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT_EQ(tiny_regs(&t, 0).rbx, 0x68747541);
	/* VMMCALL is nobody's hypercall: #UD, which is L1's if it likes. */
	l2_set(&t, L2(i_vmmcall));
	intercept_not(&t, VMCB_INTERCEPT_VMMCALL);
	intercept(&t, VMCB_INTERCEPT_EXCEPTION(X86_UD));
	L2_EXITS(&t, VMEXIT_EXCP0 + X86_UD);
	tiny_destroy(&t);
}

/* L1 cannot intercept what its processor does not have: that is #UD. */
static void absent_instructions_are_undefined(void)
{
	struct tiny t;
	struct tiny_cpuid c;

	begin(&t, 0);
	tiny_cpuid_supported(&t, &c);
	tiny_leaf(&c, 0x80000001, 0)->edx &= ~(1u << 27);	/* RDTSCP; RDPID stays */
	MUST(cpu_ioctl(&t, 0, KVM_SET_CPUID2, &c));
	l2_set(&t, L2(i_rdtscp));
	intercept(&t, VMCB_INTERCEPT_RDTSCP);
	intercept(&t, VMCB_INTERCEPT_EXCEPTION(X86_UD));
	L2_EXITS(&t, VMEXIT_EXCP0 + X86_UD);
	EXPECT_EQ(vmcb12(&t)->save.rip, L2(i_rdtscp));
	l2_set(&t, L2(i_skinit));
	intercept(&t, VMCB_INTERCEPT_SKINIT);
	intercept(&t, VMCB_INTERCEPT_EXCEPTION(X86_UD));
	L2_EXITS(&t, VMEXIT_EXCP0 + X86_UD);
	tiny_destroy(&t);
}

static void ports_by_the_map(void)
{
	struct tiny t;

	begin(&t, 0);
	l2_set(&t, L2(l2_ports));
	intercept(&t, VMCB_INTERCEPT_IOIO_PROT);
	t.memory[IOPM + 0x71 / 8] = 1 << (0x71 % 8);
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);	/* 0x70 is the client's */
	EXPECT_EQ(t.cpu[0].run->io.port, 0x70);
	L2_EXITS(&t, VMEXIT_IOIO);
	EXPECT_EQ(vmcb12(&t)->save.rip, L2(l2_ports_2));
	EXPECT_EQ(vmcb12(&t)->control.exitinfo2, L2(l2_ports_2) + 2);
	EXPECT_EQ(vmcb12(&t)->control.exitinfo1 >> 16, 0x71);
	EXPECT_EQ(vmcb12(&t)->control.exitinfo1 & 0x71, 0x11);	/* IN of a byte */
	/* Two bytes at 0x6f are 0x6f and 0x70. */
	t.memory[IOPM + 0x70 / 8] = 1 << (0x70 % 8);
	l2_set(&t, L2(l2_straddle));
	intercept(&t, VMCB_INTERCEPT_IOIO_PROT);
	L2_EXITS(&t, VMEXIT_IOIO);
	EXPECT_EQ(vmcb12(&t)->control.exitinfo1 >> 16, 0x6f);
	tiny_destroy(&t);
}

static void msrs_by_the_map(void)
{
	struct tiny t;

	begin(&t, 0);
	t.memory[MSRPM + 0x800 + 0x102 / 4] = 2 << (0x102 % 4 * 2);	/* writes of KERNEL_GS_BASE */
	l2_set(&t, L2(l2_msrs));
	intercept(&t, VMCB_INTERCEPT_MSR_PROT);
	L2_EXITS(&t, VMEXIT_MSR);
	EXPECT_EQ(vmcb12(&t)->save.rip, L2(l2_msrs_2));
	EXPECT_EQ(vmcb12(&t)->control.exitinfo1, 1);
	l2_set(&t, L2(l2_msr_high));		/* in no map */
	intercept(&t, VMCB_INTERCEPT_MSR_PROT);
	L2_EXITS(&t, VMEXIT_MSR);
	EXPECT_EQ(vmcb12(&t)->control.exitinfo1, 0);
	l2_set(&t, L2(l2_lstar));		/* VMRUN does not switch it */
	intercept(&t, VMCB_INTERCEPT_MSR_PROT);
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT_EQ(vmcb12(&t)->save.rax, 0x1234);
	EXPECT_EQ(tiny_msr(&t, 0, X86_MSR_LSTAR), 0x1234);
	tiny_destroy(&t);
}

static void vmload_and_vmsave(void)
{
	struct kvm_regs r;
	struct tiny t;
	struct vmcb *a, *b;

	begin(&t, 0);
	a = (struct vmcb *)(t.memory + VMCB12_AREA);
	b = a + 1;
	a->save.fs = (struct x86_seg){ 0x10, 0xc93, ~0u, 0x1000 };
	a->save.gs = (struct x86_seg){ 0x18, 0xc93, ~0u, 0xffff800000000000ull };
	a->save.ldtr = (struct x86_seg){ 0, 0x82, 0xfff, 0x3000 };
	a->save.tr = (struct x86_seg){ SEL_TSS, 0x8b, 0xfff, TINY_TSS };
	a->save.star = 0x1111;
	a->save.lstar = 0x2222;
	a->save.cstar = 0x3333;
	a->save.sfmask = 0x4444;
	a->save.kernel_gs_base = 0x5555;
	a->save.sysenter_cs = 0x66;
	a->save.sysenter_esp = 0x7777;
	a->save.sysenter_eip = 0x8888;
	r = tiny_regs(&t, 0);
	r.rip = L2(l1_area);
	tiny_set_regs(&t, 0, &r);
	EXPECT_DONE(&t, 0);
	EXPECT(!memcmp(&a->save.fs, &b->save.fs, 32));
	EXPECT(!memcmp(&a->save.ldtr, &b->save.ldtr, 16));
	EXPECT(!memcmp(&a->save.tr, &b->save.tr, 16));
	EXPECT(!memcmp(&a->save.star, &b->save.star, 64));
	EXPECT_EQ(b->save.rax, 0);
	EXPECT_EQ(tiny_msr(&t, 0, X86_MSR_KERNEL_GS_BASE), 0x5555);
	tiny_destroy(&t);
}

/* --- what VMRUN refuses ------------------------------------------------------------------------------------ */

static void l1_faults(struct tiny *t, unsigned vector, u64 rax)
{
	struct kvm_regs r = tiny_regs(t, 0);

	l2_set(t, L2(l2_plain));
	r.rip = L2(i_vmrun);
	r.rax = rax;
	tiny_set_regs(t, 0, &r);
	EXPECT_VECTOR(t, 0, vector);
	tiny_start(t, 0, TINY_64);
}

static void vmrun_faults(void)
{
	struct kvm_sregs s;
	struct tiny t;

	begin(&t, 0);
	tiny_start(&t, 0, TINY_64);			/* EFER.SVME is clear */
	l1_faults(&t, X86_UD, VMCB12);
	tiny_destroy(&t);
	static const u64 bad[] = { VMCB12 + 8, 1ull << 52, 0x40000000 };
	for (unsigned n = 0; n < ARRAY_LEN(bad); n++) {
		begin(&t, 0);
		s = tiny_sregs(&t, 0);
		EXPECT(s.efer & X86_EFER_SVME);
		l1_faults(&t, X86_GP, bad[n]);
		tiny_destroy(&t);
	}
}

static void invalid_vmcbs_are_refused(void)
{
	struct tiny t;

	begin(&t, 0);
#define INVALID(change) do { \
		struct vmcb *v = vmcb12(&t); \
		l2_set(&t, L2(l2_plain)); \
		change; \
		L2_EXITS(&t, VMEXIT_INVALID); \
	} while (0)
	INVALID(intercept_not(&t, VMCB_INTERCEPT_VMRUN); (void)v);
	INVALID(v->control.asid = 0);
	INVALID(v->control.tlb_control = 2);
	INVALID(v->control.iopm_base_pa = 1ull << 60);
	INVALID(v->control.msrpm_base_pa = ~0ull);
	INVALID(v->control.msrpm_base_pa = 0x40000000; intercept(&t, VMCB_INTERCEPT_MSR_PROT));	/* no such memory */
	INVALID(v->control.eventinj = VMCB_EVENT_V | 1 << 8 | 5);
	INVALID(v->control.eventinj = VMCB_EVENT_V | 3 << 8 | 2);
	INVALID(v->control.eventinj = VMCB_EVENT_V | 3 << 8 | 32);
	INVALID(v->save.efer &= ~X86_EFER_SVME);
	INVALID(v->save.efer |= 1ull << 40);
	INVALID(v->save.cr0 |= 1ull << 32);
	INVALID(v->save.cr0 |= X86_CR0_NW);
	INVALID(v->save.cr0 &= ~X86_CR0_PE);
	INVALID(v->save.cr3 |= 1ull << 60);
	INVALID(v->save.cr4 &= ~X86_CR4_PAE);
	INVALID(v->save.cr4 |= 1ull << 40);
	INVALID(v->save.dr6 |= 1ull << 32);
	INVALID(v->save.dr7 |= 1ull << 32);
	INVALID(v->save.cs.attr |= X86_SEG_DB);
	/* A reserved bit in PAE's root, which VMRUN loads, of an entry that is not used. */
	INVALID(v->save.efer &= ~(u64)(X86_EFER_LME | X86_EFER_LMA); v->save.cr3 = NPT;
		*(u64 *)(t.memory + NPT + 24) = BIT_U64(52) | 1);
#undef INVALID
	l2_set(&t, L2(l2_plain));
	L2_EXITS(&t, VMEXIT_VMMCALL);
	tiny_destroy(&t);
}

/* What L1 writes to its VMCB while L2 runs is too late. */
static void the_vmcb_is_copied_once(void)
{
	struct tiny t;

	begin(&t, 0);
	l2_set(&t, L2(l2_cpuid));
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
	intercept(&t, VMCB_INTERCEPT_CPUID);
	vmcb12(&t)->save.rip = 0;
	vmcb12(&t)->control.asid = 0;
	if (moving)
		move(&t);
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT_EQ(vmcb12(&t)->control.asid, 0);		/* and is not written back */
	tiny_destroy(&t);
}

/* --- events -------------------------------------------------------------------------------------------------- */

static void injected_events_arrive(void)
{
	static const struct { u64 event; unsigned vector; bool error; } cases[] = {
		{ VMCB_EVENT_V | X86_EVENT_INTR << 8 | 0x40, 0x40, false },
		{ VMCB_EVENT_V | X86_EVENT_NMI << 8 | 2, 2, false },
		{ VMCB_EVENT_V | X86_EVENT_EXCEPTION << 8 | X86_UD, X86_UD, false },
		{ VMCB_EVENT_V | VMCB_EVENT_EV | 0x1234ull << 32 | X86_EVENT_EXCEPTION << 8 | X86_GP, X86_GP, true },
		{ VMCB_EVENT_V | X86_EVENT_SOFT << 8 | 0x81, 0x81, false },
		{ VMCB_EVENT_V | X86_EVENT_EXCEPTION << 8 | X86_BP, X86_BP, false },
	};
	struct tiny t;

	for (unsigned n = 0; n < 2 * ARRAY_LEN(cases); n++) {
		u64 rip = L2(l2_plain);
		bool soft = VMCB_EVENT_TYPE(cases[n / 2].event) == X86_EVENT_SOFT || cases[n / 2].vector == X86_BP;

		begin(&t, 0);
		l2_set(&t, rip);
		if (n % 2)
			npt_set(&t);
		vmcb12(&t)->control.eventinj = cases[n / 2].event;
		vmcb12(&t)->control.next_rip = rip + 2;
		tiny_gate(&t, TINY_64, cases[n / 2].vector, L2(l2_handler));
		L2_EXITS(&t, VMEXIT_VMMCALL);
		EXPECT_EQ(tiny_regs(&t, 0).rbx, cases[n / 2].error ? 0x1234 : soft ? rip + 2 : rip);
		EXPECT_EQ(vmcb12(&t)->control.eventinj & VMCB_EVENT_V, 0);
		EXPECT_EQ(vmcb12(&t)->control.exitintinfo, 0);
		tiny_destroy(&t);
	}
}

/* The stack is not there: the exit says what was being delivered. */
static void an_exit_in_delivery_says_so(void)
{
	struct tiny t;
	u64 event = VMCB_EVENT_V | X86_EVENT_INTR << 8 | 0x40;

	begin(&t, 0);
	l2_set(&t, L2(l2_plain));
	npt_set(&t);
	tiny_gate(&t, TINY_64, 0x40, L2(l2_handler));
	vmcb12(&t)->save.rsp = L1_DATA + 0x800;
	tiny_put(&t, npt_entry(L1_DATA), 8, 0);
	vmcb12(&t)->control.eventinj = event;
	L2_EXITS(&t, VMEXIT_NPF);
	EXPECT_EQ(vmcb12(&t)->control.exitintinfo, event);
	EXPECT_EQ(vmcb12(&t)->control.exitinfo2 & ~0xfffull, L1_DATA);
	EXPECT_EQ(vmcb12(&t)->save.rip, L2(l2_plain));
	/* L1 maps it and injects it again. */
	tiny_put(&t, npt_entry(L1_DATA), 8, L1_DATA | 7);
	vmcb12(&t)->control.eventinj = event;
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT_EQ(tiny_regs(&t, 0).rbx, L2(l2_plain));
	tiny_destroy(&t);
}

static void exceptions_of_l2(void)
{
	struct tiny t;

	begin(&t, 0);
	l2_set(&t, L2(l2_ud));			/* not intercepted: L2's handler */
	tiny_gate(&t, TINY_64, X86_UD, L2(l2_handler));
	L2_EXITS(&t, VMEXIT_VMMCALL);
	l2_set(&t, L2(l2_ud));
	intercept(&t, VMCB_INTERCEPT_EXCEPTION(X86_UD));
	L2_EXITS(&t, VMEXIT_EXCP0 + X86_UD);
	/* A page fault: error code and address, and CR2 is left alone. */
	tiny_put(&t, tiny_pte(L1_DATA), 8, 0);
	l2_set(&t, L2(l2_write));
	vmcb12(&t)->save.cr2 = 0x1234;
	intercept(&t, VMCB_INTERCEPT_EXCEPTION(X86_PF));
	L2_EXITS(&t, VMEXIT_EXCP0 + X86_PF);
	EXPECT_EQ(vmcb12(&t)->control.exitinfo1, 2);
	EXPECT_EQ(vmcb12(&t)->control.exitinfo2, L1_DATA);
	EXPECT_EQ(vmcb12(&t)->save.cr2, 0x1234);
	/* No handler can run: shutdown. */
	l2_set(&t, L2(l2_ud));
	vmcb12(&t)->save.idtr.limit = 0;
	L2_EXITS(&t, VMEXIT_SHUTDOWN);
	tiny_destroy(&t);
}

static void shutdown_that_l1_does_not_want(void)
{
	struct tiny t;

	begin(&t, 0);
	l2_set(&t, L2(l2_ud));
	intercept_not(&t, VMCB_INTERCEPT_SHUTDOWN);
	vmcb12(&t)->save.idtr.limit = 0;
	run_to_move(&t);
	EXPECT_EXIT(&t, 0, KVM_EXIT_SHUTDOWN);
	tiny_destroy(&t);
}

/* --- interrupts ------------------------------------------------------------------------------------------------ */

/* A fixed interrupt to the boot processor. */
static void send(struct tiny *t, unsigned vector)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = vector };

	EXPECT_EQ(vm_ioctl(t, KVM_SIGNAL_MSI, &msi), 1);
}

static void apic_on(struct tiny *t)
{
	struct kvm_lapic_state lapic;

	MUST(cpu_ioctl(t, 0, KVM_GET_LAPIC, &lapic));
	lapic.regs[0xf0] = (char)0xff;
	lapic.regs[0xf1] = 1;
	MUST(cpu_ioctl(t, 0, KVM_SET_LAPIC, &lapic));
}

static void l1_flags(struct tiny *t, u64 flags)
{
	struct kvm_regs r = tiny_regs(t, 0);

	r.rflags |= flags;
	tiny_set_regs(t, 0, &r);
}

/* An interrupt for L1 ends L2's run; L1 takes it when it sets GIF. */
static void interrupts_exit_to_l1(void)
{
	struct kvm_regs r;
	struct tiny t;

	for (unsigned masking = 0; masking < 2; masking++) {
		begin(&t, TINY_IRQCHIP);
		apic_on(&t);
		l2_set(&t, L2(l2_loop));
		npt_set(&t);
		intercept(&t, VMCB_INTERCEPT_INTR);
		if (masking)		/* L1's IF counts */
			vmcb12(&t)->control.int_ctl = VMCB_INT_CTL_MASKING;
		else
			vmcb12(&t)->save.rflags |= X86_FLAG_IF;
		l1_flags(&t, masking ? X86_FLAG_IF : 0);
		run_to_move(&t);
		send(&t, 0x51);
		L2_EXITS(&t, VMEXIT_INTR);
		EXPECT_EQ(vmcb12(&t)->control.exitintinfo, 0);
		r = tiny_regs(&t, 0);		/* GIF is clear: not yet */
		r.rip = L2(l1_stgi);
		tiny_set_regs(&t, 0, &r);
		EXPECT_VECTOR(&t, 0, 0x51);
		tiny_destroy(&t);
	}
}

/* With an event to inject and an interrupt waiting: both, in that order. */
static void injection_comes_before_interrupts(void)
{
	struct tiny t;

	begin(&t, TINY_IRQCHIP);
	apic_on(&t);
	l2_set(&t, L2(l2_loop));
	npt_set(&t);
	intercept(&t, VMCB_INTERCEPT_INTR);
	vmcb12(&t)->control.int_ctl = VMCB_INT_CTL_MASKING;
	vmcb12(&t)->control.eventinj = VMCB_EVENT_V | X86_EVENT_EXCEPTION << 8 | X86_UD;
	tiny_gate(&t, TINY_64, X86_UD, L2(l2_plain));
	l1_flags(&t, X86_FLAG_IF);
	t.cpu[0].run->immediate_exit = 1;
	EXPECT_EQ(tiny_run(&t, 0), -EINTR);
	t.cpu[0].run->immediate_exit = 0;
	/* Interrupts of L1 are masked by STI's shadow until VMRUN is over. */
	struct kvm_vcpu_events e;
	MUST(cpu_ioctl(&t, 0, KVM_GET_VCPU_EVENTS, &e));
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	struct kvm_regs r = tiny_regs(&t, 0);
	r.rip = L2(i_vmrun);
	r.rax = VMCB12;
	tiny_set_regs(&t, 0, &r);
	MUST(cpu_ioctl(&t, 0, KVM_SET_VCPU_EVENTS, &e));
	memcpy(t.memory + L2(i_stgi), "\xe6\xff", 2);	/* behind VMRUN: DONE */
	send(&t, 0x51);
	L2_EXITS(&t, VMEXIT_INTR);
	EXPECT_EQ(vmcb12(&t)->control.exitintinfo, 0);
	EXPECT_EQ(vmcb12(&t)->save.rip, L2(l2_plain));
	EXPECT_EQ(vmcb12(&t)->save.rsp, L2_STACK - 40);
	tiny_destroy(&t);
}

static void nmis_exit_to_l1(void)
{
	struct kvm_regs r;
	struct tiny t;

	begin(&t, TINY_IRQCHIP);
	l2_set(&t, L2(l2_loop));
	npt_set(&t);
	intercept(&t, VMCB_INTERCEPT_NMI);
	run_to_move(&t);
	MUST(cpu_ioctl(&t, 0, KVM_NMI, NULL));
	L2_EXITS(&t, VMEXIT_NMI);
	r = tiny_regs(&t, 0);
	r.rip = L2(l1_stgi);
	tiny_set_regs(&t, 0, &r);
	EXPECT_VECTOR(&t, 0, X86_NMI);
	tiny_destroy(&t);
}

/* What L1 does not intercept is L2's. */
static void interrupts_that_l1_lets_through(void)
{
	struct tiny t;

	begin(&t, TINY_IRQCHIP);
	apic_on(&t);
	l2_set(&t, L2(l2_sti));
	run_to_move(&t);
	send(&t, 0x52);
	EXPECT_VECTOR(&t, 0, 0x52);		/* L2's IDT is L1's: but the code is L2's */
	EXPECT_EQ(tiny_regs(&t, 0).rsp, L2_STACK - 40);
	tiny_destroy(&t);
}

static void clgi_holds_everything(void)
{
	struct kvm_regs r;
	struct tiny t;

	begin(&t, TINY_IRQCHIP);
	apic_on(&t);
	r = tiny_regs(&t, 0);
	r.rip = L2(l1_clgi_hlt);
	tiny_set_regs(&t, 0, &r);
	send(&t, 0x53);
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);	/* IF is set, but */
	EXPECT(tiny_is_out(t.cpu[0].run, PORT_MOVE));
	MUST(cpu_ioctl(&t, 0, KVM_NMI, NULL));
	if (moving)
		move(&t);
	EXPECT_VECTOR(&t, 0, X86_NMI);
	tiny_destroy(&t);
}

/* L1's virtual interrupt for L2, and the window that its intercept is. */
static void virtual_interrupts(void)
{
	u64 v_irq = VMCB_INT_CTL_MASKING | VMCB_INT_CTL_V_IRQ | 0xfull << VMCB_INT_CTL_PRIO_SHIFT;
	struct tiny t;

	begin(&t, 0);
	tiny_gate(&t, TINY_64, 0x61, L2(l2_handler));
	l2_set(&t, L2(l2_sti));
	vmcb12(&t)->control.int_ctl = v_irq | 0x61ull << VMCB_INT_CTL_VECTOR_SHIFT;
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT_EQ(tiny_regs(&t, 0).rbx, L2(l2_hlt) - 4);	/* behind the NOP behind STI */
	EXPECT_EQ(vmcb12(&t)->control.int_ctl & VMCB_INT_CTL_V_IRQ, 0);
	l2_set(&t, L2(l2_sti));
	vmcb12(&t)->control.int_ctl = v_irq;
	intercept(&t, VMCB_INTERCEPT_VINTR);
	L2_EXITS(&t, VMEXIT_VINTR);
	EXPECT_EQ(vmcb12(&t)->save.rip, L2(l2_hlt) - 4);
	EXPECT_EQ(vmcb12(&t)->control.int_ctl & VMCB_INT_CTL_V_IRQ, VMCB_INT_CTL_V_IRQ);
	/* IF stays clear: it pends. */
	l2_set(&t, L2(l2_cli));
	vmcb12(&t)->control.int_ctl = v_irq;
	intercept(&t, VMCB_INTERCEPT_VINTR);
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT_EQ(vmcb12(&t)->control.int_ctl & VMCB_INT_CTL_V_IRQ, VMCB_INT_CTL_V_IRQ);
	tiny_destroy(&t);
}

static void *send_later(void *t)
{
	usleep(20000);
	send(t, 0x62);
	return NULL;
}

/* HLT of L2 ends by an interrupt that L1 has given it; if its priority does. */
static void virtual_interrupts_end_hlt(void)
{
	u64 v_irq = VMCB_INT_CTL_MASKING | VMCB_INT_CTL_V_IRQ | 0x61ull << VMCB_INT_CTL_VECTOR_SHIFT | 5;
	pthread_t sender;
	struct tiny t;

	begin(&t, TINY_IRQCHIP);
	apic_on(&t);
	tiny_gate(&t, TINY_64, 0x61, L2(l2_handler));
	l2_set(&t, L2(l2_hlt));
	vmcb12(&t)->control.int_ctl = v_irq | 6ull << VMCB_INT_CTL_PRIO_SHIFT;
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT_EQ(tiny_regs(&t, 0).rbx, L2(l2_hlt_end));
	EXPECT_EQ(vmcb12(&t)->control.int_ctl & VMCB_INT_CTL_V_IRQ, 0);
	l2_set(&t, L2(l2_hlt));
	vmcb12(&t)->control.int_ctl = v_irq | VMCB_INT_CTL_IGN_TPR;
	intercept(&t, VMCB_INTERCEPT_VINTR);
	L2_EXITS(&t, VMEXIT_VINTR);
	EXPECT_EQ(vmcb12(&t)->save.rip, L2(l2_hlt_end));
	/* Not this one: another does. */
	l2_set(&t, L2(l2_hlt));
	l1_flags(&t, X86_FLAG_IF);
	vmcb12(&t)->control.int_ctl = v_irq | 5ull << VMCB_INT_CTL_PRIO_SHIFT;
	intercept(&t, VMCB_INTERCEPT_INTR);
	run_to_move(&t);
	EXPECT_EQ(pthread_create(&sender, NULL, send_later, &t), 0);
	L2_EXITS(&t, VMEXIT_INTR);
	pthread_join(sender, NULL);
	EXPECT_EQ(vmcb12(&t)->control.int_ctl & VMCB_INT_CTL_V_IRQ, VMCB_INT_CTL_V_IRQ);
	tiny_destroy(&t);
}

static void virtual_tpr(void)
{
	struct kvm_regs r;
	struct tiny t;

	for (unsigned flags = 0; flags < 2; flags++) {
		begin(&t, flags ? TINY_IRQCHIP : 0);
		l2_set(&t, L2(l2_tpr));
		vmcb12(&t)->control.int_ctl = VMCB_INT_CTL_MASKING | 3;
		L2_EXITS(&t, VMEXIT_VMMCALL);
		r = tiny_regs(&t, 0);
		EXPECT_EQ(r.rbx, 3);
		EXPECT_EQ(r.rdx, 5);
		EXPECT_EQ(vmcb12(&t)->control.int_ctl & VMCB_INT_CTL_V_TPR, 5);
		EXPECT_EQ(tiny_sregs(&t, 0).cr8, 0);		/* L1's own */
		tiny_destroy(&t);
	}
}

static void tsc_offset(void)
{
	struct tiny t;
	u64 offset = 1ull << 60;

	begin(&t, 0);
	l2_set(&t, L2(l2_tsc));
	vmcb12(&t)->control.tsc_offset = offset;
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT(tiny_regs(&t, 0).rbx >= offset);
	/* KVM_SET_MSRS of a TSC synchronizes it with that of the new VM: it may go back. */
	EXPECT(moving ? vmcb12(&t)->save.rax >= offset : vmcb12(&t)->save.rax >= tiny_regs(&t, 0).rbx);
	l2_set(&t, L2(l2_tsc));
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT(vmcb12(&t)->save.rax < offset);
	tiny_destroy(&t);
}

/* --- nested paging ------------------------------------------------------------------------------------------------ */

static void nested_tables_translate(void)
{
	struct tiny t;

	begin(&t, 0);
	l2_set(&t, L2(l2_read));
	npt_set(&t);
	tiny_put(&t, L1_DATA, 8, 0x1111);
	tiny_put(&t, L1_DATA + 0x1000, 8, 0x2222);
	tiny_put(&t, npt_entry(L1_DATA), 8, (L1_DATA + 0x1000) | 7);
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT_EQ(tiny_regs(&t, 0).rbx, 0x2222);
	EXPECT_EQ(tiny_get(&t, npt_entry(L1_DATA), 8) & 0x60, 0x20);	/* accessed, not dirty */
	/* Changed, and flushed by what L1 says. */
	for (unsigned how = 0; how < 3; how++) {
		u64 page = how & 1 ? 0x1000 : 0;

		l2_set(&t, L2(l2_read));
		npt_set(&t);
		tiny_put(&t, npt_entry(L1_DATA), 8, (L1_DATA + page) | 7);
		vmcb12(&t)->control.tlb_control = how == 0 ? VMCB_TLB_FLUSH_ALL : how == 1 ? VMCB_TLB_FLUSH_ASID : 0;
		if (how == 2)
			vmcb12(&t)->control.asid = 2;
		L2_EXITS(&t, VMEXIT_VMMCALL);
		EXPECT_EQ(tiny_regs(&t, 0).rbx, how & 1 ? 0x2222 : 0x1111);
	}
	tiny_destroy(&t);
}

static void nested_page_faults(void)
{
	static const struct { const u8 *at; u64 entry; u64 error; u64 rip_is_data; } cases[] = {
		{ l2_read, 0, X86_PF_U, 0 },
		{ l2_write, 0, X86_PF_U | X86_PF_W, 0 },
		{ l2_write, L1_DATA | 5, X86_PF_U | X86_PF_W | X86_PF_P, 0 },
		{ l2_read, L1_DATA | 3, X86_PF_U | X86_PF_P, 0 },			/* supervisor only */
		{ l2_fetch, L1_DATA | 7 | 1ull << 63, X86_PF_U | X86_PF_P | X86_PF_I, 1 },
		{ l2_read, L1_DATA | 7 | 1ull << 51, X86_PF_U | X86_PF_P | X86_PF_RSVD, 0 },
	};
	struct tiny t;

	begin(&t, 0);
	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		l2_set(&t, L2(cases[n].at));
		npt_set(&t);
		vmcb12(&t)->control.asid = n + 1;
		tiny_put(&t, npt_entry(L1_DATA), 8, cases[n].entry);
		L2_EXITS(&t, VMEXIT_NPF);
		EXPECT_EQ(vmcb12(&t)->control.exitinfo1, cases[n].error | VMCB_NPF_FINAL);
		EXPECT_EQ(vmcb12(&t)->control.exitinfo2, L1_DATA);
		EXPECT_EQ(vmcb12(&t)->save.rip, cases[n].rip_is_data ? L1_DATA : L2(cases[n].at));
		/* Repaired, without a flush: a permission was added. */
		if (n < 3) {
			tiny_put(&t, npt_entry(L1_DATA), 8, L1_DATA | 7);
			L2_EXITS(&t, VMEXIT_VMMCALL);
		}
	}
	/* L2's page tables are not there: L1 learns that they were being walked. */
	l2_set(&t, L2(l2_read));
	npt_set(&t);
	vmcb12(&t)->control.asid = 20;
	tiny_put(&t, npt_entry(TINY_PT), 8, 0);
	L2_EXITS(&t, VMEXIT_NPF);
	EXPECT_EQ(vmcb12(&t)->control.exitinfo1 & ~(u64)X86_PF_W, X86_PF_U | VMCB_NPF_TABLE);
	EXPECT_EQ(vmcb12(&t)->control.exitinfo2 & ~0xfffull, TINY_PT);
	tiny_destroy(&t);
}

/* Device memory that L1 gives to L2 is emulated by us: L2-linear to L2- to L1-physical. */
static void devices_of_l1(void)
{
	struct tiny t;

	begin(&t, 0);
	l2_set(&t, L2(l2_device));
	npt_set(&t);
	tiny_put(&t, NPT + 0x2000 + 2 * 8, 8, 0x600000 | 0x87);		/* 4 MiB is 6 MiB to L1 */
	EXPECT_MMIO_WRITE(&t, 0, 0x600010, 1, 0x42);
	L2_EXITS(&t, VMEXIT_VMMCALL);
	tiny_destroy(&t);
}

static void writes_of_l2_are_logged(void)
{
	u64 log[16] = { 0 };
	struct kvm_dirty_log get = { .dirty_bitmap = log };
	struct tiny t;

	begin(&t, 0);
	l2_set(&t, L2(l2_write));
	npt_set(&t);
	L2_EXITS(&t, VMEXIT_VMMCALL);
	MUST(tiny_slot(&t, 0, 0, t.memory, TINY_BYTES, KVM_MEM_LOG_DIRTY_PAGES));
	l2_set(&t, L2(l2_read));
	npt_set(&t);
	L2_EXITS(&t, VMEXIT_VMMCALL);
	if (!moving) {		/* a moved guest has another slot */
		MUST(vm_ioctl(&t, KVM_GET_DIRTY_LOG, &get));
		EXPECT(!(log[L1_DATA >> 18] >> (L1_DATA >> 12 & 63) & 1));
	}
	l2_set(&t, L2(l2_write));
	npt_set(&t);
	L2_EXITS(&t, VMEXIT_VMMCALL);
	if (!moving) {
		MUST(vm_ioctl(&t, KVM_GET_DIRTY_LOG, &get));
		EXPECT(log[L1_DATA >> 18] >> (L1_DATA >> 12 & 63) & 1);
		EXPECT(log[VMCB12 >> 18] >> (VMCB12 >> 12 & 63) & 1);
	}
	tiny_destroy(&t);
}

/* Memory that the client takes away under L2 is gone. */
static void slots_change_under_l2(void)
{
	struct tiny t;
	u8 *other = tiny_pages(0x1000);

	begin(&t, 0);
	/* Memory in three slots, so that L1_DATA has one of its own. */
	MUST(tiny_slot(&t, 0, 0, t.memory, 0, 0));
	MUST(tiny_slot(&t, 0, 0, t.memory, L1_DATA, 0));
	MUST(tiny_slot(&t, 1, L1_DATA, t.memory + L1_DATA, 0x1000, 0));
	MUST(tiny_slot(&t, 2, L1_DATA + 0x1000, t.memory + L1_DATA + 0x1000, TINY_BYTES - L1_DATA - 0x1000, 0));
	tiny_put(&t, L1_DATA, 8, 0x1111);
	other[0] = 0x33;
	l2_set(&t, L2(l2_read));
	npt_set(&t);
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
	EXPECT_EQ(tiny_regs(&t, 0).rbx, 0x1111);
	MUST(tiny_slot(&t, 1, L1_DATA, t.memory + L1_DATA, 0, 0));
	MUST(tiny_slot(&t, 1, L1_DATA, other, 0x1000, 0));
	EXPECT_DONE(&t, 0);
	l2_set(&t, L2(l2_read));
	npt_set(&t);
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
	EXPECT_EQ(tiny_regs(&t, 0).rbx, 0x33);
	/* Even the VMCB itself: L1 has nowhere to go on. */
	MUST(tiny_slot(&t, 2, L1_DATA + 0x1000, t.memory, 0, 0));
	EXPECT_EXIT(&t, 0, KVM_EXIT_SHUTDOWN);
	munmap(other, 0x1000);
	tiny_destroy(&t);
}

/* --- leaving by force, and the state ioctls -------------------------------------------------------------------------- */

static void reset_leaves_l2(void)
{
	struct { struct kvm_nested_state head; u8 vmcb[4096]; } nested = { .head.size = sizeof(nested) };
	struct tiny t;

	begin(&t, 0);
	l2_set(&t, L2(l2_loop));
	npt_set(&t);
	run_to_move(&t);
	MUST(cpu_ioctl(&t, 0, KVM_GET_NESTED_STATE, &nested));
	EXPECT_EQ(nested.head.flags, KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_GIF_SET);
	EXPECT_EQ(nested.head.size, sizeof(nested));
	EXPECT_EQ(nested.head.hdr.svm.vmcb_pa, VMCB12);
	tiny_start(&t, 0, TINY_64);		/* EFER.SVME is clear */
	nested.head.size = sizeof(nested);
	MUST(cpu_ioctl(&t, 0, KVM_GET_NESTED_STATE, &nested));
	EXPECT_EQ(nested.head.flags, KVM_STATE_NESTED_GIF_SET);
	EXPECT_EQ(nested.head.size, sizeof(nested.head));
	EXPECT_VECTOR(&t, 0, X86_UD);		/* VMRUN */
	tiny_destroy(&t);
}

static void init_in_l2(void)
{
	struct kvm_regs r;
	struct tiny t;

	begin(&t, TINY_IRQCHIP);
	apic_on(&t);
	l2_set(&t, L2(l2_loop));
	intercept(&t, VMCB_INTERCEPT_INIT);
	run_to_move(&t);
	EXPECT_EQ(vm_ioctl(&t, KVM_SIGNAL_MSI, &(struct kvm_msi){ .address_lo = 0xfee00000, .data = 0x500 }), 1);
	L2_EXITS(&t, VMEXIT_INIT);
	/* With GIF it happens, and the boot processor begins at its reset vector: no memory is there. */
	r = tiny_regs(&t, 0);
	r.rip = L2(l1_stgi);
	tiny_set_regs(&t, 0, &r);
	(void)tiny_run(&t, 0);
	EXPECT_EQ(tiny_sregs(&t, 0).cs.base, 0xffff0000);
	EXPECT_EQ(tiny_sregs(&t, 0).efer, 0);
	tiny_destroy(&t);
}

static void state_is_checked(void)
{
	static struct { struct kvm_nested_state head; struct vmcb vmcb; } good, s;
	struct tiny t;

	begin(&t, 0);
	good.head.size = sizeof(good.head);
	l2_set(&t, L2(l2_plain));
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_NESTED_STATE, &good), -E2BIG);
	EXPECT_EQ(good.head.size, sizeof(good));
	MUST(cpu_ioctl(&t, 0, KVM_GET_NESTED_STATE, &good));
	EXPECT_EQ(good.head.format, KVM_STATE_NESTED_FORMAT_SVM);
#define REFUSED(change) do { s = good; change; EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_NESTED_STATE, &s), -EINVAL); } while (0)
	REFUSED(s.head.format = 0);
	REFUSED(s.head.flags |= 8);
	REFUSED(s.head.flags = KVM_STATE_NESTED_RUN_PENDING);
	REFUSED(s.head.size = 8);
	REFUSED(s.head.size = sizeof(s.head) + 100);
	REFUSED(s.head.hdr.svm.vmcb_pa = 0x123);
	REFUSED(s.head.hdr.svm.vmcb_pa = 1ull << 60);
	REFUSED(s.vmcb.control.asid = 0);
	REFUSED(s.vmcb.control.intercept[4] = 0);
	REFUSED(s.vmcb.save.cr0 &= ~X86_CR0_PG);
	REFUSED(s.vmcb.save.rflags |= X86_FLAG_VM);
	REFUSED(s.vmcb.save.efer &= ~X86_EFER_SVME);
#undef REFUSED
	MUST(cpu_ioctl(&t, 0, KVM_SET_NESTED_STATE, &good));
	L2_EXITS(&t, VMEXIT_VMMCALL);
	EXPECT_EQ(vmcb12(&t)->save.rax, 0x105);
	tiny_destroy(&t);
}

static void all(void)
{
	TEST(l2_runs_and_returns);
	TEST(instructions_are_intercepted);
	TEST(what_is_not_intercepted_is_ours);
	TEST(absent_instructions_are_undefined);
	TEST(ports_by_the_map);
	TEST(msrs_by_the_map);
	TEST(vmload_and_vmsave);
	TEST(vmrun_faults);
	TEST(invalid_vmcbs_are_refused);
	TEST(the_vmcb_is_copied_once);
	TEST(injected_events_arrive);
	TEST(an_exit_in_delivery_says_so);
	TEST(exceptions_of_l2);
	TEST(shutdown_that_l1_does_not_want);
	TEST(interrupts_exit_to_l1);
	TEST(injection_comes_before_interrupts);
	TEST(nmis_exit_to_l1);
	TEST(interrupts_that_l1_lets_through);
	TEST(clgi_holds_everything);
	TEST(virtual_interrupts);
	TEST(virtual_interrupts_end_hlt);
	TEST(virtual_tpr);
	TEST(tsc_offset);
	TEST(nested_tables_translate);
	TEST(nested_page_faults);
	TEST(devices_of_l1);
	TEST(writes_of_l2_are_logged);
	TEST(slots_change_under_l2);
	TEST(reset_leaves_l2);
	TEST(init_in_l2);
	TEST(state_is_checked);
}

int main(void)
{
	return nested_main(all);
}
