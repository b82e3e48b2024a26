// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_exec_system.c - segments, strings, ports, control registers, and the order of checks
 */
#include <pthread.h>

#include "tests/x86/exec_machine.h"

/* -- segments ------------------------------------------------------------------------- */
static enum x86_result load_segment(unsigned seg, u16 selector)
{
	cpu.gpr[X86_RAX] = selector;
	return RUN(0x8e, (u8)(0xc0 | seg << 3));		/* MOV seg, AX */
}

static void segment_loads(void)
{
	machine_32(0);
	EXPECT_EQ(load_segment(X86_DS, SMALL), X86_OK);
	EXPECT_EQ(cpu.seg[X86_DS].base, DATA);
	EXPECT_EQ(cpu.seg[X86_DS].limit, 0xf);
	EXPECT(get64(GDT + SMALL) >> 40 & 1);
	EXPECT(!cpu.flat);
	EXPECT_EQ(load_segment(X86_DS, 0), X86_OK);
	EXPECT_EQ(cpu.seg[X86_DS].attr & X86_SEG_P, 0);
	EXPECT_FAULT(RUN(0xa0, 0, 0, 0, 0), X86_GP, 0);		/* a read through null */
	EXPECT_FAULT(load_segment(X86_SS, 0), X86_GP, 0);
	EXPECT_FAULT(load_segment(X86_SS, READ_ONLY), X86_GP, READ_ONLY);
	EXPECT_FAULT(load_segment(X86_SS, DATA3), X86_GP, DATA3 & ~3);
	EXPECT_FAULT(load_segment(X86_DS, ABSENT), X86_NP, ABSENT);
	EXPECT_FAULT(load_segment(X86_SS, ABSENT), X86_SS_FAULT, ABSENT);
	EXPECT_FAULT(load_segment(X86_DS, EXECUTE_ONLY), X86_GP, EXECUTE_ONLY);
	EXPECT_FAULT(load_segment(X86_DS, TSS_A), X86_GP, TSS_A);
	EXPECT_FAULT(load_segment(X86_DS, GDT_BYTES), X86_GP, GDT_BYTES);
	EXPECT_FAULT(load_segment(X86_DS, 0x0c), X86_GP, 0x0c);	/* no LDT */
	EXPECT_EQ(load_segment(X86_SS, DATA0), X86_OK);
	EXPECT_EQ(cpu.shadow, 2);
	EXPECT(cpu.attention & X86_ATTN_SHADOW);
	machine_32(3);
	EXPECT_FAULT(load_segment(X86_DS, DATA0), X86_GP, DATA0);
	machine_64(0);
	EXPECT_EQ(load_segment(X86_SS, 0), X86_OK);		/* null is fine below privilege 3 */
	machine_64(3);
	EXPECT_FAULT(load_segment(X86_SS, 3), X86_GP, 0);
	machine_32(0); /* POP and LDS leave all as it was on a fault */
	put32(cpu.gpr[X86_RSP], ABSENT);
	EXPECT_FAULT(RUN(0x1f), X86_NP, ABSENT);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 0x1000);
	put32(DATA, 0x12345678);
	put16(DATA + 4, ABSENT);
	cpu.gpr[X86_RBX] = DATA;
	EXPECT_FAULT(RUN(0xc5, 0x03), X86_NP, ABSENT);
	EXPECT_EQ(cpu.gpr[X86_RAX], 0);
	put16(DATA + 4, SMALL);
	EXPECT_EQ(RUN(0xc5, 0x03), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 0x12345678);
}

static void segment_limits(void)
{
	machine_32(0);
	put32(DATA + 12, 0xdeadbeef);
	EXPECT_EQ(load_segment(X86_DS, SMALL), X86_OK);
	EXPECT_EQ(RUN(0xa1, 12, 0, 0, 0), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 0xdeadbeef);
	EXPECT_FAULT(RUN(0xa1, 13, 0, 0, 0), X86_GP, 0);
	EXPECT_FAULT(RUN(0xa3, 13, 0, 0, 0), X86_GP, 0);
	EXPECT_EQ(load_segment(X86_DS, DOWN), X86_OK);
	EXPECT_FAULT(RUN(0xa1, 0, 0, 0, 0), X86_GP, 0);
	EXPECT_EQ(RUN(0xa1, 0, 0x10, 0, 0), X86_OK);
	EXPECT_EQ(load_segment(X86_DS, READ_ONLY), X86_OK);
	EXPECT_EQ(RUN(0xa1, 0, 0x10, 0, 0), X86_OK);
	EXPECT_FAULT(RUN(0xa3, 0, 0x10, 0, 0), X86_GP, 0);
	EXPECT_FAULT(RUN(0x2e, 0xa3, 0, 0x10, 0, 0), X86_GP, 0);	/* code is never written */
	EXPECT_EQ(load_segment(X86_SS, SMALL), X86_OK);
	cpu.gpr[X86_RSP] = 2;
	EXPECT_FAULT(RUN(0x50), X86_SS_FAULT, 0);
	cpu.gpr[X86_RBP] = 13;
	EXPECT_FAULT(RUN(0x8b, 0x45, 0x00), X86_SS_FAULT, 0);
	machine_real();						/* unreal mode: the limit stays */
	cpu.seg[X86_DS].limit = 0xffffffff;
	put32(0x54321, 7);
	EXPECT_EQ(RUN(0x67, 0x66, 0xa1, 0x21, 0x43, 0x05, 0x00), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 7);
	cpu.seg[X86_DS].limit = 0xffff;
	EXPECT_FAULT(RUN(0x67, 0x66, 0xa1, 0x21, 0x43, 0x05, 0x00), X86_GP, 0);
}

