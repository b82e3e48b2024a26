// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * profile.c - what the software processors did, for who asks
 *
 * With ANYKVM_PROFILE=DIRECTORY in the environment a process leaves two files there when it
 * ends: counters-PID, a name and a number on each line (soft/counter.def), and for each mnemonic
 * that translated code left to others how often the executor and the interpreter executed it;
 * and perf-PID.map, in perf's format, which names translated blocks by the guest's address:
 * those made since code memory was last full.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/lib/profile.h"
#include "insn/soft/processor.h"

static FILE *map, *counters;

static FILE *file_open(const char *directory, const char *name, const char *suffix)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/%s-%d%s", directory, name, (int)getpid(), suffix);

	return n > 0 && (size_t)n < sizeof(path) ? fopen(path, "we") : NULL;
}

static void block_write(void *arg, u64 host, u64 bytes, u64 rip)
{
	fprintf(arg, "%" PRIx64 " %" PRIx64 " guest_%" PRIx64 "\n", (uint64_t)host, (uint64_t)bytes, (uint64_t)rip);
}

static void op_write(void *arg, const char *op, u64 executed, u64 interpreted)
{
	(void)arg;
	fprintf(counters, "op %s %" PRIu64 " %" PRIu64 "\n", op, (uint64_t)executed, (uint64_t)interpreted);
}

static void counters_write(void)
{
	struct soft_counters c;

	insn_soft_counters(&c);
#define COUNTER(name) fprintf(counters, #name " %" PRIu64 "\n", (uint64_t)c.name);
#include "soft/counter.def"
#undef COUNTER
	insn_soft_ops(op_write, NULL);
}

static void profile_end(void)
{
	if (map) {
		insn_soft_blocks(block_write, map);
		fclose(map);
	}
	if (counters) {
		counters_write();
		fclose(counters);
	}
}

void profile_begin(void)
{
	const char *directory = getenv("ANYKVM_PROFILE");

	if (!directory || map || counters)
		return;
	soft_profile(true);
	map = file_open(directory, "perf", ".map");
	counters = file_open(directory, "counters", "");
	atexit(profile_end);
}
