"""One policy's port: accepts clients and puts together what their connections share."""

import asyncio
from typing import TYPE_CHECKING

from forefill_protocol.podsettings import PolicyListener
from forefill_protocol.policysettings import PolicySettings
from forefill_sidecar import cost
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.gate import Gate
from forefill_sidecar.meter import Meter
from forefill_sidecar.proxy import address
from forefill_sidecar.proxy.client_side import ClientConnection
from forefill_sidecar.proxy.exchange import Exchange
from forefill_sidecar.proxy.limits import Limits
from forefill_sidecar.proxy.pool import Pool, Resolve
from forefill_sidecar.proxy.shared import Shared
from forefill_sidecar.proxy.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from forefill_sidecar.arrivals import Arrivals
    from forefill_sidecar.entry import Entry

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
        upstream = address.parse(settings.upstream)
        self._pool = Pool(upstream, settings.upstream_ca_bundle, self.limits, self.tally, resolve)
        rule = cost.rule(settings.settings.cost)
        self._shared = Shared(self.policy, upstream, gate, meter, self._pool, self.limits, rule)
        self._make: type[Exchange] = Exchange
        self._server: asyncio.Server | None = None

    @property
    def is_listening(self) -> bool:
        return self._server is not None and self._server.is_serving()

    @property
    def arrivals(self) -> "Arrivals | None":
        """Where a profile gathers what it has to know of requests."""
        return self._shared.arrivals

    @arrivals.setter
    def arrivals(self, arrivals: "Arrivals | None") -> None:
        self._shared.arrivals = arrivals

    def note_into(self, note: "Callable[[Entry], None] | None") -> None:
        """Write down the requests of clients that connect from now on; None: no more."""
        self._shared.note = note
        self._make = Exchange
        if note is not None:
            # Most listeners write nothing down, and load nothing for it.
            from forefill_sidecar.proxy.noted import NotedExchange

            self._make = NotedExchange

    def configure(self, settings: PolicySettings) -> None:
        """Take the parts of a policy that may change while the sidecar runs."""
        self.gate.configure(settings)
        self._shared.charge_by(cost.rule(settings.cost))

    async def start(self) -> None:
        """Listen; port 0 becomes a free one. Raises OSError when the port can't be had."""
        loop, shared = asyncio.get_running_loop(), self._shared
        self._server = await loop.create_server(
            lambda: ClientConnection(shared, self._make), self.host, self.port, backlog=_BACKLOG
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def stop_accepting(self) -> None:
        """Take no more connections and no more requests; those under way go on."""
        self._shared.is_draining = True
        if self._server is not None:
            self._server.close()
        self._shared.crowd.drain()

    async def close(self, grace_seconds: float = 0.0) -> None:
        """Stop accepting, let requests under way end for so long, then break off what is left."""
        self.stop_accepting()
        await self._shared.crowd.close(grace_seconds)
        self._pool.close()
        # Aborted transports report their end in the loop's next turn.
        await asyncio.sleep(0)
