// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ioctl.c - dispatch of KVM's ioctls by table
 *
 * A row of ioctl.def says where an ioctl belongs, what crosses and who serves it.  This
 * file copies fixed-size arguments in and out, takes the object's lock and calls the
 * handler; handlers of variable-size arguments (SELF) copy for themselves, each with a
 * maximum, and accept a count of zero.
 *
 * Locking: a vCPU ioctl holds v->lock.  VM ioctls that change configuration take vm->lock
 * in their handler.
 */
#include "api/ioctl.h"

#include <linux/errno.h>
#include <linux/kvm.h>

#include "core/vm.h"
#include "host/host.h"

#define CPUID_MAX	256u	/* KVM_MAX_CPUID_ENTRIES */
#define MSRS_MAX	256u	/* MAX_IO_MSRS */
#define ROUTES_MAX	4096u	/* KVM_MAX_IRQ_ROUTES */
#define COPY_MAX	4096u	/* the largest fixed-size argument: kvm_xsave */

struct call {
	struct vm *vm;
	struct vcpu *v;
	u32 request;
	u64 arg;		/* as the client passed it */
	void *data;		/* IN, OUT, INOUT: the structure */
};

static const struct door *the_door;

void ioctl_set_door(const struct door *door)
{
	the_door = door;
}

static int absent(struct call *c)
{
	(void)c;
	return -ENOTTY;
}

static int absent_einval(struct call *c)
{
	(void)c;
	return -EINVAL;
}

/* --- the system -------------------------------------------------------------- */

static int api_version(struct call *c)
{
	return c->arg ? -EINVAL : KVM_API_VERSION;
}

static int create_vm(struct call *c)
{
	struct vm *vm;
	int r = vm_create(c->arg, &vm);

	if (r)
		return r;
	r = the_door->install_vm(vm);
	if (r < 0)
		vm_destroy(vm);
	return r;
}

static int check_extension(struct call *c)
{
	return c->arg <= ~0u ? vm_capability(c->vm, (u32)c->arg) : 0;
}

static int vcpu_mmap_size(struct call *c)
{
	return c->arg ? -EINVAL : (int)(VCPU_RUN_PAGES * PAGE_BYTES);
}

/* A list of MSR numbers: struct kvm_msr_list, count first, numbers after. */
static int list_get(struct call *c, int (*list)(u32 *indices, u32 *count))
{
	u32 room, count, *indices;
	int r = host_copy_in(&room, c->arg, sizeof(room));

	if (r)
		return r;
	indices = host_alloc(MSRS_MAX * sizeof(*indices), 0);
	if (!indices)
		return -ENOMEM;
	count = MSRS_MAX;
	r = list(indices, &count);
	if (!r)
		r = host_copy_out(c->arg, &count, sizeof(count));
	if (!r && room < count)
		r = -E2BIG;
	if (!r)
		r = host_copy_out(c->arg + sizeof(count), indices, count * sizeof(*indices));
	host_free(indices);
	return r;
}

static int msr_index_list_get(struct call *c)
{
	return list_get(c, msr_index_list);
}

static int msr_feature_list_get(struct call *c)
{
	return list_get(c, msr_feature_list);
}

static int fill_hyperv(struct call *c, struct kvm_cpuid_entry2 *entries, u32 *count)
{
	return hyperv_cpuid_supported(!c->v || c->v->lapic, entries, count);
}

/* Fill a client's struct kvm_cpuid2 from a function that makes up to CPUID_MAX entries. */
static int cpuid_out(struct call *c, int (*fill)(struct call *c, struct kvm_cpuid_entry2 *e, u32 *n))
{
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 *entries;
	u32 count = CPUID_MAX;
	int r = host_copy_in(&head, c->arg, sizeof(head));

	if (r)
		return r;
	entries = host_alloc(CPUID_MAX * sizeof(*entries), 0);
	if (!entries)
		return -ENOMEM;
	r = fill(c, entries, &count);
	if (!r && head.nent < count)
		r = -E2BIG;
	if (!r)
		r = host_copy_out(c->arg + sizeof(head), entries, count * sizeof(*entries));
	if (!r || (r == -E2BIG && c->v && fill != fill_hyperv)) {
		/* KVM_GET_CPUID2 says how many there are even if they do not fit. */
		int copied;

		head.nent = count;
		copied = host_copy_out(c->arg, &head, sizeof(head));
		if (copied)
			r = copied;
	}
	host_free(entries);
	return r;
}

