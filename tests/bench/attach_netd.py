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


def prepared(method, path, body):
    text = json.dumps(body).encode()
    return f"{method} {path}?api-version=2023-05-01 HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


def exchange(request):
    """A connection a thread, kept; as little of Python as can be, since it is timed too."""
    if not hasattr(local, "s"):
        local.s = socket.socket(socket.AF_UNIX)
        local.s.connect(os.environ["NETD_SOCKET"])
    local.s.sendall(request)
    got = b""
    while True:
        got += local.s.recv(65536)
        head, end, rest = got.partition(b"\r\n\r\n")
        if end and len(rest) >= int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or 0):
            return int(got[9:12])


def send(method, path, body):
    return exchange(prepared(method, path, body))


def where(i):
    sub = SUB if shape == "one-subnet" else f"00000000-0000-0000-0001-{i:012d}"
    return f"/subscriptions/{sub}/resourceGroups/bench"


def put(i):
    path = where(i) + f"/providers/Microsoft.ContainerInstance/containerGroups/b{i}"
    request = prepared("PUT", path, group(f"b{i}"))
    start = time.perf_counter()
    assert exchange(request) == 201, path
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
    pid = int(open(os.environ["NETD_LAB"] + "/netd.pid").read())
    os.kill(pid, 19)  # an empty kernel, a full store
    ns = os.environ["NETD_LAB"] + "/node1/run/ns/"
    for f in os.listdir(ns):
        subprocess.run(["umount", "-l", ns + f])
        os.unlink(ns + f)
    time.sleep(3)  # the old namespaces' teardown is the kernel's and not ours
    start = time.perf_counter()
    os.kill(pid, 9)
    wait(lambda: open(os.environ["NETD_LAB"] + "/netd.pid").read().strip() not in ("", str(pid)))
    wait(lambda: call("GET", "/readyz")[0] == 200, 60)
    say(f"{shape} {at} present", "cold boot", "s", time.perf_counter() - start)
