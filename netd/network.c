/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Addresses and plans of groups: from documents to what the engine is sent. VNets and subnets live
 * in the kernel from their first group to their last. See plane.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "netd/addrblock.h"
#include "netd/fabric.h"
#include "netd/guest.h"
#include "netd/home.h"
#include "netd/plane.h"
#include "netd/ports.h"
#include "netd/roster.h"
#include "netd/spare.h"
#include "netd/spot.h"
#include "netd/subnet.h"
#include "netd/where.h"
#include "vnet/plan.h"

#define IDLE_MS 30000 /* that a subnet outlives its last guest */

/* ---- status ↔ values ---- */

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

/* ---- groups ---- */

static struct where places; /* groups by VNet and address */

struct node *network_node(const struct resource *g)
{
	uint32_t n = number(g->status, "node");

	return n ? node_numbered(n) : home_of(number(g->status, "vnet"));
}

bool network_place(const struct resource *g, bool there)
{
	static const char *const keys[] = { "ip4", "ip6" };
	uint32_t vnet = number(g->status, "vnet");
	const struct node *n = network_node(g);

	guest_place(g, there);
	roster_note(number(g->status, "vnet"), g, there);
	if (!spot_is_out(g)) {
		home_count(network_node(g), g->doc, there ? 1 : -1);
	}
	for (size_t i = 0; i < ARRAY_N(keys); i++) {
		struct ip ip = table_ip(g->status, keys[i]);

		if (ip.family) {
			(there ? where_add : where_drop)(&places, vnet, &ip, (uintptr_t)g);
			addrblock_note(vnet, &ip, n);
		}
	}
	bool turned = home_group(vnet, number(g->status, "node"), there ? 1 : -1);
	if (turned && !there && n && n != home_of(vnet)) {
		addrblock_left(vnet, n);
	}
	return turned;
}

bool network_used(uint32_t vnet, const struct ip *ip)
{
	return where_next(&places, vnet, ip, NULL);
}

/* The subscription's own VNet for groups without one: a subnet of the plane's. */
static struct subnet *platform_of(const struct resource *g)
{
	static const struct ip_prefix prefix[2] = {
		{ { 4, { 100, 64 } }, 16 }, { { 6, { 0xfd, 0x6e, 0x65, 0x74, 0x64 } }, 64 }
	};
	struct tenant *t = tenant_of(g->id);

	if (!t->platform[0]) {
		t->platform[0] = table_serial();
		t->platform[1] = table_serial();
	}
	struct subnet *s = subnet_make(t->platform[0], t->platform[1]);
	s->platform = true;
	for (int f = 0; f < 2; f++) {
		(void)subnet_range_add(s, &prefix[f]);
	}
	return s;
}

/* The family's address for a group on the node: the one that is wanted, or of the first range with room. */
static int take_address(struct subnet *s, uint8_t family, const struct ip *want, uint32_t tenant,
                        const struct node *n, struct ip *got, bool *changed, struct err *e)
{
	struct subnet_range *r = want ? subnet_range_of(s, want) : NULL;

	for (size_t i = 0; i < s->n_ranges; i++) {
		struct subnet_range *x = &s->ranges[i];

		if (x->prefix.ip.family != family || (r && x != r)) {
			continue;
		}
		if (addrblock_take(s, x, want, n, tenant, got, changed, e) == 0) {
			x->groups++;
			return 0;
		}
	}
	e->code = e->kind == ERR_LIMIT ? "SubnetIsFull" : "PrivateIPAddressNotAvailable";
	e->kind = ERR_INVALID;
	snprintf(e->target, sizeof(e->target), "properties.ipAddress.ip");
	return -1;
}

/* True in *told: other nodes are to know blocks anew. */
static int take_addresses(struct resource *g, struct subnet *s, bool *told, struct err *e)
{
	static const char *const keys[] = { "ip4", "ip6" }, *const prefixes[] = { "prefix4",
		                                                                  "prefix6" };
	uint32_t tenant = tenant_of(g->id)->number;
	struct ip want[2] = { guest_wish(g, 4), guest_wish(g, 6) }, got;
	char text[IP_TEXT];

	if (model_is(g->doc, "properties.ipAddress.type", "Private")) {
		got = table_ip(g->doc, "properties.ipAddress.ip");
		want[got.family == 6] = got.family ? got : want[0];
	}
	for (int f = 0; f < 2; f++) {
		uint8_t family = f ? 6 : 4;

		if (want[f].family && !subnet_has(s, family)) {
			return err_set_at(
				e, ERR_INVALID, "PrivateIPAddressNotInSubnet",
				"properties.ipAddress.ip",
				"The subnet has no IPv%u prefix for the address asked for.",
				family);
		}
		if (!subnet_has(s, family)) {
			continue;
		}
		bool changed = false;

		if (take_address(s, family, want[f].family ? &want[f] : NULL, tenant,
		                 network_node(g), &got, &changed, e) < 0) {
			return -1;
		}
		*told = *told || changed;
		set_ip(g->status, keys[f], &got);
		const struct subnet_range *r = subnet_range_of(s, &got);
		json_object_set_new(g->status, prefixes[f],
		                    json_string(ip_prefix_format(&r->prefix, text)));
	}
	return 0;
}

