// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_exec_native.c - the executor against the processor that it runs on
 *
 * Every form (operation, operands, size, place, LOCK, REP) that the decoder knows and that
 * may run in user mode is executed twice from the same random state: natively, in a stub
 * that loads and stores all sixteen registers and the flags, and by the executor, with
 * linear addresses being this process's.  Registers, flags (undefined ones included, but
 * for OF of a rotate by an immediate that is not 1, where silicon tells CL forms from
 * immediate ones) and memory must be equal.  Half of the executions go through the TLB, half
 * through the bus.
 *
 *   test_exec_native [STATES [SEED]]	states a form, default 1000
 */
#include <cpuid.h>

#include "tests/x86/native.h"
#include "x86/feature.h"

#define PER_ENCODING	50u

/* -- the executor's surroundings ------------------------------------------------------ */
static struct x86 cpu;
static struct x86_tlb tlb;
static bool use_map;

static bool in_buffer(u64 a, unsigned bytes)
{
	return a >= (uintptr_t)buffer && a + bytes <= (uintptr_t)buffer + BUFFER_BYTES;
}

static enum x86_result bus_read(struct x86 *x, u64 a, void *data, unsigned bytes, unsigned access)
{
	(void)access;
	if (!in_buffer(a, bytes))
		return x86_raise_error(x, X86_PF, 0);
	memcpy(data, (const void *)(uintptr_t)a, bytes);
	return X86_OK;
}

static enum x86_result bus_write(struct x86 *x, u64 a, const void *data, unsigned bytes,
				 unsigned access)
{
	(void)access;
	if (!in_buffer(a, bytes))
		return x86_raise_error(x, X86_PF, 0);
	memcpy((void *)(uintptr_t)a, data, bytes);
	return X86_OK;
}

static enum x86_result bus_probe(struct x86 *x, u64 a, unsigned bytes, unsigned access)
{
	(void)access;
	return in_buffer(a, bytes) ? X86_OK : x86_raise_error(x, X86_PF, 0);
}

static enum x86_result bus_map(struct x86 *x, u64 a, unsigned bytes, unsigned access, void **host)
{
	*host = use_map ? (void *)(uintptr_t)a : NULL;
	return bus_probe(x, a, bytes, access);
}

static void bus_lock(struct x86 *x) { (void)x; }
static void bus_mode_changed(struct x86 *x) { (void)x; }

static const struct x86_bus bus = {
	.read = bus_read, .write = bus_write, .probe = bus_probe, .map = bus_map, .lock = bus_lock,
	.unlock = bus_lock, .mode_changed = bus_mode_changed,
};

static void host_features(u64 *features)
{
	for (unsigned f = 1; f < X86_FEATURES; f++) {
		const struct x86_feature_bit *b = &x86_feature_cpuid[f];
		u32 r[4], max;

		max = __get_cpuid_max(b->leaf & 0x80000000, NULL);
		if (b->leaf > max)
			continue;
		__cpuid_count(b->leaf, b->subleaf, r[0], r[1], r[2], r[3]);
		if (r[b->reg] >> b->bit & 1)
			x86_feature_set(features, f);
	}
}

static void cpu_make(void)
{
	static struct x86_seg code64 = {.attr = 0xafb, .limit = ~0u},
			      data = {.attr = 0xcf3, .limit = ~0u};
	u16 selector[6];

	for (unsigned n = 0; n < 6; n++)
		cpu.seg[n] = n == X86_CS ? code64 : data;
	__asm__("mov %%es, %0" : "=r"(selector[0]));
	__asm__("mov %%cs, %0" : "=r"(selector[1]));
	__asm__("mov %%ss, %0" : "=r"(selector[2]));
	__asm__("mov %%ds, %0" : "=r"(selector[3]));
	__asm__("mov %%fs, %0" : "=r"(selector[4]));
	__asm__("mov %%gs, %0" : "=r"(selector[5]));
	for (unsigned n = 0; n < 6; n++)
		cpu.seg[n].selector = selector[n];
	cpu.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE | X86_CR0_ET | X86_CR0_MP;
	cpu.cr4 = X86_CR4_PAE;
	cpu.efer = X86_EFER_LME | X86_EFER_LMA;
	cpu.cpl = 3;
	cpu.bus = &bus;
	cpu.string_budget = ~0u;
	host_features(cpu.features);
	for (unsigned n = 0; n < X86_TLB_ENTRIES; n++)
		tlb.read[n].tag = tlb.write[n].tag = 1;
	for (u64 a = (uintptr_t)buffer; a < (uintptr_t)buffer + BUFFER_BYTES; a += PAGE_BYTES) {
		struct x86_tlb_entry e = { .tag = a, .addend = 0 };

		tlb.read[(a >> 12) % X86_TLB_ENTRIES] = tlb.write[(a >> 12) % X86_TLB_ENTRIES] = e;
	}
	cpu.rflags = 2;
	cpu.tlb = &tlb;
	x86_mode_changed(&cpu);
}

