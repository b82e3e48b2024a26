/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * posix.h - what host/posix offers to the doors of the library, besides host.h
 *
 * A thread that calls host_pin() is a processor: it gets a number, which it keeps until
 * it exits.  What a processor is made of is not known here: insn/soft says how to
 * interrupt one, and registers that once.
 */
#ifndef HOST_POSIX_POSIX_H
#define HOST_POSIX_POSIX_H

#include <pthread.h>

#include "host/host.h"

/* The interrupt pin of each processor. */
struct host_posix_processor {
	void (*kick)(unsigned cpu);	/* raise it: from any thread, and from a signal handler */
	void (*ack)(unsigned cpu);	/* lower it: from the processor's own thread */
};

/* Before any vCPU runs; ops stays valid for ever. */
void host_posix_set_processor(const struct host_posix_processor *ops);

/*
 * Make the calling thread's host_must_return() true, end its host_wait_until() with -EINTR,
 * and bring it out of guest mode.  Async-signal-safe: this is for signal handlers.
 */
void host_posix_interrupt(void);

/* The request has been answered: KVM_RUN returned. */
void host_posix_interrupt_clear(void);

/*
 * The same for another thread, if it said that it is to be told of its cancellation.  Saying so
 * again forgets what was told before.  [sleep]
 */
void host_posix_interrupt_thread(pthread_t thread);
void host_posix_cancellable(bool on);

/*
 * The program changes its mappings in a range: every attached space's invalidate_begin() and
 * invalidate_end().  Each end pairs with the last begin.  [sleep]
 */
void host_posix_remap_begin(u64 start, u64 end);
void host_posix_remap_end(u64 start, u64 end);

/*
 * Check the contexts that host.h marks ([any], [atomic], [sleep]) and abort on a mistake,
 * as on host_bug().  Also set by ANYKVM_CHECK=1 in the environment.
 */
void host_posix_check(bool on);

/* For tests: the calling thread's n-th host_alloc() or host_alloc_pages() from now on fails, once.  0: none. */
void host_posix_fail_allocation(u32 n);

#endif
