/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * atomic.h - atomic access to plain integers and pointers, orderings named
 *
 * The compiler's builtins, the same in a process and in a kernel on x86.  An object
 * that is accessed through these is accessed through nothing else while shared.
 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

#include "base/types.h"

#define atomic_load_relaxed(p)		__atomic_load_n(p, __ATOMIC_RELAXED)
#define atomic_load_acquire(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define atomic_store_relaxed(p, v)	__atomic_store_n(p, v, __ATOMIC_RELAXED)
#define atomic_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define atomic_store_seq(p, v)		__atomic_store_n(p, v, __ATOMIC_SEQ_CST)

/* Sequentially consistent read-modify-write; each returns the value before. */
#define atomic_exchange(p, v)		__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#define atomic_fetch_add(p, v)		__atomic_fetch_add(p, v, __ATOMIC_SEQ_CST)
#define atomic_fetch_or(p, v)		__atomic_fetch_or(p, v, __ATOMIC_SEQ_CST)
#define atomic_fetch_and(p, v)		__atomic_fetch_and(p, v, __ATOMIC_SEQ_CST)

/* True if *p was *old and is now new; otherwise *old is what it was. */
#define atomic_cmpxchg(p, old, new) \
	__atomic_compare_exchange_n(p, old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

/* Everything before is visible before anything after. */
#ifdef __SANITIZE_THREAD__	/* which knows no fences; a locked instruction is one too */
#define atomic_fence()	do { u32 fence_ = 0; (void)atomic_fetch_add(&fence_, 1u); } while (0)
#else
#define atomic_fence()			__atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

#endif
