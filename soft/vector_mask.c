// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vector_mask.c - memory operands of which only some elements are accessed
 *
 * An element whose mask bit is clear is not accessed and can not fault.  When the whole
 * operand lies in mapped memory the silicon sees to that; this file is for the rest: the
 * mask is read out of its register and each active element goes through the bus.  All
 * elements are checked before a register or memory changes, so that a faulting gather has
 * made no progress, which the manuals allow.
 *
 * Reference: Intel SDM vol. 2, "Memory Fault Suppression", VPGATHERDD, VPSCATTERDD,
 * VCOMPRESSPS, MASKMOVDQU.
 */
#include "base/bits.h"
#include "soft/vector_unit.h"
#include "x86/operand.h"

#define ELEMENTS 64u

/* --- which elements ------------------------------------------------------------------------ */

/* Bytes of the element that EVEX.b would broadcast; 0 if it may not be set. */
static unsigned broadcast_bytes(const struct x86_insn *i)
{
	struct x86_insn b;
	u8 bytes[16];

	__builtin_memcpy(bytes, i->bytes, sizeof(bytes));
	bytes[i->modrm_at - 2] |= 0x10;
	if (x86_decode(&b, bytes, i->len, i->code_bits) != X86_DECODED || b.op != i->op)
		return 0;
	return b.mem_bytes;
}

/* Bytes of an element that is broadcast (perhaps with its neighbours); 0 if i does not. */
static unsigned broadcast_element(const struct x86_insn *i)
{
	if (i->flags & X86_F_BROADCAST)
		return i->mem_bytes;
	switch (i->op) {
	case X86_OP_VBROADCASTSS: case X86_OP_VBROADCASTSD: case X86_OP_VBROADCASTF32X2:
	case X86_OP_VBROADCASTF32X4: case X86_OP_VBROADCASTF64X2: case X86_OP_VBROADCASTF32X8:
	case X86_OP_VBROADCASTF64X4: case X86_OP_VBROADCASTI32X2: case X86_OP_VBROADCASTI32X4:
	case X86_OP_VBROADCASTI64X2: case X86_OP_VBROADCASTI32X8: case X86_OP_VBROADCASTI64X4:
	case X86_OP_VPBROADCASTB: case X86_OP_VPBROADCASTW: case X86_OP_VPBROADCASTD:
	case X86_OP_VPBROADCASTQ:
		if (i->mem_bytes <= 2)
			return i->mem_bytes;
		return i->rex & X86_REX_W ? 8u : 4u;
	default:
		return 0;
	}
}

/*
 * Bytes of memory that belong to one mask bit.  0 where memory is accessed whole: not
 * masked, or elements of the operand do not stand for elements of the result.
 */
