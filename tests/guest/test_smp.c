// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_smp.c - vCPUs in parallel, and clients that change things under running guests
 *
 * Run under ThreadSanitizer too.  Guests count with locked instructions, so that one lost
 * or doubled instruction shows in a total.
 *
 * "test_smp FACTOR" does so many times the rounds.
 */
#include "tests/guest/tiny.h"

static unsigned factor = 1;

#ifdef __SANITIZE_THREAD__
#define LOOPS		300u
#else
#define LOOPS		3000u
#endif
#define CPUS		4u
#define LOCKED_32	TINY_DATA
#define LOCKED_XADD	(TINY_DATA + 0x40)
#define LOCKED_128	(TINY_DATA + 0x80)
#define LOCKED_XCHG	(TINY_DATA + 0xc0)	/* a spin lock, and what it guards */
#define LOCKED_SPLIT	(TINY_DATA + 0xffe)	/* across two pages */
#define LOCKED_BITS	(TINY_DATA + 0x100)

/* EDI: rounds; everything counts to CPUS * rounds in the end. */
CODE64(counting,
	"1: lock incl 0x50000\n"
	"mov $1, %eax\n" "lock xadd %rax, 0x50040\n"
	"mov 0x50080, %rax\n" "mov 0x50088, %rdx\n"
	"2: mov %rax, %rbx\n" "mov %rdx, %rcx\n" "add $1, %rbx\n" "adc $0, %rcx\n" "sub $2, %rcx\n"
	"lock cmpxchg16b 0x50080\n" "jnz 2b\n"
	"3: mov $1, %eax\n" "xchg %eax, 0x500c0\n" "test %eax, %eax\n" "jz 4f\n" "pause\n" "jmp 3b\n"
	"4: incq 0x500c8\n" "movl $0, 0x500c0\n"
	"lock addl $1, 0x50ffe\n"
	"5: lock btsl $5, 0x50100\n" "jc 5b\n" "incl 0x50104\n" "lock btrl $5, 0x50100\n"
	"mov 0x50108, %eax\n" "6: lea 1(%eax), %ebx\n" "lock cmpxchg %ebx, 0x50108\n" "jnz 6b\n"
	"dec %edi\n" "jnz 1b\n" DONE)

static void start_counting(struct tiny *t, unsigned cpus, unsigned rounds)
{
	tiny_load(t, TINY_64, BLOB(counting));
	for (unsigned n = 0; n < cpus; n++) {
		struct kvm_regs r;

		tiny_start(t, n, TINY_64);
		r = tiny_regs(t, n);
		r.rdi = rounds;
		tiny_set_regs(t, n, &r);
	}
}

static void check_counts(struct tiny *t, u64 total)
{
	EXPECT_EQ(tiny_get(t, LOCKED_32, 4), total);
	EXPECT_EQ(tiny_get(t, LOCKED_XADD, 8), total);
	EXPECT_EQ(tiny_get(t, LOCKED_128, 8), total);
	EXPECT_EQ(tiny_get(t, LOCKED_128 + 8, 8), (u64)-2 * total);
	EXPECT_EQ(tiny_get(t, LOCKED_XCHG + 8, 8), total);
	EXPECT_EQ(tiny_get(t, LOCKED_SPLIT, 4), total);
	EXPECT_EQ(tiny_get(t, LOCKED_BITS + 4, 4), total);
	EXPECT_EQ(tiny_get(t, LOCKED_BITS + 8, 4), total);
}

static void locked_instructions_lose_nothing(void)
{
	struct tiny_thread h[CPUS] = { 0 };
	struct tiny t;

	for (unsigned cpus = 2; cpus <= CPUS; cpus++) {
		tiny_create(&t, 0, cpus);
		start_counting(&t, cpus, LOOPS * factor);
		for (unsigned n = 0; n < cpus; n++)
			tiny_thread_start(&h[n], &t, n);
		for (unsigned n = 0; n < cpus; n++)
			tiny_thread_join(&h[n]);
		check_counts(&t, (u64)cpus * LOOPS * factor);
		tiny_destroy(&t);
	}
}

/* --- signals and kicks ------------------------------------------------------------------------------ */

