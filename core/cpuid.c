// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cpuid.c - what a guest is told about its processor
 *
 * The processor that runs guests (insn_cpuid) says what can be had; a table of masks says
 * which of it this hypervisor keeps whole, and the hypervisor adds what it emulates.  The
 * client chooses from that and sets its vCPU's leaves; from these leaves everything is
 * derived that depends on them: the feature set, valid CR4 and EFER bits, address width,
 * allowed XCR0.  A few bits follow the guest's own registers (OSXSAVE, the APIC's
 * enable bit, XSAVE sizes) and are patched when those change.
 *
 * Locking: v->lock.
 * Reference: AMD64 Architecture Programmer's Manual vol. 3, "Obtaining Processor
 * Information Via the CPUID Instruction"; Linux Documentation/virt/kvm/x86/cpuid.rst.
 * Not modelled: cache and topology leaves, which are the client's to make up.
 */
#include <linux/errno.h>
#include <linux/kvm_para.h>

#include "base/bits.h"
#include "core/vm.h"
#include "insn/insn.h"
#include "x86/feature.h"

/* --- what can be had ------------------------------------------------------------- */

#define B(n) (1u << (n))

/*
 * keep: passed on if the processor has it.  add: emulated, whatever the processor has.
 * Bits of leaf 1, 7 and 0x80000001 that only describe the host (monitor, performance
 * counters, topology, power) are in neither.
 */
static const struct mask { u32 leaf, subleaf; u8 reg; u32 keep, add; } masks[] = {
	/* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFLUSH MMX.. */
	{ 1, 0, X86_CPUID_EDX, 0x078bfbff, B(9) },
	/* SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND */
	{ 1, 0, X86_CPUID_ECX, 0x76d83203 | B(17), B(21) | B(24) | B(31) },
	/* FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX512F DQ RDSEED ADX SMAP IFMA CLFLUSHOPT
	 * CLWB CD SHA BW VL */
	{ 7, 0, X86_CPUID_EBX, 0xf1bf0000 | 0x000007a9, B(1) },
	/* AVX512VBMI UMIP PKU VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNTDQ LA57 RDPID MOVDIRI MOVDIR64B PKS */
	{ 7, 0, X86_CPUID_ECX, 0x18405f4e | B(16) | B(31), 0 },
	/* FSRM AVX512VP2INTERSECT SERIALIZE AVX512FP16 */
	{ 7, 0, X86_CPUID_EDX, B(4) | B(8) | B(14) | B(23), 0 },
	{ 7, 1, X86_CPUID_EAX, B(4) | B(5), 0 },
	/* XSAVEOPT XSAVEC XGETBV1 */
	{ 0xd, 1, X86_CPUID_EAX, 0x7, 0 },
	/* LAHF SVM CR8 LZCNT SSE4A MISALIGNSSE PREFETCHW XOP FMA4 TBM; CMP_LEGACY is the client's */
	{ 0x80000001, 0, X86_CPUID_ECX, (0x002109f1 & ~B(4)) | B(2), B(4) },
	/* of SVM: NP NRIPS DecodeAssists PauseFilter PauseFilterThreshold, FlushByAsid */
	{ 0x8000000a, 0, X86_CPUID_EDX, B(0) | B(3) | B(7) | B(10) | B(12), B(6) },
	/* leaf 1's, SYSCALL NX MMXEXT FFXSR 1GB-pages RDTSCP LM 3DNOW */
	{ 0x80000001, 0, X86_CPUID_EDX, 0xefd3fbff, 0 },
	/* CLZERO WBNOINVD */
	{ 0x80000008, 0, X86_CPUID_EBX, B(0) | B(9), 0 },
	/* invariant TSC */
	{ 0x80000007, 0, X86_CPUID_EDX, B(8), 0 },
	/* Null selector clears base: LFENCE always serializing */
	{ 0x80000021, 0, X86_CPUID_EAX, B(2) | B(6), 0 },
};

u64 cpuid_xcr0_supported(void)
{
	u32 one[4], d[4];

	insn_cpuid(1, 0, one);
	if (!(one[X86_CPUID_ECX] & B(26)))
		return 0;
	insn_cpuid(0xd, 0, d);
	/* Without nested paging the guest's keys would have to be in our tables. */
	return (d[X86_CPUID_EAX] | (u64)d[X86_CPUID_EDX] << 32) & XCR0_KNOWN & (core_is_nested() ? ~0ull : ~XCR0_PKRU);
}

