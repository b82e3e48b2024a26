// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vector_code.c - stubs of generated code
 *
 * A guest's instruction is encoded anew from its decoded fields: prefixes that mean
 * nothing are gone, the memory operand is [RSI] without displacement or index, a
 * general-purpose operand is RCX.  So a few thousand stubs serve all encodings of a
 * program.  Around the instruction:
 *
 *	mov eax, [r8];  add al, 7fh;  sahf	flags in
 *	mov rcx, [rdi]				register in
 *	<the instruction>
 *	mov [rdi], rcx				register out
 *	lahf;  seto al;  mov [r8], eax		flags out
 *	ret
 *
 * When the buffer or the table is nearly full all stubs are forgotten, between instructions.
 *
 * Reference: Intel SDM vol. 2, "Instruction Format", "Intel AVX-512 Encoding".
 */
#include "base/bits.h"
#include "soft/vector_unit.h"

#define STUB_BYTES	64u
#define STUBS_AT_ONCE	16u
#define RCX		1u
#define RSI		6u

/* --- encoding ----------------------------------------------------------------------------- */

static void put(struct vector_template *t, unsigned byte)
{
	t->bytes[t->len++] = (u8)byte;
}

/* Which of the operands that ModRM names is the general-purpose register? */
bool vector_gpr_is_rm(const struct x86_insn *i)
{
	if (i->flags & X86_F_MEM)
		return false;
	switch (i->encoding & 15) {
	case X86_MAP_0F:
	case X86_MAP_5:
		return i->opcode == 0x2a || i->opcode == 0x6e || i->opcode == 0x7b || i->opcode == 0x7e ||
		       i->opcode == 0x92 || i->opcode == 0xc4;
	case X86_MAP_0F38:
		return true;
	case X86_MAP_0F3A:
		return true;
	default:
		return false;
	}
}

/* Outside 64-bit code W does not make an integer operand 64 bits wide. */
static bool is_wide(const struct x86_insn *i)
{
	if (!(i->rex & X86_REX_W))
		return false;
	if (i->code_bits == 64)
		return true;
	if (i->flags & (X86_F_GPR_READ | X86_F_GPR_WRITE))
		return false;
	switch (i->op) {
	case X86_OP_VMOVD:
	case X86_OP_VPEXTRD:
	case X86_OP_VPINSRD:
	case X86_OP_VCVTSI2SS:
	case X86_OP_VCVTSI2SD:
	case X86_OP_VCVTSI2SH:
	case X86_OP_VCVTUSI2SS:
	case X86_OP_VCVTUSI2SD:
	case X86_OP_VCVTUSI2SH:
		return false;
	default:
		return true;
	}
}

/* Bytes of SIB and displacement. */
static unsigned address_bytes(const struct x86_insn *i)
{
	unsigned mod = i->modrm >> 6, rm = i->modrm & 7;
	bool sib = rm == 4;

	if (mod == 3)
		return 0;
	if (i->ad_bytes == 2)
		return mod == 0 ? (rm == 6 ? 2 : 0) : mod;
	if (sib)
		rm = i->bytes[i->modrm_at + 1] & 7;
	return sib + (mod == 1 ? 1u : mod == 2 || rm == 5 ? 4u : 0u);
}

static void put_vex(struct vector_template *t, const struct x86_insn *i, unsigned r, unsigned b)
{
	unsigned at = i->modrm_at ? i->modrm_at - 1u : i->len - 1u;	/* of the opcode */

	put(t, 0xc4);
	put(t, (~r & 8) << 4 | 0x40 | (~b & 8) << 2 | (i->encoding & 15u));
	put(t, (unsigned)is_wide(i) << 7 | (~i->vvvv & 15u) << 3 | (i->bytes[at - 1] & 7u));
}

static void put_evex(struct vector_template *t, const struct x86_insn *i, unsigned r, unsigned b)
{
	unsigned at = i->modrm_at - 1u;
	/* X extends a register in rm; [RSI] needs no extension. */
	unsigned x = b >> 4 & 1;

	put(t, 0x62);
	put(t, (~r & 8) << 4 | (x ^ 1) << 6 | (~b & 8) << 2 | (~r & 16) | (i->encoding & 7u));
	put(t, (unsigned)is_wide(i) << 7 | (~i->vvvv & 15u) << 3 | 4 | (i->bytes[at - 2] & 3u));
	put(t, (i->bytes[at - 1] & 0xf7u) | (~i->vvvv & 16u) >> 1);
}

static void put_legacy(struct vector_template *t, const struct x86_insn *i, unsigned r, unsigned b)
{
	unsigned map = i->encoding & 15, rex;

	if (map == X86_MAP_1) {		/* x87: only an environment's format depends on a prefix */
		if (i->mem_bytes == 14 || i->mem_bytes == 94)
			put(t, 0x66);
		return;
	}
	if (i->prefixes & X86_P_OPSIZE)
		put(t, 0x66);
	if (i->prefixes & (X86_P_REP | X86_P_REPNE))
		put(t, i->prefixes & X86_P_REP ? 0xf3 : 0xf2);
	rex = (is_wide(i) ? 8u : 0u) | (r & 8) >> 1 | (b & 8) >> 3;
	if (rex)
		put(t, 0x40 | rex);
	put(t, 0x0f);
	if (map == X86_MAP_0F38)
		put(t, 0x38);
	else if (map == X86_MAP_0F3A)
		put(t, 0x3a);
}

