// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_rtc.c - the clock, and ACPI power management: functions of the time they are asked at
 */
#include "tests/test.h"
#include "vmm/dev/pm.h"
#include "vmm/dev/rtc.h"

#define SECOND	1000000000ull
/* 2024-02-28 23:59:58 UTC, a Wednesday */
#define START	(1709164798ull * SECOND)

static struct rtc r;
static bool level;

static void on_line(void *owner, bool l) { (void)owner; level = l; }

static u8 get(u8 index, u64 now)
{
	rtc_write(&r, 0, index, now);
	return rtc_read(&r, 1, now);
}

static void put(u8 index, u8 value, u64 now)
{
	rtc_write(&r, 0, index, now);
	rtc_write(&r, 1, value, now);
}

static void set_up(void)
{
	level = false;
	rtc_init(&r, NULL, on_line, 3ull << 30, 5ull << 30, START);
}

static void date_is_the_hosts_in_bcd(void)
{
	set_up();
	EXPECT_EQ(get(0, START), 0x58);
	EXPECT_EQ(get(2, START), 0x59);
	EXPECT_EQ(get(4, START), 0x23);
	EXPECT_EQ(get(6, START), 4);
	EXPECT_EQ(get(7, START), 0x28);
	EXPECT_EQ(get(8, START), 0x02);
	EXPECT_EQ(get(9, START), 0x24);
	EXPECT_EQ(get(0x32, START), 0x20);
	EXPECT_EQ(get(7, START + 2 * SECOND), 0x29);	/* a leap year */
	EXPECT_EQ(get(8, START + 86402 * SECOND), 0x03);
	EXPECT_EQ(get(13, START), 0x80);
}

static void binary_and_12_hours(void)
{
	set_up();
	put(11, 4, START);		/* binary, 12 hours */
	EXPECT_EQ(get(0, START), 58);
	EXPECT_EQ(get(4, START), 0x80 | 11);
	EXPECT_EQ(get(4, START + 2 * SECOND), 12);	/* midnight */
	EXPECT_EQ(get(4, START + (2 + 12 * 3600) * SECOND), 0x80 | 12);
	put(11, 0, START);		/* BCD, 12 hours */
	EXPECT_EQ(get(4, START), 0x80 | 0x11);
}

static void update_in_progress_before_each_second(void)
{
	set_up();
	EXPECT_EQ(get(10, START), 0x26);
	EXPECT_EQ(get(10, START + SECOND - 245000), 0x26);
	EXPECT_EQ(get(10, START + SECOND - 1000), 0xa6);
	EXPECT_EQ(get(10, START + SECOND), 0x26);
}

static void setting_the_date_moves_the_clock(void)
{
	set_up();
	put(11, 0x82, START);
	put(0, 0x10, START), put(2, 0x20, START), put(4, 0x03, START);
	put(7, 0x01, START), put(8, 0x01, START), put(9, 0x99, START), put(0x32, 0x19, START);
	EXPECT_EQ(get(0, START + 5 * SECOND), 0x10);	/* it stands while SET */
	EXPECT_EQ(get(10, START + SECOND - 1), 0x26);
	put(11, 0x02, START + 5 * SECOND);
	EXPECT_EQ(get(0, START + 7 * SECOND), 0x12);
	EXPECT_EQ(get(4, START + 7 * SECOND), 0x03);
	EXPECT_EQ(get(9, START + 7 * SECOND), 0x99);
	EXPECT_EQ(get(0x32, START + 7 * SECOND), 0x19);
	EXPECT_EQ(get(6, START + 7 * SECOND), 6);	/* 1 January 1999: a Friday */
	put(2, 0x45, START + 7 * SECOND);		/* one field, without SET */
	EXPECT_EQ(get(2, START + 7 * SECOND), 0x45);
	EXPECT_EQ(get(0, START + 8 * SECOND), 0x13);
}

