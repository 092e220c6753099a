#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""With `return = mux`, what has an address of an `onlink` pool leaves by control's node, on whose link it is, whichever node its group is on, beside a pool that
another node has."""
import collections, re
from balancers import *

LINK, ROUTED = "192.0.2.64/29", "203.0.113.0/24"
inside("limit-requests=0", "return=mux", f"pool=onlink {LINK}", f"pool=routed {ROUTED} at node2", nodes=2, uplinks=True)
call("PUT", RG, {"location": "westeurope"})
rts = {k: Servers(node=k) for k in (1, 2)}
subprocess.run(["ip", "-n", "internet", "route", "replace", ROUTED, "via", "192.88.2.2"], check=True)
# As a provider does: each link's own sources only.
rules = "".join(f'iifname "net{k}" ip saddr {p} counter drop\n' for k, p in ((2, "192.0.2.0/24"), (1, ROUTED)))
subprocess.run(["ip", "netns", "exec", "internet", "nft", "-f", "-"], input=f"table inet provider {{ chain c {{ type filter hook prerouting priority -300;\n{rules}}}\n}}\n", text=True, check=True)


def foreign():
    return sum(int(x) for x in re.findall(r"packets (\d+)", subprocess.run(["ip", "netns", "exec", "internet", "nft", "list", "table", "inet", "provider"], capture_output=True, text=True, check=True).stdout))


def who(a, ns="/run/netns/internet"):
    return inns(ns, f"curl -s -m 1 http://{a}/").strip()


ok(wait(lambda: {n["name"]: n["pools"] for n in call("GET", "/netd/nodes")[1]["value"]} == {"node1": [LINK], "node2": [ROUTED]}), "each pool is at its node", call("GET", "/netd/nodes")[1])
web = serve("/run/netns/internet", "192.0.2.1", "8000")
own, room = {}, {}
for name, node in (("one", 1), ("two", 2)):
    placed(lambda: call("PUT", CG + name, group(name)), f"node{node}")
    wait(lambda: state(CG + name) == "Succeeded")
    doc = call("GET", CG + name)[1]
    own[name], room[name] = doc["properties"]["ipAddress"]["ip"], doc["netd"]["namespace"]
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}})
subnet("v", "s", ["10.9.1.0/24"])
ip = {}
for name, node in (("a", 1), ("b", 2)):
    _, ip[name] = placed(lambda: member(name, "v", "s"), f"node{node}")
pub = public("p")
s, d, _ = call("PUT", LB + "lb", balancer("lb", {"f": "p"}, [pool(members=list(ip.values()))], [rule("lb", "http")], [probe()]))
ok(s in (200, 201) and wait(lambda: up("lb", "http") == 2, 15), "a frontend with a backend on each node", (s, d))
ok(all(x.startswith("192.0.2.") for x in (pub, *own.values())), "all are addresses of the link", (pub, own))
last = None
for i in range(8):  # the link's pool is full one day
    last = public(f"more{i}")
    if last.startswith("203."):
        break
ok(last.startswith("203."), "then the other pool's are given", last)
s, d, _ = call("PUT", LB + "lb2", balancer("lb2", {"f": f"more{i}"}, [pool(members=list(ip.values()))], [rule("lb2", "http")], [probe()]))
ok(s in (200, 201) and wait(lambda: up("lb2", "http") == 2, 15), "a frontend of the other pool", (s, d))
for a in (pub, last):
    c = collections.Counter(who(a) for _ in range(30))
    ok(set(c) == {"a", "b"}, f"both backends answer by {a}", c)
for name in own:
    ok(wait(lambda: who(own[name]) == name, 3), f"the group {name} is reached by its own address", who(own[name]))
    ok(ask(room[name], "192.0.2.1", 8000) == own[name] and "1 received" in inns(room[name], "ping -c1 -W1 192.0.2.1"), f"{name} leaves by its own address, and answers come back")
    for other in own:
        ok(who(own[other], room[name]) == other, f"{name} reaches {other} by its public address")
ok(foreign() == 0, "nothing left by the node that the address is not at", foreign())
web.kill()
t.end()
