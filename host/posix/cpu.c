// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cpu.c - threads as processors
 *
 * A thread that asks for a processor number becomes that processor until it exits.  It
 * is "stable while pinned" because it is stable.  An interrupt (kick) is a pin of the
 * software processor that someone else raises and this thread lowers; it runs no code.
 * The pin is lowered when interrupts go off, too: what was asked for before is found by
 * the caller, who looks after switching them off.
 *
 * A call to another processor must not find it between host_interrupts_off() and _on().
 * If it is there it is kicked and waited for; then the caller runs the function itself, as
 * that processor, while the real one waits at host_interrupts_off().  So a thread that
 * sleeps somewhere in the program holds nobody up.
 *
 * Invariants:
 *   1. cpu->busy is 1 exactly while its thread has interrupts off.
 *   2. While cpu->call is 1 and cpu->busy is 0 the caller is that processor.
 *
 * Locking: calls guards hooks and the table of numbers, and serializes calls; it is
 * taken with no other lock held but the caller's mutexes.
 */
#include "host/posix/thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>

struct cpu {
	u32 taken;	/* a thread has this number; under calls */
	u32 busy;	/* its thread has interrupts off */
	u32 call;	/* someone wants to be this processor */
	u32 kicked;	/* the pin may be up */
	struct posix_thread *thread;	/* whose number it is, ... */
	pthread_t id;			/* ... and who that is; under calls */
	u64 pad[4];
};

__thread struct posix_thread posix_self __attribute__((tls_model("initial-exec")));

static pthread_mutex_t calls = PTHREAD_MUTEX_INITIALIZER;
static struct cpu cpus[HOST_CPUS];
static int  (*hook_online)(unsigned);
static void (*hook_offline)(unsigned);
static const struct host_posix_processor *processor;
static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

void host_posix_set_processor(const struct host_posix_processor *ops)
{
	atomic_store_release(&processor, ops);
}

unsigned host_cpus(void)
{
	return HOST_CPUS;
}

/* --- numbers --- */

static void release_number(void *arg)
{
	unsigned n = posix_self.cpu_plus_1 - 1;

	(void)arg;
	pthread_mutex_lock(&calls);
	if (hook_offline)
		hook_offline(n);
	posix_self.cpu_plus_1 = 0;
	cpus[n].taken = 0;
	pthread_mutex_unlock(&calls);
}

static void make_key(void)
{
	if (pthread_key_create(&exit_key, release_number))
		host_bug(__FILE__, __LINE__, "no thread-specific key: processor numbers run out");
}

static void take_number(void)
{
	unsigned n;

	pthread_once(&exit_once, make_key);
	for (;;) {
		pthread_mutex_lock(&calls);
		for (n = 0; n < HOST_CPUS && cpus[n].taken; n++)
			;
		if (n < HOST_CPUS)
			break;
		pthread_mutex_unlock(&calls);
		sched_yield();		/* until one of 4096 threads exits */
	}
	cpus[n].taken = 1;
	cpus[n].thread = &posix_self;
	cpus[n].id = pthread_self();
	posix_self.cpu_plus_1 = n + 1;
	if (hook_online && hook_online(n))
		host_log(3, "processor %u did not come online\n", n);
	pthread_mutex_unlock(&calls);
	pthread_setspecific(exit_key, &cpus[n]);
}

unsigned host_pin(void)
{
	posix_self.pinned++;
	if (UNLIKELY(!posix_self.cpu_plus_1))
		take_number();
	return posix_self.cpu_plus_1 - 1;
}

void host_unpin(void)
{
	MAY_ATOMIC();
	if (posix_checking && !posix_self.pinned)
		host_bug(__FILE__, __LINE__, "unpinned more often than pinned");
	posix_self.pinned--;
	if (!posix_self.pinned)
		MAY_SLEEP();
}

unsigned host_cpu(void)
{
	if (LIKELY(posix_self.cpu_plus_1))
		return posix_self.cpu_plus_1 - 1;
	host_pin();
	posix_self.pinned--;
	return posix_self.cpu_plus_1 - 1;
}

/* --- interrupts --- */

static void lower_pin(unsigned n)
{
	const struct host_posix_processor *ops;

	if (!atomic_load_relaxed(&cpus[n].kicked))
		return;
	atomic_exchange(&cpus[n].kicked, 0);
	ops = atomic_load_acquire(&processor);
	if (ops)
		ops->ack(n);
}

void host_cpu_kick(unsigned n)
{
	const struct host_posix_processor *ops = atomic_load_acquire(&processor);

	if (n >= HOST_CPUS)
		return;
	/*
	 * The pin first: kicked means that there is something to lower.  The other way round
	 * the processor might lower a pin that is not up yet, and then never again.
	 */
	if (ops)
		ops->kick(n);
	atomic_exchange(&cpus[n].kicked, 1);
}

void host_interrupts_off(void)
{
	unsigned n = host_cpu();

	while (!posix_self.irq_off) {
		atomic_exchange(&cpus[n].busy, 1);
		if (LIKELY(!__atomic_load_n(&cpus[n].call, __ATOMIC_SEQ_CST)))
			break;
		atomic_exchange(&cpus[n].busy, 0);
		pthread_mutex_lock(&calls);	/* until that call is over */
		pthread_mutex_unlock(&calls);
	}
	posix_self.irq_off = true;
	lower_pin(n);
}

