#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callers, roles, scopes, tokens, subscriptions, pages, limits: who may do what, and how much."""
import ssl, subprocess, urllib.error, urllib.request
from plane import *

inside("limit-groups=3", "limit-addresses=5", "limit-labels=2", "limit-requests=200", "node-cpu=4", "rest=3600")
t, rt = Tap(), Runtime()
ok = t.ok
ctx = ssl.create_default_context(cafile=os.environ["NETD_CA"])
OTHER = "/subscriptions/11111111-0000-0000-0000-000000000002"


def https(token, method, path, body=None):
    q = urllib.request.Request(os.environ["NETD_API"] + path + ("&" if "?" in path else "?") + "api-version=2023-05-01", method=method,
                               data=None if body is None else json.dumps(body).encode(),
                               headers={"Authorization": "Bearer " + token} if token else {})
    for _ in range(50):
        try:
            with urllib.request.urlopen(q, context=ctx, timeout=5) as r:
                text = r.read()
                return r.status, json.loads(text) if text else None
        except urllib.error.HTTPError as e:
            text = e.read()
            if e.code != 429:
                return e.code, json.loads(text) if text else None
            time.sleep(0.05)
        except urllib.error.URLError:
            time.sleep(0.1)
    return 0, None


def token(**k):
    s, doc, _ = call("POST", "/netd/tokens", k)
    return doc["token"] if s == 201 else (s, doc)


def code(answer):
    return answer[1]["error"]["code"] if answer[1] and "error" in answer[1] else None


retry("PUT", RG, {"location": "w"})
retry("PUT", OTHER + "/resourceGroups/theirs", {"location": "w"})
reader = token(subscription=SUB, role="reader")
writer = token(subscription=SUB, role="contributor")
owner = token(subscription=SUB)
narrow = token(subscription=SUB, role="contributor", scope=f"/subscriptions/{SUB}/resourceGroups/demo")
ok(all(isinstance(x, str) and len(x) == 48 for x in (reader, writer, owner, narrow)), "tokens are drawn", (reader, writer, owner, narrow))

# roles
ok(https(reader, "GET", RG)[0] == 200, "a reader reads")
a = https(reader, "PUT", RG, {"location": "w"})
ok(a[0] == 403 and code(a) == "AuthorizationFailed", "and writes nothing", a)
ok(https(reader, "DELETE", RG)[0] == 403 and https(reader, "POST", "/netd/tokens", {"subscription": SUB})[0] == 403, "nor deletes, nor makes tokens")
ok(https(writer, "PUT", f"/subscriptions/{SUB}/resourceGroups/two", {"location": "w"})[0] == 201, "a contributor writes")
ok(https(writer, "GET", "/netd/tokens")[0] == 403, "and manages no tokens")
s, made = https(owner, "POST", "/netd/tokens", {"subscription": SUB, "role": "reader"})
ok(s == 201 and https(made["token"], "GET", RG)[0] == 200, "an owner makes tokens of the subscription", (s, made))
ok(https(owner, "POST", "/netd/tokens", {"subscription": "another"})[0] == 403, "and of no other")
ok(https(owner, "POST", "/netd/tokens", {"subscription": "*"})[0] == 403, "nor of all")

# scope, and what is foreign
ok(https(narrow, "GET", RG)[0] == 200 and https(narrow, "PUT", CG + "x", group("x"))[0] == 201, "a scope holds what is below it")
absent = https(narrow, "GET", f"/subscriptions/{SUB}/resourceGroups/nothere")
foreign = https(narrow, "GET", f"/subscriptions/{SUB}/resourceGroups/two")
ok(absent[0] == foreign[0] == 404 and code(absent) == code(foreign), "outside it is as absent", (absent, foreign))
names = [g["name"] for g in https(narrow, "GET", f"/subscriptions/{SUB}/resourceGroups")[1]["value"]]
ok(names == ["demo"], "lists show what is in scope", names)
for method, body in (("GET", None), ("PUT", {"location": "w"}), ("DELETE", None), ("PATCH", {"tags": {}}), ("HEAD", None)):
    a = https(owner, method, OTHER + "/resourceGroups/theirs", body)
    b = https(owner, method, OTHER + "/resourceGroups/absent", body)
    ok(a[0] == b[0] == 404 and code(a) == code(b), f"{method} of a foreign group is as of an absent one", (a, b))
