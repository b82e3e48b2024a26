// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * emulate.c - the instruction emulator
 *
 * The executor of x86/ runs the instruction over emulate_bus, which reaches the guest's
 * memory by its page tables and slots, in-kernel devices by the I/O buses, and everything
 * else through the client.
 *
 * Device reads are asked for one at a time.  A read that only the client can answer ends
 * the instruction (X86_EXIT, nothing has changed); when the answer is there the instruction
 * runs again from the start, taking what is known from the log, which in-kernel devices
 * share so that none is read twice.  Device writes are put aside and made after the
 * instruction has completed, so that one that faults or starts again has made none.
 *
 * A REP instruction runs one iteration at a time, each of them an instruction of its own.
 *
 * Invariants:
 *   1. The log describes one attempt at one iteration: it is empty once that is complete.
 *   2. Nothing of an instruction is looked at in guest memory twice: its bytes are in
 *      emulate.bytes before it is decoded.
 *
 * Locking: v->lock held, inside vm->srcu.
 * Not modelled: vector instructions other than moves; read-modify-write of device memory
 * is not atomic among vCPUs (nor is it in Linux's KVM).
 */
#include "core/emulate.h"

#include <linux/errno.h>

#include "core/emulate_vector.h"
#include "core/vm.h"

#define REP_ITERATIONS	1024u	/* before the guest is let in again */

static struct vcpu *vcpu_of(struct x86 *x)
{
	return CONTAINER_OF(x, struct vcpu, x);
}

/* --- devices ------------------------------------------------------------------- */

static bool access_is(const struct emulate_access *a, gpa_t gpa, unsigned bytes)
{
	return a->gpa == gpa && a->bytes == bytes;
}

/* Up to 8 bytes of device memory: from the log, a device of ours or the client. */
static enum x86_result device_read(struct vcpu *v, gpa_t gpa, void *data, unsigned bytes)
{
	struct emulate *em = &v->emulate;
	struct emulate_access *a;

	/* A page table that changed between attempts makes later answers worthless. */
	if (em->reads_used < em->reads && !access_is(&em->read[em->reads_used], gpa, bytes))
		em->reads = em->reads_used;
	if (em->reads_used == EMULATE_READS)
		return X86_UNIMPLEMENTED;
	a = &em->read[em->reads_used];
	if (em->reads_used == em->reads) {
		*a = (struct emulate_access){ .gpa = gpa, .bytes = (u8)bytes };
		if (iobus_read(v, IOBUS_MMIO, gpa, bytes, a->data)) {
			em->wait = EMULATE_READING;
			return X86_EXIT;
		}
		em->reads++;
	}
	__builtin_memcpy(data, a->data, bytes);
	em->reads_used++;
	return X86_OK;
}

static enum x86_result device_write(struct vcpu *v, bool port, gpa_t gpa, const void *data, unsigned bytes)
{
	struct emulate *em = &v->emulate;
	struct emulate_access *a;

	if (em->writes == EMULATE_WRITES)
		return X86_UNIMPLEMENTED;
	a = &em->write[em->writes++];
	*a = (struct emulate_access){ .gpa = gpa, .port = port, .bytes = (u8)bytes };
	__builtin_memcpy(a->data, data, bytes);
	return X86_OK;
}

/* --- memory -------------------------------------------------------------------- */

/* A linear range within one page, translated. */
struct span { gpa_t gpa; unsigned bytes; };
#define SPANS 2u		/* no operand is larger than a page */

static enum x86_result translate(struct vcpu *v, u64 linear, unsigned bytes, unsigned access, gpa_t *gpa)
{
	const struct emulate *em = &v->emulate;

	/* The processor has checked this access already. */
	if (em->gpa_known && (linear ^ em->gpa) % PAGE_BYTES == 0 && PAGE_BYTES - linear % PAGE_BYTES >= bytes) {
		*gpa = em->gpa;
		return X86_OK;
	}
	return (enum x86_result)mmu_guest_translate(v, linear, access, gpa);
}

static enum x86_result spans_translate(struct vcpu *v, u64 linear, unsigned bytes, unsigned access,
				       struct span span[SPANS], unsigned *count)
{
	*count = 0;
	while (bytes) {
		unsigned part = (unsigned)MIN_OF((u64)bytes, PAGE_BYTES - linear % PAGE_BYTES);
		enum x86_result r;

		if (*count == SPANS)
			return X86_UNIMPLEMENTED;
		r = translate(v, linear, bytes, access, &span[*count].gpa);
		if (r)
			return r;
		span[(*count)++].bytes = part;
		bytes -= part;
		linear += part;
		if (v->x.code_bits != 64)
			linear = (u32)linear;
	}
	return X86_OK;
}

/* The slot if this is memory for such an access; NULL: a device. */
static struct slot *memory_at(struct vcpu *v, gpa_t gpa, bool write)
{
	struct slot *s;

	if (v->lapic && lapic_claims(v, gpa))
		return NULL;
	s = vcpu_slot_find(v, gpa >> PAGE_BITS);
	return s && !(write && (s->flags & KVM_MEM_READONLY)) ? s : NULL;
}

static enum x86_result span_read(struct vcpu *v, const struct span *span, u8 *data)
{
	struct slot *s = memory_at(v, span->gpa, false);

	if (s && !host_copy_in(data, slot_hva(s, span->gpa), span->bytes))
		return X86_OK;
	for (unsigned at = 0; at < span->bytes; at += 8) {
		enum x86_result r = device_read(v, span->gpa + at, data + at, MIN_OF(8u, span->bytes - at));

		if (r)
			return r;
	}
	return X86_OK;
}

static enum x86_result span_write(struct vcpu *v, const struct span *span, const u8 *data)
{
	struct slot *s = memory_at(v, span->gpa, true);

	if (s && !host_copy_out(slot_hva(s, span->gpa), data, span->bytes)) {
		slot_mark_dirty(v, span->gpa >> PAGE_BITS);
		return X86_OK;
	}
	for (unsigned at = 0; at < span->bytes; at += 8) {
		enum x86_result r = device_write(v, false, span->gpa + at, data + at, MIN_OF(8u, span->bytes - at));

		if (r)
			return r;
	}
	return X86_OK;
}

static enum x86_result bus_read(struct x86 *x, u64 linear, void *data, unsigned bytes, unsigned access)
{
	struct vcpu *v = vcpu_of(x);
	struct span span[SPANS];
	unsigned count, at = 0;
	enum x86_result r = spans_translate(v, linear, bytes, access, span, &count);

	for (unsigned n = 0; !r && n < count; n++) {
		r = span_read(v, &span[n], (u8 *)data + at);
		at += span[n].bytes;
	}
	return r;
}

static enum x86_result bus_write(struct x86 *x, u64 linear, const void *data, unsigned bytes, unsigned access)
{
	struct vcpu *v = vcpu_of(x);
	struct span span[SPANS];
	unsigned count, at = 0;
	enum x86_result r = spans_translate(v, linear, bytes, access, span, &count);

	for (unsigned n = 0; !r && n < count; n++) {
		r = span_write(v, &span[n], (const u8 *)data + at);
		at += span[n].bytes;
	}
	return r;
}

static enum x86_result bus_probe(struct x86 *x, u64 linear, unsigned bytes, unsigned access)
{
	struct span span[SPANS];
	unsigned count;

	return spans_translate(vcpu_of(x), linear, bytes, access, span, &count);
}

static void page_release(struct vcpu *v)
{
	struct emulate *em = &v->emulate;

	if (!em->held)
		return;
	slot_mark_dirty(v, em->held_gfn);
	host_page_put(&em->page, true);
	em->held = false;
}

/* Memory for a host atomic, held until the instruction is over. */
static enum x86_result bus_map(struct x86 *x, u64 linear, unsigned bytes, unsigned access, void **host)
{
	struct vcpu *v = vcpu_of(x);
	struct emulate *em = &v->emulate;
	struct span span[SPANS];
	unsigned count;
	struct slot *s;
	enum x86_result r = spans_translate(v, linear, bytes, access, span, &count);

	*host = NULL;
	if (r || count != 1)
		return r;
	s = memory_at(v, span[0].gpa, true);
	page_release(v);
	if (!s || host_page_get(slot_hva(s, span[0].gpa), true, &em->page))
		return X86_OK;
	em->held = true;
	em->held_gfn = span[0].gpa >> PAGE_BITS;
	*host = (u8 *)host_from_bus(em->page.pa) + span[0].gpa % PAGE_BYTES;
	return X86_OK;
}

static void bus_lock(struct x86 *x)
{
	(void)x;
}

/* --- ports --------------------------------------------------------------------- */

/* How many elements a REP INS may ask for at once: what fits its page and our buffer. */
static u16 ins_count(const struct x86 *x, const struct x86_insn *i, unsigned bytes)
{
	u64 mask = i->ad_bytes == 8 ? ~0ull : i->ad_bytes == 4 ? 0xffffffffull : 0xffffull;
	u64 left = x->gpr[X86_RCX] & mask, offset = (x->seg[X86_ES].base + (x->gpr[X86_RDI] & mask)) % PAGE_BYTES;
	u64 room = x->rflags & X86_FLAG_DF ? offset / bytes + 1 : (PAGE_BYTES - offset) / bytes;

	if (i->form != X86_STRING || !(i->prefixes & (X86_P_REP | X86_P_REPNE)))
		return 1;
	left = MIN_OF(left, EMULATE_INS / bytes);
	left = MIN_OF(left, room);
	return (u16)MAX_OF(left, 1ull);
}

static enum x86_result bus_in(struct x86 *x, u16 port, unsigned bytes, u32 *value)
{
	struct vcpu *v = vcpu_of(x);
	struct emulate *em = &v->emulate;

	*value = 0;
	if (em->in_used < em->in_count && em->in_port == port && em->in_bytes == bytes) {
		__builtin_memcpy(value, em->in_data + em->in_used * bytes, bytes);
		em->in_taken = true;
		return X86_OK;
	}
	if (!iobus_read(v, IOBUS_PIO, port, bytes, value))
		return X86_OK;
	em->in_port = port;
	em->in_bytes = (u8)bytes;
	em->in_count = em->in_used = ins_count(x, &em->insn, bytes);	/* none has been answered */
	em->wait = EMULATE_PORT_IN;
	return X86_EXIT;
}

static enum x86_result bus_out(struct x86 *x, u16 port, unsigned bytes, u32 value)
{
	return device_write(vcpu_of(x), true, port, &value, bytes);
}

/* --- the rest of the processor --------------------------------------------------- */

static enum x86_result bus_hook(struct x86 *x, const struct x86_insn *i, enum x86_hook what, u64 info)
{
	(void)x;
	(void)i;
	(void)what;
	(void)info;
	return X86_OK;
}

static void bus_cpuid(struct x86 *x, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	cpuid_execute(vcpu_of(x), eax, ebx, ecx, edx);
}

static enum x86_result bus_rdmsr(struct x86 *x, u32 msr, u64 *value)
{
	return msr_get(vcpu_of(x), msr, value, false) ? x86_raise_error(x, X86_GP, 0) : X86_OK;
}

static enum x86_result bus_wrmsr(struct x86 *x, u32 msr, u64 value)
{
	return msr_set(vcpu_of(x), msr, value, false) ? x86_raise_error(x, X86_GP, 0) : X86_OK;
}

static u64 bus_rdtsc(struct x86 *x)
{
	return clock_tsc_read(vcpu_of(x));
}

static u64 bus_read_cr8(struct x86 *x)
{
	return vcpu_cr8_get(vcpu_of(x));
}

static void bus_write_cr8(struct x86 *x, u64 value)
{
	(void)vcpu_cr8_set(vcpu_of(x), value);
}

static void bus_flush(struct x86 *x, enum x86_flush kind, u64 address)
{
	struct vcpu *v = vcpu_of(x);

	if (v->vm->mmu.shadow)
		shadow_flush(v, kind, address);
	else
		vcpu_request(v, REQ_TLB_FLUSH);
}

static void bus_mode_changed(struct x86 *x)
{
	(void)x;
}

const struct x86_bus emulate_bus = {
	.read = bus_read, .write = bus_write, .probe = bus_probe, .map = bus_map,
	.lock = bus_lock, .unlock = bus_lock,
	.in = bus_in, .out = bus_out,
	.hook = bus_hook, .cpuid = bus_cpuid, .rdmsr = bus_rdmsr, .wrmsr = bus_wrmsr,
	.rdtsc = bus_rdtsc, .read_cr8 = bus_read_cr8, .write_cr8 = bus_write_cr8,
	.flush = bus_flush, .mode_changed = bus_mode_changed,
	.vector = emulate_vector,
};

/* --- fetching -------------------------------------------------------------------- */

/* More bytes of the instruction, as far as its page goes. */
static enum x86_result fetch_more(struct vcpu *v, u8 bytes[15], u8 *count)
{
	struct x86 *x = &v->x;
	u64 offset = x->rip + *count, linear = offset, part;
	gpa_t gpa;
	struct slot *s;
	enum x86_result r;

	part = 15u - *count;
	if (x->code_bits != 64) {
		offset = (u32)offset;
		if (offset > x->seg[X86_CS].limit)
			return x86_raise_error(x, X86_GP, 0);
		part = MIN_OF(part, x->seg[X86_CS].limit - offset + 1);
		linear = (u32)(x->seg[X86_CS].base + offset);
	}
	part = MIN_OF(part, PAGE_BYTES - linear % PAGE_BYTES);
	r = (enum x86_result)mmu_guest_translate(v, linear, X86_FETCH | (x->cpl == 3 ? X86_USER : 0), &gpa);
	if (r)
		return r;
	s = vcpu_slot_find(v, gpa >> PAGE_BITS);
	if (!s || host_copy_in(bytes + *count, slot_hva(s, gpa), part))
		return X86_UNIMPLEMENTED;
	*count += (u8)part;
	return X86_OK;
}

/* Decode the instruction at RIP, fetching what is not there yet. */
static enum x86_result decode(struct vcpu *v, u8 bytes[15], u8 *count, struct x86_insn *i)
{
	for (;;) {
		enum x86_result r;

		switch (*count ? x86_decode(i, bytes, *count, v->x.code_bits) : X86_TRUNCATED) {
		case X86_DECODED:
			return X86_OK;
		case X86_INVALID:
			return x86_raise(&v->x, X86_UD);
		case X86_TOO_LONG:
			return x86_raise_error(&v->x, X86_GP, 0);
		case X86_TRUNCATED:
			if (*count >= 15)
				return x86_raise_error(&v->x, X86_GP, 0);
			r = fetch_more(v, bytes, count);
			if (r)
				return r;
		}
	}
}

/* The instruction under emulation, decoded once: again only if the client has changed the mode. */
static enum x86_result instruction_decode(struct vcpu *v)
{
	struct emulate *em = &v->emulate;
	enum x86_result r;

	if (em->insn_bits == v->x.code_bits)
		return X86_OK;
	em->insn_bits = 0;
	r = decode(v, em->bytes, &em->byte_count, &em->insn);
	if (!r)
		em->insn_bits = v->x.code_bits;
	return r;
}

/* These registers are here, and in the form in which x86/ wants them. */
static void registers_begin(struct vcpu *v, u64 groups)
{
	struct x86 *x = &v->x;

	vcpu_regs_need(v, groups);
	x->bus = &emulate_bus;
	x->tlb = &x86_tlb_empty;
	x->hooked = 0;
	x86_mode_changed(x);
}

unsigned emulate_length(struct vcpu *v)
{
	struct x86_insn i;
	u8 bytes[15], count = 0;

	registers_begin(v, REGS_GPR | REGS_SEG | REGS_CR);
	return decode(v, bytes, &count, &i) == X86_OK ? i.len : 0;
}

/* --- exits to the client ----------------------------------------------------------- */

static enum emulated exit_mmio(struct vcpu *v, const struct emulate_access *a, bool write)
{
	struct kvm_run *run = v->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = a->gpa;
	run->mmio.len = a->bytes;
	run->mmio.is_write = write;
	__builtin_memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (write)
		__builtin_memcpy(run->mmio.data, a->data, a->bytes);
	v->completion = COMPLETE_EMULATE;
	VCPU_COUNT(v, mmio_exits);
	return EMULATE_EXIT;
}

static enum emulated exit_io(struct vcpu *v, bool in, u16 port, u8 bytes, u32 count)
{
	struct kvm_run *run = v->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = bytes;
	run->io.port = port;
	run->io.count = count;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * PAGE_BYTES;
	v->completion = COMPLETE_EMULATE;
	return EMULATE_EXIT;
}

static enum emulated exit_write(struct vcpu *v, const struct emulate_access *a)
{
	v->emulate.wait = EMULATE_WRITING;
	if (!a->port)
		return exit_mmio(v, a, true);
	__builtin_memcpy(v->pio_page, a->data, a->bytes);
	return exit_io(v, false, (u16)a->gpa, a->bytes, 1);
}

static enum emulated exit_debug(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	run->exit_reason = KVM_EXIT_DEBUG;
	run->debug.arch.exception = X86_DB;
	run->debug.arch.pc = v->x.seg[X86_CS].base + v->x.rip;
	run->debug.arch.dr6 = X86_DR6_BS | 0xffff0ff0;
	run->debug.arch.dr7 = v->guest_debug_dr[7];
	v->completion = COMPLETE_NOTHING;
	return EMULATE_EXIT;
}

/* What we cannot do: the client is told with the bytes, a user program gets #UD. */
static enum emulated fail(struct vcpu *v)
{
	const struct emulate *em = &v->emulate;
	struct kvm_run *run = v->run;

	if (v->x.cpl == 3 && !atomic_load_relaxed(&v->vm->exit_on_emulation_failure)) {
		event_exception(v, X86_UD, false, 0);
		return EMULATE_FAULTED;
	}
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = em->byte_count ? 3 : 0;	/* in 64-bit words, flags and bytes */
	run->emulation_failure.flags = em->byte_count ? KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES : 0;
	run->emulation_failure.insn_size = em->byte_count;
	__builtin_memset(run->emulation_failure.insn_bytes, 0x90, sizeof(run->emulation_failure.insn_bytes));
	__builtin_memcpy(run->emulation_failure.insn_bytes, em->bytes, em->byte_count);
	return EMULATE_FAILED;
}

/* --- running ----------------------------------------------------------------------- */

static enum emulated queue_fault(struct vcpu *v)
{
	const struct x86_fault *f = &v->x.fault;

	if (f->vector == X86_PF)
		event_page_fault(v, f->address, f->error);
	else if (f->vector == NESTED_FAULT_VECTOR)
		v->vm->be->nested_fault(v, f->address, f->error);
	else
		event_exception(v, f->vector, f->has_error, f->error);
	if (f->vector == X86_DB) {	/* MOV DR while DR7.GD is set */
		vcpu_regs_dirty(v, REGS_DR);
		v->x.dr6 = (v->x.dr6 & ~0xfull) | f->address;
	}
	return EMULATE_FAULTED;
}

/* Make the writes that were put aside, as far as the client is not needed. */
static enum emulated writes_make(struct vcpu *v)
{
	struct emulate *em = &v->emulate;

	for (; em->writes_done < em->writes; em->writes_done++) {
		const struct emulate_access *a = &em->write[em->writes_done];

		if (iobus_write(v, a->port ? IOBUS_PIO : IOBUS_MMIO, a->gpa, a->bytes, a->data))
			return exit_write(v, a);
	}
	em->writes = em->writes_done = 0;
	return EMULATE_DONE;
}

/*
 * Has it one memory operand, and no other register than general ones and flags to change?
 * Then an exit's address is the operand's, so that the guest's page tables need not be
 * walked again for it.
 */
static bool is_plain(const struct x86_insn *i)
{
	if (!(i->flags & X86_F_MEM) || (i->flags & X86_F_IMPLICIT_MEM))
		return false;
	switch (i->op) {
	case X86_OP_MOV: case X86_OP_MOVZX: case X86_OP_MOVSX: case X86_OP_AND: case X86_OP_OR:
	case X86_OP_XOR: case X86_OP_ADD: case X86_OP_SUB: case X86_OP_CMP: case X86_OP_TEST:
	case X86_OP_XCHG:
		return i->form != X86_S_E;
	default:
		return i->flags & X86_F_VECTOR;
	}
}

/* The instruction, or an iteration of it, is complete. */
static void commit(struct vcpu *v, enum x86_result r, u64 old_flags, u64 old_cr4)
{
	struct emulate *em = &v->emulate;
	const struct x86_insn *i = &em->insn;
	struct x86 *x = &v->x;

	em->reads = em->reads_used = 0;
	em->in_used += em->in_taken;
	em->gpa_known = false;
	em->step = (old_flags & X86_FLAG_TF) || (v->guest_debug & KVM_GUESTDBG_SINGLESTEP);
	if (i->op != X86_OP_IRET && i->op != X86_OP_POPF && r != X86_REPEAT)
		x->rflags &= ~X86_FLAG_RF;
	vcpu_regs_dirty(v, is_plain(i) ? REGS_GPR : REGS_ALL);
	if (x->cr4 != old_cr4)
		cpuid_update_runtime(v);
	if (x->attention & X86_ATTN_FLAGS)
		vcpu_request(v, REQ_EVENT);
	if (x->debug_hits) {
		vcpu_regs_dirty(v, REGS_DR);
		x->dr6 |= x->debug_hits;
		event_exception(v, X86_DB, false, 0);
	}
	if (r != X86_REPEAT) {
		u8 shadow = !(x->attention & X86_ATTN_SHADOW) ? 0 :
			    x->shadow == 1 ? KVM_X86_SHADOW_INT_STI : KVM_X86_SHADOW_INT_MOV_SS;

		v->vm->be->shadow_set(v, shadow);
		x->shadow = 0;
	}
}

/* #DB after an instruction, for whoever steps. */
static enum emulated step(struct vcpu *v)
{
	v->emulate.step = false;
	if (v->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		return exit_debug(v);
	v->x.dr6 |= X86_DR6_BS;
	event_exception(v, X86_DB, false, 0);
	return EMULATE_DONE;
}

static enum emulated halt(struct vcpu *v)
{
	if (irq_chip_in_kernel(v->vm)) {
		atomic_store_release(&v->mp_state, (u32)KVM_MP_STATE_HALTED);
		return EMULATE_DONE;
	}
	v->run->exit_reason = KVM_EXIT_HLT;
	v->completion = COMPLETE_NOTHING;
	return EMULATE_EXIT;
}

/* Answers that the client gave for REP INS must be used before the guest runs again. */
static bool may_pause(const struct vcpu *v)
{
	return v->emulate.in_used == v->emulate.in_count;
}

/* INT3 and INTO, which come here if a task gate is behind them: RIP goes past them, as for INT n. */
static enum x86_result trap_deliver(struct x86 *x)
{
	struct x86_event event;
	enum x86_result r;

	x86_fault_event(x, &event);
	r = x86_deliver(x, &event);
	x->delivering.valid = false;
	return r;
}

/* Attempt the instruction (again); iterate while it is a REP that nobody interrupts. */
static enum emulated attempt(struct vcpu *v)
{
	struct emulate *em = &v->emulate;
	struct x86 *x = &v->x;
	enum x86_result r = instruction_decode(v);

	if (!r)
		em->insn.exec = x86_bind(x, &em->insn);
	for (unsigned n = 0; !r; n++) {
		u64 flags = x->rflags, cr4 = x->cr4;
		enum emulated done;

		em->reads_used = em->writes = em->writes_done = 0;
		em->in_taken = false;
		em->rip = x->rip;
		x->attention = 0;
		x->debug_hits = 0;
		x->string_budget = 1;
		r = x86_execute(x, &em->insn);
		if (r == X86_FAULT && x->fault.trap && !x->fault.icebp)
			r = trap_deliver(x);
		page_release(v);
		if (r != X86_OK && r != X86_REPEAT && r != X86_HALT)
			break;

		commit(v, r, flags, cr4);
		done = writes_make(v);
		if (done != EMULATE_DONE)
			return done;
		if (em->step)
			return step(v);
		if (r == X86_HALT)
			return halt(v);
		if (r == X86_OK ||
		    (may_pause(v) && (n == REP_ITERATIONS || atomic_load_relaxed(&v->requests))))
			return EMULATE_DONE;
		r = X86_OK;
	}
	em->writes = 0;
	switch (r) {
	case X86_FAULT:
		return queue_fault(v);
	case X86_EXIT:
		if (em->wait == EMULATE_READING)
			return exit_mmio(v, &em->read[em->reads], false);
		if (em->wait == EMULATE_PORT_IN)
			return exit_io(v, true, em->in_port, em->in_bytes, em->in_count);
		return fail(v);
	default:
		return fail(v);
	}
}

static enum emulated finish(struct vcpu *v, enum emulated result)
{
	v->emulate.active = result == EMULATE_EXIT && v->completion == COMPLETE_EMULATE;
	return result;
}

enum emulated emulate_instruction(struct vcpu *v, const struct exit *e)
{
	struct emulate *em = &v->emulate;

	registers_begin(v, REGS_ALL);
	em->active = em->step = em->gpa_known = false;
	em->wait = EMULATE_IDLE;
	em->reads = em->writes = em->byte_count = em->insn_bits = 0;
	em->in_count = em->in_used = 0;
	if (e && e->byte_count) {
		em->byte_count = (u8)MIN_OF((size_t)e->byte_count, sizeof(em->bytes));
		__builtin_memcpy(em->bytes, e->bytes, em->byte_count);
	}
	if (e && e->kind == EXIT_MEMORY && !e->memory.table_walk) {
		em->gpa_known = instruction_decode(v) == X86_OK && is_plain(&em->insn);
		em->gpa = e->memory.gpa;
	}
	return finish(v, attempt(v));
}

static struct x86_event event_in_flight(const struct vcpu *v)
{
	const struct vcpu_events *q = &v->events;
	struct x86_event event = { .valid = true, .return_rip = v->x.rip };

	if (q->exception.injected) {
		event.type = X86_EVENT_EXCEPTION;
		event.vector = q->exception.vector;
		event.has_error = q->exception.has_error;
		event.error = q->exception.error;
	} else if (q->nmi.injected) {
		event.type = X86_EVENT_NMI;
		event.vector = X86_NMI;
	} else {
		event.type = X86_EVENT_INTR;
		event.vector = q->interrupt.vector;
	}
	return event;
}

enum emulated emulate_delivery(struct vcpu *v)
{
	struct emulate *em = &v->emulate;
	struct vcpu_events *q = &v->events;
	struct x86_event event;
	enum x86_result r;

	registers_begin(v, REGS_ALL);
	event = event_in_flight(v);
	em->active = em->gpa_known = em->held = false;
	em->reads = em->reads_used = em->writes = em->byte_count = em->insn_bits = 0;
	q->interrupt.injected = q->nmi.injected = false;
	r = x86_deliver(&v->x, &event);
	v->x.delivering.valid = false;
	if (r == X86_FAULT)		/* combines with the exception that is still in flight */
		return queue_fault(v);
	if (r != X86_OK || em->writes)	/* a TSS in a device's registers */
		return fail(v);
	q->exception.injected = false;
	vcpu_regs_dirty(v, REGS_ALL);
	v->vm->be->shadow_set(v, 0);
	return EMULATE_DONE;
}

enum emulated emulate_resume(struct vcpu *v)
{
	struct emulate *em = &v->emulate;
	enum emulated result;

	if (!em->active)
		return EMULATE_DONE;
	registers_begin(v, REGS_ALL);
	switch (em->wait) {
	case EMULATE_READING:
		__builtin_memcpy(em->read[em->reads].data, v->run->mmio.data, em->read[em->reads].bytes);
		em->reads++;
		break;
	case EMULATE_PORT_IN:
		__builtin_memcpy(em->in_data, v->pio_page, (size_t)em->in_count * em->in_bytes);
		em->in_used = 0;
		break;
	case EMULATE_WRITING:
		em->writes_done++;
		result = writes_make(v);
		if (result == EMULATE_DONE && em->step)
			result = step(v);
		if (result != EMULATE_DONE || may_pause(v))
			return finish(v, result);
		break;
	case EMULATE_IDLE:
		return finish(v, EMULATE_DONE);
	}
	em->wait = EMULATE_IDLE;
	/* The client may have moved the vCPU elsewhere instead: then this has ended. */
	if (v->x.rip != em->rip)
		return finish(v, EMULATE_DONE);
	return finish(v, attempt(v));
}
