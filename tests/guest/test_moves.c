// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_moves.c - a guest moves to a new VM at every exit, and the trace of exits is the same
 *
 * The guest does something of everything that the client sees, or that the API's state must
 * carry: ports and devices, also by strings and across pages; exceptions, breakpoints, single steps,
 * MSRs, control and debug registers, the vector unit; and is sent interrupts, NMIs and SMIs.  Each
 * exit is written down with all general registers.  What the client answers depends only on
 * how many exits there were, so that two traces are the same or something was lost.
 */
#include "tests/guest/move.h"

CODE64(everything,
	"mov $24, %r15d\n"
	"1: in $0x40, %al\n" "out %al, $0x41\n" "mov $0x42, %edx\n" "in %dx, %eax\n" "add %eax, %r14d\n"
	"mov %r14d, %eax\n" "out %eax, %dx\n"
	"mov $0x50000, %edi\n" "mov $5, %ecx\n" "mov $0x43, %edx\n" "rep insb\n"
	"mov $0x50000, %esi\n" "mov $3, %ecx\n" "rep outsl\n"
	"mov 0x400000, %eax\n" "mov %ax, 0x400008\n" "add %rax, 0x400010\n" "mov %rax, 0x3ffffc\n" "xor 0x3ffffd, %rax\n"
	"mov $0x400020, %edi\n" "mov $0x50000, %esi\n" "mov $3, %ecx\n" "rep movsq\n" "movups %xmm0, 0x400040\n"
	"movups 0x400050, %xmm2\n" "paddq %xmm2, %xmm0\n" "lock xadd %eax, 0x400060\n"
	"mov $0xc0000082, %ecx\n" "rdmsr\n" "add $0x11, %eax\n" "wrmsr\n" "add %eax, %r14d\n"
	"mov $0xc0000102, %ecx\n" "mov %r15d, %eax\n" "xor %edx, %edx\n" "wrmsr\n" "swapgs\n"
	"ud2\n" "int $0x50\n" "xor %ecx, %ecx\n" "div %ecx\n" "mov $0x600000000, %rsi\n" "mov (%rsi), %al\n"
	"lea 3f(%rip), %rax\n" "mov %rax, %dr0\n" "mov $2, %eax\n" "mov %rax, %dr7\n" "3: nop\n" "xor %eax, %eax\n" "mov %rax, %dr7\n"
	"pushfq\n" "orl $0x100, (%rsp)\n" "popfq\n" "out %al, $0x46\n" "nop\n"
	"fninit\n" "fldpi\n" "fld1\n" "faddp\n" "fstpl 0x50100\n" "cvtsi2sd %r15d, %xmm1\n" "addsd %xmm1, %xmm3\n"
	"mov 0x50100, %rax\n" "add %rax, %r14\n" "movq %xmm3, %rax\n" "add %rax, %r14\n"
	"mov %r15d, %eax\n" "and $15, %eax\n" "mov %rax, %cr8\n" "in $0x44, %al\n" "xor %eax, %eax\n" "mov %rax, %cr8\n"
	"mov %cr3, %rax\n" "mov %rax, %cr3\n" "invlpg 0x50000\n" "xor %eax, %eax\n" "cpuid\n" "add %eax, %r14d\n"
	"sti\n" "in $0x45, %al\n" "nop\n" "out %al, $0x47\n" "hlt\n" "mov %ss, %ecx\n" "mov %ecx, %ss\n" "in $0x48, %al\n" "cli\n"
	"pushfq\n" "pop %rax\n" "add %rax, %r14\n" "dec %r15d\n" "jnz 1b\n" DONE
	"skip_2: addq $2, (%rsp)\n"
	"count: incl 0x50200\n" "push %rax\n" "mov 0x50200, %eax\n" "out %eax, $0x49\n" "pop %rax\n" "iretq\n"
	"on_fault: push %rax\n" "mov %cr2, %rax\n" "add %rax, %r14\n" "pop %rax\n" "add $8, %rsp\n" "jmp skip_2\n"
	"on_debug: push %rax\n" "mov %dr6, %rax\n" "out %eax, $0x4a\n" "xor %eax, %eax\n" "mov %rax, %dr6\n" "pop %rax\n"
	"orl $0x10000, 16(%rsp)\n" "andl $~0x100, 16(%rsp)\n" "iretq\n")
LABEL(skip_2) LABEL(count) LABEL(on_fault) LABEL(on_debug)

CODE16(in_smm, "in $0x4b, %al\n" "out %al, $0x4c\n" "rsm\n")

struct step {
	u32 reason;
	u16 port_or_length;
	u8 direction, bytes;
	u64 address, data;
	struct kvm_regs regs;
};
#define STEPS_MAX 8192u
struct trace { struct step step[STEPS_MAX]; u32 count; };

/* The client's answers: the same in every run. */
static u64 answer(u32 n)
{
	return (n + 1) * 0x9e3779b97f4a7c15ull;
}

static void step_record(struct tiny *t, struct trace *trace, u32 reason)
{
	struct kvm_run *run = t->cpu[0].run;
	struct step *s = &trace->step[trace->count];
	u64 value = answer(trace->count);

	memset(s, 0, sizeof(*s));
	s->reason = reason;
	s->regs = tiny_regs(t, 0);
	if (reason == KVM_EXIT_IO) {
		s->port_or_length = run->io.port;
		s->direction = run->io.direction;
		s->bytes = run->io.size;
		s->address = run->io.count;
		if (run->io.direction == KVM_EXIT_IO_OUT)
			memcpy(&s->data, tiny_io_data(run), MIN_OF(run->io.size * run->io.count, 8));
		else
			for (u32 n = 0; n < run->io.count; n++)
				memcpy((u8 *)tiny_io_data(run) + n * run->io.size, &value, run->io.size);
	}
	if (reason == KVM_EXIT_MMIO) {
		s->port_or_length = (u16)run->mmio.len;
		s->direction = run->mmio.is_write;
		s->address = run->mmio.phys_addr;
		if (run->mmio.is_write)
			memcpy(&s->data, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, &value, 8);
	}
	trace->count++;
}

