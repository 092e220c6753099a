#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Providers that drop sources which they do not route to that node: with `return = mux` and pools at nodes, all that has an address of a pool leaves by the node that
the pool is at, whichever node its group is on; and by the next one when that is drained or lost."""
import collections, re, signal, tempfile
from balancers import *

POOLS = ("203.0.113.0/24", "2001:db8:1::/64")
inside("limit-requests=0", "return=mux", *[f"pool=routed {p} at node2,node3" for p in POOLS], nodes=3, uplinks=True)
LAB = os.environ["NETD_LAB"]
NODES = (1, 2, 3)
call("PUT", RG, {"location": "westeurope"})
rts = {k: Servers(node=k) for k in NODES}


def hop(node, six):
    return ("2001:db8::2" if six else "192.0.2.2") if node == 1 else f"2001:db8:88{node}::2" if six else f"192.88.{node}.2"


def at(node):
    """The provider routes the pools there, and takes their addresses as sources from there alone."""
    for p in POOLS:
        subprocess.run(["ip", "-n", "internet", *(["-6"] if ":" in p else []), "route", "replace", p, "via", hop(node, ":" in p)], check=True)
    rules = "".join(f'iifname "net{k}" {"ip6" if ":" in p else "ip"} saddr {p} counter drop\n' for k in NODES if k != node for p in POOLS)
    subprocess.run(["ip", "netns", "exec", "internet", "nft", "-f", "-"], input=f"table inet provider\ndelete table inet provider\ntable inet provider {{ chain c {{ type filter hook prerouting priority -300;\n{rules}}}\n}}\n", text=True, check=True)


def foreign():
    """Packets that the provider has dropped since it was told where the pools are."""
    return sum(int(x) for x in re.findall(r"packets (\d+)", subprocess.run(["ip", "netns", "exec", "internet", "nft", "list", "table", "inet", "provider"], capture_output=True, text=True, check=True).stdout))


def who(a, port=80, ns="/run/netns/internet", more=""):
    a = f"[{a}]" if ":" in a else a
    return inns(ns, f"curl -s -m 1 {more} http://{a}:{port}/").strip()


def announced(node):
    """Pools that the host's namespace there has a route to, which is what BGP announces."""
    return {p for p in POOLS if inns(f"/run/netns/node{node}", f"ip {'-6' if ':' in p else ''} route show {p}").strip()}


def pools_of():
    return {n["name"]: set(n.get("pools", [])) for n in call("GET", "/netd/nodes")[1]["value"]}


