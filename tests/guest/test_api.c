// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_api.c - the KVM API's edges: every row of ioctl.def, arguments, errors, capabilities
 *
 * What crosses is placed so that it ends where an unmapped page begins: a byte too many in
 * either direction is a crash here, and an -EFAULT that should not be.
 */
#include "tests/guest/rows.h"
#include "tests/guest/tiny.h"

#include <sys/resource.h>

CODE64(one_cpuid, "cpuid\n" DONE)
CODE64(one_store, "movl $0x55, 0x50000\n" DONE)
CODE64(two_stores, "mov $0x400000, %ebx; movl $0x55, (%rbx); movl $0x66, 8(%rbx)\n" DONE)

static u32 seed = 1;

static u32 random_u32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

static u64 random_u64(void)
{
	return (u64)random_u32() << 32 | random_u32();
}

static u8 *guarded;		/* two pages (more for XSAVE) that end at a page that is not there */
#define GUARDED_BYTES	(4 * PAGE_BYTES)

static void guarded_init(void)
{
	guarded = tiny_pages(GUARDED_BYTES + PAGE_BYTES);
	munmap(guarded + GUARDED_BYTES, PAGE_BYTES);
}

static unsigned long row_bytes(const struct row *r)
{
	return r->request >> 16 & 0x3fff;
}

static int handle_of(struct tiny *t, enum handle_kind kind)
{
	return kind == SYSTEM_HANDLE ? t->system : kind == VM_HANDLE ? t->vm : t->cpu[0].fd;
}

static int call(struct tiny *t, const struct row *r, void *arg)
{
	return akvm_ioctl(handle_of(t, r->kind), r->request, (unsigned long)arg);
}

/* Would have effects that the rest of the test cannot stand. */
static bool is_special(const struct row *r)
{
	return r->request == KVM_RUN || r->request == KVM_CREATE_VM || r->request == KVM_CREATE_VCPU ||
	       r->request == KVM_GET_STATS_FD;
}

static const unsigned chips[] = { 0, TINY_IRQCHIP, TINY_IRQCHIP | TINY_PIT };

static void arguments_that_are_not_there(void)
{
	u8 *hole = guarded + GUARDED_BYTES;
	void *const bad[] = { NULL, hole, (void *)1, (void *)0xffffffffffffff00ull, (void *)0x800000000000ull,
			      (void *)0x7ffffffffff8ull };

	for (unsigned c = 0; c < ARRAY_LEN(chips); c++) {
		struct tiny t;

		tiny_create(&t, chips[c], 1);
		for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
			const struct row *r = &rows[n];

			if (r->argument == VALUE)
				continue;
			for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
				int result = call(&t, r, bad[i]);

				if (!bad[i] && r->request == KVM_SET_SIGNAL_MASK)
					continue;	/* NULL: no mask */
				if ((r->argument == IN || r->argument == INOUT) ? result != -EFAULT : result >= 0) {
					fprintf(stderr, "  %s(%p) is %d\n", r->name, bad[i], result);
					test_failures++;
				}
			}
		}
		tiny_destroy(&t);
	}
}

/* Zeroed arguments of just the right size, at the end of what is mapped. */
static void arguments_that_just_fit(void)
{
	for (unsigned c = 0; c < ARRAY_LEN(chips); c++) {
		struct tiny t;
		u64 xsave;

		tiny_create(&t, chips[c], 1);
		xsave = (u64)vm_ioctl(&t, KVM_CHECK_EXTENSION, (void *)KVM_CAP_XSAVE2);
		for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
			const struct row *r = &rows[n];
			u64 bytes = row_bytes(r);
			int result;

			if (r->argument == VALUE || is_special(r))
				continue;
			if (r->request == KVM_GET_XSAVE2 || r->request == KVM_SET_XSAVE)
				bytes = xsave > 4096 ? xsave : 4096;
			if (r->request == KVM_REINJECT_CONTROL)		/* a number without a size */
				bytes = sizeof(struct kvm_reinject_control);
			if (r->request == KVM_GET_DEVICE_ATTR || r->request == KVM_SET_DEVICE_ATTR)
				continue;	/* they hold another pointer */
			memset(guarded, 0x5a, GUARDED_BYTES);
			memset(guarded + GUARDED_BYTES - bytes, 0, bytes);
			result = call(&t, r, guarded + GUARDED_BYTES - bytes);
			if (result == -EFAULT) {
				fprintf(stderr, "  %s: -EFAULT although %llu bytes are there\n", r->name,
					(unsigned long long)bytes);
				test_failures++;
			}
			if (guarded[GUARDED_BYTES - bytes - 1] != 0x5a) {
				fprintf(stderr, "  %s wrote before its argument\n", r->name);
				test_failures++;
			}
			if (r->argument == IN && result >= 0)
				for (u64 i = 0; i < bytes; i++)
					if (guarded[GUARDED_BYTES - bytes + i]) {
						fprintf(stderr, "  %s wrote to what it only reads\n", r->name);
						test_failures++;
						break;
					}
			/* One byte less, and it must not be served. */
			if (bytes && (r->argument == IN || r->argument == INOUT))
				EXPECT_EQ(call(&t, r, guarded + GUARDED_BYTES - bytes + 1), -EFAULT);
			if (bytes && r->argument == OUT)
				EXPECT(call(&t, r, guarded + GUARDED_BYTES - bytes + 1) < 0);
		}
		tiny_destroy(&t);
	}
}

