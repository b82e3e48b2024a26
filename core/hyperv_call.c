// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hyperv_call.c - hypercalls of guests made for Hyper-V
 *
 * RCX (EDX:EAX in 32-bit code) is what is called: code, whether arguments are in registers
 * ("fast"), how many 8-byte words of variable header and how many repetitions there are.
 * Two arguments are in general registers, the addresses of memory or themselves the
 * input; a fast call has more of it in XMM registers.
 *
 * What is about messages and events that nobody here knows goes to the client.
 *
 * Locking: v->lock, inside vm->srcu.
 * Reference: Microsoft, Hypervisor Top Level Functional Specification, "Hypercall Interface".
 * Not modelled: extended calls.
 */
#include "core/hyperv.h"

#include <linux/errno.h>

#include "base/bits.h"
#include "core/event.h"
#include "core/hyperv_regs.h"
#include "core/lapic.h"
#include "core/vm.h"

enum { SUCCESS = 0, BAD_CODE = 2, BAD_INPUT = 3, BAD_ALIGNMENT = 4, DENIED = 6, NOT_NOW = 8, NO_MEMORY = 11, BAD_PORT = 17 };

enum {
	FLUSH_SPACE = 0x02, FLUSH_LIST = 0x03, LONG_SPIN = 0x08, SEND_IPI = 0x0b, FLUSH_SPACE_EX = 0x13,
	FLUSH_LIST_EX = 0x14, SEND_IPI_EX = 0x15, POST_MESSAGE = 0x5c, SIGNAL_EVENT = 0x5d,
	DEBUG_POST = 0x69, DEBUG_RETRIEVE = 0x6a, DEBUG_RESET = 0x6b,
};

#define RESERVED	0xf000f000f8000000ull
#define FLUSH_ALL	BIT_U64(0)
#define SET_SPARSE	0u		/* format of a set of processors; 1: all of them */
#define XMM_AT		160u		/* of XMM0 in the FPU's area */
#define XMM_WORDS	12u		/* XMM0 to 5 */
#define VECTOR_LEAST	16u
#define CONNECTION_BITS	0x00ffffffull

struct call {
	u64 number, in, out;
	u16 code;
	bool fast, rep;
	u32 words, reps, first;		/* of variable header; repetitions, and where to begin */
	u64 xmm[XMM_WORDS];
};

struct hyperv_connection {
	u32 id;
	struct host_event *event;
	struct hyperv_connection *next;
};

/* --- sets of processors ------------------------------------------------------------------------ */

struct vp_set { u64 valid, bank[64]; bool all; };

static bool set_has(const struct vp_set *set, u32 vp)
{
	return set->all || (vp < 64 * 64 && (set->valid >> (vp / 64) & 1) && (set->bank[vp / 64] >> (vp % 64) & 1));
}

/* The banks of a sparse set, one word for each valid bit, at in + offset or from the given XMM word. */
static int banks_get(struct vcpu *v, const struct call *c, struct vp_set *set, u32 offset, u32 word)
{
	u32 count = bit_count(set->valid), n = 0;
	u64 banks[64];

	if (c->words != count)
		return BAD_INPUT;
	if (set->all || !count)
		return 0;
	if (!c->fast) {
		if (guest_read(v->vm, c->in + offset, banks, count * sizeof(*banks)))
			return BAD_INPUT;
	} else {
		if (word + count > XMM_WORDS)
			return BAD_INPUT;
		__builtin_memcpy(banks, c->xmm + word, count * sizeof(*banks));
	}
	for (u32 b = 0; b < 64; b++)
		if (set->valid >> b & 1)
			set->bank[b] = banks[n++];
	return 0;
}

static void each_in_set(struct vm *vm, const struct vp_set *set, void (*act)(struct vcpu *v, u32 vector), u32 vector)
{
	u32 count = atomic_load_acquire(&vm->vcpu_count);

	for (u32 n = 0; n < count; n++)
		if (set_has(set, atomic_load_relaxed(&vm->vcpus[n]->hv->vp_index)))
			act(vm->vcpus[n], vector);
}

/* --- TLBs and IPIs ------------------------------------------------------------------------------- */

