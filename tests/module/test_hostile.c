// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_hostile.c - callers that mean harm, or have a bug, on a kernel's /dev/kvm
 *
 * Whatever a program does, it gets an errno and the host keeps running: each test ends with a
 * guest that still works, and tests/module/init looks for complaints of the kernel afterwards.
 * Only what takes processes and their deaths is here; wrong pointers, huge counts and foreign
 * descriptors are the same in a process and are in tests/guest/test_api.c.
 */
#include "tests/guest/tiny.h"

#include <sys/eventfd.h>
#include <sys/wait.h>

#define ROUNDS	8u
#define SPARE	0x800000ul	/* guest-physical: a slot for the test */

CODE64(endless, "1: incl 0x50000\n" "jmp 1b\n")
CODE64(spare_counter, "mov $0x800000, %ebx\n" "1: incl (%rbx)\n" "incl 0x50000\n" "jmp 1b\n")
CODE64(spare_once, "mov $0x800000, %ebx\n" "movl $7, (%rbx)\n" "mov (%rbx), %eax\n" DONE)
CODE64(sleeper, "movl $1, 0x50000\n" "sti\n" "1: hlt\n" "jmp 1b\n")
CODE64(answer, "mov $6, %eax\n" "mov $7, %ecx\n" "mul %ecx\n" DONE)

/* The host is none the worse: a new machine computes. */
static void a_guest_still_works(void)
{
	struct tiny t;

	tiny_one(&t, TINY_64, BLOB(answer));
	EXPECT_DONE(&t, 0);
	EXPECT_EQ(tiny_regs(&t, 0).rax, 42);
	tiny_destroy(&t);
}

static void running(struct tiny *t, struct tiny_thread *h, unsigned flags, const u8 *code, const u8 *end)
{
	tiny_create(t, flags, 1);
	tiny_load(t, TINY_64, code, end);
	tiny_start(t, 0, TINY_64);
	tiny_thread_start(h, t, 0);
	tiny_wait_for(t, TINY_DATA, 1);
}

/* What a child says by its status; it must not end by a signal other than this. */
static int ended(pid_t child, int signal)
{
	int status = 0;

	EXPECT_EQ(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status)) {
		EXPECT_EQ(WTERMSIG(status), signal);
		return -1;
	}
	return WEXITSTATUS(status);
}

/* --- other processes ---------------------------------------------------------------------------- */

static int refused_everywhere(struct tiny *t)
{
	struct kvm_regs r;
	int refused = 0;

	refused += cpu_ioctl(t, 0, KVM_RUN, NULL) == -EIO;
	refused += cpu_ioctl(t, 0, KVM_GET_REGS, &r) == -EIO;
	refused += vm_ioctl(t, KVM_CREATE_IRQCHIP, NULL) == -EIO;
	refused += akvm_ioctl(t->vm, KVM_CREATE_VCPU, 1) == -EIO;
	refused += tiny_slot(t, 3, SPARE, t->memory, PAGE_BYTES, 0) == -EIO;
	return refused;
}

static void ioctls_of_another_process_are_refused(void)
{
	struct tiny t;
	pid_t child;

	tiny_one(&t, TINY_64, BLOB(answer));
	child = fork();
	if (child == 0)
		_exit(refused_everywhere(&t));
	EXPECT_EQ(ended(child, 0), 5);
	EXPECT_DONE(&t, 0);
	tiny_destroy(&t);
}

/* The maker is dead, its memory gone; an heir of the descriptors asks, and then closes them. */
static void heirs_get_nothing(void)
{
	pid_t maker = fork();

	if (maker == 0) {
		struct tiny_thread h = { 0 };
		int go[2];
		struct tiny t;

		if (pipe(go))
			_exit(1);
		running(&t, &h, TINY_IRQCHIP, BLOB(endless));
		if (fork() == 0) {
			char c;

			close(go[1]);
			while (read(go[0], &c, 1) > 0)
				;	/* until the maker is no more */
			_exit(refused_everywhere(&t) == 5 ? 0 : 1);
		}
		kill(getpid(), SIGKILL);
	}
	ended(maker, SIGKILL);
	a_guest_still_works();
}

/* --- deaths --------------------------------------------------------------------------------------- */

