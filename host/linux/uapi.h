/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * uapi.h - <linux/kvm.h> as user space sees it, from the headers of any kernel
 *
 * Kbuild includes this first in the files that know no kernel, but KVM's API.  A kernel's
 * own build wraps the headers of the KVM API in others that bring half of <asm/> along, and
 * types by the names of ours: their guards are closed here.  compat.h is the like for files
 * that do know the kernel.
 */
#ifndef HOST_LINUX_UAPI_H
#define HOST_LINUX_UAPI_H

#define __LINUX_KVM_PARA_H
#define _ASM_X86_KVM_PARA_H
#include <uapi/asm/kvm_para.h>
#include <uapi/linux/kvm_para.h>

/* 6.10: includes Linux's KVM's types, for the room of a name that user space does not count. */
#define __KVM_TYPES_H__
#define KVM_STATS_NAME_SIZE 0

/* 6.12: a name for the kernel says that what is in a shared page may change. */
#define immediate_exit__unsafe immediate_exit

#include <linux/kvm.h>

/* 6.9: gone from the headers, and absent here. */
#ifndef KVM_SET_MEMORY_REGION
#define KVM_SET_MEMORY_REGION	_IOW(KVMIO, 0x40, struct { __u64 slot_and_flags; __u64 gpa; __u64 bytes; })
#endif
#ifndef KVM_SET_MEMORY_ALIAS
#define KVM_SET_MEMORY_ALIAS	_IOW(KVMIO, 0x43, struct { __u64 slot_and_flags; __u64 gpa; __u64 bytes; __u64 target; })
#endif

#endif
