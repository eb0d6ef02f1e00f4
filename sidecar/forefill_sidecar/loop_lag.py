"""How late the event loop runs what is due: what every request waits on top when the process has too little CPU."""

import asyncio
import time

from forefill_sidecar.histogram import Distribution

INTERVAL_SECONDS = 0.25


class LoopLag:
    """Samples four times a second while running."""

    def __init__(self) -> None:
        self.seconds = Distribution()
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due_at = time.monotonic() + INTERVAL_SECONDS
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_SECONDS, self._sample)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sample(self) -> None:
        self.seconds.add(max(0.0, time.monotonic() - self._due_at))
        self.start()
