/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vector_unit.h - inside the vector unit
 *
 * Files: vector.c instructions and their memory operands; vector_code.c stubs of generated
 * code; vector_mask.c masked memory, gathers and scatters; vector_control.c MXCSR, the x87
 * control word, environments and exceptions; vector_state.c where the registers are;
 * vector_system.c FXSAVE, XSAVE and kin.
 */
#ifndef SOFT_VECTOR_UNIT_H
#define SOFT_VECTOR_UNIT_H

#include "base/types.h"
#include "soft/vector.h"
#include "x86/exec.h"

#define VECTOR_AREA_BYTES	4096u	/* an XSAVE area of the components we know, with room */
#define VECTOR_PLANS		4096u
#define VECTOR_STUBS		8192u

#define XSTATE_X87	BIT_U64(0)
#define XSTATE_SSE	BIT_U64(1)
#define XSTATE_AVX	BIT_U64(2)
#define XSTATE_AVX512	(BIT_U64(5) | BIT_U64(6) | BIT_U64(7))
#define XSTATE_PKRU	BIT_U64(9)
#define XSTATE_COMPONENTS 10u	/* one more than the last that we know */

#define FP_EXCEPTIONS	0x3fu		/* of MXCSR, and of x87 control and status words */
#define MXCSR_MASKS	0x1f80u
#define MXCSR_MASK_SHIFT 7
#define MXCSR_INITIAL	0x1f80u
#define FCW_INITIAL	0x37fu
#define FSW_SUMMARY	0x8080u		/* ES and B */

/* An XSAVE area's legacy region and header, in 64-bit format. */
struct vector_area {
	u16 fcw, fsw;
	u8  ftw, reserved_5;
	u16 fop;
	u64 fip, fdp;
	u32 mxcsr, mxcsr_mask;
	u8  st[8][16];
	u8  xmm[16][16];
	u8  reserved_1a0[96];
	u64 xstate_bv, xcomp_bv, reserved_210[6];
	u8  rest[VECTOR_AREA_BYTES - 576];
};
BUILD_ASSERT(sizeof(struct vector_area) == VECTOR_AREA_BYTES);

/* A stub is a C function: gpr and flags are where its scratch register and EFLAGS come from. */
typedef void (*vector_stub)(u64 *gpr, void *memory, u64 unused_1, u64 unused_2, u32 *flags);

/* What identifies a stub: the instruction as it will be executed, and what is around it. */
struct vector_template {
	u8 bytes[14];
	u8 len;
	u8 around;		/* VECTOR_AROUND_* */
};
#define VECTOR_AROUND_GPR	0x01u	/* RCX is loaded from *gpr, and stored */
#define VECTOR_AROUND_STRING	0x02u	/* RAX and RDX are loaded from gpr[], RCX is stored */
#define VECTOR_AROUND_AX	0x04u	/* AX is stored in *gpr */
#define VECTOR_AROUND_FLAGS	0x08u	/* arithmetic flags are loaded from *flags, and stored */

struct vector_plan;
typedef enum x86_result (*vector_run)(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				      const struct vector_plan *p);

/* How to execute one encoding: found by the instruction's bytes. */
struct vector_plan {
	u64 raw[2];
	vector_run run;
	vector_stub stub;
	u8  code_bits;		/* 0: no plan */
	u8  gpr;		/* the guest register that the stub's is */
	u8  bytes;		/* of the memory operand */
	u8  element;		/* masked memory: bytes of an element; 0: it is accessed whole */
	bool flags;
	bool align;
	bool waits;		/* x87 and MMX: reports a pending exception first */
	bool control;		/* may not raise SIMD exceptions, or its handler sees to it */
	u64 unused[3];
};
BUILD_ASSERT(sizeof(struct vector_plan) == 64);

struct vector_stub_entry { struct vector_template key; u32 offset; };	/* offset + 1 */

struct soft_vector {
	bool loaded;		/* the guest's registers are where stubs find them */
	u8   unmasked;		/* mxcsr_unmasked | x87_unmasked */
	u8   mxcsr_unmasked;	/* exceptions that the guest unmasked; the live MXCSR masks all */
	u8   x87_unmasked;	/* ... in the x87 control word */
	bool no_store;		/* the stub's result must not be written to memory */
	const void *area;	/* of soft_vector_load() */
	u64  xcr0;

	struct soft_code code;
	u64  code_used;

	u8 bounce[128] __attribute__((aligned(64)));
	struct vector_area state;	/* the registers between stubs, with SOFT_FPU_EAGER */
	struct vector_area image, backup;
	struct vector_plan plans[VECTOR_PLANS];
	struct vector_stub_entry stubs[VECTOR_STUBS];
};

/* vector_state.c */
struct vector_host {		/* what the silicon has */
	u32  ready;
	bool xsave, avx512bw;
	u32  mxcsr_valid;
	u64  components;	/* that we use */
	u64  harmless;		/* that XRSTOR takes in XSTATE_BV besides, and does not load */
	u64  known;		/* components, and PKRU */
	/* In the standard format; aligned: in the compact format, to 64 bytes. */
	u32  offset[XSTATE_COMPONENTS], bytes[XSTATE_COMPONENTS];
	bool aligned[XSTATE_COMPONENTS];
};
const struct vector_host *vector_host(void);
void vector_need(struct soft_vector *v);		/* load, unless loaded */
void vector_call(struct soft_vector *v, vector_stub stub, u64 *gpr, void *memory, u32 *flags);
/* All registers, as they are; and back, the components of rfbm (absent in xstate_bv: initial). */
void vector_capture(struct soft_vector *v, struct vector_area *to);
void vector_apply(struct soft_vector *v, const struct vector_area *from, u64 rfbm);
u32  vector_mxcsr(struct soft_vector *v);
void vector_set_mxcsr(struct soft_vector *v, u32 value);
u16  vector_fsw(struct soft_vector *v);

/* vector_code.c: false if i is none that we execute. */
bool vector_gpr_is_rm(const struct x86_insn *i);
bool vector_template_of(struct vector_template *t, const struct x86_insn *i);
void vector_code_reserve(struct soft_vector *v);
vector_stub vector_stub_of(struct soft_vector *v, const struct vector_template *t);
/* A stub that moves a register from or to [memory]: 64 bytes, as much as there is, zeroing the rest. */
enum vector_file { VECTOR_XMM, VECTOR_MMX, VECTOR_K };
void vector_get(struct soft_vector *v, enum vector_file file, unsigned reg, void *to);
void vector_put(struct soft_vector *v, enum vector_file file, unsigned reg, const void *from,
		unsigned bytes);

/* vector.c */
enum x86_result vector_perform(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
			       const struct vector_plan *p, void *memory);
static inline unsigned vector_access(const struct x86 *x, unsigned access)
{
	return access | (x->cpl == 3 ? X86_USER : 0);
}

/* vector_mask.c: masked memory of which the direct way does not work; 0: no such instruction. */
unsigned vector_element_of(const struct x86_insn *i);
enum x86_result vector_run_masked(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				  const struct vector_plan *p);
enum x86_result vector_run_vsib(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				const struct vector_plan *p);
enum x86_result vector_run_maskmov(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				   const struct vector_plan *p);

/* vector_control.c */
vector_run vector_control_of(const struct x86_insn *i, bool *waits);
enum x86_result vector_perform_checked(struct soft_vector *v, struct x86 *x, const struct x86_insn *i,
				       const struct vector_plan *p, void *memory);
void vector_masks_in(struct soft_vector *v, struct vector_area *a, u64 components);
void vector_masks_out(const struct soft_vector *v, struct vector_area *a);

#endif
