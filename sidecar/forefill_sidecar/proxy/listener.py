"""One policy's port: accepts clients and owns what their connections share."""

import asyncio
import time

from forefill_protocol.messages import PolicySettings
from forefill_protocol.podsettings import PolicyListener
from forefill_sidecar import cost
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.gate import Gate
from forefill_sidecar.meter import Meter
from forefill_sidecar.proxy import address
from forefill_sidecar.proxy.client_side import ClientConnection
from forefill_sidecar.proxy.limits import Limits
from forefill_sidecar.proxy.pool import Pool, Resolve
from forefill_sidecar.proxy.tally import Tally

_SWEEP_SECONDS = 1.0
_BACKLOG = 4096


class Listener:
    """`policy` is NAMESPACE/NAME, `settings` what the listener was built from."""

    def __init__(
        self,
        settings: PolicyListener,
        gate: Gate,
        meter: Meter,
        host: str = "127.0.0.1",
        limits: Limits | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        """Raises ValueError with a sentence when the upstream is no URL."""
        self.settings = settings
        self.policy = settings.policy
        self.gate = gate
        self.meter = meter
        self.host = host
        self.port = settings.port
        self.limits = limits or Limits()
        self.tally = Tally()
        self.expectations = Expectations()
        self.address = address.parse(settings.upstream)
        self.pool = Pool(self.address, settings.upstream_ca_bundle, self.limits, self.tally, resolve)
        self.cost = cost.rule(settings.settings.cost)
        self.is_draining = False
        self._clients: set[ClientConnection] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event | None = None

    @property
    def is_listening(self) -> bool:
        return self._server is not None and self._server.is_serving()

    def configure(self, settings: PolicySettings) -> None:
        """Take the parts of a policy that may change while the sidecar runs."""
        self.gate.configure(settings)
        self.cost = cost.rule(settings.cost)

    async def start(self) -> None:
        """Listen; port 0 becomes a free one. Raises OSError when the port can't be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: ClientConnection(self), self.host, self.port, backlog=_BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop_accepting(self) -> None:
        """Take no more connections and no more requests; those under way go on."""
        self.is_draining = True
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            client.drain()

    async def close(self, grace_seconds: float = 0.0) -> None:
        """Stop accepting, let requests under way end for so long, then break off what is left."""
        self.stop_accepting()
        if self._clients:
            await self._emptied(grace_seconds)
        for client in list(self._clients):
            client.abort()
        self.pool.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        # Aborted transports report their end in the loop's next turn.
        await asyncio.sleep(0)

    async def _emptied(self, seconds: float) -> None:
        self._empty = asyncio.Event()
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            # Whatever is left has had its time; `close` breaks it off.
            return

    def joined(self, client: ClientConnection) -> bool:
        """Count a client in; False when there are too many."""
        self._clients.add(client)
        self.tally.clients_open += 1
        self.tally.clients_total += 1
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
        return len(self._clients) <= self.limits.max_connections

    def left(self, client: ClientConnection) -> None:
        self._clients.discard(client)
        self.tally.clients_open -= 1
        if self._empty is not None and not self._clients:
            self._empty.set()

    def _sweep(self) -> None:
        """One timer for all deadlines; it rests while nothing is open."""
        now = time.monotonic()
        for client in [client for client in self._clients if client.deadline <= now]:
            client.timed_out()
        self.pool.sweep(now)
        is_busy = self._clients or self.tally.upstream_open
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep) if is_busy else None
