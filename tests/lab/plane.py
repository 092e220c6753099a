# SPDX-License-Identifier: GPL-3.0-or-later
"""What lab tests share: the API over the Unix socket, a runtime in a few lines, TAP, waiting."""
import array, fcntl, http.client, json, os, select, socket, struct, subprocess, sys, tempfile, threading, time

SUB = os.environ.get("NETD_SUBSCRIPTION", "00000000-0000-0000-0000-000000000001")
RG = f"/subscriptions/{SUB}/resourceGroups/demo"
CG = RG + "/providers/Microsoft.ContainerInstance/containerGroups/"
HOME = os.environ.get("NETD_LAB_HOME", "1")  # number of the node that groups are on
SPREAD = int(os.environ.get("NETD_LAB_SPREAD", "1"))  # or on that many
NS = os.environ.get("NETD_LAB", "") + f"/node{HOME}/run/ns"  # its namespaces
VNET = RG + "/providers/Microsoft.Network/virtualNetworks/"


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(os.environ["NETD_SOCKET"])


def call(method, path, body=None, headers={}):
    """(status, JSON or None, headers); (0, None, {}) when nobody answered."""
    try:
        c = Unix("lab")
        data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
        c.request(method, path + ("&" if "?" in path else "?") + "api-version=2023-05-01", data, headers)
        r = c.getresponse()
        text = r.read()
        return r.status, json.loads(text) if text else None, dict(r.getheaders())
    except (OSError, http.client.HTTPException):
        return 0, None, {}


def everything(path):
    """All members of a list, page after page."""
    got = []
    while path:
        s, doc, _ = call("GET", path)
        if s != 200:
            return []
        got += doc["value"]
        path = doc.get("nextLink", "").partition("lab")[2].replace("api-version=2023-05-01&", "")
    return got


def cmdline(pid):
    """A process's command line; nothing when it has ended meanwhile."""
    try:
        return open(f"/proc/{pid}/cmdline", "rb").read()
    except OSError:
        return b""


def role_pid(role):
    """The process that plays the role, on node1 if it is there too; None when nobody does."""
    mine = [(b"/netd.conf" not in line, int(p)) for p in os.listdir("/proc") if p.isdigit() for line in [cmdline(p)] if f"--role\0{role}".encode() in line]
    return min(mine)[1] if mine else None


def retry(method, path, body=None, want=(200, 201, 202, 204), seconds=15):
    end = time.time() + seconds
    while True:
        r = call(method, path, body)
        if r[0] in want or time.time() > end:
            return r
        time.sleep(0.05)


def wait(what, seconds=10):
    end = time.time() + seconds
    while True:
        got = what()
        if got or time.time() > end:
            return got
        time.sleep(0.02)


def expect(fd, text, seconds=10):
    """What a terminal prints until `text` is there, it is closed, or the time is over."""
    data, stop = b"", time.time() + seconds
    while text not in data and time.time() < stop:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                data += os.read(fd, 4096)
            except OSError:
                break
    return data


def dig(name, kind="A"):
    import dns.message, dns.query, dns.rcode
    try:
        a = dns.query.udp(dns.message.make_query(name, kind), os.environ["NETD_DNS"], timeout=1)
    except Exception as e:
        return type(e).__name__, []
    return dns.rcode.to_text(a.rcode()), [str(i) for rr in a.answer for i in rr]


def namespaces():
    return sorted(n for n in os.listdir(os.environ["NETD_LAB"] + f"/node{HOME}/run/ns") if n != "gw")


def page(ip, port=80):
    """What is served there; None when nothing is."""
    try:
        s = socket.create_connection((ip, port), timeout=1)
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = s.recv(4096).partition(b"\r\n\r\n")
        return (body + s.recv(4096)).decode() if b" 200 " in head else None
    except OSError:
        return None


def group(name="web", label=None, ports=(80,), **props):
    ip = {"type": "Public", "ports": [{"port": p, "protocol": "TCP"} for p in ports]}
    if label:
        ip["dnsNameLabel"] = label
    p = {"osType": "Linux", "ipAddress": ip, "containers": [{"name": name, "properties": {
        "image": "x", "ports": [{"port": p} for p in ports],
        "resources": {"requests": {"cpu": 1, "memoryInGB": 1}}}}]}
    p.update(props)
    return {"location": "westeurope", "properties": p}


def state(path):
    s, doc, _ = call("GET", path)
    return doc["properties"]["provisioningState"] if s == 200 else s


