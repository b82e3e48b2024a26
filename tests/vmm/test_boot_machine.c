// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_boot_machine.c - the machine's life over a KVM that is a script
 *
 * The door here leads to a make-believe KVM: KVM_RUN calls a function of the test, which does
 * what a guest would.  So threads, kicks, resets and endings are tested without a processor.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomic.h"
#include "tests/test.h"
#include "vmm/board/board.h"
#include "vmm/board/boot.h"
#include "vmm/machine/machine.h"

/* --- the make-believe KVM -------------------------------------------------------------- */

#define RUN_BYTES	8192
#define HANDLES		256

static struct fake {
	enum { CLOSED, SYSTEM, VM, VCPU } kind;
	unsigned index;		/* of a vCPU */
	struct kvm_run *run;
} handle[HANDLES];

static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned vms_made, lines_set, slots_made;
static struct kvm_regs first_regs;
static __thread bool interrupted;
/* What the guest does: fills run and returns 0, or -errno. */
static int (*guest)(unsigned cpu, struct kvm_run *run);

static int fake_new(int kind, unsigned index)
{
	int h = -ENFILE;

	pthread_mutex_lock(&fake_lock);
	for (int i = 1; i < HANDLES; i++)
		if (handle[i].kind == CLOSED) {
			handle[i] = (struct fake){ .kind = kind, .index = index };
			h = i;
			break;
		}
	pthread_mutex_unlock(&fake_lock);
	return h;
}

static int fake_open(void) { return fake_new(SYSTEM, 0); }

static void *fake_mmap(int h, size_t bytes, long offset)
{
	(void)offset;
	handle[h].run =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return handle[h].run;
}

static int fake_close(int h)
{
	pthread_mutex_lock(&fake_lock);
	EXPECT(handle[h].kind != CLOSED);
	handle[h].kind = CLOSED;
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

static void fake_interrupt(void) { interrupted = true; }

static int fake_run(struct fake *f)
{
	if (atomic_load_relaxed(&f->run->immediate_exit))
		return -EINTR;
	interrupted = false;
	return guest(f->index, f->run);
}

static int fake_ioctl(int h, unsigned long request, unsigned long arg)
{
	switch (request) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_BYTES;
	case KVM_CHECK_EXTENSION:
		return 8;
	case KVM_GET_SUPPORTED_CPUID:
		((struct kvm_cpuid2 *)arg)->nent = 0;
		return 0;
	case KVM_CREATE_VM:
		vms_made++;
		return fake_new(VM, 0);
	case KVM_CREATE_VCPU:
		return fake_new(VCPU, (unsigned)arg);
	case KVM_SET_USER_MEMORY_REGION:
		slots_made++;
		return 0;
	case KVM_IRQ_LINE:
		atomic_fetch_add(&lines_set, 1);
		return 0;
	case KVM_GET_SREGS:
		memset((void *)arg, 0, sizeof(struct kvm_sregs));
		return 0;
	case KVM_SET_REGS:
		first_regs = *(struct kvm_regs *)arg;
		return 0;
	case KVM_GET_REGS:
		*(struct kvm_regs *)arg = first_regs;
		return 0;
	case KVM_RUN:
		return fake_run(&handle[h]);
	default:
		return 0;
	}
}

static const struct kvm_door fake_door = {
	"fake", fake_open, fake_ioctl, fake_mmap, fake_close, fake_interrupt,
};

/* --- what guests do ------------------------------------------------------------------------ */

static int io(struct kvm_run *run, u16 port, u8 size, u32 value)
{
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = KVM_EXIT_IO_OUT;
	run->io.port = port;
	run->io.size = size;
	run->io.count = 1;
	run->io.data_offset = 4096;
	memcpy((u8 *)run + 4096, &value, 4);
	return 0;
}

/* Wait as a halted processor does: until a kick. */
static int halt(void)
{
	while (!interrupted)
		usleep(100);
	return -EINTR;
}

