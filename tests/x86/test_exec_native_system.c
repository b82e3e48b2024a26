// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_exec_native_system.c - faults, segments and far transfers against the processor
 *
 * As test_exec_native.c, for what is not computation: what user mode may not do, selectors, far
 * jumps and returns, and 32-bit code with its addresses of 16 bits.  A case is a short program; the
 * executor interprets it until its end or a fault.  Compared are registers, flags, memory, and of a
 * fault RIP, vector and error code.
 *
 * The descriptor table that the executor uses is made from what LAR and LSL say of the host's.
 *
 *   test_exec_native_system [STATES [SEED]]	states a program, default 300
 */
#include <sched.h>
#include <sys/auxv.h>

#include "tests/x86/native.h"
#include "x86/feature.h"

#define USER_DATA	0x2b
#define PROGRAM_MAX	48u
#define SELECTORS	8192u		/* in a table */
#define ARITH		(X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_SF | X86_FLAG_OF)

static unsigned states = 300;
static struct x86 cpu;
static u64 gdt[SELECTORS];
static u16 known[SELECTORS];		/* selectors, RPL 3, of descriptors that a user can see */
static unsigned known_count, shown;

/* --- the executor's surroundings ------------------------------------------------------------- */

static void *memory_at(u64 a, unsigned bytes)
{
	if (a >= (uintptr_t)buffer && a + bytes <= (uintptr_t)buffer + BUFFER_BYTES)
		return (void *)(uintptr_t)a;
	if (a >= (uintptr_t)gdt && a + bytes <= (uintptr_t)gdt + sizeof(gdt))
		return (void *)(uintptr_t)a;
	return NULL;
}

static enum x86_result bus_read(struct x86 *x, u64 a, void *data, unsigned bytes, unsigned access)
{
	const void *at = memory_at(a, bytes);

	(void)access;
	if (!at)
		return x86_raise_error(x, X86_PF, 0);
	memcpy(data, at, bytes);
	return X86_OK;
}

static enum x86_result bus_write(struct x86 *x, u64 a, const void *data, unsigned bytes, unsigned access)
{
	void *at = memory_at(a, bytes);

	(void)access;
	if (!at)
		return x86_raise_error(x, X86_PF, 0);
	memcpy(at, data, bytes);
	return X86_OK;
}

static enum x86_result bus_probe(struct x86 *x, u64 a, unsigned bytes, unsigned access)
{
	(void)access;
	return memory_at(a, bytes) ? X86_OK : x86_raise_error(x, X86_PF, 0);
}

static enum x86_result bus_map(struct x86 *x, u64 a, unsigned bytes, unsigned access, void **host)
{
	*host = NULL;
	return bus_probe(x, a, bytes, access);
}

static void bus_nothing(struct x86 *x) { (void)x; }
static void bus_flush(struct x86 *x, enum x86_flush kind, u64 address) { (void)x, (void)kind, (void)address; }

static const struct x86_bus bus = {
	.read = bus_read, .write = bus_write, .probe = bus_probe, .map = bus_map, .lock = bus_nothing,
	.unlock = bus_nothing, .mode_changed = bus_nothing, .flush = bus_flush,
};

static bool lar(u16 selector, u32 *rights)
{
	bool ok;

	__asm__("lar %2, %0" : "=r"(*rights), "=@ccz"(ok) : "r"((u32)selector));
	return ok;
}

static bool lsl(u16 selector, u32 *limit)
{
	bool ok;

	__asm__("lsl %2, %0" : "=r"(*limit), "=@ccz"(ok) : "r"((u32)selector));
	return ok;
}

/* Linux has the processor's number in a segment's limit. */
static void stay_on_this_cpu(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	sched_setaffinity(0, sizeof(here), &here);
}

static void gdt_make(void)
{
	for (unsigned n = 0; n < SELECTORS; n++) {
		u16 selector = (u16)(n * 8 + 3);
		u32 rights, limit;

		if (!lar(selector, &rights) || !lsl(selector, &limit))
			continue;
		if (rights & 0x800000)
			limit >>= 12;
		gdt[n] = (limit & 0xffff) | (u64)(rights & 0xff00) << 32 | (u64)(limit & 0xf0000) << 32 |
			 (u64)(rights & 0xf00000) << 32;
		known[known_count++] = selector;
	}
}

