#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attach and detach, again and again (10,000 by CNI and as many pushed under LONG): roles' memory and descriptors, namespaces, devices,
elements of the ruleset and rows of the store stay as they were."""
import re
from plane import *

inside("pool=routed 198.18.0.0/16", "rest=0")
from cni import *

t = Tap()
ok = t.ok
LONG = os.environ.get("LONG") == "1"
ROUND, ROUNDS = (100, 100) if LONG else (40, 8)
ROLES = ("engine", "control", "dns", "probe", "session")
runtime = Runtime()
SUBNET = VNET + "net/subnets/pods"
RUN = NS
call("PUT", RG, {"location": "westeurope"})
call("PUT", VNET + "net", {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": [
    {"name": "pods", "properties": {"addressPrefix": "10.1.0.0/20", "delegations": [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}]}})
# One that stays, so that the VNet does.
call("PUT", CG + "stays", {"location": "westeurope", "properties": {**group("stays")["properties"], "ipAddress": {"type": "Private", "ports": [{"port": 80, "protocol": "TCP"}]}, "subnetIds": [{"id": SUBNET}]}})
ok(wait(lambda: state(CG + "stays") == "Succeeded"), "a group that stays", state(CG + "stays"))
DOC = conf(subnet=SUBNET)
spaces = [Namespace() for _ in range(ROUND)]
router = [f"{RUN}/{n}" for n in namespaces() if n.startswith("v")]


def counts():
    """What may not grow: per role memory and descriptors; objects in the kernel; rows in the store."""
    c = {}
    for r in ROLES:
        p = role_pid(r)
        c[r + " fds"] = len(os.listdir(f"/proc/{p}/fd"))
        c[r + " MB"] = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{p}/status").read()).group(1)) / 1024
        c[r + " threads"] = len(os.listdir(f"/proc/{p}/task"))
    c["namespaces"] = len(namespaces())
    c["ipc"] = len(os.listdir("/run/netns"))
    for v in router:
        q = subprocess.run(["nsenter", "--net=" + v, "sh", "-c", "ip -o link | wc -l; ip -o addr | wc -l; ip route show table all | wc -l; ip neigh | wc -l; bridge fdb | wc -l; nft -s list ruleset | wc -c"], capture_output=True, text=True).stdout.split()
        c.update(zip(("links", "addresses", "routes", "neighbours", "fdb", "ruleset bytes"), map(int, q)))
    for line in subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout.splitlines():
        if line.startswith(("netd_engine_owners ", "netd_engine_objects ", "netd_resources ", "netd_dns_names ")):
            c[line.split()[0]] = int(line.split()[1])
    return c


def sixteen_at_once(one):
    for at in range(0, ROUND, 16):
        threads = [threading.Thread(target=one, args=(i,)) for i in range(at, min(at + 16, ROUND))]
        for x in threads:
            x.start()
        for x in threads:
            x.join()


def cni_round():
    """Sixteen at a time, as runtimes do."""
    failed = []

    def one(i):
        for verb in ("ADD", "DEL"):
            rc, got = plugin(verb, DOC, container=f"flat-{i}", netns=spaces[i].path)
            if rc:
                failed.append((verb, got))

    sixteen_at_once(one)
    return failed


def push_round():
    failed = []

    def one(i):
        doc = {"location": "westeurope", "properties": {**group(f"p{i}")["properties"], "ipAddress": {"type": "Private", "ports": [{"port": 80, "protocol": "TCP"}]}, "subnetIds": [{"id": SUBNET}]}}
        if call("PUT", CG + f"p{i}", doc)[0] != 201 or not wait(lambda: state(CG + f"p{i}") == "Succeeded", 20):
            failed.append(("PUT", i))
        retry("DELETE", CG + f"p{i}")
        if not wait(lambda: call("GET", CG + f"p{i}")[0] == 404, 20):
            failed.append(("DELETE", i))

    sixteen_at_once(one)
    return failed


def settled():
    """When spares that nobody wants any more have gone, and links that go later."""
    wait(lambda: time.sleep(0.5) or len([n for n in namespaces() if n.startswith("g")]) <= 1, 30)
    time.sleep(1)
    return counts()


failed = []
for i in range(24 if LONG else 2):  # memory that is kept: threads' and, until it is full, the store's cache of pages
    failed += cni_round() + push_round()
settled()
time.sleep(12)  # what is opened when a namespace is verified is there
before, began = counts(), time.time()
for i in range(ROUNDS):
    failed += cni_round()
    failed += push_round()
took = time.time() - began
after = settled()
print(f"# {ROUND * ROUNDS} by CNI, {ROUND * ROUNDS} pushed, in {took:.0f} s")
ok(not failed, f"{2 * ROUND * ROUNDS} attached and detached, none failed", failed[:3])
for k in sorted(before):
    room = 8 if k.endswith(" MB") and "san" in os.environ.get("NETD_BUILD", "") else 3 if k.endswith(" MB") else 0
    if k == "control fds" and os.environ.get("NETD_LAB_STORE") == "etcd":
        room = 3  # connections to it: as many as calls overlap, and they are kept
    if "san" in os.environ.get("NETD_BUILD", "") and k.endswith(" MB"):
        continue  # ASan keeps what was freed
    ok(after[k] <= before[k] + room, f"{k}: {before[k]:.0f} before, {after[k]:.0f} after", after)
db = os.environ["NETD_LAB"] + "/node1/state/netd.db"
rows = lambda like: int(subprocess.run(["sqlite3", "-readonly", db, f"SELECT count(*) FROM pairs WHERE key {like}"], capture_output=True, text=True).stdout or -1)
ok(rows("NOT LIKE 'usage/%' AND key NOT LIKE 'rest/%'") < 20, "rows of the store, but for what is accounted", rows("NOT LIKE 'usage/%'"))
for s in spaces:
    s.drop()
retry("DELETE", RG)
ok(wait(lambda: call("GET", RG)[0] == 404, 30) and wait(lambda: namespaces() == [], 40), "all goes", namespaces())
t.end()
