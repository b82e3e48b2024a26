// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_exits.c - what leaves a guest: ports, device memory, HLT, shutdown, CPUID, MSRs, time
 */
#include "tests/guest/tiny.h"

/* --- ports --------------------------------------------------------------------------- */

CODE64(outs_of_each_size,
	"mov $0x1122334455667788, %rax\n"
	"out %al, $0x10\n"
	"out %ax, $0x11\n"
	"out %eax, $0x12\n"
	"mov $0x1234, %edx\n"
	"out %al, (%dx)\n"
	"out %ax, (%dx)\n"
	"out %eax, (%dx)\n"
	"mov $0xfff0ffff, %edx\n"	/* only DX counts */
	"out %al, (%dx)\n"
	DONE)

static void out_of_each_size(struct tiny *t)
{
	static const struct { u16 port; u8 bytes; u32 value; } expected[] = {
		{ 0x10, 1, 0x88 }, { 0x11, 2, 0x7788 }, { 0x12, 4, 0x55667788 },
		{ 0x1234, 1, 0x88 }, { 0x1234, 2, 0x7788 }, { 0x1234, 4, 0x55667788 }, { 0xffff, 1, 0x88 },
	};
	struct kvm_run *run = t->cpu[0].run;

	for (unsigned n = 0; n < ARRAY_LEN(expected); n++) {
		u32 value = 0;

		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO))
			return;
		EXPECT(tiny_is_out(run, expected[n].port));
		EXPECT_EQ(run->io.size, expected[n].bytes);
		EXPECT_EQ(run->io.count, 1);
		memcpy(&value, tiny_io_data(run), run->io.size);
		EXPECT_EQ(value, expected[n].value);
	}
	EXPECT_DONE(t, 0);
}

CODE64(vmcalls, "mov $-1, %rax\n" "vmcall\n" DONE)

/* The other vendor's call is served, and becomes the processor's own unless the client forbids it. */
static void the_other_vendors_call(struct tiny *t)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DISABLE_QUIRKS2, .args = { KVM_X86_QUIRK_FIX_HYPERCALL_INSN } };
	struct kvm_regs r;

	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rax, (u64)-1000);	/* KVM_ENOSYS */
	EXPECT_EQ(tiny_get(t, TINY_CODE + 7, 3), 0xd9010f);
	tiny_put(t, TINY_CODE + 7, 3, 0xc1010f);
	MUST(vm_ioctl(t, KVM_ENABLE_CAP, &cap));
	r = tiny_regs(t, 0);
	r.rip = TINY_CODE;
	tiny_set_regs(t, 0, &r);
	EXPECT_VECTOR(t, 0, 6);
	EXPECT_EQ(tiny_get(t, TINY_CODE + 7, 3), 0xc1010f);
}

CODE64(ins_of_each_size,
	"mov $0x1122334455667788, %rax\n" "in $0x20, %al\n" "mov %rax, %rbx\n"
	"mov $0x1122334455667788, %rax\n" "in $0x20, %ax\n" "mov %rax, %rcx\n"
	"mov $0x1122334455667788, %rax\n" "in $0x20, %eax\n" "mov %rax, %rsi\n"
	"mov $0xcf8, %edx\n"
	"in (%dx), %al\n" "in (%dx), %ax\n" "in (%dx), %eax\n"
	DONE)

static void in_of_each_size(struct tiny *t)
{
	static const struct { u16 port; u8 bytes; } expected[] = {
		{ 0x20, 1 }, { 0x20, 2 }, { 0x20, 4 }, { 0xcf8, 1 }, { 0xcf8, 2 }, { 0xcf8, 4 } };
	struct kvm_run *run = t->cpu[0].run;
	struct kvm_regs r;

	for (unsigned n = 0; n < ARRAY_LEN(expected); n++) {
		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO))
			return;
		EXPECT_EQ(run->io.direction, KVM_EXIT_IO_IN);
		EXPECT_EQ(run->io.port, expected[n].port);
		EXPECT_EQ(run->io.size, expected[n].bytes);
		memcpy(tiny_io_data(run), "\xaa\xbb\xcc\xdd", 4);
	}
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rbx, 0x11223344556677aa);
	EXPECT_EQ(r.rcx, 0x112233445566bbaa);
	EXPECT_EQ(r.rsi, 0xddccbbaa);
}

CODE64(rep_outs,
	"cld\n" "mov $0x50000, %esi\n" "mov $0x3f8, %edx\n"
	"mov $5, %ecx\n" "rep outsb\n"
	"mov $6000, %ecx\n" "rep outsw\n"	/* over pages */
	"mov $3, %ecx\n" "rep outsl\n"
	"mov %rsi, %rbx\n"
	"xor %ecx, %ecx\n" "rep outsb\n"	/* none */
	DONE)

