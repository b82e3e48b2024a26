// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_vector.c - the vector unit against the silicon that it runs on
 *
 * Random encodings with random registers and memory are executed twice: as they are, in
 * this process, and through the unit with a processor whose memory is this process's.
 * Everything must agree: vector registers, control and status words, general registers,
 * arithmetic flags, memory, and whether there is a fault.  Memory operands may straddle the
 * end of mapped memory, so that fault suppression is compared, too.
 *
 * usage: test_vector [CASES [SEED]]
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "soft/vector.h"
#include "tests/test.h"
#include "x86/exec.h"
#include "x86/feature.h"

#define AREA 4096
#define GENERAL __attribute__((target("general-regs-only")))
#define RFBM 0xe7u

/* --- the host ------------------------------------------------------------------------------ */

static u64 features[X86_FEATURE_WORDS];
static u64 xcr0;

static void find_features(void)
{
	xcr0 = soft_vector_xcr0();
	for (unsigned n = 1; n < X86_FEATURES; n++) {
		const struct x86_feature_bit *f = &x86_feature_cpuid[n];
		u32 r[4];

		__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			: "0"(f->leaf & 0x80000000u), "2"(0));
		if (f->leaf > r[0])
			continue;
		__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			: "0"(f->leaf), "2"(f->subleaf));
		if (r[f->reg] >> f->bit & 1)
			x86_feature_set(features, n);
	}
}

static u64 seed = 1;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

static u64 below(u64 n)
{
	return (rnd() >> 16) % n;
}

/* --- executing natively -------------------------------------------------------------------------- */

struct machine {
	u64 gpr[16];
	u64 flags;
	u8  area[AREA] __attribute__((aligned(64)));
};

struct machine *native_machine __attribute__((used));
u64 native_stack __attribute__((used)), native_rax __attribute__((used)), native_rdi __attribute__((used));
u8 *native_code __attribute__((used));
u32 native_rfbm __attribute__((used));
void native_run(void);

