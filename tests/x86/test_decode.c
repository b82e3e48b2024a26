// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_decode.c - the decoder: normal forms, flags, limits, and that it reads no byte too many
 */
#include <sys/mman.h>
#include <unistd.h>

#include "tests/test.h"
#include "x86/cpu.h"
#include "x86/feature.h"
#include "x86/insn.h"

static struct x86_insn insn;

/* Decode what is written as hexadecimal: "48 89 c8". */
static enum x86_decoded decode(unsigned bits, const char *hex)
{
	u8 bytes[32] = { 0 };
	unsigned n = 0;
	char *end;

	for (; *hex; hex = end)
		bytes[n++] = (u8)strtoul(hex, &end, 16);
	return x86_decode(&insn, bytes, n, bits);
}

/* -- integer instructions in their normal forms -------------------------------------- */

struct form {
	unsigned bits;
	const char *hex;
	unsigned op, form, op_bytes;
	u8 reg, rm;
	u64 imm;
};

#define __ 0	/* not used by the form */

static const struct form forms[] = {
	{ 64, "48 01 d8",		X86_OP_ADD,	X86_E_G,  8, X86_RBX, X86_RAX, 0 },
	{ 64, "00 e0",			X86_OP_ADD,	X86_E_G,  1, X86_AH, X86_RAX, 0 },
	{ 64, "40 00 e0",		X86_OP_ADD,	X86_E_G,  1, X86_RSP, X86_RAX, 0 },
	{ 64, "66 45 03 c1",		X86_OP_ADD,	X86_G_E,  2, 8, 9, 0 },
	{ 64, "04 80",			X86_OP_ADD,	X86_E_I,  1, __, X86_RAX, (u64)-128 },
	{ 64, "48 05 00 00 00 80",	X86_OP_ADD,	X86_E_I,  8, __, X86_RAX, 0xffffffff80000000ull },
	{ 32, "66 05 34 12",		X86_OP_ADD,	X86_E_I,  2, __, X86_RAX, 0x1234 },
	{ 64, "48 83 e9 ff",		X86_OP_SUB,	X86_E_I,  8, __, X86_RCX, (u64)-1 },
	{ 32, "40",			X86_OP_INC,	X86_E,    4, __, X86_RAX, 0 },
	{ 16, "4f",			X86_OP_DEC,	X86_E,    2, __, X86_RDI, 0 },
	{ 64, "41 54",			X86_OP_PUSH,	X86_E,    8, __, 12, 0 },
	{ 64, "66 54",			X86_OP_PUSH,	X86_E,    2, __, X86_RSP, 0 },
	{ 64, "6a fe",			X86_OP_PUSH,	X86_I,    8, __, __, (u64)-2 },
	{ 32, "1e",			X86_OP_PUSH,	X86_S,    4, X86_DS, __, 0 },
	{ 64, "0f a1",			X86_OP_POP,	X86_S,    8, X86_FS, __, 0 },
	{ 64, "49 b8 88 77 66 55 44 33 22 11", X86_OP_MOV, X86_E_I, 8, __, 8, 0x1122334455667788ull },
	{ 64, "b4 7f",			X86_OP_MOV,	X86_E_I,  1, __, X86_AH, 0x7f },
	{ 64, "c7 c0 ff ff ff ff",	X86_OP_MOV,	X86_E_I,  4, __, X86_RAX, (u64)-1 },
	{ 64, "48 0f be c4",		X86_OP_MOVSX,	X86_G_E,  8, X86_RAX, X86_RSP, 0 },
	{ 64, "0f b6 c4",		X86_OP_MOVZX,	X86_G_E,  4, X86_RAX, X86_AH, 0 },
	{ 64, "48 63 c1",		X86_OP_MOVSXD,	X86_G_E,  8, X86_RAX, X86_RCX, 0 },
	{ 64, "48 d1 e0",		X86_OP_SHL,	X86_E_I,  8, __, X86_RAX, 1 },
	{ 64, "c0 f8 ff",		X86_OP_SAR,	X86_E_I,  1, __, X86_RAX, 0xff },
	{ 64, "d3 f0",			X86_OP_SHL,	X86_E_CL, 4, __, X86_RAX, 0 },
	{ 64, "0f a4 c8 05",		X86_OP_SHLD,	X86_E_G_I, 4, X86_RCX, X86_RAX, 5 },
	{ 64, "0f ad c8",		X86_OP_SHRD,	X86_E_G_CL, 4, X86_RCX, X86_RAX, 0 },
	{ 64, "6b c1 f0",		X86_OP_IMUL,	X86_G_E_I, 4, X86_RAX, X86_RCX, (u64)-16 },
	{ 64, "0f ba e0 1f",		X86_OP_BT,	X86_E_I,  4, __, X86_RAX, 31 },
	{ 64, "87 d1",			X86_OP_XCHG,	X86_E_G,  4, X86_RDX, X86_RCX, 0 },
	{ 64, "49 90",			X86_OP_XCHG,	X86_E_G,  8, X86_RAX, 8, 0 },
	{ 64, "90",			X86_OP_NOP,	X86_NONE, 4, __, __, 0 },
	{ 64, "f3 90",			X86_OP_PAUSE,	X86_NONE, 4, __, __, 0 },
	{ 64, "0f 94 c4",		X86_OP_SETCC,	X86_E,    1, __, X86_AH, 0 },
	{ 64, "0f 44 c1",		X86_OP_CMOVCC,	X86_G_E,  4, X86_RAX, X86_RCX, 0 },
	{ 64, "75 fe",			X86_OP_JCC,	X86_J,    8, __, __, (u64)-2 },
	{ 64, "66 0f 85 00 00 00 80",	X86_OP_JCC,	X86_J,    8, __, __, 0xffffffff80000000ull },
	{ 32, "66 e8 00 80",		X86_OP_CALL,	X86_J,    2, __, __, 0xffffffffffff8000ull },
	{ 16, "66 e9 04 03 02 01",	X86_OP_JMP,	X86_J,    4, __, __, 0x01020304 },
	{ 64, "ff d0",			X86_OP_CALL,	X86_E,    8, __, X86_RAX, 0 },
	{ 64, "c2 08 00",		X86_OP_RET,	X86_I,    8, __, __, 8 },
	{ 64, "48 cb",			X86_OP_RETF,	X86_NONE, 8, __, __, 0 },
	{ 64, "48 cf",			X86_OP_IRET,	X86_NONE, 8, __, __, 0 },
	{ 64, "cd 80",			X86_OP_INT,	X86_I,    1, __, __, 0x80 },
	{ 64, "e4 ff",			X86_OP_IN,	X86_A_I,  1, __, __, 0xff },
	{ 64, "48 ed",			X86_OP_IN,	X86_A_DX, 4, __, __, 0 },
	{ 16, "66 ef",			X86_OP_OUT,	X86_DX_A, 4, __, __, 0 },
	{ 64, "48 a5",			X86_OP_MOVS,	X86_STRING, 8, __, __, 0 },
	{ 64, "48 98",			X86_OP_CBW,	X86_NONE, 8, __, __, 0 },
	{ 64, "8e d8",			X86_OP_MOV,	X86_S_E,  2, X86_DS, X86_RAX, 0 },
	{ 64, "41 0f 22 c0",		X86_OP_MOV,	X86_C_R,  8, 0, 8, 0 },
	{ 64, "44 0f 20 c0",		X86_OP_MOV,	X86_R_C,  8, 8, X86_RAX, 0 },
	{ 32, "f0 0f 20 c1",		X86_OP_MOV,	X86_R_C,  4, 8, X86_RCX, 0 },
	{ 32, "0f 23 3f",		X86_OP_MOV,	X86_D_R,  4, 7, X86_RDI, 0 },
	{ 64, "0f c9",			X86_OP_BSWAP,	X86_E,    4, __, X86_RCX, 0 },
	{ 64, "f2 48 0f 38 f0 c4",	X86_OP_CRC32,	X86_G_E,  8, X86_RAX, X86_RSP, 0 },
	{ 64, "c4 e2 78 f2 c1",		X86_OP_ANDN,	X86_G_V_E, 4, X86_RAX, X86_RCX, 0 },
	{ 64, "c4 e2 f8 f7 c1",		X86_OP_BEXTR,	X86_G_E_V, 8, X86_RAX, X86_RCX, 0 },
	{ 64, "c4 e3 fb f0 c1 07",	X86_OP_RORX,	X86_G_E_I, 8, X86_RAX, X86_RCX, 7 },
	{ 64, "c4 e2 f8 f3 c9",		X86_OP_BLSR,	X86_V_E,  8, 1, X86_RCX, 0 },
	{ 64, "f3 0f 1e fa",		X86_OP_NOP,	X86_E,    4, __, X86_RDX, 0 },
	{ 64, "0f 01 d8",		X86_OP_VMRUN,	X86_NONE, 4, 3, 0, 0 },
};

