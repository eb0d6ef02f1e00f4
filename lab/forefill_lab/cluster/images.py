"""Builds the project's images without a registry and puts them where the node finds them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import versions
from .commands import ClusterError, output, succeeds, watched
from .paths import REPOSITORY, Paths
from .progress import Progress
from .recipes import BASE_EXCLUDES, DEPENDENCY_STAGE, Recipe, base_key, content_key, dependencies, tag


@dataclass(frozen=True, slots=True)
class Image:
    """An image by the name that pods use, and the archive that holds it."""

    name: str
    archive: Path


def buildah(paths: Paths, *arguments: str) -> list[str]:
    storage = [
        f"--root={paths.cache}/buildah/storage",
        f"--runroot={paths.cache}/buildah/run",
        "--storage-driver=vfs",
    ]
    return ["buildah", *storage, *arguments]


def mounts(environ: dict[str, str], home: Path) -> list[str]:
    """Volumes that let `RUN pip install` reach what the machine reaches; only what exists is mounted."""
    configurations = [
        Path(environ.get("PIP_CONFIG_FILE") or "/nonexistent"),
        home / ".config/pip/pip.conf",
        home / ".pip/pip.conf",
        Path("/etc/pip.conf"),
    ]
    found = [(path, "/etc/pip.conf") for path in configurations if path.is_file()][:1]
    found += [
        (Path(path), path) for path in ("/etc/ssl/certs", "/etc/resolv.conf", "/etc/hosts") if Path(path).exists()
    ]
    return [f"--volume={source}:{target}:ro" for source, target in found]


def ensure_base(paths: Paths, progress: Progress) -> None:
    """Make the tag that the Dockerfiles start from out of Debian packages."""
    labelled = f"{versions.BASE_IMAGE}-{base_key()}"
    if succeeds(buildah(paths, "inspect", "--type=image", labelled)):
        return
    rootfs = paths.cache / "images" / f"base-{base_key()}.tar"
    rootfs.parent.mkdir(parents=True, exist_ok=True)
    with progress.step(f"Make the base image {versions.BASE_IMAGE}"):
        command = [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(versions.BASE_PACKAGES)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in BASE_EXCLUDES),
            versions.BASE_SUITE,
            str(rootfs),
        ]
        log = paths.cache / "images" / "base.log"
        watched(command, log=log, progress=progress, name="installing Debian packages into the base image")
        commit(paths, rootfs, "/", [versions.BASE_IMAGE, labelled], ["--cmd=/bin/sh"])
        rootfs.unlink()


def commit(paths: Paths, source: Path, target: str, tags: Sequence[str], config: Sequence[str]) -> None:
    """An image of one layer: `source` (a tar is unpacked) at `target`."""
    container = output(buildah(paths, "from", "scratch")).strip()
    try:
        output(buildah(paths, "add", container, str(source), target), timeout_seconds=600)
        output(buildah(paths, "config", *config, container))
        output(buildah(paths, "commit", "--quiet", container, tags[0]), timeout_seconds=600)
        for other in tags[1:]:
            output(buildah(paths, "tag", tags[0], other))
    finally:
        output(buildah(paths, "rm", container))


def ensure_pause(paths: Paths, program: Path) -> Image:
    key = content_key(program.parent, [program.name])
    archive = paths.cache / "images" / f"pause-{key}.tar"
    if not archive.exists():
        commit(
            paths,
            program,
            "/pause",
            [versions.PAUSE_IMAGE],
            ['--entrypoint=["/pause"]', "--user=65535:65535"],
        )
        push(paths, versions.PAUSE_IMAGE, archive)
    return Image(versions.PAUSE_IMAGE, archive)


def push(paths: Paths, name: str, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    writing = archive.with_suffix(".writing")
    writing.unlink(missing_ok=True)
    output(
        buildah(paths, "push", "--quiet", name, f"oci-archive:{writing}:{name}"),
        timeout_seconds=600,
    )
    os.replace(writing, archive)


def ensure_dependencies(paths: Paths, recipe: Recipe, progress: Progress, root: Path) -> str:
    name = dependencies(recipe, root)
    if not succeeds(buildah(paths, "inspect", "--type=image", name)):
        with progress.step(f"Install what {recipe.name} needs"):
            bud(paths, recipe, name, progress, root, [f"--target={DEPENDENCY_STAGE}"])
            forget_others(paths, name)
    return name


def build(paths: Paths, recipe: Recipe, name: str, progress: Progress, root: Path) -> None:
    installed = ensure_dependencies(paths, recipe, progress, root)
    with progress.step(f"Build {name}"):
        bud(paths, recipe, name, progress, root, [f"--build-arg=DEPENDENCIES={installed}"])


def bud(paths: Paths, recipe: Recipe, name: str, progress: Progress, root: Path, more: Sequence[str]) -> None:
    command = buildah(
        paths,
        "bud",
        "--isolation=chroot",
        "--pull-never",
        "--network=host",
        "--format=oci",
        # Of the same sources comes the same image, whenever it is built.
        "--timestamp=0",
        *more,
        f"--build-arg=BASE={versions.BASE_IMAGE}",
        *mounts(dict(os.environ), Path.home()),
        f"--file={root / recipe.dockerfile}",
        f"--tag={name}",
        str(root),
    )
    # What an interrupted build left would stay for good; the storage is this package's alone.
    output(buildah(paths, "rm", "--all"))
    log = paths.cache / "images" / f"{recipe.name}.log"
    watched(command, log=log, progress=progress, name=f"building {name}", describe=last_line)


def last_line(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1].strip()[:80] if lines else ""


def ensure(paths: Paths, recipe: Recipe, progress: Progress, root: Path = REPOSITORY) -> Image:
    """The image of the sources as they are, built when no build of the very same sources is at hand."""
    if not (root / recipe.dockerfile).exists():
        raise ClusterError(
            f"{root / recipe.dockerfile} does not exist: images are built from a checkout of the repository."
        )
    name = tag(recipe, root)
    archive = paths.cache / "images" / f"{recipe.name}-{name.rpartition(':')[2]}.tar"
    if not archive.exists():
        ensure_base(paths, progress)
        build(paths, recipe, name, progress, root)
        push(paths, name, archive)
        forget_older(paths, recipe, name, archive)
    return Image(name, archive)


def forget_older(paths: Paths, recipe: Recipe, name: str, archive: Path) -> None:
    """Of each image the newest build stays: a build takes a few hundred megabytes."""
    for other in archive.parent.glob(f"{recipe.name}-*.tar"):
        if other != archive:
            other.unlink()
    forget_others(paths, name)


def forget_others(paths: Paths, name: str) -> None:
    """Images of the same repository under other tags."""
    repository = name.rpartition(":")[0]
    listed = output(buildah(paths, "images", "--format={{.Name}}:{{.Tag}}")).split()
    outdated = [other for other in listed if other.startswith(f"{repository}:") and other != name]
    if outdated:
        output(buildah(paths, "rmi", *outdated))


def loaded(paths: Paths, recipe: Recipe) -> str:
    """The newest build that the node has; where there is no node of ours (kind), that of the sources as they are."""
    imported = json.loads(paths.imported.read_text()) if paths.imported.exists() else []
    ours = [name for name in imported if name.startswith(f"{versions.IMAGE_PREFIX}/{recipe.name}:")]
    return ours[-1] if ours else tag(recipe)


def import_into_node(paths: Paths, images: Iterable[Image], progress: Progress) -> None:
    """Load into containerd what it does not have under that very name."""
    imported = json.loads(paths.imported.read_text()) if paths.imported.exists() else []
    for image in images:
        if image.name in imported:
            continue
        with progress.step(f"Import {image.name}"):
            command = [
                "ctr",
                f"--address={paths.containerd_socket}",
                "--namespace=k8s.io",
                "images",
                "import",
            ]
            output([*command, str(image.archive)], timeout_seconds=300)
        imported.append(image.name)
        paths.imported.write_text(json.dumps(imported))
