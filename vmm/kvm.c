// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvm.c - the kernel's door, and how to tell what is behind a door
 *
 * A /dev/kvm that opens may still be of no use: some kernels offer the API without
 * hardware behind it and interpret the guest's kernel code.  So a probe runs a loop of such
 * code for a moment and takes the best of a few rounds, so that a busy host does not matter:
 * hardware executes it at hundreds of millions of instructions a second at least, an interpreter at
 * a few.
 */
#include "vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/machine/loop.h"

/* --- /dev/kvm --------------------------------------------------------------- */

static int kernel_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int kernel_ioctl(int handle, unsigned long request, unsigned long arg)
{
	int result = ioctl(handle, request, arg);

	return result < 0 ? -errno : result;
}

static void *kernel_mmap(int handle, size_t bytes, long offset)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, handle, offset);

	return p == MAP_FAILED ? NULL : p;
}

static int kernel_close(int handle)
{
	return close(handle) ? -errno : 0;
}

static void kernel_interrupt(void)
{
	/* The signal alone makes the ioctl return. */
}

const struct kvm_door kvm_kernel = {
	"kvm", kernel_open, kernel_ioctl, kernel_mmap, kernel_close, kernel_interrupt,
};

/* --- the probe ----------------------------------------------------------------- */

#define PROBE_RAM	(64u << 10)
#define PROBE_CODE	0x1000u
#define PROBE_LAPS	20000u		/* iterations of two instructions between port writes */
#define PROBE_NS	20000000ull	/* measure for this long ... */
#define PROBE_ROUNDS	4u		/* ... and at least so many port writes */
#define PROBE_FAST	25u		/* million instructions a second */

/*
 * 32-bit code without paging:
 *   again: mov ecx, PROBE_LAPS;  lap: dec ecx; jnz lap;  out 0xf4, al; jmp again
 */
static const u8 probe_code[] = {
	0xb9, PROBE_LAPS & 0xff, PROBE_LAPS >> 8, 0, 0, 0x49, 0x75, 0xfd, 0xe6, 0xf4, 0xeb, 0xf4,
};

struct probe_vm {
	const struct kvm_door *door;
	struct kvm_probe *result;
	int	system, vm, vcpu, run_bytes;
	u8	*ram;
	struct kvm_run *run;
};

/* One step of the probe: note the first that fails. */
static int step(struct probe_vm *p, const char *what, int result)
{
	if (result < 0 && !p->result->error) {
		p->result->error = result;
		p->result->step = what;
	}
	return result;
}

static int call(struct probe_vm *p, const char *what, int handle, unsigned long request, void *arg)
{
	return step(p, what, p->door->ioctl(handle, request, (unsigned long)arg));
}

/* The signature a guest would see at CPUID leaf 0x40000000. */
static void read_signature(struct probe_vm *p)
{
	enum { ENTRIES = 256 };
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + ENTRIES * sizeof(c->entries[0]));

	if (!c)
		return;
	c->nent = ENTRIES;
	if (call(p, "KVM_GET_SUPPORTED_CPUID", p->system, KVM_GET_SUPPORTED_CPUID, c) >= 0)
		for (u32 i = 0; i < MIN_OF(c->nent, (u32)ENTRIES); i++)
			if (c->entries[i].function == 0x40000000) {
				memcpy(p->result->signature, &c->entries[i].ebx, 4);
				memcpy(p->result->signature + 4, &c->entries[i].ecx, 4);
				memcpy(p->result->signature + 8, &c->entries[i].edx, 4);
			}
	free(c);
}

