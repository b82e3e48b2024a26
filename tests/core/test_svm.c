// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_svm.c - the AMD-V back end against a VMRUN that a test plays
 */
#include <errno.h>
#include <stdlib.h>

#include "core/vm.h"
#include "host/sim/sim.h"
#include "insn/insn.h"
#include "svm/svm.h"
#include "tests/test.h"
#include "x86/vmcb.h"

static struct {
	struct vm *vm;
	struct vcpu *v;
	struct vmcb *vmcb, seen;		/* as VMRUN found it */
	void (*guest)(struct vmcb *vmcb, u64 gpr[16]);
	u32 features, asids;
	unsigned levels;			/* of the host's page tables; 0: 4 */
	struct { u64 efer, hsave, tsc_aux, vm_cr; } msr[2];	/* by processor */
	unsigned runs, saves;
	hpa_t host, saved;			/* as VMRUN was told; where VMSAVE went last */
	u64 tsc_aux;				/* while the guest ran */
} m;

void insn_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	(void)subleaf;
	out[0] = out[1] = out[2] = out[3] = 0;
	if (leaf == 0x80000000)
		out[0] = 0x8000000a;
	if (leaf == 0x80000001)
		out[2] = 4;
	if (leaf == 0x8000000a) {
		out[1] = m.asids;
		out[3] = m.features;
	}
}

static u64 *msr_at(u32 msr)
{
	__typeof__(m.msr[0]) *r = &m.msr[host_cpu()];

	return msr == X86_MSR_EFER ? &r->efer : msr == X86_MSR_VM_HSAVE_PA ? &r->hsave :
	       msr == X86_MSR_TSC_AUX ? &r->tsc_aux : msr == X86_MSR_VM_CR ? &r->vm_cr : NULL;
}

int insn_rdmsr(u32 msr, u64 *value)
{
	*value = msr_at(msr) ? *msr_at(msr) : 0;
	return msr_at(msr) ? 0 : -EIO;
}

int insn_wrmsr(u32 msr, u64 value)
{
	if (!msr_at(msr))
		return -EIO;
	*msr_at(msr) = value;
	return 0;
}

u64 insn_rdtsc(void) { return host_now(); }

unsigned insn_host_levels(void) { return m.levels ? m.levels : 4; }

void insn_vmrun(hpa_t pa, hpa_t host, u64 gpr[16])
{
	struct vmcb *vmcb = host_from_bus(pa);

	EXPECT_EQ(m.msr[host_cpu()].efer & X86_EFER_SVME, X86_EFER_SVME);
	EXPECT(m.msr[host_cpu()].hsave != 0);
	m.vmcb = vmcb;
	m.host = host;
	m.tsc_aux = m.msr[host_cpu()].tsc_aux;
	m.seen = *vmcb;
	m.runs++;
	vmcb->control.exitcode = VMEXIT_SHUTDOWN;
	vmcb->control.exitintinfo = 0;
	if (m.guest)
		m.guest(vmcb, gpr);
}

void insn_vmload(hpa_t vmcb) { (void)vmcb; }
void insn_vmsave(hpa_t vmcb) { m.saved = vmcb; m.saves++; }
void insn_clgi(void) { }
void insn_stgi(void) { }
void insn_invlpga(u64 linear, u32 asid) { (void)linear; (void)asid; }
bool insn_counters(u64 counts[INSN_COUNTERS]) { (void)counts; return false; }
void insn_fpu_enter(const void *area, u64 xcr0, u32 *pkru) { (void)area; (void)xcr0; (void)pkru; }
void insn_fpu_leave(void *area, u64 xcr0, u32 *pkru) { (void)area; (void)xcr0; (void)pkru; }

static u64 dr_loaded[4];
void insn_debug_load(const u64 dr[4]) { memcpy(dr_loaded, dr, sizeof(dr_loaded)); }
void insn_debug_save(u64 dr[4]) { (void)dr; }

#define NRIPS	8u
#define NP	1u
#define FLUSH	0x40u
#define DECODE	0x80u

static void *run_pages;

