/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * arguments.h - random arguments for every ioctl of ioctl.def
 *
 * What a row says, and the table of fields below: often what the matching GET gave with
 * something changed, at the end of a page behind which there is none.  All of it follows from
 * the worker's random number.
 */
#ifndef TESTS_GUEST_ARGUMENTS_H
#define TESTS_GUEST_ARGUMENTS_H

#include "tests/guest/rows.h"
#include "tests/guest/tiny.h"


/* --- what arguments are made of ------------------------------------------------------------ */

enum field_kind { SMALL, BIT, GPA, HVA, FD, GSI, MSR_INDEX, CAP, ID, SIZE, VECTOR, BYTES, ZERO, SMALL_OR_PAGE };

/* What a random word there would seldom be. */
static const struct field {
	unsigned long request;
	u16 offset;
	u8 bytes, kind;
} fields[] = {
#define F(request, type, member, kind) \
	{ request, offsetof(struct type, member), sizeof(((struct type *)0)->member), kind }
	F(KVM_ENABLE_CAP, kvm_enable_cap, cap, CAP), F(KVM_ENABLE_CAP, kvm_enable_cap, flags, ZERO),
	F(KVM_ENABLE_CAP, kvm_enable_cap, args[0], SMALL_OR_PAGE),
	F(KVM_SET_USER_MEMORY_REGION, kvm_userspace_memory_region, slot, ID),
	F(KVM_SET_USER_MEMORY_REGION, kvm_userspace_memory_region, flags, SMALL),
	F(KVM_SET_USER_MEMORY_REGION, kvm_userspace_memory_region, guest_phys_addr, GPA),
	F(KVM_SET_USER_MEMORY_REGION, kvm_userspace_memory_region, memory_size, SIZE),
	F(KVM_SET_USER_MEMORY_REGION, kvm_userspace_memory_region, userspace_addr, HVA),
	F(KVM_GET_DIRTY_LOG, kvm_dirty_log, slot, ID), F(KVM_GET_DIRTY_LOG, kvm_dirty_log, dirty_bitmap, HVA),
	F(KVM_CLEAR_DIRTY_LOG, kvm_clear_dirty_log, slot, ID),
	F(KVM_CLEAR_DIRTY_LOG, kvm_clear_dirty_log, num_pages, SIZE),
	F(KVM_CLEAR_DIRTY_LOG, kvm_clear_dirty_log, first_page, SIZE),
	F(KVM_CLEAR_DIRTY_LOG, kvm_clear_dirty_log, dirty_bitmap, HVA),
	F(KVM_GET_IRQCHIP, kvm_irqchip, chip_id, SMALL), F(KVM_SET_IRQCHIP, kvm_irqchip, chip_id, SMALL),
	F(KVM_IRQ_LINE, kvm_irq_level, irq, GSI), F(KVM_IRQ_LINE, kvm_irq_level, level, SMALL),
	F(KVM_IRQ_LINE_STATUS, kvm_irq_level, irq, GSI), F(KVM_IRQ_LINE_STATUS, kvm_irq_level, level, SMALL),
	F(KVM_SIGNAL_MSI, kvm_msi, address_lo, GPA), F(KVM_SIGNAL_MSI, kvm_msi, data, VECTOR),
	F(KVM_SIGNAL_MSI, kvm_msi, flags, BIT), F(KVM_SIGNAL_MSI, kvm_msi, address_hi, SMALL),
	F(KVM_IRQFD, kvm_irqfd, fd, FD), F(KVM_IRQFD, kvm_irqfd, gsi, GSI), F(KVM_IRQFD, kvm_irqfd, flags, SMALL),
	F(KVM_IRQFD, kvm_irqfd, resamplefd, FD),
	F(KVM_IOEVENTFD, kvm_ioeventfd, fd, FD), F(KVM_IOEVENTFD, kvm_ioeventfd, addr, GPA),
	F(KVM_IOEVENTFD, kvm_ioeventfd, len, BYTES), F(KVM_IOEVENTFD, kvm_ioeventfd, flags, SMALL),
	F(KVM_CREATE_PIT2, kvm_pit_config, flags, SMALL),
	F(KVM_SET_CLOCK, kvm_clock_data, flags, BIT),
	F(KVM_REGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone, addr, GPA),
	F(KVM_REGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone, size, SIZE),
	F(KVM_REGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone, pio, SMALL),
	F(KVM_UNREGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone, addr, GPA),
	F(KVM_UNREGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone, size, SIZE),
	F(KVM_CREATE_DEVICE, kvm_create_device, type, SMALL), F(KVM_CREATE_DEVICE, kvm_create_device, flags, SMALL),
	F(KVM_GET_DEVICE_ATTR, kvm_device_attr, group, SMALL), F(KVM_GET_DEVICE_ATTR, kvm_device_attr, attr, SMALL),
	F(KVM_GET_DEVICE_ATTR, kvm_device_attr, addr, HVA),
	F(KVM_SET_DEVICE_ATTR, kvm_device_attr, group, SMALL), F(KVM_SET_DEVICE_ATTR, kvm_device_attr, attr, SMALL),
	F(KVM_SET_DEVICE_ATTR, kvm_device_attr, addr, HVA),
	F(KVM_X86_SET_MSR_FILTER, kvm_msr_filter, flags, SMALL),
	F(KVM_X86_SET_MSR_FILTER, kvm_msr_filter, ranges[0].flags, SMALL),
	F(KVM_X86_SET_MSR_FILTER, kvm_msr_filter, ranges[0].base, MSR_INDEX),
	F(KVM_X86_SET_MSR_FILTER, kvm_msr_filter, ranges[0].nmsrs, SIZE),
	F(KVM_X86_SET_MSR_FILTER, kvm_msr_filter, ranges[0].bitmap, HVA),
	F(KVM_X86_SET_MSR_FILTER, kvm_msr_filter, ranges[15].nmsrs, SMALL),
	F(KVM_HYPERV_EVENTFD, kvm_hyperv_eventfd, fd, FD), F(KVM_HYPERV_EVENTFD, kvm_hyperv_eventfd, conn_id, SMALL),
	F(KVM_HYPERV_EVENTFD, kvm_hyperv_eventfd, flags, SMALL),
	F(KVM_SET_MP_STATE, kvm_mp_state, mp_state, SMALL),
	F(KVM_TRANSLATE, kvm_translation, linear_address, GPA),
	F(KVM_INTERRUPT, kvm_interrupt, irq, VECTOR),
	F(KVM_SET_GUEST_DEBUG, kvm_guest_debug, control, BIT),
	F(KVM_SET_VAPIC_ADDR, kvm_vapic_addr, vapic_addr, GPA),
	F(KVM_X86_SET_MCE, kvm_x86_mce, bank, SMALL), F(KVM_X86_SET_MCE, kvm_x86_mce, status, BIT),
	F(KVM_SET_XCRS, kvm_xcrs, nr_xcrs, SMALL), F(KVM_SET_XCRS, kvm_xcrs, xcrs[0].value, SMALL),
	F(KVM_SET_SREGS, kvm_sregs, cr3, GPA), F(KVM_SET_SREGS, kvm_sregs, cr0, BIT), F(KVM_SET_SREGS, kvm_sregs, cr4, BIT),
	F(KVM_SET_SREGS, kvm_sregs, efer, BIT), F(KVM_SET_SREGS2, kvm_sregs2, cr3, GPA),
	F(KVM_SET_SREGS2, kvm_sregs2, flags, SMALL), F(KVM_SET_REGS, kvm_regs, rip, GPA),
	F(KVM_SET_REGS, kvm_regs, rflags, BIT), F(KVM_SET_VCPU_EVENTS, kvm_vcpu_events, flags, BIT),
	F(KVM_SET_VCPU_EVENTS, kvm_vcpu_events, exception.nr, VECTOR),
	F(KVM_SET_NESTED_STATE, kvm_nested_state, flags, BIT), F(KVM_SET_NESTED_STATE, kvm_nested_state, size, SIZE),
	F(KVM_SET_NESTED_STATE, kvm_nested_state, format, SMALL), F(KVM_SET_NESTED_STATE, kvm_nested_state, hdr.svm.vmcb_pa, GPA),
	F(KVM_GET_NESTED_STATE, kvm_nested_state, size, SIZE),
#undef F
};

