// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_cpuid.c - what can be had, what a vCPU has, and what follows its registers
 */
#include "core/fpu.h"
#include "tests/core/scripted.h"
#include "x86/feature.h"

static struct kvm_cpuid_entry2 list[128];
static u32 count;

static struct kvm_cpuid_entry2 *find(u32 leaf, u32 subleaf)
{
	for (u32 n = 0; n < count; n++)
		if (list[n].function == leaf && list[n].index == subleaf)
			return &list[n];
	return NULL;
}

static void supported(void)
{
	count = ARRAY_LEN(list);
	EXPECT_EQ(cpuid_supported(list, &count), 0);
}

static void execute(u32 leaf, u32 subleaf, u32 r[4])
{
	r[0] = leaf;
	r[2] = subleaf;
	cpuid_execute(script.v, &r[0], &r[1], &r[2], &r[3]);
}

static void the_host_is_filtered(void)
{
	script_create(false);
	supported();
	/* x2APIC, TSC deadline and the hypervisor bit are ours; MONITOR, VMX, OSXSAVE are not offered */
	EXPECT_EQ(find(1, 0)->ecx & (1u << 21 | 1u << 24 | 1u << 31), 1u << 21 | 1u << 24 | 1u << 31);
	EXPECT_EQ(find(1, 0)->ecx & (1u << 3 | 1u << 5 | 1u << 27), 0);
	EXPECT_EQ(find(1, 0)->ebx, 0x800);
	EXPECT_EQ(find(0x80000001, 0)->ecx & 1u << 2, 1u << 2);	/* SVM */
	EXPECT_EQ(find(0x80000001, 0)->edx & 1u << 29, 1u << 29);
	EXPECT_EQ(find(7, 0)->ebx & 1u << 2, 0);		/* SGX */
	EXPECT_EQ(find(7, 0)->eax, 1);
	EXPECT_EQ(find(0x8000000a, 0)->edx & 0x4f, 0x49);	/* NP NRIPS FlushByAsid, not LBRs */
	EXPECT_EQ(find(0x80000008, 0)->ecx, 0);
	EXPECT_EQ(find(0x40000000, 0)->eax, 0x40000001);
	EXPECT_EQ(find(0x40000001, 0)->eax & 0x1000009, 0x1000009);
	EXPECT_EQ(find(6, 0)->eax, 4);
	EXPECT_EQ(find(0xd, 0)->eax, 0x2e7);
	EXPECT_EQ(find(0xd, 0)->ecx, 2696);
	EXPECT_EQ(find(0xd, 1)->eax, 7);			/* not XSAVES */
	EXPECT(find(0xd, 9));				/* PKRU */
	EXPECT(!find(0xd, 3));				/* not MPX */
	script_destroy();
}

static void what_the_host_lacks_is_not_offered(void)
{
	script_create(false);
	for (unsigned n = 0; n < script.cpuids; n++)
		if (script.cpuid[n][0] == 7)
			script.cpuid[n][3] = 0;
	supported();
	EXPECT_EQ(find(7, 0)->ebx, 1u << 1);	/* TSC_ADJUST is ours */
	script_destroy();
}

static void too_small_a_list_is_an_error(void)
{
	script_create(false);
	count = 3;
	EXPECT_EQ(cpuid_supported(list, &count), -E2BIG);
	count = 0;
	EXPECT_EQ(cpuid_supported(list, &count), -E2BIG);
	count = 1;
	EXPECT_EQ(vcpu_get_cpuid(script.v, list, &count), -E2BIG);
	EXPECT(count > 10);
	script_destroy();
}

static void features_are_derived(void)
{
	u64 all;

	script_create(false);
	EXPECT(cpuid_has(script.v, X86_FEATURE_AVX2));
	EXPECT(cpuid_has(script.v, X86_FEATURE_LM));
	EXPECT(cpuid_has(script.v, X86_FEATURE_SVM));
	EXPECT_EQ(script.v->x.phys_bits, 48);
	EXPECT(script.v->x.vendor_amd);
	EXPECT_EQ(script.v->guest_xcr0_allowed, 0x2e7);
	all = script.v->x.cr4_valid;
	EXPECT_EQ(all & X86_CR4_SMEP, X86_CR4_SMEP);
	EXPECT_EQ(all & (X86_CR4_PKE | X86_CR4_VMXE), X86_CR4_PKE);
	EXPECT_EQ(script.v->x.efer_valid & (X86_EFER_SVME | X86_EFER_LME), X86_EFER_SVME | X86_EFER_LME);

	supported();
	find(7, 0)->ebx = 0;
	find(0x80000001, 0)->edx &= ~(1u << 20 | 1u << 29);
	find(0xd, 0)->eax = 3;
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), 0);
	EXPECT_EQ(script.v->x.cr4_valid, all & ~(X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_FSGSBASE));
	EXPECT_EQ(script.v->x.efer_valid & (X86_EFER_NXE | X86_EFER_LME), 0);
	EXPECT_EQ(script.v->guest_xcr0_allowed, 3);
	script_destroy();
}

