// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_smm.c - system management mode: its memory, what it saves, who may get in and out
 *
 * SMRAM is memory of address space 1 at a place where address space 0 has other memory.
 */
#include "tests/guest/tiny.h"

#define SMBASE		0x30000ul	/* after reset */
#define HANDLER		(SMBASE + 0x8000)
#define AREA(offset)	(SMBASE + 0x8000 + (offset))	/* the manual's offsets are from SMBASE + 8000h */
#define SMM_SLOT	(1u << 16)

/* A handler in 16-bit mode: it counts in SMRAM and says so by a port, then returns. */
CODE16(handler, "incl %cs:0x100\n out %al, $0x81\n rsm\n")
CODE16(nmi_handler, "movl $0x1234, %cs:0x104\n out %al, $0x81\n out %al, $0x82\n rsm\n")
CODE64(spin, "mov $0x1122334455667788, %rax; mov $0x99, %r15; mov $7, %ecx; sti\n"
	     "1: out %al, $0x80; cmp $0x55, %rbx; jne 1b; mov $0x38100, %edx; mov (%rdx), %edx\n" DONE)
CODE64(rsm_outside, "rsm\n" DONE)
CODE32(spin32, "mov $0x11223344, %eax\n1: out %al, $0x80; cmp $0x55, %ebx; jne 1b\n" DONE)
CODE64(halts, "sti; hlt\n" DONE)

static u8 *smram;

static void smm_create(struct tiny *t, unsigned flags, enum tiny_mode mode, const u8 *code, const u8 *end,
		       const u8 *smm, const u8 *smm_end)
{
	tiny_create(t, flags, 1);
	tiny_load(t, mode, code, end);
	smram = tiny_pages(0x20000);
	memcpy(smram + 0x8000, smm, (size_t)(smm_end - smm));
	MUST(tiny_slot(t, SMM_SLOT, SMBASE, smram, 0x20000, 0));
	tiny_start(t, 0, mode);
}

static void smm_destroy(struct tiny *t)
{
	tiny_destroy(t);
	munmap(smram, 0x20000);
}

static void out_is(struct tiny *t, u16 port)
{
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	EXPECT_EQ(t->cpu[0].run->io.port, port);
}

static u64 saved(unsigned offset, unsigned bytes)
{
	u64 value = 0;

	memcpy(&value, smram + AREA(offset) - SMBASE, bytes);
	return value;
}

static struct kvm_vcpu_events events(struct tiny *t)
{
	struct kvm_vcpu_events e;

	MUST(cpu_ioctl(t, 0, KVM_GET_VCPU_EVENTS, &e));
	return e;
}

static void an_smi_is_handled_in_memory_of_its_own(void)
{
	struct kvm_regs before, r;
	struct kvm_sregs s;
	struct tiny t;

	smm_create(&t, 0, TINY_64, BLOB(spin), BLOB(handler));
	EXPECT_EQ(tiny_msr(&t, 0, 0x9e), SMBASE);
	out_is(&t, 0x80);
	before = tiny_regs(&t, 0);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SMI, NULL), 0);
	EXPECT_EQ(events(&t).smi.pending, 1);
	out_is(&t, 0x81);
	EXPECT(t.cpu[0].run->flags & KVM_RUN_X86_SMM);
	EXPECT_EQ(events(&t).smi.smm, 1);
	EXPECT_EQ(events(&t).smi.pending, 0);
	EXPECT_EQ(events(&t).nmi.masked, 1);
	s = tiny_sregs(&t, 0);
	EXPECT_EQ(s.cs.base, SMBASE);
	EXPECT_EQ(s.cs.selector, SMBASE >> 4);
	EXPECT_EQ(s.cr0 & (X86_CR0_PE | X86_CR0_PG), 0);
	EXPECT_EQ(s.efer, 0);
	EXPECT_EQ(s.ds.limit, ~0u);
	EXPECT_EQ(smram[0x100], 1);		/* CS-relative, so at SMBASE */
	EXPECT_EQ(tiny_get(&t, SMBASE + 0x100, 4) & 0xff, tiny_get(&t, TINY_TABLES + 0x100, 1));	/* not there */
	EXPECT_EQ(saved(0x7ff8, 8), 0x1122334455667788ull);
	EXPECT_EQ(saved(0x7f80, 8), 0x99);	/* R15 */
	EXPECT_EQ(saved(0x7efc, 4), 0x20064);
	EXPECT_EQ(saved(0x7f50, 8), TINY_PML4);
	EXPECT_EQ(saved(0x7f00, 4), SMBASE);
	/* Change what it returns to: RBX, and the next SMBASE. */
	memcpy(smram + AREA(0x7ff8 - 3 * 8) - SMBASE, &(u64){ 0x55 }, 8);
	memcpy(smram + AREA(0x7f00) - SMBASE, &(u32){ 0x38000 }, 4);
	EXPECT_DONE(&t, 0);
	r = tiny_regs(&t, 0);
	EXPECT_EQ(r.rax, before.rax);
	EXPECT_EQ(r.r15, 0x99);
	EXPECT_EQ(r.rbx, 0x55);
	EXPECT_EQ(r.rflags & X86_FLAG_IF, X86_FLAG_IF);
	EXPECT_EQ(r.rdx, tiny_get(&t, 0x38100, 4));	/* address space 0 again */
	EXPECT(!(t.cpu[0].run->flags & KVM_RUN_X86_SMM));
	EXPECT_EQ(events(&t).smi.smm, 0);
	EXPECT_EQ(events(&t).nmi.masked, 0);
	EXPECT_EQ(tiny_msr(&t, 0, 0x9e), 0x38000);
	EXPECT_EQ(tiny_msr(&t, 0, 0x34), 1);
	smm_destroy(&t);
}

