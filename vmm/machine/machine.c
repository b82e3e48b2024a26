// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * machine.c - a virtual machine: memory, buses, processors, and how it ends
 *
 * The first vCPU, device or key that wants the machine to end or be reset says so in
 * m->wanted; vCPUs park when they see it, and the loop's thread acts on it.  A reset makes the
 * VM and its vCPUs anew, so no state of theirs can survive it; memory, loop and devices stay.
 *
 * Invariants:
 *   1. stop_hint is true exactly while quit, paused or wanted asks vCPUs to stop.
 *   2. Once wanted is set, no other request changes it until the loop has acted.
 *
 * Locking: see machine.h.
 */
#include "vmm/machine/machine.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/atomic.h"
#include "vmm/board/boot.h"
#include "vmm/board/layout.h"
#include "vmm/machine/report.h"
#include "vmm/machine/terminal.h"

static int vm_ioctl(struct machine *m, unsigned long request, void *arg)
{
	return m->door->ioctl(m->vm, request, (unsigned long)arg);
}

/* --- the VM ---------------------------------------------------------------------------- */

/* GSIs 0..15 reach the 8259s and the IOAPIC, where the timer is on pin 2; 16..23 the IOAPIC. */
static int routing_set(struct machine *m)
{
	enum { PIC_LINES = 16, IOAPIC_PINS = 24 };
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[PIC_LINES + IOAPIC_PINS];
	} r;
	u32 n = 0;

	memset(&r, 0, sizeof(r));
	for (u32 gsi = 0; gsi < IOAPIC_PINS; gsi++) {
		if (gsi < PIC_LINES && gsi != 2)
			r.entry[n++] = (struct kvm_irq_routing_entry){
				.gsi = gsi,
				.type = KVM_IRQ_ROUTING_IRQCHIP,
				.u.irqchip = {gsi < 8 ? KVM_IRQCHIP_PIC_MASTER
						      : KVM_IRQCHIP_PIC_SLAVE,
					      gsi % 8}};
		if (gsi != 2)
			r.entry[n++] = (struct kvm_irq_routing_entry){
				.gsi = gsi,
				.type = KVM_IRQ_ROUTING_IRQCHIP,
				.u.irqchip = {KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2}};
	}
	r.head.nr = n;
	return vm_ioctl(m, KVM_SET_GSI_ROUTING, &r);
}

static int slots_set(struct machine *m)
{
	for (u32 i = 0; i < m->memory.regions; i++) {
		const struct memory_region *r = &m->memory.region[i];
		struct kvm_userspace_memory_region slot = { .slot = i, .guest_phys_addr = r->start,
			.memory_size = r->bytes, .userspace_addr = (u64)r->host };
		int error = vm_ioctl(m, KVM_SET_USER_MEMORY_REGION, &slot);

		if (error)
			return error;
	}
	return 0;
}

static int irqchip_create(struct machine *m)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	u64 identity_map = LAYOUT_IDENTITY_MAP;
	int error;

	/* For processors that cannot run real mode; elsewhere there may be no such call. */
	vm_ioctl(m, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	m->door->ioctl(m->vm, KVM_SET_TSS_ADDR, LAYOUT_TSS);
	error = vm_ioctl(m, KVM_CREATE_IRQCHIP, NULL);
	if (!error)
		error = vm_ioctl(m, KVM_CREATE_PIT2, &pit);
	if (!error)
		error = routing_set(m);
	return error;
}

static void vm_destroy(struct machine *m)
{
	for (unsigned i = 0; i < m->cpus; i++)
		vcpu_destroy(&m->vcpu[i]);
	pthread_rwlock_wrlock(&m->vm_lock);
	if (m->vm >= 0)
		m->door->close(m->vm);
	m->vm = -1;
	pthread_rwlock_unlock(&m->vm_lock);
}

static int vm_create(struct machine *m)
{
	int vm = m->door->ioctl(m->system, KVM_CREATE_VM, 0), error;

	if (vm < 0)
		return report_error(vm, "cannot create a virtual machine: %s", strerror(-vm));
	pthread_rwlock_wrlock(&m->vm_lock);
	m->vm = vm;
	pthread_rwlock_unlock(&m->vm_lock);
	error = irqchip_create(m);
	if (error)
		error = report_error(error, "cannot create the interrupt controllers: %s",
				     strerror(-error));
	if (!error) {
		error = slots_set(m);
		if (error)
			error = report_error(error, "cannot give the machine its memory: %s",
					     strerror(-error));
	}
	for (unsigned i = 0; i < m->cpus && !error; i++)
		error = vcpu_create(&m->vcpu[i]);
	if (error)
		vm_destroy(m);
	return error;
}

/* --- what devices ask of it -------------------------------------------------------------- */

int machine_vm_ioctl(struct machine *m, unsigned long request, void *arg)
{
	int result = -ENODEV;

	pthread_rwlock_rdlock(&m->vm_lock);
	if (m->vm >= 0)
		result = vm_ioctl(m, request, arg);
	pthread_rwlock_unlock(&m->vm_lock);
	return result;
}

