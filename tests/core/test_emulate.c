// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_emulate.c - instructions that need a device, one at a time
 *
 * Code runs at 0x8000 in 64-bit mode; the first 8 MiB of linear addresses are mapped one to
 * one, of which the guest has 1 MiB of memory.  Beyond is the client's device memory.
 */
#include "tests/core/machine.h"

#define CODE	0x8000u
#define MMIO	0x200000u

static struct vcpu *v;
static struct kvm_run *run;

static u64 *table(gpa_t gpa)
{
	return (u64 *)(machine.memory + gpa);
}

static void begin(void)
{
	struct x86 *x;

	machine_create();
	v = machine.v;
	run = (struct kvm_run *)machine.run;
	EXPECT_EQ(machine_slot(0, 0, 0, 0x100000, 0), 0);
	table(0x1000)[0] = 0x2007;
	table(0x2000)[0] = 0x3007;
	for (u64 n = 0; n < 4; n++)
		table(0x3000)[n] = n << 21 | 0x87;
	x = &v->x;
	x->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_ET;
	x->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR;
	x->efer = X86_EFER_LME | X86_EFER_LMA;
	x->cr3 = 0x1000;
	x->seg[X86_CS] = (struct x86_seg){ .selector = 8, .attr = 0xa9b, .limit = ~0u };
	for (unsigned s = X86_ES; s <= X86_GS; s++)
		if (s != X86_CS)
			x->seg[s] = (struct x86_seg){ .selector = 16, .attr = 0xc93, .limit = ~0u };
	x->rip = CODE;
	x->rflags = X86_FLAG_1;
	memset(x->features, 0xff, sizeof(x->features));
	v->requests = 0;		/* which would interrupt a REP */
}

static enum emulated emulate(const void *code, unsigned bytes)
{
	memcpy(machine.memory + CODE, code, bytes);
	return emulate_instruction(v, NULL);
}
#define EMULATE(...) emulate((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

static void expect_mmio(gpa_t gpa, unsigned bytes, bool write, u64 value)
{
	u64 data = 0;

	EXPECT_EQ(run->exit_reason, KVM_EXIT_MMIO);
	EXPECT_EQ(run->mmio.phys_addr, gpa);
	EXPECT_EQ(run->mmio.len, bytes);
	EXPECT_EQ(run->mmio.is_write, write);
	memcpy(&data, run->mmio.data, 8);
	EXPECT_EQ(data, value);
}

static enum emulated answer(u64 value)
{
	memcpy(run->mmio.data, &value, 8);
	return emulate_resume(v);
}

static void loads(void)
{
	begin();
	v->x.gpr[0] = 0x1111111122222222;
	v->x.gpr[3] = MMIO + 0x10;
	EXPECT_EQ(EMULATE(0x8b, 0x03), EMULATE_EXIT);		/* mov eax, [rbx] */
	expect_mmio(MMIO + 0x10, 4, false, 0);
	EXPECT_EQ(v->x.rip, CODE);
	EXPECT_EQ(v->x.gpr[0], 0x1111111122222222);
	EXPECT_EQ(answer(0xdeadbeefcafebabe), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[0], 0xcafebabe);
	EXPECT_EQ(v->x.rip, CODE + 2);
	EXPECT(!v->emulate.active);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);		/* nothing more */
	EXPECT_EQ(v->x.rip, CODE + 2);

	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x48, 0x8b, 0x0b), EMULATE_EXIT);	/* mov rcx, [rbx] */
	expect_mmio(MMIO + 0x10, 8, false, 0);
	EXPECT_EQ(answer(0x123456789abcdef0), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[1], 0x123456789abcdef0);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x0f, 0xbe, 0x13), EMULATE_EXIT);	/* movsx edx, byte [rbx] */
	expect_mmio(MMIO + 0x10, 1, false, 0);
	EXPECT_EQ(answer(0x80), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[2], 0xffffff80);
	machine_destroy();
}

static void stores(void)
{
	begin();
	v->x.gpr[0] = 0x1122334455667788;
	v->x.gpr[3] = MMIO;
	EXPECT_EQ(EMULATE(0x66, 0x89, 0x43, 0x02), EMULATE_EXIT);	/* mov [rbx+2], ax */
	expect_mmio(MMIO + 2, 2, true, 0x7788);
	EXPECT_EQ(v->x.rip, CODE + 4);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0xc7, 0x03, 0x78, 0x56, 0x34, 0x12), EMULATE_EXIT); /* mov dword [rbx], imm */
	expect_mmio(MMIO, 4, true, 0x12345678);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT_EQ(v->x.rip, CODE + 6);
	machine_destroy();
}

