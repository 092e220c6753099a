#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load balancers by real packets: who answers, how flows are shared, health, drains, resets, inbound NAT,
internal frontends; servers and clients that no one here wrote."""
import collections, re
from balancers import *

inside("limit-requests=0", "pool=onlink 192.0.2.64/26", "pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64")
LONG = os.environ.get("LONG") == "1"
Servers.tls = ""
rt = Servers()
call("PUT", RG, {"location": "westeurope"})
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16", "fd00:9::/48"]}}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"])
subnet("v", "fe", ["10.9.9.0/24"])
ip, other = public("p"), public("p2")
put(N + "publicIPAddresses/p6", {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv6"}})
ip6 = call("GET", N + "publicIPAddresses/p6")[1]["properties"]["ipAddress"]
ms = [member(f"m{i}", "v", "s") for i in range(4)]
ips = [a for _, a in ms]
names = {a: f"m{i}" for i, a in enumerate(ips)}
ips6 = [next(x for x in rt.groups[(CG + f"m{i}").lower()]["addresses"] if ":" in x) for i in range(4)]


def who(a=ip, port=80, source_port=0, timeout=1, path="/"):
    """Who answers; what went wrong."""
    s = socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET)
    s.settimeout(timeout)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if source_port:
            s.bind(("", source_port))
        s.connect((a, port))
        s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        got = b""
        while b := s.recv(9999):
            got += b
        return got.rpartition(b"\r\n\r\n")[2].decode().strip()
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "timeout"
    except OSError as e:
        return e.strerror
    finally:
        s.close()


def spread(n=200, **kw):
    return collections.Counter(who(**kw) for _ in range(n))


def set_lb(doc, lb="lb", want=(200, 201)):
    s, d, _ = call("PUT", LB + lb, doc)
    return ok(s in want, f"PUT of {lb}", (s, d)) and d


FRONTS = {"f": "p", "in": ("v", "fe"), "f6": "p6"}
RULES = [rule("lb", "http", enableTcpReset=True), rule("lb", "udp", proto="Udp", probe=None), rule("lb", "in", front="in", port=8080), rule("lb", "six", front="f6", pool="b6")]
PROBES = [probe(), probe("web", "Http", requestPath="/"), probe("bad", "Http", requestPath="/bad")]


def doc(members=ips, rules=RULES, fronts=FRONTS, **more):
    d = balancer("lb", fronts, [pool(members=members, drainPeriodInSeconds=2), pool("b6", members=ips6)], rules, PROBES, **more)
    for f in d["properties"]["frontendIPConfigurations"]:
        if f["name"] == "f6":
            f["properties"]["privateIPAddressVersion"] = "IPv6"
    return d


# ---- who answers ----
set_lb(doc())
ok(wait(lambda: up("lb", "http") == 4 and up("lb", "six") == 4, 15), "four members are healthy")
c = spread()
ok(set(c) == set(names.values()) and min(c.values()) > 20, "all of them answer", c)
c = spread(a=ip6)
ok(set(c) == set(names.values()), "also by IPv6", c)
ok(len({who(source_port=40000) for _ in range(5)}) == 1, "one source port, one member")
fin = next(f for f in call("GET", LB + "lb")[1]["properties"]["frontendIPConfigurations"] if f["name"] == "in")["properties"]["privateIPAddress"]
ask_in = lambda ns: subprocess.run(["nsenter", "--net=" + ns, "curl", "-sm2", f"http://{fin}:8080/"], capture_output=True, text=True).stdout.strip()
c = collections.Counter(ask_in(ms[0][0]) for _ in range(60))
ok(fin.startswith("10.9.9.") and set(c) == set(names.values()), "an internal frontend, also from a member to itself", c)
ok(who(fin, 8080) in ("timeout", "Network is unreachable", "No route to host"), "not from outside", who(fin, 8080))
c = collections.Counter(subprocess.run(["nsenter", "--net=" + ms[0][0], "curl", "-sm2", f"http://{ip}/"], capture_output=True, text=True).stdout.strip() for _ in range(20))
ok(len(c) > 1 and "" not in c, "a member reaches the public frontend", c)


def udp(n=1, s=None):
    s = s or socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect((ip, 80))
    try:
        s.send(b"x")
        return s.recv(9) == b"x"
    except OSError as e:
        return e.strerror or "timeout"


ok(all(udp() is True for _ in range(30)), "UDP is balanced too")
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
s.connect((ip, 80))
s.send(b"y" * 1400)
ok(len(s.recv(2000)) == 1400, "large datagrams come back")
# the client's address
peer = subprocess.Popen(["nsenter", "--net=" + ms[0][0], sys.executable, "-c", SERVE, "0.0.0.0", "90"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
peer.stdout.readline()
set_lb(doc(rules=RULES + [rule("lb", "who", port=90, to=90, pool="one", probe=None)]) | {}, want=(400,))
d = doc(rules=RULES + [rule("lb", "who", port=90, to=90, pool="one", probe=None)])
d["properties"]["backendAddressPools"].append(pool("one", members=ips[:1]))
set_lb(d)
s = socket.create_connection((ip, 90), 2)
ok(s.recv(99).decode() == s.getsockname()[0], "a backend sees the client's address")

# ---- a stranger who says that he is the platform ----
V_ROUTER = next(f"{NS}/{n}" for n in namespaces() if n[0] == "v")


def refused_sources():
    text = subprocess.run(["nsenter", "--net=" + V_ROUTER, "nft", "list", "chain", "inet", "netd", "nsg"], capture_output=True, text=True).stdout
    return int(re.search(r"packets (\d+) .*the router's own source", text).group(1))


heard = subprocess.Popen(["nsenter", "--net=" + V_ROUTER, "timeout", "4", "tcpdump", "-nnlqi", "any", "(tcp src port 4242 or tcp src port 4343) and (dst net 10.9.0.0/16 or dst net fd00:9::/48)"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
heard.stderr.readline()
before = refused_sources()
for src, dst in (("168.63.129.16", ip), ("10.9.1.1", ip), ("fd53:a83f:8110::10", ip6), ("169.254.0.1", ip), ("fd53:a83f:8110::1", ip6)):
    subprocess.run([sys.executable, "-W", "ignore", "-c", "import logging,sys\nlogging.disable(50)\nfrom scapy.all import *\nconf.verb=0\n"
                    f"I=IPv6 if ':' in {dst!r} else IP\nsend([I(src={src!r},dst={dst!r})/TCP(sport=p,dport=80,flags='S') for p in (4242,4343) for _ in range(10)])"], check=True)
ok(refused_sources() - before == 60, "the platform's and the router's addresses as sources from outside: dropped, each counted; the gateway's do not come so far", refused_sources() - before)
told = heard.communicate()[0].strip()
ok(told == "", "and no backend hears of them", told)

# ---- other shares ----
set_lb(doc(rules=[rule("lb", "http", loadDistribution="SourceIP"), rule("lb", "other", port=81, loadDistribution="SourceIP")]))
c = spread(40)
ok(len(c) == 1 and spread(10, port=81) .keys() == c.keys(), "SourceIP: one client, one member, on every port", c)
weights = [{"ipAddress": a, "weight": w} for a, w in zip(ips, (10, 1, 1, 1))]
set_lb(doc(weights))
wait(lambda: up("lb", "http") == 4)
c = spread(400)
ok(220 < c["m0"] < 390 and c.total() == 400, "weights", c)
shares = {m["name"]: m["share"] for m in call("GET", LB + "lb/shares")[1]["value"][0]["members"]}
ok(abs(shares["a0"] - 10 / 13) < 0.02, "shares as they are told", shares)
set_lb(doc([{"ipAddress": ips[0], "adminState": "Down"}, *ips[1:3], {"ipAddress": ips[3], "adminState": "Up"}], [rule("lb", "http", probe="bad")]))
time.sleep(1.5)
c = spread(40)
ok(set(c) == {"m3"}, "adminState Up is in whatever its probe says; status 500 is not healthy", c)
d = doc(rules=[rule("lb", "http", probe="bad")])
d["properties"]["probes"][2]["properties"]["noHealthyBackendsBehavior"] = "AllProbedUp"
set_lb(d)
c = spread(80)
ok(set(c) == set(names.values()), "AllProbedUp", c)
set_lb(doc(rules=[rule("lb", "ha", front="in", proto="All", port=0, to=0, probe=None)]))
c = collections.Counter(subprocess.run(["nsenter", "--net=" + ms[1][0], "curl", "-sm2", f"http://{fin}/"], capture_output=True, text=True).stdout.strip() for _ in range(40))
ok(len(c) > 1 and "" not in c, "HA ports: any port of an internal frontend", c)
ok(inns(ms[1][0], f"ping -c1 -W1 {fin} | grep -c ' 0% packet loss'").strip() == "1", "and echo")

# ---- nobody there ----
set_lb(doc([]))
ok(who() == "refused", "without a backend TCP is refused", who())
ok(udp() == "Connection refused", "and UDP is told so", udp())
ok(ask_in(ms[0][0]) == "" and who(port=81) == "timeout", "a port that no rule has says nothing")
set_lb(doc())
ok(wait(lambda: up("lb", "http") == 4, 15) and who() in names.values(), "with backends it goes on")

# ---- going ----
hold = lambda n, port=80: subprocess.Popen([TRAFFIC, "hold", ip, str(port), str(n)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def told(p, n, seconds):
    """Up to n lines of a process, with when they came."""
    import threading, queue
    if not hasattr(p, "lines"):
        p.lines = queue.Queue()
        threading.Thread(target=lambda: [p.lines.put((l.strip(), time.time())) for l in p.stdout], daemon=True).start()
    out, end = [], time.time() + seconds
    while len(out) < n:
        try:
            out.append(p.lines.get(timeout=max(0.01, end - time.time())))
        except queue.Empty:
            break
    return out


HOLD = "import socket,sys\ns=socket.create_server(('0.0.0.0',91),backlog=99)\nk=[]\nprint('ready',flush=True)\nwhile 1: k.append(s.accept())"
holders = []
for ns, _ in ms:
    holders.append(subprocess.Popen(["nsenter", "--net=" + ns, sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True))
    holders[-1].stdout.readline()
K = [rule("lb", "keep", port=91, to=91, probe=None)]
set_lb(doc(rules=RULES + K))
h = hold(40)
h2 = hold(40, 91)
ok([l for l, _ in told(h2, 1, 5)] == ["ready"], "forty connections stand")
h.kill()
t0 = time.time()
set_lb(doc(ips[1:], RULES + K))
ok("m0" not in spread(60), "an address out of the pool gets no new flow")
ends = told(h2, 41, 4.5)
ok(ends and all(e == "reset" for e, _ in ends) and len(ends) < 30, f"those it had are reset, {len(ends)} of 40", ends[:5])
ok(ends and 1.8 < ends[0][1] - t0 < 4, "after the drain period", ends[:2])
ok(inns(ms[0][0], "ss -Htn state established '( sport = :91 )' | wc -l").strip() == "0", "also at the backend's end")
left = 40 - len(ends)
set_lb(doc(ips[2:], RULES + K))
call("PUT", LB + "lb", doc([{"ipAddress": ips[2], "adminState": "Down"}, ips[3]], RULES + K))
ok("m2" not in spread(40), "adminState Down gets no new flow")
time.sleep(2.6)
h2.stdin.close()
ok(int(inns(ms[2][0], "ss -Htn '( sport = :91 )' | wc -l")) > 0, "and keeps what it has")
h2.kill()

# ---- idle ----
cap = subprocess.Popen(["tcpdump", "-nni", "net1", "-w", os.environ["NETD_LAB"] + "/idle.pcap", f"tcp and host {ip} and port 92"], stderr=subprocess.DEVNULL)
time.sleep(0.5)
h92 = HOLD.replace("91", "92")
keeper = subprocess.Popen(["nsenter", "--net=" + ms[3][0], sys.executable, "-c", h92], stdout=subprocess.PIPE, text=True)
keeper.stdout.readline()
d = doc(ips[3:], [rule("lb", "idle", port=92, to=92, probe=None, enableTcpReset=True, idleTimeoutInMinutes=4), rule("lb", "silent", port=93, to=91, probe=None)])
set_lb(d)
V = [n for n in os.listdir(NS) if n[0] == "v"][0]
V = NS + "/" + V
h3 = hold(1, 92)
h4 = hold(3, 93)
ok([l for l, _ in told(h3, 1, 5) + told(h4, 1, 5)] == ["ready"] * 2, "four connections, idle")
left = [int(l.split()[2]) for l in inns(V, "conntrack -L -p tcp 2>/dev/null").splitlines() if f"dst={ip} " in l and "dport=92 " in l]
ok(left and all(200 < x <= 240 for x in left), "conntrack has the idle time of the rule", left)
time.sleep(0.6)  # the engine listens to flows that end
inns(V, f"conntrack -U -p tcp --orig-dst {ip} --dport 92 -t 1")  # four minutes pass
got = wait(lambda: (inns(V, "conntrack -L 2>/dev/null"), [l for l, _ in told(h3, 1, 0.5)])[1], 15)  # a listing makes the kernel sweep; by itself it takes up to a minute
ok(got == ["reset"], "with enableTcpReset the client's end is reset, though it says nothing", got)
ok(wait(lambda: inns(ms[3][0], "ss -Htn state established '( sport = :92 )' | wc -l").strip() == "0", 3), "and the backend's")
ok(not told(h4, 1, 1), "without, nobody is told")
h3.kill(), h4.kill()
time.sleep(0.3)
cap.terminate()
cap.wait()
from scapy.all import rdpcap, TCP, IP
pk = [p for p in rdpcap(os.environ["NETD_LAB"] + "/idle.pcap") if TCP in p]
rsts = [p for p in pk if p[TCP].flags & 4 and p[IP].src == ip]
acks = [p for p in pk if p[TCP].flags == "A" and p[IP].dst == ip]
ok(len(rsts) >= 1 and all(any(a[TCP].ack == r[TCP].seq and a[TCP].sport == r[TCP].dport for a in acks) for r in rsts), "each reset has the sequence number that the client told last", [p.summary() for p in rsts])

# ---- inbound NAT ----
nat = {"inboundNatRules": [
    {"name": "range", "properties": {"frontendIPConfiguration": ref("lb", "frontendIPConfigurations", "f"), "backendAddressPool": ref("lb", "backendAddressPools", "b"), "protocol": "Tcp",
                                     "frontendPortRangeStart": 500, "frontendPortRangeEnd": 503, "backendPort": 80}},
    {"name": "one", "properties": {"frontendIPConfiguration": ref("lb", "frontendIPConfigurations", "f"), "protocol": "Tcp", "frontendPort": 600, "backendPort": 80, "backendIPAddress": ips[2]}},
    {"name": "inner", "properties": {"frontendIPConfiguration": ref("lb", "frontendIPConfigurations", "in"), "protocol": "Tcp", "frontendPort": 700, "backendPort": 80, "backendIPAddress": ips[1]}}]}
set_lb(doc(**nat))
ok([who(port=p) for p in range(500, 504)] == [names[a] for a in ips] and who(port=504) == "timeout", "a range: one port, one member")
ok(who(port=600) == "m2", "a single one")
ok(subprocess.run(["nsenter", "--net=" + ms[3][0], "curl", "-sm2", f"http://{fin}:700/"], capture_output=True, text=True).stdout.strip() == "m1", "one of an internal frontend")
set_lb(doc(ips[1:], **nat))
ok([who(port=p) for p in range(500, 504)] == ["timeout", "m1", "m2", "m3"], "who stays keeps the port")
q = call("POST", LB + "lb/backendAddressPools/b/queryInboundNatRulePortMapping", {"ipAddress": ips[2]})[1]
ok(q["inboundNatRulePortMappings"] == [{"inboundNatRuleName": "range", "protocol": "Tcp", "frontendPort": 502, "backendPort": 80}], "the API tells the port", q)
set_lb(doc(ips[1:] + ips[:1], **nat))
ok(who(port=500) == "m0", "and the free one is given again")

# ---- a UDP flow that fell silent while its member drained: who uses its port next finds another ----
set_lb(doc())
wait(lambda: up("lb", "http") == 4, 15)


def tracked(port):
    """The member that the router's entry of the flow leads to."""
    text = subprocess.run(["nsenter", "--net=" + V_ROUTER, "conntrack", "-L", "-p", "udp", "--orig-port-src", str(port)], capture_output=True, text=True).stdout
    return [p[4:] for p in text.split() if p.startswith("src=")][1:2]


