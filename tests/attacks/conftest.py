"""A real operator's stream server under TLS on loopback, and what an attacker needs against it.

The whole table of attacks stands in docs/threat-model.md.
"""

import asyncio
import base64
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from picows import ws_connect
from tests import serving
from tests.peer import Peer

from forefill_operator import tickets
from forefill_operator.metrics import Metrics
from forefill_operator.stream_server import StreamServer
from forefill_operator.tickets import Key
from forefill_protocol import messages

TOKENS = "".join(
    f"token-{name},pod-{name},uid-{name},{namespace}\n"
    for name, namespace in (("a", "shop"), ("b", "shop"), ("thief", "elsewhere"))
)
FORECAST = messages.Forecast(mean=5.0, p50=5.0, p90=6.0, p95=7.0)


def manifest(name: str = "llm", namespace: str = "shop", **spec: Any) -> Any:
    return serving.manifest(name, namespace, **spec)


@dataclass
class Target:
    """The operator under attack. `now` is added to its wall clock, so that tickets grow old at once."""

    folder: Path
    keys: tuple[Key, ...]
    context: ssl.SSLContext
    trusting: ssl.SSLContext
    server: StreamServer = field(init=False)
    metrics: Metrics = field(init=False)
    port: int = 0
    ahead: float = 0.0

    async def start(self, *, first_start: bool = True, policies: Sequence[Any] = ()) -> None:
        """Again after `stop`: a new process would know no more."""
        self.server = serving.server_of(
            self.folder / "tokens.csv",
            *(policies or (manifest(), manifest("other", "elsewhere"))),
            first_start=first_start,
            keys=lambda: self.keys,
            wall_clock=lambda: time.time() + self.ahead,
        )
        self.metrics = self.server.metrics
        self.port = await self.server.start("127.0.0.1", 0, self.context)

    async def stop(self) -> None:
        await self.server.close("the test ends")

    async def connect(self, token: str = "token-a", shown: Sequence[bytes] = (), **headers: str) -> Peer:
        peer = Peer(patience=20.0)
        told = {"Authorization": f"Bearer {token}", **headers}
        if shown:
            told["Forefill-Ticket"] = ", ".join(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in shown)
        url = f"wss://localhost:{self.port}{messages.STREAM_PATH}"
        await ws_connect(lambda: peer, url, ssl_context=self.trusting, extra_headers=told, use_aiofastnet=False)
        return peer

    async def joined(self, token: str = "token-a", policy: str = "shop/llm") -> tuple[Peer, messages.Assignment]:
        peer = await self.connect(token)
        peer.send(hello(messages.Holding(policy=policy)))
        return peer, await peer.assigned()

    @contextlib.asynccontextmanager
    async def raw(
        self, context: ssl.SSLContext | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection on which anything may be written; without a context not even TLS."""
        secure = {"ssl": context, "server_hostname": "localhost"} if context else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **secure)  # type: ignore[arg-type]
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"forefill_operator_{name}_total", labels) or 0.0

    def held(self, policy: str = "shop/llm") -> float:
        """Tokens/s that are in the clients' hands, for all that the operator knows."""
        return self.server.controller.figures(time.monotonic())[policy].held

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20.0):
            while not condition():
                await asyncio.sleep(0.01)


def hello(*holdings: messages.Holding) -> messages.Hello:
    return messages.Hello(protocol=1, boot_id="boot", software="test", holdings=list(holdings))


def report(sequence: int = 1, **fields: Any) -> messages.Report:
    entry = {
        "policy": "shop/llm", "window_seconds": 10.0, "offered": 50.0, "admitted": 50.0, "refused": 0.0,
        "backlog": 0.0, "requests": 50, "forecasts": [FORECAST], **fields,
    }  # fmt: skip
    return messages.Report(sequence=sequence, entries=[messages.PolicyReport(**entry)])


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    (tmp_path / "tokens.csv").write_text(TOKENS)
    running = Target(tmp_path, (tickets.make_key(time.time() - 3600.0),), *serving.contexts(tmp_path))
    await running.start()
    yield running
    await running.stop()
    # Closed transports of the attackers are let go by the loop's next turns.
    await asyncio.sleep(0.02)


@pytest.fixture
def say() -> Any:
    """Messages that attackers send: `say.hello(*holdings)`, `say.report(sequence, **fields)`, `say.manifest(...)`."""

    class Say:
        hello = staticmethod(hello)
        report = staticmethod(report)
        manifest = staticmethod(manifest)

    return Say
