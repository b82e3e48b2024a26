// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_memory.c - nested page faults, TLBs, and code that changes
 */
#include "tests/soft/guest.h"

#define CONTROL (g.vmcb->control)
#define SAVE	(g.vmcb->save)

static struct guest g;

CODE64(code_store, "movl $0x11223344, (%rbx); hlt")
CODE64(code_load, "mov (%rbx), %rax; hlt")
CODE64(code_jump, "jmp *%rbx")
CODE64(code_add, "addl $1, (%rbx); hlt")

static void test_nested_faults(void)
{
	guest_long(&g, code_store, code_store_end);
	g.gpr[X86_RBX] = 0x40008;
	g.npt[0x40] = 0;
	EXPECT_EQ(guest_run(&g), VMEXIT_NPF);
	EXPECT_EQ(CONTROL.exitinfo1, VMCB_NPF_FINAL | X86_PF_U | X86_PF_W);
	EXPECT_EQ(CONTROL.exitinfo2, 0x40008);
	EXPECT_EQ(CONTROL.fetched, 6);
	EXPECT(memcmp(CONTROL.instruction, code_store, 6) == 0);
	EXPECT_EQ(SAVE.rip, GUEST_CODE);
	g.npt[0x40] = (u64)(g.memory + 0x40000) | 5;	/* read-only */
	EXPECT_EQ(guest_run(&g), VMEXIT_NPF);
	EXPECT_EQ(CONTROL.exitinfo1, VMCB_NPF_FINAL | X86_PF_U | X86_PF_W | X86_PF_P);
	g.npt[0x40] = (u64)(g.memory + 0x40000) | 7;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(memcmp(g.memory + 0x40008, "\x44\x33\x22\x11", 4) == 0);
	EXPECT_EQ(g.npt[0x40] & 0x60, 0x60);

	guest_long(&g, code_load, code_load_end);	/* across two pages: the second is missing */
	g.gpr[X86_RBX] = 0x40ffc;
	g.npt[0x41] = 0;
	EXPECT_EQ(guest_run(&g), VMEXIT_NPF);
	EXPECT_EQ(CONTROL.exitinfo1, VMCB_NPF_FINAL | X86_PF_U);
	EXPECT_EQ(CONTROL.exitinfo2, 0x41000);

	guest_long(&g, code_load, code_load_end);	/* a reserved bit, of the large page at 2 MiB */
	g.gpr[X86_RBX] = 0x40ff0;
	g.npt[1024 + 512] = BIT_U64(13) | 0x87;
	EXPECT_EQ(guest_run(&g), VMEXIT_NPF);
	EXPECT_EQ(CONTROL.exitinfo1 & ~(VMCB_NPF_TABLE | X86_PF_W), X86_PF_U | X86_PF_P | X86_PF_RSVD);

	guest_long(&g, code_jump, code_jump_end);	/* fetch */
	g.gpr[X86_RBX] = 0x40000;
	g.npt[0x40] |= BIT_U64(63);
	EXPECT_EQ(guest_run(&g), VMEXIT_NPF);
	EXPECT_EQ(CONTROL.exitinfo1, VMCB_NPF_FINAL | X86_PF_U | X86_PF_P | X86_PF_I);
	EXPECT_EQ(CONTROL.exitinfo2, 0x40000);
	EXPECT_EQ(CONTROL.fetched, 0);
	EXPECT_EQ(SAVE.rip, 0x40000);

	guest_long(&g, code_load, code_load_end);	/* the guest's own table is missing */
	g.gpr[X86_RBX] = 0x50000;
	g.npt[(GUEST_TABLES + 0x3000) >> 12] = 0;
	EXPECT_EQ(guest_run(&g), VMEXIT_NPF);
	EXPECT_EQ(CONTROL.exitinfo1, VMCB_NPF_TABLE | X86_PF_U | X86_PF_W);
	EXPECT_EQ(CONTROL.exitinfo2, GUEST_TABLES + 0x3000 + (GUEST_CODE >> 12) * 8);

	guest_long(&g, code_add, code_add_end);		/* read-modify-write: a write */
	g.gpr[X86_RBX] = 0x40ffe;
	g.npt[0x41] &= ~2ull;
	EXPECT_EQ(guest_run(&g), VMEXIT_NPF);
	EXPECT_EQ(CONTROL.exitinfo1, VMCB_NPF_FINAL | X86_PF_U | X86_PF_W | X86_PF_P);
	EXPECT_EQ(CONTROL.exitinfo2, 0x41000);
	EXPECT_EQ(g.memory[0x40ffe], 0);		/* nothing of it happened */
}

