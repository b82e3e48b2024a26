// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - anykvm: boots virtual machines, with or without hardware for it
 */
#include <stdio.h>
#include <string.h>

#include "base/types.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/options.h"
#include "vmm/machine/report.h"

static const struct command {
	const char *name;
	int	(*run)(int argc, char **argv);
	const char *help;
} command[] = {
	{"run", cmd_run, "boot a machine: anykvm run --kernel FILE ...; see anykvm run --help"},
	{"exec", cmd_exec, "run a KVM program that finds a /dev/kvm here: anykvm exec -- PROGRAM ..."},
	{"doctor", cmd_doctor, "say what this host offers and which processor would be used"},
	{"help", cmd_help, "this list, or the options of a command: anykvm help run|exec"},
	{"version", cmd_version, "the version of this program"},
};

static void commands_print(FILE *to)
{
	fprintf(to, "usage: anykvm COMMAND [OPTION...]\n\n");
	for (size_t i = 0; i < ARRAY_LEN(command); i++)
		fprintf(to, "  %-8s %s\n", command[i].name, command[i].help);
	fprintf(to, "\nFirst guest: anykvm run --kernel vmlinuz --initrd initrd --append "
		    "console=ttyS0\n");
}

int cmd_help(int argc, char **argv)
{
	char *help = "--help";

	if (argc && !strcmp(argv[0], "run"))
		return cmd_run(1, &help);
	if (argc && !strcmp(argv[0], "exec"))
		return cmd_exec(1, &help);
	commands_print(stdout);
	return 0;
}

int cmd_version(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("anykvm " ANYKVM_VERSION "\n");
	return 0;
}

int main(int argc, char **argv)
{
	const char *word, *nearest;

	if (argc < 2) {
		commands_print(stderr);
		return STATUS_USAGE;
	}
	word = argv[1] + strspn(argv[1], "-");
	if (!strcmp(word, "h"))
		word = "help";
	for (size_t i = 0; i < ARRAY_LEN(command); i++)
		if (!strcmp(word, command[i].name) &&
		    (word == argv[1] || command[i].run == cmd_help ||
		     command[i].run == cmd_version))
			return command[i].run(argc - 2, argv + 2);
	nearest = nearest_word(word, &command[0].name, ARRAY_LEN(command), sizeof(command[0]));
	if (nearest)
		report_error(0, "unknown command %s; did you mean 'anykvm %s'?", argv[1], nearest);
	else
		report_error(0, "unknown command %s; 'anykvm help' lists them all", argv[1]);
	return STATUS_USAGE;
}