/* Whatever it holds: an answer, not a crash; and the VM is still usable, or says that it is not. */
static void arguments_of_noise(void)
{
	struct kvm_regs regs;
	struct tiny t;

	for (unsigned round = 0; round < 300; round++) {
		tiny_create(&t, chips[round % ARRAY_LEN(chips)], 1);
		for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
			const struct row *r = &rows[random_u32() % ARRAY_LEN(rows)];
			u64 bytes = row_bytes(r);
			u8 *at = guarded + GUARDED_BYTES - bytes;
			unsigned kind = random_u32() % 4;

			if (is_special(r) || r->request == KVM_SET_USER_MEMORY_REGION)
				continue;
			if (r->argument == VALUE) {
				call(&t, r, (void *)(kind == 0 ? ~0ull : kind == 1 ? random_u64() : random_u32() % 300));
				continue;
			}
			for (u64 i = 0; i < bytes; i++)
				at[i] = kind == 0 ? 0xff : kind == 1 ? (u8)random_u32() :
					(u8)(random_u32() % 8 ? 0 : random_u32());
			/* Many counts are in the first word: small ones get further. */
			if (kind == 3 && bytes >= 4)
				memcpy(at, &(u32){ random_u32() % 5 }, 4);
			call(&t, r, at);
		}
		t.cpu[0].run->immediate_exit = 1;
		tiny_run(&t, 0);
		EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_REGS, &regs), 0);
		tiny_destroy(&t);
	}
}

/* Random code is run for a moment in every mode: any exit will do. */
static bool serve_anything(struct tiny_thread *h, int exit)
{
	(void)h;
	(void)exit;
	return true;
}

static void running_noise(void)
{
	for (unsigned round = 0; round < 60; round++) {
		struct tiny_thread h = { .serve = serve_anything };
		enum tiny_mode mode = round % TINY_MODES;
		struct tiny t;

		tiny_create(&t, chips[round % ARRAY_LEN(chips)], 1);
		tiny_load(&t, mode, guarded, guarded);
		for (u64 n = 0; n < 0x1000; n += 4)
			tiny_put(&t, TINY_CODE + n, 4, random_u32());
		tiny_start(&t, 0, mode);
		tiny_thread_start(&h, &t, 0);
		usleep(500);
		tiny_thread_stop(&h);
		EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_REGS, &(struct kvm_regs){ 0 }), 0);
		tiny_destroy(&t);
	}
}

/* --- handles -------------------------------------------------------------------------------- */

static void ioctls_on_the_wrong_handle(void)
{
	struct tiny t;

	tiny_create(&t, 0, 1);
	for (unsigned n = 0; n < ARRAY_LEN(rows); n++)
		for (unsigned kind = SYSTEM_HANDLE; kind <= VCPU_HANDLE; kind++) {
			bool there = false;
			int r;

			for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
				there |= rows[i].kind == kind && rows[i].request == rows[n].request;
			if (there)
				continue;
			memset(guarded, 0, GUARDED_BYTES);
			r = akvm_ioctl(handle_of(&t, kind), rows[n].request, (unsigned long)guarded);
			EXPECT_EQ(r, kind == VM_HANDLE ? -ENOTTY : -EINVAL);
		}
	tiny_destroy(&t);
}

