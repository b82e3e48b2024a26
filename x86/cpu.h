/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpu.h - registers of an x86 processor, as the manuals name them
 */
#ifndef X86_CPU_H
#define X86_CPU_H

#include "base/types.h"

/* In ModRM.reg order; LDTR and TR after. */
enum x86_segment { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_LDTR, X86_TR, X86_SEGMENTS };

/* A segment register with its hidden part, laid out as in a VMCB. */
struct x86_seg {
	u16 selector;
	u16 attr;		/* X86_SEG_* */
	u32 limit;		/* in bytes, granularity applied */
	u64 base;
};
#define X86_SEG_TYPE	0x00fu
#define X86_SEG_S	0x010u	/* code or data, not system */
#define X86_SEG_DPL(a)	(((a) >> 5) & 3u)
#define X86_SEG_P	0x080u
#define X86_SEG_AVL	0x100u
#define X86_SEG_L	0x200u
#define X86_SEG_DB	0x400u
#define X86_SEG_G	0x800u

/* GDTR, IDTR */
struct x86_table { u16 limit; u64 base; };

#define X86_CR0_PE	BIT_U64(0)
#define X86_CR0_MP	BIT_U64(1)
#define X86_CR0_EM	BIT_U64(2)
#define X86_CR0_TS	BIT_U64(3)
#define X86_CR0_ET	BIT_U64(4)
#define X86_CR0_NE	BIT_U64(5)
#define X86_CR0_WP	BIT_U64(16)
#define X86_CR0_AM	BIT_U64(18)
#define X86_CR0_NW	BIT_U64(29)
#define X86_CR0_CD	BIT_U64(30)
#define X86_CR0_PG	BIT_U64(31)

#define X86_CR4_VME	BIT_U64(0)
#define X86_CR4_PVI	BIT_U64(1)
#define X86_CR4_TSD	BIT_U64(2)
#define X86_CR4_DE	BIT_U64(3)
#define X86_CR4_PSE	BIT_U64(4)
#define X86_CR4_PAE	BIT_U64(5)
#define X86_CR4_MCE	BIT_U64(6)
#define X86_CR4_PGE	BIT_U64(7)
#define X86_CR4_PCE	BIT_U64(8)
#define X86_CR4_OSFXSR	BIT_U64(9)
#define X86_CR4_OSXMMEXCPT BIT_U64(10)
#define X86_CR4_UMIP	BIT_U64(11)
#define X86_CR4_LA57	BIT_U64(12)
#define X86_CR4_VMXE	BIT_U64(13)
#define X86_CR4_FSGSBASE BIT_U64(16)
#define X86_CR4_PCIDE	BIT_U64(17)
#define X86_CR4_OSXSAVE	BIT_U64(18)
#define X86_CR4_SMEP	BIT_U64(20)
#define X86_CR4_SMAP	BIT_U64(21)
#define X86_CR4_PKE	BIT_U64(22)
#define X86_CR4_PKS	BIT_U64(24)

#define X86_EFER_SCE	BIT_U64(0)
#define X86_EFER_LME	BIT_U64(8)
#define X86_EFER_LMA	BIT_U64(10)
#define X86_EFER_NXE	BIT_U64(11)
#define X86_EFER_SVME	BIT_U64(12)
#define X86_EFER_LMSLE	BIT_U64(13)
#define X86_EFER_FFXSR	BIT_U64(14)

#define X86_FLAG_CF	BIT_U64(0)
#define X86_FLAG_1	BIT_U64(1)	/* reads as one */
#define X86_FLAG_PF	BIT_U64(2)
#define X86_FLAG_AF	BIT_U64(4)
#define X86_FLAG_ZF	BIT_U64(6)
#define X86_FLAG_SF	BIT_U64(7)
#define X86_FLAG_TF	BIT_U64(8)
#define X86_FLAG_IF	BIT_U64(9)
#define X86_FLAG_DF	BIT_U64(10)
#define X86_FLAG_OF	BIT_U64(11)
#define X86_FLAG_IOPL	(3ull << 12)
#define X86_FLAG_NT	BIT_U64(14)
#define X86_FLAG_RF	BIT_U64(16)
#define X86_FLAG_VM	BIT_U64(17)
#define X86_FLAG_AC	BIT_U64(18)
#define X86_FLAG_VIF	BIT_U64(19)
#define X86_FLAG_VIP	BIT_U64(20)
#define X86_FLAG_ID	BIT_U64(21)
#define X86_FLAGS_ARITH	(X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_SF | X86_FLAG_OF)

#define X86_DR6_BREAKPOINTS	0xfull
#define X86_DR6_BD	BIT_U64(13)
#define X86_DR6_BS	BIT_U64(14)
#define X86_DR7_GD	BIT_U64(13)

enum x86_vector {
	X86_DE, X86_DB, X86_NMI, X86_BP, X86_OF, X86_BR, X86_UD, X86_NM, X86_DF,
	X86_TS = 10, X86_NP, X86_SS_FAULT, X86_GP, X86_PF, X86_MF = 16, X86_AC, X86_MC, X86_XM,
	X86_NO_VECTOR = 255,
};

/* Page-fault error code bits. */
#define X86_PF_P	0x01u
#define X86_PF_W	0x02u
#define X86_PF_U	0x04u
#define X86_PF_RSVD	0x08u
#define X86_PF_I	0x10u
#define X86_PF_PK	0x20u

#define X86_MSR_TSC		0x10u
#define X86_MSR_APIC_BASE	0x1bu
#define X86_MSR_TSC_ADJUST	0x3bu
#define X86_MSR_SPEC_CTRL	0x48u
#define X86_MSR_PRED_CMD	0x49u
#define X86_MSR_SYSENTER_CS	0x174u
#define X86_MSR_SYSENTER_ESP	0x175u
#define X86_MSR_SYSENTER_EIP	0x176u
#define X86_MSR_DEBUGCTL	0x1d9u
#define X86_MSR_PAT		0x277u
#define X86_MSR_TSC_DEADLINE	0x6e0u
#define X86_MSR_X2APIC		0x800u
#define X86_MSR_EFER		0xc0000080u
#define X86_MSR_STAR		0xc0000081u
#define X86_MSR_LSTAR		0xc0000082u
#define X86_MSR_CSTAR		0xc0000083u
#define X86_MSR_SFMASK		0xc0000084u
#define X86_MSR_FS_BASE		0xc0000100u
#define X86_MSR_GS_BASE		0xc0000101u
#define X86_MSR_KERNEL_GS_BASE	0xc0000102u
#define X86_MSR_PKRS		0x6e1u
#define X86_MSR_TSC_AUX		0xc0000103u
#define X86_MSR_VM_CR		0xc0010114u
#define X86_MSR_VM_HSAVE_PA	0xc0010117u

#endif