static void nonsense_dates_do_no_harm(void)
{
	set_up();
	for (unsigned byte = 0; byte < 256; byte += 5) {
		put(11, 0x82, START);
		for (u8 reg = 0; reg < 10; reg++)
			put(reg, (u8)byte, START);
		put(0x32, (u8)byte, START);
		put(11, 0x72, START);
		rtc_poll(&r, START + SECOND);
		get(12, START + 2 * SECOND);
	}
	EXPECT(rtc_poll(&r, START + 3 * SECOND) > START);
}

static void update_interrupt_each_second(void)
{
	set_up();
	put(11, 0x12, START + 5);
	EXPECT_EQ(rtc_poll(&r, START + 5), START + SECOND);
	EXPECT(!level);
	EXPECT_EQ(rtc_poll(&r, START + SECOND), RTC_NEVER);	/* until it is acknowledged */
	EXPECT(level);
	EXPECT_EQ(get(12, START + SECOND) & 0xb0, 0x90); /* the periodic flag comes and goes */
	EXPECT(!level);
	EXPECT_EQ(get(12, START + SECOND), 0);
	EXPECT_EQ(rtc_poll(&r, START + SECOND), START + 2 * SECOND);
}

static void alarm_matches_its_fields(void)
{
	set_up();
	put(1, 0x00, START), put(3, 0x00, START), put(5, 0x00, START);	/* midnight */
	put(11, 0x22, START);
	EXPECT_EQ(rtc_poll(&r, START), START + 2 * SECOND);
	EXPECT_EQ(rtc_poll(&r, START + 2 * SECOND), RTC_NEVER);
	EXPECT(level);
	EXPECT_EQ(get(12, START + 2 * SECOND) & 0xb0, 0xb0);
	EXPECT_EQ(rtc_poll(&r, START + 2 * SECOND), START + (2 + 86400) * SECOND);
	put(5, 0xff, START + 3 * SECOND);	/* every hour */
	EXPECT_EQ(rtc_poll(&r, START + 3 * SECOND), START + (2 + 3600) * SECOND);
	put(3, 0xc0, START + 3 * SECOND);	/* every minute */
	EXPECT_EQ(rtc_poll(&r, START + 3 * SECOND), START + (2 + 60) * SECOND);
	put(1, 0xff, START + 3 * SECOND);	/* every second */
	EXPECT_EQ(rtc_poll(&r, START + 3 * SECOND), START + 4 * SECOND);
	put(1, 0x77, START + 3 * SECOND);	/* never */
	EXPECT_EQ(rtc_poll(&r, START + 3 * SECOND), RTC_NEVER);
}

static void periodic_interrupt(void)
{
	u64 period = SECOND * 32 / 32768, next;

	set_up();
	put(11, 0x42, START);			/* rate 6: 1024 Hz */
	next = rtc_poll(&r, START);
	EXPECT(next > START && next <= START + period);
	rtc_poll(&r, next);
	EXPECT(level);
	EXPECT_EQ(get(12, next) & 0xc0, 0xc0);
	EXPECT_EQ(rtc_poll(&r, next), next + period);
	put(10, 0x20, next);			/* rate 0: off */
	EXPECT_EQ(rtc_poll(&r, next), RTC_NEVER);
}

static void flags_are_set_without_being_enabled(void)
{
	set_up();
	get(12, START);
	EXPECT_EQ(get(12, START + SECOND) & 0x10, 0x10);
	EXPECT(!level);
}

static void a_host_clock_that_jumps_back(void)
{
	set_up();
	put(11, 0x12, START);
	rtc_poll(&r, START);
	EXPECT_EQ(rtc_poll(&r, START - 100 * SECOND), START - 99 * SECOND);
	EXPECT(!level);
}

static void reset_takes_interrupts_away_but_not_the_time(void)
{
	set_up();
	put(11, 0x72, START);
	put(2, 0x10, START);
	rtc_poll(&r, START + SECOND);
	EXPECT(level);
	rtc_reset(&r, START + SECOND);
	EXPECT(!level);
	EXPECT_EQ(get(2, START + SECOND), 0x10);
	EXPECT_EQ(rtc_poll(&r, START + SECOND), RTC_NEVER);
}

