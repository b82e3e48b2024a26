/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_devices.h - the virtio devices that a command line can ask for
 *
 * Each create function makes a device, registers it on m->pci (see vmm/bus/pci.h) and
 * leaves it to the machine, which resets and destroys it through its pci_ops.  It returns 0
 * or, having said why in one line with report_error(), -errno.  Called before the first vCPU runs.
 */
#ifndef VMM_VIRTIO_VIRTIO_DEVICES_H
#define VMM_VIRTIO_VIRTIO_DEVICES_H

#include "base/types.h"

struct machine;
struct terminal;

enum disk_io { DISK_IO_AUTO, DISK_IO_URING, DISK_IO_THREADS };

/* --disk PATH[,readonly][,serial=TEXT][,discard=off][,io=uring|threads] */
struct disk_options {
	const char *path;
	bool	readonly;
	bool	discard;	/* pass discards on to the file; on by default */
	char	serial[21];	/* what the guest reads as the disk's serial; "" for none */
	enum disk_io io;
};

#define NET_FORWARDS_MAX 16

/* hostfwd=tcp|udp:HOST-ADDRESS:PORT-GUEST-ADDRESS:PORT; addresses in host byte order. */
struct net_forward {
	bool	udp;
	u32	host_address;	/* 0: any */
	u16	host_port;
	u32	guest_address;	/* 0: the first that DHCP gives out */
	u16	guest_port;
};

/* --net user[,mac=..][,hostfwd=..]... | none */
struct net_options {
	u8	mac[6];
	unsigned forwards;
	struct net_forward forward[NET_FORWARDS_MAX];
};

int virtio_blk_create(struct machine *m, const struct disk_options *o);
int virtio_net_create(struct machine *m, const struct net_options *o);
int virtio_rng_create(struct machine *m);
/* A console on the terminal: vmm/machine/terminal.h. */
int virtio_console_create(struct machine *m, struct terminal *t);

#endif
