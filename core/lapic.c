// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lapic.c - the local APIC: registers, MMIO and MSR doors, priorities
 *
 * A vector is requested (IRR), then in service (ISR) until the guest writes EOI.  The
 * processor priority is the higher class of the task priority and of what is in service;
 * the highest requested vector is deliverable if its class is above it.  PPR is never
 * stored by us, only computed.
 *
 * There are two doors to the same registers: a page of memory (xAPIC) and MSRs (x2APIC);
 * IA32_APIC_BASE says which one is open.
 *
 * Invariants:
 *   1. v->apic_base == base.
 *   2. in x2 mode LDR is a function of the id.
 *   3. software disabled (SPIV), every LVT entry is masked.
 *
 * Locking: see lapic.h.
 * Reference: AMD64 manual volume 2, "Advanced Programmable Interrupt Controller"; Intel's,
 * volume 3, "APIC State Transitions" and "x2APIC Register Address Space".
 * Not modelled: the error status register stays 0; extended LVT of AMD; focus processors.
 */
#include <linux/errno.h>

#include "base/bits.h"
#include "core/ioapic.h"
#include "core/lapic.h"
#include "core/pic.h"
#include "core/vm.h"
#include "x86/feature.h"

#define LVT_ENTRIES	6u
#define LVT_LAST	(APIC_LVT_TIMER + (LVT_ENTRIES - 1) * 0x10)
#define APIC_BUSY	APIC_SEND_PENDING	/* in the ICR; nothing is ever left to send */
#define SPIV_BITS	0x3ffu
#define VERSION		(0x14u | (LVT_ENTRIES - 1) << 16)
#define ANSWER_NOTHING	0xff	/* what an address without a device reads as */

/* What each LVT entry keeps of what is written; the timer's mode bits are added by CPUID. */
static const u32 lvt_bits[LVT_ENTRIES] = {
	APIC_LVT_MASKED | APIC_SEND_PENDING | APIC_VECTOR,
	APIC_LVT_MASKED | APIC_SEND_PENDING | APIC_MODE | APIC_VECTOR,
	APIC_LVT_MASKED | APIC_SEND_PENDING | APIC_MODE | APIC_VECTOR,
	APIC_LVT_MASKED | APIC_LEVEL | APIC_ASSERT | APIC_POLARITY | APIC_SEND_PENDING | APIC_MODE | APIC_VECTOR,
	APIC_LVT_MASKED | APIC_LEVEL | APIC_ASSERT | APIC_POLARITY | APIC_SEND_PENDING | APIC_MODE | APIC_VECTOR,
	APIC_LVT_MASKED | APIC_SEND_PENDING | APIC_VECTOR,
};

/* --- priorities ---------------------------------------------------------------- */

/* Highest vector set in IRR or ISR, -1 if none. */
static int highest(const struct lapic *l, unsigned bank)
{
	for (int word = 7; word >= 0; word--) {
		u32 bits = atomic_load_acquire(&l->reg[(bank >> 4) + (unsigned)word]);

		if (bits)
			return word * 32 + (int)bit_highest(bits);
	}
	return -1;
}

static u32 ppr(const struct lapic *l)
{
	u32 tpr = lapic_reg(l, APIC_TPR) & 0xff;
	int in_service = highest(l, APIC_ISR);
	u32 class = in_service < 0 ? 0 : (u32)in_service & 0xf0;

	return (tpr & 0xf0) >= class ? tpr : class;
}

/* What could be delivered now, or -1. */
static int deliverable(const struct lapic *l)
{
	int vector = lapic_is_on(l) ? highest(l, APIC_IRR) : -1;

	return vector >= 0 && ((u32)vector & 0xf0) > (ppr(l) & 0xf0) ? vector : -1;
}

int lapic_highest_irr(struct vcpu *v)
{
	return v->lapic && lapic_is_on(v->lapic) ? highest(v->lapic, APIC_IRR) : -1;
}

static bool pic_offers(struct vcpu *v)
{
	return v->vm->irq.pic && pic_output(v->vm->irq.pic) && lapic_accepts_pic(v);
}

bool irq_pending(struct vcpu *v)
{
	struct lapic *l = v->lapic;

	if (!l)
		return false;
	return pic_offers(v) || deliverable(l) >= 0;
}

