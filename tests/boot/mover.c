// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mover.c - moves a client's machine into a new VM again and again, behind its back
 *
 * usage: LD_PRELOAD=mover.so MOVE_EVERY=N anykvm run ...      (or anykvm exec; one vCPU)
 *
 * It stands between a program and the library.  At every Nth exit what the exit asked for is
 * completed, all state is read (tests/guest/whole.h), a new VM is made with the same
 * configuration, over the same memory, and given the state; the old one is closed.  The client
 * keeps its handles and its kvm_run.  Right after it was given it, the new machine's state must
 * be the old one's; else this is the end of the program.  MOVE_LOG=FILE: how often it moved.
 * MOVE_US=N: it is brought out of its guest every N us besides, so that it moves there as well.
 *
 * Locking: a move excludes the client's other threads' calls on the VM.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "anykvm.h"
#include "tests/guest/whole.h"

#define CALLS_MAX 256u

/* What the client said that the state does not say: to be said again. */
struct said {
	unsigned long request, arg;
	u8 *data;		/* NULL: arg is the value */
	u64 bytes;
	bool of_cpu;
};

static struct {
	int (*open)(void);
	int (*ioctl)(int, unsigned long, unsigned long);
	void *(*mmap)(int, size_t, long);
	int (*close)(int);
} real;

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct whole_machine now;		/* handles in use */
static int client_vm = -1, client_cpu = -1, vcpus;
static struct kvm_run *client_run;
static size_t run_bytes;
static struct said said[CALLS_MAX];
static unsigned said_count;
static unsigned long every, exits, moves, microseconds;
static struct whole before, after;

__attribute__((constructor)) static void mover_init(void)
{
	const char *n = getenv("MOVE_EVERY");

	every = n ? strtoul(n, NULL, 0) : 1;
	n = getenv("MOVE_US");
	microseconds = n ? strtoul(n, NULL, 0) : 0;
	real.open = (int (*)(void))dlsym(RTLD_NEXT, "akvm_open");
	real.ioctl = (int (*)(int, unsigned long, unsigned long))dlsym(RTLD_NEXT, "akvm_ioctl");
	real.mmap = (void *(*)(int, size_t, long))dlsym(RTLD_NEXT, "akvm_mmap");
	real.close = (int (*)(int))dlsym(RTLD_NEXT, "akvm_close");
	now = (struct whole_machine){ .ioctl = real.ioctl, .system = -1, .vm = -1, .cpu = -1 };
}

__attribute__((destructor)) static void mover_log(void)
{
	const char *name = getenv("MOVE_LOG");
	FILE *f = name && moves ? fopen(name, "w") : NULL;

	if (f) {
		fprintf(f, "%lu moves, %lu exits\n", moves, exits);
		fclose(f);
	}
}

static void fail(const char *why)
{
	fprintf(stderr, "mover: %s, at exit %lu\n", why, exits);
	abort();
}

/* --- configuration -------------------------------------------------------------------- */

static u64 bytes_of(unsigned long request, unsigned long arg)
{
	if (request == KVM_SET_GSI_ROUTING)
		return 8 + ((struct kvm_irq_routing *)arg)->nr * sizeof(struct kvm_irq_routing_entry);
	return request >> 16 & 0x3fff;
}

/* Does one take the place of an earlier one, or undo it? */
static bool is_about_the_same(const struct said *s, unsigned long request, const void *data)
{
	const struct kvm_irqfd *f = data, *g = (const void *)s->data;
	const struct kvm_ioeventfd *e = data, *d = (const void *)s->data;

	if (s->request != request)
		return false;
	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
	case KVM_ENABLE_CAP:
		return *(const u32 *)data == *(const u32 *)s->data;
	case KVM_IRQFD:
		return f->fd == g->fd && f->gsi == g->gsi;
	case KVM_IOEVENTFD:
		return e->fd == d->fd && e->addr == d->addr && e->datamatch == d->datamatch;
	default:
		return true;
	}
}

static bool is_undone(unsigned long request, const void *data)
{
	switch (request) {
	case KVM_IRQFD:		return ((const struct kvm_irqfd *)data)->flags & KVM_IRQFD_FLAG_DEASSIGN;
	case KVM_IOEVENTFD:	return ((const struct kvm_ioeventfd *)data)->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	case KVM_SET_USER_MEMORY_REGION:
		return !((const struct kvm_userspace_memory_region *)data)->memory_size;
	}
	return false;
}

