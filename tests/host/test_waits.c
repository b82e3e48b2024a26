// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_waits.c - wait queues, their interruption by signals, and deferred work
 */
#include "base/atomic.h"
#include "host/posix/posix.h"
#include "tests/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static struct host_wait queue;
static u32 turn, stop;

static bool is_turn(void *arg)
{
	return atomic_load_acquire(&turn) == (u32)(uintptr_t)arg;
}

static bool never(void *arg)
{
	return arg == &queue;
}

static void *other_player(void *arg)
{
	for (int n = 0; n < 5000; n++) {
		EXPECT_EQ(host_wait_until(&queue, is_turn, (void *)1, ~0ull), 0);
		atomic_store_release(&turn, 0);
		host_wake(&queue);
	}
	return arg;
}

static void ping_pong(void)
{
	pthread_t thread;

	host_wait_init(&queue);
	pthread_create(&thread, NULL, other_player, NULL);
	for (int n = 0; n < 5000; n++) {
		atomic_store_release(&turn, 1);
		host_wake(&queue);
		EXPECT_EQ(host_wait_until(&queue, is_turn, (void *)0, ~0ull), 0);
	}
	pthread_join(thread, NULL);
}

static void deadlines(void)
{
	u64 from = host_now();

	host_wait_init(&queue);
	EXPECT(host_wait_until(&queue, never, NULL, 0) == -ETIME);
	EXPECT(host_wait_until(&queue, never, NULL, from + 3000000) == -ETIME);
	EXPECT(host_now() >= from + 3000000);
	EXPECT_EQ(host_wait_until(&queue, never, &queue, 0), 0);	/* ready beats late */
}

#ifdef __SANITIZE_THREAD__
#define SIGNALS 200	/* each takes milliseconds: TSan delivers them late */
#else
#define SIGNALS 3000
#endif

static void on_signal(int number)
{
	(void)number;
	host_posix_interrupt();
}

static u32 interruptions;

static void *be_interrupted(void *arg)
{
	while (!atomic_load_relaxed(&stop)) {
		if (host_wait_until(&queue, never, NULL, ~0ull) != -EINTR)
			break;
		host_posix_interrupt_clear();
		atomic_fetch_add(&interruptions, 1);
	}
	return arg;
}

/* However a signal hits, the wait ends: between check and sleep is where it would hang. */
static void signals_interrupt(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&thread, NULL, be_interrupted, NULL);
	for (u32 n = 0; n < SIGNALS; n++) {
		u32 before = atomic_load_relaxed(&interruptions);

		pthread_kill(thread, SIGUSR1);
		while (atomic_load_relaxed(&interruptions) == before)
			host_yield();
	}
	atomic_store_relaxed(&stop, 1);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	EXPECT(!host_must_return());	/* it was the other thread's */
}

/* --- work --- */

struct job { struct host_work work; u64 runs; u32 slow, finished; struct job *queue_again; };

static void run_job(struct host_work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);

	if (atomic_load_relaxed(&j->slow))
		usleep(2000);
	j->runs++;		/* plain: TSan sees it if cancel does not wait */
	if (j->queue_again && j->runs < 10)
		host_work_queue(&j->queue_again->work);
	else
		atomic_store_release(&j->finished, 1u);
}

static void work_runs_and_is_cancelled(void)
{
	struct job *j = calloc(1, sizeof(*j));

	host_work_init(&j->work, run_job);
	host_work_cancel(&j->work);	/* never queued */
	for (int n = 0; n < 500; n++) {
		u64 before = j->runs;

		host_work_queue(&j->work);
		host_work_queue(&j->work);
		if (n % 3)
			host_yield();
		host_work_cancel(&j->work);
		EXPECT(j->runs <= before + 2);
	}
	j->slow = 1;
	host_work_queue(&j->work);
	usleep(500);
	host_work_cancel(&j->work);
	free(j);		/* ASan sees it if it runs later */

	j = calloc(1, sizeof(*j));
	j->queue_again = j;
	host_work_init(&j->work, run_job);
	host_work_queue(&j->work);
	for (int ms = 0; ms < 20000 && !atomic_load_acquire(&j->finished); ms++)
		usleep(1000);
	host_work_cancel(&j->work);
	EXPECT_EQ(j->runs, 10);
	free(j);
}

int main(void)
{
	host_posix_check(true);
	TEST(ping_pong);
	TEST(deadlines);
	TEST(signals_interrupt);
	TEST(work_runs_and_is_cancelled);
	return test_status();
}
