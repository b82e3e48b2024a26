// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_irq.c - interrupts and time of tiny guests with in-kernel interrupt chips
 *
 * Counters that handlers keep are words at TINY_DATA.  Times are checked from below only:
 * a timer must not be early, and how late it is depends on who else uses the machine.
 */
#include "tests/guest/tiny.h"

#define COUNT		TINY_DATA		/* interrupts served */
#define COUNT_2		(TINY_DATA + 4)
#define FLAG		(TINY_DATA + 8)
#define APIC		"mov $0xfee00000, %r15d\n"
#define APIC_ON		APIC "movl $0x1ff, 0xf0(%r15)\n"
#define EOI		"movl $0, 0xb0(%r15)\n"
#define HANDLER(name)	#name ": lock incl 0x50000\n" EOI "iretq\n"
#define HANDLER_2(name)	#name ": lock incl 0x50004\n" EOI "iretq\n"

/* 64-bit guest with in-kernel chips and this many vCPUs, ready to run. */
static void irq_guest(struct tiny *t, unsigned flags, unsigned cpus, const u8 *code, const u8 *end)
{
	tiny_create(t, TINY_IRQCHIP | flags, cpus);
	tiny_load(t, TINY_64, code, end);
	tiny_start(t, 0, TINY_64);
}

/* --- PIC and PIT ---------------------------------------------------------------------------- */

CODE64(pit_guest,
	/* PIC: vectors 0x20 and 0x28, IRQ 0 unmasked */
	"mov $0x11, %al\n" "out %al, $0x20\n" "out %al, $0xa0\n"
	"mov $0x20, %al\n" "out %al, $0x21\n" "mov $0x28, %al\n" "out %al, $0xa1\n"
	"mov $4, %al\n" "out %al, $0x21\n" "mov $2, %al\n" "out %al, $0xa1\n"
	"mov $1, %al\n" "out %al, $0x21\n" "out %al, $0xa1\n"
	"mov $0xfe, %al\n" "out %al, $0x21\n" "mov $0xff, %al\n" "out %al, $0xa1\n"
	/* PIT counter 0, mode 2, 1193: every 1.0 ms */
	"mov $0x34, %al\n" "out %al, $0x43\n" "mov $0xa9, %al\n" "out %al, $0x40\n" "mov $4, %al\n" "out %al, $0x40\n"
	"out %al, $0x80\n"
	"1: sti\n" "hlt\n" "cli\n" "cmpl $100, 0x50000\n" "jb 1b\n"
	DONE
	"pit_handler: lock incl 0x50000\n" "mov $0x20, %al\n" "out %al, $0x20\n" "iretq\n")
LABEL(pit_handler)

static void pit_ticks_take_their_time(void)
{
	struct tiny t;
	u64 start;

	irq_guest(&t, TINY_PIT, 1, BLOB(pit_guest));
	tiny_gate(&t, TINY_64, 0x20, AT(pit_guest, pit_handler));
	start = tiny_now_ns();
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
	EXPECT_DONE(&t, 0);
	EXPECT(tiny_get(&t, COUNT, 4) >= 100);	/* two at once, if one was late */
	EXPECT(tiny_now_ns() - start > 99 * 1000000);
	tiny_destroy(&t);
}

CODE64(pic_guest,
	"mov $0x11, %al\n" "out %al, $0x20\n" "out %al, $0xa0\n"
	"mov $0x20, %al\n" "out %al, $0x21\n" "mov $0x28, %al\n" "out %al, $0xa1\n"
	"mov $4, %al\n" "out %al, $0x21\n" "mov $2, %al\n" "out %al, $0xa1\n"
	"mov $1, %al\n" "out %al, $0x21\n" "out %al, $0xa1\n"
	"mov $0, %al\n" "out %al, $0x21\n" "out %al, $0xa1\n"
	"sti\n" "1: out %al, $0x81\n" "jmp 1b\n"
	"pic_handler: lock incl 0x50000\n" "mov $0x20, %al\n" "out %al, $0x20\n" "iretq\n"
	"pic_handler_2: lock incl 0x50004\n" "mov $0x20, %al\n" "out %al, $0xa0\n" "out %al, $0x20\n" "iretq\n")
LABEL(pic_handler) LABEL(pic_handler_2)

static void line(struct tiny *t, u32 gsi, u32 level)
{
	MUST(vm_ioctl(t, KVM_IRQ_LINE, &(struct kvm_irq_level){ .irq = gsi, .level = level }));
}