static void signals_interrupt_nothing_but_kvm_run(void)
{
	struct tiny_thread h[2] = { 0 };
	unsigned signals = 0;
	struct tiny t;

	tiny_signals_init();
	tiny_create(&t, 0, 2);
	start_counting(&t, 2, 20 * LOOPS * factor);
	for (unsigned n = 0; n < 2; n++)
		tiny_thread_start(&h[n], &t, n);
	while (!__atomic_load_n(&h[0].over, __ATOMIC_ACQUIRE) || !__atomic_load_n(&h[1].over, __ATOMIC_ACQUIRE)) {
		unsigned n = signals++ & 1;

		if (signals % 3 == 0)
			__atomic_store_n(&t.cpu[n].run->immediate_exit, 1, __ATOMIC_RELEASE);
		if (!__atomic_load_n(&h[n].over, __ATOMIC_ACQUIRE))
			pthread_kill(h[n].id, SIGUSR1);
		__atomic_store_n(&t.cpu[n].run->immediate_exit, 0, __ATOMIC_RELEASE);
		usleep(50);
	}
	for (unsigned n = 0; n < 2; n++)
		tiny_thread_join(&h[n]);
	check_counts(&t, 40 * LOOPS * factor);
	EXPECT(signals > 0);		/* how many is the scheduler's affair */
	tiny_destroy(&t);
}

/* --- memory slots --------------------------------------------------------------------------------------- */

/* Walks over 16 pages at 2 MiB: reads a word and writes another of each; counts rounds at 0x50000. */
CODE64(walker,
	"1: mov $0x200000, %ebx\n"
	"2: mov (%rbx), %eax\n" "lock incl 8(%rbx)\n" "add $0x1000, %ebx\n" "cmp $0x210000, %ebx\n" "jb 2b\n"
	"lock incl 0x50000\n" "cmpl $0, 0x50004\n" "je 1b\n" DONE)

/* What the walker reads where no slot is: the client answers. */
static bool serve_memory(struct tiny_thread *h, int exit)
{
	struct kvm_run *run = h->t->cpu[h->n].run;

	if (exit != KVM_EXIT_MMIO || run->mmio.phys_addr < 0x200000 || run->mmio.phys_addr >= 0x210000)
		return false;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	return true;
}

/* Memory 0 - 2 MiB and, apart, 2 MiB - 2 MiB + 64 KiB, which the storms play with. */
static void walking_guest(struct tiny *t, struct tiny_thread *h, unsigned cpus)
{
	tiny_create(t, 0, cpus);
	tiny_load(t, TINY_64, BLOB(walker));
	MUST(tiny_slot(t, 0, 0, NULL, 0, 0));
	MUST(tiny_slot(t, 0, 0, t->memory, 2 << 20, 0));
	for (unsigned n = 0; n < cpus; n++) {
		tiny_start(t, n, TINY_64);
		h[n].serve = serve_memory;
		tiny_thread_start(&h[n], t, n);
	}
}

static void walking_guest_end(struct tiny *t, struct tiny_thread *h, unsigned cpus)
{
	tiny_poke(t, TINY_DATA + 4, 1);
	for (unsigned n = 0; n < cpus; n++)
		tiny_thread_join(&h[n]);
	tiny_destroy(t);
}

static void slots_come_and_go(void)
{
	struct tiny_thread h[2] = { 0 };
	u8 *a = tiny_pages(0x10000), *b = tiny_pages(0x10000);
	struct tiny t;

	walking_guest(&t, h, 2);
	for (unsigned round = 0; round < 60 * factor; round++) {
		u8 *now = round & 1 ? b : a, *other = round & 1 ? a : b;
		u32 before = tiny_peek(&t, TINY_DATA), stale;

		EXPECT_EQ(tiny_slot(&t, 1, 0x200000, now, 0x10000, 0), 0);
		tiny_wait_for(&t, TINY_DATA, before + 3);
		/* Nobody writes to what is not mapped any more. */
		stale = __atomic_load_n((u32 *)(other + 8), __ATOMIC_SEQ_CST);
		before = tiny_peek(&t, TINY_DATA);
		tiny_wait_for(&t, TINY_DATA, before + 2);
		EXPECT_EQ(__atomic_load_n((u32 *)(other + 8), __ATOMIC_SEQ_CST), stale);
		EXPECT_EQ(tiny_slot(&t, 1, 0, NULL, 0, 0), 0);
		stale = __atomic_load_n((u32 *)(now + 8), __ATOMIC_SEQ_CST);
		before = tiny_peek(&t, TINY_DATA);
		tiny_wait_for(&t, TINY_DATA, before + 1);
		EXPECT_EQ(__atomic_load_n((u32 *)(now + 8), __ATOMIC_SEQ_CST), stale);
	}
	walking_guest_end(&t, h, 2);
	EXPECT(*(u32 *)(a + 8) > 0 && *(u32 *)(b + 8) > 0);
	munmap(a, 0x10000);
	munmap(b, 0x10000);
}