/* PCMPESTRI and kin. */
static bool is_string_compare(const struct x86_insn *i)
{
	return (i->encoding & 15) == X86_MAP_0F3A && i->opcode >= 0x60 && i->opcode <= 0x63;
}

bool vector_template_of(struct vector_template *t, const struct x86_insn *i)
{
	unsigned encoding = i->encoding >> 4, r = i->reg, b = i->rm, imm_at;
	bool gpr = i->flags & (X86_F_GPR_READ | X86_F_GPR_WRITE);

	__builtin_memset(t, 0, sizeof(*t));
	if (i->flags & X86_F_IMPLICIT_GPR || is_string_compare(i)) {
		t->around |= is_string_compare(i) ? VECTOR_AROUND_STRING : VECTOR_AROUND_AX;
	} else if (gpr) {
		t->around |= VECTOR_AROUND_GPR;
		if (vector_gpr_is_rm(i))
			b = RCX;
		else
			r = RCX;
	}
	if (i->flags & X86_F_EFLAGS || (i->op >= X86_OP_FCMOVB && i->op <= X86_OP_FCMOVU))
		t->around |= VECTOR_AROUND_FLAGS;
	if (i->flags & X86_F_MEM)
		b = RSI;
	if (!(i->flags & X86_F_MODRM))
		r = b = 0;

	switch (encoding) {
	case X86_ENC_LEGACY:
		put_legacy(t, i, r, b);
		break;
	case X86_ENC_VEX2:
	case X86_ENC_VEX3:
		put_vex(t, i, r, b);
		break;
	case X86_ENC_EVEX:
		put_evex(t, i, r, b);
		break;
	default:
		return false;		/* XOP, 3DNow!: never offered */
	}
	put(t, i->opcode);
	if (!(i->flags & X86_F_MODRM))
		return true;
	put(t, (i->flags & X86_F_MEM ? 0u : 0xc0u) | (r & 7) << 3 | (b & 7));
	imm_at = i->modrm_at + 1u + address_bytes(i);
	for (unsigned n = imm_at; n < i->len; n++) {
		unsigned byte = i->bytes[n];

		/* A register in an immediate: bit 7 means nothing outside 64-bit code. */
		if (i->code_bits != 64 && (i->encoding & 15) == X86_MAP_0F3A && i->opcode >= 0x4a &&
		    i->opcode <= 0x4c)
			byte &= 0x7f;
		put(t, byte);
	}
	return true;
}

/* --- emitting ------------------------------------------------------------------------------------ */

struct emitter { u8 *at; };

#define EMIT(e, ...) do { \
	static const u8 code_[] = { __VA_ARGS__ }; \
	for (unsigned n_ = 0; n_ < sizeof(code_); n_++) \
		*(e)->at++ = code_[n_]; \
} while (0)

static void emit_stub(struct emitter *e, const struct vector_template *t)
{
	if (t->around & VECTOR_AROUND_FLAGS) {
		EMIT(e, 0x41, 0x8b, 0x00);		/* mov eax, [r8] */
		EMIT(e, 0x04, 0x7f, 0x9e);		/* add al, 7fh; sahf */
	}
	if (t->around & (VECTOR_AROUND_GPR | VECTOR_AROUND_STRING))
		EMIT(e, 0x48, 0x8b, 0x4f, 0x00);	/* mov rcx, [rdi + 0] */
	if (t->around & VECTOR_AROUND_STRING) {
		e->at[-1] = 8;				/* ... [rdi + 8] */
		EMIT(e, 0x48, 0x8b, 0x07);		/* mov rax, [rdi] */
		EMIT(e, 0x48, 0x8b, 0x57, 0x10);	/* mov rdx, [rdi + 16] */
	}
	if (t->around & VECTOR_AROUND_AX)
		EMIT(e, 0x48, 0x8b, 0x07);		/* mov rax, [rdi] */
	for (unsigned n = 0; n < t->len; n++)
		*e->at++ = t->bytes[n];
	if (t->around & (VECTOR_AROUND_GPR | VECTOR_AROUND_STRING))
		EMIT(e, 0x48, 0x89, 0x4f, 0x00);	/* mov [rdi + 0], rcx */
	if (t->around & VECTOR_AROUND_STRING)
		e->at[-1] = 8;
	if (t->around & VECTOR_AROUND_AX)
		EMIT(e, 0x48, 0x89, 0x07);		/* mov [rdi], rax */
	if (t->around & VECTOR_AROUND_FLAGS) {
		EMIT(e, 0x9f, 0x0f, 0x90, 0xc0);	/* lahf; seto al */
		EMIT(e, 0x41, 0x89, 0x00);		/* mov [r8], eax */
	}
	EMIT(e, 0xc3);
}

