/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode_shape.h - how a row of opcodes.def names its operands
 *
 * A shape is five things: where the operand E is encoded (enum how), the form that the
 * executor sees, the operand size, the size of E, and the immediate.  Private to the decoder.
 */
#ifndef X86_DECODE_SHAPE_H
#define X86_DECODE_SHAPE_H

#include "x86/insn.h"

enum how {
	H_NONE,		/* no operand E */
	H_MODRM,	/* ModRM follows the opcode */
	H_MODRM_REG,	/* ... and is a register whatever ModRM.mod says */
	H_OPCODE,	/* E is the register in the opcode's low bits, G the accumulator */
	H_ACC,		/* E is the accumulator */
};

/* Sizes, resolved by size_of[] from operand size, mode and vector length. */
enum size {
	S_0, S_1, S_2, S_4, S_8, S_10, S_16, S_32, S_64,
	S_BIG,		/* 255: depends on more than the instruction */
	S_V,		/* 2, 4, 8 */
	S_Z,		/* 2, 4 */
	S_Y,		/* 4, 8 */
	S_S,		/* 2, 4, 8, with 8 the default in 64-bit code */
	S_F,		/* 2, 4; always 8 in 64-bit code */
	S_M,		/* 4; 8 in 64-bit code */
	S_FAR,		/* an offset of S_V and a selector */
	S_2V, S_2Y,	/* twice that */
	S_TABLE,	/* LGDT: 6; 10 in 64-bit code */
	S_ENV, S_SAVE,	/* FNSTENV, FNSAVE */
	S_SEL,		/* a register is S_V, memory 2 */
	S_AD,		/* address size */
	S_VL, S_VL2, S_VL4, S_VL8, S_DUP, /* by vector length: these last */
	SIZES
};

enum imm {
	I_NONE,
	I_IB, I_IZ, I_JB, I_JZ,	/* sign-extended */
	I_IV,			/* MOV: up to 8 bytes */
	I_UB, I_UW, I_UD,	/* zero-extended */
	I_UW_UB,		/* ENTER: imm, imm2 */
	I_FAR, I_MOFFS,
	I_ONE,			/* no byte: the immediate 1 */
	I_SREG,			/* no byte: reg is a segment in opcode bits 5-3 */
};

/*		where		form		size  of E    immediate */
#define N	H_NONE,		X86_NONE,	S_V,  S_0,    I_NONE
#define Nv	H_NONE,		X86_NONE,	S_V,  S_0,    I_NONE
#define Ns	H_NONE,		X86_NONE,	S_S,  S_0,    I_NONE
#define Nf	H_NONE,		X86_NONE,	S_F,  S_0,    I_NONE
#define Mod	H_MODRM,	X86_NONE,	S_V,  S_0,    I_NONE
#define Mod_Ib	H_MODRM,	X86_I,		S_1,  S_0,    I_UB
#define Mod_Jz	H_MODRM,	X86_J,		S_V,  S_0,    I_JZ

#define Eb	H_MODRM,	X86_E,		S_1,  S_1,    I_NONE
#define Ew	H_MODRM,	X86_E,		S_2,  S_2,    I_NONE
#define Ed	H_MODRM,	X86_E,		S_4,  S_4,    I_NONE
#define Ev	H_MODRM,	X86_E,		S_V,  S_V,    I_NONE
#define Ey	H_MODRM,	X86_E,		S_Y,  S_Y,    I_NONE
#define Es	H_MODRM,	X86_E,		S_S,  S_S,    I_NONE
#define Ef	H_MODRM,	X86_E,		S_F,  S_F,    I_NONE
#define Em	H_MODRM,	X86_E,		S_M,  S_M,    I_NONE
#define Ea	H_MODRM,	X86_E,		S_AD, S_AD,   I_NONE
#define Ev_sel	H_MODRM,	X86_E,		S_V,  S_SEL,  I_NONE
#define Enone	H_MODRM,	X86_E,		S_V,  S_0,    I_NONE
#define Mnone	H_MODRM,	X86_E,		S_V,  S_0,    I_NONE
#define Mq	H_MODRM,	X86_E,		S_8,  S_8,    I_NONE
#define Mp	H_MODRM,	X86_E,		S_V,  S_FAR,  I_NONE
#define Mdqp	H_MODRM,	X86_E,		S_Y,  S_2Y,   I_NONE
#define Mtable	H_MODRM,	X86_E,		S_F,  S_TABLE, I_NONE
#define Mbig	H_MODRM,	X86_E,		S_Y,  S_BIG,  I_NONE

