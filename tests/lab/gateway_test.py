#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual network gateways: a namespace that the administrator provides, with BIRD in it, BGP to a
router on the premises. Routes that come and go, transit for a peer, guards, faults."""
from vnets import *

inside("gateway=dc1 * /run/netns/dc1", "gateway=dc2 * /run/netns/dc2", "gateway=other 00000000-0000-0000-0000-00000000dead /run/netns/dc1x",
       "link-local=169.254.169.254:80 192.0.2.1:81")
rt = Runtime()
BIRD = os.path.dirname(os.path.abspath(__file__)) + "/../../build/peers/usr/sbin/bird"
LAB = os.environ["NETD_LAB"]
TYPE = {"gatewayType": "ExpressRoute"}
routers = {}


def sh(cmd, ns=None):
    r = subprocess.run((["ip", "netns", "exec", ns] if ns else []) + ["sh", "-c", cmd], capture_output=True, text=True)
    return r.stdout + r.stderr


def bird(ns, other, me, their, routes=()):
    """BGP between two namespaces; `routes` are announced beside those that netd put there."""
    static = lambda v: "\n".join(f"route {r} unreachable;" for r in routes if (":" in r) == (v == 6))
    conf = f"router id 10.255.0.{me};\nprotocol device {{}}\n"
    for v, a, b in ((4, f"10.255.0.{me}", f"10.255.0.{their}"), (6, f"fd00:255::{me}", f"fd00:255::{their}")):
        conf += f"""
protocol kernel k{v} {{ ipv{v} {{ export where source = RTS_BGP; import all; }}; learn; }}
protocol static s{v} {{ ipv{v}; {static(v)} }}
protocol direct d{v} {{ ipv{v}; interface "lan"; }}
protocol bgp b{v} {{ local {a} as 6500{me}; neighbor {b} as 6500{their}; hold time 3; connect retry time 1; connect delay time 1; error wait time 1, 1;
  ipv{v} {{ import all; export all; next hop self; }}; }}
"""
    open(f"{LAB}/{ns}.conf", "w").write(conf)
    if ns in routers:
        sh(f"{os.path.dirname(BIRD)}/birdc -s {LAB}/{ns}.ctl configure")
        return
    routers[ns] = subprocess.Popen(["ip", "netns", "exec", ns, BIRD, "-f", "-c", f"{LAB}/{ns}.conf", "-s", f"{LAB}/{ns}.ctl"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def premises():
    """dc1, the administrator's namespace, as it comes anew."""
    sh("ip netns add dc1; ip -n dc1 link set lo up; ip link add name wan netns dc1 type veth peer name dc netns onprem")
    for ns, dev, n in (("dc1", "wan", 1), ("onprem", "dc", 2)):
        sh("for f in all default; do echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; echo 1 >/proc/sys/net/ipv6/conf/$f/forwarding; echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; done; echo 1 >/proc/sys/net/ipv4/ip_forward", ns)
        sh(f"ip -n {ns} addr add 10.255.0.{n}/30 dev {dev}; ip -n {ns} addr add fd00:255::{n}/64 dev {dev} nodad; ip -n {ns} link set {dev} up")
    bird("dc1", "onprem", 1, 2)


sh("ip netns add onprem; ip -n onprem link set lo up; ip link add name lan netns onprem type veth peer name lanpeer netns onprem; ip -n onprem link set lan up; ip -n onprem link set lanpeer up")
sh("ip -n onprem addr add 192.168.50.10/24 dev lan; ip -n onprem addr add 2001:db8:50::10/64 dev lan nodad; ip -n onprem addr add 192.0.2.250/32 dev lo; ip -n onprem addr add 192.168.60.10/32 dev lo")
premises()
bird("onprem", "dc1", 2, 1)

