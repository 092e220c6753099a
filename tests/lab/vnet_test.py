#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""VNets end to end: NAT gateway and the order of egress, routing tables and an appliance, peering,
the platform's address, link-local; with real TCP and UDP. And what their documents refuse."""
from vnets import *

inside()
rt = Runtime()


call("PUT", RG, {"location": "westeurope"})
put(VNET + "a", {"properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16", "fd00:a::/48"]}}})
put(VNET + "b", {"properties": {"addressSpace": {"addressPrefixes": ["10.2.0.0/16", "fd00:b::/48"]}}})
put(VNET + "c", {"properties": {"addressSpace": {"addressPrefixes": ["10.3.0.0/16"]}}})
subnet("a", "one", ["10.1.1.0/24", "fd00:a:0:1::/64"])
subnet("a", "two", ["10.1.2.0/24"])
subnet("b", "one", ["10.2.1.0/24", "fd00:b:0:1::/64"])
subnet("c", "one", ["10.3.1.0/24"])
a1, a1ip = member("a1", "a", "one")
a2, a2ip = member("a2", "a", "two")
b1, b1ip = member("b1", "b", "one")
c1, c1ip = member("c1", "c", "one")
far = serve("/run/netns/internet", "192.0.2.1", "80,81")
servers = [serve(ns, ip) for ns, ip in ((a1, a1ip), (a2, a2ip), (b1, b1ip), (c1, c1ip))]
router = lambda g: "/".join(g.split("/")[:-1]) + "/v" + str(call("GET", "/metrics") and 0)
vnets = [NS + "/" + x for x in namespaces() if x[0] == "v"]

# ---- egress ----
shared = ask(a1, "192.0.2.1")
ok(shared.startswith("192.0.2.") or shared.startswith("203.0.113."), "without a NAT gateway a group leaves by the platform's address", shared)
for i in range(2):
    put(N + f"publicIPAddresses/nat{i}", {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}})
pips = [call("GET", N + f"publicIPAddresses/nat{i}")[1]["properties"]["ipAddress"] for i in range(2)]
put(N + "natGateways/out", {"sku": {"name": "Standard"}, "properties": {"publicIpAddresses": [{"id": N + "publicIPAddresses/nat0"}], "idleTimeoutInMinutes": 4}})
subnet("a", "one", ["10.1.1.0/24", "fd00:a:0:1::/64"], natGateway={"id": N + "natGateways/out"})
ok(ask(a1, "192.0.2.1") == pips[0] and ask(a1, "192.0.2.1", proto="udp") == pips[0], "with one it leaves by the NAT gateway's", (ask(a1, "192.0.2.1"), pips))
ok(ask(a2, "192.0.2.1") == shared, "another subnet is not touched", ask(a2, "192.0.2.1"))
put(N + "natGateways/out", {"sku": {"name": "Standard"}, "properties": {"publicIpAddresses": [{"id": N + f"publicIPAddresses/nat{i}"} for i in range(2)]}})
subnet("a", "two", ["10.1.2.0/24"], natGateway={"id": N + "natGateways/out"})
inns("/run/netns/internet", "for i in $(seq 2 40); do ip addr add 192.0.2.$((i + 200))/32 dev net1; done")
more = serve("/run/netns/internet", ",".join(f"192.0.2.{i + 200}" for i in range(2, 40)))
seen = {ask(g, f"192.0.2.{i + 200}") for g in (a1, a2) for i in range(2, 12)}
ok(seen == set(pips), "flows are shared out over its addresses", seen)
ok(ask("/run/netns/internet", pips[0], timeout=0.5) == "timeout", "nobody comes in by it")
why = lambda to: call("POST", "/netd/trace", {"source": "192.0.2.1", "destination": to, "protocol": "TCP", "port": 80})[1]
ok(not why(pips[0])["passes"] and "NAT gateway out" in why(pips[0])["where"], "and trace says why", why(pips[0]))
probe = "from scapy.all import *\nconf.verb=0\nr=sr1(IP(dst='%s')/TCP(sport=5000,dport=4444,flags='A',seq=1,ack=77),timeout=2,iface='net1')\nprint(r and r[TCP].flags)" % pips[0]
idle = lambda: any("t600v4" in x and ("10m" in x or "600" in x) for x in (inns(v, "nft list ruleset") for v in vnets))
ok(not idle(), "an idle connection has four minutes")
put(N + "natGateways/out", {"sku": {"name": "Standard"}, "properties": {"publicIpAddresses": [{"id": N + f"publicIPAddresses/nat{i}"} for i in range(2)], "idleTimeoutInMinutes": 10}})
ok(idle() and ask(a1, "192.0.2.1") in pips, "or as many as are asked for")
ok("R" in inns("/run/netns/internet", f"{sys.executable} -c \"{probe}\""), "a segment of a flow it does not know is answered with RST")
doc = call("GET", N + "natGateways/out")[1]
ok([x["id"].rsplit("/", 1)[1] for x in doc["properties"]["subnets"]] == ["one", "two"] and call("GET", N + "publicIPAddresses/nat0")[1]["properties"]["natGateway"]["id"] == doc["id"], "GET tells who uses what", doc)
refused(N + "natGateways/other", {"properties": {"publicIpAddresses": [{"id": N + "publicIPAddresses/nat0"}]}}, "PublicIPAddressInUse", "an address serves one NAT gateway")
refused(VNET + "b/subnets/one", {"properties": {"addressPrefixes": ["10.2.1.0/24", "fd00:b:0:1::/64"], "delegations": ACI, "natGateway": {"id": N + "natGateways/out"}}}, "NatGatewayCannotBeUsedBySubnetsBelongingToDifferentVirtualNetworks", "it serves one VNet")
put(N + "publicIPAddresses/basic", {"sku": {"name": "Basic"}})
put(N + "publicIPAddresses/idle", {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}})
idle_ip = call("GET", N + "publicIPAddresses/idle")[1]["properties"]["ipAddress"]
ok(ask("/run/netns/internet", idle_ip, timeout=0.5) in ("timeout", "No route to host") and "closed: nothing uses it" in why(idle_ip)["where"], "a Standard address that nothing uses is closed, and trace says so", (ask("/run/netns/internet", idle_ip, timeout=0.5), why(idle_ip)))
refused(N + "natGateways/other", {"properties": {"publicIpAddresses": [{"id": N + "publicIPAddresses/basic"}]}}, "NatGatewayBasicSkuNotSupported", "and a Standard one")
s, doc, _ = call("DELETE", N + "natGateways/out")
ok(s == 400 and doc["error"]["code"] == "InUseNatGatewayCannotBeDeleted", "a NAT gateway in use stays", doc)
s, doc, _ = call("DELETE", N + "publicIPAddresses/nat0")
ok(s == 400 and doc["error"]["code"] == "PublicIPAddressCannotBeDeleted", "and its address", doc)
subnet("a", "two", ["10.1.2.0/24"], defaultOutboundAccess=False)
ok(ask(a2, "192.0.2.1", timeout=0.5) == "timeout", "without default outbound access nothing leaves")
subnet("a", "two", ["10.1.2.0/24"])
ok(ask(a2, "192.0.2.1") == shared, "and with it again", ask(a2, "192.0.2.1"))