int irq_acknowledge(struct vcpu *v)
{
	struct lapic *l = v->lapic;
	int vector;

	if (!l)
		return -1;
	if (pic_offers(v))
		return (int)pic_acknowledge(v->vm->irq.pic);
	vector = deliverable(l);
	if (vector >= 0) {
		if (!bit_test(l->auto_eoi, (unsigned)vector))
			lapic_vector_set(l, APIC_ISR, (unsigned)vector);
		lapic_vector_clear(l, APIC_IRR, (unsigned)vector);
	}
	return vector;
}

static void end_of_interrupt(struct lapic *l)
{
	struct vm *vm = l->v->vm;
	int vector = highest(l, APIC_ISR);
	bool level;

	if (vector < 0)
		return;
	lapic_vector_clear(l, APIC_ISR, (unsigned)vector);
	level = lapic_vector_test(l, APIC_TMR, (unsigned)vector);
	if (vm->irq.ioapic) {
		ioapic_eoi(vm->irq.ioapic, (unsigned)vector, level,
			   lapic_reg(l, APIC_SPIV) & APIC_SPIV_DIRECTED_EOI);
	} else if (level && irq_split_wants_eoi(vm, (unsigned)vector)) {
		l->v->ioapic_eoi_vector = (u8)vector;
		vcpu_request(l->v, REQ_IOAPIC_EOI);
	}
	vcpu_request(l->v, REQ_EVENT);
}

int lapic_in_service_alone(const struct lapic *l)
{
	int vector = lapic_is_on(l) ? highest(l, APIC_ISR) : -1;

	if (vector < 0 || lapic_vector_test(l, APIC_TMR, (unsigned)vector) || highest(l, APIC_IRR) >= 0)
		return -1;
	return vector;
}

void lapic_eoi(struct lapic *l)
{
	end_of_interrupt(l);
}

static void tpr_set(struct lapic *l, u32 tpr)
{
	lapic_reg_set(l, APIC_TPR, tpr & 0xff);
	vcpu_request(l->v, REQ_EVENT);
}

u64 lapic_cr8_get(struct vcpu *v)
{
	return v->lapic ? lapic_reg(v->lapic, APIC_TPR) >> 4 : v->cr8;
}

void lapic_cr8_set(struct vcpu *v, u64 cr8)
{
	if (v->lapic)
		tpr_set(v->lapic, (u32)(cr8 & 0xf) << 4);
	else
		v->cr8 = cr8 & 0xf;
}

/* --- registers --------------------------------------------------------------------- */

/* Does this register exist for reading? */
static bool is_readable(unsigned offset, bool x2)
{
	switch (offset) {
	case APIC_ID: case APIC_VERSION: case APIC_TPR: case APIC_PPR: case APIC_LDR: case APIC_SPIV:
	case APIC_ISR ... APIC_ESR:
	case APIC_ICR: case APIC_LVT_TIMER ... APIC_TMCCT: case APIC_TDCR:
		return true;
	case APIC_APR: case APIC_DFR: case APIC_ICR2:
		return !x2;
	default:
		return false;
	}
}

static u32 reg_read(struct lapic *l, unsigned offset)
{
	switch (offset) {
	case APIC_APR:
		return 0;
	case APIC_PPR:
		return ppr(l);
	case APIC_TMCCT:
		return lapic_timer_count(l);
	default:
		return lapic_reg(l, offset);
	}
}

static void send(struct lapic *l, u32 low, u32 high)
{
	struct lapic_message m = {
		.dest = lapic_is_x2(l) ? high : high >> 24,
		.vector = low & APIC_VECTOR, .mode = (low & APIC_MODE) >> 8,
		.shorthand = (low & APIC_SHORTHAND) >> 18,
		.logical = low & APIC_LOGICAL, .level = low & APIC_LEVEL, .assert = low & APIC_ASSERT,
	};

	lapic_deliver(l->v->vm, l, &m);
}

static void icr_write(struct lapic *l, u32 low, u32 high)
{
	low &= ~APIC_BUSY;
	lapic_reg_set(l, APIC_ICR2, high);
	lapic_reg_set(l, APIC_ICR, low);
	send(l, low, high);
}

static void spiv_write(struct lapic *l, u32 value)
{
	u32 bits = SPIV_BITS;

	if (lapic_reg(l, APIC_VERSION) & APIC_VERSION_DIRECTED_EOI)
		bits |= APIC_SPIV_DIRECTED_EOI;
	lapic_reg_set(l, APIC_SPIV, value & bits);
	if (value & APIC_SPIV_ENABLED)
		return;
	for (unsigned lvt = APIC_LVT_TIMER; lvt <= LVT_LAST; lvt += 0x10)
		lapic_reg_set(l, lvt, lapic_reg(l, lvt) | APIC_LVT_MASKED);
}