class Runtime(threading.Thread):
    """Says started and ready to every group; serves HTTP in its namespace when asked to."""

    hold = False  # answers no stop until release()
    away = False  # does not come back once its connection has ended

    def __init__(self, serve=False, node=HOME):
        super().__init__(daemon=True)
        self.nodes = [int(node)] + [k for k in range(1, SPREAD + 1) if k != int(node)] * (node is HOME)
        self.socks, self.at = {}, {}
        self.serve, self.servers, self.groups, self.stops, self.held, self.told = serve, {}, {}, [], [], []
        self.start()

    def send(self, m):
        data = json.dumps(m).encode()
        self.socks[self.at.get(m.get("id"), self.nodes[0])].sendall(struct.pack(">I", len(data)) + data)

    @property
    def sock(self):
        return self.socks[self.nodes[0]]

    stream = staticmethod(os.close)  # of exec and attach

    def release(self):
        self.hold = False
        while self.held:
            self.frame(self.held.pop())

    def run(self):
        for k in self.nodes[1:]:
            threading.Thread(target=self.connect, args=(k,), daemon=True).start()
        self.connect(self.nodes[0])

    def connect(self, node):
        while True:
            try:
                while self.away:
                    time.sleep(0.02)
                self.socks[node] = socket.socket(socket.AF_UNIX)
                self.socks[node].connect(f"{os.environ['NETD_LAB']}/node{node}/run/runtime.sock")
                hello = json.dumps({"type": "hello", "version": 1}).encode()
                self.socks[node].sendall(struct.pack(">I", len(hello)) + hello)
                self.talk(node)
            except OSError:
                time.sleep(0.02)

    def talk(self, node):
        data = b""
        while True:
            got, anc, _, _ = self.socks[node].recvmsg(65536, socket.CMSG_SPACE(16))
            for level, kind, fds in anc:
                for fd in array.array("i", fds[:len(fds) - len(fds) % 4]):
                    self.stream(fd)
            if not got:
                raise OSError
            data += got
            while len(data) >= 4 and len(data) >= 4 + struct.unpack(">I", data[:4])[0]:
                n = 4 + struct.unpack(">I", data[:4])[0]
                m = json.loads(data[4:n])
                if m["type"] == "listEnd":  # of that node
                    m["ids"] += [i for i in self.groups if self.at.get(i, node) != node]
                elif "id" in m:
                    self.at[m["id"]] = node
                self.frame(m)
                data = data[n:]

    def rename(self, m):
        """A group that is known by another id: nothing of it starts anew."""
        old = m.pop("from", None)
        if old in self.groups and m["id"] not in self.groups:
            for by in (self.groups, self.servers, getattr(self, "docs", {}), getattr(self, "starts", {})):
                if old in by:
                    by[m["id"]] = by.pop(old)

    def frame(self, m):
        self.rename(m)
        if m["type"] == "listEnd":  # what is not in the list is gone
            for i in set(self.groups) - set(m["ids"]):
                self.drop(i)
        elif m["type"] == "group":
            self.told.append((m["id"], m["generation"]))
            self.groups[m["id"]] = m
            if self.serve and m["id"] not in self.servers:
                self.servers[m["id"]] = subprocess.Popen(
                    ["nsenter", "--net=" + m["namespace"], sys.executable, "-c",
                     "import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n"
                     " def do_GET(s):\n  b=s.client_address[0].encode(); s.send_response(200)\n"
                     "  s.send_header('Content-Length',str(len(b))); s.end_headers(); s.wfile.write(b)\n"
                     " def log_message(*a): pass\n"
                     "h.ThreadingHTTPServer(('0.0.0.0',80),H).serve_forever()"])
            self.send({"type": "state", "id": m["id"], "state": "started"})
            self.send({"type": "state", "id": m["id"], "state": "ready"})
        elif m["type"] in ("start", "restart"):
            self.send({"type": "state", "id": m["id"], "state": "started"})
            self.send({"type": "state", "id": m["id"], "state": "ready"})
        elif m["type"] == "stop":
            self.stops.append(m["id"])
            if self.hold:
                self.held.append(m)
                return
            self.drop(m["id"])
            self.send({"type": "state", "id": m["id"], "state": "stopped"})

    def drop(self, i):
        self.groups.pop(i, None)
        s = self.servers.pop(i, None)
        if s:
            s.kill()
            s.wait()