static int exit_with(struct kvm_run *run, u32 reason)
{
	run->exit_reason = reason;
	return 0;
}

static int guest_off(unsigned cpu, struct kvm_run *run)
{
	return cpu ? halt() : io(run, 0x604, 2, 1 << 13 | 5 << 10);
}
static int guest_cf9(unsigned cpu, struct kvm_run *run)
{
	return cpu ? halt() : io(run, 0xcf9, 1, 6);
}
static int guest_8042(unsigned cpu, struct kvm_run *run)
{
	return cpu ? halt() : io(run, 0x64, 1, 0xfe);
}
static int guest_exit_port(unsigned cpu, struct kvm_run *run)
{
	return cpu ? halt() : io(run, 0xf4, 4, 21);
}
static int guest_triple(unsigned cpu, struct kvm_run *run)
{
	(void)cpu;
	return exit_with(run, KVM_EXIT_SHUTDOWN);
}
static int guest_unknown(unsigned cpu, struct kvm_run *run)
{
	(void)cpu;
	return exit_with(run, 99);
}
static int guest_fails(unsigned cpu, struct kvm_run *run) { (void)cpu, (void)run; return -EIO; }
static int guest_halts(unsigned cpu, struct kvm_run *run) { (void)cpu, (void)run; return halt(); }

static int guest_entry_fails(unsigned cpu, struct kvm_run *run)
{
	(void)cpu;
	run->fail_entry.hardware_entry_failure_reason = 0x80000021;
	return exit_with(run, KVM_EXIT_FAIL_ENTRY);
}

static int guest_reboots_twice(unsigned cpu, struct kvm_run *run)
{
	if (cpu)
		return halt();
	return vms_made < 3 ? guest_cf9(cpu, run) : guest_off(cpu, run);
}

static int guest_bad_io(unsigned cpu, struct kvm_run *run)
{
	static unsigned turn;

	io(run, 0x3f8, 1, 'x');
	switch (turn++) {
	case 0: run->io.size = 3; break;
	case 1: run->io.data_offset = ~0ull; break;
	case 2: run->io.count = 0x7fffffff; break;
	case 3: run->io.data_offset = RUN_BYTES - 1; run->io.size = 4; break;
	case 4: run->io.data_offset = 0; break;
	case 5:
		run->exit_reason = KVM_EXIT_MMIO;
		run->mmio.phys_addr = ~0ull - 3;
		run->mmio.len = 200;
		break;
	default: return guest_off(cpu, run);
	}
	return 0;
}

static char *repeated = "hello";
static u32 echoed;

/* A repeated OUT of 5 bytes to the serial port's scratch register, then an odd MMIO read. */
static int guest_strings(unsigned cpu, struct kvm_run *run)
{
	static unsigned turn;

	switch (turn++) {
	case 0:
		io(run, 0x3ff, 1, 0);
		run->io.count = 5;
		memcpy((u8 *)run + 4096, repeated, 5);
		return 0;
	case 1:
		io(run, 0x3ff, 1, 0);
		run->io.direction = KVM_EXIT_IO_IN;
		return 0;
	case 2:
		echoed = *((u8 *)run + 4096);
		run->exit_reason = KVM_EXIT_MMIO;
		run->mmio.phys_addr = 0xd0000001;
		run->mmio.len = 7;
		run->mmio.is_write = 0;
		memset(run->mmio.data, 0, 8);
		return 0;
	case 3:
		EXPECT_EQ(run->mmio.data[0] & run->mmio.data[6], 0xff);	/* nobody there */
		EXPECT_EQ(run->mmio.data[7], 0);
		/* fall through */
	default:
		return guest_off(cpu, run);
	}
}

/* --- running one --------------------------------------------------------------------------------
 */

static struct machine *m;
static int last_error;