def datagram(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.settimeout(1)
        u.bind(("", port))
        u.connect((ip, 80))
        try:
            u.send(b"x")
            return u.recv(10)
        except OSError as e:
            return type(e).__name__


for _ in range(6):  # long enough to be a stream, which is remembered for 120 s
    datagram(41000)
    time.sleep(0.5)
old = tracked(41000)
d = doc([a for a in ips if a not in old])
d["properties"]["backendAddressPools"][0]["properties"]["drainPeriodInSeconds"] = 30  # it ends before: nobody says anything
set_lb(d)
ok(len(old) == 1 and wait(lambda: tracked(41000) == [], 9), "its entry goes when the drain is over", (old, tracked(41000)))
ok(datagram(41000) == b"x" and tracked(41000) != old, "and the same port reaches one that is in", (old, tracked(41000)))

# ---- frontends as seen from outside ----
seen = lambda lb="lb": {x["name"]: x["availability"] for x in call("GET", LB + lb + "/shares")[1]["value"]}
set_lb(doc())
ok(wait(lambda: (seen().get("http") or {}).get("now"), 20) and seen()["http"]["percent"] > 50, "the frontend answers from outside", seen())
ok(wait(lambda: (seen().get("six") or {}).get("now"), 20) and seen()["six"]["percent"] > 50, "that of IPv6 too", seen())
ok(seen().get("udp", 0) is None, "of UDP nothing is known", seen())
wait(lambda: up("lb", "http") == 4 and up("lb", "six") == 4, 15)
text = subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout
line = lambda name, rule: next((float(l.split()[-1]) for l in text.splitlines() if l.startswith(f"netd_lb_{name}{{") and f'rule="{rule}"' in l), None)
ok(line("frontend_up", "http") == 1 and line("frontend_availability_percent", "http") > 50 and line("backends", "http") == 4 and line("backends", "six") == 4 and line("frontend_up", "udp") is None, "and so do the metrics, with how many backends share its flows", text)
outlived = lambda: int(re.search(r"netd_lb_outlived_drain_total (\d+)", subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout).group(1))
ok("netd_lb_drained_total" in text and outlived() >= 1, "and flows that outlived a drain", outlived())
text = subprocess.run(["curl", "-s", "--cacert", os.environ["NETD_CA"], os.environ["NETD_API"] + "/metrics"], capture_output=True, text=True).stdout
ok("netd_engine_flows" in text and "netd_lb_backends" not in text, "who is not known here hears of no tenant's load balancer", text)
text = subprocess.run(["curl", "-s", "--cacert", os.environ["NETD_CA"], "-H", "Authorization: Bearer " + os.environ["NETD_TOKEN"], os.environ["NETD_API"] + "/metrics"], capture_output=True, text=True).stdout
ok(line("backends", "http") == 4, "a tenant's token does, of its own", text)

# ---- restarts: who was in stays in, and no slot moves ----
set_lb(doc())
wait(lambda: up("lb", "http") == 4)
before = {p: who(source_port=p) for p in range(41000, 41040)}
for role in ("control", "engine", "probe"):
    os.kill(role_pid(role), 9)
    wait(lambda: call("GET", "/readyz")[0] == 200)
    time.sleep(0.3)
time.sleep(1.2)
ok({p: who(source_port=p) for p in range(41000, 41040)} == before, "roles are killed: each source port still leads where it did")
ok(up("lb", "http") == 4, "all are healthy")
log = open(os.environ["NETD_LAB"] + "/netd.log").read()
ok('"moved"' not in log[log.rfind('"control.loaded"'):], "no slot moved")
inns(V, "nft flush ruleset")
ok(wait(lambda: who() in names.values(), 5), "a stranger flushes the rules: repaired")
inns(V, "nft flush map inet netd slot4")
ok(wait(lambda: who() in names.values(), 5), "or the slots")

# ---- by others' hands ----
out = subprocess.run(["wrk", "-t1", "-c16", "-d2s", f"http://{ip}/"], capture_output=True, text=True).stdout
ok("Requests/sec" in out and "Socket errors" not in out and "Non-2xx" not in out, "wrk and nginx", out)
out = subprocess.run(["h2load", "-n2000", "-c20", "--h1", f"http://{ip}/"], capture_output=True, text=True).stdout
ok("2000 succeeded, 0 failed, 0 errored" in out, "h2load", out[-300:])
ip3 = subprocess.Popen(["nsenter", "--net=" + ms[0][0], "iperf3", "-s", "-p", "5201"], stdout=subprocess.DEVNULL)
d = doc(rules=RULES + [rule("lb", "iperf", port=5201, to=5201, pool="one", probe=None)])
d["properties"]["backendAddressPools"].append(pool("one", members=ips[:1]))
set_lb(d)
time.sleep(0.3)
out = json.loads(subprocess.run(["iperf3", "-c", ip, "-t", "1", "-J"], capture_output=True, text=True).stdout or "{}")
ok(out.get("end", {}).get("sum_received", {}).get("bits_per_second", 0) > 1e8, "iperf3 through it", str(out)[:200])
ip3.kill()
lab = os.environ["NETD_LAB"]
Servers.tls = f"listen 443 ssl; ssl_certificate {lab}/ca.pem; ssl_certificate_key {lab}/key.pem;"
gone = [m for m in rt.groups.values()]
for m in gone:
    rt.end(m["id"])
    rt.begin(m)
set_lb(balancer("lb", {"f": "p"}, [pool(members=ips)], [rule("lb", "http", probe="tls", port=443, to=443)], [probe("tls", "Https", 443, requestPath="/")]))
ok(wait(lambda: up("lb", "http") == 4, 15), "HTTPS probes with a real certificate")
ok(subprocess.run(["curl", "-skm3", f"https://{ip}/"], capture_output=True, text=True).stdout.strip() in names.values(), "and TLS passes through")

# ---- documents ----
r = lambda d, code, what: (lambda s: ok(s[0] == 400 and s[1]["error"]["code"] == code and s[1]["error"]["target"], f"{what} ({code}, {s[1]['error'].get('target')})", s))(call("PUT", LB + "bad", d)[:2])
base = lambda **k: balancer("bad", {"f": "p2"}, [pool(members=ips)], [rule("bad", "r")], [probe()], **k)
def edit(fn):
    d = json.loads(json.dumps(base()).replace("/loadBalancers/lb/", "/loadBalancers/bad/"))
    fn(d["properties"])
    return d
set_prop = lambda kind, name, value: edit(lambda p: p[kind][0]["properties"].__setitem__(name, value))
r(balancer("bad", {"f": "p"}, [], []), "PublicIPAddressInUse", "another's address")
r(balancer("bad", {"f": "none"}, [], []), "InvalidResourceReference", "no such address")
r(balancer("bad", {"f": ("v", "none")}, [], []), "InvalidResourceReference", "no such subnet")
r(balancer("bad", {"f": ("v", "s", {"privateIPAllocationMethod": "Static", "privateIPAddress": ips[0]})}, [], []), "PrivateIPAddressIsAllocated", "a group's address")
for a in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "168.63.129.16", "::1", "fe80::1"):
    r(edit(lambda p: p["backendAddressPools"][0]["properties"]["loadBalancerBackendAddresses"][0]["properties"].__setitem__("ipAddress", a)), "LoadBalancerBackendAddressIpAddressInvalid", a)
