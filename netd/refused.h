/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Namespaces that a node's kernel does not let be made as they should be, as its engine tells (reconcile_refused()), and which
 * resources that concerns. Control's; memory only; one thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "netd/message.h"

struct node;
struct resource;

/* MSG_ENGINE_REFUSED, after how many there are on the node: the first REFUSED_MAX of them, each a number (32 bits) and what the
 * kernel said (message.h: put_str). */
void refused_said(struct node *n, struct reader *r);
/* The node's engine is away: nothing is known. */
void refused_gone(struct node *n);
/* A node's role (the engine counts) answers nothing for as long as a lease, or again: node_roles.c. */
void refused_silent(enum role role, bool silent);
/* Is the resource a VNet, or in the rules of one (a security group, a route table, a NAT gateway, a load balancer), that is refused
 * on any node? What it says is not, or not all, in force there. */
bool refused_concerns(const struct resource *r);
/* [{"resource": id, "error": text}] of the node; new reference. */
json_t *refused_view(const struct node *n);
