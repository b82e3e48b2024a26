/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioctl.h - the KVM API behind every door
 *
 * A door (library, device node, preload shim) owns handles and their lifetimes; it finds
 * the object that a handle stands for and calls ioctl_on().  What the dispatcher needs of
 * the door is struct door.
 */
#ifndef API_IOCTL_H
#define API_IOCTL_H

#include "base/types.h"

struct vm;
struct vcpu;

struct door {
	/*
	 * A new handle that stands for vm or for v, or -errno.  Installing it is the last
	 * thing done to a new object: another thread may use it at once.
	 */
	int (*install_vm)(struct vm *vm);
	int (*install_vcpu)(struct vcpu *v, void *reserved);
	/* A handle to read statistics from (core/stats.h); v NULL: the VM's.  -errno */
	int (*install_stats)(struct vm *vm, struct vcpu *v);
	/*
	 * What a vCPU's handle takes, so that installing it does not fail: 0 or -errno.  *run
	 * are the pages of vcpu_create().  Undone if there is no vCPU to install.
	 */
	int (*vcpu_reserve)(void **reserved, void **run);
	void (*vcpu_unreserve)(void *reserved);
};
void ioctl_set_door(const struct door *door);

/*
 * What the object is: vm and v NULL for the system, v NULL for a VM.  arg is the third
 * argument of ioctl(2).  Returns what ioctl(2) does, with -errno for errors.  [sleep]
 */
int ioctl_on(struct vm *vm, struct vcpu *v, u32 request, u64 arg);

#endif
