// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * run.c - anykvm run: make a machine from the command line, boot it, say how it ended
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/board/board.h"
#include "vmm/board/boot.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/options.h"
#include "vmm/kvm.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/report.h"
#include "vmm/machine/terminal.h"
#include "vmm/virtio/virtio_devices.h"

struct run {
	struct run_options o;
	struct boot boot;
	struct machine *m;
	struct terminal *terminal;	/* stdin and stdout, or NULL */
	struct terminal *log;		/* --serial file:PATH, or NULL */
	int	log_fd;
};

/* --- the terminal ---------------------------------------------------------------- */

static void key_leave(void *owner)
{
	machine_request(((struct run *)owner)->m, END_USER, 0);
}

static void key_power(void *owner)
{
	board_press_power(((struct run *)owner)->m);
}

/* A program that crashes must not leave the user's terminal raw. */
static void on_crash(int number)
{
	terminal_restore();
	raise(number);		/* SA_RESETHAND: now it ends us */
}

static void crashes_catch(void)
{
	struct sigaction action = {.sa_handler = on_crash,
				   .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};

	sigaction(SIGABRT, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGFPE, &action, NULL);
}

static int terminals_open(struct run *r)
{
	struct terminal_keys keys = { r, key_leave, key_power };
	const char *path = r->o.serial_path;
	int error;

	if (r->o.serial == SERIAL_STDIO || r->o.console == CONSOLE_VIRTIO) {
		error = terminal_open(&r->terminal, r->m->loop, STDIN_FILENO, STDOUT_FILENO, &keys);
		if (error)
			return report_error(error, "cannot use the terminal: %s", strerror(-error));
	}
	if (r->o.serial == SERIAL_FILE) {
		r->log_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (r->log_fd < 0)
			return report_error(-errno, "cannot write the serial log %s: %s", path,
					    strerror(errno));
		return terminal_open(&r->log, r->m->loop, -1, r->log_fd, NULL);
	}
	return 0;
}

static void terminals_close(struct run *r)
{
	terminal_close(r->terminal);
	terminal_close(r->log);
}

/* --- the machine -------------------------------------------------------------------- */

/* A small guest's process should be small: a tenth of its memory, from 24 to 64 MiB. */
static void translations_limit(const struct run_options *o)
{
	u64 mib = o->translations_bytes >> 20;
	char text[24];

	if (!mib)
		mib = MIN_OF(MAX_OF(o->memory_bytes / 10 >> 20, 24ull), 64ull);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)mib);
	setenv("ANYKVM_TRANSLATIONS_MIB", text, o->translations_bytes != 0);
}

static const struct kvm_door *door_of(const struct run_options *o)
{
	struct kvm_probe kernel;
	const char *why;

	if (o->interpret)
		setenv("ANYKVM_INTERPRET", "1", 1);
	translations_limit(o);
	if (o->trace)
		setenv("ANYKVM_TRACE", o->trace, 1);
	if (o->accel == ACCEL_SOFT)
		return &kvm_library;
	if (o->accel == ACCEL_KVM)
		return &kvm_kernel;
	return kvm_choose(&kernel, &why);
}

static int devices_create(struct run *r)
{
	struct board_options board = {
		.serial = r->o.serial != SERIAL_NONE,
		.terminal = r->o.serial == SERIAL_STDIO ? r->terminal : r->log,
		.exit_port = r->o.exit_port,
	};
	int error = board_create(r->m, &board);

	for (unsigned i = 0; i < r->o.disks && !error; i++)
		error = virtio_blk_create(r->m, &r->o.disk[i]);
	for (unsigned i = 0; i < r->o.nets && !error; i++)
		error = virtio_net_create(r->m, &r->o.net[i]);
	if (!error && !r->o.no_rng)
		error = virtio_rng_create(r->m);
	if (!error && r->o.console == CONSOLE_VIRTIO)
		error = virtio_console_create(r->m, r->terminal);
	return error;
}

/* The library opens it; here is who can be told that it cannot. */
static int trace_check(const char *path)
{
	FILE *file = path ? fopen(path, "we") : NULL;

	if (path && !file)
		return report_error(-errno, "cannot write the trace %s: %s", path, strerror(errno));
	if (file)
		fclose(file);
	return 0;
}

static int machine_make(struct run *r)
{
	struct machine_options options = {
		.door = door_of(&r->o), .memory_bytes = r->o.memory_bytes, .cpus = r->o.cpus,
		.no_reboot = r->o.no_reboot, .nested = r->o.nested,
		.triple_fault_resets = r->o.triple_fault_resets,
	};
	int error = trace_check(r->o.trace);

	if (!error)
		error = machine_create(&r->m, &options);
	if (!error)
		error = terminals_open(r);
	if (!error)
		error = devices_create(r);
	return error;
}

static int status_of(const struct machine *m)
{
	switch (m->end) {
	case END_POWER_OFF:
		return STATUS_POWER_OFF;
	case END_RESET:
		return STATUS_RESET;
	case END_TRIPLE_FAULT:
		report_note("the guest's processor shut down after a triple fault; --triple-fault "
			    "reset would reset it");
		return STATUS_TRIPLE_FAULT;
	case END_GUEST_ERROR:
		return STATUS_GUEST_ERROR;
	case END_USER:
		return STATUS_USER;
	case END_SIGNAL:
		return 128 + m->end_code;
	case END_EXIT_PORT:
		return (m->end_code << 1 | 1) & 0xff;
	default:
		return STATUS_ERROR;
	}
}

static int run(struct run *r)
{
	struct boot_options boot = {
		.kernel = r->o.kernel, .initrd = r->o.initrd, .append = r->o.append,
		.cpus = r->o.cpus, .serial = r->o.serial != SERIAL_NONE,
	};
	int error, status = STATUS_ERROR;

	crashes_catch();	/* before the library installs handlers of its own */
	error = boot_open(&r->boot, &boot);
	if (!error)
		error = machine_make(r);
	if (!error)
		error = machine_run(r->m, &r->boot);
	terminals_close(r);	/* what follows is said on a sane terminal */
	if (!error)
		status = status_of(r->m);
	machine_destroy(r->m);
	terminal_free(r->terminal);
	terminal_free(r->log);
	if (r->log_fd >= 0)
		close(r->log_fd);
	boot_close(&r->boot);
	return status;
}

int cmd_run(int argc, char **argv)
{
	struct run *r = calloc(1, sizeof(*r));
	int status;

	if (!r)
		return STATUS_ERROR;
	r->log_fd = r->boot.kernel = r->boot.initrd = -1;
	if (options_parse(argc, argv, &r->o)) {
		status = STATUS_USAGE;
	} else if (r->o.help) {
		printf("usage: anykvm run --kernel FILE [OPTION...]\n\n");
		options_print(stdout);
		printf("\nOn the terminal: Ctrl-a x leaves, Ctrl-a p presses the power button, "
		       "Ctrl-a h helps.\n"
		       "Status: 0 powered off, 1 error, 2 usage, 3 reset, 4 triple fault, 5 guest "
		       "error, 6 left, 128+n signal n.\n");
		status = 0;
	} else {
		status = run(r);
	}
	free(r);
	return status;
}
