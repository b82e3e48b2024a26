/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tiny.h - tiny guests over the whole stack, through the KVM API
 *
 * A tiny guest is 4 MiB of memory at guest-physical 0, one to eight vCPUs, and code that is
 * assembled into the test by CODE16, CODE32 or CODE64 and loaded at TINY_CODE.  Descriptor
 * tables, page tables and handlers that say which vector they serve are in place.  A guest
 * tells the test something by a port: DONE ends it.
 *
 * The programs know the library's functions only, so they run through another door when they
 * are linked with other functions of those names: tests/module/dev_kvm.c has them for /dev/kvm,
 * a machine's with our modules, with Linux's, or the host's own.
 */
#ifndef TESTS_GUEST_TINY_H
#define TESTS_GUEST_TINY_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "anykvm.h"
#include "base/types.h"
#include "tests/test.h"
#include "x86/cpu.h"

#define TINY_BYTES	(4ul << 20)
#define TINY_CODE	0x10000ul
#define TINY_HANDLER	0x18000ul	/* handler of vector n, four bytes each: OUT to PORT_VECTOR */
#define TINY_IDT	0x20000ul
#define TINY_GDT	0x21000ul
#define TINY_TSS	0x22000ul
#define TINY_TABLES	0x30000ul	/* page tables */
#define TINY_DATA	0x50000ul	/* the test's own, zeroed */
#define TINY_STACK	0x80000ul	/* of vCPU 0; those of the others are each 0x1000 below */
#define TINY_DEVICE	0x400000ul	/* behind memory: nothing is there, so the client is asked */

#define PORT_DONE	0xff
#define PORT_VECTOR	0xfe
#define DONE		"out %al, $0xff\n"

/* Selectors of the GDT. */
#define SEL_CODE32	0x08
#define SEL_DATA	0x10
#define SEL_USER32	0x1b
#define SEL_USER_DATA	0x23
#define SEL_CODE64	0x28
#define SEL_USER64	0x33
#define SEL_TSS		0x40
#define SEL_CODE16	0x50
#define SEL_DATA16	0x58
#define SEL_FREE	0x60		/* for the test, up to 0xf8 */

/* A function-like blob: name[] to name_end[], all labels in it may be used from C by LABEL. */
#define CODE(bits, name, text) \
	__asm__(".pushsection .rodata\n.balign 16\n.code" #bits "\n" #name ":\n" text "\n" #name "_end: .byte 0\n" \
		".code64\n.popsection\n"); \
	extern const u8 name[], name##_end[];
#define CODE16(name, text) CODE(16, name, text)
#define CODE32(name, text) CODE(32, name, text)
#define CODE64(name, text) CODE(64, name, text)
#define LABEL(name) extern const u8 name[];
#define BLOB(name) name, name##_end
#define AT(code, label) (TINY_CODE + (u64)((uintptr_t)(label) - (uintptr_t)(code)))

/* --- doors --------------------------------------------------------------------------- */

/* Whether akvm_*() are those of tests/module/dev_kvm.c. */
static inline bool on_dev_kvm(void)
{
#ifdef TINY_DEV_KVM
	return true;
#else
	return false;
#endif
}

#ifdef TINY_DEV_KVM
/*
 * Run a test in a process of its own, which may hang in a kernel or die of it; false if it
 * failed.  See tests/module/dev_kvm.c.
 */
bool dev_kvm_test(const char *name, void (*run)(void *arg), void *arg, const int *failures);

static inline void tiny_run_plain(void *arg)
{
	(*(void (**)(void))arg)();
}

#undef TEST
#define TEST(fn) do { \
	void (*fn_)(void) = fn; \
	test_failures += !dev_kvm_test(#fn, tiny_run_plain, &fn_, &test_failures); \
} while (0)
#endif

/* --- making guests -------------------------------------------------------------------- */

enum tiny_mode { TINY_REAL, TINY_32, TINY_32_PAGED, TINY_64, TINY_MODES };
#define TINY_CPUS	8u
#define TINY_IRQCHIP	1u	/* tiny_create() flags */
#define TINY_PIT	2u

struct tiny_cpu { int fd; struct kvm_run *run; };

