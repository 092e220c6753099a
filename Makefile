# SPDX-License-Identifier: GPL-3.0-or-later
# make help lists the targets.
PREFIX   ?= /usr/local
BUILD    ?= build
CC       ?= gcc
VERSION  := 0.1.0

PKGS := libmnl libnftnl libbpf libevent libevent_openssl sqlite3 jansson openssl libcap-ng libcurl yaml-0.1 libunbound ldns
CSTD := -std=gnu11 -D_GNU_SOURCE -DNETD_VERSION='"$(VERSION)"' -I.
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla \
	-Wundef -Wpointer-arith -Wwrite-strings -Wformat=2 -Wimplicit-fallthrough -Wconversion \
	-Wno-sign-conversion -Wnull-dereference -Wframe-larger-than=98304 \
	-Werror=implicit-function-declaration -Werror=incompatible-pointer-types \
	-Werror=int-conversion -Werror=return-type
HARD := -O2 -g -fno-common -fno-strict-aliasing -fstack-protector-strong -fstack-clash-protection \
	-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fPIE
HARDLINK := -pie -Wl,-z,relro,-z,now,-z,noexecstack
SAN  := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
ifdef SANITIZE
MODE := $(SAN)
LINK := $(SAN)
else
MODE := $(HARD)
LINK := $(HARDLINK)
endif
ifdef WERROR
WARN += -Werror
endif
PKGFLAGS = $(subst -I,-isystem ,$(shell pkg-config --cflags $(PKGS) 2>/dev/null))
PKGLIBS  = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lwslay -lpthread
CFLAGS   ?=
ALL_CFLAGS = $(CSTD) $(WARN) $(MODE) -MMD -MP $(PKGFLAGS) $(OWN) $(CFLAGS)
Q := $(if $(V),,@)

