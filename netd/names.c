/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Public names: a label and its reuse scope to the full name, and who has it. See plane.h.
 */
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/plane.h"

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

int network_name(struct resource *r, const char *label, const char *scope, const char *suffix,
                 struct err *e)
{
	struct model_id id;
	char hash[13] = "", fqdn[400], uuid[37];
	size_t n = strcasecmp(scope, "TenantReuse") == 0 || strcasecmp(scope, "Noreuse") == 0 ? 2
	           : strcasecmp(scope, "SubscriptionReuse") == 0                              ? 3
	           : strcasecmp(scope, "ResourceGroupReuse") == 0                             ? 4
	                                                                                      : 0;

	if (model_id_parse(r->id, &id) < 0) {
		return err_set(e, ERR_SYSTEM, 0, "id of a resource");
	}
	const char *parts[4] = { label, plane.config->tenant_id, id.subscription, id.group };
	if (strcasecmp(scope, "Noreuse") == 0) {
		if (!*model_str(r->status, "unique")) {
			random_uuid(&random_system, uuid);
			json_object_set_new(r->status, "unique", json_string(uuid));
		}
		parts[1] = model_str(r->status, "unique");
	}
	if (n) {
		scope_hash(parts, n, hash);
	}
	snprintf(fqdn, sizeof(fqdn), "%s%s%s.%s.%s", label, *hash ? "." : "", hash,
	         plane.config->region, suffix);
	for (size_t i = 0; i < plane.n; i++) {
		if (plane.v[i] != r &&
		    strcasecmp(model_str(plane.v[i]->status, "fqdn"), fqdn) == 0) {
			return err_set_at(e, ERR_INVALID, "DnsNameLabelUnavailable",
			                  "properties.ipAddress.dnsNameLabel",
			                  "The DNS name label '%s' is not available in the region.",
			                  label);
		}
	}
	AUTO_FREE char *low = table_key(fqdn);
	json_object_set_new(r->status, "fqdn", json_string(low));
	return 0;
}