static void integer_forms(void)
{
	for (unsigned n = 0; n < ARRAY_LEN(forms); n++) {
		const struct form *f = &forms[n];
		int before = test_failures;

		EXPECT_EQ(decode(f->bits, f->hex), X86_DECODED);
		EXPECT_EQ(insn.len, (strlen(f->hex) + 1) / 3);
		EXPECT_EQ(insn.op, f->op);
		EXPECT_EQ(insn.form, f->form);
		EXPECT_EQ(insn.op_bytes, f->op_bytes);
		if (f->form != X86_E && f->form != X86_E_I && f->form != X86_E_CL)
			EXPECT_EQ(insn.reg, f->reg);
		EXPECT_EQ(insn.rm, f->rm);
		EXPECT_EQ(insn.imm, f->imm);
		EXPECT_EQ(insn.code_bits, f->bits);
		if (test_failures != before)
			fprintf(stderr, "	in %s\n", f->hex);
	}
}

static void far_and_enter(void)
{
	EXPECT_EQ(decode(32, "ea 78 56 34 12 10 00"), X86_DECODED);
	EXPECT_EQ(insn.op, X86_OP_JMPF);
	EXPECT_EQ(insn.form, X86_FAR);
	EXPECT_EQ(insn.imm, 0x12345678);
	EXPECT_EQ(insn.imm2, 0x10);
	EXPECT_EQ(decode(16, "9a 34 12 00 f0"), X86_DECODED);
	EXPECT_EQ(insn.imm, 0x1234);
	EXPECT_EQ(insn.imm2, 0xf000);
	EXPECT_EQ(decode(64, "c8 10 00 03"), X86_DECODED);
	EXPECT_EQ(insn.imm, 0x10);
	EXPECT_EQ(insn.imm2, 3);
	EXPECT_EQ(decode(64, "48 ff 28"), X86_DECODED);
	EXPECT_EQ(insn.op, X86_OP_JMPF);
	EXPECT_EQ(insn.mem_bytes, 10);
}

