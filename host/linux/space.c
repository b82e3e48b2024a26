// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * space.c - memory of the process that owns a virtual machine
 *
 * A page is referenced only from host_page_get() to host_page_put().  What lets a guest use
 * it for longer is the MMU notifier: the kernel announces every change of a mapping, and the
 * hypervisor lets go of the range before the kernel goes on.
 *
 * A page that a guest may write is marked dirty when it is handed out, because nothing will
 * tell us when the guest writes it.
 *
 * Not modelled: memory without struct page (device memory mapped by a driver); ageing.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/uaccess.h>

#include "host/host.h"
#include "host/linux/compat.h"
#include "host/linux/linux.h"

#define HUGE_LEVEL 1

#define SMALL 16u

/*
 * Guests' instructions and the entries of their page tables come this way, so it matters what
 * it costs; and what is one aligned word is read in one piece.
 */
static int copy_small(void *to, const void __user *from, unsigned n)
{
	u64 word;
	u32 half;
	u8 byte;

	if (!user_access_begin(from, n))
		return -EFAULT;
	for (; n >= sizeof(word); n -= sizeof(word), to += sizeof(word), from += sizeof(word)) {
		unsafe_get_user(word, (const u64 __user *)from, fault);
		*(u64 *)to = word;
	}
	if (n >= sizeof(half)) {
		unsafe_get_user(half, (const u32 __user *)from, fault);
		*(u32 *)to = half;
		n -= sizeof(half), to += sizeof(half), from += sizeof(half);
	}
	for (; n; n--, to++, from++) {
		unsafe_get_user(byte, (const u8 __user *)from, fault);
		*(u8 *)to = byte;
	}
	user_access_end();
	return 0;
fault:
	user_access_end();
	return -EFAULT;
}

int host_copy_in(void *dst, u64 address, u64 n)
{
	if (!current->mm)
		return -EFAULT;
	if (n <= SMALL)
		return copy_small(dst, (const void __user *)(uintptr_t)address, (unsigned)n);
	return copy_from_user(dst, (const void __user *)(uintptr_t)address, n) ? -EFAULT : 0;
}

int host_copy_out(u64 address, const void *src, u64 n)
{
	if (!current->mm)
		return -EFAULT;
	return copy_to_user((void __user *)(uintptr_t)address, src, n) ? -EFAULT : 0;
}

/* 0, -EAGAIN and *old is what was there, or -EFAULT. */
#define EXCHANGE(type)									\
static int exchange_##type(type __user *at, u64 *old, u64 new)				\
{											\
	type expected = (type)*old;							\
	bool done;									\
											\
	if (!user_access_begin(at, sizeof(*at)))					\
		return -EFAULT;								\
	done = unsafe_try_cmpxchg_user(at, &expected, (type)new, fault);		\
	user_access_end();								\
	*old = expected;								\
	return done ? 0 : -EAGAIN;							\
fault:											\
	user_access_end();								\
	return -EFAULT;									\
}
EXCHANGE(u8)
EXCHANGE(u16)
EXCHANGE(u32)
EXCHANGE(u64)

int host_cmpxchg(u64 address, u64 *old, u64 new, unsigned size)
{
	void __user *at = (void __user *)(uintptr_t)address;

	if (address % MAX_OF(size, 1u) || !current->mm)
		return current->mm ? -EINVAL : -EFAULT;
	switch (size) {
	case 1:
		return exchange_u8(at, old, new);
	case 2:
		return exchange_u16(at, old, new);
	case 4:
		return exchange_u32(at, old, new);
	case 8:
		return exchange_u64(at, old, new);
	default:
		return -EINVAL;
	}
}

/*
 * Is address in a 2 MiB page (or a part of a larger one)?  The tables are not freed while
 * interrupts are off.  What is read may be old when it is used: that is what the MMU
 * notifier's sequence is for.
 */