static void remember(bool of_cpu, unsigned long request, unsigned long arg, bool is_value)
{
	u64 bytes = is_value ? 0 : bytes_of(request, arg);
	u8 *data = NULL;

	if (!is_value) {
		data = malloc(bytes);
		memcpy(data, (void *)arg, bytes);
	}
	for (unsigned n = 0; n < said_count; n++)
		if (!is_value && said[n].of_cpu == of_cpu && is_about_the_same(&said[n], request, data)) {
			free(said[n].data);
			memmove(&said[n], &said[n + 1], (--said_count - n) * sizeof(said[0]));
			break;
		}
	if (data && is_undone(request, data)) {
		free(data);
		return;
	}
	if (said_count == CALLS_MAX)
		fail("too much to remember");
	said[said_count++] = (struct said){ request, arg, data, bytes, of_cpu };
}

static void remember_vm(unsigned long request, unsigned long arg)
{
	switch (request) {
	case KVM_CREATE_IRQCHIP:
		now.has_chips = now.has_lapic = true;
		remember(false, request, arg, true);
		break;
	case KVM_CREATE_PIT2:
		now.has_pit = true;
		remember(false, request, arg, false);
		break;
	case KVM_SET_TSS_ADDR: case KVM_SET_BOOT_CPU_ID:
		remember(false, request, arg, true);
		break;
	case KVM_ENABLE_CAP:
		if (((struct kvm_enable_cap *)arg)->cap == KVM_CAP_SPLIT_IRQCHIP)
			now.has_lapic = true;
		/* fall through */
	case KVM_SET_IDENTITY_MAP_ADDR: case KVM_SET_USER_MEMORY_REGION: case KVM_SET_GSI_ROUTING: case KVM_IRQFD:
	case KVM_IOEVENTFD: case KVM_REGISTER_COALESCED_MMIO: case KVM_REINJECT_CONTROL: case KVM_X86_SET_MSR_FILTER:
		remember(false, request, arg, false);
	}
}

static void remember_cpu(unsigned long request, unsigned long arg)
{
	if (request == KVM_ENABLE_CAP || request == KVM_X86_SETUP_MCE || request == KVM_SET_VAPIC_ADDR)
		remember(true, request, arg, false);
}

static void say(const struct whole_machine *m, const struct said *s)
{
	int r = m->ioctl(s->of_cpu ? m->cpu : m->vm, s->request, s->data ? (unsigned long)s->data : s->arg);

	if (r < 0) {
		fprintf(stderr, "mover: request %#lx: %s\n", s->request, strerror(-r));
		fail("a call that was accepted is not, now");
	}
}

/* --- moving ------------------------------------------------------------------------------ */

/* No event is taken by a machine whose state is read already. */
static void interrupts_end(const struct whole_machine *m)
{
	for (unsigned n = 0; n < said_count; n++)
		if (said[n].request == KVM_IRQFD) {
			struct kvm_irqfd f = *(struct kvm_irqfd *)said[n].data;

			f.flags = KVM_IRQFD_FLAG_DEASSIGN;
			m->ioctl(m->vm, KVM_IRQFD, (unsigned long)&f);
		}
}

static void move(void)
{
	struct whole_machine old = now, new = now;
	struct kvm_run *run;

	pthread_rwlock_wrlock(&lock);
	interrupts_end(&old);
	if (!whole_get(&old, &before))
		fail("the state cannot be read");
	new.vm = real.ioctl(now.system, KVM_CREATE_VM, 0);
	if (new.vm < 0)
		fail("no VM");
	for (unsigned n = 0; n < said_count; n++)
		if (!said[n].of_cpu && said[n].request != KVM_IRQFD)
			say(&new, &said[n]);
	new.cpu = real.ioctl(new.vm, KVM_CREATE_VCPU, 0);
	run = real.mmap(new.cpu, run_bytes, 0);
	if (new.cpu < 0 || !run)
		fail("no vCPU");
	for (unsigned n = 0; n < said_count; n++)
		if (said[n].of_cpu)
			say(&new, &said[n]);
	if (!whole_set(&new, &before) || !whole_get(&new, &after))
		fail("the state cannot be written");
	if (!whole_is_same(&before, &after))
		fail("the state was not kept");
	for (unsigned n = 0; n < said_count; n++)
		if (said[n].request == KVM_IRQFD)
			say(&new, &said[n]);
	/* The client's kvm_run is the new vCPU's from now on. */
	memcpy(run, client_run, run_bytes);
	if (mremap(run, run_bytes, run_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, client_run) == MAP_FAILED)
		fail("kvm_run cannot be mapped");
	if (old.cpu != client_cpu)
		real.close(old.cpu);
	if (old.vm != client_vm)
		real.close(old.vm);
	now = new;
	moves++;
	pthread_rwlock_unlock(&lock);
}

