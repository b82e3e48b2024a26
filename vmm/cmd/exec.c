// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec.c - anykvm exec: run an unmodified KVM program over the library
 *
 * The program gets libanykvm-preload.so in LD_PRELOAD and with it a /dev/kvm of its own. What the
 * dynamic loader would not preload into, or not into a working process, is refused here with a reason, since
 * it would otherwise run without KVM and say something less helpful.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/types.h"
#include "vmm/cmd/cmd.h"
#include "vmm/machine/report.h"

#define PRELOAD "libanykvm-preload.so"
#define SCRIPTS_DEEP 4		/* as many interpreters of interpreters as Linux follows */

static const char help[] =
	"usage: anykvm exec [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
	"\n"
	"Run PROGRAM, and the programs that it starts, with a /dev/kvm of their own: the KVM API in\n"
	"the program's process, on this program's hypervisor and processor, without root.\n"
	"\n"
	"  --interpret  let the processor interpret guests, not translate: slow, to find mistakes\n"
	"  --no-cpuid   do not show VT-x or AMD-V to programs that ask the processor itself\n"
	"  --quiet      do not say on standard error that the program runs this way\n"
	"  --help       this\n"
	"\n"
	"  anykvm exec -- qemu-system-x86_64 -accel kvm -kernel vmlinuz -nographic -append console=ttyS0\n"
	"\n"
	"Status: the program's; 126 it cannot be run this way, 127 it was not found.\n";

/* --- can the program be served? --------------------------------------------------- */

/* The word as the shell would find it, into path; 0 or -errno. */
static int program_find(const char *word, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH"), *dir, *end;
	int error = ENOENT;

	if (strchr(word, '/')) {
		snprintf(path, PATH_MAX, "%s", word);
		return access(path, X_OK) ? -errno : 0;
	}
	for (dir = dirs ? dirs : "/usr/bin:/bin"; dir; dir = *end ? end + 1 : NULL) {
		struct stat st;

		end = strchrnul(dir, ':');
		if (snprintf(path, PATH_MAX, "%.*s/%s", end > dir ? (int)(end - dir) : 1,
			     end > dir ? dir : ".", word) >= PATH_MAX)
			continue;
		if (!stat(path, &st) && S_ISREG(st.st_mode)) {
			if (!access(path, X_OK))
				return 0;
			error = EACCES;
		}
	}
	return -error;
}

/* Has the program a dynamic loader, which will preload?  Says why not. */
static int elf_check(const char *path, int fd, const Elf64_Ehdr *e)
{
	if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_machine != EM_X86_64)
		return report_error(-ENOEXEC, "%s is not a 64-bit x86 program, which this needs", path);
	for (unsigned n = 0; n < e->e_phnum; n++) {
		Elf64_Phdr p;

		if (pread(fd, &p, sizeof(p), (off_t)(e->e_phoff + n * sizeof(p))) != sizeof(p))
			break;
		if (p.p_type == PT_INTERP)
			return 0;
	}
	return report_error(-ENOEXEC, "%s is linked statically: nothing can be put between it and the "
			    "kernel; use a dynamically linked one", path);
}

/* The interpreter that the script's first line names, into path. */
static bool script_interpreter(const char *head, char path[PATH_MAX])
{
	size_t n;

	if (strncmp(head, "#!", 2))
		return false;
	head += 2 + strspn(head + 2, " \t");
	n = strcspn(head, " \t\r\n");
	snprintf(path, PATH_MAX, "%.*s", (int)n, head);
	return n != 0;
}

