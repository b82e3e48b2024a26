// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_vector_control.c - control words, exceptions, FXSAVE and XSAVE
 */
#include "tests/soft/vector_machine.h"

static struct machine m;

/* Run one instruction of 64-bit code on m; [rbx] is a memory operand. */
static enum x86_result run_bytes(const u8 *bytes, unsigned len)
{
	struct x86_insn i;

	if (x86_decode(&i, bytes, len, 64) != X86_DECODED) {
		EXPECT(!"decodes");
		return X86_UNIMPLEMENTED;
	}
	return unit_run(&m, &i);
}

#define RUN(...) run_bytes((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

#define LDMXCSR		RUN(0x0f, 0xae, 0x13)
#define STMXCSR		RUN(0x0f, 0xae, 0x1b)
#define FLDCW		RUN(0xd9, 0x2b)
#define FNSTCW		RUN(0xd9, 0x3b)
#define FNSTSW_AX	RUN(0xdf, 0xe0)
#define FNSTSW		RUN(0xdd, 0x3b)
#define FNSTENV		RUN(0xd9, 0x33)
#define FLDENV		RUN(0xd9, 0x23)
#define FNSAVE		RUN(0xdd, 0x33)
#define FRSTOR		RUN(0xdd, 0x23)
#define FNINIT		RUN(0xdb, 0xe3)
#define FNCLEX		RUN(0xdb, 0xe2)
#define FWAIT		RUN(0x9b)
#define FLD1		RUN(0xd9, 0xe8)
#define FLDZ		RUN(0xd9, 0xee)
#define FDIVP		RUN(0xde, 0xf9)
#define FADD_ST1	RUN(0xd8, 0xc1)
#define FSTP_M32	RUN(0xd9, 0x1b)
#define DIVSS_01	RUN(0xf3, 0x0f, 0x5e, 0xc1)
#define CVTSS2SI	RUN(0xf3, 0x48, 0x0f, 0x2d, 0xc8)	/* rcx, xmm0 */
#define MOVQ_MM0	RUN(0x0f, 0x6f, 0x03)
#define DIVPS_MEM	RUN(0x0f, 0x5e, 0x03)

static u32 word(unsigned at)
{
	u32 v;

	memcpy(&v, memory + at, 4);
	return v;
}

static void set_word(unsigned at, u32 v)
{
	memcpy(memory + at, &v, 4);
}

static void begin(void)
{
	cpu_reset(64);
	tlb_fill(true);
	memset(&m, 0, sizeof(m));
	m.area[0] = 0x7f, m.area[1] = 3;
	*(u32 *)(m.area + 24) = 0x1f80;
	*(u64 *)(m.area + 512) = 3;
	m.gpr[X86_RBX] = (u64)memory;
	memset(memory, 0, MEMORY_BYTES);
}

static u64 *xmm(unsigned n)
{
	return (u64 *)(m.area + 160 + 16 * n);
}

static void mxcsr_moves(void)
{
	begin();
	set_word(0, 0x1fbf);
	EXPECT_EQ(LDMXCSR, X86_OK);
	set_word(0, 0);
	EXPECT_EQ(STMXCSR, X86_OK);
	EXPECT_EQ(word(0), 0x1fbf);
	set_word(0, 0x1e81);			/* IM stays, IE is set; OM... are masked but ZM not */
	EXPECT_EQ(LDMXCSR, X86_OK);
	EXPECT_EQ(*(u32 *)(m.area + 24), 0x1e81);	/* as the caller saves it */
	set_word(0, 0);
	EXPECT_EQ(STMXCSR, X86_OK);
	EXPECT_EQ(word(0), 0x1e81);
	set_word(0, 0x11f80);			/* reserved */
	EXPECT_EQ(LDMXCSR, X86_FAULT);
	EXPECT_EQ(cpu.fault.vector, X86_GP);
	EXPECT_EQ(*(u32 *)(m.area + 24), 0x1e81);
	m.gpr[X86_RBX] += MEMORY_BYTES - 3;
	EXPECT_EQ(LDMXCSR, X86_FAULT);
	EXPECT_EQ(cpu.fault.vector, X86_PF);
	EXPECT_EQ(STMXCSR, X86_FAULT);
}

