/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mask.h - KVM_SET_SIGNAL_MASK: which signals are blocked while the guest runs
 */
#ifndef API_LIB_MASK_H
#define API_LIB_MASK_H

#include <signal.h>

#include "base/types.h"

struct run_mask {
	u32 on;			/* there is one */
	u64 blocked;		/* bit n - 1: signal n */
};

/* arg: the ioctl's.  0, -EFAULT, -EINVAL.  [sleep] */
int  mask_set(struct run_mask *m, u64 arg);

/*
 * Around KVM_RUN: put the mask in force, and what was before back.  In between, signals that
 * were blocked before are held back from their handlers: mask_hold().  False: there is no mask.
 */
bool mask_begin(const struct run_mask *m, sigset_t *before);
void mask_end(const sigset_t *before);

/* From the handler of a signal: is it held back?  Then it is pending again, and blocked.  [any] */
bool mask_hold(int number, siginfo_t *info, void *context);

#endif
