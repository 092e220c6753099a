/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See netlink.h. Touches netlink sockets only.
 */
#include "lib/kernel/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/base/own.h"

#define MESSAGE_ROOM 65536
#define RECEIVE_SIZE (64 * 1024)
#define DUMP_TRIES   10
#define DEADLINE_S   5

int nl_open(struct nl_sock *s, int protocol, struct err *e)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(sa);
	struct timeval tv = { .tv_sec = DEADLINE_S };
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	int one = 1, big = 32 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "open netlink socket");
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
	/* Kernel's own words on an error, and no echo of our message. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	/* Without it a dump's family header is not checked, and filters are ignored. */
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	*s = (struct nl_sock){ .fd = take_fd(&fd), .portid = sa.nl_pid, .seq = 1 };
	return 0;
}

void nl_close(struct nl_sock *s)
{
	if (s->fd >= 0) {
		close(s->fd);
	}
	*s = (struct nl_sock)NL_SOCK_NONE;
}

int nl_subscribe(struct nl_sock *s, unsigned group, struct err *e)
{
	if (setsockopt(s->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ||
	    fcntl(s->fd, F_SETFL, O_NONBLOCK) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "join netlink group %u", group);
	}
	return 0;
}

void nl_batch_fini(struct nl_batch *b)
{
	buf_fini(&b->buf);
	*b = (struct nl_batch){ 0 };
}

/* The forgiven errno travels in nlmsg_pid, which the kernel ignores on input. */
struct nlmsghdr *nl_batch_begin(struct nl_batch *b, uint16_t type, uint16_t flags, size_t extra,
                                void **ret_extra)
{
	void *room = buf_room(&b->buf, MESSAGE_ROOM);

	if (!room) {
		b->failed = true;
		return NULL;
	}
	b->open = mnl_nlmsg_put_header(room);
	b->open->nlmsg_type = type;
	b->open->nlmsg_flags = NLM_F_REQUEST | flags;
	b->open->nlmsg_seq = (uint32_t)b->n;
	*ret_extra = mnl_nlmsg_put_extra_header(b->open, extra);
	return b->open;
}

void nl_batch_end(struct nl_batch *b, int forgive)
{
	if (b->open) {
		b->open->nlmsg_pid = (uint32_t)forgive;
		b->buf.len += MNL_ALIGN(b->open->nlmsg_len);
		b->n++;
		b->open = NULL;
	}
}

static void seal(struct nl_sock *s, struct nl_batch *b, int *forgive, uint32_t *last)
{
	struct nlmsghdr *h = (struct nlmsghdr *)b->buf.data, *acked = h;
	int left = (int)b->buf.len;

	for (size_t i = 0; mnl_nlmsg_ok(h, left); i++) {
		forgive[i] = (int)h->nlmsg_pid;
		h->nlmsg_pid = 0;
		h->nlmsg_seq = s->seq + (uint32_t)i;
		if (h->nlmsg_type != NFNL_MSG_BATCH_END) {
			acked = h;
		}
		h = mnl_nlmsg_next(h, &left);
	}
	acked->nlmsg_flags |= NLM_F_ACK;
	*last = acked->nlmsg_seq;
}

static const char *extack_text(const struct nlmsghdr *h)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	size_t off = sizeof(*h) + sizeof(*err);

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS)) {
		return NULL;
	}
	if (!(h->nlmsg_flags & NLM_F_CAPPED)) {
		off += err->msg.nlmsg_len - sizeof(struct nlmsghdr);
	}
	for (a = (const struct nlattr *)((const char *)h + off);
	     mnl_attr_ok(a, (int)((const char *)h + h->nlmsg_len - (const char *)a));
	     a = mnl_attr_next(a)) {
		if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG) {
			return mnl_attr_get_str(a);
		}
	}
	return NULL;
}

struct reply {
	struct nl_sock *s;
	uint32_t first, last;
	size_t n;
	const int *forgive;
	void (*describe)(void *arg, size_t i, struct buf *to);
	void *arg;
	struct err *e;
	bool failed;
	bool done;
};

