// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_deliver.c - interrupts and exceptions through the IVT or IDT
 *
 * One event, five ways in: real mode, virtual-8086 redirection, 16- and 32-bit gates,
 * 64-bit gates, task gates.  Everything that can fail is done before a register changes.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Exceptions and Interrupts";
 * "Interrupt Control Transfers", "Long-Mode Interrupt Control Transfers".
 */
#include "x86/operand.h"
#include "x86/semantics.h"

/* Types of IDT gates. */
enum {
	GATE_TASK = 5,
	GATE_INTERRUPT_16 = 6,
	GATE_TRAP_16 = 7,
	GATE_INTERRUPT = 14,
	GATE_TRAP = 15
};

/* Raised by an instruction, which needs the gate's permission. */
static bool event_is_software(const struct x86_event *e)
{
	return e->type == X86_EVENT_SOFT || (e->type == X86_EVENT_EXCEPTION && !e->icebp &&
					     (e->vector == X86_BP || e->vector == X86_OF));
}

/* The error code's EXT bit.  AMD's processors do not count exceptions as external events. */
static unsigned error_ext(const struct x86 *x, const struct x86_event *e)
{
	return !event_is_software(e) && !(x->vendor_amd && e->type == X86_EVENT_EXCEPTION);
}

/* Faults are delivered with RF set in the image, so that breakpoints do not hit again. */
static u64 flags_image(const struct x86 *x, const struct x86_event *e)
{
	bool trap = e->vector == X86_DB || e->vector == X86_BP || e->vector == X86_OF;

	return x->rflags | (e->type == X86_EVENT_EXCEPTION && !trap ? X86_FLAG_RF : 0);
}

static void rip_set(struct x86 *x, u64 rip)
{
	x->rip = x->next_rip = rip;
}

/* -- IVT ------------------------------------------------------------------------------ */
/* Real mode; virtual-8086 code reaches its own table with VME. */
static enum x86_result deliver_real(struct x86 *x, const struct x86_event *e, u64 table, u64 image,
				    u64 clear)
{
	struct x86_stack s;
	struct x86_seg cs;
	enum x86_result r;
	u16 target[2];

	if (mode_real(x) && e->vector * 4u + 3 > x->idtr.limit)
		return x86_raise_error(x, X86_GP, e->vector * 8u + 2);
	r = x->bus->read(x, table + e->vector * 4u, target, 4,
			 X86_READ | (mode_real(x) ? X86_IMPLICIT : X86_USER));
	x86_stack_open(x, &s);
	if (!r)
		r = x86_stack_push(x, &s, image, 2);
	if (!r)
		r = x86_stack_push(x, &s, x->seg[X86_CS].selector, 2);
	if (!r)
		r = x86_stack_push(x, &s, e->return_rip, 2);
	if (r)
		return r;
	x86_stack_close(x, &s);
	x86_segment_real(x, X86_CS, target[1], &cs);
	x86_flags_write(x, 0, clear);
	x86_code_changed(x, &cs, x->cpl);
	rip_set(x, target[0]);
	return X86_OK;
}

/* -- gates ---------------------------------------------------------------------------- */
/* The handler's code segment: what may be interrupted into.  *level is its CPL. */
static enum x86_result handler_segment(struct x86 *x, u16 selector, unsigned ext,
				       struct x86_seg *cs, unsigned *level)
{
	struct x86_descriptor d;
	enum x86_result r;
	u32 error = (selector & 0xfffcu) | ext;

	if (!(selector & 0xfffc))
		return x86_raise_error(x, X86_GP, ext);
	r = x86_descriptor_read(x, selector, X86_GP, ext, &d);
	if (r)
		return r;
	if (!descriptor_is_code(&d) || descriptor_dpl(&d) > x->cpl)
		return x86_raise_error(x, X86_GP, error);
	if (mode_long(x) && (d.low >> 53 & 3) != 1)	/* L without D */
		return x86_raise_error(x, X86_GP, error);
	if (!descriptor_is_present(&d))
		return x86_raise_error(x, X86_NP, error);
	*level = descriptor_is_conforming(&d) ? x->cpl : descriptor_dpl(&d);
	if (mode_vm86(x) && *level != 0)
		return x86_raise_error(x, X86_GP, error);
	r = x86_descriptor_accessed(x, &d);
	x86_descriptor_segment(&d, (u16)((selector & ~3u) | *level), cs);
	return r;
}

/* The new RFLAGS: interrupt gates clear IF. */
static void flags_enter(struct x86 *x, bool interrupt_gate)
{
	x86_flags_write(x, 0, X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_RF | X86_FLAG_VM |
			      (interrupt_gate ? X86_FLAG_IF : 0));
}

