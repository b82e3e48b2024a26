// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * client.c - a small program of the KVM API, for a machine with the modules loaded
 *
 * Each test makes a VM, runs a few instructions in it and prints what it saw: "ok NAME:
 * FACTS" or "FAIL NAME: WHY".  Facts are such that Linux's modules say the same; so the
 * outputs of two runs, on ours and on Linux's, can be compared as text.
 *
 * usage: client [TEST...]   or -l for their names
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

#define MEMORY_BYTES	(16u << 20)
#define CODE		0x1000u
#define TABLES		0x10000u
#define DEVICE		0x10000000u	/* no memory there */
#define EXITS_AT_MOST	100000u

struct machine {
	int vm, vcpu[2];
	struct kvm_run *run[2];
	u8 *memory;
	bool with_chips;
};

static int kvm;
static const char *test_name;
static char facts[1024];
static bool failed;

__attribute__((format(printf, 1, 2)))
static void fact(const char *format, ...)
{
	size_t n = strlen(facts);
	va_list args;

	va_start(args, format);
	vsnprintf(facts + n, sizeof(facts) - n, format, args);
	va_end(args);
}

#define CHECK(cond) do { \
	if (!(cond)) { \
		printf("FAIL %s: line %d: %s (errno %d)\n", test_name, __LINE__, #cond, errno); \
		failed = true; \
	} \
} while (0)

/* --- machines ---------------------------------------------------------------------------- */

static size_t run_bytes(void)
{
	return (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
}

static void vcpu_make(struct machine *m, unsigned n)
{
	static struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entry[100]; } cpuid;

	m->vcpu[n] = ioctl(m->vm, KVM_CREATE_VCPU, n);
	CHECK(m->vcpu[n] >= 0);
	m->run[n] = mmap(NULL, run_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu[n], 0);
	CHECK(m->run[n] != MAP_FAILED);
	cpuid.head.nent = 100;
	CHECK(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) == 0);
	for (u32 i = 0; i < cpuid.head.nent; i++)
		if (cpuid.entry[i].function == 1)
			cpuid.entry[i].ebx = (cpuid.entry[i].ebx & 0xffffff) | n << 24;
	CHECK(ioctl(m->vcpu[n], KVM_SET_CPUID2, &cpuid) == 0);
}

static void machine_make(struct machine *m, bool with_chips)
{
	struct kvm_userspace_memory_region memory = { .memory_size = MEMORY_BYTES };
	struct kvm_pit_config pit = { 0 };

	memset(m, 0, sizeof(*m));
	m->vcpu[1] = -1;
	m->with_chips = with_chips;
	do {	/* a machine about to sleep interrupts it, as any signal does */
		m->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	} while (m->vm < 0 && errno == EINTR);
	CHECK(m->vm >= 0);
	if (with_chips) {
		CHECK(ioctl(m->vm, KVM_CREATE_IRQCHIP, 0) == 0);
		CHECK(ioctl(m->vm, KVM_CREATE_PIT2, &pit) == 0);
	}
	m->memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m->memory != MAP_FAILED);
	memory.userspace_addr = (uintptr_t)m->memory;
	CHECK(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &memory) == 0);
	vcpu_make(m, 0);
}

static void machine_free(struct machine *m)
{
	for (unsigned n = 0; n < 2; n++) {
		if (m->vcpu[n] < 0)
			continue;
		munmap(m->run[n], run_bytes());
		close(m->vcpu[n]);
	}
	close(m->vm);
	munmap(m->memory, MEMORY_BYTES);
}

#define CODE_PUT(m, at, bytes) memcpy((m)->memory + (at), bytes, sizeof(bytes) - 1)

static void registers(struct machine *m, unsigned n, u64 rip, u64 rcx)
{
	struct kvm_regs regs = { .rip = rip, .rflags = 2, .rcx = rcx, .rsp = 0x8000 };

	CHECK(ioctl(m->vcpu[n], KVM_SET_REGS, &regs) == 0);
}