# ---- routes ----
put(N + "routeTables/rt", {"properties": {"routes": [{"name": "no", "properties": {"addressPrefix": "192.0.2.210/32", "nextHopType": "None"}}]}})
subnet("a", "two", ["10.1.2.0/24"], routeTable={"id": N + "routeTables/rt"})
ok(ask(a2, "192.0.2.210", timeout=0.5) == "timeout" and ask(a2, "192.0.2.211") == shared and ask(a2, a1ip) == a2ip, "a route to None drops what it covers, and nothing else", (ask(a2, "192.0.2.211"), ask(a2, a1ip)))
ok(ask(a1, "192.0.2.210") in pips, "and only for its subnets")
nva, nvaip = member("nva", "a", "one", enableIPForwarding=True)
inns(nva, "sysctl -qw net.ipv4.ip_forward=1; nft 'table ip t { chain c { type nat hook postrouting priority 100; oifname eth0 ip daddr != 10.0.0.0/8 masquerade; }; chain f { type filter hook forward priority 0; counter; }; }'")
put(N + "routeTables/rt/routes/all", {"properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": nvaip}})
ok(ask(a2, "192.0.2.1") in pips, "0.0.0.0/0 by an appliance: the appliance translates, and leaves by its subnet's NAT gateway", ask(a2, "192.0.2.1"))
passed = inns(nva, "nft list chain ip t f")
ok("packets 0 " not in passed, "through the appliance", passed)
ok(ask(a2, a1ip) == a2ip, "the VNet's own prefixes are longer", ask(a2, a1ip))
put(N + "routeTables/rt/routes/near", {"properties": {"addressPrefix": "10.1.1.0/24", "nextHopType": "VirtualAppliance", "nextHopIpAddress": nvaip}})
before = int(inns(nva, "nft list chain ip t f | grep -o 'packets [0-9]*' | cut -d' ' -f2"))
ok(ask(a2, a1ip) == a2ip, "a longer route of the user's takes a subnet through it, source kept", ask(a2, a1ip))
ok(int(inns(nva, "nft list chain ip t f | grep -o 'packets [0-9]*' | cut -d' ' -f2")) > before, "through the appliance too")
call("DELETE", N + "routeTables/rt/routes/near")
put(N + "routeTables/rt/routes/all", {"properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.1.1.99"}})
ok(ask(a2, "192.0.2.1", timeout=0.5) == "timeout", "an appliance that is not there takes nothing on")
call("DELETE", N + "routeTables/rt/routes/all")
ok(ask(a2, "192.0.2.1") == shared, "without the route the platform's way is back", ask(a2, "192.0.2.1"))
refused(N + "routeTables/rt2", {"properties": {"routes": [{"name": "x", "properties": {"addressPrefix": "10.0.0.0/8", "nextHopType": "VirtualAppliance"}}]}}, "RouteNextHopIpAddress", "an appliance has an address")
refused(N + "routeTables/rt2", {"properties": {"routes": [{"name": n, "properties": {"addressPrefix": "10.0.0.0/8", "nextHopType": "None"}} for n in "xy"]}}, "RouteConflict", "a prefix has one route")
refused(N + "routeTables/rt2", {"properties": {"routes": [{"name": "x", "properties": {"addressPrefix": "10.0.0.1/8", "nextHopType": "None"}}]}}, "InvalidAddressPrefixFormat", "a prefix has no host bits")
s, doc, _ = call("DELETE", N + "routeTables/rt")
ok(s == 400 and doc["error"]["code"] == "InUseRouteTableCannotBeDeleted", "a table in use stays", doc)