static void absolute_addresses(void)
{
	EXPECT_EQ(decode(64, "65 48 a1 08 07 06 05 04 03 02 01"), X86_DECODED);
	EXPECT_EQ(insn.form, X86_A_MOFFS);
	EXPECT_EQ(insn.imm, 0x0102030405060708ull);
	EXPECT_EQ(insn.seg, X86_GS);
	EXPECT_EQ(decode(64, "67 a2 04 03 02 81"), X86_DECODED);
	EXPECT_EQ(insn.form, X86_MOFFS_A);
	EXPECT_EQ(insn.imm, 0x81020304);
	EXPECT_EQ(decode(16, "a0 ff ff"), X86_DECODED);
	EXPECT_EQ(insn.imm, 0xffff);
}

/* -- memory operands ----------------------------------------------------------------- */

struct address {
	unsigned bits;
	const char *hex;
	u8 base, index, scale, seg;
	s32 disp;
};

#define NO X86_REG_NONE

static const struct address addresses[] = {
	{ 64, "8b 00",			X86_RAX, NO, 0, X86_DS, 0 },
	{ 64, "41 8b 45 80",		13, NO, 0, X86_DS, -128 },
	{ 64, "8b 04 24",		X86_RSP, NO, 0, X86_SS, 0 },
	{ 64, "8b 45 08",		X86_RBP, NO, 0, X86_SS, 8 },
	{ 64, "8b 05 10 00 00 00",	X86_REG_RIP, NO, 0, X86_DS, 16 },
	{ 64, "67 8b 05 10 00 00 00",	X86_REG_RIP, NO, 0, X86_DS, 16 },
	{ 64, "8b 04 25 00 00 00 80",	NO, NO, 0, X86_DS, -0x7fffffff - 1 },
	{ 64, "42 8b 84 a3 78 56 34 12", X86_RBX, 12, 2, X86_DS, 0x12345678 },
	{ 64, "8b 04 ed 00 01 00 00",	NO, X86_RBP, 3, X86_DS, 0x100 },
	{ 64, "64 8b 04 24",		X86_RSP, NO, 0, X86_FS, 0 },
	{ 64, "2e 8b 04 24",		X86_RSP, NO, 0, X86_SS, 0 },
	{ 32, "2e 8b 04 24",		X86_RSP, NO, 0, X86_CS, 0 },
	{ 32, "8b 05 10 00 00 00",	NO, NO, 0, X86_DS, 16 },
	{ 32, "67 8b 42 fe",		X86_RBP, X86_RSI, 0, X86_SS, -2 },
	{ 16, "8b 06 34 92",		NO, NO, 0, X86_DS, (s16)0x9234 },
	{ 16, "8b 46 10",		X86_RBP, NO, 0, X86_SS, 16 },
	{ 16, "26 8b 87 00 80",		X86_RBX, NO, 0, X86_ES, -0x8000 },
	{ 16, "67 8b 04 98",		X86_RAX, X86_RBX, 2, X86_DS, 0 },
	/* EVEX: disp8 is scaled by the size of the operand, or of the broadcast element */
	{ 64, "62 f1 7c 48 58 40 01",	X86_RAX, NO, 0, X86_DS, 64 },
	{ 64, "62 f1 7c 28 58 40 ff",	X86_RAX, NO, 0, X86_DS, -32 },
	{ 64, "62 f1 7c 58 58 40 01",	X86_RAX, NO, 0, X86_DS, 4 },
	{ 64, "62 f1 7e 08 58 40 02",	X86_RAX, NO, 0, X86_DS, 8 },
	{ 64, "62 f2 7d 49 8a 40 02",	X86_RAX, NO, 0, X86_DS, 8 },
	{ 64, "62 f2 7d 41 90 44 80 01", X86_RAX, 16, 2, X86_DS, 4 },
};

