"""One side's connection: what both sides' protocols do with their transport."""

import asyncio
from collections.abc import Callable
from typing import cast


def _lost(_data: bytes) -> None:
    """What is written to a connection that is gone goes nowhere."""


class Link(asyncio.Protocol):
    """`write` is the transport's own while there is one. Reading pauses while any reason to hold it is left."""

    __slots__ = ("_holds", "_transport", "write")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._holds = 0
        self.write: Callable[[bytes], None] = _lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self.write = _lost

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def write_eof(self) -> None:
        """Send nothing more; the other side goes on."""
        if self.is_open and cast(asyncio.Transport, self._transport).can_write_eof():
            cast(asyncio.Transport, self._transport).write_eof()

    def close(self) -> None:
        """Close once everything written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, so that the peer sees a message cut off rather than a complete one."""
        if self._transport is not None:
            self._transport.abort()

    def hold(self, reason: int) -> None:
        """Stop reading."""
        if not self._holds and self._transport is not None:
            self._transport.pause_reading()
        self._holds |= reason

    def release(self, reason: int) -> None:
        """Read on once no other reason is left."""
        was_held, self._holds = self._holds, self._holds & ~reason
        if was_held and not self._holds and self._transport is not None:
            self._transport.resume_reading()
