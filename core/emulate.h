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
#include "x86/exec.h"

struct vcpu;
struct exit;

#define EMULATE_READS	16u	/* device reads an instruction may need: 64 bytes by 8, twice */
#define EMULATE_WRITES	16u

struct emulate_access { gpa_t gpa; u8 bytes; u8 data[8]; };

struct emulate {
	bool active;			/* between exit to the client and completion */
	u8 reads, reads_used, writes, writes_done;
	struct emulate_access read[EMULATE_READS];	/* answered */
	struct emulate_access write[EMULATE_WRITES];	/* to be made, in order */
	bool waiting_read;		/* the client is answering read[reads] */
	u8 bytes[15], byte_count;	/* the instruction, a private copy */
};

enum emulated {
	EMULATE_DONE,		/* the instruction (or part of a REP) happened; go on */
	EMULATE_FAULTED,	/* an exception is queued */
	EMULATE_EXIT,		/* v->run says what the client is to do */
	EMULATE_FAILED,		/* KVM_EXIT_INTERNAL_ERROR is in v->run */
};

/* Emulate the instruction at RIP.  e may give its bytes; NULL: fetch them.  [sleep] in srcu */
enum emulated emulate_instruction(struct vcpu *v, const struct exit *e);
/* The client has answered what EMULATE_EXIT asked. */
enum emulated emulate_resume(struct vcpu *v);
/* Length of the instruction at RIP, to skip it; 0 if it can't be fetched. */
unsigned emulate_length(struct vcpu *v);

#endif