/* -- forms ---------------------------------------------------------------------------- */
struct form {
	u8  prefix;		/* 0, 66, F2 or F3 */
	bool lock, w, vex, mem;
	u8  pp;			/* VEX */
	u8  map;		/* enum x86_map */
	u8  opcode, reg;	/* reg: ModRM.reg where it was found */
	struct x86_insn insn;
};

static const u16 tested[] = {
#define T(op) X86_OP_##op
	T(ADC),	       T(ADCX),	       T(ADD),	      T(ADOX),	     T(AND),	    T(ANDN),
	T(BEXTR),      T(BLSI),	       T(BLSMSK),     T(BLSR),	     T(BSF),	    T(BSR),
	T(BSWAP),      T(BT),	       T(BTC),	      T(BTR),	     T(BTS),	    T(BZHI),
	T(CALL),       T(CBW),	       T(CLC),	      T(CLD),	     T(CLFLUSH),    T(CLFLUSHOPT),
	T(CLWB),       T(CMC),	       T(CMOVCC),     T(CMP),	     T(CMPS),	    T(CMPXCHG),
	T(CMPXCHG16B), T(CMPXCHG8B),   T(CRC32),      T(CWD),	     T(DEC),	    T(DIV),
	T(ENTER),      T(IDIV),	       T(IMUL),	      T(INC),	     T(JCC),	    T(JMP),
	T(JRCXZ),      T(LAHF),	       T(LEA),	      T(LEAVE),	     T(LFENCE),	    T(LODS),
	T(LOOP),       T(LOOPE),       T(LOOPNE),     T(LZCNT),	     T(MFENCE),	    T(MOV),
	T(MOVBE),      T(MOVDIR64B),   T(MOVDIRI),    T(MOVNTI),     T(MOVS),	    T(MOVSX),
	T(MOVSXD),     T(MOVZX),       T(MUL),	      T(MULX),	     T(NEG),	    T(NOP),
	T(NOT),	       T(OR),	       T(PDEP),	      T(PEXT),	     T(POP),	    T(POPCNT),
	T(POPF),       T(PREFETCHNTA), T(PREFETCHT0), T(PREFETCHT1), T(PREFETCHT2), T(PREFETCHW),
	T(PUSH),       T(PUSHF),       T(RCL),	      T(RCR),	     T(RET),	    T(ROL),
	T(ROR),	       T(RORX),	       T(SAHF),	      T(SAR),	     T(SARX),	    T(SBB),
	T(SCAS),       T(SETCC),       T(SFENCE),     T(SHL),	     T(SHLD),	    T(SHLX),
	T(SHR),	       T(SHRD),	       T(SHRX),	      T(STC),	     T(STD),	    T(STOS),
	T(SUB),	       T(TEST),	       T(TZCNT),      T(XADD),	     T(XCHG),	    T(XLAT),
	T(XOR),
#undef T
};

static struct form forms[4096];
static unsigned form_count;

static bool is_string(unsigned op)
{
	return op == X86_OP_MOVS || op == X86_OP_STOS || op == X86_OP_LODS || op == X86_OP_CMPS ||
	       op == X86_OP_SCAS;
}

static bool is_branch(unsigned op)
{
	return op == X86_OP_JCC || op == X86_OP_JMP || op == X86_OP_CALL || op == X86_OP_RET ||
	       op == X86_OP_JRCXZ || op == X86_OP_LOOP || op == X86_OP_LOOPE || op == X86_OP_LOOPNE;
}

/* The opcode, without the register in it. */
static unsigned opcode_of(const struct x86_insn *i)
{
	bool one = i->encoding == X86_MAP_1, two = i->encoding == X86_MAP_0F;
	unsigned row = i->opcode & 0xf0u;

	if ((one && (row == 0x50 || row == 0xb0 || (i->opcode & 0xf8) == 0x90)) ||
	    (two && (i->opcode & 0xf8) == 0xc8))
		return i->opcode & 0xf8u;
	return i->opcode;
}

