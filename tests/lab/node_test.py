#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of a plane: joining by a token, certificates, the lease, cordon, removal; and who may not."""
import re, shutil, signal, ssl, stat
from plane import *

inside("node-cert-life=33", nodes=3)  # a third of it outlasts the pauses below
t = Tap()
ok = t.ok
LAB, BUILD = os.environ["NETD_LAB"], os.environ["NETD_BUILD"]
HUB = ("10.98.0.1", 8446)


def on(node, *words, **more):
    return subprocess.run(["nsenter", f"--net=/run/netns/{node}", *words], capture_output=True, text=True, timeout=60, **more)


def netctl(*words):
    env = {k: v for k, v in os.environ.items() if k not in ("NETD_API", "NETD_TOKEN")}
    return subprocess.run([os.environ["NETD_NETCTL"], *words], capture_output=True, text=True, timeout=20, env=env)


def nodes():
    return {n["name"]: n for n in (call("GET", "/netd/nodes")[1] or {"value": []})["value"]}


def state_of(name):
    return nodes().get(name, {}).get("state")


def token(**body):
    s, doc, _ = call("POST", "/netd/join-tokens", body)
    return doc["token"] if s == 201 else doc


def conf(node, name=None, **more):
    """A configuration for one more node, with folders of its own, in the namespace of `node`."""
    name = name or node
    base = f"{LAB}/extra-{name}"
    os.makedirs(base + "/run", exist_ok=True)
    keys = {"state-dir": base + "/state", "run-dir": base + "/run", "node-name": name, "listen-dns": "127.0.0.1:5399",
            "user-control": 70001, "user-dns": 70002, "user-probe": 70003, "user-resolver": 70004, "user-session": 70005, **more}
    open(base + ".conf", "w").write("".join(f"{k} = {v}\n" for k, v in keys.items()))
    return base


def join(base, text, node="node2", **more):
    return on(node, BUILD + "/netd", "--config", base + ".conf", "join", text, **more)


def local(node, path, base=None):
    """The node's own API: status and document."""
    was, os.environ["NETD_SOCKET"] = os.environ["NETD_SOCKET"], (base or f"{LAB}/{node}") + "/run/api.sock"
    try:
        s, doc, _ = call("GET", path)
        return s, doc
    finally:
        os.environ["NETD_SOCKET"] = was


def agent_pid(node):
    """The control role of netd on that node."""
    for p in os.listdir("/proc"):
        if p.isdigit() and b"--role\0control" in cmdline(p) and f"/{node}.conf".encode() in cmdline(p):
            return int(p)
    return None


def in_netns(node, what):
    """what() run with the network of that node; its result."""
    here, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(f"/run/netns/{node}", os.O_RDONLY)
    os.setns(there, os.CLONE_NEWNET) if hasattr(os, "setns") else LIBC.setns(there, 0x40000000)
    try:
        return what()
    finally:
        os.setns(here, os.CLONE_NEWNET) if hasattr(os, "setns") else LIBC.setns(here, 0x40000000)
        os.close(here), os.close(there)


import ctypes
LIBC = ctypes.CDLL(None, use_errno=True)


