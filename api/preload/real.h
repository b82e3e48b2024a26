/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * real.h - the C library's functions that the shim stands in front of
 *
 * One list, from which the table of their addresses is made.  They are looked up together,
 * at the first call of any, so that none is looked up in a signal handler.
 */
#ifndef API_PRELOAD_REAL_H
#define API_PRELOAD_REAL_H

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* In the C library, but in none of its headers: what _FORTIFY_SOURCE and old programs call. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
int __xstat(int version, const char *path, struct stat *st);
int __lxstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstatat(int version, int dir, const char *path, struct stat *st, int flags);
int __fxstatat64(int version, int dir, const char *path, struct stat64 *st, int flags);
sighandler_t __sysv_signal(int number, sighandler_t handler);

#define REAL_FUNCTIONS(X) \
	X(open) X(open64) X(openat) X(openat64) X(__open_2) X(__open64_2) X(__openat_2) X(__openat64_2) \
	X(fopen) X(fopen64) X(access) X(faccessat) X(euidaccess) X(eaccess) \
	X(stat) X(lstat) X(fstatat) X(stat64) X(lstat64) X(fstatat64) X(statx) \
	X(__xstat) X(__lxstat) X(__fxstatat) X(__xstat64) X(__lxstat64) X(__fxstatat64) \
	X(ioctl) X(close) X(close_range) X(dup) X(dup2) X(dup3) X(fcntl) X(fcntl64) X(sendmsg) X(sendmmsg) \
	X(mmap) X(mmap64) X(munmap) X(mremap) X(mprotect) \
	X(sigaction) X(sigprocmask) X(pthread_sigmask) X(pthread_cancel)

struct real {
#define REAL_FIELD(name) __typeof__(&name) name;
	REAL_FUNCTIONS(REAL_FIELD)
#undef REAL_FIELD
};

const struct real *real(void);

/* Exported under the C library's name. */
#define INTERPOSE __attribute__((visibility("default")))

/* Is the shim in a child of vfork(), whose memory is its parent's?  Then only the parent knows handles. */
int real_in_vfork_child(void);

#endif