static bool is_huge(u64 address, bool *writable)
{
	bool huge = false;
	unsigned long flags;
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	local_irq_save(flags);
	pgd = pgd_offset(current->mm, address);
	if (pgd_none(*pgd))
		goto out;
	p4d = p4d_offset(pgd, address);
	if (p4d_none(*p4d) || !p4d_present(*p4d))
		goto out;
	pud = pud_offset(p4d, address);
	if (pud_none(*pud) || !pud_present(*pud))
		goto out;
	if (compat_pud_is_page(*pud)) {
		huge = true;
		*writable = pud_write(*pud);
		goto out;
	}
	pmd = pmd_offset(pud, address);
	if (pmd_present(*pmd) && compat_pmd_is_page(*pmd)) {
		huge = true;
		*writable = pmd_write(*pmd);
	}
out:
	local_irq_restore(flags);
	return huge;
}

int host_page_get(u64 address, bool write, struct host_page *out)
{
	bool writable = true, huge_writable;
	struct page *page;

	if (!current->mm)
		return -EFAULT;
	address &= PAGE_MASK;
	/* A reader takes write access along if that costs nothing. */
	if (get_user_pages_fast_only(address, 1, FOLL_WRITE, &page) != 1) {
		writable = write;
		if (get_user_pages_fast(address, 1, write ? FOLL_WRITE : 0, &page) != 1)
			return -EFAULT;
	}
	host_linux_pages_count(1);
	*out = (struct host_page){ .pa = page_to_phys(page), .writable = writable, .handle = page };
	if (PageCompound(page) && is_huge(address, &huge_writable) && (huge_writable || !writable))
		out->level = HUGE_LEVEL;
	return 0;
}

void host_page_put(struct host_page *p, bool dirty)
{
	struct page *page = p->handle;

	if ((dirty || p->writable) && !PageReserved(page))
		SetPageDirty(page);
	if (!PageReserved(page))
		mark_page_accessed(page);
	put_page(page);
	host_linux_pages_count(-1);
}

/* --- changes -------------------------------------------------------------------------- */

struct space {
	struct mmu_notifier notifier;
	const struct host_space_ops *ops;
	void *arg;
};

static int range_start(struct mmu_notifier *n, const struct mmu_notifier_range *range)
{
	struct space *s = container_of(n, struct space, notifier);

	if (!mmu_notifier_range_blockable(range))
		return -EAGAIN;		/* the OOM reaper: it tries again */
	s->ops->invalidate_begin(s->arg, range->start, range->end);
	return 0;
}

static void range_end(struct mmu_notifier *n, const struct mmu_notifier_range *range)
{
	struct space *s = container_of(n, struct space, notifier);

	s->ops->invalidate_end(s->arg, range->start, range->end);
}

static int clear_flush_young(struct mmu_notifier *n, struct mm_struct *mm, unsigned long start,
			     unsigned long end)
{
	struct space *s = container_of(n, struct space, notifier);

	return s->ops->test_and_clear_young(s->arg, start, end);
}

/* The process goes, its descriptors live on in another: all its memory goes now. */
static void space_release(struct mmu_notifier *n, struct mm_struct *mm)
{
	struct space *s = container_of(n, struct space, notifier);

	s->ops->invalidate_begin(s->arg, 0, ~0ull);
	s->ops->invalidate_end(s->arg, 0, ~0ull);
}

static const struct mmu_notifier_ops notifier_ops = {
	.invalidate_range_start = range_start,
	.invalidate_range_end = range_end,
	.clear_flush_young = clear_flush_young,
	.release = space_release,
};

int host_space_attach(const struct host_space_ops *ops, void *arg, void **space)
{
	struct space *s;
	int r;

	if (!current->mm)
		return -EINVAL;
	s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (!s)
		return -ENOMEM;
	s->ops = ops;
	s->arg = arg;
	s->notifier.ops = &notifier_ops;
	r = mmu_notifier_register(&s->notifier, current->mm);
	if (r) {
		kfree(s);
		return r;
	}
	*space = s;
	return 0;
}

void host_space_detach(void *space)
{
	struct space *s = space;

	/* Waits for callbacks; keeps the mm_struct until then. */
	mmu_notifier_unregister(&s->notifier, s->notifier.mm);
	kfree(s);
}