static void create_with(u32 features)
{
	unsigned levels = m.levels;

	memset(&m, 0, sizeof(m));
	m.levels = levels;
	m.features = features;
	m.asids = 5;
	sim_reset();
	core_set_backend(&svm_backend);
	run_pages = aligned_alloc(PAGE_BYTES, VCPU_RUN_PAGES * PAGE_BYTES);
	memset(run_pages, 0, VCPU_RUN_PAGES * PAGE_BYTES);
	EXPECT_EQ(vm_create(0, &m.vm), 0);
	EXPECT_EQ(irq_create_chips(m.vm), 0);
	EXPECT_EQ(vcpu_create(m.vm, 0, run_pages, &m.v), 0);
}

static void create(u32 features)
{
	create_with(NP | features);
}

static void destroy(void)
{
	vm_destroy(m.vm);
	free(run_pages);
	EXPECT_EQ(m.msr[0].efer & X86_EFER_SVME, 0);
}

static void run(void)
{
	EXPECT_EQ(vcpu_run(m.v), 0);
}

static bool intercepted(unsigned bit)
{
	return m.seen.control.intercept[bit / 32] >> bit % 32 & 1;
}

static void only_with_asids(void)
{
	struct vm *vm;

	memset(&m, 0, sizeof(m));
	sim_reset();
	core_set_backend(&svm_backend);
	m.features = NP;
	m.asids = 1;
	EXPECT_EQ(vm_create(0, &vm), -EOPNOTSUPP);
	EXPECT_EQ(m.runs, 0);
}

/* Shadow tables: what the guest thinks of its paging is not what the processor is told. */
static void without_nested_paging(void)
{
	struct kvm_sregs sregs;
	u64 *root;

	create_with(FLUSH);
	EXPECT(!core_is_nested());		/* CPUID does not offer it */
	run();
	EXPECT_EQ(m.seen.control.nested_ctl, 0);
	EXPECT_EQ(m.seen.save.cr0, 0x80010010);
	EXPECT_EQ(m.seen.save.cr4, X86_CR4_PAE);
	EXPECT_EQ(m.seen.save.efer, X86_EFER_SVME | X86_EFER_NXE);
	EXPECT(intercepted(VMCB_INTERCEPT_EXCEPTION(X86_PF)) && intercepted(VMCB_INTERCEPT_INVLPG));
	EXPECT(intercepted(VMCB_INTERCEPT_CR_READ(3)) && intercepted(VMCB_INTERCEPT_CR_WRITE(3)));
	EXPECT(intercepted(VMCB_INTERCEPT_CR_READ(0)) && intercepted(VMCB_INTERCEPT_CR_WRITE(0)));
	EXPECT(intercepted(VMCB_INTERCEPT_CR_READ(4)) && intercepted(VMCB_INTERCEPT_CR0_SEL_WRITE));
	root = host_from_bus(m.seen.save.cr3);
	for (unsigned n = 0; n < 4; n++)
		EXPECT_EQ(root[n] & 0xfff, 1);
	EXPECT_EQ(root[4], 0);
	EXPECT_EQ(vcpu_get_sregs(m.v, &sregs), 0);
	EXPECT_EQ(sregs.cr0, 0x60000010);
	EXPECT_EQ(sregs.cr3, 0);
	EXPECT_EQ(sregs.cr4, 0);
	EXPECT_EQ(sregs.efer, 0);

	sregs.cr0 = 0x80010031;
	sregs.cr3 = 0x5000;
	sregs.cr4 = X86_CR4_PAE;
	sregs.efer = X86_EFER_LME | X86_EFER_LMA;
	m.v->x.cr4_valid |= X86_CR4_PAE;
	m.v->x.efer_valid |= X86_EFER_LME;
	EXPECT_EQ(vcpu_set_sregs(m.v, &sregs), 0);
	run();
	EXPECT_EQ(m.seen.save.cr0, 0x80010031);
	EXPECT_EQ(m.seen.save.efer & (X86_EFER_LME | X86_EFER_NXE), X86_EFER_LME | X86_EFER_NXE);
	EXPECT(m.seen.save.cr3 != 0x5000 && host_from_bus(m.seen.save.cr3) == m.v->shadow.root);
	EXPECT(m.seen.control.tlb_control);
	EXPECT(!intercepted(VMCB_INTERCEPT_CR_READ(0)) && !intercepted(VMCB_INTERCEPT_CR_READ(4)));
	EXPECT_EQ(vcpu_get_sregs(m.v, &sregs), 0);
	EXPECT_EQ(sregs.cr3, 0x5000);
	EXPECT_EQ(sregs.efer, X86_EFER_LME | X86_EFER_LMA);

	/* A root that does not fit the mode is never walked. */
	m.runs = 0;
	vcpu_regs_dirty(m.v, REGS_CR);
	m.v->x.efer = 0;
	m.v->x.cr0 = 0x10;
	run();
	EXPECT_EQ(m.runs, 1);
	EXPECT(host_from_bus(m.seen.save.cr3) == m.v->shadow.legacy);
	destroy();
	core_use_nested(true);
}

