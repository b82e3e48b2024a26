// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_intercept.c - instructions that leave the guest, and what the VMCB then says
 */
#include "tests/soft/guest.h"

#define CONTROL (g.vmcb->control)
#define SAVE	(g.vmcb->save)
#define AT(label_offset) (GUEST_CODE + (label_offset))

static struct guest g;

CODE64(code_simple, "cpuid; rdtsc; rdtscp; rdpmc; invd; wbinvd; sidt (%rsp); sgdt (%rsp); sldt %eax; str %eax;"
		    "lidt (%rsp); lgdt (%rsp); vmmcall; vmload; vmsave; stgi; clgi; invlpga; int $0x55; invlpg 0x1234;"
		    "pushf; popf; xsetbv; int1; pause; iretq; vmrun; rsm; hlt")

static const struct { u16 intercept, exit; u8 bytes; u64 info1; } simple[] = {
#define S(name, bytes) { VMCB_INTERCEPT_##name, VMEXIT_##name, bytes, 0 }
	S(CPUID, 2), S(RDTSC, 2), S(RDTSCP, 3), S(RDPMC, 2), S(INVD, 2), S(WBINVD, 2), S(IDTR_READ, 4), S(GDTR_READ, 4),
	S(LDTR_READ, 3), S(TR_READ, 3), S(IDTR_WRITE, 4), S(GDTR_WRITE, 4), S(VMMCALL, 3), S(VMLOAD, 3), S(VMSAVE, 3),
	S(STGI, 3), S(CLGI, 3), S(INVLPGA, 3), { VMCB_INTERCEPT_INTN, VMEXIT_SWINT, 2, 0x55 },
	{ VMCB_INTERCEPT_INVLPG, VMEXIT_INVLPG, 8, 0x1234 }, S(PUSHF, 1), S(POPF, 1),
	S(XSETBV, 3), S(ICEBP, 1), S(PAUSE, 2), S(IRET, 2), S(VMRUN, 3), S(RSM, 2), S(HLT, 1),
};

static void test_simple(void)
{
	u64 rip = GUEST_CODE;

	guest_long(&g, code_simple, code_simple_end);
	SAVE.cr4 |= X86_CR4_OSXSAVE;
	for (unsigned n = 0; n < ARRAY_LEN(simple); n++) {
		guest_intercept(&g, simple[n].intercept, true);
		EXPECT_EQ(guest_run(&g), simple[n].exit);
		EXPECT_EQ(SAVE.rip, rip);
		EXPECT_EQ(CONTROL.next_rip, rip + simple[n].bytes);
		EXPECT_EQ(CONTROL.exitinfo1, simple[n].info1);
		EXPECT_EQ(CONTROL.exitintinfo, 0);
		if (CONTROL.exitcode != simple[n].exit)
			return;
		guest_skip(&g);
		rip += simple[n].bytes;
	}
}

CODE64(code_passes, "cpuid; mov %eax, %esi; rdtsc; pause; pushf; popf; sgdt -16(%rsp); str %edi; hlt")

static void test_not_intercepted(void)
{
	u32 out[4];

	guest_long(&g, code_passes, code_passes_end);
	SAVE.rax = 0x80000001;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	soft_cpuid(0x80000001, 0, out);
	EXPECT_EQ(g.gpr[X86_RSI], out[0]);
	EXPECT_EQ(g.gpr[X86_RDI], 0x40);
}

CODE64(code_tsc, "rdtsc; hlt")

static void test_tsc_offset(void)
{
	u64 before, tsc;

	guest_long(&g, code_tsc, code_tsc_end);
	CONTROL.tsc_offset = 1ull << 60;
	before = __builtin_ia32_rdtsc();
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	tsc = g.gpr[X86_RDX] << 32 | SAVE.rax;
	EXPECT(tsc - (1ull << 60) >= before && tsc - (1ull << 60) <= __builtin_ia32_rdtsc());
}

CODE64(code_io, "out %al, $0x80; in $0x61, %ax; mov $0x3f8, %edx; out %eax, %dx; rep outsb; fs insw (%dx), %es:(%edi); hlt")

