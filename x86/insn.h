/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * insn.h - one decoded instruction, and the decoder
 *
 * Decoding is a pure function of the bytes and of the code size (16, 32 or 64 bits).
 * What can be normalised is: an accumulator or opcode-register operand is an E operand
 * that names a register; a sign-extended imm8 is an immediate; shift-by-one is shift by
 * the immediate 1.  So the executor sees few forms.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 3, "Instruction Encoding",
 * opcode maps; Intel SDM vol. 2, "Instruction Format", "AVX-512 encoding".
 */
#ifndef X86_INSN_H
#define X86_INSN_H

#include "base/types.h"

struct x86;
struct x86_insn;

/* What became of an attempt to execute, translate or access. */
enum x86_result {
	X86_OK = 0,
	X86_FAULT,		/* an exception is in x->fault; no state has changed */
	X86_EXIT,		/* the bus wants to leave; no state has changed (but REP progress) */
	X86_REPEAT,		/* a REP string instruction made progress and is not done */
	X86_HALT,		/* HLT (or MWAIT) completed: wait for an interrupt */
	X86_UNIMPLEMENTED,	/* no semantics here: vector code without a vector unit, ... */
};

typedef enum x86_result (*x86_exec_fn)(struct x86 *x, const struct x86_insn *i);

enum x86_op {
#define OPNAME(name) X86_OP_##name,
#include "x86/opnames.def"	/* one OPNAME(ADD) a mnemonic, alphabetical */
#undef OPNAME
	X86_OPS
};

/* Where operands are.  E: ModRM.rm, register or memory.  G: ModRM.reg.  I: immediate. */
enum x86_form {
	X86_NONE,		/* none, or all implied by the opcode */
	X86_E, X86_E_G, X86_G_E, X86_E_I, X86_G_E_I, X86_E_CL,
	X86_E_G_I, X86_E_G_CL,	/* SHLD, SHRD; also vector extracts */
	X86_I,			/* PUSH imm, INT n, RET n, AAM n; ENTER: imm, imm2 */
	X86_J,			/* near relative branch: imm, sign-extended */
	X86_FAR,		/* far pointer: imm2:imm */
	X86_A_MOFFS, X86_MOFFS_A, /* MOV with an absolute address, which is in imm */
	X86_A_I, X86_I_A, X86_A_DX, X86_DX_A, /* IN and OUT: port is imm or DX */
	X86_STRING,		/* MOVS CMPS STOS LODS SCAS INS OUTS */
	X86_E_S, X86_S_E,	/* MOV with a segment register: reg is its number */
	X86_S,			/* PUSH/POP of a segment register: reg is its number */
	X86_R_C, X86_C_R, X86_R_D, X86_D_R, /* MOV with CRn, DRn: reg is n, rm the GPR */
	X86_G_E_V, X86_G_V_E,	/* BMI with VEX.vvvv: BEXTR-like, ANDN-like */
	X86_V_E,		/* BLSR-like: destination is vvvv */
	X86_VECTOR,		/* x87, MMX, SSE, AVX, AVX-512, mask: see X86_F_VECTOR */
};

/* flags */
#define X86_F_MODRM	BIT_U64(0)
#define X86_F_MEM	BIT_U64(1)	/* the E operand is memory */
#define X86_F_VECTOR	BIT_U64(2)	/* runs on the host's vector or x87 unit */
#define X86_F_X87	BIT_U64(3)	/* ... the x87 unit or MMX: CR0.EM/TS/MP rules differ */
#define X86_F_VSIB	BIT_U64(4)	/* index is a vector register (gather, scatter) */
#define X86_F_GPR_READ	BIT_U64(5)	/* a vector instruction that reads the GPR in E, G or V */
#define X86_F_GPR_WRITE	BIT_U64(6)	/* ... that writes one */
#define X86_F_MEM_WRITE	BIT_U64(7)	/* a vector instruction that writes its memory operand */
#define X86_F_MEM_READ	BIT_U64(8)	/* ... that reads it (both: read-modify-write) */
#define X86_F_ALIGN	BIT_U64(9)	/* ... whose memory operand must be aligned to mem_bytes */
#define X86_F_EFLAGS	BIT_U64(10)	/* a vector instruction that writes EFLAGS (COMISS, PTEST, KORTEST) */
#define X86_F_BRANCH	BIT_U64(11)	/* may set RIP to something else than the next instruction */
#define X86_F_SYSTEM	BIT_U64(12)	/* privileged, or of interest to a hypervisor */
#define X86_F_LOCKABLE	BIT_U64(13)	/* LOCK is allowed with this memory operand */
#define X86_F_BROADCAST	BIT_U64(14)	/* EVEX.b with a memory operand */
#define X86_F_OP64	BIT_U64(15)	/* operand size in 64-bit code is 64 without REX.W */
#define X86_F_IMPLICIT_MEM BIT_U64(16)	/* memory operand without ModRM: MASKMOVQ, XLAT, strings */
#define X86_F_KMASK	BIT_U64(17)	/* uses a write mask other than k0 */
#define X86_F_VL	BIT_U64(18)	/* EVEX at less than 512 bits: AVX512VL, besides its feature */
#define X86_F_IMPLICIT_GPR BIT_U64(19)	/* GPR_READ, GPR_WRITE are of RAX, RCX or RDX: PCMPESTRI, FNSTSW AX */
#define X86_F_FEATURE_SHIFT 24		/* the top byte: enum x86_feature */