static void the_first_entry(void)
{
	create(0);
	run();
	EXPECT_EQ(((struct kvm_run *)run_pages)->exit_reason, KVM_EXIT_SHUTDOWN);
	EXPECT_EQ(m.seen.save.rip, 0xfff0);
	EXPECT_EQ(m.seen.save.cs.base, 0xffff0000);
	EXPECT_EQ(m.seen.save.cs.attr, 0x9b);
	EXPECT_EQ(m.seen.save.cr0, 0x10);		/* the guest sees CD and NW all the same */
	EXPECT_EQ(m.v->x.cr0 = (vcpu_regs_need(m.v, REGS_CR), m.v->x.cr0), 0x60000010);
	EXPECT_EQ(m.seen.save.efer, X86_EFER_SVME);
	EXPECT_EQ(m.v->x.efer, 0);
	EXPECT_EQ(m.seen.save.g_pat, 0x0007040600070406ull);
	EXPECT_EQ(m.seen.control.nested_ctl, 1);
	EXPECT_EQ(m.seen.control.n_cr3, host_bus_address(m.vm->mmu.root));
	EXPECT(m.seen.control.asid >= 1);
	EXPECT_EQ(m.seen.control.int_ctl, VMCB_INT_CTL_MASKING);
	EXPECT(intercepted(VMCB_INTERCEPT_INTR) && intercepted(VMCB_INTERCEPT_SHUTDOWN));
	EXPECT(intercepted(VMCB_INTERCEPT_VMRUN) && intercepted(VMCB_INTERCEPT_CR_READ(0)));
	EXPECT(!intercepted(VMCB_INTERCEPT_CR_WRITE(3)) && !intercepted(VMCB_INTERCEPT_IRET));
	EXPECT(m.host && m.host == m.saved);		/* what was saved last is what comes back */
	EXPECT_EQ(m.saves, m.runs);
	destroy();
}

/* Where the host has five levels a nested walk has, too: a page on top leads to the root. */
static void five_levels(void)
{
	u64 *top;

	m.levels = 5;
	create(0);
	run();
	top = host_from_bus(m.seen.control.n_cr3);
	EXPECT(top != m.vm->mmu.root);
	EXPECT_EQ(top[0], host_bus_address(m.vm->mmu.root) | 0x27);
	EXPECT_EQ(top[1], 0);
	m.levels = 0;
	destroy();
}

static void permission_maps(void)
{
	const u8 *msrpm, *iopm;

	create(0);
	run();
	msrpm = host_from_bus(m.seen.control.msrpm_base_pa);
	iopm = host_from_bus(m.seen.control.iopm_base_pa);
	for (unsigned n = 0; n < 3 * PAGE_BYTES; n++)
		if (iopm[n] != 0xff)
			EXPECT_EQ(iopm[n], 0xff);
	for (u32 msr = 0xc0000000; msr < 0xc0002000; msr++) {
		unsigned bits = msrpm[0x800 + (msr & 0x1fff) / 4] >> (msr & 3) * 2 & 3;
		bool passed = (msr >= X86_MSR_STAR && msr <= X86_MSR_SFMASK) ||
			      (msr >= X86_MSR_FS_BASE && msr <= X86_MSR_KERNEL_GS_BASE);

		if (bits != (passed ? 0 : 3))
			EXPECT_EQ(bits, passed ? 0 : 3);
	}
	EXPECT_EQ(msrpm[0x174 / 4] | msrpm[0x175 / 4] | msrpm[0x176 / 4], 0xc0);
	EXPECT_EQ(msrpm[X86_MSR_EFER / 4 % 0x800], 0xff);
	destroy();
}