/* PTE of 0x40000 changes from frame 0x41 to frame 0x42, and what is read. */
CODE64(code_remap, "mov (%rbx), %eax; mov %rdx, (%rsi); mov (%rbx), %ecx; invlpg (%rbx); mov (%rbx), %edi; hlt")
CODE64(code_remap_cr3, "mov (%rbx), %eax; mov %rdx, (%rsi); mov %cr3, %rcx; mov %rcx, %cr3; mov (%rbx), %edi; hlt")

static void remap_guest(const u8 *code, const u8 *end, u64 flags)
{
	guest_long(&g, code, end);
	g.gpr[X86_RBX] = 0x40000;
	g.gpr[X86_RSI] = GUEST_TABLES + 0x3000 + 0x40 * 8;
	g.gpr[X86_RDX] = 0x42000 | 7 | flags;
	*guest_pte(&g, 0x40000) = 0x41000 | 7 | flags;
	g.memory[0x41000] = 0x41;
	g.memory[0x42000] = 0x42;
}

static void test_tlb_flushes(void)
{
	remap_guest(code_remap, code_remap_end, 0);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 0x41);
	EXPECT_EQ(g.gpr[X86_RCX], 0x41);		/* still cached: that is what a TLB is */
	EXPECT_EQ(g.gpr[X86_RDI], 0x42);

	remap_guest(code_remap, code_remap_end, 0x100);	/* INVLPG takes global pages too */
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(g.gpr[X86_RDI], 0x42);

	remap_guest(code_remap_cr3, code_remap_cr3_end, 0);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(g.gpr[X86_RDI], 0x42);

	remap_guest(code_remap_cr3, code_remap_cr3_end, 0x100);	/* CR3 does not */
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(g.gpr[X86_RDI], 0x41);

	remap_guest(code_load, code_load_end, 0);	/* the hypervisor: INVLPGA, ASIDs, TLB control */
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	*guest_pte(&g, 0x40000) = 0x42007;
	SAVE.rip = GUEST_CODE;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 0x41);
	soft_invlpga(g.cpu, 0x40000, 2);
	SAVE.rip = GUEST_CODE;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 0x41);
	soft_invlpga(g.cpu, 0x40000, 1);
	SAVE.rip = GUEST_CODE;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 0x42);
	g.npt[0x42] = (u64)(g.memory + 0x43000) | 7;
	g.memory[0x43000] = 0x43;
	SAVE.rip = GUEST_CODE;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 0x42);
	CONTROL.asid = 2;
	SAVE.rip = GUEST_CODE;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 0x43);
	g.npt[0x42] = (u64)(g.memory + 0x41000) | 7;
	CONTROL.tlb_control = VMCB_TLB_FLUSH_ASID;
	SAVE.rip = GUEST_CODE;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 0x41);
}

/* INVLPG of one address in a 2 MiB page drops all of it. */
CODE64(code_large, "mov (%rbx), %eax; mov %rdx, (%rsi); invlpg 0x3000(%rbx); mov (%rbx), %edi; hlt")