static void canonical_addresses(void)
{
	machine_64(0);
	cpu.gpr[X86_RBX] = 0x0000800000000000;
	EXPECT_FAULT(RUN(0x48, 0x8b, 0x03), X86_GP, 0);
	cpu.gpr[X86_RBP] = 0x0000800000000000;
	EXPECT_FAULT(RUN(0x48, 0x8b, 0x45, 0x00), X86_SS_FAULT, 0);
	cpu.gpr[X86_RBX] = 0x00007ffffffffffc;			/* the last byte is not */
	EXPECT_FAULT(RUN(0x48, 0x8b, 0x03), X86_GP, 0);
	cpu.gpr[X86_RSP] = 0x8000000000000004;
	EXPECT_FAULT(RUN(0x50), X86_SS_FAULT, 0);
	cpu.gpr[X86_RAX] = 0x8000000000000000;
	EXPECT_FAULT(RUN(0xff, 0xe0), X86_GP, 0);		/* JMP RAX */
	cpu.gpr[X86_RSP] = STACK0;
	EXPECT_FAULT(RUN(0xff, 0xd0), X86_GP, 0);		/* CALL RAX */
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0);
	EXPECT_EQ(get64(STACK0 - 8), 0);
	cpu.cr4 |= X86_CR4_LA57;
	EXPECT_FAULT(RUN(0xff, 0xe0), X86_GP, 0);
	cpu.gpr[X86_RAX] = 0x0000800000000000;
	EXPECT_EQ(RUN(0xff, 0xe0), X86_OK);
	cpu.seg[X86_GS].base = DATA;				/* FS and GS have bases */
	put32(DATA + 8, 77);
	EXPECT_EQ(RUN(0x65, 0x8b, 0x04, 0x25, 8, 0, 0, 0), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 77);
}

static void descriptor_queries(void)
{
	machine_32(3);
	cpu.gpr[X86_RBX] = CODE3;
	EXPECT_EQ(RUN(0x0f, 0x02, 0xc3), X86_OK);		/* LAR */
	EXPECT(cpu.rflags & X86_FLAG_ZF);
	EXPECT_EQ(cpu.gpr[X86_RAX], 0x00cffa00);
	EXPECT_EQ(RUN(0x0f, 0x03, 0xc3), X86_OK);		/* LSL */
	EXPECT_EQ(cpu.gpr[X86_RAX], 0xffffffff);
	cpu.gpr[X86_RBX] = DATA0;
	EXPECT_EQ(RUN(0x0f, 0x02, 0xc3), X86_OK);
	EXPECT(!(cpu.rflags & X86_FLAG_ZF));
	EXPECT_EQ(cpu.gpr[X86_RAX], 0xffffffff);
	cpu.gpr[X86_RBX] = 0x7777;
	EXPECT_EQ(RUN(0x0f, 0x03, 0xc3), X86_OK);
	EXPECT(!(cpu.rflags & X86_FLAG_ZF));
	cpu.gpr[X86_RBX] = DATA3;
	EXPECT_EQ(RUN(0x0f, 0x00, 0xeb), X86_OK);		/* VERW */
	EXPECT(cpu.rflags & X86_FLAG_ZF);
	cpu.gpr[X86_RBX] = CODE3;
	EXPECT_EQ(RUN(0x0f, 0x00, 0xeb), X86_OK);
	EXPECT(!(cpu.rflags & X86_FLAG_ZF));
	EXPECT_EQ(RUN(0x0f, 0x00, 0xe3), X86_OK);		/* VERR */
	EXPECT(cpu.rflags & X86_FLAG_ZF);
	cpu.gpr[X86_RAX] = 0x10, cpu.gpr[X86_RCX] = 3;
	EXPECT_EQ(RUN(0x63, 0xc8), X86_OK);			/* ARPL AX, CX */
	EXPECT_EQ(cpu.gpr[X86_RAX], 0x13);
	EXPECT(cpu.rflags & X86_FLAG_ZF);
	machine_real();
	EXPECT_FAULT(RUN(0x0f, 0x02, 0xc3), X86_UD, 0);
}