static void kills(unsigned flags, const u8 *code, const u8 *end)
{
	for (unsigned n = 0; n < ROUNDS; n++) {
		int ready[2];
		pid_t child;
		char c;

		if (pipe(ready))
			abort();
		child = fork();
		if (child == 0) {
			struct tiny_thread h = { 0 };
			struct tiny t;

			running(&t, &h, flags, code, end);
			if (write(ready[1], "", 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		EXPECT_EQ(read(ready[0], &c, 1), 1);
		usleep(n * 500);
		kill(child, SIGKILL);
		ended(child, SIGKILL);
		close(ready[0]);
		close(ready[1]);
	}
	a_guest_still_works();
}

static void killed_in_the_guest(void)
{
	kills(0, BLOB(endless));
}

static void killed_while_halted(void)
{
	kills(TINY_IRQCHIP | TINY_PIT, BLOB(sleeper));
}

/* --- memory ----------------------------------------------------------------------------------------- */

static u32 last_error;

static bool any_error_ends_it(struct tiny_thread *h, int exit)
{
	__atomic_store_n(&last_error, (u32)exit, __ATOMIC_RELEASE);
	__atomic_store_n(&h->stop, 1, __ATOMIC_RELEASE);
	return true;
}

static u8 *private_pages(u64 bytes)
{
	u8 *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static void memory_goes_while_it_runs(void)
{
	for (unsigned n = 0; n < ROUNDS; n++) {
		struct tiny_thread h = { .serve = any_error_ends_it };
		u8 *pages = private_pages(TINY_BYTES);
		struct tiny t;

		tiny_create(&t, 0, 1);
		EXPECT_EQ(tiny_slot(&t, 1, SPARE, pages, TINY_BYTES, 0), 0);
		tiny_load(&t, TINY_64, BLOB(spare_counter));
		tiny_start(&t, 0, TINY_64);
		tiny_thread_start(&h, &t, 0);
		tiny_wait_for(&t, TINY_DATA, 10);
		if (n & 1)
			EXPECT_EQ(mprotect(pages, TINY_BYTES, PROT_NONE), 0);
		else
			munmap(pages, TINY_BYTES);
		tiny_thread_join(&h);
		EXPECT_EQ((int)last_error, -EFAULT);
		tiny_destroy(&t);
		if (n & 1)
			munmap(pages, TINY_BYTES);
	}
}

/* Private memory is copied behind the guest's back; it goes on with the owner's copy. */
static void forks_while_it_runs(void)
{
	struct tiny_thread h = { 0 };
	u8 *pages = private_pages(PAGE_BYTES);
	u32 *word = (u32 *)pages, seen;
	struct tiny t;

	tiny_create(&t, 0, 1);
	EXPECT_EQ(tiny_slot(&t, 1, SPARE, pages, PAGE_BYTES, 0), 0);
	tiny_load(&t, TINY_64, BLOB(spare_counter));
	tiny_start(&t, 0, TINY_64);
	tiny_thread_start(&h, &t, 0);
	tiny_wait_for(&t, TINY_DATA, 10);
	for (unsigned n = 0; n < ROUNDS; n++) {
		pid_t child = fork();

		if (child == 0) {
			u32 before = __atomic_load_n(word, __ATOMIC_SEQ_CST);

			usleep(2000);
			_exit(__atomic_load_n(word, __ATOMIC_SEQ_CST) != before);
		}
		EXPECT_EQ(ended(child, 0), 0);		/* a copy does not change */
		seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
		tiny_wait_for(&t, TINY_DATA, tiny_peek(&t, TINY_DATA) + 10);
		EXPECT(__atomic_load_n(word, __ATOMIC_SEQ_CST) != seen);
	}
	tiny_thread_stop(&h);
	tiny_destroy(&t);
	munmap(pages, PAGE_BYTES);
}

/* Guest memory that is no memory: nothing there, not ours to write, the vCPU's own page. */
static void odd_memory(void)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct tiny t;

	for (unsigned n = 0; n < 4; n++) {
		void *p = NULL;
		int r;

		tiny_one(&t, TINY_64, BLOB(spare_once));
		if (n == 0)
			p = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		else if (n == 1)
			p = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, zero, 0);
		else if (n == 2)
			p = t.cpu[0].run;
		else
			p = (void *)0x1000;		/* nobody's */
		EXPECT_EQ(tiny_slot(&t, 1, SPARE, p, PAGE_BYTES, 0), 0);
		r = tiny_run(&t, 0);
		if (n == 2)		/* whatever it scribbles there, it goes on or says so */
			EXPECT(r == KVM_EXIT_IO || r == -EFAULT || r == KVM_EXIT_MMIO);
		else
			EXPECT_EQ(r, -EFAULT);
		tiny_destroy(&t);
		if (n < 2)
			munmap(p, PAGE_BYTES);
	}
	close(zero);
}

/* Behind the last page of a vCPU's mapping there is nothing: no mapping, or SIGBUS. */
static void mappings_beyond_the_end(void)
{
	struct tiny t;
	pid_t child;

	tiny_one(&t, TINY_64, BLOB(answer));
	child = fork();
	if (child == 0) {
		volatile u8 *p = mmap(NULL, t.run_bytes + 16 * PAGE_BYTES, PROT_READ, MAP_SHARED, t.cpu[0].fd, 0);

		if (p != MAP_FAILED)
			_exit(p[t.run_bytes + 8 * PAGE_BYTES]);
		_exit(0);
	}
	ended(child, SIGBUS);
	EXPECT(mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, t.vm, 0) == MAP_FAILED);
	/* The mapping may go while it runs, and outlives its descriptor. */
	EXPECT_DONE(&t, 0);
	EXPECT_EQ(akvm_close(t.cpu[0].fd), 0);
	EXPECT_EQ(t.cpu[0].run->exit_reason, KVM_EXIT_IO);
	munmap(t.cpu[0].run, t.run_bytes);
	t.cpus = 0;
	tiny_destroy(&t);
}

/* --- descriptors ---------------------------------------------------------------------------------------- */

CODE64(bell_ringer, "1: incl 0x50000\n" "out %al, $0x77\n" "jmp 1b\n")

/* All that belongs to a machine is closed while it runs, and it runs on. */
static void descriptors_close_while_it_runs(void)
{
	int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), line = eventfd(0, EFD_CLOEXEC), heard = dup(bell);
	struct kvm_ioeventfd io = { .addr = 0x77, .len = 1, .fd = bell, .flags = KVM_IOEVENTFD_FLAG_PIO };
	struct kvm_irqfd irq = { .fd = (u32)line, .gsi = 5 };
	struct tiny_thread h = { 0 };
	eventfd_t value;
	struct tiny t;

	tiny_create(&t, TINY_IRQCHIP, 1);
	EXPECT_EQ(vm_ioctl(&t, KVM_IOEVENTFD, &io), 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_IRQFD, &irq), 0);
	tiny_load(&t, TINY_64, BLOB(bell_ringer));
	tiny_start(&t, 0, TINY_64);
	tiny_thread_start(&h, &t, 0);
	tiny_wait_for(&t, TINY_DATA, 10);
	eventfd_write(line, 1);
	close(line);
	close(bell);
	EXPECT_EQ(akvm_close(t.system), 0);
	EXPECT_EQ(akvm_close(t.vm), 0);
	EXPECT_EQ(akvm_close(t.cpu[0].fd), 0);
	tiny_wait_for(&t, TINY_DATA, tiny_peek(&t, TINY_DATA) + 10);
	EXPECT(!eventfd_read(heard, &value));
	tiny_wait_for(&t, TINY_DATA, tiny_peek(&t, TINY_DATA) + 10);
	EXPECT(!eventfd_read(heard, &value));
	close(heard);
	tiny_wait_for(&t, TINY_DATA, tiny_peek(&t, TINY_DATA) + 10);
	tiny_thread_stop(&h);
	munmap(t.cpu[0].run, t.run_bytes);
	munmap(t.memory, TINY_BYTES);
	a_guest_still_works();
}