unsigned vector_element_of(const struct x86_insn *i)
{
	unsigned bytes;

	switch (i->op) {		/* the mask is a vector register */
	case X86_OP_VMASKMOVPS:
	case X86_OP_VPMASKMOVD:
		return 4;
	case X86_OP_VMASKMOVPD:
	case X86_OP_VPMASKMOVQ:
		return 8;
	default:
		break;
	}
	if (!(i->flags & X86_F_KMASK))
		return 0;
	if (broadcast_element(i) && !(i->flags & X86_F_BROADCAST))
		return broadcast_element(i);

	switch (i->op) {
	/* permutations, insertions, sums of neighbours */
	case X86_OP_VMOVSLDUP: case X86_OP_VMOVSHDUP: case X86_OP_VMOVDDUP:
	case X86_OP_VUNPCKLPS: case X86_OP_VUNPCKLPD: case X86_OP_VUNPCKHPS: case X86_OP_VUNPCKHPD:
	case X86_OP_VPUNPCKLBW: case X86_OP_VPUNPCKLWD: case X86_OP_VPUNPCKLDQ: case X86_OP_VPUNPCKLQDQ:
	case X86_OP_VPUNPCKHBW: case X86_OP_VPUNPCKHWD: case X86_OP_VPUNPCKHDQ: case X86_OP_VPUNPCKHQDQ:
	case X86_OP_VPACKSSWB: case X86_OP_VPACKSSDW: case X86_OP_VPACKUSWB: case X86_OP_VPACKUSDW:
	case X86_OP_VSHUFPS: case X86_OP_VSHUFPD: case X86_OP_VPSHUFD: case X86_OP_VPSHUFHW:
	case X86_OP_VPSHUFLW: case X86_OP_VPSHUFB: case X86_OP_VSHUFF32X4: case X86_OP_VSHUFF64X2:
	case X86_OP_VSHUFI32X4: case X86_OP_VSHUFI64X2: case X86_OP_VPMADDWD: case X86_OP_VPMADDUBSW:
	case X86_OP_VPERMB: case X86_OP_VPERMW: case X86_OP_VPERMD: case X86_OP_VPERMQ:
	case X86_OP_VPERMPS: case X86_OP_VPERMPD: case X86_OP_VPERMILPS: case X86_OP_VPERMILPD:
	case X86_OP_VPERMI2B: case X86_OP_VPERMI2W: case X86_OP_VPERMI2D: case X86_OP_VPERMI2Q:
	case X86_OP_VPERMI2PS: case X86_OP_VPERMI2PD:
	case X86_OP_VPERMT2B: case X86_OP_VPERMT2W: case X86_OP_VPERMT2D: case X86_OP_VPERMT2Q:
	case X86_OP_VPERMT2PS: case X86_OP_VPERMT2PD:
	case X86_OP_VPALIGNR: case X86_OP_VALIGND: case X86_OP_VALIGNQ: case X86_OP_VDBPSADBW:
	case X86_OP_VPMULTISHIFTQB: case X86_OP_VGF2P8AFFINEQB: case X86_OP_VGF2P8AFFINEINVQB:
	case X86_OP_VPCONFLICTD: case X86_OP_VPCONFLICTQ:
	case X86_OP_VINSERTF32X4: case X86_OP_VINSERTF64X2: case X86_OP_VINSERTF32X8:
	case X86_OP_VINSERTF64X4: case X86_OP_VINSERTI32X4: case X86_OP_VINSERTI64X2:
	case X86_OP_VINSERTI32X8: case X86_OP_VINSERTI64X4:
	case X86_OP_VCVTNE2PS2BF16:
		return 0;
	case X86_OP_VPSRLW: case X86_OP_VPSRLD: case X86_OP_VPSRLQ: case X86_OP_VPSRAW:
	case X86_OP_VPSRAD: case X86_OP_VPSRAQ: case X86_OP_VPSLLW: case X86_OP_VPSLLD:
	case X86_OP_VPSLLQ:
		if (i->opcode > 0x73)		/* by a count in memory */
			return 0;
		bytes = broadcast_bytes(i);	/* by an immediate */
		return bytes ? bytes : 2;
	case X86_OP_VMOVDQU8: case X86_OP_VPADDB: case X86_OP_VPADDSB: case X86_OP_VPADDUSB:
	case X86_OP_VPSUBB: case X86_OP_VPSUBSB: case X86_OP_VPSUBUSB: case X86_OP_VPAVGB:
	case X86_OP_VPMINSB: case X86_OP_VPMINUB: case X86_OP_VPMAXSB: case X86_OP_VPMAXUB:
	case X86_OP_VPABSB: case X86_OP_VPCMPEQB: case X86_OP_VPCMPGTB: case X86_OP_VPCMPB:
	case X86_OP_VPCMPUB: case X86_OP_VPTESTMB: case X86_OP_VPTESTNMB: case X86_OP_VPBLENDMB:
	case X86_OP_VPOPCNTB: case X86_OP_VPSHUFBITQMB: case X86_OP_VGF2P8MULB: case X86_OP_VPEXPANDB: case X86_OP_VPCOMPRESSB:
	case X86_OP_VPMOVSXBW: case X86_OP_VPMOVSXBD: case X86_OP_VPMOVSXBQ:
	case X86_OP_VPMOVZXBW: case X86_OP_VPMOVZXBD: case X86_OP_VPMOVZXBQ:
	case X86_OP_VPMOVWB: case X86_OP_VPMOVDB: case X86_OP_VPMOVQB:
	case X86_OP_VPMOVSWB: case X86_OP_VPMOVSDB: case X86_OP_VPMOVSQB:
	case X86_OP_VPMOVUSWB: case X86_OP_VPMOVUSDB: case X86_OP_VPMOVUSQB:
		return 1;
	case X86_OP_VMOVDQU16: case X86_OP_VPADDW: case X86_OP_VPADDSW: case X86_OP_VPADDUSW:
	case X86_OP_VPSUBW: case X86_OP_VPSUBSW: case X86_OP_VPSUBUSW: case X86_OP_VPAVGW:
	case X86_OP_VPMINSW: case X86_OP_VPMINUW: case X86_OP_VPMAXSW: case X86_OP_VPMAXUW:
	case X86_OP_VPABSW: case X86_OP_VPCMPEQW: case X86_OP_VPCMPGTW: case X86_OP_VPCMPW:
	case X86_OP_VPCMPUW: case X86_OP_VPTESTMW: case X86_OP_VPTESTNMW: case X86_OP_VPBLENDMW:
	case X86_OP_VPOPCNTW: case X86_OP_VPEXPANDW: case X86_OP_VPCOMPRESSW:
	case X86_OP_VPMULLW: case X86_OP_VPMULHW: case X86_OP_VPMULHUW: case X86_OP_VPMULHRSW:
	case X86_OP_VPSRLVW: case X86_OP_VPSRAVW: case X86_OP_VPSLLVW:
	case X86_OP_VPSHLDW: case X86_OP_VPSHRDW: case X86_OP_VPSHLDVW: case X86_OP_VPSHRDVW:
	case X86_OP_VCVTPH2PS: case X86_OP_VCVTPS2PH:
	case X86_OP_VPMOVSXWD: case X86_OP_VPMOVSXWQ: case X86_OP_VPMOVZXWD: case X86_OP_VPMOVZXWQ:
	case X86_OP_VPMOVDW: case X86_OP_VPMOVQW: case X86_OP_VPMOVSDW: case X86_OP_VPMOVSQW:
	case X86_OP_VPMOVUSDW: case X86_OP_VPMOVUSQW:
		return 2;
	case X86_OP_VPMOVSXDQ: case X86_OP_VPMOVZXDQ: case X86_OP_VPMOVQD:
	case X86_OP_VPMOVSQD: case X86_OP_VPMOVUSQD:
		return 4;
	default:
		break;
	}
	bytes = broadcast_bytes(i);
	if (bytes)
		return bytes;
	if (i->mem_bytes <= 8)			/* a scalar */
		return i->mem_bytes;
	return i->rex & X86_REX_W ? 8 : 4;	/* moves of vectors */
}

