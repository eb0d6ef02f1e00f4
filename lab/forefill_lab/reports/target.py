"""The operator under load: a process of this run, on one core of its own."""

import asyncio
import json
import os
import resource
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

POLICY = "bench/policy-{}"
START_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class BenchFailed(Exception):
    """The run can't go on; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since the process began, resident bytes now."""

    cpu_seconds: float
    rss_bytes: int


def summed(usages: Iterable[Usage]) -> Usage:
    listed = list(usages)
    return Usage(sum(each.cpu_seconds for each in listed), sum(each.rss_bytes for each in listed))


class Target:
    """An operator with `policies` policies, for `clients` tokens token-0, token-1, …; `cores` is where it may run."""

    def __init__(self, folder: Path, clients: int, policies: int, interval: float, cores: set[int]) -> None:
        self.folder = folder
        self.port, self.health = _free_port(), _free_port()
        self._clients, self._policies, self._interval, self._cores = clients, policies, interval, cores
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *more: str) -> None:
        """Ready to take streams. Raises BenchFailed."""
        self._write_files()
        log = (self.folder / "operator.log").open("wb")
        with log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "forefill", "operator", f"--policies={self.folder / 'policies'}",
                f"--state={self.folder / 'state'}", f"--listen=127.0.0.1:{self.port}",
                f"--health=127.0.0.1:{self.health}", "--log-level=warning", *more,
                stdout=log, stderr=log, preexec_fn=lambda: os.sched_setaffinity(0, self._cores),
            )  # fmt: skip
        for _ in range(int(START_SECONDS / 0.1)):
            if self.process.returncode is not None:
                raise BenchFailed(f"the operator ended: {self.last_words()}")
            if await asyncio.to_thread(self._is_ready):
                return
            await asyncio.sleep(0.1)
        raise BenchFailed(f"the operator was not ready within {START_SECONDS:g} s")

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 30.0)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()

    def usage(self) -> Usage:
        """Raises BenchFailed for an operator that has ended."""
        assert self.process is not None
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            raise BenchFailed(f"an operator ended meanwhile: {self.last_words()}") from None
        return Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE)

    def figures(self, name: str) -> list[float]:
        """What a metric has, by its labels. Raises BenchFailed."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/metrics", timeout=10.0) as answer:
                lines = answer.read().decode().splitlines()
        except OSError as error:
            raise BenchFailed(f"the operator does not tell its metrics: {error}") from None
        return [float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]

    def last_words(self) -> str:
        lines = (self.folder / "operator.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a word"

    @property
    def ca_file(self) -> Path:
        return self.folder / "state" / "ca.crt"

    def _write_files(self) -> None:
        policies, state = self.folder / "policies", self.folder / "state"
        policies.mkdir(parents=True)
        state.mkdir(mode=0o700)
        for number in range(self._policies):
            (policies / f"policy-{number}.yaml").write_text(json.dumps(self._manifest(number)))
        rows = (f"token-{number},pod-{number},uid-{number},bench\n" for number in range(self._clients))
        (state / "tokens.csv").write_text("".join(rows))

    def _manifest(self, number: int) -> dict[str, object]:
        namespace, _, name = POLICY.format(number).partition("/")
        most = 20.0 * max(self._clients, 1)
        return {
            "apiVersion": "forefill.io/v1alpha1",
            "kind": "TokenPolicy",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {
                "mode": "Enforce",
                "upstream": {"url": "http://127.0.0.1:9"},
                "fillRate": {"base": most / 4, "min": most / 4, "max": most},
                "report": {"intervalSeconds": self._interval, "leaseSeconds": 3 * self._interval},
            },
        }

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=1.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def allow_files(wanted: int) -> None:
    """Let this process and its children hold `wanted` open files. Raises BenchFailed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (OSError, ValueError):
        raise BenchFailed(f"{wanted} open files are needed and {hard} are allowed; raise ulimit -n") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