static bool same_form(const struct x86_insn *a, const struct x86_insn *b)
{
	return a->op == b->op && a->form == b->form && a->op_bytes == b->op_bytes &&
	       a->src_bytes == b->src_bytes && opcode_of(a) == opcode_of(b) &&
	       a->encoding == b->encoding && (a->flags & X86_F_MEM) == (b->flags & X86_F_MEM) &&
	       (a->prefixes & X86_P_LOCK) == (b->prefixes & X86_P_LOCK) &&
	       (!is_string(a->op) || a->prefixes == b->prefixes);
}

static bool is_tested(const struct form *f)
{
	const struct x86_insn *i = &f->insn;

	if (i->op == X86_OP_MOV && (i->form == X86_R_C || i->form == X86_C_R ||
				    i->form == X86_R_D || i->form == X86_D_R || i->form == X86_S_E))
		return false;
	if (i->op == X86_OP_POP && i->form == X86_S)
		return false;
	if (is_branch(i->op) && (f->prefix || f->w))	/* AMD and Intel differ */
		return false;
	if (i->op == X86_OP_JMP && f->vex)
		return false;
	if (i->flags & X86_F_VECTOR)
		return false;
	if (!x86_feature_is_set(cpu.features, x86_insn_feature(i)))
		return false;
	for (unsigned n = 0; n < ARRAY_LEN(tested); n++)
		if (tested[n] == i->op)
			return true;
	return false;
}

/*
 * Bytes of one encoding of f.  reg, rm and so on are four bits; sib picks base + index.
 * Returns false if it does not decode to f's form.
 */
struct encoding {
	unsigned reg, rm, base, index, scale, vvvv, mod;
	bool adsize;
	u32 disp;
	u64 imm;
};

static bool encode(const struct form *f, const struct encoding *e, u8 *bytes, struct x86_insn *i)
{
	unsigned n = 0, rm = f->mem ? e->base : e->rm, x = f->mem ? e->index : 0;

	memset(bytes, 0, 32);
	if (e->adsize)
		bytes[n++] = 0x67;
	if (f->lock)
		bytes[n++] = 0xf0;
	if (f->prefix)
		bytes[n++] = f->prefix;
	if (f->vex) {
		bytes[n++] = 0xc4;
		bytes[n++] = (u8)((~e->reg & 8) << 4 | (~x & 8) << 3 | (~rm & 8) << 2 | f->map);
		bytes[n++] = (u8)(f->w << 7 | (~e->vvvv & 15) << 3 | f->pp);
	} else {
		u8 rex = (u8)(0x40 | f->w << 3 | (e->reg & 8) >> 1 | (x & 8) >> 2 | (rm & 8) >> 3);

		if (rex != 0x40 || random_below(2))
			bytes[n++] = rex;
		if (f->map != X86_MAP_1)
			bytes[n++] = 0x0f;
		if (f->map == X86_MAP_0F38)
			bytes[n++] = 0x38;
		if (f->map == X86_MAP_0F3A)
			bytes[n++] = 0x3a;
	}
	bytes[n++] = f->opcode;
	if (x86_decode(i, bytes, 15, 64) == X86_DECODED && !(i->flags & X86_F_MODRM)) {
		memcpy(bytes + n, &e->imm, 8);		/* no ModRM */
		bytes[n - 1] = (u8)((f->opcode & 0xf8) | (e->rm & 7));
		if (x86_decode(i, bytes, 15, 64) != X86_DECODED || !same_form(&f->insn, i))
			bytes[n - 1] = f->opcode;
	} else if (f->mem) {
		if (e->mod == 0 && (e->base & 7) == 5)
			return false;
		bytes[n++] = (u8)(e->mod << 6 | (e->reg & 7) << 3 | 4);
		bytes[n++] = (u8)(e->scale << 6 | (e->index & 7) << 3 | (e->base & 7));
		if (e->mod == 1) {
			bytes[n++] = (u8)e->disp;
		} else if (e->mod == 2) {
			memcpy(bytes + n, &e->disp, 4);
			n += 4;
		}
		memcpy(bytes + n, &e->imm, 8);
	} else {
		bytes[n++] = (u8)(0xc0 | (e->reg & 7) << 3 | (e->rm & 7));
		memcpy(bytes + n, &e->imm, 8);
	}
	if (x86_decode(i, bytes, 15, 64) != X86_DECODED)
		return false;
	return same_form(&f->insn, i);
}

