// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * acpi.c - the ACPI tables that describe the machine to its kernel
 *
 * RSDP -> XSDT -> FADT, MADT; FADT -> DSDT, FACS.  Each table is written where the guest
 * will see it, one after the other, and a later one points to earlier ones, so addresses
 * are known when they are needed.  The RSDP is written last, into space kept for it.
 *
 * Reference: ACPI Specification, "ACPI Software Programming Model", "ACPI-Defined Devices
 * and Device-Specific Objects"; PCI Firmware Specification, "_PRT".
 */
#include "vmm/board/acpi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/board/aml.h"
#include "vmm/board/layout.h"
#include "vmm/bus/pci.h"
#include "vmm/dev/pm.h"

enum { HEADER_BYTES = 36, RSDP_BYTES = 36, FACS_BYTES = 64 };

/* The flags of the FADT. */
enum {
	FADT_WBINVD = 1 << 0,
	FADT_PROC_C1 = 1 << 2,
	FADT_SLEEP_BUTTON = 1 << 5,
	FADT_TIMER_32 = 1 << 8,
	FADT_RESET_REGISTER = 1 << 10,
	BOOT_LEGACY = 1 << 0,
	BOOT_NO_VGA = 1 << 2,
};

struct tables {
	struct aml a;		/* the bytes of all tables */
	u64	address;	/* of the first byte */
};

static u8 checksum(const u8 *bytes, u32 n)
{
	u8 sum = 0;

	while (n--)
		sum = (u8)(sum + *bytes++);
	return (u8)-sum;
}

/* Begin a table on the given alignment; returns where in the bytes. */
static u32 table_begin(struct tables *t, const char *signature, u8 revision, u32 align)
{
	u32 start;

	while (t->a.used % align && !t->a.full)
		aml_byte(&t->a, 0);
	start = t->a.used;
	aml_bytes(&t->a, signature, 4);
	aml_dword(&t->a, 0);		/* length */
	aml_byte(&t->a, revision);
	aml_byte(&t->a, 0);		/* checksum */
	aml_bytes(&t->a, "ANYKVM", 6);
	aml_bytes(&t->a, "ANYKVMPC", 8);
	aml_dword(&t->a, 1);
	aml_bytes(&t->a, "AKVM", 4);	/* who made it, and its version */
	aml_dword(&t->a, 1);
	return start;
}

/* Returns the guest physical address of the finished table. */
static u64 table_end(struct tables *t, u32 start)
{
	u32 length = t->a.used - start;

	if (t->a.full)
		return 0;
	memcpy(t->a.bytes + start + 4, &length, 4);
	t->a.bytes[start + 9] = checksum(t->a.bytes + start, length);
	return t->address + start;
}

/* --- DSDT --------------------------------------------------------------------------- */

/* Our devices have one interrupt pin each: _PRT wires INTA of every slot to its GSI. */
static void interrupt_routing(struct aml *a)
{
	u32 table, entry;

	aml_name(a, "_PRT");
	table = aml_package(a, PCI_SLOTS - 1);
	for (u32 slot = 1; slot < PCI_SLOTS; slot++) {
		entry = aml_package(a, 4);
		aml_integer(a, slot << 16 | 0xffff);	/* all functions */
		aml_integer(a, 0);			/* INTA */
		aml_integer(a, 0);			/* wired, not through a link device */
		aml_integer(a, PCI_INTX_FIRST + slot % PCI_INTX_COUNT);
		aml_close(a, entry);
	}
	aml_close(a, table);
}

static void pci_root(struct aml *a)
{
	u32 device = aml_device(a, "PCI0"), resources;

	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0A03");
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_name(a, "_BBN");
	aml_integer(a, 0);
	aml_name(a, "_CRS");
	resources = aml_resources(a);
	aml_resource_bus(a, 0, 0);
	aml_resource_io(a, 0xcf8, 8);
	aml_resource_io_window(a, 0, 0xcf7);
	aml_resource_io_window(a, 0xd00, 0xffff);
	aml_resource_memory_window(a, (u32)PCI_WINDOW_START, (u32)PCI_WINDOW_END - 1);
	aml_resources_close(a, resources);
	interrupt_routing(a);
	aml_close(a, device);
}

