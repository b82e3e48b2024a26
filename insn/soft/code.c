// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * code.c - memory for processors and for the code that they generate
 *
 * W^X by construction: the file's two mappings are made once, at addresses chosen by the
 * kernel, and their permissions never change.  The file is sealed against resizing, so
 * that no mapping can be made to fault.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "insn/soft/code.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u		/* Linux 6.3: say that executable is meant */
#endif

static int code_file(void)
{
	int fd = memfd_create("anykvm-code", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("anykvm-code", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

/* A hole in the file, or in private memory. */
static void forget(void *memory, u64 bytes)
{
	if (madvise(memory, bytes, MADV_REMOVE) < 0)
		(void)madvise(memory, bytes, MADV_DONTNEED);
}

int code_alloc(struct soft_code *code, u64 bytes)
{
	void *write, *run;
	int fd = code_file(), error;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) < 0)
		goto fail;
	write = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (write == MAP_FAILED)
		goto fail;
	run = mmap(NULL, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		goto fail_unmap;
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	close(fd);
	*code = (struct soft_code){ .write = write, .run = run, .bytes = bytes, .forget = forget };
	return 0;

fail_unmap:
	error = errno;
	munmap(write, bytes);
	errno = error;
fail:
	error = errno;
	close(fd);
	return -error;
}

#define HUGE_BYTES	(2ul << 20)

void *code_alloc_data(u64 bytes)
{
	u64 room = bytes + HUGE_BYTES;
	u8 *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p = (u8 *)(((u64)p + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1));
	(void)madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}
