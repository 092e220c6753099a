/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See ngroups.h.
 */
#include "netd/api/ngroups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "netd/api/api.h"
#include "netd/ngroup.h"
#include "netd/profile.h"
#include "netd/spot.h"

static void fail(struct http_request *r, enum err_kind kind, const char *code, const char *text)
{
	struct err e = ERR_INIT;

	err_set_at(&e, kind, code, NULL, "%s", text);
	api_error(r, &e);
}

/* A standby pool's runtimeViews: "latest" is the only one. */
static json_t *view_standby(const struct resource *x, const char *name)
{
	json_auto_t *count = ngroup_count(x);
	json_t *states = json_array(), *n;
	const char *state;
	char id[1200];

	json_object_foreach(count, state, n)
	{
		json_array_append_new(states, json_pack("{s:s, s:O}", "state", state, "count", n));
	}
	bool well = json_integer_value(json_object_get(count, "Creating")) == 0;
	snprintf(id, sizeof(id), "%s/runtimeViews/latest", x->id);
	json_t *view =
		json_pack("{s:s, s:s, s:s, s:{s:[{s:o}], s:{s:s, s:s}, s:s}}", "id", id, "name",
	                  "latest", "type", STANDBY_TYPE "/runtimeViews", "properties",
	                  "instanceCountSummary", "instanceCountsByState", states, "status", "code",
	                  well ? "HealthState/healthy" : "HealthState/degraded", "message",
	                  well ? "The pool is full." : "The pool is being filled.",
	                  "provisioningState", ngroup_state(x));
	return !name                             ? json_pack("{s:[o]}", "value", view)
	       : strcasecmp(name, "latest") == 0 ? view
	                                         : (json_decref(view), NULL);
}

static json_t *answer_of(const struct resource *x, const struct model_id *id, bool revisions)
{
	if (strcmp(x->type->name, STANDBY_TYPE) == 0) {
		return view_standby(x, id->child);
	}
	return !revisions   ? ngroup_view_rollout(x)
	       : !id->child ? profile_view_revisions(x)
	                    : profile_view_revision(x, strtol(id->child, NULL, 10));
}

bool ngroups_request(struct http_request *r, struct resource *x, const struct model_id *id)
{
	bool revisions = strcmp(x->type->name, PROFILE_OF_GROUPS) == 0 &&
	                 strcasecmp(id->child_type, "revisions") == 0,
	     standby = strcmp(x->type->name, STANDBY_TYPE) == 0,
	     views = standby && strcasecmp(id->child_type, "runtimeViews") == 0,
	     latest = x->ngroup && !standby &&
	              strcasecmp(id->child_type, "latestRollingUpdate") == 0,
	     cancel = x->ngroup && !standby &&
	              strcasecmp(id->child_type, "cancelRollingUpdate") == 0;

	if (!revisions && !latest && !cancel && !views) {
		return false;
	}
	if (strcmp(r->method, cancel ? "POST" : "GET") != 0) {
		fail(r, ERR_METHOD, NULL, "The method is not allowed here.");
	} else if (cancel) {
		if (ngroup_cancel(x)) {
			api_json(r, 200, "", ngroup_view_rollout(x));
		} else {
			fail(r, ERR_CONFLICT, "NoRollingUpdate", "No rolling update is under way.");
		}
	} else {
		json_t *answer = answer_of(x, id, revisions);

		if (answer) {
			api_json(r, 200, "", answer);
		} else {
			fail(r, ERR_NOT_FOUND, NULL,
			     latest  ? "There was no rolling update."
			     : views ? "The view of a standby pool is 'latest'."
			             : "There is no such revision.");
		}
	}
	return true;
}

void ngroups_reclaim(struct http_request *r, const struct caller *who)
{
	json_auto_t *body = NULL, *list = json_array();
	struct err e = ERR_INIT;

	if (who->role != CALLER_OWNER || strcmp(who->subscriptions, "*") != 0) {
		fail(r, ERR_FORBIDDEN, NULL, "Room is reclaimed by the administrator.");
		return;
	}
	if (strcmp(r->method, "POST") != 0) {
		fail(r, ERR_METHOD, NULL, "The method is not allowed here.");
		return;
	}
	if (!(body = api_body(r))) {
		return;
	}
	double amounts[2] = { json_number_value(json_object_get(body, "cpu")),
		              json_number_value(json_object_get(body, "memoryInGB")) };
	json_int_t groups = json_integer_value(json_object_get(body, "groups")),
		   notice = json_integer_value(json_object_get(body, "noticeSeconds"));
	if (groups < 0 || notice < 0 || notice > 3600 ||
	    (groups == 0 && amounts[0] <= 0 && amounts[1] <= 0)) {
		fail(r, ERR_INVALID, "InvalidRequestFormat",
		     "The body says how much: {\"groups\": 1} or \"cpu\", \"memoryInGB\"; with "
		     "\"noticeSeconds\" up to 3600.");
	} else if (spot_evict(NULL, (size_t)groups, amounts,
	                      notice ? (uint32_t)notice : SPOT_NOTICE_S, list)) {
		api_json(r, 202, "", json_pack("{s:O}", "evicted", list));
	} else {
		err_set_at(&e, ERR_CONFLICT, "NotEnoughSpotGroups", NULL,
		           "There are not so many Spot groups; none was evicted.");
		api_error(r, &e);
	}
}