/* A processor without long mode has the old layout. */
static void the_layout_follows_cpuid(void)
{
	struct tiny_cpuid cpuid;
	struct tiny t;

	smm_create(&t, 0, TINY_32, BLOB(spin32), BLOB(handler));
	tiny_cpuid_supported(&t, &cpuid);
	tiny_leaf(&cpuid, 0x80000001, 0)->edx &= ~(1u << 29);
	MUST(cpu_ioctl(&t, 0, KVM_SET_CPUID2, &cpuid));
	out_is(&t, 0x80);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SMI, NULL), 0);
	out_is(&t, 0x81);
	EXPECT_EQ(saved(0x7efc, 4), 0x20000);
	EXPECT_EQ(saved(0x7fd0, 4), 0x11223344);
	EXPECT_EQ(saved(0x7fac, 4), SEL_CODE32);
	memcpy(smram + AREA(0x7fd0 + 3 * 4) - SMBASE, &(u32){ 0x55 }, 4);
	EXPECT_DONE(&t, 0);
	EXPECT_EQ(tiny_regs(&t, 0).rax, 0x11223344);
	EXPECT_EQ(tiny_sregs(&t, 0).cs.selector, SEL_CODE32);
	EXPECT_EQ(tiny_sregs(&t, 0).cs.limit, ~0u);
	smm_destroy(&t);
}

static void nonsense_in_the_area_is_a_shutdown(void)
{
	static const struct { unsigned offset; u64 value; } bad[] = {
		{ 0x7f58, 0x80000000ull },		/* PG without PE */
		{ 0x7f58, 1ull << 40 | 0x80000011 }, { 0x7f48, ~0ull }, { 0x7ed0, ~0ull }, { 0x7f50, ~0ull },
		{ 0x7f48, 0 },				/* long mode without PAE */
		{ 0x7f68, ~0ull }, { 0x7f60, ~0ull },
	};

	for (unsigned n = 0; n < ARRAY_LEN(bad); n++) {
		struct tiny t;

		smm_create(&t, 0, TINY_64, BLOB(spin), BLOB(handler));
		out_is(&t, 0x80);
		EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SMI, NULL), 0);
		out_is(&t, 0x81);
		memcpy(smram + AREA(bad[n].offset) - SMBASE, &bad[n].value, 8);
		EXPECT_EXIT(&t, 0, KVM_EXIT_SHUTDOWN);
		smm_destroy(&t);
	}
}

static void rsm_is_undefined_elsewhere(struct tiny *t)
{
	EXPECT_VECTOR(t, 0, 6);
}

static void nmis_and_smis_wait(void)
{
	struct tiny t;

	smm_create(&t, 0, TINY_64, BLOB(spin), BLOB(nmi_handler));
	out_is(&t, 0x80);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SMI, NULL), 0);
	out_is(&t, 0x81);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_NMI, NULL), 0);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SMI, NULL), 0);
	out_is(&t, 0x82);			/* still in the first */
	EXPECT_EQ(events(&t).smi.pending, 1);
	out_is(&t, 0x81);			/* the second SMI comes before the NMI */
	EXPECT_EQ(tiny_msr(&t, 0, 0x34), 2);
	out_is(&t, 0x82);
	EXPECT_VECTOR(&t, 0, 2);
	smm_destroy(&t);
}

