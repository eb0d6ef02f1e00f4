"""The control group under which the kubelet puts every pod: made for it, emptied and removed after it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .configs import CGROUP_ROOT

MOUNT = Path("/sys/fs/cgroup")
EMPTY_SECONDS = 10.0
POLL_SECONDS = 0.05


def hierarchies() -> list[Path]:
    """Where a control group must be made: once with version 2, once a controller with version 1 or hybrid."""
    if (MOUNT / "cgroup.controllers").exists():
        return [MOUNT]
    return [path for path in sorted(MOUNT.iterdir()) if path.is_dir() and not path.is_symlink()]


def roots() -> list[Path]:
    return [hierarchy / CGROUP_ROOT.lstrip("/") for hierarchy in hierarchies()]


def up() -> None:
    for root in roots():
        root.mkdir(exist_ok=True)
        inherit_cpuset(root)


def inherit_cpuset(root: Path) -> None:
    """A new version 1 cpuset is empty, and nothing can run in it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = root / name
        if file.exists() and not file.read_text().strip() and (root.parent / name).exists():
            file.write_text((root.parent / name).read_text())


def members(root: Path) -> set[int]:
    found = set[int]()
    for folder, _, _ in os.walk(root):
        with suppress(OSError):
            found.update(int(line) for line in (Path(folder) / "cgroup.procs").read_text().split())
    return found - {0}


def everyone() -> set[int]:
    return set[int]().union(*(members(root) for root in roots()))


def kill_members() -> None:
    """End whatever still runs in pods. Members are read again until nobody is left, since processes fork."""
    until = time.monotonic() + EMPTY_SECONDS
    while (left := everyone()) and time.monotonic() < until:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def folders(root: Path) -> Iterator[Path]:
    """The group and all below it, deepest first."""
    for folder, _, _ in os.walk(root, topdown=False):
        yield Path(folder)


def down() -> None:
    kill_members()
    for root in roots():
        for folder in folders(root):
            remove(folder)


def remove(folder: Path) -> None:
    """The kernel lets go of an emptied group a moment after its last process."""
    until = time.monotonic() + EMPTY_SECONDS
    while folder.exists():
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(POLL_SECONDS)
