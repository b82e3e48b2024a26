// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_lock.c - read-modify-writes that other processors see as one
 *
 * A locked instruction is the host's locked instruction on the host address of the guest's
 * memory, so that processors run truly in parallel.  Where there is no such address
 * (device memory, a page crossing) the bus makes read and write one unit.  XCHG with
 * memory is locked with or without the prefix, and so is what CMPXCHG8B does.
 */
#include "x86/alu.h"
#include "x86/semantics.h"

struct locked {
	void *host;		/* NULL: between bus->lock and bus->unlock */
	u64   linear;
	unsigned bytes, access;
};

/* On X86_OK the caller does its work and calls locked_end(). */
static enum x86_result locked_begin(struct x86 *x, const struct x86_insn *i, u64 displacement,
				    unsigned bytes, struct locked *l)
{
	u64 ea = x86_effective_address(x, i) + displacement;
	const struct x86_tlb_entry *e;
	enum x86_result r;

	*l = (struct locked){ .bytes = bytes, .access = X86_READ | X86_WRITE | user_access(x) };
	r = x86_linear(x, i->seg, ea & size_mask(i->ad_bytes), bytes, X86_READ | X86_WRITE,
		       &l->linear);
	if (r)
		return r;
	e = &x->tlb->write[(l->linear >> PAGE_BITS) % X86_TLB_ENTRIES];
	if (LIKELY(((l->linear + bytes - 1) & ~(PAGE_BYTES - 1)) == e->tag)) {
		l->host = (void *)(l->linear + e->addend);
		return X86_OK;
	}
	if (UNLIKELY((x->rflags & X86_FLAG_AC) && (x->cr0 & X86_CR0_AM) && x->cpl == 3 &&
		     (l->linear & (bytes - 1))))
		return x86_raise_error(x, X86_AC, 0);
	r = x->bus->map(x, l->linear, bytes, l->access, &l->host);
	if (r)
		return r;
	if (!l->host && x->bus->lock)
		x->bus->lock(x);
	return X86_OK;
}

static void locked_end(struct x86 *x, const struct locked *l)
{
	if (!l->host && x->bus->unlock)
		x->bus->unlock(x);
}

static enum x86_result locked_read(struct x86 *x, const struct locked *l, void *data)
{
	return x->bus->read(x, l->linear, data, l->bytes, l->access);
}

static enum x86_result locked_write(struct x86 *x, const struct locked *l, const void *data)
{
	return x->bus->write(x, l->linear, data, l->bytes, X86_WRITE | (l->access & X86_USER));
}

typedef u64 (*alu_fn)(u64 dst, u64 src, u64 *rflags, unsigned bytes);
typedef void (*alu_lock_fn)(void *host, u64 src, u64 *rflags, unsigned bytes);

INLINE enum x86_result alu_locked(struct x86 *x, const struct x86_insn *i, alu_fn fn,
				  alu_lock_fn lock_fn, unsigned bytes)
{
	u64 src = i->form == X86_E_G ? reg_get(x, i->reg, bytes) : i->imm, f = x->rflags, v = 0;
	struct locked l;
	enum x86_result r = locked_begin(x, i, 0, bytes, &l);

	if (r)
		return r;
	if (LIKELY(l.host)) {
		lock_fn(l.host, src, &f, bytes);
	} else {
		r = locked_read(x, &l, &v);
		if (!r) {
			v = fn(v, src, &f, bytes);
			r = locked_write(x, &l, &v);
		}
	}
	locked_end(x, &l);
	if (!r)
		x->rflags = f;
	return r;
}