static void an_smi_ends_hlt(void)
{
	struct tiny t;

	smm_create(&t, TINY_IRQCHIP, TINY_64, BLOB(halts), BLOB(handler));
	t.cpu[0].run->immediate_exit = 0;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_MP_STATE, &(struct kvm_mp_state){ .mp_state = KVM_MP_STATE_HALTED }), 0);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SMI, NULL), 0);
	out_is(&t, 0x81);
	smm_destroy(&t);
}

/* An interrupt that is let in between STI and HLT is lost to HLT, for all that SMM knows. */
static void the_interrupt_shadow_survives(void)
{
	static const struct { enum tiny_mode mode; unsigned offset; bool lm; } layout[] = {
		{ TINY_64, 0x7ecb, true }, { TINY_32, 0x7f1a, false },
	};

	for (unsigned n = 0; n < ARRAY_LEN(layout); n++) {
		struct kvm_vcpu_events e;
		struct kvm_regs regs;
		struct tiny_cpuid cpuid;
		struct tiny t;

		smm_create(&t, 0, layout[n].mode, BLOB(halts), BLOB(handler));	/* the same bytes in both */
		if (!layout[n].lm) {
			tiny_cpuid_supported(&t, &cpuid);
			tiny_leaf(&cpuid, 0x80000001, 0)->edx &= ~(1u << 29);
			MUST(cpu_ioctl(&t, 0, KVM_SET_CPUID2, &cpuid));
		}
		regs = tiny_regs(&t, 0);
		regs.rip++;			/* at HLT */
		regs.rflags |= X86_FLAG_IF;
		tiny_set_regs(&t, 0, &regs);
		e = events(&t);
		e.flags = KVM_VCPUEVENT_VALID_SHADOW;
		e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
		MUST(cpu_ioctl(&t, 0, KVM_SET_VCPU_EVENTS, &e));
		EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SMI, NULL), 0);
		out_is(&t, 0x81);
		EXPECT_EQ(events(&t).interrupt.shadow, 0);
		EXPECT(saved(layout[n].offset, 1) & KVM_X86_SHADOW_INT_STI);
		t.cpu[0].run->request_interrupt_window = 1;
		EXPECT_EXIT(&t, 0, KVM_EXIT_HLT);	/* not the window, which would be before HLT */
		smm_destroy(&t);
	}
}

/* What one vCPU's client got another's can be given, in the middle of the handler. */
static void the_mode_can_be_moved(void)
{
	struct kvm_vcpu_events e;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct tiny t, other;
	u8 *first;

	smm_create(&t, 0, TINY_64, BLOB(spin), BLOB(handler));
	out_is(&t, 0x80);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SMI, NULL), 0);
	out_is(&t, 0x81);
	t.cpu[0].run->immediate_exit = 1;
	EXPECT_EQ(tiny_run(&t, 0), -EINTR);	/* the OUT is over */
	regs = tiny_regs(&t, 0);
	sregs = tiny_sregs(&t, 0);
	e = events(&t);
	first = smram;
	smm_create(&other, 0, TINY_64, BLOB(spin), BLOB(handler));
	memcpy(smram, first, 0x20000);
	memcpy(smram + AREA(0x7ff8 - 3 * 8) - SMBASE, &(u64){ 0x55 }, 8);
	tiny_set_sregs(&other, 0, &sregs);
	tiny_set_regs(&other, 0, &regs);
	MUST(cpu_ioctl(&other, 0, KVM_SET_VCPU_EVENTS, &e));
	EXPECT_DONE(&other, 0);
	smm_destroy(&other);
	smram = first;
	smm_destroy(&t);
}

int main(void)
{
	tiny_watchdog();
	TEST(an_smi_is_handled_in_memory_of_its_own);
	TEST(the_layout_follows_cpuid);
	TEST(nonsense_in_the_area_is_a_shutdown);
	TINY_TEST(TINY_64, rsm_outside, rsm_is_undefined_elsewhere);
	TEST(nmis_and_smis_wait);
	TEST(an_smi_ends_hlt);
	TEST(the_interrupt_shadow_survives);
	TEST(the_mode_can_be_moved);
	return test_status();
}
