/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Security groups: the plan, walked as the kernel would, decides as nsg_match() does, for random
 * rules and flows near their edges; golden plan; a rule's change touches few objects. Pure: no root.
 */
#include "vnet/nsg.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

static uint64_t state_ = 1;

static uint32_t rnd(uint32_t n)
{
	state_ = state_ * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(state_ >> 33) % n;
}

static struct ip_prefix net(const char *text)
{
	struct ip_prefix p;
	struct err e = ERR_INIT;

	assert_int_equal(ip_prefix_parse(text, &p, &e), 0);
	return p;
}

/* ---- the kernel's part: walks chains of a sorted plan ---- */

struct box {
	const struct kset *set;
	const struct ip_prefix *vtag;
	size_t n_vtag;
};

static bool in_set(const struct box *b, const char *name, const struct ip *ip)
{
	if (strncmp(name, "vtag", 4) == 0) {
		for (size_t i = 0; i < b->n_vtag; i++) {
			if (ip_prefix_contains(&b->vtag[i], ip)) {
				return true;
			}
		}
		return false;
	}
	if (name[0] == 'a') { /* members: addresses that end in 7 */
		return ip->b[ip->family == 4 ? 3 : 15] == 7;
	}
	for (size_t i = 0; i < b->set->n; i++) {
		const struct kobj *o = &b->set->v[i];
		size_t len = ip->family == 4 ? 4 : 16;

		if (o->kind == KOBJ_ITEM && strcmp(o->dev, name) == 0 &&
		    memcmp(o->addr, ip->b, len) <= 0 && memcmp(ip->b, o->via, len) <= 0) {
			return true;
		}
	}
	return false;
}

static const char *look_up(const struct box *b, const char *map, const uint8_t *key, size_t len)
{
	for (size_t i = 0; i < b->set->n; i++) {
		const struct kobj *o = &b->set->v[i];

		if (o->kind == KOBJ_ITEM && strcmp(o->dev, map) == 0 &&
		    memcmp(o->addr, key, len) <= 0 && memcmp(key, o->via, len) <= 0) {
			return o->peer;
		}
	}
	return NULL;
}

static bool side_ok(const struct box *b, const struct kobj_filter *f, int s, const struct ip *ip)
{
	struct ip_prefix p = { { f->family, { 0 } }, f->plen[s] };

	memcpy(p.ip.b, f->value[s], 16);
	switch ((enum kobj_side)f->side[s]) {
	case KOBJ_SIDE_PREFIX:
		return ip_prefix_contains(&p, ip);
	case KOBJ_SIDE_SET:
		return in_set(b, (const char *)f->value[s], ip);
	case KOBJ_SIDE_NOT_SET:
		return !in_set(b, (const char *)f->value[s], ip);
	default:
		return true;
	}
}

/* Priority of the rule that decides; *steps counts rules and maps that were looked at. */
static int walk(const struct box *b, const char *chain, const struct nsg_flow *f, unsigned *steps)
{
	const uint8_t port[2] = { (uint8_t)(f->port[1] >> 8), (uint8_t)f->port[1] };
	const char *next = NULL;

	for (size_t i = 0; i < b->set->n; i++) {
		const struct kobj *o = &b->set->v[i];
		struct kobj_filter x;

		if (o->kind != KOBJ_FILTER || strcmp(o->dev, chain) != 0) {
			continue;
		}
		++*steps;
		kobj_filter_unpack(o, &x);
		if (x.family && x.family != f->addr[0].family) {
			continue;
		}
		switch ((enum kobj_filter_op)x.op) {
		case KOBJ_FILTER_PROTO:
			next = look_up(b, x.target, &f->proto, 1);
			break;
		case KOBJ_FILTER_PORT:
			next = look_up(b, x.target, port, 2);
			break;
		case KOBJ_FILTER_SADDR:
		case KOBJ_FILTER_DADDR:
			next = look_up(b, x.target, f->addr[x.op == KOBJ_FILTER_DADDR].b,
			               x.family == 4 ? 4 : 16);
			break;
		case KOBJ_FILTER_GOTO:
			next = x.target;
			break;
		case KOBJ_FILTER_JUMP: {
			int decided = walk(b, x.target, f, steps);

			if (decided >= 0) {
				return decided;
			}
			break;
		}
		case KOBJ_FILTER_CLOSE:
			return 0; /* no rule has decided: there is one always */
		default:
			if (side_ok(b, &x, 0, &f->addr[0]) && side_ok(b, &x, 1, &f->addr[1]) &&
			    (!x.sport[1] ||
			     (f->port[0] >= x.sport[0] && f->port[0] <= x.sport[1]))) {
				return x.priority;
			}
			break;
		}
		if (next) {
			return walk(b, next, f, steps);
		}
	}
	return -1;
}

/* ---- random rules ---- */

static struct ip random_ip(uint8_t family)
{
	struct ip ip = { family, { 0 } };

