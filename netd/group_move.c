/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Groups of a VNet that goes to another node. See group_parts.h, home.h.
 */
#include <unistd.h>

#include "netd/balancer.h"
#include "netd/group_parts.h"
#include "netd/home.h"
#include "netd/meter.h"
#include "netd/ngroup.h"
#include "netd/roster.h"
#include "netd/spot.h"

/* A runtime that is there ends its containers; one that is not is told by its next list. */
void group_leave(struct group *g)
{
	if (g->held && !g->guest && !g->stop_sent && node_runtime(group_node(g))) {
		group_send_stop(g, true);
	}
	meter_ask_group(g->r); /* its link goes with what it counted */
	network_drop_group(g->r, 0);
}

bool group_set_node(struct group *g, struct node *to)
{
	bool turned = network_place(g->r, false);

	json_object_set_new(g->r->status, "node", json_integer(to->number));
	return network_place(g->r, true) || turned;
}

void group_arrive(struct group *g)
{
	json_t *status = g->r->status;

	home_note(g->r, group_vnet(g), group_node(g));
	if (g->ns_fd >= 0) {
		close(g->ns_fd);
		g->ns_fd = -1;
	}
	if (g->deleting) { /* there is nothing of it here */
		g->stopped = g->detached = true;
		group_advance(g);
		return;
	}
	if (!g->full && g->kept) {
		g->full = g->kept;
		g->kept = NULL;
	}
	if (json_object_get(status, "secrets") && !g->full) { /* that runtime alone had them */
		g->lost = true;
		group_event(g->r, "SecretsLost",
		            "the group's secrets were on the node that it has left; send it again");
	}
	g->attached = g->handed = g->started = g->ready = g->held = g->stop_sent = g->stopped =
		false;
	json_object_set_new(status, "ready", json_false());
	json_object_del(status, "containers");
	json_object_del(status, "rests");
	group_event(g->r, "Moved", "the container group begins anew on another node");
	group_save(g);
	balancer_group(g->r, true);
	ngroup_member(g->r, true);
	network_send_group(g->r, group_ask(g, ASK_ATTACH));
	group_advance(g);
}

void group_rehome(uint32_t vnet, const struct node *from)
{
	struct resource *r;

	for (size_t i = 0; (r = roster_at(vnet, i)); i++) {
		struct group *g = r->group;

		if (!g || g->moving) {
			continue;
		}
		home_note(r, vnet, group_node(g));
		table_save(&r, 1, control_saved, NULL);
		if (!g->deleting && (group_node(g) == home_of(vnet) || group_node(g) == from)) {
			network_send_group(r, 0);
		} else if (!g->deleting) {
			network_send_ways(r);
		}
	}
}

/* The VNet's i-th group; of all (0) the i-th resource. NULL: no more. */
static struct resource *any(uint32_t vnet, size_t i)
{
	return vnet ? roster_at(vnet, i) : table_at(i);
}

void group_ways(uint32_t vnet)
{
	struct resource *r;

	for (size_t i = 0; (r = any(vnet, i)); i++) {
		if (r->group && !r->group->deleting) {
			network_send_ways(r);
		}
	}
}
