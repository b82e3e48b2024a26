// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_state.c - state: what is set is got, logs are exact, and a guest moves unharmed
 *
 * "test_state FACTOR" does so many times the rounds.
 */
#include "tests/guest/move.h"

static unsigned factor = 1;
static u64 seed = 0x9e3779b97f4a7c15ull;

static u64 random_u64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void random_bytes(void *p, size_t bytes)
{
	for (size_t n = 0; n < bytes; n++)
		((u8 *)p)[n] = (u8)random_u64();
}

/* Compare what was set with what is got, and say where they differ. */
static void same_(const void *set, const void *got, size_t bytes, const char *what, int line)
{
	for (size_t n = 0; n < bytes; n++)
		if (((const u8 *)set)[n] != ((const u8 *)got)[n]) {
			fprintf(stderr, "%s:%d: %s: byte %zu is %#x, was set to %#x\n", __FILE__, line, what, n,
				((const u8 *)got)[n], ((const u8 *)set)[n]);
			test_failures++;
			return;
		}
}
#define SAME(set, got, what) same_(&(set), &(got), sizeof(set), what, __LINE__)

/* --- round trips ------------------------------------------------------------------------------ */

static void general_registers(void)
{
	struct kvm_regs a, b;
	struct tiny t;

	tiny_create(&t, 0, 1);
	for (unsigned n = 0; n < 200 * factor; n++) {
		random_bytes(&a, sizeof(a));
		a.rflags = (a.rflags & 0x3f7fd5) | 2;
		tiny_set_regs(&t, 0, &a);
		b = tiny_regs(&t, 0);
		SAME(a, b, "KVM_SET_REGS");
	}
	tiny_destroy(&t);
}

static struct kvm_segment random_segment(bool code)
{
	u64 r = random_u64();
	struct kvm_segment s = { .base = random_u64(), .limit = (u32)random_u64(), .selector = (u16)r, .present = 1,
				 .type = (u8)(code ? 0xb : 3), .dpl = r >> 16 & 3, .db = r >> 18 & 1, .s = 1,
				 .g = r >> 19 & 1, .avl = r >> 20 & 1 };

	if (s.g)
		s.limit |= 0xfff;
	else
		s.limit &= 0xfffff;
	return s;
}

static void system_registers(void)
{
	struct kvm_sregs a, b;
	struct kvm_sregs2 c, d;
	struct tiny t;

	tiny_create(&t, 0, 1);
	tiny_load(&t, TINY_64, (const u8 *)"", (const u8 *)"");
	for (unsigned n = 0; n < 200 * factor; n++) {
		tiny_start(&t, 0, n % TINY_MODES);
		a = tiny_sregs(&t, 0);
		a.ds = random_segment(false);
		a.es = random_segment(false);
		a.fs = random_segment(false);
		a.gs = random_segment(false);
		a.gdt.base = random_u64();
		a.gdt.limit = (u16)random_u64();
		a.idt.base = random_u64();
		a.idt.limit = (u16)random_u64();
		a.ldt = random_segment(false);
		a.ldt.s = 0;
		a.ldt.type = 2;
		a.cr2 = random_u64();
		a.cr8 = random_u64() & 15;
		if (n % TINY_MODES == TINY_REAL)
			a.cr3 = random_u64() & 0xfffff000;
		tiny_set_sregs(&t, 0, &a);
		b = tiny_sregs(&t, 0);
		SAME(a, b, "KVM_SET_SREGS");
		MUST(cpu_ioctl(&t, 0, KVM_GET_SREGS2, &c));
		MUST(cpu_ioctl(&t, 0, KVM_SET_SREGS2, &c));
		MUST(cpu_ioctl(&t, 0, KVM_GET_SREGS2, &d));
		SAME(c, d, "KVM_SET_SREGS2");
	}
	tiny_destroy(&t);
}