static void change_registers(struct vmcb *vmcb, u64 gpr[16])
{
	vmcb->save.rax = 0x11;
	vmcb->save.rsp = 0x22;
	vmcb->save.rip = 0x33;
	vmcb->save.rflags = 0x202;
	gpr[3] = 0x44;
	gpr[0] = 0xdead;		/* RAX is the VMCB's */
	vmcb->save.cr3 = 0x5000;
	vmcb->save.ds.base = 0x66;
	vmcb->save.lstar = 0x77;
	vmcb->save.dr6 = 0x88;
	vmcb->save.cpl = 3;
	vmcb->save.gdtr.base = 0x99;
}

static void registers_cross(void)
{
	create(0);
	m.guest = change_registers;
	run();
	EXPECT_EQ(m.v->x.gpr[0], 0x11);
	EXPECT_EQ(m.v->x.gpr[4], 0x22);
	EXPECT_EQ(m.v->x.rip, 0x33);
	EXPECT_EQ(m.v->x.gpr[3], 0x44);
	vcpu_regs_need(m.v, REGS_ALL);
	EXPECT_EQ(m.v->x.cr3, 0x5000);
	EXPECT_EQ(m.v->x.seg[X86_DS].base, 0x66);
	EXPECT_EQ(m.v->x.lstar, 0x77);
	EXPECT_EQ(m.v->x.dr6, 0x88);
	EXPECT_EQ(m.v->x.cpl, 3);
	EXPECT_EQ(m.v->x.gdtr.base, 0x99);
	vcpu_regs_dirty(m.v, REGS_ALL);
	m.v->x.cr0 = 0x80000011;
	m.v->x.seg[X86_FS].base = 0xaa;
	m.v->x.tsc_aux = 7;
	m.guest = NULL;
	run();
	EXPECT_EQ(m.seen.save.cr0, 0x80000011);
	EXPECT_EQ(m.seen.save.fs.base, 0xaa);
	EXPECT_EQ(m.tsc_aux, 7);
	EXPECT_EQ(m.msr[0].tsc_aux, 0);			/* the host's again */
	EXPECT(!intercepted(VMCB_INTERCEPT_CR_READ(0)));
	destroy();
}

static void asids_run_out(void)
{
	u32 seen = 0;

	create(0);
	for (unsigned n = 0; n < 9; n++) {
		vcpu_request(m.v, REQ_TLB_FLUSH);
		run();
		EXPECT(m.seen.control.asid >= 1 && m.seen.control.asid < m.asids);
		seen |= 1u << m.seen.control.asid;
		EXPECT_EQ(m.seen.control.tlb_control, n && m.seen.control.asid == 1 ? VMCB_TLB_FLUSH_ALL : 0);
	}
	EXPECT_EQ(seen, 0x1e);
	run();			/* nothing asked for: the same again, and no flush */
	EXPECT_EQ(m.seen.control.tlb_control, 0);
	destroy();
	create(FLUSH);
	run();
	run();
	seen = m.seen.control.asid;
	vcpu_request(m.v, REQ_TLB_FLUSH);
	run();
	EXPECT_EQ(m.seen.control.tlb_control, VMCB_TLB_FLUSH_ASID);
	EXPECT_EQ(m.seen.control.asid, seen);
	sim_cpu(1);		/* another processor knows nothing of that ASID */
	run();
	EXPECT(m.seen.control.asid >= 1);
	sim_cpu(0);
	destroy();
}

