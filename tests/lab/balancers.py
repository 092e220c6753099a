# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of load balancers share: members that are nginx and a UDP echo, documents, clients."""
from vnets import *

BUILD = os.environ.get("NETD_BUILD") or os.path.dirname(os.path.abspath(__file__)) + "/../../build"
NGINX = os.path.dirname(os.path.abspath(__file__)) + "/../../build/peers/usr/sbin/nginx"
TRAFFIC = BUILD + "/lab/traffic" if os.path.exists(BUILD + "/lab/traffic") else os.path.dirname(os.path.abspath(__file__)) + "/../../build/lab/traffic"
LB = N + "loadBalancers/"
CI = RG + "/providers/Microsoft.ContainerInstance/"
CONF = """daemon off; master_process off; pid {d}/pid; error_log {d}/error.log; events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {d}/a; proxy_temp_path {d}/b; fastcgi_temp_path {d}/c; uwsgi_temp_path {d}/e; scgi_temp_path {d}/f;
 keepalive_timeout 2s; keepalive_time 3s; keepalive_requests 100000; types {{ }} default_type text/plain;
 server {{ listen 80 backlog=4096; listen [::]:80 backlog=4096; {tls}
  location / {{ return 200 "{name}\\n"; }} location /bad {{ return 500 "no\\n"; }}
  location = /slow {{ root {d}; limit_rate 40k; }} }} }}
"""


class Servers(Runtime):
    """Each group is an nginx that answers its group's name, and a UDP echo; ready when it listens."""
    broken = ()  # names that never get ready
    tls = ""

    def __init__(self, node=HOME):
        self.dir = f"{os.environ['NETD_LAB']}/servers{node}"
        os.makedirs(self.dir, exist_ok=True)
        self.starts, self.docs = {}, {}
        super().__init__(node=node)

    def begin(self, m):
        d = f"{self.dir}/{m['name']}"
        os.makedirs(d, exist_ok=True)
        open(d + "/conf", "w").write(CONF.format(d=d, name=m["name"], tls=self.tls))
        if not os.path.exists(d + "/slow"):
            open(d + "/slow", "wb").write(b"x" * 160000)
        inside_ns = ["nsenter", "--net=" + m["namespace"]]
        self.servers[m["id"]] = [subprocess.Popen(inside_ns + [NGINX, "-p", d, "-c", d + "/conf"], stderr=subprocess.DEVNULL),
                                 subprocess.Popen(inside_ns + [TRAFFIC, "echo", "80"])]
        self.starts[m["id"]] = self.starts.get(m["id"], 0) + 1

    def frame(self, m):
        self.rename(m)
        say = lambda state: self.send({"type": "state", "id": m["id"], "state": state})
        if m["type"] == "group":
            old = self.groups.get(m["id"])
            self.groups[m["id"]] = self.docs[m["id"]] = m
            if old is None or old["generation"] != m["generation"]:
                self.end(m["id"])
                if not any(b in json.dumps(m["group"]) for b in self.broken):
                    self.begin(m)
            if m["id"] in self.servers:
                say("started")
                say("ready")
            else:
                self.send({"type": "state", "id": m["id"], "state": "failed", "message": "it does not start"})
        else:
            if m["type"] in ("start", "restart"):
                self.end(m["id"])
                self.groups[m["id"]] = self.docs[m["id"]]
                self.begin(self.docs[m["id"]])
            super().frame(m)

    def end(self, i):
        for p in self.servers.pop(i, []):
            p.kill()
            p.wait()

    def drop(self, i):
        self.groups.pop(i, None)
        self.end(i)


def ref(lb, kind, name):
    return {"id": LB + lb + "/" + kind + "/" + name}


def rule(lb, name, front="f", pool="b", probe="h", proto="Tcp", port=80, to=80, **more):
    p = {"frontendIPConfiguration": ref(lb, "frontendIPConfigurations", front), "backendAddressPool": ref(lb, "backendAddressPools", pool), "protocol": proto,
         "frontendPort": port, "backendPort": to, **more}
    if probe:
        p["probe"] = ref(lb, "probes", probe)
    return {"name": name, "properties": p}