/* OR [mem], reg: the read is answered, the instruction starts again, the write follows. */
static void modify(void)
{
	begin();
	v->x.gpr[0] = 0xf0;
	v->x.gpr[3] = MMIO;
	EXPECT_EQ(EMULATE(0x09, 0x03), EMULATE_EXIT);
	expect_mmio(MMIO, 4, false, 0);
	EXPECT_EQ(answer(0x0f), EMULATE_EXIT);
	expect_mmio(MMIO, 4, true, 0xff);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT_EQ(v->x.rip, CODE + 2);
	EXPECT_EQ(v->x.rflags & (X86_FLAG_ZF | X86_FLAG_PF), X86_FLAG_PF);

	v->x.rip = CODE;		/* lock xadd [rbx], eax: device memory takes the same way */
	EXPECT_EQ(EMULATE(0xf0, 0x0f, 0xc1, 0x03), EMULATE_EXIT);
	EXPECT_EQ(answer(5), EMULATE_EXIT);
	expect_mmio(MMIO, 4, true, 0xf5);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[0], 5);
	machine_destroy();
}

/* Part memory, part device; and more than eight bytes at once. */
static void split(void)
{
	begin();
	memset(machine.memory + 0xffffc, 0x11, 4);
	table(0x3000)[0] = 0x4007;			/* 2 MiB at 0 by small pages ... */
	for (u64 n = 0; n < 512; n++)
		table(0x4000)[n] = n << 12 | 7;
	table(0x4000)[0x100] = MMIO | 7;		/* ... with a device after the memory */
	v->x.gpr[3] = 0xffffc;
	EXPECT_EQ(EMULATE(0x48, 0x8b, 0x03), EMULATE_EXIT);
	expect_mmio(MMIO, 4, false, 0);
	EXPECT_EQ(answer(0x22222222), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[0], 0x2222222211111111);
	v->x.rip = CODE;
	v->x.gpr[0] = 0x8877665544332211;
	EXPECT_EQ(EMULATE(0x48, 0x89, 0x03), EMULATE_EXIT);
	expect_mmio(MMIO, 4, true, 0x88776655);
	EXPECT_EQ(*(u32 *)(machine.memory + 0xffffc), 0x44332211);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);

	/* The second page is not there: nothing is written to the first. */
	table(0x4000)[0x100] = 0;
	v->x.rip = CODE;
	v->x.gpr[0] = 0;
	EXPECT_EQ(EMULATE(0x48, 0x89, 0x03), EMULATE_FAULTED);
	EXPECT_EQ(*(u32 *)(machine.memory + 0xffffc), 0x44332211);
	EXPECT_EQ(v->events.exception.vector, X86_PF);
	EXPECT_EQ(v->x.cr2, 0x100000);
	EXPECT_EQ(v->x.rip, CODE);
	machine_destroy();
}

static void vector_moves(void)
{
	u8 *xmm1, *ymm1;

	begin();
	xmm1 = v->fpu->area + 160 + 16;
	ymm1 = v->fpu->area + 576 + 16;
	v->x.xcr0 = 7;
	v->x.gpr[3] = MMIO;
	*(u64 *)(v->fpu->area + 512) = 0;		/* all registers are zero */
	memset(v->fpu->area, 0x77, 512);
	EXPECT_EQ(EMULATE(0x0f, 0x10, 0x0b), EMULATE_EXIT);	/* movups xmm1, [rbx] */
	expect_mmio(MMIO, 8, false, 0);
	EXPECT_EQ(answer(0x1111), EMULATE_EXIT);
	expect_mmio(MMIO + 8, 8, false, 0);
	EXPECT_EQ(answer(0x2222), EMULATE_DONE);
	EXPECT_EQ(((u64 *)xmm1)[0], 0x1111);
	EXPECT_EQ(((u64 *)xmm1)[1], 0x2222);
	EXPECT_EQ(((u64 *)xmm1)[2], 0);			/* xmm2 was zero and is */
	EXPECT_EQ(*(u64 *)(v->fpu->area + 512), 2);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x66, 0x0f, 0x7f, 0x0b), EMULATE_EXIT); /* movdqa [rbx], xmm1 */
	expect_mmio(MMIO, 8, true, 0x1111);
	EXPECT_EQ(emulate_resume(v), EMULATE_EXIT);
	expect_mmio(MMIO + 8, 8, true, 0x2222);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT_EQ(v->x.rip, CODE + 4);
	v->x.rip = CODE;
	v->x.gpr[3] = MMIO + 4;
	EXPECT_EQ(EMULATE(0x66, 0x0f, 0x7f, 0x0b), EMULATE_FAULTED);	/* not aligned */
	EXPECT_EQ(v->events.exception.vector, X86_GP);
	v->events.exception.pending = false;
	v->x.rip = CODE;
	v->x.cr4 |= X86_CR4_OSXSAVE;
	EXPECT_EQ(EMULATE(0xc5, 0xfe, 0x6f, 0x0b), EMULATE_EXIT);	/* vmovdqu ymm1, [rbx] */
	for (unsigned n = 1; n <= 3; n++)
		EXPECT_EQ(answer(n), EMULATE_EXIT);
	EXPECT_EQ(answer(4), EMULATE_DONE);
	EXPECT_EQ(((u64 *)xmm1)[1], 2);
	EXPECT_EQ(((u64 *)ymm1)[0], 3);
	EXPECT_EQ(((u64 *)ymm1)[1], 4);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x66, 0x48, 0x0f, 0x7e, 0x0b), EMULATE_EXIT);	/* movq [rbx], xmm1 */
	expect_mmio(MMIO + 4, 8, true, 1);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	machine_destroy();
}