struct tiny {
	int system, vm;
	u8 *memory;
	u64 run_bytes;
	unsigned flags, cpus;
	struct tiny_cpu cpu[TINY_CPUS];
};

/* Something that must work for the test to make sense. */
static inline int must_(int r, const char *what, const char *file, int line)
{
	if (r < 0) {
		fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, strerror(-r));
		test_failures++;
	}
	return r;
}
#define MUST(call) must_((call), #call, __FILE__, __LINE__)

static inline int vm_ioctl(struct tiny *t, unsigned long request, const void *arg)
{
	return akvm_ioctl(t->vm, request, (unsigned long)arg);
}

static inline int cpu_ioctl(struct tiny *t, unsigned n, unsigned long request, const void *arg)
{
	return akvm_ioctl(t->cpu[n].fd, request, (unsigned long)arg);
}

static inline int tiny_slot(struct tiny *t, u32 slot, u64 gpa, void *hva, u64 bytes, u32 flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .flags = flags, .guest_phys_addr = gpa,
		.memory_size = bytes, .userspace_addr = (u64)(uintptr_t)hva,
	};

	return vm_ioctl(t, KVM_SET_USER_MEMORY_REGION, &region);
}

static inline void *tiny_pages(u64 bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

#define TINY_CPUID_MAX 256
struct tiny_cpuid { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entry[TINY_CPUID_MAX]; };

static inline void tiny_cpuid_supported(struct tiny *t, struct tiny_cpuid *c)
{
	memset(c, 0, sizeof(*c));
	c->head.nent = TINY_CPUID_MAX;
	MUST(akvm_ioctl(t->system, KVM_GET_SUPPORTED_CPUID, (unsigned long)c));
}

static inline struct kvm_cpuid_entry2 *tiny_leaf(struct tiny_cpuid *c, u32 leaf, u32 subleaf)
{
	for (u32 n = 0; n < c->head.nent; n++)
		if (c->entry[n].function == leaf &&
		    (c->entry[n].index == subleaf || !(c->entry[n].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return &c->entry[n];
	return NULL;
}

static inline void tiny_cpu_create(struct tiny *t)
{
	unsigned n = t->cpus;
	struct tiny_cpuid cpuid;

	t->cpu[n].fd = MUST(akvm_ioctl(t->vm, KVM_CREATE_VCPU, n));
	t->cpu[n].run = akvm_mmap(t->cpu[n].fd, t->run_bytes, 0);
	if (!t->cpu[n].run)
		abort();
	t->cpus++;
	tiny_cpuid_supported(t, &cpuid);
	for (u32 i = 0; i < cpuid.head.nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid.entry[i];

		if (e->function == 1)
			e->ebx = (e->ebx & 0xffffff) | n << 24;
		if (e->function == 0xb)
			e->edx = n;
	}
	MUST(cpu_ioctl(t, n, KVM_SET_CPUID2, &cpuid));
}

static inline void tiny_vm_create(struct tiny *t, unsigned flags)
{
	memset(t, 0, sizeof(*t));
	t->flags = flags;
	t->system = MUST(akvm_open());
	t->vm = MUST(akvm_ioctl(t->system, KVM_CREATE_VM, 0));
	t->run_bytes = (u64)MUST(akvm_ioctl(t->system, KVM_GET_VCPU_MMAP_SIZE, 0));
	t->memory = tiny_pages(TINY_BYTES);
	MUST(tiny_slot(t, 0, 0, t->memory, TINY_BYTES, 0));
	if (on_dev_kvm())
		MUST(akvm_ioctl(t->vm, KVM_SET_TSS_ADDR, 0xfffbd000));
	if (flags & TINY_IRQCHIP)
		MUST(vm_ioctl(t, KVM_CREATE_IRQCHIP, NULL));
	if (flags & TINY_PIT)
		MUST(vm_ioctl(t, KVM_CREATE_PIT2, &(struct kvm_pit_config){ .flags = KVM_PIT_SPEAKER_DUMMY }));
}

static inline void tiny_create(struct tiny *t, unsigned flags, unsigned cpus)
{
	tiny_vm_create(t, flags);
	while (t->cpus < cpus)
		tiny_cpu_create(t);
}

static inline void tiny_destroy(struct tiny *t)
{
	for (unsigned n = 0; n < t->cpus; n++) {
		munmap(t->cpu[n].run, t->run_bytes);
		MUST(akvm_close(t->cpu[n].fd));
	}
	MUST(akvm_close(t->vm));
	MUST(akvm_close(t->system));
	munmap(t->memory, TINY_BYTES);
}

/* --- memory and registers --------------------------------------------------------------- */

static inline u64 tiny_get(struct tiny *t, u64 gpa, unsigned bytes)
{
	u64 value = 0;

	memcpy(&value, t->memory + gpa, bytes);
	return value;
}

static inline void tiny_put(struct tiny *t, u64 gpa, unsigned bytes, u64 value)
{
	memcpy(t->memory + gpa, &value, bytes);
}

static inline struct kvm_regs tiny_regs(struct tiny *t, unsigned n)
{
	struct kvm_regs r = { 0 };

	MUST(cpu_ioctl(t, n, KVM_GET_REGS, &r));
	return r;
}

static inline void tiny_set_regs(struct tiny *t, unsigned n, const struct kvm_regs *r)
{
	MUST(cpu_ioctl(t, n, KVM_SET_REGS, r));
}

static inline struct kvm_sregs tiny_sregs(struct tiny *t, unsigned n)
{
	struct kvm_sregs s = { 0 };

	MUST(cpu_ioctl(t, n, KVM_GET_SREGS, &s));
	return s;
}

static inline void tiny_set_sregs(struct tiny *t, unsigned n, const struct kvm_sregs *s)
{
	MUST(cpu_ioctl(t, n, KVM_SET_SREGS, s));
}

static inline u64 tiny_msr(struct tiny *t, unsigned n, u32 index)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = { .head.nmsrs = 1, .e.index = index };

	EXPECT_EQ(cpu_ioctl(t, n, KVM_GET_MSRS, &m), 1);
	return m.e.data;
}

static inline int tiny_set_msr(struct tiny *t, unsigned n, u32 index, u64 value)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = {
		.head.nmsrs = 1, .e = { .index = index, .data = value } };

	return cpu_ioctl(t, n, KVM_SET_MSRS, &m);
}

/* A gate of the IDT, or the vector table's entry, as the mode wants it. */
static inline void tiny_gate(struct tiny *t, enum tiny_mode mode, unsigned vector, u64 handler)
{
	u64 dpl3_interrupt = 0xee00ull << 32, offset = (handler & 0xffff) | (handler >> 16) << 48;

	switch (mode) {
	case TINY_REAL:
		tiny_put(t, 4 * vector, 2, handler & 0xf);
		tiny_put(t, 4 * vector + 2, 2, handler >> 4);
		break;
	case TINY_64:
		tiny_put(t, TINY_IDT + 16 * vector, 8, offset | SEL_CODE64 << 16 | dpl3_interrupt);
		tiny_put(t, TINY_IDT + 16 * vector + 8, 8, 0);
		break;
	default:
		tiny_put(t, TINY_IDT + 8 * vector, 8, offset | SEL_CODE32 << 16 | dpl3_interrupt);
	}
}

static inline struct kvm_segment tiny_segment(u16 selector, u16 attr, u32 limit, u64 base)
{
	return (struct kvm_segment){
		.base = base, .limit = limit, .selector = selector, .type = attr & 0xf, .s = attr >> 4 & 1,
		.dpl = attr >> 5 & 3, .present = attr >> 7 & 1, .avl = attr >> 8 & 1, .l = attr >> 9 & 1,
		.db = attr >> 10 & 1, .g = attr >> 11 & 1,
	};
}

/* TABLES: 64-bit: PML4, PDPT, PD, PT of the first 6 MiB, PD of the fourth GiB; 32-bit: PD, 2 PTs. */
#define TINY_PML4	TINY_TABLES
#define TINY_PDPT	(TINY_TABLES + 0x1000)
#define TINY_PD		(TINY_TABLES + 0x2000)
#define TINY_PT		(TINY_TABLES + 0x3000)
#define TINY_PD_HIGH	(TINY_TABLES + 0x6000)
#define TINY_PD32	(TINY_TABLES + 0x7000)
#define TINY_PT32	(TINY_TABLES + 0x8000)

/* Where the page-table entry of a linear address below 6 MiB is, in 64-bit mode. */
static inline u64 tiny_pte(u64 linear)
{
	return TINY_PT + (linear >> 12) * 8;
}

static inline u64 tiny_pte32(u64 linear)
{
	return TINY_PT32 + (linear >> 12) * 4;
}

static inline void tiny_tables(struct tiny *t)
{
	tiny_put(t, TINY_PML4, 8, TINY_PDPT | 7);
	tiny_put(t, TINY_PDPT, 8, TINY_PD | 7);
	tiny_put(t, TINY_PDPT + 3 * 8, 8, TINY_PD_HIGH | 7);
	for (u64 n = 0; n < 512; n++) {
		tiny_put(t, TINY_PD + n * 8, 8, n < 3 ? (TINY_PT + n * 0x1000) | 7 : n << 21 | 0x87);
		tiny_put(t, TINY_PD_HIGH + n * 8, 8, 0xc0000000ull | n << 21 | 0x87);
	}
	for (u64 n = 0; n < 3 * 512; n++)
		tiny_put(t, TINY_PT + n * 8, 8, n << 12 | 7);
	for (u64 n = 0; n < 1024; n++)
		tiny_put(t, TINY_PD32 + n * 4, 4, n < 2 ? (TINY_PT32 + n * 0x1000) | 7 : n << 22 | 0x87);
	for (u64 n = 0; n < 2 * 1024; n++)
		tiny_put(t, TINY_PT32 + n * 4, 4, n << 12 | 7);
}

static inline void tiny_gdt(struct tiny *t, bool is_64bit)
{
	static const u64 gdt[] = {
		0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff,
		0x00af9b000000ffff, 0x00affb000000ffff,
	};

	memcpy(t->memory + TINY_GDT, gdt, sizeof(gdt));
	tiny_put(t, TINY_GDT + SEL_TSS, 8, 0x00008b0000000fffull | (TINY_TSS & 0xffffff) << 16);
	tiny_put(t, TINY_GDT + SEL_TSS + 8, 8, 0);
	tiny_put(t, TINY_GDT + SEL_CODE16, 8, 0x00009b000000ffff);
	tiny_put(t, TINY_GDT + SEL_DATA16, 8, 0x000093000000ffff);
	tiny_put(t, TINY_TSS + 0x66, 2, 0xffff);	/* no I/O permissions */
	if (is_64bit) {
		tiny_put(t, TINY_TSS + 4, 8, TINY_STACK - 0x800);
	} else {
		tiny_put(t, TINY_TSS + 4, 4, TINY_STACK - 0x800);
		tiny_put(t, TINY_TSS + 8, 4, SEL_DATA);
	}
}

/* Put vCPU n at the beginning of what is at TINY_CODE, in this mode, interrupts off. */
static inline void tiny_start(struct tiny *t, unsigned n, enum tiny_mode mode)
{
	struct kvm_sregs s = tiny_sregs(t, n);
	struct kvm_regs r = { .rip = TINY_CODE, .rsp = TINY_STACK - n * 0x1000, .rflags = 2 };
	u16 data = mode == TINY_REAL ? 0x93 : 0xc93, code = mode == TINY_REAL ? 0x9b : mode == TINY_64 ? 0xa9b : 0xc9b;
	u32 limit = mode == TINY_REAL ? 0xffff : ~0u;

	s.cs = tiny_segment(mode == TINY_REAL ? 0x1000 : mode == TINY_64 ? SEL_CODE64 : SEL_CODE32, code, limit,
			    mode == TINY_REAL ? TINY_CODE : 0);
	s.ds = s.es = s.ss = s.fs = s.gs = tiny_segment(mode == TINY_REAL ? 0 : SEL_DATA, data, limit, 0);
	s.tr = tiny_segment(SEL_TSS, 0x8b, 0xfff, TINY_TSS);
	s.ldt = tiny_segment(0, 0x82, 0, 0);
	s.gdt = (struct kvm_dtable){ .base = TINY_GDT, .limit = 0xff };
	s.idt = (struct kvm_dtable){ .base = mode == TINY_REAL ? 0 : TINY_IDT, .limit = 0xfff };
	s.cr0 = X86_CR0_ET | X86_CR0_NE | (mode == TINY_REAL ? 0 : X86_CR0_PE);
	s.cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	s.cr3 = s.efer = 0;
	if (mode == TINY_32_PAGED) {
		s.cr0 |= X86_CR0_PG | X86_CR0_WP;
		s.cr4 |= X86_CR4_PSE;
		s.cr3 = TINY_PD32;
	} else if (mode == TINY_64) {
		s.cr0 |= X86_CR0_PG | X86_CR0_WP;
		s.cr4 |= X86_CR4_PAE | X86_CR4_PGE;
		s.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
		s.cr3 = TINY_PML4;
	}
	if (mode == TINY_REAL) {
		r.rip = 0;
		r.rsp = 0x8000 - n * 0x1000;
	}
	tiny_set_sregs(t, n, &s);
	tiny_set_regs(t, n, &r);
	if (t->flags & TINY_IRQCHIP)
		MUST(cpu_ioctl(t, n, KVM_SET_MP_STATE, &(struct kvm_mp_state){ .mp_state = KVM_MP_STATE_RUNNABLE }));
}

/* Tables, handlers and code; all else in memory is zero. */
static inline void tiny_load(struct tiny *t, enum tiny_mode mode, const u8 *code, const u8 *end)
{
	static const u8 handler[4] = { 0xe6, PORT_VECTOR, 0xeb, 0xfc };	/* out %al, $0xfe; jmp to it */

	memset(t->memory, 0, TINY_BYTES);
	tiny_tables(t);
	tiny_gdt(t, mode == TINY_64);
	for (unsigned n = 0; n < 256; n++) {
		memcpy(t->memory + TINY_HANDLER + 4 * n, handler, 4);
		if (mode == TINY_REAL) {	/* all in one segment: 0x1800:4n */
			tiny_put(t, 4 * n, 2, 4 * n);
			tiny_put(t, 4 * n + 2, 2, TINY_HANDLER >> 4);
		} else {
			tiny_gate(t, mode, n, TINY_HANDLER + 4 * n);
		}
	}
	memcpy(t->memory + TINY_CODE, code, (size_t)(end - code));
}

/* A guest of one vCPU without interrupt chips, ready to run. */
static inline void tiny_one(struct tiny *t, enum tiny_mode mode, const u8 *code, const u8 *end)
{
	tiny_create(t, 0, 1);
	tiny_load(t, mode, code, end);
	tiny_start(t, 0, mode);
}

/* --- running ------------------------------------------------------------------------------ */

/* One KVM_RUN: the exit reason, or -errno. */
static inline int tiny_run(struct tiny *t, unsigned n)
{
	int r = akvm_ioctl(t->cpu[n].fd, KVM_RUN, 0);

	return r < 0 ? r : (int)t->cpu[n].run->exit_reason;
}

static inline void *tiny_io_data(struct kvm_run *run)
{
	return (u8 *)run + run->io.data_offset;
}

static inline bool tiny_is_out(const struct kvm_run *run, u16 port)
{
	return run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT && run->io.port == port;
}

/* What the vCPU's last exit was, for people. */
static inline void tiny_describe(struct tiny *t, unsigned n, int r)
{
	const struct kvm_run *run = t->cpu[n].run;
	struct kvm_regs regs = tiny_regs(t, n);
	struct kvm_sregs s = tiny_sregs(t, n);

	fprintf(stderr, "  vCPU %u: exit %d", n, r);
	if (r == KVM_EXIT_IO)
		fprintf(stderr, " I/O %s port %#x size %u count %u", run->io.direction ? "out" : "in", run->io.port,
			run->io.size, run->io.count);
	if (r == KVM_EXIT_MMIO)
		fprintf(stderr, " MMIO %s %#llx length %u", run->mmio.is_write ? "write" : "read",
			run->mmio.phys_addr, run->mmio.len);
	if (r == KVM_EXIT_INTERNAL_ERROR)
		fprintf(stderr, " internal error %u", run->internal.suberror);
	if (r == KVM_EXIT_FAIL_ENTRY)
		fprintf(stderr, " entry failure %#llx", run->fail_entry.hardware_entry_failure_reason);
	if (tiny_is_out(run, PORT_VECTOR))
		fprintf(stderr, " (handler of vector %llu)", (s.cs.base + regs.rip - TINY_HANDLER) / 4);
	fprintf(stderr, "\n  rip %#llx rsp %#llx rax %#llx rbx %#llx rcx %#llx rdx %#llx rsi %#llx rdi %#llx rflags %#llx"
		" cs %#x cr2 %#llx\n", regs.rip, regs.rsp, regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi,
		regs.rflags, s.cs.selector, s.cr2);
}

/* Run vCPU n until it says DONE; anything else is a failure. */
static inline bool tiny_until_done_(struct tiny *t, unsigned n, const char *file, int line)
{
	int r;

	do
		r = tiny_run(t, n);
	while (r == -EINTR || r == -EAGAIN);
	if (r == KVM_EXIT_IO && tiny_is_out(t->cpu[n].run, PORT_DONE))
		return true;
	fprintf(stderr, "%s:%d: expected the guest to be done\n", file, line);
	tiny_describe(t, n, r);
	test_failures++;
	return false;
}
#define EXPECT_DONE(t, n) tiny_until_done_(t, n, __FILE__, __LINE__)

static inline bool tiny_until_exit_(struct tiny *t, unsigned n, int reason, const char *file, int line)
{
	int r = tiny_run(t, n);

	if (r == reason)
		return true;
	fprintf(stderr, "%s:%d: expected exit %d\n", file, line, reason);
	tiny_describe(t, n, r);
	test_failures++;
	return false;
}
#define EXPECT_EXIT(t, n, reason) tiny_until_exit_(t, n, reason, __FILE__, __LINE__)

/* Run vCPU n into the default handler of this vector. */
static inline bool tiny_until_vector_(struct tiny *t, unsigned n, unsigned vector, const char *file, int line)
{
	int r = tiny_run(t, n);

	if (r == KVM_EXIT_IO && tiny_is_out(t->cpu[n].run, PORT_VECTOR)) {
		u64 rip = tiny_sregs(t, n).cs.base + tiny_regs(t, n).rip;

		if (on_dev_kvm() ? (rip - TINY_HANDLER) / 4 == vector : rip == TINY_HANDLER + 4 * vector)
			return true;	/* some KVMs are behind the OUT already */
	}
	fprintf(stderr, "%s:%d: expected vector %u\n", file, line, vector);
	tiny_describe(t, n, r);
	test_failures++;
	return false;
}
#define EXPECT_VECTOR(t, n, vector) tiny_until_vector_(t, n, vector, __FILE__, __LINE__)

/* The MMIO exit that the guest is to make next. */
static inline bool tiny_until_mmio_(struct tiny *t, unsigned n, bool is_write, u64 gpa, unsigned bytes, u64 value,
				    const char *file, int line)
{
	struct kvm_run *run = t->cpu[n].run;
	int r = tiny_run(t, n);
	u64 got = 0;

	if (r == KVM_EXIT_MMIO && run->mmio.is_write == is_write && run->mmio.phys_addr == gpa && run->mmio.len == bytes) {
		if (!is_write) {
			memcpy(run->mmio.data, &value, bytes);
			return true;
		}
		memcpy(&got, run->mmio.data, bytes);
		if (got == value)
			return true;
	}
	fprintf(stderr, "%s:%d: expected MMIO %s of %u bytes at %#llx (%#llx; got %#llx)\n", file, line,
		is_write ? "write" : "read", bytes, (unsigned long long)gpa, (unsigned long long)value,
		(unsigned long long)got);
	tiny_describe(t, n, r);
	test_failures++;
	return false;
}
#define EXPECT_MMIO_READ(t, n, gpa, bytes, give) tiny_until_mmio_(t, n, false, gpa, bytes, give, __FILE__, __LINE__)
#define EXPECT_MMIO_WRITE(t, n, gpa, bytes, value) tiny_until_mmio_(t, n, true, gpa, bytes, value, __FILE__, __LINE__)

/* --- vCPUs in threads ------------------------------------------------------------------------ */

/* Runs a vCPU until it says DONE, serve() says no, or tiny_thread_stop(). */
struct tiny_thread {
	struct tiny *t;
	unsigned n;
	bool (*serve)(struct tiny_thread *thread, int exit);	/* NULL: any exit but DONE is a failure */
	pthread_t id;
	u32 stop;		/* atomic */
	u32 over;		/* atomic */
	int exit;		/* the last, when over */
};

static inline void tiny_on_signal(int signal)
{
	(void)signal;
	akvm_interrupt();
}

static inline void tiny_signals_init(void)
{
	struct sigaction action = { .sa_handler = tiny_on_signal };

	sigaction(SIGUSR1, &action, NULL);
}

static inline void *tiny_thread_main(void *arg)
{
	struct tiny_thread *h = arg;

	while (!__atomic_load_n(&h->stop, __ATOMIC_ACQUIRE)) {
		h->exit = tiny_run(h->t, h->n);
		if (h->exit == -EINTR || h->exit == -EAGAIN)
			continue;
		if (h->exit == KVM_EXIT_IO && tiny_is_out(h->t->cpu[h->n].run, PORT_DONE))
			break;
		if (h->serve && h->serve(h, h->exit))
			continue;
		fprintf(stderr, "an exit that nobody expected\n");
		tiny_describe(h->t, h->n, h->exit);
		__atomic_fetch_add(&test_failures, 1, __ATOMIC_RELAXED);
		break;
	}
	__atomic_store_n(&h->over, 1, __ATOMIC_RELEASE);
	return NULL;
}

static inline void tiny_thread_start(struct tiny_thread *h, struct tiny *t, unsigned n)
{
	h->t = t;
	h->n = n;
	h->stop = h->over = 0;
	if (pthread_create(&h->id, NULL, tiny_thread_main, h))
		abort();
}

/* Wait until it ends by itself. */
static inline void tiny_thread_join(struct tiny_thread *h)
{
	pthread_join(h->id, NULL);
}

static inline void tiny_thread_stop(struct tiny_thread *h)
{
	struct kvm_run *run = h->t->cpu[h->n].run;

	tiny_signals_init();
	__atomic_store_n(&h->stop, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&run->immediate_exit, 1, __ATOMIC_RELEASE);
	pthread_kill(h->id, SIGUSR1);
	pthread_join(h->id, NULL);
	__atomic_store_n(&run->immediate_exit, 0, __ATOMIC_RELEASE);
}

/* Guest memory that a running guest changes. */
static inline u32 tiny_peek(struct tiny *t, u64 gpa)
{
	return __atomic_load_n((u32 *)(t->memory + gpa), __ATOMIC_SEQ_CST);
}

static inline void tiny_poke(struct tiny *t, u64 gpa, u32 value)
{
	__atomic_store_n((u32 *)(t->memory + gpa), value, __ATOMIC_SEQ_CST);
}

/* Until the guest has made the word at gpa at least this. */
static inline void tiny_wait_for(struct tiny *t, u64 gpa, u32 value)
{
	while (tiny_peek(t, gpa) < value)
		usleep(100);
}

/* A test of one tiny guest: the function is given the guest, ready to run. */
struct tiny_test { enum tiny_mode mode; const u8 *code, *end; void (*check)(struct tiny *t); };

static inline void tiny_test_run(void *arg)
{
	const struct tiny_test *test = arg;
	struct tiny t;

	tiny_one(&t, test->mode, test->code, test->end);
	test->check(&t);
	tiny_destroy(&t);
}

static inline void tiny_test(const char *name, struct tiny_test test)
{
#ifdef TINY_DEV_KVM
	test_failures += !dev_kvm_test(name, tiny_test_run, &test, &test_failures);
#else
	int before = test_failures;

	tiny_test_run(&test);
	printf("%s %s\n", test_failures == before ? "ok  " : "FAIL", name);
	fflush(stdout);
#endif
}
#define TINY_TEST(mode, code, check) tiny_test(#check, (struct tiny_test){ mode, BLOB(code), check })

/* A deadlock is a failure, not a wait.  Generous: sanitizers on a busy machine. */
static inline void tiny_watchdog(void)
{
	alarm(900);
}

static inline u64 tiny_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
}

#endif
