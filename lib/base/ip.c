/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See ip.h. Pure: no I/O, no allocation.
 */
#include "lib/base/ip.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned ip_bits(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

static int bad(struct err *e, const char *text, const char *want)
{
	return err_set(e, ERR_INVALID, 0, "'%.60s' is not %s", text, want);
}

int ip_parse(const char *text, struct ip *ret, struct err *e)
{
	struct ip ip = { 0 };

	if (inet_pton(AF_INET, text, ip.b) == 1) {
		ip.family = 4;
	} else if (inet_pton(AF_INET6, text, ip.b) == 1) {
		static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

		if (memcmp(ip.b, mapped, 12) == 0) {
			return bad(e, text, "acceptable: write an IPv4 address as IPv4");
		}
		ip.family = 6;
	} else {
		return bad(e, text, "an IP address (like 10.0.0.4 or fd00::4)");
	}
	*ret = ip;
	return 0;
}

static bool bit(const struct ip *ip, unsigned i)
{
	return ip->b[i / 8] & (0x80u >> (i % 8));
}

static int parse_length(const char *text, unsigned max, uint8_t *ret)
{
	unsigned n = 0;

	if (!*text || strlen(text) > 3 || (text[0] == '0' && text[1])) {
		return -1;
	}
	for (; *text; text++) {
		if (*text < '0' || *text > '9') {
			return -1;
		}
		n = n * 10 + (unsigned)(*text - '0');
	}
	if (n > max) {
		return -1;
	}
	*ret = (uint8_t)n;
	return 0;
}

static bool parse_port(const char *text, uint16_t *ret)
{
	size_t n = strspn(text, "0123456789");
	unsigned long v = n <= 5 ? strtoul(text, NULL, 10) : 0;

	*ret = (uint16_t)v;
	return n > 0 && !text[n] && text[0] != '0' && v > 0 && v <= 65535;
}

int ip_endpoint_parse(const char *text, uint16_t preset, struct ip *ret, uint16_t *port,
                      struct err *e)
{
	static const char want[] = "an address and a port (like 192.0.2.1:53 or [fd00::1]:53)";
	bool six = text[0] == '[';
	const char *end = six ? strchr(text, ']') : strchr(text, ':');
	char host[IP_TEXT];
	struct ip ip;

	if (!six && end && strchr(end + 1, ':')) {
		end = NULL; /* IPv6 without brackets: all of it is the address */
	}
	size_t len = end ? (size_t)(end - text) - six : strlen(text);
	if ((six && !end) || len >= sizeof(host)) {
		return bad(e, text, want);
	}
	memcpy(host, text + six, len);
	host[len] = '\0';
	const char *rest = end ? end + six : "";
	*port = preset;
	if (ip_parse(host, &ip, e) < 0 || (six && ip.family != 6) ||
	    (*rest ? *rest != ':' || !parse_port(rest + 1, port) : preset == 0)) {
		return bad(e, text, want);
	}
	*ret = ip;
	return 0;
}

unsigned ip_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;

	*to = (struct sockaddr_storage){ .ss_family = ip->family == 4 ? AF_INET : AF_INET6 };
	if (ip->family == 4) {
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, ip->b, sizeof(v4->sin_addr));
		return sizeof(*v4);
	}
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, ip->b, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}

int ip_prefix_parse(const char *text, struct ip_prefix *ret, struct err *e)
{
	static const char want[] = "an address prefix (like 10.0.0.0/16 or fd00::/64)";
	const char *slash = strchr(text, '/');
	struct ip_prefix p;
	char head[IP_TEXT];

	if (!slash || (size_t)(slash - text) >= sizeof(head)) {
		return bad(e, text, want);
	}
	memcpy(head, text, (size_t)(slash - text));
	head[slash - text] = '\0';
	if (ip_parse(head, &p.ip, e) < 0) {
		return bad(e, text, want);
	}
	if (parse_length(slash + 1, ip_bits(p.ip.family), &p.len) < 0) {
		return bad(e, text, want);
	}
	for (unsigned i = p.len; i < ip_bits(p.ip.family); i++) {
		if (bit(&p.ip, i)) {
			return bad(e, text, "a network: it has bits set beyond its prefix length");
		}
	}
	*ret = p;
	return 0;
}