static void flush_one(struct vcpu *v, u32 vector)
{
	(void)vector;
	vcpu_request(v, REQ_TLB_FLUSH);
	vcpu_kick(v);
}

/* Everything of the processors that are meant: it is done before they run guest code again. */
static u64 flush(struct vcpu *v, const struct call *c)
{
	struct { u64 space, flags, mask; } plain = { c->in, c->out, c->xmm[0] };
	struct { u64 space, flags, format, valid; } ex = { c->in, c->out, c->xmm[0], c->xmm[1] };
	struct vp_set set = { .valid = 1 };
	int r;

	if (c->code == FLUSH_SPACE || c->code == FLUSH_LIST) {
		if (!c->fast && guest_read(v->vm, c->in, &plain, sizeof(plain)))
			return BAD_INPUT;
		set.bank[0] = plain.mask;
		set.all = (plain.flags & FLUSH_ALL) || !plain.mask;
	} else {
		if (!c->fast && guest_read(v->vm, c->in, &ex, sizeof(ex)))
			return BAD_INPUT;
		set.valid = ex.valid;
		set.all = ex.format != SET_SPARSE;
		r = banks_get(v, c, &set, sizeof(ex), 2);
		if (r)
			return (u64)r;
	}
	each_in_set(v->vm, &set, flush_one, 0);
	return SUCCESS | (u64)c->reps << 32;
}

static void interrupt_one(struct vcpu *v, u32 vector)
{
	const struct lapic_message m = { .vector = (u8)vector, .mode = LAPIC_FIXED };

	if (v->lapic)
		lapic_accept(v->lapic, &m);
}

static u64 send_ipi(struct vcpu *v, const struct call *c)
{
	struct { u32 vector, reserved; u64 mask; } plain = { (u32)c->in, (u32)(c->in >> 32), c->out };
	struct { u32 vector, reserved; u64 format, valid; } ex = { (u32)c->in, 0, c->out, c->xmm[0] };
	struct vp_set set = { .valid = 1 };
	u32 vector;
	int r;

	if (!v->lapic)
		return BAD_INPUT;
	if (c->code == SEND_IPI) {
		if (!c->fast && guest_read(v->vm, c->in, &plain, sizeof(plain)))
			return BAD_INPUT;
		if (c->fast && plain.reserved)
			return BAD_INPUT;
		vector = plain.vector;
		set.bank[0] = plain.mask;
	} else {
		if (!c->fast && guest_read(v->vm, c->in, &ex, sizeof(ex)))
			return BAD_INPUT;
		vector = ex.vector;
		set.valid = ex.valid;
		set.all = ex.format != SET_SPARSE;
		r = banks_get(v, c, &set, sizeof(ex), 1);
		if (r)
			return (u64)r;
		if (!set.all && !set.valid)	/* for nobody: whatever it is */
			return SUCCESS;
	}
	if (vector < VECTOR_LEAST || vector > 0xff)
		return BAD_INPUT;
	each_in_set(v->vm, &set, interrupt_one, vector);
	return SUCCESS;
}

/* --- events ----------------------------------------------------------------------------------------- */

static u64 signal_event(struct vcpu *v, const struct call *c)
{
	const struct hyperv_connection *n;
	u64 id = c->in;

	if (!c->fast) {
		if (c->in % 8)
			return BAD_ALIGNMENT;
		if (guest_read(v->vm, c->in, &id, sizeof(id)))
			return NO_MEMORY;
	}
	if (id & 0xffff00000000ull)		/* flag numbers are not for us */
		return BAD_PORT;
	if (id & ~CONNECTION_BITS)
		return BAD_INPUT;
	for (n = atomic_load_acquire(&v->vm->hv.connections); n; n = atomic_load_acquire(&n->next))
		if (n->id == id) {
			host_event_signal(n->event);
			return SUCCESS;
		}
	return BAD_PORT;
}

static int connection_remove(struct vm *vm, u32 id)
{
	struct hyperv_connection **at = &vm->hv.connections, *n;

	while ((n = *at) && n->id != id)
		at = &n->next;
	if (!n)
		return -ENOENT;
	atomic_store_release(at, n->next);
	host_srcu_wait(&vm->srcu);
	host_event_put(n->event);
	host_free(n);
	return 0;
}

