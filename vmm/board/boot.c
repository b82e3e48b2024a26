// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * boot.c - loading a kernel and the state its first instruction sees
 *
 * There is no firmware: what it would have done is done here, before the first instruction.
 * bzimage.c and elf.c know the two kinds of kernel; this file has what they share.
 *
 * Kernel and initrd are untrusted files: headers are copied out once and checked, and
 * nothing is placed but through memory.h.
 *
 * Reference: The Linux/x86 Boot Protocol; Xen's "x86/HVM direct boot ABI" (PVH).
 */
#include "vmm/board/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/board/acpi.h"
#include "vmm/board/layout.h"
#include "vmm/machine/report.h"

#define MIB	(1ull << 20)

/* --- files ----------------------------------------------------------------------- */

static int file_open(const char *what, const char *path, int *fd, u64 *bytes)
{
	struct stat st;
	int error;

	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0) {
		error = -errno;
		return report_error(error, "cannot open the %s %s: %s", what, path,
				    strerror(-error));
	}
	if (fstat(*fd, &st) || !S_ISREG(st.st_mode)) {
		close(*fd);
		*fd = -1;
		return report_error(-EINVAL, "the %s %s is not a regular file", what, path);
	}
	*bytes = (u64)st.st_size;
	return 0;
}

int boot_read_file(int fd, u64 offset, void *to, u64 bytes)
{
	u8 *at = to;

	while (bytes) {
		ssize_t n = pread(fd, at, MIN_OF(bytes, 1ull << 30), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		offset += (u64)n;
		bytes -= (u64)n;
	}
	return 0;
}

/* Tell the kind by its magic numbers, and name what people try instead. */
static int kind_find(struct boot *b)
{
	const char *path = b->options.kernel;
	u8 head[0x206] = { 0 };
	int error = boot_read_file(b->kernel, 0, head, MIN_OF(b->kernel_bytes, (u64)sizeof(head)));

	if (error)
		return report_error(error, "cannot read the kernel %s: %s", path, strerror(-error));
	if (!memcmp(head, "\177ELF", 4)) {
		b->kind = BOOT_ELF;
		return elf_check(b);
	}
	if (head[0x1fe] == 0x55 && head[0x1ff] == 0xaa && !memcmp(head + 0x202, "HdrS", 4)) {
		b->kind = BOOT_BZIMAGE;
		return bzimage_check(b);
	}
	if (b->kernel_bytes < sizeof(head))
		return report_error(-ENOEXEC,
				    "the kernel %s is only %llu bytes long: it is empty or "
				    "truncated; copy it again",
				    path, (unsigned long long)b->kernel_bytes);
	if (head[0] == 0x1f && head[1] == 0x8b)
		return report_error(-ENOEXEC,
				    "the kernel %s is gzip-compressed data, not a bzImage or "
				    "vmlinux; gunzip it first",
				    path);
	return report_error(-ENOEXEC,
			    "%s is not a kernel: neither a Linux bzImage nor an ELF file; give "
			    "--kernel a vmlinuz",
			    path);
}

int boot_open(struct boot *b, const struct boot_options *o)
{
	int error;

	memset(b, 0, sizeof(*b));
	b->options = *o;
	b->kernel = b->initrd = -1;
	error = file_open("kernel", o->kernel, &b->kernel, &b->kernel_bytes);
	if (!error)
		error = kind_find(b);
	if (!error && o->initrd)
		error = file_open("initrd", o->initrd, &b->initrd, &b->initrd_bytes);
	if (!error && o->initrd && !b->initrd_bytes)
		error = report_error(-EINVAL, "the initrd %s is empty; make it again", o->initrd);
	if (error)
		boot_close(b);
	return error;
}

void boot_close(struct boot *b)
{
	if (b->kernel >= 0)
		close(b->kernel);
	if (b->initrd >= 0)
		close(b->initrd);
	b->kernel = b->initrd = -1;
}

/* --- what both kinds of kernel get ------------------------------------------------- */

unsigned boot_memory_map(const struct memory *mem, struct boot_range map[BOOT_RANGES_MAX])
{
	unsigned n = 0;

	map[n++] = (struct boot_range){ 0, LAYOUT_LOW_END, E820_RAM };
	map[n++] = (struct boot_range){ LAYOUT_ACPI, LAYOUT_ACPI_BYTES, E820_RESERVED };
	map[n++] = (struct boot_range){ LAYOUT_HIGH, memory_low_end(mem) - LAYOUT_HIGH, E820_RAM };
	/* KVM's own pages on processors that cannot run real mode. */
	map[n++] = (struct boot_range){ LAYOUT_IDENTITY_MAP, 4 * PAGE_BYTES, E820_RESERVED };
	if (mem->regions > 1)
		map[n++] = (struct boot_range){ MEMORY_HIGH, mem->region[1].bytes, E820_RAM };
	return n;
}

int boot_short_of_memory(const struct boot *b, const struct memory *mem, u64 needed)
{
	/* Loading is not all: a kernel with less than this to spare does not get far. */
	u64 advised = (needed + 32 * MIB + 15 * MIB) / (16 * MIB) * 16;

	return report_error(
		-ENOMEM, "%llu MiB of memory are too little for %s%s%s; use --memory %lluM or more",
		(unsigned long long)(mem->bytes / MIB), b->options.kernel,
		b->options.initrd ? " and " : "", b->options.initrd ? b->options.initrd : "",
		(unsigned long long)advised);
}

int boot_load_initrd(struct boot *b, const struct memory *mem, u64 above, u64 limit, u64 *at)
{
	u64 pages = (b->initrd_bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1),
	    end = MIN_OF(limit, memory_low_end(mem));
	void *to;
	int error;

	*at = 0;
	if (b->initrd < 0)
		return 0;
	end &= ~(PAGE_BYTES - 1);
	if (pages < b->initrd_bytes || above > end || end - above < pages)
		return boot_short_of_memory(b, mem, above + pages);
	*at = end - pages;
	to = memory_at(mem, *at, b->initrd_bytes);
	error = to ? boot_read_file(b->initrd, 0, to, b->initrd_bytes) : -EFAULT;
	if (error)
		return report_error(error, "cannot read the initrd %s: %s", b->options.initrd,
				    strerror(-error));
	return 0;
}

int boot_load_command_line(struct boot *b, const struct memory *mem, u64 max_bytes)
{
	u64 bytes = strlen(b->options.append) + 1;

	max_bytes = MIN_OF(max_bytes + 1, (u64)LAYOUT_COMMAND_LINE_BYTES);
	if (bytes > max_bytes)
		return report_error(-E2BIG,
				    "the kernel's command line is %llu bytes long; this kernel "
				    "takes %llu: shorten --append",
				    (unsigned long long)bytes - 1,
				    (unsigned long long)max_bytes - 1);
	return memory_write(mem, LAYOUT_COMMAND_LINE, b->options.append, bytes);
}

static int acpi_load(const struct boot *b, const struct memory *mem)
{
	struct acpi_options o = { .cpus = b->options.cpus, .serial = b->options.serial };
	u8 *bytes = memory_at(mem, LAYOUT_ACPI, LAYOUT_ACPI_BYTES);
	int used = bytes ? acpi_build(bytes, LAYOUT_ACPI_BYTES, LAYOUT_ACPI, &o) : -EFAULT;

	return used < 0 ? report_error(used, "the ACPI tables do not fit") : 0;
}

int boot_load(struct boot *b, const struct memory *mem, struct boot_entry *entry)
{
	int error = acpi_load(b, mem);

	memset(entry, 0, sizeof(*entry));
	if (error)
		return error;
	return b->kind == BOOT_ELF ? elf_load(b, mem, entry) : bzimage_load(b, mem, entry);
}

/* --- registers ------------------------------------------------------------------------ */

enum {
	CR0_PE = 1, CR0_MP = 2, CR0_ET = 0x10, CR0_NE = 0x20, CR0_PG = (int)0x80000000, CR4_PAE = 0x20,
	EFER_LME = 0x100, EFER_LMA = 0x400,
	CODE_SELECTOR = 0x10, DATA_SELECTOR = 0x18, TSS_SELECTOR = 0x20,
	TYPE_DATA = 3, TYPE_CODE = 11, TYPE_TSS = 11,
};

static struct kvm_segment flat(u16 selector, u8 type, bool long_mode)
{
	bool code64 = long_mode && type == TYPE_CODE;

	return (struct kvm_segment){.limit = ~0u,
				    .selector = selector,
				    .type = type,
				    .present = 1,
				    .s = 1,
				    .db = !code64,
				    .l = code64,
				    .g = 1};
}

void boot_registers(const struct boot_entry *entry, struct kvm_regs *regs, struct kvm_sregs *s)
{
	memset(regs, 0, sizeof(*regs));
	regs->rip = entry->rip;
	regs->rsi = entry->rsi;
	regs->rbx = entry->rbx;
	regs->rsp = LAYOUT_STACK;
	regs->rflags = 2;

	s->cs = flat(CODE_SELECTOR, TYPE_CODE, entry->long_mode);
	s->ds = s->es = s->fs = s->gs = s->ss = flat(DATA_SELECTOR, TYPE_DATA, entry->long_mode);
	s->tr = (struct kvm_segment){ .limit = 0x67, .selector = TSS_SELECTOR, .type = TYPE_TSS, .present = 1 };
	s->ldt = (struct kvm_segment){ .unusable = 1, .type = 2 };
	s->gdt = (struct kvm_dtable){ .base = LAYOUT_GDT, .limit = 5 * 8 - 1 };
	s->idt = (struct kvm_dtable){ .base = 0, .limit = 0 };
	s->cr0 = CR0_PE | CR0_ET | CR0_NE;
	s->cr4 = 0;
	s->efer = 0;
	if (entry->long_mode) {
		s->cr0 |= (u32)CR0_PG;
		s->cr4 = CR4_PAE;
		s->cr3 = LAYOUT_PAGE_TABLES;
		s->efer = EFER_LME | EFER_LMA;
	}
}
