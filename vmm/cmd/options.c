// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * options.c - what can be said on the command line of 'anykvm run'
 *
 * One table has every option: its name, what it takes, the function that parses it and the
 * words that explain it.
 */
#include "vmm/cmd/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/machine.h"
#include "vmm/machine/report.h"

struct option {
	const char *name;
	const char *takes;	/* NULL: nothing */
	int	(*parse)(struct run_options *o, const char *value);
	const char *help;
};

/* --- numbers and sizes ---------------------------------------------------------- */

static int number_parse(const char *text, u64 low, u64 high, u64 *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || *out < low || *out > high)
		return -EINVAL;
	return 0;
}

int size_parse(const char *text, u64 *bytes)
{
	static const struct { const char *suffix; unsigned shift; } unit[] = {
		{ "", 20 }, { "K", 10 }, { "M", 20 }, { "G", 30 }, { "T", 40 },
		{ "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 }, { "TiB", 40 },
	};
	unsigned long long n;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	for (unsigned i = 0; i < ARRAY_LEN(unit) && !errno; i++)
		if (!strcasecmp(end, unit[i].suffix)) {
			if (n > ~0ull >> unit[i].shift)
				return -EINVAL;
			*bytes = n << unit[i].shift;
			return 0;
		}
	return -EINVAL;
}

/* --- the options ------------------------------------------------------------------ */

static int parse_kernel(struct run_options *o, const char *value) { o->kernel = value; return 0; }
static int parse_initrd(struct run_options *o, const char *value) { o->initrd = value; return 0; }
static int parse_append(struct run_options *o, const char *value) { o->append = value; return 0; }

static int parse_cpus(struct run_options *o, const char *value)
{
	u64 n;

	if (number_parse(value, 1, MACHINE_CPUS_MAX, &n))
		return report_error(-EINVAL, "--cpus %s: give a number from 1 to %d", value,
				    MACHINE_CPUS_MAX);
	o->cpus = (unsigned)n;
	return 0;
}

static int parse_memory(struct run_options *o, const char *value)
{
	u64 bytes;

	if (size_parse(value, &bytes))
		return report_error(-EINVAL, "--memory %s: give a size such as 512M or 2G", value);
	if (bytes < MEMORY_MIN_BYTES || bytes > MEMORY_MAX_BYTES)
		return report_error(-EINVAL, "--memory %s: give a size from %lluM to %lluG", value,
				    MEMORY_MIN_BYTES >> 20, MEMORY_MAX_BYTES >> 30);
	if (bytes % (2ull << 20))
		return report_error(-EINVAL, "--memory %s: give a multiple of 2M, such as %lluM",
				    value, (unsigned long long)(bytes >> 21 << 1) + 2);
	o->memory_bytes = bytes;
	return 0;
}

/* One of a few words: its index, or -EINVAL having named them. */
static int word_parse(const char *option, const char *value, const char *const *word, size_t count)
{
	char list[128] = "";
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (!strcmp(value, word[i]))
			return (int)i;
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s",
				      i ? i + 1 < count ? ", " : " or " : "", word[i]);
	}
	return report_error(-EINVAL, "--%s %s: give %s", option, value, list);
}

static int parse_accel(struct run_options *o, const char *value)
{
	static const char *const word[] = { "auto", "soft", "kvm" };
	int i = word_parse("accel", value, word, ARRAY_LEN(word));

	o->accel = (enum option_accel)MAX_OF(i, 0);
	return MIN_OF(i, 0);
}

static int parse_serial(struct run_options *o, const char *value)
{
	if (!strcmp(value, "stdio"))
		o->serial = SERIAL_STDIO;
	else if (!strcmp(value, "none"))
		o->serial = SERIAL_NONE;
	else if (!strncmp(value, "file:", 5) && value[5])
		o->serial = SERIAL_FILE, o->serial_path = value + 5;
	else
		return report_error(-EINVAL, "--serial %s: give stdio, none or file:PATH", value);
	return 0;
}

static int parse_console(struct run_options *o, const char *value)
{
	static const char *const word[] = { "serial", "virtio" };
	int i = word_parse("console", value, word, ARRAY_LEN(word));

	o->console = (enum option_console)MAX_OF(i, 0);
	return MIN_OF(i, 0);
}

