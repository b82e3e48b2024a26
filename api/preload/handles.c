// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * handles.c - system calls on KVM's file descriptors
 *
 * A handle is a real descriptor that the kernel knows as something else: an eventfd, or for a
 * vCPU a memfd, which can be mapped and unmapped without help.  KVM's ioctls on it are the
 * library's, and whatever makes or ends a descriptor is told to the library.
 *
 * Locking: none here.  akvm_is_handle() takes none either, so that close() stays
 * async-signal-safe for descriptors that are not ours.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>

#include "anykvm.h"
#include "api/preload/real.h"

#define FDS_MAX (1u << 20)	/* the library has no handles from there on */

static int is_ours(int fd)
{
	return akvm_is_handle(fd) && !real_in_vfork_child();
}

static int result(int r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

INTERPOSE int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list more;

	va_start(more, request);
	arg = va_arg(more, unsigned long);
	va_end(more);
	if (_IOC_TYPE(request) == KVMIO && akvm_is_handle(fd))
		return result(akvm_ioctl(fd, request, arg));
	return real()->ioctl(fd, request, arg);
}

INTERPOSE int close(int fd)
{
	return is_ours(fd) ? result(akvm_close(fd)) : real()->close(fd);
}

INTERPOSE int close_range(unsigned first, unsigned last, int flags)
{
	/* Bits that the kernel does not know make its call fail, and then nothing may be closed. */
	if (!(flags & ~CLOSE_RANGE_UNSHARE) && first <= last)
		for (unsigned fd = first; fd <= last && fd < FDS_MAX; fd++)
			if (is_ours((int)fd))
				(void)akvm_close((int)fd);
	return real()->close_range(first, last, flags);
}

INTERPOSE void closefrom(int least)
{
	(void)close_range((unsigned)(least < 0 ? 0 : least), ~0u, 0);
}

/* --- duplicates --------------------------------------------------------------------- */

INTERPOSE int dup(int fd)
{
	return is_ours(fd) ? result(akvm_dup(fd, 0, 0)) : real()->dup(fd);
}

INTERPOSE int dup2(int from, int to)
{
	if (from != to && (is_ours(from) || is_ours(to)))
		return result(akvm_dup3(from, to, 0));
	return real()->dup2(from, to);
}

INTERPOSE int dup3(int from, int to, int flags)
{
	if (is_ours(from) || is_ours(to))
		return result(akvm_dup3(from, to, flags));
	return real()->dup3(from, to, flags);
}

INTERPOSE int fcntl(int fd, int command, ...)
{
	unsigned long arg;
	va_list more;

	va_start(more, command);
	arg = va_arg(more, unsigned long);
	va_end(more);
	if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && is_ours(fd))
		return result(akvm_dup(fd, (int)arg, command == F_DUPFD ? 0 : O_CLOEXEC));
	return real()->fcntl(fd, command, arg);
}

INTERPOSE int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

/* --- handing them to others ---------------------------------------------------------- */

/* Another process could do nothing with a handle, and would not notice before it tried. */
static int has_handle(const struct msghdr *message)
{
	struct cmsghdr *part;

	if (!message || !message->msg_control)
		return 0;
	for (part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR((struct msghdr *)message, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS || part->cmsg_len < CMSG_LEN(0))
			continue;
		for (size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(part) + at, sizeof(fd));
			if (akvm_is_handle(fd))
				return 1;
		}
	}
	return 0;
}

INTERPOSE ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
	if (has_handle(message))
		return result(-EOPNOTSUPP);
	return real()->sendmsg(socket, message, flags);
}

INTERPOSE int sendmmsg(int socket, struct mmsghdr *messages, unsigned count, int flags)
{
	for (unsigned n = 0; n < count; n++)
		if (has_handle(&messages[n].msg_hdr))
			return result(-EOPNOTSUPP);
	return real()->sendmmsg(socket, messages, count, flags);
}