call("PUT", RG, {"location": "westeurope"})
put(VNET + "hub", {"properties": {"addressSpace": {"addressPrefixes": ["10.20.0.0/16", "fd00:20::/48"]}}})
put(VNET + "spoke", {"properties": {"addressSpace": {"addressPrefixes": ["10.21.0.0/16"]}}})
subnet("hub", "one", ["10.20.1.0/24", "fd00:20:0:1::/64"])
put(VNET + "hub/subnets/GatewaySubnet", {"properties": {"addressPrefix": "10.20.255.0/27"}})
subnet("spoke", "one", ["10.21.1.0/24"])
h1, h1ip = member("h1", "hub", "one")
s1, s1ip = member("s1", "spoke", "one")
h1ip6 = next(a for a in inns(h1, "ip -o -6 addr show dev eth0 scope global").split() if a.startswith("fd00:20:")).split("/")[0]
far = serve("/run/netns/onprem", "192.168.50.10,2001:db8:50::10,192.0.2.250,192.168.60.10")
net = serve("/run/netns/internet", "192.0.2.1", "80,81")
servers = [serve(h1, h1ip + "," + h1ip6), serve(s1, s1ip)]
GW, CON = N + "virtualNetworkGateways/", N + "connections/"
at = lambda v, s="GatewaySubnet": {"ipConfigurations": [{"name": "default", "properties": {"subnet": {"id": f"{VNET}{v}/subnets/{s}"}}}], **TYPE}
to = lambda gw, circuit, kind="ExpressRoute": {"properties": {"connectionType": kind, "virtualNetworkGateway1": {"id": GW + gw}, "peer": {"id": N + "expressRouteCircuits/" + circuit}}}
ps = lambda name, other, **p: put(VNET + name + "/virtualNetworkPeerings/to-" + other, {"properties": {"remoteVirtualNetwork": {"id": VNET + other}, **p}})
status = lambda: call("GET", CON + "line")[1]["properties"]["connectionStatus"]


def routes(g, source="VirtualNetworkGateway"):
    return sorted(p for r in call("POST", CG + g + "/effectiveRouteTable")[1]["value"] if r["source"] == source and r["state"] == "Active" for p in r["addressPrefix"])


def trace(src, dst, g=None):
    b = {"source": src, "destination": dst, "protocol": "TCP", "port": 80, **({"group": CG + g} if g else {})}
    d = call("POST", "/netd/trace", b)[1]
    return d["passes"], d["where"]


# ---- documents ----
refused(GW + "gw", {"properties": at("hub", "one")}, "VirtualNetworkGatewaySubnetNameInvalid", "a gateway lives in GatewaySubnet")
refused(GW + "gw", {"properties": at("nowhere")}, "InvalidResourceReference", "of a VNet that is there")
ok(not routes("h1") and ask(h1, "192.168.50.10", timeout=0.5) == "timeout", "without a gateway the premises are far")
put(GW + "gw", {"properties": at("hub")})
s, doc, _ = call("DELETE", VNET + "hub/subnets/GatewaySubnet")
ok(s == 400 and doc["error"]["code"] == "InUseSubnetCannotBeDeleted", "its subnet stays while it is there", doc)
refused(GW + "gw2", {"properties": at("hub")}, "VirtualNetworkAlreadyHasGateway", "a VNet has one")
refused(CON + "line", to("gw", "dc1", "IPsec"), "ConnectionTypeNotSupported", "connections of a type that is not here say so")
refused(CON + "line", to("gw", "unheard"), "InvalidResourceReference", "a circuit is one that the administrator names")
refused(CON + "line", to("gw", "other"), "InvalidResourceReference", "and gives to this subscription")
refused(CON + "line", to("nowhere", "dc1"), "InvalidResourceReference", "a connection has a gateway")
put(CON + "line", to("gw", "dc1"))
ok(wait(lambda: status() == "Connected"), "connected", status())
s, doc, _ = call("PUT", CON + "second", {"location": "westeurope", **to("gw", "dc2")})
ok(s == 400 and doc["error"]["code"] == "VirtualNetworkGatewayConnectionLimitReached", "a gateway has one connection", (s, doc))
s, doc, _ = call("DELETE", GW + "gw")
ok(s == 400 and doc["error"]["code"] == "VirtualNetworkGatewayHasConnections", "a gateway with a connection stays", doc)
a, b = call("GET", GW + "gw")[1], call("GET", CON + "line")[1]
ok(put(GW + "gw", a)["properties"] and call("GET", GW + "gw")[1]["properties"] == a["properties"] and put(CON + "line", b) and call("GET", CON + "line")[1]["properties"] == b["properties"], "PUT of what GET returned changes nothing")