at(2)
ok(wait(lambda: pools_of() == {"node1": set(), "node2": set(POOLS), "node3": set()}, 10), "the pools are at the first node that they are said to be at", pools_of())
ok(wait(lambda: [announced(k) for k in NODES] == [set(), set(POOLS), set()], 5), "and are announced there alone", [announced(k) for k in NODES])
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16", "fd00:9::/48"]}}})
put(N + "publicIPAddresses/nat", {"location": "w", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}})
put(N + "natGateways/g", {"location": "w", "sku": {"name": "Standard"}, "properties": {"publicIpAddresses": [{"id": N + "publicIPAddresses/nat"}]}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"])
subnet("v", "n", ["10.9.2.0/24"], natGateway={"id": N + "natGateways/g"})
ns, ip, ip6 = {}, {}, {}
for name, node, sub in (("b", 2, "s"), ("a", 1, "s"), ("c", 3, "s"), ("na", 1, "n"), ("nc", 3, "n")):  # node2 is the home
    ns[name], ip[name] = placed(lambda: member(name, "v", sub), f"node{node}")
    ip6[name] = next((x for x in rts[node].groups[(CG + name).lower()]["addresses"] if ":" in x), "")
pub, nat = public("p"), call("GET", N + "publicIPAddresses/nat")[1]["properties"]["ipAddress"]
put(N + "publicIPAddresses/p6", {"location": "w", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv6"}})
pub6 = call("GET", N + "publicIPAddresses/p6")[1]["properties"]["ipAddress"]
d = balancer("lb", {"f": "p", "f6": "p6"}, [pool(members=[ip[m] for m in "bac"]), pool("b6", members=[ip6[m] for m in "bac"])],
             [rule("lb", "http"), rule("lb", "udp", proto="Udp", probe=None), rule("lb", "six", front="f6", pool="b6")], [probe()])
d["properties"]["frontendIPConfigurations"][1]["properties"]["privateIPAddressVersion"] = "IPv6"
s, got, _ = call("PUT", LB + "lb", d)
ok(s in (200, 201) and wait(lambda: up("lb", "http") == 3, 15), "a frontend with a backend on each node", (s, got))
own, room = {}, {}
for k in (3, 1, 2):
    placed(lambda: call("PUT", CG + f"own{k}", group(f"own{k}")), f"node{k}")
    wait(lambda: state(CG + f"own{k}") == "Succeeded")
    doc = call("GET", CG + f"own{k}")[1]
    own[k], room[k] = doc["properties"]["ipAddress"]["ip"], doc["netd"]["namespace"]
web = serve("/run/netns/internet", "192.0.2.1", "8000")


def all_is_well(when, backends=("a", "b", "c"), nodes=NODES):
    for a in (pub, pub6):
        c = collections.Counter(who(a) for _ in range(40))
        ok(set(c) >= set(backends) and "" not in c, f"{when}: all backends answer by {a}", c)
    for k in nodes:
        ok(wait(lambda: who(own[k]) == f"own{k}", 3), f"{when}: the group on node{k} is reached by its own address", who(own[k]))
        ok(ask(room[k], "192.0.2.1", 8000) == own[k], f"{when}: it leaves by its own address, and answers come back", ask(room[k], "192.0.2.1", 8000))
        ok("1 received" in inns(room[k], "ping -c1 -W1 192.0.2.1"), f"{when}: also echo from node{k}")
        for j in nodes:
            ok(who(own[j], ns=room[k]) == f"own{j}", f"{when}: groups on node{k} reach public addresses on node{j}")
    for x in ("na", "nc"):
        if x == "nc" and 3 not in nodes:
            continue
        ok({ask(ns[x], "192.0.2.1", 8000) for _ in range(5)} == {nat}, f"{when}: {x} leaves by the NAT gateway")
    ok(foreign() == 0, f"{when}: nothing left by another node", foreign())


all_is_well("at node2")
got = []
for port in range(9):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.settimeout(1)
    u.connect((pub, 80))
    for _ in range(3):
        try:
            u.send(b"y" * 4000)
            got.append(len(u.recv(5000)))
            break
        except OSError:
            pass
ok(got == [4000] * 9 and foreign() == 0, "datagrams of 4,000 bytes come back from all backends", got)
for k in NODES:
    gone = inns(room[k], "curl -s -o /dev/null -m 1 http://203.0.113.250/; echo $?").strip()
    ok(gone in ("7", "28") and foreign() == 0, f"from node{k}, an address that nobody has stays inside", (gone, foreign()))

# ---- nothing to repair, and what is taken away is repaired, also what the shortcut knows
engine = lambda: [l for l in subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout.split("\n") if "netd_engine_repairs_total" in l or "netd_engine_failures_total" in l]
was = engine()
time.sleep(3)
ok(len(was) == 6 and engine() == was, "no engine finds anything to repair", (was, engine()))
gw1 = f"{LAB}/node1/run/ns/gw"
rules = lambda: inns(gw1, "ip rule show pref 71; ip -6 rule show pref 71; ip rule show pref 70; ip route show table all | grep -c throw")
before = rules()
for broken in ("ip rule del pref 71", "ip rule del pref 70", "ip route flush table 2131755010", "ip -6 rule del pref 71"):
    was = engine()
    inns(gw1, broken)
    ok(wait(lambda: engine() != was and rules() == before, 5), f"repaired: {broken}", (before, rules(), was, engine()))
ok(ask(room[1], "192.0.2.1", 8000) == own[1] and foreign() <= 2, "and leads by the node again", foreign())
at(2)

# ---- the node is drained, and back: flows go on
slow = lambda: [subprocess.Popen(["nsenter", "--net=/run/netns/internet", "curl", "-s", "-m", "20", "-o", "/dev/null", f"http://{f'[{x}]' if ':' in x else x}/slow"]) for x in (pub, own[1], own[3], pub, pub6)]
call("POST", "/netd/nodes/node3/cordon")  # what is on node2 finds no room, and stays
call("POST", "/netd/nodes/node1/cordon")
p = slow()
time.sleep(0.5)
call("POST", "/netd/nodes/node2/drain")
ok(wait(lambda: pools_of()["node3"] == set(POOLS) and announced(2) == set() and announced(3) == set(POOLS), 5), "a drained node hands its pools to the next", (pools_of(), [announced(k) for k in NODES]))
at(3)
all_is_well("at node3", backends=("a", "c"))
ok([x.wait() for x in p] == [0] * 5, "what was on the way goes on")
p = slow()
time.sleep(0.5)
for k in NODES:
    call("POST", f"/netd/nodes/node{k}/uncordon")
ok(wait(lambda: announced(2) == set(POOLS) and announced(3) == set(), 5), "and has them again", [announced(k) for k in NODES])
at(2)
ok(wait(lambda: up("lb", "http") == 3, 10), "its backend serves again")
all_is_well("back at node2")
ok([x.wait() for x in p] == [0] * 5, "and what was on the way goes on")

# ---- the node is lost
for x in [int(open(f"{LAB}/netd2.pid").read())] + [int(x) for x in os.listdir("/proc") if x.isdigit() and b"--role" in cmdline(x) and b"/node2.conf" in cmdline(x)]:
    os.kill(x, signal.SIGSTOP)
for dev in ("under0", "wan"):
    subprocess.run(["ip", "-n", "node2", "link", "set", "dev", dev, "down"], check=True)
begun = time.time()
ok(wait(lambda: announced(3) == set(POOLS), 12), "when the node is lost, the pools are at the next")
print(f"# lost to announced elsewhere: {time.time() - begun:.1f} s")
at(3)
ok(wait(lambda: who(own[1]) == "own1" and ask(room[1], "192.0.2.1", 8000) == own[1], 5), "a group elsewhere is reached by it, and leaves", who(own[1]))
ok(wait(lambda: {who(pub) for _ in range(12)} >= {"a", "c"} and "" not in {who(pub) for _ in range(12)}, 10), "frontends too")
ok(foreign() == 0, "nothing left by another node", foreign())

# ---- what a pool may say
for word, good in (("routed 203.0.113.0/24 at ", False), ("routed 203.0.113.0/24 at a,,b", False), ("onlink 192.0.2.64/26 at node1", False), ("routed 203.0.113.0/24 node1", False), (f"routed 203.0.113.0/24 at {'x' * 80}", False), ("routed  at node1", False)):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write(f"pool = {word}\n")
        f.flush()
        r = subprocess.run([os.environ["NETD_BUILD"] + "/netd", "--config", f.name], capture_output=True, text=True, timeout=10)
        ok(r.returncode != 0 and "routed PREFIX [at NODE,NODE...]" in r.stderr, f"refused: pool = {word[:40]}", (r.returncode, r.stderr))
web.kill()
t.end()