static int fill_supported(struct call *c, struct kvm_cpuid_entry2 *entries, u32 *count)
{
	(void)c;
	return cpuid_supported(entries, count);
}

static int fill_nothing(struct call *c, struct kvm_cpuid_entry2 *entries, u32 *count)
{
	(void)c;
	(void)entries;
	*count = 0;
	return 0;
}

static int supported_hv_cpuid(struct call *c)
{
	return cpuid_out(c, fill_hyperv);
}

static int supported_cpuid(struct call *c)
{
	return cpuid_out(c, fill_supported);
}

/* Nothing is emulated that the processor lacks. */
static int emulated_cpuid(struct call *c)
{
	return cpuid_out(c, fill_nothing);
}

static int mce_cap_supported(struct call *c)
{
	*(u64 *)c->data = VCPU_MCG_CAP | VCPU_MCE_BANKS;
	return 0;
}

/* The one attribute: which XCR0 bits guests can have. */
static int system_attr_has(struct call *c)
{
	const struct kvm_device_attr *a = c->data;

	return !a->group && a->attr == KVM_X86_XCOMP_GUEST_SUPP ? 0 : -ENXIO;
}

static int system_attr_get(struct call *c)
{
	const struct kvm_device_attr *a = c->data;
	u64 xcr0 = cpuid_xcr0_supported();

	return system_attr_has(c) ? -ENXIO : host_copy_out(a->addr, &xcr0, sizeof(xcr0));
}

/* --- MSRs in lists ------------------------------------------------------------- */

/* Stops at the first MSR that is refused; the result is how many were not. */
static int msrs_do(struct call *c, int (*one)(struct call *c, struct kvm_msr_entry *e), bool out)
{
	struct kvm_msrs head;
	struct kvm_msr_entry *entries;
	u64 bytes;
	u32 done = 0;
	int r = host_copy_in(&head, c->arg, sizeof(head));

	if (r)
		return r;
	if (head.nmsrs >= MSRS_MAX)
		return -E2BIG;
	bytes = head.nmsrs * sizeof(*entries);
	entries = host_alloc(bytes + 1, 0);
	if (!entries)
		return -ENOMEM;
	r = host_copy_in(entries, c->arg + sizeof(head), bytes);
	while (!r && done < head.nmsrs && one(c, &entries[done]) == 0)
		done++;
	if (!r && out)
		r = host_copy_out(c->arg + sizeof(head), entries, bytes);
	host_free(entries);
	return r ? r : (int)done;
}

static int one_feature(struct call *c, struct kvm_msr_entry *e)
{
	u64 data = 0;
	int r = msr_feature_get(e->index, &data);

	(void)c;
	e->data = data;
	return r;
}

static int one_get(struct call *c, struct kvm_msr_entry *e)
{
	u64 data = 0;
	int r = msr_get(c->v, e->index, &data, true);

	e->data = data;
	return r;
}

static int one_set(struct call *c, struct kvm_msr_entry *e)
{
	return msr_set(c->v, e->index, e->data, true);
}

static int feature_msrs_get(struct call *c)
{
	return msrs_do(c, one_feature, true);
}

static int msrs_get(struct call *c)
{
	return msrs_do(c, one_get, true);
}

static int msrs_set(struct call *c)
{
	return msrs_do(c, one_set, false);
}

/* --- a VM ---------------------------------------------------------------------- */

/* Run a core function that wants vm->lock. */
#define LOCKED(c, expression) ({ \
	int locked_result_; \
	host_mutex_lock(&(c)->vm->lock); \
	locked_result_ = (expression); \
	host_mutex_unlock(&(c)->vm->lock); \
	locked_result_; })

