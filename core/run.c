// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * run.c - KVM_RUN: enter the guest, handle the exit, until the client has to act
 *
 * The loop: serve requests, choose an event, enter, and act on the one neutral exit that
 * the back end reports.  What the client must do is described in v->run and remembered in
 * v->completion; the next KVM_RUN finishes it before it enters again.
 *
 * Entering and being kicked.  A request is a bit set before v->mode is read; an entry is
 * v->mode set before the bits are read, with interrupts off.  So either the entry sees the
 * request, or the requester sees VCPU_IN_GUEST and kicks: the kick stays pending until the
 * processor is inside, and ends the guest's run at once.
 *
 * Invariants:
 *   1. Outside enter() the vCPU is VCPU_OUTSIDE and unpinned, and inside vm->srcu.
 *   2. After an exit only REGS_GPR is valid, and nothing is dirty.
 *   3. v->run is written, and read only through single loads whose value is then checked.
 *
 * Locking: v->lock held by KVM_RUN's caller.
 * Reference: Linux Documentation/virt/kvm/api.rst, "KVM_RUN", "The kvm_run structure".
 */
#include <linux/errno.h>

#include "core/event.h"
#include "core/hypercall.h"
#include "core/pv.h"
#include "core/vm.h"
#include "insn/insn.h"

enum next {
	NEXT_ENTER,		/* go on */
	NEXT_LEAVE,		/* KVM_RUN returns v->run_result */
};

#define NEVER (~0ull)

/* --- leaving ------------------------------------------------------------------------ */

static enum next leave(struct vcpu *v, u32 reason)
{
	v->run->exit_reason = reason;
	v->run_result = 0;
	return NEXT_LEAVE;
}

static enum next leave_error(struct vcpu *v, int error)
{
	v->run_result = error;
	return NEXT_LEAVE;
}

static enum next leave_for_signal(struct vcpu *v)
{
	VCPU_COUNT(v, signal_exits);
	v->run->exit_reason = KVM_EXIT_INTR;
	return leave_error(v, -EINTR);
}

static enum next leave_internal_error(struct vcpu *v, u32 suberror, u64 data)
{
	v->run->internal.suberror = suberror;
	v->run->internal.ndata = 1;
	v->run->internal.data[0] = data;
	return leave(v, KVM_EXIT_INTERNAL_ERROR);
}

static u64 linear_rip(struct vcpu *v)
{
	if (vcpu_is_64bit_code(v))
		return v->x.rip;
	return (u32)(v->x.seg[X86_CS].base + v->x.rip);
}

static enum next leave_debug(struct vcpu *v, u32 exception)
{
	struct kvm_debug_exit_arch *arch = &v->run->debug.arch;

	vcpu_regs_need(v, REGS_DR);
	arch->exception = exception;
	arch->pc = linear_rip(v);
	arch->dr6 = v->x.dr6;
	arch->dr7 = v->guest_debug & KVM_GUESTDBG_USE_HW_BP ? v->guest_debug_dr[7] : v->x.dr7;
	if (exception == X86_DB) {
		vcpu_regs_dirty(v, REGS_DR);
		v->x.dr6 &= ~(X86_DR6_BD | X86_DR6_BS | X86_DR6_BREAKPOINTS);	/* the client's doing, not the guest's */
	}
	return leave(v, KVM_EXIT_DEBUG);
}

/* --- instructions that run elsewhere -------------------------------------------------- */

static enum next emulated(struct vcpu *v, enum emulated result)
{
	switch (result) {
	case EMULATE_DONE:
	case EMULATE_FAULTED:
		/* It may have changed what may be delivered: IF, CR8, an EOI. */
		vcpu_request(v, REQ_EVENT);
		return NEXT_ENTER;
	default:		/* v->run and v->completion say what now */
		v->run_result = 0;
		return NEXT_LEAVE;
	}
}

static enum next emulate(struct vcpu *v, const struct exit *e)
{
	return emulated(v, emulate_instruction(v, e));
}

/* An instruction that the processor did not run itself is over: a client may be stepping. */
static enum next stepped(struct vcpu *v)
{
	if (!(v->guest_debug & KVM_GUESTDBG_SINGLESTEP))
		return NEXT_ENTER;
	leave_debug(v, X86_DB);
	v->run->debug.arch.dr6 |= X86_DR6_BS;
	return NEXT_LEAVE;
}

static enum next skip(struct vcpu *v, const struct exit *e)
{
	vcpu_skip(v, e->next_rip);
	return stepped(v);
}

static enum next inject_ud(struct vcpu *v)
{
	event_exception(v, X86_UD, false, 0);
	return NEXT_ENTER;
}