static void rep_outs_gives_every_byte(struct tiny *t)
{
	static u8 sent[16384];
	struct kvm_run *run = t->cpu[0].run;
	u64 total = 0, expected = 5 + 12000 + 12;

	for (u64 n = 0; n < expected; n++)
		t->memory[TINY_DATA + n] = (u8)(n * 7 + n / 256);
	while (total < expected) {
		u64 bytes;

		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO))
			return;
		EXPECT(tiny_is_out(run, 0x3f8));
		EXPECT_EQ(run->io.size, total < 5 ? 1 : total < 12005 ? 2 : 4);
		EXPECT(run->io.count >= 1);
		bytes = (u64)run->io.size * run->io.count;
		EXPECT(run->io.data_offset + bytes <= t->run_bytes);
		if (bytes > sizeof(sent) - total)
			break;
		memcpy(sent + total, tiny_io_data(run), bytes);
		total += bytes;
	}
	EXPECT_EQ(total, expected);
	EXPECT(!memcmp(sent, t->memory + TINY_DATA, expected));
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rbx, TINY_DATA + expected);
}

CODE64(rep_ins,
	"cld\n" "mov $0x50ffe, %edi\n" "mov $0x1f0, %edx\n" "mov $1500, %ecx\n"
	"rep insw\n"
	"mov %rdi, %rbx\n" "mov %rcx, %rsi\n"
	"std\n" "mov $0x5fffc, %edi\n" "mov $3, %ecx\n" "rep insl\n"
	"cld\n"
	"insb\n"
	DONE)

static void rep_ins_takes_every_byte(struct tiny *t)
{
	struct kvm_run *run = t->cpu[0].run;
	u32 given = 0;
	u64 total = 0;

	while (total < 3000) {
		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO))
			return;
		EXPECT_EQ(run->io.direction, KVM_EXIT_IO_IN);
		EXPECT_EQ(run->io.size, 2);
		EXPECT(run->io.count >= 1 && total + 2 * run->io.count <= 3000);
		for (unsigned n = 0; n < run->io.count; n++)
			((u16 *)tiny_io_data(run))[n] = (u16)(given++ * 3);
		total += 2 * run->io.count;
	}
	given = 0;
	while (given < 3) {		/* backwards */
		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO))
			return;
		EXPECT_EQ(run->io.size, 4);
		for (unsigned n = 0; n < run->io.count; n++)
			((u32 *)tiny_io_data(run))[n] = 0x1000 + given++;
	}
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	EXPECT_EQ(run->io.size, 1);
	*(u8 *)tiny_io_data(run) = 0x5a;
	EXPECT_DONE(t, 0);
	for (unsigned n = 0; n < 1500; n++)
		if (tiny_get(t, 0x50ffe + 2 * n, 2) != (u16)(n * 3)) {
			EXPECT_EQ(tiny_get(t, 0x50ffe + 2 * n, 2), (u16)(n * 3));
			break;
		}
	for (unsigned n = 0; n < 3; n++)
		EXPECT_EQ(tiny_get(t, 0x5fffc - 4 * n, 4), 0x1000 + n);
	EXPECT_EQ(tiny_get(t, 0x5fff0, 1), 0x5a);
	EXPECT_EQ(tiny_regs(t, 0).rbx, 0x50ffe + 3000);
	EXPECT_EQ(tiny_regs(t, 0).rsi, 0);
}

CODE16(ports_in_real_mode,
	"mov $0x5000, %ax\n" "mov %ax, %es\n" "mov %ax, %ds\n"
	"xor %di, %di\n" "mov $0x71, %dx\n" "mov $2, %cx\n"
	"rep insb\n"
	"mov $0, %si\n" "mov $2, %cx\n"
	"rep outsb\n"
	DONE)

static void string_ports_in_real_mode(struct tiny *t)
{
	struct kvm_run *run = t->cpu[0].run;
	unsigned got = 0, sent = 0;

	while (got < 2) {
		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO))
			return;
		EXPECT_EQ(run->io.direction, KVM_EXIT_IO_IN);
		for (unsigned n = 0; n < run->io.count; n++)
			((u8 *)tiny_io_data(run))[n] = (u8)(0x40 + got++);
	}
	while (sent < 2) {
		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO))
			return;
		EXPECT(tiny_is_out(run, 0x71));
		for (unsigned n = 0; n < run->io.count; n++)
			EXPECT_EQ(((u8 *)tiny_io_data(run))[n], 0x40 + sent++);
	}
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_get(t, 0x50000, 2), 0x4140);
}

/* --- device memory ---------------------------------------------------------------------- */

