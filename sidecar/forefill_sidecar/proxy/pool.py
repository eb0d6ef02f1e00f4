"""Connections to one upstream: kept ones are reused, newest first, and closed before the upstream would."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from forefill_sidecar.proxy.address import Address
from forefill_sidecar.proxy.limits import Limits
from forefill_sidecar.proxy.tally import Tally
from forefill_sidecar.proxy.upstream_side import UpstreamConnection

# The addresses of a host, best first. Raises OSError when it has none.
Resolve = Callable[[str, int], Awaitable[list[str]]]


class Waiting(Protocol):
    """The exchange that a connection is made for; see Exchange."""

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for the connection any more."""

    def upstream_ready(self, upstream: UpstreamConnection) -> None: ...
    def upstream_unreachable(self, status: int, sentence: str) -> None: ...


class Pool:
    """Opens connections as exchanges need them; there are never more than exchanges and idle ones."""

    def __init__(
        self, address: Address, ca_bundle: str, limits: Limits, tally: Tally, resolve: Resolve | None = None
    ) -> None:
        self._address = address
        self._ca_bundle = ca_bundle
        self._limits = limits
        self._idle_seconds = limits.upstream_idle_seconds
        self.tally = tally
        self._resolve_name = resolve or _system_resolve
        self._context: ssl.SSLContext | None = None
        self._idle: deque[UpstreamConnection] = deque()
        self._open: set[UpstreamConnection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._addresses: list[str] = []
        self._resolved_at = 0.0
        self._resolving: asyncio.Task[None] | None = None
        self._turn = 0

    def take(self, now: float, may_repeat: bool) -> UpstreamConnection | None:
        """A kept connection, or None. One that can't be repeated on is asked whether it still stands."""
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_until > now and (connection.is_fit if may_repeat else connection.is_usable()):
                return connection
            connection.break_off()
        return None

    def give_back(self, now: float, connection: UpstreamConnection, idle_seconds: int | None) -> None:
        """Keep a connection for the next exchange, a second less than the upstream said it will."""
        seconds = self._idle_seconds
        if idle_seconds is not None:
            seconds = min(seconds, idle_seconds - 1.0)
        if seconds <= 0.0 or not connection.stays or len(self._idle) >= self._limits.upstream_max_idle:
            connection.break_off()
            return
        connection.idle_until = now + seconds
        self._idle.append(connection)

    def open(self, exchange: Waiting) -> None:
        """Connect, then hand the connection to the exchange, or tell it why there is none."""
        task = asyncio.get_running_loop().create_task(self._connect(exchange))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def opened(self, connection: UpstreamConnection) -> None:
        connection.stays = self._is_wanted(connection)
        self._open.add(connection)
        self.tally.upstream_open += 1
        self.tally.upstream_total += 1

    def closed(self, connection: UpstreamConnection) -> None:
        self._open.discard(connection)
        self.tally.upstream_open -= 1

    def sweep(self, now: float) -> bool:
        """Close what was idle for too long, and look the upstream's name up again from time to time.

        Answers whether anything is open.
        """
        while self._idle and self._idle[0].idle_until <= now:
            self._idle.popleft().break_off()
        if self._addresses and now - self._resolved_at >= self._limits.resolve_seconds:
            self._refresh()
        return bool(self._open)

    def close(self) -> None:
        """Break everything off."""
        for task in self._opening:
            task.cancel()
        if self._resolving is not None:
            self._resolving.cancel()
        for connection in list(self._open):
            connection.break_off()
        self._idle.clear()

    async def _connect(self, exchange: Waiting) -> None:
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                connection = await self._connect_any()
        except TimeoutError:
            exchange.upstream_unreachable(504, "the upstream took too long to accept a connection")
        except OSError as error:
            self._addresses = []
            exchange.upstream_unreachable(502, f"the upstream can't be reached: {_reason(error)}")
        else:
            if exchange.is_over:
                self.give_back(time.monotonic(), connection, None)
            else:
                exchange.upstream_ready(connection)

    async def _connect_any(self) -> UpstreamConnection:
        """Try each address in turn, beginning with another one each time."""
        addresses = await self._resolve()
        self._turn += 1
        failure: OSError | None = None
        for step in range(len(addresses)):
            try:
                return await self._connect_to(addresses[(self._turn + step) % len(addresses)])
            except OSError as error:
                failure = error
        raise failure or OSError(f"{self._address.host} has no address")

    async def _connect_to(self, host: str) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        context = self._tls_context() if self._address.is_tls else None
        _, connection = await loop.create_connection(
            lambda: UpstreamConnection(self),
            host,
            self._address.port,
            ssl=context,
            server_hostname=self._address.host if context else None,
        )
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cadata=self._ca_bundle or None)
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    async def _resolve(self) -> list[str]:
        """The upstream's addresses. Old ones serve while fresh ones are looked up."""
        if not self._addresses:
            await self._look_up()
        elif time.monotonic() - self._resolved_at >= self._limits.resolve_seconds:
            self._refresh()
        return self._addresses

    def _refresh(self) -> None:
        if self._resolving is None or self._resolving.done():
            self._resolving = asyncio.get_running_loop().create_task(self._look_up_again())

    async def _look_up_again(self) -> None:
        try:
            await self._look_up()
        except OSError:
            # The addresses known so far stay in use; should they not answer, `_connect` says so to the client.
            self._resolved_at = time.monotonic()

    async def _look_up(self) -> None:
        self._addresses = await self._resolve_name(self._address.host, self._address.port)
        self._resolved_at = time.monotonic()
        for connection in self._open:
            connection.stays = self._is_wanted(connection)

    def _is_wanted(self, connection: UpstreamConnection) -> bool:
        """Whether DNS still names its address; connections to other ones end after their exchange."""
        return not self._addresses or connection.peer in self._addresses


async def _system_resolve(host: str, port: int) -> list[str]:
    if (literal := _as_address(host)) is not None:
        return [literal]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _as_address(host: str) -> str | None:
    """An address in its usual spelling, which needs no look-up (and no thread for it); None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            return socket.inet_ntop(family, socket.inet_pton(family, host))
    return None


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    if isinstance(error, socket.gaierror):
        return "its name can't be resolved"
    return error.strerror or str(error)
