"""Runs other programs and turns their failures into one readable error."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .progress import Progress

HEARTBEAT_SECONDS = 15.0
TAIL_LINES = 15


class ClusterError(Exception):
    """Why the cluster cannot be had; its text is shown to the person as it is."""


def tail(text: str, lines: int = TAIL_LINES) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, **(extra or {})}


def output(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    cwd: Path | None = None,
    timeout_seconds: float = 120,
) -> str:
    """Standard output of `command`; raises `ClusterError` with its last lines when it fails."""
    try:
        done = subprocess.run(
            command,
            env=environment(env),
            input=stdin,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{command[0]} is not installed.") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(command)}` did not end within {timeout_seconds:.0f} s.") from error
    if done.returncode:
        raise ClusterError(f"`{' '.join(command)}` ended with {done.returncode}:\n{tail(done.stderr or done.stdout)}")
    return done.stdout


def succeeds(command: Sequence[str], *, env: Mapping[str, str] | None = None, timeout_seconds: float = 30) -> bool:
    try:
        output(command, env=env, timeout_seconds=timeout_seconds)
    except ClusterError:
        return False
    return True


def watched(
    command: Sequence[str],
    *,
    log: Path,
    progress: Progress,
    name: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    describe: Callable[[str], str] = lambda text: "",
) -> None:
    """Run a long command with its output in `log` and a line of life every `HEARTBEAT_SECONDS`.

    `describe` turns what the command has written so far into a few words for that line.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    child = in_own_group(command, log, env, cwd)
    try:
        while not ended_within(child, HEARTBEAT_SECONDS):
            words = describe(log.read_text(errors="replace"))
            progress.say(f"  {name}: {time.monotonic() - begun:.0f} s{', ' + words if words else ''}")
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    if child.returncode:
        words = tail(log.read_text(errors="replace"))
        raise ClusterError(f"{name} failed ({child.returncode}); its log is {log}:\n{words}")


def in_own_group(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None, cwd: Path | None
) -> subprocess.Popen[bytes]:
    """Started in a process group of its own, so that it can be ended with all that it starts."""
    with log.open("wb") as sink:
        return subprocess.Popen(
            command,
            env=environment(env),
            cwd=cwd,
            stdout=sink,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


def ended_within(child: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
