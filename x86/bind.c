// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bind.c - choose the handler of a decoded instruction
 *
 * What can be known beforehand is decided here, once: an instruction whose feature the
 * processor lacks, or that must not be locked, is bound to #UD.
 */
#include "x86/operand.h"
#include "x86/semantics.h"

HANDLER(x86_exec_ud) { return x86_raise(x, X86_UD); }
HANDLER(x86_exec_nop) { return X86_OK; }

typedef x86_exec_fn (*bind_fn)(const struct x86_insn *i);

static x86_exec_fn bind_nop(const struct x86_insn *i) { (void)i; return x86_exec_nop; }

#define BINDS(OP, binder) [X86_OP_##OP] = binder
static const bind_fn binders[X86_OPS] = {
	BINDS(ADD, x86_bind_alu), BINDS(OR, x86_bind_alu), BINDS(ADC, x86_bind_alu),
	BINDS(SBB, x86_bind_alu), BINDS(AND, x86_bind_alu), BINDS(SUB, x86_bind_alu),
	BINDS(XOR, x86_bind_alu), BINDS(CMP, x86_bind_alu), BINDS(TEST, x86_bind_alu),
	BINDS(INC, x86_bind_alu), BINDS(DEC, x86_bind_alu), BINDS(NEG, x86_bind_alu),
	BINDS(NOT, x86_bind_alu), BINDS(XADD, x86_bind_alu), BINDS(CMPXCHG, x86_bind_alu),
	BINDS(CMPXCHG8B, x86_bind_lock), BINDS(CMPXCHG16B, x86_bind_lock),

	BINDS(MOV, x86_bind_move), BINDS(MOVNTI, x86_bind_move), BINDS(MOVDIRI, x86_bind_move),
	BINDS(MOVZX, x86_bind_move), BINDS(MOVSX, x86_bind_move), BINDS(MOVSXD, x86_bind_move),
	BINDS(LEA, x86_bind_move), BINDS(CMOVCC, x86_bind_move), BINDS(SETCC, x86_bind_move),
	BINDS(XCHG, x86_bind_move), BINDS(BSWAP, x86_bind_move), BINDS(MOVBE, x86_bind_move),
	BINDS(CBW, x86_bind_move), BINDS(CWD, x86_bind_move), BINDS(XLAT, x86_bind_move),
	BINDS(MOVDIR64B, x86_bind_move),

	BINDS(ROL, x86_bind_shift), BINDS(ROR, x86_bind_shift), BINDS(RCL, x86_bind_shift),
	BINDS(RCR, x86_bind_shift), BINDS(SHL, x86_bind_shift), BINDS(SHR, x86_bind_shift),
	BINDS(SAR, x86_bind_shift), BINDS(SHLD, x86_bind_shift), BINDS(SHRD, x86_bind_shift),
	BINDS(RORX, x86_bind_shift), BINDS(SARX, x86_bind_shift), BINDS(SHLX, x86_bind_shift),
	BINDS(SHRX, x86_bind_shift),

	BINDS(MUL, x86_bind_multiply), BINDS(IMUL, x86_bind_multiply),
	BINDS(MULX, x86_bind_multiply), BINDS(DIV, x86_bind_multiply),
	BINDS(IDIV, x86_bind_multiply), BINDS(DAA, x86_bind_multiply),
	BINDS(DAS, x86_bind_multiply), BINDS(AAA, x86_bind_multiply),
	BINDS(AAS, x86_bind_multiply), BINDS(AAM, x86_bind_multiply),
	BINDS(AAD, x86_bind_multiply),

	BINDS(BT, x86_bind_bit), BINDS(BTS, x86_bind_bit), BINDS(BTR, x86_bind_bit),
	BINDS(BTC, x86_bind_bit), BINDS(BSF, x86_bind_bit), BINDS(BSR, x86_bind_bit),
	BINDS(TZCNT, x86_bind_bit), BINDS(LZCNT, x86_bind_bit), BINDS(POPCNT, x86_bind_bit),
	BINDS(ADCX, x86_bind_bit), BINDS(ADOX, x86_bind_bit), BINDS(ANDN, x86_bind_bit),
	BINDS(PDEP, x86_bind_bit), BINDS(PEXT, x86_bind_bit), BINDS(BEXTR, x86_bind_bit),
	BINDS(BZHI, x86_bind_bit), BINDS(BLSR, x86_bind_bit), BINDS(BLSI, x86_bind_bit),
	BINDS(BLSMSK, x86_bind_bit), BINDS(CRC32, x86_bind_bit), BINDS(RDRAND, x86_bind_bit),
	BINDS(RDSEED, x86_bind_bit),

	BINDS(MOVS, x86_bind_string), BINDS(STOS, x86_bind_string), BINDS(LODS, x86_bind_string),
	BINDS(CMPS, x86_bind_string), BINDS(SCAS, x86_bind_string), BINDS(INS, x86_bind_string),
	BINDS(OUTS, x86_bind_string),

	BINDS(PUSH, x86_bind_stack), BINDS(POP, x86_bind_stack), BINDS(PUSHA, x86_bind_stack),
	BINDS(POPA, x86_bind_stack), BINDS(PUSHF, x86_bind_stack), BINDS(POPF, x86_bind_stack),
	BINDS(ENTER, x86_bind_stack), BINDS(LEAVE, x86_bind_stack),

	BINDS(JCC, x86_bind_branch), BINDS(JMP, x86_bind_branch), BINDS(CALL, x86_bind_branch),
	BINDS(RET, x86_bind_branch), BINDS(JRCXZ, x86_bind_branch), BINDS(LOOP, x86_bind_branch),
	BINDS(LOOPE, x86_bind_branch), BINDS(LOOPNE, x86_bind_branch),

	BINDS(CALLF, x86_bind_far), BINDS(JMPF, x86_bind_far), BINDS(RETF, x86_bind_far),
	BINDS(IRET, x86_bind_far), BINDS(INT, x86_bind_far), BINDS(INT3, x86_bind_far),
	BINDS(INTO, x86_bind_far), BINDS(INT1, x86_bind_far), BINDS(BOUND, x86_bind_far),

	BINDS(CLC, x86_bind_flag), BINDS(STC, x86_bind_flag), BINDS(CMC, x86_bind_flag),
	BINDS(CLD, x86_bind_flag), BINDS(STD, x86_bind_flag), BINDS(LAHF, x86_bind_flag),
	BINDS(SAHF, x86_bind_flag), BINDS(SALC, x86_bind_flag), BINDS(CLI, x86_bind_flag),
	BINDS(STI, x86_bind_flag), BINDS(CLAC, x86_bind_flag), BINDS(STAC, x86_bind_flag),

	BINDS(LES, x86_bind_segment), BINDS(LDS, x86_bind_segment), BINDS(LSS, x86_bind_segment),
	BINDS(LFS, x86_bind_segment), BINDS(LGS, x86_bind_segment), BINDS(LAR, x86_bind_segment),
	BINDS(LSL, x86_bind_segment), BINDS(VERR, x86_bind_segment),
	BINDS(VERW, x86_bind_segment), BINDS(ARPL, x86_bind_segment),
	BINDS(SGDT, x86_bind_segment), BINDS(SIDT, x86_bind_segment),
	BINDS(LGDT, x86_bind_segment), BINDS(LIDT, x86_bind_segment),
	BINDS(SLDT, x86_bind_segment), BINDS(STR, x86_bind_segment),
	BINDS(LLDT, x86_bind_segment), BINDS(LTR, x86_bind_segment),
	BINDS(SWAPGS, x86_bind_segment), BINDS(RDFSBASE, x86_bind_segment),
	BINDS(RDGSBASE, x86_bind_segment), BINDS(WRFSBASE, x86_bind_segment),
	BINDS(WRGSBASE, x86_bind_segment),

	BINDS(CLTS, x86_bind_control), BINDS(LMSW, x86_bind_control),
	BINDS(SMSW, x86_bind_control), BINDS(XGETBV, x86_bind_control),
	BINDS(XSETBV, x86_bind_control), BINDS(RDPKRU, x86_bind_control),
	BINDS(WRPKRU, x86_bind_control),

	BINDS(SYSCALL, x86_bind_syscall), BINDS(SYSRET, x86_bind_syscall),
	BINDS(SYSENTER, x86_bind_syscall), BINDS(SYSEXIT, x86_bind_syscall),

	BINDS(IN, x86_bind_system), BINDS(OUT, x86_bind_system), BINDS(CPUID, x86_bind_system),
	BINDS(RDTSC, x86_bind_system), BINDS(RDTSCP, x86_bind_system),
	BINDS(RDPID, x86_bind_system), BINDS(RDPMC, x86_bind_system),
	BINDS(RDMSR, x86_bind_system), BINDS(WRMSR, x86_bind_system),
	BINDS(INVLPG, x86_bind_system), BINDS(INVPCID, x86_bind_system),
	BINDS(INVD, x86_bind_system), BINDS(WBINVD, x86_bind_system),
	BINDS(CLFLUSH, x86_bind_system), BINDS(CLFLUSHOPT, x86_bind_system),
	BINDS(CLWB, x86_bind_system), BINDS(MFENCE, x86_bind_system),
	BINDS(SERIALIZE, x86_bind_system), BINDS(HLT, x86_bind_system),
	BINDS(PAUSE, x86_bind_system), BINDS(MONITOR, x86_bind_system),
	BINDS(MWAIT, x86_bind_system), BINDS(RSM, x86_bind_system),
	BINDS(VMMCALL, x86_bind_system), BINDS(VMRUN, x86_bind_system),
	BINDS(VMLOAD, x86_bind_system), BINDS(VMSAVE, x86_bind_system),
	BINDS(STGI, x86_bind_system), BINDS(CLGI, x86_bind_system),
	BINDS(SKINIT, x86_bind_system), BINDS(INVLPGA, x86_bind_system),
	BINDS(INVLPGB, x86_bind_system), BINDS(TLBSYNC, x86_bind_system),
	BINDS(FXSAVE, x86_bind_system), BINDS(FXRSTOR, x86_bind_system),
	BINDS(XSAVE, x86_bind_system), BINDS(XSAVEC, x86_bind_system),
	BINDS(XSAVEOPT, x86_bind_system), BINDS(XSAVES, x86_bind_system),
	BINDS(XRSTOR, x86_bind_system), BINDS(XRSTORS, x86_bind_system),

	BINDS(NOP, bind_nop), BINDS(PREFETCH, bind_nop), BINDS(PREFETCHW, bind_nop),
	BINDS(PREFETCHWT1, bind_nop), BINDS(PREFETCHNTA, bind_nop), BINDS(PREFETCHT0, bind_nop),
	BINDS(PREFETCHT1, bind_nop), BINDS(PREFETCHT2, bind_nop), BINDS(CLDEMOTE, bind_nop),
	BINDS(LFENCE, bind_nop), BINDS(SFENCE, bind_nop),
};

