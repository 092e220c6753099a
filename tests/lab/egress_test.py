#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that groups of a VNet share to leave by, where it is on three nodes, each with an uplink: each node has ports of its own, groups leave by
the node that they are on, and answers find it, whichever node they come in by; also while the VNet's home is gone."""
import re, signal
from balancers import *

inside("limit-requests=0", "pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64", nodes=3, uplinks=True)
LAB = os.environ["NETD_LAB"]
NODES = (1, 2, 3)
LOW, BLOCK = 33280, 512  # from there on ports are branches', by so many
call("PUT", RG, {"location": "westeurope"})
rts = {k: Servers(node=k) for k in NODES}

SERVER = """
import select, socket, sys, threading, time
def tcp(s, slow):
    while True:
        c, a = s.accept()
        threading.Thread(target=drip if slow else lambda c, a: (c.sendall(f"{a[0]} {a[1]}".encode()), c.close()), args=(c, a), daemon=True).start()
def drip(c, a):
    try:
        while True:
            c.sendall(f"{a[1]}\\n".encode()); time.sleep(0.05)
    except OSError:
        pass
def udp(s):
    while True:
        _, a = s.recvfrom(2000)
        s.sendto(f"{a[0]} {a[1]}".encode(), a)
for port, kind, fn in ((8000, socket.SOCK_STREAM, lambda s: tcp(s, False)), (8001, socket.SOCK_STREAM, lambda s: tcp(s, True)), (8000, socket.SOCK_DGRAM, udp)):
    s = socket.socket(socket.AF_INET, kind); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("192.0.2.1" if kind == socket.SOCK_DGRAM else "", port))
    if kind == socket.SOCK_STREAM: s.listen(512)
    threading.Thread(target=fn, args=(s,), daemon=True).start()
print("up", flush=True)
sys.stdin.read()
"""
ASK = """
import socket, sys
kind, n = sys.argv[1], int(sys.argv[2])
for _ in range(n):
    s = socket.socket(socket.AF_INET6 if ":" in sys.argv[3] else socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(1)
    try:
        s.connect((sys.argv[3], int(sys.argv[4])))
        kind == "udp" and s.send(b"x")
        print(s.recv(200).decode())
    except OSError as e:
        print("none", e.errno or "timeout")
    s.close()
"""
server = subprocess.Popen(["nsenter", "--net=/run/netns/internet", sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
server.stdout.readline()


def net(*words):
    return subprocess.run(["ip", "-n", "internet", *words], check=True)


def by(node, ip):
    """The internet sends the address to that node."""
    six = ":" in ip
    hop = ("2001:db8::2" if six else "192.0.2.2") if node == 1 else f"2001:db8:88{node}::2" if six else f"192.88.{node}.2"
    net(*(["-6"] if six else []), "route", "replace", ip, "via", hop)


def asks(name, n=1, kind="tcp", to="192.0.2.1", port=8000):
    """By which addresses and ports the internet sees connections of the group."""
    out = subprocess.run(["nsenter", "--net=" + ns[name], sys.executable, "-c", ASK, kind, str(n), to, str(port)], capture_output=True, text=True).stdout
    return [(a, int(p) if p.isdigit() else p) for a, p in (l.split(" ", 1) for l in out.splitlines())]


def counted(node):
    return int(subprocess.run(["ip", "netns", "exec", "internet", "cat", f"/sys/class/net/net{node}/statistics/rx_packets"], capture_output=True, text=True).stdout)


def came(what):
    """Packets that reach the internet by each node's uplink meanwhile."""
    was = {k: counted(k) for k in NODES}
    r = what()
    return r, {k: counted(k) - was[k] for k in NODES}


def space(node, name):
    return f"{LAB}/node{node}/run/ns/{name}"


def router(node, vnet=0):
    return space(node, sorted(f for f in os.listdir(space(node, "")) if f.startswith("v"))[vnet])


def ranges(node, address):
    """Ports of the address that the node has, as its router tells."""
    out = inns(router(node), "nft list map inet netd subout4")
    return [tuple(map(int, m)) for m in re.findall(re.escape(address) + r" \. (\d+)-(\d+)", out)]


def within(seen, address, node):
    first, last = ranges(node, default)[0]
    return bool(seen) and all(a == address and isinstance(p, int) and first <= p <= last for a, p in seen)


ns, ip, where = {}, {}, {}


def make(name, node, sub="s", **props):
    ns[name], ip[name] = placed(lambda: member(name, "v", sub, **props), f"node{node}")
    where[name] = node


put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16", "fd00:9::/48"]}}})
subnet("v", "s", ["10.9.1.0/24"])
subnet("v", "t", ["10.9.2.0/24", "fd00:9:0:2::/64"])
make("b", 2)  # the first: node2 is the VNet's home
default = wait(lambda: (asks("b") or [("none", 0)])[0][0] not in ("none", "") and asks("b")[0][0], 10)
ok(ranges(2, default) == [(1024, LOW - 1)], "the home has the lower half of the ports of the default outbound address", ranges(2, default))
make("a", 1)
make("c", 3)
ok(wait(lambda: ranges(1, default) and ranges(3, default), 5), "each branch has some of its own", (ranges(1, default), ranges(3, default)))
(a1,), (a3,) = ranges(1, default), ranges(3, default)
ok(all(x[0] >= LOW and x[0] % BLOCK == 0 and (x[1] + 1) % BLOCK == 0 for x in (a1, a3)) and (a1[1] < a3[0] or a3[1] < a1[0]), "whole blocks of the upper half, and nobody else's", (a1, a3))

# ---- by the node that they are on, whichever the answers come in by
for entry in NODES:
    by(entry, default)
    for name in "abc":
        for kind in ("tcp", "udp"):
            seen = asks(name, 5, kind)
            ok(within(seen, default, where[name]), f"{kind} of a group on node{where[name]}, answered by node{entry}: by its node's ports", seen)
by(1, default)
for name in "abc":
    seen, out = came(lambda: asks(name, 20))
    node = where[name]
    ok(within(seen, default, node) and out[node] >= 60 and all(out[k] < 30 for k in NODES if k != node), f"what a group on node{node} sends leaves by that node's uplink", (seen[:3], out))
    ok("1 received" in inns(ns[name], "ping -c1 -W1 192.0.2.1"), "what has no ports leaves too, by the home")
seen = asks("c", 2000, "udp")
ok(within(seen, default, 3) and len({p for _, p in seen}) > 1000, "ports are drawn from all of them", len({p for _, p in seen}))

# ---- what is said about a flow by others on the way
for entry in NODES:
    by(entry, default)
    ok(asks("c", 1, "udp", port=9)[0] == ("none", 111), f"an error about a flow, that comes in by node{entry}, reaches who began it", asks("c", 1, "udp", port=9))

# ---- a NAT gateway
NAT = N + "natGateways/g"
for x, version in (("nat", "IPv4"), ("nat2", "IPv4")):
    put(N + "publicIPAddresses/" + x, {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": version}})
nat, nat2 = (call("GET", N + "publicIPAddresses/" + x)[1]["properties"]["ipAddress"] for x in ("nat", "nat2"))
put(NAT, {"sku": {"name": "Standard"}, "properties": {"idleTimeoutInMinutes": 4, "publicIpAddresses": [{"id": N + "publicIPAddresses/nat"}]}})
subnet("v", "t", ["10.9.2.0/24", "fd00:9:0:2::/64"], natGateway={"id": NAT})
for name, node in (("tb", 2), ("ta", 1), ("tc", 3)):
    make(name, node, "t")
ok(wait(lambda: all(asks(x)[0][0] == nat for x in ("ta", "tb", "tc")), 5), "a NAT gateway is used on every node", [asks(x) for x in ("ta", "tb", "tc")])
for entry in NODES:
    by(entry, nat)
    for name in ("ta", "tb", "tc"):
        seen = asks(name, 5) + asks(name, 5, "udp")
        ok(within(seen, nat, where[name]), f"by its address, on node{where[name]}, answered by node{entry}", seen)
by(2, nat)
seen, out = came(lambda: asks("tc", 20))
ok(out[3] >= 60 and out[1] < 30 and out[2] < 30, "and leaves by the uplink of node3", out)
put(NAT, {"sku": {"name": "Standard"}, "properties": {"idleTimeoutInMinutes": 4, "publicIpAddresses": [{"id": N + "publicIPAddresses/" + x} for x in ("nat", "nat2")]}})
by(1, nat2)
for k in range(8):
    net("addr", "add", f"198.51.100.{k}/32", "dev", "lo")
several = lambda: [x for k in range(8) for x in asks("tc", 1, to=f"198.51.100.{k}")]  # who goes where decides, as in Azure
ok(wait(lambda: {a for a, _ in several()} == {nat, nat2}, 5), "two addresses share its flows on a branch", several())
ok(within([x for x in several() if x[0] == nat2], nat2, 3), "by the same ports", several())
RST = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP); r = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP); r.settimeout(1); s.bind(("192.0.2.1", 0))
src, dst, port = "192.0.2.1", sys.argv[1], int(sys.argv[2])
head = struct.pack("!HHIIBBHHH", 4321, port, 7, 9, 5 << 4, 0x10, 1000, 0, 0)
pseudo = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, 6, len(head))
t = sum(struct.unpack("!%dH" % ((len(pseudo) + len(head)) // 2), pseudo + head)); t = (t >> 16) + (t & 0xffff); t += t >> 16
s.sendto(head[:16] + struct.pack("!H", ~t & 0xffff) + head[18:], (dst, 0))
try:
    while True:
        p = r.recv(2000)
        if p[12:16] == socket.inet_aton(dst) and p[20 + 13] & 4: print("reset"); break
except OSError: print("nothing")
"""
segment = lambda a, port: subprocess.run(["nsenter", "--net=/run/netns/internet", sys.executable, "-c", RST, a, str(port)], capture_output=True, text=True).stdout.strip()
for entry in NODES:
    by(entry, nat)
    ok([segment(nat, p) for p in (5000, a1[0] + 7, a3[0] + 7)] == ["reset"] * 3, f"a segment of a connection that is not known is answered with a reset, of each node's ports (node{entry})", [segment(nat, p) for p in (5000, a1[0] + 7, a3[0] + 7)])

# ---- what goes before it, and what does not
route = lambda kind: {"location": "w", "properties": {"routes": [{"name": "r", "properties": {"addressPrefix": "192.0.2.0/24", "nextHopType": kind}}]}}
put(N + "routeTables/t", route("None"))
subnet("v", "t", ["10.9.2.0/24", "fd00:9:0:2::/64"], natGateway={"id": NAT}, routeTable={"id": N + "routeTables/t"})
ok(wait(lambda: asks("tc")[0][0] == "none", 3), "a route to nowhere holds on a branch", asks("tc"))
put(N + "routeTables/t", route("Internet"))
ok(wait(lambda: within(asks("tc"), nat, 3) or within(asks("tc"), nat2, 3), 3), "one to the internet leaves by the NAT gateway", asks("tc"))
subnet("v", "t", ["10.9.2.0/24", "fd00:9:0:2::/64"], natGateway={"id": NAT})
front = public("front")
by(1, front)
out_rule = {"name": "o", "properties": {"protocol": "All", "frontendIPConfigurations": [{"id": LB + "lb/frontendIPConfigurations/f"}], "backendAddressPool": {"id": LB + "lb/backendAddressPools/b"}}}
body = balancer("lb", {"f": "front"}, [pool(members=[ip["c"]])], [], [])
body["properties"]["outboundRules"] = [out_rule]
s, d, _ = call("PUT", LB + "lb", body)
ok(s in (200, 201) and wait(lambda: asks("c")[0][0] == front, 5), "a member of an outbound rule leaves by the load balancer's address, from a branch too", (s, d if s > 201 else "", asks("c")))
ok(within(asks("a"), default, 1), "others do not", asks("a"))
call("DELETE", LB + "lb")
ok(wait(lambda: within(asks("c"), default, 3), 5), "and not any more when it is gone", asks("c"))

# ---- control begins anew: the ports are the same
before = {k: ranges(k, default) for k in NODES}
os.kill(int(role_pid("control")), signal.SIGKILL)
ok(wait(lambda: call("GET", "/netd/nodes")[0] == 200, 10) and wait(lambda: {k: ranges(k, default) for k in NODES} == before, 5) and within(asks("c", 5), default, 3), "control begins anew: each has the ports that it had", ({k: ranges(k, default) for k in NODES}, before))

# ---- the home is lost
by(1, default), by(1, nat)
DRIP = "import socket, sys, time\ns = socket.create_connection(('192.0.2.1', 8001), 2); s.settimeout(3)\nend = time.time() + float(sys.argv[1])\nn = 0\nwhile time.time() < end:\n    d = s.recv(4096)\n    if not d: break\n    n += len(d)\nprint(n if d else 'ended')"
long = subprocess.Popen(["nsenter", "--net=" + ns["tc"], sys.executable, "-c", DRIP, "12"], stdout=subprocess.PIPE, text=True)
conf = f"/node2.conf".encode()
pids = [int(open(f"{LAB}/netd2.pid").read())] + [int(p) for p in os.listdir("/proc") if p.isdigit() and b"--role" in cmdline(p) and conf in cmdline(p)]
subprocess.run(["ip", "-n", "node2", "link", "set", "under0", "down"])
for p in pids:
    os.kill(p, signal.SIGSTOP)
rts[2].away = True
seen = asks("c", 5) + asks("tc", 5) + asks("a", 5)
ok(len(seen) == 15 and all(a in (default, nat, nat2) for a, _ in seen), "while the home is gone, and not yet known to be, groups of others begin flows", seen)
ok(wait(lambda: {n["name"]: n["state"] for n in call("GET", "/netd/nodes")[1]["value"]}["node2"] == "NotReady", 12), "it is known")
ok(wait(lambda: within(asks("c", 3), default, 3), 8), "they go on, by another home", (asks("c", 3), ranges(3, default)))
said = (long.wait(), long.stdout.read().strip())
ok(said[0] == 0 and said[1] not in ("", "ended"), "also one that had begun", said)
now = {k: ranges(k, default) for k in (1, 3)}
ok(wait(lambda: all(x[0] == default for x in asks("a", 3)), 5) and sorted(k for k in now if now[k] != before[k]) == [k for k in now if now[k] == before[2]] and len(set(map(str, now.values()))) == 2, "whose ports are the home's now; others have theirs", now)
subprocess.run(["ip", "-n", "node2", "link", "set", "under0", "up"])
for p in pids:
    os.kill(p, signal.SIGCONT)
rts[2].away = False
server.stdin.close()
t.end()
