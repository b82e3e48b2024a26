// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_list.c - lists keep their order and know when they are empty
 */
#include "base/list.h"
#include "tests/test.h"

struct item {
	int value;
	struct list link;
};

static int sum_in_order(struct list *head)
{
	struct item *it;
	int digits = 0;

	LIST_FOR_EACH(it, head, link)
		digits = digits * 10 + it->value;
	return digits;
}

static void order_of_insertion(void)
{
	struct list head = LIST_INIT(head);
	struct item a[4] = { { .value = 1 }, { .value = 2 }, { .value = 3 }, { .value = 4 } };

	EXPECT(list_is_empty(&head));
	EXPECT(LIST_FIRST(&head, struct item, link) == NULL);
	list_append(&head, &a[1].link);
	list_append(&head, &a[2].link);
	list_prepend(&head, &a[0].link);
	list_insert(&a[0].link, &a[3].link);
	EXPECT_EQ(sum_in_order(&head), 1423);
	EXPECT(LIST_FIRST(&head, struct item, link) == &a[0]);
}

static void removing(void)
{
	struct list head = LIST_INIT(head);
	struct item a[3] = { { .value = 1 }, { .value = 2 }, { .value = 3 } };
	struct item *it, *after;

	for (int n = 0; n < 3; n++)
		list_append(&head, &a[n].link);
	list_remove(&a[1].link);
	EXPECT_EQ(sum_in_order(&head), 13);
	EXPECT(list_is_empty(&a[1].link));
	list_remove(&a[1].link);	/* again: nothing happens */
	EXPECT_EQ(sum_in_order(&head), 13);
	LIST_FOR_EACH_SAFE(it, after, &head, link)
		list_remove(&it->link);
	EXPECT(list_is_empty(&head));
}

static void splicing(void)
{
	struct list x = LIST_INIT(x), y = LIST_INIT(y);
	struct item a[4] = { { .value = 1 }, { .value = 2 }, { .value = 3 }, { .value = 4 } };

	list_splice(&x, &y);
	EXPECT(list_is_empty(&x));
	list_append(&x, &a[0].link);
	list_append(&x, &a[1].link);
	list_append(&y, &a[2].link);
	list_append(&y, &a[3].link);
	list_splice(&x, &y);
	EXPECT_EQ(sum_in_order(&x), 1234);
	EXPECT(list_is_empty(&y));
	EXPECT(x.prev == &a[3].link);
}

int main(void)
{
	TEST(order_of_insertion);
	TEST(removing);
	TEST(splicing);
	return test_status();
}
