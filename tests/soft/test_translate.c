// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_translate.c - translated code against the interpreter
 *
 * Random programs of a few dozen instructions (arithmetic, memory, stack, vectors, branches,
 * calls, short loops) run from the same random state on two processors, of which one
 * translates and one interprets; half of them are 32-bit code.  Registers, flags, memory and the way it ended must be
 * equal.  In exact mode flags are compared at faults too.
 *
 * usage: test_translate [CASES [SEED [FIRST]]]		FIRST & 1026: the mode that a reported seed was for
 */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "soft/translate.h"
#include "tests/soft/guest.h"

#define DATA		0x100000ul	/* read and written by programs */
#define DATA_BYTES	0x8000ul
#define HOLE		0x105000ul	/* not mapped */
#define READ_ONLY	0x106000ul
#define LOOP_COUNT	0x107f00ul
#define PROGRAM_BYTES	4096u

static u64 state = 88172645463325252ull;

static u64 rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned below(unsigned n) { return (unsigned)(rnd() >> 20) % n; }

/* --- two machines ------------------------------------------------------------------------------- */

static struct guest machines[2];	/* 0 translates */
static u64 xcr0;
static unsigned opmask_at;		/* in the XSAVE area; 0: no AVX-512 */

static void machine_make(struct guest *g, bool translate)
{
	struct soft_code code = guest_code_memory(8 << 20);

	/* guest_init() keeps one processor; we want two */
	soft_translate(translate);
	guest_long(g, (const u8 *)"\xf4", (const u8 *)"\xf4" + 1);
	g->cpu = guest_pages(soft_cpu_bytes());
	soft_cpu_init(g->cpu, translate, &code);
	struct guest clean = *g;

	/* its own memory, tables and VMCB: made again at new places */
	clean.memory = guest_pages(GUEST_BYTES);
	memcpy(clean.memory, g->memory, GUEST_BYTES);
	clean.vmcb = guest_pages(4096);
	memcpy(clean.vmcb, g->vmcb, 4096);
	clean.npt = guest_pages(5 * 4096);
	u64 *tables = clean.npt + 1024;

	tables[1024] = (u64)tables | 7;
	tables[0] = (u64)(tables + 512) | 7;
	tables[512] = (u64)clean.npt | 7;
	tables[513] = (u64)(clean.npt + 512) | 7;
	for (unsigned n = 0; n < 1024; n++)
		clean.npt[n] = (u64)(clean.memory + n * 4096) | 7;
	clean.vmcb->control.n_cr3 = (u64)(tables + 1024);
	clean.vmcb->save.cr4 |= X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	*g = clean;
	*guest_pte(g, HOLE) = 0;
	*guest_pte(g, READ_ONLY) &= ~2ull;
}

/* --- programs -------------------------------------------------------------------------------------- */

static const u8 pointers[] = { X86_RBX, X86_RBP, 9, 15 };
static const u8 indexes[] = { X86_RSI, 10, 13 };
static bool narrow;	/* 32-bit code: half of the registers */

static unsigned code_bits(void) { return narrow ? 32 : 64; }
static unsigned one_of(const u8 *registers, unsigned n) { return registers[below(narrow ? n / 2 : n)]; }

static bool is_kept(unsigned r)
{
	for (unsigned n = 0; n < sizeof(pointers); n++)
		if (r == pointers[n])
			return true;
	for (unsigned n = 0; n < sizeof(indexes); n++)
		if (r == indexes[n])
			return true;
	return r == X86_RSP;
}

struct program { u8 bytes[PROGRAM_BYTES]; u64 at; unsigned len, count; };

/* ModRM (and SIB, displacement); rex gets its bits. */
static unsigned random_modrm(u8 *at, unsigned *rex)
{
	unsigned n = 0, reg = below(narrow ? 8 : 16), base, disp;

	*rex |= (reg & 8) >> 1;
	if (below(5) < 2) {
		unsigned rm = below(narrow ? 8 : 16);

		*rex |= (rm & 8) >> 3;
		at[n++] = (u8)(0xc0 | (reg & 7) << 3 | (rm & 7));
		return n;
	}
	if (below(10) == 0) {	/* an address that is a constant */
		u32 address = (u32)DATA + below(0x4ffc);

		at[n++] = (u8)((reg & 7) << 3 | (narrow ? 5 : 4));
		if (!narrow)
			at[n++] = 0x25;
		memcpy(at + n, &address, 4);
		return n + 4;
	}
	base = below(12) ? one_of(pointers, sizeof(pointers)) : X86_RSP;
	*rex |= (base & 8) >> 3;
	if (below(4) == 0 || base == X86_RSP) {
		unsigned index = below(3) || base == X86_RSP ? 4 : one_of(indexes, sizeof(indexes));

		*rex |= (index & 8) >> 2;
		at[n++] = (u8)(0x80 | (reg & 7) << 3 | 4);
		at[n++] = (u8)(below(4) << 6 | (index & 7) << 3 | (base & 7));
	} else if (below(3)) {
		at[n++] = (u8)(0x40 | (reg & 7) << 3 | (base & 7));
		at[n++] = (u8)rnd();
		return n;
	} else {
		at[n++] = (u8)(0x80 | (reg & 7) << 3 | (base & 7));
	}
	disp = below(0x600);
	memcpy(at + n, &disp, 4);
	return n + 4;
}

