#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was let through and what was dropped, for each rule, group and VNet: the counters agree with
packets that were counted where they were sent."""
import re
from vnets import *

inside()
rt = Runtime()
call("PUT", RG, {"location": "westeurope"})
for vnet in "vw":
    put(VNET + vnet, {"properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16", "fd00:1::/48"]}}})
r = lambda name, prio, access, proto, port, src="*": {"name": name, "properties": {"priority": prio, "direction": "Inbound", "access": access, "protocol": proto, "sourceAddressPrefix": src, "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": port}}
put(N + "networkSecurityGroups/n", {"properties": {"securityRules": [r("web", 100, "Allow", "Tcp", "80"), r("names", 200, "Deny", "Udp", "53")]}})
for vnet in "vw":
    subnet(vnet, "one", ["10.1.1.0/24", "fd00:1:0:1::/64"], networkSecurityGroup={"id": N + "networkSecurityGroups/n"})
A, a = member("a", "v", "one")
B, b = member("b", "v", "one")
C, c = member("c", "w", "one")
D, d = member("d", "w", "one")
b6 = re.search(r"inet6 (fd00\S+)/", inns(B, "ip -6 addr show eth0")).group(1)
servers = [serve(B, b), serve(D, d)]
counters = lambda path: call("GET", path + "/counters")
rule = lambda name: next(x for x in counters(N + "networkSecurityGroups/n")[1]["value"] if x["name"] == name)
mine = lambda g: counters(CG + g)[1]
router = lambda vnet, what: sum(x["packets"] for x in counters(VNET + vnet)[1]["value"] if x["name"] == what)
SEND = "import socket,sys\nfor i in range(int(sys.argv[3])):\n s=socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET,socket.SOCK_DGRAM)\n s.sendto(b'x'*100,(sys.argv[1],int(sys.argv[2])))\n s.close()"
send = lambda ns, to, port, n: subprocess.run(["nsenter", "--net=" + ns, sys.executable, "-c", SEND, to, str(port), str(n)], check=True)

ok(rule("web")["packets"] == 0 == rule("names")["packets"], "before anything was sent: nothing")
before = mine("b"), mine("a")
for _ in range(5):
    ask(A, b)
send(A, b, 53, 7)
send(A, b6, 53, 3)
x = rule("web")
ok(x["packets"] == 5 and x["bytes"] == 5 * 60 and (x["direction"], x["priority"], x["access"]) == ("Inbound", 100, "Allow"), "five connections: five flows of the rule that let them in", x)
x = rule("names")
ok(x["packets"] == 10 and x["bytes"] == 7 * 128 + 3 * 148 and x["access"] == "Deny", "ten packets of the rule that denied them, IPv4 and IPv6", x)
ok(rule("AllowVnetOutBound")["packets"] == 15, "and all of them of the rule on their way out", rule("AllowVnetOutBound"))
now = mine("b"), mine("a")
ok(now[0]["packetsDropped"] - before[0]["packetsDropped"] == 10 and now[0]["bytesDropped"] - before[0]["bytesDropped"] == 7 * 128 + 3 * 148, "they were dropped of the group they were for", (before, now))
ok(now[1]["packetsDropped"] == before[1]["packetsDropped"], "and of no other")
sent, got = now[1]["packetsOut"] - before[1]["packetsOut"], now[0]["packetsIn"] - before[0]["packetsIn"]
back = now[1]["packetsIn"] - before[1]["packetsIn"] - now[0]["packetsOut"] + before[0]["packetsOut"]
# links that are new say a few things of themselves
ok(abs(sent - got - 10) < 6 and got >= 20 and now[0]["bytesIn"] > before[0]["bytesIn"] and abs(back) < 6, "what one sent and was not dropped the other received, and back", (before, now))
# the same group in two VNets is one sum; the same address in the other VNet is another's
ask(C, d)
ok(rule("web")["packets"] == 6 and mine("d")["packetsDropped"] == 0, "a rule's counters are those of all VNets it is in, a group's are its own", rule("web"))
# outbound
put(N + "networkSecurityGroups/n", {"properties": {"securityRules": [r("web", 100, "Allow", "Tcp", "80"), r("names", 200, "Deny", "Udp", "53"), {"name": "stay", "properties": {**r("x", 100, "Deny", "Udp", "99")["properties"], "direction": "Outbound"}}]}})
before = mine("a"), mine("b")
send(A, b, 99, 4)
now = mine("a"), mine("b")
ok(rule("stay")["packets"] == 4 and now[0]["packetsDropped"] - before[0]["packetsDropped"] == 4 and now[1]["packetsDropped"] == before[1]["packetsDropped"], "a rule on the way out: dropped of the sender", (now, before))
ok(rule("web")["packets"] == 6, "a change of rules leaves the other counters as they are")
# what is closed, spoofed, leaves no trace at a rule
before = router("v", "closed to groups"), router("v", "not its own source, or no IP"), mine("a")["packetsDropped"]
send(A, "169.254.9.9", 9, 300)  # a hundred a second are answered
inns(A, f"{sys.executable} -c \"from scapy.all import *; conf.verb=0; sendp([Ether(dst='12:34:56:78:9a:bc')/IP(src='10.1.1.99',dst='{b}')/UDP()]*20,iface='eth0')\"")
ok(router("v", "closed to groups") - before[0] >= 300 and router("v", "not its own source, or no IP") - before[1] >= 20, "the VNet's router says what it dropped, and why", counters(VNET + "v")[1])
ok(mine("a")["packetsDropped"] - before[2] >= 100, "what got no answer is the sender's", mine("a"))
ok(router("w", "not its own source, or no IP") < 20, "another VNet's is apart")
# who may ask, and netctl
s, doc, _ = call("GET", f"/subscriptions/11111111-0000-0000-0000-000000000002/resourceGroups/demo/providers/Microsoft.Network/networkSecurityGroups/n/counters")
ok(s == 404, "a foreign group has no counters", (s, doc))
ok(call("POST", N + "networkSecurityGroups/n/counters", {})[0] == 405, "they are read by GET")
tell = lambda *words: subprocess.run([os.environ["NETD_NETCTL"], "counters", *words, "-g", "demo"], capture_output=True, text=True)
out = tell("nsg", "n")
ok(out.returncode == 0 and re.search(r"^names +Inbound +Deny +10 +", out.stdout, re.M), "netctl counters nsg", out)
out = tell("cg", "b", "-o", "json")
ok(out.returncode == 0 and json.loads(out.stdout)["packetsDropped"] >= 10, "netctl counters cg", out)
ok("closed to groups" in tell("vnet", "v").stdout and tell("vnet", "absent").returncode != 0, "netctl counters vnet")
# faults
os.kill(role_pid("engine"), 9)
s = call("GET", N + "networkSecurityGroups/n/counters")[0]
ok(s in (200, 503), "an engine that is away is said so", s)
ok(wait(lambda: counters(N + "networkSecurityGroups/n")[0] == 200) and rule("names")["packets"] == 10, "one that comes back has lost no count")
put(VNET + "idle", {"properties": {"addressSpace": {"addressPrefixes": ["10.7.0.0/16"]}}})
ok(counters(VNET + "idle")[1] == {"value": []}, "a VNet without groups has dropped nothing")
for p in servers:
    p.kill()
call("DELETE", RG)
t.end()
