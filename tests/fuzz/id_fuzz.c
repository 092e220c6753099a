/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Resource ids, as paths and inside bodies: the parts lie in the id, none is empty.
 */
#include <string.h>

#include "lib/model/model.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	struct model_id id;

	memcpy(text, data, len);
	text[len] = '\0';
	if (model_id_parse(text, &id) == 0) {
		const char *parts[] = { id.subscription, id.group,      id.type,
			                id.name,         id.child_type, id.child };

		MUST(id.subscription);
		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
			MUST(!parts[i] ||
			     (parts[i] >= id.room && parts[i] < id.room + sizeof(id.room) &&
			      *parts[i] && !strchr(parts[i], '\n')));
		}
		MUST(!id.name || id.type);
		MUST(!id.child_type || id.type);
		MUST(!id.child || id.child_type);
	}
	(void)model_name_ok(text);
	free(text);
	return 0;
}