static int kernel_file(void)
{
	static u8 image[1024 + 0x1000];
	int fd = memfd_create("kernel", 0);

	memset(image, 0, sizeof(image));
	image[0x1f1] = 1;
	image[0x1f5] = 1;			/* 0x100 * 16 bytes */
	memcpy(image + 0x1fe, "\x55\xaa\xeb\x66HdrS\x0f\x02", 10);
	image[0x211] = 1;
	memcpy(image + 0x22c, "\xff\xff\xff\x7f", 4);
	image[0x236] = 1;
	image[0x238] = 255;
	image[0x25a] = 0x20;			/* at 2 MiB */
	if (fd < 0 || write(fd, image, sizeof(image)) != sizeof(image))
		abort();
	return fd;
}

static enum machine_end run(int (*what)(unsigned, struct kvm_run *), struct machine_options o,
			    void (*meanwhile)(void))
{
	int fd = kernel_file(), quiet = dup(2), null = open("/dev/null", O_WRONLY);
	char path[32];
	struct boot_options b = { .kernel = path, .append = "", .cpus = o.cpus, .serial = true };
	struct board_options board = { .serial = true, .exit_port = 0xf4 };
	enum machine_end end = END_NONE;
	struct boot boot;

	guest = what;
	vms_made = 0;
	o.door = &fake_door;
	o.memory_bytes = 32 << 20;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	dup2(null, 2);
	last_error = boot_open(&boot, &b);
	if (!last_error)
		last_error = machine_create(&m, &o);
	if (!last_error)
		last_error = board_create(m, &board);
	if (!last_error) {
		if (meanwhile)
			meanwhile();
		last_error = machine_run(m, &boot);
	}
	dup2(quiet, 2);
	if (!last_error)
		end = m->end;
	machine_destroy(m);
	m = NULL;
	boot_close(&boot);
	close(fd), close(null), close(quiet);
	for (int i = 0; i < HANDLES; i++)
		EXPECT_EQ(handle[i].kind, CLOSED);	/* nothing leaks */
	return end;
}

static struct machine_options cpus(unsigned n) { return (struct machine_options){ .cpus = n }; }

static void power_off_ends_it(void)
{
	EXPECT_EQ(run(guest_off, cpus(1), NULL), END_POWER_OFF);
	EXPECT_EQ(run(guest_off, cpus(4), NULL), END_POWER_OFF);
	EXPECT_EQ(vms_made, 1);
	EXPECT_EQ(first_regs.rip, (2 << 20) + 0x200);
}

static void reset_ends_it_if_told_so(void)
{
	struct machine_options o = { .cpus = 2, .no_reboot = true };

	EXPECT_EQ(run(guest_cf9, o, NULL), END_RESET);
	EXPECT_EQ(run(guest_8042, o, NULL), END_RESET);
	EXPECT_EQ(vms_made, 1);
}

static void reset_makes_a_new_vm(void)
{
	EXPECT_EQ(run(guest_reboots_twice, cpus(3), NULL), END_POWER_OFF);
	EXPECT_EQ(vms_made, 3);
}

static void triple_faults_end_or_reset(void)
{
	struct machine_options o = { .cpus = 1, .triple_fault_resets = true, .no_reboot = true };

	EXPECT_EQ(run(guest_triple, cpus(2), NULL), END_TRIPLE_FAULT);
	EXPECT_EQ(run(guest_triple, o, NULL), END_TRIPLE_FAULT);
}

static void what_kvm_cannot_do_ends_it(void)
{
	EXPECT_EQ(run(guest_unknown, cpus(2), NULL), END_GUEST_ERROR);
	EXPECT_EQ(run(guest_entry_fails, cpus(1), NULL), END_GUEST_ERROR);
	EXPECT_EQ(run(guest_fails, cpus(2), NULL), END_HOST_ERROR);
}

static void the_exit_port_has_a_code(void)
{
	EXPECT_EQ(run(guest_exit_port, cpus(2), NULL), END_EXIT_PORT);
}

