# anykvm - see README.md for the two commands that matter; this file is meant to be read.
#
#   make          build build/anykvm, build/libanykvm.so and build/libanykvm-preload.so
#   make run      install what is missing, build, boot Debian's kernel to a shell
#   make test     install what is missing, build, run the tests (about ten minutes)
#   make check    the slow and sanitized tests too
#   make modules  build kvm.ko and kvm-amd.ko for Debian's kernel, in build/module
#   make dkms-deb build/anykvm-dkms.deb, a Debian package of the modules' sources for DKMS
#   make suites   the reference suites as a scoreboard: KUT=<built kvm-unit-tests> KUT32=<for i386> SELFTESTS=<Linux sources>
#   make bench    the yardstick: native, QEMU TCG and ours side by side
#   make exits    what an exit costs on our modules and on Linux's, in instructions
#   make fmt      clang-format over the lines changed since the last commit
#
# Folders obey the dependency rule of ARCHITECTURE.md; tools/audit checks it.  Every *.c of
# a folder belongs to it, so there are no lists of files here.

SAN ?=
BUILD := build$(if $(SAN),-$(SAN))
ifeq ($(origin CC),default)
CC := gcc
endif
WERROR ?=

# -- flags ---------------------------------------------------------------------------
SEMANTICS := -std=gnu11 -fno-strict-aliasing -fno-strict-overflow -fno-delete-null-pointer-checks -fno-common
WARNINGS  := -Wall -Wextra -Wshadow -Wundef -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	     -Wimplicit-fallthrough -Wformat=2 $(if $(WERROR),-Werror)
HARDENING := -fstack-protector-strong -fcf-protection=none
OPT       ?= -O2 -g
CFLAGS_ALL := $(SEMANTICS) $(WARNINGS) $(HARDENING) $(OPT) -fPIC -fvisibility=hidden -pthread -D_GNU_SOURCE \
	      -I. -Iinclude $(CFLAGS)
# The core is compiled as kernel code is: the guest's vector state stays in the registers.
CORE_FLAGS := -mgeneral-regs-only -mno-red-zone
LDLIBS_VMM := -lslirp -luring
ifeq ($(SAN),asan)
CFLAGS_ALL += -fsanitize=address,undefined -fno-sanitize-recover=undefined -DSOFT_FPU_EAGER
LDSAN := -fsanitize=address,undefined
endif
ifeq ($(SAN),tsan)
CFLAGS_ALL += -fsanitize=thread -DSOFT_FPU_EAGER
LDSAN := -fsanitize=thread
endif

CORE_FOLDERS := base x86 core svm soft insn/soft api
LIB_FOLDERS  := $(CORE_FOLDERS) host/posix api/lib
FOLDERS      := $(LIB_FOLDERS) api/preload host/sim vmm

flags_of = $(CFLAGS_ALL) $(if $(filter $(CORE_FOLDERS),$(1)),$(CORE_FLAGS)) \
	   $(if $(filter insn/soft,$(1)),-Iinsn/soft) \
	   $(if $(filter x86 soft,$(1)),-Wconversion)

# -- what is built -------------------------------------------------------------------
.DEFAULT_GOAL := all
all: $(BUILD)/anykvm $(BUILD)/libanykvm.so $(BUILD)/libanykvm-preload.so

objects_of = $(patsubst %,$(BUILD)/%.o,$(basename $(wildcard $(1)/*.c $(1)/*.S $(if $(filter vmm,$(1)),vmm/*/*.c))))
archive_of = $(BUILD)/$(subst /,-,$(1)).a

define FOLDER_RULES
$(BUILD)/$(1)/%.o: $(1)/%.c
	@mkdir -p $$(@D)
	@echo "  CC      $$<"
	@$(CC) $$(call flags_of,$(1)) -MMD -MP -c -o $$@ $$<
$(BUILD)/$(1)/%.o: $(1)/%.S
	@mkdir -p $$(@D)
	@echo "  AS      $$<"
	@$(CC) $$(call flags_of,$(1)) -MMD -MP -c -o $$@ $$<
$$(call archive_of,$(1)): $$(call objects_of,$(1))
	@rm -f $$@ && $(AR) rcs $$@ $$^
-include $$(patsubst %.o,%.d,$$(call objects_of,$(1)))
endef
$(foreach f,$(FOLDERS),$(eval $(call FOLDER_RULES,$(f))))

$(BUILD)/libanykvm.so: $(foreach f,$(LIB_FOLDERS),$(call objects_of,$(f)))
	@echo "  LD      $@"
	@$(CC) -shared -Wl,-soname,libanykvm.so -pthread $(LDSAN) -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--no-undefined -o $@ $^

$(BUILD)/libanykvm-preload.so: $(call objects_of,api/preload) $(BUILD)/libanykvm.so
	@echo "  LD      $@"
	@$(CC) -shared -Wl,-soname,libanykvm-preload.so -pthread $(LDSAN) -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--no-undefined \
		-Wl,-rpath,'$$ORIGIN' -o $@ $^

$(BUILD)/anykvm: $(call archive_of,vmm) $(BUILD)/libanykvm.so
	@echo "  LD      $@"
	@$(CC) -pthread $(LDSAN) -Wl,-z,relro,-z,now,-z,noexecstack -o $@ -Wl,--whole-archive $< -Wl,--no-whole-archive \
		$(BUILD)/libanykvm.so -Wl,-rpath,'$$ORIGIN' $(LDLIBS_VMM)

