/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * OCI image layouts (image-spec 1.0, image-layout.md): a folder of blobs becomes a root folder.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

bool image_is_layout(const char *folder);
/* Unpacks the first image of the layout that fits this machine into `root` (an empty folder).
 * *config gets the image's "config" object, a new reference (Entrypoint, Cmd, Env, WorkingDir,
 * User). 0 or -1. */
int image_unpack(const char *layout, const char *root, json_t **config);