/* May a program contain it? */
static bool is_allowed(const struct x86_insn *i)
{
	if (i->flags & (X86_F_BRANCH | X86_F_SYSTEM | X86_F_VSIB))
		return false;
	switch (i->op) {
	case X86_OP_RDRAND: case X86_OP_RDSEED: case X86_OP_POPF: case X86_OP_ENTER: case X86_OP_XLAT: case X86_OP_STAC: case X86_OP_CLAC:
	case X86_OP_PAUSE: case X86_OP_LAR: case X86_OP_LSL: case X86_OP_LEAVE: case X86_OP_STD:
	case X86_OP_MOVDIR64B: case X86_OP_RDTSC: case X86_OP_RDTSCP:
	case X86_OP_XGETBV: case X86_OP_VERR: case X86_OP_VERW: case X86_OP_RDPID:
		return false;
	case X86_OP_POPA: case X86_OP_LES: case X86_OP_LDS: case X86_OP_LSS:
		return !narrow;
	case X86_OP_MOVS: case X86_OP_STOS: case X86_OP_LODS: case X86_OP_CMPS: case X86_OP_SCAS:
		return false;
	case X86_OP_PUSH: case X86_OP_POP:
		return i->form != X86_S;
	case X86_OP_BT: case X86_OP_BTS: case X86_OP_BTR: case X86_OP_BTC:
		return !(i->flags & X86_F_MEM) || i->form == X86_E_I;
	default:
		break;
	}
	if (i->form == X86_E_S || i->form == X86_S_E || i->form == X86_MOFFS_A || i->form == X86_A_MOFFS ||
	    i->form == X86_STRING || i->form == X86_DX_A || i->form == X86_A_DX || i->form == X86_I_A || i->form == X86_A_I)
		return false;
	if (i->flags & X86_F_X87)	/* pointers to host code in the environment */
		return false;
	return true;
}

/* Would it spoil a register that memory operands need? */
static bool spoils(const struct x86_insn *i)
{
	bool vector = i->flags & X86_F_VECTOR;

	if (vector && !(i->flags & X86_F_GPR_WRITE))
		return false;
	if (!(i->flags & X86_F_MODRM))
		return i->form == X86_E || i->form == X86_E_I || i->form == X86_E_G ? is_kept(i->rm & 15) || is_kept(i->reg & 15) : false;
	if (i->op == X86_OP_CMP || i->op == X86_OP_TEST || i->op == X86_OP_BT)
		return false;
	if (!(i->flags & X86_F_MEM) && is_kept(i->rm & 15))
		return true;
	if (i->form == X86_G_E || i->form == X86_G_E_I || i->form == X86_G_E_V || i->form == X86_G_V_E || vector ||
	    i->op == X86_OP_XCHG || i->op == X86_OP_XADD)
		return is_kept(i->reg & 15) || (i->op == X86_OP_MULX && is_kept(i->vvvv & 15));
	return i->form == X86_V_E && is_kept(i->vvvv & 15);
}

/* ... and differently, as an immediate count does from one in CL. */
static bool leaves_flags_undefined(const struct x86_insn *i)
{
	switch (i->op) {
	case X86_OP_ROL: case X86_OP_ROR: case X86_OP_RCL: case X86_OP_RCR: case X86_OP_SHL: case X86_OP_SHR:
	case X86_OP_SAR: case X86_OP_SHLD: case X86_OP_SHRD:
		return (i->form == X86_E_I || i->form == X86_E_G_I) && i->imm != 1;
	case X86_OP_DIV: case X86_OP_IDIV:
		return true;
	default:
		return false;
	}
}

static unsigned random_instruction(u8 *out)
{
	for (;;) {
		static const u8 maps38[] = { 0xf0, 0xf1, 0xf2, 0xf3, 0xf5, 0xf6, 0xf7, 0x17, 0x00, 0x40, 0x1c, 0x58, 0x36 };
		u8 b[16] = { 0 };
		unsigned n = 0, rex = below(3) || narrow ? 0 : 8, len;
		struct x86_insn i;
		u8 modrm[8];
		unsigned kind = below(20), opcode = below(256);

		len = random_modrm(modrm, &rex);
		if (kind < 16) {
			if (below(12) == 0)
				b[n++] = 0x66;
			if (below(16) == 0)
				b[n++] = below(2) ? 0xf2 : 0xf3;
			if (below(24) == 0)
				b[n++] = 0xf0;
			if (below(12) == 0)
				b[n++] = below(2) ? 0x64 : 0x65;
			if (!narrow && (rex || below(4) == 0))
				b[n++] = (u8)(0x40 | rex);
			if (kind >= 10)
				b[n++] = 0x0f;
			if (kind == 15) {
				b[n++] = 0x38;
				opcode = maps38[below(sizeof(maps38))];
			}
			b[n++] = (u8)opcode;
		} else if (kind == 16 && opmask_at && !narrow) {	/* EVEX, at times with a mask */
			b[n++] = 0x62;
			b[n++] = (u8)((~rex & 7) << 5 | 0x10 | (1 + below(2)));
			b[n++] = (u8)((rex & 8) << 4 | below(16) << 3 | 4 | below(4));
			b[n++] = (u8)(below(3) << 5 | 8 | (below(3) ? below(8) : 0) | (below(3) ? 0 : 0x80));
			b[n++] = (u8)opcode;
		} else {
			bool map3 = below(12) == 0, map1 = below(3) == 0;

			b[n++] = 0xc4;
			b[n++] = (u8)((~rex & 7) << 5 | (map3 ? 3 : map1 ? 1 : 2));
			b[n++] = (u8)((rex & 8) << 4 | below(16) << 3 | (map1 ? below(2) << 2 : 0) | below(4));
			b[n++] = map3 ? 0xf0 : map1 ? (u8)opcode : maps38[below(sizeof(maps38))];
		}
		memcpy(b + n, modrm, len);
		n += len;
		for (unsigned m = n; m < 15; m++)
			b[m] = (u8)rnd();
		if (x86_decode(&i, b, 15, code_bits()) != X86_DECODED || !is_allowed(&i))
			continue;
		if (spoils(&i) && below(300))
			continue;
		if (i.flags & X86_F_MEM && (i.base == X86_REG_RIP || i.mem_bytes > 64))
			continue;
		memcpy(out, b, i.len);
		if (!leaves_flags_undefined(&i))
			return i.len;
		memcpy(out + i.len, "\x85\xc0", 2);	/* test eax, eax */
		return i.len + 2u;
	}
}

