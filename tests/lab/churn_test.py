#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many groups, 16 at once: made, all of netd killed, taken over, made again from an empty kernel,
deleted. No address twice, no answered request lost, nothing left. LONG=1: 1,100 groups, more than a bridge of the kernel holds."""
import concurrent.futures, os, signal, subprocess, sys
from plane import *

inside("pool=routed 198.18.0.0/16")
t = Tap()
rt = Runtime()
N = 1100 if os.environ.get("LONG") == "1" else 100
names = [f"g{i}" for i in range(N)]
pool = concurrent.futures.ThreadPoolExecutor(16)
retry("PUT", RG, {"location": "westeurope"})
start = time.time()
codes = list(pool.map(lambda n: call("PUT", CG + n, group(n, label="label-" + n))[0], names))
LIST = f"/subscriptions/{SUB}/providers/Microsoft.ContainerInstance/containerGroups"
done = lambda: sum(g["properties"]["provisioningState"] == "Succeeded" for g in everything(LIST))
t.ok(codes == [201] * N, f"{N} groups are accepted", [c for c in codes if c != 201][:5])
t.ok(wait(lambda: done() == N, 60), "all succeed", done())
print(f"# {N} groups in {time.time() - start:.2f} s, 16 at once")


def addresses():
    return {g["name"]: g["properties"]["ipAddress"]["ip"] for g in everything(LIST)}


first = addresses()
t.ok(len(set(first.values())) == N, "no address is given twice")
kib = sum(int(l.split()[1]) for p in os.listdir("/proc") if p.isdigit() and open(f"/proc/{p}/comm").read() in ("netd\n", "exe\n")
          for l in open(f"/proc/{p}/status") if l.startswith("VmRSS"))
print(f"# all roles together: {kib / 1024:.1f} MB resident")


def steps():
    import urllib.request
    c = Unix("lab"); c.request("GET", "/metrics"); c.getresponse().read(); time.sleep(0.2)
    c = Unix("lab"); c.request("GET", "/metrics")
    text = c.getresponse().read().decode()
    return {l.split()[0]: int(l.split()[1]) for l in text.splitlines()}


def restart(between=lambda: None):
    # the lab starts netd again 50 ms after it died
    pid = open(os.environ["NETD_LAB"] + "/netd.pid").read()
    os.kill(int(pid), signal.SIGSTOP)
    between()
    begin = time.time()
    os.kill(int(pid), signal.SIGKILL)
    wait(lambda: open(os.environ["NETD_LAB"] + "/netd.pid").read() not in ("", pid))
    wait(lambda: call("GET", "/readyz")[0] == 200, 60)
    return time.time() - begin


wait(lambda: time.sleep(1) or len(namespaces()) <= N + 2, 30)  # spares that nobody wants any more have gone
took = restart()
t.ok(wait(lambda: done() == N, 30), f"after kill -9 all are taken over")
print(f"# ready {took:.2f} s after kill -9")
m = steps()
# the uplink's ruleset depends on devices outside: it alone is replaced, in one transaction
t.ok(m["netd_engine_steps_total"] <= 8, "taking over changes nothing of the tenants'", m)


def empty_kernel():
    ns = NS + "/"
    for f in os.listdir(ns):
        subprocess.run(["umount", "-l", ns + f])
        os.unlink(ns + f)


took = restart(empty_kernel)
t.ok(wait(lambda: done() == N, 60) and addresses() == first, "a cold boot attaches all with their addresses")
print(f"# {N} groups attached {took:.2f} s after a cold boot")
t.ok(dig("label-g1.westeurope.azurecontainer.io")[1] == [first["g1"]], "and their names")
start = time.time()
list(pool.map(lambda n: retry("DELETE", CG + n)[0], names))
t.ok(wait(lambda: done() == 0 and not addresses(), 60), "all are deleted", len(addresses()))
print(f"# {N} groups deleted in {time.time() - start:.2f} s")
t.ok(wait(lambda: namespaces() == []), "no namespace is left", namespaces()[:5])
t.ok(dig("label-g1.westeurope.azurecontainer.io")[0] == "NXDOMAIN", "no name is left")
gw = subprocess.run(["nsenter", "--net=" + NS + "/gw", "sh", "-c",
                     "ip route | grep -c ' dev v'; ip neigh show proxy | wc -l"], capture_output=True, text=True).stdout.split()
t.ok(gw == ["0", "0"], "no route and no neighbour is left in the gateway", gw)
t.end()
