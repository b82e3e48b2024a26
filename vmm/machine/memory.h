/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory.h - the guest's RAM
 *
 * One memfd holds all of it.  What fits below MEMORY_HOLE appears at guest physical 0,
 * the rest from 4 GiB up; the hole between belongs to PCI and the interrupt controllers.
 * Guest addresses are untrusted: nothing here reaches beyond RAM, so a device that is
 * given a device's address gets -EFAULT and does no harm.
 */
#ifndef VMM_MACHINE_MEMORY_H
#define VMM_MACHINE_MEMORY_H

#include "base/types.h"

#define MEMORY_HOLE		0xc0000000ull	/* 3 GiB: RAM ends here at the latest ... */
#define MEMORY_HIGH		0x100000000ull	/* ... and goes on here */
#define MEMORY_MIN_BYTES	(16ull << 20)
#define MEMORY_MAX_BYTES	(1ull << 40)

struct memory_region {
	gpa_t	start;
	u64	bytes;
	u8	*host;		/* where this process has it */
	u64	offset;		/* where the memfd has it */
};

struct memory {
	int	fd;		/* the memfd; sealed against growing and shrinking */
	u64	bytes;
	u8	*host;		/* all of it, between two guard pages */
	u32	regions;	/* 1 or 2 */
	struct memory_region region[2];
};

/* 0 or -errno; `bytes` is a multiple of 2 MiB between the two limits above. */
int memory_create(struct memory *mem, u64 bytes);
void memory_destroy(struct memory *mem);

/* All of RAM reads as zero again, and its pages are given back.  No vCPU may be running. */
int memory_clear(struct memory *mem);

/*
 * The host address of [gpa, gpa + bytes), or NULL unless all of it is RAM of one region.
 * The guest may change the contents at any time: read each thing once.
 */
void *memory_at(const struct memory *mem, gpa_t gpa, u64 bytes);

/* Copy out of or into guest RAM; -EFAULT, with nothing copied, unless all of it is RAM. */
int memory_read(const struct memory *mem, gpa_t gpa, void *to, u64 bytes);
int memory_write(const struct memory *mem, gpa_t gpa, const void *from, u64 bytes);
int memory_fill(const struct memory *mem, gpa_t gpa, u8 value, u64 bytes);

/* The end of RAM below the hole, and of all RAM. */
gpa_t memory_low_end(const struct memory *mem);
gpa_t memory_end(const struct memory *mem);

#endif
