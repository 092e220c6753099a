#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exec and attach: the stock WebSocket client of Debian, netctl, and (az) the official command line; what
they may not do; stuck clients, killed roles, limits of time, and that nothing is left behind."""
import hashlib, pty, re, signal, ssl, termios, tty, urllib.parse
from plane import *

LONG = os.environ.get("LONG") == "1"
AT, _ = peers("python3-websocket")
sys.path.append(AT + "/usr/lib/python3/dist-packages")
import websocket

inside_with_box("cat", "stty", "yes", "tr", "head", "printf", "id", "kill", "ps")

t = Tap()
ok = t.ok
LAB = os.environ["NETD_LAB"]
API = os.environ["NETD_API"]
TOKEN = os.environ["NETD_TOKEN"]
TLS = ssl.create_default_context(cafile=os.environ["NETD_CA"])
TALKS = "while :; do echo tick; sleep 0.2; done"
DATA, RESIZE, ERROR, EXIT, END = range(5)
FRAMED = "exec.netd.v1"


def https(method, path, body=None, token=TOKEN):
    c = http.client.HTTPSConnection(API[8:], context=TLS, timeout=10)
    c.request(method, path + "?api-version=2023-05-01", json.dumps(body) if body is not None else None, {"Authorization": "Bearer " + token})
    r = c.getresponse()
    text = r.read()
    return r.status, json.loads(text) if text else None


def ask(command="sh", group="box", verb="exec", token=TOKEN, **more):
    return https("POST", CG + f"{group}/containers/main/{verb}", {"command": command, **more} if verb == "exec" else None, token)


def dial(doc, password=None, protocol=None, **more):
    w = websocket.create_connection(doc["webSocketUri"], sslopt={"ca_certs": os.environ["NETD_CA"]}, timeout=10,
                                    subprotocols=[protocol] if protocol else None, **more)
    w.send(doc["password"] if password is None else password)
    return w


def session(command="sh", protocol=None, **more):
    s, doc = ask(command, **more)
    assert s == 200, (s, doc)
    return dial(doc, protocol=protocol)


def refused(doc):
    """The HTTP status that a connection is refused with."""
    try:
        dial(doc)
        return "connected"
    except websocket.WebSocketBadStatusException as e:
        return e.status_code


def end(w):
    """Code and reason of the close frame that comes next but for data; the data."""
    data = b""
    while True:
        try:
            op, got = w.recv_data()
        except Exception as e:
            return type(e).__name__, str(e), data
        if op == websocket.ABNF.OPCODE_CLOSE:
            return struct.unpack(">H", got[:2])[0], got[2:].decode(), data
        data += got


def until(w, text, seconds=10):
    data, stop = b"", time.time() + seconds
    while text not in data and time.time() < stop:
        op, got = w.recv_data()
        data += got
        if op == websocket.ABNF.OPCODE_CLOSE:
            break
    return data


def programs(what):
    """Processes whose command line has the text; the lab has a PID namespace of its own."""
    return [p for p in os.listdir("/proc") if p.isdigit() and what.encode() in cmdline(p)]


def status_kb(role, key="VmRSS"):
    return int(re.search(key + r":\s+(\d+)", open(f"/proc/{role_pid(role)}/status").read()).group(1))


def container(command):
    return [{"name": "main", "properties": {"image": "box", "command": command, "ports": [{"port": 80}], "resources": {"requests": {"cpu": 1, "memoryInGB": 0.5}}}}]


def log():
    return open(LAB + "/netd.log").read()


call("PUT", RG, {"location": "westeurope"})
call("PUT", CG + "box", group("box", containers=container(["/bin/sh", "-c", TALKS])))
ok(wait(lambda: state(CG + "box") == "Succeeded", 30), "a group runs", state(CG + "box"))

# ---- a stock client, as az speaks: password as text, then bytes; a terminal
s, doc = ask("sh", terminalSize={"rows": 40, "cols": 100})
ok(s == 200 and set(doc) == {"webSocketUri", "password"} and doc["webSocketUri"].startswith("wss://192.0.2.2:8444/exec/"), "POST exec: webSocketUri and password", doc)
w = dial(doc)
w.send_binary(b"sleep 0.5; stty size\n")  # runc tells the terminal its size a little later
got = until(w, b"40 100")
ok(b"40 100" in got, "a terminal of the size that was asked for", got)
w.send("echo $((6*7))\n")  # input as text is input too
ok(b"42" in until(w, b"42"), "a shell answers")
w.send_binary(b"sleep 1000\n")
wait(lambda: programs("sleep\0001000"))
w.send_binary(b"\x03")
w.send_binary(b"echo after\n")
ok(b"after" in until(w, b"\nafter"), "Ctrl-C ends a program")
w.send_binary(b"exit 7\n")
code, why, _ = end(w)
ok((code, why) == (1000, "exit 7"), "its end: 1000 and the exit status", (code, why))
again = refused(doc)
ok(again == 404, "the answer is good for one connection", again)
w = session("sh -c 'echo \"a  b\" c\\ d; exit 3'")
got = end(w)
ok(got[:2] == (1000, "exit 3") and b"a  b c d" in got[2], "a command line with quotes", got)
w = session("/bin/nothing-there")
got = end(w)
ok(got[0] == 1000 and got[1] != "exit 0", "a command that is not there ends with an error", got)

# ---- packets: no terminal, binary, standard error, end of input
w = session("cat", FRAMED, terminal=False)
blob, back, status = os.urandom(3 << 20), bytearray(), None
w.sock.settimeout(20)
for i in range(0, len(blob), 32768):  # one thread: Python's TLS connections are not for two
    w.send_binary(bytes([DATA]) + blob[i:i + 32768])
    while i + 32768 - len(back) > 131072:
        back += w.recv_data()[1][1:]
w.send_binary(bytes([END]))
while True:
    op, got = w.recv_data()
    if op == websocket.ABNF.OPCODE_CLOSE:
        break
    if got[0] == DATA:
        back += got[1:]
    elif got[0] == EXIT:
        status = struct.unpack(">I", got[1:])[0]
ok(bytes(back) == blob and status == 0, "3 MB of any bytes go through cat and come back", (len(back), len(blob), status))
w = session("sh -c 'echo out; echo err >&2; exit 200'", FRAMED, terminal=False)
_, _, data = end(w)
ok(data == b"\0out\n\2err\n\3\0\0\0\xc8" or data == b"\2err\n\0out\n\3\0\0\0\xc8", "output, errors and status are told apart", data)
w = session("sh", FRAMED)
w.send_binary(bytes([RESIZE]) + struct.pack(">HH", 33, 77))
w.send_binary(bytes([DATA]) + b"sleep 0.2; stty size\n")
ok(b"33 77" in until(w, b"33 77"), "a terminal is resized")
w.send_binary(b"\x09what")
got = end(w)
ok(got[0] == 1007, "what is no packet ends it: 1007", got[:2])

# ---- who may not
s, doc = ask()
w = dial(doc, password="0" * 48)
got = end(w)
ok(got[0] == 1008 and "wrong" in got[1], "a wrong password: 1008", got)
again = refused(doc)
ok(again == 404, "and the right one is too late", again)
s, doc = ask()
far = subprocess.run(["ip", "netns", "exec", "node1", "curl", "-s", "--cacert", os.environ["NETD_CA"], "-o", "/dev/null", "-w", "%{http_code}", "--http1.1", "-H", "Upgrade: websocket", "-H", "Connection: Upgrade",
                      "-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "https" + doc["webSocketUri"][3:]], capture_output=True, text=True).stdout
ok(far == "404", "from another address: 404", far)
w = dial(doc)
w.send_binary(b"exit\n")
ok(end(w)[0] == 1000, "which does not take it from its caller")
readers = {"token": "reader-" + "r" * 24, "subscription": SUB, "role": "reader"}
call("POST", "/netd/tokens", readers)
ok(ask(token=readers["token"])[0] == 403, "a reader may not exec: 403")
other = {"token": "other-" + "o" * 24, "subscription": "00000000-0000-0000-0000-00000000000f"}
call("POST", "/netd/tokens", other)
ok(ask(token=other["token"])[0] == 404, "another subscription's caller finds nothing: 404")
for body, target in (({}, "command"), ({"command": ""}, "command"), ({"command": 5}, "command"), ({"command": "sh 'x"}, "command"), ({"command": "sh", "terminal": 3}, "terminal"),
                     ({"command": "sh", "terminalSize": {"rows": -1}}, "terminalSize.rows"), ({"command": "sh", "terminalSize": {"cols": "x"}}, "terminalSize.cols"), ({"command": "sh", "terminalSize": 4}, "terminalSize")):
    s, doc = https("POST", CG + "box/containers/main/exec", body)
    ok(s == 400 and doc["error"].get("target") == target, f"{json.dumps(body)}: 400, {target}", (s, doc))
ok(https("GET", CG + "box/containers/main/exec")[0] == 405, "GET of it: 405")
ok(https("POST", CG + "box/containers/none/exec", {"command": "sh"})[0] == 404, "a container that is not there: 404")

# ---- HTTP that is no WebSocket
def raw(data, tls=True):
    c = socket.create_connection(("192.0.2.2", 8444), timeout=5)
    c = TLS.wrap_socket(c, server_hostname="192.0.2.2") if tls else c
    try:
        c.sendall(data)
        got = b""
        while True:
            more = c.recv(65536)
            got += more
            if not more:
                return got
    except OSError:
        return got
    finally:
        c.close()


UP = b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
for what, data, want in (("a plain GET", b"GET /exec/" + b"0" * 32 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b" 426 "), ("an unknown path", b"GET /exec/" + b"0" * 32 + b" HTTP/1.1\r\nHost: x\r\n" + UP + b"\r\n", b" 404 "),
                         ("another path", b"GET / HTTP/1.1\r\nHost: x\r\n" + UP + b"\r\n", b" 404 "), ("a POST", b"POST /exec/x HTTP/1.1\r\nHost: x\r\n" + UP + b"\r\n", b" 404 "),
                         ("an old version", b"GET /exec/x HTTP/1.1\r\nHost: x\r\n" + UP.replace(b"13", b"8") + b"\r\n", b" 426 "), ("two hosts", b"GET /exec/x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b" 400 "),
                         ("a body", b"GET /exec/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" + UP + b"\r\nabc", b" 400 "), ("a long head", b"GET /exec/x HTTP/1.1\r\nX: " + b"a" * 20000, b" 431 ")):
    got = raw(data)
    ok(want in got.split(b"\r\n")[0], f"{what}:{want.decode()}", got[:80])
raw(b"GET / HTTP/1.1\r\n\r\n", tls=False)
for n in range(40):  # frames that break the protocol's rules, in place of the password
    s, doc = ask()
    c = TLS.wrap_socket(socket.create_connection(("192.0.2.2", 8444), timeout=5), server_hostname="192.0.2.2")
    c.sendall(b"GET " + urllib.parse.urlparse(doc["webSocketUri"]).path.encode() + b" HTTP/1.1\r\nHost: x\r\n" + UP + b"\r\n")
    assert b" 101 " in c.recv(4096)
    c.sendall(os.urandom(64) if n else b"\x82\xff" + b"\xff" * 8 + b"aaaa")
    c.close()
ok(session("echo well").recv_data()[1].startswith(b"well"), "and others are served")

# ---- attach
s, doc = ask(verb="attach")
w = dial(doc)
ok(s == 200 and until(w, b"tick\ntick").count(b"tick") >= 2, "attach follows the output")
w.close()

# ---- netctl
NETCTL = [os.environ["NETD_NETCTL"], "-g", "demo"]
for name, env in (("HTTPS", os.environ), ("the Unix socket", {**os.environ, "NETD_API": ""})):
    r = subprocess.run(NETCTL + ["exec", "-i", "box", "--", "sh", "-c", "tr a-z A-Z; exit 9"], input=b"it's here\n" * 5000, capture_output=True, env=env)
    ok(r.returncode == 9 and r.stdout == b"IT'S HERE\n" * 5000, f"netctl exec -i by {name}", (r.returncode, r.stdout[:100], r.stderr))
pid, fd = pty.fork()
if pid == 0:
    os.execv(NETCTL[0], NETCTL + ["exec", "-it", "box", "--", "sh"])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 91, 0, 0))
os.write(fd, b"echo $((40+2)); sleep 0.3; stty size\n")
got = expect(fd, b"31 91")
ok(b"42" in got and b"31 91" in got, "netctl exec -it: a terminal, resized", got)
os.write(fd, b"exit 5\n")
expect(fd, b"nothing more", 2)
ok(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5, "and its exit status")
os.close(fd)
a = subprocess.Popen(NETCTL + ["attach", "box"], stdout=subprocess.PIPE)
ok(a.stdout.readline() == b"tick\n", "netctl attach")
a.kill()
a.wait()
a.stdout.close()

# ---- a hundred at once; one that does not read
was, kb = len(programs("sleep 777")), status_kb("session")
all100, lock = [], threading.Lock()


def one(n):
    w = session("sh -c 'cat; :'", FRAMED, terminal=False)
    with lock:
        all100.append((n, w))


# runc starts each in its own time; they stand side by side when all have begun
threads = [threading.Thread(target=one, args=(n,)) for n in range(100)]
for x in threads:
    x.start()
for x in threads:
    x.join()
for n, w in all100:
    w.settimeout(60)
    w.send_binary(bytes([DATA]) + b"%d" % n)
same = sum(w.recv_data()[1] == b"\0%d" % n for n, w in all100)
ok(same == 100, "a hundred sessions at once", same)
for _, w in all100:
    w.send_binary(bytes([END]))
ended = sum(end(w)[:2] == (1000, "exit 0") for _, w in all100)
ok(ended == 100, "which all end as they should", ended)
slow = session("yes", FRAMED, terminal=False)
time.sleep(1)
began = time.time()
got = end(session("echo quick"))
ok(b"quick" in got[2] and time.time() - began < 5, "a client that does not read blocks nobody", (got, time.time() - began))
ok(status_kb("session") - kb < 60000, "and its output waits where it is", (kb, status_kb("session")))
slow.send_binary(bytes([RESIZE]) + struct.pack(">HH", 1, 1))
slow.close(timeout=0.1)
ok(wait(lambda: not programs("yes"), 10), "the program ends with its client", programs("yes"))

# ---- roles that die
w = session("sleep 777")
ok(wait(lambda: programs("sleep\000777")), "a program runs")
os.kill(role_pid("control"), signal.SIGKILL)
wait(lambda: call("GET", CG + "box")[0] == 200)
w2 = None
w.send_binary(b"\x03")
got = end(w)
ok(got[0] == 1000, "control dies: sessions go on", got)
ok(wait(lambda: ask()[0] == 200, 20), "and new ones come", ask())
w = session("sleep 778")
wait(lambda: programs("sleep\000778"))
os.kill(role_pid("session"), signal.SIGKILL)
got = end(w)
ok(got[0] in ("WebSocketConnectionClosedException", "ConnectionResetError", "SSLEOFError", "SSLError"), "the session role dies: its connections end", got)
ok(wait(lambda: not programs("sleep\000778"), 10), "and their programs", programs("sleep\000778"))


def works():
    try:
        return b"again" in end(session("echo again"))[2]
    except (OSError, AssertionError, websocket.WebSocketException):
        return False


ok(wait(works, 20), "and new sessions come")
short = {"token": "short-" + "s" * 24, "subscription": SUB, "role": "contributor"}
s, made, _ = call("POST", "/netd/tokens", short)
s, doc = ask(token=short["token"])
w = dial(doc)
until(w, b"#")
call("DELETE", "/netd/tokens/" + made["id"])
got = end(w)
ok(got[0] == 1008 and "may not" in got[1], "a token that is revoked ends its sessions", got)

# ---- limits of time; the role reads its settings as it starts
conf = open(os.environ["NETD_CONFIG"]).read()
open(os.environ["NETD_CONFIG"], "w").write(conf + "session-idle = 1\nsession-life = 4\n")
os.kill(role_pid("session"), signal.SIGKILL)
wait(works, 20)
began = time.time()
got = end(session("sleep 100"))
ok(got[0] == 1000 and "nothing was said" in got[1] and time.time() - began > 0.9, "an idle session ends", got)
got = end(session(f"sh -c '{TALKS}'"))
ok(got[0] == 1000 and "as long as it may" in got[1], "one that has lasted long enough ends", got[:2])
open(os.environ["NETD_CONFIG"], "w").write(conf)
os.kill(role_pid("session"), signal.SIGKILL)
wait(works, 20)
if LONG:
    s, doc = ask()
    time.sleep(61)
    again = refused(doc)
    ok(again == 404, "after 60 s it is too late", again)

# ---- what is written down
lines = [json.loads(x) for x in log().splitlines() if '"session.' in x]
opened = [x for x in lines if x["event"] == "session.opened"]
closed = [x for x in lines if x["event"] == "session.closed"]
ok(opened and all(x["caller"] and x["peer"] and "/containers/main/" in x["id"] for x in opened), "who opened what, from where, is in the log", opened[:2])
ok(closed and all({"reason", "ms", "input", "output"} <= set(x) for x in closed), "and how it ended", closed[:2])
ok("tr a-z" not in log() and not re.search(r'"password":"[0-9a-f]', log()), "neither commands nor passwords are")
metrics = lambda: subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout
wait(lambda: "netd_sessions 0\n" in metrics())  # roles tell it twice a second
m = metrics()
ok("netd_sessions 0\n" in m and "netd_sessions_opened_total" in m, "/metrics counts sessions", [x for x in m.splitlines() if "session" in x])

# ---- stopped, gone
call("POST", CG + "box/stop")
ok(wait(lambda: ask()[0] == 409, 40), "a stopped group: 409", ask())
retry("DELETE", CG + "box")
ok(wait(lambda: call("GET", CG + "box")[0] == 404, 40), "the group goes")
ok(not programs("runc"), "no process is left", programs("runc"))
t.end()
