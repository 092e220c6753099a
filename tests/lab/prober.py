#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inside a group's namespace: answers on TCP and UDP ports, and tries others as it is asked to.
A line of JSON in: {"probes": [[id, protocol, address, port, source port]...], "wait": seconds};
a line out: the ids that got through. Every probe has a source port of its own, used once."""
import errno, json, os, select, selectors, socket, struct, sys, threading, time

PORTS = [int(p) for p in sys.argv[1].split(",")]
ADDRESSES = sys.argv[2].split(",")


def family(a):
    return socket.AF_INET6 if ":" in a else socket.AF_INET


def serve():
    sel = selectors.DefaultSelector()
    for a in ADDRESSES:
        for port in PORTS:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                s = socket.socket(family(a), kind)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((a, port))
                if kind == socket.SOCK_STREAM:
                    s.listen(500)
                s.setblocking(False)
                sel.register(s, selectors.EVENT_READ, kind)
    print("ready", flush=True)
    while True:
        for key, _ in sel.select():
            try:
                if key.data == socket.SOCK_STREAM:
                    c, _ = key.fileobj.accept()
                    c.send(b"x")
                    c.close()
                else:
                    data, who = key.fileobj.recvfrom(2000)
                    key.fileobj.sendto(data, who)
            except OSError:
                pass


def icmp(s, a, ident):
    kind = 128 if ":" in a else 8
    head = struct.pack("!BBHHH", kind, 0, 0, ident, 1)
    if ":" not in a:  # ICMPv6's checksum is the kernel's
        total = sum(struct.unpack("!4H", head))
        total = (total >> 16) + (total & 0xffff)
        head = struct.pack("!BBHHH", kind, 0, ~(total + (total >> 16)) & 0xffff, ident, 1)
    s.sendto(head, (a, 0))


def probe(probes, wait):
    waiting, got, raws = {}, set(), {}
    for i, proto, a, port, sport in probes:
        try:
            if proto == "icmp":
                if family(a) not in raws:
                    p = socket.IPPROTO_ICMPV6 if ":" in a else socket.IPPROTO_ICMP
                    raws[family(a)] = (socket.socket(family(a), socket.SOCK_RAW, p), {})
                raws[family(a)][1][sport] = i
                icmp(raws[family(a)][0], a, sport)
                continue
            s = socket.socket(family(a), socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
            s.setblocking(False)
            s.bind(("::" if ":" in a else "0.0.0.0", sport))
            e = s.connect_ex((a, port))
            if proto == "udp":
                s.send(b"x")
            elif e not in (0, errno.EINPROGRESS):
                continue
            waiting[s.fileno()] = (s, proto, i)
        except OSError:
            pass
    poll = select.poll()
    for fd, (s, proto, i) in waiting.items():
        poll.register(fd, select.POLLOUT if proto == "tcp" else select.POLLIN)
    for f, (s, ids) in raws.items():
        s.setblocking(False)
        poll.register(s.fileno(), select.POLLIN)
    end = time.time() + wait
    left = len(waiting) + sum(len(ids) for _, ids in raws.values())
    while left and time.time() < end:
        for fd, _ in poll.poll(max(1, (end - time.time()) * 1000)):
            if fd in waiting:
                s, proto, i = waiting[fd]
                poll.unregister(fd)
                left -= 1
                try:
                    if proto == "tcp" and s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                        got.add(i)
                    elif proto == "udp" and s.recv(2000):
                        got.add(i)
                except OSError:
                    pass
                continue
            for f, (s, ids) in raws.items():
                while s.fileno() == fd:
                    try:
                        data = s.recv(2000)
                    except OSError:
                        break
                    if f == socket.AF_INET:
                        data = data[(data[0] & 15) * 4:]
                    if data[0] in (0, 129):
                        i = ids.pop(struct.unpack("!H", data[4:6])[0], None)
                        if i is not None:
                            got.add(i)
                            left -= 1
    for s, _, _ in waiting.values():
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    for s, _ in raws.values():
        s.close()
    return sorted(got)


threading.Thread(target=serve, daemon=True).start()
for line in sys.stdin:
    m = json.loads(line)
    print(json.dumps(probe(m["probes"], m["wait"])), flush=True)
os._exit(0)