__asm__(".pushsection .text\n"
	".globl native_run\n"
	"native_run:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, native_stack(%rip)\n"
	"	mov native_machine(%rip), %rdi\n"
	"	mov native_rfbm(%rip), %eax\n"
	"	xor %edx, %edx\n"
	"	xrstor64 192(%rdi)\n"
	"	pushq 128(%rdi)\n"
	"	popfq\n"
	"	mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
	"	mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
	"	mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
	"	mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
	"	mov 56(%rdi), %rdi\n"
	"	call *native_code(%rip)\n"
	"	mov %rdi, native_rdi(%rip)\n"
	"	pushfq\n"
	"	mov native_machine(%rip), %rdi\n"
	"	popq 128(%rdi)\n"
	"	mov %rax, 0(%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)\n"
	"	mov %rbp, 40(%rdi); mov %rsi, 48(%rdi)\n"
	"	mov %r8, 64(%rdi); mov %r9, 72(%rdi); mov %r10, 80(%rdi); mov %r11, 88(%rdi)\n"
	"	mov %r12, 96(%rdi); mov %r13, 104(%rdi); mov %r14, 112(%rdi); mov %r15, 120(%rdi)\n"
	"	mov native_rdi(%rip), %rax\n"
	"	mov %rax, 56(%rdi)\n"
	"	mov native_rfbm(%rip), %eax\n"
	"	xor %edx, %edx\n"
	"	xsave64 192(%rdi)\n"
	"	pushq $2\n"
	"	popfq\n"
	"	mov native_stack(%rip), %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".popsection\n");

static void host_fpu_reset(void)
{
	u32 mxcsr = 0x1f80;

	__asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
	if (xcr0 & 4)
		__asm__ volatile("vzeroupper" : : : "memory");
}

static sigjmp_buf native_escape;

static void on_fault(int number)
{
	siglongjmp(native_escape, number);
}

/* 0, or the signal that it ended with. */
static int native(struct machine *m, const u8 *bytes, unsigned len)
{
	int number;

	BUILD_ASSERT(offsetof(struct machine, area) == 192);
	memcpy(native_code, bytes, len);
	native_code[len] = 0xc3;
	native_machine = m;
	native_rfbm = (u32)xcr0;
	number = sigsetjmp(native_escape, 1);
	if (!number)
		native_run();
	host_fpu_reset();
	return number;
}

/* --- executing in the unit ------------------------------------------------------------------------- */

static u8 *memory;		/* two pages, and one that is not there */
#define MEMORY_BYTES 8192ul
#define DIRECT_TLB 1u

static struct x86 cpu;
static struct soft_vector *unit;
static struct x86_tlb tlb;

GENERAL static bool is_mapped(u64 linear, unsigned bytes)
{
	return linear >= (u64)memory && linear + bytes <= (u64)memory + MEMORY_BYTES;
}

GENERAL static enum x86_result fault(struct x86 *x, u64 linear, bool write)
{
	x->fault = (struct x86_fault){ .vector = X86_PF, .has_error = true, .error = write ? 2 : 0,
				       .address = linear };
	return X86_FAULT;
}

GENERAL static enum x86_result bus_read(struct x86 *x, u64 linear, void *data, unsigned bytes, unsigned access)
{
	(void)access;
	if (!is_mapped(linear, bytes))
		return fault(x, linear, false);
	for (unsigned n = 0; n < bytes; n++)
		((volatile u8 *)data)[n] = ((volatile u8 *)linear)[n];
	return X86_OK;
}

GENERAL static enum x86_result bus_write(struct x86 *x, u64 linear, const void *data, unsigned bytes,
					 unsigned access)
{
	(void)access;
	if (!is_mapped(linear, bytes))
		return fault(x, linear, true);
	for (unsigned n = 0; n < bytes; n++)
		((volatile u8 *)linear)[n] = ((volatile u8 *)data)[n];
	return X86_OK;
}

GENERAL static enum x86_result bus_probe(struct x86 *x, u64 linear, unsigned bytes, unsigned access)
{
	return is_mapped(linear, bytes) ? X86_OK : fault(x, linear, access & X86_WRITE);
}

static const struct x86_bus bus = { .read = bus_read, .write = bus_write, .probe = bus_probe };

static void tlb_fill(bool direct)
{
	for (unsigned n = 0; n < X86_TLB_ENTRIES; n++)
		tlb.read[n].tag = tlb.write[n].tag = 1;
	if (!direct)
		return;
	for (u64 at = (u64)memory; at < (u64)memory + MEMORY_BYTES; at += PAGE_BYTES) {
		unsigned n = (at >> PAGE_BITS) % X86_TLB_ENTRIES;

		tlb.read[n] = (struct x86_tlb_entry){ at, 0 };
		tlb.write[n] = (struct x86_tlb_entry){ at, 0 };
	}
}

static void cpu_reset(unsigned code_bits)
{
	memset(&cpu, 0, sizeof(cpu));
	cpu.bus = &bus;
	cpu.tlb = &tlb;
	cpu.code_bits = (u8)code_bits;
	cpu.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE;
	cpu.cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	cpu.efer = X86_EFER_LMA | X86_EFER_LME;
	cpu.xcr0 = xcr0;
	cpu.flat = true;
	for (unsigned n = 0; n < X86_SEGMENTS; n++)
		cpu.seg[n] = (struct x86_seg){ .attr = 0xc93, .limit = ~0u };
	memcpy(cpu.features, features, sizeof(features));
}

GENERAL __attribute__((noinline)) static enum x86_result in_unit(const struct x86_insn *i, void *area)
{
	enum x86_result r;

	soft_vector_load(unit, area, cpu.xcr0);
	r = soft_vector_execute(unit, &cpu, i);
	soft_vector_save(unit, area, cpu.xcr0);
	return r;
}

static enum x86_result unit_run(struct machine *m, const struct x86_insn *i)
{
	enum x86_result r;

	memcpy(cpu.gpr, m->gpr, sizeof(cpu.gpr));
	cpu.rflags = m->flags | X86_FLAG_1;
	r = in_unit(i, m->area);
	host_fpu_reset();
	memcpy(m->gpr, cpu.gpr, sizeof(cpu.gpr));
	m->flags = cpu.rflags;
	return r;
}

/* --- random state ------------------------------------------------------------------------------------ */

/* Numbers with a chance to be interesting: small, special floats, or anything. */
static u64 any_number(void)
{
	static const u64 special[] = {
		0, 1, ~0ull, 0x8000000080000000, 0x3f8000003f800000, 0x3ff0000000000000, 0x7ff0000000000000,
		0x7f8000007f800000, 0x7fc000007fc00001, 0x7ff8000000000001, 0x7ff4000000000000,
		0x0000000100000001, 0x8000000000000000, 0x00007c003c003c00, 0x4330000000000000,
		0xc0490fdbc0490fdb, 0x400921fb54442d18, 0x7fffffff7fffffff,
	};

	switch (below(4)) {
	case 0:
		return special[below(ARRAY_LEN(special))];
	case 1:
		return below(256) * 0x0101010101010101ull;
	default:
		return rnd();
	}
}

static void random_machine(struct machine *m)
{
	u64 *area = (u64 *)m->area;

	memset(m->area, 0, AREA);
	for (unsigned n = 0; n < 16; n++)
		m->gpr[n] = any_number();
	m->flags = (rnd() & X86_FLAGS_ARITH) | X86_FLAG_1 | X86_FLAG_IF;
	for (unsigned n = 20; n < 52; n++)		/* XMM */
		area[n] = any_number();
	for (unsigned n = 0; n < 8; n++) {		/* ST: any number, of a valid kind mostly */
		area[4 + 2 * n] = any_number() | (below(8) ? 1ull << 63 : 0);
		area[5 + 2 * n] = below(4) ? 0x3fff + below(40) - 20 + (below(2) << 15) : rnd() & 0xffff;
	}
	for (unsigned n = 72; n < AREA / 8; n++)
		area[n] = any_number();
	*(u16 *)m->area = (u16)(0x7f | (rnd() & 0xf00));	/* FCW */
	if ((*(u16 *)m->area & 0x300) == 0x100)			/* a reserved precision */
		*(u16 *)m->area |= 0x300;
	*(u16 *)(m->area + 2) = (u16)(rnd() & 0x7f7f);		/* FSW: no summary, all is masked */
	if (*(u16 *)(m->area + 2) & 0x40 && below(2))
		*(u16 *)(m->area + 2) &= (u16)~0x40;
	m->area[4] = (u8)(below(3) ? 0xff : rnd());		/* FTW, abridged */
	*(u32 *)(m->area + 24) = 0x1f80 | (rnd() & 0xe07f);	/* MXCSR */
	if (below(2))
		*(u32 *)(m->area + 24) &= 0x7fbf;
	area[64] = xcr0 & (below(8) ? ~0ull : rnd());		/* XSTATE_BV */
	area[64] |= 3;
}

/* Components that are in their initial state become explicit; pointers are not compared. */
static void normalize(struct machine *m)
{
	u64 bv = *(u64 *)(m->area + 512);

	memset(m->area + 6, 0, 18);	/* FOP, FIP, FDP */
	*(u32 *)(m->area + 28) = 0;	/* MXCSR_MASK */
	if (!(bv & 1)) {
		memset(m->area, 0, 6);
		m->area[0] = 0x7f, m->area[1] = 3;
		memset(m->area + 32, 0, 128);
	}
	for (unsigned n = 0; n < 8; n++)
		memset(m->area + 32 + 16 * n + 10, 0, 6);
	if (!(bv & 2))
		memset(m->area + 160, 0, 256);
	for (unsigned n = 2; n < 8; n++) {
		u32 r[4];

		if (!(xcr0 >> n & 1))
			continue;
		__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(0xd), "2"(n));
		if (!(bv >> n & 1))
			memset(m->area + r[1], 0, r[0]);
	}
	memset(m->area + 416, 0, 96);
	memset(m->area + 512, 0, 64);
	memset(m->area + 2688, 0, AREA - 2688);
	m->flags &= X86_FLAGS_ARITH;
}