static void slots_move_and_become_read_only(void)
{
	struct tiny_thread h[2] = { 0 };
	u8 *a = tiny_pages(0x20000);
	struct tiny t;

	walking_guest(&t, h, 2);
	EXPECT_EQ(tiny_slot(&t, 1, 0x200000, a, 0x10000, 0), 0);
	for (unsigned round = 0; round < 60 * factor; round++) {
		u32 before = tiny_peek(&t, TINY_DATA);

		EXPECT_EQ(tiny_slot(&t, 1, 0x208000, a, 0x10000, 0), 0);	/* half of it is out of sight */
		tiny_wait_for(&t, TINY_DATA, before + 1);
		EXPECT_EQ(tiny_slot(&t, 1, 0x200000, a, 0x10000, 0), 0);
		EXPECT_EQ(tiny_slot(&t, 1, 0, NULL, 0, 0), 0);
		EXPECT_EQ(tiny_slot(&t, 1, 0x200000, a, 0x10000, KVM_MEM_READONLY), 0);
		before = tiny_peek(&t, TINY_DATA);
		tiny_wait_for(&t, TINY_DATA, before + 1);
		EXPECT_EQ(tiny_slot(&t, 1, 0, NULL, 0, 0), 0);
		EXPECT_EQ(tiny_slot(&t, 1, 0x200000, a, 0x10000, 0), 0);
	}
	walking_guest_end(&t, h, 2);
	EXPECT_EQ(*(u32 *)(a + 0x10008), 0);
	munmap(a, 0x20000);
}

/* Every write after a dirty log was taken shows in the next: no page is written unseen. */
static void dirty_logs_miss_nothing(void)
{
	struct tiny_thread h[2] = { 0 };
	u8 *a = tiny_pages(0x10000);
	u32 seen[16] = { 0 };
	struct tiny t;

	walking_guest(&t, h, 2);
	EXPECT_EQ(tiny_slot(&t, 1, 0x200000, a, 0x10000, KVM_MEM_LOG_DIRTY_PAGES), 0);
	for (unsigned round = 0; round < 200 * factor; round++) {
		u64 bits = 0;
		struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = &bits };

		EXPECT_EQ(vm_ioctl(&t, KVM_GET_DIRTY_LOG, &log), 0);
		for (unsigned n = 0; n < 16; n++)
			if (bits >> n & 1)
				seen[n] = __atomic_load_n((u32 *)(a + n * 0x1000 + 8), __ATOMIC_SEQ_CST);
		if (round % 20 == 0)		/* switched off and on again, all counts as seen */
			for (unsigned n = 0; n < 16; n++) {
				if (!n) {
					EXPECT_EQ(tiny_slot(&t, 1, 0x200000, a, 0x10000, 0), 0);
					EXPECT_EQ(tiny_slot(&t, 1, 0x200000, a, 0x10000, KVM_MEM_LOG_DIRTY_PAGES), 0);
				}
				seen[n] = __atomic_load_n((u32 *)(a + n * 0x1000 + 8), __ATOMIC_SEQ_CST);
			}
	}
	tiny_poke(&t, TINY_DATA + 4, 1);
	for (unsigned n = 0; n < 2; n++)
		tiny_thread_join(&h[n]);
	/* The guest has stopped: one last log, and what it does not name is as we saw it. */
	u64 bits = 0;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = &bits };

	EXPECT_EQ(vm_ioctl(&t, KVM_GET_DIRTY_LOG, &log), 0);
	for (unsigned n = 0; n < 16; n++)
		if (!(bits >> n & 1))
			EXPECT_EQ(*(u32 *)(a + n * 0x1000 + 8), seen[n]);
	tiny_destroy(&t);
	munmap(a, 0x10000);
}

/* --- TLB shootdown ----------------------------------------------------------------------------------------- */

/*
 * vCPU 0 maps linear page 0x60000 to a new physical page, interrupts vCPU 1, waits until
 * that has flushed its TLB, then frees the old page by writing poison to it.  vCPU 1 reads
 * the page all the time and must never see poison.
 */
