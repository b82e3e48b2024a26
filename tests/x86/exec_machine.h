/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec_machine.h - a processor on a megabyte of flat memory, for tests of the executor
 *
 * Linear addresses are offsets into memory[]; one page (bad_page) may be made to fault.
 * machine_*() put the processor into a mode with a GDT that has one of everything;
 * run() executes one instruction given as bytes.
 */
#ifndef TESTS_X86_EXEC_MACHINE_H
#define TESTS_X86_EXEC_MACHINE_H

#include "tests/test.h"
#include "x86/exec.h"
#include "x86/feature.h"

#define MEMORY_BYTES	0x100000u
#define GDT		0x1000u
#define IDT		0x2000u
#define TSS		0x3000u
#define TSS2		0x3800u
#define LDT		0x4000u
#define CODE		0x8000u		/* where run() puts instructions */
#define HANDLER_AT	0xa000u
#define STACK0		0x20000u	/* of privilege 0 */
#define STACK3		0x30000u
#define STACK_IST	0x38000u
#define DATA		0x40000u

/* Selectors. */
enum {
	CODE0 = 0x08, DATA0 = 0x10, CODE3 = 0x1b, DATA3 = 0x23, TSS_A = 0x28, TSS_B = 0x30,
	CODE0_64 = 0x38, CODE3_64 = 0x43, CALL_GATE = 0x4b, CONFORMING = 0x50, ABSENT = 0x58,
	READ_ONLY = 0x60, LDT_SEL = 0x68, TASK_GATE = 0x73, CALL_GATE_64 = 0x7b, TSS_64 = 0x88,
	CODE0_16 = 0x98, EXECUTE_ONLY = 0xa0, SMALL = 0xa8, DOWN = 0xb0, GDT_BYTES = 0xb8,
};

static u8 memory[MEMORY_BYTES];
static struct x86 cpu;
static u64 bad_page = ~0ull;		/* accesses to it raise #PF */
static unsigned writes_seen, flushes, mode_changes, hooks_seen, in_count, unlocks;
static u64 hook_info;
static enum x86_hook hook_what;
static enum x86_result hook_answer;
static u64 out_last;

static enum x86_result access_check(struct x86 *x, u64 a, unsigned bytes, unsigned access)
{
	if (a + bytes <= MEMORY_BYTES && (a + bytes - 1) >> 12 != bad_page >> 12 &&
	    a >> 12 != bad_page >> 12)
		return X86_OK;
	x86_raise_error(x, X86_PF,
			(access & X86_WRITE ? X86_PF_W : 0) | (access & X86_USER ? X86_PF_U : 0));
	x->fault.address = a;
	return X86_FAULT;
}

static enum x86_result bus_read(struct x86 *x, u64 a, void *data, unsigned bytes, unsigned access)
{
	enum x86_result r = access_check(x, a, bytes, access);

	if (!r)
		memcpy(data, memory + a, bytes);
	return r;
}

static enum x86_result bus_write(struct x86 *x, u64 a, const void *data, unsigned bytes,
				 unsigned access)
{
	enum x86_result r = access_check(x, a, bytes, access);

	if (!r)
		memcpy(memory + a, data, bytes);
	writes_seen++;
	return r;
}

static enum x86_result bus_probe(struct x86 *x, u64 a, unsigned bytes, unsigned access)
{
	return access_check(x, a, bytes, access);
}

static enum x86_result bus_map(struct x86 *x, u64 a, unsigned bytes, unsigned access, void **host)
{
	*host = a < MEMORY_BYTES ? memory + a : NULL;
	return access_check(x, a, bytes, access);
}

static void bus_lock(struct x86 *x) { (void)x; }
static void bus_unlock(struct x86 *x) { (void)x; unlocks++; }

static enum x86_result bus_in(struct x86 *x, u16 port, unsigned bytes, u32 *value)
{
	(void)x, (void)bytes;
	*value = port + in_count++;
	return X86_OK;
}

static enum x86_result bus_out(struct x86 *x, u16 port, unsigned bytes, u32 value)
{
	(void)x;
	out_last = (u64)port << 40 | (u64)bytes << 32 | value;
	return X86_OK;
}

static enum x86_result bus_hook(struct x86 *x, const struct x86_insn *i, enum x86_hook what,
				u64 info)
{
	(void)x, (void)i;
	hooks_seen++;
	hook_what = what;
	hook_info = info;
	return hook_answer;
}

static void bus_cpuid(struct x86 *x, u32 *a, u32 *b, u32 *c, u32 *d)
{
	(void)x;
	*a += 1, *b = 2, *c += 3, *d = 4;
}

static enum x86_result bus_rdmsr(struct x86 *x, u32 msr, u64 *value)
{
	*value = 0x1122334455667788;
	return msr == 0x10 ? X86_OK : x86_raise_error(x, X86_GP, 0);
}