static void memory_operands(void)
{
	for (unsigned n = 0; n < ARRAY_LEN(addresses); n++) {
		const struct address *a = &addresses[n];
		int before = test_failures;

		EXPECT_EQ(decode(a->bits, a->hex), X86_DECODED);
		EXPECT(insn.flags & X86_F_MEM);
		EXPECT_EQ(insn.base, a->base);
		EXPECT_EQ(insn.index, a->index);
		EXPECT_EQ(insn.scale, a->scale);
		EXPECT_EQ(insn.seg, a->seg);
		EXPECT_EQ((u64)(s64)insn.disp, (u64)(s64)a->disp);
		if (test_failures != before)
			fprintf(stderr, "	in %s\n", a->hex);
	}
}

/* -- what the vector unit needs to know ---------------------------------------------- */

#define RD	X86_F_MEM_READ
#define WR	X86_F_MEM_WRITE
#define GR	X86_F_GPR_READ
#define GW	X86_F_GPR_WRITE
#define AL	X86_F_ALIGN
#define EF	X86_F_EFLAGS
#define X87	X86_F_X87

struct vector { const char *hex; unsigned op, mem_bytes; u32 flags; };

static const struct vector vectors[] = {
	{ "d9 00",		X86_OP_FLD,	4, X87 | RD },
	{ "db 28",		X86_OP_FLD,	10, X87 | RD },
	{ "db 38",		X86_OP_FSTP,	10, X87 | WR },
	{ "d9 30",		X86_OP_FNSTENV,	28, X87 | WR },
	{ "66 d9 20",		X86_OP_FLDENV,	14, X87 | RD },
	{ "dd 30",		X86_OP_FNSAVE,	108, X87 | WR },
	{ "dd 20",		X86_OP_FRSTOR,	108, X87 | RD },
	{ "d9 38",		X86_OP_FNSTCW,	2, X87 | WR },
	{ "dd 38",		X86_OP_FNSTSW,	2, X87 | WR },
	{ "df e0",		X86_OP_FNSTSW,	0, X87 | GW | X86_F_IMPLICIT_GPR },
	{ "db f1",		X86_OP_FCOMI,	0, X87 | EF },
	{ "9b",			X86_OP_FWAIT,	0, X87 },
	{ "0f 77",		X86_OP_EMMS,	0, X87 },
	{ "0f 6e c0",		X86_OP_MOVD,	0, X87 | GR },
	{ "0f 7e 00",		X86_OP_MOVD,	4, X87 | WR },
	{ "0f f7 c1",		X86_OP_MASKMOVQ, 8, X87 | WR | X86_F_IMPLICIT_MEM },
	{ "0f 10 00",		X86_OP_MOVUPS,	16, RD },
	{ "0f 29 00",		X86_OP_MOVAPS,	16, WR | AL },
	{ "0f 58 00",		X86_OP_ADDPS,	16, RD | AL },
	{ "f3 0f 58 00",	X86_OP_ADDSS,	4, RD },
	{ "0f 13 00",		X86_OP_MOVLPS,	8, WR },
	{ "0f 2f c1",		X86_OP_COMISS,	0, EF },
	{ "f2 48 0f 2a c0",	X86_OP_CVTSI2SD, 0, GR },
	{ "f2 48 0f 2a 00",	X86_OP_CVTSI2SD, 8, RD },
	{ "f2 0f 2d c0",	X86_OP_CVTSD2SI, 0, GW },
	{ "f2 0f 2d 00",	X86_OP_CVTSD2SI, 8, GW | RD },
	{ "66 48 0f 7e c0",	X86_OP_MOVQ,	0, GW },
	{ "f3 0f 7e 00",	X86_OP_MOVQ,	8, RD },
	{ "0f 50 c1",		X86_OP_MOVMSKPS, 0, GW },
	{ "66 0f c4 c1 00",	X86_OP_PINSRW,	0, GR },
	{ "66 0f 3a 14 00 01",	X86_OP_PEXTRB,	1, WR },
	{ "66 0f 3a 14 c0 01",	X86_OP_PEXTRB,	0, GW },
	{ "66 0f 3a 61 00 01",	X86_OP_PCMPESTRI, 16, RD | GR | GW | EF | X86_F_IMPLICIT_GPR },
	{ "66 0f 38 17 c1",	X86_OP_PTEST,	0, EF },
	{ "0f ae 10",		X86_OP_LDMXCSR,	4, RD },
	{ "0f ae 18",		X86_OP_STMXCSR,	4, WR },
	{ "c5 fc 28 00",	X86_OP_VMOVAPS,	32, RD | AL },
	{ "c5 fc 58 00",	X86_OP_VADDPS,	32, RD },
	{ "c5 fb 93 c1",	X86_OP_KMOVD,	0, GW },
	{ "c5 f8 91 00",	X86_OP_KMOVW,	2, WR },
	{ "c5 f8 98 c1",	X86_OP_KORTESTW, 0, EF },
	{ "c4 e2 6d 92 04 08",	X86_OP_VGATHERDPS, 4, RD | X86_F_VSIB },
	{ "62 f1 7c 49 11 00",	X86_OP_VMOVUPS,	64, WR | X86_F_KMASK },
	{ "62 f1 7c 38 58 00",	X86_OP_VADDPS,	4, RD | X86_F_BROADCAST | X86_F_VL },
	{ "62 f2 7d 08 7c c1",	X86_OP_VPBROADCASTD, 0, GR | X86_F_VL },
	{ "62 f1 7d 08 6e c1",	X86_OP_VMOVD,	0, GR },
};

