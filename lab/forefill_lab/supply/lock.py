"""`python -m forefill_lab.supply.lock`: writes what each image installs, direct and transitive, with every file's hash.

Versions are those of constraints.txt. `pip --require-hashes` then takes nothing else, from whatever index it is pointed
at. Needs a package index.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[3]
# What an image installs, and the file that says so.
IMAGES = {"operator": ".[operator,kube]", "sidecar": ".[sidecar]"}
BUILD = "hatchling==1.33.0"
INDEX = "https://pypi.org/simple"
HEADER = "# Made by `make lock` from pyproject.toml and constraints.txt: what the image installs, and nothing else.\n"


def closure(requirement: str) -> dict[str, str]:
    """Name and version of everything that pip would install for it, the project itself left out."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report=-"]
    done = subprocess.run(
        [*command, "--constraint=constraints.txt", requirement], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found = (entry["metadata"] for entry in json.loads(done.stdout)["install"])
    return {canonical(entry["name"]): entry["version"] for entry in found if entry["name"] != "forefill"}


def canonical(name: str) -> str:
    """As PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def hashes(name: str, version: str, index: str = INDEX) -> list[str]:
    """SHA-256 of every file of a release (PEP 691), so that one list serves all platforms."""
    request = urllib.request.Request(
        f"{index}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json", "User-Agent": "forefill-lock"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        files = json.load(response)["files"]
    found = [entry["hashes"]["sha256"] for entry in files if belongs(entry["filename"], name, version)]
    if not found:
        raise SystemExit(f"{index} has no file of {name} {version}")
    return sorted(found)


def belongs(filename: str, name: str, version: str) -> bool:
    """Whether a wheel or source archive is of this release."""
    stem = filename.removesuffix(".tar.gz").removesuffix(".zip")
    parts = stem.split("-") if filename.endswith(".whl") else stem.rsplit("-", 1)
    return len(parts) >= 2 and canonical(parts[0]) == name and parts[1] == version


def render(releases: dict[str, str]) -> str:
    lines = []
    for name, version in sorted(releases.items()):
        lines.append(
            " \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{each}" for each in hashes(name, version))])
        )
    return HEADER + "\n".join(lines) + "\n"


def main() -> int:
    for image, requirement in IMAGES.items():
        (ROOT / image / "requirements.txt").write_text(render(closure(requirement)))
    (ROOT / "build-requirements.txt").write_text(render(closure(BUILD)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
