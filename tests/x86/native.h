/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * native.h - instructions on the processor that the test runs on
 *
 * A stub loads sixteen registers and the flags, executes bytes, and stores them again.  A fault of
 * these bytes ends up behind them, with its vector and error code noted.
 */
#ifndef TESTS_X86_NATIVE_H
#define TESTS_X86_NATIVE_H

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/test.h"
#include "x86/exec.h"

#define BUFFER_BYTES	8192u
#define MIDDLE		(BUFFER_BYTES / 2)
#define CODE_BYTES	4096u
#define USER_CS		0x33		/* Linux's 64-bit and 32-bit user code segments */
#define USER_CS_32	0x23

/* What the stub loads and stores. */
struct native {
	u64 in[16], in_flags, out[16], out_flags, host_rsp, taken;
};

static u8 *code;		/* the stub */
static u8 *buffer;		/* what memory operands are in */
static struct native *native;
static u8 *insn_at, *fall_at, *taken_at, *fault_at;	/* in code */
static u8 *insn32_at;		/* where instructions of 32-bit code are */
static u64 insn_bytes = 1;	/* a fault within so many from there is one under test */
static volatile bool faulted;
static volatile unsigned fault_vector;
static volatile u32 fault_error;
static volatile u64 fault_rip;
static u64 seed = 1;

static u64 random_u64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

static unsigned random_below(unsigned n) { return (unsigned)(random_u64() >> 33) % n; }

/* Values at which carries, signs and overflows happen are as likely as others. */
static u64 random_value(void)
{
	static const u64 special[] = {0,	  1,	      2,	 0x7f,	     0x80,
				      0xff,	  0x7fff,     0x8000,	 0xffff,     0x7fffffff,
				      0x80000000, 0xffffffff, INT64_MAX, 1ull << 63, ~0ull,
				      0x99,	  0x100};

	switch (random_below(4)) {
	case 0: return special[random_below(ARRAY_LEN(special))];
	case 1: return random_u64() >> random_below(64);
	case 2: return (u64)((s64)random_u64() >> random_below(64));
	default: return random_u64();
	}
}

/* -- the stub ------------------------------------------------------------------------- */
static u8 *emit(u8 *p, unsigned count, ...)
{
	__builtin_va_list ap;

	__builtin_va_start(ap, count);
	while (count--)
		*p++ = (u8)__builtin_va_arg(ap, int);
	__builtin_va_end(ap);
	return p;
}

/* The distance from behind itself to where. */
static u8 *emit_relative(u8 *p, const void *where)
{
	s32 distance = (s32)((intptr_t)where - (intptr_t)(p + 4));

	memcpy(p, &distance, 4);
	return p + 4;
}

/* op [rip + where], with reg; REX.W */
static u8 *emit_rip(u8 *p, u8 op, unsigned reg, const void *where)
{
	p = emit(p, 3, 0x48 | (reg & 8) >> 1, op, 5 | (reg & 7) << 3);
	return emit_relative(p, where);
}

