/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Addresses, names and plans of groups: from documents to what the engine is sent. VNets and
 * subnets live in the kernel from their first group to their last. See plane.h.
 */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "lib/base/own.h"
#include "netd/plane.h"
#include "vnet/plan.h"

#define OWNER_GATEWAY 1u

/* A subnet with groups in it, its VNet's router with it. */
struct subnet {
	uint32_t vnet, id; /* numbers */
	unsigned groups;
	struct ip_prefix prefix[2]; /* IPv4, IPv6; family 0 when absent */
	struct ipam ipam[2];
	struct ip shared; /* egress of groups without a public address */
	bool platform;
	bool sent; /* the engine has router and bridge as they are now */
};

static struct subnet **subnets;
static size_t n_subnets;

static struct subnet *subnet_find(uint32_t vnet, uint32_t id)
{
	for (size_t i = 0; i < n_subnets; i++) {
		if (subnets[i]->vnet == vnet && subnets[i]->id == id) {
			return subnets[i];
		}
	}
	return NULL;
}

static struct subnet *subnet_make(uint32_t vnet, uint32_t id, const struct ip_prefix prefix[2])
{
	struct subnet *s = subnet_find(vnet, id);

	if (s) {
		return s;
	}
	s = calloc(1, sizeof(*s));
	subnets = realloc(subnets, (n_subnets + 1) * sizeof(struct subnet *));
	if (!s || !subnets) {
		abort();
	}
	*s = (struct subnet){ .vnet = vnet, .id = id };
	for (int i = 0; i < 2; i++) {
		s->prefix[i] = prefix[i];
		if (prefix[i].ip.family) {
			ipam_init(&s->ipam[i], &prefix[i], 4, 1);
		}
	}
	subnets[n_subnets++] = s;
	return s;
}

/* ---- status ↔ values ---- */

static struct ip status_ip(const json_t *status, const char *key)
{
	struct ip ip = { 0 };
	struct err e = ERR_INIT;
	const char *text = model_str(status, key);

	if (*text && ip_parse(text, &ip, &e) < 0) {
		ip.family = 0;
	}
	return ip;
}

static void set_ip(json_t *status, const char *key, const struct ip *ip)
{
	char text[IP_TEXT];

	if (ip->family) {
		json_object_set_new(status, key, json_string(ip_format(ip, text)));
	}
}

static uint32_t number(const json_t *status, const char *path)
{
	return (uint32_t)json_integer_value(model_at(status, path));
}

static void subnet_prefixes(const json_t *subnet, struct ip_prefix to[2])
{
	const json_t *list = model_at(subnet, "properties.addressPrefixes");
	const char *one = model_str(subnet, "properties.addressPrefix");
	struct err e = ERR_INIT;
	struct ip_prefix p;

	memset(to, 0, 2 * sizeof(*to));
	for (size_t i = 0; i <= json_array_size(list); i++) {
		const char *text = i == 0 ? one : json_string_value(json_array_get(list, i - 1));

		if (text && *text && ip_prefix_parse(text, &p, &e) == 0 &&
		    !to[p.ip.family == 6].ip.family) {
			to[p.ip.family == 6] = p;
		}
	}
}

/* ---- VNets ---- */

static bool reserved(const struct ip_prefix *p)
{
	static const struct ip_prefix never[] = {
		{ { 4, { 224 } }, 4 },
		{ { 4, { 127 } }, 8 },
		{ { 4, { 169, 254 } }, 16 },
		{ { 4, { 168, 63, 129, 16 } }, 32 },
		{ { 4, { 255, 255, 255, 255 } }, 32 },
		{ { 4, { 0 } }, 8 },
		{ { 6, { 0xfe, 0x80 } }, 10 },
		{ { 6, { 0xff } }, 8 },
	};

	for (size_t i = 0; i < ARRAY_N(never); i++) {
		if (ip_prefix_overlaps(p, &never[i])) {
			return true;
		}
	}
	return false;
}

