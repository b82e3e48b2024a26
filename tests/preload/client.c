// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * client.c - a small KVM program that knows nothing of anykvm, for tests/preload/run
 *
 * usage: anykvm exec -- client      prints ok/FAIL lines
 * What KVM's file descriptors do under dup, fork, close, mmap, munmap, signals and cancelled threads, as a kernel's do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static int bad;		/* expectations of this case that failed */

#define EXPECT(x) do { \
	if (!(x)) { \
		printf("%s:%d: %s (errno %d)\n", __func__, __LINE__, #x, errno); \
		bad++; \
	} \
} while (0)

#define PAGE 4096ul
#define RAM (16 * PAGE)

struct guest { int system, vm, cpu; size_t run_bytes; struct kvm_run *run; unsigned char *ram; };

/* Code at guest address 0, in real mode. */
static struct guest guest_make(const unsigned char *code, size_t bytes)
{
	struct guest g = { .system = open("/dev/kvm", O_RDWR | O_CLOEXEC) };
	struct kvm_userspace_memory_region slot = { .memory_size = RAM };
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rflags = 2 };

	g.vm = ioctl(g.system, KVM_CREATE_VM, 0);
	g.cpu = ioctl(g.vm, KVM_CREATE_VCPU, 0);
	g.run_bytes = (size_t)ioctl(g.system, KVM_GET_VCPU_MMAP_SIZE, 0);
	g.run = mmap(NULL, g.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, g.cpu, 0);
	g.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g.system < 0 || g.vm < 0 || g.cpu < 0 || g.run == MAP_FAILED || g.ram == MAP_FAILED)
		abort();
	memcpy(g.ram, code, bytes);
	slot.userspace_addr = (unsigned long)g.ram;
	ioctl(g.vm, KVM_SET_USER_MEMORY_REGION, &slot);
	ioctl(g.cpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = sregs.cs.selector = 0;
	ioctl(g.cpu, KVM_SET_SREGS, &sregs);
	ioctl(g.cpu, KVM_SET_REGS, &regs);
	return g;
}

static void guest_free(struct guest *g)
{
	munmap(g->run, g->run_bytes);
	munmap(g->ram, RAM);
	close(g->cpu);
	close(g->vm);
	close(g->system);
}

static const unsigned char halts[] = { 0xf4 };			/* hlt */
static const unsigned char loops[] = { 0xeb, 0xfe };		/* jmp . */
static const unsigned char stores[] = { 0xfe, 0x06, 0x00, 0x20, 0xeb, 0xfa };	/* incb 0x2000; jmp back */

static void the_node_is_there(void)
{
	struct stat st;
	FILE *f;

	EXPECT(!access("/dev/kvm", R_OK | W_OK));
	EXPECT(access("/dev/kvm", X_OK) && errno == EACCES);
	EXPECT(!stat("/dev/kvm", &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 232));
	f = fopen("/dev/kvm", "r+");
	EXPECT(f && ioctl(fileno(f), KVM_GET_API_VERSION, 0) == KVM_API_VERSION);
	if (f)
		fclose(f);
	EXPECT(ioctl(0, KVM_GET_API_VERSION, 0) == -1);
}

