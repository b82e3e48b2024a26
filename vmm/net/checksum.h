/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * checksum.h - the Internet checksum
 */
#ifndef VMM_NET_CHECKSUM_H
#define VMM_NET_CHECKSUM_H

#include "base/types.h"

/*
 * Complete the checksum of a frame whose sender left it to the device: sum from `start` to
 * the end, put at `start + offset`.  False, and nothing done, if that is outside the frame.
 * Reference: Virtual I/O Device (VIRTIO) Version 1.2, "Packet Transmission"; RFC 1071.
 */
bool checksum_complete(u8 *frame, u32 bytes, u16 start, u16 offset);

#endif
