/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * OCI bundles for runc out of a group's description: root folder (a folder, or an OCI
 * layout unpacked), config.json, volumes.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct bundle {
	const char *dir, *images, *helloworld, *group, *name, *id;
	json_t *message;   /* netd's "group" frame */
	json_t *container; /* one of its containers */
	json_t *image;     /* while it is made: what an OCI image says of itself, or NULL */
	bool substituted;  /* out: no such image, helloworld instead */
};

void bundle_setup(const char *dir);
/* Makes DIR/NAME with config.json and root folder; 0 or -1. */
int bundle_make(struct bundle *b);
/* Removes a group's folder with all in it. */
void bundle_remove(const char *dir);
