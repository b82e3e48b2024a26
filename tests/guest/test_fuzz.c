// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_fuzz.c - random ioctls of every row of ioctl.def, on every kind of handle, by several threads
 *
 * usage: test_fuzz [calls=N] [seed=N] [threads=N] [round=N] [seconds=N] [progress]
 *
 * A round has a seed of its own, some machines with guests that keep the processor busy, and
 * threads that share all handles: they make, duplicate, close and guess them while others use
 * them.  Arguments are what the ioctl's row and the table of fields below say, often what the
 * matching GET gave with something changed, at the end of a page behind which there is none; or
 * pointers to nothing.  Some calls are made with an allocation that fails.
 *
 * What must come of it: an answer out of a known set.  -EIO means that an invariant of ours broke
 * (VM_BUG), and the rest is for sanitizers.  What each thread does follows from the seed; what
 * several threads do to each other does not, so "round=N threads=1" is the better reproducer.
 */
#include "tests/guest/arguments.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "host/posix/posix.h"

static struct {
	u32 system[2], vm[4], vcpu[8], stats[3];	/* handles + 1; 0: none.  Atomic */
	struct kvm_run *run[8];				/* of the vCPUs, unmapped when the round is over */
} pool;
static u32 *const handles[HANDLE_KINDS] = { pool.system, pool.vm, pool.vcpu, pool.stats };
static const u32 handle_count[HANDLE_KINDS] = { 2, 4, 8, 3 };

static u64 calls_done, seed_base = 1;
static u32 broken;
static __thread char what[128];

/* --- handles ---------------------------------------------------------------------------------- */

static int pick(struct worker *w, enum handle_kind kind)
{
	u32 h;

	if (one_in(w, 200))
		return one_in(w, 4) ? -(int)below(w, 3) : one_in(w, 4) ? (int)next(w) : 3 + (int)below(w, 60);
	if (one_in(w, 50))
		kind = below(w, HANDLE_KINDS);
	h = __atomic_load_n(&handles[kind][below(w, handle_count[kind])], __ATOMIC_ACQUIRE);
	return (int)h - 1;
}

static void handle_close(u32 h, enum handle_kind kind)
{
	if (h && kind == STATS_HANDLE)
		syscall(SYS_close, (int)h - 1);		/* races are meant, by number: not for TSan */
	else if (h)
		akvm_close((int)h - 1);
}

