/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ACI files: YAML to JSON. What was read can be printed as JSON and read again.
 */
#include "clients/netctl/yaml.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err e = ERR_INIT;
	json_t *v = yaml_to_json((const char *)data, len, &e);

	if (!v) {
		MUST(e.msg[0]);
		return 0;
	}
	char *text = json_dumps(v, JSON_ENCODE_ANY);
	MUST(text);
	json_t *again = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	MUST(again && json_equal(v, again));
	json_decref(again);
	free(text);
	json_decref(v);
	return 0;
}
