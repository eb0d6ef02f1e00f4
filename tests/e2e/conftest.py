"""A real cluster with the chart installed. Everything of a run lives in namespaces that the run itself makes."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forefill_lab import cluster as clusters

RELEASE = "forefill"
SYSTEM = "forefill-system"
CHART = Path(__file__).parents[2] / "charts" / "forefill"
Object = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """kubectl and helm against the cluster of this run."""

    access: clusters.Cluster

    def kubectl(self, *arguments: str, text: str = "", check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self._run(str(self.access.kubectl), *arguments, text=text, check=check)

    def helm(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self._run(str(self.access.helm), *arguments, check=check)

    def _run(self, *command: str, text: str = "", check: bool = True) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "KUBECONFIG": str(self.access.kubeconfig)}
        done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, timeout=180)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        return done

    def get(self, *what: str) -> Object:
        found: Object = json.loads(self.kubectl("get", *what, "-o", "json").stdout)
        return found

    def apply(self, *manifests: Object) -> None:
        document = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", text=json.dumps(document))

    def patch(self, namespace: str, policy: str, spec: Object) -> None:
        change = json.dumps({"spec": spec})
        self.kubectl("patch", "-n", namespace, "tokenpolicy", policy, "--type=merge", "-p", change)

    def until(self, condition: Callable[[], bool], seconds: float = 60.0, what: str = "") -> float:
        """Seconds until the condition held."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < seconds, f"not within {seconds} s: {what or condition.__name__}"
            time.sleep(0.2)
        return time.monotonic() - begun

    def pods(self, namespace: str, selector: str) -> list[Object]:
        found: list[Object] = self.get("pods", "-n", namespace, "-l", selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def metric(self, namespace: str, pod: str, port: int, name: str) -> float:
        """One sample of a pod's metrics page, read through the API server; 0 where it is not there."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics"
        page = self.kubectl("get", "--raw", path, check=False).stdout
        values = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(f"{name} ")]
        return float(values[0]) if values else 0.0

    def condition(self, namespace: str, policy: str, kind: str) -> Object:
        conditions = self.get("tokenpolicy", "-n", namespace, policy).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {"status": "", "reason": "", "message": ""})


@pytest.fixture(scope="session")
def bare() -> Iterator[Cluster]:
    """The cluster before anything of ours is in it. One that this run started ends with the run."""
    missing = clusters.available()
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must run the cluster's tests: {missing}")
    if missing:
        pytest.skip(missing)
    ran_before = clusters.existing() is not None
    yield Cluster(clusters.ensure())
    if not ran_before:
        clusters.end(clusters.Progress())


@pytest.fixture(scope="session")
def plain_pod(bare: Cluster) -> Object:
    """A pod without annotation as the API server would store it where Forefill is not installed."""
    bare.helm("uninstall", RELEASE, "-n", SYSTEM, "--ignore-not-found", "--wait")
    return dry_run(bare, "default")


@pytest.fixture(scope="session")
def cluster(bare: Cluster, plain_pod: Object) -> Iterator[Cluster]:
    """The cluster with the chart installed from this checkout and the images built from it."""
    install(bare)
    yield bare
    bare.helm("uninstall", RELEASE, "-n", SYSTEM, "--ignore-not-found", "--wait")


def install(cluster: Cluster) -> None:
    values = []
    for name, image in (("operator", cluster.access.operator_image), ("sidecar", cluster.access.sidecar_image)):
        repository, _, tag = image.rpartition(":")
        values.append(f"--set-string=image.{name}.repository={repository},image.{name}.tag={tag}")
    cluster.helm(
        "upgrade",
        "--install",
        RELEASE,
        str(CHART),
        "-n",
        SYSTEM,
        "--create-namespace",
        "--wait",
        "--timeout=120s",
        *values,
    )


def dry_run(cluster: Cluster, namespace: str) -> Object:
    """What the API server makes of a pod that asks for nothing, less what differs from call to call."""
    done = cluster.kubectl(
        "run", "plain", "-n", namespace, "--image=example.org/app:1", "--dry-run=server", "-o", "json"
    )
    pod: Object = json.loads(done.stdout)
    for volume in pod["spec"].get("volumes", []):
        suffix = volume["name"]
        pod = json.loads(json.dumps(pod).replace(suffix, "kube-api-access"))
    for changing in ("uid", "creationTimestamp", "managedFields"):
        pod["metadata"].pop(changing, None)
    return pod
