/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See engine_hot.h.
 */
#include "netd/engine_hot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/kernel/names.h"

#define ADDRS 64

static struct {
	const struct config *config;
	struct knames *k; /* NULL: none */
	struct ip addrs[ADDRS];
	size_t n_addrs;
	bool warned[CONFIG_XDP_MAX];
} self;

/* The address and port that are listened at; family 0: all of the host's. */
static uint16_t listens_at(const char *text, struct ip *ip)
{
	static const struct ip none4 = { .family = 4 }, none6 = { .family = 6 };
	struct err e = ERR_INIT;
	uint16_t port = 0;

	if (ip_endpoint_parse(text, 0, ip, &port, &e) < 0 || ip_compare(ip, &none4) == 0 ||
	    ip_compare(ip, &none6) == 0) {
		ip->family = 0;
	}
	return port;
}

static void put_addresses(const struct ip *v, size_t n)
{
	if (n == self.n_addrs && memcmp(v, self.addrs, n * sizeof(*v)) == 0) {
		return;
	}
	memcpy(self.addrs, v, n * sizeof(*v));
	self.n_addrs = n;
	knames_addresses(self.k, v, n);
}

static void hold(size_t i)
{
	const struct config_xdp *x = &self.config->xdp[i];
	struct err e = ERR_INIT;
	int rc = knames_hold(self.k, x->dev, (enum knames_mode)x->mode, &e);

	if (rc > 0) {
		log_info("names.kernel", LOG_STR("device", x->dev),
		         LOG_STR("mode", knames_held(self.k, x->dev) == KNAMES_NATIVE ? "native"
		                                                                      : "generic"));
	} else if (rc < 0 && !self.warned[i]) {
		log_warn("names.kernel", LOG_STR("without", e.msg));
	}
	self.warned[i] = rc < 0;
}

void engine_hot_check(void)
{
	struct ip at, v[ADDRS] = { 0 };
	size_t n = 0;

	if (!self.k) {
		return;
	}
	(void)listens_at(self.config->listen_dns, &at);
	if (at.family) {
		v[n++] = at;
	}
	for (size_t i = 0; i < self.config->n_xdp; i++) {
		hold(i);
		if (!at.family) {
			n += knames_device_addresses(self.config->xdp[i].dev, v + n, ADDRS - n);
		}
	}
	put_addresses(v, n);
}

void engine_hot_begin(const struct config *c)
{
	struct err e = ERR_INIT;
	struct ip at;

	self.config = c;
	if (c->n_xdp == 0 || !c->listen_dns[0]) {
		return;
	}
	self.k = knames_new((uint32_t)c->xdp_names, listens_at(c->listen_dns, &at), &e);
	if (!self.k) {
		log_warn("names.kernel", LOG_STR("without", e.msg));
		return;
	}
	engine_hot_check();
}

void engine_hot_tell(struct channel *dns)
{
	for (uint8_t i = 0; self.k && i < KNAMES_MAPS; i++) {
		struct buf b = { 0 };

		put_u8(&b, i);
		put_u32(&b, knames_buckets(self.k));
		channel_send(dns, MSG_NAMES_HOT, &b, knames_fd(self.k, (enum knames_map)i));
		buf_fini(&b);
	}
}
