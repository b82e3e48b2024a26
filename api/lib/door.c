// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * door.c - the KVM API as library calls
 *
 * A handle is a file descriptor of this process: an eventfd for the system and for VMs, a
 * memfd for a vCPU, whose pages are its kvm_run.  The table says what each stands for.
 * A VM lives while a handle on it or on one of its vCPUs does, or a call is in progress.
 *
 * Locking: table_lock guards the table, reference counts and list of run pages; it is held
 * for look-ups only, never across a call into core.
 */
#include "anykvm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/ioctl.h"
#include "base/list.h"
#include "core/vm.h"
#include "host/posix/posix.h"
#include "insn/soft/processor.h"
#include "svm/svm.h"

#define RUN_BYTES (VCPU_RUN_PAGES * PAGE_BYTES)

/* The pages that a vCPU shares with its client. */
struct run_pages {
	int fd;			/* -1 once a handle owns it */
	void *pages;
	struct run_pages *next;	/* of the same VM */
};

struct vm_ref {
	struct vm *vm;
	unsigned refs;
	struct run_pages *runs;
};

struct handle {
	struct vm_ref *vm;	/* NULL: the system */
	struct vcpu *v;		/* NULL: the VM */
	unsigned refs;		/* the table's, and calls in progress */
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct handle **table;	/* by file descriptor */
static int table_size;

static struct handle *handle_get(int fd)
{
	struct handle *h = NULL;

	pthread_mutex_lock(&table_lock);
	if (fd >= 0 && fd < table_size && table[fd]) {
		h = table[fd];
		h->refs++;
	}
	pthread_mutex_unlock(&table_lock);
	return h;
}

static void vm_ref_free(struct vm_ref *ref)
{
	struct run_pages *run, *next;

	vm_destroy(ref->vm);
	for (run = ref->runs; run; run = next) {
		next = run->next;
		munmap(run->pages, RUN_BYTES);
		if (run->fd >= 0)
			close(run->fd);
		free(run);
	}
	free(ref);
}

static void handle_put(struct handle *h)
{
	struct vm_ref *last = NULL;

	pthread_mutex_lock(&table_lock);
	if (--h->refs == 0) {
		if (h->vm && --h->vm->refs == 0)
			last = h->vm;
	} else {
		h = NULL;
	}
	pthread_mutex_unlock(&table_lock);
	if (last)
		vm_ref_free(last);
	free(h);
}

/* Let fd stand for what h says.  Takes over both; on failure closes and frees them. */
static int handle_install(int fd, struct vm_ref *vm, struct vcpu *v)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (fd < 0 || !h) {
		int error = fd < 0 ? errno : ENOMEM;

		if (fd >= 0)
			close(fd);
		free(h);
		return -error;
	}
	*h = (struct handle){ .vm = vm, .v = v, .refs = 1 };
	pthread_mutex_lock(&table_lock);
	if (fd >= table_size) {
		int size = fd + 64;
		struct handle **larger = realloc(table, (size_t)size * sizeof(*table));

		if (!larger) {
			pthread_mutex_unlock(&table_lock);
			close(fd);
			free(h);
			return -ENOMEM;
		}
		for (int n = table_size; n < size; n++)
			larger[n] = NULL;
		table = larger;
		table_size = size;
	}
	if (vm)
		vm->refs++;
	table[fd] = h;
	pthread_mutex_unlock(&table_lock);
	return fd;
}

/* --- what the dispatcher asks ---------------------------------------------------- */

static struct vm_ref *vm_refs_find(struct vm *vm)
{
	struct vm_ref *found = NULL;

	pthread_mutex_lock(&table_lock);
	for (int fd = 0; fd < table_size && !found; fd++)
		if (table[fd] && table[fd]->vm && table[fd]->vm->vm == vm)
			found = table[fd]->vm;
	pthread_mutex_unlock(&table_lock);
	return found;
}

static int install_vm(struct vm *vm)
{
	struct vm_ref *ref = calloc(1, sizeof(*ref));
	int fd;

	if (!ref)
		return -ENOMEM;
	ref->vm = vm;
	fd = handle_install(eventfd(0, EFD_CLOEXEC), ref, NULL);
	if (fd < 0)
		free(ref);
	return fd;
}