static int check_space(const json_t *list, struct err *e)
{
	struct ip_prefix a, b;
	char at[80];

	for (size_t i = 0; i < json_array_size(list); i++) {
		snprintf(at, sizeof(at), "properties.addressSpace.addressPrefixes[%zu]", i);
		if (ip_prefix_parse(json_string_value(json_array_get(list, i)), &a, e) < 0) {
			return -1;
		}
		if (reserved(&a) || a.len < (a.ip.family == 4 ? 2 : 16)) {
			return err_set_at(
				e, ERR_INVALID, "AddressPrefixNotAllowed", at,
				"Address prefix %s is too large or contains reserved addresses.",
				json_string_value(json_array_get(list, i)));
		}
		for (size_t k = 0; k < i; k++) {
			if (ip_prefix_parse(json_string_value(json_array_get(list, k)), &b, e) ==
			            0 &&
			    ip_prefix_overlaps(&a, &b)) {
				return err_set_at(
					e, ERR_INVALID, "AddressSpacePrefixesOverlap", at,
					"Address prefixes of the virtual network overlap.");
			}
		}
	}
	return 0;
}

static int check_subnet(const json_t *doc, size_t i, struct err *e)
{
	const json_t *subnet = json_array_get(model_at(doc, "properties.subnets"), i);
	const json_t *space = model_at(doc, "properties.addressSpace.addressPrefixes");
	struct ip_prefix mine[2], other[2], whole;
	char at[80];

	snprintf(at, sizeof(at), "properties.subnets[%zu]", i);
	subnet_prefixes(subnet, mine);
	if (!model_name_ok(model_str(subnet, "name")) ||
	    (!mine[0].ip.family && !mine[1].ip.family)) {
		return err_set_at(e, ERR_INVALID, "InvalidRequestFormat", at,
		                  "A subnet needs a name and an address prefix.");
	}
	for (int f = 0; f < 2; f++) {
		bool inside = !mine[f].ip.family;

		for (size_t k = 0; k < json_array_size(space) && !inside; k++) {
			inside = ip_prefix_parse(json_string_value(json_array_get(space, k)),
			                         &whole, e) == 0 &&
			         ip_prefix_covers(&whole, &mine[f]);
		}
		if (!inside || mine[f].len > (f ? 64 : 29)) {
			return err_set_at(
				e, ERR_INVALID,
				inside ? "InvalidSubnetPrefixLength" : "NetcfgInvalidSubnet", at,
				"Subnet '%s' is not valid in the virtual network: its prefix must "
				"lie inside the address space, /29 or larger (IPv6: /64).",
				model_str(subnet, "name"));
		}
	}
	for (size_t k = 0; k < i; k++) {
		const json_t *o = json_array_get(model_at(doc, "properties.subnets"), k);

		subnet_prefixes(o, other);
		if (strcasecmp(model_str(o, "name"), model_str(subnet, "name")) == 0) {
			return err_set_at(e, ERR_INVALID, "InvalidRequestFormat", at,
			                  "Two subnets are named '%s'.", model_str(o, "name"));
		}
		for (int f = 0; f < 2; f++) {
			if (mine[f].ip.family && other[f].ip.family &&
			    ip_prefix_overlaps(&mine[f], &other[f])) {
				return err_set_at(e, ERR_INVALID, "NetcfgSubnetRangesOverlap", at,
				                  "Subnet '%s' overlaps with subnet '%s'.",
				                  model_str(subnet, "name"), model_str(o, "name"));
			}
		}
	}
	return 0;
}

bool network_subnet_used(const struct resource *vnet, const char *subnet)
{
	char path[128], low[100];
	size_t i = 0;

	for (; subnet[i] && i + 1 < sizeof(low); i++) {
		low[i] = (char)(subnet[i] >= 'A' && subnet[i] <= 'Z' ? subnet[i] + 32 : subnet[i]);
	}
	low[i] = '\0';
	(void)path;
	const struct subnet *s = subnet_find(number(vnet->status, "serial"),
	                                     (uint32_t)json_integer_value(json_object_get(
						     model_at(vnet->status, "subnets"), low)));
	return s && s->groups > 0;
}

