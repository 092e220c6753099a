/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See kobj.h. Pure: no I/O; allocates lists only.
 */
#include "lib/kernel/kobj.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"

#define KEY_SIZE offsetof(struct kobj, via)

static_assert(sizeof(struct kobj) == 4 + 4 + 16 + 16 + 8 + 4 + 4 + 16 + 8 + 16 + 16 + 16,
              "no padding: keys and values are compared as bytes");

void kset_fini(struct kset *s)
{
	free(s->v);
	*s = (struct kset){ 0 };
}

void kset_add(struct kset *s, const struct kobj *o)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		struct kobj *v = realloc(s->v, cap * sizeof(*v));

		if (!v) {
			s->failed = true;
			return;
		}
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = *o;
}

static int by_key(const void *a, const void *b)
{
	return kobj_compare(a, b);
}

void kset_sort(struct kset *s)
{
	if (s->n > 1) {
		qsort(s->v, s->n, sizeof(*s->v), by_key);
	}
}

void kset_unique(struct kset *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (n == 0 || kobj_compare(&s->v[n - 1], &s->v[i]) != 0) {
			s->v[n++] = s->v[i];
		}
	}
	s->n = n;
}

int kobj_compare(const struct kobj *a, const struct kobj *b)
{
	return memcmp(a, b, KEY_SIZE);
}

bool kobj_same(const struct kobj *want, const struct kobj *have)
{
	if (want->kind == KOBJ_LINK) {
		/* A dump does not tell where the other end of a pair is. */
		return memcmp(want->mac, have->mac, 6) == 0 && want->flags == have->flags &&
		       want->mtu == have->mtu && want->index == have->index &&
		       strncmp(want->master, have->master, KOBJ_NAME) == 0;
	}
	if (want->kind == KOBJ_FILTER) {
		return want->flags == have->flags; /* the hash */
	}
	if (want->kind == KOBJ_ELEM) { /* what a frontend's nodes were is not the kernel's */
		return memcmp(want->via, have->via, offsetof(struct kobj, master) - KEY_SIZE) ==
		               0 &&
		       memcmp(want->peer, have->peer, KOBJ_NAME) == 0;
	}
	return memcmp((const char *)want + KEY_SIZE, (const char *)have + KEY_SIZE,
	              sizeof(*want) - KEY_SIZE) == 0;
}

static void put_be32(uint8_t *to, uint32_t v)
{
	for (int i = 0; i < 4; i++) {
		to[i] = (uint8_t)(v >> (24 - 8 * i));
	}
}

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- nodes of a slot: numbers of two bytes, where the kernel sees nothing of them ---- */

static uint32_t former_at(const struct kobj *o, size_t i)
{
	const uint8_t *p = (const uint8_t *)o->master + 2 * i;

	return i < KOBJ_FORMERS ? (uint32_t)p[0] << 8 | p[1] : 0;
}

static void former_set(struct kobj *o, size_t i, uint32_t node)
{
	o->master[2 * i] = (char)(node >> 8);
	o->master[2 * i + 1] = (char)node;
}

void kobj_former_add(struct kobj *o, uint32_t node)
{
	size_t n = 0, at = 0;

	while (former_at(o, n)) {
		at += former_at(o, n++) < node;
	}
	if (!node || n == KOBJ_FORMERS || kobj_former_has(o, node)) {
		return;
	}
	for (; n > at; n--) {
		former_set(o, n, former_at(o, n - 1));
	}
	former_set(o, at, node);
}

uint32_t kobj_former_next(const struct kobj *o, uint32_t node)
{
	uint32_t first = former_at(o, 0);

	for (size_t i = 0; former_at(o, i); i++) {
		if (former_at(o, i) > node) {
			return former_at(o, i);
		}
	}
	return first == node ? 0 : first;
}

bool kobj_former_has(const struct kobj *o, uint32_t node)
{
	for (size_t i = 0; former_at(o, i); i++) {
		if (former_at(o, i) == node) {
			return true;
		}
	}
	return false;
}

void kobj_note_node(struct kobj *o, uint32_t node)
{
	put_be32(o->kmac, node);
}

bool kobj_note_is(const struct kobj *o, uint32_t node)
{
	return get_be32(o->kmac) == node;
}