static enum x86_result bus_wrmsr(struct x86 *x, u32 msr, u64 value)
{
	return msr == X86_MSR_EFER ? x86_write_efer(x, value) : x86_raise_error(x, X86_GP, 0);
}

static u64 bus_rdtsc(struct x86 *x) { (void)x; return 0xabcdef0123456789; }
static u64 bus_read_cr8(struct x86 *x) { (void)x; return 5; }
static void bus_write_cr8(struct x86 *x, u64 value) { (void)x; out_last = value; }
static void bus_flush(struct x86 *x, enum x86_flush kind, u64 address)
{
	(void)x, (void)kind, (void)address;
	flushes++;
}
static void bus_mode_changed(struct x86 *x) { (void)x; mode_changes++; }

static const struct x86_bus bus = {
	.read = bus_read, .write = bus_write, .probe = bus_probe, .map = bus_map, .lock = bus_lock,
	.unlock = bus_unlock, .in = bus_in, .out = bus_out, .hook = bus_hook, .cpuid = bus_cpuid,
	.rdmsr = bus_rdmsr, .wrmsr = bus_wrmsr, .rdtsc = bus_rdtsc, .read_cr8 = bus_read_cr8,
	.write_cr8 = bus_write_cr8, .flush = bus_flush, .mode_changed = bus_mode_changed,
};

static inline void put64(u64 at, u64 v) { memcpy(memory + at, &v, 8); }
static inline void put32(u64 at, u32 v) { memcpy(memory + at, &v, 4); }
static inline void put16(u64 at, u16 v) { memcpy(memory + at, &v, 2); }
static inline u64 get64(u64 at) { u64 v; memcpy(&v, memory + at, 8); return v; }
static inline u32 get32(u64 at) { u32 v; memcpy(&v, memory + at, 4); return v; }
static inline u16 get16(u64 at) { u16 v; memcpy(&v, memory + at, 2); return v; }

/* attr as in struct x86_seg; limit in bytes or, with G, in pages. */
static inline u64 descriptor(u32 base, u32 limit, unsigned attr)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xff) << 40 |
	       (u64)(limit >> 16 & 15) << 48 | (u64)(attr >> 8 & 15) << 52 |
	       (u64)(base >> 24) << 56;
}

static inline u64 gate(u16 selector, u32 offset, unsigned type_dpl, unsigned parameters)
{
	return (offset & 0xffff) | (u64)selector << 16 | (u64)parameters << 32 |
	       (u64)type_dpl << 40 | (u64)(offset >> 16) << 48;
}

static inline void idt_set(unsigned vector, u64 g, u64 high)
{
	if (cpu.efer & X86_EFER_LMA) {
		put64(IDT + vector * 16, g);
		put64(IDT + vector * 16 + 8, high);
	} else {
		put64(IDT + vector * 8, g);
	}
}

