/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * types.h - integers, addresses by kind, and the few macros every folder uses
 *
 * In a process the integers come from <stdint.h>; in a kernel from <linux/types.h>.
 * Addresses are named by kind:
 *   gva  guest virtual (linear)   gpa  guest physical    gfn  gpa >> 12
 *   hva  virtual in the owner     hpa  bus address       pfn  hpa >> 12
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/stddef.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
typedef uint8_t  u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t  s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
#endif

typedef u64 gva_t;
typedef u64 gpa_t;
typedef u64 gfn_t;
typedef u64 hva_t;
typedef u64 hpa_t;

#define PAGE_BITS	12
#define PAGE_BYTES	4096ul

#define BIT_U64(n)	(1ull << (n))
#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b)	((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)	((a) > (b) ? (a) : (b))
#define BUILD_ASSERT(cond)	_Static_assert(cond, #cond)
#define CONTAINER_OF(ptr, type, member)	((type *)((char *)(ptr) - offsetof(type, member)))

#define LIKELY(x)	__builtin_expect(!!(x), 1)
#define UNLIKELY(x)	__builtin_expect(!!(x), 0)

#endif
