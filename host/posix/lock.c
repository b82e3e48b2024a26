// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lock.c - mutexes, spinlocks, and the futex under them, in a process
 *
 * A "spinlock" here spins for a moment and then sleeps: its holder may be preempted, which
 * a holder in a kernel is not.  "Interrupts off" has no meaning for the lock itself, as a
 * kick never runs code on the kicked thread; it is kept for the context checks.
 *
 * Locking: these are the locks.  struct posix_lock is a leaf: nothing is acquired under it.
 * Not modelled: lockdep's classes; TSan finds inversions of struct host_mutex.
 */
#include "host/posix/thread.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPINS 100	/* about as long as a system call takes */

void posix_futex_wait(u32 *word, u32 value, u64 deadline)
{
	struct timespec at;

#ifdef __SANITIZE_THREAD__
	/* TSan holds signals back until the next call that it intercepts: do make one. */
	deadline = MIN_OF(deadline, host_now() + 2000000);
	usleep(1);
#endif
	at = (struct timespec){ (time_t)(deadline / 1000000000), (long)(deadline % 1000000000) };
	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
		deadline == HOST_NEVER ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
}

void posix_futex_wake(u32 *word, int threads)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

/* state: 0 free, 1 held, 2 held and perhaps waited for */
void posix_lock(struct posix_lock *l)
{
	u32 state = 0;

	for (int n = 0; n < SPINS; n++) {
		state = 0;
		if (atomic_cmpxchg(&l->state, &state, 1))
			return;
		__builtin_ia32_pause();
	}
	while (atomic_exchange(&l->state, 2) != 0)
		posix_futex_wait(&l->state, 2, HOST_NEVER);
}

void posix_unlock(struct posix_lock *l)
{
	if (atomic_exchange(&l->state, 0) == 2)
		posix_futex_wake(&l->state, 1);
}

void posix_signal_wait(struct posix_signal *s, struct posix_lock *l, u64 deadline)
{
	u32 sequence = atomic_load_relaxed(&s->sequence);

	atomic_fetch_add(&s->sleepers, 1);
	posix_unlock(l);
	posix_futex_wait(&s->sequence, sequence, deadline);
	posix_lock(l);
	atomic_fetch_add(&s->sleepers, -1);
}

void posix_signal_all(struct posix_signal *s)
{
	atomic_fetch_add(&s->sequence, 1);
	if (atomic_load_relaxed(&s->sleepers))
		posix_futex_wake(&s->sequence, INT_MAX);
}

void posix_daemon(const char *name, void *(*fn)(void *))
{
	pthread_t thread;
	pthread_attr_t attr;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, fn, NULL) == 0) {
		pthread_setname_np(thread, name);
	} else {
		/* Without it, guests' timers or work would never run: no way on. */
		host_log(2, "cannot start the thread %s\n", name);
		abort();
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* --- mutexes --- */

BUILD_ASSERT(sizeof(pthread_mutex_t) <= sizeof(struct host_mutex));

static pthread_mutex_t *mutex(struct host_mutex *m)
{
	return (pthread_mutex_t *)m->storage;
}

void host_mutex_init(struct host_mutex *m, struct host_lock_class *class)
{
	(void)class;
	pthread_mutex_init(mutex(m), NULL);
}

void host_mutex_lock(struct host_mutex *m)
{
	MAY_SLEEP();
	pthread_mutex_lock(mutex(m));
}

/* A fatal signal ends the process, so there is nobody to return -EINTR to. */
int host_mutex_lock_killable(struct host_mutex *m)
{
	MAY_SLEEP();
	pthread_mutex_lock(mutex(m));
	return 0;
}

void host_mutex_unlock(struct host_mutex *m)
{
	MAY_SLEEP();
	pthread_mutex_unlock(mutex(m));
}

/* --- spinlocks --- */

BUILD_ASSERT(sizeof(struct posix_lock) <= sizeof(struct host_spin));

void host_spin_init(struct host_spin *s, struct host_lock_class *class)
{
	(void)class;
	*(struct posix_lock *)s->storage = (struct posix_lock){ 0 };
}

u64 host_spin_lock(struct host_spin *s)
{
	posix_lock((struct posix_lock *)s->storage);
	posix_self.spins++;
	return 0;
}

void host_spin_unlock(struct host_spin *s, u64 flags)
{
	(void)flags;
	if (posix_checking && !posix_self.spins)
		host_bug(__FILE__, __LINE__, "unlock of a spinlock, none held");
	posix_self.spins--;
	posix_unlock((struct posix_lock *)s->storage);
}
