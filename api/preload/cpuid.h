/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpuid.h - programs that ask the processor whether it can virtualize
 */
#ifndef API_PRELOAD_CPUID_H
#define API_PRELOAD_CPUID_H

#include <signal.h>

/* The flag that this vendor's processors would show, as /proc/cpuinfo spells it: "svm" or "vmx". */
const char *cpuid_flag(void);

/* Does the processor itself show it? */
int cpuid_is_native(void);

/* Do CPUID instructions of this process arrive as SIGSEGV? */
int cpuid_is_emulated(void);

/* A SIGSEGV: if it was a CPUID instruction, do it, with the flag set, and say so. */
int cpuid_emulate(const siginfo_t *info, void *context);

#endif
