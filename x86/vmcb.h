/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmcb.h - the virtual machine control block of AMD-V
 *
 * Names are AMD's.  Reference: AMD64 Architecture Programmer's Manual vol. 2, "Layout of
 * VMCB", "SVM Intercept Exit Codes".
 */
#ifndef X86_VMCB_H
#define X86_VMCB_H

#include "base/types.h"
#include "x86/cpu.h"

/* Intercept bits: word * 32 + bit of intercept[]. */
#define VMCB_INTERCEPT_CR_READ(n)	(n)
#define VMCB_INTERCEPT_CR_WRITE(n)	(16 + (n))
#define VMCB_INTERCEPT_DR_READ(n)	(32 + (n))
#define VMCB_INTERCEPT_DR_WRITE(n)	(48 + (n))
#define VMCB_INTERCEPT_EXCEPTION(v)	(64 + (v))
enum vmcb_intercept {
	VMCB_INTERCEPT_INTR = 96, VMCB_INTERCEPT_NMI, VMCB_INTERCEPT_SMI, VMCB_INTERCEPT_INIT,
	VMCB_INTERCEPT_VINTR, VMCB_INTERCEPT_CR0_SEL_WRITE,
	VMCB_INTERCEPT_IDTR_READ, VMCB_INTERCEPT_GDTR_READ, VMCB_INTERCEPT_LDTR_READ, VMCB_INTERCEPT_TR_READ,
	VMCB_INTERCEPT_IDTR_WRITE, VMCB_INTERCEPT_GDTR_WRITE, VMCB_INTERCEPT_LDTR_WRITE, VMCB_INTERCEPT_TR_WRITE,
	VMCB_INTERCEPT_RDTSC, VMCB_INTERCEPT_RDPMC, VMCB_INTERCEPT_PUSHF, VMCB_INTERCEPT_POPF,
	VMCB_INTERCEPT_CPUID, VMCB_INTERCEPT_RSM, VMCB_INTERCEPT_IRET, VMCB_INTERCEPT_INTN,
	VMCB_INTERCEPT_INVD, VMCB_INTERCEPT_PAUSE, VMCB_INTERCEPT_HLT, VMCB_INTERCEPT_INVLPG,
	VMCB_INTERCEPT_INVLPGA, VMCB_INTERCEPT_IOIO_PROT, VMCB_INTERCEPT_MSR_PROT,
	VMCB_INTERCEPT_TASK_SWITCH, VMCB_INTERCEPT_FERR_FREEZE, VMCB_INTERCEPT_SHUTDOWN,
	VMCB_INTERCEPT_VMRUN, VMCB_INTERCEPT_VMMCALL, VMCB_INTERCEPT_VMLOAD, VMCB_INTERCEPT_VMSAVE,
	VMCB_INTERCEPT_STGI, VMCB_INTERCEPT_CLGI, VMCB_INTERCEPT_SKINIT, VMCB_INTERCEPT_RDTSCP,
	VMCB_INTERCEPT_ICEBP, VMCB_INTERCEPT_WBINVD, VMCB_INTERCEPT_MONITOR, VMCB_INTERCEPT_MWAIT,
	VMCB_INTERCEPT_MWAIT_ARMED, VMCB_INTERCEPT_XSETBV, VMCB_INTERCEPT_RDPRU, VMCB_INTERCEPT_EFER_TRAP,
	VMCB_INTERCEPT_CR_WRITE_TRAP_0,
	VMCB_INTERCEPT_INVLPGB = 160, VMCB_INTERCEPT_INVLPGB_ILLEGAL, VMCB_INTERCEPT_INVPCID,
	VMCB_INTERCEPT_MCOMMIT, VMCB_INTERCEPT_TLBSYNC,
	VMCB_INTERCEPT_WORDS = 6
};

