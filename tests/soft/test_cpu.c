// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_cpu.c - CPUID and MSRs of the software processor, as a hypervisor sees them
 */
#include <cpuid.h>

#include "tests/soft/guest.h"
#include "x86/feature.h"

static struct guest g;

static void test_identity(void)
{
	u32 out[4], name[12];

	soft_cpuid(0, 0, out);
	EXPECT(memcmp(&out[1], "Auth", 4) == 0 && memcmp(&out[3], "enti", 4) == 0 && memcmp(&out[2], "cAMD", 4) == 0);
	for (unsigned n = 0; n < 3; n++)
		soft_cpuid(0x80000002 + n, 0, &name[4 * n]);
	EXPECT(strcmp((char *)name, "anykvm software processor") == 0);
	soft_cpuid(1, 0, out);
	EXPECT_EQ((out[0] >> 8 & 15) + (out[0] >> 20 & 255), 0x1a);
	soft_cpuid(0x8000000a, 0, out);
	EXPECT_EQ(out[1], 32768);
	EXPECT_EQ(out[3] & 0x14c9, 0x14c9);
	soft_cpuid(0x12345, 0, out);
	EXPECT_EQ(out[0] | out[1] | out[2] | out[3], 0);
}

static bool host_has(const struct x86_feature_bit *f)
{
	u32 r[4] = { 0 };

	return __get_cpuid_count(f->leaf, f->subleaf, &r[0], &r[1], &r[2], &r[3]) && r[f->reg] >> f->bit & 1;
}

/* What runs on the host's silicon must be there. */
static void test_vector_features(void)
{
	static const u8 features[] = {
		X86_FEATURE_SSE41, X86_FEATURE_SSE42, X86_FEATURE_AESNI, X86_FEATURE_AVX, X86_FEATURE_AVX2, X86_FEATURE_FMA,
		X86_FEATURE_AVX512F, X86_FEATURE_AVX512VL, X86_FEATURE_SHA, X86_FEATURE_GFNI, X86_FEATURE_SSE4A, X86_FEATURE_RDRAND,
	};

	for (unsigned n = 0; n < ARRAY_LEN(features); n++) {
		const struct x86_feature_bit *f = &x86_feature_cpuid[features[n]];
		u32 out[4];

		soft_cpuid(f->leaf, f->subleaf, out);
		if (out[f->reg] >> f->bit & 1)
			EXPECT(host_has(f));
	}
}

/* Standard-format offsets are the host's, since its XSAVE is what runs. */
static void test_xsave_layout(void)
{
	u32 top[4], out[4], host[4];
	u64 xcr0;

	soft_cpuid(0xd, 0, top);
	xcr0 = top[0] | (u64)top[3] << 32;
	EXPECT_EQ(xcr0 & 3, 3);
	for (unsigned n = 2; n < 63; n++) {
		soft_cpuid(0xd, n, out);
		__cpuid_count(0xd, n, host[0], host[1], host[2], host[3]);
		if (!(xcr0 >> n & 1)) {
			EXPECT_EQ(out[0] | out[1], 0);
			continue;
		}
		EXPECT_EQ(out[0], host[0]);
		EXPECT_EQ(out[1], host[1]);
		EXPECT(out[0] + out[1] <= top[2]);
	}
}

static void test_host_msrs(void)
{
	u64 value;

	guest_init(&g);
	EXPECT_EQ(soft_rdmsr(g.cpu, X86_MSR_EFER, &value), 0);
	EXPECT_EQ(soft_wrmsr(g.cpu, X86_MSR_EFER, value | X86_EFER_SVME), 0);
	EXPECT_EQ(soft_rdmsr(g.cpu, X86_MSR_EFER, &value), 0);
	EXPECT(value & X86_EFER_SVME);
	EXPECT_EQ(soft_wrmsr(g.cpu, X86_MSR_VM_HSAVE_PA, 0x123), -1);
	EXPECT_EQ(soft_wrmsr(g.cpu, X86_MSR_VM_HSAVE_PA, 0x1000), 0);
	EXPECT_EQ(soft_rdmsr(g.cpu, X86_MSR_VM_CR, &value), 0);
	EXPECT_EQ(value, 0);
	EXPECT_EQ(soft_rdmsr(g.cpu, 0x12345, &value), -1);
	EXPECT_EQ(soft_wrmsr(g.cpu, X86_MSR_GS_BASE, 1ull << 60), -1);
	EXPECT_EQ(soft_wrmsr(g.cpu, X86_MSR_PAT, 2), -1);
}

/* VMLOAD and VMSAVE carry what VMRUN does not. */
static void test_vmload_vmsave(void)
{
	struct vmcb *other = guest_pages(4096);
	struct vmcb_save *s;

	guest_init(&g);
	s = &g.vmcb->save;
	s->fs = guest_seg(0x53, 0xcf3, 0x12345, 0x7f0000001000);
	s->gs = guest_seg(0x2b, 0xcf3, 0x54321, 0xffff888000000000);
	s->kernel_gs_base = 1;
	s->star = 2;
	s->lstar = 3;
	s->cstar = 4;
	s->sfmask = 5;
	s->sysenter_cs = 6;
	s->sysenter_esp = 7;
	s->sysenter_eip = 8;
	s->rax = 9;
	soft_vmload(g.cpu, (hpa_t)g.vmcb);
	soft_vmsave(g.cpu, (hpa_t)other);
	EXPECT(memcmp(&other->save.fs, &s->fs, sizeof(s->fs)) == 0);
	EXPECT(memcmp(&other->save.gs, &s->gs, sizeof(s->gs)) == 0);
	EXPECT(memcmp(&other->save.tr, &s->tr, sizeof(s->tr)) == 0);
	EXPECT(memcmp(&other->save.ldtr, &s->ldtr, sizeof(s->ldtr)) == 0);
	EXPECT(memcmp(&other->save.star, &s->star, 8 * 8) == 0);
	EXPECT_EQ(other->save.rax, 0);
}

int main(void)
{
	TEST(test_identity);
	TEST(test_vector_features);
	TEST(test_xsave_layout);
	TEST(test_host_msrs);
	TEST(test_vmload_vmsave);
	return test_status();
}
