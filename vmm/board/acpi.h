/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * acpi.h - the ACPI tables that describe the machine to its kernel
 */
#ifndef VMM_BOARD_ACPI_H
#define VMM_BOARD_ACPI_H

#include "base/types.h"

struct acpi_options {
	unsigned cpus;		/* APIC ids 0 .. cpus - 1 */
	bool	serial;		/* there is a COM1 */
};

/*
 * Write all tables into `bytes`, which the guest will see at physical address `address`
 * (16-byte aligned); the RSDP comes first.  The number of bytes used, or -ENOSPC.
 */
int acpi_build(u8 *bytes, u32 size, u64 address, const struct acpi_options *o);

#endif