static void cpuinfo_has_the_flag(void)
{
	char text[1 << 16];
	FILE *f = fopen("/proc/cpuinfo", "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = 0;
	EXPECT(strstr(text, " vmx") || strstr(text, " svm"));
	if (f)
		fclose(f);
}

static void flags_of_descriptors(void)
{
	int kept = open("/dev/kvm", O_RDWR), closed = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	EXPECT(fcntl(kept, F_GETFD) == 0);
	EXPECT(fcntl(closed, F_GETFD) == FD_CLOEXEC);
	close(kept);
	close(closed);
	EXPECT(ioctl(kept, KVM_GET_API_VERSION, 0) == -1 && errno == EBADF);
	EXPECT(close(kept) == -1 && errno == EBADF);
}

static void duplicates_are_the_same(void)
{
	struct guest g = guest_make(halts, sizeof(halts));
	int copy = dup(g.cpu), high = fcntl(g.cpu, F_DUPFD_CLOEXEC, 100), other = open("/dev/null", O_RDWR), null2;

	close(g.cpu);
	EXPECT(high >= 100 && fcntl(high, F_GETFD) == FD_CLOEXEC);
	EXPECT(ioctl(copy, KVM_RUN, 0) == 0 && g.run->exit_reason == KVM_EXIT_HLT);
	EXPECT(dup2(copy, other) == other);
	EXPECT(ioctl(other, KVM_RUN, 0) == 0);
	null2 = open("/dev/null", O_RDWR);
	EXPECT(dup2(null2, copy) == copy);		/* it is not one any more */
	EXPECT(ioctl(copy, KVM_RUN, 0) == -1 && errno == ENOTTY);
	EXPECT(dup3(high, high, 0) == -1 && errno == EINVAL);
	EXPECT(!close_range((unsigned)high, (unsigned)high, 0));
	EXPECT(fcntl(high, F_GETFD) == -1);
	close(g.vm);		/* the vCPU keeps its machine */
	EXPECT(ioctl(other, KVM_RUN, 0) == 0);
	close(null2);
	close(copy);
	g.cpu = other;
	g.vm = -1;
	guest_free(&g);
}

static void run_page_is_mapped_often(void)
{
	struct guest g = guest_make(halts, sizeof(halts));
	struct kvm_run *second = mmap(NULL, g.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, g.cpu, 0);

	EXPECT(second != MAP_FAILED && second != g.run);
	munmap(g.run, g.run_bytes);
	g.run = second;
	EXPECT(ioctl(g.cpu, KVM_RUN, 0) == 0 && second->exit_reason == KVM_EXIT_HLT);
	EXPECT(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, g.vm, 0) == MAP_FAILED);
	guest_free(&g);
}

static void a_child_has_its_own(void)
{
	struct guest g = guest_make(halts, sizeof(halts));
	pid_t child = fork();
	int status = -1;

	if (!child) {
		int ok = ioctl(g.cpu, KVM_RUN, 0) == -1 && errno == EIO;

		ok = ok && ioctl(g.vm, KVM_CHECK_EXTENSION, KVM_CAP_HLT) == -1 && errno == EIO;
		ok = ok && ioctl(g.system, KVM_GET_API_VERSION, 0) == KVM_API_VERSION;
		close(g.cpu);
		close(g.vm);
		close(g.system);
		_exit(ok ? 0 : 1);
	}
	waitpid(child, &status, 0);
	EXPECT(status == 0);
	child = vfork();
	if (!child) {
		close(g.cpu);
		close(g.vm);
		_exit(0);
	}
	waitpid(child, &status, 0);
	EXPECT(ioctl(g.cpu, KVM_RUN, 0) == 0);
	guest_free(&g);
}

static void handles_are_not_sent(void)
{
	int pair[2], fd = open("/dev/kvm", O_RDWR);
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *part = CMSG_FIRSTHDR(&m);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		abort();
	part->cmsg_level = SOL_SOCKET;
	part->cmsg_type = SCM_RIGHTS;
	part->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(part), &fd, sizeof(fd));
	EXPECT(sendmsg(pair[0], &m, 0) == -1 && errno == EOPNOTSUPP);
	memcpy(CMSG_DATA(part), &pair[1], sizeof(fd));
	EXPECT(sendmsg(pair[0], &m, 0) == 1);
	close(pair[0]);
	close(pair[1]);
	close(fd);
}

/* --- signals ----------------------------------------------------------------------- */

static volatile int signals, sent_value;
static void on_signal(int number) { (void)number; signals++; }

static void on_info(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	signals++;
	sent_value = info->si_value.sival_int;
}

static pthread_t runner;

static void *interrupt_soon(void *unused)
{
	(void)unused;
	usleep(100000);
	pthread_kill(runner, SIGUSR1);
	return NULL;
}

static void a_signal_ends_run(void)
{
	struct guest g = guest_make(loops, sizeof(loops));
	struct sigaction action = { .sa_sigaction = on_info, .sa_flags = SA_SIGINFO }, old;
	pthread_t other;

	signal(SIGUSR1, on_signal);
	EXPECT(signal(SIGUSR1, on_signal) == on_signal);
	signals = 0;
	runner = pthread_self();
	pthread_create(&other, NULL, interrupt_soon, NULL);
	EXPECT(ioctl(g.cpu, KVM_RUN, 0) == -1 && errno == EINTR && signals == 1 && g.run->exit_reason == KVM_EXIT_INTR);
	pthread_join(other, NULL);
	g.run->immediate_exit = 1;
	EXPECT(ioctl(g.cpu, KVM_RUN, 0) == -1 && errno == EINTR);
	g.run->immediate_exit = 0;
	EXPECT(!sigaction(SIGUSR1, &action, &old) && old.sa_handler == on_signal && !(old.sa_flags & SA_SIGINFO));
	sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 42 });
	EXPECT(signals == 2 && sent_value == 42);
	EXPECT(!sigaction(SIGUSR1, NULL, &old) && old.sa_sigaction == on_info && (old.sa_flags & SA_SIGINFO));
	signal(SIGUSR1, SIG_DFL);
	guest_free(&g);
}