ok(https(None, "GET", RG)[0] == 401 and https("x" * 48, "GET", RG)[0] == 401, "nobody without a token")
inner = group("y", ipAddress={"type": "Private", "ports": [{"port": 80}]})
for where in (OTHER + "/resourceGroups/theirs", f"/subscriptions/{SUB}/resourceGroups/demo"):
    inner["properties"]["subnetIds"] = [{"id": where + "/providers/Microsoft.Network/virtualNetworks/v/subnets/s"}]
    a = https(owner, "PUT", CG + "y", inner)
    ok(a[0] == 400 and code(a) == "InvalidResourceReference", "an id in a body: foreign and absent alike", a)

# tokens end
short = token(subscription=SUB, seconds=1)
ok(https(short, "GET", RG)[0] == 200, "a short token works")
time.sleep(1.2)
ok(https(short, "GET", RG)[0] == 401, "and expires")
s, doc, _ = call("GET", "/netd/tokens")
mine = [x for x in doc["value"] if x["id"] == made["id"]]
ok(s == 200 and len(mine) == 1 and made["token"] not in json.dumps(doc), "tokens are listed, never shown", mine)
ok(call("DELETE", "/netd/tokens/" + made["id"])[0] == 204 and https(made["token"], "GET", RG)[0] == 401, "a revoked token is nobody's")
ok(call("DELETE", "/netd/tokens/" + made["id"])[0] == 404, "once")
env = {**os.environ, "NETD_API": ""}
out = subprocess.run([os.environ["NETD_NETCTL"], "token", "list"], capture_output=True, text=True, env=env)
ok(out.returncode == 0 and "EXPIRES" in out.stdout and len(out.stdout.splitlines()) >= 5, "netctl token list", out)
out = subprocess.run([os.environ["NETD_NETCTL"], "token", "create", "--subscription", SUB, "--role", "reader"], capture_output=True, text=True, env=env)
fresh = out.stdout.strip()
ok(https(fresh, "GET", RG)[0] == 200 and https(fresh, "DELETE", RG)[0] == 403, "netctl token create --role reader", out)
import hashlib
out = subprocess.run([os.environ["NETD_NETCTL"], "token", "revoke", hashlib.sha256(fresh.encode()).hexdigest()[:12]], capture_output=True, text=True, env=env)
ok(out.returncode == 0 and https(fresh, "GET", RG)[0] == 401, "netctl token revoke", out)

# callers, also over a restart
ok(call("PUT", "/netd/callers/ci", {"subscriptions": [SUB], "role": "contributor", "uids": [4711]})[0] == 204, "a caller is made")
s, doc, _ = call("PUT", "/netd/callers/bad", {"subscriptions": [SUB], "role": "king"})
ok(s == 400 and doc["error"]["target"] == "role" and "owner" in doc["error"]["message"], "a role that is none is named", doc)
ci = token(caller="ci")


def as_user(uid):
    code = f"import os,sys; os.setuid({uid}); sys.path.insert(0,{os.path.dirname(os.path.abspath(__file__))!r}); from plane import *; print(call('GET', RG)[0])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()


ok(as_user(4711) == "200" and as_user(4712) == "401", "peer credentials make a caller", (as_user(4711), as_user(4712)))
os.kill(int(open(os.environ["NETD_LAB"] + "/netd.pid").read()), 9)
time.sleep(0.3)
wait(lambda: call("GET", "/readyz")[0] == 200)
ok(https(ci, "GET", RG)[0] == 200 and https(reader, "PUT", RG, {"location": "w"})[0] == 403, "tokens and roles outlive a restart")
ok(call("DELETE", "/netd/callers/ci")[0] == 204 and https(ci, "GET", RG)[0] == 401, "a caller that goes takes its tokens along")