CODE64(device_moves,
	"mov $0x400000, %ebx\n"
	"mov $0x8877665544332211, %rax\n"
	"mov %al, 1(%rbx)\n" "mov %ax, 2(%rbx)\n" "mov %eax, 4(%rbx)\n" "mov %rax, 8(%rbx)\n"
	"mov 1(%rbx), %al\n" "mov 2(%rbx), %ax\n" "mov 4(%rbx), %eax\n" "mov 8(%rbx), %rax\n"
	"movzbl 0x10(%rbx), %ecx\n" "movswq 0x12(%rbx), %rdx\n" "movslq 0x14(%rbx), %rsi\n"
	"movl $0x12345678, 0x20(%rbx)\n" "movq $-2, 0x28(%rbx)\n"
	"movabs %al, 0x400030\n"
	DONE)

static void device_memory_of_each_size(struct tiny *t)
{
	struct kvm_regs r;

	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 1, 1, 0x11);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 2, 2, 0x2211);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 4, 4, 0x44332211);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 8, 8, 0x8877665544332211);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 1, 1, 0x99);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 2, 2, 0xaabb);
	EXPECT_EQ(tiny_regs(t, 0).rax, 0x8877665544332299);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 4, 4, 0xccddeeff);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 8, 8, 0x0123456789abcdef);
	EXPECT_EQ(tiny_regs(t, 0).rax, 0xccddeeff);	/* zero-extended */
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x10, 1, 0xf0);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x12, 2, 0x8001);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x14, 4, 0x80000001);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x20, 4, 0x12345678);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x28, 8, ~1ull);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x30, 1, 0xef);
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rax, 0x0123456789abcdef);
	EXPECT_EQ(r.rcx, 0xf0);
	EXPECT_EQ(r.rdx, 0xffffffffffff8001);
	EXPECT_EQ(r.rsi, 0xffffffff80000001);
}

CODE64(device_operands,
	"mov $0x400000, %ebx\n" "mov $5, %eax\n"
	"add %eax, (%rbx)\n"			/* read, then write */
	"sete %cl\n"
	"xchg %eax, 8(%rbx)\n"
	"cmpl $7, 0x10(%rbx)\n" "sete %ch\n"
	"testb $0x80, 0x14(%rbx)\n" "setne %dl\n"
	"lock orb $1, 0x18(%rbx)\n"
	"incw 0x1a(%rbx)\n"
	"mov $9, %eax\n" "mov $1, %esi\n" "lock cmpxchg %esi, 0x20(%rbx)\n" "setz %dh\n"
	"pushq 0x28(%rbx)\n" "pop %rdi\n"
	"popq 0x30(%rbx)\n"
	"setc 0x38(%rbx)\n"
	"lea -8(%rsp), %rsp\n"
	DONE)

static void device_operands_of_other_instructions(struct tiny *t)
{
	struct kvm_regs r;

	tiny_put(t, TINY_STACK, 8, 0x77);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE, 4, 0xfffffffb);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE, 4, 0);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 8, 4, 0x1234);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 8, 4, 5);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x10, 4, 7);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x14, 1, 0x80);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x18, 1, 0x42);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x18, 1, 0x43);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x1a, 2, 0xffff);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x1a, 2, 0);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x20, 4, 9);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x20, 4, 1);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x28, 8, 0xfeedface);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x30, 8, 0x77);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x38, 1, 0);
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rax, 9);
	EXPECT_EQ(r.rcx & 0xffff, 0x0101);
	EXPECT_EQ(r.rdx & 0xffff, 0x0101);
	EXPECT_EQ(r.rdi, 0xfeedface);
	EXPECT_EQ(r.rsp, TINY_STACK);
}

CODE64(device_strings,
	"cld\n" "mov $0x50000, %esi\n" "mov $0x400000, %edi\n" "mov $3, %ecx\n" "rep movsl\n"
	"mov $0x400100, %esi\n" "mov $0x51000, %edi\n" "mov $2, %ecx\n" "rep movsw\n"
	"mov $0x33, %al\n" "mov $0x400200, %edi\n" "mov $2, %ecx\n" "rep stosb\n"
	"mov $0x400300, %esi\n" "lodsq\n"
	"mov $0x55, %al\n" "mov $0x400400, %edi\n" "mov $10, %ecx\n" "repne scasb\n"
	DONE)

static void device_strings_one_element_an_exit(struct tiny *t)
{
	struct kvm_regs r;

	for (unsigned n = 0; n < 3; n++)
		tiny_put(t, TINY_DATA + 4 * n, 4, 0x100 + n);
	for (unsigned n = 0; n < 3; n++)
		EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 4 * n, 4, 0x100 + n);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x100, 2, 0xabcd);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x102, 2, 0xef01);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x200, 1, 0x33);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x201, 1, 0x33);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x300, 8, 0x1122334455667788);
	EXPECT_EQ(tiny_get(t, 0x51000, 4), 0xef01abcd);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x400, 1, 1);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x401, 1, 2);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x402, 1, 0x55);
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rcx, 7);
	EXPECT_EQ(r.rdi, 0x400403);
	EXPECT_EQ(r.rax, 0x1122334455667755);
}

