// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mask.c - KVM_SET_SIGNAL_MASK: which signals are blocked while the guest runs
 *
 * A client blocks a signal, and lets KVM_RUN's mask pass it: then it ends a KVM_RUN, also the
 * next one if it comes in between, and no handler runs.  A kernel only looks whether a signal is
 * pending.  Here it has to be delivered to be seen: its handler finds it held, blocks it
 * for when it returns, and sends it to its thread once more, as it was.
 *
 * Not modelled: a signal without a handler stays blocked, and ends nothing.  A held signal that
 * was sent to the process is now the thread's.
 */
#include "api/lib/mask.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <string.h>

#include "api/lib/call.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "host/posix/posix.h"

/* Signals that only KVM_RUN's mask lets through on this thread; its handlers read it. */
static __thread u64 held __attribute__((tls_model("initial-exec")));

/* The kernel's set is the first word of the C library's. */
static u64 bits_of(const sigset_t *set)
{
	u64 bits;

	memcpy(&bits, set, sizeof(bits));
	return bits;
}

int mask_set(struct run_mask *m, u64 arg)
{
	struct kvm_signal_mask head;
	u64 bits;
	int r;

	if (!arg) {
		atomic_store_relaxed(&m->on, 0u);
		return 0;
	}
	r = host_copy_in(&head, arg, sizeof(head));
	if (r)
		return r;
	if (head.len != sizeof(bits))
		return -EINVAL;
	r = host_copy_in(&bits, arg + sizeof(head), sizeof(bits));
	if (r)
		return r;
	atomic_store_relaxed(&m->blocked, bits);
	atomic_store_release(&m->on, 1u);
	return 0;
}

static bool has_handler(int number)
{
	struct sigaction action;

	return !sigaction(number, NULL, &action) && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
}

bool mask_begin(const struct run_mask *m, sigset_t *before)
{
	u64 blocked, hold;
	sigset_t mask;

	if (!atomic_load_acquire(&m->on))
		return false;
	blocked = atomic_load_relaxed(&m->blocked);
	sigfillset(&mask);
	pthread_sigmask(SIG_SETMASK, &mask, before);
	host_posix_interrupt_clear();	/* what was delivered until now came before KVM_RUN */
	hold = bits_of(before) & ~blocked;
	for (u64 left = hold; left; left &= left - 1) {
		unsigned bit = bit_lowest(left);

		if (!has_handler((int)bit + 1)) {
			hold &= ~BIT_U64(bit);
			blocked |= BIT_U64(bit);
		}
	}
	atomic_store_seq(&held, hold);
	sigemptyset(&mask);
	memcpy(&mask, &blocked, sizeof(blocked));
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return true;
}

void mask_end(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
	atomic_store_seq(&held, 0ull);
}

bool mask_hold(int number, siginfo_t *info, void *context)
{
	return atomic_load_relaxed(&held) & BIT_U64(number - 1) && signal_requeue(number, info, context);
}
