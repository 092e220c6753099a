/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From SQLite to etcd: docs/etcd.md.
 */
#pragma once

#include <stddef.h>

#include "lib/store/store.h"

/* Copies every pair of DIR/netd.db to an etcd whose prefix has none, reads all of them back and compares, and closes the file for
 * good: who opens it afterwards is told where its pairs are. Until then, and when anything fails, the file stays in use, and what
 * was copied is taken away again. Nobody writes to it meanwhile: a netd that runs refuses changes. *n: pairs. Blocks.
 * ERR_INVALID: there is no such file, or the prefix has pairs. ERR_BUSY: a node holds the plane in etcd. */
int store_move(const char *dir, const struct store_etcd *to, size_t *n, struct err *e)
	__attribute__((warn_unused_result));
