// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvm_library.c - the library's door, and the choice between the two
 */
#include "vmm/kvm.h"

#include <errno.h>

#include "anykvm.h"

const struct kvm_door kvm_library = {
	"soft", akvm_open, akvm_ioctl, akvm_mmap, akvm_close, akvm_interrupt,
};

const struct kvm_door *kvm_choose(struct kvm_probe *kernel, const char **why)
{
	kvm_probe_run(&kvm_kernel, kernel);
	if (kvm_probe_is_fast(kernel)) {
		*why = "/dev/kvm works and runs guest kernel code on hardware";
		return &kvm_kernel;
	}
	if (kernel->error == -ENOENT)
		*why = "there is no /dev/kvm";
	else if (kernel->error == -EACCES || kernel->error == -EPERM)
		*why = "/dev/kvm may not be opened by this user";
	else if (kernel->error)
		*why = "/dev/kvm does not run guests";
	else
		*why = "/dev/kvm interprets guest kernel code, slower than our own processor would";
	return &kvm_library;
}
