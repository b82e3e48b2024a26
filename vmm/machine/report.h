/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report.h - telling the user, in one line, what is wrong and what to do
 */
#ifndef VMM_MACHINE_REPORT_H
#define VMM_MACHINE_REPORT_H

/* "anykvm: ..." on standard error.  Returns `error`, for `return report_error(-EINVAL, ...)`. */
__attribute__((format(printf, 2, 3)))
int report_error(int error, const char *format, ...);

/* The same for what is no error. */
__attribute__((format(printf, 1, 2)))
void report_note(const char *format, ...);

#endif