#define LOCKED(op) \
	HANDLERS_BY_SIZE(op##_lock, alu_locked(x, i, alu_##op, alu_##op##_lock, BYTES)) \
	static const x86_exec_fn op##_lock[4] = SIZES_OF(op##_lock);
LOCKED(add)
LOCKED(or)
LOCKED(adc)
LOCKED(sbb)
LOCKED(and)
LOCKED(sub)
LOCKED(xor)
LOCKED(inc)
LOCKED(dec)
LOCKED(neg)
LOCKED(not)

/* -- XCHG, XADD, CMPXCHG -------------------------------------------------------------- */
#define SWAP_CASE(type, suffix, reg) { \
	type v_ = (type)v; \
	__asm__ volatile("xchg" suffix " %0, %1" : "+" reg(v_), "+m"(*(type *)host) : : "memory"); \
	return v_; }

static u64 host_exchange(void *host, u64 v, unsigned bytes)
{
	switch (bytes) {
	case 1: SWAP_CASE(u8, "b", "q")
	case 2: SWAP_CASE(u16, "w", "r")
	case 4: SWAP_CASE(u32, "l", "r")
	default: SWAP_CASE(u64, "q", "r")
	}
}

#define XADD_CASE(type, suffix, reg) { \
	type v_ = (type)v; \
	__asm__ volatile("lock; xadd" suffix " %1, %2" FLAGS_OUT \
			 : "=&a"(f), "+" reg(v_), "+m"(*(type *)host) : : "memory", "cc"); \
	v = v_; \
	break; }

static u64 host_xadd(void *host, u64 v, u64 *rflags, unsigned bytes)
{
	u32 f;

	switch (bytes) {
	case 1: XADD_CASE(u8, "b", "q")
	case 2: XADD_CASE(u16, "w", "r")
	case 4: XADD_CASE(u32, "l", "r")
	default: XADD_CASE(u64, "q", "r")
	}
	*rflags = flags_merge(*rflags, f);
	return v;
}

#define CMPXCHG_CASE(type, suffix, reg) { \
	type a_ = (type)*acc, v_ = (type)v; \
	__asm__ volatile("lock; cmpxchg" suffix " %2, %1" : "+a"(a_), "+m"(*(type *)host) \
			 : reg(v_) : "memory", "cc"); \
	*acc = a_; \
	break; }

/* *acc becomes what was in memory; v is stored if the two were equal. */
static void host_cmpxchg(void *host, u64 *acc, u64 v, unsigned bytes)
{
	switch (bytes) {
	case 1: CMPXCHG_CASE(u8, "b", "q")
	case 2: CMPXCHG_CASE(u16, "w", "r")
	case 4: CMPXCHG_CASE(u32, "l", "r")
	default: CMPXCHG_CASE(u64, "q", "r")
	}
}

INLINE enum x86_result exec_xchg_locked(struct x86 *x, const struct x86_insn *i, unsigned bytes)
{
	u64 v = reg_get(x, i->reg, bytes), old = 0;
	struct locked l;
	enum x86_result r = locked_begin(x, i, 0, bytes, &l);

	if (r)
		return r;
	if (LIKELY(l.host)) {
		old = host_exchange(l.host, v, bytes);
	} else {
		r = locked_read(x, &l, &old);
		if (!r)
			r = locked_write(x, &l, &v);
	}
	locked_end(x, &l);
	if (!r)
		reg_set(x, i->reg, old, bytes);
	return r;
}
HANDLERS_BY_SIZE(xchg_lock, exec_xchg_locked(x, i, BYTES))

INLINE enum x86_result exec_xadd_locked(struct x86 *x, const struct x86_insn *i, unsigned bytes)
{
	u64 v = reg_get(x, i->reg, bytes), f = x->rflags, old = 0, sum;
	struct locked l;
	enum x86_result r = locked_begin(x, i, 0, bytes, &l);

	if (r)
		return r;
	if (LIKELY(l.host)) {
		old = host_xadd(l.host, v, &f, bytes);
	} else {
		r = locked_read(x, &l, &old);
		if (!r) {
			sum = alu_add(old, v, &f, bytes);
			r = locked_write(x, &l, &sum);
		}
	}
	locked_end(x, &l);
	if (r)
		return r;
	reg_set(x, i->reg, old, bytes);
	x->rflags = f;
	return X86_OK;
}
HANDLERS_BY_SIZE(xadd_lock, exec_xadd_locked(x, i, BYTES))

