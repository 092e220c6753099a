/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See nsg.h. The rules as data and which of them decides; the plan is in nsg_plan.c.
 */
#include "vnet/nsg.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"

void nsg_fini(struct nsg *g)
{
	for (size_t i = 0; i < g->n; i++) {
		for (int s = 0; s < 2; s++) {
			free(g->v[i].side[s].prefixes);
			free(g->v[i].ports[s]);
		}
	}
	free(g->v);
	g->v = NULL;
	g->n = 0;
}

struct nsg_rule *nsg_add(struct nsg *g)
{
	struct nsg_rule *v = realloc(g->v, (g->n + 1) * sizeof(*v));

	if (!v) {
		return NULL;
	}
	g->v = v;
	v[g->n] = (struct nsg_rule){ 0 };
	return &v[g->n++];
}

int nsg_side_add(struct nsg_side *s, const struct ip_prefix *p)
{
	struct ip_prefix *v = realloc(s->prefixes, (s->n_prefixes + 1) * sizeof(*v));

	if (!v) {
		return -1;
	}
	s->prefixes = v;
	v[s->n_prefixes++] = *p;
	return 0;
}

int nsg_ports_add(struct nsg_rule *r, int side, uint16_t low, uint16_t high)
{
	struct nsg_ports *v = realloc(r->ports[side], (r->n_ports[side] + 1) * sizeof(*v));

	if (!v) {
		return -1;
	}
	r->ports[side] = v;
	v[r->n_ports[side]++] = (struct nsg_ports){ low, high };
	return 0;
}

/* learn.microsoft.com, "Default security rules". */
int nsg_add_defaults(struct nsg *g)
{
	static const struct ip_prefix platform[] = {
		{ { 4, { 168, 63, 129, 16 } }, 32 },
		{ { 6, { 0xfd, 0x53, 0xa8, 0x3f, 0x81, 0x10, [15] = 0x10 } }, 128 },
	};
	static const struct {
		const char *name;
		uint16_t priority;
		bool inbound, allow, vnet, balancer, internet;
	} rules[] = {
		{ "AllowVnetInBound", 65000, true, true, true, false, false },
		{ "AllowAzureLoadBalancerInBound", 65001, true, true, false, true, false },
		{ "DenyAllInBound", 65500, true, false, false, false, false },
		{ "AllowVnetOutBound", 65000, false, true, true, false, false },
		{ "AllowInternetOutBound", 65001, false, true, false, false, true },
		{ "DenyAllOutBound", 65500, false, false, false, false, false },
	};

	for (size_t i = 0; i < ARRAY_N(rules); i++) {
		struct nsg_rule *r = nsg_add(g);

		if (!r) {
			return -1;
		}
		snprintf(r->name, sizeof(r->name), "%s", rules[i].name);
		r->priority = rules[i].priority;
		r->inbound = rules[i].inbound;
		r->allow = rules[i].allow;
		r->side[0].vnet = r->side[1].vnet = rules[i].vnet;
		r->side[0].any = !rules[i].vnet && !rules[i].balancer;
		r->side[1].any = !rules[i].vnet && !rules[i].internet;
		r->side[1].internet = rules[i].internet;
		for (size_t k = 0; rules[i].balancer && k < ARRAY_N(platform); k++) {
			if (nsg_side_add(&r->side[0], &platform[k]) < 0) {
				return -1;
			}
		}
	}
	return 0;
}

static int by_priority(const void *pa, const void *pb)
{
	const struct nsg_rule *a = pa, *b = pb;

	if (a->inbound != b->inbound) {
		return a->inbound ? -1 : 1;
	}
	return (int)a->priority - (int)b->priority;
}

void nsg_sort(struct nsg *g)
{
	if (g->n > 1) {
		qsort(g->v, g->n, sizeof(*g->v), by_priority);
	}
}

static bool covered(const struct ip_prefix *v, size_t n, const struct ip *ip)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].ip.family == ip->family && ip_prefix_contains(&v[i], ip)) {
			return true;
		}
	}
	return false;
}

static bool side_matches(const struct nsg_side *s, const struct ip *ip, const struct nsg_world *w)
{
	if (s->any || covered(s->prefixes, s->n_prefixes, ip)) {
		return true;
	}
	if ((s->vnet || s->internet) && (covered(w->vnet, w->n_vnet, ip) ? s->vnet : s->internet)) {
		return true;
	}
	for (size_t i = 0; i < s->n_asgs && w->member; i++) {
		if (w->member(w->arg, s->asgs[i], ip)) {
			return true;
		}
	}
	return false;
}

static bool ports_match(const struct nsg_rule *r, const struct nsg_flow *f)
{
	bool has = f->proto == IPPROTO_TCP || f->proto == IPPROTO_UDP;

	for (int s = 0; s < 2; s++) {
		bool ok = r->n_ports[s] == 0;

		for (size_t i = 0; i < r->n_ports[s] && has && !ok; i++) {
			ok = f->port[s] >= r->ports[s][i].low && f->port[s] <= r->ports[s][i].high;
		}
		if (!ok) {
			return false;
		}
	}
	return true;
}

const struct nsg_rule *nsg_match(const struct nsg *g, const struct nsg_flow *f,
                                 const struct nsg_world *w)
{
	uint8_t proto = f->proto == IPPROTO_ICMPV6 ? IPPROTO_ICMP : f->proto;

	for (size_t i = 0; i < g->n; i++) {
		const struct nsg_rule *r = &g->v[i];

		if (r->inbound == f->inbound && (r->proto == 0 || r->proto == proto) &&
		    ports_match(r, f) && side_matches(&r->side[0], &f->addr[0], w) &&
		    side_matches(&r->side[1], &f->addr[1], w)) {
			return r;
		}
	}
	return NULL;
}

void nsg_chain_name(uint32_t id, bool inbound, char to[static KOBJ_NAME])
{
	memset(to, 0, KOBJ_NAME);
	snprintf(to, KOBJ_NAME, "N%x%c", id, inbound ? 'i' : 'o');
}

void nsg_asg_name(uint32_t asg, uint8_t family, char to[static KOBJ_NAME])
{
	memset(to, 0, KOBJ_NAME);
	snprintf(to, KOBJ_NAME, "a%xv%u", asg, family);
}
