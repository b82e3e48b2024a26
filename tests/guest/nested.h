/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nested.h - tiny guests that are hypervisors of tinier ones
 *
 * L1, in 64-bit mode, executes VMRUN of the VMCB at VMCB12 and tells us when that is over; we
 * play the rest of the hypervisor: write the VMCB, look at it, let L1 run it again.  L2 is
 * code in the same memory, with L1's page tables, or nested page tables of ours.
 *
 * Each test is done twice: the second time the vCPU moves to another VM, by the API's state
 * alone, whenever L2 says OUT to PORT_MOVE.
 */
#ifndef TESTS_GUEST_NESTED_H
#define TESTS_GUEST_NESTED_H

#include "tests/guest/tiny.h"
#include "x86/exec.h"
#include "x86/vmcb.h"

#define PORT_MOVE	0x80
#define VMCB12		0x60000ul
#define MSRPM		0x62000ul
#define IOPM		0x64000ul
#define VMCB12_AREA	0x68000ul	/* for VMLOAD and VMSAVE */
#define NPT		0x70000ul	/* PML4, PDPT, PD, PTs of the first 4 MiB */
#define NPT_PT		(NPT + 0x3000)
#define L2_STACK	0x58000ul
#define L1_DATA		0x5a000ul
#define MOVE		"out %al, $0x80\n"
#define VMRUN		"vmrun %rax\n"

#define SMBASE		0x30000ul	/* after reset: SMRAM, in address space 1, of SMRAM_BYTES */
#define SMRAM_BYTES	0x20000u
#define HSAVE		0x6e000ul

static bool moving;
static u8 *smram;	/* or NULL */

/* L1, then pieces of L2, each of which ends with VMMCALL or what it is about. */
CODE64(code,
	"1: mov $0x60000, %eax\n" "mov $0x1111, %ebx\n" VMRUN DONE "jmp 1b\n"
	"l1_stgi: stgi\n" "sti\n" "nop\n" DONE
	"l1_area: mov $0x68000, %eax\n" "vmload %rax\n" "mov $0x69000, %eax\n" "vmsave %rax\n" DONE
	"l1_clgi_hlt: clgi\n" "sti\n" "nop\n" "nop\n" MOVE "stgi\n" "nop\n" DONE
	"l2_plain: mov $0x2222, %ebx\n" MOVE "lea 5(%rax), %rax\n" "vmmcall\n"
	"l2_loop: " MOVE "2: jmp 2b\n"
	"l2_ports: in $0x70, %al\n" "l2_ports_2: in $0x71, %al\n" "vmmcall\n"
	"l2_straddle: mov $0x6f, %edx\n" "in %dx, %ax\n" "vmmcall\n"
	"l2_cpuid: xor %eax, %eax\n" MOVE "xor %eax, %eax\n" "cpuid\n" "vmmcall\n"
	"l2_msrs: mov $0xc0000102, %ecx\n" "rdmsr\n" "l2_msrs_2: wrmsr\n" "vmmcall\n"
	"l2_msr_high: mov $0x20000000, %ecx\n" "rdmsr\n"
	"l2_lstar: mov $0xc0000082, %ecx\n" "mov $0x1234, %eax\n" "xor %edx, %edx\n" "wrmsr\n" MOVE "rdmsr\n" "vmmcall\n"
	"l2_ud: " MOVE "ud2\n"
	"l2_df: " MOVE "ud2\n"
	"l2_read: mov 0x5a000, %rbx\n" MOVE "vmmcall\n"
	"l2_write: movq $0x77, 0x5a000\n" MOVE "vmmcall\n"
	"l2_fetch: mov $0x5a000, %eax\n" "jmp *%rax\n"
	"l2_device: movb $0x42, 0x400010\n" "vmmcall\n"
	"l2_sti: " MOVE "sti\n" "nop\n" "nop\n" "vmmcall\n"
	"l2_hlt: " MOVE "sti\n" "hlt\n" "l2_hlt_end: vmmcall\n"
	"l2_cli: cli\n" MOVE "nop\n" "vmmcall\n"
	"l2_tpr: mov %cr8, %rbx\n" "mov $5, %ecx\n" "mov %rcx, %cr8\n" MOVE "mov %cr8, %rdx\n" "vmmcall\n"
	"l2_tsc: rdtsc\n" "shl $32, %rdx\n" "or %rdx, %rax\n" "mov %rax, %rbx\n" MOVE "rdtsc\n" "shl $32, %rdx\n" "or %rdx, %rax\n" "vmmcall\n"
	"l2_iret: iretq\n"
	"l2_handler: pop %rbx\n" "pop %rcx\n" "vmmcall\n"
	"i_cpuid: cpuid\n" "i_hlt: hlt\n" "i_rdtsc: rdtsc\n" "i_rdtscp: rdtscp\n" "i_rdpmc: rdpmc\n" "i_pushf: pushf\n"
	"i_popf: popf\n" "i_invd: invd\n" "i_wbinvd: wbinvd\n" "i_pause: pause\n" "i_invlpg: invlpg (%rax)\n"
	"i_swint: int $0x33\n" "i_icebp: .byte 0xf1\n" "i_rsm: rsm\n" "i_vmload: vmload %rax\n" "i_vmsave: vmsave %rax\n"
	"i_vmrun: vmrun %rax\n" "i_stgi: stgi\n" "i_clgi: clgi\n" "i_skinit: skinit\n" "i_invlpga: invlpga %rax, %ecx\n"
	"i_vmmcall: vmmcall\n" "i_xsetbv: xsetbv\n" "i_monitor: monitor\n" "i_mwait: mwait\n"
	"i_cr0_read: mov %cr0, %rbx\n" "i_cr3_write: mov %rbx, %cr3\n" "i_cr8_write: mov %rbx, %cr8\n"
	"i_clts: clts\n" "i_lmsw: lmsw %bx\n" "i_smsw: smsw %ebx\n" "i_cr0_write: mov %rbx, %cr0\n"
	"i_dr7_read: mov %dr7, %rbx\n" "i_dr0_write: mov %rbx, %dr0\n" "i_sidt: sidt (%rsp)\n" "i_lidt: lidt (%rsp)\n"
	"i_sgdt: sgdt (%rsp)\n" "i_lgdt: lgdt (%rsp)\n" "i_sldt: sldt %eax\n" "i_lldt: lldt %ax\n" "i_str: str %eax\n"
	"i_ltr: ltr %ax\n" "i_iret: iretq\n" "i_in: in $0x70, %al\n" "i_rdmsr: rdmsr\n" "i_ud: ud2\n" "i_div: div %ecx\n"
	"i_int3: int3\n" "i_end: nop\n")