static void descriptor_table_registers(void)
{
	machine_64(0);
	put16(DATA, 0x123);
	put64(DATA + 2, 0xffff800012345678);
	cpu.gpr[X86_RBX] = DATA;
	EXPECT_EQ(RUN(0x0f, 0x01, 0x13), X86_OK);
	EXPECT_EQ(cpu.gdtr.base, 0xffff800012345678);
	EXPECT_EQ(cpu.gdtr.limit, 0x123);
	cpu.gpr[X86_RBX] = DATA + 0x100;
	EXPECT_EQ(RUN(0x0f, 0x01, 0x03), X86_OK);
	EXPECT_EQ(get64(DATA + 0x102), 0xffff800012345678);
	put64(DATA + 2, 0x8000000000000000);
	cpu.gpr[X86_RBX] = DATA;
	EXPECT_FAULT(RUN(0x0f, 0x01, 0x1b), X86_GP, 0);
	machine_64(3);
	cpu.gpr[X86_RBX] = DATA;
	EXPECT_FAULT(RUN(0x0f, 0x01, 0x13), X86_GP, 0);
	EXPECT_EQ(RUN(0x0f, 0x01, 0x03), X86_OK);		/* SGDT is anyone's ... */
	cpu.cr4 |= X86_CR4_UMIP;
	EXPECT_FAULT(RUN(0x0f, 0x01, 0x03), X86_GP, 0);		/* ... without UMIP */
	EXPECT_FAULT(RUN(0x0f, 0x00, 0xc8), X86_GP, 0);		/* STR */
	EXPECT_FAULT(RUN(0x0f, 0x01, 0xe0), X86_GP, 0);		/* SMSW */
	machine_64(0);
	put64(GDT + TSS_64, descriptor(0x5000, 0x67, 0x089));
	put64(GDT + TSS_64 + 8, 0xffff8000);
	cpu.gpr[X86_RAX] = TSS_64;
	EXPECT_EQ(RUN(0x0f, 0x00, 0xd8), X86_OK);		/* LTR */
	EXPECT_EQ(cpu.seg[X86_TR].base, 0xffff800000005000);
	EXPECT_FAULT(RUN(0x0f, 0x00, 0xd8), X86_GP, TSS_64);	/* busy now */
	EXPECT_FAULT(RUN(0x0f, 0x00, 0xd0), X86_GP, TSS_64);	/* not an LDT */
	cpu.kernel_gs_base = 5;
	cpu.seg[X86_GS].base = 6;
	EXPECT_EQ(RUN(0x0f, 0x01, 0xf8), X86_OK);
	EXPECT_EQ(cpu.kernel_gs_base, 6);
	EXPECT_EQ(cpu.seg[X86_GS].base, 5);
}

/* -- strings -------------------------------------------------------------------------- */
static void string_fault_at_an_element(void)
{
	machine_64(0);
	for (unsigned n = 0; n < 64; n++)
		memory[DATA + n] = (u8)n;
	cpu.gpr[X86_RSI] = DATA;
	cpu.gpr[X86_RDI] = DATA + 0x3000 - 7;
	cpu.gpr[X86_RCX] = 20;
	bad_page = DATA + 0x3000;
	EXPECT_FAULT(RUN(0xf3, 0xa4), X86_PF, X86_PF_W);
	EXPECT_EQ(cpu.fault.address, DATA + 0x3000);
	EXPECT_EQ(cpu.gpr[X86_RCX], 13);			/* seven were done */
	EXPECT_EQ(cpu.gpr[X86_RSI], DATA + 7);
	EXPECT_EQ(cpu.gpr[X86_RDI], DATA + 0x3000);
	EXPECT_EQ(memory[DATA + 0x3000 - 1], 6);
	bad_page = ~0ull;
	EXPECT_EQ(RUN(0xf3, 0xa4), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RCX], 0);
	EXPECT_EQ(memory[DATA + 0x3000 + 12], 19);
}

static void string_budget_is_kept(void)
{
	machine_64(0);
	cpu.string_budget = 10;
	cpu.gpr[X86_RDI] = DATA;
	cpu.gpr[X86_RAX] = 0x5a;
	cpu.gpr[X86_RCX] = 25;
	EXPECT_EQ(RUN(0xf3, 0xaa), X86_REPEAT);
	EXPECT_EQ(cpu.rip, CODE);
	EXPECT_EQ(cpu.gpr[X86_RCX], 15);
	EXPECT_EQ(RUN(0xf3, 0xaa), X86_REPEAT);
	EXPECT_EQ(RUN(0xf3, 0xaa), X86_OK);
	EXPECT_EQ(cpu.rip, CODE + 2);
	EXPECT_EQ(memory[DATA + 24], 0x5a);
	EXPECT_EQ(memory[DATA + 25], 0);
}

static void string_in_pages_of_the_tlb(void)
{
	static struct x86_tlb tlb;

	machine_64(0);
	tlb = x86_tlb_empty;
	for (u64 page = DATA; page < DATA + 0x4000; page += 0x1000)
		tlb.read[page / 4096 % X86_TLB_ENTRIES] = tlb.write[page / 4096 % X86_TLB_ENTRIES] =
			(struct x86_tlb_entry){ page, (u64)(uintptr_t)memory };
	cpu.tlb = &tlb;
	for (unsigned n = 0; n < 0x1800; n++)
		memory[DATA + n] = (u8)(n * 7);
	cpu.string_budget = 100000;
	cpu.gpr[X86_RSI] = DATA + 5;
	cpu.gpr[X86_RDI] = DATA + 0x2003;
	cpu.gpr[X86_RCX] = 0x300;
	EXPECT_EQ(RUN(0xf3, 0x48, 0xa5), X86_OK);
	EXPECT(!memcmp(memory + DATA + 5, memory + DATA + 0x2003, 0x1800));
	EXPECT_EQ(cpu.gpr[X86_RDI], DATA + 0x3803);
	cpu.gpr[X86_RSI] = DATA; /* overlapping forward: a pattern spreads */
	cpu.gpr[X86_RDI] = DATA + 1;
	cpu.gpr[X86_RCX] = 100;
	memory[DATA] = 0x77;
	EXPECT_EQ(RUN(0xf3, 0xa4), X86_OK);
	EXPECT_EQ(memory[DATA + 100], 0x77);
	EXPECT_EQ(writes_seen, 1); /* the one element that crosses a page */
}

