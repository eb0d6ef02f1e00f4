"""A switch to see where the time goes: SIGUSR2 profiles the process for a while and logs what it found.

In a pod without a shell: `kubectl exec POD -- python3 -c 'import os, signal; os.kill(1, signal.SIGUSR2)'`.
"""

import asyncio
import cProfile
import io
import logging
import pstats
import signal
import tracemalloc

PROFILE_SECONDS = 30.0
MOST_LINES = 30

_log = logging.getLogger("forefill.profile")


class Profiler:
    """Of the loop's thread. While it profiles, everything takes up to twice as long."""

    def __init__(self, seconds: float = PROFILE_SECONDS) -> None:
        self._seconds = seconds
        self._running: asyncio.Task[None] | None = None

    def on_signal(self) -> None:
        """Start profiling on SIGUSR2; while it goes on the signal is ignored."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, self.start)

    def start(self) -> None:
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self.profile())

    async def profile(self) -> None:
        """Log the functions that took the most time, and the lines that hold the memory allocated meanwhile."""
        _log.info("profiling for %.0f s", self._seconds)
        calls = cProfile.Profile()
        tracemalloc.start()
        calls.enable()
        try:
            await asyncio.sleep(self._seconds)
        finally:
            calls.disable()
            memory = tracemalloc.take_snapshot()
            tracemalloc.stop()
        _log.info("time:\n%s", by_time(calls))
        _log.info("memory:\n%s", by_memory(memory))


def by_time(calls: cProfile.Profile) -> str:
    text = io.StringIO()
    pstats.Stats(calls, stream=text).sort_stats("tottime").print_stats(MOST_LINES)
    return "\n".join(line for line in text.getvalue().splitlines() if line.strip())


def by_memory(memory: tracemalloc.Snapshot) -> str:
    return "\n".join(str(line) for line in memory.statistics("lineno")[:MOST_LINES])
