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
#include "tests/soft/vector_machine.h"

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

int main(int argc, char **argv)
{
	if (argc > 1)
		wanted_cases = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
#ifdef __SANITIZE_THREAD__
	TEST_SKIP("vector unit", "it has one thread, and TSan breaks siglongjmp out of its native run");
	return 0;
#endif
	machines_init(64 << 10);	/* small, so that stubs are forgotten */
	TEST(in_64_bit_code);
	TEST(in_32_bit_code);
	TEST(coverage);
	return test_status();
}
