// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stats.c - statistics as KVM_GET_STATS_FD shows them
 *
 * Locking: counts are plain integers of whoever counts; a reader sees each as it is.
 * Reference: Linux Documentation/virt/kvm/api.rst, "KVM_GET_STATS_FD".
 */
#include "core/stats.h"

#include <linux/kvm.h>

#include "core/vm.h"
#include "insn/insn.h"

#define NAME_BYTES	48u		/* KVM_STATS_NAME_SIZE */
#define ROW_BYTES	((u32)sizeof(struct kvm_stats_desc) + NAME_BYTES)
#define IDS_AT		((u32)sizeof(struct kvm_stats_header))
#define ROWS_AT		(IDS_AT + NAME_BYTES)

static const char *const vm_names[] = {
#define VM_STAT(name) #name,
#define VCPU_STAT(name)
#include "core/stat.def"
#undef VM_STAT
#undef VCPU_STAT
};

static const char *const vcpu_names[] = {
#define VM_STAT(name)
#define VCPU_STAT(name) #name,
#include "core/stat.def"
#undef VM_STAT
#undef VCPU_STAT
};

static u32 count_of(const struct vcpu *v)
{
	if (!v)
		return VM_STATS;
	return insn_counters(NULL) ? VCPU_STATS : VCPU_STATS - INSN_COUNTERS;	/* those come last */
}

u32 stats_counts_at(const struct vcpu *v)
{
	return ROWS_AT + count_of(v) * ROW_BYTES;
}

u32 stats_bytes(const struct vcpu *v)
{
	return stats_counts_at(v) + count_of(v) * (u32)sizeof(u64);
}

static void text_copy(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
}

static void id_make(char *to, const struct vcpu *v)
{
	u32 digits = 1, id = v ? v->id : 0;

	text_copy(to, v ? "kvm-vcpu-" : "kvm");	/* tools look for kvm at the beginning */
	if (!v)
		return;
	for (u32 n = id; n >= 10; n /= 10)
		digits++;
	for (to += 9 + digits; digits--; id /= 10)
		*--to = (char)('0' + id % 10);
}

void stats_describe(const struct vcpu *v, void *file)
{
	const char *const *names = v ? vcpu_names : vm_names;
	struct kvm_stats_header head = {
		.name_size = NAME_BYTES, .num_desc = count_of(v), .id_offset = IDS_AT,
		.desc_offset = ROWS_AT, .data_offset = stats_counts_at(v),
	};
	u8 *row = (u8 *)file + ROWS_AT;

	__builtin_memset(file, 0, stats_counts_at(v));
	__builtin_memcpy(file, &head, sizeof(head));
	id_make((char *)file + IDS_AT, v);
	for (u32 n = 0; n < count_of(v); n++, row += ROW_BYTES) {
		bool instant = !v && n == VM_STAT_mmu_pages;
		struct kvm_stats_desc d = {
			.flags = (instant ? KVM_STATS_TYPE_INSTANT : KVM_STATS_TYPE_CUMULATIVE) |
				 KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10,
			.size = 1, .offset = n * (u32)sizeof(u64),
		};

		__builtin_memcpy(row, &d, sizeof(d));
		text_copy((char *)row + sizeof(d), names[n]);
	}
}

void stats_copy(const struct vm *vm, const struct vcpu *v, u64 *counts)
{
	const u64 *from = v ? atomic_load_acquire(&v->stat) : atomic_load_acquire(&vm->stat);

	for (u32 n = 0; n < count_of(v); n++)
		counts[n] = atomic_load_relaxed(&from[n]);
}

void stats_move(struct vm *vm, struct vcpu *v, u64 *counts)
{
	stats_copy(vm, v, counts);
	if (v)
		atomic_store_release(&v->stat, counts);
	else
		atomic_store_release(&vm->stat, counts);
}