static enum next inject_gp(struct vcpu *v)
{
	event_exception(v, X86_GP, true, 0);
	return NEXT_ENTER;
}

/* --- ports ------------------------------------------------------------------------------ */

static void io_read_done(struct vcpu *v, const void *data, unsigned bytes)
{
	u32 value = 0;
	u64 old = v->x.gpr[0];

	__builtin_memcpy(&value, data, bytes);
	vcpu_regs_dirty(v, REGS_GPR);
	v->x.gpr[0] = bytes == 4 ? value : (old & ~(BIT_U64(bytes * 8) - 1)) | value;
}

static enum next io_to_client(struct vcpu *v, const struct exit *e, const void *data)
{
	struct kvm_run *run = v->run;

	v->io.port = e->io.port;
	v->io.bytes = e->io.bytes;
	v->io.in = e->io.in;
	v->io.rip = v->x.rip;
	v->io.next_rip = e->next_rip;
	v->completion = COMPLETE_IO;
	run->io.direction = e->io.in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = e->io.bytes;
	run->io.port = e->io.port;
	run->io.count = 1;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * PAGE_BYTES;
	__builtin_memcpy(v->pio_page, data, e->io.bytes);
	/* A reset port of old clients: they expect RIP to be past it when they reset. */
	if (!e->io.in && e->io.port == 0x7e && !vm_quirk_is_off(v->vm, KVM_X86_QUIRK_OUT_7E_INC_RIP)) {
		v->completion = COMPLETE_NOTHING;
		vcpu_skip(v, e->next_rip);
	}
	return leave(v, KVM_EXIT_IO);
}

static enum next exit_io(struct vcpu *v, const struct exit *e)
{
	u32 value = 0;
	int r;

	VCPU_COUNT(v, io_exits);
	if (e->io.string)
		return emulate(v, e);
	if (e->io.in) {
		r = iobus_read(v, IOBUS_PIO, e->io.port, e->io.bytes, &value);
		if (!r)
			io_read_done(v, &value, e->io.bytes);
	} else {
		value = (u32)v->x.gpr[0];
		r = iobus_write(v, IOBUS_PIO, e->io.port, e->io.bytes, &value);
	}
	if (r)
		return io_to_client(v, e, &value);
	VCPU_COUNT(v, io_kernel);
	return skip(v, e);
}

static enum next complete_io(struct vcpu *v)
{
	/* The client may have moved the guest elsewhere in the meantime: a reset. */
	if (v->x.rip != v->io.rip)
		return NEXT_ENTER;
	if (v->io.in)
		io_read_done(v, v->pio_page, v->io.bytes);
	vcpu_skip(v, v->io.next_rip);
	return stepped(v);
}

/* --- MSRs --------------------------------------------------------------------------------- */

#define MSR_FILTERED 3

/* msr.c refused: 1 for the value, 2 for the number.  The client may know better. */
static enum next msr_refused(struct vcpu *v, const struct exit *e, int why, bool write, u64 data)
{
	u32 reason = why == 1 ? KVM_MSR_EXIT_REASON_INVAL :
		     why == MSR_FILTERED ? KVM_MSR_EXIT_REASON_FILTER : KVM_MSR_EXIT_REASON_UNKNOWN;
	struct kvm_run *run = v->run;

	if (!atomic_load_relaxed(&v->vm->user_msr_exits_enabled) || !(atomic_load_relaxed(&v->vm->user_msr_exit_reasons) & reason))
		return inject_gp(v);
	v->msr_exit.index = (u32)v->x.gpr[1];
	v->msr_exit.next_rip = e->next_rip;
	v->completion = write ? COMPLETE_MSR_WRITE : COMPLETE_MSR_READ;
	__builtin_memset(&run->msr, 0, sizeof(run->msr));
	run->msr.reason = reason;
	run->msr.index = v->msr_exit.index;
	run->msr.data = data;
	return leave(v, write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR);
}

static void msr_read_done(struct vcpu *v, u64 data)
{
	vcpu_regs_dirty(v, REGS_GPR);
	v->x.gpr[0] = (u32)data;
	v->x.gpr[2] = data >> 32;
}

static enum next exit_msr_read(struct vcpu *v, const struct exit *e)
{
	u32 msr = (u32)v->x.gpr[1];
	u64 data = 0;
	int r = msr_filter_allows(v->vm, msr, false) ? msr_get(v, msr, &data, false) : MSR_FILTERED;

	VCPU_COUNT(v, msr_exits);
	if (r)
		return msr_refused(v, e, r, false, 0);
	msr_read_done(v, data);
	return skip(v, e);
}

