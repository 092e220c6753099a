/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See spot.h.
 */
#include "netd/spot.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/group_parts.h"
#include "netd/home.h"

bool spot_is(const json_t *doc)
{
	return model_is(doc, "properties.priority", "Spot");
}

static bool leaves(const struct resource *r)
{
	return r->deleting || json_object_get(r->status, "evicted") != NULL;
}

static void nobody(void *arg, const struct err *e)
{
	(void)arg;
	(void)e;
}

/* Its flows have ended, or its notice is over. */
static void stop(struct resource *r)
{
	tenant_count(r->id, r->doc, NULL); /* its room is free; spot_resume() takes it again */
	home_count(group_node(r->group), r->doc, -1);
	json_object_set_new(r->status, "evicted", json_string("Preempted"));
	group_action(r, "stop", nobody, NULL);
	group_event(r, "Preempted", "the container group was stopped to make room");
}

static void evict(struct resource *r, uint32_t notice_s)
{
	log_info("spot.evict", LOG_STR("id", r->id), LOG_NUM("notice", notice_s));
	json_object_set_new(r->status, "notice", json_integer(notice_s));
	group_event(r, "Preempting", "the container group has to make room");
	group_tell(r->group, json_pack("{s:s, s:s, s:i}", "type", "preempt", "id", r->key,
	                               "noticeSeconds", (int)notice_s));
	if (json_object_get(r->status, "orchestrator")) {
		json_object_set_new(r->status, "retired", json_true());
		group_delete(r, nobody, NULL);
		return;
	}
	json_object_set_new(r->status, "evicted", json_string("Preempting"));
	table_save(&r, 1, control_saved, NULL);
	group_withdraw(r, stop);
}

static int by_age(const void *a, const void *b)
{
	const struct resource *x = *(const struct resource *const *)a,
			      *y = *(const struct resource *const *)b;
	json_int_t m = json_integer_value(json_object_get(x->status, "serial")),
		   n = json_integer_value(json_object_get(y->status, "serial"));

	return (m < n) - (m > n);
}

bool spot_evict(const struct node *n, size_t groups, const double amounts[2], uint32_t notice_s,
                json_t *list)
{
	AUTO_FREE struct resource **v = calloc(plane.n + 1, sizeof(struct resource *));
	double left[2] = { amounts ? amounts[0] : 0, amounts ? amounts[1] : 0 };
	size_t m = 0, take = 0;

	for (size_t i = 0; v && i < plane.n; i++) {
		struct resource *r = plane.v[i];

		if (!r->group || !spot_is(r->doc) || (n && group_node(r->group) != n)) {
			continue;
		}
		if (!leaves(r)) {
			v[m++] = r;
		} else if (!spot_is_out(r)) {
			groups -= groups > 0; /* on its way */
			tenant_amounts(r->doc, -1, left);
		}
	}
	if (m > 1) {
		qsort(v, m, sizeof(*v), by_age);
	}
	while (take < m && (groups > 0 || left[0] > 0 || left[1] > 0)) {
		tenant_amounts(v[take++]->doc, -1, left);
		groups -= groups > 0;
	}
	if (groups > 0 || left[0] > 0 || left[1] > 0) {
		return false;
	}
	for (size_t i = 0; i < take; i++) {
		if (list) {
			json_array_append_new(list, json_string(v[i]->id));
		}
		evict(v[i], notice_s);
	}
	return true;
}

bool spot_fits(const struct node *n)
{
	const struct config *c = plane.config;
	double has[2] = { 0 };

	if (n) {
		node_capacity(n, has);
	}
	return (has[0] <= 0 || n->used[0] <= has[0]) && (has[1] <= 0 || n->used[1] <= has[1]) &&
	       (!c->max_groups || plane.groups <= c->max_groups);
}

bool spot_is_out(const struct resource *r)
{
	return strcmp(model_str(r->status, "evicted"), "Preempted") == 0;
}

int spot_resume(struct resource *r, struct err *e)
{
	if (!spot_is_out(r)) {
		return 0;
	}
	if (tenant_room(r->id, NULL, r->doc, e) < 0 ||
	    home_room(group_node(r->group), NULL, r->doc, e) < 0) {
		return -1;
	}
	tenant_count(r->id, NULL, r->doc);
	home_count(group_node(r->group), r->doc, 1);
	json_object_del(r->status, "evicted");
	json_object_del(r->status, "notice");
	group_restore_flows(r);
	return 0;
}
