"""A listener over real sockets, and an upstream that does exactly what a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import SupportsIndex

import hypothesis
import pytest
import uvloop

from forefill_protocol.fields import Mode
from forefill_protocol.podsettings import PolicyListener
from forefill_protocol.policysettings import CostSettings, ForecastSettings, PolicySettings, QueueSettings
from forefill_sidecar.assembly import build_listener
from forefill_sidecar.proxy.limits import Limits
from forefill_sidecar.proxy.listener import Listener

# How long an example takes says more about what else the machine does than about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Otherwise pytest-asyncio's first look at the current event loop makes one that nobody closes.
asyncio.set_event_loop(None)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
READ_SECONDS = 5.0


def policy_settings(
    *, max_wait_seconds: float = 5.0, max_requests: int = 100, cost: CostSettings | None = None
) -> PolicySettings:
    return PolicySettings(
        report_interval_seconds=10.0,
        lease_seconds=30.0,
        fallback="Safe",
        forecast=ForecastSettings(model="Ensemble", quantile=0.95, horizon_windows=3),
        queue=QueueSettings(max_wait_seconds=max_wait_seconds, max_requests=max_requests),
        cost=cost or CostSettings(default=1.0),
    )


def pod_listener(
    upstream: str,
    *,
    mode: Mode = "Enforce",
    fill_rate: float = 1000.0,
    burst: float = 1000.0,
    settings: PolicySettings | None = None,
    ca_bundle: str = "",
    policy: str = "ns/llm",
) -> PolicyListener:
    return PolicyListener(
        policy=policy,
        policy_uid="uid",
        policy_generation=1,
        port=1,
        upstream=upstream,
        mode=mode,
        safe_rate=fill_rate,
        burst=burst,
        settings=settings or policy_settings(),
        upstream_ca_bundle=ca_bundle,
    )


@asynccontextmanager
async def listening(
    settings: PolicyListener, tokens: float = 1000.0, limits: Limits | None = None
) -> AsyncIterator[Listener]:
    """A started listener on a free port, `port`."""
    listener = build_listener(settings, tokens=tokens, limits=limits)
    listener.port = 0
    await listener.start()
    try:
        yield listener
    finally:
        await listener.close()


@dataclass
class Upstream:
    """Counts connections and keeps every byte that came in, one buffer a connection."""

    port: int = 0
    received: list[bytearray] = field(default_factory=list)
    closed: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def upstream_of(handler: Handler) -> AsyncIterator[Upstream]:
    """Serve `handler` on a free port."""
    upstream = Upstream()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        buffer = bytearray()
        upstream.received.append(buffer)
        feed = reader.feed_data

        def keep(data: Iterable[SupportsIndex]) -> None:
            buffer.extend(data)
            feed(data)

        reader.feed_data = keep  # type: ignore[method-assign]
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            upstream.closed += 1
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**22)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """A head with the empty line at its end."""
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), READ_SECONDS)


def answering(response: bytes) -> Handler:
    """A handler that reads heads, and answers each with these bytes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            writer.write(response)
            await writer.drain()

    return handler


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A plain connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    try:
        yield reader, writer
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            # The other side may have gone first.
            pass


async def exchanged(port: int, request: bytes) -> bytes:
    """All that comes back for these bytes until the other side closes."""
    async with connected(port) as (reader, writer):
        writer.write(request)
        return await asyncio.wait_for(reader.read(), READ_SECONDS)


class Net:
    """What tests over real sockets share. Test folders are no packages, so a fixture hands it over."""

    OK = OK
    Limits = Limits
    Upstream = Upstream
    answering = staticmethod(answering)
    connected = staticmethod(connected)
    exchanged = staticmethod(exchanged)
    listening = staticmethod(listening)
    pod_listener = staticmethod(pod_listener)
    policy_settings = staticmethod(policy_settings)
    read_head = staticmethod(read_head)
    upstream_of = staticmethod(upstream_of)

    @staticmethod
    async def until(is_so: Callable[[], bool]) -> None:
        """Wait until something became true."""
        async with asyncio.timeout(READ_SECONDS):
            while not is_so():
                await asyncio.sleep(0.005)


@pytest.fixture
def net() -> Net:
    return Net()


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The data plane runs on uvloop; so do its tests."""
    if "net" in getattr(item, "fixturenames", ()):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
