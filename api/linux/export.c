// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * export.c - what kvm.ko offers to vendor modules
 *
 * This is the seam between core and a back end, as far as a back end calls: CI counts it
 * (at most 60).  core sees no Linux header, so the list is here.
 */
#include "api/linux/module.h"
#include "core/vm.h"
#include "insn/insn.h"

#include <linux/export.h>

EXPORT_SYMBOL_GPL(core_use_nested);
EXPORT_SYMBOL_GPL(cpuid_has);
EXPORT_SYMBOL_GPL(cpuid_update_runtime);
EXPORT_SYMBOL_GPL(door_allow_nesting);
EXPORT_SYMBOL_GPL(door_check_backend);
EXPORT_SYMBOL_GPL(door_is_nested);
EXPORT_SYMBOL_GPL(door_linux_close);
EXPORT_SYMBOL_GPL(door_linux_open);
EXPORT_SYMBOL_GPL(door_use_nested);
EXPORT_SYMBOL_GPL(event_exception);
EXPORT_SYMBOL_GPL(guest_read);
EXPORT_SYMBOL_GPL(host_alloc);
EXPORT_SYMBOL_GPL(host_alloc_pages);
EXPORT_SYMBOL_GPL(host_bug);
EXPORT_SYMBOL_GPL(host_bus_address);
EXPORT_SYMBOL_GPL(host_cpu);
EXPORT_SYMBOL_GPL(host_cpu_kick);
EXPORT_SYMBOL_GPL(host_cpus);
EXPORT_SYMBOL_GPL(host_free);
EXPORT_SYMBOL_GPL(host_free_pages);
EXPORT_SYMBOL_GPL(insn_cpuid);
EXPORT_SYMBOL_GPL(insn_debug_load);
EXPORT_SYMBOL_GPL(insn_host_levels);
EXPORT_SYMBOL_GPL(insn_rdmsr);
EXPORT_SYMBOL_GPL(insn_wrmsr);
EXPORT_SYMBOL_GPL(lapic_highest_irr);
EXPORT_SYMBOL_GPL(msr_filter_allows);
EXPORT_SYMBOL_GPL(mmu_root_load);
EXPORT_SYMBOL_GPL(nested_leave);
EXPORT_SYMBOL_GPL(nested_page_get);
EXPORT_SYMBOL_GPL(nested_page_put);
EXPORT_SYMBOL_GPL(shadow_nested_create);
EXPORT_SYMBOL_GPL(shadow_reset);
EXPORT_SYMBOL_GPL(vcpu_cr8_get);
EXPORT_SYMBOL_GPL(vcpu_cr8_set);
EXPORT_SYMBOL_GPL(vcpu_guest_read);
EXPORT_SYMBOL_GPL(vcpu_regs_dirty);
EXPORT_SYMBOL_GPL(vcpu_regs_need);
EXPORT_SYMBOL_GPL(vcpu_skip);
