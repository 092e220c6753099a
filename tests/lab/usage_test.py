#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounting: no second twice and none lost, over stops, starts, updates, kill -9, jumps of the clock and
deletion; bytes; and metrics as Azure Monitor tells them."""
import datetime, signal
from plane import *

inside()
t = Tap()
ok = t.ok
runtime = Runtime(serve=True)
USAGE = f"/subscriptions/{SUB}/providers/Microsoft.ContainerInstance/usage"
HOUR = 3600_000


def iso(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def ms(text):
    return round(datetime.datetime.strptime(text[:-1] + "+0000", "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() * 1000)


def usage(start=None, end=None, name=None):
    q = "&".join(f"{k}={iso(v)}" for k, v in (("from", start), ("to", end)) if v is not None)
    found, path = [], USAGE + ("?" + q if q else "")
    s, doc, _ = call("GET", path)
    assert s == 200, (s, doc)
    return [p for p in doc["value"] if name in (None, p["name"])], doc


def seconds(name, start=0, end=4_000_000_000_000):
    return round(sum(p["seconds"] for p in usage(start, end, name)[0]) * 1000)


def windows(name, size, until):
    """The sum over windows that follow each other, from before all to behind it."""
    first = min(ms(p["start"]) for p in usage(0, 4_000_000_000_000, name)[0]) - 5000
    total, at = 0, first
    while at < until:
        total += seconds(name, at, at + size)
        at += size
    return total


def put(name, cpu=1):
    doc = group(name)
    doc["properties"]["containers"][0]["properties"]["resources"]["requests"]["cpu"] = cpu
    began = time.monotonic()
    s, _, _ = call("PUT", CG + name, doc)
    assert s in (200, 201), s
    return began, time.monotonic()


ran = []  # of "a": [[began between, and], [ended between, and]]


def accounted(name):
    """Seconds are what passed, within what this side can know of it; a period may lose a millisecond to rounding."""
    before = time.monotonic()
    told = seconds("a")
    now = [[before, time.monotonic()]]
    least, most = (sum((end[i] - begin[1 - i]) * 1000 for begin, end, *_ in (r + now for r in ran)) for i in (0, 1))
    ok(least - 20 <= told <= most + 20, name, (least, told, most))


call("PUT", RG, {"location": "westeurope"})
ran.append([[put("a")[0]]])
wait(lambda: state(CG + "a") == "Succeeded")
ran[0][0].append(time.monotonic())
time.sleep(1)
got, doc = usage(name="a")
ok(len(got) == 1 and got[0]["running"] and got[0]["cpu"] == 1 and got[0]["memoryInGB"] == 1, "one period runs, with cpu and memory", got)
ok(got[0]["id"].lower() == (CG + "a").lower() and got[0]["seconds"] >= 0.98, "whose they are", got)
accounted("its seconds")
ok(abs(got[0]["cpuSeconds"] - got[0]["seconds"]) < 0.001, "times cpu")


# ---- stop, start, another cpu
stops = time.monotonic()
call("POST", CG + "a/stop")
ran[0].append([stops, time.monotonic()])
was = seconds("a")
time.sleep(1)
ok(seconds("a") == was, "a stopped group costs nothing", (was, seconds("a")))
accounted("and its seconds are still those")
ran.append([[time.monotonic()]])
call("POST", CG + "a/start")
ok(wait(lambda: len(usage(name="a")[0]) == 2), "started again: another period")
ran[1][0].append(time.monotonic())
put("a", cpu=2)
time.sleep(0.5)
got = usage(name="a")[0]
ok(len(got) == 3 and sorted(p["cpu"] for p in got) == [1, 1, 2] and sum(p["running"] for p in got) == 1, "another cpu: another period", got)
put("a", cpu=2)
ok(len(usage(name="a")[0]) == 3, "the same document: the same period")
accounted("and the sum is what passed")

# ---- containers that end for good
def says(name, phase, code=0):
    runtime.send({"type": "state", "id": (CG + name).lower(), "state": "started", "event": "", "message": "", "containers": {name: {"restartCount": 0, "currentState": {"state": phase, "exitCode": code}}}})
    wait(lambda: call("GET", CG + name)[1]["properties"]["containers"][0]["properties"].get("instanceView", {}).get("currentState", {}).get("state") == phase)


def grows(name):
    was = seconds(name)
    time.sleep(0.4)
    return seconds(name) > was


for name, policy in (("job", "Never"), ("retried", "OnFailure"), ("served", "Always")):
    call("PUT", CG + name, group(name, restartPolicy=policy))
    wait(lambda: state(CG + name) == "Succeeded")
    says(name, "Running")
    says(name, "Terminated", 1)
ok(not grows("job") and grows("retried") and grows("served"), "a container that nobody starts again costs nothing", [usage(name=n)[0] for n in ("job", "retried")])
says("retried", "Terminated", 0)
ok(not grows("retried"), "OnFailure: once it has ended well")
os.kill(role_pid("control"), signal.SIGKILL)
wait(lambda: call("GET", "/readyz")[0] == 200, 20)
ok(not grows("job") and not grows("retried") and grows("served"), "nor after control died")
call("POST", CG + "job/start")
says("job", "Running")
ok(grows("job") and len(usage(name="job")[0]) == 2, "started: another period")
says("job", "Terminated")
call("PUT", CG + "retried", group("retried", restartPolicy="OnFailure", imageRegistryCredentials=[{"server": "x", "username": "u", "password": "p"}]))
ok(not grows("job") and grows("retried"), "so does what is put anew", usage(name="retried")[0])
says("retried", "Terminated", 0)
ok(not grows("retried"), "until it has ended again")
for name in ("job", "retried", "served"):
    call("DELETE", CG + name)

# ---- killed roles
for i in range(6):
    os.kill(role_pid(["control", "engine"][i % 2]), signal.SIGKILL)
    time.sleep(0.3)
    wait(lambda: call("GET", CG + "a")[0] == 200)
wait(lambda: call("GET", "/readyz")[0] == 200, 20)
accounted("kill -9 of control and engine: nothing lost, nothing twice")

# ---- the clock
now0 = ms(usage()[1]["now"])
jump(2 * HOUR)
ok(ms(usage()[1]["now"]) - now0 > 2 * HOUR - 1000, "set forward by two hours: usage's time follows")
accounted("and nothing is lost or twice")
time.sleep(0.5)
jump(-HOUR)
now1 = ms(usage()[1]["now"])
ok(now1 - now0 > 2 * HOUR - 1000, "set back by three hours: usage's time goes on", (now0, now1))
time.sleep(0.5)
os.kill(role_pid("control"), signal.SIGKILL)
wait(lambda: call("GET", CG + "a")[0] == 200)
now2 = ms(usage()[1]["now"])
ok(now1 <= now2 < now1 + 20000, "also when control died", (now1, now2))
accounted("and nothing is lost or twice")
call("POST", CG + "a/stop")
total = seconds("a")
for size in (997, 3_333, 60_000):
    if size < 3000:  # only around what there is
        parts = sum(seconds("a", w, w + size) for p in [(now0 - 60_000, now0 + 5_000), (now2 - 20_000, now2 + 20_000)] for w in range(p[0], p[1], size))
    else:
        parts = windows("a", size if size > 30_000 else 60_000, now2 + 120_000)
    ok(parts == total if size > 3000 else abs(parts - total) <= size * 2, f"windows of {size} ms add up to the whole", (parts, total))

# ---- bytes, and what is gone
put("b")
wait(lambda: state(CG + "b") == "Succeeded")
ip = call("GET", CG + "b")[1]["properties"]["ipAddress"]["ip"]
ok(wait(lambda: page(ip)), "a group serves")
before = usage(name="b")[0][0]
blob = b"x" * 5_000_000
for _ in range(2):
    try:
        s = socket.create_connection((ip, 80), timeout=5)
        s.sendall(b"GET /" + blob)
        s.close()
    except OSError:
        pass
time.sleep(0.3)
after = usage(name="b")[0][0]
more = after["bytesIn"] - before["bytesIn"]
inside = subprocess.run(["nsenter", "--net=" + call("GET", CG + "b")[1]["netd"]["namespace"], "cat", "/proc/net/dev"], capture_output=True, text=True).stdout
rx = max(int(x.split()[1]) for x in inside.splitlines() if "eth0" in x) if "eth0" in inside else -1
ok(abs(after["bytesIn"] - rx) <= 4000, "bytes are what the group's own device counted", (after["bytesIn"], rx, more))
told = [usage(name="b")[0][0]["bytesIn"] for _ in range(100)]
ok(told == sorted(told), "they never fall, however often one asks", told)
os.kill(role_pid("engine"), signal.SIGKILL)
os.kill(role_pid("control"), signal.SIGKILL)
wait(lambda: call("GET", "/readyz")[0] == 200, 20)
same = usage(name="b")[0][0]
ok(after["bytesIn"] <= same["bytesIn"] <= after["bytesIn"] + 4000, "the same after kill -9", (after["bytesIn"], same["bytesIn"]))
for n in ("a", "b"):
    retry("DELETE", CG + n)
ok(wait(lambda: call("GET", CG + "a")[0] == 404 and call("GET", CG + "b")[0] == 404, 20), "both groups go")
gone = usage(0, 4_000_000_000_000)[0]
ok(seconds("a") == total and sum(p["name"] == "b" for p in gone) == 1, "and are still told of", gone)
b = [p for p in gone if p["name"] == "b"][0]
ok(not b["running"] and same["bytesIn"] <= b["bytesIn"] <= same["bytesIn"] + 10000, "with all bytes, and ended", b)
os.kill(role_pid("control"), signal.SIGKILL)
wait(lambda: call("GET", "/readyz")[0] == 200, 20)
ok(usage(0, 4_000_000_000_000)[0] == gone, "after a restart the same")
ok(usage(now0 - 9 * HOUR, now0 - 8 * HOUR)[0] == [], "a window before it all is empty")

# ---- many, killed meanwhile: each is there once, with its life
lives = {}
for i in range(30):
    put(f"m{i}")
    lives[f"m{i}"] = [time.monotonic()]
killer = threading.Thread(target=lambda: [(time.sleep(0.15), os.kill(role_pid("control") or 0, signal.SIGKILL) if role_pid("control") else None) for _ in range(8)])
killer.start()
for i in range(30):
    first = time.monotonic() - lives[f"m{i}"][0]  # an answer that was lost may have been a yes
    s, _, _ = retry("DELETE", CG + f"m{i}", seconds=30)
    lives[f"m{i}"] = (first, time.monotonic() - lives[f"m{i}"][0])
killer.join()
ok(wait(lambda: all(call("GET", CG + f"m{i}")[0] == 404 for i in range(30)), 60), "thirty come and go while control is killed")
told = {}
for p in usage(0, 4_000_000_000_000)[0]:
    told.setdefault(p["name"], []).append(p["seconds"])
ok(all(len(told.get(f"m{i}", [])) == 1 for i in range(30)), "each has one period", {k: v for k, v in told.items() if len(v) != 1})
off = {k: (told[k][0], v) for k, v in lives.items() if k in told and not v[0] - 0.1 <= told[k][0] <= v[1] + 0.5}
ok(not off, "as long as it was there", off)

r = subprocess.run([os.environ["NETD_NETCTL"], "usage", "--from", iso(now0 - HOUR)], capture_output=True, text=True, env={**os.environ, "NETD_API": ""})
ok(r.returncode == 0 and sum(l.split()[0] == "m7" for l in r.stdout.splitlines()) == 1 and r.stdout.startswith("NAME"), "netctl usage", r)
r = subprocess.run([os.environ["NETD_NETCTL"], "usage", "--from", "yesterday"], capture_output=True, text=True, env={**os.environ, "NETD_API": ""})
ok(r.returncode == 1 and "from" in r.stderr, "which says what it does not understand", r)

# ---- what is refused; who sees what
for q, target in (("from=x", "from"), ("to=2026-13-01T00:00:00Z", "to"), ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from")):
    s, doc, _ = call("GET", USAGE + "?" + q)
    ok(s == 400 and doc["error"]["target"] == target, f"{q}: 400", (s, doc))
ok(call("POST", USAGE, {})[0] == 405, "POST: 405")
s, doc, _ = call("GET", f"/subscriptions/00000000-0000-0000-0000-0000000000aa/providers/Microsoft.ContainerInstance/usage")
ok(s == 200 and doc["value"] == [], "another subscription has none of it", doc)

# ---- metrics: a minute passes when the clock is set
put("web")
wait(lambda: state(CG + "web") == "Succeeded")
ip = call("GET", CG + "web")[1]["properties"]["ipAddress"]["ip"]
wait(lambda: page(ip))
at = max(0, ms(usage()[1]["now"]) - int(time.time() * 1000))
for i in range(3):
    at += 60_000
    jump(at)
    end = time.time() + 1.5
    while time.time() < end:
        page(ip)
    runtime.send({"type": "usage", "id": (CG + "web").lower(), "containers": {"web": {"cpu": 250, "memory": 50_000_000}}})
M = CG + "web/providers/microsoft.insights/"
s, doc, _ = call("GET", M + "metrics?metricnames=CpuUsage,MemoryUsage,NetworkBytesReceivedPerSecond,NetworkBytesTransmittedPerSecond&aggregation=Average,Maximum")
ok(s == 200 and [v["name"]["value"] for v in doc["value"]] == ["CpuUsage", "MemoryUsage", "NetworkBytesReceivedPerSecond", "NetworkBytesTransmittedPerSecond"], "metrics", doc)
data = {v["name"]["value"]: [d for d in v["timeseries"][0]["data"] if "average" in d] for v in doc["value"]}
ok(data["NetworkBytesReceivedPerSecond"] and any(d["average"] > 100 for d in data["NetworkBytesReceivedPerSecond"]), "bytes a second", data)
ok(any(abs(d["average"] - 250) < 1 for d in data["CpuUsage"]) and any(d["maximum"] == 50_000_000 for d in data["MemoryUsage"]), "cpu and memory as the runtime reports", data)
s, doc, _ = call("GET", M + "metrics?interval=PT5M&metricnames=NetworkBytesReceivedPerSecond&aggregation=Count")
ok(s == 200 and doc["interval"] == "PT5M" and any(d.get("count", 0) > 1 for d in doc["value"][0]["timeseries"][0]["data"]), "by five minutes", doc)
s, doc, _ = call("GET", M + "metricDefinitions")
ok(s == 200 and len(doc["value"]) == 4, "metricDefinitions", doc)
for q, target in (("metricnames=Nothing", "metricnames"), ("timespan=now", "timespan"), ("interval=PT1S", "interval"), ("aggregation=Median", "aggregation")):
    s, doc, _ = call("GET", M + "metrics?" + q)
    ok(s == 400 and doc["error"]["target"] == target, f"{q}: 400", (s, doc))
ok(call("GET", CG + "none/providers/microsoft.insights/metrics")[0] == 404, "of nobody: 404")
retry("DELETE", RG)
ok(wait(lambda: call("GET", RG)[0] == 404, 30), "all goes")
t.end()