static u32 timer_mode_bits(struct lapic *l)
{
	return cpuid_has(l->v, X86_FEATURE_TSC_DEADLINE) ? 3u << 17 : 1u << 17;
}

static void lvt_write(struct lapic *l, unsigned lvt, u32 value)
{
	u32 bits = lvt_bits[(lvt - APIC_LVT_TIMER) >> 4];

	if (lvt == APIC_LVT_TIMER)
		bits |= timer_mode_bits(l);
	if (!lapic_is_software_enabled(l))
		value |= APIC_LVT_MASKED;
	lapic_reg_set(l, lvt, value & bits);
	if (lvt == APIC_LVT_TIMER)
		lapic_timer_mode(l);
	else if (lvt == APIC_LVT0)
		vcpu_request(l->v, REQ_EVENT);	/* the PICs may have waited for this */
}

/* 0, or 1 if there is no such register to write in this mode (#GP for WRMSR). */
static int reg_write(struct lapic *l, unsigned offset, u32 value)
{
	bool x2 = lapic_is_x2(l);

	switch (offset) {
	case APIC_TPR:
		tpr_set(l, value);
		return 0;
	case APIC_EOI:
		end_of_interrupt(l);
		return 0;
	case APIC_SPIV:
		spiv_write(l, value);
		return 0;
	case APIC_LVT_TIMER: case APIC_LVT_THERMAL: case APIC_LVT_COUNTER:
	case APIC_LVT0: case APIC_LVT1: case APIC_LVT_ERROR:
		lvt_write(l, offset, value);
		return 0;
	case APIC_TMICT:
		if ((lapic_reg(l, APIC_LVT_TIMER) >> 17 & 3) != TIMER_DEADLINE) {
			lapic_reg_set(l, APIC_TMICT, value);
			lapic_timer_start(l, value);
		}
		return 0;
	case APIC_TDCR:
		lapic_reg_set(l, APIC_TDCR, value & 0xb);
		lapic_timer_divide(l);
		return 0;
	case APIC_ESR:
		return x2 && value;
	case APIC_SELF_IPI:
		if (!x2 || value & ~APIC_VECTOR)
			return 1;
		send(l, (u32)LAPIC_TO_SELF << 18 | APIC_ASSERT | value, 0);
		return 0;
	case APIC_ICR:
		icr_write(l, value, lapic_reg(l, APIC_ICR2));
		return 0;
	}
	if (x2)
		return 1;	/* what follows is fixed or absent there */
	switch (offset) {
	case APIC_ID:
		lapic_reg_set(l, APIC_ID, value & 0xff000000u);
		return 0;
	case APIC_LDR:
		lapic_reg_set(l, APIC_LDR, value & 0xff000000u);
		return 0;
	case APIC_DFR:
		lapic_reg_set(l, APIC_DFR, value | 0x0fffffffu);
		return 0;
	case APIC_ICR2:
		lapic_reg_set(l, APIC_ICR2, value & 0xff000000u);
		return 0;
	default:
		return 1;
	}
}

int lapic_register_set(struct lapic *l, unsigned offset, u32 value)
{
	return reg_write(l, offset, value);
}

/* --- the page ----------------------------------------------------------------------- */

bool lapic_claims(struct vcpu *v, gpa_t gpa)
{
	return v->lapic && (gpa & ~(PAGE_BYTES - 1)) == (v->apic_base & ~(PAGE_BYTES - 1));
}

/* Without an open page the address is a hole; KVM answers for it, unless told not to. */
static int hole(struct vcpu *v)
{
	return vm_quirk_is_off(v->vm, KVM_X86_QUIRK_LAPIC_MMIO_HOLE) ? -EOPNOTSUPP : 0;
}

int lapic_mmio_read(struct vcpu *v, gpa_t gpa, unsigned bytes, void *data)
{
	struct lapic *l = v->lapic;
	unsigned offset = gpa & 0xff0, within = gpa & 0xf;
	u8 value[4] = { 0 };

	if (!lapic_is_on(l) || lapic_is_x2(l)) {
		__builtin_memset(data, ANSWER_NOTHING, bytes);
		return hole(v);
	}
	__builtin_memset(data, 0, bytes);
	if (bytes > 4 || within + bytes > 4 || gpa & 0xc00 || !is_readable(offset, false))
		return 0;
	__builtin_memcpy(value, &(u32){ reg_read(l, offset) }, 4);
	__builtin_memcpy(data, value + within, bytes);
	return 0;
}

