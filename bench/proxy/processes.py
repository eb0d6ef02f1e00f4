"""Programs started for a measurement, pinned to a core, measured and ended by their id."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """CPU seconds since the start, and memory held now, of a process and its children."""

    cpu_seconds: float
    resident_bytes: int


class Program:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def used(self) -> Used:
        pids = [self._process.pid, *_children(self._process.pid)]
        return Used(sum(_cpu_seconds(pid) for pid in pids), sum(_resident_bytes(pid) for pid in pids))


@contextmanager
def running(command: Sequence[str], port: int, core: int, log: Path, look_seconds: float = 0.05) -> Iterator[Program]:
    """A program that listens on `port`, for as long as the block lasts; it is looked for every `look_seconds`.

    Raises RuntimeError when it doesn't start.
    """
    with open(log, "ab") as output:
        process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=output, stderr=output)
    try:
        _await_port(process, port, log, look_seconds)
        yield Program(process)
    finally:
        process.terminate()
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path, look_seconds: float) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(look_seconds)
    raise RuntimeError(f"{process.args!r} does not listen on {port}: {log.read_text()[-400:]}")


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
