"""What the project's images are made of, and their names: an image's tag is the hash of all that its build reads.

A changed source is another image, which rolls Deployments, and an unchanged one is neither built nor imported again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import versions
from .paths import REPOSITORY

IGNORED = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
DEPENDENCY_INPUTS = ("build-requirements.txt", "docker")
COMMON_INPUTS = (*DEPENDENCY_INPUTS, "pyproject.toml", "README.md", "LICENSE", ".dockerignore", "cli", "protocol")
DEPENDENCY_STAGE = "dependencies"
BASE_EXCLUDES = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One of the project's images: its Dockerfile and all that the build reads, below the repository."""

    name: str
    dockerfile: str
    inputs: tuple[str, ...]


OPERATOR = Recipe("operator", "operator/Dockerfile", (*COMMON_INPUTS, "operator", "crds"))
SIDECAR = Recipe("sidecar", "sidecar/Dockerfile", (*COMMON_INPUTS, "sidecar"))
RECIPES = (OPERATOR, SIDECAR)


def files(root: Path, inputs: Iterable[str]) -> Iterator[Path]:
    for entry in sorted(inputs):
        path = root / entry
        if path.is_file():
            yield path
        for folder, children, names in os.walk(path):
            children[:] = sorted(child for child in children if child not in IGNORED)
            yield from (Path(folder) / name for name in sorted(names))


def content_key(root: Path, inputs: Iterable[str], *extra: str) -> str:
    """Hash of the paths and contents under `root`, independent of times, order and caches."""
    total = hashlib.sha256()
    for path in files(root, inputs):
        total.update(f"{path.relative_to(root)}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    for text in extra:
        total.update(hashlib.sha256(text.encode()).digest())
    return total.hexdigest()[:12]


def tag(recipe: Recipe, root: Path = REPOSITORY) -> str:
    """The full name, for instance localhost/forefill/sidecar:0c1d…"""
    key = content_key(root, recipe.inputs, versions.BASE_IMAGE, base_key())
    return f"{versions.IMAGE_PREFIX}/{recipe.name}:{key}"


def base_key() -> str:
    text = "\0".join((versions.BASE_SUITE, *versions.BASE_PACKAGES, *BASE_EXCLUDES))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def dependencies(recipe: Recipe, root: Path = REPOSITORY) -> str:
    """The name of the image that holds what `recipe` installs of others: it outlives changes of our own sources."""
    inputs = (*DEPENDENCY_INPUTS, recipe.dockerfile, f"{recipe.name}/requirements.txt")
    key = content_key(root, inputs, versions.BASE_IMAGE, base_key())
    return f"{versions.IMAGE_PREFIX}/{recipe.name}-{DEPENDENCY_STAGE}:{key}"
