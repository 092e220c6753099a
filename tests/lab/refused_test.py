#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's kernel refuses what it should have, for as long as a stranger owns the ruleset's table there: API, netctl, log and counters say so, what is
elsewhere goes on, and all is made once it may be."""
import signal
from balancers import *

os.environ["NETD_LAB_REFUSES"] = "1"
inside(nodes=2)
LAB = os.environ["NETD_LAB"]
call("PUT", RG, {"location": "westeurope"})
rts = [Runtime(node=k) for k in (1, 2)]


def rule(access):
    return {"properties": {"securityRules": [{"name": "web", "properties": {"priority": 100, "direction": "Inbound", "access": access, "protocol": "Tcp", "sourceAddressPrefix": "*",
                                                                            "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "80"}}]}}


def nodes(what):
    return {n["name"]: n[what] for n in call("GET", "/netd/nodes")[1]["value"]}


def gauge():
    text = subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout
    return [int(l.split()[-1]) for l in text.splitlines() if l.startswith("netd_engine_refused") and "node2" in l]


log = lambda what: [l for l in open(LAB + "/netd.log") if what in l]
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}})
put(VNET + "w", {"properties": {"addressSpace": {"addressPrefixes": ["10.8.0.0/16"]}}})
nsg = put(N + "networkSecurityGroups/n", rule("Allow"))
table = put(N + "routeTables/t", {"properties": {"routes": []}})
put(N + "networkSecurityGroups/idle", rule("Allow"))
subnet("v", "s", ["10.9.1.0/24"], networkSecurityGroup={"id": nsg["id"]}, routeTable={"id": table["id"]})
subnet("w", "s", ["10.8.1.0/24"])
A, a = placed(lambda: member("a", "v", "s"), "node1")
B, b = placed(lambda: member("b", "v", "s"), "node2")
O, o = placed(lambda: member("o", "w", "s"), "node2")
O2, o2 = placed(lambda: member("o2", "w", "s"), "node1")
web = [serve(A, a), serve(B, b), serve(O, o)]
ok(wait(lambda: ask(A, b) == a and ask(B, a) == b and ask(O2, o) == o2), "all reach each other", (ask(A, b), ask(B, a), ask(O2, o)))
ok(nodes("refused") == {"node1": [], "node2": []} and gauge() == [0], "no kernel refuses anything", (nodes("refused"), gauge()))

router = f"{LAB}/node2/run/ns/" + next(n for n in os.listdir(f"{LAB}/node2/run/ns") if n[0] == "v" and "10.9.1.1" in inns(f"{LAB}/node2/run/ns/{n}", "ip -o addr"))


def stranger():
    """Makes the table its own: the kernel lets nobody else change it while its socket is open."""
    p = subprocess.Popen(["nsenter", "--net=" + router, "nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    p.stdin.write("delete table inet netd; add table inet netd { flags owner; }\n")
    p.stdin.flush()
    return p


def refuses():
    return [x["resource"].lower() for x in nodes("refused")["node2"]] == [(VNET + "v").lower()]


p = stranger()
ok(wait(refuses, 15), "node2's kernel lets nothing be repaired there: GET /netd/nodes says so", (nodes("refused"), p.poll()))
why = nodes("refused")["node2"][0]["error"] if refuses() else ""
ok("perm" in why.lower(), "with what it said", why)
ok(nodes("refused")["node1"] == [], "node1 has no trouble", nodes("refused"))
ok(state(VNET + "v") == "Failed" and state(VNET + "w") == "Succeeded", "the VNet is not as it should be, the other one is", (state(VNET + "v"), state(VNET + "w")))
ok(state(N + "networkSecurityGroups/n") == "Failed" and state(N + "routeTables/t") == "Failed", "nor is what is in its rules")
ok(state(N + "networkSecurityGroups/idle") == "Succeeded", "what is nowhere is refused nowhere")
r = subprocess.run([os.environ["NETD_NETCTL"], "node", "list"], env={k: v for k, v in os.environ.items() if k != "NETD_API"}, capture_output=True, text=True).stdout
ok("Ready,refused" in next(l for l in r.splitlines() if l.startswith("node2 ")) and "refused" not in next(l for l in r.splitlines() if l.startswith("node1 ")), "netctl says it", r)
ok(wait(lambda: gauge() == [1], 15), "so do the counters", gauge())
said = log("kernel.refuses")
ok(len(said) == 1 and "/virtualNetworks/v" in said[0] and "node2" in said[0], "and the log, once", said)
ok(ask(O2, o) == o2, "the other VNet goes on there")

began = time.time()
s, d, _ = call("PUT", N + "networkSecurityGroups/n", {"location": "westeurope", **rule("Deny")})
took = time.time() - began
ok(s == 200 and d["properties"]["provisioningState"] == "Failed", "a change that does not reach all kernels is stored, and answered as Failed", (s, d))
ok(took < 5, "soon: it does not wait for the kernel for ever", took)
ok(ask(B, a, timeout=0.5) == "timeout", "where it may be made, it is")
s, d, _ = call("PUT", N + "networkSecurityGroups/idle", {"location": "westeurope", **rule("Deny")})
ok(s == 200 and d["properties"]["provisioningState"] == "Succeeded", "another change has nothing to do with it", (s, d))
open(LAB + "/n.json", "w").write(json.dumps({"name": "n", "type": "Microsoft.Network/networkSecurityGroups", "location": "westeurope", **rule("Deny")}))
r = subprocess.run([os.environ["NETD_NETCTL"], "-g", RG.rsplit("/", 1)[-1], "apply", "-f", LAB + "/n.json"], capture_output=True, text=True)
ok(r.returncode == 1 and "refuses" in r.stderr, "netctl apply says so too", (r.returncode, r.stderr))
os.kill(role_pid("control"), signal.SIGKILL)
time.sleep(0.3)
wait(lambda: call("GET", "/readyz")[0] == 200)
ok(wait(lambda: nodes("state")["node2"] == "Ready" and refuses(), 15), "a control that has just begun is told it too", nodes("refused"))

p.kill()
p.wait()
ok(wait(lambda: state(N + "networkSecurityGroups/n") == "Succeeded" and state(VNET + "v") == "Succeeded", 15), "the stranger is gone: all is made", nodes("refused"))
ok(nodes("refused") == {"node1": [], "node2": []} and wait(lambda: gauge() == [0], 15), "nothing is refused", (nodes("refused"), gauge()))
ok(wait(lambda: len(log("kernel.takes")) == 1, 5), "the log says that too", log("kernel.takes"))
ok(wait(lambda: ask(A, b, timeout=0.5) == "timeout", 5) and ask(B, a, timeout=0.5) == "timeout", "what was changed meanwhile is in force on both nodes")
s, d, _ = call("PUT", N + "networkSecurityGroups/n", {"location": "westeurope", **rule("Allow")})
ok(s == 200 and d["properties"]["provisioningState"] == "Succeeded" and ask(A, b) == a, "and so is the next change", (s, d))

p = stranger()
ok(wait(refuses, 15), "again")
for x in "ab":
    call("DELETE", CG + x)
ok(wait(lambda: nodes("refused")["node2"] == [], 15), "what goes is refused no more", nodes("refused"))
p.kill()
p.wait()
for w in web:
    w.kill()

# ---- what a VNet had on a node goes with its last group there, and comes again at once: its link has the same name
put(VNET + "u", {"properties": {"addressSpace": {"addressPrefixes": ["10.7.0.0/16"]}}})
subnet("u", "s", ["10.7.1.0/24"])
placed(lambda: member("stays", "u", "s"), "node1")
for n in nodes("name"):
    n == "node2" or call("POST", f"/netd/nodes/{n}/cordon")
failed = lambda: [l for l in open(LAB + "/netd2.log") if '"engine.failed"' in l]
was = len(failed())
for i in range(8):
    member(f"comes{i}", "u", "s")
    call("DELETE", CG + f"comes{i}")
    ok(wait(lambda: call("GET", CG + f"comes{i}")[0] == 404), "it goes")
ok(len(failed()) == was, "no step of that failed", failed()[was:][:4])
t.end()
