// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * srcu.c - readers that never wait, writers that wait for them
 *
 * Readers count themselves in under the parity of an epoch.  A writer that has published
 * its change moves to the next epoch and waits until the count of the old parity is zero:
 * all who could have seen the old state have left.  A reader that finds the epoch changed
 * after counting itself in starts over; otherwise a slow one could stand in a parity that
 * is two epochs old and be overlooked.  Counts are spread over cache lines by thread.
 *
 * Locking: writers take turns by lock; readers take none.
 */
#include "host/posix/thread.h"

#include <errno.h>

#define SLOTS 5

struct srcu {
	struct posix_lock writers;
	u32 waiting;			/* a writer sleeps, or is about to */
	u32 left;			/* futex: bumped by a reader leaving while one waits */
	u32 epoch;
	u64 pad[6];
	struct { u32 readers[2]; u64 pad[7]; } slot[SLOTS];
};
BUILD_ASSERT(sizeof(struct srcu) <= sizeof(struct host_srcu));

static struct srcu *srcu(struct host_srcu *r)
{
	return (struct srcu *)r->storage;
}

int host_srcu_init(struct host_srcu *r)
{
	MAY_SLEEP();
	*srcu(r) = (struct srcu){ 0 };
	return 0;
}

void host_srcu_fini(struct host_srcu *r)
{
	MAY_SLEEP();
	for (int n = 0; n < SLOTS; n++)
		for (int parity = 0; parity < 2; parity++)
			if (atomic_load_acquire(&srcu(r)->slot[n].readers[parity]))
				host_bug(__FILE__, __LINE__, "an SRCU domain ends with a reader inside");
}

/* Any distribution does; leaving uses the cookie, so a thread may even change its mind. */
static unsigned own_slot(void)
{
	return (unsigned)((uintptr_t)&posix_self >> 12) % SLOTS;
}

int host_srcu_enter(struct host_srcu *r)
{
	struct srcu *s = srcu(r);
	unsigned n = own_slot();

	for (;;) {
		u32 epoch = atomic_load_acquire(&s->epoch);
		int cookie = (int)(n << 1 | (epoch & 1));

		atomic_fetch_add(&s->slot[n].readers[epoch & 1], 1);
		if (LIKELY(__atomic_load_n(&s->epoch, __ATOMIC_SEQ_CST) == epoch))
			return cookie;
		host_srcu_leave(r, cookie);
	}
}

void host_srcu_leave(struct host_srcu *r, int cookie)
{
	struct srcu *s = srcu(r);

	atomic_fetch_add(&s->slot[cookie >> 1].readers[cookie & 1], -1);
	if (UNLIKELY(__atomic_load_n(&s->waiting, __ATOMIC_SEQ_CST))) {
		atomic_fetch_add(&s->left, 1);
		posix_futex_wake(&s->left, 1);
	}
}

static bool has_readers(struct srcu *s, unsigned parity)
{
	u32 readers = 0;

	for (int n = 0; n < SLOTS; n++)
		readers |= __atomic_load_n(&s->slot[n].readers[parity], __ATOMIC_SEQ_CST);
	return readers != 0;
}

void host_srcu_wait(struct host_srcu *r)
{
	struct srcu *s = srcu(r);
	unsigned parity;

	MAY_SLEEP();
	posix_lock(&s->writers);
	parity = atomic_fetch_add(&s->epoch, 1) & 1;
	atomic_store_seq(&s->waiting, 1);
	for (;;) {
		u32 left = atomic_load_acquire(&s->left);

		if (!has_readers(s, parity))
			break;
		posix_futex_wait(&s->left, left, HOST_NEVER);
	}
	atomic_store_seq(&s->waiting, 0);
	posix_unlock(&s->writers);
}
