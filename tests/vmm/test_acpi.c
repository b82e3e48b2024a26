// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_acpi.c - the ACPI tables: structure, and what iasl says of them
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/test.h"
#include "vmm/board/acpi.h"
#include "vmm/board/aml.h"
#include "vmm/board/layout.h"

static u8 bytes[LAYOUT_ACPI_BYTES];
static const u64 address = LAYOUT_ACPI;

static u8 sum(const u8 *p, u32 n)
{
	u8 total = 0;

	while (n--)
		total = (u8)(total + *p++);
	return total;
}

static u64 get(u64 at, unsigned size)
{
	u64 v = 0;

	memcpy(&v, bytes + (at - address), size);
	return v;
}

/* The address of the table with this signature, or 0. */
static u64 find(const char *signature)
{
	u64 xsdt = get(address + 24, 8), entries = (get(xsdt + 4, 4) - 36) / 8;

	if (!strcmp(signature, "XSDT"))
		return xsdt;
	for (u64 i = 0; i < entries; i++) {
		u64 table = get(xsdt + 36 + 8 * i, 8);

		if (!memcmp(bytes + (table - address), signature, 4))
			return table;
	}
	return 0;
}

static int build(unsigned cpus)
{
	struct acpi_options o = { .cpus = cpus, .serial = true };

	memset(bytes, 0xcc, sizeof(bytes));
	return acpi_build(bytes, sizeof(bytes), address, &o);
}

static void tables_are_linked_and_sum_to_zero(void)
{
	static const char *const name[] = { "XSDT", "FACP", "APIC" };
	int used = build(4);

	EXPECT(used > 0);
	EXPECT(!memcmp(bytes, "RSD PTR ", 8));
	EXPECT_EQ(sum(bytes, 20), 0);
	EXPECT_EQ(sum(bytes, 36), 0);
	for (unsigned i = 0; i < ARRAY_LEN(name); i++) {
		u64 table = find(name[i]);

		EXPECT(table && !(table % 16));
		if (!table)
			return;
		EXPECT(table + get(table + 4, 4) <= address + (u64)used);
		EXPECT_EQ(sum(bytes + (table - address), (u32)get(table + 4, 4)), 0);
	}
}

static void fadt_points_to_dsdt_and_facs(void)
{
	u64 fadt, dsdt, facs;

	build(1);
	fadt = find("FACP");
	EXPECT_EQ(get(fadt + 4, 4), 268);
	EXPECT_EQ(get(fadt + 8, 1), 5);
	facs = get(fadt + 36, 4);
	dsdt = get(fadt + 40, 4);
	EXPECT_EQ(dsdt, get(fadt + 140, 8));
	EXPECT(!memcmp(bytes + (dsdt - address), "DSDT", 4));
	EXPECT_EQ(sum(bytes + (dsdt - address), (u32)get(dsdt + 4, 4)), 0);
	EXPECT(!memcmp(bytes + (facs - address), "FACS", 4));
	EXPECT_EQ(facs % 64, 0);
	EXPECT_EQ(get(fadt + 46, 2), 9);		/* SCI */
	EXPECT_EQ(get(fadt + 56, 4), 0x600);
	EXPECT_EQ(get(fadt + 64, 4), 0x604);
	EXPECT_EQ(get(fadt + 76, 4), 0x608);
	EXPECT_EQ(get(fadt + 112, 4) >> 10 & 1, 1);	/* has a reset register: */
	EXPECT_EQ(get(fadt + 120, 8), 0xcf9);
	EXPECT_EQ(get(fadt + 128, 1), 6);
}