def probe(name="h", protocol="Tcp", port=80, interval=5, **more):
    return {"name": name, "properties": {"protocol": protocol, "port": port, "intervalInSeconds": interval, "probeThreshold": 1, "numberOfProbes": 1, **more}}


def pool(name="b", vnet="v", members=(), **more):
    return {"name": name, "properties": {"loadBalancerBackendAddresses": [
        {"name": f"a{i}", "properties": {"virtualNetwork": {"id": VNET + vnet}, **(m if isinstance(m, dict) else {"ipAddress": m})}} for i, m in enumerate(members)], **more}}


def public(name):
    put(N + "publicIPAddresses/" + name, {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}})
    return call("GET", N + "publicIPAddresses/" + name)[1]["properties"]["ipAddress"]


def balancer(lb, fronts, pools, rules, probes=(), **more):
    """fronts: name -> name of a public address, or (VNet, subnet)."""
    f = [{"name": n, "properties": {"publicIPAddress": {"id": N + "publicIPAddresses/" + x}} if isinstance(x, str) else {"subnet": {"id": f"{VNET}{x[0]}/subnets/{x[1]}"}, **(x[2] if len(x) > 2 else {})}} for n, x in fronts.items()]
    return {"location": "w", "sku": {"name": "Standard"}, "properties": {"frontendIPConfigurations": f, "backendAddressPools": list(pools), "loadBalancingRules": list(rules), "probes": list(probes), **more}}


def up(lb, name):
    return (call("POST", f"{LB}{lb}/loadBalancingRules/{name}/health")[1] or {}).get("up")


def profile(name="p", image="one"):
    s, doc, _ = call("PUT", CI + "containerGroupProfiles/" + name, {"location": "w", "properties": {"osType": "Linux", "sku": "Standard", "ipAddress": {"type": "Private", "ports": [{"port": 80}]}, "containers": [
        {"name": "web", "properties": {"image": image, "ports": [{"port": 80}], "resources": {"requests": {"cpu": 1, "memoryInGB": 1}}}}]}})
    return doc["properties"]["revision"] if s in (200, 201) else doc


def ngroup(count, revision=None, lb="lb", pool="b", vnet="v", sub="s", prof="p", rolling=None, **elastic):
    stub = {"resource": {"id": CI + "containerGroupProfiles/" + prof}, "containerGroupProperties": {"subnetIds": [{"id": f"{VNET}{vnet}/subnets/{sub}"}]},
            "networkProfile": {"loadBalancer": {"backendAddressPools": [{"resource": ref(lb, "backendAddressPools", pool)["id"]}]}}}
    if revision:
        stub["revision"] = revision
    p = {"elasticProfile": {"desiredCount": count, "maintainDesiredCount": True, **elastic}, "containerGroupProfiles": [stub]}
    if rolling is not None:
        p["updateProfile"] = {"updateMode": "Rolling", "rollingUpdateProfile": {"pauseTimeBetweenBatches": "PT1S", **rolling}}
    return {"location": "w", "properties": p}


def members(name="n"):
    return [g for g in everything(CI + "containerGroups") if g["properties"].get("orchestratorId", "").lower().endswith("/" + name.lower())]


def placed(what, node):
    """Makes it while no other node takes groups; the node by its name."""
    others = [n["name"] for n in call("GET", "/netd/nodes")[1]["value"] if n["name"] != node]
    for n in others:
        call("POST", f"/netd/nodes/{n}/cordon")
    r = what()
    for n in others:
        call("POST", f"/netd/nodes/{n}/uncordon")
    return r


def load(address, port, seconds, new, kept, downloads, flows):
    """Starts clients; .result() waits and gives what they counted."""
    p = subprocess.Popen([TRAFFIC, "load", address, *map(str, (port, seconds, new, kept, downloads, flows))], stdout=subprocess.PIPE, text=True)
    p.result = lambda: json.loads(p.communicate()[0])
    return p
