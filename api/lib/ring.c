// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ring.c - mappings of vCPUs' dirty rings
 *
 * A ring begins in memory of core's. When a client first maps it, it moves to memory that can be
 * mapped many times, which stays until the VM goes.
 *
 * Locking: rings_lock guards the list; vm->lock is taken inside it.
 */
#include "api/lib/ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/vm.h"

struct shared_ring {
	const struct vm *vm;
	const struct vcpu *v;
	void *pages;
	size_t bytes;
	struct shared_ring *next;
};

static pthread_mutex_t rings_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared_ring *rings;

static struct shared_ring *ring_share(struct vcpu *v)
{
	struct shared_ring *r = malloc(sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct shared_ring){ .vm = v->vm, .v = v, .bytes = v->vm->dirty.bytes, .next = rings };
	r->pages = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r->pages == MAP_FAILED) {
		free(r);
		return NULL;
	}
	host_mutex_lock(&v->vm->lock);
	dirty_ring_move(v, r->pages);
	host_mutex_unlock(&v->vm->lock);
	rings = r;
	return r;
}

void *dirty_ring_map(struct vcpu *v, size_t bytes)
{
	struct shared_ring *r;
	void *pages = MAP_FAILED;

	if (!bytes || bytes > v->vm->dirty.bytes)
		return NULL;
	pthread_mutex_lock(&rings_lock);
	for (r = rings; r && r->v != v; r = r->next)
		;
	if (!r)
		r = ring_share(v);
	if (r)
		pages = mremap(r->pages, 0, bytes, MREMAP_MAYMOVE);
	pthread_mutex_unlock(&rings_lock);
	return pages == MAP_FAILED ? NULL : pages;
}

void dirty_rings_free(const struct vm *vm)
{
	struct shared_ring **at = &rings, *r;

	pthread_mutex_lock(&rings_lock);
	while ((r = *at)) {
		if (r->vm != vm) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		munmap(r->pages, r->bytes);
		free(r);
	}
	pthread_mutex_unlock(&rings_lock);
}
