// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memory.c - memory of our own, from the kernel
 *
 * It is charged to the process that asks for it.  Pages come from the direct map, so a bus
 * address is a physical one.  Pages that are out, ours and those of clients that we hold, are
 * counted, so that a module that goes can say whether it has kept any: nobody else knows.
 */
#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "host/host.h"
#include "host/linux/linux.h"

static atomic_long_t pages_out;

void host_linux_pages_count(long n)
{
	atomic_long_add(n, &pages_out);
}

long host_linux_pages_out(void)
{
	return atomic_long_read(&pages_out);
}

static gfp_t gfp_of(unsigned flags)
{
	return (flags & HOST_ATOMIC ? GFP_NOWAIT | __GFP_ACCOUNT : GFP_KERNEL_ACCOUNT) | __GFP_ZERO | __GFP_NOWARN;
}

void *host_alloc(u64 size, unsigned flags)
{
	if (size > INT_MAX)
		return NULL;
	if (flags & HOST_ATOMIC)
		return kmalloc(size, gfp_of(flags));
	return kvmalloc(size, gfp_of(flags));
}

void host_free(void *p)
{
	kvfree(p);
}

void *host_alloc_pages(unsigned order, unsigned flags)
{
	void *p = (void *)__get_free_pages(gfp_of(flags) | (flags & HOST_LOW ? GFP_DMA32 : 0), order);

	if (p)
		host_linux_pages_count(1l << order);
	return p;
}

void host_free_pages(void *p, unsigned order)
{
	if (p)
		host_linux_pages_count(-(1l << order));
	free_pages((unsigned long)p, order);
}

hpa_t host_bus_address(const void *page)
{
	return virt_to_phys((void *)page);
}

void *host_from_bus(hpa_t pa)
{
	return phys_to_virt(pa);
}