# ---- peering ----
peering = lambda to, **p: {"properties": {"remoteVirtualNetwork": {"id": VNET + to}, **p}}
P = "/virtualNetworkPeerings/"
state = lambda v, n: call("GET", VNET + v + P + n)[1]["properties"]["peeringState"]
ok(ask(a1, b1ip, timeout=0.5) not in (a1ip,), "VNets do not reach each other by themselves", ask(a1, b1ip, timeout=0.5))
put(VNET + "a" + P + "to-b", peering("b"))
ok(state("a", "to-b") == "Initiated" and ask(a1, b1ip, timeout=0.5) != a1ip, "one side is not enough", state("a", "to-b"))
put(VNET + "b" + P + "to-a", peering("a"))
ok(state("a", "to-b") == "Connected" == state("b", "to-a"), "both sides: connected")
ok(ask(a1, b1ip) == a1ip and ask(b1, a2ip) == b1ip and ask(a2, b1ip, proto="udp") == "Connection refused" or ask(a1, b1ip) == a1ip, "groups reach each other, source kept", (ask(a1, b1ip), ask(b1, a2ip)))
put(VNET + "b" + P + "to-c", peering("c"))
put(VNET + "c" + P + "to-b", peering("b"))
ok(ask(b1, c1ip) == b1ip and ask(a1, c1ip, timeout=0.5) not in (a1ip, b1ip), "it is not transitive", ask(a1, c1ip, timeout=0.5))
# by a route to an appliance in the middle it is
hub, hubip = member("hub", "b", "one", enableIPForwarding=True)
inns(hub, "sysctl -qw net.ipv4.ip_forward=1")
for v, far_ in (("a", "10.3.0.0/16"), ("c", "10.1.0.0/16")):
    put(N + f"routeTables/spoke-{v}", {"properties": {"routes": [{"name": "hub", "properties": {"addressPrefix": far_, "nextHopType": "VirtualAppliance", "nextHopIpAddress": hubip}}]}})
subnet("a", "two", ["10.1.2.0/24"], routeTable={"id": N + "routeTables/spoke-a"})
subnet("c", "one", ["10.3.1.0/24"], routeTable={"id": N + "routeTables/spoke-c"})
ok(ask(a2, c1ip, timeout=0.5) != a2ip, "what an appliance forwards needs allowForwardedTraffic", ask(a2, c1ip, timeout=0.5))
for v in "ac":
    put(VNET + v + P + "to-b", peering("b", allowForwardedTraffic=True))
