/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The pools of public addresses: one at a time and in blocks. See plane.h.
 */
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "lib/base/words.h"
#include "netd/node.h"
#include "netd/plane.h"

void network_start(void)
{
	const struct config *c = plane.config;

	for (int64_t i = 0; i < c->n_pools; i++) {
		bool onlink = c->pool_onlink[i];

		ipam_init(&plane.pools[i], &c->pools[i],
		          onlink ? 2
		                 : c->pools[i].ip.family == 6, /* a subnet-router anycast address */
		          onlink && c->pools[i].ip.family == 4 ? 1 : 0);
	}
}

int network_public(uint8_t family, uint32_t tenant, struct ip *ret, struct err *e)
{
	int64_t now = clock_system.now_ms(&clock_system);
	struct tenant *t = tenant_at(tenant);
	bool any = false;

	if (plane.config->limit_addresses && t->addresses >= plane.config->limit_addresses) {
		return err_set_at(e, ERR_INVALID, "PublicIPCountLimitReached",
		                  "properties.ipAddress",
		                  "Cannot create more than %lld public IP addresses for this "
		                  "subscription in this region.",
		                  (long long)plane.config->limit_addresses);
	}
	for (int64_t i = 0; i < plane.config->n_pools; i++) {
		if (plane.pools[i].prefix.ip.family != family) {
			continue;
		}
		any = true;
		if (ipam_take(&plane.pools[i], NULL, tenant, now, ret, e) == 0) {
			t->addresses++;
			return 0;
		}
	}
	return err_set_at(e, ERR_CONFLICT,
	                  any ? "PublicIPCountLimitReached" : "PublicIPPoolNotConfigured",
	                  "properties.ipAddress",
	                  any ? "All public IPv%u addresses are in use."
	                      : "No pool of public IPv%u addresses is configured.",
	                  family);
}

void network_public_free(const struct ip *ip, uint32_t tenant)
{
	int64_t until = clock_system.now_ms(&clock_system) + plane.config->rest_s * 1000;
	char text[IP_TEXT];

	network_rest(ip_format(ip, text), tenant);
	for (int64_t i = 0; i < plane.config->n_pools; i++) {
		if (ip_prefix_contains(&plane.pools[i].prefix, ip)) {
			tenant_at(tenant)->addresses--;
			ipam_give(&plane.pools[i], ip, tenant, until);
		}
	}
}

void network_public_mark(const struct ip *ip, uint32_t tenant)
{
	struct err e = ERR_INIT;
	struct ip got;

	for (int64_t i = 0; i < plane.config->n_pools; i++) {
		if (ip_prefix_contains(&plane.pools[i].prefix, ip) &&
		    ipam_take(&plane.pools[i], ip, tenant, 0, &got, &e) == 0) {
			tenant_at(tenant)->addresses++;
		}
	}
}

void network_public_rest(const struct ip *ip, uint32_t tenant, int64_t until_ms)
{
	for (int64_t i = 0; i < plane.config->n_pools; i++) {
		if (ip_prefix_contains(&plane.pools[i].prefix, ip)) {
			ipam_rest(&plane.pools[i], ip, tenant, until_ms);
		}
	}
}

int network_public_block(uint8_t family, uint8_t len, uint32_t tenant, struct ip_prefix *ret,
                         struct err *e)
{
	int64_t now = clock_system.now_ms(&clock_system);

	for (int64_t i = 0; i < plane.config->n_pools; i++) {
		if (plane.pools[i].prefix.ip.family == family &&
		    ipam_take_block(&plane.pools[i], len, tenant, now, ret, e) == 0) {
			tenant_at(tenant)->addresses += (unsigned)ip_prefix_size(ret);
			return 0;
		}
	}
	return err_set_at(e, ERR_CONFLICT, "PublicIpPrefixOutOfAddresses",
	                  "properties.prefixLength",
	                  "No public pool has a free block of /%u for IPv%u.", len, family);
}

void network_public_mark_block(const struct ip_prefix *block, uint32_t tenant)
{
	struct ip ip = block->ip;

	for (uint64_t i = 0; i < ip_prefix_size(block); i++) {
		network_public_mark(&ip, tenant);
		(void)ip_add(&ip, 1);
	}
}

/* ---- which node they are at ---- */

static uint32_t places[CONFIG_POOLS_MAX]; /* numbers of nodes; 0: any */

/* The first that is there; for want of one, the first that the plane has. */
static const struct node *first_of(const char *names)
{
	const struct node *n, *absent = NULL;
	char name[sizeof(n->name)];

	for (size_t i = 0; words_listed(names, i, name, sizeof(name)); i++) {
		n = node_find(name);
		if (n && node_ingress(n) && !n->fenced && !n->drained) {
			return n;
		}
		absent = absent ? absent : n;
	}
	return absent;
}

const struct node *pool_node(size_t i)
{
	return plane.config->pool_onlink[i] ? node_own() : node_numbered(places[i]);
}

bool pools_place(void)
{
	const struct config *c = plane.config;
	bool moved = false;

	for (size_t i = 0; i < (size_t)c->n_pools; i++) {
		const struct node *n = c->pool_at[i][0] ? first_of(c->pool_at[i]) : NULL;
		uint32_t number = n ? n->number : 0;

		if (number != places[i]) {
			char text[IP_TEXT];

			places[i] = number;
			moved = true;
			log_info("pool.at", LOG_STR("pool", ip_prefix_format(&c->pools[i], text)),
			         LOG_STR("node", n ? n->name : ""));
		}
	}
	return moved;
}
