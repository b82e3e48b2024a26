// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cpu.c - the software processor as a thing: power-on, pins, CPUID
 *
 * It calls itself an AMD processor, since AMD-V is what it has.  Of instruction sets it
 * has those that the decoder, the executor and the vector unit know (lists below); where an
 * instruction is executed by the host's own silicon the host must have it too.
 *
 * The host's CPUID is read once: under a hypervisor it is a slow instruction.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 3, "Obtaining Processor
 * Information Via the CPUID Instruction".
 */
#include "base/atomic.h"
#include "soft/cpu.h"
#include "x86/feature.h"

#define HIGHEST_LEAF		0xdu
#define HIGHEST_EXTENDED	0x80000021u
#define SIGNATURE		0x00b00f21u	/* family 1Ah, model 2, stepping 1 */
#define XCR0_BITS		63u

#define XCR0_AVX	BIT_U64(2)
#define XCR0_AVX512	(BIT_U64(5) | BIT_U64(6) | BIT_U64(7))
#define PKRU_COMPONENT	9u
#define PKRU_COMPONENT_BYTES 8u
#define XCR0_PKRU	BIT_U64(PKRU_COMPONENT)

/* --- features ------------------------------------------------------------------------------ */

/* Executed by x86/, in C: there whatever the host is. */
static const u8 own_features[] = {
#define F(name) X86_FEATURE_##name
	F(FPU), F(DE), F(PSE), F(TSC), F(MSR), F(PAE), F(MCE), F(CX8), F(APIC), F(SEP), F(MTRR), F(PGE),
	F(MCA), F(CMOV), F(PAT), F(PSE36), F(CLFLUSH), F(FXSR), F(MONITOR), F(CX16), F(MOVBE), F(POPCNT),
	F(FSGSBASE), F(BMI1), F(SMEP), F(BMI2), F(ERMS), F(ADX), F(SMAP), F(CLFLUSHOPT), F(CLWB), F(UMIP),
	F(RDPID), F(FSRM), F(LAHF), F(SVM), F(CR8), F(LZCNT), F(PREFETCHW), F(SYSCALL), F(NX),
	F(PDPE1GB), F(RDTSCP), F(LM), F(NRIPS), F(PKS),
};

/* Executed by the host's silicon, each with the XCR0 components that it needs. */
static const struct { u8 feature; u64 xcr0; } host_features[] = {
	{ F(MMX), 0 }, { F(SSE), 0 }, { F(SSE2), 0 }, { F(SSE3), 0 }, { F(SSSE3), 0 }, { F(SSE41), 0 },
	{ F(SSE42), 0 }, { F(PCLMUL), 0 }, { F(AESNI), 0 }, { F(SHA), 0 }, { F(GFNI), 0 }, { F(SSE4A), 0 },
	{ F(RDRAND), 0 }, { F(RDSEED), 0 }, { F(XSAVE), 1 }, { F(XSAVEOPT), 1 }, { F(XSAVEC), 1 }, { F(XGETBV1), 1 },
	{ F(AVX), XCR0_AVX }, { F(AVX2), XCR0_AVX }, { F(FMA), XCR0_AVX }, { F(F16C), XCR0_AVX },
	{ F(VAES), XCR0_AVX }, { F(VPCLMUL), XCR0_AVX }, { F(AVXVNNI), XCR0_AVX },
	{ F(AVX512F), XCR0_AVX512 }, { F(AVX512DQ), XCR0_AVX512 }, { F(AVX512IFMA), XCR0_AVX512 },
	{ F(AVX512CD), XCR0_AVX512 }, { F(AVX512BW), XCR0_AVX512 }, { F(AVX512VL), XCR0_AVX512 },
	{ F(AVX512VBMI), XCR0_AVX512 }, { F(AVX512VBMI2), XCR0_AVX512 }, { F(AVX512VNNI), XCR0_AVX512 },
	{ F(AVX512BITALG), XCR0_AVX512 }, { F(AVX512VPOPCNTDQ), XCR0_AVX512 }, { F(AVX512BF16), XCR0_AVX512 },
	{ F(AVX512FP16), XCR0_AVX512 },
#undef F
};

static void host_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	__asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "0"(leaf), "2"(subleaf));
}