/* --- random instructions --------------------------------------------------------------------------------- */

static unsigned random_bytes(u8 *p, bool narrow)
{
	u8 *at = p, modrm;
	unsigned kind = (unsigned)below(10);
	static const u8 mandatory[] = { 0, 0x66, 0xf3, 0xf2 };
	u8 pp = mandatory[below(4)];

	if (kind < 1) {				/* x87 */
		*at++ = (u8)(0xd8 + below(8));
	} else if (kind < 4) {
		unsigned map = (unsigned)below(4);

		if (pp)
			*at++ = pp;
		if (!narrow && below(2))
			*at++ = (u8)(0x40 | below(16));
		*at++ = 0x0f;
		if (map == 2)
			*at++ = 0x38;
		if (map == 3)
			*at++ = 0x3a;
		*at++ = (u8)rnd();
	} else if (kind < 6) {
		*at++ = 0xc4;
		*at++ = (u8)((narrow ? 0xe0 : rnd() & 0xe0) | (1 + below(3)));
		*at++ = (u8)(rnd() | (below(2) ? 0x78 : 0) | (narrow ? 0x40 : 0));
		*at++ = (u8)rnd();
	} else {
		static const u8 maps[] = { 1, 1, 2, 2, 3, 3, 5, 6 };

		*at++ = 0x62;
		*at++ = (u8)((narrow ? 0xf0 : rnd() & 0xf0) | maps[below(8)]);
		*at++ = (u8)(rnd() | 4 | (below(2) ? 0x78 : 0) | (narrow ? 0x40 : 0));
		*at++ = (u8)((rnd() & (below(2) ? 0xff : 0x6f)) | (narrow ? 8 : 0) | (below(2) ? 8 : 0));
		if (below(3) == 0)
			at[-1] &= 0xf8;
		*at++ = (u8)rnd();
	}
	modrm = (u8)rnd();
	*at++ = modrm;
	if (modrm < 0xc0 && (modrm & 7) == 4)
		*at++ = (u8)rnd();
	*at++ = (u8)below(32);			/* displacement or immediate */
	if (modrm >> 6 == 2 || (modrm & 0xc7) == 5)
		at[0] = at[1] = at[2] = 0, at += 3;
	*at++ = (u8)rnd();
	*at++ = (u8)rnd();
	return (unsigned)(at - p);
}