static void debug_registers(void)
{
	struct kvm_debugregs a, b;
	struct tiny t;

	tiny_create(&t, 0, 1);
	for (unsigned n = 0; n < 50 * factor; n++) {
		memset(&a, 0, sizeof(a));
		random_bytes(a.db, sizeof(a.db));
		a.dr6 = (random_u64() & 0xe00f) | 0xffff0ff0;
		a.dr7 = (random_u64() & 0xffff23ff) | 0x400;
		MUST(cpu_ioctl(&t, 0, KVM_SET_DEBUGREGS, &a));
		MUST(cpu_ioctl(&t, 0, KVM_GET_DEBUGREGS, &b));
		SAME(a, b, "KVM_SET_DEBUGREGS");
	}
	tiny_destroy(&t);
}

static void events(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args[0] = 1 };
	struct kvm_vcpu_events a, b;
	struct tiny t;

	tiny_create(&t, TINY_IRQCHIP, 1);
	MUST(vm_ioctl(&t, KVM_ENABLE_CAP, &cap));
	for (unsigned n = 0; n < 64 * factor; n++) {
		MUST(cpu_ioctl(&t, 0, KVM_GET_VCPU_EVENTS, &a));
		a.exception.injected = n & 1;
		a.exception.pending = !(n & 1) && (n & 2);
		a.exception.nr = X86_PF;
		a.exception.has_error_code = 1;
		a.exception.error_code = (u32)random_u64() & 0x1f;
		a.exception_has_payload = a.exception.pending;
		a.exception_payload = a.exception.pending ? random_u64() : 0;
		a.interrupt.injected = n >> 2 & 1;
		a.interrupt.nr = (u8)random_u64();
		a.interrupt.shadow = n & 8 ? KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI : 0;
		a.nmi.pending = n >> 4 & 1;
		a.nmi.masked = n >> 5 & 1;
		a.flags = KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
		MUST(cpu_ioctl(&t, 0, KVM_SET_VCPU_EVENTS, &a));
		MUST(cpu_ioctl(&t, 0, KVM_GET_VCPU_EVENTS, &b));
		b.flags = a.flags;
		SAME(a, b, "KVM_SET_VCPU_EVENTS");
	}
	tiny_destroy(&t);
}

static void vector_registers(void)
{
	static u8 a[65536] __attribute__((aligned(64))), b[65536] __attribute__((aligned(64)));
	struct kvm_fpu fa, fb;
	struct kvm_xcrs xcrs;
	struct tiny_cpuid c;
	struct tiny t;
	int bytes;
	u64 xcr0;

	tiny_create(&t, 0, 1);
	bytes = vm_ioctl(&t, KVM_CHECK_EXTENSION, (void *)KVM_CAP_XSAVE2);
	tiny_cpuid_supported(&t, &c);
	xcr0 = tiny_leaf(&c, 0xd, 0)->eax;
	MUST(cpu_ioctl(&t, 0, KVM_GET_XCRS, &xcrs));
	xcrs.xcrs[0].value = xcr0;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_XCRS, &xcrs), 0);
	for (unsigned n = 0; n < 50 * factor; n++) {
		memset(a, 0, sizeof(a));
		random_bytes(a, 512);
		*(u32 *)(a + 24) = (u32)random_u64() & 0xffbf;	/* MXCSR */
		*(u32 *)(a + 28) = 0xffff;
		a[5] = 0;
		for (unsigned i = 0; i < 8; i++)
			memset(a + 32 + 16 * i + 10, 0, 6);
		memset(a + 416, 0, 96);
		*(u64 *)(a + 512) = xcr0 & ((random_u64() & ~3ull) | 3);
		for (u32 i = 2; i < 63; i++) {
			struct kvm_cpuid_entry2 *e = tiny_leaf(&c, 0xd, i);

			if (xcr0 >> i & 1 && e && *(u64 *)(a + 512) >> i & 1)
				random_bytes(a + e->ebx, e->eax);
			if (i == 9 && xcr0 >> 9 & 1 && e)
				memset(a + e->ebx + 4, 0, 4);	/* PKRU has 32 bits */
		}
		EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_XSAVE, a), 0);
		memset(b, 0x55, sizeof(b));
		EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_XSAVE2, b), 0);
		same_(a, b, (size_t)bytes, "KVM_SET_XSAVE", __LINE__);
		memset(b, 0x55, sizeof(b));
		EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_XSAVE, b), 0);
		same_(a, b, 4096, "KVM_GET_XSAVE", __LINE__);
		EXPECT_EQ(b[4096], 0x55);

		MUST(cpu_ioctl(&t, 0, KVM_GET_FPU, &fa));
		same_(a + 160, fa.xmm, sizeof(fa.xmm), "KVM_GET_FPU", __LINE__);
		random_bytes(fa.xmm, sizeof(fa.xmm));
		fa.fcw = 0x27f;
		MUST(cpu_ioctl(&t, 0, KVM_SET_FPU, &fa));
		MUST(cpu_ioctl(&t, 0, KVM_GET_FPU, &fb));
		SAME(fa, fb, "KVM_SET_FPU");
	}
	tiny_destroy(&t);
}