static void simd_exceptions(void)
{
	begin();
	*(u32 *)(m.area + 24) = 0x1d80 | 0x20;		/* ZM clear; PE is set already */
	xmm(0)[0] = 0x3f800000;
	xmm(0)[1] = 77;
	EXPECT_EQ(DIVSS_01, X86_FAULT);
	EXPECT_EQ(cpu.fault.vector, X86_XM);
	EXPECT_EQ(xmm(0)[0], 0x3f800000);		/* nothing happened ... */
	EXPECT_EQ(*(u32 *)(m.area + 24), 0x1d80 | 0x24);	/* ... but for the flag */
	EXPECT_EQ(DIVSS_01, X86_FAULT);			/* a set flag does not hide it */
	cpu.cr4 &= ~X86_CR4_OSXMMEXCPT;
	EXPECT_EQ(DIVSS_01, X86_FAULT);
	EXPECT_EQ(cpu.fault.vector, X86_UD);
	xmm(1)[0] = 0x40000000;
	EXPECT_EQ(DIVSS_01, X86_OK);			/* 1 / 2 raises nothing */
	EXPECT_EQ(xmm(0)[0], 0x3f000000);
	EXPECT_EQ(*(u32 *)(m.area + 24), 0x1d80 | 0x24);

	begin();					/* the destination is a general register */
	*(u32 *)(m.area + 24) = 0x1f00;			/* IM clear */
	xmm(0)[0] = 0x7f800000;
	m.gpr[X86_RCX] = 42;
	EXPECT_EQ(CVTSS2SI, X86_FAULT);
	EXPECT_EQ(cpu.fault.vector, X86_XM);
	EXPECT_EQ(m.gpr[X86_RCX], 42);
	xmm(0)[0] = 0x40400000;
	EXPECT_EQ(CVTSS2SI, X86_OK);
	EXPECT_EQ(m.gpr[X86_RCX], 3);

	begin();					/* masked: a flag, and a result */
	xmm(0)[0] = 0x3f800000;
	EXPECT_EQ(DIVSS_01, X86_OK);
	EXPECT_EQ((u32)xmm(0)[0], 0x7f800000);
	EXPECT_EQ(*(u32 *)(m.area + 24), 0x1f84);
}

static void x87_exceptions(void)
{
	begin();
	set_word(0, 0x37b);				/* ZM clear */
	EXPECT_EQ(FLDCW, X86_OK);
	EXPECT_EQ(*(u16 *)m.area, 0x37b);
	EXPECT_EQ(FLD1, X86_OK);
	EXPECT_EQ(FLDZ, X86_OK);
	EXPECT_EQ(FDIVP, X86_OK);			/* the exception is pending ... */
	EXPECT_EQ(FNSTSW_AX, X86_OK);
	EXPECT_EQ(m.gpr[X86_RAX] & 0xbfff, 0xb084);	/* ES, ZE, B; the stack is as it was: TOP 6 */
	EXPECT_EQ(FWAIT, X86_FAULT);			/* ... until something waits */
	EXPECT_EQ(cpu.fault.vector, X86_MF);
	EXPECT_EQ(FADD_ST1, X86_FAULT);
	EXPECT_EQ(MOVQ_MM0, X86_FAULT);
	EXPECT_EQ(cpu.fault.vector, X86_MF);
	EXPECT_EQ(FNSTCW, X86_OK);
	EXPECT_EQ(word(0) & 0xffff, 0x37b);
	EXPECT_EQ(FNSTSW, X86_OK);
	EXPECT_EQ(word(0) & 0x8084, 0x8084);
	EXPECT_EQ(DIVSS_01, X86_OK);			/* SSE does not care */
	EXPECT_EQ(FNCLEX, X86_OK);
	EXPECT_EQ(FWAIT, X86_OK);
	EXPECT_EQ(FADD_ST1, X86_OK);			/* 0 + 1: both were still there */
	set_word(4, 0);
	EXPECT_EQ(FSTP_M32, X86_OK);
	EXPECT_EQ(word(0), 0x3f800000);
	EXPECT_EQ(FNINIT, X86_OK);
	EXPECT_EQ(*(u16 *)m.area, 0x37f);

	begin();					/* an invalid store leaves memory alone */
	set_word(0, 0x37e);				/* IM clear */
	EXPECT_EQ(FLDCW, X86_OK);
	set_word(0, 0x12345678);
	EXPECT_EQ(FSTP_M32, X86_OK);			/* the stack is empty */
	EXPECT_EQ(word(0), 0x12345678);
	EXPECT_EQ(FWAIT, X86_FAULT);
}

