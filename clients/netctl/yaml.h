/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * YAML to JSON: the subset that ACI files use (no anchors, no tags, one document). Pure.
 */
#pragma once

#include <jansson.h>

#include "lib/base/err.h"

/* New reference, or NULL with line and column in *e. Plain scalars become numbers, booleans or
 * null as YAML 1.2's core schema says; quoted ones stay strings. Duplicate keys are refused. */
json_t *yaml_to_json(const char *text, size_t len, struct err *e);
/* Prints a JSON value as YAML to standard output. */
void yaml_print(const json_t *v, int indent);