/* MMX registers are the x87 unit's, which are in the area from the top of the stack on. */
static void mmx_moves(void)
{
	u64 *st;

	begin();
	st = (u64 *)(v->fpu->area + 32);
	v->x.gpr[3] = MMIO;
	memset(v->fpu->area, 0x77, 512);
	*(u64 *)(v->fpu->area + 512) = 0;		/* all registers are zero */
	EXPECT_EQ(EMULATE(0x0f, 0x6f, 0x0b), EMULATE_EXIT);	/* movq mm1, [rbx] */
	expect_mmio(MMIO, 8, false, 0);
	EXPECT_EQ(*(u64 *)(v->fpu->area + 512), 0);
	EXPECT_EQ(answer(0x1122334455667788), EMULATE_DONE);
	EXPECT_EQ(*(u64 *)(v->fpu->area + 512), 1);
	EXPECT_EQ(st[2], 0x1122334455667788);
	EXPECT_EQ(st[3] & 0xffff, 0xffff);
	EXPECT_EQ(st[0], 0);
	EXPECT_EQ(*(u16 *)v->fpu->area, 0x37f);
	EXPECT_EQ(*(u32 *)(v->fpu->area + 4) & 0xff, 0xff);	/* all in use */
	EXPECT_EQ(*(u32 *)(v->fpu->area + 24), 0x77777777);	/* MXCSR is not x87's */
	v->x.rip = CODE;
	*(u16 *)(v->fpu->area + 2) = 3 << 11;		/* so what was the register 1 is 4 now */
	EXPECT_EQ(EMULATE(0x0f, 0x7f, 0x23), EMULATE_EXIT);	/* movq [rbx], mm4 */
	expect_mmio(MMIO, 8, true, 0x1122334455667788);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT_EQ(*(u16 *)(v->fpu->area + 2), 0);
	EXPECT_EQ(st[2 * 4], 0x1122334455667788);
	EXPECT_EQ(st[2], 0);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x0f, 0x6e, 0x23), EMULATE_EXIT);	/* movd mm4, [rbx] */
	expect_mmio(MMIO, 4, false, 0);
	EXPECT_EQ(answer(0x99887766), EMULATE_DONE);
	EXPECT_EQ(st[2 * 4], 0x99887766);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x0f, 0x7e, 0x23), EMULATE_EXIT);	/* movd [rbx], mm4 */
	expect_mmio(MMIO, 4, true, 0x99887766);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x0f, 0xe7, 0x23), EMULATE_EXIT);	/* movntq [rbx], mm4 */
	expect_mmio(MMIO, 8, true, 0x99887766);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	v->x.rip = CODE;
	*(u16 *)(v->fpu->area + 2) = 0x81;		/* an exception pends */
	EXPECT_EQ(EMULATE(0x0f, 0x7f, 0x23), EMULATE_FAULTED);
	EXPECT_EQ(v->events.exception.vector, X86_MF);
	machine_destroy();
}

