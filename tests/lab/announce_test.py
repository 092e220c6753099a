#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of a pool on the uplink's link: their neighbours are told where they are, once, when that begins."""
import select, socket
from plane import *

inside("pool=onlink 192.0.2.64/26", "pool=onlink 2001:db8::1:0/112")
t = Tap()
ok = t.ok
N = RG + "/providers/Microsoft.Network/publicIPAddresses/"
call("PUT", RG, {"location": "westeurope"})
rt = Runtime(serve=True)
LINK, OWN = next((d["ifname"], d["address"]) for d in json.loads(subprocess.run(["ip", "-j", "addr"], capture_output=True, text=True).stdout) if any(a.get("local") == "192.0.2.1" for a in d["addr_info"]))
heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
heard.bind((LINK, 0))


def told(address, seconds=1.0):
    """MACs that all neighbours are told for the address."""
    six, want, got, end = ":" in address, socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address), [], time.time() + seconds
    while (left := end - time.time()) > 0:
        if not select.select([heard], [], [], left)[0]:
            break
        p = heard.recv(2000)
        if not six and p[12:14] == b"\x08\x06" and p[:6] == b"\xff" * 6 and p[28:32] == p[38:42] == want:
            got.append(p[22:28].hex(":"))
        if six and p[12:14] == b"\x86\xdd" and p[:6] == bytes.fromhex("333300000001") and p[54:55] == b"\x88" and p[62:78] == want:
            got.append(p[80:86].hex(":"))
    return got


def flush():
    heard.setblocking(False)
    try:
        while True:
            heard.recv(2000)
    except BlockingIOError:
        pass
    heard.setblocking(True)


def entry(address):
    return subprocess.run(["ip", "neigh", "show", address, "dev", LINK], capture_output=True, text=True).stdout


ok(call("PUT", CG + "web", group())[0] == 201 and wait(lambda: state(CG + "web") == "Succeeded"), "a group")
ip = call("GET", CG + "web")[1]["properties"]["ipAddress"]["ip"]
real = (told(ip) or [""])[0]
ok(ip.startswith("192.0.2.") and real and real != OWN, "its address is announced", (ip, real))
ok(wait(lambda: page(ip)) and real in entry(ip), "by the MAC that answers for it", (real, entry(ip)))

# ---- who knew it elsewhere is told, and sends there at once
flush()
call("DELETE", CG + "web")
ok(wait(lambda: call("GET", CG + "web")[0] == 404) and told(ip, 0.5) == [], "it goes without a word")
for a in [f"192.0.2.{i}" for i in range(64, 128)]:
    subprocess.run(["ip", "neigh", "replace", a, "lladdr", "02:00:00:00:00:99", "dev", LINK, "nud", "stale"], check=True)
flush()
ok(call("PUT", CG + "web", group())[0] == 201 and wait(lambda: state(CG + "web") == "Succeeded"), "a group again")
ip = call("GET", CG + "web")[1]["properties"]["ipAddress"]["ip"]
ok(real in entry(ip) and wait(lambda: page(ip)), "its neighbours know where it is now", entry(ip))

# ---- IPv6
flush()
call("PUT", N + "p6", {"location": "w", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv6"}})
p6 = call("GET", N + "p6")[1]["properties"].get("ipAddress", "")
LB = RG + "/providers/Microsoft.Network/loadBalancers/lb"
subprocess.run(["ip", "-6", "neigh", "replace", p6, "lladdr", "02:00:00:00:00:99", "dev", LINK, "nud", "stale"], check=True)
call("PUT", VNET + "v", {"location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16", "fd00:9::/48"]}, "subnets": [{"name": "s", "properties": {"addressPrefixes": ["10.9.1.0/24", "fd00:9:0:1::/64"], "delegations": [{"name": "d", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}]}})
g = group("m")
g["properties"].update(ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + "v/subnets/s"}])
call("PUT", CG + "m", g)
wait(lambda: state(CG + "m") == "Succeeded")
inside6 = next(a for a in wait(lambda: rt.groups.get((CG + "m").lower()))["addresses"] if ":" in a)
flush()
s, d, _ = call("PUT", LB, {"location": "w", "sku": {"name": "Standard"}, "properties": {
    "frontendIPConfigurations": [{"name": "f", "properties": {"publicIPAddress": {"id": N + "p6"}, "privateIPAddressVersion": "IPv6"}}],
    "backendAddressPools": [{"name": "b", "properties": {"loadBalancerBackendAddresses": [{"name": "m", "properties": {"virtualNetwork": {"id": VNET + "v"}, "ipAddress": inside6}}]}}],
    "loadBalancingRules": [{"name": "r", "properties": {"protocol": "Tcp", "frontendPort": 80, "backendPort": 80, "frontendIPConfiguration": {"id": LB + "/frontendIPConfigurations/f"}, "backendAddressPool": {"id": LB + "/backendAddressPools/b"}}}]}})
ok(s in (200, 201) and set(told(p6, 2)) == {real}, "an IPv6 address is announced", (s, d if s > 201 else "", p6))
ok(real in entry(p6), "and is known there", entry(p6))

# ---- an engine that begins anew says nothing: nothing is elsewhere
flush()
os.kill(role_pid("engine"), 9)
ok(wait(lambda: page(ip), 5) and told(ip, 1.5) == [], "an engine that begins anew announces nothing")
t.end()