static void real_mode(struct machine *m)
{
	struct kvm_sregs s;

	CHECK(ioctl(m->vcpu[0], KVM_GET_SREGS, &s) == 0);
	s.cs.base = s.cs.selector = 0;
	CHECK(ioctl(m->vcpu[0], KVM_SET_SREGS, &s) == 0);
	registers(m, 0, CODE, 0);
}

/* 64-bit code, the first GiB mapped to itself. */
static void long_mode(struct machine *m)
{
	struct kvm_segment code = { .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	struct kvm_segment data = { .limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	u64 *top = (u64 *)(m->memory + TABLES), *third = top + 512, *second = third + 512;
	struct kvm_sregs s;

	CHECK(ioctl(m->vcpu[0], KVM_GET_SREGS, &s) == 0);
	top[0] = (TABLES + 0x1000) | 7;
	third[0] = (TABLES + 0x2000) | 7;
	for (u64 i = 0; i < 512; i++)
		second[i] = i << 21 | 0x87;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr3 = TABLES;
	s.cr4 = 0x620;
	s.cr0 = 0x80050033;
	s.efer = 0x500;
	CHECK(ioctl(m->vcpu[0], KVM_SET_SREGS, &s) == 0);
}

/* Run until something other than an interrupted call. */
static u32 run(struct machine *m, unsigned n)
{
	for (unsigned i = 0; i < EXITS_AT_MOST; i++) {
		if (ioctl(m->vcpu[n], KVM_RUN, 0) == 0)
			return m->run[n]->exit_reason;
		if (errno != EINTR && errno != EAGAIN)
			break;
	}
	printf("FAIL %s: KVM_RUN: errno %d, reason %u\n", test_name, errno, m->run[n]->exit_reason);
	failed = true;
	return ~0u;
}

static u64 rip_of(struct machine *m)
{
	struct kvm_regs r;

	CHECK(ioctl(m->vcpu[0], KVM_GET_REGS, &r) == 0);
	return r.rip;
}

static u8 *io_data(struct machine *m)
{
	return (u8 *)m->run[0] + m->run[0]->io.data_offset;
}

/* --- tests -------------------------------------------------------------------------------- */

/* mov dx, 0x3f8; add al, bl; add al, '0'; out dx, al; mov al, '\n'; out dx, al; hlt */
static void two_and_two(struct machine *m)
{
	struct kvm_regs regs;
	char text[8];
	unsigned n = 0;
	u32 reason;

	CODE_PUT(m, CODE, "\xba\xf8\x03\x00\xd8\x04\x30\xee\xb0\x0a\xee\xf4");
	real_mode(m);
	CHECK(ioctl(m->vcpu[0], KVM_GET_REGS, &regs) == 0);
	regs.rax = regs.rbx = 2;
	CHECK(ioctl(m->vcpu[0], KVM_SET_REGS, &regs) == 0);
	while ((reason = run(m, 0)) == KVM_EXIT_IO && n < sizeof(text) - 1)
		text[n++] = (char)*io_data(m);
	CHECK(n == 2 && text[0] == '4');
	fact("text %.1s reason %u rip %#llx", text, reason, (unsigned long long)rip_of(m));
}

/* 1: out %al, $0x10; in $0x10, %al; dec ecx; jnz 1b; hlt */
static void ports(struct machine *m)
{
	unsigned in = 0, out = 0;
	u32 reason;

	CODE_PUT(m, CODE, "\xe6\x10\xe4\x10\xff\xc9\x75\xf8\xf4");
	long_mode(m);
	registers(m, 0, CODE, 100);
	while ((reason = run(m, 0)) == KVM_EXIT_IO) {
		m->run[0]->io.direction == KVM_EXIT_IO_IN ? in++ : out++;
		if (m->run[0]->io.direction == KVM_EXIT_IO_IN)
			*io_data(m) = (u8)(in * 3);
		else
			CHECK(*io_data(m) == (u8)(in * 3));
	}
	fact("in %u out %u reason %u rip %#llx", in, out, reason, (unsigned long long)rip_of(m));
}

/* mov $1,%eax; mov %eax,DEVICE; mov DEVICE+8,%ebx; mov %bx,DEVICE+16 ...; hlt */
static void device_memory(struct machine *m)
{
	struct kvm_regs regs;
	u64 sum = 0;
	unsigned n = 0;
	u32 reason;

	CODE_PUT(m, CODE, "\xb8\x78\x56\x34\x12" "\x89\x04\x25\x00\x00\x00\x10"
		 "\x8b\x1c\x25\x08\x00\x00\x10" "\x66\x89\x1c\x25\x10\x00\x00\x10"
		 "\x48\x8b\x0c\x25\x18\x00\x00\x10" "\x0f\xb6\x14\x25\x20\x00\x00\x10" "\xf4");
	long_mode(m);
	registers(m, 0, CODE, 0);
	while ((reason = run(m, 0)) == KVM_EXIT_MMIO) {
		__typeof__(m->run[0]->mmio) *mmio = &m->run[0]->mmio;

		n++;
		sum = sum * 31 + mmio->phys_addr + mmio->len + mmio->is_write * 1000;
		if (mmio->is_write)
			for (u32 i = 0; i < mmio->len; i++)
				sum = sum * 31 + mmio->data[i];
		else
			memset(mmio->data, 0x5a, 8);
	}
	CHECK(ioctl(m->vcpu[0], KVM_GET_REGS, &regs) == 0);
	CHECK(n == 5);
	fact("accesses %u sum %#llx rbx %#llx rcx %#llx rdx %#llx reason %u", n, (unsigned long long)sum,
	     regs.rbx, regs.rcx, regs.rdx, reason);
}

/* 1: xor %eax,%eax; mov %ecx,%esi; cpuid; mov %esi,%ecx; dec; jnz; hlt */
static void cpuid(struct machine *m)
{
	struct kvm_regs regs;
	u32 reason;

	CODE_PUT(m, CODE, "\x31\xc0\x89\xce\x31\xc9\x0f\xa2\x89\xf1\xff\xc9\x75\xf2\xf4");
	long_mode(m);
	registers(m, 0, CODE, 1000);
	reason = run(m, 0);
	CHECK(ioctl(m->vcpu[0], KVM_GET_REGS, &regs) == 0);
	CHECK(regs.rbx == 0x68747541);		/* "Auth" */
	fact("rbx %#llx rdx %#llx reason %u", regs.rbx, regs.rdx, reason);
}

/* wrmsr, rdmsr of KERNEL_GS_BASE and of one that is intercepted (MISC_ENABLE); hlt */
static void msrs(struct machine *m)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e[2]; } list = {
		.head.nmsrs = 2, .e = { { .index = 0xc0000102 }, { .index = 0xc0000082 } } };
	struct kvm_regs regs;
	u32 reason;

	CODE_PUT(m, CODE, "\xb9\x02\x01\x00\xc0\xb8\x00\x10\x00\x00\xba\x34\x12\x00\x00\x0f\x30"
		 "\x31\xc0\x0f\x32\x89\xc3\x89\xd6" "\xb9\xa0\x01\x00\x00\x0f\x32\x89\xc7\xf4");
	long_mode(m);
	registers(m, 0, CODE, 0);
	reason = run(m, 0);
	CHECK(ioctl(m->vcpu[0], KVM_GET_REGS, &regs) == 0);
	CHECK(ioctl(m->vcpu[0], KVM_GET_MSRS, &list) == 2);
	CHECK(regs.rbx == 0x1000 && regs.rsi == 0x1234);
	fact("rbx %#llx rsi %#llx rdi %#llx base %#llx reason %u", regs.rbx, regs.rsi, regs.rdi,
	     list.e[0].data, reason);
}

