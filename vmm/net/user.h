/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * user.h - a network for one guest, without privileges: libslirp
 *
 * The guest is 10.0.2.15 in 10.0.2.0/24; 10.0.2.2 is the host, 10.0.2.3 answers DNS.  What
 * it sends goes out through ordinary sockets of this process.
 *
 * Locking: one thread, that of the loop.
 */
#ifndef VMM_NET_USER_H
#define VMM_NET_USER_H

#include "base/types.h"
#include "vmm/virtio/virtio_devices.h"

struct user_net;
struct loop;

#define USER_NET_MTU	1500u

/* deliver: a frame for the guest, without its checksum trailer; false if it can't take it now. */
int  user_net_open(struct user_net **out, const struct net_options *o, struct loop *l,
		   bool (*deliver)(void *owner, const u8 *frame, u32 bytes), void *owner);
void user_net_close(struct user_net *u);

/* A frame from the guest. */
void user_net_send(struct user_net *u, const u8 *frame, u32 bytes);
/* After a run of sends: look at the sockets now. */
void user_net_poll(struct user_net *u);

#endif