static void test_large_page(void)
{
	guest_long(&g, code_large, code_large_end);
	((u64 *)(g.memory + GUEST_TABLES + 0x2000))[1] = 0x200000 | 0x87;
	g.gpr[X86_RBX] = 0x210000;
	g.gpr[X86_RSI] = GUEST_TABLES + 0x2008;
	g.gpr[X86_RDX] = 0x87;
	g.memory[0x210000] = 0x21;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(SAVE.rax, 0x21);
	EXPECT_EQ(g.gpr[X86_RDI], code_large[0] | code_large[1] << 8 | code_large[2] << 16 | (u32)code_large[3] << 24);
}

CODE64(code_modify, "mov $100, %ecx; 1: movb %cl, 2f+1(%rip); 2: mov $0, %al; add %rax, %rbx; dec %ecx; jnz 1b; hlt")

static void test_self_modifying(void)
{
	guest_long(&g, code_modify, code_modify_end);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(g.gpr[X86_RBX], 5050);

	SAVE.rip = GUEST_CODE;				/* changed from outside, unannounced */
	g.memory[GUEST_CODE + 1] = 10;
	g.gpr[X86_RBX] = 0;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(g.gpr[X86_RBX], 55);
}

CODE64(code_crossing, "mov $0x1122334455667788, %rax; hlt")

/* One instruction across two pages whose frames are not neighbours, at every offset. */
static void test_code_crosses_pages(void)
{
	for (unsigned before = 1; before <= 15; before++) {
		unsigned length = (unsigned)(code_crossing_end - code_crossing);

		guest_long(&g, code_crossing, code_crossing);
		*guest_pte(&g, 0x41000) = 0x50007;
		for (unsigned n = 0; n < length; n++)
			g.memory[(n < before ? 0x41000 - before : 0x50000 - before) + n] = code_crossing[n];
		SAVE.rip = 0x41000 - before;
		EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
		EXPECT_EQ(SAVE.rax, 0x1122334455667788);
		SAVE.rip = 0x41000 - before;		/* again, decoded already */
		SAVE.rax = 0;
		EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
		EXPECT_EQ(SAVE.rax, 0x1122334455667788);
		if (before < 10) {			/* the second page is missing: #PF there */
			*guest_pte(&g, 0x41000) = 0;
			CONTROL.tlb_control = VMCB_TLB_FLUSH_ALL;
			SAVE.rip = 0x41000 - before;
			EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
			EXPECT(guest_is_in_handler(&g, X86_PF));
			EXPECT_EQ(SAVE.cr2, 0x41000);
		}
	}
}

CODE32(code_limit, "nop; nop; mov $1, %eax; hlt")

static void test_code_limit(void)
{
	guest_protected(&g, code_limit, code_limit_end);
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_GP), true);
	SAVE.cs.limit = GUEST_CODE + 5;			/* MOV's last byte is beyond */
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_GP);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 2);
	SAVE.cs.limit = GUEST_CODE + 6;
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_GP);
	EXPECT_EQ(SAVE.rip, GUEST_CODE + 7);
	EXPECT_EQ(SAVE.rax, 1);
}

CODE16(code_real, "mov $0x2000, %ax; mov %ax, %ds; movb $0x5a, (0x10); int $0x21; hlt")

static void test_real_mode(void)
{
	guest_real(&g, code_real, code_real_end);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, 0x21));
	EXPECT_EQ(g.memory[0x20010], 0x5a);
	EXPECT_EQ(SAVE.ds.base, 0x20000);
}

/* SMAP: the kernel's accesses to a user page, with AC clear and set. */
CODE64(code_smap, "stac; mov (%rbx), %eax; clac; mov (%rbx), %ecx; hlt")

static void test_smap(void)
{
	guest_long(&g, code_smap, code_smap_end);
	for (unsigned n = 0; n < 512; n++)
		((u64 *)(g.memory + GUEST_TABLES + 0x3000))[n] &= ~4ull;
	*guest_pte(&g, 0x40000) |= 4;
	SAVE.cr4 |= X86_CR4_SMAP | X86_CR4_SMEP;
	g.gpr[X86_RBX] = 0x40000;
	g.memory[0x40000] = 0x77;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_PF));
	EXPECT_EQ(SAVE.rax, 0x77);
	EXPECT_EQ(SAVE.cr2, 0x40000);
	EXPECT_EQ(g.gpr[X86_RCX], 0);
}

