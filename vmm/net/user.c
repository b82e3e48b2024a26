// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * user.c - a network for one guest, without privileges: libslirp
 *
 * libslirp wants to be asked, before every wait, which sockets it cares about, and to be
 * told afterwards what became of them.  Our loop is epoll, so the set is compared with what
 * is watched, and only changes reach the kernel.
 *
 * Locking: one thread, the loop's.  user_net_open and _close run while it does not.
 */
#include "vmm/net/user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vmm/machine/loop.h"
#include "vmm/machine/report.h"

#define SOCKETS_MAX 1024

struct socket_watch {
	struct loop_watch watch;	/* watch.fd: the socket */
	struct user_net *net;
	u32 events;		/* watched */
	u32 wanted;		/* by libslirp, this round */
	u32 ready;		/* what epoll said */
	bool used;
};

struct user_timer {
	struct loop_timer timer;
	struct user_net *net;
	SlirpTimerCb callback;
	SlirpTimerId id;
	void *arg;
	bool by_id;
};

struct user_net {
	Slirp *slirp;
	struct loop *loop;
	bool (*deliver)(void *owner, const u8 *frame, u32 bytes);
	void *owner;
	struct loop_timer timeout;	/* libslirp's own slow timers */
	struct loop_task round;
	int sockets;			/* slots in use, from the start */
	struct socket_watch *socket[SOCKETS_MAX];
};

static void round_later(struct user_net *u)
{
	loop_post(u->loop, &u->round);
}

/* --- callbacks of libslirp ----------------------------------------------------------- */

static ssize_t send_packet(const void *frame, size_t bytes, void *opaque)
{
	struct user_net *u = opaque;

	/* A frame that the guest has no buffer for is lost, as on a wire. */
	u->deliver(u->owner, frame, (u32)bytes);
	return (ssize_t)bytes;
}

static void guest_error(const char *message, void *opaque)
{
	(void)message;		/* the guest's mistake, and its own business */
	(void)opaque;
}

static int64_t clock_ns(void *opaque)
{
	(void)opaque;
	return (int64_t)loop_now();
}

static void timer_fired(struct loop_timer *lt)
{
	struct user_timer *t = CONTAINER_OF(lt, struct user_timer, timer);

	if (t->by_id)
		slirp_handle_timer(t->net->slirp, t->id, t->arg);
	else
		t->callback(t->arg);
	round_later(t->net);
}

static void *timer_make(struct user_net *u, SlirpTimerCb callback, SlirpTimerId id, bool by_id, void *arg)
{
	struct user_timer *t = calloc(1, sizeof(*t));

	if (!t)
		abort();	/* libslirp has no way to hear of it */
	*t = (struct user_timer){ .timer.fn = timer_fired, .net = u, .callback = callback,
				  .id = id, .by_id = by_id, .arg = arg };
	return t;
}

static void *timer_new(SlirpTimerCb callback, void *arg, void *opaque)
{
	return timer_make(opaque, callback, 0, false, arg);
}

static void *timer_new_by_id(SlirpTimerId id, void *arg, void *opaque)
{
	return timer_make(opaque, NULL, id, true, arg);
}

static void timer_free(void *timer, void *opaque)
{
	struct user_timer *t = timer;
	struct user_net *u = opaque;

	loop_timer_stop(u->loop, &t->timer);
	free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	struct user_timer *t = timer;
	struct user_net *u = opaque;

	loop_timer_start(u->loop, &t->timer, (u64)expire_ms * 1000000);
}

