#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's `az`, unmodified: logs in (at a stand-in for the identity service, which is not netd's), shows a
container group, its logs, and runs a shell in it."""
import http.server, pty, ssl
from plane import *

AT, ENV = peers_all("azure-cli")
inside_with_box("stty")
# python3-distutils adds to a folder of the standard library; where it lies beside that, Python takes one or the other.
DISTUTILS = AT + "/usr/lib/python3.11/distutils"
if os.path.isdir(DISTUTILS) and not os.path.exists(DISTUTILS + "/__init__.py"):
    open(DISTUTILS + "/__init__.py", "w").write("__path__.append('/usr/lib/python3.11/distutils')\n")

t = Tap()
ok = t.ok
LAB = os.environ["NETD_LAB"]
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJsYWIifQ.c2lnbmF0dXJlLW9mLXRoZS1sYWI"  # as it looks; netd knows it by its hash
ID = "https://192.0.2.1:8445"

# ---- who says who somebody is
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=id", "-addext", "subjectAltName=IP:192.0.2.1",
                "-keyout", LAB + "/id.key", "-out", LAB + "/id.pem"], check=True, capture_output=True)
open(LAB + "/both.pem", "w").write(open(LAB + "/id.pem").read() + open(os.environ["NETD_CA"]).read())


class Identity(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, doc):
        text = json.dumps(doc).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer({"issuer": ID + "/adfs", "authorization_endpoint": ID + "/adfs/oauth2/authorize", "token_endpoint": ID + "/adfs/oauth2/token", "device_authorization_endpoint": ID + "/adfs/oauth2/devicecode"})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"token_type": "Bearer", "expires_in": 3600, "access_token": TOKEN})

    def log_message(self, *a):
        pass


server = http.server.ThreadingHTTPServer(("192.0.2.1", 8445), Identity)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(LAB + "/id.pem", LAB + "/id.key")
server.socket = tls.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()

env = {**ENV, "PYTHONPATH": f"{AT}/usr/lib/python3/dist-packages:{AT}/usr/lib/python3.11", "AZURE_CONFIG_DIR": LAB + "/az", "AZURE_CORE_COLLECT_TELEMETRY": "0", "REQUESTS_CA_BUNDLE": LAB + "/both.pem", "SSL_CERT_FILE": LAB + "/both.pem", "PYTHONWARNINGS": "ignore"}
AZ = ["/usr/bin/python3", "-m", "azure.cli"]


def az(*args):
    r = subprocess.run(AZ + list(args), env=env, capture_output=True, text=True, timeout=60)
    return r.returncode, r.stdout, r.stderr


call("POST", "/netd/tokens", {"token": TOKEN, "subscription": SUB})
call("PUT", RG, {"location": "westeurope"})
call("PUT", CG + "box", group("box", containers=[{"name": "main", "properties": {
    "image": "box", "command": ["/bin/sh", "-c", "echo it says this; exec sleep 10000"], "ports": [{"port": 80}], "resources": {"requests": {"cpu": 1, "memoryInGB": 0.5}}}}]))
ok(wait(lambda: state(CG + "box") == "Succeeded", 30), "a group runs", state(CG + "box"))
r = az("cloud", "register", "-n", "netd", "--endpoint-resource-manager", os.environ["NETD_API"], "--endpoint-active-directory", ID + "/adfs", "--endpoint-active-directory-resource-id", os.environ["NETD_API"],
       "--endpoint-active-directory-graph-resource-id", os.environ["NETD_API"], "--endpoint-management", os.environ["NETD_API"])
ok(r[0] == 0, "az cloud register", r)
ok(az("cloud", "set", "-n", "netd")[0] == 0, "az cloud set")
r = az("login", "--service-principal", "-u", "lab", "-p", "secret", "--tenant", "adfs")
ok(r[0] == 0 and SUB in r[1], "az login: netd lists the subscription", r)
r = az("container", "show", "-g", "demo", "-n", "box", "--query", "provisioningState", "-o", "tsv")
ok(r[1].strip() == "Succeeded", "az container show", r)
r = az("container", "logs", "-g", "demo", "-n", "box")
ok("it says this" in r[1], "az container logs", r)

r = az("monitor", "metrics", "list", "--resource", CG + "box", "--metric", "NetworkBytesReceivedPerSecond", "--interval", "PT1M", "--query", "value[0].name.value", "-o", "tsv")
ok(r[1].strip() == "NetworkBytesReceivedPerSecond", "az monitor metrics list", r)

pid, fd = pty.fork()
if pid == 0:
    os.execve(AZ[0], AZ + ["container", "exec", "-g", "demo", "-n", "box", "--exec-command", "/bin/sh"], env)
got = expect(fd, b"# ", 30)
ok(b"# " in got, "az container exec: a shell's prompt", got)
os.write(fd, b"echo $((6*7)) is the answer\n")
got = expect(fd, b"42 is the answer", 30)
ok(b"42 is the answer" in got, "what is typed is run", got)
os.write(fd, b"exit\n")
expect(fd, b"never", 5)
ok(wait(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, 10), "and it ends with the shell")
t.end()
