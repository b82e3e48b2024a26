// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vector_control.c - MXCSR, x87 control and environments, floating-point exceptions
 *
 * The silicon runs with all exceptions masked.  While the guest has some unmasked, each
 * instruction is run with a copy of the registers at hand: if it set the flag of an
 * unmasked exception the copy is restored and the guest gets #XM; an x87 exception is
 * remembered by its flag in the status word, and the next waiting instruction gets #MF.
 *
 * Reference: Intel SDM vol. 1, "Handling SIMD Floating-Point Exceptions", "x87 FPU
 * Floating-Point Exception Handling".
 * Not modelled: results that differ when overflow or underflow is unmasked (a biased
 * exponent in an x87 register; tiny but exact results); FERR# with CR0.NE clear; the x87's
 * instruction and data pointers, which read as zero.
 */
#include "base/bits.h"
#include "soft/vector_unit.h"
#include "x86/operand.h"

#define X87_BEFORE	0x07u	/* IE, DE, ZE: unmasked, they keep the instruction from its result */

static void set_unmasked(struct soft_vector *v)
{
	v->unmasked = v->mxcsr_unmasked | v->x87_unmasked;
}

/* An area on its way to the silicon: note what it unmasks, then mask all. */
void vector_masks_in(struct soft_vector *v, struct vector_area *a, u64 components)
{
	if (components & XSTATE_X87) {
		v->x87_unmasked = a->xstate_bv & XSTATE_X87 ? ~a->fcw & FP_EXCEPTIONS : 0;
		a->fcw |= FP_EXCEPTIONS;
	}
	if (components & (XSTATE_SSE | XSTATE_AVX)) {
		v->mxcsr_unmasked = (u8)(~(a->mxcsr >> MXCSR_MASK_SHIFT) & FP_EXCEPTIONS);
		a->mxcsr |= MXCSR_MASKS;
	}
	set_unmasked(v);
}

/* An area from the silicon: what the guest expects to see there. */
void vector_masks_out(const struct soft_vector *v, struct vector_area *a)
{
	a->fip = a->fdp = 0;
	a->fop = 0;
	a->fcw &= (u16)~v->x87_unmasked;
	if (a->fsw & v->x87_unmasked)
		a->fsw |= FSW_SUMMARY;
	a->mxcsr &= ~((u32)v->mxcsr_unmasked << MXCSR_MASK_SHIFT);
	/* To the silicon a component in which only masks differ is in its initial state. */
	if (v->x87_unmasked)
		a->xstate_bv |= XSTATE_X87;
	if (a->mxcsr != MXCSR_INITIAL)
		a->xstate_bv |= XSTATE_SSE;
}

/* --- exceptions -------------------------------------------------------------------------- */

static bool is_x87(const struct x86_insn *i)
{
	return i->encoding == (X86_ENC_LEGACY << 4 | X86_MAP_1);
}

static void roll_back(struct soft_vector *v, struct x86 *x, const u64 gpr[16])
{
	__builtin_memcpy(x->gpr, gpr, sizeof(x->gpr));
	vector_apply(v, &v->backup, vector_host()->components);
}

enum x86_result vector_perform_checked(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				       const struct vector_plan *p, void *memory)
{
	u32 mxcsr = vector_mxcsr(v), flags = flags_pack(x->rflags), raised;
	u64 gpr[16];
	u16 fsw;

	__builtin_memcpy(gpr, x->gpr, sizeof(gpr));
	__builtin_memset(&v->backup, 0, offsetof(struct vector_area, rest));
	vector_capture(v, &v->backup);
	fsw = vector_fsw(v);
	vector_set_mxcsr(v, mxcsr & ~FP_EXCEPTIONS);
	vector_call(v, p->stub, &x->gpr[p->gpr], memory, &flags);

