/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * code.h - memory for processors and for the code that they generate
 */
#ifndef INSN_SOFT_CODE_H
#define INSN_SOFT_CODE_H

#include "soft/soft.h"

/*
 * Two mappings of one anonymous file, one writable, one executable; never both at one
 * address.  0 or -errno.
 */
int  code_alloc(struct soft_code *code, u64 bytes);

/* Zeroed pages, in huge pages where the host has them.  NULL on failure. */
void *code_alloc_data(u64 bytes);

#endif