static void add(struct program *p, const void *bytes, unsigned n)
{
	memcpy(p->bytes + p->len, bytes, n);
	p->len += n;
}

static void add_instructions(struct program *p, unsigned n)
{
	while (n-- > 0)
		p->len += random_instruction(p->bytes + p->len), p->count++;
}

/* A pointer or an index moves a little, or goes through another register. */
static void add_pointer_move(struct program *p)
{
	unsigned r = below(2) ? one_of(pointers, sizeof(pointers)) : one_of(indexes, sizeof(indexes));
	unsigned rex = narrow ? 0 : 0x48, kind = below(4), by = below(16);

	if (kind == 0) {		/* add r, imm8 */
		u8 code[] = { (u8)(rex | r >> 3), 0x83, (u8)(0xc0 | (r & 7)), (u8)by };

		add(p, code + !rex, 4 - !rex);
	} else if (kind == 1) {		/* sub r, imm8 */
		u8 code[] = { (u8)(rex | r >> 3), 0x83, (u8)(0xe8 | (r & 7)), (u8)by };

		add(p, code + !rex, 4 - !rex);
	} else if (kind == 2) {		/* lea r, [r + by]; r is no R12, whose encoding differs */
		u8 code[] = { (u8)(rex | r >> 3 | r >> 3 << 2), 0x8d, (u8)(0x40 | (r & 7) << 3 | (r & 7)), (u8)by };

		add(p, code + !rex, 4 - !rex);
	} else {			/* mov eax, r; lea r, [rax + by] */
		u8 code[] = { (u8)(rex | r >> 3 << 2), 0x89, (u8)(0xc0 | (r & 7) << 3),
			      (u8)(rex | r >> 3 << 2), 0x8d, (u8)(0x40 | (r & 7) << 3), (u8)by };

		add(p, code + !rex, 3 - !rex);
		add(p, code + 3 + !rex, 4 - !rex);
	}
}

static void put_distance(struct program *p, unsigned behind, unsigned target)
{
	s32 distance = (s32)target - (s32)behind;

	memcpy(p->bytes + behind - 4, &distance, 4);
}

/* A function that is called from before it or behind it, and at times returns elsewhere than expected. */
static void add_function(struct program *p)
{
	bool before = below(2), inner = below(3) == 0;
	unsigned over, call = 0, entry, from_inside = 0;

	if (!before) {
		add(p, "\xe8\0\0\0\0", 5);
		call = p->len;
		add(p, "\x90\x90", 2);
	}
	add(p, "\xe9\0\0\0\0", 5);
	over = p->len;
	entry = p->len;
	add_instructions(p, 1 + below(3));
	if (inner) {
		add(p, "\xe8\0\0\0\0", 5);
		from_inside = p->len;
	}
	if (below(3) == 0) {	/* inc [rsp]: a NOP is skipped */
		if (narrow)
			add(p, "\xff\x04\x24", 3);
		else
			add(p, "\x48\xff\x04\x24", 4);
	}
	if (below(4))
		add(p, "\xc3", 1);
	else			/* ret 0 */
		add(p, "\xc2\0\0", 3);
	if (inner) {		/* the inner function is behind the outer one, and has a NOP before it */
		put_distance(p, from_inside, p->len);
		add_instructions(p, 1 + below(2));
		add(p, "\xc3", 1);
	}
	put_distance(p, over, p->len);
	if (before) {
		add(p, "\xe8\0\0\0\0\x90\x90", 7);
		call = p->len - 2;
	}
	put_distance(p, call, entry);
}

/*
 * Straight pieces with forward branches, calls of what follows, and one loop around it all,
 * counted in memory.
 */
static void program_make(struct program *p)
{
	unsigned pieces = 1 + below(6), start;
	static const u8 count[] = { 0xff, 0x0c, 0x25, 0x00, 0x7f, 0x10, 0x00 };	/* dec dword [LOOP_COUNT] */
	static const u8 count32[] = { 0xff, 0x0d, 0x00, 0x7f, 0x10, 0x00 };

	p->at = GUEST_CODE + (below(3) ? 0 : 0xfff - below(300));	/* at times across a page */
	p->len = p->count = 0;
	add(p, "\xeb\x00", 2);		/* the interpreter's one branch */
	start = p->len;
	for (unsigned n = 0; n < pieces; n++) {
		unsigned kind = below(8), patch = 0;

		if (kind == 0) {	/* jcc over the rest */
			u8 jcc[] = { (u8)(0x70 | below(16)), 0 };

			add(p, jcc, 2);
			patch = p->len;
		} else if (kind == 1) {	/* call behind; which drops what it pushed */
			add(p, "\xe8\0\0\0\0", 5);
			patch = p->len;
		} else if (kind == 2) {	/* push imm; ret: to the rest */
			u32 target = (u32)p->at + p->len + 6;

			add(p, "\x68", 1);
			add(p, &target, 4);
			add(p, "\xc3", 1);
		} else if (kind == 3) {	/* mov eax, there; jmp rax */
			u32 target = (u32)p->at + p->len + 7;

			add(p, "\xb8", 1);
			add(p, &target, 4);
			add(p, "\xff\xe0", 2);
		} else if (kind == 4) {
			add_function(p);
		}
		for (unsigned m = 1 + below(7); m-- > 0;) {
			add_instructions(p, 1);
			if (below(8) == 0)
				add_pointer_move(p);
		}
		if (kind == 0 && p->len - patch < 127) {
			p->bytes[patch - 1] = (u8)(p->len - patch);
		} else if (kind == 1) {
			u32 distance = p->len - patch;

			memcpy(p->bytes + patch - 4, &distance, 4);
			if (narrow)
				add(p, "\x8d\x64\x24\x04", 4);	/* lea esp, [esp + 4] */
			else
				add(p, "\x48\x8d\x64\x24\x08", 5);	/* lea rsp, [rsp + 8] */
		}
	}
	if (below(3) == 0) {
		s32 back;

		if (narrow)
			add(p, count32, sizeof(count32));
		else
			add(p, count, sizeof(count));
		back = (s32)start - (s32)(p->len + 6);
		add(p, "\x0f\x85", 2);
		add(p, &back, 4);
	}
	add(p, "\xf4", 1);
}

