// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_decode_zydis.c - our decoder beside Zydis, an independent one
 *
 * Random encodings in all three code sizes: pure noise, and noise with structure (legacy
 * prefixes, REX, VEX, EVEX, XOP, escape bytes) so that every map is reached often.  What
 * is compared: valid or not, length, mnemonic, memory operand (segment, base, index,
 * scale, displacement, size, address size), immediates, branch targets, registers.
 * A difference in validity must be one of explained[].
 *
 *   test_decode_zydis		300,000 encodings
 *   test_decode_zydis N	N encodings
 *   test_decode_zydis FILE	the .text section of an ELF64 file, one instruction after another
 *   test_decode_zydis speed	decodes per second of both
 */
#include <Zydis/Zydis.h>
#include <ctype.h>
#include <time.h>

#include "tests/test.h"
#include "x86/cpu.h"
#include "x86/feature.h"
#include "x86/insn.h"

#define DEFAULT_RUN	300000ul
#define MAX_REPORTS	50u

static const unsigned code_sizes[] = { 16, 32, 64 };
static ZydisDecoder decoders[3];
static u16 op_of_mnemonic[ZYDIS_MNEMONIC_MAX_VALUE + 1];

/* -- random numbers ------------------------------------------------------------------ */

static u64 random_state = 0x9e3779b97f4a7c15ull;

static u64 random_u64(void)
{
	u64 z = (random_state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static unsigned random_below(unsigned n)
{
	return (unsigned)(random_u64() >> 33) % n;
}

/* -- Zydis' mnemonics as ours -------------------------------------------------------- */

struct alias { const char *theirs, *ours; };

/* One op of ours for several mnemonics of theirs: see opnames.def. */
static const struct alias aliases[] = {
	{ "CWDE", "CBW" }, { "CDQE", "CBW" }, { "CDQ", "CWD" }, { "CQO", "CWD" },
	{ "JCXZ", "JRCXZ" }, { "JECXZ", "JRCXZ" }, { "IRETD", "IRET" }, { "IRETQ", "IRET" },
	{ "PUSHAD", "PUSHA" }, { "POPAD", "POPA" }, { "PUSHFD", "PUSHF" }, { "PUSHFQ", "PUSHF" },
	{ "POPFD", "POPF" }, { "POPFQ", "POPF" }, { "FXSAVE64", "FXSAVE" }, { "FXRSTOR64", "FXRSTOR" },
	{ "XSAVE64", "XSAVE" }, { "XRSTOR64", "XRSTOR" }, { "XSAVEC64", "XSAVEC" },
	{ "XSAVEOPT64", "XSAVEOPT" }, { "XSAVES64", "XSAVES" }, { "XRSTORS64", "XRSTORS" },
	{ "FSTPNCE", "FSTP" }, { "ENDBR32", "NOP" }, { "ENDBR64", "NOP" }, { "RDSSPD", "NOP" }, { "RDSSPQ", "NOP" },
	{ "BNDCL", "NOP" }, { "BNDCN", "NOP" }, { "BNDCU", "NOP" }, { "BNDLDX", "NOP" },
	{ "BNDMK", "NOP" }, { "BNDMOV", "NOP" }, { "BNDSTX", "NOP" },
};

static const char *const string_ops[] = { "MOVS", "CMPS", "STOS", "LODS", "SCAS", "INS", "OUTS" };

static unsigned op_by_name(const char *name)
{
	for (unsigned op = 0; op < X86_OPS; op++)
		if (!strcmp(x86_op_name(op), name))
			return op;
	return X86_OPS;
}

static unsigned op_of_zydis_name(const char *name)
{
	static const char *const conditions[] = { "O", "NO", "B", "NB", "Z", "NZ", "BE", "NBE", "S", "NS", "P", "NP",
						  "L", "NL", "LE", "NLE" };

	for (unsigned a = 0; a < ARRAY_LEN(aliases); a++)
		if (!strcmp(aliases[a].theirs, name))
			return op_by_name(aliases[a].ours);
	for (unsigned c = 0; c < ARRAY_LEN(conditions); c++) {
		if (name[0] == 'J' && !strcmp(name + 1, conditions[c]))
			return X86_OP_JCC;
		if (!strncmp(name, "SET", 3) && !strcmp(name + 3, conditions[c]))
			return X86_OP_SETCC;
		if (!strncmp(name, "CMOV", 4) && !strcmp(name + 4, conditions[c]))
			return X86_OP_CMOVCC;
	}
	for (unsigned s = 0; s < ARRAY_LEN(string_ops); s++) {
		size_t n = strlen(string_ops[s]);

		if (!strncmp(name, string_ops[s], n) && name[n] && strchr("BWDQ", name[n]) && !name[n + 1])
			return op_by_name(string_ops[s]);
	}
	return op_by_name(name);
}

static void mnemonics_init(void)
{
	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
		char name[32] = "";
		const char *s = ZydisMnemonicGetString((ZydisMnemonic)m);

		for (unsigned c = 0; s && s[c] && c < sizeof(name) - 1; c++)
			name[c] = (char)toupper(s[c]);
		op_of_mnemonic[m] = (u16)op_of_zydis_name(name);
	}
}

/* Far branches are ops of their own. */
static unsigned op_of_zydis(const ZydisDecodedInstruction *z)
{
	bool far = z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;

	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_CALL:
		return far ? X86_OP_CALLF : X86_OP_CALL;
	case ZYDIS_MNEMONIC_JMP:
		return far ? X86_OP_JMPF : X86_OP_JMP;
	case ZYDIS_MNEMONIC_RET:
		return far ? X86_OP_RETF : X86_OP_RET;
	case ZYDIS_MNEMONIC_MOVSD:
		return z->meta.category == ZYDIS_CATEGORY_STRINGOP ? X86_OP_MOVS : X86_OP_MOVSD;
	case ZYDIS_MNEMONIC_CMPSD:
		return z->meta.category == ZYDIS_CATEGORY_STRINGOP ? X86_OP_CMPS : X86_OP_CMPSD;
	default:
		return op_of_mnemonic[z->mnemonic];
	}
}

