// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sim.c - memory, locks and processors of a simulated host
 *
 * There is one thread, so a lock that is held when it is taken is a deadlock, and waiting
 * for readers while there are some is one, too: both are reported as bugs.
 *
 * Locking: none.
 */
#include "host/sim/internal.h"
#include "base/checked.h"
#include "base/list.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANGES	32u
#define SPACES	8u

struct range { u64 start, bytes; bool writable; };
struct space { const struct host_space_ops *ops; void *arg; };

struct sim sim = { .now = 1000000000 };

static struct range ranges[RANGES];
static struct space *spaces[SPACES];
static u64 kicks[SIM_CPUS], allocations, fail_alloc, bugs;
static bool bugs_expected, must_return;
static int (*hook_online)(unsigned);
static void (*hook_offline)(unsigned);

void sim_reset(void)
{
	memset(ranges, 0, sizeof(ranges));
	memset(kicks, 0, sizeof(kicks));
	fail_alloc = bugs = 0;
	bugs_expected = must_return = false;
	sim_time_reset();
	sim = (struct sim){ .now = 1000000000 };
}

/* --- telling people, and checking contexts --- */

void host_log(int level, const char *format, ...)
{
	va_list args;

	if (level > 4 && !getenv("ANYKVM_LOG"))
		return;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
}

void host_bug(const char *file, int line, const char *what)
{
	bugs++;
	if (bugs_expected)
		return;
	fprintf(stderr, "bug at %s:%d: %s\n", file, line, what);
	abort();
}

void sim_expect_bugs(bool on)
{
	bugs_expected = on;
}

u64 sim_bugs(void)
{
	return bugs;
}

void sim_may_atomic(const char *function)
{
	if (sim.in_timer)
		host_bug(function, 0, "called from a timer callback");
}

void sim_may_sleep(const char *function)
{
	sim_may_atomic(function);
	if (sim.spins || sim.pinned || sim.irq_off)
		host_bug(function, 0, "may sleep: spinlock held, pinned, or interrupts off");
}

/* --- memory of our own --- */

static bool alloc_fails(void)
{
	if (fail_alloc && --fail_alloc == 0)
		return true;
	allocations++;
	return false;
}

void sim_fail_alloc(u64 n)
{
	fail_alloc = n;
}

u64 sim_allocations(void)
{
	return allocations;
}

void *host_alloc(u64 size, unsigned flags)
{
	if (!(flags & HOST_ATOMIC))
		MAY_SLEEP();
	return alloc_fails() ? NULL : calloc(1, size ? size : 1);
}

void host_free(void *p)
{
	if (p)
		allocations--;
	free(p);
}

void *host_alloc_pages(unsigned order, unsigned flags)
{
	void *p;

	if (!(flags & HOST_ATOMIC))
		MAY_SLEEP();
	if (order > 18 || alloc_fails())
		return NULL;
	p = aligned_alloc(PAGE_BYTES << order, PAGE_BYTES << order);
	if (p)
		memset(p, 0, PAGE_BYTES << order);
	return p;
}

void host_free_pages(void *p, unsigned order)
{
	(void)order;
	host_free(p);
}

hpa_t host_bus_address(const void *page)
{
	return (hpa_t)(uintptr_t)page;
}

void *host_from_bus(hpa_t pa)
{
	return (void *)(uintptr_t)pa;
}

/* --- memory of the process --- */

void sim_memory(void *start, u64 bytes, bool writable)
{
	for (unsigned n = 0; n < RANGES; n++)
		if (!ranges[n].bytes) {
			ranges[n] = (struct range){ (u64)(uintptr_t)start, bytes, writable };
			return;
		}
	abort();
}

void sim_memory_forget(void *start)
{
	for (unsigned n = 0; n < RANGES; n++)
		if (ranges[n].start == (u64)(uintptr_t)start)
			ranges[n] = (struct range){ 0 };
}