CODE64(slot_edge,
	"mov $0x400000, %ebx\n"
	"movl $0x44332211, -2(%rbx)\n"		/* memory, then device */
	"mov -3(%rbx), %eax\n"
	"movq $0x12345678, 0xffc(%rbx)\n"	/* across two pages of a device */
	"mov 0xffd(%rbx), %rcx\n"
	"lock addl $1, -1(%rbx)\n"
	DONE)

static void accesses_split_at_a_slots_edge(struct tiny *t)
{
	struct kvm_regs r;

	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE, 2, 0x4433);
	tiny_put(t, TINY_BYTES - 3, 1, 0x99);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE, 1, 0xab);
	EXPECT_EQ(tiny_get(t, TINY_BYTES - 2, 2), 0x2211);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0xffc, 4, 0x12345678);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x1000, 4, 0);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0xffd, 3, 0xccbbaa);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x1000, 5, 0x1122334455);
	EXPECT_EQ(tiny_regs(t, 0).rax, 0xab221199);
	if (!on_dev_kvm()) {	/* KVM's emulator makes no locked access that is split */
		EXPECT_MMIO_READ(t, 0, TINY_DEVICE, 3, 0x030201);
		EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE, 3, 0x030201);
	} else {
		return;
	}
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(tiny_get(t, TINY_BYTES - 1, 1), 0x23);
	EXPECT_EQ(r.rcx, 0x1122334455ccbbaa);
}

CODE64(device_control,
	"mov $0x400000, %ebx\n"
	"call *8(%rbx)\n"
	"mov %rsp, %rbp\n"
	"lea 0x108(%rbx), %rsp\n"
	"push %rbx\n"				/* a stack in a device */
	"pop %rcx\n"
	"mov %rbp, %rsp\n"
	"jmp *0x10(%rbx)\n"
	"device_control_sub: mov $0x77, %esi\n" "ret\n"
	"device_control_out: " DONE)
LABEL(device_control_sub) LABEL(device_control_out)

static void calls_and_stacks_through_devices(struct tiny *t)
{
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 8, 8, AT(device_control, device_control_sub));
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 0x100, 8, TINY_DEVICE);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x100, 8, 0x1234);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE + 0x10, 8, AT(device_control, device_control_out));
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rcx, 0x1234);
	EXPECT_EQ(tiny_regs(t, 0).rsi, 0x77);
}

CODE64(device_code, "mov $0x400000, %eax\n" "jmp *%rax\n")

static void code_in_a_device_is_an_internal_error(struct tiny *t)
{
	EXPECT_EXIT(t, 0, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(t->cpu[0].run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	EXPECT_EQ(tiny_regs(t, 0).rip, TINY_DEVICE);
}

CODE64(read_only,
	"mov $0x500000, %ebx\n"
	"mov (%rbx), %eax\n"
	"movl $1, 8(%rbx)\n"
	"mov 8(%rbx), %ecx\n"
	"lock incl 0x10(%rbx)\n"
	"movl $0x11223344, 0xffe(%rbx)\n"	/* read-only page to one that is nobody's */
	"mov $0x501000 - 8, %esi\n"
	"call *(%rsi)\n"			/* code runs from it */
	DONE)

static void writes_of_a_read_only_slot_reach_the_client(struct tiny *t)
{
	u8 *rom = tiny_pages(PAGE_BYTES);
	u64 target = 0x500100;

	EXPECT_EQ(tiny_slot(t, 1, 0x500000, rom, PAGE_BYTES, KVM_MEM_READONLY), 0);
	memcpy(rom, "\x78\x56\x34\x12", 4);
	memcpy(rom + 8, "\x99\0\0\0", 4);
	memcpy(rom + 0x10, "\x05\0\0\0", 4);
	memcpy(rom + 0xff8, &target, 6);	/* the write above hits the last two, which read 0 */
	memcpy(rom + 0x100, "\xbe\x2a\0\0\0\xc3", 6);	/* mov $0x2a, %esi; ret */
	EXPECT_MMIO_WRITE(t, 0, 0x500008, 4, 1);
	if (on_dev_kvm()) {
		munmap(rom, PAGE_BYTES);	/* the rest is where emulators differ */
		return;
	}
	EXPECT_MMIO_WRITE(t, 0, 0x500010, 4, 6);
	EXPECT_MMIO_WRITE(t, 0, 0x500ffe, 2, 0x3344);
	EXPECT_MMIO_WRITE(t, 0, 0x501000, 2, 0x1122);
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rax, 0x12345678);
	EXPECT_EQ(tiny_regs(t, 0).rcx, 0x99);
	EXPECT_EQ(tiny_regs(t, 0).rsi, 0x2a);
	EXPECT_EQ(rom[8], 0x99);
	EXPECT_EQ(rom[0x10], 5);
	munmap(rom, PAGE_BYTES);
}

CODE32(device_32bit,
	"mov $0x400000, %ebx\n" "mov $0x11223344, %eax\n"
	"mov %eax, (%ebx)\n" "mov (%ebx), %cx\n"
	"pusha\n" "popa\n"
	"fs movb $1, 4(%ebx)\n"
	DONE)

static void device_memory_in_32_bit_mode(struct tiny *t)
{
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE, 4, 0x11223344);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE, 2, 0xbeef);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 4, 1, 1);
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rcx, 0xbeef);
}