int hyperv_eventfd(struct vm *vm, const struct kvm_hyperv_eventfd *args)
{
	struct hyperv_connection *n;
	int r;

	if ((args->flags & ~(u32)KVM_HYPERV_EVENTFD_DEASSIGN) || (args->conn_id & ~CONNECTION_BITS))
		return -EINVAL;
	if (args->flags)
		return connection_remove(vm, args->conn_id);
	for (n = vm->hv.connections; n; n = n->next)
		if (n->id == args->conn_id)
			return -EEXIST;
	n = host_alloc(sizeof(*n), 0);
	if (!n)
		return -ENOMEM;
	n->id = args->conn_id;
	r = host_event_get(args->fd, &n->event);
	if (r) {
		host_free(n);
		return r;
	}
	n->next = vm->hv.connections;
	atomic_store_release(&vm->hv.connections, n);
	return 0;
}

void hyperv_vm_fini(struct vm *vm)
{
	struct hyperv_connection *n, *next;

	for (n = vm->hv.connections; n; n = next) {
		next = n->next;
		host_event_put(n->event);
		host_free(n);
	}
	vm->hv.connections = NULL;
}

/* --- the call ------------------------------------------------------------------------------------------ */

bool hyperv_is_called(struct vcpu *v)
{
	return atomic_load_relaxed(&v->vm->hv.guest_os_id) && hyperv_is_on(v);
}

static bool has_debugger(struct vcpu *v)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(v, HV_LEAF_DEBUG + 2, 0);

	return e && (e->eax & HV_KERNEL_DEBUGGING);
}

static bool is_allowed(struct vcpu *v, u16 code)
{
	switch (code) {
	case DEBUG_POST ... DEBUG_RESET:
		return !has_debugger(v) || hyperv_has(v, HYPERV_ACCESS_HIGH, HV_DEBUGGING);
	case LONG_SPIN:
		return hyperv_has(v, HYPERV_SPIN, 0);
	case POST_MESSAGE:
		return hyperv_has(v, HYPERV_ACCESS_HIGH, HV_POST_MESSAGES);
	case SIGNAL_EVENT:
		return hyperv_has(v, HYPERV_ACCESS_HIGH, HV_SIGNAL_EVENTS);
	case FLUSH_SPACE_EX: case FLUSH_LIST_EX:
		return hyperv_has(v, HYPERV_RECOMMEND, HV_USE_EX_MASKS) &&
		       hyperv_has(v, HYPERV_RECOMMEND, HV_USE_REMOTE_FLUSH);
	case FLUSH_SPACE: case FLUSH_LIST:
		return hyperv_has(v, HYPERV_RECOMMEND, HV_USE_REMOTE_FLUSH);
	case SEND_IPI_EX:
		return hyperv_has(v, HYPERV_RECOMMEND, HV_USE_EX_MASKS) &&
		       hyperv_has(v, HYPERV_RECOMMEND, HV_USE_CLUSTER_IPI);
	case SEND_IPI:
		return hyperv_has(v, HYPERV_RECOMMEND, HV_USE_CLUSTER_IPI);
	default:
		return true;
	}
}

static bool takes_xmm(u16 code)
{
	return code == FLUSH_SPACE || code == FLUSH_LIST || code == FLUSH_SPACE_EX || code == FLUSH_LIST_EX ||
	       code == SEND_IPI_EX;
}

/* Do repetitions and the variable header suit what is called? */
static bool shape_is_right(const struct call *c)
{
	bool ex = c->code == FLUSH_SPACE_EX || c->code == FLUSH_LIST_EX || c->code == SEND_IPI_EX;

	if (!ex && c->words)
		return false;
	if (c->code == FLUSH_LIST || c->code == FLUSH_LIST_EX)
		return c->reps && !c->first;
	return !c->rep;
}

static u64 pair(u64 high, u64 low)
{
	return high << 32 | (u32)low;
}

