// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * door.c - the KVM API as library calls
 *
 * A handle is a file descriptor of this process: an eventfd for the system and for VMs, a
 * memfd for a vCPU, whose pages are its kvm_run.  The table says what each stands for.
 * A VM lives while a handle on it or on one of its vCPUs does, or a call is in progress.
 *
 * Duplicates of a descriptor are entries of the table for the same struct handle.  After a fork
 * the child's VM and vCPU handles answer -EIO, as the kernel's do to another address space.
 *
 * Invariants:
 *   1. A descriptor's bit in is_handle is set exactly while it is in the table; it is cleared
 *      before the descriptor is closed.
 *
 * Locking: table_lock guards the table, reference counts and lists of VMs and run pages; it is held
 * for look-ups only, never across a call into core.  is_handle is atomic.
 */
#include "anykvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/ioctl.h"
#include "api/lib/call.h"
#include "api/lib/mask.h"
#include "api/lib/profile.h"
#include "api/lib/ring.h"
#include "api/lib/stats.h"
#include "api/lib/trace.h"
#include "base/checked.h"
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
	struct vm_ref *next;	/* in vm_refs */
};

struct handle {
	struct vm_ref *vm;	/* NULL: the system */
	struct vcpu *v;		/* NULL: the VM */
	unsigned refs;		/* the table's entries, and calls in progress */
	u32 process;		/* which one made it: the value of processes then */
	struct run_mask mask;	/* a vCPU's */
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct handle **table;	/* by file descriptor */
static struct vm_ref *vm_refs;
static int table_size;
static u32 processes;			/* counts forks, in each child */

#define FDS_MAX (1 << 20)		/* the kernel's default limit (fs.nr_open) */
static u64 is_handle[FDS_MAX / 64];	/* bits; touched as used */

/* fd is in the table from now on, as h or, with NULL, not any more; what it was. */
static struct handle *table_set(int fd, struct handle *h)
{
	struct handle *before = table[fd];

	table[fd] = h;
	if (h)
		atomic_fetch_or(&is_handle[fd / 64], 1ull << fd % 64);
	else
		atomic_fetch_and(&is_handle[fd / 64], ~(1ull << fd % 64));
	return before;
}

/* Make room for fd. */
static int table_reserve(int fd)
{
	int size = fd + 64;
	struct handle **larger;

	if (fd < table_size)
		return 0;
	if (fd >= FDS_MAX)
		return -EMFILE;
	larger = realloc(table, (size_t)size * sizeof(*table));
	if (!larger)
		return -ENOMEM;
	for (int n = table_size; n < size; n++)
		larger[n] = NULL;
	table = larger;
	table_size = size;
	return 0;
}

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

/* Under the lock. */
static void vm_refs_remove(struct vm_ref *ref)
{
	struct vm_ref **at;

	for (at = &vm_refs; *at != ref; at = &(*at)->next)
		;
	*at = ref->next;
}

static void vm_ref_free(struct vm_ref *ref)
{
	struct run_pages *run, *next;

	vm_destroy(ref->vm);
	stats_files_free(ref->vm);
	dirty_rings_free(ref->vm);
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
		/* A parent's VM is not taken apart: its locks are as other threads left them. */
		if (h->vm && h->process == processes && --h->vm->refs == 0) {
			last = h->vm;
			vm_refs_remove(last);
		}
	} else {
		h = NULL;
	}
	pthread_mutex_unlock(&table_lock);
	if (last)
		vm_ref_free(last);
	free(h);
}

/* Let fd stand for vm and v.  Takes over fd; on failure closes it. */
static int handle_install(int fd, struct vm_ref *vm, struct vcpu *v)
{
	struct handle *h, *stale = NULL;
	int r;

	if (fd < 0)
		return -errno;
	h = malloc(sizeof(*h));
	if (!h) {
		close(fd);
		return -ENOMEM;
	}
	pthread_mutex_lock(&table_lock);
	r = table_reserve(fd);
	if (!r) {
		*h = (struct handle){ .vm = vm, .v = v, .refs = 1, .process = processes };
		if (vm)
			vm->refs++;
		stale = table_set(fd, h);	/* closed, and we were not told */
	}
	pthread_mutex_unlock(&table_lock);
	if (stale)
		handle_put(stale);
	if (!r)
		return fd;
	free(h);
	close(fd);
	return r;
}

/* --- what the dispatcher asks ---------------------------------------------------- */

/* A VM on which a call is in progress; it may have no handle any more. */
static struct vm_ref *vm_refs_find(struct vm *vm)
{
	struct vm_ref *ref;

	pthread_mutex_lock(&table_lock);
	for (ref = vm_refs; ref->vm != vm; ref = ref->next)
		;
	pthread_mutex_unlock(&table_lock);
	return ref;
}

