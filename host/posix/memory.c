// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memory.c - memory of our own, in a process
 *
 * The software processor's physical addresses are pointers, so a bus address is one.
 */
#include "host/posix/thread.h"

#include <stdlib.h>
#include <string.h>

#define ORDER_MAX 18		/* a gigabyte */
#define SIZE_LIMIT (1ull << 38)	/* a mistake; sanitizers end the program on such sizes */

void *host_alloc(u64 size, unsigned flags)
{
	if (!(flags & HOST_ATOMIC))
		MAY_SLEEP();
	return size > SIZE_LIMIT ? NULL : calloc(1, size ? size : 1);
}

void host_free(void *p)
{
	free(p);
}

void *host_alloc_pages(unsigned order, unsigned flags)
{
	void *p;

	if (!(flags & HOST_ATOMIC))
		MAY_SLEEP();
	if (order > ORDER_MAX)
		return NULL;
	p = aligned_alloc(PAGE_BYTES << order, PAGE_BYTES << order);
	if (p)
		memset(p, 0, PAGE_BYTES << order);
	return p;
}

void host_free_pages(void *p, unsigned order)
{
	(void)order;
	free(p);
}

hpa_t host_bus_address(const void *page)
{
	return (hpa_t)(uintptr_t)page;
}

void *host_from_bus(hpa_t pa)
{
	return (void *)(uintptr_t)pa;
}
