// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * files.c - looking for KVM by name
 *
 * /dev/kvm is there and may be opened, whatever the file system says; /proc/cpuinfo has the
 * flag by which programs expect to be told (cpuid.h).  All other names are passed on.
 *
 * Not modelled: these two files by other names (links, relative paths), and as entries of
 * their directories.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "anykvm.h"
#include "api/preload/cpuid.h"
#include "api/preload/real.h"

#define KVM_MAJOR 10		/* misc */
#define KVM_MINOR 232

static int is_device(const char *path)
{
	return path && !strcmp(path, "/dev/kvm");
}

static int is_cpuinfo(const char *path)
{
	return path && !strcmp(path, "/proc/cpuinfo");
}

static int result(int r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

/* --- opening ---------------------------------------------------------------------- */

static int device_open(int flags)
{
	int fd = akvm_open();

	if (fd >= 0 && !(flags & O_CLOEXEC))
		(void)fcntl(fd, F_SETFD, 0);
	return result(fd);
}

/* Copy /proc/cpuinfo with one more flag. */
static void cpuinfo_copy(FILE *from, FILE *to)
{
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, from) > 0) {
		line[strcspn(line, "\n")] = 0;
		fputs(line, to);
		if (!strncmp(line, "flags\t", 6) && !cpuid_is_native())
			fprintf(to, " %s", cpuid_flag());
		fputc('\n', to);
	}
	free(line);
}

static int cpuinfo_open(int flags)
{
	int fd = memfd_create("cpuinfo", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	int copy = fd < 0 ? -1 : dup(fd);
	FILE *from = real()->fopen("/proc/cpuinfo", "re"), *to = copy < 0 ? NULL : fdopen(copy, "w");

	if (from && to) {
		cpuinfo_copy(from, to);
		rewind(to);
	}
	if (!to && copy >= 0)
		close(copy);
	if (to)
		fclose(to);
	if (from && to) {
		fclose(from);
		return fd;
	}
	if (from)
		fclose(from);
	if (fd >= 0)
		close(fd);
	return real()->open("/proc/cpuinfo", flags);
}

/* Open path if it is one of ours: -2 if it is not. */
static int ours_open(const char *path, int flags)
{
	if (is_device(path))
		return device_open(flags);
	if (is_cpuinfo(path) && (flags & O_ACCMODE) == O_RDONLY)
		return cpuinfo_open(flags);
	return -2;
}

#define MODE_OF(flags) ({ \
	mode_t mode_ = 0; \
	if ((flags) & (O_CREAT | O_TMPFILE)) { \
		va_list more_; \
		va_start(more_, flags); \
		mode_ = va_arg(more_, mode_t); \
		va_end(more_); \
	} \
	mode_; \
})

INTERPOSE int open(const char *path, int flags, ...)
{
	int fd = ours_open(path, flags);

	return fd == -2 ? real()->open(path, flags, MODE_OF(flags)) : fd;
}

INTERPOSE int open64(const char *path, int flags, ...)
{
	int fd = ours_open(path, flags);

	return fd == -2 ? real()->open64(path, flags, MODE_OF(flags)) : fd;
}

INTERPOSE int openat(int dir, const char *path, int flags, ...)
{
	int fd = ours_open(path, flags);

	return fd == -2 ? real()->openat(dir, path, flags, MODE_OF(flags)) : fd;
}

INTERPOSE int openat64(int dir, const char *path, int flags, ...)
{
	int fd = ours_open(path, flags);

	return fd == -2 ? real()->openat64(dir, path, flags, MODE_OF(flags)) : fd;
}

INTERPOSE int __open_2(const char *path, int flags)
{
	int fd = ours_open(path, flags);

	return fd == -2 ? real()->__open_2(path, flags) : fd;
}

INTERPOSE int __open64_2(const char *path, int flags)
{
	int fd = ours_open(path, flags);

	return fd == -2 ? real()->__open64_2(path, flags) : fd;
}

INTERPOSE int __openat_2(int dir, const char *path, int flags)
{
	int fd = ours_open(path, flags);

	return fd == -2 ? real()->__openat_2(dir, path, flags) : fd;
}

INTERPOSE int __openat64_2(int dir, const char *path, int flags)
{
	int fd = ours_open(path, flags);

	return fd == -2 ? real()->__openat64_2(dir, path, flags) : fd;
}

