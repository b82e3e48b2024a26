// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vm.c - virtual machines
 *
 * A VM is a set of parts made in an order and unmade in the inverse one.  The first VM
 * checks the back end and readies the processors; the last one to go lets them be.
 *
 * Locking: see vm.h; machines_lock guards the count of VMs and is outermost.
 */
#include "core/vm.h"

#include <linux/errno.h>

static struct host_lock_class vm_lock_class = { .name = "vm" };
static struct host_lock_class machines_lock_class = { .name = "machines" };

static const struct backend *the_backend;
static struct host_mutex machines_lock;
static unsigned machines;

static int cpu_online(unsigned cpu)
{
	(void)cpu;
	return the_backend->cpu_enable();
}

static void cpu_offline(unsigned cpu)
{
	(void)cpu;
	the_backend->cpu_disable();
}

void core_set_backend(const struct backend *be)
{
	if (!the_backend)
		host_mutex_init(&machines_lock, &machines_lock_class);
	the_backend = be;
}

static bool nested_paging = true;

void core_use_nested(bool on)
{
	nested_paging = on;
}

bool core_is_nested(void)
{
	return nested_paging;
}

static int machines_enter(void)
{
	int r = 0;

	if (!the_backend)
		return -EOPNOTSUPP;
	host_mutex_lock(&machines_lock);
	if (!machines) {
		r = the_backend->check();
		if (!r)
			r = host_cpu_hooks(cpu_online, cpu_offline);
	}
	if (!r)
		machines++;
	host_mutex_unlock(&machines_lock);
	return r;
}

static void machines_leave(void)
{
	host_mutex_lock(&machines_lock);
	if (--machines == 0)
		host_cpu_hooks(NULL, NULL);
	host_mutex_unlock(&machines_lock);
}

int vm_create(unsigned long type, struct vm **out)
{
	struct vm *vm;
	int r;

	if (type)
		return -EINVAL;
	r = machines_enter();
	if (r)
		return r;
	r = -ENOMEM;
	vm = host_alloc(sizeof(*vm), 0);
	if (!vm)
		goto leave;
	vm->be = the_backend;
	vm->stat = vm->stat_own;
	host_mutex_init(&vm->lock, &vm_lock_class);
	r = host_srcu_init(&vm->srcu);
	if (r)
		goto free_vm;
	clock_vm_init(vm);
	coalesced_init(vm);
	dirty_ring_vm_init(vm);
	hyperv_vm_init(vm);
	r = mmu_init(vm);
	if (r)
		goto fini_srcu;
	r = vm->be->vm_init(vm);
	if (r)
		goto fini_mmu;
	*out = vm;
	return 0;

fini_mmu:
	mmu_detach(vm);
	mmu_fini(vm);
fini_srcu:
	host_srcu_fini(&vm->srcu);
free_vm:
	host_free(vm);
leave:
	machines_leave();
	return r;
}

void vm_destroy(struct vm *vm)
{
	/* Nothing may reach the vCPUs any more before they go: events first, then chips and memory. */
	eventfd_fini(vm);
	irq_fini(vm);
	mmu_detach(vm);
	for (u32 n = 0; n < vm->vcpu_count; n++)
		vcpu_destroy(vm->vcpus[n]);
	coalesced_fini(vm);
	hyperv_vm_fini(vm);
	iobus_fini(vm);
	vm->be->vm_fini(vm);
	mmu_fini(vm);
	slots_free(vm);
	msr_filter_free(vm);
	host_srcu_fini(&vm->srcu);
	host_free(vm);
	machines_leave();
}

struct vcpu *vm_vcpu_by_id(struct vm *vm, u32 id)
{
	u32 count = atomic_load_acquire(&vm->vcpu_count);

	/* Nearly always a vCPU's number is its place. */
	if (id < count && atomic_load_acquire(&vm->vcpus[id])->id == id)
		return vm->vcpus[id];
	for (u32 n = 0; n < count; n++)
		if (atomic_load_acquire(&vm->vcpus[n])->id == id)
			return vm->vcpus[n];
	return NULL;
}

static bool is_in_guest(struct vcpu *v)
{
	return atomic_load_acquire(&v->mode) != VCPU_OUTSIDE;
}

void vm_request_all(struct vm *vm, enum vcpu_request r, bool wait)
{
	u32 count = atomic_load_acquire(&vm->vcpu_count);

	for (u32 n = 0; n < count; n++)
		vcpu_request(vm->vcpus[n], r);
	for (u32 n = 0; n < count; n++)
		vcpu_kick(vm->vcpus[n]);
	if (!wait)
		return;
	/*
	 * A vCPU that entered after this saw the request; one that was inside leaves soon.
	 * It may come back in between, which does no harm: by then it has seen the request.
	 */
	for (u32 n = 0; n < count; n++)
		while (is_in_guest(vm->vcpus[n]) &&
		       (atomic_load_acquire(&vm->vcpus[n]->requests) & BIT_U64(r)))
			host_yield();
}

void vm_bug(struct vm *vm, const char *file, int line, const char *what)
{
	host_bug(file, line, what);
	atomic_store_release(&vm->dead, 1u);
	for (u32 n = 0; n < atomic_load_acquire(&vm->vcpu_count); n++) {
		vcpu_request(vm->vcpus[n], REQ_DEAD);
		vcpu_kick(vm->vcpus[n]);
	}
}
