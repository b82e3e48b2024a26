// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * translate_vector.c - vector and x87 instructions, in line
 *
 * The guest's vector registers are in the host's, so an instruction is copied; only its
 * memory operand and its general-purpose register are other ones.  A block with such
 * instructions begins by looking whether they may run (vector_level): state loaded, nothing
 * that CR0, CR4 or XCR0 forbids, no exception unmasked.  Masked memory is
 * checked as if it were not masked; where that fails the interpreter looks more closely.
 * Control words, gathers and everything odd go to the executor.
 *
 * With SOFT_FPU_EAGER the guest's registers are never in the host's: all go there.
 */
#include "soft/translate.h"
#include "soft/vector_unit.h"
#include "x86/feature.h"

#define LEVEL_SSE	1u
#define LEVEL_AVX	2u
#define LEVEL_AVX512	3u

u32 vector_level_of(const struct x86_insn *i)
{
	unsigned encoding = i->encoding >> 4;

	if (encoding == X86_ENC_EVEX)
		return LEVEL_AVX512;
	if (encoding == X86_ENC_LEGACY)
		return LEVEL_SSE;
	return i->op >= X86_OP_KADDB && i->op <= X86_OP_KXORW ? LEVEL_AVX512 : LEVEL_AVX;
}

/* What the guest may use now, with its registers loaded. */
u32 vector_level_now(struct soft_cpu *c)
{
#ifdef SOFT_FPU_EAGER
	(void)c;
	return 0;
#else
	const struct soft_vector *v = c->vector;
	const struct x86 *x = &c->x;

	if (!v->loaded || v->unmasked || (x->cr0 & (X86_CR0_EM | X86_CR0_TS)) || !(x->cr4 & X86_CR4_OSFXSR))
		return 0;
	if (!(x->cr4 & X86_CR4_OSXSAVE) || (x->xcr0 & 6) != 6)
		return LEVEL_SSE;
	return (x->xcr0 & 0xe6) == 0xe6 ? LEVEL_AVX512 : LEVEL_AVX;
#endif
}

/* A block wants vector instructions: load the guest's registers if that is all it takes. */
bool vector_make_ready(struct soft_cpu *c)
{
#ifdef SOFT_FPU_EAGER
	(void)c;
	return false;
#else
	if (c->x.cr0 & (X86_CR0_EM | X86_CR0_TS))
		return false;
	vector_need(c->vector);
	c->translator->vector_level = vector_level_now(c);
	return c->translator->vector_level;
#endif
}

bool vector_is_native(const struct translation *b, const struct x86_insn *i)
{
#ifdef SOFT_FPU_EAGER
	(void)b, (void)i;
	return false;
#else
	unsigned encoding = i->encoding >> 4;
	bool waits;

	if (b->narrow && encoding != X86_ENC_LEGACY)	/* W means nothing there */
		return false;
	if (encoding > X86_ENC_EVEX || (i->flags & (X86_F_VSIB | X86_F_IMPLICIT_MEM)))
		return false;
	if ((i->flags & X86_F_VL) && !x86_feature_is_set(b->c->x.features, X86_FEATURE_AVX512VL))
		return false;
	if (vector_control_of(i, &waits))
		return false;
	if (!(i->flags & X86_F_MEM))
		return !(i->prefixes & X86_P_LOCK);
	return i->mem_bytes && i->mem_bytes <= 64 && address_is_native(b, i);
#endif
}

#ifndef SOFT_FPU_EAGER