/* 1: hlt; jmp 1b: to the client each time */
static void halts(struct machine *m)
{
	unsigned n = 0;

	CODE_PUT(m, CODE, "\xf4\xeb\xfd");
	long_mode(m);
	registers(m, 0, CODE, 0);
	while (n < 50 && run(m, 0) == KVM_EXIT_HLT)
		n++;
	fact("halts %u rip %#llx", n, (unsigned long long)rip_of(m));
}

/* Vector registers survive exits, the client's own too: movq %rax,%xmm3; out; movq %xmm3,%rbx */
static void vectors(struct machine *m)
{
	struct kvm_regs regs = { .rip = CODE, .rflags = 2, .rax = 0x1122334455667788, .rsp = 0x8000 };
	u64 ours = 0xfeedfacecafebeef, after;
	unsigned exits = 0;

	CODE_PUT(m, CODE, "\x66\x48\x0f\x6e\xd8" "\xe6\x10" "\x66\x48\x0f\x7e\xdb" "\xf4");
	long_mode(m);
	CHECK(ioctl(m->vcpu[0], KVM_SET_REGS, &regs) == 0);
	__asm__ volatile("movq %0, %%xmm3" : : "r"(ours) : "xmm3");
	while (run(m, 0) == KVM_EXIT_IO)
		exits++;
	__asm__ volatile("movq %%xmm3, %0" : "=r"(after));
	CHECK(ioctl(m->vcpu[0], KVM_GET_REGS, &regs) == 0);
	CHECK(regs.rbx == 0x1122334455667788);
	CHECK(after != 0x1122334455667788);
	fact("rbx %#llx exits %u", regs.rbx, exits);
}

