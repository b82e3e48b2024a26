// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_regs.c - registers as clients set and get them; capabilities; creation and reset
 */
#include "tests/core/scripted.h"

static void power_up_state(void)
{
	struct kvm_regs r;
	struct kvm_sregs s;
	struct kvm_debugregs d;

	script_create(true);
	EXPECT_EQ(vcpu_get_regs(script.v, &r), 0);
	EXPECT_EQ(r.rip, 0xfff0);
	EXPECT_EQ(r.rflags, 2);
	EXPECT_EQ(r.rdx, 0x600);		/* no CPUID when it was made */
	EXPECT_EQ(vcpu_get_sregs(script.v, &s), 0);
	EXPECT_EQ(s.cs.selector, 0xf000);
	EXPECT_EQ(s.cs.base, 0xffff0000);
	EXPECT_EQ(s.cs.limit, 0xffff);
	EXPECT_EQ(s.cs.type, 0xb);
	EXPECT_EQ(s.ds.type, 3);
	EXPECT_EQ(s.tr.type, 0xb);
	EXPECT_EQ(s.ldt.type, 2);
	EXPECT_EQ(s.cr0, 0x60000010);
	EXPECT_EQ(s.cr3 | s.cr4 | s.efer, 0);
	EXPECT_EQ(s.apic_base, 0xfee00900);
	EXPECT_EQ(s.gdt.limit, 0xffff);
	EXPECT_EQ(vcpu_get_debugregs(script.v, &d), 0);
	EXPECT_EQ(d.dr6, 0xffff0ff0);
	EXPECT_EQ(d.dr7, 0x400);
	vcpu_reset(script.v, true);
	EXPECT_EQ(vcpu_get_regs(script.v, &r), 0);
	EXPECT_EQ(r.rdx, 0x800f12);
	script_destroy();
}

static void init_leaves_what_it_must(void)
{
	struct kvm_sregs s;

	script_create(true);
	EXPECT_EQ(msr_set(script.v, X86_MSR_LSTAR, 0x1000, false), 0);
	EXPECT_EQ(msr_set(script.v, X86_MSR_PAT, 0x0606060606060606ull, false), 0);
	vcpu_get_sregs(script.v, &s);
	s.cr0 = X86_CR0_PE | X86_CR0_ET;
	EXPECT_EQ(vcpu_set_sregs(script.v, &s), 0);
	vcpu_reset(script.v, true);
	vcpu_get_sregs(script.v, &s);
	EXPECT_EQ(s.cr0, 0x10);			/* CD and NW stay as they were: clear */
	EXPECT_EQ(script.v->x.lstar, 0x1000);
	EXPECT_EQ(script.v->x.pat, 0x0606060606060606ull);
	vcpu_reset(script.v, false);
	EXPECT_EQ(script.v->x.lstar, 0);
	EXPECT_EQ(script.v->x.pat, 0x0007040600070406ull);
	script_destroy();
}

static void all_registers_go_round(void)
{
	struct kvm_regs in, out;
	struct kvm_sregs s, t;

	script_create(false);
	for (unsigned n = 0; n < sizeof(in) / 8; n++)
		((u64 *)&in)[n] = 0x0101010101010101ull * (n + 1);
	in.rflags = 0x246;
	EXPECT_EQ(vcpu_set_regs(script.v, &in), 0);
	vcpu_get_sregs(script.v, &s);
	s.cs = (struct kvm_segment){ .base = 0, .limit = ~0u, .selector = 0x10, .type = 0xb, .present = 1,
				     .s = 1, .l = 1, .g = 1 };
	s.ss = (struct kvm_segment){ .limit = ~0u, .selector = 0x1b, .type = 3, .present = 1, .dpl = 3,
				     .db = 1, .s = 1, .g = 1, .avl = 1 };
	s.fs.base = 0x7fff12345678ull;
	s.ldt = (struct kvm_segment){ .unusable = 1 };
	s.gdt = (struct kvm_dtable){ .base = 0xfffffe0000001000ull, .limit = 0x7f };
	s.cr0 = 0x80050033;
	s.cr2 = 0x1234;
	s.cr3 = 0x5000;
	s.cr4 = X86_CR4_PAE | X86_CR4_PGE | X86_CR4_OSXSAVE;
	s.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
	s.cr8 = 5;
	s.interrupt_bitmap[1] = 1ull << 5;
	EXPECT_EQ(vcpu_set_sregs(script.v, &s), 0);
	for (unsigned pass = 0; pass < 2; pass++) {
		EXPECT_EQ(vcpu_get_regs(script.v, &out), 0);
		EXPECT(!memcmp(&in, &out, sizeof(in)));
		EXPECT_EQ(vcpu_get_sregs(script.v, &t), 0);
		EXPECT(!memcmp(&s, &t, sizeof(s)));
		if (pass == 0) {	/* the same after the guest was in */
			script_exit(EXIT_SHUTDOWN);
			script.run->cr8 = 5;
			EXPECT_EQ(vcpu_run(script.v), 0);
			EXPECT_EQ(script.event.vector, 69);
			s.interrupt_bitmap[1] = 0;
			script.v->x.rflags = in.rflags;
		}
	}
	script_destroy();
}

