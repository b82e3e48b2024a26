// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * none.c - virtio devices of a build without them
 *
 * Weak definitions that say so; the devices replace them.
 */
#include <errno.h>

#include "vmm/machine/report.h"
#include "vmm/virtio/virtio_devices.h"

__attribute__((weak))
int virtio_blk_create(struct machine *m, const struct disk_options *o)
{
	(void)m;
	return report_error(-ENOSYS, "--disk %s: this build has no virtio disk", o->path);
}

__attribute__((weak))
int virtio_net_create(struct machine *m, const struct net_options *o)
{
	(void)m, (void)o;
	return report_error(-ENOSYS, "--net user: this build has no virtio network; use --net none");
}

__attribute__((weak))
int virtio_rng_create(struct machine *m)
{
	(void)m;
	return report_error(-ENOSYS, "--rng: this build has no virtio entropy device; use --rng off");
}

__attribute__((weak))
int virtio_console_create(struct machine *m, struct terminal *t)
{
	(void)m, (void)t;
	return report_error(-ENOSYS, "--console virtio: this build has no virtio console; use --console serial");
}
