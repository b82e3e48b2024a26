// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cpu.c - processors: switching AMD-V on and off
 *
 * Each processor needs a page where VMRUN saves the host's state (VM_HSAVE_PA), and one
 * where we VMSAVE what VMRUN leaves alone.  Both are made when the processor is first
 * enabled and kept: a processor that goes may come back.
 *
 * Locking: an entry of cpus[] is touched by its own processor only.
 * Reference: AMD64 Architecture Programmer's Manual vol. 2, "Enabling SVM", "VM_CR MSR",
 * "Host Save".
 */
#include <linux/errno.h>

#include "insn/insn.h"
#include "svm/internal.h"
#include "svm/svm.h"

#define VM_CR_SVMDIS	BIT_U64(4)

static struct svm_cpu *cpus;	/* host_cpus() of them */

int svm_cpus_create(void)
{
	if (!cpus)
		cpus = host_alloc(host_cpus() * sizeof(*cpus), 0);
	return cpus ? 0 : -ENOMEM;
}

void svm_cpus_destroy(void)
{
	for (unsigned n = 0; cpus && n < host_cpus(); n++) {
		if (cpus[n].host)
			host_free_pages(cpus[n].host, 0);
		if (cpus[n].host_save)
			host_free_pages(cpus[n].host_save, 0);
	}
	host_free(cpus);
	cpus = NULL;
}

static int pages_create(struct svm_cpu *c)
{
	if (!c->host)
		c->host = host_alloc_pages(0, HOST_ATOMIC);
	if (!c->host_save)
		c->host_save = host_alloc_pages(0, HOST_ATOMIC);
	if (!c->host || !c->host_save)
		return -ENOMEM;
	c->host_pa = host_bus_address(c->host);
	return 0;
}

int svm_cpu_enable(void)
{
	struct svm_cpu *c = &cpus[host_cpu()];
	u64 vm_cr, efer;
	int r;

	if (c->enabled)
		return 0;
	if (!insn_rdmsr(X86_MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS))
		return -EOPNOTSUPP;
	r = pages_create(c);
	if (r)
		return r;
	r = insn_rdmsr(X86_MSR_EFER, &efer);
	if (!r && (efer & X86_EFER_SVME))
		return -EBUSY;		/* another hypervisor */
	if (!r)
		r = insn_wrmsr(X86_MSR_EFER, efer | X86_EFER_SVME);
	if (!r)
		r = insn_wrmsr(X86_MSR_VM_HSAVE_PA, host_bus_address(c->host_save));
	if (r)
		return r;
	if (insn_rdmsr(X86_MSR_TSC_AUX, &c->host_tsc_aux))
		c->host_tsc_aux = 0;
	c->tsc_aux = c->host_tsc_aux;
	c->pkrs = 0;
	insn_wrmsr(X86_MSR_PKRS, 0);	/* there may be none */
	c->asid_generation++;
	c->next_asid = 1;
	c->enabled = true;
	return 0;
}

void svm_cpu_disable(void)
{
	struct svm_cpu *c = &cpus[host_cpu()];
	u64 efer;

	if (!c->enabled)
		return;
	c->enabled = false;
	insn_wrmsr(X86_MSR_VM_HSAVE_PA, 0);
	if (!insn_rdmsr(X86_MSR_EFER, &efer))
		insn_wrmsr(X86_MSR_EFER, efer & ~X86_EFER_SVME);
}

struct svm_cpu *svm_this_cpu(void)
{
	struct svm_cpu *c = &cpus[host_cpu()];

	/* A processor that appeared after the hooks ran, or whose hook failed. */
	if (UNLIKELY(!c->enabled) && svm_cpu_enable())
		host_bug(__FILE__, __LINE__, "a processor without AMD-V");
	return c;
}
