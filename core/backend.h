/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backend.h - the contract between the hypervisor and a way to enter guests
 *
 * A back end (svm/, later vmx/) moves a vCPU's registers in bulk between struct vcpu's
 * x and its own control block, enters the guest, and reports each exit in one neutral
 * form.  core/run.c has the one switch over it.
 *
 * At most 40 operations; CI counts them.
 */
#ifndef CORE_BACKEND_H
#define CORE_BACKEND_H

#include "base/types.h"
#include "core/nested.h"
#include "x86/exec.h"

struct vm;
struct vcpu;

/* Groups of registers that cross the boundary together. */
#define REGS_GPR	BIT_U64(0)	/* gpr[], rip, rflags: always in vcpu->x after an exit */
#define REGS_SEG	BIT_U64(1)	/* seg[], gdtr, idtr, cpl */
#define REGS_CR		BIT_U64(2)	/* cr0 cr2 cr3 cr4 efer */
#define REGS_DR		BIT_U64(3)
#define REGS_SYSCALL	BIT_U64(4)	/* STAR... KERNEL_GS_BASE, SYSENTER_*, PAT */
#define REGS_ALL	0x1full

enum exit_kind {
	EXIT_NOTHING,		/* the back end dealt with it, or an interrupt of the host's */
	EXIT_IRQ_WINDOW, EXIT_NMI_WINDOW,
	EXIT_EXCEPTION,		/* vector, error, address */
	EXIT_MEMORY,		/* a guest-physical address is not mapped as needed */
	EXIT_IO, EXIT_MSR_READ, EXIT_MSR_WRITE, EXIT_CPUID, EXIT_HLT, EXIT_PAUSE,
	EXIT_CR_READ, EXIT_CR_WRITE, EXIT_DR, EXIT_INVLPG, EXIT_INVD, EXIT_XSETBV, EXIT_RDPMC,
	EXIT_HYPERCALL, EXIT_MONITOR, EXIT_MWAIT, EXIT_TASK_SWITCH, EXIT_IRET, EXIT_RSM,
	EXIT_EMULATE,		/* run the instruction through the emulator */
	EXIT_NESTED,		/* an instruction for hypervisors: nested_execute() */
	EXIT_UD,		/* an instruction this guest does not have: inject #UD */
	EXIT_SHUTDOWN,		/* triple fault */
	EXIT_INIT,
	EXIT_FAIL_ENTRY,	/* the processor refused the state: hardware_reason */
};

struct exit {
	enum exit_kind kind;
	u64 next_rip;		/* 0: not known, decode to skip */
	u8  bytes[15], byte_count;	/* the instruction, if the processor said */
	union {
		struct { u8 vector; bool has_error; u32 error; u64 address; } exception;
		struct {
			gpa_t gpa;
			u32 access;		/* X86_READ, X86_WRITE, X86_FETCH, X86_USER */
			bool present;		/* mapped, but not for this access */
			bool table_walk;	/* while walking the guest's page tables */
		} memory;
		struct { u16 port; u8 bytes, ad_bytes, seg; bool in, string, rep; } io;
		struct { u8 number, gpr; bool gpr_known; } cr;
		struct { u64 linear; bool known; } invlpg;
		struct { u16 selector; u8 reason; bool has_error; u32 error; } task;
		u64 hardware_reason;
	};
};

/* An event on its way into the guest: at most one at a time is in flight. */
struct backend_event {
	u8  type;		/* enum x86_event_type */
	u8  vector;
	bool has_error;
	u32 error;
	u64 next_rip;		/* X86_EVENT_SOFT: what the handler returns to */
};

struct backend {
	const char *name;	/* "svm" */

	/* [sleep] 0, -EOPNOTSUPP without the hardware, -EBUSY if somebody else uses it */
	int  (*check)(void);
	/* [atomic] on each processor before its first guest, and after its last */
	int  (*cpu_enable)(void);
	void (*cpu_disable)(void);