/* Is the LOCK prefix where it may be? */
static bool lock_is_allowed(const struct x86_insn *i)
{
	if (i->op == X86_OP_MOV && (i->form == X86_R_C || i->form == X86_C_R))
		return true;			/* MOV CR8: the handler looks */
	return (i->flags & X86_F_LOCKABLE) && (i->flags & X86_F_MEM);
}

x86_exec_fn x86_bind(const struct x86 *x, const struct x86_insn *i)
{
	bool locked = i->prefixes & X86_P_LOCK;
	unsigned feature;

	if (i->op >= X86_OPS || (locked && !lock_is_allowed(i)))
		return x86_exec_ud;
	feature = x86_insn_feature(i);
	if (!x86_feature_is_set(x->features, feature)) {
		struct x86_insn old = *i;	/* older processors ignore the prefix of these */

		if (i->op != X86_OP_LZCNT && i->op != X86_OP_TZCNT)
			return x86_exec_ud;
		old.op = i->op == X86_OP_LZCNT ? X86_OP_BSR : X86_OP_BSF;
		return x86_bind_bit(&old);
	}
	if (i->flags & X86_F_VECTOR)
		return x86_exec_vector;
	if (i->flags & X86_F_MEM && (i->op == X86_OP_XCHG || (locked && i->op != X86_OP_MOV)))
		return x86_bind_lock(i);
	return binders[i->op] ? binders[i->op](i) : x86_exec_ud;
}
