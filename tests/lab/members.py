# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of the lab's etcd (etcd.sh): killed, started again, cut off; asked past netd."""
import base64, http.client, http.server, json, os, random, ssl, subprocess, threading

LAB = os.environ.get("NETD_LAB")
TOP = os.path.dirname(os.path.abspath(__file__)) + "/../.."
b64 = lambda text: base64.b64encode(text.encode()).decode()


def member_pid(i):
    return int(open(f"{LAB}/etcd{i}.pid").read())


def member_start(i):
    subprocess.run(["bash", "-c", f'top={TOP} lab={LAB} build={os.environ["NETD_BUILD"]}; . $top/tests/lab/etcd.sh; etcd_member {i}'], check=True)


def member_cut(i, off=True):
    """Takes the wire of a member, of the node (0), away, or gives it back."""
    subprocess.run(["ip", "-n", "store", "link", "set", "dev", f"etcd{i}" if i else "node1", "down" if off else "up"], check=True)


def member_ask(path, body, member=1, token=None):
    """The answer of a member's gateway; {} when there was none."""
    e = os.environ
    r = subprocess.run(["ip", "netns", "exec", "store", "curl", "-s", "-m", "5", "--cacert", e["NETD_ETCD_CA"], "--cert", e["NETD_ETCD_CERT"], "--key", e["NETD_ETCD_KEY"],
                        *(["-H", "Authorization: " + token] if token else []), f"https://10.99.0.1{member}:2379/v3/{path}", "-d", json.dumps(body)], capture_output=True, text=True)
    try:
        return json.loads(r.stdout)
    except ValueError:
        return {}


def as_user(user, path, body):
    for member in (1, 2, 3):
        token = member_ask("auth/authenticate", {"name": user, "password": os.environ["NETD_ETCD_PASSWORD"]}, member).get("token")
        if token:
            return member_ask(path, body, member, token)
    return {}


def stored(key):
    """What etcd has of a pair of the plane; "" when nothing."""
    pairs = as_user("netd", "kv/range", {"key": b64("/netd/data/" + key.lower())}).get("kvs", [])
    return base64.b64decode(pairs[0]["value"]).decode() if pairs else ""


class Between(threading.Thread):
    """A gateway before member 1, in node1 at a port of loopback, without TLS. Of transactions that write (a share of them) it loses, once each,
    the answer, and refuses the same when it is sent again (loses="answer"), or the question (loses="question")."""
    def __init__(self, port, loses, share, seed=1):
        super().__init__(daemon=True)
        self.port, self.loses, self.share, self.rng, self.seen, self.n, self.refused = port, loses, share, random.Random(seed), {}, 0, 0
        self.ready = threading.Event()
        self.start()
        self.ready.wait(10)

    def run(self):
        import ctypes
        ctypes.CDLL(None).setns(os.open("/run/netns/node1", os.O_RDONLY), 0)  # threads that it starts are there, too
        self.context = ssl.create_default_context(cafile=os.environ["NETD_ETCD_CA"])
        self.context.load_cert_chain(os.environ["NETD_ETCD_CERT"], os.environ["NETD_ETCD_KEY"])
        between = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_POST(self):
                between.serve(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.ready.set()
        self.server.serve_forever()

    def fate(self, body):
        """"lose" (the answer), "drop" (the question), "refuse", or None."""
        was = self.seen.get(body)
        if was == "lose" and self.loses == "answer":
            self.seen[body], self.refused = "done", self.refused + 1
            return "refuse"
        if was or self.rng.random() >= self.share:
            return None
        self.seen[body], self.n = "lose", self.n + 1
        return "lose" if self.loses == "answer" else "drop"

    def serve(self, h):
        body = h.rfile.read(int(h.headers["Content-Length"]))
        fate = self.fate(body) if h.path == "/v3/kv/txn" and b"request_put" in body else None
        h.close_connection = True
        if fate == "drop":
            return
        if fate == "refuse":
            h.send_response(403)
            h.end_headers()
            h.wfile.write(json.dumps({"error": "etcdserver: permission denied", "code": 7}).encode())
            return
        try:
            to = http.client.HTTPSConnection("10.99.0.11", 2379, context=self.context)
            to.request("POST", h.path, body, {k: v for k, v in h.headers.items() if k in ("Content-Type", "Authorization")})
            answer = to.getresponse()
            first = answer.read1(65536)
            if fate == "lose":
                answer.read()
                return
            h.send_response(answer.status)
            h.end_headers()
            while first:
                h.wfile.write(first)
                h.wfile.flush()
                first = answer.read1(65536)
        except (OSError, ValueError, http.client.HTTPException):
            pass


class Gate(Between):
    """One that holds transactions that write while it is closed, until they are let through, or dropped."""
    def __init__(self, port):
        self.closed, self.held = False, []
        super().__init__(port, "question", 0)

    def fate(self, body):
        if not self.closed:
            return None
        mine = {"let": threading.Event(), "fate": None}
        self.held.append(mine)
        mine["let"].wait(30)
        return mine["fate"]

    def close(self):
        self.closed = True

    def let(self):
        """The one that has waited longest goes through."""
        self.held.pop(0)["let"].set()

    def drop(self):
        """What is held never was; what comes goes through again."""
        self.closed = False
        while self.held:
            mine = self.held.pop()
            mine["fate"] = "drop"
            mine["let"].set()