static void chips(void)
{
	struct kvm_pit_state2 pa, pb;
	struct kvm_irqchip a, b;
	struct tiny t;

	tiny_create(&t, TINY_IRQCHIP | TINY_PIT, 1);
	for (unsigned n = 0; n < 30 * factor; n++) {
		a = (struct kvm_irqchip){ .chip_id = KVM_IRQCHIP_IOAPIC };
		MUST(vm_ioctl(&t, KVM_GET_IRQCHIP, &a));
		for (unsigned pin = 0; pin < 24; pin++)
			a.chip.ioapic.redirtbl[pin].bits = (random_u64() & 0xff00000000008fffull) | 0x10000;
		a.chip.ioapic.ioregsel = random_u64() & 0x3f;
		a.chip.ioapic.id = random_u64() & 0xf;
		MUST(vm_ioctl(&t, KVM_SET_IRQCHIP, &a));
		b = (struct kvm_irqchip){ .chip_id = KVM_IRQCHIP_IOAPIC };
		MUST(vm_ioctl(&t, KVM_GET_IRQCHIP, &b));
		SAME(a, b, "IOAPIC");

		a = (struct kvm_irqchip){ .chip_id = n & 1 };
		MUST(vm_ioctl(&t, KVM_GET_IRQCHIP, &a));
		a.chip.pic.imr = (u8)random_u64() | 4;
		a.chip.pic.irq_base = (u8)random_u64() & 0xf8;
		a.chip.pic.priority_add = random_u64() & 7;
		a.chip.pic.elcr = (u8)random_u64() & (n & 1 ? 0xde : 0xf8);
		MUST(vm_ioctl(&t, KVM_SET_IRQCHIP, &a));
		b = (struct kvm_irqchip){ .chip_id = n & 1 };
		MUST(vm_ioctl(&t, KVM_GET_IRQCHIP, &b));
		SAME(a, b, "PIC");

		MUST(vm_ioctl(&t, KVM_GET_PIT2, &pa));
		for (unsigned i = 0; i < 3; i++) {
			pa.channels[i].count = 1 + ((u32)random_u64() & 0xffff);
			pa.channels[i].rw_mode = 3;
			pa.channels[i].mode = i ? 3 : 2;
		}
		pa.flags = n & 1;
		MUST(vm_ioctl(&t, KVM_SET_PIT2, &pa));
		MUST(vm_ioctl(&t, KVM_GET_PIT2, &pb));
		for (unsigned i = 0; i < 3; i++) {
			EXPECT_EQ(pb.channels[i].count, pa.channels[i].count);
			EXPECT_EQ(pb.channels[i].mode, pa.channels[i].mode);
			EXPECT_EQ(pb.channels[i].rw_mode, pa.channels[i].rw_mode);
		}
		EXPECT_EQ(pb.flags, pa.flags);
	}
	tiny_destroy(&t);
}