static void vector_flags(void)
{
	const u32 interesting = RD | WR | GR | GW | AL | EF | X87 | X86_F_VSIB | X86_F_KMASK | X86_F_BROADCAST |
				X86_F_VL | X86_F_IMPLICIT_MEM | X86_F_IMPLICIT_GPR;

	for (unsigned n = 0; n < ARRAY_LEN(vectors); n++) {
		const struct vector *v = &vectors[n];
		int before = test_failures;

		EXPECT_EQ(decode(64, v->hex), X86_DECODED);
		EXPECT_EQ(insn.op, v->op);
		EXPECT_EQ(insn.form, X86_VECTOR);
		EXPECT(insn.flags & X86_F_VECTOR);
		EXPECT_EQ(insn.flags & interesting, v->flags);
		EXPECT_EQ(insn.mem_bytes, v->mem_bytes);
		if (test_failures != before)
			fprintf(stderr, "	in %s\n", v->hex);
	}
}

static void vector_registers(void)
{
	EXPECT_EQ(decode(64, "62 21 34 40 58 da"), X86_DECODED);	/* VADDPS zmm27, zmm25, zmm18 */
	EXPECT_EQ(insn.reg, 27);
	EXPECT_EQ(insn.vvvv, 25);
	EXPECT_EQ(insn.rm, 18);
	EXPECT_EQ(insn.op_bytes, 64);
	EXPECT_EQ(decode(64, "62 f1 7c 38 58 c0"), X86_DECODED);	/* rounding: 512 bits, whatever L'L */
	EXPECT_EQ(insn.op_bytes, 64);
	EXPECT_EQ(decode(64, "c5 34 58 c2"), X86_DECODED);
	EXPECT_EQ(insn.reg, 8);
	EXPECT_EQ(insn.vvvv, 9);
	EXPECT_EQ(insn.op_bytes, 32);
	EXPECT_EQ(decode(64, "44 0f 6f c9"), X86_DECODED);		/* MMX: REX.R has no effect */
	EXPECT_EQ(insn.reg, 1);
}

/* -- prefixes, #UD ------------------------------------------------------------------- */