/* -- one encoding under both --------------------------------------------------------- */

struct sample {
	u8 bytes[24];
	unsigned size;			/* index of code_sizes[] */
	enum x86_decoded status;
	struct x86_insn ours;
	bool theirs_valid;
	ZydisDecodedInstruction theirs;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static unsigned reports;
static unsigned long valid_both;

static void report(const struct sample *s, const char *what, u64 ours, u64 theirs)
{
	static const char *seen[X86_OPS + 1];
	unsigned op = s->status == X86_DECODED ? s->ours.op : X86_OPS;

	test_failures++;
	if (seen[op] == what && op != X86_OPS)	/* once for an op is enough */
		return;
	seen[op] = what;
	if (reports++ >= MAX_REPORTS)
		return;
	fprintf(stderr, "%u-bit", code_sizes[s->size]);
	for (unsigned n = 0; n < 15; n++)
		fprintf(stderr, " %02x", s->bytes[n]);
	fprintf(stderr, ": %s %#llx, Zydis %#llx (%s, %s/%s)\n", what, (unsigned long long)ours,
		(unsigned long long)theirs, s->status == X86_DECODED ? x86_op_name(s->ours.op) : "invalid",
		s->theirs_valid ? ZydisMnemonicGetString(s->theirs.mnemonic) : "invalid",
		s->theirs_valid ? ZydisISASetGetString(s->theirs.meta.isa_set) : "");
}

/* -- differences in validity, and why ------------------------------------------------ */

static bool zydis_knows_more(const struct sample *s)
{
	static const ZydisISAExt exts[] = {
		ZYDIS_ISA_EXT_AMX_BF16, ZYDIS_ISA_EXT_AMX_INT8, ZYDIS_ISA_EXT_AMX_TILE, ZYDIS_ISA_EXT_CET,
		ZYDIS_ISA_EXT_HRESET, ZYDIS_ISA_EXT_KEYLOCKER, ZYDIS_ISA_EXT_KEYLOCKER_WIDE, ZYDIS_ISA_EXT_KNC,
		ZYDIS_ISA_EXT_KNCE, ZYDIS_ISA_EXT_KNCV, ZYDIS_ISA_EXT_PADLOCK, ZYDIS_ISA_EXT_PCONFIG,
		ZYDIS_ISA_EXT_SGX, ZYDIS_ISA_EXT_SGX_ENCLV, ZYDIS_ISA_EXT_SMX, ZYDIS_ISA_EXT_TDX, ZYDIS_ISA_EXT_UINTR,
	};
	static const ZydisISASet sets[] = {	/* Knights Landing and Mill */
		ZYDIS_ISA_SET_AVX512ER_512, ZYDIS_ISA_SET_AVX512ER_SCALAR, ZYDIS_ISA_SET_AVX512PF_512,
		ZYDIS_ISA_SET_AVX512_4FMAPS_512, ZYDIS_ISA_SET_AVX512_4FMAPS_SCALAR, ZYDIS_ISA_SET_AVX512_4VNNIW_512,
	};

	if (!s->theirs_valid)
		return false;
	for (unsigned n = 0; n < ARRAY_LEN(exts); n++)
		if (s->theirs.meta.isa_ext == exts[n])
			return true;
	for (unsigned n = 0; n < ARRAY_LEN(sets); n++)
		if (s->theirs.meta.isa_set == sets[n])
			return true;
	return false;
}

/* Without MPX its opcodes are NOPs, whatever their operands. */
static bool mpx_is_nop(const struct sample *s)
{
	return s->status == X86_DECODED && s->ours.op == X86_OP_NOP && (s->ours.opcode & 0xfe) == 0x1a;
}

/* AMD's AltMovCr8. */
static bool lock_mov_cr0(const struct sample *s)
{
	return s->status == X86_DECODED && s->ours.op == X86_OP_MOV && (s->ours.prefixes & X86_P_LOCK) &&
	       x86_insn_feature(&s->ours) == X86_FEATURE_CR8;
}

struct explanation {
	const char *why;
	bool (*applies)(const struct sample *s);
	unsigned long count;
};

static struct explanation explained[] = {
	{ "AMX, CET, Key Locker, SGX, SMX, TDX, UINTR, PadLock, Knights: #UD without them", zydis_knows_more, 0 },
	{ "MPX: BNDxx are NOPs without it, valid with any operand", mpx_is_nop, 0 },
	{ "LOCK MOV CR0 is MOV CR8, on AMD's processors", lock_mov_cr0, 0 },
};

static bool explain(const struct sample *s)
{
	for (unsigned e = 0; e < ARRAY_LEN(explained); e++) {
		if (explained[e].applies(s)) {
			explained[e].count++;
			return true;
		}
	}
	return false;
}

/* -- operands ------------------------------------------------------------------------ */

static u8 register_number(ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return X86_REG_NONE;
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return X86_REG_RIP;
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return (u8)(X86_AH + r - ZYDIS_REGISTER_AH);
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return (u8)(X86_RSP + r - ZYDIS_REGISTER_SPL);
	return (u8)ZydisRegisterGetId(r);
}

/* Some have a memory operand but only name its address. */
static bool accesses_memory(unsigned op)
{
	switch (op) {
	case X86_OP_NOP:
	case X86_OP_INVLPG:
	case X86_OP_CLDEMOTE:
	case X86_OP_CLFLUSH:
	case X86_OP_CLFLUSHOPT:
	case X86_OP_CLWB:
	case X86_OP_PREFETCH:
	case X86_OP_PREFETCHW:
	case X86_OP_PREFETCHWT1:
	case X86_OP_PREFETCHNTA:
	case X86_OP_PREFETCHT0:
	case X86_OP_PREFETCHT1:
	case X86_OP_PREFETCHT2:
	case X86_OP_UD0:
	case X86_OP_UD1:
		return false;
	default:
		return true;
	}
}

/* With an address size of 32 bits Zydis 4.0 takes "no base" with REX.B for a base of R13D. */
static bool zydis_errs_on_base(const struct x86_insn *i)
{
	return i->ad_bytes == 4 && (i->modrm & 0xc7) == 0x04 && i->base == X86_REG_NONE && (i->rex & X86_REX_B);
}

/* A DS override of an indirect branch is CET's NOTRACK to Zydis. */
static bool is_notrack(const struct x86_insn *i)
{
	return i->seg == X86_DS && (i->op == X86_OP_CALL || i->op == X86_OP_JMP);
}

static void compare_memory(const struct sample *s, const ZydisDecodedOperand *o)
{
	const struct x86_insn *i = &s->ours;
	unsigned bytes = o->size / 8;

	if (mpx_is_nop(s))	/* which has addressing rules of its own */
		return;
	if (zydis_errs_on_base(i))
		return;
	if (register_number(o->mem.base) != i->base)
		report(s, "base", i->base, register_number(o->mem.base));
	if (register_number(o->mem.index) != i->index)
		report(s, "index", i->index, register_number(o->mem.index));
	if (o->mem.index && o->mem.scale != 1u << i->scale)
		report(s, "scale", 1u << i->scale, o->mem.scale);
	if (o->mem.disp.has_displacement ? (s32)o->mem.disp.value != i->disp : i->disp != 0)
		report(s, "disp", (u64)(s64)i->disp, (u64)o->mem.disp.value);
	if (o->mem.segment && i->op != X86_OP_LEA && !is_notrack(i) && register_number(o->mem.segment) != i->seg)
		report(s, "segment", i->seg, register_number(o->mem.segment));
	if (i->mem_bytes && i->mem_bytes != 255 && i->mem_bytes != bytes)
		report(s, "memory operand size", i->mem_bytes, bytes);
	if (!i->mem_bytes && bytes && o->mem.type == ZYDIS_MEMOP_TYPE_MEM && accesses_memory(i->op))
		report(s, "memory operand size", i->mem_bytes, bytes);
	if ((i->flags & X86_F_VECTOR) && bytes) {
		bool reads = o->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
		bool writes = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

		if (reads != !!(i->flags & X86_F_MEM_READ))
			report(s, "reads memory", !reads, reads);
		if (writes != !!(i->flags & X86_F_MEM_WRITE))
			report(s, "writes memory", !writes, writes);
	}
	if (!!(i->flags & X86_F_VSIB) != (o->mem.type == ZYDIS_MEMOP_TYPE_VSIB))
		report(s, "vsib", !!(i->flags & X86_F_VSIB), o->mem.type);
}

static bool is_gpr(ZydisRegister r)
{
	ZydisRegisterClass c = ZydisRegisterGetClass(r);

	return c >= ZYDIS_REGCLASS_GPR8 && c <= ZYDIS_REGCLASS_GPR64;
}

static void compare_register(const struct sample *s, const ZydisDecodedOperand *o)
{
	const struct x86_insn *i = &s->ours;
	u8 n = register_number(o->reg.value);

	if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG && n != i->reg)
		report(s, "reg", i->reg, n);
	if ((o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM || o->encoding == ZYDIS_OPERAND_ENCODING_OPCODE) && n != i->rm)
		report(s, "rm", i->rm, n);
	if (o->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD && n != i->vvvv)
		report(s, "vvvv", i->vvvv, n);
	if (!(i->flags & X86_F_VECTOR) && is_gpr(o->reg.value)) {
		/* LAR and LSL read 16 bits whatever Zydis says; what NOPs have does not matter */
		if (i->op == X86_OP_LAR || i->op == X86_OP_LSL || !accesses_memory(i->op))
			return;
		if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG && o->size / 8 != i->op_bytes)
			report(s, "size of G", i->op_bytes, o->size / 8);
		if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && o->size / 8 != i->src_bytes &&
		    i->op != X86_OP_MOVSXD)	/* r16, r/m16 or r/m32: only a page's end could tell */
			report(s, "size of E", i->src_bytes, o->size / 8);
	}
	if ((i->flags & X86_F_VECTOR) && is_gpr(o->reg.value)) {
		if ((o->actions & ZYDIS_OPERAND_ACTION_MASK_READ) && !(i->flags & X86_F_GPR_READ))
			report(s, "reads a GPR", 0, 1);
		if ((o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) && !(i->flags & X86_F_GPR_WRITE))
			report(s, "writes a GPR", 0, 1);
	}
}

