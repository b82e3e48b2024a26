/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats.h - files of statistics in a process, and what the system knows of waiting threads
 */
#ifndef API_LIB_STATS_H
#define API_LIB_STATS_H

#include "base/types.h"

struct vm;
struct vcpu;

/* A descriptor to read the counts of vm, or of v if it is not NULL, from; or -errno. */
int  stats_file_open(struct vm *vm, struct vcpu *v);
/* After vm_destroy(): the memory that it counted in. */
void stats_files_free(const struct vm *vm);

/* clock_set_run_delay() */
u64  stats_run_delay(void);

#endif
