/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compat.h - what changed between the kernels that the modules build for
 *
 * Written for 6.1; each definition says when a kernel began to differ.  The rest of
 * host/linux and api/linux is written as for the oldest, or in terms of what is defined here.
 */
#ifndef HOST_LINUX_COMPAT_H
#define HOST_LINUX_COMPAT_H

#include <linux/eventfd.h>
#include <linux/highmem.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/smp.h>
#include <linux/syscore_ops.h>
#include <linux/version.h>

/* 6.4: sending IPIs is traced, by the header's users. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#include <trace/events/ipi.h>
#endif

/* 6.8: an event counts one. */
static inline void compat_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* 6.15: the function is part of the initialization. */
static inline void compat_hrtimer_setup(struct hrtimer *t, enum hrtimer_restart (*fn)(struct hrtimer *))
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
	hrtimer_setup(t, fn, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
#else
	hrtimer_init(t, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	t->function = fn;
#endif
}

/* 6.2: flags of mappings are written by functions. */
static inline void compat_vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

/* 6.2: it is about this processor anyway. */
static inline void compat_rcu_note_guest(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	rcu_virt_note_context_switch();
#else
	rcu_virt_note_context_switch(smp_processor_id());
#endif
}

/*
 * What the last processor does when the machine sleeps and wakes.  6.19, and stable kernels
 * before it: these functions get data, which is registered with them.  Kbuild looks which.
 */
#ifdef COMPAT_SYSCORE_DATA
#define COMPAT_SYSCORE_DEFINE(name, asleep, awake) \
	static int name##_suspend(void *data) { return asleep(); } \
	static void name##_resume(void *data) { awake(); } \
	static const struct syscore_ops name##_ops = { .suspend = name##_suspend, .resume = name##_resume }; \
	static struct syscore name = { .ops = &name##_ops }
#define compat_syscore_register		register_syscore
#define compat_syscore_unregister	unregister_syscore
#else
#define COMPAT_SYSCORE_DEFINE(name, asleep, awake) \
	static struct syscore_ops name = { .suspend = asleep, .resume = awake }
#define compat_syscore_register		register_syscore_ops
#define compat_syscore_unregister	unregister_syscore_ops
#endif

/*
 * What returning to user space would do, but for signals: scheduling, task work.  In a file
 * of its own, as it needs the header of Linux's KVM.
 */
void compat_return_work(void);

/* 6.12: whether a page-table entry is a page is asked with another name. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
#define compat_pmd_is_page(pmd)	pmd_leaf(pmd)
#define compat_pud_is_page(pud)	pud_leaf(pud)
#else
#define compat_pmd_is_page(pmd)	pmd_large(pmd)
#define compat_pud_is_page(pud)	pud_large(pud)
#endif

#endif