#define LABELS(X) X(l1_stgi) X(l1_area) X(l1_clgi_hlt) X(l2_plain) X(l2_loop) X(l2_ports) X(l2_ports_2) X(l2_straddle) \
	X(l2_cpuid) X(l2_msrs) X(l2_msrs_2) X(l2_msr_high) X(l2_lstar) X(l2_ud) X(l2_read) X(l2_write) X(l2_fetch) \
	X(l2_device) X(l2_sti) X(l2_hlt) X(l2_hlt_end) X(l2_cli) X(l2_tpr) X(l2_tsc) X(l2_iret) X(l2_handler) X(i_cpuid) X(i_hlt) X(i_rdtsc) \
	X(i_rdtscp) X(i_rdpmc) X(i_pushf) X(i_popf) X(i_invd) X(i_wbinvd) X(i_pause) X(i_invlpg) X(i_swint) X(i_icebp) \
	X(i_rsm) X(i_vmload) X(i_vmsave) X(i_vmrun) X(i_stgi) X(i_clgi) X(i_skinit) X(i_invlpga) X(i_vmmcall) X(i_xsetbv) \
	X(i_monitor) X(i_mwait) X(i_cr0_read) X(i_cr3_write) X(i_cr8_write) X(i_clts) X(i_lmsw) X(i_smsw) X(i_cr0_write) \
	X(i_dr7_read) X(i_dr0_write) X(i_sidt) X(i_lidt) X(i_sgdt) X(i_lgdt) X(i_sldt) X(i_lldt) X(i_str) X(i_ltr) X(i_iret) \
	X(i_in) X(i_rdmsr) X(i_ud) X(i_div) X(i_int3) X(i_end)
LABELS(LABEL)
#define L2(label) AT(code, label)

/* --- L1's tools ------------------------------------------------------------------------------------ */

static inline struct vmcb *vmcb12(struct tiny *t)
{
	return (struct vmcb *)(t->memory + VMCB12);
}

