/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See resolver.h. libunbound asks; this hands it questions and makes its answers into whole messages.
 */
#include "netd/resolver.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unbound-event.h>
#include <unbound.h>
#include <unistd.h>

#include "dns/name.h"
#include "dns/splice.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"

static struct {
	struct loop *loop;
	struct channel *dns;
	struct ub_ctx *unbound;
} self;

struct question {
	uint64_t id;
	unsigned flags, limit;
	size_t begun_len;
	uint8_t begun[];
};

/* Caches of a VNet are small; names that a zone leaves out are not cut short by what unbound knows of private
 * addresses: here they are the tenant's. */
static const char *const options[][2] = {
	{ "module-config:", "iterator" },
	{ "msg-cache-size:", "1m" },
	{ "rrset-cache-size:", "2m" },
	{ "key-cache-size:", "64k" },
	{ "neg-cache-size:", "64k" },
	{ "msg-cache-slabs:", "1" },
	{ "rrset-cache-slabs:", "1" },
	{ "infra-cache-slabs:", "1" },
	{ "key-cache-slabs:", "1" },
	{ "infra-cache-numhosts:", "500" },
	{ "outgoing-range:", "512" },
	{ "num-queries-per-thread:", "1024" },
	{ "cache-max-negative-ttl:", "5" },
	{ "edns-buffer-size:", "1232" },
	{ "unblock-lan-zones:", "yes" },
	{ "do-not-query-localhost:", "no" },
	{ "use-syslog:", "no" },
	{ "logfile:", "" },
};

/* ---- answers ---- */

static void answer(const struct question *q, const uint8_t *said, size_t len)
{
	static uint8_t out[65535];
	struct buf b = { 0 };
	size_t n = dns_splice(q->begun, q->begun_len, said, len, q->flags & RESOLVE_EDNS, q->limit,
	                      out);

	put_u64(&b, q->id);
	buf_add(&b, out, n);
	channel_send(self.dns, MSG_RESOLVED, &b, -1);
	buf_fini(&b);
}

static void on_result(void *arg, int rcode, void *packet, int len, int secure, char *why,
                      int limited)
{
	struct question *q = arg;

	(void)secure;
	(void)why;
	(void)limited;
	(void)rcode;
	answer(q, len > 0 ? packet : NULL, len > 0 ? (size_t)len : 0);
	free(q);
}

static void resolve(struct reader *r)
{
	uint64_t id = get_u64(r);
	int type = get_u16(r), async;
	unsigned flags = get_u8(r), limit = get_u16(r);
	size_t len = get_u8(r);
	const uint8_t *name = borrow_bytes(r, len);
	struct question *q = malloc(sizeof(*q) + r->left);
	char text[DNS_NAME_TEXT];

	if (!name || !q || !dns_name_valid(name, len) || limit < 512) {
		free(q);
		r->failed = true;
		return;
	}
	*q = (struct question){ .id = id, .flags = flags, .limit = limit, .begun_len = r->left };
	memcpy(q->begun, borrow_bytes(r, r->left), q->begun_len);
	dns_name_print(name, len, text);
	/* The callback may come before the call returns. */
	if (!self.unbound ||
	    ub_resolve_event(self.unbound, text, type, 1, q, on_result, &async) != 0) {
		answer(q, NULL, 0);
		free(q);
	}
}

/* ---- where it asks ---- */

static void read_servers(struct reader *r, const char *key, bool ports, FILE *f)
{
	char text[IP_TEXT];

	for (unsigned n = get_u8(r); n > 0 && !r->failed; n--) {
		struct ip ip = { .family = get_u8(r) };

		get_bytes(r, ip.b, 16);
		unsigned port = ports ? get_u16(r) : 0;
		if (!r->failed && (ip.family == 4 || ip.family == 6)) {
			fprintf(f, port ? "\t%s: %s@%u\n" : "\t%s: %s\n", key, ip_format(&ip, text),
			        port);
		}
	}
}

static void read_rules(struct reader *r, FILE *f)
{
	for (unsigned n = get_u16(r); n > 0 && !r->failed; n--) {
		size_t len = get_u8(r);
		const uint8_t *name = borrow_bytes(r, len);
		char text[DNS_NAME_TEXT];

		if (!name || !dns_name_valid(name, len)) {
			r->failed = true;
			return;
		}
		dns_name_print(name, len, text);
		fprintf(f, "forward-zone:\n\tname: \"%s%s\"\n", text, len ? "." : "");
		read_servers(r, "forward-addr", true, f);
	}
}

/* unbound reads forwarding from a file: one that nobody else sees. */
static int write_rules(struct reader *r)
{
	AUTO_CLOSE int fd = memfd_create("forwards", MFD_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(dup(fd), "w");

	if (!f) {
		return -1;
	}
	fprintf(f, "server:\n");
	read_servers(r, "outgoing-interface", false, f);
	if (r->left > 0 && r->p[0] > 0) {
		fprintf(f, "forward-zone:\n\tname: \".\"\n");
		read_servers(r, "forward-addr", false, f);
	} else {
		(void)get_u8(r);
	}
	read_rules(r, f);
	return fclose(f) == 0 && reader_done(r) ? take_fd(&fd) : -1;
}

static void configure(struct reader *r)
{
	AUTO_CLOSE int fd = write_rules(r);
	char path[64];

	if (fd < 0 || self.unbound) {
		r->failed = true;
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	self.unbound = ub_ctx_create_event(loop_base(self.loop));
	for (size_t i = 0; self.unbound && i < ARRAY_N(options); i++) {
		int rc = ub_ctx_set_option(self.unbound, options[i][0], options[i][1]);

		if (rc != 0) {
			log_warn("resolver.option", LOG_STR("name", options[i][0]),
			         LOG_STR("error", ub_strerror(rc)));
		}
	}
	if (!self.unbound || ub_ctx_config(self.unbound, path) != 0) {
		log_error("resolver.config", LOG_STR("error", "refused"));
		exit(71);
	}
}

/* ---- the dns role ---- */

static void on_message(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	(void)arg;
	(void)from;
	if (fd >= 0) {
		close(fd);
	}
	if (type == MSG_RESOLVER_CONFIG) {
		configure(r);
	} else if (type == MSG_RESOLVE) {
		resolve(r);
	} else {
		r->failed = true;
	}
}

static void on_closed(void *arg, enum role peer)
{
	(void)arg;
	(void)peer;
	loop_stop(self.loop);
}

int resolver_run(const struct config *c, int fd)
{
	(void)c;
	self.loop = loop_new();
	self.dns = channel_new(self.loop, fd, ROLE_RESOLVER, ROLE_DNS, on_message, on_closed, NULL);
	loop_signal(self.loop, SIGTERM, role_stop, self.loop);
	loop_run(self.loop);
	_exit(0); /* questions under way are nobody's any more */
}