static void handles_that_are_not(void)
{
	int plain = open("/dev/null", O_RDWR | O_CLOEXEC), pipe_fds[2];
	struct tiny t;

	tiny_create(&t, 0, 1);
	EXPECT_EQ(akvm_ioctl(-1, KVM_GET_API_VERSION, 0), -EBADF);
	EXPECT_EQ(akvm_ioctl(plain, KVM_GET_API_VERSION, 0), -EBADF);
	EXPECT_EQ(akvm_ioctl(0x7fffffff, KVM_GET_API_VERSION, 0), -EBADF);
	EXPECT_EQ(akvm_close(-1), -EBADF);
	EXPECT_EQ(akvm_close(plain), -EBADF);
	EXPECT_EQ(fcntl(plain, F_GETFD), FD_CLOEXEC);	/* it was left alone */
	EXPECT(!akvm_mmap(plain, PAGE_BYTES, 0));
	EXPECT(!akvm_mmap(t.vm, PAGE_BYTES, 0));
	EXPECT(!akvm_mmap(t.system, PAGE_BYTES, 0));
	EXPECT(!akvm_mmap(t.cpu[0].fd, t.run_bytes + PAGE_BYTES, 0));
	EXPECT(!akvm_mmap(t.cpu[0].fd, PAGE_BYTES, (long)t.run_bytes));
	EXPECT(!akvm_mmap(t.cpu[0].fd, PAGE_BYTES, -4096));
	EXPECT_EQ(fcntl(t.vm, F_GETFD), FD_CLOEXEC);
	EXPECT_EQ(fcntl(t.cpu[0].fd, F_GETFD), FD_CLOEXEC);
	EXPECT_EQ(akvm_ioctl(t.vm, 1ul << 32 | KVM_CHECK_EXTENSION, KVM_CAP_HLT), 1);	/* as the kernel: 32 bits */
	tiny_destroy(&t);
	EXPECT_EQ(akvm_ioctl(t.vm, KVM_CHECK_EXTENSION, KVM_CAP_HLT), -EBADF);
	/* The numbers are given to others, who are not mistaken for it. */
	if (pipe(pipe_fds))
		abort();
	EXPECT_EQ(akvm_ioctl(pipe_fds[0], KVM_GET_API_VERSION, 0), -EBADF);
	EXPECT_EQ(akvm_ioctl(pipe_fds[1], KVM_GET_API_VERSION, 0), -EBADF);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(plain);
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void nothing_is_left_behind(void)
{
	struct tiny t;
	int before;

	for (unsigned n = 0; n < 3; n++) {		/* what is made once is made */
		tiny_create(&t, TINY_IRQCHIP | TINY_PIT, 2);
		tiny_destroy(&t);
	}
	before = open_descriptors();
	for (unsigned n = 0; n < 20; n++) {
		int fd = eventfd(0, EFD_CLOEXEC);

		tiny_create(&t, TINY_IRQCHIP | TINY_PIT, 2);
		EXPECT_EQ(vm_ioctl(&t, KVM_IRQFD, &(struct kvm_irqfd){ .fd = (u32)fd, .gsi = 5 }), 0);
		EXPECT_EQ(vm_ioctl(&t, KVM_IOEVENTFD, &(struct kvm_ioeventfd){ .fd = fd, .addr = 0x1000000, .len = 4 }), 0);
		EXPECT(akvm_ioctl(t.vm, KVM_CREATE_VCPU, 0) == -EEXIST);
		close(fd);
		tiny_destroy(&t);
	}
	EXPECT_EQ(open_descriptors(), before);
}

/* Where a count is in a file of statistics; 0: there is none of that name. */
static u64 statistic_at(int file, const char *wanted)
{
	struct kvm_stats_header h;
	struct kvm_stats_desc d;
	char name[64] = "";
	u64 at;

	EXPECT_EQ(pread(file, &h, sizeof(h), 0), sizeof(h));
	at = h.desc_offset;
	for (u32 n = 0; n < h.num_desc; n++, at += sizeof(d) + h.name_size) {
		EXPECT_EQ(pread(file, &d, sizeof(d), (long)at), sizeof(d));
		EXPECT_EQ(pread(file, name, h.name_size, (long)(at + sizeof(d))), h.name_size);
		if (!strcmp(name, wanted))
			return h.data_offset + d.offset;
	}
	return 0;
}

static u64 statistic(int file, const char *name)
{
	u64 at = statistic_at(file, name), count = 0;

	EXPECT(at);
	EXPECT_EQ(pread(file, &count, 8, (long)at), 8);
	return count;
}

/* A plain file, which may outlive the VM; its numbers are the present ones. */
static void statistics_are_read_as_they_are(void)
{
	struct kvm_stats_header h;
	u64 exits;
	struct tiny t;
	int files[2];

	tiny_one(&t, TINY_64, BLOB(one_cpuid));
	files[0] = MUST(akvm_ioctl(t.cpu[0].fd, KVM_GET_STATS_FD, 0));
	files[1] = MUST(akvm_ioctl(t.vm, KVM_GET_STATS_FD, 0));
	EXPECT_DONE(&t, 0);
	exits = statistic(files[0], "exits");
	EXPECT(exits > 0);
	if (statistic_at(files[0], "soft_exits")) {	/* the processor's own, if it is a program */
		EXPECT_EQ(statistic(files[0], "soft_exits"), exits);
		EXPECT(statistic(files[0], "soft_instructions") > 0);
		EXPECT(statistic(files[0], "soft_tlb_misses_fetch") > 0);
	}
	EXPECT(write(files[0], &exits, 8) < 0);
	EXPECT_EQ(akvm_ioctl(files[0], KVM_RUN, 0), -EBADF);
	tiny_destroy(&t);
	EXPECT_EQ(pread(files[1], &h, sizeof(h), 0), sizeof(h));
	close(files[0]);
	close(files[1]);
}

/* Every vCPU's mapping shows the one ring. */
static void coalesced_writes_are_in_every_mapping(void)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = TINY_DEVICE, .size = 0x1000 };
	struct kvm_coalesced_mmio_ring *ring[2];
	struct tiny t;

	tiny_create(&t, 0, 2);
	tiny_load(&t, TINY_64, BLOB(two_stores));
	for (unsigned n = 0; n < 2; n++)
		ring[n] = (void *)((u8 *)t.cpu[n].run +
				   MUST(vm_ioctl(&t, KVM_CHECK_EXTENSION, (void *)KVM_CAP_COALESCED_MMIO)) * PAGE_BYTES);
	EXPECT_EQ(vm_ioctl(&t, KVM_REGISTER_COALESCED_MMIO, &zone), 0);
	tiny_start(&t, 1, TINY_64);
	EXPECT_DONE(&t, 1);
	for (unsigned n = 0; n < 2; n++) {
		EXPECT_EQ(ring[n]->last, 2);
		EXPECT_EQ(ring[n]->coalesced_mmio[1].phys_addr, TINY_DEVICE + 8);
	}
	ring[0]->first = 2;
	EXPECT_EQ(ring[1]->first, 2);
	EXPECT_EQ(vm_ioctl(&t, KVM_UNREGISTER_COALESCED_MMIO, &zone), 0);
	tiny_start(&t, 1, TINY_64);
	EXPECT_MMIO_WRITE(&t, 1, TINY_DEVICE, 4, 0x55);
	tiny_destroy(&t);
}

