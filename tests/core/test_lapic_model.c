// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_lapic_model.c - random traffic between LAPICs against a model in other words
 *
 * The model keeps, for each processor, a sorted stack of what it serves and a set of what
 * it was asked for, and finds destinations by walking the groups.  It knows nothing of
 * registers.
 */
#include "tests/core/chips.h"

#define CPUS	12u
#define STEPS	400000

struct cpu {
	bool asked[256], level[256];
	int serving[256], depth;
	int tpr;
	bool enabled, x2;
	u32 group;		/* flat: bits; x2: cluster and bit from the number */
};
static struct cpu cpu[CPUS];
static unsigned eois[256];	/* that the IOAPIC should hear of */

static int class_of(int vector) { return vector >> 4; }

static int model_next(const struct cpu *c)
{
	int floor = class_of(c->tpr), best = -1;

	if (c->depth && class_of(c->serving[c->depth - 1]) > floor)
		floor = class_of(c->serving[c->depth - 1]);
	for (int vector = 0; vector < 256; vector++)
		if (c->asked[vector])
			best = vector;
	return best >= 0 && class_of(best) > floor ? best : -1;
}

static void model_ask(struct cpu *c, int vector, bool level)
{
	if (!c->enabled)
		return;
	c->asked[vector] = true;
	c->level[vector] = level;
}

static bool model_is_member(unsigned n, bool logical, u32 dest)
{
	const struct cpu *c = &cpu[n];

	if (dest == 0xff && !c->x2)
		return true;
	if (!logical)
		return dest == n;
	return c->x2 ? dest >> 16 == n / 16 && (dest >> n % 16 & 1) : (dest & c->group) != 0;
}

static void model_send(unsigned from, unsigned shorthand, bool logical, u32 dest, int vector, bool lowest)
{
	unsigned members[CPUS], count = 0;

	for (unsigned n = 0; n < CPUS; n++) {
		bool member = shorthand == 1 ? n == from : shorthand == 2 ? true : shorthand == 3 ? n != from :
			      model_is_member(n, logical, dest);

		if (member && (!lowest || cpu[n].enabled))
			members[count++] = n;
	}
	if (lowest && count) {
		model_ask(&cpu[members[(unsigned)vector % count]], vector, false);
		return;
	}
	for (unsigned n = 0; n < count; n++)
		model_ask(&cpu[members[n]], vector, false);
}

static void write_register(unsigned n, unsigned offset, u32 value)
{
	if (cpu[n].x2)
		lapic_msr_write(&chips.vcpu[n], 0x800 + (offset >> 4), value, false);
	else
		apic_out(n, offset, value);
}

static u32 read_register(unsigned n, unsigned offset)
{
	u64 value = 0;

	if (!cpu[n].x2)
		return apic_in(n, offset);
	lapic_msr_read(&chips.vcpu[n], 0x800 + (offset >> 4), &value, false);
	return (u32)value;
}

static void send_icr(unsigned n, u32 low, u32 dest)
{
	if (cpu[n].x2) {
		lapic_msr_write(&chips.vcpu[n], 0x830, (u64)dest << 32 | low, false);
	} else {
		apic_out(n, APIC_ICR2, dest << 24);
		apic_out(n, APIC_ICR, low);
	}
}

static void step_send(unsigned n)
{
	bool logical = random() & 1, lowest = random() % 4 == 0;
	unsigned shorthand = random() % 3 ? 0 : (unsigned)random() & 3;
	int vector = 16 + (int)(random() % 240);
	u32 dest;

	if (lowest && !shorthand)
		logical = true;
	if (shorthand)
		lowest = false;
	dest = !logical ? (u32)random() % CPUS : cpu[n].x2 ? (u32)random() & 0xfff : (u32)random() & 0xfe;
	if (!cpu[n].x2 && !shorthand && random() % 8 == 0 && !lowest)
		dest = 0xff;
	send_icr(n, 0x4000u | (u32)vector | shorthand << 18 | (logical ? 0x800u : 0) | (lowest ? 0x100u : 0), dest);
	model_send(n, shorthand, logical, dest, vector, lowest);
}

static void step_take(unsigned n, unsigned *wrong)
{
	struct cpu *c = &cpu[n];
	int next = model_next(c);

	if (irq_pending(&chips.vcpu[n]) != (next >= 0) || irq_acknowledge(&chips.vcpu[n]) != next)
		++*wrong;
	if (next < 0)
		return;
	c->asked[next] = false;
	c->serving[c->depth++] = next;
}

