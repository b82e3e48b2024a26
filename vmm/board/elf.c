// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * elf.c - loading an ELF kernel by its PVH entry
 *
 * The file's segments go to their physical addresses, and the address in a note of Xen's says
 * where to enter: in 32-bit protected mode without paging, with RBX pointing to hvm_start_info.
 *
 * Reference: System V ABI, "Program Header", "Note Section"; Xen's "x86/HVM direct boot ABI".
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "vmm/board/boot.h"
#include "vmm/board/layout.h"
#include "vmm/machine/report.h"

#define NOTE_PHYS32_ENTRY	18
#define SEGMENTS_MAX		64
#define START_MAGIC		0x336ec578u

struct image {
	Elf64_Ehdr header;
	Elf64_Phdr segment[SEGMENTS_MAX];
	u64	entry;			/* physical; 0: there is no such note */
	u64	end;			/* of all segments in memory */
};

/* hvm_start_info, version 1, and what it points to. */
struct start_info {
	u32	magic, version, flags, modules;
	u64	modlist, cmdline, rsdp, memmap;
	u32	memmap_entries, reserved;
};
struct start_module { u64 address, bytes, cmdline, reserved; };
struct start_range { u64 start, bytes; u32 type, reserved; };

/* The entry point in a PT_NOTE's bytes, or 0. */
static u64 note_entry(const u8 *bytes, u64 n)
{
	u64 at = 0;

	while (range_is_within(at, sizeof(Elf64_Nhdr), n)) {
		Elf64_Nhdr note;
		u64 name, content;
		u32 entry;

		memcpy(&note, bytes + at, sizeof(note));
		name = at + sizeof(note);
		content = name + (((u64)note.n_namesz + 3) & ~3ull);
		if (!range_is_within(content, note.n_descsz, n))
			break;
		if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
		    !memcmp(bytes + name, "Xen", 4) && note.n_descsz >= sizeof(entry)) {
			memcpy(&entry, bytes + content, sizeof(entry));
			return entry;
		}
		at = content + (((u64)note.n_descsz + 3) & ~3ull);
	}
	return 0;
}

static int notes_read(const struct boot *b, struct image *e, const Elf64_Phdr *p)
{
	u8 bytes[4096];
	u64 n = MIN_OF(p->p_filesz, (u64)sizeof(bytes)); /* kernels keep this note in front */
	int error = boot_read_file(b->kernel, p->p_offset, bytes, n);

	if (!error && !e->entry)
		e->entry = note_entry(bytes, n);
	return error;
}

static int truncated(const struct boot *b)
{
	return report_error(-ENOEXEC,
			    "the kernel %s is truncated: a part of it lies beyond the end of the "
			    "file; copy it again",
			    b->options.kernel);
}

static int headers_check(const struct boot *b, const Elf64_Ehdr *h)
{
	const char *path = b->options.kernel;

	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
	    h->e_machine != EM_X86_64)
		return report_error(
			-ENOEXEC, "the ELF file %s is not for amd64; use a kernel for amd64", path);
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return report_error(-ENOEXEC,
				    "the ELF file %s is no executable; give --kernel a vmlinux",
				    path);
	if (h->e_phentsize != sizeof(Elf64_Phdr) || !h->e_phnum || h->e_phnum > SEGMENTS_MAX)
		return report_error(
			-ENOEXEC,
			"the ELF file %s has no usable program headers; give --kernel a vmlinux",
			path);
	return 0;
}

/* Every segment within the file and above 1 MiB, none wrapping. */
static int segment_check(const struct boot *b, struct image *e, const Elf64_Phdr *p)
{
	u64 end;

	if (!range_is_within(p->p_offset, p->p_filesz, b->kernel_bytes))
		return truncated(b);
	if (p->p_type == PT_NOTE)
		return notes_read(b, e, p);
	if (p->p_type != PT_LOAD)
		return 0;
	if (p->p_filesz > p->p_memsz || p->p_paddr < LAYOUT_HIGH ||
	    !checked_add(p->p_paddr, p->p_memsz, &end))
		return report_error(-ENOEXEC,
				    "the ELF file %s wants to be loaded at %#llx, where no kernel "
				    "can be; give --kernel a vmlinux",
				    b->options.kernel, (unsigned long long)p->p_paddr);
	e->end = MAX_OF(e->end, end);
	return 0;
}

