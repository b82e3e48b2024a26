// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * insn.c - names of instructions and features, and where CPUID reports features
 */
#include "x86/insn.h"
#include "x86/feature.h"

static const char *const op_names[X86_OPS] = {
#define OPNAME(name) #name,
#include "x86/opnames.def"
#undef OPNAME
};

const char *x86_op_name(unsigned op)
{
	return op < X86_OPS ? op_names[op] : NULL;
}

const struct x86_feature_bit x86_feature_cpuid[X86_FEATURES] = {
#define FEATURE(name, leaf, subleaf, reg, bit) \
	[X86_FEATURE_##name] = { leaf, subleaf, X86_CPUID_##reg, bit },
#include "x86/feature.def"
#undef FEATURE
};

static const char *const feature_names[X86_FEATURES] = {
#define FEATURE(name, leaf, subleaf, reg, bit) [X86_FEATURE_##name] = #name,
#include "x86/feature.def"
#undef FEATURE
};

const char *x86_feature_name(unsigned feature)
{
	return feature < X86_FEATURES ? feature_names[feature] : NULL;
}
