// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_i8254.c - counters at any tick
 */
#include "core/i8254.h"
#include "tests/test.h"

static struct pit_counter counter(u8 mode, u32 reload)
{
	return (struct pit_counter){ .reload = reload, .mode = mode, .access = PIT_WORD, .gate = true };
}

static u16 read_word(struct pit_counter *c, u64 now)
{
	u8 low = pit_read(c, now);

	return (u16)(low | pit_read(c, now) << 8);
}

static void read_back_latches_each_counter_once(void)
{
	struct pit_counter c[3] = { counter(2, 1000), counter(2, 2000), counter(2, 3000) };

	pit_read_back(c, 0xc0 | 0x10 | 0x02 | 0x08, 100);	/* count of 0 and 2 */
	pit_read_back(c, 0xc0 | 0x10 | 0x02 | 0x08, 200);	/* ignored: not yet read */
	EXPECT(c[0].count_latched && !c[1].count_latched && c[2].count_latched);
	EXPECT_EQ(read_word(&c[0], 300), 900);			/* as of tick 100 */
	EXPECT_EQ(read_word(&c[0], 300), 700);			/* live again */
	EXPECT_EQ(read_word(&c[2], 300), 2900);
	EXPECT_EQ(read_word(&c[1], 300), 1700);
}

static void status_is_read_before_count(void)
{
	struct pit_counter c[3] = { counter(0, 50), counter(2, 5), counter(2, 5) };

	pit_read_back(c, 0xc0 | 0x02, 60);	/* both count and status of counter 0 */
	EXPECT_EQ(pit_read(&c[0], 99), 0x80 | PIT_WORD << 4 | 0 << 1);
	EXPECT_EQ(read_word(&c[0], 99), (u16)-10);
	EXPECT(!c[1].status_latched && !c[1].count_latched);
}

static void a_command_that_latches_nothing(void)
{
	struct pit_counter c[3] = { counter(2, 10), counter(2, 10), counter(2, 10) };

	pit_read_back(c, 0xfe, 1);
	for (int n = 0; n < 3; n++)
		EXPECT(!c[n].status_latched && !c[n].count_latched);
}

static void out_follows_the_mode(void)
{
	struct pit_counter c;

	c = counter(0, 3); EXPECT(!pit_out(&c, 2)); EXPECT(pit_out(&c, 3)); EXPECT(pit_out(&c, 1000));
	c = counter(1, 3); EXPECT(!pit_out(&c, 2)); EXPECT(pit_out(&c, 3));
	c = counter(2, 3); EXPECT(pit_out(&c, 0)); EXPECT(pit_out(&c, 1)); EXPECT(!pit_out(&c, 2)); EXPECT(pit_out(&c, 3));
	c = counter(3, 5); EXPECT(pit_out(&c, 2)); EXPECT(!pit_out(&c, 3)); EXPECT(!pit_out(&c, 4)); EXPECT(pit_out(&c, 5));
	c = counter(4, 3); EXPECT(pit_out(&c, 2)); EXPECT(!pit_out(&c, 3)); EXPECT(pit_out(&c, 4));
	c = counter(2, 65536); EXPECT_EQ(pit_count(&c, 0), 0); EXPECT_EQ(pit_count(&c, 1), 65535);
	c = counter(3, 10); EXPECT(pit_count(&c, 1) == 8 && pit_count(&c, 5) == 10);
}

/* pit_next_rise() against OUT itself, tick by tick. */
static void the_next_rise_is_where_out_rises(void)
{
	for (u8 mode = 0; mode <= 5; mode++) {
		for (u32 reload = 2; reload < 40; reload++) {
			struct pit_counter c = counter(mode, reload);

			for (u64 now = 0; now < 100; now++) {
				u64 rise = now + 1;

				while (rise < 300 && !(pit_out(&c, rise) && !pit_out(&c, rise - 1)))
					rise++;
				if (rise == 300)
					rise = ~0ull;
				if (pit_next_rise(&c, now) != rise) {
					EXPECT_EQ(pit_next_rise(&c, now), rise);
					return;
				}
			}
		}
	}
}