/* Three wild writes where there is a slot, read-only; then in none. */
static void readonly_slot(struct machine *m)
{
	u8 *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region r = { 5, KVM_MEM_READONLY, 0x8000000, 4096, (uintptr_t)page };
	struct kvm_regs regs;

	page[0] = 0x42;
	CHECK(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r) == 0);
	CODE_PUT(m, CODE, "\x8a\x1c\x25\x00\x00\x00\x08" "\xc6\x04\x25\x00\x00\x00\x08\x07" "\xf4");
	long_mode(m);
	registers(m, 0, CODE, 0);
	CHECK(run(m, 0) == KVM_EXIT_MMIO);
	fact("write %u of %#llx len %u;", m->run[0]->mmio.is_write, m->run[0]->mmio.phys_addr, m->run[0]->mmio.len);
	CHECK(run(m, 0) == KVM_EXIT_HLT);
	CHECK(ioctl(m->vcpu[0], KVM_GET_REGS, &regs) == 0);
	CHECK((regs.rbx & 0xff) == 0x42 && page[0] == 0x42);
	r.memory_size = 0;
	CHECK(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r) == 0);
	registers(m, 0, CODE, 0);
	CHECK(run(m, 0) == KVM_EXIT_MMIO);
	fact(" then read %u", !m->run[0]->mmio.is_write);
	munmap(page, 4096);
}

/* mov %rax,0x200000 + rcx * 4096 downwards from 2 MiB: the log says which pages */
static void dirty_log(struct machine *m)
{
	struct kvm_userspace_memory_region r = { 0, KVM_MEM_LOG_DIRTY_PAGES, 0, MEMORY_BYTES, (uintptr_t)m->memory };
	u64 bits[MEMORY_BYTES / 4096 / 64], count[2] = { 0, 0 };
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bits };

	/* mov $0x200000,%ebx; 1: mov %ecx,(%rbx); add $0x2000,%ebx; dec %ecx; jnz 1b; hlt */
	CODE_PUT(m, CODE, "\xbb\x00\x00\x20\x00" "\x89\x0b\x81\xc3\x00\x20\x00\x00\xff\xc9\x75\xf4\xf4");
	long_mode(m);
	registers(m, 0, CODE, 64);
	CHECK(run(m, 0) == KVM_EXIT_HLT);	/* everything mapped, perhaps by large pages */
	CHECK(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r) == 0);
	for (unsigned round = 0; round < 2; round++) {
		registers(m, 0, CODE, 64);
		CHECK(run(m, 0) == KVM_EXIT_HLT);
		memset(bits, 0, sizeof(bits));
		CHECK(ioctl(m->vm, KVM_GET_DIRTY_LOG, &log) == 0);
		for (unsigned n = 0; n < 64; n++)
			count[round] += bits[(0x200 + 2 * n) / 64] >> ((0x200 + 2 * n) % 64) & 1;
		CHECK(!(bits[0x201 / 64] >> 1 & 1));
	}
	CHECK(count[0] == 64 && count[1] == 64);
	fact("dirty %llu and %llu", (unsigned long long)count[0], (unsigned long long)count[1]);
}