static void bits_follow_registers(void)
{
	struct kvm_sregs s;
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	u32 r[4];

	script_create(false);
	execute(1, 0, r);
	EXPECT_EQ(r[2] & 1u << 27, 0);
	EXPECT_EQ(r[3] & 1u << 9, 1u << 9);
	execute(0xd, 0, r);
	EXPECT_EQ(r[1], 576);
	vcpu_get_sregs(script.v, &s);
	s.cr4 |= X86_CR4_OSXSAVE;
	s.apic_base &= ~(1ull << 11);
	EXPECT_EQ(vcpu_set_sregs(script.v, &s), 0);
	EXPECT_EQ(vcpu_set_xcrs(script.v, &x), 0);
	execute(1, 0, r);
	EXPECT_EQ(r[2] & 1u << 27, 1u << 27);
	EXPECT_EQ(r[3] & 1u << 9, 0);
	execute(0xd, 0, r);
	EXPECT_EQ(r[1], 832);
	EXPECT_EQ(r[2], 2696);
	script_destroy();
}

static void leaves_out_of_range(void)
{
	u32 r[4];

	script_create(false);
	execute(0x12345, 0, r);			/* AMD: zero */
	EXPECT_EQ(r[0] | r[1] | r[2] | r[3], 0);
	supported();
	find(0, 0)->ebx = 0x756e6547;		/* Intel: the last basic leaf */
	find(0, 0)->edx = 0x49656e69;
	find(0, 0)->ecx = 0x6c65746e;
	find(0, 0)->eax = 7;
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), 0);
	EXPECT(!script.v->x.vendor_amd);
	execute(0x12345, 0, r);
	EXPECT_EQ(r[1], find(7, 0)->ebx);
	execute(0x40000100, 0, r);		/* but nothing for hypervisors' leaves */
	EXPECT_EQ(r[0] | r[1] | r[2] | r[3], 0);
	script_destroy();
}

static void topology_ends_with_an_id(void)
{
	u32 r[4];

	script_create(false);
	supported();
	list[count++] = (struct kvm_cpuid_entry2){ .function = 0xb, .index = 1, .eax = 2, .ebx = 4,
		.ecx = 0x201, .edx = 3, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX };
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), 0);
	execute(0xb, 2, r);
	EXPECT_EQ(r[0] | r[1], 0);
	EXPECT_EQ(r[2], 2);
	EXPECT_EQ(r[3], 3);
	script_destroy();
}

static void it_is_frozen_once_run(void)
{
	script_create(false);
	supported();
	script_exit(EXIT_SHUTDOWN);
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), 0);		/* the same */
	find(1, 0)->eax ^= 1;
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), -EINVAL);
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count - 1), -EINVAL);
	find(1, 0)->eax ^= 1;
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), 0);
	find(7, 0)->ebx ^= 1;
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), -EINVAL);
	script_destroy();
}

/* Before CPUID is set CR4 may be all that could be had; afterwards what the leaves say. */
static void cr4_follows_what_is_known(void)
{
	struct kvm_sregs s;

	script_create(false);
	EXPECT_EQ(vcpu_get_sregs(script.v, &s), 0);
	s.cr4 = X86_CR4_SMEP | X86_CR4_OSXSAVE;
	EXPECT_EQ(vcpu_set_sregs(script.v, &s), 0);
	s.cr4 = BIT_U64(13);		/* VMXE */
	EXPECT_EQ(vcpu_set_sregs(script.v, &s), -EINVAL);
	supported();
	find(7, 0)->ebx &= ~(1u << 7);
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), 0);
	s.cr4 = X86_CR4_SMEP;
	EXPECT_EQ(vcpu_set_sregs(script.v, &s), -EINVAL);
	script_destroy();
}

static void mwait_follows_misc_enable_if_asked(void)
{
	u32 r[4];

	script_create(false);
	supported();
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), 0);
	EXPECT_EQ(msr_set(script.v, 0x1a0, BIT_U64(18) | BIT_U64(11) | BIT_U64(12), false), 0);
	execute(1, 0, r);
	EXPECT_EQ(r[2] & 1u << 3, 0);
	script.vm->quirks_disabled = KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT;
	cpuid_update_runtime(script.v);
	execute(1, 0, r);
	EXPECT_EQ(r[2] & 1u << 3, 1u << 3);
	script_destroy();
}

static void address_widths_are_checked(void)
{
	script_create(false);
	supported();
	find(0x80000008, 0)->eax = 0x3128;
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), -EINVAL);
	find(0x80000008, 0)->eax = 0x3928;
	EXPECT_EQ(vcpu_set_cpuid(script.v, list, count), 0);
	EXPECT_EQ(script.v->x.phys_bits, 40);
	script_destroy();
}

