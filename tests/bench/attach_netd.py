#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""In a lab: from PUT sent to the runtime holding the namespace. Prints "SYSTEM WORK METRIC UNIT VALUE"
lines. attach_netd.py SHAPE COUNT."""
import concurrent.futures, sys
sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/lab")
from plane import *

shape, count = sys.argv[1], int(sys.argv[2])
arrived = {}


class Timed(Runtime):
    def frame(self, m):
        if m["type"] == "group":
            arrived.setdefault(m["id"], time.perf_counter())
        super().frame(m)


rt = Timed()
wait(lambda: call("GET", "/healthz")[1]["runtime"])
local = threading.local()


def send(method, path, body):
    """A connection a thread, kept."""
    if not hasattr(local, "c"):
        local.c = Unix("bench")
    local.c.request(method, path + "?api-version=2023-05-01", json.dumps(body))
    r = local.c.getresponse()
    r.read()
    return r.status


def where(i):
    sub = SUB if shape == "one-subnet" else f"00000000-0000-0000-0001-{i:012d}"
    return f"/subscriptions/{sub}/resourceGroups/bench"


def put(i):
    path = where(i) + f"/providers/Microsoft.ContainerInstance/containerGroups/b{i}"
    start = time.perf_counter()
    assert send("PUT", path, group(f"b{i}")) == 201, path
    return path.lower(), start


for i in range(count) if shape != "one-subnet" else [0]:
    send("PUT", where(i), {"location": "w"})


def until_ready(p):
    assert wait(lambda: p[0] in arrived, 60), p
    return (arrived[p[0]] - p[1]) * 1e3


def median(v):
    return sorted(v)[len(v) // 2]


def say(work, metric, unit, value):
    print("netd", work.replace(" ", "_"), metric.replace(" ", "_"), unit, f"{value:.3f}", flush=True)


at = 0
for present in (10, count - 250 if count >= 500 else count):
    pool = concurrent.futures.ThreadPoolExecutor(16)
    fill = max(0, present - at)
    start = time.perf_counter()
    done = list(pool.map(put, range(at, at + fill)))
    [until_ready(p) for p in done]
    took = time.perf_counter() - start
    at += fill
    if fill >= 100:
        say(f"{shape} fill", "groups a second, 16 at once", "1/s", fill / took)
    alone = [until_ready(put(at + i)) for i in range(40)]
    at += 40
    start = time.perf_counter()
    done = list(pool.map(put, range(at, at + 80)))
    [until_ready(p) for p in done]
    took = time.perf_counter() - start
    at += 80
    say(f"{shape} {present} present", "alone, median", "ms", median(alone))
    say(f"{shape} {present} present", "16 at once", "1/s", 80 / took)
kib = sum(int(l.split()[1]) for p in os.listdir("/proc") if p.isdigit() and open(f"/proc/{p}/comm").read() in ("netd\n", "exe\n")
          for l in open(f"/proc/{p}/status") if l.startswith("VmRSS"))
say(f"{shape} {at} present", "all roles resident", "MB", kib / 1024)
if shape == "one-subnet":
    os.kill(int(open(os.environ["NETD_LAB"] + "/netd.pid").read()), 9)
    time.sleep(0.1)
    start = time.perf_counter()
    wait(lambda: call("GET", "/readyz")[0] == 200, 60)
    say(f"{shape} {at} present", "start to ready", "s", time.perf_counter() - start + 0.1)