static void cmos_tells_memory_and_keeps_bytes(void)
{
	set_up();
	EXPECT_EQ(get(0x15, START) | get(0x16, START) << 8, 640);
	EXPECT_EQ(get(0x34, START) | get(0x35, START) << 8, ((3ull << 30) - (16 << 20)) >> 16);
	EXPECT_EQ(get(0x5b, START) | get(0x5c, START) << 8 | get(0x5d, START) << 16,
		  (5ull << 30) >> 16);
	put(0x7f, 0x42, START);
	EXPECT_EQ(get(0xff, START), 0x42);	/* bit 7 of the index is the NMI mask */
	EXPECT_EQ(rtc_read(&r, 0, START), 0xff);
}

/* --- power management ------------------------------------------------------------------ */

static bool sci;
static unsigned offs;

static void on_sci(void *owner, bool l) { (void)owner; sci = l; }
static void on_off(void *owner) { (void)owner; offs++; }

static struct pm pm_make(void)
{
	struct pm p;

	sci = false;
	offs = 0;
	pm_init(&p, &(struct pm_wires){ NULL, on_sci, on_off });
	return p;
}

static void pm_timer_counts_at_its_rate(void)
{
	struct pm p = pm_make();

	EXPECT_EQ(pm_read(&p, 8, 4, 0), 0);
	EXPECT_EQ(pm_read(&p, 8, 4, SECOND), 3579545);
	EXPECT_EQ(pm_read(&p, 8, 4, 1200 * SECOND), (u32)(1200ull * 3579545));
	EXPECT_EQ(pm_read(&p, 8, 4, 1ull << 62),
		  (u32)(((unsigned __int128)1 << 62) * 3579545 / SECOND));
	EXPECT_EQ(pm_read(&p, 10, 4, 0), 0);	/* beyond the end */
}

static void sleeping_in_s5_is_off(void)
{
	struct pm p = pm_make();

	EXPECT_EQ(pm_read(&p, 4, 2, 0), 1);
	pm_write(&p, 4, 2, 5 << 10);		/* type alone does nothing */
	EXPECT_EQ(offs, 0);
	pm_write(&p, 4, 2, 1 << 13);
	EXPECT_EQ(offs, 0);			/* S0 */
	pm_write(&p, 4, 2, 1 << 13 | 5 << 10 | 1);
	EXPECT_EQ(offs, 1);
	EXPECT_EQ(pm_read(&p, 4, 2, 0), 5 << 10 | 1);	/* SLP_EN reads as zero */
	pm_write(&p, 5, 1, 0x34);		/* the same as a byte */
	EXPECT_EQ(offs, 2);
}

static void the_power_button_raises_the_sci(void)
{
	struct pm p = pm_make();

	pm_press_power(&p);
	EXPECT(!sci);
	EXPECT_EQ(pm_read(&p, 0, 2, 0), 0x100);
	pm_write(&p, 2, 2, 0x100);
	EXPECT(sci);
	EXPECT_EQ(pm_read(&p, 0, 4, 0), 0x01000100);
	pm_write(&p, 0, 2, 0x100);		/* write one to clear */
	EXPECT(!sci);
	EXPECT_EQ(pm_read(&p, 0, 4, 0), 0x01000000);
	pm_press_power(&p);
	EXPECT(sci);
	pm_reset(&p);
	EXPECT(!sci);
	EXPECT_EQ(pm_read(&p, 0, 4, 0), 0);
}

int main(void)
{
	TEST(date_is_the_hosts_in_bcd);
	TEST(binary_and_12_hours);
	TEST(update_in_progress_before_each_second);
	TEST(setting_the_date_moves_the_clock);
	TEST(nonsense_dates_do_no_harm);
	TEST(update_interrupt_each_second);
	TEST(alarm_matches_its_fields);
	TEST(periodic_interrupt);
	TEST(flags_are_set_without_being_enabled);
	TEST(a_host_clock_that_jumps_back);
	TEST(reset_takes_interrupts_away_but_not_the_time);
	TEST(cmos_tells_memory_and_keeps_bytes);
	TEST(pm_timer_counts_at_its_rate);
	TEST(sleeping_in_s5_is_off);
	TEST(the_power_button_raises_the_sci);
	return test_status();
}
