// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * checksum.c - the Internet checksum
 *
 * Reference: RFC 1071, "Computing the Internet Checksum".
 */
#include "vmm/net/checksum.h"

#include <string.h>

bool checksum_complete(u8 *frame, u32 bytes, u16 start, u16 offset)
{
	u64 sum = 0;
	u32 at;
	u16 word;

	if (start >= bytes || (u32)start + offset + 2 > bytes)
		return false;
	/* The field holds the pseudo-header's sum already, so it is summed with the rest. */
	for (at = start; at + 2 <= bytes; at += 2) {
		memcpy(&word, frame + at, 2);
		sum += word;
	}
	if (at < bytes)
		sum += frame[at];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	word = (u16)~sum;
	if (word == 0)
		word = 0xffff;		/* for UDP zero means none */
	memcpy(frame + start + offset, &word, 2);
	return true;
}