static void events_are_encoded(void)
{
	create(0);
	vcpu_regs_dirty(m.v, REGS_CR);
	m.v->x.cr0 |= X86_CR0_PE;
	event_exception(m.v, X86_GP, true, 0x1234);
	run();
	EXPECT_EQ(m.seen.control.eventinj, 0x123480000b0dull);
	run();
	EXPECT_EQ(m.seen.control.eventinj, 0);
	event_exception(m.v, X86_UD, false, 0);
	run();
	EXPECT_EQ(m.seen.control.eventinj, 0x80000306);
	m.v->x.rflags |= X86_FLAG_IF;
	m.v->external_vector = 0x30;
	vcpu_request(m.v, REQ_EVENT);
	run();
	EXPECT_EQ(m.seen.control.eventinj, 0x80000030);
	destroy();
}

static u64 interrupted;
static void interrupt_delivery(struct vmcb *vmcb, u64 gpr[16])
{
	(void)gpr;
	vmcb->control.exitintinfo = m.runs == 1 ? interrupted : 0;
	vmcb->control.exitcode = m.runs == 1 ? VMEXIT_INTR : VMEXIT_SHUTDOWN;
}

static void interrupted_deliveries_are_resumed(void)
{
	static const struct { u64 info; bool again; } cases[] = {
		{ 0x80000031, true }, { 0x80000202, true }, { 0x80000306, true }, { 0x480000b0eull, true },
		{ 0x80000480, false },		/* INT 80h runs again by itself */
		{ 0x80000303, false }, { 0x80000304, false },	/* so do INT3 and INTO */
		{ 0x31, false },
	};

	for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
		create(0);
		vcpu_regs_dirty(m.v, REGS_CR);
		m.v->x.cr0 |= X86_CR0_PE;
		interrupted = cases[n].info;
		m.guest = interrupt_delivery;
		run();
		EXPECT_EQ(m.runs, 2);
		EXPECT_EQ(m.seen.control.eventinj, cases[n].again ? cases[n].info : 0);
		destroy();
	}
}

static void take_the_window(struct vmcb *vmcb, u64 gpr[16])
{
	(void)gpr;
	if (m.runs == 1) {
		EXPECT(intercepted(VMCB_INTERCEPT_VINTR));
		EXPECT_EQ(m.seen.control.int_ctl & (VMCB_INT_CTL_V_IRQ | VMCB_INT_CTL_IGN_TPR),
			  VMCB_INT_CTL_V_IRQ | VMCB_INT_CTL_IGN_TPR);
		vmcb->save.rflags |= X86_FLAG_IF;
		vmcb->control.exitcode = VMEXIT_VINTR;
	}
}

static void an_interrupt_window(void)
{
	create(0);
	m.guest = take_the_window;
	m.v->external_vector = 0x44;
	vcpu_request(m.v, REQ_EVENT);
	run();
	EXPECT_EQ(m.runs, 2);
	EXPECT_EQ(m.seen.control.eventinj, 0x80000044);
	EXPECT(!intercepted(VMCB_INTERCEPT_VINTR));
	EXPECT_EQ(m.seen.control.int_ctl & VMCB_INT_CTL_V_IRQ, 0);
	destroy();
}

/* An NMI handler: a second NMI waits for the first's IRET to be done. */
static void nmi_handler(struct vmcb *vmcb, u64 gpr[16])
{
	(void)gpr;
	switch (m.runs) {
	case 1:
		EXPECT_EQ(m.seen.control.eventinj, 0x80000202);
		EXPECT(intercepted(VMCB_INTERCEPT_IRET));
		vmcb->control.exitcode = VMEXIT_INTR;
		vmcb->save.rip = 0x100;
		event_nmi(m.v);
		break;
	case 2:
		EXPECT_EQ(m.seen.control.eventinj, 0);
		vmcb->control.exitcode = VMEXIT_IRET;
		break;
	case 3:			/* the IRET itself runs, single-stepped */
		EXPECT_EQ(m.seen.control.eventinj, 0);
		EXPECT(!intercepted(VMCB_INTERCEPT_IRET));
		EXPECT_EQ(m.seen.save.rflags & X86_FLAG_TF, X86_FLAG_TF);
		vmcb->save.rip = 0x200;
		vmcb->save.dr6 |= 1ull << 14;
		vmcb->control.exitcode = VMEXIT_EXCP0 + X86_DB;
		break;
	case 4:
		EXPECT_EQ(m.seen.control.eventinj, 0x80000202);
		EXPECT_EQ(m.seen.save.rflags & X86_FLAG_TF, 0);
		EXPECT_EQ(m.seen.save.dr6 & 1ull << 14, 0);
		break;
	}
}