static bool is_packed(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_VCOMPRESSPS: case X86_OP_VCOMPRESSPD: case X86_OP_VPCOMPRESSB: case X86_OP_VPCOMPRESSW:
	case X86_OP_VPCOMPRESSD: case X86_OP_VPCOMPRESSQ:
	case X86_OP_VEXPANDPS: case X86_OP_VEXPANDPD: case X86_OP_VPEXPANDB: case X86_OP_VPEXPANDW:
	case X86_OP_VPEXPANDD: case X86_OP_VPEXPANDQ:
		return true;
	default:
		return false;
	}
}

/* The sign bits of a vector's elements. */
static u64 sign_bits(const u8 *data, unsigned elements, unsigned bytes)
{
	u64 mask = 0;

	for (unsigned n = 0; n < elements; n++)
		mask |= (u64)(data[n * bytes + bytes - 1] >> 7) << n;
	return mask;
}

static u64 mask_register(struct soft_vector *v, unsigned k)
{
	u64 mask;

	vector_get(v, VECTOR_K, k, v->bounce);
	__builtin_memcpy(&mask, v->bounce, sizeof(mask));
	return mask;
}

static u64 low_bits(unsigned n)
{
	return n >= 64 ? ~0ull : BIT_U64(n) - 1;
}

/* The elements that i accesses. */
static u64 active_elements(struct soft_vector *v, const struct x86_insn *i, const struct vector_plan *p)
{
	unsigned elements = p->bytes / p->element;
	u64 mask;

	if (i->encoding >> 4 != X86_ENC_EVEX) {
		vector_get(v, VECTOR_XMM, i->vvvv, v->bounce);
		return sign_bits(v->bounce, elements, p->element);
	}
	mask = mask_register(v, i->bytes[i->modrm_at - 2] & 7u);
	if (broadcast_element(i)) {		/* element n serves those of the result n apart */
		mask &= low_bits(i->op_bytes / p->element);
		for (unsigned shift = 32; shift >= elements; shift /= 2)
			mask |= mask >> shift;
	}
	mask &= low_bits(elements);
	return is_packed(i) ? low_bits(bit_count(mask)) : mask;
}