static const struct x86_seg flat_code = { .attr = 0xafb, .limit = ~0u, .selector = USER_CS };
static const struct x86_seg flat_code32 = { .attr = 0xcfb, .limit = ~0u, .selector = USER_CS_32 };
static const struct x86_seg flat_data = { .attr = 0xcf3, .limit = ~0u, .selector = USER_DATA };

static void cpu_make(void)
{
	cpu.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE | X86_CR0_ET | X86_CR0_MP;
	cpu.cr4 = X86_CR4_PAE;
	cpu.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE;
	cpu.bus = &bus;
	cpu.tlb = &x86_tlb_empty;
	cpu.string_budget = ~0u;
	cpu.gdtr = (struct x86_table){ .limit = sizeof(gdt) - 1, .base = (uintptr_t)gdt };
	for (unsigned n = 1; n < X86_FEATURES; n++) {
		const struct x86_feature_bit *b = &x86_feature_cpuid[n];
		u32 r[4];

		__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(b->leaf), "2"(b->subleaf));
		if (r[b->reg] >> b->bit & 1)
			x86_feature_set(cpu.features, n);
		if (n == X86_FEATURE_XSAVE && (r[2] >> 27 & 1)) {	/* OSXSAVE */
			u32 low, high;

			__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
			cpu.xcr0 = low | (u64)high << 32;
			cpu.cr4 |= X86_CR4_OSXSAVE;
		}
		if (n == X86_FEATURE_PKU && (r[2] >> 4 & 1)) {	/* OSPKE */
			u32 edx;

			cpu.cr4 |= X86_CR4_PKE;
			__asm__("rdpkru" : "=a"(cpu.pkru), "=d"(edx) : "c"(0));
		}
	}
	if (getauxval(AT_HWCAP2) & 2)
		cpu.cr4 |= X86_CR4_FSGSBASE;
}

static void cpu_reset(unsigned bits)
{
	for (unsigned n = 0; n < 6; n++)
		cpu.seg[n] = flat_data;
	cpu.seg[X86_FS].selector = cpu.seg[X86_GS].selector = 0;
	cpu.seg[X86_CS] = bits == 64 ? flat_code : flat_code32;
	cpu.cpl = 3;
	x86_mode_changed(&cpu);
}

/* --- programs ------------------------------------------------------------------------------------ */

struct program {
	const char *name;
	u8 bits, len;
	u8 bytes[PROGRAM_MAX];
	u64 undefined;		/* flags */
	u64 needs;		/* of CR4 */
};

/* Registers that programs count on. */
#define DATA	X86_RBX		/* the middle of the buffer */
#define NEXT	X86_RAX		/* behind the program; else random */

/* Vector of our fault, 256 at the end of the program. */
static unsigned executor_run(const struct program *p, u64 start)
{
	for (unsigned n = 0; n < 20; n++) {
		struct x86_insn i;
		u8 bytes[16] = { 0 };
		u64 at = cpu.rip - start;

		if (at == p->len)
			return 256;
		if (at > p->len)
			return 257;
		memcpy(bytes, p->bytes + at, MIN_OF((size_t)15, (size_t)(p->len - at)));
		if (x86_decode(&i, bytes, 15, p->bits) != X86_DECODED)
			return X86_UD;
		i.exec = x86_bind(&cpu, &i);
		cpu.next_rip = cpu.rip + i.len;
		switch (x86_execute(&cpu, &i)) {
		case X86_OK:
			break;
		case X86_FAULT:
			if (cpu.fault.trap)
				cpu.rip = cpu.next_rip;
			return cpu.fault.vector;
		default:
			return 258;
		}
	}
	return 259;
}

static void report(const struct program *p, const char *what, u64 ours, u64 theirs)
{
	test_failures++;
	if (shown++ < 20)
		fprintf(stderr, "%s: %s is %#llx, natively %#llx\n", p->name, what, (unsigned long long)ours,
			(unsigned long long)theirs);
}

static void selectors_restore(void)
{
	__asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(USER_DATA));
}