uint32_t kobj_away_mark(const struct kobj *o, uint32_t node)
{
	return former_at(o, 0) == node ? 0 : kobj_node_mark(former_at(o, 0));
}

/* ---- filters ---- */

void kobj_filter_pack(const struct kobj_filter *f, uint32_t ns, const char *chain, struct kobj *to)
{
	const uint8_t small[6] = {
		f->side[0], f->plen[0], f->side[1], f->plen[1], (uint8_t)(f->op << 1 | f->inbound),
		f->family
	};
	uint32_t hash = 2166136261u;

	*to = (struct kobj){ .ns = ns, .kind = KOBJ_FILTER };
	memcpy(to->dev, chain, strnlen(chain, KOBJ_NAME - 1));
	put_be32(to->addr, f->position);
	memcpy(to->mac, small, sizeof(small));
	memcpy(to->via, f->value[0], 16);
	memcpy(to->master, f->value[1], 16);
	to->via_port = f->priority;
	to->index = f->group;
	to->mtu = (uint32_t)f->sport[0] << 16 | f->sport[1];
	memcpy(to->peer, f->target, KOBJ_NAME);
	for (const uint8_t *p = to->via; p < (const uint8_t *)(to + 1); p++) {
		hash = (hash ^ *p) * 16777619u;
	}
	to->flags = hash;
}

void kobj_filter_unpack(const struct kobj *o, struct kobj_filter *to)
{
	*to = (struct kobj_filter){ .position = get_be32(o->addr),
		                    .op = o->mac[4] >> 1,
		                    .inbound = o->mac[4] & 1,
		                    .family = o->mac[5],
		                    .side = { o->mac[0], o->mac[2] },
		                    .plen = { o->mac[1], o->mac[3] },
		                    .sport = { (uint16_t)(o->mtu >> 16), (uint16_t)o->mtu },
		                    .group = o->index,
		                    .priority = o->via_port };
	memcpy(to->value[0], o->via, 16);
	memcpy(to->value[1], o->master, 16);
	memcpy(to->target, o->peer, KOBJ_NAME);
}

void kobj_filter_set_ports(struct kobj_filter *f, uint16_t first, uint16_t last)
{
	put_be32(f->value[1], (uint32_t)first << 16 | last);
}

void kobj_filter_ports(const struct kobj_filter *f, uint16_t to[2])
{
	uint32_t both = get_be32(f->value[1]);

	to[0] = (uint16_t)(both >> 16);
	to[1] = (uint16_t)both;
}

void kobj_timeout_name(uint32_t seconds, uint8_t family, char to[static KOBJ_NAME])
{
	memset(to, 0, KOBJ_NAME);
	snprintf(to, KOBJ_NAME, "t%uv%u", seconds, family);
}

const uint32_t kobj_sizes[KOBJ_SIZES] = { 64, 1024, 4096, 16384, 65536 };

void kobj_idle_name(uint32_t seconds, char to[static KOBJ_NAME])
{
	memset(to, 0, KOBJ_NAME);
	snprintf(to, KOBJ_NAME, "I%u", seconds);
}

bool kobj_timeout_read(const char *name, uint32_t *seconds, uint8_t *family)
{
	char *end;
	unsigned long n =
		name[0] == 't' && isdigit((unsigned char)name[1]) ? strtoul(name + 1, &end, 10) : 0;

	if (n == 0 || n > 864000 || (strcmp(end, "v4") != 0 && strcmp(end, "v6") != 0)) {
		return false;
	}
	*seconds = (uint32_t)n;
	*family = end[1] == '4' ? 4 : 6;
	return true;
}

char *kobj_hex(char *to, uint32_t n)
{
	unsigned digits = 1;

	while (digits < 8 && n >> (4 * digits)) {
		digits++;
	}
	for (unsigned i = 0; i < digits; i++) {
		to[i] = "0123456789abcdef"[n >> (4 * (digits - 1 - i)) & 15];
	}
	return to + digits;
}

void kobj_counter_name(uint32_t group, bool inbound, uint16_t priority, char to[static KOBJ_NAME])
{
	memset(to, 0, KOBJ_NAME);
	char *at = to;

	*at++ = 'c';
	at = kobj_hex(at, group);
	*at++ = inbound ? 'i' : 'o';
	(void)kobj_hex(at, priority);
}