static void pic_lines_are_edges(void)
{
	struct tiny t;

	irq_guest(&t, 0, 1, BLOB(pic_guest));
	tiny_gate(&t, TINY_64, 0x24, AT(pic_guest, pic_handler));
	tiny_gate(&t, TINY_64, 0x2b, AT(pic_guest, pic_handler_2));
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
	for (unsigned n = 1; n <= 5; n++) {
		line(&t, 4, 1);
		EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
		EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
		EXPECT_EQ(tiny_get(&t, COUNT, 4), n);	/* once, although it is still up */
		line(&t, 4, 0);
		line(&t, 11, 1);
		line(&t, 11, 0);
		EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
		EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
		EXPECT(tiny_get(&t, COUNT_2, 4) <= n);	/* a pulse may be lost before it is acknowledged */
	}
	tiny_destroy(&t);
}

/* --- the local APIC's timer -------------------------------------------------------------------- */

CODE64(one_shot,
	APIC_ON
	"movl $0xb, 0x3e0(%r15)\n"		/* divide by 1 */
	"movl $0x40, 0x320(%r15)\n"
	"mov $20, %ebx\n"
	"1: movl $1000000, 0x380(%r15)\n"
	"mov 0x390(%r15), %eax\n" "cmp $1000000, %eax\n" "ja 3f\n"
	"2: sti\n" "hlt\n" "cli\n"
	"mov 0x390(%r15), %eax\n" "test %eax, %eax\n" "jnz 3f\n"	/* over: counts no more */
	"dec %ebx\n" "jnz 1b\n" DONE
	"3: ud2\n"
	HANDLER(one_shot_handler))
LABEL(one_shot_handler)

static void timer_one_shot(void)
{
	struct tiny t;
	u64 start;

	irq_guest(&t, 0, 1, BLOB(one_shot));
	tiny_gate(&t, TINY_64, 0x40, AT(one_shot, one_shot_handler));
	start = tiny_now_ns();
	EXPECT_DONE(&t, 0);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 20);
	EXPECT(tiny_now_ns() - start >= 20 * 1000000);	/* the bus clock is 1 GHz, as KVM's */
	tiny_destroy(&t);
}

CODE64(periodic,
	APIC_ON
	"movl $0x3, 0x3e0(%r15)\n"		/* divide by 16 */
	"movl $0x20040, 0x320(%r15)\n"
	"movl $62500, 0x380(%r15)\n"		/* every ms */
	"1: sti\n" "hlt\n" "cli\n" "cmpl $30, 0x50000\n" "jb 1b\n"
	"movl $0x30040, 0x320(%r15)\n"		/* masked */
	DONE
	HANDLER(periodic_handler))
LABEL(periodic_handler)

static void timer_periodic(void)
{
	struct tiny t;
	u64 start;

	irq_guest(&t, 0, 1, BLOB(periodic));
	tiny_gate(&t, TINY_64, 0x40, AT(periodic, periodic_handler));
	start = tiny_now_ns();
	EXPECT_DONE(&t, 0);
	EXPECT(tiny_get(&t, COUNT, 4) >= 30);	/* two at once, if one was late */
	EXPECT(tiny_now_ns() - start >= 29 * 1000000);
	tiny_destroy(&t);
}

CODE64(deadline,
	APIC_ON
	"movl $0x40040, 0x320(%r15)\n" "mfence\n"
	"mov $20, %ebx\n"
	"1: rdtsc\n" "shl $32, %rdx\n" "or %rdx, %rax\n" "add 0x50010, %rax\n"
	"mov %rax, %r8\n" "mov %rax, %rdx\n" "shr $32, %rdx\n" "mov $0x6e0, %ecx\n" "wrmsr\n"
	"sti\n" "hlt\n" "cli\n"
	"rdtsc\n" "shl $32, %rdx\n" "or %rdx, %rax\n" "cmp %r8, %rax\n" "jb 2f\n"	/* never early */
	"mov $0x6e0, %ecx\n" "rdmsr\n" "or %edx, %eax\n" "jnz 2f\n"			/* disarmed */
	"dec %ebx\n" "jnz 1b\n"
	/* A deadline in the past fires at once; zero disarms. */
	"mov $1, %eax\n" "xor %edx, %edx\n" "mov $0x6e0, %ecx\n" "wrmsr\n" "sti\n" "hlt\n" "cli\n"
	DONE
	"2: ud2\n"
	HANDLER(deadline_handler))
LABEL(deadline_handler)

