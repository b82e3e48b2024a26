/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * whole.h - all the state that the KVM API shows of a machine with one vCPU
 *
 * Taken from one machine, put into a new one over the same memory, the guest goes on there and
 * cannot tell.  Nothing of it is known to this header but the ioctls.
 */
#ifndef TESTS_GUEST_WHOLE_H
#define TESTS_GUEST_WHOLE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/types.h"

struct whole_machine {
	int (*ioctl)(int handle, unsigned long request, unsigned long arg);
	int system, vm, cpu;
	bool has_chips, has_lapic, has_pit;
};

#define WHOLE_MSRS	255u
#define WHOLE_CPUID	256u
#define WHOLE_XSAVE	65536u

struct whole {
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;
	struct kvm_xcrs xcrs;
	struct kvm_mp_state mp;
	struct kvm_lapic_state lapic;
	struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 e[WHOLE_CPUID]; } cpuid;
	struct { struct kvm_msrs head; struct kvm_msr_entry e[WHOLE_MSRS]; } msrs;
	struct { struct kvm_nested_state head; u8 data[2 * 4096]; } nested;
	struct kvm_irqchip chip[3];
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	u8 xsave[WHOLE_XSAVE] __attribute__((aligned(64)));
	int tsc_khz;
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } tsc_then;	/* when all else had been read */
};

static inline bool whole_call(const struct whole_machine *m, int handle, unsigned long request, const void *arg,
			      const char *name)
{
	int r = m->ioctl(handle, request, (unsigned long)arg);

	if (r < 0)
		fprintf(stderr, "%s: %s\n", name, strerror(-r));
	return r >= 0;
}
#define WHOLE_CPU(request, arg) (good &= whole_call(m, m->cpu, request, arg, #request))
#define WHOLE_VM(request, arg)	(good &= whole_call(m, m->vm, request, arg, #request))

/* The MSRs of a list are all there, and take what was read. */
static inline bool whole_msrs(const struct whole_machine *m, unsigned long request, struct whole *w)
{
	int r = m->ioctl(m->cpu, request, (unsigned long)&w->msrs);

	if (r == (int)w->msrs.head.nmsrs)
		return true;
	fprintf(stderr, "KVM_%s_MSRS: MSR %#x is refused (%d)\n", request == KVM_SET_MSRS ? "SET" : "GET",
		r >= 0 ? w->msrs.e[r].index : 0, r);
	return false;
}

static inline bool whole_get(const struct whole_machine *m, struct whole *w)
{
	struct { struct kvm_msr_list head; u32 index[WHOLE_MSRS]; } list = { .head.nmsrs = WHOLE_MSRS };
	bool good = whole_call(m, m->system, KVM_GET_MSR_INDEX_LIST, &list, "KVM_GET_MSR_INDEX_LIST");

	memset(w, 0, sizeof(*w));
	for (u32 n = 0; n < list.head.nmsrs && n < WHOLE_MSRS; n++)
		w->msrs.e[w->msrs.head.nmsrs++].index = list.index[n];
	good &= whole_msrs(m, KVM_GET_MSRS, w);
	w->cpuid.head.nent = WHOLE_CPUID;
	WHOLE_CPU(KVM_GET_CPUID2, &w->cpuid);
	WHOLE_CPU(KVM_GET_REGS, &w->regs);
	WHOLE_CPU(KVM_GET_SREGS2, &w->sregs);
	WHOLE_CPU(KVM_GET_VCPU_EVENTS, &w->events);
	WHOLE_CPU(KVM_GET_DEBUGREGS, &w->debug);
	WHOLE_CPU(KVM_GET_XCRS, &w->xcrs);
	WHOLE_CPU(KVM_GET_XSAVE2, w->xsave);
	WHOLE_CPU(KVM_GET_MP_STATE, &w->mp);
	if (m->ioctl(m->system, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE) > 0) {
		w->nested.head.size = sizeof(w->nested);
		WHOLE_CPU(KVM_GET_NESTED_STATE, &w->nested);
	}
	w->tsc_khz = m->ioctl(m->cpu, KVM_GET_TSC_KHZ, 0);
	if (m->has_lapic)
		WHOLE_CPU(KVM_GET_LAPIC, &w->lapic);
	if (m->has_pit)
		WHOLE_VM(KVM_GET_PIT2, &w->pit);
	for (u32 n = 0; m->has_chips && n < 3; n++) {
		w->chip[n].chip_id = n;
		WHOLE_VM(KVM_GET_IRQCHIP, &w->chip[n]);
	}
	WHOLE_VM(KVM_GET_CLOCK, &w->clock);
	w->tsc_then.head.nmsrs = 1;
	w->tsc_then.e.index = 0x10;
	WHOLE_CPU(KVM_GET_MSRS, &w->tsc_then);
	return good;
}

