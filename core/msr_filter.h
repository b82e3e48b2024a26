/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * msr_filter.h - which MSRs the client lets a guest use
 */
#ifndef CORE_MSR_FILTER_H
#define CORE_MSR_FILTER_H

#include <linux/kvm.h>

#include "base/types.h"

struct vm;

#define MSR_FILTER_BYTES_MAX 0x600u	/* of one range's bitmap: KVM_MSR_FILTER_MAX_BITMAP_SIZE */

/*
 * KVM_X86_SET_MSR_FILTER.  Copies the bitmaps, which are addresses in f.  -EINVAL, -EFAULT,
 * -ENOMEM.  vm->lock held.  [sleep]
 */
int  msr_filter_set(struct vm *vm, const struct kvm_msr_filter *f);
void msr_filter_free(struct vm *vm);		/* [sleep] at the end */

/* May the guest?  Inside vm->srcu or with vm->lock held.  [any] */
bool msr_filter_allows(struct vm *vm, u32 msr, bool write);

#endif