/* ---- text ---- */

static const char *const kind_names[] = { "netns",   "link", "addr",    "neigh",   "fdb",
	                                  "route",   "rule", "float",   "rate",    "tap",
	                                  "ruleset", "set",  "counter", "timeout", "chain",
	                                  "filter",  "elem", "item",    "note" };
static_assert(ARRAY_N(kind_names) == KOBJ_KIND_N, "a name for every kind");
static const char *const set_names[] = {
	"port4",   "port6",    "forward",  "pub4",      "pub6",      "target4",   "target6",
	"front4",  "front6",   "inner4",   "inner6",    "any4",      "any6",      "slot4",
	"slot6",   "anyslot4", "anyslot6", "float4",    "float6",    "anyfloat4", "anyfloat6",
	"idle",    "empty4",   "empty6",   "reset4",    "reset6",    "self4",     "self6",
	"outtcp4", "outtcp6",  "outudp4",  "outudp6",   "outany4",   "outany6",   "egress4",
	"egress6", "subout4",  "subout6",  "natout4",   "natout6",   "natsrc4",   "natsrc6",
	"natpub4", "natpub6",  "own4",     "own6",      "closed4",   "closed6",   "out",
	"in4",     "in6",      "from",     "vtag4",     "vtag6",     "remote4",   "remote6",
	"held4",   "held6",    "apart",    "straight4", "straight6", "space4",    "space6",
	"spread4", "spread6",  "mux4",     "mux6",      "away4",     "away6",     "former4",
	"former6", "block4",   "block6",   "here4",     "here6",     "drops4",    "drops6",
	"source4", "source6",  "pool4",    "pool6",     "member4",   "member6",   "linked4",
	"linked6"
};
static_assert(ARRAY_N(set_names) == KOBJ_SET_N, "a name for every set");

const char *kobj_set_name(uint8_t set)
{
	return set_names[set];
}

void kobj_ns_name(uint32_t ns, uint8_t type, char to[static 24])
{
	static const char letter[] = {
		[KOBJ_NETNS_VNET] = 'v', [KOBJ_NETNS_GROUP] = 'g', [KOBJ_NETNS_GUEST] = 'n'
	};

	if (type == KOBJ_NETNS_GATEWAY) {
		memcpy(to, "gw", 3);
	} else {
		snprintf(to, 24, "%c%u", letter[type], ns);
	}
}

static void add_ip(struct buf *to, const char *word, uint8_t family, const uint8_t b[16])
{
	struct ip ip = { .family = family };
	char text[IP_TEXT];

	memcpy(ip.b, b, 16);
	buf_addf(to, "%s%s", word, ip_format(&ip, text));
}

static void add_mac(struct buf *to, const char *word, const uint8_t m[6])
{
	buf_addf(to, "%s%02x:%02x:%02x:%02x:%02x:%02x", word, m[0], m[1], m[2], m[3], m[4], m[5]);
}

static bool zero(const uint8_t *b, size_t n)
{
	while (n--) {
		if (*b++) {
			return false;
		}
	}
	return true;
}

static void format_link(const struct kobj *o, struct buf *to)
{
	static const char *const types[] = { "?", "lo", "bridge", "veth", "peer", "vxlan" };

	buf_addf(to, " %s %s", types[o->sub], o->dev);
	if (o->sub == KOBJ_LINK_LO) {
		return;
	}
	add_mac(to, " mac ", o->mac);
	buf_addf(to, " index %u mtu %u", o->index, o->mtu);
	if (o->sub == KOBJ_LINK_VXLAN) {
		buf_addf(to, " vni %u", o->table);
		add_ip(to, " local ", o->family, o->addr);
	}
	if (o->master[0]) {
		buf_addf(to, " master %s", o->master);
	}
	if (o->flags & KOBJ_ISOLATED) {
		buf_addf(to, " isolated");
	}
	if (o->flags & KOBJ_SHORTCUT) {
		buf_addf(to, " shortcut");
	}
	if (o->peer[0]) {
		buf_addf(to, " peer %s ns %u", o->peer, o->peer_ns);
		add_mac(to, " mac ", o->via);
	}
}