static void repeated(void)
{
	begin();
	for (unsigned n = 0; n < 64; n++)
		machine.memory[0x9000 + n] = (u8)n;
	v->x.gpr[X86_RSI] = 0x9000;
	v->x.gpr[X86_RDI] = MMIO;
	v->x.gpr[X86_RCX] = 3;
	EXPECT_EQ(EMULATE(0xf3, 0x48, 0xa5), EMULATE_EXIT);	/* rep movsq to the device */
	for (unsigned n = 0; n < 3; n++) {
		expect_mmio(MMIO + n * 8, 8, true, *(u64 *)(machine.memory + 0x9000 + n * 8));
		EXPECT_EQ(v->x.gpr[X86_RCX], 2 - n);
		EXPECT_EQ(v->x.rip, n == 2 ? CODE + 3 : CODE);
		EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
		if (n < 2)
			EXPECT_EQ(emulate_instruction(v, NULL), EMULATE_EXIT);
	}

	v->x.rip = CODE;			/* rep movsb from it: reads are answered one by one */
	v->x.gpr[X86_RSI] = MMIO;
	v->x.gpr[X86_RDI] = 0xa000;
	v->x.gpr[X86_RCX] = 4;
	EXPECT_EQ(EMULATE(0xf3, 0xa4), EMULATE_EXIT);
	for (unsigned n = 0; n < 4; n++) {
		expect_mmio(MMIO + n, 1, false, 0);
		EXPECT_EQ(answer(0xa0 + n), n == 3 ? EMULATE_DONE : EMULATE_EXIT);
	}
	EXPECT_EQ(*(u32 *)(machine.memory + 0xa000), 0xa3a2a1a0);
	EXPECT_EQ(v->x.rip, CODE + 2);

	v->x.rip = CODE;			/* device to device */
	v->x.gpr[X86_RDI] = MMIO + 0x100;
	v->x.gpr[X86_RSI] = MMIO;
	v->x.gpr[X86_RCX] = 1;
	EXPECT_EQ(EMULATE(0xf3, 0xa5), EMULATE_EXIT);
	expect_mmio(MMIO, 4, false, 0);
	EXPECT_EQ(answer(0x77), EMULATE_EXIT);
	expect_mmio(MMIO + 0x100, 4, true, 0x77);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[X86_RCX], 0);

	v->x.rip = CODE;			/* something to do: it stops after one iteration */
	v->x.gpr[X86_RSI] = 0x9000;
	v->x.gpr[X86_RDI] = 0xa000;
	v->x.gpr[X86_RCX] = 10;
	vcpu_request(v, REQ_EVENT);
	EXPECT_EQ(EMULATE(0xf3, 0xa4), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[X86_RCX], 9);
	EXPECT_EQ(v->x.rip, CODE);
	v->requests = 0;
	EXPECT_EQ(EMULATE(0xf3, 0xa4), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[X86_RCX], 0);
	EXPECT_EQ(v->x.rip, CODE + 2);
	EXPECT(!memcmp(machine.memory + 0xa000, machine.memory + 0x9000, 10));
	machine_destroy();
}

static void ports(void)
{
	u8 *page = machine.run;

	begin();
	page = machine.run + PAGE_BYTES;
	v->x.gpr[0] = 0x1122334455667788;
	v->x.gpr[2] = 0x3f8;
	EXPECT_EQ(EMULATE(0xee), EMULATE_EXIT);			/* out dx, al */
	EXPECT_EQ(run->exit_reason, KVM_EXIT_IO);
	EXPECT_EQ(run->io.direction, KVM_EXIT_IO_OUT);
	EXPECT_EQ(run->io.port, 0x3f8);
	EXPECT_EQ(run->io.size, 1);
	EXPECT_EQ(run->io.count, 1);
	EXPECT_EQ(run->io.data_offset, PAGE_BYTES);
	EXPECT_EQ(page[0], 0x88);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT_EQ(v->x.rip, CODE + 1);

	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x66, 0xed), EMULATE_EXIT);		/* in ax, dx */
	EXPECT_EQ(run->io.direction, KVM_EXIT_IO_IN);
	EXPECT_EQ(run->io.size, 2);
	memcpy(page, "\xcd\xab\xff\xff", 4);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[0], 0x112233445566abcd);

	/* rep insb: one question for all of it */
	v->x.rip = CODE;
	v->x.gpr[X86_RDI] = 0x9ffe;
	v->x.gpr[X86_RCX] = 5;
	EXPECT_EQ(EMULATE(0xf3, 0x6c), EMULATE_EXIT);
	EXPECT_EQ(run->io.count, 2);				/* to the end of the page */
	memcpy(page, "ab", 2);
	EXPECT_EQ(emulate_resume(v), EMULATE_EXIT);
	EXPECT_EQ(run->io.count, 3);
	EXPECT_EQ(v->x.gpr[X86_RCX], 3);
	memcpy(page, "cde", 3);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT(!memcmp(machine.memory + 0x9ffe, "abcde", 6));
	EXPECT_EQ(v->x.gpr[X86_RDI], 0xa003);
	EXPECT_EQ(v->x.rip, CODE + 2);

	v->x.rip = CODE;
	v->x.gpr[X86_RSI] = 0x9ffe;
	v->x.gpr[X86_RCX] = 2;
	EXPECT_EQ(EMULATE(0xf3, 0x66, 0x6f), EMULATE_EXIT);	/* rep outsw */
	EXPECT_EQ(run->io.size, 2);
	EXPECT(!memcmp(page, "ab", 2));
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[X86_RCX], 1);
	EXPECT_EQ(emulate_instruction(v, NULL), EMULATE_EXIT);
	EXPECT(!memcmp(page, "cd", 2));
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT_EQ(v->x.rip, CODE + 3);
	machine_destroy();
}

