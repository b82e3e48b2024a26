// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exec_task.c - hardware task switches
 *
 * The outgoing task is saved and the incoming one's image read before a register changes.
 * From then on the processor is in the new task: a fault found while its segments are
 * loaded is the new task's, with x->rip at its first instruction.
 *
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Task Management".
 */
#include "x86/operand.h"
#include "x86/semantics.h"

/* Task images, as laid out in memory. */
struct tss_32 {
	u32 link, stack[6], cr3, eip, eflags, gpr[8], seg[6], ldt;
	u16 trap, io_map;
};
struct tss_16 {
	u16 link, stack[6], ip, flags, gpr[8], seg[4], ldt;
};
BUILD_ASSERT(sizeof(struct tss_32) == 104 && sizeof(struct tss_16) == 44);

/* The registers of a task, of either kind. */
struct task {
	u32 cr3, eip, eflags, gpr[8];
	u16 link, seg[6], ldt, trap;
};

static enum x86_result task_fault(struct x86 *x, unsigned vector, u16 selector)
{
	return x86_raise_error(x, vector, selector & 0xfffcu);
}

static enum x86_result task_read(struct x86 *x, const struct x86_seg *tss, bool wide,
				 struct task *t)
{
	struct tss_32 image;
	struct tss_16 small;
	enum x86_result r;

	*t = (struct task){ 0 };
	if (wide) {
		r = x86_system_read(x, tss->base, &image, sizeof image);
		if (r)
			return r;
		t->link = (u16)image.link;
		t->cr3 = image.cr3;
		t->eip = image.eip;
		t->eflags = image.eflags;
		t->ldt = (u16)image.ldt;
		t->trap = image.trap;
		for (unsigned n = 0; n < 8; n++)
			t->gpr[n] = image.gpr[n];
		for (unsigned n = 0; n < 6; n++)
			t->seg[n] = (u16)image.seg[n];
		return X86_OK;
	}
	r = x86_system_read(x, tss->base, &small, sizeof small);
	if (r)
		return r;
	t->link = small.link;
	t->eip = small.ip;
	t->eflags = small.flags;
	t->ldt = small.ldt;
	for (unsigned n = 0; n < 8; n++)
		t->gpr[n] = 0xffff0000u | small.gpr[n];
	for (unsigned n = 0; n < 4; n++)
		t->seg[n] = small.seg[n];
	return X86_OK;
}

/* Save the dynamic fields: EIP to GS (IP to DS). */
static enum x86_result task_save(struct x86 *x, const struct x86_seg *tss, bool wide, u64 rip,
				 u64 flags)
{
	struct tss_32 image;
	struct tss_16 small;

	if (wide) {
		image.eip = (u32)rip;
		image.eflags = (u32)flags;
		for (unsigned n = 0; n < 8; n++)
			image.gpr[n] = (u32)x->gpr[n];
		for (unsigned n = 0; n < 6; n++)
			image.seg[n] = x->seg[n].selector;
		return x86_system_write(x, tss->base + offsetof(struct tss_32, eip), &image.eip,
					offsetof(struct tss_32, ldt) -
						offsetof(struct tss_32, eip));
	}
	small.ip = (u16)rip;
	small.flags = (u16)flags;
	for (unsigned n = 0; n < 8; n++)
		small.gpr[n] = (u16)x->gpr[n];
	for (unsigned n = 0; n < 4; n++)
		small.seg[n] = x->seg[n].selector;
	return x86_system_write(x, tss->base + offsetof(struct tss_16, ip), &small.ip,
				offsetof(struct tss_16, ldt) - offsetof(struct tss_16, ip));
}

/* Set or clear a TSS descriptor's busy bit. */
static enum x86_result busy_write(struct x86 *x, const struct x86_descriptor *d, bool busy)
{
	u8 type = (u8)((d->low >> 40 & 0xfd) | (busy ? 2 : 0));

	return x86_system_write(x, d->address + 5, &type, 1);
}

/* -- the new task's segments ---------------------------------------------------------- */
static enum x86_result ldt_load(struct x86 *x, u16 selector)
{
	struct x86_descriptor d;
	enum x86_result r;

	x->seg[X86_LDTR] = (struct x86_seg){ .selector = selector };
	if (!(selector & 0xfffc))
		return X86_OK;
	if (selector & 4)
		return task_fault(x, X86_TS, selector);
	r = x86_descriptor_read(x, selector, X86_TS, 0, &d);
	if (r)
		return r;
	if (!descriptor_is_system(&d) || descriptor_type(&d) != 2 || !descriptor_is_present(&d))
		return task_fault(x, X86_TS, selector);
	x86_descriptor_segment(&d, selector, &x->seg[X86_LDTR]);
	return X86_OK;
}

static enum x86_result code_load(struct x86 *x, u16 selector)
{
	unsigned rpl = selector & 3;
	struct x86_descriptor d;
	struct x86_seg cs;
	enum x86_result r;

	if (!(selector & 0xfffc))
		return x86_raise_error(x, X86_TS, 0);
	r = x86_descriptor_read(x, selector, X86_TS, 0, &d);
	if (r)
		return r;
	if (!descriptor_is_code(&d) ||
	    (descriptor_is_conforming(&d) ? descriptor_dpl(&d) > rpl : descriptor_dpl(&d) != rpl))
		return task_fault(x, X86_TS, selector);
	if (!descriptor_is_present(&d))
		return task_fault(x, X86_NP, selector);
	r = x86_descriptor_accessed(x, &d);
	if (r)
		return r;
	x86_descriptor_segment(&d, selector, &cs);
	x86_code_changed(x, &cs, rpl);
	return X86_OK;
}

