#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories of API calls while roles, netd and members of its etcd are killed, hang and are cut off, and netd's clock is set: each resource's is linearizable,
by a checker that finds what is wrong in wrong ones."""
import random, signal
from plane import *
from history import linearizable, plainly
from members import *

inside(store="etcd")
t = Tap()
ok = t.ok
LONG, SEED = os.environ.get("LONG") == "1", int(os.environ.get("SEED") or 1)
NET = RG + "/providers/Microsoft.Network/networkSecurityGroups/"

# ---- the checker ----
P, D, G = "put", "delete", "get"
RIGHT = {
    "one after the other": [(0, 1, P, 1, "ok"), (2, 3, G, 1, "ok"), (4, 5, D, None, "ok"), (6, 7, G, None, "ok")],
    "side by side, either order": [(0, 5, P, 1, "ok"), (1, 4, P, 2, "ok"), (6, 7, G, 1, "ok")],
    "read while it is written": [(0, 9, P, 1, "ok"), (1, 2, G, None, "ok"), (3, 4, G, 1, "ok")],
    "not known, executed late": [(0, 1, P, 1, "unknown"), (2, 3, G, None, "ok"), (4, 5, G, 1, "ok")],
    "not known, never executed": [(0, 1, P, 1, "unknown"), (2, 3, P, 2, "ok"), (4, 5, G, 2, "ok")],
}
WRONG = {
    "an old value after a new one": [(0, 1, P, 1, "ok"), (2, 3, P, 2, "ok"), (4, 5, G, 1, "ok")],
    "a write that is lost": [(0, 1, P, 1, "ok"), (2, 3, G, None, "ok")],
    "one that was refused, and is there": [(0, 1, P, 1, "fail"), (2, 3, G, 1, "ok")],
    "back after it was deleted": [(0, 1, P, 1, "ok"), (2, 3, D, None, "ok"), (4, 5, G, 1, "ok")],
    "a value that nobody wrote": [(0, 1, G, 7, "ok")],
    "time that goes back": [(0, 9, P, 1, "ok"), (1, 2, G, 1, "ok"), (3, 4, G, None, "ok")],
    "not known, executed twice": [(0, 1, P, 1, "unknown"), (2, 3, G, 1, "ok"), (4, 5, P, 2, "ok"), (6, 7, G, 1, "ok")],
    "readers that disagree on the order": [(0, 3, P, 1, "ok"), (1, 4, P, 2, "ok"), (5, 6, G, 1, "ok"), (7, 8, G, 2, "ok")],
}
bad = [name for name, h in RIGHT.items() if linearizable(h) is not None] + [name for name, h in WRONG.items() if linearizable(h) is None]
ok(not bad, f"the checker takes {len(RIGHT)} right histories and finds {len(WRONG)} wrong ones", bad)


def small(rng):
    """A history of up to eight calls, right or wrong."""
    h, n = [], rng.randint(1, 8)
    for i in range(n):
        kind, begin = rng.choice([P, G, G, D]), rng.randint(0, 12)
        value = {P: i, G: rng.choice([None, *range(n)]), D: None}[kind]
        h.append((begin, begin + rng.randint(1, 6), kind, value, "ok" if kind == G else rng.choice(["ok", "ok", "unknown", "fail"])))
    return h


rng = random.Random(SEED)
some = [small(rng) for _ in range(2000)]
judged = [(linearizable(h) is None, plainly(h)) for h in some]
ok(all(a == b for a, b in judged) and 200 < sum(a for a, _ in judged) < 1800, "the checker says what trying every order says", [h for h, (a, b) in zip(some, judged) if a != b][:1])


# ---- clients ----
def outcome(status, doc):
    if 200 <= status < 300:
        return "ok"
    text = json.dumps(doc)
    # Refused before anything was done; else nobody knows.
    return "fail" if status in (400, 404, 409, 412) or (status in (503, 507) and "Changes are refused" in text and "not known" not in text) else "unknown"


class Client(threading.Thread):
    def __init__(self, rng, names, until, counter):
        super().__init__(daemon=True)
        self.rng, self.names, self.until, self.counter, self.history = rng, names, until, counter, []
        self.start()

    def ask(self, method, path, body=None):
        try:
            return call(method, path, body)[:2]
        except (OSError, http.client.HTTPException, ValueError) as err:
            return 599, {"error": str(err)}

    def run(self):
        while time.time() < self.until:
            name, kind = self.rng.choice(self.names), self.rng.choice([P, P, P, G, G, G, D])
            value = next(self.counter) if kind == P else None
            begin = time.monotonic()
            if kind == P:
                s, doc = self.ask("PUT", NET + name, {"location": "westeurope", "tags": {"v": str(value)}})
            else:
                s, doc = self.ask(kind.upper(), NET + name)
            end = time.monotonic()
            if kind == G and s == 200:
                value, what = int(doc["tags"]["v"]), "ok"
            elif kind == G:
                what = "ok" if s == 404 else "fail"  # what was not read tells nothing
            else:
                what = "ok" if kind == D and s == 404 else outcome(s, doc)
            self.history.append((name, (begin, end, kind, value, what)))
            time.sleep(self.rng.uniform(0, 0.03))


def strike(rng):
    """One fault, and its end."""
    kind = rng.choice(["control", "engine", "netd", "hang", "member", "two", "cut", "partition", "clock"])
    for_s = rng.uniform(0.1, 2.5)
    i = rng.randint(1, 3)
    if kind in ("control", "engine"):
        end_role(kind)
    elif kind == "netd":
        kill(int(open(LAB + "/netd.pid").read()))
    elif kind == "hang":
        pid = role_pid("control")
        kill(pid, signal.SIGSTOP)
        time.sleep(for_s if rng.random() < 0.7 else 8)  # longer than its lease
        kill(pid, signal.SIGCONT)
    elif kind == "clock":
        jump(rng.randint(-86_400_000, 86_400_000))
    elif kind == "member":
        kill(member_pid(i))
        time.sleep(for_s)
        member_start(i)
    elif kind == "two":
        for k in (i, i % 3 + 1):
            kill(member_pid(k), signal.SIGSTOP)
        time.sleep(for_s)
        for k in (i, i % 3 + 1):
            kill(member_pid(k), signal.SIGCONT)
    else:
        member_cut(0 if kind == "cut" else i)
        time.sleep(for_s if rng.random() < 0.7 else 8)
        member_cut(0 if kind == "cut" else i, False)
    return kind


def kill(pid, signo=signal.SIGKILL):
    try:
        os.kill(pid, signo)
    except (ProcessLookupError, TypeError):
        pass


def end_role(role):
    kill(role_pid(role))


def run(seed, seconds):
    rng = random.Random(seed)
    names = [f"h{seed}-{i}" for i in range(3)]
    retry("PUT", RG, {"location": "westeurope"}, seconds=30)
    until = time.time() + seconds
    counter = iter(range(1, 10 ** 9))
    clients = [Client(random.Random(seed * 100 + i), names, until, counter) for i in range(5)]
    faults = []
    while time.time() < until - 1:
        time.sleep(rng.uniform(0.2, 1.5))
        faults.append(strike(rng))
    for c in clients:
        c.join()
    back = wait(lambda: retry("GET", "/readyz", seconds=1)[0] == 200, 30)
    final = Client(random.Random(seed), names, 0, counter)
    for name in names:  # what there is in the end is part of it
        begin = time.monotonic()
        s, doc = final.ask("GET", NET + name)
        final.history.append((name, (begin, time.monotonic(), G, int(doc["tags"]["v"]) if s == 200 else None, "ok")))
    all_ops = [op for c in [*clients, final] for op in c.history]
    wrong = {name: w for name in names if (w := linearizable([op for n, op in all_ops if n == name]))}
    count = lambda what: sum(op[4] == what for _, op in all_ops)
    ok(back and not wrong, f"seed {seed}: {len(all_ops)} calls ({count('ok')} done, {count('fail')} refused, {count('unknown')} not known), {len(faults)} faults: linearizable", (back, faults, wrong))
    slow = sum(op[1] - op[0] > 1 for _, op in all_ops)  # that waited for another member, say
    ok(count("ok") > 50 and count("unknown") + count("fail") + slow > 0, "the faults were felt, and calls succeeded", (count("ok"), count("fail"), count("unknown"), slow))


for seed in range(SEED, SEED + (10 if LONG else 1)):
    run(seed, 45 if LONG else 20)
t.end()
