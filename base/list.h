/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * list.h - doubly linked lists whose links live in the elements
 *
 * A list is a ring through its head: an empty head points at itself, and so does an
 * element that is on no list (after list_init or list_remove), so removing twice is
 * harmless and list_is_empty(&element->link) asks whether it is on one.
 *
 * Locking: the caller's.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/types.h"

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name) { &(name), &(name) }

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

/* Put link right after where: at the front, if where is the head. */
static inline void list_insert(struct list *where, struct list *link)
{
	link->next = where->next;
	link->prev = where;
	where->next->prev = link;
	where->next = link;
}

static inline void list_prepend(struct list *head, struct list *link)
{
	list_insert(head, link);
}

static inline void list_append(struct list *head, struct list *link)
{
	list_insert(head->prev, link);
}

/* Off its list, if it is on one. */
static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* Move everything on from to the end of to. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define LIST_ENTRY(link, type, member) CONTAINER_OF(link, type, member)

/* The first element, or NULL. */
#define LIST_FIRST(head, type, member) \
	(list_is_empty(head) ? NULL : LIST_ENTRY((head)->next, type, member))

/* type *entry visits each element. */
#define LIST_FOR_EACH(entry, head, member) \
	for (entry = LIST_ENTRY((head)->next, __typeof__(*entry), member); \
	     &entry->member != (head); \
	     entry = LIST_ENTRY(entry->member.next, __typeof__(*entry), member))

/* The same when the body may remove (and free) the element. */
#define LIST_FOR_EACH_SAFE(entry, after, head, member) \
	for (entry = LIST_ENTRY((head)->next, __typeof__(*entry), member), \
	     after = LIST_ENTRY(entry->member.next, __typeof__(*entry), member); \
	     &entry->member != (head); \
	     entry = after, after = LIST_ENTRY(entry->member.next, __typeof__(*entry), member))

#endif
