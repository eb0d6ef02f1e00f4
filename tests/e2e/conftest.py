"""A real cluster with the chart installed. Everything of a run lives in namespaces that the run itself makes."""

import json
import os
from collections.abc import Iterator
from math import isnan

import pytest

from forefill_lab import cluster as clusters
from forefill_lab.cluster.kube import Kube
from forefill_lab.cluster.kubectl import Object


class Cluster(Kube):
    """kubectl and helm against the cluster of this run."""

    def patch(self, namespace: str, policy: str, spec: Object) -> None:
        change = json.dumps({"spec": spec})
        self.kubectl("patch", "-n", namespace, "tokenpolicy", policy, "--type=merge", "-p", change)

    def metric(self, namespace: str, pod: str, port: int, name: str) -> float:
        """What is not there yet counts as 0."""
        value = super().metric(namespace, pod, port, name)
        return 0.0 if isnan(value) else value

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
    bare.uninstall()
    return dry_run(bare, "default")


@pytest.fixture(scope="session")
def cluster(bare: Cluster, plain_pod: Object) -> Iterator[Cluster]:
    """The cluster with the chart installed from this checkout and the images built from it."""
    bare.install()
    yield bare
    bare.uninstall()


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