int network_vnet_check(struct resource *r, json_t *doc, struct err *e)
{
	json_t *list = model_at(doc, "properties.subnets"), *numbers = json_object(), *x;
	const json_t *had = r ? model_at(r->status, "subnets") : NULL;
	const char *name;
	size_t i;

	if (check_space(model_at(doc, "properties.addressSpace.addressPrefixes"), e) < 0) {
		json_decref(numbers);
		return -1;
	}
	json_array_foreach(list, i, x)
	{
		AUTO_FREE char *low = table_key(model_str(x, "name"));

		if (check_subnet(doc, i, e) < 0) {
			json_decref(numbers);
			return -1;
		}
		json_object_set(numbers, low, json_object_get(had, low));
	}
	json_object_foreach((json_t *)(uintptr_t)had, name, x)
	{
		if (!json_object_get(numbers, name) && network_subnet_used(r, name)) {
			json_decref(numbers);
			return err_set_at(e, ERR_INVALID, "InUseSubnetCannotBeDeleted",
			                  "properties.subnets",
			                  "Subnet %s is in use and cannot be deleted.", name);
		}
	}
	json_decref(numbers);
	return 0;
}

/* Numbers for the VNet and its subnets, where they have none yet. */
static void number_vnet(struct resource *r)
{
	json_t *had = model_at(r->status, "subnets"), *now = json_object(), *x;
	size_t i;

	if (!number(r->status, "serial")) {
		json_object_set_new(r->status, "serial", json_integer(table_serial()));
	}
	json_array_foreach(model_at(r->doc, "properties.subnets"), i, x)
	{
		AUTO_FREE char *low = table_key(model_str(x, "name"));
		json_t *n = json_object_get(had, low);

		json_object_set_new(now, low, n ? json_incref(n) : json_integer(table_serial()));
	}
	json_object_set_new(r->status, "subnets", now);
}

/* ---- groups ---- */

static int vnet_of(const struct resource *g, const char *id, struct resource **vnet,
                   struct subnet **ret, struct err *e)
{
	static const char at[] = "properties.subnetIds[0].id";
	AUTO_FREE char *key = table_key(id);
	struct model_id parts;
	struct ip_prefix prefix[2];
	char *cut = strstr(key, "/subnets/");
	const json_t *found = NULL, *x;
	size_t i, k;
	bool delegated = false;

	if (model_id_parse(id, &parts) < 0 || !parts.child || !cut) {
		return err_set_at(e, ERR_INVALID, "LinkedInvalidPropertyId", at,
		                  "Property id '%.200s' is not a subnet's id.", id);
	}
	*cut = '\0';
	struct resource *v = table_get(key);
	if (v && network_tenant(v->id) == network_tenant(g->id)) {
		json_array_foreach(model_at(v->doc, "properties.subnets"), i, x)
		{
			found = strcasecmp(model_str(x, "name"), parts.child) == 0 ? x : found;
		}
	}
	if (!found) { /* a foreign one is answered like one that is not there */
		return err_set_at(
			e, ERR_INVALID, "InvalidResourceReference", at,
			"Resource %.300s referenced by the container group was not found.", id);
	}
	const json_t *delegations = model_at(found, "properties.delegations");
	json_array_foreach(delegations, k, x)
	{
		delegated = delegated || model_is(x, "properties.serviceName",
		                                  "Microsoft.ContainerInstance/containerGroups");
	}
	if (!delegated) {
		return err_set_at(
			e, ERR_INVALID, "SubnetMissingRequiredDelegation", at,
			"Subnet missing required delegation "
			"'Microsoft.ContainerInstance/containerGroups' for container group '%s'.",
			g->name);
	}
	number_vnet(v);
	AUTO_FREE char *low = table_key(parts.child);
	subnet_prefixes(found, prefix);
	*ret = subnet_make(
		number(v->status, "serial"),
		(uint32_t)json_integer_value(json_object_get(model_at(v->status, "subnets"), low)),
		prefix);
	(*ret)->shared = status_ip(v->status, "shared");
	*vnet = v;
	return 0;
}

/* The subscription's own VNet for groups without one: a subnet of the plane's. */
static struct subnet *platform_of(struct resource *g)
{
	static const struct ip_prefix prefix[2] = {
		{ { 4, { 100, 64 } }, 16 }, { { 6, { 0xfd, 0x6e, 0x65, 0x74, 0x64 } }, 64 }
	};
	struct tenant *t = tenant_of(g->id);
	struct subnet *s = t->platform[0] ? subnet_find(t->platform[0], t->platform[1]) : NULL;