INLINE enum x86_result exec_cmpxchg_locked(struct x86 *x, const struct x86_insn *i, unsigned bytes)
{
	u64 acc = reg_get(x, X86_RAX, bytes), v = reg_get(x, i->reg, bytes), old = acc,
	    f = x->rflags;
	struct locked l;
	enum x86_result r = locked_begin(x, i, 0, bytes, &l);

	if (r)
		return r;
	if (LIKELY(l.host)) {
		host_cmpxchg(l.host, &old, v, bytes);
	} else {
		old = 0;
		r = locked_read(x, &l, &old);
		if (!r)
			r = locked_write(x, &l, old == acc ? &v : &old);
	}
	locked_end(x, &l);
	if (r)
		return r;
	alu_cmp(acc, old, &f, bytes);
	if (!(f & X86_FLAG_ZF))
		reg_set(x, X86_RAX, old, bytes);
	x->rflags = f;
	return X86_OK;
}
HANDLERS_BY_SIZE(cmpxchg_lock, exec_cmpxchg_locked(x, i, BYTES))

/* -- CMPXCHG8B, CMPXCHG16B ------------------------------------------------------------ */
static HANDLER(exec_cmpxchg8b)
{
	u64 acc = (u32)x->gpr[X86_RDX] * BIT_U64(32) | (u32)x->gpr[X86_RAX], old = acc;
	u64 v = (u32)x->gpr[X86_RCX] * BIT_U64(32) | (u32)x->gpr[X86_RBX];
	struct locked l;
	enum x86_result r = locked_begin(x, i, 0, 8, &l);

	if (r)
		return r;
	if (LIKELY(l.host)) {
		host_cmpxchg(l.host, &old, v, 8);
	} else {
		r = locked_read(x, &l, &old);
		if (!r)
			r = locked_write(x, &l, old == acc ? &v : &old);
	}
	locked_end(x, &l);
	if (r)
		return r;
	if (old == acc) {
		x->rflags |= X86_FLAG_ZF;
	} else {
		x->rflags &= ~X86_FLAG_ZF;
		reg_set(x, X86_RAX, old, 4);
		reg_set(x, X86_RDX, old >> 32, 4);
	}
	return X86_OK;
}

static HANDLER(exec_cmpxchg16b)
{
	u64 old[2] = { x->gpr[X86_RAX], x->gpr[X86_RDX] };
	u64 v[2] = { x->gpr[X86_RBX], x->gpr[X86_RCX] };
	bool equal = false;
	struct locked l;
	enum x86_result r;
	u64 a;

	r = x86_linear(x, i->seg, x86_effective_address(x, i), 16, X86_READ | X86_WRITE, &a);
	if (!r && (a & 15))
		r = raise_gp(x);
	if (!r)
		r = locked_begin(x, i, 0, 16, &l);
	if (r)
		return r;
	if (LIKELY(l.host)) {
		__asm__ volatile("lock; cmpxchg16b %0; sete %3"
				 : "+m"(*(unsigned __int128 *)l.host), "+a"(old[0]), "+d"(old[1]),
				   "=r"(equal)
				 : "b"(v[0]), "c"(v[1])
				 : "memory", "cc");
	} else {
		r = locked_read(x, &l, old);
		equal = old[0] == x->gpr[X86_RAX] && old[1] == x->gpr[X86_RDX];
		if (!r)
			r = locked_write(x, &l, equal ? v : old);
	}
	locked_end(x, &l);
	if (r)
		return r;
	if (equal) {
		x->rflags |= X86_FLAG_ZF;
	} else {
		x->rflags &= ~X86_FLAG_ZF;
		x->gpr[X86_RAX] = old[0];
		x->gpr[X86_RDX] = old[1];
	}
	return X86_OK;
}