static void masks_apply(u32 leaf, u32 subleaf, u32 r[4])
{
	for (unsigned n = 0; n < ARRAY_LEN(masks); n++)
		if (masks[n].leaf == leaf && masks[n].subleaf == subleaf)
			r[masks[n].reg] = (r[masks[n].reg] & masks[n].keep) | masks[n].add;
}

struct list_out { struct kvm_cpuid_entry2 *entries; u32 count, room; bool full; };

static void list_add(struct list_out *out, u32 leaf, u32 subleaf, bool significant, const u32 r[4])
{
	if (out->count == out->room) {
		out->full = true;
		return;
	}
	out->entries[out->count++] = (struct kvm_cpuid_entry2){
		.function = leaf, .index = subleaf,
		.flags = significant ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = r[0], .ebx = r[1], .ecx = r[2], .edx = r[3],
	};
}

static void leaf_1_add(struct list_out *out)
{
	u32 r[4];

	insn_cpuid(1, 0, r);
	masks_apply(1, 0, r);
	if (!core_is_nested())
		r[2] &= ~B(17);		/* PCID */
	r[1] &= 0xff00;		/* CLFLUSH size; APIC id and count are the vCPU's */
	list_add(out, 1, 0, false, r);
}

static void leaf_7_add(struct list_out *out)
{
	u32 r[4];
	bool second;

	insn_cpuid(7, 0, r);
	second = r[0] >= 1;
	r[0] = second;
	masks_apply(7, 0, r);
	if (!core_is_nested()) {
		r[1] &= ~B(10);		/* INVPCID */
		r[2] &= ~(B(3) | B(4) | B(16) | B(31));	/* PKU, OSPKE, LA57, PKS */
	}
	list_add(out, 7, 0, true, r);
	if (!second)
		return;
	insn_cpuid(7, 1, r);
	r[1] = r[2] = r[3] = 0;
	masks_apply(7, 1, r);
	list_add(out, 7, 1, true, r);
}

static void leaf_d_add(struct list_out *out)
{
	u64 xcr0 = cpuid_xcr0_supported();
	u32 r[4] = { 0 };

	if (!xcr0)
		return;
	r[0] = (u32)xcr0;
	r[3] = (u32)(xcr0 >> 32);
	r[1] = r[2] = fpu_bytes(xcr0);
	list_add(out, 0xd, 0, true, r);
	insn_cpuid(0xd, 1, r);
	r[1] = r[2] = r[3] = 0;
	masks_apply(0xd, 1, r);
	list_add(out, 0xd, 1, true, r);
	for (u32 n = 2; n < 63; n++) {
		if (!(xcr0 & BIT_U64(n)))
			continue;
		insn_cpuid(0xd, n, r);
		r[2] &= 2;	/* aligned to 64 bytes when compacted; all are user state */
		r[3] = 0;
		list_add(out, 0xd, n, true, r);
	}
}

static void basic_leaves_add(struct list_out *out)
{
	static const u32 zero[4];
	u32 r[4], last;

	insn_cpuid(0, 0, r);
	last = MIN_OF(r[0], 0x1fu);
	last = MAX_OF(last, 0xdu);
	r[0] = last;
	list_add(out, 0, 0, false, r);
	leaf_1_add(out);
	for (u32 leaf = 2; leaf <= last; leaf++) {
		u32 six[4] = { 4, 0, 0, 0 };	/* ARAT: the APIC timer never stops */

		switch (leaf) {
		case 6:
			list_add(out, leaf, 0, false, six);
			break;
		case 7:
			leaf_7_add(out);
			break;
		case 0xb:	/* no topology unless the client gives one */
		case 0x1f:
			list_add(out, leaf, 0, true, zero);
			break;
		case 0xd:
			leaf_d_add(out);
			break;
		default:
			list_add(out, leaf, 0, leaf == 4, zero);
		}
	}
}

