// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mce.c - machine checks that the client makes up
 *
 * The banks are MSRs (msr.c); here is what a machine check does to them and to the guest.
 *
 * Locking: v->lock.
 * Reference: Linux Documentation/virt/kvm/api.rst, "KVM_X86_SET_MCE"; Intel SDM vol. 3,
 * "Machine-Check Architecture", whose overwrite rules these are.
 */
#include <linux/errno.h>

#include "core/vm.h"

#define MCG_CTL_P	BIT_U64(8)
#define MCG_MCIP	BIT_U64(2)	/* of MCG_STATUS: one is being handled */
#define STATUS_VALID	BIT_U64(63)
#define STATUS_OVERFLOW	BIT_U64(62)
#define STATUS_UC	BIT_U64(61)	/* uncorrected */

enum { CTL, STATUS, ADDRESS, MISC };

int vcpu_setup_mce(struct vcpu *v, u64 cap)
{
	u64 banks = cap & 0xff;

	if (!banks || banks > VCPU_MCE_BANKS || (cap & ~(VCPU_MCG_CAP | 0xff | 0xff0000)))
		return -EINVAL;
	v->mcg_cap = cap;
	if (cap & MCG_CTL_P)
		v->mcg_ctl = ~0ull;
	for (u64 n = 0; n < banks; n++)
		v->mce_bank[n * 4 + CTL] = ~0ull;
	return 0;
}

/* Is this bank, and are banks at all, told to report what cannot be corrected? */
static bool is_reported(const struct vcpu *v, const u64 *bank)
{
	return !((v->mcg_cap & MCG_CTL_P) && v->mcg_ctl != ~0ull) && bank[CTL] == ~0ull;
}

int vcpu_set_mce(struct vcpu *v, const struct kvm_x86_mce *mce)
{
	u64 status = mce->status, *bank;

	if (mce->bank >= (v->mcg_cap & 0xff) || !(status & STATUS_VALID))
		return -EINVAL;
	bank = &v->mce_bank[mce->bank * 4];
	if (status & STATUS_UC) {
		if (!is_reported(v, bank))
			return 0;
		vcpu_regs_need(v, REGS_CR);
		if ((v->mcg_status & MCG_MCIP) || !(v->x.cr4 & X86_CR4_MCE)) {
			vcpu_request(v, REQ_TRIPLE_FAULT);
			return 0;
		}
	} else if ((bank[STATUS] & STATUS_VALID) && (bank[STATUS] & STATUS_UC)) {
		bank[STATUS] |= STATUS_OVERFLOW;	/* the graver one stays */
		return 0;
	}
	if (bank[STATUS] & STATUS_VALID)
		status |= STATUS_OVERFLOW;
	bank[STATUS] = status;
	bank[ADDRESS] = mce->addr;
	bank[MISC] = mce->misc;
	if (status & STATUS_UC) {
		v->mcg_status = mce->mcg_status;
		event_exception(v, X86_MC, false, 0);
	}
	return 0;
}