static void lapic_and_mp_state(void)
{
	struct kvm_lapic_state a, b;
	struct kvm_mp_state s;
	struct tiny t;

	tiny_create(&t, TINY_IRQCHIP, 2);
	for (unsigned n = 0; n < 30 * factor; n++) {
		MUST(cpu_ioctl(&t, 1, KVM_GET_LAPIC, &a));
		*(u32 *)(a.regs + 0x80) = random_u64() & 0xff;			/* TPR */
		*(u32 *)(a.regs + 0xd0) = (u32)random_u64() & 0xff000000;		/* LDR */
		*(u32 *)(a.regs + 0xf0) = 0x1ff;
		for (unsigned i = 1; i < 8; i++)
			*(u32 *)(a.regs + 0x200 + 16 * i) = (u32)random_u64();		/* IRR */
		*(u32 *)(a.regs + 0x320) = 0x10000 | (random_u64() & 0xff);
		*(u32 *)(a.regs + 0x310) = (u32)random_u64() & 0xff000000;
		MUST(cpu_ioctl(&t, 1, KVM_SET_LAPIC, &a));
		MUST(cpu_ioctl(&t, 1, KVM_GET_LAPIC, &b));
		*(u32 *)(b.regs + 0xa0) = *(u32 *)(a.regs + 0xa0);			/* PPR follows TPR and ISR */
		SAME(a, b, "KVM_SET_LAPIC");
		for (u32 state = KVM_MP_STATE_RUNNABLE; state <= KVM_MP_STATE_HALTED; state++) {
			MUST(cpu_ioctl(&t, 1, KVM_SET_MP_STATE, &(struct kvm_mp_state){ .mp_state = state }));
			MUST(cpu_ioctl(&t, 1, KVM_GET_MP_STATE, &s));
			EXPECT_EQ(s.mp_state, state);
		}
	}
	tiny_destroy(&t);
}

static void clock_and_frequency(void)
{
	struct kvm_clock_data c = { .clock = 1ull << 45 }, d = { 0 };
	struct tiny t;
	int khz;

	tiny_create(&t, 0, 1);
	MUST(vm_ioctl(&t, KVM_SET_CLOCK, &c));
	MUST(vm_ioctl(&t, KVM_GET_CLOCK, &d));
	EXPECT(d.clock >= c.clock && d.clock - c.clock < 10000000000ull);
	khz = MUST(cpu_ioctl(&t, 0, KVM_GET_TSC_KHZ, NULL));
	EXPECT(khz > 100000);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_TSC_KHZ, (void *)(unsigned long)khz), 0);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_TSC_KHZ, NULL), khz);
	tiny_destroy(&t);
}

/* --- the vector unit ---------------------------------------------------------------------------- */

CODE64(vectors,
	"fninit\n" "fldpi\n" "fld1\n" "faddp\n"
	"mov $0x3ff8000000000000, %rax\n" "movq %rax, %xmm0\n" "movsd %xmm0, %xmm1\n"	/* 1.5 */
	"movups %xmm3, 0x50010\n"			/* what the client put there */
	"out %al, $0x50\n"
	"addsd %xmm1, %xmm0\n" "cpuid\n" "mulsd %xmm0, %xmm1\n"	/* 3.0, then 4.5 */
	"out %al, $0x51\n"
	"movsd %xmm0, 0x400000\n"			/* to a device */
	"movdqu 0x400010, %xmm2\n"			/* from one */
	"paddq %xmm2, %xmm2\n"
	"fstpl 0x50000\n" "movdqu %xmm2, 0x50020\n"
	DONE)