static void isa_device(struct aml *a, const char *name, const char *id, u16 port, u8 ports, u8 irq)
{
	u32 device = aml_device(a, name), resources;

	aml_name(a, "_HID");
	aml_eisa_id(a, id);
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_name(a, "_CRS");
	resources = aml_resources(a);
	aml_resource_io(a, port, ports);
	aml_resource_irq(a, irq);
	aml_resources_close(a, resources);
	aml_close(a, device);
}

/* Ports that are taken but belong to no device a driver knows. */
static void board_resources(struct aml *a)
{
	u32 device = aml_device(a, "RES0"), resources;

	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0C02");
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_name(a, "_CRS");
	resources = aml_resources(a);
	aml_resource_io(a, PM_PORT, PM_PORTS);
	aml_resources_close(a, resources);
	aml_close(a, device);
}

static void processors(struct aml *a, unsigned cpus)
{
	for (unsigned i = 0; i < cpus; i++) {
		char name[5];
		u32 device;

		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		device = aml_device(a, name);
		aml_name(a, "_HID");
		aml_string(a, "ACPI0007");
		aml_name(a, "_UID");
		aml_integer(a, i);
		aml_close(a, device);
	}
}

static u64 dsdt_build(struct tables *t, const struct acpi_options *o)
{
	struct aml *a = &t->a;
	u32 start = table_begin(t, "DSDT", 2, 16), scope, package;

	scope = aml_scope(a, "\\_SB_");
	pci_root(a);
	board_resources(a);
	isa_device(a, "RTC0", "PNP0B00", LAYOUT_RTC, 2, LAYOUT_RTC_IRQ);
	if (o->serial)
		isa_device(a, "COM1", "PNP0501", LAYOUT_SERIAL, 8, LAYOUT_SERIAL_IRQ);
	processors(a, o->cpus);
	aml_close(a, scope);

	aml_name(a, "\\_S5_");
	package = aml_package(a, 4);
	aml_integer(a, PM_SLEEP_S5);
	aml_integer(a, PM_SLEEP_S5);
	aml_integer(a, 0);
	aml_integer(a, 0);
	aml_close(a, package);
	return table_end(t, start);
}

/* --- the other tables ------------------------------------------------------------------ */

static u64 facs_build(struct tables *t)
{
	u8 facs[FACS_BYTES] = "FACS";
	u32 start;

	while (t->a.used % FACS_BYTES && !t->a.full)
		aml_byte(&t->a, 0);
	start = t->a.used;
	facs[4] = FACS_BYTES;
	facs[32] = 2;		/* version; it has no checksum */
	aml_bytes(&t->a, facs, sizeof(facs));
	return t->address + start;
}

/* A register in I/O space, as a generic address structure. */
static void io_register(struct aml *a, u64 port, u8 bits, u8 access)
{
	aml_byte(a, 1);
	aml_byte(a, bits);
	aml_byte(a, 0);
	aml_byte(a, access);
	aml_qword(a, port);
}

static void no_register(struct aml *a)
{
	aml_bytes(a, (u8[12]){ 0 }, 12);
}

static u64 fadt_build(struct tables *t, u64 facs, u64 dsdt)
{
	struct aml *a = &t->a;
	u32 start = table_begin(t, "FACP", 5, 16);

	aml_dword(a, (u32)facs);
	aml_dword(a, (u32)dsdt);
	aml_byte(a, 0);
	aml_byte(a, 0);			/* preferred profile: unspecified */
	aml_word(a, PM_SCI);
	aml_dword(a, 0);		/* no SMI command: always in ACPI mode */
	aml_dword(a, 0);		/* ACPI_ENABLE, ACPI_DISABLE, S4BIOS_REQ, PSTATE_CNT */
	aml_dword(a, PM_PORT);		/* PM1a event block */
	aml_dword(a, 0);		/* PM1b */
	aml_dword(a, PM_PORT + 4);	/* PM1a control block */
	aml_dword(a, 0);
	aml_dword(a, 0);		/* PM2 */
	aml_dword(a, PM_PORT + 8);	/* timer */
	aml_dword(a, 0);		/* GPE0 */
	aml_dword(a, 0);		/* GPE1 */
	aml_bytes(a, (u8[8]){ 4, 2, 0, 4, 0, 0, 0, 0 }, 8);	/* lengths of the blocks */
	aml_word(a, 0xfff);		/* no C2 */
	aml_word(a, 0xfff);		/* no C3 */
	aml_word(a, 0);
	aml_word(a, 0);
	aml_byte(a, 0);
	aml_byte(a, 0);
	aml_byte(a, 0);			/* alarm: day, month ... */
	aml_byte(a, 0);
	aml_byte(a, 0x32);		/* ... and century, as CMOS offsets */
	aml_word(a, BOOT_LEGACY | BOOT_NO_VGA);
	aml_byte(a, 0);
	aml_dword(a, FADT_WBINVD | FADT_PROC_C1 | FADT_SLEEP_BUTTON | FADT_TIMER_32 |
			     FADT_RESET_REGISTER);
	io_register(a, 0xcf9, 8, 1);	/* reset register ... */
	aml_byte(a, 6);			/* ... and the value that resets */
	aml_word(a, 0);
	aml_byte(a, 1);			/* minor version */
	aml_qword(a, 0);		/* X_FIRMWARE_CTRL: the 32-bit one counts */
	aml_qword(a, dsdt);
	io_register(a, PM_PORT, 32, 2);
	no_register(a);
	io_register(a, PM_PORT + 4, 16, 2);
	no_register(a);
	no_register(a);
	io_register(a, PM_PORT + 8, 32, 3);
	no_register(a);
	no_register(a);
	no_register(a);			/* sleep control and status: hardware-reduced only */
	no_register(a);
	return table_end(t, start);
}