static enum next exit_msr_write(struct vcpu *v, const struct exit *e)
{
	u64 data = (u32)v->x.gpr[0] | v->x.gpr[2] << 32;
	u32 msr = (u32)v->x.gpr[1];
	int r = msr_filter_allows(v->vm, msr, true) ? msr_set(v, msr, data, false) : MSR_FILTERED;

	VCPU_COUNT(v, msr_exits);
	if (r)
		return msr_refused(v, e, r, true, data);
	if (v->lapic)		/* TPR, EOI, ICR; or its mode */
		vcpu_request(v, REQ_EVENT);
	return skip(v, e);
}

static enum next complete_msr(struct vcpu *v, bool read)
{
	if (v->run->msr.error)
		return inject_gp(v);
	if (read)
		msr_read_done(v, v->run->msr.data);
	vcpu_skip(v, v->msr_exit.next_rip);
	return stepped(v);
}

/* --- the other exits ------------------------------------------------------------------------ */

static enum next exit_hyperv_call(struct vcpu *v, u64 next_rip)
{
	switch (hyperv_call(v)) {
	case HYPERV_CALL_FAULTED:
		return NEXT_ENTER;
	case HYPERV_CALL_EXIT:
		v->hypercall.next_rip = next_rip;
		v->completion = COMPLETE_HYPERCALL;
		return leave(v, KVM_EXIT_HYPERV);
	default:
		vcpu_skip(v, next_rip);
		return stepped(v);
	}
}

/* The processor walked shadow tables. */
static enum next exit_page_fault(struct vcpu *v, const struct exit *e)
{
	u32 error = e->exception.error;
	struct exit at = *e;
	gpa_t gpa = 0;

	switch (shadow_fault(v, e->exception.address, error, &gpa)) {
	case MMU_FIXED:
	case MMU_RETRY:
	case MMU_GUEST:
		return NEXT_ENTER;
	case MMU_DEVICE:
	case MMU_READONLY:
		at.kind = EXIT_MEMORY;
		at.memory.gpa = gpa;
		at.memory.access = error & X86_PF_W ? X86_WRITE : X86_READ;
		at.memory.present = !!(error & X86_PF_P);
		at.memory.table_walk = !!(error & X86_PF_I);	/* not the operand's address */
		break;
	case MMU_WRITE_ANYWAY:
		break;
	default:
		return leave_error(v, -EFAULT);
	}
	/* An event cannot be delivered by the emulator. */
	if (event_is_in_flight(v))
		return leave_internal_error(v, KVM_INTERNAL_ERROR_DELIVERY_EV, gpa);
	return emulate(v, &at);
}

static enum next exit_exception(struct vcpu *v, const struct exit *e)
{
	u32 debug = v->guest_debug;

	VCPU_COUNT(v, exception_exits);
	switch (e->exception.vector) {
	case X86_PF:
		if (v->vm->mmu.shadow)
			return exit_page_fault(v, e);
		break;
	case X86_DB:
		if (debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
			return leave_debug(v, X86_DB);
		break;
	case X86_BP:
		if (debug & KVM_GUESTDBG_USE_SW_BP)
			return leave_debug(v, X86_BP);
		break;
	case X86_UD:
		if (!hypercall_is_foreign(v))
			break;
		if (hypercall_patch(v)) {	/* now the processor's own, which may be L1's to see */
			vcpu_request(v, REQ_TLB_FLUSH);
			return NEXT_ENTER;
		}
		if (!v->nested.running) {
			if (UNLIKELY(hyperv_is_called(v)))
				return exit_hyperv_call(v, v->x.rip + 3);
			hypercall_execute(v);
			vcpu_skip(v, v->x.rip + 3);
			return stepped(v);
		}
		break;
	case X86_MC:	/* the host's, which its own handler sees */
		return NEXT_ENTER;
	}
	event_exception(v, e->exception.vector, e->exception.has_error, e->exception.error);
	return NEXT_ENTER;
}

static enum next memory_fault_handle(struct vcpu *v, const struct exit *e, enum mmu_fault fault)
{
	switch (fault) {
	case MMU_FIXED:
	case MMU_RETRY:
		return NEXT_ENTER;
	case MMU_DEVICE:
	case MMU_READONLY:
		/* An event cannot be delivered through a device's registers. */
		if (event_is_in_flight(v))
			return leave_internal_error(v, KVM_INTERNAL_ERROR_DELIVERY_EV, e->memory.gpa);
		return emulate(v, e);
	default:
		return leave_error(v, -EFAULT);
	}
}

/* L2's physical address is translated by L1's tables first. */
static enum next exit_memory_nested(struct vcpu *v, const struct exit *e)
{
	struct exit at = *e;
	enum mmu_fault fault = shadow_nested_fault(v, e->memory.gpa, e->memory.access, &at.memory.gpa);