static void vector_state_lives_across_exits(struct tiny *t)
{
	double xmm, st;
	struct kvm_fpu f;

	MUST(cpu_ioctl(t, 0, KVM_GET_FPU, &f));
	memcpy(f.xmm[3], "0123456789abcdef", 16);
	MUST(cpu_ioctl(t, 0, KVM_SET_FPU, &f));
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	EXPECT(!memcmp(t->memory + 0x50010, "0123456789abcdef", 16));
	MUST(cpu_ioctl(t, 0, KVM_GET_FPU, &f));
	memcpy(&xmm, f.xmm[0], 8);
	EXPECT(xmm == 1.5);
	EXPECT_EQ(f.fcw, 0x37f);
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	MUST(cpu_ioctl(t, 0, KVM_GET_FPU, &f));
	memcpy(&xmm, f.xmm[1], 8);
	EXPECT(xmm == 4.5);
	xmm = 3.0;
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE, 8, 0x4008000000000000);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x10, 8, 0x1111111111111111);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x18, 8, 0x2222222222222222);
	EXPECT_DONE(t, 0);
	memcpy(&st, t->memory + 0x50000, 8);
	EXPECT(st > 4.14159 && st < 4.1416);
	EXPECT_EQ(tiny_get(t, 0x50020, 8), 0x2222222222222222);
	EXPECT_EQ(tiny_get(t, 0x50028, 8), 0x4444444444444444);
}

CODE64(avx,
	"mov %cr4, %rax\n" "or $0x40000, %rax\n" "mov %rax, %cr4\n"
	"xor %ecx, %ecx\n" "xor %edx, %edx\n" "mov $7, %eax\n" "xsetbv\n"
	"vmovdqu 0x50000, %ymm7\n" "vpaddb %ymm7, %ymm7, %ymm8\n"
	"out %al, $0x50\n"
	"vmovdqu %ymm8, 0x50040\n" "vmovdqu %ymm7, 0x50060\n"
	"mov $7, %eax\n" "xor %edx, %edx\n" "xsave 0x50400\n"
	"vzeroall\n" "mov $7, %eax\n" "xrstor 0x50400\n" "vmovdqu %ymm8, 0x50080\n"
	DONE)

static void avx_state_too(struct tiny *t)
{
	static u8 area[65536] __attribute__((aligned(64)));
	struct tiny_cpuid c;
	struct kvm_xcrs x;

	tiny_cpuid_supported(t, &c);
	if (!tiny_leaf(&c, 0xd, 0) || !(tiny_leaf(&c, 0xd, 0)->eax & 4)) {
		TEST_SKIP("AVX", "this host has none");
		return;
	}
	for (unsigned n = 0; n < 32; n++)
		t->memory[TINY_DATA + n] = (u8)(n * 5 + 1);
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	MUST(cpu_ioctl(t, 0, KVM_GET_XCRS, &x));
	EXPECT_EQ(x.xcrs[0].value, 7);
	MUST(cpu_ioctl(t, 0, KVM_GET_XSAVE2, area));
	EXPECT_EQ(*(u64 *)(area + 512) & 7, 7);
	EXPECT(!memcmp(area + 160 + 7 * 16, t->memory + TINY_DATA, 16));
	EXPECT(!memcmp(area + 576 + 7 * 16, t->memory + TINY_DATA + 16, 16));
	memset(area + 576 + 7 * 16, 0x99, 16);			/* the client changes the high half of YMM7 */
	MUST(cpu_ioctl(t, 0, KVM_SET_XSAVE, area));
	EXPECT_DONE(t, 0);
	for (unsigned n = 0; n < 32; n++) {
		EXPECT_EQ(t->memory[0x50040 + n], (u8)(2 * (n * 5 + 1)));
		EXPECT_EQ(t->memory[0x50060 + n], n < 16 ? n * 5 + 1 : 0x99);
	}
	EXPECT(!memcmp(t->memory + 0x50040, t->memory + 0x50080, 32));
}

/* --- the dirty log --------------------------------------------------------------------------------- */