static void hypervisor_leaves_add(struct list_out *out)
{
	u32 r[4] = { KVM_CPUID_FEATURES };
	u32 features[4] = {
		B(KVM_FEATURE_CLOCKSOURCE) | B(KVM_FEATURE_NOP_IO_DELAY) | B(KVM_FEATURE_CLOCKSOURCE2) |
		B(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT) | B(KVM_FEATURE_STEAL_TIME) |
		B(KVM_FEATURE_PV_UNHALT) | B(KVM_FEATURE_PV_SEND_IPI) | B(KVM_FEATURE_PV_EOI) |
		B(KVM_FEATURE_POLL_CONTROL) |
		B(KVM_FEATURE_ASYNC_PF) | B(KVM_FEATURE_ASYNC_PF_VMEXIT) | B(KVM_FEATURE_ASYNC_PF_INT) | B(KVM_FEATURE_PV_SCHED_YIELD)
	};

	__builtin_memcpy(&r[1], KVM_SIGNATURE, 12);
	list_add(out, KVM_CPUID_SIGNATURE, 0, false, r);
	list_add(out, KVM_CPUID_FEATURES, 0, false, features);
}

static void extended_leaves_add(struct list_out *out)
{
	u32 r[4], last;

	insn_cpuid(0x80000000, 0, r);
	if (r[0] < 0x80000008)
		return;
	last = MIN_OF(r[0], 0x80000021u);
	r[0] = last;
	list_add(out, 0x80000000, 0, false, r);
	for (u32 leaf = 0x80000001; leaf <= last; leaf++) {
		insn_cpuid(leaf, 0, r);
		masks_apply(leaf, 0, r);
		switch (leaf) {
		case 0x80000001:
			r[1] = 0;
			if (!core_has_nesting())
				r[2] &= ~B(2);
			break;
		case 0x8000000a:
			r[0] = 1;	/* revision */
			r[1] = 8;	/* ASIDs; there is no limit */
			r[2] = 0;
			if (!core_has_nesting())
				r[0] = r[1] = r[3] = 0;
			break;
		case 0x80000002: case 0x80000003: case 0x80000004:	/* its name */
		case 0x80000005: case 0x80000006:			/* its caches */
			break;
		case 0x80000007:
			r[0] = r[1] = r[2] = 0;
			break;
		case 0x80000008:
			r[0] &= 0xffff;		/* physical and linear address bits */
			r[2] = r[3] = 0;
			break;
		case 0x80000021:
			r[1] = r[2] = r[3] = 0;
			break;
		default:	/* IBS, cache topology, encryption */
			r[0] = r[1] = r[2] = r[3] = 0;
		}
		list_add(out, leaf, 0, false, r);
	}
}

int cpuid_supported(struct kvm_cpuid_entry2 *entries, u32 *count)
{
	struct list_out out = { .entries = entries, .room = *count };

	basic_leaves_add(&out);
	hypervisor_leaves_add(&out);
	extended_leaves_add(&out);
	*count = out.count;
	return out.full ? -E2BIG : 0;
}

/* --- what a vCPU has --------------------------------------------------------------- */