/* What there is to know, found out once; the same whoever does it. */
static struct {
	u32 ready;		/* atomic; 0 not yet, 1 being found out, 2 found */
	u64 features[X86_FEATURE_WORDS];
	u64 xcr0;
	u32 component[XCR0_BITS][4];	/* CPUID 0Dh, sizes and offsets */
} known;

static bool host_has(const struct x86_feature_bit *f)
{
	u32 out[4];

	host_cpuid(f->leaf & 0x80000000u, 0, out);
	if (f->leaf > out[0])
		return false;
	host_cpuid(f->leaf, f->subleaf, out);
	return out[f->reg] >> f->bit & 1;
}

static void find_out(void)
{
	known.xcr0 = soft_vector_xcr0();
	for (unsigned n = 0; n < ARRAY_LEN(own_features); n++)
		x86_feature_set(known.features, own_features[n]);
	for (unsigned n = 0; n < ARRAY_LEN(host_features); n++)
		if ((host_features[n].xcr0 & ~known.xcr0) == 0 &&
		    host_has(&x86_feature_cpuid[host_features[n].feature]))
			x86_feature_set(known.features, host_features[n].feature);
	for (unsigned n = 2; n < XCR0_BITS; n++)
		if (known.xcr0 >> n & 1)
			host_cpuid(0xd, n, known.component[n]);
	if (soft_pkru_offset()) {	/* ours, too, but for XSAVE to save its register */
		x86_feature_set(known.features, X86_FEATURE_PKU);
		known.xcr0 |= XCR0_PKRU;
		known.component[PKRU_COMPONENT][X86_CPUID_EAX] = PKRU_COMPONENT_BYTES;
		known.component[PKRU_COMPONENT][X86_CPUID_EBX] = soft_pkru_offset();
	}
}

static void know(void)
{
	u32 expected = 0;

	if (LIKELY(atomic_load_acquire(&known.ready) == 2))
		return;
	if (atomic_cmpxchg(&known.ready, &expected, 1u)) {
		find_out();
		atomic_store_release(&known.ready, 2u);
	}
	while (atomic_load_acquire(&known.ready) != 2)
		__builtin_ia32_pause();
}

/* --- CPUID ------------------------------------------------------------------------------------ */

/* The bits of all features that this leaf reports. */
static void feature_bits(u32 leaf, u32 subleaf, u32 out[4])
{
	for (unsigned n = 1; n < X86_FEATURES; n++) {
		const struct x86_feature_bit *f = &x86_feature_cpuid[n];

		if (f->leaf == leaf && f->subleaf == subleaf && x86_feature_is_set(known.features, n))
			out[f->reg] |= 1u << f->bit;
	}
}

/* Bytes of an XSAVE area that holds these components. */
static u32 xsave_bytes(u64 xcr0, bool compact)
{
	u32 end = 512 + 64;

	for (unsigned n = 2; n < XCR0_BITS; n++) {
		const u32 *c = known.component[n];

		if (!(xcr0 & known.xcr0 & BIT_U64(n)))
			continue;
		if (!compact)
			end = MAX_OF(end, c[X86_CPUID_EAX] + c[X86_CPUID_EBX]);
		else
			end = (c[X86_CPUID_ECX] & 2 ? (end + 63) & ~63u : end) + c[X86_CPUID_EAX];
	}
	return end;
}

static void cpuid_xsave(u32 subleaf, u64 enabled, u32 out[4])
{
	if (!x86_feature_is_set(known.features, X86_FEATURE_XSAVE))
		return;
	switch (subleaf) {
	case 0:
		out[X86_CPUID_EAX] = (u32)known.xcr0;
		out[X86_CPUID_EDX] = (u32)(known.xcr0 >> 32);
		out[X86_CPUID_EBX] = xsave_bytes(enabled, false);
		out[X86_CPUID_ECX] = xsave_bytes(known.xcr0, false);
		break;
	case 1:
		feature_bits(0xd, 1, out);
		out[X86_CPUID_EBX] = xsave_bytes(enabled, true);
		break;
	default:
		if (subleaf < XCR0_BITS)
			__builtin_memcpy(out, known.component[subleaf], sizeof(known.component[subleaf]));
	}
}

static void text(u32 out[4], const char s[16])
{
	__builtin_memcpy(out, s, 16);
}

