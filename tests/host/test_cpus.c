// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_cpus.c - threads as processors: numbers, kicks, calls, hooks, the FPU
 */
#include "base/atomic.h"
#include "host/posix/posix.h"
#include "tests/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#define THREADS 5

static u32 pin_of[4096], online[4096], stop, entered;
static u64 kicks, calls_run;

static void raise_pin(unsigned cpu)
{
	sched_yield();		/* a slow pin: whatever can come in between does */
	atomic_store_release(&pin_of[cpu], 1);
	atomic_fetch_add(&kicks, 1);
}

static void lower_pin(unsigned cpu)
{
	atomic_store_release(&pin_of[cpu], 0);
}

static const struct host_posix_processor processor = { raise_pin, lower_pin };

/* What running a guest looks like: until the pin is up, with interrupts off. */
static void run_guest(unsigned cpu)
{
	host_interrupts_off();
	host_guest_enter();
	atomic_fetch_add(&entered, 1);
	while (!atomic_load_acquire(&pin_of[cpu]) && !atomic_load_relaxed(&stop))
		__builtin_ia32_pause();
	host_guest_exit();
	host_interrupts_on();
}

struct vcpu { pthread_t thread; unsigned cpu; u32 ready; u64 exits, owned; };

static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;

	v->cpu = host_pin();
	host_unpin();
	atomic_store_release(&v->ready, 1);
	while (!atomic_load_relaxed(&stop)) {
		host_pin();
		EXPECT_EQ(host_cpu(), v->cpu);
		run_guest(v->cpu);
		__atomic_fetch_add(&v->exits, 1, __ATOMIC_RELAXED);
		host_unpin();
	}
	return NULL;
}

static struct vcpu vcpu[THREADS];

static void start_vcpus(void)
{
	atomic_store_relaxed(&stop, 0);
	for (int n = 0; n < THREADS; n++) {
		vcpu[n] = (struct vcpu){ 0 };
		pthread_create(&vcpu[n].thread, NULL, run_vcpu, &vcpu[n]);
		while (!atomic_load_acquire(&vcpu[n].ready))
			usleep(100);
	}
}

static void stop_vcpus(void)
{
	atomic_store_relaxed(&stop, 1);
	for (int n = 0; n < THREADS; n++)
		pthread_join(vcpu[n].thread, NULL);
}

static void numbers(void)
{
	unsigned first;

	start_vcpus();
	for (int n = 0; n < THREADS; n++)
		for (int k = 0; k < n; k++)
			EXPECT(vcpu[n].cpu != vcpu[k].cpu);
	stop_vcpus();
	first = vcpu[0].cpu;
	start_vcpus();
	EXPECT_EQ(vcpu[0].cpu, first);		/* the lowest free number */
	stop_vcpus();
}

static void kicks_end_guest_mode(void)
{
	start_vcpus();
	for (int n = 0; n < THREADS; n++)	/* each is inside and can be got out, again and again */
		for (u64 exits = 0; exits < 1000; exits = __atomic_load_n(&vcpu[n].exits, __ATOMIC_RELAXED))
			host_cpu_kick(vcpu[n].cpu);
	usleep(1000);
	for (int n = 0; n < THREADS; n++) {	/* and when nobody kicks any more, they stay inside */
		u64 last = 0, now;
		unsigned quiet = 0;

		for (unsigned look = 0; look < 200 && quiet < 20; look++) {
			usleep(20000);
			now = __atomic_load_n(&vcpu[n].exits, __ATOMIC_RELAXED);
			quiet = now == last ? quiet + 1 : 0;
			last = now;
		}
		EXPECT_EQ(quiet, 20);
	}
	stop_vcpus();
	host_cpu_kick(4000);			/* nobody there */
	host_cpu_kick(~0u);
}

static u64 unguarded[4096];	/* touched only by whoever is that processor: TSan checks */

static void as_processor(void *arg)
{
	unguarded[host_cpu()]++;
	EXPECT_EQ(host_cpu(), *(unsigned *)arg);
	calls_run++;
}

static void *call_all(void *arg)
{
	for (int n = 0; n < 100; n++)
		for (int k = 0; k < THREADS; k++)
			EXPECT_EQ(host_cpu_call(vcpu[k].cpu, as_processor, &vcpu[k].cpu), 0);
	return arg;
}