	if (s) {
		return s;
	}
	t->platform[0] = table_serial();
	t->platform[1] = table_serial();
	s = subnet_make(t->platform[0], t->platform[1], prefix);
	s->platform = true;
	return s;
}

static int take_addresses(struct resource *g, struct subnet *s, struct err *e)
{
	static const char *const keys[] = { "ip4", "ip6" };
	uint32_t tenant = network_tenant(g->id);
	int64_t now = clock_system.now_ms(&clock_system);
	struct ip want = { 0 }, got;

	if (model_is(g->doc, "properties.ipAddress.type", "Private")) {
		want = status_ip(g->doc, "properties.ipAddress.ip");
	}
	for (int f = 0; f < 2; f++) {
		if (!s->prefix[f].ip.family) {
			continue;
		}
		const struct ip *w = want.family == (f ? 6 : 4) ? &want : NULL;
		if (ipam_take(&s->ipam[f], w, tenant, now, &got, e) < 0) {
			e->code = e->kind == ERR_LIMIT ? "SubnetIsFull"
			                               : "PrivateIPAddressNotAvailable";
			e->kind = ERR_INVALID;
			snprintf(e->target, sizeof(e->target), "properties.ipAddress.ip");
			return -1;
		}
		set_ip(g->status, keys[f], &got);
	}
	return 0;
}

static int take_public(struct resource *g, struct subnet *s, struct resource *vnet, struct err *e)
{
	uint32_t tenant = network_tenant(g->id);
	struct err ignored = ERR_INIT;
	struct ip ip;

	if (model_is(g->doc, "properties.ipAddress.type", "Public")) {
		if (network_public(4, tenant, &ip, e) < 0) {
			return -1;
		}
		set_ip(g->status, "pub4", &ip);
		if (network_public(6, tenant, &ip, &ignored) == 0) {
			set_ip(g->status, "pub6", &ip);
		}
		return 0;
	}
	/* Egress by an address that the VNet's groups share; none left means no egress. */
	if (!s->shared.family && network_public(4, tenant, &ip, &ignored) == 0) {
		s->shared = ip;
		s->sent = false;
		if (vnet) {
			set_ip(vnet->status, "shared", &ip);
		}
	}
	set_ip(g->status, "egress4", &s->shared);
	return 0;
}

int network_attach(struct resource *g, struct resource **vnet, struct err *e)
{
	const char *subnet_id = json_string_value(
		json_object_get(json_array_get(model_at(g->doc, "properties.subnetIds"), 0), "id"));
	struct subnet *s = NULL;

	*vnet = NULL;
	if (!subnet_id && *model_str(g->doc, "properties.networkProfile.id") &&
	    !(subnet_id = profile_subnet(g, e))) {
		return -1;
	}
	if (subnet_id) {
		if (model_is(g->doc, "properties.ipAddress.type", "Public")) {
			return err_set_at(
				e, ERR_INVALID, "PublicIPNotSupportedInVirtualNetwork",
				"properties.ipAddress.type",
				"A container group in a virtual network has a Private address.");
		}
		if (vnet_of(g, subnet_id, vnet, &s, e) < 0) {
			return -1;
		}
	} else {
		if (model_is(g->doc, "properties.ipAddress.type", "Private")) {
			return err_set_at(e, ERR_INVALID, "PrivateIPRequiresSubnet",
			                  "properties.ipAddress.type",
			                  "A Private address needs subnetIds.");
		}
		s = platform_of(g);
		json_object_set_new(g->status, "platform", json_true());
	}
	if (take_addresses(g, s, e) < 0) {
		return -1;
	}
	s->groups++;
	json_object_set_new(g->status, "serial", json_integer(table_serial()));
	json_object_set_new(g->status, "vnet", json_integer(s->vnet));
	json_object_set_new(g->status, "subnet", json_integer(s->id));
	for (int f = 0; f < 2; f++) {
		char text[IP_TEXT];

		if (s->prefix[f].ip.family) {
			json_object_set_new(g->status, f ? "prefix6" : "prefix4",
			                    json_string(ip_prefix_format(&s->prefix[f], text)));
		}
	}
	if (take_public(g, s, *vnet, e) < 0) {
		network_release(g);
		return -1;
	}
	return 0;
}

