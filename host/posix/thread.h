/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * thread.h - what host/posix knows of each thread, and its innermost lock
 *
 * Thread-local storage is of the initial-exec kind, so that a signal handler may use it:
 * the other kind may allocate at first use.
 */
#ifndef HOST_POSIX_THREAD_H
#define HOST_POSIX_THREAD_H

#include "base/atomic.h"
#include "host/posix/posix.h"

#define HOST_CPUS	4096u	/* threads that can be processors at the same time */
#define HOST_NEVER	(~0ull)	/* a deadline */

/* A lock of one word that spins a little and then sleeps; zero is unlocked. */
struct posix_lock { u32 state; };

#define MUST_RETURN_SIGNAL	1u	/* host_posix_interrupt() was here */
#define MUST_RETURN_CANCELLED	2u	/* host_posix_interrupt_thread() was */

struct posix_thread {
	u32  cpu_plus_1;	/* its number as a processor; 0: none yet */
	u32  pinned;		/* nesting depth of host_pin() */
	u32  spins;		/* spinlocks held */
	bool irq_off;
	bool in_timer;		/* running a timer's callback */
	u32  must_return;	/* bits; signal handlers write it */
	u32  cancellable;	/* host_posix_cancellable() */
	u32 *waiting_on;	/* the futex word this thread may be about to sleep on; ... */
	struct posix_lock waiting;	/* ... stays in use while another thread holds this */
	u32  mxcsr;		/* the caller's, from host_fpu_begin() to host_fpu_end() */
	u16  fpu_control;
	bool in_fpu;
	u32  fail_allocation;	/* host_posix_fail_allocation() */
};

extern __thread struct posix_thread posix_self __attribute__((tls_model("initial-exec")));

/* Context checks: called at the head of functions marked [sleep] and [atomic]. */
extern bool posix_checking;
void posix_check_sleep(const char *function);
void posix_check_atomic(const char *function);

#define MAY_SLEEP() do { if (UNLIKELY(posix_checking)) posix_check_sleep(__func__); } while (0)
#define MAY_ATOMIC() do { if (UNLIKELY(posix_checking)) posix_check_atomic(__func__); } while (0)

/* Sleep while *word is value, at most until deadline; may return early for no reason. */
void posix_futex_wait(u32 *word, u32 value, u64 deadline);
void posix_futex_wake(u32 *word, int threads);

void posix_lock(struct posix_lock *l);
void posix_unlock(struct posix_lock *l);

/*
 * Sleep until another thread calls posix_signal_all(); l is released meanwhile.  There
 * are spurious returns.
 */
struct posix_signal { u32 sequence, sleepers; };
void posix_signal_wait(struct posix_signal *s, struct posix_lock *l, u64 deadline);
void posix_signal_all(struct posix_signal *s);

/* Start a thread that serves the whole process and never ends, with all signals blocked. */
void posix_daemon(const char *name, void *(*fn)(void *));

#endif
