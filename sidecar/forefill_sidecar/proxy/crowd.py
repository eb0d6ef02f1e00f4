"""The open connections of one listener, and one timer for all their deadlines."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from forefill_sidecar.proxy.tally import Tally

SWEEP_SECONDS = 1.0


class Guest(Protocol):
    """A client's connection; see ClientConnection. `deadline` is monotonic seconds."""

    deadline: float

    def timed_out(self) -> None: ...
    def drain(self) -> None: ...
    def abort(self) -> None: ...


class Crowd:
    """`soon` is the next sweep's moment: deadlines that count from it cost no look at the clock, and are never early.

    `also_sweep` is called with every sweep; it answers whether it has to be called again.
    """

    def __init__(self, tally: Tally, limit: int, also_sweep: Callable[[float], bool]) -> None:
        self.soon = 0.0
        self._tally = tally
        self._limit = limit
        self._also_sweep = also_sweep
        self._guests: set[Guest] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event | None = None

    def join(self, guest: Guest) -> bool:
        """Count a connection in; False when there are too many."""
        self._guests.add(guest)
        self._tally.clients_open += 1
        self._tally.clients_total += 1
        if self._timer is None:
            self._sweep_at(time.monotonic() + SWEEP_SECONDS)
        return len(self._guests) <= self._limit

    def leave(self, guest: Guest) -> None:
        self._guests.discard(guest)
        self._tally.clients_open -= 1
        if self._empty is not None and not self._guests:
            self._empty.set()

    def drain(self) -> None:
        """Ask everyone to go as soon as what is under way has ended."""
        for guest in list(self._guests):
            guest.drain()

    async def close(self, grace_seconds: float) -> None:
        """Wait so long until everyone has gone, then break off what is left."""
        if self._guests:
            await self._emptied(grace_seconds)
        for guest in list(self._guests):
            guest.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _emptied(self, seconds: float) -> None:
        self._empty = asyncio.Event()
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            # Whoever is left has had their time; `close` breaks it off.
            return

    def _sweep_at(self, moment: float) -> None:
        self.soon = moment
        self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Rests while nothing is open."""
        now = time.monotonic()
        self.soon = now + SWEEP_SECONDS
        for guest in [guest for guest in self._guests if guest.deadline <= now]:
            guest.timed_out()
        self._timer = None
        if self._also_sweep(now) or self._guests:
            self._sweep_at(now + SWEEP_SECONDS)