static void calls(void)
{
	pthread_t thread[2];
	unsigned own;

	start_vcpus();
	for (int n = 0; n < 2; n++)
		pthread_create(&thread[n], NULL, call_all, NULL);
	for (int n = 0; n < 2; n++)
		pthread_join(thread[n], NULL);
	EXPECT_EQ(calls_run, 2 * 100 * THREADS);
	own = host_cpu();
	EXPECT_EQ(host_cpu_call(own, as_processor, &own), 0);
	EXPECT(host_cpu_call(4000, as_processor, &own) == -ENXIO);
	EXPECT(host_cpu_call(host_cpus(), as_processor, &own) == -ENXIO);
	stop_vcpus();
}

static int on_online(unsigned cpu)
{
	EXPECT_EQ(host_cpu(), cpu);
	EXPECT_EQ(atomic_exchange(&online[cpu], 1), 0);
	return 0;
}

static void on_offline(unsigned cpu)
{
	EXPECT_EQ(atomic_exchange(&online[cpu], 0), 1);
}

static int refuse(unsigned cpu)
{
	return atomic_load_relaxed(&online[cpu]) ? 0 : -EBUSY;
}

static unsigned online_now(void)
{
	unsigned count = 0;

	for (int n = 0; n < 4096; n++)
		count += atomic_load_relaxed(&online[n]);
	return count;
}

static void hooks(void)
{
	unsigned own = host_cpu();

	start_vcpus();
	EXPECT_EQ(host_cpu_hooks(on_online, on_offline), 0);
	EXPECT_EQ(online_now(), THREADS + 1);
	EXPECT_EQ(online[own], 1);
	stop_vcpus();
	EXPECT_EQ(online_now(), 1);
	start_vcpus();
	EXPECT_EQ(online_now(), THREADS + 1);
	EXPECT_EQ(host_cpu_hooks(NULL, NULL), 0);
	EXPECT_EQ(online_now(), 0);
	EXPECT(host_cpu_hooks(refuse, on_offline) == -EBUSY);
	stop_vcpus();
}

static void on_signal(int number)
{
	(void)number;
	host_posix_interrupt();
}

static void a_signal_leaves_guest_mode(void)
{
	unsigned cpu = host_pin();
	pid_t self = getpid();

	stop = 0;
	signal(SIGUSR1, on_signal);
	for (int n = 0; n < 100; n++) {
		kill(self, SIGUSR1);
		EXPECT(host_must_return());
		/* It came before: the caller sees the request, the pin is down again. */
		host_interrupts_off();
		EXPECT_EQ(pin_of[cpu], 0);
		kill(self, SIGUSR1);
		EXPECT_EQ(pin_of[cpu], 1);	/* it came after: the guest leaves at once */
		host_interrupts_on();
		EXPECT_EQ(pin_of[cpu], 0);
		host_posix_interrupt_clear();
		EXPECT(!host_must_return());
	}
	host_unpin();
}

static void fpu_is_given_back(void)
{
	u32 mxcsr, odd = 0x1f80 | 0x6000;
	u16 control, odd_control = 0x0c7f;
	u8 environment[28];

	host_pin();
	host_interrupts_off();
	__asm__ volatile("ldmxcsr %0; fldcw %1" : : "m"(odd), "m"(odd_control));
	EXPECT(!host_fpu_begin());
	mxcsr = 0x1fa0;
	control = 0x0340;
	__asm__ volatile("ldmxcsr %0; fldcw %1; fld1; fld1; fldz; fdivrp" : : "m"(mxcsr), "m"(control));
	host_fpu_end();
	__asm__ volatile("stmxcsr %0; fnstcw %1; fnstenv %2" : "=m"(mxcsr), "=m"(control), "=m"(environment));
	EXPECT_EQ(mxcsr, odd);
	EXPECT_EQ(control, odd_control);
	EXPECT_EQ(*(u16 *)(environment + 8), 0xffff);	/* tags: the stack is empty */
	EXPECT_EQ(*(u16 *)(environment + 4), 0);	/* status: no exception, top 0 */
	odd = 0x1f80;
	__asm__ volatile("fninit; ldmxcsr %0" : : "m"(odd));
	host_interrupts_on();
	host_unpin();
}

int main(void)
{
	host_posix_check(true);
	host_posix_set_processor(&processor);
	TEST(numbers);
	TEST(kicks_end_guest_mode);
	TEST(calls);
	TEST(hooks);
	TEST(a_signal_leaves_guest_mode);
	TEST(fpu_is_given_back);
	return test_status();
}