CODE16(device_16bit,
	"mov $0xf000, %ax\n" "mov %ax, %ds\n"
	"movw $0x1234, 0x10\n"
	"mov 0x12, %cl\n"
	"mov $0xffff, %ax\n" "mov %ax, %ds\n"
	"mov 0x20, %dl\n"			/* above 1 MiB: A20 is on */
	DONE)

static void device_memory_in_real_mode(struct tiny *t)
{
	EXPECT_EQ(tiny_slot(t, 0, 0, NULL, 0, 0), 0);
	EXPECT_EQ(tiny_slot(t, 0, 0, t->memory, 0xf0000, 0), 0);
	EXPECT_MMIO_WRITE(t, 0, 0xf0010, 2, 0x1234);
	EXPECT_MMIO_READ(t, 0, 0xf0012, 1, 0x56);
	EXPECT_MMIO_READ(t, 0, 0x100010, 1, 0x78);
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rcx & 0xff, 0x56);
	EXPECT_EQ(tiny_regs(t, 0).rdx & 0xff, 0x78);
}

/* The client may answer a read at once or after it has looked at everything. */
static void state_is_whole_in_the_middle_of_an_access(struct tiny *t)
{
	struct kvm_regs before, r;
	struct kvm_sregs s;

	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE, 4, 0x11223344);
	EXPECT_MMIO_READ(t, 0, TINY_DEVICE, 2, 0xbeef);
	before = tiny_regs(t, 0);
	s = tiny_sregs(t, 0);
	tiny_set_sregs(t, 0, &s);
	memcpy(t->cpu[0].run->mmio.data, "\x34\x12", 2);
	EXPECT_MMIO_WRITE(t, 0, TINY_DEVICE + 4, 1, 1);
	EXPECT_DONE(t, 0);
	r = tiny_regs(t, 0);
	EXPECT_EQ(r.rcx, 0x1234);
	EXPECT_EQ(r.rbx, before.rbx);
	EXPECT_EQ(r.rsp, before.rsp);
}

/* --- HLT, shutdown --------------------------------------------------------------------------- */

CODE64(halts, "hlt\n" "mov $1, %eax\n" "hlt\n" "mov $2, %eax\n" DONE)

static void hlt_leaves_and_goes_on_behind(struct tiny *t)
{
	EXPECT_EXIT(t, 0, KVM_EXIT_HLT);
	EXPECT_EQ(tiny_regs(t, 0).rip, TINY_CODE + 1);
	EXPECT_EXIT(t, 0, KVM_EXIT_HLT);
	EXPECT_EQ(tiny_regs(t, 0).rax, 1);
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_regs(t, 0).rax, 2);
}

CODE64(triple_fault, "movq $0, -8(%rsp)\n" "movw $0, -10(%rsp)\n" "lidt -10(%rsp)\n" "ud2\n")

static void no_vector_table_is_a_shutdown(struct tiny *t)
{
	EXPECT_EXIT(t, 0, KVM_EXIT_SHUTDOWN);
}

/* --- CPUID ----------------------------------------------------------------------------------- */

CODE64(cpuid_loop,
	"1: in $0x80, %eax\n" "mov %eax, %ecx\n" "in $0x81, %eax\n" "xchg %eax, %ecx\n"
	"cpuid\n"
	"mov %eax, 0x50000\n" "mov %ebx, 0x50004\n" "mov %ecx, 0x50008\n" "mov %edx, 0x5000c\n"
	"out %al, $0x82\n" "jmp 1b\n")

static void guest_cpuid(struct tiny *t, u32 leaf, u32 subleaf, u32 r[4])
{
	struct kvm_run *run = t->cpu[0].run;

	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	memcpy(tiny_io_data(run), &leaf, 4);
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	memcpy(tiny_io_data(run), &subleaf, 4);
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	EXPECT(tiny_is_out(run, 0x82));
	memcpy(r, t->memory + TINY_DATA, 16);
}