/* --- devices of ours --- */

static unsigned device_reads, device_writes;
static u64 device_value;

static int device_read(struct vcpu *of, struct iodev *d, gpa_t gpa, unsigned bytes, void *data)
{
	(void)of;
	(void)d;
	(void)gpa;
	device_reads++;
	memcpy(data, &device_value, bytes);
	return 0;
}

static int device_write(struct vcpu *of, struct iodev *d, gpa_t gpa, unsigned bytes, const void *data)
{
	(void)of;
	(void)d;
	(void)gpa;
	device_writes++;
	device_value = 0;
	memcpy(&device_value, data, bytes);
	return 0;
}

static const struct iodev_ops device_ops = { device_read, device_write };

static void in_kernel(void)
{
	struct iodev device = { &device_ops };

	begin();
	iobus_add(machine.vm, IOBUS_MMIO, MMIO, 8, &device);
	device_value = 0x42;
	device_reads = device_writes = 0;
	v->x.gpr[3] = MMIO;
	EXPECT_EQ(EMULATE(0x8b, 0x03), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[0], 0x42);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x83, 0x03, 0x01), EMULATE_DONE);	/* add dword [rbx], 1 */
	EXPECT_EQ(device_value, 0x43);
	EXPECT_EQ(device_reads, 2);

	/* cmpsq: ours is read once although the client's makes the instruction start again */
	v->x.rip = CODE;
	v->x.gpr[X86_RSI] = MMIO;
	v->x.gpr[X86_RDI] = MMIO + 0x1000;
	EXPECT_EQ(EMULATE(0x48, 0xa7), EMULATE_EXIT);
	expect_mmio(MMIO + 0x1000, 8, false, 0);
	EXPECT_EQ(device_reads, 3);
	device_value = 0x99;
	EXPECT_EQ(answer(0x43), EMULATE_DONE);
	EXPECT_EQ(device_reads, 3);
	EXPECT(v->x.rflags & X86_FLAG_ZF);
	machine_destroy();
}

static void faults(void)
{
	begin();
	v->x.gpr[3] = 0x900000;				/* not mapped */
	EXPECT_EQ(EMULATE(0x89, 0x03), EMULATE_FAULTED);
	EXPECT(v->events.exception.pending);
	EXPECT_EQ(v->events.exception.vector, X86_PF);
	EXPECT_EQ(v->events.exception.error, X86_PF_W);
	EXPECT_EQ(v->x.cr2, 0x900000);
	EXPECT_EQ(v->x.rip, CODE);

	v->events.exception.pending = false;
	v->x.gpr[3] = 1ull << 60;			/* not canonical */
	EXPECT_EQ(EMULATE(0x89, 0x03), EMULATE_FAULTED);
	EXPECT_EQ(v->events.exception.vector, X86_GP);

	v->events.exception.pending = false;
	EXPECT_EQ(EMULATE(0x0f, 0x0b), EMULATE_FAULTED);	/* ud2 */
	EXPECT_EQ(v->events.exception.vector, X86_UD);

	/* From privilege 3 a supervisor page is out of reach. */
	v->events.exception.pending = false;
	v->x.cpl = 3;
	table(0x3000)[1] &= ~4ull;
	v->x.gpr[3] = MMIO;
	EXPECT_EQ(EMULATE(0x8b, 0x03), EMULATE_FAULTED);
	EXPECT_EQ(v->events.exception.error, X86_PF_P | X86_PF_U);
	machine_destroy();
}