/* A ring is mapped twice, and both show what the guest wrote. */
static void dirty_rings_are_mapped(void)
{
	long at = (long)(KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_BYTES);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { PAGE_BYTES } };
	struct kvm_dirty_gfn *ring[2];
	struct tiny t;

	tiny_create(&t, 0, 1);
	EXPECT(!akvm_mmap(t.cpu[0].fd, PAGE_BYTES, at));
	EXPECT_EQ(vm_ioctl(&t, KVM_ENABLE_CAP, &cap), -EINVAL);
	EXPECT_EQ(vm_ioctl(&t, KVM_RESET_DIRTY_RINGS, NULL), -EINVAL);
	tiny_destroy(&t);
	tiny_vm_create(&t, 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_ENABLE_CAP, &cap), 0);
	tiny_cpu_create(&t);
	EXPECT(!akvm_mmap(t.cpu[0].fd, 2 * PAGE_BYTES, at));
	for (unsigned n = 0; n < 2; n++)
		if (!(ring[n] = akvm_mmap(t.cpu[0].fd, PAGE_BYTES, at)))
			abort();
	tiny_load(&t, TINY_64, BLOB(one_store));
	tiny_start(&t, 0, TINY_64);
	EXPECT_EQ(tiny_slot(&t, 0, 0, t.memory, TINY_BYTES, KVM_MEM_LOG_DIRTY_PAGES), 0);
	EXPECT_DONE(&t, 0);
	EXPECT_EQ(memcmp(ring[0], ring[1], PAGE_BYTES), 0);
	for (unsigned n = 0; n < 16; n++)	/* page tables were accessed, too */
		if (ring[0][n].offset == TINY_DATA >> 12 && ring[0][n].flags == KVM_DIRTY_GFN_F_DIRTY)
			ring[1][n].flags |= KVM_DIRTY_GFN_F_RESET, ring[0] = &ring[0][n];
	EXPECT_EQ(ring[0]->flags, KVM_DIRTY_GFN_F_DIRTY | KVM_DIRTY_GFN_F_RESET);
	tiny_destroy(&t);
	munmap((void *)((uintptr_t)ring[0] & ~(PAGE_BYTES - 1)), PAGE_BYTES);
	munmap(ring[1], PAGE_BYTES);
}

/* --- errors ------------------------------------------------------------------------------------ */

/* No descriptor is left to give: what was made for it is unmade. */
static void descriptors_run_out(void)
{
	struct rlimit limit;
	struct tiny t;
	int fd;

	tiny_create(&t, 0, 1);
	fd = dup(t.vm);
	close(fd);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t)fd;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned n = 0; n < 8; n++) {
		EXPECT_EQ(akvm_ioctl(t.system, KVM_CREATE_VM, 0), -EMFILE);
		EXPECT_EQ(akvm_ioctl(t.vm, KVM_CREATE_VCPU, 1), -EMFILE);
	}
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	fd = akvm_ioctl(t.vm, KVM_CREATE_VCPU, 1);	/* the number is free again */
	EXPECT(fd >= 0);
	akvm_close(fd);
	tiny_destroy(&t);
}

