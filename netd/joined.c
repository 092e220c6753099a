/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See agent.h: the file that says which plane this node belongs to.
 */
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <jansson.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/model/model.h"
#include "netd/agent.h"
#include "netd/config.h"
#include "netd/seat.h"

#define FILE_MAX 20000

static void path_of(const struct config *c, const char *more, char to[static 140])
{
	snprintf(to, 140, "%s/joined.json%s", c->state_dir, more);
}

static bool copy(const json_t *doc, const char *key, char *to, size_t size)
{
	return (size_t)snprintf(to, size, "%s", model_str(doc, key)) < size;
}

int joined_read(const struct config *c, struct joined *to, struct err *e)
{
	char path[140];

	path_of(c, "", path);
	*to = (struct joined){ 0 };
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, errno, "%s",
		               path);
	}
	AUTO_FREE char *text = calloc(1, FILE_MAX + 1);
	ssize_t n = text ? read(fd, text, FILE_MAX) : -1;
	json_t *doc = n > 0 ? json_loads(text, 0, NULL) : NULL;
	bool good = doc && copy(doc, "plane", to->plane, sizeof(to->plane)) &&
	            copy(doc, "name", to->name, sizeof(to->name)) &&
	            copy(doc, "key", to->key, sizeof(to->key)) &&
	            copy(doc, "certificate", to->cert, sizeof(to->cert)) &&
	            copy(doc, "authority", to->authority, sizeof(to->authority));

	to->number = (uint32_t)json_integer_value(json_object_get(doc, "number"));
	json_decref(doc);
	if (text) {
		explicit_bzero(text, FILE_MAX);
	}
	return good ? 0 : err_set(e, ERR_INVALID, 0, "%s: damaged; join the plane again", path);
}

bool joined_there(const struct config *c)
{
	struct joined j;
	struct err e = ERR_INIT;
	bool there = joined_read(c, &j, &e) == 0 && j.cert[0];

	explicit_bzero(&j, sizeof(j));
	return there;
}

int joined_check(const struct config *c, struct err *e)
{
	struct joined j;
	int rc = joined_read(c, &j, e);

	if (rc == 0 && !j.cert[0]) {
		rc = err_set(
			e, ERR_INVALID, 0,
			"joining the plane at %s did not end: 'netd join' again, or 'netd leave'",
			j.plane);
	}
	explicit_bzero(&j, sizeof(j));
	return rc < 0 && e->kind == ERR_NOT_FOUND ? 0 : rc;
}

static int write_all(int fd, const char *text, const char *path, struct err *e)
{
	size_t n = strlen(text);

	if (write(fd, text, n) != (ssize_t)n || fsync(fd) < 0) {
		return err_set(e, ERR_NO_SPACE, errno, "%s", path);
	}
	return 0;
}

int joined_write(const struct config *c, const struct joined *j, struct err *e)
{
	char path[140], fresh[140];
	uid_t user = (uid_t)c->user_control;
	json_t *doc = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "plane", j->plane, "name",
	                        j->name, "number", (int)j->number, "key", j->key, "certificate",
	                        j->cert, "authority", j->authority);
	AUTO_FREE char *text = json_dumps(doc, JSON_INDENT(2));

	json_decref(doc);
	path_of(c, "", path);
	path_of(c, ".new", fresh);
	AUTO_CLOSE int fd =
		open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	AUTO_CLOSE int folder = open(c->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || folder < 0 || !text) {
		return err_set(e, ERR_UNAVAILABLE, errno, "%s", fresh);
	}
	int rc = write_all(fd, text, fresh, e);
	explicit_bzero(text, strlen(text));
	if (rc < 0 || (geteuid() == 0 && fchown(fd, user, user) < 0) || rename(fresh, path) < 0 ||
	    fsync(folder) < 0) {
		unlink(fresh);
		return rc < 0 ? rc : err_set(e, ERR_UNAVAILABLE, errno, "%s", path);
	}
	return 0;
}

/* The gateway's end has the uplink's own MAC. */
static void read_mac(struct node_facts *f)
{
	struct ifreq ifr = { 0 };
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(ifr.ifr_name, f->uplink, strnlen(f->uplink, IFNAMSIZ - 1));
	if (f->uplink[0] && fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &ifr) == 0) {
		memcpy(f->uplink_mac, ifr.ifr_hwaddr.sa_data, 6);
	}
}

/* The device that has the address. */
static void find_underlay(struct node_facts *f)
{
	struct ifaddrs *all = NULL;
	struct err e = ERR_INIT;
	struct ip want, ip;

	if (!f->address[0] || ip_parse(f->address, &want, &e) < 0 || getifaddrs(&all) < 0) {
		return;
	}
	for (const struct ifaddrs *x = all; x && !f->underlay[0]; x = x->ifa_next) {
		int family = x->ifa_addr ? x->ifa_addr->sa_family : 0;

		if (family == AF_INET) {
			ip = (struct ip){ .family = 4 };
			memcpy(ip.b,
			       &((const struct sockaddr_in *)(const void *)x->ifa_addr)->sin_addr,
			       4);
		} else if (family == AF_INET6) {
			ip = (struct ip){ .family = 6 };
			memcpy(ip.b,
			       &((const struct sockaddr_in6 *)(const void *)x->ifa_addr)->sin6_addr,
			       16);
		} else {
			continue;
		}
		if (ip_compare(&ip, &want) == 0) {
			snprintf(f->underlay, sizeof(f->underlay), "%s", x->ifa_name);
		}
	}
	freeifaddrs(all);
}

int nodes_address(const struct config *c, char to[static 64], struct err *e)
{
	static const struct ip none;
	struct ip ip;
	uint16_t port;

	if (ip_endpoint_parse(c->listen_nodes, 0, &ip, &port, e) < 0) {
		return -1;
	}
	if (memcmp(ip.b, none.b, sizeof(ip.b)) != 0) {
		snprintf(to, 64, "%s", c->listen_nodes);
	} else if (!c->node_address[0]) {
		return err_set(e, ERR_UNSUPPORTED, 0,
		               "listen-nodes = %s says not where: set 'node-address' too",
		               c->listen_nodes);
	} else {
		snprintf(to, 64, strchr(c->node_address, ':') ? "[%s]:%u" : "%s:%u",
		         c->node_address, port);
	}
	return 0;
}

void facts_of(const struct config *c, struct node_facts *to)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES),
	     page = sysconf(_SC_PAGESIZE);
	struct err e = ERR_INIT;

	*to = (struct node_facts){ .cpu = (uint32_t)(c->node_cpu ? c->node_cpu : cores),
		                   .memory = (uint32_t)(c->node_memory
		                                                ? c->node_memory
		                                                : (pages * (int64_t)page) >> 30) };
	snprintf(to->version, sizeof(to->version), "%s", NETD_VERSION);
	snprintf(to->address, sizeof(to->address), "%s", c->node_address);
	snprintf(to->run_dir, sizeof(to->run_dir), "%s", c->run_dir);
	snprintf(to->uplink, sizeof(to->uplink), "%s", c->uplink);
	snprintf(to->hop4, sizeof(to->hop4), "%s", c->hop4);
	snprintf(to->hop6, sizeof(to->hop6), "%s", c->hop6);
	if (seat_stands_by(c)) {
		(void)!nodes_address(c, to->listen, &e);
	}
	read_mac(to);
	find_underlay(to);
}
