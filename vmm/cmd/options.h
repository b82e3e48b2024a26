/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.h - what can be said on the command line of 'anykvm run'
 */
#ifndef VMM_CMD_OPTIONS_H
#define VMM_CMD_OPTIONS_H

#include <stdio.h>

#include "base/types.h"
#include "vmm/virtio/virtio_devices.h"

#define OPTIONS_DISKS_MAX	16
#define OPTIONS_NETS_MAX	4
#define OPTIONS_PATH_MAX	4096

enum option_accel { ACCEL_AUTO, ACCEL_SOFT, ACCEL_KVM };
enum option_serial { SERIAL_DEFAULT, SERIAL_STDIO, SERIAL_FILE, SERIAL_NONE };
enum option_console { CONSOLE_SERIAL, CONSOLE_VIRTIO };

struct run_options {
	const char *kernel, *initrd, *append;
	unsigned cpus;
	u64	memory_bytes;
	enum option_accel accel;
	enum option_serial serial;
	const char *serial_path;	/* SERIAL_FILE */
	enum option_console console;
	unsigned disks;
	struct disk_options disk[OPTIONS_DISKS_MAX];
	char	disk_path[OPTIONS_DISKS_MAX][OPTIONS_PATH_MAX];
	unsigned nets;
	struct net_options net[OPTIONS_NETS_MAX];
	bool	no_rng;
	bool	no_reboot;
	bool	triple_fault_resets;
	bool	interpret;
	const char *trace;
	u64	translations_bytes;	/* 0: as much as suits the guest's memory */
	bool	nested;
	u16	exit_port;
	bool	help;
};

/*
 * Parse the words after "run".  0, or -EINVAL having said in one line what is wrong.  Strings
 * point into argv, or into *o.
 */
int options_parse(int argc, char **argv, struct run_options *o);

/* A line or two for every option. */
void options_print(FILE *to);

/*
 * The word of `count` candidates most like `word`, or NULL if none is close; for "did you
 * mean".  Candidates are strings `stride` bytes apart, as in an array of structs.
 */
const char *nearest_word(const char *word, const char *const *candidate, size_t count,
			 size_t stride);

/* "512M", "2G", "1024" (MiB): bytes.  0 or -EINVAL. */
int size_parse(const char *text, u64 *bytes);

#endif