const char *ip_format(const struct ip *ip, char to[static IP_TEXT])
{
	if (ip->family == 0 ||
	    !inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->b, to, IP_TEXT)) {
		to[0] = '\0';
	}
	return to;
}

const char *ip_prefix_format(const struct ip_prefix *p, char to[static IP_TEXT])
{
	size_t n;

	ip_format(&p->ip, to);
	n = strlen(to);
	snprintf(to + n, IP_TEXT - n, "/%u", p->len);
	return to;
}

int ip_compare(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family) {
		return a->family < b->family ? -1 : 1;
	}
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool ip_prefix_contains(const struct ip_prefix *p, const struct ip *ip)
{
	unsigned whole = p->len / 8, rest = p->len % 8;

	if (p->ip.family != ip->family || memcmp(p->ip.b, ip->b, whole) != 0) {
		return false;
	}
	return rest == 0 || ((p->ip.b[whole] ^ ip->b[whole]) >> (8 - rest)) == 0;
}

bool ip_prefix_covers(const struct ip_prefix *outer, const struct ip_prefix *inner)
{
	return outer->len <= inner->len && ip_prefix_contains(outer, &inner->ip);
}

bool ip_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return ip_prefix_covers(a, b) || ip_prefix_covers(b, a);
}

bool ip_add(struct ip *ip, uint64_t n)
{
	struct ip sum = *ip;
	unsigned carry = 0;

	for (int i = (int)ip_bits(ip->family) / 8 - 1; i >= 0; i--) {
		unsigned s = sum.b[i] + (unsigned)(n & 0xff) + carry;

		sum.b[i] = (uint8_t)s;
		carry = s >> 8;
		n >>= 8;
	}
	if (carry || n) {
		return false;
	}
	*ip = sum;
	return true;
}

struct ip ip_prefix_last(const struct ip_prefix *p)
{
	struct ip last = p->ip;

	for (unsigned i = p->len; i < ip_bits(p->ip.family); i++) {
		last.b[i / 8] |= (uint8_t)(0x80u >> (i % 8));
	}
	return last;
}

uint64_t ip_prefix_size(const struct ip_prefix *p)
{
	unsigned host = ip_bits(p->ip.family) - p->len;

	return host >= 64 ? UINT64_MAX : UINT64_C(1) << host;
}

uint64_t ip_distance(const struct ip *a, const struct ip *b)
{
	uint64_t n = 0;
	int borrow = 0;
	uint8_t diff[16] = { 0 };
	unsigned bytes = ip_bits(a->family) / 8;

	for (int i = (int)bytes - 1; i >= 0; i--) {
		int d = a->b[i] - b->b[i] - borrow;

		borrow = d < 0;
		diff[i] = (uint8_t)(d & 0xff);
	}
	for (unsigned i = 0; i < bytes; i++) {
		if (n >> 56) {
			return UINT64_MAX;
		}
		n = n << 8 | diff[i];
	}
	return n;
}

static int by_prefix(const void *pa, const void *pb)
{
	const struct ip_prefix *a = pa, *b = pb;
	int c = ip_compare(&a->ip, &b->ip);

	return c ? c : (int)a->len - (int)b->len;
}

size_t ip_prefixes_reduce(struct ip_prefix *v, size_t n)
{
	size_t keep = 0;

	if (n > 1) {
		qsort(v, n, sizeof(*v), by_prefix);
	}
	for (size_t i = 0; i < n; i++) {
		if (keep == 0 || !ip_prefix_covers(&v[keep - 1], &v[i])) {
			v[keep++] = v[i];
		}
	}
	return keep;
}