static void no_memory_for_code(void)
{
	begin();
	v->x.rip = MMIO;
	EXPECT_EQ(emulate_instruction(v, NULL), EMULATE_FAILED);
	EXPECT_EQ(run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(run->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
	EXPECT_EQ(run->emulation_failure.ndata, 0);
	v->x.rip = CODE;
	v->x.gpr[3] = MMIO;
	EXPECT_EQ(EMULATE(0x66, 0x0f, 0xfc, 0x03), EMULATE_FAILED);	/* paddb xmm0, [rbx] */
	EXPECT_EQ(run->emulation_failure.ndata, 3);
	EXPECT_EQ(run->emulation_failure.flags, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	EXPECT(!memcmp(run->emulation_failure.insn_bytes, "\x66\x0f\xfc\x03", 4));
	v->x.cpl = 3;			/* a user program is told, not the client */
	EXPECT_EQ(emulate_instruction(v, NULL), EMULATE_FAULTED);
	EXPECT_EQ(v->events.exception.vector, X86_UD);
	machine_destroy();
}

/* The bytes are read once: what changes in memory afterwards does not matter. */
static void private_bytes(void)
{
	begin();
	v->x.gpr[3] = MMIO;
	EXPECT_EQ(EMULATE(0x8b, 0x03), EMULATE_EXIT);
	memset(machine.memory + CODE, 0xcc, 16);
	EXPECT_EQ(answer(7), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[0], 7);

	/* bytes from the exit, of which there are not enough: the rest is fetched */
	memcpy(machine.memory + CODE, "\x90\x90\x34\x12\x00\x00", 6);
	v->x.rip = CODE;
	{
		struct exit e = { .kind = EXIT_EMULATE, .bytes = { 0xc7, 0x03 }, .byte_count = 2 };

		EXPECT_EQ(emulate_instruction(v, &e), EMULATE_EXIT);
	}
	expect_mmio(MMIO, 4, true, 0x1234);
	machine_destroy();
}

/* The exit says which address it was about; the guest's tables are not asked again. */
static void address_from_exit(void)
{
	struct exit e = { .kind = EXIT_MEMORY, .bytes = { 0x8b, 0x03 }, .byte_count = 2 };

	begin();
	v->x.gpr[3] = 0x900010;			/* which the tables do not map (any more) */
	e.memory.gpa = MMIO + 0x10;
	EXPECT_EQ(emulate_instruction(v, &e), EMULATE_EXIT);
	expect_mmio(MMIO + 0x10, 4, false, 0);
	EXPECT_EQ(answer(3), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[0], 3);
	v->x.rip = CODE;
	e.memory.table_walk = true;
	EXPECT_EQ(emulate_instruction(v, &e), EMULATE_FAULTED);
	machine_destroy();
}

static void client_moves_on(void)
{
	begin();
	v->x.gpr[3] = MMIO;
	EXPECT_EQ(EMULATE(0x8b, 0x03), EMULATE_EXIT);
	v->x.rip = 0xfff0;
	EXPECT_EQ(answer(5), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[0], 0);
	EXPECT_EQ(v->x.rip, 0xfff0);
	machine_destroy();
}

static void stepping(void)
{
	begin();
	v->x.gpr[3] = MMIO;
	v->x.rflags |= X86_FLAG_TF;
	EXPECT_EQ(EMULATE(0x89, 0x03), EMULATE_EXIT);
	EXPECT(!v->events.exception.pending);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	EXPECT(v->events.exception.pending);
	EXPECT_EQ(v->events.exception.vector, X86_DB);
	EXPECT(v->x.dr6 & BIT_U64(14));
	v->events.exception.pending = false;
	v->x.rflags &= ~X86_FLAG_TF;
	v->x.rip = CODE;
	v->guest_debug = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
	EXPECT_EQ(EMULATE(0x8b, 0x03), EMULATE_EXIT);
	EXPECT_EQ(answer(1), EMULATE_EXIT);
	EXPECT_EQ(run->exit_reason, KVM_EXIT_DEBUG);
	EXPECT_EQ(run->debug.arch.pc, CODE + 2);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	machine_destroy();
}

static void shadows(void)
{
	begin();
	machine.shadow = KVM_X86_SHADOW_INT_STI;
	v->x.gpr[3] = MMIO;
	EXPECT_EQ(EMULATE(0x89, 0x03), EMULATE_EXIT);
	EXPECT_EQ(machine.shadow, 0);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0xfb), EMULATE_DONE);			/* sti */
	EXPECT_EQ(machine.shadow, KVM_X86_SHADOW_INT_STI);
	EXPECT(v->x.rflags & X86_FLAG_IF);
	machine_destroy();
}

/* Locked instructions on memory are host atomics there, and dirty the page. */
static void locked_memory(void)
{
	begin();
	EXPECT_EQ(machine_slot(1, KVM_MEM_LOG_DIRTY_PAGES, 0x400000, 0x2000, 0x80000), 0);
	v->x.gpr[3] = 0x401008;
	v->x.gpr[0] = 5;
	*(u64 *)(machine.memory + 0x81008) = 37;
	EXPECT_EQ(EMULATE(0xf0, 0x48, 0x0f, 0xc1, 0x03), EMULATE_DONE);	/* lock xadd [rbx], rax */
	EXPECT_EQ(*(u64 *)(machine.memory + 0x81008), 42);
	EXPECT_EQ(v->x.gpr[0], 37);
	EXPECT_EQ(slot_find(machine.vm, 0x400)->dirty[0], 2);
	machine_destroy();
}

static void readonly_memory(void)
{
	begin();
	EXPECT_EQ(machine_slot(1, KVM_MEM_READONLY, 0x400000, 0x2000, 0x80000), 0);
	*(u32 *)(machine.memory + 0x80000) = 0x1234;
	v->x.gpr[3] = 0x400000;
	EXPECT_EQ(EMULATE(0x8b, 0x03), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[0], 0x1234);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x89, 0x1b), EMULATE_EXIT);		/* mov [rbx], ebx */
	expect_mmio(0x400000, 4, true, 0x400000);
	EXPECT_EQ(*(u32 *)(machine.memory + 0x80000), 0x1234);
	EXPECT_EQ(emulate_resume(v), EMULATE_DONE);
	machine_destroy();
}

