// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_msr.c - model-specific registers: values, refusals, lists
 */
#include "tests/core/scripted.h"

#include <linux/kvm_para.h>

static int set(u32 msr, u64 value, bool host) { return msr_set(script.v, msr, value, host); }

static u64 get(u32 msr)
{
	u64 value = 0xdead;

	EXPECT_EQ(msr_get(script.v, msr, &value, true), 0);
	return value;
}

static void plain_ones_keep_their_value(void)
{
	static const struct { u32 msr; u64 value; } cases[] = {
		{ X86_MSR_STAR, 0x0023001000000000ull }, { X86_MSR_LSTAR, 0xffffffff81000000ull },
		{ X86_MSR_CSTAR, 0xffffffff81000001ull }, { X86_MSR_SFMASK, 0x47700 },
		{ X86_MSR_KERNEL_GS_BASE, 0xffff888000000000ull }, { X86_MSR_FS_BASE, 0x7f0012345678ull },
		{ X86_MSR_GS_BASE, 1 }, { X86_MSR_SYSENTER_CS, 0x10 }, { X86_MSR_SYSENTER_ESP, 0x7000 },
		{ X86_MSR_SYSENTER_EIP, 0xffffffff81000002ull }, { X86_MSR_PAT, 0x0007010600070106ull },
		{ X86_MSR_TSC_AUX, 3 }, { X86_MSR_EFER, X86_EFER_SCE | X86_EFER_LME | X86_EFER_NXE },
		{ 0x2ff, 0xc06 }, { 0x200, 0x80000006 }, { 0x201, 0xffff80000800ull }, { 0x250, 0x0606060606060606ull },
		{ 0x258, 0 }, { 0x26f, 0x0505050505050505ull }, { 0x17a, 4 }, { 0x400, 0 }, { 0x402, 5 },
	};

	script_create(false);
	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		EXPECT_EQ(set(cases[n].msr, cases[n].value, false), 0);
		EXPECT_EQ(get(cases[n].msr), cases[n].value);
	}
	/* through an entry and out again */
	script_exit(EXIT_SHUTDOWN);
	EXPECT_EQ(vcpu_run(script.v), 0);
	for (unsigned n = 0; n < ARRAY_LEN(cases); n++)
		EXPECT_EQ(get(cases[n].msr), cases[n].value);
	script_destroy();
}

static void bad_values_fault(void)
{
	static const struct { u32 msr; u64 value; } cases[] = {
		{ X86_MSR_LSTAR, 0x800000000000ull }, { X86_MSR_KERNEL_GS_BASE, 1ull << 62 },
		{ X86_MSR_SYSENTER_EIP, 0x1234800000000000ull }, { X86_MSR_SFMASK, 1ull << 32 },
		{ X86_MSR_PAT, 2 }, { X86_MSR_PAT, 0x0300000000000000ull }, { X86_MSR_PAT, 8 },
		{ X86_MSR_TSC_AUX, 1ull << 32 }, { X86_MSR_EFER, X86_EFER_LMSLE }, { X86_MSR_EFER, 1ull << 40 },
		{ 0x2ff, 0x100 }, { 0x2ff, 2 }, { 0x200, 1ull << 50 }, { 0x201, 0x400 }, { 0x250, 0x02 },
		{ 0x401, 1 }, { 0x400, 5 }, { 0x179, 1 }, { X86_MSR_DEBUGCTL, 0x40 }, { 0xc0010015, 1 },
		{ 0xfe, 0 }, { 0xc0011029, 4 }, { 0xc0010010, 1 }, { X86_MSR_VM_HSAVE_PA, 0x1800 },
		{ X86_MSR_VM_HSAVE_PA, 1ull << 50 }, { X86_MSR_VM_CR, 0x20 },
	};

	script_create(false);
	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		u64 before, after;

		EXPECT_EQ(msr_get(script.v, cases[n].msr, &before, true), 0);
		EXPECT_EQ(set(cases[n].msr, cases[n].value, false), 1);
		EXPECT_EQ(msr_get(script.v, cases[n].msr, &after, true), 0);
		EXPECT_EQ(after, before);
	}
	script_destroy();
}

static void unknown_ones_fault(void)
{
	static const u32 cases[] = { 0, 1, 0x3a, 0x10a, 0xc0000104, 0xc0010299, 0x40000000, ~0u, 0x48, 0x49 };
	u64 value;

	script_create(false);
	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		EXPECT(msr_get(script.v, cases[n], &value, false) != 0);
		EXPECT(set(cases[n], 0, false) != 0);
	}
	script_destroy();
}

