// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_nested_smm.c - SMIs while a guest's guest runs
 */
#include "tests/guest/nested.h"

#define SMM_AREA	0x8000u		/* what the manual's offsets are from */

/* It counts in SMRAM, and may be moved. */
CODE16(smi_handler, "incl %cs:0x100\n" MOVE "rsm\n")

static void smm_begin(struct tiny *t, unsigned flags, bool paging)
{
	begin(t, flags);
	smram = tiny_pages(SMRAM_BYTES);
	memcpy(smram + 0x8000, smi_handler, (size_t)(smi_handler_end - smi_handler));
	MUST(tiny_slot(t, 1u << 16, SMBASE, smram, SMRAM_BYTES, 0));
	l2_set(t, L2(l2_plain));
	if (paging)
		npt_set(t);
}

static void smm_end(struct tiny *t)
{
	tiny_destroy(t);
	munmap(smram, SMRAM_BYTES);
	smram = NULL;
}

static u64 *saved(unsigned offset)
{
	return (u64 *)(void *)(smram + SMM_AREA + offset);
}

static bool is_in_smm(struct tiny *t)
{
	struct kvm_vcpu_events e;

	MUST(cpu_ioctl(t, 0, KVM_GET_VCPU_EVENTS, &e));
	return e.smi.smm;
}

/* L2 up to its OUT, then the handler up to its. */
static void run_to_smm(struct tiny *t)
{
	run_to_move(t);
	EXPECT(!is_in_smm(t));
	EXPECT_EQ(cpu_ioctl(t, 0, KVM_SMI, NULL), 0);
	run_to_move(t);
	EXPECT(is_in_smm(t));
}

static void smis_leave_l2_and_come_back(void)
{
	const struct vmcb *hsave;
	struct kvm_regs r;
	struct tiny t;

	for (unsigned paging = 0; paging < 2; paging++) {
		smm_begin(&t, 0, paging);
		vmcb12(&t)->save.g_pat = 0x0007040600070405ull;
		vmcb12(&t)->save.cr2 = 0x1234000;
		vmcb12(&t)->save.rflags |= X86_FLAG_IF;
		run_to_smm(&t);
		EXPECT_EQ(smram[0x100], 1);
		EXPECT_EQ(*saved(0x7ed8), 1);
		EXPECT_EQ(*saved(0x7ee0), VMCB12);
		EXPECT_EQ(*saved(0x7ff8), 0x100);		/* L2's RAX */
		hsave = (const struct vmcb *)(t.memory + HSAVE);
		EXPECT_EQ(hsave->save.rax, VMCB12);
		EXPECT_EQ(hsave->save.rsp, TINY_STACK);
		L2_EXITS(&t, VMEXIT_VMMCALL);
		r = tiny_regs(&t, 0);
		EXPECT(!is_in_smm(&t));
		EXPECT_EQ(vmcb12(&t)->save.rax, 0x105);
		EXPECT_EQ(vmcb12(&t)->save.rsp, L2_STACK);
		EXPECT_EQ(vmcb12(&t)->save.cr2, 0x1234000);
		EXPECT_EQ(vmcb12(&t)->save.g_pat, 0x0007040600070405ull);
		EXPECT_EQ(vmcb12(&t)->save.rflags & X86_FLAG_IF, X86_FLAG_IF);
		EXPECT_EQ(r.rbx, 0x2222);
		EXPECT_EQ(r.rax, VMCB12);
		EXPECT_EQ(r.rsp, TINY_STACK);
		EXPECT_EQ(tiny_msr(&t, 0, X86_MSR_PAT), 0x0007040600070406ull);
		EXPECT_EQ(tiny_sregs(&t, 0).efer & (X86_EFER_SVME | X86_EFER_LMA), X86_EFER_SVME | X86_EFER_LMA);
		smm_end(&t);
	}
}

static void smis_that_l1_intercepts(void)
{
	struct kvm_regs r;
	struct tiny t;

	smm_begin(&t, 0, false);
	intercept(&t, VMCB_INTERCEPT_SMI);
	run_to_move(&t);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SMI, NULL), 0);
	L2_EXITS(&t, VMEXIT_SMI);
	EXPECT_EQ(smram[0x100], 0);
	r = tiny_regs(&t, 0);		/* it pends until L1 sets GIF, and is L1's then */
	r.rip = L2(l1_stgi);
	tiny_set_regs(&t, 0, &r);
	run_to_move(&t);
	EXPECT(is_in_smm(&t));
	EXPECT_EQ(*saved(0x7ed8), 0);
	EXPECT(RUN(&t));
	EXPECT(!is_in_smm(&t));
	smm_end(&t);
}

/* What RSM finds is memory, whoever wrote it. */
static void rsm_into_nothing_is_a_shutdown(void)
{
	struct vmcb *hsave;
	struct tiny t;

	for (unsigned n = 0; n < 8; n++) {
		smm_begin(&t, 0, n & 1);
		run_to_smm(&t);
		hsave = (struct vmcb *)(t.memory + HSAVE);
		switch (n) {
		case 0: *saved(0x7ee0) = VMCB12 + 8; break;
		case 1: *saved(0x7ee0) = 1ull << 60; break;
		case 2: *saved(0x7ee0) = TINY_BYTES + 0x1000000; break;
		case 3: *saved(0x7ed0) &= ~(u64)X86_EFER_SVME; break;
		case 4: *saved(0x7f48) = ~0ull; break;			/* CR4 */
		case 5: hsave->save.efer &= ~(u64)X86_EFER_SVME; break;
		case 6: hsave->save.cr4 = ~0ull; break;
		case 7: vmcb12(&t)->control.asid = 0; break;
		}
		EXPECT_EXIT(&t, 0, KVM_EXIT_SHUTDOWN);
		smm_end(&t);
	}
	/* and neither is what an SMI needs */
	smm_begin(&t, 0, false);
	run_to_move(&t);
	EXPECT_EQ(tiny_set_msr(&t, 0, X86_MSR_VM_HSAVE_PA, TINY_BYTES + 0x1000000), 1);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SMI, NULL), 0);
	EXPECT_EXIT(&t, 0, KVM_EXIT_SHUTDOWN);
	smm_end(&t);
}

static void all(void)
{
	TEST(smis_leave_l2_and_come_back);
	TEST(smis_that_l1_intercepts);
	TEST(rsm_into_nothing_is_a_shutdown);
}

int main(void)
{
	return nested_main(all);
}