static void make_vm(struct probe_vm *p)
{
	struct kvm_userspace_memory_region slot = {.memory_size = PROBE_RAM,
						   .userspace_addr = (u64)p->ram};
	u64 identity_map = 0xfffbc000;

	p->vm = call(p, "KVM_CREATE_VM", p->system, KVM_CREATE_VM, NULL);
	if (p->vm < 0)
		return;
	/* Some hardware wants these; they need not exist elsewhere. */
	p->door->ioctl(p->vm, KVM_SET_IDENTITY_MAP_ADDR, (unsigned long)&identity_map);
	p->door->ioctl(p->vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	call(p, "KVM_SET_USER_MEMORY_REGION", p->vm, KVM_SET_USER_MEMORY_REGION, &slot);
	p->vcpu = call(p, "KVM_CREATE_VCPU", p->vm, KVM_CREATE_VCPU, NULL);
	if (p->vcpu < 0)
		return;
	p->run = p->door->mmap(p->vcpu, (size_t)p->run_bytes, 0);
	step(p, "mapping a vCPU", p->run ? 0 : -ENOMEM);
}

static void set_registers(struct probe_vm *p)
{
	struct kvm_segment flat = {
		.limit = ~0u, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1, .selector = 16};
	struct kvm_regs regs = { .rip = PROBE_CODE, .rflags = 2, .rsp = 0x8000 };
	struct kvm_sregs s;

	if (call(p, "KVM_GET_SREGS", p->vcpu, KVM_GET_SREGS, &s) < 0)
		return;
	s.ds = s.es = s.ss = s.fs = s.gs = s.cs = flat;
	s.cs.type = 11;
	s.cs.selector = 8;
	s.cr0 |= 1;
	call(p, "KVM_SET_SREGS", p->vcpu, KVM_SET_SREGS, &s);
	call(p, "KVM_SET_REGS", p->vcpu, KVM_SET_REGS, &regs);
}

/* A watchdog: the kernel's KVM_RUN ends by a signal, whatever the guest does. */
struct watchdog {
	const struct kvm_door *door;
	pthread_t target;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool finished;
};

static const struct kvm_door *interrupted_door;

static void on_watchdog(int signal)
{
	(void)signal;
	if (interrupted_door)
		interrupted_door->interrupt();
}

static void *watch(void *arg)
{
	struct watchdog *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->finished) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 200000000;
		if (until.tv_nsec >= 1000000000)
			until.tv_sec++, until.tv_nsec -= 1000000000;
		if (pthread_cond_timedwait(&w->done, &w->lock, &until) == ETIMEDOUT && !w->finished)
			pthread_kill(w->target, SIGRTMIN + 1);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void measure(struct probe_vm *p)
{
	u64 start = loop_now(), now = start, best = ~0ull;
	u32 rounds;

	for (rounds = 0; rounds < PROBE_ROUNDS || now - start < PROBE_NS; rounds++) {
		u64 before = now;
		int result = p->door->ioctl(p->vcpu, KVM_RUN, 0);

		now = loop_now();
		if (result || p->run->exit_reason != KVM_EXIT_IO || p->run->io.port != 0xf4) {
			if (!rounds)	/* it did not get anywhere */
				step(p, "running a guest", result < 0 ? result : -EIO);
			break;
		}
		best = MIN_OF(best, now - before);
	}
	if (rounds) {
		p->result->instructions = 2ull * PROBE_LAPS + 3;
		p->result->elapsed_ns = MAX_OF(best, 1ull);
	}
}

static void measure_watched(struct probe_vm *p)
{
	struct sigaction old, action = { .sa_handler = on_watchdog };
	struct watchdog w = { .target = pthread_self(), .lock = PTHREAD_MUTEX_INITIALIZER,
			      .done = PTHREAD_COND_INITIALIZER };
	sigset_t set, old_set;
	pthread_t thread;

	interrupted_door = p->door;
	sigaction(SIGRTMIN + 1, &action, &old);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	pthread_sigmask(SIG_UNBLOCK, &set, &old_set);
	if (!pthread_create(&thread, NULL, watch, &w)) {
		measure(p);
		pthread_mutex_lock(&w.lock);
		w.finished = true;
		pthread_cond_signal(&w.done);
		pthread_mutex_unlock(&w.lock);
		pthread_join(thread, NULL);
	}
	pthread_sigmask(SIG_SETMASK, &old_set, NULL);
	sigaction(SIGRTMIN + 1, &old, NULL);
	interrupted_door = NULL;
}

static void look_around(struct probe_vm *p)
{
	struct kvm_probe *r = p->result;

	r->api = call(p, "KVM_GET_API_VERSION", p->system, KVM_GET_API_VERSION, NULL);
	if (r->api != KVM_API_VERSION)
		step(p, "KVM_GET_API_VERSION", -ENOTSUP);
	r->vcpus = p->door->ioctl(p->system, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	p->run_bytes = call(p, "KVM_GET_VCPU_MMAP_SIZE", p->system, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (!r->error)
		read_signature(p);
}

void kvm_probe_run(const struct kvm_door *door, struct kvm_probe *probe)
{
	struct probe_vm p = { .door = door, .result = probe, .vm = -1, .vcpu = -1 };

	memset(probe, 0, sizeof(*probe));
	p.system = step(&p, "opening it", door->open());
	if (p.system < 0)
		return;
	look_around(&p);
	p.ram = mmap(NULL, PROBE_RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p.ram == MAP_FAILED) {
		step(&p, "memory", -ENOMEM);
	} else if (!probe->error) {
		memcpy(p.ram + PROBE_CODE, probe_code, sizeof(probe_code));
		make_vm(&p);
		if (!probe->error)
			set_registers(&p);
		if (!probe->error)
			measure_watched(&p);
	}
	if (p.run)
		munmap(p.run, (size_t)p.run_bytes);
	if (p.vcpu >= 0)
		door->close(p.vcpu);
	if (p.vm >= 0)
		door->close(p.vm);
	if (p.ram != MAP_FAILED)
		munmap(p.ram, PROBE_RAM);
	door->close(p.system);
}

u64 kvm_probe_mips(const struct kvm_probe *probe)
{
	return probe->elapsed_ns ? probe->instructions * 1000 / probe->elapsed_ns : 0;
}

bool kvm_probe_is_fast(const struct kvm_probe *probe)
{
	return !probe->error && kvm_probe_mips(probe) >= PROBE_FAST;
}
