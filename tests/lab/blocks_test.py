#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of addresses that nodes hold in a subnet: groups of a node have addresses of its own, others are told of a block rather than of each group; what is
elsewhere in a block, a group that moved or asked for it, a frontend inside the VNet, is reached and judged all the same."""
import ipaddress, re, signal
from balancers import *

inside("limit-requests=0", "rest=1", "pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64", nodes=3)
LAB = os.environ["NETD_LAB"]
NODES = (1, 2, 3)
call("PUT", RG, {"location": "westeurope"})
rts = {k: Servers(node=k) for k in NODES}
ns, ip, ip6, at = {}, {}, {}, {}


def page_of(x, a, more=""):
    a = f"[{a}]" if ":" in a else a
    return inns(ns[x], f"curl -s -m 1 {more} http://{a}/").strip()


def make(name, node, want=None):
    def put_it():
        g = group(name, ports=(80,))
        g["properties"].update(ipAddress={"type": "Private", "ports": [{"port": 80}], **({"ip": want} if want else {})}, subnetIds=[{"id": VNET + "v/subnets/s"}])
        put(CG + name, g)
        return wait(lambda: state(CG + name) == "Succeeded")
    ok(placed(put_it, f"node{node}"), f"{name} is on node{node}")
    found(name)


def found(name):
    d = call("GET", CG + name)[1]
    ns[name], ip[name], at[name] = d["netd"]["namespace"], d["netd"]["address"], int(d["netd"]["node"][-1])
    wait(lambda: (CG + name).lower() in rts[at[name]].groups)
    ip6[name] = next(a for a in rts[at[name]].groups[(CG + name).lower()]["addresses"] if ":" in a)


def gone(name):
    call("DELETE", CG + name)
    return wait(lambda: call("GET", CG + name)[0] == 404)


def router(node):
    d = f"{LAB}/node{node}/run/ns/"
    return d + min((f for f in os.listdir(d) if f.startswith("v")), key=lambda f: int(f[1:]))


def block(a):
    return ipaddress.ip_network(f"{a}/{124 if ':' in a else 28}", strict=False)


def routes(node):
    """Of the subnet, that lead to other nodes there, or (no device) nowhere: prefix and device."""
    out = {}
    for family in ("", "-6"):
        for l in inns(router(node), f"ip {family} route show table main").splitlines():
            w = l.split()
            p = w[1] if w[0] == "unreachable" else w[0]
            if p != "default" and (w[0] == "unreachable" or " dev vx" in l):
                out[str(ipaddress.ip_network(p))] = "" if w[0] == "unreachable" else "vx"
    return {p: d for p, d in out.items() if p.startswith(("10.9.1.", "fd00:9:0:1:")) and not p.endswith(("/24", "/64"))}  # the home's own for all else


def remote(node):
    text = inns(router(node), "for s in remote4 remote6 held4 held6; do nft list set inet netd $s; done")
    return set(re.findall(r"(?:10\.9\.1|fd00:9:0:1:)[0-9a-f:.]*[0-9a-f:](?:[/-][0-9a-f:./]+)?", text))


def all_reach(what, names=None):
    names = names or list(ns)
    bad = [(x, y) for x in names for y in names if x != y and not (wait(lambda: page_of(x, ip[y]) == y, 2) and page_of(x, ip6[y]) == y)]
    ok(not bad, f"{what}: all reach all", bad)


engine = lambda: [l for l in subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout.split("\n") if "netd_engine_repairs_total" in l or "netd_engine_failures_total" in l]
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16", "fd00:9::/48"]}}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"])
for name, node in (("b1", 2), ("a1", 1), ("c1", 3), ("b2", 2), ("c2", 3), ("a2", 1)):
    make(name, node)
was = engine()
ok(len({block(ip[x]) for x in "a1 b1 c1".split()}) == 3 and all(block(ip[x + "1"]) == block(ip[x + "2"]) and block(ip6[x + "1"]) == block(ip6[x + "2"]) for x in "abc"), "each node's groups have addresses of its own block", ip)
for k, x in ((1, "a"), (2, "b"), (3, "c")):
    want = {str(block(v[y + "1"])): "" if y == x else "vx" for v in (ip, ip6) for y in "abc"}
    ok(wait(lambda: routes(k) == want, 3), f"node{k} has a route a block, and its own lead nowhere else", (want, routes(k)))
    ok(remote(k) == {p for p, d in want.items() if d}, f"and knows that they are remote", remote(k))
all_reach("by blocks")
ok(ask(ns["a1"], str(block(ip["c1"])[9])) in ("No route to host", "Dest") or "unreach" in ask(ns["a1"], str(block(ip["c1"])[9])).lower(), "an address of a block that nobody has is unreachable at once", ask(ns["a1"], str(block(ip["c1"])[9])))
ok(ask(ns["c1"], str(block(ip["c1"])[9])).startswith(("No route", "Dest")), "also from its own node", ask(ns["c1"], str(block(ip["c1"])[9])))

# ---- groups come and go, and others are not told
told = [subprocess.Popen(["nsenter", "--net=" + router(k), "timeout", "60", "ip", "monitor", "route"], stdout=subprocess.PIPE, text=True) for k in (1, 3)]
sets = [subprocess.Popen(["nsenter", "--net=" + router(k), "timeout", "60", "nft", "monitor"], stdout=subprocess.PIPE, text=True) for k in (3,)]
time.sleep(0.5)
for i in range(3, 7):
    make(f"b{i}", 2)
ok(wait(lambda: page_of("a1", ip["b6"]) == "b6" and page_of("c1", ip6["b6"]) == "b6", 3), "new groups of a block are reached")
gone("b6")
ok(wait(lambda: page_of("a1", ip["b6"]) == "", 3), "and are no more when they have gone")
del ns["b6"]
for p in told + sets:
    p.terminate()
heard = [l for p in told + sets for l in p.communicate()[0].splitlines() if re.search(r"10\.9\.1\.|fd00:9:0:1:", l)]
ok(not heard, "other nodes' routers hear of none of them", heard[:5])
for i in range(6, 15):
    make(f"b{i}", 2)
second = {block(ip[f"b{i}"]) for i in range(1, 15)} - {block(ip["b1"])}
ok(len(second) == 1 and wait(lambda: str(next(iter(second))) in routes(1), 3), "when a block is full, the node has another", (second, routes(1)))
all_reach("two blocks", ["a1", "b1", "b14", "c1"])

# ---- a group elsewhere in a block, by its wish
want = str(block(ip["c1"])[12])
make("far", 1, want)
ok(ip["far"] == want, "a group has the address it asked for, of another node's block", ip["far"])
ok(wait(lambda: routes(3).get(f"{want}/32") == "vx" and routes(2).get(f"{want}/32") == "vx", 3), "nodes have a way to it", (routes(2), routes(3)))
ok(want in remote(3) and not any(ipaddress.ip_address(want) in ipaddress.ip_network(p, strict=False) for p in remote(1) if "-" not in p and ":" not in p), "its own node does not take it for remote", remote(1))
all_reach("one is elsewhere", ["a1", "b1", "c1", "c2", "far"])
sec = lambda name, prio, access, **more: {"name": name, "properties": {"priority": prio, "direction": "Inbound", "access": access, "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*", **more}}
put(N + "networkSecurityGroups/n", {"properties": {"securityRules": [sec("no", 100, "Deny", destinationAddressPrefix=want)]}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"], networkSecurityGroup={"id": N + "networkSecurityGroups/n"})
ok(wait(lambda: [page_of(x, want) for x in ("a1", "b1", "c1")] == [""] * 3, 3) and page_of("b1", ip["a1"]) == "a1", "security rules judge what comes to it, from its own node and from others", [page_of(x, want) for x in ("a1", "b1", "c1")])
put(N + "networkSecurityGroups/n", {"properties": {"securityRules": []}})
ok(wait(lambda: [page_of(x, want) for x in ("a1", "b1", "c1")] == ["far"] * 3, 3), "or let it in")

# ---- a frontend inside the VNet, at an address of a block
vip = str(block(ip["b1"])[15])
d = balancer("in", {}, [pool(members=[ip["a1"], ip["c1"]])], [rule("in", "http", front="f")], [probe()])
d["properties"]["frontendIPConfigurations"] = [{"name": "f", "properties": {"privateIPAddress": vip, "privateIPAllocationMethod": "Static", "subnet": {"id": VNET + "v/subnets/s"}}}]
s, got, _ = call("PUT", LB + "in", d)
if s == 400 or vip in ip.values():  # taken: another of the block
    vip = str(next(a for a in block(ip["c1"]).hosts() if str(a) not in ip.values() and int(a) % 16 > 13))
    d["properties"]["frontendIPConfigurations"][0]["properties"]["privateIPAddress"] = vip
    s, got, _ = call("PUT", LB + "in", d)
ok(s in (200, 201) and wait(lambda: up("in", "http") == 2, 15), "a frontend inside the VNet, in a node's block", (s, got))
for x in ("a1", "b1", "c1"):
    ok(wait(lambda: {page_of(x, vip) for _ in range(12)} == {"a1", "c1"}, 3), f"{x} reaches it", [page_of(x, vip) for _ in range(6)])
ok(not any(ipaddress.ip_address(vip) in ipaddress.ip_network(p) for k in NODES for p in routes(k) if ":" not in p), "no block leads there", [routes(k) for k in NODES])
call("DELETE", LB + "in")
ok(wait(lambda: all(any(ipaddress.ip_address(vip) in ipaddress.ip_network(p) for p in routes(k) if ":" not in p) for k in NODES), 5), "when it goes, its address is the block's again", [routes(k) for k in NODES])

# ---- nothing was ever refused by a kernel, nor repaired
ok(engine() == was and len(was) == 6, "no engine refused or repaired anything", (was, engine()))

# ---- control begins anew
before = [(routes(k), remote(k)) for k in NODES]
os.kill(role_pid("control"), signal.SIGKILL)
ok(wait(lambda: call("GET", "/netd/nodes")[0] == 200 and all(n["state"] == "Ready" for n in call("GET", "/netd/nodes")[1]["value"]), 20), "control begins anew")
time.sleep(2)
all_reach("after that", ["a1", "b1", "b14", "c1", "far"])
after = [(routes(k), remote(k)) for k in NODES]
ok(before == after, "and blocks are whose they were", (before, after))
make("b20", 2)
ok(block(ip["b20"]) in {block(ip[f"b{i}"]) for i in range(1, 15)}, "new groups have addresses of them", ip["b20"])

# ---- groups that go to another node keep their addresses
call("POST", "/netd/nodes/node3/drain")
ok(wait(lambda: all(call("GET", CG + x)[1]["netd"]["node"] != "node3" and state(CG + x) == "Succeeded" for x in ("c1", "c2")), 20), "a drained node's groups go to others")
old = {x: ip[x] for x in ("c1", "c2")}
for x in ("c1", "c2"):
    found(x)
ok({x: ip[x] for x in ("c1", "c2")} == old, "with their addresses", (old, ip["c1"], ip["c2"]))
all_reach("moved", ["a1", "b1", "b14", "c1", "c2", "far"])
call("POST", "/netd/nodes/node3/uncordon")
make("c9", 3)
all_reach("and new ones there", ["a1", "b1", "c1", "c2", "c9", "far"])
after = engine()
time.sleep(3)
ok(engine() == after, "no engine finds anything to repair", (after, engine()))
ok(not any(int(l.rsplit(" ", 1)[1]) for l in after if "failures" in l), "and none ever refused anything", after)
t.end()