# -- tests ---------------------------------------------------------------------------
# tests/<area>/test_*.c: one program each, linked with the folders that area may use.
AREAS := base x86 soft host core guest vmm
links_base  := base
links_x86   := x86 base
links_soft  := soft x86 base
links_host  := host/posix base
links_core  := svm core x86 host/sim base
links_guest := api/lib api svm core insn/soft soft x86 host/posix base
links_vmm   := vmm base
libs_x86    := -lZydis
libs_vmm    := $(LDLIBS_VMM)

define AREA_RULES
tests_$(1) := $$(patsubst tests/%.c,$(BUILD)/tests/%,$$(wildcard tests/$(1)/test_*.c))
$(BUILD)/tests/$(1)/%: tests/$(1)/%.c tests/test.h $$(foreach f,$$(links_$(1)),$$(call archive_of,$$(f)))
	@mkdir -p $$(@D)
	@echo "  CCLD    $$<"
	@$(CC) $(CFLAGS_ALL) -MMD -MP -o $$@ $$< -Wl,--start-group $$(foreach f,$$(links_$(1)),$$(call archive_of,$$(f))) -Wl,--end-group $(LDSAN) $$(libs_$(1)) -lpthread
.PHONY: unit-$(1) build-tests-$(1)
build-tests-$(1): $$(tests_$(1))
unit-$(1): $$(tests_$(1))
	@tools/run-tests $$^
-include $$(wildcard $(BUILD)/tests/$(1)/*.d)
endef
$(foreach a,$(AREAS),$(eval $(call AREA_RULES,$(a))))

# The programs of tests/guest once more, over a real /dev/kvm, and those for that alone:
# static, for tests/module's machine.
tests_dev_kvm := $(addprefix $(BUILD)/tests/dev-kvm/,$(notdir $(basename $(wildcard tests/guest/test_*.c tests/module/test_*.c))))
dev_kvm_archives := $(foreach f,x86 base,$(call archive_of,$(f)))
dev_kvm_link = @mkdir -p $(@D) && echo "  CCLD    $< (/dev/kvm)" && \
	$(CC) $(CFLAGS_ALL) -DTINY_DEV_KVM -static -o $@ $< tests/module/dev_kvm.c $(dev_kvm_archives)
$(tests_dev_kvm): tests/module/dev_kvm.c $(wildcard tests/guest/*.h) api/ioctl.def tests/test.h $(dev_kvm_archives)
$(BUILD)/tests/dev-kvm/%: tests/guest/%.c
	$(dev_kvm_link)
$(BUILD)/tests/dev-kvm/%: tests/module/%.c
	$(dev_kvm_link)
.PHONY: unit-dev-kvm build-tests-dev-kvm
build-tests-dev-kvm: $(tests_dev_kvm)
unit-dev-kvm: $(tests_dev_kvm)
	@tools/run-tests $^

unit: $(foreach a,$(AREAS),$(tests_$(a)))
	@tools/run-tests $^

# -- the two commands of README.md, and the rest ----------------------------------------
GUEST := build/guest
# What "make run" boots; more options in RUN, e.g. make run RUN="--cpus 4 --disk my.img"
RUN   ?=
run:
	@tools/install run
	@$(MAKE) --no-print-directory -s -j2 all guest
	@echo "Booting Debian's kernel; 'poweroff -f' or Ctrl-a x ends it"
	@$(BUILD)/anykvm run --kernel $(GUEST)/vmlinuz --initrd $(GUEST)/initrd.cpio \
		--append "console=ttyS0 quiet" --net user --memory 512M $(RUN)

guest: $(GUEST)/initrd.cpio
$(GUEST)/version: tools/guest/kernel
	@tools/guest/kernel $(GUEST)
	@touch $@
$(GUEST)/initrd.cpio: $(GUEST)/version tools/guest/initramfs tools/guest/init tools/guest/dhcp
	@tools/guest/initramfs $(GUEST) $@

# The modules: for the kernel that the tests boot, or for another one's headers.
KDIR ?=
modules: $(GUEST)/version
	@[ -n "$(KDIR)" ] || tools/module/headers $$(cat $(GUEST)/version) build/kernel
	@module/link . build/module
	@$(MAKE) --no-print-directory -C build/module KDIR=$(or $(KDIR),$(CURDIR)/build/kernel/build) modules

dkms-deb:
	@module/package . build/anykvm-dkms.deb
	@echo build/anykvm-dkms.deb

test:
	@tools/install test
	@tests/run fast

check:
	@tools/install test boot debug
	@tests/run slow

bench:
	@tools/install bench
	@$(MAKE) --no-print-directory -s -j2 all guest
	@bench/run $(BENCH)

# Nothing is fetched; without KUT and SELFTESTS the recorded scores are printed.  ON=modules, linux or library.
KUT       ?=
KUT32     ?=
SELFTESTS ?=
ON        ?= modules
suites:
	@$(MAKE) --no-print-directory -s all modules
	@tests/suites/run --on $(ON) --kut "$(KUT)" --kut32 "$(KUT32)" --selftests "$(SELFTESTS)" $(SUITES)

exits:
	@tools/install bench
	@$(MAKE) --no-print-directory -s -j2 all guest
	@bench/exits $(BENCH)

# Only lines that changed since the last commit: tables and macros are laid out by hand.
fmt:
	@git diff -U0 HEAD -- '*.c' '*.h' | clang-format-diff -p1 -i

clean:
	rm -rf build build-asan build-tsan
.PHONY: all unit run guest modules dkms-deb test check bench exits suites fmt clean
.SECONDARY:
