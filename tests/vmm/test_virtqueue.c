// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_virtqueue.c - split virtqueues against drivers that behave and drivers that do not
 */
#include <errno.h>

#include "tests/test.h"
#include "vmm/machine/memory.h"
#include "vmm/virtio/queue.h"

#define SIZE	8u
#define DESC	0x1000ull
#define AVAIL	0x2000ull
#define USED	0x3000ull
#define DATA	0x10000ull

struct desc { u64 address; u32 bytes; u16 flags, next; };

static struct memory mem;
static struct virtq q;
static struct virtq_chain c;

static u16 *word(gpa_t at)
{
	return memory_at(&mem, at, 2);
}

static struct desc *desc(unsigned n)
{
	return memory_at(&mem, DESC + 16 * n, 16);
}

static void offer(u16 head)
{
	u16 *idx = word(AVAIL + 2);

	*word(AVAIL + 4 + 2 * (*idx % SIZE)) = head;
	(*idx)++;
}

static void fresh(bool event_idx)
{
	memory_clear(&mem);
	virtq_reset(&q);
	q.size = SIZE;
	q.desc_at = DESC;
	q.avail_at = AVAIL;
	q.used_at = USED;
	EXPECT_EQ(virtq_activate(&q, &mem, event_idx), 0);
}

static void a_chain_is_found_and_given_back(void)
{
	fresh(false);
	EXPECT_EQ(virtq_pop(&q, &c), 0);
	*desc(3) = (struct desc){ DATA, 16, 1, 5 };
	*desc(5) = (struct desc){ DATA + 0x100, 32, 1 | 2, 0 };
	*desc(0) = (struct desc){ DATA + 0x200, 1, 2, 0 };
	offer(3);
	EXPECT_EQ(virtq_pop(&q, &c), 1);
	EXPECT_EQ(c.head, 3);
	EXPECT_EQ(c.readable, 1);
	EXPECT_EQ(c.writable, 2);
	EXPECT_EQ(c.readable_bytes, 16);
	EXPECT_EQ(c.writable_bytes, 33);
	EXPECT_EQ(virtq_pop(&q, &c), 0);
	virtq_push(&q, 3, 33);
	EXPECT_EQ(*word(USED + 2), 1);
	EXPECT_EQ(*word(USED + 4), 3);
	EXPECT_EQ(*word(USED + 8), 33);
	EXPECT(virtq_wants_interrupt(&q));
	*word(AVAIL) = 1;
	virtq_push(&q, 3, 0);
	EXPECT(!virtq_wants_interrupt(&q));
}

static void indirect_tables_are_followed_once(void)
{
	struct desc *inner;

	fresh(false);
	inner = memory_at(&mem, DATA, 64);
	inner[0] = (struct desc){ DATA + 0x100, 8, 1, 1 };
	inner[1] = (struct desc){ DATA + 0x200, 8, 2, 0 };
	*desc(0) = (struct desc){ DATA, 32, 4, 0 };
	offer(0);
	EXPECT_EQ(virtq_pop(&q, &c), 1);
	EXPECT_EQ(c.readable_bytes + c.writable_bytes, 16);
	fresh(false);			/* an indirect table inside one */
	inner[0] = (struct desc){ DATA, 32, 4, 0 };
	*desc(0) = (struct desc){ DATA, 32, 4, 0 };
	offer(0);
	EXPECT_EQ(virtq_pop(&q, &c), -EINVAL);
	EXPECT(q.broken);
	EXPECT_EQ(virtq_pop(&q, &c), -EINVAL);
}

/* Each of these must break the queue, and touch nothing outside RAM. */
static void rule_breakers(void)
{
	static const struct desc bad[] = {
		{ DATA, 16, 1, SIZE },			/* next outside the table */
		{ DATA, 16, 1, 0 },			/* a loop */
		{ DATA, 0, 0, 0 },			/* an empty buffer */
		{ MEMORY_HOLE, 16, 0, 0 },		/* no RAM there */
		{ ~0ull - 4, 16, 0, 0 },		/* wraps */
		{ DATA, ~0u, 0, 0 },			/* ends outside */
		{ DATA, 17, 4, 0 },			/* an indirect table of no whole number */
		{ DATA, 0, 4, 0 },			/* an empty one */
		{ DATA, 16, 4 | 1, 1 },			/* indirect, and a next */
		{ ~0ull << 12, 16, 4, 0 },		/* indirect outside RAM */
	};

	for (unsigned n = 0; n < ARRAY_LEN(bad); n++) {
		fresh(false);
		*desc(0) = bad[n];
		offer(0);
		EXPECT_EQ(virtq_pop(&q, &c), -EINVAL);
		EXPECT(q.broken);
	}
	fresh(false);				/* readable after writable */
	*desc(0) = (struct desc){ DATA, 16, 1 | 2, 1 };
	*desc(1) = (struct desc){ DATA, 16, 0, 0 };
	offer(0);
	EXPECT_EQ(virtq_pop(&q, &c), -EINVAL);
	fresh(false);				/* a head outside the table */
	offer(SIZE);
	EXPECT_EQ(virtq_pop(&q, &c), -EINVAL);
	fresh(false);				/* avail jumps further than the ring is long */
	*word(AVAIL + 2) = SIZE + 1;
	EXPECT_EQ(virtq_pop(&q, &c), -EINVAL);
}