/* Takes pages to write from port 0x80, 0 ends it. */
CODE32(writer,
	"1: in $0x80, %eax\n" "test %eax, %eax\n" "jz 2f\n" "js 3f\n" "shl $12, %eax\n" "incl 0x10(%eax)\n" "jmp 1b\n"
	"3: and $0xfff, %eax\n" "shl $12, %eax\n" "mov 0x10(%eax), %ebx\n" "jmp 1b\n"	/* only read */
	"2: out %al, $0x81\n" "jmp 1b\n")

static void guest_touches(struct tiny *t, u32 page, bool write)
{
	u32 value = page | (write ? 0 : 0x80000000u);

	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	EXPECT_EQ(t->cpu[0].run->io.port, 0x80);
	memcpy(tiny_io_data(t->cpu[0].run), &value, 4);
}

/* Let what was asked be done. */
static void guest_settles(struct tiny *t)
{
	guest_touches(t, 0, true);
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	EXPECT_EQ(t->cpu[0].run->io.port, 0x81);
}

#define PAGES (TINY_BYTES / PAGE_BYTES)

/* maybe: besides, what may be logged or not. */
static void dirty_is(struct tiny *t, const u64 *expected, const u64 *maybe)
{
	u64 bits[PAGES / 64];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bits };

	memset(bits, 0xff, sizeof(bits));
	EXPECT_EQ(vm_ioctl(t, KVM_GET_DIRTY_LOG, &log), 0);
	for (unsigned n = 0; n < PAGES; n++)
		if (((bits[n / 64] ^ expected[n / 64]) & ~maybe[n / 64]) >> n % 64 & 1) {
			fprintf(stderr, "  page %u: %s\n", n, bits[n / 64] >> n % 64 & 1 ? "logged, but not written" : "written, but not logged");
			test_failures++;
		}
}

static void dirty_is_exactly(struct tiny *t, const u64 *expected)
{
	dirty_is(t, expected, (u64[PAGES / 64]){ 0 });
}

static void dirty_logs_are_exact(struct tiny *t)
{
	EXPECT_EQ(tiny_slot(t, 0, 0, t->memory, TINY_BYTES, KVM_MEM_LOG_DIRTY_PAGES), 0);
	dirty_is_exactly(t, (u64[PAGES / 64]){ 0 });
	for (unsigned round = 0; round < 30 * factor; round++) {
		u64 expected[PAGES / 64] = { 0 };

		for (unsigned n = 0; n < round * 5; n++) {
			u32 page = 0x60 + random_u64() % (PAGES - 0x60);
			bool write = random_u64() & 1;

			guest_touches(t, page, write);
			if (write)
				expected[page / 64] |= 1ull << page % 64;
		}
		guest_settles(t);
		dirty_is_exactly(t, expected);
		dirty_is_exactly(t, (u64[PAGES / 64]){ 0 });	/* and then it is empty */
	}
	/* Without the flag there is none, and switching it on begins an empty one. */
	EXPECT_EQ(tiny_slot(t, 0, 0, t->memory, TINY_BYTES, 0), 0);
	guest_touches(t, 0x100, true);
	guest_settles(t);
	EXPECT_EQ(tiny_slot(t, 0, 0, t->memory, TINY_BYTES, KVM_MEM_LOG_DIRTY_PAGES), 0);
	dirty_is_exactly(t, (u64[PAGES / 64]){ 0 });
	guest_touches(t, 0x100, true);
	guest_settles(t);
	dirty_is_exactly(t, (u64[PAGES / 64]){ [0x100 / 64] = 1ull << 0x100 % 64 });
}

/* Page walks write too: accessed and dirty bits.  AMD-V asks for write access on every walk. */
CODE64(walks, "mov 0x60000, %eax\n" "out %al, $0x81\n" "mov %eax, 0x61000\n" "out %al, $0x81\n" DONE)

