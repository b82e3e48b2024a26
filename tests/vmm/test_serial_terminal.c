// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_serial_terminal.c - the loop, and the user's end of a serial port on pipes and a pty
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include "base/atomic.h"
#include "tests/test.h"
#include "vmm/machine/loop.h"
#include "vmm/machine/terminal.h"

static struct loop *loop;

/* --- the loop ------------------------------------------------------------------------ */

static char order[16];
static unsigned order_count;

static void note(char c) { order[order_count++ % sizeof(order)] = c; }

struct named_timer { struct loop_timer t; char name; };

static void timer_note(struct loop_timer *t)
{
	note(CONTAINER_OF(t, struct named_timer, t)->name);
	if (CONTAINER_OF(t, struct named_timer, t)->name == 'z')
		loop_stop(loop);
}

static void timers_run_in_order_of_deadline(void)
{
	struct named_timer t[] = {{{.fn = timer_note}, 'c'},
				  {{.fn = timer_note}, 'a'},
				  {{.fn = timer_note}, 'z'},
				  {{.fn = timer_note}, 'b'},
				  {{.fn = timer_note}, 'x'}};
	u64 now = loop_now();

	order_count = 0;
	loop_create(&loop);
	loop_timer_start(loop, &t[0].t, now + 3000000);
	loop_timer_start(loop, &t[1].t, now);
	loop_timer_start(loop, &t[2].t, now + 5000000);
	loop_timer_start(loop, &t[3].t, now + 9000000000);
	loop_timer_start(loop, &t[3].t, now + 2000000);	/* replaces */
	loop_timer_start(loop, &t[4].t, 0);
	loop_timer_stop(loop, &t[4].t);
	EXPECT_EQ(loop_run(loop), 0);
	EXPECT(order_count == 4 && !memcmp(order, "abcz", 4));
	EXPECT(loop_now() >= now + 5000000);
	loop_destroy(loop);
}

static unsigned posted;
static void count_post(struct loop_task *t) { (void)t; atomic_fetch_add(&posted, 1); }

static void *post_many(void *arg)
{
	for (int i = 0; i < 1000; i++)
		loop_post(loop, arg);
	return NULL;
}

static void work_comes_from_any_thread(void)
{
	struct loop_task task = { .fn = count_post };
	pthread_t thread[3];

	posted = 0;
	loop_create(&loop);
	EXPECT_EQ(loop_thread_start(loop, "test"), 0);
	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, post_many, &task);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	while (!atomic_load_relaxed(&posted))
		usleep(100);
	loop_thread_stop(loop);
	EXPECT(posted >= 1 && posted <= 3000);
	loop_destroy(loop);
}

static struct loop_watch watches[2];
static unsigned fired;

/* Both are ready in one batch; the first removes the other. */
static void remove_other(struct loop_watch *w, u32 events)
{
	(void)events;
	fired++;
	loop_watch_remove(&watches[w == &watches[0]]);
	loop_stop(loop);
}

static void a_removed_watch_is_silent(void)
{
	int a[2], b[2];

	fired = 0;
	loop_create(&loop);
	if (pipe(a) || pipe(b) || write(a[1], "x", 1) != 1 || write(b[1], "x", 1) != 1)
		abort();
	watches[0].fn = watches[1].fn = remove_other;
	EXPECT_EQ(loop_watch_add(loop, &watches[0], a[0], EPOLLIN), 0);
	EXPECT_EQ(loop_watch_add(loop, &watches[1], b[0], EPOLLIN), 0);
	loop_run(loop);
	EXPECT_EQ(fired, 1);
	loop_watch_remove(&watches[0]);
	loop_watch_remove(&watches[1]);
	close(a[0]), close(a[1]), close(b[0]), close(b[1]);
	loop_destroy(loop);
}

/* --- the terminal ------------------------------------------------------------------------ */

static struct terminal *terminal;
static char got[4096];
static size_t got_count, accept_bytes;
static unsigned left, powered, drains;

static void on_leave(void *owner) { (void)owner; left++; }
static void on_power(void *owner) { (void)owner; powered++; }
static void on_drained(void *owner) { (void)owner; drains++; }

static size_t on_input(void *owner, const u8 *bytes, size_t n)
{
	(void)owner;
	n = MIN_OF(n, accept_bytes);
	memcpy(got + got_count, bytes, n);
	got_count += n;
	accept_bytes -= n;
	return n;
}

static const struct terminal_keys keys = { NULL, on_leave, on_power };
static const struct terminal_port port = { NULL, on_input, on_drained };

static void stop_fn(struct loop_timer *t) { (void)t; loop_stop(loop); }

/* Let the loop do what there is to do. */
static void run_a_while(void)
{
	struct loop_timer t = { .fn = stop_fn };

	loop_timer_start(loop, &t, loop_now() + 30000000);
	loop_run(loop);
}

static void set_up(int in, int out)
{
	got_count = 0;
	accept_bytes = sizeof(got);
	left = powered = drains = 0;
	loop_create(&loop);
	EXPECT_EQ(terminal_open(&terminal, loop, in, out, &keys), 0);
	terminal_attach(terminal, &port);
}