static int install_vm(struct vm *vm)
{
	struct vm_ref *ref = calloc(1, sizeof(*ref));
	int fd;

	if (!ref)
		return -ENOMEM;
	ref->vm = vm;
	pthread_mutex_lock(&table_lock);
	ref->next = vm_refs;
	vm_refs = ref;
	pthread_mutex_unlock(&table_lock);
	fd = handle_install(eventfd(0, EFD_CLOEXEC), ref, NULL);
	if (fd < 0) {
		pthread_mutex_lock(&table_lock);
		vm_refs_remove(ref);
		pthread_mutex_unlock(&table_lock);
		free(ref);
	}
	return fd;
}

static int vcpu_reserve(void **reserved, void **pages)
{
	struct run_pages *run = calloc(1, sizeof(*run));
	int error;

	if (!run)
		return -ENOMEM;
	run->fd = memfd_create("anykvm-vcpu", MFD_CLOEXEC);
	if (run->fd < 0 || ftruncate(run->fd, RUN_BYTES))
		goto fail;
	run->pages = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, run->fd, 0);
	if (run->pages == MAP_FAILED)
		goto fail;
	*reserved = run;
	*pages = run->pages;
	return 0;
fail:
	error = errno;
	if (run->fd >= 0)
		close(run->fd);
	free(run);
	return -error;
}

static void vcpu_unreserve(void *reserved)
{
	struct run_pages *run = reserved;

	munmap(run->pages, RUN_BYTES);
	close(run->fd);
	free(run);
}

static int install_vcpu(struct vcpu *v, void *reserved)
{
	struct run_pages *run = reserved;
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
	.install_stats = stats_file_open,
	.vcpu_reserve = vcpu_reserve,
	.vcpu_unreserve = vcpu_unreserve,
};

/* --- what the client calls -------------------------------------------------------- */

static void before_fork(void)
{
	pthread_mutex_lock(&table_lock);
}

static void after_fork_in_parent(void)
{
	pthread_mutex_unlock(&table_lock);
}

static void after_fork_in_child(void)
{
	processes++;
	pthread_mutex_unlock(&table_lock);
}

