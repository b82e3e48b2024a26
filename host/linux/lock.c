// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lock.c - the kernel's locks in storage that the hypervisor reserves
 *
 * Spins are taken in hard interrupts (timers), so they are raw where that makes a difference.
 */
#include <linux/build_bug.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>

#include "host/host.h"

static_assert(sizeof(struct mutex) <= sizeof(struct host_mutex));
static_assert(sizeof(raw_spinlock_t) <= sizeof(struct host_spin));
static_assert(sizeof(struct srcu_struct) <= sizeof(struct host_srcu));
static_assert(sizeof(struct lock_class_key) <= sizeof(((struct host_lock_class *)0)->key));

static struct mutex *mutex(struct host_mutex *m)
{
	return (struct mutex *)m->storage;
}

static raw_spinlock_t *spin(struct host_spin *s)
{
	return (raw_spinlock_t *)s->storage;
}

static struct srcu_struct *srcu(struct host_srcu *r)
{
	return (struct srcu_struct *)r->storage;
}

void host_mutex_init(struct host_mutex *m, struct host_lock_class *class)
{
	__mutex_init(mutex(m), class->name, (struct lock_class_key *)class->key);
}

void host_mutex_lock(struct host_mutex *m)
{
	mutex_lock(mutex(m));
}

int host_mutex_lock_killable(struct host_mutex *m)
{
	return mutex_lock_killable(mutex(m));
}

void host_mutex_unlock(struct host_mutex *m)
{
	mutex_unlock(mutex(m));
}

void host_spin_init(struct host_spin *s, struct host_lock_class *class)
{
	raw_spin_lock_init(spin(s));
	lockdep_set_class_and_name(spin(s), (struct lock_class_key *)class->key, class->name);
}

u64 host_spin_lock(struct host_spin *s) __acquires(s)
{
	unsigned long flags;

	raw_spin_lock_irqsave(spin(s), flags);
	return flags;
}

void host_spin_unlock(struct host_spin *s, u64 flags) __releases(s)
{
	raw_spin_unlock_irqrestore(spin(s), (unsigned long)flags);
}

int host_srcu_init(struct host_srcu *r)
{
	return init_srcu_struct(srcu(r));
}

void host_srcu_fini(struct host_srcu *r)
{
	cleanup_srcu_struct(srcu(r));
}

int host_srcu_enter(struct host_srcu *r) __acquires(r)
{
	return srcu_read_lock(srcu(r));
}

void host_srcu_leave(struct host_srcu *r, int cookie) __releases(r)
{
	srcu_read_unlock(srcu(r), cookie);
}

/* The expedited kind: an ioctl waits for it. */
void host_srcu_wait(struct host_srcu *r)
{
	synchronize_srcu_expedited(srcu(r));
}
