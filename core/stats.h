/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats.h - statistics as KVM_GET_STATS_FD shows them
 *
 * The file is a header, an id, a description of each count and the counts.  All but the
 * counts never change.
 */
#ifndef CORE_STATS_H
#define CORE_STATS_H

#include "base/types.h"

struct vm;
struct vcpu;

/* v NULL: the VM's.  Size of the whole file, and where the counts begin, in bytes.  [any] */
u32  stats_bytes(const struct vcpu *v);
u32  stats_counts_at(const struct vcpu *v);
/* All before the counts, into stats_counts_at() bytes.  [any] */
void stats_describe(const struct vcpu *v, void *file);
/* A copy of the counts as they are now.  [any] */
void stats_copy(const struct vm *vm, const struct vcpu *v, u64 *counts);
/*
 * Count in this memory from now on, which lives as long as the VM does: what others read
 * there is always up to date.  A vCPU's v->lock is held, else vm->lock.  [sleep]
 */
void stats_move(struct vm *vm, struct vcpu *v, u64 *counts);

#endif