static void lengths(void)
{
	begin();
	memcpy(machine.memory + CODE, "\x48\xb8", 2);		/* mov rax, imm64 */
	EXPECT_EQ(emulate_length(v), 10);
	/* across a page whose successor is not mapped */
	table(0x3000)[0] = 0x4007;
	table(0x4000)[1] = 0x1007;
	for (u64 n = 1; n < 9; n++)
		table(0x4000)[n] = n << 12 | 7;
	v->x.rip = 0x8ffe;
	memcpy(machine.memory + 0x8ffe, "\x48\xb8", 2);
	EXPECT_EQ(emulate_length(v), 0);
	memcpy(machine.memory + 0x8ffe, "\x31\xc0", 2);		/* xor eax, eax fits */
	EXPECT_EQ(emulate_length(v), 2);
	machine_destroy();
}

/* The rest of the processor: control registers, MSRs, CPUID, CR8, HLT. */
static void system_instructions(void)
{
	begin();
	v->x.gpr[0] = v->x.cr4 | X86_CR4_PGE;
	v->x.cr4_valid = ~0ull;
	EXPECT_EQ(EMULATE(0x0f, 0x22, 0xe0), EMULATE_DONE);	/* mov cr4, rax */
	EXPECT(v->x.cr4 & X86_CR4_PGE);
	EXPECT(machine_flushed());
	v->x.rip = CODE;
	v->x.gpr[0] = 9;
	EXPECT_EQ(EMULATE(0x44, 0x0f, 0x22, 0xc0), EMULATE_DONE);	/* mov cr8, rax */
	EXPECT_EQ(vcpu_cr8_get(v), 9);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x44, 0x0f, 0x20, 0xc1), EMULATE_DONE);	/* mov rcx, cr8 */
	EXPECT_EQ(v->x.gpr[1], 9);
	v->x.rip = CODE;
	v->x.gpr[0] = 0x12345678;
	v->x.gpr[2] = 0;
	v->x.gpr[1] = X86_MSR_SYSENTER_EIP;
	EXPECT_EQ(EMULATE(0x0f, 0x30), EMULATE_DONE);		/* wrmsr */
	v->x.rip = CODE;
	v->x.gpr[0] = 0;
	EXPECT_EQ(EMULATE(0x0f, 0x32), EMULATE_DONE);		/* rdmsr */
	EXPECT_EQ(v->x.gpr[0], 0x12345678);
	v->x.rip = CODE;
	v->x.gpr[1] = 0x12345678;
	EXPECT_EQ(EMULATE(0x0f, 0x32), EMULATE_FAULTED);
	EXPECT_EQ(v->events.exception.vector, X86_GP);
	EXPECT_EQ(v->x.rip, CODE);
	v->events.exception.pending = false;
	EXPECT_EQ(EMULATE(0xf4), EMULATE_EXIT);			/* hlt */
	EXPECT_EQ(run->exit_reason, KVM_EXIT_HLT);
	EXPECT_EQ(v->x.rip, CODE + 1);
	machine_destroy();
}