/* Masked stores that check the whole operand although they write parts of it. */
static bool is_checked_whole(const struct x86_insn *i)
{
	return (i->encoding & 15) == X86_MAP_0F3A && i->opcode != 0x1d;	/* VEXTRACT*; not VCVTPS2PH */
}

/* --- elements in memory ------------------------------------------------------------------------ */

struct elements {
	u64 offset[ELEMENTS];	/* effective addresses */
	u64 linear[ELEMENTS];
	u64 active;
	unsigned bytes;
	unsigned seg;
};

/* Segmentation and, for a store, paging of all active elements. */
static enum x86_result elements_check(struct x86 *x, struct elements *e, unsigned access)
{
	for (u64 left = e->active; left; left &= left - 1) {
		unsigned n = bit_lowest(left);
		enum x86_result r = x86_linear(x, e->seg, e->offset[n], e->bytes, access, &e->linear[n]);

		if (r == X86_OK && (access & X86_WRITE))
			r = x->bus->probe(x, e->linear[n], e->bytes, vector_access(x, access));
		if (r != X86_OK)
			return r;
	}
	return X86_OK;
}

static enum x86_result elements_read(struct x86 *x, const struct elements *e, u8 *data)
{
	for (u64 left = e->active; left; left &= left - 1) {
		unsigned n = bit_lowest(left);
		enum x86_result r = x->bus->read(x, e->linear[n], data + n * e->bytes, e->bytes,
						 vector_access(x, X86_READ));

		if (r != X86_OK)
			return r;
	}
	return X86_OK;
}

static enum x86_result elements_write(struct x86 *x, const struct elements *e, const u8 *data)
{
	for (u64 left = e->active; left; left &= left - 1) {
		unsigned n = bit_lowest(left);
		enum x86_result r = x->bus->write(x, e->linear[n], data + n * e->bytes, e->bytes,
						  vector_access(x, X86_WRITE));

		if (r != X86_OK)
			return r;
	}
	return X86_OK;
}

/* Elements side by side from offset on. */
static void elements_in_line(struct elements *e, u64 offset, unsigned ad_bytes)
{
	for (unsigned n = 0; n < ELEMENTS; n++)
		e->offset[n] = (offset + n * e->bytes) & size_mask(ad_bytes);
}

/* --- masked loads and stores ----------------------------------------------------------------------- */

enum x86_result vector_run_masked(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				  const struct vector_plan *p)
{
	bool write = i->flags & X86_F_MEM_WRITE;
	struct elements e = { .bytes = p->element, .seg = i->seg };
	enum x86_result r;

	e.active = active_elements(v, i, p);
	elements_in_line(&e, x86_effective_address(x, i), i->ad_bytes);
	if (!e.active && !is_checked_whole(i))
		return vector_perform(v, x, i, p, v->bounce);
	if (i->flags & X86_F_ALIGN || (write && is_checked_whole(i))) {
		r = x86_operand_linear(x, i, p->bytes, write ? X86_WRITE : X86_READ);
		if (r == X86_OK && (i->flags & X86_F_ALIGN) && (x->scratch & (p->bytes - 1u)))
			r = x86_raise_error(x, X86_GP, 0);
		if (r == X86_OK && is_checked_whole(i))
			r = x->bus->probe(x, x->scratch, p->bytes, vector_access(x, X86_WRITE));
		if (r != X86_OK)
			return r;
	}
	r = elements_check(x, &e, write ? X86_WRITE : X86_READ);
	if (r != X86_OK)
		return r;
	__builtin_memset(v->bounce, 0, sizeof(v->bounce));
	if (!write)
		r = elements_read(x, &e, v->bounce);
	if (r == X86_OK)
		r = vector_perform(v, x, i, p, v->bounce);
	if (r == X86_OK && write && !v->no_store)
		r = elements_write(x, &e, v->bounce);
	return r;
}

/*
 * An MMX register's bytes.  Not by an instruction, as that would change the x87's state,
 * which a fault must not.
 */
