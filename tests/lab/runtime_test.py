#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example runtime on real runc: OCI layouts, init containers, volumes, users, restart policies,
readiness that gates the name, logs by API and netctl, completion; and the conformance program."""
import gzip, hashlib, io, tarfile, tempfile
from plane import *

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
t = Tap()
ok = t.ok


def layout(folder):
    """An OCI layout of two layers; the second takes a file of the first away."""
    os.makedirs(folder + "/blobs/sha256")

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        open(f"{folder}/blobs/sha256/{digest}", "wb").write(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    def layer(files):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data, mode in files:
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), mode
                tar.addfile(info, io.BytesIO(data))
        return blob(gzip.compress(out.getvalue()))

    busybox = open("/bin/busybox", "rb").read()
    layers = [layer([("bin/busybox", busybox, 0o755), ("bin/sh", busybox, 0o755), ("bin/httpd", busybox, 0o755), ("bin/sleep", busybox, 0o755), ("bin/id", busybox, 0o755), ("bin/ls", busybox, 0o755),
                     ("bin/cat", busybox, 0o755), ("etc/passwd", b"www:x:33:34::/:/bin/sh\n", 0o644), ("srv/gone", b"x", 0o644), ("srv/index.html", b"from the layout\n", 0o644), ("srv/old/a", b"x", 0o644)]),
              layer([("srv/.wh.gone", b"", 0o644), ("srv/old/.wh..wh..opq", b"", 0o644), ("srv/old/b", b"y", 0o644)])]
    config = blob(json.dumps({"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["id; ls /srv /srv/old; echo $FROM; exec /bin/httpd -f -p 8080 -h /srv"],
                                                                                  "Env": ["FROM=image"], "WorkingDir": "/srv", "User": "www"}}).encode())
    manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode())
    json.dump({"schemaVersion": 2, "manifests": [{**manifest, "platform": {"os": "linux", "architecture": "amd64"}}]}, open(folder + "/index.json", "w"))
    json.dump({"imageLayoutVersion": "1.0.0"}, open(folder + "/oci-layout", "w"))


if "NETD_LAB" not in os.environ:
    images = tempfile.mkdtemp(prefix="netd-images.")
    layout(images + "/layout")
    os.makedirs(images + "/box/bin")
    for a in ("busybox", "sh", "sleep", "httpd", "cat", "touch", "rm"):
        subprocess.run(["cp", "/bin/busybox", f"{images}/box/bin/{a}"], check=True)
    r = subprocess.run([TOP + "/tests/lab/run", "--", sys.executable, *sys.argv], env={**os.environ, "NETD_IMAGES": images})
    subprocess.run(["rm", "-rf", images])
    sys.exit(r.returncode)

NETCTL = [os.environ["NETD_NETCTL"], "-g", "demo"]
ENV = {**os.environ, "NETD_API": ""}


def container(name, image="box", port=8080, **p):
    return {"name": name, "properties": {"image": image, "ports": [{"port": port}], "resources": {"requests": {"cpu": 0.5, "memoryInGB": 0.2}}, **p}}


def page(ip, port=8080):
    import urllib.request
    try:
        return urllib.request.urlopen(f"http://{ip}:{port}/", timeout=2).read().decode()
    except Exception as e:
        return type(e).__name__


call("PUT", RG, {"location": "westeurope"})
call("PUT", CG + "oci", group("oci", ports=(8080,), containers=[container("web", "example.org/x/layout:1")]))
ok(wait(lambda: state(CG + "oci") == "Succeeded", 20), "a group from an OCI layout", state(CG + "oci"))
ip = call("GET", CG + "oci")[1]["properties"]["ipAddress"]["ip"]
ok(wait(lambda: page(ip) == "from the layout\n"), "is served", page(ip))
logs = lambda g, c, q="": call("GET", CG + f"{g}/containers/{c}/logs{q}")
s, doc, _ = logs("oci", "web")
ok(s == 200 and "uid=33(www) gid=34" in doc["content"] and "image\n" in doc["content"], "user, environment and command are the image's", doc)
ok("gone" not in doc["content"] and "\na\n" not in doc["content"] and "\nb\n" in doc["content"], "what a layer takes away is gone", doc)
s, doc, _ = logs("oci", "web", "?tail=1")
ok(s == 200 and doc["content"] == "image\n", "logs by tail", doc)
for path, want in ((CG + "oci/containers/none/logs", 404), (CG + "none/containers/web/logs", 404), (CG + "oci/containers/web/logs?tail=x", 400), (CG + "oci/containers/web/nothing", 404)):
    ok(call("GET", path)[0] == want, f"{path.split('containerGroups/')[1]}: {want}", call("GET", path))
ok(call("POST", CG + "oci/containers/web/logs")[0] == 405, "logs are read, not posted")
r = subprocess.run([*NETCTL, "logs", "oci", "--tail", "1"], capture_output=True, text=True, env=ENV)
ok(r.returncode == 0 and r.stdout == "image\n", "netctl logs", r)

# init containers, volumes, environment, users, restart
doc = group("full", label="aci-full", ports=(8080,), initContainers=[{"name": "prepare", "properties": {"image": "box", "command": ["/bin/sh", "-c", "echo made >/data/index.html; cat /keys/k >>/data/index.html"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "keys", "mountPath": "/keys"}]}}],
            volumes=[{"name": "data", "emptyDir": {}}, {"name": "keys", "secret": {"k": "c2VjcmV0Cg=="}}],
            containers=[container("web", command=["/bin/sh", "-c", "echo $PLAIN-$HIDDEN; while [ ! -e /data/up ]; do sleep 0.1; done; exec /bin/httpd -f -p 8080 -h /data"],
                                  environmentVariables=[{"name": "PLAIN", "value": "p"}, {"name": "HIDDEN", "secureValue": "h"}], volumeMounts=[{"name": "data", "mountPath": "/data"}],
                                  readinessProbe={"httpGet": {"path": "/index.html", "port": 8080, "scheme": "http"}, "periodSeconds": 1, "failureThreshold": 1}),
                        container("side", port=8081, command=["/bin/sh", "-c", "sleep 2; touch /data/up; sleep 1000"], volumeMounts=[{"name": "data", "mountPath": "/data"}])])
call("PUT", CG + "full", doc)
name = "aci-full.westeurope.azurecontainer.io"
ok(wait(lambda: state(CG + "full") == "Succeeded", 20), "init container, volumes, two containers", state(CG + "full"))
ok(dig(name)[0] == "NXDOMAIN", "no name before it is ready", dig(name))
ip = call("GET", CG + "full")[1]["properties"]["ipAddress"]["ip"]
ok(wait(lambda: dig(name)[1][:1] == [ip] or ip in dig(name)[1], 10), "its name comes when the probe succeeds", dig(name))
ok(page(ip) == "made\nsecret\n", "the volumes are shared", page(ip))
six = wait(lambda: dig(name, "AAAA")[1])
ok(six and page(f"[{six[0]}]") == "made\nsecret\n", "and served by IPv6 too", (six, six and page(f"[{six[0]}]")))
ok(logs("full", "web")[1]["content"] == "p-h\n", "plain and secret environment", logs("full", "web"))
rundir = [d for d in os.listdir(os.environ["NETD_LAB"] + "/node1/runtime") if d.startswith("full-")][0]
data = f"{os.environ['NETD_LAB']}/node1/runtime/{rundir}/volumes/data/index.html"
os.rename(data, data + ".away")
ok(wait(lambda: dig(name)[0] == "NXDOMAIN", 10), "a probe that fails takes the name away", dig(name))
os.rename(data + ".away", data)
ok(wait(lambda: ip in dig(name)[1], 10), "and gives it back")
view = call("GET", CG + "full")[1]["properties"]
ok([c["properties"]["instanceView"]["currentState"]["state"] for c in view["containers"]] == ["Running"] * 2, "states come back", view["containers"])
names = [e["name"] for e in view["instanceView"]["events"]]
ok("Started" in names and "Unhealthy" in names and "Ready" in names, "and events", names)
call("PUT", CG + "once", {**group("once"), "properties": {**group("once")["properties"], "restartPolicy": "Never", "containers": [container("once", port=80, command=["/bin/sh", "-c", "echo ran; exit 3"])]}})
ok(wait(lambda: "ran\n" == (logs("once", "once")[1] or {}).get("content")), "a container that ends", logs("once", "once"))
time.sleep(0.5)
ok(logs("once", "once")[1]["content"] == "ran\n", "ran once")

# netctl apply: lists in any order, by socket and HTTPS, the group that references name, expressions
def apply(doc, *args, https=False):
    env = {**os.environ} if https else ENV
    return subprocess.run([os.environ["NETD_NETCTL"], "apply", "-f", "-", *args], input=doc if isinstance(doc, str) else json.dumps(doc), capture_output=True, text=True, env=env)


sidecar = {"resources": [{"type": "Microsoft.ContainerInstance/containerGroups", "apiVersion": "2023-05-01", "name": "two", "location": "westeurope", "properties": {
    "osType": "Linux", "restartPolicy": "Always", "containers": [container("web", "example.org/none/web", 80), {"name": "side", "properties": {"image": "example.org/none/side", "resources": {"requests": {"cpu": 0.5, "memoryInGB": 0.2}}}}],
    "ipAddress": {"type": "Public", "dnsNameLabel": "aci-two", "ports": [{"port": 80, "protocol": "TCP"}]}}}]}
TWO = f"/subscriptions/{SUB}/resourceGroups/%s/providers/Microsoft.ContainerInstance/containerGroups/two"
import ssl, urllib.request
ctx = ssl.create_default_context(cafile=os.environ["NETD_CA"])


def by_https():
    body = {k: v for k, v in sidecar["resources"][0].items() if k in ("location", "properties")}
    for path, doc in ((f"/subscriptions/{SUB}/resourceGroups/default", {"location": "westeurope"}), (TWO % "default", body)):
        q = urllib.request.Request(os.environ["NETD_API"] + path + "?api-version=2023-05-01", method="PUT", data=json.dumps(doc).encode(), headers={"Authorization": "Bearer " + os.environ["NETD_TOKEN"]})
        urllib.request.urlopen(q, context=ctx, timeout=10).read()


for how, what in (("netctl by socket", lambda: apply(sidecar)), ("netctl by HTTPS", lambda: apply(sidecar, https=True)), ("HTTPS", by_https)):
    what()
    ok(wait(lambda: state(TWO % "default") == "Succeeded", 20), f"a web server and its sidecar, {how}", state(TWO % "default"))
    at = call("GET", TWO % "default")[1]["properties"]["ipAddress"]["ip"]
    ok(wait(lambda: "two" in page(at, 80)), "is served", page(at, 80))
    retry("DELETE", f"/subscriptions/{SUB}/resourceGroups/default")
    wait(lambda: call("GET", f"/subscriptions/{SUB}/resourceGroups/default")[0] == 404, 20)
other = f"/subscriptions/{SUB}/resourceGroups/named/providers/Microsoft.Network/virtualNetworks/net"
r = apply({"resources": [
    {"type": "Microsoft.ContainerInstance/containerGroups", "name": "in", "location": "westeurope", "properties": {"osType": "Linux", "containers": [container("in")], "ipAddress": {"type": "Private", "ports": [{"port": 8080}]}, "subnetIds": [{"id": other + "/subnets/s"}]}},
    {"type": "Microsoft.Network/virtualNetworks/subnets", "name": "net/s", "properties": {"addressPrefix": "10.3.1.0/24", "delegations": [{"name": "d", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}},
    {"type": "Microsoft.Network/virtualNetworks", "name": "net", "location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.3.0.0/16"]}}}]})
ok(r.returncode == 0 and call("GET", other)[0] == 200 and state(other.replace("Microsoft.Network/virtualNetworks/net", "Microsoft.ContainerInstance/containerGroups/in")) == "Succeeded",
   "a list in any order, in the group that its references name", r)
r = apply({"resources": [{"type": "Microsoft.Network/virtualNetworks", "name": "never", "location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.4.0.0/16"]}}},
                         {"type": "Microsoft.Network/virtualNetworks", "name": "x", "location": "[resourceGroup().location]", "properties": {}}]})
ok(r.returncode == 1 and "InvalidTemplate" in r.stderr and "resources[1].location" in r.stderr and call("GET", f"/subscriptions/{SUB}/resourceGroups/default")[0] == 404, "an expression is refused with its path, and nothing is applied", r)
r = apply("a: [1\n")
ok(r.returncode == 1 and "line" in r.stderr, "bad YAML: the line", r)
retry("DELETE", f"/subscriptions/{SUB}/resourceGroups/named")

# completion knows names
for words, want in (("netctl get cg o", ["oci", "once"]), ("netctl get cg -g demo f", ["full"]), ("netctl logs o", ["oci", "once"]), ("netctl de", ["describe", "delete"]), ("netctl get r", ["rt", "ruleset", "rg"])):
    n = len(words.split()) - 1
    script = f"source <({os.environ['NETD_NETCTL']} completion); PATH={os.path.dirname(os.environ['NETD_NETCTL'])}:$PATH; COMP_WORDS=({words}); COMP_CWORD={n}; _netctl; echo ${{COMPREPLY[@]}}"
    r = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ENV)
    ok(r.stdout.split() == want, f"completion of '{words}'", r)

# the conformance program, on our own two
build = os.environ["NETD_BUILD"]


def conformance(name, program):
    work = f"{os.environ['NETD_LAB']}/{name}"
    os.makedirs(work + "/images/loop/bin")
    subprocess.run(["cp", build + "/helloworld", work + "/images/loop/bin/sh"], check=True)  # what an image without a command runs
    subprocess.run(["cp", "/bin/busybox", work + "/images/loop/bin/cat"], check=True)
    return subprocess.Popen([TOP + "/tests/conformance/runtime", work + "/s", "--", program, "--socket", work + "/s", "--dir", work + "/r", "--images", work + "/images",
                             "--helloworld", build + "/helloworld"], stdout=subprocess.PIPE, text=True, env={**os.environ, "IMAGE": "loop", "EXEC": "/bin/cat"})


for what, p in [("C", conformance("c", build + "/netd-runtime")), ("Perl", conformance("perl", TOP + "/examples/runtime-perl/netd-runtime"))]:
    out = p.communicate()[0]
    ok(p.returncode == 0 and out.count("\nok ") >= 30, f"the example runtime in {what} conforms", "\n".join(x for x in out.splitlines() if not x.startswith("ok")))
retry("DELETE", RG)
ok(wait(lambda: call("GET", RG)[0] == 404, 45), "all goes")
left = subprocess.run(["runc", "--root", os.environ["NETD_LAB"] + "/node1/runtime/runc", "list", "-q"], capture_output=True, text=True).stdout
ok(left == "" and wait(lambda: namespaces() == []), "no container is left", left)
t.end()