int lapic_mmio_write(struct vcpu *v, gpa_t gpa, unsigned bytes, const void *data)
{
	struct lapic *l = v->lapic;
	u32 value;

	if (!lapic_is_on(l) || lapic_is_x2(l))
		return hole(v);
	if (bytes != 4 || gpa & 0xc0f)
		return 0;	/* undefined; ignored as in KVM */
	__builtin_memcpy(&value, data, 4);
	reg_write(l, gpa & 0xff0, value);
	return 0;
}

/* --- the MSRs ----------------------------------------------------------------------- */

static bool msr_is_open(struct vcpu *v, u32 msr)
{
	return v->lapic && lapic_is_x2(v->lapic) && msr >= X86_MSR_X2APIC && msr <= X86_MSR_X2APIC + 0x3f;
}

int lapic_msr_read(struct vcpu *v, u32 msr, u64 *data, bool host)
{
	unsigned offset = (msr - X86_MSR_X2APIC) << 4;

	(void)host;
	if (!msr_is_open(v, msr) || !is_readable(offset, true))
		return 1;
	*data = reg_read(v->lapic, offset);
	if (offset == APIC_ICR)
		*data |= (u64)lapic_reg(v->lapic, APIC_ICR2) << 32;
	return 0;
}

int lapic_msr_write(struct vcpu *v, u32 msr, u64 data, bool host)
{
	unsigned offset = (msr - X86_MSR_X2APIC) << 4;

	(void)host;
	if (!msr_is_open(v, msr))
		return 1;
	if (offset == APIC_ICR) {
		icr_write(v->lapic, (u32)data, (u32)(data >> 32));
		return 0;
	}
	return data >> 32 ? 1 : reg_write(v->lapic, offset, (u32)data);
}

/* --- mode ----------------------------------------------------------------------------- */

static u32 x2_ldr(u32 id)
{
	return id >> 4 << 16 | 1u << (id & 0xf);
}

static void base_apply(struct vcpu *v, u64 value)
{
	struct lapic *l = v->lapic;
	u64 changed = v->apic_base ^ value;

	v->apic_base = value;
	if (!l)
		return;
	atomic_store_relaxed(&l->base, value);
	if (changed & APIC_BASE_X2 && value & APIC_BASE_X2) {
		lapic_reg_set(l, APIC_ID, v->id);
		lapic_reg_set(l, APIC_LDR, x2_ldr(v->id));
	} else if (changed & APIC_BASE_MODE && value & APIC_BASE_ENABLE) {
		lapic_reg_set(l, APIC_ID, v->id << 24);
	}
	vcpu_request(v, REQ_EVENT);
}

static u64 base_reserved(struct vcpu *v)
{
	const struct kvm_cpuid_entry2 *sizes = cpuid_find(v, 0x80000008, 0);
	unsigned bits = sizes ? sizes->eax & 0xff : 36;
	u64 reserved = bits < 64 ? ~0ull << bits : 0;

	return reserved | 0x2ff | (cpuid_has(v, X86_FEATURE_X2APIC) ? 0 : APIC_BASE_X2);
}

/* Without an in-kernel LAPIC too: then the client's does the rest. */
int lapic_base_set(struct vcpu *v, u64 value, bool host)
{
	u64 from = v->apic_base & APIC_BASE_MODE, to = value & APIC_BASE_MODE;

	if (value & base_reserved(v) || to == APIC_BASE_X2)
		return 1;
	/* A guest enters x2 mode from xAPIC mode only and leaves it by disabling. */
	if (!host && ((from == APIC_BASE_MODE && to == APIC_BASE_ENABLE) || (!from && to == APIC_BASE_MODE)))
		return 1;
	base_apply(v, value);
	return 0;
}

void lapic_cpuid_changed(struct vcpu *v)
{
	struct lapic *l = v->lapic;
	u32 version = VERSION;

	if (!l)
		return;
	/* Without an IOAPIC of ours, the client's can have an EOI register. */
	if (cpuid_has(v, X86_FEATURE_X2APIC) && !v->vm->irq.ioapic)
		version |= APIC_VERSION_DIRECTED_EOI;
	lapic_reg_set(l, APIC_VERSION, version);
}

/* --- life ------------------------------------------------------------------------------- */

int lapic_create(struct vcpu *v)
{
	struct lapic *l = host_alloc(sizeof(*l), 0);

	if (!l)
		return -ENOMEM;
	l->v = v;
	lapic_timer_init(l);
	v->lapic = l;
	lapic_reset(v, false);
	return 0;
}

