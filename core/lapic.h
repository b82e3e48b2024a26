/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic.h - the local APIC, as its own files see it
 *
 * lapic.c has the registers and the doors to them, lapic_timer.c the timer, and
 * lapic_deliver.c finds who an interrupt message is for and hands it over.
 *
 * Locking: registers belong to the vCPU's thread (v->lock).  Other contexts set bits in
 * IRR and TMR and read the addressing registers (ID, LDR, DFR, SPIV, LVT0, base), so every
 * register is an atomic.  The timer has a spin of its own, innermost of all.
 */
#ifndef CORE_LAPIC_H
#define CORE_LAPIC_H

#include "base/atomic.h"
#include "base/types.h"
#include "host/host.h"

struct vm;
struct vcpu;

/* Register offsets; x2APIC MSR 0x800 + offset / 16. */
enum lapic_register {
	APIC_ID = 0x020, APIC_VERSION = 0x030, APIC_TPR = 0x080, APIC_APR = 0x090, APIC_PPR = 0x0a0,
	APIC_EOI = 0x0b0, APIC_LDR = 0x0d0, APIC_DFR = 0x0e0, APIC_SPIV = 0x0f0,
	APIC_ISR = 0x100, APIC_TMR = 0x180, APIC_IRR = 0x200,	/* eight of each */
	APIC_ESR = 0x280, APIC_ICR = 0x300, APIC_ICR2 = 0x310,
	APIC_LVT_TIMER = 0x320, APIC_LVT_THERMAL = 0x330, APIC_LVT_COUNTER = 0x340,
	APIC_LVT0 = 0x350, APIC_LVT1 = 0x360, APIC_LVT_ERROR = 0x370,
	APIC_TMICT = 0x380, APIC_TMCCT = 0x390, APIC_TDCR = 0x3e0, APIC_SELF_IPI = 0x3f0,
};

#define APIC_BASE_BSP		BIT_U64(8)
#define APIC_BASE_X2		BIT_U64(10)
#define APIC_BASE_ENABLE	BIT_U64(11)
#define APIC_BASE_MODE		(APIC_BASE_X2 | APIC_BASE_ENABLE)
#define APIC_BASE_DEFAULT	0xfee00000ull

#define APIC_SPIV_ENABLED	BIT_U64(8)
#define APIC_SPIV_DIRECTED_EOI	BIT_U64(12)
#define APIC_VERSION_DIRECTED_EOI BIT_U64(24)

#define APIC_VECTOR		0x000ffu
#define APIC_MODE		0x00700u	/* enum lapic_mode << 8 */
#define APIC_LOGICAL		0x00800u
#define APIC_SEND_PENDING	0x01000u
#define APIC_POLARITY		0x02000u
#define APIC_ASSERT		0x04000u	/* in the ICR; remote IRR in LINT0 and LINT1 */
#define APIC_LEVEL		0x08000u
#define APIC_LVT_MASKED		0x10000u
#define APIC_SHORTHAND		0xc0000u

enum lapic_mode {
	LAPIC_FIXED, LAPIC_LOWEST, LAPIC_SMI, LAPIC_REMOTE_READ, LAPIC_NMI, LAPIC_INIT,
	LAPIC_SIPI, LAPIC_EXTINT,
};
enum lapic_shorthand { LAPIC_TO_DEST, LAPIC_TO_SELF, LAPIC_TO_ALL, LAPIC_TO_OTHERS };

/* LVT timer mode, bits 17 and 18; 3 is reserved and never counts. */
enum lapic_timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE, TIMER_RESERVED };

struct lapic_timer {
	struct host_timer timer;
	struct host_spin lock;
	enum lapic_timer_mode mode;
	bool armed;
	bool firing;		/* the callback has found it due, and not yet raised the interrupt */
	u32 divide;		/* 1 ... 128 */
	u64 period_ns;		/* of TMICT; clamped if periodic */
	u64 target_ns;		/* in host_now(), when armed */
	u64 deadline_tsc;	/* 0: none */
};

struct lapic {
	struct vcpu *v;
	u64 base;		/* [any] v->apic_base */
	u32 reg[64];		/* [any] by offset / 16; in x2 mode ID is whole, ICR2 the ICR's high half */
	u64 auto_eoi[4];	/* vectors that end by being delivered: core/hyperv.h */
	u32 arbitration;	/* [any] lowest-priority messages accepted */
	struct lapic_timer timer;
};