	if (fault != MMU_GUEST)
		return memory_fault_handle(v, &at, fault);
	v->vm->be->nested_fault(v, v->x.fault.address,
				v->x.fault.error | (e->memory.table_walk ? NESTED_FAULT_TABLE : 0));
	return NEXT_ENTER;
}

static enum next exit_memory(struct vcpu *v, const struct exit *e)
{
	VCPU_COUNT(v, memory_exits);
	if (UNLIKELY(v->nested.paging))
		return exit_memory_nested(v, e);
	return memory_fault_handle(v, e, mmu_fault(v, e->memory.gpa, e->memory.access));
}

static enum next exit_cpuid(struct vcpu *v, const struct exit *e)
{
	u32 r[4] = { (u32)v->x.gpr[0], (u32)v->x.gpr[3], (u32)v->x.gpr[1], (u32)v->x.gpr[2] };

	VCPU_COUNT(v, cpuid_exits);
	if (v->misc_features & 1) {	/* CPUID faulting */
		vcpu_regs_need(v, REGS_SEG);
		if (v->x.cpl)
			return inject_gp(v);
	}
	cpuid_execute(v, &r[0], &r[1], &r[2], &r[3]);
	vcpu_regs_dirty(v, REGS_GPR);
	v->x.gpr[0] = r[0];
	v->x.gpr[3] = r[1];
	v->x.gpr[1] = r[2];
	v->x.gpr[2] = r[3];
	return skip(v, e);
}

static enum next exit_hlt(struct vcpu *v, const struct exit *e)
{
	VCPU_COUNT(v, halt_exits);
	vcpu_skip(v, e->next_rip);
	if (!v->lapic)
		return leave(v, KVM_EXIT_HLT);
	atomic_store_release(&v->mp_state, KVM_MP_STATE_HALTED);
	return stepped(v);
}

static enum next exit_cr_write(struct vcpu *v, const struct exit *e)
{
	u64 before = vcpu_cr8_get(v);
	enum next next;

	VCPU_COUNT(v, cr_exits);
	next = emulate(v, e);
	if (next == NEXT_ENTER && e->cr.number == 8 && !v->lapic && v->cr8 < before)
		return leave(v, KVM_EXIT_SET_TPR);
	if (next == NEXT_ENTER && e->cr.number == 4)
		cpuid_update_runtime(v);
	return next;
}

static enum next exit_xsetbv(struct vcpu *v, const struct exit *e)
{
	u64 value = (u32)v->x.gpr[0] | v->x.gpr[2] << 32;

	vcpu_regs_need(v, REGS_SEG);
	if (v->x.cpl || (u32)v->x.gpr[1] || !fpu_xcr0_is_valid(value, v->guest_xcr0_allowed))
		return inject_gp(v);
	v->x.xcr0 = value;
	cpuid_update_runtime(v);
	return skip(v, e);
}

/* The processor may look at the intercept before it looks at DR7.GD, which the client can have set. */
static enum next exit_dr(struct vcpu *v, const struct exit *e)
{
	VCPU_COUNT(v, dr_exits);
	if (!(v->guest_debug & KVM_GUESTDBG_USE_HW_BP) || !(v->guest_debug_dr[7] & X86_DR7_GD))
		return emulate(v, e);
	leave_debug(v, X86_DB);
	v->run->debug.arch.dr6 |= X86_DR6_BD;
	return NEXT_LEAVE;
}

/* Not offered by CPUID; guests that do it anyway are let go, unless the client says not. */
static enum next exit_mwait(struct vcpu *v, const struct exit *e)
{
	const struct kvm_cpuid_entry2 *one = cpuid_find(v, 1, 0);

	if (vm_quirk_is_off(v->vm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS) && !(one && (one->ecx & BIT_U64(3))))
		return inject_ud(v);
	return skip(v, e);
}

static enum next complete_hyperv_call(struct vcpu *v)
{
	hyperv_call_complete(v);
	vcpu_skip(v, v->hypercall.next_rip);
	return stepped(v);
}

static enum next exit_hypercall(struct vcpu *v, const struct exit *e)
{
	if (UNLIKELY(hyperv_is_called(v)))
		return exit_hyperv_call(v, e->next_rip);
	hypercall_execute(v);
	return skip(v, e);
}

static enum next exit_task_switch(struct vcpu *v, const struct exit *e)
{
	/* INT n, INT3 and INTO are not in flight: RIP is at the instruction, which runs again. */
	if (event_is_in_flight(v))
		return emulated(v, emulate_delivery(v));
	return emulate(v, e);
}

static enum next exit_nested(struct vcpu *v, const struct exit *e)
{
	int r = v->vm->be->nested_execute(v, e);

