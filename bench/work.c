// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * work.c - the work that bench/run measures, natively and in guests
 *
 * One static program, the same binary everywhere.  Each piece of work runs for a given time
 * budget, in batches, and reports nanoseconds per operation in the fastest batch: so slow and
 * fast machines take equally long, and what else a machine does counts for little.
 *
 * usage: work BUDGET_MS [NAME...]          prints "bench NAME NS" lines
 *        work exec COMMAND ARGUMENT...     runs a command, prints how many ns it took
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <immintrin.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t u64;

static u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static volatile u64 sink;
static char *self;

/* --- computing ----------------------------------------------------------------------- */

/* About 1000 instructions of the usual mix: loads, stores, arithmetic, branches, calls. */
static __attribute__((noinline)) u64 mix_step(u64 x, unsigned *table)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	table[x & 255] += (unsigned)x;
	if (table[(x >> 8) & 255] & 1)
		x += table[(x >> 16) & 255];
	return x;
}

static void mix(void)
{
	static unsigned table[256];
	u64 x = 88172645463325252u;

	for (int n = 0; n < 50; n++)
		x = mix_step(x, table);
	sink = x;
}

/* 10 instructions an iteration, counted: gives instructions per second. */
static void million_instructions(void)
{
	u64 a = 1, b = 2, c = 3, n = 100000;
	static u64 memory[64];

	__asm__ volatile(
		"1:\n\t"
		"add %[b], %[a]\n\t"
		"mov %[a], (%[m])\n\t"
		"xor %[c], %[b]\n\t"
		"mov 8(%[m]), %%rdx\n\t"
		"lea 3(%[a],%[b]), %[c]\n\t"
		"and $63, %%edx\n\t"
		"add (%[m],%%rdx,8), %[c]\n\t"
		"test %%edx, %%edx\n\t"
		"dec %[n]\n\t"
		"jnz 1b\n\t"
		: [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [n] "+r"(n)
		: [m] "r"(memory) : "rdx", "memory", "cc");
	sink = a + b + c;
}

static int compare(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return x < y ? -1 : x > y;
}

static void sort(void)
{
	static unsigned data[4096];
	unsigned seed = 1;

	for (unsigned n = 0; n < 4096; n++)
		data[n] = seed = seed * 1664525 + 1013904223;
	qsort(data, 4096, sizeof(*data), compare);
	sink = data[100];
}

static void dgemm(void)
{
	enum { N = 48 };
	static double a[N][N], b[N][N], c[N][N];

	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			a[i][j] = i + j;
			b[i][j] = i - j;
		}
	for (int i = 0; i < N; i++)
		for (int k = 0; k < N; k++)
			for (int j = 0; j < N; j++)
				c[i][j] += a[i][k] * b[k][j];
	sink = (u64)c[3][4];
}

static __attribute__((target("avx2,fma"))) void dgemm_avx2(void)
{
	enum { N = 48 };
	static double a[N][N], b[N][N] __attribute__((aligned(32))), c[N][N] __attribute__((aligned(32)));

	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return;
	for (int i = 0; i < N; i++)
		for (int k = 0; k < N; k++) {
			__m256d s = _mm256_set1_pd(a[i][k] + 1);

			for (int j = 0; j < N; j += 4)
				_mm256_store_pd(&c[i][j], _mm256_fmadd_pd(s, _mm256_load_pd(&b[k][j]), _mm256_load_pd(&c[i][j])));
		}
	sink = (u64)c[3][4];
}

static void mandelbrot(void)
{
	u64 total = 0;

	for (int y = 0; y < 32; y++)
		for (int x = 0; x < 32; x++) {
			double cr = x / 16.0 - 1.5, ci = y / 16.0 - 1, r = 0, i = 0;
			int n = 0;

			for (; n < 100 && r * r + i * i < 4; n++) {
				double t = r * r - i * i + cr;

				i = 2 * r * i + ci;
				r = t;
			}
			total += (u64)n;
		}
	sink = total;
}

static void trig(void)
{
	double x = 0;

	for (int n = 0; n < 1000; n++)
		x += sin(n) * cos(n * 0.5);
	sink = (u64)x;
}

static void stream(void)
{
	static double a[65536], b[65536], c[65536];

	for (int n = 0; n < 65536; n++)
		a[n] = b[n] + 3 * c[n];
	sink = (u64)a[7];
}

