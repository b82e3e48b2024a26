// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vcpu.c - a processor's thread: run, and serve what it exits for
 *
 * The thread runs the guest until somebody wants it to stop.  Who does sets a flag in the machine
 * and kicks: a signal whose handler sets kvm_run.immediate_exit and interrupts the
 * KVM_RUN in progress.  The thread clears immediate_exit before it looks at the flags, so a kick
 * is either seen by the look or ends the KVM_RUN that follows.
 *
 * Locking: m->lock for the flags; devices are called without it.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/checked.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/report.h"

#define KICK_SIGNAL	SIGRTMIN

static __thread struct vcpu *current;

static void on_kick(int signal)
{
	struct vcpu *v = current;

	(void)signal;
	if (!v)
		return;
	atomic_store_seq(&v->run->immediate_exit, 1);
	v->m->door->interrupt();
}

static int vcpu_ioctl(struct vcpu *v, unsigned long request, void *arg)
{
	return v->m->door->ioctl(v->handle, request, (unsigned long)arg);
}

/* --- making ---------------------------------------------------------------------- */

/*
 * Firmware leaves the memory type range registers on, with write-back for all of memory; a kernel
 * that finds them off gives up page attributes.  Where there are no such MSRs, nobody misses them.
 */
static void set_memory_types(struct vcpu *v)
{
	enum { MTRR_DEF_TYPE = 0x2ff, ENABLED = 0x800, WRITE_BACK = 6 };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = {
		.head = {.nmsrs = 1},
		.entry = {.index = MTRR_DEF_TYPE, .data = ENABLED | WRITE_BACK},
	};

	vcpu_ioctl(v, KVM_SET_MSRS, &m);
}

int vcpu_create(struct vcpu *v)
{
	struct machine *m = v->m;
	int error;

	v->handle = m->door->ioctl(m->vm, KVM_CREATE_VCPU, v->index);
	if (v->handle < 0)
		return report_error(v->handle, "cannot create vCPU %u: %s", v->index,
				    strerror(-v->handle));
	v->run = m->door->mmap(v->handle, m->run_bytes, 0);
	if (!v->run) {
		error = report_error(-ENOMEM, "cannot map vCPU %u", v->index);
		goto close_vcpu;
	}
	error = vcpu_set_cpuid(v);
	if (error)
		goto unmap_run;
	set_memory_types(v);
	return 0;

unmap_run:
	munmap(v->run, m->run_bytes);
	v->run = NULL;
close_vcpu:
	m->door->close(v->handle);
	v->handle = -1;
	return error;
}

void vcpu_destroy(struct vcpu *v)
{
	if (v->run)
		munmap(v->run, v->m->run_bytes);
	if (v->handle >= 0)
		v->m->door->close(v->handle);
	v->run = NULL;
	v->handle = -1;
}

/* --- exits ------------------------------------------------------------------------- */

static void serve_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	u8 size = run->io.size, *data = (u8 *)run + run->io.data_offset;

	if ((size != 1 && size != 2 && size != 4) || run->io.data_offset < sizeof(*run) / 2 ||
	    !range_is_within(run->io.data_offset, (u64)size * run->io.count, v->m->run_bytes))
		return;
	for (u32 i = 0; i < run->io.count; i++, data += size) {
		u64 value = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, size);
			bus_write(&v->m->pio, run->io.port, size, value);
		} else {
			bus_read(&v->m->pio, run->io.port, size, &value);
			memcpy(data, &value, size);
		}
	}
}

/* Devices see aligned sizes: what is odd is served as the pieces it is made of. */
static void serve_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	u32 length = MIN_OF(run->mmio.len, (u32)sizeof(run->mmio.data)), size;

	for (u32 at = 0; at < length; at += size) {
		u64 value = 0;

		for (size = 8; size > length - at || (run->mmio.phys_addr + at) % size; size /= 2)
			;
		if (run->mmio.is_write) {
			memcpy(&value, run->mmio.data + at, size);
			bus_write(&v->m->mmio, run->mmio.phys_addr + at, size, value);
		} else {
			bus_read(&v->m->mmio, run->mmio.phys_addr + at, size, &value);
			memcpy(run->mmio.data + at, &value, size);
		}
	}
}

static void serve_system_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_request(v->m, END_POWER_OFF, 0);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		machine_request(v->m, END_RESET, 0);
		break;
	default:
		report_note("vCPU %u: the guest has crashed", v->index);
		machine_request(v->m, END_GUEST_ERROR, 0);
		break;
	}
}