static struct subnet *subnet_of_status(const struct resource *g)
{
	struct ip_prefix prefix[2] = { 0 };
	struct err e = ERR_INIT;
	const char *p4 = model_str(g->status, "prefix4"), *p6 = model_str(g->status, "prefix6");

	if ((*p4 && ip_prefix_parse(p4, &prefix[0], &e) < 0) ||
	    (*p6 && ip_prefix_parse(p6, &prefix[1], &e) < 0)) {
		return NULL;
	}
	struct subnet *s =
		subnet_make(number(g->status, "vnet"), number(g->status, "subnet"), prefix);
	if (json_is_true(json_object_get(g->status, "platform"))) {
		s->platform = true;
		tenant_of(g->id)->platform[0] = s->vnet;
		tenant_of(g->id)->platform[1] = s->id;
	}
	return s;
}

void network_restore_public(const struct resource *r)
{
	static const char *const held[] = { "address", "shared" };

	for (size_t i = 0; i < ARRAY_N(held); i++) {
		struct ip ip = status_ip(r->status, held[i]);

		if (ip.family) {
			network_public_mark(&ip, network_tenant(r->id));
		}
	}
}

void network_restore(struct resource *g)
{
	struct subnet *s = subnet_of_status(g);
	uint32_t tenant = network_tenant(g->id);
	struct err e = ERR_INIT;
	struct ip got;

	for (int f = 0; s && f < 2; f++) {
		struct ip ip = status_ip(g->status, f ? "ip6" : "ip4");
		struct ip pub = status_ip(g->status, f ? "pub6" : "pub4");

		if (ip.family) {
			(void)!ipam_take(&s->ipam[f], &ip, tenant, 0, &got, &e);
		}
		if (pub.family) {
			network_public_mark(&pub, tenant);
		}
	}
	struct ip shared = status_ip(g->status, "egress4");
	if (s && shared.family) {
		s->shared = shared;
		network_public_mark(&shared, tenant);
	}
	if (s) {
		s->groups++;
	}
}

static void send_del(uint64_t owner, uint64_t request)
{
	struct buf b = { 0 };

	put_u64(&b, request);
	put_u64(&b, owner);
	channel_send(plane.engine, MSG_OWNER_DEL, &b, -1);
	buf_fini(&b);
}

void network_release(struct resource *g)
{
	struct subnet *s = subnet_find(number(g->status, "vnet"), number(g->status, "subnet"));
	uint32_t tenant = network_tenant(g->id);
	int64_t until = clock_system.now_ms(&clock_system) + plane.config->rest_s * 1000;

	for (int f = 0; s && f < 2; f++) {
		struct ip ip = status_ip(g->status, f ? "ip6" : "ip4");
		struct ip pub = status_ip(g->status, f ? "pub6" : "pub4");

		if (ip.family) {
			ipam_give(&s->ipam[f], &ip, tenant, until);
		}
		if (pub.family) {
			network_public_free(&pub, tenant);
		}
	}
	if (!s || s->groups == 0 || --s->groups > 0) {
		return;
	}
	if (s->platform && s->shared.family) {
		network_public_free(&s->shared, tenant);
		s->shared.family = 0;
	}
	/* The last group takes subnet and router along. */
	s->sent = false;
	bool other = false;
	for (size_t i = 0; i < n_subnets; i++) {
		other = other ||
		        (subnets[i] != s && subnets[i]->vnet == s->vnet && subnets[i]->groups);
	}
	send_del(s->id, 0);
	if (!other) {
		send_del(s->vnet, 0);
	}
}

/* ---- to the engine ---- */

static void send_owner(uint64_t owner, const struct kset *objects, uint64_t request, bool want_fd)
{
	struct buf b = { 0 };

	put_u64(&b, request);
	put_u64(&b, owner);
	put_u8(&b, want_fd);
	put_u32(&b, (uint32_t)objects->n);
	for (size_t i = 0; i < objects->n; i++) {
		put_kobj(&b, &objects->v[i]);
	}
	channel_send(plane.engine, MSG_OWNER_SET, &b, -1);
	buf_fini(&b);
}