static enum x86_result push_frame(struct x86 *x, struct x86_stack *s, const u64 *words,
				  unsigned count, unsigned bytes)
{
	for (unsigned n = 0; n < count; n++) {
		enum x86_result r = x86_stack_push(x, s, words[n], bytes);

		if (r)
			return r;
	}
	return X86_OK;
}

static enum x86_result deliver_long(struct x86 *x, const struct x86_event *e)
{
	unsigned ext = error_ext(x, e), level, ist;
	u32 error = e->vector * 8u + 2 + ext;
	struct x86_descriptor gate = { 0 };
	struct x86_stack s = { .bits = 64, .error = ext };
	struct x86_seg cs;
	enum x86_result r;
	u64 rip, frame[6];

	if (e->vector * 16u + 15 > x->idtr.limit)
		return x86_raise_error(x, X86_GP, error);
	r = x86_system_read(x, x->idtr.base + e->vector * 16u, &gate.low, 8);
	if (!r)
		r = x86_system_read(x, x->idtr.base + e->vector * 16u + 8, &gate.high, 8);
	if (r)
		return r;
	if (!descriptor_is_system(&gate) ||
	    (descriptor_type(&gate) != GATE_INTERRUPT && descriptor_type(&gate) != GATE_TRAP) ||
	    (event_is_software(e) && x->cpl > descriptor_dpl(&gate)))
		return x86_raise_error(x, X86_GP, error);
	if (!descriptor_is_present(&gate))
		return x86_raise_error(x, X86_NP, error);
	r = handler_segment(x, gate_selector(&gate), ext, &cs, &level);
	if (r)
		return r;
	rip = gate_offset(&gate) | gate.high << 32;
	if (!is_canonical(x, rip))
		return x86_raise_error(x, X86_GP, ext);

	ist = (unsigned)(gate.low >> 32 & 7);
	s.sp = x->gpr[X86_RSP];
	if (ist)
		r = x86_stack_of_tss64(x, ist + 2, ext, &s.sp);
	else if (level < x->cpl)
		r = x86_stack_of_tss64(x, level, ext, &s.sp);
	if (r)
		return r;
	s.sp &= ~15ull;
	s.access = level == 3 ? X86_USER : 0;
	frame[0] = x->seg[X86_SS].selector;
	frame[1] = x->gpr[X86_RSP];
	frame[2] = flags_image(x, e);
	frame[3] = x->seg[X86_CS].selector;
	frame[4] = e->return_rip;
	frame[5] = e->error;
	r = push_frame(x, &s, frame, e->has_error ? 6 : 5, 8);
	if (r)
		return r;

	if (level < x->cpl)
		x->seg[X86_SS] =
			(struct x86_seg){.selector = (u16)level, .attr = (u16)(level << 5)};
	x->gpr[X86_RSP] = s.sp;
	flags_enter(x, descriptor_type(&gate) == GATE_INTERRUPT);
	x86_code_changed(x, &cs, level);
	rip_set(x, rip);
	return X86_OK;
}

static enum x86_result deliver_gate(struct x86 *x, const struct x86_event *e,
				    const struct x86_descriptor *gate, unsigned ext)
{
	unsigned bytes = descriptor_type(gate) & 8 ? 4 : 2, count = 0, level;
	bool vm86 = mode_vm86(x);
	u64 rip = gate_offset(gate), frame[10];
	struct x86_stack s;
	struct x86_seg cs;
	enum x86_result r = handler_segment(x, gate_selector(gate), ext, &cs, &level);

	if (r)
		return r;
	if (bytes == 2)
		rip = (u16)rip;
	x86_stack_open(x, &s);
	s.error = ext;
	if (level < x->cpl) {
		r = x86_stack_of_level(x, level, ext, &s);
		if (r)
			return r;
		if (vm86) {
			frame[count++] = x->seg[X86_GS].selector;
			frame[count++] = x->seg[X86_FS].selector;
			frame[count++] = x->seg[X86_DS].selector;
			frame[count++] = x->seg[X86_ES].selector;
		}
		frame[count++] = x->seg[X86_SS].selector;
		frame[count++] = x->gpr[X86_RSP];
	}
	frame[count++] = flags_image(x, e);
	frame[count++] = x->seg[X86_CS].selector;
	frame[count++] = e->return_rip;
	if (e->has_error)
		frame[count++] = e->error;
	if (rip > cs.limit)
		return x86_raise_error(x, X86_GP, ext);
	r = push_frame(x, &s, frame, count, bytes);
	if (r)
		return r;

	if (level < x->cpl)
		x->seg[X86_SS] = s.ss;
	if (vm86)
		x->seg[X86_GS] = x->seg[X86_FS] = x->seg[X86_DS] = x->seg[X86_ES] =
			(struct x86_seg){0};
	flags_enter(x, !(descriptor_type(gate) & 1));
	x86_code_changed(x, &cs, level);
	x86_stack_close(x, &s);
	rip_set(x, rip);
	return X86_OK;
}

