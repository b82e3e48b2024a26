// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cpuid.c - programs that ask the processor whether it can virtualize
 *
 * Some look for VT-x or AMD-V with the CPUID instruction before they open /dev/kvm.  Where
 * the processor offers CPUID faulting, the instruction arrives here as a SIGSEGV and is done
 * by hand, with the vendor's flag set.  The setting is each thread's, inherited by
 * the threads it creates and lost at exec, so it is made before main().
 *
 * Reference: arch_prctl(2), ARCH_CPUID_ENABLE.
 */
#include "api/preload/cpuid.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "api/preload/real.h"

#ifndef ARCH_CPUID_ENABLE
#define ARCH_CPUID_ENABLE 0x1012
#endif

#define LEAF_VMX	1u
#define ECX_VMX		(1u << 5)
#define LEAF_SVM	0x80000001u
#define ECX_SVM		(1u << 2)

static int is_amd, is_native, is_emulated;

const char *cpuid_flag(void)
{
	return is_amd ? "svm" : "vmx";
}

int cpuid_is_native(void)
{
	return is_native;
}

int cpuid_is_emulated(void)
{
	return is_emulated;
}

static int faulting_set(int on)
{
	return (int)syscall(SYS_arch_prctl, ARCH_CPUID_ENABLE, on ? 0 : 1);
}

int cpuid_emulate(const siginfo_t *info, void *context)
{
	static const unsigned char cpuid[2] = { 0x0f, 0xa2 };
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
	unsigned leaf = (unsigned)r[REG_RAX], a, b, c, d;

	/* A #GP, which names no address, by an instruction that was just fetched and is readable. */
	if (!is_emulated || info->si_code != SI_KERNEL || memcmp((void *)r[REG_RIP], cpuid, sizeof(cpuid)))
		return 0;
	faulting_set(0);
	__cpuid_count(leaf, (unsigned)r[REG_RCX], a, b, c, d);
	faulting_set(1);
	if (leaf == LEAF_VMX && !is_amd)
		c |= ECX_VMX;
	if (leaf == LEAF_SVM && is_amd)
		c |= ECX_SVM;
	r[REG_RAX] = a;
	r[REG_RBX] = b;
	r[REG_RCX] = c;
	r[REG_RDX] = d;
	r[REG_RIP] += (greg_t)sizeof(cpuid);
	return 1;
}

__attribute__((constructor))
static void cpuid_init(void)
{
	unsigned a, b, c, d;
	char vendor[12];
	struct sigaction before;
	sigset_t segv;

	__cpuid(0, a, b, c, d);
	memcpy(vendor, &b, 4);
	memcpy(vendor + 4, &d, 4);
	memcpy(vendor + 8, &c, 4);
	is_amd = !memcmp(vendor, "AuthenticAMD", 12) || !memcmp(vendor, "HygonGenuine", 12);
	if (is_amd)
		is_native = __get_cpuid(LEAF_SVM, &a, &b, &c, &d) && c & ECX_SVM;
	else
		is_native = __get_cpuid(LEAF_VMX, &a, &b, &c, &d) && c & ECX_VMX;
	if (is_native || getenv("ANYKVM_NO_CPUID") || faulting_set(1))
		return;
	is_emulated = 1;
	/* Through our own sigaction(), which from now on has a word in SIGSEGV's handler. */
	sigaction(SIGSEGV, NULL, &before);
	sigaction(SIGSEGV, &before, NULL);
	sigemptyset(&segv);
	sigaddset(&segv, SIGSEGV);
	pthread_sigmask(SIG_UNBLOCK, &segv, NULL);
}