static void format_elem(const struct kobj *o, struct buf *to)
{
	buf_addf(to, " %s", set_names[o->sub]);
	if (o->dev[0]) {
		buf_addf(to, " %s", o->dev);
	}
	if (!zero(o->kmac, 6)) {
		add_mac(to, " ", o->kmac);
	}
	if (o->family) {
		add_ip(to, " ", o->family, o->addr);
	}
	if (o->sub == KOBJ_SET_APART) {
		buf_addf(to, " v%u", o->proto);
	}
	if (o->plen) {
		buf_addf(to, "/%u", o->plen);
	}
	if (o->peer[0]) {
		buf_addf(to, " : %s", o->peer);
	}
	if (o->port) {
		buf_addf(to, " %s %u", o->proto == 6 ? "tcp" : "udp", o->port);
	}
	if (o->table || o->sub == KOBJ_SET_SLOT4 || o->sub == KOBJ_SET_SLOT6 ||
	    (o->sub >= KOBJ_SET_AWAY4 && o->sub <= KOBJ_SET_FORMER6)) {
		buf_addf(to, " %u", o->table);
	}
	if (!zero(o->via, 16)) {
		add_ip(to, " : ", o->family, o->via);
	}
	if (o->via_port) {
		buf_addf(to, " %u", o->via_port);
	}
	if (o->index && o->via_port) {
		buf_addf(to, "-%u", o->index);
	} else if (o->index) {
		bool mark = o->sub >= KOBJ_SET_MUX4 && o->sub <= KOBJ_SET_BLOCK6;

		buf_addf(to, " : %s 0x%x", mark ? "mark" : "class", o->index);
	}
}

static const char *const pset_names[] = { "?",           "address4", "address6",   "by-address4",
	                                  "by-address6", "by-port",  "by-protocol" };
static_assert(ARRAY_N(pset_names) == KOBJ_PSET_N, "a name for every kind of set");

static void format_item(const struct kobj *o, struct buf *to)
{
	buf_addf(to, " %s ", o->dev);
	if (o->sub == KOBJ_PMAP_PROTO) {
		buf_addf(to, "protocol %u-%u", o->addr[0], o->via[0]);
	} else if (o->sub == KOBJ_PMAP_PORT) {
		buf_addf(to, "%u-%u", o->addr[0] << 8 | o->addr[1], o->via[0] << 8 | o->via[1]);
	} else {
		add_ip(to, "", o->family, o->addr);
		add_ip(to, "-", o->family, o->via);
	}
	if (o->peer[0]) {
		buf_addf(to, " : %s", o->peer);
	}
}

static void format_filter(const struct kobj *o, struct buf *to)
{
	static const char *const ops[] = {
		"?",     "by-protocol", "by-port", "by-source", "by-destination", "goto", "jump",
		"close", "allow",       "deny",    "guard",     "idle",           "snat"
	};
	struct kobj_filter f;
	uint16_t ports[2];

	kobj_filter_unpack(o, &f);
	buf_addf(to, " %s %u", o->dev, f.position);
	if (f.op == KOBJ_FILTER_SNAT) {
		add_ip(to, " snat ", f.family, f.value[0]);
		buf_addf(to, " part %u of %u", f.sport[1], f.sport[0]);
		kobj_filter_ports(&f, ports);
		if (ports[1]) {
			buf_addf(to, " ports %u-%u", ports[0], ports[1]);
		}
		return;
	}
	if (f.family) {
		buf_addf(to, " v%u", f.family);
	}
	for (int i = 0; i < 2; i++) {
		const char *word = i ? " to " : " from ";

		if (f.side[i] == KOBJ_SIDE_PREFIX) {
			add_ip(to, word, f.family, f.value[i]);
			buf_addf(to, "/%u", f.plen[i]);
		} else if (f.side[i] != KOBJ_SIDE_ANY) {
			buf_addf(to, "%s%s%.15s", word, f.side[i] == KOBJ_SIDE_SET ? "" : "not ",
			         (const char *)f.value[i]);
		}
	}
	if (f.sport[1]) {
		buf_addf(to, " sport %u-%u", f.sport[0], f.sport[1]);
	}
	buf_addf(to, " %s", f.op < ARRAY_N(ops) ? ops[f.op] : "?");
	if (f.op == KOBJ_FILTER_ALLOW || f.op == KOBJ_FILTER_DENY) {
		buf_addf(to, " %u", f.priority);
	} else if (f.target[0]) {
		buf_addf(to, " %.15s", f.target);
	}
}

