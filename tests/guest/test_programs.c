// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_programs.c - random API programs, whose answers on two KVMs are compared
 *
 * usage: test_programs [count=N] [seed=N] [dump] [show=N]
 *
 * A program makes a machine and does CALLS calls with random arguments (arguments.h), then reads
 * all state.  Everything follows from its number, so another KVM is asked the same.  "dump"
 * writes a line for each call: program, call, name, result, and a hash of what came back, without what time
 * changes; tests/programs/compare compares two such files.  "show" prints what one program's calls
 * gave, byte by byte.  Without either it is a test that a program twice gives the same.
 */
#include "tests/guest/arguments.h"

#define CALLS 40u

static bool dumping;
static u64 shown = ~0ull;
static FILE *out;

/* --- hashes -------------------------------------------------------------------------------- */

static u64 hash_of(const u8 *at, u64 bytes)
{
	u64 h = 0xcbf29ce484222325ull;

	for (u64 n = 0; n < bytes; n++)
		h = (h ^ at[n]) * 0x100000001b3ull;
	return h;
}

/* What goes on by itself, or is of no meaning. */
static void blank(unsigned long request, u8 *at)
{
	struct kvm_pit_state2 *pit = (void *)at;
	struct kvm_msrs *m = (void *)at;

	switch (request) {
	case KVM_GET_LAPIC:		/* the timer's current count; bytes between registers */
		memset(at + 0x390, 0, 4);
		for (u32 n = 0; n < 1024; n += 16)
			memset(at + n + 4, 0, 12);
		break;
	case KVM_GET_XSAVE:		/* what the host's ptrace(2) says in the bytes for software */
	case KVM_GET_XSAVE2:
		memset(at + 464, 0, 48);
		break;
	case KVM_GET_PIT:
	case KVM_GET_PIT2:
		for (unsigned n = 0; n < 3; n++)
			memset(&pit->channels[n].count_load_time, 0, 8);
		break;
	case KVM_GET_MSRS:
		for (u32 n = 0; n < m->nmsrs && n < 255; n++)
			if (m->entries[n].index == 0x10 || m->entries[n].index == 0x3b ||
			    (m->entries[n].index & ~0xffu) == 0x40000000)
				m->entries[n].data = 0;
		break;
	}
}

static void show(const u8 *at, u64 bytes)
{
	for (u64 n = 0; n < bytes; n += 8) {
		u64 word = 0;

		memcpy(&word, at + n, MIN_OF(8, bytes - n));
		if (word)
			fprintf(out, "    %#06llx: %016llx\n", (unsigned long long)n, (unsigned long long)word);
	}
}

/* --- calls ----------------------------------------------------------------------------------- */

/* Time, the host's processor and its hugest numbers are in the answer, or a descriptor; KVM_RUN may not end. */
static bool is_left_out(const struct row *r)
{
	switch (r->request) {
	case KVM_RUN: case KVM_CREATE_VM: case KVM_CREATE_VCPU: case KVM_GET_STATS_FD: case KVM_GET_CLOCK:
	case KVM_SET_CLOCK: case KVM_GET_TSC_KHZ: case KVM_SET_TSC_KHZ: case KVM_GET_SUPPORTED_CPUID:
	case KVM_GET_EMULATED_CPUID: case KVM_GET_MSR_INDEX_LIST: case KVM_GET_MSR_FEATURE_INDEX_LIST:
	case KVM_GET_SUPPORTED_HV_CPUID: case KVM_CHECK_EXTENSION: case KVM_GET_VCPU_MMAP_SIZE:
	case KVM_SET_CPUID: case KVM_SET_CPUID2: case KVM_GET_CPUID2: case KVM_SET_SIGNAL_MASK:
	case KVM_GET_DEVICE_ATTR: case KVM_SET_DEVICE_ATTR: case KVM_X86_GET_MCE_CAP_SUPPORTED:
	case KVM_MEMORY_ENCRYPT_OP: case KVM_MEMORY_ENCRYPT_REG_REGION: case KVM_MEMORY_ENCRYPT_UNREG_REGION:
		return true;
	}
	return r->kind == SYSTEM_HANDLE;
}