/* A loop, translated soon, in which rights are given before each access; then the last takes them away. */
CODE64(code_keys, "1: xor %ecx, %ecx; xor %edx, %edx; xor %eax, %eax; wrpkru; mov (%rbx), %esi; mov %esi, 8(%rbx);"
		  "dec %rdi; jnz 1b; mov %r8d, %eax; wrpkru; mov (%rbx), %r9d; mov %r9d, 16(%rbx); hlt")

static void keys_guest(u32 pkru)
{
	guest_long(&g, code_keys, code_keys_end);
	SAVE.cr4 |= X86_CR4_PKE;
	*guest_pte(&g, 0x40000) |= 5ull << 59;
	g.memory[0x40000] = 0x77;
	g.gpr[X86_RBX] = 0x40000;
	g.gpr[X86_RDI] = 1000;
	g.gpr[8] = pkru;
	g.gpr[9] = 0;
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_PF), true);
}

static void test_protection_keys(void)
{
	keys_guest(1u << 8 | 3u << 12);		/* others' rights: nothing happens */
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(g.gpr[9], 0x77);
	keys_guest(1u << 10);			/* no access */
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_PF);
	EXPECT_EQ(CONTROL.exitinfo1, X86_PF_P | X86_PF_PK);
	EXPECT_EQ(CONTROL.exitinfo2, 0x40000);
	EXPECT_EQ(g.gpr[9], 0);
	keys_guest(2u << 10);			/* no write; a supervisor's while CR0.WP */
	SAVE.cr0 |= X86_CR0_WP;
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_PF);
	EXPECT_EQ(CONTROL.exitinfo1, X86_PF_P | X86_PF_W | X86_PF_PK);
	EXPECT_EQ(CONTROL.exitinfo2, 0x40010);
	EXPECT_EQ(g.gpr[9], 0x77);
	keys_guest(2u << 10);
	SAVE.cr0 &= ~X86_CR0_WP;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	keys_guest(~0u);			/* a supervisor's page has no key */
	*guest_pte(&g, 0x40000) &= ~4ull;
	for (unsigned n = 0; n < 512; n++)
		((u64 *)(g.memory + GUEST_TABLES + 0x3000))[n] &= ~4ull;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	keys_guest(0);
	SAVE.cr4 &= ~X86_CR4_PKE;
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT(guest_is_in_handler(&g, X86_UD));
}

/* PKRS: the same for supervisors' pages, by an MSR; a user's page is not concerned. */
CODE64(code_supervisor_keys, "1: mov $0x6e1, %ecx; xor %edx, %edx; xor %eax, %eax; wrmsr; mov (%rbx), %esi; mov %esi, 8(%rbx);"
			     "dec %rdi; jnz 1b; mov %r8d, %eax; wrmsr; mov (%rbx), %r9d; mov %r9d, 16(%rbx); hlt")

static void supervisor_keys_guest(u32 pkrs, bool user)
{
	guest_long(&g, code_supervisor_keys, code_supervisor_keys_end);
	SAVE.cr4 |= X86_CR4_PKS;
	SAVE.cr0 |= X86_CR0_WP;
	*guest_pte(&g, 0x40000) |= 5ull << 59;
	if (!user)
		*guest_pte(&g, 0x40000) &= ~4ull;
	g.memory[0x40000] = 0x77;
	g.gpr[X86_RBX] = 0x40000;
	g.gpr[X86_RDI] = 1000;
	g.gpr[8] = pkrs;
	g.gpr[9] = 0;
	guest_intercept(&g, VMCB_INTERCEPT_EXCEPTION(X86_PF), true);
}

