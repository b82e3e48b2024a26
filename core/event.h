/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event.h - the order in which events reach a guest, for core/run.c
 */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include "base/types.h"

struct vcpu;

/* Before an entry: choose what is injected by this entry, ask for windows for the rest. */
void event_inject(struct vcpu *v);
/* After an exit: what had been injected is done, except what the exit interrupted. */
void event_collect(struct vcpu *v);
/* Is an event on its way that the next entry must inject again? */
bool event_is_in_flight(const struct vcpu *v);
/* Would an interrupt be taken right now by the client's reckoning? */
bool event_ready_for_interrupt(struct vcpu *v);
/* Does the client of a userspace PIC ask for KVM_EXIT_IRQ_WINDOW_OPEN? */
bool event_client_wants_window(struct vcpu *v);
/* Is there anything that ends HLT?  [any] but reads the back end: v's own thread */
bool event_wakes(struct vcpu *v);

#endif
