"""Builds a sidecar's parts from settings and runs them; what decides the rate is left to the caller."""

import asyncio
import os
import time
from collections.abc import Awaitable, Sequence

from forefill_protocol.podsettings import PolicyListener
from forefill_sidecar import metrics
from forefill_sidecar.bucket import TokenBucket
from forefill_sidecar.gate import Gate
from forefill_sidecar.journal import Journal
from forefill_sidecar.local_api import LocalApi
from forefill_sidecar.loop_lag import LoopLag
from forefill_sidecar.meter import Meter
from forefill_sidecar.proxy.limits import Limits
from forefill_sidecar.proxy.listener import Listener


class CantListen(Exception):
    """A port can't be had; the message is a sentence."""


def build_listener(
    settings: PolicyListener, tokens: float = 0.0, host: str = "127.0.0.1", limits: Limits | None = None
) -> Listener:
    """A listener that isn't started, its bucket at the safe rate and holding `tokens`.

    Raises ValueError with a sentence when the upstream is no URL.
    """
    now = time.monotonic()
    meter = Meter(started_at=now)
    bucket = TokenBucket(settings.safe_rate, settings.burst, tokens, now)
    gate = Gate(bucket, settings.settings, settings.mode, meter)
    return Listener(settings, gate, meter, host, limits)


class Sidecar:
    """The listeners of a pod and its admin port. `admin` lists the (host, port) pairs the latter listens on."""

    def __init__(self, listeners: Sequence[Listener], admin: Sequence[tuple[str, int]] = ()) -> None:
        self.listeners = listeners
        self.lag = LoopLag()
        self.api = LocalApi(listeners, self.lag)
        self._admin = admin
        self._journal: Journal | None = None

    def write_into(self, journal: Journal) -> None:
        """Write every request down; the journal is closed at the end."""
        self._journal = journal
        for listener in self.listeners:
            listener.note_into(journal.note)
        more = self.api.more_families
        self.api.more_families = lambda: [*more(), metrics.dropped(journal)]

    async def start(self) -> None:
        """Listen everywhere. Raises CantListen, with nothing left open."""
        try:
            for listener in self.listeners:
                await _listening(listener.start(), listener.host, listener.port)
            for host, port in self._admin:
                await _listening(self.api.start(host, port), host, port)
        except CantListen:
            await self.close(0.0)
            raise
        self.lag.start()

    async def run(self, stopping: asyncio.Event, grace_seconds: float) -> None:
        """Serve until `stopping`, then let requests under way end."""
        await self.start()
        await stopping.wait()
        await self.close(grace_seconds)

    async def close(self, grace_seconds: float) -> None:
        """Let requests under way end for so long; the admin port answers until then."""
        self.lag.stop()
        for listener in self.listeners:
            listener.stop_accepting()
        deadline = time.monotonic() + grace_seconds
        for listener in self.listeners:
            await listener.close(max(0.0, deadline - time.monotonic()))
        await self.api.close()
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)


async def _listening(start: Awaitable[None], host: str, port: int) -> None:
    try:
        await start
    except OSError as error:
        # uvloop and asyncio word `strerror` differently.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CantListen(f"can't listen on {host}:{port}: {reason.lower()}") from None
