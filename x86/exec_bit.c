// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_bit.c - bit tests and scans, counts, BMI1, BMI2, ADX, CRC32, random numbers
 *
 * The host executes them; what it lacks, the guest's CPUID lacks.
 */
#include "x86/operand.h"
#include "x86/semantics.h"

/* -- BT BTS BTR BTC ------------------------------------------------------------------- */
typedef u64 (*bit_fn)(u64 dst, u64 bit, u64 *rflags, unsigned bytes);

#define BIT_CASE(type, text) { \
	type d_ = (type)dst; \
	__asm__(FLAGS_IN text " %2, %1" FLAGS_OUT : "+&a"(f), "+r"(d_) : "r"((type)bit) : "cc"); \
	dst = d_; \
	break; }
#define BIT(name) \
INLINE u64 bit_##name(u64 dst, u64 bit, u64 *rflags, unsigned bytes) \
{ \
	u32 f = flags_pack(*rflags); \
	switch (bytes) { \
	case 2: BIT_CASE(u16, #name "w") \
	case 4: BIT_CASE(u32, #name "l") \
	default: BIT_CASE(u64, #name "q") \
	} \
	*rflags = flags_merge(*rflags, f); \
	return dst; \
}
BIT(bt)
BIT(bts)
BIT(btr)
BIT(btc)

/* The bit string in memory extends as far as the signed register offset reaches. */
INLINE enum x86_result bit_in_string(struct x86 *x, const struct x86_insn *i, bit_fn fn, bool write,
				     unsigned bytes)
{
	s64 offset = sign_extend(reg_get(x, i->reg, bytes), bytes);
	u64 step = (u64)(offset >> (bytes == 2	 ? 4
				    : bytes == 4 ? 5
						 : 6)) *
		   bytes,
	    f = x->rflags, a, v;
	u64 ea = (x86_effective_address(x, i) + step) & size_mask(i->ad_bytes);
	enum x86_result r =
		x86_linear(x, i->seg, ea, bytes, write ? X86_READ | X86_WRITE : X86_READ, &a);

	if (r)
		return r;
	if (!write) {
		r = linear_load(x, i->seg, a, &v, bytes);
	} else {
		const struct x86_tlb_entry *e = &x->tlb->write[(a >> PAGE_BITS) % X86_TLB_ENTRIES];

		if (((a + bytes - 1) & ~(PAGE_BYTES - 1)) == e->tag) {
			v = x86_memory_get((const void *)(a + e->addend), bytes);
		} else {
			r = x86_modify_slow(x, i->seg, a, bytes);
			v = x->scratch;
		}
	}
	if (r)
		return r;
	v = fn(v, (u64)offset & (bytes * 8 - 1), &f, bytes);
	r = write ? linear_store(x, i->seg, a, v, bytes) : X86_OK;
	if (!r)
		x->rflags = f;
	return r;
}

INLINE enum x86_result bit_op(struct x86 *x, const struct x86_insn *i, bit_fn fn, bool write,
			      bool immediate, enum x86_where w, unsigned bytes)
{
	struct x86_place p;
	u64 v, f = x->rflags, bit;
	enum x86_result r;

	if (!immediate && w != X86_REG)
		return bit_in_string(x, i, fn, write, bytes);
	bit = (immediate ? i->imm : reg_get(x, i->reg, bytes)) & (bytes * 8 - 1);
	r = write ? operand_begin(x, i, w, bytes, &v, &p) : operand_get(x, i, w, bytes, &v);
	if (r)
		return r;
	v = fn(v, bit, &f, bytes);
	r = write ? operand_end(x, i, w, bytes, v, &p) : X86_OK;
	if (!r)
		x->rflags = f;
	return r;
}

#define BIT_HANDLERS(op, write) \
	HANDLERS(op##_g, bit_op(x, i, bit_##op, write, false, WHERE, BYTES == 1 ? 2 : BYTES)) \
	HANDLERS(op##_i, bit_op(x, i, bit_##op, write, true, WHERE, BYTES == 1 ? 2 : BYTES))
BIT_HANDLERS(bt, false)
BIT_HANDLERS(bts, true)
BIT_HANDLERS(btr, true)
BIT_HANDLERS(btc, true)

/* -- G = f(E), with flags ------------------------------------------------------------- */
/* The whole register goes in and comes out: what a 32-bit form does above is silicon's choice. */
#define UNARY_ASM(text) __asm__(FLAGS_IN text FLAGS_OUT : "+&a"(f), "+r"(d) : "r"(v) : "cc"); break;
#define UNARY(name, insn, insn16) \
INLINE enum x86_result exec_##name(struct x86 *x, const struct x86_insn *i, \
				   enum x86_where w, unsigned bytes) \
{ \
	u32 f = flags_pack(x->rflags); \
	u64 v, d = x->gpr[i->reg]; \
	enum x86_result r = operand_get(x, i, w, bytes, &v); \
	if (r) \
		return r; \
	switch (bytes) { \
	case 2: UNARY_ASM(insn16) \
	case 4: UNARY_ASM(insn "l %k2, %k1") \
	default: UNARY_ASM(insn "q %2, %1") \
	} \
	x->gpr[i->reg] = d; \
	x->rflags = flags_merge(x->rflags, f); \
	return X86_OK; \
} \
HANDLERS(name, exec_##name(x, i, WHERE, BYTES == 1 ? 2 : BYTES))
UNARY(bsf, "bsf", "bsfw %w2, %w1")
UNARY(bsr, "bsr", "bsrw %w2, %w1")
UNARY(tzcnt, "tzcnt", "tzcntw %w2, %w1")
UNARY(lzcnt, "lzcnt", "lzcntw %w2, %w1")
UNARY(popcnt, "popcnt", "popcntw %w2, %w1")
/* ... which have no 16-bit form */
UNARY(adcx, "adcx", "int3")
UNARY(adox, "adox", "int3")

/* -- BMI: destination, two sources ---------------------------------------------------- */
/* AT&T order: insn s2, s1, dst.  ANDN, PDEP, PEXT: s2 = E, s1 = V; BEXTR, BZHI: s2 = V, s1 = E */
#define BMI3(name) \
INLINE u64 bmi_##name(u64 s1, u64 s2, u64 *rflags, unsigned bytes) \
{ \
	u32 f = flags_pack(*rflags); \
	u64 d; \
	if (bytes == 8) \
		__asm__(FLAGS_IN #name "q %3, %2, %1" FLAGS_OUT \
			: "+&a"(f), "=&r"(d) : "r"(s1), "r"(s2) : "cc"); \
	else \
		__asm__(FLAGS_IN #name "l %k3, %k2, %k1" FLAGS_OUT \
			: "+&a"(f), "=&r"(d) : "r"(s1), "r"(s2) : "cc"); \
	*rflags = flags_merge(*rflags, f); \
	return d; \
}
BMI3(andn)
BMI3(pdep)
BMI3(pext)
BMI3(bextr)
BMI3(bzhi)
#define BMI2(name) \
INLINE u64 bmi_##name(u64 s, u64 *rflags, unsigned bytes) \
{ \
	u32 f = flags_pack(*rflags); \
	u64 d; \
	if (bytes == 8) \
		__asm__(FLAGS_IN #name "q %2, %1" FLAGS_OUT \
			: "+&a"(f), "=&r"(d) : "r"(s) : "cc"); \
	else \
		__asm__(FLAGS_IN #name "l %k2, %k1" FLAGS_OUT \
			: "+&a"(f), "=&r"(d) : "r"(s) : "cc"); \
	*rflags = flags_merge(*rflags, f); \
	return d; \
}
BMI2(blsr)
BMI2(blsi)
BMI2(blsmsk)

INLINE enum x86_result bmi(struct x86 *x, const struct x86_insn *i, enum x86_where w,
			   unsigned bytes)
{
	unsigned dst = i->form == X86_V_E ? i->vvvv & 15u : i->reg;
	u64 e, v = x->gpr[i->vvvv & 15], f = x->rflags;
	enum x86_result r = operand_get(x, i, w, bytes, &e);

	if (r)
		return r;
	switch (i->op) {
	case X86_OP_ANDN: v = bmi_andn(v, e, &f, bytes); break;
	case X86_OP_PDEP: v = bmi_pdep(v, e, &f, bytes); break;
	case X86_OP_PEXT: v = bmi_pext(v, e, &f, bytes); break;
	case X86_OP_BEXTR: v = bmi_bextr(e, v, &f, bytes); break;
	case X86_OP_BZHI: v = bmi_bzhi(e, v, &f, bytes); break;
	case X86_OP_BLSR: v = bmi_blsr(e, &f, bytes); break;
	case X86_OP_BLSI: v = bmi_blsi(e, &f, bytes); break;
	default: v = bmi_blsmsk(e, &f, bytes); break;
	}
	reg_set(x, dst, v, bytes);
	x->rflags = f;
	return X86_OK;
}
HANDLERS(bmi_any, bmi(x, i, WHERE, BYTES))

/* -- CRC32: of one E (of src_bytes) into G -------------------------------------------- */
INLINE enum x86_result crc32(struct x86 *x, const struct x86_insn *i, enum x86_where w,
			     unsigned bytes)
{
	u64 v, d = (u32)x->gpr[i->reg];
	enum x86_result r = operand_get(x, i, w, bytes, &v);

	if (r)
		return r;
	switch (bytes) {
	case 1: __asm__("crc32b %b1, %k0" : "+r"(d) : "r"(v)); break;
	case 2: __asm__("crc32w %w1, %k0" : "+r"(d) : "r"(v)); break;
	case 4: __asm__("crc32l %k1, %k0" : "+r"(d) : "r"(v)); break;
	default: __asm__("crc32q %1, %0" : "+r"(d) : "r"(v)); break;
	}
	x->gpr[i->reg] = d;
	return X86_OK;
}
HANDLERS(crc32_any, crc32(x, i, WHERE, BYTES))

/* -- random numbers: the host's ------------------------------------------------------- */
static HANDLER(exec_rdrand)
{
	u64 v;
	u32 f;

	if (i->op == X86_OP_RDRAND)
		__asm__ volatile("rdrand %1" FLAGS_OUT : "=&a"(f), "=&r"(v) : : "cc");
	else
		__asm__ volatile("rdseed %1" FLAGS_OUT : "=&a"(f), "=&r"(v) : : "cc");
	reg_set(x, i->rm, v, i->op_bytes);
	x->rflags = flags_merge(x->rflags, f);
	return X86_OK;
}

x86_exec_fn x86_bind_bit(const struct x86_insn *i)
{
	enum x86_where w = operand_where(i);
	unsigned n = size_index(i->op_bytes);
	bool imm = i->form == X86_E_I;

	switch (i->op) {
	case X86_OP_BT: return imm ? bt_i[w][n] : bt_g[w][n];
	case X86_OP_BTS: return imm ? bts_i[w][n] : bts_g[w][n];
	case X86_OP_BTR: return imm ? btr_i[w][n] : btr_g[w][n];
	case X86_OP_BTC: return imm ? btc_i[w][n] : btc_g[w][n];
	case X86_OP_BSF: return bsf[w][n];
	case X86_OP_BSR: return bsr[w][n];
	case X86_OP_TZCNT: return tzcnt[w][n];
	case X86_OP_LZCNT: return lzcnt[w][n];
	case X86_OP_POPCNT: return popcnt[w][n];
	case X86_OP_ADCX: return adcx[w][n];
	case X86_OP_ADOX: return adox[w][n];
	case X86_OP_ANDN: case X86_OP_PDEP: case X86_OP_PEXT: case X86_OP_BEXTR: case X86_OP_BZHI:
	case X86_OP_BLSR: case X86_OP_BLSI: case X86_OP_BLSMSK: return bmi_any[w][n];
	case X86_OP_CRC32: return crc32_any[w][size_index(i->src_bytes)];
	case X86_OP_RDRAND: case X86_OP_RDSEED: return exec_rdrand;
	default: return x86_exec_ud;
	}
}
