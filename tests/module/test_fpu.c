// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_fpu.c - vector and x87 registers of clients and guests that share a processor
 *
 * Over a kernel's /dev/kvm a client's registers survive KVM_RUN, whatever its guest, other
 * guests and other threads do with theirs.  (In a process KVM_RUN is a function call, to whose
 * caller vector registers are scratch.)
 */
#include "tests/guest/tiny.h"

#include <cpuid.h>
#include <sys/syscall.h>

#define THREADS	3u
#define ROUNDS	40u
#define STEPS	50u
#define COUNTS	0x50000ul		/* XMM0, ST0, MXCSR at the end */
#define GUEST_MXCSR	0x7f80u
#define PORT	0x10

/* Adds RDI in XMM0 and 1 in ST0 at every step, with an exit between; RBP times so many, for a client. */
CODE64(counts,
	"movl $0x7f80, 0x50010\n" "ldmxcsr 0x50010\n" "fninit\n" "fldz\n"
	"movq %rdi, %xmm15\n" "pxor %xmm0, %xmm0\n"
	"1: mov $50, %esi\n"
	"2: paddq %xmm15, %xmm0\n" "fld1\n" "faddp\n" "xor %eax, %eax\n" "cpuid\n" "dec %esi\n" "jnz 2b\n"
	"out %al, $0x10\n" "dec %ebp\n" "jnz 1b\n"
	"movq %xmm0, 0x50000\n" "stmxcsr 0x50010\n" "fistpll 0x50008\n"
	"3: " DONE "jmp 3b\n")

/* XSAVE's standard format, or FXSAVE's. */
struct area { u8 bytes[4096] __attribute__((aligned(64))); };
#define LEGACY_BYTES	416u		/* up to XMM15 */
#define AVX_AT		576u
#define AVX_BYTES	256u

static bool has_avx(void)
{
	u32 a, b, c, d, low, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
		return false;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (low & 7) == 7;
}

/* What no other thread has: every register has a value of its own. */
static void area_fill(struct area *a, u8 seed)
{
	memset(a, 0, sizeof(*a));
	*(u16 *)a->bytes = 0x0a7f;			/* x87: round up, in double precision */
	a->bytes[4] = 0xff;				/* all eight are in use */
	*(u32 *)(a->bytes + 24) = 0x3f80;		/* MXCSR: round down, no traps */
	for (unsigned n = 0; n < 8; n++)		/* 10 bytes each: a number */
		*(u64 *)(a->bytes + 32 + 16 * n) = 1ull << 63 | seed << 8 | n, a->bytes[41 + 16 * n] = 0x3f;
	for (unsigned n = 0; n < 256; n++) {
		a->bytes[160 + n] = (u8)(seed + n);
		a->bytes[AVX_AT + n] = (u8)(seed ^ n);
	}
	*(u64 *)(a->bytes + 512) = 7;
}

/* KVM_RUN with these registers, and what they are afterwards. */
static long run_with(int fd, bool avx, const struct area *in, struct area *out, struct area *own)
{
	long r = SYS_ioctl;

	if (avx)
		__asm__ volatile("mov %%rax, %%r8\n\t" "mov $7, %%eax\n\t" "xor %%edx, %%edx\n\t"
				 "xsave64 (%[own])\n\t" "xrstor64 (%[in])\n\t"
				 "mov %%r8, %%rax\n\t" "syscall\n\t"
				 "mov %%rax, %%r8\n\t" "mov $7, %%eax\n\t"
				 "xsave64 (%[out])\n\t" "xrstor64 (%[own])\n\t" "mov %%r8, %%rax\n\t"
				 : "+a"(r) : "D"((long)fd), "S"((long)KVM_RUN), [in] "r"(in), [out] "r"(out), [own] "r"(own)
				 : "rcx", "rdx", "r8", "r11", "memory");
	else
		__asm__ volatile("fxsave64 (%[own])\n\t" "fxrstor64 (%[in])\n\t" "xor %%edx, %%edx\n\t" "syscall\n\t"
				 "fxsave64 (%[out])\n\t" "fxrstor64 (%[own])\n\t"
				 : "+a"(r) : "D"((long)fd), "S"((long)KVM_RUN), [in] "r"(in), [out] "r"(out), [own] "r"(own)
				 : "rcx", "rdx", "r11", "memory");
	return r;
}

static bool same(const struct area *a, const struct area *b, bool avx)
{
	return !memcmp(a->bytes, b->bytes, 5) && !memcmp(a->bytes + 24, b->bytes + 24, 4) &&
	       !memcmp(a->bytes + 32, b->bytes + 32, LEGACY_BYTES - 32) &&
	       (!avx || !memcmp(a->bytes + AVX_AT, b->bytes + AVX_AT, AVX_BYTES));
}

