#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of 1500, 1400 and 1280 bytes: TCP both ways, UDP larger than a packet, and what does not fit is
told, whichever way it takes: public address, NAT gateway, default outbound address, appliance, peering,
gateway to the premises; IPv4 and IPv6."""
from vnets import *

inside("gateway=dc1 * /run/netns/dc1")
rt = Runtime()
SIZE = 400000
SERVER = """
import socket, sys, threading
def serve(c):
    try:
        f = c.makefile('rb'); what, n = f.readline().split(); n = int(n)
        if what == b'down': c.sendall(b'd' * n)
        else:
            while n > 0:
                got = len(f.read(min(n, 65536)))
                if not got: return
                n -= got
            c.sendall(b'ok')
        c.close()
    except OSError: pass
def tcp(a):
    s = socket.create_server((a, 80), family=socket.AF_INET6 if ':' in a else socket.AF_INET)
    while 1: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
def udp(a):
    s = socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET, socket.SOCK_DGRAM); s.bind((a, 80))
    while 1:
        d, who = s.recvfrom(65000)
        try: s.sendto(d, who)
        except OSError: pass
for a in sys.argv[1].split(','):
    for f in (tcp, udp): threading.Thread(target=f, args=(a,), daemon=True).start()
print('ready', flush=True); sys.stdin.read()
"""
CLIENT = """
import errno, socket, sys, time
a, n, told = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
v6 = ':' in a
out = []
for what in ('down', 'up'):
    try:
        s = socket.create_connection((a, 80), 3); s.settimeout(3); s.sendall(f'{what} {n}\\n'.encode())
        if what == 'up': s.sendall(b'u' * n)
        got = 0
        while 1:
            d = s.recv(65536)
            if not d: break
            got += len(d)
        out.append('' if got == (n if what == 'down' else 2) else f'{what}: {got} bytes')
    except OSError as e: out.append(f'{what}: {e}')
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.connect((a, 80))
def large(tries=3):
    for i in range(tries):
        try:
            s.send(b'x' * 4000)
            if len(s.recv(9000)) == 4000: return ''
        except OSError as e: got = e
    return f'udp: {got}'
out.append(large())
# a datagram that must not be cut, larger than the path: refused here, once the path has said so
if told:
    s.setsockopt(socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, 23 if v6 else 10, 2)
    end, got = time.time() + 2, 'never told'
    while time.time() < end and got:
        try: s.send(b'x' * (told - (48 if v6 else 28))); time.sleep(0.05)
        except OSError as e: got = '' if e.errno == errno.EMSGSIZE else str(e)
    out.append(got)
