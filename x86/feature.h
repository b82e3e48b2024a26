/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * feature.h - instruction-set features, and the CPUID bits that report them
 *
 * A set of features is u64[X86_FEATURE_WORDS]: bit enum x86_feature.
 */
#ifndef X86_FEATURE_H
#define X86_FEATURE_H

#include "base/types.h"

enum x86_feature {
	X86_FEATURE_NONE,	/* needs nothing: every processor has it */
#define FEATURE(name, leaf, subleaf, reg, bit) X86_FEATURE_##name,
#include "x86/feature.def"
#undef FEATURE
	X86_FEATURES
};

#define X86_FEATURE_WORDS 4
BUILD_ASSERT(X86_FEATURES <= 64 * X86_FEATURE_WORDS);

enum { X86_CPUID_EAX, X86_CPUID_EBX, X86_CPUID_ECX, X86_CPUID_EDX };

/* Where CPUID reports a feature. */
struct x86_feature_bit {
	u32 leaf, subleaf;	/* EAX and ECX of CPUID */
	u8  reg, bit;		/* X86_CPUID_EAX..EDX, 0..31 */
};

/* Indexed by enum x86_feature; entry 0 is all zero and means nothing. */
extern const struct x86_feature_bit x86_feature_cpuid[X86_FEATURES];

/* "AVX512F"; NULL if out of range or X86_FEATURE_NONE. */
const char *x86_feature_name(unsigned feature);

/* Is the feature in the set?  X86_FEATURE_NONE always is. */
static inline bool x86_feature_is_set(const u64 set[X86_FEATURE_WORDS], unsigned feature)
{
	return feature == X86_FEATURE_NONE || (set[feature / 64] >> (feature % 64) & 1);
}

static inline void x86_feature_set(u64 set[X86_FEATURE_WORDS], unsigned feature)
{
	set[feature / 64] |= BIT_U64(feature % 64);
}

#endif
