/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What an NGroup's document may be, and what its members' documents are. See ngroup.h.
 */
#include <ctype.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/hex.h"
#include "lib/base/own.h"
#include "netd/balancer.h"
#include "netd/ngroup_parts.h"
#include "netd/profile.h"

#define STUB "properties.containerGroupProfiles"

#define POOL "properties.containerGroupProperties"

/* A standby pool's documents have this where an NGroup's have stubs. */
static const json_t *pool_of(const json_t *doc)
{
	return model_at(doc, POOL);
}

static json_t *stub_of(const json_t *doc)
{
	return json_array_get(model_at(doc, STUB), 0);
}

static const char *profile_id(const json_t *doc)
{
	return pool_of(doc) ? model_str(pool_of(doc), "containerGroupProfile.id")
	                    : model_str(stub_of(doc), "resource.id");
}

static json_int_t revision_of(const json_t *doc)
{
	return json_integer_value(pool_of(doc)
	                                  ? model_at(pool_of(doc), "containerGroupProfile.revision")
	                                  : json_object_get(stub_of(doc), "revision"));
}

static const json_t *own_of(const json_t *doc)
{
	return pool_of(doc) ? pool_of(doc)
	                    : json_object_get(stub_of(doc), "containerGroupProperties");
}

static const char *subnet_of(const json_t *doc)
{
	return model_str(json_array_get(json_object_get(own_of(doc), "subnetIds"), 0), "id");
}

bool ngroup_is(const struct resource *r)
{
	return strcmp(r->type->name, NGROUP_TYPE) == 0 || strcmp(r->type->name, STANDBY_TYPE) == 0;
}

bool ng_standby(const struct resource *r)
{
	return strcmp(r->type->name, STANDBY_TYPE) == 0;
}

json_t *ng_zones(const struct resource *r)
{
	return ng_standby(r) ? model_at(r->doc, "properties.zones")
	                     : json_object_get(r->doc, "zones");
}

json_int_t ng_wanted(const struct resource *r)
{
	return json_integer_value(model_at(r->doc, ng_standby(r) ? "properties.elasticityProfile."
	                                                           "maxReadyCapacity"
	                                                         : "properties.elasticProfile."
	                                                           "desiredCount"));
}

json_int_t ng_revision(const struct resource *r)
{
	return revision_of(r->doc);
}

/* A pool is named by its id, or by an object with it. */
static const char *pool_id(const json_t *x)
{
	const json_t *v = json_object_get(x, "resource");

	return json_is_string(v) ? json_string_value(v) : model_str(v, "id");
}

static json_t *pool_list(const json_t *doc)
{
	return model_at(stub_of(doc), "networkProfile.loadBalancer.backendAddressPools");
}

struct resource *ng_profile(const struct resource *r)
{
	AUTO_FREE char *key = table_key(profile_id(r->doc));
	struct resource *p = table_get(key);

	return p && strcmp(p->type->name, PROFILE_OF_GROUPS) == 0 ? p : NULL;
}

const char *ng_prefix(const struct resource *r)
{
	if (ng_standby(r)) {
		return "standby-";
	}
	return model_str(r->doc,
	                 "properties.elasticProfile.containerGroupNamingPolicy.guidNamingPolicy."
	                 "prefix");
}

json_t *ng_pools(const struct resource *r)
{
	json_t *list = json_array(), *x;
	size_t i;

	json_array_foreach(pool_list(r->doc), i, x)
	{
		AUTO_FREE char *key = table_key(pool_id(x));

		json_array_append_new(list, json_string(key));
	}
	return list;
}

uint32_t ng_grace(const struct resource *r)
{
	const struct resource *p = ng_profile(r);

	return p ? profile_grace(p->doc) : 0;
}

char *ng_template(const struct resource *r)
{
	json_auto_t *what =
		json_pack("{s:O?, s:O?}", "stub", ng_standby(r) ? pool_of(r->doc) : stub_of(r->doc),
	                  "tags", ng_standby(r) ? NULL : json_object_get(r->doc, "tags"));
	AUTO_FREE char *text = json_dumps(what, JSON_COMPACT | JSON_SORT_KEYS);
	unsigned char sum[SHA256_DIGEST_LENGTH];
	char hex[17], out[64];

	SHA256((const unsigned char *)text, strlen(text), sum);
	snprintf(out, sizeof(out), "%lld-%s",
	         (long long)json_integer_value(json_object_get(r->status, "profileRevision")),
	         hex_print(sum, 8, hex));
	return strdup(out);
}

