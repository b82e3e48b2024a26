/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring.h - mappings of vCPUs' dirty rings
 */
#ifndef API_LIB_RING_H
#define API_LIB_RING_H

#include <stddef.h>

struct vm;
struct vcpu;

/* v's ring once more, its first bytes; NULL without a ring or memory.  Undone by munmap(2). */
void *dirty_ring_map(struct vcpu *v, size_t bytes);
void dirty_rings_free(const struct vm *vm);	/* after vm_destroy() */

#endif