/* Does i name RSP as an operand that the native run can not have? */
static bool names_stack(const struct x86_insn *i)
{
	if ((i->flags & X86_F_MEM) && i->base == X86_RSP)
		return true;
	return (i->flags & (X86_F_GPR_READ | X86_F_GPR_WRITE)) && (i->reg == X86_RSP || i->rm == X86_RSP);
}

static bool is_wanted(const struct x86_insn *i)
{
	if (!(i->flags & X86_F_VECTOR) || names_stack(i))
		return false;
	if (!x86_feature_is_set(features, x86_insn_feature(i)))
		return false;
	if ((i->flags & X86_F_VL) && !x86_feature_is_set(features, X86_FEATURE_AVX512VL))
		return false;
	if ((i->flags & X86_F_MEM) && (i->base == X86_REG_RIP || i->base == X86_REG_NONE || i->ad_bytes != 8))
		return false;
	if ((i->flags & X86_F_MEM) && i->index == i->base)
		return false;
	switch (i->encoding >> 4) {
	case X86_ENC_EVEX:
		return (xcr0 & 0xe6) == 0xe6;
	case X86_ENC_VEX2:
	case X86_ENC_VEX3:
		return (xcr0 & 6) == 6;
	case X86_ENC_LEGACY:
		return true;
	default:
		return false;
	}
}

/* Put vector register reg's element n, of so many bytes, into the areas of all components. */
static u8 *lane(struct machine *m, unsigned reg, unsigned at)
{
	if (reg >= 16)
		return m->area + 1664 + 64 * (reg - 16) + at;
	if (at < 16)
		return m->area + 160 + 16 * reg + at;
	if (at < 32)
		return m->area + 576 + 16 * reg + at - 16;
	return m->area + 1152 + 32 * reg + at - 32;
}

/* Place the memory operand: registers get values so that it is where we want it. */
static void place(struct machine *m, const struct x86_insn *i, bool near_end)
{
	u64 bytes = i->mem_bytes ? i->mem_bytes : 64, at, address;

	if (i->flags & X86_F_IMPLICIT_MEM) {
		m->gpr[X86_RDI] = (u64)memory + (near_end ? MEMORY_BYTES - below(16) : below(8000));
		return;
	}
	if (!(i->flags & X86_F_MEM))
		return;
	at = near_end ? MEMORY_BYTES - below(bytes + 8) : below(3) ? 4096 - 64 + below(128) : 1024 + below(6000);
	if (below(2))
		at &= ~(bytes - 1);
	address = (u64)memory + at - (u64)(s64)i->disp;
	if (i->flags & X86_F_VSIB) {
		unsigned index_bytes = i->opcode & 1 ? 8 : 4;

		for (unsigned n = 0; n < 64; n += index_bytes) {
			s64 index = (s64)below(near_end ? 16 : 200) - (near_end ? 0 : 100);

			memcpy(lane(m, i->index, n), &index, 4);
			if (index_bytes == 8)
				memcpy(lane(m, i->index, n + 4), (u8 *)&index + 4, 4);
		}
		*(u64 *)(m->area + 512) |= xcr0;
		if (!near_end)
			address = (u64)memory + 4000 - (u64)(s64)i->disp;
	} else if (i->index != X86_REG_NONE) {
		m->gpr[i->index] = below(100);
		address -= m->gpr[i->index] << i->scale;
	}
	m->gpr[i->base] = address;
}

