/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * move.h - a tiny guest of one vCPU goes on in a new VM, by the state that the API shows
 */
#ifndef TESTS_GUEST_MOVE_H
#define TESTS_GUEST_MOVE_H

#include "tests/guest/tiny.h"
#include "tests/guest/whole.h"

static inline struct whole_machine tiny_machine(struct tiny *t)
{
	return (struct whole_machine){
		.ioctl = akvm_ioctl, .system = t->system, .vm = t->vm, .cpu = t->cpu[0].fd,
		.has_chips = !!(t->flags & TINY_IRQCHIP), .has_lapic = !!(t->flags & TINY_IRQCHIP),
		.has_pit = !!(t->flags & TINY_PIT),
	};
}

/*
 * What the last exit asked for is completed first: -EINTR, or an exit that came of it, and then
 * nothing has moved.  configure() makes what the state does not say, or is NULL.  -EIO: the new
 * machine's state is not the old one's.
 */
static inline int tiny_move(struct tiny *t, void (*configure)(struct tiny *t))
{
	static struct whole before, after;
	struct whole_machine from, to;
	struct tiny new;
	u8 *memory;
	bool good;
	int r;

	t->cpu[0].run->immediate_exit = 1;
	r = tiny_run(t, 0);
	t->cpu[0].run->immediate_exit = 0;
	if (r != -EINTR)
		return r;
	from = tiny_machine(t);
	good = whole_get(&from, &before);
	tiny_create(&new, t->flags, 1);
	MUST(tiny_slot(&new, 0, 0, NULL, 0, 0));
	MUST(tiny_slot(&new, 0, 0, t->memory, TINY_BYTES, 0));
	memory = new.memory;
	new.memory = t->memory;
	t->memory = memory;
	if (configure)
		configure(&new);
	to = tiny_machine(&new);
	good &= whole_set(&to, &before) && whole_get(&to, &after) && whole_is_same(&before, &after);
	new.cpu[0].run->cr8 = before.sregs.cr8;		/* KVM_RUN takes it from there */
	tiny_destroy(t);
	*t = new;
	EXPECT(good);
	return good ? r : -EIO;
}

#endif
