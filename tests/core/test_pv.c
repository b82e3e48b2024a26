// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_pv.c - what guests that know KVM are promised, coalesced writes, machine checks, counts
 */
#include "tests/core/scripted.h"

#include <linux/kvm_para.h>

#include "core/coalesced.h"
#include "core/lapic.h"
#include "core/pv.h"
#include "core/stats.h"

/* --- coalesced writes ------------------------------------------------------------------ */

static struct kvm_coalesced_mmio_ring *ring(void)
{
	return (void *)((u8 *)script.run + VCPU_RING_PAGE * PAGE_BYTES);
}

static int mmio(gpa_t gpa, unsigned bytes, u64 value)
{
	return iobus_write(script.v, IOBUS_MMIO, gpa, bytes, &value);
}

static void writes_wait_in_the_ring(void)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = 0xa0000, .size = 0x1000 };
	struct kvm_coalesced_mmio_zone port = { .addr = 0x70, .size = 2, .pio = 1 }, bad = { .pio = 2 };
	u32 max = (u32)((PAGE_BYTES - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio));
	u16 value = 0x1234;

	script_create(false);
	EXPECT_EQ(coalesced_register(script.vm, &bad), -EINVAL);
	EXPECT_EQ(coalesced_unregister(script.vm, &bad), -EINVAL);
	EXPECT_EQ(mmio(0xa0000, 4, 1), -EOPNOTSUPP);
	EXPECT_EQ(coalesced_register(script.vm, &zone), 0);
	EXPECT_EQ(coalesced_register(script.vm, &port), 0);
	EXPECT_EQ(mmio(0xa0ffc, 4, 0x11223344), 0);
	EXPECT_EQ(mmio(0xa0ffd, 4, 0), -EOPNOTSUPP);		/* reaches beyond it */
	EXPECT_EQ(iobus_write(script.v, IOBUS_PIO, 0x70, 2, &value), 0);
	EXPECT_EQ(ring()->last, 2);
	EXPECT_EQ(ring()->coalesced_mmio[0].phys_addr, 0xa0ffc);
	EXPECT_EQ(ring()->coalesced_mmio[0].len, 4);
	EXPECT_EQ(ring()->coalesced_mmio[0].pio, 0);
	EXPECT(!memcmp(ring()->coalesced_mmio[0].data, "\x44\x33\x22\x11", 4));
	EXPECT_EQ(ring()->coalesced_mmio[1].phys_addr, 0x70);
	EXPECT_EQ(ring()->coalesced_mmio[1].pio, 1);
	/* Full with one place free; then the client took one. */
	for (u32 n = 2; n < max - 1; n++)
		EXPECT_EQ(mmio(0xa0000, 1, n), 0);
	EXPECT_EQ(mmio(0xa0000, 1, 0), -EOPNOTSUPP);
	ring()->first = 1;
	EXPECT_EQ(mmio(0xa0000, 1, 0), 0);
	EXPECT_EQ(ring()->last, 0);
	/* Whatever the client writes there. */
	ring()->last = max;
	EXPECT_EQ(mmio(0xa0000, 1, 0), -EOPNOTSUPP);
	ring()->last = ~0u;
	EXPECT_EQ(mmio(0xa0000, 1, 0), -EOPNOTSUPP);
	ring()->first = ~0u;
	ring()->last = 5;
	EXPECT_EQ(mmio(0xa0000, 1, 0), 0);
	zone.addr = 0xa0800;
	zone.size = 4;
	EXPECT_EQ(coalesced_unregister(script.vm, &zone), 0);	/* what contains it goes */
	EXPECT_EQ(mmio(0xa0000, 1, 0), -EOPNOTSUPP);
	EXPECT_EQ(iobus_write(script.v, IOBUS_PIO, 0x70, 2, &value), 0);
	script_destroy();
}

/* --- features ----------------------------------------------------------------------------- */