void ng_settings(const struct resource *r, struct rollout *to, int64_t *pause_ms)
{
	const json_t *rolling = model_at(r->doc, "properties.updateProfile.rollingUpdateProfile");
	static const struct {
		const char *name;
		size_t at;
	} percents[] = {
		{ "maxBatchPercent", offsetof(struct rollout, batch_percent) },
		{ "maxUnhealthyPercent", offsetof(struct rollout, unhealthy_percent) },
		{ "maxUnhealthyUpdatedPercent",
		  offsetof(struct rollout, unhealthy_updated_percent) },
	};
	int64_t pause = 60;

	to->desired = (size_t)ng_wanted(r);
	to->in_place = json_is_true(json_object_get(rolling, "inPlaceUpdate"));
	for (size_t i = 0; i < ARRAY_N(percents); i++) {
		const json_t *v = json_object_get(rolling, percents[i].name);

		*(unsigned *)((char *)to + percents[i].at) =
			v               ? (unsigned)json_integer_value(v)
			: ng_standby(r) ? 100 /* nobody is served by them */
					: 20;
	}
	pause = ng_standby(r) ? 0 : pause;
	(void)clock_duration(model_str(rolling, "pauseTimeBetweenBatches"), &pause);
	*pause_ms = pause * 1000;
}

/* ---- members ---- */

static bool tagged(const json_t *doc, const char *what)
{
	char name[120];

	snprintf(name, sizeof(name), "metadata.container.environmentVariable.%s", what);
	const json_t *v = json_object_get(json_object_get(doc, "tags"), name);
	return json_is_true(v) ||
	       (json_is_string(v) && strcasecmp(json_string_value(v), "true") == 0);
}

static void add_variable(json_t *doc, const char *name, const char *value)
{
	json_t *x;
	size_t i;

	json_array_foreach(model_at(doc, "properties.containers"), i, x)
	{
		json_t *p = json_object_get(x, "properties"),
		       *list = json_object_get(p, "environmentVariables");

		if (!list) {
			list = json_array();
			json_object_set_new(p, "environmentVariables", list);
		}
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", name, "value", value));
	}
}

/* Volumes and mounts that the NGroup adds to the profile's. */
static void add_volumes(json_t *doc, const json_t *own)
{
	json_t *props = json_object_get(doc, "properties"), *x, *y, *z;
	size_t i, k, m;

	json_array_foreach(json_object_get(own, "volumes"), i, x)
	{
		json_t *list = json_object_get(props, "volumes");

		if (!list) {
			list = json_array();
			json_object_set_new(props, "volumes", list);
		}
		json_array_append(list, x);
	}
	json_array_foreach(json_object_get(own, "containers"), i, x)
	{
		json_array_foreach(json_object_get(props, "containers"), k, y)
		{
			json_t *p = json_object_get(y, "properties"),
			       *list = json_object_get(p, "volumeMounts");

			if (strcasecmp(model_str(x, "name"), model_str(y, "name")) != 0) {
				continue;
			}
			if (!list) {
				list = json_array();
				json_object_set_new(p, "volumeMounts", list);
			}
			json_array_foreach(model_at(x, "properties.volumeMounts"), m, z)
			{
				json_array_append(list, z);
			}
		}
	}
}

static json_t *build(const char *id, const json_t *ngroup, const json_t *profile, const char *name,
                     const char *zone)
{
	const json_t *own = own_of(ngroup);
	json_t *doc = json_deep_copy(profile), *props = json_object_get(doc, "properties");
	json_t *subnets = json_object_get(own, "subnetIds");

	profile_trim(doc);
	if (json_object_get(ngroup, "location")) {
		json_object_set(doc, "location", json_object_get(ngroup, "location"));
	}
	if (zone && *zone) {
		json_object_set_new(doc, "zones", json_pack("[s]", zone));
	}
	if (json_array_size(subnets) > 0) {
		json_object_set(props, "subnetIds", subnets);
		/* Azure's own sample has a Public profile in a subnet: its address is Private there. */
		json_t *ip = json_object_get(props, "ipAddress");
		if (ip) {
			json_object_set_new(ip, "type", json_string("Private"));
			json_object_del(ip, "dnsNameLabel");
		}
	}
	add_volumes(doc, own);
	if (tagged(ngroup, "containerGroupName")) {
		add_variable(doc, "ContainerGroupName", name);
	}
	if (tagged(ngroup, "orchestratorId")) {
		add_variable(doc, "OrchestratorId", id);
	}
	return doc;
}