static void timer_tsc_deadline(void)
{
	struct tiny_cpuid c;
	struct tiny t;

	irq_guest(&t, 0, 1, BLOB(deadline));
	memset(&c, 0, sizeof(c));
	c.head.nent = TINY_CPUID_MAX;
	MUST(cpu_ioctl(&t, 0, KVM_GET_CPUID2, &c));
	tiny_leaf(&c, 1, 0)->ecx |= 1u << 24;
	MUST(cpu_ioctl(&t, 0, KVM_SET_CPUID2, &c));
	tiny_gate(&t, TINY_64, 0x40, AT(deadline, deadline_handler));
	tiny_put(&t, TINY_DATA + 0x10, 8, (u64)MUST(cpu_ioctl(&t, 0, KVM_GET_TSC_KHZ, NULL)));	/* 1 ms */
	EXPECT_DONE(&t, 0);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 21);
	tiny_destroy(&t);
}

CODE64(x2apic,
	"mov $0x1b, %ecx\n" "rdmsr\n" "or $0xc00, %eax\n" "wrmsr\n"
	"mov $0x80f, %ecx\n" "mov $0x1ff, %eax\n" "xor %edx, %edx\n" "wrmsr\n"
	"mov $0x802, %ecx\n" "rdmsr\n" "mov %eax, %ebx\n"
	"mov $0x83f, %ecx\n" "mov $0x40, %eax\n" "xor %edx, %edx\n"
	"mov $10, %esi\n"
	"1: wrmsr\n" "sti\n" "nop\n" "cli\n" "dec %esi\n" "jnz 1b\n"	/* self IPIs */
	"mov $0x83e, %ecx\n" "mov $0xb, %eax\n" "wrmsr\n"
	"mov $0x832, %ecx\n" "mov $0x40, %eax\n" "wrmsr\n"
	"mov $0x838, %ecx\n" "mov $100000, %eax\n" "wrmsr\n"
	"sti\n" "hlt\n" "cli\n"
	"mov $0x830, %ecx\n" "mov $0x4040, %eax\n" "xor %edx, %edx\n" "wrmsr\n"	/* to id 0 */
	"sti\n" "nop\n" "nop\n" "cli\n"
	DONE
	"x2apic_handler: lock incl 0x50000\n" "push %rax\n" "push %rcx\n" "push %rdx\n"
	"mov $0x80b, %ecx\n" "xor %eax, %eax\n" "xor %edx, %edx\n" "wrmsr\n"
	"pop %rdx\n" "pop %rcx\n" "pop %rax\n" "iretq\n")
LABEL(x2apic_handler)

static void x2apic_by_msrs(void)
{
	struct tiny t;

	irq_guest(&t, 0, 1, BLOB(x2apic));
	tiny_gate(&t, TINY_64, 0x40, AT(x2apic, x2apic_handler));
	EXPECT_DONE(&t, 0);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 12);
	EXPECT_EQ(tiny_regs(&t, 0).rbx, 0);
	EXPECT_EQ(tiny_msr(&t, 0, X86_MSR_APIC_BASE) & 0xfff, 0xd00);
	tiny_destroy(&t);
}

CODE64(priorities,
	APIC_ON
	"mov $8, %eax\n" "mov %rax, %cr8\n"
	"movl $0x40055, 0x300(%r15)\n" "movl $0x40075, 0x300(%r15)\n" "movl $0x40095, 0x300(%r15)\n"	/* self */
	"sti\n" "nop\n" "nop\n" "mov 0x50000, %ebx\n"	/* 0x95 only */
	"mov 0x80(%r15), %ecx\n"			/* TPR */
	"mov $7, %eax\n" "mov %rax, %cr8\n" "nop\n" "mov 0x50000, %edx\n"
	"mov $6, %eax\n" "mov %rax, %cr8\n" "nop\n" "mov 0x50000, %esi\n"
	"xor %eax, %eax\n" "mov %rax, %cr8\n" "nop\n" "mov 0x50000, %edi\n"
	"cli\n" DONE
	HANDLER(priorities_handler))
LABEL(priorities_handler)

static void interrupts_wait_for_their_priority(void)
{
	struct kvm_regs r;
	struct tiny t;

	irq_guest(&t, 0, 1, BLOB(priorities));
	for (unsigned v = 0x55; v <= 0x95; v += 0x20)
		tiny_gate(&t, TINY_64, v, AT(priorities, priorities_handler));
	EXPECT_DONE(&t, 0);
	r = tiny_regs(&t, 0);
	EXPECT_EQ(r.rbx, 1);
	EXPECT_EQ(r.rcx, 0x80);
	EXPECT_EQ(r.rdx, 1);
	EXPECT_EQ(r.rsi, 2);
	EXPECT_EQ(r.rdi, 3);
	tiny_destroy(&t);
}

