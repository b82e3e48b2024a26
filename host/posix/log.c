// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log.c - messages to standard error
 *
 * Levels are syslog's and Linux's: 3 errors, 4 warnings, 6 information, 7 debugging.
 * ANYKVM_LOG in the environment says up to which level they are shown; 4 without it.
 */
#include "host/posix/thread.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int shown = 4;
bool posix_checking;

__attribute__((constructor))
static void read_environment(void)
{
	const char *level = getenv("ANYKVM_LOG"), *check = getenv("ANYKVM_CHECK");

	if (level)
		shown = atoi(level);
	if (check)
		posix_checking = atoi(check) != 0;
}

void host_log(int level, const char *format, ...)
{
	static const char prefix[] = "anykvm: ";
	char line[512];
	va_list args;
	int n;

	if (level > shown)
		return;
	__builtin_memcpy(line, prefix, sizeof(prefix));
	va_start(args, format);
	n = vsnprintf(line + sizeof(prefix) - 1, sizeof(line) - sizeof(prefix), format, args);
	va_end(args);
	if (n < 0)
		return;
	n = MIN_OF(n + (int)sizeof(prefix) - 1, (int)sizeof(line) - 2);
	if (line[n - 1] != '\n')
		line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;		/* nobody left to tell */
}

void host_bug(const char *file, int line, const char *what)
{
	host_log(2, "bug at %s:%d: %s\n", file, line, what);
	if (posix_checking)
		abort();
}

void host_posix_check(bool on)
{
	posix_checking = on;
}

void posix_check_atomic(const char *function)
{
	if (posix_self.in_timer)
		host_bug(function, 0, "called from a timer callback");
}

void posix_check_sleep(const char *function)
{
	const struct posix_thread *t = &posix_self;

	posix_check_atomic(function);
	if (t->spins)
		host_bug(function, 0, "may sleep, but a spinlock is held");
	if (t->pinned)
		host_bug(function, 0, "may sleep, but the thread is pinned");
	if (t->irq_off)
		host_bug(function, 0, "may sleep, but interrupts are off");
}