static void format_route(const struct kobj *o, struct buf *to)
{
	add_ip(to, " ", o->family, o->addr);
	buf_addf(to, "/%u", o->plen);
	if (o->table >= KOBJ_TABLE_NODES) {
		buf_addf(to, " table nodes+%u", o->table - KOBJ_TABLE_NODES);
	} else if (o->table) {
		buf_addf(to, " table %u", o->table);
	}
	if (o->sub >= KOBJ_ROUTE_UNREACHABLE) {
		static const char *const words[] = { "unreachable", "blackhole", "throw" };

		buf_addf(to, " %s", words[o->sub - KOBJ_ROUTE_UNREACHABLE]);
		return;
	}
	if (!zero(o->via, 16)) {
		add_ip(to, " via ", o->family, o->via);
	}
	buf_addf(to, " dev %s", o->dev);
}

static void format_rule(const struct kobj *o, struct buf *to)
{
	static const char *const rules[] = { "?",      "local",  "marked", "blackhole",
		                             "start",  "table",  "source", "main",
		                             "plain",  "node",   "on",     "said",
		                             "direct", "linked", "return", "foreign" };

	buf_addf(to, " v%u %s", o->family, rules[o->sub]);
	if (o->sub == KOBJ_RULE_SOURCE) {
		buf_addf(to, " %u", o->table);
		add_ip(to, " from ", o->family, o->addr);
	} else if (o->table >= KOBJ_TABLE_NODES) {
		buf_addf(to, " nodes+%u", o->table - KOBJ_TABLE_NODES);
		if (o->sub == KOBJ_RULE_RETURN) {
			add_ip(to, " from ", o->family, o->addr);
			buf_addf(to, "/%u", o->plen);
		}
	} else if (o->table) {
		buf_addf(to, " %u from %s", o->table, o->dev);
		if (o->plen) {
			add_ip(to, " ", o->family, o->addr);
			buf_addf(to, "/%u", o->plen);
		}
	}
}

static void format_ruleset(const struct kobj *o, struct buf *to)
{
	static const char *const rulesets[] = { "?", "vnet", "gateway", "uplink" };

	buf_addf(to, " %s", rulesets[o->sub]);
	if (o->dev[0]) {
		buf_addf(to, " dev %s", o->dev);
	}
	if (o->peer[0]) {
		buf_addf(to, " underlay %s", o->peer);
	}
	if (o->index) {
		buf_addf(to, " nodes %u%s", o->index, o->flags & KOBJ_LEAF ? " leaf" : "");
	}
}

void kobj_format(const struct kobj *o, struct buf *to)
{
	static const char *const netns[] = { "?", "gateway", "vnet", "group", "given", "guest" };
	uint64_t rates[2];

	buf_addf(to, "%u %s", o->ns, kind_names[o->kind]);
	switch ((enum kobj_kind)o->kind) {
	case KOBJ_NETNS:
		buf_addf(to, " %s", netns[o->sub]);
		break;
	case KOBJ_LINK:
		format_link(o, to);
		break;
	case KOBJ_ADDR:
		add_ip(to, " ", o->family, o->addr);
		buf_addf(to, "/%u dev %s", o->plen, o->dev);
		break;
	case KOBJ_NEIGH:
		add_ip(to, o->sub == KOBJ_NEIGH_PROXY ? " proxy " : " ", o->family, o->addr);
		buf_addf(to, " dev %s", o->dev);
		if (o->sub != KOBJ_NEIGH_PROXY) {
			add_mac(to, " mac ", o->mac);
		}
		break;
	case KOBJ_FDB:
		add_mac(to, " ", o->kmac);
		buf_addf(to, " dev %s", o->dev);
		if (o->family) {
			add_ip(to, " at ", o->family, o->via);
		}
		break;
	case KOBJ_ROUTE:
		format_route(o, to);
		break;
	case KOBJ_RULE:
		format_rule(o, to);
		break;
	case KOBJ_TAP:
		buf_addf(to, " %s queues %u mtu %u owner %lld", o->dev, o->index, o->mtu,
		         (long long)o->flags - 1);
		break;
	case KOBJ_RATE:
		memcpy(rates, o->via, sizeof(rates));
		buf_addf(to, " %s in %llu/%u out %llu/%u", o->dev, (unsigned long long)rates[0],
		         o->index, (unsigned long long)rates[1], o->mtu);
		break;
	case KOBJ_FLOAT:
		add_ip(to, " ", o->family, o->addr);
		buf_addf(to, " number %u dev %s", o->table, o->dev);
		add_ip(to, " own ", o->family, o->via);
		break;
	case KOBJ_RULESET:
		format_ruleset(o, to);
		break;
	case KOBJ_SET:
		buf_addf(to, " %s %s", o->dev, pset_names[o->sub]);
		break;
	case KOBJ_COUNTER:
	case KOBJ_TIMEOUT:
	case KOBJ_CHAIN:
		buf_addf(to, " %s", o->dev);
		break;
	case KOBJ_FILTER:
		format_filter(o, to);
		break;
	case KOBJ_ELEM:
		format_elem(o, to);
		break;
	case KOBJ_ITEM:
		format_item(o, to);
		break;
	case KOBJ_NOTE:
		format_elem(o, to);
		break;
	case KOBJ_KIND_N:
		break;
	}
}