static void page_walks_are_logged(struct tiny *t)
{
	u64 expected[PAGES / 64] = { 0 }, tables[PAGES / 64] = { 0xfull << (TINY_TABLES >> PAGE_BITS) };

	EXPECT_EQ(tiny_slot(t, 0, 0, t->memory, TINY_BYTES, KVM_MEM_LOG_DIRTY_PAGES), 0);
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	/* PML4, PDPT, PD, PT: their accessed bits were clear. */
	expected[0] = 0xfull << (TINY_TABLES >> PAGE_BITS);
	dirty_is_exactly(t, expected);
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	expected[0] = 1ull << (TINY_PT >> PAGE_BITS);
	expected[1] = 1ull << (0x61 % 64);
	dirty_is(t, expected, tables);
	EXPECT_DONE(t, 0);
	dirty_is(t, (u64[PAGES / 64]){ 0 }, tables);
}

/* --- moving a guest ---------------------------------------------------------------------------------- */

static void move(struct tiny *t)
{
	EXPECT_EQ(tiny_move(t, NULL), -EINTR);
}

/* A long calculation with integer, vector and string instructions, calls, and exits now and then. */
CODE64(calculation,
	"mov $0x123456789abcdef, %rax\n" "mov $400000, %ebp\n" "cvtsi2sd %rbp, %xmm5\n" "fninit\n" "fld1\n"
	"1: mov %rax, %rbx\n" "shl $13, %rbx\n" "xor %rbx, %rax\n" "mov %rax, %rbx\n" "shr $7, %rbx\n" "xor %rbx, %rax\n"
	"mov %rax, %rbx\n" "shl $17, %rbx\n" "xor %rbx, %rax\n"
	"movq %rax, %xmm0\n" "pxor %xmm0, %xmm1\n" "paddq %xmm1, %xmm2\n" "addsd %xmm5, %xmm6\n" "fld1\n" "faddp\n"
	"mov %eax, %ecx\n" "and $0xff8, %ecx\n" "add %rax, 0x60000(%rcx)\n" "adc $0, %r14\n"
	"call 3f\n"
	"test $0x3fff, %ebp\n" "jnz 2f\n" "mov %rax, %r13\n" "out %al, $0x80\n" "mov %r13, %rax\n"
	"2: dec %ebp\n" "jnz 1b\n"
	"movdqu %xmm1, 0x50100\n" "movdqu %xmm2, 0x50110\n" "movsd %xmm6, 0x50120\n" "fstpl 0x50128\n"
	DONE
	"3: push %rdi\n" "push %rsi\n" "cld\n" "mov $0x60000, %esi\n" "lea 0x62000(%rcx), %rdi\n" "mov $4, %ecx\n" "rep movsq\n"
	"xor -32(%rdi), %r12\n" "ror $3, %r12\n" "pop %rsi\n" "pop %rdi\n" "ret\n")

struct interrupter { struct tiny *t; pthread_t runner, self; unsigned delay_us; };

static void *interrupt_after(void *arg)
{
	struct interrupter *i = arg;

	if (i->delay_us)
		usleep(i->delay_us);
	__atomic_store_n(&i->t->cpu[0].run->immediate_exit, 1, __ATOMIC_RELEASE);
	pthread_kill(i->runner, SIGUSR1);
	return NULL;
}

