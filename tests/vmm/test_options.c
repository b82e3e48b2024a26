// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_options.c - the command line of 'anykvm run'
 */
#include <fcntl.h>
#include <unistd.h>

#include "tests/test.h"
#include "vmm/cmd/options.h"

static struct run_options o;
static char said[1024];		/* what went to standard error */

/* Parse a line of words separated by blanks ('~' stands for a blank in a word). */
static int parse(const char *line)
{
	static char copy[8192];
	char *word[64];
	int count = 0, before = dup(2), pipe_fd[2], result;
	ssize_t n;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		word[count++] = w;
	for (int i = 0; i < count; i++)
		for (char *c = word[i]; *c; c++)
			if (*c == '~')
				*c = ' ';
	if (pipe(pipe_fd))
		abort();
	dup2(pipe_fd[1], 2);
	close(pipe_fd[1]);
	result = options_parse(count, word, &o);
	dup2(before, 2);
	close(before);
	n = read(pipe_fd[0], said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = 0;
	close(pipe_fd[0]);
	return result;
}

/* Refused, in one line that has this in it. */
static bool refused(const char *line, const char *because)
{
	bool ok = parse(line) < 0 && strstr(said, because) &&
		  strchr(said, '\n') == said + strlen(said) - 1 && !strncmp(said, "anykvm: ", 8);

	if (!ok)
		fprintf(stderr, "%s -> %s", line, said);
	return ok;
}

static void defaults(void)
{
	EXPECT_EQ(parse("--kernel k"), 0);
	EXPECT_EQ(o.cpus, 1);
	EXPECT_EQ(o.memory_bytes, 512 << 20);
	EXPECT_EQ(o.accel, ACCEL_AUTO);
	EXPECT_EQ(o.serial, SERIAL_STDIO);
	EXPECT(!strcmp(o.append, "console=ttyS0"));
	EXPECT(!o.initrd && !o.disks && !o.nets && !o.no_rng && !o.no_reboot && !o.exit_port &&
	       !o.interpret && !o.nested && !o.translations_bytes);
}

static void everything_at_once(void)
{
	EXPECT_EQ(parse("--kernel k --initrd i --append a~b=c --cpus 4 --memory 4G --accel soft "
			"--serial file:/x "
			"--console virtio --rng off --no-reboot --exit-code-port 0xf4 --interpret --trace /t --translations 48M --nested "
			"--triple-fault reset"),
		  0);
	EXPECT(!strcmp(o.kernel, "k") && !strcmp(o.initrd, "i") && !strcmp(o.append, "a b=c"));
	EXPECT(o.cpus == 4 && o.memory_bytes == 4ull << 30 && o.accel == ACCEL_SOFT);
	EXPECT(o.serial == SERIAL_FILE && !strcmp(o.serial_path, "/x") &&
	       o.console == CONSOLE_VIRTIO);
	EXPECT(o.no_rng && o.no_reboot && o.exit_port == 0xf4 && o.interpret && !strcmp(o.trace, "/t") && o.translations_bytes == 48ull << 20 && o.nested && o.triple_fault_resets);
}

static void values_may_follow_an_equals_sign(void)
{
	EXPECT_EQ(parse("--kernel=/boot/k=1 --memory=1G --append=root=/dev/vda"), 0);
	EXPECT(!strcmp(o.kernel, "/boot/k=1") && o.memory_bytes == 1 << 30 &&
	       !strcmp(o.append, "root=/dev/vda"));
	EXPECT(refused("--kernel k --no-reboot=1", "takes no value"));
}

static void sizes(void)
{
	u64 n;

	EXPECT(!size_parse("256", &n) && n == 256 << 20);
	EXPECT(!size_parse("256M", &n) && n == 256 << 20);
	EXPECT(!size_parse("1g", &n) && n == 1 << 30);
	EXPECT(!size_parse("2GiB", &n) && n == 2ull << 30);
	EXPECT(!size_parse("64K", &n) && n == 64 << 10);
	EXPECT(size_parse("", &n) && size_parse("M", &n) && size_parse("-1M", &n) &&
	       size_parse("1X", &n));
	EXPECT(size_parse("99999999999999999999", &n) && size_parse("20000000T", &n) &&
	       size_parse("1.5G", &n));
	EXPECT(refused("--kernel k --memory 5M", "from 16M"));
	EXPECT(refused("--kernel k --memory 999M", "such as 1000M"));
	EXPECT(refused("--kernel k --memory much", "512M or 2G"));
}

static void unknown_options_name_the_nearest(void)
{
	EXPECT(refused("--kernal k", "did you mean --kernel?"));
	EXPECT(refused("--kernel k --mem 1G", "did you mean --memory?"));
	EXPECT(refused("--kernel k --intrd i", "did you mean --initrd?"));
	EXPECT(refused("--kernel k -append x", "did you mean --append?"));
	EXPECT(refused("--kernel k --smp 4", "unknown option --smp"));
	EXPECT(refused("--kernel k --frobnicate", "--help"));
	EXPECT(refused("--kernel k disk", "did you mean --disk?"));
	EXPECT(refused("--kernel k --cpu 2", "did you mean --cpus?"));
}

static void values_are_checked(void)
{
	EXPECT(refused("", "--kernel"));
	EXPECT(refused("--kernel", "needs a value"));
	EXPECT(refused("--kernel k --cpus 0", "from 1 to"));
	EXPECT(refused("--kernel k --cpus 65", "from 1 to"));
	EXPECT(refused("--kernel k --cpus 2x", "from 1 to"));
	EXPECT(refused("--kernel k --accel hw", "auto, soft or kvm"));
	EXPECT(refused("--kernel k --serial tty", "file:PATH"));
	EXPECT(refused("--kernel k --serial file:", "file:PATH"));
	EXPECT(refused("--kernel k --exit-code-port 70000", "0xf4"));
	EXPECT(refused("--kernel k --console virtio --serial stdio", "terminal"));
}

static void disks(void)
{
	EXPECT_EQ(parse("--kernel k --disk a.img --disk "
			"b,,c.img,readonly,serial=S1,discard=off,io=threads"),
		  0);
	EXPECT_EQ(o.disks, 2);
	EXPECT(!strcmp(o.disk[0].path, "a.img") && !o.disk[0].readonly && o.disk[0].discard &&
	       o.disk[0].io == DISK_IO_AUTO);
	EXPECT(!strcmp(o.disk[1].path, "b,c.img") && o.disk[1].readonly && !o.disk[1].discard);
	EXPECT(!strcmp(o.disk[1].serial, "S1") && o.disk[1].io == DISK_IO_THREADS);
	EXPECT(refused("--kernel k --disk ,readonly", "path"));
	EXPECT(refused("--kernel k --disk a,ro", "readonly"));
	EXPECT(refused("--kernel k --disk a,serial=", "1 to 20"));
	EXPECT(refused("--kernel k --disk a,serial=123456789012345678901", "1 to 20"));
	EXPECT(refused("--kernel k --disk a,io=fast", "io="));
}

static void networks(void)
{
	EXPECT_EQ(parse("--kernel k --net "
			"user,mac=52:54:00:aa:bb:cc,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp::53-"
			"10.0.2.15:5353"),
		  0);
	EXPECT_EQ(o.nets, 1);
	EXPECT(o.net[0].mac[3] == 0xaa && o.net[0].mac[5] == 0xcc && o.net[0].forwards == 2);
	EXPECT(!o.net[0].forward[0].udp && o.net[0].forward[0].host_address == 0x7f000001 &&
	       o.net[0].forward[0].host_port == 2222 && !o.net[0].forward[0].guest_address &&
	       o.net[0].forward[0].guest_port == 22);
	EXPECT(o.net[0].forward[1].udp && !o.net[0].forward[1].host_address && o.net[0].forward[1].guest_address == 0x0a00020f);
	EXPECT_EQ(parse("--kernel k --net none"), 0);
	EXPECT_EQ(o.nets, 0);
	EXPECT_EQ(parse("--kernel k --net user --net user"), 0);
	EXPECT(o.nets == 2 && memcmp(o.net[0].mac, o.net[1].mac, 6));
	EXPECT(refused("--kernel k --net tap", "user"));
	EXPECT(refused("--kernel k --net user,hostfwd=2222-22", "2222-:22"));
	EXPECT(refused("--kernel k --net user,hostfwd=tcp::0-:22", "hostfwd"));
	EXPECT(refused("--kernel k --net user,hostfwd=tcp:1.2.3:1-:22", "hostfwd"));
	EXPECT(refused("--kernel k --net user,mac=01:00:00:00:00:00", "unicast"));
	EXPECT(refused("--kernel k --net user,mac=52:54:00:aa:bb", "mac="));
	EXPECT(refused("--kernel k --net user,speed=1", "hostfwd"));
}

static void help_needs_nothing_else(void)
{
	EXPECT_EQ(parse("--help"), 0);
	EXPECT(o.help);
	EXPECT_EQ(parse("-h"), 0);
	EXPECT(o.help);
}

int main(void)
{
	TEST(defaults);
	TEST(everything_at_once);
	TEST(values_may_follow_an_equals_sign);
	TEST(sizes);
	TEST(unknown_options_name_the_nearest);
	TEST(values_are_checked);
	TEST(disks);
	TEST(networks);
	TEST(help_needs_nothing_else);
	return test_status();
}