r(edit(lambda p: p["backendAddressPools"][0]["properties"]["loadBalancerBackendAddresses"][1]["properties"].__setitem__("ipAddress", ips[0])), "LoadBalancerBackendAddressesMustBeUnique", "an address twice")
r(set_prop("loadBalancingRules", "protocol", "All"), "LoadBalancingRuleProtocolPortMismatch", "All with a port")
r(set_prop("loadBalancingRules", "probe", ref("bad", "probes", "none")), "InvalidResourceReference", "no such probe")
r(set_prop("loadBalancingRules", "idleTimeoutInMinutes", 3), "InvalidRequestContent", "an idle time of 3 minutes")
r(edit(lambda p: p["loadBalancingRules"].append(dict(p["loadBalancingRules"][0], name="again"))), "RulesUseSameFrontendPortProtocol", "a port twice")
r(set_prop("probes", "protocol", "Http"), "ProbeRequestPathRequired", "no path")
ok(call("GET", LB + "bad")[0] == 404, "nothing of it was stored")
s, e, _ = call("DELETE", N + "publicIPAddresses/p")
ok(s == 400 and e["error"]["code"] == "PublicIPAddressCannotBeDeleted", "an address in use stays", e)
s, e, _ = call("PUT", LB + "lb/probes/x", probe("x"))
ok(s == 405, "probes change by the whole only", (s, e))
s, e, _ = call("PUT", LB + "lb/backendAddressPools/more", {"properties": {"virtualNetwork": {"id": VNET + "v"}, "loadBalancerBackendAddresses": [{"name": "x", "properties": {"ipAddress": ips[0]}}]}})
ok(s == 201 and call("GET", LB + "lb/backendAddressPools/more")[0] == 200, "pools by their own path", e)
ok(call("DELETE", LB + "lb/backendAddressPools/more")[0] in (200, 202, 204) and call("GET", LB + "lb/backendAddressPools/more")[0] == 404, "and gone by it")
ok(retry("DELETE", LB + "lb")[0] == 202 and wait(lambda: who() not in names.values(), 3), "deleted: nobody answers")
for p in holders + [peer, keeper]:
    p.kill()
t.end()
