// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nested.c - guests that are hypervisors: the part that is no back end's
 *
 * Locking: v->lock held.
 * Reference: Linux Documentation/virt/kvm/api.rst, "KVM_GET_NESTED_STATE"; AMD64
 * Architecture Programmer's Manual vol. 2, "VM_CR MSR", "VM_HSAVE_PA MSR".
 */
#include "core/nested.h"

#include <linux/errno.h>

#include "core/vm.h"
#include "x86/feature.h"

#define VM_CR_LOCK	BIT_U64(3)
#define VM_CR_SVMDIS	BIT_U64(4)
#define VM_CR_VALID	0x1full

static u32 forbidden;		/* atomic */

void core_allow_nesting(bool on)
{
	atomic_store_release(&forbidden, !on);
}

bool core_has_nesting(void)
{
	return !atomic_load_acquire(&forbidden) && core_is_nested();
}

void nested_leave(struct vcpu *v)
{
	if (v->nested.running || v->nested.gif_clear)
		v->vm->be->nested_leave(v);
}

void nested_efer_changed(struct vcpu *v)
{
	if (!(v->x.efer & X86_EFER_SVME))
		nested_leave(v);
}

void *nested_page_get(struct vcpu *v, gpa_t gpa, bool write, struct host_page *page)
{
	struct slot *s = gpa >> SLOT_GPA_BITS ? NULL : slot_find(v->vm, gpa >> PAGE_BITS);

	if (!s || (write && (s->flags & KVM_MEM_READONLY)) || host_page_get(slot_hva(s, gpa), write, page))
		return NULL;
	return host_from_bus(page->pa);
}

void nested_page_put(struct vcpu *v, gpa_t gpa, bool write, struct host_page *page)
{
	if (write)
		slot_mark_dirty(v, gpa >> PAGE_BITS);
	host_page_put(page, write);
}

/* --- MSRs ---------------------------------------------------------------------------- */

int nested_vm_cr_set(struct vcpu *v, u64 data)
{
	u64 changeable = VM_CR_VALID;

	if (!cpuid_has(v, X86_FEATURE_SVM) || (data & ~VM_CR_VALID))
		return data != 0;
	if (v->nested.vm_cr & VM_CR_SVMDIS)
		changeable &= ~(VM_CR_LOCK | VM_CR_SVMDIS);
	data = (v->nested.vm_cr & ~changeable) | (data & changeable);
	vcpu_regs_need(v, REGS_CR);
	if ((data & VM_CR_SVMDIS) && (v->x.efer & X86_EFER_SVME))
		return 1;
	v->nested.vm_cr = data;
	return 0;
}

int nested_hsave_pa_set(struct vcpu *v, u64 data, bool host)
{
	if (!host && !cpuid_has(v, X86_FEATURE_SVM))
		return data != 0;
	if (!host && (data % PAGE_BYTES || data >> v->x.phys_bits))
		return 1;
	v->nested.hsave_pa = data & ~(PAGE_BYTES - 1);
	return 0;
}

/* --- the client's view ----------------------------------------------------------------- */

int nested_state_get(struct vcpu *v, u64 address)
{
	u32 room, bytes = NESTED_STATE_BYTES;
	struct kvm_nested_state *state;
	int r;

	if (!cpuid_has(v, X86_FEATURE_SVM))
		bytes = sizeof(*state);
	r = host_copy_in(&room, address + offsetof(struct kvm_nested_state, size), sizeof(room));
	if (r)
		return r;
	state = host_alloc(NESTED_STATE_BYTES, 0);
	if (!state)
		return -ENOMEM;
	state->format = KVM_STATE_NESTED_FORMAT_SVM;
	state->size = sizeof(*state);
	if (bytes > sizeof(*state))
		v->vm->be->nested_get(v, state);
	if (!v->nested.gif_clear)
		state->flags |= KVM_STATE_NESTED_GIF_SET;
	bytes = state->size;
	if (room < bytes) {
		r = host_copy_out(address + offsetof(struct kvm_nested_state, size), &bytes, sizeof(bytes));
		r = r ? r : -E2BIG;
	} else {
		r = host_copy_out(address, state, bytes);
	}
	host_free(state);
	return r;
}

static int state_set(struct vcpu *v, const struct kvm_nested_state *state)
{
	u32 known = KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_RUN_PENDING | KVM_STATE_NESTED_GIF_SET;

	if (state->format != KVM_STATE_NESTED_FORMAT_SVM || (state->flags & ~known))
		return -EINVAL;
	if ((state->flags & KVM_STATE_NESTED_RUN_PENDING) && !(state->flags & KVM_STATE_NESTED_GUEST_MODE))
		return -EINVAL;
	/* In L2, this is L2's EFER. */
	vcpu_regs_need(v, REGS_ALL);
	if (!(v->x.efer & X86_EFER_SVME)) {
		if (state->flags != KVM_STATE_NESTED_GIF_SET)
			return -EINVAL;
		nested_leave(v);
		return 0;
	}
	if (!(state->flags & KVM_STATE_NESTED_GUEST_MODE)) {
		nested_leave(v);
		v->nested.gif_clear = !(state->flags & KVM_STATE_NESTED_GIF_SET);
		vcpu_request(v, REQ_EVENT);
		return 0;
	}
	if (state->size < NESTED_STATE_BYTES || v->smm.on)
		return -EINVAL;
	return v->vm->be->nested_set(v, state);
}

#define NESTED_FLAGS (KVM_STATE_NESTED_RUN_PENDING | KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_EVMCS | \
		      KVM_STATE_NESTED_MTF_PENDING | KVM_STATE_NESTED_GIF_SET)

int nested_state_set(struct vcpu *v, u64 address)
{
	struct kvm_nested_state head, *state;
	int r = host_copy_in(&head, address, sizeof(head)), cookie;

	if (r)
		return r;
	if (head.size < sizeof(head) || (head.flags & ~NESTED_FLAGS) ||
	    (head.flags & (KVM_STATE_NESTED_RUN_PENDING | KVM_STATE_NESTED_GUEST_MODE)) == KVM_STATE_NESTED_RUN_PENDING)
		return -EINVAL;
	state = host_alloc(NESTED_STATE_BYTES, 0);
	if (!state)
		return -ENOMEM;
	if ((head.flags & KVM_STATE_NESTED_GUEST_MODE) && head.size >= NESTED_STATE_BYTES)
		r = host_copy_in((u8 *)state + sizeof(head), address + sizeof(head), NESTED_STATE_BYTES - sizeof(head));
	__builtin_memcpy(state, &head, sizeof(head));
	cookie = host_srcu_enter(&v->vm->srcu);
	if (!r)
		r = state_set(v, state);
	host_srcu_leave(&v->vm->srcu, cookie);
	host_free(state);
	return r;
}
