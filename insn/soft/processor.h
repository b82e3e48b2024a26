/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * processor.h - the software processors of a process, besides insn.h
 *
 * Every host_cpu() has one, made when it first needs it and never freed.
 */
#ifndef INSN_SOFT_PROCESSOR_H
#define INSN_SOFT_PROCESSOR_H

#include "soft/soft.h"

/* [sleep] Once per process, before any other function of insn.h.  0 or -ENOMEM. */
int  insn_soft_init(void);

/* [any] The INTR pin of that processor; also from signal handlers. */
void insn_soft_kick(unsigned cpu);
/* [any] Lower it: from the processor's own thread. */
void insn_soft_ack(unsigned cpu);

/* [any] The thread's own code, or others, may have written the guest's code. */
void insn_soft_distrust(void);

/* [any] Sums over all processors. */
void insn_soft_counters(struct soft_counters *out);
/* [any] By mnemonic: the instructions that translated code leaves to others, of one processor after the other. */
void insn_soft_ops(soft_op_fn *fn, void *arg);
/* [any] Translated code of all processors, which stand still meanwhile. */
void insn_soft_blocks(soft_block_fn *fn, void *arg);

#endif