static inline void intercept(struct tiny *t, unsigned bit)
{
	vmcb12(t)->control.intercept[bit / 32] |= 1u << bit % 32;
}

static inline void intercept_not(struct tiny *t, unsigned bit)
{
	vmcb12(t)->control.intercept[bit / 32] &= ~(1u << bit % 32);
}

static inline struct x86_seg seg_of(const struct kvm_segment *s)
{
	return (struct x86_seg){
		.selector = s->selector, .limit = s->limit, .base = s->base,
		.attr = (u16)(s->type | s->s << 4 | s->dpl << 5 | s->present << 7 | s->avl << 8 | s->l << 9 | s->db << 10 |
			      s->g << 11),
	};
}

/* A VMCB for L2 code at rip, in L1's own address space. */
static inline void l2_set(struct tiny *t, u64 rip)
{
	struct kvm_sregs s = tiny_sregs(t, 0);
	struct vmcb *v = vmcb12(t);

	memset(v, 0, sizeof(*v));
	v->control.asid = 1;
	v->control.iopm_base_pa = IOPM;
	v->control.msrpm_base_pa = MSRPM;
	v->save.es = v->save.ss = v->save.ds = seg_of(&s.ds);
	v->save.cs = seg_of(&s.cs);
	v->save.gdtr = (struct x86_seg){ .base = s.gdt.base, .limit = s.gdt.limit };
	v->save.idtr = (struct x86_seg){ .base = s.idt.base, .limit = s.idt.limit };
	v->save.efer = s.efer;
	v->save.cr0 = s.cr0;
	v->save.cr3 = s.cr3;
	v->save.cr4 = s.cr4;
	v->save.dr6 = 0xffff0ff0;
	v->save.dr7 = 0x400;
	v->save.rflags = 2;
	v->save.rip = rip;
	v->save.rsp = L2_STACK;
	v->save.rax = 0x100;
	v->save.g_pat = 0x0007040600070406ull;
	intercept(t, VMCB_INTERCEPT_VMRUN);
	intercept(t, VMCB_INTERCEPT_VMMCALL);
	intercept(t, VMCB_INTERCEPT_SHUTDOWN);
}

/* Nested page tables that map the first 4 MiB, and the device behind, onto themselves. */
static inline void npt_set(struct tiny *t)
{
	memset(t->memory + NPT, 0, 0x6000);
	tiny_put(t, NPT, 8, (NPT + 0x1000) | 7);
	tiny_put(t, NPT + 0x1000, 8, (NPT + 0x2000) | 7);
	for (u64 n = 0; n < 3; n++)
		tiny_put(t, NPT + 0x2000 + n * 8, 8, n < 2 ? (NPT_PT + n * 0x1000) | 7 : n << 21 | 0x87);
	for (u64 n = 0; n < 1024; n++)
		tiny_put(t, NPT_PT + n * 8, 8, n << 12 | 7);
	vmcb12(t)->control.nested_ctl = VMCB_NP_ENABLE;
	vmcb12(t)->control.n_cr3 = NPT;
}

static inline u64 npt_entry(u64 gpa)
{
	return NPT_PT + (gpa >> 12) * 8;
}

static inline void begin(struct tiny *t, unsigned flags)
{
	struct kvm_sregs s;

	tiny_create(t, flags, 1);
	tiny_load(t, TINY_64, BLOB(code));
	tiny_start(t, 0, TINY_64);
	s = tiny_sregs(t, 0);
	s.efer |= X86_EFER_SVME;
	tiny_set_sregs(t, 0, &s);
	EXPECT_EQ(tiny_set_msr(t, 0, X86_MSR_VM_HSAVE_PA, HSAVE), 1);
}

/* --- moving ------------------------------------------------------------------------------------------- */

