// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * space.c - memory of the program that we are part of
 *
 * Addresses come from the program's ioctls and may be wrong, and a library must not take
 * the program's SIGSEGV handler.  So the kernel touches memory for us and reports -EFAULT:
 * process_vm_readv() and -writev() on ourselves to copy, futex operations to see whether
 * a page is there (they fault it in as an access would, and change nothing: the write
 * probe is an atomic OR of zero).
 *
 * A process gets no notice of changed mappings; a program that changes those behind a
 * memory slot while the guest runs says so (host_posix_remap_begin), or has it said by the
 * preload shim.  If it does not: a page is its address, so what is mapped there anew is what
 * the guest sees, and memory taken away is a SIGSEGV in the thread that runs the guest.
 *
 * A look at a page and the access after it are one reader's section of accesses: a change that is
 * announced waits for those that have begun, and until it is over others leave it to the kernel.
 *
 * Locking: spaces_lock guards the list of spaces and is held from remap_begin to remap_end, so
 * that no space attached in between sees an end without its begin.  It is recursive, since
 * what the operations call may change mappings itself.
 */
#include "host/posix/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define USER_END 0x7ffffffff000ull

typedef ssize_t (*transfer_fn)(pid_t, const struct iovec *, unsigned long, const struct iovec *,
			       unsigned long, unsigned long);

static struct posix_lock pipe_lock;
static int pipe_fd[2] = { -1, -1 };

/*
 * Where a sandbox forbids process_vm_readv(): a pipe also moves bytes with a check, a
 * page at a time.
 */
static int copy_by_pipe(u64 to, u64 from, u64 n)
{
	int result = 0;

	posix_lock(&pipe_lock);
	if (pipe_fd[0] < 0 && pipe2(pipe_fd, O_CLOEXEC) < 0)
		result = -errno;
	while (n && !result) {
		size_t part = MIN_OF(n, PAGE_BYTES);
		ssize_t in = write(pipe_fd[1], (const void *)from, part), out, done = 0;

		if (in < 0) {
			result = -errno;
			break;
		}
		while (done < in && !result) {
			out = read(pipe_fd[0], (void *)(to + (u64)done), (size_t)(in - done));
			if (out < 0) {	/* the rest must not meet the next user */
				result = -errno;
				close(pipe_fd[0]);
				close(pipe_fd[1]);
				pipe_fd[0] = pipe_fd[1] = -1;
			} else {
				done += out;
			}
		}
		if ((size_t)in < part)
			result = -EFAULT;
		to += (u64)in;
		from += (u64)in;
		n -= (u64)in;
	}
	posix_unlock(&pipe_lock);
	return result;
}

static int copy(transfer_fn transfer, void *ours, u64 address, u64 n)
{
	if (n > USER_END || address > USER_END - n)
		return -EFAULT;
	while (n) {
		struct iovec local = { ours, n }, remote = { (void *)address, n };
		ssize_t done = transfer(getpid(), &local, 1, &remote, 1, 0);

		if (done < 0 && (errno == ENOSYS || errno == EPERM)) {
			u64 here = (u64)(uintptr_t)ours;

			return transfer == process_vm_readv ? copy_by_pipe(here, address, n) :
							      copy_by_pipe(address, here, n);
		}
		if (done <= 0)
			return -EFAULT;
		ours = (u8 *)ours + done;
		address += (u64)done;
		n -= (u64)done;
	}
	return 0;
}

int host_copy_out(u64 address, const void *src, u64 n)
{
	MAY_SLEEP();
	return copy((transfer_fn)process_vm_writev, (void *)src, address, n);
}

/* May the word at address (a multiple of 4) be read or written?  0 or -EFAULT. */
static int probe(u64 address, bool write)
{
	static const struct timespec now = { 0, 0 };
	u32 *word = (u32 *)(uintptr_t)address;
	long r;

	if (address >= USER_END)
		return -EFAULT;
	if (write)
		r = syscall(SYS_futex, word, FUTEX_WAKE_OP_PRIVATE, 0, 0, word,
			    FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0));
	else
		r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, &now, NULL, 0);
	return r < 0 && errno == EFAULT ? -EFAULT : 0;
}

static struct host_srcu accesses;
static u32 remaps;		/* announced changes in progress */