static void compare_operands(const struct sample *s)
{
	const struct x86_insn *i = &s->ours;
	bool has_memory = false, has_gpr = false;

	for (unsigned n = 0; n < s->theirs.operand_count; n++) {
		const ZydisDecodedOperand *o = &s->operands[n];
		bool of_modrm = o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM;

		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && of_modrm) {
			compare_memory(s, o);
			has_memory = true;
		} else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			compare_register(s, o);
			has_gpr |= is_gpr(o->reg.value);
		}
	}
	if (has_memory != !!(i->flags & X86_F_MEM))
		report(s, "memory operand", !!(i->flags & X86_F_MEM), has_memory);
	if ((i->flags & (X86_F_GPR_READ | X86_F_GPR_WRITE)) && !has_gpr)
		report(s, "uses a GPR", 1, 0);
}

static void compare_immediate(const struct sample *s)
{
	const struct x86_insn *i = &s->ours;
	u64 mask = ~0ull;
	s64 value = (s64)s->theirs.raw.imm[0].value.u;

	if (!s->theirs.raw.imm[0].size)
		return;
	if (i->form == X86_FAR || (i->form == X86_I && i->op == X86_OP_ENTER)) {
		if (i->imm2 != (u16)s->theirs.raw.imm[1].value.u)
			report(s, "second immediate", i->imm2, s->theirs.raw.imm[1].value.u);
	} else if (s->theirs.raw.imm[1].size) {
		value = value | (s64)s->theirs.raw.imm[1].value.u << 8;
	}
	if (!s->theirs.raw.imm[0].is_signed || (i->form != X86_J && i->op_bytes < 8)) {
		unsigned bits = s->theirs.raw.imm[0].size;

		if (i->op_bytes * 8u < bits || i->form == X86_VECTOR)
			bits = i->form == X86_VECTOR ? 64 : bits;
		mask = bits >= 64 ? ~0ull : (1ull << bits) - 1;
	}
	if ((i->imm & mask) != ((u64)value & mask))
		report(s, "immediate", i->imm, (u64)value);
}

