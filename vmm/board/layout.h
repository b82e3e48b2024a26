/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * layout.h - what is where in the guest's physical memory
 *
 * The first MiB holds what a kernel is handed at boot; it may use it again afterwards, except
 * for the ACPI tables.
 */
#ifndef VMM_BOARD_LAYOUT_H
#define VMM_BOARD_LAYOUT_H

#include "base/types.h"

#define LAYOUT_GDT		0x6000u
#define LAYOUT_ZERO_PAGE	0x7000u		/* boot_params, or hvm_start_info */
#define LAYOUT_STACK		0x8ff0u
#define LAYOUT_PAGE_TABLES	0x10000u	/* 6 pages: the first 4 GiB, identity */
#define LAYOUT_COMMAND_LINE	0x20000u	/* up to 64 KiB */
#define LAYOUT_COMMAND_LINE_BYTES 0x10000u
#define LAYOUT_LOW_END		0xa0000u	/* RAM ends: video memory on a PC */
#define LAYOUT_ACPI		0xe0000u	/* where a BIOS would have its tables */
#define LAYOUT_ACPI_BYTES	0x20000u
#define LAYOUT_HIGH		0x100000u	/* RAM goes on: kernels are loaded from here */

#define LAYOUT_IOAPIC		0xfec00000u
#define LAYOUT_LAPIC		0xfee00000u
#define LAYOUT_IDENTITY_MAP	0xfffbc000u	/* one page, then 3 for KVM_SET_TSS_ADDR */
#define LAYOUT_TSS		0xfffbd000u

#define LAYOUT_SERIAL		0x3f8u
#define LAYOUT_SERIAL_IRQ	4u
#define LAYOUT_RTC		0x70u
#define LAYOUT_RTC_IRQ		8u

#endif
