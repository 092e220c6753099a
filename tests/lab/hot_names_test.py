#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hot names: the kernel answers where questions arrive, with the bytes that the sockets would have answered; what changes is
answered anew at once; whatever is missing (the program, the role, the engine) leaves the sockets."""
import os, random, sys, tempfile
if "NETD_LAB" not in os.environ:
    os.environ["NETD_FILES"] = tempfile.mkdtemp(prefix="netd-hot.")
    os.chmod(os.environ["NETD_FILES"], 0o755)
    open(os.environ["NETD_FILES"] + "/example", "w").write("""$TTL 300
@ SOA ns.example.com. admin.example.com. 7 1800 900 604800 30
@ NS ns
ns A 192.0.2.2
www A 192.0.2.77
www AAAA 2001:db8::77
two A 192.0.2.78
two A 192.0.2.79
*.wild A 192.0.2.80
alias CNAME www
a.cut A 192.0.2.81
""")
    open(os.environ["NETD_FILES"] + "/pass.c", "w").write('__attribute__((section("xdp"), used)) int pass(void *x) { return 2; }\nchar l[] __attribute__((section("license"), used)) = "GPL";\n')
from plane import *

FILES = os.environ["NETD_FILES"]
inside(f"dns-zone=example.com {FILES}/example", "dns-xdp=wan", "dns-rate=0")
import dns.message, dns.query, dns.rcode, shutil, signal

t = Tap()
ok = t.ok
AT = os.environ["NETD_DNS"]


def counter(name):
    out = subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout
    return next((int(l.split()[1]) for l in out.splitlines() if l.startswith(f"netd_dns_kernel_{name} ")), None)


def answered():
    return counter("answers_total")


# What passes on the client's end: an answer of the program is not to be cut (IPv4), or has no flow label (IPv6).
eye = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
eye.bind(("net1", 3))
eye.setblocking(False)
by_kernel = False


def look():
    """Were the answers since the last look the program's?"""
    found = []
    try:
        while 1:
            p, (_, proto, kind, *_) = eye.recvfrom(2048)
            if kind == socket.PACKET_OUTGOING:
                continue
            if proto == 0x800 and p[9] == 17 and p[20:22] == b"\0\x35":
                found.append(p[6] & 0x40 != 0)
            elif proto == 0x86dd and p[6] == 17 and p[40:42] == b"\0\x35":
                found.append(p[1] & 15 == 0 and p[2:4] == b"\0\0")
    except BlockingIOError:
        return found