#define Eb_Gb	H_MODRM,	X86_E_G,	S_1,  S_1,    I_NONE
#define Ew_Gw	H_MODRM,	X86_E_G,	S_2,  S_2,    I_NONE
#define Ev_Gv	H_MODRM,	X86_E_G,	S_V,  S_V,    I_NONE
#define Ey_Gy	H_MODRM,	X86_E_G,	S_Y,  S_Y,    I_NONE
#define Em_Gm	H_MODRM,	X86_E_G,	S_M,  S_M,    I_NONE
#define Gb_Eb	H_MODRM,	X86_G_E,	S_1,  S_1,    I_NONE
#define Gv_Eb	H_MODRM,	X86_G_E,	S_V,  S_1,    I_NONE
#define Gv_Ew	H_MODRM,	X86_G_E,	S_V,  S_2,    I_NONE
#define Gv_Ed	H_MODRM,	X86_G_E,	S_V,  S_4,    I_NONE
#define Gv_Ev	H_MODRM,	X86_G_E,	S_V,  S_V,    I_NONE
#define Gy_Eb	H_MODRM,	X86_G_E,	S_Y,  S_1,    I_NONE
#define Gy_Ev	H_MODRM,	X86_G_E,	S_Y,  S_V,    I_NONE
#define Gy_Ey	H_MODRM,	X86_G_E,	S_Y,  S_Y,    I_NONE
#define Gm_Em	H_MODRM,	X86_G_E,	S_M,  S_M,    I_NONE
#define Gm_M16	H_MODRM,	X86_G_E,	S_M,  S_16,   I_NONE
#define Ga_M64	H_MODRM,	X86_G_E,	S_AD, S_64,   I_NONE
#define Gv_M	H_MODRM,	X86_G_E,	S_V,  S_0,    I_NONE
#define Gv_Mp	H_MODRM,	X86_G_E,	S_V,  S_FAR,  I_NONE
#define Gv_M2v	H_MODRM,	X86_G_E,	S_V,  S_2V,   I_NONE

#define Eb_Ib	H_MODRM,	X86_E_I,	S_1,  S_1,    I_IB
#define Ev_Ib	H_MODRM,	X86_E_I,	S_V,  S_V,    I_IB
#define Ev_Iz	H_MODRM,	X86_E_I,	S_V,  S_V,    I_IZ
#define Eb_count H_MODRM,	X86_E_I,	S_1,  S_1,    I_UB
#define Ev_count H_MODRM,	X86_E_I,	S_V,  S_V,    I_UB
#define Eb_1	H_MODRM,	X86_E_I,	S_1,  S_1,    I_ONE
#define Ev_1	H_MODRM,	X86_E_I,	S_V,  S_V,    I_ONE
#define Eb_CL	H_MODRM,	X86_E_CL,	S_1,  S_1,    I_NONE
#define Ev_CL	H_MODRM,	X86_E_CL,	S_V,  S_V,    I_NONE
#define Ev_Gv_Ib H_MODRM,	X86_E_G_I,	S_V,  S_V,    I_UB
#define Ev_Gv_CL H_MODRM,	X86_E_G_CL,	S_V,  S_V,    I_NONE
#define Gv_Ev_Ib H_MODRM,	X86_G_E_I,	S_V,  S_V,    I_IB
#define Gv_Ev_Iz H_MODRM,	X86_G_E_I,	S_V,  S_V,    I_IZ
#define Gy_Ey_Ib H_MODRM,	X86_G_E_I,	S_Y,  S_Y,    I_UB

