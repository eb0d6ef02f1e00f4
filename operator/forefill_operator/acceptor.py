"""Takes connections in, before a byte of them is trusted: bounds how many come, how long their handshakes take.

A connection costs a file and, for TLS, most of a millisecond of CPU. So an address whose tries failed too often is
closed unread, and so is one that has too many unfinished ones, or anybody while the process is full.
"""

import asyncio
import errno
import os
import resource
import socket
import ssl
from collections.abc import Callable

import aiofastnet

from forefill_operator.door_metrics import ConnectionRefusal, DoorMetrics
from forefill_operator.throttle import Crowd, Throttle

HANDSHAKE_SECONDS = 5.0
# TLS records are at most this long; buffers of one record each keep a stream small.
BUFFER_BYTES = 16 * 1024 + 64
ACCEPT_AT_ONCE = 100
ACCEPT_RETRY_SECONDS = 0.5
CLOSE_SECONDS = 2.0
# Connections of one address that are not yet streams. A pod has one; the pods of a node may come from one address.
UNFINISHED_PER_ADDRESS = 64
# Files that are not streams: the API server, health, logs.
RESERVED_FILES = 128
MOST_FILES = 2**20
# Failed tries of one address: a sidecar that is not admitted backs off to two a minute.
FAILURES_PER_SECOND, FAILURES_AT_ONCE = 2.0, 50.0


class Arrival:
    """One connection: unfinished until it is a stream or has failed, open until it has ended."""

    __slots__ = ("_acceptor", "address", "is_unfinished", "transport")

    def __init__(self, acceptor: "Acceptor", address: str) -> None:
        self._acceptor = acceptor
        self.address = address
        self.transport: asyncio.Transport | None = None
        self.is_unfinished = True
        acceptor.unfinished.enter(address)
        acceptor.open.add(self)

    def finish(self) -> None:
        """It has become a stream, or was refused for no fault of its own."""
        if self.is_unfinished:
            self.is_unfinished = False
            self._acceptor.unfinished.leave(self.address)

    def fail(self) -> None:
        """It was refused, which counts against its address."""
        if self.is_unfinished:
            self._acceptor.count_failure(self.address)
        self.finish()

    def end(self) -> None:
        self.finish()
        self._acceptor.left(self)


MakeProtocol = Callable[[Arrival], asyncio.Protocol]


class Acceptor:
    """The listening sockets of one address. Who makes the protocol of an arrival tells it how it went on."""

    def __init__(self, make_protocol: MakeProtocol, metrics: DoorMetrics, clock: Callable[[], float]) -> None:
        self._make_protocol = make_protocol
        self._metrics = metrics
        self._clock = clock
        self._failures = Throttle(FAILURES_PER_SECOND, FAILURES_AT_ONCE)
        self.unfinished = Crowd()
        self.open: set[Arrival] = set()
        self._most_open = 0
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_left: asyncio.Event | None = None

    def start(self, host: str, port: int, context: ssl.SSLContext, shares_port: bool = False) -> int:
        """Listen; the port in use, which other processes may have too if it is shared. Raises OSError."""
        self._context = context
        self._most_open = max(1, raise_open_files() - RESERVED_FILES)
        loop = asyncio.get_running_loop()
        for listening in _listen(host, port, shares_port):
            self._sockets.append(listening)
            loop.add_reader(listening, self._accept, listening)
        return int(self._sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Accept nobody any more; whoever is in stays."""
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Wait until every connection has ended, those that take too long by force."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not await self._emptied():
            for arrival in self.open:
                if arrival.transport is not None:
                    arrival.transport.abort()
            await self._emptied()
        # The last socket is closed after its protocol has heard of it.
        await asyncio.sleep(0)

    async def _emptied(self) -> bool:
        self._last_left = asyncio.Event() if self.open else None
        if self._last_left is not None:
            try:
                await asyncio.wait_for(self._last_left.wait(), CLOSE_SECONDS)
            except TimeoutError:
                return False
        return True

    def left(self, arrival: Arrival) -> None:
        self.open.discard(arrival)
        if not self.open and self._last_left is not None:
            self._last_left.set()

    def count_failure(self, address: str) -> None:
        self._failures.failed(address, self._clock())

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause(listening)
                    return
                continue
            self._take(connection, str(address[0]))

    def _pause(self, listening: socket.socket) -> None:
        """Out of files although they were counted: somebody else took them."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        self._metrics.connection_refused("full")
        loop.call_later(ACCEPT_RETRY_SECONDS, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _take(self, connection: socket.socket, address: str) -> None:
        if len(self.open) >= self._most_open:
            self._refuse(connection, "full")
        elif not self._failures.allows(address, self._clock()):
            self._refuse(connection, "failures")
        elif self.unfinished.of(address) >= UNFINISHED_PER_ADDRESS:
            self._refuse(connection, "crowd")
        else:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.get_running_loop().create_task(self._shake_hands(connection, Arrival(self, address)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _refuse(self, connection: socket.socket, reason: ConnectionRefusal) -> None:
        self._metrics.connection_refused(reason)
        connection.close()

    async def _shake_hands(self, connection: socket.socket, arrival: Arrival) -> None:
        try:
            await aiofastnet.connect_accepted_socket(
                asyncio.get_running_loop(),
                lambda: self._make_protocol(arrival),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=HANDSHAKE_SECONDS,
                ssl_incoming_bio_size=BUFFER_BYTES,
                ssl_outgoing_bio_size=BUFFER_BYTES,
            )
        except OSError:  # TLS errors and time-outs are OSErrors
            self._metrics.connection_refused("handshake")
            arrival.fail()
            arrival.end()
        except asyncio.CancelledError:
            arrival.end()
            raise


def raise_open_files() -> int:
    """Have as many open files as this user may; the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    except (OSError, ValueError):
        return soft
    return max(soft, most)


def _listen(host: str, port: int, shares_port: bool) -> list[socket.socket]:
    """A socket for each address that `host` has, all on one port. Raises OSError."""
    sockets: list[socket.socket] = []
    try:
        found = dict.fromkeys(
            (family, address[0])
            for family, _, _, _, address in socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        )
        for family, address in found:
            try:
                where = str(address), port
                listening = socket.create_server(where, family=family, backlog=1024, reuse_port=shares_port)
            except OSError as error:
                # `localhost` may name an IPv6 address on a machine without IPv6.
                if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                    continue
                raise OSError(error.errno, f"{address}:{port}: {os.strerror(error.errno or 0).lower()}") from None
            listening.setblocking(False)
            sockets.append(listening)
            port = port or int(listening.getsockname()[1])
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, f"no address of {host} can be listened on")
    except OSError:
        for listening in sockets:
            listening.close()
        raise
    return sockets
