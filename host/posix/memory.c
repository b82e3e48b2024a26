// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memory.c - memory of our own, in a process
 *
 * The software processor's physical addresses are pointers, so a bus address is one.
 */
#include "host/posix/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ORDER_MAX 18		/* a gigabyte */
#define SIZE_LIMIT (1ull << 38)	/* a mistake; sanitizers end the program on such sizes */

void host_posix_fail_allocation(u32 n)
{
	posix_self.fail_allocation = n;
}

static bool is_to_fail(void)
{
	return UNLIKELY(posix_self.fail_allocation) && --posix_self.fail_allocation == 0;
}

void *host_alloc(u64 size, unsigned flags)
{
	if (!(flags & HOST_ATOMIC))
		MAY_SLEEP();
	if (is_to_fail())
		return NULL;
	return size > SIZE_LIMIT ? NULL : calloc(1, size ? size : 1);
}

void host_free(void *p)
{
	free(p);
}

/*
 * Pages below 4 GiB are mappings of their own, few, and remembered, as their addresses do
 * not tell them from the heap of a program that is linked to low addresses.
 */
static struct low { struct low *next; void *p; } *low_pages;
static pthread_mutex_t low_lock = PTHREAD_MUTEX_INITIALIZER;

static void *low_alloc(u64 bytes)
{
	struct low *low = malloc(sizeof(*low));
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (!low || p == MAP_FAILED) {
		if (p != MAP_FAILED)
			munmap(p, bytes);
		free(low);
		return NULL;
	}
	pthread_mutex_lock(&low_lock);
	*low = (struct low){ .next = low_pages, .p = p };
	low_pages = low;
	pthread_mutex_unlock(&low_lock);
	return p;
}

static bool low_free(void *p, u64 bytes)
{
	struct low **at, *low;

	pthread_mutex_lock(&low_lock);
	for (at = &low_pages; *at && (*at)->p != p; at = &(*at)->next)
		;
	low = *at;
	if (low)
		*at = low->next;
	pthread_mutex_unlock(&low_lock);
	if (!low)
		return false;
	munmap(p, bytes);
	free(low);
	return true;
}

void *host_alloc_pages(unsigned order, unsigned flags)
{
	void *p;

	if (!(flags & HOST_ATOMIC))
		MAY_SLEEP();
	if (order > ORDER_MAX || is_to_fail())
		return NULL;
	if (flags & HOST_LOW)		/* aligned to a page only, as one page is all that is asked for */
		return order ? NULL : low_alloc(PAGE_BYTES);
	p = aligned_alloc(PAGE_BYTES << order, PAGE_BYTES << order);
	if (p)
		memset(p, 0, PAGE_BYTES << order);
	return p;
}

void host_free_pages(void *p, unsigned order)
{
	if ((uintptr_t)p >> 32 || !p || !low_free(p, PAGE_BYTES << order))
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
