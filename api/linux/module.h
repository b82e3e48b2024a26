/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * module.h - between the doors of the modules, which see the kernel's headers, and core,
 * whose names for the processor's bits collide with the kernel's
 */
#ifndef API_LINUX_MODULE_H
#define API_LINUX_MODULE_H

#include "base/types.h"

struct backend;
struct module;
struct vcpu;
struct vm;

/* core.c: what the door asks of core.  [sleep] */
void door_vm_destroy(struct vm *vm);
struct vm *door_vcpu_vm(struct vcpu *v);
void door_set_backend(const struct backend *be);
int  door_check_backend(const struct backend *be);
void door_use_nested(bool on);
void door_allow_nesting(bool on);
bool door_is_nested(void);
#define DOOR_RING_PAGE 2u	/* core/vcpu.h's VCPU_RING_PAGE */
void *door_vm_ring(struct vm *vm);
/* v's dirty ring, contiguous pages, if it has this many bytes; else NULL. */
void *door_dirty_ring(struct vcpu *v, u64 bytes);
void door_set_run_delay(u64 (*run_delay)(void));
/* The file of statistics, in bytes, and all of it as it is now; v NULL: the VM's. */
u32  door_stats_bytes(const struct vcpu *v);
void door_stats_read(const struct vm *vm, const struct vcpu *v, void *file);
#define DOOR_RUN_PAGES 3u	/* core/vcpu.h's VCPU_RUN_PAGES */

/*
 * device.c, for vendor modules: /dev/kvm appears, whose machines be runs and which keeps
 * owner loaded; and goes.  0, -EBUSY if another vendor module has it, -errno.  [sleep]
 */
int  door_linux_open(const struct backend *be, struct module *owner);
void door_linux_close(void);

#endif
