#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fair shares: VNets that flood with new flows are slowed down, and nobody else notices; what they
may track is bounded; refused flows are counted."""
import sys
from plane import *

inside("flows=3000")
t = Tap()
ok = t.ok
LONG = os.environ.get("LONG") == "1"
FLOODERS = 20 if LONG else 5
ACI = [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]
rt = Runtime()
call("PUT", RG, {"location": "westeurope"})


def vnet(i, members):
    call("PUT", VNET + f"n{i}", {"location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": [{"name": "s", "properties": {"addressPrefix": "10.1.1.0/24", "delegations": ACI}}]}})
    got = []
    for k in range(members):
        g = group(f"g{i}-{k}")
        g["properties"].update(ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + f"n{i}/subnets/s"}])
        call("PUT", CG + f"g{i}-{k}", g)
    for k in range(members):
        wait(lambda: call("GET", CG + f"g{i}-{k}")[1]["properties"]["provisioningState"] == "Succeeded")
        doc = call("GET", CG + f"g{i}-{k}")[1]
        got.append((doc["netd"]["namespace"], doc["properties"]["ipAddress"]["ip"]))
    return got


FLOOD = """
import socket, sys, time
s = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(200)]
end = time.time() + float(sys.argv[1]); n = 0
while time.time() < end:
    for k in s:
        n += 1
        try: k.sendto(b'x', (sys.argv[2] % (4 + n % 2), 1024 + n % 60000))
        except OSError: pass
    time.sleep(0.002)
print(n)
"""
CONNECT = """
import socket, sys, time
lost, took = 0, []
for _ in range(int(sys.argv[2])):
    b = time.time()
    try: socket.create_connection((sys.argv[1], 80), 2).close(); took.append(time.time() - b)
    except OSError: lost += 1
took.sort()
print(lost, took[len(took) * 99 // 100] * 1000)
"""
run = lambda ns, code, *a: subprocess.Popen(["nsenter", "--net=" + ns, sys.executable, "-c", code, *map(str, a)], stdout=subprocess.PIPE, text=True)
flooders = [vnet(i, 2) for i in range(FLOODERS)]
(a, _), (b, bip) = vnet("calm", 2)
server = run(b, "import socket\ns=socket.create_server(('0.0.0.0',80),backlog=500)\nprint('ready',flush=True)\nwhile 1: s.accept()[0].close()")
server.stdout.readline()
routers = {n: NS + "/" + n for n in namespaces() if n[0] == "v"}
flows = lambda r: int(subprocess.run(["nsenter", "--net=" + r, "cat", "/proc/sys/net/netfilter/nf_conntrack_count"], capture_output=True, text=True).stdout)
N = 400
lost, calm = run(a, CONNECT, bip, N).communicate()[0].split()
ok(lost == "0", "connections of a VNet while all is calm")
# what the senders cost by themselves, on these cores: the same floods inside their own namespaces
idle = [run(f[0][0], FLOOD, 6, "127.0.0.%d") for f in flooders]
time.sleep(2)
_, beside = run(a, CONNECT, bip, N).communicate()[0].split()
for f in idle:
    f.wait()
floods = [run(f[0][0], FLOOD, 8, "10.1.1.%d") for f in flooders]
time.sleep(2)
lost, p99 = run(a, CONNECT, bip, N).communicate()[0].split()
ok(lost == "0", f"{FLOODERS} VNets flood: the other one's connections lose nothing", lost)
print(f"# p99 {float(calm):.2f} ms calm, {float(beside):.2f} ms beside {FLOODERS} senders that flood themselves, {float(p99):.2f} ms beside {FLOODERS} VNets that flood: {float(p99) / float(beside):.2f} times")
most = max(flows(r) for r in routers.values())
sent = [int(f.communicate()[0]) for f in floods]
ok(min(sent) > 5000, "they did flood", sent)
ok(most < 12000, "what a VNet tracks is bounded (budget 3,000)", most)
metrics = lambda: Unix and __import__("http").client and subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout
ok(wait(lambda: f"netd_engine_vnets_tightened {FLOODERS}" in metrics() or "netd_engine_vnets_tightened 0" not in metrics()), "the metrics say that shares are tightened", metrics())
dropped = [subprocess.run(["nsenter", "--net=" + r, "nft", "list", "table", "inet", "netd"], capture_output=True, text=True).stdout for r in routers.values()]
refused = sum(1 for d in dropped if any("over" in l and "packets 0 " not in l for l in d.splitlines() if "share" in l or "budget" in l))
ok(refused >= FLOODERS, "refused flows are counted", refused)
ok(wait(lambda: "netd_engine_vnets_tightened 0" in metrics(), 60), "when it is over, shares are as they were")
server.kill()
t.end()