# ---- routes and packets ----
ok(wait(lambda: "192.168.50.0/24" in routes("h1") and "2001:db8:50::/64" in routes("h1"), 20), "routes that BGP brought are effective", (routes("h1"), sh("ip route; ip -6 route", "dc1")))
ok(wait(lambda: ask(h1, "192.168.50.10") == h1ip, 20), "a group reaches the premises by its own address", (ask(h1, "192.168.50.10"), sh("ip route", "onprem")))
ok(ask(h1, "192.168.50.10", proto="udp") == h1ip, "UDP too", ask(h1, "192.168.50.10", proto="udp"))
ok(wait(lambda: ask(h1, "2001:db8:50::10") == h1ip6, 10), "IPv6 too", ask(h1, "2001:db8:50::10"))
ok(ask("/run/netns/onprem", h1ip) in ("10.255.0.2", "192.168.50.10") or "10.255" in ask("/run/netns/onprem", h1ip), "and is reached from there", ask("/run/netns/onprem", h1ip))
big = "python3 -c \"import socket; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(2); s.sendto(b'x'*4000,('192.168.50.10',80)); print(s.recv(100).decode())\""
ok(inns(h1, big).strip() == h1ip, "4,000 bytes of UDP cross", inns(h1, big))
ok(trace(h1ip, "192.168.50.10", "h1") == (True, "virtual network gateway gw and beyond"), "trace knows the way", trace(h1ip, "192.168.50.10", "h1"))
ok(trace("192.168.50.10", h1ip) == (True, "h1") and not trace("192.168.77.1", h1ip)[0], "and the way in", (trace("192.168.50.10", h1ip), trace("192.168.77.1", h1ip)))
s, doc, _ = call("PUT", N + "networkWatchers/w", {"location": "westeurope"})
s, doc, _ = call("POST", N + "networkWatchers/w/nextHop", {"targetResourceId": CG + "h1", "sourceIPAddress": h1ip, "destinationIPAddress": "192.168.50.10"})
ok(doc.get("nextHopType") == "VirtualNetworkGateway", "nextHop names it", doc)
bird("onprem", "dc1", 2, 1, ["192.168.60.0/24", "10.20.5.0/24", "10.21.0.0/16"])
ok(wait(lambda: "192.168.60.0/24" in routes("h1"), 10) and ask(h1, "192.168.60.10") == h1ip, "a route that comes later is taken up", routes("h1"))
ok(not any(r.startswith(("10.20.", "10.255.")) and r != "10.255.0.0/30" for r in routes("h1")), "one inside the VNet's own space is not", routes("h1"))

