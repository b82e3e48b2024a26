// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * report.c - telling the user, in one line, what is wrong and what to do
 *
 * The line is formatted first and written with one call, so that lines of several threads
 * and the guest's output do not mix.
 */
#include "vmm/machine/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/types.h"

__attribute__((format(printf, 1, 0)))
static void report_line(const char *format, va_list args)
{
	char line[1024] = "anykvm: ";
	int n = 8 + vsnprintf(line + 8, sizeof(line) - 9, format, args);

	n = MIN_OF(n, (int)sizeof(line) - 2);
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;		/* there is nobody left to tell */
}

int report_error(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_line(format, args);
	va_end(args);
	return error;
}

void report_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_line(format, args);
	va_end(args);
}