/* An exit, without the state that the list of calls ends with anyway. */
static int run_once(struct tiny *t)
{
	int r;

	t->cpu[0].run->immediate_exit = 1;
	r = tiny_run(t, 0);
	t->cpu[0].run->immediate_exit = 0;
	return r;
}

static void log_call(u64 program, u32 n, const char *name, int r, u64 hash)
{
	if (dumping)
		fprintf(out, "%llu %u %s %d %08llx\n", (unsigned long long)program, n, name, r, (unsigned long long)(hash & 0xffffffff));
	else if (shown == program)
		fprintf(out, "%u %s: %d\n", n, name, r);
}

/* The answer's hash. */
static u64 call(struct worker *w, struct tiny *t, u64 program, u32 n, const struct row *r)
{
	int fd = r->kind == VM_HANDLE ? t->vm : t->cpu[0].fd, result;
	u64 arg, bytes, hash = 0;

	if (r->argument == VALUE)
		arg = one_in(w, 2) ? 0 : one_in(w, 3) ? interesting(w) : below(w, 100000);
	else if (one_in(w, 24))
		arg = (u64)(uintptr_t)bad_pointer(w);
	else
		arg = (u64)(uintptr_t)argument(w, r, fd);
	bytes = (u64)(uintptr_t)w->area + AREA_BYTES - arg;
	if (shown == program && bytes <= AREA_BYTES && r->argument != VALUE)
		show((u8 *)arg, bytes);
	result = akvm_ioctl(fd, r->request, arg);
	if (result >= 0 && r->argument != VALUE && r->argument != IN && bytes <= AREA_BYTES && !strstr(r->name, "_SET_")) {
		blank(r->request, (u8 *)arg);
		hash = hash_of((u8 *)arg, bytes);
	}
	log_call(program, n, r->name, result, hash);
	if (shown == program && hash)
		show((u8 *)arg, bytes);
	return hash ^ (u64)(u32)result;
}

/* What a row's GET gives at the end. */
static u64 state(struct worker *w, struct tiny *t, u64 program, u32 n, const struct row *r)
{
	u64 bytes = r->request >> 16 & 0x3fff, hash = 0;
	u8 *at;
	int result;

	if (r->request == KVM_GET_XSAVE2)
		bytes = 4096;
	at = w->area + AREA_BYTES - MAX_OF(bytes, xsave_bytes);
	memset(at, 0, MAX_OF(bytes, xsave_bytes));
	if (r->request == KVM_GET_IRQCHIP)
		at[0] = (u8)(n % 3);
	result = akvm_ioctl(r->kind == VM_HANDLE ? t->vm : t->cpu[0].fd, r->request, (unsigned long)at);
	if (result >= 0) {
		blank(r->request, at);
		hash = hash_of(at, bytes);
	}
	log_call(program, n, r->name, result, hash);
	if (shown == program && hash)
		show(at, bytes);
	return hash ^ (u64)(u32)result;
}

static bool is_state(const struct row *r)
{
	return r->kind != SYSTEM_HANDLE && !is_left_out(r) && (r->argument == OUT || r->request == KVM_GET_IRQCHIP);
}

/* Every machine has the same processor: what all have.  No XSAVE, whose layout is the host's. */
static void plain_processor(struct tiny *t)
{
	static struct tiny_cpuid c;

	memset(&c, 0, sizeof(c));
	c.head.nent = 4;
	c.entry[0] = (struct kvm_cpuid_entry2){ .function = 0, .eax = 1, .ebx = 0x68747541, .edx = 0x69746e65, .ecx = 0x444d4163 };
	c.entry[1] = (struct kvm_cpuid_entry2){ .function = 1, .eax = 0x800f12, .edx = 0x078bfbff, .ecx = 0x00202001 };
	c.entry[2] = (struct kvm_cpuid_entry2){ .function = 0x80000000, .eax = 0x80000008 };
	c.entry[3] = (struct kvm_cpuid_entry2){ .function = 0x80000001, .edx = 0x2c100800 | 0x078bfbff, .ecx = 1 };
	MUST(cpu_ioctl(t, 0, KVM_SET_CPUID2, &c));
}

