"""Which cluster there is to test against: that of KUBECONFIG, kind, or one that this machine can start."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import binaries, images, kind, packages, recipes
from . import up as node
from .commands import ClusterError, succeeds
from .down import down as end_node
from .paths import Paths
from .progress import Progress

IMAGE_VARIABLES = {"operator": "FOREFILL_OPERATOR_IMAGE", "sidecar": "FOREFILL_SIDECAR_IMAGE"}
REACH_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Cluster:
    """A reachable cluster, the programs to drive it and the images its nodes can run."""

    kubeconfig: Path
    kubectl: Path
    helm: Path
    operator_image: str
    sidecar_image: str


@dataclass(frozen=True, slots=True)
class Access:
    """What a shell needs so that `kubectl` and `helm` act on a cluster."""

    kubeconfig: Path
    programs: tuple[Path, ...] = ()

    def environment(self, path: str) -> dict[str, str]:
        """Values of KUBECONFIG and of PATH, which is `path` with the programs' folders once, at its head."""
        folders = [*(str(program.parent) for program in self.programs), *path.split(":")]
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": ":".join(dict.fromkeys(folders))}


def foreign_kubeconfig(environ: Mapping[str, str], paths: Paths) -> str | None:
    """KUBECONFIG, unless it is unset or names a cluster that this package made."""
    named = environ.get("KUBECONFIG", "")
    return None if named in ("", str(paths.kubeconfig), str(paths.kind_kubeconfig)) else named


def available(environ: Mapping[str, str] = os.environ) -> str | None:
    """None when `ensure` can give a cluster, otherwise one sentence that says why not."""
    kubeconfig = foreign_kubeconfig(environ, Paths.from_environment(environ))
    if kubeconfig:
        return why_not_foreign(environ, kubeconfig)
    if kind.usable():
        return None
    return packages.obstacle()


def why_not_foreign(environ: Mapping[str, str], kubeconfig: str) -> str | None:
    missing = [name for name in ("kubectl", "helm") if shutil.which(name) is None]
    if missing:
        return f"KUBECONFIG is set, but {' and '.join(missing)} cannot be found on PATH."
    unset = [name for name in IMAGE_VARIABLES.values() if not environ.get(name)]
    if unset:
        verb = "names no image" if len(unset) == 1 else "name no images"
        return f"KUBECONFIG is set, but {' and '.join(unset)} {verb} that its nodes can pull."
    command = [
        "kubectl",
        f"--kubeconfig={kubeconfig}",
        "get",
        "--raw=/readyz",
        f"--request-timeout={REACH_SECONDS}s",
    ]
    if not succeeds(command):
        return f"KUBECONFIG={kubeconfig} names a cluster that does not answer."
    return None


def ensure(progress: Progress | None = None, environ: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster to test against, started when needed; tells stderr what it does; raises `ClusterError`."""
    reporter = progress or Progress()
    paths = Paths.from_environment(environ)
    kubeconfig = foreign_kubeconfig(environ, paths)
    if kubeconfig:
        return foreign(environ, kubeconfig)
    with only_one(paths):
        return with_kind(paths, reporter) if kind.usable() else with_node(paths, reporter)


def foreign(environ: Mapping[str, str], kubeconfig: str) -> Cluster:
    reason = why_not_foreign(environ, kubeconfig)
    if reason:
        raise ClusterError(reason)
    found = {name: environ[variable] for name, variable in IMAGE_VARIABLES.items()}
    return Cluster(Path(kubeconfig), on_path("kubectl"), on_path("helm"), found["operator"], found["sidecar"])


def with_kind(paths: Paths, progress: Progress) -> Cluster:
    found = kind.up(paths, progress)
    programs = {name: tool(name, paths, progress) for name in ("kubectl", "helm")}
    return Cluster(paths.kind_kubeconfig, programs["kubectl"], programs["helm"], found["operator"], found["sidecar"])


def with_node(paths: Paths, progress: Progress) -> Cluster:
    built = node.up(paths, progress)
    folder = paths.state / "bin"
    return Cluster(paths.kubeconfig, folder / "kubectl", folder / "helm", built["operator"].name, built["sidecar"].name)


def existing(environ: Mapping[str, str] = os.environ) -> Access | None:
    """Access to the cluster that runs, without starting, building or loading anything."""
    paths = Paths.from_environment(environ)
    kubeconfig = foreign_kubeconfig(environ, paths)
    if kubeconfig:
        return Access(Path(kubeconfig))
    if kind.usable():
        return Access(paths.kind_kubeconfig) if kind.exists() else None
    if node.running(paths):
        return Access(paths.kubeconfig, (paths.state / "bin" / "kubectl",))
    return None


def tool(name: str, paths: Paths, progress: Progress) -> Path:
    """The program on PATH, or one built here."""
    return on_path(name) if shutil.which(name) else binaries.ensure(paths.cache, progress)[name]


def on_path(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise ClusterError(f"{name} cannot be found on PATH.")
    return Path(found)


def build_images(progress: Progress, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Build both images with what this machine has; returns their names."""
    paths = Paths.from_environment(environ)
    with only_one(paths):
        if kind.usable():
            return [kind.build(paths, recipe, progress) for recipe in recipes.RECIPES]
        node.prepare(progress)
        return [images.ensure(paths, recipe, progress).name for recipe in recipes.RECIPES]


def end(progress: Progress, environ: Mapping[str, str] = os.environ) -> None:
    """Take down whatever cluster this package made on this machine."""
    paths = Paths.from_environment(environ)
    with only_one(paths):
        if kind.usable():
            kind.down(progress)
        if os.geteuid() == 0:
            end_node(paths, progress)


@contextmanager
def only_one(paths: Paths) -> Iterator[None]:
    """Harnesses of one machine wait for each other, whatever cache each uses."""
    paths.cache.mkdir(parents=True, exist_ok=True)
    # A folder can be locked as well as a file, and leaves nothing to remove.
    folder = os.open(paths.state.parent if paths.state.parent.is_dir() else paths.cache, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
