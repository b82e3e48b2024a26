// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * signals.c - the program's signal handlers, which end a KVM_RUN in progress
 *
 * In a kernel a signal brings a vCPU's thread out of its guest, and KVM_RUN is over before the
 * handler runs.  Here on_signal() interrupts translated code, and the library sees to it that it is
 * called again when KVM_RUN, or whatever else of the library was in progress, has returned; then
 * the program's own handler is called, on the same stack and with the same mask.  A signal that
 * only KVM_SET_SIGNAL_MASK let through stays pending instead.
 *
 * Every handler is installed as on_signal(), with the program's flags but for SA_SIGINFO, which
 * only says how many arguments it gets, and SA_RESETHAND, which is for the program's.  SIGSEGV is the shim's own as well where it emulates
 * CPUID (cpuid.c): then it is never blocked, and its default action is taken by hand.
 *
 * Not modelled: handlers installed by the bare system call.
 */
#include <errno.h>

#include "anykvm.h"
#include "api/preload/cpuid.h"
#include "api/preload/real.h"

typedef void (*signal_handler)(int, siginfo_t *, void *);

/* The program's: what on_signal() calls, and what it sees in return for its own. */
static signal_handler handlers[_NSIG];
static int flags_of[_NSIG];		/* what it asked for of FLAGS_OURS */
#define FLAGS_OURS ((int)(SA_SIGINFO | SA_RESETHAND))

static int is_function(signal_handler h)
{
	const struct sigaction none = { .sa_handler = SIG_DFL }, ignore = { .sa_handler = SIG_IGN };

	return h != none.sa_sigaction && h != ignore.sa_sigaction;
}

/* SA_RESETHAND: the kernel does not know when the handler is really called. */
static void reset(int number)
{
	const struct sigaction action = { .sa_handler = SIG_DFL };

	sigaction(number, &action, NULL);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	signal_handler h = __atomic_load_n(&handlers[number], __ATOMIC_RELAXED);

	if (number == SIGSEGV && cpuid_emulate(info, context))
		return;
	if (akvm_interrupt_by(number, info, context))
		return;
	if (is_function(h)) {
		if (flags_of[number] & (int)SA_RESETHAND)
			reset(number);
		h(number, info, context);
	} else if (number == SIGSEGV && !h) {
		/* SIG_DFL, which is 0.  Ours alone was here: let the faulting instruction be its end, with a core dump. */
		struct sigaction action = { .sa_handler = SIG_DFL };

		real()->sigaction(number, &action, NULL);
		if (info->si_code <= 0)		/* kill() and its kin: no instruction to repeat */
			raise(number);
	}
}

/* What the kernel is given for the program's action. */
static struct sigaction wrap(int number, const struct sigaction *action)
{
	struct sigaction ours = *action;

	if (cpuid_is_emulated()) {
		sigdelset(&ours.sa_mask, SIGSEGV);
		if (number == SIGSEGV) {
			ours.sa_sigaction = on_signal;
			ours.sa_flags |= SA_SIGINFO | SA_NODEFER;
			ours.sa_flags &= ~(int)SA_RESETHAND;
		}
	}
	if (is_function(action->sa_sigaction)) {
		ours.sa_sigaction = on_signal;
		ours.sa_flags |= SA_SIGINFO;
		ours.sa_flags &= ~(int)SA_RESETHAND;
	}
	return ours;
}

INTERPOSE int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	struct sigaction ours;
	signal_handler before;
	int flags_before, r;

	if (number <= 0 || number >= _NSIG)
		return real()->sigaction(number, action, old);
	before = handlers[number];
	flags_before = flags_of[number];
	if (action) {
		ours = wrap(number, action);
		/* First, as ours may be called as soon as it is installed. */
		if (ours.sa_sigaction == on_signal) {
			__atomic_store_n(&handlers[number], action->sa_sigaction, __ATOMIC_RELAXED);
			flags_of[number] = action->sa_flags & FLAGS_OURS;
		}
	}
	r = real()->sigaction(number, action ? &ours : NULL, old);
	if (r) {
		handlers[number] = before;
		flags_of[number] = flags_before;
	} else if (old && old->sa_sigaction == on_signal) {
		old->sa_sigaction = before;
		old->sa_flags = (old->sa_flags & ~FLAGS_OURS) | flags_before;
	}
	return r;
}

static sighandler_t signal_set(int number, sighandler_t handler, int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, old;

	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	return sigaction(number, &action, &old) ? SIG_ERR : old.sa_handler;
}

INTERPOSE sighandler_t signal(int number, sighandler_t handler)
{
	return signal_set(number, handler, SA_RESTART);
}

INTERPOSE sighandler_t ssignal(int number, sighandler_t handler)
{
	return signal_set(number, handler, SA_RESTART);
}

INTERPOSE sighandler_t __sysv_signal(int number, sighandler_t handler)
{
	return signal_set(number, handler, (int)(SA_RESETHAND | SA_NODEFER));
}

/* --- cancellation ----------------------------------------------------------------------- */

INTERPOSE int pthread_cancel(pthread_t thread)
{
	int r = real()->pthread_cancel(thread);

	if (!r)
		akvm_interrupt_thread(thread);
	return r;
}

/* --- masks ------------------------------------------------------------------------------ */

/* A blocked SIGSEGV would make the next CPUID instruction fatal. */
static const sigset_t *mask_of(int how, const sigset_t *set, sigset_t *copy)
{
	if (!set || how == SIG_UNBLOCK || !cpuid_is_emulated())
		return set;
	*copy = *set;
	sigdelset(copy, SIGSEGV);
	return copy;
}

INTERPOSE int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;

	return real()->sigprocmask(how, mask_of(how, set, &copy), old);
}

INTERPOSE int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;

	return real()->pthread_sigmask(how, mask_of(how, set, &copy), old);
}