static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static struct run_pages *spare;		/* allocated, and not yet a VM's */

static void *run_alloc(void)
{
	struct run_pages *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->fd = memfd_create("anykvm-vcpu", MFD_CLOEXEC);
	if (run->fd < 0 || ftruncate(run->fd, RUN_BYTES))
		goto fail;
	run->pages = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, run->fd, 0);
	if (run->pages == MAP_FAILED)
		goto fail;
	pthread_mutex_lock(&spare_lock);
	run->next = spare;
	spare = run;
	pthread_mutex_unlock(&spare_lock);
	return run->pages;
fail:
	if (run->fd >= 0)
		close(run->fd);
	free(run);
	return NULL;
}

static struct run_pages *spare_take(void *pages)
{
	struct run_pages **at, *run;

	pthread_mutex_lock(&spare_lock);
	for (at = &spare; *at && (*at)->pages != pages; at = &(*at)->next)
		;
	run = *at;
	if (run)
		*at = run->next;
	pthread_mutex_unlock(&spare_lock);
	return run;
}

static void run_free(void *pages)
{
	struct run_pages *run = spare_take(pages);

	munmap(run->pages, RUN_BYTES);
	close(run->fd);
	free(run);
}

static int install_vcpu(struct vcpu *v, void *pages)
{
	struct run_pages *run = spare_take(pages);
	struct vm_ref *ref = vm_refs_find(v->vm);
	int fd = run->fd;

	run->fd = -1;		/* the handle's now; the mapping stays until the VM goes */
	pthread_mutex_lock(&table_lock);
	run->next = ref->runs;
	ref->runs = run;
	pthread_mutex_unlock(&table_lock);
	return handle_install(fd, ref, v);
}

static const struct door library_door = {
	.install_vm = install_vm,
	.install_vcpu = install_vcpu,
	.run_alloc = run_alloc,
	.run_free = run_free,
};

/* --- what the client calls -------------------------------------------------------- */

static void library_init(void)
{
	static const struct host_posix_processor processor = { .kick = insn_soft_kick, .ack = insn_soft_ack };

	const char *nested = getenv("ANYKVM_NPT");

	soft_translate(!getenv("ANYKVM_INTERPRET"));	/* anykvm run --interpret */
	insn_soft_init();
	core_use_nested(!nested || strcmp(nested, "0"));
	host_posix_set_processor(&processor);
	core_set_backend(&svm_backend);
	ioctl_set_door(&library_door);
}

int akvm_open(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, library_init);
	return handle_install(eventfd(0, EFD_CLOEXEC), NULL, NULL);
}

int akvm_ioctl(int fd, unsigned long request, unsigned long arg)
{
	struct handle *h = handle_get(fd);
	int r;

	if (!h)
		return -EBADF;
	if (request > ~0u) {
		r = -EINVAL;
	} else {
		/* Only a signal that arrives during KVM_RUN ends it. */
		if (request == KVM_RUN)
			host_posix_interrupt_clear();
		r = ioctl_on(h->vm ? h->vm->vm : NULL, h->v, (u32)request, arg);
	}
	handle_put(h);
	return r;
}

void *akvm_mmap(int fd, size_t bytes, long offset)
{
	struct handle *h = handle_get(fd);
	void *pages = MAP_FAILED;

	if (!h)
		return NULL;
	if (h->v && offset >= 0 && offset <= (long)RUN_BYTES && bytes <= RUN_BYTES - (size_t)offset)
		pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	handle_put(h);
	return pages == MAP_FAILED ? NULL : pages;
}

int akvm_close(int fd)
{
	struct handle *h;

	pthread_mutex_lock(&table_lock);
	h = fd >= 0 && fd < table_size ? table[fd] : NULL;
	if (h) {
		table[fd] = NULL;
		/* Under the lock, so that nobody is given the number before it is gone here. */
		close(fd);
	}
	pthread_mutex_unlock(&table_lock);
	if (!h)
		return -EBADF;
	handle_put(h);
	return 0;
}

void akvm_interrupt(void)
{
	host_posix_interrupt();
}
