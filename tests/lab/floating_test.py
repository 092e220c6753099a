#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Floating IP: two frontends on the same port of the same members, which have the frontends' addresses on
their loopback; what members see, what clients see, errors, large transfers, drains and restarts."""
import hashlib, random, re, threading
from balancers import *

inside("limit-requests=0", "pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64")
rt = Runtime()
call("PUT", RG, {"location": "westeurope"})
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16", "fd00:9::/48"]}}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"])
subnet("v", "fe", ["10.9.9.0/24"])
f, g, plain = public("f"), public("g"), public("plain")
put(N + "publicIPAddresses/p6", {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv6"}})
f6 = call("GET", N + "publicIPAddresses/p6")[1]["properties"]["ipAddress"]
ms = [member(f"m{i}", "v", "s") for i in range(3)]
ips = [a for _, a in ms]
ips6 = [next(x for x in rt.groups[(CG + f"m{i}").lower()]["addresses"] if ":" in x) for i in range(3)]
stranger, stranger_ip = member("x", "v", "s")
FRONTS = {"f": "f", "g": "g", "plain": "plain", "f6": "p6", "in": ("v", "fe", {"privateIPAllocationMethod": "Static", "privateIPAddress": "10.9.9.9"})}
fin = "10.9.9.9"
SERVER = r"""
import hashlib, http.server as h, json, socket, sys, threading, time
class H(h.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def say(self, b):
        self.send_response(200); self.send_header('Content-Length', str(len(b))); self.end_headers(); self.wfile.write(b)
    def do_GET(self):
        if self.path == '/big':
            return self.say(bytes(range(256)) * 20000)
        if self.path == '/slow':
            self.send_response(200); self.send_header('Content-Length', '60'); self.end_headers()
            for _ in range(60):
                self.wfile.write(b'x'); self.wfile.flush(); time.sleep(0.05)
            return
        self.say(json.dumps({'name': sys.argv[1], 'local': self.connection.getsockname()[0].replace('::ffff:', ''), 'peer': self.client_address[0].replace('::ffff:', '')}).encode())
    def do_POST(self):
        self.say(hashlib.sha256(self.rfile.read(int(self.headers['Content-Length']))).hexdigest().encode())
    def log_message(self, *a): pass
class S(h.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 512
def echo(a):
    s = socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((a, 80))
    while True:
        d, p = s.recvfrom(9000)
        s.sendto(a.encode() + b' ' + d, p)
for a in sys.argv[2:]:
    threading.Thread(target=echo, args=(a,), daemon=True).start()
print('ready', flush=True)
S(('::', 80), H).serve_forever()
"""
inns = lambda ns, c: subprocess.run(["nsenter", "--net=" + ns, "sh", "-c", c], capture_output=True, text=True).stdout
servers = []
for i, (ns, own) in enumerate(ms):
    inns(ns, f"ip addr add {f}/32 dev lo; ip addr add {g}/32 dev lo; ip addr add {fin}/32 dev lo; ip -6 addr add {f6}/128 dev lo nodad")
    servers.append(subprocess.Popen(["nsenter", "--net=" + ns, sys.executable, "-c", SERVER, f"m{i}", own, f, g, fin, ips6[i], f6], stdout=subprocess.PIPE, text=True))
    servers[-1].stdout.readline()
lab = NS + "/"
router = lab + next(n for n in namespaces() if n[0] == "v")
port_of = lambda ns: "p" + ns.rsplit("/g", 1)[1]


def ask(a, ns=None, path="/", more=""):
    """What the member that answers saw; {} when nobody does."""
    out = subprocess.run((["nsenter", "--net=" + ns] if ns else []) + ["curl", "-gsm3", *more.split(), f"http://[{a}]{path}" if ":" in a else f"http://{a}{path}"], capture_output=True, text=True).stdout
    return json.loads(out) if out.startswith("{") else {}


def document(members=ips, floating=True):
    fl = {"enableFloatingIP": floating}
    return balancer("lb", FRONTS, [pool(members=members, drainPeriodInSeconds=6), pool("b6", members=ips6)],
                    [rule("lb", "f", **fl), rule("lb", "g", front="g", **fl), rule("lb", "u", proto="Udp", probe=None, **fl), rule("lb", "ug", front="g", proto="Udp", probe=None, **fl), rule("lb", "plain", front="plain"), rule("lb", "six", front="f6", pool="b6", **fl), rule("lb", "six-u", front="f6", pool="b6", proto="Udp", probe=None, **fl),
                     rule("lb", "ha", front="in", proto="All", port=0, to=0, probe=None, **fl)], [probe()],
                    inboundNatRules=[{"name": "one", "properties": {"frontendIPConfiguration": ref("lb", "frontendIPConfigurations", "f"), "protocol": "Tcp", "frontendPort": 8081, "backendPort": 8081, **fl, "backendIPAddress": ips[1]}}])


def set_six(d):
    for x in d["properties"]["frontendIPConfigurations"]:
        if x["name"] == "f6":
            x["properties"]["privateIPAddressVersion"] = "IPv6"
    return d


s, d, _ = call("PUT", LB + "lb", set_six(document()))
ok(s == 201, "two floating frontends on the same port of the same members, one that is not, one IPv6, one internal with all ports", d)
ok(wait(lambda: up("lb", "f") == 3 and up("lb", "six") == 3, 15), "all are healthy, by their own addresses")
for a, me in ((f, "192.0.2.1"), (g, "192.0.2.1"), (f6, "2001:db8::1")):
    got = [ask(a) for _ in range(40)]
    ok({x.get("local") for x in got} == {a} and {x.get("peer") for x in got} == {me} and {x["name"] for x in got} == {"m0", "m1", "m2"}, f"{a}: members see the frontend as themselves, and the client as it is", got[:2])
got = [ask(plain) for _ in range(20)]
ok({x.get("local") for x in got} <= set(ips), "a frontend that does not float reaches members' own addresses", got[:2])
got = [ask(fin, ns) for ns in (stranger, ms[0][0]) for _ in range(5)]
ok(all(ask(fin, stranger).get("local") == fin for _ in range(5)), "the internal one, all ports", got)
ONE = "import socket, sys\ns = socket.create_server((sys.argv[1], 8081))\nwhile True:\n  c, a = s.accept(); c.sendall(c.getsockname()[0].encode()); c.close()"
nat = subprocess.Popen(["nsenter", "--net=" + ms[1][0], sys.executable, "-c", ONE, f])


def said(a, port):
    try:
        with socket.create_connection((a, port), timeout=1) as c:
            return c.recv(100).decode()
    except OSError as e:
        return type(e).__name__


ok(wait(lambda: said(f, 8081) == f, 5), "an inbound NAT rule, to one that listens on the frontend's address alone", said(f, 8081))
nat.kill()


def udp(a, data=b"x", ns=None):
    s = socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(2)
    s.connect((a, 80))
    try:
        s.send(data)
        return s.recv(9000)
    except OSError as e:
        return type(e).__name__
    finally:
        s.close()


for a in (f, g, f6):
    ok({udp(a) for _ in range(10)} == {a.encode() + b" x"}, f"UDP to {a}", udp(a))
ok(udp(f, b"y" * 4000) == f.encode() + b" " + b"y" * 4000, "and a datagram in fragments, both ways", str(udp(f, b"y" * 4000))[:60])
want = hashlib.sha256(bytes(range(256)) * 20000).hexdigest()
data = os.environ["NETD_LAB"] + "/data"
open(data, "wb").write(random.Random(7).randbytes(3_000_000))
sent = hashlib.sha256(open(data, "rb").read()).hexdigest()
for a in (f, f6):
    u = f"http://[{a}]/" if ":" in a else f"http://{a}/"
    down = hashlib.sha256(subprocess.run(["curl", "-gsm20", u + "big"], capture_output=True).stdout).hexdigest()
    upl = subprocess.run(["curl", "-gsm20", "--data-binary", "@" + data, u], capture_output=True, text=True).stdout
    ok(down == want and upl == sent, f"5 MB down and 3 MB up, {a}: not a byte is wrong", (down == want, upl))

# errors: a closed port says so as the frontend; a smaller path is heard of
for i, (ns, _) in enumerate(ms):
    servers[i].kill()
    servers[i].wait()
ok(udp(f) == "ConnectionRefusedError" and udp(f6) == "ConnectionRefusedError", "a closed UDP port: the client hears it from the frontend", (udp(f), udp(f6)))
for i, (ns, own) in enumerate(ms):
    servers[i] = subprocess.Popen(["nsenter", "--net=" + ns, sys.executable, "-c", SERVER, f"m{i}", own, f, g, fin, ips6[i], f6], stdout=subprocess.PIPE, text=True)
    servers[i].stdout.readline()
ok(wait(lambda: up("lb", "f") == 3 and up("lb", "six") == 3, 15), "back again")
c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
c.settimeout(2)
c.connect((f, 80))
c.send(b"x")
c.recv(100)
subprocess.run([sys.executable, "-W", "ignore", "-c", f"import logging\nlogging.disable(50)\nfrom scapy.all import *\nconf.verb=0\nsend(IP(dst={f!r})/ICMP(type=3,code=4,nexthopmtu=1000)/IP(src={f!r},dst='192.0.2.1',flags='DF')/UDP(sport=80,dport={c.getsockname()[1]})/(b'x'*20))"])
heard = lambda: sum("mtu 1000" in inns(ns, f"ip route get 192.0.2.1 from {f}") for ns, _ in ms)
ok(wait(lambda: heard() == 1, 3), "a router outside says that the path is smaller: the member that serves the flow hears it", heard())
c.close()

# guard: nobody else may say that he is the frontend
inns(stranger, f"ip addr add {f}/32 dev lo")
dropped = lambda: int(re.search(r"packets (\d+) .*not its own source", inns(router, "nft list table bridge netd")).group(1))
before = dropped()
inns(stranger, f"ping -c3 -i0.2 -W1 -I {f} 192.0.2.1")
ok(dropped() >= before + 3, "a group that is no member cannot send as the frontend", dropped() - before)

# a member that leaves drains; killed roles are noticed by nobody
slow = [subprocess.Popen(["curl", "-sm20", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", f"http://{f}/slow"], stdout=subprocess.PIPE, text=True) for _ in range(12)]
time.sleep(0.5)
call("PUT", LB + "lb", set_six(document(members=ips[:1])))
os.kill(role_pid("engine"), 9)
got = [p.communicate()[0] for p in slow]
ok(got == ["200 60"] * 12, "two members leave and the engine is killed: downloads end in peace", got)
ok(wait(lambda: {ask(f).get("name") for _ in range(10)} == {"m0"}, 5) and ask(f).get("local") == f, "the one that is left serves", ask(f))
programs = lambda ns: inns(router, f"tc filter show dev {port_of(ns)} ingress; tc filter show dev {port_of(ns)} egress").count(" netd ")
ok(wait(lambda: programs(ms[0][0]) == 2, 5), "its port has both programs", programs(ms[0][0]))
inns(router, f"tc qdisc del dev {port_of(ms[0][0])} clsact")
ok(wait(lambda: programs(ms[0][0]) == 2, 40) and ask(f).get("local") == f, "a stranger takes them away: repaired", programs(ms[0][0]))

# floating no more; gone
call("PUT", LB + "lb", set_six(document(floating=False)))
got = wait(lambda: (lambda x: x if x.get("local") in ips else None)(ask(f)), 5)
ok(bool(got), "without enableFloatingIP members are reached by their own addresses", ask(f))
ok(wait(lambda: not any(programs(ns) for ns, _ in ms), 5), "and their ports are as others'")
call("PUT", LB + "lb", set_six(document()))
ok(wait(lambda: ask(f).get("local") == f, 5), "floating again")
ok(retry("DELETE", LB + "lb")[0] == 202 and wait(lambda: not any(programs(ns) for ns, _ in ms), 5) and ask(f) == {}, "deleted: nothing is left at ports")
for p in servers:
    p.kill()
t.end()