static void isa_override(struct aml *a, u8 irq, u32 gsi, u16 flags)
{
	aml_byte(a, 2);
	aml_byte(a, 10);
	aml_byte(a, 0);		/* ISA */
	aml_byte(a, irq);
	aml_dword(a, gsi);
	aml_word(a, flags);
}

static u64 madt_build(struct tables *t, unsigned cpus)
{
	struct aml *a = &t->a;
	u32 start = table_begin(t, "APIC", 4, 16);

	aml_dword(a, LAYOUT_LAPIC);
	aml_dword(a, 1);		/* there are 8259s too */
	for (unsigned i = 0; i < cpus; i++) {	/* APIC ids stay below 255: MACHINE_CPUS_MAX */
		aml_byte(a, 0);
		aml_byte(a, 8);
		aml_byte(a, (u8)i);	/* _UID */
		aml_byte(a, (u8)i);	/* APIC id */
		aml_dword(a, 1);	/* enabled */
	}
	aml_byte(a, 1);
	aml_byte(a, 12);
	aml_byte(a, 0);			/* IOAPIC id */
	aml_byte(a, 0);
	aml_dword(a, LAYOUT_IOAPIC);
	aml_dword(a, 0);		/* its first GSI */
	isa_override(a, 0, 2, 0);	/* the timer is on pin 2 */
	isa_override(a, PM_SCI, PM_SCI, 0xd);	/* level, active high */
	aml_byte(a, 4);			/* NMI on LINT1 of all processors */
	aml_byte(a, 6);
	aml_byte(a, 0xff);
	aml_word(a, 0);
	aml_byte(a, 1);
	return table_end(t, start);
}

static void rsdp_build(u8 *rsdp, u64 xsdt)
{
	static const u32 length = RSDP_BYTES;

	memset(rsdp, 0, RSDP_BYTES);
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "ANYKVM", 6);
	rsdp[15] = 2;
	memcpy(rsdp + 20, &length, 4);
	memcpy(rsdp + 24, &xsdt, 8);
	rsdp[8] = checksum(rsdp, 20);	/* of ACPI 1.0's part */
	rsdp[32] = checksum(rsdp, RSDP_BYTES);
}

int acpi_build(u8 *bytes, u32 size, u64 address, const struct acpi_options *o)
{
	struct tables t = { { bytes, size, 0, false }, address };
	u64 dsdt, facs, fadt, madt, xsdt;
	u32 start;

	aml_bytes(&t.a, (u8[RSDP_BYTES]){ 0 }, RSDP_BYTES);
	dsdt = dsdt_build(&t, o);
	facs = facs_build(&t);
	fadt = fadt_build(&t, facs, dsdt);
	madt = madt_build(&t, o->cpus);
	start = table_begin(&t, "XSDT", 1, 16);
	aml_qword(&t.a, fadt);
	aml_qword(&t.a, madt);
	xsdt = table_end(&t, start);
	if (t.a.full)
		return -ENOSPC;
	rsdp_build(bytes, xsdt);
	return (int)t.a.used;
}
