"""kubectl and helm as a program drives them: objects in, objects out, and a sentence where a command ends badly."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Object = dict[str, Any]

TIMEOUT_SECONDS = 300


class Failed(Exception):
    """A command ended badly, or a condition did not come about; the sentence says which."""


class Kubectl:
    """Both programs against the cluster that `kubeconfig` names. With a `home` nothing of the user's own is read."""

    def __init__(self, kubectl: Path, helm: Path, kubeconfig: Path, home: Path | None = None) -> None:
        self._kubectl, self._helm = kubectl, helm
        self._environment = {"KUBECONFIG": str(kubeconfig)} | ({"HOME": str(home)} if home else {})

    def kubectl(self, *words: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run(str(self._kubectl), *words, text=text, check=check)

    def helm(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run(str(self._helm), *words, check=check)

    def _run(self, *command: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self._environment}
        done = subprocess.run(
            command, input=text, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
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

    def until(self, condition: Callable[[], bool], what: str = "", seconds: float = 60.0, pause: float = 0.2) -> float:
        """Seconds until the condition held. Raises Failed."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > seconds:
                raise Failed(f"not within {seconds:.0f} s: {what or condition.__name__}")
            time.sleep(pause)
        return time.monotonic() - begun