static void mmx_get(struct soft_vector *v, unsigned reg, u8 *to)
{
	__builtin_memset(&v->image, 0, offsetof(struct vector_area, rest));
	vector_capture(v, &v->image);
	__builtin_memcpy(to, v->image.st[(reg - (v->image.fsw >> 11)) & 7], 8);
}

/* MASKMOVQ, MASKMOVDQU: bytes at (E)DI or RDI by the sign bits of rm. */
enum x86_result vector_run_maskmov(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				   const struct vector_plan *p)
{
	bool mmx = i->op == X86_OP_MASKMOVQ;
	struct elements e = { .bytes = 1, .seg = i->seg };
	u8 data[64] __attribute__((aligned(64)));
	enum x86_result r;

	if (mmx) {
		mmx_get(v, i->rm, v->bounce);
		mmx_get(v, i->reg, data);
	} else {
		vector_get(v, VECTOR_XMM, i->rm, v->bounce);
		vector_get(v, VECTOR_XMM, i->reg, data);
	}
	e.active = sign_bits(v->bounce, p->bytes, 1);
	elements_in_line(&e, x->gpr[X86_RDI], i->ad_bytes);
	r = elements_check(x, &e, X86_WRITE);
	if (r == X86_OK)
		r = elements_write(x, &e, data);
	if (r == X86_OK && mmx)		/* what every MMX instruction does to the x87 */
		vector_get(v, VECTOR_MMX, i->reg, v->bounce);
	return r;
}

/* --- gathers and scatters ---------------------------------------------------------------------------- */

/* Effective addresses: base + index * scale + displacement, indices sign-extended. */
static void vsib_offsets(struct soft_vector *v, const struct x86 *x, const struct x86_insn *i,
			 struct elements *e, unsigned elements, unsigned index_bytes)
{
	u64 base = (u64)(s64)i->disp;

	if (i->base < 16)
		base += x->gpr[i->base];
	vector_get(v, VECTOR_XMM, i->index, v->bounce);
	for (unsigned n = 0; n < elements; n++) {
		s64 index = 0;

		__builtin_memcpy(&index, v->bounce + n * index_bytes, index_bytes);
		if (index_bytes == 4)
			index = (s32)index;
		e->offset[n] = (base + ((u64)index << i->scale)) & size_mask(i->ad_bytes);
	}
}

enum x86_result vector_run_vsib(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				const struct vector_plan *p)
{
	bool scatter = i->flags & X86_F_MEM_WRITE, evex = i->encoding >> 4 == X86_ENC_EVEX;
	unsigned data_bytes = p->bytes, index_bytes = i->opcode & 1 ? 8 : 4;
	unsigned elements = i->op_bytes / MAX_OF(data_bytes, index_bytes), result_bytes;
	unsigned mask_reg = evex ? i->bytes[i->modrm_at - 2] & 7u : i->vvvv;
	struct elements e = { .bytes = data_bytes, .seg = i->seg };
	u8 data[64] __attribute__((aligned(64)));
	enum x86_result r;

	if (evex) {
		e.active = mask_register(v, mask_reg) & low_bits(elements);
	} else {
		vector_get(v, VECTOR_XMM, mask_reg, v->bounce);
		e.active = sign_bits(v->bounce, elements, data_bytes);
	}
	vsib_offsets(v, x, i, &e, elements, index_bytes);
	vector_get(v, VECTOR_XMM, i->reg, data);
	r = elements_check(x, &e, scatter ? X86_WRITE : X86_READ);
	if (r == X86_OK)
		r = scatter ? elements_write(x, &e, data) : elements_read(x, &e, data);
	if (r != X86_OK)
		return r;
	if (!scatter) {
		/* At least 128 bits are moved; what lies beyond the elements becomes zero. */
		result_bytes = elements * data_bytes;
		__builtin_memset(data + result_bytes, 0, sizeof(data) - result_bytes);
		vector_put(v, VECTOR_XMM, i->reg, data, MAX_OF(result_bytes, 16u));
	}
	if (evex) {
		vector_put(v, VECTOR_K, mask_reg, NULL, 0);
	} else {
		__builtin_memset(data, 0, sizeof(data));
		vector_put(v, VECTOR_XMM, mask_reg, data, 16);
	}
	return X86_OK;
}
