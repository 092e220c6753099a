/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Frames of CNI's calls, as the plugin sends them: cni.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "netd/cni.h"
#include "netd/cni_parts.h"

const char *cni_environment(const char *p, const char *end, struct cni_env *to)
{
	struct {
		const char *name, **to;
	} known[] = {
		{ "CNI_COMMAND", &to->command }, { "CNI_CONTAINERID", &to->container },
		{ "CNI_NETNS", &to->netns },     { "CNI_IFNAME", &to->ifname },
		{ "CNI_ARGS", &to->args },       { "COOKIE", &to->cookie },
	};

	while (p < end && *p) {
		const char *zero = memchr(p, '\0', (size_t)(end - p)), *eq = strchr(p, '=');

		if (!zero || !eq) {
			return NULL;
		}
		for (size_t i = 0; i < ARRAY_N(known); i++) {
			size_t n = strlen(known[i].name);

			if ((size_t)(eq - p) == n && memcmp(p, known[i].name, n) == 0) {
				*known[i].to = eq + 1;
			}
		}
		p = zero + 1;
	}
	return p < end ? p + 1 : NULL;
}

/* The plugin's descriptor comes with the first byte. */
ssize_t cni_receive(int fd, struct buf *got, int *ns)
{
	void *room = buf_room(got, 65536);
	struct iovec iov = { room, room ? 65536 : 0 };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} u;
	struct msghdr m = { .msg_iov = &iov,
		            .msg_iovlen = 1,
		            .msg_control = u.room,
		            .msg_controllen = sizeof(u.room) };
	ssize_t n = room ? recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) : 0;

	for (struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; h; h = CMSG_NXTHDR(&m, h)) {
		size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[4];

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) {
			continue;
		}
		memcpy(fds, CMSG_DATA(h), count * sizeof(int));
		for (size_t i = 0; i < count; i++) {
			if (*ns < 0) {
				*ns = fds[i];
			} else {
				close(fds[i]);
			}
		}
	}
	got->len += n > 0 ? (size_t)n : 0;
	return n;
}

uint64_t cni_cookie(const uint8_t *frame, size_t len)
{
	const char *p = (const char *)frame, *end = p + len;

	while (p < end && *p) {
		const char *zero = memchr(p, '\0', (size_t)(end - p));

		if (!zero) {
			break;
		}
		if (strncmp(p, "COOKIE=", 7) == 0) {
			return strtoull(p + 7, NULL, 16);
		}
		p = zero + 1;
	}
	return 0;
}