json_t *ng_member(const struct resource *r, const char *name, const char *zone, struct err *e)
{
	const struct resource *p = ng_profile(r);
	json_auto_t *profile =
		p ? profile_document(
			    p, json_integer_value(json_object_get(r->status, "profileRevision")))
		  : NULL;

	if (!profile) {
		err_set_at(e, ERR_INVALID, "ContainerGroupProfileNotFound",
		           ng_standby(r) ? POOL ".containerGroupProfile.id"
		                         : STUB "[0].resource.id",
		           "The container group profile, or its revision, is not there.");
		return NULL;
	}
	return build(r->id, r->doc, profile, name, zone);
}

/* ---- what a document may be ---- */

static int check_pools(const char *id, const json_t *doc, struct err *e)
{
	char at[160];
	json_t *x;
	size_t i;

	json_array_foreach(pool_list(doc), i, x)
	{
		AUTO_FREE char *key = table_key(pool_id(x));
		char *cut = strstr(key, "/backendaddresspools/");

		snprintf(at, sizeof(at),
		         STUB "[0].networkProfile.loadBalancer.backendAddressPools[%zu].resource",
		         i);
		if (cut) {
			*cut = '\0';
		}
		const struct resource *lb = cut ? table_get(key) : NULL;
		if (!lb || !balancer_is(lb) || tenant_of(lb->id) != tenant_of(id) ||
		    !balancer_has_pool(lb, cut + 21)) {
			return err_set_at(e, ERR_INVALID, "InvalidResourceReference", at,
			                  "'%.300s' is not the id of a load balancer's "
			                  "backendAddressPool.",
			                  pool_id(x));
		}
	}
	return 0;
}

static int check_naming(const json_t *doc, struct err *e)
{
	static const char at[] = "properties.elasticProfile.containerGroupNamingPolicy."
				 "guidNamingPolicy.prefix";
	const char *prefix = model_str(doc, at);
	bool ok = strlen(prefix) + NG_GUID_LEN <= 63 && prefix[0] != '-';

	for (const char *c = prefix; *c; c++) {
		ok = ok && ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-');
	}
	return ok ? 0
	          : err_set_at(e, ERR_INVALID, "InvalidNamingPolicyPrefix", at,
	                       "The prefix '%.80s' is invalid: up to %d lower-case letters, digits "
	                       "and hyphens, no hyphen first; a GUID follows it.",
	                       prefix, 63 - NG_GUID_LEN);
}

static int check_pause(const json_t *doc, struct err *e)
{
	static const char at[] =
		"properties.updateProfile.rollingUpdateProfile.pauseTimeBetweenBatches";
	const char *text = model_str(doc, at);
	int64_t seconds;

	return !*text || (clock_duration(text, &seconds) && seconds <= 86400)
	               ? 0
	               : err_set_at(e, ERR_INVALID, "InvalidDuration", at,
	                            "'%.40s' is no ISO 8601 duration of up to a day, like PT1M.",
	                            text);
}

