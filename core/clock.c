// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * clock.c - the guest's time: TSC offsets, kvmclock, steal time
 *
 * A guest's TSC is the host's plus an offset.  kvmclock is nanoseconds since the VM
 * began; the guest computes it from its TSC by a page that we fill.  All vCPUs' pages
 * are made from one pair of host TSC and kvmclock (the master), so that they agree to
 * the nanosecond and nobody ever sees time go backwards; the pair changes only when the
 * client sets the clock.  On a host whose TSC is not constant each page has a pair of its
 * own, and lacks the bit that says they agree.
 *
 * Clients restore TSCs one vCPU after another, which takes time.  A write that is about
 * what the last written TSC has become since is taken to mean the same TSC, exactly.  The first
 * that a client writes is compared with nothing: the VM's own was not meant to stay.
 *
 * A page is written under a version that is odd meanwhile; the guest reads again until
 * it is even and unchanged.
 *
 * Locking: clock.lock, a spin, guards the VM's part.  v->lock guards the vCPU's, except
 * that tsc_offset is read from any context.
 * Reference: Linux, Documentation/virt/kvm/x86/msr.rst, "MSR_KVM_SYSTEM_TIME_NEW".
 * Not modelled: TSC scaling.
 */
#include <linux/errno.h>
#include <linux/kvm_para.h>

#include "core/clock.h"
#include "core/lapic.h"
#include "core/vm.h"
#include "insn/insn.h"

#define NS_PER_SECOND		1000000000u
#define NS_PER_MS		1000000u
#define FALLBACK_KHZ		1000000u	/* the TSC of a host that does not know its own */

#define CLOCK_FLAGS_KNOWN	(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

/* The pages, as the guest knows them. */
struct system_time {
	u32 version, pad;
	u64 tsc_timestamp, system_time;
	u32 tsc_to_system_mul;
	s8  tsc_shift;
	u8  flags;
	u8  pad2[2];
};
struct wall_clock { u32 version, seconds, nanoseconds; };
BUILD_ASSERT(sizeof(struct system_time) == 32);
BUILD_ASSERT(sizeof(struct wall_clock) == 12);

#define SYSTEM_TIME_STABLE	0x01u
#define SYSTEM_TIME_STOPPED	0x02u	/* the guest was stopped; it clears this */

static struct host_lock_class clock_class = { .name = "clock" };

/* --- kvmclock ------------------------------------------------------------------------- */

/* Lock held. */
static void master_set(struct clock_vm *c, u64 ns)
{
	c->master_tsc = insn_rdtsc();
	c->master_now = host_now();
	c->master_ns = ns;
}

/* Lock held.  kvmclock at this pair of host times. */
static u64 master_at(const struct clock_vm *c, u64 tsc, u64 now)
{
	if (!c->stable)
		return c->master_ns + (now - c->master_now);
	if (tsc < c->master_tsc)	/* the other processor's TSC may be a few ticks behind */
		return c->master_ns;
	return c->master_ns + clock_scale(tsc - c->master_tsc, NS_PER_MS, host_tsc_khz());
}

void clock_vm_init(struct vm *vm)
{
	struct clock_vm *c = &vm->clock;

	host_spin_init(&c->lock, &clock_class);
	c->tsc_khz = host_tsc_khz();
	c->stable = c->tsc_khz;
	if (!c->stable)
		c->tsc_khz = FALLBACK_KHZ;
	master_set(c, 0);
}

u64 clock_now(struct vm *vm)
{
	u64 flags = host_spin_lock(&vm->clock.lock);
	u64 ns = master_at(&vm->clock, insn_rdtsc(), host_now());

	host_spin_unlock(&vm->clock.lock, flags);
	return ns;
}

int clock_get(struct vm *vm, struct kvm_clock_data *d)
{
	struct clock_vm *c = &vm->clock;
	u64 flags, tsc;

	__builtin_memset(d, 0, sizeof(*d));
	flags = host_spin_lock(&c->lock);
	tsc = insn_rdtsc();
	d->clock = master_at(c, tsc, host_now());
	if (c->stable) {
		d->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_HOST_TSC | KVM_CLOCK_REALTIME;
		d->host_tsc = tsc;
		d->realtime = host_wall_clock();
	}
	host_spin_unlock(&c->lock, flags);
	return 0;
}

int clock_set(struct vm *vm, const struct kvm_clock_data *d)
{
	u64 flags, ns = d->clock;

	if (d->flags & ~(u32)CLOCK_FLAGS_KNOWN)
		return -EINVAL;
	flags = host_spin_lock(&vm->clock.lock);
	if (d->flags & KVM_CLOCK_REALTIME) {	/* it went on while the VM was on its way */
		u64 wall = host_wall_clock();

		if (wall > d->realtime)
			ns += wall - d->realtime;
	}
	master_set(&vm->clock, ns);
	host_spin_unlock(&vm->clock.lock, flags);
	vm_request_all(vm, REQ_CLOCK_UPDATE, false);
	return 0;
}

