"""kubectl and helm against the test cluster, and the chart on it with the images of this checkout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import clusters
from .kubectl import Kubectl
from .paths import REPOSITORY

CHART = REPOSITORY / "charts" / "forefill"
RELEASE, SYSTEM = "forefill", "forefill-system"
HEALTH_PORT = 17020


class Kube(Kubectl):
    def __init__(self, cluster: clusters.Cluster) -> None:
        super().__init__(cluster.kubectl, cluster.helm, cluster.kubeconfig)
        self.cluster = cluster

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