/* --- lines and messages ---------------------------------------------------------------------------- */

/* Counts interrupts and says where it is by an OUT, for ever. */
CODE64(looping,
	APIC_ON "sti\n"
	"1: out %al, $0x80\n" "jmp 1b\n"
	HANDLER(looping_handler)
	HANDLER_2(looping_handler_2))
LABEL(looping_handler) LABEL(looping_handler_2)

static void looping_guest(struct tiny *t, unsigned flags)
{
	irq_guest(t, flags, 1, BLOB(looping));
	tiny_gate(t, TINY_64, 0x61, AT(looping, looping_handler));
	tiny_gate(t, TINY_64, 0x62, AT(looping, looping_handler_2));
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
}

/* A few more instructions of the guest. */
static void go_on(struct tiny *t)
{
	for (unsigned n = 0; n < 4; n++)
		EXPECT_EXIT(t, 0, KVM_EXIT_IO);
}

static void ioapic_set(struct tiny *t, unsigned pin, u64 entry)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	MUST(vm_ioctl(t, KVM_GET_IRQCHIP, &chip));
	chip.chip.ioapic.redirtbl[pin].bits = entry;
	MUST(vm_ioctl(t, KVM_SET_IRQCHIP, &chip));
}

static void ioapic_edges(void)
{
	struct kvm_irq_level level = { .irq = 16, .level = 1 };
	struct tiny t;

	looping_guest(&t, 0);
	ioapic_set(&t, 16, 0x61);
	EXPECT_EQ(vm_ioctl(&t, KVM_IRQ_LINE_STATUS, &level), 0);
	EXPECT(level.status > 0);
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 1);		/* one edge, one interrupt */
	line(&t, 16, 1);
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 1);
	line(&t, 16, 0);
	line(&t, 16, 1);
	line(&t, 16, 0);
	level = (struct kvm_irq_level){ .irq = 16, .level = 1 };
	EXPECT_EQ(vm_ioctl(&t, KVM_IRQ_LINE_STATUS, &level), 0);
	EXPECT(level.status > 0);			/* although it only repeats what is in IRR */
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 2);
	line(&t, 16, 0);
	ioapic_set(&t, 16, 0x10061);
	line(&t, 16, 1);
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 2);		/* masked */
	tiny_destroy(&t);
}

static void ioapic_levels(void)
{
	struct tiny t;
	u64 before;

	looping_guest(&t, 0);
	ioapic_set(&t, 17, 0x8062);
	line(&t, 17, 1);
	/* Again after each EOI; after ten thousand of them the IOAPIC makes a pause, as KVM's. */
	for (before = 0; before < 3; before++) {
		u64 served = tiny_get(&t, COUNT_2, 4);

		while (tiny_get(&t, COUNT_2, 4) == served)
			go_on(&t);
	}
	line(&t, 17, 0);
	go_on(&t);
	before = tiny_get(&t, COUNT_2, 4);
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT_2, 4), before);
	tiny_destroy(&t);
}

static int msi(struct tiny *t, u32 address, u32 data)
{
	return vm_ioctl(t, KVM_SIGNAL_MSI, &(struct kvm_msi){ .address_lo = address, .data = data });
}

static void messages(void)
{
	struct tiny t;

	looping_guest(&t, 0);
	EXPECT_EQ(msi(&t, 0xfee00000, 0x61), 1);
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 1);
	EXPECT_EQ(msi(&t, 0xfee01000, 0x61), -1);	/* to APIC 1, which is not there */
	EXPECT_EQ(msi(&t, 0xfeeff000, 0x62), 1);	/* to all */
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 1);
	EXPECT_EQ(tiny_get(&t, COUNT_2, 4), 1);
	EXPECT_EQ(msi(&t, 0xfee00000, 0x400), 1);	/* as an NMI */
	EXPECT_VECTOR(&t, 0, X86_NMI);
	tiny_destroy(&t);
}

struct routes { struct kvm_irq_routing head; struct kvm_irq_routing_entry entry[8]; };

static int route(struct tiny *t, u32 count, const struct kvm_irq_routing_entry *entries)
{
	struct routes r = { .head.nr = count };

	memcpy(r.entry, entries, count * sizeof(*entries));
	return vm_ioctl(t, KVM_SET_GSI_ROUTING, &r);
}

static struct kvm_irq_routing_entry route_msi(u32 gsi, u32 vector)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { .address_lo = 0xfee00000, .data = vector } };
}