static void environments(void)
{
	u8 image[108];

	begin();
	set_word(0, 0x27b);
	EXPECT_EQ(FLDCW, X86_OK);
	EXPECT_EQ(FLD1, X86_OK);
	EXPECT_EQ(FLDZ, X86_OK);
	EXPECT_EQ(FDIVP, X86_OK);
	EXPECT_EQ(FNSTENV, X86_OK);
	EXPECT_EQ(word(0), 0xffff027b);
	EXPECT_EQ(word(4) & 0x80bf, 0x8084);
	EXPECT_EQ(word(8), 0xffff1fff);			/* registers 6 and 7 hold 0 and 1 */
	EXPECT_EQ(word(12) | word(16) | word(20), 0);	/* no address of ours */
	EXPECT_EQ(word(24), 0xffff0000);
	EXPECT_EQ(*(u16 *)m.area, 0x27f);		/* FNSTENV masks */
	EXPECT_EQ(FWAIT, X86_OK);
	EXPECT_EQ(FLDENV, X86_OK);			/* and here it is again */
	EXPECT_EQ(*(u16 *)m.area, 0x27b);
	EXPECT_EQ(FWAIT, X86_FAULT);
	EXPECT_EQ(FNSAVE, X86_OK);
	memcpy(image, memory, sizeof(image));
	EXPECT_EQ(*(u16 *)m.area, 0x37f);		/* FNSAVE initializes */
	EXPECT_EQ(m.area[4], 0);
	EXPECT_EQ(FRSTOR, X86_OK);
	EXPECT_EQ(*(u16 *)m.area, 0x27b);
	EXPECT_EQ(m.area[4], 0xc0);
	EXPECT_EQ(FNSAVE, X86_OK);
	EXPECT(!memcmp(image, memory, sizeof(image)));
	EXPECT_EQ(RUN(0x66, 0xd9, 0x33), X86_OK);	/* the 14-byte format */
	EXPECT_EQ(word(0), 0x0000037f);
	EXPECT_EQ(word(4) & 0xffff, 0xffff);
	EXPECT_EQ(word(6) | word(10), 0);
	EXPECT_EQ(memory[14], image[14]);
	m.gpr[X86_RBX] = (u64)memory + MEMORY_BYTES - 27;
	EXPECT_EQ(FNSTENV, X86_FAULT);
	EXPECT_EQ(FLDENV, X86_FAULT);
}

/* --- FXSAVE, XSAVE and kin, against the silicon ------------------------------------------------- */

static void random_header(u8 *area)
{
	u64 h[8] = { 0 };

	h[0] = xcr0 & (below(3) ? rnd() : ~0ull);
	if (below(3) == 0) {
		h[1] = 1ull << 63 | (xcr0 & (h[0] | rnd()));
	}
	switch (below(16)) {
	case 0:
		h[0] |= 1ull << (32 + below(30));
		break;
	case 1:
		h[1] |= 1ull << (32 + below(30));
		break;
	case 2:
		h[2 + below(6)] = 1;
		break;
	}
	memcpy(area + 512, h, sizeof(h));
}

/* What natively is an address of ours, or depends on history, is not compared. */
static void forget_pointers(u8 *area)
{
	memset(area + 6, 0, 18);
	memset(area + 28, 0, 4);
}

static void compare_save(const u8 *bytes, unsigned len, bool has_header)
{
	static struct machine start, a, b;
	static u8 before[MEMORY_BYTES], after[MEMORY_BYTES];
	u64 at = below(20) ? below(40) * 64 : below(2) ? MEMORY_BYTES - 64 * below(50) : below(3000);
	struct x86_insn i;
	enum x86_result r;
	u32 mxcsr;
	int number;

	random_machine(&start);
	for (unsigned n = 0; n < MEMORY_BYTES; n++)
		before[n] = (u8)rnd();
	if (at + 4096 < MEMORY_BYTES) {
		memset(before + at, 0, 4096);
		random_machine(&a);
		memcpy(before + at, a.area, 2688);
		mxcsr = (u32)(0x1f80 | (rnd() & (below(8) ? 0x607f : 0x1607f)));
		memcpy(before + at + 24, &mxcsr, 4);
		if (has_header)
			random_header(before + at);
	}
	start.gpr[X86_RBX] = (u64)memory + at;
	/* Not the components that the host has besides ours. */
	start.gpr[X86_RAX] = (below(3) ? rnd() : ~0ull) & xcr0;
	start.gpr[X86_RDX] = rnd() & 0x7ffffff0;
	memcpy(memory, before, MEMORY_BYTES);
	a = b = start;
	number = native(&a, bytes, len);
	memcpy(after, memory, MEMORY_BYTES);
	memcpy(memory, before, MEMORY_BYTES);
	cpu_reset(64);
	tlb_fill(false);
	if (x86_decode(&i, bytes, len, 64) != X86_DECODED)
		abort();
	r = unit_run(&b, &i);
	if (number) {
		a = start;
		memcpy(after, before, MEMORY_BYTES);
		EXPECT_EQ(r, X86_FAULT);
	} else {
		EXPECT_EQ(r, X86_OK);
	}
	normalize(&a);
	normalize(&b);
	if (memcmp(a.area, b.area, AREA)) {
		EXPECT(!"the same vector state");
		for (unsigned n = 0, shown = 0; n < AREA && shown < 4; n += 8)
			if (memcmp(a.area + n, b.area + n, 8) && ++shown)
				fprintf(stderr, "  %s at %u: native %016llx unit %016llx\n", x86_op_name(i.op), n,
					*(unsigned long long *)(a.area + n), *(unsigned long long *)(b.area + n));
	}
	if (at + 512 <= MEMORY_BYTES) {
		forget_pointers(after + at);
		forget_pointers(memory + at);
		memset(after + at + 416, 0, 96);
		memset(memory + at + 416, 0, 96);
	}
	if (memcmp(after, memory, MEMORY_BYTES)) {
		EXPECT(!"the same memory");
		for (unsigned n = 0, shown = 0; n < MEMORY_BYTES && shown < 4; n++)
			if (after[n] != memory[n] && ++shown)
				fprintf(stderr, "  %s at %d: native %02x unit %02x\n", x86_op_name(i.op),
					(int)(n - at), after[n], memory[n]);
	}
}