static inline void move(struct tiny *t)
{
	static struct { struct kvm_nested_state head; u8 vmcb[4096]; } nested;
	struct { struct kvm_msrs head; struct kvm_msr_entry e[11]; } msrs = { .head.nmsrs = 11, .e = {
		{ X86_MSR_TSC, 0, 0 }, { X86_MSR_VM_HSAVE_PA, 0, 0 }, { X86_MSR_STAR, 0, 0 }, { X86_MSR_LSTAR, 0, 0 }, { X86_MSR_CSTAR, 0, 0 },
		{ X86_MSR_SFMASK, 0, 0 }, { X86_MSR_KERNEL_GS_BASE, 0, 0 }, { X86_MSR_PAT, 0, 0 }, { X86_MSR_SYSENTER_CS, 0, 0 },
		{ X86_MSR_SYSENTER_ESP, 0, 0 }, { X86_MSR_SYSENTER_EIP, 0, 0 } } };
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct tiny new;

	t->cpu[0].run->immediate_exit = 1;
	EXPECT_EQ(tiny_run(t, 0), -EINTR);
	t->cpu[0].run->immediate_exit = 0;
	memset(&nested, 0, sizeof(nested));
	nested.head.size = sizeof(nested);
	MUST(cpu_ioctl(t, 0, KVM_GET_NESTED_STATE, &nested));
	EXPECT_EQ(cpu_ioctl(t, 0, KVM_GET_MSRS, &msrs), 11);
	MUST(cpu_ioctl(t, 0, KVM_GET_VCPU_EVENTS, &events));
	regs = tiny_regs(t, 0);
	sregs = tiny_sregs(t, 0);
	tiny_create(&new, t->flags, 1);
	memcpy(new.memory, t->memory, TINY_BYTES);
	if (smram)
		MUST(tiny_slot(&new, 1u << 16, SMBASE, smram, SMRAM_BYTES, 0));
	tiny_set_sregs(&new, 0, &sregs);
	tiny_set_regs(&new, 0, &regs);
	EXPECT_EQ(cpu_ioctl(&new, 0, KVM_SET_MSRS, &msrs), 11);
	if (t->flags & TINY_IRQCHIP) {
		MUST(cpu_ioctl(t, 0, KVM_GET_LAPIC, &lapic));
		MUST(cpu_ioctl(&new, 0, KVM_SET_LAPIC, &lapic));
		MUST(cpu_ioctl(&new, 0, KVM_SET_MP_STATE, &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE }));
	}
	MUST(cpu_ioctl(&new, 0, KVM_SET_NESTED_STATE, &nested));
	MUST(cpu_ioctl(&new, 0, KVM_SET_VCPU_EVENTS, &events));
	tiny_destroy(t);
	*t = new;
}

/* Until L1 says DONE; L2's PORT_MOVE is a chance to move. */
static inline bool run_(struct tiny *t, int line)
{
	for (;;) {
		int r = tiny_run(t, 0);

		if (r == -EINTR)
			continue;
		if (r == KVM_EXIT_IO && tiny_is_out(t->cpu[0].run, PORT_DONE))
			return true;
		if (r == KVM_EXIT_IO && tiny_is_out(t->cpu[0].run, PORT_MOVE)) {
			if (moving)
				move(t);
			continue;
		}
		fprintf(stderr, "%s:%d: expected an exit to L1\n", __FILE__, line);
		tiny_describe(t, 0, r);
		test_failures++;
		return false;
	}
}
#define RUN(t) run_(t, __LINE__)

/* L2 up to its OUT to PORT_MOVE. */
static inline void run_to_move(struct tiny *t)
{
	EXPECT_EXIT(t, 0, KVM_EXIT_IO);
	EXPECT(tiny_is_out(t->cpu[0].run, PORT_MOVE));
	if (moving)
		move(t);
}

static inline bool l2_exits_(struct tiny *t, u64 code_expected, int line)
{
	if (!run_(t, line))
		return false;
	if (vmcb12(t)->control.exitcode == code_expected)
		return true;
	fprintf(stderr, "%s:%d: #VMEXIT %#llx (%#llx, %#llx) at %#llx, expected %#llx\n", __FILE__, line,
		(unsigned long long)vmcb12(t)->control.exitcode, (unsigned long long)vmcb12(t)->control.exitinfo1,
		(unsigned long long)vmcb12(t)->control.exitinfo2, (unsigned long long)vmcb12(t)->save.rip,
		(unsigned long long)code_expected);
	test_failures++;
	return false;
}
#define L2_EXITS(t, code) l2_exits_(t, code, __LINE__)

/* All tests, twice. */
static inline int nested_main(void (*all)(void))
{
	const char *npt = getenv("ANYKVM_NPT");

	tiny_watchdog();
	if (npt && !strcmp(npt, "0")) {
		TEST_SKIP("nested", "AMD-V is not offered to guests without nested paging");
		return test_status();
	}
	all();
	moving = true;
	all();
	return test_status();
}

#endif