void host_interrupts_on(void)
{
	unsigned n = host_cpu();

	if (posix_checking && !posix_self.irq_off)
		host_bug(__FILE__, __LINE__, "interrupts were not off");
	lower_pin(n);
	posix_self.irq_off = false;
	atomic_store_release(&cpus[n].busy, 0);
}

/* Be processor n, which is not this one, for one call.  calls is held. */
static void call_as(unsigned n, void (*fn)(void *), void *arg)
{
	struct posix_thread before = posix_self;

	atomic_exchange(&cpus[n].call, 1);
	while (__atomic_load_n(&cpus[n].busy, __ATOMIC_SEQ_CST)) {
		host_cpu_kick(n);
		sched_yield();
	}
	posix_self.cpu_plus_1 = n + 1;
	posix_self.pinned++;
	posix_self.irq_off = true;
	fn(arg);
	posix_self.cpu_plus_1 = before.cpu_plus_1;
	posix_self.pinned = before.pinned;
	posix_self.irq_off = before.irq_off;
	atomic_exchange(&cpus[n].call, 0);
}

int host_cpu_call(unsigned n, void (*fn)(void *), void *arg)
{
	int result = 0;

	MAY_SLEEP();
	if (n >= HOST_CPUS)
		return -ENXIO;
	if (n + 1 == posix_self.cpu_plus_1) {
		host_interrupts_off();
		fn(arg);
		host_interrupts_on();
		return 0;
	}
	pthread_mutex_lock(&calls);
	if (cpus[n].taken)
		call_as(n, fn, arg);
	else
		result = -ENXIO;
	pthread_mutex_unlock(&calls);
	return result;
}

struct hook_call { unsigned n; int result; };

static void call_online(void *arg)
{
	struct hook_call *c = arg;

	c->result = hook_online(c->n);
}

static void call_offline(void *arg)
{
	hook_offline(((struct hook_call *)arg)->n);
}

static void call_hook(unsigned n, void (*fn)(void *), struct hook_call *c)
{
	c->n = n;
	if (n + 1 == posix_self.cpu_plus_1)
		fn(c);
	else
		call_as(n, fn, c);
}

int host_cpu_hooks(int (*online)(unsigned), void (*offline)(unsigned))
{
	struct hook_call c = { 0 };
	unsigned n;

	MAY_SLEEP();
	pthread_mutex_lock(&calls);
	for (n = 0; hook_offline && n < HOST_CPUS; n++)
		if (cpus[n].taken)
			call_hook(n, call_offline, &c);
	hook_online = online;
	hook_offline = offline;
	for (n = 0; online && n < HOST_CPUS && !c.result; n++)
		if (cpus[n].taken)
			call_hook(n, call_online, &c);
	if (c.result) {
		while (offline && n-- > 0)
			if (cpus[n].taken && n != c.n)
				call_hook(n, call_offline, &(struct hook_call){ 0 });
		hook_online = NULL;
		hook_offline = NULL;
	}
	pthread_mutex_unlock(&calls);
	return c.result;
}

void host_guest_enter(void)
{
	if (posix_checking && !posix_self.irq_off)
		host_bug(__FILE__, __LINE__, "guest entered with interrupts on");
}

void host_guest_exit(void)
{
}

/* --- requests to return --- */

bool host_must_return(void)
{
	return atomic_load_relaxed(&posix_self.must_return);
}

/* Of this thread, or of another one whose waiting lock is held. */
static void interrupt(struct posix_thread *t, u32 why)
{
	u32 *word;

	atomic_fetch_or(&t->must_return, why);
	word = atomic_load_relaxed(&t->waiting_on);
	if (word)
		atomic_fetch_add(word, 1);	/* so that it does not fall asleep */
	if (word && t != &posix_self)
		posix_futex_wake(word, INT_MAX);
	if (t->cpu_plus_1)
		host_cpu_kick(t->cpu_plus_1 - 1);
}

void host_posix_interrupt(void)
{
	interrupt(&posix_self, MUST_RETURN_SIGNAL);
}

void host_posix_interrupt_clear(void)
{
	if (atomic_load_relaxed(&posix_self.must_return))
		atomic_fetch_and(&posix_self.must_return, ~MUST_RETURN_SIGNAL);
}

void host_posix_interrupt_thread(pthread_t thread)
{
	pthread_mutex_lock(&calls);
	for (unsigned n = 0; n < HOST_CPUS; n++) {
		struct posix_thread *t = cpus[n].thread;

		if (!cpus[n].taken || !pthread_equal(cpus[n].id, thread) || !atomic_load_acquire(&t->cancellable))
			continue;
		posix_lock(&t->waiting);
		interrupt(t, MUST_RETURN_CANCELLED);
		posix_unlock(&t->waiting);
	}
	pthread_mutex_unlock(&calls);
}

void host_posix_cancellable(bool on)
{
	host_cpu();		/* to be found by */
	atomic_fetch_and(&posix_self.must_return, ~MUST_RETURN_CANCELLED);
	atomic_store_seq(&posix_self.cancellable, on);
}
