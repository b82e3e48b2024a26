// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bzimage.c - loading a Linux bzImage by its 64-bit boot protocol
 *
 * The file is a real-mode part of setup_sects + 1 sectors, which we skip, and the
 * protected-mode part, a decompressor that is entered 0x200 bytes in, in long mode, with the first
 * 4 GiB mapped one to one and RSI pointing to boot_params (the "zero page").
 *
 * Reference: The Linux/x86 Boot Protocol, "Details of Header Fields", "64-bit Boot Protocol".
 */
#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "vmm/board/boot.h"
#include "vmm/board/layout.h"
#include "vmm/machine/report.h"

/* Offsets in the file's first sectors and, from SETUP_HEADER on, in boot_params alike. */
enum {
	ACPI_RSDP_ADDRESS = 0x070, E820_ENTRIES = 0x1e8, SETUP_HEADER = 0x1f1, SETUP_SECTS = 0x1f1,
	SYSSIZE = 0x1f4, HEADER_JUMP = 0x201, VERSION = 0x206, TYPE_OF_LOADER = 0x210, LOADFLAGS = 0x211,
	RAMDISK_IMAGE = 0x218, RAMDISK_SIZE = 0x21c, CMD_LINE_PTR = 0x228, INITRD_ADDR_MAX = 0x22c,
	KERNEL_ALIGNMENT = 0x230, RELOCATABLE = 0x234, XLOADFLAGS = 0x236, CMDLINE_SIZE = 0x238,
	PREF_ADDRESS = 0x258, INIT_SIZE = 0x260, HEADER_MAX = 0x290, E820_TABLE = 0x2d0, E820_BYTES = 20,

	VERSION_2_12 = 0x20c, LOADED_HIGH = 1, CAN_USE_HEAP = 0x80, XLF_KERNEL_64 = 1,
	LOADER_UNDEFINED = 0xff, SECTOR = 512, ENTRY_64 = 0x200,
};

struct header {
	u8	bytes[HEADER_MAX];	/* the file's first bytes, copied once */
	u64	real_mode_bytes;	/* where the protected-mode part starts in the file ... */
	u64	code_bytes;		/* ... and how long it is */
};

static u64 field(const struct header *h, unsigned offset, unsigned size)
{
	u64 value = 0;

	memcpy(&value, h->bytes + offset, size);
	return value;
}

static int header_read(const struct boot *b, struct header *h)
{
	const char *path = b->options.kernel;
	u64 sectors, end;
	int error;

	memset(h, 0, sizeof(*h));
	error = boot_read_file(b->kernel, 0, h->bytes,
			       MIN_OF(b->kernel_bytes, (u64)sizeof(h->bytes)));
	if (error)
		return report_error(error, "cannot read the kernel %s: %s", path, strerror(-error));
	sectors = field(h, SETUP_SECTS, 1);
	h->real_mode_bytes = ((sectors ? sectors : 4) + 1) * SECTOR;
	h->code_bytes = field(h, SYSSIZE, 4) * 16;
	if (!checked_add(h->real_mode_bytes, h->code_bytes, &end) || end > b->kernel_bytes)
		return report_error(-ENOEXEC,
				    "the kernel %s is truncated: its header says %llu bytes, the "
				    "file has %llu; copy it again",
				    path, (unsigned long long)end,
				    (unsigned long long)b->kernel_bytes);
	return 0;
}

int bzimage_check(struct boot *b)
{
	const char *path = b->options.kernel;
	struct header h;
	int error = header_read(b, &h);

	if (error)
		return error;
	if (field(&h, VERSION, 2) < VERSION_2_12)
		return report_error(-ENOEXEC,
				    "the kernel %s speaks boot protocol %u.%02u; 2.12 (Linux 3.8) "
				    "or later is needed",
				    path, (unsigned)field(&h, VERSION + 1, 1),
				    (unsigned)field(&h, VERSION, 1));
	if (!(field(&h, LOADFLAGS, 1) & LOADED_HIGH))
		return report_error(
			-ENOEXEC,
			"the kernel %s is a zImage, which loads below 1 MiB; use a bzImage", path);
	if (!(field(&h, XLOADFLAGS, 2) & XLF_KERNEL_64))
		return report_error(
			-ENOEXEC, "the kernel %s has no 64-bit entry point; use a kernel for amd64",
			path);
	if (h.code_bytes <= ENTRY_64)
		return report_error(-ENOEXEC, "the kernel %s has no code in it; copy it again",
				    path);
	return 0;
}

/* Where the kernel wants to be, and where it is decompressed to if that is where it is. */
static u64 load_address(const struct header *h)
{
	u64 address = field(h, PREF_ADDRESS, 8);
	u64 align = field(h, KERNEL_ALIGNMENT, 4);

	if (address < LAYOUT_HIGH)
		address = LAYOUT_HIGH;
	if (field(h, RELOCATABLE, 1) && align && !(align & (align - 1)))
		address = (address + align - 1) & ~(align - 1);
	return address;
}