static void features_are_enforced_when_asked(void)
{
	static const u32 msrs[] = { MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK_NEW,
				    MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI_EN, MSR_KVM_POLL_CONTROL };
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };
	struct kvm_cpuid_entry2 none[2] = {
		{ .function = 0x40000100, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d, .eax = 0x40000101 },
		{ .function = 0x40000101, .eax = 1u << KVM_FEATURE_STEAL_TIME },
	};
	u64 data;

	script_create(true);
	EXPECT_EQ(vcpu_set_cpuid(script.v, none, 2), 0);
	for (unsigned n = 0; n < ARRAY_LEN(msrs); n++)
		EXPECT_EQ(msr_get(script.v, msrs[n], &data, false), 0);
	EXPECT_EQ(vcpu_enable_capability(script.v, &cap), 0);
	for (unsigned n = 0; n < ARRAY_LEN(msrs); n++) {
		int expected = msrs[n] != MSR_KVM_STEAL_TIME;	/* its leaves need not be the first */

		EXPECT_EQ(msr_get(script.v, msrs[n], &data, false), expected);
		EXPECT_EQ(msr_set(script.v, msrs[n], 0, false), expected);
	}
	cap.flags = 1;
	EXPECT_EQ(vcpu_enable_capability(script.v, &cap), -EINVAL);
	cap.flags = 0;
	cap.cap = KVM_CAP_SPLIT_IRQCHIP;
	EXPECT_EQ(vcpu_enable_capability(script.v, &cap), -EINVAL);
	script_destroy();
}

static void cpuid_faulting_is_the_guests_to_turn_on(void)
{
	u64 data;

	script_create(false);
	EXPECT_EQ(msr_get(script.v, 0xce, &data, false), 0);
	EXPECT_EQ(data, BIT_U64(31));
	EXPECT_EQ(msr_set(script.v, 0xce, data, false), 1);
	EXPECT_EQ(msr_set(script.v, 0x140, 2, false), 1);
	EXPECT_EQ(msr_set(script.v, 0x140, 1, false), 0);
	EXPECT_EQ(msr_set(script.v, 0xce, 0, true), 1);		/* it is in use */
	EXPECT_EQ(msr_set(script.v, 0x140, 0, false), 0);
	EXPECT_EQ(msr_set(script.v, 0xce, 0x100, true), 0);
	EXPECT_EQ(msr_set(script.v, 0x140, 1, false), 1);
	EXPECT_EQ(vm_enable_capability(script.vm, &(struct kvm_enable_cap){ .cap = KVM_CAP_MSR_PLATFORM_INFO }), 0);
	EXPECT_EQ(msr_get(script.v, 0xce, &data, false), 1);
	EXPECT_EQ(msr_get(script.v, 0xce, &data, true), 0);
	script_destroy();
}

static void async_page_faults_are_never_reported(void)
{
	u64 data;

	script_create(true);
	EXPECT_EQ(msr_set(script.v, MSR_KVM_ASYNC_PF_EN, 0x1010, false), 1);
	EXPECT_EQ(msr_set(script.v, MSR_KVM_ASYNC_PF_INT, 0x100, false), 1);
	EXPECT_EQ(msr_set(script.v, MSR_KVM_ASYNC_PF_INT, 0xf3, false), 0);
	EXPECT_EQ(msr_set(script.v, MSR_KVM_ASYNC_PF_EN, 0x1000 | 9, false), 0);
	EXPECT_EQ(msr_set(script.v, MSR_KVM_ASYNC_PF_ACK, 1, false), 0);
	EXPECT_EQ(msr_get(script.v, MSR_KVM_ASYNC_PF_EN, &data, true), 0);
	EXPECT_EQ(data, 0x1009);
	EXPECT_EQ(msr_get(script.v, MSR_KVM_ASYNC_PF_INT, &data, true), 0);
	EXPECT_EQ(data, 0xf3);
	vcpu_reset(script.v, true);
	EXPECT_EQ(msr_get(script.v, MSR_KVM_ASYNC_PF_EN, &data, true), 0);
	EXPECT_EQ(data, 0);
	script_destroy();
	script_create(false);
	EXPECT_EQ(msr_set(script.v, MSR_KVM_ASYNC_PF_EN, 1, false), 1);	/* nobody to interrupt */
	script_destroy();
}

/* --- PV EOI ---------------------------------------------------------------------------------- */

#define WORD 0x2000u

static u32 *word(void)
{
	return (u32 *)(script.memory + WORD);
}

static void serve(unsigned vector)
{
	struct lapic_message m = { .vector = (u8)vector, .mode = LAPIC_FIXED };

	EXPECT_EQ(lapic_accept(script.v->lapic, &m), 1);
	EXPECT_EQ(irq_acknowledge(script.v), (int)vector);
}

