#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on API, files, sockets and name server: hostile names, planted files, smuggled and slow
requests, deep and large bodies, strangers' ids on every route, garbage to DNS, a tenant who takes
his network apart in a loop. The numbers are those of the catalogue that the design was held to."""
import random, resource, signal, ssl, struct, threading, urllib.parse
from plane import *

inside("limit-requests=0", "pool=onlink 192.0.2.64/26", "pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64")
t, rt = Tap(), Runtime()
ok = t.ok
LONG = os.environ.get("LONG") == "1"
rng = random.Random(int(os.environ.get("SEED", "1")))
LAB, RUN = os.environ["NETD_LAB"], os.environ["NETD_LAB"] + "/node1/run"
OTHER = "/subscriptions/11111111-0000-0000-0000-000000000002"


def pids(role=None):
    got = []
    for p in os.listdir("/proc"):
        try:
            line = open(f"/proc/{p}/cmdline", "rb").read() if p.isdigit() else b""
        except OSError:
            continue
        if line.startswith(b"netd\0--role\0") and (role is None or line.split(b"\0")[2] == role.encode()):
            got.append(int(p))
    return got


def rss(pid):
    return [int(l.split()[1]) for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS")][0]


def cpu(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def raw(data, seconds=3, unix=True):
    """What the server sends to these bytes until it closes or falls silent."""
    s = socket.socket(socket.AF_UNIX) if unix else None
    s.connect(os.environ["NETD_SOCKET"])
    s.settimeout(seconds)
    got, closed = b"", False
    try:
        s.sendall(data)
        while True:
            more = s.recv(65536)
            if not more:
                closed = True
                break
            got += more
    except (socket.timeout, OSError) as e:
        closed = isinstance(e, ConnectionError)
    s.close()
    return got, closed


def latencies(n, what):
    took = []
    for _ in range(n):
        start = time.time()
        what()
        took.append(time.time() - start)
    return sorted(took)


retry("PUT", RG, {"location": "w"})
retry("PUT", OTHER + "/resourceGroups/theirs", {"location": "w"})
retry("PUT", CG + "web", group("web", label="aci-attack"))
wait(lambda: state(CG + "web") == "Succeeded")
control = pids("control")[0]

# 34: hostile names reach neither log lines nor rulesets nor names of devices
CANARY = "zq9canary"
nasty = ["\n", "\r\n", "\"", "'", ";", "%n%s", "\x1b[31m", "\u202e", "\\", "{", "}", "$(id)", "`id`", "../..", "\x7f", "é", "\U0001f600", " ", "#", "\t", "<script>"]
n = refused = 0
for _ in range(5000 if LONG else 400):
    name = CANARY + "".join(rng.choice(nasty + ["a", "b"]) for _ in range(rng.randrange(1, 6)))
    where = rng.randrange(5)
    doc = group("n", label="aci-nasty") if where != 1 else group("n", label=name)
    if where == 2:
        doc["tags"] = {name: name}
    elif where == 3:
        doc["properties"]["containers"][0]["name"] = name
    elif where == 4:
        doc["properties"]["containers"][0]["properties"]["environmentVariables"] = [{"name": name, "value": name}]
    s, answer, _ = call("PUT", CG + (urllib.parse.quote(name) if where == 0 else "n"), doc)
    n += 1
    refused += s >= 400
    if s not in (200, 201, 400, 404) or answer is None:
        ok(False, "a hostile name is answered", (name, where, s, answer))
ok(refused > n / 4, f"{n} hostile names are answered, {refused} refused")
bad = []
for l in open(LAB + "/netd.log", "rb").read().splitlines():
    try:
        json.loads(l)
        bad += [l] if CANARY.encode() in l and b'"verb"' not in l else []
    except ValueError:
        bad.append(l)
ok(not bad, "each line of the log is one JSON object, of ids at most", bad[:2])
rules = "".join(subprocess.run(["nsenter", f"--net={RUN}/ns/{x}", "sh", "-c", "nft list ruleset; ip link"], capture_output=True, text=True).stdout for x in namespaces() + ["gw"])
ok(CANARY not in rules and len(rules) > 1000, "no ruleset and no device carries a tenant's text")
retry("DELETE", CG + "n")
wait(lambda: call("GET", CG + "n")[0] == 404)

# 35: what stands where a namespace will be
last = max(int(x[1:]) for x in namespaces())
victim = LAB + "/victim"
open(victim, "w").write("untouched")
plants = []
for i in range(last + 1, last + 9):  # the next groups get these numbers
    p = f"{RUN}/ns/g{i}"
    [lambda: os.symlink(victim, p), lambda: os.mkfifo(p), lambda: open(p, "w").write("x"), lambda: os.symlink("/proc/self/ns/net", p)][i % 4]()
    plants.append(p)
for i in range(6):
    call("PUT", CG + f"p{i}", group(f"p{i}"))
ok(wait(lambda: all(state(CG + f"p{i}") == "Succeeded" for i in range(6)), 15), "planted files hold nothing up", [state(CG + f"p{i}") for i in range(6)])
host = os.stat("/proc/self/ns/net").st_ino
inodes = [os.stat(m["namespace"]).st_ino for i, m in rt.groups.items() if i[-2:] in ("p0", "p1", "p2", "p3", "p4", "p5")]
ok(len(set(inodes)) == len(inodes) == 6 and host not in inodes, "each group has a namespace of its own", inodes)
ok(open(victim).read() == "untouched", "and what a link pointed at is untouched")
for i in range(6):
    retry("DELETE", CG + f"p{i}")
wait(lambda: all(call("GET", CG + f"p{i}")[0] == 404 for i in range(6)))
wait(lambda: not any(os.path.ismount(p) for p in plants))  # of a spare
for p in plants:
    if os.path.lexists(p):
        os.unlink(p)

# 36: one meaning of each byte: N requests in, N answers out, 400 and the end otherwise
PRE = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
bodies = [b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
          b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n", b"Content-Length: 5, 5\r\n\r\nhello", b"Content-Length: -1\r\n\r\n", b"Content-Length: 0x5\r\n\r\nhello",
          b"Content-Length: 5 5\r\n\r\nhello", b"Content-Length:\r\n\r\n", b"Content-Length : 0\r\n\r\n", b" Content-Length: 0\r\n\r\n", b"X: a\r\n b\r\n\r\n", b"X: a\nY: b\r\n\r\n",
          b"X: a\rY: b\r\n\r\n", b"\x00: a\r\n\r\n", b"X: \x00\r\n\r\n", b": a\r\n\r\n", b"X\r\n\r\n", b"Host: g\r\n\r\n", b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
          b"Transfer-Encoding: identity\r\n\r\n", b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          b"Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
          b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
          b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: trailer\r\n\r\n", b"Content-Length: 99999999999999999999\r\n\r\n", b"Content-Length: 5000000\r\n\r\n"]
wrong = []
for b in bodies:
    got, closed = raw(PRE + b"POST /netd/tokens HTTP/1.1\r\nHost: h\r\n" + b + PRE)
    if got.count(b"HTTP/1.1 ") != 2 or not closed or not 400 <= int(got.split(b"HTTP/1.1 ")[2][:3]) < 600:
        wrong.append((b, got.count(b"HTTP/1.1 "), closed, got[-300:]))
ok(not wrong, f"{len(bodies)} smuggled requests end their connection with a refusal", wrong[:2])
lines = [b"GET /healthz HTTP/1.0\r\nHost: h\r\n\r\n", b"GET /healthz HTTP/2.0\r\nHost: h\r\n\r\n", b"GET  /healthz HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /healthz\r\nHost: h\r\n\r\n", b"\r\n\r\n",
         b"GET http://h/healthz HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /healthz HTTP/1.1\n\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",
         b"A" * 20000, b"GET /" + b"a" * 17000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n"]
wrong = [(l[:60], got[:100]) for l in lines for got, closed in [raw(l)] if got.count(b"HTTP/1.1 ") != 1 or not closed or got[9:10] != b"4"]
ok(not wrong, f"{len(lines)} malformed heads likewise", wrong[:3])
got, closed = raw(PRE * 50 + b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
ok(got.count(b"HTTP/1.1 200") == 51 and closed, "51 requests sent at once, 51 answers", got.count(b"HTTP/1.1 200"))

# 38: depth, size, duplicate keys, numbers
before = rss(control)
for body, what in ((b"[" * 1000000, "a million levels"), (b'{"a":' * 200000, "200,000 objects"), (b'{"a":1,"a":2}', "a key twice"), (b'{"a":1e999}', "a number too large"),
                   (b'{"a":"\xff"}', "bytes that are no UTF-8"), (b'{"a":"\\ud800"}', "half a surrogate"), (b"\xef\xbb\xbf{}", "a byte order mark"), (b"{}x", "more behind the end"), (b"", "nothing")):
    start = time.time()
    s, doc, _ = call("PUT", CG + "x", body)
    ok(s == 400 and doc["error"]["code"] == "InvalidRequestContent" and time.time() - start < 0.25, f"{what}: refused at once", (s, doc, time.time() - start))
ok(rss(control) - before < 16384, "and no memory is kept", (before, rss(control)))
s, doc, _ = call("PUT", CG + "x", b'{"a":"' + b"x" * (10 << 20) + b'"}')
ok(s in (413, 0), "a body of 10 MB is refused", s)
ok(call("GET", CG + "x")[0] == 404, "nothing was made")

# 40: a secret is nowhere but at the runtime
secret = "canary-secret-4711"
doc = group("s")
doc["properties"]["containers"][0]["properties"]["environmentVariables"] = [{"name": "K", "secureValue": secret}]
doc["properties"]["volumes"] = [{"name": "v", "secret": {"f": secret}}]
doc["properties"]["imageRegistryCredentials"] = [{"server": "r.io", "username": "u", "password": secret}]
call("PUT", CG + "s", doc)
wait(lambda: state(CG + "s") == "Succeeded")
ok(json.dumps(rt.groups[(CG + "s").lower()]).count(secret) == 3, "the runtime has it")
places = [open(f"/proc/{p}/{f}", "rb").read() for p in pids() for f in ("cmdline", "environ")]
places += [open(os.path.join(d, f), "rb").read() for d, _, fs in os.walk(LAB) for f in fs if os.path.isfile(os.path.join(d, f)) and "ns" not in d.split("/")]
ok(len(places) > 6 and not [p for p in places if secret.encode() in p], "arguments, environments, logs and store do not")
ok(secret not in json.dumps(call("GET", CG + "s")[1]) + json.dumps(call("GET", f"/subscriptions/{SUB}/providers/Microsoft.ContainerInstance/containerGroups")[1]), "nor an answer")
limits = [open(f"/proc/{p}/limits").read() for p in pids()]
ok(all([l.split()[4:6] == ["0", "0"] for l in x.splitlines() if l.startswith("Max core")][0] for x in limits), "no role leaves a core")
status = [dict(l.split(":\t", 1) for l in open(f"/proc/{p}/status").read().splitlines() if ":\t" in l) for p in pids()]
ok(all(x["NoNewPrivs"] == "1" for x in status) and sum(int(x["CapEff"], 16) == 0 for x in status) == len(status) - 1, "all roles but the engine have no capability, none can get one", [x["CapEff"] for x in status])

# 41: who may connect, and as whom
def as_user(uid, path, code):
    return subprocess.run([sys.executable, "-c", f"import os,socket,sys\nos.setgid({uid}); os.setuid({uid})\n{code}"], capture_output=True, text=True,
                          env={**os.environ, "P": path, "PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}).stdout.strip()
connect = "s=socket.socket(socket.AF_UNIX)\ntry:\n s.connect(os.environ['P']); print('in')\nexcept OSError as e: print(type(e).__name__)"
ok(as_user(4712, RUN + "/runtime.sock", connect) == "PermissionError", "a stranger does not reach the runtime's socket")
ok(as_user(4712, "", "from plane import *\nprint(call('GET', RG)[0], call('PUT', RG, {'location':'w'})[0], call('GET','/netd/tokens')[0])") == "401 401 401", "and is nobody on the API's")
unix = [l.split()[-1] for l in open("/proc/net/unix") if "@" in l and "netd" in l]
ok(not unix, "no abstract socket", unix)

# 42: every route, own, foreign and absent: what is foreign is answered as what is absent
retry("PUT", OTHER + "/resourceGroups/theirs/providers/Microsoft.Network/virtualNetworks/v", {"location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "s", "properties": {
    "addressPrefix": "10.0.0.0/24", "delegations": [{"name": "d", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}]}})
THEIRS = OTHER + "/resourceGroups/theirs/providers/"
retry("PUT", THEIRS + "Microsoft.ContainerInstance/containerGroups/g", group("g"))
for kind, body in (("publicIPAddresses", {}), ("publicIPPrefixes", {"prefixLength": 30}), ("networkProfiles", {"containerNetworkInterfaceConfigurations": [{"name": "n", "properties": {"ipConfigurations": [
        {"name": "i", "properties": {"subnet": {"id": THEIRS + "Microsoft.Network/virtualNetworks/v/subnets/s"}}}]}}]})):
    retry("PUT", THEIRS + f"Microsoft.Network/{kind}/n", {"location": "w", "properties": body})
ctx = ssl.create_default_context(cafile=os.environ["NETD_CA"])
tls = http.client.HTTPSConnection("192.0.2.2", 8443, context=ctx, timeout=5)


def mine(method, path, body=None):
    for _ in range(3):
        try:
            tls.request(method, path + "?api-version=2023-05-01", None if body is None else json.dumps(body), {"Authorization": "Bearer " + os.environ["NETD_TOKEN"]})
            r = tls.getresponse()
            return r.status, r.read().decode()
        except (http.client.HTTPException, OSError):
            tls.close()
    return 0, ""


types = ["Microsoft.ContainerInstance/containerGroups/g", "Microsoft.Network/virtualNetworks/v", "Microsoft.Network/virtualNetworks/v/subnets/s", "Microsoft.Network/publicIPAddresses/n",
         "Microsoft.Network/publicIPPrefixes/n", "Microsoft.Network/networkProfiles/n"]
routes = [("GET", x) for x in types] + [("HEAD", x) for x in types] + [("PUT", x) for x in types] + [("PATCH", x) for x in types] + [("DELETE", x) for x in types] + \
    [("POST", types[0] + "/" + a) for a in ("start", "stop", "restart")] + [("GET", x.rsplit("/", 1)[0]) for x in types] + [("POST", x) for x in types]
ABSENT = OTHER + "/resourceGroups/nothere/providers/"
wrong = []
stamp = lambda: json.dumps([call("GET", THEIRS + x)[1] for x in types], sort_keys=True)
wait(lambda: state(THEIRS + types[0]) == "Succeeded")
before = stamp()
for method, x in routes:
    body = {"location": "w", "properties": {}} if method in ("PUT", "PATCH") else None
    a, b = mine(method, THEIRS + x, body), mine(method, ABSENT + x, body)
    if a[0] != b[0] or a[0] not in (404,) or a[1].replace("theirs", "nothere") != b[1]:
        wrong.append((method, x, a, b))
for path in ("", "/resourceGroups", "/resourceGroups/theirs", "/providers/Microsoft.ContainerInstance/containerGroups", "/providers/Microsoft.Network/locations/westeurope/operations/00000000-0000-8000-8000-000000000000"):
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        a, b = mine(method, OTHER + path, {"location": "w"} if method == "PUT" else None), mine(method, OTHER.replace("1111", "3333") + path, {"location": "w"} if method == "PUT" else None)
        if a[0] != b[0] or a[0] != 404 or a[1].replace("1111", "3333") != b[1]:
            wrong.append((method, path, a, b))
ok(not wrong, f"{len(routes) + 20} routes tell nothing of a stranger's", wrong[:3])
ok(stamp() == before, "and change nothing there")
refs = {"subnetIds": lambda i: ("Microsoft.ContainerInstance/containerGroups/z", {**group("z", ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": i}])}, "Microsoft.Network/virtualNetworks/v/subnets/s"),
        "networkProfile": lambda i: ("Microsoft.ContainerInstance/containerGroups/z", group("z", ipAddress={"type": "Private", "ports": [{"port": 80}]}, networkProfile={"id": i}), "Microsoft.Network/networkProfiles/n"),
        "publicIPPrefix": lambda i: ("Microsoft.Network/publicIPAddresses/z", {"location": "w", "properties": {"publicIPPrefix": {"id": i}}}, "Microsoft.Network/publicIPPrefixes/n")}
wrong = []
for field, make in refs.items():
    target = make("")[2]
    a, b = [mine("PUT", RG + "/providers/" + make("")[0], make(where + target)[1]) for where in (THEIRS, ABSENT)]
    if a[0] != 400 or b[0] != 400 or a[1].replace("theirs", "nothere") != b[1] or "InvalidResourceReference" not in a[1]:
        wrong.append((field, a, b))
ok(not wrong, f"{len(refs)} references inside bodies tell nothing either", wrong[:2])
took = {THEIRS: [], ABSENT: []}
for i in range(600):  # by turns, or the machine's mood is measured
    took[(THEIRS, ABSENT)[i % 2]] += latencies(1, lambda: mine("GET", (THEIRS, ABSENT)[i % 2] + types[0]))
took = {w: sorted(v)[150] for w, v in took.items()}
ok(0.7 < took[THEIRS] / took[ABSENT] < 1.4, "nor does the time of an answer", took)

# 43: DNS
pid = pids("dns")[0]
name = b"\x0aaci-attack\x0awesteurope\x0eazurecontainer\x02io\x00"
head = lambda ident, flags=0x0100, qd=1, ar=0: struct.pack(">6H", ident, flags, qd, 0, 0, ar)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(("192.0.2.2", 53))
u.settimeout(1)


def ask(packet):
    u.setblocking(False)
    try:
        while True:  # nothing of before
            u.recv(65536)
    except OSError:
        pass
    u.settimeout(1)
    u.send(packet)
    try:
        return u.recv(65536)
    except OSError:
        return b""


q = lambda kind, edns=b"": head(7, ar=len(edns) > 0) + name + struct.pack(">HH", kind, 1) + edns
opt = lambda size: b"\x00" + struct.pack(">HHIH", 41, size, 0, 0)
a = ask(q(1))
ok(a[3] & 15 == 0 and a[7] == 1, "a query is answered", a)
ok(len(ask(q(255))) <= 3 * len(q(255)) and len(ask(q(252))) <= 2 * len(q(252)), "ANY and AXFR amplify nothing")
ok(max(len(ask(q(k, opt(65535)))) / len(q(k, opt(65535))) for k in (1, 2, 6, 15, 16, 28, 33, 43, 46, 48, 255)) < 4, "no type does, at any EDNS size")
loop_ = head(7) + b"\xc0\x0c" + struct.pack(">HH", 1, 1)
before, GARBAGE = cpu(pid), 20000 if LONG else 3000
for i in range(GARBAGE):
    junk = bytearray(q(1, opt(1232)) if i % 3 else loop_)
    for _ in range(rng.randrange(1, 8)):
        junk[rng.randrange(len(junk))] = rng.randrange(256)
    u.send(bytes(junk[:rng.randrange(1, len(junk) + 1)]))
spent = cpu(pid) - before
ok(wait(lambda: ask(q(1))[7:8] == b"\x01", 5), "garbage leaves it answering")
ok(spent < GARBAGE * 200e-6, f"at little cost: {spent / GARBAGE * 1e6:.0f} µs of CPU each", spent)
before = cpu(pid)
for i in range(3000 if LONG else 500):  # a length, one byte, a reset
    c = socket.create_connection(("192.0.2.2", 53), timeout=2)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.send(b"\x00\x20\x01")
    c.close()
ok(cpu(pid) - before < 1.5, "connections that break off leave no loop behind", cpu(pid) - before)
stalled = []
for i in range(300):
    c = socket.create_connection(("192.0.2.2", 53), timeout=2)
    c.send(b"\x00")
    stalled.append(c)


def tcp():
    c = socket.create_connection(("192.0.2.2", 53), timeout=2)
    c.settimeout(2)
    c.sendall(struct.pack(">H", len(q(1))) + q(1))
    a = c.recv(2000)
    c.close()
    return a


ok(all(len(tcp()) > 20 for _ in range(20)), "300 stalled connections keep nobody from asking by TCP")
ok(latencies(50, lambda: ask(q(1)))[45] < 0.05, "nor by UDP")
for c in stalled:
    c.close()

# 37: slow and idle clients
get = lambda: retry("GET", CG + "web", want=(200,), seconds=1)  # connect(2) answers EAGAIN while the backlog is full
base = latencies(100, get)
slow = []
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
for i in range(10000 if LONG else 2000):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(2)
    try:
        s.connect(os.environ["NETD_SOCKET"])
        s.send([b"", b"GET /", b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{"][i % 3])
    except OSError:
        pass
    slow.append(s)
fds = len(os.listdir(f"/proc/{control}/fd"))
ok(fds < 1500, f"{len(slow)} slow connections, the descriptors stay bounded", fds)
during = latencies(100, get)
ok(set(get()[0] for _ in range(20)) == {200} and during[90] < 2 * base[90] + 0.02, "a healthy client notices nothing", (base[90], during[90]))
for s in slow:
    s.close()
slow = []
for i in range(1200):  # TLS that never begins
    s = socket.socket()
    s.settimeout(2)
    try:
        s.connect(("192.0.2.2", 8443))
    except OSError:
        pass
    slow.append(s)
tls.close()
ok(mine("GET", CG + "web")[0] == 200, "half-open TLS keeps nobody out either")
for s in slow:
    s.close()

# a tenant who takes his network apart in a loop hurts nobody else
rt.serve = True
call("PUT", CG + "good", group("good"))
call("PUT", CG + "evil", group("evil"))
wait(lambda: state(CG + "good") == state(CG + "evil") == "Succeeded")
ip = call("GET", CG + "good")[1]["properties"]["ipAddress"]["ip"]
evil = [m["namespace"] for i, m in rt.groups.items() if i.endswith("/evil")][0]
inner = subprocess.run(["nsenter", "--net=" + evil, "ip", "-j", "addr", "show", "eth0"], capture_output=True, text=True).stdout
own = [a["local"] + "/" + str(a["prefixlen"]) for a in json.loads(inner)[0]["addr_info"] if a["family"] == "inet"][0]
batch = LAB + "/batch"
open(batch, "w").write(f"addr del {own} dev eth0\naddr add {own} dev eth0\n" * 2000)


def page():
    s = socket.create_connection((ip, 80), timeout=2)
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    got = s.recv(4096)
    s.close()
    return b"200" in got


def up():
    try:
        return page()
    except OSError:
        return False
ok(wait(up), "the neighbour serves")
base_api, base_page = latencies(50, get), latencies(50, up)
counter = subprocess.Popen(["nsenter", "--net=" + evil, "sh", "-c", f"n=0; while :; do ip -force -batch {batch} 2>/dev/null; n=$((n+4000)); echo $n; done"], stdout=subprocess.PIPE, text=True)
begin = time.time()
api, pages, made = [], [], []
while time.time() - begin < (10 if LONG else 3):
    api += latencies(10, get)
    pages += latencies(10, up)
    start = time.time()
    call("PUT", CG + "third", group("third"))
    wait(lambda: state(CG + "third") == "Succeeded")
    made.append(time.time() - start)
    retry("DELETE", CG + "third")
    wait(lambda: call("GET", CG + "third")[0] == 404)
seconds = time.time() - begin
counter.kill()
rate = int((counter.communicate()[0].split() or ["0"])[-1]) / seconds
subprocess.run(["pkill", "-f", batch])
ok(rate > 2000, f"{rate:.0f} changes a second")
api.sort(), pages.sort()
ok(api[len(api) * 9 // 10] < base_api[45] * 4 + 0.05 and pages[len(pages) * 9 // 10] < base_page[45] * 4 + 0.05, "others' requests are served meanwhile", (api[-3:], pages[-3:]))
ok(max(made) < 3, "and groups are made", made)
ok(wait(lambda: own.split("/")[0] in subprocess.run(["nsenter", "--net=" + evil, "ip", "addr", "show", "eth0"], capture_output=True, text=True).stdout, 10), "his own address comes back")
retry("DELETE", RG)
ok(wait(lambda: call("GET", RG)[0] == 404, 15), "all goes")
t.end()
