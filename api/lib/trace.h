/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trace.h - a line for each exit, for who asks
 */
#ifndef API_LIB_TRACE_H
#define API_LIB_TRACE_H

/* Once, before the first VM: begin, if the environment asks for it. */
void trace_begin(void);

#endif