static void irqfds_are_routed(void)
{
	struct kvm_irq_routing_entry one = route_msi(30, 0x61), two = route_msi(30, 0x62);
	struct kvm_irqfd irqfd = { .gsi = 30 };
	int fd = eventfd(0, EFD_CLOEXEC);
	struct tiny t;

	looping_guest(&t, 0);
	EXPECT_EQ(route(&t, 1, &one), 0);
	irqfd.fd = (u32)fd;
	EXPECT_EQ(vm_ioctl(&t, KVM_IRQFD, &irqfd), 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_IRQFD, &irqfd), -EBUSY);
	for (u32 n = 1; n <= 3; n++) {
		eventfd_write(fd, 1);
		while (tiny_get(&t, COUNT, 4) < n)
			go_on(&t);
		EXPECT_EQ(tiny_get(&t, COUNT, 4), n);
	}
	EXPECT_EQ(route(&t, 1, &two), 0);
	eventfd_write(fd, 1);
	while (!tiny_get(&t, COUNT_2, 4))
		go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 3);
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	EXPECT_EQ(vm_ioctl(&t, KVM_IRQFD, &irqfd), 0);
	eventfd_write(fd, 1);
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT_2, 4), 1);
	close(fd);
	tiny_destroy(&t);
}

static void resampling_irqfds(void)
{
	struct kvm_irqfd irqfd = { .gsi = 18, .flags = KVM_IRQFD_FLAG_RESAMPLE };
	int fd = eventfd(0, EFD_CLOEXEC), resample = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	eventfd_t value;
	struct tiny t;

	looping_guest(&t, 0);
	ioapic_set(&t, 18, 0x8061);
	irqfd.fd = (u32)fd;
	irqfd.resamplefd = (u32)resample;
	EXPECT_EQ(vm_ioctl(&t, KVM_IRQFD, &irqfd), 0);
	eventfd_write(fd, 1);
	while (eventfd_read(resample, &value))		/* the guest's EOI */
		go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 1);		/* de-asserted by itself */
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 1);
	eventfd_write(fd, 1);
	while (eventfd_read(resample, &value))
		go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 2);
	irqfd.flags |= KVM_IRQFD_FLAG_DEASSIGN;
	EXPECT_EQ(vm_ioctl(&t, KVM_IRQFD, &irqfd), 0);
	close(fd);
	close(resample);
	tiny_destroy(&t);
}

CODE64(doorbells,
	"mov $0x400000, %ebx\n"
	"movl $1, (%rbx)\n" "movl $2, (%rbx)\n" "movw $1, (%rbx)\n" "mov (%rbx), %eax\n"
	"mov $5, %al\n" "out %al, $0x90\n" "mov $6, %al\n" "out %al, $0x90\n"
	"movl $0x77, 0x10(%rbx)\n" "movb $0x77, 0x10(%rbx)\n"
	DONE)

static void ioeventfds_ring_instead_of_leaving(void)
{
	int any = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), match = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	    port = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_ioeventfd bell = { .addr = TINY_DEVICE, .len = 4, .fd = match, .datamatch = 1,
				      .flags = KVM_IOEVENTFD_FLAG_DATAMATCH };
	eventfd_t value;
	struct tiny t;

	irq_guest(&t, 0, 1, BLOB(doorbells));
	EXPECT_EQ(vm_ioctl(&t, KVM_IOEVENTFD, &bell), 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_IOEVENTFD, &bell), -EEXIST);
	bell = (struct kvm_ioeventfd){ .addr = 0x90, .len = 1, .fd = port, .datamatch = 5,
				       .flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH };
	EXPECT_EQ(vm_ioctl(&t, KVM_IOEVENTFD, &bell), 0);
	bell = (struct kvm_ioeventfd){ .addr = TINY_DEVICE + 0x10, .len = 0, .fd = any };
	EXPECT_EQ(vm_ioctl(&t, KVM_IOEVENTFD, &bell), 0);
	EXPECT_MMIO_WRITE(&t, 0, TINY_DEVICE, 4, 2);		/* another value */
	EXPECT_MMIO_WRITE(&t, 0, TINY_DEVICE, 2, 1);		/* another size */
	EXPECT_MMIO_READ(&t, 0, TINY_DEVICE, 4, 0);
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
	EXPECT_EQ(*(u8 *)tiny_io_data(t.cpu[0].run), 6);
	EXPECT_DONE(&t, 0);
	EXPECT(!eventfd_read(match, &value) && value == 1);
	EXPECT(!eventfd_read(port, &value) && value == 1);
	EXPECT(!eventfd_read(any, &value) && value == 2);
	bell.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	EXPECT_EQ(vm_ioctl(&t, KVM_IOEVENTFD, &bell), 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_IOEVENTFD, &bell), -ENOENT);
	tiny_destroy(&t);
	close(any);
	close(match);
	close(port);
}