void lapic_destroy(struct vcpu *v)
{
	struct lapic *l = v->lapic;

	if (!l)
		return;
	lapic_timer_fini(l);
	v->lapic = NULL;
	host_free(l);
}

void lapic_reset(struct vcpu *v, bool init)
{
	struct lapic *l = v->lapic;
	bool bsp = v->id == atomic_load_relaxed(&v->vm->bsp_id);
	bool x2;

	if (!init)
		base_apply(v, APIC_BASE_DEFAULT | APIC_BASE_ENABLE | (bsp ? APIC_BASE_BSP : 0));
	if (!l)
		return;
	x2 = lapic_is_x2(l);
	lapic_timer_stop(l);
	for (unsigned offset = APIC_TPR; offset <= APIC_SELF_IPI; offset += 0x10)
		if (offset != APIC_LDR || !x2)
			lapic_reg_set(l, offset, 0);
	if (!init)
		lapic_reg_set(l, APIC_ID, v->id << 24);
	lapic_cpuid_changed(v);
	lapic_reg_set(l, APIC_DFR, 0xffffffffu);
	lapic_reg_set(l, APIC_SPIV, 0xff);
	for (unsigned lvt = APIC_LVT_TIMER; lvt <= LVT_LAST; lvt += 0x10)
		lapic_reg_set(l, lvt, APIC_LVT_MASKED);
	/* The BIOS of a real board would connect the PICs. */
	if (bsp && !vm_quirk_is_off(v->vm, KVM_X86_QUIRK_LINT0_REENABLED))
		lapic_reg_set(l, APIC_LVT0, LAPIC_EXTINT << 8);
	lapic_timer_mode(l);
	lapic_timer_divide(l);
	atomic_exchange(&l->arbitration, 0u);
}

/* --- KVM_GET_LAPIC, KVM_SET_LAPIC --------------------------------------------------------- */

BUILD_ASSERT(sizeof(struct kvm_lapic_state) == sizeof(((struct lapic *)0)->reg) * 4);

static void state_put(struct kvm_lapic_state *s, unsigned offset, u32 value)
{
	__builtin_memcpy(s->regs + offset, &value, 4);
}

static u32 state_value(const struct kvm_lapic_state *s, unsigned offset)
{
	u32 value;

	__builtin_memcpy(&value, s->regs + offset, 4);
	return value;
}

int lapic_get(struct vcpu *v, struct kvm_lapic_state *s)
{
	struct lapic *l = v->lapic;
	u32 count;

	if (!l)
		return -EINVAL;
	__builtin_memset(s, 0, sizeof(*s));
	/* The count before the IRR: if the timer expires in between, rather both than neither. */
	count = lapic_timer_count(l);
	lapic_timer_settle(l);
	for (unsigned offset = 0; offset < sizeof(s->regs); offset += 0x10)
		state_put(s, offset, lapic_reg(l, offset));
	state_put(s, APIC_PPR, ppr(l));
	state_put(s, APIC_TMCCT, count);
	if (lapic_is_x2(l) && !atomic_load_relaxed(&v->vm->x2apic_32bit))
		state_put(s, APIC_ID, v->id << 24);
	return 0;
}

int lapic_set(struct vcpu *v, const struct kvm_lapic_state *s)
{
	struct lapic *l = v->lapic;
	u32 id;

	if (!l)
		return -EINVAL;
	id = state_value(s, APIC_ID);
	if (lapic_is_x2(l)) {
		if (atomic_load_relaxed(&v->vm->x2apic_32bit) && id != v->id)
			return -EINVAL;
		id = v->id;	/* can't be changed; its 8-bit form may be short of bits */
	}
	lapic_timer_stop(l);
	for (unsigned offset = 0; offset < sizeof(s->regs); offset += 0x10)
		lapic_reg_set(l, offset, state_value(s, offset));
	lapic_reg_set(l, APIC_ID, id);
	if (lapic_is_x2(l))
		lapic_reg_set(l, APIC_LDR, x2_ldr(id));
	lapic_cpuid_changed(v);
	lapic_timer_mode(l);
	lapic_reg_set(l, APIC_TMICT, state_value(s, APIC_TMICT));	/* a change of mode cleared it */
	lapic_timer_divide(l);
	lapic_timer_start(l, state_value(s, APIC_TMCCT));
	lapic_reg_set(l, APIC_TMCCT, 0);
	atomic_exchange(&l->arbitration, 0u);
	vcpu_request(v, REQ_EVENT);
	return 0;
}
