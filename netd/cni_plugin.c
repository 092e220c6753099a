/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See cni_plugin.h.
 */
#include "netd/cni_plugin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netd/cni.h"
#include "netd/node_stream.h"

static void hang_up(struct cni_plugin *p)
{
	loop_watch_free(p->in);
	loop_watch_free(p->out);
	p->in = p->out = NULL;
	if (p->fd >= 0) {
		close(p->fd);
	}
	p->fd = -1;
}

static void on_out(void *arg)
{
	struct cni_plugin *p = arg;
	ssize_t n = send(p->fd, p->answer.data + p->sent, p->answer.len - p->sent,
	                 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	p->sent += n > 0 ? (size_t)n : 0;
	if (n < 0 || p->sent == p->answer.len) {
		hang_up(p);
		p->ended(p->arg);
	}
}

/* What follows the frame is passed over. */
static void on_in(void *arg)
{
	struct cni_plugin *p = arg;
	char more;
	ssize_t n = p->whole ? recv(p->fd, &more, 1, MSG_DONTWAIT)
	                     : cni_receive(p->fd, &p->got, &p->ns);
	uint32_t len = 0;
	bool begun;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	begun = p->got.len >= sizeof(len);
	if (begun) {
		memcpy(&len, p->got.data, sizeof(len));
		len = ntohl(len);
	}
	if (n <= 0 || len > CNI_FRAME_MAX) {
		hang_up(p);
		p->ended(p->arg);
	} else if (!p->whole && begun && p->got.len >= sizeof(len) + len) {
		p->whole = true;
		p->frame(p->arg, p->got.data + sizeof(len), len);
	}
}

void cni_plugin_none(struct cni_plugin *p)
{
	*p = (struct cni_plugin){ .fd = -1, .ns = -1 };
}

void cni_plugin_init(struct cni_plugin *p, struct loop *l, int fd,
                     void (*frame)(void *arg, const uint8_t *frame, size_t len),
                     void (*ended)(void *arg), void *arg)
{
	*p = (struct cni_plugin){
		.loop = l, .fd = fd, .ns = -1, .frame = frame, .ended = ended, .arg = arg
	};
	p->in = loop_watch_read(l, fd, on_in, p);
}

void cni_plugin_fini(struct cni_plugin *p)
{
	hang_up(p);
	if (p->ns >= 0) {
		close(p->ns);
	}
	buf_fini(&p->got);
	buf_fini(&p->answer);
	cni_plugin_none(p);
}

void cni_plugin_answer(struct cni_plugin *p, uint8_t status, const void *text, size_t len)
{
	if (p->fd < 0) {
		return;
	}
	p->answered = true;
	put_u32(&p->answer, htonl((uint32_t)len + 1));
	put_u8(&p->answer, status);
	buf_add(&p->answer, text, len);
	loop_watch_enable(p->in, false);
	p->out = loop_watch_write(p->loop, p->fd, on_out, p);
	loop_watch_enable(p->out, true);
}
