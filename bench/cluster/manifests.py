"""Manifests of the pods that are tried on a real node, and of what they need around them."""

import sys
from typing import Any

from forefill_lab.cluster.kubectl import Object
from forefill_lab.cluster.paths import REPOSITORY as ROOT

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import workload  # type: ignore[import-not-found]

STRICT, LOOSE, EAGER, OTHER = "surface", "surface-loose", "surface-eager", "surface-other"
NAMESPACES = (STRICT, LOOSE, EAGER, OTHER)
ASKS = {"forefill.io/inject": "true", "forefill.io/policy": "llm"}
PAUSE = "localhost/forefill/pause:1"

# Calls once and ends with the outcome.
CALL = """
import os, sys, urllib.request
for name in os.environ["VARIABLES"].split(","):
    print(name, os.environ[name], urllib.request.urlopen(os.environ[name], timeout=20).status, flush=True)
"""
# Goes on calling after SIGTERM, as apps do that finish their work.
LAST_WORDS = """
import os, signal, sys, time, urllib.request
def end(*_):
    for number in range(20):
        print("after SIGTERM", urllib.request.urlopen(os.environ["LLM_BASE_URL"], timeout=5).status, flush=True)
        time.sleep(0.1)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    time.sleep(0.2)
"""
IDLE = "import time\nwhile True: time.sleep(1)"


def container(image: str, script: str = IDLE, name: str = "app", **more: Any) -> Object:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", script],
        "securityContext": workload.RESTRICTED,
        **more,
    }


def pod(name: str, spec: Object, annotations: dict[str, str] | None = None, namespace: str = STRICT) -> Object:
    told = ASKS if annotations is None else annotations
    metadata = {"name": name, "namespace": namespace, "labels": {"surface": name}, "annotations": told}
    spec = {"terminationGracePeriodSeconds": 5, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def controlled(kind: str, name: str, spec: Object, **more: Any) -> Object:
    template = {"metadata": {"labels": {"surface": name}, "annotations": ASKS}, "spec": spec}
    body: Object = {"template": template, **more}
    if kind != "Job":
        body["selector"] = {"matchLabels": {"surface": name}}
    version = "batch/v1" if kind == "Job" else "apps/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": STRICT}, "spec": body}
