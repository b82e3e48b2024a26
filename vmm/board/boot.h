/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot.h - loading a kernel and the state its first instruction sees
 */
#ifndef VMM_BOARD_BOOT_H
#define VMM_BOARD_BOOT_H

#include "base/types.h"
#include "vmm/machine/memory.h"

struct kvm_regs;
struct kvm_sregs;

struct boot_options {
	const char *kernel;	/* path of a bzImage, or of an ELF file with a PVH entry */
	const char *initrd;	/* path, or NULL */
	const char *append;	/* command line */
	unsigned cpus;
	bool	serial;		/* tell the kernel of COM1 */
};

enum boot_kind { BOOT_BZIMAGE, BOOT_ELF };

/* Files stay open, so that a reset loads what the start loaded. */
struct boot {
	struct boot_options options;
	enum boot_kind kind;
	int	kernel, initrd;		/* fds; initrd -1: none */
	u64	kernel_bytes, initrd_bytes;
};

/* How the first vCPU starts. */
struct boot_entry {
	bool	long_mode;	/* 64-bit, paging on; else 32-bit, paging off */
	u64	rip;
	u64	rsi;		/* bzImage: boot_params */
	u64	rbx;		/* PVH: hvm_start_info */
};

/* An entry of the memory map, as the BIOS would report it. */
enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };
struct boot_range { u64 start, bytes; u32 type; };
#define BOOT_RANGES_MAX 8

/* All return 0 or, having said in one line why and what to do, -errno. */
int  boot_open(struct boot *b, const struct boot_options *o);
void boot_close(struct boot *b);
/* Put kernel, initrd, command line, ACPI and boot information into empty memory. */
int  boot_load(struct boot *b, const struct memory *mem, struct boot_entry *entry);

/* Registers for `entry`; *sregs is what the vCPU has after creation. */
void boot_registers(const struct boot_entry *entry, struct kvm_regs *regs, struct kvm_sregs *sregs);

/* Between the files of this folder. */
unsigned boot_memory_map(const struct memory *mem, struct boot_range map[BOOT_RANGES_MAX]);
/* All of it, or -errno; -EIO if the file ends early. */
int  boot_read_file(int fd, u64 offset, void *to, u64 bytes);
/* Load the initrd as high as possible in [above, limit); *at is where, 0 if there is none. */
int  boot_load_initrd(struct boot *b, const struct memory *mem, u64 above, u64 limit, u64 *at);
int  boot_load_command_line(struct boot *b, const struct memory *mem, u64 max_bytes);
int  boot_short_of_memory(const struct boot *b, const struct memory *mem, u64 needed);
int  bzimage_check(struct boot *b);
int  bzimage_load(struct boot *b, const struct memory *mem, struct boot_entry *entry);
int  elf_check(struct boot *b);
int  elf_load(struct boot *b, const struct memory *mem, struct boot_entry *entry);

#endif