static void string_addresses_wrap(void)
{
	machine_32(0); /* 16-bit addresses within 32-bit code */
	cpu.gpr[X86_RDI] = 0xabcdffff;
	cpu.gpr[X86_RCX] = 0x12340002;
	cpu.gpr[X86_RAX] = 0x99;
	EXPECT_EQ(RUN(0x67, 0xf3, 0xaa), X86_OK);
	EXPECT_EQ(memory[0xffff], 0x99);
	EXPECT_EQ(memory[0], 0x99);
	EXPECT_EQ(cpu.gpr[X86_RDI], 0xabcd0001);
	EXPECT_EQ(cpu.gpr[X86_RCX], 0x12340000);
	cpu.gpr[X86_RDI] = 0x41000;				/* a compare that ends early */
	cpu.gpr[X86_RSI] = 0x42000;
	cpu.gpr[X86_RCX] = 9;
	memory[0x41003] = 1;
	EXPECT_EQ(RUN(0xf3, 0xa6), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RCX], 5);
	EXPECT(cpu.rflags & X86_FLAG_CF);
}

static void string_ports(void)
{
	machine_64(0);
	cpu.gpr[X86_RDI] = DATA;
	cpu.gpr[X86_RDX] = 0x1f0;
	cpu.gpr[X86_RCX] = 4;
	EXPECT_EQ(RUN(0xf3, 0x66, 0x6d), X86_OK);
	EXPECT_EQ(get16(DATA + 6), 0x1f3);
	bad_page = DATA + 0x1000; /* nothing is read from the port that cannot be stored */
	cpu.gpr[X86_RDI] = DATA + 0x1000;
	cpu.gpr[X86_RCX] = 1;
	EXPECT_FAULT(RUN(0xf3, 0x6c), X86_PF, X86_PF_W);
	EXPECT_EQ(in_count, 4);
	cpu.hooked = BIT_U64(X86_HOOK_IO);
	hook_answer = X86_EXIT;
	EXPECT_EQ(RUN(0xf3, 0x6c), X86_EXIT);
	EXPECT_EQ(hook_info, 0x1f0 | X86_IO_IN | X86_IO_STRING | X86_IO_REP |
				     1 << X86_IO_SIZE_SHIFT | 8 << X86_IO_AD_SHIFT);
	EXPECT_EQ(cpu.gpr[X86_RCX], 1);
}

/* -- ports ---------------------------------------------------------------------------- */
static void port_permissions(void)
{
	machine_32(3);
	put16(TSS + 102, 0x100);
	memset(memory + TSS + 0x100, 0xff, 0x100);
	memory[TSS + 0x100 + 0x60 / 8] = 0xfe;			/* port 60h only */
	EXPECT_EQ(RUN(0xe4, 0x60), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 0x60);
	EXPECT_FAULT(RUN(0xe4, 0x61), X86_GP, 0);
	EXPECT_FAULT(RUN(0xe5, 0x60), X86_GP, 0);		/* four ports */
	cpu.gpr[X86_RDX] = 0xffff;				/* beyond the TSS */
	EXPECT_FAULT(RUN(0xec), X86_GP, 0);
	cpu.hooked = BIT_U64(X86_HOOK_IO); /* permission comes before the intercept */
	EXPECT_FAULT(RUN(0xec), X86_GP, 0);
	EXPECT_EQ(hooks_seen, 0);
	cpu.rflags |= X86_FLAG_IOPL;
	EXPECT_EQ(RUN(0xec), X86_OK);
	EXPECT_EQ(hooks_seen, 1);
	EXPECT_EQ(RUN(0xe7, 0x80), X86_OK);
	EXPECT_EQ(out_last >> 32, 0x80 << 8 | 4);
}

/* -- flags ---------------------------------------------------------------------------- */
static void flags_by_privilege(void)
{
	machine_32(3);
	EXPECT_FAULT(RUN(0xfa), X86_GP, 0);
	cpu.rflags |= X86_FLAG_IF;
	put32(STACK3, 0x3000);
	EXPECT_EQ(RUN(0x9d), X86_OK);				/* POPF: neither IF nor IOPL */
	EXPECT_EQ(cpu.rflags & (X86_FLAG_IOPL | X86_FLAG_IF), X86_FLAG_IF);
	machine_32(0);
	put32(cpu.gpr[X86_RSP], 0x3200 | (u32)X86_FLAG_TF);
	cpu.attention = 0;
	EXPECT_EQ(RUN(0x9d), X86_OK);
	EXPECT_EQ(cpu.rflags & (X86_FLAG_IOPL | X86_FLAG_IF), X86_FLAG_IOPL | X86_FLAG_IF);
	EXPECT(cpu.attention & X86_ATTN_STEP);
	EXPECT(cpu.attention & X86_ATTN_FLAGS);
	machine_32(0);
	cpu.attention = 0;
	EXPECT_EQ(RUN(0xfb), X86_OK);				/* STI: a shadow, once */
	EXPECT_EQ(cpu.shadow, 1);
	EXPECT(cpu.attention & X86_ATTN_SHADOW);
	cpu.shadow = 0;
	EXPECT_EQ(RUN(0xfb), X86_OK);
	EXPECT_EQ(cpu.shadow, 0);
	cpu.cr4 |= X86_CR4_SMAP;
	mode_changes = 0;
	EXPECT_EQ(RUN(0x0f, 0x01, 0xcb), X86_OK);		/* STAC */
	EXPECT(cpu.rflags & X86_FLAG_AC);
	EXPECT_EQ(mode_changes, 1);
	machine_32(3);
	EXPECT_FAULT(RUN(0x0f, 0x01, 0xcb), X86_UD, 0);
}