static void form_try(const struct form *candidate)
{
	struct form f = *candidate;
	struct encoding e = {
		.reg = f.reg, .rm = 1, .base = 3, .index = 1, .mod = 2, .disp = 0x10, .vvvv = 1};
	struct x86_insn i;
	u8 bytes[32];

	memset(&f.insn, 0, sizeof f.insn);
	encode(&f, &e, bytes, &i);			/* for the decoded record only */
	if (f.vex && x86_decode(&f.insn, bytes, 15, 64) != X86_DECODED) {
		e.vvvv = 0;				/* VEX.vvvv must say that it is not used */
		encode(&f, &e, bytes, &i);
	}
	if (x86_decode(&f.insn, bytes, 15, 64) != X86_DECODED || !is_tested(&f))
		return;
	if (!!(f.insn.flags & X86_F_MEM) != f.mem && (f.insn.flags & X86_F_MODRM))
		return;
	if (!(f.insn.flags & X86_F_MODRM) && f.mem)
		return;
	for (unsigned n = 0; n < form_count; n++)
		if (same_form(&forms[n].insn, &f.insn))
			return;
	if (form_count < ARRAY_LEN(forms))
		forms[form_count++] = f;
}

static void forms_find(void)
{
	static const u8 prefixes[] = { 0, 0x66, 0xf2, 0xf3 };
	struct form f = { 0 };

	for (unsigned vex = 0; vex < 2; vex++)
	for (unsigned map = vex ? X86_MAP_0F : X86_MAP_1; map <= X86_MAP_0F3A; map++)
	for (unsigned opcode = 0; opcode < 256; opcode++)
	for (unsigned p = 0; p < 4; p++)
	for (unsigned w = 0; w < 2; w++)
	for (unsigned place = 0; place < 3; place++)
	for (unsigned reg = 0; reg < 8; reg++) {
		bool is_prefix =
			map == X86_MAP_1 &&
			((opcode & 0xe7) == 0x26 || (opcode & 0xf0) == 0x40 ||
			 (opcode & 0xfc) == 0x64 || opcode == 0xf0 || (opcode & 0xfe) == 0xf2 ||
			 opcode == 0x0f || opcode == 0xc4 || opcode == 0xc5 || opcode == 0x62);

		if (is_prefix || (vex && place == 2))
			continue;
		f = (struct form){.prefix = vex ? 0 : prefixes[p],
				  .lock = place == 2,
				  .w = w,
				  .vex = vex,
				  .mem = place > 0,
				  .pp = (u8)(p == 0   ? 0
					     : p == 1 ? 1
					     : p == 2 ? 3
						      : 2),
				  .map = (u8)map,
				  .opcode = (u8)opcode,
				  .reg = (u8)reg};
		form_try(&f);
	}
}

/* -- states --------------------------------------------------------------------------- */
#define ARITH	0x8d5u

static u64 buffer_address(unsigned margin)
{
	/* near the page boundary often */
	if (random_below(4) == 0)
		return (uintptr_t)buffer + MIDDLE - random_below(20);
	return (uintptr_t)buffer + margin + random_below(BUFFER_BYTES - 2 * margin);
}

