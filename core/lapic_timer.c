// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lapic_timer.c - the local APIC's timer
 *
 * The bus clock is 1 GHz: a tick is a nanosecond.  Nothing counts: the current count is
 * computed from the time left until the target, and a host timer is set for the target.
 * A TSC deadline is a target too, converted once and again when the guest's TSC jumps.
 *
 * The host timer is never waited for.  Its callback takes the lock and asks whether the
 * target has really come; a callback that was overtaken by a new target, or by disarming,
 * finds nothing to do.  So all of this may be called with interrupts off.
 *
 * Invariants (lock not held):
 *   1. armed: a host timer is set for target_ns or earlier.
 *   2. mode TIMER_DEADLINE: armed exactly if deadline_tsc is not 0.
 *   3. a periodic timer is never due more often than every PERIOD_MIN_NS, and however late
 *      its callback runs, it raises one interrupt and skips the missed ones.
 *
 * Locking: timer.lock, a leaf; the interrupt is raised after it is dropped.
 */
#include "core/clock.h"
#include "core/lapic.h"
#include "core/vm.h"

#define PERIOD_MIN_NS	200000u
#define FOREVER_NS	((s64)(~0ull >> 1))

static struct host_lock_class timer_class = { .name = "lapic timer" };

/* Lock held.  Is an interrupt due?  Moves the timer on to its next target, if it has one. */
static bool timer_turn(struct lapic_timer *t, u64 now)
{
	if (!t->armed)
		return false;
	if (now < t->target_ns) {
		host_timer_start(&t->timer, t->target_ns);
		return false;
	}
	if (t->mode == TIMER_PERIODIC) {
		u64 missed = (now - t->target_ns) / t->period_ns;

		t->target_ns += (missed + 1) * t->period_ns;
		host_timer_start(&t->timer, t->target_ns);
		return true;
	}
	t->armed = false;
	t->deadline_tsc = 0;
	return true;
}

static void timer_fired(struct host_timer *timer)
{
	struct lapic *l = CONTAINER_OF(timer, struct lapic, timer.timer);
	u64 flags = host_spin_lock(&l->timer.lock);
	bool due = timer_turn(&l->timer, host_now());

	l->timer.firing = due;
	host_spin_unlock(&l->timer.lock, flags);
	if (!due)
		return;
	lapic_local(l, APIC_LVT_TIMER);
	flags = host_spin_lock(&l->timer.lock);
	l->timer.firing = false;
	host_spin_unlock(&l->timer.lock, flags);
}

/*
 * For who reads the state to carry it elsewhere: an interrupt that is neither in the IRR yet
 * nor in a count that is left would be lost.  A callback that is on its way may raise it again.
 */
void lapic_timer_settle(struct lapic *l)
{
	u64 flags = host_spin_lock(&l->timer.lock);
	bool due = timer_turn(&l->timer, host_now()) || l->timer.firing;

	host_spin_unlock(&l->timer.lock, flags);
	if (due)
		lapic_local(l, APIC_LVT_TIMER);
}

/* Lock held.  A target that has passed is due at once. */
static bool timer_arm(struct lapic_timer *t, u64 target)
{
	t->target_ns = MIN_OF(target, (u64)FOREVER_NS);
	t->armed = true;
	return timer_turn(t, host_now());
}

/* Lock held. */
static void timer_disarm(struct lapic_timer *t)
{
	t->armed = false;
	t->deadline_tsc = 0;
}

/* Lock held.  From TMICT, TDCR and the mode. */
static void timer_period_update(struct lapic *l)
{
	struct lapic_timer *t = &l->timer;

	t->period_ns = (u64)lapic_reg(l, APIC_TMICT) * t->divide;
	if (t->mode == TIMER_PERIODIC && t->period_ns)
		t->period_ns = MAX_OF(t->period_ns, PERIOD_MIN_NS);
}

static u32 divide_of(u32 tdcr)
{
	return 1u << ((((tdcr & 3) | (tdcr & 8) >> 1) + 1) & 7);
}

void lapic_timer_init(struct lapic *l)
{
	host_spin_init(&l->timer.lock, &timer_class);
	host_timer_init(&l->timer.timer, timer_fired);
	l->timer.divide = divide_of(0);
}

void lapic_timer_fini(struct lapic *l)
{
	lapic_timer_stop(l);
	host_timer_stop(&l->timer.timer);
}

void lapic_timer_stop(struct lapic *l)
{
	u64 flags = host_spin_lock(&l->timer.lock);

	timer_disarm(&l->timer);
	host_spin_unlock(&l->timer.lock, flags);
}