static void step_end(unsigned n)
{
	struct cpu *c = &cpu[n];

	write_register(n, APIC_EOI, 0);
	if (!c->depth)
		return;
	c->depth--;
	if (c->serving[c->depth] >= 0xe0)
		eois[c->serving[c->depth]]++;
}

static void step_ask_level(unsigned n)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 | n << 12, .data = 0xc000 | (u32)(16 + random() % 240) };

	irq_msi(&chips.vm, &msi);
	model_ask(&cpu[n], (int)(msi.data & 0xff), true);
}

static void compare(unsigned n, unsigned *wrong)
{
	struct cpu *c = &cpu[n];
	int floor = c->depth ? class_of(c->serving[c->depth - 1]) << 4 : 0;

	if (read_register(n, APIC_PPR) != (u32)(class_of(c->tpr) << 4 >= floor ? c->tpr : floor))
		++*wrong;
	for (int vector = 16; vector < 256; vector++) {
		bool serving = false;

		for (int d = 0; d < c->depth; d++)
			serving |= c->serving[d] == vector;
		*wrong += lapic_vector_test(chips.vcpu[n].lapic, APIC_IRR, (unsigned)vector) != c->asked[vector];
		*wrong += lapic_vector_test(chips.vcpu[n].lapic, APIC_ISR, (unsigned)vector) != serving;
		if (c->asked[vector])
			*wrong += lapic_vector_test(chips.vcpu[n].lapic, APIC_TMR, (unsigned)vector) != c->level[vector];
	}
}

static void save_and_restore(unsigned n, unsigned *wrong)
{
	struct kvm_lapic_state s, again;

	lapic_get(&chips.vcpu[n], &s);
	lapic_reset(&chips.vcpu[n], true);
	*wrong += lapic_set(&chips.vcpu[n], &s) != 0;
	lapic_get(&chips.vcpu[n], &again);
	*wrong += memcmp(&s, &again, sizeof(s)) != 0;
}

static void traffic(bool x2, long seed)
{
	unsigned wrong = 0;

	chips_create(CPUS, true);
	memset(cpu, 0, sizeof(cpu));
	memset(eois, 0, sizeof(eois));
	memset(chips.acks, 0, sizeof(chips.acks));
	srandom((unsigned)seed);
	for (unsigned n = 0; n < CPUS; n++) {
		apic_out(n, APIC_LVT0, 0x10000);
		apic_enable(n);
		cpu[n].enabled = true;
		cpu[n].group = 1u << n % 8;
		apic_out(n, APIC_LDR, cpu[n].group << 24);
		cpu[n].x2 = x2;
		if (x2)
			EXPECT_EQ(lapic_base_set(&chips.vcpu[n], chips.vcpu[n].apic_base | 0x400, false), 0);
	}
	/* Two pins have vectors that others use, too: every EOI of theirs is heard. */
	ioapic_entry(5, 0x10000 | 0xe5);
	ioapic_entry(7, 0x10000 | 0xe7);
	for (int step = 0; step < STEPS && !wrong; step++) {
		unsigned n = (unsigned)random() % CPUS;

		switch (random() % 16) {
		case 0 ... 4:
			step_send(n);
			break;
		case 5 ... 8:
			step_take(n, &wrong);
			break;
		case 9 ... 12:
			step_end(n);
			break;
		case 13:
			cpu[n].tpr = (int)(random() & random() & 0xff);
			if (random() & 1) {
				cpu[n].tpr &= 0xf0;
				lapic_cr8_set(&chips.vcpu[n], (u64)cpu[n].tpr >> 4);
			} else {
				write_register(n, APIC_TPR, (u32)cpu[n].tpr);
			}
			break;
		case 14:
			step_ask_level(n);
			break;
		default:
			if (random() % 20 == 0) {
				cpu[n].enabled = !cpu[n].enabled;
				write_register(n, APIC_SPIV, cpu[n].enabled ? 0x1ff : 0xff);
			}
			if (random() % 20 == 0)
				save_and_restore(n, &wrong);
			compare(n, &wrong);
		}
		if (wrong)
			fprintf(stderr, "differs at step %d, processor %u\n", step, n);
	}
	EXPECT_EQ(wrong, 0);
	EXPECT(chips.acks[5] > 10 && chips.acks[7] > 10);
	EXPECT_EQ(chips.acks[5], eois[0xe5]);
	EXPECT_EQ(chips.acks[7], eois[0xe7]);
	chips_destroy();
}

static void xapic_traffic(void) { traffic(false, 11); }
static void x2apic_traffic(void) { traffic(true, 12); }

int main(void)
{
	TEST(xapic_traffic);
	TEST(x2apic_traffic);
	return test_status();
}