static void cpuid_is_what_the_client_said(struct tiny *t)
{
	struct tiny_cpuid c;
	u32 r[4], max_basic = 0;

	memset(&c, 0, sizeof(c));
	c.head.nent = TINY_CPUID_MAX;
	EXPECT_EQ(cpu_ioctl(t, 0, KVM_GET_CPUID2, &c), 0);
	EXPECT(c.head.nent > 10);
	for (u32 n = 0; n < c.head.nent; n++) {
		struct kvm_cpuid_entry2 *e = &c.entry[n];
		bool running = e->function == 0xd || e->function == 0x80000001 || e->function == 7 ||
			       e->function == 0x12 || e->function == 1;

		if (e->flags & 6)
			continue;	/* stateful leaf 2 of old processors */
		guest_cpuid(t, e->function, e->index, r);
		if (running)
			continue;	/* OSXSAVE, XSAVE size and the like follow the guest's state */
		EXPECT_EQ(r[0], e->eax);
		EXPECT_EQ(r[1], e->ebx);
		EXPECT_EQ(r[2], e->ecx);
		EXPECT_EQ(r[3], e->edx);
		if (!e->function)
			max_basic = e->eax;
	}
	guest_cpuid(t, 0x40000000, 0, r);
	EXPECT(!memcmp(&r[1], "KVMKVMKVM\0\0\0", 12));
	EXPECT(r[0] >= 0x40000001);
	guest_cpuid(t, 0x80000000, 0, r);
	EXPECT(r[0] >= 0x80000008);
	guest_cpuid(t, 0x20000000, 0, r);	/* in a hole: as the highest basic leaf on Intel, 0 on AMD */
	EXPECT(max_basic >= 7);
}

static void cpuid_follows_the_guests_state(struct tiny *t)
{
	struct kvm_sregs s;
	u32 r[4];

	guest_cpuid(t, 1, 0, r);
	EXPECT(!(r[2] & 1u << 27));		/* OSXSAVE */
	s = tiny_sregs(t, 0);
	s.cr4 |= X86_CR4_OSXSAVE;
	tiny_set_sregs(t, 0, &s);
	guest_cpuid(t, 1, 0, r);
	EXPECT(r[2] & 1u << 27);
	EXPECT(r[2] & 1u << 31);		/* hypervisor: KVM_GET_SUPPORTED_CPUID offers it */
	EXPECT_EQ(r[1] >> 24, 0);		/* initial APIC id */
	guest_cpuid(t, 0xd, 0, r);
	EXPECT_EQ(r[1], 576);			/* XCR0 is 1 */
}

/* --- MSRs ------------------------------------------------------------------------------------- */

CODE64(msr_gp,
	"mov $0x0badc0de, %ecx\n" "msr_gp_read: rdmsr\n" "nop\n"
	"msr_gp_write: wrmsr\n" "nop\n"
	"mov $0xc0000080, %ecx\n" "rdmsr\n" "or $2, %eax\n" "msr_gp_efer: wrmsr\n" "nop\n"
	"mov $0x277, %ecx\n" "mov $2, %eax\n" "xor %edx, %edx\n" "msr_gp_pat: wrmsr\n" "nop\n"
	"mov $0xc0000082, %ecx\n" "mov $0x8000, %edx\n" "msr_gp_lstar: wrmsr\n" "nop\n"
	"mov $0x1b, %ecx\n" "mov $0x800, %eax\n" "mov $-1, %edx\n" "msr_gp_base: wrmsr\n" "nop\n"
	DONE)
LABEL(msr_gp_read) LABEL(msr_gp_write) LABEL(msr_gp_efer) LABEL(msr_gp_pat) LABEL(msr_gp_lstar) LABEL(msr_gp_base)

static void bad_msr_accesses_fault(struct tiny *t)
{
	const u8 *const places[] = { msr_gp_read, msr_gp_write, msr_gp_efer, msr_gp_pat, msr_gp_lstar, msr_gp_base };

	for (unsigned n = 0; n < ARRAY_LEN(places); n++) {
		struct kvm_regs r;

		if (!EXPECT_VECTOR(t, 0, X86_GP))
			return;
		r = tiny_regs(t, 0);
		EXPECT_EQ(tiny_get(t, r.rsp, 8), 0);				/* error code */
		EXPECT_EQ(tiny_get(t, r.rsp + 8, 8), AT(msr_gp, places[n]));	/* RIP */
		r.rip = AT(msr_gp, places[n]) + 2;
		r.rsp = TINY_STACK;
		tiny_set_regs(t, 0, &r);
		/* KVM_SET_REGS moved it away from the OUT, which is not completed then. */
	}
	EXPECT_DONE(t, 0);
}