	return r ? leave_error(v, r) : NEXT_ENTER;
}

static enum next exit_rsm(struct vcpu *v)
{
	if (!v->smm.on)
		return inject_ud(v);
	smm_leave(v);
	return NEXT_ENTER;
}

static enum next exit_fail_entry(struct vcpu *v, const struct exit *e)
{
	v->run->fail_entry.hardware_entry_failure_reason = e->hardware_reason;
	v->run->fail_entry.cpu = atomic_load_acquire(&v->cpu);
	return leave(v, KVM_EXIT_FAIL_ENTRY);
}

static enum next exit_handle(struct vcpu *v, const struct exit *e)
{
	if (UNLIKELY(v->nested.running) && v->vm->be->nested_exit(v, e))
		return NEXT_ENTER;
	switch (e->kind) {
	case EXIT_NOTHING:
		VCPU_COUNT(v, irq_exits);
		return NEXT_ENTER;
	case EXIT_IRQ_WINDOW:
		VCPU_COUNT(v, irq_window_exits);
		vcpu_request(v, REQ_EVENT);
		return NEXT_ENTER;
	case EXIT_NMI_WINDOW:
		VCPU_COUNT(v, nmi_window_exits);
		vcpu_request(v, REQ_EVENT);
		return NEXT_ENTER;
	case EXIT_EXCEPTION:	return exit_exception(v, e);
	case EXIT_MEMORY:	return exit_memory(v, e);
	case EXIT_IO:		return exit_io(v, e);
	case EXIT_MSR_READ:	return exit_msr_read(v, e);
	case EXIT_MSR_WRITE:	return exit_msr_write(v, e);
	case EXIT_CPUID:	return exit_cpuid(v, e);
	case EXIT_HLT:		return exit_hlt(v, e);
	case EXIT_PAUSE:
		VCPU_COUNT(v, pause_exits);
		host_yield();
		return skip(v, e);
	case EXIT_CR_WRITE:	return exit_cr_write(v, e);
	case EXIT_DR:		return exit_dr(v, e);
	case EXIT_CR_READ: case EXIT_INVLPG: case EXIT_EMULATE:
		return emulate(v, e);
	case EXIT_INVD:		return skip(v, e);
	case EXIT_XSETBV:	return exit_xsetbv(v, e);
	case EXIT_RDPMC:	return inject_gp(v);
	case EXIT_HYPERCALL:	return exit_hypercall(v, e);
	case EXIT_MONITOR: case EXIT_MWAIT:
		return exit_mwait(v, e);
	case EXIT_TASK_SWITCH:	return exit_task_switch(v, e);
	case EXIT_RSM:		return exit_rsm(v);
	case EXIT_UD:
		return inject_ud(v);
	case EXIT_IRET: case EXIT_INIT:
		return NEXT_ENTER;
	case EXIT_NESTED:	return exit_nested(v, e);
	case EXIT_SHUTDOWN:	return leave(v, KVM_EXIT_SHUTDOWN);
	case EXIT_FAIL_ENTRY:	return exit_fail_entry(v, e);
	}
	return leave_internal_error(v, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, e->kind);
}

/* --- entering ------------------------------------------------------------------------------ */

/* NMIs beyond what a processor can hold (one in service, one latched) are lost. */
static void nmis_limit(struct vcpu *v)
{
	u32 limit = v->events.nmi.injected || v->vm->be->nmi_masked_get(v) ? 1 : 2;
	u32 pending = atomic_load_acquire(&v->events.nmi.pending);

	while (pending > limit && !atomic_cmpxchg(&v->events.nmi.pending, &pending, limit))
		;
}

static enum next leave_hyperv(struct vcpu *v)
{
	if (vcpu_request_take(v, REQ_HV_EXIT)) {
		v->run->hyperv = v->hv->exit;
		return leave(v, KVM_EXIT_HYPERV);
	}
	v->run->system_event.type = vcpu_request_take(v, REQ_HV_CRASH) ? KVM_SYSTEM_EVENT_CRASH : KVM_SYSTEM_EVENT_RESET;
	v->run->system_event.ndata = 0;
	if (v->run->system_event.type == KVM_SYSTEM_EVENT_RESET)
		vcpu_request_take(v, REQ_HV_RESET);
	return leave(v, KVM_EXIT_SYSTEM_EVENT);
}

#define HYPERV_REQUESTS (BIT_U64(REQ_HV_EXIT) | BIT_U64(REQ_HV_CRASH) | BIT_U64(REQ_HV_RESET))

static enum next requests_serve(struct vcpu *v)
{
	const struct backend *be = v->vm->be;