	raised = vector_mxcsr(v) & FP_EXCEPTIONS;
	if (raised & v->mxcsr_unmasked) {
		roll_back(v, x, gpr);
		vector_set_mxcsr(v, mxcsr | raised);
		return x86_raise(x, x->cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD);
	}
	vector_set_mxcsr(v, vector_mxcsr(v) | (mxcsr & FP_EXCEPTIONS));

	if (is_x87(i)) {
		raised = vector_fsw(v) & (u32)~fsw & v->x87_unmasked;
		if (raised & X87_BEFORE) {	/* operands stay; SF and C1 say more of a stack fault */
			u16 status = (u16)(fsw | (vector_fsw(v) & (FP_EXCEPTIONS | 0x240)));

			v->backup.fsw = status;
			v->backup.xstate_bv |= XSTATE_X87;
			roll_back(v, x, gpr);
			v->no_store = true;
			return X86_OK;
		}
	}
	if (p->flags)
		x->rflags = flags_merge(x->rflags, flags);
	return X86_OK;
}

/* --- control registers in memory ------------------------------------------------------------- */

static enum x86_result load(struct soft_vector *v, struct x86 *x, const struct x86_insn *i, unsigned bytes)
{
	enum x86_result r = x86_operand_linear(x, i, bytes, X86_READ);

	return r ? r : x->bus->read(x, x->scratch, v->bounce, bytes, vector_access(x, X86_READ));
}

static enum x86_result probe(struct x86 *x, const struct x86_insn *i, unsigned bytes, u64 *linear)
{
	enum x86_result r = x86_operand_linear(x, i, bytes, X86_WRITE);

	*linear = x->scratch;
	return r ? r : x->bus->probe(x, *linear, bytes, vector_access(x, X86_WRITE));
}

static enum x86_result store(struct soft_vector *v, struct x86 *x, u64 linear, unsigned bytes)
{
	return x->bus->write(x, linear, v->bounce, bytes, vector_access(x, X86_WRITE));
}

static u32 bounce_get(const struct soft_vector *v, unsigned at, unsigned bytes)
{
	u32 value = 0;

	__builtin_memcpy(&value, v->bounce + at, bytes);
	return value;
}

static void bounce_set(struct soft_vector *v, unsigned at, u32 value, unsigned bytes)
{
	__builtin_memcpy(v->bounce + at, &value, bytes);
}

#define RUN(name) static enum x86_result name(struct soft_vector *v, struct x86 *x, const struct x86_insn *i, \
					      const struct vector_plan *p)

RUN(run_ldmxcsr)
{
	enum x86_result r = load(v, x, i, 4);
	u32 value;

	(void)p;
	if (r != X86_OK)
		return r;
	value = bounce_get(v, 0, 4);
	if (value & ~vector_host()->mxcsr_valid)
		return x86_raise_error(x, X86_GP, 0);
	v->mxcsr_unmasked = (u8)(~(value >> MXCSR_MASK_SHIFT) & FP_EXCEPTIONS);
	set_unmasked(v);
	vector_set_mxcsr(v, value | MXCSR_MASKS);
	return X86_OK;
}

RUN(run_stmxcsr)
{
	u64 linear;
	enum x86_result r = probe(x, i, 4, &linear);

	(void)p;
	if (r != X86_OK)
		return r;
	bounce_set(v, 0, vector_mxcsr(v) & ~((u32)v->mxcsr_unmasked << MXCSR_MASK_SHIFT), 4);
	return store(v, x, linear, 4);
}

/* FLDCW, FLDENV, FRSTOR: the control word comes first in all of them. */
RUN(run_x87_load)
{
	enum x86_result r = load(v, x, i, i->mem_bytes);
	u32 fcw;

	if (r != X86_OK)
		return r;
	fcw = bounce_get(v, 0, 2);
	bounce_set(v, 0, fcw | FP_EXCEPTIONS, 2);
	r = vector_perform(v, x, i, p, v->bounce);
	v->x87_unmasked = ~fcw & FP_EXCEPTIONS;
	set_unmasked(v);
	return r;
}

