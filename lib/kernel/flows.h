/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Flows of the real kernel's namespaces: functions of kernel.h's table. Internal to lib/kernel.
 */
#pragma once

#include "lib/kernel/kernel.h"

int flows_list(struct kernel *k, uint32_t ns, int (*fn)(void *arg, const struct kflow *f),
               void *arg, struct err *e);
int flows_delete(struct kernel *k, uint32_t ns, const struct kflow *v, size_t n, struct err *e);
int flows_cut(struct kernel *k, uint32_t ns, const struct kflow *v, size_t n, struct err *e);
int flows_watch(struct kernel *k, uint32_t ns,
                void (*fn)(void *arg, uint32_t ns, const struct kflow *f), void *arg,
                struct err *e);
long flows_count(struct kernel *k, uint32_t ns);