/* --- sleeping and waking ----------------------------------------------------------------------------- */

CODE64(sleeper,
	APIC_ON
	"1: sti\n" "hlt\n" "cli\n" "cmpl $50, 0x50000\n" "jb 1b\n" DONE
	HANDLER(sleeper_handler))
LABEL(sleeper_handler)

static void messages_wake_a_halted_vcpu(void)
{
	struct tiny_thread h = { 0 };
	struct kvm_mp_state state;
	struct tiny t;

	irq_guest(&t, 0, 1, BLOB(sleeper));
	tiny_gate(&t, TINY_64, 0x61, AT(sleeper, sleeper_handler));
	tiny_thread_start(&h, &t, 0);
	for (u32 n = 1; n <= 50; n++) {
		if (n % 10 == 0)
			usleep(2000);		/* so that it is asleep for sure */
		while (msi(&t, 0xfee00000, 0x61) == 0)
			usleep(100);
		tiny_wait_for(&t, COUNT, n);
	}
	tiny_thread_join(&h);
	MUST(cpu_ioctl(&t, 0, KVM_GET_MP_STATE, &state));
	EXPECT_EQ(state.mp_state, KVM_MP_STATE_RUNNABLE);
	tiny_destroy(&t);
}

static void a_halted_vcpu_is_stopped_by_a_signal(void)
{
	struct tiny_thread h = { 0 };
	struct kvm_mp_state state;
	struct tiny t;

	irq_guest(&t, 0, 1, BLOB(sleeper));
	tiny_gate(&t, TINY_64, 0x61, AT(sleeper, sleeper_handler));
	do {	/* until the signal finds it asleep */
		tiny_thread_start(&h, &t, 0);
		usleep(5000);
		tiny_thread_stop(&h);
		MUST(cpu_ioctl(&t, 0, KVM_GET_MP_STATE, &state));
		EXPECT(h.exit == -EINTR);
	} while (h.exit == -EINTR && state.mp_state != KVM_MP_STATE_HALTED);
	/* It goes on sleeping, and can be woken. */
	tiny_thread_start(&h, &t, 0);
	for (u32 n = 1; n <= 50; n++) {
		while (msi(&t, 0xfee00000, 0x61) == 0)
			usleep(100);
		tiny_wait_for(&t, COUNT, n);
	}
	tiny_thread_join(&h);
	tiny_destroy(&t);
}

/* --- two processors -------------------------------------------------------------------------------------- */

/* The boot processor starts the other and exchanges interrupts with it. */
CODE64(starter,
	APIC_ON
	"movl $0x01000000, 0x310(%r15)\n" "movl $0x4500, 0x300(%r15)\n"		/* INIT */
	"movl $0x01000000, 0x310(%r15)\n" "movl $0x4612, 0x300(%r15)\n"		/* SIPI: 0x12000 */
	"1: pause\n" "cmpl $1, 0x50008\n" "jne 1b\n"				/* it is there */
	"mov $20, %ebx\n"
	"2: mov 0x50000, %esi\n"
	"movl $0x01000000, 0x310(%r15)\n" "movl $0x4033, 0x300(%r15)\n"		/* to it ... */
	"3: sti\n" "hlt\n" "cli\n" "cmp 0x50000, %esi\n" "je 3b\n"		/* ... and back */
	"dec %ebx\n" "jnz 2b\n"
	"movl $0xc4400, 0x300(%r15)\n"						/* NMI to all others: it stops */
	DONE
	HANDLER(starter_handler))
LABEL(starter_handler)

/* In real mode; its LAPIC is out of reach of a 64 KiB segment, so it goes big. */
CODE16(started,
	"cli\n" "xor %ax, %ax\n" "mov %ax, %ss\n" "mov $0x6000, %sp\n"
	"mov $0x2000, %ax\n" "mov %ax, %ds\n" "data32 lgdt 0x1ff0\n"
	"mov %cr0, %eax\n" "or $1, %al\n" "mov %eax, %cr0\n" "mov $0x10, %bx\n" "mov %bx, %fs\n"
	"and $0xfe, %al\n" "mov %eax, %cr0\n" "xor %ax, %ax\n" "mov %ax, %fs\n"
	"mov $0xfee00000, %ebp\n"
	"movl $0x1ff, %fs:0xf0(%ebp)\n"
	"mov $0x50008, %esi\n" "movl $1, %fs:(%esi)\n"
	"sti\n" "1: hlt\n" "jmp 1b\n"
	"started_handler: mov $0x50004, %esi\n" "lock incl %fs:(%esi)\n"
	"movl $0, %fs:0xb0(%ebp)\n"
	"movl $0, %fs:0x310(%ebp)\n" "movl $0x4061, %fs:0x300(%ebp)\n" "iret\n"
	"started_nmi: " DONE)
