from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from forefill_lab.cluster import clusters
from forefill_lab.cluster.clusters import Access
from forefill_lab.cluster.commands import ClusterError
from forefill_lab.cluster.paths import Paths

UNREACHABLE = """\
apiVersion: v1
kind: Config
clusters: [{name: gone, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: gone, context: {cluster: gone, user: ""}}]
current-context: gone
"""


@pytest.mark.parametrize("name", ["kubeconfig", "kind_kubeconfig"])
def test_a_kubeconfig_of_our_own_is_not_a_foreign_cluster(name: str, tmp_path: Path) -> None:
    paths = Paths(cache=tmp_path)
    assert clusters.foreign_kubeconfig({"KUBECONFIG": str(getattr(paths, name))}, paths) is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, None), ({"KUBECONFIG": ""}, None), ({"KUBECONFIG": "/home/me/config"}, "/home/me/config")],
)
def test_any_other_kubeconfig_is_a_foreign_cluster(
    environ: dict[str, str], expected: str | None, tmp_path: Path
) -> None:
    assert clusters.foreign_kubeconfig(environ, Paths(cache=tmp_path)) == expected


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH, and nothing else on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def add_tool(folder: Path, name: str, status: int) -> None:
    (folder / name).write_text(f"#!/bin/sh\nexit {status}\n")
    (folder / name).chmod(0o755)


def foreign(tmp_path: Path, **more: str) -> dict[str, str]:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(UNREACHABLE)
    return {"KUBECONFIG": str(kubeconfig), "XDG_CACHE_HOME": str(tmp_path), **more}


IMAGES = {"FOREFILL_OPERATOR_IMAGE": "example.org/operator:1", "FOREFILL_SIDECAR_IMAGE": "example.org/sidecar:1"}


def test_a_foreign_cluster_needs_the_programs_to_drive_it(tools: Path, tmp_path: Path) -> None:
    add_tool(tools, "helm", 0)
    reason = clusters.available(foreign(tmp_path, **IMAGES))
    assert reason == "KUBECONFIG is set, but kubectl cannot be found on PATH."


def test_a_foreign_cluster_needs_images_that_it_can_pull(tools: Path, tmp_path: Path) -> None:
    add_tool(tools, "helm", 0)
    add_tool(tools, "kubectl", 0)
    environ = foreign(tmp_path, FOREFILL_OPERATOR_IMAGE="example.org/operator:1")
    assert clusters.available(environ) == (
        "KUBECONFIG is set, but FOREFILL_SIDECAR_IMAGE names no image that its nodes can pull."
    )


def test_a_foreign_cluster_that_does_not_answer_is_refused_by_name(tools: Path, tmp_path: Path) -> None:
    add_tool(tools, "helm", 0)
    add_tool(tools, "kubectl", 1)
    environ = foreign(tmp_path, **IMAGES)
    sentence = f"KUBECONFIG={environ['KUBECONFIG']} names a cluster that does not answer."
    assert clusters.available(environ) == sentence
    with pytest.raises(ClusterError, match="does not answer"):
        clusters.ensure(environ=environ)


def test_a_foreign_cluster_that_answers_is_used_with_the_named_images(tools: Path, tmp_path: Path) -> None:
    add_tool(tools, "helm", 0)
    add_tool(tools, "kubectl", 0)
    environ = foreign(tmp_path, **IMAGES)
    assert clusters.available(environ) is None
    assert clusters.ensure(environ=environ) == clusters.Cluster(
        kubeconfig=Path(environ["KUBECONFIG"]),
        kubectl=tools / "kubectl",
        helm=tools / "helm",
        operator_image="example.org/operator:1",
        sidecar_image="example.org/sidecar:1",
    )


def test_the_programs_come_first_on_the_path_and_once() -> None:
    access = Access(Path("/c/config"), (Path("/c/bin/kubectl"), Path("/c/bin/helm")))
    expected = {"KUBECONFIG": "/c/config", "PATH": "/c/bin:/usr/bin:/bin"}
    assert access.environment("/usr/bin:/c/bin:/bin") == expected


def test_a_second_harness_waits_for_the_first_even_with_another_cache(tmp_path: Path) -> None:
    first, second = (Paths(cache=tmp_path / name, state=tmp_path / "lib" / "cluster") for name in ("one", "two"))
    first.state.parent.mkdir()
    with clusters.only_one(first):
        folder = os.open(second.state.parent, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)
    with clusters.only_one(second):
        assert second.cache.is_dir()
    assert list(first.state.parent.iterdir()) == []
