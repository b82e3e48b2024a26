/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vcpu.h - a virtual processor
 *
 * Locking: v->lock is held by the ioctl in progress on this vCPU (KVM_RUN included) and
 * guards everything not marked otherwise.  Fields marked [any] are atomics that any
 * context may touch.  Order: vm->lock before v->lock before irq locks before host spins.
 */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H

#include <linux/kvm.h>

#include "base/atomic.h"
#include "core/backend.h"
#include "core/dirty_ring.h"
#include "core/emulate.h"
#include "core/fpu.h"
#include "core/hyperv.h"
#include "core/nested.h"
#include "core/shadow.h"
#include "core/smm.h"
#include "host/host.h"
#include "x86/exec.h"

struct lapic;

/* v->stat[] */
enum vcpu_stat {
#define VM_STAT(name)
#define VCPU_STAT(name) VCPU_STAT_##name,
#include "core/stat.def"
#undef VM_STAT
#undef VCPU_STAT
	VCPU_STATS
};
BUILD_ASSERT(VCPU_STATS <= 64);
#define VCPU_COUNT(v, name) ((void)(v)->stat[VCPU_STAT_##name]++)

/* v->requests: things to do before the guest is entered again */
enum vcpu_request {
	REQ_EVENT,		/* an interrupt or other event may be deliverable */
	REQ_TLB_FLUSH,		/* guest-physical mappings went away */
	REQ_MMU_ROOT,		/* the nested page table's root changed */
	REQ_CLOCK_UPDATE,	/* write the kvmclock page anew */
	REQ_STEAL_UPDATE,
	REQ_TRIPLE_FAULT,
	REQ_NMI,
	REQ_SMI,
	REQ_EXIT,		/* return to the client */
	REQ_IOAPIC_EOI,		/* tell the client about EOIs (split irqchip) */
	REQ_HV_STIMER,		/* core/hyperv.h: a timer is due */
	REQ_HV_EXIT,		/* ... the client is to know of hv->exit, */
	REQ_HV_CRASH,		/* a crash, */
	REQ_HV_RESET,		/* a wish to be reset */
	REQ_DEAD,		/* the VM is broken: KVM_RUN answers -EIO */
};

enum vcpu_mode { VCPU_OUTSIDE, VCPU_IN_GUEST, VCPU_EXITING };

/* The event queue, as KVM_GET_VCPU_EVENTS describes it. */
struct vcpu_events {
	struct { bool pending, injected, has_error, has_payload; u8 vector; u32 error; u64 payload; } exception;
	struct { bool injected, soft; u8 vector; u64 next_rip; } interrupt;
	struct { bool injected; u32 pending; /* [any] */ } nmi;
	bool triple_fault;
};

/* State of a client's KVM_RUN between exit and re-entry; all plain data (RELIABILITY R17). */
enum vcpu_completion { COMPLETE_NOTHING, COMPLETE_IO, COMPLETE_EMULATE, COMPLETE_MSR_READ,
		       COMPLETE_MSR_WRITE, COMPLETE_HYPERCALL, COMPLETE_HLT };

#define VCPU_MCE_BANKS	32u
#define VCPU_MCG_CAP	(BIT_U64(24) | BIT_U64(8))	/* MCG_SER_P, MCG_CTL_P can be had */
#define VCPU_MTRRS	8u	/* variable ranges */

struct vcpu {
	struct vm *vm;
	u32 id;			/* the client's: also the initial APIC id */
	u32 index;		/* in vm->vcpus[] */
	struct host_mutex lock;
	struct kvm_run *run;	/* shared with the client: hostile.  Followed by the PIO page */
	void *pio_page;		/* at KVM_PIO_PAGE_OFFSET of the mapping */

	u64 requests;		/* [any] bit enum vcpu_request */
	u32 mode;		/* [any] enum vcpu_mode */
	u32 cpu;		/* [any] the host processor it is on, ~0u if none */
	struct host_wait wait;	/* a halted vCPU sleeps here */
	u32 mp_state;		/* [any] KVM_MP_STATE_* */
	u32 pv_unhalted;	/* [any] another vCPU's KVM_HC_KICK_CPU: HLT ends */
	u32 pending_init, pending_sipi; /* [any] INIT received; SIPI vector | 0x100 */

	struct x86 x;		/* registers; which groups are current: regs_valid, regs_dirty */
	u64 regs_valid, regs_dirty;	/* REGS_*: in x; newer in x than in the back end */
	void *backend;		/* svm's or vmx's part */