static void counts_have_limits(void)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e[300]; } msrs;
	struct { struct kvm_msr_list head; u32 index[300]; } list;
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry e[2]; } routing;
	struct tiny_cpuid *cpuid = calloc(1, sizeof(*cpuid));
	struct tiny t;

	tiny_create(&t, TINY_IRQCHIP, 1);
	memset(&msrs, 0, sizeof(msrs));
	msrs.head.nmsrs = 256;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_MSRS, &msrs), -E2BIG);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_MSRS, &msrs), -E2BIG);
	msrs.head.nmsrs = ~0u;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_MSRS, &msrs), -E2BIG);
	EXPECT_EQ(akvm_ioctl(t.system, KVM_GET_MSRS, (unsigned long)&msrs), -E2BIG);
	msrs.head.nmsrs = 0;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_MSRS, &msrs), 0);
	/* Stops at the first that it does not know. */
	msrs.head.nmsrs = 3;
	msrs.e[0].index = X86_MSR_STAR;
	msrs.e[1].index = 0x0badc0de;
	msrs.e[2].index = X86_MSR_LSTAR;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_MSRS, &msrs), 1);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_MSRS, &msrs), 1);

	memset(&list, 0, sizeof(list));
	EXPECT_EQ(akvm_ioctl(t.system, KVM_GET_MSR_INDEX_LIST, (unsigned long)&list), -E2BIG);
	EXPECT(list.head.nmsrs > 20 && list.head.nmsrs < 300);
	EXPECT_EQ(akvm_ioctl(t.system, KVM_GET_MSR_INDEX_LIST, (unsigned long)&list), 0);
	for (u32 n = 0; n < list.head.nmsrs; n++) {	/* each in the list can be read, and written back */
		msrs.head.nmsrs = 1;
		msrs.e[0].index = list.index[n];
		if (cpu_ioctl(&t, 0, KVM_GET_MSRS, &msrs) != 1 || cpu_ioctl(&t, 0, KVM_SET_MSRS, &msrs) != 1) {
			fprintf(stderr, "  MSR %#x of the list cannot be saved and restored\n", list.index[n]);
			test_failures++;
		}
	}
	list.head.nmsrs = 0;
	EXPECT_EQ(akvm_ioctl(t.system, KVM_GET_MSR_FEATURE_INDEX_LIST, (unsigned long)&list), -E2BIG);
	EXPECT_EQ(akvm_ioctl(t.system, KVM_GET_MSR_FEATURE_INDEX_LIST, (unsigned long)&list), 0);
	for (u32 n = 0; n < list.head.nmsrs; n++) {
		msrs.head.nmsrs = 1;
		msrs.e[0].index = list.index[n];
		EXPECT_EQ(akvm_ioctl(t.system, KVM_GET_MSRS, (unsigned long)&msrs), 1);
	}

	cpuid->head.nent = 1;
	EXPECT_EQ(akvm_ioctl(t.system, KVM_GET_SUPPORTED_CPUID, (unsigned long)cpuid), -E2BIG);
	cpuid->head.nent = 257;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_CPUID2, cpuid), -E2BIG);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_CPUID, cpuid), -E2BIG);
	cpuid->head.nent = ~0u;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_CPUID2, cpuid), -E2BIG);
	cpuid->head.nent = 1;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_CPUID2, cpuid), -E2BIG);
	EXPECT(cpuid->head.nent > 1 && cpuid->head.nent <= 256);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_CPUID2, cpuid), 0);

	memset(&routing, 0, sizeof(routing));
	routing.head.nr = 4097;
	EXPECT_EQ(vm_ioctl(&t, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.head.nr = ~0u;
	EXPECT_EQ(vm_ioctl(&t, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.head.nr = 1;
	routing.e[0].type = 77;
	EXPECT_EQ(vm_ioctl(&t, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.e[0] = (struct kvm_irq_routing_entry){ .gsi = 4096, .type = KVM_IRQ_ROUTING_MSI };
	EXPECT_EQ(vm_ioctl(&t, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.e[0] = (struct kvm_irq_routing_entry){ .gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP,
						       .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 24 } };
	EXPECT_EQ(vm_ioctl(&t, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.head.nr = 0;
	EXPECT_EQ(vm_ioctl(&t, KVM_SET_GSI_ROUTING, &routing), 0);
	free(cpuid);
	tiny_destroy(&t);
}

static void slots_are_checked(void)
{
	u8 *m = tiny_pages(0x10000);
	struct tiny t;

	tiny_create(&t, 0, 1);
	EXPECT_EQ(tiny_slot(&t, 1, 0x1000001, m, 0x1000, 0), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 1, 0x1000000, m + 1, 0x1000, 0), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 1, 0x1000000, m, 0x1001, 0), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 1, 0x1000000, m, 0x1000, 0x80), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 1, ~0xfffull, m, 0x2000, 0), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 1, 0x1000000, (void *)0xffff800000000000ull, 0x1000, 0), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 1, 0x3ff000, m, 0x2000, 0), -EEXIST);
	EXPECT_EQ(tiny_slot(&t, 0x8000, 0x1000000, m, 0x1000, 0), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 2 << 16, 0x1000000, m, 0x1000, 0), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 1, 0, NULL, 0, 0), -EINVAL);		/* not there to be deleted */
	EXPECT_EQ(tiny_slot(&t, 1, 0x1000000, m, 0x10000, 0), 0);
	EXPECT_EQ(tiny_slot(&t, 1, 0x1000000, m, 0x8000, 0), -EINVAL);	/* size and place stay */
	EXPECT_EQ(tiny_slot(&t, 1, 0x1000000, m + 0x1000, 0x10000, 0), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 1, 0x1000000, m, 0x10000, KVM_MEM_READONLY), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 1, 0x2000000, m, 0x10000, 0), 0);	/* it may move */
	EXPECT_EQ(tiny_slot(&t, 1, 0x2000000, m, 0x10000, KVM_MEM_LOG_DIRTY_PAGES), 0);
	EXPECT_EQ(tiny_slot(&t, 1, 0x2000000, m, 0x10000, KVM_MEM_LOG_DIRTY_PAGES), 0);	/* no change */
	EXPECT_EQ(vm_ioctl(&t, KVM_GET_DIRTY_LOG, &(struct kvm_dirty_log){ .slot = 0 }), -ENOENT);
	EXPECT_EQ(vm_ioctl(&t, KVM_GET_DIRTY_LOG, &(struct kvm_dirty_log){ .slot = 77 }), -ENOENT);
	EXPECT_EQ(vm_ioctl(&t, KVM_GET_DIRTY_LOG, &(struct kvm_dirty_log){ .slot = 0x7fff0000 }), -EINVAL);
	EXPECT_EQ(tiny_slot(&t, 1, 0, NULL, 0, 0), 0);
	tiny_destroy(&t);
	munmap(m, 0x10000);
}

