/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The store that the configuration names, and its faults: a disk that is full or cannot be written, a file that is damaged, an
 * etcd that cannot be reached, another process that has taken it. What runs goes on in each case; changes are refused with the
 * reason until it is mended. Control's; one thread. See also control_stored() in plane.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/model.h"
#include "lib/store/store.h"

struct config;

/* Opens it as plane.store; blocks. */
bool storage_open(struct err *e);
/* Is what was loaded the state of this node? A plane's groups run on the node that its store names: another would make them
 * a second time. */
int storage_ours(struct err *e) __attribute__((warn_unused_result));
/* It could not be read: engine and dns keep what they have, and this process ends once it can be. */
void storage_blind(const struct err *e);
/* Writes as much as a change may need, and takes it away again. */
void storage_probe(void);
/* Many times a second: has somebody mended what was refused? */
void storage_look(int64_t now);
/* The node that had control first: what says of no node is there. NULL: this one. */
const char *storage_first(void);
/* The pair "meta/node" was loaded. */
void storage_loaded(const json_t *row);

/* How the configuration says that etcd is reached; the password is read from its file into `password`. */
int storage_etcd(const struct config *c, struct store_etcd *to, char password[static 256],
                 struct err *e) __attribute__((warn_unused_result));