/*
 * Have room for the stubs of one instruction, by forgetting all if need be: not while one is
 * being executed, whose plan would go, too.  The bytes will be written through one mapping and run through
 * another, which asks for a serializing instruction before they are run again.
 */
void vector_code_reserve(struct soft_vector *v)
{
	u32 a = 0, b, c = 0, d;

	if (LIKELY(v->code_used + STUBS_AT_ONCE * STUB_BYTES <= v->code.bytes &&
		   v->code_used / STUB_BYTES + STUBS_AT_ONCE <= VECTOR_STUBS / 2))
		return;
	v->code_used = 0;
	__builtin_memset(v->stubs, 0, sizeof(v->stubs));
	__builtin_memset(v->plans, 0, sizeof(v->plans));
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

static u64 hash(const struct vector_template *t)
{
	u64 w[2];

	BUILD_ASSERT(sizeof(*t) == sizeof(w));
	__builtin_memcpy(w, t, sizeof(w));
	return (w[0] * 0x9e3779b97f4a7c15ull ^ w[1] * 0xc2b2ae3d27d4eb4full) >> 40;
}

vector_stub vector_stub_of(struct soft_vector *v, const struct vector_template *t)
{
	u64 n = hash(t) % VECTOR_STUBS;
	struct vector_stub_entry *s;
	struct emitter e;

	for (;; n = (n + 1) % VECTOR_STUBS) {	/* at most half of them are taken */
		s = &v->stubs[n];
		if (!s->offset)
			break;
		if (!__builtin_memcmp(&s->key, t, sizeof(*t)))
			return (vector_stub)(v->code.run + s->offset - 1);
	}
	s->key = *t;
	s->offset = (u32)v->code_used + 1;
	v->code_used += STUB_BYTES;
	e.at = v->code.write + s->offset - 1;
	emit_stub(&e, t);
	while ((u64)(e.at - v->code.write) < v->code_used)
		*e.at++ = 0xcc;
	return (vector_stub)(v->code.run + s->offset - 1);
}

/* --- registers from and to memory ------------------------------------------------------------------------ */

static void move(struct soft_vector *v, const u8 *bytes, unsigned len, void *memory)
{
	struct vector_template t = { .len = (u8)len };

	__builtin_memcpy(t.bytes, bytes, len);
	vector_call(v, vector_stub_of(v, &t), NULL, memory, NULL);
}

static u8 modrm_rsi(unsigned reg)
{
	return (u8)((reg & 7) << 3 | RSI);
}

/* VMOVDQU [rsi], reg (7F) or reg, [rsi] (6F), EVEX or VEX; MOVDQU without AVX. */
static void move_xmm(struct soft_vector *v, unsigned reg, void *memory, unsigned bytes, u8 opcode)
{
	u64 components = vector_host()->components;
	u8 high = (u8)((~reg & 8) << 4 | (~reg & 16));

	if ((components & XSTATE_AVX512) && (bytes == 64 || reg > 15)) {
		u8 length = bytes == 64 ? 0x40 : bytes == 32 ? 0x20 : 0;
		u8 c[] = { 0x62, (u8)(high | 0x61), 0x7e, (u8)(length | 0x08), opcode, modrm_rsi(reg) };

		move(v, c, sizeof(c), memory);
	} else if (components & XSTATE_AVX) {
		u8 c[] = { 0xc4, (u8)((high & 0x80) | 0x61), (u8)(bytes >= 32 ? 0x7e : 0x7a), opcode,
			   modrm_rsi(reg) };

		move(v, c, sizeof(c), memory);
	} else {
		u8 c[] = { 0xf3, (u8)(0x40 | (reg & 8) >> 1), 0x0f, opcode, modrm_rsi(reg) };

		move(v, c, sizeof(c), memory);
	}
}

void vector_get(struct soft_vector *v, enum vector_file file, unsigned reg, void *to)
{
	__builtin_memset(to, 0, 64);
	if (file == VECTOR_XMM) {
		move_xmm(v, reg, to, 64, 0x7f);
	} else if (file == VECTOR_MMX) {
		u8 c[] = { 0x0f, 0x7f, modrm_rsi(reg) };

		move(v, c, sizeof(c), to);
	} else {
		/* KMOVQ, or KMOVW */
		u8 c[] = { 0xc4, 0xe1, vector_host()->avx512bw ? 0xf8 : 0x78, 0x91, modrm_rsi(reg) };

		move(v, c, sizeof(c), to);
	}
}

void vector_put(struct soft_vector *v, enum vector_file file, unsigned reg, const void *from,
		unsigned bytes)
{
	if (file == VECTOR_XMM) {
		move_xmm(v, reg, (void *)from, bytes, 0x6f);
	} else {			/* KXORW reg, reg, reg: a mask is only ever cleared */
		u8 c[] = { 0xc5, (u8)(0x84 | (~reg & 7) << 3 | 0x40), 0x47,
			   (u8)(0xc0 | (reg & 7) << 3 | (reg & 7)) };

		move(v, c, sizeof(c), NULL);
	}
}
