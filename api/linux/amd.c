// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * amd.c - kvm-amd.ko: AMD-V behind /dev/kvm
 *
 * Loading refuses with a reason where AMD-V is absent, switched off by the firmware, or
 * already in use by somebody else.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/module.h>
#include <linux/smp.h>

#include <asm/cpu_device_id.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>

#include "api/linux/module.h"
#include "svm/svm.h"

#define VM_CR_SVMDIS	(1ull << 4)

static bool npt = true;
module_param(npt, bool, 0444);
MODULE_PARM_DESC(npt, "nested paging, where the processor has it; else shadow paging");

static bool nested = true;
module_param(nested, bool, 0444);
MODULE_PARM_DESC(nested, "offer AMD-V to guests; needs nested paging");

/* What is wrong with any processor: they need not be set up alike. */
static void processor_check(void *worst)
{
	unsigned long long vm_cr, efer;

	if (!rdmsrl_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS))
		cmpxchg((int *)worst, 0, -EOPNOTSUPP);
	else if (!rdmsrl_safe(MSR_EFER, &efer) && (efer & EFER_SVME))
		cmpxchg((int *)worst, 0, -EBUSY);
}

static int amd_check(void)
{
	int worst = 0;

	if (!boot_cpu_has(X86_FEATURE_SVM)) {
		pr_err("this processor has no AMD-V\n");
		return -EOPNOTSUPP;
	}
	on_each_cpu(processor_check, &worst, 1);
	if (worst == -EOPNOTSUPP)
		pr_err("AMD-V is switched off by the firmware (VM_CR.SVMDIS)\n");
	if (worst == -EBUSY)
		pr_err("AMD-V is in use by another hypervisor (EFER.SVME)\n");
	if (worst)
		return worst;
	door_use_nested(npt);
	door_allow_nesting(nested);
	worst = door_check_backend(&svm_backend);
	if (worst)
		pr_err("AMD-V is here, but cannot be used: %d\n", worst);
	npt = door_is_nested();
	nested = nested && npt;
	return worst;
}

static int __init amd_init(void)
{
	int r = amd_check();

	if (!r)
		r = door_linux_open(&svm_backend, THIS_MODULE);
	if (r)
		svm_cpus_destroy();
	else
		pr_info("%s paging\n", npt ? "nested" : "shadow");
	return r;
}

static void __exit amd_exit(void)
{
	door_linux_close();
	svm_cpus_destroy();
}

module_init(amd_init);
module_exit(amd_exit);

static const struct x86_cpu_id cpu_ids[] = { X86_MATCH_FEATURE(X86_FEATURE_SVM, NULL), { } };
MODULE_DEVICE_TABLE(x86cpu, cpu_ids);
MODULE_DESCRIPTION("anykvm: guests by AMD-V");
MODULE_AUTHOR("The anykvm authors");
MODULE_LICENSE("GPL");