/* A closed eventfd does not count as a descriptor any more, but what hangs on it has a limit, or goes with it. */
static void irqfds_of_closed_eventfds(void)
{
	struct tiny t;
	int r = 0;

	tiny_create(&t, TINY_IRQCHIP, 1);
	for (u32 n = 0; n < 5000 && !r; n++) {
		int fd = eventfd(0, EFD_CLOEXEC);
		struct kvm_irqfd irq = { .fd = (u32)fd, .gsi = n % 24 };

		r = vm_ioctl(&t, KVM_IRQFD, &irq);
		close(fd);
	}
	EXPECT(r == 0 || r == -ENOSPC);
	tiny_destroy(&t);
	a_guest_still_works();
}

/* --- storms -------------------------------------------------------------------------------------------- */

struct storm { struct tiny *t; unsigned seed; u8 *pages; u32 bad; };

static u32 next(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* Slots of any number, place and size, over and beside each other: done or refused, no more. */
static void *slot_storm(void *arg)
{
	static const u64 sizes[] = { 0, PAGE_BYTES, 1 << 20, TINY_BYTES, 1ull << 40, ~0ull << 12, 123 };
	struct storm *s = arg;

	for (unsigned n = 0; n < 150; n++) {
		u64 bytes = sizes[next(&s->seed) % ARRAY_LEN(sizes)];
		u64 gpa = next(&s->seed) % 8 == 0 ? ~0ull << 12 : SPARE + (next(&s->seed) % 16) * PAGE_BYTES;
		int r = tiny_slot(s->t, 1 + next(&s->seed) % 6, gpa, s->pages, bytes, next(&s->seed) % 5);

		if (r && r != -EINVAL && r != -EEXIST && r != -ENOMEM && r != -E2BIG)
			s->bad = (u32)-r;
	}
	return NULL;
}

/* So many threads (4 at most) do the same until all are through. */
static void storm(unsigned threads, void *(*fn)(void *), struct tiny *t, unsigned seed, u8 *pages)
{
	struct storm s[4];
	pthread_t id[4];

	for (unsigned n = 0; n < threads; n++) {
		s[n] = (struct storm){ t, seed + n, pages, 0 };
		if (pthread_create(&id[n], NULL, fn, &s[n]))
			abort();
	}
	for (unsigned n = 0; n < threads; n++) {
		pthread_join(id[n], NULL);
		EXPECT_EQ(s[n].bad, 0);
	}
}

static bool zeros_are_the_answer(struct tiny_thread *h, int exit)
{
	struct kvm_run *run = h->t->cpu[h->n].run;

	if (exit == KVM_EXIT_MMIO && !run->mmio.is_write)
		memset(run->mmio.data, 0, 8);
	return exit == KVM_EXIT_MMIO || exit == -EFAULT;	/* a size of 1 TiB has little behind it */
}

static void slots_in_a_storm(void)
{
	struct tiny_thread h = { .serve = zeros_are_the_answer };
	u8 *pages = private_pages(TINY_BYTES);
	struct tiny t;

	tiny_create(&t, 0, 1);
	tiny_load(&t, TINY_64, BLOB(spare_counter));
	tiny_start(&t, 0, TINY_64);
	tiny_thread_start(&h, &t, 0);
	storm(2, slot_storm, &t, 1, pages);
	tiny_thread_stop(&h);
	tiny_destroy(&t);
	munmap(pages, TINY_BYTES);
	a_guest_still_works();
}

static void *vcpu_storm(void *arg)
{
	struct storm *s = arg;

	for (unsigned n = 0; n < 20; n++) {
		int fd = akvm_ioctl(s->t->vm, KVM_CREATE_VCPU, next(&s->seed) % 24);

		if (fd < 0 && fd != -EEXIST && fd != -EINVAL)
			s->bad = (u32)-fd;
		if (fd >= 0)
			akvm_close(fd);
	}
	return NULL;
}

/* vCPUs of the same numbers, made and closed by three threads while another runs. */
static void vcpus_in_a_storm(void)
{
	for (unsigned round = 0; round < 3; round++) {
		struct tiny_thread h = { 0 };
		struct tiny t;

		running(&t, &h, TINY_IRQCHIP, BLOB(endless));
		storm(3, vcpu_storm, &t, 7 * round, NULL);
		tiny_thread_stop(&h);
		tiny_destroy(&t);
	}
}

int main(void)
{
	tiny_watchdog();
	tiny_signals_init();
	TEST(ioctls_of_another_process_are_refused);
	TEST(heirs_get_nothing);
	TEST(killed_in_the_guest);
	TEST(killed_while_halted);
	TEST(memory_goes_while_it_runs);
	TEST(forks_while_it_runs);
	TEST(odd_memory);
	TEST(mappings_beyond_the_end);
	TEST(descriptors_close_while_it_runs);
	TEST(irqfds_of_closed_eventfds);
	TEST(slots_in_a_storm);
	TEST(vcpus_in_a_storm);
	return test_status();
}