static int vm_enable_cap(struct call *c)
{
	return LOCKED(c, vm_enable_capability(c->vm, c->data));
}

static int create_vcpu(struct call *c)
{
	void *reserved, *run;
	struct vcpu *v;
	int r;

	if (c->arg > ~0u)
		return -EINVAL;
	r = the_door->vcpu_reserve(&reserved, &run);
	if (r)
		return r;
	r = vcpu_create(c->vm, (u32)c->arg, run, &v);
	if (r) {
		the_door->vcpu_unreserve(reserved);
		return r;
	}
	/* The vCPU is the VM's now and goes with it; so do its pages. */
	return the_door->install_vcpu(v, reserved);
}

static int set_user_memory_region(struct call *c)
{
	return LOCKED(c, slot_set(c->vm, c->data));
}

/* A limit on shadow pages: remembered, as nested paging needs none. */
static int set_nr_mmu_pages(struct call *c)
{
	if (c->arg < 64)
		return -EINVAL;
	atomic_store_relaxed(&c->vm->mmu_pages, c->arg);
	return 0;
}

/* Unless set, KVM's 2 % of the memory, and 64 at least. */
static int get_nr_mmu_pages(struct call *c)
{
	u64 pages, set = atomic_load_relaxed(&c->vm->mmu_pages);

	if (set)
		return (int)(set & 0x7fffffff);
	pages = LOCKED(c, (int)MIN_OF(slot_pages(c->vm) / 50, 0x7fffffffull));
	return (int)MAX_OF(pages, 64u);
}

static int get_dirty_log(struct call *c)
{
	return LOCKED(c, slot_get_dirty(c->vm, c->data));
}

static int clear_dirty_log(struct call *c)
{
	return LOCKED(c, slot_clear_dirty(c->vm, c->data));
}

static int reset_dirty_rings(struct call *c)
{
	return LOCKED(c, dirty_ring_reset(c->vm));
}

static int set_tss_addr(struct call *c)
{
	if (c->arg > 0xffffffffu - 3 * PAGE_BYTES)
		return -EINVAL;
	atomic_store_relaxed(&c->vm->tss_address, c->arg);
	return 0;
}

static int set_identity_map_addr(struct call *c)
{
	u64 address;
	int r;

	if (atomic_load_acquire(&c->vm->vcpu_count))
		return -EINVAL;
	r = host_copy_in(&address, c->arg, sizeof(address));
	if (!r)
		atomic_store_relaxed(&c->vm->identity_map_address, address);
	return r;
}

static int set_boot_cpu_id(struct call *c)
{
	if (atomic_load_acquire(&c->vm->vcpu_count))
		return -EBUSY;
	atomic_store_relaxed(&c->vm->bsp_id, (u32)c->arg);
	return 0;
}

static int create_irqchip(struct call *c)
{
	return LOCKED(c, irq_create_chips(c->vm));
}

static int get_irqchip(struct call *c)
{
	return LOCKED(c, c->vm->irq.pic ? irq_get_chip(c->vm, c->data) : -ENXIO);
}

static int set_irqchip(struct call *c)
{
	return LOCKED(c, c->vm->irq.pic ? irq_set_chip(c->vm, c->data) : -ENXIO);
}

static int irq_line_status(struct call *c)
{
	struct kvm_irq_level *level = c->data;

	if (!irq_chip_in_kernel(c->vm))
		return -ENXIO;
	level->status = irq_line(c->vm, 0, level->irq, level->level != 0);
	return 0;
}

static int irq_line_set(struct call *c)
{
	return irq_line_status(c);
}

