// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memory.c - changed mappings, of which running guests must hear before
 *
 * What MMU notifiers are in a kernel.  Discarding pages (madvise) and punching holes need no
 * word: a guest uses the program's own mapping, and finds what the program would.
 *
 * Not modelled: mappings that go without the program calling one of these functions by
 * name, such as a heap block given back inside free().
 */
#include <errno.h>
#include <stdarg.h>

#include "anykvm.h"
#include "api/preload/real.h"

/* After begin(), the kernel's call; errno is the program's to see. */
static void end(const void *address, size_t bytes)
{
	int error = errno;

	akvm_remap_end(address, bytes);
	errno = error;
}

INTERPOSE int munmap(void *address, size_t bytes)
{
	int r;

	akvm_remap_begin(address, bytes);
	r = real()->munmap(address, bytes);
	end(address, bytes);
	return r;
}

INTERPOSE int mprotect(void *address, size_t bytes, int protection)
{
	int r;

	akvm_remap_begin(address, bytes);
	r = real()->mprotect(address, bytes, protection);
	end(address, bytes);
	return r;
}

/* Of a vCPU: the library knows which pages are shared with others, and which are elsewhere. */
static void *handle_map(size_t bytes, int protection, int flags, int fd, off_t offset)
{
	void *r = NULL;

	if ((flags & MAP_TYPE) != MAP_PRIVATE && !(protection & PROT_EXEC))
		r = akvm_mmap(fd, bytes, offset);
	if (r)
		return r;
	errno = EINVAL;
	return MAP_FAILED;
}

INTERPOSE void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	void *r;

	if (!(flags & MAP_FIXED) && akvm_is_handle(fd))
		return handle_map(bytes, protection, flags, fd, offset);
	if (!(flags & MAP_FIXED))
		return real()->mmap(address, bytes, protection, flags, fd, offset);
	akvm_remap_begin(address, bytes);
	r = real()->mmap(address, bytes, protection, flags, fd, offset);
	end(address, bytes);
	return r;
}

INTERPOSE void *mmap64(void *address, size_t bytes, int protection, int flags, int fd, off64_t offset)
	__attribute__((alias("mmap")));

INTERPOSE void *mremap(void *address, size_t bytes, size_t new_bytes, int flags, ...)
{
	void *target, *r;
	va_list more;

	va_start(more, flags);
	target = va_arg(more, void *);
	va_end(more);
	akvm_remap_begin(address, bytes);
	if (flags & MREMAP_FIXED)
		akvm_remap_begin(target, new_bytes);
	r = real()->mremap(address, bytes, new_bytes, flags, target);
	if (flags & MREMAP_FIXED)
		end(target, new_bytes);
	end(address, bytes);
	return r;
}
