/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alu.h - two- and one-operand arithmetic, run by the silicon
 *
 * alu_<op>(dst, src, &rflags, bytes) returns the result and replaces the arithmetic flags;
 * alu_<op>_lock(host, src, &rflags, bytes) does it to memory with a LOCK prefix.
 */
#ifndef X86_ALU_H
#define X86_ALU_H

#include "x86/operand.h"

#define ALU_CASE(type, text, reg) { \
	type d_ = (type)dst, s_ = (type)src; \
	__asm__(text FLAGS_OUT : "+&a"(f), "+" reg(d_) : reg(s_) : "cc"); \
	dst = d_; \
	break; }
#define ALU2(name, in) \
INLINE u64 alu_##name(u64 dst, u64 src, u64 *rflags, unsigned bytes) \
{ \
	u32 f = sizeof(in) > 1 ? flags_pack(*rflags) : 0; \
	switch (bytes) { \
	case 1: ALU_CASE(u8, in #name "b %2, %1", "q") \
	case 2: ALU_CASE(u16, in #name "w %2, %1", "r") \
	case 4: ALU_CASE(u32, in #name "l %2, %1", "r") \
	default: ALU_CASE(u64, in #name "q %2, %1", "r") \
	} \
	*rflags = flags_merge(*rflags, f); \
	return dst; \
}
#define ALU_LOCK_CASE(type, text, reg) { \
	type s_ = (type)src; \
	__asm__ volatile(text FLAGS_OUT \
			 : "+&a"(f), "+m"(*(type *)host) : reg(s_) : "cc", "memory"); \
	break; }
#define ALU2_LOCK(name, in) \
INLINE void alu_##name##_lock(void *host, u64 src, u64 *rflags, unsigned bytes) \
{ \
	u32 f = flags_pack(*rflags); \
	switch (bytes) { \
	case 1: ALU_LOCK_CASE(u8, in "lock; " #name "b %2, %1", "q") \
	case 2: ALU_LOCK_CASE(u16, in "lock; " #name "w %2, %1", "r") \
	case 4: ALU_LOCK_CASE(u32, in "lock; " #name "l %2, %1", "r") \
	default: ALU_LOCK_CASE(u64, in "lock; " #name "q %2, %1", "r") \
	} \
	*rflags = flags_merge(*rflags, f); \
}
ALU2(add, "")
ALU2(or, "")
ALU2(adc, FLAGS_IN)
ALU2(sbb, FLAGS_IN)
ALU2(and, "")
ALU2(sub, "")
ALU2(xor, "")
ALU2(cmp, "")
ALU2(test, "")
ALU2_LOCK(add, "")
ALU2_LOCK(or, "")
ALU2_LOCK(adc, FLAGS_IN)
ALU2_LOCK(sbb, FLAGS_IN)
ALU2_LOCK(and, "")
ALU2_LOCK(sub, "")
ALU2_LOCK(xor, "")

/* One operand; src is ignored.  NOT changes no flag. */
#define ALU1_CASE(type, text, reg) { \
	type d_ = (type)dst; \
	__asm__(FLAGS_IN text FLAGS_OUT : "+&a"(f), "+" reg(d_) : : "cc"); \
	dst = d_; \
	break; }
#define ALU1(name) \
INLINE u64 alu_##name(u64 dst, u64 src, u64 *rflags, unsigned bytes) \
{ \
	u32 f = flags_pack(*rflags); \
	(void)src; \
	switch (bytes) { \
	case 1: ALU1_CASE(u8, #name "b %1", "q") \
	case 2: ALU1_CASE(u16, #name "w %1", "r") \
	case 4: ALU1_CASE(u32, #name "l %1", "r") \
	default: ALU1_CASE(u64, #name "q %1", "r") \
	} \
	*rflags = flags_merge(*rflags, f); \
	return dst; \
}
#define ALU1_LOCK_CASE(type, text) \
	__asm__ volatile(FLAGS_IN "lock; " text FLAGS_OUT \
			 : "+&a"(f), "+m"(*(type *)host) : : "cc", "memory"); \
	break;
#define ALU1_LOCK(name) \
INLINE void alu_##name##_lock(void *host, u64 src, u64 *rflags, unsigned bytes) \
{ \
	u32 f = flags_pack(*rflags); \
	(void)src; \
	switch (bytes) { \
	case 1: ALU1_LOCK_CASE(u8, #name "b %1") \
	case 2: ALU1_LOCK_CASE(u16, #name "w %1") \
	case 4: ALU1_LOCK_CASE(u32, #name "l %1") \
	default: ALU1_LOCK_CASE(u64, #name "q %1") \
	} \
	*rflags = flags_merge(*rflags, f); \
}
ALU1(inc)
ALU1(dec)
ALU1(neg)
ALU1_LOCK(inc)
ALU1_LOCK(dec)
ALU1_LOCK(neg)
ALU1_LOCK(not)

INLINE u64 alu_not(u64 dst, u64 src, u64 *rflags, unsigned bytes)
{
	(void)src, (void)rflags, (void)bytes;
	return ~dst;
}

#endif