/* Events come at exits of certain numbers. */
struct plan { u32 interrupt, nmi, smi; };

static void events_send(struct tiny *t, const struct plan *plan, u32 n)
{
	struct kvm_run *run = t->cpu[0].run;

	if (plan->interrupt && n % plan->interrupt == 1 && run->ready_for_interrupt_injection && run->if_flag)
		MUST(cpu_ioctl(t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x51 }));
	if (plan->nmi && n % plan->nmi == 2)
		MUST(cpu_ioctl(t, 0, KVM_NMI, NULL));
	if (plan->smi && n % plan->smi == 3)
		MUST(cpu_ioctl(t, 0, KVM_SMI, NULL));
}

/* In SMM the same memory is seen. */
static void smram_make(struct tiny *t)
{
	MUST(tiny_slot(t, 1 << 16, 0, t->memory, TINY_BYTES, 0));
}

static void trace_make(struct trace *trace, const struct plan *plan, u32 move_every)
{
	struct tiny t;
	int r;

	tiny_one(&t, TINY_64, BLOB(everything));
	smram_make(&t);
	memcpy(t.memory + 0x38000, in_smm, (size_t)(in_smm_end - in_smm));
	tiny_gate(&t, TINY_64, 0, AT(everything, skip_2));
	tiny_gate(&t, TINY_64, 1, AT(everything, on_debug));
	tiny_gate(&t, TINY_64, 2, AT(everything, count));
	tiny_gate(&t, TINY_64, 6, AT(everything, skip_2));
	tiny_gate(&t, TINY_64, 14, AT(everything, on_fault));
	tiny_gate(&t, TINY_64, 0x50, AT(everything, count));
	tiny_gate(&t, TINY_64, 0x51, AT(everything, count));
	trace->count = 0;
	r = tiny_run(&t, 0);
	while (trace->count < STEPS_MAX) {
		if (r != KVM_EXIT_IO && r != KVM_EXIT_MMIO && r != KVM_EXIT_HLT && r != KVM_EXIT_SET_TPR) {
			tiny_describe(&t, 0, r);
			test_failures++;
			break;
		}
		step_record(&t, trace, (u32)r);
		if (tiny_is_out(t.cpu[0].run, PORT_DONE))
			break;
		if (tiny_is_out(t.cpu[0].run, PORT_VECTOR)) {
			tiny_describe(&t, 0, r);
			test_failures++;
			break;
		}
		events_send(&t, plan, trace->count);
		r = -EINTR;
		if (move_every && trace->count % move_every == 0)
			r = tiny_move(&t, smram_make);
		if (r == -EIO)
			break;
		if (r == -EINTR)
			r = tiny_run(&t, 0);
	}
	tiny_destroy(&t);
}

static struct trace expected, got;

static void step_print(const char *what, const struct step *s)
{
	const struct kvm_regs *r = &s->regs;

	fprintf(stderr, "  %s: exit %u port or length %#x direction %u address %#llx data %#llx\n    rip %#llx rflags %#llx rsp %#llx"
		" rax %#llx rbx %#llx rcx %#llx rdx %#llx rsi %#llx rdi %#llx r14 %#llx r15 %#llx\n", what, s->reason, s->port_or_length,
		s->direction, (unsigned long long)s->address, (unsigned long long)s->data, r->rip, r->rflags, r->rsp, r->rax, r->rbx,
		r->rcx, r->rdx, r->rsi, r->rdi, r->r14, r->r15);
}

static void traces_are_the_same(void)
{
	if (expected.count != got.count)
		EXPECT_EQ(got.count, expected.count);
	for (u32 n = 0; n < expected.count && n < got.count; n++) {
		const struct step *a = &expected.step[n], *b = &got.step[n];

		if (!memcmp(a, b, sizeof(*a)))
			continue;
		fprintf(stderr, "exit %u:\n", n);
		step_print("without moves", a);
		step_print("with moves", b);
		test_failures++;
		return;
	}
}

static void at_every_exit(const struct plan *plan)
{
	trace_make(&expected, plan, 0);
	EXPECT(expected.count > 500);
	for (u32 every = 1; every <= 3; every++) {
		trace_make(&got, plan, every);
		traces_are_the_same();
	}
}

static void nothing_is_lost(void)
{
	at_every_exit(&(struct plan){ 0 });
}

static void interrupts_are_not_lost(void)
{
	at_every_exit(&(struct plan){ .interrupt = 3 });
}

static void nmis_are_not_lost(void)
{
	at_every_exit(&(struct plan){ .interrupt = 4, .nmi = 7 });
}

static void smis_are_not_lost(void)
{
	at_every_exit(&(struct plan){ .interrupt = 4, .nmi = 9, .smi = 5 });
}

int main(void)
{
	tiny_watchdog();
	TEST(nothing_is_lost);
	TEST(interrupts_are_not_lost);
	if (on_dev_kvm())	/* others find the end of what holds an NMI up by steps, now and then one later */
		return test_status();
	TEST(nmis_are_not_lost);
	TEST(smis_are_not_lost);
	return test_status();
}
