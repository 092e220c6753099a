/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading a document before it is applied. Pure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Is there an ARM template expression ("[...]") in it? `path` gets where, from offset `at`. */
bool document_expression(const json_t *v, char *path, size_t size, size_t at);
/* When a resource's turn is: what others refer to comes first. 0 to document_ranks() - 1. */
int document_rank(const json_t *resource);
int document_ranks(void);
/* The resource groups that ids inside it name: adds to *n how many in a row differ; the latest. */
void document_groups(const json_t *v, char name[100], int *n);