static const struct range *range_of(u64 address, u64 bytes)
{
	for (unsigned n = 0; n < RANGES; n++)
		if (ranges[n].bytes && address >= ranges[n].start &&
		    range_is_within(address - ranges[n].start, bytes, ranges[n].bytes))
			return &ranges[n];
	return NULL;
}

int host_copy_in(void *dst, u64 address, u64 n)
{
	MAY_SLEEP();
	if (!range_of(address, n))
		return -EFAULT;
	memcpy(dst, (const void *)(uintptr_t)address, n);
	return 0;
}

int host_copy_out(u64 address, const void *src, u64 n)
{
	const struct range *r = range_of(address, n);

	MAY_SLEEP();
	if (!r || !r->writable)
		return -EFAULT;
	memcpy((void *)(uintptr_t)address, src, n);
	return 0;
}

int host_cmpxchg(u64 address, u64 *old, u64 new, unsigned size)
{
	const struct range *r = range_of(address, size);
	u64 now = 0;

	MAY_SLEEP();
	if ((size != 1 && size != 2 && size != 4 && size != 8) || address % size)
		return -EINVAL;
	if (!r || !r->writable)
		return -EFAULT;
	memcpy(&now, (const void *)(uintptr_t)address, size);
	if (memcmp(&now, old, size)) {
		*old = now;
		return -EAGAIN;
	}
	memcpy((void *)(uintptr_t)address, &new, size);
	return 0;
}

int host_page_get(u64 address, bool write, struct host_page *page)
{
	u64 start = address & ~(PAGE_BYTES - 1);
	const struct range *r = range_of(start, PAGE_BYTES);

	MAY_SLEEP();
	if (!r || (write && !r->writable))
		return -EFAULT;
	sim.pages_held++;
	*page = (struct host_page){ .pa = start, .level = 0, .writable = write };
	return 0;
}

void host_page_put(struct host_page *page, bool dirty)
{
	(void)dirty;
	(void)page;
	if (!sim.pages_held)
		host_bug(__FILE__, __LINE__, "a page is put more often than got");
	else
		sim.pages_held--;
}

int host_space_attach(const struct host_space_ops *ops, void *arg, void **space)
{
	struct space *s = host_alloc(sizeof(*s), 0);

	if (!s)
		return -ENOMEM;
	*s = (struct space){ ops, arg };
	for (unsigned n = 0; n < SPACES; n++)
		if (!spaces[n]) {
			spaces[n] = s;
			*space = s;
			return 0;
		}
	host_free(s);
	return -ENOMEM;
}

/* As in a kernel, leaving invalidates everything once more. */
void host_space_detach(void *space)
{
	struct space *s = space;

	MAY_SLEEP();
	s->ops->invalidate_begin(s->arg, 0, ~0ull);
	s->ops->invalidate_end(s->arg, 0, ~0ull);
	for (unsigned n = 0; n < SPACES; n++)
		if (spaces[n] == space)
			spaces[n] = NULL;
	host_free(space);
}

void sim_invalidate(u64 start, u64 end)
{
	for (unsigned n = 0; n < SPACES; n++)
		if (spaces[n]) {
			spaces[n]->ops->invalidate_begin(spaces[n]->arg, start, end);
			spaces[n]->ops->invalidate_end(spaces[n]->arg, start, end);
		}
}

/* --- locks: storage[0] says whether it is held --- */

static void take(u64 *held)
{
	if (*held)
		host_bug(__FILE__, __LINE__, "deadlock: the lock is held");
	*held = 1;
}

static void give(u64 *held)
{
	if (!*held)
		host_bug(__FILE__, __LINE__, "unlock of a lock that is free");
	*held = 0;
}

void host_mutex_init(struct host_mutex *m, struct host_lock_class *class)
{
	(void)class;
	m->storage[0] = 0;
}

void host_mutex_lock(struct host_mutex *m)
{
	MAY_SLEEP();
	take(m->storage);
}

int host_mutex_lock_killable(struct host_mutex *m)
{
	host_mutex_lock(m);
	return 0;
}

void host_mutex_unlock(struct host_mutex *m)
{
	MAY_SLEEP();
	give(m->storage);
}

