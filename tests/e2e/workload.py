"""Manifests of the pods that the cluster's tests run: an upstream, and an app that calls it without end."""

from typing import Any

Object = dict[str, Any]

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}

UPSTREAM = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"served")
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""

# One line a request: the status, or what failed.
APP = """
import os, time, urllib.request, urllib.error
url, pause = os.environ["LLM_BASE_URL"], 1.0 / float(os.environ["REQUESTS_PER_SECOND"])
due = time.monotonic()
while True:
    try:
        outcome = urllib.request.urlopen(url, timeout=10).status
    except urllib.error.HTTPError as error:
        outcome = error.code
    except OSError as error:
        outcome = error
    print("outcome", outcome, flush=True)
    due = max(due + pause, time.monotonic() - 1.0)
    time.sleep(max(0.0, due - time.monotonic()))
"""


def namespace(name: str) -> Object:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def policy(name: str, namespace: str, **spec: object) -> Object:
    defaults: Object = {
        "mode": "Enforce",
        "upstream": {"url": f"http://upstream.{namespace}.svc:8000"},
        "inject": {"env": [{"name": "LLM_BASE_URL"}]},
        "fillRate": {"base": 60, "min": 20, "max": 100},
        "report": {"intervalSeconds": 2, "leaseSeconds": 8},
    }
    return {
        "apiVersion": "forefill.io/v1alpha1",
        "kind": "TokenPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**defaults, **spec},
    }


def deployment(
    name: str, namespace: str, image: str, script: str, *, inject: bool = False, replicas: int = 1, rate: float = 5.0
) -> Object:
    annotations = {"forefill.io/inject": "true"} if inject else {}
    container = {
        "name": "app",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", script],
        "env": [{"name": "REQUESTS_PER_SECOND", "value": str(rate)}],
        "securityContext": RESTRICTED,
    }
    template = {
        "metadata": {"labels": {"app": name}, "annotations": annotations},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 3},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def service(name: str, namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 8000}]},
    }


def upstream(namespace: str, image: str) -> list[Object]:
    return [deployment("upstream", namespace, image, UPSTREAM), service("upstream", namespace)]