static void calls_come_in_an_order(void)
{
	struct kvm_userspace_memory_region none = { 0 };
	struct tiny t;

	tiny_vm_create(&t, 0);
	EXPECT_EQ(akvm_ioctl(t.system, KVM_CREATE_VM, 77), -EINVAL);
	EXPECT_EQ(akvm_ioctl(t.system, KVM_GET_API_VERSION, 1), -EINVAL);
	EXPECT_EQ(akvm_ioctl(t.system, KVM_GET_API_VERSION, 0), 12);
	EXPECT_EQ(akvm_ioctl(t.system, KVM_GET_VCPU_MMAP_SIZE, 1), -EINVAL);
	EXPECT_EQ(akvm_ioctl(t.vm, KVM_CREATE_VCPU, 100000), -EINVAL);
	EXPECT_EQ(akvm_ioctl(t.vm, KVM_CREATE_VCPU, ~0ul), -EINVAL);
	EXPECT_EQ(vm_ioctl(&t, KVM_IRQ_LINE, &(struct kvm_irq_level){ .irq = 1 }), -ENXIO);
	EXPECT_EQ(vm_ioctl(&t, KVM_GET_IRQCHIP, &(struct kvm_irqchip){ 0 }), -ENXIO);
	EXPECT_EQ(vm_ioctl(&t, KVM_SIGNAL_MSI, &(struct kvm_msi){ 0 }), -EINVAL);
	EXPECT(vm_ioctl(&t, KVM_CREATE_PIT2, &(struct kvm_pit_config){ 0 }) < 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_GET_PIT2, &(struct kvm_pit_state2){ 0 }), -ENXIO);
	tiny_cpu_create(&t);
	EXPECT_EQ(akvm_ioctl(t.vm, KVM_CREATE_VCPU, 0), -EEXIST);
	EXPECT_EQ(vm_ioctl(&t, KVM_CREATE_IRQCHIP, NULL), -EINVAL);	/* vCPUs are there already */
	EXPECT_EQ(akvm_ioctl(t.vm, KVM_SET_BOOT_CPU_ID, 1), -EBUSY);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_GET_LAPIC, guarded), -EINVAL);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 256 }), -EINVAL);
	EXPECT_EQ(akvm_ioctl(t.cpu[0].fd, KVM_RUN, 1), -EINVAL);
	EXPECT_EQ(vm_ioctl(&t, KVM_SET_USER_MEMORY_REGION, &none), 0);	/* slot 0 deleted */
	tiny_destroy(&t);

	tiny_create(&t, TINY_IRQCHIP, 1);
	EXPECT_EQ(vm_ioctl(&t, KVM_CREATE_IRQCHIP, NULL), -EEXIST);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 3 }), -ENXIO);
	EXPECT_EQ(vm_ioctl(&t, KVM_GET_IRQCHIP, &(struct kvm_irqchip){ .chip_id = 3 }), -EINVAL);
	EXPECT_EQ(vm_ioctl(&t, KVM_CREATE_PIT2, &(struct kvm_pit_config){ 0 }), 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_CREATE_PIT2, &(struct kvm_pit_config){ 0 }), -EEXIST);
	tiny_destroy(&t);
}

