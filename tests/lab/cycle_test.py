#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups made and deleted, 16 at once, while each role dies by SIGKILL at each crash point, and all
of netd now and then: nothing is lost, given twice or left. LONG=1: 1,000 cycles, each point thrice."""
import concurrent.futures, random, signal, sqlite3
from plane import *

here = os.path.dirname(os.path.abspath(__file__))
LONG = os.environ.get("LONG") == "1"
rng = random.Random(int(os.environ.get("SEED", "1")))
build = os.environ.get("NETD_BUILD", here + "/../../build")
points = [l.split()[0] for l in subprocess.run([build + "/netd", "--crash-points"], capture_output=True, text=True).stdout.splitlines()]
points = [p for p in points if not p.startswith(("engine.rule", "control.batch", "control.member-", "control.standby-"))]  # of VNets' rules, NGroups, standby pools: crash_test.py
if "NETD_LAB" not in os.environ:
    plan = [f"{p}:{rng.randrange(1, 16)}" for _ in range(3 if LONG else 1) for p in rng.sample(points, len(points))]
    os.environ["NETD_CRASH_AT"] = os.environ["NETD_CRASH_PLAN"] = ",".join(plan)
inside("rest=0", "pool=routed 198.18.0.0/24", "limit-requests=0", store="sqlite")
plan = os.environ["NETD_CRASH_PLAN"].split(",")
CYCLES, AT_ONCE = (1000, 16) if LONG else (96, 16)
t, rt = Tap(), Runtime()
lock, live, wrong = threading.Lock(), {}, []
log = os.environ["NETD_LAB"] + "/netd.log"
died = lambda: open(log).read().count('"role.ended"')


def fail(what, detail):
    with lock:
        wrong.append((what, detail))


def cycle(i):
    name = f"c{i}"
    fqdn = f"aci-cycle-{i}.westeurope.azurecontainer.io"
    s, doc, _ = retry("PUT", CG + name, group(name, label=f"aci-cycle-{i}"), seconds=60)
    if s not in (200, 201):
        return fail("PUT is never accepted", (name, s, doc))
    ip = doc["properties"]["ipAddress"]["ip"]
    with lock:
        if ip in live:
            wrong.append(("given twice", (ip, name, live[ip])))
        live[ip] = name
    end = time.time() + 60
    while time.time() < end:
        s, doc, _ = call("GET", CG + name)
        if s == 404:
            fail("an answered PUT is lost", name)
            break
        if s == 200 and doc["properties"]["ipAddress"].get("ip") != ip:
            fail("its address changed", (name, ip, doc["properties"]["ipAddress"]))
            break
        if s == 200 and doc["properties"]["provisioningState"] == "Succeeded":
            break
        time.sleep(0.02)
    else:
        fail("never succeeds", (name, s, doc))
    if not wait(lambda: dig(fqdn)[1] == [ip] or dig(fqdn)[1][:1] == [ip], 20):
        fail("no name", (fqdn, dig(fqdn)))
    with lock:  # from here on it may be another's
        live.pop(ip, None)
    s, _, _ = retry("DELETE", CG + name, want=(202, 204), seconds=60)
    if s not in (202, 204):
        fail("DELETE is never accepted", (name, s))
    if not wait(lambda: call("GET", CG + name)[0] == 404, 60):
        fail("never goes", (name, call("GET", CG + name)))
    if not wait(lambda: dig(fqdn)[0] == "NXDOMAIN", 10):
        fail("its name stays", (fqdn, dig(fqdn)))


retry("PUT", RG, {"location": "westeurope"})
begin = time.time()
with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
    jobs = [pool.submit(cycle, i) for i in range(CYCLES)]
    while not all(j.done() for j in jobs):
        time.sleep(0.5)
    extra = 0
    while died() < len(plan) and extra < 40 and time.time() - begin < 900:  # points that were not reached yet
        list(pool.map(cycle, range(CYCLES + extra * AT_ONCE, CYCLES + (extra + 1) * AT_ONCE)))
        extra += 1
for j in jobs:
    j.result()
print(f"# {CYCLES + extra * AT_ONCE} cycles in {time.time() - begin:.1f} s, {died()} roles died")
t.ok(not wrong, f"{CYCLES} cycles, {AT_ONCE} at once: none lost, none given twice", wrong[:4])
t.ok(died() >= len(plan), f"roles died at all {len(plan)} points", died())
before = died()


def kill_all():
    """False between two lives."""
    try:
        os.kill(int(open(os.environ["NETD_LAB"] + "/netd.pid").read()), signal.SIGKILL)
        return True
    except (ProcessLookupError, ValueError):
        return False


for i in range(3 if LONG else 1):  # all of it, at any moment
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(cycle, 100000 + i * 100 + k) for k in range(AT_ONCE)]
        time.sleep(rng.random() * 0.3)
        wait(kill_all)
        for j in jobs:
            j.result()
t.ok(not wrong, "also when all of netd is killed", wrong[:4])
retry("DELETE", RG)
t.ok(wait(lambda: call("GET", RG)[0] == 404), "the resource group goes")

# what is left
run = os.environ["NETD_LAB"] + "/node1/run"
t.ok(wait(lambda: namespaces() == []), "no namespace", namespaces())
mounts = [l.split()[4] for l in open("/proc/self/mountinfo") if run + "/ns/" in l and not l.split()[4].endswith("/gw")]
t.ok(not mounts, "no mount", mounts)
t.ok(sorted(os.listdir(run)) == ["api.sock", "cni.sock", "ns", "runtime.sock", "session.sock"] and os.listdir(run + "/ns") == ["gw"], "no file", os.listdir(run))
links = subprocess.run(["ip", "-n", "node1", "-o", "link"], capture_output=True, text=True).stdout.splitlines()
t.ok(len(links) == 3, "no device of the host's", links)
gw = []


def gateway_empty():
    gw[:] = subprocess.run(["nsenter", "--net=" + run + "/ns/gw", "sh", "-c", "ip -o link; echo ---; ip route; ip -6 route; echo ---; ip neigh show proxy; ip -6 neigh show proxy; echo ---; nft list ruleset"],
                           capture_output=True, text=True).stdout.split("---\n")
    return len(gw[0].splitlines()) == 2 and " dev v" not in gw[1] and not gw[2].strip() and "198.18" not in gw[3] and '"v' not in gw[3]


# links go with their other end's namespace, which the kernel takes down a little later
t.ok(wait(gateway_empty), "no device, route, neighbour or element of the gateway's", gw)
rows = [r[0] for r in sqlite3.connect(f"file:{run}/../state/netd.db?mode=ro", uri=True).execute("SELECT key FROM pairs")]
t.ok([r for r in rows if r[0] == "/" or r.startswith("rest/")] == [], "no record", rows)
t.ok(wait(lambda: rt.groups == {}), "and the runtime has none", list(rt.groups))
t.end()