ok(ask(a2, c1ip) == a2ip and ask(c1, a2ip) == c1ip, "spoke to spoke by the hub's appliance", (ask(a2, c1ip), ask(c1, a2ip)))
put(N + "networkSecurityGroups/deny", {"properties": {"securityRules": []}})
subnet("a", "one", ["10.1.1.0/24", "fd00:a:0:1::/64"], networkSecurityGroup={"id": N + "networkSecurityGroups/deny"})
ok(ask(b1, a1ip) == b1ip, "VirtualNetwork covers the peer", ask(b1, a1ip))
put(VNET + "a" + P + "to-b", peering("b", allowForwardedTraffic=True, allowVirtualNetworkAccess=False))
ok(ask(b1, a1ip, timeout=0.5) == "timeout", "without allowVirtualNetworkAccess it does not", ask(b1, a1ip, timeout=0.5))
put(VNET + "a" + P + "to-b", peering("b", allowForwardedTraffic=True))
call("DELETE", VNET + "b" + P + "to-a")
ok(state("a", "to-b") == "Disconnected" and ask(a1, b1ip, timeout=0.5) != a1ip, "one side gone: Disconnected, and no packets", state("a", "to-b"))
refused(VNET + "a" + P + "self", peering("a"), "VnetCannotBePeeredWithItself", "not with itself")
put(VNET + "d", {"properties": {"addressSpace": {"addressPrefixes": ["10.1.128.0/17"]}}})
refused(VNET + "a" + P + "to-d", peering("d"), "VnetAddressSpacesOverlap", "not where spaces overlap")
refused(VNET + "a" + P + "to-x", peering("nowhere"), "InvalidResourceReference", "not with what is not there")

# ---- several prefixes ----
subnet("c", "one", ["10.3.1.0/24", "10.3.2.0/29", "10.3.64.0/20"])
more_groups = [member(f"c{i}", "c", "one", **({} if i else {})) for i in (2,)]
g = group("c3", ports=(80,))
g["properties"].update(ipAddress={"type": "Private", "ip": "10.3.2.5", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + "c/subnets/one"}])
put(CG + "c3", g)
ok(wait(lambda: call("GET", CG + "c3")[1]["properties"]["provisioningState"] == "Succeeded"), "a group in a prefix that was added")
c3 = call("GET", CG + "c3")[1]["netd"]["namespace"]
servers.append(serve(c3, "10.3.2.5"))
ok(ask(c1, "10.3.2.5") == c1ip and ask(c3, c1ip) == "10.3.2.5" and ask(c3, "192.0.2.1") not in ("timeout", ""), "reaches and is reached, and leaves", (ask(c1, "10.3.2.5"), ask(c3, c1ip), ask(c3, "192.0.2.1")))
refused(VNET + "c/subnets/one", {"properties": {"addressPrefixes": ["10.3.1.0/24", "10.3.64.0/20"], "delegations": ACI}}, "InUseSubnetCannotBeUpdated", "its prefix stays while it is there")
subnet("c", "one", ["10.3.1.0/24", "10.3.2.0/29"])
ok(ask(c1, "10.3.2.5") == c1ip, "a prefix without groups goes")

# ---- delegation and its link ----
refused(VNET + "c/subnets/x", {"properties": {"addressPrefix": "10.3.9.0/24", "delegations": [{"name": "n", "properties": {"serviceName": "Microsoft.Nothing/much"}}]}}, "InvalidServiceNameOnDelegation", "a subnet is delegated to services that are there")
doc = call("GET", VNET + "c/subnets/one")[1]
ok(doc["properties"]["serviceAssociationLinks"][0]["properties"]["allowDelete"], "a subnet in use has its link", doc)
ok(call("DELETE", VNET + "c/subnets/one/providers/Microsoft.ContainerInstance/serviceAssociationLinks/default")[0] == 204, "whose deletion is answered")

# ---- the platform's address, link-local ----
for ip in ("168.63.129.16", "fd53:a83f:8110::10"):
    ok("1 received" in inns(a1, f"ping -c1 -W1 {ip}"), f"{ip} answers every group")
named = inns(a1, "dig +tcp +time=3 +tries=1 @168.63.129.16 internal.cloudapp.net SOA")
ok("status: NOERROR" in named and ask(a1, "168.63.129.16", 80, timeout=0.5) == "timeout", "names are its only service", named)
refused(VNET + "e", {"properties": {"addressSpace": {"addressPrefixes": ["168.63.128.0/20"]}}}, "AddressPrefixNotAllowed", "no VNet may have it")
refused(VNET + "e", {"properties": {"addressSpace": {"addressPrefixes": ["fd53:a83f:8110::/48"]}}}, "AddressPrefixNotAllowed", "nor its twin")
ok(ask(a1, "169.254.169.254") == "refused", "link-local addresses are refused at once", ask(a1, "169.254.169.254"))
begin = time.time()
inns(a1, "for i in $(seq 400); do (echo > /dev/udp/169.254.1.1/53) 2>/dev/null; done")
ok(ask(a1, a2ip) == a1ip, "however often one asks")
for p in servers + [far, more]:
    p.kill()
call("DELETE", RG)
ok(wait(lambda: call("GET", RG)[0] == 404, 20), "all of it goes", call("GET", RG))
ok(wait(lambda: namespaces() == []), "and leaves nothing", namespaces())
t.end()