static int check_profile(const char *id, const json_t *doc, struct err *e)
{
	bool pool = pool_of(doc) != NULL;
	const char *at = pool ? POOL ".containerGroupProfile.id" : STUB "[0].resource.id";
	AUTO_FREE char *key = table_key(profile_id(doc));
	const struct resource *p = table_get(key);
	json_int_t revision = revision_of(doc);

	if (!p || strcmp(p->type->name, PROFILE_OF_GROUPS) != 0 ||
	    tenant_of(p->id) != tenant_of(id)) {
		return err_set_at(e, ERR_INVALID, "InvalidResourceReference", at,
		                  "'%.300s' is not the id of a container group profile.",
		                  profile_id(doc));
	}
	json_auto_t *profile = profile_document(p, revision);
	if (!profile) {
		return err_set_at(e, ERR_INVALID, "ContainerGroupProfileRevisionNotFound",
		                  pool ? POOL ".containerGroupProfile.revision"
		                       : STUB "[0].revision",
		                  "Profile %s has no revision %lld.", p->name, (long long)revision);
	}
	json_auto_t *member = build(id, doc, profile, "member", NULL);
	bool label = *model_str(member, "properties.ipAddress.dnsNameLabel");
	if (label) {
		return err_set_at(e, ERR_INVALID, "DnsNameLabelNotSupported", at,
		                  "The profile has a dnsNameLabel, which only one group can have.");
	}
	if (change_try_group("member", member, e) < 0) {
		snprintf(e->target, sizeof(e->target), "%s", pool ? POOL : STUB "[0]");
		return -1;
	}
	const char *subnet =
		model_str(json_array_get(model_at(member, "properties.subnetIds"), 0), "id");
	return *subnet ? vnet_subnet_check(id, subnet,
	                                   pool ? POOL ".subnetIds[0].id"
	                                        : STUB "[0].containerGroupProperties.subnetIds[0]."
	                                               "id",
	                                   e)
	               : 0;
}

static int check_standby(const char *id, const json_t *doc, struct err *e)
{
	const char *name = strrchr(id, '/') + 1;
	size_t n = strlen(name);
	bool ok = n >= 3 && n <= 24;

	for (const char *c = name; *c; c++) {
		ok = ok && (isalnum((unsigned char)*c) || *c == '-');
	}
	return ok ? check_profile(id, doc, e)
	          : err_set_at(e, ERR_INVALID, "InvalidResourceName", "name",
	                       "Resource name '%.90s' is invalid: 3 to 24 letters, digits and "
	                       "hyphens.",
	                       name);
}

json_t *ngroup_document(const struct resource *r, const char *name, struct err *e)
{
	return ng_member(r, name, NULL, e);
}

int ngroup_check(const struct resource *r, const char *id, const json_t *doc, struct err *e)
{
	const char *name = strrchr(id, '/') + 1;
	json_t *was = r ? json_object_get(r->doc, "zones") : NULL, *x;
	size_t i;

	if (pool_of(doc)) {
		return check_standby(id, doc, e);
	}
	if (strlen(name) > 63) {
		return err_set_at(
			e, ERR_INVALID, "InvalidResourceName", "name",
			"Resource name '%.90s' is invalid: 1 to 63 letters, digits, - and "
			"_.",
			name);
	}
	if (check_profile(id, doc, e) < 0 || check_pools(id, doc, e) < 0 ||
	    check_naming(doc, e) < 0 || check_pause(doc, e) < 0) {
		return -1;
	}
	json_array_foreach(was, i, x)
	{
		bool stays = false;
		json_t *y;
		size_t k;

		json_array_foreach(json_object_get(doc, "zones"), k, y)
		{
			stays = stays || json_equal(x, y);
		}
		if (!stays) {
			return err_set_at(e, ERR_INVALID, "NGroupZonesCannotBeRemoved", "zones",
			                  "Zone '%.20s' cannot be removed; zones can be added.",
			                  json_string_value(x));
		}
	}
	return 0;
}

const struct resource *ngroup_of(const struct resource *of)
{
	const char *end = strchr(of->key + 15, '/');
	AUTO_FREE char *prefix = strndup(of->key, (size_t)(end - of->key) + 1);
	size_t n = strlen(of->id), k;
	json_t *x;

	for (size_t i = table_from(prefix);
	     table_at(i) && strncmp(table_at(i)->key, prefix, strlen(prefix)) == 0; i++) {
		const struct resource *r = table_at(i);

		if (!ngroup_is(r)) {
			continue;
		}
		if (strcasecmp(profile_id(r->doc), of->id) == 0) {
			return r;
		}
		json_array_foreach(pool_list(r->doc), k, x)
		{
			if (strncasecmp(pool_id(x), of->id, n) == 0 && pool_id(x)[n] == '/') {
				return r;
			}
		}
		const char *subnet = subnet_of(r->doc);
		if (strncasecmp(subnet, of->id, n) == 0 && subnet[n] == '/') {
			return r;
		}
	}
	return NULL;
}