static void eoi_without_exit(void)
{
	struct lapic *l;

	script_create(true);
	script_slot();
	l = script.v->lapic;
	lapic_reg_set(l, APIC_SPIV, 0x1ff);
	EXPECT_EQ(msr_set(script.v, MSR_KVM_PV_EOI_EN, WORD | 2, false), 1);
	EXPECT_EQ(msr_set(script.v, MSR_KVM_PV_EOI_EN, WORD | 1, false), 0);
	pv_eoi_offer(script.v);
	EXPECT_EQ(*word(), 0);			/* nothing is in service */
	serve(0x41);
	pv_eoi_offer(script.v);
	EXPECT_EQ(*word(), 1);
	pv_eoi_collect(script.v);		/* not taken: withdrawn */
	EXPECT_EQ(*word(), 0);
	EXPECT(lapic_vector_test(l, APIC_ISR, 0x41));
	pv_eoi_offer(script.v);
	*word() = 0;
	pv_eoi_collect(script.v);
	EXPECT(!lapic_vector_test(l, APIC_ISR, 0x41));
	/* Another is waiting: its delivery needs the exit. */
	serve(0x51);
	lapic_accept(l, &(struct lapic_message){ .vector = 0x42, .mode = LAPIC_FIXED });
	pv_eoi_offer(script.v);
	EXPECT_EQ(*word(), 0);
	lapic_vector_clear(l, APIC_IRR, 0x42);
	/* Memory that is not there. */
	EXPECT_EQ(msr_set(script.v, MSR_KVM_PV_EOI_EN, 0xfffffff0001ull & ~2ull, false), 0);
	pv_eoi_offer(script.v);
	pv_eoi_collect(script.v);
	EXPECT(lapic_vector_test(l, APIC_ISR, 0x51));
	vcpu_reset(script.v, true);
	EXPECT_EQ(script.v->eoi_msr, 0);
	script_destroy();
}

/* --- steal time ---------------------------------------------------------------------------------- */

static u64 waited;

static u64 fake_delay(void)
{
	return waited;
}

static void waiting_is_stolen_time(void)
{
	struct kvm_steal_time s;

	script_create(false);
	script_slot();
	clock_set_run_delay(fake_delay);
	waited = 1000;
	EXPECT_EQ(msr_set(script.v, MSR_KVM_STEAL_TIME, 0x3000 | 1, false), 0);
	clock_steal_update(script.v);
	waited = 1700;
	clock_steal_begin(script.v);
	EXPECT(vcpu_request_take(script.v, REQ_STEAL_UPDATE));
	clock_steal_update(script.v);
	memcpy(&s, script.memory + 0x3000, sizeof(s));
	EXPECT_EQ(s.steal, 700);		/* what was before is not the guest's */
	EXPECT_EQ(s.version % 2, 0);
	waited = 5;				/* another thread runs it now */
	clock_steal_update(script.v);
	waited = 15;
	clock_steal_update(script.v);
	memcpy(&s, script.memory + 0x3000, sizeof(s));
	EXPECT_EQ(s.steal, 710);
	clock_set_run_delay(NULL);
	script_destroy();
}

/* --- machine checks --------------------------------------------------------------------------------- */

static void machine_checks(void)
{
	struct kvm_x86_mce mce = { .status = BIT_U64(63), .addr = 0x1234, .misc = 5, .bank = 3, .mcg_status = 7 };
	u64 data;

	script_create(false);
	EXPECT_EQ(vcpu_setup_mce(script.v, 0), -EINVAL);
	EXPECT_EQ(vcpu_setup_mce(script.v, 33), -EINVAL);
	EXPECT_EQ(vcpu_setup_mce(script.v, 10 | BIT_U64(9)), -EINVAL);
	EXPECT_EQ(vcpu_setup_mce(script.v, 10 | BIT_U64(8)), 0);
	EXPECT_EQ(msr_get(script.v, 0x17b, &data, false), 0);
	EXPECT_EQ(data, ~0ull);
	mce.bank = 10;
	EXPECT_EQ(vcpu_set_mce(script.v, &mce), -EINVAL);
	mce.bank = 3;
	mce.status = 0;
	EXPECT_EQ(vcpu_set_mce(script.v, &mce), -EINVAL);
	mce.status = BIT_U64(63);
	EXPECT_EQ(vcpu_set_mce(script.v, &mce), 0);		/* corrected: only a log */
	EXPECT(!script.v->events.exception.pending);
	EXPECT_EQ(msr_get(script.v, 0x400 + 3 * 4 + 2, &data, false), 0);
	EXPECT_EQ(data, 0x1234);
	mce.status |= BIT_U64(61);
	EXPECT_EQ(vcpu_set_mce(script.v, &mce), 0);		/* nobody handles them: shutdown */
	EXPECT(vcpu_request_take(script.v, REQ_TRIPLE_FAULT));
	vcpu_regs_dirty(script.v, REGS_CR);
	script.v->x.cr4 |= X86_CR4_MCE;
	EXPECT_EQ(vcpu_set_mce(script.v, &mce), 0);
	EXPECT(script.v->events.exception.pending);
	EXPECT_EQ(script.v->events.exception.vector, X86_MC);
	EXPECT_EQ(script.v->mcg_status, 7);
	EXPECT_EQ(msr_get(script.v, 0x400 + 3 * 4 + 1, &data, false), 0);
	EXPECT_EQ(data, BIT_U64(63) | BIT_U64(62) | BIT_U64(61));	/* overwrote the other */
	script_destroy();
}