static void compare(const struct program *p, unsigned vector, u64 start)
{
	static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
	unsigned theirs = faulted ? fault_vector : 256;

	if (vector != theirs) {
		report(p, "vector (256: none)", vector, theirs);
		return;
	}
	if (vector < 256) {
		u32 error = cpu.fault.has_error ? cpu.fault.error : 0;

		if (vector != X86_PF && error != fault_error)
			report(p, "error code", error, fault_error);
		if (cpu.rip != fault_rip)
			report(p, "fault's RIP", cpu.rip - start, fault_rip - start);
		return;
	}
	for (unsigned n = 0; n < (p->bits == 64 ? 16u : 8u); n++)
		if ((p->bits == 64 ? cpu.gpr[n] : (u32)cpu.gpr[n]) !=
		    (p->bits == 64 ? native->out[n] : (u32)native->out[n]))
			report(p, names[n], cpu.gpr[n], native->out[n]);
	/* RF ends with the jump behind the program. */
	if ((cpu.rflags ^ native->out_flags) & ~p->undefined & ~(X86_FLAG_IF | X86_FLAG_RF))
		report(p, "rflags", cpu.rflags, native->out_flags);
}

static void program_run(const struct program *p, void (*prepare)(u64 *gpr))
{
	static u8 before[BUFFER_BYTES], memory[BUFFER_BYTES];
	unsigned vector;
	u64 start;

	if ((cpu.cr4 & p->needs) != p->needs)
		return;
	for (unsigned n = 0; n < 16; n++) {
		u64 v = random_value();

		memcpy(buffer + random_below(BUFFER_BYTES / 8) * 8, &v, 8);
		native->in[n] = random_value();
	}
	native->in_flags = (random_u64() & ARITH) | X86_FLAG_1 | X86_FLAG_IF;
	native->in[DATA] = (uintptr_t)buffer + MIDDLE;
	native->in[X86_RSP] = (uintptr_t)buffer + 1024;
	if (p->bits == 64) {
		stub_put(p->bytes, p->len);
	} else {
		stub_put_32(p->bytes, p->len);
		for (unsigned n = 0; n < 16; n++)
			native->in[n] = (u32)native->in[n];
	}
	start = (uintptr_t)(p->bits == 64 ? insn_at : insn32_at);
	native->in[NEXT] = start + p->len;
	insn_bytes = p->len + 1u;
	if (prepare)
		prepare(native->in);
	memcpy(before, buffer, BUFFER_BYTES);
	native_run();
	selectors_restore();
	memcpy(memory, buffer, BUFFER_BYTES);
	memcpy(buffer, before, BUFFER_BYTES);

	cpu_reset(p->bits);
	memcpy(cpu.gpr, native->in, sizeof(cpu.gpr));
	if (p->bits == 32)		/* the far call's return address */
		cpu.gpr[X86_RSP] -= 8;
	cpu.rflags = native->in_flags;
	cpu.rip = start;
	vector = executor_run(p, start);
	if (p->bits == 32)
		cpu.gpr[X86_RSP] += 8;
	compare(p, vector, start);
	for (unsigned n = 1024; n < BUFFER_BYTES; n++)
		if (buffer[n] != memory[n]) {
			report(p, "memory", buffer[n], memory[n]);
			break;
		}
}

#define P(name, bits, undefined, needs, ...) \
	{ name, bits, sizeof((u8[]){ __VA_ARGS__ }), { __VA_ARGS__ }, undefined, needs }

static void run_all(const struct program *p, size_t count, void (*prepare)(u64 *gpr), unsigned times)
{
	for (size_t n = 0; n < count; n++)
		for (unsigned s = 0; s < times; s++)
			program_run(&p[n], prepare);
	EXPECT_EQ(shown, 0);
	shown = 0;
}

/* --- what user mode may not do --------------------------------------------------------------------- */