/* --- running ------------------------------------------------------------------------------------------ */

static u8 area[2][4096] __attribute__((aligned(64)));

static void state_random(u64 rip)
{
	struct guest *g = &machines[0], *h = &machines[1];
	u64 gpr[16];

	for (unsigned r = 0; r < 16; r++) {
		unsigned kind = below(8);

		gpr[r] = kind == 0 ? below(256) : kind == 1 ? 0 : kind == 2 ? ~0ull : kind == 3 ? (u32)rnd() : rnd();
	}
	for (unsigned n = 0; n < sizeof(pointers); n++)
		gpr[pointers[n]] = DATA + below(0x4a00) + (below(10) == 0 ? 0x700 : 0);
	for (unsigned n = 0; n < sizeof(indexes); n++)
		gpr[indexes[n]] = below(64);
	gpr[X86_RSP] = DATA + 0x1000 + below(0x200) * 8;
	for (unsigned r = 0; narrow && r < 8; r++)
		gpr[r] = (u32)gpr[r];
	for (unsigned n = 0; n < 2; n++) {
		struct guest *m = &machines[n];

		memcpy(m->gpr, gpr, sizeof(gpr));
		m->vmcb->save.rax = gpr[X86_RAX];
		m->vmcb->save.rsp = gpr[X86_RSP];
		m->vmcb->save.rip = rip;
	}
	g->vmcb->save.rflags = X86_FLAG_1 | (rnd() & X86_FLAGS_ARITH);
	h->vmcb->save.rflags = g->vmcb->save.rflags;
	for (unsigned n = 0; n < DATA_BYTES; n += 8) {
		u64 v = rnd();

		memcpy(g->memory + DATA + n, &v, 8);
	}
	memset(g->memory + LOOP_COUNT, 0, 8);
	g->memory[LOOP_COUNT] = (u8)(1 + below(20));
	memcpy(h->memory + DATA, g->memory + DATA, DATA_BYTES);
	memset(g->memory + GUEST_STACK - 0x2000, 0, 0x2000);
	memset(h->memory + GUEST_STACK - 0x2000, 0, 0x2000);
}

static void vectors_random(void)
{
	memset(area[0], 0, sizeof(area[0]));
	for (unsigned n = 160; n < 160 + 256; n += 8) {
		u64 v = rnd();

		memcpy(area[0] + n, &v, 8);
	}
	*(u16 *)(area[0] + 0) = 0x37f;
	*(u32 *)(area[0] + 24) = 0x1f80;
	*(u64 *)(area[0] + 512) = opmask_at ? 0x23 : 3;
	for (unsigned n = 0; opmask_at && n < 64; n += 8) {
		u64 v = rnd();

		memcpy(area[0] + opmask_at + n, &v, 8);
	}
	memcpy(area[1], area[0], sizeof(area[0]));
}

#define INSTRUCTIONS_MAX 1000000u	/* a program that executes more does not end */

#define TICKS_MAX 2000000000ull		/* ... or is slow: locked accesses across cache lines are on some hosts */
static u64 executed[2];			/* by the last program */

static u64 instructions_of(const struct guest *g)
{
	return ((const struct soft_cpu *)g->cpu)->counters.instructions;
}

static void run_both(u64 exits[2])
{
	for (unsigned n = 0; n < 2; n++) {
		soft_fpu_load(machines[n].cpu, area[n], xcr0);
		u64 before = instructions_of(&machines[n]);
		u64 began = __builtin_ia32_rdtsc();	/* no floating point here: the guest's is loaded */

		exits[n] = guest_run(&machines[n]);
		while (exits[n] == VMEXIT_INTR && instructions_of(&machines[n]) - before < INSTRUCTIONS_MAX &&
		       __builtin_ia32_rdtsc() - began < TICKS_MAX) {
			soft_interrupt_ack(machines[n].cpu);
			exits[n] = guest_run(&machines[n]);
		}
		executed[n] = instructions_of(&machines[n]) - before;
		soft_fpu_save(machines[n].cpu, area[n], xcr0);
	}
}

/* Equal, and why not. */
static const char *difference(const u64 exits[2], u64 flags)
{
	static const char *names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10",
				       "r11", "r12", "r13", "r14", "r15" };
	struct guest *g = &machines[0], *h = &machines[1];

	if (exits[0] != exits[1])
		return "exit";
	if (g->vmcb->save.rip != h->vmcb->save.rip)
		return "rip";
	for (unsigned r = 0; r < 16; r++)
		if (g->gpr[r] != h->gpr[r])
			return names[r];
	if ((g->vmcb->save.rflags ^ h->vmcb->save.rflags) & flags)
		return "flags";
	if (g->vmcb->save.cr2 != h->vmcb->save.cr2)
		return "cr2";
	if (memcmp(g->memory + DATA, h->memory + DATA, DATA_BYTES))
		return "memory";
	if (flags == ~0ull && memcmp(g->memory, h->memory, GUEST_IDT))	/* stray stores, which may be run later */
		return "low memory";
	if (memcmp(g->memory + GUEST_STACK - 0x2000, h->memory + GUEST_STACK - 0x2000, 0x2000))
		return "stack";
	if (memcmp(area[0] + 160, area[1] + 160, 256) || memcmp(area[0] + 24, area[1] + 24, 4))
		return "vectors";
	if (memcmp(area[0] + 576, area[1] + 576, sizeof(area[0]) - 576))
		return "upper halves";
	return NULL;
}