/* A new handle takes the place of another one, which is closed: perhaps under somebody's feet. */
static void handle_keep(struct worker *w, enum handle_kind kind, int fd)
{
	u32 n = below(w, handle_count[kind]);

	if (fd < 0)
		return;
	handle_close(__atomic_exchange_n(&handles[kind][n], (u32)fd + 1, __ATOMIC_ACQ_REL), kind);
	if (kind == VCPU_HANDLE) {
		struct kvm_run *run = akvm_mmap(fd, run_bytes, 0), *none = NULL;

		if (run && !__atomic_compare_exchange_n(&pool.run[n], &none, run, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			munmap(run, run_bytes);
	}
}

/* --- the calls ---------------------------------------------------------------------------------- */

static bool is_known(int r)
{
	switch (-r) {
	case EFAULT: case EINVAL: case ENOTTY: case EBADF: case ENOMEM: case E2BIG: case EEXIST: case ENXIO: case EBUSY:
	case EPERM: case EINTR: case EAGAIN: case ENOENT: case EMFILE: case ENOSPC: case EOPNOTSUPP: case ENODEV:
		return true;
	}
	return r >= 0;
}

static u32 served[ARRAY_LEN(rows)];	/* how often it was not an error */

static int checked(struct worker *w, int fd, const struct row *row, const char *name, unsigned long request, u64 arg)
{
	int r;

	/* To be read in a debugger, or at a crash with "progress". */
	snprintf(what, sizeof(what), "%s(%d, %#llx)", name, fd, (unsigned long long)arg);
	if (!on_dev_kvm() && one_in(w, 64))
		host_posix_fail_allocation(1 + below(w, 4));
	r = akvm_ioctl(fd, request, arg);
	if (!on_dev_kvm())
		host_posix_fail_allocation(0);
	if (row && r >= 0)
		__atomic_fetch_add(&served[row - rows], 1, __ATOMIC_RELAXED);
	if (!is_known(r)) {
		fprintf(stderr, "  %s of thread %u: %s\n", what, w->number, strerror(-r));
		__atomic_store_n(&broken, 1, __ATOMIC_RELAXED);
	}
	w->calls++;
	return r;
}

/* Blocks nothing that ends a KVM_RUN here. */
static void *signal_mask(struct worker *w)
{
	struct { struct kvm_signal_mask head; u8 set[8]; } mask = { .head.len = one_in(w, 8) ? below(w, 20) : 8 };
	u64 set = next(w) & 0xffffffff00000000ull;
	u8 *at = w->area + AREA_BYTES - sizeof(mask);

	memcpy(mask.set, &set, 8);
	scribble(at, &mask, sizeof(mask));
	return one_in(w, 3) ? NULL : at;
}

static u64 value_argument(struct worker *w, const struct row *r)
{
	if (r->request == KVM_CREATE_VCPU)
		return one_in(w, 8) ? interesting(w) : below(w, 10);
	if (r->request == KVM_CHECK_EXTENSION)
		return field_value(w, CAP);
	return one_in(w, 2) ? 0 : one_in(w, 3) ? interesting(w) : below(w, 100000);
}

/* The page that a vCPU shares with its client. */
static void scribble_run(struct worker *w, struct kvm_run *run)
{
	u64 value = interesting(w);

	scribble(&run->immediate_exit, &(u8){ w->alone || one_in(w, 2) }, 1);
	if (one_in(w, 8))
		scribble(&run->request_interrupt_window, &(u8){ (u8)below(w, 2) }, 1);
	if (one_in(w, 8))
		scribble((u8 *)&run->kvm_dirty_regs, &(u64){ below(w, 9) }, 8);
	if (one_in(w, 8))
		scribble((u8 *)&run->kvm_valid_regs, &(u64){ below(w, 9) }, 8);
	if (one_in(w, 4))
		scribble((u8 *)run + next(w) % (run_bytes - 8), &value, 8);
	scribble(&run->immediate_exit, &(u8){ w->alone || one_in(w, 2) }, 1);
}

static void call_run(struct worker *w, const struct row *r)
{
	u32 n = below(w, handle_count[VCPU_HANDLE]);
	struct kvm_run *run = __atomic_load_n(&pool.run[n], __ATOMIC_ACQUIRE);

	for (unsigned times = 1 + below(w, 4); times; times--) {
		if (run)
			scribble_run(w, run);
		checked(w, (int)__atomic_load_n(&handles[VCPU_HANDLE][n], __ATOMIC_ACQUIRE) - 1, r, r->name, KVM_RUN,
			one_in(w, 50) ? next(w) : 0);
	}
}

/*
 * A slot is where guests write: not over what belongs to the library, to this program or to the
 * sanitizer, which would then be found corrupted.  A copy, as a guest may write to the areas.
 */
static u64 slot_tame(u64 arg, struct kvm_userspace_memory_region *region)
{
	u64 at;

	if (arg % 8 || arg < (u64)(uintptr_t)arena || arg > (u64)(uintptr_t)arena + ARENA_BYTES - sizeof(*region) ||
	    process_vm_readv(getpid(), &(struct iovec){ region, sizeof(*region) }, 1,
			     &(struct iovec){ (void *)arg, sizeof(*region) }, 1, 0) != sizeof(*region))
		return arg;	/* cannot be read by the library either */
	at = region->userspace_addr - (u64)(uintptr_t)arena;
	if (region->userspace_addr >> 63)
		return (u64)(uintptr_t)region;		/* no program's */
	if (at >= ARENA_BYTES)
		region->userspace_addr = (u64)(uintptr_t)arena, at = 0;
	if (region->memory_size > ARENA_BYTES - at)
		region->memory_size = (ARENA_BYTES - at) & ~(PAGE_BYTES - 1);
	return (u64)(uintptr_t)region;
}

static void call_row(struct worker *w, const struct row *r)
{
	struct kvm_userspace_memory_region region;
	int fd = pick(w, r->kind), result;
	u64 arg;

	if (r->request == KVM_RUN) {
		call_run(w, r);
		return;
	}
	if (r->argument == VALUE)
		arg = value_argument(w, r);
	else if (one_in(w, 24))
		arg = (u64)(uintptr_t)bad_pointer(w);
	else if (r->request == KVM_SET_SIGNAL_MASK)
		arg = (u64)(uintptr_t)signal_mask(w);
	else
		arg = (u64)(uintptr_t)argument(w, r, fd);
	/* Not too many of what takes long to make. */
	if ((r->request == KVM_CREATE_VM || r->request == KVM_CREATE_VCPU || r->request == KVM_GET_STATS_FD) && !one_in(w, 8))
		return;
	if (r->request == KVM_SET_USER_MEMORY_REGION)
		arg = slot_tame(arg, &region);
	result = checked(w, fd, r, r->name, r->request, arg);
	if (r->request == KVM_CREATE_VM)
		handle_keep(w, VM_HANDLE, result);
	if (r->request == KVM_CREATE_VCPU)
		handle_keep(w, VCPU_HANDLE, result);
	if (r->request == KVM_GET_STATS_FD)
		handle_keep(w, STATS_HANDLE, result);
}

/* --- machines -------------------------------------------------------------------------------------- */

/* Something of everything that leaves a guest, for ever. */
CODE64(busy,
	"1: incl 0x50000\n" "mov 0x400000, %eax\n" "mov %rax, 0x400008\n" "out %al, $0x80\n" "in $0x40, %al\n"
	"mov $0xfee00000, %ebx\n" "mov 0x20(%rbx), %eax\n" "movl $0, 0xb0(%rbx)\n" "cpuid\n"
	"mov $0x10, %ecx\n" "rdmsr\n" "mov $0x40000000, %ecx\n" "rdmsr\n" "mov $0x400000, %edi\n" "mov $0x50000, %esi\n"
	"mov $3, %ecx\n" "rep movsl\n" "sti\n" "nop\n" "cli\n" "mov %cr8, %rax\n" "mov %cr3, %rax\n" "mov %rax, %cr3\n"
	"lock incl 0x60000\n" "movups %xmm0, 0x61000\n" "rdtsc\n" "jmp 1b\n")

static struct kvm_sregs start_sregs[TINY_MODES];	/* as tiny_start() leaves them */
static struct tiny_cpuid start_cpuid;

/* A whole machine, made while nobody is at it. */
static void machine_make(struct worker *w)
{
	enum tiny_mode mode = below(w, TINY_MODES);
	struct tiny t;

	tiny_create(&t, one_in(w, 2) ? TINY_IRQCHIP | TINY_PIT : 0, 2);
	MUST(tiny_slot(&t, 0, 0, NULL, 0, 0));
	munmap(t.memory, TINY_BYTES);
	t.memory = memories[0];
	MUST(tiny_slot(&t, 0, 0, t.memory, TINY_BYTES, 0));
	tiny_load(&t, mode, BLOB(busy));
	if (one_in(w, 3))
		for (unsigned n = 0; n < PAGE_BYTES; n += 8)
			tiny_put(&t, TINY_CODE + n, 8, next(w));
	MUST(cpu_ioctl(&t, 0, KVM_GET_CPUID2, (start_cpuid.head.nent = TINY_CPUID_MAX, &start_cpuid)));
	for (enum tiny_mode m = 0; m < TINY_MODES; m++) {
		tiny_start(&t, 0, m);
		start_sregs[m] = tiny_sregs(&t, 0);
	}
	for (unsigned n = 0; n < 2; n++) {
		tiny_start(&t, n, mode);
		munmap(t.cpu[n].run, run_bytes);
	}
	for (unsigned n = 0; n < 2; n++)
		handle_keep(w, VCPU_HANDLE, t.cpu[n].fd);
	handle_keep(w, VM_HANDLE, t.vm);
	handle_keep(w, SYSTEM_HANDLE, t.system);
}

/* Memory for a machine and registers for a vCPU, with which something can be run. */
static void machine_start(struct worker *w)
{
	struct kvm_regs regs = { .rip = TINY_CODE, .rsp = TINY_STACK, .rflags = 2 };
	struct kvm_userspace_memory_region slot = {
		.memory_size = TINY_BYTES, .userspace_addr = (u64)(uintptr_t)memories[0] };
	int cpu = pick(w, VCPU_HANDLE);

	checked(w, pick(w, VM_HANDLE), NULL, "start: slot", KVM_SET_USER_MEMORY_REGION, (u64)(uintptr_t)&slot);
	checked(w, cpu, NULL, "start: CPUID", KVM_SET_CPUID2, (u64)(uintptr_t)&start_cpuid);
	checked(w, cpu, NULL, "start: sregs", KVM_SET_SREGS, (u64)(uintptr_t)&start_sregs[below(w, TINY_MODES)]);
	checked(w, cpu, NULL, "start: regs", KVM_SET_REGS, (u64)(uintptr_t)&regs);
}

static void call_other(struct worker *w)
{
	enum handle_kind kind = below(w, STATS_HANDLE);
	u8 data[256];
	void *run;
	int fd;

	switch (below(w, 12)) {
	case 0:
		handle_keep(w, kind, on_dev_kvm() ? -1 : akvm_dup(pick(w, kind), 3, O_CLOEXEC));
		break;
	case 1:
		akvm_close(pick(w, kind));
		break;
	case 2:
		run = akvm_mmap(pick(w, VCPU_HANDLE), run_bytes, 0);
		if (run)
			munmap(run, run_bytes);
		break;
	case 3:
		akvm_mmap(pick(w, kind), interesting(w) & ~0xfffull, (long)(interesting(w) & ~0xfffull) | 1ll << 62);
		break;
	case 4:
		fd = (int)__atomic_load_n(&pool.stats[below(w, 3)], __ATOMIC_ACQUIRE) - 1;
		if (pread(fd, data, sizeof(data), (long)below(w, 8192)) < -1)
			abort();
		break;
	case 5:
		if (write(eventfds[below(w, ARRAY_LEN(eventfds))], &(u64){ 1 }, 8) < -1)
			abort();
		break;
	case 6:
		mutate(w, memories[0] + ((u64)below(w, 1024) << 12), PAGE_BYTES);
		break;
	case 7:		/* what the library's clients do around changes of their mappings */
		if (!on_dev_kvm())
			akvm_remap_begin(memories[1], TINY_BYTES);
		mprotect(memories[1], TINY_BYTES, one_in(w, 2) ? PROT_NONE : PROT_READ | PROT_WRITE);
		if (!on_dev_kvm())
			akvm_remap_end(memories[1], TINY_BYTES);
		break;
	default:
		if (one_in(w, 4))
			handle_keep(w, SYSTEM_HANDLE, akvm_open());
		machine_start(w);
	}
}

static const struct row *run_row;

static void *work(void *arg)
{
	struct worker *w = arg;
	u64 limit = w->calls;

	for (w->calls = 0; w->calls < limit && !__atomic_load_n(&broken, __ATOMIC_RELAXED);) {
		u64 before = w->calls;

		if (one_in(w, 40))
			call_other(w);
		else if (one_in(w, 24))
			call_run(w, run_row);
		else
			call_row(w, &rows[below(w, ARRAY_LEN(rows))]);
		__atomic_fetch_add(&calls_done, w->calls - before, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* --- rounds ------------------------------------------------------------------------------------------- */

#define WORKERS_MAX 8u
static struct worker workers[WORKERS_MAX];
static u32 threads = 3, resting;

/* KVM_RUN does not end by itself. */
static void *kick(void *arg)
{
	while (!__atomic_load_n(&resting, __ATOMIC_ACQUIRE)) {
		for (u32 n = 0; n < threads; n++)
			pthread_kill(workers[n].id, SIGUSR1);
		usleep(300);
	}
	return arg;
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* A child's calls on its parent's machines are refused, and closing them takes nothing apart. */
static void in_a_child(struct worker *w)
{
#ifndef __SANITIZE_THREAD__
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		int good = 1;

		for (unsigned n = 0; n < 100; n++) {
			const struct row *r = &rows[below(w, ARRAY_LEN(rows))];
			int fd = (int)handles[r->kind][below(w, handle_count[r->kind])] - 1, result;

			result = akvm_ioctl(fd, r->request, (unsigned long)w->area + AREA_BYTES - 64);
			good &= result == -EIO || result == -EBADF || akvm_ioctl(fd, KVM_GET_API_VERSION, 0) >= 0;
		}
		for (int fd = 3; fd < 1024; fd++)
			akvm_close(fd);
		_exit(!good);
	}
	waitpid(child, &status, 0);
	EXPECT_EQ(status, 0);
#else
	(void)w;
#endif
}

static void round_begin(u64 seed)
{
	for (u32 n = 0; n < threads; n++)
		workers[n] = (struct worker){ .random = seed * 1000003 + n * 7919, .number = n, .area = workers[n].area,
					      .alone = threads == 1 };
	for (unsigned n = 0; n < 3; n++)
		machine_make(&workers[0]);
}

static void round_end(void)
{
	for (unsigned kind = 0; kind < HANDLE_KINDS; kind++)
		for (u32 n = 0; n < handle_count[kind]; n++) {
			handle_close(handles[kind][n], kind);
			handles[kind][n] = 0;
		}
	for (unsigned n = 0; n < ARRAY_LEN(pool.run); n++) {
		if (pool.run[n])
			munmap(pool.run[n], run_bytes);
		pool.run[n] = NULL;
	}
	for (int fd = 3; fd < 1024; fd++)		/* of races that were lost */
		akvm_close(fd);
	mprotect(memories[1], TINY_BYTES, PROT_READ | PROT_WRITE);
}

static void round_run(u64 seed, u64 calls)
{
	static int before;
	pthread_t kicker;

	round_begin(seed);
	if (calls < 2 * threads)
		calls = 2 * threads;
	__atomic_store_n(&resting, 0, __ATOMIC_RELEASE);
	for (u32 n = 0; n < threads; n++) {
		workers[n].calls = calls / threads;
		if (pthread_create(&workers[n].id, NULL, work, &workers[n]))
			abort();
	}
	if (pthread_create(&kicker, NULL, kick, NULL))
		abort();
	for (u32 n = 0; n < threads; n++)
		pthread_join(workers[n].id, NULL);
	__atomic_store_n(&resting, 1, __ATOMIC_RELEASE);
	pthread_join(kicker, NULL);
	in_a_child(&workers[0]);
	round_end();
	/* What the library opens for itself, once, stays open. */
	if (!before)
		before = open_descriptors();
	EXPECT(open_descriptors() <= before + 6);
}

/* --- main -------------------------------------------------------------------------------------------------- */

static u64 calls_wanted = 60000, seconds_wanted = 30, first_round;
static bool progress;
#define ROUND_CALLS 20000u

static void random_calls(void)
{
	u64 from = tiny_now_ns(), told = from, done = 0;
	u64 round = first_round;

	for (; done < calls_wanted && !broken && !test_failures; round++) {
		u64 now = tiny_now_ns();

		if (now - from > seconds_wanted * 1000000000ull)
			break;
		round_run(seed_base * 1000000 + round, MIN_OF(calls_wanted - done, ROUND_CALLS));
		done = calls_done;
		if (progress && now - told > 5000000000ull) {
			fprintf(stderr, "%llu calls, %llu s, round=%llu\n", (unsigned long long)done,
				(unsigned long long)((now - from) / 1000000000), (unsigned long long)round);
			told = now;
		}
	}
	EXPECT_EQ(broken, 0);
	for (unsigned n = 0; progress && n < ARRAY_LEN(rows); n++)
		fprintf(stderr, "%-32s %u\n", rows[n].name, served[n]);
	printf("%llu calls in %llu rounds; seed=%llu threads=%u%s\n", (unsigned long long)done,
	       (unsigned long long)(round - first_round), (unsigned long long)seed_base, threads,
	       broken || test_failures ? ": failed in the last" : "");
}

static void fuzz_init(void)
{
	for (run_row = rows; run_row->request != KVM_RUN; run_row++)
		;
	arguments_init();
	for (u32 n = 0; n < threads; n++)
		workers[n].area = area_make();
}

static void option(const char *text)
{
	const char *equals = strchr(text, '=');
	u64 value = equals ? strtoull(equals + 1, NULL, 0) : 0;

	if (!strncmp(text, "calls=", 6))
		calls_wanted = value, seconds_wanted = ~0ull / 2000000000;
	else if (!strncmp(text, "seed=", 5))
		seed_base = value;
	else if (!strncmp(text, "threads=", 8))
		threads = (u32)MIN_OF(MAX_OF(value, 1), WORKERS_MAX);
	else if (!strncmp(text, "round=", 6))
		first_round = value, calls_wanted = ROUND_CALLS;
	else if (!strncmp(text, "seconds=", 8))
		seconds_wanted = value, calls_wanted = ~0ull;
	else
		progress = true;
}

int main(int argc, char **argv)
{
	for (int n = 1; n < argc; n++)
		option(argv[n]);
	tiny_signals_init();
	if (on_dev_kvm() && access("/dev/kvm", R_OK | W_OK)) {
		TEST_SKIP("random_calls", "no usable /dev/kvm");
		return 0;
	}
	if (argc == 1)
		tiny_watchdog();
	if (on_dev_kvm() && argc == 1)		/* in an emulated machine, with little time */
		calls_wanted = 6000, seconds_wanted = 8;
	fuzz_init();
	TEST(random_calls);
	return test_status();
}