static void invalid_state_is_refused(void)
{
	struct kvm_vcpu_events e;
	struct kvm_debugregs d;
	struct kvm_sregs s, good;
	struct kvm_xcrs x;
	struct tiny t;

	tiny_create(&t, 0, 1);
	good = tiny_sregs(&t, 0);
#define REFUSED(change) do { s = good; change; EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_SREGS, &s), -EINVAL); } while (0)
	REFUSED(s.cr0 |= X86_CR0_PG);				/* without PE */
	REFUSED(s.cr0 = (s.cr0 & ~X86_CR0_CD) | X86_CR0_NW);
	REFUSED(s.cr0 |= 1ull << 40);
	REFUSED(s.cr4 |= 1ull << 40);
	REFUSED(s.cr4 |= X86_CR4_VMXE);
	REFUSED(s.efer |= 2);
	REFUSED(s.efer |= X86_EFER_LMA);
	REFUSED((s.efer |= X86_EFER_LME, s.cr0 |= X86_CR0_PG | X86_CR0_PE));	/* without PAE */
	REFUSED(s.cr8 = 16);
	REFUSED(s.apic_base |= 1);
#undef REFUSED
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_SREGS, &good), 0);
	MUST(cpu_ioctl(&t, 0, KVM_GET_DEBUGREGS, &d));
	d.dr7 |= 1ull << 32;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_DEBUGREGS, &d), -EINVAL);
	MUST(cpu_ioctl(&t, 0, KVM_GET_VCPU_EVENTS, &e));
	e.exception.injected = 1;
	e.exception.nr = 32;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_VCPU_EVENTS, &e), -EINVAL);
	e.exception.injected = 0;
	e.flags = 1u << 31;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_VCPU_EVENTS, &e), -EINVAL);
	MUST(cpu_ioctl(&t, 0, KVM_GET_XCRS, &x));
	x.xcrs[0].value = 0;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_XCRS, &x), -EINVAL);
	x.xcrs[0].value = 5;					/* AVX without SSE */
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_XCRS, &x), -EINVAL);
	x.nr_xcrs = 17;
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_XCRS, &x), -EINVAL);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_MP_STATE, &(struct kvm_mp_state){ .mp_state = 99 }), -EINVAL);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_MP_STATE, &(struct kvm_mp_state){ .mp_state = KVM_MP_STATE_HALTED }), -EINVAL);
	EXPECT_EQ(cpu_ioctl(&t, 0, KVM_SET_GUEST_DEBUG, &(struct kvm_guest_debug){ .control = 1u << 30 }), 0);
	tiny_destroy(&t);
}

/* --- capabilities ---------------------------------------------------------------------------------- */

