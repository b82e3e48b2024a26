// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * call.c - calls of the library in progress, which nothing cuts short
 *
 * A kernel runs no signal handler inside a system call: the call returns first.  Programs rely
 * on it: handlers leave by longjmp() or pthread_exit(), or call ioctl() on the same vCPU, and
 * threads are cancelled asynchronously while their guest runs.  Here a call is the
 * thread's own code, with locks held.  So a handler that finds itself inside one sends its
 * signal to the thread once more, blocked until the call is over; and cancellation is disabled.
 *
 * Faults (SIGSEGV and its kin, by an instruction) are not held: they are about that instruction.
 */
#include "api/lib/call.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "host/posix/posix.h"

/* The calling thread's; its signal handlers look at it. */
static __thread struct {
	u32 depth;		/* calls in progress, one inside the other */
	u64 held;		/* bit n - 1: signal n is pending and blocked, by call_hold() */
	int cancel_state, cancel_type;	/* the program's */
} self __attribute__((tls_model("initial-exec")));

static void enter(void)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &self.cancel_state);
	self.cancel_type = PTHREAD_CANCEL_DEFERRED;
	atomic_store_seq(&self.depth, 1u);
}

static void leave(void)
{
	u64 held;
	int was;

	atomic_store_seq(&self.depth, 0u);
	held = atomic_exchange(&self.held, 0ull);
	if (UNLIKELY(held)) {
		sigset_t set;

		sigemptyset(&set);
		memcpy(&set, &held, sizeof(held));	/* the kernel's set is the first word of the C library's */
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	}
	/* The type last: its function is the one that looks whether we are to go. */
	pthread_setcancelstate(self.cancel_state, &was);
	if (UNLIKELY(self.cancel_type != PTHREAD_CANCEL_DEFERRED))
		pthread_setcanceltype(self.cancel_type, &was);
}

/* Is the thread to be gone as soon as cancellation is not disabled? */
static bool go_at_once(void)
{
	if (self.cancel_state != PTHREAD_CANCEL_DISABLE)
		pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &self.cancel_type);
	return self.cancel_type != PTHREAD_CANCEL_DEFERRED;
}

void call_begin(void)
{
	if (self.depth)
		atomic_store_relaxed(&self.depth, self.depth + 1);
	else
		enter();
}

void call_end(void)
{
	if (self.depth > 1) {
		atomic_store_relaxed(&self.depth, self.depth - 1);
		return;
	}
	if (UNLIKELY(self.cancel_type != PTHREAD_CANCEL_DEFERRED))
		host_posix_cancellable(false);
	leave();
}

void call_is_run(void)
{
	if (LIKELY(!go_at_once()))
		return;
	host_posix_cancellable(true);
	/* Who cancelled us before that did not know that we have to be told: this is the time to go. */
	leave();
	enter();
	go_at_once();
}

bool signal_requeue(int number, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;
	int error = errno;
	bool sent;
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, number);
	pthread_sigmask(SIG_BLOCK, &one, NULL);		/* SA_NODEFER: not while this handler runs either */
	sent = !syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), number, info);
	if (sent)
		sigaddset(&interrupted->uc_sigmask, number);
	errno = error;
	return sent;
}

/* By an instruction, which would do it again. */
static bool is_fault(int number, const siginfo_t *info)
{
	return info->si_code > 0 && (number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
				     number == SIGTRAP || number == SIGSYS);
}

bool call_hold(int number, siginfo_t *info, void *context)
{
	if (!atomic_load_relaxed(&self.depth) || is_fault(number, info) || !signal_requeue(number, info, context))
		return false;
	atomic_fetch_or(&self.held, BIT_U64(number - 1));
	return true;
}
