#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Outbound rules: by which address and ports members leave, as a server on the internet sees them."""
import threading
from balancers import *

inside("limit-requests=0", "pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64")
rt = Runtime()
call("PUT", RG, {"location": "westeurope"})
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16", "fd00:9::/48"]}}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"])
ip, second = public("p"), public("p2")
put(N + "publicIPAddresses/p6", {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv6"}})
ip6 = call("GET", N + "publicIPAddresses/p6")[1]["properties"]["ipAddress"]
ms = [member(f"m{i}", "v", "s") for i in range(3)]
ips = [a for _, a in ms]
ips6 = [next(x for x in rt.groups[(CG + f"m{i}").lower()]["addresses"] if ":" in x) for i in range(3)]
SERVER = {4: "192.0.2.1", 6: "2001:db8::1"}


def serve_all(family):
    s = socket.create_server((SERVER[family], 9000), family=socket.AF_INET6 if family == 6 else socket.AF_INET, backlog=1024)
    while True:
        c, a = s.accept()
        c.sendall(f"{a[0]} {a[1]}".encode())
        c.close()


def serve_udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((SERVER[4], 9001))
    while True:
        _, a = s.recvfrom(100)
        s.sendto(f"{a[0]} {a[1]}".encode(), a)


for f in (4, 6):
    threading.Thread(target=serve_all, args=(f,), daemon=True).start()
threading.Thread(target=serve_udp, daemon=True).start()
ASKER = """
import socket, sys
kind, addr, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
for i in range(n):
    s = socket.socket(socket.AF_INET6 if ':' in addr else socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.settimeout(12)  # a server that closed first may refuse the SYN that comes by a port it still has: it comes again after 1, 3, 7 s, by any port
    try:
        s.connect((addr, 9000 if kind == 'tcp' else 9001))
        if kind == 'udp': s.send(b'x')
        print(s.recv(100).decode(), flush=True)
    except OSError as e:
        print('failed', e, flush=True)
"""


def seen(i, n=60, kind="tcp", family=4):
    """(address, port) of each connection of member i, as the server saw it."""
    out = subprocess.run(["nsenter", "--net=" + ms[i][0], sys.executable, "-c", ASKER, kind, SERVER[family], str(n)], capture_output=True, text=True).stdout.split("\n")
    return [(a, int(p)) for a, p in (l.split() for l in out if l and not l.startswith("failed"))]


def lb(fronts, ports, members=ips, want=(200, 201)):
    d = balancer("lb", fronts, [pool(members=members)], [], outboundRules=[{"name": "o", "properties": {
        "frontendIPConfigurations": [ref("lb", "frontendIPConfigurations", f) for f in fronts], "backendAddressPool": ref("lb", "backendAddressPools", "b"),
        "protocol": "All", "allocatedOutboundPorts": ports}}])
    for f in d["properties"]["frontendIPConfigurations"]:
        if f["properties"]["publicIPAddress"]["id"].endswith("/p6"):
            f["properties"]["privateIPAddressVersion"] = "IPv6"
    s, doc, _ = call("PUT", LB + "lb", d)
    return ok(s in want, f"outbound rule with {ports} ports: {s}", doc) and doc


lb({"f": "p"}, 0)
got = seen(0) + seen(1)
ok(len(got) == 120 and {a for a, _ in got} == {ip} and all(1024 <= p for _, p in got) and max(p for _, p in got) > 33000, "without a number, all ports of the frontend are everybody's", got[:5])

lb({"f": "p"}, 1024)
blocks = [seen(i) for i in range(3)]
first = [min(p for _, p in b) // 1024 for b in blocks]
ok(all(len(b) == 60 and {a for a, _ in b} == {ip} and {p // 1024 for _, p in b} == {f} for b, f in zip(blocks, first)), "with 1,024 each member has a block of its own", [sorted({p // 1024 for _, p in b}) for b in blocks])
ok(sorted(first) == [1, 2, 3], "the first three", first)
udp = seen(1, 20, "udp")
ok(len(udp) == 20 and {p // 1024 for _, p in udp} == {first[1]}, "UDP too", udp[:3])
ok(" 0% packet loss" in inns(ms[0][0], f"ping -c 3 -i 0.2 {SERVER[4]}"), "and what has no ports leaves as well")
text = inns(NS + "/" + next(n for n in namespaces() if n[0] == "v"), "nft list map inet netd outtcp4")
ok(f"{ip} . {first[0] * 1024}-{first[0] * 1024 + 1023}" in text, "nft prints the blocks", text)
lb({"f": "p"}, 1024, ips[1:])
ok({p // 1024 for _, p in seen(1, 10)} == {first[1]} and {p // 1024 for _, p in seen(2, 10)} == {first[2]}, "a member that leaves takes nobody's block along")
lb({"f": "p"}, 1024, ips)
os.kill(role_pid("control"), 9)
time.sleep(0.3)
wait(lambda: call("GET", "/readyz")[0] == 200, 10)
time.sleep(0.5)
ok([{p // 1024 for _, p in seen(i, 10)} for i in range(3)] == [{f} for f in first], "it has the free one again, and all of that outlives control", first)

lb({"f": "p", "f2": "p2"}, 32000)
lot = [seen(i, 20) for i in range(3)]
ok([{a for a, _ in b} for b in lot].count({ip}) == 2 and [{a for a, _ in b} for b in lot].count({second}) == 1, "blocks go on with the next frontend", [{a for a, _ in b} for b in lot])
lb({"f": "p"}, 8)
got = seen(0, 8)
ok(len(got) == 8 and len({p for _, p in got}) <= 8 and max(p for _, p in got) - min(p for _, p in got) < 8, "eight ports are eight", got)

by = lambda name, front, proto: {"name": name, "properties": {"frontendIPConfigurations": [ref("lb", "frontendIPConfigurations", front)], "backendAddressPool": ref("lb", "backendAddressPools", "b"), "protocol": proto, "allocatedOutboundPorts": 1024}}
s, d, _ = call("PUT", LB + "lb", balancer("lb", {"f": "p", "f2": "p2"}, [pool(members=ips)], [], outboundRules=[by("t", "f", "Tcp"), by("u", "f2", "Udp")]))
ok(s == 200 and {a for a, _ in seen(0, 10)} == {ip} and {a for a, _ in seen(0, 10, "udp")} == {second}, "a rule for TCP and one for UDP: each leaves by its own frontend", d)
s, d, _ = call("PUT", LB + "lb", balancer("lb", {"f": "p"}, [pool(members=ips)], [], outboundRules=[by("t", "f", "Tcp")]))
ok(s == 200 and {a for a, _ in seen(0, 10)} == {ip} and not {ip, second} & {a for a, _ in seen(0, 10, "udp")}, "one for TCP alone: UDP leaves by the subnet's default", d)

lb({"f6": "p6"}, 64, ips6)
wait(lambda: seen(0, 1, family=6) and seen(1, 1, family=6), 5)  # neighbours know each other
b6 = [seen(i, 20, family=6) for i in range(2)]
ok(all(len(b) == 20 and {a for a, _ in b} == {ip6} and len({p // 64 for _, p in b}) == 1 for b in b6) and b6[0][0][1] // 64 != b6[1][0][1] // 64, "IPv6", ([len(b) for b in b6], [sorted({p for _, p in b}) for b in b6]))
e = lb({"f": "p"}, 12, want=(400,))
ok(e and e["error"]["code"] == "OutboundRuleAllocatedPortsInvalid", "12 is no multiple of 8", e)
e = lb({"f": "p"}, 32000, want=(400,))
ok(e and e["error"]["code"] == "OutboundRuleAllocatedPortsExceeded" and e["error"]["target"].endswith("allocatedOutboundPorts"), "more than there are", e)
# two load balancers with the same members: nothing for an audit (every 30 s) to find
call("PUT", LB + "lb", balancer("lb", {"f": "p"}, [pool(members=ips)], [rule("lb", "http", probe=None)]))
s, d, _ = call("PUT", LB + "other", balancer("other", {"f": "p2"}, [pool(members=ips)], [rule("other", "http", probe=None)]))
repairs = lambda: next(l for l in subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout.splitlines() if l.startswith("netd_engine_repairs_total"))
time.sleep(1)
before = repairs()
by_one = {a for a, _ in seen(0, 10)}
time.sleep(33)
ok(s == 201 and len(by_one) == 1 and repairs() == before and {a for a, _ in seen(0, 10)} == by_one, "members of two: they leave by one address, and an audit finds nothing to repair", (before, repairs(), by_one))
call("DELETE", LB + "other")
ok({a for a, _ in seen(0, 10)} == {ip}, "one is deleted: by the other's", by_one)
call("DELETE", LB + "lb")
call("DELETE", RG)
ok(wait(lambda: namespaces() == [], 20), "all goes", namespaces())
t.end()