CODE64(msr_round_trip,
	"1: in $0x80, %eax\n" "test %eax, %eax\n" "jz 2f\n" "mov %eax, %ecx\n"
	"in $0x81, %eax\n" "mov %eax, %edx\n" "in $0x82, %eax\n"
	"wrmsr\n" "xor %eax, %eax\n" "xor %edx, %edx\n" "rdmsr\n"
	"mov %eax, 0x50000\n" "mov %edx, 0x50004\n" "out %al, $0x83\n" "jmp 1b\n"
	"2: " DONE)

static void msrs_keep_what_guests_write(struct tiny *t)
{
	static const struct { u32 index; u64 value; } msrs[] = {
		{ X86_MSR_STAR, 0x0023001012345678 }, { X86_MSR_LSTAR, 0xffff800012345678 },
		{ X86_MSR_CSTAR, 0xffff800087654321 }, { X86_MSR_SFMASK, 0x47700 },
		{ X86_MSR_FS_BASE, 0x00007fff12345678 }, { X86_MSR_GS_BASE, 0xffff8880deadbeef },
		{ X86_MSR_KERNEL_GS_BASE, 0xffffc90000001234 }, { X86_MSR_SYSENTER_CS, 0x10 },
		{ X86_MSR_SYSENTER_ESP, 0xfffffe0000003000 }, { X86_MSR_SYSENTER_EIP, 0xffffffff81001234 },
		{ X86_MSR_PAT, 0x0407050600070106 }, { X86_MSR_TSC_AUX, 0x1003 },
		{ 0x200, 0xf0000006 }, { 0x201, 0xfff0000800 }, { 0x2ff, 0xc06 }, { 0x250, 0x0606060606060606 },
		{ X86_MSR_EFER, 0xd01 }, { X86_MSR_EFER, 0x501 }, { X86_MSR_TSC_ADJUST, 0x100000 },
	};
	struct kvm_run *run = t->cpu[0].run;

	for (unsigned n = 0; n < ARRAY_LEN(msrs); n++) {
		u32 in[3] = { msrs[n].index, (u32)(msrs[n].value >> 32), (u32)msrs[n].value };

		for (unsigned i = 0; i < 3; i++) {
			if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO))
				return;
			memcpy(tiny_io_data(run), &in[i], 4);
		}
		if (!EXPECT_EXIT(t, 0, KVM_EXIT_IO) || !tiny_is_out(run, 0x83)) {
			fprintf(stderr, "  MSR %#x\n", msrs[n].index);
			tiny_describe(t, 0, 2);
			test_failures++;
			return;
		}
		if (tiny_get(t, TINY_DATA, 8) != msrs[n].value || tiny_msr(t, 0, msrs[n].index) != msrs[n].value)
			fprintf(stderr, "  MSR %#x\n", msrs[n].index);
		EXPECT_EQ(tiny_get(t, TINY_DATA, 8), msrs[n].value);
		EXPECT_EQ(tiny_msr(t, 0, msrs[n].index), msrs[n].value);
	}
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	memset(tiny_io_data(run), 0, 4);
	EXPECT_DONE(t, 0);
	EXPECT_EQ(tiny_sregs(t, 0).fs.base, 0x00007fff12345678);
	EXPECT_EQ(tiny_sregs(t, 0).gs.base, 0xffff8880deadbeef);
}

CODE64(msr_client, "mov $0x4b564dff, %ecx\n" "mov $7, %eax\n" "mov $1, %edx\n" "wrmsr\n" "rdmsr\n"
	"mov %rax, %rbx\n" "mov %rdx, %rsi\n" "rdmsr\n" DONE)

static void unknown_msrs_may_go_to_the_client(struct tiny *t)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args[0] = KVM_MSR_EXIT_REASON_UNKNOWN };
	struct kvm_run *run = t->cpu[0].run;

	if (!vm_ioctl(t, KVM_CHECK_EXTENSION, (void *)KVM_CAP_X86_USER_SPACE_MSR) && on_dev_kvm())
		return;
	EXPECT_EQ(vm_ioctl(t, KVM_ENABLE_CAP, &cap), 0);
	EXPECT_EXIT(t, 0, KVM_EXIT_X86_WRMSR);
	EXPECT_EQ(run->msr.index, 0x4b564dff);
	EXPECT_EQ(run->msr.data, 0x100000007);
	EXPECT_EQ(run->msr.reason, KVM_MSR_EXIT_REASON_UNKNOWN);
	run->msr.error = 0;
	EXPECT_EXIT(t, 0, KVM_EXIT_X86_RDMSR);
	run->msr.error = 0;
	run->msr.data = 0x1122334455667788;
	EXPECT_EXIT(t, 0, KVM_EXIT_X86_RDMSR);
	EXPECT_EQ(tiny_regs(t, 0).rbx, 0x55667788);
	EXPECT_EQ(tiny_regs(t, 0).rsi, 0x11223344);
	run->msr.error = 1;
	EXPECT_VECTOR(t, 0, X86_GP);
}