/* Real mode: 16-bit addresses, segment bases, and a limit on where code may be. */
static void real_mode(void)
{
	begin();
	v->x.cr0 = X86_CR0_ET;
	v->x.efer = 0;
	for (unsigned s = X86_ES; s <= X86_GS; s++)
		v->x.seg[s] = (struct x86_seg){ .limit = 0xffff, .attr = s == X86_CS ? 0x9b : 0x93 };
	v->x.seg[X86_DS].selector = 0xffff;
	v->x.seg[X86_DS].base = 0xffff0;
	v->x.gpr[3] = 0x10;
	EXPECT_EQ(EMULATE(0x8b, 0x07), EMULATE_EXIT);		/* mov ax, [bx] */
	expect_mmio(0x100000, 2, false, 0);
	EXPECT_EQ(answer(0x1234), EMULATE_DONE);
	EXPECT_EQ(v->x.gpr[0], 0x1234);
	v->x.seg[X86_CS].limit = CODE + 1;
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x8b, 0x07), EMULATE_EXIT);
	EXPECT_EQ(answer(0), EMULATE_DONE);
	v->x.rip = CODE;
	EXPECT_EQ(EMULATE(0x8b, 0x47, 0x01), EMULATE_FAULTED);	/* its last byte is beyond */
	EXPECT_EQ(v->events.exception.vector, X86_GP);
	machine_destroy();
}

static u64 seed = 1;

static u64 random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/*
 * Whatever the bytes and the registers are, and whatever the client answers: it ends, at
 * an instruction boundary or where it began, with nothing held.
 */
static void random_code(void)
{
	begin();
	for (unsigned round = 0; round < 200000; round++) {
		static const u64 places[] = { MMIO, MMIO + 0xffe, 0xfffff, 0x9000, 0x800000, 0x7ffffc, 1ull << 63 };
		struct x86 *x = &v->x;
		enum emulated r;
		u8 code[15];

		for (unsigned n = 0; n < 15; n++)
			code[n] = (u8)random64();
		for (unsigned n = 0; n < 16; n++)
			x->gpr[n] = random64() % 3 ? places[random64() % ARRAY_LEN(places)] : random64() % 64;
		x->rip = CODE;
		x->rflags = X86_FLAG_1 | (random64() & X86_FLAGS_ARITH) | (random64() & X86_FLAG_DF);
		x->cpl = random64() % 8 ? 0 : 3;
		x->xcr0 = 7;
		v->requests = 0;
		memset(&v->events, 0, sizeof(v->events));
		r = emulate(code, sizeof(code));
		for (unsigned n = 0; r == EMULATE_EXIT; n++) {
			if (n == 300)		/* a REP that would go on for long: something is up */
				vcpu_request(v, REQ_EVENT);
			if (n == 2000) {
				EXPECT(!"an end");
				break;
			}
			if (run->exit_reason == KVM_EXIT_MMIO) {
				EXPECT(run->mmio.len >= 1 && run->mmio.len <= 8);
			} else if (run->exit_reason == KVM_EXIT_IO) {
				EXPECT(run->io.count * run->io.size <= PAGE_BYTES && run->io.count);
			} else {
				break;		/* HLT */
			}
			r = answer(random64());
		}
		EXPECT(r != EMULATE_EXIT || run->exit_reason == KVM_EXIT_HLT);
		EXPECT(!v->emulate.held && !v->emulate.active);
		if (test_failures) {
			fprintf(stderr, "code");
			for (unsigned n = 0; n < 15; n++)
				fprintf(stderr, " %02x", code[n]);
			fprintf(stderr, " ends as %d, exit %u\n", r, run->exit_reason);
			break;
		}
		/* what it may have done to the machine */
		if (x->cr0 != (X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_ET) || x->cr3 != 0x1000 ||
		    x->cr4 != (X86_CR4_PAE | X86_CR4_OSFXSR) || x->code_bits != 64 || x->seg[X86_CS].selector != 8 ||
		    table(0x1000)[0] != 0x2027 || (table(0x2000)[0] & ~0x20ull) != 0x3007) {
			machine_destroy();
			begin();
		}
	}
	machine_destroy();
}

int main(void)
{
	TEST(loads);
	TEST(stores);
	TEST(modify);
	TEST(split);
	TEST(vector_moves);
	TEST(mmx_moves);
	TEST(repeated);
	TEST(ports);
	TEST(in_kernel);
	TEST(faults);
	TEST(no_memory_for_code);
	TEST(private_bytes);
	TEST(address_from_exit);
	TEST(client_moves_on);
	TEST(stepping);
	TEST(shadows);
	TEST(locked_memory);
	TEST(readonly_memory);
	TEST(lengths);
	TEST(system_instructions);
	TEST(real_mode);
	TEST(random_code);
	return test_status();
}
