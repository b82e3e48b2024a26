// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * core.c - what the door of the module asks of core
 */
#include "api/linux/module.h"

#include "core/stats.h"
#include "core/vm.h"

BUILD_ASSERT(DOOR_RUN_PAGES == VCPU_RUN_PAGES);
BUILD_ASSERT(DOOR_RING_PAGE == VCPU_RING_PAGE);

void door_vm_destroy(struct vm *vm)
{
	vm_destroy(vm);
}

struct vm *door_vcpu_vm(struct vcpu *v)
{
	return v->vm;
}

void door_set_backend(const struct backend *be)
{
	core_set_backend(be);
}

void door_use_nested(bool on)
{
	core_use_nested(on);
}

void door_allow_nesting(bool on)
{
	core_allow_nesting(on);
}

bool door_is_nested(void)
{
	return core_is_nested();
}

int door_check_backend(const struct backend *be)
{
	return be->check();
}

void *door_vm_ring(struct vm *vm)
{
	return vm->coalesced.ring;
}

void door_set_run_delay(u64 (*run_delay)(void))
{
	clock_set_run_delay(run_delay);
}

u32 door_stats_bytes(const struct vcpu *v)
{
	return stats_bytes(v);
}

void door_stats_read(const struct vm *vm, const struct vcpu *v, void *file)
{
	stats_describe(v, file);
	stats_copy(vm, v, (u64 *)((u8 *)file + stats_counts_at(v)));
}

void *door_dirty_ring(struct vcpu *v, u64 bytes)
{
	return bytes <= v->vm->dirty.bytes ? v->dirty_ring.entries : NULL;
}
