/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pic.h - the pair of 8259A interrupt controllers
 */
#ifndef CORE_PIC_H
#define CORE_PIC_H

#include <linux/kvm.h>
#include "base/types.h"

struct vm;
struct pic;

#define PIC_PINS 16u

struct pic *pic_create(struct vm *vm);			/* [sleep] NULL: no memory */
void pic_destroy(struct pic *p);
int  pic_attach(struct pic *p);				/* vm->lock held: onto the port bus */
void pic_detach(struct pic *p);

/* A source moved pin's line: 1 delivered, 0 coalesced, -1 masked.  [any] */
int  pic_line(struct pic *p, unsigned source, unsigned pin, bool level);
bool pic_output(const struct pic *p);			/* INTR.  [any] */
unsigned pic_acknowledge(struct pic *p);		/* INTA: the vector, spurious if there is none */

void pic_get(struct pic *p, unsigned chip, struct kvm_pic_state *state);
void pic_set(struct pic *p, unsigned chip, const struct kvm_pic_state *state);

#endif
