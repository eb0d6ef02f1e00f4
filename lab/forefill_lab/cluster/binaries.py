"""Builds Kubernetes, etcd, helm, CoreDNS and pause from Go modules, once a version.

k8s.io/kubernetes is not made to be required by another module: its own go.mod replaces the
k8s.io libraries by folders that the module does not carry. The module generated here replaces
them by their released twins, so that one `go build` yields all components.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import versions
from .commands import ClusterError, output, watched
from .progress import Progress

SOURCES = Path(__file__).parent
COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-trimpath -buildvcs=false"}
STRIP = "-s -w"
BUILD_BYTES = 10 << 30
"""Modules and the compiler's own cache of a first build, 8 GB, and what comes of it."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """Folder with every program under its own name, and the pause program apart."""

    folder: Path
    pause: Path

    def __getitem__(self, name: str) -> Path:
        return self.folder / name


@dataclass(frozen=True, slots=True)
class Program:
    """One Go program: its name, what its build depends on, and how to build it at a path."""

    name: str
    key: str
    build: Callable[[Path, Path, Progress], None]


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def version_flags(kubernetes_version: str) -> str:
    """Linker flags by which the components know their own version, for instance v1.36.4."""
    major, minor, _ = kubernetes_version.removeprefix("v").split(".", 2)
    package = "k8s.io/component-base/version"
    values = {"gitVersion": kubernetes_version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join([STRIP, *(f"-X {package}.{name}={value}" for name, value in values.items())])


def kubernetes_go_mod(upstream: Mapping[str, Any], kubernetes: str, staging: str) -> str:
    """The go.mod of the multi-call binary, from `go mod edit -json` of k8s.io/kubernetes's own go.mod."""
    replaced = sorted(
        entry["Old"]["Path"] for entry in upstream["Replace"] or [] if entry["New"]["Path"].startswith("./staging/src/")
    )
    lines = [
        "module forefill.io/kubernetes",
        f"go {upstream['Go']}",
        *(f"godebug {entry['Key']}={entry['Value']}" for entry in upstream.get("Godebug") or []),
        f"require k8s.io/kubernetes {kubernetes}",
        *(f"replace {path} => {path} {staging}" for path in replaced),
    ]
    return "\n".join(lines) + "\n"


def compiled(log: str) -> str:
    """Words for the heartbeat from the log of `go build -v`: one line a package."""
    return f"{len(log.splitlines())} packages compiled"


def go(command: Sequence[str], folder: Path, log: Path, progress: Progress, name: str, **extra: str) -> None:
    watched(
        ["go", *command],
        log=log,
        progress=progress,
        name=name,
        env={**GO_ENVIRONMENT, **extra},
        cwd=folder,
        describe=compiled,
    )


def build_kubernetes(target: Path, log: Path, progress: Progress) -> None:
    folder = target.parent / "module"
    folder.mkdir(exist_ok=True)
    module = f"k8s.io/kubernetes@{versions.KUBERNETES}"
    download = json.loads(output(["go", "mod", "download", "-json", module], cwd=folder, timeout_seconds=600))
    upstream = json.loads(output(["go", "mod", "edit", "-json", download["GoMod"]], cwd=folder))
    (folder / "go.mod").write_text(kubernetes_go_mod(upstream, versions.KUBERNETES, versions.KUBERNETES_STAGING))
    shutil.copy(SOURCES / "kubernetes" / "main.go", folder / "main.go")
    go(["mod", "tidy"], folder, log.with_suffix(".tidy.log"), progress, "resolving the modules of Kubernetes")
    check_etcd(folder)
    flags = version_flags(versions.KUBERNETES)
    go(
        ["build", "-v", "-ldflags", flags, "-o", str(target), "."],
        folder,
        log,
        progress,
        "building Kubernetes and etcd",
    )


def check_etcd(folder: Path) -> None:
    got = output(
        ["go", "list", "-m", "-f", "{{.Version}}", "go.etcd.io/etcd/server/v3"],
        cwd=folder,
        env=GO_ENVIRONMENT,
    )
    if got.strip() != versions.ETCD:
        raise ClusterError(
            f"versions.ETCD is {versions.ETCD}, but Kubernetes {versions.KUBERNETES} requires {got.strip()}."
        )


def install(package: str, flags: str) -> Callable[[Path, Path, Progress], None]:
    """A build step that `go install`s `package` (path@version) and leaves its program at the target path."""

    def build(target: Path, log: Path, progress: Progress) -> None:
        command = ["install", "-v", "-ldflags", flags, package]
        go(command, target.parent, log, progress, f"building {target.name}", GOBIN=str(target.parent))

    return build


def build_pause(target: Path, log: Path, progress: Progress) -> None:
    source = str(SOURCES / "pause" / "main.go")
    go(
        ["build", "-v", "-ldflags", STRIP, "-o", str(target), source],
        target.parent,
        log,
        progress,
        "building pause",
    )


def programs() -> tuple[Program, ...]:
    source = (SOURCES / "kubernetes" / "main.go").read_text()
    pause = (SOURCES / "pause" / "main.go").read_text()
    flags = version_flags(versions.KUBERNETES)
    helm_version = "helm.sh/helm/v4/internal/version.version"
    return (
        Program(
            "kubernetes",
            f"{versions.KUBERNETES}-{digest(source, versions.KUBERNETES_STAGING, flags)}",
            build_kubernetes,
        ),
        Program(
            "helm",
            versions.HELM,
            install(f"helm.sh/helm/v4/cmd/helm@{versions.HELM}", f"{STRIP} -X {helm_version}={versions.HELM}"),
        ),
        Program("coredns", versions.COREDNS, install(f"github.com/coredns/coredns@{versions.COREDNS}", STRIP)),
        Program("pause", f"{versions.PAUSE}-{digest(pause)}", build_pause),
    )


def ensure_program(program: Program, cache: Path, progress: Progress) -> Path:
    """Path of the program, built first when the cache lacks this version."""
    target = finished(program, cache)
    if not target.exists():
        building = target.parent / "building"
        building.mkdir(parents=True, exist_ok=True)
        with progress.step(f"Build {program.name} {program.key}"):
            program.build(building / program.name, target.parent / "build.log", progress)
        os.replace(building / program.name, target)
        shutil.rmtree(building)
    return target


def finished(program: Program, cache: Path) -> Path:
    return cache / "binaries" / f"{program.name}-{program.key}" / program.name


def check_space(cache: Path) -> None:
    """Raises `ClusterError` when there is something to build and no room for it."""
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if free < BUILD_BYTES and not all(finished(program, cache).exists() for program in programs()):
        raise ClusterError(f"{cache} has {free >> 30} GiB free; building the cluster takes {BUILD_BYTES >> 30} GiB.")


def ensure(cache: Path, progress: Progress) -> Binaries:
    """Build what the cache lacks and lay one folder of links, named by the versions it holds."""
    if shutil.which("go") is None:
        raise ClusterError("go (1.26 or newer) is not installed; it builds Kubernetes, helm and CoreDNS.")
    check_space(cache)
    paths = {program.name: ensure_program(program, cache, progress) for program in programs()}
    folder = cache / "binaries" / f"bin-{digest(*(str(path) for path in paths.values()))}"
    folder.mkdir(parents=True, exist_ok=True)
    names = {name: paths["kubernetes"] for name in COMPONENTS} | {name: paths[name] for name in ("helm", "coredns")}
    for name, path in names.items():
        link = folder / name
        if not link.is_symlink() or link.readlink() != path:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    return Binaries(folder=folder, pause=paths["pause"])
