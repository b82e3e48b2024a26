/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * machine.h - a virtual machine: memory, buses, processors, and how it ends
 *
 * Life: machine_create(), devices are made and registered, machine_run() boots it and
 * returns when it has ended, machine_destroy().  machine_run() runs m->loop on the
 * caller's thread; each vCPU has a thread of its own.  A reset stops all vCPUs, resets all
 * devices, replaces the VM by a new one and boots again, all on the loop's thread.
 *
 * Locking: m->vm_lock (read-write) guards the VM's handle, which a reset replaces: whoever uses the
 * VM from a thread other than the loop's does so through the functions below, which take it.
 * m->lock guards the run state of vCPUs.  Neither is held while calling a device.
 * Order: device locks, pci_bus.lock, vm_lock.
 */
#ifndef VMM_MACHINE_MACHINE_H
#define VMM_MACHINE_MACHINE_H

#include <pthread.h>

#include "base/types.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/pci.h"
#include "vmm/kvm.h"
#include "vmm/machine/loop.h"
#include "vmm/machine/memory.h"

#define MACHINE_CPUS_MAX	64

struct boot;		/* vmm/board/boot.h */
struct kvm_run;

/* Why a machine stopped running.  The first one to be asked for counts. */
enum machine_end {
	END_NONE,
	END_POWER_OFF,		/* the guest switched it off */
	END_RESET,		/* the guest asked for a reset and none was allowed */
	END_TRIPLE_FAULT,	/* the processor shut down */
	END_GUEST_ERROR,	/* KVM could not go on: internal error or failed entry */
	END_USER,		/* Ctrl-a x */
	END_SIGNAL,		/* code: its number */
	END_EXIT_PORT,		/* code: what the guest wrote */
	END_HOST_ERROR,		/* code: -errno */
};

struct vcpu {
	struct machine *m;
	unsigned index;
	int	handle;
	struct kvm_run *run;
	pthread_t thread;
	bool	started;
	bool	parked;		/* m->lock */
};

/* A board device that a reset concerns and that is not on the PCI bus. */
struct board_device {
	void	(*reset)(struct board_device *d);	/* all vCPUs stopped */
	void	(*destroy)(struct board_device *d);	/* frees itself */
	struct board_device *next;
};

struct machine_options {
	const struct kvm_door *door;
	u64	memory_bytes;
	unsigned cpus;
	bool	nested;			/* the guest may be a hypervisor */
	bool	no_reboot;		/* a reset ends it */
	bool	triple_fault_resets;	/* else a triple fault ends it */
};

struct machine {
	struct machine_options options;
	const struct kvm_door *door;
	int	system;			/* handle of the KVM API */
	pthread_rwlock_t vm_lock;
	int	vm;			/* handle of the VM */
	struct memory memory;
	struct bus pio, mmio;
	struct pci_bus pci;
	struct loop *loop;
	struct board_device *board;
	struct boot *boot;

	size_t	run_bytes;		/* of a kvm_run mapping */
	unsigned cpus;
	struct vcpu vcpu[MACHINE_CPUS_MAX];

	pthread_mutex_t lock;
	pthread_cond_t changed;		/* paused, quit or parked changed */
	bool	paused, quit;
	bool	stop_hint;		/* atomic: a vCPU should look at the three */
	enum machine_end wanted;	/* what the guest or the user asked for */
	int	wanted_code;
	struct loop_task wanted_task;
	struct loop_watch signals;
	enum machine_end end;
	int	end_code;
	u64	resets;
};

/* --- making ------------------------------------------------------------------- */

/* 0, or -errno having said why. */
int machine_create(struct machine **out, const struct machine_options *o);
void machine_destroy(struct machine *m);
void machine_add_board_device(struct machine *m, struct board_device *d);

/* --- running: the loop's thread -------------------------------------------------- */

/* Boot, run and return 0 when it has ended: see m->end; or -errno having said why. */
int machine_run(struct machine *m, struct boot *boot);

/* Any thread: end, or reset, the machine soon.  Returns at once. */
void machine_request(struct machine *m, enum machine_end wanted, int code);

/* Stop all vCPUs between two instructions, and let them go on.  The loop's thread. */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);

/* --- the VM, for devices: any thread --------------------------------------------- */

void machine_set_line(struct machine *m, unsigned gsi, bool level);
/* Deliver a message-signalled interrupt; 0 or -errno. */
int machine_signal_msi(struct machine *m, u64 address, u32 data);
/*
 * Let a guest write of `size` bytes (0: of any size and value) at `address` signal eventfd
 * `fd` without leaving KVM_RUN; only a write of *match if match is not NULL.  0 or -errno.
 */
int machine_doorbell_add(struct machine *m, bool pio, u64 address, unsigned size, const u64 *match,
			 int fd);
int machine_doorbell_remove(struct machine *m, bool pio, u64 address, unsigned size,
			    const u64 *match, int fd);
int machine_vm_ioctl(struct machine *m, unsigned long request, void *arg);

/* --- vcpu.c --------------------------------------------------------------------- */

int vcpu_create(struct vcpu *v);		/* in the VM as it is now; 0 or -errno */
void vcpu_destroy(struct vcpu *v);
int vcpu_start(struct vcpu *v);			/* its thread */
void vcpu_join(struct vcpu *v);			/* after quit and a kick */
void vcpu_kick(struct vcpu *v);			/* make it look at paused and quit */
int vcpu_set_cpuid(struct vcpu *v);		/* cpuid.c */

#endif
