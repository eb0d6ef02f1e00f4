import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from forefill_protocol.podsettings import VARIABLE

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("cli", "operator", "sidecar", "protocol", "lab")
MACHINE_PATH = re.compile(rb"(?:^|[^A-Za-z0-9_.-])/(?:work|farm|root)/[^\s\"']*", re.MULTILINE)
# Inside an image, where pip keeps its cache.
IN_AN_IMAGE = b"/root/.cache/pip"
OWN_VARIABLE = re.compile(r"\bFOREFILL_[A-Z_]+\b")


def git(*arguments: str) -> str:
    # Whoever runs the tests need not own the checkout.
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file of the repository that is in the working tree too."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of the repository")
    paths = [ROOT / name for name in git("ls-files", "-z").split("\0") if name]
    return [path for path in paths if path.is_file()]


def released() -> str:
    """The newest version that the changelog heads."""
    headings = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    return str(headings[0])


def test_source_roots_are_no_packages() -> None:
    # A package named `operator` would hide the standard library's.
    assert [root for root in SOURCE_ROOTS if (ROOT / root / "__init__.py").exists()] == []


def test_folders_of_tests_are_no_packages(tracked: list[Path]) -> None:
    found = [path for path in tracked if path.name == "__init__.py"]
    assert [path for path in found if path.is_relative_to(ROOT / "tests")] == []
    assert len(found) > 0


def test_the_version_is_the_newest_of_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == released()


def test_the_chart_is_of_the_same_version() -> None:
    chart = (ROOT / "charts" / "forefill" / "Chart.yaml").read_text()
    versions = dict(re.findall(r'^(version|appVersion): "?([^"\s]+)"?', chart, re.MULTILINE))
    assert versions == {"version": released(), "appVersion": released()}


def test_no_file_names_a_path_of_somebodys_machine(tracked: list[Path]) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {match[0].decode(errors='replace').strip()}"
        for path in tracked
        if b"\0" not in (content := path.read_bytes())
        for match in MACHINE_PATH.finditer(content)
        if IN_AN_IMAGE not in match[0]
    }
    assert found == set()


@pytest.mark.parametrize("folder", ["work", "farm", "root"])
@pytest.mark.parametrize("line", ["/{}/x", "see /{}/x", '"/{}/x"', "a\n/{}/x", "--data=/{}/x"])
def test_paths_of_machines_are_recognised(folder: str, line: str) -> None:
    # Put together here, so that this file names none.
    assert MACHINE_PATH.search(line.format(folder).encode())


@pytest.mark.parametrize("line", [b"https://example.com/work/x", b"src/root/x", b"a-/work/", b"the work/root/farm"])
def test_other_paths_are_not_taken_for_them(line: bytes) -> None:
    assert not MACHINE_PATH.search(line)


def test_every_variable_that_is_documented_is_read_somewhere(tracked: list[Path]) -> None:
    documents = [path for path in tracked if path.suffix in (".md", ".yaml", ".yml", ".tpl", ".txt")]
    programs = [path for path in tracked if path.suffix == ".py" and path != Path(__file__)]
    known = {name for path in programs for name in OWN_VARIABLE.findall(path.read_text())}
    mentioned = {name for path in documents for name in OWN_VARIABLE.findall(path.read_text())}
    assert VARIABLE in known
    assert mentioned - known == set()


def test_import_contracts_hold() -> None:
    command = Path(sys.executable).parent / "lint-imports"
    if not command.exists():
        pytest.skip("import-linter is not installed")
    checked = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