static void test_io(void)
{
	guest_long(&g, code_io, code_io_end);
	guest_intercept(&g, VMCB_INTERCEPT_IOIO_PROT, true);
	memset(g.iopm, 0xff, 0x2001);
	EXPECT_EQ(guest_run(&g), VMEXIT_IOIO);
	EXPECT_EQ(CONTROL.exitinfo1 & ~0x1f80ull, 0x80 << 16 | 1 << VMCB_IOIO_SIZE_SHIFT);
	EXPECT_EQ(CONTROL.exitinfo2, GUEST_CODE + 2);
	EXPECT_EQ(CONTROL.next_rip, GUEST_CODE + 2);
	guest_skip(&g);
	EXPECT_EQ(guest_run(&g), VMEXIT_IOIO);
	EXPECT_EQ(CONTROL.exitinfo1 & ~0x1f80ull, 0x61 << 16 | 2 << VMCB_IOIO_SIZE_SHIFT | VMCB_IOIO_IN);
	guest_skip(&g);
	EXPECT_EQ(guest_run(&g), VMEXIT_IOIO);
	EXPECT_EQ(CONTROL.exitinfo1 & ~0x1f80ull, 0x3f8 << 16 | 4 << VMCB_IOIO_SIZE_SHIFT);
	guest_skip(&g);
	g.gpr[X86_RCX] = 3;
	g.gpr[X86_RSI] = 0x3000;
	EXPECT_EQ(guest_run(&g), VMEXIT_IOIO);
	EXPECT_EQ(CONTROL.exitinfo1, 0x3f8 << 16 | 1 << VMCB_IOIO_SIZE_SHIFT | VMCB_IOIO_STR | VMCB_IOIO_REP |
		  4 << VMCB_IOIO_ADDR_SHIFT | X86_DS << VMCB_IOIO_SEG_SHIFT);
	EXPECT_EQ(g.gpr[X86_RCX], 3);
	guest_skip(&g);
	EXPECT_EQ(guest_run(&g), VMEXIT_IOIO);
	EXPECT_EQ(CONTROL.exitinfo1 & ~(7u << VMCB_IOIO_SEG_SHIFT), 0x3f8 << 16 | 2 << VMCB_IOIO_SIZE_SHIFT | VMCB_IOIO_STR |
		  VMCB_IOIO_IN | 2 << VMCB_IOIO_ADDR_SHIFT);

	memset(g.iopm, 0, 0x2001);	/* any bit of the ports touched counts */
	g.iopm[0x3fb / 8] = 1 << (0x3fb % 8);
	g.gpr[X86_RDX] = 0;
	SAVE.rip = GUEST_CODE;
	EXPECT_EQ(guest_run(&g), VMEXIT_IOIO);
	EXPECT_EQ(CONTROL.exitinfo1 >> 16, 0x3f8);
	EXPECT_EQ(SAVE.rax & 0xffff, 0xffff);	/* nothing at 61h */
}

CODE64(code_msr, "rdmsr; wrmsr; hlt")

static void test_msr(void)
{
	static const struct { u32 msr; unsigned bit; } map[] = {
		{ 0x1b, 0x1b * 2 }, { 0xc0000100, 0x4000 + 0x100 * 2 }, { 0xc0010117, 0x8000 + 0x117 * 2 },
	};

	for (unsigned n = 0; n < ARRAY_LEN(map); n++) {
		guest_long(&g, code_msr, code_msr_end);
		guest_intercept(&g, VMCB_INTERCEPT_MSR_PROT, true);
		g.gpr[X86_RCX] = map[n].msr;
		g.msrpm[map[n].bit / 8] |= 1 << map[n].bit % 8;
		EXPECT_EQ(guest_run(&g), VMEXIT_MSR);
		EXPECT_EQ(CONTROL.exitinfo1, 0);
		guest_skip(&g);
		g.msrpm[map[n].bit / 8] = (u8)(2 << map[n].bit % 8);
		EXPECT_EQ(guest_run(&g), VMEXIT_MSR);
		EXPECT_EQ(CONTROL.exitinfo1, 1);
		EXPECT_EQ(CONTROL.next_rip, GUEST_CODE + 4);
	}
	guest_long(&g, code_msr, code_msr_end);		/* not in the map */
	guest_intercept(&g, VMCB_INTERCEPT_MSR_PROT, true);
	g.gpr[X86_RCX] = 0x40000000;
	EXPECT_EQ(guest_run(&g), VMEXIT_MSR);

	guest_long(&g, code_msr, code_msr_end);		/* let through */
	guest_intercept(&g, VMCB_INTERCEPT_MSR_PROT, true);
	g.gpr[X86_RCX] = X86_MSR_GS_BASE;
	SAVE.gs.base = 0x1122334455;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 0x22334455);
	EXPECT_EQ(g.gpr[X86_RDX], 0x11);
	EXPECT_EQ(SAVE.gs.base, 0x1122334455);

	guest_long(&g, code_msr, code_msr_end);		/* there is none */
	g.gpr[X86_RCX] = 0x12345;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_GP));
}

