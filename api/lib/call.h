/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * call.h - calls of the library in progress, which nothing cuts short
 */
#ifndef API_LIB_CALL_H
#define API_LIB_CALL_H

#include <signal.h>

#include "base/types.h"

/*
 * Around what the library does on the calling thread; they nest.  In between the thread is not
 * cancelled, and its signals are for call_hold().  At the outermost end both catch up: it may
 * not return.
 */
void call_begin(void);
void call_end(void);

/* The call is KVM_RUN, which ends when the thread is cancelled asynchronously.  Until call_end(). */
void call_is_run(void);

/* From the handler of a signal: is a call in progress?  Then the signal comes again at its end.  [any] */
bool call_hold(int number, siginfo_t *info, void *context);

/* From its handler: block a signal from the handler's return on, pending as it came; false if that fails.  [any] */
bool signal_requeue(int number, siginfo_t *info, void *context);

#endif