#define COMPARE(header, ...) do { \
	static const u8 bytes_[] = { __VA_ARGS__ }; \
	for (int n_ = 0; n_ < 2000 && test_failures < 30; n_++) \
		compare_save(bytes_, sizeof(bytes_), header); \
} while (0)

static void fxsave(void)
{
	COMPARE(false, 0x48, 0x0f, 0xae, 0x03);
}

static void fxrstor(void)
{
	COMPARE(false, 0x48, 0x0f, 0xae, 0x0b);
}

static void xsave(void)
{
	COMPARE(true, 0x48, 0x0f, 0xae, 0x23);
}

static void xsavec(void)
{
	COMPARE(true, 0x48, 0x0f, 0xc7, 0x23);
}

static void xrstor(void)
{
	COMPARE(true, 0x48, 0x0f, 0xae, 0x2b);
}

/* --- load and save --------------------------------------------------------------------------------------- */

GENERAL static void load_and_save(const void *from, void *to)
{
	soft_vector_load(unit, from, xcr0);
	soft_vector_save(unit, to, xcr0);
}

static void state_survives(void)
{
	static struct machine a, b;

	for (int n = 0; n < 2000; n++) {
		random_machine(&a);
		if (below(2))			/* any masks, too */
			*(u16 *)a.area = (u16)((rnd() & 0xf3f) | 0x40);
		if (below(2))
			*(u32 *)(a.area + 24) = (u32)rnd() & 0xffbf;
		*(u16 *)(a.area + 2) &= (u16)~0x3f;
		b = a;
		m = b;
		m.gpr[X86_RBX] = (u64)memory;
		cpu_reset(64);
		EXPECT_EQ(RUN(0x66, 0x0f, 0x6f, 0xc0), X86_OK);	/* MOVDQA XMM0, XMM0: load, save */
		b = m;
		b.gpr[X86_RBX] = a.gpr[X86_RBX];
		normalize(&a);
		normalize(&b);
		EXPECT(!memcmp(a.area, b.area, AREA));
	}
	random_machine(&a);
	memset(&b, 0xee, sizeof(b));
	load_and_save(a.area, b.area);		/* without an instruction in between */
	host_fpu_reset();
	memset(b.area + 520, 0, 56);
	*(u64 *)(b.area + 512) &= xcr0;
	normalize(&a);
	normalize(&b);
	EXPECT(!memcmp(a.area, b.area, 416));
}

/* An area that the silicon would refuse is put right, not executed. */
static void bad_areas_are_harmless(void)
{
	for (int n = 0; n < 2000; n++) {
		random_machine(&m);
		for (unsigned k = 0; k < 8; k++)
			((u64 *)(m.area + 512))[k] = below(2) ? rnd() : 0;
		*(u32 *)(m.area + 24) = (u32)rnd();
		*(u32 *)m.area = (u32)rnd();
		m.gpr[X86_RBX] = (u64)memory;
		cpu_reset(64);
		EXPECT_EQ(RUN(0x66, 0x0f, 0x6f, 0xc0), X86_OK);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
#ifdef __SANITIZE_THREAD__
	TEST_SKIP("vector unit", "it has one thread, and TSan breaks siglongjmp out of its native run");
	return 0;
#endif
	machines_init(1 << 20);
	(void)rnd();
	TEST(mxcsr_moves);
	TEST(simd_exceptions);
	TEST(x87_exceptions);
	TEST(environments);
	TEST(fxsave);
	TEST(fxrstor);
	TEST(xsave);
	TEST(xsavec);
	TEST(xrstor);
	TEST(state_survives);
	TEST(bad_areas_are_harmless);
	return test_status();
}