static void poll_fd_changed(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void unregister_fd(int fd, void *opaque)
{
	struct user_net *u = opaque;

	/* It is about to be closed: epoll must forget it first, since the number is used again. */
	for (int n = 0; n < u->sockets; n++) {
		struct socket_watch *s = u->socket[n];

		if (s->used && s->watch.fd == fd) {
			if (s->events)
				loop_watch_remove(&s->watch);
			s->events = 0;
			s->used = false;
		}
	}
}

static void notify(void *opaque)
{
	round_later(opaque);
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = poll_fd_changed,
	.unregister_poll_fd = unregister_fd,
	.notify = notify,
	.timer_new_opaque = timer_new_by_id,
};

/* --- a round: tell libslirp what happened, ask what it waits for ------------------------ */

static void socket_ready(struct loop_watch *w, u32 events)
{
	struct socket_watch *s = CONTAINER_OF(w, struct socket_watch, watch);

	s->ready |= events;
	round_later(s->net);
}

static struct socket_watch *socket_find(struct user_net *u, int fd)
{
	struct socket_watch *unused = NULL;

	for (int n = 0; n < u->sockets; n++) {
		if (u->socket[n]->used && u->socket[n]->watch.fd == fd)
			return u->socket[n];
		if (!u->socket[n]->used && !unused)
			unused = u->socket[n];
	}
	if (!unused) {
		if (u->sockets == SOCKETS_MAX || !(unused = calloc(1, sizeof(*unused))))
			return NULL;
		u->socket[u->sockets++] = unused;
	}
	*unused = (struct socket_watch){ .watch.fn = socket_ready, .watch.fd = fd, .net = u, .used = true };
	return unused;
}

static u32 to_epoll(int events)
{
	return (events & SLIRP_POLL_IN ? EPOLLIN : 0) | (events & SLIRP_POLL_OUT ? EPOLLOUT : 0) |
	       (events & SLIRP_POLL_PRI ? EPOLLPRI : 0) | (events & SLIRP_POLL_HUP ? EPOLLHUP : 0) |
	       (events & SLIRP_POLL_ERR ? EPOLLERR : 0);
}

static int add_poll(int fd, int events, void *opaque)
{
	struct user_net *u = opaque;
	struct socket_watch *s = socket_find(u, fd);

	if (!s)
		return -1;
	s->wanted |= to_epoll(events);
	for (int n = 0; n < u->sockets; n++)
		if (u->socket[n] == s)
			return n;
	return -1;
}

static int get_revents(int index, void *opaque)
{
	struct user_net *u = opaque;
	u32 ready;

	if (index < 0 || index >= u->sockets)
		return 0;
	ready = u->socket[index]->ready;
	return (ready & EPOLLIN ? SLIRP_POLL_IN : 0) | (ready & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
	       (ready & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (ready & EPOLLHUP ? SLIRP_POLL_HUP : 0) |
	       (ready & EPOLLERR ? SLIRP_POLL_ERR : 0);
}

static void watch_as_wanted(struct user_net *u, struct socket_watch *s)
{
	if (!s->used || s->wanted == s->events)
		return;
	if (!s->wanted) {
		loop_watch_remove(&s->watch);
		s->used = false;
	} else if (s->events) {
		loop_watch_modify(&s->watch, s->wanted);
	} else if (loop_watch_add(u->loop, &s->watch, s->watch.fd, s->wanted)) {
		s->used = false;
		s->wanted = 0;
	}
	s->events = s->wanted;
}

static void round_run(struct loop_task *t)
{
	struct user_net *u = CONTAINER_OF(t, struct user_net, round);
	u32 timeout_ms = 1000;

	slirp_pollfds_poll(u->slirp, 0, get_revents, u);
	for (int n = 0; n < u->sockets; n++) {
		u->socket[n]->ready = 0;
		u->socket[n]->wanted = 0;
	}
	slirp_pollfds_fill(u->slirp, &timeout_ms, add_poll, u);
	for (int n = 0; n < u->sockets; n++)
		watch_as_wanted(u, u->socket[n]);
	loop_timer_start(u->loop, &u->timeout, loop_now() + timeout_ms * 1000000ull);
}

static void timed_out(struct loop_timer *t)
{
	struct user_net *u = CONTAINER_OF(t, struct user_net, timeout);

	round_run(&u->round);
}

void user_net_send(struct user_net *u, const u8 *frame, u32 bytes)
{
	slirp_input(u->slirp, frame, (int)bytes);
}

void user_net_poll(struct user_net *u)
{
	round_later(u);
}

/* --- opening ---------------------------------------------------------------------------- */

static struct in_addr address(u32 host_order)
{
	return (struct in_addr){ .s_addr = htonl(host_order) };
}

static int forwards_add(struct user_net *u, const struct net_options *o)
{
	for (unsigned n = 0; n < o->forwards; n++) {
		const struct net_forward *f = &o->forward[n];

		if (slirp_add_hostfwd(u->slirp, f->udp, address(f->host_address), f->host_port,
				      address(f->guest_address), f->guest_port)) {
			int error = errno ? errno : EADDRINUSE;

			return report_error(-error, "can't forward host port %u: %s; choose another, or stop what uses it",
					    f->host_port, strerror(error));
		}
	}
	return 0;
}

int user_net_open(struct user_net **out, const struct net_options *o, struct loop *l,
		  bool (*deliver)(void *owner, const u8 *frame, u32 bytes), void *owner)
{
	const SlirpConfig config = {
		.version = 4,
		.in_enabled = true,
		.vnetwork = address(0x0a000200),
		.vnetmask = address(0xffffff00),
		.vhost = address(0x0a000202),
		.vhostname = "anykvm",
		.vdhcp_start = address(0x0a00020f),
		.vnameserver = address(0x0a000203),
		.if_mtu = USER_NET_MTU,
		.if_mru = USER_NET_MTU,
	};
	struct user_net *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->loop = l;
	u->deliver = deliver;
	u->owner = owner;
	u->timeout.fn = timed_out;
	u->round.fn = round_run;
	u->slirp = slirp_new(&config, &callbacks, u);
	if (!u->slirp) {
		free(u);
		return report_error(-EINVAL, "libslirp would not start");
	}
	r = forwards_add(u, o);
	if (r) {
		user_net_close(u);
		return r;
	}
	round_later(u);
	*out = u;
	return 0;
}

void user_net_close(struct user_net *u)
{
	loop_timer_stop(u->loop, &u->timeout);
	slirp_cleanup(u->slirp);
	for (int n = 0; n < u->sockets; n++) {
		if (u->socket[n]->events)
			loop_watch_remove(&u->socket[n]->watch);
		free(u->socket[n]);
	}
	free(u);
}