static bool forgiven(int forgive, int error)
{
	if (forgive == NL_FORGIVE_NO_QDISC && error == EINVAL) {
		return true;
	}
	if (forgive == NL_FORGIVE_ABSENT || forgive == NL_FORGIVE_NO_QDISC) {
		return error == ENODEV || error == ENOENT || error == ESRCH ||
		       error == EADDRNOTAVAIL || error == ENXIO;
	}
	return error == forgive;
}

static void take_answer(struct reply *r, const struct nlmsghdr *h)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(h);
	uint32_t i = h->nlmsg_seq - r->first;
	AUTO_BUF struct buf words = { 0 };

	if (h->nlmsg_type != NLMSG_ERROR || i >= r->n) {
		return; /* left over from an earlier conversation */
	}
	if (h->nlmsg_seq == r->last) {
		r->done = true;
	}
	if (err->error == 0 || forgiven(r->forgive[i], -err->error) || r->failed) {
		return;
	}
	if (r->describe) {
		r->describe(r->arg, i, &words);
	}
	const char *text = extack_text(h);
	err_set(r->e, -err->error == ENOMEM ? ERR_NO_MEMORY : ERR_SYSTEM, -err->error, "%s%s%s",
	        buf_str(&words) ? buf_str(&words) : "netlink", text ? ": " : "", text ? text : "");
	r->failed = true;
	/* A batch that cannot even begin gets one answer, to its first message. */
	if (i == 0 && r->n > 1 && h->nlmsg_seq != r->last &&
	    (err->error == -EPERM || err->error == -EOPNOTSUPP)) {
		r->done = true;
	}
}

static void take_answers(struct reply *r, const char *data, ssize_t n)
{
	int left = (int)n;

	for (const struct nlmsghdr *h = (const void *)data; mnl_nlmsg_ok(h, left);
	     h = mnl_nlmsg_next(h, &left)) {
		take_answer(r, h);
	}
}

/* More came than the socket holds (a refused transaction has an answer to each message): the last may be lost, but why it was
 * refused is in the first, which is there. */
static void take_queued(struct reply *r, char *data)
{
	ssize_t n;

	while (!r->failed && (n = recv(r->s->fd, data, RECEIVE_SIZE, MSG_DONTWAIT)) > 0) {
		take_answers(r, data, n);
	}
}

static int receive_answers(struct reply *r)
{
	char data[RECEIVE_SIZE];

	while (!r->done) {
		ssize_t n = recv(r->s->fd, data, sizeof(data), 0);
		int error = n < 0 ? errno : 0;

		if (n > 0) {
			take_answers(r, data, n);
		} else if (error != EINTR) {
			r->s->broken = true;
			if (error == ENOBUFS) {
				take_queued(r, data);
			}
			return r->failed ? -1
			                 : err_set(r->e, ERR_SYSTEM, error,
			                           "no answer from the kernel");
		}
	}
	return r->failed ? -1 : 0;
}

int nl_batch_send(struct nl_sock *s, struct nl_batch *b,
                  void (*describe)(void *arg, size_t i, struct buf *to), void *arg, struct err *e)
{
	if (b->failed || b->buf.failed) {
		return err_set(e, ERR_NO_MEMORY, 0, "netlink batch: out of memory");
	}
	if (b->n == 0) {
		return 0;
	}
	AUTO_FREE int *forgive = calloc(b->n, sizeof(*forgive));
	struct reply r = { .s = s,
		           .first = s->seq,
		           .n = b->n,
		           .forgive = forgive,
		           .describe = describe,
		           .arg = arg,
		           .e = e };
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };

	if (!forgive) {
		return err_set(e, ERR_NO_MEMORY, 0, "netlink batch: out of memory");
	}
	seal(s, b, forgive, &r.last);
	s->seq += (uint32_t)b->n;
	ssize_t sent;
	do {
		sent = sendto(s->fd, b->buf.data, b->buf.len, 0, (struct sockaddr *)&to,
		              sizeof(to));
	} while (sent < 0 && errno == EINTR);
	if (sent < 0) {
		s->broken = true; /* nothing was executed, and nothing must be waited for */
		return err_set(e, ERR_SYSTEM, errno, "send %zu bytes to the kernel", b->buf.len);
	}
	return receive_answers(&r);
}

