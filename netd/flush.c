/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See flush.h. The engine lists a VNet's flows, the evaluator judges each as it began, the engine
 * forgets those that are denied; their next packet is a new flow's.
 */
#include "netd/flush.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "netd/home.h"
#include "netd/subnet.h"
#include "netd/trace.h"

void flush_begin(struct resource *nsg)
{
	const struct subnet *s;
	uint32_t last = 0, number = table_number(nsg);

	for (size_t i = 0; (s = subnet_at(i)); i++) {
		const struct resource *v = s->vnet != last ? table_numbered(s->vnet) : NULL;
		struct buf b = { 0 };

		if (!v || vnet_subnet_ref(v, s->id, "networkSecurityGroup") != nsg) {
			continue;
		}
		last = s->vnet;
		put_u32(&b, number);
		put_u32(&b, s->vnet);
		home_tell_all(s->vnet, MSG_FLOWS, &b);
		buf_fini(&b);
	}
}

void flush_flows(struct node *n, uint32_t token, uint32_t vnet, struct reader *r)
{
	bool last = get_u8(r);
	struct resource *nsg = table_numbered(token);
	struct buf b = { 0 };
	struct kflow f;
	size_t denied = 0;

	put_u32(&b, vnet);
	while (!last && r->left && !r->failed) {
		get_flow(r, &f);
		struct nsg_flow flow = { .proto = f.proto,
			                 .addr = { f.src, f.to },
			                 .port = { f.sport, f.to_port } };
		if (nsg && f.src.family == f.to.family && trace_denies(nsg, vnet, &flow)) {
			put_flow(&b, &f);
			denied++;
		}
	}
	trace_forget();
	if (denied > 0) {
		log_info("nsg.flushed", LOG_STR("id", nsg->id), LOG_NUM("flows", denied));
		node_tell(n, MSG_FLOWS_DEL, &b, -1);
	}
	buf_fini(&b);
}
