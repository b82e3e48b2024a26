// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_boot.c - loading kernels: good ones, and files that are not what they claim
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/test.h"
#include "vmm/board/boot.h"
#include "vmm/board/layout.h"

#define MIB (1u << 20)

/* --- files made here ----------------------------------------------------------------- */

static u8 image[256 << 10];	/* the file under construction */
static size_t image_bytes;
static char said[2048];

static void put(size_t offset, u64 value, unsigned size) { memcpy(image + offset, &value, size); }

/* A small bzImage: 1 + 1 sectors of real mode, 64 KiB of code. */
static void make_bzimage(void)
{
	memset(image, 0, sizeof(image));
	put(0x1f1, 1, 1);
	put(0x1f4, 0x10000 / 16, 4);
	put(0x1fe, 0xaa55, 2);
	put(0x200, 0x66eb, 2);			/* jump over the header: it ends at 0x268 */
	memcpy(image + 0x202, "HdrS", 4);
	put(0x206, 0x20f, 2);
	put(0x211, 1, 1);
	put(0x22c, 0x7fffffff, 4);
	put(0x230, 2 * MIB, 4);
	put(0x234, 1, 1);
	put(0x236, 1, 2);
	put(0x238, 2047, 4);
	put(0x258, 16 * MIB, 8);
	put(0x260, 4 * MIB, 4);
	image_bytes = 1024 + 0x10000;
	memset(image + 1024, 0x5a, 0x10000);
}

/* An ELF file with one segment at 1 MiB and a PVH note. */
static void make_elf(void)
{
	Elf64_Ehdr e = { .e_ident = "\177ELF\2\1\1", .e_type = ET_EXEC, .e_machine = EM_X86_64,
			 .e_phoff = 64, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2 };
	Elf64_Phdr p[2] = {
		{.p_type = PT_LOAD,
		 .p_offset = 4096,
		 .p_paddr = 2 * MIB,
		 .p_filesz = 4096,
		 .p_memsz = 8192},
		{.p_type = PT_NOTE, .p_offset = 512, .p_filesz = 48},
	};
	static const u32 notes[] = {4, 4,  1,	     0x554e47,	      7, 4,
				    4, 18, 0x6e6558, 2 * MIB + 0x100, 0, 0};

	memset(image, 0, sizeof(image));
	memcpy(image, &e, sizeof(e));
	memcpy(image + 64, p, sizeof(p));
	memcpy(image + 512, notes, sizeof(notes));
	memset(image + 4096, 0x77, 4096);
	image_bytes = 8192;
}

static void path_of(int fd, char path[32]) { snprintf(path, 32, "/proc/self/fd/%d", fd); }

static int file_of(const void *bytes, size_t n)
{
	int fd = memfd_create("image", 0);

	if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
		abort();
	return fd;
}

/* --- running the code under test, with what it says --------------------------------------- */

static struct memory mem;
static struct boot_entry entry;
static u32 initrd_bytes;
static const char *append = "console=ttyS0";

static int saved_stderr, said_pipe[2];

static void listen_begin(void)
{
	saved_stderr = dup(2);
	if (pipe(said_pipe))
		abort();
	dup2(said_pipe[1], 2);
	close(said_pipe[1]);
}