static void call_read(struct vcpu *v, struct call *c)
{
	const u64 *r = v->x.gpr;

	if (vcpu_is_64bit_code(v)) {
		c->number = r[X86_RCX];
		c->in = r[X86_RDX];
		c->out = r[8];
	} else {
		c->number = pair(r[X86_RDX], r[X86_RAX]);
		c->in = pair(r[X86_RBX], r[X86_RCX]);
		c->out = pair(r[X86_RDI], r[X86_RSI]);
	}
	c->code = (u16)c->number;
	c->fast = c->number & BIT_U64(16);
	c->words = c->number >> 17 & 0x3ff;
	c->reps = c->number >> 32 & 0xfff;
	c->first = c->number >> 48 & 0xfff;
	c->rep = c->reps || c->first;
}

static void answer(struct vcpu *v, u64 result)
{
	vcpu_regs_dirty(v, REGS_GPR);
	if (vcpu_is_64bit_code(v)) {
		v->x.gpr[X86_RAX] = result;
	} else {
		v->x.gpr[X86_RAX] = (u32)result;
		v->x.gpr[X86_RDX] = result >> 32;
	}
}

static enum hyperv_called to_client(struct vcpu *v, const struct call *c)
{
	struct kvm_run *run = v->run;

	__builtin_memset(&run->hyperv, 0, sizeof(run->hyperv));
	run->hyperv.type = KVM_EXIT_HYPERV_HCALL;
	run->hyperv.u.hcall.input = c->number;
	run->hyperv.u.hcall.params[0] = c->in;
	run->hyperv.u.hcall.params[1] = c->out;
	return HYPERV_CALL_EXIT;
}

void hyperv_call_complete(struct vcpu *v)
{
	answer(v, atomic_load_relaxed(&v->run->hyperv.u.hcall.result));
}

enum hyperv_called hyperv_call(struct vcpu *v)
{
	struct call c = { 0 };
	u64 result;

	vcpu_regs_need(v, REGS_SEG | REGS_CR);
	if (v->x.cpl || !(v->x.cr0 & X86_CR0_PE)) {
		event_exception(v, X86_UD, false, 0);
		return HYPERV_CALL_FAULTED;
	}
	call_read(v, &c);
	if (!is_allowed(v, c.code)) {
		answer(v, DENIED);
		return HYPERV_CALL_OVER;
	}
	if (c.number & RESERVED) {
		answer(v, BAD_INPUT);
		return HYPERV_CALL_OVER;
	}
	if (c.fast && takes_xmm(c.code)) {
		if (!hyperv_has(v, HYPERV_MISC, HV_XMM_INPUT)) {
			event_exception(v, X86_UD, false, 0);
			return HYPERV_CALL_FAULTED;
		}
		fpu_settle(v);
		__builtin_memcpy(c.xmm, v->fpu->area + XMM_AT, sizeof(c.xmm));
	}
	switch (c.code) {
	case LONG_SPIN: case SIGNAL_EVENT: case POST_MESSAGE: case FLUSH_SPACE: case FLUSH_LIST:
	case FLUSH_SPACE_EX: case FLUSH_LIST_EX: case SEND_IPI: case SEND_IPI_EX:
		if (shape_is_right(&c))
			break;
		answer(v, BAD_INPUT);
		return HYPERV_CALL_OVER;
	}
	switch (c.code) {
	case LONG_SPIN:
		host_yield();
		result = SUCCESS;
		break;
	case SIGNAL_EVENT: case POST_MESSAGE:
		result = c.code == SIGNAL_EVENT ? signal_event(v, &c) : BAD_PORT;
		if (result != BAD_PORT)
			break;
		if (v->hv->synic_active)	/* perhaps the client knows it */
			return to_client(v, &c);
		result = BAD_INPUT;
		break;
	case FLUSH_SPACE: case FLUSH_LIST: case FLUSH_SPACE_EX: case FLUSH_LIST_EX:
		result = flush(v, &c);
		break;
	case SEND_IPI: case SEND_IPI_EX:
		result = send_ipi(v, &c);
		break;
	case DEBUG_POST ... DEBUG_RESET:
		result = !has_debugger(v) ? BAD_CODE : !(v->vm->hv.debug_options & HV_DEBUG_BY_CALLS) ? NOT_NOW : BAD_PORT;
		if (result == BAD_PORT)
			return to_client(v, &c);
		break;
	default:
		result = BAD_CODE;
	}
	answer(v, result);
	return HYPERV_CALL_OVER;
}