/* The bytes before the opcode, with other register extensions. */
static void put_prefixes(struct emitter *e, const struct x86_insn *i, unsigned r, unsigned b)
{
	unsigned at = i->modrm_at ? i->modrm_at - 1u : i->len - 1u;	/* of the opcode */
	unsigned map = i->encoding & 15, w, rex;

	switch (i->encoding >> 4) {
	case X86_ENC_LEGACY:
		if (map == X86_MAP_1) {
			if (b >= 8)
				put8(e, 0x41);
			return;
		}
		if (i->prefixes & X86_P_OPSIZE)
			put8(e, 0x66);
		if (i->prefixes & (X86_P_REP | X86_P_REPNE))
			put8(e, i->prefixes & X86_P_REP ? 0xf3 : 0xf2);
		rex = (i->rex & X86_REX_W) | (r & 8) >> 1 | (b & 8) >> 3;
		if (rex)
			put8(e, 0x40 | rex);
		put8(e, 0x0f);
		if (map == X86_MAP_0F38)
			put8(e, 0x38);
		else if (map == X86_MAP_0F3A)
			put8(e, 0x3a);
		return;
	case X86_ENC_VEX2:
	case X86_ENC_VEX3:
		w = i->rex & X86_REX_W ? 0x80 : 0;
		put8(e, 0xc4);
		put8(e, (~r & 8) << 4 | 0x40 | (~b & 8) << 2 | map);
		put8(e, w | (~i->vvvv & 15u) << 3 | (i->bytes[at - 1] & 7u));
		return;
	default:
		put8(e, 0x62);
		put8(e, (~r & 8) << 4 | (~b & 16) << 2 | (~b & 8) << 2 | (~r & 16) | (map & 7));
		put8(e, i->bytes[at - 2]);
		put8(e, i->bytes[at - 1]);
	}
}

/* Bytes behind ModRM, SIB and displacement. */
static unsigned imm_at(const struct x86_insn *i)
{
	unsigned mod = i->modrm >> 6, rm = i->modrm & 7, at = i->modrm_at + 1u;

	if (mod == 3)
		return at;
	if (rm == 4)
		rm = i->bytes[at++] & 7;
	return at + (mod == 1 ? 1u : mod == 2 || rm == 5 ? 4u : 0u);
}

void vector_translate(struct translation *b, const struct x86_insn *i)
{
	struct flag_use use = insn_flags(i, true);
	bool has_gpr = i->flags & (X86_F_GPR_READ | X86_F_GPR_WRITE) && !(i->flags & X86_F_IMPLICIT_GPR);
	unsigned r = i->reg, rm = i->rm, gpr = 0, scratch = T1;
	struct emitter *e = &b->e;
	bool memory = i->flags & X86_F_MEM;

	if (memory) {
		struct address a = address_of(b, i);
		struct host_mem m = memory_open(b, &a, i->mem_bytes, i->flags & X86_F_MEM_WRITE, i->flags & X86_F_ALIGN);

		emit_lea(e, T0, m);
		rm = T0;
	}
	if (use.reads || (use.changes && (b->live[b->at + 1] & ~use.sets)))
		flags_need(b, T1);
	if (has_gpr) {
		bool is_rm = vector_gpr_is_rm(i);
		unsigned h;

		gpr = (is_rm ? i->rm : i->reg) & 15;
		h = host_of[gpr] == DISPLACED ? scratch : host_of[gpr];
		if (host_of[gpr] == DISPLACED && (i->flags & X86_F_GPR_READ))
			emit_load(e, h, gpr_at(gpr));
		if (is_rm)
			rm = h;
		else
			r = h;
	}
	if (!memory && !has_gpr) {		/* as it is */
		for (unsigned n = 0; n < i->len; n++)
			put8(e, i->bytes[n]);
	} else {
		put_prefixes(e, i, r, rm);
		put8(e, i->opcode);
		put8(e, (memory ? 0 : 0xc0u) | (r & 7) << 3 | (rm & 7));
		for (unsigned n = imm_at(i); n < i->len; n++)
			put8(e, i->bytes[n]);
	}
	if (has_gpr && host_of[gpr] == DISPLACED && (i->flags & X86_F_GPR_WRITE))
		emit_store(e, scratch, gpr_at(gpr));
	if (use.changes) {
		b->flags_native = true;
		b->flags_saved = false;
	}
}

#else

void vector_translate(struct translation *b, const struct x86_insn *i)
{
	(void)b, (void)i;
}

#endif
