// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fpu.c - lending the FPU to a guest, in a process
 *
 * To the C caller every vector register is scratch; what it relies on is MXCSR, the x87
 * control word, an empty x87 stack and clean upper halves.
 *
 * Reference: System V ABI, AMD64 supplement, "Registers and the Stack Frame".
 */
#include "host/posix/thread.h"

#include <cpuid.h>

static bool has_avx;

__attribute__((constructor))
static void find_avx(void)
{
	u32 a, b, c, d, low, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
		return;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	has_avx = (low & 6) == 6;
}

/* Whatever runs afterwards is compiled to use any register, so none stays. */
bool host_fpu_begin(void)
{
	struct posix_thread *t = &posix_self;

	if (posix_checking && (t->in_fpu || !t->irq_off))
		host_bug(__FILE__, __LINE__, "FPU taken twice, or with interrupts on");
	t->in_fpu = true;
	__asm__ volatile("stmxcsr %0" : "=m"(t->mxcsr));
	__asm__ volatile("fnstcw %0" : "=m"(t->fpu_control));
	return false;
}

void host_fpu_end(void)
{
	struct posix_thread *t = &posix_self;

	if (posix_checking && !t->in_fpu)
		host_bug(__FILE__, __LINE__, "FPU returned, but not taken");
	t->in_fpu = false;
	if (has_avx)
		__asm__ volatile("vzeroupper" : : : "memory");
	__asm__ volatile("fninit; fldcw %0" : : "m"(t->fpu_control));
	__asm__ volatile("ldmxcsr %0" : : "m"(t->mxcsr));
}
