// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * aml.c - writing ACPI machine language
 *
 * A term that holds others begins with its length.  The length is always written in its
 * three-byte form, so that it can be filled in when the term is closed without moving anything.
 *
 * Reference: ACPI Specification, "ACPI Machine Language (AML) Specification", "Resource
 * Data Types for ACPI".
 */
#include "vmm/board/aml.h"

#include <string.h>

enum {
	AML_ZERO = 0x00, AML_ONE = 0x01, AML_NAME = 0x08, AML_BYTE = 0x0a, AML_WORD = 0x0b,
	AML_DWORD = 0x0c, AML_STRING = 0x0d, AML_QWORD = 0x0e, AML_SCOPE = 0x10, AML_BUFFER = 0x11,
	AML_PACKAGE = 0x12, AML_EXT = 0x5b, AML_DEVICE = 0x82,
	LENGTH_BYTES = 3,
};

void aml_bytes(struct aml *a, const void *bytes, u32 n)
{
	if (a->size - a->used < n) {
		a->full = true;
		return;
	}
	memcpy(a->bytes + a->used, bytes, n);
	a->used += n;
}

static void aml_number(struct aml *a, u64 value, u32 n)
{
	aml_bytes(a, &value, n);	/* little-endian, as we are */
}

void aml_byte(struct aml *a, u8 value)   { aml_number(a, value, 1); }
void aml_word(struct aml *a, u16 value)  { aml_number(a, value, 2); }
void aml_dword(struct aml *a, u32 value) { aml_number(a, value, 4); }
void aml_qword(struct aml *a, u64 value) { aml_number(a, value, 8); }

/* --- terms that hold others ------------------------------------------------------ */

static u32 open_length(struct aml *a)
{
	u32 mark = a->used;

	aml_bytes(a, (u8[LENGTH_BYTES]){ 0 }, LENGTH_BYTES);
	return mark;
}

void aml_close(struct aml *a, u32 mark)
{
	u32 length = a->used - mark;

	if (a->full)
		return;
	a->bytes[mark] = (u8)(0x80 | (length & 15));	/* two more bytes follow */
	a->bytes[mark + 1] = (u8)(length >> 4);
	a->bytes[mark + 2] = (u8)(length >> 12);
}

static void put_name(struct aml *a, const char *name)
{
	aml_bytes(a, name, (u32)strlen(name));
}

u32 aml_scope(struct aml *a, const char *name)
{
	u32 mark;

	aml_byte(a, AML_SCOPE);
	mark = open_length(a);
	put_name(a, name);
	return mark;
}

u32 aml_device(struct aml *a, const char *name)
{
	u32 mark;

	aml_byte(a, AML_EXT);
	aml_byte(a, AML_DEVICE);
	mark = open_length(a);
	put_name(a, name);
	return mark;
}

u32 aml_package(struct aml *a, u8 elements)
{
	u32 mark;

	aml_byte(a, AML_PACKAGE);
	mark = open_length(a);
	aml_byte(a, elements);
	return mark;
}

u32 aml_buffer(struct aml *a)
{
	u32 mark;

	aml_byte(a, AML_BUFFER);
	mark = open_length(a);
	aml_byte(a, AML_WORD);
	aml_word(a, 0);
	return mark;
}

void aml_buffer_close(struct aml *a, u32 mark)
{
	u32 contents = mark + LENGTH_BYTES + 3, n = a->used - contents;

	if (a->full)
		return;
	a->bytes[contents - 2] = (u8)n;
	a->bytes[contents - 1] = (u8)(n >> 8);
	aml_close(a, mark);
}

/* --- data ------------------------------------------------------------------------- */

void aml_name(struct aml *a, const char *name)
{
	aml_byte(a, AML_NAME);
	put_name(a, name);
}

void aml_integer(struct aml *a, u64 value)
{
	if (value <= 1) {
		aml_byte(a, value ? AML_ONE : AML_ZERO);
	} else if (value <= 0xff) {
		aml_byte(a, AML_BYTE);
		aml_byte(a, (u8)value);
	} else if (value <= 0xffff) {
		aml_byte(a, AML_WORD);
		aml_word(a, (u16)value);
	} else if (value <= 0xffffffff) {
		aml_byte(a, AML_DWORD);
		aml_dword(a, (u32)value);
	} else {
		aml_byte(a, AML_QWORD);
		aml_qword(a, value);
	}
}

void aml_string(struct aml *a, const char *text)
{
	aml_byte(a, AML_STRING);
	aml_bytes(a, text, (u32)strlen(text) + 1);
}

static u32 hex_digit(char c)
{
	return (u32)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three letters of 5 bits and four hexadecimal digits, in big-endian order. */
void aml_eisa_id(struct aml *a, const char *id)
{
	u32 value = (u32)(id[0] - '@') << 26 | (u32)(id[1] - '@') << 21 | (u32)(id[2] - '@') << 16 |
		    hex_digit(id[3]) << 12 | hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 |
		    hex_digit(id[6]);

	aml_byte(a, AML_DWORD);
	aml_dword(a, __builtin_bswap32(value));
}

/* --- resources ---------------------------------------------------------------------- */

u32 aml_resources(struct aml *a)
{
	return aml_buffer(a);
}

void aml_resources_close(struct aml *a, u32 mark)
{
	aml_byte(a, 0x79);	/* end tag ... */
	aml_byte(a, 0);		/* ... without a checksum */
	aml_buffer_close(a, mark);
}

void aml_resource_io(struct aml *a, u16 start, u8 bytes)
{
	aml_byte(a, 0x47);	/* I/O port descriptor */
	aml_byte(a, 1);		/* all 16 address bits are decoded */
	aml_word(a, start);
	aml_word(a, start);
	aml_byte(a, 1);		/* alignment */
	aml_byte(a, bytes);
}

void aml_resource_irq(struct aml *a, u8 irq)
{
	aml_byte(a, 0x22);	/* IRQ descriptor, without flags */
	aml_word(a, (u16)(1u << irq));
}

/* The words of an address space descriptor after its flags: granularity 0, no translation. */
static void word_window(struct aml *a, u8 kind, u8 general, u8 specific, u16 first, u16 last)
{
	aml_byte(a, 0x88);
	aml_word(a, 13);
	aml_byte(a, kind);
	aml_byte(a, general);
	aml_byte(a, specific);
	aml_word(a, 0);
	aml_word(a, first);
	aml_word(a, last);
	aml_word(a, 0);
	aml_word(a, (u16)(last - first + 1));
}

void aml_resource_bus(struct aml *a, u8 first, u8 last)
{
	word_window(a, 2, 0x0c, 0, first, last);	/* both ends are fixed */
}

void aml_resource_io_window(struct aml *a, u16 first, u16 last)
{
	word_window(a, 1, 0x0c, 3, first, last);	/* the whole range, ISA and not */
}

void aml_resource_memory_window(struct aml *a, u32 first, u32 last)
{
	aml_byte(a, 0x87);	/* DWord address space descriptor */
	aml_word(a, 23);
	aml_byte(a, 0);		/* memory */
	aml_byte(a, 0x0c);
	aml_byte(a, 1);		/* read-write, not cacheable */
	aml_dword(a, 0);
	aml_dword(a, first);
	aml_dword(a, last);
	aml_dword(a, 0);
	aml_dword(a, last - first + 1);
}