/* 1 done, 0 go on, -1 failed, -2 interrupted, -3 refused by the kernel: nothing more comes */
static int dump_part(struct nl_sock *s, char *data, size_t len,
                     int (*fn)(const struct nlmsghdr *h, void *arg), void *arg, bool *interrupted,
                     struct err *e)
{
	int left = (int)len;

	for (const struct nlmsghdr *h = (void *)data; mnl_nlmsg_ok(h, left);
	     h = mnl_nlmsg_next(h, &left)) {
		if (h->nlmsg_seq != s->seq) {
			continue;
		}
		if (h->nlmsg_flags & NLM_F_DUMP_INTR) {
			*interrupted = true;
		}
		if (h->nlmsg_type == NLMSG_DONE) {
			return *interrupted ? -2 : 1;
		}
		if (h->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *err = mnl_nlmsg_get_payload(h);

			if (err->error == 0) { /* what nl_get() ends with */
				return 1;
			}
			err_set(e, ERR_SYSTEM, -err->error, "kernel dump");
			return -3;
		}
		if (fn(h, arg) < 0) {
			return err_set(e, ERR_NO_MEMORY, 0, "kernel dump: out of memory");
		}
	}
	return 0;
}

static int dump_once(struct nl_sock *s, uint16_t type, uint16_t flags, const void *extra,
                     size_t extra_len, int (*fn)(const struct nlmsghdr *h, void *arg), void *arg,
                     struct err *e)
{
	char request[256] = { 0 };
	AUTO_FREE char *data = malloc(RECEIVE_SIZE);
	struct nlmsghdr *h = mnl_nlmsg_put_header(request);
	bool interrupted = false;
	int rc = 0;

	if (!data) {
		return err_set(e, ERR_NO_MEMORY, 0, "kernel dump: out of memory");
	}
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = ++s->seq;
	memcpy(mnl_nlmsg_put_extra_header(h, extra_len), extra, extra_len);
	if (send(s->fd, h, h->nlmsg_len, 0) < 0) {
		s->broken = true;
		return err_set(e, ERR_SYSTEM, errno, "ask the kernel for a dump");
	}
	while (rc == 0) {
		ssize_t n = recv(s->fd, data, RECEIVE_SIZE, 0);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			s->broken = true;
			return err_set(e, ERR_SYSTEM, errno, "kernel dump");
		}
		rc = dump_part(s, data, (size_t)n, fn, arg, &interrupted, e);
		if (rc == -1) {
			s->broken = true; /* the rest of the dump is still on its way */
		}
	}
	s->seq++;
	return rc;
}

int nl_dump(struct nl_sock *s, uint16_t type, const void *extra, size_t extra_len,
            int (*fn)(const struct nlmsghdr *h, void *arg), void (*reset)(void *arg), void *arg,
            struct err *e)
{
	for (int i = 0; i < DUMP_TRIES; i++) {
		int rc = dump_once(s, type, NLM_F_DUMP, extra, extra_len, fn, arg, e);

		if (rc != -2) {
			return rc == 1 ? 0 : -1; /* -3 left the socket usable */
		}
		reset(arg);
		usleep(1000u << (i < 6 ? i : 6));
	}
	return err_set(e, ERR_SYSTEM, 0, "kernel dump: interrupted %d times", DUMP_TRIES);
}

int nl_get(struct nl_sock *s, uint16_t type, const void *extra, size_t extra_len,
           int (*fn)(const struct nlmsghdr *h, void *arg), void *arg, struct err *e)
{
	return dump_once(s, type, NLM_F_ACK, extra, extra_len, fn, arg, e) == 1 ? 0 : -1;
}