static void send_gateway(void)
{
	const struct config *c = plane.config;
	struct kset set = { 0 };
	struct plan_gateway p = { .pools = c->pools,
		                  .n_pools = (size_t)c->n_pools,
		                  .mtu = (uint32_t)c->mtu };
	struct err e = ERR_INIT;

	snprintf(p.uplink, sizeof(p.uplink), "%s", c->uplink);
	if (c->uplink[0]) {
		struct ifreq ifr = { 0 };
		AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		memcpy(ifr.ifr_name, c->uplink, strnlen(c->uplink, IFNAMSIZ - 1));
		if (fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &ifr) == 0) {
			memcpy(p.uplink_mac, ifr.ifr_hwaddr.sa_data, 6);
		}
	}
	(void)!(c->hop4[0] && ip_parse(c->hop4, &p.hop4, &e));
	(void)!(c->hop6[0] && ip_parse(c->hop6, &p.hop6, &e));
	(void)!(c->host4[0] && ip_parse(c->host4, &p.host4, &e));
	(void)!(c->host6[0] && ip_parse(c->host6, &p.host6, &e));
	vnet_plan_gateway(&p, &set);
	send_owner(OWNER_GATEWAY, &set, 0, false);
	kset_fini(&set);
}

static void send_subnet(struct subnet *s)
{
	s->sent = true;
	struct kset set = { 0 };
	uint32_t mtu = (uint32_t)plane.config->mtu - 50;
	struct ip_prefix some[2];
	size_t n = 0;

	for (int f = 0; f < 2; f++) {
		if (s->prefix[f].ip.family) {
			some[n++] = s->prefix[f];
		}
	}
	vnet_plan_vnet(&(struct plan_vnet){ .ns = s->vnet,
	                                    .mtu = mtu,
	                                    .closed = some,
	                                    .n_closed = s->platform ? n : 0,
	                                    .shared = &s->shared,
	                                    .n_shared = s->shared.family ? 1 : 0 },
	               &set);
	send_owner(s->vnet, &set, 0, false);
	set.n = 0;
	vnet_plan_subnet(&(struct plan_subnet){ .vnet_ns = s->vnet,
	                                        .id = s->id,
	                                        .mtu = mtu,
	                                        .prefixes = some,
	                                        .n_prefixes = n },
	                 &set);
	send_owner(s->id, &set, 0, false);
	kset_fini(&set);
}

void network_send_base(void)
{
	send_gateway();
	for (size_t i = 0; i < n_subnets; i++) {
		if (subnets[i]->groups > 0) {
			send_subnet(subnets[i]);
		}
	}
}

void network_send_group(const struct resource *g, uint64_t request)
{
	struct subnet *s = subnet_find(number(g->status, "vnet"), number(g->status, "subnet"));
	struct plan_port ports[100];
	struct plan_addr addrs[2] = { 0 };
	struct plan_group p = { .ns = number(g->status, "serial"),
		                .addrs = addrs,
		                .ports = ports,
		                .mtu = (uint32_t)plane.config->mtu - 50 };
	struct kset set = { 0 };
	json_t *x;
	size_t i;

	if (!s) {
		return;
	}
	p.vnet_ns = s->vnet;
	p.subnet_id = s->id;
	for (int f = 0; f < 2; f++) {
		if (s->prefix[f].ip.family) {
			struct plan_addr *a = &addrs[p.n_addrs++];

			a->prefix = s->prefix[f];
			a->ip = status_ip(g->status, f ? "ip6" : "ip4");
			a->pub = status_ip(g->status, f ? "pub6" : "pub4");
			if (f == 0) {
				a->egress = status_ip(g->status, "egress4");
			}
		}
	}
	json_array_foreach(model_at(g->doc, "properties.ipAddress.ports"), i, x)
	{
		if (p.n_ports < ARRAY_N(ports)) {
			ports[p.n_ports++] = (struct plan_port){
				model_is(x, "protocol", "UDP") ? 17 : 6,
				(uint16_t)json_integer_value(json_object_get(x, "port"))
			};
		}
	}
	if (!s->sent) {
		send_subnet(s);
	}
	vnet_plan_group(&p, &set);
	send_owner(p.ns, &set, request, true);
	kset_fini(&set);
}

void network_drop_group(const struct resource *g, uint64_t request)
{
	send_del(number(g->status, "serial"), request);
}