static void compare_sizes(const struct sample *s)
{
	const struct x86_insn *i = &s->ours;

	if (!mpx_is_nop(s) && s->theirs.address_width / 8 != i->ad_bytes)
		report(s, "address size", i->ad_bytes, s->theirs.address_width / 8);
	if ((i->form == X86_J || i->form == X86_S || i->op == X86_OP_PUSH || i->op == X86_OP_POP || i->op == X86_OP_RET) &&
	    s->theirs.operand_width / 8 != i->op_bytes)
		report(s, "operand size", i->op_bytes, s->theirs.operand_width / 8);
}

static void compare_flags(const struct sample *s)
{
	const struct x86_insn *i = &s->ours;
	const ZydisDecodedInstruction *z = &s->theirs;
	bool lockable = z->attributes & ZYDIS_ATTRIB_ACCEPTS_LOCK;
	bool masked = z->avx.mask.reg != ZYDIS_REGISTER_NONE && z->avx.mask.reg != ZYDIS_REGISTER_K0;

	if (lockable && !(i->flags & X86_F_LOCKABLE))
		report(s, "lockable", 0, 1);
	if ((z->meta.branch_type || z->meta.category == ZYDIS_CATEGORY_SYSCALL) && !(i->flags & X86_F_BRANCH))
		report(s, "branches", 0, 1);
	if (i->encoding >> 4 == X86_ENC_EVEX && masked != !!(i->flags & X86_F_KMASK))
		report(s, "masked", !masked, masked);
	if (i->encoding >> 4 == X86_ENC_EVEX && !!(i->flags & X86_F_BROADCAST) !=
	    (z->avx.broadcast.mode && !z->avx.broadcast.is_static))
		report(s, "broadcast", !!(i->flags & X86_F_BROADCAST), z->avx.broadcast.mode);
	if (i->form == X86_VECTOR && z->cpu_flags) {
		bool writes = z->cpu_flags->modified | z->cpu_flags->set_0 | z->cpu_flags->set_1 | z->cpu_flags->undefined;

		if (writes != !!(i->flags & X86_F_EFLAGS))
			report(s, "writes EFLAGS", !writes, writes);
	}
}

