#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public frontends of a VNet over three nodes, each with an uplink: whichever a packet comes in by, it goes to the node of its backend, which answers
by its own uplink. No node on the way keeps state, so that slots, nodes and the way in may change under load."""
import collections, re, signal
from balancers import *

SECONDS, RATE, DOWNLOADS = (20, 2000, 200) if os.environ.get("LONG") == "1" else (6, 400, 40)
inside("limit-requests=0", "flows=1000000", "pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64", nodes=3, uplinks=True)
LAB = os.environ["NETD_LAB"]
NODES = (1, 2, 3)
call("PUT", RG, {"location": "westeurope"})
rts = {k: Servers(node=k) for k in NODES}


def net(*words):
    return subprocess.run(["ip", "-n", "internet", *words], check=True)


def hop(node, six=False):
    return ("2001:db8::2" if six else "192.0.2.2") if node == 1 else f"2001:db8:88{node}::2" if six else f"192.88.{node}.2"


def by(node, ip):
    """The internet sends the address to that node."""
    six = ":" in ip
    net(*(["-6"] if six else []), "route", "replace", ip, "via", hop(node, six))


def who(a, port=80, ns="/run/netns/internet", source=""):
    a = f"[{a}]" if ":" in a else a
    return inns(ns, f"curl -s -m 1 {source} http://{a}:{port}/").strip()


def space(node, ns):
    return f"{LAB}/node{node}/run/ns/{ns}"


def router(node):
    """The VNet's router there."""
    return space(node, min((f for f in os.listdir(space(node, "")) if f.startswith("v")), key=lambda f: int(f[1:])))  # of "v", which came first


def counted(node, way="rx"):
    """Packets between the internet and that node."""
    return int(subprocess.run(["ip", "netns", "exec", "internet", "cat", f"/sys/class/net/net{node}/statistics/{way}_packets"], capture_output=True, text=True).stdout)


def flows(node, what):
    """Flows to the address that the VNet's router there knows."""
    return [l for l in inns(router(node), "cat /proc/net/nf_conntrack").splitlines() if f"dst={what} " in l]


put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16", "fd00:9::/48"]}}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"])
ns, ip, ip6, where = {}, {}, {}, {}


def make(name, node):
    ns[name], ip[name] = placed(lambda: member(name, "v", "s"), f"node{node}")
    ip6[name] = next(a for a in rts[node].groups[(CG + name).lower()]["addresses"] if ":" in a)
    where[name] = node


for name, node in (("b", 2), ("b2", 2), ("a", 1), ("c", 3)):  # node2 is the home
    make(name, node)