/* --- time --------------------------------------------------------------------------------------- */

CODE64(tsc_loop,
	"mov $1000, %edi\n" "xor %ebx, %ebx\n"
	"1: rdtsc\n" "shl $32, %rdx\n" "or %rdx, %rax\n" "cmp %rbx, %rax\n" "jb 2f\n" "mov %rax, %rbx\n"
	"dec %edi\n" "jnz 1b\n" DONE
	"jmp 1b - 5\n"
	"2: ud2\n")

static void the_tsc_never_goes_back(struct tiny *t)
{
	u64 start, now, host;

	host = tiny_msr(t, 0, X86_MSR_TSC);
	EXPECT_DONE(t, 0);
	EXPECT(tiny_regs(t, 0).rbx >= host);
	EXPECT(tiny_msr(t, 0, X86_MSR_TSC) >= tiny_regs(t, 0).rbx);
	/* And the client may set it. */
	start = 1ull << 50;
	EXPECT_EQ(tiny_set_msr(t, 0, X86_MSR_TSC, start), 1);
	now = tiny_msr(t, 0, X86_MSR_TSC);
	EXPECT(now >= start && now - start < 1ull << 40);
}

/* --- signals --------------------------------------------------------------------------------------- */

CODE64(forever, "1: inc %rax\n" "jmp 1b\n")

static void immediate_exit_runs_nothing(struct tiny *t)
{
	t->cpu[0].run->immediate_exit = 1;
	EXPECT_EQ(tiny_run(t, 0), -EINTR);
	EXPECT_EQ(tiny_regs(t, 0).rax, 0);
	t->cpu[0].run->immediate_exit = 0;
}

static void on_alarm(int signal)
{
	(void)signal;
	akvm_interrupt();
}

static void a_signal_ends_kvm_run(struct tiny *t)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerspec when = { .it_value.tv_nsec = 20000000 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	timer_t timer;

	sigaction(SIGUSR1, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &when, NULL))
		abort();
	EXPECT_EQ(tiny_run(t, 0), -EINTR);
	EXPECT_EQ(t->cpu[0].run->exit_reason, KVM_EXIT_INTR);
	EXPECT(tiny_regs(t, 0).rax > 0);
	timer_delete(timer);
}

static void all(void)
{
	TINY_TEST(TINY_64, outs_of_each_size, out_of_each_size);
	TINY_TEST(TINY_64, vmcalls, the_other_vendors_call);
	TINY_TEST(TINY_64, ins_of_each_size, in_of_each_size);
	TINY_TEST(TINY_64, rep_outs, rep_outs_gives_every_byte);
	TINY_TEST(TINY_64, rep_ins, rep_ins_takes_every_byte);
	TINY_TEST(TINY_REAL, ports_in_real_mode, string_ports_in_real_mode);
	TINY_TEST(TINY_64, device_moves, device_memory_of_each_size);
	TINY_TEST(TINY_64, device_operands, device_operands_of_other_instructions);
	TINY_TEST(TINY_64, device_strings, device_strings_one_element_an_exit);
	TINY_TEST(TINY_64, slot_edge, accesses_split_at_a_slots_edge);
	TINY_TEST(TINY_64, device_control, calls_and_stacks_through_devices);
	TINY_TEST(TINY_64, device_code, code_in_a_device_is_an_internal_error);
	TINY_TEST(TINY_64, read_only, writes_of_a_read_only_slot_reach_the_client);
	TINY_TEST(TINY_32_PAGED, device_32bit, device_memory_in_32_bit_mode);
	TINY_TEST(TINY_32, device_32bit, device_memory_in_32_bit_mode);
	TINY_TEST(TINY_32, device_32bit, state_is_whole_in_the_middle_of_an_access);
	TINY_TEST(TINY_REAL, device_16bit, device_memory_in_real_mode);
	TINY_TEST(TINY_64, halts, hlt_leaves_and_goes_on_behind);
	TINY_TEST(TINY_64, triple_fault, no_vector_table_is_a_shutdown);
	TINY_TEST(TINY_64, cpuid_loop, cpuid_is_what_the_client_said);
	TINY_TEST(TINY_64, cpuid_loop, cpuid_follows_the_guests_state);
	TINY_TEST(TINY_64, msr_gp, bad_msr_accesses_fault);
	TINY_TEST(TINY_64, msr_round_trip, msrs_keep_what_guests_write);
	TINY_TEST(TINY_64, msr_client, unknown_msrs_may_go_to_the_client);
	TINY_TEST(TINY_64, tsc_loop, the_tsc_never_goes_back);
	TINY_TEST(TINY_64, forever, immediate_exit_runs_nothing);
	TINY_TEST(TINY_64, forever, a_signal_ends_kvm_run);
}

int main(void)
{
	tiny_watchdog();
	all();
	return test_status();
}