static int image_read(const struct boot *b, struct image *e)
{
	int error;

	memset(e, 0, sizeof(*e));
	if (b->kernel_bytes < sizeof(e->header))
		return truncated(b);
	error = boot_read_file(b->kernel, 0, &e->header, sizeof(e->header));
	if (!error)
		error = headers_check(b, &e->header);
	if (error)
		return error;
	if (!range_is_within(e->header.e_phoff, e->header.e_phnum * sizeof(Elf64_Phdr),
			     b->kernel_bytes))
		return truncated(b);
	error = boot_read_file(b->kernel, e->header.e_phoff, e->segment,
			       e->header.e_phnum * sizeof(Elf64_Phdr));
	for (unsigned i = 0; i < e->header.e_phnum && !error; i++)
		error = segment_check(b, e, &e->segment[i]);
	if (!error && !e->end)
		error = report_error(-ENOEXEC,
				     "the ELF file %s has nothing to load; give --kernel a vmlinux",
				     b->options.kernel);
	if (!error && !e->entry)
		error = report_error(-ENOEXEC,
				     "the ELF file %s has no PVH entry; use a bzImage, or a kernel "
				     "built with CONFIG_PVH",
				     b->options.kernel);
	return error;
}

int elf_check(struct boot *b)
{
	struct image e;

	return image_read(b, &e);
}

static int segments_load(const struct boot *b, const struct image *e, const struct memory *mem)
{
	for (unsigned i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *p = &e->segment[i];
		void *to;
		int error;

		if (p->p_type != PT_LOAD)
			continue;
		to = memory_at(mem, p->p_paddr, p->p_memsz);
		if (!to)
			return boot_short_of_memory(b, mem, e->end + b->initrd_bytes);
		memset(to, 0, p->p_memsz);
		error = boot_read_file(b->kernel, p->p_offset, to, p->p_filesz);
		if (error)
			return report_error(error, "cannot read the kernel %s: %s",
					    b->options.kernel, strerror(-error));
	}
	return 0;
}

static int start_info_build(const struct boot *b, const struct memory *mem, u64 initrd)
{
	struct {
		struct start_info info;
		struct start_module module;
		struct start_range range[BOOT_RANGES_MAX];
	} s = { { 0 }, { 0 }, { { 0 } } };
	struct boot_range map[BOOT_RANGES_MAX];
	unsigned ranges = boot_memory_map(mem, map);

	s.info = (struct start_info){
		.magic = START_MAGIC,
		.version = 1,
		.modules = initrd != 0,
		.modlist = initrd ? LAYOUT_ZERO_PAGE + sizeof(s.info) : 0,
		.cmdline = LAYOUT_COMMAND_LINE,
		.rsdp = LAYOUT_ACPI,
		.memmap = LAYOUT_ZERO_PAGE + sizeof(s.info) + sizeof(s.module),
		.memmap_entries = ranges,
	};
	s.module = (struct start_module){ .address = initrd, .bytes = b->initrd_bytes };
	for (unsigned i = 0; i < ranges; i++)
		s.range[i] = (struct start_range){ map[i].start, map[i].bytes, map[i].type, 0 };
	return memory_write(mem, LAYOUT_ZERO_PAGE, &s, sizeof(s));
}

/* The ABI wants flat 32-bit segments; a kernel that reloads them finds them here. */
static int gdt_build(const struct memory *mem)
{
	static const u64 gdt[] = {
		0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067,
	};

	return memory_write(mem, LAYOUT_GDT, gdt, sizeof(gdt));
}

int elf_load(struct boot *b, const struct memory *mem, struct boot_entry *entry)
{
	struct image e;
	u64 initrd;
	int error = image_read(b, &e);

	if (!error && e.end > memory_low_end(mem))
		error = boot_short_of_memory(b, mem, e.end + b->initrd_bytes);
	if (!error)
		error = segments_load(b, &e, mem);
	if (!error)
		error = boot_load_initrd(b, mem, (e.end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1),
					 MEMORY_HOLE, &initrd);
	if (!error)
		error = boot_load_command_line(b, mem, LAYOUT_COMMAND_LINE_BYTES - 1);
	if (!error)
		error = gdt_build(mem);
	if (!error)
		error = start_info_build(b, mem, initrd);
	*entry = (struct boot_entry){ .rip = e.entry, .rbx = LAYOUT_ZERO_PAGE };
	return error;
}