static struct kvm_cpuid_entry2 *entry_in(struct kvm_cpuid_entry2 *entries, u32 count, u32 leaf, u32 subleaf)
{
	for (u32 n = 0; n < count; n++) {
		struct kvm_cpuid_entry2 *e = &entries[n];

		if (e->function == leaf &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
			return e;
	}
	return NULL;
}

static struct kvm_cpuid_entry2 *entry_find(struct vcpu *v, u32 leaf, u32 subleaf)
{
	return entry_in(v->cpuid, v->cpuid_count, leaf, subleaf);
}

const struct kvm_cpuid_entry2 *cpuid_find(struct vcpu *v, u32 leaf, u32 subleaf)
{
	return entry_find(v, leaf, subleaf);
}

bool cpuid_has(struct vcpu *v, unsigned feature)
{
	return x86_feature_is_set(v->x.features, feature);
}

static u32 entry_register(const struct kvm_cpuid_entry2 *e, unsigned reg)
{
	switch (reg) {
	case X86_CPUID_EAX: return e->eax;
	case X86_CPUID_EBX: return e->ebx;
	case X86_CPUID_ECX: return e->ecx;
	default: return e->edx;
	}
}

static void features_derive(u64 *features, struct kvm_cpuid_entry2 *entries, u32 count)
{
	for (unsigned f = 1; f < X86_FEATURES; f++) {
		const struct x86_feature_bit *bit = &x86_feature_cpuid[f];
		const struct kvm_cpuid_entry2 *e = entry_in(entries, count, bit->leaf, bit->subleaf);

		if (e && (entry_register(e, bit->reg) >> bit->bit & 1))
			x86_feature_set(features, f);
	}
}

static u64 cr4_derive(const u64 *features)
{
	static const struct { u64 bit; unsigned feature; } bits[] = {
		{ X86_CR4_UMIP, X86_FEATURE_UMIP }, { X86_CR4_LA57, X86_FEATURE_LA57 },
		{ X86_CR4_FSGSBASE, X86_FEATURE_FSGSBASE }, { X86_CR4_PCIDE, X86_FEATURE_PCID },
		{ X86_CR4_OSXSAVE, X86_FEATURE_XSAVE }, { X86_CR4_SMEP, X86_FEATURE_SMEP },
		{ X86_CR4_SMAP, X86_FEATURE_SMAP }, { X86_CR4_PKE, X86_FEATURE_PKU },
		{ X86_CR4_PKS, X86_FEATURE_PKS },
	};
	u64 valid = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE |
		    X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;

	for (unsigned n = 0; n < ARRAY_LEN(bits); n++)
		if (x86_feature_is_set(features, bits[n].feature))
			valid |= bits[n].bit;
	return valid;
}

/* Before KVM_SET_CPUID2 clients may set CR4 as the best processor would have it. */
static u64 cr4_supported(void)
{
	struct kvm_cpuid_entry2 entries[4];
	struct list_out out = { .entries = entries, .room = ARRAY_LEN(entries) };
	u64 features[X86_FEATURE_WORDS] = { 0 };

	leaf_1_add(&out);
	leaf_7_add(&out);
	features_derive(features, entries, out.count);
	return cr4_derive(features);
}

static u64 efer_derive(struct vcpu *v)
{
	u64 valid = X86_EFER_SCE;

	if (cpuid_has(v, X86_FEATURE_LM))
		valid |= X86_EFER_LME | X86_EFER_LMA;
	if (cpuid_has(v, X86_FEATURE_NX))
		valid |= X86_EFER_NXE;
	if (cpuid_has(v, X86_FEATURE_FFXSR))
		valid |= X86_EFER_FFXSR;
	if (cpuid_has(v, X86_FEATURE_SVM) && core_has_nesting())
		valid |= X86_EFER_SVME;
	return valid;
}

static bool is_amd(struct vcpu *v)
{
	const struct kvm_cpuid_entry2 *e = entry_find(v, 0, 0);
	static const u32 amd[3] = { 0x68747541, 0x444d4163, 0x69746e65 };	/* EBX ECX EDX */
	static const u32 hygon[3] = { 0x6f677948, 0x656e6975, 0x6e65476e };

	if (!e)
		return true;
	return (e->ebx == amd[0] && e->ecx == amd[1] && e->edx == amd[2]) ||
	       (e->ebx == hygon[0] && e->ecx == hygon[2] && e->edx == hygon[1]);
}

static void derive(struct vcpu *v)
{
	const struct kvm_cpuid_entry2 *e;
	u64 supported = cpuid_xcr0_supported();

	__builtin_memset(v->x.features, 0, sizeof(v->x.features));
	features_derive(v->x.features, v->cpuid, v->cpuid_count);
	v->x.cr4_valid = v->cpuid_count ? cr4_derive(v->x.features) : cr4_supported();
	v->x.efer_valid = efer_derive(v);
	if (!(v->x.efer_valid & X86_EFER_SVME))
		nested_leave(v);
	v->x.vendor_amd = is_amd(v);
	e = entry_find(v, 0x80000008, 0);
	v->x.phys_bits = e && (e->eax & 0xff) ? (u8)MIN_OF(e->eax & 0xff, 52u) : 36;
	e = entry_find(v, 0xd, 0);
	v->guest_xcr0_allowed = e ? (e->eax | (u64)e->edx << 32) & supported : 0;
	cpuid_update_runtime(v);
	if (v->lapic)
		lapic_cpuid_changed(v);
	v->vm->be->intercepts_update(v);
}

static void runtime_patch(struct vcpu *v, struct kvm_cpuid_entry2 *entries, u32 count)
{
	struct kvm_cpuid_entry2 *e = entry_in(entries, count, 1, 0);

	vcpu_regs_need(v, REGS_CR);
	if (e) {
		e->ecx &= ~B(27);
		if ((e->ecx & B(26)) && (v->x.cr4 & X86_CR4_OSXSAVE))
			e->ecx |= B(27);
		/* Older clients never set the MSR, so CPUID follows it only if they ask. */
		if (vm_quirk_is_off(v->vm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT)) {
			e->ecx &= ~B(3);
			if (v->misc_enable & BIT_U64(18))
				e->ecx |= B(3);
		}
		e->edx &= ~B(9);
		if (v->apic_base & BIT_U64(11))
			e->edx |= B(9);
	}
	e = entry_in(entries, count, 7, 0);
	if (e) {
		e->ecx &= ~B(4);	/* OSPKE */
		if ((e->ecx & B(3)) && (v->x.cr4 & X86_CR4_PKE))
			e->ecx |= B(4);
	}
	e = entry_in(entries, count, 0xd, 0);
	if (e)
		e->ebx = fpu_bytes(v->x.xcr0);
	e = entry_in(entries, count, 0xd, 1);
	if (e && (e->eax & (B(1) | B(3))))
		e->ebx = fpu_compact_bytes(v->x.xcr0);
}

void cpuid_update_runtime(struct vcpu *v)
{
	if (v->cpuid_count)
		runtime_patch(v, v->cpuid, v->cpuid_count);
}

int vcpu_set_cpuid(struct vcpu *v, const struct kvm_cpuid_entry2 *entries, u32 count)
{
	struct kvm_cpuid_entry2 *copy = NULL;
	u64 bytes = (u64)count * sizeof(*copy);
	bool same;

	for (u32 n = 0; n < count; n++)
		if (entries[n].function == 0x80000008) {
			u32 linear = entries[n].eax >> 8 & 0xff;

			if (linear && linear != 48 && linear != 57)
				return -EINVAL;
		}
	if (count) {
		copy = host_alloc(bytes, 0);
		if (!copy)
			return -ENOMEM;
		__builtin_memcpy(copy, entries, bytes);
	}
	if (v->launched) {	/* a running guest's processor does not change; the same again is fine */
		if (count)
			runtime_patch(v, copy, count);
		same = count == v->cpuid_count && (!count || !__builtin_memcmp(copy, v->cpuid, bytes));
		host_free(copy);
		return same ? 0 : -EINVAL;
	}
	host_free(v->cpuid);
	v->cpuid = copy;
	v->cpuid_count = count;
	derive(v);
	return 0;
}

int vcpu_get_cpuid(struct vcpu *v, struct kvm_cpuid_entry2 *entries, u32 *count)
{
	u32 room = *count;

	*count = v->cpuid_count;
	if (room < v->cpuid_count)
		return -E2BIG;
	if (v->cpuid_count)
		__builtin_memcpy(entries, v->cpuid, v->cpuid_count * sizeof(*entries));
	return 0;
}

/* Beyond the last leaf, Intel's answer is that of the last basic leaf; AMD's is zero. */
static const struct kvm_cpuid_entry2 *out_of_range(struct vcpu *v, u32 leaf, u32 subleaf)
{
	const struct kvm_cpuid_entry2 *basic = entry_find(v, 0, 0);
	const struct kvm_cpuid_entry2 *class = entry_find(v, leaf & 0xffff0000, 0);

	if (!basic || v->x.vendor_amd)
		return NULL;
	if (leaf >= 0x40000000 && leaf < 0x40010000)
		return NULL;
	if (leaf & 0x80000000 ? class && leaf <= class->eax : leaf <= basic->eax)
		return NULL;
	return entry_find(v, basic->eax, subleaf);
}

void cpuid_execute(struct vcpu *v, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	u32 leaf = *eax, subleaf = *ecx;
	const struct kvm_cpuid_entry2 *e = entry_find(v, leaf, subleaf);

	if (!e)
		e = out_of_range(v, leaf, subleaf);
	if (e) {
		*eax = e->eax;
		*ebx = e->ebx;
		*ecx = e->ecx;
		*edx = e->edx;
		return;
	}
	*eax = *ebx = *ecx = *edx = 0;
	/* Past the last level of topology: the level type is 0, but level and id are there. */
	if (leaf == 0xb || leaf == 0x1f) {
		e = entry_find(v, leaf, 1);
		if (e) {
			*ecx = subleaf & 0xff;
			*edx = e->edx;
		}
	}
}
