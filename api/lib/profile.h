/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * profile.h - what the software processors did, for who asks
 */
#ifndef API_LIB_PROFILE_H
#define API_LIB_PROFILE_H

/* Once: see to it that the files are written when the process ends, if the environment asks for them. */
void profile_begin(void);

#endif
