#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers' hands in a VNet's router, one kind of object after the other: security rules, maps, sets,
counters, NAT gateways, routing tables and rules, peerings, gateways. Each is repaired; meanwhile
nothing passes that should not; all roles may die at any moment."""
import random, re, signal
from vnets import *

os.environ["NETD_LAB_REFUSES"] = "1"  # these strangers may be faster than repair
inside("gateway=dc1 * /run/netns/dc1")
rt = Runtime()
rng = random.Random(int(os.environ.get("SEED") or 1))
LONG = os.environ.get("LONG") == "1"
sh = lambda cmd: subprocess.run(["sh", "-c", cmd], capture_output=True, text=True).stdout
sh("ip netns add dc1; ip -n dc1 link set lo up; ip -n dc1 addr add 192.168.9.9/32 dev lo; ip netns exec dc1 sysctl -qw net.ipv4.ip_forward=1"
   "; ip link add name up1 netns dc1 type veth peer name up2 netns dc1; ip -n dc1 link set up1 up; ip -n dc1 link set up2 up; ip -n dc1 addr add 10.255.7.1/30 dev up1; ip -n dc1 route add 192.168.9.0/24 via 10.255.7.2")
call("PUT", RG, {"location": "westeurope"})
for v, n in (("a", 1), ("b", 2)):
    put(VNET + v, {"properties": {"addressSpace": {"addressPrefixes": [f"10.{n}.0.0/16", f"fd00:{v}::/48"]}}})
put(N + "publicIPAddresses/p", {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}})
put(N + "natGateways/nat", {"sku": {"name": "Standard"}, "properties": {"publicIpAddresses": [{"id": N + "publicIPAddresses/p"}]}})
put(N + "routeTables/rt", {"properties": {"routes": [{"name": "no", "properties": {"addressPrefix": "198.51.100.0/24", "nextHopType": "None"}}]}})
r = lambda name, prio, access, proto, ports, src: {"name": name, "properties": {"priority": prio, "direction": "Inbound", "access": access, "protocol": proto, "sourceAddressPrefixes": src, "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRanges": ports}}
put(N + "networkSecurityGroups/n", {"properties": {"securityRules": [r("web", 100, "Allow", "Tcp", ["80"], ["10.1.2.0/24", "10.2.0.0/16", "192.168.0.0/16"]), r("no", 200, "Deny", "*", ["0-65535"], ["10.0.0.0/8", "192.0.0.0/8"])]}})
nsg, nat = {"id": N + "networkSecurityGroups/n"}, {"id": N + "natGateways/nat"}
subnet("a", "one", ["10.1.1.0/24", "fd00:a:0:1::/64"], networkSecurityGroup=nsg, natGateway=nat)
subnet("a", "two", ["10.1.2.0/24"], routeTable={"id": N + "routeTables/rt"})
subnet("b", "one", ["10.2.1.0/24"])
put(VNET + "a/subnets/GatewaySubnet", {"properties": {"addressPrefix": "10.1.255.0/27"}})
for x, y in ("ab", "ba"):
    put(VNET + x + "/virtualNetworkPeerings/p", {"properties": {"remoteVirtualNetwork": {"id": VNET + y}}})
put(N + "virtualNetworkGateways/gw", {"properties": {"gatewayType": "ExpressRoute", "ipConfigurations": [{"name": "d", "properties": {"subnet": {"id": VNET + "a/subnets/GatewaySubnet"}}}]}})
put(N + "connections/line", {"properties": {"connectionType": "ExpressRoute", "virtualNetworkGateway1": {"id": N + "virtualNetworkGateways/gw"}, "peer": {"id": N + "expressRouteCircuits/dc1"}}})
A, a = member("a1", "a", "one")
B, b = member("a2", "a", "two")
C, c = member("b1", "b", "one")
far = serve("/run/netns/internet", "192.0.2.1")
servers = [serve(A, a, "80,81"), serve(C, c)]
pip = call("GET", N + "publicIPAddresses/p")[1]["properties"]["ipAddress"]
run = NS + "/"
router = next(run + n for n in namespaces() if n[0] == "v" and "10.1.1.1" in inns(run + n, "ip -o addr"))
# all that stands there, without what counts or moves by itself
STILL = "nft list ruleset; ip -o link; ip -o addr; ip route show table all; ip -6 route show table all; ip rule; ip -6 rule; ip neigh show nud permanent; ip -6 neigh show nud permanent; bridge fdb"


def whole():
    text = re.sub(r"packets \d+ bytes \d+|expires \S+|iif \S+ \[detached\]|qlen \d+|handle \d+", "", inns(router, STILL))
    return sorted(l.strip() for l in text.splitlines() if not re.match(r"\s*elements = .*(limit rate|timeout)|^(ff00|fe80|multicast|anycast|local|3276[67]:)", l.strip()) and "limit rate" not in l and "expires" not in l)


def differs():
    now = whole()
    return [l for l in now if l not in before][:6], [l for l in before if l not in now][:6]


checks = [(lambda: ask(B, a), b, "an allowed flow"), (lambda: ask(C, a), c, "the peering"), (lambda: ask(A, "192.0.2.1"), pip, "the NAT gateway"), (lambda: ask("/run/netns/dc1", a) != "timeout", True, "the gateway")]
still = lambda: all(f() == want for f, want, _ in checks)
ok(wait(still, 15), "all ways are open", [(f(), w, x) for f, w, x in checks])
ok(ask(B, a, 81, timeout=0.5) == "timeout" and "198.51.100.0/24" in inns(router, "ip route show table all"), "what is denied is")
before = whole()
text = inns(router, "nft list ruleset")
name = lambda kind, begins: re.findall(rf"^\s*{kind} ({begins}\w*) ", text, re.M)
leaves, maps, sets = name("chain", "L"), name("map", "N"), name("set", "N")
tables = sorted(set(re.findall(r"table (1\d\d\d+|21\d+)", inns(router, "ip route show table all"))))
links = lambda kind: re.findall(rf"^\d+: ({kind}\d+)", inns(router, "ip -o link"), re.M)
hands = [("all rulesets", "nft flush ruleset"), ("the inet table", "nft delete table inet netd"), ("the guard", "nft delete table bridge netd"), ("the chain of all rules", "nft flush chain inet netd nsg"),
         ("a chain's policy", "nft 'add chain inet netd nsg { policy accept; }'"), ("what drops", "nft flush chain inet netd deniedin; nft flush chain inet netd dropin")]
hands += [("leaf " + l, f"nft flush chain inet netd {l}") for l in rng.sample(leaves, min(len(leaves), 99 if LONG else 4))]
hands += [("map " + m, f"nft flush map inet netd {m}") for m in rng.sample(maps, min(len(maps), 99 if LONG else 3))]
hands += [("set " + s, f"nft flush set inet netd {s}") for s in sets[:3]]
hands += [("map " + m, f"nft flush map inet netd {m}") for m in ("out", "in4", "from", "natout4")] + [("set vtag4", "nft flush set inet netd vtag4"), ("set drops4", "nft flush set inet netd drops4")]
hands += [("a rule of a stranger's", "nft insert rule inet netd nsg accept"), ("an element of a stranger's", "nft add element bridge netd port4 '{ \"p1\" . 02:00:00:00:00:01 . 10.1.1.99 }'")]
hands += [(f"routing table {x}", f"ip route flush table {x}") for x in tables] + [("all routing rules", "ip rule flush"), ("all IPv6 routing rules", "ip -6 rule flush"), ("a routing rule of a stranger's", "ip rule add pref 1 lookup main")]
hands += [("the main table", "ip route flush table main"), ("neighbours", "ip neigh flush nud permanent"), ("forwarding entries", "for p in $(ls /sys/class/net | grep ^p); do bridge fdb show dev $p | grep -v permanent | awk '{print $1}' | while read m; do bridge fdb del $m dev $p master static; done; done")]
hands += [("the peering's link", "ip link del " + links("x")[0]), ("the gateway's link", "ip link del " + links("y")[0]), ("the way out", "ip link del gw0"), ("a bridge", "ip link del " + links("br")[0]), ("a group's port", "ip link del " + links("p")[0]), ("a bridge that is down", "ip link set " + links("br")[0] + " down"),
          ("a bridge's address", "ip addr flush dev " + links("br")[0]), ("a port that is not isolated", "bridge link set dev " + links("p")[0] + " isolated off")]
if not LONG:
    hands = hands[:6] + rng.sample(hands[6:], 16)
for what, cmd in hands:
    inns(router, cmd)
    denied = [ask(B, a, 81, timeout=0.15) for _ in range(2)]
    good = wait(lambda: whole() == before, 8) and wait(still, 8)
    open_ = what.startswith("set ") or what.startswith("map ")  # a part of the rules is not there for as long as it takes
    ok(good and (open_ or denied == ["timeout"] * 2), f"{what}: repaired" + ("" if open_ else ", and closed meanwhile"), (denied, [(f(), w, x) for f, w, x in checks], differs()))
# the roles die under it, and strangers meddle while they are away
for role in ("engine", "control"):
    os.kill(role_pid(role), signal.SIGKILL)
    for what, cmd in rng.sample(hands, 5):
        inns(router, cmd)
    ok(wait(lambda: whole() == before, 15) and wait(still, 10) and ask(B, a, 81, timeout=0.3) == "timeout", f"{role} killed, five hands meanwhile: all as it was", differs())
os.kill(int(open(os.environ["NETD_LAB"] + "/netd.pid").read()), signal.SIGKILL)
inns(router, "nft flush ruleset; ip rule flush")
ok(ask(B, a, 81, timeout=0.3) == "timeout", "all of netd killed and all rules gone: closed")
ok(wait(lambda: call("GET", "/readyz")[0] == 200 and whole() == before, 20) and wait(still, 10), "and as it was when it is back", differs())
for p in (*servers, far):
    p.kill()
call("DELETE", RG)
ok(wait(lambda: namespaces() == [], 20), "all of it goes", namespaces())
t.end()