static void report(const struct program *p, const char *what, const u64 exits[2], u64 seed, const u64 before[16], u64 flags)
{
	const struct guest *g = &machines[0], *h = &machines[1];

	fprintf(stderr, "seed %llu, mode %u: %s differs; exits %llx %llx rip %llx %llx flags %llx (before %llx) %llx %llx cr2 %llx %llx\n",
		(unsigned long long)seed, narrow * 2u + ((struct soft_cpu *)g->cpu)->translator->exact * 1024u, what, (unsigned long long)exits[0], (unsigned long long)exits[1],
		(unsigned long long)g->vmcb->save.rip, (unsigned long long)h->vmcb->save.rip, (unsigned long long)(g->vmcb->save.rflags ^ h->vmcb->save.rflags), (unsigned long long)flags,
		(unsigned long long)g->vmcb->save.rflags, (unsigned long long)h->vmcb->save.rflags,
		(unsigned long long)g->vmcb->save.cr2, (unsigned long long)h->vmcb->save.cr2);
	for (unsigned r = 0; r < 16; r++)
		fprintf(stderr, "  %2u: before %016llx translated %016llx interpreted %016llx%s\n", r, (unsigned long long)before[r],
			(unsigned long long)g->gpr[r], (unsigned long long)h->gpr[r], g->gpr[r] != h->gpr[r] ? " <--" : "");
	for (unsigned n = 0; n < 1024; n += 4)
		if (memcmp(area[0] + n, area[1] + n, 4))
			fprintf(stderr, "  XSAVE area at %u: translated %08x interpreted %08x\n", n, *(u32 *)(area[0] + n), *(u32 *)(area[1] + n));
	for (unsigned at = 0; at < p->len;) {
		struct x86_insn i;

		if (x86_decode(&i, p->bytes + at, 15, code_bits()) != X86_DECODED)
			break;
		fprintf(stderr, "  %llx %-10s", (unsigned long long)p->at + at, x86_op_name(i.op));
		for (unsigned n = 0; n < i.len; n++)
			fprintf(stderr, " %02x", i.bytes[n]);
		fprintf(stderr, "\n");
		at += i.len;
	}
}

/* So that programs that do not end are left: run_both() counts what they executed. */
static void interrupt_both(int signal)
{
	(void)signal;
	soft_interrupt(machines[0].cpu);
	soft_interrupt(machines[1].cpu);
}

static unsigned cases = 10000, first;

/* Handlers and tables as they were: stray stores may have hit them. */
static void tables_restore(struct guest *g)
{
	static u64 tables[(GUEST_TSS + 4096 - GUEST_IDT) / 8], ptes[2048];
	u64 *now = (u64 *)(g->memory + GUEST_TABLES);
	u64 changed = 0;

	if (!ptes[0]) {
		memcpy(tables, g->memory + GUEST_IDT, sizeof(tables));
		memcpy(ptes, now, sizeof(ptes));
	}
	memset(g->memory + GUEST_HANDLER, 0xf4, 256);
	memcpy(g->memory + GUEST_IDT, tables, sizeof(tables));
	for (unsigned n = 0; n < 2048; n++)
		changed |= (now[n] ^ ptes[n]) & ~0x60ull;	/* but accessed and dirty */
	if (changed) {
		memcpy(now, ptes, sizeof(ptes));
		g->vmcb->control.tlb_control = VMCB_TLB_FLUSH_ALL;
	}
}

/* Machine m did not end, and that is not its own fault: it was slow, or the other one is as long at it. */
static bool gave_up(const u64 exits[2], unsigned m)
{
	return exits[m] == VMEXIT_INTR && (executed[m] < INSTRUCTIONS_MAX || executed[!m] > INSTRUCTIONS_MAX / 4);
}