static inline u32 lapic_reg(const struct lapic *l, unsigned offset)
{
	return atomic_load_relaxed(&l->reg[offset >> 4]);
}

static inline void lapic_reg_set(struct lapic *l, unsigned offset, u32 value)
{
	atomic_store_relaxed(&l->reg[offset >> 4], value);
}

static inline bool lapic_vector_test(const struct lapic *l, unsigned bank, unsigned vector)
{
	return lapic_reg(l, bank + (vector >> 5 << 4)) >> (vector & 31) & 1;
}

/* Both return what the bit was. */
static inline bool lapic_vector_set(struct lapic *l, unsigned bank, unsigned vector)
{
	return atomic_fetch_or(&l->reg[(bank >> 4) + (vector >> 5)], 1u << (vector & 31)) >> (vector & 31) & 1;
}

static inline bool lapic_vector_clear(struct lapic *l, unsigned bank, unsigned vector)
{
	return atomic_fetch_and(&l->reg[(bank >> 4) + (vector >> 5)], ~(1u << (vector & 31))) >> (vector & 31) & 1;
}

static inline bool lapic_is_on(const struct lapic *l)
{
	return atomic_load_relaxed(&l->base) & APIC_BASE_ENABLE;
}

static inline bool lapic_is_x2(const struct lapic *l)
{
	return (atomic_load_relaxed(&l->base) & APIC_BASE_MODE) == APIC_BASE_MODE;
}

static inline bool lapic_is_software_enabled(const struct lapic *l)
{
	return lapic_reg(l, APIC_SPIV) & APIC_SPIV_ENABLED;
}

/* The vector in service if it is edge triggered and no other is requested; -1.  v->lock held */
int  lapic_in_service_alone(const struct lapic *l);
/* A write of a register, in whatever mode: 0, or 1 if there is none such.  v->lock held */
int  lapic_register_set(struct lapic *l, unsigned offset, u32 value);
void lapic_eoi(struct lapic *l);		/* as a write of EOI.  v->lock held */

/* --- delivery (lapic_deliver.c), all [any] --------------------------------- */

struct lapic_message {
	u32  dest;
	u8   vector;
	u8   mode;		/* enum lapic_mode */
	u8   shorthand;		/* enum lapic_shorthand */
	bool logical;
	bool level;		/* level triggered, else edge */
	bool assert;
	bool redirect;		/* MSI redirection hint: to one of the destinations */
};

/*
 * To every LAPIC it is for, or to one of them.  source: whose ICR it was, NULL for
 * devices.  How many took it; -1 if it is for nobody.
 */
int  lapic_deliver(struct vm *vm, struct lapic *source, const struct lapic_message *m);
/* How many did: 0 or 1. */
int  lapic_accept(struct lapic *l, const struct lapic_message *m);
/* Raise one of its own local interrupts. */
int  lapic_local(struct lapic *l, unsigned lvt);
/* Would INTR of the PICs reach this processor through LINT0? */
bool lapic_accepts_pic(struct vcpu *v);
/* The PIT ticked: LINT0 in NMI mode makes it a watchdog. */
void lapic_pit_tick(struct vm *vm);

/* --- timer (lapic_timer.c) -------------------------------------------------- */

void lapic_timer_init(struct lapic *l);		/* [sleep] */
void lapic_timer_fini(struct lapic *l);		/* [sleep] */
void lapic_timer_mode(struct lapic *l);		/* LVTT changed */
void lapic_timer_divide(struct lapic *l);	/* TDCR changed: keep the elapsed part */
/* Count from this many ticks (TMICT, or what was left of it; if TMICT is not 0, none left is due now). */
void lapic_timer_start(struct lapic *l, u32 count);
void lapic_timer_stop(struct lapic *l);
u32  lapic_timer_count(struct lapic *l);	/* TMCCT */
void lapic_timer_settle(struct lapic *l);	/* raise what is due now, though its callback is late */
/* The guest's TSC jumped: a deadline moves in host time. */
void lapic_timer_tsc_changed(struct vcpu *v);

#endif
