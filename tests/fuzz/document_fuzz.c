/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Request bodies: JSON to document, against the table of every type. What was accepted once is
 * accepted again unchanged, and what is kept holds no secret.
 */
#include <string.h>

#include "lib/model/model.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct model_type *t, const json_t *body)
{
	json_t *doc = json_deep_copy(body);
	struct err e = ERR_INIT;

	if (model_check(t, doc, &e) < 0) {
		MUST(e.msg[0]);
		json_decref(doc);
		return;
	}
	json_t *again = json_deep_copy(doc), *public = model_public(t, doc);
	MUST(model_check(t, again, &e) == 0 && json_equal(doc, again));
	json_t *twice = model_public(t, public);
	MUST(json_equal(public, twice));
	json_decref(twice);
	json_decref(public);
	json_decref(again);
	json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err e = ERR_INIT;
	json_t *doc = NULL;

	if (model_parse((const char *)data, len, &doc, &e) < 0) {
		MUST(!doc && e.msg[0] && e.kind != ERR_SYSTEM);
		return 0;
	}
	for (const struct model_type *t = model_types; t->name; t++) {
		check(t, doc);
	}
	json_decref(doc);
	return 0;
}