static void listen_end(void)
{
	ssize_t n;

	dup2(saved_stderr, 2);
	close(saved_stderr);
	n = read(said_pipe[0], said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = 0;
	close(said_pipe[0]);
}

/* Open the image and load it into fresh memory of this size. */
static int load(u64 memory_bytes)
{
	static u8 initrd[1 << 20];
	int kernel = file_of(image, image_bytes), initrd_fd = -1, error;
	char kernel_path[32], initrd_path[32];
	struct boot_options o = {
		.kernel = kernel_path, .append = append, .cpus = 1, .serial = true};
	struct boot b;

	path_of(kernel, kernel_path);
	if (initrd_bytes) {
		memset(initrd, 0x33, sizeof(initrd));
		initrd_fd = file_of(initrd, initrd_bytes);
		path_of(initrd_fd, initrd_path);
		o.initrd = initrd_path;
	}
	memory_destroy(&mem);
	if (memory_create(&mem, memory_bytes))
		abort();
	listen_begin();
	error = boot_open(&b, &o);
	if (!error) {
		error = boot_load(&b, &mem, &entry);
		boot_close(&b);
	}
	listen_end();
	close(kernel);
	if (initrd_fd >= 0)
		close(initrd_fd);
	return error;
}

/* Refused, in one line that has this in it. */
static bool refused(u64 memory_bytes, const char *because)
{
	bool ok = load(memory_bytes) < 0 && strstr(said, because) &&
		  strchr(said, '\n') == said + strlen(said) - 1;

	if (!ok)
		fprintf(stderr, "said: %s\n", said);
	return ok;
}

static u64 get(u64 address, unsigned size)
{
	u64 v = 0;

	EXPECT_EQ(memory_read(&mem, address, &v, size), 0);
	return v;
}

/* --- bzImage ------------------------------------------------------------------------------ */

static void a_bzimage_is_loaded_and_described(void)
{
	make_bzimage();
	initrd_bytes = 5000;
	EXPECT_EQ(load(64 * MIB), 0);
	EXPECT_EQ(said[0], 0);
	EXPECT(entry.long_mode && entry.rip == 16 * MIB + 0x200 && entry.rsi == LAYOUT_ZERO_PAGE);
	EXPECT_EQ(get(16 * MIB, 8), 0x5a5a5a5a5a5a5a5a);
	EXPECT_EQ(get(16 * MIB + 0xfff8, 8), 0x5a5a5a5a5a5a5a5a);
	EXPECT_EQ(get(16 * MIB + 0x10000, 8), 0);
	/* boot_params */
	EXPECT_EQ(get(LAYOUT_ZERO_PAGE + 0x202, 4), 0x53726448);
	EXPECT_EQ(get(LAYOUT_ZERO_PAGE + 0x210, 1), 0xff);
	EXPECT_EQ(get(LAYOUT_ZERO_PAGE + 0x228, 4), LAYOUT_COMMAND_LINE);
	EXPECT_EQ(get(LAYOUT_ZERO_PAGE + 0x70, 8), LAYOUT_ACPI);
	EXPECT_EQ(get(LAYOUT_ACPI, 8), 0x2052545020445352);
	EXPECT_EQ(get(LAYOUT_COMMAND_LINE, 8), 0x3d656c6f736e6f63);
	/* initrd: high, page-aligned, whole */
	EXPECT_EQ(get(LAYOUT_ZERO_PAGE + 0x21c, 4), 5000);
	EXPECT_EQ(get(LAYOUT_ZERO_PAGE + 0x218, 4), 64 * MIB - 8192);
	EXPECT_EQ(get(64 * MIB - 8192 + 4992, 8), 0x3333333333333333);
	EXPECT_EQ(get(64 * MIB - 8192 + 5000, 8), 0);
	initrd_bytes = 0;
}

static void the_memory_map_has_the_hole(void)
{
	u64 ram = 0, last = 0;

	make_bzimage();
	EXPECT_EQ(load(5ull << 30), 0);
	for (u64 i = 0; i < get(LAYOUT_ZERO_PAGE + 0x1e8, 1); i++) {
		u64 at = LAYOUT_ZERO_PAGE + 0x2d0 + 20 * i, start = get(at, 8),
		    bytes = get(at + 8, 8);

		EXPECT(start >= last);
		last = start + bytes;
		if (get(at + 16, 4) == E820_RAM) {
			EXPECT(memory_at(&mem, start, bytes) != NULL);
			ram += bytes;
		}
	}
	EXPECT_EQ(last, 6ull << 30);
	EXPECT_EQ(ram, (5ull << 30) - 0x60000);		/* all but 640 KiB to 1 MiB */
}

static void the_first_4_gib_are_mapped(void)
{
	make_bzimage();
	EXPECT_EQ(load(64 * MIB), 0);
	for (u64 address = 0; address < 1ull << 32; address += 0x3fe7a000) {
		u64 pml4e = get(LAYOUT_PAGE_TABLES, 8);
		u64 pdpte = get((pml4e & ~0xfffull) + (address >> 30) * 8, 8);
		u64 pde = get((pdpte & ~0xfffull) + (address >> 21 & 511) * 8, 8);

		EXPECT((pml4e & 1) && (pdpte & 1) && (pde & 0x81) == 0x81);
		EXPECT_EQ(pde & ~0x1fffffull, address & ~0x1fffffull);
	}
}

static void entry_registers(void)
{
	struct boot_entry e = { .long_mode = true, .rip = 0x1000200, .rsi = 0x7000 };
	struct kvm_regs regs;
	struct kvm_sregs s = { .apic_base = 0xfee00900 };

	boot_registers(&e, &regs, &s);
	EXPECT(regs.rip == 0x1000200 && regs.rsi == 0x7000 && regs.rflags == 2);
	EXPECT(s.cs.selector == 0x10 && s.cs.l && !s.cs.db && s.ds.selector == 0x18 && s.ss.db);
	EXPECT(s.cr0 == 0x80000031 && s.cr4 == 0x20 && s.efer == 0x500 && s.cr3 == LAYOUT_PAGE_TABLES);
	EXPECT_EQ(s.apic_base, 0xfee00900);
	e = (struct boot_entry){ .rip = 0x200100, .rbx = 0x7000 };
	boot_registers(&e, &regs, &s);
	EXPECT(regs.rbx == 0x7000 && s.cs.db && !s.cs.l && s.cr0 == 0x31 && !s.cr4 && !s.efer);
}

static void bad_bzimages_are_refused(void)
{
	make_bzimage();
	image_bytes = 1024 + 0xffff;
	EXPECT(refused(64 * MIB, "truncated"));
	image_bytes = 700;
	EXPECT(refused(64 * MIB, "truncated"));
	image_bytes = 300;
	EXPECT(refused(64 * MIB, "truncated"));
	image_bytes = 0;
	EXPECT(refused(64 * MIB, "empty"));
	make_bzimage();
	put(0x206, 0x20a, 2);
	EXPECT(refused(64 * MIB, "2.10"));
	make_bzimage();
	put(0x236, 0, 2);
	EXPECT(refused(64 * MIB, "64-bit"));
	make_bzimage();
	put(0x211, 0, 1);
	EXPECT(refused(64 * MIB, "zImage"));
	make_bzimage();
	put(0x1f4, 0, 4);
	EXPECT(refused(64 * MIB, "no code"));
	make_bzimage();
	put(0x1f4, 0xffffffff, 4);
	EXPECT(refused(64 * MIB, "truncated"));
	make_bzimage();
	put(0x258, ~0ull - 100, 8);
	put(0x234, 0, 1);
	EXPECT(refused(64 * MIB, "beyond all memory"));
	make_bzimage();
	put(0x202, 0, 4);
	EXPECT(refused(64 * MIB, "not a kernel"));
	memcpy(image, "\x1f\x8b\x08", 3);
	EXPECT(refused(64 * MIB, "gunzip"));
}

static void too_little_memory_says_how_much(void)
{
	make_bzimage();
	put(0x260, 200 * MIB, 4);
	EXPECT(refused(64 * MIB, "use --memory 256M"));
	EXPECT_EQ(load(256 * MIB), 0);
	make_bzimage();
	put(0x22c, 20 * MIB + 4096 - 1, 4); /* the initrd must end below 20 MiB and a page */
	initrd_bytes = 4096;
	EXPECT_EQ(load(64 * MIB), 0);
	EXPECT_EQ(get(LAYOUT_ZERO_PAGE + 0x218, 4), 20 * MIB);
	initrd_bytes = 4097;
	EXPECT(refused(64 * MIB, "too little"));
	initrd_bytes = 0;
}

static void the_command_line_has_a_limit(void)
{
	static char line[3000];

	make_bzimage();
	memset(line, 'x', 2047);
	append = line;
	EXPECT_EQ(load(64 * MIB), 0);
	line[2047] = 'x';
	EXPECT(refused(64 * MIB, "2047"));
	append = "console=ttyS0";
}

static void files_that_are_not_there(void)
{
	struct boot_options o = { .kernel = "/nonexistent/vmlinuz", .append = "", .cpus = 1 };
	struct boot b;

	listen_begin();
	EXPECT_EQ(boot_open(&b, &o), -ENOENT);
	listen_end();
	EXPECT(strstr(said, "/nonexistent/vmlinuz: No such file"));
	o.kernel = "/tmp";
	listen_begin();
	EXPECT_EQ(boot_open(&b, &o), -EINVAL);
	listen_end();
	EXPECT(strstr(said, "not a regular file"));
}

/* Every byte of the header at several values: refused or loaded, never a crash. */
static void mutated_headers_do_no_harm(void)
{
	static const u8 value[] = { 0, 1, 0x7f, 0x80, 0xff };
	unsigned refusals = 0;

	for (unsigned at = 0x1f0; at < 0x270; at++)
		for (unsigned i = 0; i < sizeof(value); i++) {
			make_bzimage();
			image[at] = value[i];
			refusals += load(64 * MIB) != 0;
		}
	EXPECT(refusals > 20);
}

/* --- ELF ------------------------------------------------------------------------------------- */

static void an_elf_kernel_is_loaded_and_described(void)
{
	u64 info = LAYOUT_ZERO_PAGE, module;

	make_elf();
	initrd_bytes = 100;
	EXPECT_EQ(load(32 * MIB), 0);
	EXPECT(!entry.long_mode && entry.rip == 2 * MIB + 0x100 && entry.rbx == info);
	EXPECT_EQ(get(2 * MIB + 4088, 8), 0x7777777777777777);
	EXPECT_EQ(get(2 * MIB + 4096, 8), 0);
	EXPECT_EQ(get(info, 4), 0x336ec578);
	EXPECT_EQ(get(info + 4, 4), 1);
	EXPECT_EQ(get(info + 12, 4), 1);
	module = get(info + 16, 8);
	EXPECT_EQ(get(module, 8), 32 * MIB - 4096);
	EXPECT_EQ(get(module + 8, 8), 100);
	EXPECT_EQ(get(info + 24, 8), LAYOUT_COMMAND_LINE);
	EXPECT_EQ(get(info + 32, 8), LAYOUT_ACPI);
	EXPECT_EQ(get(get(info + 40, 8) + 8, 8), LAYOUT_LOW_END);
	initrd_bytes = 0;
}

static void bad_elf_files_are_refused(void)
{
	make_elf();
	image_bytes = 8191;
	EXPECT(refused(32 * MIB, "truncated"));
	image_bytes = 100;
	EXPECT(refused(32 * MIB, "truncated"));
	image_bytes = 20;
	EXPECT(refused(32 * MIB, "truncated"));
	make_elf();
	image[4] = 1;
	EXPECT(refused(32 * MIB, "amd64"));
	make_elf();
	put(18, EM_AARCH64, 2);
	EXPECT(refused(32 * MIB, "amd64"));
	make_elf();
	put(56, 0, 2);
	EXPECT(refused(32 * MIB, "program headers"));
	make_elf();
	put(64 + 24, 0x1000, 8);			/* p_paddr below 1 MiB */
	EXPECT(refused(32 * MIB, "0x1000"));
	make_elf();
	put(64 + 24, ~0ull - 10, 8);
	EXPECT(refused(32 * MIB, "where no kernel can be"));
	make_elf();
	put(64 + 24, 64 * MIB, 8);
	EXPECT(refused(32 * MIB, "too little"));
	make_elf();
	put(64 + 56, PT_NULL, 4);			/* no notes */
	EXPECT(refused(32 * MIB, "PVH"));
	make_elf();
	put(512, ~0u, 4);				/* a note longer than all */
	EXPECT(refused(32 * MIB, "PVH"));
}

static void mutated_elf_headers_do_no_harm(void)
{
	static const u8 value[] = { 0, 1, 0x7f, 0x80, 0xff };
	unsigned refusals = 0;

	for (unsigned at = 0; at < 176; at++)
		for (unsigned i = 0; i < sizeof(value); i++) {
			make_elf();
			image[at] = value[i];
			refusals += load(32 * MIB) != 0;
		}
	EXPECT(refusals > 20);
}

int main(void)
{
	mem.fd = -1;
	TEST(a_bzimage_is_loaded_and_described);
	TEST(the_memory_map_has_the_hole);
	TEST(the_first_4_gib_are_mapped);
	TEST(entry_registers);
	TEST(bad_bzimages_are_refused);
	TEST(too_little_memory_says_how_much);
	TEST(the_command_line_has_a_limit);
	TEST(files_that_are_not_there);
	TEST(mutated_headers_do_no_harm);
	TEST(an_elf_kernel_is_loaded_and_described);
	TEST(bad_elf_files_are_refused);
	TEST(mutated_elf_headers_do_no_harm);
	memory_destroy(&mem);
	return test_status();
}
