// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * terminal.c - the user's end of a serial port or console
 *
 * Output: a ring buffer.  A writer puts in what fits and tries to write it out at once; what the
 * descriptor does not take is left to the loop.  Descriptors are used without O_NONBLOCK,
 * which would be shared with other programs on the terminal: poll() first, then small writes.
 *
 * Input: read on the loop, stripped of Ctrl-a sequences, offered to the port.  While the port has
 * no room for what is held here, nothing more is read.
 *
 * Invariants:
 *   1. `short_of_room` is set if a writer was told that not all was taken; drained() follows.
 *   2. Input is watched only while `held` is empty.
 *
 * Locking: t->lock guards the output ring and closed, and is taken before the loop's lock; input
 * belongs to the loop's thread.
 */
#include "vmm/machine/terminal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

#include "base/atomic.h"
#include "vmm/machine/loop.h"
#include "vmm/machine/report.h"

#define RING_BYTES	(64u << 10)	/* a power of two */
#define WRITE_BYTES	512u /* what poll() promises a pipe or tty takes without blocking */
#define ESCAPE		('a' & 0x1f)	/* Ctrl-a */

struct terminal {
	struct loop *loop;
	int	input, output;
	struct terminal_keys keys;
	struct terminal_port port;

	pthread_mutex_t lock;
	u8	ring[RING_BYTES];
	u32	head, tail;		/* bytes ever put in and taken out */
	bool	short_of_room;		/* a writer waits for drained() */
	bool	closed;			/* the loop may be gone: nothing is posted any more */
	struct loop_task flush_task;	/* the ring needs the loop */

	struct loop_watch input_watch, output_watch;
	bool	output_watched;
	bool	escaped;		/* the last byte was Ctrl-a */
	u8	held[256];		/* input the port had no room for */
	u32	held_count;
	bool	input_ended;
	bool	input_is_file;		/* a regular file: always ready, cannot be watched */
	struct loop_task input_task;
};

/* --- the user's tty: one for the program, so that a signal handler finds it --------- */

static struct termios tty_before, tty_raw;
static int tty_fd = -1;

void terminal_restore(void)
{
	int fd = atomic_load_relaxed(&tty_fd);

	if (fd >= 0)
		tcsetattr(fd, TCSANOW, &tty_before);
}

void terminal_raw(void)
{
	int fd = atomic_load_relaxed(&tty_fd);

	if (fd >= 0)
		tcsetattr(fd, TCSANOW, &tty_raw);
}

static void tty_take(int fd)
{
	static bool registered;

	if (!isatty(fd) || tcgetattr(fd, &tty_before))
		return;
	tty_raw = tty_before;
	cfmakeraw(&tty_raw);
	tty_raw.c_oflag |= OPOST;	/* our own messages end in \n alone */
	atomic_store_relaxed(&tty_fd, fd);
	if (!registered)
		atexit(terminal_restore);
	registered = true;
	terminal_raw();
}

/* --- output --------------------------------------------------------------------------- */

static u32 ring_room(const struct terminal *t)
{
	return RING_BYTES - (t->head - t->tail);
}

