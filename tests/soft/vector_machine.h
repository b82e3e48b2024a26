/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vector_machine.h - one machine state, executed natively and in the vector unit
 *
 * struct machine is what an instruction can see: general registers, flags, and all vector
 * state as an XSAVE area.  native() runs bytes on it in this process; unit_run() runs a
 * decoded instruction through a processor whose memory is this process's.
 */
#ifndef TESTS_SOFT_VECTOR_MACHINE_H
#define TESTS_SOFT_VECTOR_MACHINE_H

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "soft/vector.h"
#include "tests/test.h"
#include "x86/exec.h"
#include "x86/feature.h"

#define AREA 4096
#define GENERAL __attribute__((target("general-regs-only")))
#define RFBM 0xe7u

/* --- the host ------------------------------------------------------------------------------ */

static u64 features[X86_FEATURE_WORDS];
static u64 xcr0;

static void find_features(void)
{
	xcr0 = soft_vector_xcr0();
	for (unsigned n = 1; n < X86_FEATURES; n++) {
		const struct x86_feature_bit *f = &x86_feature_cpuid[n];
		u32 r[4];

		__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			: "0"(f->leaf & 0x80000000u), "2"(0));
		if (f->leaf > r[0])
			continue;
		__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			: "0"(f->leaf), "2"(f->subleaf));
		if (r[f->reg] >> f->bit & 1)
			x86_feature_set(features, n);
	}
}

static u64 seed = 1;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

static u64 below(u64 n)
{
	return (rnd() >> 16) % n;
}

/* --- executing natively -------------------------------------------------------------------------- */

struct machine {
	u64 gpr[16];
	u64 flags;
	u8  area[AREA] __attribute__((aligned(64)));
};

struct machine *native_machine __attribute__((used));
u64 native_stack __attribute__((used)), native_rax __attribute__((used)), native_rdi __attribute__((used));
u8 *native_code __attribute__((used));
u32 native_rfbm __attribute__((used));
void native_run(void);

