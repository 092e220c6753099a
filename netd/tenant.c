/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Subscriptions as owners of things: a number each while control runs, what they hold, how fast
 * they ask. See plane.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/node.h"
#include "netd/plane.h"
#include "netd/spot.h"

static struct tenant **by_name; /* sorted by id */
static struct tenant **by_number;
static uint32_t n_tenants;

static int compare(const struct tenant *t, const char *id, size_t len)
{
	int rc = strncasecmp(t->id, id, len);

	return rc ? rc : t->id[len] != '\0';
}

struct tenant *tenant_of(const char *id)
{
	const char *s = strncasecmp(id, "/subscriptions/", 15) == 0 ? id + 15 : id;
	size_t len = strcspn(s, "/"), lo = 0, hi = n_tenants;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int rc = compare(by_name[mid], s, len);

		if (rc == 0) {
			return by_name[mid];
		}
		if (rc < 0) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	struct tenant *t = calloc(1, sizeof(*t));
	by_name = realloc(by_name, (n_tenants + 1) * sizeof(struct tenant *));
	by_number = realloc(by_number, (n_tenants + 1) * sizeof(struct tenant *));
	if (!t || !by_name || !by_number || !(t->id = strndup(s, len))) {
		abort();
	}
	memmove(&by_name[lo + 1], &by_name[lo], (n_tenants - lo) * sizeof(struct tenant *));
	by_name[lo] = t;
	by_number[n_tenants] = t;
	t->number = ++n_tenants;
	return t;
}

struct tenant *tenant_at(uint32_t number)
{
	return by_number[number - 1];
}

bool tenant_may_ask(struct tenant *t, int64_t now_ms)
{
	double rate = (double)plane.config->limit_requests;
	double more = (double)(now_ms - t->asked_ms) * rate / 1000;

	t->left = t->asked_ms == 0 || t->left + more > rate ? rate : t->left + more;
	t->asked_ms = now_ms;
	if (rate == 0 || t->left >= 1) {
		t->left -= 1;
		return true;
	}
	return false;
}

void tenant_amounts(const json_t *doc, int sign, double to[2])
{
	static const char *const keys[] = { "properties.resources.requests.cpu",
		                            "properties.resources.requests.memoryInGB" };
	const json_t *x;
	size_t i;

	json_array_foreach(model_at(doc, "properties.containers"), i, x)
	{
		for (int k = 0; k < 2; k++) {
			to[k] += sign * json_number_value(model_at(x, keys[k]));
		}
	}
}

/* Azure's codes: ContainerGroupQuotaReached, and ServiceUnavailable where a region has no room. That of nodes is home.c's. */
int tenant_room(const char *id, const json_t *was, const json_t *doc, struct err *e)
{
	const struct config *c = plane.config;
	const struct tenant *t = tenant_of(id);

	if (!was && node_takes_groups(e) < 0) {
		return -1;
	}
	if (!was && c->limit_groups && t->groups >= c->limit_groups) {
		return err_set_at(
			e, ERR_CONFLICT, "ContainerGroupQuotaReached", "",
			"Container group quota 'ContainerGroups' exceeded in region '%s': "
			"limit %lld, usage %u, requested 1.",
			c->region, (long long)c->limit_groups, t->groups);
	}
	if (!was && c->max_groups && plane.groups >= c->max_groups &&
	    (spot_is(doc) || !spot_evict(NULL, (size_t)(plane.groups + 1 - c->max_groups), NULL,
	                                 SPOT_NOTICE_S, NULL))) {
		return err_set_at(e, ERR_CONFLICT, "ServiceUnavailable", "",
		                  "The requested resource is not available in the location '%s' at "
		                  "this moment: it has %lld container groups, as many as it may.",
		                  c->region, (long long)plane.groups);
	}
	return 0;
}

void tenant_count(const char *id, const json_t *was, const json_t *doc)
{
	struct tenant *t = tenant_of(id);
	double more[2] = { 0 }, less[2] = { 0 };

	tenant_amounts(doc, 1, more);
	tenant_amounts(was, 1, less);
	t->groups += (unsigned)((doc != NULL) - (was != NULL));
	plane.groups += (doc != NULL) - (was != NULL);
	for (int k = 0; k < 2; k++) {
		plane.used[k] += more[k] - less[k];
	}
}
