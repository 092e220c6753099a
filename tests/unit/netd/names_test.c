/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A label's scope hash, held against values that another program computed (Python: base64.b32encode
 * of hashlib.sha256 over the parts in lower case, a zero byte behind each).
 */
#include <string.h>

#include "netd/plane.h"
#include "tests/test.h"

static void scopes(void **state)
{
	static const struct {
		const char *scope, *hash;
	} golden[] = {
		{ "Unsecure", "" },
		{ "TenantReuse", "xm5kessl7n47" },
		{ "tenantreuse", "xm5kessl7n47" },
		{ "SubscriptionReuse", "vlwtxqxkl5bd" },
		{ "ResourceGroupReuse", "6oytxxu5uqi6" },
		{ "Noreuse", "ye47bemebary" },
		{ "NoReuse", "ye47bemebary" },
	};
	struct model_id id;
	char hash[13];

	(void)state;
	assert_int_equal(model_id_parse("/subscriptions/00000000-0000-0000-0000-000000000001/"
	                                "resourceGroups/Demo-RG",
	                                &id),
	                 0);
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		network_scope_hash("My-Label", golden[i].scope,
		                   "72F988BF-86F1-41AF-91AB-2D7CD011DB47",
		                   "6ba7b810-9dad-11d1-80b4-00c04fd430c8", &id, hash);
		assert_string_equal(hash, golden[i].hash);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(scopes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