/* --- statistics ----------------------------------------------------------------------------------------- */

static void counts_are_described(void)
{
	static u64 file[1024];
	struct kvm_stats_header *h = (void *)file;
	bool found = false;
	u64 *counts;

	script_create(false);
	for (unsigned which = 0; which < 2; which++) {
		struct vcpu *v = which ? script.v : NULL;

		EXPECT(stats_bytes(v) <= sizeof(file));
		memset(file, 0xff, sizeof(file));
		stats_describe(v, file);
		EXPECT_EQ(file[stats_counts_at(v) / 8], ~0ull);
		EXPECT_EQ(h->data_offset % 8, 0);
		EXPECT_EQ(h->data_offset + h->num_desc * 8, stats_bytes(v));
		EXPECT(!strncmp((char *)file + h->id_offset, which ? "kvm-vcpu-0" : "kvm", h->name_size));
		for (u32 n = 0; n < h->num_desc; n++) {
			struct kvm_stats_desc *d = (void *)((u8 *)file + h->desc_offset + n * (sizeof(*d) + h->name_size));

			EXPECT(strnlen(d->name, h->name_size) < h->name_size && d->name[0]);
			EXPECT_EQ(d->offset, n * 8);
			found |= !strcmp(d->name, "exits");
		}
	}
	EXPECT(found);
	counts = (u64 *)((u8 *)file + stats_counts_at(script.v));
	script.v->stat[VCPU_STAT_hypercalls] = 7;
	stats_move(script.vm, script.v, counts);
	EXPECT_EQ(counts[VCPU_STAT_hypercalls], 7);
	VCPU_COUNT(script.v, hypercalls);
	EXPECT_EQ(counts[VCPU_STAT_hypercalls], 8);
	script_destroy();
}

/* --- events ------------------------------------------------------------------------------------------------ */

static void a_triple_fault_is_an_event_if_asked(void)
{
	struct kvm_vcpu_events e = { .flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT, .triple_fault.pending = 1 };
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_TRIPLE_FAULT_EVENT, .args = { 2 } };

	script_create(false);
	EXPECT_EQ(vcpu_set_events(script.v, &e), -EINVAL);
	EXPECT_EQ(vm_enable_capability(script.vm, &cap), 0);	/* as KVM: anything but 0 */
	EXPECT_EQ(vcpu_set_events(script.v, &e), 0);
	EXPECT_EQ(vcpu_get_events(script.v, &e), 0);
	EXPECT(e.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	EXPECT_EQ(e.triple_fault.pending, 1);
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_SHUTDOWN);
	script_destroy();
}

static void exits_are_disabled_by_choice(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS, .args = { 0x10 } };

	script_create(false);
	EXPECT_EQ(vm_enable_capability(script.vm, &cap), -EINVAL);
	cap.args[0] = KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_MWAIT;
	EXPECT_EQ(vm_enable_capability(script.vm, &cap), 0);
	EXPECT_EQ(script.vm->disabled_exits, KVM_X86_DISABLE_EXITS_HLT);	/* MWAIT is not offered */
	script_destroy();
}

int main(void)
{
	TEST(writes_wait_in_the_ring);
	TEST(features_are_enforced_when_asked);
	TEST(cpuid_faulting_is_the_guests_to_turn_on);
	TEST(async_page_faults_are_never_reported);
	TEST(eoi_without_exit);
	TEST(waiting_is_stolen_time);
	TEST(machine_checks);
	TEST(counts_are_described);
	TEST(a_triple_fault_is_an_event_if_asked);
	TEST(exits_are_disabled_by_choice);
	return test_status();
}