/* --- the comparison ------------------------------------------------------------------------------------------ */

static u8 before[MEMORY_BYTES], after[MEMORY_BYTES];
static u64 cases_run, faults_seen, illegal_seen, reported;

static void report(const char *what, const struct x86_insn *i, bool narrow, unsigned mode)
{
	test_failures++;
	if (reported++ > 20)
		return;
	fprintf(stderr, "%s: %s%s, mode %u:", what, x86_op_name(i->op), narrow ? " (32-bit)" : "", mode);
	for (unsigned n = 0; n < i->len; n++)
		fprintf(stderr, " %02x", i->bytes[n]);
	fprintf(stderr, "\n");
}

static void compare(const struct machine *a, const struct machine *b, const struct x86_insn *i, bool narrow,
		    unsigned mode)
{
	if (memcmp(a->area, b->area, AREA)) {
		report("vector state differs", i, narrow, mode);
		for (unsigned n = 0, shown = 0; n < AREA && shown < 4 && reported < 20; n += 8)
			if (memcmp(a->area + n, b->area + n, 8)) {
				fprintf(stderr, "  at %u: native %016llx unit %016llx\n", n,
					*(unsigned long long *)(a->area + n), *(unsigned long long *)(b->area + n));
				shown++;
			}
	}
	for (unsigned n = 0; n < 16; n++)
		if (n != X86_RSP && a->gpr[n] != b->gpr[n]) {
			report("a register differs", i, narrow, mode);
			break;
		}
	if (a->flags != b->flags)
		report("flags differ", i, narrow, mode);
	if (memcmp(after, memory, MEMORY_BYTES))
		report("memory differs", i, narrow, mode);
}

/* Some ops have results that only sometimes make sense to compare. */
static bool is_comparable(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_FNSTENV: case X86_OP_FNSAVE:	/* pointers are zeroed: test_vector_control */
	case X86_OP_FLDENV: case X86_OP_FRSTOR: case X86_OP_FLDCW: case X86_OP_LDMXCSR: case X86_OP_VLDMXCSR:
		return false;
	default:
		return true;
	}
}

static void one(const struct x86_insn *i, const u8 *native_bytes, unsigned native_len, bool narrow)
{
	static struct machine start, a, b;
	bool near_end = below(6) == 0;
	unsigned mode = (unsigned)below(2);
	int number;
	enum x86_result r;

	random_machine(&start);
	if (i->flags & X86_F_EFLAGS)
		start.flags &= ~(X86_FLAG_OF);	/* undefined after some: both begin alike */
	place(&start, i, near_end);
	for (unsigned n = 0; n < MEMORY_BYTES; n += 8) {
		u64 v = any_number();

		memcpy(before + n, &v, 8);
	}
	memcpy(memory, before, MEMORY_BYTES);
	if (narrow)
		for (unsigned n = 0; n < 16; n++)
			if (n >= 8 || !(i->flags & X86_F_MEM))
				start.gpr[n] = (u32)start.gpr[n];
	a = b = start;
	number = native(&a, native_bytes, native_len);
	memcpy(after, memory, MEMORY_BYTES);
	if (number == SIGILL) {
		if (illegal_seen++ < 10)
			report("silicon does not know what the decoder does", i, narrow, mode);
		return;
	}
	memcpy(memory, before, MEMORY_BYTES);
	cpu_reset(narrow ? 32 : 64);
	tlb_fill(mode & DIRECT_TLB);
	r = unit_run(&b, i);
	cases_run++;
	if (number) {
		faults_seen++;
		a = start;
		memcpy(after, before, MEMORY_BYTES);
		if (r != X86_FAULT && (i->flags & X86_F_IMPLICIT_MEM))
			return;		/* MASKMOVDQU may fault for bytes that are masked off */
		if (r != X86_FAULT)
			report("native faulted, the unit did not", i, narrow, mode);
		if (i->flags & X86_F_VSIB)
			memcpy(memory, before, MEMORY_BYTES);	/* a scatter may have made progress */
	} else if (r != X86_OK) {
		report("the unit faulted", i, narrow, mode);
		if (reported < 20)
			fprintf(stderr, "  vector %u address %#llx memory %p\n", cpu.fault.vector,
				(unsigned long long)cpu.fault.address, (void *)memory);
		return;
	}
	normalize(&a);
	normalize(&b);
	compare(&a, &b, i, narrow, mode);
}