static int set_gsi_routing(struct call *c)
{
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry *entries;
	u64 bytes;
	int r = host_copy_in(&head, c->arg, sizeof(head));

	if (r)
		return r;
	if (!irq_chip_in_kernel(c->vm) || head.nr > ROUTES_MAX || head.flags)
		return -EINVAL;
	bytes = head.nr * sizeof(*entries);
	entries = host_alloc(bytes + 1, 0);
	if (!entries)
		return -ENOMEM;
	r = host_copy_in(entries, c->arg + sizeof(head), bytes);
	if (!r)
		r = LOCKED(c, irq_set_routing(c->vm, entries, head.nr, head.flags));
	host_free(entries);
	return r;
}

static int set_msr_filter(struct call *c)
{
	return LOCKED(c, msr_filter_set(c->vm, c->data));
}

#define PMU_EVENTS_MAX 300u

/* There is no counter to filter: it is checked, and then it is kept. */
static int set_pmu_event_filter(struct call *c)
{
	struct kvm_pmu_event_filter f;
	u64 event;
	int r = host_copy_in(&f, c->arg, sizeof(f));

	if (r)
		return r;
	if ((f.action != KVM_PMU_EVENT_ALLOW && f.action != KVM_PMU_EVENT_DENY) || f.flags)
		return -EINVAL;
	if (f.nevents > PMU_EVENTS_MAX)
		return -E2BIG;
	for (u32 n = 0; !r && n < f.nevents; n++)
		r = host_copy_in(&event, c->arg + sizeof(f) + n * sizeof(event), sizeof(event));
	return r;
}

static int signal_msi(struct call *c)
{
	const struct kvm_msi *msi = c->data;

	if (!irq_chip_in_kernel(c->vm) || (msi->flags & ~KVM_MSI_VALID_DEVID))
		return -EINVAL;
	return irq_msi(c->vm, msi);
}

static int irqfd(struct call *c)
{
	return LOCKED(c, eventfd_irqfd(c->vm, c->data));
}

static int ioeventfd(struct call *c)
{
	return LOCKED(c, eventfd_ioeventfd(c->vm, c->data));
}

static int register_coalesced(struct call *c)
{
	return LOCKED(c, coalesced_register(c->vm, c->data));
}

static int unregister_coalesced(struct call *c)
{
	return LOCKED(c, coalesced_unregister(c->vm, c->data));
}

static int hv_eventfd(struct call *c)
{
	return LOCKED(c, hyperv_eventfd(c->vm, c->data));
}

/* The VM's or the vCPU's. */
static int get_stats_fd(struct call *c)
{
	return c->v ? the_door->install_stats(c->vm, c->v) : LOCKED(c, the_door->install_stats(c->vm, NULL));
}

static int create_pit2(struct call *c)
{
	return LOCKED(c, irq_create_pit(c->vm, c->data));
}

static int create_pit(struct call *c)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	return LOCKED(c, irq_create_pit(c->vm, &config));
}

static int get_pit2(struct call *c)
{
	return LOCKED(c, c->vm->irq.pit ? irq_get_pit(c->vm, c->data) : -ENXIO);
}

static int set_pit2(struct call *c)
{
	return LOCKED(c, c->vm->irq.pit ? irq_set_pit(c->vm, c->data) : -ENXIO);
}

/* The older structure is the beginning of the newer one. */
static int get_pit(struct call *c)
{
	struct kvm_pit_state2 state = { 0 };
	int r = LOCKED(c, c->vm->irq.pit ? irq_get_pit(c->vm, &state) : -ENXIO);

	if (!r)
		__builtin_memcpy(c->data, state.channels, sizeof(state.channels));
	return r;
}

static int set_pit(struct call *c)
{
	struct kvm_pit_state2 state = { 0 };

	__builtin_memcpy(state.channels, c->data, sizeof(state.channels));
	return LOCKED(c, c->vm->irq.pit ? irq_set_pit(c->vm, &state) : -ENXIO);
}

static int reinject_control(struct call *c)
{
	struct kvm_reinject_control control;
	int r = host_copy_in(&control, c->arg, sizeof(control));

	return r ? r : LOCKED(c, c->vm->irq.pit ? irq_reinject_control(c->vm, &control) : -ENXIO);
}