static const struct program forbidden[] = {
	P("cli", 64, 0, 0, 0xfa), P("sti", 64, 0, 0, 0xfb), P("hlt", 64, 0, 0, 0xf4),
	P("in dx", 64, 0, 0, 0xec), P("in imm", 64, 0, 0, 0xe5, 0x10), P("out dx", 64, 0, 0, 0xee),
	P("out imm", 64, 0, 0, 0xe7, 0x10), P("ins", 64, 0, 0, 0x6c), P("outs", 64, 0, 0, 0x6e),
	P("invd", 64, 0, 0, 0x0f, 0x08), P("wbinvd", 64, 0, 0, 0x0f, 0x09),
	P("lgdt", 64, 0, 0, 0x0f, 0x01, 0x13), P("lidt", 64, 0, 0, 0x0f, 0x01, 0x1b),
	P("lldt", 64, 0, 0, 0x0f, 0x00, 0xd1), P("ltr", 64, 0, 0, 0x0f, 0x00, 0xd9),
	P("lmsw", 64, 0, 0, 0x0f, 0x01, 0xf1), P("clts", 64, 0, 0, 0x0f, 0x06),
	P("mov from cr0", 64, 0, 0, 0x0f, 0x20, 0xc0), P("mov to cr0", 64, 0, 0, 0x0f, 0x22, 0xc0),
	P("mov from cr8", 64, 0, 0, 0x44, 0x0f, 0x20, 0xc0), P("mov to cr3", 64, 0, 0, 0x0f, 0x22, 0xd8),
	P("mov from dr7", 64, 0, 0, 0x0f, 0x21, 0xf8), P("mov to dr7", 64, 0, 0, 0x0f, 0x23, 0xf8),
	P("rdmsr", 64, 0, 0, 0x0f, 0x32), P("wrmsr", 64, 0, 0, 0x0f, 0x30), P("rdpmc", 64, 0, 0, 0x0f, 0x33),
	P("invlpg", 64, 0, 0, 0x0f, 0x01, 0x3b), P("swapgs", 64, 0, 0, 0x0f, 0x01, 0xf8),
	P("sysret", 64, 0, 0, 0x0f, 0x07), P("sysexit", 64, 0, 0, 0x0f, 0x35),
	P("rsm", 64, 0, 0, 0x0f, 0xaa), P("ud0", 64, 0, 0, 0x0f, 0xff, 0xc3), P("ud1", 64, 0, 0, 0x0f, 0xb9, 0xc3),
	P("ud2", 64, 0, 0, 0x0f, 0x0b), P("int 20h", 64, 0, 0, 0xcd, 0x20), P("int 0ffh", 64, 0, 0, 0xcd, 0xff),
	P("xsetbv", 64, 0, X86_CR4_OSXSAVE, 0x0f, 0x01, 0xd1),
	P("clac", 64, 0, 0, 0x0f, 0x01, 0xca), P("stac", 64, 0, 0, 0x0f, 0x01, 0xcb),
	P("mov of a non-canonical address", 64, 0, 0, 0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8b, 0x01),
	P("push at a non-canonical RSP", 64, 0, 0, 0x48, 0xbc, 0, 0, 0, 0, 0, 0x80, 0, 0, 0x50),
	P("mov by a non-canonical RBP", 64, 0, 0, 0x48, 0xbd, 0, 0, 0, 0, 0, 0x80, 0, 0, 0x8b, 0x45, 0x08),
	P("lock of a register", 64, 0, 0, 0xf0, 0x01, 0xc1), P("lock mov", 64, 0, 0, 0xf0, 0x89, 0x03),
	P("mov to cs", 64, 0, 0, 0x8e, 0xc9), P("mov to a seventh segment", 64, 0, 0, 0x8e, 0xf1),
	P("mov from a seventh segment", 64, 0, 0, 0x8c, 0xf1), P("lea of a register", 64, 0, 0, 0x8d, 0xc1),
	P("cmpxchg16b unaligned", 64, 0, 0, 0x48, 0x0f, 0xc7, 0x4b, 0x08),
	P("push es in 64-bit code", 64, 0, 0, 0x06), P("pusha in 64-bit code", 64, 0, 0, 0x60),
	P("into in 64-bit code", 64, 0, 0, 0xce), P("bound in 64-bit code", 64, 0, 0, 0x62, 0x03),
	P("daa in 64-bit code", 64, 0, 0, 0x27), P("aam in 64-bit code", 64, 0, 0, 0xd4, 0x0a),
	P("far call of an immediate in 64-bit code", 64, 0, 0, 0x9a, 0, 0, 0, 0, 0, 0),
	P("int3", 64, 0, 0, 0xcc),
};

static void what_user_mode_may_not_do(void)
{
	run_all(forbidden, ARRAY_LEN(forbidden), NULL, 4);
}

/* --- selectors ---------------------------------------------------------------------------------------- */

static u16 random_selector(void)
{
	switch (random_below(6)) {
	case 0: return (u16)random_below(4);
	case 1: return (u16)random_below(0x100);
	case 2: return (u16)random_u64();
	default: return (u16)((known[random_below(known_count)] & ~(random_below(3) ? 0 : 3)) | (random_below(8) ? 0 : 4));
	}
}

static void selector_in_rcx(u64 *gpr)
{
	gpr[X86_RCX] = (gpr[X86_RCX] & ~0xffffull) | random_selector();
	memcpy(buffer + MIDDLE, &gpr[X86_RCX], 2);
}