struct invalid { unsigned bits; const char *hex; };

static const struct invalid invalids[] = {
	{ 64, "06" }, { 64, "27" }, { 64, "60" }, { 64, "62 00 00 00 00 00" }, { 64, "82 c0 00" }, { 64, "9a 0 0 0 0 0 0" },
	{ 64, "d6" }, { 64, "ea 0 0 0 0 0 0" }, { 64, "ff f8" }, { 64, "fe d0" }, { 64, "8d c0" }, { 64, "8e c8" },
	{ 64, "8c f0" }, { 64, "0f 20 c8" }, { 64, "44 0f 21 c0" }, { 32, "ff d8" }, { 32, "0f 04" },
	{ 64, "f0 90" }, { 64, "f0 01 c0" }, { 64, "f0 03 00" }, { 64, "f0 38 00" }, { 64, "f0 8b 00" },
	{ 64, "f0 0f ba 20 01" }, { 64, "f0 0f c7 f0" },
	{ 64, "66 c5 f8 58 c0" }, { 64, "f3 c5 f8 58 c0" }, { 64, "48 c5 f8 58 c0" }, { 64, "f0 c5 f8 58 c0" },
	{ 64, "c5 f0 28 c0" },			/* VMOVAPS has no vvvv */
	{ 64, "c4 e0 78 58 c0" },		/* VEX map 0 */
	{ 64, "62 f1 7c 78 58 00" },		/* broadcast with L'L = 3 */
	{ 64, "62 f9 7c 48 58 c0" },		/* a reserved bit */
	{ 64, "62 f1 78 48 58 c0" },		/* a bit that must be one */
	{ 64, "62 f1 7c c8 58 c0" },		/* zeroing without a mask */
	{ 64, "62 f1 7c c9 11 00" },		/* zeroing in memory */
	{ 64, "62 f2 7d 48 90 04 08" },		/* a gather without a mask */
	{ 64, "c4 e2 7d 92 04 08" },		/* mask and destination are the same */
	{ 64, "c4 e2 6d 92 00" },		/* a gather without SIB */
	{ 64, "f3 0f 38 00 c0" }, { 64, "f2 0f 5b c0" },
};

static void invalid_encodings(void)
{
	for (unsigned n = 0; n < ARRAY_LEN(invalids); n++) {
		int before = test_failures;

		EXPECT_EQ(decode(invalids[n].bits, invalids[n].hex), X86_INVALID);
		if (test_failures != before)
			fprintf(stderr, "	in %s\n", invalids[n].hex);
	}
}

/* LDS, LES and BOUND share their first byte with VEX and EVEX. */
static void vex_or_lds(void)
{
	EXPECT_EQ(decode(32, "c5 00"), X86_DECODED);
	EXPECT_EQ(insn.op, X86_OP_LDS);
	EXPECT_EQ(insn.mem_bytes, 6);
	EXPECT_EQ(decode(16, "c4 47 02"), X86_DECODED);
	EXPECT_EQ(insn.op, X86_OP_LES);
	EXPECT_EQ(decode(32, "62 00"), X86_DECODED);
	EXPECT_EQ(insn.op, X86_OP_BOUND);
	EXPECT_EQ(insn.mem_bytes, 8);
	EXPECT_EQ(decode(32, "c5 f8 58 c1"), X86_DECODED);
	EXPECT_EQ(insn.op, X86_OP_VADDPS);
	EXPECT_EQ(decode(32, "62 f1 7c 48 58 c1"), X86_DECODED);
	EXPECT_EQ(insn.encoding, X86_ENC_EVEX << 4 | X86_MAP_0F);
	EXPECT_EQ(decode(32, "8f c0"), X86_DECODED);
	EXPECT_EQ(insn.op, X86_OP_POP);
	EXPECT_EQ(decode(32, "8f e9 78 01 c8"), X86_DECODED);
	EXPECT_EQ(insn.op, X86_OP_BLCFILL);
	EXPECT_EQ(x86_insn_feature(&insn), X86_FEATURE_TBM);
}