/* -- control registers ---------------------------------------------------------------- */
static enum x86_result write_cr(unsigned n, u64 v)
{
	cpu.gpr[X86_RAX] = v;
	return RUN(0x0f, 0x22, (u8)(0xc0 | n << 3));
}

static void control_registers(void)
{
	machine_32(0);
	EXPECT_FAULT(write_cr(0, X86_CR0_PG), X86_GP, 0);
	EXPECT_FAULT(write_cr(0, X86_CR0_PE | X86_CR0_NW), X86_GP, 0);
	cpu.efer = X86_EFER_LME;
	EXPECT_FAULT(write_cr(0, X86_CR0_PE | X86_CR0_PG), X86_GP, 0);	/* no PAE */
	EXPECT_EQ(write_cr(4, X86_CR4_PAE), X86_OK);
	flushes = 0;
	EXPECT_EQ(write_cr(0, X86_CR0_PE | X86_CR0_PG), X86_OK);
	EXPECT(cpu.efer & X86_EFER_LMA);
	EXPECT_EQ(flushes, 1);
	EXPECT_EQ(cpu.code_bits, 32);				/* compatibility mode */
	EXPECT_FAULT(write_cr(4, 0), X86_GP, 0);
	EXPECT_EQ(RUN(0xea, 0, 0x70, 0, 0, CODE0_64, 0), X86_OK);
	EXPECT_EQ(cpu.code_bits, 64);
	EXPECT_FAULT(write_cr(0, X86_CR0_PE), X86_GP, 0);	/* not from 64-bit code */
	EXPECT_FAULT(write_cr(0, BIT_U64(32) | cpu.cr0), X86_GP, 0);
	EXPECT_FAULT(write_cr(3, BIT_U64(41)), X86_GP, 0);
	EXPECT_EQ(write_cr(3, 0x5000), X86_OK);
	EXPECT_EQ(cpu.cr3, 0x5000);
	cpu.cr4_valid = X86_CR4_PAE | X86_CR4_PGE;
	EXPECT_FAULT(write_cr(4, X86_CR4_PAE | X86_CR4_SMEP), X86_GP, 0);
	EXPECT_EQ(RUN(0x44, 0x0f, 0x20, 0xc0), X86_OK);		/* CR8 */
	EXPECT_EQ(cpu.gpr[X86_RAX], 5);
	cpu.gpr[X86_RAX] = 16;
	EXPECT_FAULT(RUN(0x44, 0x0f, 0x22, 0xc0), X86_GP, 0);
	EXPECT_EQ(x86_write_efer(&cpu, 0), X86_FAULT);		/* LME with paging */
	EXPECT_EQ(x86_write_efer(&cpu, X86_EFER_LME | X86_EFER_NXE | BIT_U64(40)), X86_FAULT);
	machine_64(3);
	EXPECT_FAULT(write_cr(0, 0), X86_GP, 0);
	EXPECT_FAULT(RUN(0x0f, 0x06), X86_GP, 0);
	machine_64(0);
	cpu.cr0 |= X86_CR0_TS;
	EXPECT_EQ(RUN(0x0f, 0x06), X86_OK);
	EXPECT(!(cpu.cr0 & X86_CR0_TS));
	cpu.gpr[X86_RAX] = 0xe; /* LMSW sets but does not clear PE */
	EXPECT_EQ(RUN(0x0f, 0x01, 0xf0), X86_OK);
	EXPECT_EQ(cpu.cr0 & 0xf, 0xf);
	EXPECT(x86_state_is_valid(&cpu));
	cpu.cr0 &= ~X86_CR0_PE;
	EXPECT(!x86_state_is_valid(&cpu));
}

static void extended_control_registers(void)
{
	machine_64(0);
	EXPECT_FAULT(RUN(0x0f, 0x01, 0xd1), X86_UD, 0);
	cpu.cr4 |= X86_CR4_OSXSAVE;
	cpu.gpr[X86_RAX] = 7;
	EXPECT_EQ(RUN(0x0f, 0x01, 0xd1), X86_OK);
	EXPECT_EQ(cpu.xcr0, 7);
	cpu.gpr[X86_RAX] = 5;
	EXPECT_FAULT(RUN(0x0f, 0x01, 0xd1), X86_GP, 0);		/* AVX without SSE */
	cpu.gpr[X86_RAX] = 0x27;
	EXPECT_FAULT(RUN(0x0f, 0x01, 0xd1), X86_GP, 0);		/* a third of AVX-512 */
	cpu.gpr[X86_RCX] = 1;
	EXPECT_FAULT(RUN(0x0f, 0x01, 0xd1), X86_GP, 0);
	cpu.gpr[X86_RCX] = 0;
	EXPECT_EQ(RUN(0x0f, 0x01, 0xd0), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 7);
}