/* --- TSC ------------------------------------------------------------------------------------- */

u64 clock_tsc_read(struct vcpu *v)
{
	return insn_rdtsc() + atomic_load_relaxed(&v->tsc_offset);
}

u64 clock_tsc_to_ns(struct vcpu *v, u64 tsc)
{
	u64 now = host_now(), at = clock_tsc_read(v), wait;

	if (tsc <= at)
		return now;
	wait = clock_scale_up(tsc - at, NS_PER_MS, v->tsc_khz);
	return wait < ~0ull - now ? now + wait : ~0ull;
}

void clock_tsc_offset_set(struct vcpu *v, u64 offset)
{
	atomic_store_relaxed(&v->tsc_offset, offset);
	if (v->backend)
		v->vm->be->tsc_offset_set(v, offset);
	lapic_timer_tsc_changed(v);
	vcpu_request(v, REQ_CLOCK_UPDATE);	/* the page speaks of this TSC */
}

/* Lock held.  Is value what the last written TSC would be by now, give or take a second? */
static bool tsc_is_match(const struct clock_vm *c, const struct vcpu *v, u64 value, u64 now)
{
	u64 second = v->tsc_khz * 1000, expected;

	if (!c->last_tsc_khz || c->last_tsc_khz != v->tsc_khz)
		return false;
	if (!value)		/* a vCPU that begins: as the others did */
		return true;
	if (!c->tsc_is_clients)	/* a restored TSC is not this new VM's, however near it is */
		return false;
	expected = c->last_tsc_write + clock_scale(now - c->last_tsc_ns, v->tsc_khz, NS_PER_MS);
	return value < expected + second && value + second > expected;
}

static void tsc_synchronize(struct vcpu *v, u64 value)
{
	struct clock_vm *c = &v->vm->clock;
	u64 flags = host_spin_lock(&c->lock), now = host_now(), offset = value - insn_rdtsc();

	if (tsc_is_match(c, v, value, now)) {
		if (c->stable)
			offset = c->last_tsc_offset;
		else
			offset += clock_scale(now - c->last_tsc_ns, v->tsc_khz, NS_PER_MS);
	}
	c->tsc_is_clients = c->tsc_is_clients || value;
	c->last_tsc_write = value;
	c->last_tsc_ns = now;
	c->last_tsc_khz = v->tsc_khz;
	c->last_tsc_offset = offset;
	host_spin_unlock(&c->lock, flags);
	clock_tsc_offset_set(v, offset);
}

void clock_tsc_write(struct vcpu *v, u64 value, bool host)
{
	u64 change;

	if (host) {
		tsc_synchronize(v, value);
		return;
	}
	change = value - clock_tsc_read(v);
	v->tsc_adjust += change;
	clock_tsc_offset_set(v, v->tsc_offset + change);
}

void clock_vcpu_init(struct vcpu *v)
{
	v->tsc_khz = atomic_load_relaxed(&v->vm->clock.tsc_khz);
	tsc_synchronize(v, 0);
}

/* --- pages -------------------------------------------------------------------------------------- */

/* ns = (ticks << shift, or >> -shift) * mul >> 32, with mul as large as fits. */
static void ticks_to_ns_factors(u64 khz, u32 *mul, s8 *shift)
{
	u64 ticks = khz * 1000, ns = NS_PER_SECOND;

	*shift = 0;
	while (ticks > 2 * ns || ticks >> 32) {		/* ticks / ns in (1, 2] */
		ticks >>= 1;
		--*shift;
	}
	while (ticks <= ns) {
		ticks <<= 1;
		++*shift;
	}
	*mul = (u32)clock_scale(ns, 1ull << 32, ticks);
}

bool clock_pair(struct vcpu *v, u64 *tsc, u64 *ns)
{
	struct clock_vm *c = &v->vm->clock;
	u64 flags = host_spin_lock(&c->lock);

	*tsc = c->master_tsc + v->tsc_offset;
	*ns = c->master_ns;
	host_spin_unlock(&c->lock, flags);
	return c->stable;
}

static void system_time_make(struct vcpu *v, struct system_time *t)
{
	struct clock_vm *c = &v->vm->clock;
	u64 flags = host_spin_lock(&c->lock), tsc = insn_rdtsc(), now = host_now();

	if (c->stable) {
		tsc = c->master_tsc;
		now = c->master_now;
	}
	*t = (struct system_time){
		.tsc_timestamp = tsc + v->tsc_offset,
		.system_time = master_at(c, tsc, now),
		.flags = c->stable ? SYSTEM_TIME_STABLE : 0,
	};
	host_spin_unlock(&c->lock, flags);
	ticks_to_ns_factors(v->tsc_khz, &t->tsc_to_system_mul, &t->tsc_shift);
}