CODE64(plain, "1: out %al, $0x80\n" "in $0x81, %eax\n" "mov %eax, 0x400000\n" "incl 0x50000\n" "jmp 1b\n")

static u64 program_run(struct worker *w, u64 program)
{
	static const unsigned flags[] = { 0, TINY_IRQCHIP, TINY_IRQCHIP | TINY_PIT };
	u64 hash = 0;
	struct tiny t;
	u32 n;

	w->random = program * 1000003;
	memset(w->area, 0, AREA_BYTES);
	tiny_create(&t, flags[below(w, 3)], 1);
	plain_processor(&t);
	tiny_load(&t, TINY_64, BLOB(plain));
	tiny_start(&t, 0, TINY_64);
	for (n = 0; n < CALLS; n++) {
		const struct row *r = &rows[below(w, ARRAY_LEN(rows))];

		if (one_in(w, 10)) {
			int result = run_once(&t);

			log_call(program, n, "KVM_RUN", result, 0);
			hash = hash * 31 + (u64)(u32)result;
		} else if (!is_left_out(r)) {
			hash = hash * 31 + call(w, &t, program, n, r);
		}
	}
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (is_state(&rows[i]))
			hash = hash * 31 + state(w, &t, program, n++, &rows[i]);
	tiny_destroy(&t);
	return hash;
}

/* --- main ---------------------------------------------------------------------------------------- */

/* Every KVM has them. */
static const u32 common_msrs[] = {
	0x174, 0x175, 0x176, 0x1b, 0x17a, 0x179, 0x1a0, 0x277, 0x200, 0x201, 0x20e, 0x20f, 0x250, 0x258, 0x259, 0x268,
	0x26f, 0x2ff, 0x400, 0x401, 0x402, 0x403, 0x404, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084,
	0xc0000100, 0xc0000101, 0xc0000102, 0xc0010015, 0x4b564d00, 0x4b564d01, 0x4b564d03, 0x11, 0x12, 0x8b, 0xfe,
};

static u64 count = 100, seed = 1;
static struct worker worker;

static void programs_are_repeatable(void)
{
	for (u64 n = 0; n < count; n++) {
		u64 first = program_run(&worker, seed * 1000000 + n);

		if (dumping)
			continue;
		if (program_run(&worker, seed * 1000000 + n) != first) {
			fprintf(stderr, "program %llu gives something else when it is run again\n", (unsigned long long)(seed * 1000000 + n));
			test_failures++;
		}
	}
}

int main(int argc, char **argv)
{
	out = stdout;
	for (int n = 1; n < argc; n++) {
		const char *equals = strchr(argv[n], '=');
		u64 value = equals ? strtoull(equals + 1, NULL, 0) : 0;

		if (!strncmp(argv[n], "count=", 6))
			count = value;
		else if (!strncmp(argv[n], "seed=", 5))
			seed = value;
		else if (!strncmp(argv[n], "show=", 5))
			shown = value;
		else
			dumping = true;
	}
	if (on_dev_kvm() && access("/dev/kvm", R_OK | W_OK)) {
		TEST_SKIP("programs_are_repeatable", "no usable /dev/kvm");
		return 0;
	}
	if (!dumping)
		tiny_watchdog();
	arguments_init();
	worker.area = area_make();
	foreign_fds = 1000;
	memcpy(msr_list, common_msrs, sizeof(common_msrs));
	msr_count = ARRAY_LEN(common_msrs);
	if (shown != ~0ull)
		program_run(&worker, shown);
	else if (dumping)
		programs_are_repeatable();
	else
		TEST(programs_are_repeatable);
	return test_status();
}