static enum x86_result segments_load(struct x86 *x, const struct task *t)
{
	static const u8 order[] = { X86_SS, X86_DS, X86_ES, X86_FS, X86_GS };
	enum x86_result r;

	for (unsigned n = 0; n < 6; n++)
		x->seg[n] = (struct x86_seg){ .selector = t->seg[n] };
	r = ldt_load(x, t->ldt);
	if (r)
		return r;
	if (t->eflags & X86_FLAG_VM) {
		struct x86_seg cs;

		for (unsigned n = 0; n < 5; n++)
			x86_segment_real(x, order[n], t->seg[order[n]], &x->seg[order[n]]);
		x86_segment_real(x, X86_CS, t->seg[X86_CS], &cs);
		x86_code_changed(x, &cs, 3);
		return X86_OK;
	}
	x->cpl = t->seg[X86_CS] & 3;
	r = code_load(x, t->seg[X86_CS]);
	for (unsigned n = 0; !r && n < 5; n++) {
		struct x86_seg s;

		r = x86_segment_check(x, order[n], t->seg[order[n]], x->cpl, X86_TS, 0, &s);
		if (!r)
			x->seg[order[n]] = s;
	}
	x86_mode_changed(x);
	return r;
}

/* -- the switch ----------------------------------------------------------------------- */
/* Find and check the incoming task's TSS. */
static enum x86_result tss_check(struct x86 *x, unsigned reason, u16 selector, unsigned ext,
				 struct x86_descriptor *d, struct x86_seg *tss)
{
	unsigned wrong = reason == X86_TASK_IRET ? X86_TS : X86_GP, type;
	enum x86_result r;

	if (!(selector & 0xfffc) || (selector & 4))
		return x86_raise_error(x, wrong, (selector & 0xfffcu) | ext);
	r = x86_descriptor_read(x, selector, wrong, ext, d);
	if (r)
		return r;
	type = descriptor_type(d);
	if (!descriptor_is_system(d) || (type & 5) != 1 ||
	    !!(type & 2) != (reason == X86_TASK_IRET))
		return x86_raise_error(x, wrong, (selector & 0xfffcu) | ext);
	if (!descriptor_is_present(d))
		return x86_raise_error(x, X86_NP, (selector & 0xfffcu) | ext);
	x86_descriptor_segment(d, selector, tss);
	if (tss->limit < (type & 8 ? 0x67 : 0x2b))
		return x86_raise_error(x, X86_TS, (selector & 0xfffcu) | ext);
	return X86_OK;
}

enum x86_result x86_task_switch(struct x86 *x, const struct x86_insn *i, unsigned reason,
				u16 selector, const struct x86_event *event, u64 return_rip)
{
	bool nested = reason == X86_TASK_CALL || reason == X86_TASK_GATE, wide;
	u64 flags = reason == X86_TASK_IRET ? x->rflags & ~X86_FLAG_NT : x->rflags;
	struct x86_seg old_tss = x->seg[X86_TR], tss;
	struct x86_descriptor d, old;
	struct x86_stack s;
	enum x86_result r;
	struct task t;

	r = tss_check(x, reason, selector, event && event->type != X86_EVENT_SOFT, &d, &tss);
	if (!r)
		r = intercept(x, i, X86_HOOK_TASK_SWITCH, (u64)reason << 32 | selector);
	if (!r)
		r = x86_descriptor_read(x, old_tss.selector, X86_TS, 0, &old);
	wide = descriptor_type(&d) & 8;
	if (!r)
		r = task_read(x, &tss, wide, &t);
	if (!r)
		r = x->bus->probe(x, tss.base, wide ? 104 : 44, X86_WRITE | X86_IMPLICIT);
	if (!r)
		r = task_save(x, &old_tss, old_tss.attr & 8, return_rip, flags);
	if (!r && !nested)
		r = busy_write(x, &old, false);
	if (!r && nested)
		r = x86_system_write(x, tss.base, &old_tss.selector, 2);
	if (!r && reason != X86_TASK_IRET)
		r = busy_write(x, &d, true);
	if (r)
		return r;

	/* The point of no return. */
	tss.attr |= 2;
	x->seg[X86_TR] = tss;
	if (wide && (x->cr0 & X86_CR0_PG)) {
		x->cr3 = t.cr3;
		x->bus->flush(x, X86_FLUSH_LOCAL, 0);
	}
	x->cr0 |= X86_CR0_TS;
	x->dr7 &= ~0x155ull;
	x->rip = x->next_rip = t.eip;
	for (unsigned n = 0; n < 8; n++)
		x->gpr[n] = t.gpr[n];
	if (nested)
		t.eflags |= X86_FLAG_NT;
	x86_flags_write(x, t.eflags & 0x3f7fd7, ~0ull);
	x->attention |= X86_ATTN_FLAGS | X86_ATTN_MODE;
	if (t.trap & 1) {
		x->debug_hits |= BIT_U64(15);
		x->attention |= X86_ATTN_STEP;
	}
	r = segments_load(x, &t);
	if (!r && event && event->has_error) {
		x86_stack_open(x, &s);
		r = x86_stack_push(x, &s, event->error, wide ? 4 : 2);
		if (!r)
			x86_stack_close(x, &s);
	}
	if (!r && x->rip > x->seg[X86_CS].limit)
		r = raise_gp(x);
	return r;
}
