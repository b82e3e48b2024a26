// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pit.c - the interval timer as a device: ports, port 0x61, IRQ 0
 *
 * The counters are i8254.c's.  This file tells them the time, answers the ports, and sets
 * a host timer for each rise of counter 0's output, which is an edge on GSI 0.
 *
 * A guest that was not running misses ticks, and old ones count time by them.  With
 * reinjection a tick is delivered when the guest has ended the one before, and missed
 * ones wait in line; without, they are lost.
 *
 * Invariants (lock not held):
 *   1. armed: a host timer is set for tick target or earlier.
 *   2. owed <= OWED_MAX, and 0 without reinjection.
 *   3. interrupts are never raised more often than every PERIOD_MIN ticks by the timer,
 *      and a late callback works off what it missed in one step.
 *   4. pulsing: one thread moves the line.  A tick that another thread then wants
 *      delivered is left to it (wanted): two pulses at once would be a single edge.
 *
 * Locking: lock, a spin; dropped before the line is moved.
 * Reference: Intel 8254 data sheet; PIIX data sheet, "NMI Status and Control Register".
 * Not modelled: HPET's legacy replacement, which only stops IRQ 0 here.
 */
#include <linux/errno.h>

#include "core/i8254.h"
#include "core/lapic.h"
#include "core/pit.h"
#include "core/vm.h"

#define NS		1000000000u
#define PERIOD_MIN	239u		/* ticks: 200 us */
#define OWED_MAX	1000u
#define SOURCE_PIT	1u
#define NEVER		(~0ull)

#define PORT_CONTROL	3u

#define SPEAKER_GATE	0x01
#define SPEAKER_DATA	0x02
#define SPEAKER_REFRESH	0x10	/* toggles, once with each memory refresh */
#define SPEAKER_OUT	0x20

struct pit {
	struct vm *vm;
	struct iodev ports, speaker;
	struct host_spin lock;
	struct pit_counter counter[3];
	u32 flags;			/* KVM_PIT_FLAGS_* */
	struct host_timer timer;
	bool armed;
	u64 target;			/* tick of counter 0's next rise, when armed */
	bool reinject;
	bool acked;			/* the guest has ended the last one */
	u32 owed;
	bool wanted;			/* a tick is to be delivered */
	bool pulsing;			/* a thread is delivering */
};

static struct host_lock_class pit_class = { .name = "pit" };

static u64 tick_now(void)
{
	return clock_scale(host_now(), PIT_HZ, NS);
}

static u64 tick_to_ns(u64 tick)
{
	return clock_scale_up(tick, NS, PIT_HZ);
}

/* --- IRQ 0 -------------------------------------------------------------------------- */

/* Deliver what is wanted, if no other thread is at it. */
static void deliver(struct pit *p)
{
	u64 flags = host_spin_lock(&p->lock);

	while (p->wanted && !p->pulsing) {
		p->wanted = false;
		p->pulsing = true;
		host_spin_unlock(&p->lock, flags);
		irq_line(p->vm, SOURCE_PIT, 0, true);
		irq_line(p->vm, SOURCE_PIT, 0, false);
		lapic_pit_tick(p->vm);
		flags = host_spin_lock(&p->lock);
		p->pulsing = false;
	}
	host_spin_unlock(&p->lock, flags);
}

/* Lock held: n ticks happened. */
static void tick(struct pit *p, u64 n)
{
	if (!p->reinject) {
		p->wanted = true;
		return;
	}
	p->owed = (u32)MIN_OF(p->owed + n, OWED_MAX);
	if (p->acked)
		p->wanted = true;
	p->acked = false;
}

static void forget_owed(struct pit *p)
{
	p->owed = 0;
	p->acked = true;
}

/* Lock held.  Set the timer for counter 0's next rise after now. */
static void arm(struct pit *p, u64 now)
{
	p->target = pit_next_rise(&p->counter[0], now);
	p->armed = p->target != NEVER && !(p->flags & KVM_PIT_FLAGS_HPET_LEGACY);
	if (p->armed && p->target - now < PERIOD_MIN)
		p->target = now + MIN_OF(MAX_OF(p->target - now, p->counter[0].reload), PERIOD_MIN);
	if (p->armed)
		host_timer_start(&p->timer, tick_to_ns(p->target));
}

static bool is_periodic(const struct pit_counter *c)
{
	return c->mode == 2 || c->mode == 3;
}

