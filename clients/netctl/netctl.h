/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the commands of netctl share: requests to the API, and paths of resources. May block for the
 * API's answer.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Sends a request; its status, -1 when nobody answered (said on standard error). *ret gets the body,
 * a new reference or NULL; `operation` (NULL: not wanted) the URL to poll, 1,200 bytes. */
long netctl_request(const char *method, const char *path, const json_t *body, json_t **ret,
                    char *operation);
/* Says what went wrong on standard error; the exit status. */
int netctl_failed(long status, const json_t *answer);
/* File of certificates that HTTPS is checked by; NULL: the system's. */
const char *netctl_ca(void);
/* The resource's path, with api-version; `type` as on the command line. */
void netctl_path(const char *type, const char *name, char *to, size_t size);

/* netctl trace FROM TO:PORT[/PROTOCOL] */
int trace_packet(const char *from, const char *target);
/* netctl counters TYPE NAME */
int trace_counters(const char *type, const char *name, bool json);
/* netctl nsg flush NAME */
int trace_nsg_flush(const char *name);

/* The path of what is asked of a group's container (NULL: its first), with api-version. 0, or an exit status: it cannot be
 * read (said on standard error). */
int netctl_container_path(const char *group, const char *container, const char *what, char *to,
                          size_t size);

/* Waits for an operation's URL; 0, or 1 when it failed (said on standard error). */
int netctl_wait(const char *operation);

/* token.c: tokens of callers. Exit codes; NULL: not given. */
int token_create(const char *caller, const char *subscription, const char *role, const char *scope,
                 const char *seconds);
int token_list(bool json);
int token_revoke(const char *id);

/* Asks for something that has a secret (`body` is taken; seconds NULL: as long as by default), and prints its "token". */
int token_draw(const char *path, json_t *body, const char *seconds);
/* Prints the "value" of a list, as it is or a row each. */
int token_rows(const char *path, bool json, const char *head, void (*row)(const json_t *x));

/* node.c: nodes of the plane. Exit codes; NULL: not given. */
int node_join_token(const char *name, const char *zone, const char *domain, const char *seconds);
int node_list(bool json);
/* `what`: cordon, uncordon, drain or remove; else it is said what is accepted. */
int node_change(const char *what, const char *name);
int node_take(const char *name, const char *vnet); /* `vnet`: its id */

/* names.c. Exit codes. `vnet`: NULL, as the public is answered. */
int names_lookup(const char *name, const char *type, const char *vnet);
int names_zones(void);
int names_export(const char *zone);
int names_stats(void);

/* balance.c: load balancers and NGroups. Exit codes. */
int balance_shares(const char *lb);
int balance_scale(const char *ngroup, const char *count, bool no_wait);
int balance_rollout(const char *ngroup, bool cancel);
int balance_watch(const char *ngroup);
int balance_reclaim(const char *count, const char *seconds);

/* exec.c: runs a command (NULL: none, the output is followed) in a group's container (NULL: the first). The
 * command's exit status; 1 when there is none. */
int exec_run(const char *group, const char *container, char *const *command, bool input,
             bool terminal);

/* usage.c: periods of a subscription's groups; times as ISO 8601, NULL: the last day, now. */
int usage_print(const char *subscription, const char *from, const char *to, bool json);
