"""kubectl and helm against the test cluster, and the chart on it with the images of this checkout."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from forefill_lab import cluster as clusters

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "forefill"
RELEASE, SYSTEM = "forefill", "forefill-system"
HEALTH_PORT = 17020
Object = dict[str, Any]


class Failed(Exception):
    """A command ended badly, or a condition did not come about; the sentence says which."""


class Kube:
    def __init__(self, cluster: clusters.Cluster) -> None:
        self.cluster = cluster

    def kubectl(self, *words: str, text: str = "", check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self._run(str(self.cluster.kubectl), *words, text=text, check=check)

    def helm(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self._run(str(self.cluster.helm), *words, check=check)

    def _run(self, *command: str, text: str = "", check: bool = True) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}
        done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, timeout=300)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        return done

    def get(self, *what: str) -> Object:
        found: Object = json.loads(self.kubectl("get", *what, "-o", "json").stdout)
        return found

    def apply(self, *manifests: Object) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", text=json.dumps(items))

    def pods(self, namespace: str, selector: str) -> list[Object]:
        """Those that are not ending."""
        found: list[Object] = self.get("pods", "-n", namespace, "-l", selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def metric(self, namespace: str, pod: str, port: int, name: str) -> float:
        """One sample of a pod's page, read through the API server; NaN where it is not there."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics"
        page = self.kubectl("get", "--raw", path, check=False).stdout
        values = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(f"{name} ")]
        return float(values[0]) if values else float("nan")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60.0, pause: float = 0.3) -> float:
        """Seconds until the condition held. Raises Failed."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > seconds:
                raise Failed(f"not within {seconds:.0f} s: {what}")
            time.sleep(pause)
        return time.monotonic() - begun

    def values(self) -> list[str]:
        """The images of this checkout as values of the chart."""
        words = []
        for name, image in (("operator", self.cluster.operator_image), ("sidecar", self.cluster.sidecar_image)):
            repository, _, tag = image.rpartition(":")
            words.append(f"--set-string=image.{name}.repository={repository},image.{name}.tag={tag}")
        return words

    def install(self, chart: Path = CHART, values: Sequence[str] | None = None) -> None:
        """Install or upgrade, with the images of this checkout unless `values` say otherwise."""
        words = ["upgrade", "--install", RELEASE, str(chart), "-n", SYSTEM, "--create-namespace"]
        self.helm(*words, "--wait", "--timeout=180s", *(self.values() if values is None else values))

    def uninstall(self) -> None:
        self.helm("uninstall", RELEASE, "-n", SYSTEM, "--ignore-not-found", "--wait")


def connect() -> Kube:
    """The cluster that runs, or a new one."""
    return Kube(clusters.ensure())
