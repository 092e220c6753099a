/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Answers in the kernel: loads bpf/names.bpf.c, holds it at devices of the calling thread's namespace, and has the maps
 * that the dns role keeps (names_map.h). A device is held by a bpf link (Linux 5.9): it lets go by itself when the
 * process ends, and of a device that has somebody else's program it stays away. One thread; blocks for the kernel's
 * work.
 */
#pragma once

#include "lib/base/ip.h"

struct knames;

enum knames_mode {
	KNAMES_AUTO, /* by the driver where it can; on veth by the stack: a plain peer would lose all answers */
	KNAMES_NATIVE, /* by the driver; a veth's peer must have a program, too (xdp_pass is enough) */
	KNAMES_GENERIC /* by the stack (skb mode): any device, slower */
};

enum knames_map {
	KNAMES_STATE, /* one struct names_state */
	KNAMES_NAMES, /* knames_buckets() of struct names_bucket */
	KNAMES_MAPS
};

/* Loads it, with room for about that many names (rounded up to a power of two, 1,024 at least), for questions to
 * that port. NULL with the reason when the kernel refuses. The caller frees it, which lets go of all devices. */
struct knames *knames_new(uint32_t names, uint16_t port, struct err *e);
void knames_free(struct knames *k); /* accepts NULL */
/* The map's descriptor, to be mapped; it stays the loader's. */
int knames_fd(const struct knames *k, enum knames_map which);
uint32_t knames_buckets(const struct knames *k);
/* The program's descriptor, for bpf_prog_test_run_opts(); stays the loader's. */
int knames_program(const struct knames *k);

/* Addresses that are answered at: the first NAMES_ADDRS. */
void knames_addresses(struct knames *k, const struct ip *v, size_t n);
/* Those of a device; returns how many were put, `room` at most. */
size_t knames_device_addresses(const char *dev, struct ip *to, size_t room);

/* Holds the device. 1: anew; 0: it was held already; -1: ERR_NOT_FOUND there is none of that name, ERR_SYSTEM the
 * kernel's reason. */
int knames_hold(struct knames *k, const char *dev, enum knames_mode mode, struct err *e)
	__attribute__((warn_unused_result));
/* How it is held: KNAMES_NATIVE, KNAMES_GENERIC; KNAMES_AUTO: not at all. */
enum knames_mode knames_held(const struct knames *k, const char *dev);