static void prefix_rules(void)
{
	EXPECT_EQ(decode(64, "48 66 01 c0"), X86_DECODED);	/* REX is not last: ignored */
	EXPECT_EQ(insn.op_bytes, 2);
	EXPECT_EQ(insn.rex, 0);
	EXPECT_EQ(decode(64, "66 48 01 c0"), X86_DECODED);	/* REX.W beats 66 */
	EXPECT_EQ(insn.op_bytes, 8);
	EXPECT_EQ(decode(64, "f2 f3 a4"), X86_DECODED);		/* the last of F2 and F3 */
	EXPECT_EQ(insn.prefixes & (X86_P_REP | X86_P_REPNE), X86_P_REP);
	EXPECT_EQ(decode(64, "66 f3 0f 58 c0"), X86_DECODED);	/* F3 beats 66 */
	EXPECT_EQ(insn.op, X86_OP_ADDSS);
	EXPECT_EQ(decode(64, "f0 48 0f c7 08"), X86_DECODED);
	EXPECT_EQ(insn.op, X86_OP_CMPXCHG16B);
	EXPECT_EQ(insn.mem_bytes, 16);
	EXPECT_EQ(decode(64, "67 e3 00"), X86_DECODED);
	EXPECT_EQ(insn.ad_bytes, 4);
}

/* -- how far it reads ---------------------------------------------------------------- */

static void fifteen_bytes(void)
{
	u8 bytes[32];

	memset(bytes, 0x66, sizeof(bytes));
	EXPECT_EQ(x86_decode(&insn, bytes, sizeof(bytes), 64), X86_TOO_LONG);
	EXPECT_EQ(x86_decode(&insn, bytes, 15, 64), X86_TOO_LONG);
	EXPECT_EQ(x86_decode(&insn, bytes, 14, 64), X86_TRUNCATED);
	EXPECT_EQ(x86_decode(&insn, bytes, 0, 64), X86_TRUNCATED);
	bytes[14] = 0x90;
	EXPECT_EQ(x86_decode(&insn, bytes, sizeof(bytes), 64), X86_DECODED);
	EXPECT_EQ(insn.len, 15);
	EXPECT_EQ(insn.bytes[15], 0);
	bytes[14] = 0x66;
	bytes[15] = 0x90;
	EXPECT_EQ(x86_decode(&insn, bytes, sizeof(bytes), 64), X86_TOO_LONG);
}