CODE64(code_cr, "mov %cr0, %r9; mov %rbx, %cr3; mov %r11, %cr8; clts; lmsw %cx; smsw %eax; mov %rbx, %cr0; mov %dr3, %rsi; mov %rdi, %dr7; hlt")

static void test_control_registers(void)
{
	static const struct { u64 exit, info1; unsigned bit; } expect[] = {
		{ VMEXIT_CR0_READ, 1ull << 63 | 9, VMCB_INTERCEPT_CR_READ(0) },
		{ VMEXIT_CR0_WRITE + 3, 1ull << 63 | 3, VMCB_INTERCEPT_CR_WRITE(3) },
		{ VMEXIT_CR0_WRITE + 8, 1ull << 63 | 11, VMCB_INTERCEPT_CR_WRITE(8) },
		{ VMEXIT_CR0_WRITE, 0, VMCB_INTERCEPT_CR_WRITE(0) },
		{ VMEXIT_CR0_WRITE, 0, VMCB_INTERCEPT_CR_WRITE(0) },
		{ VMEXIT_CR0_READ, 0, VMCB_INTERCEPT_CR_READ(0) },
		{ VMEXIT_CR0_WRITE, 1ull << 63 | 3, VMCB_INTERCEPT_CR_WRITE(0) },
		{ VMEXIT_DR0_READ + 3, 6, VMCB_INTERCEPT_DR_READ(3) },
		{ VMEXIT_DR0_WRITE + 7, 7, VMCB_INTERCEPT_DR_WRITE(7) },
	};

	guest_long(&g, code_cr, code_cr_end);
	for (unsigned n = 0; n < ARRAY_LEN(expect); n++)
		guest_intercept(&g, expect[n].bit, true);
	for (unsigned n = 0; n < ARRAY_LEN(expect); n++) {
		EXPECT_EQ(guest_run(&g), expect[n].exit);
		EXPECT_EQ(CONTROL.exitinfo1, expect[n].info1);
		guest_skip(&g);
	}
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
}

CODE64(code_cr0, "mov %cr0, %rax; xor $8, %rax; mov %rax, %cr0; xor $0x10000, %rax; mov %rax, %cr0; hlt")

static void test_cr0_selective(void)
{
	guest_long(&g, code_cr0, code_cr0_end);
	guest_intercept(&g, VMCB_INTERCEPT_CR0_SEL_WRITE, true);
	EXPECT_EQ(guest_run(&g), VMEXIT_CR0_SEL_WRITE);
	EXPECT(SAVE.cr0 & X86_CR0_TS);
	guest_skip(&g);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
}

CODE64(code_ud, "nop; ud2")
CODE64(code_pf, "nop; movl $1, 0x123456(%rip)")
CODE64(code_gp, "mov $0x48, %eax; mov %eax, %ds")
CODE64(code_bp, "nop; int3; hlt")
CODE64(code_de, "xor %ecx, %ecx; div %ecx")
CODE64(code_priv, "hlt")

static void test_exceptions(void)
{
	guest_long(&g, code_ud, code_ud_end);
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_UD), true);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_UD);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 1);

	guest_long(&g, code_pf, code_pf_end);
	*guest_pte(&g, GUEST_CODE + 11 + 0x123456) = 0;
	SAVE.cr2 = 0x77;
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_PF), true);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_PF);
	EXPECT_EQ(CONTROL.exitinfo1, X86_PF_W);
	EXPECT_EQ(CONTROL.exitinfo2, GUEST_CODE + 11 + 0x123456);
	EXPECT_EQ(SAVE.cr2, 0x77);
	EXPECT_EQ(CONTROL.fetched, 10);
	EXPECT(memcmp(CONTROL.instruction, code_pf + 1, 10) == 0);
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_PF), false);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_PF));
	EXPECT_EQ(SAVE.cr2, GUEST_CODE + 11 + 0x123456);

	guest_long(&g, code_gp, code_gp_end);
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_GP), true);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_GP);
	EXPECT_EQ(CONTROL.exitinfo1, 0x48);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 5);

	guest_long(&g, code_bp, code_bp_end);
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_BP), true);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_BP);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 1);
	EXPECT_EQ(CONTROL.next_rip, GUEST_CODE + 2);
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_BP), false);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_BP));

	guest_long(&g, code_de, code_de_end);
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_DE), true);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_DE);

	guest_long(&g, code_priv, code_priv_end);	/* privilege before intercept */
	SAVE.cs = guest_seg(0x33, 0xafb, ~0u, 0);
	SAVE.ss = guest_seg(0x23, 0xcf3, ~0u, 0);
	SAVE.cpl = 3;
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_GP), true);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_GP);
	EXPECT_EQ(SAVE.cpl, 3);
}