LABEL(started_handler) LABEL(started_nmi)

static void started_prepare(struct tiny *t)
{
	memcpy(t->memory + 0x12000, started, (size_t)(started_end - started));
	tiny_put(t, 0x21ff0, 2, 0xff);
	tiny_put(t, 0x21ff2, 4, TINY_GDT);
	tiny_put(t, 4 * 0x33, 2, (u64)(started_handler - started));
	tiny_put(t, 4 * 0x33 + 2, 2, 0x1200);
	tiny_put(t, 4 * X86_NMI, 2, (u64)(started_nmi - started));
	tiny_put(t, 4 * X86_NMI + 2, 2, 0x1200);
}

static void processors_start_each_other(void)
{
	struct tiny_thread h[2] = { 0 };
	struct kvm_mp_state state;
	struct kvm_sregs s;
	struct tiny t;

	irq_guest(&t, 0, 2, BLOB(starter));
	tiny_gate(&t, TINY_64, 0x61, AT(starter, starter_handler));
	started_prepare(&t);
	MUST(cpu_ioctl(&t, 1, KVM_GET_MP_STATE, &state));
	EXPECT_EQ(state.mp_state, KVM_MP_STATE_UNINITIALIZED);
	tiny_thread_start(&h[1], &t, 1);
	tiny_thread_start(&h[0], &t, 0);
	tiny_thread_join(&h[0]);
	tiny_thread_join(&h[1]);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 20);
	EXPECT_EQ(tiny_get(&t, COUNT_2, 4), 20);
	s = tiny_sregs(&t, 1);
	EXPECT_EQ(s.cs.selector, 0x1200);
	EXPECT_EQ(s.cs.base, 0x12000);
	EXPECT_EQ(s.apic_base, 0xfee00800);
	EXPECT_EQ(tiny_sregs(&t, 0).apic_base, 0xfee00900);
	tiny_destroy(&t);
}

/* --- split irqchip ------------------------------------------------------------------------------------------ */

static void a_split_irqchip_reports_eois(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = 24 };
	struct kvm_irq_routing_entry r = route_msi(16, 0x8061);	/* level: the client's IOAPIC wants to know */
	struct tiny t;
	int exit = 0;

	tiny_vm_create(&t, 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_ENABLE_CAP, &cap), 0);
	tiny_cpu_create(&t);
	tiny_load(&t, TINY_64, BLOB(looping));
	tiny_start(&t, 0, TINY_64);
	tiny_gate(&t, TINY_64, 0x61, AT(looping, looping_handler));
	tiny_gate(&t, TINY_64, 0x62, AT(looping, looping_handler_2));
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
	EXPECT_EQ(route(&t, 1, &r), 0);
	EXPECT_EQ(msi(&t, 0xfee00000, 0x8061), 1);
	for (unsigned n = 0; n < 10 && exit != KVM_EXIT_IOAPIC_EOI; n++)
		exit = tiny_run(&t, 0);
	EXPECT_EQ(exit, KVM_EXIT_IOAPIC_EOI);
	EXPECT_EQ(t.cpu[0].run->eoi.vector, 0x61);
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT, 4), 1);
	/* And the client's PIC injects as without chips. */
	t.cpu[0].run->request_interrupt_window = 1;
	EXPECT(t.cpu[0].run->ready_for_interrupt_injection);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x62 }), 0);
	t.cpu[0].run->request_interrupt_window = 0;
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT_2, 4), 1);
	tiny_destroy(&t);
}

static void lint0_set(struct tiny *t, u32 value)
{
	struct kvm_lapic_state s;

	EXPECT_EQ(cpu_ioctl(t, 0, KVM_GET_LAPIC, &s), 0);
	memcpy(s.regs + 0x350, &value, sizeof(value));
	EXPECT_EQ(cpu_ioctl(t, 0, KVM_SET_LAPIC, &s), 0);
}

