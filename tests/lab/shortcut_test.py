#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's shortcut: what it takes past the gateway's stack, what it leaves to it, what comes of faults; and
a node that is told to do without."""
import re
from balancers import *

inside("limit-requests=0", "pool=onlink 192.0.2.64/26", "pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64", "bpf=" + os.environ.get("BPF", "1"))
BPF = os.environ.get("BPF", "1") == "1"
rt = Servers()
call("PUT", RG, {"location": "westeurope"})
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16", "fd00:9::/48"]}}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"])
f = public("f")
put(N + "publicIPAddresses/p6", {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv6"}})
f6 = call("GET", N + "publicIPAddresses/p6")[1]["properties"]["ipAddress"]
m, own = member("m", "v", "s")
own6 = next(x for x in rt.groups[(CG + "m").lower()]["addresses"] if ":" in x)
d = balancer("lb", {"f": "f", "f6": "p6"}, [pool(members=[own]), pool("b6", members=[own6])], [rule("lb", "http"), rule("lb", "udp", proto="Udp", probe=None), rule("lb", "six", front="f6", pool="b6")], [probe()])
d["properties"]["frontendIPConfigurations"][1]["properties"]["privateIPAddressVersion"] = "IPv6"
s, d, _ = call("PUT", LB + "lb", d)
ok(s == 201 and wait(lambda: up("lb", "http") == 1 and up("lb", "six") == 1, 15), "a frontend of each family", d)
lab = NS + "/"
gw, router = lab + "gw", lab + next(n for n in namespaces() if n[0] == "v")
link = "v" + router.rsplit("/v", 1)[1]
host = "/run/netns/node1"
inns = lambda ns, c: subprocess.run(["nsenter", "--net=" + ns, "sh", "-c", c], capture_output=True, text=True).stdout
get = lambda a: subprocess.run(["curl", "-gsm3", f"http://[{a}]/" if ":" in a else f"http://{a}/"], capture_output=True, text=True).stdout.strip()


def stack():
    """Packets that the gateway's stack has routed, of both families."""
    v4 = [l.split() for l in inns(gw, "cat /proc/net/snmp").splitlines() if l.startswith("Ip:")]
    v6 = [l.split() for l in inns(gw, "cat /proc/net/snmp6").splitlines() if l.startswith("Ip6OutForwDatagrams")]
    return int(v4[1][v4[0].index("ForwDatagrams")]) + int(v6[0][1])


def filters():
    return [inns(gw, "tc filter show block 110").count(" netd "), inns(host, "tc filter show dev wan ingress").count(" netd ")]


def scapy(code, ns=None):
    return subprocess.run((["nsenter", "--net=" + ns] if ns else []) + [sys.executable, "-W", "ignore", "-c", "import logging\nlogging.disable(50)\nfrom scapy.all import *\nconf.verb=0\n" + code], capture_output=True, text=True)


before = stack()
ok([get(a) for a in (f, f6, f, f6)] == ["m"] * 4, "requests by IPv4 and IPv6")
through = stack() - before
if not BPF:  # the same node without programs
    ok(filters() == [0, 0] and through >= 20, "told to do without: no program, and the gateway routes", (filters(), through))
    t.end()
ok(filters() == [1, 1], "programs are bound", filters())
ok(through == 0, "and none of it passed the gateway's stack", through)

before = stack()
scapy(f"send(IP(dst={f!r},options=[IPOption_NOP()])/TCP(sport=4000,dport=80,flags='S'))\nsend(IP(dst={f!r},ttl=2)/TCP(sport=4001,dport=80,flags='S'))")
ok(stack() - before >= 1, "a packet with options goes the usual way", stack() - before)
said = scapy(f"a=sr1(IP(dst={f!r},ttl=1)/UDP(dport=80),timeout=2)\nprint(a and a[ICMP].type)").stdout
ok(said.strip() in ("None", "11"), "a TTL that ends is not carried on", said)

# sources that are not the VNet's: the gateway's rules drop them, whatever the router says
inns(router, "nft add table inet open; nft 'add chain inet open out { type filter hook postrouting priority 300; }'")


def heard(code, match):
    """What of it the internet sees."""
    p = subprocess.Popen(["timeout", "3", "tcpdump", "-nnlqi", "net1", match], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stderr.readline()
    scapy(code, router)
    return [l for l in p.communicate()[0].splitlines() if l.strip()]


mac = re.search(r"link/ether (\S+)", inns(gw, f"ip link show {link}")).group(1)
forged = lambda src: f"sendp(Ether(dst={mac!r})/IP(src={src!r},dst='192.0.2.1')/UDP(sport=5353,dport=9999),iface='gw0',count=5)"
ok(len(heard(forged(f), "udp port 9999")) == 5, "the VNet's own public source leaves")
for src in ("10.9.1.4", "203.0.113.77", "8.8.8.8", "169.254.0.2", "127.0.0.1"):
    ok(heard(forged(src), "udp port 9999") == [], f"{src}, which is not the VNet's: nothing leaves, even from a router that is out of order")

s = subprocess.run(["nc", "-u", "-w1", f, "80"], input="x", capture_output=True, text=True).stdout
ok(s == "x", "UDP", s)

# faults
inns(gw, f"tc qdisc del dev {link} clsact; tc qdisc del dev up0 clsact")
inns(host, "tc filter del dev wan ingress")
lost, bound, end = [], None, time.time() + 60
while time.time() < end and (bound is None or time.time() - bound < 4):
    lost += [a for a in (f, f6) if get(a) != "m"]
    bound = bound or (time.time() if filters() == [1, 1] else None)
ok(lost == [], "a stranger takes the programs away: all goes the usual way, and no request notices that they come back", lost)
ok(filters() == [1, 1], "and they are bound again", filters())
before = stack()
ok(wait(lambda: (lambda b: get(f) == "m" and stack() == b)(stack()), 40), "in use again")
os.kill(role_pid("engine"), 9)
lost = [get(f) for _ in range(60)].count("")
ok(lost == 0 and wait(lambda: filters() == [1, 1], 10), "the engine is killed: no request notices", lost)
inns(host, "tc qdisc add dev wan clsact 2>/dev/null; tc filter add dev wan ingress pref 200 protocol ip u32 match ip dst 198.51.100.0/24 flowid 1:1")
ok(get(f) == "m" and "pref 200" in inns(host, "tc filter show dev wan ingress"), "an administrator's own filters stay beside it")
before = stack()
ok(call("PUT", CG + "web", group(ports=(80,)))[0] in (200, 201) and wait(lambda: state(CG + "web") == "Succeeded"), "a group of its own VNet")
pub = call("GET", CG + "web")[1]["properties"]["ipAddress"]["ip"]
ok(wait(lambda: get(pub) == "web", 10) and stack() == before, "its VNet's link is bound from the start", (get(pub), stack() - before))
ask = inns(m, f"curl -sm3 http://{pub}/")
ok(ask.strip() == "web", "from VNet to VNet by the public address", ask)
r = subprocess.run([sys.executable, os.path.abspath(__file__)], env={k: v for k, v in os.environ.items() if not k.startswith("NETD_LAB")} | {"BPF": "0"}, capture_output=True, text=True)
for l in r.stdout.splitlines():
    if re.match("(not )?ok", l):
        ok(l.startswith("ok"), "without programs: " + l.partition(" - ")[2])
t.end()