static void timer_fired(struct host_timer *timer)
{
	struct pit *p = CONTAINER_OF(timer, struct pit, timer);
	u64 flags = host_spin_lock(&p->lock), now = tick_now(), n = 1;

	if (p->armed && now < p->target) {	/* a later count has replaced the one it was set for */
		host_timer_start(&p->timer, tick_to_ns(p->target));
	} else if (p->armed && !is_periodic(&p->counter[0])) {
		p->armed = false;
		tick(p, 1);
	} else if (p->armed) {
		u64 period = MAX_OF(p->counter[0].reload, PERIOD_MIN);

		n += (now - p->target) / period;
		p->target += n * period;
		host_timer_start(&p->timer, tick_to_ns(p->target));
		tick(p, n);
	}
	host_spin_unlock(&p->lock, flags);
	deliver(p);
}

void pit_acked(struct pit *p)
{
	u64 flags = host_spin_lock(&p->lock);

	p->acked = true;
	if (p->owed && --p->owed) {
		p->acked = false;
		p->wanted = true;
	}
	host_spin_unlock(&p->lock, flags);
	deliver(p);
}

void pit_unmasked(struct pit *p)
{
	u64 flags = host_spin_lock(&p->lock);

	forget_owed(p);
	host_spin_unlock(&p->lock, flags);
}

void pit_reinject(struct pit *p, bool on)
{
	u64 flags = host_spin_lock(&p->lock);

	p->reinject = on;
	forget_owed(p);
	host_spin_unlock(&p->lock, flags);
}

/* --- ports ------------------------------------------------------------------------------ */

static int ports_read(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, void *out)
{
	struct pit *p = CONTAINER_OF(d, struct pit, ports);
	unsigned n = address & 3;
	u64 flags;

	(void)v;
	__builtin_memset(out, 0, bytes);
	if (n == PORT_CONTROL)
		return 0;
	flags = host_spin_lock(&p->lock);
	*(u8 *)out = pit_read(&p->counter[n], tick_now());
	host_spin_unlock(&p->lock, flags);
	return 0;
}

static int ports_write(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, const void *in)
{
	struct pit *p = CONTAINER_OF(d, struct pit, ports);
	u64 flags, now;
	unsigned n = address & 3;
	u8 value = *(const u8 *)in;
	bool changed;

	(void)v;
	(void)bytes;
	flags = host_spin_lock(&p->lock);
	now = tick_now();
	if (n == PORT_CONTROL)
		changed = pit_control(p->counter, value, now) == 0;
	else
		changed = pit_write(&p->counter[n], value, now) && n == 0;
	if (changed) {
		forget_owed(p);
		arm(p, now);
	}
	host_spin_unlock(&p->lock, flags);
	return 0;
}

static int speaker_read(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, void *out)
{
	struct pit *p = CONTAINER_OF(d, struct pit, speaker);
	u64 flags = host_spin_lock(&p->lock);
	u8 value = 0;

	(void)v;
	(void)address;
	if (p->counter[2].gate)
		value |= SPEAKER_GATE;
	if (p->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON)
		value |= SPEAKER_DATA;
	if (host_now() >> 14 & 1)	/* every 16 us, near enough to 15 */
		value |= SPEAKER_REFRESH;
	if (pit_out(&p->counter[2], tick_now()))
		value |= SPEAKER_OUT;
	host_spin_unlock(&p->lock, flags);
	__builtin_memset(out, 0, bytes);
	*(u8 *)out = value;
	return 0;
}

static int speaker_write(struct vcpu *v, struct iodev *d, gpa_t address, unsigned bytes, const void *in)
{
	struct pit *p = CONTAINER_OF(d, struct pit, speaker);
	u8 value = *(const u8 *)in;
	u64 flags = host_spin_lock(&p->lock);

	(void)v;
	(void)address;
	(void)bytes;
	p->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if (value & SPEAKER_DATA)
		p->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	pit_set_gate(&p->counter[2], value & SPEAKER_GATE, tick_now());
	host_spin_unlock(&p->lock, flags);
	return 0;
}

static const struct iodev_ops ports_ops = { .read = ports_read, .write = ports_write };
static const struct iodev_ops speaker_ops = { .read = speaker_read, .write = speaker_write };

/* --- state --------------------------------------------------------------------------------- */

/* KVM's read_state and write_state: as the access, but 4 when the high byte is next. */
#define STATE_MSB_NEXT	4u

/* A counter without a count: KVM's mode is 0xff then; ours keeps the mode in the low bits. */
#define MODE_NULL	0xf8u