static void cpuid(u32 leaf, u32 subleaf, u64 xcr0, u32 out[4])
{
	know();
	out[0] = out[1] = out[2] = out[3] = 0;
	switch (leaf) {
	case 0:
	case 0x80000000:
		out[X86_CPUID_EAX] = leaf ? HIGHEST_EXTENDED : HIGHEST_LEAF;
		out[X86_CPUID_EBX] = 0x68747541;	/* AuthenticAMD */
		out[X86_CPUID_EDX] = 0x69746e65;
		out[X86_CPUID_ECX] = 0x444d4163;
		break;
	case 1:
		out[X86_CPUID_EAX] = SIGNATURE;
		out[X86_CPUID_EBX] = 1 << 16 | 8 << 8;	/* one thread; CLFLUSH of 64 bytes */
		feature_bits(leaf, 0, out);
		break;
	case 6:
		out[X86_CPUID_EAX] = 1 << 2;		/* the APIC timer always runs */
		break;
	case 7:
		if (subleaf == 0)
			out[X86_CPUID_EAX] = 1;
		feature_bits(leaf, subleaf, out);
		break;
	case 0xd:
		cpuid_xsave(subleaf, xcr0, out);
		break;
	case 0x80000001:
		out[X86_CPUID_EAX] = SIGNATURE;
		feature_bits(leaf, 0, out);
		/* AMD repeats much of leaf 1. */
		{
			u32 one[4] = { 0 };

			feature_bits(1, 0, one);
			out[X86_CPUID_EDX] |= one[X86_CPUID_EDX] & 0x0183f3ffu;
		}
		break;
	case 0x80000002:
		text(out, "anykvm software ");
		break;
	case 0x80000003:
		text(out, "processor\0\0\0\0\0\0");
		break;
	case 0x80000005:	/* L1: 32 KiB, 8 ways, 64-byte lines */
		out[X86_CPUID_EAX] = out[X86_CPUID_EBX] = 0xff40ff40;
		out[X86_CPUID_ECX] = out[X86_CPUID_EDX] = 32u << 24 | 8 << 16 | 1 << 8 | 64;
		break;
	case 0x80000006:	/* L2: 1 MiB, 8 ways; L3: 32 MiB, 16 ways */
		out[X86_CPUID_EAX] = out[X86_CPUID_EBX] = 0x42004200;	/* TLBs: 512 entries, 4 ways */
		out[X86_CPUID_ECX] = 1024u << 16 | 6 << 12 | 1 << 8 | 64;
		out[X86_CPUID_EDX] = 64u << 18 | 8 << 12 | 1 << 8 | 64;
		break;
	case 0x80000007:
		out[X86_CPUID_EDX] = 1 << 8;		/* invariant TSC */
		break;
	case 0x80000008:
		out[X86_CPUID_EAX] = 48 << 8 | 48;
		feature_bits(leaf, 0, out);
		break;
	case 0x8000000a:
		out[X86_CPUID_EAX] = 1;
		out[X86_CPUID_EBX] = SOFT_ASIDS;
		/* NP, NRIPS, FlushByAsid, DecodeAssists, PauseFilter, PauseFilterThreshold */
		out[X86_CPUID_EDX] = 1 << 0 | 1 << 3 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 12;
		break;
	case 0x80000021:
		out[X86_CPUID_EAX] = 1 << 2 | 1 << 6;	/* LFENCE serializes; null selectors clear bases */
		break;
	}
}

void soft_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	cpuid(leaf, subleaf, 1, out);
}

void soft_guest_cpuid(struct x86 *x, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	u32 out[4], leaf = *eax;

	cpuid(leaf, *ecx, x->xcr0, out);
	if (leaf == 1 && (x->cr4 & X86_CR4_OSXSAVE))
		out[X86_CPUID_ECX] |= 1u << 27;
	if (leaf == 7 && *ecx == 0 && (x->cr4 & X86_CR4_PKE))
		out[X86_CPUID_ECX] |= 1u << 4;
	*eax = out[X86_CPUID_EAX];
	*ebx = out[X86_CPUID_EBX];
	*ecx = out[X86_CPUID_ECX];
	*edx = out[X86_CPUID_EDX];
}

/* --- the bus ------------------------------------------------------------------------------------ */

u64 soft_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

static u64 guest_rdtsc(struct x86 *x)
{
	return soft_tsc() + soft_of(x)->tsc_offset;
}

/* A virtual task priority is the only one there is. */
static u64 guest_read_cr8(struct x86 *x)
{
	return soft_of(x)->int_ctl & 15;
}