/* --- signals: where no exit is ---------------------------------------------------------- */

static pthread_t runner;
static u32 is_running, was_signalled;

static void on_signal(int number)
{
	(void)number;
	__atomic_store_n(&was_signalled, 1, __ATOMIC_SEQ_CST);
	akvm_interrupt();
}

static void *signal_it(void *unused)
{
	for (;; usleep((useconds_t)microseconds))
		if (__atomic_load_n(&is_running, __ATOMIC_SEQ_CST))
			pthread_kill(runner, SIGRTMAX - 3);
	return unused;
}

static void signals_begin(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	static bool begun;
	pthread_t thread;
	sigset_t one;

	if (begun || !microseconds)
		return;
	begun = true;
	runner = pthread_self();
	sigaction(SIGRTMAX - 3, &action, NULL);
	sigemptyset(&one);
	sigaddset(&one, SIGRTMAX - 3);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	pthread_create(&thread, NULL, signal_it, NULL);
}

/* The client's KVM_RUN, but for our signals. */
static int run_once(unsigned long arg)
{
	int r;

	__atomic_store_n(&was_signalled, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&is_running, 1, __ATOMIC_SEQ_CST);
	r = real.ioctl(now.cpu, KVM_RUN, arg);
	__atomic_store_n(&is_running, 0, __ATOMIC_SEQ_CST);
	return r;
}

static int run(unsigned long arg)
{
	u8 asked = client_run->immediate_exit;
	int r;

	signals_begin();
	if (exits && exits % every == 0) {
		client_run->immediate_exit = 1;		/* only what the last exit asked for */
		r = real.ioctl(now.cpu, KVM_RUN, 0);
		client_run->immediate_exit = asked;
		if (r != -EINTR) {
			exits++;
			return r;
		}
		move();
	}
	/* A signal of the client's that came together with ours is found by the client, as it was told. */
	r = run_once(arg);
	if (r == -EINTR && was_signalled)
		move();
	exits++;
	return r;
}

/* --- what the client calls ------------------------------------------------------------------ */

AKVM_API int akvm_open(void)
{
	int fd = real.open();

	if (now.system < 0)
		now.system = real.open();	/* one of our own */
	return fd;
}

AKVM_API int akvm_ioctl(int fd, unsigned long request, unsigned long arg)
{
	int r, to = fd;

	request = (u32)request;
	if (fd == client_cpu && request == KVM_RUN && vcpus == 1 && client_run)
		return run(arg);
	pthread_rwlock_rdlock(&lock);
	if (fd == client_vm && client_vm >= 0)
		to = now.vm;
	if (fd == client_cpu && client_cpu >= 0)
		to = now.cpu;
	r = real.ioctl(to, request, arg);
	pthread_rwlock_unlock(&lock);
	if (r < 0)
		return r;
	if (request == KVM_CREATE_VM && client_vm < 0)
		client_vm = now.vm = r;
	if (request == KVM_GET_VCPU_MMAP_SIZE)
		run_bytes = (size_t)r;
	if (request == KVM_CREATE_VCPU && vcpus++ == 0)
		client_cpu = now.cpu = r;
	pthread_rwlock_wrlock(&lock);
	if (fd == client_vm)
		remember_vm(request, arg);
	if (fd == client_cpu)
		remember_cpu(request, arg);
	pthread_rwlock_unlock(&lock);
	return r;
}

AKVM_API void *akvm_mmap(int fd, size_t bytes, long offset)
{
	void *p = real.mmap(fd, bytes, offset);

	if (fd == client_cpu && !offset && bytes == run_bytes)
		client_run = p;
	return p;
}
