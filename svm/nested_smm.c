// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nested_smm.c - SMI while L2 runs, and RSM back into it
 *
 * An SMI that L1 does not intercept is a #VMEXIT that L1 does not see: L2's state goes to VMCB12
 * (and its registers to the save area of SMM), what VMRUN saved of L1 to the page that
 * VM_HSAVE_PA names, in the format of a VMCB, since a client that moves the vCPU meanwhile moves
 * L1's memory, but knows of no L2 then.  RSM is VMRUN again.
 *
 * Locking: v->lock, inside vm->srcu.
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "SMM Support", "VM_HSAVE_PA MSR".
 */
#include "svm/nested.h"

/* What Linux says there: software's doing. */
#define VMEXIT_SW 0xf0000000ull

bool svm_nested_smi(struct vcpu *v, gpa_t *vmcb12)
{
	struct svm_nested *n = svm_of(v)->nested;
	struct host_page page;
	struct vmcb *hsave;

	*vmcb12 = n->vmcb12;
	if (svm_nested_switch_to_l1(v, VMEXIT_SW, 0, 0, false))
		return false;
	hsave = nested_page_get(v, v->nested.hsave_pa, true, &page);
	if (!hsave)
		return false;
	svm_nested_host_get(&n->host, &hsave->save);
	nested_page_put(v, v->nested.hsave_pa, true, &page);
	return true;
}

bool svm_nested_rsm(struct vcpu *v, gpa_t vmcb12)
{
	struct svm_nested *n;
	struct svm_host host;

	if (vmcb12 % PAGE_BYTES || vmcb12 >> v->x.phys_bits || svm_nested_create(v))
		return false;
	n = svm_of(v)->nested;
	if (svm_nested_vmcb_read(v, v->nested.hsave_pa, n->scratch) || !svm_nested_save_is_valid(v, &n->scratch->save))
		return false;
	svm_nested_host_set(&host, &n->scratch->save);
	svm_nested_host_load(v, &host);		/* but PAT, which has stayed L1's */
	if (svm_nested_vmcb_read(v, vmcb12, n->scratch))
		return false;
	n->vmcb12 = vmcb12;
	return svm_nested_try_enter(v);
}
