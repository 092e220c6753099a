/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See guest.h.
 */
#include "netd/guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "netd/home.h"
#include "netd/ports.h"
#include "netd/where.h"

static struct where published; /* groups by VNet and a digest of address, protocol, port */
static struct where by_mac;    /* the same of MACs that were asked for */

const json_t *guest_of(const struct resource *r)
{
	return json_object_get(r->status, "cni");
}

uint32_t guest_number(const struct resource *r)
{
	const json_t *n = json_object_get(guest_of(r), "node");

	return n ? (uint32_t)json_integer_value(n) : node_first() ? node_first()->number : 0;
}

struct node *guest_node(const struct resource *r)
{
	return guest_of(r) ? node_numbered(guest_number(r)) : NULL;
}

struct ip guest_wish(const struct resource *r, uint8_t family)
{
	const json_t *list = json_object_get(guest_of(r), "ip"), *x;
	struct err e = ERR_INIT;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		struct ip ip;

		if (ip_parse(json_string_value(x), &ip, &e) == 0 && ip.family == family) {
			return ip;
		}
	}
	return (struct ip){ 0 };
}

bool guest_public(const struct resource *r)
{
	return json_is_true(json_object_get(guest_of(r), "publicIP"));
}

bool guest_mac(const struct resource *r, uint8_t to[6])
{
	unsigned b[6];

	if (sscanf(model_str(guest_of(r), "mac"), "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2],
	           &b[3], &b[4], &b[5]) != 6) {
		return false;
	}
	for (int i = 0; i < 6; i++) {
		to[i] = (uint8_t)b[i];
	}
	return true;
}

/* The address that ports of the family are published at; family 0: none. */
static struct ip publishes_at(const struct resource *r, uint8_t family)
{
	struct ip own = table_ip(r->status, family == 6 ? "pub6" : "pub4");

	return own.family || family == 6 ? own : table_ip(r->status, "egress4");
}

size_t guest_maps(const struct resource *r, struct plan_map to[static GUEST_PORTS_MAX])
{
	const json_t *list = json_object_get(guest_of(r), "ports"), *x;
	size_t i, n = 0;

	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		for (uint8_t family = 4; family <= 6 && n < GUEST_PORTS_MAX; family += 2) {
			struct ip at = publishes_at(r, family);

			if (at.family && table_ip(r->status, family == 6 ? "ip6" : "ip4").family) {
				to[n++] = (struct plan_map){
					at, model_is(x, "protocol", "udp") ? 17 : 6,
					(uint16_t)json_integer_value(json_object_get(x, "port")),
					(uint16_t)json_integer_value(json_object_get(x, "to"))
				};
			}
		}
	}
	return n;
}

static uint32_t vnet_of(const struct resource *r)
{
	return (uint32_t)json_integer_value(json_object_get(r->status, "vnet"));
}

static struct ip place_of(const struct plan_map *m)
{
	uint8_t key[20] = { m->ip.family, m->proto, (uint8_t)(m->port >> 8), (uint8_t)m->port };

	memcpy(key + 4, m->ip.b, 16);
	return where_named(key, sizeof(key));
}

static const struct resource *holder(const struct where *w, uint32_t vnet, const struct ip *at,
                                     const struct resource *but)
{
	const struct where_entry *x = NULL;

	while ((x = where_next(w, vnet, at, x))) {
		if ((const struct resource *)x->value != but) {
			return (const struct resource *)x->value;
		}
	}
	return NULL;
}

int guest_check(const struct resource *r, struct err *e)
{
	AUTO_FREE struct plan_map *v = calloc(GUEST_PORTS_MAX, sizeof(*v));
	size_t n = v ? guest_maps(r, v) : 0;
	char text[IP_TEXT];
	uint8_t mac[6];

	if (n == 0 && json_array_size(json_object_get(guest_of(r), "ports")) > 0) {
		return err_set_at(e, ERR_INVALID, "NoAddressToPublish", "portMappings",
		                  "There is no address that ports can be published at: the network "
		                  "gives no public address, and its virtual network has no "
		                  "default outbound address.");
	}
	for (size_t i = 0; i < n; i++) {
		struct ip at = place_of(&v[i]);
		uint16_t last = ports_home().last;

		if (last && v[i].port > last &&
		    !table_ip(r->status, v[i].ip.family == 6 ? "pub6" : "pub4").family) {
			return err_set_at(
				e, ERR_INVALID, "PortOutOfRange", "portMappings",
				"Port %u of the default outbound address: where nodes share it, "
				"ports to publish are 1 to %u; groups leave by the others.",
				v[i].port, last);
		}
		const struct resource *other = holder(&published, vnet_of(r), &at, r);

		if (other) {
			return err_set_at(e, ERR_CONFLICT, "HostPortInUse", "portMappings",
			                  "Port %u/%s of %s is published by %.200s.", v[i].port,
			                  v[i].proto == 17 ? "udp" : "tcp",
			                  ip_format(&v[i].ip, text), other->id);
		}
	}
	if (guest_mac(r, mac)) {
		struct ip at = where_named(mac, 6);
		const struct resource *other = holder(&by_mac, vnet_of(r), &at, r);

		if (other) {
			return err_set_at(
				e, ERR_CONFLICT, "MacAddressInUse", "mac",
				"%s is the MAC address of %.200s in this virtual network.",
				model_str(guest_of(r), "mac"), other->id);
		}
	}
	return 0;
}

void guest_place(const struct resource *r, bool there)
{
	AUTO_FREE struct plan_map *v = calloc(GUEST_PORTS_MAX, sizeof(*v));
	void (*put)(struct where * w, uint32_t vnet, const struct ip *ip, uintptr_t value) =
		there ? where_add : where_drop;
	size_t n = v && guest_of(r) ? guest_maps(r, v) : 0;
	uint8_t mac[6];

	for (size_t i = 0; i < n; i++) {
		struct ip at = place_of(&v[i]);

		put(&published, vnet_of(r), &at, (uintptr_t)r);
	}
	if (guest_of(r) && guest_mac(r, mac)) {
		struct ip at = where_named(mac, 6);

		put(&by_mac, vnet_of(r), &at, (uintptr_t)r);
	}
}

void guest_send(const struct resource *r, int fd, bool held)
{
	const json_t *g = guest_of(r);
	struct buf b = { 0 };

	put_u32(&b, (uint32_t)json_integer_value(json_object_get(r->status, "serial")));
	put_u32(&b, vnet_of(r));
	put_u64(&b, strtoull(model_str(g, "cookie"), NULL, 16));
	put_u8(&b, held);
	bool routed = !json_is_false(json_object_get(g, "defaultRoute"));
	put_u8(&b, routed && *model_str(r->status, "ip4"));
	put_u8(&b, routed && *model_str(r->status, "ip6"));
	put_str(&b, model_str(g, "ifname"));
	put_str(&b, model_str(g, "netns"));
	node_tell(network_node(r), MSG_GUEST, &b, fd);
	buf_fini(&b);
}