/* Random registers, then what this instruction needs to stay in the buffer. */
static void state_make(const struct form *f, const struct encoding *e, const struct x86_insn *i,
		       u64 *gpr, u64 *flags)
{
	bool bit_string = f->mem && i->form == X86_E_G &&
			  (i->op == X86_OP_BT || i->op == X86_OP_BTS || i->op == X86_OP_BTR ||
			   i->op == X86_OP_BTC);
	unsigned step = 0;

	for (unsigned n = 0; n < 16; n++)
		gpr[n] = random_value();
	*flags = (random_u64() & ARITH) | 0x202;
	if (is_string(i->op) || random_below(8) == 0)
		*flags |= random_u64() & X86_FLAG_DF;
	gpr[X86_RSP] = ((uintptr_t)buffer + 1024 + random_below(BUFFER_BYTES - 2048)) & ~7ull;
	if (is_string(i->op)) {
		gpr[X86_RSI] = (uintptr_t)buffer + 1024 + random_below(BUFFER_BYTES - 2048);
		gpr[X86_RDI] = random_below(2) ? gpr[X86_RSI] + random_below(64) - 32
					       : (uintptr_t)buffer + 1024 +
							 random_below(BUFFER_BYTES - 2048);
		gpr[X86_RCX] = random_below(100);
	}
	if (i->op == X86_OP_DIV || i->op == X86_OP_IDIV) {
		switch (random_below(4)) {
		case 0: gpr[X86_RDX] = 0; break;
		case 1: gpr[X86_RDX] = (u64)((s64)gpr[X86_RAX] >> 63); break;
		case 2: gpr[X86_RDX] = random_u64() >> 40; break;
		}
		if (i->op_bytes == 1 && random_below(2))
			gpr[X86_RAX] &= 0x7ff;
		if (i->op_bytes == 4 && random_below(2))
			gpr[X86_RDX] = (u64)((s32)gpr[X86_RAX] >> 31);
	}
	if (i->op == X86_OP_XLAT)
		gpr[X86_RBX] = (uintptr_t)buffer + 1024 + random_below(4096);
	if (i->op == X86_OP_ENTER || i->op == X86_OP_LEAVE)
		gpr[X86_RBP] = ((uintptr_t)buffer + 2048 + random_below(4096));
	if ((i->op == X86_OP_LOOP || i->op == X86_OP_LOOPE || i->op == X86_OP_LOOPNE ||
	     i->op == X86_OP_JRCXZ) &&
	    random_below(2))
		gpr[X86_RCX] = random_below(3);
	if (i->op == X86_OP_MOVDIR64B)
		gpr[i->reg] = ((uintptr_t)buffer + 1024 + random_below(4096)) & ~63ull;
	if (bit_string) {
		gpr[i->reg] = (u64)(s64)((int)random_below(4096) - 2048);
		if (i->op_bytes == 2)
			gpr[i->reg] = (u16)gpr[i->reg] | (random_u64() << 16);
	}
	if (f->mem) {
		u64 target = buffer_address(1024), mask = e->adsize ? 0xffffffff : ~0ull;
		u64 disp = e->mod == 0	 ? 0
			   : e->mod == 1 ? (u64)(s64)(s8)e->disp
					 : (u64)(s64)(s32)e->disp;
		bool index = e->index != 4;

		if (i->op == X86_OP_CMPXCHG16B)
			target &= ~15ull;
		if (index && e->index != i->reg)
			gpr[e->index] = random_below(64);
		if (i->op == X86_OP_POP && e->base == X86_RSP)
			step = i->op_bytes;
		gpr[e->base] =
			(target - disp - step - (index ? gpr[e->index] << e->scale : 0)) & mask;
		if (e->adsize && e->base != X86_RSP)
			gpr[e->base] |= random_u64() << 32;
	}
}

/* What must be in memory, or equal, for anything interesting to happen. */
static void state_finish(const struct form *f, const struct x86_insn *i, u64 *gpr)
{
	struct x86 tmp = cpu;
	u8 *at;

	memcpy(tmp.gpr, gpr, sizeof tmp.gpr);
	tmp.rip = (uintptr_t)insn_at;
	at = (u8 *)(uintptr_t)x86_effective_address(&tmp, i);
	if (i->op == X86_OP_CMPXCHG && f->mem && random_below(2))
		memcpy(at, &gpr[X86_RAX], i->op_bytes);
	if ((i->op == X86_OP_CMPXCHG8B || i->op == X86_OP_CMPXCHG16B) && random_below(2)) {
		unsigned half = i->op == X86_OP_CMPXCHG8B ? 4 : 8;

		memcpy(at, &gpr[X86_RAX], half);
		memcpy(at + half, &gpr[X86_RDX], half);
	}
	if (i->op == X86_OP_POPF) {
		u64 v = (random_u64() & (ARITH | X86_FLAG_DF | X86_FLAG_ID)) | 0x202;

		memcpy((void *)(uintptr_t)gpr[X86_RSP], &v, 8);
	}
	if (i->op == X86_OP_RET)
		memcpy((void *)(uintptr_t)gpr[X86_RSP], &taken_at, 8);
	if ((i->op == X86_OP_JMP || i->op == X86_OP_CALL) && i->form == X86_E) {
		if (f->mem)
			memcpy(at, &taken_at, 8);
		else
			gpr[i->rm] = (uintptr_t)taken_at;
	}
}