ROOMS   := lib/base lib/model lib/store lib/kernel vnet lb dns
LIB_SRC := $(foreach r,$(ROOMS),$(wildcard $(r)/*.c))
NETD_SRC := $(wildcard netd/*.c netd/api/*.c)
CTL_SRC := $(wildcard clients/netctl/*.c)
CNI_SRC := $(wildcard clients/cni/*.c)
RUNTIME_SRC := $(wildcard examples/runtime/*.c)
UNIT_SRC := $(wildcard tests/unit/*_test.c tests/unit/*/*_test.c tests/unit/*/*/*_test.c)
LAB_SRC := $(wildcard tests/lab/*_test.c)
FUZZ_SRC := $(wildcard tests/fuzz/*_fuzz.c)

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB := $(BUILD)/libnetd.a
UNIT_BIN := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
LAB_BIN := $(patsubst tests/lab/%.c,$(BUILD)/lab/%,$(LAB_SRC))
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))

.PHONY: bench-scale bench-dns bench-cni bench-attach bench-nsg bench-fabric bench-ingress bench-nodes bench-change fuzz build all deps check check-spread check-long unit lab demo lint layers fmt san docs install clean golden help
build: $(BUILD)/.deps
	$(Q)$(MAKE) --no-print-directory all
all: $(BUILD)/netd $(BUILD)/netctl $(BUILD)/netd-cni $(if $(RUNTIME_SRC),$(BUILD)/netd-runtime) $(if $(wildcard examples/helloworld/*.c),$(BUILD)/helloworld)

$(BUILD)/.deps: tests/deps.sh
	$(Q)mkdir -p $(BUILD)
	$(Q)tests/deps.sh
	$(Q)touch $@

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@
# What runs in the kernel: its types are the kernel's, from linux/bpf.h.
BPF := $(patsubst lib/kernel/bpf/%.bpf.c,$(BUILD)/bpf/%.o,$(wildcard lib/kernel/bpf/*.bpf.c))
$(BUILD)/bpf/%.o: lib/kernel/bpf/%.bpf.c lib/kernel/%_map.h
	@mkdir -p $(@D)
	@echo "  BPF   $<"
	$(Q)clang -O2 -g -Wall -Wextra -Werror -target bpf -I. -isystem /usr/include/$(shell $(CC) -print-multiarch) \
		-include linux/bpf.h -c $< -o $@
WITH_BPF := $(BPF:$(BUILD)/bpf/%.o=$(BUILD)/obj/lib/kernel/%.o)
$(WITH_BPF): $(BPF)
$(WITH_BPF): OWN = -DBPF_DIR='"$(BUILD)/bpf"'
$(LIB): $(call obj,$(LIB_SRC))
	@echo "  AR    $@"
	$(Q)rm -f $@ && ar rcs $@ $^
$(BUILD)/netd: $(call obj,$(NETD_SRC)) $(LIB)
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(PKGLIBS)
$(BUILD)/netctl: $(call obj,$(CTL_SRC)) $(LIB)
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(PKGLIBS)
# Started for each call: static, and by musl, since glibc's start alone takes longer than the kernel's work for an
# interface (it asks the processor what it can; docs/performance.md).
CNI_CC = $(shell command -v musl-gcc || echo $(CC))
$(BUILD)/netd-cni: $(CNI_SRC) $(wildcard clients/cni/*.h)
	@echo "  LD    $@"
	$(Q)$(CNI_CC) $(CSTD) $(WARN) $(filter-out -fPIE -g,$(HARD)) -static -s -o $@ $(CNI_SRC)
$(BUILD)/netd-runtime: $(call obj,$(RUNTIME_SRC)) $(LIB)
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(PKGLIBS)
# Runs inside containers that have nothing else: static, no libraries of ours.
$(BUILD)/helloworld: $(wildcard examples/helloworld/*.c)
	@echo "  LD    $@"
	$(Q)$(CC) $(CSTD) $(WARN) -O2 -static -o $@ $^
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(filter-out $(BUILD)/obj/netd/main.o,$(call obj,$(NETD_SRC))) $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(PKGLIBS) -lcmocka
$(BUILD)/lab/%: $(BUILD)/obj/tests/lab/%.o $(filter-out $(BUILD)/obj/netd/main.o,$(call obj,$(NETD_SRC))) $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(PKGLIBS) -lcmocka

$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/driver.o $(BUILD)/obj/clients/netctl/yaml.o $(filter-out $(BUILD)/obj/netd/main.o,$(call obj,$(NETD_SRC))) $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(PKGLIBS)

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(filter-out $(BUILD)/obj/netd/main.o,$(call obj,$(NETD_SRC))) $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(PKGLIBS)

# A later version, for upgrades in the lab: what engines are told has changed, and its name.
NEXT := $(BUILD)/next
$(NEXT)/netd/message.h: netd/message.h
	@mkdir -p $(@D)
	$(Q)sed -E 's/X\((OWNER_SET|OWNER_PART), [0-9]+,/X(\1, 999,/' $< >$@
$(NEXT)/%.o: netd/%.c $(NEXT)/netd/message.h
	@echo "  CC    $< (next)"
	$(Q)$(CC) -I$(NEXT) $(ALL_CFLAGS) -UNETD_VERSION -DNETD_VERSION='"$(VERSION)+next"' -c $< -o $@
NEXT_OF := main message joined
$(BUILD)/lab/netd-next: $(NEXT_OF:%=$(NEXT)/%.o) $(filter-out $(NEXT_OF:%=$(BUILD)/obj/netd/%.o),$(call obj,$(NETD_SRC))) $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(PKGLIBS)

$(BUILD)/lab/traffic: tests/lab/traffic.c
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CSTD) $(WARN) -O2 -o $@ $<

bench-attach: build $(BUILD)/bench/attach_raw ## attach beside CNI bridge, netavark and the bare kernel calls
	$(Q)tests/bench/attach

$(BUILD)/bench/flows: tests/bench/flows.c
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CSTD) $(WARN) -O2 -o $@ $< -lpthread
$(BUILD)/bench/cni_run: tests/bench/cni_run.c
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CSTD) $(WARN) -O2 -o $@ $<
$(BUILD)/bench/push_run: tests/bench/push_run.c
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CSTD) $(WARN) -O2 -o $@ $<
bench-cni: build $(BUILD)/bench/attach_raw $(BUILD)/bench/cni_run $(BUILD)/bench/push_run ## CNI beside bridge + portmap, netavark and the bare kernel calls
	$(Q)tests/bench/cni
bench-nsg: build $(BUILD)/bench/flows ## security groups beside hand-written nftables and no filter
	$(Q)tests/bench/fabric nsg
bench-fabric: build $(BUILD)/bench/flows ## group to group beside the CNI bridge plugin
	$(Q)tests/bench/fabric fabric
bench-ingress: build $(BUILD)/lab/traffic ## a load balancer beside nftables by hand, nftlb and HAProxy
	$(Q)tests/bench/ingress
bench-nodes: build $(BUILD)/lab/traffic ## a load balancer by 1 to 8 nodes, beside nftables by hand and HAProxy on one host
	$(Q)tests/bench/nodes
bench-dns: build $(BUILD)/bench/dns_feed $(BUILD)/bench/dns_replay ## names beside NSD and Knot: queries, CPU, memory, changes
	$(Q)tests/bench/dns
bench-scale: build $(BUILD)/lab/sim_nodes ## control with up to a thousand simulated nodes: docs/scale.md
	$(Q)tests/bench/scale
bench-change: build $(BUILD)/bench/change_engine ## load balancers' changes beside nft -f
	$(Q)tests/bench/change

tests-bin: $(UNIT_BIN) $(LAB_BIN) $(FUZZ_BIN) $(BUILD)/lab/traffic $(BUILD)/lab/sim_nodes $(BUILD)/lab/netd-next
.SECONDARY:

check: build ## all tests, fixed seed; the last line counts them
	$(Q)$(MAKE) --no-print-directory tests-bin
	$(Q)tests/run check
check-spread: build ## what tenants see, with groups over three nodes and an etcd
	$(Q)tests/run spread
check-long: build ## the full numbers: make check-long SEED=7
	$(Q)$(MAKE) --no-print-directory tests-bin
	$(Q)SEED=$(SEED) tests/run check-long
unit: build ## unit tests and golden files only, no root needed
	$(Q)$(MAKE) --no-print-directory $(UNIT_BIN) $(FUZZ_BIN)
	$(Q)tests/run unit
golden: build ## rewrite the golden files; review them as diffs
	$(Q)$(MAKE) --no-print-directory $(UNIT_BIN)
	$(Q)GOLDEN=write tests/run unit
demo: build ## the main job, narrated
	$(Q)examples/demo
san: ## unit tests under ASan and UBSan
	$(Q)$(MAKE) --no-print-directory BUILD=build/san SANITIZE=1 unit
fuzz: build ## every parser under clang's libFuzzer with ASan and UBSan: make fuzz FUZZ_SECONDS=60
	$(Q)tests/fuzz/run
layers: ## which room includes which
	$(Q)tests/layers
lint: layers
	$(Q)clang-format --dry-run -Werror $(shell git ls-files '*.c' '*.h')
	$(Q)cppcheck --enable=warning,performance,portability --std=c11 --inline-suppr --suppress=memleak \
		--suppress=missingIncludeSystem --suppress=uninitvar --suppress=ctuuninitvar --suppress=incorrectStringBooleanError --suppress=memleakOnRealloc --suppress=unknownMacro --error-exitcode=1 -q -I. netd vnet lb dns lib clients examples
fmt:
	$(Q)clang-format -i $(shell git ls-files '*.c' '*.h')
docs: build ## regenerate the generated pages
	$(Q)$(BUILD)/netd --compatibility > docs/azure-compatibility.md
install: build ## DESTDIR and PREFIX as usual; a systemd unit comes along; CNI=/usr/lib/cni: the plugin too
	install -D -m 755 $(BUILD)/netd $(DESTDIR)$(PREFIX)/sbin/netd
	install -D -m 755 $(BUILD)/netctl $(DESTDIR)$(PREFIX)/bin/netctl
	$(if $(CNI),install -D -m 755 $(BUILD)/netd-cni $(DESTDIR)$(CNI)/netd-cni)
	install -D -m 644 examples/netd.conf $(DESTDIR)/etc/netd/netd.conf
	mkdir -p $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(BUILD)/netctl completion > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/netctl
	mkdir -p $(DESTDIR)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|' examples/netd.service > $(DESTDIR)/lib/systemd/system/netd.service
clean:
	rm -rf $(BUILD)
help:
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/' | expand -t 16

-include $(shell find $(BUILD)/obj $(BUILD)/next -name '*.d' 2>/dev/null)
