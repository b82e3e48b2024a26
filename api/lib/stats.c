// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stats.c - files of statistics in a process, and what the system knows of waiting threads
 *
 * A file of statistics is a memfd.  Its pages are mapped here too, and are where the VM or the
 * vCPU counts from the first time that somebody asks, so that a plain read() of the
 * descriptor has the present values and nobody has to serve it.  Readers get descriptors
 * that cannot write.  They are not handles: they are closed by close(2), at any time.
 *
 * Locking: files_lock guards the list.
 */
#include "api/lib/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/stats.h"

struct stats_file {
	const struct vm *vm;
	const struct vcpu *v;
	int fd;
	void *pages;
	size_t bytes;
	struct stats_file *next;
};

static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stats_file *files;

static void file_free(struct stats_file *f)
{
	if (f->pages != MAP_FAILED)
		munmap(f->pages, f->bytes);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static struct stats_file *file_new(struct vm *vm, struct vcpu *v)
{
	struct stats_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct stats_file){ .vm = vm, .v = v, .pages = MAP_FAILED, .bytes = stats_bytes(v) };
	f->fd = memfd_create("anykvm-stats", MFD_CLOEXEC);
	if (f->fd >= 0 && !ftruncate(f->fd, (off_t)f->bytes))
		f->pages = mmap(NULL, f->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	if (f->pages == MAP_FAILED) {
		file_free(f);
		return NULL;
	}
	stats_describe(v, f->pages);
	stats_move(vm, v, (u64 *)((char *)f->pages + stats_counts_at(v)));
	return f;
}

/* A descriptor of its own, with its own position. */
static int file_reopen(const struct stats_file *f)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)		/* no /proc in this sandbox */
		fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int stats_file_open(struct vm *vm, struct vcpu *v)
{
	struct stats_file *f;
	int fd = -ENOMEM;

	pthread_mutex_lock(&files_lock);
	for (f = files; f && (f->vm != vm || f->v != v); f = f->next)
		;
	if (!f) {
		f = file_new(vm, v);
		if (f) {
			f->next = files;
			files = f;
		}
	}
	if (f)
		fd = file_reopen(f);
	pthread_mutex_unlock(&files_lock);
	return fd;
}

void stats_files_free(const struct vm *vm)
{
	struct stats_file **at = &files, *f;

	pthread_mutex_lock(&files_lock);
	while ((f = *at)) {
		if (f->vm == vm) {
			*at = f->next;
			file_free(f);
		} else {
			at = &f->next;
		}
	}
	pthread_mutex_unlock(&files_lock);
}

u64 stats_run_delay(void)
{
	char text[96];
	unsigned long long ran, waited;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}