static const struct program selectors[] = {
	P("lar 16", 64, 0, 0, 0x66, 0x0f, 0x02, 0xd1), P("lar 32", 64, 0, 0, 0x0f, 0x02, 0xd1),
	P("lar 64", 64, 0, 0, 0x48, 0x0f, 0x02, 0xd1), P("lar of memory", 64, 0, 0, 0x0f, 0x02, 0x13),
	P("lsl 16", 64, 0, 0, 0x66, 0x0f, 0x03, 0xd1), P("lsl 32", 64, 0, 0, 0x0f, 0x03, 0xd1),
	P("lsl 64", 64, 0, 0, 0x48, 0x0f, 0x03, 0xd1), P("lsl of memory", 64, 0, 0, 0x48, 0x0f, 0x03, 0x13),
	P("verr", 64, 0, 0, 0x0f, 0x00, 0xe1), P("verw", 64, 0, 0, 0x0f, 0x00, 0xe9),
	P("verr of memory", 64, 0, 0, 0x0f, 0x00, 0x23), P("verw of memory", 64, 0, 0, 0x0f, 0x00, 0x2b),
	P("mov to ds and from it", 64, 0, 0, 0x8e, 0xd9, 0x8c, 0xda), P("mov to es and from it", 64, 0, 0, 0x8e, 0xc1, 0x48, 0x8c, 0xc2),
	P("mov to ds from memory", 64, 0, 0, 0x8e, 0x1b, 0x66, 0x8c, 0xda), P("mov from ds to memory", 64, 0, 0, 0x8e, 0xd9, 0x8c, 0x1b),
	P("mov from cs", 64, 0, 0, 0x8c, 0xca), P("mov from ss", 64, 0, 0, 0x48, 0x8c, 0xd2),
	P("mov to ss", 64, 0, 0, 0x8e, 0xd1, 0x8c, 0xd2, 0xb9, 0x2b, 0, 0, 0, 0x8e, 0xd1),
	P("arpl", 32, 0, 0, 0x63, 0xd1), P("arpl of memory", 32, 0, 0, 0x63, 0x13),
	P("lar in 32-bit code", 32, 0, 0, 0x0f, 0x02, 0xd1), P("lsl in 32-bit code", 32, 0, 0, 0x0f, 0x03, 0xd1),
	P("push and pop ds", 32, 0, 0, 0x51, 0x1f, 0x1e, 0x5a, 0x0f, 0xb7, 0xd2),	/* what is above 16 bits differs */
	P("push and pop es", 32, 0, 0, 0x66, 0x51, 0x66, 0x07, 0x66, 0x06, 0x66, 0x5a),
};

static void selectors_as_the_silicon(void)
{
	run_all(selectors, ARRAY_LEN(selectors), selector_in_rcx, states);
}

/* --- far transfers -------------------------------------------------------------------------------------- */

/* To where the program ends, mostly; with a selector in RCX that does not leave 64-bit code. */
static void target_in_rcx(u64 *gpr)
{
	u32 rights;

	gpr[X86_RCX] = USER_CS;
	if (!random_below(3))
		do
			gpr[X86_RCX] = random_selector();
		while (lar((u16)gpr[X86_RCX], &rights) && (rights & 0x1800) == 0x1800 && !(rights & 0x200000));
	gpr[X86_RDX] = (random_u64() & (ARITH | X86_FLAG_DF | BIT_U64(21) | X86_FLAG_IF | 0x3000)) | X86_FLAG_1 | X86_FLAG_RF;
}

static const struct program transfers[] = {
	P("retf 64", 64, 0, 0, 0x51, 0x50, 0x48, 0xcb), P("retf 64 n", 64, 0, 0, 0x51, 0x50, 0x48, 0xca, 0x18, 0),
	P("retf 32", 64, 0, 0, 0x48, 0x83, 0xec, 8, 0x89, 0x04, 0x24, 0x89, 0x4c, 0x24, 4, 0xcb),
	P("far jmp", 64, 0, 0, 0x89, 0x03, 0x89, 0x4b, 4, 0xff, 0x2b),
	P("far call", 64, 0, 0, 0x89, 0x03, 0x89, 0x4b, 4, 0xff, 0x1b),
	P("iretq", 64, 0, 0, 0x48, 0x89, 0xe6, 0x6a, 0x2b, 0x56, 0x52, 0x51, 0x50, 0x48, 0xcf),
	P("iretd", 64, 0, 0, 0x48, 0x89, 0xe6, 0x48, 0x83, 0xec, 20, 0x89, 0x04, 0x24, 0x89, 0x4c, 0x24, 4, 0x89, 0x54, 0x24, 8,
	  0x89, 0x74, 0x24, 12, 0xc7, 0x44, 0x24, 16, 0x2b, 0, 0, 0, 0xcf),
};