static void random_programs(unsigned programs, struct timeval tick)
{
	static struct program p;
	struct itimerval often = { tick, tick }, never = { { 0, 0 }, { 0, 0 } };
	unsigned failures = 0, faults = 0, given_up = 0;

	signal(SIGALRM, interrupt_both);
	setitimer(ITIMER_REAL, &often, NULL);

	for (unsigned n = first; n < first + programs && failures < 3; n++) {
		bool exact = n >> 10 & 1;
		u64 exits[2], seed = state, before[16], flags, mask = ~0ull;
		const char *what;

		if (n % 64 == 0)
			vectors_random();
		if (n % 1024 == 0)
			code_reset((struct soft_cpu *)machines[0].cpu);	/* translations of old code in the other mode */
		((struct soft_cpu *)machines[0].cpu)->translator->exact = exact;
		narrow = n >> 1 & 1;
		program_make(&p);
		for (unsigned m = 0; m < 2; m++) {
			memset(machines[m].memory + GUEST_CODE, 0xf4, 0x3000);	/* no old code */
			memcpy(machines[m].memory + p.at, p.bytes, p.len);
			tables_restore(&machines[m]);
		}
		state_random(p.at);
		for (unsigned m = 0; m < 2; m++) {
			struct vmcb_save *s = &machines[m].vmcb->save;

			s->ds = s->es = s->ss = guest_seg(0x10, 0xc93, ~0u, 0);
			s->fs = guest_seg(0x10, 0xc93, ~0u, 0x1234);
			s->gs = guest_seg(0x10, 0xc93, n & 4 ? ~0u : 0x102fffu, 0x800);
			s->cs = narrow ? guest_seg(0x08, 0xc9b, ~0u, 0) : guest_seg(0x28, 0xa9b, ~0u, 0);
			s->cpl = 0;
		}
		memcpy(before, machines[0].gpr, sizeof(before));
		flags = machines[0].vmcb->save.rflags;
		run_both(exits);
		if (gave_up(exits, 0) || gave_up(exits, 1)) {	/* it changed its loop */
			soft_interrupt_ack(machines[0].cpu);
			soft_interrupt_ack(machines[1].cpu);
			memcpy(machines[0].memory, machines[1].memory, GUEST_BYTES);
			memcpy(area[0], area[1], sizeof(area[0]));
			machines[0].vmcb->save.cr2 = machines[1].vmcb->save.cr2;
			given_up++;
			continue;
		}
		if (machines[0].vmcb->save.rip >= GUEST_HANDLER && machines[0].vmcb->save.rip < GUEST_HANDLER + 256) {
			faults++;
			if (!exact) {		/* dead flags may differ, in the frame too */
				u64 frame = (machines[0].vmcb->save.rsp + 16) & ~15ull;

				mask = ~X86_FLAGS_ARITH;
				for (u64 at = frame - 16; at < frame + 160; at += 8)	/* of nested faults, too */
					for (unsigned m = 0; m < 2; m++)
						if (at + 8 <= GUEST_BYTES)
							*(u64 *)(machines[m].memory + at) &= ~X86_FLAGS_ARITH;
			}
		}
		if (exits[0] == VMEXIT_SHUTDOWN && !exact)
			mask = ~X86_FLAGS_ARITH;
		/* flags that the code behind a store overwrites are dead, though the store change that code */
		if (!exact && memcmp(machines[1].memory + p.at, p.bytes, p.len))
			mask = ~X86_FLAGS_ARITH;
		what = difference(exits, mask);
		if (what) {
			failures++;
			report(&p, what, exits, seed, before, flags);
		}
		if (mask != ~0ull) {		/* later programs may read such frames */
			memcpy(machines[0].memory, machines[1].memory, GUEST_IDT);
			u64 rsp = machines[0].vmcb->save.rsp, from = rsp < 64 ? 0 : rsp - 64;

			if (from < GUEST_BYTES - 1024)
				memcpy(machines[0].memory + from, machines[1].memory + from, 1024);
		}
	}
	for (unsigned m = 0; m < 2; m++) {
		machines[m].vmcb->save.cs = guest_seg(0x28, 0xa9b, ~0u, 0);
		machines[m].vmcb->save.cpl = 0;
	}
	narrow = false;
	printf("%u programs, %u ended in faults; %llu blocks translated\n", programs, faults,
	       (unsigned long long)((struct soft_cpu *)machines[0].cpu)->counters.blocks);
	setitimer(ITIMER_REAL, &never, NULL);
	soft_interrupt_ack(machines[0].cpu);
	soft_interrupt_ack(machines[1].cpu);
	EXPECT_EQ(failures, 0);
	EXPECT(given_up < 20 + programs / 1000);
	EXPECT(((struct soft_cpu *)machines[0].cpu)->counters.blocks > programs / 4);
}

static void test_random_programs(void)
{
	random_programs(cases, (struct timeval){ 0, 20000 });
}

static void test_random_programs_that_are_interrupted(void)
{
	random_programs(cases / 10, (struct timeval){ 0, 50 });
}

/* --- code that changes, crosses pages, and is interrupted ------------------------------------------------- */

/* Run the same code on both from the same registers; the memory of both must end equal. */
static void both_with(const u8 *code, const u8 *end, u64 at, u64 rbx)
{
	u64 exits[2];
	const char *what;

	state_random(at);
	memcpy(machines[0].memory, machines[1].memory, GUEST_IDT);
	for (unsigned n = 0; n < 2; n++) {
		machines[n].gpr[X86_RBX] = rbx;
		memcpy(machines[n].memory + at, code, (size_t)(end - code));
		machines[n].vmcb->save.rip = at;
	}
	run_both(exits);
	EXPECT_EQ(exits[0], VMEXIT_HLT);
	what = difference(exits, ~0ull);
	if (what)
		fprintf(stderr, "%s differs\n", what);
	EXPECT(!what);
}

static void both(const u8 *code, const u8 *end, u64 at)
{
	both_with(code, end, at, rnd());
}

/* An instruction of the loop is overwritten by the loop itself: its immediate counts. */
CODE64(code_self, "jmp 1f; 1: xor %eax, %eax; mov $100, %ecx; jmp 2f; 2: add $1, %eax; "
		  "incb 2b+2(%rip); dec %ecx; jnz 2b; hlt")

static void test_code_that_changes_itself(void)
{
	both(code_self, code_self_end, GUEST_CODE);
	EXPECT_EQ(machines[0].vmcb->save.rax, 100 * 101 / 2 + 2 * 0);
}

/* ... through another linear address of the same page; a store in the middle of the block that it changes. */
CODE64(code_alias, "jmp 1f; 1: mov $20, %ecx; 2: movb $0x48, 3f-code_alias+0x140000; nop; 3: nop; "
		   "xor $0x08, %bl; dec %ecx; jnz 2b; hlt")

static void test_code_that_changes_by_an_alias(void)
{
	for (unsigned n = 0; n < 2; n++)
		*guest_pte(&machines[n], 0x140000) = GUEST_CODE | 7;
	both(code_alias, code_alias_end, GUEST_CODE);
	for (unsigned n = 0; n < 2; n++)
		*guest_pte(&machines[n], 0x140000) = 0x140000 | 7;
}

/* Somebody else changes the code between two runs, and tells nobody. */
CODE64(code_answer, "jmp 1f; 1: mov $1, %eax; hlt")

static void test_code_that_others_change(void)
{
	for (unsigned n = 1; n < 100; n++) {
		machines[0].memory[GUEST_CODE + 3] = (u8)n;
		machines[0].vmcb->save.rip = GUEST_CODE;
		if (n == 1)
			memcpy(machines[0].memory + GUEST_CODE, code_answer, (size_t)(code_answer_end - code_answer));
		guest_run(&machines[0]);
		EXPECT_EQ(machines[0].vmcb->save.rax, n);
	}
}

