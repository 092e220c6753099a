#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A runtime of virtual machines: QEMU in software emulation with Debian's kernel, at the tap of its group's namespace, as a user
without rights; reached and reaching like any group, under the same rules. What a Confidential or Windows group says is handed over as it is."""
import base64, glob, gzip, queue, signal, tempfile
from plane import *

AT, ENV = peers_all("qemu-system-x86")
KERNEL = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True).stdout.partition("Depends: ")[2].split()[0]
peers(KERNEL)
inside()
t = Tap()
ok = t.ok
OWNER = 70100
QUEUES = 2


class VmRuntime(Runtime):
    """Asks for a tap for the groups that it runs as machines."""

    machines, refused = {(CG + "vm").lower()}, []

    def frame(self, m):
        super().frame(m)
        if m["type"] == "group" and m["id"] in self.machines and "tap" not in m:
            self.send({"type": "tap", "id": m["id"], "queues": QUEUES, "owner": OWNER})
        elif m["type"] == "tap":
            self.refused.append(m)


def initramfs():
    """busybox, virtio's modules, and an init that asks the command line who it is, serves a page, and gives a shell."""
    d = tempfile.mkdtemp()
    os.makedirs(d + "/bin")
    os.makedirs(d + "/m")
    os.makedirs(d + "/www/cgi-bin")
    subprocess.run(["cp", "/bin/busybox", d + "/bin/busybox"], check=True)
    modules = glob.glob(AT + "/lib/modules/*/kernel")[0]
    for m in ("drivers/virtio/virtio", "drivers/virtio/virtio_ring", "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci",
              "net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net"):
        subprocess.run(["cp", f"{modules}/{m}.ko", d + "/m/"], check=True)
    open(d + "/www/index.html", "w").write("from the machine\n")
    open(d + "/www/big", "wb").write(b"x" * 4_000_000)
    open(d + "/init", "w").write("""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev; mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for m in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net; do insmod /m/$m.ko; done
for w in $(cat /proc/cmdline); do case $w in my*=*) eval "$w";; esac; done
echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up; ip link set eth0 mtu $mymtu up
ip addr add $my4 dev eth0; ip route add $mygw4 dev eth0; ip route add default via $mygw4
[ -n "$my6" ] && ip -6 addr add $my6 dev eth0 && ip -6 route add $mygw6 dev eth0 && ip -6 route add default via $mygw6
mkdir -p /etc; echo nameserver 168.63.129.16 >/etc/resolv.conf
httpd -h /www
stty -echo
echo machine-is-up
exec sh
""")
    os.chmod(d + "/init", 0o755)
    names = subprocess.run(["find", "."], cwd=d, capture_output=True, check=True).stdout
    cpio = subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=d, input=names, capture_output=True, check=True).stdout
    path = os.environ["NETD_LAB"] + "/initramfs.gz"
    open(path, "wb").write(gzip.compress(cpio, 1))
    subprocess.run(["rm", "-rf", d])
    return path