/* SET, and the GET that gives what it takes. */
static const struct { unsigned long set, get; } pairs[] = {
	{ KVM_SET_REGS, KVM_GET_REGS }, { KVM_SET_SREGS, KVM_GET_SREGS }, { KVM_SET_SREGS2, KVM_GET_SREGS2 },
	{ KVM_SET_FPU, KVM_GET_FPU }, { KVM_SET_XSAVE, KVM_GET_XSAVE2 }, { KVM_SET_XCRS, KVM_GET_XCRS },
	{ KVM_SET_DEBUGREGS, KVM_GET_DEBUGREGS }, { KVM_SET_VCPU_EVENTS, KVM_GET_VCPU_EVENTS },
	{ KVM_SET_MP_STATE, KVM_GET_MP_STATE }, { KVM_SET_LAPIC, KVM_GET_LAPIC }, { KVM_SET_IRQCHIP, KVM_GET_IRQCHIP },
	{ KVM_SET_PIT, KVM_GET_PIT }, { KVM_SET_PIT2, KVM_GET_PIT2 }, { KVM_SET_CLOCK, KVM_GET_CLOCK },
	{ KVM_SET_NESTED_STATE, KVM_GET_NESTED_STATE },
};

/* A count, and so many entries behind it. */
static const struct counted {
	unsigned long request;
	u16 head, entry, limit;
} counted[] = {
	{ KVM_GET_MSR_INDEX_LIST, 4, 4, 256 }, { KVM_GET_MSR_FEATURE_INDEX_LIST, 4, 4, 256 },
	{ KVM_GET_SUPPORTED_CPUID, 8, 40, 256 }, { KVM_GET_EMULATED_CPUID, 8, 40, 256 },
	{ KVM_GET_SUPPORTED_HV_CPUID, 8, 40, 256 }, { KVM_SET_CPUID2, 8, 40, 256 }, { KVM_GET_CPUID2, 8, 40, 256 },
	{ KVM_SET_CPUID, 8, 24, 256 }, { KVM_GET_MSRS, 8, 16, 255 }, { KVM_SET_MSRS, 8, 16, 255 },
	{ KVM_SET_GSI_ROUTING, 8, sizeof(struct kvm_irq_routing_entry), 4096 },
};