static void test_supervisor_protection_keys(void)
{
	supervisor_keys_guest(~0u, true);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	supervisor_keys_guest(~(3u << 10), false);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	supervisor_keys_guest(1u << 10, false);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_PF);
	EXPECT_EQ(CONTROL.exitinfo1, X86_PF_P | X86_PF_PK);
	EXPECT_EQ(g.gpr[9], 0);
	supervisor_keys_guest(2u << 10, false);
	EXPECT_EQ(guest_run(&g), VMEXIT_EXCP0 + X86_PF);
	EXPECT_EQ(CONTROL.exitinfo1, X86_PF_P | X86_PF_W | X86_PF_PK);
	EXPECT_EQ(CONTROL.exitinfo2, 0x40010);
	EXPECT_EQ(soft_wrmsr(g.cpu, 0x6e1, 1ull << 32), -1);
	EXPECT_EQ(soft_wrmsr(g.cpu, 0x6e1, 0), 0);
}

/* XSAVE's component 9; in use unless zero. */
CODE64(code_keys_saved, "xor %ecx, %ecx; xor %edx, %edx; mov $0xc00, %eax; wrpkru; mov $0x200, %eax; xsave (%rbx);"
			"mov 0x200(%rbx), %r8; xor %eax, %eax; wrpkru; mov $0x200, %eax; xsave 0x1000(%rbx);"
			"mov 0x1200(%rbx), %r9; xrstor (%rbx); rdpkru; mov %eax, %r10d; mov $0x200, %eax;"
			"xrstor 0x1000(%rbx); rdpkru; mov %eax, %r11d; hlt")

static void test_protection_keys_are_saved(void)
{
	static u8 area[4096] __attribute__((aligned(64)));
	u32 leaf[4], pkru = 0;

	soft_cpuid(0xd, 9, leaf);
	if (!leaf[0])
		return;
	memset(area, 0, sizeof(area));
	guest_long(&g, code_keys_saved, code_keys_saved_end);
	SAVE.cr4 |= X86_CR4_PKE | X86_CR4_OSXSAVE;
	g.gpr[X86_RBX] = 0x40000;
	soft_fpu_load(g.cpu, area, 0x203);
	EXPECT_EQ(guest_run(&g), VMEXIT_HLT);
	EXPECT_EQ(g.gpr[8], 0x200);
	EXPECT_EQ(*(u32 *)(g.memory + 0x40000 + leaf[1]), 0xc00);
	EXPECT_EQ(g.gpr[9], 0);
	EXPECT_EQ(g.gpr[10], 0xc00);
	EXPECT_EQ(g.gpr[11], 0);
	soft_fpu_save(g.cpu, area, 0x203);
	EXPECT_EQ(*(u64 *)(area + 512) & 0x200, 0);

	*(u64 *)(area + 512) |= 0x200;		/* what is loaded comes out again, whatever XCR0 is */
	memcpy(area + leaf[1], &(u32){ 0x55555554 }, 4);
	soft_fpu_load(g.cpu, area, 3);
	memset(area + leaf[1], 0, 8);
	soft_fpu_save(g.cpu, area, 3);
	memcpy(&pkru, area + leaf[1], 4);
	EXPECT_EQ(pkru, 0x55555554);
	EXPECT_EQ(*(u64 *)(area + 512) & 0x200, 0x200);
	memset(area, 0, sizeof(area));
	soft_fpu_load(g.cpu, area, 3);
	soft_fpu_save(g.cpu, area, 3);
}

int main(void)
{
	TEST(test_nested_faults);
	TEST(test_tlb_flushes);
	TEST(test_large_page);
	TEST(test_self_modifying);
	TEST(test_code_crosses_pages);
	TEST(test_code_limit);
	TEST(test_real_mode);
	TEST(test_smap);
	TEST(test_protection_keys);
	TEST(test_supervisor_protection_keys);
	TEST(test_protection_keys_are_saved);
	return test_status();
}