static void far_transfers_as_the_silicon(void)
{
	run_all(transfers, ARRAY_LEN(transfers), target_in_rcx, states);
}

/* --- registers of their own --------------------------------------------------------------------------------- */

static void small_values(u64 *gpr)
{
	gpr[X86_RCX] = random_below(8) ? 0 : gpr[X86_RCX];
	gpr[X86_RDX] = random_below(8) ? 0 : gpr[X86_RDX];
	gpr[X86_RAX] = (random_u64() << 2) & 0xfffffffc;	/* key 0 is our own */
}

static void xcr_zero(u64 *gpr)
{
	gpr[X86_RCX] = random_below(4) ? 0 : 1000;
}

static const struct program keys[] = {
	P("wrpkru and rdpkru", 64, 0, X86_CR4_PKE, 0x0f, 0x01, 0xef, 0x31, 0xc0, 0x0f, 0x01, 0xee),
};
static const struct program bases[] = {
	P("wrgsbase and rdgsbase", 64, 0, X86_CR4_FSGSBASE, 0xf3, 0x48, 0x0f, 0xae, 0xd9, 0xf3, 0x48, 0x0f, 0xae, 0xca),
	P("the same, 32", 64, 0, X86_CR4_FSGSBASE, 0xf3, 0x0f, 0xae, 0xd9, 0xf3, 0x0f, 0xae, 0xca),
	P("the base in an address", 64, 0, X86_CR4_FSGSBASE, 0xf3, 0x48, 0x0f, 0xae, 0xdb, 0x65, 0x48, 0x8b, 0x14, 0x25, 8, 0, 0, 0),
};
static const struct program xcr[] = { P("xgetbv", 64, 0, X86_CR4_OSXSAVE, 0x0f, 0x01, 0xd0) };

static void registers_of_their_own(void)
{
	run_all(keys, ARRAY_LEN(keys), small_values, states);
	run_all(bases, ARRAY_LEN(bases), NULL, states);
	run_all(xcr, ARRAY_LEN(xcr), xcr_zero, states);
}

/* --- 32-bit code ------------------------------------------------------------------------------------------------ */

static void bounds_around(u64 *gpr)
{
	gpr[X86_RDX] = (u32)random_value();
	gpr[X86_RDI] = (uintptr_t)buffer + MIDDLE + 64;
	memcpy(buffer + MIDDLE, &(u32){ (u32)random_value() }, 4);
	memcpy(buffer + MIDDLE + 4, &(u32){ (u32)random_value() }, 4);
}