static void debug_registers(void)
{
	machine_64(0);
	cpu.gpr[X86_RAX] = 0x12345;
	EXPECT_EQ(RUN(0x0f, 0x23, 0xc0), X86_OK);
	EXPECT_EQ(cpu.dr[0], 0x12345);
	cpu.gpr[X86_RAX] = 0x1;					/* execute, DR0 */
	EXPECT_EQ(RUN(0x0f, 0x23, 0xf8), X86_OK);
	EXPECT_EQ(cpu.dr7, 0x401);
	EXPECT(cpu.attention & X86_ATTN_STEP);
	cpu.rip = 0x12345;
	EXPECT_EQ(x86_breakpoint_execute(&cpu), 1);
	cpu.rflags |= X86_FLAG_RF;
	EXPECT_EQ(x86_breakpoint_execute(&cpu), 0);
	cpu.dr7 = 0x400 | 0xd0001;				/* write, 4 bytes */
	EXPECT_EQ(x86_breakpoint_data(&cpu, 0x12347, 1, true), 1);
	EXPECT_EQ(x86_breakpoint_data(&cpu, 0x12347, 1, false), 0);
	EXPECT_EQ(x86_breakpoint_data(&cpu, 0x12348, 1, true), 0);
	EXPECT_EQ(x86_breakpoint_data(&cpu, 0x12340, 8, true), 1);
	cpu.gpr[X86_RAX] = BIT_U64(32);
	EXPECT_FAULT(RUN(0x0f, 0x23, 0xf8), X86_GP, 0);
	cpu.dr7 |= BIT_U64(13);					/* general detect */
	EXPECT_FAULT(RUN(0x0f, 0x21, 0xc0), X86_DB, 0);
	EXPECT_EQ(cpu.fault.address, BIT_U64(13));
	cpu.dr7 = 0;
	cpu.cr4 |= X86_CR4_DE;
	EXPECT_FAULT(RUN(0x0f, 0x21, 0xe0), X86_UD, 0);		/* DR4 */
}

/* -- the rest ------------------------------------------------------------------------- */
static void order_of_checks(void)
{
	machine_64(3);
	cpu.hooked = ~0ull;
	hook_answer = X86_EXIT;
	EXPECT_FAULT(RUN(0x0f, 0x32), X86_GP, 0);		/* privilege before the intercept */
	EXPECT_FAULT(RUN(0xf4), X86_GP, 0);
	EXPECT_FAULT(RUN(0x0f, 0x01, 0xd8), X86_UD, 0);		/* VMRUN without SVME */
	EXPECT_EQ(hooks_seen, 0);
	EXPECT_EQ(RUN(0x0f, 0xa2), X86_EXIT);			/* CPUID is anyone's */
	EXPECT_EQ(hook_what, X86_HOOK_CPUID);
	machine_64(0);
	cpu.hooked = ~0ull;
	hook_answer = X86_EXIT;
	cpu.gpr[X86_RBX] = 1ull << 63;
	EXPECT_EQ(RUN(0x0f, 0x01, 0x13), X86_EXIT); /* the intercept before the operand */
	EXPECT_EQ(hook_what, X86_HOOK_GDTR_WRITE);
	EXPECT_EQ(RUN(0x0f, 0x01, 0x3b), X86_EXIT);
	EXPECT_EQ(hook_what, X86_HOOK_INVLPG);
	EXPECT_EQ(hook_info, 1ull << 63);
	EXPECT_EQ(RUN(0xcd, 0x80), X86_EXIT);
	EXPECT_EQ(hook_what, X86_HOOK_INTN);
	EXPECT_EQ(hook_info, 0x80);
	hook_answer = X86_OK;
	EXPECT_EQ(RUN(0xf4), X86_HALT);
	EXPECT_EQ(cpu.rip, CODE + 1);
	cpu.gpr[X86_RCX] = 0x10;
	EXPECT_EQ(RUN(0x0f, 0x32), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 0x55667788);
	EXPECT_EQ(cpu.gpr[X86_RDX], 0x11223344);
	cpu.gpr[X86_RCX] = 0x11;
	EXPECT_FAULT(RUN(0x0f, 0x32), X86_GP, 0);
	EXPECT_EQ(RUN(0x0f, 0x31), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RDX], 0xabcdef01);
	cpu.cr4 |= X86_CR4_TSD;
	EXPECT_EQ(RUN(0x0f, 0x31), X86_OK);
	cpu.cpl = 3;
	EXPECT_FAULT(RUN(0x0f, 0x31), X86_GP, 0);
}

static void vector_checks(void)
{
	machine_64(3);
	cpu.cr0 |= X86_CR0_TS;
	EXPECT_FAULT(RUN(0x0f, 0x58, 0xc1), X86_UD, 0);		/* ADDPS: OSFXSR first */
	cpu.cr4 |= X86_CR4_OSFXSR;
	EXPECT_FAULT(RUN(0x0f, 0x58, 0xc1), X86_NM, 0);
	EXPECT_FAULT(RUN(0xd9, 0xe8), X86_NM, 0);		/* FLD1 */
	EXPECT_EQ(RUN(0x9b), X86_UNIMPLEMENTED);		/* FWAIT: MP is clear */
	cpu.cr0 |= X86_CR0_MP;
	EXPECT_FAULT(RUN(0x9b), X86_NM, 0);
	cpu.cr0 &= ~X86_CR0_TS;
	EXPECT_EQ(RUN(0x0f, 0x58, 0xc1), X86_UNIMPLEMENTED);
	cpu.cr0 |= X86_CR0_EM;
	EXPECT_FAULT(RUN(0x0f, 0x58, 0xc1), X86_UD, 0);
	EXPECT_FAULT(RUN(0xd9, 0xe8), X86_NM, 0);
	EXPECT_FAULT(RUN(0x0f, 0xfc, 0xc1), X86_UD, 0);		/* PADDB mm */
	cpu.cr0 &= ~X86_CR0_EM;
	EXPECT_FAULT(RUN(0xc5, 0xf0, 0x58, 0xc1), X86_UD, 0);	/* VADDPS */
	cpu.cr4 |= X86_CR4_OSXSAVE;
	cpu.xcr0 = 7;
	EXPECT_EQ(RUN(0xc5, 0xf0, 0x58, 0xc1), X86_UNIMPLEMENTED);
	EXPECT_FAULT(RUN(0x62, 0xf1, 0x74, 0x48, 0x58, 0xc1), X86_UD, 0);
	EXPECT_FAULT(RUN(0xc5, 0xf8, 0x90, 0xc1), X86_UD, 0);	/* KMOVW is AVX-512's */
	cpu.xcr0 = 0xe7;
	EXPECT_EQ(RUN(0x62, 0xf1, 0x74, 0x48, 0x58, 0xc1), X86_UNIMPLEMENTED);
}

