// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hyperv_synic.c - Hyper-V's synthetic interrupt controller and timers
 *
 * A SINT is a source of interrupts that the guest gives a vector; what it has to say is in
 * the SINT's slot of a page of messages. A slot that is not empty makes a sender wait: the
 * message is flagged, and when the guest has taken it, it writes EOM.
 *
 * A timer counts in reference time. Its expiry, in timer context, only marks it; the vCPU's
 * thread sends the message, or raises the vector itself in direct mode.
 *
 * Locking: v->lock; SINTs and expired bits are atomics.
 * Reference: Microsoft, Hypervisor Top Level Functional Specification, "Inter-Partition
 * Communication", "Timers".
 */
#include "core/hyperv.h"

#include <linux/errno.h>

#include "core/hyperv_regs.h"
#include "core/lapic.h"
#include "core/vm.h"

#define VECTOR_LEAST	16u
#define MESSAGE_BYTES	256u
#define MESSAGE_TIMER	0x80000010u
#define MESSAGE_PENDING	1u		/* flag: somebody waits for this slot */

/* Of a timer's configuration. */
#define TIMER_ENABLE	BIT_U64(0)
#define TIMER_REPEATS	BIT_U64(1)
#define TIMER_AUTO	BIT_U64(3)	/* a count enables it */
#define TIMER_DIRECT	BIT_U64(12)
#define TIMER_VECTOR(c)	((u32)((c) >> 4) & 0xff)
#define TIMER_SINT(c)	((u32)((c) >> 16) & 0xf)

struct timer_message {
	u32 type;
	u8  payload_bytes, flags, reserved[2];
	u64 sender;
	u32 timer, reserved2;
	u64 due, sent;
};
BUILD_ASSERT(sizeof(struct timer_message) == 40);

/* --- SINTs ---------------------------------------------------------------------------------- */

/* Vectors that end by being delivered. */
static void auto_eoi_update(struct vcpu *v)
{
	u64 bits[4] = { 0 };

	for (unsigned n = 0; n < HYPERV_SINTS; n++) {
		u64 sint = v->hv->sint[n];

		if ((sint & HV_SINT_AUTO_EOI) && !(sint & HV_SINT_MASKED))
			bits[(sint & HV_SINT_VECTOR) / 64] |= BIT_U64((sint & HV_SINT_VECTOR) % 64);
	}
	if (v->lapic)
		__builtin_memcpy(v->lapic->auto_eoi, bits, sizeof(bits));
}

static int sint_set(struct vcpu *v, unsigned n, u64 data, bool host)
{
	if ((data & HV_SINT_VECTOR) < VECTOR_LEAST && !host && !(data & HV_SINT_MASKED))
		return 1;
	atomic_store_relaxed(&v->hv->sint[n], data);
	auto_eoi_update(v);
	return 0;
}

static int vector_raise(struct vcpu *v, u32 vector)
{
	const struct lapic_message m = { .vector = (u8)vector, .mode = LAPIC_FIXED };

	return v->lapic ? lapic_accept(v->lapic, &m) : -ENOENT;
}

/* --- messages ----------------------------------------------------------------------------------- */

/* 0; -EAGAIN: the slot is taken, and the guest will write EOM. */
static int message_send(struct vcpu *v, u32 sint, const struct timer_message *m, bool may_be_lost)
{
	gpa_t at = (v->hv->message_page & HV_PAGE) + sint * MESSAGE_BYTES;
	u32 type;
	u8 flags;
	int r;

	if (!(v->hv->message_page & HV_ENABLE) || guest_read(v->vm, at, &type, sizeof(type)))
		return -ENOENT;
	if (type && may_be_lost)
		return 0;
	if (type) {
		flags = MESSAGE_PENDING;
		guest_write(v->vm, at + offsetof(struct timer_message, flags), &flags, 1);
		return -EAGAIN;
	}
	if (guest_write(v->vm, at, m, sizeof(*m)))
		return -ENOENT;
	r = irq_sint_raise(v->vm, v->hv->vp_index, sint);
	return r < 0 ? r : 0;
}

/* --- timers ---------------------------------------------------------------------------------------- */

static void timer_mark(struct hyperv_timer *t)
{
	atomic_fetch_or(&t->v->hv->expired, 1u << t->index);
	vcpu_request(t->v, REQ_HV_STIMER);
}

