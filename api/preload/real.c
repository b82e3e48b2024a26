// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * real.c - finding the C library's functions behind the shim
 */
#include "api/preload/real.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>

static struct real functions;
static int ready;
static pid_t process;

static void process_find(void)
{
	process = getpid();
}

/* Two threads may do this at once: they write the same. */
__attribute__((constructor))
static void real_find(void)
{
#define REAL_FIND(name) functions.name = (__typeof__(&name))dlsym(RTLD_NEXT, #name);
	REAL_FUNCTIONS(REAL_FIND)
	if (!process) {
		process_find();
		pthread_atfork(NULL, NULL, process_find);
	}
	__atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
}

const struct real *real(void)
{
	if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
		real_find();
	return &functions;
}

int real_in_vfork_child(void)
{
	return process != (pid_t)syscall(SYS_getpid);
}
