// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * core.c - what the door of the module asks of core
 */
#include "api/linux/module.h"

#include "core/vm.h"

BUILD_ASSERT(DOOR_RUN_PAGES == VCPU_RUN_PAGES);

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