/* [any] */
static void timer_fired(struct host_timer *h)
{
	struct hyperv_timer *t = CONTAINER_OF(h, struct hyperv_timer, timer);

	timer_mark(t);
	vcpu_kick(t->v);
}

static void timer_stop(struct hyperv_timer *t)
{
	host_timer_stop(&t->timer);
	atomic_fetch_and(&t->v->hv->expired, ~(1u << t->index));
	t->undelivered = false;
	t->due = 0;
}

static void timer_start(struct hyperv_timer *t)
{
	u64 now = hyperv_time(t->v->vm), wait;

	if (t->config & TIMER_REPEATS) {
		if (!t->due)
			t->due = now + t->count;
		else if (now >= t->due)		/* missed ticks are not made up for */
			t->due = now + (t->count - (now - t->due) % t->count);
	} else {
		t->due = t->count;
		if (now >= t->due) {
			timer_mark(t);
			return;
		}
	}
	wait = MIN_OF(t->due - now, ~0ull / 200);
	host_timer_start(&t->timer, host_now() + wait * 100);
}

static int timer_send(struct hyperv_timer *t)
{
	struct timer_message m = {
		.type = MESSAGE_TIMER, .payload_bytes = 24, .timer = t->index,
		.due = t->due, .sent = hyperv_time(t->v->vm),
	};

	if (t->config & TIMER_DIRECT)
		return vector_raise(t->v, TIMER_VECTOR(t->config)) < 0 ? -ENOENT : 0;
	return message_send(t->v, TIMER_SINT(t->config), &m, t->config & TIMER_REPEATS);
}

static void timer_expire(struct hyperv_timer *t)
{
	t->undelivered = timer_send(t) != 0;
	if (!t->undelivered && !(t->config & TIMER_REPEATS))
		t->config &= ~TIMER_ENABLE;
}

void hyperv_timers_serve(struct vcpu *v)
{
	u32 expired = atomic_exchange(&v->hv->expired, 0u);

	for (unsigned n = 0; n < HYPERV_TIMERS; n++) {
		struct hyperv_timer *t = &v->hv->timer[n];

		if (!(expired >> n & 1) || !(t->config & TIMER_ENABLE))
			continue;
		if (t->due && hyperv_time(v->vm) >= t->due)
			timer_expire(t);
		if ((t->config & TIMER_ENABLE) && t->count) {
			if (!t->undelivered)
				timer_start(t);
		} else {
			timer_stop(t);
			t->config &= ~TIMER_ENABLE;
		}
	}
}

static int timer_config_set(struct vcpu *v, struct hyperv_timer *t, u64 data, bool host)
{
	if (!host && (data & TIMER_DIRECT) && !hyperv_has(v, HYPERV_MISC, HV_DIRECT_TIMERS))
		return 1;
	timer_stop(t);
	if ((t->config & TIMER_ENABLE) && !(data & TIMER_DIRECT) && !TIMER_SINT(data))
		data &= ~TIMER_ENABLE;	/* nowhere to send to */
	t->config = data;
	if (data & TIMER_ENABLE)
		timer_mark(t);
	return 0;
}

static int timer_count_set(struct hyperv_timer *t, u64 data, bool host)
{
	timer_stop(t);
	t->count = data;
	if (!host && !data)
		t->config &= ~TIMER_ENABLE;
	else if (!host && (t->config & TIMER_AUTO))
		t->config |= TIMER_ENABLE;
	if (t->config & TIMER_ENABLE)
		timer_mark(t);
	return 0;
}

/* --- MSRs ---------------------------------------------------------------------------------------------- */

/* The client keeps the guest's side of the pages, too. */
static void client_tell(struct vcpu *v, u32 msr)
{
	struct hyperv_vcpu *hv = v->hv;

	hv->exit = (struct kvm_hyperv_exit){ .type = KVM_EXIT_HYPERV_SYNIC };
	hv->exit.u.synic.msr = msr;
	hv->exit.u.synic.control = hv->control;
	hv->exit.u.synic.evt_page = hv->event_page;
	hv->exit.u.synic.msg_page = hv->message_page;
	vcpu_request(v, REQ_HV_EXIT);
}

static int page_set(struct vcpu *v, u32 msr, u64 *page, u64 data, bool host)
{
	if ((data & HV_ENABLE) && !host && !v->hv->keep_pages) {
		static const u8 zeros[512];

		for (unsigned at = 0; at < PAGE_BYTES; at += sizeof(zeros))
			if (guest_write(v->vm, (data & HV_PAGE) + at, zeros, sizeof(zeros)))
				return 1;
	}
	*page = data;
	if (!host)
		client_tell(v, msr);
	return 0;
}

