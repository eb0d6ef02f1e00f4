"""One timer that is moved as needed."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

# Timers of libuv tick in milliseconds and may fire up to one early.
TIMER_SECONDS: Final = 0.001


class Cancellable(Protocol):
    """A timer that was set."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Cancellable]


class Alarm:
    """Calls `ring` at the moment it is set to; `call_later` sets timers, by default on the running event loop."""

    def __init__(self, ring: Callable[[], None], call_later: CallLater | None) -> None:
        self.at = inf
        self._ring = ring
        self._call_later = call_later
        self._timer: Cancellable | None = None

    def set(self, now: float, at: float) -> None:
        """Ring at that moment instead of any earlier one that was set; never, when it is infinite."""
        if at == self.at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.at = at
        if at < inf:
            call_later = self._call_later or asyncio.get_running_loop().call_later
            self._timer = call_later(max(0.0, at - now) + TIMER_SECONDS, self._fire)

    def _fire(self) -> None:
        self._timer, self.at = None, inf
        self._ring()
