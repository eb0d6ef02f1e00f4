from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from forefill_lab.cluster import images, recipes, versions
from forefill_lab.cluster.commands import ClusterError
from forefill_lab.cluster.paths import REPOSITORY, Paths
from forefill_lab.cluster.progress import Progress

INPUTS = ("pyproject.toml", "package")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("x = 1")
    return tmp_path


def test_times_caches_and_files_that_are_no_input_leave_the_key_alone(sources: Path) -> None:
    before = recipes.content_key(sources, INPUTS)
    os.utime(sources / "package" / "module.py", (1, 1))
    (sources / "package" / "__pycache__").mkdir()
    (sources / "package" / "__pycache__" / "module.pyc").write_bytes(b"\0")
    (sources / "unrelated.txt").write_text("x")
    assert recipes.content_key(sources, reversed(INPUTS)) == before


@pytest.mark.parametrize("change", ["edit", "rename", "add"])
def test_changed_sources_have_another_key(sources: Path, change: str) -> None:
    before = recipes.content_key(sources, INPUTS)
    module = sources / "package" / "module.py"
    if change == "edit":
        module.write_text("x = 2")
    elif change == "rename":
        module.rename(module.with_name("other.py"))
    else:
        (sources / "package" / "empty.py").touch()
    assert recipes.content_key(sources, INPUTS) != before


def test_extra_texts_are_part_of_the_key(sources: Path) -> None:
    assert recipes.content_key(sources, INPUTS, "a") != recipes.content_key(sources, INPUTS, "b")


@pytest.mark.parametrize("recipe", recipes.RECIPES, ids=lambda recipe: recipe.name)
def test_the_dockerfile_copies_only_what_the_key_covers(recipe: recipes.Recipe) -> None:
    lines = (REPOSITORY / recipe.dockerfile).read_text().splitlines()
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    covered = {Path(word): {Path(word), *Path(word).parents} for word in copied}
    assert [path for path, above in covered.items() if above.isdisjoint(map(Path, recipe.inputs))] == []
    assert len(copied) > 5


@pytest.mark.parametrize("recipe", recipes.RECIPES, ids=lambda recipe: recipe.name)
def test_what_an_image_needs_of_others_outlives_a_change_of_our_own_code(
    recipe: recipes.Recipe, tmp_path: Path
) -> None:
    for entry in recipe.inputs:
        source = REPOSITORY / entry
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / entry)
    before = recipes.dependencies(recipe, tmp_path), recipes.tag(recipe, tmp_path)
    (tmp_path / "protocol" / "new.py").touch()
    after = recipes.dependencies(recipe, tmp_path), recipes.tag(recipe, tmp_path)
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)
    (tmp_path / recipe.name / "requirements.txt").write_text("other==1\n")
    assert recipes.dependencies(recipe, tmp_path) != before[0]


@pytest.mark.parametrize("recipe", recipes.RECIPES, ids=lambda recipe: recipe.name)
def test_the_dockerfile_starts_from_the_base_that_is_made_here(recipe: recipes.Recipe) -> None:
    assert f"ARG BASE={versions.BASE_IMAGE}\n" in (REPOSITORY / recipe.dockerfile).read_text()


def test_an_image_outside_a_checkout_is_refused_with_the_missing_file(tmp_path: Path) -> None:
    paths = Paths(cache=tmp_path / "cache", state=tmp_path / "state", run=tmp_path / "run")
    with pytest.raises(ClusterError, match=r"operator/Dockerfile does not exist"):
        images.ensure(paths, recipes.OPERATOR, Progress(), root=tmp_path)


def test_the_named_pip_configuration_comes_before_the_one_at_home(tmp_path: Path) -> None:
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").touch()
    named = tmp_path / "named.conf"
    named.touch()
    at_home, by_name = (images.mounts(environ, tmp_path)[0] for environ in ({}, {"PIP_CONFIG_FILE": str(named)}))
    assert at_home == f"--volume={tmp_path}/.pip/pip.conf:/etc/pip.conf:ro"
    assert by_name == f"--volume={named}:/etc/pip.conf:ro"


def test_the_newest_image_of_the_node_is_the_loaded_one(tmp_path: Path) -> None:
    paths = Paths(cache=tmp_path / "cache", state=tmp_path / "state", run=tmp_path / "run")
    assert images.loaded(paths, recipes.SIDECAR) == recipes.tag(recipes.SIDECAR)
    paths.imported.parent.mkdir(parents=True)
    names = ["pause:1", "sidecar:a", "operator:b", "sidecar:c", "sidecar-dependencies:d"]
    paths.imported.write_text(json.dumps([f"{versions.IMAGE_PREFIX}/{name}" for name in names]))
    assert images.loaded(paths, recipes.SIDECAR) == f"{versions.IMAGE_PREFIX}/sidecar:c"