/* Run to the end, moving at every exit to the client and, in between, at signals. */
static void calculate(struct kvm_regs *regs, u8 *data, unsigned move_at_exits, bool at_signals)
{
	struct interrupter i = { .runner = pthread_self() };
	unsigned moves = 0;
	struct tiny t;
	int r;

	tiny_one(&t, TINY_64, BLOB(calculation));
	for (unsigned n = 0;; n++) {
		if (at_signals) {
			i.t = &t;
			i.delay_us = moves % 8 * (40 + moves);	/* it gets on also where it is slow */
			/* On a busy machine every signal may come too late: some are there before. */
			if (n % 8 == 1)
				t.cpu[0].run->immediate_exit = 1;
			if (pthread_create(&i.self, NULL, interrupt_after, &i))
				abort();
		}
		r = tiny_run(&t, 0);
		if (at_signals) {
			pthread_join(i.self, NULL);
			t.cpu[0].run->immediate_exit = 0;
		}
		if (r == KVM_EXIT_IO && tiny_is_out(t.cpu[0].run, PORT_DONE))
			break;
		if (r != -EINTR && r != KVM_EXIT_IO) {
			tiny_describe(&t, 0, r);
			test_failures++;
			break;
		}
		if ((move_at_exits && n % move_at_exits == 0) || r == -EINTR) {
			move(&t);
			moves++;
		}
	}
	EXPECT(moves || !(move_at_exits || at_signals));
	*regs = tiny_regs(&t, 0);
	memcpy(data, t.memory, TINY_BYTES);
	tiny_destroy(&t);
}

static void a_guest_goes_on_elsewhere(void)
{
	static u8 expected[TINY_BYTES], got[TINY_BYTES];
	struct kvm_regs a, b;

	tiny_signals_init();
	calculate(&a, expected, 0, false);
	calculate(&b, got, 3, false);
	SAME(a, b, "registers after moves at exits");
	SAME(expected, got, "memory after moves at exits");
	calculate(&b, got, 0, true);
	SAME(a, b, "registers after moves at signals");
	SAME(expected, got, "memory after moves at signals");
}

/* With chips and timers: every tick is served, whatever moved in between. */
CODE64(ticking,
	"mov $0xfee00000, %r15d\n" "movl $0x1ff, 0xf0(%r15)\n" "movl $0xb, 0x3e0(%r15)\n"
	"movl $0x20040, 0x320(%r15)\n" "movl $1000000, 0x380(%r15)\n"
	"1: sti\n" "hlt\n" "cli\n" "out %al, $0x80\n" "cmpl $60, 0x50000\n" "jb 1b\n" DONE
	"ticking_handler: lock incl 0x50000\n" "movl $0, 0xb0(%r15)\n" "iretq\n")
LABEL(ticking_handler)

static void timers_go_on_elsewhere(void)
{
	struct tiny t;
	int r;

	tiny_create(&t, TINY_IRQCHIP | TINY_PIT, 1);
	tiny_load(&t, TINY_64, BLOB(ticking));
	tiny_start(&t, 0, TINY_64);
	tiny_gate(&t, TINY_64, 0x40, AT(ticking, ticking_handler));
	for (unsigned n = 1;; n++) {
		r = tiny_run(&t, 0);
		if (r != KVM_EXIT_IO || tiny_is_out(t.cpu[0].run, PORT_DONE))
			break;
		if (n % 3 == 0)
			move(&t);
	}
	EXPECT(r == KVM_EXIT_IO && tiny_is_out(t.cpu[0].run, PORT_DONE));
	EXPECT(tiny_get(&t, TINY_DATA, 4) >= 60);	/* two at once, if one was late */
	tiny_destroy(&t);
}

int main(int argc, char **argv)
{
	tiny_watchdog();
	if (argc > 1)
		factor = (unsigned)atoi(argv[1]);
	TEST(general_registers);
	TEST(system_registers);
	TEST(debug_registers);
	TEST(events);
	TEST(vector_registers);
	TEST(chips);
	TEST(lapic_and_mp_state);
	TEST(clock_and_frequency);
	TINY_TEST(TINY_64, vectors, vector_state_lives_across_exits);
	TINY_TEST(TINY_64, avx, avx_state_too);
	TINY_TEST(TINY_32, writer, dirty_logs_are_exact);
	TINY_TEST(TINY_64, walks, page_walks_are_logged);
	TEST(a_guest_goes_on_elsewhere);
	TEST(timers_go_on_elsewhere);
	return test_status();
}