static void library_init(void)
{
	static const struct host_posix_processor processor = { .kick = insn_soft_kick, .ack = insn_soft_ack };

	const char *nested = getenv("ANYKVM_NPT"), *translations = getenv("ANYKVM_TRANSLATIONS_MIB");

	soft_translate(!getenv("ANYKVM_INTERPRET"));	/* anykvm run --interpret */
	if (translations)	/* anykvm run --translations */
		soft_translations_bound(strtoull(translations, NULL, 10) << 20);
	profile_begin();
	trace_begin();
	insn_soft_init();
	core_use_nested(!nested || strcmp(nested, "0"));
	host_posix_set_processor(&processor);
	core_set_backend(&svm_backend);
	clock_set_run_delay(stats_run_delay);
	ioctl_set_door(&library_door);
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

int akvm_open(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int r;

	call_begin();
	pthread_once(&once, library_init);
	r = handle_install(eventfd(0, EFD_CLOEXEC), NULL, NULL);
	call_end();
	return r;
}

/* Only a signal that arrives during KVM_RUN ends it. */
static int run(struct handle *h, unsigned long arg)
{
	sigset_t before;
	bool masked;
	int r;

	call_is_run();
	host_posix_interrupt_clear();
	insn_soft_distrust();
	masked = mask_begin(&h->mask, &before);
	r = ioctl_on(h->vm->vm, h->v, KVM_RUN, arg);
	if (masked)
		mask_end(&before);
	return r;
}

static int handle_ioctl(int fd, unsigned long request, unsigned long arg)
{
	struct handle *h = handle_get(fd);
	int r;

	if (!h)
		return -EBADF;
	/* Of the number the kernel's ioctl takes 32 bits, and programs rely on it: QEMU's are signed. */
	request = (u32)request;
	if (h->vm && h->process != processes)
		r = -EIO;
	else if (h->v && request == KVM_RUN)
		r = run(h, arg);
	else if (h->v && request == KVM_SET_SIGNAL_MASK)
		r = mask_set(&h->mask, arg);
	else
		r = ioctl_on(h->vm ? h->vm->vm : NULL, h->v, (u32)request, arg);
	handle_put(h);
	return r;
}

int akvm_ioctl(int fd, unsigned long request, unsigned long arg)
{
	int r;

	call_begin();
	r = handle_ioctl(fd, request, arg);
	call_end();
	return r;
}

/* All vCPUs' mappings show one ring: map the VM's again in this one's place. */
static int ring_share(struct vm *vm, void *pages, size_t bytes, u64 offset)
{
	u64 at = VCPU_RING_PAGE * PAGE_BYTES;

	if (offset > at || !range_is_within(at - offset, PAGE_BYTES, bytes))
		return 0;
	return mremap(vm->coalesced.ring, 0, PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
		      (char *)pages + (at - offset)) == MAP_FAILED;
}

static void *handle_map(int fd, size_t bytes, long offset)
{
	struct handle *h = handle_get(fd);
	void *pages = MAP_FAILED;

	if (!h)
		return NULL;
	if (h->v && offset == (long)(KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_BYTES)) {
		pages = dirty_ring_map(h->v, bytes);
		handle_put(h);
		return pages;
	}
	if (h->v && offset >= 0 && offset <= (long)RUN_BYTES && bytes <= RUN_BYTES - (size_t)offset)
		/* Once more what is mapped already: mmap() may be the shim's, which calls this. */
		pages = mremap((char *)h->v->run + offset, 0, bytes, MREMAP_MAYMOVE);
	if (pages != MAP_FAILED && ring_share(h->vm->vm, pages, bytes, (u64)offset)) {
		munmap(pages, bytes);
		pages = MAP_FAILED;
	}
	handle_put(h);
	return pages == MAP_FAILED ? NULL : pages;
}

void *akvm_mmap(int fd, size_t bytes, long offset)
{
	void *pages;

	call_begin();
	pages = handle_map(fd, bytes, offset);
	call_end();
	return pages;
}

int akvm_close(int fd)
{
	struct handle *h = NULL;

	call_begin();
	pthread_mutex_lock(&table_lock);
	if (akvm_is_handle(fd)) {
		h = table_set(fd, NULL);
		/* Under the lock, so that nobody is given the number before it is gone here. */
		close(fd);
	}
	pthread_mutex_unlock(&table_lock);
	if (h)
		handle_put(h);
	call_end();
	return h ? 0 : -EBADF;
}

int akvm_is_handle(int fd)
{
	return fd >= 0 && fd < FDS_MAX && atomic_load_relaxed(&is_handle[fd / 64]) >> fd % 64 & 1;
}

/* fd has just been made from a descriptor that stands for h, or for nothing.  Under the lock. */
static int entry_copy(int fd, struct handle *h, struct handle **replaced)
{
	int r = h ? table_reserve(fd) : 0;

	if (r)
		return r;
	if (h)
		h->refs++;
	if (h || fd < table_size)
		*replaced = table_set(fd, h);
	return 0;
}

int akvm_dup(int handle, int least, int flags)
{
	struct handle *stale = NULL;
	int fd = -EBADF, r;

	call_begin();
	pthread_mutex_lock(&table_lock);
	if (akvm_is_handle(handle)) {
		/* Not by name: the preload shim's would call us again. */
		fd = (int)syscall(SYS_fcntl, handle, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, least);
		if (fd < 0) {
			fd = -errno;
		} else {
			r = entry_copy(fd, table[handle], &stale);
			if (r) {
				close(fd);
				fd = r;
			}
		}
	}
	pthread_mutex_unlock(&table_lock);
	if (stale)
		handle_put(stale);
	call_end();
	return fd;
}

int akvm_dup3(int from, int to, int flags)
{
	struct handle *replaced = NULL;
	int r;

	call_begin();
	pthread_mutex_lock(&table_lock);
	r = akvm_is_handle(from) ? table_reserve(to) : 0;
	if (!r && syscall(SYS_dup3, from, to, flags) < 0)
		r = -errno;
	if (!r)
		r = entry_copy(to, akvm_is_handle(from) ? table[from] : NULL, &replaced);
	pthread_mutex_unlock(&table_lock);
	if (replaced)
		handle_put(replaced);
	call_end();
	return r ? r : to;
}

static u64 remap_end_of(const void *address, size_t bytes)
{
	u64 start = (u64)(uintptr_t)address;

	return bytes > ~start ? ~0ull : start + bytes;
}

void akvm_remap_begin(const void *address, size_t bytes)
{
	call_begin();
	host_posix_remap_begin((u64)(uintptr_t)address, remap_end_of(address, bytes));
}

void akvm_remap_end(const void *address, size_t bytes)
{
	host_posix_remap_end((u64)(uintptr_t)address, remap_end_of(address, bytes));
	call_end();
}

void akvm_interrupt(void)
{
	host_posix_interrupt();
}

int akvm_interrupt_by(int number, siginfo_t *info, void *context)
{
	host_posix_interrupt();
	return mask_hold(number, info, context) || call_hold(number, info, context);
}

void akvm_interrupt_thread(pthread_t thread)
{
	host_posix_interrupt_thread(thread);
}
