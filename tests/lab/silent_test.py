#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role of one node that hangs, though its node is there: the engine, then the name server. Nobody waits for it longer than a lease, what is elsewhere goes on, and
what it was told meanwhile is in force once it goes on."""
import signal, threading
from balancers import *

inside(nodes=3)
LAB = os.environ["NETD_LAB"]
call("PUT", RG, {"location": "westeurope"})
rts = [Runtime(node=k) for k in (1, 2, 3)]


def nodes(what):
    return {n["name"]: n[what] for n in call("GET", "/netd/nodes")[1]["value"]}


def role_of(node, role):
    return next(int(p) for p in os.listdir("/proc") if p.isdigit() and f"--role\0{role}".encode() in cmdline(p) and f"/node{node}.conf".encode() in cmdline(p))


def took(what):
    """What it gave, and the seconds until then; a caller waits for longer than the tests' own."""
    got = []

    def run():
        began = time.time()
        got.extend([what(), time.time() - began])
    x = threading.Thread(target=run)
    x.start()
    return lambda: (x.join(), got)[1]


def put_long(path, body):
    r = subprocess.run(["curl", "-s", "-m", "40", "-X", "PUT", "--unix-socket", os.environ["NETD_SOCKET"], f"http://lab{path}{'&' if '?' in path else '?'}api-version=2023-05-01", "-H", "Content-Type: application/json",
                        "-d", json.dumps({"location": "westeurope", **body}), "-w", "\n%{http_code}"], capture_output=True, text=True).stdout
    text, _, code = r.rpartition("\n")
    return int(code or 0), json.loads(text) if text else None


table = lambda *prefixes: {"properties": {"routes": [{"name": f"r{i}", "properties": {"addressPrefix": p, "nextHopType": "None"}} for i, p in enumerate(prefixes)]}}
for v, n in (("v", 9), ("w", 8)):
    put(VNET + v, {"properties": {"addressSpace": {"addressPrefixes": [f"10.{n}.0.0/16"]}}})
    put(N + "routeTables/" + v, table())
    subnet(v, "s", [f"10.{n}.1.0/24"], routeTable={"id": N + "routeTables/" + v})
A, a = placed(lambda: member("a", "v", "s"), "node2")
B, b = placed(lambda: member("b", "w", "s"), "node3")
B2, b2 = placed(lambda: member("b2", "w", "s"), "node3")
web = serve(B, b)
pid = role_of(2, "engine")
os.kill(pid, signal.SIGSTOP)
first = took(lambda: put_long(N + "routeTables/v", table("198.51.100.0/24")))
time.sleep(0.3)
second = took(lambda: put_long(N + "routeTables/w", table("198.51.100.0/24")))
(s, d), seconds = first()
ok(s == 200 and d["properties"]["provisioningState"] == "Failed", "a change for an engine that hangs is answered, as stored and not in force", (s, d))
ok(4 < seconds < 20, f"once it has been silent for a lease ({seconds:.1f} s)")
(s, d), _ = second()
ok(s == 200 and d["properties"]["provisioningState"] == "Succeeded", "what was asked after it, and is elsewhere, is in force", (s, d))
(s, d), seconds = took(lambda: put_long(N + "routeTables/w", table("198.51.100.0/25")))()
ok(s == 200 and d["properties"]["provisioningState"] == "Succeeded" and seconds < 3, "and from then on nobody waits", (s, seconds))
ok(nodes("refused")["node2"] == [{"resource": "the node", "error": "its engine does not answer"}] and nodes("refused")["node3"] == [], "GET /netd/nodes says which it is", nodes("refused"))
ok(nodes("state")["node2"] == "Ready", "the node itself is there")
ok(state(VNET + "v") == "Failed" and state(VNET + "w") == "Succeeded", "its VNets are not as they should be")
for i in range(4):
    g = group(f"new{i}")
    ok(call("PUT", CG + f"new{i}", g)[0] == 201 and wait(lambda: state(CG + f"new{i}") == "Succeeded", 10) and call("GET", CG + f"new{i}")[1]["netd"]["node"] != "node2", "new groups begin elsewhere", call("GET", CG + f"new{i}")[1])