/* The owner replaces a page under the guest: it sees the new one. */
static void memory_changes(struct machine *m)
{
	struct kvm_regs regs;

	/* 1: mov 0x300000,%ebx; out %al,$0x10; jmp 1b */
	CODE_PUT(m, CODE, "\x8b\x1c\x25\x00\x00\x30\x00\xe6\x10\xeb\xf5");
	*(u32 *)(m->memory + 0x300000) = 1;
	long_mode(m);
	registers(m, 0, CODE, 0);
	for (u32 value = 1; value < 6; value++) {
		CHECK(run(m, 0) == KVM_EXIT_IO);
		CHECK(ioctl(m->vcpu[0], KVM_GET_REGS, &regs) == 0);
		CHECK(regs.rbx == value);
		CHECK(madvise(m->memory + 0x300000, 0x1000, MADV_DONTNEED) == 0);
		*(u32 *)(m->memory + 0x300000) = value + 1;
	}
	CHECK(mprotect(m->memory + 0x300000, 0x1000, PROT_NONE) == 0);
	CHECK(ioctl(m->vcpu[0], KVM_RUN, 0) == -1);
	fact("without permission errno %d", errno);
	CHECK(mprotect(m->memory + 0x300000, 0x1000, PROT_READ | PROT_WRITE) == 0);
	CHECK(run(m, 0) == KVM_EXIT_IO);
}

/* The PIT's ticks through PIC and LAPIC: an interrupt handler counts 20 of them. */
static void timer_interrupts(struct machine *m)
{
	struct kvm_regs regs;
	u32 reason;

	/*
	 * Real mode: handler at 0x2000 for vector 0x20 by way of the PIC at 0x20.
	 * mov al,0x11; out 0x20; mov al,0x20; out 0x21; mov al,4; out 0x21; mov al,1; out 0x21;
	 * mov al,0xfe; out 0x21; mov al,0x34; out 0x43; mov al,0xa9; out 0x40; mov al,4; out 0x40;
	 * sti; 1: hlt; cmp cx,20; jb 1b; out 0x10,al
	 */
	CODE_PUT(m, CODE, "\xb0\x11\xe6\x20\xb0\x20\xe6\x21\xb0\x04\xe6\x21\xb0\x01\xe6\x21\xb0\xfe\xe6\x21"
		 "\xb0\x34\xe6\x43\xb0\xa9\xe6\x40\xb0\x04\xe6\x40\xfb\xf4\x83\xf9\x14\x72\xfa\xe6\x10");
	CODE_PUT(m, 0x2000, "\x41\xb0\x20\xe6\x20\xcf");	/* inc cx; EOI; iret */
	*(u32 *)(m->memory + 0x20 * 4) = 0x2000;
	real_mode(m);
	reason = run(m, 0);
	CHECK(ioctl(m->vcpu[0], KVM_GET_REGS, &regs) == 0);
	CHECK(reason == KVM_EXIT_IO && m->run[0]->io.port == 0x10);
	CHECK(regs.rcx >= 20);		/* more, if ticks were late and came at once */
	fact("ticks came, reason %u", reason);
}

