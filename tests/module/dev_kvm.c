// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dev_kvm.c - the library's functions over /dev/kvm, for the programs of tests/guest
 *
 * A program linked with these instead of the library runs on whatever /dev/kvm there is.  What
 * the library promises beyond the kernel is done here: descriptors that are not KVM's are told
 * apart (-EBADF), and left alone.
 *
 * Each test runs in a process of its own with a time limit of DEV_KVM_SECONDS (60), so that one
 * that hangs or dies costs only itself.  DEV_KVM_SKIP has the names, between spaces, of those
 * that this machine cannot run.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "anykvm.h"

#define POLL_US	2000

bool dev_kvm_test(const char *name, void (*run)(void *arg), void *arg, const int *failures);

static bool is_kvm(int fd)
{
	char path[32], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = 0;
	if (strstr(target, "-stats"))	/* to be read, not asked */
		return false;
	return !strcmp(target, "/dev/kvm") || !strncmp(target, "anon_inode:kvm-", 15);
}

int akvm_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int akvm_ioctl(int handle, unsigned long request, unsigned long arg)
{
	int r = ioctl(handle, request, arg);

	if (r >= 0)
		return r;
	r = -errno;
	return r == -ENOTTY && !is_kvm(handle) ? -EBADF : r;
}

void *akvm_mmap(int handle, size_t bytes, long offset)
{
	void *p;

	if (!is_kvm(handle))
		return NULL;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, handle, offset);
	return p == MAP_FAILED ? NULL : p;
}

int akvm_close(int handle)
{
	if (!is_kvm(handle))
		return -EBADF;
	return close(handle) ? -errno : 0;
}

/* The kernel sees the signal by itself. */
void akvm_interrupt(void)
{
}

/* What is said on both outputs stays in order. */
__attribute__((constructor)) static void lines(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static bool is_skipped(const char *name)
{
	const char *list = getenv("DEV_KVM_SKIP"), *at = list;
	size_t bytes = strlen(name);

	while (at && (at = strstr(at, name)) != NULL) {
		if ((at == list || at[-1] == ' ') && (at[bytes] == ' ' || !at[bytes]))
			return true;
		at += bytes;
	}
	return false;
}

static unsigned seconds(void)
{
	const char *text = getenv("DEV_KVM_SECONDS");

	return text && atoi(text) > 0 ? (unsigned)atoi(text) : 60;
}

bool dev_kvm_test(const char *name, void (*run)(void *arg), void *arg, const int *failures)
{
	int status = 0, before = *failures;
	pid_t child;

	if (access("/dev/kvm", R_OK | W_OK)) {
		printf("skip %s: no usable /dev/kvm: %s\n", name, strerror(errno));
		return true;
	}
	if (is_skipped(name)) {
		printf("skip %s: not for this machine\n", name);
		return true;
	}
	fflush(stdout);
	child = fork();
	if (child < 0)
		abort();
	if (child == 0) {
		run(arg);
		fflush(stdout);
		_exit(*failures != before);
	}
	for (unsigned long us = 0; waitpid(child, &status, WNOHANG) == 0; us += POLL_US) {
		if (us > seconds() * 1000000ul) {
			fprintf(stderr, "%s: no end after %u s\n", name, seconds());
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			break;
		}
		usleep(POLL_US);
	}
	if (WIFSIGNALED(status))
		fprintf(stderr, "%s: ended by signal %d\n", name, WTERMSIG(status));
	printf("%s %s\n", status ? "FAIL" : "ok  ", name);
	fflush(stdout);
	return !status;
}
