// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pm.c - ACPI power management: the fixed hardware registers
 *
 * Twelve bytes of ports: PM1 status and enable, PM1 control, and a timer that counts at
 * 3.58 MHz and is a function of the time it is read at.  The machine is always in ACPI mode.
 *
 * Invariant: the SCI is up exactly if a status bit is set that is enabled.
 * Locking: p->lock.
 * Reference: ACPI Specification, "Fixed Hardware Registers".
 * Not modelled: sleep states but S5, the timer's overflow interrupt, general-purpose events.
 */
#include "vmm/dev/pm.h"

#include <string.h>

enum {
	STATUS_POWER = 0x100, STATUS_MASK = 0x8731,
	ENABLE_MASK = 0x0721,
	CONTROL_SCI_EN = 1, CONTROL_SLEEP = 0x2000, CONTROL_TYPE_SHIFT = 10,
};

void pm_init(struct pm *p, const struct pm_wires *wires)
{
	memset(p, 0, sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
	p->wires = *wires;
	p->control = CONTROL_SCI_EN;
}

static void sci_update(struct pm *p)
{
	p->wires.sci(p->wires.owner, p->status & p->enable);
}

void pm_reset(struct pm *p)
{
	pthread_mutex_lock(&p->lock);
	p->status = p->enable = 0;
	p->control = CONTROL_SCI_EN;
	sci_update(p);
	pthread_mutex_unlock(&p->lock);
}

static u32 timer(u64 now_ns)
{
	return (u32)((unsigned __int128)now_ns * PM_TIMER_HZ / 1000000000u);
}

u32 pm_read(struct pm *p, unsigned offset, unsigned size, u64 now_ns)
{
	u32 block[3];
	u32 value = 0;

	pthread_mutex_lock(&p->lock);
	block[0] = p->status | (u32)p->enable << 16;
	block[1] = p->control;
	pthread_mutex_unlock(&p->lock);
	block[2] = timer(now_ns);
	if (offset + size <= sizeof(block))
		memcpy(&value, (u8 *)block + offset, size);
	return value;
}

/* Replace the bytes of *reg, which is at `at`, that a write of `size` bytes at `offset` covers. */
static bool covers(unsigned at, unsigned offset, unsigned size, u32 value, u16 *reg)
{
	bool any = false;

	for (unsigned i = 0; i < 2; i++)
		if (at + i >= offset && at + i < offset + size) {
			u8 byte = (u8)(value >> 8 * (at + i - offset));

			*reg = (u16)((*reg & ~(0xff << 8 * i)) | byte << 8 * i);
			any = true;
		}
	return any;
}

void pm_write(struct pm *p, unsigned offset, unsigned size, u32 value)
{
	u16 clear = 0;
	bool off = false;

	pthread_mutex_lock(&p->lock);
	if (covers(0, offset, size, value, &clear))
		p->status &= (u16)~(clear & STATUS_MASK);
	if (covers(2, offset, size, value, &p->enable))
		p->enable &= ENABLE_MASK;
	if (covers(4, offset, size, value, &p->control)) {
		off = p->control & CONTROL_SLEEP &&
		      (p->control >> CONTROL_TYPE_SHIFT & 7) == PM_SLEEP_S5;
		p->control = (u16)((p->control & ~CONTROL_SLEEP) | CONTROL_SCI_EN);
	}
	sci_update(p);
	pthread_mutex_unlock(&p->lock);
	if (off)
		p->wires.power_off(p->wires.owner);
}

void pm_press_power(struct pm *p)
{
	pthread_mutex_lock(&p->lock);
	p->status |= STATUS_POWER;
	sci_update(p);
	pthread_mutex_unlock(&p->lock);
}