static char buffer[2 << 20], other[2 << 20];

static void memcpy_1m(void) { memcpy(buffer, other, 1 << 20); sink = (u64)buffer[5]; }
static void memcpy_256(void) { for (int n = 0; n < 100; n++) { memcpy(buffer + n, other, 256); __asm__ volatile("" ::: "memory"); } }
static void memset_4k(void) { for (int n = 0; n < 10; n++) { memset(buffer, n, 4096); __asm__ volatile("" ::: "memory"); } }
static void rep_movsb(void)
{
	void *d = buffer, *s = other;
	u64 n = 65536;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
}
static void rep_stosq(void)
{
	void *d = buffer;
	u64 n = 8192;

	__asm__ volatile("rep stosq" : "+D"(d), "+c"(n) : "a"(0) : "memory");
}
static void string_length(void)
{
	memset(other, 'x', 4000);
	other[4000] = 0;
	for (int n = 0; n < 10; n++) {
		sink = strlen(other);
		__asm__ volatile("" ::: "memory");
	}
}
static void allocate(void)
{
	void *p[64];

	for (int n = 0; n < 64; n++)
		p[n] = malloc((size_t)(16 + n * 24));
	for (int n = 0; n < 64; n++)
		free(p[n]);
}
static void format(void)
{
	char text[100];

	for (int n = 0; n < 10; n++)
		sink = (u64)snprintf(text, sizeof(text), "%d %s %x %5.2f", n, "text", n * 77, n * 1.5);
}
static void locked_add(void)
{
	static u64 counter;

	for (int n = 0; n < 100; n++)
		__atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
}
static void cpuid(void)
{
	unsigned a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}
static void rdtsc(void) { for (int n = 0; n < 10; n++) sink = __builtin_ia32_rdtsc(); }

/* --- the operating system ------------------------------------------------------------- */

static void null_call(void) { syscall(SYS_getppid); }
static void stat_call(void) { struct stat s; stat("/", &s); }
static void open_close(void) { close(open("/proc/self/comm", O_RDONLY)); }
static int zero_fd(void) { static int fd = -1; return fd >= 0 ? fd : (fd = open("/dev/zero", O_RDWR)); }
static void read_1(void) { sink = (u64)read(zero_fd(), buffer, 1); }
static void read_1m(void) { sink = (u64)read(zero_fd(), buffer, 1 << 20); }
static void write_1(void) { sink = (u64)write(zero_fd(), buffer, 1); }
static void clock_read(void) { now(); }
static void yield(void) { sched_yield(); }

static void pair_ping(int *there, int *back)
{
	char c = 1;

	if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
		abort();
}
static void pipe_self(void)
{
	static int fd[2];

	if (!fd[1] && pipe(fd))
		abort();
	pair_ping(fd, fd);
}
static void socket_self(void)
{
	static int fd[2];

	if (!fd[1] && socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		abort();
	pair_ping((int[]){ 0, fd[1] }, (int[]){ fd[0], 0 });
}
static void context_switch(void)
{
	static int there[2], back[2];

	if (!there[1]) {
		if (pipe(there) || pipe(back))
			abort();
		if (fork() == 0) {
			char c;

			close(there[1]);
			while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
				;
			_exit(0);
		}
		close(there[0]);
	}
	pair_ping(there, back);
}
static void fork_wait(void)
{
	pid_t p = fork();

	if (p == 0)
		_exit(0);
	waitpid(p, NULL, 0);
}
static void exec_wait(void)
{
	pid_t p = vfork();

	if (p == 0) {
		execl(self, self, "nothing", (char *)NULL);
		_exit(1);
	}
	waitpid(p, NULL, 0);
}
static void shell(void) { if (system("exit 0")) sink = 1; }
static void map_unmap(void) { munmap(mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 65536); }
static void page_fault(void)
{
	char *p = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(p, 64 * 4096, MADV_NOHUGEPAGE);
	for (int n = 0; n < 64; n++)
		p[n * 4096] = 1;
	munmap(p, 64 * 4096);
}
static void on_signal(int n) { sink = (u64)n; }
static void signal_self(void)
{
	static int set;

	if (!set++)
		signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
}
static sigjmp_buf back;
static void on_segv(int n) { siglongjmp(back, n); }
static void segv(void)
{
	static char *volatile nowhere;

	if (!nowhere)
		signal(SIGSEGV, on_segv);
	nowhere = (char *)8;
	if (!sigsetjmp(back, 1))
		*nowhere = 1;
}
static void *thread_body(void *arg) { return arg; }
static void thread_join(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, thread_body, NULL) == 0)
		pthread_join(t, NULL);
}