/* ... while the guest was out for a reason that may have told it: a device, an MSR of the hypervisor's, its client. */
CODE64(code_out, "jmp 1f; 1: mov $1, %ebx; out %al, $0x80; hlt")
CODE64(code_wrmsr, "jmp 1f; 1: mov $1, %ebx; wrmsr; hlt")
CODE64(code_rdpmc, "jmp 1f; 1: mov $1, %ebx; rdpmc; hlt")

static void change_between_exits(const u8 *code, const u8 *end, bool distrust, u64 exit)
{
	struct guest *g = &machines[0];

	memcpy(g->memory + GUEST_CODE, code, (size_t)(end - code));
	g->gpr[X86_RCX] = 0x40000001;
	for (unsigned n = 1; n < 20; n++) {
		g->memory[GUEST_CODE + 3] = (u8)n;
		g->vmcb->save.rip = GUEST_CODE;
		if (distrust)
			soft_distrust(g->cpu);
		EXPECT_EQ(guest_run(g), exit);
		EXPECT_EQ(g->gpr[X86_RBX], n);
	}
}

static void test_code_that_others_change_between_exits(void)
{
	struct guest *g = &machines[0];

	memset(g->iopm, 0xff, 3 * 4096);
	memset(g->msrpm, 0xff, 2 * 4096);
	guest_intercept(g, VMCB_INTERCEPT_IOIO_PROT, true);
	guest_intercept(g, VMCB_INTERCEPT_MSR_PROT, true);
	guest_intercept(g, VMCB_INTERCEPT_RDPMC, true);
	change_between_exits(code_out, code_out_end, false, VMEXIT_IOIO);
	change_between_exits(code_wrmsr, code_wrmsr_end, false, VMEXIT_MSR);
	change_between_exits(code_rdpmc, code_rdpmc_end, true, VMEXIT_RDPMC);
	guest_intercept(g, VMCB_INTERCEPT_IOIO_PROT, false);
	guest_intercept(g, VMCB_INTERCEPT_MSR_PROT, false);
	guest_intercept(g, VMCB_INTERCEPT_RDPMC, false);
}

/* Only between STAC and CLAC may the kernel read and write a page of the user's. */
CODE64(code_smap, "jmp 1f; 1: mov $50, %ecx; 2: stac; add 0x100000, %rax; stac; mov %rax, 0x100008; pushf; popq %rbx; clac; "
		  "clac; pushf; popq %rdx; add %rbx, %rdi; sub %rdx, %rdi; dec %ecx; jnz 2b; mov 0x100010, %rsi; hlt")

static void test_supervisor_access_prevention(void)
{
	for (unsigned n = 0; n < 2; n++) {
		for (u64 page = 0; page < 0x200000; page += 0x1000)
			*guest_pte(&machines[n], page) &= page == 0x100000 ? ~0ull : ~4ull;
		machines[n].vmcb->save.cr4 |= X86_CR4_SMAP;
	}
	both(code_smap, code_smap_end, GUEST_CODE);
	EXPECT(guest_is_in_handler(&machines[0], X86_PF));
	EXPECT_EQ(machines[0].vmcb->save.cr2, 0x100010);
	for (unsigned n = 0; n < 2; n++) {
		for (u64 page = 0; page < 0x200000; page += 0x1000)
			*guest_pte(&machines[n], page) |= 4;
		machines[n].vmcb->save.cr4 &= ~X86_CR4_SMAP;
		tables_restore(&machines[n]);
	}
	both(code_smap, code_smap_end, GUEST_CODE);	/* without it they are a flag */
	EXPECT(!guest_is_in_handler(&machines[0], X86_PF));
}

/* REP MOVS and REP STOS, of each size, that end on, before and behind the end of a page. */
CODE64(code_rep, "jmp 1f; 1: mov $0x101f00, %edi; mov $0x102f00, %esi; mov $0x1122334455667788, %rax; mov %ebx, %ecx; jmp 2f; "
		 "2: stc; rep movsb; mov %ebx, %ecx; rep stosq; mov %ebx, %ecx; sub $0x900, %rsi; rep movsw; mov %ebx, %ecx; "
		 "mov $0x103e00, %edi; rep stosl; mov %ebx, %ecx; lea 3(%rdi), %rsi; rep movsl; mov %ebx, %ecx; rep movsq; "
		 "mov %ebx, %ecx; rep stosw; setc %dl; mov %ebx, %ecx; std; rep stosb; cld; hlt")

static void test_repeated_strings(void)
{
	for (u32 n = 0; n < 300; n += n < 40 ? 1 : 13)
		both_with(code_rep, code_rep_end, GUEST_CODE, n);
}

/* A loop at every position around the end of a page; then its second half changes. */
CODE64(code_across, "jmp 1f; 1: mov $9, %ecx; 2: lea 0x1234567(%rax,%rcx,2), %rdx; addl $0x11223344, 0x100000; "
		    "adc %rdx, %rbx; dec %ecx; jnz 2b; hlt")

static void test_instructions_across_pages(void)
{
	for (u64 at = 0x120fc0; at <= 0x121000; at++)
		both(code_across, code_across_end, at);
}

/* Interrupts at any time: the count goes on, and nothing else has changed. */
CODE64(code_count, "jmp 1f; 1: inc %rax; lea 1(%rbx), %rbx; cmp %rdi, %rax; jb 1b; hlt")