#define AREA_BYTES	(64 * PAGE_BYTES)	/* room for any argument but the largest routing table */
#define MEMORIES	4u

/* Who makes calls. */
struct worker {
	u64 random;
	u64 calls;
	u32 number;
	pthread_t id;
	u8 *area;		/* AREA_BYTES that end at a page that is not there */
	bool alone;		/* what one thread does is repeatable, if nothing interrupts it */
};

static u8 *memories[MEMORIES];		/* behind the machines' slots: writable, private, read-only, none */
static int eventfds[4];
static u32 msr_list[256], msr_count;
static u64 run_bytes, xsave_bytes;
static u32 foreign_fds;			/* where small numbers of descriptors that may be anything begin */

static u64 next(struct worker *w)
{
	u64 z = w->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static u32 below(struct worker *w, u32 limit)
{
	return (u32)(next(w) % limit);
}

static bool one_in(struct worker *w, u32 n)
{
	return below(w, n) == 0;
}

static u64 interesting(struct worker *w)
{
	static const u64 values[] = { 0, 1, 2, 3, 7, 0xff, 0x100, 0xfff, 0x1000, 0xffff, 0x10000, 0x7fffffff, 0x80000000,
				      0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, ~0ull, ~0ull << 12,
				      0xfee00000, 0xfec00000, 0x800000000000, 0xffff800000000000 };

	switch (below(w, 4)) {
	case 0: return next(w);
	case 1: return 1ull << below(w, 64);
	default: return values[below(w, ARRAY_LEN(values))];
	}
}

/* What can be enabled. */
static const u32 caps[] = {
	KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_DIRTY_LOG_RING, KVM_CAP_X86_USER_SPACE_MSR,
	KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X2APIC_API, KVM_CAP_X86_DISABLE_EXITS, KVM_CAP_HYPERV_SYNIC,
	KVM_CAP_HYPERV_SYNIC2, KVM_CAP_HYPERV_ENFORCE_CPUID, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, KVM_CAP_MAX_VCPU_ID,
	KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_X86_TRIPLE_FAULT_EVENT, KVM_CAP_EXIT_ON_EMULATION_FAILURE,
	KVM_CAP_MSR_PLATFORM_INFO, KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
};

static u64 field_value(struct worker *w, enum field_kind kind)
{
	if (one_in(w, 16))
		return interesting(w);
	switch (kind) {
	case SMALL:	return below(w, 6);
	case BIT:	return one_in(w, 3) ? 0 : 1ull << below(w, 34) | (one_in(w, 2) ? 1ull << below(w, 34) : 0);
	case GPA:	return one_in(w, 4) ? 0xfee00000 + (below(w, 4) << 12) : (u64)below(w, 0x500) << 12 | (one_in(w, 3) ? below(w, 4096) : 0);
	case HVA:	return (u64)(uintptr_t)(one_in(w, 3) ? w->area + (below(w, 64) << 12) : memories[below(w, MEMORIES)] + ((u64)below(w, 1024) << 12));
	case FD:	return one_in(w, 6) ? below(w, 64) + foreign_fds : (u64)eventfds[below(w, ARRAY_LEN(eventfds))];
	case GSI:	return below(w, 28);
	case MSR_INDEX:	return one_in(w, 4) ? (one_in(w, 2) ? 0xc0000000 : 0x40000000) + below(w, 0x200) : one_in(w, 4) ? below(w, 0x900) : msr_list[below(w, msr_count)];
	case CAP:	return one_in(w, 3) ? below(w, 240) : caps[below(w, ARRAY_LEN(caps))];
	case ID:	return below(w, 12) | (one_in(w, 8) ? 1u << 16 : 0);
	case SIZE:	return one_in(w, 4) ? below(w, 64) : (u64)(1 + below(w, 1024)) << 12;
	case VECTOR:	return one_in(w, 3) ? below(w, 32) : below(w, 256);
	case ZERO:	return 0;
	case SMALL_OR_PAGE: return one_in(w, 3) ? PAGE_BYTES << below(w, 3) : below(w, 6);
	case BYTES:	return (u64)below(w, 2) << below(w, 4);
	}
	return 0;
}

/* Memory that a guest, the library and other threads write as well. */
__attribute__((no_sanitize("thread", "address"))) static void scribble(u8 *to, const void *from, u64 bytes)
{
	for (u64 n = 0; n < bytes; n++)
		((volatile u8 *)to)[n] = ((const volatile u8 *)from)[n];
}

static void *bad_pointer(struct worker *w)
{
	u8 *const bad[] = { NULL, w->area + AREA_BYTES, (u8 *)1, (u8 *)0xffffffffffffff00ull, (u8 *)0x800000000000ull,
			    (u8 *)0x7ffffffffff8ull, memories[3], w->area + AREA_BYTES - 4, memories[2] };

	return bad[below(w, ARRAY_LEN(bad))];
}

static void mutate(struct worker *w, u8 *at, u64 bytes)
{
	while (bytes && one_in(w, 2)) {
		u64 value = interesting(w), offset = next(w) % bytes;
		u64 size = 1ull << below(w, 4);

		if (one_in(w, 2))
			offset = MIN_OF(offset, 128) & ~(size - 1);
		scribble(at + offset, &value, MIN_OF(size, bytes - offset));
	}
}

static void fill_fields(struct worker *w, unsigned long request, u8 *at, u64 bytes)
{
	for (unsigned n = 0; n < ARRAY_LEN(fields); n++) {
		u64 value;

		if (fields[n].request != request || fields[n].offset + fields[n].bytes > bytes || one_in(w, 6))
			continue;
		value = field_value(w, fields[n].kind);
		scribble(at + fields[n].offset, &value, fields[n].bytes);
	}
}

static void fill_counted(struct worker *w, const struct counted *c, u8 *at, u64 room)
{
	u32 count = one_in(w, 8) ? c->limit + below(w, 3) : one_in(w, 16) ? (u32)interesting(w) : below(w, 12);
	u64 entries = (room - c->head) / c->entry;

	scribble(at, &count, 4);
	if (c->head > 4)
		scribble(at + 4, &(u32){ one_in(w, 8) }, 4);
	for (u64 n = 0; n < MIN_OF(count, entries) && n < 40; n++) {
		u8 *e = at + c->head + n * c->entry;

		if (c->request == KVM_GET_MSRS || c->request == KVM_SET_MSRS) {
			struct kvm_msr_entry m = { .index = (u32)field_value(w, MSR_INDEX), .data = interesting(w) };

			scribble(e, &m, sizeof(m));
		} else if (c->request == KVM_SET_GSI_ROUTING) {
			struct kvm_irq_routing_entry route = { .gsi = (u32)field_value(w, GSI), .type = below(w, 6) };

			route.u.irqchip.irqchip = below(w, 4);
			route.u.irqchip.pin = below(w, 26);
			if (route.type == KVM_IRQ_ROUTING_MSI)
				route.u.msi.address_lo = (u32)field_value(w, GPA), route.u.msi.data = below(w, 0x10000);
			scribble(e, &route, sizeof(route));
		} else if (c->request == KVM_SET_CPUID2) {
			struct kvm_cpuid_entry2 leaf = { .function = (one_in(w, 2) ? 0x80000000 : one_in(w, 4) ? 0x40000000 : 0) + below(w, 0x20),
							 .index = below(w, 4), .flags = below(w, 2), .eax = (u32)interesting(w),
							 .ebx = (u32)interesting(w), .ecx = (u32)interesting(w), .edx = (u32)interesting(w) };

			scribble(e, &leaf, sizeof(leaf));
		}
	}
}

/* The argument of a call, ready at the pointer that is returned. */
static void *argument(struct worker *w, const struct row *r, int fd)
{
	u64 bytes = r->request >> 16 & 0x3fff;
	const struct counted *c = NULL;
	u8 *at;

	for (unsigned n = 0; n < ARRAY_LEN(counted); n++)
		if (counted[n].request == r->request)
			c = &counted[n];
	if (c)
		bytes = c->head + (u64)c->entry * (one_in(w, 8) ? MIN_OF(c->limit, 1000) : below(w, 14));
	if (r->request == KVM_SET_XSAVE || r->request == KVM_GET_XSAVE2)
		bytes = xsave_bytes;
	if (r->request == KVM_SET_NESTED_STATE || r->request == KVM_GET_NESTED_STATE)
		bytes = one_in(w, 2) ? 128 : 128 + PAGE_BYTES;
	if (r->request == KVM_REINJECT_CONTROL)
		bytes = sizeof(struct kvm_reinject_control);
	at = w->area + AREA_BYTES - bytes;
	if (one_in(w, 3))
		for (u64 n = 0; n < bytes; n++)
			scribble(at + n, &(u8){ 0 }, 1);
	for (unsigned n = 0; n < ARRAY_LEN(pairs); n++)
		if (pairs[n].set == r->request && !one_in(w, 4)) {
			if (r->request == KVM_SET_NESTED_STATE)
				scribble(at + offsetof(struct kvm_nested_state, size), &(u32){ (u32)bytes }, 4);
			if (r->request == KVM_SET_IRQCHIP)
				scribble(at, &(u32){ below(w, 3) }, 4);
			akvm_ioctl(fd, pairs[n].get, (unsigned long)at);
		}
	if (c && bytes >= c->head)
		fill_counted(w, c, at, bytes);
	fill_fields(w, r->request, at, bytes);
	mutate(w, at, bytes);
	return at;
}

/*
 * What arguments point to is in one place, with nothing else in it: slots may cover all of it.  At
 * the same address in every process, but for sanitizers, which have theirs.
 */
#define ARENA_BYTES	(64ul << 20)
static u8 *arena;
static u64 arena_used;

static u8 *pages(u64 bytes, int protection, int flags)
{
	u8 *hint = NULL, *p;

	if (!arena) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		hint = (u8 *)0x200000000000;
#endif
		arena = mmap(hint, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	}
	p = arena + arena_used;
	arena_used += bytes + PAGE_BYTES;
	if (arena == MAP_FAILED || arena_used > ARENA_BYTES ||
	    mmap(p, bytes, protection, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		abort();
	return p;
}

static inline u8 *area_make(void)
{
	u8 *area = pages(AREA_BYTES + PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);

	mprotect(area + AREA_BYTES, PAGE_BYTES, PROT_NONE);
	return area;
}

static inline void arguments_init(void)
{
	struct { struct kvm_msr_list head; u32 index[256]; } list = { .head.nmsrs = 256 };
	int system = MUST(akvm_open());

	run_bytes = (u64)MUST(akvm_ioctl(system, KVM_GET_VCPU_MMAP_SIZE, 0));
	xsave_bytes = (u64)MUST(akvm_ioctl(system, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2));
	xsave_bytes = xsave_bytes > 4096 ? xsave_bytes : 4096;
	MUST(akvm_ioctl(system, KVM_GET_MSR_INDEX_LIST, (unsigned long)&list));
	msr_count = list.head.nmsrs;
	memcpy(msr_list, list.index, sizeof(msr_list));
	MUST(akvm_close(system));
	memories[0] = pages(TINY_BYTES + PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	memories[1] = pages(TINY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memories[2] = pages(TINY_BYTES, PROT_READ, MAP_PRIVATE);
	memories[3] = pages(TINY_BYTES, PROT_NONE, MAP_PRIVATE);
	for (unsigned n = 0; n < ARRAY_LEN(eventfds); n++)
		eventfds[n] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

#endif