static int get_clock(struct call *c)
{
	return clock_get(c->vm, c->data);
}

static int set_clock(struct call *c)
{
	return clock_set(c->vm, c->data);
}

static int vm_set_tsc_khz(struct call *c)
{
	if (c->arg > ~0u || atomic_load_acquire(&c->vm->vcpu_count))
		return -EINVAL;
	if (c->arg && c->arg != host_tsc_khz())
		return -EINVAL;		/* no TSC scaling */
	atomic_store_relaxed(&c->vm->clock.tsc_khz, c->arg ? c->arg : host_tsc_khz());
	return 0;
}

static int vm_get_tsc_khz(struct call *c)
{
	return (int)atomic_load_relaxed(&c->vm->clock.tsc_khz);
}

/* There is no device type of x86's that needs no hardware but VFIO, which has no groups here. */
static int create_device(struct call *c)
{
	(void)c;
	return -ENODEV;
}

/* --- a vCPU -------------------------------------------------------------------- */

static int run(struct call *c)
{
	return c->arg ? -EINVAL : vcpu_run(c->v);
}

#define FORWARD(name, function) \
	static int name(struct call *c) { return function(c->v, c->data); }
FORWARD(get_regs, vcpu_get_regs)
FORWARD(set_regs, vcpu_set_regs)
FORWARD(get_sregs, vcpu_get_sregs)
FORWARD(set_sregs, vcpu_set_sregs)
FORWARD(get_sregs2, vcpu_get_sregs2)
FORWARD(set_sregs2, vcpu_set_sregs2)
FORWARD(get_fpu, vcpu_get_fpu)
FORWARD(set_fpu, vcpu_set_fpu)
FORWARD(get_xcrs, vcpu_get_xcrs)
FORWARD(set_xcrs, vcpu_set_xcrs)
FORWARD(get_debugregs, vcpu_get_debugregs)
FORWARD(set_debugregs, vcpu_set_debugregs)
FORWARD(get_events, vcpu_get_events)
FORWARD(set_events, vcpu_set_events)
FORWARD(get_mp_state, vcpu_get_mp_state)
FORWARD(set_mp_state, vcpu_set_mp_state)
FORWARD(set_guest_debug, vcpu_set_guest_debug)
FORWARD(translate, vcpu_translate)
FORWARD(set_mce, vcpu_set_mce)

static int get_lapic(struct call *c)
{
	return c->v->lapic ? lapic_get(c->v, c->data) : -EINVAL;
}

static int set_lapic(struct call *c)
{
	struct kvm_lapic_state *state;
	int r;

	if (!c->v->lapic)
		return -EINVAL;
	state = host_alloc(sizeof(*state), 0);
	if (!state)
		return -ENOMEM;
	r = host_copy_in(state, c->arg, sizeof(*state));
	if (!r)
		r = lapic_set(c->v, state);
	host_free(state);
	return r;
}

static int get_xsave(struct call *c)
{
	return vcpu_get_xsave(c->v, c->data, sizeof(struct kvm_xsave));
}

/* KVM_CHECK_EXTENSION(KVM_CAP_XSAVE2) says how large the client's buffer is. */
static u32 xsave_bytes(struct call *c)
{
	int bytes = vm_capability(c->vm, KVM_CAP_XSAVE2);

	return bytes > (int)sizeof(struct kvm_xsave) ? (u32)bytes : (u32)sizeof(struct kvm_xsave);
}

static int get_xsave2(struct call *c)
{
	u32 bytes = xsave_bytes(c);
	void *buffer = host_alloc(bytes, 0);
	int r;

	if (!buffer)
		return -ENOMEM;
	r = vcpu_get_xsave(c->v, buffer, bytes);
	if (!r)
		r = host_copy_out(c->arg, buffer, bytes);
	host_free(buffer);
	return r;
}

static int set_xsave(struct call *c)
{
	u32 bytes = xsave_bytes(c);
	void *buffer = host_alloc(bytes, 0);
	int r;

	if (!buffer)
		return -ENOMEM;
	r = host_copy_in(buffer, c->arg, bytes);
	if (!r)
		r = vcpu_set_xsave(c->v, buffer, bytes);
	host_free(buffer);
	return r;
}

