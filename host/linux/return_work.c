// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * return_work.c - what returning to user space would do, done between guest entries
 *
 * The kernel's function for that tells a vCPU of Linux's KVM if it meets a signal.  Here is
 * one for it to tell, at which nobody looks: host_must_return() finds the signal.
 */
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>

#include "host/linux/compat.h"

static struct kvm_run nobodys_run;
static struct kvm_vcpu nobody = { .run = &nobodys_run };

void compat_return_work(void)
{
	if (__xfer_to_guest_mode_work_pending())
		xfer_to_guest_mode_handle_work(&nobody);
}