static enum x86_result deliver_protected(struct x86 *x, const struct x86_event *e)
{
	unsigned ext = error_ext(x, e), type;
	u32 error = e->vector * 8u + 2 + ext;
	struct x86_descriptor gate = { 0 };
	enum x86_result r;

	if (e->vector * 8u + 7 > x->idtr.limit)
		return x86_raise_error(x, X86_GP, error);
	r = x86_system_read(x, (u32)(x->idtr.base + e->vector * 8u), &gate.low, 8);
	if (r)
		return r;
	type = descriptor_type(&gate);
	if (!descriptor_is_system(&gate) ||
	    (type != GATE_TASK && type != GATE_INTERRUPT_16 && type != GATE_TRAP_16 &&
	     type != GATE_INTERRUPT && type != GATE_TRAP) ||
	    (event_is_software(e) && x->cpl > descriptor_dpl(&gate)))
		return x86_raise_error(x, X86_GP, error);
	if (!descriptor_is_present(&gate))
		return x86_raise_error(x, X86_NP, error);
	if (type == GATE_TASK)
		return x86_task_switch(x, NULL, X86_TASK_GATE, gate_selector(&gate), e,
				       e->return_rip);
	return deliver_gate(x, e, &gate, ext);
}

enum x86_result x86_deliver(struct x86 *x, const struct x86_event *event)
{
	struct x86_event e = *event;
	enum x86_result r;

	e.valid = true;
	if (mode_real(x))
		e.has_error = false;
	x->delivering = e;
	if (mode_real(x))
		r = deliver_real(x, &e, x->idtr.base, x->rflags,
				 X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_AC | X86_FLAG_RF);
	else
		r = mode_long(x) ? deliver_long(x, &e) : deliver_protected(x, &e);
	if (!r)
		x->delivering.valid = false;
	return r;
}

/* -- software interrupts -------------------------------------------------------------- */
/* With VME, does the TSS say that virtual-8086 code handles vector itself? */
static enum x86_result vme_redirects(struct x86 *x, unsigned vector, bool *redirect)
{
	const struct x86_seg *tr = &x->seg[X86_TR];
	enum x86_result r;
	u16 io_map = 0;
	u8 map = 0xff;

	*redirect = false;
	if (!(x->cr4 & X86_CR4_VME))
		return X86_OK;
	r = x86_system_read(x, tr->base + 102, &io_map, 2);
	if (r || io_map < 32 || io_map - 32u + vector / 8 > tr->limit)
		return r;
	r = x86_system_read(x, tr->base + io_map - 32u + vector / 8, &map, 1);
	*redirect = !(map >> (vector & 7) & 1);
	return r;
}

enum x86_result x86_interrupt_software(struct x86 *x, const struct x86_insn *i, unsigned vector)
{
	struct x86_event e = {.valid = true,
			      .vector = (u8)vector,
			      .type = X86_EVENT_SOFT,
			      .return_rip = x->next_rip};
	bool redirect = false;
	enum x86_result r = X86_OK;

	if (mode_vm86(x)) {
		r = vme_redirects(x, vector, &redirect);
		if (r)
			return r;
		if (!redirect && iopl(x) < 3)
			return raise_gp(x);
	}
	r = intercept(x, i, X86_HOOK_INTN, vector);
	if (r)
		return r;
	if (redirect) {
		u64 image = x->rflags, interrupt = X86_FLAG_IF;

		if (iopl(x) < 3) {
			image = (image & ~X86_FLAG_IF) | X86_FLAG_IOPL |
				(image & X86_FLAG_VIF ? X86_FLAG_IF : 0);
			interrupt = X86_FLAG_VIF;
		}
		return deliver_real(x, &e, 0, image, interrupt | X86_FLAG_TF);
	}
	return x86_deliver(x, &e);
}

/* -- what to deliver ------------------------------------------------------------------ */
void x86_fault_event(const struct x86 *x, struct x86_event *event)
{
	*event = (struct x86_event){
		.valid = true, .vector = x->fault.vector, .type = X86_EVENT_EXCEPTION,
		.has_error = x->fault.has_error, .error = x->fault.error, .icebp = x->fault.icebp,
		.return_rip = x->fault.trap ? x->next_rip : x->rip,
	};
}

static bool is_contributory(unsigned vector)
{
	return vector == X86_DE || (vector >= X86_TS && vector <= X86_GP);
}

unsigned x86_combine(unsigned first, unsigned second)
{
	bool bad = is_contributory(second) || second == X86_PF;

	if (first == X86_DF)
		return bad ? X86_NO_VECTOR : second;
	if (first == X86_PF)
		return bad ? X86_DF : second;
	return is_contributory(first) && is_contributory(second) ? X86_DF : second;
}