static void guest_write_cr8(struct x86 *x, u64 value)
{
	struct soft_cpu *c = soft_of(x);

	c->int_ctl = (c->int_ctl & ~VMCB_INT_CTL_V_TPR) | (value & 15);
	x->attention |= X86_ATTN_FLAGS;
}

/* Ports that are not intercepted: nothing is there. */
static enum x86_result guest_in(struct x86 *x, u16 port, unsigned bytes, u32 *value)
{
	soft_debug_io(soft_of(x), port, bytes);
	*value = bytes == 4 ? ~0u : (1u << (8 * bytes)) - 1;
	return X86_OK;
}

static enum x86_result guest_out(struct x86 *x, u16 port, unsigned bytes, u32 value)
{
	(void)value;
	soft_debug_io(soft_of(x), port, bytes);
	return X86_OK;
}

static enum x86_result guest_vector(struct x86 *x, const struct x86_insn *i)
{
	struct soft_cpu *c = soft_of(x);

	c->counters.vector_instructions++;
	return soft_vector_execute(c->vector, x, i);
}

/* AMD-V's own instructions are intercepted, or the guest's hypervisor does not exist. */
static enum x86_result guest_system(struct x86 *x, const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_VMRUN:
	case X86_OP_VMMCALL:
	case X86_OP_VMLOAD:
	case X86_OP_VMSAVE:
	case X86_OP_STGI:
	case X86_OP_CLGI:
	case X86_OP_SKINIT:
		return x86_raise(x, X86_UD);
	case X86_OP_INVLPGA:
		soft_invlpga(soft_of(x), x->gpr[X86_RAX], (u32)x->gpr[X86_RCX]);
		return X86_OK;
	default:
		return soft_vector_system(soft_of(x)->vector, x, i);
	}
}

const struct x86_bus soft_bus = {
	.read = soft_mem_read, .write = soft_mem_write, .probe = soft_mem_probe, .map = soft_mem_map,
	.lock = soft_mem_lock, .unlock = soft_mem_unlock,
	.in = guest_in, .out = guest_out,
	.hook = soft_hook,
	.cpuid = soft_guest_cpuid, .rdmsr = soft_guest_rdmsr, .wrmsr = soft_guest_wrmsr,
	.rdtsc = guest_rdtsc, .read_cr8 = guest_read_cr8, .write_cr8 = guest_write_cr8,
	.flush = soft_tlb_flush, .mode_changed = soft_mode_changed,
	.vector = guest_vector, .system = guest_system,
};

/* --- power-on -------------------------------------------------------------------------------------- */

#define ALIGN64(n)	(((n) + 63) & ~63ull)
#define DECODED_BYTES	(sizeof(struct x86_insn) * (SOFT_DECODED + 1))
#define PLACE_BYTES	(sizeof(u16) << SOFT_PLACE_BITS)

u64 soft_cpu_bytes(void)
{
	return DECODED_BYTES + PLACE_BYTES + ALIGN64(sizeof(struct soft_cpu)) + ALIGN64(soft_vector_bytes()) +
	       ALIGN64(soft_translator_bytes());
}

/* Bits of CR4 that exist where a feature does. */
static u64 cr4_valid(const u64 features[X86_FEATURE_WORDS])
{
	static const struct { u8 feature; u64 bits; } bits[] = {
		{ X86_FEATURE_NONE, X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE |
				    X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT },
		{ X86_FEATURE_VME, X86_CR4_VME | X86_CR4_PVI },
		{ X86_FEATURE_UMIP, X86_CR4_UMIP }, { X86_FEATURE_FSGSBASE, X86_CR4_FSGSBASE },
		{ X86_FEATURE_XSAVE, X86_CR4_OSXSAVE }, { X86_FEATURE_SMEP, X86_CR4_SMEP },
		{ X86_FEATURE_SMAP, X86_CR4_SMAP }, { X86_FEATURE_PKU, X86_CR4_PKE },
		{ X86_FEATURE_PKS, X86_CR4_PKS },
		{ X86_FEATURE_LA57, X86_CR4_LA57 },
	};
	u64 valid = 0;

	for (unsigned n = 0; n < ARRAY_LEN(bits); n++)
		if (x86_feature_is_set(features, bits[n].feature))
			valid |= bits[n].bits;
	return valid;
}

