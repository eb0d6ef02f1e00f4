"""Starts the components, and ends them again without ever touching a process of somebody else.

Each process carries the cluster's state folder in its environment (`MARK`), and so does whatever it
starts (containerd's shims). A recorded process is its id together with its start time, since ids
come back. Signals go through a pidfd, so that what was checked is what is ended.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

MARK = "FOREFILL_CLUSTER_STATE"
PROC = Path("/proc")
POLL_SECONDS = 0.05
ADMINISTRATION = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Process:
    """`started` is in clock ticks since boot, as /proc tells it; `boot` is the boot's id."""

    name: str
    pid: int
    started: int
    boot: str


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says: the state letter and the start time in clock ticks since boot."""

    state: str
    started: int


def parse_stat(text: str) -> Stat:
    """The name in parentheses may itself hold parentheses, so fields are counted after the last one."""
    fields = text.rpartition(")")[2].split()
    return Stat(state=fields[0], started=int(fields[19]))


def stat(pid: int) -> Stat | None:
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def alive(process: Process) -> bool:
    seen = stat(process.pid)
    return seen is not None and seen.state not in "ZX" and seen.started == process.started and process.boot == boot_id()


def start(
    name: str,
    program: Path,
    arguments: Sequence[str],
    *,
    state: Path,
    records: Path,
    logs: Path,
    extra: Mapping[str, str],
) -> Process:
    """Start a component in a session of its own, so that it outlives the terminal; output goes to its log."""
    logs.mkdir(parents=True, exist_ok=True)
    records.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, MARK: str(state), **extra}
    environment["PATH"] = f"{environment.get('PATH', '')}:{ADMINISTRATION}"
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(logs / f"{name}.log"), append, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawn(program, [name, *arguments], environment, file_actions=files, setsid=True)
    wait_for_mark(pid, state)
    seen = stat(pid)
    process = Process(name, pid, seen.started if seen else 0, boot_id())
    (records / f"{name}.json").write_text(json.dumps(asdict(process)))
    return process


def wait_for_mark(pid: int, state: Path) -> None:
    """A program that has only begun may have an empty environment in /proc for a moment."""
    while not bears_mark(pid, state):
        seen = stat(pid)
        if seen is None or seen.state in "ZX":
            return
        time.sleep(0.001)


def recorded(records: Path) -> list[Process]:
    return [Process(**json.loads(path.read_text())) for path in sorted(records.glob("*.json"))]


def bears_mark(pid: int, state: Path) -> bool:
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return f"{MARK}={state}".encode() in environment.split(b"\0")


def numbers(names: Iterable[str]) -> list[int]:
    return [int(name) for name in names if name.isdigit()]


def marked(state: Path) -> list[int]:
    """Ids of all living processes that the cluster with this state folder started."""
    found = []
    for pid in numbers(os.listdir(PROC)):
        seen = stat(pid)
        if seen is not None and seen.state not in "ZX" and bears_mark(pid, state):
            found.append(pid)
    return sorted(found)


def command_name(pid: int) -> str:
    """The first word of the process's command line, which for a component is its name."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def open_pids(pids: Iterable[int]) -> Iterator[tuple[int, int]]:
    for pid in pids:
        with suppress(ProcessLookupError):
            yield pid, os.pidfd_open(pid)


def end(pids: Iterable[int], state: Path, *, grace_seconds: float) -> None:
    """TERM the processes that bear the mark, KILL what is left after the grace, wait until all are gone."""
    handles = {pid: descriptor for pid, descriptor in open_pids(pids) if keep_if_marked(pid, descriptor, state)}
    try:
        send(handles.values(), signal.SIGTERM)
        if not gone_within(handles, grace_seconds):
            send(handles.values(), signal.SIGKILL)
            gone_within(handles, grace_seconds)
    finally:
        for descriptor in handles.values():
            os.close(descriptor)


def keep_if_marked(pid: int, descriptor: int, state: Path) -> bool:
    """The mark is read while the pidfd is open: both name the same process, or the signal reaches nobody."""
    if bears_mark(pid, state):
        return True
    os.close(descriptor)
    return False


def send(descriptors: Iterable[int], number: signal.Signals) -> None:
    for descriptor in descriptors:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)


def ended(pid: int) -> bool:
    # A child of this very process stays as a zombie until it is waited for.
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    seen = stat(pid)
    return seen is None or seen.state in "ZX"


def gone_within(pids: Iterable[int], seconds: float) -> bool:
    left = list(pids)
    until = time.monotonic() + seconds
    while left := [pid for pid in left if not ended(pid)]:
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)
    return True