static u64 wanted_cases = 30000;
static u64 seen_ops[X86_OPS];

static void random_instructions(bool narrow)
{
	for (u64 done = 0; done < wanted_cases;) {
		u8 bytes[16] = { 0 };
		unsigned len = random_bytes(bytes, narrow);
		struct x86_insn i, wide;

		if (x86_decode(&wide, bytes, len, 64) != X86_DECODED || !is_wanted(&wide) || !is_comparable(&wide))
			continue;
		if (narrow) {
			if (x86_decode(&i, bytes, len, 32) != X86_DECODED || i.len != wide.len || i.op == X86_OP_VMOVQ)
				continue;
			/* What 32-bit code makes of W is not what 64-bit code does. */
			if (wide.rex & X86_REX_W && (wide.op != i.op || wide.mem_bytes != i.mem_bytes ||
			    i.flags & (X86_F_GPR_READ | X86_F_GPR_WRITE))) {
				bytes[2] &= 0x7f;
				if (x86_decode(&wide, bytes, len, 64) != X86_DECODED || wide.op != i.op ||
				    i.op == X86_OP_VCVTSI2SD || i.op == X86_OP_VCVTUSI2SD)
					continue;
			}
		} else {
			i = wide;
		}
		/* A register in an immediate: bit 7 is ignored in 32-bit code. */
		if (narrow && (i.encoding & 15) == X86_MAP_0F3A && i.opcode >= 0x4a && i.opcode <= 0x4c)
			bytes[i.len - 1] &= 0x7f;
		one(&i, bytes, i.len, narrow);
		seen_ops[i.op]++;
		done++;
	}
}

static void in_64_bit_code(void)
{
	random_instructions(false);
}

static void in_32_bit_code(void)
{
	random_instructions(true);
}

/* Every instruction of the host's that the decoder knows must have come by. */
static void coverage(void)
{
	unsigned ops = 0;

	for (unsigned n = 0; n < X86_OPS; n++)
		ops += seen_ops[n] != 0;
	fprintf(stderr, "%llu cases, %u mnemonics, %llu faults\n", (unsigned long long)cases_run, ops,
		(unsigned long long)faults_seen);
	EXPECT(ops > 200);
	EXPECT(faults_seen > 50);
	EXPECT_EQ(illegal_seen, 0);
}

static struct soft_code code_memory(u64 bytes)
{
	int fd = memfd_create("code", 0);
	struct soft_code code = { .bytes = bytes };

	if (ftruncate(fd, (off_t)bytes) < 0)
		abort();
	code.write = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	code.run = mmap(NULL, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	return code;
}

int main(int argc, char **argv)
{
	struct soft_code code = code_memory(64 << 10);	/* small, so that stubs are forgotten */
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	int number[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS };

	if (argc > 1)
		wanted_cases = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	for (unsigned n = 0; n < ARRAY_LEN(number); n++)
		sigaction(number[n], &action, NULL);
	find_features();
	native_code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory = mmap(NULL, MEMORY_BYTES + 4096, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (memory == MAP_FAILED)
		abort();
	munmap(memory + MEMORY_BYTES, 4096);
	mmap(memory + MEMORY_BYTES, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	unit = aligned_alloc(64, (soft_vector_bytes() + 63) & ~63ull);
	memset(unit, 0, soft_vector_bytes());
	soft_vector_init(unit, &code);

	TEST(in_64_bit_code);
	TEST(in_32_bit_code);
	TEST(coverage);
	return test_status();
}