	if (family == 4) {
		ip.b[0] = 10;
		ip.b[1] = (uint8_t)rnd(2);
		ip.b[2] = (uint8_t)rnd(4);
		ip.b[3] = (uint8_t)rnd(256);
	} else {
		ip.b[0] = 0xfd;
		ip.b[7] = (uint8_t)rnd(2);
		ip.b[15] = (uint8_t)rnd(256);
	}
	return ip;
}

static void random_side(struct nsg_side *s)
{
	uint32_t kind = rnd(8);

	if (kind < 2) {
		s->any = true;
	} else if (kind == 2) {
		s->vnet = true;
	} else if (kind == 3) {
		s->internet = true;
	} else if (kind == 4) {
		s->asgs[s->n_asgs++] = 5;
	}
	for (uint32_t n = kind > 4 ? 1 + rnd(rnd(6) ? 2 : 30) : 0; n > 0; n--) {
		struct ip_prefix p = { random_ip(rnd(3) ? 4 : 6), 0 };
		unsigned bits = ip_bits(p.ip.family);

		p.len = (uint8_t)(rnd(12) ? bits - rnd(10) : rnd(bits + 1));
		for (unsigned i = p.len; i < bits; i++) {
			p.ip.b[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
		}
		assert_int_equal(nsg_side_add(s, &p), 0);
	}
}

static void random_group(struct nsg *g, unsigned n)
{
	static const uint8_t protos[] = { 0, 0, 6, 6, 17, 1, 50, 51 };

	g->id = 42;
	for (unsigned i = 0; i < n; i++) {
		struct nsg_rule *r = nsg_add(g);

		assert_non_null(r);
		r->priority = (uint16_t)(100 + i);
		r->inbound = rnd(2);
		r->allow = rnd(2);
		r->proto = protos[rnd(8)];
		random_side(&r->side[0]);
		random_side(&r->side[1]);
		for (uint32_t k = rnd(3) ? rnd(3) : 0; k > 0; k--) {
			uint16_t low = (uint16_t)(rnd(20) ? 80 + rnd(20) : rnd(65536));
			uint32_t high = low + rnd(5);

			assert_int_equal(
				nsg_ports_add(r, 1, low, high > 65535 ? low : (uint16_t)high), 0);
		}
		if (rnd(10) == 0) {
			assert_int_equal(nsg_ports_add(r, 0, 1000, 2000), 0);
		}
	}
	assert_int_equal(nsg_add_defaults(g), 0);
	nsg_sort(g);
}

static bool member(void *arg, uint32_t asg, const struct ip *ip)
{
	(void)arg;
	(void)asg;
	return ip->b[ip->family == 4 ? 3 : 15] == 7;
}

static struct nsg_flow random_flow(void)
{
	static const uint8_t protos[] = { 6, 6, 6, 17, 17, 1, 50, 51, 47 };
	uint8_t family = rnd(3) ? 4 : 6;
	struct nsg_flow f = { .inbound = rnd(2), .proto = protos[rnd(9)] };

	if (family == 6 && f.proto == 1) {
		f.proto = IPPROTO_ICMPV6;
	}
	f.addr[0] = random_ip(family);
	f.addr[1] = random_ip(family);
	f.port[0] = (uint16_t)(rnd(2) ? 995 + rnd(1010) : rnd(65536));
	f.port[1] = (uint16_t)(rnd(6) ? 78 + rnd(26) : rnd(65536));
	return f;
}

static void check_plan(struct kset *set)
{
	struct err e = ERR_INIT;

	kset_sort(set);
	for (size_t i = 0; i < set->n; i++) {
		if (kobj_check(&set->v[i], &e) < 0) {
			fail_msg("the engine would refuse: %s", e.msg);
		}
		if (i > 0 && kobj_compare(&set->v[i - 1], &set->v[i]) == 0) {
			struct buf text = { 0 };
			kobj_format(&set->v[i], &text);
			fail_msg("twice: %s", buf_str(&text));
		}
		/* Intervals of one set lie apart. */
		const struct kobj *a = i ? &set->v[i - 1] : NULL, *b = &set->v[i];
		if (a && b->kind == KOBJ_ITEM && a->kind == KOBJ_ITEM &&
		    strcmp(a->dev, b->dev) == 0) {
			assert_true(memcmp(a->via, b->addr, 16) < 0);
		}
	}
}

static void same_verdicts(void **state)
{
	const struct ip_prefix vtag[] = { net("10.0.0.0/16"), net("fd00::/64"),
		                          net("168.63.129.16/32") };
	const struct nsg_world w = { vtag, 3, member, NULL };
	unsigned sizes[] = { 0, 1, 3, 10, 30, 60 };
	int flows = getenv("LONG") && *getenv("LONG") == '1' ? 20000 : 1500;

	(void)state;
	state_ = strtoull(getenv("SEED") ? getenv("SEED") : "1", NULL, 10);
	for (int round = 0; round < 18; round++) {
		struct nsg g = { 0 };
		struct kset set = { 0 };
		struct box box = { &set, vtag, 3 };

		random_group(&g, sizes[round % 6]);
		vnet_plan_nsg(&g, 16, &set);
		check_plan(&set);
		for (int i = 0; i < flows; i++) {
			struct nsg_flow f = random_flow();
			const struct nsg_rule *r = nsg_match(&g, &f, &w);
			char chain[KOBJ_NAME];
			unsigned steps = 0;

			nsg_chain_name(g.id, f.inbound, chain);
			assert_non_null(r);
			assert_int_equal(walk(&box, chain, &f, &steps), r->priority);
		}
		nsg_fini(&g);
		kset_fini(&set);
	}
}

/* 1,000 rules, each of a port and an address of its own. */
static void large_group(struct nsg *g, bool one_port)
{
	g->id = 7;
	for (unsigned i = 0; i < 1000; i++) {
		struct nsg_rule *r = nsg_add(g);
		struct ip_prefix p = { { 4, { 192, 0, (uint8_t)(i >> 8), (uint8_t)i } }, 32 };

		r->priority = (uint16_t)(100 + i);
		r->inbound = r->allow = true;
		r->proto = 6;
		r->side[1].any = true;
		for (uint8_t k = 0; k < 4; k++) {
			p.ip.b[1] = k;
			assert_int_equal(nsg_side_add(&r->side[0], &p), 0);
		}
		uint16_t port = (uint16_t)(one_port ? 443 : 1000 + i);
		assert_int_equal(nsg_ports_add(r, 1, port, port), 0);
	}
	assert_int_equal(nsg_add_defaults(g), 0);
	nsg_sort(g);
}

/* However many the rules, a flow is held against a few. */
static void few_steps(void **state)
{
	(void)state;
	for (int one_port = 0; one_port < 2; one_port++) {
		struct nsg g = { 0 };
		struct kset set = { 0 };
		struct box box = { &set, NULL, 0 };
		unsigned steps = 0;

		large_group(&g, one_port);
		vnet_plan_nsg(&g, 16, &set);
		check_plan(&set);
		struct nsg_flow f = { .inbound = true,
			              .proto = 6,
			              .addr = { { 4, { 192, 2, 3, 0xe7 } },
			                        { 4, { 10, 0, 0, 4 } } },
			              .port = { 4000, one_port ? 443 : 1999 } };
		assert_int_equal(walk(&box, "N7i", &f, &steps), 1099);
		assert_true(steps <= 8);
		assert_true(set.n < 20000);
		nsg_fini(&g);
		kset_fini(&set);
	}
}

/* One rule's change, as a diff of plans. */
static void few_changes(void **state)
{
	(void)state;
	for (int one_port = 0; one_port < 2; one_port++) {
		struct nsg g = { 0 };
		struct kset was = { 0 }, now = { 0 };
		struct kops ops = { 0 };

		large_group(&g, one_port);
		vnet_plan_nsg(&g, 16, &was);
		g.v[500].allow = false;
		vnet_plan_nsg(&g, 16, &now);
		check_plan(&was);
		check_plan(&now);
		struct kobj **want = calloc(now.n, sizeof(struct kobj *));
		for (size_t i = 0; i < now.n; i++) {
			want[i] = &now.v[i];
		}
		kobj_diff(want, now.n, was.v, was.n, true, &ops);
		assert_true(ops.n > 0 && ops.n < 30);
		free(want);
		kops_fini(&ops);
		kset_fini(&was);
		kset_fini(&now);
		nsg_fini(&g);
	}
}

static void golden(void **state)
{
	struct nsg g = { .id = 0x2a };
	struct kset set = { 0 };
	struct buf text = { 0 };
	char have[16384] = "";
	struct ip_prefix a = net("192.0.2.0/24"), b = net("198.51.100.7/32");

	(void)state;
	struct nsg_rule *r = nsg_add(&g);
	r->priority = 100;
	r->inbound = r->allow = true;
	r->proto = 6;
	r->side[1].any = true;
	assert_int_equal(nsg_side_add(&r->side[0], &a) + nsg_side_add(&r->side[0], &b) +
	                         nsg_ports_add(r, 1, 80, 80) + nsg_ports_add(r, 1, 8080, 8090) +
	                         nsg_add_defaults(&g),
	                 0);
	nsg_sort(&g);
	vnet_plan_nsg(&g, 16, &set);
	check_plan(&set);
	for (size_t i = 0; i < set.n; i++) {
		kobj_format(&set.v[i], &text);
		buf_addf(&text, "\n");
	}
	FILE *f = fopen("tests/unit/vnet/golden/nsg.txt", getenv("GOLDEN") ? "we" : "re");
	assert_non_null(f);
	if (getenv("GOLDEN")) {
		fwrite(text.data, 1, text.len, f);
	} else {
		have[fread(have, 1, sizeof(have) - 1, f)] = '\0';
		assert_string_equal(buf_str(&text), have);
	}
	fclose(f);
	buf_fini(&text);
	kset_fini(&set);
	nsg_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_verdicts),
		cmocka_unit_test(few_steps),
		cmocka_unit_test(few_changes),
		cmocka_unit_test(golden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
