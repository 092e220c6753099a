/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Programs that run in the kernel at a device's tc hooks: loading, binding, asking. Internal to lib/kernel.
 * A program comes as an ELF file inside this one; the Makefile builds it with clang from bpf/NAME.bpf.c.
 */
#pragma once

#include <linux/pkt_sched.h>

#include "lib/kernel/netlink.h"

struct bpf_object;

/* The ELF file of bpf/NAME.bpf.c, as name_elf, name_elf_size bytes. FILE is the Makefile's word. */
#define TC_ELF(name, file)                                                                \
	__asm__(".section .rodata\n.balign 16\n" #name "_elf: .incbin \"" file            \
	        "\"\n.balign 8\n" #name "_elf_size: .quad . - " #name "_elf\n.previous"); \
	extern const char name##_elf[] __attribute__((visibility("hidden")));             \
	extern const uint64_t name##_elf_size __attribute__((visibility("hidden")))

#define TC_TAG        8    /* BPF_TAG_SIZE: a hash of the instructions */
#define TC_PREFERENCE 110u /* among a device's filters */
#define TC_IN         TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define TC_OUT        TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)

struct tc_program {
	int fd;
	uint8_t tag[TC_TAG];
	uint32_t id; /* of this loading */
};

/* libbpf writes nothing to standard error from now on. */
void tc_quiet(void);
/* Loads programs and maps; NULL when the kernel refuses. `what` for the error. bpf_object__close() ends
 * them, but for what is bound. */
struct bpf_object *tc_load(const void *elf, size_t size, const char *what, struct err *e);
/* One of them by its name. */
int tc_program(const struct bpf_object *o, const char *name, struct tc_program *to, struct err *e)
	__attribute__((warn_unused_result));

/* Messages. A device's filters hang on a qdisc "clsact": `block` 0 its own, where one may be already; else
 * those of devices with the same block are one list, bound with TCM_IFINDEX_MAGIC_BLOCK for index and the
 * block for parent. `parent` is TC_IN or TC_OUT otherwise. */
void tc_put_qdisc(struct nl_batch *b, uint32_t index, uint32_t block);
void tc_drop_qdisc(struct nl_batch *b, uint32_t index); /* with all filters; absent is success */
void tc_put_filter(struct nl_batch *b, uint32_t index, uint32_t parent, const struct tc_program *p);
/* All that enters by the device leaves by another, unseen by what comes behind. */
void tc_put_redirect(struct nl_batch *b, uint32_t index, uint32_t to, uint32_t preference);
/* Is there a filter of that preference? Not when it cannot be told. */
bool tc_is_led(struct nl_sock *rt, uint32_t index, uint32_t preference);
void tc_drop_filter(struct nl_batch *b, uint32_t index, uint32_t parent, uint32_t preference);
/* A device's qdisc goes when no filter is left. */
void tc_tidy(struct nl_sock *rt, uint32_t index);

/* Is that program bound there: `mine` as it was loaded here, with these maps, or else by the same code? Not
 * when it cannot be told. */
bool tc_is_bound(struct nl_sock *rt, uint32_t index, uint32_t parent, const struct tc_program *p,
                 bool mine);
/* An attribute of a tc message; NULL: none. */
const struct nlattr *tc_attr(const struct nlmsghdr *h, uint16_t type);