def inside_with_box(*applets):
    """The same with the example runtime and an image "box": busybox, by these names."""
    if "NETD_LAB" in os.environ:
        return
    images = tempfile.mkdtemp(prefix="netd-images.")
    os.makedirs(images + "/box/bin")
    for a in ("busybox", "sh", "sleep", "echo", *applets):
        subprocess.run(["cp", "/bin/busybox", f"{images}/box/bin/{a}"], check=True)
    here = os.path.dirname(os.path.abspath(__file__))
    r = subprocess.run([here + "/run", "--", sys.executable, *sys.argv], env={**os.environ, "NETD_IMAGES": images})
    subprocess.run(["rm", "-rf", images])
    sys.exit(r.returncode)


def jump(ms, node=1):
    """The wall clock of a node's netd is that far from the machine's; netd looks twenty times a second."""
    with open(f"{os.environ['NETD_LAB']}/node{node}/clock", "r+") as f:
        f.write(f"{ms:<20}")
    time.sleep(0.2)


# What they need beyond what tests/deps.sh installs.
LIBRARIES = {"podman": ("conmon", "libdevmapper1.02.1", "libassuan0", "libgpgme11", "libsubid4", "golang-github-containers-common", "libglib2.0-0"), "nsd": ("libfstrm0", "libprotobuf-c1"), "unbound": ("libpython3.11", "libprotobuf-c1"), "bind9": ("liblmdb0", "libprotobuf-c1", "libfstrm0"),
             "knot": ("libknot13", "libdnssec9", "libzscanner4", "libxdp1", "libfstrm0", "liblmdb0", "liburcu8", "libprotobuf-c1")}


def peers(*names):
    """Unpacks Debian packages with their libraries, since nothing of theirs may start by itself; where they are, and an environment for them."""
    packages = sorted({p for n in names for p in (n, *LIBRARIES.get(n, ()))})
    build = os.environ.get("NETD_BUILD") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + "/build"
    at = build + "/peers"
    if any(not os.path.exists(f"{at}/{p}") for p in packages):
        os.makedirs(at, exist_ok=True)
        with open(at + "/lock", "w") as lock:  # tests run side by side
            fcntl.flock(lock, fcntl.LOCK_EX)
            need = [p for p in packages if not os.path.exists(f"{at}/{p}")]
            _unpack(at, need)
    return at, {**os.environ, "LD_LIBRARY_PATH": at + "/usr/lib/x86_64-linux-gnu:" + at + "/lib/x86_64-linux-gnu"}


def peers_all(name):
    """The same for a package with all that it depends on and the machine does not have."""
    build = os.environ.get("NETD_BUILD") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + "/build"
    known = f"{build}/peers/{name}.all"
    if not os.path.exists(known):
        plan = subprocess.run(["apt-get", "install", "--no-install-recommends", "-s", name], capture_output=True, text=True, check=True).stdout
        names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        peers(*names)
        open(known, "w").write(" ".join(names))
    return peers(*open(known).read().split())


def _unpack(at, need):
    if need:
        subprocess.run("set -e; mkdir -p %s; d=$(mktemp -d); chmod 755 $d; cd $d; apt-get download -qq %s >/dev/null 2>&1; for f in *.deb; do dpkg -x $f %s; done; touch %s; rm -rf $d"
                       % (at, " ".join(need), at, " ".join(f"{at}/{p}" for p in need)), shell=True, check=True)


class Tap:
    n = failed = 0

    def ok(self, good, what, detail=""):
        self.n += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.n} - {what}", flush=True)
        if not good and detail != "":
            print(f"# {detail}"[:1500], flush=True)
        return good

    def end(self):
        print(f"1..{self.n}")
        sys.exit(1 if self.failed or not self.n else 0)


def inside(*config, runtime=False, store=None, nodes=1, uplinks=False):
    """Re-executes the test in a lab, unless it is in one; `runtime`: with the example runtime; `store`: on etcd, say; `nodes`: of the plane; `uplinks`: of all of them."""
    if "NETD_LAB" not in os.environ:
        here = os.path.dirname(os.path.abspath(__file__))
        args = [a for c in config for a in ("--config", c)]
        os.execv(here + "/run", [here + "/run", *([] if runtime else ["--no-runtime"]), *(["--store", store] if store else []), "--nodes", str(nodes), *(["--uplinks"] if uplinks else []), *args, "--", sys.executable, *sys.argv])