/* An irqfd wakes a halted guest; a port write signals an ioeventfd. */
static void events(struct machine *m)
{
	int irq = eventfd(0, 0), io = eventfd(0, EFD_NONBLOCK);
	struct kvm_irqfd irqfd = { .fd = (u32)irq, .gsi = 5 };
	struct kvm_ioeventfd ioeventfd = { .addr = 0x55, .len = 1, .fd = io, .flags = KVM_IOEVENTFD_FLAG_PIO };
	u64 one = 1, count = 0;

	CHECK(ioctl(m->vm, KVM_IRQFD, &irqfd) == 0);
	CHECK(ioctl(m->vm, KVM_IRQFD, &irqfd) == -1 && errno == EBUSY);
	CHECK(ioctl(m->vm, KVM_IOEVENTFD, &ioeventfd) == 0);
	/* PIC as above with IRQ 5 open; out 0x11, al; out 0x55, al (twice); sti; 1: cmp cx,0; je 1b; out 0x10, al */
	CODE_PUT(m, CODE, "\xb0\x11\xe6\x20\xb0\x20\xe6\x21\xb0\x04\xe6\x21\xb0\x01\xe6\x21\xb0\xdf\xe6\x21"
		 "\xe6\x11\xe6\x55\xe6\x55\xfb\x83\xf9\x00\x74\xfb\xe6\x10");
	CODE_PUT(m, 0x2000, "\x41\xb0\x20\xe6\x20\xcf");
	*(u32 *)(m->memory + 0x25 * 4) = 0x2000;
	real_mode(m);
	CHECK(run(m, 0) == KVM_EXIT_IO && m->run[0]->io.port == 0x11);
	CHECK(write(irq, &one, sizeof(one)) == sizeof(one));
	CHECK(run(m, 0) == KVM_EXIT_IO && m->run[0]->io.port == 0x10);
	CHECK(read(io, &count, sizeof(count)) == sizeof(count) && count == 2);
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	CHECK(ioctl(m->vm, KVM_IRQFD, &irqfd) == 0);
	fact("signals %llu", (unsigned long long)count);
	close(irq);
	close(io);
}

/* --- two vCPUs ----------------------------------------------------------------------------- */

struct second { struct machine *m; u32 reason, port; };

static void *second_run(void *arg)
{
	struct second *s = arg;

	s->reason = run(s->m, 1);
	s->port = s->m->run[1]->io.port;
	return NULL;
}

/* The first starts the second by INIT and SIPI; both count in memory; the second answers. */
static void two_processors(struct machine *m)
{
	struct second s = { .m = m };
	pthread_t thread;

	vcpu_make(m, 1);
	/* mov ebx,0xfee00000 ; [ebx+0x300] = 0xc4500 (INIT to all others) ; 0xc4602 (SIPI, 0x2000) */
	CODE_PUT(m, CODE, "\xbb\x00\x00\xe0\xfe" "\xc7\x83\x00\x03\x00\x00\x00\x45\x0c\x00"
		 "\xc7\x83\x00\x03\x00\x00\x02\x46\x0c\x00"
		 "\x8b\x04\x25\x00\x30\x00\x00\x83\xf8\x01\x75\xf4\xe6\x10");	/* until [0x3000] is 1 */
	/* real mode at 0200:0000: mov ax,1; ... mov [cs-relative 0x3000] */
	CODE_PUT(m, 0x2000, "\x31\xc0\x8e\xd8\x66\xc7\x06\x00\x30\x01\x00\x00\x00\xe6\x11");
	long_mode(m);
	registers(m, 0, CODE, 0);
	{	/* the LAPIC's page has to be mapped, too: 0xfee00000 in the fourth GiB */
		u64 *third = (u64 *)(m->memory + TABLES + 0x1000), *second = (u64 *)(m->memory + TABLES + 0x3000);

		third[3] = (TABLES + 0x3000) | 7;
		for (u64 i = 0; i < 512; i++)
			second[i] = 0xc0000000ull + (i << 21) + 0x87;
	}
	pthread_create(&thread, NULL, second_run, &s);
	CHECK(run(m, 0) == KVM_EXIT_IO && m->run[0]->io.port == 0x10);
	pthread_join(thread, NULL);
	CHECK(s.reason == KVM_EXIT_IO && s.port == 0x11);
	fact("ports %#x and %#x", m->run[0]->io.port, s.port);
}

/* --- stopping, and refusals ------------------------------------------------------------------ */

static void alarm_ignored(int number)
{
	(void)number;
}