void machine_set_line(struct machine *m, unsigned gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	machine_vm_ioctl(m, KVM_IRQ_LINE, &line);
}

int machine_signal_msi(struct machine *m, u64 address, u32 data)
{
	struct kvm_msi msi = {
		.address_lo = (u32)address, .address_hi = (u32)(address >> 32), .data = data};

	return machine_vm_ioctl(m, KVM_SIGNAL_MSI, &msi);
}

static int doorbell(struct machine *m, bool pio, u64 address, unsigned size, const u64 *match,
		    int fd, u32 flags)
{
	struct kvm_ioeventfd e = {.addr = address,
				  .len = size,
				  .fd = fd,
				  .datamatch = match ? *match : 0,
				  .flags = flags | (pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
					   (match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0)};

	return machine_vm_ioctl(m, KVM_IOEVENTFD, &e);
}

int machine_doorbell_add(struct machine *m, bool pio, u64 address, unsigned size, const u64 *match,
			 int fd)
{
	return doorbell(m, pio, address, size, match, fd, 0);
}

int machine_doorbell_remove(struct machine *m, bool pio, u64 address, unsigned size,
			    const u64 *match, int fd)
{
	return doorbell(m, pio, address, size, match, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

/* --- stopping and going on ------------------------------------------------------------------ */

/* m->lock held. */
static void hint_update(struct machine *m)
{
	atomic_store_seq(&m->stop_hint, m->quit || m->paused || m->wanted != END_NONE);
}

static void kick_all(struct machine *m)
{
	for (unsigned i = 0; i < m->cpus; i++)
		vcpu_kick(&m->vcpu[i]);
}

void machine_request(struct machine *m, enum machine_end wanted, int code)
{
	bool first;

	pthread_mutex_lock(&m->lock);
	first = m->wanted == END_NONE;
	if (first) {
		m->wanted = wanted;
		m->wanted_code = code;
		hint_update(m);
	}
	pthread_mutex_unlock(&m->lock);
	if (first)
		loop_post(m->loop, &m->wanted_task);
}

static bool all_parked(const struct machine *m)
{
	for (unsigned i = 0; i < m->cpus; i++)
		if (m->vcpu[i].started && !m->vcpu[i].parked)
			return false;
	return true;
}

void machine_pause(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->paused = true;
	hint_update(m);
	kick_all(m);
	while (!all_parked(m))
		pthread_cond_wait(&m->changed, &m->lock);
	pthread_mutex_unlock(&m->lock);
}

void machine_resume(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->paused = false;
	hint_update(m);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

static void vcpus_stop(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->quit = true;
	hint_update(m);
	pthread_cond_broadcast(&m->changed);
	kick_all(m);
	pthread_mutex_unlock(&m->lock);
	for (unsigned i = 0; i < m->cpus; i++)
		vcpu_join(&m->vcpu[i]);
}

static int vcpus_start(struct machine *m)
{
	int error = 0;

	pthread_mutex_lock(&m->lock);
	m->quit = false;
	m->wanted = END_NONE;
	hint_update(m);
	pthread_mutex_unlock(&m->lock);
	for (unsigned i = 0; i < m->cpus && !error; i++) {
		m->vcpu[i].parked = false;
		error = vcpu_start(&m->vcpu[i]);
	}
	return error;
}

/* --- booting, resetting, ending: the loop's thread ------------------------------------------- */

/* Load the kernel and point the first vCPU at it; the others wait for INIT and SIPI. */
static int boot(struct machine *m)
{
	struct vcpu *first = &m->vcpu[0];
	struct boot_entry entry;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int error = boot_load(m->boot, &m->memory, &entry);

	if (error)
		return error;
	error = m->door->ioctl(first->handle, KVM_GET_SREGS, (unsigned long)&sregs);
	if (error < 0)
		return report_error(error, "cannot read vCPU 0's registers: %s", strerror(-error));
	boot_registers(&entry, &regs, &sregs);
	error = m->door->ioctl(first->handle, KVM_SET_SREGS, (unsigned long)&sregs);
	if (error >= 0)
		error = m->door->ioctl(first->handle, KVM_SET_REGS, (unsigned long)&regs);
	if (error < 0)
		return report_error(error, "cannot set vCPU 0's registers: %s", strerror(-error));
	return vcpus_start(m);
}

static int machine_reset(struct machine *m)
{
	int error;

	vcpus_stop(m);
	pci_bus_reset(&m->pci);
	for (struct board_device *d = m->board; d; d = d->next)
		d->reset(d);
	vm_destroy(m);
	memory_clear(&m->memory);
	m->resets++;
	error = vm_create(m);
	return error ? error : boot(m);
}

static void end(struct machine *m, enum machine_end why, int code)
{
	m->end = why;
	m->end_code = code;
	loop_stop(m->loop);
}

static void wanted_act(struct loop_task *task)
{
	struct machine *m = CONTAINER_OF(task, struct machine, wanted_task);
	enum machine_end wanted;
	int code, error;

	pthread_mutex_lock(&m->lock);
	wanted = m->wanted;
	code = m->wanted_code;
	pthread_mutex_unlock(&m->lock);

	if ((wanted == END_RESET ||
	     (wanted == END_TRIPLE_FAULT && m->options.triple_fault_resets)) &&
	    !m->options.no_reboot) {
		error = machine_reset(m);
		if (error)
			end(m, END_HOST_ERROR, error);
	} else {
		end(m, wanted, code);
	}
}

static void signal_ready(struct loop_watch *w, u32 events)
{
	struct machine *m = CONTAINER_OF(w, struct machine, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(w->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCONT)
		terminal_raw();		/* we were stopped, and the shell had the terminal */
	else
		end(m, END_SIGNAL, (int)info.ssi_signo);
}

/* The signals that end a program end the machine instead, in order. */
static int signals_watch(struct machine *m, sigset_t *before)
{
	sigset_t set;
	int fd, error;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGCONT);
	pthread_sigmask(SIG_BLOCK, &set, before);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	m->signals.fn = signal_ready;
	error = loop_watch_add(m->loop, &m->signals, fd, EPOLLIN);
	if (error)
		close(fd);
	return error;
}

static void signals_unwatch(struct machine *m, const sigset_t *before)
{
	if (m->signals.loop) {
		loop_watch_remove(&m->signals);
		close(m->signals.fd);
	}
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

int machine_run(struct machine *m, struct boot *b)
{
	sigset_t before;
	int error;

	m->boot = b;
	error = signals_watch(m, &before);
	if (!error)
		error = boot(m);
	if (!error)
		error = loop_run(m->loop);
	vcpus_stop(m);
	signals_unwatch(m, &before);
	return error;
}

/* --- making ----------------------------------------------------------------------------------- */

static void wire_msi(void *owner, u64 address, u32 data)
{
	machine_signal_msi(owner, address, data);
}

static void wire_line(void *owner, unsigned gsi, bool level)
{
	machine_set_line(owner, gsi, level);
}

static void wire_reset_control(void *owner, u8 value)
{
	/* RST_CNT: bit 2 resets, whatever kind bits 1 and 3 choose. */
	if (value & 4)
		machine_request(owner, END_RESET, 0);
}

static int door_open(struct machine *m)
{
	int api, run_bytes, cpus;

	m->system = m->door->open();
	if (m->system < 0)
		return report_error(m->system,
				    "cannot open the KVM API of --accel %s: %s; 'anykvm doctor' "
				    "says what this host offers",
				    m->door->name, strerror(-m->system));
	api = m->door->ioctl(m->system, KVM_GET_API_VERSION, 0);
	run_bytes = m->door->ioctl(m->system, KVM_GET_VCPU_MMAP_SIZE, 0);
	cpus = m->door->ioctl(m->system, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (api != KVM_API_VERSION || run_bytes < (int)sizeof(struct kvm_run))
		return report_error(-ENOTSUP, "--accel %s does not speak KVM API version %d",
				    m->door->name, KVM_API_VERSION);
	if (cpus > 0 && (unsigned)cpus < m->cpus)
		return report_error(-EINVAL, "--cpus %u: at most %d are possible with --accel %s",
				    m->cpus, cpus, m->door->name);
	m->run_bytes = (size_t)run_bytes;
	return 0;
}

int machine_create(struct machine **out, const struct machine_options *o)
{
	struct machine *m = calloc(1, sizeof(*m));
	struct pci_wires wires = { m, wire_msi, wire_line, wire_reset_control };
	int error;

	if (!m)
		return -ENOMEM;
	m->options = *o;
	m->door = o->door;
	m->cpus = o->cpus;
	m->system = m->vm = m->memory.fd = -1;
	m->wanted_task.fn = wanted_act;
	pthread_rwlock_init(&m->vm_lock, NULL);
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	bus_init(&m->pio);
	bus_init(&m->mmio);
	for (unsigned i = 0; i < MACHINE_CPUS_MAX; i++)
		m->vcpu[i] = (struct vcpu){ .m = m, .index = i, .handle = -1 };
	error = pci_bus_init(&m->pci, &m->pio, &m->mmio, &wires);
	if (!error)
		error = loop_create(&m->loop);
	if (!error) {
		error = memory_create(&m->memory, o->memory_bytes);
		if (error)
			error = report_error(
				error, "cannot have %llu MiB of memory: %s; use a smaller --memory",
				(unsigned long long)(o->memory_bytes >> 20), strerror(-error));
	}
	if (!error)
		error = door_open(m);
	if (!error)
		error = vm_create(m);
	if (error)
		machine_destroy(m);
	else
		*out = m;
	return error;
}

void machine_add_board_device(struct machine *m, struct board_device *d)
{
	d->next = m->board;
	m->board = d;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	pci_bus_fini(&m->pci);
	while (m->board) {
		struct board_device *d = m->board;

		m->board = d->next;
		d->destroy(d);
	}
	vm_destroy(m);
	if (m->system >= 0)
		m->door->close(m->system);
	memory_destroy(&m->memory);
	loop_destroy(m->loop);
	bus_fini(&m->mmio);
	bus_fini(&m->pio);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	pthread_rwlock_destroy(&m->vm_lock);
	free(m);
}