#define Gy_Ey_Vy H_MODRM,	X86_G_E_V,	S_Y,  S_Y,    I_NONE
#define Gy_Vy_Ey H_MODRM,	X86_G_V_E,	S_Y,  S_Y,    I_NONE
#define Vy_Ey	H_MODRM,	X86_V_E,	S_Y,  S_Y,    I_NONE

#define Ab_Ib	H_ACC,		X86_E_I,	S_1,  S_1,    I_IB
#define Av_Iz	H_ACC,		X86_E_I,	S_V,  S_V,    I_IZ
#define Zv	H_OPCODE,	X86_E,		S_V,  S_V,    I_NONE
#define Zs	H_OPCODE,	X86_E,		S_S,  S_S,    I_NONE
#define Zv_A	H_OPCODE,	X86_E_G,	S_V,  S_V,    I_NONE
#define Zb_Ib	H_OPCODE,	X86_E_I,	S_1,  S_1,    I_IB
#define Zv_Iv	H_OPCODE,	X86_E_I,	S_V,  S_V,    I_IV

#define Ab_Ob	H_NONE,		X86_A_MOFFS,	S_1,  S_1,    I_MOFFS
#define Av_Ov	H_NONE,		X86_A_MOFFS,	S_V,  S_V,    I_MOFFS
#define Ob_Ab	H_NONE,		X86_MOFFS_A,	S_1,  S_1,    I_MOFFS
#define Ov_Av	H_NONE,		X86_MOFFS_A,	S_V,  S_V,    I_MOFFS
#define Ab_port	H_NONE,		X86_A_I,	S_1,  S_0,    I_UB
#define Az_port	H_NONE,		X86_A_I,	S_Z,  S_0,    I_UB
#define port_Ab	H_NONE,		X86_I_A,	S_1,  S_0,    I_UB
#define port_Az	H_NONE,		X86_I_A,	S_Z,  S_0,    I_UB
#define Ab_DX	H_NONE,		X86_A_DX,	S_1,  S_0,    I_NONE
#define Az_DX	H_NONE,		X86_A_DX,	S_Z,  S_0,    I_NONE
#define DX_Ab	H_NONE,		X86_DX_A,	S_1,  S_0,    I_NONE
#define DX_Az	H_NONE,		X86_DX_A,	S_Z,  S_0,    I_NONE
#define STRb	H_NONE,		X86_STRING,	S_1,  S_1,    I_NONE
#define STRz	H_NONE,		X86_STRING,	S_Z,  S_Z,    I_NONE
#define STRv	H_NONE,		X86_STRING,	S_V,  S_V,    I_NONE

#define Is	H_NONE,		X86_I,		S_S,  S_0,    I_IZ
#define Ibs	H_NONE,		X86_I,		S_S,  S_0,    I_IB
#define Iub	H_NONE,		X86_I,		S_1,  S_0,    I_UB
#define Iw	H_NONE,		X86_I,		S_F,  S_0,    I_UW
#define Iw_far	H_NONE,		X86_I,		S_V,  S_0,    I_UW
#define Iw_Ib	H_NONE,		X86_I,		S_S,  S_0,    I_UW_UB
#define Jb	H_NONE,		X86_J,		S_F,  S_0,    I_JB
#define Jz	H_NONE,		X86_J,		S_F,  S_0,    I_JZ
#define Ap	H_NONE,		X86_FAR,	S_V,  S_0,    I_FAR

#define S_opcode H_NONE,	X86_S,		S_S,  S_0,    I_SREG
#define Ev_S	H_MODRM,	X86_E_S,	S_V,  S_SEL,  I_NONE
#define S_Ew	H_MODRM,	X86_S_E,	S_2,  S_2,    I_NONE
#define R_C	H_MODRM_REG,	X86_R_C,	S_M,  S_M,    I_NONE
#define C_R	H_MODRM_REG,	X86_C_R,	S_M,  S_M,    I_NONE
#define R_D	H_MODRM_REG,	X86_R_D,	S_M,  S_M,    I_NONE
#define D_R	H_MODRM_REG,	X86_D_R,	S_M,  S_M,    I_NONE

#endif