static bool encoding_make(const struct form *f, struct encoding *e, u8 *bytes, struct x86_insn *i)
{
	for (unsigned attempt = 0; attempt < 200; attempt++) {
		*e = (struct encoding){
			.reg = random_below(16),
			.rm = random_below(16),
			.base = random_below(16),
			.index = random_below(16),
			.scale = random_below(4),
			.vvvv = random_below(16),
			.mod = random_below(3),
			.disp = (u32)random_below(512) - 256,
			.imm = random_value(),
			.adsize = random_below(5) == 0,
		};
		if (attempt % 2)
			e->reg = (e->reg & 8) | f->reg;
		if (attempt % 4 == 2)
			e->reg = f->reg, e->vvvv = 0;
		if (f->insn.op == X86_OP_ENTER)
			e->imm = random_below(256) | (u64)random_below(6) << 16;
		if (f->insn.form == X86_J)
			e->imm = 5;
		if (f->insn.form == X86_A_MOFFS || f->insn.form == X86_MOFFS_A)
			e->imm = buffer_address(64);
		if (is_branch(f->insn.op))
			e->adsize = e->adsize &&
				    (f->insn.op != X86_OP_JMP && f->insn.op != X86_OP_CALL);
		if (f->mem && (e->index == e->base || (e->index & 15) == 4))
			continue;
		if (!encode(f, e, bytes, i))
			continue;
		if (f->mem && i->op != X86_OP_LEA && (i->reg & 15) == e->base &&
		    (f->insn.form == X86_E_G || i->op == X86_OP_MOVDIR64B))
			continue;
		if (f->mem && (i->reg & 15) == e->index)
			continue;
		if (i->op == X86_OP_CALL && i->form == X86_E && !f->mem && i->rm == X86_RSP)
			continue;			/* RSP cannot be a target and a stack */
		if (i->op == X86_OP_LEAVE || i->op == X86_OP_ENTER || !f->mem ||
		    e->base != X86_RSP || !e->adsize)
			return true;
	}
	return false;
}

/* -- comparison ----------------------------------------------------------------------- */
static unsigned differences;
static u64 executed, faults;
static unsigned by_op[X86_OPS];

static void report(const struct form *f, const struct x86_insn *i, const char *what, u64 ours,
		   u64 theirs, u64 in)
{
	(void)f;
	test_failures++;
	by_op[i->op]++;
	if (differences++ > 10)
		return;
	fprintf(stderr, "%s (", x86_op_name(i->op));
	for (unsigned n = 0; n < i->len; n++)
		fprintf(stderr, "%s%02x", n ? " " : "", i->bytes[n]);
	fprintf(stderr, ", %u bytes): %s is %#llx, natively %#llx, was %#llx\n", i->op_bytes, what,
		(unsigned long long)ours, (unsigned long long)theirs, (unsigned long long)in);
}

/* Flags that need not be equal. */
static u64 undefined_flags(const struct x86_insn *i)
{
	bool rotate = i->op == X86_OP_ROL || i->op == X86_OP_ROR || i->op == X86_OP_RCL ||
		      i->op == X86_OP_RCR;
	unsigned count = i->imm & (i->op_bytes == 8 ? 63 : 31);

	return rotate && i->form == X86_E_I && count != 1 ? X86_FLAG_OF : 0;
}

static void compare(const struct form *f, const struct x86_insn *i, enum x86_result r,
		    const u8 *memory)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

	if (faulted || r) {
		faults++;
		if (!faulted || r != X86_FAULT || cpu.fault.vector != X86_DE)
			report(f, i, "result (a fault's vector)",
			       r == X86_FAULT ? cpu.fault.vector : 256 + r, faulted, 0);
		for (unsigned n = 0; n < 16; n++)
			if (cpu.gpr[n] != native->in[n])
				report(f, i, names[n], cpu.gpr[n], native->in[n], native->in[n]);
		if (cpu.rflags != native->in_flags)
			report(f, i, "rflags", cpu.rflags, native->in_flags, native->in_flags);
		return;
	}
	for (unsigned n = 0; n < 16; n++)
		if (cpu.gpr[n] != native->out[n])
			report(f, i, names[n], cpu.gpr[n], native->out[n], native->in[n]);
	if ((cpu.rflags ^ native->out_flags) & ~undefined_flags(i))
		report(f, i, "rflags", cpu.rflags, native->out_flags, native->in_flags);
	for (unsigned n = 0; n < BUFFER_BYTES; n++)
		if (buffer[n] != memory[n]) {
			report(f, i, "memory", buffer[n], memory[n], n);
			break;
		}
	if (is_branch(i->op)) {
		bool taken = cpu.rip == (uintptr_t)taken_at ||
			     cpu.rip == (uintptr_t)insn_at + i->len + 5;

		if (taken != native->taken)
			report(f, i, "branch taken", taken, native->taken, native->in_flags);
	} else if (cpu.rip != (uintptr_t)insn_at + i->len) {
		report(f, i, "rip", cpu.rip, (uintptr_t)insn_at + i->len, 0);
	}
}