/* Until access_end() a page that is there stays there; -1 if that cannot be had now. */
static int access_begin(void)
{
	int cookie = host_srcu_enter(&accesses);

	if (LIKELY(!__atomic_load_n(&remaps, __ATOMIC_SEQ_CST)))
		return cookie;
	host_srcu_leave(&accesses, cookie);
	return -1;
}

static void access_end(int cookie)
{
	host_srcu_leave(&accesses, cookie);
}

/* Whatever is there: sanitizers know nothing of a client's odd addresses, such as their own memory. */
static __attribute__((no_sanitize("address", "thread"))) u64 word_at(u64 address, u64 n)
{
	return n == sizeof(u32) ? *(const volatile u32 *)(uintptr_t)address : *(const volatile u64 *)(uintptr_t)address;
}

/* One load, where the memory is known to be there. */
static int load(void *dst, u64 address, u64 n)
{
	int access = access_begin(), r;
	u64 value;

	if (UNLIKELY(access < 0))
		return copy(process_vm_readv, dst, address, n);
	r = probe(address & ~3ull, false);
	if (!r) {
		value = word_at(address, n);
		memcpy(dst, &value, n);
	}
	access_end(access);
	return r;
}

int host_copy_in(void *dst, u64 address, u64 n)
{
	MAY_SLEEP();
	if ((n == sizeof(u32) || n == sizeof(u64)) && address % n == 0)
		return load(dst, address, n);
	return copy(process_vm_readv, dst, address, n);
}

int host_cmpxchg(u64 address, u64 *old, u64 new, unsigned size)
{
	bool exchanged = false;
	u64 expected = *old;
	int access, r;

	MAY_SLEEP();
	if ((size != 1 && size != 2 && size != 4 && size != 8) || address % size)
		return -EINVAL;
	access = access_begin();
	if (UNLIKELY(access < 0))
		return -EAGAIN;
	r = probe(address & ~3ull, true);
	if (r)
		goto out;

#define CMPXCHG(type) ({ \
		type expect_ = (type)expected; \
		exchanged = atomic_cmpxchg((type *)(uintptr_t)address, &expect_, (type)new); \
		*old = expect_; \
	})
	switch (size) {
	case 1:
		CMPXCHG(u8);
		break;
	case 2:
		CMPXCHG(u16);
		break;
	case 4:
		CMPXCHG(u32);
		break;
	default:
		CMPXCHG(u64);
		break;
	}
#undef CMPXCHG
	r = exchanged ? 0 : -EAGAIN;
out:
	access_end(access);
	return r;
}

int host_page_get(u64 address, bool write, struct host_page *page)
{
	u64 start = address & ~(PAGE_BYTES - 1);
	int result;

	MAY_SLEEP();
	result = probe(start, write);
	if (result)
		return result;
	*page = (struct host_page){ .pa = start, .level = 0, .writable = write };
	return 0;
}

void host_page_put(struct host_page *page, bool dirty)
{
	(void)page;
	(void)dirty;
}

/* --- spaces and changed mappings --- */

struct space {
	const struct host_space_ops *ops;
	void *arg;
	struct space *next;
};

static struct space *spaces;
static pthread_mutex_t spaces_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

int host_space_attach(const struct host_space_ops *ops, void *arg, void **space)
{
	struct space *s;

	MAY_SLEEP();
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	pthread_mutex_lock(&spaces_lock);
	*s = (struct space){ ops, arg, spaces };
	spaces = s;
	pthread_mutex_unlock(&spaces_lock);
	*space = s;
	return 0;
}

void host_space_detach(void *space)
{
	struct space **at;

	MAY_SLEEP();
	pthread_mutex_lock(&spaces_lock);
	for (at = &spaces; *at != space; at = &(*at)->next)
		;
	*at = (*at)->next;
	pthread_mutex_unlock(&spaces_lock);
	free(space);
}

void host_posix_remap_begin(u64 start, u64 end)
{
	MAY_SLEEP();
	pthread_mutex_lock(&spaces_lock);
	atomic_fetch_add(&remaps, 1u);
	host_srcu_wait(&accesses);
	for (struct space *s = spaces; s; s = s->next)
		s->ops->invalidate_begin(s->arg, start, end);
}

void host_posix_remap_end(u64 start, u64 end)
{
	for (struct space *s = spaces; s; s = s->next)
		s->ops->invalidate_end(s->arg, start, end);
	atomic_fetch_add(&remaps, -1u);
	pthread_mutex_unlock(&spaces_lock);
}
