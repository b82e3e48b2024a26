/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rows.h - the rows of api/ioctl.def, for tests that go through all of them
 */
#ifndef TESTS_GUEST_ROWS_H
#define TESTS_GUEST_ROWS_H

#include <linux/kvm.h>

enum handle_kind { SYSTEM_HANDLE, VM_HANDLE, VCPU_HANDLE, STATS_HANDLE, HANDLE_KINDS };
enum argument { VALUE, IN, OUT, INOUT, SELF };

static const struct row {
	const char *name;
	enum handle_kind kind;
	unsigned long request;
	enum argument argument;
} rows[] = {
#define SYSTEM(name, argument, handler) { #name, SYSTEM_HANDLE, name, argument },
#define VM(name, argument, handler) { #name, VM_HANDLE, name, argument },
#define VCPU(name, argument, handler) { #name, VCPU_HANDLE, name, argument },
#include "api/ioctl.def"
};

#endif