	int  (*vm_init)(struct vm *vm);			/* [sleep] */
	void (*vm_fini)(struct vm *vm);			/* [sleep] */
	int  (*vcpu_init)(struct vcpu *v);		/* [sleep] */
	void (*vcpu_fini)(struct vcpu *v);		/* [sleep] */

	/* Bring groups of registers into v->x, or take them from there.  [any] vCPU loaded or not */
	void (*regs_get)(struct vcpu *v, u64 groups);
	void (*regs_set)(struct vcpu *v, u64 groups);

	/* [atomic] v runs on this processor now, or no longer does */
	void (*vcpu_load)(struct vcpu *v);
	void (*vcpu_put)(struct vcpu *v);

	/* [atomic] interrupts off: enter the guest, come back, say why */
	void (*run)(struct vcpu *v, struct exit *e);

	/* Events.  inject is for the next run; inflight is what an exit interrupted. */
	void (*inject)(struct vcpu *v, const struct backend_event *event);
	bool (*inflight)(struct vcpu *v, struct backend_event *event);
	bool (*irq_allowed)(struct vcpu *v);	/* IF set, no shadow, GIF */
	bool (*nmi_allowed)(struct vcpu *v);
	void (*irq_window)(struct vcpu *v, bool wanted);
	void (*nmi_window)(struct vcpu *v, bool wanted);
	u8   (*shadow_get)(struct vcpu *v);	/* 0, KVM_X86_SHADOW_INT_STI or _MOV_SS */
	void (*shadow_set)(struct vcpu *v, u8 shadow);
	bool (*nmi_masked_get)(struct vcpu *v);
	void (*nmi_masked_set)(struct vcpu *v, bool masked);

	void (*cr8_sync)(struct vcpu *v);	/* TPR or pending interrupts changed */

	/* Recompute what is intercepted from v and v->vm: CPUID, debugging, MSR filter, ... */
	void (*intercepts_update)(struct vcpu *v);

	void (*mmu_root_set)(struct vcpu *v, hpa_t root, unsigned levels);
	void (*tlb_flush)(struct vcpu *v);
	void (*tsc_offset_set)(struct vcpu *v, u64 offset);
	/* msr_filter_allows() answers anew; NULL if every access comes to core.  vm->lock held */
	void (*msr_filter_update)(struct vm *vm);

	/*
	 * Guests that are hypervisors (core/nested.h).  [sleep], inside vm->srcu.
	 * The exit is L1's, and has been taken to it?  Only while L2 runs.
	 */
	bool (*nested_exit)(struct vcpu *v, const struct exit *e);
	int  (*nested_execute)(struct vcpu *v, const struct exit *e);	/* EXIT_NESTED: 0, -ENOMEM */
	/* Does L1 want to know?  Then it runs now: true.  Only while L2 runs. */
	bool (*nested_event)(struct vcpu *v, enum nested_event what);
	/* L2 sleeps in HLT: has L1 given it an interrupt that it takes?  Only while L2 runs. */
	bool (*nested_wakes)(struct vcpu *v);
	/* L2 causes an exception: is it an exit to L1?  Then that is put in store.  [any] */
	bool (*nested_exception)(struct vcpu *v, unsigned vector, u32 error, u64 address);
	/* L1's tables have no translation for an access of L2: puts an exit in store. */
	void (*nested_fault)(struct vcpu *v, gpa_t gpa, u32 error);
	void (*nested_leave)(struct vcpu *v);		/* [any] L2 is gone, GIF is set */
	void (*nested_get)(struct vcpu *v, struct kvm_nested_state *state);
	int  (*nested_set)(struct vcpu *v, const struct kvm_nested_state *state);	/* -EINVAL, -ENOMEM */
	/*
	 * An SMI while L2 runs: L1's registers are v->x then, and what they were for L1's memory to
	 * keep, with *vmcb12 the rest.  RSM: L2 runs again, whose registers are to be loaded then.
	 * False: L1's memory does not do.
	 */
	bool (*nested_smi)(struct vcpu *v, gpa_t *vmcb12);
	bool (*nested_rsm)(struct vcpu *v, gpa_t vmcb12);
};

#endif