/* The first page half: controls.  Layout is the hardware's; padding is reserved, zero. */
struct vmcb_control {
	u32 intercept[VMCB_INTERCEPT_WORDS];	/* 000h */
	u8  reserved_18[0x3c - 0x18];
	u16 pause_filter_threshold;		/* 03Ch */
	u16 pause_filter_count;			/* 03Eh */
	u64 iopm_base_pa;			/* 040h 12 KiB of port bits */
	u64 msrpm_base_pa;			/* 048h 8 KiB of MSR bit pairs */
	u64 tsc_offset;				/* 050h */
	u32 asid;				/* 058h */
	u8  tlb_control;			/* 05Ch VMCB_TLB_* */
	u8  reserved_5d[3];
	u64 int_ctl;				/* 060h VMCB_INT_CTL_* and V_TPR, V_INTR_VECTOR */
	u64 int_state;				/* 068h bit 0: interrupt shadow; bit 1: GUEST_INTERRUPT_MASK */
	u64 exitcode;				/* 070h */
	u64 exitinfo1;				/* 078h */
	u64 exitinfo2;				/* 080h */
	u64 exitintinfo;			/* 088h */
	u64 nested_ctl;				/* 090h bit 0: NP_ENABLE */
	u64 avic_apic_bar;			/* 098h */
	u64 ghcb_gpa;				/* 0A0h */
	u64 eventinj;				/* 0A8h */
	u64 n_cr3;				/* 0B0h */
	u64 virt_ext;				/* 0B8h bit 0: LBR, bit 1: virtual VMLOAD/VMSAVE */
	u32 clean;				/* 0C0h */
	u32 reserved_c4;
	u64 next_rip;				/* 0C8h */
	u8  fetched;				/* 0D0h how many guest instruction bytes follow, 0..15 */
	u8  instruction[15];			/* 0D1h */
	u8  reserved_e0[0x400 - 0xe0];
};

struct vmcb_save {				/* at 400h */
	struct x86_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8  reserved_a0[0xcb - 0xa0];
	u8  cpl;				/* 0CBh */
	u32 reserved_cc;
	u64 efer;				/* 0D0h */
	u8  reserved_d8[0x148 - 0xd8];
	u64 cr4, cr3, cr0, dr7, dr6;		/* 148h */
	u64 rflags, rip;			/* 170h */
	u8  reserved_180[0x1d8 - 0x180];
	u64 rsp;				/* 1D8h */
	u64 s_cet, ssp, isst_addr;
	u64 rax;				/* 1F8h */
	u64 star, lstar, cstar, sfmask, kernel_gs_base;	/* 200h */
	u64 sysenter_cs, sysenter_esp, sysenter_eip;	/* 228h */
	u64 cr2;				/* 240h */
	u8  reserved_248[0x268 - 0x248];
	u64 g_pat;				/* 268h */
	u64 dbgctl, br_from, br_to, lastexcpfrom, lastexcpto;	/* 270h */
	u8  reserved_298[0x2e0 - 0x298];
	u64 spec_ctrl;				/* 2E0h */
	u8  reserved_2e8[0xc00 - 0x2e8];
};

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};
BUILD_ASSERT(sizeof(struct vmcb_control) == 0x400);
BUILD_ASSERT(sizeof(struct vmcb) == PAGE_BYTES);
BUILD_ASSERT(offsetof(struct vmcb_control, eventinj) == 0xa8);
BUILD_ASSERT(offsetof(struct vmcb_control, fetched) == 0xd0);
BUILD_ASSERT(offsetof(struct vmcb_save, cpl) == 0xcb);
BUILD_ASSERT(offsetof(struct vmcb_save, cr4) == 0x148);
BUILD_ASSERT(offsetof(struct vmcb_save, rsp) == 0x1d8);
BUILD_ASSERT(offsetof(struct vmcb_save, rax) == 0x1f8);
BUILD_ASSERT(offsetof(struct vmcb_save, cr2) == 0x240);
BUILD_ASSERT(offsetof(struct vmcb_save, g_pat) == 0x268);

#define VMCB_TLB_NOTHING	0
#define VMCB_TLB_FLUSH_ALL	1
#define VMCB_TLB_FLUSH_ASID	3
#define VMCB_TLB_FLUSH_ASID_LOCAL 7

#define VMCB_INT_CTL_V_TPR	0xffull
#define VMCB_INT_CTL_V_IRQ	BIT_U64(8)
#define VMCB_INT_CTL_VGIF	BIT_U64(9)
#define VMCB_INT_CTL_V_NMI	BIT_U64(11)
#define VMCB_INT_CTL_V_NMI_MASK	BIT_U64(12)
#define VMCB_INT_CTL_PRIO_SHIFT	16
#define VMCB_INT_CTL_PRIO	(0xfull << VMCB_INT_CTL_PRIO_SHIFT)
#define VMCB_INT_CTL_IGN_TPR	BIT_U64(20)
#define VMCB_INT_CTL_MASKING	BIT_U64(24)
#define VMCB_INT_CTL_VGIF_ENABLE BIT_U64(25)
#define VMCB_INT_CTL_V_NMI_ENABLE BIT_U64(26)
#define VMCB_INT_CTL_AVIC	BIT_U64(31)
#define VMCB_INT_CTL_VECTOR_SHIFT 32