	struct vcpu_events events;
	struct emulate emulate;	/* an instruction under emulation */
	enum vcpu_completion completion;
	struct { u16 port; u8 bytes, count_done; bool in, string; u32 count; u64 rip, next_rip; } io;
	struct { u32 index; u64 data; u64 next_rip; } msr_exit;
	struct { bool is_64bit; u64 next_rip; } hypercall;
	int srcu_cookie;	/* of vm->srcu, held while KVM_RUN handles things */
	int run_result;		/* what KVM_RUN is going to return */

	struct kvm_cpuid_entry2 *cpuid;	/* sorted as the client gave it */
	u32 cpuid_count;

	struct fpu_state *fpu;	/* guest XSAVE area, core/fpu.h; current after fpu_settle() */
	bool fpu_is_live;	/* the state is in the registers of the thread in KVM_RUN */
	u64 guest_xcr0_allowed;
	u64 xss;

	struct lapic *lapic;	/* NULL without an in-kernel one */
	u64 apic_base;
	u64 cr8;		/* without an in-kernel LAPIC */

	/* time */
	u64 tsc_offset, tsc_adjust, tsc_khz;
	u64 system_time_msr, steal_time_msr, async_pf_msr, async_pf_vector, eoi_msr;
	u64 run_delay;		/* the thread's wait when steal time was last told */
	bool eoi_offered;	/* core/pv.h */
	bool pv_enforced;	/* KVM_CAP_ENFORCE_PV_FEATURE_CPUID */

	u64 misc_enable, power_ctl, debugctl, mcg_status, mcg_cap, mcg_ctl, spec_ctrl;
	u64 mce_bank[VCPU_MCE_BANKS * 4];	/* CTL STATUS ADDR MISC of each */
	struct { u64 default_type, fixed[11], variable[2 * VCPU_MTRRS]; } mtrr;
	u64 hwcr, microcode_revision, osvw_length, osvw_status, arch_capabilities, smbase;
	struct vcpu_smm smm;
	struct hyperv_vcpu *hv;
	u64 poll_control, nb_cfg_ecs, bu_cfg2, platform_info, misc_features;
	u8  ioapic_eoi_vector;	/* with REQ_IOAPIC_EOI */
	s32 external_vector;	/* split irqchip: from the client's PIC; -1 if none */
	u32 guest_debug;	/* KVM_GUESTDBG_* */
	u64 guest_debug_dr[8];
	u64 eff_dr[8];

	struct dirty_ring dirty_ring;
	u32 last_slot;		/* where vcpu_slot_find() ended; below SLOT_COUNT */
	struct shadow shadow;	/* without nested paging; with it, of L2 */
	struct vcpu_nested nested;

	bool launched;		/* has been run: CPUID is frozen */
	u64 *stat;		/* by enum vcpu_stat, core/stat.def; stat_own, or what a door shows */
	u64 stat_own[64];
};

/* Ask for something before the next entry; does not wake or kick.  [any] */
static inline void vcpu_request(struct vcpu *v, enum vcpu_request r)
{
	atomic_fetch_or(&v->requests, BIT_U64(r));
}

/* Was it asked for?  Clears it.  [any] */
static inline bool vcpu_request_take(struct vcpu *v, enum vcpu_request r)
{
	if (!(atomic_load_acquire(&v->requests) & BIT_U64(r)))
		return false;
	atomic_fetch_and(&v->requests, ~BIT_U64(r));
	return true;
}

/* Make it look at its requests soon: out of the guest, or out of its sleep.  [any] */
void vcpu_kick(struct vcpu *v);

/*
 * vm->lock is not held.  run: VCPU_RUN_PAGES zeroed pages that the door shares with the
 * client and keeps until after vcpu_destroy(): struct kvm_run, the PIO page, the ring of
 * coalesced MMIO.  0 and *v, -EEXIST, -EINVAL, -ENOMEM.  [sleep]
 */
#define VCPU_RUN_PAGES	3u
#define VCPU_RING_PAGE	2u	/* of them: the ring, which is the VM's, of its first vCPU */
int  vcpu_create(struct vm *vm, u32 id, void *run, struct vcpu **v);
void vcpu_destroy(struct vcpu *v);		/* [sleep] after its last use */
void vcpu_reset(struct vcpu *v, bool init);	/* [sleep] power-up, or INIT */

/* INIT and SIPI that other processors sent.  v->lock held.  [sleep] */
void vcpu_apic_events_accept(struct vcpu *v);

/* KVM_RUN: 0 with run->exit_reason, -EINTR, -errno.  v->lock held.  [sleep] */
int  vcpu_run(struct vcpu *v);

/* Make these groups of v->x current; about to change these groups (implies current). */
void vcpu_regs_need(struct vcpu *v, u64 groups);
void vcpu_regs_dirty(struct vcpu *v, u64 groups);

