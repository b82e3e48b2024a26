// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * msr_filter.c - which MSRs the client lets a guest use
 *
 * A filter is up to 16 ranges of MSR numbers with a bit for each, 1 to allow, for reads,
 * writes or both; the first range that has a number decides, else a default does.  It is
 * about the guest's RDMSR and WRMSR alone.  x2APIC's registers are never filtered.
 *
 * Locking: vm->lock for changes; published in vm->msr_filter, read inside vm->srcu.
 * Reference: Linux Documentation/virt/kvm/api.rst, "KVM_X86_SET_MSR_FILTER".
 */
#include "core/msr_filter.h"

#include <linux/errno.h>

#include "core/vm.h"

#define X2APIC_FIRST	0x800u
#define X2APIC_LAST	0x8ffu

struct msr_filter {
	bool default_allow;
	u32 count;
	struct { u32 flags, base, msrs; u8 *bits; } range[KVM_MSR_FILTER_MAX_RANGES];
};

static void filter_free(struct msr_filter *f)
{
	for (u32 n = 0; f && n < f->count; n++)
		host_free(f->range[n].bits);
	host_free(f);
}

static int range_add(struct msr_filter *f, const struct kvm_msr_filter_range *r)
{
	u64 bytes = ((u64)r->nmsrs + 7) / 8;
	u8 *bits;
	int error;

	if (!r->nmsrs)
		return 0;
	if ((r->flags & ~(u32)(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)) || !r->flags ||
	    bytes > MSR_FILTER_BYTES_MAX)
		return -EINVAL;
	bits = host_alloc(bytes, 0);
	if (!bits)
		return -ENOMEM;
	error = host_copy_in(bits, (u64)(uintptr_t)r->bitmap, bytes);
	if (error) {
		host_free(bits);
		return error;
	}
	f->range[f->count].flags = r->flags;
	f->range[f->count].base = r->base;
	f->range[f->count].msrs = r->nmsrs;
	f->range[f->count++].bits = bits;
	return 0;
}

int msr_filter_set(struct vm *vm, const struct kvm_msr_filter *from)
{
	struct msr_filter *f, *old = vm->msr_filter;
	bool any = false;
	int r = 0;

	if (from->flags & ~(u32)KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	f = host_alloc(sizeof(*f), 0);
	if (!f)
		return -ENOMEM;
	f->default_allow = !(from->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (u32 n = 0; !r && n < KVM_MSR_FILTER_MAX_RANGES; n++) {
		any |= from->ranges[n].nmsrs != 0;
		r = range_add(f, &from->ranges[n]);
	}
	if (!r && !any && !f->default_allow)
		r = -EINVAL;		/* deny everything: no range says what for */
	if (r) {
		filter_free(f);
		return r;
	}
	atomic_store_release(&vm->msr_filter, f);
	host_srcu_wait(&vm->srcu);
	filter_free(old);
	if (vm->be->msr_filter_update)
		vm->be->msr_filter_update(vm);
	return 0;
}

void msr_filter_free(struct vm *vm)
{
	filter_free(vm->msr_filter);
	vm->msr_filter = NULL;
}

bool msr_filter_allows(struct vm *vm, u32 msr, bool write)
{
	const struct msr_filter *f = atomic_load_acquire(&vm->msr_filter);
	u32 access = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;

	if (!f || (msr >= X2APIC_FIRST && msr <= X2APIC_LAST))
		return true;
	for (u32 n = 0; n < f->count; n++) {
		u32 at = msr - f->range[n].base;

		if ((f->range[n].flags & access) && msr >= f->range[n].base && at < f->range[n].msrs)
			return f->range[n].bits[at / 8] >> at % 8 & 1;
	}
	return f->default_allow;
}