/* ---- steps ---- */

void kops_fini(struct kops *s)
{
	free(s->v);
	*s = (struct kops){ 0 };
}

void kops_add(struct kops *s, enum kop_verb verb, const struct kobj *o)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 32;
		struct kop *v = realloc(s->v, cap * sizeof(*v));

		if (!v) {
			s->failed = true;
			return;
		}
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = (struct kop){ verb, o };
}

void kops_change(struct kops *s, const struct kobj *was, const struct kobj *now)
{
	if (now->kind == KOBJ_ITEM) { /* its end is no part of its key, but the kernel wants it */
		kops_add(s, KOP_DEL, was);
		kops_add(s, KOP_ADD, now);
	} else {
		struct kobj with = *was;

		/* Setting a device's address again would take its permanent neighbours away (neigh_changeaddr()). */
		with.flags ^= KOBJ_SHORTCUT;
		kops_add(s, now->kind == KOBJ_LINK && kobj_same(now, &with) ? KOP_BIND : KOP_SET,
		         now);
	}
}

static int by_step(const void *pa, const void *pb)
{
	const struct kop *a = pa, *b = pb;
	bool da = a->verb == KOP_DEL, db = b->verb == KOP_DEL;

	if (da != db) {
		return da ? -1 : 1;
	}
	if (a->o->kind != b->o->kind) {
		int up = a->o->kind < b->o->kind ? -1 : 1;
		return da ? -up : up;
	}
	if (a->o->kind == KOBJ_LINK && a->o->sub != b->o->sub) {
		return a->o->sub < b->o->sub ? -1 : 1; /* bridges before their ports */
	}
	if (a->o->kind == KOBJ_ROUTE && a->o->sub != b->o->sub) {
		/* "link" routes make the gateway of the others reachable */
		return a->o->sub > b->o->sub ? -1 : 1;
	}
	if (a->o->kind == KOBJ_RULE && a->o->sub != b->o->sub) {
		return a->o->sub > b->o->sub ? -1 : 1; /* the goto's target first */
	}
	return kobj_compare(a->o, b->o);
}

void kops_sort(struct kops *s)
{
	if (s->n > 1) {
		qsort(s->v, s->n, sizeof(*s->v), by_step);
	}
}

void kobj_diff(struct kobj *const *want, size_t n_want, const struct kobj *have, size_t n_have,
               bool remove_extra, struct kops *to)
{
	size_t i = 0, j = 0;

	while (i < n_want || j < n_have) {
		int c = i == n_want ? 1 : j == n_have ? -1 : kobj_compare(want[i], &have[j]);

		if (c < 0) {
			if (want[i]->kind != KOBJ_NETNS) {
				kops_add(to, KOP_ADD, want[i]);
			}
			i++;
		} else if (c > 0) {
			if (remove_extra && have[j].kind != KOBJ_NETNS) {
				kops_add(to, KOP_DEL, &have[j]);
			}
			j++;
		} else {
			if (want[i]->kind != KOBJ_NETNS && !kobj_same(want[i], &have[j])) {
				kops_change(to, &have[j], want[i]);
			}
			i++;
			j++;
		}
	}
}