static void *signal_soon(void *unused)
{
	(void)unused;
	usleep(100000);
	pthread_sigqueue(runner, SIGUSR1, (union sigval){ .sival_int = 7 });
	return NULL;
}

/* Blocked outside of KVM_RUN, let through inside: it ends that and stays pending. */
static void the_mask_of_run(void)
{
	struct guest g = guest_make(loops, sizeof(loops));
	struct sigaction action = { .sa_sigaction = on_info, .sa_flags = SA_SIGINFO };
	struct { struct kvm_signal_mask head; unsigned char set[8]; } none = { .head.len = 8 }, wrong = { .head.len = 7 };
	const struct timespec at_once = { 0 };
	sigset_t usr1, usr2, pending, now;
	siginfo_t info;
	pthread_t other;

	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	pthread_sigmask(SIG_BLOCK, &usr2, NULL);	/* has no handler: must not kill us */
	EXPECT(ioctl(g.cpu, KVM_SET_SIGNAL_MASK, &wrong) == -1 && errno == EINVAL);
	EXPECT(ioctl(g.cpu, KVM_SET_SIGNAL_MASK, 8) == -1 && errno == EFAULT);
	EXPECT(!ioctl(g.cpu, KVM_SET_SIGNAL_MASK, &none));
	signals = 0;
	runner = pthread_self();
	pthread_create(&other, NULL, signal_soon, NULL);
	EXPECT(ioctl(g.cpu, KVM_RUN, 0) == -1 && errno == EINTR && g.run->exit_reason == KVM_EXIT_INTR);
	pthread_join(other, NULL);
	EXPECT(signals == 0);
	EXPECT(!sigpending(&pending) && sigismember(&pending, SIGUSR1));
	EXPECT(!pthread_sigmask(SIG_SETMASK, NULL, &now) && sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
	EXPECT(ioctl(g.cpu, KVM_RUN, 0) == -1 && errno == EINTR);	/* again, as it is pending still */
	EXPECT(sigtimedwait(&usr1, &info, &at_once) == SIGUSR1 && info.si_value.sival_int == 7);
	EXPECT(sigtimedwait(&usr1, &info, &at_once) == -1);
	pthread_kill(runner, SIGUSR1);
	EXPECT(ioctl(g.cpu, KVM_RUN, 0) == -1 && errno == EINTR && signals == 0);
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	EXPECT(signals == 1);
	pthread_create(&other, NULL, signal_soon, NULL);	/* not blocked: its handler runs */
	EXPECT(ioctl(g.cpu, KVM_RUN, 0) == -1 && errno == EINTR && signals == 2);
	pthread_join(other, NULL);
	EXPECT(!ioctl(g.cpu, KVM_SET_SIGNAL_MASK, 0));
	pthread_sigmask(SIG_UNBLOCK, &usr2, NULL);
	signal(SIGUSR1, SIG_DFL);
	guest_free(&g);
}

/* The other way: blocked while the guest runs only. */
static void the_mask_of_run_blocks(void)
{
	struct guest g = guest_make(halts, sizeof(halts));
	struct { struct kvm_signal_mask head; unsigned char set[8]; } all = { .head.len = 8 };
	pthread_t other;

	memset(all.set, 0xff, sizeof(all.set));
	signal(SIGUSR1, on_signal);
	EXPECT(!ioctl(g.cpu, KVM_SET_SIGNAL_MASK, &all));
	signals = 0;
	runner = pthread_self();
	pthread_create(&other, NULL, signal_soon, NULL);
	for (int n = 0; n < 1000; n++)
		EXPECT(!ioctl(g.cpu, KVM_RUN, 0));	/* and in between it is let through */
	pthread_join(other, NULL);
	EXPECT(signals == 1);
	signal(SIGUSR1, SIG_DFL);
	guest_free(&g);
}

/* --- ways out of KVM_RUN that are not its return ----------------------------------------- */

static struct guest shared;

/* The vCPU is nobody's: it runs, and is as it was left. */
static void is_free(void)
{
	struct kvm_regs regs;

	memcpy(shared.ram, halts, sizeof(halts));
	EXPECT(!ioctl(shared.cpu, KVM_GET_REGS, &regs) && regs.rip == 0);
	EXPECT(!ioctl(shared.cpu, KVM_RUN, 0) && shared.run->exit_reason == KVM_EXIT_HLT);
}

static volatile int going;

static void *run_for_ever(void *how)
{
	pthread_setcanceltype(how ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, NULL);
	going = 1;
	while (ioctl(shared.cpu, KVM_RUN, 0) == 0 || errno == EINTR) {
		going++;
		pthread_testcancel();
	}
	return NULL;
}

static void a_thread_is_cancelled(void)
{
	void *result;
	pthread_t other;

	for (int n = 0; n < 40; n++) {
		shared = guest_make(loops, sizeof(loops));
		going = 0;
		pthread_create(&other, NULL, run_for_ever, "at once");
		while (!going)
			usleep(100);
		usleep((useconds_t)n * 200);
		EXPECT(!pthread_cancel(other));
		EXPECT(!pthread_join(other, &result) && result == PTHREAD_CANCELED && going == 1);
		is_free();
		guest_free(&shared);
	}
	/* ioctl() is no point of cancellation: only a signal ends it. */
	shared = guest_make(loops, sizeof(loops));
	signal(SIGUSR1, on_signal);
	going = 0;
	pthread_create(&other, NULL, run_for_ever, NULL);
	while (!going)
		usleep(100);
	usleep(5000);
	EXPECT(!pthread_cancel(other));
	usleep(20000);
	EXPECT(going == 1);
	pthread_kill(other, SIGUSR1);
	EXPECT(!pthread_join(other, &result) && result == PTHREAD_CANCELED && going == 2);
	is_free();
	signal(SIGUSR1, SIG_DFL);
	guest_free(&shared);
}

static void leave_thread(int number) { (void)number; pthread_exit("left"); }

static void a_thread_ends_in_a_handler(void)
{
	void *result;
	pthread_t other;

	shared = guest_make(loops, sizeof(loops));
	signal(SIGUSR1, leave_thread);
	for (int n = 0; n < 40; n++) {
		memcpy(shared.ram, loops, sizeof(loops));
		ioctl(shared.cpu, KVM_SET_REGS, &(struct kvm_regs){ .rflags = 2 });
		going = 0;
		pthread_create(&other, NULL, run_for_ever, NULL);
		while (!going)
			usleep(100);
		usleep((useconds_t)n * 200);
		pthread_kill(other, SIGUSR1);
		EXPECT(!pthread_join(other, &result) && !strcmp(result, "left"));
		is_free();
	}
	signal(SIGUSR1, SIG_DFL);
	guest_free(&shared);
}

static sigjmp_buf out;
static void jump_out(int number) { siglongjmp(out, number); }

static void a_handler_jumps_out(void)
{
	pthread_t other;

	shared = guest_make(loops, sizeof(loops));
	signal(SIGUSR1, jump_out);
	runner = pthread_self();
	for (volatile int n = 0; n < 10; n++) {
		memcpy(shared.ram, loops, sizeof(loops));
		ioctl(shared.cpu, KVM_SET_REGS, &(struct kvm_regs){ .rflags = 2 });
		if (!sigsetjmp(out, 1)) {
			pthread_create(&other, NULL, interrupt_soon, NULL);
			ioctl(shared.cpu, KVM_RUN, 0);
			EXPECT(!"KVM_RUN returned");
		}
		pthread_join(other, NULL);
		is_free();
	}
	signal(SIGUSR1, SIG_DFL);
	guest_free(&shared);
}

/* Of the vCPU that was interrupted: nothing of it is in use any more. */
static unsigned long long rip_seen;

static void ask_the_vcpu(int number)
{
	struct kvm_regs regs = { .rip = 1 };

	(void)number;
	signals++;
	EXPECT(!ioctl(shared.cpu, KVM_GET_REGS, &regs));
	rip_seen = regs.rip;
	regs.rip = 2;		/* past the loop */
	EXPECT(!ioctl(shared.cpu, KVM_SET_REGS, &regs));
	EXPECT(ioctl(shared.cpu, KVM_RUN, 0) == 0 && shared.run->exit_reason == KVM_EXIT_MMIO);
}

static const unsigned char loops_then_stores[] = { 0xeb, 0xfe, 0xa2, 0xff, 0xff };	/* jmp .; mov %al, 0xffff */

static void a_handler_asks_the_vcpu(void)
{
	struct sigaction action = { .sa_handler = ask_the_vcpu, .sa_flags = (int)SA_RESETHAND }, now;
	struct kvm_sregs sregs;
	pthread_t other;

	shared = guest_make(loops_then_stores, sizeof(loops_then_stores));
	ioctl(shared.cpu, KVM_GET_SREGS, &sregs);
	sregs.ds.base = 0x10000;
	ioctl(shared.cpu, KVM_SET_SREGS, &sregs);
	runner = pthread_self();
	signals = 0;
	EXPECT(!sigaction(SIGUSR1, &action, NULL));
	EXPECT(!sigaction(SIGUSR1, NULL, &now) && now.sa_handler == ask_the_vcpu && now.sa_flags & (int)SA_RESETHAND);
	pthread_create(&other, NULL, interrupt_soon, NULL);
	EXPECT(ioctl(shared.cpu, KVM_RUN, 0) == -1 && errno == EINTR);
	pthread_join(other, NULL);
	EXPECT(signals == 1 && rip_seen == 0);
	EXPECT(!sigaction(SIGUSR1, NULL, &now) && now.sa_handler == SIG_DFL);
	guest_free(&shared);
}

/* --- memory ------------------------------------------------------------------------- */

static void *run_shared(void *unused)
{
	long r = ioctl(shared.cpu, KVM_RUN, 0);

	(void)unused;
	return (void *)(r == -1 ? (long)errno : 0);
}

static void memory_goes_while_the_guest_runs(void)
{
	pthread_t other;
	void *error;

	shared = guest_make(stores, sizeof(stores));
	pthread_create(&other, NULL, run_shared, NULL);
	while (!*(volatile unsigned char *)(shared.ram + 0x2000))
		usleep(1000);
	madvise(shared.ram + 0x2000, PAGE, MADV_DONTNEED);	/* zeroes, and it goes on */
	while (!*(volatile unsigned char *)(shared.ram + 0x2000))
		usleep(1000);
	munmap(shared.ram + 0x2000, PAGE);
	pthread_join(other, &error);
	EXPECT((long)error == EFAULT);
	mmap(shared.ram + 0x2000, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	pthread_create(&other, NULL, run_shared, NULL);
	while (!*(volatile unsigned char *)(shared.ram + 0x2000))
		usleep(1000);
	mprotect(shared.ram + 0x2000, PAGE, PROT_NONE);
	pthread_join(other, &error);
	EXPECT((long)error == EFAULT);
	guest_free(&shared);
}

/* --- races --------------------------------------------------------------------------- */

static volatile int racing;

static void *race(void *unused)
{
	(void)unused;
	while (racing) {
		int copy = dup(shared.cpu);

		if (copy >= 0) {
			struct kvm_regs regs;

			ioctl(copy, KVM_GET_REGS, &regs);
			close(copy);
		}
	}
	return NULL;
}

static void descriptors_race(void)
{
	pthread_t thread[4];

	for (int round = 0; round < 20; round++) {
		shared = guest_make(halts, sizeof(halts));
		racing = 1;
		for (int n = 0; n < 4; n++)
			pthread_create(&thread[n], NULL, race, NULL);
		for (int n = 0; n < 50; n++)
			EXPECT(ioctl(shared.cpu, KVM_RUN, 0) == 0);
		if (round % 2) {	/* under their feet */
			int cpu = shared.cpu;

			shared.cpu = -1;
			close(cpu);
		}
		racing = 0;
		for (int n = 0; n < 4; n++)
			pthread_join(thread[n], NULL);
		guest_free(&shared);
	}
}

int main(void)
{
	static const struct { const char *name; void (*run)(void); } cases[] = {
#define CASE(name) { #name, name }
		CASE(the_node_is_there), CASE(cpuinfo_has_the_flag), CASE(flags_of_descriptors), CASE(duplicates_are_the_same),
		CASE(run_page_is_mapped_often), CASE(a_child_has_its_own), CASE(handles_are_not_sent), CASE(a_signal_ends_run),
		CASE(the_mask_of_run), CASE(the_mask_of_run_blocks),
		CASE(a_thread_is_cancelled), CASE(a_thread_ends_in_a_handler), CASE(a_handler_jumps_out),
		CASE(a_handler_asks_the_vcpu),
		CASE(memory_goes_while_the_guest_runs), CASE(descriptors_race),
	};
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(120);
	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		bad = 0;
		cases[n].run();
		printf("%s %s\n", bad ? "FAIL" : "ok  ", cases[n].name);
		failed |= bad;
	}
	return failed ? 1 : 0;
}