	if (!atomic_load_acquire(&v->requests))
		return NEXT_ENTER;
	if (atomic_load_acquire(&v->requests) & BIT_U64(REQ_DEAD))
		return leave_error(v, -EIO);
	if (vcpu_request_take(v, REQ_TRIPLE_FAULT) &&
	    !(v->nested.running && be->nested_event(v, NESTED_SHUTDOWN)))
		return leave(v, KVM_EXIT_SHUTDOWN);
	if (vcpu_request_take(v, REQ_EXIT))
		return leave_for_signal(v);
	if (vcpu_request_take(v, REQ_IOAPIC_EOI)) {
		v->run->eoi.vector = v->ioapic_eoi_vector;
		return leave(v, KVM_EXIT_IOAPIC_EOI);
	}
	if (UNLIKELY(atomic_load_acquire(&v->requests) & HYPERV_REQUESTS))
		return leave_hyperv(v);
	if (vcpu_request_take(v, REQ_HV_STIMER)) {
		hyperv_timers_serve(v);
		vcpu_request(v, REQ_EVENT);
	}
	if (vcpu_request_take(v, REQ_MMU_ROOT)) {
		if (!v->vm->mmu.shadow)
			mmu_root_load(v);
		vcpu_request(v, REQ_TLB_FLUSH);
	}
	if (vcpu_request_take(v, REQ_TLB_FLUSH)) {
		VCPU_COUNT(v, tlb_flush);
		be->tlb_flush(v);
		if (v->shadow.root && shadow_reset(v)) {
			vcpu_request(v, REQ_TLB_FLUSH);
			return leave_error(v, -ENOMEM);
		}
	}
	if (vcpu_request_take(v, REQ_CLOCK_UPDATE)) {
		clock_update(v);
		hyperv_tsc_page_update(v);
	}
	if (vcpu_request_take(v, REQ_STEAL_UPDATE))
		clock_steal_update(v);
	if (vcpu_request_take(v, REQ_NMI)) {
		nmis_limit(v);
		vcpu_request(v, REQ_EVENT);
	}
	if (vcpu_request_take(v, REQ_SMI))
		smm_accept(v);
	return NEXT_ENTER;
}

static bool events_need_choosing(struct vcpu *v)
{
	return vcpu_request_take(v, REQ_EVENT) || event_client_wants_window(v) ||
	       (v->lapic && irq_pending(v));
}

/* What the processor counted meanwhile is this vCPU's. */
static void counters_add(struct vcpu *v, const u64 before[INSN_COUNTERS])
{
	u64 *to = &v->stat[VCPU_STATS - INSN_COUNTERS], now[INSN_COUNTERS];

	if (insn_counters(now))
		for (unsigned n = 0; n < INSN_COUNTERS; n++)
			to[n] += now[n] - before[n];
}

/* Interrupts are off, v->mode says IN_GUEST: last chance to see what arrived. */
static void run_guest(struct vcpu *v, struct exit *e)
{
	const struct backend *be = v->vm->be;
	u64 counted[INSN_COUNTERS];
	bool stays;

	if (v->regs_dirty) {
		be->regs_set(v, v->regs_dirty);
		v->regs_dirty = 0;
	}
	stays = host_fpu_begin();
	insn_fpu_enter(v->fpu_is_live ? NULL : v->fpu->area, v->x.xcr0, &v->x.pkru);
	host_guest_enter();
	insn_counters(counted);
	be->run(v, e);
	counters_add(v, counted);
	host_guest_exit();
	insn_fpu_leave(stays ? NULL : v->fpu->area, v->x.xcr0, &v->x.pkru);
	v->fpu_is_live = stays;
	host_fpu_end();
	v->regs_valid = REGS_GPR;
}

/* One entry and its exit.  False: called back before it happened. */
static bool enter(struct vcpu *v, struct exit *e)
{
	const struct backend *be = v->vm->be;
	bool entered = false;

	host_srcu_leave(&v->vm->srcu, v->srcu_cookie);
	atomic_store_release(&v->cpu, host_pin());
	be->vcpu_load(v);
	host_interrupts_off();
	atomic_store_seq(&v->mode, VCPU_IN_GUEST);
	if (!atomic_load_acquire(&v->requests) && !host_must_return()) {
		run_guest(v, e);
		entered = true;
	}
	atomic_store_seq(&v->mode, VCPU_OUTSIDE);
	host_interrupts_on();
	be->vcpu_put(v);
	host_unpin();
	v->srcu_cookie = host_srcu_enter(&v->vm->srcu);
	return entered;
}

static core_exit_trace_fn *exit_trace;

void core_set_exit_trace(core_exit_trace_fn *fn)
{
	exit_trace = fn;
}

static enum next enter_and_handle(struct vcpu *v)
{
	struct exit e = { .kind = EXIT_NOTHING };
	enum next next;