static void nmis_do_not_nest(void)
{
	create(0);
	m.guest = nmi_handler;
	event_nmi(m.v);
	run();
	EXPECT_EQ(m.runs, 4);
	destroy();
}

static struct vmcb_control play;
static void play_exit(struct vmcb *vmcb, u64 gpr[16])
{
	(void)gpr;
	vmcb->control.exitcode = play.exitcode;
	vmcb->control.exitinfo1 = play.exitinfo1;
	vmcb->control.exitinfo2 = play.exitinfo2;
	vmcb->control.next_rip = play.next_rip;
	vmcb->control.fetched = play.fetched;
	memcpy(vmcb->control.instruction, play.instruction, 15);
}

static struct exit exit_of(u64 code, u64 info1, u64 info2)
{
	struct exit e;

	play.exitcode = code;
	play.exitinfo1 = info1;
	play.exitinfo2 = info2;
	m.guest = play_exit;
	host_pin();
	svm_backend.run(m.v, &e);
	host_unpin();
	return e;
}

static void exits_are_described(void)
{
	struct exit e;

	create(NRIPS | DECODE);
	run();
	play.next_rip = 0x123;
	EXPECT_EQ(exit_of(VMEXIT_CPUID, 0, 0).kind, EXIT_CPUID);
	EXPECT_EQ(exit_of(VMEXIT_CPUID, 0, 0).next_rip, 0x123);
	e = exit_of(VMEXIT_IOIO, 0x3f8ull << 16 | 1 << 7 | 2 << 4 | 1, 0x1002);
	EXPECT_EQ(e.kind, EXIT_IO);
	EXPECT(e.io.in && !e.io.string && !e.io.rep);
	EXPECT_EQ(e.io.port, 0x3f8);
	EXPECT_EQ(e.io.bytes, 2);
	EXPECT_EQ(e.io.ad_bytes, 2);
	EXPECT_EQ(e.next_rip, 0x1002);
	e = exit_of(VMEXIT_IOIO, 0x60ull << 16 | 3 << 10 | 4 << 7 | 4 << 4 | 0xc, 0);
	EXPECT(!e.io.in && e.io.string && e.io.rep);
	EXPECT_EQ(e.io.seg, 3);
	EXPECT_EQ(e.io.ad_bytes, 8);
	EXPECT_EQ(e.io.bytes, 4);
	play.fetched = 3;
	memcpy(play.instruction, "\x67\x88\x03", 3);
	e = exit_of(VMEXIT_NPF, 6 | VMCB_NPF_FINAL, 0xfee00020);
	EXPECT_EQ(e.kind, EXIT_MEMORY);
	EXPECT_EQ(e.memory.gpa, 0xfee00020);
	EXPECT_EQ(e.memory.access, X86_WRITE);
	EXPECT(!e.memory.present && !e.memory.table_walk);
	EXPECT_EQ(e.byte_count, 3);
	EXPECT_EQ(e.bytes[1], 0x88);
	e = exit_of(VMEXIT_NPF, 0x15 | VMCB_NPF_TABLE, 0x5000);
	EXPECT_EQ(e.memory.access, X86_FETCH);
	EXPECT(e.memory.present && e.memory.table_walk);
	EXPECT_EQ(exit_of(VMEXIT_MSR, 0, 0).kind, EXIT_MSR_READ);
	EXPECT_EQ(exit_of(VMEXIT_MSR, 1, 0).kind, EXIT_MSR_WRITE);
	e = exit_of(VMEXIT_CR0_WRITE + 4, 0, 0);
	EXPECT_EQ(e.kind, EXIT_CR_WRITE);
	EXPECT_EQ(e.cr.number, 4);
	EXPECT_EQ(exit_of(VMEXIT_CR0_READ, 0, 0).kind, EXIT_CR_READ);
	EXPECT_EQ(exit_of(VMEXIT_DR0_READ + 7, 0, 0).kind, EXIT_DR);
	EXPECT_EQ(exit_of(VMEXIT_DR0_WRITE + 15, 0, 0).kind, EXIT_DR);
	e = exit_of(VMEXIT_EXCP0 + X86_AC, 0, 0);
	EXPECT_EQ(e.exception.vector, X86_AC);
	EXPECT(e.exception.has_error);
	e = exit_of(VMEXIT_TASK_SWITCH, 0x28, 1ull << 38);
	EXPECT_EQ(e.kind, EXIT_TASK_SWITCH);
	EXPECT_EQ(e.task.selector, 0x28);
	EXPECT_EQ(e.task.reason, X86_TASK_JMP);
	e = exit_of(VMEXIT_INVALID, 0, 0);
	EXPECT_EQ(e.kind, EXIT_FAIL_ENTRY);
	EXPECT_EQ(e.hardware_reason, VMEXIT_INVALID);
	EXPECT_EQ(exit_of(0x200, 0, 0).kind, EXIT_FAIL_ENTRY);
	EXPECT_EQ(exit_of(VMEXIT_VMRUN, 0, 0).kind, EXIT_NESTED);
	EXPECT_EQ(exit_of(VMEXIT_WBINVD, 0, 0).kind, EXIT_INVD);
	destroy();
}

