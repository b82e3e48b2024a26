// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vector_state.c - where the guest's vector registers are
 *
 * Normally in the silicon, from the first instruction that needs them until
 * soft_vector_save(): all code that runs in between leaves them alone.  Under sanitizers,
 * whose runtimes do not, they are in v->state, and are loaded and saved around each stub
 * (SOFT_FPU_EAGER).
 *
 * The live MXCSR and x87 control word mask all exceptions, so that a stub can not raise
 * SIGFPE; what the guest unmasks is in v->mxcsr_unmasked and v->x87_unmasked.
 * Instruction and data pointers of the x87 would be addresses of stubs: they read as zero.
 *
 * Reference: Intel SDM vol. 1, "Managing State Using the XSAVE Feature Set".
 */
#include "base/atomic.h"
#include "base/bits.h"
#include "soft/vector_unit.h"

#define LEGACY_BYTES	512u
#define MXCSR_DEFAULT_VALID 0xffbfu
#define PKRU_BYTES	8u

static void host_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	__asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "0"(leaf), "2"(subleaf));
}

/* --- the silicon ------------------------------------------------------------------------- */

static inline void silicon_xsave(struct vector_area *a, u64 rfbm)
{
	__asm__ volatile("xsave64 %0" : "+m"(*a) : "a"((u32)rfbm), "d"((u32)(rfbm >> 32)) : "memory");
}

static inline void silicon_xrstor(const struct vector_area *a, u64 rfbm)
{
	__asm__ volatile("xrstor64 %0" : : "m"(*a), "a"((u32)rfbm), "d"((u32)(rfbm >> 32)) : "memory");
}

static inline void silicon_fxsave(struct vector_area *a)
{
	__asm__ volatile("fxsave64 %0" : "+m"(*a) : : "memory");
}

static inline void silicon_fxrstor(const struct vector_area *a)
{
	__asm__ volatile("fxrstor64 %0" : : "m"(*a) : "memory");
}

static struct vector_host host;

/* Behind all others, where processors have it, too. */
static void pkru_place(struct vector_host *h)
{
	u32 end = (u32)offsetof(struct vector_area, rest);

	for (unsigned n = 2; n < 8; n++)
		if (h->components >> n & 1)
			end = MAX_OF(end, h->offset[n] + h->bytes[n]);
	h->offset[9] = end;
	h->bytes[9] = PKRU_BYTES;
	h->known = h->components | XSTATE_PKRU;
}

static void find_out(struct vector_host *h)
{
	struct vector_area a __attribute__((aligned(64)));
	u32 r[4], low, high;

	__builtin_memset(&a, 0, sizeof(a));
	silicon_fxsave(&a);
	h->mxcsr_valid = a.mxcsr_mask ? a.mxcsr_mask : MXCSR_DEFAULT_VALID;
	h->components = h->known = XSTATE_X87 | XSTATE_SSE;
	host_cpuid(1, 0, r);
	if (!(r[2] >> 27 & 1))		/* OSXSAVE */
		return;
	h->xsave = true;
	host_cpuid(7, 0, r);
	h->avx512bw = r[1] >> 30 & 1;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	h->harmless = low & XSTATE_PKRU;
	if (low & XSTATE_AVX)
		h->components |= XSTATE_AVX;
	if ((low & XSTATE_AVX512) == XSTATE_AVX512 && (low & XSTATE_AVX))
		h->components |= XSTATE_AVX512;
	for (unsigned n = 2; n < 8; n++) {
		if (!(h->components >> n & 1))
			continue;
		host_cpuid(0xd, n, r);
		h->bytes[n] = r[0];
		h->offset[n] = r[1];
		h->aligned[n] = r[2] >> 1 & 1;
		if (r[0] + r[1] > VECTOR_AREA_BYTES - PKRU_BYTES)	/* no processor does this */
			h->components &= XSTATE_X87 | XSTATE_SSE;
	}
	pkru_place(h);
}

const struct vector_host *vector_host(void)
{
	u32 expected = 0;

	if (LIKELY(atomic_load_acquire(&host.ready) == 2))
		return &host;
	if (atomic_cmpxchg(&host.ready, &expected, 1u)) {
		find_out(&host);
		atomic_store_release(&host.ready, 2u);
	}
	while (atomic_load_acquire(&host.ready) != 2)
		__builtin_ia32_pause();
	return &host;
}

u64 soft_vector_xcr0(void)
{
	return vector_host()->components;
}

u32 soft_pkru_offset(void)
{
	return vector_host()->offset[9];
}