	if (UNLIKELY(dirty_ring_is_full(v)))
		return leave(v, KVM_EXIT_DIRTY_RING_FULL);
	next = requests_serve(v);

	if (next != NEXT_ENTER)
		return next;
	if (events_need_choosing(v))
		event_inject(v);
	pv_eoi_offer(v);
	if (!enter(v, &e)) {
		VCPU_COUNT(v, entries_cancelled);
		vcpu_request(v, REQ_EVENT);	/* what was chosen is chosen again */
		pv_eoi_collect(v);
		return NEXT_ENTER;
	}
	VCPU_COUNT(v, exits);
	if (UNLIKELY(exit_trace))
		exit_trace(v, &e);
	event_collect(v);
	pv_eoi_collect(v);
	return exit_handle(v, &e);
}

/* --- not running: HLT, INIT, SIPI ------------------------------------------------------------ */

static bool wakes(void *arg)
{
	struct vcpu *v = arg;
	u64 urgent = BIT_U64(REQ_DEAD) | BIT_U64(REQ_EXIT) | BIT_U64(REQ_TRIPLE_FAULT);

	if (atomic_load_acquire(&v->requests) & urgent)
		return true;
	if ((atomic_load_acquire(&v->pending_init) || atomic_load_acquire(&v->pending_sipi)) &&
	    !v->nested.gif_clear)
		return true;
	switch (atomic_load_acquire(&v->mp_state)) {
	case KVM_MP_STATE_RUNNABLE:
		return true;
	case KVM_MP_STATE_HALTED:
		return event_wakes(v);
	default:		/* waiting for INIT or SIPI: nothing else counts */
		return false;
	}
}

void vcpu_apic_events_accept(struct vcpu *v)
{
	u32 sipi;

	if (!v->lapic || v->smm.on)	/* an INIT waits for RSM */
		return;
	if (v->nested.running && atomic_load_acquire(&v->pending_init) &&
	    v->vm->be->nested_event(v, NESTED_INIT))
		return;			/* it pends until L1 sets GIF */
	if (v->nested.gif_clear)
		return;
	if (atomic_exchange(&v->pending_init, 0)) {
		vcpu_reset(v, true);
		atomic_store_release(&v->mp_state, v->id == atomic_load_relaxed(&v->vm->bsp_id) ? KVM_MP_STATE_RUNNABLE :
				     KVM_MP_STATE_INIT_RECEIVED);
	}
	if (!atomic_load_acquire(&v->pending_sipi))
		return;
	sipi = atomic_exchange(&v->pending_sipi, 0);
	if (atomic_load_acquire(&v->mp_state) != KVM_MP_STATE_INIT_RECEIVED)
		return;
	vcpu_regs_dirty(v, REGS_SEG | REGS_GPR);
	v->x.seg[X86_CS].selector = (u16)((sipi & 0xff) << 8);
	v->x.seg[X86_CS].base = (sipi & 0xff) << 12;
	v->x.rip = 0;
	atomic_store_release(&v->mp_state, KVM_MP_STATE_RUNNABLE);
}

/* Sleep until there is something to do. */
static enum next block(struct vcpu *v)
{
	int r;

	host_srcu_leave(&v->vm->srcu, v->srcu_cookie);
	r = host_wait_until(&v->wait, wakes, v, NEVER);
	v->srcu_cookie = host_srcu_enter(&v->vm->srcu);
	if (r == -EINTR)
		return leave_for_signal(v);
	clock_steal_begin(v);
	vcpu_apic_events_accept(v);
	if (atomic_load_acquire(&v->mp_state) == KVM_MP_STATE_HALTED && event_wakes(v)) {
		VCPU_COUNT(v, halt_wakeup);
		vcpu_request(v, REQ_EVENT);
		atomic_store_release(&v->pv_unhalted, 0u);
		atomic_store_release(&v->mp_state, KVM_MP_STATE_RUNNABLE);
	}
	if (atomic_load_acquire(&v->mp_state) != KVM_MP_STATE_RUNNABLE)
		return requests_serve(v);
	return NEXT_ENTER;
}

/* --- KVM_RUN ------------------------------------------------------------------------------------ */

static void loop(struct vcpu *v)
{
	enum next next;

	do {
		if (atomic_load_acquire(&v->pending_init) || atomic_load_acquire(&v->pending_sipi))
			vcpu_apic_events_accept(v);
		if (atomic_load_acquire(&v->mp_state) == KVM_MP_STATE_RUNNABLE)
			next = enter_and_handle(v);
		else
			next = block(v);
		if (next == NEXT_ENTER && event_client_wants_window(v) && event_ready_for_interrupt(v)) {
			VCPU_COUNT(v, request_irq_exits);
			next = leave(v, KVM_EXIT_IRQ_WINDOW_OPEN);
		}
		if (next == NEXT_ENTER && host_must_return())
			next = leave_for_signal(v);
	} while (next == NEXT_ENTER);
}

/* What the client's answer to the last exit does. */
static enum next complete(struct vcpu *v)
{
	enum vcpu_completion what = v->completion;

