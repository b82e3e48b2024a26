// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_locks.c - mutexes, spinlocks and SRCU under contention
 */
#include "base/atomic.h"
#include "host/posix/posix.h"
#include "tests/test.h"

#include <pthread.h>

#define THREADS 6
#define ROUNDS 20000

static struct host_mutex mutex;
static struct host_spin spin;
static struct host_srcu srcu;
static u64 by_mutex, by_spin;

static void *count(void *unused)
{
	for (int n = 0; n < ROUNDS; n++) {
		u64 flags;

		host_mutex_lock(&mutex);
		by_mutex++;
		host_mutex_unlock(&mutex);
		flags = host_spin_lock(&spin);
		by_spin++;
		host_spin_unlock(&spin, flags);
	}
	return unused;
}

static void exclusion(void)
{
	pthread_t thread[THREADS];

	host_mutex_init(&mutex, NULL);
	host_spin_init(&spin, NULL);
	EXPECT_EQ(host_mutex_lock_killable(&mutex), 0);
	host_mutex_unlock(&mutex);
	for (int n = 0; n < THREADS; n++)
		pthread_create(&thread[n], NULL, count, NULL);
	for (int n = 0; n < THREADS; n++)
		pthread_join(thread[n], NULL);
	EXPECT_EQ(by_mutex, THREADS * ROUNDS);
	EXPECT_EQ(by_spin, THREADS * ROUNDS);
}

/* What readers read: freed memory would be caught by ASan, and its number is wrong. */
struct version { u64 number, check; };
static struct version *current;
static u32 stop, inside;

static void *read_versions(void *arg)
{
	u64 *last = arg, bad = 0;

	while (!atomic_load_relaxed(&stop)) {
		int cookie = host_srcu_enter(&srcu), inner = host_srcu_enter(&srcu);
		struct version *v = atomic_load_acquire(&current);

		atomic_fetch_add(&inside, 1);
		for (int n = 0; n < 20; n++)
			bad += v->check != ~v->number || v->number < *last;
		*last = v->number;
		host_srcu_leave(&srcu, inner);
		host_srcu_leave(&srcu, cookie);
	}
	EXPECT_EQ(bad, 0);
	return NULL;
}

static void *write_versions(void *arg)
{
	for (int n = 0; n < 1000; n++) {
		struct version *v = malloc(sizeof(*v)), *before;

		host_mutex_lock(&mutex);
		*v = (struct version){ current->number + 1, ~(current->number + 1) };
		before = current;
		atomic_store_release(&current, v);
		host_mutex_unlock(&mutex);
		host_srcu_wait(&srcu);
		before->check = 0;	/* TSan: no reader may be there any more */
		free(before);
	}
	return arg;
}

static void readers_and_writers(void)
{
	pthread_t reader[THREADS], writer[2];
	u64 last[THREADS] = { 0 };

	EXPECT_EQ(host_srcu_init(&srcu), 0);
	host_srcu_wait(&srcu);
	current = malloc(sizeof(*current));
	*current = (struct version){ 0, ~0ull };
	for (int n = 0; n < THREADS; n++)
		pthread_create(&reader[n], NULL, read_versions, &last[n]);
	for (int n = 0; n < 2; n++)
		pthread_create(&writer[n], NULL, write_versions, NULL);
	for (int n = 0; n < 2; n++)
		pthread_join(writer[n], NULL);
	atomic_store_relaxed(&stop, 1);
	for (int n = 0; n < THREADS; n++)
		pthread_join(reader[n], NULL);
	EXPECT_EQ(current->number, 2000);
	EXPECT(inside > 0);
	free(current);
	host_srcu_fini(&srcu);
}

int main(void)
{
	host_posix_check(true);
	TEST(exclusion);
	TEST(readers_and_writers);
	return test_status();
}