/* Write out what the descriptor takes now; t->lock held. */
static void ring_write_out(struct terminal *t)
{
	while (t->head != t->tail) {
		struct pollfd p = { .fd = t->output, .events = POLLOUT };
		u32 at = t->tail % RING_BYTES;
		u32 n = MIN_OF(MIN_OF(t->head - t->tail, RING_BYTES - at), WRITE_BYTES);
		ssize_t done;

		if (poll(&p, 1, 0) <= 0)
			return;
		done = write(t->output, t->ring + at, n);
		if (done < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		t->tail += done < 0 ? n : (u32)done; /* nobody reads any more: the bytes are lost */
	}
}

size_t terminal_write(struct terminal *t, const void *bytes, size_t n)
{
	const u8 *from = bytes;
	size_t taken = 0;

	pthread_mutex_lock(&t->lock);
	if (t->output < 0) {
		pthread_mutex_unlock(&t->lock);
		return n;
	}
	while (taken < n && ring_room(t)) {
		u32 at = t->head % RING_BYTES;
		u32 part = (u32)MIN_OF(n - taken, (size_t)MIN_OF(ring_room(t), RING_BYTES - at));

		memcpy(t->ring + at, from + taken, part);
		t->head += part;
		taken += part;
	}
	ring_write_out(t);
	t->short_of_room |= taken < n;
	if (t->head != t->tail || t->short_of_room)
		loop_post(t->loop, &t->flush_task);
	pthread_mutex_unlock(&t->lock);
	return taken;
}

/* Write out what goes; watch for more room if something is left; tell a waiting writer. */
static void flush(struct terminal *t)
{
	bool tell = false, left;

	pthread_mutex_lock(&t->lock);
	ring_write_out(t);
	left = t->head != t->tail;
	if (t->short_of_room && ring_room(t) >= RING_BYTES / 2) {
		t->short_of_room = false;
		tell = true;
	}
	pthread_mutex_unlock(&t->lock);

	if (left && !t->output_watch.loop)
		loop_watch_add(t->loop, &t->output_watch, t->output, EPOLLOUT);
	else if (!left && t->output_watch.loop)
		loop_watch_remove(&t->output_watch);
	if (tell && t->port.drained)
		t->port.drained(t->port.owner);
}

static void flush_posted(struct loop_task *task)
{
	flush(CONTAINER_OF(task, struct terminal, flush_task));
}

static void output_ready(struct loop_watch *w, u32 events)
{
	(void)events;
	flush(CONTAINER_OF(w, struct terminal, output_watch));
}

/* --- input: the loop's thread ----------------------------------------------------------- */

static void help(void)
{
	static const char text[] =
		"\nCtrl-a x  leave: the machine is switched off at once\n"
		"Ctrl-a p  press the machine's power button\n"
		"Ctrl-a Ctrl-a  send Ctrl-a\n"
		"Ctrl-a h  this help\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		return;
}

/* Act on the key after Ctrl-a; true if it is for the guest after all. */
static bool escape_key(struct terminal *t, u8 key)
{
	switch (key) {
	case 'x': case 'X':
		if (t->keys.leave)
			t->keys.leave(t->keys.owner);
		return false;
	case 'p':
		if (t->keys.power)
			t->keys.power(t->keys.owner);
		return false;
	case 'h': case 'c': case '?':
		help();
		return false;
	default:	/* Ctrl-a and all others: as typed, without the first Ctrl-a */
		return true;
	}
}

/* The bytes that are for the guest; a sequence may be split over two reads. */
static u32 strip_escapes(struct terminal *t, u8 *bytes, u32 n)
{
	u32 kept = 0;

	for (u32 i = 0; i < n; i++) {
		if (t->escaped) {
			t->escaped = false;
			if (escape_key(t, bytes[i]))
				bytes[kept++] = bytes[i];
		} else if (bytes[i] == ESCAPE) {
			t->escaped = true;
		} else {
			bytes[kept++] = bytes[i];
		}
	}
	return kept;
}

static void input_offer(struct terminal *t)
{
	size_t taken = t->held_count;

	if (t->port.input)
		taken = t->port.input(t->port.owner, t->held, t->held_count);
	memmove(t->held, t->held + taken, t->held_count - taken);
	t->held_count -= (u32)taken;
	if (t->input_ended)
		return;
	if (t->input_is_file && !t->held_count)
		loop_post(t->loop, &t->input_task);
	else if (t->held_count && t->input_watch.loop)
		loop_watch_remove(&t->input_watch);
	else if (!t->held_count && !t->input_watch.loop && !t->input_is_file)
		loop_watch_add(t->loop, &t->input_watch, t->input, EPOLLIN);
}

static void input_read(struct terminal *t)
{
	ssize_t n = read(t->input, t->held, sizeof(t->held));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {		/* the end: go on without input */
		t->input_ended = true;
		loop_watch_remove(&t->input_watch);
		return;
	}
	t->held_count = strip_escapes(t, t->held, (u32)n);
	input_offer(t);
}

static void input_ready(struct loop_watch *w, u32 events)
{
	(void)events;
	input_read(CONTAINER_OF(w, struct terminal, input_watch));
}

static void input_posted(struct loop_task *task)
{
	struct terminal *t = CONTAINER_OF(task, struct terminal, input_task);

	if (t->held_count)
		input_offer(t);
	else if (t->input_is_file && !t->input_ended)
		input_read(t);
}

void terminal_input_wanted(struct terminal *t)
{
	pthread_mutex_lock(&t->lock);
	if (!t->closed)
		loop_post(t->loop, &t->input_task);
	pthread_mutex_unlock(&t->lock);
}

/* --- making ------------------------------------------------------------------------------- */

int terminal_open(struct terminal **out, struct loop *l, int input, int output,
		  const struct terminal_keys *keys)
{
	struct terminal *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->loop = l;
	t->input = input;
	t->output = output;
	if (keys)
		t->keys = *keys;
	pthread_mutex_init(&t->lock, NULL);
	t->flush_task.fn = flush_posted;
	t->input_task.fn = input_posted;
	t->input_watch.fn = input_ready;
	t->output_watch.fn = output_ready;
	if (input >= 0) {
		if (loop_watch_add(l, &t->input_watch, input, EPOLLIN)) {
			t->input_is_file = true;
			loop_post(l, &t->input_task);
		}
		tty_take(input);
	}
	*out = t;
	return 0;
}

void terminal_attach(struct terminal *t, const struct terminal_port *port)
{
	t->port = *port;
}

void terminal_close(struct terminal *t)
{
	u64 limit = loop_now() + 1000000000ull;

	if (!t)
		return;
	loop_watch_remove(&t->input_watch);
	loop_watch_remove(&t->output_watch);
	pthread_mutex_lock(&t->lock);
	while (t->head != t->tail && loop_now() < limit) {
		struct pollfd p = { .fd = t->output, .events = POLLOUT };

		poll(&p, 1, 100);
		ring_write_out(t);
	}
	t->output = -1;
	t->closed = true;
	pthread_mutex_unlock(&t->lock);
	if (t->input >= 0 && t->input == atomic_load_relaxed(&tty_fd)) {
		terminal_restore();
		atomic_store_relaxed(&tty_fd, -1);
	}
}

void terminal_free(struct terminal *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}
