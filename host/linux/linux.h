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

/*
 * The FPU registers in a call of the API: the guest's, which the scheduler keeps, from enter() to
 * leave(), which gives the caller its own back.  One fpu at a time serves one thread.
 */
struct fpu_guest;
bool host_linux_fpu_init(struct fpu_guest *fpu);	/* [sleep] false: no memory */
void host_linux_fpu_fini(struct fpu_guest *fpu);	/* [sleep] */
void host_linux_fpu_enter(struct fpu_guest *fpu);	/* [sleep] */
void host_linux_fpu_leave(struct fpu_guest *fpu);	/* [sleep] */

/* [any] Pages that are out, ours or clients' that we hold: n more. */
void host_linux_pages_count(long n);
long host_linux_pages_out(void);

#endif