static int parse_rng(struct run_options *o, const char *value)
{
	static const char *const word[] = { "on", "off" };
	int i = word_parse("rng", value, word, ARRAY_LEN(word));

	o->no_rng = i == 1;
	return MIN_OF(i, 0);
}

static int parse_exit_port(struct run_options *o, const char *value)
{
	u64 port;

	if (number_parse(value, 1, 0xfffc, &port))
		return report_error(-EINVAL, "--exit-code-port %s: give a port number such as 0xf4",
				    value);
	o->exit_port = (u16)port;
	return 0;
}

static int parse_no_reboot(struct run_options *o, const char *value) { (void)value; o->no_reboot = true; return 0; }
static int parse_trace(struct run_options *o, const char *value) { o->trace = value; return 0; }

static int parse_translations(struct run_options *o, const char *value)
{
	u64 bytes;

	if (size_parse(value, &bytes) || bytes < (4ull << 20) || bytes > (1ull << 30))
		return report_error(-EINVAL, "--translations %s: give a size from 4M to 1G", value);
	o->translations_bytes = bytes;
	return 0;
}

static int parse_interpret(struct run_options *o, const char *value) { (void)value; o->interpret = true; return 0; }
static int parse_nested(struct run_options *o, const char *value) { (void)value; o->nested = true; return 0; }
static int parse_help(struct run_options *o, const char *value) { (void)value; o->help = true; return 0; }

static int parse_triple_fault(struct run_options *o, const char *value)
{
	static const char *const word[] = { "stop", "reset" };
	int i = word_parse("triple-fault", value, word, ARRAY_LEN(word));

	o->triple_fault_resets = i == 1;
	return MIN_OF(i, 0);
}

/* --- lists: FIRST[,key=value]..., ",," is a comma ----------------------------------- */

/* Copy the next item; false at the end.  *full: it did not fit. */
static bool item_next(const char **at, char *item, size_t bytes, bool *full)
{
	size_t n = 0;

	*full = false;
	if (!**at)
		return false;
	for (; **at; (*at)++) {
		if (**at == ',') {
			(*at)++;
			if (**at != ',')
				break;
		}
		if (n + 1 < bytes)
			item[n++] = **at;
		else
			*full = true;
	}
	item[n] = 0;
	return true;
}

static const char *value_of(const char *item, const char *key)
{
	size_t n = strlen(key);

	return !strncmp(item, key, n) && item[n] == '=' ? item + n + 1 : NULL;
}

static int disk_item(struct disk_options *d, const char *item)
{
	const char *v;

	if (!strcmp(item, "readonly")) {
		d->readonly = true;
	} else if ((v = value_of(item, "serial"))) {
		if (!*v || strlen(v) >= sizeof(d->serial))
			return report_error(-EINVAL, "--disk: serial=%s: give 1 to %zu characters",
					    v, sizeof(d->serial) - 1);
		strcpy(d->serial, v);
	} else if ((v = value_of(item, "discard")) && (!strcmp(v, "on") || !strcmp(v, "off"))) {
		d->discard = !strcmp(v, "on");
	} else if ((v = value_of(item, "io")) && !strcmp(v, "uring")) {
		d->io = DISK_IO_URING;
	} else if (v && !strcmp(v, "threads")) {
		d->io = DISK_IO_THREADS;
	} else {
		return report_error(-EINVAL,
				    "--disk: '%s' is not known: give readonly, serial=TEXT, "
				    "discard=on|off or io=uring|threads",
				    item);
	}
	return 0;
}

static int parse_disk(struct run_options *o, const char *value)
{
	struct disk_options *d = &o->disk[o->disks];
	char *path = o->disk_path[o->disks];
	char item[256];
	bool full;
	int error = 0;

	if (o->disks == OPTIONS_DISKS_MAX)
		return report_error(-EINVAL, "--disk: at most %d disks are possible",
				    OPTIONS_DISKS_MAX);
	*d = (struct disk_options){ .path = path, .discard = true };
	if (!item_next(&value, path, OPTIONS_PATH_MAX, &full) || full || !*path)
		return report_error(-EINVAL, "--disk: give the path of a disk image");
	while (!error && item_next(&value, item, sizeof(item), &full))
		error = full ? report_error(-EINVAL, "--disk: '%s...' is too long", item)
			     : disk_item(d, item);
	o->disks++;
	return error;
}

