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

#include <pthread.h>
#include <signal.h>
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

/* Is this descriptor a handle of ours?  Takes no lock: async-signal-safe. */
AKVM_API int akvm_is_handle(int fd);

/* Like fcntl(handle, F_DUPFD, least), with flags O_CLOEXEC like F_DUPFD_CLOEXEC. */
AKVM_API int akvm_dup(int handle, int least, int flags);

/* Like dup3(2), where from, to, both or neither are handles. */
AKVM_API int akvm_dup3(int from, int to, int flags);

/*
 * The program is about to change, and has changed, what is mapped at these addresses:
 * munmap(2), mremap(2), mprotect(2) or mmap(2) with MAP_FIXED of memory that may be behind a
 * memory slot while vCPUs run.  In between they stay away from it; afterwards they find what
 * is there, and KVM_RUN returns -EFAULT if that is nothing.  Not for signal handlers.
 */
AKVM_API void akvm_remap_begin(const void *address, size_t bytes);
AKVM_API void akvm_remap_end(const void *address, size_t bytes);

/*
 * Make the KVM_RUN in progress on the calling thread, if there is one, return -EINTR
 * soon.  Async-signal-safe: meant to be called from a signal handler.
 */
AKVM_API void akvm_interrupt(void);

/*
 * The same with what the handler, installed with SA_SIGINFO, was given.  1: a call of this library
 * is in progress on this thread, and the signal comes again when it has returned, or, if only
 * KVM_SET_SIGNAL_MASK let it through, is pending then; this handler has nothing more to do.
 * 0: nothing is in progress, and the handler may do what it likes: call the library, longjmp().
 */
AKVM_API int akvm_interrupt_by(int number, siginfo_t *info, void *context);

/*
 * This thread has been cancelled (pthread_cancel(3)).  Threads are not cancelled inside a call of
 * this library, but when it returns; KVM_RUN of a thread whose cancellation is asynchronous returns
 * soon.  Not for signal handlers.
 */
AKVM_API void akvm_interrupt_thread(pthread_t thread);

#ifdef __cplusplus
}
#endif
#endif