CODE64(code_pause, "mov $10, %ecx; 1: pause; inc %eax; dec %ecx; jnz 1b; hlt")

static void test_pause_filter(void)
{
	guest_long(&g, code_pause, code_pause_end);
	guest_intercept(&g, VMCB_INTERCEPT_PAUSE, true);
	CONTROL.pause_filter_count = 4;
	EXPECT_EQ(guest_run(&g), VMEXIT_PAUSE);
	EXPECT_EQ(SAVE.rax, 4);
	CONTROL.pause_filter_count = 20;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 10);

	guest_long(&g, code_pause, code_pause_end);	/* each PAUSE is far from the last */
	guest_intercept(&g, VMCB_INTERCEPT_PAUSE, true);
	CONTROL.pause_filter_count = 4;
	CONTROL.pause_filter_threshold = 1;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);

	guest_long(&g, code_pause, code_pause_end);	/* near enough, in instructions, however slow they are */
	guest_intercept(&g, VMCB_INTERCEPT_PAUSE, true);
	CONTROL.pause_filter_count = 4;
	CONTROL.pause_filter_threshold = 4;
	EXPECT_EQ(guest_run(&g), VMEXIT_PAUSE);
	EXPECT_EQ(SAVE.rax, 4);
}

static void expect_invalid(void (*spoil)(void))
{
	guest_long(&g, code_priv, code_priv_end);
	spoil();
	EXPECT_EQ(guest_run(&g), VMEXIT_INVALID);
}

static void no_svme(void) { SAVE.efer &= ~X86_EFER_SVME; }
static void nw_without_cd(void) { SAVE.cr0 |= X86_CR0_NW; }
static void high_cr0(void) { SAVE.cr0 |= BIT_U64(32); }
static void high_dr6(void) { SAVE.dr6 |= BIT_U64(32); }
static void high_dr7(void) { SAVE.dr7 |= BIT_U64(40); }
static void reserved_cr4(void) { SAVE.cr4 |= BIT_U64(31); }
static void reserved_efer(void) { SAVE.efer |= BIT_U64(5); }
static void no_pae(void) { SAVE.cr4 &= ~X86_CR4_PAE; }
static void no_pe(void) { SAVE.cr0 &= ~X86_CR0_PE; }
static void l_and_d(void) { SAVE.cs.attr |= X86_SEG_DB; }
static void no_asid(void) { CONTROL.asid = 0; }
static void no_vmrun(void) { guest_intercept(&g, VMCB_INTERCEPT_VMRUN, false); }
static void bad_event(void) { CONTROL.eventinj = guest_event(X86_EVENT_EXCEPTION, 2); }
static void bad_event_type(void) { CONTROL.eventinj = guest_event(5, 2); }
static void no_paging(void) { CONTROL.nested_ctl = 0; SAVE.cr0 &= ~X86_CR0_PG; }

static void test_consistency(void)
{
	static void (*const spoil[])(void) = {
		no_svme, nw_without_cd, high_cr0, high_dr6, high_dr7, reserved_cr4, reserved_efer, no_pae, no_pe, l_and_d,
		no_asid, no_vmrun, bad_event, bad_event_type, no_paging,
	};

	for (unsigned n = 0; n < ARRAY_LEN(spoil); n++)
		expect_invalid(spoil[n]);
}

int main(void)
{
	TEST(test_simple);
	TEST(test_not_intercepted);
	TEST(test_tsc_offset);
	TEST(test_io);
	TEST(test_msr);
	TEST(test_control_registers);
	TEST(test_cr0_selective);
	TEST(test_exceptions);
	TEST(test_pause_filter);
	TEST(test_consistency);
	return test_status();
}
