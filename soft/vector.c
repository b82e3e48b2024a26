// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vector.c - vector instructions, executed on the host's silicon
 *
 * An instruction's plan is found by its bytes: the stub that executes it, and which way its
 * memory operand goes.  The direct way, on a TLB hit, hands guest memory to the stub.
 * Otherwise the operand goes through a bounce buffer: read through the bus before, or
 * probed before and written after, so that a fault leaves all registers as they were.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 4 and 5; Intel SDM vol. 2.
 * Not modelled: #AC for vector operands; XOP, 3DNow! (they are never offered).
 */
#include "soft/vector_unit.h"
#include "x86/feature.h"
#include "x86/operand.h"

u64 soft_vector_bytes(void)
{
	return sizeof(struct soft_vector);
}

void soft_vector_init(struct soft_vector *v, const struct soft_code *code)
{
	(void)vector_host();
	v->code = *code;
}

/* --- execution --------------------------------------------------------------------------- */

/* Run p's stub.  Anything but X86_OK: no register has changed. */
enum x86_result vector_perform(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
			       const struct vector_plan *p, void *memory)
{
	u32 flags;

	if (UNLIKELY(v->unmasked) && !p->control)
		return vector_perform_checked(v, x, i, p, memory);
	if (!p->flags) {
		vector_call(v, p->stub, &x->gpr[p->gpr], memory, NULL);
		return X86_OK;
	}
	flags = flags_pack(x->rflags);
	vector_call(v, p->stub, &x->gpr[p->gpr], memory, &flags);
	x->rflags = flags_merge(x->rflags, flags);
	return X86_OK;
}

static enum x86_result run_registers(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				     const struct vector_plan *p)
{
	return vector_perform(v, x, i, p, NULL);
}

/* The host's pointer to the operand at linear, if it lies in one page that table knows. */
static inline void *tlb_hit(const struct x86_tlb_entry *table, u64 linear, unsigned bytes)
{
	const struct x86_tlb_entry *e = &table[(linear >> PAGE_BITS) % X86_TLB_ENTRIES];

	/* The entry that the first byte chooses can not be that of the page after. */
	return ((linear + bytes - 1) & ~(PAGE_BYTES - 1)) == e->tag ? (void *)(linear + e->addend) : NULL;
}

/* The operand's linear address, checked; and the host's pointer to it, or NULL. */
static inline enum x86_result locate(struct x86 *x, const struct x86_insn *i, const struct vector_plan *p,
				     unsigned access, u64 *linear, void **direct)
{
	const struct x86_tlb_entry *table = access & X86_WRITE ? x->tlb->write : x->tlb->read;
	enum x86_result r;

	*direct = NULL;
	if (LIKELY(operand_where(i) == X86_MEM64)) {
		*linear = address64(x, i);
		*direct = tlb_hit(table, *linear, p->bytes);	/* if so, it is canonical */
	}
	if (UNLIKELY(!*direct)) {
		r = x86_operand_linear(x, i, p->bytes, access);
		if (r != X86_OK)
			return r;
		*linear = x->scratch;
		*direct = tlb_hit(table, *linear, p->bytes);
	}
	if (UNLIKELY(p->align && (*linear & (p->bytes - 1u)))) {
		if (!p->element)
			return x86_raise_error(x, X86_GP, 0);
		*direct = NULL;		/* no fault if the mask is clear */
	}
	return X86_OK;
}

static enum x86_result run_load(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				const struct vector_plan *p)
{
	u64 linear;
	void *memory;
	enum x86_result r = locate(x, i, p, X86_READ, &linear, &memory);

	if (r != X86_OK)
		return r;
	if (UNLIKELY(!memory)) {
		if (p->element)
			return vector_run_masked(v, x, i, p);
		memory = v->bounce;
		r = x->bus->read(x, linear, memory, p->bytes, vector_access(x, X86_READ));
		if (r != X86_OK)
			return r;
	}
	return vector_perform(v, x, i, p, memory);
}

static enum x86_result run_store(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				 const struct vector_plan *p)
{
	u64 linear;
	void *memory;
	enum x86_result r = locate(x, i, p, X86_WRITE, &linear, &memory);

	if (r != X86_OK)
		return r;
	if (LIKELY(memory) && !v->unmasked)
		return vector_perform(v, x, i, p, memory);
	if (p->element)
		return vector_run_masked(v, x, i, p);
	r = x->bus->probe(x, linear, p->bytes, vector_access(x, X86_WRITE));
	if (r != X86_OK)
		return r;
	r = vector_perform(v, x, i, p, v->bounce);
	if (r != X86_OK || v->no_store)
		return r;
	return x->bus->write(x, linear, v->bounce, p->bytes, vector_access(x, X86_WRITE));
}

/* --- plans ------------------------------------------------------------------------------------ */

/* The guest register that the stub's scratch register stands for. */
static u8 gpr_of(const struct x86_insn *i, const struct vector_template *t)
{
	if (!(t->around & VECTOR_AROUND_GPR))
		return 0;
	return vector_gpr_is_rm(i) ? i->rm & 15 : i->reg & 15;
}

static vector_run run_of(const struct x86_insn *i, struct vector_plan *p)
{
	vector_run control = vector_control_of(i, &p->waits);

	if (control) {
		p->control = true;
		return control;
	}
	if (i->flags & X86_F_VSIB)
		return vector_run_vsib;
	if (i->flags & X86_F_IMPLICIT_MEM)
		return vector_run_maskmov;
	if (!(i->flags & X86_F_MEM) || !i->mem_bytes)
		return run_registers;
	p->element = (u8)vector_element_of(i);
	return i->flags & X86_F_MEM_WRITE ? run_store : run_load;
}

static bool plan_make(struct soft_vector *v, const struct x86 *x, const struct x86_insn *i,
		      struct vector_plan *p)
{
	struct vector_template t;

	if ((i->flags & X86_F_VL) && !x86_feature_is_set(x->features, X86_FEATURE_AVX512VL))
		return false;
	if (!vector_template_of(&t, i))
		return false;
	vector_code_reserve(v);
	__builtin_memset(p, 0, sizeof(*p));
	p->run = run_of(i, p);
	p->stub = vector_stub_of(v, &t);
	p->gpr = gpr_of(i, &t);
	p->bytes = i->mem_bytes;
	p->flags = t.around & VECTOR_AROUND_FLAGS;
	p->align = i->flags & X86_F_ALIGN;
	__builtin_memcpy(p->raw, i->bytes, sizeof(p->raw));
	p->code_bits = i->code_bits;
	return true;
}

enum x86_result soft_vector_execute(struct soft_vector *v, struct x86 *x, const struct x86_insn *i)
{
	u64 raw[2];
	struct vector_plan *p;

	__builtin_memcpy(raw, i->bytes, sizeof(raw));
	p = &v->plans[(raw[0] * 0x9e3779b97f4a7c15ull ^ raw[1] * 0xc2b2ae3d27d4eb4full) >> 52];
	BUILD_ASSERT(VECTOR_PLANS == 4096);
	if (UNLIKELY(p->raw[0] != raw[0] || p->raw[1] != raw[1] || p->code_bits != i->code_bits) &&
	    !plan_make(v, x, i, p))
		return x86_raise(x, X86_UD);
	vector_need(v);
	if (UNLIKELY(v->unmasked)) {
		v->no_store = false;
		if (p->waits && (vector_fsw(v) & v->x87_unmasked))
			return x86_raise(x, X86_MF);
	}
	return p->run(v, x, i, p);
}
