#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What virtual-kubelet's ACI provider sends and reads, for a node in a virtual network and for one without: pods as container
groups, with injected containers, DNS, zones and extensions; status polling; logs; exec; deletion."""
import base64, ssl
from plane import *

AT, _ = peers("python3-websocket")
sys.path.append(AT + "/usr/lib/python3/dist-packages")
import websocket

inside_with_box("httpd", "cat", "nslookup", "wget")

t = Tap()
ok = t.ok
API, TOKEN = os.environ["NETD_API"], os.environ["NETD_TOKEN"]
TLS = ssl.create_default_context(cafile=os.environ["NETD_CA"])
NODE = {"ClusterName": "kubernetes.docker.internal", "NodeName": "virtual-node-aci-linux"}


def arm(method, path, body=None):
    """As the provider's client: HTTPS with a bearer token."""
    c = http.client.HTTPSConnection(API[8:], context=TLS, timeout=10)
    c.request(method, path + ("&" if "?" in path else "?") + "api-version=2023-05-01", json.dumps(body) if body is not None else None, {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"})
    r = c.getresponse()
    text = r.read()
    return r.status, json.loads(text) if text else None


def pod(namespace, name, containers, **props):
    """A pod as CreatePod turns it into a container group."""
    return {"location": "westeurope", "tags": {**NODE, "PodName": name, "Namespace": namespace, "UID": "8fd19a8d-1c5e-4d2b-9d43-aaaaaaaaaaaa", "CreationTimestamp": "2026-11-25 10:00:00 +0000 UTC"},
            "properties": {"osType": "Linux", "restartPolicy": "Always", "imageRegistryCredentials": [], "volumes": [], "containers": containers, **props}}


def container(name, command, ports=(), **more):
    return {"name": name, "properties": {"image": "box", "command": command, "ports": [{"port": p, "protocol": "TCP"} for p in ports], "environmentVariables": [
        {"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"}, {"name": "PASSWORD", "secureValue": "hidden"}],
        "resources": {"requests": {"cpu": 0.1, "memoryInGB": 0.1}, "limits": {"cpu": 0.5, "memoryInGB": 0.2}}, "volumeMounts": [], **more}}


def validated(g):
    """What the provider insists on before it believes a container group (validation.ValidateContainerGroup); what is missing."""
    p = g.get("properties", {})
    missing = [k for k in ("id", "name", "type", "location") if not g.get(k)] + [k for k in ("osType", "provisioningState", "containers", "instanceView", "ipAddress") if p.get(k) is None]
    if p.get("provisioningState") == "Succeeded" and not (p.get("ipAddress") or {}).get("ip"):
        missing.append("ipAddress.ip")
    if not (p.get("instanceView") or {}).get("state"):
        missing.append("instanceView.state")
    for c in p.get("containers", []):
        v = c["properties"].get("instanceView") or {}
        missing += [f"{c['name']}.{k}" for k in ("image", "resources", "instanceView") if c["properties"].get(k) is None]
        missing += [f"{c['name']}.instanceView.{k}" for k in ("restartCount", "currentState", "events") if v.get(k) is None]
        if (v.get("currentState") or {}).get("state") == "Running" and not v["currentState"].get("startTime"):
            missing.append(c["name"] + ".startTime")
    return missing


arm("PUT", RG, {"location": "westeurope"})
s, _ = arm("PUT", VNET + "aks", {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.240.0.0/12"]}, "subnets": [
    {"name": "virtual-node", "properties": {"addressPrefix": "10.241.0.0/16", "delegations": [{"name": "aciDelegation", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}]}})
SUBNET = VNET + "aks/subnets/virtual-node"
ok(s in (200, 201), "the cluster's network, with a delegated subnet")

# ---- the node starts: what the region has
s, doc = arm("GET", f"/subscriptions/{SUB}/providers/Microsoft.ContainerInstance/locations/westeurope/capabilities")
ok(s == 200 and any(c["osType"] == "Linux" and c["capabilities"]["maxCpu"] > 0 for c in doc["value"]), "capabilities of the region", (s, doc))
s, doc = arm("GET", f"/subscriptions/{SUB}/providers/Microsoft.ContainerInstance/locations/westeurope/usages")
ok(s == 200 and {u["name"]["value"] for u in doc["value"]} == {"ContainerGroups", "StandardCores"}, "usages", doc)
ok(arm("GET", f"/subscriptions/{SUB}/providers/Microsoft.ContainerInstance/locations/westeurope/cachedImages") == (200, {"value": []}), "cachedImages")
s, doc = arm("GET", SUBNET)
ok(s == 200 and doc["properties"]["delegations"][0]["properties"]["serviceName"] == "Microsoft.ContainerInstance/containerGroups", "the provider reads the subnet and finds it delegated", doc)

# ---- a pod in the virtual network, with what virtual nodes inject
web = pod("default", "web", [
    container("web", ["/bin/sh", "-c", "echo serving; echo hello >/index.html; exec /bin/httpd -f -p 80 -h /"], [80],
              livenessProbe={"httpGet": {"path": "/", "port": 80, "scheme": "http"}, "periodSeconds": 10},
              readinessProbe={"httpGet": {"path": "/", "port": 80, "scheme": "http"}, "periodSeconds": 1, "failureThreshold": 1}),
    container("kube-proxy", ["/bin/sleep", "100000"]), container("coredns", ["/bin/sleep", "100000"])],
    subnetIds=[{"id": SUBNET}], dnsConfig={"nameServers": ["168.63.129.16"], "searchDomains": "default.svc.cluster.local svc.cluster.local cluster.local", "options": "ndots:5"},
    extensions=[{"name": "kube-proxy", "properties": {"extensionType": "kube-proxy", "version": "1.0", "settings": {"clusterCidr": "10.240.0.0/16", "kubeVersion": "v1.29.0"},
                                                      "protectedSettings": {"kubeConfig": base64.b64encode(b"kind: Config").decode()}}},
                {"name": "vk-realtime-metrics", "properties": {"extensionType": "realtime-metrics", "version": "1.0", "settings": {}, "protectedSettings": {}}}],
    diagnostics={"logAnalytics": {"workspaceId": "w", "workspaceKey": "k", "logType": "ContainerInsights"}}, sku="Standard")
web["zones"] = ["1"]
G = CG + "default-web"
s, doc = arm("PUT", G, web)
ok(s == 201, "CreatePod", (s, doc))
first = arm("GET", G)[1]
ok(not validated(first), "a pod that was just made can be read", validated(first))
ok(wait(lambda: state(G) == "Succeeded", 30), "it runs", state(G))
ok(wait(lambda: arm("GET", G)[1]["properties"]["containers"][0]["properties"]["instanceView"]["currentState"]["state"] == "Running"), "its containers' states are told")
s, doc = arm("GET", G)
p = doc["properties"]
ok(not validated(doc), "what the provider insists on is there", validated(doc))
ok(p["ipAddress"]["type"] == "Private" and p["ipAddress"]["ip"].startswith("10.241.0."), "PodIP: an address of the subnet", p["ipAddress"])
ok(doc["zones"] == ["1"] and doc["tags"]["PodName"] == "web" and [e["name"] for e in p["extensions"]] == ["kube-proxy", "vk-realtime-metrics"] and base64.b64encode(b"kind: Config").decode() not in json.dumps(p),
   "zones, tags and extensions are kept; what is protected is not told", (doc.get("zones"), p["extensions"]))
ok("hidden" not in json.dumps(doc) and "workspaceKey" not in json.dumps(doc), "no secret is told", doc)
s, again = arm("PUT", G, doc)
ok(s == 200, "what was read can be put", again)
wait(lambda: state(G) == "Succeeded", 30)
names = [g["name"] for g in arm("GET", CG[:-1])[1]["value"] if g["tags"].get("NodeName") == NODE["NodeName"]]
ok(names == ["default-web"], "GetPods: by the node's tag", names)

# ---- the client asks for logs, as `kubectl logs --tail`
s, doc = arm("GET", G + "/containers/web/logs?tail=10")
ok(s == 200 and "serving" in doc["content"], "kubectl logs", doc)


# ---- kubectl exec: the words joined, a terminal of 60 to 120, the password, then bytes
def kubectl_exec(words, send=b""):
    s, doc = arm("POST", G + "/containers/web/exec", {"command": " ".join(words), "terminalSize": {"rows": 60, "cols": 120}})
    assert s == 200, doc
    w = websocket.create_connection(doc["webSocketUri"], sslopt={"ca_certs": os.environ["NETD_CA"]}, timeout=10)
    w.send(doc["password"])
    if send:
        w.send_binary(send)
    got = b""
    while True:
        op, data = w.recv_data()
        if op == websocket.ABNF.OPCODE_CLOSE:
            return got
        got += data


got = kubectl_exec(["cat", "/etc/resolv.conf"])
ok(b"nameserver 168.63.129.16" in got and b"search default.svc.cluster.local svc.cluster.local cluster.local" in got and b"ndots:5" in got, "kubectl exec; dnsConfig is in resolv.conf", got)
got = kubectl_exec(["sh"], b"echo $((6*7)); exit\n")
ok(b"42" in got, "kubectl exec -it sh", got)

# ---- pods see each other
s, doc = arm("PUT", CG + "default-client", pod("default", "client", [container("c", ["/bin/sleep", "100000"])], subnetIds=[{"id": SUBNET}]))
ok(s == 201 and wait(lambda: state(CG + "default-client") == "Succeeded", 30), "a pod without ports", (s, doc))
ok(not validated(arm("GET", CG + "default-client")[1]), "it has an address all the same", validated(arm("GET", CG + "default-client")[1]))
s, doc = arm("PUT", CG + "default-client", arm("GET", CG + "default-client")[1])
ok(s == 200, "and can be put as it was read", doc)
ip = arm("GET", G)[1]["properties"]["ipAddress"]["ip"]
wait(lambda: state(CG + "default-client") == "Succeeded", 30)
G = CG + "default-client"
names = lambda words: kubectl_exec(words) if arm("POST", G + "/containers/c/exec", {"command": "x"})[0] else b""
s, doc = arm("POST", G + "/containers/c/exec", {"command": f"wget -q -O - http://{ip}/index.html", "terminalSize": {"rows": 60, "cols": 120}})
w = websocket.create_connection(doc["webSocketUri"], sslopt={"ca_certs": os.environ["NETD_CA"]}, timeout=10)
w.send(doc["password"])
ok(b"hello" in w.recv_data()[1], "one pod reaches another")
w.close()
G = CG + "default-web"

# ---- a node without a virtual network: a public address when the pod has ports
s, doc = arm("PUT", CG + "default-public", pod("default", "public", [container("web", ["/bin/sh", "-c", "echo hi >/index.html; exec /bin/httpd -f -p 8080 -h /"], [8080])],
                                               ipAddress={"ports": [{"port": 8080, "protocol": "TCP"}], "type": "Public", "dnsNameLabel": "default-public"}))
ok(s == 201 and wait(lambda: state(CG + "default-public") == "Succeeded", 30), "a pod with a public address and a label", (s, doc))
p = arm("GET", CG + "default-public")[1]["properties"]
ok(p["ipAddress"]["fqdn"] == "default-public.westeurope.azurecontainer.io" and wait(lambda: page(p["ipAddress"]["ip"], 8080) == "hi\n"), "is reached", p["ipAddress"])

# ---- a container that ends is restarted, and says so; one that fails is told
s, doc = arm("PUT", CG + "default-crash", pod("default", "crash", [container("c", ["/bin/sh", "-c", "sleep 0.3; exit 3"])], subnetIds=[{"id": SUBNET}]))
view = lambda: arm("GET", CG + "default-crash")[1]["properties"]["containers"][0]["properties"]["instanceView"]
ok(s == 201 and wait(lambda: view()["restartCount"] > 0, 30), "restarts are counted", view())
s, doc = arm("PUT", CG + "default-job", {**pod("default", "job", [container("c", ["/bin/sh", "-c", "exit 3"])], subnetIds=[{"id": SUBNET}]), })
refused = pod("default", "bad", [container("c", ["x"])], subnetIds=[{"id": VNET + "aks/subnets/none"}])
s, doc = arm("PUT", CG + "default-bad", refused)
ok(s == 400 and doc["error"].get("message"), "a subnet that is not there: the pod's event says why", doc)

# ---- DeletePod
for n in ("default-web", "default-client", "default-public", "default-crash", "default-job"):
    s, _ = arm("DELETE", CG + n)
    ok(s in (200, 202, 204), f"DeletePod {n}", s)
ok(wait(lambda: arm("GET", CG[:-1])[1]["value"] == [], 45), "and they are gone")
ok(arm("GET", CG + "default-web")[0] == 404, "a pod that is gone: 404")
retry("DELETE", RG)
wait(lambda: call("GET", RG)[0] == 404, 30)
t.end()
