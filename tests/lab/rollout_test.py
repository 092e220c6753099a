#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of an NGroup change under load: rolling updates (replace, in place), scale in, roles killed, a
member killed. New connections, kept ones that the server ends, downloads shorter than the drain, UDP flows:
none fails that need not."""
import signal

from balancers import *

inside("limit-requests=0")
LONG = os.environ.get("LONG") == "1"
COUNT, NEW, KEPT, DOWNLOADS, FLOWS = (20, 1000, 1000, 200, 20) if LONG else (4, 200, 200, 30, 8)
rt = Servers()
call("PUT", RG, {"location": "westeurope"})
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}})
subnet("v", "s", ["10.9.1.0/24"])
ip = public("p")
s, doc, _ = call("PUT", LB + "lb", balancer("lb", {"f": "p"}, [pool(drainPeriodInSeconds=10)], [rule("lb", "http"), rule("lb", "udp", proto="Udp")], [probe()]))
ok(s == 201, "a load balancer without members", doc)
ok(profile() == 1, "a profile's first revision is 1")
NG = CI + "NGroups/n"
BATCH = {"maxBatchPercent": 25 if LONG else 50}


def converged(what, seconds=60):
    return ok(wait(lambda: state(NG) == "Succeeded" and up("lb", "http") == len(members()), seconds), what, (state(NG), up("lb", "http"), len(members())))


def put_out():
    return [line for line in open(os.environ["NETD_LAB"] + "/netd.log") if '"lb.health"' in line and '"up":0' in line]


def judge(counted, what, allowed=0):
    for k, v in counted.items():
        ok(v["done"] > 0 and v["failed"] <= allowed, f"{what}: {v['done']} {k}, {v['failed']} failed", v["why"])


call("PUT", NG, ngroup(COUNT, 1, rolling=BATCH))
converged(f"{COUNT} members, all in the pool")
first = {m["name"] for m in members()}
quiet = load(ip, 80, 6, NEW, KEPT, DOWNLOADS, FLOWS).result()
judge(quiet, "at rest")

# replace
ok(profile(image="two") == 2, "its second revision")
t0 = time.time()
l = load(ip, 80, 45 if LONG else 16, NEW, KEPT, DOWNLOADS, FLOWS)
call("PUT", NG, ngroup(COUNT, 2, rolling=BATCH))
most, least = 0, COUNT
while True:
    s, roll, _ = call("GET", NG + "/latestRollingUpdate")
    now = [m for m in members() if m["properties"]["provisioningState"] != "Deleting"]
    most, least = max(most, len(now)), min(least, len(now))
    if s == 200 and roll["progress"]["state"] != "Running" or time.time() - t0 > 120:
        break
    time.sleep(0.1)
ok(roll["progress"]["state"] == "Completed" and roll["progress"]["containerGroupsUpdateSummary"] == {"succeededCount": COUNT, "failedCount": 0, "pendingCount": 0}, f"the update ends in {time.time() - t0:.0f} s", roll)
converged("as many as before")
ok(first.isdisjoint(m["name"] for m in members()), "all of them new")
ok(COUNT <= least and most <= COUNT + COUNT * BATCH["maxBatchPercent"] // 100, f"never fewer, never a batch more ({least} to {most})")
judge(l.result(), "replaced")

# in place
names = {m["name"]: m["properties"]["ipAddress"]["ip"] for m in members()}
ok(profile(image="three") == 3, "its third revision")
l = load(ip, 80, 75 if LONG else 22, NEW, KEPT, DOWNLOADS, FLOWS)
call("PUT", NG, ngroup(COUNT, 3, rolling={**BATCH, "inPlaceUpdate": True}))
ok(wait(lambda: call("GET", NG + "/latestRollingUpdate")[1]["progress"]["state"] == "Completed", 150), "the update in place ends", call("GET", NG + "/latestRollingUpdate")[1])
converged("as many as before")
ok({m["name"]: m["properties"]["ipAddress"]["ip"] for m in members()} == names, "the same names and addresses")
ok(all(m["properties"]["containers"][0]["properties"]["image"] == "three" for m in members()), "all of the new template")
judge(l.result(), "updated in place")

# scale in
l = load(ip, 80, 14 if LONG else 9, NEW, KEPT, DOWNLOADS, FLOWS)
time.sleep(1)
call("PUT", NG, ngroup(COUNT // 2, 3))
ok(wait(lambda: len(members()) == COUNT // 2, 15), "half of them go")
judge(l.result(), "scaled in")

# roles die
out = put_out()
l = load(ip, 80, 8, NEW, KEPT, DOWNLOADS, FLOWS)
for role in ("engine", "control", "probe", "dns"):
    time.sleep(1)
    os.kill(role_pid(role), 9)
    wait(lambda: call("GET", "/readyz")[0] == 200)
os.kill(int(open(os.environ["NETD_LAB"] + "/netd.pid").read()), 9)
judge(l.result(), "roles killed, netd killed")
ok(put_out() == out, "no backend was put out by that", put_out()[len(out):])
converged("all is as it was")

def from_port(port):
    c = socket.socket()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    c.settimeout(2)
    c.bind(("", port))
    c.connect((ip, 80))
    return c


def was_reset(c):
    try:
        c.recv(1)
        return False
    except ConnectionResetError:
        return True
    finally:
        c.close()


def served(port):
    try:
        from_port(port).close()
        return True
    except ConnectionRefusedError:
        return False


# a member dies: what was in flight to it fails, nothing else
l = load(ip, 80, 8, NEW, 0, 0, 0)
time.sleep(2)
victim = sorted(rt.servers)[0]
before = up("lb", "http")
rt.servers[victim][0].send_signal(signal.SIGSTOP)
opened = {port: from_port(port) for port in range(20000, 20120)}  # so many that the victim has some
for c in opened.values():
    c.send(b"GET / HTTP/1.0\r\n\r\n")
rt.end(victim)  # what it did not read makes its kernel answer by resets
ports = [port for port, c in opened.items() if was_reset(c)]
ok(wait(lambda: up("lb", "http") == before - 1, 8), "its probe puts it out within the interval")
time.sleep(0.5)
ok(ports and all([served(p) for p in ports]), f"{len(ports)} clients that were reset, and come from the same port, are served")
l.result()
l = load(ip, 80, 2, NEW, 0, 0, 0).result()
ok(l["new"]["failed"] == 0, "from then on nothing fails", l)
t.end()