static const struct program code32[] = {
	P("bound 32", 32, 0, 0, 0x62, 0x13), P("bound 16", 32, 0, 0, 0x66, 0x62, 0x13), P("into", 32, 0, 0, 0xce),
	P("pusha", 32, 0, 0, 0x60, 0x83, 0xc4, 0x20), P("pusha 16", 32, 0, 0, 0x66, 0x60, 0x83, 0xc4, 0x10),
	P("popa", 32, 0, 0, 0x60, 0xff, 0x04, 0x24, 0xff, 0x44, 0x24, 0x0c, 0x61),
	P("popa 16", 32, 0, 0, 0x66, 0x60, 0xff, 0x04, 0x24, 0xff, 0x44, 0x24, 0x06, 0x66, 0x61),
	P("enter and leave", 32, 0, 0, 0xc8, 0x10, 0, 0, 0xc9), P("enter of two levels", 32, 0, 0, 0x89, 0xdd, 0xc8, 0x10, 0, 2, 0xc9),
	P("call and ret", 32, 0, 0, 0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3), P("call of a register", 32, 0, 0, 0x50, 0x58, 0xe8, 0, 0, 0, 0, 0x59),
	P("push of an immediate", 32, 0, 0, 0x6a, 0x80, 0x5a, 0x66, 0x68, 0x34, 0x12, 0x66, 0x59),
	P("push and pop of memory", 32, 0, 0, 0xff, 0x33, 0x8f, 0x43, 0x20), P("pop to an address by ESP", 32, 0, 0, 0x51, 0x51, 0x8f, 0x04, 0x24, 0x5a),
	P("pushf and popf", 32, 0, 0, 0x9c, 0x5a, 0x52, 0x9d, 0x66, 0x9c, 0x66, 0x9d),
	P("jecxz", 32, 0, 0, 0xe3, 0x01, 0x40, 0x42), P("jcxz", 32, 0, 0, 0x67, 0xe3, 0x01, 0x40, 0x42),
	P("loop", 32, 0, 0, 0xe2, 0x01, 0x40, 0x42), P("loop by CX", 32, 0, 0, 0x67, 0xe2, 0x01, 0x40, 0x42),
	P("inc and dec", 32, 0, 0, 0x40, 0x49, 0x66, 0x42, 0x66, 0x4d), P("xlat", 32, 0, 0, 0x31, 0xc0, 0xb0, 0x77, 0xd7),
	P("movs and stos", 32, 0, 0, 0x89, 0xde, 0xa5, 0x66, 0xa5, 0xa4, 0xab, 0xaa), P("rep movs", 32, 0, 0, 0x89, 0xde, 0xb9, 5, 0, 0, 0, 0xf3, 0xa5),
	P("rep stos by CX", 32, 0, 0, 0xb9, 3, 0, 0x12, 0, 0xf3, 0xaa), P("repne scas", 32, 0, 0, 0xb9, 9, 0, 0, 0, 0xf2, 0xae),
	P("les", 32, 0, 0, 0xc7, 0x43, 4, 0x2b, 0, 0, 0, 0xc4, 0x13), P("lds", 32, 0, 0, 0x66, 0xc7, 0x43, 2, 0x2b, 0, 0x66, 0xc5, 0x13),
	P("moffs", 32, 0, 0, 0xa1, 0, 0, 0, 0), P("salc", 32, 0, 0, 0xd6), P("mov of a 16-bit address", 32, 0, 0, 0x67, 0x8b, 0x17),
	P("retf by the same selector", 32, 0, 0, 0x6a, 0x23, 0x50, 0xcb), P("iret", 32, 0, 0, 0x9c, 0x6a, 0x23, 0x50, 0xcf),
	P("far jmp of memory", 32, 0, 0, 0x89, 0x03, 0x66, 0xc7, 0x43, 4, 0x23, 0, 0xff, 0x2b),
};

static void thirty_two_bit_code_as_the_silicon(void)
{
	run_all(code32, ARRAY_LEN(code32), bounds_around, states);
}

/* LEA with every ModRM, of addresses of 16 and of 32 bits, into 16 and 32 bits. */
static void addresses_of_32_bit_code(void)
{
	for (unsigned modrm = 0; modrm < 0xc0; modrm++)
		for (unsigned prefixes = 0; prefixes < 4; prefixes++)
			for (unsigned s = 0; s < MAX_OF(states / 50, 2u); s++) {
				struct program p = { .name = "lea", .bits = 32 };
				struct x86_insn i;
				u8 bytes[16] = { 0 };
				unsigned n = 0;

				if (prefixes & 1)
					bytes[n++] = 0x67;
				if (prefixes & 2)
					bytes[n++] = 0x66;
				bytes[n++] = 0x8d;
				bytes[n++] = (u8)modrm;
				for (; n < 15; n++)
					bytes[n] = (u8)random_u64();
				if ((modrm >> 3 & 7) == X86_RSP)	/* would be the stub's stack */
					continue;
				EXPECT_EQ(x86_decode(&i, bytes, 15, 32), X86_DECODED);
				p.len = i.len;
				memcpy(p.bytes, bytes, i.len);
				program_run(&p, NULL);
			}
	EXPECT_EQ(shown, 0);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		states = (unsigned)strtoul(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0) | 1;
	if (!native_init()) {
		TEST_SKIP("what_user_mode_may_not_do", "no memory that is writable and executable");
		return 0;
	}
	stay_on_this_cpu();
	gdt_make();
	cpu_make();
	selectors_restore();
	TEST(what_user_mode_may_not_do);
	TEST(selectors_as_the_silicon);
	TEST(far_transfers_as_the_silicon);
	TEST(registers_of_their_own);
	TEST(thirty_two_bit_code_as_the_silicon);
	TEST(addresses_of_32_bit_code);
	return test_status();
}