/* The guest emptied a slot: who waits for one tries again. */
static void message_taken(struct vcpu *v)
{
	for (unsigned n = 0; n < HYPERV_SINTS; n++)
		irq_sint_acked(v->vm, v->hv->vp_index, n);
	for (unsigned n = 0; n < HYPERV_TIMERS; n++)
		if (v->hv->timer[n].undelivered)
			timer_mark(&v->hv->timer[n]);
}

int hyperv_synic_set(struct vcpu *v, u32 msr, u64 data, bool host)
{
	struct hyperv_vcpu *hv = v->hv;

	if (!hv->synic_active && (!host || data))
		return 1;
	switch (msr) {
	case HV_SCONTROL:
		hv->control = data;
		if (!host)
			client_tell(v, msr);
		return 0;
	case HV_SVERSION:
		if (!host)
			return 1;
		hv->version = data;
		return 0;
	case HV_SIEFP:
		return page_set(v, msr, &hv->event_page, data, host);
	case HV_SIMP:
		return page_set(v, msr, &hv->message_page, data, host);
	case HV_EOM:
		if (hv->synic_active)
			message_taken(v);
		return 0;
	case HV_SINT0 ... HV_SINT15:
		return sint_set(v, msr - HV_SINT0, data, host);
	case HV_STIMER0_CONFIG ... HV_STIMER3_COUNT: {
		struct hyperv_timer *t = &hv->timer[(msr - HV_STIMER0_CONFIG) / 2];

		return (msr - HV_STIMER0_CONFIG) % 2 ? timer_count_set(t, data, host) :
						       timer_config_set(v, t, data, host);
	}
	default:
		return 1;
	}
}

int hyperv_synic_get(struct vcpu *v, u32 msr, u64 *data, bool host)
{
	const struct hyperv_vcpu *hv = v->hv;

	if (msr >= HV_STIMER0_CONFIG && msr <= HV_STIMER3_COUNT) {
		const struct hyperv_timer *t = &hv->timer[(msr - HV_STIMER0_CONFIG) / 2];

		*data = (msr - HV_STIMER0_CONFIG) % 2 ? t->count : t->config;
		return 0;
	}
	if (!hv->synic_active && !host)
		return 1;
	switch (msr) {
	case HV_SCONTROL:	*data = hv->control; return 0;
	case HV_SVERSION:	*data = hv->version; return 0;
	case HV_SIEFP:		*data = hv->event_page; return 0;
	case HV_SIMP:		*data = hv->message_page; return 0;
	case HV_EOM:		*data = 0; return 0;
	case HV_SINT0 ... HV_SINT15: *data = hv->sint[msr - HV_SINT0]; return 0;
	default:		return 1;
	}
}

/* --- life --------------------------------------------------------------------------------------------------- */

int hyperv_synic_enable(struct vcpu *v, bool keep_pages)
{
	if (!irq_chip_in_kernel(v->vm))
		return -EINVAL;
	v->hv->synic_active = true;
	v->hv->keep_pages = keep_pages;
	v->hv->control = BIT_U64(0);
	return 0;
}

void hyperv_synic_reset(struct vcpu *v)
{
	struct hyperv_vcpu *hv = v->hv;

	for (unsigned n = 0; n < HYPERV_TIMERS; n++) {
		timer_stop(&hv->timer[n]);
		hv->timer[n].config = hv->timer[n].count = 0;
	}
	hv->version = 1;
	for (unsigned n = 0; n < HYPERV_SINTS; n++)
		atomic_store_relaxed(&hv->sint[n], HV_SINT_MASKED);
}

int hyperv_create(struct vcpu *v)
{
	v->hv = host_alloc(sizeof(*v->hv), 0);
	if (!v->hv)
		return -ENOMEM;
	for (unsigned n = 0; n < HYPERV_TIMERS; n++) {
		struct hyperv_timer *t = &v->hv->timer[n];

		t->v = v;
		t->index = n;
		host_timer_init(&t->timer, timer_fired);
	}
	hyperv_synic_reset(v);
	return 0;
}

void hyperv_destroy(struct vcpu *v)
{
	for (unsigned n = 0; n < HYPERV_TIMERS; n++)
		host_timer_stop(&v->hv->timer[n].timer);
	host_free(v->hv);
}