/* prefixes */
#define X86_P_LOCK	0x01u
#define X86_P_REP	0x02u	/* F3 was the last of F2 and F3 */
#define X86_P_REPNE	0x04u	/* F2 was the last of F2 and F3 */
#define X86_P_OPSIZE	0x08u
#define X86_P_ADSIZE	0x10u
#define X86_P_SEG	0x20u	/* an effective segment override */
#define X86_P_REX	0x40u

/* rex: also from VEX, EVEX, already un-inverted */
#define X86_REX_B	0x01u
#define X86_REX_X	0x02u
#define X86_REX_R	0x04u
#define X86_REX_W	0x08u

enum x86_encoding { X86_ENC_LEGACY, X86_ENC_VEX2, X86_ENC_VEX3, X86_ENC_EVEX, X86_ENC_XOP, X86_ENC_3DNOW };
enum x86_map { X86_MAP_1, X86_MAP_0F, X86_MAP_0F38, X86_MAP_0F3A, X86_MAP_4, X86_MAP_5, X86_MAP_6 };

enum { X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI };
#define X86_AH		16	/* byte registers AH CH DH BH are 16..19 */
#define X86_REG_RIP	32	/* base of a RIP-relative operand; disp is relative to the next instruction */
#define X86_REG_NONE	255

struct x86_insn {
	u8	bytes[16];	/* the instruction, zero-padded */
	x86_exec_fn exec;	/* not set by the decoder: see x86_bind() */
	u64	imm;		/* sign-extended to 64 bits where the instruction does so */
	s32	disp;		/* displacement, scaled (EVEX disp8*N) */
	u16	op;		/* enum x86_op */
	u16	imm2;		/* ENTER's nesting level, a far pointer's selector */
	u32	flags;		/* X86_F_* */
	u8	len;		/* 1..15 */
	u8	form;		/* enum x86_form */
	u8	op_bytes;	/* operand size: 1, 2, 4, 8; for vector code VL in bytes (0 if none) */
	u8	ad_bytes;	/* address size: 2, 4, 8 */
	u8	mem_bytes;	/* size of the memory operand (gather, scatter, broadcast: of one element);
				   0: none, or it is not accessed (LEA, INVLPG); 255: larger, by op */
	u8	encoding;	/* enum x86_encoding << 4 | enum x86_map */
	u8	opcode;
	u8	modrm;
	u8	modrm_at;	/* offset of ModRM in bytes[]; 0 if none */
	u8	prefixes;	/* X86_P_* */
	u8	rex;		/* X86_REX_* */
	u8	seg;		/* segment of the memory operand: override or default, enum x86_segment */
	u8	base;		/* X86_REG_NONE, X86_REG_RIP or 0..15 */
	u8	index;		/* X86_REG_NONE or 0..15 (VSIB: 0..31) */
	u8	scale;		/* log2 */
	u8	reg;		/* G: 0..15, byte registers as X86_AH; vectors 0..31 */
	u8	rm;		/* E when it is a register, likewise */
	u8	vvvv;		/* 0..15, EVEX 0..31; un-inverted */
	u8	src_bytes;	/* size of E where it differs: MOVZX, MOVSX, MOVSXD, CRC32; else op_bytes */
	u8	code_bits;	/* 16, 32, 64: what it was decoded for */
};
BUILD_ASSERT(sizeof(struct x86_insn) == 64);	/* a cache line */

enum x86_decoded {
	X86_DECODED,
	X86_TRUNCATED,		/* needs more bytes than there are */
	X86_TOO_LONG,		/* more than 15 bytes: #GP */
	X86_INVALID,		/* #UD */
};

/*
 * Decode the instruction at bytes, of which available may be read (at most 15 are).
 * code_bits is 16, 32 or 64.  [any]  On X86_INVALID len is still set where it is known.
 */
enum x86_decoded x86_decode(struct x86_insn *i, const u8 *bytes, unsigned available,
			    unsigned code_bits);

/* "ADD", for traces and tests.  NULL if op is out of range. */
const char *x86_op_name(unsigned op);

/*
 * The CPUID feature that op needs, as enum x86_feature (x86/feature.h); 0 if every
 * 64-bit processor has it.  EVEX and VEX encodings of one mnemonic may differ.
 */
static inline unsigned x86_insn_feature(const struct x86_insn *i)
{
	return i->flags >> X86_F_FEATURE_SHIFT;
}

#endif