def raw(cert=None):
    """A TLS connection to the plane's listener for nodes, as who has (certificate, key) or nobody."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    if cert:
        ctx.load_cert_chain(*cert)

    def go():
        s = socket.create_connection(HUB, timeout=5)
        return ctx.wrap_socket(s)
    return in_netns("node2", go)


def frame(kind, body=b""):
    return struct.pack(">IH", len(body) + 2, kind) + body


def text(s):
    return struct.pack("=H", len(s)) + s.encode()  # numbers as message.h writes them


def answer(s):
    """What comes until the end."""
    data = b""
    try:
        while b := s.recv(4096):
            data += b
    except OSError as e:
        data += f" [{e}]".encode()
    return data


def credentials(node):
    j = json.load(open(f"{LAB}/{node}/state/joined.json"))
    for kind in ("certificate", "key"):
        open(f"{LAB}/{node}.{kind}", "w").write(j[kind])
    return f"{LAB}/{node}.certificate", f"{LAB}/{node}.key"


# ---- who is there
ok(wait(lambda: {n: v["state"] for n, v in nodes().items()} == {"node1": "Ready", "node2": "Ready", "node3": "Ready"}), "three nodes are ready", nodes())
n = nodes()
ok([n[k]["number"] for k in ("node1", "node2", "node3")] == [1, 2, 3] and n["node1"]["control"] and not n["node2"]["control"], "each has a number")
ok(n["node2"]["zone"] == "2" and n["node3"]["address"] == "10.98.0.3" and n["node2"]["cpu"] > 0 and n["node2"]["memoryInGB"] > 0 and n["node2"]["version"] == n["node1"]["version"], "zone of the token; address, capacity, version of its own", n["node2"])
r = netctl("node", "list")
ok(r.returncode == 0 and re.search(r"^node2 +2 +Ready +2 ", r.stdout, re.M), "netctl node list", r.stdout + r.stderr)
s, doc = local("node2", "/readyz")
ok(s == 200 and doc["plane"] is True and doc["at"] == "10.98.0.1:8446", "the node says that it has its plane", doc)
s, doc = local("node2", "/subscriptions")
ok(s == 503 and "10.98.0.1:8446" in doc["error"]["message"], "its own API says where the plane's is", doc)
mode = os.stat(f"{LAB}/node2/state/joined.json")
ok(stat.S_IMODE(mode.st_mode) == 0o600 and mode.st_uid == 70001, "its key is its control's alone")
ok(not os.path.exists(f"{LAB}/node2/state/netd.db"), "it has no store")

# ---- tokens
s, doc, _ = call("POST", "/netd/join-tokens", {"seconds": 0})
ok(s == 400 and doc["error"]["target"] == "seconds" and "604800" in doc["error"]["message"], "a token's time has bounds", doc)
s, doc, _ = call("POST", "/netd/join-tokens", {"zoen": "1"})
ok(s == 400 and doc["error"]["target"] == "zoen" and "faultDomain" in doc["error"]["message"], "an unknown word is told", doc)
s, doc, _ = call("POST", "/netd/join-tokens", {"zone": "a/b"})
ok(s == 400 and doc["error"]["target"] == "zone", "so is a zone that is none", doc)
for who, scope in (("owner of one subscription", {"subscription": SUB}), ("reader", {"subscription": SUB, "role": "reader"})):
    bearer = call("POST", "/netd/tokens", scope)[1]["token"]
    h = http.client.HTTPSConnection("192.0.2.2", 8443, context=ssl.create_default_context(cafile=os.environ["NETD_CA"]), timeout=5)
    h.request("GET", "/netd/nodes", headers={"Authorization": "Bearer " + bearer})
    r = h.getresponse()
    ok(r.status == 403 and b"owner of all subscriptions" in r.read(), f"not for the {who}")
a = conf("node2", "extra")
good = token(name="other")
r = join(a, good)
ok(r.returncode == 78 and "name 'other'" in r.stderr, "a token for another name", r.stderr)
for bad in ("netd1/10.98.0.1:8446", "x", good.replace("netd1", "netd2"), good + "/x", good.replace("8446", "84460")):
    r = join(a, bad)
    ok(r.returncode == 78 and r.stderr.startswith("netd: join: "), f"not a token: {bad[:24]}", r.stderr)
r = join(a, good[:-4] + "0000")
ok(r.returncode == 78 and "unknown, or its time is over" in r.stderr, "a secret that nobody drew", r.stderr)
brief = token(seconds=1)
time.sleep(1.2)
r = join(a, brief)
ok(r.returncode == 78 and "time is over" in r.stderr, "a token whose time is over", r.stderr)
r = join(a, good.replace("10.98.0.1:8446", "10.98.0.1:8447"))
ok(r.returncode == 75 and "refused" in r.stderr, "nobody is there: to be tried again", r.stderr)

# ---- one who stands in the way is not told the secret
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=netd-plane",
                "-addext", "subjectAltName=DNS:netd-plane", "-keyout", LAB + "/evil.key", "-out", LAB + "/evil.pem"], check=True, capture_output=True)
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ctx.load_cert_chain(LAB + "/evil.pem", LAB + "/evil.key")
heard = []


def evil(listener):
    c, _ = listener.accept()
    c = ctx.wrap_socket(c, server_side=True)
    c.settimeout(5)
    heard.append(answer(c))


listener = in_netns("node3", lambda: socket.create_server(("10.98.0.3", 8446)))
thread = threading.Thread(target=evil, args=(listener,), daemon=True)
thread.start()
r = join(a, good.replace("10.98.0.1", "10.98.0.3"))
thread.join(10)
ok(r.returncode == 78 and "not the plane of this token" in r.stderr, "a plane of another authority is refused", r.stderr)
ok(len(heard) == 1 and good.split("/")[3].encode() not in heard[0] and len(heard[0]) < 64, "and was not told the secret", heard)
listener.close()

# ---- joining
one = token(zone="9", faultDomain="rack-4")
r = join(a, one)
ok(r.returncode == 0 and "number 4" in r.stdout, "one more joins", r.stdout + r.stderr)
ok(nodes()["extra"]["state"] in ("Unknown", "NotReady") and nodes()["extra"]["faultDomain"] == "rack-4", "it is known, and not ready before it runs", nodes()["extra"])
r = join(a, token())
ok(r.returncode == 78 and "netd leave" in r.stderr, "one that has joined does not join again", r.stderr)
b = conf("node2", "second")
r = join(b, one)
ok(r.returncode == 78 and "was used by node 'extra'" in r.stderr, "a token lets one node in", r.stderr)
doc = json.load(open(a + "/state/joined.json"))
json.dump({**doc, "certificate": "", "number": 0}, open(a + "/state/joined.json", "w"))
r = on("node2", BUILD + "/netd", "--config", a + ".conf")
ok(r.returncode == 78 and "did not end" in r.stderr, "where a join did not end, netd does not start as something else", r.stderr)
r = join(a, "-", input=one + "\n")
ok(r.returncode == 0 and "number 4" in r.stdout, "an answer that was lost is given again, to the same key", r.stdout + r.stderr)
c = conf("node2", "EXTRA")
r = join(c, token())
ok(r.returncode == 78 and "has a node 'extra' already" in r.stderr, "a name is one node's", r.stderr)
d = conf("node2", "netd-plane")
r = join(d, token())
ok(r.returncode == 78 and "node-name" in r.stderr, "no node has the plane's own name", r.stderr)
os.makedirs(b + "/state", exist_ok=True)
open(b + "/state/netd.db", "w").close()
r = join(b, token())
ok(r.returncode == 78 and "plane of its own" in r.stderr, "a node with a plane of its own keeps it", r.stderr)

open(c + "/state/joined.json", "w").write("{")
r = on("node2", BUILD + "/netd", "--config", c + ".conf")
ok(r.returncode == 78 and "damaged" in r.stderr, "nor where the file is damaged", r.stderr)

# ---- strangers at the listener
s = raw()
s.sendall(frame(3, text("0.1.0") + text("") * 4 + bytes(6) + text("") * 2 + struct.pack("=II", 1, 1)))
got = answer(s)
ok(b"a certificate is needed" in got, "a greeting without a certificate", got)
s = raw()
s.sendall(frame(5, b"\0" * 8))
got = answer(s)
ok(b"out of turn" in got, "a beat of nobody", got)
for what, data in (("no type", struct.pack(">IH", 10, 999) + b"x" * 8), ("a wrong way", frame(1, b"x" * 40)), ("too long", struct.pack(">IH", 1 << 30, 0)), ("too short", frame(0, b"")), ("noise", os.urandom(500))):
    s = raw()
    s.sendall(data)
    ok(len(answer(s)) < 700, f"a frame that is none, {what}: the connection ends")
s = raw()
s.sendall(frame(0, text("x" * 48) + text("n") + text("no request") + text("0.1.0") + text("no address") + text("") * 3 + bytes(6) + text("") * 2 + struct.pack("=II", 1, 1)))
ok(b"to join that is none" in answer(s), "a request to join that is none")
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=node2",
                "-keyout", LAB + "/false.key", "-out", LAB + "/false.pem"], check=True, capture_output=True)
try:
    s = raw((LAB + "/false.pem", LAB + "/false.key"))
    s.sendall(frame(3, text("0.1.0") + text("") * 4 + bytes(6) + text("") * 2 + struct.pack("=II", 1, 1)))
    got = answer(s)
except OSError as e:
    got = str(e).encode()
ok(b"\x00\x00\x00\x02" not in got[:12] and any(w in got.lower() for w in (b"alert", b"reset", b"broken", b"eof")), "a certificate that nobody signed: no handshake", got)
idle = [in_netns("node2", lambda: socket.create_connection(HUB, timeout=5)) for _ in range(150)]
ok(state_of("node2") == "Ready" and len(nodes()) == 4, "150 who say nothing disturb nobody")
os.kill(agent_pid("node3"), signal.SIGKILL)
ok(wait(lambda: local("node3", "/readyz")[0] == 503, 3) and wait(lambda: local("node3", "/readyz")[0] == 200, 4), "a node comes in while they are there")
started = time.time()
idle[0].settimeout(20)
ok(idle[0].recv(1) == b"" and time.time() - started < 13, "and are shown out")
for s in idle:
    s.close()
last = token()
r = join(conf("node2", "later"), last, "node2")
ok(r.returncode == 0, "then others come in again", r.stderr)
call("DELETE", "/netd/nodes/later")
doc = json.load(open(LAB + "/extra-later/state/joined.json"))
json.dump({**doc, "certificate": "", "number": 0}, open(LAB + "/extra-later/state/joined.json", "w"))
r = join(LAB + "/extra-later", last, "node2")
ok(r.returncode == 78 and "was used by node 'later'" in r.stderr and "later" not in nodes(), "one that was removed does not come back by its token and key", r.stderr)

# ---- certificates are renewed
first = json.load(open(f"{LAB}/node3/state/joined.json"))
ok(wait(lambda: json.load(open(f"{LAB}/node3/state/joined.json"))["certificate"] != first["certificate"], 60), "a certificate is renewed before its time is over")
now = json.load(open(f"{LAB}/node3/state/joined.json"))
ok(now["key"] == first["key"] and now["authority"] == first["authority"], "for the same key, by the same authority")
os.kill(agent_pid("node3"), signal.SIGKILL)
ok(wait(lambda: local("node3", "/readyz")[0] == 200, 15) and state_of("node3") == "Ready", "a killed agent is back with it")

# ---- the lease
pid = agent_pid("node2")
os.kill(pid, signal.SIGSTOP)
started = time.time()
ok(wait(lambda: state_of("node2") == "NotReady", 12), "a node that is silent is not ready")
took = time.time() - started
ok(3.5 < took < 9, "after 6 s", took)
os.kill(pid, signal.SIGCONT)
ok(wait(lambda: state_of("node2") == "Ready", 12), "and is again when it speaks")
ok(call("POST", "/netd/nodes/node3/cordon")[0] == 204 and nodes()["node3"]["cordoned"], "cordon")
os.kill(role_pid("control") if role_pid("control") not in (agent_pid("node2"), agent_pid("node3")) else next(int(p) for p in os.listdir("/proc") if p.isdigit() and b"--role\0control" in cmdline(p) and b"/netd.conf" in cmdline(p)), signal.SIGKILL)
ok(wait(lambda: state_of("node2") == "Ready" and state_of("node3") == "Ready", 20), "the plane's control dies: the nodes come back", nodes())
ok(nodes()["node3"]["cordoned"] and [v["number"] for v in nodes().values()] == [4, 1, 2, 3], "what is stored of them is as it was", nodes())
r = netctl("node", "uncordon", "node3")
ok(r.returncode == 0 and not nodes()["node3"]["cordoned"], "netctl node uncordon", r.stderr)

# ---- no node takes new groups
call("PUT", RG, {"location": "westeurope"})
rt = Runtime()
for n in ("node2", "node3"):
    call("POST", f"/netd/nodes/{n}/cordon")
call("PUT", CG + "a", group("a"))
ok(wait(lambda: state(CG + "a") == "Succeeded"), "a group runs")
call("POST", "/netd/nodes/node1/cordon")
s, doc, _ = call("PUT", CG + "b", group("b"))
ok(s == 409 and doc["error"]["code"] == "ServiceUnavailable" and "new groups" in doc["error"]["message"], "a cordoned node takes no new group", doc)
s, doc, _ = call("PUT", CG + "a", {**group("a"), "tags": {"x": "y"}})
ok(s == 200, "and changes those that it has", doc)
call("POST", "/netd/nodes/node1/uncordon")
ok(call("PUT", CG + "b", group("b"))[0] == 201, "until it is uncordoned")

# ---- what roles of nodes say
def metrics(node):
    c = Unix("lab")
    c.request("GET", "/metrics")
    return [line for line in c.getresponse().read().decode().splitlines() if f'node="{node}"' in line]


ok(wait(lambda: 'netd_node_ready{node="node2"} 1' in metrics("node2") and len(metrics("node2")) > 20), "counters of other nodes' roles, by node", metrics("node2"))
ok(all(re.fullmatch(r'[a-z0-9_]+\{node="node2"(,[^}]*)?\} [0-9.e+-]+', line) for line in metrics("node2")), "each a line of its own", metrics("node2"))
engine = next(int(p) for p in os.listdir("/proc") if p.isdigit() and b"--role\0engine" in cmdline(p) and b"/node2.conf" in cmdline(p))
count = len(metrics("node2"))
os.kill(engine, signal.SIGKILL)
ok(wait(lambda: len(metrics("node2")) >= count and state_of("node2") == "Ready"), "an engine that dies there is back, and speaks", metrics("node2"))
bearer = call("POST", "/netd/tokens", {"subscription": SUB})[1]["token"]
h = http.client.HTTPSConnection("192.0.2.2", 8443, context=ssl.create_default_context(cafile=os.environ["NETD_CA"]), timeout=5)
h.request("GET", "/metrics", headers={"Authorization": "Bearer " + bearer})
ok(b"node=" not in h.getresponse().read(), "tenants are told of no node")
DIALECT = dict(l.split() for l in subprocess.run([os.environ["NETD_BUILD"] + "/netd", "--version"], capture_output=True, text=True).stdout.splitlines())
engine_up = lambda d=int(DIALECT["engine"], 16): frame(9, struct.pack("=BI", 1, d))
hello = frame(3, text("0.1.0") + text("") * 4 + bytes(6) + text("") * 2 + struct.pack("=II", 1, 1) + text("") + b"more, of a later version")
for what, said in (("another role's message", engine_up() + frame(11, struct.pack("=BHH", 1, 3, 2) + b"\0" * 21)), ("of a role that is not there", frame(11, struct.pack("=BHH", 2, 3, 2) + b"\0" * 21)),
                   ("of no role", frame(11, struct.pack("=BHH", 77, 3, 2) + b"\0" * 21)), ("of no type", engine_up() + frame(11, struct.pack("=BHH", 1, 60000, 2) + b"\0" * 21))):
    s = raw(credentials("node3"))
    s.sendall(hello + said)
    got = answer(s)
    ok(b"no role of a node may send" in got, f"a node that says what it may not, {what}: shown out", got)
PONG = [m for m in re.findall(r"X\((\w+), (\d+), ROLE", open(os.path.dirname(os.path.abspath(__file__)) + "/../../netd/message.h").read())].index(("PONG", "1"))
lies = 'netd_node_ready{node="node1"} 0\nnetd_x{node="node1"} 1\nnetd_y{a="b"} 7\nnetd_z 1\\n2\nnetd_q{a="b} 1\nnetd_r 1 2\nno\n{} 1\n\x01 1\nnetd_s 4.5\n'
true_one = agent_pid("node3")
os.kill(true_one, signal.SIGSTOP)  # or the true one comes back, and this one is shown out
s = raw(credentials("node3"))
s.sendall(hello + engine_up() + frame(11, struct.pack("=BHH", 1, PONG, 1) + struct.pack("=Q", 0) + text(lies)))
said = lambda: [m for m in metrics("node3") if not m.startswith(("netd_node_ready", "netd_node_cpu_used", "netd_node_memory_used"))]
ok(wait(lambda: said() == ['netd_y{node="node3",a="b"} 7', 'netd_s{node="node3"} 4.5'], 5), "of what a node tells, what is no counter of its own is left out", metrics("node3"))
ok("netd_x" not in str(metrics("node1")), "and none is told for another")
s.close()
s = raw(credentials("node3"))
s.sendall(hello + engine_up(1) + frame(11, struct.pack("=BHH", 1, PONG, 1) + struct.pack("=Q", 0) + text("netd_t 1\n")) + frame(11, struct.pack("=BHH", 1, 60000, 2)))
view = lambda: next(n for n in call("GET", "/netd/nodes")[1]["value"] if n["name"] == "node3")
ok(wait(lambda: view()["unlike"] == ["engine"]) and b"no role" not in answer(s) and not said(), "one that speaks otherwise is passed over, and shown so", view())
s.close()
os.kill(true_one, signal.SIGCONT)
s = raw(credentials("node3"))
s.sendall(frame(3, text("0.1\xff\x01") + text("") * 4 + bytes(6) + text("") * 2 + struct.pack("=II", 1, 1)))
ok(b"greeting that is none" in answer(s), "a version that cannot be told")
ok(wait(lambda: state_of("node3") == "Ready" and len(metrics("node3")) > 20, 40), "and the true one is there again", metrics("node3")[:3])

# ---- removal
s, doc, _ = call("DELETE", "/netd/nodes/node1")
ok(s == 409 and "control" in doc["error"]["message"], "the node with control stays", doc)
for method, path in (("GET", "nobody"), ("DELETE", "nobody"), ("POST", "nobody/cordon")):
    s, doc, _ = call(method, "/netd/nodes/" + path)
    ok(s == 404, f"{method} of a node that is not there: 404", doc)
s, doc, _ = call("POST", "/netd/nodes/node2/explode")
ok(s == 405 and "cordon" in doc["error"]["message"], "what a node can be asked is told", doc)
held = credentials("node2")
r = netctl("node", "remove", "node2")
ok(r.returncode == 0 and "node2" not in nodes(), "netctl node remove", r.stderr)
ok(wait(lambda: "removed" in (local("node2", "/readyz")[1] or {}).get("refused", "")), "the node is told so", local("node2", "/readyz"))
s = raw(held)
s.sendall(frame(3, text("0.1.0") + text("") * 4 + bytes(6) + text("") * 2 + struct.pack("=II", 1, 1)))
got = answer(s)
ok(b"was removed" in got, "its certificate is worth nothing", got)
r = on("node2", BUILD + "/netd", "--config", f"{LAB}/node2.conf", "leave")
ok(r.returncode == 0 and "forgotten" in r.stdout, "netd leave", r.stdout + r.stderr)
r = on("node2", BUILD + "/netd", "--config", f"{LAB}/node2.conf", "leave")
ok(r.returncode == 78 and "belongs to no other's plane" in r.stderr, "once", r.stderr)
r = on("node2", BUILD + "/netd", "--config", f"{LAB}/node2.conf", "join", token())
ok(r.returncode == 0 and "number 6" in r.stdout, "it joins again, as another", r.stdout + r.stderr)
os.kill(agent_pid("node2"), signal.SIGKILL)
ok(wait(lambda: state_of("node2") == "Ready", 15), "and is ready")

# ---- nothing secret is told
logs = "".join(open(f"{LAB}/{f}").read() for f in os.listdir(LAB) if f.endswith(".log"))
ok(one.split("/")[3] not in logs and good.split("/")[3] not in logs and "PRIVATE" not in logs, "no secret is in a log")
ok(not any(b"PRIVATE KEY" in open(f"{LAB}/node1/state/{f}", "rb").read() for f in os.listdir(f"{LAB}/node1/state") if f.startswith("netd.db")), "nor the authority's key in the store")
t.end()
