/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * anykvm.h - the KVM API as a library
 *
 * The calls, structures and numbers are those of <linux/kvm.h>; only the door differs:
 * akvm_open() instead of open("/dev/kvm"), akvm_ioctl() instead of ioctl(), and so on.
 * Handles are real file descriptors of this process (so that they are unique, poll and
 * close on exec), but the kernel's ioctl() does not know them.  Every call returns
 * -errno on failure and is safe from any thread.
 *
 * KVM_RUN runs the guest on the calling thread.  A signal handler that wants it to
 * return calls akvm_interrupt() or sets kvm_run.immediate_exit.
 */
#ifndef ANYKVM_H
#define ANYKVM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AKVM_API __attribute__((visibility("default")))

/* Like open("/dev/kvm", O_RDWR | O_CLOEXEC): a system handle, or -errno. */
AKVM_API int akvm_open(void);

/* Like ioctl(2) on a system, VM, vCPU or device handle; arg is what ioctl's third is. */
AKVM_API int akvm_ioctl(int handle, unsigned long request, unsigned long arg);

/*
 * Like mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, handle, offset) on a vCPU
 * handle: the kvm_run structure (size from KVM_GET_VCPU_MMAP_SIZE).  NULL on failure.
 * Undone by munmap(2).
 */
AKVM_API void *akvm_mmap(int handle, size_t bytes, long offset);

/* Like close(2).  A VM lives until its last handle, vCPUs' included, is closed. */
AKVM_API int akvm_close(int handle);

/*
 * Make the KVM_RUN in progress on the calling thread, if there is one, return -EINTR
 * soon.  Async-signal-safe: meant to be called from a signal handler.
 */
AKVM_API void akvm_interrupt(void);

#ifdef __cplusplus
}
#endif
#endif
