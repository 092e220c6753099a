/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Public names: a label and its reuse scope to the full name, who has it, and who had it: names
 * and addresses rest before another tenant gets them, also over a restart. See plane.h.
 */
#include <ctype.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/zone.h"

/* First 12 characters of lower-case base32 (RFC 4648) of SHA-256 over the scope's parts. */
static void scope_hash(const char *const *parts, size_t n, char to[13])
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char sum[SHA256_DIGEST_LENGTH];
	struct buf b = { 0 };
	uint64_t bits = 0;

	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *low = table_key(parts[i]);

		buf_add(&b, low, strlen(low) + 1);
	}
	SHA256(b.data, b.len, sum);
	buf_fini(&b);
	for (int i = 0; i < 8; i++) {
		bits = bits << 8 | sum[i];
	}
	for (int i = 0; i < 12; i++) {
		to[i] = digits[bits >> (59 - 5 * i) & 31];
	}
	to[12] = '\0';
}

/* ---- who has which name ---- */

struct name {
	char *fqdn;
	const struct resource *r; /* NULL: at rest */
	uint32_t tenant;
	int64_t until_ms; /* wall clock */
};

static struct name *names; /* sorted */
static size_t n_names;

static size_t name_at(const char *fqdn)
{
	size_t lo = 0, hi = n_names;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (strcmp(names[mid].fqdn, fqdn) < 0) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static struct name *name_get(const char *fqdn)
{
	size_t i = name_at(fqdn);

	return i < n_names && strcmp(names[i].fqdn, fqdn) == 0 ? &names[i] : NULL;
}

static struct name *name_make(const char *fqdn)
{
	struct name *x = name_get(fqdn);
	size_t i = name_at(fqdn);

	if (x) {
		return x;
	}
	if (n_names % 64 == 0) {
		names = realloc(names, (n_names + 64) * sizeof(*names));
		if (!names) {
			abort();
		}
	}
	memmove(&names[i + 1], &names[i], (n_names - i) * sizeof(*names));
	names[i] = (struct name){ .fqdn = strdup(fqdn) };
	n_names++;
	return &names[i];
}

static void name_drop(size_t i)
{
	free(names[i].fqdn);
	memmove(&names[i], &names[i + 1], (n_names - i - 1) * sizeof(*names));
	n_names--;
}

static void name_take(const char *fqdn, const struct resource *r)
{
	struct name *x = name_make(fqdn);

	*x = (struct name){ x->fqdn, r, tenant_of(r->id)->number, 0 };
	tenant_at(x->tenant)->labels++;
}

void network_name_restore(struct resource *r)
{
	if (*model_str(r->status, "fqdn")) {
		name_take(model_str(r->status, "fqdn"), r);
	}
}

void network_unname(struct resource *r)
{
	struct name *x = name_get(model_str(r->status, "fqdn"));

	if (x && x->r == r) {
		tenant_at(x->tenant)->labels--;
		x->r = NULL;
		x->until_ms = clock_system.wall_ms(&clock_system) + plane.config->rest_s * 1000;
		network_rest(x->fqdn, x->tenant);
	}
}

/* ---- rests ---- */

void network_rest(const char *what, uint32_t tenant)
{
	char key[500], value[300];

	if (plane.config->rest_s == 0) {
		return;
	}
	snprintf(key, sizeof(key), "rest/%.480s", what);
	snprintf(value, sizeof(value), "{\"subscription\":\"%.150s\",\"until\":%lld}",
	         tenant_at(tenant)->id,
	         (long long)clock_system.wall_ms(&clock_system) + plane.config->rest_s * 1000);
	store_submit(plane.store, &(struct store_op){ .key = key, .value = value }, 1,
	             control_saved, NULL);
}

static void forget(const char *what)
{
	char key[500];

	snprintf(key, sizeof(key), "rest/%.480s", what);
	store_submit(plane.store, &(struct store_op){ .key = key }, 1, control_saved, NULL);
}

void network_rest_load(const char *what, const json_t *row)
{
	int64_t left = json_integer_value(json_object_get(row, "until")) -
	               clock_system.wall_ms(&clock_system);
	uint32_t tenant = tenant_of(model_str(row, "subscription"))->number;
	struct err e = ERR_INIT;
	struct ip ip;

	if (left <= 0) {
		forget(what);
	} else if (ip_parse(what, &ip, &e) == 0) {
		network_public_rest(&ip, tenant, clock_system.now_ms(&clock_system) + left);
	} else if (!name_get(what)) {
		struct name *x = name_make(what);

		x->tenant = tenant;
		x->until_ms = clock_system.wall_ms(&clock_system) + left;
	}
}

void network_rest_sweep(void)
{
	int64_t now = clock_system.wall_ms(&clock_system);

	for (size_t i = 0; i < n_names;) {
		if (!names[i].r && names[i].until_ms <= now) {
			forget(names[i].fqdn);
			name_drop(i);
		} else {
			i++;
		}
	}
}

/* ---- a label to a name ---- */

void network_fqdn(const char *label, const char *hash, const char *suffix, char to[static 400])
{
	snprintf(to, 400, "%s%s%s.%s.%s", label, *hash ? "." : "", hash, plane.config->region,
	         suffix);
	for (char *p = to; *p; p++) {
		*p = (char)tolower((unsigned char)*p);
	}
}

void network_scope_hash(const char *label, const char *scope, const char *tenant_id,
                        const char *unique, const struct model_id *id, char to[static 13])
{
	static const struct {
		const char *name;
		size_t parts;
	} scopes[] = { { "Noreuse", 2 },
		       { "TenantReuse", 2 },
		       { "SubscriptionReuse", 3 },
		       { "ResourceGroupReuse", 4 } };
	const char *parts[4] = { label, tenant_id, id->subscription, id->group };

	to[0] = '\0';
	for (size_t i = 0; i < ARRAY_N(scopes); i++) {
		if (strcasecmp(scope, scopes[i].name) == 0) {
			parts[1] = i == 0 ? unique : tenant_id;
			scope_hash(parts, scopes[i].parts, to);
		}
	}
}

int network_name(struct resource *r, const char *label, const char *scope, const char *suffix,
                 struct err *e)
{
	struct model_id id;
	char hash[13] = "", fqdn[400], uuid[37];
	const struct tenant *t = tenant_of(r->id);

	if (model_id_parse(r->id, &id) < 0) {
		return err_set(e, ERR_SYSTEM, 0, "id of a resource");
	}
	if (strcasecmp(scope, "Noreuse") == 0 && !*model_str(r->status, "unique")) {
		random_uuid(&random_system, uuid);
		json_object_set_new(r->status, "unique", json_string(uuid));
	}
	network_scope_hash(label, scope, plane.config->tenant_id, model_str(r->status, "unique"),
	                   &id, hash);
	network_fqdn(label, hash, suffix, fqdn);
	const struct name *x = name_get(fqdn);
	if (x && x->r == r) {
		return 0;
	}
	if (zone_public_fixed(fqdn) ||
	    (x && (x->r || (x->tenant != t->number &&
	                    x->until_ms > clock_system.wall_ms(&clock_system))))) {
		return err_set_at(e, ERR_INVALID, "DnsNameLabelUnavailable",
		                  "properties.ipAddress.dnsNameLabel",
		                  "The DNS name label '%s' is not available in the region.", label);
	}
	if (plane.config->limit_labels && t->labels >= plane.config->limit_labels) {
		return err_set_at(e, ERR_CONFLICT, "DnsNameLabelQuotaReached",
		                  "properties.ipAddress.dnsNameLabel",
		                  "Cannot create more than %lld DNS name labels for this "
		                  "subscription in this region.",
		                  (long long)plane.config->limit_labels);
	}
	network_unname(r);
	name_take(fqdn, r);
	json_object_set_new(r->status, "fqdn", json_string(fqdn));
	return 0;
}

/* ---- to the dns role ---- */

void network_publish_public(const struct resource *r, bool there)
{
	struct ip ip = table_ip(r->status, "address");
	const char *fqdn = model_str(r->status, "fqdn");

	if (ip.family && *fqdn) {
		zone_public(0, fqdn, &ip, 1, there);
	}
}