# ---- who may come in ----
spoof = "from scapy.all import *\nconf.verb=0\nsend(IP(src='%s',dst='%s')/UDP(sport=5000,dport=80)/b'spoof')"
seen = "python3 -c \"import socket; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('%s',4444)); s.settimeout(3); print(s.recvfrom(100)[1][0])\""
def spoofed(src):
    p = subprocess.Popen(["nsenter", "--net=" + h1, "sh", "-c", seen % h1ip], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    time.sleep(0.5)
    sh(f"{sys.executable} -c \"{(spoof % (src, h1ip)).replace('dport=80', 'dport=4444')}\"", "onprem")
    return p.communicate()[0].strip()
ok(spoofed("192.168.50.77") == "192.168.50.77", "sources that were learned come in")
ok(spoofed("10.20.1.99") == "", "none of the VNet's own addresses does")
ok(spoofed("198.51.100.7") == "", "nor one that was not learned")

# ---- user routes, propagation ----
put(N + "routeTables/rt", {"properties": {"routes": [{"name": "no", "properties": {"addressPrefix": "192.168.50.0/24", "nextHopType": "None"}}]}})
subnet("hub", "one", ["10.20.1.0/24", "fd00:20:0:1::/64"], routeTable={"id": N + "routeTables/rt"})
ok("192.168.50.0/24" not in routes("h1") and ask(h1, "192.168.50.10", timeout=0.5) == "timeout" and not trace(h1ip, "192.168.50.10", "h1")[0] and ask(h1, "192.168.60.10") == h1ip, "a user's route of the same length goes first", routes("h1"))
bird("onprem", "dc1", 2, 1, ["192.168.60.0/24", "192.168.50.0/28"])
ok(wait(lambda: ask(h1, "192.168.50.10", timeout=0.5) == h1ip, 10) and trace(h1ip, "192.168.50.10", "h1")[0], "a longer one of the gateway's goes before it", routes("h1"))
put(N + "routeTables/rt", {"properties": {"disableBgpRoutePropagation": True, "routes": [{"name": "by", "properties": {"addressPrefix": "192.168.60.0/24", "nextHopType": "VirtualNetworkGateway"}}]}})
ok(routes("h1") == [] and ask(h1, "192.168.50.10", timeout=0.5) == "timeout" and ask(h1, "192.168.60.10") == h1ip and trace(h1ip, "192.168.60.10", "h1")[0], "disableBgpRoutePropagation leaves the user's alone, VirtualNetworkGateway among them", (routes("h1"), ask(h1, "192.168.60.10")))
subnet("hub", "one", ["10.20.1.0/24", "fd00:20:0:1::/64"])
ok(ask(h1, "192.168.50.10") == h1ip, "without the table as before")

# ---- a peer uses the gateway ----
ps("hub", "spoke")
ps("spoke", "hub")
ok(ask(s1, h1ip) == s1ip and ask(s1, "192.168.50.10", timeout=0.5) == "timeout" and routes("s1") == [], "a peering alone is no transit", routes("s1"))
refused(VNET + "hub/virtualNetworkPeerings/to-spoke", {"properties": {"remoteVirtualNetwork": {"id": VNET + "spoke"}, "useRemoteGateways": True}}, "RemotePeeringHasNoGateways", "only a peer's that has one")
ps("spoke", "hub", useRemoteGateways=True)
ok(ask(s1, "192.168.50.10", timeout=0.5) == "timeout", "nor useRemoteGateways without allowGatewayTransit")
ps("hub", "spoke", allowGatewayTransit=True)
ok(wait(lambda: ask(s1, "192.168.50.10") == s1ip, 20), "both sides agree: the spoke reaches the premises", (routes("s1"), ask(s1, "192.168.50.10"), sh("ip route", "onprem")))
ok("192.168.50.0/24" in routes("s1") and trace(s1ip, "192.168.50.10", "s1")[0] and trace("192.168.50.10", s1ip)[0], "and its effective routes and trace say so", (routes("s1"), trace(s1ip, "192.168.50.10", "s1")))
ok(ask("/run/netns/onprem", s1ip) not in ("timeout", ""), "the premises reach the spoke", ask("/run/netns/onprem", s1ip))
put(N + "networkSecurityGroups/n", {"properties": {"securityRules": []}})
subnet("spoke", "one", ["10.21.1.0/24"], networkSecurityGroup={"id": N + "networkSecurityGroups/n"})
ok(ask("/run/netns/onprem", s1ip) not in ("timeout", "") and ask(s1, "192.168.50.10") == s1ip, "VirtualNetwork covers the premises")
put(N + "networkSecurityGroups/n/securityRules/x", {"properties": {"protocol": "*", "access": "Deny", "priority": 100, "direction": "Inbound", "sourceAddressPrefix": "192.168.50.0/24", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"}})
ok(inns("/run/netns/onprem", f"curl -s -m1 --interface 192.168.50.10 http://{s1ip}/; echo $?").strip() == "28" and not trace("192.168.50.10", s1ip)[0], "a rule names them")
subnet("spoke", "one", ["10.21.1.0/24"])

# ---- the default route ----
shared = ask(h1, "192.0.2.1")
bird("onprem", "dc1", 2, 1, ["192.168.60.0/24", "0.0.0.0/0"])
ok(wait(lambda: ask(h1, "192.0.2.250", timeout=0.5) == h1ip, 10), "a default route that was learned takes the internet there", (routes("h1"), ask(h1, "192.0.2.250")))
ok(ask(h1, s1ip) == h1ip, "not what the peer has", ask(h1, s1ip))
ok(spoofed("198.51.100.7") == "198.51.100.7" and spoofed("10.20.1.99") == spoofed("10.21.1.9") == "", "any source then, but none of a VNet's")
bird("onprem", "dc1", 2, 1, ["192.168.60.0/24"])
ok(wait(lambda: ask(h1, "192.0.2.1", timeout=0.5) == shared, 10), "withdrawn: the platform's way again", ask(h1, "192.0.2.1"))

# ---- where the administrator lets link-local lead ----
ok(ask(h1, "169.254.169.254") == shared and ask(h1, "169.254.169.254", 443) == "refused" and ask(h1, "169.254.169.253") == "refused", "a link-local address leads where the administrator says, and nowhere else", (ask(h1, "169.254.169.254"), ask(h1, "169.254.169.254", 443)))
ok(trace(h1ip, "169.254.169.254", "h1")[0] and not trace(h1ip, "169.254.169.253", "h1")[0], "trace says so", trace(h1ip, "169.254.169.254", "h1"))

# ---- faults ----
stream = subprocess.Popen(["nsenter", "--net=" + h1, "ping", "-i", "0.02", "-c", "400", "192.168.50.10"], stdout=subprocess.PIPE, text=True)
for role in ("engine", "control"):
    time.sleep(0.5)
    os.kill(role_pid(role), 9)
    wait(lambda: role_pid(role) and call("GET", "/readyz")[0] == 200, 15)
lost = [l for l in stream.communicate()[0].splitlines() if "packet loss" in l]
ok(" 0% packet loss" in lost[0], "kill -9 of engine and control: not a packet is lost", lost)
ok(wait(lambda: status() == "Connected" and "192.168.50.0/24" in routes("h1"), 10), "and the gateway is known again", status())
sh("ip link del netd0", "dc1")
ok(wait(lambda: ask(h1, "192.168.50.10", timeout=0.3) == h1ip, 15), "its link, deleted, is made again")
sh("ip route flush proto 110", "dc1")
ok(wait(lambda: "10.20.0.0/16" in sh("ip route", "dc1"), 5), "and the routes back", sh("ip route", "dc1"))
routers.pop("dc1").kill()
sh("ip netns del dc1; ip -n onprem link del dc")
ok(wait(lambda: status() == "NotConnected", 10) and ask(h1, "192.0.2.1") == shared and ask(s1, h1ip) == s1ip and routes("h1") == [], "the namespace gone: not connected, and all else goes on", (status(), ask(h1, "192.0.2.1")))
premises()
ok(wait(lambda: status() == "Connected" and ask(h1, "192.168.50.10", timeout=0.3) == h1ip and ask(s1, "192.168.50.10", timeout=0.3) == s1ip, 30), "there again: connected again", (status(), sh("ip route", "dc1"), sh("ip route", "onprem")))

# ---- the end ----
s, doc, _ = call("DELETE", VNET + "hub")
ok(s == 400, "a VNet with a gateway stays", doc)
call("DELETE", CON + "line")
ok(wait(lambda: "netd0" not in sh("ip link", "dc1"), 10) and ask(h1, "192.168.50.10", timeout=0.5) == "timeout", "without the connection there is no link", sh("ip link", "dc1"))
call("DELETE", GW + "gw")
for p in (*servers, far, net, *routers.values()):
    p.kill()
call("DELETE", RG)
ok(wait(lambda: call("GET", RG)[0] == 404, 20) and wait(lambda: namespaces() == []), "all of it goes, and leaves nothing", namespaces())
ok("proto 110" not in sh("ip route; ip -6 route", "dc1"), "not in the given namespace either", sh("ip route; ip -6 route", "dc1"))
t.end()
