"""Open-loop load: every request is sent when it is due, whatever became of those before.

Latency counts from that moment, not from when a connection was free or the event loop had time: what a slow answer
makes later requests wait is part of what is measured (no coordinated omission).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import httptools

REQUEST = b"GET /work HTTP/1.1\r\nHost: upstream\r\n\r\n"
# Stands for the status of a request that got no answer.
NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it was due (seconds from the first measured moment), its status and its latency."""

    due: float
    status: int
    seconds: float


Decided = Callable[[int, float], None]


class Connection(asyncio.Protocol):
    """A kept connection that carries one request at a time."""

    def __init__(self, idle: "list[Connection]") -> None:
        self._idle = idle
        self._parser = httptools.HttpResponseParser(self)
        self._loop = asyncio.get_running_loop()
        self._decided: Decided | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, decided: Decided) -> None:
        """Send a request; `decided` gets the status and the time on the event loop's clock."""
        self._decided = decided
        if self._transport is None:
            self._finish(NO_ANSWER)
        else:
            self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_message_complete(self) -> None:
        status, is_kept = self._parser.get_status_code(), self._parser.should_keep_alive()
        self._parser = httptools.HttpResponseParser(self)
        if is_kept:
            self._idle.append(self)
        else:
            self.close()
        self._finish(status)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self in self._idle:
            self._idle.remove(self)
        self._finish(NO_ANSWER)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _finish(self, status: int) -> None:
        decided, self._decided = self._decided, None
        if decided is not None:
            decided(status, self._loop.time())


@dataclass(slots=True)
class Load:
    """The requests of one client. `zero` is the event loop's time of the first measured moment."""

    name: str
    port: int
    zero: float
    outcomes: list[Outcome] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    sent: int = 0
    _idle: list[Connection] = field(default_factory=list)
    _all: list[Connection] = field(default_factory=list)
    _connecting: set[asyncio.Task[None]] = field(default_factory=set)
    _answered: asyncio.Event | None = None

    @property
    def pending(self) -> int:
        return self.sent - len(self.outcomes)

    async def play(self, arrivals: Sequence[float]) -> None:
        """Send a request at each of the arrivals."""
        loop = asyncio.get_running_loop()
        for due in arrivals:
            early = self.zero + due - loop.time()
            if early > 0.0:
                await asyncio.sleep(early)
            self._send(due)

    def _send(self, due: float) -> None:
        self.sent += 1
        if self._idle:
            self._idle.pop().ask(lambda status, at: self._decide(due, status, at))
            return
        task = asyncio.get_running_loop().create_task(self._connect(due))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(self._idle), "127.0.0.1", self.port)
        except OSError:
            self._decide(due, NO_ANSWER, loop.time())
            return
        self._all.append(connection)
        connection.ask(lambda status, at: self._decide(due, status, at))

    def _decide(self, due: float, status: int, at: float) -> None:
        self.outcomes.append(Outcome(due, status, at - self.zero - due))
        self.statuses[status] += 1
        if self._answered is not None and not self.pending:
            self._answered.set()

    async def drain(self, seconds: float) -> None:
        """Wait for the answers that are missing, at most so long; what then is missing had no answer."""
        if self.pending:
            self._answered = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), seconds)
        for task in list(self._connecting):
            task.cancel()
        for connection in self._all:
            connection.close()
        await asyncio.sleep(0)