static void single_byte_access(void)
{
	struct pit_counter c[3] = { counter(2, 0x1234), counter(2, 0x1234), counter(2, 9) };

	c[0].access = PIT_LSB;
	c[1].access = PIT_MSB;
	pit_read_back(c, 0xc0 | 0x10 | 0x06, 0);
	EXPECT(pit_read(&c[0], 5) == 0x34 && pit_read(&c[0], 4) == 0x30);
	EXPECT(pit_read(&c[1], 5) == 0x12 && pit_read(&c[1], 0x35) == 0x11);
	EXPECT(pit_write(&c[0], 0x55, 0));
	EXPECT_EQ(c[0].reload, 0x55);
	EXPECT(pit_write(&c[1], 0x55, 0));
	EXPECT_EQ(c[1].reload, 0x5500);
	EXPECT(pit_write(&c[1], 0, 0));
	EXPECT_EQ(c[1].reload, 65536);
}

static void a_word_is_loaded_with_its_second_byte(void)
{
	struct pit_counter c[3];

	pit_reset(c, 0);
	EXPECT_EQ(pit_control(c, 0x34, 10), 0);		/* counter 0, word, mode 2 */
	EXPECT(pit_out(&c[0], 11));
	pit_read_back(c, 0xc0 | 0x20 | 0x02, 12);
	EXPECT_EQ(pit_read(&c[0], 12), 0xf4);		/* OUT, null count, word, mode 2 */
	EXPECT(!pit_write(&c[0], 0x34, 20));
	EXPECT_EQ(pit_next_rise(&c[0], 20), ~0ull);
	EXPECT(pit_write(&c[0], 0x12, 30));
	EXPECT_EQ(c[0].reload, 0x1234);
	EXPECT_EQ(pit_next_rise(&c[0], 30), 30 + 0x1234);
	EXPECT_EQ(pit_control(c, 0x00, 31), -1);	/* latch counter 0 */
	EXPECT_EQ(read_word(&c[0], 40), 0x1233);
	EXPECT_EQ(pit_control(c, 0xb0 | 0x0e, 31), 2);	/* mode 7 is mode 3 */
	EXPECT_EQ(c[2].mode, 3);
	EXPECT_EQ(pit_control(c, 0x70, 31), 1);		/* mode 0: OUT is low until it counts out */
	EXPECT(!pit_out(&c[1], 1000000));
}

static void the_gate_stops_and_starts(void)
{
	struct pit_counter c = counter(0, 100);

	pit_set_gate(&c, false, 40);
	EXPECT_EQ(pit_count(&c, 1000), 60);
	EXPECT(!pit_out(&c, 1000));
	EXPECT_EQ(pit_next_rise(&c, 1000), ~0ull);
	pit_set_gate(&c, true, 1000);
	EXPECT_EQ(pit_count(&c, 1010), 50);
	EXPECT_EQ(pit_next_rise(&c, 1010), 1060);

	c = counter(2, 100);
	pit_set_gate(&c, false, 99);
	EXPECT(pit_out(&c, 99));			/* the gate forces OUT high */
	pit_set_gate(&c, true, 500);
	EXPECT_EQ(pit_count(&c, 510), 90);		/* and begins anew */

	c = counter(1, 100);
	pit_write(&c, 50, 0);
	pit_write(&c, 0, 0);
	EXPECT(pit_out(&c, 20));			/* mode 1 waits for the gate to rise */
	pit_set_gate(&c, false, 20);
	pit_set_gate(&c, true, 30);
	EXPECT(!pit_out(&c, 79));
	EXPECT(pit_out(&c, 80));
}

int main(void)
{
	TEST(read_back_latches_each_counter_once);
	TEST(status_is_read_before_count);
	TEST(a_command_that_latches_nothing);
	TEST(out_follows_the_mode);
	TEST(the_next_rise_is_where_out_rises);
	TEST(single_byte_access);
	TEST(a_word_is_loaded_with_its_second_byte);
	TEST(the_gate_stops_and_starts);
	return test_status();
}