CODE64(shooter,
	"mov $0xfee00000, %r15d\n" "movl $0x1ff, 0xf0(%r15)\n"
	"1: cmpl $1, 0x50010\n" "jne 1b\n"			/* the other runs */
	"mov $0x61007, %eax\n" "mov $0x62007, %ebx\n"
	"2: mov %rbx, 0x33300\n"				/* the entry of 0x60000 */
	"invlpg 0x60000\n"
	"movl $0, 0x50014\n"
	"movl $0x01000000, 0x310(%r15)\n" "movl $0x4070, 0x300(%r15)\n"
	"3: pause\n" "cmpl $1, 0x50014\n" "jne 3b\n"
	"mov %rax, %rcx\n" "and $~7, %ecx\n" "movl $0xdead, (%rcx)\n"
	"mov $100, %edx\n" "4: dec %edx\n" "jnz 4b\n"
	"movl $0x1234, (%rcx)\n"
	"xchg %rax, %rbx\n"
	"dec %edi\n" "jnz 2b\n"
	"movl $1, 0x50018\n" DONE)
CODE64(target,
	"mov $0xfee00000, %r15d\n" "movl $0x1ff, 0xf0(%r15)\n" "sti\n" "movl $1, 0x50010\n"
	"1: mov 0x60000, %eax\n" "cmp $0x1234, %eax\n" "jne 2f\n" "cmpl $0, 0x50018\n" "je 1b\n" DONE
	"2: ud2\n"
	"target_handler: invlpg 0x60000\n" "movl $1, 0x50014\n" "movl $0, 0xb0(%r15)\n" "iretq\n")
LABEL(target_handler)
#define TARGET 0x14000ul

static void tlb_shootdowns_are_seen(void)
{
	struct tiny_thread h[2] = { 0 };
	struct kvm_regs r;
	struct tiny t;

	tiny_create(&t, TINY_IRQCHIP, 2);
	tiny_load(&t, TINY_64, BLOB(shooter));
	memcpy(t.memory + TARGET, target, (size_t)(target_end - target));
	tiny_gate(&t, TINY_64, 0x70, TARGET + (u64)(target_handler - target));
	tiny_put(&t, tiny_pte(0x60000), 8, 0x61007);
	tiny_put(&t, 0x61000, 4, 0x1234);
	tiny_put(&t, 0x62000, 4, 0x1234);
	for (unsigned n = 0; n < 2; n++) {
		tiny_start(&t, n, TINY_64);
		r = tiny_regs(&t, n);
		r.rip = n ? TARGET : TINY_CODE;
		r.rdi = 2000 * factor;
		tiny_set_regs(&t, n, &r);
		tiny_thread_start(&h[n], &t, n);
	}
	for (unsigned n = 0; n < 2; n++)
		tiny_thread_join(&h[n]);
	tiny_destroy(&t);
}

/* --- interrupts --------------------------------------------------------------------------------------------- */

CODE64(receiver,
	"mov $0xfee00000, %r15d\n" "movl $0x1ff, 0xf0(%r15)\n"
	"1: sti\n" "hlt\n" "cli\n" "cmpl $0, 0x50004\n" "je 1b\n" DONE
	"receiver_handler: lock incl 0x50000\n" "movl $0, 0xb0(%r15)\n" "iretq\n")
LABEL(receiver_handler)

static int send(struct tiny *t, u32 vector)
{
	return vm_ioctl(t, KVM_SIGNAL_MSI, &(struct kvm_msi){ .address_lo = 0xfee00000, .data = vector });
}

struct routes { struct kvm_irq_routing head; struct kvm_irq_routing_entry entry[4]; };

static void route(struct tiny *t, u32 vector)
{
	struct routes r = { .head.nr = 1, .entry[0] = { .gsi = 40, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = vector } } };

	MUST(vm_ioctl(t, KVM_SET_GSI_ROUTING, &r));
}

struct ringer { int fd; u32 stop; u64 rings; pthread_t id; };

static void *ringer_main(void *arg)
{
	struct ringer *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		eventfd_write(r->fd, 1);
		r->rings++;
		usleep(30);
	}
	return NULL;
}