static void decode_both(struct sample *s)
{
	s->status = x86_decode(&s->ours, s->bytes, sizeof(s->bytes), code_sizes[s->size]);
	s->theirs_valid = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[s->size], s->bytes, sizeof(s->bytes),
							      &s->theirs, s->operands));
}

static void compare(struct sample *s)
{
	decode_both(s);
	if ((s->status == X86_DECODED) != s->theirs_valid) {
		if (!explain(s))
			report(s, "valid", s->status == X86_DECODED, s->theirs_valid);
		return;
	}
	if (s->status != X86_DECODED)
		return;
	valid_both++;
	if (s->ours.len != s->theirs.length) {
		report(s, "length", s->ours.len, s->theirs.length);
		return;
	}
	if (op_of_zydis(&s->theirs) != s->ours.op) {
		report(s, "op", s->ours.op, op_of_zydis(&s->theirs));
		return;
	}
	compare_sizes(s);
	compare_operands(s);
	compare_immediate(s);
	compare_flags(s);
}

/* -- random encodings ---------------------------------------------------------------- */

static const u8 legacy_prefixes[] = { 0x66, 0xf2, 0xf3, 0x67, 0x2e, 0x36, 0x26, 0x3e, 0x64, 0x65, 0xf0 };

static unsigned random_prefixes(u8 *p, unsigned size)
{
	unsigned n = 0, count = random_below(8);

	for (count = count < 4 ? 0 : count - 3; n < count; n++)
		p[n] = legacy_prefixes[random_below(n ? ARRAY_LEN(legacy_prefixes) : 3)];
	if (code_sizes[size] == 64 && random_below(2))
		p[n++] = (u8)(0x40 + random_below(16));
	return n;
}