struct client { u8 seed; u32 bad; u64 xmm0, st0, mxcsr; };

static void *client(void *arg)
{
	static __thread struct area in, out, own;
	struct client *c = arg;
	bool avx = has_avx();
	struct kvm_regs r;
	struct tiny t;
	long result;

	tiny_one(&t, TINY_64, BLOB(counts));
	r = tiny_regs(&t, 0);
	r.rdi = c->seed;
	r.rbp = ROUNDS;
	MUST(cpu_ioctl(&t, 0, KVM_SET_REGS, &r));
	area_fill(&in, c->seed);
	do {
		result = run_with(t.cpu[0].fd, avx, &in, &out, &own);
		if (!same(&in, &out, avx))
			c->bad++;
		in.bytes[160]++;		/* and go on with others */
		if (result < 0 && result != -EINTR)
			fprintf(stderr, "KVM_RUN: %ld\n", result);
	} while (result == -EINTR || (result == 0 && t.cpu[0].run->exit_reason == KVM_EXIT_IO &&
				      t.cpu[0].run->io.port == PORT));
	c->xmm0 = tiny_get(&t, COUNTS, 8);
	c->st0 = tiny_get(&t, COUNTS + 8, 8);
	c->mxcsr = tiny_get(&t, COUNTS + 16, 4);
	tiny_destroy(&t);
	return NULL;
}

static u32 enough;

/* Computes with the registers that everybody wants. */
static void *burner(void *arg)
{
	u32 *bad = arg;

	while (!__atomic_load_n(&enough, __ATOMIC_ACQUIRE)) {
		double sum = 0;

		for (unsigned n = 1; n <= 1000; n++)
			sum += n * 0.5;
		if (sum != 250250)
			(*bad)++;
	}
	return NULL;
}

static void registers_stay_everybodys_own(void)
{
	struct client clients[THREADS];
	pthread_t ids[THREADS], burns;
	u32 burnt = 0;

	enough = 0;
	if (pthread_create(&burns, NULL, burner, &burnt))
		abort();
	for (unsigned n = 0; n < THREADS; n++) {
		clients[n] = (struct client){ .seed = (u8)(3 + 50 * n) };
		if (pthread_create(&ids[n], NULL, client, &clients[n]))
			abort();
	}
	for (unsigned n = 0; n < THREADS; n++) {
		pthread_join(ids[n], NULL);
		EXPECT_EQ(clients[n].bad, 0);
		EXPECT_EQ(clients[n].xmm0, (u64)clients[n].seed * ROUNDS * STEPS);
		EXPECT_EQ(clients[n].st0, ROUNDS * STEPS);
		EXPECT_EQ(clients[n].mxcsr, GUEST_MXCSR);
	}
	__atomic_store_n(&enough, 1, __ATOMIC_RELEASE);
	pthread_join(burns, NULL);
	EXPECT_EQ(burnt, 0);
}

struct sharer { struct tiny *t; u8 seed; u32 bad, runs; };

static void *sharer(void *arg)
{
	static __thread struct area in, out, own;
	struct sharer *s = arg;
	bool avx = has_avx();

	area_fill(&in, s->seed);
	while (!tiny_peek(s->t, COUNTS + 8)) {
		run_with(s->t->cpu[0].fd, avx, &in, &out, &own);
		s->runs++;
		if (!same(&in, &out, avx))
			s->bad++;
	}
	return NULL;
}

/* They take turns in KVM_RUN; the guest's registers go along, theirs do not. */
static void two_threads_share_a_vcpu(void)
{
	struct sharer sharers[2];
	struct kvm_regs r;
	pthread_t ids[2];
	struct tiny t;

	tiny_one(&t, TINY_64, BLOB(counts));
	r = tiny_regs(&t, 0);
	r.rdi = 7;
	r.rbp = ROUNDS;
	MUST(cpu_ioctl(&t, 0, KVM_SET_REGS, &r));
	for (unsigned n = 0; n < 2; n++) {
		sharers[n] = (struct sharer){ .t = &t, .seed = (u8)(11 + n) };
		if (pthread_create(&ids[n], NULL, sharer, &sharers[n]))
			abort();
	}
	for (unsigned n = 0; n < 2; n++) {
		pthread_join(ids[n], NULL);
		EXPECT_EQ(sharers[n].bad, 0);
	}
	EXPECT(sharers[0].runs + sharers[1].runs > ROUNDS);
	EXPECT_EQ(tiny_get(&t, COUNTS, 8), 7ull * ROUNDS * STEPS);
	EXPECT_EQ(tiny_get(&t, COUNTS + 8, 8), ROUNDS * STEPS);
	tiny_destroy(&t);
}

int main(void)
{
	tiny_watchdog();
	TEST(registers_stay_everybodys_own);
	TEST(two_threads_share_a_vcpu);
	return test_status();
}