#define VMCB_INT_STATE_SHADOW	BIT_U64(0)
#define VMCB_INT_STATE_MASK	BIT_U64(1)

#define VMCB_NP_ENABLE		BIT_U64(0)

/* EVENTINJ and EXITINTINFO; TYPE is enum x86_event_type. */
#define VMCB_EVENT_VECTOR	0xffull
#define VMCB_EVENT_TYPE_SHIFT	8
#define VMCB_EVENT_TYPE(e)	(((e) >> VMCB_EVENT_TYPE_SHIFT) & 7)
#define VMCB_EVENT_EV		BIT_U64(11)	/* the error code is valid */
#define VMCB_EVENT_V		BIT_U64(31)
#define VMCB_EVENT_ERROR_SHIFT	32

/* IOIO EXITINFO1 */
#define VMCB_IOIO_IN		BIT_U64(0)
#define VMCB_IOIO_STR		BIT_U64(2)
#define VMCB_IOIO_REP		BIT_U64(3)
#define VMCB_IOIO_SIZE_SHIFT	4		/* SZ8, SZ16, SZ32: bits 4..6, one hot = bytes */
#define VMCB_IOIO_ADDR_SHIFT	7		/* A16, A32, A64: bits 7..9, one hot = bytes / 2 */
#define VMCB_IOIO_SEG_SHIFT	10
#define VMCB_IOIO_PORT_SHIFT	16

/* NPF EXITINFO1: the page-fault bits and */
#define VMCB_NPF_FINAL		BIT_U64(32)	/* translating the guest's final address */
#define VMCB_NPF_TABLE		BIT_U64(33)	/* translating a guest page-table address */

enum vmcb_exit {
	VMEXIT_CR0_READ = 0x000, VMEXIT_CR0_WRITE = 0x010, VMEXIT_DR0_READ = 0x020,
	VMEXIT_DR0_WRITE = 0x030, VMEXIT_EXCP0 = 0x040,
	VMEXIT_INTR = 0x060, VMEXIT_NMI, VMEXIT_SMI, VMEXIT_INIT, VMEXIT_VINTR, VMEXIT_CR0_SEL_WRITE,
	VMEXIT_IDTR_READ, VMEXIT_GDTR_READ, VMEXIT_LDTR_READ, VMEXIT_TR_READ,
	VMEXIT_IDTR_WRITE, VMEXIT_GDTR_WRITE, VMEXIT_LDTR_WRITE, VMEXIT_TR_WRITE,
	VMEXIT_RDTSC, VMEXIT_RDPMC, VMEXIT_PUSHF, VMEXIT_POPF, VMEXIT_CPUID, VMEXIT_RSM,
	VMEXIT_IRET, VMEXIT_SWINT, VMEXIT_INVD, VMEXIT_PAUSE, VMEXIT_HLT, VMEXIT_INVLPG,
	VMEXIT_INVLPGA, VMEXIT_IOIO, VMEXIT_MSR, VMEXIT_TASK_SWITCH, VMEXIT_FERR_FREEZE,
	VMEXIT_SHUTDOWN, VMEXIT_VMRUN, VMEXIT_VMMCALL, VMEXIT_VMLOAD, VMEXIT_VMSAVE,
	VMEXIT_STGI, VMEXIT_CLGI, VMEXIT_SKINIT, VMEXIT_RDTSCP, VMEXIT_ICEBP, VMEXIT_WBINVD,
	VMEXIT_MONITOR, VMEXIT_MWAIT, VMEXIT_MWAIT_CONDITIONAL, VMEXIT_XSETBV, VMEXIT_RDPRU,
	VMEXIT_EFER_WRITE_TRAP, VMEXIT_CR0_WRITE_TRAP,
	VMEXIT_INVLPGB = 0x0a0, VMEXIT_INVLPGB_ILLEGAL, VMEXIT_INVPCID, VMEXIT_MCOMMIT, VMEXIT_TLBSYNC,
	VMEXIT_NPF = 0x400,
};
#define VMEXIT_INVALID	(~0ull)

#endif