static u32 visible_fsw(const struct soft_vector *v, u32 fsw)
{
	return fsw & v->x87_unmasked ? fsw | FSW_SUMMARY : fsw;
}

/* FNSTENV masks all exceptions afterwards, FNSAVE initializes. */
RUN(run_x87_environment)
{
	bool narrow = i->mem_bytes == 14 || i->mem_bytes == 94;
	unsigned fsw_at = narrow ? 2 : 4;
	u64 linear;
	enum x86_result r = probe(x, i, i->mem_bytes, &linear);

	if (r != X86_OK)
		return r;
	r = vector_perform(v, x, i, p, v->bounce);
	bounce_set(v, 0, bounce_get(v, 0, 2) & ~(u32)v->x87_unmasked, 2);
	bounce_set(v, fsw_at, visible_fsw(v, bounce_get(v, fsw_at, 2)), 2);
	if (narrow) {
		bounce_set(v, 6, 0, 4);
		bounce_set(v, 10, 0, 4);
	} else {
		bounce_set(v, 12, 0, 4);
		bounce_set(v, 16, 0, 4);
		bounce_set(v, 20, 0, 4);
		bounce_set(v, 24, 0xffff0000, 4);
	}
	v->x87_unmasked = 0;
	set_unmasked(v);
	return r ? r : store(v, x, linear, i->mem_bytes);
}

RUN(run_fninit)
{
	v->x87_unmasked = 0;
	set_unmasked(v);
	return vector_perform(v, x, i, p, NULL);
}

RUN(run_fnstcw)
{
	u64 linear;
	enum x86_result r = probe(x, i, 2, &linear);

	if (r != X86_OK)
		return r;
	r = vector_perform(v, x, i, p, v->bounce);
	bounce_set(v, 0, bounce_get(v, 0, 2) & ~(u32)v->x87_unmasked, 2);
	return r ? r : store(v, x, linear, 2);
}

RUN(run_fnstsw)
{
	u64 linear;
	enum x86_result r;

	(void)p;
	if (!(i->flags & X86_F_MEM)) {
		x->gpr[X86_RAX] = (x->gpr[X86_RAX] & ~0xffffull) | visible_fsw(v, vector_fsw(v));
		return X86_OK;
	}
	r = probe(x, i, 2, &linear);
	if (r != X86_OK)
		return r;
	bounce_set(v, 0, visible_fsw(v, vector_fsw(v)), 2);
	return store(v, x, linear, 2);
}

/* FWAIT has waited. */
RUN(run_nothing)
{
	(void)v, (void)x, (void)i, (void)p;
	return X86_OK;
}

/* Non-waiting instructions that need no handler of their own. */
RUN(run_plain)
{
	return vector_perform(v, x, i, p, NULL);
}

/* The handler of an instruction that is about control; and does i report pending exceptions? */
vector_run vector_control_of(const struct x86_insn *i, bool *waits)
{
	*waits = false;
	switch (i->op) {
	case X86_OP_LDMXCSR:
	case X86_OP_VLDMXCSR:
		return run_ldmxcsr;
	case X86_OP_STMXCSR:
	case X86_OP_VSTMXCSR:
		return run_stmxcsr;
	case X86_OP_FNSTENV:
	case X86_OP_FNSAVE:
		return run_x87_environment;
	case X86_OP_FNINIT:
		return run_fninit;
	case X86_OP_FNSTCW:
		return run_fnstcw;
	case X86_OP_FNSTSW:
		return run_fnstsw;
	case X86_OP_FNCLEX:
	case X86_OP_FENI8087_NOP:
	case X86_OP_FDISI8087_NOP:
	case X86_OP_FSETPM287_NOP:
		return run_plain;
	default:
		break;
	}
	*waits = i->flags & X86_F_X87;
	switch (i->op) {
	case X86_OP_FLDCW:
	case X86_OP_FLDENV:
	case X86_OP_FRSTOR:
		return run_x87_load;
	case X86_OP_FWAIT:
		return run_nothing;
	default:
		return NULL;
	}
}