static int cpuid_set(struct call *c)
{
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 *entries;
	u64 bytes;
	int r = host_copy_in(&head, c->arg, sizeof(head));

	if (r)
		return r;
	if (head.nent > CPUID_MAX)
		return -E2BIG;
	bytes = head.nent * sizeof(*entries);
	entries = host_alloc(bytes + 1, 0);
	if (!entries)
		return -ENOMEM;
	r = host_copy_in(entries, c->arg + sizeof(head), bytes);
	if (!r)
		r = vcpu_set_cpuid(c->v, entries, head.nent);
	host_free(entries);
	return r;
}

/* KVM_SET_CPUID, of before subleaves. */
static int cpuid_set_old(struct call *c)
{
	struct kvm_cpuid head;
	struct kvm_cpuid_entry *old;
	struct kvm_cpuid_entry2 *entries;
	int r = host_copy_in(&head, c->arg, sizeof(head));

	if (r)
		return r;
	if (head.nent > CPUID_MAX)
		return -E2BIG;
	old = host_alloc(head.nent * sizeof(*old) + 1, 0);
	entries = host_alloc(head.nent * sizeof(*entries) + 1, 0);
	r = old && entries ? host_copy_in(old, c->arg + sizeof(head), head.nent * sizeof(*old)) : -ENOMEM;
	for (u32 n = 0; !r && n < head.nent; n++)
		entries[n] = (struct kvm_cpuid_entry2){
			.function = old[n].function, .eax = old[n].eax, .ebx = old[n].ebx,
			.ecx = old[n].ecx, .edx = old[n].edx };
	if (!r)
		r = vcpu_set_cpuid(c->v, entries, head.nent);
	host_free(entries);
	host_free(old);
	return r;
}

static int fill_vcpu(struct call *c, struct kvm_cpuid_entry2 *entries, u32 *count)
{
	return vcpu_get_cpuid(c->v, entries, count);
}

static int cpuid_get(struct call *c)
{
	return cpuid_out(c, fill_vcpu);
}

static int get_nested_state(struct call *c)
{
	return nested_state_get(c->v, c->arg);
}

static int set_nested_state(struct call *c)
{
	return nested_state_set(c->v, c->arg);
}

static int interrupt(struct call *c)
{
	return vcpu_interrupt(c->v, ((struct kvm_interrupt *)c->data)->irq);
}

static int nmi(struct call *c)
{
	event_nmi(c->v);
	return 0;
}

static int smi(struct call *c)
{
	smm_request(c->v);
	return 0;
}

/* Signals are the doors' affair: each answers this by itself. */
static int set_signal_mask(struct call *c)
{
	(void)c;
	return -ENOTTY;
}

static int vcpu_set_tsc(struct call *c)
{
	return c->arg > ~0u ? -EINVAL : vcpu_set_tsc_khz(c->v, (u32)c->arg);
}

static int vcpu_get_tsc(struct call *c)
{
	return (int)c->v->tsc_khz;
}

static int tpr_access_reporting(struct call *c)
{
	return ((const struct kvm_tpr_access_ctl *)c->data)->flags ? -EINVAL : 0;
}

/* Where a 32-bit guest's TPR is to be kept: not used, but it must be memory. */
static int set_vapic_addr(struct call *c)
{
	u64 gpa;
	u32 word;
	int r;

	if (!c->v->lapic)
		return -EINVAL;
	r = host_copy_in(&gpa, c->arg, sizeof(gpa));
	if (r)
		return r;
	return gpa && guest_read(c->vm, gpa, &word, sizeof(word)) ? -EINVAL : 0;
}

static int setup_mce(struct call *c)
{
	return vcpu_setup_mce(c->v, *(u64 *)c->data);
}

static int vcpu_enable_cap(struct call *c)
{
	return vcpu_enable_capability(c->v, c->data);
}

