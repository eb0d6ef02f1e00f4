"""The demo's processes: started with their output in a folder, ended by id, never left behind."""

import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from forefill_lab.demo import scrape

READY_SECONDS, GRACE_SECONDS, POLL_SECONDS = 15.0, 5.0, 0.05


class DemoFailed(Exception):
    """A part of the demo doesn't do its part; the message is a sentence."""


class Processes:
    """Started in order, ended in reverse. `folder` gets a log a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[tuple[str, asyncio.subprocess.Process]] = []

    async def start(self, name: str, *arguments: str) -> None:
        """Run `python -m` with the arguments, in a session of its own: Ctrl-C is the demo's to handle."""
        with self._log(name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.append((name, process))

    async def ready(self, name: str, port: int, path: str) -> None:
        """Wait until the URL answers 200. Raises DemoFailed when it doesn't, or when a process has ended."""
        loop = asyncio.get_running_loop()
        until = loop.time() + READY_SECONDS
        while loop.time() < until:
            self.check()
            with suppress(OSError):
                if (await scrape.get(port, path))[0] == 200:
                    return
            await asyncio.sleep(POLL_SECONDS)
        raise DemoFailed(f"the {name} was not ready within {READY_SECONDS:g} s{self._last_words(name)}")

    def check(self) -> None:
        """Raises DemoFailed when a process has ended that should not have."""
        for name, process in self._running:
            if process.returncode is not None:
                raise DemoFailed(f"the {name} ended with status {process.returncode}{self._last_words(name)}")

    async def end(self) -> None:
        """SIGTERM to each, then SIGKILL to what is left."""
        ending = [process for _, process in reversed(self._running)]
        self._running.clear()
        for process in ending:
            with suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*(_ended(process) for process in ending))

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.log"

    def _last_words(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), GRACE_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def free_ports(count: int) -> Sequence[int]:
    """Ports of loopback that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