/* --- areas ----------------------------------------------------------------------------------- */

static void copy_component(struct vector_area *to, const struct vector_area *from, unsigned n)
{
	const struct vector_host *h = vector_host();

	__builtin_memcpy((u8 *)to + h->offset[n], (const u8 *)from + h->offset[n], h->bytes[n]);
}

/* Components of rfbm from one area to another; the header says which are there. */
static void copy_area(struct vector_area *to, const struct vector_area *from, u64 rfbm)
{
	to->xstate_bv = (to->xstate_bv & ~rfbm) | (from->xstate_bv & rfbm);
	if (rfbm & XSTATE_X87) {
		__builtin_memcpy(to, from, offsetof(struct vector_area, mxcsr));
		__builtin_memcpy(to->st, from->st, sizeof(to->st));
	}
	if (rfbm & (XSTATE_SSE | XSTATE_AVX)) {
		to->mxcsr = from->mxcsr;
		to->mxcsr_mask = from->mxcsr_mask;
	}
	if (rfbm & XSTATE_SSE)
		__builtin_memcpy(to->xmm, from->xmm, sizeof(to->xmm));
	for (unsigned n = 2; n < 8; n++)
		if (rfbm >> n & 1)
			copy_component(to, from, n);
}

/* Without XSAVE the header is ours to interpret. */
static void initial_legacy(struct vector_area *a, u64 absent)
{
	if (absent & XSTATE_X87) {
		__builtin_memset(a, 0, offsetof(struct vector_area, mxcsr));
		__builtin_memset(a->st, 0, sizeof(a->st));
		a->fcw = FCW_INITIAL;
	}
	if (absent & XSTATE_SSE)
		__builtin_memset(a->xmm, 0, sizeof(a->xmm));
}

/* --- live registers ------------------------------------------------------------------------------ */

#ifdef SOFT_FPU_EAGER

void vector_capture(struct soft_vector *v, struct vector_area *to)
{
	*to = v->state;
	initial_legacy(to, ~v->state.xstate_bv);
	for (unsigned n = 2; n < 8; n++)
		if (vector_host()->components & ~v->state.xstate_bv & BIT_U64(n))
			__builtin_memset((u8 *)to + vector_host()->offset[n], 0, vector_host()->bytes[n]);
}

void vector_apply(struct soft_vector *v, const struct vector_area *from, u64 rfbm)
{
	copy_area(&v->state, from, rfbm);
}

u32 vector_mxcsr(struct soft_vector *v)
{
	return v->state.mxcsr;
}

void vector_set_mxcsr(struct soft_vector *v, u32 value)
{
	v->state.mxcsr = value;
}

u16 vector_fsw(struct soft_vector *v)
{
	return v->state.xstate_bv & XSTATE_X87 ? v->state.fsw : 0;
}