static void xsave_goes_through(void)
{
	static u8 in[4096], out[4096];
	struct kvm_fpu f;

	script_create(false);
	EXPECT_EQ(vcpu_get_xsave(script.v, out, sizeof(out)), 0);
	EXPECT_EQ(*(u16 *)out, 0x37f);
	EXPECT_EQ(*(u32 *)(out + 24), 0x1f80);
	memcpy(in, out, sizeof(in));
	memset(in + 160, 0xab, 16);		/* XMM0 */
	memset(in + 576, 0xcd, 16);		/* YMM0's upper half */
	*(u64 *)(in + 512) = 7;
	EXPECT_EQ(vcpu_set_xsave(script.v, in, sizeof(in)), 0);
	EXPECT_EQ(vcpu_get_xsave(script.v, out, sizeof(out)), 0);
	EXPECT(!memcmp(in, out, 832));
	*(u64 *)(in + 512) = 3;			/* AVX in its initial state whatever the bytes say */
	EXPECT_EQ(vcpu_set_xsave(script.v, in, sizeof(in)), 0);
	EXPECT_EQ(vcpu_get_xsave(script.v, out, sizeof(out)), 0);
	EXPECT_EQ(out[576], 0);
	EXPECT_EQ(vcpu_get_fpu(script.v, &f), 0);
	EXPECT_EQ(f.xmm[0][5], 0xab);
	EXPECT_EQ(f.fcw, 0x37f);
	f.fsw = 0x3800;
	f.mxcsr = 0x1fa0;
	EXPECT_EQ(vcpu_set_fpu(script.v, &f), 0);
	EXPECT_EQ(vcpu_get_xsave(script.v, out, sizeof(out)), 0);
	EXPECT_EQ(*(u16 *)(out + 2), 0x3800);
	EXPECT_EQ(*(u32 *)(out + 24), 0x1f80);	/* MXCSR is not in it, as in KVM */

	*(u64 *)(in + 512) = 1ull << 3;		/* MPX is not the guest's */
	EXPECT_EQ(vcpu_set_xsave(script.v, in, sizeof(in)), -EINVAL);
	script.v->guest_xcr0_allowed = 3;	/* what the guest does not have is not told */
	*(u64 *)(script.v->fpu->area + 512) = 1ull << 9;
	EXPECT_EQ(vcpu_get_xsave(script.v, out, sizeof(out)), 0);
	EXPECT_EQ(*(u64 *)(out + 512), 0);
	*(u64 *)(in + 512) = 3;
	*(u64 *)(in + 520) = 1ull << 63;	/* compacted */
	EXPECT_EQ(vcpu_set_xsave(script.v, in, sizeof(in)), -EINVAL);
	*(u64 *)(in + 520) = 0;
	in[540] = 1;				/* reserved */
	EXPECT_EQ(vcpu_set_xsave(script.v, in, sizeof(in)), -EINVAL);
	in[540] = 0;
	*(u32 *)(in + 24) = 0x10000;
	EXPECT_EQ(vcpu_set_xsave(script.v, in, sizeof(in)), -EINVAL);
	script_destroy();
}

static void xcr0_is_checked(void)
{
	struct kvm_xcrs x = { .nr_xcrs = 1 };

	script_create(false);
	x.xcrs[0].value = 2;
	EXPECT_EQ(vcpu_set_xcrs(script.v, &x), -EINVAL);
	x.xcrs[0].value = 0xf;
	EXPECT_EQ(vcpu_set_xcrs(script.v, &x), -EINVAL);
	x.nr_xcrs = KVM_MAX_XCRS + 1;
	EXPECT_EQ(vcpu_set_xcrs(script.v, &x), -EINVAL);
	x.nr_xcrs = 1;
	x.xcrs[0].value = 7;
	EXPECT_EQ(vcpu_set_xcrs(script.v, &x), 0);
	EXPECT_EQ(vcpu_get_xcrs(script.v, &x), 0);
	EXPECT_EQ(x.xcrs[0].value, 7);
	script_destroy();
}

int main(void)
{
	TEST(the_host_is_filtered);
	TEST(what_the_host_lacks_is_not_offered);
	TEST(too_small_a_list_is_an_error);
	TEST(features_are_derived);
	TEST(bits_follow_registers);
	TEST(leaves_out_of_range);
	TEST(topology_ends_with_an_id);
	TEST(it_is_frozen_once_run);
	TEST(cr4_follows_what_is_known);
	TEST(mwait_follows_misc_enable_if_asked);
	TEST(address_widths_are_checked);
	TEST(xsave_goes_through);
	TEST(xcr0_is_checked);
	return test_status();
}
