/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm.h - the door through which the machine uses a KVM API
 *
 * There are two: the kernel's /dev/kvm, and libanykvm in this process.  The calls, their
 * structures and their numbers are the same, so everything else is one code path.
 */
#ifndef VMM_KVM_H
#define VMM_KVM_H

#include "base/types.h"

struct kvm_door {
	const char *name;	/* as --accel names it */
	int (*open)(void);	/* a system handle or -errno */
	int (*ioctl)(int handle, unsigned long request, unsigned long arg);	/* >= 0 or -errno */
	void *(*mmap)(int handle, size_t bytes, long offset); /* NULL on failure */
	int (*close)(int handle);
	/* In a signal handler: make the KVM_RUN on this thread return -EINTR. */
	void (*interrupt)(void);
};

extern const struct kvm_door kvm_kernel;	/* /dev/kvm */
extern const struct kvm_door kvm_library;	/* libanykvm */

/* What was found out about a door by looking at it and running a small loop behind it. */
struct kvm_probe {
	int error;		/* 0, or why it cannot be used: -errno of the step below */
	const char *step;	/* what was tried when error happened */
	int api;		/* KVM_GET_API_VERSION */
	int vcpus;		/* KVM_CAP_MAX_VCPUS */
	char signature[13];	/* CPUID leaf 0x40000000, or "" */
	u64 instructions;	/* of one round of a guest kernel-mode loop ... */
	u64 elapsed_ns;		/* ... and the time of the fastest round */
};

/* Look through `door`; takes at most a few 100 ms.  probe->error says whether it is usable. */
void kvm_probe_run(const struct kvm_door *door, struct kvm_probe *probe);

/* Guest kernel-mode instructions a second, in millions. */
u64 kvm_probe_mips(const struct kvm_probe *probe);

/* Is this hardware running the guest, or something that interprets it slower than we would? */
bool kvm_probe_is_fast(const struct kvm_probe *probe);

/*
 * What --accel auto uses: /dev/kvm if a probe of it, written to *kernel, is usable and fast,
 * else the library.  *why is a phrase for people.
 */
const struct kvm_door *kvm_choose(struct kvm_probe *kernel, const char **why);

#endif