__asm__(".pushsection .text\n"
	".globl native_run\n"
	"native_run:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, native_stack(%rip)\n"
	"	mov native_machine(%rip), %rdi\n"
	"	mov native_rfbm(%rip), %eax\n"
	"	xor %edx, %edx\n"
	"	xrstor64 192(%rdi)\n"
	"	pushq 128(%rdi)\n"
	"	popfq\n"
	"	mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
	"	mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
	"	mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
	"	mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
	"	mov 56(%rdi), %rdi\n"
	"	call *native_code(%rip)\n"
	"	mov %rdi, native_rdi(%rip)\n"
	"	pushfq\n"
	"	mov native_machine(%rip), %rdi\n"
	"	popq 128(%rdi)\n"
	"	mov %rax, 0(%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)\n"
	"	mov %rbp, 40(%rdi); mov %rsi, 48(%rdi)\n"
	"	mov %r8, 64(%rdi); mov %r9, 72(%rdi); mov %r10, 80(%rdi); mov %r11, 88(%rdi)\n"
	"	mov %r12, 96(%rdi); mov %r13, 104(%rdi); mov %r14, 112(%rdi); mov %r15, 120(%rdi)\n"
	"	mov native_rdi(%rip), %rax\n"
	"	mov %rax, 56(%rdi)\n"
	"	mov native_rfbm(%rip), %eax\n"
	"	xor %edx, %edx\n"
	"	xsave64 192(%rdi)\n"
	"	pushq $2\n"
	"	popfq\n"
	"	mov native_stack(%rip), %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".popsection\n");

static void host_fpu_reset(void)
{
	u32 mxcsr = 0x1f80;

	__asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
	if (xcr0 & 4)
		__asm__ volatile("vzeroupper" : : : "memory");
}

static sigjmp_buf native_escape;

static void on_fault(int number)
{
	siglongjmp(native_escape, number);
}

/* 0, or the signal that it ended with. */
static int native(struct machine *m, const u8 *bytes, unsigned len)
{
	int number;

	BUILD_ASSERT(offsetof(struct machine, area) == 192);
	memcpy(native_code, bytes, len);
	native_code[len] = 0xc3;
	native_machine = m;
	native_rfbm = (u32)xcr0;
	number = sigsetjmp(native_escape, 1);
	if (!number)
		native_run();
	host_fpu_reset();
	return number;
}

/* --- executing in the unit ------------------------------------------------------------------------- */

static u8 *memory;		/* two pages, and one that is not there */
#define MEMORY_BYTES 8192ul
#define DIRECT_TLB 1u

static struct x86 cpu;
static struct soft_vector *unit;
static struct x86_tlb tlb;

GENERAL static bool is_mapped(u64 linear, unsigned bytes)
{
	return linear >= (u64)memory && linear + bytes <= (u64)memory + MEMORY_BYTES;
}

GENERAL static enum x86_result fault(struct x86 *x, u64 linear, bool write)
{
	x->fault = (struct x86_fault){ .vector = X86_PF, .has_error = true, .error = write ? 2 : 0,
				       .address = linear };
	return X86_FAULT;
}

GENERAL static enum x86_result bus_read(struct x86 *x, u64 linear, void *data, unsigned bytes, unsigned access)
{
	(void)access;
	if (!is_mapped(linear, bytes))
		return fault(x, linear, false);
	for (unsigned n = 0; n < bytes; n++)
		((volatile u8 *)data)[n] = ((volatile u8 *)linear)[n];
	return X86_OK;
}

GENERAL static enum x86_result bus_write(struct x86 *x, u64 linear, const void *data, unsigned bytes,
					 unsigned access)
{
	(void)access;
	if (!is_mapped(linear, bytes))
		return fault(x, linear, true);
	for (unsigned n = 0; n < bytes; n++)
		((volatile u8 *)linear)[n] = ((volatile u8 *)data)[n];
	return X86_OK;
}

GENERAL static enum x86_result bus_probe(struct x86 *x, u64 linear, unsigned bytes, unsigned access)
{
	return is_mapped(linear, bytes) ? X86_OK : fault(x, linear, access & X86_WRITE);
}

static const struct x86_bus bus = { .read = bus_read, .write = bus_write, .probe = bus_probe };

static void tlb_fill(bool direct)
{
	for (unsigned n = 0; n < X86_TLB_ENTRIES; n++)
		tlb.read[n].tag = tlb.write[n].tag = 1;
	if (!direct)
		return;
	for (u64 at = (u64)memory; at < (u64)memory + MEMORY_BYTES; at += PAGE_BYTES) {
		unsigned n = (at >> PAGE_BITS) % X86_TLB_ENTRIES;

		tlb.read[n] = (struct x86_tlb_entry){ at, 0 };
		tlb.write[n] = (struct x86_tlb_entry){ at, 0 };
	}
}

static void cpu_reset(unsigned code_bits)
{
	memset(&cpu, 0, sizeof(cpu));
	cpu.bus = &bus;
	cpu.tlb = &tlb;
	cpu.code_bits = (u8)code_bits;
	cpu.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE;
	cpu.cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	cpu.efer = X86_EFER_LMA | X86_EFER_LME;
	cpu.xcr0 = xcr0;
	cpu.flat = true;
	for (unsigned n = 0; n < X86_SEGMENTS; n++)
		cpu.seg[n] = (struct x86_seg){ .attr = 0xc93, .limit = ~0u };
	memcpy(cpu.features, features, sizeof(features));
}

GENERAL __attribute__((noinline)) static enum x86_result in_unit(const struct x86_insn *i, void *area)
{
	enum x86_result r;

	soft_vector_load(unit, area, cpu.xcr0);
	r = i->flags & X86_F_VECTOR ? soft_vector_execute(unit, &cpu, i) : soft_vector_system(unit, &cpu, i);
	soft_vector_save(unit, area, cpu.xcr0);
	return r;
}

static enum x86_result unit_run(struct machine *m, const struct x86_insn *i)
{
	enum x86_result r;

	memcpy(cpu.gpr, m->gpr, sizeof(cpu.gpr));
	cpu.rflags = m->flags | X86_FLAG_1;
	r = in_unit(i, m->area);
	host_fpu_reset();
	memcpy(m->gpr, cpu.gpr, sizeof(cpu.gpr));
	m->flags = cpu.rflags;
	return r;
}

/* --- random state ------------------------------------------------------------------------------------ */

/* Numbers with a chance to be interesting: small, special floats, or anything. */
static u64 any_number(void)
{
	static const u64 special[] = {
		0, 1, ~0ull, 0x8000000080000000, 0x3f8000003f800000, 0x3ff0000000000000, 0x7ff0000000000000,
		0x7f8000007f800000, 0x7fc000007fc00001, 0x7ff8000000000001, 0x7ff4000000000000,
		0x0000000100000001, 0x8000000000000000, 0x00007c003c003c00, 0x4330000000000000,
		0xc0490fdbc0490fdb, 0x400921fb54442d18, 0x7fffffff7fffffff,
	};

	switch (below(4)) {
	case 0:
		return special[below(ARRAY_LEN(special))];
	case 1:
		return below(256) * 0x0101010101010101ull;
	default:
		return rnd();
	}
}

static void random_machine(struct machine *m)
{
	u64 *area = (u64 *)m->area;

	memset(m->area, 0, AREA);
	for (unsigned n = 0; n < 16; n++)
		m->gpr[n] = any_number();
	m->flags = (rnd() & X86_FLAGS_ARITH) | X86_FLAG_1 | X86_FLAG_IF;
	for (unsigned n = 20; n < 52; n++)		/* XMM */
		area[n] = any_number();
	for (unsigned n = 0; n < 8; n++) {		/* ST: any number, of a valid kind mostly */
		area[4 + 2 * n] = any_number() | (below(8) ? 1ull << 63 : 0);
		area[5 + 2 * n] = below(4) ? 0x3fff + below(40) - 20 + (below(2) << 15) : rnd() & 0xffff;
	}
	for (unsigned n = 72; n < AREA / 8; n++)
		area[n] = any_number();
	*(u16 *)m->area = (u16)(0x7f | (rnd() & 0xf00));	/* FCW */
	if ((*(u16 *)m->area & 0x300) == 0x100)			/* a reserved precision */
		*(u16 *)m->area |= 0x300;
	*(u16 *)(m->area + 2) = (u16)(rnd() & 0x7f7f);		/* FSW: no summary, all is masked */
	if (*(u16 *)(m->area + 2) & 0x40 && below(2))
		*(u16 *)(m->area + 2) &= (u16)~0x40;
	m->area[4] = (u8)(below(3) ? 0xff : rnd());		/* FTW, abridged */
	*(u32 *)(m->area + 24) = 0x1f80 | (rnd() & 0xe07f);	/* MXCSR */
	if (below(2))
		*(u32 *)(m->area + 24) &= 0x7fbf;
	area[64] = xcr0 & (below(8) ? ~0ull : rnd());		/* XSTATE_BV */
	area[64] |= 3;
}

/* Components that are in their initial state become explicit; pointers are not compared. */
static void normalize(struct machine *m)
{
	u64 bv = *(u64 *)(m->area + 512);

	memset(m->area + 6, 0, 18);	/* FOP, FIP, FDP */
	*(u32 *)(m->area + 28) = 0;	/* MXCSR_MASK */
	if (!(bv & 1)) {
		memset(m->area, 0, 6);
		m->area[0] = 0x7f, m->area[1] = 3;
		memset(m->area + 32, 0, 128);
	}
	for (unsigned n = 0; n < 8; n++)
		memset(m->area + 32 + 16 * n + 10, 0, 6);
	if (!(bv & 2))
		memset(m->area + 160, 0, 256);
	for (unsigned n = 2; n < 8; n++) {
		u32 r[4];

		if (!(xcr0 >> n & 1))
			continue;
		__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(0xd), "2"(n));
		if (!(bv >> n & 1))
			memset(m->area + r[1], 0, r[0]);
	}
	memset(m->area + 416, 0, 96);
	memset(m->area + 512, 0, 64);
	memset(m->area + 2688, 0, AREA - 2688);
	m->flags &= X86_FLAGS_ARITH;
}

static struct soft_code code_memory(u64 bytes)
{
	int fd = memfd_create("code", 0);
	struct soft_code code = { .bytes = bytes };

	if (ftruncate(fd, (off_t)bytes) < 0)
		abort();
	code.write = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	code.run = mmap(NULL, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	return code;
}

/* Signals, memory, and the unit. */
static void machines_init(u64 code_bytes)
{
	struct soft_code code = code_memory(code_bytes);
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	int number[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS };

	for (unsigned n = 0; n < ARRAY_LEN(number); n++)
		sigaction(number[n], &action, NULL);
	find_features();
	native_code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory = mmap(NULL, MEMORY_BYTES + 4096, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (memory == MAP_FAILED)
		abort();
	munmap(memory + MEMORY_BYTES, 4096);
	mmap(memory + MEMORY_BYTES, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	unit = aligned_alloc(64, (soft_vector_bytes() + 63) & ~63ull);
	memset(unit, 0, soft_vector_bytes());
	soft_vector_init(unit, &code);
}

#endif