pub = public("p")
put(N + "publicIPAddresses/p6", {"location": "w", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv6"}})
pub6 = call("GET", N + "publicIPAddresses/p6")[1]["properties"]["ipAddress"]
RULES = [rule("lb", "http", enableTcpReset=True), rule("lb", "udp", proto="Udp", probe=None), rule("lb", "six", front="f6", pool="b6"), rule("lb", "six-udp", front="f6", pool="b6", proto="Udp", probe=None),
         rule("lb", "src", port=81, loadDistribution="SourceIP"), rule("lb", "srcp", port=82, loadDistribution="SourceIPProtocol")]


def doc(members="b a c", **more):
    members = members.split()
    d = balancer("lb", {"f": "p", "f6": "p6"}, [pool(members=[ip[m] for m in members], drainPeriodInSeconds=60), pool("b6", members=[ip6[m] for m in members], drainPeriodInSeconds=60)], RULES, [probe()], **more)
    d["properties"]["frontendIPConfigurations"][1]["properties"]["privateIPAddressVersion"] = "IPv6"
    return d


def balance(members, n):
    s, d, _ = call("PUT", LB + "lb", doc(members))
    return ok(s in (200, 201) and wait(lambda: up("lb", "http") == n, 15), f"members are {members}", (s, d, up("lb", "http")))


balance("b a c", 3)
for k in NODES:
    text = inns(router(k), "nft list ruleset && echo; echo whole")
    ok(text.rstrip().endswith("whole") and "map away4" in text and "chain muxfront" in text, f"nft lists the ruleset of node{k}", text[-200:])

# ---- in by any node, out by the backend's
for entry in NODES:
    by(entry, pub)
    by(entry, pub6)
    c = collections.Counter(who(pub) for _ in range(60))
    ok(set(c) == {"a", "b", "c"}, f"in by node{entry}: all backends", c)
    c = collections.Counter(who(pub6) for _ in range(40))
    ok(set(c) == {"a", "b", "c"}, f"in by node{entry}: by IPv6 too", c)
    ok(all(len({who(pub, port) for _ in range(6)}) == 1 for port in (81, 82)), f"in by node{entry}: by source, one backend")
same = lambda: [who(pub, port, source="--interface 192.0.2.1") for port in (81, 82)]
wanted = same()
for entry in NODES:
    by(entry, pub)
    ok(same() == wanted and "" not in wanted, f"in by node{entry}: the same one", wanted)
for x in ("a", "b", "c"):
    serve(ns[x], f"{ip[x]}", "99")
call("PUT", LB + "lb", {**doc(), "properties": {**doc()["properties"], "loadBalancingRules": RULES + [rule("lb", "who", port=99, to=99, probe=None)]}})
wait(lambda: ask("/run/netns/internet", pub, 99) not in ("", "timeout"), 5)
for entry in NODES:
    by(entry, pub)
    got = {ask("/run/netns/internet", pub, 99) for _ in range(12)}
    ok(got == {"192.0.2.1" if entry == 1 else f"192.88.{entry}.1"}, f"in by node{entry}: backends see the client", got)
for entry in NODES:
    by(entry, pub)
    was = {k: counted(k) for k in NODES}
    for _ in range(60):
        who(pub)
    out = {k: counted(k) - was[k] for k in NODES}
    ok(all(v > 20 for v in out.values()), f"in by node{entry}: each backend's node answers by its own uplink", out)
by(1, pub)
slow = [subprocess.Popen(["nsenter", "--net=/run/netns/internet", "curl", "-s", "-m", "20", "-o", "/dev/null", f"http://{pub}/slow"]) for _ in range(12)]
time.sleep(0.7)
live = {k: {l.split("sport=")[1].split()[0] for l in flows(k, pub) if "ESTABLISHED" in l} for k in NODES}
ok(all(live.values()) and not any(live[j] & live[k] for j in NODES for k in NODES if j < k), "each flow is known at one node alone: its backend's", {k: len(v) for k, v in live.items()})
ok(all(p.wait() == 0 for p in slow), "and they end well")

# What the home has translated for a backend elsewhere, its slot having moved meanwhile, may have the client and port of a flow that ended there: conntrack gives it another port. Its answer goes back to
# the home all the same.
by(3, pub)
used = next(p for p in range(20000, 20100) if who(pub, source=f"--local-port {p}") == "c")
knocked = inns(router(2), f"""{sys.executable} -W ignore -c '
from scapy.all import *
got, vx = [], next(i for i in get_if_list() if i.startswith("vx"))
sniffer = AsyncSniffer(iface=vx, lfilter=lambda p: p.haslayer(TCP) and (p[IP].src, p[IP].dst) == ("{ip["c"]}", "192.88.3.1") and p[TCP].flags == "SA", prn=lambda p: got.append(p[TCP].dport), started_callback=lambda: sendp(
    Ether(src="02:ff:00:00:00:02", dst="02:ff:00:00:00:03") / IP(src="192.88.3.1", dst="{ip["c"]}") / TCP(sport={used}, dport=80, seq=7, flags="S"), iface=vx, verbose=0))
sniffer.start()
time.sleep(0.5)
print(got)'""")
ok(knocked.strip() == f"[{used}]", "a flow that the home translated is answered by the home, also if its port was another's here", knocked)

# ---- sizes: datagrams, a client behind a narrow link, errors
for entry in NODES:
    by(entry, pub)
    by(entry, pub6)
    for a in (pub, pub6):
        s = socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(1)
        s.connect((a, 80))
        got = []
        for size in (100, 1400, 4000, 9000):
            for _ in range(3):
                try:
                    s.send(b"y" * size)
                    back = len(s.recv(10000))
                    break
                except OSError as e:
                    back = str(e)
            got.append(back)
        ok(got == [100, 1400, 4000, 9000], f"in by node{entry}: datagrams to {a} of 100 to 9,000 bytes come back", got)
        outcome = set()
        for port in range(6):  # flows of several backends
            s = socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(*((socket.IPPROTO_IPV6, 23, 2) if ":" in a else (socket.IPPROTO_IP, 10, 2)))
            s.settimeout(1)
            s.connect((a, 80))
            got = ""
            for _ in range(3):  # errors are said once a second
                try:
                    s.send(b"z" * (1452 if ":" in a else 1472))
                    got = len(s.recv(10000))
                except OSError as e:
                    got = e.errno or "timeout"
                if got != "timeout":
                    break
            outcome.add(got)
        ok(outcome <= {90, 1472, 1452}, f"in by node{entry}: a whole frame to {a} that may not be fragmented arrives, or draws \"too big\"", outcome)
subprocess.run("ip netns add narrow && ip link add name nar0 mtu 1280 netns internet type veth peer name nar1 mtu 1280 netns narrow && ip -n internet link set nar0 up && ip -n narrow link set nar1 up"
               " && ip -n internet addr add 198.18.0.1/24 dev nar0 && ip -n narrow addr add 198.18.0.2/24 dev nar1 && ip -n narrow route add default via 198.18.0.1"
               " && ip -n internet addr add 2001:db8:18::1/64 dev nar0 nodad && ip -n narrow addr add 2001:db8:18::2/64 dev nar1 nodad && ip -n narrow -6 route add default via 2001:db8:18::1"
               " && ip netns exec internet sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1", shell=True, check=True)
inns("/run/netns/narrow", "ip link set lo up")
for x in ("a", "b", "c"):
    path = f"{rts[where[x]].dir}/{x}"
    open(path + "/big", "wb").write(os.urandom(10_000_000))
    conf = open(path + "/conf").read()
    if "/big" not in conf:
        open(path + "/conf", "w").write(conf.replace("location = /slow", f"location = /big {{ root {path}; }} location = /slow"))
        rts[where[x]].end((CG + x).lower())
        rts[where[x]].servers[(CG + x).lower()] = [subprocess.Popen(["nsenter", "--net=" + ns[x], NGINX, "-p", path, "-c", path + "/conf"], stderr=subprocess.DEVNULL), subprocess.Popen(["nsenter", "--net=" + ns[x], TRAFFIC, "echo", "80"])]
wait(lambda: {who(pub) for _ in range(20)} == {"a", "b", "c"}, 10)
for entry in NODES:
    for a in (pub, pub6):
        by(entry, a)
        got = [inns("/run/netns/narrow", f"curl -s -m 10 -o /dev/null -w %{{size_download}} http://{'[' + a + ']' if ':' in a else a}/big") for _ in range(6)]
        ok(got == ["10000000"] * 6, f"in by node{entry}: 10 MB from {a} to a client behind 1,280 bytes", got)

# ---- what is no frontend's, at the same address
nat = doc()
nat["properties"]["inboundNatRules"] = [{"name": "n", "properties": {"frontendIPConfiguration": {"id": LB + "lb/frontendIPConfigurations/f"}, "backendAddressPool": {"id": LB + "lb/backendAddressPools/b"},
                                                                     "protocol": "Tcp", "frontendPortRangeStart": 2200, "frontendPortRangeEnd": 2209, "backendPort": 80}}]
s, d, _ = call("PUT", LB + "lb", nat)
ports = range(2200, 2203)
for entry in NODES:
    by(entry, pub)
    ok(wait(lambda: {who(pub, p) for p in ports} == {"a", "b", "c"}, 3), f"in by node{entry}: ports of inbound NAT rules lead to one backend each", (s, [who(pub, p) for p in ports]))
for entry in NODES:
    by(entry, pub)
    r = subprocess.run(["nsenter", "--net=/run/netns/internet", "curl", "-s", "-m", "1", f"http://{pub}:4444/"], capture_output=True)
    ok(r.returncode in (7, 28), f"in by node{entry}: a port of nobody stays closed", r.returncode)
watch = lambda k: sum(int(x) for x in re.findall(r"packets (\d+) .*(?:own source|address as a source)", inns(router(k), "nft list ruleset")))
for entry in NODES:
    by(entry, pub)
    by(entry, pub6)
    was = watch(entry)
    sniff = {k: subprocess.Popen(["nsenter", "--net=" + router(k), "timeout", "3", "tcpdump", "-nnlqi", "any", "tcp src portrange 4242-4251 and (net 10.9.0.0/16 or net fd00:9::/48)"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for k in NODES}
    for p in sniff.values():
        p.stderr.readline()
    for src, dst in (("168.63.129.16", pub), ("10.9.1.1", pub), ("fd53:a83f:8110::10", pub6)):
        subprocess.run([sys.executable, "-W", "ignore", "-c", "import logging\nlogging.disable(50)\nfrom scapy.all import *\nconf.verb=0\n"
                        f"I=IPv6 if ':' in {dst!r} else IP\nsend([I(src={src!r},dst={dst!r})/TCP(sport=4242+p,dport=80,flags='S') for p in range(10)])"], check=True)
    heard = [l for p in sniff.values() for l in p.communicate()[0].splitlines() if ip["a"] in l or ip["b"] in l or ip["c"] in l or ip6["a"] in l or ip6["b"] in l or ip6["c"] in l]
    ok(watch(entry) - was >= 30 and not heard, f"in by node{entry}: sources that are the plane's own come to no backend", (watch(entry) - was, heard[:3]))
outside = serve("/run/netns/internet", "192.0.2.1", "8000")
for entry in NODES:
    by(entry, pub)
    got = {x: ask(ns[x], "192.0.2.1", 8000) for x in ("a", "b", "c")}
    ok(set(got.values()) == {pub}, f"answers to what groups begin by the frontend's address come back, in by node{entry}", got)
    got = [inns(ns[x], f"curl -s -m 1 http://{pub}/").strip() for x in ("a", "b", "c") for _ in range(6)]
    ok(all(g in ("a", "b", "c") for g in got), f"groups reach their own frontend, in by node{entry}", got)

# ---- groups with public addresses of their own, which no VNet is needed for
own, room = {}, {}
for k in (3, 1, 2):  # node3 is the home of the subscription's
    placed(lambda: call("PUT", CG + f"own{k}", group(f"own{k}")), f"node{k}")
    wait(lambda: state(CG + f"own{k}") == "Succeeded")
    d = call("GET", CG + f"own{k}")[1]
    own[k], room[k] = d["properties"]["ipAddress"]["ip"], d["netd"]["namespace"]
    ok(d["netd"]["node"] == f"node{k}", f"a group on node{k}", d["netd"])
for k in NODES:
    for entry in NODES:
        by(entry, own[k])
        ok(wait(lambda: who(own[k]) == f"own{k}", 3), f"in by node{entry}: the group on node{k} is reached", who(own[k]))
        ok(ask(room[k], "192.0.2.1", 8000) == own[k], f"in by node{entry}: it leaves by its own address, and answers come back")
    for j in NODES:
        ok(inns(room[j], f"curl -s -m 1 http://{own[k]}/").strip() == f"own{k}", f"from node{j} too")
    by(k % 3 + 1, own[k])
    was = {j: counted(j) for j in NODES}
    for _ in range(20):
        who(own[k])
        ask(room[k], "192.0.2.1", 8000)
    out = {j: counted(j) - was[j] for j in NODES}
    ok(out[k] > 60 and all(v < 30 for j, v in out.items() if j != k), f"what the group on node{k} sends leaves by its own node", out)
    big = inns(room[k], "ping -c1 -W1 -s 1372 192.0.2.1")
    ok("1 received" in big, "also echo", big)
ok(all(inns(room[k], "dig +short +time=1 +tries=2 @168.63.129.16 own1.westeurope.azurecontainer.io >/dev/null && echo said").strip() == "said" for k in NODES), "and 168.63.129.16 answers to each")

# ---- slots move, the way in changes, the home moves, under load
by(1, pub)


os.makedirs(f"{LAB}/near", exist_ok=True)
open(f"{LAB}/near/conf", "w").write(CONF.format(d=f"{LAB}/near", name="near", tls="").replace("listen 80", "listen 8001").replace("[::]:80", "[::]:8001"))
near = subprocess.Popen(["nsenter", "--net=/run/netns/internet", NGINX, "-p", f"{LAB}/near", "-c", f"{LAB}/near/conf"], stderr=subprocess.DEVNULL)
wait(lambda: who("192.0.2.1", 8001) == "near", 3)


def under_load(what, do, kept=RATE // 10):
    """Not one may fail, or be late; a machine that is late itself, as a server beside the client says, is asked again."""
    for _ in range(3):
        run, idle = load(pub, 80, SECONDS, RATE, kept, DOWNLOADS, 0), load("192.0.2.1", 8001, SECONDS, 50, 0, 0, 0)
        time.sleep(1)
        do()
        run, idle = run.result(), idle.result()
        print(f"# {what}: slowest to connect {run['new']['slowest']} ms, the client late {run['new']['late']} ms, and {idle['new']['late']} ms beside it")
        if not idle["new"]["failed"] or any("reset" in str(v["why"]) or "refused" in str(v["why"]) for v in run.values()):
            break
        print(f"# {what}: the machine stood still ({idle['new']})")
    for k, v in run.items():
        v["done"] + v["failed"] and ok(v["done"] > 0 and v["failed"] == 0, f"{what}: {v['done']} {k}, {v['failed']} failed", v["why"])


def turn():
    for members in ("b", "b a c", "a c", "b c", "b a c"):
        call("PUT", LB + "lb", doc(members))
        time.sleep(0.6)


under_load("slots move between nodes", turn)


def ways():
    for _ in range(3):
        for k in (2, 3, 1):
            by(k, pub)
            time.sleep(0.25)


under_load("the way in changes", ways)


def both():
    for i, members in enumerate(("a c", "b c", "b a c", "a c", "b a c", "b c")):
        by(1 + i % 3, pub)
        call("PUT", LB + "lb", doc(members))
        time.sleep(0.4)


under_load("both at once", both)
balance("b a c", 3)


def scale():
    call("PUT", LB + "lb", doc("b b2 a c"))
    time.sleep(1)
    call("PUT", LB + "lb", doc("b2 c"))
    time.sleep(1)
    call("PUT", LB + "lb", doc("b a c"))


under_load("scaled out and in", scale)


def node_of(name):
    return call("GET", CG + name)[1]["netd"]["node"]


def drained():
    """The node that c is on; it ends there when no flow is left, and begins anew on another."""
    at = node_of("c")
    s, d, _ = call("POST", f"/netd/nodes/{at}/drain")
    began = time.time()
    gone = wait(lambda: node_of("c") != at, 20)
    print(f"# {at} drained: {s}, its member went after {time.time() - began:.1f} s")
    call("POST", f"/netd/nodes/{at}/uncordon")
    return gone or ok(False, "a drained node's member goes elsewhere", (s, d))


def again():
    call("DELETE", CG + "c")
    wait(lambda: call("GET", CG + "c")[0] == 404)
    make("c", 3)
    balance("b a c", 3)


def slowly():
    """So many that each backend has some: none of c's is once in 190,000."""
    p = [subprocess.Popen(["nsenter", "--net=/run/netns/internet", "curl", "-s", "-m", "20", "-o", "/dev/null", f"http://{pub}/slow"]) for _ in range(30)]
    time.sleep(0.5)
    return p


slow = slowly()
call("POST", "/netd/nodes/node3/drain")
ok(wait(lambda: {who(pub) for _ in range(12)} == {"a", "b"}, 2) and node_of("c") == "node3", "while flows are left, a drained node's member stays, and gets no new ones", (node_of("c"), [who(pub) for _ in range(20)]))
call("POST", "/netd/nodes/node3/uncordon")
ok([p.wait() for p in slow] == [0] * 30 and wait(lambda: {who(pub) for _ in range(20)} == {"a", "b", "c"}, 5) and node_of("c") == "node3", "a node that is uncordoned meanwhile keeps it, and it serves again", node_of("c"))
slow = slowly()
call("POST", "/netd/nodes/node3/drain")
os.kill(role_pid("control"), signal.SIGKILL)
ok(wait(lambda: call("GET", "/netd/nodes")[0] == 200, 10) and [p.wait() for p in slow] == [0] * 30, "control begins anew in the middle of it: what is left ends in peace", [p.poll() for p in slow])
ok(wait(lambda: node_of("c") != "node3" and up("lb", "http") == 3, 20), "and the node is drained all the same", (node_of("c"), up("lb", "http")))
call("POST", "/netd/nodes/node3/uncordon")
again()
by(3, pub)
under_load("a node is drained that packets come in by", drained, kept=0)
by(1, pub)
ok(node_of("c") != "node3" and wait(lambda: up("lb", "http") == 3 and {who(pub) for _ in range(30)} == {"a", "b", "c"}, 10), "its member serves on another", (node_of("c"), up("lb", "http")))


again()
by(3, pub)
under_load("the last group goes of a node that packets come in by", lambda: call("DELETE", CG + "c") and (wait(lambda: call("GET", CG + "c")[0] == 404, 20) or ok(False, "it goes")), kept=0)
by(1, pub)
again()
drains = lambda members: {**doc(members), "properties": {**doc(members)["properties"], "backendAddressPools": [pool(members=[ip[m] for m in members.split()], drainPeriodInSeconds=2), pool("b6", members=[ip6[m] for m in members.split()])]}}
call("PUT", LB + "lb", drains("b a c"))
slow = [subprocess.Popen(["nsenter", "--net=/run/netns/internet", "curl", "-s", "-m", "20", "-o", "/dev/null", f"http://{pub}/slow"]) for _ in range(9)]
time.sleep(0.5)
call("PUT", LB + "lb", drains("a c"))
time.sleep(0.5)
call("PUT", LB + "lb", drains("b a c"))
ok([p.wait() for p in slow] == [0] * 9, "a member that is back in time drains no more")
call("PUT", LB + "lb", drains("b a c"))
slow = [subprocess.Popen(["nsenter", "--net=/run/netns/internet", "curl", "-s", "-m", "20", "-o", "/dev/null", f"http://{pub}/slow"]) for _ in range(30)]
time.sleep(0.5)
call("PUT", LB + "lb", drains("a c"))
ends = [p.wait() for p in slow]
ok(set(ends) == {0, 56} and ends.count(56) < 24, "one that is not is reset when its time is over, wherever its flows came in", ends)
balance("b a c", 3)
under_load("the home goes to another node", lambda: call("POST", "/netd/nodes/node3/take", {"virtualNetwork": VNET + "v"}))
ok(wait(lambda: {who(pub) for _ in range(20)} == {"a", "b", "c"}, 5), "and all is well")
for k in NODES:
    by(k, pub)
    by(k, pub6)
    ok({who(pub) for _ in range(40)} == {"a", "b", "c"} and {who(pub6) for _ in range(40)} == {"a", "b", "c"}, f"in by node{k} too")

# ---- all backends out for a moment: what stands, stands
by(1, pub)
run = subprocess.Popen(["nsenter", "--net=/run/netns/internet", "curl", "-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", f"http://{pub}/slow"], stdout=subprocess.PIPE, text=True)
time.sleep(0.5)
d = doc()
for a in d["properties"]["backendAddressPools"][0]["properties"]["loadBalancerBackendAddresses"]:
    a["properties"]["adminState"] = "Down"
call("PUT", LB + "lb", d)
ok(wait(lambda: who(pub) == "", 3), "no backend takes new flows")
ok(run.communicate()[0] == "200 160000", "a flow that stands goes on")
balance("b a c", 3)

# ---- nothing to repair, and a lost home
engine = lambda: [l for l in subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout.split("\n") if "netd_engine_repairs_total" in l or "netd_engine_failures_total" in l]
was = engine()
time.sleep(3)
ok(len(was) == 6 and engine() == was, "no engine finds anything to repair", (was, engine()))
by(1, pub)
runs = {}
for _ in range(24):
    s = socket.socket()
    s.settimeout(1)
    s.connect((pub, 80))
    port = s.getsockname()[1]
    at = next((k for k in NODES if any(f"sport={port} " in l and "ESTABLISHED" in l for l in flows(k, pub))), 0)
    runs.setdefault(at, []).append(s)
for p in [int(open(f"{LAB}/netd3.pid").read())] + [int(p) for p in os.listdir("/proc") if p.isdigit() and b"--role" in cmdline(p) and b"/node3.conf" in cmdline(p)]:
    os.kill(p, signal.SIGSTOP)
for k in (1, 2):
    by(1, own[k])
subprocess.run(["ip", "-n", "node3", "link", "set", "dev", "under0", "down"], check=True)
subprocess.run(["ip", "-n", "node3", "link", "set", "dev", "wan", "down"], check=True)
begun = time.time()
kept = 0
for at in (1, 2):
    for s in runs.get(at, []):
        s.send(b"GET / HTTP/1.0\r\n\r\n")
        kept += s.recv(100).startswith(b"HTTP/1.1 200")
ok(who(own[1]) == "own1" and who(own[2]) == "own2" and ask(room[1], "192.0.2.1", 8000) == own[1], "groups with addresses of their own on others too, though it was the home")
ok(kept == len(runs.get(1, [])) + len(runs.get(2, [])) > 5, "flows of other nodes go on while the home is gone", (kept, {k: len(v) for k, v in runs.items()}))
c = collections.Counter(who(pub) for _ in range(15))
ok(c["a"] + c["b"] > 4, "and new ones come to them at once", c)
ok(wait(lambda: time.time() - begun > 5 and "" not in {who(pub) for _ in range(10)}, 20), "all of them as soon as it is known to be lost")
near.terminate()
print(f"# node lost to no failures: {time.time() - begun:.1f} s")
t.end()