static void rings_must_be_in_ram(void)
{
	virtq_reset(&q);
	q.size = SIZE;
	q.desc_at = mem.bytes - 16;
	EXPECT_EQ(virtq_activate(&q, &mem, false), -EINVAL);
	q.desc_at = DESC + 8;
	EXPECT_EQ(virtq_activate(&q, &mem, false), -EINVAL);
	q.desc_at = DESC;
	q.used_at = ~0ull - 3;
	EXPECT_EQ(virtq_activate(&q, &mem, false), -EINVAL);
	q.size = 6;
	EXPECT_EQ(virtq_activate(&q, &mem, false), -EINVAL);
}

static void event_index_spares_interrupts(void)
{
	fresh(true);
	*word(AVAIL + 4 + 2 * SIZE) = 2;	/* used_event: wake me after the third */
	virtq_push(&q, 0, 0);
	EXPECT(virtq_wants_interrupt(&q));	/* the first time, always */
	virtq_push(&q, 0, 0);
	EXPECT(!virtq_wants_interrupt(&q));
	virtq_push(&q, 0, 0);
	EXPECT(virtq_wants_interrupt(&q));
	virtq_push(&q, 0, 0);
	EXPECT(!virtq_wants_interrupt(&q));
	offer(0);
	EXPECT(virtq_enable_kicks(&q));		/* something came while kicks were off */
}

/* Every chain of two entries with every combination of flags and of a few lengths. */
static void all_small_chains(void)
{
	static const u32 lengths[] = { 0, 1, 16, 4096, 0x7fffffff, 0xffffffff };
	unsigned accepted = 0;

	for (unsigned flags = 0; flags < 64; flags++)
		for (unsigned a = 0; a < ARRAY_LEN(lengths); a++)
			for (unsigned b = 0; b < ARRAY_LEN(lengths); b++)
				for (u16 next = 0; next < 3; next++) {
					fresh(false);
					*desc(0) = (struct desc){ DATA, lengths[a], flags & 7, next };
					*desc(1) = (struct desc){ DATA, lengths[b], (u16)(flags >> 3), 2 };
					offer(0);
					if (virtq_pop(&q, &c) == 1) {
						accepted++;
						EXPECT(c.readable + c.writable > 0 && c.readable + c.writable <= SIZE);
						for (u32 n = 0; n < c.readable + c.writable; n++)
							EXPECT((u8 *)c.iov[n].iov_base >= mem.host &&
							       (u8 *)c.iov[n].iov_base + c.iov[n].iov_len <= mem.host + mem.bytes);
					}
				}
	EXPECT(accepted > 100);
}

static void iov_copies_across_buffers(void)
{
	u8 a[4] = { 1, 2, 3, 4 }, b[4] = { 5, 6, 7, 8 }, flat[8] = { 0 };
	struct iovec iov[2] = { { a, 4 }, { b, 4 } };

	EXPECT_EQ(iov_read(iov, 2, 3, flat, 8), 5);
	EXPECT(!memcmp(flat, (u8[]){ 4, 5, 6, 7, 8 }, 5));
	EXPECT_EQ(iov_write(iov, 2, 2, "wxyz!!", 6), 6);
	EXPECT(!memcmp(a, "\1\2wx", 4) && !memcmp(b, "yz!!", 4));
	EXPECT_EQ(iov_write(iov, 2, 9, "no", 2), 0);
}

int main(void)
{
	if (memory_create(&mem, 16ull << 20))
		return 1;
	TEST(a_chain_is_found_and_given_back);
	TEST(indirect_tables_are_followed_once);
	TEST(rule_breakers);
	TEST(rings_must_be_in_ram);
	TEST(event_index_spares_interrupts);
	TEST(all_small_chains);
	TEST(iov_copies_across_buffers);
	return test_status();
}
