"""`forefill operator --workers N`: so many operators on one node that share an address and a store.

Each worker is a whole operator with a name and policies of its own; the kernel spreads connections over them
(SO_REUSEPORT). The first makes what the state folder lacks, so that the others start when it is ready. A worker that
ends is started anew, later each time that it did not last; one whose first start fails ends them all, with its status.
"""

import argparse
import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

from forefill_operator.usage import Address, Misused

MOST_WORKERS: Final = 64
# Of Linux's prctl(2).
PR_SET_PDEATHSIG: Final = 1
READY_SECONDS: Final = 60.0
ASK_SECONDS: Final = 0.1
# A worker that lasted so long failed for a new reason.
LASTING_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0

_log = logging.getLogger("forefill.operator")


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("on several cores")
    group.add_argument(
        "--workers", type=_workers, metavar="N",
        help="so many operators on one address, which share --store; worker K, from 0, is named NAME-K and serves its "
        "health K ports above --health",
    )  # fmt: skip
    group.add_argument("--worker", type=int, help=argparse.SUPPRESS)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be a number from 1 to {MOST_WORKERS}")
    return int(text)


def check(options: argparse.Namespace) -> None:
    """Raises Misused where workers could not share what they must."""
    if not options.store:
        raise Misused("--workers needs --store: operators that share an address share the policies, too")
    stream: Address | None = options.stream if options.kubernetes else options.listen
    if stream is None or not stream[1]:
        raise Misused(f"{'--stream' if options.kubernetes else '--listen'} needs a port that all --workers share")
    if options.health is None or not options.health[1]:
        raise Misused("--health HOST:PORT is required with --workers: each worker has its own port, from this one up")


def own_options(options: argparse.Namespace) -> None:
    """Of one worker: its name, and where it serves its health. It ends when the process that started it does."""
    if options.worker is not None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        options.name = f"{options.name or socket.gethostname()}-{options.worker}"
        options.health = (options.health[0], options.health[1] + options.worker)


async def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Until a signal; the exit status."""
    ending, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    workers = [Worker(number, arguments, options.health) for number in range(options.workers)]

    def fit() -> None:
        for worker in workers:
            worker.signal(signal.SIGUSR1)

    loop.add_signal_handler(signal.SIGUSR1, fit)
    tasks: list[asyncio.Task[int]] = []
    try:
        for worker in workers:
            tasks.append(asyncio.create_task(worker.keep(ending)))
            await asyncio.wait([*tasks, ready := asyncio.create_task(worker.ready())], return_when="FIRST_COMPLETED")
            if not ready.done():
                ready.cancel()
                break
        ended = asyncio.create_task(ending.wait())
        await asyncio.wait([*tasks, ended], return_when="FIRST_COMPLETED")
        ended.cancel()
    finally:
        ending.set()
        for worker in workers:
            worker.signal(signal.SIGTERM)
        statuses = await asyncio.gather(*tasks)
    return max(statuses, default=0)


class Worker:
    """One of them, started as often as it takes."""

    def __init__(self, number: int, arguments: Sequence[str], health: Address) -> None:
        self._number = number
        self._command = [sys.executable, "-m", "forefill", "operator", *arguments, "--worker", str(number)]
        self._health = health[0], health[1] + number
        self._process: asyncio.subprocess.Process | None = None
        self._has_been_ready = False

    async def keep(self, ending: asyncio.Event) -> int:
        """Until `ending`, or until its first start has failed; the exit status."""
        pause, loop = FIRST_PAUSE_SECONDS, asyncio.get_running_loop()
        while True:
            began = loop.time()
            self._process = await asyncio.create_subprocess_exec(*self._command)
            if ending.is_set():
                self.signal(signal.SIGTERM)
            status = await self._process.wait()
            if ending.is_set() or not self._has_been_ready:
                return status if status >= 0 else 128 - status
            pause = (
                FIRST_PAUSE_SECONDS if loop.time() - began >= LASTING_SECONDS else min(2 * pause, LONGEST_PAUSE_SECONDS)
            )
            _log.error("worker %d ended with status %d; it starts anew in %.0f s", self._number, status, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), pause)
                return 0

    async def ready(self) -> None:
        """Return when it serves, or after READY_SECONDS."""
        for _ in range(round(READY_SECONDS / ASK_SECONDS)):
            if await self._answers():
                break
            await asyncio.sleep(ASK_SECONDS)
        self._has_been_ready = True

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(*self._health)
        except OSError:
            return False
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
        except OSError:
            return False
        finally:
            writer.close()
