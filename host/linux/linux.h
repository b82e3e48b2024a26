/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * linux.h - what host/linux offers to the doors of the modules, besides host.h
 */
#ifndef HOST_LINUX_LINUX_H
#define HOST_LINUX_LINUX_H

#include "host/host.h"

/* [sleep] before anything else of host.h, and after everything. */
int  host_linux_init(void);
void host_linux_fini(void);

/* [any] Pages that are out, ours or clients' that we hold: n more. */
void host_linux_pages_count(long n);
long host_linux_pages_out(void);

#endif