static void impossible_state_is_refused(void)
{
	struct kvm_sregs good, s;

	script_create(false);
	vcpu_get_sregs(script.v, &good);
#define REFUSED(change) do { s = good; change; EXPECT_EQ(vcpu_set_sregs(script.v, &s), -EINVAL); } while (0)
	REFUSED(s.cr0 |= X86_CR0_PG);				/* without PE */
	REFUSED(s.cr0 = X86_CR0_NW | X86_CR0_ET);		/* without CD */
	REFUSED(s.cr0 |= 1ull << 32);
	REFUSED(s.cr4 = X86_CR4_VMXE);
	REFUSED(s.cr4 = 1ull << 40);
	REFUSED(s.efer = X86_EFER_LMSLE);
	REFUSED(s.efer = X86_EFER_LMA);				/* without paging */
	REFUSED(s.cs.l = 1);
	REFUSED(s.cr0 = 0x80000011; s.efer = X86_EFER_LME | X86_EFER_LMA);	/* without PAE */
	REFUSED(s.cr0 = 0x80000011; s.cr4 = X86_CR4_PAE; s.efer = X86_EFER_LME);	/* without LMA */
	REFUSED(s.cr0 = 0x80000011; s.cr4 = X86_CR4_PAE; s.efer = X86_EFER_LME | X86_EFER_LMA;
		s.cr3 = 1ull << 60);
	REFUSED(s.cr8 = 16);
#undef REFUSED
	vcpu_get_sregs(script.v, &s);
	EXPECT(!memcmp(&s, &good, sizeof(s)));		/* and nothing of it got in */
	script_destroy();
}

static void debug_registers(void)
{
	struct kvm_debugregs d = { .db = { 1, 2, 3, 4 }, .dr6 = 0xffff0ff1, .dr7 = 0x401 }, e;

	script_create(false);
	EXPECT_EQ(vcpu_set_debugregs(script.v, &d), 0);
	EXPECT_EQ(vcpu_get_debugregs(script.v, &e), 0);
	EXPECT(!memcmp(&d, &e, sizeof(d)));
	d.dr7 = 1ull << 32;
	EXPECT_EQ(vcpu_set_debugregs(script.v, &d), -EINVAL);
	d.dr7 = 0x400;
	d.flags = 1;
	EXPECT_EQ(vcpu_set_debugregs(script.v, &d), -EINVAL);
	script_destroy();
}

static void mp_states(void)
{
	struct kvm_mp_state s = { KVM_MP_STATE_HALTED };

	script_create(false);
	EXPECT_EQ(vcpu_set_mp_state(script.v, &s), -EINVAL);	/* nobody could wake it */
	s.mp_state = KVM_MP_STATE_RUNNABLE;
	EXPECT_EQ(vcpu_set_mp_state(script.v, &s), 0);
	script_destroy();
	script_create(true);
	s.mp_state = KVM_MP_STATE_HALTED;
	EXPECT_EQ(vcpu_set_mp_state(script.v, &s), 0);
	s.mp_state = KVM_MP_STATE_SIPI_RECEIVED;
	EXPECT_EQ(vcpu_set_mp_state(script.v, &s), 0);
	vcpu_get_mp_state(script.v, &s);		/* which accepts what pends */
	EXPECT_EQ(s.mp_state, KVM_MP_STATE_RUNNABLE);
	s.mp_state = 77;
	EXPECT_EQ(vcpu_set_mp_state(script.v, &s), -EINVAL);
	script_destroy();
}

static void interrupts_from_the_client(void)
{
	script_create(false);
	EXPECT_EQ(vcpu_interrupt(script.v, 256), -EINVAL);
	EXPECT_EQ(vcpu_interrupt(script.v, 0x20), 0);
	EXPECT(script.v->events.interrupt.injected);
	script_destroy();
	script_create(true);
	EXPECT_EQ(vcpu_interrupt(script.v, 0x20), -ENXIO);
	script_destroy();
}

static void translation_without_paging_is_the_identity(void)
{
	struct kvm_translation t = { .linear_address = 0x1234 };

	script_create(false);
	script_slot();
	EXPECT_EQ(vcpu_translate(script.v, &t), 0);
	EXPECT_EQ(t.valid, 1);
	EXPECT_EQ(t.physical_address, 0x1234);
	script_destroy();
}

