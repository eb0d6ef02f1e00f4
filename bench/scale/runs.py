"""Runs of `forefill bench reports` and `bench.streams` as processes of their own, and what they found."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

RUN_SECONDS = 400.0
START_SECONDS = 10.0


class RunFailed(Exception):
    """A run found nothing to tell; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Reports:
    """One run: each client reports once in `interval` seconds.

    `cpu` microseconds of all operators a report, `store_cpu` of the store, times in milliseconds.
    """

    clients: int
    interval: int
    operators: int
    has_store: bool
    cpu: float
    store_cpu: float
    commands: float
    p50: float
    p99: float
    tick: float
    kilobytes_a_client: float
    handshake: float
    is_whole: bool
    over_grant: float

    @property
    def at_ten(self) -> float:
        """How many clients that report every ten seconds send as many reports."""
        return 10.0 * self.clients / self.interval


def reports(
    clients: int, seconds: int, *, interval: int = 10, operators: int = 1, policies: int = 1, store: str = ""
) -> Reports:
    """Raises RunFailed."""
    found = _json(
        "forefill", "bench", "reports", f"--clients={clients}", f"--seconds={seconds}", f"--interval={interval}",
        f"--operators={operators}", f"--policies={policies}", *([f"--store={store}"] if store else []), "--json",
    )  # fmt: skip
    operator, shared = found["operator"], found["store"] or {}
    return Reports(
        clients=clients,
        interval=interval,
        operators=operators,
        has_store=bool(store),
        cpu=operator["cpu_microseconds_per_report"],
        store_cpu=shared.get("cpu_microseconds_per_report", 0.0),
        commands=shared.get("commands_per_report", 0.0),
        p50=found["answer_milliseconds"]["p50"],
        p99=found["answer_milliseconds"]["p99"],
        tick=operator["tick_milliseconds"],
        kilobytes_a_client=operator["rss_kilobytes_per_client"],
        handshake=operator["cpu_milliseconds_per_handshake"],
        is_whole=not (found["unanswered"] or found["lost_streams"] or found["refusals"]),
        over_grant=found["over_grant"],
    )


def streams(clients: int) -> dict[str, float]:
    """What `bench.streams` says of joining and rejoining. Raises RunFailed."""
    found: dict[str, float] = _json("bench.streams", f"--clients={clients}", "--json")
    return found


def _json(module: str, *arguments: str) -> Any:
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"{module} {' '.join(arguments)} took more than {RUN_SECONDS:.0f} s") from None
    except json.JSONDecodeError:
        last = done.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise RunFailed(f"{module} {' '.join(arguments)}: {last[0]}") from None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a store of this run's own, in memory, on loopback. Raises RunFailed."""
    binary = shutil.which("valkey-server") or shutil.which("redis-server")
    if binary is None:
        raise RunFailed("neither valkey-server nor redis-server is installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _await_port(port)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def _await_port(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.05)
    raise RunFailed(f"the store was not up within {START_SECONDS:.0f} s")