/* irqfds come, go and are routed elsewhere while they are signalled. */
static void irqfds_in_a_storm(void)
{
	struct ringer ringer = { .fd = eventfd(0, EFD_CLOEXEC) };
	struct tiny_thread h = { 0 };
	struct tiny t;

	tiny_create(&t, TINY_IRQCHIP, 1);
	tiny_load(&t, TINY_64, BLOB(receiver));
	tiny_start(&t, 0, TINY_64);
	for (unsigned v = 0x60; v < 0x64; v++)
		tiny_gate(&t, TINY_64, v, AT(receiver, receiver_handler));
	tiny_thread_start(&h, &t, 0);
	if (pthread_create(&ringer.id, NULL, ringer_main, &ringer))
		abort();
	for (unsigned round = 0; round < 100 * factor; round++) {
		struct kvm_irqfd irqfd = { .fd = (u32)ringer.fd, .gsi = 40 };
		u32 before = tiny_peek(&t, TINY_DATA);

		route(&t, 0x60 + round % 4);
		EXPECT_EQ(vm_ioctl(&t, KVM_IRQFD, &irqfd), 0);
		route(&t, 0x60 + (round + 1) % 4);
		if (round % 10 == 0)
			tiny_wait_for(&t, TINY_DATA, before + 1);
		irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
		EXPECT_EQ(vm_ioctl(&t, KVM_IRQFD, &irqfd), 0);
	}
	__atomic_store_n(&ringer.stop, 1, __ATOMIC_RELEASE);
	pthread_join(ringer.id, NULL);
	EXPECT(tiny_peek(&t, TINY_DATA) >= 10 * factor);
	tiny_poke(&t, TINY_DATA + 4, 1);
	while (send(&t, 0x60) <= 0)
		usleep(100);
	tiny_thread_join(&h);
	tiny_destroy(&t);
	close(ringer.fd);
}

/* Each of many interrupts wakes a sleeper: none is lost between looking and sleeping. */
static void wake_ups_are_not_lost(void)
{
	struct tiny_thread h = { 0 };
	struct tiny t;

	tiny_create(&t, TINY_IRQCHIP, 1);
	tiny_load(&t, TINY_64, BLOB(receiver));
	tiny_start(&t, 0, TINY_64);
	tiny_gate(&t, TINY_64, 0x60, AT(receiver, receiver_handler));
	tiny_thread_start(&h, &t, 0);
	while (send(&t, 0x60) <= 0)		/* until its LAPIC is on */
		usleep(100);
	for (u32 n = 1; n <= 3000 * factor; n++) {
		while (tiny_peek(&t, TINY_DATA) < n)
			sched_yield();
		EXPECT_EQ(send(&t, 0x60), 1);
	}
	tiny_wait_for(&t, TINY_DATA, 3000 * factor + 1);
	tiny_poke(&t, TINY_DATA + 4, 1);
	send(&t, 0x60);
	tiny_thread_join(&h);
	tiny_destroy(&t);
}

/* --- lives --------------------------------------------------------------------------------------------------- */

CODE64(short_life, "lock incl 0x50000\n" DONE)

static void *lives(void *arg)
{
	for (unsigned n = 0; n < 15 * factor; n++) {
		struct tiny_thread h[2] = { 0 };
		struct tiny t;

		tiny_create(&t, n & 1 ? TINY_IRQCHIP : 0, 2);
		tiny_load(&t, TINY_64, BLOB(short_life));
		for (unsigned cpu = 0; cpu < 2; cpu++) {
			tiny_start(&t, cpu, TINY_64);
			tiny_thread_start(&h[cpu], &t, cpu);
		}
		for (unsigned cpu = 0; cpu < 2; cpu++)
			tiny_thread_join(&h[cpu]);
		EXPECT_EQ(tiny_get(&t, TINY_DATA, 4), 2);
		tiny_destroy(&t);
	}
	return arg;
}

static void vms_live_and_die_in_parallel(void)
{
	pthread_t id[3];

	for (unsigned n = 0; n < 3; n++)
		if (pthread_create(&id[n], NULL, lives, NULL))
			abort();
	for (unsigned n = 0; n < 3; n++)
		pthread_join(id[n], NULL);
}

CODE64(endless, "1: lock incl 0x50000\n" "jmp 1b\n")