static void features_and_lock(void)
{
	machine_64(3);
	cpu.gpr[X86_RBX] = DATA;
	EXPECT_EQ(RUN(0xf0, 0x48, 0xff, 0x03), X86_OK);
	EXPECT_EQ(get64(DATA), 1);
	EXPECT_EQ(unlocks, 0);					/* done on the host's memory */
	EXPECT_FAULT(RUN(0xf0, 0x48, 0xff, 0xc3), X86_UD, 0);	/* LOCK with a register */
	EXPECT_FAULT(RUN(0xf0, 0x48, 0x8b, 0x03), X86_UD, 0);	/* LOCK MOV */
	cpu.gpr[X86_RBX] = DATA + 8;
	EXPECT_FAULT(RUN(0xf0, 0x48, 0x0f, 0xc7, 0x0b), X86_GP, 0);	/* CMPXCHG16B unaligned */
	cpu.gpr[X86_RBX] = 8;
	EXPECT_EQ(RUN(0xf3, 0x48, 0x0f, 0xbd, 0xc3), X86_OK);	/* LZCNT */
	EXPECT_EQ(cpu.gpr[X86_RAX], 60);
	cpu.features[X86_FEATURE_LZCNT / 64] &= ~BIT_U64(X86_FEATURE_LZCNT % 64);
	EXPECT_EQ(RUN(0xf3, 0x48, 0x0f, 0xbd, 0xc3), X86_OK);	/* BSR without it */
	EXPECT_EQ(cpu.gpr[X86_RAX], 3);
	EXPECT_EQ(RUN(0xf3, 0x48, 0x0f, 0xb8, 0xc3), X86_OK);
	cpu.features[X86_FEATURE_POPCNT / 64] &= ~BIT_U64(X86_FEATURE_POPCNT % 64);
	EXPECT_FAULT(RUN(0xf3, 0x48, 0x0f, 0xb8, 0xc3), X86_UD, 0);
	EXPECT_FAULT(RUN(0x0f, 0x0b), X86_UD, 0);
	cpu.cr0 |= X86_CR0_AM;					/* alignment check */
	cpu.rflags |= X86_FLAG_AC;
	cpu.gpr[X86_RBX] = DATA + 1;
	EXPECT_FAULT(RUN(0x48, 0x8b, 0x03), X86_AC, 0);
	EXPECT_EQ(RUN(0x8a, 0x03), X86_OK);
}

/* -- several processors --------------------------------------------------------------- */
#define ROUNDS	200000u

static const struct x86 *template;

/* LOCK INC, LOCK XADD and a LOCK CMPXCHG loop on one word, a processor a thread. */
static void *increment(void *arg)
{
	static const u8 code[][6] = { { 0xf0, 0x48, 0xff, 0x03 }, { 0xf0, 0x48, 0x0f, 0xc1, 0x0b },
				      { 0xf0, 0x48, 0x0f, 0xb1, 0x13 } };
	struct x86 x = *template;
	struct x86_insn i[3];
	unsigned bad = 0;

	for (unsigned n = 0; n < 3; n++) {
		u8 padded[16] = { 0 };

		memcpy(padded, code[n], 6);
		bad += x86_decode(&i[n], padded, 15, 64) != X86_DECODED;
		i[n].exec = x86_bind(&x, &i[n]);
	}
	for (unsigned n = 0; n < ROUNDS; n++) {
		x.gpr[X86_RBX] = DATA;
		bad += x86_execute(&x, &i[0]) != X86_OK;
		x.gpr[X86_RCX] = 1;
		bad += x86_execute(&x, &i[1]) != X86_OK;
		do {
			x.gpr[X86_RAX] = x86_memory_get(memory + DATA, 8);
			x.gpr[X86_RDX] = x.gpr[X86_RAX] + 1;
			bad += x86_execute(&x, &i[2]) != X86_OK;
		} while (!(x.rflags & X86_FLAG_ZF));
	}
	*(unsigned *)arg = bad;
	return NULL;
}

static void locked_instructions_are_atomic(void)
{
	static struct x86_tlb tlb;
	unsigned bad[2] = { 1, 1 };
	pthread_t thread[2];

	machine_64(3);
	tlb = x86_tlb_empty;
	tlb.read[DATA / 4096 % X86_TLB_ENTRIES] = tlb.write[DATA / 4096 % X86_TLB_ENTRIES] =
		(struct x86_tlb_entry){ DATA, (u64)(uintptr_t)memory };
	cpu.tlb = &tlb;
	template = &cpu;
	for (unsigned n = 0; n < 2; n++)
		EXPECT_EQ(pthread_create(&thread[n], NULL, increment, &bad[n]), 0);
	for (unsigned n = 0; n < 2; n++)
		pthread_join(thread[n], NULL);
	EXPECT_EQ(bad[0] + bad[1], 0);
	EXPECT_EQ(get64(DATA), 6ull * ROUNDS);
}

