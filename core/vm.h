/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm.h - a virtual machine: its vCPUs, memory and interrupt wiring
 *
 * Locking: vm->lock guards the configuration (slots, vCPU creation, interrupt chips,
 * capabilities).  What running vCPUs read (slots, routing, I/O buses) is published by
 * pointer and read inside vm->srcu; single words of the configuration, which a client may
 * change while they run, are atomic.  Order: vm->lock, v->lock, then mmu.lock; irq locks
 * (PIC, IOAPIC, LAPIC) are spins and innermost.
 */
#ifndef CORE_VM_H
#define CORE_VM_H

#include <linux/kvm.h>

#include "base/atomic.h"
#include "core/clock.h"
#include "core/coalesced.h"
#include "core/dirty_ring.h"
#include "core/iobus.h"
#include "core/irq.h"
#include "core/mmu.h"
#include "core/msr_filter.h"
#include "core/slot.h"
#include "core/vcpu.h"
#include "host/host.h"

#define VM_MAX_VCPUS	256u
#define VM_MAX_VCPU_ID	4096u
#define VM_RECOMMENDED_VCPUS 64u

/* vm->stat[] */
enum vm_stat {
#define VM_STAT(name) VM_STAT_##name,
#define VCPU_STAT(name)
#include "core/stat.def"
#undef VM_STAT
#undef VCPU_STAT
	VM_STATS
};
BUILD_ASSERT(VM_STATS <= 32);

struct vm {
	struct host_mutex lock;
	struct host_srcu srcu;
	const struct backend *be;
	void *backend;			/* the back end's part */

	u32 vcpu_count;			/* [any] grows only */
	struct vcpu *vcpus[VM_MAX_VCPUS];	/* [any] published with release */
	u32 bsp_id;			/* KVM_SET_BOOT_CPU_ID */

	struct slots *slots;		/* [srcu] core/slot.h */
	struct mmu mmu;			/* core/mmu.h */
	struct iobus *bus[IOBUS_KINDS];	/* [srcu] core/iobus.h */
	struct irq_vm irq;		/* chips and routing, core/irq.h */
	struct eventfd_vm *eventfds;	/* irqfds and ioeventfds, core/eventfd.c */
	struct clock_vm clock;		/* core/clock.h */
	struct coalesced_vm coalesced;	/* core/coalesced.h */
	struct hyperv_vm hv;		/* core/hyperv.h */
	struct dirty_ring_vm dirty;	/* core/dirty_ring.h */

	void *space;			/* host_space_attach() */
	u64 tss_address, identity_map_address;
	u32 dead;			/* [any] VM_BUG happened */
	u64 quirks_disabled;
	bool exit_on_emulation_failure, triple_fault_event, platform_info_hidden;
	bool exception_payload, user_msr_exits_enabled, split_irqchip, x2apic_32bit, x2apic_no_quirk;
	u32 user_msr_exit_reasons;
	struct msr_filter *msr_filter;	/* [srcu] core/msr_filter.c */
	u32 bus_lock_exit, notify;
	u32 disabled_exits;		/* KVM_X86_DISABLE_EXITS_* */
	u32 max_vcpu_ids;
	u64 mmu_pages;			/* KVM_SET_NR_MMU_PAGES; 0: not set */
	u64 *stat;			/* by enum vm_stat, core/stat.def; stat_own, or what a door shows */
	u64 stat_own[32];
};

/* [sleep] type is KVM_CREATE_VM's.  0 and *vm, -EINVAL, -ENOMEM, -EOPNOTSUPP. */
int  vm_create(unsigned long type, struct vm **vm);
void vm_destroy(struct vm *vm);			/* [sleep] after its last handle is closed */

/* [mmu lock]  The counts may move to what a door shows at any time. */
static inline void vm_stat_add(struct vm *vm, enum vm_stat n, u64 more)
{
	u64 *at = &atomic_load_acquire(&vm->stat)[n];

	atomic_store_relaxed(at, *at + more);
}

/* Has the client switched the behaviour KVM_X86_QUIRK_* off? */
static inline bool vm_quirk_is_off(const struct vm *vm, u64 quirk)
{
	return atomic_load_relaxed(&vm->quirks_disabled) & quirk;
}

/* KVM_CHECK_EXTENSION: 0 if absent.  vm may be NULL.  [sleep] */
int  vm_capability(struct vm *vm, u32 capability);
/* KVM_ENABLE_CAP on a VM.  -EINVAL if unknown. */
int  vm_enable_capability(struct vm *vm, const struct kvm_enable_cap *cap);

/* The vCPU with this id, or NULL.  [any] */
struct vcpu *vm_vcpu_by_id(struct vm *vm, u32 id);

/* Ask every vCPU, kick each, and with wait until all have left the guest.  [sleep if wait] */
void vm_request_all(struct vm *vm, enum vcpu_request r, bool wait);

/* A broken invariant: this machine stops, the host goes on.  [any] */
void vm_bug(struct vm *vm, const char *file, int line, const char *what);
#define VM_BUG(vm, cond) ((cond) ? (vm_bug(vm, __FILE__, __LINE__, #cond), true) : false)

/* Choose the back end for VMs created from now on: called once by the door. */
void core_set_backend(const struct backend *be);
/*
 * Nested paging for VMs created from now on, or shadow tables?  True at first; the door may
 * say false, as may a back end whose processor has none.  [any]
 */
void core_use_nested(bool on);
bool core_is_nested(void);

/* Call this at each exit, before it is dealt with; set before the first vCPU runs. */
struct exit;
typedef void core_exit_trace_fn(const struct vcpu *v, const struct exit *e);
void core_set_exit_trace(core_exit_trace_fn *fn);

#endif