static u8 *emit_epilogue(u8 *p, bool taken)
{
	for (unsigned r = 0; r < 16; r++)
		p = emit_rip(p, 0x89, r, &native->out[r]);
	p = emit_rip(p, 0x8b, 4, &native->host_rsp);
	p = emit(p, 1, 0x9c);					/* pushfq */
	p = emit(p, 1, 0x58);					/* pop rax */
	p = emit_rip(p, 0x89, 0, &native->out_flags);
	p = emit(p, 1, 0xfc);					/* cld */
	p = emit(p, 5, 0xb8, taken, 0, 0, 0);			/* mov eax, taken */
	p = emit_rip(p, 0x89, 0, &native->taken);
	return emit(p, 11, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

static void stub_make(void)
{
	u8 *p = emit(code, 10, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57);

	p = emit_rip(p, 0x89, 4, &native->host_rsp);
	p = emit_rip(p, 0x8b, 0, &native->in_flags);
	p = emit(p, 2, 0x50, 0x9d);				/* push rax; popfq */
	for (unsigned r = 0; r < 16; r++)
		p = emit_rip(p, 0x8b, r, &native->in[r]);
	insn_at = p;
	fault_at = emit_epilogue(code + 1024, false);
	fall_at = code + 1024;
	taken_at = code + 2048;
	emit_epilogue(taken_at, true);
	p = emit_rip(fault_at, 0x8b, 4, &native->host_rsp);
	emit(p, 12, 0xfc, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

/* The instruction, then a jump over to the epilogue; a branch of 5 lands at the other. */
static void stub_put(const u8 *bytes, unsigned len)
{
	u8 *p = insn_at + len;

	memcpy(insn_at, bytes, len);
	p = emit_relative(emit(p, 1, 0xe9), fall_at);
	emit_relative(emit(p, 1, 0xe9), taken_at);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	u8 *rip = (u8 *)uc->uc_mcontext.gregs[REG_RIP];

	(void)info;
	if ((u64)(rip - insn_at) >= insn_bytes && (!insn32_at || (u64)(rip - insn32_at) >= insn_bytes)) {
		static const char text[] = "fault outside the instruction under test\n";

		(void)!write(2, text, sizeof text - 1);
		signal(sig, SIG_DFL);
		return;
	}
	faulted = true;
	fault_vector = (unsigned)uc->uc_mcontext.gregs[REG_TRAPNO];
	fault_error = (u32)uc->uc_mcontext.gregs[REG_ERR];
	fault_rip = (u64)(uintptr_t)rip;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)fault_at;
	uc->uc_mcontext.gregs[REG_EFL] &= ~0x400;
	uc->uc_mcontext.gregs[REG_CSGSFS] =
		(uc->uc_mcontext.gregs[REG_CSGSFS] & ~0xffffll) | USER_CS;
}

/* The stub calls them through the 32-bit code segment and is returned to. */
static void stub_put_32(const u8 *bytes, unsigned len)
{
	static const u8 far_call[] = { 0xff, 0x1c, 0x25 };	/* CALL FAR [disp32] */
	u8 *p = insn_at, *pointer = code + 3584;
	u32 at;

	insn32_at = code + 3072;
	memcpy(insn32_at, bytes, len);
	insn32_at[len] = 0xcb;				/* RETF */
	at = (u32)(uintptr_t)insn32_at;
	memcpy(pointer, &at, 4);
	pointer[4] = USER_CS_32, pointer[5] = 0;
	at = (u32)(uintptr_t)pointer;
	memcpy(p, far_call, 3);
	memcpy(p + 3, &at, 4);
	p = emit(p + 7, 1, 0xe9);
	emit_relative(p, fall_at);
}

/* Memory below 4 GiB, the stub in it, and handlers.  False: none that is writable and executable. */
static bool native_init(void)
{
	struct sigaction action = {.sa_sigaction = on_fault,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	static u8 handlers_stack[65536];
	stack_t stack = { .ss_sp = handlers_stack, .ss_size = sizeof(handlers_stack) };
	static const int signals[] = { SIGFPE, SIGSEGV, SIGBUS, SIGILL, SIGTRAP };
	u8 *low = mmap(NULL, CODE_BYTES * 2 + BUFFER_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (low == MAP_FAILED)
		return false;
	code = low;
	native = (struct native *)(low + CODE_BYTES);
	buffer = low + 2 * CODE_BYTES;
	stub_make();
	sigaltstack(&stack, NULL);
	for (unsigned n = 0; n < ARRAY_LEN(signals); n++)
		sigaction(signals[n], &action, NULL);
	for (unsigned n = 0; n < BUFFER_BYTES; n++)
		buffer[n] = (u8)random_u64();
	return true;
}

static inline void native_run(void)
{
	faulted = false;
	((void (*)(void))(uintptr_t)code)();
}

#endif