/* vvvv and the like are often all ones, or most encodings would be invalid. */
static u8 mostly(u8 ones, u8 noise)
{
	return random_below(2) ? noise | ones : noise;
}

static void random_encoding(struct sample *s)
{
	static const u8 escapes[] = { 0x0f, 0x38, 0x3a };
	u8 *p = s->bytes;
	unsigned kind = random_below(16);

	for (unsigned n = 0; n < sizeof(s->bytes); n += 8) {
		u64 r = random_u64();

		memcpy(p + n, &r, 8);
	}
	s->size = random_below(4);
	if (s->size == 3)
		s->size = 2;
	if (kind >= 4 && !random_below(16))
		p += random_prefixes(p, s->size);
	switch (kind) {
	case 0:		/* noise */
		break;
	case 1:
	case 2:		/* one byte */
		random_prefixes(p, s->size);
		break;
	case 3:
	case 4:
	case 5:		/* 0F */
	case 6:
	case 7:		/* 0F 38, 0F 3A */
		p += random_prefixes(p, s->size);
		*p++ = escapes[0];
		if (kind >= 6)
			*p++ = escapes[kind - 5];
		break;
	case 8:
		p[0] = 0xc5;
		p[1] = mostly(0xf8, p[1]);
		break;
	case 9:
	case 10:
		p[0] = kind == 9 || random_below(4) ? 0xc4 : 0x8f;
		p[1] = (u8)(mostly(0xc0, p[1]) & 0xe0) | (u8)((p[0] == 0x8f ? 8 : 1) + random_below(3));
		p[2] = mostly(0x78, p[2]);
		break;
	case 15:
		random_prefixes(p, s->size);
		break;
	default:
		p[0] = 0x62;
		p[1] = (u8)(mostly(0xf0, p[1]) & 0xf0) | (u8)(1 + random_below(6));
		p[2] = mostly(0x78, p[2]) | 4;
		p[3] = mostly(8, p[3]);
		if (random_below(2))
			p[3] &= 0x68;
		break;
	}
}