/* -- BTS, BTR, BTC: with a register bit offset the operand may be far away ------------ */
#define BIT_CASE(type, suffix) \
	__asm__ volatile(FLAGS_IN "lock; " suffix " %2, %1" FLAGS_OUT \
			 : "+&a"(f), "+m"(*(type *)host) : "r"((type)bit) : "memory", "cc"); \
	break;
#define BIT_LOCK(name) \
INLINE void bit_##name(void *host, u64 bit, u64 *rflags, unsigned bytes) \
{ \
	u32 f = flags_pack(*rflags); \
	switch (bytes) { \
	case 2: BIT_CASE(u16, #name "w") \
	case 4: BIT_CASE(u32, #name "l") \
	default: BIT_CASE(u64, #name "q") \
	} \
	*rflags = flags_merge(*rflags, f); \
}
BIT_LOCK(bts)
BIT_LOCK(btr)
BIT_LOCK(btc)

INLINE enum x86_result bit_locked(struct x86 *x, const struct x86_insn *i, alu_lock_fn fn)
{
	unsigned bytes = i->op_bytes, bits = bytes * 8;
	u64 bit = i->imm, f = x->rflags, v = 0, displacement = 0;
	struct locked l;
	enum x86_result r;

	if (i->form == X86_E_G) {
		s64 offset = sign_extend(reg_get(x, i->reg, bytes), bytes);

		displacement = (u64)((offset >> (bytes == 2   ? 4
						 : bytes == 4 ? 5
							      : 6)) *
				     (s64)bytes);
		bit = (u64)offset;
	}
	bit &= bits - 1;
	r = locked_begin(x, i, displacement, bytes, &l);
	if (r)
		return r;
	if (LIKELY(l.host)) {
		fn(l.host, bit, &f, bytes);
	} else {
		r = locked_read(x, &l, &v);
		if (!r) {
			fn(&v, bit, &f, bytes);
			r = locked_write(x, &l, &v);
		}
	}
	locked_end(x, &l);
	if (!r)
		x->rflags = f;
	return r;
}
static HANDLER(bts_lock) { return bit_locked(x, i, bit_bts); }
static HANDLER(btr_lock) { return bit_locked(x, i, bit_btr); }
static HANDLER(btc_lock) { return bit_locked(x, i, bit_btc); }

x86_exec_fn x86_bind_lock(const struct x86_insn *i)
{
	static const x86_exec_fn xchg[4] = SIZES_OF(xchg_lock), xadd[4] = SIZES_OF(xadd_lock),
				 cmpxchg[4] = SIZES_OF(cmpxchg_lock);
	unsigned n = size_index(i->op_bytes);

	switch (i->op) {
	case X86_OP_ADD: return add_lock[n];
	case X86_OP_OR: return or_lock[n];
	case X86_OP_ADC: return adc_lock[n];
	case X86_OP_SBB: return sbb_lock[n];
	case X86_OP_AND: return and_lock[n];
	case X86_OP_SUB: return sub_lock[n];
	case X86_OP_XOR: return xor_lock[n];
	case X86_OP_INC: return inc_lock[n];
	case X86_OP_DEC: return dec_lock[n];
	case X86_OP_NEG: return neg_lock[n];
	case X86_OP_NOT: return not_lock[n];
	case X86_OP_XCHG: return xchg[n];
	case X86_OP_XADD: return xadd[n];
	case X86_OP_CMPXCHG: return cmpxchg[n];
	case X86_OP_CMPXCHG8B: return exec_cmpxchg8b;
	case X86_OP_CMPXCHG16B: return exec_cmpxchg16b;
	case X86_OP_BTS: return bts_lock;
	case X86_OP_BTR: return btr_lock;
	case X86_OP_BTC: return btc_lock;
	default: return x86_exec_ud;
	}
}