static void test_interrupts_between_any_blocks(void)
{
	struct guest *g = &machines[0];

	memcpy(g->memory + GUEST_CODE, code_count, (size_t)(code_count_end - code_count));
	g->vmcb->save.rip = GUEST_CODE;
	g->vmcb->save.rax = 0;
	g->gpr[X86_RBX] = 5;
	g->gpr[X86_RDI] = 1000;
	for (unsigned n = 0; n < 10; n++) {
		soft_interrupt(g->cpu);
		EXPECT_EQ(guest_run(g), VMEXIT_INTR);
		soft_interrupt_ack(g->cpu);
	}
	EXPECT_EQ(guest_run(g), VMEXIT_HLT);
	EXPECT_EQ(g->vmcb->save.rax, 1000);
	EXPECT_EQ(g->gpr[X86_RBX], 1005);
}

static void *interrupt_later(void *cpu)
{
	usleep(20000);
	soft_interrupt(cpu);
	return NULL;
}

/* Loops of each kind that never end by themselves. */
CODE64(code_forever_1, "jmp 1f; 1: jmp 1b")
CODE64(code_forever_2, "jmp 1f; 1: inc %eax; jmp 2f; .skip 5000; 2: inc %ebx; jmp 1b")
CODE64(code_forever_3, "jmp 1f; 1: call 2f; jmp 1b; 2: ret")
CODE64(code_forever_4, "lea 1f(%rip), %rax; jmp 1f; 1: jmp *%rax")
CODE64(code_forever_5, "jmp 1f; 1: mov $9, %ecx; 2: loop 2b; jmp 1b")
CODE64(code_forever_6, "jmp 1f; 1: cmp %eax, %eax; je 1b; hlt")

static void test_interrupts_end_every_loop(void)
{
	static const u8 *const codes[][2] = {
		{ code_forever_1, code_forever_1_end }, { code_forever_2, code_forever_2_end },
		{ code_forever_3, code_forever_3_end }, { code_forever_4, code_forever_4_end },
		{ code_forever_5, code_forever_5_end }, { code_forever_6, code_forever_6_end },
	};
	struct guest *g = &machines[0];

	for (unsigned n = 0; n < ARRAY_LEN(codes); n++) {
		pthread_t thread;

		memcpy(g->memory + GUEST_CODE, codes[n][0], (size_t)(codes[n][1] - codes[n][0]));
		g->vmcb->save.rip = GUEST_CODE;
		g->vmcb->save.rsp = DATA + 0x1000;
		pthread_create(&thread, NULL, interrupt_later, g->cpu);
		EXPECT_EQ(guest_run(g), VMEXIT_INTR);
		pthread_join(thread, NULL);
		soft_interrupt_ack(g->cpu);
	}
}

/* More code than there is room for. */
static void test_a_full_code_memory_begins_anew(void)
{
	struct soft_cpu *c = (struct soft_cpu *)machines[0].cpu;
	u64 resets = c->counters.code_resets;

	memcpy(machines[0].memory + GUEST_CODE, code_answer, (size_t)(code_answer_end - code_answer));
	for (unsigned n = 0; n < 200000 && c->counters.code_resets == resets; n++) {
		struct guest *g = &machines[0];

		g->memory[GUEST_CODE + 3] = (u8)n;
		g->memory[GUEST_CODE + 4] = (u8)(n >> 8);
		g->vmcb->save.rip = GUEST_CODE;
		guest_run(g);
	}
	EXPECT(c->counters.code_resets > resets);
	test_code_that_others_change();
}

/* ... or than it may occupy; then it is given back, and begins anew as well. */
static u64 given_back;

static void forget(void *memory, u64 bytes)
{
	EXPECT(!((u64)memory % 4096) && !(bytes % 4096));
	memset(memory, 0, bytes);
	given_back += bytes;
}

static void test_translations_have_a_bound(void)
{
	struct soft_translator *t = ((struct soft_cpu *)machines[0].cpu)->translator;
	u64 most = 0, used = 0;

	soft_translations_bound(3 << 20);
	t->code.forget = forget;
	for (unsigned n = 0; n < 60000; n++) {
		struct guest *g = &machines[0];

		g->memory[GUEST_CODE + 3] = (u8)n;
		g->memory[GUEST_CODE + 4] = (u8)(n >> 8);
		g->vmcb->save.rip = GUEST_CODE;
		guest_run(g);
		EXPECT_EQ((u16)g->vmcb->save.rax, (u16)n);
		used = t->used + t->blocks * sizeof(t->block[0]) + t->insns * sizeof(t->insn[0]);
		most = used > most ? used : most;
	}
	EXPECT(most > 2 << 20 && most < (3 << 20) + 65536);
	EXPECT(given_back > 3 << 20);
	t->code.forget = NULL;
	soft_translations_bound(64 << 20);
	test_code_that_changes_itself();
}

int main(int argc, char **argv)
{
	u32 out[4];

	if (argc > 1)
		cases = (unsigned)strtoul(argv[1], NULL, 0);
	if (argc > 2)
		state = strtoull(argv[2], NULL, 0);
	if (argc > 3)
		first = (unsigned)strtoul(argv[3], NULL, 0);
	soft_cpuid(0xd, 0, out);
	xcr0 = out[0] & 7;
	if ((out[0] & 0xe0) == 0xe0) {
		xcr0 |= 0xe0;
		soft_cpuid(0xd, 5, out);
		opmask_at = out[1];
	}
	translate_warm_at = 0;
	machine_make(&machines[0], true);
	machine_make(&machines[1], false);
	TEST(test_random_programs);
	TEST(test_random_programs_that_are_interrupted);
	TEST(test_code_that_changes_itself);
	TEST(test_code_that_changes_by_an_alias);
	TEST(test_code_that_others_change);
	TEST(test_code_that_others_change_between_exits);
	TEST(test_supervisor_access_prevention);
	TEST(test_repeated_strings);
	TEST(test_instructions_across_pages);
	TEST(test_interrupts_between_any_blocks);
	TEST(test_interrupts_end_every_loop);
	TEST(test_a_full_code_memory_begins_anew);
	TEST(test_translations_have_a_bound);
	return test_status();
}