static void test_random_encodings(unsigned long count)
{
	for (unsigned long n = 0; n < count; n++) {
		struct sample s = { 0 };

		random_encoding(&s);
		compare(&s);
	}
	printf("     %lu encodings, %lu valid to both\n", count, valid_both);
	for (unsigned e = 0; e < ARRAY_LEN(explained); e++)
		printf("     %9lu  %s\n", explained[e].count, explained[e].why);
	EXPECT(valid_both > count / 4);
}

/* -- real code ----------------------------------------------------------------------- */

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The bytes of .text, or NULL. */
static const u8 *text_of(const char *path, size_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	const u8 *file;
	const Elf64_Ehdr *e;
	const Elf64_Shdr *sections;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return NULL;
	e = (const Elf64_Ehdr *)file;
	sections = (const Elf64_Shdr *)(file + e->e_shoff);
	for (unsigned n = 0; n < e->e_shnum; n++) {
		const char *name = (const char *)file + sections[e->e_shstrndx].sh_offset + sections[n].sh_name;

		if (!strcmp(name, ".text")) {
			*size = sections[n].sh_size;
			return file + sections[n].sh_offset;
		}
	}
	return NULL;
}

static void test_real_code(const char *path)
{
	size_t size = 0, at = 0;
	const u8 *text = text_of(path, &size);
	unsigned long count = 0;

	EXPECT(text != NULL);
	if (!text)
		return;
	while (at + sizeof(((struct sample *)0)->bytes) <= size) {
		struct sample s = { .size = 2 };

		memcpy(s.bytes, text + at, sizeof(s.bytes));
		compare(&s);
		at += s.theirs_valid ? s.theirs.length : 1;
		count++;
	}
	printf("     %s: %lu instructions, %lu valid to both\n", path, count, valid_both);
}

/* -- speed --------------------------------------------------------------------------- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void measure_speed(const char *path)
{
	size_t size = 0;
	const u8 *text = text_of(path, &size);
	struct x86_insn i;
	ZydisDecodedInstruction z;
	unsigned long ours = 0, theirs = 0;
	double start, end;

	if (!text || size < 64)
		return;
	start = seconds();
	for (size_t at = 0; at + 32 < size; ours++)
		at += x86_decode(&i, text + at, 24, 64) == X86_DECODED ? i.len : 1;
	end = seconds();
	printf("     ours   %5.1f million decodes a second\n", (double)ours / (end - start) * 1e-6);
	start = seconds();
	for (size_t at = 0; at + 32 < size; theirs++)
		at += ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoders[2], NULL, text + at, 24, &z)) ? z.length : 1;
	end = seconds();
	printf("     Zydis  %5.1f million decodes a second, without operands\n",
	       (double)theirs / (end - start) * 1e-6);
}

/* TEST() for a function with an argument. */
#define TEST_ARG(fn, arg) do { \
	int before_ = test_failures; \
	fn(arg); \
	printf("%s %s\n", test_failures == before_ ? "ok  " : "FAIL", #fn); \
} while (0)

int main(int argc, char **argv)
{
	const char *argument = argc > 1 ? argv[1] : "";
	char *end;
	unsigned long count = strtoul(argument, &end, 0);

	ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	mnemonics_init();
	if (!strcmp(argument, "speed"))
		measure_speed(argc > 2 ? argv[2] : "/usr/lib/x86_64-linux-gnu/libc.so.6");
	else if (*end)
		TEST_ARG(test_real_code, argument);
	else
		TEST_ARG(test_random_encodings, count ? count : DEFAULT_RUN);
	return test_status();
}
