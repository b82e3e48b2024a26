/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * aml.h - writing ACPI machine language
 *
 * Each function appends one term.  Terms that hold others are opened and closed:
 *   u32 scope = aml_scope(a, "\\_SB_"); ... aml_close(a, scope);
 * What does not fit is dropped and remembered in `full`.
 */
#ifndef VMM_BOARD_AML_H
#define VMM_BOARD_AML_H

#include "base/types.h"

struct aml {
	u8	*bytes;
	u32	size, used;
	bool	full;
};

void aml_byte(struct aml *a, u8 value);
void aml_bytes(struct aml *a, const void *bytes, u32 n);
void aml_word(struct aml *a, u16 value);
void aml_dword(struct aml *a, u32 value);
void aml_qword(struct aml *a, u64 value);

/* Names are 4 characters each, "\\" first for the root: "PCI0", "\\_SB_". */
u32  aml_scope(struct aml *a, const char *name);
u32  aml_device(struct aml *a, const char *name);
u32  aml_package(struct aml *a, u8 elements);
u32  aml_buffer(struct aml *a);		/* aml_buffer_close() fills in its size */
void aml_close(struct aml *a, u32 mark);
void aml_buffer_close(struct aml *a, u32 mark);

void aml_name(struct aml *a, const char *name);		/* Name (name, <the next term>) */
void aml_integer(struct aml *a, u64 value);
void aml_string(struct aml *a, const char *text);
void aml_eisa_id(struct aml *a, const char *id);	/* "PNP0A03" */

/* Resource descriptors, inside aml_resources() ... aml_resources_close(). */
u32  aml_resources(struct aml *a);
void aml_resources_close(struct aml *a, u32 mark);
void aml_resource_io(struct aml *a, u16 start, u8 bytes);
void aml_resource_irq(struct aml *a, u8 irq);		/* edge, active high, exclusive */
void aml_resource_bus(struct aml *a, u8 first, u8 last);
void aml_resource_io_window(struct aml *a, u16 first, u16 last);
void aml_resource_memory_window(struct aml *a, u32 first, u32 last);

#endif