/* So much work by one thread; by each of two, which should take no longer. */
static void *busy(void *arg)
{
	unsigned table[256] = { 0 };
	u64 x = 88172645463325252u;

	for (int n = 0; n < 500000; n++)
		x = mix_step(x, table);
	return (void *)((u64)arg ^ x);
}
static void busy_one(void) { sink = (u64)busy(NULL); }
static void busy_two(void)
{
	pthread_t t;
	void *other_x = NULL;

	pthread_create(&t, NULL, busy, NULL);
	sink = (u64)busy(NULL);
	pthread_join(t, &other_x);
	sink ^= (u64)other_x;
}

static const struct work {
	const char *name;
	void (*run)(void);
	double operations;		/* in one run */
} all[] = {
	{ "instructions", million_instructions, 1e6 }, { "mix", mix, 50 }, { "qsort", sort, 1 },
	{ "dgemm", dgemm, 1 }, { "dgemm-avx2", dgemm_avx2, 1 }, { "mandelbrot", mandelbrot, 1 }, { "trig", trig, 1 },
	{ "stream", stream, 1 }, { "memcpy-1m", memcpy_1m, 1 }, { "memcpy-256", memcpy_256, 100 },
	{ "memset-4k", memset_4k, 10 }, { "rep-movsb", rep_movsb, 1 }, { "rep-stosq", rep_stosq, 1 }, { "strlen", string_length, 10 },
	{ "malloc", allocate, 64 }, { "sprintf", format, 10 }, { "lock-add", locked_add, 100 },
	{ "cpuid", cpuid, 1 }, { "rdtsc", rdtsc, 10 },
	{ "null", null_call, 1 }, { "stat", stat_call, 1 }, { "open", open_close, 1 }, { "read-1", read_1, 1 },
	{ "read-1m", read_1m, 1 }, { "write-1", write_1, 1 }, { "clock", clock_read, 1 }, { "pipe", pipe_self, 1 },
	{ "socket", socket_self, 1 }, { "context-switch", context_switch, 1 }, { "yield", yield, 1 },
	{ "fork", fork_wait, 1 }, { "exec", exec_wait, 1 }, { "sh", shell, 1 }, { "mmap", map_unmap, 1 },
	{ "page-fault", page_fault, 64 }, { "signal", signal_self, 1 }, { "segv", segv, 1 }, { "thread", thread_join, 1 },
	{ "busy-1", busy_one, 1 }, { "busy-2", busy_two, 1 },
};

static u64 batch(const struct work *w, u64 count)
{
	u64 before = now();

	for (u64 n = 0; n < count; n++)
		w->run();
	return now() - before;
}

/* Batches that double until eight fill the budget; the fastest of eight counts. */
static double measure(const struct work *w, u64 budget)
{
	u64 count = 1, took, best;

	w->run();
	while ((took = batch(w, count)) < budget / 16)
		count *= took < budget / 256 ? 8 : 2;
	best = took;
	for (int n = 0; n < 7; n++) {
		took = batch(w, count);
		best = took < best ? took : best;
	}
	return (double)best / ((double)count * w->operations);
}

static int timed_exec(char **argv)
{
	u64 before = now();
	int status = 0;
	pid_t p = fork();

	if (p == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	waitpid(p, &status, 0);
	printf("%llu\n", (unsigned long long)(now() - before));
	return status != 0;
}

int main(int argc, char **argv)
{
	u64 budget;

	self = argv[0];
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 0;
	if (argc > 2 && !strcmp(argv[1], "exec"))
		return timed_exec(argv + 2);
	if (argc < 2 || !(budget = strtoull(argv[1], NULL, 10) * 1000000)) {
		fprintf(stderr, "usage: %s BUDGET_MS [NAME...] | exec COMMAND...\n", argv[0]);
		return 2;
	}
	for (unsigned n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
		int wanted = argc == 2;

		for (int a = 2; a < argc; a++)
			wanted |= !strcmp(argv[a], all[n].name);
		if (wanted)
			printf("bench %s %.2f\n", all[n].name, measure(&all[n], budget));
	}
	return 0;
}