static void state_run(const struct form *f, const struct encoding *e, struct x86_insn *i)
{
	static u8 before[BUFFER_BYTES], memory[BUFFER_BYTES];
	enum x86_result r;

	for (unsigned n = 0; n < 16; n++) {
		unsigned at = random_below(BUFFER_BYTES / 8) * 8;
		u64 v = random_value();

		memcpy(buffer + at, &v, 8);
	}
	state_make(f, e, i, native->in, &native->in_flags);
	state_finish(f, i, native->in);
	memcpy(before, buffer, BUFFER_BYTES);
	native_run();
	memcpy(memory, buffer, BUFFER_BYTES);
	memcpy(buffer, before, BUFFER_BYTES);

	memcpy(cpu.gpr, native->in, sizeof cpu.gpr);
	cpu.rflags = native->in_flags;
	cpu.rip = (uintptr_t)insn_at;
	cpu.tlb = random_below(2) ? &tlb : &x86_tlb_empty;
	use_map = random_below(2);
	r = x86_execute(&cpu, i);
	executed++;
	compare(f, i, r, memory);
}

static unsigned states = 1000, unencodable;

static void form_test(const struct form *f)
{
	for (unsigned n = 0; n < states; n += PER_ENCODING) {
		struct encoding e;
		struct x86_insn i;
		u8 bytes[32];

		if (!encoding_make(f, &e, bytes, &i)) {
			unencodable++;
			fprintf(stderr, "no encoding of %s opcode %02x\n", x86_op_name(f->insn.op),
				f->opcode);
			return;
		}
		i.exec = x86_bind(&cpu, &i);
		stub_put(bytes, i.len);
		for (unsigned s = 0; s < PER_ENCODING; s++)
			state_run(f, &e, &i);
	}
}

/* What of the tested instructions not every processor has. */
static unsigned op_feature(unsigned op)
{
	switch (op) {
	case X86_OP_ADCX: case X86_OP_ADOX: return X86_FEATURE_ADX;
	case X86_OP_ANDN: case X86_OP_BEXTR: case X86_OP_BLSI: case X86_OP_BLSMSK: case X86_OP_BLSR:
	case X86_OP_TZCNT: return X86_FEATURE_BMI1;
	case X86_OP_BZHI: case X86_OP_MULX: case X86_OP_PDEP: case X86_OP_PEXT: case X86_OP_RORX:
	case X86_OP_SARX: case X86_OP_SHLX: case X86_OP_SHRX: return X86_FEATURE_BMI2;
	case X86_OP_CLFLUSHOPT: return X86_FEATURE_CLFLUSHOPT;
	case X86_OP_CLWB: return X86_FEATURE_CLWB;
	case X86_OP_CMPXCHG16B: return X86_FEATURE_CX16;
	case X86_OP_CRC32: return X86_FEATURE_SSE42;
	case X86_OP_LZCNT: return X86_FEATURE_LZCNT;
	case X86_OP_MOVBE: return X86_FEATURE_MOVBE;
	case X86_OP_MOVDIR64B: return X86_FEATURE_MOVDIR64B;
	case X86_OP_MOVDIRI: return X86_FEATURE_MOVDIRI;
	case X86_OP_POPCNT: return X86_FEATURE_POPCNT;
	case X86_OP_LAHF: case X86_OP_SAHF: return X86_FEATURE_LAHF;
	default: return X86_FEATURE_NONE;
	}
}

static void every_form_as_the_silicon(void)
{
	for (unsigned n = 0; n < form_count; n++)
		form_test(&forms[n]);
	for (unsigned op = 0; op < X86_OPS; op++)
		if (by_op[op])
			fprintf(stderr, "%s: %u differences\n", x86_op_name(op), by_op[op]);
	EXPECT_EQ(unencodable, 0);
	EXPECT_EQ(differences, 0);
	EXPECT(faults > 0);
	EXPECT(form_count > 1000);
	for (unsigned n = 0; n < ARRAY_LEN(tested); n++) {
		bool found = !x86_feature_is_set(cpu.features, op_feature(tested[n]));

		for (unsigned m = 0; m < form_count; m++)
			found |= forms[m].insn.op == tested[n];
		if (!found)
			fprintf(stderr, "no form of %s\n", x86_op_name(tested[n]));
		EXPECT(found);
	}
	printf("     %u forms, %llu states (%llu of them #DE), %u differences\n", form_count,
	       (unsigned long long)executed, (unsigned long long)faults, differences);
}

/* -- instructions that only 32-bit code has ------------------------------------------- */
static void compare_32(const struct x86_insn *i, enum x86_result r, u64 undefined)
{
	bool ours = r == X86_FAULT && cpu.fault.vector == X86_DE;

	executed++;
	if (faulted || r) {
		faults++;
		if (ours != faulted)
			report(NULL, i, "#DE", ours, faulted, 0);
		return;
	}
	for (unsigned n = 0; n < 8; n++)
		if ((u32)cpu.gpr[n] != (u32)native->out[n])
			report(NULL, i, "register", (u32)cpu.gpr[n], (u32)native->out[n],
			       (u32)native->in[n]);
	if ((cpu.rflags ^ native->out_flags) & ~undefined)
		report(NULL, i, "rflags", cpu.rflags, native->out_flags, native->in_flags);
}

