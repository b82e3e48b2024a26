// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cpu.c - processors, guest time and the FPU
 *
 * Hooks run on their processor: when it comes or goes, when the machine sleeps and wakes (the
 * last processor's, by syscore; the others go offline before), and before a reboot, since
 * firmware may not expect virtualization to be on.
 *
 * A guest is entered with interrupts off.  If by then somebody wants this processor, an
 * interrupt that we send to ourselves brings us out of the guest at once; what is wanted is
 * done when the processor is unpinned.
 *
 * The FPU registers belong to the guest for the whole call of KVM_RUN (api/linux/device.c), as
 * they do in Linux's KVM: whoever wants them meanwhile saves and restores them as he would
 * a process's.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/preempt.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/vtime.h>

#include <asm/fpu/api.h>

#include "host/host.h"
#include "host/linux/compat.h"
#include "host/linux/linux.h"

unsigned host_cpus(void)
{
	return nr_cpu_ids;
}

unsigned host_cpu(void)
{
	return raw_smp_processor_id();
}

unsigned host_pin(void)
{
	preempt_disable();
	return smp_processor_id();
}

void host_unpin(void)
{
	preempt_enable();
	if (preemptible())
		compat_return_work();
}

void host_interrupts_off(void)
{
	local_irq_disable();
}

/* A tick that ended the guest's run is the guest's time, so that ends behind it. */
void host_interrupts_on(void)
{
	local_irq_enable();
	if (current->flags & PF_VCPU) {
		local_irq_disable();
		vtime_account_guest_exit();
		local_irq_enable();
	}
}

void host_guest_enter(void)
{
	vtime_account_guest_enter();
	compat_rcu_note_guest();
	if (need_resched())
		host_cpu_kick(smp_processor_id());
}

void host_guest_exit(void)
{
}

int host_cpu_call(unsigned cpu, void (*fn)(void *), void *arg)
{
	if (cpu >= nr_cpu_ids)
		return -ENXIO;
	return smp_call_function_single(cpu, fn, arg, 1);
}

void host_cpu_kick(unsigned cpu)
{
	if (cpu < nr_cpu_ids && cpu_online(cpu))
		smp_send_reschedule(cpu);
}

/* --- the FPU ------------------------------------------------------------------------------ */

bool host_linux_fpu_init(struct fpu_guest *fpu)
{
	if (!fpu_alloc_guest_fpstate(fpu))
		return false;
	/* Nothing in it is worth loading when a call begins, or saving when it ends: core has it. */
	fpu->fpstate->is_confidential = true;
	return true;
}

void host_linux_fpu_fini(struct fpu_guest *fpu)
{
	fpu_free_guest_fpstate(fpu);
}

void host_linux_fpu_enter(struct fpu_guest *fpu)
{
	fpu_swap_kvm_fpstate(fpu, true);
}

void host_linux_fpu_leave(struct fpu_guest *fpu)
{
	fpu_swap_kvm_fpstate(fpu, false);
}

/* Somebody else may have had them since: another thread, or the kernel in an interrupt. */
bool host_fpu_begin(void)
{
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
	return true;
}

void host_fpu_end(void)
{
}

/* --- hooks ------------------------------------------------------------------------------- */

static int  (*hook_online)(unsigned);
static void (*hook_offline)(unsigned);
static int state;	/* of hotplug, while there are hooks */

static int cpu_comes(unsigned cpu)
{
	int r;

	local_irq_disable();
	r = hook_online(cpu);
	local_irq_enable();
	return r;
}

static int cpu_goes(unsigned cpu)
{
	local_irq_disable();
	hook_offline(cpu);
	local_irq_enable();
	return 0;
}

static int machine_suspends(void)
{
	hook_offline(smp_processor_id());
	return 0;
}

static void machine_resumes(void)
{
	if (hook_online(smp_processor_id()))
		pr_err("kvm: a processor did not get its virtualization back\n");
}

COMPAT_SYSCORE_DEFINE(sleep, machine_suspends, machine_resumes);

static void leave_this(void *unused)
{
	hook_offline(smp_processor_id());
}

static int machine_reboots(struct notifier_block *block, unsigned long why, void *unused)
{
	on_each_cpu(leave_this, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block reboot_notifier = { .notifier_call = machine_reboots };

static void hooks_remove(void)
{
	if (!hook_online)
		return;
	compat_syscore_unregister(&sleep);
	unregister_reboot_notifier(&reboot_notifier);
	cpuhp_remove_state(state);	/* calls offline on each */
	hook_online = NULL;
	hook_offline = NULL;
}

int host_cpu_hooks(int (*online)(unsigned), void (*offline)(unsigned))
{
	int r;

	hooks_remove();
	if (!online)
		return 0;
	hook_online = online;
	hook_offline = offline;
	r = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "anykvm:online", cpu_comes, cpu_goes);
	if (r < 0) {
		hook_online = NULL;
		hook_offline = NULL;
		return r;
	}
	state = r;
	register_reboot_notifier(&reboot_notifier);
	compat_syscore_register(&sleep);
	return 0;
}