static int program_check(const char *program)
{
	char path[PATH_MAX], head[256];

	snprintf(path, sizeof(path), "%s", program);
	for (int depth = 0; depth <= SCRIPTS_DEEP; depth++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC), r;
		Elf64_Ehdr e;
		struct stat st;
		ssize_t n;

		if (fd < 0 || fstat(fd, &st)) {
			r = report_error(-errno, "cannot read %s: %s", path, strerror(errno));
			if (fd >= 0)
				close(fd);
			return r;
		}
		memset(head, 0, sizeof(head));
		n = pread(fd, head, sizeof(head) - 1, 0);
		memcpy(&e, head, sizeof(e));
		if (((st.st_mode & S_ISUID) && st.st_uid != geteuid()) ||
		    ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getegid())) {
			r = report_error(-EPERM, "%s is set-user-ID or set-group-ID: the system lets nothing be "
					 "put into it; use a copy without that bit", path);
		} else if (n >= (ssize_t)sizeof(e) && !memcmp(head, ELFMAG, SELFMAG)) {
			r = elf_check(path, fd, &e);
		} else if (script_interpreter(head, path)) {
			close(fd);
			continue;
		} else {
			r = report_error(-ENOEXEC, "%s is neither an ELF program nor a script with #!", path);
		}
		close(fd);
		return r;
	}
	return report_error(-ELOOP, "%s is a script of a script of a script...", program);
}

/* --- running it ---------------------------------------------------------------------- */

/* The shim beside this program, or where it is installed. */
static int preload_find(char path[PATH_MAX])
{
	static const char *const places[] = { "", "../lib/anykvm/", "../lib/" };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return report_error(-errno, "cannot read /proc/self/exe: %s", strerror(errno));
	self[n] = 0;
	slash = strrchr(self, '/');
	slash[1] = 0;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (snprintf(path, PATH_MAX, "%s%s" PRELOAD, self, places[i]) >= PATH_MAX)
			continue;
		if (!access(path, R_OK))
			return strpbrk(path, ": ") ?
			       report_error(-EINVAL, "LD_PRELOAD cannot name %s, which has a space or a colon", path) : 0;
	}
	return report_error(-ENOENT, "there is no " PRELOAD " beside %sanykvm", self);
}

static int preload_set(const char *shim)
{
	const char *others = getenv("LD_PRELOAD");
	char *list;
	int r;

	if (asprintf(&list, "%s%s%s", shim, others && *others ? ":" : "", others ? others : "") < 0)
		return -ENOMEM;
	r = setenv("LD_PRELOAD", list, 1) ? -errno : 0;
	free(list);
	return r;
}

int cmd_exec(int argc, char **argv)
{
	char path[PATH_MAX], shim[PATH_MAX];
	bool quiet = false;
	int at, r;

	for (at = 0; at < argc && argv[at][0] == '-'; at++) {
		if (!strcmp(argv[at], "--")) {
			at++;
			break;
		} else if (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h")) {
			fputs(help, stdout);
			return 0;
		} else if (!strcmp(argv[at], "--quiet")) {
			quiet = true;
		} else if (!strcmp(argv[at], "--interpret")) {
			setenv("ANYKVM_INTERPRET", "1", 1);
		} else if (!strcmp(argv[at], "--no-cpuid")) {
			setenv("ANYKVM_NO_CPUID", "1", 1);
		} else {
			report_error(0, "unknown option %s; 'anykvm exec --help' lists them all", argv[at]);
			return STATUS_USAGE;
		}
	}
	if (at == argc) {
		report_error(0, "say which program: anykvm exec -- PROGRAM [ARGUMENT...]");
		return STATUS_USAGE;
	}
	r = program_find(argv[at], path);
	if (r) {
		report_error(0, "cannot run %s: %s", argv[at], strerror(-r));
		return r == -ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXEC;
	}
	if (program_check(path) || preload_find(shim) || preload_set(shim))
		return STATUS_CANNOT_EXEC;
	if (!quiet)
		report_note("%s runs with a /dev/kvm of its own, on the software processor", argv[at]);
	execv(path, argv + at);
	report_error(0, "cannot run %s: %s", path, strerror(errno));
	return STATUS_CANNOT_EXEC;
}