/* Queue an exception for the guest (event.c): combines with what is in flight. */
void event_exception(struct vcpu *v, unsigned vector, bool has_error, u32 error);
void event_page_fault(struct vcpu *v, u64 address, u32 error);
void event_nmi(struct vcpu *v);			/* [any] */

/* CR8 of the LAPIC, or the vCPU's own without one; 1 is #GP. */
u64  vcpu_cr8_get(struct vcpu *v);
int  vcpu_cr8_set(struct vcpu *v, u64 cr8);
/* Is it executing 64-bit code?  Brings the segments and control registers in. */
bool vcpu_is_64bit_code(struct vcpu *v);
/* RIP to past the instruction; 0: its length is asked of the decoder.  Ends the shadow. */
void vcpu_skip(struct vcpu *v, u64 next_rip);

/* Register ioctls (regs.c).  v->lock held.  0 or -EINVAL. */
int  vcpu_get_regs(struct vcpu *v, struct kvm_regs *regs);
int  vcpu_set_regs(struct vcpu *v, const struct kvm_regs *regs);
int  vcpu_get_sregs(struct vcpu *v, struct kvm_sregs *sregs);
int  vcpu_set_sregs(struct vcpu *v, const struct kvm_sregs *sregs);
int  vcpu_get_sregs2(struct vcpu *v, struct kvm_sregs2 *sregs);
int  vcpu_set_sregs2(struct vcpu *v, const struct kvm_sregs2 *sregs);
int  vcpu_get_fpu(struct vcpu *v, struct kvm_fpu *fpu);
int  vcpu_set_fpu(struct vcpu *v, const struct kvm_fpu *fpu);
/* size: of the buffer, sizeof(struct kvm_xsave) or KVM_CAP_XSAVE2's */
int  vcpu_get_xsave(struct vcpu *v, void *buffer, u32 size);
int  vcpu_set_xsave(struct vcpu *v, const void *buffer, u32 size);
int  vcpu_get_xcrs(struct vcpu *v, struct kvm_xcrs *xcrs);
int  vcpu_set_xcrs(struct vcpu *v, const struct kvm_xcrs *xcrs);
int  vcpu_get_debugregs(struct vcpu *v, struct kvm_debugregs *d);
int  vcpu_set_debugregs(struct vcpu *v, const struct kvm_debugregs *d);
int  vcpu_get_events(struct vcpu *v, struct kvm_vcpu_events *e);
int  vcpu_set_events(struct vcpu *v, const struct kvm_vcpu_events *e);
int  vcpu_get_mp_state(struct vcpu *v, struct kvm_mp_state *s);
int  vcpu_set_mp_state(struct vcpu *v, const struct kvm_mp_state *s);
int  vcpu_set_guest_debug(struct vcpu *v, const struct kvm_guest_debug *d);
int  vcpu_translate(struct vcpu *v, struct kvm_translation *t);
int  vcpu_interrupt(struct vcpu *v, u32 vector);	/* KVM_INTERRUPT, no in-kernel irqchip */
int  vcpu_set_tsc_khz(struct vcpu *v, u32 khz);
int  vcpu_setup_mce(struct vcpu *v, u64 cap);		/* mce.c */
int  vcpu_set_mce(struct vcpu *v, const struct kvm_x86_mce *mce);
/* KVM_ENABLE_CAP on a vCPU (capability.c).  -EINVAL if unknown. */
int  vcpu_enable_capability(struct vcpu *v, const struct kvm_enable_cap *cap);

/* CPUID (cpuid.c) */
int  cpuid_supported(struct kvm_cpuid_entry2 *entries, u32 *count);	/* -E2BIG */
int  vcpu_set_cpuid(struct vcpu *v, const struct kvm_cpuid_entry2 *entries, u32 count);
int  vcpu_get_cpuid(struct vcpu *v, struct kvm_cpuid_entry2 *entries, u32 *count);
void cpuid_execute(struct vcpu *v, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
const struct kvm_cpuid_entry2 *cpuid_find(struct vcpu *v, u32 leaf, u32 subleaf);
bool cpuid_has(struct vcpu *v, unsigned feature);	/* enum x86_feature */
void cpuid_update_runtime(struct vcpu *v);	/* CR4, XCR0 or the APIC base changed */
u64  cpuid_xcr0_supported(void);		/* what any guest may be given */

/* MSRs (msr.c).  host: from the client, which may do more.  0, or 1: #GP (KVM_GET_MSRS stops). */
int  msr_get(struct vcpu *v, u32 index, u64 *data, bool host);
int  msr_set(struct vcpu *v, u32 index, u64 data, bool host);
int  msr_index_list(u32 *indices, u32 *count);		/* KVM_GET_MSR_INDEX_LIST: -E2BIG */
int  msr_feature_list(u32 *indices, u32 *count);
int  msr_feature_get(u32 index, u64 *data);

#endif
