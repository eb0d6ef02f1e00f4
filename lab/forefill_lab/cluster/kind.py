"""The same cluster by Docker and kind, for machines that have both."""

from __future__ import annotations

import shutil

from . import images
from .commands import output, succeeds, watched
from .images import Recipe
from .paths import REPOSITORY, Paths
from .progress import Progress

NAME = "forefill"


def usable() -> bool:
    """True when kind is installed and Docker's daemon answers."""
    return shutil.which("kind") is not None and succeeds(["docker", "info"], timeout_seconds=20)


def exists() -> bool:
    return NAME in output(["kind", "get", "clusters"]).split()


def up(paths: Paths, progress: Progress) -> dict[str, str]:
    """Create the cluster unless it is there, build and load both images; returns their names by recipe."""
    paths.cache.mkdir(parents=True, exist_ok=True)
    if not exists():
        with progress.step("Create the kind cluster"):
            command = ["kind", "create", "cluster", f"--name={NAME}", "--wait=180s"]
            log = paths.cache / "kind.log"
            watched([*command, f"--kubeconfig={paths.kind_kubeconfig}"], log=log, progress=progress, name="kind")
    return {recipe.name: load(paths, recipe, progress) for recipe in images.RECIPES}


def load(paths: Paths, recipe: Recipe, progress: Progress) -> str:
    name = images.tag(recipe)
    log = paths.cache / f"{recipe.name}.docker.log"
    with progress.step(f"Build and load {name}"):
        command = [
            "docker",
            "build",
            f"--file={REPOSITORY / recipe.dockerfile}",
            f"--tag={name}",
            str(REPOSITORY),
        ]
        watched(command, log=log, progress=progress, name=f"building {name}")
        output(["kind", "load", "docker-image", name, f"--name={NAME}"], timeout_seconds=600)
    return name


def down(progress: Progress) -> None:
    if exists():
        with progress.step("Delete the kind cluster"):
            output(["kind", "delete", "cluster", f"--name={NAME}"], timeout_seconds=300)