/* ADDRESS:PORT, either of which may be empty if `optional`; the text is changed. */
static int endpoint_parse(char *text, u32 *address, u16 *port)
{
	char *colon = strrchr(text, ':');
	struct in_addr a;
	u64 n;

	if (!colon)
		return -EINVAL;
	*colon = 0;
	if (*text && inet_pton(AF_INET, text, &a) != 1)
		return -EINVAL;
	*address = *text ? ntohl(a.s_addr) : 0;
	if (number_parse(colon + 1, 1, 65535, &n))
		return -EINVAL;
	*port = (u16)n;
	return 0;
}

static int forward_parse(struct net_options *n, const char *text)
{
	struct net_forward f = { 0 };
	char copy[128], *host, *guest;

	if (n->forwards == NET_FORWARDS_MAX)
		return report_error(-EINVAL, "--net: at most %d port forwards are possible",
				    NET_FORWARDS_MAX);
	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		goto bad;
	f.udp = !strncmp(copy, "udp:", 4);
	if (!f.udp && strncmp(copy, "tcp:", 4))
		goto bad;
	host = copy + 4;
	guest = strchr(host, '-');
	if (!guest)
		goto bad;
	*guest++ = 0;
	if (endpoint_parse(host, &f.host_address, &f.host_port) ||
	    endpoint_parse(guest, &f.guest_address, &f.guest_port))
		goto bad;
	n->forward[n->forwards++] = f;
	return 0;

bad:
	return report_error(-EINVAL,
			    "--net: hostfwd=%s: give something like hostfwd=tcp:127.0.0.1:2222-:22",
			    text);
}

static int mac_parse(struct net_options *n, const char *text)
{
	unsigned b[6];
	char rest;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &rest) != 6 ||
	    b[0] & 1)
		return report_error(
			-EINVAL, "--net: mac=%s: give a unicast address such as 52:54:00:12:34:56",
			text);
	for (unsigned i = 0; i < 6; i++)
		n->mac[i] = (u8)b[i];
	return 0;
}

static int net_item(struct net_options *n, const char *item)
{
	const char *v;

	if ((v = value_of(item, "hostfwd")))
		return forward_parse(n, v);
	if ((v = value_of(item, "mac")))
		return mac_parse(n, v);
	return report_error(-EINVAL,
			    "--net: '%s' is not known: give mac=ADDRESS or "
			    "hostfwd=tcp|udp:HOST:PORT-GUEST:PORT",
			    item);
}

static int parse_net(struct run_options *o, const char *value)
{
	struct net_options *n = &o->net[o->nets];
	char item[256];
	bool full;
	int error = 0;

	item[0] = 0;
	item_next(&value, item, sizeof(item), &full);
	if (!strcmp(item, "none") && !*value)
		return 0;
	if (strcmp(item, "user"))
		return report_error(-EINVAL, "--net %s: give user[,mac=..][,hostfwd=..] or none",
				    item);
	if (o->nets == OPTIONS_NETS_MAX)
		return report_error(-EINVAL, "--net: at most %d networks are possible",
				    OPTIONS_NETS_MAX);
	*n = (struct net_options){ .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, (u8)(0x56 + o->nets) } };
	while (!error && item_next(&value, item, sizeof(item), &full))
		error = full ? report_error(-EINVAL, "--net: '%s...' is too long", item)
			     : net_item(n, item);
	o->nets++;
	return error;
}