static inline struct x86_seg segment_of(u16 selector)
{
	u64 d = get64(GDT + (selector & ~7u));
	struct x86_seg s = {
		.selector = selector, .attr = (u16)((d >> 40 & 0xff) | (d >> 44 & 0xf00)),
		.limit = (u32)((d & 0xffff) | (d >> 32 & 0xf0000)),
		.base = (d >> 16 & 0xffffff) | (d >> 32 & 0xff000000),
	};

	if (s.attr & X86_SEG_G)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

static void tables_make(bool wide)
{
	memset(memory, 0, sizeof memory);
	put64(GDT + 0x08, descriptor(0, 0xfffff, 0xc9a));
	put64(GDT + 0x10, descriptor(0, 0xfffff, 0xc92));
	put64(GDT + 0x18, descriptor(0, 0xfffff, 0xcfa));
	put64(GDT + 0x20, descriptor(0, 0xfffff, 0xcf2));
	put64(GDT + 0x28, descriptor(TSS, 0x7ff, 0x089));
	put64(GDT + 0x30, descriptor(TSS2, 0x67, 0x089));
	put64(GDT + 0x38, descriptor(0, 0xfffff, 0xa9a));
	put64(GDT + 0x40, descriptor(0, 0xfffff, 0xafa));
	put64(GDT + 0x48, gate(CODE0, HANDLER_AT, 0xec, 2));
	put64(GDT + 0x50, descriptor(0, 0xfffff, 0xc9e));
	put64(GDT + 0x58, descriptor(0, 0xfffff, 0xc12));
	put64(GDT + 0x60, descriptor(0, 0xfffff, 0xc90));
	put64(GDT + 0x68, descriptor(LDT, 0xff, 0x082));
	put64(GDT + 0x70, gate(TSS_B, 0, 0xe5, 0));
	put64(GDT + 0x78, gate(CODE0_64, HANDLER_AT, 0xec, 0));
	put64(GDT + 0x88, descriptor(TSS, 0x67, 0x089));
	put64(GDT + 0x98, descriptor(0, 0xffff, 0x09a));
	put64(GDT + 0xa0, descriptor(0, 0xfffff, 0xc98));
	put64(GDT + 0xa8, descriptor(DATA, 0xf, 0x492));
	put64(GDT + 0xb0, descriptor(DATA, 0xfff, 0x496));
	cpu.gdtr = (struct x86_table){ GDT_BYTES - 1, GDT };
	cpu.idtr = (struct x86_table){ (u16)(wide ? 0xfff : 0x7ff), IDT };
	if (wide) {
		put64(TSS + 4, STACK0);
		put64(TSS + 36, STACK_IST);
	} else {
		put32(TSS + 4, STACK0);
		put32(TSS + 8, DATA0);
	}
	put16(TSS + 102, 0x68);
}

static void machine_reset(void)
{
	memset(&cpu, 0, sizeof cpu);
	bad_page = ~0ull;
	hook_answer = X86_OK;
	writes_seen = flushes = mode_changes = hooks_seen = in_count = unlocks = 0;
	cpu.tlb = &x86_tlb_empty;
	cpu.bus = &bus;
	cpu.rflags = X86_FLAG_1;
	cpu.string_budget = 1000;
	cpu.cr4_valid = ~0ull;
	cpu.efer_valid = 0xd01 | X86_EFER_SVME;
	cpu.phys_bits = 40;
	cpu.vendor_amd = true;
	memset(cpu.features, 0xff, sizeof cpu.features);
}

static inline void machine_real(void)
{
	machine_reset();
	memset(memory, 0, sizeof memory);
	for (unsigned n = 0; n < 6; n++)
		cpu.seg[n] = (struct x86_seg){ .attr = n == X86_CS ? 0x9b : 0x93, .limit = 0xffff };
	cpu.seg[X86_SS].selector = 0x2000, cpu.seg[X86_SS].base = 0x20000;
	cpu.idtr.limit = 0x3ff;
	cpu.gpr[X86_RSP] = 0x100;
	x86_mode_changed(&cpu);
}

/* 32-bit protected mode at privilege cpl, flat segments. */
static inline void machine_32(unsigned cpl)
{
	machine_reset();
	cpu.cr0 = X86_CR0_PE | X86_CR0_ET;
	tables_make(false);
	for (unsigned n = 0; n < 6; n++)
		cpu.seg[n] =
			segment_of(n == X86_CS ? (cpl ? CODE3 : CODE0) : (cpl ? DATA3 : DATA0));
	cpu.seg[X86_TR] = segment_of(TSS_A);
	cpu.seg[X86_TR].attr |= 2;
	put64(GDT + TSS_A, get64(GDT + TSS_A) | 2ull << 40);
	cpu.cpl = (u8)cpl;
	cpu.gpr[X86_RSP] = cpl ? STACK3 : STACK0 - 0x1000;
	x86_mode_changed(&cpu);
}

static inline void machine_64(unsigned cpl)
{
	machine_reset();
	cpu.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET;
	cpu.cr4 = X86_CR4_PAE;
	cpu.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE;
	tables_make(true);
	for (unsigned n = 0; n < 6; n++)
		cpu.seg[n] = segment_of(n == X86_CS ? (cpl ? CODE3_64 : CODE0_64)
						    : (cpl ? DATA3 : DATA0));
	cpu.seg[X86_TR] = segment_of(TSS_64);
	cpu.seg[X86_TR].attr |= 2;
	cpu.cpl = (u8)cpl;
	cpu.gpr[X86_RSP] = cpl ? STACK3 : STACK0 - 0x1000;
	x86_mode_changed(&cpu);
}

static inline void machine_vm86(void)
{
	machine_32(0);
	cpu.rflags |= X86_FLAG_VM;
	cpu.cpl = 3;
	for (unsigned n = 0; n < 6; n++)
		cpu.seg[n] = (struct x86_seg){ .attr = 0xf3, .limit = 0xffff };
	cpu.seg[X86_SS].selector = 0x3000, cpu.seg[X86_SS].base = 0x30000;
	cpu.gpr[X86_RSP] = 0x100;
	x86_mode_changed(&cpu);
}

/* Execute one instruction at CODE. */
static enum x86_result run_bytes(const u8 *bytes, unsigned count)
{
	static struct x86_insn i;
	u8 padded[16] = { 0 };

	memcpy(padded, bytes, count);
	cpu.rip = CODE;
	if (x86_decode(&i, padded, 15, cpu.code_bits) != X86_DECODED)
		return x86_raise(&cpu, X86_UD);
	EXPECT_EQ(i.len, count);
	i.exec = x86_bind(&cpu, &i);
	return x86_execute(&cpu, &i);
}
#define RUN(...) run_bytes((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

#define EXPECT_FAULT(result, vec, err) do { \
	EXPECT_EQ(result, X86_FAULT); \
	EXPECT_EQ(cpu.fault.vector, vec); \
	EXPECT_EQ(cpu.fault.error, err); \
	EXPECT_EQ(cpu.rip, CODE); \
} while (0)

#endif