/* QEMU's microvm starts a kernel with a PIC that nobody set up; only LINT0's mask is between its vector 0 and #DE. */
static void a_split_irqchips_pic_comes_through_lint0(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = 24 };
	struct tiny t;

	tiny_vm_create(&t, 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_ENABLE_CAP, &cap), 0);
	tiny_cpu_create(&t);
	tiny_load(&t, TINY_64, BLOB(looping));
	tiny_start(&t, 0, TINY_64);
	tiny_gate(&t, TINY_64, 0x61, AT(looping, looping_handler));
	tiny_gate(&t, TINY_64, 0x62, AT(looping, looping_handler_2));
	EXPECT_EXIT(&t, 0, KVM_EXIT_IO);
	lint0_set(&t, 0x10700);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 0x62 }), 0);
	t.cpu[0].run->request_interrupt_window = 1;	/* and there is none to wait for */
	go_on(&t);
	go_on(&t);
	EXPECT(!t.cpu[0].run->ready_for_interrupt_injection);
	EXPECT_EQ(tiny_get(&t, COUNT_2, 4), 0);
	t.cpu[0].run->request_interrupt_window = 0;
	lint0_set(&t, 0x700);
	go_on(&t);
	EXPECT_EQ(tiny_get(&t, COUNT_2, 4), 1);
	tiny_destroy(&t);
}

/* --- time that the guest reads ----------------------------------------------------------------------------------- */

CODE64(kvmclock,
	"mov $0x4b564d01, %ecx\n" "mov $0x50101, %eax\n" "xor %edx, %edx\n" "wrmsr\n"	/* system time at 0x50100 */
	"mov $0x4b564d00, %ecx\n" "mov $0x50200, %eax\n" "wrmsr\n"			/* wall clock */
	"mov $1000, %edi\n" "xor %ebx, %ebx\n"
	"1: rdtsc\n" "shl $32, %rdx\n" "or %rdx, %rax\n"
	"mov 0x50100, %r8d\n" "test $1, %r8d\n" "jnz 2f\n"	/* version is even */
	"sub 0x50108, %rax\n"
	"movsbl 0x5011c, %ecx\n" "test %ecx, %ecx\n" "js 3f\n" "shl %cl, %rax\n" "jmp 4f\n"
	"3: neg %ecx\n" "shr %cl, %rax\n"
	"4: mov 0x50118, %edx\n" "mul %rdx\n" "shrd $32, %rdx, %rax\n" "add 0x50110, %rax\n"
	"cmp %rbx, %rax\n" "jb 2f\n" "mov %rax, %rbx\n"
	"dec %edi\n" "jnz 1b\n" DONE
	"2: ud2\n")

static void kvmclock_follows_the_hosts(void)
{
	struct kvm_clock_data c = { 0 };
	struct timespec wall;
	struct tiny t;
	u64 guest;

	irq_guest(&t, 0, 1, BLOB(kvmclock));
	EXPECT_DONE(&t, 0);
	guest = tiny_regs(&t, 0).rbx;
	MUST(vm_ioctl(&t, KVM_GET_CLOCK, &c));
	EXPECT(guest > 0 && guest <= c.clock);
	EXPECT(c.clock - guest < 10000000000ull);
	clock_gettime(CLOCK_REALTIME, &wall);
	/* Wall clock is of the guest's boot. */
	EXPECT(tiny_get(&t, 0x50204, 4) + c.clock / 1000000000 + 2 >= (u64)wall.tv_sec);
	EXPECT(tiny_get(&t, 0x50204, 4) <= (u64)wall.tv_sec);
	tiny_destroy(&t);
}

int main(void)
{
	tiny_watchdog();
	tiny_signals_init();
	TEST(pit_ticks_take_their_time);
	TEST(pic_lines_are_edges);
	TEST(timer_one_shot);
	TEST(timer_periodic);
	TEST(timer_tsc_deadline);
	TEST(x2apic_by_msrs);
	TEST(interrupts_wait_for_their_priority);
	TEST(ioapic_edges);
	TEST(ioapic_levels);
	TEST(messages);
	TEST(irqfds_are_routed);
	TEST(resampling_irqfds);
	TEST(ioeventfds_ring_instead_of_leaving);
	TEST(messages_wake_a_halted_vcpu);
	TEST(a_halted_vcpu_is_stopped_by_a_signal);
	TEST(processors_start_each_other);
	TEST(a_split_irqchip_reports_eois);
	TEST(a_split_irqchips_pic_comes_through_lint0);
	TEST(kvmclock_follows_the_hosts);
	return test_status();
}