# subscriptions and pages
ids = [x["subscriptionId"] for x in https(owner, "GET", "/subscriptions")[1]["value"]]
ok(ids == [SUB], "a caller sees its subscriptions", ids)
ids = [x["subscriptionId"] for x in call("GET", "/subscriptions")[1]["value"]]
ok(set(ids) >= {SUB, OTHER[15:]}, "root sees all", ids)
ok(https(owner, "GET", f"/subscriptions/{SUB}")[1]["state"] == "Enabled", "one subscription")
s, doc, _ = call("GET", "/subscriptions/none")
ok(s == 404 and doc["error"]["code"] == "SubscriptionNotFound", "one that is not there", doc)
for i in range(7):
    retry("PUT", f"/subscriptions/{SUB}/resourceGroups/page{i}", {"location": "w"})
seen, path = [], f"/subscriptions/{SUB}/resourceGroups?$top=4"
while path:
    s, doc = https(owner, "GET", path)
    seen += [g["name"] for g in doc["value"]]
    path = doc.get("nextLink", "").replace(os.environ["NETD_API"], "")
ok(seen == sorted(seen) and len(seen) == 9 and len(set(seen)) == 9, "pages of four, by nextLink", seen)

# limits
for n in ("b", "c"):
    retry("PUT", CG + n, group(n, label=f"aci-{n}{n}{n}"))
s, doc, _ = call("PUT", CG + "d", group("d"))
ok(s == 409 and doc["error"]["code"] == "ContainerGroupQuotaReached", "groups of a subscription", (s, doc))
ok(call("GET", CG + "d")[0] == 404, "and nothing was made")
s, doc, _ = call("PUT", CG + "x", group("x", label="aci-xxx"))
ok(s == 409 and doc["error"]["code"] == "DnsNameLabelQuotaReached", "labels of a subscription", (s, doc))
PIP = RG + "/providers/Microsoft.Network/publicIPAddresses/"
for i in range(9):
    s, doc, _ = retry("PUT", PIP + f"p{i}", {"location": "w", "properties": {}}, want=(201, 400))
    if s != 201:
        break
ok(s == 400 and doc["error"]["code"] == "PublicIPCountLimitReached", "addresses of a subscription", (s, doc))
s, doc, _ = call("PUT", OTHER + "/resourceGroups/theirs/providers/Microsoft.ContainerInstance/containerGroups/big", group("big"))
ok(s == 201, "another subscription has its own limits", (s, doc))
big = group("big2")
big["properties"]["containers"][0]["properties"]["resources"]["requests"]["cpu"] = 2
s, doc, _ = call("PUT", OTHER + "/resourceGroups/theirs/providers/Microsoft.ContainerInstance/containerGroups/big2", big)
ok(s == 409 and doc["error"]["code"] == "ServiceUnavailable", "the node's capacity", (s, doc))
codes = [call("GET", RG)[0] for _ in range(600)]
ok(429 in codes and 200 in codes, "requests a second of a subscription", {c: codes.count(c) for c in codes})

# labels rest, over a restart too
time.sleep(1)
retry("DELETE", CG + "b")
wait(lambda: call("GET", CG + "b")[0] == 404)
for round in range(2):
    theirs = OTHER + "/resourceGroups/theirs/providers/Microsoft.ContainerInstance/containerGroups/take"
    s, doc, _ = call("PUT", theirs, group("take", label="aci-bbb"))
    ok(s == 400 and doc["error"]["code"] == "DnsNameLabelUnavailable", f"a label at rest is no other tenant's ({round})", (s, doc))
    if round == 0:
        time.sleep(0.5)
        os.kill(int(open(os.environ["NETD_LAB"] + "/netd.pid").read()), 9)
        time.sleep(0.3)
        wait(lambda: call("GET", "/readyz")[0] == 200)
ok(retry("PUT", CG + "b", group("b", label="aci-bbb"))[0] == 201, "its own tenant has it again")
t.end()
