"""The same cluster by Docker and kind, for machines that have both."""

from __future__ import annotations

import shutil

from . import recipes
from .commands import output, succeeds, watched
from .paths import REPOSITORY, Paths
from .progress import Progress
from .recipes import Recipe

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
    built = {recipe.name: build(paths, recipe, progress) for recipe in recipes.RECIPES}
    for name in built.values():
        with progress.step(f"Load {name}"):
            output(["kind", "load", "docker-image", name, f"--name={NAME}"], timeout_seconds=600)
    return built


def build(paths: Paths, recipe: Recipe, progress: Progress) -> str:
    """Build the image with Docker, which keeps its own cache of layers; returns the image's name."""
    name = recipes.tag(recipe)
    log = paths.cache / f"{recipe.name}.docker.log"
    options = [f"--file={REPOSITORY / recipe.dockerfile}", f"--tag={name}"]
    with progress.step(f"Build {name}"):
        watched(
            ["docker", "build", *options, str(REPOSITORY)],
            log=log,
            progress=progress,
            name=f"building {name}",
        )
    return name


def down(progress: Progress) -> None:
    if exists():
        with progress.step("Delete the kind cluster"):
            output(["kind", "delete", "cluster", f"--name={NAME}"], timeout_seconds=300)