/* Where the guest is, in one line. */
static void report_state(struct vcpu *v, const char *what)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	if (vcpu_ioctl(v, KVM_GET_REGS, &r) < 0 || vcpu_ioctl(v, KVM_GET_SREGS, &s) < 0) {
		report_note("vCPU %u: %s", v->index, what);
		return;
	}
	report_note("vCPU %u: %s at cs:rip %x:%llx rsp %llx rflags %llx cr0 %llx cr2 %llx cr3 %llx "
		    "cr4 %llx efer %llx",
		    v->index, what, s.cs.selector, r.rip, r.rsp, r.rflags, s.cr0, s.cr2, s.cr3,
		    s.cr4, s.efer);
}

static void serve_internal_error(struct vcpu *v)
{
	char what[160] = "KVM could not run the guest";
	const struct kvm_run *run = v->run;
	const u8 *insn = run->emulation_failure.insn_bytes;

	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata >= 3 &&
	    run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
		snprintf(
			what, sizeof(what),
			"KVM could not emulate instruction %02x %02x %02x %02x %02x %02x %02x %02x",
			insn[0], insn[1], insn[2], insn[3], insn[4], insn[5], insn[6], insn[7]);
	} else {
		snprintf(what, sizeof(what), "KVM internal error %u", run->internal.suberror);
	}
	report_state(v, what);
	machine_request(v->m, END_GUEST_ERROR, 0);
}

static void serve_failed_entry(struct vcpu *v)
{
	char what[80];

	snprintf(what, sizeof(what), "the processor refused the guest's state, reason %#llx,",
		 (unsigned long long)v->run->fail_entry.hardware_entry_failure_reason);
	report_state(v, what);
	machine_request(v->m, END_GUEST_ERROR, 0);
}

static void serve_unknown(struct vcpu *v)
{
	char what[64];

	snprintf(what, sizeof(what), "unexpected exit %u", v->run->exit_reason);
	report_state(v, what);
	machine_request(v->m, END_GUEST_ERROR, 0);
}

static void serve_exit(struct vcpu *v)
{
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		serve_io(v);
		break;
	case KVM_EXIT_MMIO:
		serve_mmio(v);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_HLT:	/* interrupt controllers inside KVM: it waits there, not here */
		break;
	case KVM_EXIT_SHUTDOWN:
		if (!v->m->options.triple_fault_resets)
			report_state(v, "triple fault");
		machine_request(v->m, END_TRIPLE_FAULT, 0);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		serve_system_event(v);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		serve_internal_error(v);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		serve_failed_entry(v);
		break;
	default:
		serve_unknown(v);
	}
}

/* --- the thread -------------------------------------------------------------------- */

/* Wait here while the machine does not want us to run; false: never again. */
static bool may_run(struct vcpu *v)
{
	struct machine *m = v->m;
	bool run;

	pthread_mutex_lock(&m->lock);
	while (!m->quit && (m->paused || m->wanted != END_NONE)) {
		v->parked = true;
		pthread_cond_broadcast(&m->changed);
		pthread_cond_wait(&m->changed, &m->lock);
	}
	v->parked = m->quit;
	run = !m->quit;
	pthread_mutex_unlock(&m->lock);
	return run;
}

static bool is_wanted_to_stop(struct machine *m)
{
	return atomic_load_relaxed(&m->stop_hint);
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct machine *m = v->m;
	sigset_t kick;

	current = v;
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);

	while (may_run(v)) {
		int result = 0;

		do {
			atomic_store_seq(&v->run->immediate_exit, 0);
			if (is_wanted_to_stop(m))
				break;
			result = m->door->ioctl(v->handle, KVM_RUN, 0);
			if (!result)
				serve_exit(v);
		} while (!result);
		if (result && result != -EINTR && result != -EAGAIN) {
			report_error(result, "vCPU %u cannot run: %s", v->index, strerror(-result));
			machine_request(m, END_HOST_ERROR, result);
		}
	}
	pthread_sigmask(SIG_BLOCK, &kick, NULL);
	current = NULL;
	return NULL;
}

int vcpu_start(struct vcpu *v)
{
	struct sigaction action = { .sa_handler = on_kick };
	char name[16];
	sigset_t all, old;
	int error;

	sigaction(KICK_SIGNAL, &action, NULL);
	/* A vCPU's thread takes no signal but the kick. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGTRAP);
	sigdelset(&all, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&v->thread, NULL, vcpu_thread, v);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		return report_error(-error, "cannot start a thread for vCPU %u: %s", v->index,
				    strerror(error));
	v->started = true;
	snprintf(name, sizeof(name), "vcpu%u", v->index);
	pthread_setname_np(v->thread, name);
	return 0;
}

void vcpu_kick(struct vcpu *v)
{
	if (v->started)
		pthread_kill(v->thread, KICK_SIGNAL);
}

void vcpu_join(struct vcpu *v)
{
	if (v->started)
		pthread_join(v->thread, NULL);
	v->started = false;
}