static void capabilities_agree_with_what_is_there(void)
{
	static const struct { int capability; int least, most; } expected[] = {
		{ KVM_CAP_IRQCHIP, 1, 1 }, { KVM_CAP_HLT, 1, 1 }, { KVM_CAP_USER_MEMORY, 1, 1 },
		{ KVM_CAP_NR_VCPUS, 1, 4096 }, { KVM_CAP_MAX_VCPUS, 8, 4096 }, { KVM_CAP_MAX_VCPU_ID, 8, 1 << 20 },
		{ KVM_CAP_NR_MEMSLOTS, 32, 1 << 16 }, { KVM_CAP_IRQ_ROUTING, 64, 4096 }, { KVM_CAP_XSAVE2, 4096, 1 << 16 },
		{ KVM_CAP_IMMEDIATE_EXIT, 1, 1 }, { KVM_CAP_SIGNAL_MSI, 1, 1 }, { KVM_CAP_IRQFD, 1, 1 },
		{ KVM_CAP_IOEVENTFD, 1, 1 }, { KVM_CAP_READONLY_MEM, 1, 1 }, { KVM_CAP_TSC_DEADLINE_TIMER, 1, 1 },
		{ KVM_CAP_XEN_HVM, 0, 0 }, { KVM_CAP_S390_PSW, 0, 0 },
		{ KVM_CAP_X86_SMM, 1, 1 }, { KVM_CAP_MULTI_ADDRESS_SPACE, 2, 2 }, { 100000, 0, 0 }, { -1, 0, 0 },
	};
	struct tiny t;

	tiny_create(&t, 0, 1);
	for (unsigned n = 0; n < ARRAY_LEN(expected); n++) {
		unsigned long number = (unsigned long)(long)expected[n].capability;
		int system = akvm_ioctl(t.system, KVM_CHECK_EXTENSION, number);
		int vm = akvm_ioctl(t.vm, KVM_CHECK_EXTENSION, number);

		if (system < expected[n].least || system > expected[n].most || vm != system) {
			fprintf(stderr, "  capability %d: %d on the system, %d on a VM\n", expected[n].capability, system, vm);
			test_failures++;
		}
	}
	for (unsigned long n = 0; n < 300; n++)
		EXPECT(akvm_ioctl(t.system, KVM_CHECK_EXTENSION, n) >= 0);
	EXPECT_EQ(vm_ioctl(&t, KVM_ENABLE_CAP, &(struct kvm_enable_cap){ .cap = 100000 }), -EINVAL);
	EXPECT_EQ(vm_ioctl(&t, KVM_ENABLE_CAP, &(struct kvm_enable_cap){ .cap = KVM_CAP_DISABLE_QUIRKS2, .flags = 1 }), -EINVAL);
	EXPECT_EQ(vm_ioctl(&t, KVM_ENABLE_CAP, &(struct kvm_enable_cap){ .cap = KVM_CAP_DISABLE_QUIRKS2, .args[0] = ~0ull }), -EINVAL);
	tiny_destroy(&t);
}

static int capability(struct tiny *t, u64 which)
{
	return akvm_ioctl(t->system, KVM_CHECK_EXTENSION, which);
}

/* What the host lacks, the guest's CPUID lacks; what we say is consistent in itself. */
static void supported_cpuid_is_sound(void)
{
	struct tiny_cpuid c;
	struct kvm_cpuid_entry2 *e;
	const char *npt = getenv("ANYKVM_NPT");
	u32 host[4];
	struct tiny t;

	tiny_create(&t, 0, 1);
	tiny_cpuid_supported(&t, &c);
	EXPECT(c.head.nent > 10 && c.head.nent < TINY_CPUID_MAX);
	for (u32 n = 0; n < c.head.nent; n++)
		for (u32 i = 0; i < n; i++)
			EXPECT(c.entry[n].function != c.entry[i].function || c.entry[n].index != c.entry[i].index);
	__asm__("cpuid" : "=a"(host[0]), "=b"(host[1]), "=c"(host[2]), "=d"(host[3]) : "a"(7), "c"(0));
	e = tiny_leaf(&c, 7, 0);
	EXPECT(e != NULL);
	/* Vector instructions run on the host's silicon: AVX2, AVX512F, AVX512BW. */
	EXPECT(!e || !(e->ebx & ~host[1] & (1u << 5 | 1u << 16 | 1u << 30)));
	e = tiny_leaf(&c, 0x80000001, 0);
	EXPECT(e && (e->edx & 1u << 29));		/* long mode */
	/* SVM goes with the state that there is to save. */
	EXPECT_EQ(e && (e->ecx & 1u << 2), capability(&t, KVM_CAP_NESTED_STATE) == 128 + 4096);
	EXPECT(npt && !strcmp(npt, "0") ? !capability(&t, KVM_CAP_NESTED_STATE) : 1);
	e = tiny_leaf(&c, 1, 0);
	EXPECT(e && !(e->ecx & 1u << 5));		/* no VMX */
	EXPECT(e && (e->edx & 1u << 9));		/* APIC */
	e = tiny_leaf(&c, 0x80000008, 0);
	EXPECT(e && (e->eax & 0xff) >= 36 && (e->eax & 0xff) <= 52);
	tiny_destroy(&t);
}

/*
 * LeakSanitizer's own scan faults after the noise here (it reads outside what is mapped), so
 * this program does without; nothing_is_left_behind counts what matters.
 */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

int main(void)
{
	tiny_watchdog();
	guarded_init();
	TEST(arguments_that_are_not_there);
	TEST(arguments_that_just_fit);
	TEST(arguments_of_noise);
	TEST(running_noise);
	TEST(ioctls_on_the_wrong_handle);
	TEST(handles_that_are_not);
	TEST(nothing_is_left_behind);
	TEST(statistics_are_read_as_they_are);
	TEST(coalesced_writes_are_in_every_mapping);
	TEST(dirty_rings_are_mapped);
	TEST(descriptors_run_out);
	TEST(counts_have_limits);
	TEST(slots_are_checked);
	TEST(calls_come_in_an_order);
	TEST(invalid_state_is_refused);
	TEST(capabilities_agree_with_what_is_there);
	TEST(supported_cpuid_is_sound);
	return test_status();
}