static u64 random_u64(void)
{
	static u64 state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

/* No part of an instruction is enough, all of it is, and nothing behind it matters. */
static void every_prefix_is_truncated(void)
{
	const unsigned sizes[] = { 16, 32, 64 };
	long page = sysconf(_SC_PAGESIZE);
	u8 *pages = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long decoded = 0;

	EXPECT(pages != MAP_FAILED);
	EXPECT_EQ(mprotect(pages + page, (size_t)page, PROT_NONE), 0);
	for (unsigned n = 0; n < 100000; n++) {
		unsigned bits = sizes[n % 3];
		struct x86_insn whole, again;
		u64 noise[4] = { random_u64(), random_u64(), random_u64(), random_u64() };
		u8 *bytes = (u8 *)noise;

		if (n % 4 == 1)
			bytes[0] = 0x0f;
		if (n % 4 == 2)
			bytes[0] = 0x62;
		if (x86_decode(&whole, bytes, sizeof(noise), bits) != X86_DECODED)
			continue;
		decoded++;
		for (unsigned len = 0; len <= whole.len; len++) {
			u8 *end = pages + page - len;	/* reading on would fault */

			memcpy(end, bytes, len);
			EXPECT_EQ(x86_decode(&again, end, len, bits),
				  len == whole.len ? X86_DECODED : X86_TRUNCATED);
		}
		EXPECT(!memcmp(&whole, &again, sizeof(whole)));
		for (unsigned b = whole.len; b < sizeof(whole.bytes); b++)
			EXPECT_EQ(whole.bytes[b], 0);
	}
	EXPECT(decoded > 20000);
	munmap(pages, 2 * (size_t)page);
}

/* -- names and features -------------------------------------------------------------- */

static void names(void)
{
	for (unsigned op = 0; op < X86_OPS; op++) {
		EXPECT(x86_op_name(op) && x86_op_name(op)[0]);
		EXPECT(!op || strcmp(x86_op_name(op - 1), x86_op_name(op)) < 0);	/* alphabetical */
	}
	EXPECT(x86_op_name(X86_OPS) == NULL);
	EXPECT(!strcmp(x86_op_name(X86_OP_VADDPS), "VADDPS"));
	EXPECT(x86_feature_name(X86_FEATURE_NONE) == NULL);
	EXPECT(!strcmp(x86_feature_name(X86_FEATURE_AVX512F), "AVX512F"));
}

static unsigned feature_of(const char *hex)
{
	EXPECT_EQ(decode(64, hex), X86_DECODED);
	return x86_insn_feature(&insn);
}

static void features(void)
{
	EXPECT_EQ(x86_feature_cpuid[X86_FEATURE_SVM].leaf, 0x80000001);
	EXPECT_EQ(x86_feature_cpuid[X86_FEATURE_SVM].reg, X86_CPUID_ECX);
	EXPECT_EQ(x86_feature_cpuid[X86_FEATURE_SVM].bit, 2);
	for (unsigned a = 1; a < X86_FEATURES; a++)
		for (unsigned b = 1; b < a; b++)
			EXPECT(memcmp(&x86_feature_cpuid[a], &x86_feature_cpuid[b], sizeof(struct x86_feature_bit)));
	EXPECT_EQ(feature_of("48 01 c0"), X86_FEATURE_NONE);
	EXPECT_EQ(feature_of("0f 58 c0"), X86_FEATURE_SSE);
	EXPECT_EQ(feature_of("66 0f fc c0"), X86_FEATURE_SSE2);
	EXPECT_EQ(feature_of("0f fc c0"), X86_FEATURE_MMX);
	EXPECT_EQ(feature_of("c5 fd fc c0"), X86_FEATURE_AVX2);
	EXPECT_EQ(feature_of("c5 f9 fc c0"), X86_FEATURE_AVX);
	EXPECT_EQ(feature_of("62 f1 7d 48 fc c0"), X86_FEATURE_AVX512BW);
	EXPECT_EQ(feature_of("c4 e2 79 b8 c1"), X86_FEATURE_FMA);
	EXPECT_EQ(feature_of("f3 0f b8 c1"), X86_FEATURE_POPCNT);
	EXPECT_EQ(feature_of("0f 38 f0 00"), X86_FEATURE_MOVBE);
	EXPECT_EQ(feature_of("0f 01 d8"), X86_FEATURE_SVM);
	EXPECT_EQ(feature_of("62 f5 7c 48 58 c0"), X86_FEATURE_AVX512FP16);
	EXPECT_EQ(feature_of("0f 0f c1 9e"), X86_FEATURE_3DNOW);
	EXPECT_EQ(insn.opcode, 0x9e);
	EXPECT_EQ(insn.op, X86_OP_PFADD);
}

/* Every instruction that AMD-V can intercept by itself. */
static void system_instructions(void)
{
	static const char *const all[] = {
		"0f 20 c0", "0f 22 c0", "0f 21 c0", "0f 23 c0", "0f 01 e0", "0f 01 f0", "0f 06", "0f 01 00", "0f 01 08",
		"0f 01 10", "0f 01 18", "0f 00 c0", "0f 00 c8", "0f 00 d0", "0f 00 d8", "0f 31", "0f 01 f9", "0f 33",
		"0f 01 fd", "9c", "9d", "0f a2", "0f aa", "48 cf", "cd 80", "f1", "0f 08", "0f 09", "f3 90", "f4",
		"0f 01 38", "66 0f 38 82 00", "0f 01 df", "0f 01 fe", "0f 01 ff", "e4 00", "e6 00", "ec", "ee", "6c", "6e",
		"0f 30", "0f 32", "0f 01 d8", "0f 01 d9", "0f 01 da", "0f 01 db", "0f 01 dc", "0f 01 dd", "0f 01 de",
		"0f 01 c8", "0f 01 c9", "0f 01 d1", "0f 01 fa", "0f 01 fb", "fa", "fb", "0f 01 f8", "0f 07", "0f 35",
		"0f 01 ca", "0f 01 cb", "0f ae 00", "0f ae 20", "0f ae 28", "0f c7 28", "0f c7 18",
	};

	for (unsigned n = 0; n < ARRAY_LEN(all); n++) {
		EXPECT_EQ(decode(64, all[n]), X86_DECODED);
		if (!(insn.flags & X86_F_SYSTEM))
			fprintf(stderr, "	%s\n", all[n]);
		EXPECT(insn.flags & X86_F_SYSTEM);
		EXPECT(!(insn.flags & X86_F_VECTOR));
	}
}

int main(void)
{
	TEST(integer_forms);
	TEST(far_and_enter);
	TEST(absolute_addresses);
	TEST(memory_operands);
	TEST(vector_flags);
	TEST(vector_registers);
	TEST(invalid_encodings);
	TEST(vex_or_lds);
	TEST(prefix_rules);
	TEST(fifteen_bytes);
	TEST(every_prefix_is_truncated);
	TEST(names);
	TEST(features);
	TEST(system_instructions);
	return test_status();
}