static void counter_get(const struct pit_counter *c, struct kvm_pit_channel_state *s, u64 now)
{
	u64 loaded = c->gate ? c->loaded_at : now - c->held;

	s->count = c->reload;			/* never 0: clients divide by it */
	s->latched_count = c->count_latch;
	if (c->count_latched)	/* which byte of the latch is next */
		s->count_latched = c->msb_next ? PIT_MSB : c->access;
	s->status_latched = c->status_latched;
	s->status = c->status_latch;
	s->read_state = c->msb_next ? STATE_MSB_NEXT : c->access;
	s->write_state = c->write_msb_next ? STATE_MSB_NEXT : c->access;
	s->write_latch = c->write_low;
	s->rw_mode = c->access;
	s->mode = c->mode | (c->null_count ? MODE_NULL : 0);
	s->bcd = c->bcd;
	s->gate = c->gate;
	s->count_load_time = c->waiting ? 0 : (s64)tick_to_ns(loaded);
}

static void counter_set(struct pit_counter *c, const struct kvm_pit_channel_state *s, u64 now)
{
	u64 loaded = s->count_load_time > 0 ? clock_scale((u64)s->count_load_time, PIT_HZ, NS) : 0;

	*c = (struct pit_counter){
		.loaded_at = MIN_OF(loaded, now),
		.reload = s->count && s->count <= 65536 ? s->count : 65536,
		.mode = (s->mode & 7) <= 5 ? s->mode & 7 : s->mode & 3,
		.access = s->rw_mode & 3 ? s->rw_mode & 3 : PIT_WORD,
		.bcd = s->bcd, .gate = s->gate, .null_count = !s->count || s->mode >= MODE_NULL,
		.waiting = !s->count_load_time && (s->mode == 1 || s->mode == 5),
		.write_low = s->write_latch,
		.count_latched = s->count_latched, .count_latch = s->latched_count,
		.status_latched = s->status_latched, .status_latch = s->status,
	};
	c->held = now - c->loaded_at;
	if (c->access == PIT_WORD) {
		c->write_msb_next = s->write_state == STATE_MSB_NEXT;
		c->msb_next = s->count_latched ? s->count_latched == PIT_MSB : s->read_state == STATE_MSB_NEXT;
	}
}

void pit_get(struct pit *p, struct kvm_pit_state2 *state)
{
	u64 flags, now;

	__builtin_memset(state, 0, sizeof(*state));
	flags = host_spin_lock(&p->lock);
	now = tick_now();
	for (unsigned n = 0; n < 3; n++)
		counter_get(&p->counter[n], &state->channels[n], now);
	state->flags = p->flags;
	host_spin_unlock(&p->lock, flags);
}

void pit_set(struct pit *p, const struct kvm_pit_state2 *state)
{
	u64 flags = host_spin_lock(&p->lock), now = tick_now();

	for (unsigned n = 0; n < 3; n++)
		counter_set(&p->counter[n], &state->channels[n], now);
	p->flags = state->flags & (KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	/* The load time may be another host's.  A period has no phase to lose; a single shot starts again. */
	if (!is_periodic(&p->counter[0]))
		p->counter[0].loaded_at = now;
	forget_owed(p);
	arm(p, now);
	host_spin_unlock(&p->lock, flags);
}

/* --- life ------------------------------------------------------------------------------------ */

struct pit *pit_create(struct vm *vm)
{
	struct pit *p = host_alloc(sizeof(*p), 0);

	if (!p)
		return NULL;
	p->vm = vm;
	p->ports.ops = &ports_ops;
	p->speaker.ops = &speaker_ops;
	p->reinject = true;
	p->acked = true;
	host_spin_init(&p->lock, &pit_class);
	host_timer_init(&p->timer, timer_fired);
	pit_reset(p->counter, tick_now());
	return p;
}

void pit_destroy(struct pit *p)
{
	u64 flags;

	if (!p)
		return;
	flags = host_spin_lock(&p->lock);
	p->armed = false;
	host_spin_unlock(&p->lock, flags);
	host_timer_stop(&p->timer);
	host_free(p);
}

int pit_attach(struct pit *p, bool speaker)
{
	int err = iobus_add(p->vm, IOBUS_PIO, 0x40, 4, &p->ports);

	if (!err && speaker) {
		err = iobus_add(p->vm, IOBUS_PIO, 0x61, 1, &p->speaker);
		if (err)
			iobus_remove(p->vm, IOBUS_PIO, &p->ports);
	}
	return err;
}

void pit_detach(struct pit *p)
{
	iobus_remove(p->vm, IOBUS_PIO, &p->ports);
	iobus_remove(p->vm, IOBUS_PIO, &p->speaker);
}
