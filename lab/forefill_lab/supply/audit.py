"""`python -m forefill_lab.supply.audit`: known vulnerabilities of what the images install, by pip-audit.

Exit status 1 when there are some. Where the database or the index can't be reached it says so, and that is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from forefill_lab.supply.sbom import releases

ROOT = Path(__file__).parents[3]
DATABASE = "https://pypi.org/pypi/aiohttp/{version}/json"
AUDIT = "pip-audit==2.10.1"
REACH_SECONDS = 10


def unreachable() -> str | None:
    """Why the database can't be asked, in a sentence. A mirror of the index may have files and no advisories."""
    pinned = dict(
        (name, version) for name, version, _ in releases((ROOT / "operator" / "requirements.txt").read_text())
    )
    url = DATABASE.format(version=pinned["aiohttp"])
    try:
        with urllib.request.urlopen(url, timeout=REACH_SECONDS) as response:
            known = "vulnerabilities" in json.load(response)
    except (urllib.error.URLError, OSError, ValueError) as error:
        return f"the vulnerability database can't be reached: {url}: {error}"
    return None if known else f"{url} tells of no vulnerabilities, known or not"


def tool(folder: Path) -> Path | None:
    """pip-audit in an environment of its own: what it needs clashes with what we pin."""
    program = folder / "bin" / "pip-audit"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        installing = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", AUDIT]
        if subprocess.run(installing).returncode != 0:
            return None
    return program


def main() -> int:
    program = None if (reason := unreachable()) else tool(ROOT / ".venv-audit")
    if program is None:
        print(f"pip-audit: skipped: {reason or f'{AUDIT} can not be installed'}")
        return 0
    files = [f"--requirement={ROOT / image / 'requirements.txt'}" for image in ("operator", "sidecar")]
    return subprocess.run(
        [str(program), "--disable-pip", "--require-hashes", "--progress-spinner=off", *files]
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