/* Write the page anew, with these flags besides its own. */
static int system_time_write(struct vcpu *v, u8 flags)
{
	gpa_t page = v->system_time_msr & ~1ull;
	struct system_time t;
	u32 version;
	u8 old_flags;

	if (guest_read(v->vm, page + offsetof(struct system_time, flags), &old_flags, 1) ||
	    guest_read(v->vm, page, &version, sizeof(version)))
		return -EFAULT;
	system_time_make(v, &t);
	t.flags |= (old_flags & SYSTEM_TIME_STOPPED) | flags;

	/* The page's own count goes on: a guest that was moved while it read must not meet its number again. */
	version = (version | 1) + 2;
	t.version = version;
	if (guest_write(v->vm, page, &t.version, sizeof(t.version)))
		return -EFAULT;
	atomic_fence();
	if (guest_write(v->vm, page + sizeof(t.version), (u8 *)&t + sizeof(t.version),
			sizeof(t) - sizeof(t.version)))
		return -EFAULT;
	atomic_fence();
	t.version = version + 1;
	return guest_write(v->vm, page, &t.version, sizeof(t.version));
}

void clock_update(struct vcpu *v)
{
	if (v->system_time_msr & KVM_MSR_ENABLED)
		system_time_write(v, 0);	/* a page that is not there gets no time */
}

int clock_guest_paused(struct vcpu *v)
{
	if (!(v->system_time_msr & KVM_MSR_ENABLED))
		return -EINVAL;
	return system_time_write(v, SYSTEM_TIME_STOPPED);
}

/* The wall clock when kvmclock was 0. */
static void wall_clock_write(struct vm *vm, gpa_t page)
{
	struct wall_clock w;
	u64 ns;
	u32 version;

	if (!page || guest_read(vm, page, &version, sizeof(version)))
		return;
	version = (version | 1) + 2;
	if (guest_write(vm, page, &version, sizeof(version)))
		return;
	atomic_fence();
	ns = host_wall_clock() - clock_now(vm);
	w.seconds = (u32)(ns / NS_PER_SECOND);
	w.nanoseconds = (u32)(ns % NS_PER_SECOND);
	if (guest_write(vm, page + 4, &w.seconds, 4) || guest_write(vm, page + 8, &w.nanoseconds, 4))
		return;
	atomic_fence();
	version++;
	guest_write(vm, page, &version, sizeof(version));
}

static u64 (*the_run_delay)(void);

void clock_set_run_delay(u64 (*run_delay)(void))
{
	the_run_delay = run_delay;
}

static u64 run_delay_now(void)
{
	return the_run_delay ? the_run_delay() : 0;
}

/* A vCPU's thread is here again: it may have waited for a processor in the meantime. */
void clock_steal_begin(struct vcpu *v)
{
	if (v->steal_time_msr & KVM_MSR_ENABLED)
		vcpu_request(v, REQ_STEAL_UPDATE);
}

void clock_steal_update(struct vcpu *v)
{
	gpa_t page = v->steal_time_msr & KVM_STEAL_VALID_BITS;
	struct kvm_steal_time s;
	u64 delay;

	if (!(v->steal_time_msr & KVM_MSR_ENABLED) || guest_read(v->vm, page, &s, sizeof(s)))
		return;
	delay = run_delay_now();
	s.version = (s.version | 1) + 2;
	if (guest_write(v->vm, page + offsetof(struct kvm_steal_time, version), &s.version, sizeof(s.version)))
		return;
	atomic_fence();
	/* Another thread than the last time has another count. */
	if (delay > v->run_delay)
		s.steal += delay - v->run_delay;
	v->run_delay = delay;
	s.preempted = 0;
	guest_write(v->vm, page + offsetof(struct kvm_steal_time, steal), &s.steal, sizeof(s.steal));
	guest_write(v->vm, page + offsetof(struct kvm_steal_time, preempted), &s.preempted, 1);
	atomic_fence();
	s.version++;
	guest_write(v->vm, page + offsetof(struct kvm_steal_time, version), &s.version, sizeof(s.version));
}

/* --- MSRs ------------------------------------------------------------------------------------------ */

int clock_msr_set(struct vcpu *v, u32 msr, u64 data, bool host)
{
	(void)host;
	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		atomic_store_relaxed(&v->vm->clock.wall_clock_msr, data);
		wall_clock_write(v->vm, data);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		v->system_time_msr = data;
		vcpu_request(v, REQ_CLOCK_UPDATE);
		return 0;
	case MSR_KVM_STEAL_TIME:
		if (data & KVM_STEAL_RESERVED_MASK)
			return 1;
		v->steal_time_msr = data;
		v->run_delay = run_delay_now();	/* what was before is not counted */
		vcpu_request(v, REQ_STEAL_UPDATE);
		return 0;
	default:
		return 1;
	}
}

int clock_msr_get(struct vcpu *v, u32 msr, u64 *data, bool host)
{
	(void)host;
	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*data = atomic_load_relaxed(&v->vm->clock.wall_clock_msr);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*data = v->system_time_msr;
		return 0;
	case MSR_KVM_STEAL_TIME:
		*data = v->steal_time_msr;
		return 0;
	default:
		return 1;
	}
}
