/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd.h - the commands of the program, and how it ends
 */
#ifndef VMM_CMD_CMD_H
#define VMM_CMD_CMD_H

#define ANYKVM_VERSION "0.1"

/* Exit statuses; docs/anykvm.1 explains them.  128 + n: ended by signal n. */
enum {
	STATUS_POWER_OFF = 0,
	STATUS_ERROR = 1,
	STATUS_USAGE = 2,
	STATUS_RESET = 3,
	STATUS_TRIPLE_FAULT = 4,
	STATUS_GUEST_ERROR = 5,
	STATUS_USER = 6,
	STATUS_CANNOT_EXEC = 126,	/* as a shell's */
	STATUS_NOT_FOUND = 127,
};

/* Each takes the words after its own name and returns an exit status. */
int cmd_run(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_help(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