/* A guest that never exits: a signal ends KVM_RUN. */
static void signals(struct machine *m)
{
	struct sigaction action = { .sa_handler = alarm_ignored };

	CODE_PUT(m, CODE, "\xeb\xfe");
	real_mode(m);
	sigaction(SIGALRM, &action, NULL);
	alarm(1);
	CHECK(ioctl(m->vcpu[0], KVM_RUN, 0) == -1 && errno == EINTR);
	fact("errno %d reason %u rip %#llx", EINTR, m->run[0]->exit_reason, (unsigned long long)rip_of(m));
	m->run[0]->immediate_exit = 1;
	CHECK(ioctl(m->vcpu[0], KVM_RUN, 0) == -1 && errno == EINTR);
	m->run[0]->immediate_exit = 0;
}

/* Bad arguments are refused, from this process and from another. */
static void refusals(struct machine *m)
{
	struct kvm_userspace_memory_region r = { 7, 0, 0x1000, 0x1001, 0 };
	struct kvm_msrs many = { .nmsrs = ~0u };
	int status;
	pid_t child;

	CHECK(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r) == -1);
	fact("region %d", errno);
	CHECK(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, 8) == -1);
	fact(" pointer %d", errno);
	CHECK(ioctl(m->vcpu[0], KVM_SET_MSRS, &many) == -1);
	fact(" count %d", errno);
	CHECK(ioctl(m->vcpu[0], KVM_SET_REGS, ~0ul) == -1);
	fact(" kernel's %d", errno);
	CHECK(ioctl(m->vm, KVM_CREATE_VCPU, 0) == -1);
	fact(" twice %d", errno);
	CHECK(ioctl(kvm, KVM_CREATE_VM, 0x12345) == -1);
	fact(" type %d", errno);
	CHECK(mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, m->vm, 0) == MAP_FAILED);
	fact(" mmap %d", errno);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		CODE_PUT(m, CODE, "\xf4");
		_exit(ioctl(m->vcpu[0], KVM_RUN, 0) == -1 ? errno : 0);
	}
	waitpid(child, &status, 0);
	fact(" other process %d", WEXITSTATUS(status));
}

/* --- changes under load ---------------------------------------------------------------------- */

struct runner { struct machine *m; bool stop; unsigned exits; int error; };

/* Run, answering every exit with zeros, until told to stop or until it fails. */
static void *runner(void *arg)
{
	struct runner *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		if (ioctl(r->m->vcpu[0], KVM_RUN, 0) == 0) {
			__atomic_fetch_add(&r->exits, 1, __ATOMIC_RELEASE);
			memset(r->m->run[0]->mmio.data, 0, 8);
		} else if (errno != EINTR && errno != EAGAIN) {
			r->error = errno;
			break;
		}
	}
	return NULL;
}

/* 1: mov %eax,0x8000000; mov 0x8000000,%ebx; out %al,$0x10; jmp 1b */
#define TOUCH "\x89\x04\x25\x00\x00\x00\x08\x8b\x1c\x25\x00\x00\x00\x08\xe6\x10\xeb\xee"

/* A slot comes and goes while the guest uses it: memory or device, never an error. */
static void slots_under_load(struct machine *m)
{
	u8 *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region r = { 5, 0, 0x8000000, 4096, (uintptr_t)page };
	struct runner other = { .m = m };
	pthread_t thread;

	CODE_PUT(m, CODE, TOUCH);
	long_mode(m);
	registers(m, 0, CODE, 0);
	pthread_create(&thread, NULL, runner, &other);
	for (unsigned n = 0; n < 200; n++) {
		r.memory_size = n & 1 ? 0 : 4096;
		r.flags = n & 2 ? KVM_MEM_LOG_DIRTY_PAGES : 0;
		CHECK(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r) == 0);
	}
	__atomic_store_n(&other.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	CHECK(other.exits > 0);
	fact("error %d", other.error);
	munmap(page, 4096);
}