static inline bool whole_set(const struct whole_machine *m, struct whole *w)
{
	struct kvm_clock_data clock = { .clock = w->clock.clock };
	bool good = true;

	for (u32 n = 0; m->has_chips && n < 3; n++)
		WHOLE_VM(KVM_SET_IRQCHIP, &w->chip[n]);
	if (m->has_pit)
		WHOLE_VM(KVM_SET_PIT2, &w->pit);
	WHOLE_VM(KVM_SET_CLOCK, &clock);
	WHOLE_CPU(KVM_SET_CPUID2, &w->cpuid);
	if (w->tsc_khz > 0)
		WHOLE_CPU(KVM_SET_TSC_KHZ, (void *)(unsigned long)w->tsc_khz);
	WHOLE_CPU(KVM_SET_SREGS2, &w->sregs);
	good &= whole_msrs(m, KVM_SET_MSRS, w);
	WHOLE_CPU(KVM_SET_REGS, &w->regs);
	WHOLE_CPU(KVM_SET_XCRS, &w->xcrs);
	WHOLE_CPU(KVM_SET_XSAVE, w->xsave);
	WHOLE_CPU(KVM_SET_DEBUGREGS, &w->debug);
	if (m->has_lapic) {
		WHOLE_CPU(KVM_SET_LAPIC, &w->lapic);
		/* The deadline belongs to a LAPIC in deadline mode. */
		good &= whole_msrs(m, KVM_SET_MSRS, w);
	}
	WHOLE_CPU(KVM_SET_MP_STATE, &w->mp);
	if (w->nested.head.size)
		WHOLE_CPU(KVM_SET_NESTED_STATE, &w->nested);
	WHOLE_CPU(KVM_SET_VCPU_EVENTS, &w->events);
	return good;
}

static inline bool whole_part_is_same(const char *what, const void *a, const void *b, u64 bytes)
{
	const u8 *x = a, *y = b;

	for (u64 n = 0; n < bytes; n++)
		if (x[n] != y[n]) {
			fprintf(stderr, "%s: byte %#llx is %#x, and was %#x\n", what, (unsigned long long)n, y[n], x[n]);
			return false;
		}
	return true;
}

static inline u64 whole_msr(const struct whole *w, u32 index)
{
	for (u32 n = 0; n < w->msrs.head.nmsrs; n++)
		if (w->msrs.e[n].index == index)
			return w->msrs.e[n].data;
	return 0;
}

/* What goes on by itself in between.  A deadline has passed if it is none any more. */
static inline bool whole_msr_moves(const struct whole *a, const struct whole *b, u32 index)
{
	if (index == 0x6e0)
		return !whole_msr(b, index) && b->tsc_then.e.data >= whole_msr(a, index);
	return index == 0x10 || index == 0x40000010 || index == 0x40000020;	/* TSC, Hyper-V's run time and reference time */
}

/* Is b, read from the machine that was given a, the same but for what time has changed? */
static inline bool whole_is_same(const struct whole *a, const struct whole *b)
{
	bool good = true;

#define SAME_PART(part) (good &= whole_part_is_same(#part, &a->part, &b->part, sizeof(a->part)))
	SAME_PART(regs);
	SAME_PART(sregs);
	SAME_PART(events);
	SAME_PART(debug);
	SAME_PART(xcrs);
	SAME_PART(mp);
	SAME_PART(cpuid);
	SAME_PART(nested);
	SAME_PART(xsave);
	for (u32 n = 0; n < a->msrs.head.nmsrs; n++)
		if (a->msrs.e[n].data != b->msrs.e[n].data && !whole_msr_moves(a, b, a->msrs.e[n].index)) {
			fprintf(stderr, "MSR %#x is %#llx, and was %#llx\n", a->msrs.e[n].index, b->msrs.e[n].data, a->msrs.e[n].data);
			good = false;
		}
	return good;
}

/* The LAPIC and the chips, too, where no timer has fired meanwhile. */
static inline bool whole_chips_are_same(const struct whole *a, const struct whole *b)
{
	struct kvm_lapic_state x = a->lapic, y = b->lapic;
	bool good = true;

	memset(x.regs + 0x390, 0, 4);		/* the timer's current count */
	memset(y.regs + 0x390, 0, 4);
	good &= whole_part_is_same("lapic", &x, &y, sizeof(x));
	SAME_PART(chip);
#undef SAME_PART
	return good;
}
#undef WHOLE_CPU
#undef WHOLE_VM

#endif
