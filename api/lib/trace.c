// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * trace.c - a line for each exit, for who asks
 *
 * With ANYKVM_TRACE=FILE in the environment (anykvm run --trace) each time that a vCPU leaves
 * its guest becomes a line of the file: seconds since the beginning, the vCPU, why, where the
 * guest was, and what the reason needs to be understood.  Also those that never reach the
 * client.
 *
 *	0.123456789 cpu0 io rip=ffffffff8144a3c0 port=3f8 bytes=1 out
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/lib/trace.h"
#include "core/vcpu.h"
#include "core/vm.h"

static FILE *file;
static struct timespec began;

static const char *const names[] = {
	[EXIT_NOTHING] = "interrupt", [EXIT_IRQ_WINDOW] = "irq-window", [EXIT_NMI_WINDOW] = "nmi-window",
	[EXIT_EXCEPTION] = "exception", [EXIT_MEMORY] = "memory", [EXIT_IO] = "io", [EXIT_MSR_READ] = "rdmsr",
	[EXIT_MSR_WRITE] = "wrmsr", [EXIT_CPUID] = "cpuid", [EXIT_HLT] = "hlt", [EXIT_PAUSE] = "pause",
	[EXIT_CR_READ] = "cr-read", [EXIT_CR_WRITE] = "cr-write", [EXIT_DR] = "dr", [EXIT_INVLPG] = "invlpg",
	[EXIT_INVD] = "invd", [EXIT_XSETBV] = "xsetbv", [EXIT_RDPMC] = "rdpmc", [EXIT_HYPERCALL] = "hypercall",
	[EXIT_MONITOR] = "monitor", [EXIT_MWAIT] = "mwait", [EXIT_TASK_SWITCH] = "task-switch", [EXIT_IRET] = "iret",
	[EXIT_RSM] = "rsm", [EXIT_EMULATE] = "emulate", [EXIT_NESTED] = "nested", [EXIT_UD] = "ud",
	[EXIT_SHUTDOWN] = "shutdown", [EXIT_INIT] = "init", [EXIT_FAIL_ENTRY] = "fail-entry",
};

static void describe(char *to, size_t bytes, const struct vcpu *v, const struct exit *e)
{
	const u64 *gpr = v->x.gpr;

	*to = 0;
	switch (e->kind) {
	case EXIT_IO:
		snprintf(to, bytes, " port=%x bytes=%u %s%s%s", e->io.port, e->io.bytes, e->io.in ? "in" : "out",
			 e->io.string ? " string" : "", e->io.rep ? " rep" : "");
		break;
	case EXIT_MEMORY:
		snprintf(to, bytes, " gpa=%" PRIx64 " %s", (uint64_t)e->memory.gpa,
			 e->memory.access & X86_FETCH ? "fetch" : e->memory.access & X86_WRITE ? "write" : "read");
		break;
	case EXIT_MSR_READ:
		snprintf(to, bytes, " msr=%x", (u32)gpr[X86_RCX]);
		break;
	case EXIT_MSR_WRITE:
		snprintf(to, bytes, " msr=%x value=%" PRIx64, (u32)gpr[X86_RCX],
			 (uint64_t)(gpr[X86_RDX] << 32 | (u32)gpr[X86_RAX]));
		break;
	case EXIT_CPUID:
		snprintf(to, bytes, " leaf=%x subleaf=%x", (u32)gpr[X86_RAX], (u32)gpr[X86_RCX]);
		break;
	case EXIT_HYPERCALL:
		snprintf(to, bytes, " number=%" PRIx64, (uint64_t)gpr[X86_RAX]);
		break;
	case EXIT_EXCEPTION:
		snprintf(to, bytes, " vector=%u error=%x address=%" PRIx64, e->exception.vector, e->exception.error,
			 (uint64_t)e->exception.address);
		break;
	case EXIT_CR_READ: case EXIT_CR_WRITE:
		snprintf(to, bytes, " cr=%u", e->cr.number);
		break;
	case EXIT_FAIL_ENTRY:
		snprintf(to, bytes, " hardware=%" PRIx64, (uint64_t)e->hardware_reason);
		break;
	default:
		break;
	}
}

/* The stream's own lock keeps lines whole. */
static void line_write(const struct vcpu *v, const struct exit *e)
{
	struct timespec now;
	char what[96];
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (now.tv_sec - began.tv_sec) * 1000000000l + now.tv_nsec - began.tv_nsec;
	describe(what, sizeof(what), v, e);
	fprintf(file, "%" PRId64 ".%09" PRId64 " cpu%u %s rip=%" PRIx64 "%s\n", ns / 1000000000, ns % 1000000000, v->id,
		(unsigned)e->kind < ARRAY_LEN(names) && names[e->kind] ? names[e->kind] : "unknown", (uint64_t)v->x.rip, what);
}

void trace_begin(void)
{
	const char *path = getenv("ANYKVM_TRACE");

	if (!path || file)
		return;
	file = fopen(path, "we");
	if (!file) {
		fprintf(stderr, "anykvm: cannot write the trace to %s: %m\n", path);
		return;
	}
	setvbuf(file, NULL, _IOLBF, 4096);	/* so that it says how a crash came about */
	clock_gettime(CLOCK_MONOTONIC, &began);
	core_set_exit_trace(line_write);
}