/* The guest's memory is unmapped, moved and mapped again while it runs. */
static void unmapped_while_running(struct machine *m)
{
	u8 *page = mmap(NULL, 1 << 21, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region r = { 5, 0, 0x8000000, 1 << 21, (uintptr_t)page };
	struct runner other = { .m = m };
	pthread_t thread;

	CHECK(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r) == 0);
	CODE_PUT(m, CODE, TOUCH);
	long_mode(m);
	registers(m, 0, CODE, 0);
	pthread_create(&thread, NULL, runner, &other);
	for (unsigned n = 0; n < 200; n++) {
		CHECK(madvise(page, 1 << 21, MADV_DONTNEED) == 0);
		CHECK(mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
		page[8] = (u8)n;
	}
	while (__atomic_load_n(&other.exits, __ATOMIC_ACQUIRE) < 50)
		usleep(1000);
	munmap(page, 1 << 21);
	pthread_join(thread, NULL);	/* it ends with an error, of which only it hears */
	fact("error %d", other.error);
}

static void capabilities(struct machine *m)
{
	static const int caps[] = { KVM_CAP_IRQCHIP, KVM_CAP_USER_MEMORY, KVM_CAP_IRQFD, KVM_CAP_IOEVENTFD,
				    KVM_CAP_READONLY_MEM, KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_EXT_CPUID,
				    KVM_CAP_SIGNAL_MSI, KVM_CAP_MP_STATE, KVM_CAP_PIT2 };

	fact("api %d run %zu:", ioctl(kvm, KVM_GET_API_VERSION, 0), run_bytes());
	for (unsigned n = 0; n < sizeof(caps) / sizeof(caps[0]); n++)
		fact(" %d", ioctl(m->vm, KVM_CHECK_EXTENSION, caps[n]));
}

/* VMs come and go, vCPU descriptors outlive VM descriptors. */
static void comings_and_goings(struct machine *m)
{
	(void)m;
	for (unsigned n = 0; n < 20; n++) {
		struct machine other;

		machine_make(&other, n & 1);
		CODE_PUT(&other, CODE, "\xf4\xe6\x10");
		real_mode(&other);
		close(other.vm);
		other.vm = -1;
		if (!other.with_chips)
			CHECK(run(&other, 0) == KVM_EXIT_HLT);
		machine_free(&other);
	}
	fact("20");
}

static const struct test { const char *name; void (*fn)(struct machine *m); bool with_chips; } tests[] = {
	{ "capabilities", capabilities, true },
	{ "two_and_two", two_and_two, false },
	{ "ports", ports, false },
	{ "device_memory", device_memory, false },
	{ "cpuid", cpuid, false },
	{ "msrs", msrs, false },
	{ "halts", halts, false },
	{ "vectors", vectors, false },
	{ "readonly_slot", readonly_slot, false },
	{ "dirty_log", dirty_log, false },
	{ "memory_changes", memory_changes, false },
	{ "timer_interrupts", timer_interrupts, true },
	{ "events", events, true },
	{ "two_processors", two_processors, true },
	{ "signals", signals, false },
	{ "refusals", refusals, false },
	{ "slots_under_load", slots_under_load, false },
	{ "unmapped_while_running", unmapped_while_running, false },
	{ "comings_and_goings", comings_and_goings, false },
};

static bool is_wanted(const char *name, int argc, char **argv)
{
	for (int n = 1; n < argc; n++)
		if (!strcmp(argv[n], name))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	bool any_failed = false;

	if (argc == 2 && !strcmp(argv[1], "-l")) {
		for (unsigned n = 0; n < sizeof(tests) / sizeof(tests[0]); n++)
			puts(tests[n].name);
		return 0;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0) {
		printf("FAIL open /dev/kvm: errno %d\n", errno);
		return 1;
	}
	for (unsigned n = 0; n < sizeof(tests) / sizeof(tests[0]); n++) {
		struct machine m;

		if (!is_wanted(tests[n].name, argc, argv))
			continue;
		test_name = tests[n].name;
		facts[0] = 0;
		failed = false;
		machine_make(&m, tests[n].with_chips);
		tests[n].fn(&m);
		machine_free(&m);
		if (!failed)
			printf("ok   %s: %s\n", test_name, facts);
		any_failed |= failed;
	}
	return any_failed;
}