print('; '.join(o for o in out if o) or 'fine')
"""


def server(ns, addresses):
    p = subprocess.Popen(["nsenter", "--net=" + ns, sys.executable, "-c", SERVER, addresses], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    return p


def crosses(ns, to, told=0):
    r = subprocess.run(["nsenter", "--net=" + ns, sys.executable, "-c", CLIENT, to, str(SIZE), str(told)], capture_output=True, text=True)
    return r.stdout.strip() or r.stderr[-200:]


def sh(cmd, ns=None):
    return subprocess.run((["ip", "netns", "exec", ns] if ns else []) + ["sh", "-c", cmd], capture_output=True, text=True)


def link(a, b, n):
    """A host `b` behind router `a`, on a link whose MTU changes."""
    sh(f"ip netns add {b}; ip -n {b} link set lo up; ip link add name {b}0 netns {a} type veth peer name eth0 netns {b}")
    for ns, dev, k in ((a, b + "0", 1), (b, "eth0", 2)):
        sh(f"for f in all default; do echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; done", ns)
        sh(f"ip -n {ns} addr add 198.51.{n}.{k}/24 dev {dev}; ip -n {ns} addr add 2001:db8:{n}::{k}/64 dev {dev} nodad; ip -n {ns} link set {dev} up")
    sh(f"ip -n {b} route add default via 198.51.{n}.1; ip -n {b} -6 route add default via 2001:db8:{n}::1")
    sh("echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding", a)


link("internet", "far", 100)
sh("ip netns add dc1; ip -n dc1 link set lo up")
link("dc1", "prem", 200)
call("PUT", RG, {"location": "westeurope"})
put(VNET + "a", {"properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16", "fd00:a::/48"]}}})
put(VNET + "b", {"properties": {"addressSpace": {"addressPrefixes": ["10.2.0.0/16", "fd00:b::/48"]}}})
put(N + "publicIPAddresses/n4", {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}})
put(N + "publicIPAddresses/n6", {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv6"}})
put(N + "natGateways/nat", {"sku": {"name": "StandardV2"}, "properties": {"publicIpAddresses": [{"id": N + "publicIPAddresses/n4"}], "publicIpAddressesV6": [{"id": N + "publicIPAddresses/n6"}]}})
subnet("a", "nat", ["10.1.1.0/24", "fd00:a:0:1::/64"], natGateway={"id": N + "natGateways/nat"})
subnet("a", "plain", ["10.1.2.0/24"])
subnet("a", "routed", ["10.1.3.0/24"])
put(VNET + "a/subnets/GatewaySubnet", {"properties": {"addressPrefix": "10.1.255.0/27"}})
subnet("b", "one", ["10.2.1.0/24", "fd00:b:0:1::/64"])
for x, y in ("ab", "ba"):
    put(VNET + x + "/virtualNetworkPeerings/p", {"properties": {"remoteVirtualNetwork": {"id": VNET + y}}})
put(N + "virtualNetworkGateways/gw", {"properties": {"gatewayType": "ExpressRoute", "ipConfigurations": [{"name": "d", "properties": {"subnet": {"id": VNET + "a/subnets/GatewaySubnet"}}}]}})
put(N + "connections/line", {"properties": {"connectionType": "ExpressRoute", "virtualNetworkGateway1": {"id": N + "virtualNetworkGateways/gw"}, "peer": {"id": N + "expressRouteCircuits/dc1"}}})
nat, natip = member("nat", "a", "nat")
plain, plainip = member("plain", "a", "plain")
nva, nvaip = member("nva", "a", "nat", enableIPForwarding=True)
inns(nva, "sysctl -qw net.ipv4.ip_forward=1; nft 'table ip t { chain c { type nat hook postrouting priority 100; masquerade; }; }'")
put(N + "routeTables/rt", {"properties": {"routes": [{"name": "all", "properties": {"addressPrefix": "198.51.100.0/24", "nextHopType": "VirtualAppliance", "nextHopIpAddress": nvaip}}]}})
subnet("a", "routed", ["10.1.3.0/24"], routeTable={"id": N + "routeTables/rt"})
routed, routedip = member("routed", "a", "routed")
b1, b1ip = member("b1", "b", "one")
put(CG + "pub", group("pub", ports=(80,)))
ok(wait(lambda: state(CG + "pub") == "Succeeded"), "a group with a public address")
g = call("GET", CG + "pub")[1]
g["properties"]["ipAddress"]["ports"] = [{"port": 80, "protocol": p} for p in ("TCP", "UDP")]
call("PUT", CG + "pub", g)
ok(wait(lambda: state(CG + "pub") == "Succeeded"), "with both ports open")
g = call("GET", CG + "pub")[1]
pub, pubip = g["netd"]["namespace"], g["properties"]["ipAddress"]["ip"]
six = lambda ns: next(a for a in inns(ns, "ip -o -6 addr show dev eth0 scope global").split() if a.startswith("fd00:")).split("/")[0]
servers = [server("/run/netns/far", "198.51.100.2,2001:db8:100::2"), server("/run/netns/prem", "198.51.200.2,2001:db8:200::2"), server(b1, b1ip + "," + six(b1)), server(pub, "0.0.0.0")]
ok(wait(lambda: inns(nat, "ping -c1 -W1 198.51.200.2").count("1 received"), 15), "the premises are reached")
for mtu in (1500, 1400, 1280):
    for ns, dev in (("internet", "far0"), ("far", "eth0"), ("dc1", "prem0"), ("prem", "eth0")):
        sh(f"ip -n {ns} link set {dev} mtu {mtu}")
    told = mtu + 20 if mtu < 1450 else 0  # less than a group's own link, more than the path
    for what, ns, to in (("NAT gateway", nat, "198.51.100.2"), ("NAT gateway, IPv6", nat, "2001:db8:100::2"), ("default outbound address", plain, "198.51.100.2"), ("appliance", routed, "198.51.100.2"),
                         ("own public address", pub, "198.51.100.2"), ("gateway to the premises", nat, "198.51.200.2"), ("gateway to the premises, IPv6", nat, "2001:db8:200::2")):
        got = crosses(ns, to, told)
        ok(got == "fine", f"{mtu} bytes, out by {what}", got)
    got = crosses("/run/netns/far", pubip)
    ok(got == "fine", f"{mtu} bytes, in to a public address", got)
for what, to in (("IPv4", b1ip), ("IPv6", six(b1))):
    got = crosses(nat, to)
    ok(got == "fine", f"peering, {what}", got)
ok("mtu 1450" in inns(nat, "ip link show eth0"), "a group's link is 50 bytes below the uplink", inns(nat, "ip link show eth0"))
for p in servers:
    p.kill()
call("DELETE", RG)
t.end()