/* One asm statement, so that nothing of the sanitizer's comes between its parts. */
void vector_call(struct soft_vector *v, vector_stub stub, u64 *gpr, void *memory, u32 *flags)
{
	const struct vector_host *h = vector_host();
	struct { u32 mxcsr; u16 control; } own;
	u32 rfbm = (u32)h->components;

	if (!h->xsave) {
		__asm__ volatile("mov %[flags], %%r8\n\tstmxcsr %[mxcsr]\n\tfnstcw %[control]\n\t"
				 "fxrstor64 (%[state])\n\tcall *%[stub]\n\tfxsave64 (%[state])\n\t"
				 "fninit\n\tfldcw %[control]\n\tldmxcsr %[mxcsr]"
				 : [mxcsr] "=m"(own.mxcsr), [control] "=m"(own.control), "+D"(gpr),
				   "+S"(memory)
				 : [state] "b"(&v->state), [stub] "r"(stub), [flags] "r"(flags)
				 : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
		return;
	}
	__asm__ volatile("mov %[flags], %%r8\n\tstmxcsr %[mxcsr]\n\tfnstcw %[control]\n\t"
			 "mov %[rfbm], %%eax\n\txor %%edx, %%edx\n\txrstor64 (%[state])\n\t"
			 "call *%[stub]\n\t"
			 "mov %[rfbm], %%eax\n\txor %%edx, %%edx\n\txsave64 (%[state])\n\t"
			 "fninit\n\tfldcw %[control]\n\tldmxcsr %[mxcsr]"
			 : [mxcsr] "=m"(own.mxcsr), [control] "=m"(own.control), "+D"(gpr), "+S"(memory)
			 : [state] "b"(&v->state), [stub] "r"((u64)stub), [flags] "r"(flags), [rfbm] "m"(rfbm)
			 : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
	if (h->components & XSTATE_AVX)
		__asm__ volatile("vzeroupper" : : : "memory");
}

#else

void vector_capture(struct soft_vector *v, struct vector_area *to)
{
	(void)v;
	if (!vector_host()->xsave) {
		silicon_fxsave(to);
		to->xstate_bv = XSTATE_X87 | XSTATE_SSE;
		return;
	}
	to->xstate_bv = 0;
	silicon_xsave(to, vector_host()->components);
}

void vector_apply(struct soft_vector *v, const struct vector_area *from, u64 rfbm)
{
	if (vector_host()->xsave) {
		silicon_xrstor(from, rfbm);
		return;
	}
	silicon_fxsave(&v->state);
	v->state.xstate_bv = XSTATE_X87 | XSTATE_SSE;
	copy_area(&v->state, from, rfbm);
	initial_legacy(&v->state, ~v->state.xstate_bv);
	silicon_fxrstor(&v->state);
}

u32 vector_mxcsr(struct soft_vector *v)
{
	u32 value;

	(void)v;
	__asm__ volatile("stmxcsr %0" : "=m"(value));
	return value;
}

void vector_set_mxcsr(struct soft_vector *v, u32 value)
{
	(void)v;
	__asm__ volatile("ldmxcsr %0" : : "m"(value));
}

u16 vector_fsw(struct soft_vector *v)
{
	u16 value;

	(void)v;
	__asm__ volatile("fnstsw %0" : "=m"(value));
	return value;
}

void vector_call(struct soft_vector *v, vector_stub stub, u64 *gpr, void *memory, u32 *flags)
{
	(void)v;
	stub(gpr, memory, 0, 0, flags);
}

#endif

/* --- loading and saving ------------------------------------------------------------------------------ */

/* Would XRSTOR take it, and leave everything masked? */
static bool is_plain(const struct vector_area *a, u64 components)
{
	u64 reserved = a->xcomp_bv | (a->xstate_bv & ~components);

	for (unsigned n = 0; n < ARRAY_LEN(a->reserved_210); n++)
		reserved |= a->reserved_210[n];
	return !reserved && (a->fcw & FP_EXCEPTIONS) == FP_EXCEPTIONS &&
	       (a->mxcsr & MXCSR_MASKS) == MXCSR_MASKS && !(a->mxcsr & ~vector_host()->mxcsr_valid);
}

void vector_need(struct soft_vector *v)
{
	const struct vector_host *h = vector_host();
	const struct vector_area *a = v->area;

	if (LIKELY(v->loaded))
		return;
	v->loaded = true;
	v->x87_unmasked = v->mxcsr_unmasked = v->unmasked = 0;
	if (!a || !is_plain(a, v->xcr0 | h->harmless)) {
		struct vector_area *i = &v->image;

		__builtin_memset(i, 0, LEGACY_BYTES + 64);
		if (a)
			copy_area(i, a, v->xcr0);
		else
			i->mxcsr = MXCSR_INITIAL;
		i->mxcsr &= h->mxcsr_valid;
		vector_masks_in(v, i, v->xcr0 | XSTATE_SSE);
		a = i;
	}
	vector_apply(v, a, h->components);
}

/* SSE state is there whatever XCR0 says: CR4.OSFXSR is enough to use it. */
static u64 components_of(u64 xcr0)
{
	return (xcr0 | XSTATE_X87 | XSTATE_SSE) & vector_host()->components;
}

void soft_vector_load(struct soft_vector *v, const void *area, u64 xcr0)
{
	v->area = area;
	v->xcr0 = components_of(xcr0);
	v->loaded = false;
}

/*
 * XSAVE itself would do, were it not for what must be patched; and a caller's area has
 * room for the components of its XCR0 only.
 */
void soft_vector_save(struct soft_vector *v, void *area, u64 xcr0)
{
	struct vector_area *to = area;
	u64 rfbm = components_of(xcr0);

	if (!v->loaded) {
		if (v->area && v->area != area)
			copy_area(to, v->area, rfbm);
		return;
	}
	v->loaded = false;
	v->area = NULL;
#ifndef SOFT_FPU_EAGER
	if (vector_host()->xsave) {
		silicon_xsave(to, rfbm);
		vector_masks_out(v, to);
		return;
	}
#endif
	vector_capture(v, &v->image);
	copy_area(to, &v->image, rfbm);
	vector_masks_out(v, to);
}