void host_spin_init(struct host_spin *s, struct host_lock_class *class)
{
	(void)class;
	s->storage[0] = 0;
}

u64 host_spin_lock(struct host_spin *s)
{
	take(s->storage);
	sim.spins++;
	return 0;
}

void host_spin_unlock(struct host_spin *s, u64 flags)
{
	(void)flags;
	give(s->storage);
	sim.spins--;
}

int host_srcu_init(struct host_srcu *r)
{
	MAY_SLEEP();
	r->storage[0] = 0;
	return 0;
}

void host_srcu_fini(struct host_srcu *r)
{
	host_srcu_wait(r);
}

int host_srcu_enter(struct host_srcu *r)
{
	r->storage[0]++;
	return 0;
}

void host_srcu_leave(struct host_srcu *r, int cookie)
{
	(void)cookie;
	if (!r->storage[0])
		host_bug(__FILE__, __LINE__, "more readers left than entered");
	r->storage[0]--;
}

void host_srcu_wait(struct host_srcu *r)
{
	MAY_SLEEP();
	if (r->storage[0])
		host_bug(__FILE__, __LINE__, "deadlock: waiting for a reader");
}

/* --- processors --- */

void sim_cpu(unsigned cpu)
{
	sim.cpu = cpu;
}

u64 sim_kicks(unsigned cpu)
{
	return cpu < SIM_CPUS ? kicks[cpu] : 0;
}

unsigned host_cpus(void)
{
	return SIM_CPUS;
}

unsigned host_cpu(void)
{
	return sim.cpu;
}

unsigned host_pin(void)
{
	sim.pinned++;
	return sim.cpu;
}

void host_unpin(void)
{
	MAY_ATOMIC();
	if (!sim.pinned)
		host_bug(__FILE__, __LINE__, "unpinned more often than pinned");
	else
		sim.pinned--;
	if (!sim.pinned)
		MAY_SLEEP();
}

void host_interrupts_off(void)
{
	sim.irq_off = true;
}

void host_interrupts_on(void)
{
	if (!sim.irq_off)
		host_bug(__FILE__, __LINE__, "interrupts were not off");
	sim.irq_off = false;
}

int host_cpu_call(unsigned cpu, void (*fn)(void *), void *arg)
{
	unsigned before = sim.cpu;

	MAY_SLEEP();
	if (cpu >= SIM_CPUS)
		return -ENXIO;
	sim.cpu = cpu;
	sim.pinned++;
	sim.irq_off = true;
	fn(arg);
	sim.irq_off = false;
	sim.pinned--;
	sim.cpu = before;
	return 0;
}

void host_cpu_kick(unsigned cpu)
{
	if (cpu < SIM_CPUS)
		kicks[cpu]++;
}

int host_cpu_hooks(int (*online)(unsigned), void (*offline)(unsigned))
{
	int result = 0;

	MAY_SLEEP();
	if (hook_offline)
		hook_offline(sim.cpu);
	hook_online = online;
	hook_offline = offline;
	if (online)
		result = online(sim.cpu);
	if (result) {
		hook_online = NULL;
		hook_offline = NULL;
	}
	return result;
}

void host_guest_enter(void)
{
	if (!sim.irq_off)
		host_bug(__FILE__, __LINE__, "guest entered with interrupts on");
}

void host_guest_exit(void)
{
	if (!sim.irq_off)
		host_bug(__FILE__, __LINE__, "guest left with interrupts on");
}

bool host_fpu_begin(void)
{
	if (sim.fpu || !sim.irq_off)
		host_bug(__FILE__, __LINE__, "FPU taken twice, or with interrupts on");
	sim.fpu = true;
	return sim.fpu_stays;
}

void host_fpu_end(void)
{
	if (!sim.fpu)
		host_bug(__FILE__, __LINE__, "FPU returned, but not taken");
	sim.fpu = false;
}

void sim_fpu_stays(bool on)
{
	sim.fpu_stays = on;
}

void sim_interrupt(bool on)
{
	must_return = on;
}

bool host_must_return(void)
{
	return must_return;
}