class Machine:
    def __init__(self, m, image):
        n = m["network"]
        words = f"console=ttyS0 quiet panic=-1 mymtu={n['mtu']} my4={n['addresses'][0]} mygw4={n['gateways'][0]}"
        if len(n["addresses"]) > 1:
            words += f" my6={n['addresses'][1]} mygw6={n['gateways'][1]}"
        lib = AT + "/usr/lib/x86_64-linux-gnu"
        argv = ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups", AT + "/usr/bin/qemu-system-x86_64", "-L", AT + "/usr/share/qemu", "-L", AT + "/usr/share/seabios",
                "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "192", "-smp", "2", "-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio", "-monitor", "none",
                "-kernel", glob.glob(AT + "/boot/vmlinuz-*")[0], "-initrd", image, "-append", words,
                "-netdev", f"tap,id=n,ifname={m['tap']},script=no,downscript=no,vhost=off,queues={QUEUES}",
                "-device", f"virtio-net-pci,netdev=n,mac={n['mac']},mq=on,vectors={2 * QUEUES + 2},romfile="]
        self.p = subprocess.Popen(["nsenter", "--net=" + m["namespace"], *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env={**ENV, "LD_LIBRARY_PATH": ENV["LD_LIBRARY_PATH"] + f":{lib}/pulseaudio"})
        self.lines = queue.Queue()
        threading.Thread(target=lambda: [self.lines.put(l.decode(errors="replace").strip()) for l in self.p.stdout], daemon=True).start()
        self.n = 0

    def until(self, text, seconds):
        seen, end = [], time.time() + seconds
        while time.time() < end:
            try:
                seen.append(self.lines.get(timeout=0.2))
                if text in seen[-1]:
                    return seen
            except queue.Empty:
                if self.p.poll() is not None:
                    break
        self.said = seen
        return None

    def run(self, command, seconds=20):
        """What a command in the machine says."""
        self.n += 1
        self.p.stdin.write(f"{command}; echo end-of-{self.n}-$?-\n".encode())
        self.p.stdin.flush()
        got = self.until(f"end-of-{self.n}-", seconds)
        return "\n".join(got) if got else "nothing came"


def fetch(ns, url, *more):
    r = subprocess.run(["nsenter", "--net=" + ns, "curl", "-s", "-m", "5", *more, url], capture_output=True)
    return r.stdout.decode(errors="replace") if r.returncode == 0 else f"curl {r.returncode}"


# Whoever a device is for must be able to open the one that leads to all: 0666, as udev makes it.
subprocess.run('cd "$NETD_LAB"; mknod tun c 10 200; chmod 666 tun; mount --bind tun /dev/net/tun', shell=True, check=True)
image = initramfs()
runtime = VmRuntime(serve=False)
call("PUT", RG, {"location": "westeurope"})
NSG = RG + "/providers/Microsoft.Network/networkSecurityGroups/rules"
call("PUT", NSG, {"location": "westeurope", "properties": {"securityRules": []}})
call("PUT", VNET + "net", {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16", "fd00:1::/48"]}, "subnets": [
    {"name": "a", "properties": {"addressPrefixes": ["10.1.0.0/24", "fd00:1::/64"], "networkSecurityGroup": {"id": NSG}, "delegations": [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}]}})


def private(name, **more):
    doc = group(name, **more)
    doc["properties"]["ipAddress"] = {"type": "Private", "ports": [{"port": 80, "protocol": "TCP"}]}
    doc["properties"]["subnetIds"] = [{"id": VNET + "net/subnets/a"}]
    return doc


for n in ("vm", "peer"):
    s, doc, _ = call("PUT", CG + n, private(n))
    ok(s == 201, f"{n} is made", doc)
ok(wait(lambda: len(runtime.groups) == 2 and "tap" in runtime.groups[(CG + "vm").lower()]), "the runtime has both, and the tap it asked for", runtime.groups)
vm, peer = (runtime.groups[(CG + n).lower()] for n in ("vm", "peer"))
ok(vm.get("tap") == "tap0" and vm["network"]["addresses"][0].startswith("10.1.0.") and vm["network"]["addresses"][1].startswith("fd00:1::") and vm["network"]["mtu"] == 1450, "told: tap, MAC, MTU, addresses, gateways", vm["network"])
link = subprocess.run(["nsenter", "--net=" + vm["namespace"], "ip", "-d", "link", "show", "tap0"], capture_output=True, text=True).stdout
ok("multi_queue" in link and "vnet_hdr" in link and f"user {OWNER}" in link and "mtu 1450" in link, "the tap: several queues, offloads, its owner's", link)
server = subprocess.Popen(["nsenter", "--net=" + peer["namespace"], sys.executable, "-c", "import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n def do_GET(s):\n  b=s.client_address[0].encode()+b'\\n'; s.send_response(200); s.send_header('Content-Length',str(len(b))); s.end_headers(); s.wfile.write(b)\n def log_message(*a): pass\nimport socket\nclass S(h.ThreadingHTTPServer):\n address_family=socket.AF_INET6\nS(('::',80),H).serve_forever()"])
m = Machine(vm, image)
try:
    up = m.until("machine-is-up", 90)
    ok(up is not None, "a machine boots with Debian's kernel", getattr(m, "said", None))
    vm4, vm6 = (a.split("/")[0] for a in vm["network"]["addresses"])
    peer4, peer6 = (a.split("/")[0] for a in peer["network"]["addresses"])
    ok(fetch(peer["namespace"], f"http://{vm4}/") == "from the machine\n", "another group reaches it", fetch(peer["namespace"], f"http://{vm4}/"))
    ok(fetch(peer["namespace"], f"http://[{vm6}]/") == "from the machine\n", "by IPv6 too")
    got = m.run(f"wget -q -O - http://{peer4}/")
    ok(vm4 in got, "it reaches another group of its subnet, as itself", got)
    got = m.run(f"wget -q -O - http://[{peer6}]/")
    ok(vm6 in got, "by IPv6 too", got)
    got = m.run("nslookup peer.internal.cloudapp.net 168.63.129.16 | grep Address")
    ok(peer4 in got, "names are answered", got)
    ok("rx-1" in m.run("ls /sys/class/net/eth0/queues"), "it sees several queues")
    packets = lambda: int(subprocess.run(["nsenter", "--net=" + vm["namespace"], "cat", "/sys/class/net/tap0/statistics/rx_packets"], capture_output=True, text=True).stdout or 0)
    # sysfs shows the namespace of who mounted it: ask rtnetlink
    packets = lambda: json.loads(subprocess.run(["nsenter", "--net=" + vm["namespace"], "ip", "-j", "-s", "link", "show", "tap0"], capture_output=True, text=True).stdout)[0]["stats64"]["rx"]["packets"]
    was = packets()
    ok(len(fetch(peer["namespace"], f"http://{vm4}/big")) == 4_000_000, "four megabytes")
    ok(0 < packets() - was < 1500, "in packets that hardware would cut: offloads work (2,760 of 1,450 bytes else)", packets() - was)
    own = subprocess.run(["nsenter", "--net=" + vm["namespace"], "nft", "list", "ruleset"], capture_output=True, text=True).stdout
    inode = os.stat(vm["namespace"]).st_ino
    there = set()
    for p in os.listdir("/proc"):
        try:
            if p.isdigit() and os.stat(f"/proc/{p}/ns/net").st_ino == inode:
                there.add(cmdline(p).split(b"\0")[0].decode().rsplit("/", 1)[-1])
        except OSError:
            pass
    ok(own == "" and there == {"qemu-system-x86_64"}, "nothing of ours runs or filters in its namespace", (own, there))

    # ---- the same rules
    def rule(access):
        s, doc, _ = call("PUT", NSG, {"location": "westeurope", "properties": {"securityRules": [{"name": "web", "properties": {
            "priority": 100, "direction": "Inbound", "access": access, "protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": vm4, "destinationPortRange": "80"}}]}})
        return s in (200, 201)

    ok(rule("Deny") and wait(lambda: fetch(peer["namespace"], f"http://{vm4}/").startswith("curl"), 10), "a rule that denies holds")
    ok(rule("Allow") and wait(lambda: fetch(peer["namespace"], f"http://{vm4}/") == "from the machine\n", 10), "one that allows lets through")
    got = m.run(f"ip addr add 10.1.0.99/32 dev eth0; ping -c 1 -W 1 -I 10.1.0.99 {peer4}")
    ok("100% packet loss" in got, "a source that is not its own does not pass", got)

    # ---- what dies, and strangers' hands
    os.kill(role_pid("engine"), signal.SIGKILL)
    time.sleep(0.1)
    ok(fetch(peer["namespace"], f"http://{vm4}/") == "from the machine\n", "the engine dies: it is served")
    ok(wait(lambda: call("GET", "/readyz")[0] == 200, 20) and fetch(peer["namespace"], f"http://{vm4}/") == "from the machine\n", "and when it is back")
    runtime.sock.shutdown(socket.SHUT_RDWR)
    os.kill(role_pid("control"), signal.SIGKILL)
    time.sleep(0.1)
    ok(wait(lambda: call("GET", "/readyz")[0] == 200, 20) and fetch(peer["namespace"], f"http://{vm4}/") == "from the machine\n", "control dies, the runtime connects anew: it is served")
    ok(vm4 in m.run(f"wget -q -O - http://{peer4} | head -1") or vm4 in m.run(f"wget -q -O - http://{peer4}/"), "and it reaches out")
    server.kill()
    subprocess.run(["nsenter", "--net=" + vm["namespace"], "tc", "filter", "del", "dev", "eth0", "ingress"], capture_output=True)
    subprocess.run(["nsenter", "--net=" + vm["namespace"], "ip", "link", "set", "tap0", "down"], capture_output=True)

    def whole():
        f = subprocess.run(["nsenter", "--net=" + vm["namespace"], "tc", "filter", "show", "dev", "eth0", "ingress"], capture_output=True, text=True).stdout
        l = subprocess.run(["nsenter", "--net=" + vm["namespace"], "ip", "link", "show", "tap0"], capture_output=True, text=True).stdout
        return "mirred" in f and ",UP" in l

    ok(wait(whole, 45), "a tap that somebody spoilt is repaired")
finally:
    m.p.kill()
    m.p.wait()
    server.kill()
    server.wait()

# ---- handed over as it is
POLICY = base64.b64encode(bytes(range(256)) * 40).decode()
doc = private("secret", sku="Confidential", confidentialComputeProperties={"ccePolicy": POLICY})
s, got, _ = call("PUT", CG + "secret", doc)
ok(s == 201 and wait(lambda: (CG + "secret").lower() in runtime.groups), "a Confidential group", got)
told = runtime.groups.get((CG + "secret").lower(), {}).get("group", {}).get("properties", {})
ok(told.get("confidentialComputeProperties", {}).get("ccePolicy") == POLICY and told.get("sku") == "Confidential", "its policy is handed over byte for byte")
win = group("win", ports=(80,), osType="Windows")
s, got, _ = call("PUT", CG + "win", win)
ok(s == 201 and wait(lambda: (CG + "win").lower() in runtime.groups) and runtime.groups[(CG + "win").lower()]["group"]["properties"]["osType"] == "Windows", "a Windows group", got)

# ---- what is no answer to; and back
for body, what in (({"queues": 257}, "too many queues"), ({"queues": "2"}, "no number"), ({"queues": 1, "owner": -1}, "no user"), ({"queues": 1, "id": "/none"}, "a group that is not there")):
    runtime.refused.clear()
    runtime.send({"type": "tap", "id": (CG + "peer").lower(), **body})
    ok(wait(lambda: runtime.refused and runtime.refused[0]["error"]), f"{what}: refused, and why", runtime.refused)
runtime.machines.clear()
runtime.send({"type": "tap", "id": (CG + "vm").lower(), "queues": 0})
ok(wait(lambda: "tap" not in runtime.groups[(CG + "vm").lower()], 20), "a runtime that wants it no more is told so")
gone = lambda: subprocess.run(["nsenter", "--net=" + vm["namespace"], "ip", "link", "show", "tap0"], capture_output=True).returncode != 0
ok(wait(gone, 10) and b"mirred" not in subprocess.run(["nsenter", "--net=" + vm["namespace"], "tc", "filter", "show", "dev", "eth0", "ingress"], capture_output=True).stdout, "and it is gone")
retry("DELETE", RG)
ok(wait(lambda: call("GET", RG)[0] == 404, 45) and wait(lambda: namespaces() == []), "all goes", namespaces())
t.end()
