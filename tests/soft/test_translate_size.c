// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_translate_size.c - how many host instructions a guest instruction becomes
 *
 * Each line of tests/soft/translate_size.txt is a guest instruction, alone in a block, and
 * the host instructions that are executed for it where all is well: no TLB miss, flags in
 * memory before and dead behind.  C: the executor has it.  What every block has (counting,
 * leaving) is not counted; a look at the vector level is.  Changes of the file are for a
 * review to read; build/tests/soft/test_translate_size --write makes it anew.
 */
#include "soft/translate.h"
#include "tests/soft/guest.h"

#define FILE_NAME "tests/soft/translate_size.txt"

#define CASE(name, text) \
	__asm__(".pushsection .rodata\n.intel_syntax noprefix\n" #name ": " text "\n" #name "_end: .byte 0\n" \
		".att_syntax prefix\n.popsection\n"); \
	extern const u8 name[], name##_end[];
#include "tests/soft/translate_size.def"
#undef CASE

static const struct { const char *text; const u8 *code, *end; } cases[] = {
#define CASE(name, text) { text, name, name##_end },
#include "tests/soft/translate_size.def"
#undef CASE
};

static struct guest g;

static void machine_make(void)
{
	struct soft_code code = guest_code_memory(4 << 20);

	guest_long(&g, (const u8 *)"\xf4", (const u8 *)"\xf4" + 1);
	g.cpu = guest_pages(soft_cpu_bytes());
	soft_cpu_init(g.cpu, 0, &code);
	g.vmcb->save.cr4 |= X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	guest_run(&g);
}

/* Host instructions from the block's body to the call or jump that leaves it, which counts. */
static unsigned count_host(const u8 *at)
{
	for (unsigned host = 1;; host++) {
		struct x86_insn i;

		if (x86_decode(&i, at, 15, 64) != X86_DECODED)
			return 0;
		if (i.op == X86_OP_JMP || i.op == X86_OP_CALL)
			return host;
		at += i.len;
	}
}

/* The block of some code and TEST EAX, EAX (so that flags are dead before) and HLT. */
static unsigned translate(const u8 *code, u64 len, u64 rip)
{
	struct soft_translator *t = g.cpu->translator;
	const struct code_block *block;
	u32 view;

	memcpy(g.memory + rip, code, len);
	memcpy(g.memory + rip + len, "\x85\xc0\xf4", 3);
	memcpy(g.memory + rip + 64, "\x85\xc0\xf4", 3);	/* where branches lead: the path goes on there */
	view = code_view_at(g.cpu, SOFT_SUPERVISOR, rip);
	block = view ? translate_block(g.cpu, SOFT_SUPERVISOR, rip, view, false) : NULL;
	return block ? count_host(t->code.run + block->body) : 0;
}

static const char *line_of(unsigned n)
{
	static char line[160];
	const struct translation *b = &g.cpu->translator->translation;
	u64 at = GUEST_CODE + 0x1000 + n * 64;
	unsigned rest = translate(NULL, 0, at + 48);
	unsigned host = translate(cases[n].code, (u64)(cases[n].end - cases[n].code), at);

	if (b->insn[b->count - 1].flags & X86_F_BRANCH)
		rest = 1;		/* the count of instructions */
	if (!b->native[0])
		snprintf(line, sizeof(line), "%-64s   C\n", cases[n].text);
	else
		snprintf(line, sizeof(line), "%-64s %3u\n", cases[n].text, host - rest);
	return line;
}

static __attribute__((unused)) void test_sizes(void)
{
	char expected[160];
	FILE *f = fopen(FILE_NAME, "r");

	EXPECT(f);
	for (unsigned n = 0; f && n < sizeof(cases) / sizeof(cases[0]); n++) {
		const char *line = line_of(n);

		if (!fgets(expected, sizeof(expected), f))
			expected[0] = 0;
		if (strcmp(line, expected))
			fprintf(stderr, "now:    %sbefore: %sread the change, then: build/tests/soft/test_translate_size --write\n",
				line, expected);
		EXPECT(!strcmp(line, expected));
	}
	EXPECT(f && !fgets(expected, sizeof(expected), f));
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	machine_make();
	if (argc > 1 && !strcmp(argv[1], "--write")) {
		FILE *f = fopen(FILE_NAME, "w");

		for (unsigned n = 0; f && n < sizeof(cases) / sizeof(cases[0]); n++)
			fputs(line_of(n), f);
		return f && !fclose(f) ? 0 : 1;
	}
#ifdef SOFT_FPU_EAGER	/* there the executor has all vector instructions */
	TEST_SKIP("test_sizes", "a sanitizer's build");
#else
	TEST(test_sizes);
#endif
	return test_status();
}