static int kvmclock_ctrl(struct call *c)
{
	return clock_guest_paused(c->v);
}

static bool is_tsc_offset(const struct kvm_device_attr *a)
{
	return a->group == KVM_VCPU_TSC_CTRL && a->attr == KVM_VCPU_TSC_OFFSET;
}

static int vcpu_attr_has(struct call *c)
{
	return is_tsc_offset(c->data) ? 0 : -ENXIO;
}

static int vcpu_attr_get(struct call *c)
{
	const struct kvm_device_attr *a = c->data;

	return is_tsc_offset(a) ? host_copy_out(a->addr, &c->v->tsc_offset, sizeof(u64)) : -ENXIO;
}

static int vcpu_attr_set(struct call *c)
{
	const struct kvm_device_attr *a = c->data;
	u64 offset;
	int r;

	if (!is_tsc_offset(a))
		return -ENXIO;
	r = host_copy_in(&offset, a->addr, sizeof(offset));
	if (!r)
		clock_tsc_offset_set(c->v, offset);
	return r;
}

/* --- the table ----------------------------------------------------------------- */

enum argument { VALUE = 0, IN = 1, OUT = 2, INOUT = 3, SELF = 4 };

struct row {
	u32 request;
	u8 argument;
	int (*serve)(struct call *c);
};

#define SYSTEM(name, argument, handler) { name, argument, handler },
#define VM(name, argument, handler)
#define VCPU(name, argument, handler)
static const struct row system_rows[] = {
#include "api/ioctl.def"
};
#undef SYSTEM
#undef VM
#define SYSTEM(name, argument, handler)
#define VM(name, argument, handler) { name, argument, handler },
static const struct row vm_rows[] = {
#include "api/ioctl.def"
};
#undef VM
#undef VCPU
#define VM(name, argument, handler)
#define VCPU(name, argument, handler) { name, argument, handler },
static const struct row vcpu_rows[] = {
#include "api/ioctl.def"
};

static const struct row *row_find(const struct row *rows, unsigned count, u32 request)
{
	for (unsigned n = 0; n < count; n++)
		if (rows[n].request == request)
			return &rows[n];
	return NULL;
}

static int serve(const struct row *row, struct call *c)
{
	u64 inlined[COPY_MAX / sizeof(u64) / 8];
	u32 bytes = (row->request >> 16) & 0x3fff;	/* _IOC_SIZE */
	int r = 0;

	if (row->argument == VALUE || row->argument == SELF)
		return row->serve(c);
	c->data = bytes <= sizeof(inlined) ? inlined : host_alloc(bytes, 0);
	if (!c->data)
		return -ENOMEM;
	if (row->argument & IN)
		r = host_copy_in(c->data, c->arg, bytes);
	else
		__builtin_memset(c->data, 0, bytes);
	if (!r)
		r = row->serve(c);
	if (r >= 0 && (row->argument & OUT)) {
		int copied = host_copy_out(c->arg, c->data, bytes);

		r = copied ? copied : r;
	}
	if (c->data != inlined)
		host_free(c->data);
	return r;
}

int ioctl_on(struct vm *vm, struct vcpu *v, u32 request, u64 arg)
{
	struct call c = { .vm = vm, .v = v, .request = request, .arg = arg };
	const struct row *row;
	int r;

	if (v)
		row = row_find(vcpu_rows, ARRAY_LEN(vcpu_rows), request);
	else if (vm)
		row = row_find(vm_rows, ARRAY_LEN(vm_rows), request);
	else
		row = row_find(system_rows, ARRAY_LEN(system_rows), request);
	if (vm && atomic_load_acquire(&vm->dead))
		return -EIO;
	if (!row)
		return !vm ? -EINVAL : v ? -EINVAL : -ENOTTY;
	if (!v)
		return serve(row, &c);
	r = host_mutex_lock_killable(&v->lock);
	if (r)
		return r;
	r = serve(row, &c);
	host_mutex_unlock(&v->lock);
	return r;
}
