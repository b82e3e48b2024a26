// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log.c - messages to the kernel's log
 */
#include <linux/kernel.h>
#include <linux/printk.h>

#include "host/host.h"

void host_log(int level, const char *format, ...)
{
	struct va_format message = { .fmt = format };
	va_list args;

	va_start(args, format);
	message.va = &args;
	printk("%s%ckvm: %pV", KERN_SOH, '0' + (level & 7), &message);
	va_end(args);
}

void host_bug(const char *file, int line, const char *what)
{
	pr_crit("kvm: BUG at %s:%d: %s\n", file, line, what);
	dump_stack();
}