static int code_load(const struct boot *b, const struct header *h, const struct memory *mem,
		     u64 address)
{
	void *to = memory_at(mem, address, h->code_bytes);
	int error = to ? boot_read_file(b->kernel, h->real_mode_bytes, to, h->code_bytes) : -EFAULT;

	return error ? report_error(error, "cannot read the kernel %s: %s", b->options.kernel,
				    strerror(-error))
		     : 0;
}

/* 4 GiB one to one, by 2 MiB pages. */
static int page_tables_build(const struct memory *mem)
{
	enum { PRESENT_WRITABLE = 3, LARGE = 0x80, DIRECTORIES = 4 };
	u64 *table = memory_at(mem, LAYOUT_PAGE_TABLES, (2 + DIRECTORIES) * PAGE_BYTES);

	if (!table)
		return -EFAULT;
	memset(table, 0, (2 + DIRECTORIES) * PAGE_BYTES);
	table[0] = LAYOUT_PAGE_TABLES + PAGE_BYTES + PRESENT_WRITABLE;
	for (u64 i = 0; i < DIRECTORIES; i++)
		table[512 + i] = LAYOUT_PAGE_TABLES + (2 + i) * PAGE_BYTES + PRESENT_WRITABLE;
	for (u64 i = 0; i < DIRECTORIES * 512; i++)
		table[1024 + i] = (i << 21) | LARGE | PRESENT_WRITABLE;
	return 0;
}

static int gdt_build(const struct memory *mem)
{
	static const u64 gdt[] = {
		0, 0,
		0x00af9b000000ffff,	/* 0x10: 64-bit code */
		0x00cf93000000ffff,	/* 0x18: data */
		0x00008b0000000067,	/* 0x20: a busy TSS */
	};

	return memory_write(mem, LAYOUT_GDT, gdt, sizeof(gdt));
}

static void put(u8 *page, unsigned offset, u64 value, unsigned size)
{
	memcpy(page + offset, &value, size);
}

static int zero_page_build(const struct boot *b, const struct header *h, const struct memory *mem,
			   u64 initrd)
{
	struct boot_range map[BOOT_RANGES_MAX];
	unsigned ranges = boot_memory_map(mem, map);
	u8 page[PAGE_BYTES] = { 0 };
	/* The header ends where the jump at its start leads to. */
	u64 header_end = MIN_OF(HEADER_JUMP + 1 + field(h, HEADER_JUMP, 1), (u64)HEADER_MAX);

	if (header_end > SETUP_HEADER)
		memcpy(page + SETUP_HEADER, h->bytes + SETUP_HEADER, header_end - SETUP_HEADER);
	put(page, TYPE_OF_LOADER, LOADER_UNDEFINED, 1);
	put(page, LOADFLAGS, field(h, LOADFLAGS, 1) & ~(u64)CAN_USE_HEAP, 1);
	put(page, CMD_LINE_PTR, LAYOUT_COMMAND_LINE, 4);
	put(page, RAMDISK_IMAGE, initrd, 4);
	put(page, RAMDISK_SIZE, initrd ? b->initrd_bytes : 0, 4);
	put(page, ACPI_RSDP_ADDRESS, LAYOUT_ACPI, 8);
	put(page, E820_ENTRIES, ranges, 1);
	for (unsigned i = 0; i < ranges; i++) {
		put(page, E820_TABLE + i * E820_BYTES, map[i].start, 8);
		put(page, E820_TABLE + i * E820_BYTES + 8, map[i].bytes, 8);
		put(page, E820_TABLE + i * E820_BYTES + 16, map[i].type, 4);
	}
	return memory_write(mem, LAYOUT_ZERO_PAGE, page, sizeof(page));
}

int bzimage_load(struct boot *b, const struct memory *mem, struct boot_entry *entry)
{
	struct header h;
	u64 address, end, initrd;
	int error = header_read(b, &h);

	if (error)
		return error;
	address = load_address(&h);
	if (!checked_add(address, MAX_OF(field(&h, INIT_SIZE, 4), h.code_bytes), &end))
		return report_error(
			-ENOEXEC,
			"the kernel %s wants to be loaded beyond all memory; copy it again",
			b->options.kernel);
	if (end > memory_low_end(mem))
		return boot_short_of_memory(b, mem, end + b->initrd_bytes);
	error = code_load(b, &h, mem, address);
	if (!error)
		error = boot_load_initrd(b, mem, end, field(&h, INITRD_ADDR_MAX, 4) + 1, &initrd);
	if (!error)
		error = boot_load_command_line(b, mem, field(&h, CMDLINE_SIZE, 4));
	if (!error)
		error = page_tables_build(mem);
	if (!error)
		error = gdt_build(mem);
	if (!error)
		error = zero_page_build(b, &h, mem, initrd);
	*entry = (struct boot_entry){
		.long_mode = true, .rip = address + ENTRY_64, .rsi = LAYOUT_ZERO_PAGE};
	return error;
}
