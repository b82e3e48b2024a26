// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exits.c - what it costs to leave a guest and come back
 *
 * usage: exits TIMES [NAME]
 *
 * Linked with the library, or with tests/module/dev_kvm.c (TINY_DEV_KVM) for a kernel's /dev/kvm.
 *
 * Each line of output is a name, ticks of the time-stamp counter for one turn of the guest's loop, and
 * turns a second.  A turn is the instruction and three more.  In a machine that counts instructions
 * (QEMU's -icount shift=0) a tick is an instruction, in the guest, the kernel and this program.
 *
 * The guest runs in 64-bit mode with four levels of page tables.  The best of several rounds counts.
 */
#include "tests/guest/tiny.h"

#define ROUNDS		3
#define FRESH		0x1000000ul	/* a slot of its own, for faults */
#define FRESH_LINEAR	"0x1000000"	/* mapped by large pages */
#define DEVICE_LINEAR	"0x400000"	/* TINY_DEVICE */
#define IPI_VECTOR	0x40
#define IPI_COUNT	0x50000ul	/* how many a vCPU got: a page each */

static u64 ticks(void)
{
	u32 low, high;

	__asm__ volatile("lfence\nrdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low | (u64)high << 32;
}

/* The rounds of one price; the best counts. */
struct round { u64 ticks, ns; };
struct price { struct round begin, best; };

static void round_begin(struct price *p)
{
	p->begin = (struct round){ ticks(), tiny_now_ns() };
}

static void round_end(struct price *p)
{
	struct round r = { ticks() - p->begin.ticks, tiny_now_ns() - p->begin.ns };

	if (!p->best.ticks || r.ticks < p->best.ticks)
		p->best = r;
}

/* The only price wanted; NULL: all. */
static const char *only;

static bool is_wanted(const char *name)
{
	return !only || !strcmp(only, name);
}

static void price_print(const struct price *p, const char *name, u64 times)
{
	printf("%-12s %10.1f %12.0f\n", name, (double)p->best.ticks / (double)times,
	       (double)times * 1e9 / (double)MAX_OF(p->best.ns, 1ull));
	fflush(stdout);
}

/* --- the guest's loops ------------------------------------------------------------------ */

/* ESI turns, then DONE; EDI is FRESH. */
#define LOOP(name, before, what) \
	CODE64(name, before "\n1: " what "\ndec %esi\njnz 1b\n" DONE "jmp .\n")

LOOP(code_nothing, "", "nop")
LOOP(code_cpuid, "", "xor %eax, %eax\ncpuid")
LOOP(code_rdmsr, "mov $0x1a0, %ecx", "rdmsr")		/* IA32_MISC_ENABLE */
LOOP(code_wrmsr, "mov $0x1a0, %ecx\nrdmsr", "wrmsr")
LOOP(code_vmmcall, "", "mov $0xff, %eax\nvmmcall")	/* no such hypercall */
LOOP(code_port_write, "", "out %al, $0x10")
LOOP(code_port_read, "", "in $0x10, %al")
LOOP(code_pic_read, "", "in $0x21, %al")
LOOP(code_mmio_write, "", "movl $1, " DEVICE_LINEAR)
LOOP(code_mmio_read, "", "mov " DEVICE_LINEAR ", %eax")
LOOP(code_hlt, "", "hlt")
LOOP(code_fault, "", "movb $1, (%rdi)\nadd $0x1000, %rdi")
LOOP(code_cr3, "mov %cr3, %rax", "mov %rax, %cr3")

/* IPIs by the x2APIC's ICR; the handler counts them at RDI and says EOI. */
#define IPI_HANDLER(name) ".globl " name "\n" name ":\n" \
	"push %rax\npush %rcx\npush %rdx\nincl (%rdi)\n" \
	"mov $0x80b, %ecx\nxor %eax, %eax\nxor %edx, %edx\nwrmsr\n" \
	"pop %rdx\npop %rcx\npop %rax\niretq\n"

LOOP(code_ipi_self, "mov $0x830, %ecx\nmov $0x40040, %eax\nsti\njmp 1f\n" IPI_HANDLER("ipi_self_handler"), "wrmsr")
LABEL(ipi_self_handler)

/*
 * vCPU 0 sends one to the other (EDX), which sleeps in HLT, and sleeps until the answer: two IPIs
 * and two wake-ups a turn.  EBP counts along.
 */
#define AWAIT	"2: cli\ncmp %ebp, (%rdi)\nje 3f\nsti\nhlt\njmp 2b\n3: sti\n"
LOOP(code_ipi_ask, "mov $0x830, %ecx\nmov $0x40, %eax\nsti\njmp 1f\n" IPI_HANDLER("ipi_handler"),
     "inc %ebp\nwrmsr\n" AWAIT)
LABEL(ipi_handler)
LOOP(code_ipi_answer, "mov $0x830, %ecx\nmov $0x40, %eax\nsti", "inc %ebp\n" AWAIT "wrmsr")

/* --- running them ----------------------------------------------------------------------- */

/* Until DONE; the client answers all else with nothing. */
static bool serve(struct tiny_thread *h, int exit)
{
	(void)h;
	return exit == KVM_EXIT_IO || exit == KVM_EXIT_MMIO || exit == KVM_EXIT_HLT;
}

static void run(struct tiny *t, unsigned n)
{
	struct tiny_thread here = { .t = t, .n = n, .serve = serve };

	tiny_thread_main(&here);
}

static void start(struct tiny *t, unsigned n, u64 rip, u64 rdi, u64 rdx, u64 times)
{
	struct kvm_regs r;

	tiny_start(t, n, TINY_64);
	r = tiny_regs(t, n);
	r.rip = rip;
	r.rsi = times;
	r.rdi = rdi;
	r.rdx = rdx;
	tiny_set_regs(t, n, &r);
}

static void x2apic_enable(struct tiny *t, unsigned n)
{
	EXPECT_EQ(tiny_set_msr(t, n, 0x1b, 0xfee00c00 | (n ? 0 : 0x100)), 1);
	EXPECT_EQ(tiny_set_msr(t, n, 0x80f, 0x1ff), 1);	/* spurious vector, software enable */
}

static void loop(const char *name, unsigned flags, const u8 *code, const u8 *end, u64 times)
{
	struct price p = { 0 };
	struct tiny t;

	if (!is_wanted(name))
		return;
	tiny_create(&t, flags, 1);
	tiny_load(&t, TINY_64, code, end);
	if (code == code_ipi_self) {
		tiny_gate(&t, TINY_64, IPI_VECTOR, AT(code, ipi_self_handler));
		x2apic_enable(&t, 0);
	}
	start(&t, 0, TINY_CODE, IPI_COUNT, 0, 64);	/* all that is made at first use */
	run(&t, 0);
	for (int round = 0; round < ROUNDS && !test_failures; round++) {
		start(&t, 0, TINY_CODE, IPI_COUNT, 0, times);
		round_begin(&p);
		run(&t, 0);
		round_end(&p);
	}
	tiny_destroy(&t);
	price_print(&p, name, times);
}

/* Touch pages that the guest has not had: new ones, or such that the client has. */
static void fault(const char *name, bool is_new, u64 times)
{
	u64 bytes = times * PAGE_BYTES;
	struct price p = { 0 };
	struct tiny t;
	u8 *memory;

	if (!is_wanted(name))
		return;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		abort();
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	memset(memory, 1, bytes);
	tiny_one(&t, TINY_64, BLOB(code_fault));
	for (int round = 0; round < ROUNDS && !test_failures; round++) {
		if (is_new)
			madvise(memory, bytes, MADV_DONTNEED);
		MUST(tiny_slot(&t, 1, FRESH, memory, bytes, 0));
		start(&t, 0, TINY_CODE, FRESH, 0, times);
		round_begin(&p);
		run(&t, 0);
		round_end(&p);
		MUST(tiny_slot(&t, 1, FRESH, memory, 0, 0));
	}
	tiny_destroy(&t);
	munmap(memory, bytes);
	price_print(&p, name, times);
}

static void ipi_pair(const char *name, u64 times)
{
	u64 answer = TINY_CODE + 0x1000;
	struct tiny_thread other;
	struct price p = { 0 };
	struct tiny t;

	if (!is_wanted(name))
		return;
	tiny_create(&t, TINY_IRQCHIP, 2);
	tiny_load(&t, TINY_64, BLOB(code_ipi_ask));
	memcpy(t.memory + answer, code_ipi_answer, (size_t)(code_ipi_answer_end - code_ipi_answer));
	tiny_gate(&t, TINY_64, IPI_VECTOR, AT(code_ipi_ask, ipi_handler));
	x2apic_enable(&t, 0);
	x2apic_enable(&t, 1);
	for (int round = 0; round < ROUNDS && !test_failures; round++) {
		tiny_poke(&t, IPI_COUNT, 0);
		tiny_poke(&t, IPI_COUNT + PAGE_BYTES, 0);
		start(&t, 0, TINY_CODE, IPI_COUNT, 1, times);
		start(&t, 1, answer, IPI_COUNT + PAGE_BYTES, 0, times);
		other = (struct tiny_thread){ .serve = NULL };
		round_begin(&p);
		tiny_thread_start(&other, &t, 1);
		run(&t, 0);
		tiny_thread_join(&other);
		round_end(&p);
	}
	tiny_destroy(&t);
	price_print(&p, name, times);
}

static void get_regs(const char *name, u64 times)
{
	struct price p = { 0 };
	struct kvm_regs r;
	struct tiny t;

	if (!is_wanted(name))
		return;
	tiny_one(&t, TINY_64, BLOB(code_nothing));
	for (int round = 0; round < ROUNDS; round++) {
		round_begin(&p);
		for (u64 n = 0; n < times; n++)
			cpu_ioctl(&t, 0, KVM_GET_REGS, &r);
		round_end(&p);
	}
	tiny_destroy(&t);
	price_print(&p, name, times);
}

int main(int argc, char **argv)
{
	u64 times = argc >= 2 ? strtoull(argv[1], NULL, 0) : 0;

	if (times < 64 || times > 4096) {
		fprintf(stderr, "usage: exits TIMES [NAME]\n64 to 4096 times\n");
		return 2;
	}
	only = argc > 2 ? argv[2] : NULL;
	loop("nothing", 0, BLOB(code_nothing), times);
	loop("cpuid", 0, BLOB(code_cpuid), times);
	loop("rdmsr", 0, BLOB(code_rdmsr), times);
	loop("wrmsr", 0, BLOB(code_wrmsr), times);
	loop("vmmcall", 0, BLOB(code_vmmcall), times);
	loop("port-write", 0, BLOB(code_port_write), times);
	loop("port-read", 0, BLOB(code_port_read), times);
	loop("pic-read", TINY_IRQCHIP, BLOB(code_pic_read), times);
	loop("mmio-write", 0, BLOB(code_mmio_write), times);
	loop("mmio-read", 0, BLOB(code_mmio_read), times);
	loop("hlt", 0, BLOB(code_hlt), times);
	fault("fault", false, times);
	fault("fault-new", true, times);
	loop("cr3-write", 0, BLOB(code_cr3), times);
	loop("ipi-self", TINY_IRQCHIP, BLOB(code_ipi_self), times);
	ipi_pair("ipi-pair", times);
	get_regs("get-regs", times);
	return test_status();
}
