#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public addresses by every node's uplink: whoever of them a packet reaches, it comes to the group; answers leave from where the group is."""
from vnets import *

inside("pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64", "pool=onlink 192.0.2.64/26", nodes=3, uplinks=True)
LAB = os.environ["NETD_LAB"]


class On(Runtime):
    def __init__(self, node):
        self.node = node
        super().__init__(serve=True)

    def path(self):
        return f"{LAB}/node{self.node}/run/runtime.sock"


def net(*words):
    return subprocess.run(["ip", "-n", "internet", *words], check=True)


def by(node, ip):
    """The internet sends the address to that node."""
    six = ["-6"] if ":" in ip else []
    if node == 1:
        net(*six, "route", "replace", ip, "via", "2001:db8::2" if six else "192.0.2.2")
    else:
        net(*six, "route", "replace", ip, "via", f"2001:db8:88{node}::2" if six else f"192.88.{node}.2")


def counted(dev, way):
    import pathlib
    out = subprocess.run(["ip", "netns", "exec", "internet", "cat", f"/sys/class/net/{dev}/statistics/{way}_packets"], capture_output=True, text=True).stdout
    return int(out or 0)


def placed(name, node):
    for k in (1, 2, 3):
        if k != node:
            call("POST", f"/netd/nodes/node{k}/cordon")
    s = call("PUT", CG + name, group(name))[0]
    for k in (1, 2, 3):
        call("POST", f"/netd/nodes/node{k}/uncordon")
    return s


call("PUT", RG, {"location": "westeurope"})
rts = [On(k) for k in (1, 2, 3)]
where = {}
for k in (1, 2, 3):  # a subscription's groups are on one node: take it along
    sub = f"00000000-0000-0000-0000-00000000000{k + 3}"
    rg = f"/subscriptions/{sub}/resourceGroups/demo"
    call("PUT", rg, {"location": "westeurope"})
    for j in (1, 2, 3):
        if j != k:
            call("POST", f"/netd/nodes/node{j}/cordon")
    path = rg + "/providers/Microsoft.ContainerInstance/containerGroups/web"
    ok(call("PUT", path, group(f"web{k}"))[0] == 201, f"a group for node{k}")
    for j in (1, 2, 3):
        call("POST", f"/netd/nodes/node{j}/uncordon")
    ok(wait(lambda: state(path) == "Succeeded"), "runs")
    doc = call("GET", path)[1]
    ok(doc["netd"]["node"] == f"node{k}", "there", doc["netd"])
    where[k] = (path, doc["properties"]["ipAddress"]["ip"], doc["netd"]["namespace"])

for home in (1, 2, 3):
    path, ip, ns = where[home]
    for entry in (1, 2, 3):
        by(entry, ip)
        ok(wait(lambda: page(ip), 3) == ("192.0.2.1" if entry == 1 else f"192.88.{entry}.1"), f"a group on node{home} is reached by node{entry}, and sees the client's address", page(ip))
    by(1 if home != 1 else 2, ip)
    was = {k: counted("net1" if k == 1 else f"net{k}", "rx") for k in (1, 2, 3)}
    for _ in range(20):
        page(ip)
    came = {k: counted("net1" if k == 1 else f"net{k}", "rx") - was[k] for k in (1, 2, 3)}
    ok(came[home] > 60 and all(came[k] < 30 for k in came if k != home), "answers leave by its own node's uplink, not by the one that it came in by", came)
    by(home, ip)

# ---- groups of different nodes by their public addresses
for a in (1, 2, 3):
    for b in (1, 2, 3):
        ok(inns(where[a][2], f"curl -s -m 2 http://{where[b][1]}/") == where[a][1], f"from node{a} to node{b} by public addresses")

# ---- who is asked for an address on the link
out = subprocess.run(["ip", "netns", "exec", "internet", "arping", "-c", "1", "-w", "2", "-I", "net2", where[2][1]], capture_output=True, text=True).stdout if where[2][1].startswith("192.0.2.") else "0 response(s)"
ok("Received 1" not in out, "node2 answers nobody for an address of the first node's link")

# ---- sources that are not its own do not leave
forged = subprocess.run(["nsenter", f"--net={LAB}/node2/run/ns/gw", "ip", "route", "get", "192.0.2.1", "from", "198.51.100.7", "iif", "vx3"], capture_output=True, text=True)
text = inns(f"{LAB}/node2/run/ns/gw", "nft list chain inet netd guard")
ok("to a VNet here" in text and "from a node that has an uplink" not in text, "a gateway with an uplink takes from other nodes what is for VNets here, and what their VNets may send", text)
text = inns(f"{LAB}/node2/run/ns/gw", "nft list set inet netd source4")
ok(f'"vx3" . {where[1][1]}' in text and f'"vx3" . {where[3][1]}' in text and f'"vx3" . {where[2][1]}' not in text, "by address", text)

# ---- all goes
for k in where:
    call("DELETE", where[k][0])
ok(wait(lambda: all(os.listdir(f"{LAB}/node{k}/run/ns") == ["gw"] for k in where), 10), "all of it goes", [os.listdir(f"{LAB}/node{k}/run/ns") for k in where])
ok(wait(lambda: "elements" not in inns(f"{LAB}/node2/run/ns/gw", "nft list set inet netd source4")), "ways too")
t.end()