static void lower_tpr(struct vmcb *vmcb, u64 gpr[16])
{
	(void)gpr;
	EXPECT_EQ(vmcb->control.int_ctl & 0xf, 9);
	vmcb->control.int_ctl = (vmcb->control.int_ctl & ~0xfull) | 3;
}

static void the_tpr_crosses(void)
{
	create(0);
	vcpu_cr8_set(m.v, 9);
	m.guest = lower_tpr;
	run();
	EXPECT_EQ(vcpu_cr8_get(m.v), 3);
	EXPECT(!intercepted(VMCB_INTERCEPT_CR_WRITE(8)));
	destroy();
}

static void breakpoints_reach_the_processor(void)
{
	struct kvm_debugregs d = { .db = { 0x1000, 2, 3, 4 }, .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct kvm_guest_debug g = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP };

	create(0);
	memset(dr_loaded, 0, sizeof(dr_loaded));
	EXPECT_EQ(vcpu_set_debugregs(m.v, &d), 0);
	run();
	EXPECT_EQ(dr_loaded[0], 0);		/* none is enabled */
	d.dr7 = 0x402;
	EXPECT_EQ(vcpu_set_debugregs(m.v, &d), 0);
	run();
	EXPECT_EQ(dr_loaded[0], 0x1000);
	EXPECT_EQ(m.seen.save.dr7, 0x402);
	g.arch.debugreg[1] = 0x5555;		/* a debugger's come first */
	g.arch.debugreg[7] = 0x40c;
	EXPECT_EQ(vcpu_set_guest_debug(m.v, &g), 0);
	run();
	EXPECT_EQ(dr_loaded[1], 0x5555);
	EXPECT_EQ(m.seen.save.dr7, 0x40c);
	EXPECT_EQ(vcpu_get_debugregs(m.v, &d), 0);
	EXPECT_EQ(d.dr7, 0x402);		/* and the guest's stay what they were */
	g.control = 0;
	EXPECT_EQ(vcpu_set_guest_debug(m.v, &g), 0);
	run();
	EXPECT_EQ(dr_loaded[0], 0x1000);
	EXPECT_EQ(m.seen.save.dr7, 0x402);
	destroy();
}

int main(void)
{
	TEST(only_with_asids);
	TEST(without_nested_paging);
	TEST(the_first_entry);
	TEST(five_levels);
	TEST(permission_maps);
	TEST(registers_cross);
	TEST(asids_run_out);
	TEST(events_are_encoded);
	TEST(interrupted_deliveries_are_resumed);
	TEST(an_interrupt_window);
	TEST(nmis_do_not_nest);
	TEST(exits_are_described);
	TEST(the_tpr_crosses);
	TEST(breakpoints_reach_the_processor);
	return test_status();
}