	v->completion = COMPLETE_NOTHING;
	switch (what) {
	case COMPLETE_IO:		return complete_io(v);
	case COMPLETE_EMULATE:		return emulated(v, emulate_resume(v));
	case COMPLETE_MSR_READ:		return complete_msr(v, true);
	case COMPLETE_MSR_WRITE:	return complete_msr(v, false);
	case COMPLETE_HYPERCALL:	return complete_hyperv_call(v);
	default:			return NEXT_ENTER;
	}
}

/* Registers that the client changed in v->run: copied once, then as by their ioctls. */
static int sync_regs_in(struct vcpu *v, u64 dirty)
{
	struct kvm_sync_regs copy;
	int r = 0;

	__builtin_memcpy(&copy, &v->run->s.regs, sizeof(copy));
	if (dirty & KVM_SYNC_X86_REGS)
		r = vcpu_set_regs(v, &copy.regs);
	if (!r && (dirty & KVM_SYNC_X86_SREGS))
		r = vcpu_set_sregs(v, &copy.sregs);
	if (!r && (dirty & KVM_SYNC_X86_EVENTS))
		r = vcpu_set_events(v, &copy.events);
	return r ? -EINVAL : 0;
}

static void sync_regs_out(struct vcpu *v, u64 wanted)
{
	struct kvm_sync_regs copy;

	__builtin_memcpy(&copy, &v->run->s.regs, sizeof(copy));
	if (wanted & KVM_SYNC_X86_REGS)
		vcpu_get_regs(v, &copy.regs);
	if (wanted & KVM_SYNC_X86_SREGS)
		vcpu_get_sregs(v, &copy.sregs);
	if (wanted & KVM_SYNC_X86_EVENTS)
		vcpu_get_events(v, &copy.events);
	__builtin_memcpy(&v->run->s.regs, &copy, sizeof(copy));
}

/* What every return tells the client. */
static void state_report(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	run->if_flag = !!(v->x.rflags & X86_FLAG_IF);
	run->flags = v->smm.on ? KVM_RUN_X86_SMM : 0;
	run->cr8 = vcpu_cr8_get(v);
	run->apic_base = v->apic_base;
	run->ready_for_interrupt_injection = v->vm->irq.pic || event_ready_for_interrupt(v);
}

/* An AP that nobody has started yet waits here, and the client calls again. */
static int wait_for_init(struct vcpu *v)
{
	if (atomic_load_relaxed(&v->run->immediate_exit))
		return -EINTR;
	if (block(v) == NEXT_LEAVE)
		return v->run_result;
	vcpu_apic_events_accept(v);
	return -EAGAIN;
}

int vcpu_run(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	u64 valid = atomic_load_relaxed(&run->kvm_valid_regs), dirty = atomic_load_relaxed(&run->kvm_dirty_regs);
	int r = 0;

	if (atomic_load_acquire(&v->vm->dead))
		return -EIO;
	v->srcu_cookie = host_srcu_enter(&v->vm->srcu);
	v->run_result = 0;
	v->launched = true;
	if (atomic_load_acquire(&v->mp_state) == KVM_MP_STATE_UNINITIALIZED) {
		r = wait_for_init(v);
		goto out;
	}
	r = -EINVAL;
	if ((valid | dirty) & ~KVM_SYNC_X86_VALID_FIELDS)
		goto out;
	if (dirty) {
		r = sync_regs_in(v, dirty);
		run->kvm_dirty_regs = 0;
		if (r)
			goto out;
	}
	r = -EINVAL;
	if (!v->lapic && vcpu_cr8_set(v, atomic_load_relaxed(&run->cr8)))
		goto out;
	clock_steal_begin(v);
	if (complete(v) == NEXT_ENTER) {
		if (atomic_load_relaxed(&run->immediate_exit))
			v->run_result = -EINTR;
		else
			loop(v);
	}
	r = v->run_result;
	/* Nobody but us would know of it, if the client moves the vCPU elsewhere now. */
	if (v->nested.exit_pending)
		v->vm->be->nested_event(v, NESTED_PENDING);
out:
	valid &= KVM_SYNC_X86_VALID_FIELDS;
	if (valid)
		sync_regs_out(v, valid);
	state_report(v);
	fpu_settle(v);
	host_srcu_leave(&v->vm->srcu, v->srcu_cookie);
	return r;
}