/* Handles may go in any order, and while they are in use: the VM lives as long as the last. */
static void handles_closed_in_use(void)
{
	for (unsigned n = 0; n < 10 * factor; n++) {
		struct tiny_thread h = { 0 };
		struct kvm_regs r;
		struct tiny t;

		tiny_create(&t, TINY_IRQCHIP, 1);
		tiny_load(&t, TINY_64, BLOB(endless));
		tiny_start(&t, 0, TINY_64);
		tiny_thread_start(&h, &t, 0);
		tiny_wait_for(&t, TINY_DATA, 10);
		EXPECT_EQ(akvm_close(t.vm), 0);
		EXPECT_EQ(akvm_ioctl(t.vm, KVM_CHECK_EXTENSION, KVM_CAP_HLT), -EBADF);
		if (n & 1)			/* under KVM_RUN's feet */
			EXPECT_EQ(akvm_close(t.cpu[0].fd), 0);
		tiny_wait_for(&t, TINY_DATA, tiny_peek(&t, TINY_DATA) + 10);
		tiny_thread_stop(&h);
		if (!(n & 1)) {
			EXPECT_EQ(akvm_ioctl(t.cpu[0].fd, KVM_GET_REGS, (unsigned long)&r), 0);
			EXPECT_EQ(akvm_close(t.cpu[0].fd), 0);
		}
		EXPECT_EQ(akvm_ioctl(t.cpu[0].fd, KVM_GET_REGS, (unsigned long)&r), -EBADF);
		EXPECT_EQ(akvm_close(t.system), 0);
		munmap(t.cpu[0].run, t.run_bytes);
		munmap(t.memory, TINY_BYTES);
	}
}

/* A vCPU moves from thread to thread. */
static void vcpus_change_threads(void)
{
	struct tiny t;

	tiny_create(&t, 0, 2);
	start_counting(&t, 2, LOOPS * factor);
	for (unsigned round = 0;; round++) {
		struct tiny_thread h[2] = { 0 };
		bool over = true;

		for (unsigned n = 0; n < 2; n++)
			if (!tiny_is_out(t.cpu[n].run, PORT_DONE))
				tiny_thread_start(&h[n], &t, n);
		usleep(2000);
		for (unsigned n = 0; n < 2; n++) {
			if (h[n].t)
				tiny_thread_stop(&h[n]);
			over &= tiny_is_out(t.cpu[n].run, PORT_DONE);
		}
		if (over)
			break;
	}
	check_counts(&t, 2 * LOOPS * factor);
	tiny_destroy(&t);
}

/* Two vCPUs' state is read by ioctls of others while they run: the ioctls wait their turn. */
static void other_threads_may_ask(void)
{
	struct tiny_thread h = { 0 };
	struct kvm_mp_state state;
	struct kvm_clock_data clock;
	struct tiny t;

	tiny_create(&t, TINY_IRQCHIP | TINY_PIT, 2);
	tiny_load(&t, TINY_64, BLOB(endless));
	tiny_start(&t, 0, TINY_64);
	tiny_thread_start(&h, &t, 0);
	for (unsigned n = 0; n < 200 * factor; n++) {
		struct kvm_irqchip chip = { .chip_id = n % 3 };
		struct kvm_pit_state2 pit;

		EXPECT_EQ(vm_ioctl(&t, KVM_GET_IRQCHIP, &chip), 0);
		EXPECT_EQ(vm_ioctl(&t, KVM_GET_PIT2, &pit), 0);
		EXPECT_EQ(vm_ioctl(&t, KVM_GET_CLOCK, &clock), 0);
		EXPECT_EQ(cpu_ioctl(&t, 1, KVM_GET_MP_STATE, &state), 0);
		EXPECT_EQ(vm_ioctl(&t, KVM_IRQ_LINE, &(struct kvm_irq_level){ .irq = 5, .level = n & 1 }), 0);
	}
	tiny_thread_stop(&h);
	tiny_destroy(&t);
}

int main(int argc, char **argv)
{
	tiny_watchdog();
	tiny_signals_init();
	if (argc > 1)
		factor = (unsigned)atoi(argv[1]);
	TEST(locked_instructions_lose_nothing);
	TEST(signals_interrupt_nothing_but_kvm_run);
	TEST(slots_come_and_go);
	TEST(slots_move_and_become_read_only);
	TEST(dirty_logs_miss_nothing);
	TEST(tlb_shootdowns_are_seen);
	TEST(irqfds_in_a_storm);
	TEST(wake_ups_are_not_lost);
	TEST(vms_live_and_die_in_parallel);
	TEST(handles_closed_in_use);
	TEST(vcpus_change_threads);
	TEST(other_threads_may_ask);
	return test_status();
}