static void what_linux_reads_at_boot_is_there(void)
{
	static const u32 cases[] = {
		0x8b, 0x1b, 0x10, 0x3b, 0xfe, 0x179, 0x17a, 0x1a0, 0x277, 0xc0010015, 0xc001001f, 0xc0010010,
		0xc0010140, 0xc0010141, 0xc0011029, 0xc001102a, 0xc0010058, 0xc0010112, 0xc0010113, 0xc0010055,
		0xc0010000, 0xc0010004, 0xc001001a, 0xc001001d,
	};
	u64 value;

	script_create(true);
	for (unsigned n = 0; n < ARRAY_LEN(cases); n++)
		EXPECT_EQ(msr_get(script.v, cases[n], &value, false), 0);
	script_destroy();
}

static void lme_is_fixed_while_paging(void)
{
	struct kvm_sregs s;

	script_create(false);
	vcpu_get_sregs(script.v, &s);
	s.cr0 |= X86_CR0_PE | X86_CR0_PG;
	s.cr4 |= X86_CR4_PAE;
	s.efer = X86_EFER_LME | X86_EFER_LMA;
	EXPECT_EQ(vcpu_set_sregs(script.v, &s), 0);
	EXPECT_EQ(set(X86_MSR_EFER, 0, false), 1);
	EXPECT_EQ(set(X86_MSR_EFER, X86_EFER_LME, false), 0);	/* LMA is the processor's */
	EXPECT_EQ(get(X86_MSR_EFER), X86_EFER_LME | X86_EFER_LMA);
	script_destroy();
}

static void tsc_adjust_moves_the_tsc(void)
{
	u64 before, after;

	script_create(false);
	EXPECT_EQ(set(X86_MSR_TSC_ADJUST, 0, false), 0);
	before = get(X86_MSR_TSC);
	EXPECT_EQ(set(X86_MSR_TSC_ADJUST, 1ull << 40, false), 0);
	after = get(X86_MSR_TSC);
	EXPECT(after - before >= 1ull << 40 && after - before < (1ull << 40) + 1000000);
	EXPECT_EQ(set(X86_MSR_TSC_ADJUST, 0, true), 0);		/* a client restores the number only */
	EXPECT(get(X86_MSR_TSC) - after < 1000000);
	script_destroy();
}

static void every_listed_msr_can_be_saved_and_restored(void)
{
	u32 list[256], count = ARRAY_LEN(list), none = 0;

	script_create(true);
	EXPECT_EQ(msr_index_list(list, &none), -E2BIG);
	EXPECT_EQ(msr_index_list(list, &count), 0);
	EXPECT_EQ(count, none);
	for (u32 n = 0; n < count; n++) {
		u64 value;

		if (list[n] == 0x17b)	/* MCG_CTL: only with MCG_CTL_P, which is the client's choice */
			continue;
		EXPECT_EQ(msr_get(script.v, list[n], &value, true), 0);
		EXPECT_EQ(msr_set(script.v, list[n], value, true), 0);
	}
	count = ARRAY_LEN(list);
	EXPECT_EQ(msr_feature_list(list, &count), 0);
	for (u32 n = 0; n < count; n++) {
		u64 value;

		EXPECT_EQ(msr_feature_get(list[n], &value), 0);
	}

	u64 value = 1;			/* PERF_CAPABILITIES: nothing, and none of the guest's business */

	EXPECT_EQ(msr_feature_get(0x345, &value), 0);
	EXPECT_EQ(value, 0);
	EXPECT_EQ(msr_get(script.v, 0x345, &value, true), 0);
	EXPECT(msr_get(script.v, 0x345, &value, false));
	EXPECT_EQ(msr_set(script.v, 0x345, 0, true), 0);
	EXPECT(msr_set(script.v, 0x345, 1, true));
	script_destroy();
}

static void wide_addresses_are_canonical_with_la57(void)
{
	script_create(false);
	EXPECT_EQ(set(X86_MSR_LSTAR, 1ull << 50, false), 1);
	vcpu_regs_dirty(script.v, REGS_CR);
	script.v->x.cr4 |= X86_CR4_LA57;
	EXPECT_EQ(set(X86_MSR_LSTAR, 1ull << 50, false), 0);
	EXPECT_EQ(set(X86_MSR_LSTAR, 1ull << 57, false), 1);
	script_destroy();
}

int main(void)
{
	TEST(plain_ones_keep_their_value);
	TEST(bad_values_fault);
	TEST(unknown_ones_fault);
	TEST(what_linux_reads_at_boot_is_there);
	TEST(lme_is_fixed_while_paging);
	TEST(tsc_adjust_moves_the_tsc);
	TEST(every_listed_msr_can_be_saved_and_restored);
	TEST(wide_addresses_are_canonical_with_la57);
	return test_status();
}