ok(ask(B2, b) == b2, "what is on other nodes goes on")
os.kill(pid, signal.SIGCONT)
ok(wait(lambda: nodes("refused")["node2"] == [] and state(VNET + "v") == "Succeeded", 15), "it goes on, and so is all as it should be", nodes("refused"))
ok(wait(lambda: any("198.51.100.0/24" in inns(f"{LAB}/node2/run/ns/{n}", "ip route show table all") for n in os.listdir(f"{LAB}/node2/run/ns") if n[0] == "v"), 5), "what it was told meanwhile too")

# ---- name servers
ZONE = N + "privateDnsZones/corp.example"
record = lambda name, ip: put_long(f"{ZONE}/A/{name}", {"properties": {"ttl": 10, "aRecords": [{"ipv4Address": ip}]}})
retry("PUT", ZONE, {"location": "global"})
retry("PUT", ZONE + "/virtualNetworkLinks/w", {"location": "global", "properties": {"virtualNetwork": {"id": VNET + "w"}, "registrationEnabled": False}})
look = lambda name: inns(B, f"dig +short +time=1 +tries=1 @168.63.129.16 {name}.corp.example").strip()
ok(wait(lambda: state(ZONE) == "Succeeded") and record("db", "10.7.7.7")[0] in (200, 201) and wait(lambda: look("db") == "10.7.7.7", 5), "a name of the VNet on node3", look("db"))
pid = role_of(3, "dns")
os.kill(pid, signal.SIGSTOP)
(s, d), seconds = took(lambda: record("db", "10.7.7.8"))()
ok(s == 200 and 4 < seconds < 20, f"a change for a name server that hangs is answered once it has been silent for a lease ({seconds:.1f} s)", (s, d))
(s, d), seconds = took(lambda: record("db", "10.7.7.9"))()
ok(s == 200 and seconds < 3, f"and from then on nobody waits ({seconds:.1f} s)", (s, d))
os.kill(pid, signal.SIGCONT)
ok(wait(lambda: look("db") == "10.7.7.9", 10), "it goes on, and knows what it was told meanwhile", look("db"))
ok(wait(lambda: any('"dns"' in l for l in open(LAB + "/netd.log") if '"role.answers"' in l), 10), "it is waited for again", [l for l in open(LAB + "/netd.log") if '"role.' in l][-3:])

pid = role_pid("dns")
os.kill(pid, signal.SIGSTOP)
got, seconds = took(lambda: (call("PUT", CG + "named", group("named", label="silent")), wait(lambda: state(CG + "named") == "Succeeded", 25))[1])()
ok(got, f"a group whose name control's own name server should know, which hangs, begins all the same ({seconds:.1f} s)")
got, seconds = took(lambda: (call("PUT", CG + "named2", group("named2", label="silent2")), wait(lambda: state(CG + "named2") == "Succeeded", 25))[1])()
ok(got and seconds < 5, f"the next one does not wait ({seconds:.1f} s)", state(CG + "named2"))
ok(call("DELETE", CG + "named2")[0] in (200, 202, 204) and wait(lambda: call("GET", CG + "named2")[0] == 404, 10), "and goes, if it is to", call("GET", CG + "named2"))
os.kill(pid, signal.SIGCONT)
ok(wait(lambda: dig("silent.westeurope.azurecontainer.io")[1] != [], 10), "its name is answered when it goes on", dig("silent.westeurope.azurecontainer.io"))
ok(wait(lambda: dig("silent2.westeurope.azurecontainer.io")[1] == [], 5), "and that of the one that has gone is not", dig("silent2.westeurope.azurecontainer.io"))
web.kill()
t.end()