static void instructions_of_32_bit_code(void)
{
	static const struct { u8 bytes[3], len; u64 undefined;
	} table[] = {
		{{0x27}, 1, X86_FLAG_OF},
		{{0x2f}, 1, X86_FLAG_OF},
		{{0x37}, 1, X86_FLAG_OF | X86_FLAG_SF | X86_FLAG_ZF | X86_FLAG_PF},
		{{0x3f}, 1, X86_FLAG_OF | X86_FLAG_SF | X86_FLAG_ZF | X86_FLAG_PF},
		{{0xd4, 0x0a}, 2, X86_FLAG_OF | X86_FLAG_CF | X86_FLAG_AF},
		{{0xd4, 0x00}, 2, 0},
		{{0xd4, 0x91}, 2, X86_FLAG_OF | X86_FLAG_CF | X86_FLAG_AF},
		{{0xd5, 0x0a}, 2, X86_FLAG_OF | X86_FLAG_CF | X86_FLAG_AF},
		{{0xd5, 0xc3},
		 2,
		 X86_FLAG_OF | X86_FLAG_CF | X86_FLAG_AF}, /* undefined, yet equal on Intel's */
		{{0xd6}, 1, 0},
		{{0x40}, 1, 0},
		{{0x47}, 1, 0},
		{{0x4b}, 1, 0},
		{{0x66, 0x41}, 2, 0},
		{{0x66, 0x4e}, 2, 0},
		{{0x60, 0x61}, 1, 0},
		{{0x82, 0xc4, 0x77}, 3, 0},
		{{0x82, 0xd9, 0x80}, 3, 0},
	};
	struct x86_seg code32 = { .attr = 0xcfb, .limit = ~0u, .selector = USER_CS_32 };
	unsigned before = differences;

	executed = faults = 0;
	cpu.seg[X86_CS] = code32;
	cpu.tlb = &tlb;
	x86_mode_changed(&cpu);
	for (unsigned n = 0; n < ARRAY_LEN(table); n++) {
		bool pusha = table[n].bytes[0] == 0x60;
		u8 bytes[16] = { 0 };
		struct x86_insn i;

		memcpy(bytes, table[n].bytes, 3);
		EXPECT_EQ(x86_decode(&i, bytes, 15, 32), X86_DECODED);
		EXPECT_EQ(i.len, table[n].len);
		i.exec = x86_bind(&cpu, &i);
		stub_put_32(bytes, pusha ? 2 : table[n].len);	/* PUSHA needs its POPA to return */
		for (unsigned s = 0; s < states; s++) {
			enum x86_result r;

			for (unsigned g = 0; g < 16; g++)
				native->in[g] = (u32)random_value();
			native->in[X86_RSP] = (uintptr_t)buffer + 512;
			native->in_flags = (random_u64() & ARITH) | 0x202;
			native_run();
			memcpy(cpu.gpr, native->in, sizeof cpu.gpr);
			cpu.rflags = native->in_flags;
			cpu.rip = (uintptr_t)insn32_at;
			r = x86_execute(&cpu, &i);
			if (pusha) {
				EXPECT_EQ(r, X86_OK);
				EXPECT_EQ(cpu.gpr[X86_RSP], native->in[X86_RSP] - 32);
				EXPECT_EQ(*(u32 *)(void *)(buffer + 512 - 20),
					  (u32)native->in[X86_RSP]);
				EXPECT_EQ(*(u32 *)(void *)(buffer + 512 - 32),
					  (u32)native->in[X86_RDI]);
				executed++;
				continue;
			}
			compare_32(&i, r, table[n].undefined);
		}
	}
	EXPECT_EQ(differences, before);
	printf("     %zu forms, %llu states (%llu of them #DE), %u differences\n", ARRAY_LEN(table),
	       (unsigned long long)executed, (unsigned long long)faults, differences - before);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		states = (unsigned)strtoul(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0) | 1;
	if (!native_init()) {
		TEST_SKIP("every_form_as_the_silicon", "no memory that is writable and executable");
		return 0;
	}
	cpu_make();
	forms_find();
	TEST(every_form_as_the_silicon);
	TEST(instructions_of_32_bit_code);
	return test_status();
}
