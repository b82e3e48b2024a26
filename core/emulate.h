/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * emulate.h - the instruction emulator: x86/exec over a vCPU's memory, ports and devices
 *
 * An instruction that needs the client (device memory, ports) is started again after the
 * client has answered; the log of its reads makes it see the same values.  The log is
 * plain data in the vCPU: nothing on a stack survives an exit.
 */
#ifndef CORE_EMULATE_H
#define CORE_EMULATE_H

#include "base/types.h"
#include "host/host.h"
#include "x86/exec.h"

struct vcpu;
struct exit;

#define EMULATE_READS	16u	/* device reads an instruction may need: 64 bytes by 8, twice */
#define EMULATE_WRITES	16u
#define EMULATE_INS	1024u	/* bytes that one KVM_EXIT_IO of REP INS asks for */

struct emulate_access { gpa_t gpa; bool port; u8 bytes; u8 data[8]; };

/* What the client is doing for us. */
enum emulate_wait { EMULATE_IDLE, EMULATE_READING, EMULATE_WRITING, EMULATE_PORT_IN };

struct emulate {
	bool active;			/* between exit to the client and completion */
	bool step;			/* a single-step trap is due when the writes are done */
	enum emulate_wait wait;
	u8 reads, reads_used, writes, writes_done;
	struct emulate_access read[EMULATE_READS];	/* answered; read[reads] is asked for */
	struct emulate_access write[EMULATE_WRITES];	/* to be made, in order */
	u8 bytes[15], byte_count;	/* the instruction, a private copy */
	u8 insn_bits;			/* insn is it, in code of so many bits; 0: not decoded yet */
	struct x86_insn insn;
	u64 rip;			/* where it is */

	/* a port's answers, of which REP INS takes one an iteration */
	u16 in_port;
	u8  in_bytes;
	bool in_taken;			/* by the iteration in progress */
	u16 in_count, in_used;
	u8  in_data[EMULATE_INS];

	/* the address of its memory operand, as the exit reported it */
	bool gpa_known;
	gpa_t gpa;

	/* a page held for a locked instruction while it runs */
	bool held;
	gfn_t held_gfn;
	struct host_page page;
};

enum emulated {
	EMULATE_DONE,		/* the instruction (or part of a REP) happened; go on */
	EMULATE_FAULTED,	/* an exception is queued */
	EMULATE_EXIT,		/* v->run says what the client is to do; v->completion is set */
	EMULATE_FAILED,		/* KVM_EXIT_INTERNAL_ERROR is in v->run */
};

/* What v->x.bus points at, from vcpu_create() on. */
extern const struct x86_bus emulate_bus;

/*
 * Emulate the instruction at RIP.  e may give its bytes; NULL: fetch them.  The guest's
 * extended state is in v->fpu.  [sleep] in srcu
 */
enum emulated emulate_instruction(struct vcpu *v, const struct exit *e);
/* Deliver the event in flight through its task gate, which processors leave to us.  [sleep] in srcu */
enum emulated emulate_delivery(struct vcpu *v);
/* The client has answered what EMULATE_EXIT asked. */
enum emulated emulate_resume(struct vcpu *v);
/* Length of the instruction at RIP, to skip it; 0 if it can't be fetched. */
unsigned emulate_length(struct vcpu *v);

#endif