def query(name, kind="A", edns=False, do=False, at=AT, wait_s=1):
    global by_kernel
    m = dns.message.make_query(name, kind, use_edns=0 if edns or do else -1, want_dnssec=do, id=77)
    s = socket.socket(socket.AF_INET6 if ":" in at else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(wait_s)
    s.connect((at, 53))
    look()
    for _ in range(3):
        try:
            s.send(m.to_wire())
            b = s.recv(4096)
            by_kernel = look() == [True]
            return b
        except (TimeoutError, ConnectionRefusedError):
            pass


def address(name, kind="A"):
    b = query(name, kind)
    if b is None:
        return "none"
    m = dns.message.from_wire(b)
    return sorted(r.to_text() for rr in m.answer for r in rr) or dns.rcode.to_text(m.rcode())


def heat(name="www.example.com", kind="A", at=AT):
    """Asks until the kernel answers."""
    return wait(lambda: query(name, kind, at=at) and by_kernel, 8)


def devices(field="xdp"):
    return json.loads(subprocess.run(["ip", "-n", "node1", "-j", "-d", "link", "show", "dev", "wan"], capture_output=True, text=True).stdout)[0].get(field)


# ---- the same answers ----
ok(wait(lambda: devices() and devices()["mode"] == 2), "on veth the program is held by the stack: a plain peer loses nothing", devices())
ODDS = [(n, k, e, d) for n in ("www.example.com", "WwW.exAmple.Com", "two.example.com", "x.wild.example.com", "alias.example.com", "nope.example.com", "a.cut.example.com", "example.org") for k in ("A", "AAAA", "TXT", "ANY") for e, d in ((0, 0), (1, 0), (1, 1))]
before = {o: query(*o) for o in ODDS}
ok(all(before.values()), "every question has an answer")
for name, kind in (("www.example.com", "A"), ("www.example.com", "AAAA"), ("a.cut.example.com", "A")):
    ok(heat(name, kind), f"{kind} {name} becomes hot")
after, those = {}, 0
for o in ODDS:
    after[o] = query(*o)
    those += by_kernel
ok(after == before, "hot or not, the answers are the same bytes", [o for o in ODDS if after[o] != before[o]])
ok(those == 6 + 6 + 3, "and the kernel gave those that it should: one address, any letters, EDNS with and without DO", those)
for name in ("two.example.com", "x.wild.example.com", "alias.example.com", "nope.example.com"):
    those = 0
    for _ in range(3):
        query(name)
        those += by_kernel
        time.sleep(0.06)
    ok(those == 0, f"{name} is never hot")

# ---- changes ----
wrong, cold = [], 0
ROUNDS = 200 if os.environ.get("LONG") == "1" else 40
for i in range(ROUNDS):
    want = f"192.0.2.{100 + i % 50}"
    s, doc, _ = call("PUT", "/netd/dns/zones/example.com/A/api", {"properties": {"ttl": 33, "aRecords": [{"ipv4Address": want}]}})
    got = address("api.example.com")
    if got != [want]:
        wrong.append((i, got, want, by_kernel))
    if i % 4 == 0:
        cold += not heat("api.example.com")
ok(not wrong, f"an address that was changed {ROUNDS} times was never the one before", wrong)
ok(cold == 0, "and became hot again each time it was asked for", cold)
heat("api.example.com")
call("DELETE", "/netd/dns/zones/example.com/A/api")
ok(address("api.example.com") == "NXDOMAIN", "a name that is deleted is gone at once")
heat("a.cut.example.com")
text = open(FILES + "/example").read()
open(FILES + "/example", "a").write("cut NS ns.example.net.\n")
ok(wait(lambda: not dns.message.from_wire(query("a.cut.example.com")).answer) and not by_kernel, "what a delegation takes over is not answered any more")
open(FILES + "/example", "w").write(text)
ok(wait(lambda: address("a.cut.example.com") == ["192.0.2.81"]) and heat("a.cut.example.com"), "until it is given back")
rt = Runtime()
call("PUT", RG, {"location": "westeurope"})
made = call("PUT", CG + "web", group(label="hot-label"))
name = "hot-label.westeurope.azurecontainer.io"
ok(wait(lambda: address(name)[0][:1].isdigit()) and heat(name), "a group's label becomes hot", (address(name), made))
call("DELETE", CG + "web")
ok(wait(lambda: address(name) == "NXDOMAIN", 5), "and goes with the group", address(name))

# ---- roles that end ----
heat()
pid, lost, n, stop = role_pid("dns"), 0, 0, time.time() + 1.5
os.kill(pid, signal.SIGKILL)
while time.time() < stop:
    n += 1
    lost += query("www.example.com", wait_s=0.2) is None
ok(lost == 0 and wait(lambda: role_pid("dns") not in (None, pid)), f"dns was killed: none of {n} questions for a hot name is lost", lost)
ok(heat(), "the next dns role has the maps")
pid = role_pid("dns")
os.kill(pid, signal.SIGSTOP)
end = time.time() + 6
gone = wait(lambda: query("www.example.com", wait_s=0.05) is None, 6)
took = 6 - (end - time.time())
os.kill(pid, signal.SIGCONT)
ok(gone and 1 < took < 4.5, f"a dns role that hangs is not spoken for: after {took:.1f} s", took)
ok(wait(lambda: address("www.example.com") == ["192.0.2.77"]) and heat(), "until it goes on")
pid = role_pid("engine")
os.kill(pid, signal.SIGKILL)
ok(all(address("www.example.com") == ["192.0.2.77"] for _ in range(50)), "the engine was killed: the sockets answer")
ok(wait(lambda: role_pid("engine") not in (None, pid)) and wait(heat, 8), "and the next engine's program")
before_it = answered()
ok(before_it > 50, "what was counted before is not forgotten", before_it)

# ---- strangers, limits, native ----
def reconfigured(*lines):
    """netd anew, with other lines."""
    c = open(os.environ["NETD_CONFIG"]).read().splitlines()
    keys = {l.split(" = ")[0] for l in lines}
    open(os.environ["NETD_CONFIG"], "w").write("\n".join([l for l in c if l.split("=")[0].strip() not in keys] + list(lines)) + "\n")
    pid = int(open(os.environ["NETD_LAB"] + "/netd.pid").read())
    os.kill(pid, signal.SIGTERM)
    wait(lambda: open(os.environ["NETD_LAB"] + "/netd.pid").read().strip() not in ("", str(pid)))
    return wait(lambda: call("GET", "/readyz")[0] == 200 and address("www.example.com") == ["192.0.2.77"], 15)


subprocess.run(["clang", "-O2", "-target", "bpf", "-c", FILES + "/pass.c", "-o", FILES + "/pass.o"], check=True)
ok(reconfigured("dns-rate = 20"), "with a limit of 20 answers a second")
heat()
time.sleep(2)
was, limited = answered(), counter("limited_total")
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((AT, 53))
wire, whole, short = dns.message.make_query("www.example.com", "A").to_wire(), 0, 0
wire = wire[:2] + b"\1\0" + wire[4:]
for _ in range(400):
    s.send(wire)
s.settimeout(0.3)
try:
    while 1:
        b = s.recv(512)
        whole, short = whole + (b[2] & 2 == 0), short + (b[2] & 2 == 2)
except TimeoutError:
    pass
time.sleep(1.5)
ok(15 <= answered() - was <= 40 and counter("limited_total") - limited >= 300, "the kernel stops at the limit", (answered() - was, counter("limited_total") - limited))
ok(whole <= 100 and short >= 50, "what is over goes to the sockets, which are short or silent", (whole, short))
subprocess.run(["ip", "link", "set", "dev", "net1", "xdpdrv", "obj", FILES + "/pass.o", "sec", "xdp"], check=True)
ok(reconfigured("dns-rate = 0", "dns-xdp = wan native"), "netd anew, by the driver")
ok(wait(lambda: devices() and devices()["mode"] == 1), "held by the driver", devices())
ok(heat(), "a veth whose peer has a program answers by the driver")
ALIKE = [o for o in ODDS if o[0].lower() == "www.example.com" and o[1] in ("A", "AAAA")]  # of others the zone's serial is another by now
heat("www.example.com", "AAAA")
after, those = {}, 0
for o in ALIKE:
    after[o] = query(*o)
    those += by_kernel
ok(those == len(ALIKE) == 12 and all(after[o] == before[o] for o in ALIKE), "with the same bytes", (those, [o for o in ALIKE if after[o] != before[o]]))
ok(subprocess.run(["ip", "-n", "node1", "link", "set", "dev", "wan", "xdp", "off"], capture_output=True).returncode != 0, "nobody takes it off by mistake")
six = [query(*o, at="2001:db8::2") for o in ODDS[:1]]
ok(six == [None], "an address that is not listened at is not answered at", six)
ok(reconfigured("listen-dns = [::]:53") and heat(), "listening at all addresses, it answers at the device's")
ok(heat(at="2001:db8::2") and query("www.example.com", at="2001:db8::2") == before[("www.example.com", "A", 0, 0)], "by IPv6 as well")
subprocess.run(["ip", "link", "set", "dev", "net1", "xdpdrv", "off"])
ok(reconfigured("dns-xdp = none0", "listen-dns = 192.0.2.2:53"), "a device that is not there stops nothing")
ok(wait(lambda: devices() is None), "and what was held is let go")
subprocess.run(["ip", "-n", "node1", "link", "set", "dev", "wan", "xdpgeneric", "obj", FILES + "/pass.o", "sec", "xdp"], check=True)
ok(reconfigured("dns-xdp = wan"), "a device with a stranger's program")
query("www.example.com")
time.sleep(0.1)
query("www.example.com")
ok(not by_kernel and devices()["prog"]["name"] == "pass", "keeps it", devices())
log = open(os.environ["NETD_LAB"] + "/netd.log").read()
ok("there is no device none0" in log and "somebody else" in log, "and the log says so", log[-800:])
subprocess.run(["ip", "-n", "node1", "link", "set", "dev", "wan", "xdpgeneric", "off"], check=True)
ok(heat(), "until it is gone")
shutil.rmtree(FILES)
t.end()