static int take_public(struct resource *g, struct subnet *s, struct resource *vnet, struct err *e)
{
	uint32_t tenant = tenant_of(g->id)->number;
	struct err ignored = ERR_INIT;
	struct ip ip;

	const char *pool = model_str(guest_of(g), "pool");

	if (*pool) {
		if (prefix_address_for(g, pool, "pool", &ip, e) < 0) {
			return -1;
		}
		set_ip(g->status, ip.family == 6 ? "pub6" : "pub4", &ip);
		return 0;
	}
	if (model_is(g->doc, "properties.ipAddress.type", "Public") || guest_public(g)) {
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
	if (!s->shared.family && vnet_default_outbound(vnet, s->id) &&
	    network_public(4, tenant, &ip, &ignored) == 0) {
		s->shared = ip;
		s->sent = false;
		if (vnet) {
			set_ip(vnet->status, "shared", &ip);
		}
	}
	set_ip(g->status, "egress4", &s->shared);
	return 0;
}

/* The subnet that the document names, or the subscription's own. */
static struct subnet *subnet_of_document(struct resource *g, struct resource **vnet, struct err *e)
{
	const char *id = json_string_value(
		json_object_get(json_array_get(model_at(g->doc, "properties.subnetIds"), 0), "id"));
	struct subnet *s = NULL;

	if (!id && *model_str(g->doc, "properties.networkProfile.id") &&
	    !(id = profile_subnet(g, e))) {
		return NULL;
	}
	if (id && model_is(g->doc, "properties.ipAddress.type", "Public") && !guest_of(g)) {
		err_set_at(e, ERR_INVALID, "PublicIPNotSupportedInVirtualNetwork",
		           "properties.ipAddress.type",
		           "A container group in a virtual network has a Private address.");
		return NULL;
	}
	if (id) {
		return network_vnet_subnet(g, id, vnet, &s, e) < 0 ? NULL : s;
	}
	if (model_is(g->doc, "properties.ipAddress.type", "Private")) {
		err_set_at(e, ERR_INVALID, "PrivateIPRequiresSubnet", "properties.ipAddress.type",
		           "A Private address needs subnetIds.");
		return NULL;
	}
	json_object_set_new(g->status, "platform", json_true());
	return platform_of(g);
}

/* The group's port: one more on that bridge (0: where there is room). */
static void take_port(struct resource *g, struct subnet *s, uint32_t id)
{
	struct subnet_bridge *b = id ? subnet_bridge_find(s, id) : subnet_bridge_free(s);

	if (!b) {
		b = subnet_bridge_add(s, id ? id : table_serial());
	}
	b->ports++;
	s->groups++;
	s->idle_until_ms = 0;
	json_object_set_new(g->status, "bridge", json_integer(b->id));
}

/* A spare's, which has its port counted. */
static void take_spare_port(struct resource *g, struct subnet *s, uint32_t bridge)
{
	s->groups++;
	s->idle_until_ms = 0;
	json_object_set_new(g->status, "bridge", json_integer(bridge));
}

static bool is_live(const struct subnet *s)
{
	return s->groups > 0 || s->held || s->idle_until_ms;
}

/* The node of the group's VNet; an error leaves nothing of a subnet that was made for it. */
static int take_node(struct resource *g, struct subnet *s, struct resource *vnet, struct err *e)
{
	const struct subnet *x;
	struct node *n = NULL;
	bool live = false;

	for (size_t i = subnet_first(s->vnet); (x = subnet_at(i)) && x->vnet == s->vnet; i++) {
		live = live || is_live(x);
	}
	if (home_choose(s->vnet, live, g->doc, guest_node(g), &n, e) < 0) {
		if (!is_live(s)) {
			subnet_free(s);
		}
		return -1;
	}
	home_note(g, s->vnet, n);
	if (vnet) {
		home_note(vnet, s->vnet, home_of(s->vnet));
	}
	return 0;
}

static void give_back(struct resource *g);

int network_attach(struct resource *g, struct resource **vnet, struct err *e)
{
	*vnet = NULL;
	struct subnet *s = subnet_of_document(g, vnet, e);

	if (!s || take_node(g, s, *vnet, e) < 0) {
		return -1;
	}
	bool home = network_node(g) == home_of(s->vnet); /* where spares are */
	uint32_t bridge = 0, spare = guest_of(g) || !home ? 0 : spare_take(s, &bridge);
	if (spare) {
		take_spare_port(g, s, bridge);
	} else {
		take_port(g, s, 0);
	}
	json_object_set_new(g->status, "serial", json_integer(spare ? spare : table_serial()));
	json_object_set_new(g->status, "vnet", json_integer(s->vnet));
	json_object_set_new(g->status, "subnet", json_integer(s->id));
	bool told = false;
	if (take_addresses(g, s, &told, e) < 0 || take_public(g, s, *vnet, e) < 0 ||
	    (guest_of(g) && guest_check(g, e) < 0)) {
		give_back(g); /* what it has so far */
		if (spare) {
			network_drop_number(s->vnet, spare);
		}
		return -1;
	}
	if (network_place(g, true) && !home) {
		fabric_branches(s->vnet);
	} else if (told) {
		addrblock_tell(s->vnet);
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
	home_restore(g, number(g->status, "vnet"));
	struct subnet *s = subnet_make(number(g->status, "vnet"), number(g->status, "subnet"));
	for (int f = 0; f < 2; f++) {
		if (prefix[f].ip.family) {
			(void)subnet_range_add(s, &prefix[f]);
		}
	}
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
		struct ip ip = table_ip(r->status, held[i]);

		if (ip.family) {
			network_public_mark(&ip, tenant_of(r->id)->number);
		}
	}
}

void network_restore(struct resource *g)
{
	struct subnet *s = subnet_of_status(g);
	uint32_t tenant = tenant_of(g->id)->number;
	struct err e = ERR_INIT;
	struct ip got;

	/* Of a plane that had one node: it stays there when its home moves. */
	if (!number(g->status, "node")) {
		home_note(g, number(g->status, "vnet"), home_of(number(g->status, "vnet")));
	}
	for (int f = 0; s && f < 2; f++) {
		struct ip ip = table_ip(g->status, f ? "ip6" : "ip4");
		struct ip pub = table_ip(g->status, f ? "pub6" : "pub4");

		struct subnet_range *r = ip.family ? subnet_range_of(s, &ip) : NULL;
		if (r && ipam_take(&r->ipam, &ip, tenant, 0, &got, &e) == 0) {
			r->groups++;
			addrblock_restore(s, r, &ip, network_node(g));
		}
		if (pub.family && !*model_str(g->status, "prefix")) { /* else prefix.c's */
			network_public_mark(&pub, tenant);
		}
	}
	struct ip shared = table_ip(g->status, "egress4");
	if (s && shared.family) {
		s->shared = shared;
		network_public_mark(&shared, tenant);
	}
	if (s) {
		uint32_t bridge = number(g->status, "bridge");

		take_port(g, s, bridge ? bridge : s->id);
	}
	(void)network_place(g, true);
}

static void send_del(struct node *n, uint64_t owner, uint64_t request)
{
	struct buf b = { 0 };

	fabric_drop(owner); /* on other nodes */
	put_u64(&b, request);
	put_u64(&b, owner);
	node_tell(n, MSG_OWNER_DEL, &b, -1);
	buf_fini(&b);
}

void network_subnet_gone(struct subnet *s)
{
	uint32_t vnet = s->vnet;

	fabric_drop(s->id);
	subnet_free(s);
	if (!subnet_any(vnet)) {
		fabric_vnet_gone(vnet);
		home_forget(vnet);
		ports_forget(vnet);
	} else {
		fabric_vnet(vnet);
	}
}

static void end_subnet(struct subnet *s)
{
	if (s->platform && s->shared.family) {
		network_public_free(&s->shared, s->tenant);
	}
	network_subnet_gone(s);
}

void network_port_give(struct subnet *s, uint32_t bridge)
{
	struct subnet_bridge *b = subnet_bridge_find(s, bridge);

	b->ports--;
	if (b->ports == 0 && b->id != s->id) {
		fabric_drop(b->id);
		subnet_bridge_remove(s, b);
	}
}

/* The last group takes the subnet along, the VNet's last the router. */
static void give_port(const struct resource *g, struct subnet *s)
{
	s->groups--;
	network_port_give(s, number(g->status, "bridge"));
	if (s->groups > 0 || s->held) {
		return;
	}
	spare_drop(s);
	s->tenant = tenant_of(g->id)->number;
	if (guest_of(g)) {
		s->idle_until_ms = clock_system.now_ms(&clock_system) + IDLE_MS;
	} else {
		end_subnet(s);
	}
}

void network_idle(uint32_t vnet, int64_t now_ms)
{
	for (size_t i = 0; subnet_at(i);) {
		struct subnet *s = subnet_at(i);
		bool idle = s->idle_until_ms && s->groups == 0 && !s->held;

		if (idle && (vnet ? s->vnet == vnet : s->idle_until_ms <= now_ms)) {
			end_subnet(s);
		} else {
			i++;
		}
	}
}

static void give_back(struct resource *g)
{
	struct subnet *s = subnet_find(number(g->status, "vnet"), number(g->status, "subnet"));
	uint32_t tenant = tenant_of(g->id)->number;
	int64_t until = clock_system.now_ms(&clock_system) + plane.config->rest_s * 1000;
	bool of_prefix = prefix_address_free(g);

	for (int f = 0; s && f < 2; f++) {
		struct ip ip = table_ip(g->status, f ? "ip6" : "ip4");
		struct ip pub = table_ip(g->status, f ? "pub6" : "pub4");

		struct subnet_range *r = ip.family ? subnet_range_of(s, &ip) : NULL;
		if (r) {
			ipam_give(&r->ipam, &ip, tenant, until);
			blocks_given(&r->blocks, &r->prefix, &ip);
			r->groups--;
		}
		if (pub.family && !of_prefix) {
			network_public_free(&pub, tenant);
		}
	}
	if (s) {
		give_port(g, s);
	}
}

void network_release(struct resource *g)
{
	uint32_t vnet = number(g->status, "vnet");

	home_group_ends(vnet, network_node(g));
	bool last = network_place(g, false), branch = network_node(g) != home_of(vnet);

	give_back(g);
	if (last && branch && subnet_any(vnet)) {
		fabric_branches(vnet);
	}
}

/* ---- to the engine ---- */

static void send_owner(struct node *n, uint64_t owner, const struct kset *objects, uint64_t request,
                       bool want_fd)
{
	struct buf b = { 0 };

	put_u64(&b, request);
	put_u64(&b, owner);
	put_u8(&b, want_fd);
	put_u32(&b, (uint32_t)objects->n);
	for (size_t i = 0; i < objects->n; i++) {
		put_kobj(&b, &objects->v[i]);
	}
	node_tell(n, MSG_OWNER_SET, &b, -1);
	buf_fini(&b);
}

/* Numbers of the application security groups that the group belongs to. */
static size_t memberships(const struct resource *g, struct subnet *s, uint32_t to[10])
{
	json_t *x;
	size_t i, n = 0;

	json_array_foreach(model_at(g->doc, "properties.applicationSecurityGroups"), i, x)
	{
		AUTO_FREE char *low = table_key(model_str(x, "id"));
		struct resource *a = table_get(low);

		if (a && n < 10) {
			to[n++] = table_number(a);
			subnet_asg_add(s, to[n - 1]);
		}
	}
	return n;
}

const struct resource *network_group_at(uint32_t vnet, const struct ip *ip)
{
	const struct where_entry *x = where_next(&places, vnet, ip, NULL);
	const struct resource *g = x ? (const struct resource *)x->value : NULL;

	return g && !g->deleting ? g : NULL;
}

struct node *network_node_at(uint32_t vnet, const struct ip *ip)
{
	const struct where_entry *x = where_next(&places, vnet, ip, NULL);

	return x ? network_node((const struct resource *)x->value) : NULL;
}

uint32_t network_bridge_of(const struct resource *g)
{
	return number(g->status, "bridge");
}

/* Limits of the document, which are in bits; bursts that it does not give are a tenth of a second, and a segment at least. */
static void bandwidth(const struct resource *g, struct plan_group *p)
{
	static const char *const keys[2][2] = { { "ingressRate", "ingressBurst" },
		                                { "egressRate", "egressBurst" } };
	const json_t *b = model_at(g->doc, "properties.bandwidth");

	for (int i = 0; i < 2; i++) {
		uint64_t rate = (uint64_t)json_integer_value(json_object_get(b, keys[i][0])) / 8;
		uint64_t burst = (uint64_t)json_integer_value(json_object_get(b, keys[i][1])) / 8;

		burst = burst ? burst : rate / 10 > 131072 ? rate / 10 : 131072;
		p->rate[i] = rate;
		p->burst[i] = !rate ? 0 : burst < UINT32_MAX ? (uint32_t)burst : UINT32_MAX;
	}
}

/* The tap that a runtime of virtual machines asked for: group_runtime.c. */
static void plan_tap(const struct resource *g, struct plan_group *p)
{
	const json_t *tap = json_object_get(g->status, "tap"),
		     *owner = json_object_get(tap, "owner");

	p->tap_queues = (uint32_t)json_integer_value(json_object_get(tap, "queues"));
	p->tap_owner = owner ? (uint32_t)json_integer_value(owner) + 1 : 0;
}

/* What the group wants of the kernel; NULL: its subnet is not live. */
static const struct subnet *plan_group(const struct resource *g, struct kset *set)
{
	struct subnet *s = subnet_find(number(g->status, "vnet"), number(g->status, "subnet"));
	struct plan_port ports[100];
	struct plan_addr addrs[2] = { 0 };
	uint32_t asgs[10];
	struct plan_group p = { .ns = number(g->status, "serial"),
		                .addrs = addrs,
		                .ports = ports,
		                .mtu = (uint32_t)plane.config->mtu - 50 };
	AUTO_FREE struct plan_map *maps = NULL;
	const json_t *cni = guest_of(g);
	uint8_t mac[6];
	json_t *x;
	size_t i;

	if (!s) {
		return NULL;
	}
	if (cni && (maps = calloc(GUEST_PORTS_MAX, sizeof(*maps)))) {
		p.guest = true;
		p.no_default = json_is_false(json_object_get(cni, "defaultRoute"));
		p.mac = guest_mac(g, mac) ? mac : NULL;
		p.maps = maps;
		p.n_maps = guest_maps(g, maps);
	}
	p.vnet_ns = s->vnet;
	p.bridge = number(g->status, "bridge");
	for (int f = 0; f < 2; f++) {
		struct ip ip = table_ip(g->status, f ? "ip6" : "ip4");
		const struct subnet_range *r = ip.family ? subnet_range_of(s, &ip) : NULL;

		if (r) {
			struct plan_addr *a = &addrs[p.n_addrs++];

			a->prefix = r->prefix;
			a->ip = ip;
			a->pub = table_ip(g->status, f ? "pub6" : "pub4");
		}
	}
	json_array_foreach(model_at(g->doc, "properties.ipAddress.ports"), i, x)
	{
		if (p.n_ports < ARRAY_N(ports) && !cni) { /* a guest's are its maps */
			ports[p.n_ports++] = (struct plan_port){
				model_is(x, "protocol", "UDP") ? 17 : 6,
				(uint16_t)json_integer_value(json_object_get(x, "port"))
			};
		}
	}
	p.forward = json_is_true(model_at(g->doc, "properties.enableIPForwarding"));
	bandwidth(g, &p);
	p.asgs = asgs;
	p.n_asgs = memberships(g, s, asgs);
	if (!s->sent) {
		fabric_vnet(s->vnet);
	}
	if (p.forward) { /* routes may wait for it */
		fabric_vnets(tenant_of(g->id)->number, NULL);
	}
	plan_tap(g, &p);
	vnet_plan_group(&p, set);
	return s;
}

static void send_group(const struct resource *g, bool whole, uint64_t request)
{
	uint32_t serial = number(g->status, "serial");
	struct kset set = { 0 }, own = { 0 };
	const struct subnet *s = plan_group(g, &set);
	struct node *n = network_node(g);

	if (s) {
		fabric_unanswered(n, &set);
		fabric_group(serial, s->vnet, n, &set, &own);
	}
	if (s && whole) {
		send_owner(n, serial, &own, request, true);
	}
	kset_fini(&own);
	kset_fini(&set);
}

void network_send_group(const struct resource *g, uint64_t request)
{
	send_group(g, true, request);
}

void network_send_ways(const struct resource *g)
{
	send_group(g, false, 0);
}

void network_send_spare(const struct subnet *s, uint32_t spare, uint32_t bridge, uint64_t request)
{
	struct plan_group p = { .ns = spare,
		                .vnet_ns = s->vnet,
		                .bridge = bridge,
		                .mtu = (uint32_t)plane.config->mtu - 50 };
	struct kset set = { 0 };

	vnet_plan_group(&p, &set);
	send_owner(home_of(s->vnet), p.ns, &set, request, false);
	kset_fini(&set);
}

void network_drop_number(uint32_t vnet, uint32_t n)
{
	send_del(home_of(vnet), n, 0);
}

void network_drop_group(const struct resource *g, uint64_t request)
{
	send_del(network_node(g), number(g->status, "serial"), request);
}