static void decimal(void)
{
	machine_32(0);
	cpu.gpr[X86_RAX] = 0x1279;				/* 79 + 35 = 114 */
	EXPECT_EQ(RUN(0x04, 0x35), X86_OK);
	EXPECT_EQ(RUN(0x27), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 0x1214);
	EXPECT(cpu.rflags & X86_FLAG_CF);
	cpu.gpr[X86_RAX] = 0x35;				/* 35 - 47 = 88, borrow */
	EXPECT_EQ(RUN(0x2c, 0x47), X86_OK);
	EXPECT_EQ(RUN(0x2f), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 0x88);
	EXPECT(cpu.rflags & X86_FLAG_CF);
	cpu.gpr[X86_RAX] = 0x0008;				/* 8 + 6 = 14 */
	EXPECT_EQ(RUN(0x04, 0x06), X86_OK);
	EXPECT_EQ(RUN(0x37), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 0x0104);
	cpu.gpr[X86_RAX] = 0x0203;				/* 3 - 6: borrow from AH */
	EXPECT_EQ(RUN(0x2c, 0x06), X86_OK);
	EXPECT_EQ(RUN(0x3f), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 0x0107);
	cpu.gpr[X86_RAX] = 63;
	EXPECT_EQ(RUN(0xd4, 0x0a), X86_OK);			/* AAM */
	EXPECT_EQ(cpu.gpr[X86_RAX], 0x0603);
	EXPECT_EQ(RUN(0xd5, 0x0a), X86_OK);			/* AAD */
	EXPECT_EQ(cpu.gpr[X86_RAX], 63);
	EXPECT_FAULT(RUN(0xd4, 0x00), X86_DE, 0);
	cpu.rflags |= X86_FLAG_CF;
	EXPECT_EQ(RUN(0xd6), X86_OK);				/* SALC */
	EXPECT_EQ(cpu.gpr[X86_RAX], 0xff);
}

static void stack_frames(void)
{
	machine_32(0);
	cpu.gpr[X86_RAX] = 1, cpu.gpr[X86_RBX] = 4, cpu.gpr[X86_RDI] = 8, cpu.gpr[X86_RBP] = DATA;
	EXPECT_EQ(RUN(0x60), X86_OK);				/* PUSHA */
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 0x1000 - 32);
	EXPECT_EQ(get32(STACK0 - 0x1000 - 20), STACK0 - 0x1000);
	cpu.gpr[X86_RAX] = cpu.gpr[X86_RDI] = 0;
	EXPECT_EQ(RUN(0x61), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RAX], 1);
	EXPECT_EQ(cpu.gpr[X86_RDI], 8);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 0x1000);
	EXPECT_EQ(RUN(0xc8, 0x10, 0x00, 0x00), X86_OK);		/* ENTER 16, 0 */
	EXPECT_EQ(cpu.gpr[X86_RBP], STACK0 - 0x1004);
	EXPECT_EQ(cpu.gpr[X86_RSP], STACK0 - 0x1014);
	EXPECT_EQ(RUN(0xc9), X86_OK);
	EXPECT_EQ(cpu.gpr[X86_RBP], DATA);
	bad_page = STACK0 - 0x2000;				/* the frame's end must be there */
	EXPECT_FAULT(RUN(0xc8, 0x00, 0x10, 0x00), X86_PF, X86_PF_W);
	EXPECT_EQ(cpu.gpr[X86_RBP], DATA);
	bad_page = ~0ull;
	put32(DATA, 10), put32(DATA + 4, 20);			/* BOUND */
	cpu.gpr[X86_RAX] = 20;
	cpu.gpr[X86_RBX] = DATA;
	EXPECT_EQ(RUN(0x62, 0x03), X86_OK);
	cpu.gpr[X86_RAX] = 21;
	EXPECT_FAULT(RUN(0x62, 0x03), X86_BR, 0);
	EXPECT_EQ(RUN(0x8f, 0x03), X86_OK);			/* POP to memory */
	bad_page = DATA;
	u64 sp = cpu.gpr[X86_RSP];
	EXPECT_FAULT(RUN(0x8f, 0x03), X86_PF, X86_PF_W);
	EXPECT_EQ(cpu.gpr[X86_RSP], sp);
}

int main(void)
{
	TEST(segment_loads);
	TEST(segment_limits);
	TEST(canonical_addresses);
	TEST(descriptor_queries);
	TEST(descriptor_table_registers);
	TEST(string_fault_at_an_element);
	TEST(string_budget_is_kept);
	TEST(string_in_pages_of_the_tlb);
	TEST(string_addresses_wrap);
	TEST(string_ports);
	TEST(port_permissions);
	TEST(flags_by_privilege);
	TEST(control_registers);
	TEST(extended_control_registers);
	TEST(debug_registers);
	TEST(order_of_checks);
	TEST(vector_checks);
	TEST(features_and_lock);
	TEST(locked_instructions_are_atomic);
	TEST(decimal);
	TEST(stack_frames);
	return test_status();
}