static void madt_lists_every_processor(void)
{
	u64 at, end;
	unsigned lapics = 0, ioapics = 0, overrides = 0;

	build(64);
	at = find("APIC");
	end = at + get(at + 4, 4);
	for (at += 44; at < end && get(at + 1, 1); at += get(at + 1, 1))
		switch (get(at, 1)) {
		case 0:
			EXPECT_EQ(get(at + 3, 1), lapics);
			EXPECT_EQ(get(at + 4, 4), 1);
			lapics++;
			break;
		case 1:
			ioapics++;
			EXPECT_EQ(get(at + 4, 4), LAYOUT_IOAPIC);
			break;
		case 2:
			overrides++;
			break;
		}
	EXPECT_EQ(at, end);
	EXPECT_EQ(lapics, 64);
	EXPECT_EQ(ioapics, 1);
	EXPECT_EQ(overrides, 2);
}

static void too_little_room_is_an_error(void)
{
	struct acpi_options o = { .cpus = 2, .serial = true };
	int used = build(2);

	EXPECT_EQ(acpi_build(bytes, (u32)used, address, &o), used);
	for (u32 size = 0; size < (u32)used; size += 61)
		EXPECT_EQ(acpi_build(bytes, size, address, &o), -ENOSPC);
}

/* --- iasl ------------------------------------------------------------------------------- */

static char folder[] = "/tmp/anykvm-acpi-XXXXXX";

static void dump(const char *name, u64 table)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.dat", folder, name);
	f = fopen(path, "w");
	EXPECT(f && fwrite(bytes + (table - address), get(table + 4, 4), 1, f) == 1);
	if (f)
		fclose(f);
}

/* Disassemble, then compile what came out: no error, no warning. */
static bool iasl_accepts(const char *name)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "cd %s && iasl -d %s.dat >d.log 2>&1 && ! grep -qiE "
		 "'error|warning|invalid|incorrect' d.log && "
		 "iasl -p again %s.dsl >c.log 2>&1 && grep -q '0 Errors, 0 Warnings' c.log || { "
		 "cat d.log c.log; false; } >&2",
		 folder, name, name);
	return system(command) == 0;
}

static void iasl_takes_every_table(void)
{
	char command[64];
	u64 fadt;

	if (system("command -v iasl >/dev/null")) {
		TEST_SKIP("iasl_takes_every_table", "install acpica-tools");
		return;
	}
	build(3);
	EXPECT(mkdtemp(folder) != NULL);
	fadt = find("FACP");
	dump("dsdt", get(fadt + 40, 4));
	dump("fadt", fadt);
	dump("madt", find("APIC"));
	dump("xsdt", find("XSDT"));
	dump("facs", get(fadt + 36, 4));
	EXPECT(iasl_accepts("dsdt"));
	EXPECT(iasl_accepts("fadt"));
	EXPECT(iasl_accepts("madt"));
	EXPECT(iasl_accepts("xsdt"));
	EXPECT(iasl_accepts("facs"));
	snprintf(command, sizeof(command), "rm -r %s", folder);
	EXPECT_EQ(system(command), 0);
}

static void integers_take_their_shortest_form(void)
{
	u8 out[64];
	struct aml a = { out, sizeof(out), 0, false };
	static const u8 expected[] = { 0, 1, 0x0a, 2, 0x0b, 0, 1, 0x0c, 0, 0, 1, 0,
				       0x0e, 0, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0x41, 0xd0, 0x0a, 0x03 };

	aml_integer(&a, 0);
	aml_integer(&a, 1);
	aml_integer(&a, 2);
	aml_integer(&a, 0x100);
	aml_integer(&a, 0x10000);
	aml_integer(&a, 0x100000000);
	aml_eisa_id(&a, "PNP0A03");
	EXPECT_EQ(a.used, sizeof(expected));
	EXPECT(!memcmp(out, expected, sizeof(expected)));
}

int main(void)
{
	TEST(tables_are_linked_and_sum_to_zero);
	TEST(fadt_points_to_dsdt_and_facs);
	TEST(madt_lists_every_processor);
	TEST(too_little_room_is_an_error);
	TEST(iasl_takes_every_table);
	TEST(integers_take_their_shortest_form);
	return test_status();
}
