// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor.c - anykvm doctor: what this host offers, and which processor would be used
 */
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/kvm.h"
#include "vmm/machine/report.h"

static bool has_module(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	return !access(path, F_OK);
}

/* Which virtualization extension this processor shows us, or NULL. */
static const char *extension(void)
{
	unsigned a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && c & 1 << 5)
		return "VT-x";
	if (__get_cpuid(0x80000001, &a, &b, &c, &d) && c & 1 << 2)
		return "AMD-V";
	return NULL;
}

static void print_host(void)
{
	const char *ext = extension();
	struct utsname u;
	unsigned a, b, c, d;

	uname(&u);
	printf("host        %s %s, %ld processors, %.1f GiB of memory\n", u.sysname, u.release,
	       sysconf(_SC_NPROCESSORS_ONLN),
	       (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30));
	printf("processor   %s%s%s\n", ext ? "has " : "has neither VT-x nor AMD-V", ext ? ext : "",
	       __get_cpuid(1, &a, &b, &c, &d) && c & 1u << 31
		       ? "; this host is itself a virtual machine"
		       : "");
}

static void print_door(const char *name, const struct kvm_probe *p)
{
	printf("%-11s ", name);
	if (p->error) {
		printf("not usable: %s: %s\n", p->step, strerror(-p->error));
		return;
	}
	printf("KVM API %d, up to %d vCPUs, %s%s%s%llu million guest kernel instructions a "
	       "second\n",
	       p->api, p->vcpus, p->signature[0] ? "signature " : "", p->signature,
	       p->signature[0] ? ", " : "", (unsigned long long)kvm_probe_mips(p));
}

/* What would make hardware usable, if anything on this host could. */
static void print_advice(const struct kvm_probe *kernel)
{
	if (kernel->error == -EACCES || kernel->error == -EPERM)
		printf("advice      to use /dev/kvm, join its group: sudo usermod -aG kvm $USER, "
		       "then log in again\n");
	else if (kernel->error == -ENOENT && extension())
		printf("advice      the processor has %s but there is no /dev/kvm: try sudo "
		       "modprobe %s\n",
		       extension(), !strcmp(extension(), "VT-x") ? "kvm_intel" : "kvm_amd");
	else if (!kernel->error && !kvm_probe_is_fast(kernel) && has_module("kvm_pvm"))
		printf("note        /dev/kvm is kvm_pvm's: it needs a guest kernel made for it and "
		       "interprets others\n");
}

int cmd_doctor(int argc, char **argv)
{
	struct kvm_probe kernel, library;
	const struct kvm_door *door;
	const char *why;

	if (argc) {
		report_error(0, "doctor takes no arguments, but there is %s", argv[0]);
		return STATUS_USAGE;
	}
	print_host();
	door = kvm_choose(&kernel, &why);
	print_door("/dev/kvm", &kernel);
	kvm_probe_run(&kvm_library, &library);
	print_door("library", &library);
	printf("would use   --accel %s: %s\n", door->name, why);
	print_advice(&kernel);
	if (door == &kvm_library && library.error) {
		report_error(0, "neither processor is usable here");
		return STATUS_ERROR;
	}
	return 0;
}