void soft_cpu_init(struct soft_cpu *c, unsigned id, const struct soft_code *code)
{
	struct soft_code vector = *code, rest = *code;
	u8 *memory = (u8 *)c;
	struct x86 *x = &c->x;

	know();
	c->id = id;
	c->vector = (struct soft_vector *)(memory + ALIGN64(sizeof(*c)));
	c->decoded = (struct x86_insn *)(memory + ALIGN64(sizeof(*c)) + ALIGN64(soft_vector_bytes()));
	c->place = (u16 *)((u8 *)c->decoded + DECODED_BYTES);
	if (code->bytes > 2 * SOFT_VECTOR_CODE) {	/* the vector unit's, and the translator's */
		vector.bytes = SOFT_VECTOR_CODE;
		rest.write += vector.bytes;
		rest.run += vector.bytes;
		rest.bytes -= vector.bytes;
		soft_translator_init(c, (struct soft_translator *)(memory + soft_cpu_bytes() -
				     ALIGN64(soft_translator_bytes())), &rest);
	}
	soft_vector_init(c->vector, &vector);

	x->bus = &soft_bus;
	x->tlb = &x86_tlb_empty;
	x->rflags = X86_FLAG_1;
	x->xcr0 = 1;
	x->dr6 = 0xffff0ff0;
	x->dr7 = 0x400;
	x->phys_bits = 48;
	x->vendor_amd = true;
	__builtin_memcpy(x->features, known.features, sizeof(x->features));
	x->cr4_valid = cr4_valid(x->features);
	x->efer_valid = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SVME;
	for (unsigned n = 0; n < SOFT_PRIVILEGES; n++)
		__builtin_memset(c->tlb[n].present, 0xff, sizeof(c->tlb[n].present));	/* tag 0 would be page 0 */
	__builtin_memset(c->nested_present, 0xff, sizeof(c->nested_present));
	soft_tlb_flush_nested(c);
}

/* XSTATE_BV of an area. */
static u64 *xstate_bv_of(void *area)
{
	return (u64 *)((u8 *)area + 512);
}

/* PKRU has effect whatever XCR0 is. */
static void pkru_load(struct soft_cpu *c, const void *area)
{
	u32 pkru = 0;

	if (!soft_pkru_offset())
		return;
	if (*xstate_bv_of((void *)area) & XCR0_PKRU)
		__builtin_memcpy(&pkru, (const u8 *)area + soft_pkru_offset(), sizeof(pkru));
	x86_write_pkru(&c->x, pkru);
}

static void pkru_save(const struct soft_cpu *c, void *area)
{
	u64 *xstate_bv = xstate_bv_of(area);
	u64 pkru = c->x.pkru;

	if (!soft_pkru_offset())
		return;
	__builtin_memcpy((u8 *)area + soft_pkru_offset(), &pkru, sizeof(pkru));
	*xstate_bv = (*xstate_bv & ~XCR0_PKRU) | (pkru ? XCR0_PKRU : 0);
}

void soft_fpu_load(struct soft_cpu *c, const void *area, u64 xcr0)
{
	c->x.xcr0 = xcr0;
	pkru_load(c, area);
	soft_vector_load(c->vector, area, xcr0);
}

u32 soft_fpu_save(struct soft_cpu *c, void *area, u64 xcr0)
{
	soft_vector_save(c->vector, area, xcr0);
	pkru_save(c, area);
	return c->x.pkru;
}

void soft_distrust(struct soft_cpu *c)
{
	c->distrust = true;
}

void soft_debug_load(struct soft_cpu *c, const u64 dr[4])
{
	__builtin_memcpy(c->x.dr, dr, sizeof(c->x.dr));
}

void soft_debug_save(const struct soft_cpu *c, u64 dr[4])
{
	__builtin_memcpy(dr, c->x.dr, sizeof(c->x.dr));
}

void soft_interrupt(struct soft_cpu *c)
{
	atomic_fetch_or(&c->pins, SOFT_PIN_INTR);
}

void soft_interrupt_ack(struct soft_cpu *c)
{
	atomic_fetch_and(&c->pins, ~SOFT_PIN_INTR);
}

void soft_nmi(struct soft_cpu *c)
{
	atomic_fetch_or(&c->pins, SOFT_PIN_NMI);
}

void soft_counters(const struct soft_cpu *c, struct soft_counters *out)
{
	*out = c->counters;
}