static void debugging_needs_the_client(void)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };
	struct exit *e;

	script_create(false);
	EXPECT_EQ(vcpu_set_guest_debug(script.v, &d), 0);
	e = script_exit(EXIT_EXCEPTION);
	e->exception.vector = X86_BP;
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.run->exit_reason, KVM_EXIT_DEBUG);
	EXPECT_EQ(script.run->debug.arch.exception, X86_BP);
	EXPECT_EQ(script.run->debug.arch.pc, 0xfffffff0);
	d.control = 0;
	EXPECT_EQ(vcpu_set_guest_debug(script.v, &d), 0);
	e = script_exit(EXIT_EXCEPTION);
	e->exception.vector = X86_DB;
	script_exit(EXIT_SHUTDOWN);
	EXPECT_EQ(vcpu_run(script.v), 0);
	EXPECT_EQ(script.event.vector, X86_DB);		/* now it is the guest's */
	d.control = 0x80000000;		/* bits of other architectures are ignored */
	EXPECT_EQ(vcpu_set_guest_debug(script.v, &d), 0);
	script_destroy();
}

static void vcpus_are_numbered_by_the_client(void)
{
	void *run = aligned_alloc(PAGE_BYTES, VCPU_RUN_PAGES * PAGE_BYTES);
	struct vcpu *v;

	memset(run, 0, VCPU_RUN_PAGES * PAGE_BYTES);
	script_create(true);
	EXPECT_EQ(vcpu_create(script.vm, 0, run, &v), -EEXIST);
	EXPECT_EQ(vcpu_create(script.vm, VM_MAX_VCPU_ID, run, &v), -EINVAL);
	EXPECT_EQ(vcpu_create(script.vm, 17, run, &v), 0);
	EXPECT_EQ(v->index, 1);
	EXPECT(vm_vcpu_by_id(script.vm, 17) == v);
	EXPECT(vm_vcpu_by_id(script.vm, 1) == NULL);
	EXPECT_EQ(v->apic_base & 0x100, 0);		/* not the boot processor */
	script_destroy();
	free(run);
}

/* Every allocation of a VM's and a vCPU's creation fails once; nothing stays behind. */
static void creation_fails_cleanly(void)
{
	void *run = aligned_alloc(PAGE_BYTES, VCPU_RUN_PAGES * PAGE_BYTES);
	unsigned failed = 0, k = 0;
	int r;

	script_create(true);
	script_destroy();
	sim_reset();
	memset(run, 0, VCPU_RUN_PAGES * PAGE_BYTES);
	do {
		u64 before = sim_allocations();
		struct vm *vm;
		struct vcpu *v;

		sim_fail_alloc(++k);
		r = vm_create(0, &vm);
		if (!r) {
			r = irq_create_chips(vm);
			if (!r)
				r = vcpu_create(vm, 0, run, &v);
			vm_destroy(vm);
		}
		sim_fail_alloc(0);
		if (r)
			failed++;
		EXPECT(r == 0 || r == -ENOMEM);
		EXPECT_EQ(sim_allocations(), before);
	} while (r && k < 100);
	EXPECT(failed >= 5);
	EXPECT_EQ(r, 0);
	free(run);
}

static void capabilities(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = 24 };
	struct vm *vm;

	script_create(false);
	EXPECT_EQ(vm_capability(NULL, KVM_CAP_IRQCHIP), 1);
	EXPECT_EQ(vm_capability(script.vm, KVM_CAP_NR_MEMSLOTS), 509);
	EXPECT_EQ(vm_capability(NULL, KVM_CAP_XSAVE2), 4096);
	EXPECT_EQ(vm_capability(NULL, KVM_CAP_S390_PSW), 0);
	EXPECT_EQ(vm_capability(NULL, ~0u), 0);
	EXPECT_EQ(vm_capability(NULL, KVM_CAP_NESTED_STATE), 128 + 4096);
	cap.flags = 1;
	EXPECT_EQ(vm_enable_capability(script.vm, &cap), -EINVAL);
	cap.flags = 0;
	EXPECT_EQ(vm_enable_capability(script.vm, &cap), -EEXIST);	/* there is a vCPU */
	cap.cap = 12345;
	EXPECT_EQ(vm_enable_capability(script.vm, &cap), -EINVAL);
	cap.cap = KVM_CAP_X2APIC_API;
	cap.args[0] = 4;
	EXPECT_EQ(vm_enable_capability(script.vm, &cap), -EINVAL);
	cap.args[0] = 3;
	EXPECT_EQ(vm_enable_capability(script.vm, &cap), 0);
	EXPECT(script.vm->x2apic_32bit && script.vm->x2apic_no_quirk);
	EXPECT_EQ(vm_create(1, &vm), -EINVAL);
	script_destroy();
}

int main(void)
{
	TEST(power_up_state);
	TEST(init_leaves_what_it_must);
	TEST(all_registers_go_round);
	TEST(impossible_state_is_refused);
	TEST(debug_registers);
	TEST(mp_states);
	TEST(interrupts_from_the_client);
	TEST(translation_without_paging_is_the_identity);
	TEST(debugging_needs_the_client);
	TEST(vcpus_are_numbered_by_the_client);
	TEST(creation_fails_cleanly);
	TEST(capabilities);
	return test_status();
}