static const struct option table[] = {
	{"kernel", "FILE", parse_kernel,
	 "the kernel: a Linux bzImage (vmlinuz), or an ELF file with a PVH entry"},
	{"initrd", "FILE", parse_initrd, "the initial RAM disk"},
	{"append", "TEXT", parse_append, "the kernel's command line; 'console=ttyS0' if not given"},
	{"cpus", "N", parse_cpus, "processors, 1 if not given"},
	{"memory", "SIZE", parse_memory, "memory such as 256M or 4G; 512M if not given"},
	{"disk", "FILE[,readonly][,serial=TEXT][,discard=on|off][,io=uring|threads]", parse_disk,
	 "a disk, from a raw image; may be repeated; ',,' in FILE is a comma"},
	{"net", "user[,mac=ADDRESS][,hostfwd=tcp|udp:HOST:PORT-GUEST:PORT]... | none", parse_net,
	 "a network card on a network of its own, which reaches out through this program"},
	{"serial", "stdio|file:PATH|none", parse_serial,
	 "where the serial port leads; stdio if not given"},
	{"console", "serial|virtio", parse_console,
	 "which console the terminal is; serial if not given"},
	{"rng", "on|off", parse_rng, "an entropy device; on if not given"},
	{"accel", "auto|soft|kvm", parse_accel,
	 "the processor: ours in software, /dev/kvm, or whichever 'anykvm doctor' names"},
	{"interpret", NULL, parse_interpret,
	 "with --accel soft: interpret every instruction, translate none"},
	{"trace", "FILE", parse_trace,
	 "with --accel soft: write a line to FILE for each exit: time, processor, reason, where"},
	{"translations", "SIZE", parse_translations,
	 "with --accel soft: what translated code may occupy; 64M, or less for a small guest, if not given"},
	{"nested", NULL, parse_nested,
	 "offer the guest AMD-V, to run guests of its own"},
	{"no-reboot", NULL, parse_no_reboot, "end with status 3 when the guest resets the machine"},
	{"triple-fault", "stop|reset", parse_triple_fault,
	 "what a triple fault does; stop, with status 4, if not given"},
	{"exit-code-port", "PORT", parse_exit_port,
	 "an I/O port: the guest's write of N ends the machine with status 2*N+1"},
	{"help", NULL, parse_help, "this list"},
};

/* --- the command line ----------------------------------------------------------------- */

static const struct option *option_find(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strlen(table[i].name) == n && !strncmp(table[i].name, name, n))
			return &table[i];
	return NULL;
}

static int unknown(const char *word)
{
	size_t dashes = strspn(word, "-"), n = strcspn(word + dashes, "=");
	char name[64];
	const char *nearest;

	snprintf(name, sizeof(name), "%.*s", (int)MIN_OF(n, sizeof(name) - 1), word + dashes);
	nearest = nearest_word(name, &table[0].name, ARRAY_LEN(table), sizeof(table[0]));
	if (nearest)
		return report_error(-EINVAL, "unknown option %s%s; did you mean --%s?",
				    dashes ? "" : "argument ", word, nearest);
	return report_error(-EINVAL, "unknown option %s; 'anykvm run --help' lists them all", word);
}

static int complete(struct run_options *o)
{
	if (o->help)
		return 0;
	if (!o->kernel)
		return report_error(-EINVAL, "there is nothing to boot: give --kernel FILE, for "
					     "example --kernel /boot/vmlinuz-...");
	if (o->serial == SERIAL_DEFAULT)
		o->serial = o->console == CONSOLE_SERIAL ? SERIAL_STDIO : SERIAL_NONE;
	if (o->console == CONSOLE_VIRTIO && o->serial == SERIAL_STDIO)
		return report_error(-EINVAL, "--console virtio and --serial stdio both want the "
					     "terminal; use --serial none or file:PATH");
	if (!o->append)
		o->append = o->console == CONSOLE_VIRTIO ? "console=hvc0" : "console=ttyS0";
	return 0;
}

int options_parse(int argc, char **argv, struct run_options *o)
{
	memset(o, 0, sizeof(*o));
	o->cpus = 1;
	o->memory_bytes = 512ull << 20;
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i], *value = NULL;
		const struct option *option = NULL;
		int error;

		if (!strncmp(word, "--", 2))
			option = option_find(word + 2, strcspn(word + 2, "="));
		else if (!strcmp(word, "-h"))
			option = option_find("help", 4);
		if (!option)
			return unknown(word);
		if (strchr(word, '='))
			value = strchr(word, '=') + 1;
		if (!option->takes && value)
			return report_error(-EINVAL, "--%s takes no value", option->name);
		if (option->takes && !value) {
			if (i + 1 == argc)
				return report_error(-EINVAL, "--%s needs a value: %s", option->name,
						    option->takes);
			value = argv[++i];
		}
		error = option->parse(o, value);
		if (error)
			return error;
	}
	return complete(o);
}

void options_print(FILE *to)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		fprintf(to, "  --%s%s%s\n        %s\n", table[i].name, table[i].takes ? " " : "",
			table[i].takes ? table[i].takes : "", table[i].help);
}