void lapic_timer_mode(struct lapic *l)
{
	struct lapic_timer *t = &l->timer;
	enum lapic_timer_mode mode = lapic_reg(l, APIC_LVT_TIMER) >> 17 & 3;
	u64 flags = host_spin_lock(&t->lock);

	/* Between counting and a deadline nothing is carried over. */
	if ((mode == TIMER_DEADLINE) != (t->mode == TIMER_DEADLINE)) {
		timer_disarm(t);
		lapic_reg_set(l, APIC_TMICT, 0);
	}
	if (mode == TIMER_RESERVED)
		timer_disarm(t);
	t->mode = mode;
	timer_period_update(l);
	host_spin_unlock(&t->lock, flags);
}

void lapic_timer_divide(struct lapic *l)
{
	struct lapic_timer *t = &l->timer;
	u64 flags = host_spin_lock(&t->lock), now = host_now();
	u32 old = t->divide;
	bool due = false;

	t->divide = divide_of(lapic_reg(l, APIC_TDCR));
	timer_period_update(l);
	if (t->armed && t->mode != TIMER_DEADLINE && t->divide != old) {
		u64 left = t->target_ns > now ? t->target_ns - now : 0;

		due = timer_arm(t, now + clock_scale(left, t->divide, old));
	}
	host_spin_unlock(&t->lock, flags);
	if (due)
		lapic_local(l, APIC_LVT_TIMER);
}

void lapic_timer_start(struct lapic *l, u32 count)
{
	struct lapic_timer *t = &l->timer;
	u64 flags = host_spin_lock(&t->lock), first;
	bool due = false;

	timer_period_update(l);
	first = MIN_OF((u64)count * t->divide, t->period_ns);
	if (t->mode == TIMER_PERIODIC && (!first || first == (u64)lapic_reg(l, APIC_TMICT) * t->divide))
		first = t->period_ns;
	if (t->mode == TIMER_DEADLINE)
		;
	else if (t->mode == TIMER_RESERVED || !t->period_ns)
		timer_disarm(t);
	else
		due = timer_arm(t, host_now() + first);
	host_spin_unlock(&t->lock, flags);
	if (due)
		lapic_local(l, APIC_LVT_TIMER);
}

u32 lapic_timer_count(struct lapic *l)
{
	struct lapic_timer *t = &l->timer;
	u64 flags = host_spin_lock(&t->lock), now = host_now(), left = 0;

	if (t->armed && t->mode != TIMER_DEADLINE && t->target_ns > now)
		left = (t->target_ns - now) / t->divide;
	else if (t->armed && t->mode == TIMER_PERIODIC)	/* due, and its callback is late */
		left = (t->period_ns - (now - t->target_ns) % t->period_ns) / t->divide;
	host_spin_unlock(&t->lock, flags);
	return (u32)MIN_OF(left, lapic_reg(l, APIC_TMICT));
}

/* --- the deadline --------------------------------------------------------------- */

u64 lapic_deadline_get(struct vcpu *v)
{
	struct lapic *l = v->lapic;
	u64 flags, deadline;

	if (!l)
		return 0;
	flags = host_spin_lock(&l->timer.lock);
	deadline = l->timer.mode == TIMER_DEADLINE ? l->timer.deadline_tsc : 0;
	host_spin_unlock(&l->timer.lock, flags);
	return deadline;
}

/* Lock held. */
static bool deadline_arm(struct lapic *l, u64 tsc)
{
	l->timer.deadline_tsc = tsc;
	if (tsc)
		return timer_arm(&l->timer, clock_tsc_to_ns(l->v, tsc));
	timer_disarm(&l->timer);
	return false;
}

void lapic_deadline_set(struct vcpu *v, u64 tsc)
{
	struct lapic *l = v->lapic;
	bool due = false;
	u64 flags;

	if (!l || !lapic_is_on(l))
		return;
	flags = host_spin_lock(&l->timer.lock);
	if (l->timer.mode == TIMER_DEADLINE)	/* otherwise the write has no effect */
		due = deadline_arm(l, tsc);
	host_spin_unlock(&l->timer.lock, flags);
	if (due)
		lapic_local(l, APIC_LVT_TIMER);
}

void lapic_timer_tsc_changed(struct vcpu *v)
{
	struct lapic *l = v->lapic;
	bool due = false;
	u64 flags;

	if (!l)
		return;
	flags = host_spin_lock(&l->timer.lock);
	if (l->timer.mode == TIMER_DEADLINE && l->timer.armed)
		due = deadline_arm(l, l->timer.deadline_tsc);
	host_spin_unlock(&l->timer.lock, flags);
	if (due)
		lapic_local(l, APIC_LVT_TIMER);
}