static void tear_down(void)
{
	terminal_close(terminal);
	loop_destroy(loop);
	EXPECT_EQ(terminal_write(terminal, "late", 4), 4);	/* a device that is not gone yet */
	terminal_input_wanted(terminal);
	terminal_free(terminal);
}

static void type(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
}

static void keys_reach_the_port_but_not_the_escapes(void)
{
	int in[2];

	if (pipe(in))
		abort();
	set_up(in[0], -1);
	type(in[1], "ab\001\001c\001pd\001");
	run_a_while();
	EXPECT(got_count == 5 && !memcmp(got, "ab\001cd", 5));
	EXPECT_EQ(powered, 1);
	EXPECT_EQ(left, 0);
	type(in[1], "x");		/* the sequence was split over two reads */
	run_a_while();
	EXPECT_EQ(left, 1);
	EXPECT_EQ(got_count, 5);
	type(in[1], "\001qz");		/* not a command: as typed */
	run_a_while();
	EXPECT(got_count == 7 && !memcmp(got + 5, "qz", 2));
	close(in[1]);			/* the end of input ends nothing else */
	run_a_while();
	EXPECT_EQ(left, 1);
	tear_down();
	close(in[0]);
}

static void a_slow_port_loses_nothing(void)
{
	int in[2];

	if (pipe(in))
		abort();
	set_up(in[0], -1);
	accept_bytes = 3;
	type(in[1], "0123456789");
	run_a_while();
	EXPECT_EQ(got_count, 3);
	type(in[1], "abcdef");
	run_a_while();
	EXPECT_EQ(got_count, 3);
	accept_bytes = 100;
	terminal_input_wanted(terminal);
	run_a_while();
	EXPECT(got_count == 16 && !memcmp(got, "0123456789abcdef", 16));
	tear_down();
	close(in[0]), close(in[1]);
}

static void input_from_a_file_is_read_to_its_end(void)
{
	int fd = memfd_create("input", 0);
	static char text[1000];

	memset(text, 'k', sizeof(text));
	if (write(fd, text, sizeof(text)) != sizeof(text))
		abort();
	lseek(fd, 0, SEEK_SET);
	set_up(fd, -1);
	accept_bytes = 500;
	run_a_while();
	EXPECT_EQ(got_count, 500);
	accept_bytes = 1000;
	terminal_input_wanted(terminal);
	run_a_while();
	EXPECT_EQ(got_count, 1000);
	tear_down();
	close(fd);
}

static void a_slow_reader_holds_the_writer_up(void)
{
	static char block[4096];
	size_t taken = 0, n, seen = 0;
	static char sink[1 << 16];
	int out[2];

	if (pipe(out))
		abort();
	set_up(-1, out[1]);
	memset(block, '.', sizeof(block));
	do {
		n = terminal_write(terminal, block, sizeof(block));
		taken += n;
	} while (n == sizeof(block) && taken < 100 << 20);
	EXPECT(taken < 1 << 20);
	EXPECT_EQ(drains, 0);
	while (seen < taken) {
		ssize_t got_now = read(out[0], sink, sizeof(sink));

		seen += got_now > 0 ? (size_t)got_now : 0;
		run_a_while();
	}
	EXPECT_EQ(seen, taken);
	EXPECT_EQ(drains, 1);
	EXPECT_EQ(terminal_write(terminal, "again", 5), 5);
	EXPECT(read(out[0], sink, sizeof(sink)) == 5 && !memcmp(sink, "again", 5));
	close(out[0]);
	EXPECT_EQ(terminal_write(terminal, "nobody", 6),
		  6); /* a reader that went away blocks nobody */
	run_a_while();
	tear_down();
	close(out[1]);
}

static void a_tty_is_raw_and_restored(void)
{
	struct termios before, during, after;
	int master, slave;

	if (openpty(&master, &slave, NULL, NULL, NULL)) {
		TEST_SKIP("a_tty_is_raw_and_restored", "no pseudo-terminals here");
		return;
	}
	tcgetattr(slave, &before);
	EXPECT(before.c_lflag & ICANON);
	set_up(slave, slave);
	tcgetattr(slave, &during);
	EXPECT(!(during.c_lflag & (ICANON | ECHO | ISIG)) && during.c_oflag & OPOST);
	type(master, "\003\032");		/* Ctrl-C and Ctrl-Z are the guest's */
	run_a_while();
	EXPECT(got_count == 2 && got[0] == 3 && got[1] == 26);
	terminal_restore();
	tcgetattr(slave, &after);
	EXPECT_EQ(after.c_lflag, before.c_lflag);
	terminal_raw();
	tcgetattr(slave, &after);
	EXPECT_EQ(after.c_lflag, during.c_lflag);
	tear_down();
	tcgetattr(slave, &after);
	EXPECT_EQ(after.c_lflag, before.c_lflag);
	close(master), close(slave);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	TEST(timers_run_in_order_of_deadline);
	TEST(work_comes_from_any_thread);
	TEST(a_removed_watch_is_silent);
	TEST(keys_reach_the_port_but_not_the_escapes);
	TEST(a_slow_port_loses_nothing);
	TEST(input_from_a_file_is_read_to_its_end);
	TEST(a_slow_reader_holds_the_writer_up);
	TEST(a_tty_is_raw_and_restored);
	return test_status();
}