static void nonsense_in_kvm_run_does_no_harm(void)
{
	EXPECT_EQ(run(guest_bad_io, cpus(1), NULL), END_POWER_OFF);
}

static void strings_and_odd_sizes_reach_the_devices(void)
{
	EXPECT_EQ(run(guest_strings, cpus(1), NULL), END_POWER_OFF);
	EXPECT_EQ(echoed, 'o');
}

/* --- from outside --------------------------------------------------------------------------------
 */

static struct loop_timer timer;

static void leave(struct loop_timer *t) { (void)t; machine_request(m, END_USER, 0); }
static void terminate(struct loop_timer *t) { (void)t; kill(getpid(), SIGTERM); }

static void in_10_ms(void (*fn)(struct loop_timer *))
{
	timer = (struct loop_timer){ .fn = fn };
	loop_timer_start(m->loop, &timer, loop_now() + 10000000);
}

static void user_leaves_soon(void) { in_10_ms(leave); }
static void signal_comes_soon(void) { in_10_ms(terminate); }

static void leaving_and_signals_end_halted_processors(void)
{
	EXPECT_EQ(run(guest_halts, cpus(4), user_leaves_soon), END_USER);
	EXPECT_EQ(run(guest_halts, cpus(4), signal_comes_soon), END_SIGNAL);
}

static unsigned pauses;

static void pause_and_resume(struct loop_timer *t)
{
	machine_pause(m);
	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->cpus; i++)
		EXPECT(m->vcpu[i].parked);
	pthread_mutex_unlock(&m->lock);
	machine_resume(m);
	if (++pauses < 50)
		loop_timer_start(m->loop, t, loop_now() + 200000);
	else
		machine_request(m, END_USER, 0);
}

static void pauses_soon(void) { in_10_ms(pause_and_resume); }

static int guest_busy(unsigned cpu, struct kvm_run *run)
{
	(void)cpu;
	return io(run, 0x3ff, 1, 1);	/* never halts: each exit races with the kick */
}

static void pausing_stops_all_processors(void)
{
	EXPECT_EQ(run(guest_busy, cpus(4), pauses_soon), END_USER);
	EXPECT_EQ(pauses, 50);
	pauses = 0;
	EXPECT_EQ(run(guest_halts, cpus(4), pauses_soon), END_USER);
}

static void more_processors_than_kvm_has_are_refused(void)
{
	run(guest_off, cpus(9), NULL);
	EXPECT_EQ(last_error, -EINVAL);
}

/* --- what the PCI bus hands on ------------------------------------------------------------------
 */

static void lines_and_doorbells_reach_the_vm(void)
{
	unsigned before = atomic_load_relaxed(&lines_set);
	struct machine_options o = { .door = &fake_door, .cpus = 1, .memory_bytes = 16 << 20 };

	EXPECT_EQ(machine_create(&m, &o), 0);
	machine_set_line(m, 5, true);
	EXPECT_EQ(atomic_load_relaxed(&lines_set), before + 1);
	EXPECT_EQ(machine_signal_msi(m, 0xfee00000, 0x41), 0);
	EXPECT_EQ(machine_doorbell_add(m, false, 0xd0000000, 4, NULL, 1), 0);
	EXPECT_EQ(slots_made > 0, 1);
	machine_destroy(m);
	m = NULL;
}

int main(void)
{
	TEST(power_off_ends_it);
	TEST(reset_ends_it_if_told_so);
	TEST(reset_makes_a_new_vm);
	TEST(triple_faults_end_or_reset);
	TEST(what_kvm_cannot_do_ends_it);
	TEST(the_exit_port_has_a_code);
	TEST(nonsense_in_kvm_run_does_no_harm);
	TEST(strings_and_odd_sizes_reach_the_devices);
	TEST(leaving_and_signals_end_halted_processors);
	TEST(pausing_stops_all_processors);
	TEST(more_processors_than_kvm_has_are_refused);
	TEST(lines_and_doorbells_reach_the_vm);
	return test_status();
}