static FILE *ours_fopen(const char *path, const char *mode)
{
	int flags = (strchr(mode, '+') ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY) |
		    (strchr(mode, 'e') ? O_CLOEXEC : 0);
	int fd = ours_open(path, flags);
	FILE *f;

	if (fd < 0)
		return NULL;
	f = fdopen(fd, mode);
	if (!f)
		close(fd);
	return f;
}

static int is_ours_fopen(const char *path, const char *mode)
{
	return is_device(path) || (is_cpuinfo(path) && mode && *mode == 'r' && !strchr(mode, '+'));
}

INTERPOSE FILE *fopen(const char *path, const char *mode)
{
	return is_ours_fopen(path, mode) ? ours_fopen(path, mode) : real()->fopen(path, mode);
}

INTERPOSE FILE *fopen64(const char *path, const char *mode)
{
	return is_ours_fopen(path, mode) ? ours_fopen(path, mode) : real()->fopen64(path, mode);
}

/* --- looking ------------------------------------------------------------------------ */

static int device_access(int mode)
{
	return result(mode & X_OK ? -EACCES : 0);
}

INTERPOSE int access(const char *path, int mode)
{
	return is_device(path) ? device_access(mode) : real()->access(path, mode);
}

INTERPOSE int euidaccess(const char *path, int mode)
{
	return is_device(path) ? device_access(mode) : real()->euidaccess(path, mode);
}

INTERPOSE int eaccess(const char *path, int mode)
{
	return is_device(path) ? device_access(mode) : real()->eaccess(path, mode);
}

INTERPOSE int faccessat(int dir, const char *path, int mode, int flags)
{
	return is_device(path) ? device_access(mode) : real()->faccessat(dir, path, mode, flags);
}

/* The node as a kernel with KVM makes it, were everybody in its group: like /dev/null, but for the number. */
#define DEVICE_STAT(st, call) ({ \
	int r_ = (call); \
	if (!r_) { \
		(st)->st_mode = S_IFCHR | 0666; \
		(st)->st_rdev = makedev(KVM_MAJOR, KVM_MINOR); \
	} \
	r_; \
})

#define STAT(name, type) \
INTERPOSE int name(const char *path, struct type *st) \
{ \
	return is_device(path) ? DEVICE_STAT(st, real()->name("/dev/null", st)) : real()->name(path, st); \
}
#define OLD_STAT(name, type) \
INTERPOSE int name(int version, const char *path, struct type *st) \
{ \
	return is_device(path) ? DEVICE_STAT(st, real()->name(version, "/dev/null", st)) : \
				 real()->name(version, path, st); \
}
#define STAT_AT(name, type) \
INTERPOSE int name(int dir, const char *path, struct type *st, int flags) \
{ \
	return is_device(path) ? DEVICE_STAT(st, real()->name(dir, "/dev/null", st, flags)) : \
				 real()->name(dir, path, st, flags); \
}
#define OLD_STAT_AT(name, type) \
INTERPOSE int name(int version, int dir, const char *path, struct type *st, int flags) \
{ \
	return is_device(path) ? DEVICE_STAT(st, real()->name(version, dir, "/dev/null", st, flags)) : \
				 real()->name(version, dir, path, st, flags); \
}

STAT(stat, stat)
STAT(lstat, stat)
STAT(stat64, stat64)
STAT(lstat64, stat64)
STAT_AT(fstatat, stat)
STAT_AT(fstatat64, stat64)
OLD_STAT(__xstat, stat)
OLD_STAT(__lxstat, stat)
OLD_STAT(__xstat64, stat64)
OLD_STAT(__lxstat64, stat64)
OLD_STAT_AT(__fxstatat, stat)
OLD_STAT_AT(__fxstatat64, stat64)

INTERPOSE int statx(int dir, const char *path, int flags, unsigned mask, struct statx *st)
{
	int r;

	if (!is_device(path))
		return real()->statx(dir, path, flags, mask, st);
	r = real()->statx(dir, "/dev/null", flags, mask, st);
	if (!r) {
		st->stx_mode = S_IFCHR | 0666;
		st->stx_rdev_major = KVM_MAJOR;
		st->stx_rdev_minor = KVM_MINOR;
	}
	return r;
}
