/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of CNI share: a call's environment and document (cni.c), what both ask for (cni_conf.c), frames (cni_frame.c), results (cni_result.c).
 * Internal to them.
 */
#pragma once

#include <jansson.h>

#include "netd/plane.h"

/* Error codes of the specification, and (from 100) ours. */
enum cni_code {
	CNI_OK,
	CNI_VERSION = 1,     /* incompatible version */
	CNI_FIELD = 2,       /* unsupported field */
	CNI_UNKNOWN = 3,     /* container unknown */
	CNI_ENVIRONMENT = 4, /* environment variable */
	CNI_IO = 5,
	CNI_DECODE = 6,
	CNI_CONFIG = 7,
	CNI_LATER = 11,
	CNI_UNAVAILABLE = 50, /* STATUS: no ADD now */
	CNI_LIMITED = 51,     /* STATUS: and what is there is limited too */
	CNI_FAILED = 100,
	CNI_EXISTS,  /* that container has that interface already */
	CNI_NO_ROOM, /* quota, or no address left */
	CNI_TAKEN,   /* a port, an address, a MAC that another has */
	CNI_DIFFERS, /* CHECK */
};

struct cni_error {
	enum cni_code code;
	char details[600];
};
int cni_fail(struct cni_error *e, enum cni_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* What change_put() and the like say. */
int cni_fail_of(struct cni_error *to, const struct err *e);

/* The environment of a call; all texts lie in its frame. "" where a variable was not set. */
struct cni_env {
	const char *command, *container, *netns, *ifname, *args;
	const char *cookie; /* hexadecimal, of the namespace */
};

/* ---- cni_frame.c ---- */
/* Reads the environment from a frame; returns what follows it there, NULL: it is none. */
const char *cni_environment(const char *p, const char *end, struct cni_env *to);

/* The versions that are spoken, oldest first; NULL at the end. */
extern const char *const cni_versions[];

/* ---- cni_conf.c ---- */
/* The network's configuration: is all of it known, and in range? */
int cni_conf_check(const json_t *conf, struct cni_error *e) __attribute__((warn_unused_result));
/* A text of a configuration, or the preset. */
const char *cni_conf_text(const json_t *conf, const char *key, const char *preset);
/* What an ADD makes: the group's id, its document, its status `cni`. The references are the caller's. */
struct cni_want {
	char id[700];
	json_t *doc, *status;
};
int cni_conf_want(const json_t *conf, const struct cni_env *env, struct cni_want *to,
                  struct cni_error *e) __attribute__((warn_unused_result));
void cni_want_fini(struct cni_want *w);

/* ---- cni_result.c ---- */
/* JSON text of an error or a result, malloc'ed, by the version asked for. */
char *cni_error_text(const char *version, const struct cni_error *e);
char *cni_result_text(const char *version, const json_t *conf, const struct resource *r);
/* Is the group's interface in the previous result as it is? */
int cni_result_check(const json_t *prev, const struct resource *r, struct cni_error *e)
	__attribute__((warn_unused_result));
